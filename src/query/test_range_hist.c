#include "query/test_function.h"

/* Histograms at seconds 10, 20, ... and floats where one is asked for. */
typedef struct Mix {
        size_t n_hists, n_floats;
        HistOf hists[5];
        double hist_s[5], float_s[5], floats[5];
} Mix;

static Row run(Bench *b, FunctionId f, const Mix *m, int64_t end_s, size_t n, RangeMode mode, int *ret_r) {
        FHist **hists = ARENA_ARRAY(&b->arena, FHist *, m->n_hists);
        int64_t *times = ARENA_ARRAY(&b->arena, int64_t, m->n_floats),
                *hist_times = ARENA_ARRAY(&b->arena, int64_t, m->n_hists);
        double *args = ARENA_ARRAY(&b->arena, double, n);
        Row row = { .v = ARENA_ARRAY(&b->arena, double, n) };
        assert_true(hists && times && hist_times && args && row.v);
        for (size_t i = 0; i < m->n_hists; i++) {
                hists[i] = hist(b, m->hists[i]);
                hist_times[i] = (int64_t)(m->hist_s[i] * 1000);
        }
        for (size_t i = 0; i < m->n_floats; i++)
                times[i] = (int64_t)(m->float_s[i] * 1000);
        for (size_t i = 0; i < n; i++)
                args[i] = 0.5;
        RangeSamples s = { times, m->floats, m->n_floats, hist_times, hists, m->n_hists };
        Steps steps = { end_s * 1000, 10000, n };
        RangeCall call = { .function = f,
                           .steps = &steps,
                           .first_end_ms = steps.start_ms,
                           .end_step_ms = steps.step_ms,
                           .range_ms = 60000,
                           .args = { args, args },
                           .metric = S("h"),
                           .arena = &b->arena,
                           .notes = &b->notes,
                           .mode = mode,
                           .error = &b->error };
        *ret_r = range_evaluate(&call, &s, &row);
        return row;
}

static Row once(Bench *b, FunctionId f, const Mix *m) {
        int r;
        Row row = run(b, f, m, 60, 1, RANGE_PLAIN, &r);
        assert_int_equal(r, 0);
        return row;
}

static void assert_row_hist(const Row *row, size_t k, const char *text) {
        assert_true(is_absent(row->v[k]));
        assert_non_null(row->h);
        assert_hist(row->h[k], text);
}

static void assert_nothing(const Row *row) {
        assert_true(is_absent(row->v[0]));
        assert_null(row_hist(row, 0));
}

#define H(c, s, ...)                                                                                                   \
        {                                                                                                              \
                .count = (c), .sum = (s), .positive = { 1, 2, { __VA_ARGS__ } }                                        \
        }
#define G(c, s, ...)                                                                                                   \
        { .count = (c), .sum = (s), .positive = { 1, 2, { __VA_ARGS__ } }, .reset = FHIST_RESET_GAUGE }

/* 20 s to 60 s, to the start 20 s: 4 more in 40 s. Extrapolated to 60 s it would be 6, but 2 at first are 2 / 4 * 40 =
 * 20 s: 60 s of 40 */
static const Mix COUNTER = { .n_hists = 3,
                             .hist_s = { 20, 40, 60 },
                             .hists = { H(2, 3, 2, 0), H(4, 9, 3, 1), H(6, 14, 4, 2) } };

static void rates(void **state) {
        Bench *b = *state;
        Row row = once(b, FUNCTION_INCREASE, &COUNTER);
        assert_row_hist(&row, 0, "{count:6, sum:16.5, (1,2]:3, (2,4]:3}");
        assert_int_equal(row.h[0]->reset, FHIST_RESET_GAUGE);
        row = once(b, FUNCTION_RATE, &COUNTER);
        assert_near(row.h[0]->count, 0.1);
        assert_no_notes(b);
        row = once(b, FUNCTION_DELTA, &COUNTER);
        assert_row_hist(&row, 0, "{count:6, sum:16.5, (1,2]:3, (2,4]:3}");
        assert_note(b, "PromQL warning: this native histogram metric is not a gauge: \"h\"");
        static const Mix GAUGE = { .n_hists = 2, .hist_s = { 20, 60 }, .hists = { G(2, 3, 2, 0), G(6, 14, 4, 2) } };
        row = once(b, FUNCTION_DELTA, &GAUGE);
        assert_no_notes(b);
        row = once(b, FUNCTION_RATE, &GAUGE);
        assert_near(row.h[0]->count, 0.1);
        assert_note(b, "PromQL warning: this native histogram metric is not a counter: \"h\"");
        static const Mix ONE = { .n_hists = 1, .hist_s = { 20 }, .hists = { H(2, 3, 2, 0) } };
        row = once(b, FUNCTION_RATE, &ONE);
        assert_nothing(&row);
        assert_no_notes(b);
}

/* resets: what was before one is added, bucket by bucket */
static void rates_over_resets(void **state) {
        Bench *b = *state;
        static const Mix RESET = { .n_hists = 4,
                                   .hist_s = { 15, 30, 45, 60 },
                                   .hists = { H(2, 2, 2, 0), H(5, 5, 3, 2), H(1, 1, 1, 0), H(4, 4, 2, 2) } };
        /* 4 - 2 + 5 = 7, 2 - 2 + 3 = 3, 2 - 0 + 2 = 4; the first was 2: 2 / 7 * 45 s = 12.86 < 15 */
        Row row = once(b, FUNCTION_INCREASE, &RESET);
        double factor = (45 + 45 * (2. / 7)) / 45;
        assert_near(row.h[0]->count, 7 * factor);
        assert_near(row.h[0]->positive[0], 3 * factor);
        assert_near(row.h[0]->positive[1], 4 * factor);
        /* right at the start: the first does not count, whatever its buckets are */
        static const Mix FIRST = {
                .n_hists = 3,
                .hist_s = { 20, 40, 60 },
                .hists = { { .schema = -53, .count = 9, .positive = { 0, 1, { 9 } } }, H(1, 1, 1, 0), H(2, 2, 1, 1) }
        };
        row = once(b, FUNCTION_INCREASE, &FIRST);
        assert_row_hist(&row, 0, "{count:3, sum:3, (1,2]:1.5, (2,4]:1.5}"); /* 40 + 20 of 40 s */
        assert_no_notes(b);
}

static void rates_of_other_layouts(void **state) {
        Bench *b = *state;
        /* the lowest schema in the window is that of the result */
        static const Mix SCHEMAS = { .n_hists = 3,
                                     .hist_s = { 20, 40, 60 },
                                     .hists = { { .schema = 1, .count = 2, .positive = { 1, 2, { 1, 1 } } },
                                                { .schema = 0, .count = 3, .positive = { 1, 1, { 3 } } },
                                                { .schema = 0, .count = 6, .positive = { 1, 1, { 6 } } } } };
        Row row = once(b, FUNCTION_INCREASE, &SCHEMAS);
        assert_row_hist(&row, 0, "{count:6, sum:0, (1,2]:6}");
        static const Mix MIXED = {
                .n_hists = 3,
                .hist_s = { 20, 40, 60 },
                .hists = { H(1, 1, 1, 0),
                           H(2, 1, 2, 0),
                           { .schema = -53, .count = 9, .positive = { 0, 1, { 9 } }, .reset = FHIST_RESET_NO } }
        };
        row = once(b, FUNCTION_RATE, &MIXED);
        assert_nothing(&row);
        assert_note(b, "PromQL warning: vector contains a mix of histograms with exponential and custom buckets "
                       "schemas for metric name \"h\"");
        row = once(b, FUNCTION_SUM_OVER_TIME, &MIXED);
        assert_nothing(&row);
        assert_note(b, "PromQL warning: vector contains a mix of histograms with exponential and custom buckets "
                       "schemas for metric name \"h\"");
        static const Mix CUSTOM = { .n_hists = 2,
                                    .hist_s = { 20, 60 },
                                    .hists = { { .schema = -53,
                                                 .count = 3,
                                                 .positive = { 0, 2, { 1, 2 } },
                                                 .n_custom = 1,
                                                 .custom = { 5 } },
                                               { .schema = -53,
                                                 .count = 9,
                                                 .positive = { 0, 3, { 2, 2, 5 } },
                                                 .n_custom = 2,
                                                 .custom = { 5, 10 } } } };
        row = once(b, FUNCTION_INCREASE, &CUSTOM);
        assert_row_hist(&row, 0, "{count:9, sum:0, [-Inf,5]:1.5, (5,+Inf]:7.5}");
        assert_note(b, "PromQL info: mismatched custom buckets were reconciled during subtraction");
}

static void instant_rates(void **state) {
        Bench *b = *state;
        Row row = once(b, FUNCTION_IRATE, &COUNTER);
        assert_row_hist(&row, 0, "{count:0.1, sum:0.25, (1,2]:0.05, (2,4]:0.05}"); /* 2 and 5 in 20 s */
        assert_no_notes(b);
        row = once(b, FUNCTION_IDELTA, &COUNTER);
        assert_row_hist(&row, 0, "{count:2, sum:5, (1,2]:1, (2,4]:1}");
        assert_note(b, "PromQL warning: this native histogram metric is not a gauge: \"h\"");
        static const Mix RESET = { .n_hists = 2, .hist_s = { 20, 60 }, .hists = { H(9, 9, 9, 0), H(4, 4, 2, 2) } };
        row = once(b, FUNCTION_IRATE, &RESET);
        assert_row_hist(&row, 0, "{count:0.1, sum:0.1, (1,2]:0.05, (2,4]:0.05}");
        /* a float in between is one of the last two */
        static const Mix FLOAT = { .n_hists = 2,
                                   .hist_s = { 20, 60 },
                                   .hists = { H(9, 9, 9, 0), H(4, 4, 2, 2) },
                                   .n_floats = 1,
                                   .float_s = { 50 },
                                   .floats = { 3 } };
        row = once(b, FUNCTION_IRATE, &FLOAT);
        assert_nothing(&row);
        assert_note(b, "PromQL warning: encountered a mix of histograms and floats for metric name \"h\"");
        static const Mix OLD = { .n_hists = 1,
                                 .hist_s = { 20 },
                                 .hists = { H(9, 9, 9, 0) },
                                 .n_floats = 2,
                                 .float_s = { 50, 60 },
                                 .floats = { 3, 8 } };
        row = once(b, FUNCTION_IRATE, &OLD);
        assert_double(row.v[0], 0.5);
        assert_no_notes(b);
}

static void sums(void **state) {
        Bench *b = *state;
        Row row = once(b, FUNCTION_SUM_OVER_TIME, &COUNTER);
        assert_row_hist(&row, 0, "{count:12, sum:26, (1,2]:9, (2,4]:3}");
        row = once(b, FUNCTION_AVG_OVER_TIME, &COUNTER);
        assert_row_hist(&row, 0, "{count:4, sum:8.666666666666666, (1,2]:3, (2,4]:1}");
        assert_no_notes(b);
        /* too much for a sum, not for a mean */
        static const Mix HUGE_ = { .n_hists = 2,
                                   .hist_s = { 20, 60 },
                                   .hists = { H(1.5e308, 1, 1.5e308, 0), H(1.7e308, 1, 1.7e308, 0) } };
        row = once(b, FUNCTION_AVG_OVER_TIME, &HUGE_);
        assert_near(row.h[0]->count, 1.6e308);
        assert_near(row.h[0]->positive[0], 1.6e308);
        static const Mix HINTS = { .n_hists = 2,
                                   .hist_s = { 20, 60 },
                                   .hists = { { .count = 1, .reset = FHIST_RESET_YES },
                                              { .count = 2, .reset = FHIST_RESET_NO } } };
        row = once(b, FUNCTION_SUM_OVER_TIME, &HINTS);
        assert_row_hist(&row, 0, "{count:3, sum:0}");
        assert_note(b, "PromQL warning: conflicting counter resets during histogram aggregation");
}

/* kinds in one window: 10 h, 30 f, 40 h */
static const Mix BOTH = { .n_hists = 2,
                          .hist_s = { 10, 40 },
                          .hists = { H(2, 3, 2, 0), H(4, 9, 3, 1) },
                          .n_floats = 1,
                          .float_s = { 30 },
                          .floats = { 7 } };

static void mixes(void **state) {
        Bench *b = *state;
        static const char MIXED[] = "PromQL warning: encountered a mix of histograms and floats for metric name \"h\"";
        static const char IGNORED[] = "PromQL info: ignored histograms in a range containing both floats and "
                                      "histograms for metric name \"h\"";
        static const struct {
                FunctionId f;
                double v;
                const char *note;
        } CASES[] = {
                { FUNCTION_RATE, NAN, MIXED },
                { FUNCTION_SUM_OVER_TIME, NAN, MIXED },
                { FUNCTION_AVG_OVER_TIME, NAN, MIXED },
                { FUNCTION_MAX_OVER_TIME, 7, IGNORED },
                { FUNCTION_STDDEV_OVER_TIME, 0, IGNORED },
                { FUNCTION_QUANTILE_OVER_TIME, 7, IGNORED },
                { FUNCTION_DERIV, NAN, IGNORED },
                { FUNCTION_MAD_OVER_TIME, 0, IGNORED },
                { FUNCTION_TS_OF_MIN_OVER_TIME, 30, IGNORED },
                { FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING, NAN, IGNORED },
                { FUNCTION_COUNT_OVER_TIME, 3, NULL },
                { FUNCTION_PRESENT_OVER_TIME, 1, NULL },
                { FUNCTION_CHANGES, 2, NULL },
                { FUNCTION_RESETS, 2, NULL },
                { FUNCTION_TS_OF_FIRST_OVER_TIME, 10, NULL },
                { FUNCTION_TS_OF_LAST_OVER_TIME, 40, NULL },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                Row row = once(b, CASES[i].f, &BOTH);
                assert_null(row_hist(&row, 0));
                if (isnan(CASES[i].v))
                        assert_true(is_absent(row.v[0]));
                else
                        assert_double(row.v[0], CASES[i].v);
                if (CASES[i].note)
                        assert_note(b, CASES[i].note);
                else
                        assert_no_notes(b);
        }
        Row row = once(b, FUNCTION_LAST_OVER_TIME, &BOTH);
        assert_row_hist(&row, 0, "{count:4, sum:9, (1,2]:3, (2,4]:1}");
        row = once(b, FUNCTION_FIRST_OVER_TIME, &BOTH);
        assert_row_hist(&row, 0, "{count:2, sum:3, (1,2]:2}");
        /* only histograms: functions of floats have nothing to say */
        row = once(b, FUNCTION_MAX_OVER_TIME, &COUNTER);
        assert_nothing(&row);
        assert_no_notes(b);
}

static void events(void **state) {
        Bench *b = *state;
        static const Mix MOVES = { .n_hists = 5,
                                   .hist_s = { 10, 20, 30, 40, 50 },
                                   .hists = { H(2, 3, 2, 0), H(2, 3, 2, 0), H(4, 9, 3, 1), H(1, 1, 1, 0),
                                              H(1, 1, 1, 0) } };
        Row row = once(b, FUNCTION_CHANGES, &MOVES);
        assert_double(row.v[0], 2);
        row = once(b, FUNCTION_RESETS, &MOVES);
        assert_double(row.v[0], 1);
}

/* each step for itself: windows end at 30, 40, ..., 120 */
static void steps(void **state) {
        Bench *b = *state;
        int r;
        Row row = run(b, FUNCTION_LAST_OVER_TIME, &BOTH, 20, 9, RANGE_PLAIN, &r);
        assert_int_equal(r, 0);
        assert_row_hist(&row, 0, "{count:2, sum:3, (1,2]:2}");
        assert_double(row.v[1], 7); /* at 30 */
        assert_null(row.h[1]);
        assert_row_hist(&row, 2, "{count:4, sum:9, (1,2]:3, (2,4]:1}");
        assert_row_hist(&row, 7, "{count:4, sum:9, (1,2]:3, (2,4]:1}"); /* 30 to 90 */
        assert_true(is_absent(row.v[8]));
        assert_null(row.h[8]);
        row = run(b, FUNCTION_RATE, &COUNTER, 60, 1, RANGE_ANCHORED, &r);
        assert_int_equal(r, -EINVAL);
        assert_string_equal(buf_cstr(&b->error), "smoothed and anchored modifiers do not work with native histograms");
}

/* whatever is too little memory for a window is its error, and with enough there is a result */
static void memory_ends(void **state) {
        Bench *b = *state;
        static const FunctionId FUNCTIONS[] = {
                FUNCTION_RATE,          FUNCTION_DELTA,         FUNCTION_IRATE,          FUNCTION_IDELTA,
                FUNCTION_SUM_OVER_TIME, FUNCTION_AVG_OVER_TIME, FUNCTION_LAST_OVER_TIME, FUNCTION_FIRST_OVER_TIME,
        };
        FHist *hists[4];
        int64_t times[] = { 10000, 20000, 30000, 40000 };
        for (int i = 0; i < 4; i++)
                hists[i] = HIST(b, .schema = i % 2, .count = 10 + i, .sum = i, .zero_threshold = i == 2, .zero = 1,
                                .positive = { i, 4, { 1, 2, 3, 3 + i } });
        for (size_t f = 0; f < ARRAY_LEN(FUNCTIONS); f++) {
                int r = -E2BIG;
                for (size_t limit = 64; r != 0; limit += 64) {
                        assert_true(limit < 100000);
                        ArenaBudget budget = ARENA_BUDGET(limit);
                        CLEANUP(arena_deinit) Arena arena = ARENA(&budget);
                        double v[3];
                        Steps steps = { 40000, 10000, 3 };
                        RangeSamples s = { .hist_times = times, .hists = hists, .n_hists = 4 };
                        RangeCall call = { .function = FUNCTIONS[f],
                                           .steps = &steps,
                                           .first_end_ms = 40000,
                                           .end_step_ms = 10000,
                                           .range_ms = 60000,
                                           .arena = &arena,
                                           .notes = &b->notes };
                        Row row = { .v = v };
                        r = range_evaluate(&call, &s, &row);
                        assert_true(r == 0 || r == -E2BIG);
                        assert_true(r != 0 || row.h[2]);
                }
        }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                TEST(rates),
                TEST(rates_over_resets),
                TEST(rates_of_other_layouts),
                TEST(instant_rates),
                TEST(sums),
                TEST(mixes),
                TEST(events),
                TEST(steps),
                TEST(memory_ends),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
