/* The sink before a recording one, its queues in a directory, and receivers that are servers on the same loop. */
#include "forward/backend.h"
#include "forward/forward.h"
#include "forward/post.h"
#include "net/http_server.h"
#include "wire/snappy.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define T INT64_C(1700000000000)

/* ---- A store ---- */

typedef struct Recorder {
        SeriesSink sink;
        uint64_t ticket, durable;
        size_t samples, series, exemplars;
        SampleFault series_fault;
        double refused; /* samples of this value */
} Recorder;

static int rec_begin(SeriesSink *s, const char *source) {
        (void)s, (void)source;
        return 0;
}

static SampleFault rec_series(SeriesSink *s, const uint8_t *run, size_t len, SeriesRef *ret_ref,
                              LabelsFault *ret_fault) {
        Recorder *r = (Recorder *)s;
        (void)run, (void)len;
        *ret_fault = LABELS_OK;
        *ret_ref = (SeriesRef)r->series++;
        return r->series_fault;
}

static SampleFault rec_floats(SeriesSink *s, SeriesRef ref, const int64_t *times, const double *values, size_t n,
                              size_t *ret_taken) {
        Recorder *r = (Recorder *)s;
        SampleFault fault = SAMPLE_OK;
        (void)ref, (void)times;
        *ret_taken = 0;
        for (size_t i = 0; i < n; i++)
                if (values[i] == r->refused)
                        fault = SAMPLE_TOO_OLD;
                else
                        ++*ret_taken;
        r->samples += *ret_taken;
        return fault;
}

static SampleFault rec_histogram(SeriesSink *s, SeriesRef ref, int64_t time_ms, const uint8_t *bytes, size_t n) {
        (void)s, (void)ref, (void)time_ms, (void)bytes, (void)n;
        return SAMPLE_OK;
}

static bool rec_exemplar(SeriesSink *s, SeriesRef ref, const uint8_t *labels, size_t len, double value,
                         int64_t time_ms) {
        (void)ref, (void)labels, (void)len, (void)value, (void)time_ms;
        ((Recorder *)s)->exemplars++;
        return true;
}

static void rec_metadata(SeriesSink *s, Span metric, MetricType type, Span help, Span unit) {
        (void)s, (void)metric, (void)type, (void)help, (void)unit;
}

static int rec_end(SeriesSink *s, uint64_t *ret_ticket) {
        *ret_ticket = ++((Recorder *)s)->ticket;
        return 0;
}

static uint64_t rec_durable(SeriesSink *s) {
        return ((Recorder *)s)->durable;
}

/* ---- A receiver ---- */

typedef struct Fix {
        Loop *loop;
        LoopTimer *timer;
        HttpFetcher *fetcher;
        HttpListener *listener;
        char directory[64], url[64];
        Recorder store;
        Forward *forward;
        int status;
        const char *extra_name, *extra_value;
        RwRequest request; /* the last good one */
        Buf raw;
        unsigned requests, complaints, dropped;
        char last_path[256], last_method[8], last_version[16], last_agent[64], last_params[256];
        HttpListener *front; /* of the backend's tests */
        Backend *backend;
        bool waited;
} Fix;

static size_t body_limit(void *context, const HttpRequest *r) {
        (void)context, (void)r;
        return 1 << 20;
}

static void keep(char *out, size_t size, const char *text) {
        (void)snprintf(out, size, "%s", text ? text : "");
}

static void on_write(Fix *f, const HttpRequest *r) {
        const char *why;
        RwError e;
        keep(f->last_version, sizeof f->last_version, http_header(r, "X-Prometheus-Remote-Write-Version"));
        keep(f->last_agent, sizeof f->last_agent, http_header(r, "User-Agent"));
        RwVersion version = f->last_version[0] == '2' ? RW_2 : RW_1;
        assert_string_equal(http_header(r, "Content-Encoding"), "snappy");
        assert_int_equal(snappy_block_decode(r->body, r->body_len, 1 << 24, &f->raw, &why), 0);
        assert_int_equal(rw_parse((const uint8_t *)f->raw.data, f->raw.len, version, &f->request, &e), 0);
}

static void handle(void *context, const HttpRequest *r, HttpResponse *response) {
        Fix *f = context;
        f->requests++;
        keep(f->last_path, sizeof f->last_path, r->path);
        keep(f->last_method, sizeof f->last_method, r->method);
        f->last_params[0] = '\0';
        for (size_t i = 0; i < r->n_params; i++) {
                size_t n = strlen(f->last_params);
                (void)snprintf(f->last_params + n, sizeof f->last_params - n, "%s=%s;", r->params[i].name,
                               r->params[i].value);
        }
        if (strcmp(r->path, "/write") == 0)
                on_write(f, r);
        response->status = f->status;
        response->content_type = "application/json";
        response->extra_name = f->extra_name;
        response->extra_value = f->extra_value;
        buf_put_str(&response->body, f->status / 100 == 2 ? "{\"status\":\"success\"}" : "because of a test\nand more");
}

static void complaint(void *context, const ForwardTargetConfig *target, const SenderAnswer *a, size_t samples,
                      bool dropped) {
        Fix *f = context;
        (void)target;
        f->complaints++;
        f->dropped += dropped ? (unsigned)samples : 0;
        if (a->status)
                assert_string_equal(a->why, "because of a test");
}

static void on_timeout(void *context) {
        Fix *f = context;
        f->waited = true;
        loop_stop(f->loop);
}

/* The loop for a while. */
static void run_for(Fix *f, int64_t ms) {
        assert_int_equal(loop_timer(f->loop, MILLISECONDS(ms), (Duration){ 0 }, on_timeout, f, &f->timer), 0);
        assert_int_equal(loop_run(f->loop), 0);
        f->timer = loop_timer_stop(f->timer);
}

static ForwardConfig *make_config(const Fix *f, const char *more) {
        char path[] = "/tmp/parallax-forward-XXXXXX";
        ForwardConfig *c = NULL;
        SettingsError error = { 0 };
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        (void)dprintf(fd,
                      "global: {external_labels: {replica: a, s: not this}}\nremote_write:\n- {name: a, url: "
                      "\"%s/write\", %s,\n"
                      "   queue_config: {batch_send_deadline: 20ms, min_backoff: 20ms, max_backoff: 50ms}}\n",
                      f->url, more);
        (void)close(fd);
        if (forward_config_load(path, true, &c, &error) < 0)
                fail_msg("%s", error.text);
        (void)unlink(path);
        return c;
}

static void open_forward(Fix *f, const char *more) {
        static const ForwardOps OPS = { .complaint = complaint };
        ForwardOptions o = {
                .loop = f->loop, .fetcher = f->fetcher, .directory = f->directory, .sync = true, .version = "test"
        };
        char name[FORWARD_NAME_MAX + 1];
        assert_int_equal(forward_new(&o, &OPS, f, &f->forward), 0);
        forward_begin(f->forward, &f->store.sink);
        assert_int_equal(forward_replace(f->forward, make_config(f, more), name), 0);
}

static int setup(void **state) {
        Fix *f = calloc(1, sizeof *f);
        *f = (Fix){ .status = 204, .store = { .refused = -1 } };
        f->store.sink = (SeriesSink){ rec_begin,    rec_series,   rec_floats, rec_histogram,
                                      rec_exemplar, rec_metadata, rec_end,    rec_durable };
        (void)strcpy(f->directory, "/tmp/parallax-forward-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        assert_int_equal(loop_new(&f->loop), 0);
        assert_int_equal(http_fetcher_new(f->loop, &f->fetcher), 0);
        assert_int_equal(http_listen(f->loop, "127.0.0.1:0", handle, f, &f->listener), 0);
        http_listener_accept(f->listener, body_limit);
        (void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d", http_listener_port(f->listener));
        *state = f;
        return 0;
}

static void remove_tree(const char *path) {
        DIR *d = opendir(path);
        for (struct dirent *e; d && (e = readdir(d));) {
                char below[512];
                if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                        continue;
                (void)snprintf(below, sizeof below, "%s/%s", path, e->d_name);
                if (e->d_type == DT_DIR)
                        remove_tree(below);
                else
                        (void)unlink(below);
        }
        if (d)
                (void)closedir(d);
        (void)rmdir(path);
}

static int teardown(void **state) {
        Fix *f = *state;
        f->backend = backend_free(f->backend);
        f->forward = forward_free(f->forward);
        f->front = http_listener_close(f->front);
        f->listener = http_listener_close(f->listener);
        f->fetcher = http_fetcher_free(f->fetcher);
        f->loop = loop_free(f->loop);
        rw_request_deinit(&f->request);
        buf_deinit(&f->raw);
        remove_tree(f->directory);
        free(f);
        return 0;
}

static SeriesRef put_series(Fix *f, const char *name, const char *value) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        SeriesSink *s = forward_sink(f->forward);
        SeriesRef ref = 0;
        LabelsFault fault;
        Label labels[] = { { { "__name__", 8 }, { name, strlen(name) } }, { { "s", 1 }, { value, strlen(value) } } };
        assert_int_equal(labels_build(labels, 2, &run), LABELS_OK);
        (void)s->series(s, (uint8_t *)run.data, run.len, &ref, &fault);
        return ref;
}

static void commit(Fix *f) {
        assert_int_equal(forward_commit(f->forward), 0);
        f->store.durable = f->store.ticket;
        forward_kick(f->forward);
}

static void run_is(Fix *f, size_t i, const char *text) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        const uint8_t *run;
        size_t len;
        assert_int_equal(rw_series_run(&f->request, &f->request.series[i], &run, &len), LABELS_OK);
        labels_print(run, len, &b);
        assert_string_equal(buf_cstr(&b), text);
}

/* ---- Tests ---- */

static void what_the_store_takes(void **state) {
        Fix *f = *state;
        open_forward(f, "write_relabel_configs: [{source_labels: [__name__], regex: secret, action: drop}], "
                        "send_exemplars: true");
        SeriesSink *s = forward_sink(f->forward);
        uint64_t ticket = 0;
        size_t taken = 0;
        assert_int_equal(s->begin(s, "test"), 0);
        s->metadata(s, (Span){ "m", 1 }, METRIC_COUNTER, (Span){ "Help.", 5 }, (Span){ "", 0 });
        SeriesRef a = put_series(f, "m", "1"), b = put_series(f, "secret", "2"), c = put_series(f, "m", "3");
        int64_t times[] = { T, T + 1, T + 2 };
        double values[] = { 1, -1, 3 };
        assert_int_equal(s->floats(s, a, times, values, 3, &taken), SAMPLE_TOO_OLD); /* the second is not taken */
        assert_int_equal(taken, 2);
        assert_int_equal(s->floats(s, b, times, values, 1, &taken), SAMPLE_OK);
        assert_int_equal(s->floats(s, c, times, values, 1, &taken), SAMPLE_OK);
        assert_true(s->exemplar(s, c, (const uint8_t *)"", 0, 5, T));
        assert_int_equal(s->end(s, &ticket), 0);
        f->store.durable = ticket;
        assert_int_equal(s->durable(s), 0); /* the queue has not got it */
        assert_true(forward_commit_pending(f->forward));
        commit(f);
        assert_true(s->durable(s) == ticket && !forward_commit_pending(f->forward));
        run_for(f, 150);
        assert_true(f->requests == 1 && f->request.n_series == 3 - 1 && f->request.n_floats == 3 &&
                    f->request.n_exemplars == 1);
        assert_string_equal(f->last_version, "0.1.0");
        assert_string_equal(f->last_agent, "Parallax/test");
        run_is(f, 0, "m{replica=\"a\", s=\"1\"}");
        run_is(f, 1, "m{replica=\"a\", s=\"3\"}");
        assert_true(f->request.values[0] == 1 && f->request.values[1] == 3 && f->request.times[1] == T + 2);
        ForwardStatus status;
        forward_status(f->forward, 0, &status);
        assert_true(status.taken == 4 && status.filtered == 1 && status.pending == 0 && status.sender->sent == 4 &&
                    status.newest_in_ms == T + 2);
}

static void put_one(Fix *f, int64_t time, double value) {
        SeriesSink *s = forward_sink(f->forward);
        uint64_t ticket;
        size_t taken;
        assert_int_equal(s->begin(s, "test"), 0);
        assert_int_equal(s->floats(s, put_series(f, "m", "1"), &time, &value, 1, &taken), SAMPLE_OK);
        assert_int_equal(s->end(s, &ticket), 0);
        commit(f);
}

/* Refused for a while, then over a restart of the forwarder, then delivered. */
static void tried_again(void **state) {
        Fix *f = *state;
        open_forward(f, "protobuf_message: io.prometheus.write.v2.Request");
        f->status = 503;
        put_one(f, T, 1);
        run_for(f, 200);
        assert_true(f->complaints >= 2 && f->dropped == 0 && f->requests >= 2);
        f->forward = forward_free(f->forward);
        f->status = 204;
        f->extra_name = "X-Prometheus-Remote-Write-Samples-Written";
        f->extra_value = "1";
        open_forward(f, "protobuf_message: io.prometheus.write.v2.Request");
        run_for(f, 150);
        assert_string_equal(f->last_version, "2.0.0");
        assert_true(f->request.n_floats == 1 && f->request.values[0] == 1);
        f->status = 400;
        put_one(f, T + 1, 2);
        run_for(f, 150);
        ForwardStatus status;
        forward_status(f->forward, 0, &status);
        assert_true(f->dropped == 1 && status.sender->failed == 1 && status.sender->last_status == 400);
}

/* Other receivers, under way: what the first one was not sent stays in its queue. */
static void replaced(void **state) {
        Fix *f = *state;
        char name[FORWARD_NAME_MAX + 1];
        open_forward(f, "remote_timeout: 1s");
        f->status = 503;
        put_one(f, T, 1);
        run_for(f, 60);
        ForwardConfig *none = make_config(f, "remote_timeout: 2s");
        while (none->n_targets > 0) { /* nobody any more */
                free(none->targets[0]->name);
                free(none->targets[0]->url);
                http_fetch_options_deinit(&none->targets[0]->http);
                free(none->targets[--none->n_targets]);
        }
        assert_int_equal(forward_replace(f->forward, none, name), 0);
        put_one(f, T + 1, 2);
        f->status = 204;
        assert_int_equal(forward_replace(f->forward, make_config(f, "remote_timeout: 3s"), name), 0);
        run_for(f, 200);
        assert_true(f->request.n_floats == 1 && f->request.values[0] == 1);
        put_one(f, T + 2, 3);
        run_for(f, 150);
        assert_true(f->request.n_floats == 1 && f->request.values[0] == 3);
}

static void another_process(void **state) {
        Fix *f = *state;
        char name[FORWARD_NAME_MAX + 1];
        open_forward(f, "remote_timeout: 1s");
        Forward *first = TAKE_PTR(f->forward);
        static const ForwardOps OPS = { .complaint = complaint };
        ForwardOptions o = {
                .loop = f->loop, .fetcher = f->fetcher, .directory = f->directory, .sync = true, .version = "test"
        };
        assert_int_equal(forward_new(&o, &OPS, f, &f->forward), 0);
        forward_begin(f->forward, &f->store.sink);
        assert_int_equal(forward_replace(f->forward, make_config(f, "remote_timeout: 1s"), name), -EWOULDBLOCK);
        assert_string_equal(name, "a");
        assert_int_equal(forward_count(f->forward), 0);
        first = forward_free(first);
}

static void retry_after(void **state) {
        (void)state;
        WallTime now = { INT64_C(1700000000) * NS_PER_SEC };
        assert_int_equal(post_retry_after(NULL, now), 0);
        assert_int_equal(post_retry_after("17", now), 17);
        assert_int_equal(post_retry_after("99999999999", now), INT32_MAX);
        assert_int_equal(post_retry_after("-3", now), 0);
        assert_int_equal(post_retry_after("soon", now), 0);
        assert_int_equal(post_retry_after("Tue, 14 Nov 2023 22:13:30 GMT", now), 10);
        assert_int_equal(post_retry_after("Tue, 14 Nov 2023 22:13:10 GMT", now), 0);
        assert_int_equal(post_retry_after("Tue, 14 Nov 2023 22:13:30 CET", now), 0);
}

/* ---- Another engine ---- */

typedef struct Got {
        Fix *f;
        int status;
        char body[512], type[64];
} Got;

static void on_got(void *context, HttpFetchResult *r) {
        Got *g = context;
        g->status = r->error ? r->error : r->status;
        (void)snprintf(g->body, sizeof g->body, "%.*s", (int)r->body->len, r->body->data ? r->body->data : "");
        keep(g->type, sizeof g->type, r->content_type);
        loop_stop(g->f->loop);
}

static void front(void *context, const HttpRequest *r, HttpResponse *response) {
        Fix *f = context;
        backend_answer(f->backend, r, response);
}

static void ask(Fix *f, const char *path, const char *form, Got *g) {
        char url[512];
        const char *headers[] = { "Content-Type: application/x-www-form-urlencoded" };
        HttpFetch *fetch = NULL;
        *g = (Got){ .f = f };
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%d%s", http_listener_port(f->front), path);
        HttpFetchRequest r = { .url = url,
                               .timeout = SECONDS(10),
                               .headers = headers,
                               .n_headers = form ? 1 : 0,
                               .body = form,
                               .body_len = form ? strlen(form) : 0 };
        assert_int_equal(http_fetch(f->fetcher, &r, on_got, g, &fetch), 0);
        assert_int_equal(loop_run(f->loop), 0);
}

static void passes_on(void **state) {
        Fix *f = *state;
        Got g;
        char base[96];
        (void)snprintf(base, sizeof base, "%s/prefix/", f->url);
        assert_int_equal(http_listen(f->loop, "127.0.0.1:0", front, f, &f->front), 0);
        http_listener_accept(f->front, body_limit);
        assert_int_equal(backend_new(f->fetcher, "mailto:a", NULL, SECONDS(1), &f->backend), -EINVAL);
        assert_int_equal(backend_new(f->fetcher, base, NULL, MILLISECONDS(400), &f->backend), 0);
        f->status = 200;
        ask(f, "/api/v1/query?query=a%2Bb%7Bc%3D%22%C3%BC%22%7D&time=1&match[]=x&match[]=y", NULL, &g);
        assert_true(g.status == 200 && strcmp(g.body, "{\"status\":\"success\"}") == 0 &&
                    strcmp(g.type, "application/json") == 0);
        assert_string_equal(f->last_path, "/prefix/api/v1/query");
        assert_string_equal(f->last_params, "query=a+b{c=\"\xc3\xbc\"};time=1;match[]=x;match[]=y;");
        assert_string_equal(f->last_method, "GET");
        ask(f, "/api/v1/query_range", "query=up&start=1&end=2&step=1", &g);
        assert_string_equal(f->last_method, "POST");
        assert_string_equal(f->last_params, "query=up;start=1;end=2;step=1;");
        ask(f, "/api/v1/label/a%20b/values", NULL, &g);
        assert_string_equal(f->last_path, "/prefix/api/v1/label/a b/values");
        f->status = 422; /* its errors are its own */
        ask(f, "/api/v1/query?query=1", NULL, &g);
        assert_true(g.status == 422 && strncmp(g.body, "because of a test", 17) == 0);
}

static void engine_is_away(void **state) {
        Fix *f = *state;
        Got g;
        assert_int_equal(http_listen(f->loop, "127.0.0.1:0", front, f, &f->front), 0);
        assert_int_equal(backend_new(f->fetcher, f->url, NULL, SECONDS(1), &f->backend), 0);
        f->listener = http_listener_close(f->listener);
        ask(f, "/api/v1/query?query=1", NULL, &g);
        assert_int_equal(g.status, 503);
        assert_non_null(strstr(
                g.body,
                "{\"status\":\"error\",\"errorType\":\"unavailable\",\"error\":\"the query engine cannot be reached"));
        assert_int_equal(backend_stats(f->backend)->failed, 1);
        assert_int_equal(backend_stats(f->backend)->under_way, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(what_the_store_takes, setup, teardown),
                cmocka_unit_test_setup_teardown(tried_again, setup, teardown),
                cmocka_unit_test_setup_teardown(replaced, setup, teardown),
                cmocka_unit_test_setup_teardown(another_process, setup, teardown),
                cmocka_unit_test(retry_after),
                cmocka_unit_test_setup_teardown(passes_on, setup, teardown),
                cmocka_unit_test_setup_teardown(engine_is_away, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
