/* Which columns are the same is decided by a 128-bit hash of the instants, not by the instants: those of a day and of hundreds of
 * virtual machines, each with its own phase, would be tens of MiB. The hash is seeded with the part's identity, which no sender
 * of samples knows, so that columns cannot be made to collide on purpose, and by chance it happens once in 2^128 pairs. */
#include "store/part/times.h"

#include "base/varint.h"
#include "store/part/layout.h"

#include <assert.h>
#include <xxhash.h>

typedef struct TimeKey {
        uint64_t low, high;
        uint32_t number; /* + 1; 0: free */
} TimeKey;

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

static void encode_segments(const int64_t *times, uint32_t n, Buf *out) {
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        for (uint32_t first = 0; first < n; first += SEGMENT_INSTANTS) {
                size_t before = body.len;
                uint32_t here = n - first < SEGMENT_INSTANTS ? n - first : SEGMENT_INSTANTS;
                times_encode(times + first, here, &body);
                if (first > 0)
                        put_varint(out, (uint64_t)times[first] - (uint64_t)times[first - SEGMENT_INSTANTS]);
                put_varint(out, body.len - before);
        }
        if (buf_error(&body))
                out->error = buf_error(&body);
        buf_put(out, body.data, body.len);
}

void time_column_encode(const int64_t *times, uint32_t n, Buf *out) {
        assert(n > 0 && n <= CODEC_MAX);
        uint64_t step;
        if (regular_step(times, n, &step)) {
                put_varint(out, TIMES_REGULAR);
                put_varint(out, step);
        } else {
                put_varint(out, TIMES_SEGMENTS);
                encode_segments(times, n, out);
        }
}

/* ---- reading ---- */

/* a - b of instants with a >= b; never overflows. */
static uint64_t distance(int64_t a, int64_t b) {
        return (uint64_t)a - (uint64_t)b;
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
        for (uint64_t i = first; ret_times && i < stop; i++)
                ret_times[i - first] = (int64_t)((uint64_t)e->min_ms + i * step);
        return 0;
}

typedef struct Segment {
        int64_t first_ms;
        const uint8_t *bytes;
        uint32_t len;
} Segment;

enum { SEGMENTS_MAX = (CODEC_MAX + SEGMENT_INSTANTS - 1) / SEGMENT_INSTANTS };

static uint32_t segment_size(const TimeEntry *e, uint32_t k) {
        uint32_t left = e->n - k * SEGMENT_INSTANTS;
        return left < SEGMENT_INSTANTS ? left : SEGMENT_INSTANTS;
}

static int take_directory(const uint8_t *at, const uint8_t *end, const TimeEntry *e, Segment *ret_segments, uint32_t *ret_n) {
        uint32_t n = (e->n + SEGMENT_INSTANTS - 1) / SEGMENT_INSTANTS;
        uint64_t first = (uint64_t)e->min_ms, whole = 0, v;
        for (uint32_t k = 0; k < n; k++) {
                if (k > 0) {
                        /* Strictly after the first of the one before, not after the last instant of all. */
                        if (!varint_get(&at, end, &v) || v == 0 || v > (uint64_t)e->max_ms - first)
                                return -EBADMSG;
                        first += v;
                }
                if (!varint_get(&at, end, &v) || v > (size_t)(end - at))
                        return -EBADMSG;
                ret_segments[k] = (Segment){ .first_ms = (int64_t)first, .len = (uint32_t)v };
                whole += v;
        }
        if (whole != (size_t)(end - at))
                return -EBADMSG;
        for (uint32_t k = 0; k < n; at += ret_segments[k++].len)
                ret_segments[k].bytes = at;
        *ret_n = n;
        return 0;
}

/* The last segment that begins at or before t; 0 when none does. */
static uint32_t segment_of(const Segment *s, uint32_t n, int64_t t) {
        uint32_t low = 0, high = n;
        while (high - low > 1) {
                uint32_t mid = low + (high - low) / 2;
                if (s[mid].first_ms <= t)
                        low = mid;
                else
                        high = mid;
        }
        return low;
}

/* A segment's instants; they begin where the directory says and end before the next one (or exactly at the end of all). */
static int decode_segment(const Segment *s, uint32_t n_segments, uint32_t k, const TimeEntry *e, int64_t *ret_times) {
        uint32_t n = segment_size(e, k);
        int r = times_decode(s[k].bytes, s[k].len, n, ret_times);
        if (r < 0)
                return r;
        bool last = k + 1 == n_segments;
        if (ret_times[0] != s[k].first_ms || (last ? ret_times[n - 1] != e->max_ms : ret_times[n - 1] >= s[k + 1].first_ms))
                return -EBADMSG;
        return 0;
}

/* How many of the n instants are <= t. */
static uint32_t count_until(const int64_t *times, uint32_t n, int64_t t) {
        uint32_t low = 0, high = n;
        while (low < high) {
                uint32_t mid = low + (high - low) / 2;
                if (times[mid] <= t)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

/* How many instants of the column are <= t, which is in [min_ms, max_ms). */
static int count_in_segments(const Segment *s, uint32_t n, const TimeEntry *e, int64_t t, uint32_t *ret_count) {
        int64_t times[SEGMENT_INSTANTS];
        uint32_t k = segment_of(s, n, t);
        int r = decode_segment(s, n, k, e, times);
        if (r == 0)
                *ret_count = k * SEGMENT_INSTANTS + count_until(times, segment_size(e, k), t);
        return r;
}

static int segments_window(const uint8_t *at, const uint8_t *end, const TimeEntry *e, int64_t begin_ms, int64_t end_ms,
                           int64_t *ret_times, uint32_t *ret_first, uint32_t *ret_n) {
        Segment s[SEGMENTS_MAX];
        uint32_t n, first = 0, stop = e->n;
        int r = take_directory(at, end, e, s, &n);
        if (r == 0 && !ret_times && begin_ms >= e->min_ms)
                r = count_in_segments(s, n, e, begin_ms, &first);
        if (r == 0 && !ret_times && end_ms < e->max_ms)
                r = count_in_segments(s, n, e, end_ms, &stop);
        if (r < 0)
                return r;
        if (ret_times) {
                uint32_t from = segment_of(s, n, begin_ms), to = segment_of(s, n, end_ms), base = from * SEGMENT_INSTANTS;
                for (uint32_t k = from; k <= to; k++) {
                        r = decode_segment(s, n, k, e, ret_times + (k - from) * SEGMENT_INSTANTS);
                        if (r < 0)
                                return r;
                }
                uint32_t here = to * SEGMENT_INSTANTS + segment_size(e, to) - base;
                first = base + count_until(ret_times, here, begin_ms);
                stop = base + count_until(ret_times, here, end_ms);
                memmove(ret_times, ret_times + (first - base), (stop - first) * sizeof *ret_times);
        }
        *ret_first = first;
        *ret_n = stop - first;
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
