#include "query/test_function.h"

#include <time.h>

static double of(Bench *b, FunctionId f, double v, size_t n_args, double x, double y) {
        Steps steps = { 0, 1000, 1 };
        ElementCall c = { .function = f,
                          .steps = &steps,
                          .args = { &x, &y },
                          .n_args = n_args,
                          .metric = S("m"),
                          .arena = &b->arena,
                          .notes = &b->notes };
        Row in = { .v = &v }, out = { .v = &v };
        assert_int_equal(element_evaluate(&c, &in, &out), 0);
        assert_null(out.h);
        return v;
}

static void mathematics(void **state) {
        static const struct {
                FunctionId f;
                double v, wanted;
        } CASES[] = {
                { FUNCTION_ABS, -2, 2 },        { FUNCTION_ABS, -INFINITY, INFINITY },
                { FUNCTION_CEIL, 1.1, 2 },      { FUNCTION_CEIL, -1.1, -1 },
                { FUNCTION_FLOOR, -1.1, -2 },   { FUNCTION_SGN, -0.5, -1 },
                { FUNCTION_SGN, 7, 1 },         { FUNCTION_SGN, 0, 0 },
                { FUNCTION_SGN, NAN, NAN },     { FUNCTION_EXP, 0, 1 },
                { FUNCTION_LN, 1, 0 },          { FUNCTION_LN, 0, -INFINITY },
                { FUNCTION_LN, -1, NAN },       { FUNCTION_LOG2, 8, 3 },
                { FUNCTION_LOG10, 1000, 3 },    { FUNCTION_SQRT, 9, 3 },
                { FUNCTION_SQRT, -1, NAN },     { FUNCTION_SIN, 0, 0 },
                { FUNCTION_COS, 0, 1 },         { FUNCTION_TAN, 0, 0 },
                { FUNCTION_ASIN, 1, M_PI / 2 }, { FUNCTION_ACOS, 1, 0 },
                { FUNCTION_ATAN, 1, M_PI / 4 }, { FUNCTION_SINH, 0, 0 },
                { FUNCTION_COSH, 0, 1 },        { FUNCTION_TANH, 0, 0 },
                { FUNCTION_ASINH, 0, 0 },       { FUNCTION_ACOSH, 1, 0 },
                { FUNCTION_ATANH, 0, 0 },       { FUNCTION_DEG, M_PI, 180 },
                { FUNCTION_RAD, 180, M_PI },    { FUNCTION_ACOS, 2, NAN },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_near(of(*state, CASES[i].f, CASES[i].v, 0, 0, 0), CASES[i].wanted);
}

/* ties go up; the nearest multiple of 0.1, 5, ... */
static void rounds(void **state) {
        static const double CASES[][3] = {
                { 0.5, 1, 1 },   { -0.5, 1, 0 },     { 1.5, 1, 2 }, { -1.5, 1, -1 }, { 12, 5, 10 },
                { 12.5, 5, 15 }, { 0.25, 0.1, 0.3 }, { 7, -5, 5 },  { NAN, 1, NAN }, { INFINITY, 1, INFINITY }
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_near(of(*state, FUNCTION_ROUND, CASES[i][0], 1, CASES[i][1], 0), CASES[i][2]);
        assert_double(of(*state, FUNCTION_ROUND, 2.4, 0, 0, 0), 2);
}

static void clamps(void **state) {
        static const struct {
                FunctionId f;
                double v, x, y, wanted;
        } CASES[] = {
                { FUNCTION_CLAMP, 5, 0, 10, 5 },
                { FUNCTION_CLAMP, -5, 0, 10, 0 },
                { FUNCTION_CLAMP, 50, 0, 10, 10 },
                { FUNCTION_CLAMP, NAN, 0, 10, NAN },
                { FUNCTION_CLAMP, 5, NAN, 10, NAN },
                { FUNCTION_CLAMP_MAX, 5, 3, 0, 3 },
                { FUNCTION_CLAMP_MAX, -INFINITY, 3, 0, -INFINITY },
                { FUNCTION_CLAMP_MIN, 5, 7, 0, 7 },
                { FUNCTION_CLAMP_MIN, 5, NAN, 0, NAN },
                { FUNCTION_CLAMP_MAX, 5, NAN, 0, NAN },
                { FUNCTION_CLAMP_MIN, INFINITY, NAN, 0, INFINITY },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_double(of(*state, CASES[i].f, CASES[i].v, 2, CASES[i].x, CASES[i].y), CASES[i].wanted);
        assert_true(is_absent(of(*state, FUNCTION_CLAMP, 5, 2, 10, 0))); /* there is nothing between 10 and 0 */
}

static void dates(void **state) {
        static const FunctionId PARTS[] = { FUNCTION_YEAR,        FUNCTION_MONTH,       FUNCTION_DAY_OF_MONTH,
                                            FUNCTION_DAY_OF_WEEK, FUNCTION_DAY_OF_YEAR, FUNCTION_DAYS_IN_MONTH,
                                            FUNCTION_HOUR,        FUNCTION_MINUTE };
        static const struct {
                double t, parts[ARRAY_LEN(PARTS)];
        } CASES[] = {
                { 0, { 1970, 1, 1, 4, 1, 31, 0, 0 } },
                { 951782400, { 2000, 2, 29, 2, 60, 29, 0, 0 } }, /* a leap day of a century */
                { 951782399, { 2000, 2, 28, 1, 59, 29, 23, 59 } },
                { 978307199, { 2000, 12, 31, 0, 366, 31, 23, 59 } },
                { 1136239445.9, { 2006, 1, 2, 1, 2, 31, 22, 4 } },
                { 1709208000, { 2024, 2, 29, 4, 60, 29, 12, 0 } },
                { 1740787200, { 2025, 3, 1, 6, 60, 31, 0, 0 } },
                { -1, { 1969, 12, 31, 3, 365, 31, 23, 59 } },
                { -2203977600, { 1900, 2, 28, 3, 59, 28, 0, 0 } }, /* no leap year */
                { -62135596800, { 1, 1, 1, 1, 1, 31, 0, 0 } },
                { 4102444800, { 2100, 1, 1, 5, 1, 31, 0, 0 } },
                { 253402300799, { 9999, 12, 31, 5, 365, 31, 23, 59 } },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                for (size_t k = 0; k < ARRAY_LEN(PARTS); k++)
                        if (of(*state, PARTS[k], CASES[i].t, 0, 0, 0) != CASES[i].parts[k])
                                fail_msg("case %zu, part %zu: %g", i, k, of(*state, PARTS[k], CASES[i].t, 0, 0, 0));
        /* the C library agrees on every day of 800 years */
        for (int64_t t = -12622780800; t < 12622780800; t += 86400 + 3607) {
                time_t seconds = t;
                struct tm tm;
                assert_non_null(gmtime_r(&seconds, &tm));
                assert_double(of(*state, FUNCTION_YEAR, (double)t, 0, 0, 0), tm.tm_year + 1900);
                assert_double(of(*state, FUNCTION_MONTH, (double)t, 0, 0, 0), tm.tm_mon + 1);
                assert_double(of(*state, FUNCTION_DAY_OF_MONTH, (double)t, 0, 0, 0), tm.tm_mday);
                assert_double(of(*state, FUNCTION_DAY_OF_WEEK, (double)t, 0, 0, 0), tm.tm_wday);
                assert_double(of(*state, FUNCTION_DAY_OF_YEAR, (double)t, 0, 0, 0), tm.tm_yday + 1);
        }
        /* and there is a date for whatever there is */
        static const double ODD[] = { NAN, INFINITY, -INFINITY, 1e300, -1e300, 0x1p63, -0x1p63, 9.2e18, -9.2e18 };
        for (size_t i = 0; i < ARRAY_LEN(ODD); i++) {
                double month = of(*state, FUNCTION_MONTH, ODD[i], 0, 0, 0),
                       day = of(*state, FUNCTION_DAY_OF_MONTH, ODD[i], 0, 0, 0);
                assert_true(month >= 1 && month <= 12 && day >= 1 && day <= 31);
                assert_true(isfinite(of(*state, FUNCTION_YEAR, ODD[i], 0, 0, 0)));
        }
}

/* kinds: functions of floats leave histograms out and the other way round */
static void histograms(void **state) {
        Bench *b = *state;
        FHist *h[3] = { HIST(b, .count = 4, .sum = 8, .positive = { 1, 2, { 2, 2 } }), NULL, NULL };
        double v[3] = { ABSENT, 7, ABSENT }, got[3];
        Steps steps = { 0, 1000, 3 };
        Row in = { .v = v, .h = h }, out = { .v = got };
        double x = 2 - sqrt(2), y = 2 - sqrt(8);
        const struct {
                FunctionId f;
                double hist, value;
        } CASES[] = { { FUNCTION_HISTOGRAM_COUNT, 4, ABSENT },
                      { FUNCTION_HISTOGRAM_SUM, 8, ABSENT },
                      { FUNCTION_HISTOGRAM_AVG, 2, ABSENT },
                      { FUNCTION_HISTOGRAM_STDVAR, (2 * x * x + 2 * y * y) / 4, ABSENT },
                      { FUNCTION_HISTOGRAM_STDDEV, sqrt((2 * x * x + 2 * y * y) / 4), ABSENT },
                      { FUNCTION_ABS, ABSENT, 7 },
                      { FUNCTION_ROUND, ABSENT, 7 },
                      { FUNCTION_YEAR, ABSENT, 1970 } };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                ElementCall c = { .function = CASES[i].f, .steps = &steps, .arena = &b->arena, .notes = &b->notes };
                assert_int_equal(element_evaluate(&c, &in, &out), 0);
                assert_near(got[0], CASES[i].hist);
                assert_near(got[1], CASES[i].value);
                assert_true(is_absent(got[2]));
                assert_null(out.h);
        }
}

/* every function of functions.def belongs to one who evaluates it */
static void each_has_its_place(void **state) {
        (void)state;
        for (FunctionId f = 0; f < FUNCTION_COUNT; f++) {
                assert_false(function_is_range(f) && function_is_elementwise(f));
                assert_true(!function_keeps_name(f) || function_is_range(f));
        }
#define ARGS(first, ...) first
#define NO_ARGS TYPE_STRING
#define FUNCTION(id, name, args, variadic, returns, experimental)                                                      \
        if (function_is_elementwise(FUNCTION_##id))                                                                    \
                assert_true((args) == TYPE_VECTOR && (returns) == TYPE_VECTOR);                                        \
        if ((args) == TYPE_MATRIX && FUNCTION_##id != FUNCTION_ABSENT_OVER_TIME)                                       \
                assert_true(function_is_range(FUNCTION_##id));
#include "query/functions.def"
#undef FUNCTION
        assert_true(function_is_range(FUNCTION_QUANTILE_OVER_TIME));
}

static void operators(void **state) {
        (void)state;
        static const struct {
                BinaryOp op;
                double a, b, wanted;
        } CASES[] = {
                { BINARY_ADD, 1, 2, 3 },        { BINARY_SUB, 1, 2, -1 },     { BINARY_MUL, 3, 2, 6 },
                { BINARY_DIV, 1, 0, INFINITY }, { BINARY_DIV, 0, 0, NAN },    { BINARY_MOD, 7, 3, 1 },
                { BINARY_MOD, -7, 3, -1 },      { BINARY_MOD, 7, 0, NAN },    { BINARY_POW, 2, 10, 1024 },
                { BINARY_POW, 0, 0, 1 },        { BINARY_POW, -1, 0.5, NAN }, { BINARY_ATAN2, 1, 1, M_PI / 4 },
                { BINARY_EQL, 1, 1, 1 },        { BINARY_EQL, NAN, NAN, 0 },  { BINARY_NEQ, NAN, NAN, 1 },
                { BINARY_GTR, 2, 1, 1 },        { BINARY_LSS, 2, 1, 0 },      { BINARY_GTE, 2, 2, 1 },
                { BINARY_LTE, NAN, 2, 0 },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_double(binary_floats(CASES[i].op, CASES[i].a, CASES[i].b), CASES[i].wanted);
        assert_true(is_absent(binary_floats(BINARY_TRIM_UPPER, 1, 2)));
}

static void operators_of_histograms(void **state) {
        Bench *b = *state;
        const FHist *h = HIST(b, .count = 4, .sum = 8, .positive = { 1, 3, { 2, 0, 2 } });
        const FHist *other = HIST(b, .count = 1, .sum = 3, .positive = { 2, 1, { 1 } }, .reset = FHIST_RESET_YES);
        const FHist *custom = HIST(b, .schema = -53, .count = 1, .positive = { 0, 1, { 1 } });
        const struct {
                BinaryOp op;
                const FHist *l, *r;
                double v;
                const char *text, *note;
                bool keep;
        } CASES[] = {
                { BINARY_ADD, h, other, 0, "{count:5, sum:11, (1,2]:2, (2,4]:1, (4,8]:2}", NULL, true },
                { BINARY_SUB, h, other, 0, "{count:3, sum:5, (1,2]:2, (2,4]:-1, (4,8]:2}", NULL, true },
                { BINARY_MUL, h, NULL, 2, "{count:8, sum:16, (1,2]:4, (4,8]:4}", NULL, true },
                { BINARY_MUL, NULL, h, 2, "{count:8, sum:16, (1,2]:4, (4,8]:4}", NULL, true },
                { BINARY_DIV, h, NULL, 2, "{count:2, sum:4, (1,2]:1, (4,8]:1}", NULL, true },
                { BINARY_EQL, h, h, 0, "{count:4, sum:8, (1,2]:2, (4,8]:2}", NULL, true },
                { BINARY_EQL, h, other, 0, "{count:4, sum:8, (1,2]:2, (4,8]:2}", NULL, false },
                { BINARY_NEQ, h, other, 0, "{count:4, sum:8, (1,2]:2, (4,8]:2}", NULL, true },
                { BINARY_TRIM_UPPER, h, NULL, 2, "{count:2, sum:2.8284271247461903, (1,2]:2}", NULL, true },
                { BINARY_DIV, NULL, h, 2, NULL,
                  "PromQL info: incompatible sample types encountered for binary operator \"/\": float / histogram",
                  false },
                { BINARY_ADD, h, NULL, 2, NULL,
                  "PromQL info: incompatible sample types encountered for binary operator \"+\": histogram + float",
                  false },
                { BINARY_GTR, h, other, 0, NULL,
                  "PromQL info: incompatible sample types encountered for binary operator \">\": histogram > histogram",
                  false },
                { BINARY_TRIM_LOWER, NULL, NULL, 2, NULL,
                  "PromQL info: incompatible sample types encountered for binary operator \">/\": float >/ float",
                  false },
                { BINARY_ADD, h, custom, 0, NULL,
                  "PromQL warning: incompatible bucket layout encountered for binary operator +", false },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                FHist *out;
                double v;
                bool keep;
                assert_int_equal(binary_histograms(&b->arena, CASES[i].op, CASES[i].l, CASES[i].v, CASES[i].r,
                                                   CASES[i].v, &b->notes, (Place){ 0 }, &out, &v, &keep),
                                 0);
                assert_true(is_absent(v));
                assert_int_equal(keep, CASES[i].keep);
                if (CASES[i].text)
                        assert_hist(out, CASES[i].text);
                else
                        assert_null(out);
                if (CASES[i].note)
                        assert_note(b, CASES[i].note);
                else
                        assert_no_notes(b);
                if (CASES[i].op == BINARY_SUB)
                        assert_int_equal(out->reset, FHIST_RESET_GAUGE);
        }
        FHist *out, *no = HIST(b, .count = 1, .reset = FHIST_RESET_NO);
        double v;
        bool keep;
        assert_int_equal(
                binary_histograms(&b->arena, BINARY_ADD, other, 0, no, 0, &b->notes, (Place){ 0 }, &out, &v, &keep), 0);
        assert_note(b, "PromQL warning: conflicting counter resets during histogram addition");
        assert_true(keep);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                TEST(mathematics), TEST(rounds),
                TEST(clamps),      TEST(dates),
                TEST(histograms),  TEST(each_has_its_place),
                TEST(operators),   TEST(operators_of_histograms),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
