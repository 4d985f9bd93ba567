/* A sample goes one of three ways: in order, to the tail of its series; out of order but within the window, aside; or
 * it is refused. Whether an instant is there already is looked up only for samples that are not newer than the newest,
 * which are few. */
#include "store/head/head.h"

#include <assert.h>

#define ASIDE_LONG 16384u /* from here on insertions become slow: flush */
#define ASIDE_MAX 131072u
#define ASIDE_BYTES_LONG ((size_t)8 << 20) /* of histograms */
#define ASIDE_BYTES_MAX ((size_t)64 << 20)

int head_init(Head *h, uint32_t max_series) {
        *h = (Head){ .max_series = max_series, .epoch = 1 };
        int r = index_new(max_series, &h->index);
        return r < 0 ? r : generation_new(1, &h->current);
}

void head_deinit(Head *h) {
        h->index = index_free(h->index);
        h->current = generation_unref(h->current);
        h->frozen = generation_unref(h->frozen);
}

size_t head_samples_memory(const Head *h) {
        return generation_memory(h->current) + (h->frozen ? generation_memory(h->frozen) : 0);
}

size_t head_memory(const Head *h) {
        return index_memory(h->index) + head_samples_memory(h);
}

static void note(Head *h, HeadSeries *s, int64_t time) {
        Generation *g = h->current;
        if (time > s->last_ms)
                s->last_ms = time;
        if (time < g->min_ms)
                g->min_ms = time;
        if (time > g->max_ms)
                g->max_ms = time;
        s->seen = g->number;
        g->samples++;
}

size_t head_append(Head *h, uint32_t ref, const int64_t *times, const double *values, size_t n) {
        HeadSeries *s = index_series(h->index, ref);
        TailSample *tail = index_tail(h->index, ref);
        Generation *g = h->current;
        int64_t last = s->last_ms;
        size_t i = 0;
        for (; i < n && times[i] > last; i++) {
                last = times[i];
                if (s->tail_n == TAIL_MAX || (s->tail_n && last - s->tail_ms > (int64_t)UINT32_MAX)) {
                        if (generation_seal(g, s->chunk, s->tail_ms, tail, s->tail_n, &s->chunk) < 0)
                                break;
                        s->tail_n = 0;
                }
                if (s->tail_n == 0)
                        s->tail_ms = last;
                tail[s->tail_n++] = (TailSample){ (uint32_t)(last - s->tail_ms), values[i] };
        }
        if (i == 0)
                return 0;
        s->last_ms = times[i - 1];
        s->seen = g->number;
        g->min_ms = times[0] < g->min_ms ? times[0] : g->min_ms;
        g->max_ms = s->last_ms > g->max_ms ? s->last_ms : g->max_ms;
        g->samples += i;
        return i;
}

/* A float at that very instant, in either generation. */
static bool find_float(const Head *h, uint32_t ref, const HeadSeries *s, int64_t time, double *ret_value) {
        const TailSample *tail = index_tail(h->index, ref);
        for (uint8_t i = s->tail_n; i-- > 0;)
                if (s->tail_ms + tail[i].after_ms == time) {
                        *ret_value = tail[i].value;
                        return true;
                }
        const Generation *f = h->frozen;
        return generation_find(h->current, s->chunk, time, ret_value) ||
               (f && ref < f->n_series && generation_find(f, f->heads[ref], time, ret_value));
}

const Aside *head_aside(const Head *h, const Generation *g, uint32_t ref) {
        uint32_t aside = 0;
        if (!g->frozen)
                aside = index_series(h->index, ref)->aside;
        else if (ref < g->n_series)
                aside = g->asides_of[ref];
        return aside ? &g->asides[aside - 1] : NULL;
}

static bool has_instant(const int64_t *times, uint32_t n, int64_t time, uint32_t *ret_at) {
        for (uint32_t low = 0, high = n; low < high;) {
                uint32_t middle = low + (high - low) / 2;
                if (times[middle] == time) {
                        *ret_at = middle;
                        return true;
                }
                if (times[middle] < time)
                        low = middle + 1;
                else
                        high = middle;
        }
        return false;
}

/* What stands at an instant that is not newer than the newest. */
typedef enum Standing { STANDING_NOTHING, STANDING_FLOAT, STANDING_HISTOGRAM } Standing;

static Standing standing(const Head *h, uint32_t ref, const HeadSeries *s, int64_t time, double *ret_value) {
        uint32_t at;
        if (find_float(h, ref, s, time, ret_value))
                return STANDING_FLOAT;
        const Generation *both[] = { h->current, h->frozen };
        for (size_t i = 0; i < ARRAY_LEN(both); i++) {
                const Aside *a = both[i] ? head_aside(h, both[i], ref) : NULL;
                if (a && has_instant(a->times, a->n, time, &at)) {
                        *ret_value = a->values[at];
                        return STANDING_FLOAT;
                }
                if (a && has_instant(a->histogram_times, a->n_histograms, time, &at))
                        return STANDING_HISTOGRAM;
        }
        return STANDING_NOTHING;
}

static bool too_old(const HeadSeries *s, int64_t time, int64_t window_ms) {
        return s->last_ms != INT64_MIN && time < s->last_ms && s->last_ms - time > window_ms;
}

static SampleFault fault_of(AsideAnswer a, bool *ret_same) {
        *ret_same = a == ASIDE_SAME;
        return a == ASIDE_OTHER ? SAMPLE_DUPLICATE : a == ASIDE_NO_MEMORY ? SAMPLE_NO_MEMORY : SAMPLE_OK;
}

static SampleFault put_aside(Head *h, uint32_t ref, HeadSeries *s, int64_t time, double value, bool *ret_same) {
        Aside *a = generation_aside(h->current, ref, &s->aside);
        if (!a || (a->n >= ASIDE_MAX && !h->replaying))
                return SAMPLE_NO_MEMORY;
        h->urgent = h->urgent || a->n >= ASIDE_LONG;
        SampleFault f = fault_of(aside_float(h->current, a, time, value), ret_same);
        if (f == SAMPLE_OK && !*ret_same)
                note(h, s, time);
        return f;
}

SampleFault head_float(Head *h, uint32_t ref, int64_t time, double value, int64_t window_ms, bool *ret_same) {
        HeadSeries *s = index_series(h->index, ref);
        double other;
        *ret_same = false;
        if (time > s->last_ms)
                return head_append(h, ref, &time, &value, 1) == 1 ? SAMPLE_OK : SAMPLE_NO_MEMORY;
        switch (standing(h, ref, s, time, &other)) {
        case STANDING_FLOAT:
                *ret_same = memcmp(&other, &value, sizeof value) == 0;
                return *ret_same ? SAMPLE_OK : SAMPLE_DUPLICATE;
        case STANDING_HISTOGRAM:
                return SAMPLE_DUPLICATE;
        case STANDING_NOTHING:
                break;
        }
        if (too_old(s, time, window_ms))
                return SAMPLE_TOO_OLD;
        return put_aside(h, ref, s, time, value, ret_same);
}

/* Whether the frozen generation has a histogram of that instant, and if so, whether it is this one. */
static bool frozen_histogram(const Head *h, uint32_t ref, int64_t time, const uint8_t *bytes, size_t n,
                             bool *ret_same) {
        const Aside *a = h->frozen ? head_aside(h, h->frozen, ref) : NULL;
        uint32_t at;
        if (!a || !has_instant(a->histogram_times, a->n_histograms, time, &at))
                return false;
        uint32_t begin = a->histogram_offsets[at];
        *ret_same = a->histogram_offsets[at + 1] - begin == n && memcmp(a->bytes.data + begin, bytes, n) == 0;
        return true;
}

SampleFault head_histogram(Head *h, uint32_t ref, int64_t time, const uint8_t *bytes, size_t n, int64_t window_ms,
                           bool *ret_same) {
        HeadSeries *s = index_series(h->index, ref);
        double other;
        *ret_same = false;
        if (time <= s->last_ms) {
                Standing there = standing(h, ref, s, time, &other);
                if (there == STANDING_FLOAT)
                        return SAMPLE_DUPLICATE;
                if (there == STANDING_NOTHING && too_old(s, time, window_ms))
                        return SAMPLE_TOO_OLD;
                if (there == STANDING_HISTOGRAM && frozen_histogram(h, ref, time, bytes, n, ret_same))
                        return *ret_same ? SAMPLE_OK : SAMPLE_DUPLICATE;
        }
        Aside *a = generation_aside(h->current, ref, &s->aside);
        if (!a || ((a->n_histograms >= ASIDE_MAX || a->bytes.len + n > ASIDE_BYTES_MAX) && !h->replaying))
                return SAMPLE_NO_MEMORY;
        h->urgent = h->urgent || a->n_histograms >= ASIDE_LONG || a->bytes.len > ASIDE_BYTES_LONG;
        SampleFault f = fault_of(aside_histogram(h->current, a, time, bytes, n), ret_same);
        if (f == SAMPLE_OK && !*ret_same)
                note(h, s, time);
        return f;
}

/* ---- Freezing ---- */

static int seal_tails(Head *h) {
        uint32_t n = index_count(h->index);
        for (uint32_t ref = 0; ref < n; ref++) {
                HeadSeries *s = index_series(h->index, ref);
                if (s->tail_n == 0)
                        continue;
                if (generation_seal(h->current, s->chunk, s->tail_ms, index_tail(h->index, ref), s->tail_n, &s->chunk) <
                    0)
                        return -ENOMEM;
                s->tail_n = 0;
        }
        return 0;
}

int head_freeze(Head *h) {
        uint32_t n = index_count(h->index);
        Generation *g = h->current, *next = NULL;
        assert(!h->frozen);
        CLEANUP_FREE uint32_t *heads = malloc(((size_t)n + 1) * sizeof *heads);
        CLEANUP_FREE uint32_t *asides = malloc(((size_t)n + 1) * sizeof *asides);
        if (!heads || !asides || seal_tails(h) < 0 || generation_new(g->number + 1, &next) < 0)
                return -ENOMEM;
        for (uint32_t ref = 0; ref < n; ref++) {
                HeadSeries *s = index_series(h->index, ref);
                heads[ref] = s->chunk;
                asides[ref] = s->aside;
                s->chunk = s->aside = 0;
        }
        g->heads = TAKE_PTR(heads);
        g->asides_of = TAKE_PTR(asides);
        g->n_series = n;
        g->frozen = true;
        h->frozen = g;
        h->current = next;
        h->epoch++;
        h->urgent = false;
        return 0;
}

void head_thaw(Head *h) {
        h->frozen = generation_unref(h->frozen);
}

/* ---- Forgetting ---- */

static bool is_dead(const HeadSeries *s, uint32_t since) {
        return s->seen < since && s->tail_n == 0 && s->chunk == 0 && s->aside == 0;
}

uint32_t head_dead(const Head *h, uint32_t since) {
        uint32_t n = index_count(h->index), dead = 0;
        for (uint32_t ref = 0; ref < n; ref++)
                dead += is_dead(index_series(h->index, ref), since);
        return dead;
}

static int move_series(Head *h, HeadIndex *to, uint32_t ref, Buf *run) {
        const HeadSeries *s = index_series(h->index, ref);
        uint32_t moved;
        buf_reset(run);
        index_run(h->index, ref, run);
        if (buf_error(run))
                return -ENOMEM;
        int r = index_add(to, index_hash(to, (const uint8_t *)run->data, run->len), (const uint8_t *)run->data,
                          run->len, &moved);
        if (r < 0)
                return r;
        HeadSeries *m = index_series(to, moved), fresh = *m;
        *m = *s;
        memcpy(m->hash, fresh.hash, sizeof m->hash);
        m->pairs = fresh.pairs;
        memcpy(index_tail(to, moved), index_tail(h->index, ref), s->tail_n * sizeof(TailSample));
        return 0;
}

int head_collect(Head *h, uint32_t since, uint32_t *ret_dropped) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        HeadIndex *next = NULL;
        uint32_t n = index_count(h->index), dropped = 0;
        assert(!h->frozen);
        int r = index_new(h->max_series, &next);
        for (uint32_t ref = 0; r == 0 && ref < n; ref++) {
                if (is_dead(index_series(h->index, ref), since))
                        dropped++;
                else
                        r = move_series(h, next, ref, &run);
        }
        if (r < 0) {
                (void)index_free(next);
                return r;
        }
        index_take_churn(next, h->index);
        (void)index_free(h->index);
        h->index = next;
        for (uint32_t ref = 0; ref < index_count(next); ref++)
                if (index_series(next, ref)->aside)
                        h->current->asides[index_series(next, ref)->aside - 1].ref = ref;
        h->epoch++;
        *ret_dropped = dropped;
        return 0;
}

/* ---- Reading ---- */

static uint32_t chain_of(const Head *h, const Generation *g, uint32_t ref) {
        if (!g->frozen)
                return index_series(h->index, ref)->chunk;
        return ref < g->n_series ? g->heads[ref] : 0;
}

static void widen(int64_t *min, int64_t *max, int64_t a, int64_t b) {
        if (a < *min)
                *min = a;
        if (b > *max)
                *max = b;
}

bool head_range(const Head *h, const Generation *g, uint32_t ref, int64_t *ret_min, int64_t *ret_max) {
        int64_t min = INT64_MAX, max = INT64_MIN, a, b;
        const Aside *aside = head_aside(h, g, ref);
        if (generation_range(g, chain_of(h, g, ref), &a, &b))
                widen(&min, &max, a, b);
        if (!g->frozen) {
                const HeadSeries *s = index_series(h->index, ref);
                if (s->tail_n)
                        widen(&min, &max, s->tail_ms, s->tail_ms + index_tail(h->index, ref)[s->tail_n - 1].after_ms);
        }
        if (aside && aside->n)
                widen(&min, &max, aside->times[0], aside->times[aside->n - 1]);
        if (aside && aside->n_histograms)
                widen(&min, &max, aside->histogram_times[0], aside->histogram_times[aside->n_histograms - 1]);
        *ret_min = min;
        *ret_max = max;
        return min <= max;
}

static int64_t next_of(const int64_t *times, uint32_t n, int64_t after) {
        uint32_t low = 0, high = n;
        while (low < high) {
                uint32_t middle = low + (high - low) / 2;
                if (times[middle] <= after)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < n ? times[low] : INT64_MAX;
}

int64_t head_next(const Generation *g, uint32_t ref, int64_t after) {
        assert(g->frozen && ref < g->n_series);
        int64_t next = generation_next(g, g->heads[ref], after);
        if (g->asides_of[ref]) {
                const Aside *a = &g->asides[g->asides_of[ref] - 1];
                int64_t floats = next_of(a->times, a->n, after),
                        histograms = next_of(a->histogram_times, a->n_histograms, after);
                next = floats < next ? floats : next;
                next = histograms < next ? histograms : next;
        }
        return next;
}

static void put_sample(Buf *times, Buf *values, int64_t t, double v) {
        buf_put(times, &t, sizeof t);
        buf_put(values, &v, sizeof v);
}

static void read_tail(const Head *h, uint32_t ref, int64_t begin_ms, int64_t end_ms, Buf *times, Buf *values) {
        const HeadSeries *s = index_series(h->index, ref);
        const TailSample *tail = index_tail(h->index, ref);
        for (uint8_t i = 0; i < s->tail_n; i++) {
                int64_t t = s->tail_ms + tail[i].after_ms;
                if (t > begin_ms && t <= end_ms)
                        put_sample(times, values, t, tail[i].value);
        }
}

/* Merges what is aside into what is in order, from the back, in place. */
static int merge_aside(const Aside *a, int64_t begin_ms, int64_t end_ms, size_t from, Buf *times, Buf *values) {
        uint32_t first = 0, last = a->n;
        while (first < last && a->times[first] <= begin_ms)
                first++;
        while (last > first && a->times[last - 1] > end_ms)
                last--;
        size_t more = last - first, n = times->len / sizeof(int64_t);
        if (more == 0)
                return 0;
        if (!buf_reserve(times, more * sizeof(int64_t)) || !buf_reserve(values, more * sizeof(double)))
                return -ENOMEM;
        int64_t *t = (int64_t *)(void *)times->data;
        double *v = (double *)(void *)values->data;
        for (size_t to = n + more; last > first;) {
                to--;
                if (n > from && t[n - 1] > a->times[last - 1]) {
                        t[to] = t[n - 1];
                        v[to] = v[n - 1];
                        n--;
                } else {
                        t[to] = a->times[last - 1];
                        v[to] = a->values[last - 1];
                        last--;
                }
        }
        times->len += more * sizeof(int64_t);
        values->len += more * sizeof(double);
        return 0;
}

/* The chain gives whole chunks: cuts what is outside. */
static void cut(size_t from, int64_t begin_ms, int64_t end_ms, Buf *times, Buf *values) {
        int64_t *t = (int64_t *)(void *)times->data;
        double *v = (double *)(void *)values->data;
        size_t n = times->len / sizeof *t, first = from;
        while (n > from && t[n - 1] > end_ms)
                n--;
        while (first < n && t[first] <= begin_ms)
                first++;
        if (first > from && n > first) {
                memmove(&t[from], &t[first], (n - first) * sizeof *t);
                memmove(&v[from], &v[first], (n - first) * sizeof *v);
        }
        times->len = (from + n - first) * sizeof *t;
        values->len = (from + n - first) * sizeof *v;
}

int head_read(const Head *h, const Generation *g, uint32_t ref, int64_t begin_ms, int64_t end_ms, Buf *ret_times,
              Buf *ret_values) {
        const Aside *aside = head_aside(h, g, ref);
        size_t from = ret_times->len / sizeof(int64_t);
        int r = generation_chain(g, chain_of(h, g, ref), begin_ms, end_ms, ret_times, ret_values);
        if (r < 0)
                return r;
        if (ret_times->len > from * sizeof(int64_t))
                cut(from, begin_ms, end_ms, ret_times, ret_values);
        if (!g->frozen)
                read_tail(h, ref, begin_ms, end_ms, ret_times, ret_values);
        if (aside)
                r = merge_aside(aside, begin_ms, end_ms, from, ret_times, ret_values);
        return r < 0 || buf_error(ret_times) || buf_error(ret_values) ? -ENOMEM : 0;
}
