/* How counters and gauges move: rate, increase, delta, irate, idelta, changes, resets.
 *
 * A counter that begins anew shows as a value less than the one before. Where that happened is looked for once for the
 * whole series; a window then adds up those few that are in it. */
#include "query/range_priv.h"

#include <string.h>

/* ---- where a counter began anew ---- */

/* Positions of samples that are less than the one before, ascending. */
typedef struct Resets {
        uint32_t *at;
        size_t n;
} Resets;

/* Whether there is one among a few samples: most have none, which is quick to see for two at a time. */
#define BLOCK 32
typedef double Pair __attribute__((vector_size(16)));
typedef int64_t PairMask __attribute__((vector_size(16)));

static inline Pair pair_at(const double *v) {
        Pair p;
        memcpy(&p, v, sizeof p);
        return p;
}

static inline bool block_has_reset(const double *v) {
        PairMask any = { 0 }, other = { 0 };
        for (size_t i = 0; i < BLOCK; i += 4) {
                any |= pair_at(v + i) < pair_at(v + i - 1);
                other |= pair_at(v + i + 2) < pair_at(v + i + 1);
        }
        any |= other;
        return (any[0] | any[1]) != 0;
}

static int add_reset(Arena *a, Resets *r, size_t *cap, size_t at) {
        if (r->n == *cap) {
                size_t more = *cap ? 2 * *cap : 64;
                uint32_t *grown = arena_grow(a, r->at, *cap * sizeof *grown, more * sizeof *grown);
                if (!grown)
                        return a->error;
                r->at = grown;
                *cap = more;
        }
        r->at[r->n++] = (uint32_t)at;
        return 0;
}

static int find_resets(Arena *a, const RangeSamples *s, Resets *ret_resets) {
        Resets resets = { 0 };
        size_t cap = 0;
        for (size_t i = 1; i < s->n;) {
                size_t end = s->n - i < BLOCK ? s->n : i + BLOCK;
                if (end - i == BLOCK && !block_has_reset(s->values + i)) {
                        i = end;
                        continue;
                }
                for (; i < end; i++)
                        if (s->values[i] < s->values[i - 1]) {
                                int r = add_reset(a, &resets, &cap, i);
                                if (r < 0)
                                        return r;
                        }
        }
        *ret_resets = resets;
        return 0;
}

/* ---- rate, increase, delta ---- */

/* What of the extrapolation is the same for all windows. */
typedef struct Rate {
        bool counter, per_second;
        double seconds;
} Rate;

static Rate rate_of(const RangeCall *c) {
        return (Rate){ c->function != FUNCTION_DELTA, c->function == FUNCTION_RATE, (double)c->range_ms / 1000 };
}

/* Samples near the edges of a window, up to 10 % over their mean distance, say that the series goes on over them; else
 * it is taken to begin or end half a distance from them. A counter begins at 0 at the earliest. Times are milliseconds.
 */
static inline double extrapolation(const Rate *rate, double to_start, double to_end, double between, double gaps,
                                   double first, double grown) {
        to_start /= 1000;
        to_end /= 1000;
        between /= 1000;
        double mean = between / gaps, threshold = mean * 1.1;
        to_start = to_start >= threshold ? mean / 2 : to_start;
        double to_zero = between * (first / grown);
        bool begins = rate->counter & (grown > 0) & (first >= 0) & (to_zero < to_start);
        to_start = begins ? to_zero : to_start;
        to_end = to_end >= threshold ? mean / 2 : to_end;
        return (between + to_start + to_end) / between;
}

double range_extrapolation(const RangeCall *c, int64_t end_ms, int64_t first_ms, int64_t last_ms, size_t n,
                           bool counter, double first, double grown) {
        Rate rate = rate_of(c);
        rate.counter &= counter;
        double factor = extrapolation(&rate, (double)(first_ms - (end_ms - c->range_ms)), (double)(end_ms - last_ms),
                                      (double)(last_ms - first_ms), (double)(n - 1), first, grown);
        return rate.per_second ? factor / rate.seconds : factor;
}

/* What the windows of several steps say, apart from calculating with it: divisions wait for nothing, two at a time. */
#define STEPS_AT_ONCE 64
typedef struct Growths {
        double to_start[STEPS_AT_ONCE], to_end[STEPS_AT_ONCE], between[STEPS_AT_ONCE], gaps[STEPS_AT_ONCE];
        double first[STEPS_AT_ONCE], grown[STEPS_AT_ONCE];
} Growths;

static void extrapolate(const Rate *rate, const Growths *g, size_t n, double *out) {
        const Rate r = *rate;
        for (size_t i = 0; i < n; i++) {
                double factor = extrapolation(&r, g->to_start[i], g->to_end[i], g->between[i], g->gaps[i], g->first[i],
                                              g->grown[i]);
                out[i] = g->grown[i] * (r.per_second ? factor / r.seconds : factor);
        }
}

/* Puts what a window says at i. Those with less than two samples are marked by their number of gaps. */
static inline void look_at_window(const RangeSamples *s, const Windows *w, const Resets *resets, size_t *reset,
                                  Growths *g, size_t i) {
        int64_t end = w->end - w->step;
        size_t n = w->hi - w->lo;
        g->gaps[i] = (double)(int64_t)n - 1;
        if (n < 2) {
                g->to_start[i] = g->to_end[i] = g->between[i] = g->first[i] = g->grown[i] = 1;
                return;
        }
        const double *v = s->values;
        double grown = v[w->hi - 1] - v[w->lo];
        while (*reset < resets->n && resets->at[*reset] <= w->lo)
                ++*reset;
        for (size_t k = *reset; k < resets->n && resets->at[k] < w->hi; k++)
                grown += v[resets->at[k] - 1];
        int64_t first = s->times[w->lo], last = s->times[w->hi - 1];
        g->to_start[i] = (double)(first - (end - w->range));
        g->to_end[i] = (double)(end - last);
        g->between[i] = (double)(last - first);
        g->first[i] = v[w->lo];
        g->grown[i] = grown;
}

int range_rate(const RangeCall *c, const RangeSamples *s, double *out) {
        Rate rate = rate_of(c);
        Resets resets = { 0 };
        if (rate.counter) {
                int r = find_resets(c->arena, s, &resets);
                if (r < 0)
                        return r;
        }
        Windows w = windows_of(c, s->times, s->n);
        Growths g;
        size_t reset = 0;
        for (size_t k = 0, n; k < c->steps->n; k += n) {
                n = c->steps->n - k < STEPS_AT_ONCE ? c->steps->n - k : STEPS_AT_ONCE;
                for (size_t i = 0; i < n; i++) {
                        windows_next(&w);
                        look_at_window(s, &w, &resets, &reset, &g, i);
                }
                extrapolate(&rate, &g, n, out + k);
                for (size_t i = 0; i < n; i++)
                        out[k + i] = g.gaps[i] < 1 ? ABSENT : out[k + i];
        }
        return 0;
}

/* ---- anchored and smoothed ---- */

/* The line between samples i - 1 and i at a time; a counter that began anew between them did so at once. */
static double between(const RangeSamples *s, size_t i, int64_t at, bool counter) {
        double v = s->values[i - 1], next = s->values[i];
        if (counter && next < v)
                v = 0;
        return v + (next - v) * (double)(at - s->times[i - 1]) / (double)(s->times[i] - s->times[i - 1]);
}

/* What the resets between the ends take away. */
static double lost_to_resets(double left, double right, const double *v, size_t from, size_t to) {
        double lost = 0, before = left;
        for (size_t i = from; i < to; i++) {
                if (v[i] < before)
                        lost += before;
                before = v[i];
        }
        return right < before ? lost + before : lost;
}

/* The samples that a window of these modes may use: [from, to). */
static void reach(const RangeCall *c, const RangeSamples *s, const Windows *w, int64_t end, size_t *ret_from,
                  size_t *ret_to) {
        int64_t start = end - c->range_ms;
        size_t from = w->lo > 0 ? w->lo - 1 : 0, to = w->hi;
        if (from < w->lo && c->reach_ms && s->times[from] <= start - c->reach_ms)
                from = w->lo;
        /* One on the very end is the end. */
        bool on_end = w->hi > w->lo && s->times[w->hi - 1] == end;
        if (c->mode == RANGE_SMOOTHED && !on_end && to < s->n && !(c->reach_ms && s->times[to] > end + c->reach_ms))
                to++;
        *ret_from = from;
        *ret_to = to;
}

static double extended(const RangeCall *c, const RangeSamples *s, const Windows *w, int64_t end) {
        bool counter = c->function != FUNCTION_DELTA, smoothed = c->mode == RANGE_SMOOTHED;
        int64_t start = end - c->range_ms;
        size_t from, to;
        reach(c, s, w, end, &from, &to);
        if (from == to || s->times[to - 1] <= start)
                return ABSENT;
        double left = s->values[from], right = s->values[to - 1];
        if (smoothed && s->times[from] < start)
                left = between(s, from + 1, start, counter);
        if (smoothed && to - 1 > from && s->times[to - 1] > end)
                right = between(s, to - 1, end, counter);
        double grown = right - left;
        if (counter) {
                size_t first = s->times[from] <= start ? from + 1 : from, last = s->times[to - 1] >= end ? to - 1 : to;
                grown += lost_to_resets(left, right, s->values, first, last > first ? last : first);
        }
        return c->function == FUNCTION_RATE ? grown / ((double)c->range_ms / 1000) : grown;
}

int range_extended(const RangeCall *c, const RangeSamples *s, double *out) {
        Windows w = windows_of(c, s->times, s->n);
        for (size_t k = 0; k < c->steps->n; k++) {
                int64_t end = w.end;
                windows_next(&w);
                out[k] = extended(c, s, &w, end);
        }
        return 0;
}

/* ---- irate, idelta ---- */

void range_instant_rate(const RangeCall *c, const RangeSamples *s, double *out) {
        bool counter = c->function == FUNCTION_IRATE;
        Windows w = windows_of(c, s->times, s->n);
        for (size_t k = 0; k < c->steps->n; k++) {
                windows_next(&w);
                out[k] = ABSENT;
                if (w.hi - w.lo < 2 || s->times[w.hi - 1] == s->times[w.hi - 2])
                        continue;
                double v = s->values[w.hi - 1], before = s->values[w.hi - 2];
                double grown = counter && v < before ? v : v - before;
                out[k] = counter ? grown / ((double)(s->times[w.hi - 1] - s->times[w.hi - 2]) / 1000) : grown;
        }
}

/* ---- changes, resets ---- */

/* How often it happened up to each sample. */
static void count_up(const double *v, size_t n, bool change, uint32_t *counts) {
        uint32_t count = 0;
        counts[0] = 0;
        for (size_t i = 1; i < n; i++) {
                bool both_nan = (v[i] != v[i]) & (v[i - 1] != v[i - 1]);
                count += change ? (v[i] != v[i - 1]) & !both_nan : v[i] < v[i - 1];
                counts[i] = count;
        }
}

/* Of the last two samples before `lo`, how many are in reach of a window that begins at `start`. */
static size_t samples_reached(const RangeCall *c, const RangeSamples *s, size_t lo, int64_t start) {
        size_t n = 0;
        while (n < 2 && n < lo && !(c->reach_ms && s->times[lo - n - 1] <= start - c->reach_ms))
                n++;
        return n;
}

int range_counts(const RangeCall *c, const RangeSamples *s, double *out) {
        uint32_t *counts = arena_alloc(c->arena, (s->n + 1) * sizeof *counts);
        if (!counts)
                return c->arena->error;
        if (s->n)
                count_up(s->values, s->n, c->function == FUNCTION_CHANGES, counts);
        Windows w = windows_of(c, s->times, s->n);
        for (size_t k = 0; k < c->steps->n; k++) {
                int64_t start = w.end - w.range;
                windows_next(&w);
                /* Anchored: also what happened between the sample before the window and its first; or, where the window has
                 * none, between the last two before it. */
                size_t reached = c->mode == RANGE_PLAIN ? 0 : samples_reached(c, s, w.lo, start);
                size_t before = reached && (w.hi > w.lo || reached == 1) ? 1 : reached;
                out[k] = w.hi - w.lo + before == 0 ? ABSENT : (double)(counts[w.hi - 1] - counts[w.lo - before]);
        }
        return 0;
}
