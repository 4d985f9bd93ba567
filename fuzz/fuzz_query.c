/* Any text as a query over a few series of all kinds: two bytes of times, the rest is the expression. Nothing dies,
 * limits hold, and what a range query says of a step is what an instant query says at its time. */
#include "world.h"

#include "query/query.h"

#include <assert.h>
#include <math.h>

#define STEPS 4
#define FEATURES                                                                                                       \
        (PROMQL_EXPERIMENTAL_FUNCTIONS | PROMQL_DURATION_EXPR | PROMQL_EXTENDED_RANGE | PROMQL_BINOP_FILL)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char *const SERIES[] = {
        "a{i=\"0\",j=\"x\"} 0+10x20 5+3x20",
        "a{i=\"1\",j=\"x\"} 7 NaN 3 -2 _x5 Inf -Inf 1+0x20",
        "a{i=\"2\",j=\"y\"} _x3 1 2 stale _x4 1e300 -1e300 1e-300x20",
        "b{i=\"0\",k=\"p\"} 1x40",
        "b{i=\"1\",k=\"q\"} 2-1x30",
        "a_info{i=\"0\",version=\"1\"} 1x40",
        "d_bucket{le=\"0.5\"} 0+1x40",
        "d_bucket{le=\"1\"} 0+3x40",
        "d_bucket{le=\"+Inf\"} 0+4x40",
        "h{i=\"0\"} {{schema:0 count:4 sum:6 buckets:[1 2 1]}}+{{schema:1 count:4 sum:6 buckets:[1 2 1]}}x20",
        "h{i=\"1\"} {{schema:2 count:9 sum:-6 z_bucket:2 z_bucket_w:0.1 buckets:[3 0 1] n_buckets:[1 2]}}x10 1 2 3",
        ("h{i=\"2\"} {{schema:-53 count:6 sum:9 custom_values:[1 2] buckets:[1 2 3]}}x10 {{schema:-53 count:6 sum:9 "
         "custom_values:[2] buckets:[3 3]}}x10"),
        "{\"dotted.name\",\"la.bel\"=\"v\"} 1+1x40",
};

static World *world(void) {
        static World w;
        static bool loaded;
        if (loaded)
                return &w;
        ArenaBudget budget = ARENA_BUDGET(1 << 24);
        CLEANUP(arena_deinit) Arena arena = ARENA(&budget);
        CLEANUP(buf_deinit) Buf error = BUF_NULL;
        NotedSeries list[ARRAY_LEN(SERIES)];
        for (size_t i = 0; i < ARRAY_LEN(SERIES); i++) {
                int r = notation_parse(&arena, (Span){ SERIES[i], strlen(SERIES[i]) }, &list[i], &error);
                assert(r == 0);
        }
        world_init(&w, false);
        int r = world_load(&w, list, ARRAY_LEN(list), 15000, false, &error);
        assert(r == 0);
        for (size_t i = 0; i < ARRAY_LEN(list); i++)
                noted_series_deinit(&list[i]);
        loaded = true;
        return &w;
}

static Query *run(Span text, bool instant, int64_t start_ms, int64_t step_ms) {
        QueryRequest q = { .text = text,
                           .instant = instant,
                           .start_ms = start_ms,
                           .end_ms = start_ms + (STEPS - 1) * step_ms,
                           .step_ms = step_ms,
                           .tier = QUERY_TIER_RAW,
                           .features = FEATURES };
        query_limits_default(&q.limits);
        q.limits.max_memory = 64 << 20;
        q.limits.max_samples = 1000000;
        q.limits.timeout = SECONDS(1);
        Query *query = query_run(world()->store, &q);
        assert(query);
        const QueryResult *r = query_result(query);
        assert(r->fault == QUERY_OK || r->error.len > 0);
        return query;
}

/* What means something else at another time or in another range. */
static bool is_steady(Span text) {
        static const char *const WORDS[] = { "start", "end", "step", "range" };
        for (size_t i = 0; i < ARRAY_LEN(WORDS); i++)
                for (size_t at = 0; at + strlen(WORDS[i]) <= text.len; at++)
                        if (strncasecmp(text.text + at, WORDS[i], strlen(WORDS[i])) == 0)
                                return false;
        return true;
}

static bool same(double a, double b) {
        return is_absent(a) || is_absent(b) ? is_absent(a) && is_absent(b) : a == b || (isnan(a) && isnan(b));
}

static const Row *find(const QueryResult *r, LabelSet l) {
        for (size_t i = 0; i < r->value.n_rows; i++)
                if (labelset_equal(r->value.rows[i].labels, l))
                        return &r->value.rows[i];
        return NULL;
}

static size_t present(const QueryResult *r, size_t k) {
        size_t n = 0;
        for (size_t i = 0; i < r->value.n_rows; i++)
                n += row_has(&r->value.rows[i], k);
        return n;
}

static void check_step(const QueryResult *range, size_t k, const QueryResult *instant) {
        if (instant->type == TYPE_SCALAR) {
                assert(same(range->value.scalar[k], instant->value.scalar[0]));
                return;
        }
        if (instant->type != TYPE_VECTOR)
                return;
        assert(present(range, k) == present(instant, 0));
        for (size_t i = 0; i < instant->value.n_rows; i++) {
                const Row *own = &instant->value.rows[i];
                if (!row_has(own, 0))
                        continue;
                const Row *row = find(range, own->labels);
                assert(row && same(row->v[k], own->v[0]) && !row_hist(row, k) == !row_hist(own, 0));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        if (n < 2 || n > 2000)
                return 0;
        CLEANUP_FREE char *text = malloc(n - 1);
        assert(text);
        memcpy(text, bytes + 2, n - 2);
        Span span = { text, n - 2 };
        int64_t start_ms = bytes[0] * INT64_C(3500), step_ms = 1 + bytes[1] * INT64_C(500);
        Query *range = run(span, false, start_ms, step_ms);
        for (size_t k = 0; k < STEPS; k++) {
                Query *instant = run(span, true, start_ms + (int64_t)k * step_ms, 0);
                const QueryResult *a = query_result(range), *b = query_result(instant);
                if (a->fault == QUERY_OK && b->fault == QUERY_OK && is_steady(span))
                        check_step(a, k, b);
                (void)query_free(instant);
        }
        (void)query_free(range);
        return 0;
}
