/* Sealing is made to be quick and fairly small, not smallest: what is sealed lives for minutes. A chunk in the arena:
 *
 *   offset  size  what
 *        0     4  prev: the chunk before, in units of 4 bytes; 0: none
 *        4     1  n: samples, 1..TAIL_MAX
 *        5     1  how times are kept: TIMES_*
 *        6     1  how values are kept: VALUES_*
 *        7     1  place in the chain, modulo MILE; the first has 1
 *        8     8  instant of the first sample
 *       16     4  instant of the last sample, after the first
 *       20    12  when the place is 0, "mile": u32 the mile before, u32 jump, u32 miles up to here; see below
 *        …     …  times:  TIMES_STEP  nothing: the instants are evenly spread between first and last
 *                         TIMES_EACH  n * u32, after the first
 *        …     …  values: VALUES_ONE  one double, all are equal
 *                         VALUES_1, _2, _4: the first as i64, then n - 1 differences of that many bytes; all are whole
 *                         numbers
 *                         VALUES_RAW  n doubles
 *
 * Padded to 4 bytes; a chunk never crosses a page. Nothing here comes from outside, so nothing is checked.
 *
 * A history that is loaded makes chains of a hundred thousand chunks, and when it is sent again every sample is looked
 * up in them. So every MILE-th chunk can be jumped back from: to the mile before it, and, where two jumps of equal
 * length would follow that, over both of them at once (jump pointers of a skew-binary list: Myers, "An applicative
 * random-access stack"). Any place of a chain of n miles is then some 2 log2 n jumps away. Short chains, which are
 * nearly all, pay nothing. */
#include "store/head/generation.h"

#include <assert.h>
#include <math.h>

#define PAGE (1u << 18)
#define UNIT 4u
#define HEAD 20u
#define MILE 16u
#define MILE_BYTES 12u
#define CHUNK_MAX (HEAD + MILE_BYTES + TAIL_MAX * 12u)
#define INTEGER_MAX 9007199254740992.0 /* 2^53: up to here a double holds every whole number */

enum { TIMES_STEP, TIMES_EACH };
enum { VALUES_ONE = 0, VALUES_1 = 1, VALUES_2 = 2, VALUES_4 = 4, VALUES_RAW = 8 };

int generation_new(uint32_t number, Generation **ret_generation) {
        Generation *g = calloc(1, sizeof *g);
        if (!g)
                return -ENOMEM;
        *g = (Generation){ .references = 1, .number = number, .at = 1, .min_ms = INT64_MAX, .max_ms = INT64_MIN };
        *ret_generation = g;
        return 0;
}

Generation *generation_ref(Generation *g) {
        atomic_fetch_add(&g->references, 1);
        return g;
}

static void aside_deinit(Aside *a) {
        free(a->times);
        free(a->values);
        free(a->histogram_times);
        free(a->histogram_offsets);
        buf_deinit(&a->bytes);
}

Generation *generation_unref(Generation *g) {
        if (!g || atomic_fetch_sub(&g->references, 1) > 1)
                return NULL;
        for (uint32_t i = 0; i < g->n_pages; i++)
                free(g->pages[i]);
        for (uint32_t i = 0; i < g->n_asides; i++)
                aside_deinit(&g->asides[i]);
        free(g->pages);
        free(g->heads);
        free(g->asides_of);
        free(g->asides);
        free(g);
        return NULL;
}

size_t generation_memory(const Generation *g) {
        return (size_t)g->n_pages * PAGE + g->aside_bytes + (size_t)g->n_series * 2 * sizeof(uint32_t);
}

/* ---- Chunks ---- */

static uint8_t *chunk_at(const Generation *g, uint32_t chunk) {
        size_t byte = (size_t)chunk * UNIT;
        return g->pages[byte / PAGE] + byte % PAGE;
}

static uint8_t *arena_reserve(Generation *g, size_t most) {
        size_t byte = (size_t)g->at * UNIT;
        if (byte / PAGE < g->n_pages && byte % PAGE + most <= PAGE)
                return chunk_at(g, g->at);
        if (g->n_pages == UINT32_MAX / (PAGE / UNIT))
                return NULL;
        if (g->n_pages == g->pages_cap) {
                uint32_t cap = g->pages_cap ? g->pages_cap * 2 : 16;
                uint8_t **pages = realloc(g->pages, cap * sizeof *pages);
                if (!pages)
                        return NULL;
                g->pages = pages;
                g->pages_cap = cap;
        }
        if (!(g->pages[g->n_pages] = malloc(PAGE)))
                return NULL;
        g->at = g->n_pages++ * (PAGE / UNIT);
        g->at += g->at == 0; /* 0 is no chunk */
        return chunk_at(g, g->at);
}

typedef struct ChunkHead {
        uint32_t prev, last;
        int64_t first_ms;
        uint8_t n, times, form;
        bool mile;
        uint32_t before, jump, miles; /* of a mile; else 0 */
        const uint8_t *rest;
} ChunkHead;

static ChunkHead chunk_head(const Generation *g, uint32_t chunk) {
        const uint8_t *at = chunk_at(g, chunk);
        ChunkHead h = { .n = at[4], .times = at[5], .form = at[6], .mile = at[7] == 0, .rest = at + HEAD };
        memcpy(&h.prev, at, 4);
        memcpy(&h.first_ms, at + 8, 8);
        memcpy(&h.last, at + 16, 4);
        if (h.mile) {
                memcpy(&h.before, h.rest, 4);
                memcpy(&h.jump, h.rest + 4, 4);
                memcpy(&h.miles, h.rest + 8, 4);
                h.rest += MILE_BYTES;
        }
        return h;
}

static int64_t last_ms(const ChunkHead *h) {
        return h->first_ms + h->last;
}

/* ---- Miles ---- */

typedef struct Mile {
        uint32_t chunk, jump, miles; /* chunk 0: before the first */
} Mile;

static Mile mile_at(const Generation *g, uint32_t chunk) {
        if (!chunk)
                return (Mile){ 0 };
        ChunkHead h = chunk_head(g, chunk);
        return (Mile){ chunk, h.jump, h.miles };
}

/* The mile before a chunk. */
static Mile mile_before(const Generation *g, uint32_t prev) {
        while (prev) {
                ChunkHead h = chunk_head(g, prev);
                if (h.mile)
                        break;
                prev = h.prev;
        }
        return mile_at(g, prev);
}

static void put_mile(const Generation *g, uint32_t prev, uint8_t *at) {
        Mile before = mile_before(g, prev), middle = mile_at(g, before.jump), far = mile_at(g, middle.jump);
        uint32_t jump = before.miles - middle.miles == middle.miles - far.miles ? far.chunk : before.chunk,
                 miles = before.miles + 1;
        memcpy(at, &before.chunk, 4);
        memcpy(at + 4, &jump, 4);
        memcpy(at + 8, &miles, 4);
}

/* The newest chunk from `chunk` back that begins at or before t; 0: none does. */
static uint32_t chunk_until(const Generation *g, uint32_t chunk, int64_t t) {
        while (chunk) {
                ChunkHead h = chunk_head(g, chunk);
                if (h.first_ms <= t)
                        break;
                if (h.jump && chunk_head(g, h.jump).first_ms > t)
                        chunk = h.jump;
                else
                        chunk = h.before && chunk_head(g, h.before).first_ms > t ? h.before : h.prev;
        }
        return chunk;
}

static int64_t chunk_end(const Generation *g, uint32_t chunk) {
        ChunkHead h = chunk_head(g, chunk);
        return last_ms(&h);
}

/* The oldest chunk from `chunk` back that ends after t; 0: none does. */
static uint32_t chunk_after(const Generation *g, uint32_t chunk, int64_t t) {
        uint32_t found = 0;
        while (chunk) {
                ChunkHead h = chunk_head(g, chunk);
                if (last_ms(&h) <= t)
                        break;
                found = chunk;
                if (h.jump && chunk_end(g, h.jump) > t)
                        chunk = h.jump;
                else
                        chunk = h.before && chunk_end(g, h.before) > t ? h.before : h.prev;
        }
        return found;
}

/* ---- Sealing ---- */

static bool is_integer(double v) {
        return fabs(v) <= INTEGER_MAX && v == (double)(int64_t)v && !(v == 0 && signbit(v));
}

/* The narrowest form that holds the values bit for bit. */
static uint8_t values_form(const TailSample *tail, uint8_t n) {
        uint64_t first, other;
        bool same = true, integers = true;
        int64_t widest = 0;
        memcpy(&first, &tail[0].value, sizeof first);
        for (uint8_t i = 0; i < n; i++) {
                double v = tail[i].value;
                memcpy(&other, &v, sizeof other);
                same = same && other == first;
                integers = integers && is_integer(v);
                if (integers && i > 0) {
                        int64_t d = (int64_t)v - (int64_t)tail[i - 1].value;
                        widest |= d < 0 ? ~d : d;
                }
        }
        if (same)
                return VALUES_ONE;
        if (!integers || widest > INT32_MAX)
                return VALUES_RAW;
        return widest <= INT8_MAX ? VALUES_1 : widest <= INT16_MAX ? VALUES_2 : VALUES_4;
}

static uint8_t *put_values(uint8_t *at, uint8_t form, const TailSample *tail, uint8_t n) {
        if (form == VALUES_ONE) {
                memcpy(at, &tail[0].value, sizeof(double));
                return at + sizeof(double);
        }
        if (form == VALUES_RAW) {
                for (uint8_t i = 0; i < n; i++, at += sizeof(double))
                        memcpy(at, &tail[i].value, sizeof(double));
                return at;
        }
        int64_t before = (int64_t)tail[0].value;
        memcpy(at, &before, sizeof before);
        at += sizeof before;
        for (uint8_t i = 1; i < n; i++, at += form) {
                int64_t v = (int64_t)tail[i].value, d = v - before;
                memcpy(at, &d, form); /* little end first: the low bytes are what fits */
                before = v;
        }
        return at;
}

static bool evenly_spread(const TailSample *tail, uint8_t n) {
        uint32_t step = n > 1 ? tail[1].after_ms - tail[0].after_ms : 0;
        for (uint8_t i = 1; i < n; i++)
                if (tail[i].after_ms != step * i + tail[0].after_ms)
                        return false;
        return true;
}

int generation_seal(Generation *g, uint32_t prev, int64_t base_ms, const TailSample *tail, uint8_t n,
                    uint32_t *ret_chunk) {
        assert(n > 0 && n <= TAIL_MAX && !g->frozen);
        uint8_t *begin = arena_reserve(g, CHUNK_MAX), *at;
        if (!begin)
                return -ENOMEM;
        uint8_t times = evenly_spread(tail, n) ? TIMES_STEP : TIMES_EACH, form = values_form(tail, n);
        int64_t first = base_ms + tail[0].after_ms;
        uint32_t last = tail[n - 1].after_ms - tail[0].after_ms;
        memcpy(begin, &prev, 4);
        begin[4] = n;
        begin[5] = times;
        begin[6] = form;
        begin[7] = prev ? (uint8_t)((chunk_at(g, prev)[7] + 1) % MILE) : 1;
        memcpy(begin + 8, &first, 8);
        memcpy(begin + 16, &last, 4);
        at = begin + HEAD;
        if (begin[7] == 0) {
                put_mile(g, prev, at);
                at += MILE_BYTES;
        }
        for (uint8_t i = 0; times == TIMES_EACH && i < n; i++, at += 4) {
                uint32_t after = tail[i].after_ms - tail[0].after_ms;
                memcpy(at, &after, 4);
        }
        at = put_values(at, form, tail, n);
        *ret_chunk = g->at;
        g->at += (uint32_t)((size_t)(at - begin) + UNIT - 1) / UNIT;
        return 0;
}

static const uint8_t *get_times(const ChunkHead *h, int64_t *times) {
        if (h->times == TIMES_EACH) {
                for (uint8_t i = 0; i < h->n; i++) {
                        uint32_t after;
                        memcpy(&after, h->rest + 4 * (size_t)i, 4);
                        times[i] = h->first_ms + after;
                }
                return h->rest + 4 * (size_t)h->n;
        }
        int64_t step = h->n > 1 ? h->last / (h->n - 1) : 0;
        for (uint8_t i = 0; i < h->n; i++)
                times[i] = h->first_ms + step * i;
        return h->rest;
}

static int64_t get_difference(const uint8_t *at, uint8_t form) {
        int32_t d = 0;
        memcpy((uint8_t *)&d + (4 - form), at, form); /* into the high bytes, so that the shift extends the sign */
        return d >> (8 * (4 - form));
}

static void get_values(const ChunkHead *h, const uint8_t *at, double *values) {
        if (h->form == VALUES_RAW) {
                memcpy(values, at, h->n * sizeof *values);
        } else if (h->form == VALUES_ONE) {
                for (uint8_t i = 0; i < h->n; i++)
                        memcpy(&values[i], at, sizeof *values);
        } else {
                int64_t v;
                memcpy(&v, at, sizeof v);
                at += sizeof v;
                values[0] = (double)v;
                for (uint8_t i = 1; i < h->n; i++, at += h->form)
                        values[i] = (double)(v += get_difference(at, h->form));
        }
}

bool generation_range(const Generation *g, uint32_t chunk, int64_t *ret_min, int64_t *ret_max) {
        if (!chunk)
                return false;
        ChunkHead h = chunk_head(g, chunk);
        *ret_max = last_ms(&h);
        while (h.prev)
                h = chunk_head(g, h.jump ? h.jump : h.before ? h.before : h.prev);
        *ret_min = h.first_ms;
        return true;
}

int generation_chain(const Generation *g, uint32_t chunk, int64_t begin_ms, int64_t end_ms, Buf *ret_times,
                     Buf *ret_values) {
        size_t n = 0;
        uint32_t oldest = 0;
        /* Once back to see how much there is, a second time to write it from the end. */
        chunk = chunk_until(g, chunk, end_ms);
        for (uint32_t at = chunk; at;) {
                ChunkHead h = chunk_head(g, at);
                if (last_ms(&h) <= begin_ms)
                        break;
                n += h.n;
                oldest = at;
                at = h.prev;
        }
        if (n == 0)
                return 0;
        char *times = buf_reserve(ret_times, n * sizeof(int64_t)),
             *values = buf_reserve(ret_values, n * sizeof(double));
        if (!times || !values)
                return -ENOMEM;
        ret_times->len += n * sizeof(int64_t);
        ret_values->len += n * sizeof(double);
        for (uint32_t at = chunk;;) {
                ChunkHead h = chunk_head(g, at);
                int64_t t[TAIL_MAX];
                double v[TAIL_MAX];
                get_values(&h, get_times(&h, t), v);
                n -= h.n;
                memcpy(times + n * sizeof *t, t, h.n * sizeof *t);
                memcpy(values + n * sizeof *v, v, h.n * sizeof *v);
                if (at == oldest)
                        break;
                at = h.prev;
        }
        assert(n == 0);
        return 0;
}

int64_t generation_next(const Generation *g, uint32_t chunk, int64_t after) {
        int64_t times[TAIL_MAX];
        chunk = chunk_after(g, chunk, after);
        if (!chunk)
                return INT64_MAX;
        ChunkHead h = chunk_head(g, chunk);
        uint8_t i = 0;
        (void)get_times(&h, times);
        while (times[i] <= after)
                i++; /* the last is after it */
        return times[i];
}

bool generation_find(const Generation *g, uint32_t chunk, int64_t time, double *ret_value) {
        int64_t t[TAIL_MAX];
        double v[TAIL_MAX];
        chunk = chunk_until(g, chunk, time);
        if (!chunk)
                return false;
        ChunkHead h = chunk_head(g, chunk);
        if (time > last_ms(&h))
                return false;
        get_values(&h, get_times(&h, t), v);
        for (uint8_t i = 0; i < h.n; i++)
                if (t[i] == time) {
                        *ret_value = v[i];
                        return true;
                }
        return false;
}

/* ---- Aside ---- */

Aside *generation_aside(Generation *g, uint32_t ref, uint32_t *aside) {
        if (*aside)
                return &g->asides[*aside - 1];
        if (g->n_asides == g->asides_cap) {
                uint32_t cap = g->asides_cap ? g->asides_cap * 2 : 16;
                Aside *asides = realloc(g->asides, cap * sizeof *asides);
                if (!asides)
                        return NULL;
                g->asides = asides;
                g->asides_cap = cap;
        }
        g->asides[g->n_asides] =
                (Aside){ .ref = ref, .bytes = BUF_WITH_LIMIT(UINT32_MAX) }; /* the caller has limits of its own */
        g->aside_bytes += sizeof(Aside);
        *aside = ++g->n_asides;
        return &g->asides[*aside - 1];
}

/* Where `time` is or belongs. */
static uint32_t place(const int64_t *times, uint32_t n, int64_t time) {
        uint32_t low = 0, high = n;
        if (n && times[n - 1] < time)
                return n;
        while (low < high) {
                uint32_t middle = low + (high - low) / 2;
                if (times[middle] < time)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static int grow(void **array, uint32_t cap, size_t size) {
        void *bigger = realloc(*array, cap * size);
        if (!bigger)
                return -ENOMEM;
        *array = bigger;
        return 0;
}

AsideAnswer aside_float(Generation *g, Aside *a, int64_t time, double value) {
        uint32_t at = place(a->times, a->n, time);
        if (at < a->n && a->times[at] == time)
                return memcmp(&a->values[at], &value, sizeof value) == 0 ? ASIDE_SAME : ASIDE_OTHER;
        if (a->n == a->cap) {
                uint32_t cap = a->cap ? a->cap * 2 : 8;
                if (grow((void **)&a->times, cap, sizeof *a->times) < 0 ||
                    grow((void **)&a->values, cap, sizeof *a->values) < 0)
                        return ASIDE_NO_MEMORY;
                g->aside_bytes += (size_t)(cap - a->cap) * 16;
                a->cap = cap;
        }
        memmove(&a->times[at + 1], &a->times[at], (a->n - at) * sizeof *a->times);
        memmove(&a->values[at + 1], &a->values[at], (a->n - at) * sizeof *a->values);
        a->times[at] = time;
        a->values[at] = value;
        a->n++;
        return ASIDE_TAKEN;
}

AsideAnswer aside_histogram(Generation *g, Aside *a, int64_t time, const uint8_t *bytes, size_t n) {
        uint32_t at = place(a->histogram_times, a->n_histograms, time);
        size_t before = a->bytes.len;
        if (at < a->n_histograms && a->histogram_times[at] == time) {
                uint32_t begin = a->histogram_offsets[at], len = a->histogram_offsets[at + 1] - begin;
                return len == n && memcmp(a->bytes.data + begin, bytes, n) == 0 ? ASIDE_SAME : ASIDE_OTHER;
        }
        if (a->n_histograms == a->histograms_cap) {
                uint32_t cap = a->histograms_cap ? a->histograms_cap * 2 : 8;
                if (grow((void **)&a->histogram_times, cap, sizeof *a->histogram_times) < 0 ||
                    grow((void **)&a->histogram_offsets, cap + 1, sizeof *a->histogram_offsets) < 0)
                        return ASIDE_NO_MEMORY;
                if (a->histograms_cap == 0)
                        a->histogram_offsets[0] = 0;
                g->aside_bytes += (size_t)(cap - a->histograms_cap) * 12;
                a->histograms_cap = cap;
        }
        if (!buf_reserve(&a->bytes, n))
                return ASIDE_NO_MEMORY;
        uint32_t byte = a->histogram_offsets[at];
        memmove(a->bytes.data + byte + n, a->bytes.data + byte, before - byte);
        memcpy(a->bytes.data + byte, bytes, n);
        a->bytes.len += n;
        g->aside_bytes += n;
        memmove(&a->histogram_times[at + 1], &a->histogram_times[at],
                (a->n_histograms - at) * sizeof *a->histogram_times);
        memmove(&a->histogram_offsets[at + 1], &a->histogram_offsets[at],
                (a->n_histograms - at + 1) * sizeof *a->histogram_offsets);
        a->histogram_times[at] = time;
        a->n_histograms++;
        for (uint32_t i = at + 1; i <= a->n_histograms; i++)
                a->histogram_offsets[i] += (uint32_t)n;
        return ASIDE_TAKEN;
}
