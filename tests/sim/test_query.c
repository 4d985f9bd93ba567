#include "query_fix.h"

static int begin(void **state) {
        Bench *b = calloc(1, sizeof *b);
        bench_init(b);
        *state = b;
        return 0;
}

static int end(void **state) {
        bench_deinit(*state);
        free(*state);
        return 0;
}

/* an instant selector gives the last sample that is younger than the lookback, and none behind a staleness marker */
static void test_select(void **state) {
        Bench *b = *state;
        load(b, "m{a=x}", 0, 60, "1 2 3 stale");
        load(b, "m{a=y}", 0, 60, "10x20+10");
        expect(b, "m", 60, "m{a=\"x\"} 2\nm{a=\"y\"} 20");
        expect(b, "m", 119, "m{a=\"x\"} 2\nm{a=\"y\"} 20");
        expect(b, "m", 180, "m{a=\"y\"} 40");
        expect(b, "m{a=\"y\"}", 1140 + 299, "m{a=\"y\"} 200");
        expect(b, "m{a=\"y\"}", 1140 + 300, "");
        expect(b, "m{a=\"y\"} offset 1m", 60, "m{a=\"y\"} 10");
        expect(b, "m{a=\"y\"} @ 1767225660", 1e6, "m{a=\"y\"} 20");
        expect_range(b, "m", 0, 240, 60, "m{a=\"x\"} 1 2 3 _ _\nm{a=\"y\"} 10 20 30 40 50");
        expect_range(b, "m{a=\"x\"} @ end()", 0, 120, 60, "m{a=\"x\"} 3 3 3");
        expect_range(b, "timestamp(m{a=\"y\"}) - 1767225600", 30, 150, 60, "{a=\"y\"} 0 60 120");
}

/* windows are open on their left */
static void test_ranges(void **state) {
        Bench *b = *state;
        load(b, "c_total{a=x}", 0, 60, "0x10+60");
        expect(b, "count_over_time(c_total[2m])", 300, "{a=\"x\"} 2");
        expect(b, "rate(c_total[5m])", 300, "{a=\"x\"} 1");
        expect(b, "sum_over_time(c_total[3m:1m])", 300, "{a=\"x\"} 720");
        expect(b, "c_total[2m]", 300, "c_total{a=\"x\"} 240@240 300@300");
        expect(b, "c_total[2m:30s]", 300, "c_total{a=\"x\"} 180@210 240@240 240@270 300@300");
        expect_range(b, "increase(c_total[2m]) / 2", 120, 300, 60, "{a=\"x\"} 60 60 60 60");
        expect_range(b, "max_over_time(rate(c_total[2m])[3m:1m] @ end())", 120, 300, 60, "{a=\"x\"} 1 1 1 1");
        b->request.features = PROMQL_EXTENDED_RANGE;
        expect(b, "c_total[90s] anchored", 300, "c_total{a=\"x\"} 180@210 240@240 300@300");
        expect(b, "c_total[90s] smoothed", 330, "c_total{a=\"x\"} 240@240 300@300 330@330");
        expect(b, "c_total smoothed", 330, "c_total{a=\"x\"} 330");
        expect(b, "c_total[1m] anchored", 3000, "");
        expect(b, "absent_over_time(nothing{x=\"y\"}[5m])", 300, "{x=\"y\"} 1");
        expect(b, "absent_over_time(c_total[5m])", 300, "");
        expect(b, "last_over_time(c_total[5m])", 300, "c_total{a=\"x\"} 300");
        expect(b, "quantile_over_time(0.5, c_total[5m])", 300, "{a=\"x\"} 180");
}

/* every aggregation, by and without */
static void test_aggregations(void **state) {
        Bench *b = *state;
        load(b, "m{a=x,i=1}", 0, 60, "1 1 1");
        load(b, "m{a=x,i=2}", 0, 60, "2 2 _");
        load(b, "m{a=y,i=3}", 0, 60, "5 _ 7");
        expect_range(b, "sum(m)", 0, 120, 60, "{} 8 8 10");
        b->request.lookback_ms = 1000;
        expect_range(b, "sum(m)", 0, 120, 60, "{} 8 3 8");
        expect_range(b, "sum by (a) (m)", 0, 120, 60, "{a=\"x\"} 3 3 1\n{a=\"y\"} 5 _ 7");
        expect_range(b, "sum without (a) (m)", 0, 120, 60, "{i=\"1\"} 1 1 1\n{i=\"2\"} 2 2 _\n{i=\"3\"} 5 _ 7");
        expect_range(b, "avg(m)", 0, 120, 60, "{} 2.6666666666666665 1.5 4");
        expect_range(b, "count(m)", 0, 120, 60, "{} 3 2 2");
        expect_range(b, "min(m)", 0, 120, 60, "{} 1 1 1");
        expect_range(b, "max(m)", 0, 120, 60, "{} 5 2 7");
        expect_range(b, "group(m)", 0, 120, 60, "{} 1 1 1");
        expect_range(b, "stdvar(m)", 0, 120, 60, "{} 2.888888888888889 0.25 9");
        expect_range(b, "stddev(m)", 0, 120, 60, "{} 1.699673171197595 0.5 3");
        expect_range(b, "quantile(0.5, m)", 0, 120, 60, "{} 2 1.5 4");
        expect_range(b, "topk(1, m)", 0, 120, 60, "m{a=\"x\", i=\"2\"} _ 2 _\nm{a=\"y\", i=\"3\"} 5 _ 7");
        expect_range(b, "bottomk by (a) (1, m)", 0, 120, 60, "m{a=\"x\", i=\"1\"} 1 1 1\nm{a=\"y\", i=\"3\"} 5 _ 7");
        expect(b, "topk(2, m)", 0, "m{a=\"y\", i=\"3\"} 5\nm{a=\"x\", i=\"2\"} 2");
        expect(b, "bottomk(5, m)", 0, "m{a=\"x\", i=\"1\"} 1\nm{a=\"x\", i=\"2\"} 2\nm{a=\"y\", i=\"3\"} 5");
        expect_range(b, "count_values(\"v\", m)", 0, 120, 60,
                     "{v=\"1\"} 1 1 1\n{v=\"2\"} 1 1 _\n{v=\"5\"} 1 _ _\n{v=\"7\"} _ _ 1");
        expect(b, "quantile(2, m)", 0,
               "{} +Inf\nwarning: PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)");
        b->request.features = PROMQL_EXPERIMENTAL_FUNCTIONS;
        expect_range(b, "limitk(1, m)", 0, 120, 60, "m{a=\"x\", i=\"1\"} 1 1 1");
        expect(b, "count(limit_ratio(0.5, m) or limit_ratio(-0.5, m))", 0, "{} 3");
        expect(b, "limit_ratio(0.5, m) and limit_ratio(-0.5, m)", 0, "");
        expect(b, "count(limit_ratio(2, m))", 0,
               "{} 3\nwarning: PromQL warning: ratio value should be between -1 and 1, got 2, capping to 1 (1:19)");
}

/* sums are as exact as Neumaier's, means survive sums that are too large */
static void test_exact_sums(void **state) {
        Bench *b = *state;
        load(b, "m{i=1}", 0, 60, "1e16 1e308");
        load(b, "m{i=2}", 0, 60, "1 1.5e308");
        load(b, "m{i=3}", 0, 60, "-1e16 1.7e308");
        expect_range(b, "sum(m)", 0, 60, 60, "{} 1 +Inf");
        expect_range(b, "avg(m)", 0, 60, 60, "{} 0.3333333333333333 1.3999999999999999e+308");
}

/* operators between vectors, and what is refused */
static void test_matching(void **state) {
        Bench *b = *state;
        load(b, "l{a=x,i=1}", 0, 60, "1 2");
        load(b, "l{a=x,i=2}", 0, 60, "3 4");
        load(b, "l{a=y,i=1}", 0, 60, "5 6");
        load(b, "r{a=x,t=u}", 0, 60, "10 20");
        load(b, "r{a=z,t=v}", 0, 60, "30 40");
        expect(b, "l + l", 0, "{a=\"x\", i=\"1\"} 2\n{a=\"x\", i=\"2\"} 6\n{a=\"y\", i=\"1\"} 10");
        expect(b, "l * on(a) group_left(t) r", 0, "{a=\"x\", i=\"1\", t=\"u\"} 10\n{a=\"x\", i=\"2\", t=\"u\"} 30");
        expect(b, "r / on(a) group_right() l", 60, "{a=\"x\", i=\"1\"} 10\n{a=\"x\", i=\"2\"} 5");
        expect(b, "l * on(a) r", 0,
               "execution: multiple matches for labels: many-to-one matching must be explicit "
               "(group_left/group_right)");
        expect(b, "r * on(a) l", 0,
               "execution: found duplicate series for the match group {a=\"x\"} on the right hand-side of the "
               "operation: "
               "[l{a=\"x\", i=\"2\"}, l{a=\"x\", i=\"1\"}];many-to-many matching not allowed: matching labels must be "
               "unique on one side");
        expect(b, "l > 2", 0, "l{a=\"x\", i=\"2\"} 3\nl{a=\"y\", i=\"1\"} 5");
        expect(b, "2 > bool l", 0, "{a=\"x\", i=\"1\"} 1\n{a=\"x\", i=\"2\"} 0\n{a=\"y\", i=\"1\"} 0");
        expect(b, "l and on(a) r", 0, "l{a=\"x\", i=\"1\"} 1\nl{a=\"x\", i=\"2\"} 3");
        expect(b, "l unless on(a) r", 0, "l{a=\"y\", i=\"1\"} 5");
        expect(b, "l or on(a) r", 0,
               "l{a=\"x\", i=\"1\"} 1\nl{a=\"x\", i=\"2\"} 3\nl{a=\"y\", i=\"1\"} 5\nr{a=\"z\", t=\"v\"} 30");
        /* Two of the many get the same labels, although a filter leaves one. */
        expect(b, "label_replace(l, \"i\", \"\", \"\", \"\") or l", 0,
               "execution: vector cannot contain metrics with the same labelset");
        expect(b, "l < on(a) group_left(i) label_replace(r{a=\"x\"}, \"i\", \"9\", \"\", \"\") - 8", 0,
               "execution: multiple matches for labels: grouping labels must ensure unique matches");
        expect(b, "-l{i=\"2\"}", 0, "{a=\"x\", i=\"2\"} -3");
        expect(b, "{i=\"1\",a=\"x\"} + {a=\"x\",i=\"1\"}", 0, "{a=\"x\", i=\"1\"} 2");
        expect(b, "abs({a=\"x\"})", 0, "{a=\"x\", i=\"1\"} 1\n{a=\"x\", i=\"2\"} 3\n{a=\"x\", t=\"u\"} 10");
        load(b, "q{a=x,i=1}", 0, 60, "1 1");
        expect(b, "abs({i=\"1\"})", 0, "execution: vector cannot contain metrics with the same labelset");
        expect(b, "1 + 2 * 3", 0, "scalar 7");
        expect_range(b, "scalar(l{i=\"2\"}) + time() - 1767225600", 0, 60, 60, "scalar 3 64");
        expect_range(b, "vector(1) + on() group_right() l", 0, 60, 60,
                     "{a=\"x\", i=\"1\"} 2 3\n{a=\"x\", i=\"2\"} 4 5\n{a=\"y\", i=\"1\"} 6 7");
}

static void test_fill(void **state) {
        Bench *b = *state;
        b->request.features = PROMQL_BINOP_FILL;
        load(b, "l{a=x}", 0, 60, "1 1");
        load(b, "l{a=y}", 0, 60, "2 2");
        load(b, "r{a=y}", 0, 60, "10 10");
        load(b, "r{a=z}", 0, 60, "20 20");
        expect(b, "l + on(a) fill_right(100) r", 0, "{a=\"x\"} 101\n{a=\"y\"} 12");
        expect(b, "l + on(a) fill(0) r", 0, "{a=\"x\"} 1\n{a=\"y\"} 12\n{a=\"z\"} 20");
}

/* rows whose labels became equal are one, as long as they are not there at once */
static void test_merging(void **state) {
        Bench *b = *state;
        b->request.lookback_ms = 1000;
        load(b, "a{x=y}", 0, 60, "1 _ 3");
        load(b, "b{x=y}", 0, 60, "_ 2 _");
        expect_range(b, "-{x=\"y\"}", 0, 120, 60, "{x=\"y\"} -1 -2 -3");
        expect_range(b, "label_replace({x=\"y\"}, \"__name__\", \"c\", \"\", \"\") ", 0, 120, 60, "c{x=\"y\"} 1 2 3");
        b->request.features = PROMQL_DELAYED_NAME_REMOVAL;
        expect_range(b, "-{x=\"y\"}", 0, 120, 60, "{x=\"y\"} -1 -2 -3");
        expect_range(b, "sum by (__name__) (-{x=\"y\"})", 0, 120, 60, "{} -1 -2 -3");
}

/* whatever ends a query is named, with its value */
static void test_limits(void **state) {
        Bench *b = *state;
        for (int i = 0; i < 40; i++) {
                char name[32];
                (void)snprintf(name, sizeof name, "m{i=%02d}", i);
                load(b, name, 0, 10, "0x200+1.5");
        }
        b->request.limits.max_series = 10;
        expect(b, "m", 0,
               "execution: m matches more than 10 series or their list takes more than 1073741824 bytes (limits "
               "query.max_series, query.max_memory): add matchers, or ask for less time");
        query_limits_default(&b->request.limits);
        b->request.limits.max_samples = 1000;
        expect(b, "sum(rate(m[30m]))", 2000,
               "execution: query processing would load too many samples into memory in query execution: "
               "more than 1000 (limit query.max_samples): ask for less time or fewer series");
        query_limits_default(&b->request.limits);
        b->request.limits.max_points = 100;
        expect_range(b, "m", 0, 100, 10,
                     "execution: the result has more than 100 points (limit query.max_points): ask for a longer step, "
                     "or aggregate");
        query_limits_default(&b->request.limits);
        b->request.limits.max_memory = 1 << 18;
        expect_range(b, "count_values(\"v\", m)", 0, 1990, 10,
                     "execution: query needs more than 262144 bytes of memory (limit query.max_memory): ask for less "
                     "time, a longer step "
                     "or fewer series");
        expect(b, "max_over_time(time()[1y:1ms])", 0,
               "bad_data: invalid parameter \"query\": 1:15: parse error: subquery is only allowed on "
               "instant vector, got scalar instead");
        expect(b, "max_over_time(vector(1)[100y:1ms])", 0,
               "execution: query needs more than 262144 bytes of memory (limit query.max_memory): ask for less time, a "
               "longer step or "
               "fewer series");
        expect_range(b, "m", 0, 20000, 1,
                     "bad_data: exceeded maximum resolution of 11000 points per timeseries (limit query.max_steps). "
                     "Try decreasing the query resolution (?step=XX)");
        query_limits_default(&b->request.limits);
        b->request.limits.timeout = MILLISECONDS(50);
        b->request.limits.max_steps = 1000000;
        MonoTime begun = mono_now();
        expect_range(b, "sum(quantile_over_time(0.5, m[30m]))", 0, 999999, 1,
                     "timeout: query timed out in query execution after 0.05 s (limit query.timeout): ask for less "
                     "time or fewer series");
        assert_true(duration_seconds(mono_since(mono_now(), begun)) < 1);
        const atomic_bool cancelled = true;
        b->request.cancelled = &cancelled;
        expect(b, "m", 0, "canceled: query was canceled in query execution");
}

/* wherever memory ends, the query does, and says so */
static void test_no_memory(void **state) {
        Bench *b = *state;
        static const char *const TEXTS[] = {
                "sum by (a) (rate(c_total[1m]))",
                "topk(2, c_total) + 1",
                "limitk(1, c_total)",
                "count_values(\"v\", c_total)",
                "quantile(0.5, c_total)",
                "c_total * on(i) group_left(a) c_total",
                "c_total + on(i) fill(1) c_total",
                "c_total and on(a) c_total or c_total unless c_total",
                "max_over_time(rate(c_total[1m])[2m:10s])",
                "label_replace(c_total, \"x\", \"y\", \"\", \"\")",
                "absent_over_time(c_total[1m])",
                "info(c_total)",
                "avg(-c_total) / scalar(c_total{i=\"1\"})",
                "sort_desc(sum by (i) (c_total)) > 5",
                "hour() + c_total @ end()",
        };
        b->request.features = PROMQL_EXPERIMENTAL_FUNCTIONS | PROMQL_BINOP_FILL;
        for (int i = 0; i < 40; i++) {
                char name[64];
                (void)snprintf(name, sizeof name, "c_total{a=%d,i=%d}", i % 3, i);
                load(b, name, 0, 10, "0x60+1");
        }
        load(b, "target_info{job=j,instance=i}", 0, 10, "1x60");
        for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
                QueryFault last = QUERY_EXECUTION;
                for (size_t limit = 1000; limit < 400000 && last != QUERY_OK; limit += limit / 16) {
                        b->request.limits.max_memory = limit;
                        Query *q = run_query(b, TEXTS[i], 100, 500, 20);
                        const QueryResult *r = query_result(q);
                        last = r->fault;
                        if (last != QUERY_OK && last != QUERY_EXECUTION)
                                fail_msg("%s with %zu bytes: %.*s", TEXTS[i], limit, (int)r->error.len, r->error.data);
                        (void)query_free(q);
                }
                assert_int_equal(last, QUERY_OK);
        }
}

/* what is equal is evaluated once */
static void test_sharing(void **state) {
        Bench *b = *state;
        load(b, "c_total{a=x}", 0, 10, "0x100+10");
        load(b, "c_total{a=y}", 0, 10, "0x100+20");
        Query *q =
                run_query(b, "sum(rate(c_total[1m])) / count(rate(c_total[1m])) + sum(rate(c_total[1m]))", 60, 600, 60);
        const QueryResult *r = query_result(q);
        assert_int_equal(r->fault, QUERY_OK);
        assert_true(r->value.rows[0].v[0] == 4.5);
        assert_true(r->stats.samples < 2 * 2 * 61);
        (void)query_free(q);
}

static void test_explain(void **state) {
        Bench *b = *state;
        b->request.explain = true;
        load(b, "c_total{a=x}", 0, 10, "0x100+10");
        Query *q = run_query(b, "sum(rate(c_total[1m])) > 1", 60, 600, 60);
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        query_explain(q, &text);
        assert_non_null(strstr(buf_cstr(&text), "aggregate: sum(rate(c_total[1m]))"));
        assert_non_null(strstr(buf_cstr(&text), "fused"));
        (void)query_free(q);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_select, begin, end),
                cmocka_unit_test_setup_teardown(test_ranges, begin, end),
                cmocka_unit_test_setup_teardown(test_aggregations, begin, end),
                cmocka_unit_test_setup_teardown(test_exact_sums, begin, end),
                cmocka_unit_test_setup_teardown(test_matching, begin, end),
                cmocka_unit_test_setup_teardown(test_fill, begin, end),
                cmocka_unit_test_setup_teardown(test_merging, begin, end),
                cmocka_unit_test_setup_teardown(test_limits, begin, end),
                cmocka_unit_test_setup_teardown(test_no_memory, begin, end),
                cmocka_unit_test_setup_teardown(test_sharing, begin, end),
                cmocka_unit_test_setup_teardown(test_explain, begin, end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
