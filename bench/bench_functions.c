/* What range functions cost: CPU of one thread over series of a day, by step and by sample.
 *
 *   bench_functions [SERIES [STEP_S [RANGE_S]]]     default: 200 series of 10 s samples over 24 h, 60 s steps, 5 min
 * windows */
#include "query/function.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SAMPLE_MS 10000
#define DAY_MS INT64_C(86400000)
#define BEGIN_MS INT64_C(1764000000000)

typedef struct Series {
        int64_t *times;
        double *values;
        size_t n;
} Series;

static double cpu_seconds(void) {
        struct timespec t;
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* As from a scrape: times with a few milliseconds of jitter, a counter with a reset a day. */
static Series make_series(unsigned number) {
        size_t n = (size_t)(DAY_MS / SAMPLE_MS);
        Series s = { malloc(n * sizeof *s.times), malloc(n * sizeof *s.values), n };
        double sum = 0;
        assert(s.times && s.values);
        srand48(number);
        for (size_t i = 0; i < n; i++) {
                s.times[i] = BEGIN_MS + (int64_t)i * SAMPLE_MS + (int64_t)(drand48() * 20);
                sum = i == n / 2 ? 0 : sum + drand48() * 1000;
                s.values[i] = sum;
        }
        return s;
}

static void measure(FunctionId f, const char *name, const Series *series, unsigned n_series, const Steps *steps,
                    int64_t range_ms) {
        double *v = malloc(steps->n * sizeof *v), *q = malloc(steps->n * sizeof *q), sum = 0, best = 1e9;
        assert(v && q);
        for (size_t k = 0; k < steps->n; k++)
                q[k] = 0.9;
        for (int round = 0; round < 3; round++) {
                double began = cpu_seconds();
                for (unsigned i = 0; i < n_series; i++) {
                        ArenaBudget budget = ARENA_BUDGET((size_t)64 << 20);
                        Arena arena = ARENA(&budget);
                        RangeCall call = { .function = f,
                                           .steps = steps,
                                           .first_end_ms = steps->start_ms,
                                           .end_step_ms = steps->step_ms,
                                           .range_ms = range_ms,
                                           .args = { q, q },
                                           .arena = &arena };
                        RangeSamples samples = { .times = series[i].times,
                                                 .values = series[i].values,
                                                 .n = series[i].n };
                        Row row = { .v = v };
                        int r = range_evaluate(&call, &samples, &row);
                        assert(r == 0);
                        sum += v[steps->n / 2];
                        arena_deinit(&arena);
                }
                double took = cpu_seconds() - began;
                best = took < best ? took : best;
        }
        double each = best * 1e9 / n_series;
        (void)printf("%-24s %8.1f us a series %8.1f ns a step %8.2f ns a sample   (%g)\n", name, each / 1e3,
                     each / (double)steps->n, each / (double)series[0].n, sum / n_series / 3);
        free(v);
        free(q);
}

int main(int argc, char **argv) {
        unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 200;
        int64_t step_ms = (argc > 2 ? strtol(argv[2], NULL, 10) : 60) * 1000,
                range_ms = (argc > 3 ? strtol(argv[3], NULL, 10) : 300) * 1000;
        Steps steps = { BEGIN_MS + range_ms, step_ms, (size_t)((DAY_MS - range_ms) / step_ms) };
        static const struct {
                FunctionId f;
                const char *name;
        } FUNCTIONS[] = {
                { FUNCTION_RATE, "rate" },
                { FUNCTION_INCREASE, "increase" },
                { FUNCTION_DELTA, "delta" },
                { FUNCTION_IRATE, "irate" },
                { FUNCTION_CHANGES, "changes" },
                { FUNCTION_COUNT_OVER_TIME, "count_over_time" },
                { FUNCTION_LAST_OVER_TIME, "last_over_time" },
                { FUNCTION_SUM_OVER_TIME, "sum_over_time" },
                { FUNCTION_AVG_OVER_TIME, "avg_over_time" },
                { FUNCTION_MAX_OVER_TIME, "max_over_time" },
                { FUNCTION_STDDEV_OVER_TIME, "stddev_over_time" },
                { FUNCTION_QUANTILE_OVER_TIME, "quantile_over_time" },
                { FUNCTION_DERIV, "deriv" },
                { FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING, "double_exponential_smoothing" },
        };
        Series *series = calloc(n, sizeof *series);
        assert(series && n > 0 && step_ms > 0);
        for (unsigned i = 0; i < n; i++)
                series[i] = make_series(i);
        (void)printf("%u series of %zu samples, %zu steps\n", n, series[0].n, steps.n);
        for (size_t i = 0; i < sizeof FUNCTIONS / sizeof FUNCTIONS[0]; i++)
                measure(FUNCTIONS[i].f, FUNCTIONS[i].name, series, n, &steps, range_ms);
        for (unsigned i = 0; i < n; i++) {
                free(series[i].times);
                free(series[i].values);
        }
        free(series);
        return 0;
}
