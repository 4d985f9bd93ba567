#include "query/test_function.h"

#include <stdlib.h>

/* One series and how it is asked for; windows end at start, start + step, ... */
typedef struct Ask {
        FunctionId f;
        int64_t start_s, step_s, range_s;
        size_t n;
        RangeMode mode;
        double args[2];
        int64_t reach_s;
        bool at; /* all windows are the first */
} Ask;

static int ask(Bench *b, const Ask *a, const RangeSamples *s, Row *row) {
        Steps steps = { a->start_s * 1000, a->step_s * 1000, a->n };
        double *args[2];
        for (int i = 0; i < 2; i++) {
                args[i] = ARENA_ARRAY(&b->arena, double, a->n);
                assert_non_null(args[i]);
                for (size_t k = 0; k < a->n; k++)
                        args[i][k] = a->args[i];
        }
        RangeCall call = { .function = a->f,
                           .steps = &steps,
                           .first_end_ms = steps.start_ms,
                           .end_step_ms = a->at ? 0 : steps.step_ms,
                           .range_ms = a->range_s * 1000,
                           .mode = a->mode,
                           .args = { args[0], args[1] },
                           .metric = S("m_total"),
                           .place = { 5, 9 },
                           .arena = &b->arena,
                           .notes = &b->notes,
                           .reach_ms = a->reach_s * 1000,
                           .error = &b->error };
        row->v = ARENA_ARRAY(&b->arena, double, a->n);
        assert_non_null(row->v);
        return range_evaluate(&call, s, row);
}

/* Samples at seconds. */
typedef struct Points {
        size_t n;
        struct {
                double s, v;
        } at[16];
} Points;

static RangeSamples samples(Bench *b, const Points *p) {
        int64_t *times = ARENA_ARRAY(&b->arena, int64_t, p->n);
        double *values = ARENA_ARRAY(&b->arena, double, p->n);
        assert_true(times && values);
        for (size_t i = 0; i < p->n; i++) {
                times[i] = (int64_t)llround(p->at[i].s * 1000);
                values[i] = p->at[i].v;
        }
        return (RangeSamples){ .times = times, .values = values, .n = p->n };
}

static double once(Bench *b, FunctionId f, int64_t end_s, int64_t range_s, const Points *p, double arg) {
        Ask a = { .f = f, .start_s = end_s, .step_s = 1, .range_s = range_s, .n = 1, .args = { arg, 0.5 } };
        RangeSamples s = samples(b, p);
        Row row = { 0 };
        assert_int_equal(ask(b, &a, &s, &row), 0);
        assert_null(row.h);
        return row.v[0];
}

#define ABSENT_ (-12345678.) /* in tables: no value */
static void assert_value(double v, double wanted, size_t i) {
        if (wanted == ABSENT_
                    ? !is_absent(v)
                    : is_absent(v) || (!same_double(v, wanted) && !(fabs(v - wanted) <= 1e-14 * fabs(wanted))))
                fail_msg("case %zu: %.17g is not %.17g", i, v, wanted);
}

/* 60 s windows that end at 60 */
static void extrapolates(void **state) {
        static const struct {
                FunctionId f;
                Points p;
                double wanted;
        } CASES[] = {
                /* from 10 to 60 by 10: 100 in 50 s. To the start 10 s, under 1.1 * 10: all 60 s, but 0 was 10 / 100 *
                   50 = 5 s before */
                { FUNCTION_INCREASE,
                  { 6, { { 10, 10 }, { 20, 30 }, { 30, 50 }, { 40, 70 }, { 50, 90 }, { 60, 110 } } },
                  110 },
                { FUNCTION_RATE,
                  { 6, { { 10, 10 }, { 20, 30 }, { 30, 50 }, { 40, 70 }, { 50, 90 }, { 60, 110 } } },
                  110. / 60 },
                { FUNCTION_INCREASE,
                  { 6, { { 10, 1000 }, { 20, 1020 }, { 30, 1040 }, { 40, 1060 }, { 50, 1080 }, { 60, 1100 } } },
                  120 },
                { FUNCTION_DELTA,
                  { 6, { { 10, 10 }, { 20, 30 }, { 30, 50 }, { 40, 70 }, { 50, 90 }, { 60, 110 } } },
                  120 },
                /* to the start 25 s, over 11: half a distance. 20 grown in 20 s: (20 + 5 + 10) / 20 */
                { FUNCTION_DELTA, { 3, { { 25, 50 }, { 35, 60 }, { 45, 70 } } }, 20. * (20 + 5 + 5) / 20 },
                { FUNCTION_DELTA, { 3, { { 30, 50 }, { 40, 60 }, { 50, 70 } } }, 20. * (20 + 5 + 10) / 20 },
                /* 11 s is 1.1 * 10: no more */
                { FUNCTION_DELTA, { 3, { { 29, 50 }, { 39, 60 }, { 49, 70 } } }, 20. * (20 + 5 + 5) / 20 },
                { FUNCTION_DELTA,
                  { 3, { { 29.001, 50 }, { 39.001, 60 }, { 49.001, 70 } } },
                  20. * (20 + 5 + 10.999) / 20 },
                /* a reset between 80 and 5: grown 20 + 5 = (15 - 60) + 80 - ...: 15 - 60 + 80 = 35 */
                { FUNCTION_INCREASE, { 4, { { 15, 60 }, { 30, 80 }, { 45, 5 }, { 60, 15 } } }, 35. * (45 + 15) / 45 },
                { FUNCTION_DELTA, { 4, { { 15, 60 }, { 30, 80 }, { 45, 5 }, { 60, 15 } } }, -45. * (45 + 15) / 45 },
                /* negative at first: no zero to begin at */
                { FUNCTION_INCREASE, { 3, { { 20, -10 }, { 40, 0 }, { 60, 10 } } }, 20. * 60 / 40 },
                { FUNCTION_INCREASE, { 3, { { 20, 5 }, { 40, 5 }, { 60, 5 } } }, 0 },
                { FUNCTION_INCREASE, { 3, { { 20, 0 }, { 40, 5 }, { 60, 10 } } }, 10 }, /* begins at 0, there */
                { FUNCTION_RATE, { 1, { { 20, 0 } } }, ABSENT_ },
                { FUNCTION_RATE, { 0, { { 0, 0 } } }, ABSENT_ },
                /* the left edge does not belong to the window, the right one does */
                { FUNCTION_RATE, { 2, { { 0, 0 }, { 60, 10 } } }, ABSENT_ },
                { FUNCTION_DELTA, { 2, { { 0.001, 0 }, { 60, 10 } } }, 10. * (59.999 + 0.001) / 59.999 },
                { FUNCTION_DELTA, { 3, { { 30, 0 }, { 60, 10 }, { 60.001, 1000 } } }, 20 },
                { FUNCTION_RATE, { 2, { { 30, NAN }, { 60, 10 } } }, NAN },
                { FUNCTION_RATE, { 2, { { 30, 1 }, { 60, INFINITY } } }, INFINITY },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_value(once(*state, CASES[i].f, 60, 60, &CASES[i].p, 0), CASES[i].wanted, i);
        assert_no_notes((Bench *)*state);
}

/* by the name it is none, and there is a result */
static void says_what_is_no_counter(void **state) {
        Bench *b = *state;
        static const struct {
                FunctionId f;
                Span metric;
                size_t n;
                bool note;
        } CASES[] = {
                { FUNCTION_RATE, S("m"), 2, true },        { FUNCTION_INCREASE, S("total"), 2, true },
                { FUNCTION_RATE, S("m_total"), 2, false }, { FUNCTION_RATE, S("m_sum"), 2, false },
                { FUNCTION_RATE, S("m_count"), 2, false }, { FUNCTION_INCREASE, S("m_bucket"), 2, false },
                { FUNCTION_RATE, S(""), 2, false },        { FUNCTION_RATE, S("m"), 1, false },
                { FUNCTION_IRATE, S("m"), 2, false },      { FUNCTION_DELTA, S("m"), 2, false },
        };
        int64_t times[] = { 10000, 20000 };
        double values[] = { 1, 2 }, v;
        Steps steps = { 60000, 1000, 1 };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                RangeCall call = { .function = CASES[i].f,
                                   .steps = &steps,
                                   .first_end_ms = 60000,
                                   .end_step_ms = 1000,
                                   .range_ms = 60000,
                                   .metric = CASES[i].metric,
                                   .arena = &b->arena,
                                   .notes = &b->notes };
                RangeSamples s = { .times = times, .values = values, .n = CASES[i].n };
                Row row = { .v = &v };
                assert_int_equal(range_evaluate(&call, &s, &row), 0);
                if (!CASES[i].note)
                        assert_no_notes(b);
                else if (i == 0)
                        assert_note(b, "PromQL info: metric might not be a counter, name does not end in "
                                       "_total/_sum/_count/_bucket: \"m\"");
                else
                        assert_note(b, "PromQL info: metric might not be a counter, name does not end in "
                                       "_total/_sum/_count/_bucket: \"total\"");
        }
}

/* windows (0, 60] of 10 s distances */
static void single_values(void **state) {
        static const Points P = { 6, { { 10, 3 }, { 20, 1 }, { 30, 4 }, { 40, 4 }, { 50, 1 }, { 60, 5 } } };
        static const Points NANS = { 5, { { 10, NAN }, { 20, 2 }, { 30, NAN }, { 40, 7 }, { 50, NAN } } },
                            ALL_NAN = { 2, { { 10, NAN }, { 20, NAN } } };
        static const Points INFS = { 3, { { 10, INFINITY }, { 20, 1 }, { 30, -INFINITY } } },
                            HUGE_ = { 3, { { 10, 1.5e308 }, { 20, 1.5e308 }, { 30, 3e307 } } };
        static const Points ONE = { 1, { { 30, 8 } } }, NONE = { 0, { { 0, 0 } } },
                            LOST = { 3, { { 10, 1e100 }, { 20, 1 }, { 30, -1e100 } } };
        static const struct {
                FunctionId f;
                const Points *p;
                double arg, wanted;
        } CASES[] = {
                { FUNCTION_SUM_OVER_TIME, &P, 0, 18 },
                { FUNCTION_AVG_OVER_TIME, &P, 0, 3 },
                { FUNCTION_MIN_OVER_TIME, &P, 0, 1 },
                { FUNCTION_MAX_OVER_TIME, &P, 0, 5 },
                { FUNCTION_COUNT_OVER_TIME, &P, 0, 6 },
                { FUNCTION_PRESENT_OVER_TIME, &P, 0, 1 },
                { FUNCTION_FIRST_OVER_TIME, &P, 0, 3 },
                { FUNCTION_LAST_OVER_TIME, &P, 0, 5 },
                { FUNCTION_TS_OF_FIRST_OVER_TIME, &P, 0, 10 },
                { FUNCTION_TS_OF_LAST_OVER_TIME, &P, 0, 60 },
                { FUNCTION_TS_OF_MIN_OVER_TIME, &P, 0, 50 }, /* the last of the two */
                { FUNCTION_TS_OF_MAX_OVER_TIME, &P, 0, 60 },
                { FUNCTION_CHANGES, &P, 0, 4 },
                { FUNCTION_RESETS, &P, 0, 2 },
                { FUNCTION_IRATE, &P, 0, 0.4 }, /* 4 in 10 s */
                { FUNCTION_IDELTA, &P, 0, 4 },
                { FUNCTION_STDVAR_OVER_TIME, &P, 0, 14. / 6 }, /* 0 4 1 1 4 4 around 3 */
                { FUNCTION_STDDEV_OVER_TIME, &P, 0, 1.5275252316519465 },
                { FUNCTION_QUANTILE_OVER_TIME, &P, 0.5, 3.5 }, /* 1 1 3 4 4 5 */
                { FUNCTION_QUANTILE_OVER_TIME, &P, 0.1, 1 },
                { FUNCTION_QUANTILE_OVER_TIME, &P, 0.9, 4.5 },
                { FUNCTION_QUANTILE_OVER_TIME, &P, 1, 5 },
                { FUNCTION_MAD_OVER_TIME, &P, 0,
                  1 }, /* distances from 3.5: .5 2.5 .5 .5 2.5 1.5 -> median of .5 .5 .5 1.5 2.5 2.5 */
                { FUNCTION_MIN_OVER_TIME, &NANS, 0, 2 },
                { FUNCTION_MAX_OVER_TIME, &NANS, 0, 7 },
                { FUNCTION_TS_OF_MAX_OVER_TIME, &NANS, 0, 40 },
                { FUNCTION_MIN_OVER_TIME, &ALL_NAN, 0, NAN },
                { FUNCTION_TS_OF_MIN_OVER_TIME, &ALL_NAN, 0, 20 },
                { FUNCTION_SUM_OVER_TIME, &NANS, 0, NAN },
                { FUNCTION_CHANGES, &NANS, 0, 4 },
                { FUNCTION_CHANGES, &ALL_NAN, 0, 0 },
                { FUNCTION_RESETS, &NANS, 0, 0 },
                { FUNCTION_QUANTILE_OVER_TIME, &NANS, 1, 7 }, /* NaN is before all others */
                { FUNCTION_QUANTILE_OVER_TIME, &NANS, 0.75, 2 },
                { FUNCTION_QUANTILE_OVER_TIME, &NANS, 0, NAN },
                { FUNCTION_SUM_OVER_TIME, &INFS, 0, NAN },
                { FUNCTION_MAX_OVER_TIME, &INFS, 0, INFINITY },
                { FUNCTION_SUM_OVER_TIME, &HUGE_, 0, INFINITY },
                { FUNCTION_AVG_OVER_TIME, &HUGE_, 0, 1.1e308 },
                { FUNCTION_SUM_OVER_TIME, &LOST, 0, 1 },
                { FUNCTION_AVG_OVER_TIME, &LOST, 0, 1. / 3 },
                { FUNCTION_IRATE, &ONE, 0, ABSENT_ },
                { FUNCTION_STDDEV_OVER_TIME, &ONE, 0, 0 },
                { FUNCTION_DERIV, &ONE, 0, ABSENT_ },
                { FUNCTION_CHANGES, &ONE, 0, 0 },
                { FUNCTION_MAD_OVER_TIME, &ONE, 0, 0 },
                { FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING, &ONE, 0.5, ABSENT_ },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_value(once(*state, CASES[i].f, 60, 60, CASES[i].p, CASES[i].arg), CASES[i].wanted, i);
        for (FunctionId f = 0; f < FUNCTION_COUNT; f++)
                if (function_is_range(f))
                        assert_value(once(*state, f, 60, 60, &NONE, 0.5), ABSENT_, f);
        assert_no_notes((Bench *)*state);
}

static void says_bad_quantiles(void **state) {
        Bench *b = *state;
        static const Points P = { 2, { { 10, 3 }, { 20, 1 } } };
        assert_double(once(b, FUNCTION_QUANTILE_OVER_TIME, 60, 60, &P, 2), INFINITY);
        assert_note(b, "PromQL warning: quantile value should be between 0 and 1, got 2");
        assert_double(once(b, FUNCTION_QUANTILE_OVER_TIME, 60, 60, &P, -0.5), -INFINITY);
        assert_note(b, "PromQL warning: quantile value should be between 0 and 1, got -0.5");
        assert_double(once(b, FUNCTION_QUANTILE_OVER_TIME, 60, 60, &P, NAN), NAN);
        assert_note(b, "PromQL warning: quantile value should be between 0 and 1, got NaN");
}

static void instant_rates(void **state) {
        static const struct {
                Points p;
                double irate, idelta;
        } CASES[] = {
                { { 3, { { 10, 1 }, { 20, 100 }, { 22, 110 } } }, 5, 10 },
                { { 3, { { 10, 1 }, { 20, 100 }, { 22, 30 } } }, 15, -70 }, /* begins anew: all 30 in 2 s */
                { { 2, { { 10, NAN }, { 20, 100 } } }, NAN, NAN },
                { { 2, { { 10, 5 }, { 20, NAN } } }, NAN, NAN },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                assert_value(once(*state, FUNCTION_IRATE, 60, 60, &CASES[i].p, 0), CASES[i].irate, i);
                assert_value(once(*state, FUNCTION_IDELTA, 60, 60, &CASES[i].p, 0), CASES[i].idelta, i);
        }
}

/* v = 3 + 0.2 t exactly, and a square */
static void trends(void **state) {
        static const Points LINE = { 4, { { 10, 5 }, { 20, 7 }, { 30, 9 }, { 40, 11 } } };
        /* around 20: x -10 0 10, y 1 4 9, slope (sum xy - ..) / sum x2 = 80 / 200 = 0.4; mean 14 / 3 */
        static const Points SQUARE = { 3, { { 10, 1 }, { 20, 4 }, { 30, 9 } } };
        static const Points CONSTANT = { 3, { { 10, 0.1 }, { 20, 0.1 }, { 30, 0.1 } } },
                            INFS = { 2, { { 10, INFINITY }, { 20, INFINITY } } };
        Bench *b = *state;
        assert_value(once(b, FUNCTION_DERIV, 60, 60, &LINE, 0), 0.2, 0);
        assert_value(once(b, FUNCTION_PREDICT_LINEAR, 60, 60, &LINE, 100), 3 + 0.2 * 160, 1);
        assert_value(once(b, FUNCTION_PREDICT_LINEAR, 60, 60, &LINE, -60), 3, 2);
        assert_value(once(b, FUNCTION_DERIV, 60, 60, &SQUARE, 0), 0.4, 3);
        assert_value(once(b, FUNCTION_PREDICT_LINEAR, 60, 60, &SQUARE, 0), 14. / 3 + 0.4 * 40, 4);
        assert_value(once(b, FUNCTION_DERIV, 60, 60, &CONSTANT, 0), 0, 5);
        assert_value(once(b, FUNCTION_PREDICT_LINEAR, 60, 60, &CONSTANT, 1e6), 0.1, 6);
        assert_value(once(b, FUNCTION_DERIV, 60, 60, &INFS, 0), NAN, 7);
}

/* smoothing 0.5, trend 0.5 over 1 2 4: s = 1, b = 1; s = 0.5 * 2 + 0.5 * (1 + 1) = 2;
 * b = 0.5 * (2 - 1) + 0.5 * 1 = 1, s = 0.5 * 4 + 0.5 * (2 + 1) = 3.5 */
static void smoothes(void **state) {
        Bench *b = *state;
        static const Points P = { 3, { { 10, 1 }, { 20, 2 }, { 30, 4 } } };
        assert_double(once(b, FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING, 60, 60, &P, 0.5), 3.5);
        static const struct {
                double sf, tf;
                const char *why;
        } CASES[] = { { 0, 0.5, "invalid smoothing factor. Expected: 0 < sf < 1, got: 0.000000" },
                      { 0.5, 1, "invalid trend factor. Expected: 0 < tf < 1, got: 1.000000" } };
        RangeSamples s = samples(b, &P);
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                Ask a = { .f = FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING,
                          .start_s = 60,
                          .step_s = 1,
                          .range_s = 60,
                          .n = 1,
                          .args = { CASES[i].sf, CASES[i].tf } };
                Row row = { 0 };
                buf_reset(&b->error);
                assert_int_equal(ask(b, &a, &s, &row), -EINVAL);
                assert_string_equal(buf_cstr(&b->error), CASES[i].why);
        }
}

/* samples at 5, 25, 45, 65 s; windows (20, 60] */
static void anchored_and_smoothed(void **state) {
        Bench *b = *state;
        static const Points UP = { 4, { { 5, 10 }, { 25, 20 }, { 45, 40 }, { 65, 80 } } };
        static const Points RESET = { 4, { { 5, 10 }, { 25, 20 }, { 45, 5 }, { 65, 25 } } };
        static const Points EDGES = { 3, { { 20, 10 }, { 40, 30 }, { 60, 20 } } };
        static const Points BEFORE = { 1, { { 5, 10 } } }, BEHIND = { 1, { { 65, 10 } } };
        static const struct {
                FunctionId f;
                RangeMode mode;
                const Points *p;
                int64_t reach_s;
                double wanted;
        } CASES[] = {
                /* anchored: the last before the window is its begin, the last in it its end */
                { FUNCTION_INCREASE, RANGE_ANCHORED, &UP, 0, 30 },
                { FUNCTION_RATE, RANGE_ANCHORED, &UP, 0, 30. / 40 },
                { FUNCTION_INCREASE, RANGE_ANCHORED, &UP, 15, 20 }, /* 5 s is 15 before the window: out of reach */
                { FUNCTION_INCREASE, RANGE_ANCHORED, &UP, 16, 30 },
                { FUNCTION_INCREASE, RANGE_ANCHORED, &RESET, 0, 15 }, /* 5 - 10 + 20 */
                { FUNCTION_DELTA, RANGE_ANCHORED, &RESET, 0, -5 },
                { FUNCTION_CHANGES, RANGE_ANCHORED, &UP, 0, 2 },
                { FUNCTION_CHANGES, RANGE_ANCHORED, &UP, 15, 1 },
                { FUNCTION_RESETS, RANGE_ANCHORED, &RESET, 0, 1 },
                { FUNCTION_INCREASE, RANGE_ANCHORED, &EDGES, 0, 40 }, /* 20 - 10 + 30 */
                { FUNCTION_RESETS, RANGE_ANCHORED, &EDGES, 0, 1 },
                { FUNCTION_CHANGES, RANGE_ANCHORED, &EDGES, 0, 2 },
                { FUNCTION_INCREASE, RANGE_ANCHORED, &BEFORE, 0, ABSENT_ },
                { FUNCTION_INCREASE, RANGE_ANCHORED, &BEHIND, 0, ABSENT_ },
                /* smoothed: lines to the edges. At 20 s 17.5, at 60 s 70 */
                { FUNCTION_DELTA, RANGE_SMOOTHED, &UP, 0, 52.5 },
                { FUNCTION_RATE, RANGE_SMOOTHED, &UP, 0, 52.5 / 40 },
                { FUNCTION_DELTA, RANGE_SMOOTHED, &UP, 4, 20 }, /* 5 s and 65 s are out of reach: 20 to 40 */
                { FUNCTION_DELTA, RANGE_SMOOTHED, &UP, 5, 50 }, /* 65 s is not */
                /* a reset right behind 20: 17.5, 20, 5, and 5 + 20 * 15 / 20 = 20 at the end: 20 - 17.5 + 20 */
                { FUNCTION_INCREASE, RANGE_SMOOTHED, &RESET, 0, 22.5 },
                { FUNCTION_DELTA, RANGE_SMOOTHED, &RESET, 0, 2.5 },
                { FUNCTION_INCREASE, RANGE_SMOOTHED, &EDGES, 0, 40 },
                { FUNCTION_INCREASE, RANGE_SMOOTHED, &BEFORE, 0, ABSENT_ },
                { FUNCTION_INCREASE, RANGE_SMOOTHED, &BEHIND, 0, 0 },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                Ask a = { .f = CASES[i].f,
                          .start_s = 60,
                          .step_s = 1,
                          .range_s = 40,
                          .n = 1,
                          .mode = CASES[i].mode,
                          .reach_s = CASES[i].reach_s };
                RangeSamples s = samples(b, CASES[i].p);
                Row row = { 0 };
                assert_int_equal(ask(b, &a, &s, &row), 0);
                assert_value(row.v[0], CASES[i].wanted, i);
        }
}

/* under `@` there is one window, but the steps' arguments and times are their own */
static void fixed_windows(void **state) {
        Bench *b = *state;
        static const Points LINE = { 4, { { 10, 5 }, { 20, 7 }, { 30, 9 }, { 40, 11 } } };
        RangeSamples s = samples(b, &LINE);
        Ask a = { .f = FUNCTION_SUM_OVER_TIME, .start_s = 60, .step_s = 10, .range_s = 60, .n = 3, .at = true };
        Row row = { 0 };
        assert_int_equal(ask(b, &a, &s, &row), 0);
        for (size_t k = 0; k < 3; k++)
                assert_double(row.v[k], 32);
        a.f = FUNCTION_PREDICT_LINEAR;
        assert_int_equal(ask(b, &a, &s, &row), 0);
        for (size_t k = 0; k < 3; k++)
                assert_near(row.v[k], 3 + 0.2 * (60 + 10. * (double)k));
}

/* ---- against a calculation of each window alone ---- */

typedef struct Naive {
        const int64_t *t;
        const double *v;
        size_t n;
        int64_t end, range; /* ms */
        double arg;
} Naive;

static int order(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;
        if (isnan(x) || isnan(y))
                return isnan(y) - isnan(x);
        return (x > y) - (x < y);
}

static double naive_quantile(double q, const double *v, size_t n) {
        double copy[400];
        assert_true(n <= 400);
        memcpy(copy, v, n * sizeof *v);
        qsort(copy, n, sizeof *copy, order);
        double rank = q * (double)(n - 1), low = floor(rank), w = rank - low;
        size_t upper = (size_t)low + 1 < n ? (size_t)low + 1 : n - 1;
        return copy[(size_t)low] * (1 - w) + copy[upper] * w;
}

static double naive_sum(const double *v, size_t n) {
        KahanSum k = { 0 };
        for (size_t i = 0; i < n; i++)
                kahan_add(&k, v[i]);
        return isinf(k.sum) ? k.sum : k.sum + k.c;
}

static double naive_rate(const Naive *w, FunctionId f) {
        if (w->n < 2)
                return ABSENT;
        double grown = w->v[w->n - 1] - w->v[0];
        for (size_t i = 1; f != FUNCTION_DELTA && i < w->n; i++)
                if (w->v[i] < w->v[i - 1])
                        grown += w->v[i - 1];
        double start = (double)(w->t[0] - (w->end - w->range)) / 1000, end = (double)(w->end - w->t[w->n - 1]) / 1000;
        double between = (double)(w->t[w->n - 1] - w->t[0]) / 1000, mean = between / (double)(w->n - 1),
               limit = mean * 1.1;
        if (start >= limit)
                start = mean / 2;
        if (f != FUNCTION_DELTA && grown > 0 && w->v[0] >= 0) {
                double zero = between * (w->v[0] / grown);
                if (zero < start)
                        start = zero;
        }
        if (end >= limit)
                end = mean / 2;
        double factor = (between + start + end) / between;
        if (f == FUNCTION_RATE)
                factor /= (double)w->range / 1000;
        return grown * factor;
}

static double naive_extreme(const Naive *w, FunctionId f) {
        size_t found = 0;
        for (size_t i = 0; i < w->n; i++) {
                double v = w->v[i], best = w->v[found];
                bool better = f == FUNCTION_MAX_OVER_TIME         ? v > best
                              : f == FUNCTION_MIN_OVER_TIME       ? v < best
                              : f == FUNCTION_TS_OF_MAX_OVER_TIME ? v >= best
                                                                  : v <= best;
                if (better || isnan(best))
                        found = i;
        }
        return f == FUNCTION_MAX_OVER_TIME || f == FUNCTION_MIN_OVER_TIME ? w->v[found] : (double)w->t[found] / 1000;
}

static double naive_variance(const Naive *w) {
        KahanSum mean = { 0 }, aux = { 0 };
        for (size_t i = 0; i < w->n; i++) {
                double delta = w->v[i] - (mean.sum + mean.c);
                kahan_add(&mean, delta / (double)(i + 1));
                kahan_add(&aux, delta * (w->v[i] - (mean.sum + mean.c)));
        }
        return (aux.sum + aux.c) / (double)w->n;
}

static double naive(const Naive *w, FunctionId f) {
        double n = 0, distances[400];
        if (w->n == 0)
                return ABSENT;
        switch (f) {
        case FUNCTION_RATE:
        case FUNCTION_INCREASE:
        case FUNCTION_DELTA: return naive_rate(w, f);
        case FUNCTION_SUM_OVER_TIME: return naive_sum(w->v, w->n);
        case FUNCTION_MAX_OVER_TIME:
        case FUNCTION_MIN_OVER_TIME:
        case FUNCTION_TS_OF_MAX_OVER_TIME:
        case FUNCTION_TS_OF_MIN_OVER_TIME: return naive_extreme(w, f);
        case FUNCTION_CHANGES:
                for (size_t i = 1; i < w->n; i++)
                        n += w->v[i] != w->v[i - 1] && !(isnan(w->v[i]) && isnan(w->v[i - 1]));
                return n;
        case FUNCTION_RESETS:
                for (size_t i = 1; i < w->n; i++)
                        n += w->v[i] < w->v[i - 1];
                return n;
        case FUNCTION_QUANTILE_OVER_TIME: return naive_quantile(w->arg, w->v, w->n);
        case FUNCTION_MAD_OVER_TIME:
                n = naive_quantile(0.5, w->v, w->n);
                for (size_t i = 0; i < w->n; i++)
                        distances[i] = fabs(w->v[i] - n);
                return naive_quantile(0.5, distances, w->n);
        case FUNCTION_STDVAR_OVER_TIME: return naive_variance(w);
        case FUNCTION_COUNT_OVER_TIME: return (double)w->n;
        default: fail(); return 0;
        }
}

/* Irregular times, equal values, resets, and now and then something odd. */
static RangeSamples random_series(Bench *b, size_t n, bool odd) {
        int64_t *times = ARENA_ARRAY(&b->arena, int64_t, n), t = 0;
        double *values = ARENA_ARRAY(&b->arena, double, n), v = 0;
        assert_true(times && values);
        for (size_t i = 0; i < n; i++) {
                t += rand() % 10 == 0 ? 1 + rand() % 200000 : 9990 + rand() % 20;
                v = rand() % 20 == 0 ? 0 : rand() % 4 == 0 ? v : v + rand() % 1000 / 7.;
                times[i] = t;
                values[i] = !odd               ? v
                            : rand() % 15 == 0 ? NAN
                            : rand() % 40 == 0 ? (rand() % 2 ? INFINITY : -INFINITY)
                                               : v;
        }
        return (RangeSamples){ .times = times, .values = values, .n = n };
}

static const FunctionId COMPARED[] = {
        FUNCTION_RATE,
        FUNCTION_INCREASE,
        FUNCTION_DELTA,
        FUNCTION_SUM_OVER_TIME,
        FUNCTION_MAX_OVER_TIME,
        FUNCTION_MIN_OVER_TIME,
        FUNCTION_TS_OF_MAX_OVER_TIME,
        FUNCTION_TS_OF_MIN_OVER_TIME,
        FUNCTION_CHANGES,
        FUNCTION_RESETS,
        FUNCTION_QUANTILE_OVER_TIME,
        FUNCTION_MAD_OVER_TIME,
        FUNCTION_STDVAR_OVER_TIME,
        FUNCTION_COUNT_OVER_TIME,
};

static void compare(Bench *b, const Ask *a, const RangeSamples *s) {
        Row row = { 0 };
        assert_int_equal(ask(b, a, s, &row), 0);
        for (size_t k = 0; k < a->n; k++) {
                Naive w = { .end = (a->start_s + (int64_t)k * a->step_s) * 1000,
                            .range = a->range_s * 1000,
                            .arg = a->args[0] };
                size_t from = 0, to;
                while (from < s->n && s->times[from] <= w.end - w.range)
                        from++;
                for (to = from; to < s->n && s->times[to] <= w.end;)
                        to++;
                w.t = s->times + from;
                w.v = s->values + from;
                w.n = to - from;
                double wanted = naive(&w, a->f);
                if (!same_double(row.v[k], wanted))
                        fail_msg("function %d, step %zu of %zu samples: %.17g is not %.17g", a->f, k, w.n, row.v[k],
                                 wanted);
        }
}

/* the same digits, whatever the windows */
static void is_as_each_window_alone(void **state) {
        Bench *b = *state;
        static const struct {
                int64_t start, step, range;
                size_t n;
        } SHAPES[] = { { 0, 60, 300, 120 },    { -500, 7, 60, 700 }, { 100, 300, 60, 30 },
                       { 900, 15, 2000, 300 }, { 1, 1, 5, 900 },     { 5000, 60, 60, 60 } };
        srand(20);
        for (size_t f = 0; f < ARRAY_LEN(COMPARED); f++)
                for (size_t i = 0; i < ARRAY_LEN(SHAPES); i++)
                        for (int odd = 0; odd < 2; odd++) {
                                RangeSamples s = random_series(b, 300, odd);
                                Ask a = { .f = COMPARED[f],
                                          .start_s = SHAPES[i].start,
                                          .step_s = SHAPES[i].step,
                                          .range_s = SHAPES[i].range,
                                          .n = SHAPES[i].n,
                                          .args = { rand() % 100 / 100. } };
                                compare(b, &a, &s);
                        }
}

/* what is asked of too little memory is its error */
static void memory_ends(void **state) {
        Bench *b = *state;
        RangeSamples s = random_series(b, 5000, false);
        double v[100], q[100] = { 0 };
        Steps steps = { 0, 500000, 100 };
        static const FunctionId FUNCTIONS[] = { FUNCTION_RATE, FUNCTION_CHANGES, FUNCTION_MAX_OVER_TIME,
                                                FUNCTION_QUANTILE_OVER_TIME, FUNCTION_MAD_OVER_TIME };
        for (size_t i = 0; i < ARRAY_LEN(FUNCTIONS); i++) {
                ArenaBudget budget = ARENA_BUDGET(64);
                CLEANUP(arena_deinit) Arena arena = ARENA(&budget);
                RangeCall call = { .function = FUNCTIONS[i],
                                   .steps = &steps,
                                   .end_step_ms = 500000,
                                   .range_ms = 20000000,
                                   .args = { q, q },
                                   .arena = &arena,
                                   .notes = &b->notes };
                Row row = { .v = v };
                assert_int_equal(range_evaluate(&call, &s, &row), -E2BIG);
        }
}

static void sorts(void **state) {
        (void)state;
        double v[2000], copy[2000];
        srand(7);
        for (size_t n = 0; n < 2000; n = n < 40 ? n + 1 : n * 3 / 2)
                for (int kind = 0; kind < 5; kind++) {
                        for (size_t i = 0; i < n; i++)
                                v[i] = kind == 0    ? rand()
                                       : kind == 1  ? (double)i
                                       : kind == 2  ? -(double)i
                                       : kind == 3  ? rand() % 3
                                       : rand() % 7 ? rand() % 50
                                                    : NAN;
                        memcpy(copy, v, n * sizeof *v);
                        qsort(copy, n, sizeof *v, order);
                        assert_double(quantile_of(0, v, n), n ? copy[0] : NAN);
                        for (size_t i = 0; i < n; i++)
                                assert_double(v[i], copy[i]);
                }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                TEST(extrapolates),  TEST(says_what_is_no_counter),
                TEST(single_values), TEST(says_bad_quantiles),
                TEST(instant_rates), TEST(trends),
                TEST(smoothes),      TEST(anchored_and_smoothed),
                TEST(fixed_windows), TEST(is_as_each_window_alone),
                TEST(memory_ends),   TEST(sorts),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
