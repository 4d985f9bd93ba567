/* A real loop, a real server on it as the target, and a recording sink: what a target says comes out as samples. */
#include "scrape/scrape.h"

#include "model/stale.h"
#include "model/test_sink.h"
#include "net/http_server.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Bench {
        Loop *loop;
        HttpListener *listener;
        LoopTimer *poll, *guard;
        Recorder *recorder;
        Scrape *scrape;
        char dir[64], address[64];
        /* What the target answers. */
        const char *body, *type, *sd;
        size_t body_len; /* 0: body is a text */
        int status;
        unsigned asked, complaints;
        char accept[512], query[64], problem[256];
        bool (*done)(struct Bench *b);
        bool timed_out;
} Bench;

static void answer(void *context, const HttpRequest *request, HttpResponse *response) {
        Bench *b = context;
        if (strcmp(request->path, "/sd") == 0) {
                response->content_type = "application/json";
                response->status = b->sd ? 200 : 500;
                buf_printf(&response->body, b->sd ? b->sd : "no", b->address);
                return;
        }
        b->asked++;
        (void)snprintf(b->accept, sizeof b->accept, "%s", request->accept);
        const char *x = http_query(request, "x");
        (void)snprintf(b->query, sizeof b->query, "%s", x ? x : "");
        response->status = b->status;
        response->content_type = b->type;
        buf_put(&response->body, b->body, b->body_len ? b->body_len : strlen(b->body));
}

static void on_complaint(void *context, const char *job, const char *text) {
        Bench *b = context;
        b->complaints++;
        (void)snprintf(b->problem, sizeof b->problem, "%s: %s", job, text);
}

static void on_poll(void *context) {
        Bench *b = context;
        if (b->done(b))
                loop_stop(b->loop);
}

static void on_guard(void *context) {
        Bench *b = context;
        b->timed_out = true;
        loop_stop(b->loop);
}

static void wait_until(Bench *b, bool (*done)(Bench *b)) {
        b->done = done;
        b->timed_out = false;
        loop_timer_again(b->guard, SECONDS(20), (Duration){ 0 });
        assert_int_equal(loop_run(b->loop), 0);
        if (b->timed_out)
                fail_msg("not within 20 s; asked %u times, last problem: %s", b->asked, b->problem);
}

static void write_file(const Bench *b, const char *name, const char *text) {
        char path[256], aside[300];
        (void)snprintf(path, sizeof path, "%s/%s", b->dir, name);
        (void)snprintf(aside, sizeof aside, "%s.new", path);
        FILE *f = fopen(aside, "w");
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(rename(aside, path), 0);
}

/* The configuration; %s is the target's address, every time. */
static void configure(Bench *b, const char *format) {
        char text[4096], path[128];
        ScrapeConfig *config = NULL;
        SettingsError error = { 0 };
        (void)snprintf(text, sizeof text, format, b->address, b->address, b->address, b->address);
        write_file(b, "parallax.yaml", text);
        (void)snprintf(path, sizeof path, "%s/parallax.yaml", b->dir);
        if (scrape_config_load(path, true, &config, &error) < 0)
                fail_msg("%s", error.text);
        assert_int_equal(scrape_replace(b->scrape, config), 0);
}

static int setup(void **state) {
        static const ScrapeOps OPS = { on_complaint };
        Bench *b = calloc(1, sizeof *b);
        assert_non_null(b);
        b->recorder = malloc(sizeof *b->recorder);
        assert_non_null(b->recorder);
        memset(b->recorder, 0, sizeof *b->recorder);
        b->recorder->sink = RECORDER.sink;
        (void)snprintf(b->dir, sizeof b->dir, "/tmp/test_scrape.XXXXXX");
        assert_non_null(mkdtemp(b->dir));
        b->status = 200;
        b->type = "text/plain; version=0.0.4";
        b->body = "";
        assert_int_equal(loop_new(&b->loop), 0);
        assert_int_equal(http_listen(b->loop, "127.0.0.1:0", answer, b, &b->listener), 0);
        (void)snprintf(b->address, sizeof b->address, "127.0.0.1:%d", http_listener_port(b->listener));
        assert_int_equal(loop_timer(b->loop, MILLISECONDS(10), MILLISECONDS(10), on_poll, b, &b->poll), 0);
        assert_int_equal(loop_timer(b->loop, SECONDS(20), (Duration){ 0 }, on_guard, b, &b->guard), 0);
        assert_int_equal(scrape_new(b->loop, &b->recorder->sink, "host-a", &OPS, b, &b->scrape), 0);
        *state = b;
        return 0;
}

static int teardown(void **state) {
        Bench *b = *state;
        char command[128];
        b->scrape = scrape_free(b->scrape);
        b->poll = loop_timer_stop(b->poll);
        b->guard = loop_timer_stop(b->guard);
        b->listener = http_listener_close(b->listener);
        b->loop = loop_free(b->loop);
        recorder_deinit(b->recorder);
        free(b->recorder);
        (void)snprintf(command, sizeof command, "rm -r %s", b->dir);
        free(b);
        return system(command);
}

static void forget(Bench *b) {
        recorder_deinit(b->recorder);
        memset(b->recorder->series, 0, sizeof b->recorder->series);
        b->recorder->n_series = 0;
}

static RecordedSeries *series(Bench *b, const char *format) {
        char name[512];
        (void)snprintf(name, sizeof name, format, b->address);
        return recorded(b->recorder, name);
}

static double last(const RecordedSeries *s) {
        assert_non_null(s);
        assert_true(s->n > 0);
        return s->values[s->n - 1];
}

#define JOB "scrape_configs:\n- job_name: j\n  scrape_interval: 1s\n  static_configs: [{targets: ['%s']}]\n"
#define UP "up{instance=\"%s\", job=\"j\"}"

static bool up_once(Bench *b) {
        return series(b, UP) && series(b, UP)->n >= 1;
}
static bool up_twice(Bench *b) {
        return series(b, UP) && series(b, UP)->n >= 2;
}
static bool is_down(Bench *b) {
        return series(b, UP) && last(series(b, UP)) == 0;
}

static void a_target_is_scraped(void **state) {
        Bench *b = *state;
        b->body = "# HELP a_total What it is.\n# TYPE a_total counter\na_total{x=\"1\"} 5\nb 2 1700000000000\n"
                  "b{job=\"own\"} 3\n";
        configure(b, JOB "  params: {x: [y z]}\n");
        wait_until(b, up_once);
        assert_true(last(series(b, UP)) == 1);
        assert_true(last(series(b, "a_total{instance=\"%s\", job=\"j\", x=\"1\"}")) == 5);
        assert_true(last(series(b, "b{exported_job=\"own\", instance=\"%s\", job=\"j\"}")) == 3);
        assert_int_equal(series(b, "b{instance=\"%s\", job=\"j\"}")->times[0], 1700000000000);
        assert_true(last(series(b, "scrape_samples_scraped{instance=\"%s\", job=\"j\"}")) == 3);
        assert_true(last(series(b, "scrape_samples_post_metric_relabeling{instance=\"%s\", job=\"j\"}")) == 3);
        assert_true(last(series(b, "scrape_series_added{instance=\"%s\", job=\"j\"}")) == 3);
        assert_true(last(series(b, "scrape_duration_seconds{instance=\"%s\", job=\"j\"}")) > 0);
        assert_string_equal(b->recorder->source, "scrape");
        assert_string_equal(b->recorder->metric, "a_total");
        assert_string_equal(b->recorder->help, "What it is.");
        assert_string_equal(b->query, "y z");
        assert_non_null(strstr(b->accept, "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"));
        assert_non_null(strstr(b->accept, ",*/*;q=0.2"));
        wait_until(b, up_twice);
        assert_true(last(series(b, "scrape_series_added{instance=\"%s\", job=\"j\"}")) == 0);
}

static bool a_is_stale(Bench *b) {
        const RecordedSeries *s = series(b, "a{instance=\"%s\", job=\"j\"}");
        return s && is_stale(s->values[s->n - 1]);
}

static void what_vanishes_ends(void **state) {
        Bench *b = *state;
        b->body = "a 1\nb 2\ntimed 3 1700000000000\n";
        configure(b, JOB);
        wait_until(b, up_once);
        b->body = "b 2\n";
        wait_until(b, a_is_stale);
        assert_true(last(series(b, "b{instance=\"%s\", job=\"j\"}")) == 2);
        assert_int_equal(series(b, "timed{instance=\"%s\", job=\"j\"}")->n, 1); /* has a time of its own: no marker */
        b->status = 503;
        wait_until(b, is_down);
        assert_true(is_stale(last(series(b, "b{instance=\"%s\", job=\"j\"}"))));
        size_t n = series(b, "b{instance=\"%s\", job=\"j\"}")->n;
        b->status = 200;
        wait_until(b, up_once);
        b->status = 503;
        wait_until(b, is_down);
        assert_true(series(b, "b{instance=\"%s\", job=\"j\"}")->n <= n + 4);
        ScrapeStats stats;
        scrape_stats(b->scrape, &stats);
        assert_true(stats.stale >= 2 && stats.failed >= 1 && stats.targets == 1);
}

static bool nothing(void *context, const ScrapeTarget *t) {
        *(const char **)context = t->error;
        return true;
}

static const char *error_of(Bench *b) {
        const char *error = "no target";
        scrape_each_target(b->scrape, NULL, nothing, &error);
        return error;
}

static void expect_failure(Bench *b, const char *config, const char *error) {
        configure(b, config);
        forget(b);
        wait_until(b, is_down);
        if (!strstr(error_of(b), error))
                assert_string_equal(error_of(b), error);
}

static void limits_and_wrong_answers(void **state) {
        Bench *b = *state;
        b->body = "a{long=\"abcdef\"} 1\nb 2\n";
        expect_failure(b, JOB "  sample_limit: 1\n", "sample_limit exceeded (samples: 2, limit: 1)");
        assert_null(series(b, "b{instance=\"%s\", job=\"j\"}"));
        expect_failure(b, JOB "  label_limit: 3\n", "label_limit exceeded");
        expect_failure(b, JOB "  label_name_length_limit: 3\n", "label_name_length_limit exceeded");
        expect_failure(b, JOB "  label_value_length_limit: 5\n", "label_value_length_limit exceeded");
        expect_failure(b, JOB "  body_size_limit: 5B\n", "body size limit exceeded");
        expect_failure(b, JOB "  metric_relabel_configs: [{action: labeldrop, regex: __name__}]\n",
                       "missing metric name");
        b->body = "a 1\nhalf";
        expect_failure(b, JOB, "line 2: expected a value");
        b->body = "a 1\n";
        b->type = "text/html";
        expect_failure(b, JOB, "unsupported Content-Type \"text/html\"");
        b->type = "application/openmetrics-text";
        expect_failure(b, JOB, "# EOF is missing");
        b->status = 404;
        expect_failure(b, JOB, "server returned HTTP status 404 Not Found");
        b->status = 200;
        expect_failure(b, "scrape_configs:\n- job_name: j\n  scrape_interval: 1s\n  target_limit: 1\n"
                          "  static_configs: [{targets: ['%s', 'localhost:1']}]\n",
                                  "target_limit exceeded (number of targets: 2, limit: 1)");
}

static void fallbacks_and_relabelling(void **state) {
        Bench *b = *state;
        b->type = "text/html";
        b->body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n"
                  "keep_me{job=\"own\"} 1\ndrop_me 1";
        configure(b,
                  JOB "  fallback_scrape_protocol: PrometheusText0.0.4\n"
                  "  honor_labels: true\n  extra_scrape_metrics: true\n"
                         "  relabel_configs: [{target_label: __tmp, replacement: gone}]\n"
                         "  metric_relabel_configs: [{source_labels: [__name__], regex: drop_.*, action: drop}]\n");
        wait_until(b, up_once);
        assert_true(last(series(b, "h_bucket{instance=\"%s\", job=\"j\", le=\"1.0\"}")) == 1);
        assert_true(last(series(b, "keep_me{instance=\"%s\", job=\"own\"}")) == 1);
        assert_null(series(b, "drop_me{instance=\"%s\", job=\"j\"}"));
        assert_true(last(series(b, "scrape_samples_scraped{instance=\"%s\", job=\"j\"}")) == 4);
        assert_true(last(series(b, "scrape_samples_post_metric_relabeling{instance=\"%s\", job=\"j\"}")) == 3);
        assert_true(last(series(b, "scrape_timeout_seconds{instance=\"%s\", job=\"j\"}")) == 1);
}

static void native_histograms_are_taken(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf seed = BUF_NULL;
        assert_int_equal(buf_read_file(&seed, AT_FDCWD, TEST_SOURCE "/fuzz/corpus/exposition_proto/native", 4096), 0);
        b->body = seed.data + 1; /* the first byte is the fuzzer's */
        b->body_len = seed.len - 1;
        b->type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        configure(b, JOB "  scrape_native_histograms: true\n");
        wait_until(b, up_once);
        assert_true(last(series(b, UP)) == 1);
        assert_non_null(strstr(b->accept, "proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"));
        const RecordedSeries *h = series(b, "h{a=\"b\", instance=\"%s\", job=\"j\"}");
        assert_non_null(h);
        assert_int_equal(h->n_histograms, 1);
        assert_true(h->histogram.len > 0);
        assert_null(series(b, "h_count{a=\"b\", instance=\"%s\", job=\"j\"}"));
}

#define UP_FILE "up{from=\"file\", instance=\"%s\", job=\"j\"}"

static bool file_is_up(Bench *b) {
        return series(b, UP_FILE) && last(series(b, UP_FILE)) == 1;
}
static bool has_complained(Bench *b) {
        return b->complaints > 0;
}
static bool file_is_gone(Bench *b) {
        return is_stale(last(series(b, UP_FILE)));
}

static size_t targets_of(Bench *b) {
        ScrapeStats stats;
        scrape_stats(b->scrape, &stats);
        return stats.targets;
}

static void files_are_followed(void **state) {
        Bench *b = *state;
        char text[256];
        b->body = "a 1\n";
        configure(b,
                  "scrape_configs:\n- job_name: j\n  scrape_interval: 1s\n  file_sd_configs: [{files: ['*.json']}]\n");
        assert_int_equal(targets_of(b), 0);
        (void)snprintf(text, sizeof text, "[{\"targets\": [\"%s\"], \"labels\": {\"from\": \"file\"}}]", b->address);
        write_file(b, "t.json", text);
        wait_until(b, file_is_up);
        write_file(b, "t.json", "[{\"targets\":"); /* what it said before stays */
        wait_until(b, has_complained);
        assert_non_null(strstr(b->problem, "t.json: 1:"));
        assert_int_equal(targets_of(b), 1);
        write_file(b, "t.json", "[]");
        wait_until(b, file_is_gone);
        assert_true(is_stale(last(series(b, "a{from=\"file\", instance=\"%s\", job=\"j\"}"))));
        assert_int_equal(targets_of(b), 0);
}

static void http_discovery_is_followed(void **state) {
        Bench *b = *state;
        b->body = "a 1\n";
        b->sd = "[{\"targets\": [\"%s\"], \"labels\": {\"from\": \"file\"}}]";
        configure(b, "scrape_configs:\n- job_name: j\n  scrape_interval: 1s\n"
                     "  http_sd_configs: [{url: 'http://%s/sd', refresh_interval: 1s}]\n");
        wait_until(b, file_is_up);
        b->sd = NULL; /* an error: the last good list stays */
        wait_until(b, has_complained);
        assert_non_null(strstr(b->problem, "/sd: server returned HTTP status 500"));
        assert_int_equal(targets_of(b), 1);
        b->sd = "[]";
        wait_until(b, file_is_gone);
        assert_int_equal(targets_of(b), 0);
}

static void a_reload_keeps_what_stays(void **state) {
        Bench *b = *state;
        b->body = "a 1\n";
        configure(b, JOB "- job_name: k\n  scrape_interval: 1s\n  static_configs: [{targets: ['%s']}]\n");
        wait_until(b, up_twice);
        size_t n = b->recorder->n_series;
        unsigned ended = 0;
        configure(b, JOB);
        for (size_t i = 0; i < n; i++)
                ended += is_stale(last(&b->recorder->series[i]));
        assert_int_equal(ended, 6); /* a, up, and the four of scrape_* of the job k */
        assert_string_equal(error_of(b), "");
        assert_int_equal(targets_of(b), 1);
        size_t before = series(b, UP)->n;
        assert_false(is_stale(last(series(b, UP))));
        while (series(b, UP)->n == before)
                wait_until(b, up_twice);
        assert_true(last(series(b, "scrape_series_added{instance=\"%s\", job=\"j\"}")) == 0); /* they were known */
}

static bool describe(void *context, const ScrapeMetadata *m) {
        char *out = context;
        (void)snprintf(out, 128, "%.*s|%s|%.*s|%.*s", (int)m->metric.len, m->metric.text, m->type, (int)m->help.len,
                       m->help.text,
                       (int)m->unit.len, m->unit.text);
        return true;
}

static bool show_dropped(void *context, const char *pool, ScrapeLabels l) {
        const char *name, *value;
        Buf *out = context;
        buf_put_str(out, pool);
        while (scrape_labels_next(&l, &name, &value))
                buf_printf(out, " %s=%s", name, value);
        return true;
}

static bool show_target(void *context, const ScrapeTarget *t) {
        buf_printf(context, "%s %s %s %s", t->pool, t->url, t->global_url, t->health);
        return true;
}

static void what_the_api_is_told(void **state) {
        Bench *b = *state;
        char text[128] = "";
        CLEANUP(buf_deinit) Buf dropped = BUF_NULL, targets = BUF_NULL;
        b->type = "application/openmetrics-text";
        b->body = "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\n# HELP a_seconds Time.\na_seconds 1\n# EOF\n";
        configure(b, JOB "- job_name: k\n  static_configs: [{targets: ['x:1', 'localhost:1']}]\n  metrics_path: /m\n"
                         "  relabel_configs: [{source_labels: [__address__], regex: 'x:1', action: drop}]\n");
        wait_until(b, up_once);
        scrape_each_metadata(b->scrape, describe, text);
        assert_string_equal(text, "a_seconds|gauge|Time.|seconds");
        scrape_each_dropped(b->scrape, NULL, show_dropped, &dropped);
        assert_string_equal(buf_cstr(&dropped),
                            "k __address__=x:1 __metrics_path__=/m __scheme__=http __scrape_interval__=1m "
                                                "__scrape_timeout__=10s job=k");
        assert_int_equal(scrape_pool_dropped(b->scrape, 1), 1);
        scrape_each_target(b->scrape, "k", show_target, &targets);
        assert_string_equal(buf_cstr(&targets), "k http://localhost:1/m http://host-a:1/m unknown");
}

static void targets_that_cannot_be(void **state) {
        Bench *b = *state;
        configure(b, JOB "  relabel_configs: [{target_label: __address__, replacement: ''}]\n");
        assert_non_null(strstr(b->problem, "j: 1 targets cannot be scraped: no address (target 127.0.0.1:"));
        assert_int_equal(targets_of(b), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_target_is_scraped, setup, teardown),
                cmocka_unit_test_setup_teardown(what_vanishes_ends, setup, teardown),
                cmocka_unit_test_setup_teardown(limits_and_wrong_answers, setup, teardown),
                cmocka_unit_test_setup_teardown(fallbacks_and_relabelling, setup, teardown),
                cmocka_unit_test_setup_teardown(native_histograms_are_taken, setup, teardown),
                cmocka_unit_test_setup_teardown(files_are_followed, setup, teardown),
                cmocka_unit_test_setup_teardown(http_discovery_is_followed, setup, teardown),
                cmocka_unit_test_setup_teardown(a_reload_keeps_what_stays, setup, teardown),
                cmocka_unit_test_setup_teardown(what_the_api_is_told, setup, teardown),
                cmocka_unit_test_setup_teardown(targets_that_cannot_be, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
