/* Which samples of a window are the least, the greatest or in the middle: min, max, when they were, quantile, mad. */
#include "query/range_priv.h"

#include <string.h>

/* ---- min, max ---- */

/* The samples that are or may still become the extreme of a window, ascending by time: each is less extreme than the
 * one before it. NaN is none, unless there is nothing else. */
typedef struct Queue {
        uint32_t *at; /* a ring of cap, a power of two */
        size_t cap, first, n;
} Queue;

static int queue_grow(Arena *a, Queue *q) {
        size_t cap = q->cap ? 2 * q->cap : 64;
        uint32_t *at = arena_alloc(a, cap * sizeof *at);
        if (!at)
                return a->error;
        for (size_t i = 0; i < q->n; i++)
                at[i] = q->at[(q->first + i) & (q->cap - 1)];
        *q = (Queue){ at, cap, 0, q->n };
        return 0;
}

/* Whether the later of two makes the earlier one irrelevant. Of equal ones the first is the extreme, but the time is
 * the last one's. */
static inline bool replaces(FunctionId f, double later, double earlier) {
        switch (f) {
        case FUNCTION_MAX_OVER_TIME: return later > earlier;
        case FUNCTION_MIN_OVER_TIME: return later < earlier;
        case FUNCTION_TS_OF_MAX_OVER_TIME: return later >= earlier;
        default: return later <= earlier;
        }
}

static int queue_put(Arena *a, FunctionId f, const double *v, Queue *q, size_t i) {
        while (q->n && replaces(f, v[i], v[q->at[(q->first + q->n - 1) & (q->cap - 1)]]))
                q->n--;
        if (q->n == q->cap) {
                int r = queue_grow(a, q);
                if (r < 0)
                        return r;
        }
        q->at[(q->first + q->n++) & (q->cap - 1)] = (uint32_t)i;
        return 0;
}

static void queue_forget(Queue *q, size_t before) {
        while (q->n && q->at[q->first] < before) {
                q->first = (q->first + 1) & (q->cap - 1);
                q->n--;
        }
}

int range_extremes(const RangeCall *c, const RangeSamples *s, double *out) {
        bool time = c->function == FUNCTION_TS_OF_MAX_OVER_TIME || c->function == FUNCTION_TS_OF_MIN_OVER_TIME;
        Windows w = windows_of(c, s->times, s->n);
        Queue q = { 0 };
        size_t next = 0;
        for (size_t k = 0; k < c->steps->n; k++) {
                windows_next(&w);
                queue_forget(&q, w.lo);
                if (next < w.lo)
                        next = w.lo;
                for (; next < w.hi; next++) {
                        if (isnan(s->values[next]))
                                continue;
                        int r = queue_put(c->arena, c->function, s->values, &q, next);
                        if (r < 0)
                                return r;
                }
                if (w.hi == w.lo) {
                        out[k] = ABSENT;
                        continue;
                }
                size_t found = q.n ? q.at[q.first] : w.hi - 1;
                out[k] = time ? (double)s->times[found] / 1000 : s->values[found];
        }
        return 0;
}

/* ---- quantile, mad ---- */

/* The values of a window in order, kept from step to step: NaN first, then ascending. */
typedef struct Sorted {
        double *v;
        size_t n, cap, nans;
        size_t lo, hi; /* whose values they are */
} Sorted;

static size_t sorted_find(const Sorted *o, double v) {
        size_t low = o->nans, high = o->n;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (o->v[middle] < v)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static void sorted_put(Sorted *o, double v) {
        size_t at = isnan(v) ? o->nans++ : sorted_find(o, v);
        memmove(o->v + at + 1, o->v + at, (o->n - at) * sizeof *o->v);
        o->v[at] = v;
        o->n++;
}

static void sorted_take(Sorted *o, double v) {
        size_t at = isnan(v) ? --o->nans : sorted_find(o, v);
        o->n--;
        memmove(o->v + at, o->v + at + 1, (o->n - at) * sizeof *o->v);
}

static int sorted_room(Arena *a, Sorted *o, size_t n) {
        if (n <= o->cap)
                return 0;
        size_t cap = n < 64 ? 64 : 2 * n;
        double *v = arena_grow(a, o->v, o->cap * sizeof *v, cap * sizeof *v);
        if (!v)
                return a->error;
        o->v = v;
        o->cap = cap;
        return 0;
}

/* Makes it the order of another window, by exchanging what differs when that is little. */
static int sorted_move(Arena *a, Sorted *o, const double *v, size_t lo, size_t hi) {
        int r = sorted_room(a, o, hi - lo);
        if (r < 0)
                return r;
        bool near = lo >= o->lo && lo < o->hi && hi >= o->hi && (lo - o->lo) + (hi - o->hi) <= (hi - lo) / 4 + 2;
        if (near) {
                for (size_t i = o->lo; i < lo; i++)
                        sorted_take(o, v[i]);
                for (size_t i = o->hi; i < hi; i++)
                        sorted_put(o, v[i]);
        } else {
                o->n = hi - lo;
                memcpy(o->v, v + lo, o->n * sizeof *v);
                function_sort(o->v, o->n);
                for (o->nans = 0; o->nans < o->n && isnan(o->v[o->nans]);)
                        o->nans++;
        }
        o->lo = lo;
        o->hi = hi;
        return 0;
}

static double ordered_quantile(double q, const Sorted *o) {
        if (isnan(q))
                return NAN;
        return q < 0 ? -INFINITY : q > 1 ? INFINITY : function_quantile_sorted(q, o->v, o->n);
}

/* The median of the distances from the median. */
static double deviation(const Sorted *o, double *scratch) {
        double middle = ordered_quantile(0.5, o);
        for (size_t i = 0; i < o->n; i++)
                scratch[i] = fabs(o->v[i] - middle);
        return quantile_of(0.5, scratch, o->n);
}

int range_quantiles(const RangeCall *c, const RangeSamples *s, double *out) {
        bool mad = c->function == FUNCTION_MAD_OVER_TIME;
        Windows w = windows_of(c, s->times, s->n);
        Sorted o = { 0 };
        double *scratch = NULL;
        size_t scratch_cap = 0;
        for (size_t k = 0; k < c->steps->n; k++) {
                windows_next(&w);
                out[k] = ABSENT;
                if (w.hi == w.lo)
                        continue;
                int r = sorted_move(c->arena, &o, s->values, w.lo, w.hi);
                if (r < 0)
                        return r;
                if (!mad) {
                        function_check_quantile(c->notes, c->arg_place[0], c->args[0][k]);
                        out[k] = ordered_quantile(c->args[0][k], &o);
                        continue;
                }
                if (o.cap > scratch_cap) {
                        scratch = arena_alloc(c->arena, o.cap * sizeof *scratch);
                        if (!scratch)
                                return c->arena->error;
                        scratch_cap = o.cap;
                }
                out[k] = deviation(&o, scratch);
        }
        return 0;
}
