/* What range functions share: how windows move over the samples of a series. */
#pragma once

#include "query/function_priv.h"

/* The samples [lo, hi) of the window of one step. Windows move forwards, usually by as many samples as the one before.
 */
typedef struct Windows {
        const int64_t *times;
        size_t n;
        int64_t end, step, range; /* of the next window */
        size_t lo, hi;
        size_t lo_stride, hi_stride;
} Windows;

Windows windows_of(const RangeCall *c, const int64_t *times, size_t n);
/* The first sample behind `bound` from `at` on: near it, else by halving. */
size_t windows_search(const int64_t *times, size_t n, size_t at, int64_t bound);

/* The same, where the stride says if it is right. */
static inline size_t windows_seek(const int64_t *times, size_t n, size_t at, int64_t bound, size_t *stride) {
        size_t guess = at + *stride;
        if (guess < n && times[guess] > bound && (guess == at || times[guess - 1] <= bound))
                return guess;
        size_t found = windows_search(times, n, at, bound);
        *stride = found - at;
        return found;
}

/* Moves to the next window. */
static inline void windows_next(Windows *w) {
        w->lo = windows_seek(w->times, w->n, w->lo, w->end - w->range, &w->lo_stride);
        w->hi = windows_seek(w->times, w->n, w->hi > w->lo ? w->hi : w->lo, w->end, &w->hi_stride);
        w->end += w->step;
}

/* As kahan_add(), without a branch, and the same digits, as long as all is finite: Knuth's TwoSum finds the rounding
 * error that Neumaier's comparison finds, exactly. */
static inline void range_two_sum(double *sum, double *c, double v) {
        double t = *sum + v, part = t - *sum;
        *c += (*sum - (t - part)) + (v - part);
        *sum = t;
}

/* Each fills out[0..steps) from the floats alone, as if there were no histograms. */
int range_rate(const RangeCall *c, const RangeSamples *s, double *out) MUST_USE;
void range_instant_rate(const RangeCall *c, const RangeSamples *s, double *out);
int range_extended(const RangeCall *c, const RangeSamples *s, double *out) MUST_USE;
int range_counts(const RangeCall *c, const RangeSamples *s, double *out) MUST_USE;   /* changes, resets */
int range_extremes(const RangeCall *c, const RangeSamples *s, double *out) MUST_USE; /* min, max and when they were */
void range_sums(const RangeCall *c, const RangeSamples *s, double *out);             /* sum, avg */
void range_spread(const RangeCall *c, const RangeSamples *s, double *out);           /* stddev, stdvar */
void range_trend(const RangeCall *c, const RangeSamples *s, double *out);            /* deriv, predict_linear */
int range_smoothing(const RangeCall *c, const RangeSamples *s, double *out) MUST_USE;
int range_quantiles(const RangeCall *c, const RangeSamples *s, double *out) MUST_USE; /* quantile, mad */

/* Extrapolation of what a counter (or gauge) grew between the first and the last sample of a window to the whole of it:
 * the factor that the growth is to be multiplied with. `first` and `grown` are what a counter was at first and grew; n
 * samples, at least two. */
double range_extrapolation(const RangeCall *c, int64_t end_ms, int64_t first_ms, int64_t last_ms, size_t n,
                           bool counter, double first, double grown);

/* Steps with histograms in their window, over what the floats alone gave. */
int range_histograms(const RangeCall *c, const RangeSamples *s, Row *out) MUST_USE;
