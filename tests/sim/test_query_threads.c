/* Queries that threads of a pool help with: the same answers to the last bit, whoever was faster; limits that hold
 * there, too. */
#include "query_fix.h"

#include "rt/thread.h"

typedef struct Threads {
        Bench bench;
        Loop *loop;
        Pool *pool;
} Threads;

static int begin(void **state) {
        Threads *t = calloc(1, sizeof *t);
        bench_init(&t->bench);
        t->bench.fix.options.max_series_source = t->bench.fix.options.new_series_source = 10000;
        for (int i = 0; i < 300; i++) {
                char name[64], values[64];
                (void)snprintf(name, sizeof name, "m_total{i=%03d,g=%d}", i, i % 7);
                (void)snprintf(values, sizeof values, "%gx120+%g", i * 1.1, i / 3.0);
                load(&t->bench, name, i % 13, 10, values);
        }
        const PoolOptions o = { .name = "query", .threads = 3, .max_waiting = 10, .max_waiting_source = 10 };
        assert_int_equal(loop_new(&t->loop), 0);
        assert_int_equal(pool_new(t->loop, &o, &t->pool), 0);
        *state = t;
        return 0;
}

static int end(void **state) {
        Threads *t = *state;
        t->pool = pool_free(t->pool);
        (void)loop_free(t->loop);
        bench_deinit(&t->bench);
        free(t);
        return 0;
}

static void answer(Threads *t, Pool *pool, const char *text, Buf *out) {
        t->bench.request.pool = pool;
        Query *q = run_query(&t->bench, text, 60, 1200, 30);
        put_result(query_result(q), out);
        (void)query_free(q);
}

static void test_same_answers(void **state) {
        Threads *t = *state;
        static const char *const TEXTS[] = { "sum(rate(m_total[1m]))",
                                             "sum by (g) (rate(m_total[1m]))",
                                             "avg(m_total)",
                                             "topk(3, m_total)",
                                             "limitk(5, m_total)",
                                             "abs(rate(m_total[1m]))",
                                             "quantile(0.3, rate(m_total[1m]))",
                                             "count_values(\"v\", m_total > 100 < 110)",
                                             "stddev(m_total) / on() sum(m_total * 2)",
                                             "rate(m_total[1m]) / on(i) group_left() m_total",
                                             "absent_over_time(m_total[1m])",
                                             "histogram_quantile(0.9, m_total)" };
        t->bench.request.features = PROMQL_EXPERIMENTAL_FUNCTIONS;
        for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++)
                for (int round = 0; round < 5; round++) {
                        CLEANUP(buf_deinit) Buf alone = BUF_NULL, helped = BUF_NULL;
                        answer(t, NULL, TEXTS[i], &alone);
                        answer(t, t->pool, TEXTS[i], &helped);
                        assert_string_equal(buf_cstr(&alone), buf_cstr(&helped));
                }
}

static void test_limits(void **state) {
        Threads *t = *state;
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        t->bench.request.limits.max_samples = 5000;
        answer(t, t->pool, "sum(rate(m_total[1m]))", &text);
        assert_non_null(strstr(buf_cstr(&text), "limit query.max_samples"));
        query_limits_default(&t->bench.request.limits);
        t->bench.request.limits.max_memory = 100000;
        buf_reset(&text);
        answer(t, t->pool, "rate(m_total[1m])", &text);
        assert_non_null(strstr(buf_cstr(&text), "limit query.max_memory"));
        query_limits_default(&t->bench.request.limits);
        t->bench.request.limits.timeout = MILLISECONDS(1);
        t->bench.request.limits.max_steps = 1000000;
        t->bench.request.pool = t->pool;
        Query *q = run_query(&t->bench, "sum(quantile_over_time(0.5, m_total[20m]))", 0, 900000, 1);
        assert_int_equal(query_result(q)->fault, QUERY_TIMEOUT);
        assert_true(duration_seconds(query_result(q)->stats.total) < 1);
        (void)query_free(q);
}

/* `open` so often, an `m_total`, `close` as often. */
static void nest(Buf *out, const char *open, const char *close, unsigned depth) {
        buf_reset(out);
        for (unsigned i = 0; i < depth; i++)
                buf_put_str(out, open);
        buf_put_str(out, "m_total");
        for (unsigned i = 0; i < depth; i++)
                buf_put_str(out, close);
}

static void ask_deep(void *context) {
        Threads *t = context;
        static const struct {
                const char *open, *close;
                unsigned depth;
        } CASES[] = { { "abs(", ")", 120 },
                      { "-(", ")", 60 },
                      { "sum(", ")", 120 },
                      { "(1 + ", ")", 60 },
                      { "(m_total + ", ")", 60 },
                      { "clamp_min(", ", 1)", 120 },
                      { "max_over_time(", "[1m:10s])", 30 },
                      { "label_replace(", ", \"a\", \"b\", \"\", \"\")", 100 } };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf text = BUF_NULL;
                nest(&text, CASES[i].open, CASES[i].close, CASES[i].depth);
                Query *q = run_query(&t->bench, buf_cstr(&text), 600, 660, 30);
                if (query_result(q)->fault != QUERY_OK)
                        fprintf(stderr, "%s: %.*s\n", CASES[i].open, (int)query_result(q)->error.len,
                                query_result(q)->error.data);
                assert_int_equal(query_result(q)->fault, QUERY_OK);
                (void)query_free(q);
        }
}

/* the deepest expressions that are read are evaluated on a thread's small stack */
static void test_deep(void **state) {
        Thread *thread;
        assert_int_equal(thread_start("query", ask_deep, *state, &thread), 0);
        (void)thread_join(thread);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_same_answers, begin, end),
                cmocka_unit_test_setup_teardown(test_limits, begin, end),
                cmocka_unit_test_setup_teardown(test_deep, begin, end),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
