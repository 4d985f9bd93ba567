/* What is calculated from rolled-up data: beside raw data of the same time, and where raw data is gone. */
#include "query_fix.h"

enum { DAYS = 4 };

/* A counter with a reset and a gauge, once a minute for four days. */
static int begin(void **state) {
        Bench *b = calloc(1, sizeof *b);
        bench_init(b);
        b->request.limits.max_steps = 100000;
        for (int day = 0; day < DAYS; day++) {
                int64_t times[1440];
                double counter[1440], gauge[1440];
                for (int i = 0; i < 1440; i++) {
                        int minute = day * 1440 + i + 1;
                        times[i] = FIX_EPOCH + minute * MINUTE_MS;
                        counter[i] = minute < 2000 ? minute * 60 : (minute - 2000) * 60;
                        gauge[i] = minute % 7;
                }
                assert_int_equal(fix_send_many(&b->fix, "c_total{a=x}", times, counter, 1440), SAMPLE_OK);
                assert_int_equal(fix_send_many(&b->fix, "g{a=x}", times, gauge, 1440), SAMPLE_OK);
        }
        fix_pass(&b->fix, DAYS * DAY_MS + 2 * HOUR_MS);
        fix_flush(&b->fix, true);
        fix_settle(&b->fix);
        *state = b;
        return 0;
}

static int end(void **state) {
        bench_deinit(*state);
        free(*state);
        return 0;
}

static const double *values(Query *q, size_t n) {
        const QueryResult *r = query_result(q);
        if (r->fault)
                fail_msg("%.*s", (int)r->error.len, r->error.data);
        assert_int_equal(r->value.n_rows, 1);
        assert_int_equal(r->steps.n, n);
        return r->value.rows[0].v;
}

/* Windows that are whole rows are the same from either tier; the extrapolation of rate() apart. */
static void compare(Bench *b, QueryTier tier, const char *text, int64_t step_s, double within) {
        size_t n = (size_t)((DAYS - 2) * 86400 / step_s) + 1;
        b->request.tier = QUERY_TIER_RAW;
        Query *raw = run_query(b, text, 86400, (DAYS - 1) * 86400, step_s);
        b->request.tier = tier;
        Query *rolled = run_query(b, text, 86400, (DAYS - 1) * 86400, step_s);
        const double *l = values(raw, n), *r = values(rolled, n);
        assert_true(query_result(rolled)->stats.tier_ms[tier == QUERY_TIER_1H ? STORE_1H : STORE_5M] > 0);
        assert_int_equal(query_result(rolled)->n_infos, 1);
        for (size_t k = 0; k < n; k++)
                if (!(fabs(l[k] - r[k]) <= within * fabs(l[k])))
                        fail_msg("%s: %g of raw data, %g of rolled-up data at step %zu", text, l[k], r[k], k);
        (void)query_free(raw);
        (void)query_free(rolled);
}

static void test_same_as_raw(void **state) {
        Bench *b = *state;
        static const char *const EXACT[] = { "g",
                                             "c_total",
                                             "sum_over_time(g[1h])",
                                             "count_over_time(g[1h])",
                                             "avg_over_time(g[1h])",
                                             "min_over_time(g[1h])",
                                             "max_over_time(g[1h])",
                                             "last_over_time(g[1h])",
                                             "present_over_time(g[1h])",
                                             "count_over_time(c_total[1h])",
                                             "sum(sum_over_time(g[2h]))" };
        for (size_t i = 0; i < ARRAY_LEN(EXACT); i++) {
                compare(b, QUERY_TIER_5M, EXACT[i], 3600, 0);
                compare(b, QUERY_TIER_1H, EXACT[i], 3600, 0);
        }
        /* Where the counter begins anew, extrapolation is no more than a guess. */
        compare(b, QUERY_TIER_5M, "increase(c_total[1h])", 3600, 1e-3);
        compare(b, QUERY_TIER_5M, "rate(c_total[6h])", 3600, 1e-3);
        compare(b, QUERY_TIER_1H, "rate(c_total[6h])", 3600, 1e-3);
        compare(b, QUERY_TIER_5M, "increase(c_total{a=\"x\"}[2h] offset 12h)", 3600, 1e-3);
        /* Between the rows a counter grows evenly. */
        compare(b, QUERY_TIER_5M, "rate(c_total[1h])", 420, 1e-2);
}

/* long steps that lie on whole windows are read from there without being asked; others are not */
static void test_chosen_by_step(void **state) {
        Bench *b = *state;
        static const struct {
                const char *text;
                int64_t start_s, step_s;
                StoreTier tier;
        } CASES[] = {
                { "increase(c_total[1h])", 86400, 3600, STORE_5M },
                { "increase(c_total[5h])", 86400, 18000, STORE_1H },
                { "increase(c_total[1h])", 86460, 3600, STORE_RAW },
                { "increase(c_total[59m])", 86400, 3600, STORE_RAW },
                { "increase(c_total[1h])", 86400, 600, STORE_RAW },
                { "irate(c_total[1h])", 86400, 3600, STORE_RAW },
                { "g", 86400, 3600, STORE_5M },
                { "stddev_over_time(g[1h])", 86400, 3600, STORE_RAW },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                Query *q = run_query(b, CASES[i].text, CASES[i].start_s, CASES[i].start_s + 86400, CASES[i].step_s);
                const QueryResult *r = query_result(q);
                assert_int_equal(r->fault, QUERY_OK);
                for (StoreTier t = STORE_5M; t < STORE_TIER_COUNT; t++)
                        assert_int_equal(r->stats.tier_ms[t] > 0, t == CASES[i].tier);
                (void)query_free(q);
        }
        b->request.tier = QUERY_TIER_RAW;
        Query *q = run_query(b, "increase(c_total[1h])", 86400, 172800, 3600);
        assert_int_equal(query_result(q)->stats.tier_ms[STORE_5M], 0);
        (void)query_free(q);
}

/* the newest time is raw: both are joined without a seam */
static void test_seam(void **state) {
        Bench *b = *state;
        int64_t last = DAYS * 86400;
        load(b, "c_total{a=x}", last + 60, 60, "225660x120+60");
        load(b, "g{a=x}", last + 60, 60, "3x120");
        b->request.tier = QUERY_TIER_5M;
        Query *q = run_query(b, "increase(c_total[1h])", last - 7200, last + 7200, 600);
        const double *v = values(q, 25);
        assert_true(query_result(q)->stats.tier_ms[STORE_RAW] > 0);
        for (size_t k = 0; k < 25; k++)
                if (fabs(v[k] - 3600) > 3600 * 0.02)
                        fail_msg("increase of %g at step %zu", v[k], k);
        (void)query_free(q);
        q = run_query(b, "count_over_time(g[1h])", last - 7200, last + 7200, 600);
        v = values(q, 25);
        for (size_t k = 0; k < 25; k++)
                assert_true(v[k] == 60);
        (void)query_free(q);
}

/* what a rollup does not keep is left out, and it says so */
static void test_not_kept(void **state) {
        Bench *b = *state;
        b->request.tier = QUERY_TIER_5M;
        Query *q = run_query(b, "avg_over_time(c_total[1h])", 86400, 172800, 3600);
        const QueryResult *r = query_result(q);
        assert_int_equal(r->fault, QUERY_OK);
        assert_int_equal(r->value.n_rows, 0);
        assert_int_equal(r->n_warnings, 1);
        assert_non_null(strstr(r->warnings[0], "avg_over_time() of a counter"));
        (void)query_free(q);
        q = run_query(b, "stddev_over_time(g[1h])", 86400, 172800, 3600);
        r = query_result(q);
        assert_int_equal(r->stats.tier_ms[STORE_5M], 0);
        assert_int_equal(r->value.n_rows, 1);
        assert_int_equal(r->n_warnings, 1);
        (void)query_free(q);
}

/* where raw data is gone the tiers are read, the five minutes before the hours; nobody has to ask */
static void test_raw_is_gone(void **state) {
        Bench *b = *state;
        fix_close(&b->fix);
        b->fix.options.keep[STORE_RAW] = SECONDS(86400);
        fix_open(&b->fix);
        for (int i = 0; i < 8; i++) {
                fix_pass(&b->fix, 2 * HOUR_MS);
                fix_settle(&b->fix);
        }
        StoreStats stats;
        store_stats(b->fix.store, &stats);
        assert_true(stats.tier[STORE_RAW].min_ms > FIX_EPOCH + DAY_MS);
        Query *q = run_query(b, "increase(c_total[1h])", 7200, DAYS * 86400, 420);
        const QueryResult *r = query_result(q);
        assert_int_equal(r->fault, QUERY_OK);
        assert_true(r->stats.tier_ms[STORE_5M] > 0 && r->stats.tier_ms[STORE_RAW] > 0);
        assert_int_equal(r->n_infos, 1);
        for (size_t k = 0; k < r->steps.n; k++)
                if (!(fabs(r->value.rows[0].v[k] - 3600) <= 65))
                        fail_msg("increase of %g at step %zu", r->value.rows[0].v[k], k);
        (void)query_free(q);
        q = run_query(b, "g", 7200, DAYS * 86400, 420);
        r = query_result(q);
        for (size_t k = 0; k < r->steps.n; k++)
                assert_false(is_absent(r->value.rows[0].v[k]));
        (void)query_free(q);
        q = run_query(b, "changes(g[1h])", 7200, DAYS * 86400, 420);
        r = query_result(q);
        assert_int_equal(r->n_warnings, 1);
        assert_non_null(strstr(r->warnings[0], "begins with the raw data"));
        assert_true(is_absent(r->value.rows[0].v[0]));
        (void)query_free(q);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_same_as_raw, begin, end),
                cmocka_unit_test_setup_teardown(test_chosen_by_step, begin, end),
                cmocka_unit_test_setup_teardown(test_seam, begin, end),
                cmocka_unit_test_setup_teardown(test_not_kept, begin, end),
                cmocka_unit_test_setup_teardown(test_raw_is_gone, begin, end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
