/* Lines through the samples of windows: deriv, predict_linear, and smoothing. */
#include "query/range_priv.h"

typedef struct Line {
        double slope, intercept;
} Line;

/* Least squares; the intercept is the line's value at `origin`. Values that are all the same give it exactly. */
static Line regression(const int64_t *times, const double *v, size_t n, int64_t origin) {
        KahanSum x = { 0 }, y = { 0 }, xy = { 0 }, x2 = { 0 };
        bool constant = true;
        for (size_t i = 0; i < n; i++) {
                constant &= v[i] == v[0] || i == 0;
                double at = (double)(times[i] - origin) / 1e3;
                kahan_add(&x, at);
                kahan_add(&y, v[i]);
                kahan_add(&xy, at * v[i]);
                kahan_add(&x2, at * at);
        }
        if (constant)
                return isinf(v[0]) ? (Line){ NAN, NAN } : (Line){ 0, v[0] };
        double sum_x = x.sum + x.c, sum_y = y.sum + y.c, sum_xy = xy.sum + xy.c, sum_x2 = x2.sum + x2.c,
               count = (double)n;
        double slope = (sum_xy - sum_x * sum_y / count) / (sum_x2 - sum_x * sum_x / count);
        return (Line){ slope, sum_y / count - slope * sum_x / count };
}

void range_trend(const RangeCall *c, const RangeSamples *s, double *out) {
        bool predict = c->function == FUNCTION_PREDICT_LINEAR;
        Windows w = windows_of(c, s->times, s->n);
        for (size_t k = 0; k < c->steps->n; k++) {
                windows_next(&w);
                out[k] = ABSENT;
                if (w.hi - w.lo < 2)
                        continue;
                /* What is near the samples loses no digits; a prediction starts from when it is asked for. */
                int64_t origin = predict ? step_time(c->steps, k) : s->times[w.lo];
                Line line = regression(s->times + w.lo, s->values + w.lo, w.hi - w.lo, origin);
                out[k] = predict ? line.slope * c->args[0][k] + line.intercept : line.slope;
        }
}

/* ---- double exponential smoothing ---- */

static double smooth(const double *v, size_t n, double factor, double trend_factor) {
        double before = 0, now = v[0], trend = v[1] - v[0];
        for (size_t i = 1; i < n; i++) {
                if (i > 1)
                        trend = trend_factor * (now - before) + (1 - trend_factor) * trend;
                double next = factor * v[i] + (1 - factor) * (now + trend);
                before = now;
                now = next;
        }
        return now;
}

static bool factor_is_right(const RangeCall *c, const char *what, const char *symbol, double v) {
        if (!(v <= 0 || v >= 1))
                return true;
        if (c->error)
                buf_printf(c->error, "invalid %s factor. Expected: 0 < %s < 1, got: %f", what, symbol, v);
        return false;
}

int range_smoothing(const RangeCall *c, const RangeSamples *s, double *out) {
        Windows w = windows_of(c, s->times, s->n);
        for (size_t k = 0; k < c->steps->n; k++) {
                windows_next(&w);
                out[k] = ABSENT;
                if (w.hi == w.lo)
                        continue;
                double factor = c->args[0][k], trend_factor = c->args[1][k];
                if (!factor_is_right(c, "smoothing", "sf", factor) || !factor_is_right(c, "trend", "tf", trend_factor))
                        return -EINVAL;
                if (w.hi - w.lo >= 2)
                        out[k] = smooth(s->values + w.lo, w.hi - w.lo, factor, trend_factor);
        }
        return 0;
}
