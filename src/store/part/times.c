/* Which columns are the same is decided by a 128-bit hash of the instants, not by the instants: those of a day and of
 * hundreds of virtual machines, each with its own phase, would be tens of MiB. The hash is seeded with the part's
 * identity, which no sender of samples knows, so that columns cannot be made to collide on purpose, and by chance it
 * happens once in 2^128 pairs. */
#include "store/part/times.h"

#include "base/varint.h"
#include "store/part/layout.h"

#include <assert.h>
#include <xxhash.h>

typedef struct TimeKey {
        uint64_t low, high;
        uint32_t number; /* + 1; 0: free */
} TimeKey;

enum { PACKED_WIDTH_MAX = 32, PACKED_WIDTH_FAST = 12 };

static size_t packed_size(uint32_t n, unsigned width) {
        return ((size_t)n * width + 7) / 8;
}

#define KEYS_MIN 64u
#define KEYS_MAX 65536u

/* ---- writing ---- */

static void put_varint(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

/* The step when all instants have the same distance. */
static bool regular_step(const int64_t *times, uint32_t n, uint64_t *ret_step) {
        uint64_t step = n > 1 ? (uint64_t)times[1] - (uint64_t)times[0] : 1, differs = 0;
        for (uint32_t i = 1; i < n; i++) {
                assert(times[i] > times[i - 1]);
                differs |= ((uint64_t)times[i] - (uint64_t)times[i - 1]) ^ step;
        }
        *ret_step = step;
        return differs == 0;
}

/* How instants lie about a line: instant i is line + i * step + p[i]. */
typedef struct Packing {
        uint64_t line, step;
        unsigned width;
} Packing;

static bool plan_packing(const int64_t *times, uint32_t n, Packing *ret_packing) {
        uint64_t step = n > 1 ? ((uint64_t)times[n - 1] - (uint64_t)times[0] + (n - 1) / 2) / (n - 1) : 1;
        int64_t low = 0, high = 0;
        for (uint32_t i = 0; i < n; i++) {
                int64_t off = (int64_t)((uint64_t)times[i] - (uint64_t)times[0] - i * step);
                low = off < low ? off : low;
                high = off > high ? off : high;
        }
        uint64_t spread = (uint64_t)high - (uint64_t)low;
        *ret_packing = (Packing){ (uint64_t)times[0] + (uint64_t)low, step,
                                  spread ? 64 - (unsigned)__builtin_clzll(spread) : 0 };
        return ret_packing->width <= PACKED_WIDTH_MAX;
}

static void put_packed(const int64_t *times, uint32_t n, const Packing *how, Buf *out) {
        uint8_t head[VARINT_MAX];
        buf_put(out, head, varint_put(head, how->step));
        buf_put_char(out, (char)how->width);
        size_t len = packed_size(n, how->width);
        uint8_t *at = (uint8_t *)buf_reserve(out, len);
        if (!at)
                return;
        uint64_t bits = 0;
        unsigned filled = 0;
        out->len += len;
        for (uint32_t i = 0; i < n; i++) {
                bits |= ((uint64_t)times[i] - how->line - i * how->step) << filled;
                for (filled += how->width; filled >= 8; filled -= 8, bits >>= 8)
                        *at++ = (uint8_t)bits;
        }
        if (filled > 0)
                *at = (uint8_t)bits;
}

/* Appends one segment; true when it is packed. That takes an eighth more bytes than the codec at most, and a fifth of
 * the time to read. */
static bool encode_segment(const int64_t *times, uint32_t n, CodecEffort effort, Buf *out) {
        Packing how;
        size_t before = out->len;
        bool can = plan_packing(times, n, &how), hurry = effort == CODEC_FAST && how.width <= PACKED_WIDTH_FAST;
        if (!can || !hurry) {
                times_encode(times, n, out);
                size_t len = out->len - before;
                if (buf_error(out) || !can || packed_size(n, how.width) > len + len / 8)
                        return false;
                out->len = before;
        }
        put_packed(times, n, &how, out);
        return true;
}

static void encode_segments(const int64_t *times, uint32_t n, CodecEffort effort, Buf *out) {
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        for (uint32_t first = 0; first < n; first += SEGMENT_INSTANTS) {
                size_t before = body.len;
                uint32_t here = n - first < SEGMENT_INSTANTS ? n - first : SEGMENT_INSTANTS;
                bool packed = encode_segment(times + first, here, effort, &body);
                if (first > 0)
                        put_varint(out, (uint64_t)times[first] - (uint64_t)times[first - SEGMENT_INSTANTS]);
                put_varint(out, (uint64_t)(body.len - before) << 1 | packed);
        }
        if (buf_error(&body))
                out->error = buf_error(&body);
        buf_put(out, body.data, body.len);
}

void time_column_encode(const int64_t *times, uint32_t n, CodecEffort effort, Buf *out) {
        assert(n > 0 && n <= CODEC_MAX);
        uint64_t step;
        if (regular_step(times, n, &step)) {
                put_varint(out, TIMES_REGULAR);
                put_varint(out, step);
        } else {
                put_varint(out, TIMES_SEGMENTS);
                encode_segments(times, n, effort, out);
        }
}

/* ---- reading ---- */

/* a - b of instants with a >= b; never overflows. */
static uint64_t distance(int64_t a, int64_t b) {
        return (uint64_t)a - (uint64_t)b;
}

/* Four at a time, which are added to independently of each other. */
static void fill_regular(int64_t *times, uint32_t n, uint64_t first, uint64_t step) {
        uint32_t i = 0;
        for (; i + 4 <= n; i += 4, first += 4 * step) {
                times[i] = (int64_t)first;
                times[i + 1] = (int64_t)(first + step);
                times[i + 2] = (int64_t)(first + 2 * step);
                times[i + 3] = (int64_t)(first + 3 * step);
        }
        for (; i < n; i++, first += step)
                times[i] = (int64_t)first;
}

static int regular_window(const uint8_t *at, const uint8_t *end, const TimeEntry *e, int64_t begin_ms, int64_t end_ms,
                          int64_t *ret_times, uint32_t *ret_first, uint32_t *ret_n) {
        uint64_t step, whole;
        if (!varint_get(&at, end, &step) || at != end || step == 0)
                return -EBADMSG;
        if (__builtin_mul_overflow(step, e->n - 1, &whole) || whole != distance(e->max_ms, e->min_ms))
                return -EBADMSG;
        /* Instants up to each bound, which is inside of the column. */
        uint64_t first = begin_ms < e->min_ms ? 0 : distance(begin_ms, e->min_ms) / step + 1;
        uint64_t stop = end_ms >= e->max_ms ? e->n : distance(end_ms, e->min_ms) / step + 1;
        *ret_first = (uint32_t)first;
        *ret_n = (uint32_t)(stop - first);
        if (ret_times)
                fill_regular(ret_times, (uint32_t)(stop - first), (uint64_t)e->min_ms + first * step, step);
        return 0;
}

typedef struct Segment {
        int64_t first_ms;
        const uint8_t *bytes;
        uint32_t len, n;
        bool is_packed;
} Segment;

enum { SEGMENTS_MAX = (CODEC_MAX + SEGMENT_INSTANTS - 1) / SEGMENT_INSTANTS };

/* An open segment: instants that are at hand one by one (packed), or all decoded. */
typedef struct OpenSegment {
        const Segment *s;
        const uint8_t *bits, *end;
        uint64_t line, step, mask;
        unsigned width;
        int64_t last_ms;
        int64_t decoded[SEGMENT_INSTANTS];
} OpenSegment;

typedef struct Segments {
        Segment s[SEGMENTS_MAX];
        uint32_t n;
        int64_t max_ms;
} Segments;

static int take_directory(const uint8_t *at, const uint8_t *end, const TimeEntry *e, Segments *ret_segments) {
        uint32_t n = (e->n + SEGMENT_INSTANTS - 1) / SEGMENT_INSTANTS;
        uint64_t first = (uint64_t)e->min_ms, whole = 0, v;
        Segment *s = ret_segments->s;
        for (uint32_t k = 0; k < n; k++) {
                if (k > 0) {
                        /* Strictly after the first of the one before, not after the last instant of all. */
                        if (!varint_get(&at, end, &v) || v == 0 || v > (uint64_t)e->max_ms - first)
                                return -EBADMSG;
                        first += v;
                }
                if (!varint_get(&at, end, &v) || v >> 1 > (size_t)(end - at))
                        return -EBADMSG;
                uint32_t left = e->n - k * SEGMENT_INSTANTS;
                s[k] = (Segment){ .first_ms = (int64_t)first, .len = (uint32_t)(v >> 1), .is_packed = v & 1,
                                  .n = left < SEGMENT_INSTANTS ? left : SEGMENT_INSTANTS };
                whole += v >> 1;
        }
        if (whole != (size_t)(end - at))
                return -EBADMSG;
        for (uint32_t k = 0; k < n; at += s[k++].len)
                s[k].bytes = at;
        ret_segments->n = n;
        ret_segments->max_ms = e->max_ms;
        return 0;
}

/* The last segment that begins at or before t; 0 when none does. */
static uint32_t segment_of(const Segments *all, int64_t t) {
        uint32_t low = 0, high = all->n;
        while (high - low > 1) {
                uint32_t mid = low + (high - low) / 2;
                if (all->s[mid].first_ms <= t)
                        low = mid;
                else
                        high = mid;
        }
        return low;
}

/* p[i] of a packed segment. */
static inline uint64_t packed_at(const OpenSegment *o, uint32_t i) {
        size_t bit = (size_t)i * o->width;
        const uint8_t *at = o->bits + bit / 8;
        uint64_t word = 0;
        ptrdiff_t left = o->end - at;
        if (left >= (ptrdiff_t)sizeof word)
                word = load64(at);
        else if (left > 0 && o->end - o->bits >= (ptrdiff_t)sizeof word)
                word = load64(o->end - sizeof word) >> 8 * (sizeof word - (size_t)left);
        else
                for (ptrdiff_t k = 0; k < left; k++)
                        word |= (uint64_t)at[k] << 8 * k;
        return word >> bit % 8 & o->mask;
}

static inline int64_t instant(const OpenSegment *o, uint32_t i) {
        return o->s->is_packed ? (int64_t)(o->line + i * o->step + packed_at(o, i)) : o->decoded[i];
}

static int open_packed(OpenSegment *o) {
        const uint8_t *at = o->s->bytes, *end = at + o->s->len;
        if (!varint_get(&at, end, &o->step) || at == end || *at > PACKED_WIDTH_MAX)
                return -EBADMSG;
        o->width = *at++;
        o->mask = (UINT64_C(1) << o->width) - 1;
        o->bits = at;
        o->end = end;
        if ((size_t)(end - at) != packed_size(o->s->n, o->width))
                return -EBADMSG;
        o->line = (uint64_t)o->s->first_ms - packed_at(o, 0);
        return 0;
}

/* Opens segment k: it begins where the directory says and ends before the next one (or exactly at the end of all). */
static int open_segment(OpenSegment *o, const Segments *all, uint32_t k) {
        const Segment *s = &all->s[k];
        o->s = s;
        int r = s->is_packed ? open_packed(o) : times_decode(s->bytes, s->len, s->n, o->decoded);
        if (r < 0)
                return r;
        o->last_ms = instant(o, s->n - 1);
        bool good = k + 1 == all->n ? o->last_ms == all->max_ms : o->last_ms < all->s[k + 1].first_ms;
        return good && instant(o, 0) == s->first_ms ? 0 : -EBADMSG;
}

/* How many instants of the segment are <= t. */
static uint32_t count_until(const OpenSegment *o, int64_t t) {
        uint32_t low = 0, high = o->s->n;
        if (t < o->s->first_ms || t >= o->last_ms)
                return t < o->s->first_ms ? 0 : high;
        while (low < high) {
                uint32_t mid = low + (high - low) / 2;
                if (instant(o, mid) <= t)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

/* Instants [from, to) of the segment. */
static void copy_instants(const OpenSegment *o, uint32_t from, uint32_t to, int64_t *ret_times) {
        if (!o->s->is_packed) {
                memcpy(ret_times, o->decoded + from, (to - from) * sizeof *ret_times);
                return;
        }
        /* As long as eight bytes are there. */
        size_t len = (size_t)(o->end - o->bits), bit = (size_t)from * o->width, width = o->width;
        uint64_t t = o->line + from * o->step, step = o->step, mask = o->mask;
        const uint8_t *bits = o->bits;
        uint32_t i = from;
        for (; i < to && bit / 8 + sizeof mask <= len; i++, bit += width, t += step)
                *ret_times++ = (int64_t)(t + (load64(bits + bit / 8) >> bit % 8 & mask));
        for (; i < to; i++)
                *ret_times++ = instant(o, i);
}

static bool ascends(const int64_t *times, uint32_t n) {
        unsigned falls = 0;
        for (uint32_t i = 1; i < n; i++)
                falls |= times[i] <= times[i - 1];
        return !falls;
}

static int segments_window(const uint8_t *at, const uint8_t *end, const TimeEntry *e, int64_t begin_ms, int64_t end_ms,
                           int64_t *ret_times, uint32_t *ret_first, uint32_t *ret_n) {
        Segments all;
        OpenSegment open;
        int r = take_directory(at, end, e, &all);
        if (r < 0)
                return r;
        uint32_t from = segment_of(&all, begin_ms), to = segment_of(&all, end_ms), first = 0, n = 0;
        for (uint32_t k = from; k <= to; k++) {
                /* All of a segment in the middle. */
                uint32_t low = 0, high = all.s[k].n;
                if (ret_times || k == from || k == to) {
                        r = open_segment(&open, &all, k);
                        if (r < 0)
                                return r;
                }
                if (k == from) {
                        low = count_until(&open, begin_ms);
                        first = k * SEGMENT_INSTANTS + low;
                }
                if (k == to)
                        high = count_until(&open, end_ms);
                if (high < low)
                        return -EBADMSG;
                if (ret_times)
                        copy_instants(&open, low, high, ret_times + n);
                n += high - low;
        }
        /* Whoever wrote instants that do not ascend. */
        if (ret_times && n > 0 && (!ascends(ret_times, n) || ret_times[0] <= begin_ms || ret_times[n - 1] > end_ms))
                return -EBADMSG;
        *ret_first = first;
        *ret_n = n;
        return 0;
}

int time_column_window(const uint8_t *bytes, size_t len, const TimeEntry *e, int64_t begin_ms, int64_t end_ms,
                       int64_t *ret_times, uint32_t *ret_first, uint32_t *ret_n) {
        const uint8_t *at = bytes, *end = bytes + len;
        uint64_t form;
        if (!varint_get(&at, end, &form))
                return -EBADMSG;
        if (begin_ms >= end_ms || end_ms < e->min_ms || begin_ms >= e->max_ms) {
                *ret_first = *ret_n = 0;
                return 0;
        }
        if (form == TIMES_REGULAR)
                return regular_window(at, end, e, begin_ms, end_ms, ret_times, ret_first, ret_n);
        if (form == TIMES_SEGMENTS)
                return segments_window(at, end, e, begin_ms, end_ms, ret_times, ret_first, ret_n);
        return -EBADMSG;
}

/* ---- the table of the writer ---- */

void time_table_deinit(TimeTable *t) {
        free(t->entries);
        free(t->keys);
        *t = (TimeTable){ 0 };
}

size_t time_table_bytes(const TimeTable *t) {
        return (size_t)t->cap * sizeof *t->entries + (size_t)t->n_keys * sizeof *t->keys;
}

/* Where the key is or would be. There always is a free place. */
static TimeKey *key_place(const TimeTable *t, uint64_t low, uint64_t high) {
        uint32_t mask = t->n_keys - 1, i = (uint32_t)low & mask;
        while (t->keys[i].number && (t->keys[i].low != low || t->keys[i].high != high))
                i = (i + 1) & mask;
        return &t->keys[i];
}

static int grow_keys(TimeTable *t) {
        if ((t->used + 1) * 2 <= t->n_keys || t->n_keys == KEYS_MAX)
                return 0;
        uint32_t old_n = t->n_keys;
        CLEANUP_FREE TimeKey *old = t->keys;
        TimeKey *wider = calloc(old_n ? old_n * 2 : KEYS_MIN, sizeof *wider);
        if (!wider) {
                old = NULL;
                return -ENOMEM;
        }
        t->keys = wider;
        t->n_keys = old_n ? old_n * 2 : KEYS_MIN;
        for (uint32_t i = 0; i < old_n; i++)
                if (old[i].number)
                        *key_place(t, old[i].low, old[i].high) = old[i];
        return 0;
}

static int grow_entries(TimeTable *t) {
        if (t->n < t->cap)
                return 0;
        uint32_t cap = t->cap ? t->cap * 2 : KEYS_MIN;
        TimeEntry *wider = reallocarray(t->entries, cap, sizeof *wider);
        if (!wider)
                return -ENOMEM;
        t->entries = wider;
        t->cap = cap;
        return 0;
}

int time_table_find(TimeTable *t, const int64_t *times, uint32_t n, uint64_t seed, uint32_t *ret_number) {
        int r = grow_keys(t);
        if (r == 0)
                r = grow_entries(t);
        if (r < 0)
                return r;
        XXH128_hash_t hash = XXH3_128bits_withSeed(times, n * sizeof *times, seed);
        TimeKey *key = key_place(t, hash.low64, hash.high64);
        if (key->number) {
                *ret_number = key->number - 1;
                return 1;
        }
        if (t->used < KEYS_MAX / 2) {
                *key = (TimeKey){ hash.low64, hash.high64, t->n + 1 };
                t->used++;
        }
        *ret_number = t->n;
        return 0;
}

void time_table_put(TimeTable *t, TimeEntry entry) {
        assert(t->n < t->cap);
        t->entries[t->n++] = entry;
}
