/* Sums over windows: sum, avg, stddev, stdvar.
 *
 * A sum is calculated anew for each window, from its first sample to its last with Neumaier's correction, because one
 * that is carried over would have other digits. What makes it quick: the windows of several steps at once, whose chains
 * of additions do not wait for each other, and a correction without branches. Knuth's TwoSum finds the same rounding
 * error as Neumaier's comparison does, exactly, unless infinities come in; then the window is calculated in the plain
 * way. */
#include "query/range_priv.h"

#define LANES 4

/* Several windows. */
typedef struct Lanes {
        const double *v[LANES];
        size_t n[LANES];
        double sum[LANES], c[LANES];
} Lanes;

static void sum_lanes(Lanes *l) {
        size_t least = l->n[0];
        double sum[LANES] = { 0 }, c[LANES] = { 0 };
        for (int i = 1; i < LANES; i++)
                if (l->n[i] < least)
                        least = l->n[i];
        for (size_t k = 0; k < least; k++)
                for (int i = 0; i < LANES; i++)
                        range_two_sum(&sum[i], &c[i], l->v[i][k]);
        for (int i = 0; i < LANES; i++) {
                for (size_t k = least; k < l->n[i]; k++)
                        range_two_sum(&sum[i], &c[i], l->v[i][k]);
                l->sum[i] = sum[i];
                l->c[i] = c[i];
        }
}

static double plain_sum(const double *v, size_t n) {
        KahanSum k = { 0 };
        for (size_t i = 0; i < n; i++)
                kahan_add(&k, v[i]);
        return isinf(k.sum) ? k.sum : k.sum + k.c;
}

/* As long as the sum is finite it is the mean times the count; beyond, the mean itself is carried on. */
static double plain_avg(const double *v, size_t n) {
        KahanSum k = { v[0], 0 }, mean = { 0 };
        bool overflow = false;
        double count = 1;
        for (size_t i = 1; i < n; i++) {
                count = (double)(i + 1);
                if (!overflow) {
                        KahanSum next = k;
                        kahan_add(&next, v[i]);
                        if (!isinf(next.sum)) {
                                k = next;
                                continue;
                        }
                        overflow = true;
                        mean = (KahanSum){ k.sum / (count - 1), k.c / (count - 1) };
                }
                double q = (count - 1) / count;
                mean.sum *= q;
                mean.c *= q;
                kahan_add(&mean, v[i] / count);
        }
        return overflow ? mean.sum + mean.c : k.sum / count + k.c / count;
}

static double finish_sum(bool avg, const double *v, size_t n, double sum, double c) {
        if (!isfinite(sum) || !isfinite(c))
                return avg ? plain_avg(v, n) : plain_sum(v, n);
        return avg ? sum / (double)n + c / (double)n : sum + c;
}

/* The next windows, at most LANES; those that are missing are empty. */
static size_t fill_lanes(Lanes *l, Windows *w, const double *v, size_t steps) {
        size_t n = steps < LANES ? steps : LANES;
        *l = (Lanes){ 0 };
        for (size_t i = 0; i < n; i++) {
                windows_next(w);
                l->v[i] = v + w->lo;
                l->n[i] = w->hi - w->lo;
        }
        return n;
}

void range_sums(const RangeCall *c, const RangeSamples *s, double *out) {
        bool avg = c->function == FUNCTION_AVG_OVER_TIME;
        Windows w = windows_of(c, s->times, s->n);
        Lanes l;
        for (size_t k = 0, n; k < c->steps->n; k += n) {
                n = fill_lanes(&l, &w, s->values, c->steps->n - k);
                sum_lanes(&l);
                for (size_t i = 0; i < n; i++)
                        out[k + i] = l.n[i] ? finish_sum(avg, l.v[i], l.n[i], l.sum[i], l.c[i]) : ABSENT;
        }
}

/* ---- stddev, stdvar ---- */

/* Welford's method, both sums corrected. */
typedef struct Spread {
        KahanSum mean, squares;
} Spread;

static inline void spread_add(Spread *s, double v, double count) {
        double distance = v - (s->mean.sum + s->mean.c);
        range_two_sum(&s->mean.sum, &s->mean.c, distance / count);
        range_two_sum(&s->squares.sum, &s->squares.c, distance * (v - (s->mean.sum + s->mean.c)));
}

static double plain_variance(const double *v, size_t n) {
        Spread s = { 0 };
        for (size_t i = 0; i < n; i++) {
                double distance = v[i] - (s.mean.sum + s.mean.c);
                kahan_add(&s.mean, distance / (double)(i + 1));
                kahan_add(&s.squares, distance * (v[i] - (s.mean.sum + s.mean.c)));
        }
        return (s.squares.sum + s.squares.c) / (double)n;
}

static void spread_lanes(const Lanes *l, double *ret_variance) {
        Spread s[LANES] = { 0 };
        size_t least = l->n[0];
        for (int i = 1; i < LANES; i++)
                if (l->n[i] < least)
                        least = l->n[i];
        for (size_t k = 0; k < least; k++)
                for (int i = 0; i < LANES; i++)
                        spread_add(&s[i], l->v[i][k], (double)(k + 1));
        for (int i = 0; i < LANES; i++) {
                for (size_t k = least; k < l->n[i]; k++)
                        spread_add(&s[i], l->v[i][k], (double)(k + 1));
                double variance = (s[i].squares.sum + s[i].squares.c) / (double)l->n[i];
                ret_variance[i] = isfinite(variance) || l->n[i] == 0 ? variance : plain_variance(l->v[i], l->n[i]);
        }
}

void range_spread(const RangeCall *c, const RangeSamples *s, double *out) {
        bool root = c->function == FUNCTION_STDDEV_OVER_TIME;
        Windows w = windows_of(c, s->times, s->n);
        Lanes l;
        double variance[LANES];
        for (size_t k = 0, n; k < c->steps->n; k += n) {
                n = fill_lanes(&l, &w, s->values, c->steps->n - k);
                spread_lanes(&l, variance);
                for (size_t i = 0; i < n; i++)
                        out[k + i] = !l.n[i] ? ABSENT : root ? sqrt(variance[i]) : variance[i];
        }
}
