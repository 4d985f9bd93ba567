#include "store/part/postings.h"

#include "base/varint.h"
#include "store/part/layout.h"

#include <assert.h>

/* ---- sets ---- */

static size_t set_words(uint32_t n) {
        return ((size_t)n + 63) / 64;
}

int ordinal_set_init(OrdinalSet *s, uint32_t n) {
        size_t words = set_words(n);
        uint64_t *zero = calloc(words ? words : 1, sizeof *zero);
        if (!zero)
                return -ENOMEM;
        *s = (OrdinalSet){ zero, n };
        return 0;
}

void ordinal_set_deinit(OrdinalSet *s) {
        free(s->words);
        *s = ORDINAL_SET_NULL;
}

/* Bits beyond n stay zero. */
static void set_trim(OrdinalSet *s) {
        if (s->n % 64)
                s->words[s->n / 64] &= (UINT64_C(1) << (s->n % 64)) - 1;
}

void ordinal_set_fill(OrdinalSet *s) {
        memset(s->words, 0xff, set_words(s->n) * sizeof *s->words);
        set_trim(s);
}

void ordinal_set_complement(OrdinalSet *s) {
        for (size_t i = 0; i < set_words(s->n); i++)
                s->words[i] = ~s->words[i];
        set_trim(s);
}

void ordinal_set_intersect(OrdinalSet *s, const OrdinalSet *with) {
        assert(s->n == with->n);
        for (size_t i = 0; i < set_words(s->n); i++)
                s->words[i] &= with->words[i];
}

uint32_t ordinal_set_count(const OrdinalSet *s) {
        uint32_t n = 0;
        for (size_t i = 0; i < set_words(s->n); i++)
                n += (uint32_t)__builtin_popcountll(s->words[i]);
        return n;
}

void ordinal_set_list(const OrdinalSet *s, Buf *out) {
        uint32_t n = ordinal_set_count(s);
        char *at = buf_reserve(out, (size_t)n * sizeof n);
        if (!at)
                return;
        for (size_t i = 0; i < set_words(s->n); i++)
                for (uint64_t w = s->words[i]; w; w &= w - 1) {
                        uint32_t ordinal = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(w);
                        memcpy(at, &ordinal, sizeof ordinal);
                        at += sizeof ordinal;
                }
        out->len += (size_t)n * sizeof n;
}

/* Words that ordinals [first, end) touch, with their bits. */
#define FOR_RANGE(first, end, word, bits)                                                                             \
        for (uint64_t at_ = (first), end_ = (end), stop_, word, bits;                                                 \
             at_ < end_ && (word = at_ / 64, stop_ = (word + 1) * 64 < end_ ? (word + 1) * 64 : end_,                 \
                           bits = (~UINT64_C(0) >> (64 - (stop_ - at_))) << at_ % 64, true);                          \
             at_ = stop_)

static void set_add_range(OrdinalSet *s, uint64_t first, uint64_t end) {
        FOR_RANGE (first, end, word, bits)
                s->words[word] |= bits;
}

static bool set_meets_range(const OrdinalSet *s, uint64_t first, uint64_t end) {
        FOR_RANGE (first, end, word, bits)
                if (s->words[word] & bits)
                        return true;
        return false;
}

/* ---- writing ---- */

typedef struct Sizes {
        size_t ordinals, runs, bits;
        uint32_t n_runs;
} Sizes;

static size_t varint_size(uint64_t v) {
        size_t n = 1;
        for (; v >= 0x80; v >>= 7)
                n++;
        return n;
}

static Sizes measure(const uint32_t *ordinals, uint32_t n) {
        uint32_t first_byte = ordinals[0] / 8, n_bytes = ordinals[n - 1] / 8 - first_byte + 1;
        Sizes z = { .bits = varint_size(first_byte) + n_bytes };
        uint64_t run_end = 0; /* of the run before */
        for (uint32_t i = 0, begin = 0; i < n; i++) {
                z.ordinals += varint_size(i ? ordinals[i] - ordinals[i - 1] - 1 : ordinals[0]);
                if (i + 1 < n && ordinals[i + 1] == ordinals[i] + 1)
                        continue;
                z.runs += varint_size(ordinals[begin] - run_end) + varint_size(i - begin);
                z.n_runs++;
                run_end = (uint64_t)ordinals[i] + 1;
                begin = i + 1;
        }
        return z;
}

static void put_varint(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

static void put_ordinals(const uint32_t *ordinals, uint32_t n, Buf *out) {
        put_varint(out, (uint64_t)n << 2 | POSTINGS_ORDINALS);
        for (uint32_t i = 0; i < n; i++)
                put_varint(out, i ? ordinals[i] - ordinals[i - 1] - 1 : ordinals[0]);
}

static void put_runs(const uint32_t *ordinals, uint32_t n, uint32_t n_runs, Buf *out) {
        put_varint(out, (uint64_t)n_runs << 2 | POSTINGS_RUNS);
        uint64_t run_end = 0;
        for (uint32_t i = 0, begin = 0; i < n; i++) {
                if (i + 1 < n && ordinals[i + 1] == ordinals[i] + 1)
                        continue;
                put_varint(out, ordinals[begin] - run_end);
                put_varint(out, i - begin);
                run_end = (uint64_t)ordinals[i] + 1;
                begin = i + 1;
        }
}

static void put_bits(const uint32_t *ordinals, uint32_t n, Buf *out) {
        uint32_t first = ordinals[0] / 8, bytes = ordinals[n - 1] / 8 - first + 1;
        put_varint(out, (uint64_t)bytes << 2 | POSTINGS_BITS);
        put_varint(out, first);
        uint8_t *map = (uint8_t *)buf_reserve(out, bytes);
        if (!map)
                return;
        memset(map, 0, bytes);
        for (uint32_t i = 0; i < n; i++)
                map[ordinals[i] / 8 - first] |= (uint8_t)(1u << ordinals[i] % 8);
        out->len += bytes;
}

void postings_encode(const uint32_t *ordinals, uint32_t n, Buf *out) {
        assert(n > 0);
        Sizes z = measure(ordinals, n);
        if (z.runs <= z.ordinals && z.runs <= z.bits)
                put_runs(ordinals, n, z.n_runs, out);
        else if (z.ordinals <= z.bits)
                put_ordinals(ordinals, n, out);
        else
                put_bits(ordinals, n, out);
}

/* ---- reading ---- */

/* Walks a list: each piece is a range of ordinals [first, end), within the part. The head of a list says how many; a
 * piece takes at least one byte, so that a walk ends with the bytes. */
typedef struct Walk {
        const uint8_t *at, *end;
        uint64_t left;   /* pieces */
        uint64_t next;   /* the smallest ordinal that may come now */
        uint32_t n;      /* series of the part */
        unsigned form;
} Walk;

static int walk_begin(Walk *w, const uint8_t *bytes, size_t len, uint32_t n) {
        uint64_t head, first = 0;
        *w = (Walk){ .at = bytes, .end = bytes + len, .n = n };
        if (!varint_get(&w->at, w->end, &head))
                return -EBADMSG;
        w->left = head >> 2;
        w->form = head & 3;
        if (w->left == 0 || w->form > POSTINGS_BITS)
                return -EBADMSG;
        if (w->form == POSTINGS_BITS) {
                if (!varint_get(&w->at, w->end, &first) || first > n / 8 || w->left != (size_t)(w->end - w->at))
                        return -EBADMSG;
                w->next = first * 8;
        }
        return 0;
}

/* 1 with a range, 0 at the end, -EBADMSG. For the two forms of varints. */
static inline int walk_next(Walk *w, uint64_t *ret_first, uint64_t *ret_end) {
        uint64_t gap, more = 0;
        if (w->left == 0)
                return w->at == w->end ? 0 : -EBADMSG;
        w->left--;
        if (!varint_get(&w->at, w->end, &gap) || (w->form == POSTINGS_RUNS && !varint_get(&w->at, w->end, &more)))
                return -EBADMSG;
        if (gap >= w->n - w->next || more >= w->n - w->next - gap)
                return -EBADMSG;
        *ret_first = w->next + gap;
        *ret_end = w->next = *ret_first + more + 1;
        return 1;
}

/* The bitmap form, a byte a piece. */
static inline int walk_byte(Walk *w, uint64_t *ret_first, uint8_t *ret_bits) {
        if (w->left == 0)
                return 0;
        w->left--;
        uint8_t bits = *w->at++;
        if (bits && w->next + (31 - (unsigned)__builtin_clz(bits)) >= w->n)
                return -EBADMSG;
        *ret_first = w->next;
        *ret_bits = bits;
        w->next += 8;
        return 1;
}

int postings_add(const uint8_t *bytes, size_t len, OrdinalSet *s) {
        Walk w;
        uint64_t first, end;
        uint8_t bits;
        int r = walk_begin(&w, bytes, len, s->n);
        if (r < 0)
                return r;
        if (w.form == POSTINGS_BITS) {
                while ((r = walk_byte(&w, &first, &bits)) > 0)
                        if (bits)
                                s->words[first / 64] |= (uint64_t)bits << first % 64;
                return r;
        }
        while ((r = walk_next(&w, &first, &end)) > 0)
                if (end == first + 1)
                        ordinal_set_add(s, (uint32_t)first);
                else
                        set_add_range(s, first, end);
        return r;
}

int postings_meet(const uint8_t *bytes, size_t len, const OrdinalSet *s) {
        Walk w;
        uint64_t first, end;
        uint8_t bits;
        int r = walk_begin(&w, bytes, len, s->n);
        if (r < 0)
                return r;
        if (w.form == POSTINGS_BITS) {
                while ((r = walk_byte(&w, &first, &bits)) > 0)
                        if (bits && s->words[first / 64] & (uint64_t)bits << first % 64)
                                return 1;
                return r;
        }
        while ((r = walk_next(&w, &first, &end)) > 0)
                if (set_meets_range(s, first, end))
                        return 1;
        return r;
}
