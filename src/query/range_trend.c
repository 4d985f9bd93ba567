/* Lines through the samples of windows: deriv, predict_linear, and smoothing. */
#include "query/range_priv.h"

typedef struct Line {
        double slope, intercept;
} Line;

typedef struct Sums {
        KahanSum x, y, xy, x2;
        bool constant; /* all values are the same */
} Sums;

static Sums add_up(const int64_t *times, const double *v, size_t n, int64_t origin) {
        Sums s = { .constant = true };
        for (size_t i = 0; i < n; i++) {
                double x = (double)(times[i] - origin) / 1e3;
                s.constant &= (i == 0) | (v[i] == v[0]);
                range_two_sum(&s.x.sum, &s.x.c, x);
                range_two_sum(&s.y.sum, &s.y.c, v[i]);
                range_two_sum(&s.xy.sum, &s.xy.c, x * v[i]);
                range_two_sum(&s.x2.sum, &s.x2.c, x * x);
        }
        return s;
}

/* The same where infinities come in. */
static void add_up_plainly(const int64_t *times, const double *v, size_t n, int64_t origin, Sums *s) {
        *s = (Sums){ .constant = s->constant };
        for (size_t i = 0; i < n; i++) {
                double x = (double)(times[i] - origin) / 1e3;
                kahan_add(&s->x, x);
                kahan_add(&s->y, v[i]);
                kahan_add(&s->xy, x * v[i]);
                kahan_add(&s->x2, x * x);
        }
}

/* Least squares; the intercept is the line's value at `origin`. Values that are all the same give it exactly. */
static Line regression(const int64_t *times, const double *v, size_t n, int64_t origin) {
        Sums s = add_up(times, v, n, origin);
        if (s.constant)
                return isinf(v[0]) ? (Line){ NAN, NAN } : (Line){ 0, v[0] };
        if (!isfinite(s.y.c) || !isfinite(s.xy.c))
                add_up_plainly(times, v, n, origin, &s);
        double x = s.x.sum + s.x.c, y = s.y.sum + s.y.c, xy = s.xy.sum + s.xy.c, x2 = s.x2.sum + s.x2.c;
        double count = (double)n, slope = (xy - x * y / count) / (x2 - x * x / count);
        return (Line){ slope, y / count - slope * x / count };
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
