/* Targets that nobody has scraped yet, and the machines of the fixture as service discovery. */
#include "api/api.h"
#include "export/test_fixture.h"
#include "model/test_sink.h"
#include "net/test_fake_http.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char CONFIG[] =
        "scrape_configs:\n"
        "- job_name: a\n"
        "  static_configs: [{targets: ['localhost:9100', '192.0.2.1:9100'], labels: {env: \"pr\\\"od\"}}]\n"
        "- job_name: b\n"
        "  static_configs: [{targets: ['192.0.2.2:1']}]\n"
        "  relabel_configs: [{action: drop}]\n";

typedef struct Bench {
        Fixture fixture;
        Loop *loop;
        Recorder *recorder;
        Scrape *scrape;
        HttpResponse response;
} Bench;

static int setup(void **state) {
        static const ScrapeOps NONE = { 0 };
        char path[] = "/tmp/test_targets.XXXXXX";
        CLEANUP_FD int fd = mkstemp(path);
        SettingsError error = { 0 };
        ScrapeConfig *config = NULL;
        Bench *b = calloc(1, sizeof *b);
        assert_non_null(b);
        fixture_init(&b->fixture);
        b->recorder = calloc(1, sizeof *b->recorder);
        assert_non_null(b->recorder);
        b->recorder->sink = RECORDER.sink;
        assert_int_equal(write(fd, CONFIG, sizeof CONFIG - 1), sizeof CONFIG - 1);
        assert_int_equal(loop_new(&b->loop), 0);
        assert_int_equal(scrape_new(b->loop, &b->recorder->sink, "node-a", &NONE, NULL, &b->scrape), 0);
        if (scrape_config_load(path, true, &config, &error) < 0)
                fail_msg("%s", error.text);
        (void)unlink(path);
        assert_int_equal(scrape_replace(b->scrape, config), 0);
        *state = b;
        return 0;
}

static int teardown(void **state) {
        Bench *b = *state;
        b->scrape = scrape_free(b->scrape);
        b->loop = loop_free(b->loop);
        recorder_deinit(b->recorder);
        free(b->recorder);
        fixture_deinit(&b->fixture);
        buf_deinit(&b->response.body);
        free(b);
        return 0;
}

static const char *ask(Bench *b, const Scrape *scrape, const char *path, const char *query, int status) {
        ApiContext c = { .latest = &b->fixture.latest, .host_name = "node-a", .metrics = "all", .scrape = scrape };
        FakeHttp fake = { .query = query };
        HttpRequest r = { .method = "GET", .path = path, .accept = "", .local = true, .connection = &fake };
        buf_deinit(&b->response.body);
        b->response = (HttpResponse){ .status = 0 };
        api_handle(&c, &r, &b->response);
        assert_int_equal(b->response.status, status);
        return buf_cstr(&b->response.body);
}

/* The "data" of an answer. */
static json_t *data(Bench *b, const char *path, const char *query) {
        json_t *root = json_loads(ask(b, b->scrape, path, query, 200), 0, NULL), *found;
        assert_non_null(root);
        assert_string_equal(json_string_value(json_object_get(root, "status")), "success");
        found = json_incref(json_object_get(root, "data"));
        json_decref(root);
        return found;
}

static const char *text(json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key));
}

static void targets_as_prometheus_has_them(void **state) {
        json_t *d = data(*state, "/api/v1/targets", NULL), *active = json_object_get(d, "activeTargets");
        json_t *t = json_array_get(active, 0), *dropped = json_object_get(d, "droppedTargets");
        assert_int_equal(json_array_size(active), 2);
        assert_string_equal(text(json_object_get(t, "labels"), "env"), "pr\"od");
        assert_string_equal(text(json_object_get(t, "discoveredLabels"), "__address__"), "localhost:9100");
        assert_string_equal(text(t, "scrapePool"), "a");
        assert_string_equal(text(t, "scrapeUrl"), "http://localhost:9100/metrics");
        assert_string_equal(text(t, "globalUrl"), "http://node-a:9100/metrics");
        assert_string_equal(text(t, "lastScrape"), "0001-01-01T00:00:00Z");
        assert_string_equal(text(t, "health"), "unknown");
        assert_string_equal(text(t, "scrapeInterval"), "1m");
        assert_string_equal(text(t, "scrapeTimeout"), "10s");
        assert_int_equal(json_array_size(dropped), 1);
        assert_string_equal(text(json_array_get(dropped, 0), "scrapePool"), "b");
        assert_int_equal(json_integer_value(json_object_get(json_object_get(d, "droppedTargetCounts"), "b")), 1);
        json_decref(d);
}

static void targets_are_chosen(void **state) {
        static const struct {
                const char *query;
                size_t active, dropped;
        } CASES[] = { { "state=active", 2, 0 },   { "state=dropped", 0, 1 }, { "state=any", 2, 1 },
                      { "scrapePool=a", 2, 0 },   { "scrapePool=b", 0, 1 },  { "scrapePool=c", 0, 0 } };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                json_t *d = data(*state, "/api/v1/targets", CASES[i].query);
                assert_int_equal(json_array_size(json_object_get(d, "activeTargets")), CASES[i].active);
                assert_int_equal(json_array_size(json_object_get(d, "droppedTargets")), CASES[i].dropped);
                json_decref(d);
        }
}

static void pools_and_metadata(void **state) {
        Bench *b = *state;
        assert_string_equal(ask(b, b->scrape, "/api/v1/scrape_pools", NULL, 200),
                            "{\"status\":\"success\",\"data\":{\"scrapePools\":[\"a\",\"b\"]}}\n");
        static const char *const GOOD[] =
                { NULL, "metric=up", "limit=1", "match_target=up", "match_target={job=\"a\", env=~'.*'}",
                                            "match_target={job=\"a\",\"a.b\"!=\"x\\\"\",}" };
        static const char *const BAD[] =
                { "limit=x", "match_target={}", "match_target={job}", "match_target={job=\"a\"",
                                           "match_target={job=~\"(\"}", "match_target={a=\"b\" c=\"d\"}" };
        for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
                assert_string_equal(ask(b, b->scrape, "/api/v1/targets/metadata", GOOD[i], 200),
                                    "{\"status\":\"success\",\"data\":[]}\n");
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
                assert_non_null(strstr(ask(b, b->scrape, "/api/v1/targets/metadata", BAD[i], 400),
                                       "\"errorType\":\"bad_data\""));
}

static void nothing_is_scraped(void **state) {
        Bench *b = *state;
        assert_string_equal(ask(b, NULL, "/api/v1/targets", NULL, 200),
                            "{\"status\":\"success\",\"data\":{\"activeTargets\":[],\"droppedTargets\":[],"
                            "\"droppedTargetCounts\":{}}}\n");
        assert_string_equal(ask(b, NULL, "/api/v1/scrape_pools", NULL, 200),
                            "{\"status\":\"success\",\"data\":{\"scrapePools\":[]}}\n");
}

static json_t *group_of(json_t *groups, const char *name) {
        size_t i;
        json_t *g;
        json_array_foreach(groups, i, g)
                if (strcmp(text(json_object_get(g, "labels"), "__meta_parallax_name"), name) == 0)
                        return g;
        return NULL;
}

static void machines_are_targets(void **state) {
        Bench *b = *state;
        json_t *groups = json_loads(ask(b, NULL, "/api/v1/parallax/sd", "port=9256", 200), 0, NULL), *web, *labels;
        assert_int_equal(fake_number(&b->response, "X-Prometheus-Refresh-Interval-Seconds"), 60);
        assert_string_equal(b->response.content_type, "application/json");
        web = group_of(groups, "web-1");
        labels = json_object_get(web, "labels");
        assert_string_equal(json_string_value(json_array_get(json_object_get(web, "targets"), 0)), "web-1:9256");
        assert_string_equal(text(labels, "__meta_parallax_uuid"), "00000000-0000-0000-0000-000000000001");
        assert_string_equal(text(labels, "__meta_parallax_kind"), "vm");
        assert_string_equal(text(labels, "__meta_parallax_host"), "node-a");
        assert_non_null(group_of(groups, "shop"));
        /* A name that cannot stand before a port names no target; nothing that a tenant wrote gets out of its quotes.
         * */
        assert_null(group_of(groups, "a\"b\\c\nd<script>\xef\xbf\xbd"));
        json_decref(groups);
        groups = json_loads(ask(b, NULL, "/api/v1/parallax/sd", "kind=vm", 200), 0, NULL);
        assert_null(group_of(groups, "shop"));
        assert_string_equal(json_string_value(json_array_get(json_object_get(group_of(groups, "web-1"), "targets"), 0)),
                            "web-1:9100");
        json_decref(groups);
        (void)ask(b, NULL, "/api/v1/parallax/sd", "port=0", 400);
        (void)ask(b, NULL, "/api/v1/parallax/sd", "port=65536", 400);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(targets_as_prometheus_has_them, setup, teardown),
                cmocka_unit_test_setup_teardown(targets_are_chosen, setup, teardown),
                cmocka_unit_test_setup_teardown(pools_and_metadata, setup, teardown),
                cmocka_unit_test_setup_teardown(nothing_is_scraped, setup, teardown),
                cmocka_unit_test_setup_teardown(machines_are_targets, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
