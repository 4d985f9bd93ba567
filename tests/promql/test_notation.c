#include "notation.h"

#include "custom.h"
#include "model/labels.h"
#include "model/stale.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Fixture {
        ArenaBudget budget;
        Arena arena;
        Buf error;
        NotedSeries series;
} Fixture;

static void init(Fixture *f) {
        *f = (Fixture){ .budget = ARENA_BUDGET(1 << 24) };
        f->arena = ARENA(&f->budget);
}

static void deinit(Fixture *f) {
        noted_series_deinit(&f->series);
        buf_deinit(&f->error);
        arena_deinit(&f->arena);
}

static int parse(Fixture *f, const char *line) {
        noted_series_deinit(&f->series);
        buf_reset(&f->error);
        return notation_parse(&f->arena, (Span){ line, strlen(line) }, &f->series, &f->error);
}

static void assert_labels(const Fixture *f, const char *expected) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        labels_print((const uint8_t *)f->series.run.data, f->series.run.len, &text);
        assert_string_equal(buf_cstr(&text), expected);
}

static void test_labels(void **state) {
        Fixture f;
        init(&f);
        assert_int_equal(parse(&f, "up"), 0);
        assert_labels(&f, "up");
        assert_int_equal(parse(&f, "up{b='x', a=\"y\\\"\\n\"} 1"), 0);
        assert_labels(&f, "up{a=\"y\\\"\\n\", b=\"x\"}");
        assert_int_equal(parse(&f, "{\"disk.used\", \"host.name\"=`h\\1`} 1"), 0);
        assert_int_equal(f.series.n, 1);
        assert_int_equal(parse(&f, "{} 1"), 0);
        assert_int_equal(f.series.run.len, 0);
        static const char *const wrong[] = { "1x",          "{a}",      "{a=}", "{a=\"b\"", "up{a=\"b\" c=\"d\"}",
                                             "{\"\\q\"} 1", "up{a=\"b}" };
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
                assert_int_equal(parse(&f, wrong[i]), -EINVAL);
        deinit(&f);
}

static void assert_values(Fixture *f, const char *line, const double *expected, size_t n) {
        assert_int_equal(parse(f, line), 0);
        assert_int_equal(f->series.n, n);
        for (size_t i = 0; i < n; i++) {
                const NotedValue *v = &f->series.values[i];
                assert_true(isnan(expected[i]) ? v->omitted : !v->omitted && v->v == expected[i]);
        }
}

static void test_floats(void **state) {
        Fixture f;
        init(&f);
        assert_values(&f, "m 1 -2.5 1e3", (double[]){ 1, -2.5, 1000 }, 3);
        assert_values(&f, "m 1+2x3", (double[]){ 1, 3, 5, 7 }, 4);
        assert_values(&f, "m 10-4x2 7x1", (double[]){ 10, 6, 2, 7, 7 }, 5);
        assert_values(&f, "m _ 1 _x2 2", (double[]){ NAN, 1, NAN, NAN, 2 }, 5);
        assert_values(&f, "m -Inf Infx1", (double[]){ -INFINITY, INFINITY, INFINITY }, 3);
        assert_int_equal(parse(&f, "m stale NaN"), 0);
        assert_true(is_stale(f.series.values[0].v));
        assert_true(isnan(f.series.values[1].v) && !is_stale(f.series.values[1].v));
        static const char *const wrong[] = { "m 1,2",  "m 1+x3",          "m 1x",        "m x3",
                                             "m 1 2z", "m 1x99999999999", "m {{schema}}" };
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
                assert_int_equal(parse(&f, wrong[i]), -EINVAL);
        deinit(&f);
}

static void test_histograms(void **state) {
        Fixture f;
        init(&f);
        assert_int_equal(
                parse(&f,
                      "h {{schema:1 count:4 sum:-5.5 z_bucket:1 z_bucket_w:0.5 offset:-1 buckets:[1 0 2] n_offset:3 "
                      "n_buckets:[7] counter_reset_hint:gauge}} _"),
                0);
        assert_int_equal(f.series.n, 2);
        const FHist *h = f.series.values[0].h;
        assert_int_equal(h->schema, 1);
        assert_true(h->count == 4 && h->sum == -5.5 && h->zero_count == 1 && h->zero_threshold == 0.5);
        assert_int_equal(h->reset, FHIST_RESET_GAUGE);
        assert_true(f.series.values[0].reset_noted);
        assert_int_equal(h->positive_spans[0].offset, -1);
        assert_int_equal(h->n_positive, 3);
        assert_true(h->positive[2] == 2 && h->negative[0] == 7);
        assert_int_equal(h->negative_spans[0].offset, 3);
        deinit(&f);
}

/* The finer schema's buckets 1 and 2 are the coarser one's bucket 1. */
static void test_histogram_series(void **state) {
        Fixture f;
        init(&f);
        assert_int_equal(
                parse(&f,
                      "h {{schema:0 count:1 offset:1 buckets:[1]}}+{{schema:1 count:3 offset:0 buckets:[1 1 1]}}x2"),
                0);
        assert_int_equal(f.series.n, 3);
        const FHist *h = f.series.values[2].h;
        assert_true(h->count == 7);
        assert_int_equal(h->positive_spans[0].offset, 0);
        assert_int_equal(h->n_positive, 2);
        assert_true(h->positive[0] == 2 && h->positive[1] == 5);
        assert_int_equal(parse(&f, "h {{schema:1}}+{{schema:0}}x2"), -EINVAL);
        deinit(&f);
}

static void test_custom_buckets(void **state) {
        Fixture f;
        init(&f);
        NotedSeries list[4] = { 0 };
        static const char *const lines[] = { "d_bucket{le=\"2\"} 3 _", "d_bucket{le=\"1\"} 1 2", "d_count 5 6",
                                             "d_sum 4 7" };
        for (size_t i = 0; i < ARRAY_LEN(lines); i++)
                assert_int_equal(notation_parse(&f.arena, (Span){ lines[i], strlen(lines[i]) }, &list[i], &f.error), 0);
        Custom c = { 0 };
        assert_int_equal(custom_collect(&c, list, 4, &f.error), 0);
        assert_int_equal(c.n, 1);
        assert_int_equal(c.series[0].n, 2);
        const FHist *h = c.series[0].values[0].h;
        assert_int_equal(h->schema, -53);
        assert_int_equal(h->n_custom, 2);
        assert_true(h->custom_bounds[0] == 1 && h->custom_bounds[1] == 2);
        assert_true(h->positive[0] == 1 && h->positive[1] == 2 && h->positive[2] == 2 && h->sum == 4 && h->count == 5);
        h = c.series[0].values[1].h;
        assert_int_equal(h->n_custom, 1);
        assert_true(h->positive[0] == 2 && h->positive[1] == 4);
        custom_deinit(&c);
        list[2].values[0].v = 2; /* less than the buckets before it */
        assert_int_equal(custom_collect(&c, list, 4, &f.error), -EINVAL);
        custom_deinit(&c);
        for (size_t i = 0; i < ARRAY_LEN(lines); i++)
                noted_series_deinit(&list[i]);
        deinit(&f);
}

static void test_durations(void **state) {
        static const struct {
                const char *text;
                int64_t ms;
        } good[] = { { "0", 0 },       { "90s", 90000 },    { "1h30m", 5400000 },
                     { "250ms", 250 }, { "1w", 604800000 }, { "10s53ms", 10053 } };
        static const char *const wrong[] = { "", "5", "s", "5x", "-5s", "1h m" };
        int64_t ms;
        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                assert_true(notation_duration((Span){ good[i].text, strlen(good[i].text) }, &ms));
                assert_int_equal(ms, good[i].ms);
        }
        for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
                assert_false(notation_duration((Span){ wrong[i], strlen(wrong[i]) }, &ms));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_labels),         cmocka_unit_test(test_floats),
                cmocka_unit_test(test_histograms),     cmocka_unit_test(test_histogram_series),
                cmocka_unit_test(test_custom_buckets), cmocka_unit_test(test_durations),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
