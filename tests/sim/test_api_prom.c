/* Prometheus's endpoints on a store of the simulated disk, with a real pool; requests and answers without a server. */
#include "api/prom.h"

#include "base/crc32c.h"
#include "base/test_proto.h"
#include "net/test_fake_http.h"
#include "store_fix.h"
#include "wire/remote_read.h"
#include "wire/snappy.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define T FIX_EPOCH

/* ---- Parameters ---- */

static void times_are_read_as_prometheus_does(void **state) {
        static const struct {
                const char *text;
                int64_t ms;
        } GOOD[] = {
                { "0", 0 }, { "4", 4000 }, { "-1", -1000 }, { "1435781451.781", 1435781451781 }, { "1e3", 1000000 },
                { "1.0004", 1000 }, { "1.0006", 1001 }, { "-1.5", -1500 }, { "1700000000000", 1700000000000000 },
                { "1970-01-01T00:00:04Z", 4000 }, { "2015-07-01T20:10:51.781Z", 1435781451781 },
                { "2015-07-01T20:10:51.7819Z", 1435781451781 }, { "2015-07-01T22:10:51+02:00", 1435781451000 },
                { "1969-12-31T23:59:59.25-00:30", 1799250 }, { "2024-02-29T00:00:00Z", 1709164800000 },
                { "-292273086-05-16T16:47:06Z", INT64_MIN + 1 }, { "292277025-08-18T07:12:54.999999999Z", INT64_MAX },
        };
        static const char *const BAD[] = { "", "x", "NaN", "Inf", "1e300", "2015-07-01", "2015-13-01T00:00:00Z",
                                           "2023-02-29T00:00:00Z", "2015-07-01T24:00:00Z", "2015-07-01T20:10:51",
                                           "2015-07-01T20:10:51.Z", "2015-07-01T20:10:51+0200", "2015-07-01T20:10:51Zx",
                                           "2015-07-01t20:10:51Z", "1 ", "0x10" };
        int64_t ms;
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(GOOD); i++) {
                if (!prom_parse_time(GOOD[i].text, &ms))
                        fail_msg("%s is a time", GOOD[i].text);
                assert_int_equal(ms, GOOD[i].ms);
        }
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
                if (prom_parse_time(BAD[i], &ms))
                        fail_msg("\"%s\" is no time", BAD[i]);
}

static void durations_are_read_as_prometheus_does(void **state) {
        Duration d;
        (void)state;
        assert_true(prom_parse_duration("15", &d) && d.ns == SECONDS(15).ns);
        assert_true(prom_parse_duration("0.5", &d) && d.ns == MILLISECONDS(500).ns);
        assert_true(prom_parse_duration("-3", &d) && d.ns == SECONDS(-3).ns);
        assert_true(prom_parse_duration("1h30m", &d) && d.ns == SECONDS(5400).ns);
        assert_true(prom_parse_duration("1w", &d) && d.ns == SECONDS(7 * 86400).ns);
        assert_false(prom_parse_duration("", &d) || prom_parse_duration("5x", &d) || prom_parse_duration("NaN", &d) ||
                     prom_parse_duration("1e300", &d) || prom_parse_duration("1.5m", &d));
}

/* ---- JSON ---- */

static void expect_text(const char *in, size_t n, const char *out) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        prom_put_text(&b, (Span){ in, n });
        assert_string_equal(buf_cstr(&b), out);
}

static void texts_are_escaped_as_go_does(void **state) {
        (void)state;
        expect_text("", 0, "\"\"");
        expect_text("a\"b\\c<d>&\x7f\x01\n\r\t", 14,
                    "\"a\\\"b\\\\c\\u003cd\\u003e\\u0026\\u007f\\u0001\\n\\r\\t\"");
        expect_text("\xc3\xbc\xe6\x97\xa5\xf0\x9f\x98\x80", 9, "\"\xc3\xbc\xe6\x97\xa5\xf0\x9f\x98\x80\"");
        expect_text("a\xe2\x80\xa8\xe2\x80\xa9z", 8, "\"a\\u2028\\u2029z\"");
        expect_text("\xff\xc3", 2, "\"\\ufffd\\ufffd\"");
}

static void times_keep_three_digits(void **state) {
        static const struct {
                int64_t ms;
                const char *text;
        } CASES[] = { { 0, "0" },
                      { 1000, "1" },
                      { 1, "0.001" },
                      { 1100, "1.100" },
                      { -1500, "-1.500" },
                      { -1, "-0.001" },
                      { 1435781451781, "1435781451.781" },
                      { INT64_MAX, "9223372036854775.807" },
                      { INT64_MIN, "-9223372036854775.808" } };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                prom_put_time(&b, CASES[i].ms);
                assert_string_equal(buf_cstr(&b), CASES[i].text);
        }
}

static void errors_have_their_status_and_type(void **state) {
        static const struct {
                PromError e;
                int status;
                const char *type;
        } CASES[] = { { PROM_BAD_DATA, 400, "bad_data" }, { PROM_EXECUTION, 422, "execution" },
                      { PROM_TIMEOUT, 503, "timeout" }, { PROM_CANCELED, 503, "canceled" },
                      { PROM_INTERNAL, 500, "internal" }, { PROM_NOT_FOUND, 404, "not_found" },
                      { PROM_UNAVAILABLE, 503, "unavailable" }, { PROM_FORBIDDEN, 403, "unavailable" } };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                HttpResponse r = { .status = 0 };
                char expected[128];
                prom_error(&r, CASES[i].e, "it is \"%s\"", "so");
                (void)snprintf(expected, sizeof expected,
                               "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":\"it is \\\"so\\\"\"}",
                               CASES[i].type);
                assert_int_equal(r.status, CASES[i].status);
                assert_string_equal(buf_cstr(&r.body), expected);
                buf_deinit(&r.body);
        }
        CLEANUP_FREE char *text = malloc(5001);
        HttpResponse r = { .status = 0 };
        memset(text, 'x', 5000);
        text[5000] = '\0';
        prom_error(&r, PROM_BAD_DATA, "%s", text);
        assert_true(r.body.len > 5000);
        buf_deinit(&r.body);
}

static void warnings_come_behind_the_data(void **state) {
        static const char *const WARNINGS[] = { "one", "two" }, *const INFOS[] = { "three" };
        HttpResponse r = { .status = 0 };
        (void)state;
        prom_begin(&r);
        buf_put_str(&r.body, "[]");
        prom_end(&r, WARNINGS, 2, INFOS, 1);
        assert_string_equal(
                buf_cstr(&r.body),
                "{\"status\":\"success\",\"data\":[],\"warnings\":[\"one\",\"two\"],\"infos\":[\"three\"]}");
        buf_deinit(&r.body);
}

/* ---- Results ---- */

static void expect_result(const QueryResult *r, bool instant, size_t limit, bool cut, const char *expected) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        assert_int_equal(prom_put_result(&b, r, instant, limit, ""), cut);
        assert_string_equal(buf_cstr(&b), expected);
}

static void rows_without_samples_are_left_out(void **state) {
        double a[3] = { 1, ABSENT, 2.5 }, none[3] = { ABSENT, ABSENT, ABSENT }, c[3] = { ABSENT, NAN, ABSENT };
        Row rows[] = { { .v = none }, { .v = a }, { .v = c } };
        QueryResult r = { .type = TYPE_VECTOR,
                          .steps = { 1000, 500, 3 },
                          .value = { .type = TYPE_VECTOR, .rows = rows, .n_rows = 3 } };
        (void)state;
        expect_result(&r, false, 0, false,
                      "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[1,\"1\"],[2,\"2.5\"]]},"
                      "{\"metric\":{},\"values\":[[1.500,\"NaN\"]]}]}");
        expect_result(&r, false, 1, true,
                      "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[1,\"1\"],[2,\"2.5\"]]}]}");
        expect_result(&r, false, 2, false,
                      "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[1,\"1\"],[2,\"2.5\"]]},"
                      "{\"metric\":{},\"values\":[[1.500,\"NaN\"]]}]}");
        r.steps.n = 1;
        expect_result(&r, true, 0, false,
                      "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1,\"1\"]}]}");
}

static void histograms_stand_beside_floats(void **state) {
        FHist h = { .count = 2, .sum = 3 }, *hists[2] = { NULL, &h };
        double v[2] = { 7, ABSENT };
        Row row = { .v = v, .h = hists };
        QueryResult r = { .type = TYPE_VECTOR,
                          .steps = { 0, 1000, 2 },
                          .value = { .type = TYPE_VECTOR, .rows = &row, .n_rows = 1 } };
        (void)state;
        expect_result(&r, false, 0, false,
                      "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[0,\"7\"]],\"histograms\":[[1,"
                      "{\"count\":\"2\",\"sum\":\"3\"}]]}]}");
        hists[0] = &h;
        v[0] = ABSENT;
        r.steps.n = 1;
        expect_result(&r, true, 0, false,
                      "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"histogram\":[0,{\"count\":\"2\",\"sum\":"
                      "\"3\"}]}]}");
}

static void scalars_have_no_exponents(void **state) {
        static const struct {
                double v;
                const char *text;
        } CASES[] = { { 1e21, "1000000000000000000000" },
                      { -1.5e22, "-15000000000000000000000" },
                      { 1e-7, "0.0000001" },
                      { -2.5e-9, "-0.0000000025" },
                      { NAN, "NaN" },
                      { -INFINITY, "-Inf" },
                      { 12, "12" } };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                char expected[128];
                double v = CASES[i].v;
                QueryResult r = { .type = TYPE_SCALAR, .steps = { 4250, 1, 1 }, .value = { .scalar = &v } };
                (void)snprintf(expected, sizeof expected, "{\"resultType\":\"scalar\",\"result\":[4.25,\"%s\"]}",
                               CASES[i].text);
                expect_result(&r, true, 0, false, expected);
        }
        QueryResult text = { .type = TYPE_STRING, .steps = { 4000, 1, 1 }, .value = { .string = { "a<b", 3 } } };
        expect_result(&text, true, 0, false, "{\"resultType\":\"string\",\"result\":[4,\"a\\u003cb\"]}");
}

static void range_vectors_have_their_own_times(void **state) {
        int64_t times[] = { 1, 1500, 3000 };
        double values[] = { 1, 2, 3 };
        FHist h = { .count = 1 }, *hists[] = { NULL, &h, NULL };
        MatrixRow rows[] = { { .times = times, .values = values, .n = 3 },
                             { .times = times, .values = values, .hists = hists, .n = 2 } };
        QueryResult r = { .type = TYPE_MATRIX, .steps = { 3000, 1, 1 }, .matrix = rows, .n_matrix = 2 };
        (void)state;
        expect_result(&r, true, 1, true,
                      "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[0.001,\"1\"],[1.500,\"2\"],["
                      "3,\"3\"]]}]}");
        expect_result(&r, true, 2, false,
                      "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[0.001,\"1\"],[1.500,\"2\"],["
                      "3,\"3\"]]},"
                      "{\"metric\":{},\"values\":[[0.001,\"1\"]],\"histograms\":[[1.500,{\"count\":\"1\",\"sum\":\"0\"}"
                      "]]}]}");
}

/* ---- Requests ---- */

typedef struct Bench {
        Fix fix;
        Loop *loop;
        LoopTimer *guard, *look;
        ApiContext api;
        FakeHttp fake;
        HttpResponse response; /* of what is answered at once */
} Bench;

static WallTime bench_wall(void) {
        return (WallTime){ (T + 60000) * NS_PER_MS };
}

static void on_guard(void *context) {
        (void)context;
        fail_msg("no answer after 30 s");
}

static void on_look(void *context) {
        Bench *b = context;
        if (b->fake.answered == b->fake.held)
                loop_stop(b->loop);
}

static void fill(Fix *f) {
        const int64_t times[] = { T, T + 15000, T + 30000, T + 45000 };
        const double values[] = { 1, 2.5, 3, 1e21 }, stale[] = { 1, 2, 3, double_of(STALE_BITS) };
        assert_int_equal(fix_send_many(f, "up{job=a,instance=x}", times, values, 4), SAMPLE_OK);
        assert_int_equal(fix_send_many(f, "up{job=b}", times, values, 3), SAMPLE_OK);
        assert_int_equal(fix_send_many(f, "gone{job=a}", times, stale, 4), SAMPLE_OK);
        assert_int_equal(fix_send_many(f, "a.b{job=c}", times, values, 1), SAMPLE_OK);
}

static int setup(void **state) {
        Bench *b = calloc(1, sizeof *b);
        ApiQuerySettings s;
        api_query_settings_default(&s);
        fix_init(&b->fix, 1);
        fix_open(&b->fix);
        fill(&b->fix);
        assert_int_equal(loop_new(&b->loop), 0);
        assert_int_equal(loop_timer(b->loop, SECONDS(30), (Duration){ 0 }, on_guard, b, &b->guard), 0);
        assert_int_equal(loop_timer(b->loop, MILLISECONDS(1), MILLISECONDS(1), on_look, b, &b->look), 0);
        b->api = (ApiContext){ .metrics = "all", .wall = bench_wall, .store = b->fix.store };
        assert_int_equal(api_queries_new(b->loop, b->fix.store, &s, &b->api.queries), 0);
        *state = b;
        return 0;
}

static int teardown(void **state) {
        Bench *b = *state;
        b->api.queries = api_queries_free(b->api.queries);
        buf_deinit(&b->response.body);
        buf_deinit(&b->fake.answer.body);
        (void)loop_timer_stop(b->guard);
        (void)loop_timer_stop(b->look);
        (void)loop_free(b->loop);
        fix_close(&b->fix);
        fix_deinit(&b->fix);
        free(b);
        return 0;
}

/* Sends "a=b&c=d" with a path; the answer is b->fake.answer or, when nothing was held, b->response. */
static const HttpResponse *ask_with(Bench *b, const char *method, const char *path, const char *query,
                                    const Buf *body) {
        CLEANUP(form_deinit) Form form = FORM_NULL;
        HttpRequest r = {
                .method = method, .path = path, .accept = "", .local = true, .connection = &b->fake, .peer = "test"
        };
        assert_int_equal(form_parse(&form, query, strlen(query)), 0);
        r.params = form.params;
        r.n_params = form.n;
        if (body) {
                r.body = (const uint8_t *)body->data;
                r.body_len = body->len;
        }
        unsigned held = b->fake.held;
        buf_deinit(&b->response.body);
        b->response = (HttpResponse){ .status = 200, .body = BUF_WITH_LIMIT(1 << 20) };
        api_handle(&b->api, &r, &b->response);
        if (b->fake.held == held)
                return &b->response;
        if (b->fake.answered < b->fake.held)
                assert_int_equal(loop_run(b->loop), 0);
        return &b->fake.answer;
}

static void expect(Bench *b, const char *path, const char *query, int status, const char *body) {
        const HttpResponse *r = ask_with(b, "GET", path, query, NULL);
        Buf text = r->body;
        assert_string_equal(buf_cstr(&text), body);
        if (r == &b->response)
                b->response.body = text;
        else
                b->fake.answer.body = text;
        assert_int_equal(r->status, status);
}

static void queries_are_answered_by_the_pool(void **state) {
        Bench *b = *state;
        expect(b, "/api/v1/query", "query=1%2B1&time=4", 200,
               "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[4,\"2\"]}}");
        expect(b, "/api/v1/query", "query=up{job=\"a\"}&time=1767225645", 200,
               "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":"
               "\"up\","
               "\"instance\":\"x\",\"job\":\"a\"},\"value\":[1767225645,\"1e+21\"]}]}}");
        expect(b, "/api/v1/query_range", "query=up{job=\"b\"}&start=1767225600&end=1767225630&step=15", 200,
               "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":"
               "\"up\","
               "\"job\":\"b\"},\"values\":[[1767225600,\"1\"],[1767225615,\"2.5\"],[1767225630,\"3\"]]}]}}");
        expect(b, "/api/v1/query", "query=sum(&time=4", 400,
               "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid parameter \\\"query\\\": 1:5: "
               "parse "
               "error: unclosed left parenthesis\"}");
        ApiQueryStats s;
        api_queries_stats(b->api.queries, &s);
        assert_int_equal(s.pool.done, 4);
        assert_true(s.samples >= 6);
}

static void parameters_are_checked(void **state) {
        static const struct {
                const char *path, *query, *error;
        } CASES[] = {
                { "query_range", "query=1&start=0&end=10&step=0",
                  "invalid parameter \\\"step\\\": zero or negative query resolution step widths are not accepted. Try "
                  "a "
                  "positive integer" },
                { "query_range", "query=1&start=0&end=10&step=0.0001",
                  "invalid parameter \\\"step\\\": zero or negative query resolution step widths are not accepted. Try "
                  "a "
                  "positive integer" },
                { "query_range", "query=1&start=10&end=0&step=1",
                  "invalid parameter \\\"end\\\": end timestamp must not be before start time" },
                { "query_range", "query=1&start=0&end=11001&step=1",
                  "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution "
                  "(?step=XX)" },
                { "query_range", "query=1&end=1&step=1",
                  "invalid parameter \\\"start\\\": cannot parse \\\"\\\" to a valid timestamp" },
                { "query", "query=1&time=x",
                  "invalid parameter \\\"time\\\": Invalid time value for 'time': cannot parse \\\"x\\\" to a valid "
                  "timestamp" },
                { "query", "query=1&limit=-1", "invalid parameter \\\"limit\\\": limit must be non-negative" },
                { "query", "query=1&tier=2h", "invalid parameter \\\"tier\\\": expected raw, 5m, 1h or auto" },
                { "query", "query=1&timeout=x",
                  "invalid parameter \\\"timeout\\\": cannot parse \\\"x\\\" to a valid duration" },
                { "query", "query=1&lookback_delta=x",
                  "error parsing lookback delta duration: cannot parse \\\"x\\\" to a valid duration" },
                { "series", "", "no match[] parameter provided" },
                { "metadata", "limit=x", "limit must be a number" },
                { "query_exemplars", "query=up&start=2&end=1", "end timestamp must not be before start timestamp" },
        };
        Bench *b = *state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                char path[64], body[512];
                (void)snprintf(path, sizeof path, "/api/v1/%s", CASES[i].path);
                (void)snprintf(body, sizeof body, "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"%s\"}",
                               CASES[i].error);
                expect(b, path, CASES[i].query, 400, body);
        }
        expect(b, "/api/v1/query_range", "query=vector(1)&start=0&end=11000&step=11000", 200,
               "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[0,"
               "\"1\"],"
               "[11000,\"1\"]]}]}}");
}

static void series_and_labels(void **state) {
        Bench *b = *state;
        expect(b, "/api/v1/series", "match[]=up&match[]={job=\"b\"}", 200,
               "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"instance\":\"x\",\"job\":\"a\"},{\"__name__\":"
               "\"up\",\"job\":\"b\"}]}");
        expect(b, "/api/v1/series", "match[]=up&limit=1", 200,
               "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"instance\":\"x\",\"job\":\"a\"}],\"warnings\":"
               "["
               "\"results truncated due to limit\"]}");
        expect(b, "/api/v1/labels", "", 200, "{\"status\":\"success\",\"data\":[\"__name__\",\"instance\",\"job\"]}");
        expect(b, "/api/v1/labels", "match[]=gone", 200, "{\"status\":\"success\",\"data\":[\"__name__\",\"job\"]}");
        expect(b, "/api/v1/label/job/values", "match[]=gone&match[]=up{job=\"b\"}", 200,
               "{\"status\":\"success\",\"data\":[\"a\",\"b\"]}");
        expect(b, "/api/v1/label/job/values", "limit=2", 200,
               "{\"status\":\"success\",\"data\":[\"a\",\"b\"],\"warnings\":[\"results truncated due to limit\"]}");
        expect(b, "/api/v1/label/U__j_6f_b/values", "", 200, "{\"status\":\"success\",\"data\":[\"a\",\"b\",\"c\"]}");
        expect(b, "/api/v1/label/U__j_zz_b/values", "", 200, "{\"status\":\"success\",\"data\":[]}");
        expect(b, "/api/v1/label/x", "", 404, "{\"error\":\"page not found\"}\n");
        expect(b, "/api/v1/series", "match[]=nothing", 200, "{\"status\":\"success\",\"data\":[]}");
}

static void the_newest_samples_are_federated(void **state) {
        Bench *b = *state;
        expect(b, "/federate", "match[]={job=~\".%2B\"}", 200,
               "# TYPE a_b untyped\na_b{job=\"c\",instance=\"\"} 1 1767225600000\n"
               "# TYPE up untyped\nup{instance=\"x\",job=\"a\"} 1e+21 1767225645000\nup{job=\"b\",instance=\"\"} 3 "
               "1767225630000\n");
        expect(b, "/federate", "", 200, "");
        expect(b, "/federate", "match[]={", 400,
               "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:2: parse error: unexpected end of input "
               "inside braces\"}");
}

static void external_labels_do_not_replace_any(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        ApiQuerySettings s;
        api_query_settings_default(&s);
        Label labels[] = { { { "job", 3 }, { "other", 5 } }, { { "site", 4 }, { "b1", 2 } } };
        assert_int_equal(labels_build(labels, 2, &run), LABELS_OK);
        s.external = (const uint8_t *)run.data;
        s.external_len = run.len;
        assert_int_equal(api_queries_configure(b->api.queries, &s), 0);
        expect(b, "/federate", "match[]=up{job=\"b\"}", 200,
               "# TYPE up untyped\nup{job=\"b\",site=\"b1\",instance=\"\"} 3 1767225630000\n");
}

static void who_goes_away_cancels(void **state) {
        Bench *b = *state;
        CLEANUP(form_deinit) Form form = FORM_NULL;
        static const char QUERY[] = "query=up";
        assert_int_equal(form_parse(&form, QUERY, sizeof QUERY - 1), 0);
        HttpRequest r = { .method = "GET",
                          .path = "/api/v1/query",
                          .accept = "",
                          .local = true,
                          .connection = &b->fake,
                          .peer = "test",
                          .params = form.params,
                          .n_params = form.n };
        api_handle(&b->api, &r, &b->response);
        assert_int_equal(b->fake.held, 1);
        b->fake.gone(b->fake.gone_context);
        assert_int_equal(loop_run(b->loop), 0);
        ApiQueryStats s;
        api_queries_stats(b->api.queries, &s);
        assert_int_equal(s.cancelled, 1);
}

/* One thread, room for one that waits, and queries that take a while: the third finds no room. */
static void a_full_queue_says_which(void **state) {
        Bench *b = *state;
        CLEANUP(form_deinit) Form form = FORM_NULL;
        static const char QUERY[] = "query=quantile_over_time(0.5,time()[1h:10ms])";
        ApiQuerySettings s;
        api_query_settings_default(&s);
        s.concurrency = s.queue = s.queue_source = 1;
        b->api.queries = api_queries_free(b->api.queries);
        assert_int_equal(api_queries_new(b->loop, b->fix.store, &s, &b->api.queries), 0);
        assert_int_equal(form_parse(&form, QUERY, sizeof QUERY - 1), 0);
        HttpRequest r = { .method = "GET",
                          .path = "/api/v1/query",
                          .accept = "",
                          .local = true,
                          .connection = &b->fake,
                          .peer = "test",
                          .params = form.params,
                          .n_params = form.n };
        for (int i = 0; i < 1000 && b->fake.answered == 0; i++)
                api_handle(&b->api, &r, &b->response);
        assert_int_equal(b->fake.answer.status, 503);
        assert_non_null(strstr(buf_cstr(&b->fake.answer.body), "query.queue is 1, query.queue_per_source 1"));
        assert_int_equal(fake_number(&b->fake.answer, "Retry-After"), 1);
        assert_int_equal(loop_run(b->loop), 0);
}

static void methods_fit_their_routes(void **state) {
        static const struct {
                const char *method, *path;
                int status;
        } CASES[] = {
                { "OPTIONS", "/api/v1/query", 204 }, { "OPTIONS", "/api/v1/rules", 204 },
                { "OPTIONS", "/metrics", 405 },      { "POST", "/api/v1/rules", 405 },
                { "HEAD", "/api/v1/rules", 200 },    { "GET", "/api/v1/write", 405 },
                { "PUT", "/api/v1/query", 405 },     { "GET", "/api/v1/x", 404 },
                { "POST", "/api/v1/labels", 200 },   { "POST", "/api/v1/admin/tsdb/snapshot", 403 },
                { "POST", "/-/reload", 403 },        { "GET", "/-/quit", 405 },
        };
        Bench *b = *state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                const HttpResponse *r = ask_with(b, CASES[i].method, CASES[i].path, "", NULL);
                if (r->status != CASES[i].status)
                        fail_msg("%s %s: %d", CASES[i].method, CASES[i].path, r->status);
        }
        b->fake.origin = "https://example.org";
        assert_int_equal(ask_with(b, "POST", "/api/v1/labels", "", NULL)->status, 200);
        assert_int_equal(ask_with(b, "POST", "/api/v1/admin/tsdb/snapshot", "", NULL)->status, 403);
}

static void without_a_store_there_is_nothing(void **state) {
        Bench *b = *state;
        ApiContext full = b->api;
        b->api = (ApiContext){ .metrics = "all" };
        expect(b, "/api/v1/query", "query=1", 404,
               "{\"status\":\"error\",\"errorType\":\"not_found\",\"error\":\"this parallaxd keeps no store\"}");
        expect(b, "/api/v1/rules", "", 200, "{\"status\":\"success\",\"data\":{\"groups\":[]}}");
        expect(b, "/api/v1/status/buildinfo", "", 200,
               "{\"status\":\"success\",\"data\":{\"version\":\"3.5.0\",\"revision\":\"parallax \",\"branch\":\"\","
               "\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}}");
        b->api = full;
}

/* ---- Another engine ---- */

static void backend(void *context, const HttpRequest *request, HttpResponse *response) {
        unsigned *n = context;
        (*n)++;
        response->status = 299;
        buf_put_str(&response->body, request->path);
}

static void another_engine_answers_what_reads_history(void **state) {
        static const char *const THEIRS[] = { "query",          "query_range", "series",         "labels",
                                              "label/a/values", "metadata",    "query_exemplars" };
        Bench *b = *state;
        unsigned n = 0;
        b->api.backend = backend;
        b->api.backend_context = &n;
        for (size_t i = 0; i < ARRAY_LEN(THEIRS); i++) {
                char path[64];
                (void)snprintf(path, sizeof path, "/api/v1/%s", THEIRS[i]);
                assert_int_equal(ask_with(b, "GET", path, "query=1", NULL)->status, 299);
        }
        assert_int_equal(n, ARRAY_LEN(THEIRS));
        assert_int_equal(ask_with(b, "GET", "/api/v1/format_query", "query=1", NULL)->status, 200);
        assert_int_equal(ask_with(b, "GET", "/api/v1/rules", "", NULL)->status, 200);
}

/* ---- Remote read ---- */

static void put_matcher(Buf *query, unsigned type, const char *name, const char *value) {
        CLEANUP(buf_deinit) Buf m = BUF_NULL;
        p_varint(&m, 1, type);
        p_text(&m, 2, name);
        p_text(&m, 3, value);
        p_message(query, 3, &m);
}

static const HttpResponse *read_from(Bench *b, unsigned type, const char *job) {
        CLEANUP(buf_deinit) Buf query = BUF_NULL, request = BUF_NULL, packed = BUF_NULL;
        p_varint(&query, 1, (uint64_t)T);
        p_varint(&query, 2, (uint64_t)(T + 30000));
        put_matcher(&query, 0, "__name__", "up");
        put_matcher(&query, 2, "job", job);
        p_message(&request, 1, &query);
        p_varint(&request, 2, type);
        assert_int_equal(read_compress(&request, &packed), 0);
        return ask_with(b, "POST", "/api/v1/read", "", &packed);
}

/* Samples of all series of a field-2 submessage kind, summed. */
static void sum_samples(const uint8_t *bytes, size_t n, size_t *ret_n, double *ret_sum) {
        ProtoReader results = PROTO_READER(bytes, n);
        ProtoField result, series, f, s;
        *ret_n = 0;
        *ret_sum = 0;
        while (proto_next(&results, &result) > 0) {
                ProtoReader r = PROTO_READER(result.bytes, result.len);
                while (proto_next(&r, &series) > 0) {
                        ProtoReader fields = PROTO_READER(series.bytes, series.len);
                        while (proto_next(&fields, &f) > 0) {
                                ProtoReader sample = PROTO_READER(f.bytes, f.len);
                                while (f.number == 2 && proto_next(&sample, &s) > 0)
                                        if (proto_is(&s, 1, PROTO_FIXED64)) {
                                                ++*ret_n;
                                                *ret_sum += proto_double(s.value);
                                        }
                        }
                }
        }
}

static void remote_read_gives_samples(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf message = BUF_NULL;
        const char *why;
        size_t n;
        double sum;
        const HttpResponse *r = read_from(b, 0, "a|b");
        assert_int_equal(r->status, 200);
        assert_string_equal(r->extra_value, "snappy");
        assert_int_equal(snappy_block_decode((const uint8_t *)r->body.data, r->body.len, 1 << 20, &message, &why), 0);
        sum_samples((const uint8_t *)message.data, message.len, &n, &sum);
        assert_int_equal(n, 6); /* both ends are included, the fourth sample is behind */
        assert_true(sum == 2 * (1 + 2.5 + 3));
        assert_int_equal(read_from(b, 0, "[")->status, 400);
        CLEANUP(buf_deinit) Buf garbage = BUF_NULL;
        buf_put_str(&garbage, "garbage");
        assert_int_equal(ask_with(b, "POST", "/api/v1/read", "", &garbage)->status, 400);
}

static void remote_read_streams_chunks(void **state) {
        Bench *b = *state;
        const HttpResponse *r = read_from(b, 1, "a|b");
        const uint8_t *at = (const uint8_t *)r->body.data, *end = at + r->body.len;
        uint64_t n = 0;
        assert_string_equal(r->content_type, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
        assert_true(varint_get(&at, end, &n));
        assert_int_equal(end - at, n + 4);
        uint32_t sum = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        assert_int_equal(sum, crc32c(0, at + 4, n));
        ProtoReader frame = PROTO_READER(at + 4, n);
        ProtoField f;
        unsigned series = 0;
        while (proto_next(&frame, &f) > 0)
                series += proto_is(&f, 1, PROTO_BYTES);
        assert_int_equal(series, 2);
        assert_int_equal(read_from(b, 1, "nobody")->body.len, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(times_are_read_as_prometheus_does),
                cmocka_unit_test(durations_are_read_as_prometheus_does),
                cmocka_unit_test(texts_are_escaped_as_go_does),
                cmocka_unit_test(times_keep_three_digits),
                cmocka_unit_test(errors_have_their_status_and_type),
                cmocka_unit_test(warnings_come_behind_the_data),
                cmocka_unit_test(rows_without_samples_are_left_out),
                cmocka_unit_test(histograms_stand_beside_floats),
                cmocka_unit_test(scalars_have_no_exponents),
                cmocka_unit_test(range_vectors_have_their_own_times),
                cmocka_unit_test_setup_teardown(queries_are_answered_by_the_pool, setup, teardown),
                cmocka_unit_test_setup_teardown(parameters_are_checked, setup, teardown),
                cmocka_unit_test_setup_teardown(series_and_labels, setup, teardown),
                cmocka_unit_test_setup_teardown(the_newest_samples_are_federated, setup, teardown),
                cmocka_unit_test_setup_teardown(external_labels_do_not_replace_any, setup, teardown),
                cmocka_unit_test_setup_teardown(who_goes_away_cancels, setup, teardown),
                cmocka_unit_test_setup_teardown(a_full_queue_says_which, setup, teardown),
                cmocka_unit_test_setup_teardown(methods_fit_their_routes, setup, teardown),
                cmocka_unit_test_setup_teardown(without_a_store_there_is_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(another_engine_answers_what_reads_history, setup, teardown),
                cmocka_unit_test_setup_teardown(remote_read_gives_samples, setup, teardown),
                cmocka_unit_test_setup_teardown(remote_read_streams_chunks, setup, teardown),
        };
        return cmocka_run_group_tests_name("api_prom: Prometheus's endpoints", tests, NULL, NULL);
}
