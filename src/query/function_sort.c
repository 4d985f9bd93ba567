/* Order of values: what quantiles need. */
#include "query/function_priv.h"

#include <stdlib.h>

#define SMALL 24

static void sort_small(double *v, size_t n) {
        for (size_t i = 1; i < n; i++) {
                double x = v[i];
                size_t k = i;
                for (; k > 0 && v[k - 1] > x; k--)
                        v[k] = v[k - 1];
                v[k] = x;
        }
}

static int compare(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;
        return (x > y) - (x < y);
}

static double median(double a, double b, double c) {
        return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

/* No NaN among them. `depth` bounds what unlucky data can cost. */
static void sort_numbers(double *v, size_t n, unsigned depth) {
        while (n > SMALL) {
                if (depth-- == 0) {
                        qsort(v, n, sizeof *v, compare);
                        return;
                }
                double pivot = median(v[0], v[n / 2], v[n - 1]);
                size_t i = 0, k = n - 1;
                for (;; i++, k--) {
                        while (v[i] < pivot)
                                i++;
                        while (v[k] > pivot)
                                k--;
                        if (i >= k)
                                break;
                        double x = v[i];
                        v[i] = v[k];
                        v[k] = x;
                }
                size_t left = k + 1;
                if (left < n - left) {
                        sort_numbers(v, left, depth);
                        v += left;
                        n -= left;
                } else {
                        sort_numbers(v + left, n - left, depth);
                        n = left;
                }
        }
        sort_small(v, n);
}

void function_sort(double *values, size_t n) {
        size_t nans = 0;
        for (size_t i = 0; i < n; i++)
                if (isnan(values[i])) {
                        double x = values[i];
                        values[i] = values[nans];
                        values[nans++] = x;
                }
        sort_numbers(values + nans, n - nans, 48);
}

double function_quantile_sorted(double q, const double *values, size_t n) {
        double rank = q * (double)(n - 1), below = floor(rank), weight = rank - below;
        size_t lower = (size_t)below, upper = lower + 1 < n ? lower + 1 : n - 1;
        return values[lower] * (1 - weight) + values[upper] * weight;
}

double quantile_of(double q, double *values, size_t n) {
        if (n == 0 || isnan(q))
                return NAN;
        if (q < 0)
                return -INFINITY;
        if (q > 1)
                return INFINITY;
        function_sort(values, n);
        return function_quantile_sorted(q, values, n);
}
