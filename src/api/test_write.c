/* Writes over HTTP: the server, the routes, the receiver and the queue of answers in a child process, with a recording sink
 * whose samples become durable 50 ms after they came. The tests are clients. */
#include "api/api.h"

#include "base/test_proto.h"
#include "model/test_sink.h"
#include "net/http_client.h"

#include <jansson.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <snappy-c.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <cmocka.h>

#define T INT64_C(1700000000000)
#define TYPE_1 "application/x-protobuf"
#define TYPE_2 "application/x-protobuf;proto=io.prometheus.write.v2.Request"

typedef struct Server {
        Recorder recorder;
        ApiContext api;
        SelfStats self;
        Loop *loop;
        HttpListener *listener;
        LoopTimer *timer;
} Server;

static struct Child {
        pid_t pid;
        int port;
} child;

/* ---- the server ---- */

static void fake_stats(Store *s, StoreStats *ret_stats) {
        (void)s;
        *ret_stats = (StoreStats){ .head_series = 7, .head_min_ms = 1000, .head_max_ms = 2000 };
}

static size_t fake_top(Store *s, StoreTopKind kind, StoreTop *ret_top, size_t most) {
        (void)s;
        size_t n = most < 3 ? most : 3;
        for (size_t i = 0; i < n; i++) {
                ret_top[i] = (StoreTop){ .count = 10 * (unsigned)kind + i };
                (void)snprintf(ret_top[i].name, sizeof ret_top[i].name, "n%d-%zu", kind, i);
        }
        return n;
}

static size_t body_limit(void *context, const HttpRequest *request) {
        (void)context;
        return api_body_limit(request);
}

static void handle(void *context, const HttpRequest *request, HttpResponse *response) {
        Server *s = context;
        const char *without = http_query(request, "without");
        ApiContext c = s->api;
        if (without && strcmp(without, "store") == 0) {
                c.sink = NULL;
                c.store = NULL;
        }
        s->recorder.begin_error = http_query(request, "full") ? -ENOSPC : 0;
        api_handle(&c, request, response);
        if (http_query(request, "broken")) /* the commit failed */
                ack_queue_fail(c.acks, 503);
        loop_timer_again(s->timer, MILLISECONDS(50), (Duration){ 0 });
}

static void commit(void *context) {
        Server *s = context;
        s->recorder.durable = s->recorder.ticket;
        ack_queue_advance(s->api.acks, s->recorder.durable);
}

static void on_term(void *context, int signo) {
        (void)signo;
        loop_stop(((Server *)context)->loop);
}

static bool server_open(Server *s) {
        LoopSignal *term;
        s->recorder = RECORDER;
        s->recorder.slow = true;
        s->recorder.now_ms = T;
        s->api = (ApiContext){ .self = &s->self, .metrics = "all", .no_collect = true, .sink = &s->recorder.sink, .store = (Store *)s,
                               .store_stats = fake_stats, .store_top = fake_top };
        return ack_queue_new(16, &s->api.acks) == 0 && remote_write_new(&s->api.remote_write) == 0 && text_import_new(&s->api.import) == 0 &&
               loop_new(&s->loop) == 0 && loop_signal(s->loop, SIGTERM, on_term, s, &term) == 0 &&
               loop_timer(s->loop, SECONDS(3600), (Duration){ 0 }, commit, s, &s->timer) == 0 &&
               http_listen(s->loop, "127.0.0.1:0", handle, s, &s->listener) == 0;
}

static int serve(int ports) {
        Server *s = calloc(1, sizeof *s);
        if (!s || !server_open(s))
                return 2;
        http_listener_accept(s->listener, body_limit);
        int port = http_listener_port(s->listener);
        if (write(ports, &port, sizeof port) != sizeof port || loop_run(s->loop) < 0)
                return 3;
        s->listener = http_listener_close(s->listener);
        s->api.acks = ack_queue_free(s->api.acks);
        s->api.remote_write = remote_write_free(s->api.remote_write);
        s->api.import = text_import_free(s->api.import);
        recorder_deinit(&s->recorder);
        s->loop = loop_free(s->loop);
        free(s);
        return 0;
}

static int start_server(void **state) {
        (void)state;
        int ports[2];
        if (pipe(ports) < 0)
                return -1;
        child.pid = fork();
        if (child.pid == 0)
                exit(serve(ports[1]));
        (void)close(ports[1]);
        ssize_t n = read(ports[0], &child.port, sizeof child.port);
        (void)close(ports[0]);
        return n == sizeof child.port ? 0 : -1;
}

static int stop_server(void **state) {
        (void)state;
        int status = -1;
        (void)kill(child.pid, SIGTERM);
        (void)waitpid(child.pid, &status, 0);
        return status == 0 ? 0 : -1;
}

/* ---- the client ---- */

static void client_freep(HttpClient **c) {
        *c = http_client_free(*c);
}

static HttpClient *dial(void) {
        char address[64];
        HttpClient *c = NULL;
        (void)snprintf(address, sizeof address, "http://127.0.0.1:%d", child.port);
        assert_int_equal(http_client_new(address, SECONDS(20), &c), 0);
        return c;
}

static int post(HttpClient *c, const char *path, const char *type, const void *bytes, size_t n, Buf *ret_body) {
        int status = 0;
        buf_reset(ret_body);
        if (http_client_post(c, path, type, bytes, n, ret_body, &status) != 0)
                fail_msg("%s", http_client_error(c));
        (void)buf_cstr(ret_body);
        return status;
}

static int post_message(HttpClient *c, const char *path, const char *type, Buf *message, Buf *ret_body) {
        size_t n = snappy_max_compressed_length(message->len);
        CLEANUP_FREE char *packed = malloc(n);
        assert_int_equal(snappy_compress(message->data, message->len, packed, &n), SNAPPY_OK);
        buf_reset(message);
        return post(c, path, type, packed, n, ret_body);
}

static int get(HttpClient *c, const char *path, Buf *ret_body) {
        int status = 0;
        buf_reset(ret_body);
        assert_int_equal(http_client_get(c, path, ret_body, &status), 0);
        (void)buf_cstr(ret_body);
        return status;
}

/* Whatever bytes; returns the status of the answer, its text in ret_answer. */
static int say(const char *text, Buf *ret_answer) {
        CLEANUP_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)child.port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
        assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
        struct timeval second = { .tv_sec = 1 }; /* an answer may keep the connection open */
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second), 0);
        (void)shutdown(fd, SHUT_WR);
        buf_reset(ret_answer);
        for (ssize_t n = 1; n > 0;) {
                n = recv(fd, buf_reserve(ret_answer, 4096), 4096, 0);
                ret_answer->len += n > 0 ? (size_t)n : 0;
        }
        return ret_answer->len > 12 ? atoi(buf_cstr(ret_answer) + 9) : 0;
}

/* ---- tests ---- */

static void answered_when_durable(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = dial();
        CLEANUP(buf_deinit) Buf m = BUF_NULL, body = BUF_NULL;
        for (int i = 0; i < 5; i++) {
                MonoTime begin = mono_now();
                rw1_one(&m, "durable", i, T + i);
                assert_int_equal(post_message(c, "/api/v1/write", TYPE_1, &m, &body), 204);
                assert_true(mono_since(mono_now(), begin).ns >= MILLISECONDS(45).ns);
        }
        /* The log is broken: the samples are there, and yet the answer is no. */
        rw1_one(&m, "durable", 9, T + 9);
        assert_int_equal(post_message(c, "/api/v1/write?broken=1", TYPE_1, &m, &body), 503);
        assert_true(http_client_retry_after(c) > 0);
        rw1_one(&m, "durable", 9, T + 9);
        assert_int_equal(post_message(c, "/api/v1/write", TYPE_1, &m, &body), 204);
}

static void b5_b6_negotiation(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = dial();
        CLEANUP(buf_deinit) Buf m = BUF_NULL, body = BUF_NULL, answer = BUF_NULL;
        rw1_one(&m, "up", 1, T);
        assert_int_equal(post_message(c, "/api/v1/write", "application/json", &m, &body), 415);
        rw1_one(&m, "up", 1, T);
        assert_int_equal(post_message(c, "/api/v1/write", TYPE_2, &m, &body), 400);
        assert_non_null(strstr(body.data, "1.0 with the Content-Type of 2.0"));
        assert_int_equal(say("POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Encoding: zstd\r\nContent-Length: 3\r\n\r\nabc", &answer), 415);
        assert_int_equal(say("POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Encoding: snappy\r\nContent-Length: 3\r\n\r\nabc", &answer), 400);
}

/* An empty request of 2.0 is answered with the three headers. */
static void written_headers(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf answer = BUF_NULL;
        static const char REQUEST[] = "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nContent-Encoding: snappy\r\nContent-Type: " TYPE_2 "\r\n"
                                      "Transfer-Encoding: chunked\r\n\r\n3\r\n\x02\x04\x22\r\n1\r\n%c\r\n0\r\n\r\n";
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        buf_printf(&text, REQUEST, 1); /* one symbol of one byte: no series uses it */
        assert_int_equal(say(buf_cstr(&text), &answer), 400);
        assert_non_null(strcasestr(answer.data, "\r\nX-Prometheus-Remote-Write-Samples-Written: 0\r\n"));
        assert_non_null(strcasestr(answer.data, "\r\nX-Prometheus-Remote-Write-Histograms-Written: 0\r\n"));
        assert_non_null(strcasestr(answer.data, "\r\nX-Prometheus-Remote-Write-Exemplars-Written: 0\r\n"));
}

static void b10_lengths(void **state) {
        (void)state;
        static const struct {
                const char *header;
                int status;
        } CASES[] = {
                { "Content-Length: 0\r\n", 400 }, { "", 411 },
                { "Content-Length: -1\r\n", 400 }, { "Content-Length: 1e3\r\n", 400 },
                { "Content-Length: 8388609\r\n", 413 },
        };
        CLEANUP(buf_deinit) Buf answer = BUF_NULL;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf request = BUF_NULL;
                buf_printf(&request, "POST /api/v1/write HTTP/1.1\r\nHost: x\r\n%s\r\n", CASES[i].header);
                int status = say(buf_cstr(&request), &answer);
                if (status != CASES[i].status)
                        fail_msg("%s: %d", CASES[i].header, status);
        }
}

/* B1: a body of five bytes that says it is 4 GiB. */
static void b1_over_http(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = dial();
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        assert_int_equal(post(c, "/api/v1/write", TYPE_1, "\xff\xff\xff\xff\x0f", 5, &body), 413);
}

static void b18_over_http(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = dial();
        CLEANUP(buf_deinit) Buf m = BUF_NULL, body = BUF_NULL;
        rw1_one(&m, "mixed", 1, T);
        rw1_one(&m, "mixed", 1, INT64_MAX);
        assert_int_equal(post_message(c, "/api/v1/write", TYPE_1, &m, &body), 400);
        assert_non_null(strstr(body.data, "1 of 2 samples were not taken: 1 too_new"));
        rw1_one(&m, "mixed", 2, T);
        assert_int_equal(post_message(c, "/api/v1/write", TYPE_1, &m, &body), 400);
        assert_non_null(strstr(body.data, "duplicate")); /* so the good one had been written */
}

static void no_space_no_store(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = dial();
        CLEANUP(buf_deinit) Buf m = BUF_NULL, body = BUF_NULL;
        rw1_one(&m, "up", 1, T);
        assert_int_equal(post_message(c, "/api/v1/write?full=1", TYPE_1, &m, &body), 503);
        assert_int_equal(http_client_retry_after(c), 30);
        rw1_one(&m, "up", 1, T);
        assert_int_equal(post_message(c, "/api/v1/write?without=store", TYPE_1, &m, &body), 404);
        assert_int_equal(get(c, "/api/v1/status/tsdb?without=store", &body), 404);
}

static void methods_and_browsers(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = dial();
        CLEANUP(buf_deinit) Buf body = BUF_NULL, answer = BUF_NULL;
        assert_int_equal(get(c, "/api/v1/write", &body), 405);
        assert_int_equal(post(c, "/-/healthy", "text/plain", "", 0, &body), 405);
        assert_int_equal(say("GET /api/v1/write HTTP/1.1\r\nHost: x\r\n\r\n", &answer), 405);
        assert_non_null(strstr(answer.data, "\r\nAllow: POST\r\n"));
        assert_int_equal(say("POST /api/v1/parallax/import HTTP/1.1\r\nHost: x\r\nOrigin: http://evil\r\nContent-Length: 4\r\n\r\na 1\n", &answer), 403);
        assert_int_equal(get(c, "/-/ready", &body), 200); /* without a sensor, as none is wanted */
}

static void import_over_http(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = dial();
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        MonoTime begin = mono_now();
        assert_int_equal(post(c, "/api/v1/parallax/import", "text/plain", "imported 1 1600000000000\n", 25, &body), 200);
        assert_string_equal(body.data, "{\"samples\":1}\n");
        assert_true(mono_since(mono_now(), begin).ns >= MILLISECONDS(45).ns);
        assert_int_equal(post(c, "/api/v1/parallax/import?line=7", "text/plain", "imported x\n", 11, &body), 400);
        assert_string_equal(body.data, "7:10: expected a value, this is not a number\n");
}

static void tsdb_status(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = dial();
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        static const char *const LISTS[] = { "seriesCountByMetricName", "labelValueCountByLabelName", "memoryInBytesByLabelName",
                                             "seriesCountByLabelValuePair" };
        assert_int_equal(get(c, "/api/v1/status/tsdb?limit=2", &body), 200);
        json_t *root = json_loadb(body.data, body.len, 0, NULL);
        assert_non_null(root);
        assert_string_equal(json_string_value(json_object_get(root, "status")), "success");
        json_t *data = json_object_get(root, "data"), *head = json_object_get(data, "headStats");
        assert_true(json_integer_value(json_object_get(head, "numSeries")) == 7 && json_integer_value(json_object_get(head, "numLabelPairs")) == 33);
        assert_true(json_integer_value(json_object_get(head, "minTime")) == 1000 && json_integer_value(json_object_get(head, "maxTime")) == 2000);
        for (size_t i = 0; i < ARRAY_LEN(LISTS); i++) {
                json_t *list = json_object_get(data, LISTS[i]), *second = json_array_get(list, 1);
                assert_int_equal(json_array_size(list), 2);
                assert_int_equal(json_integer_value(json_object_get(second, "value")), 10 * i + 1);
                assert_true(json_is_string(json_object_get(second, "name")));
        }
        json_decref(root);
        assert_int_equal(get(c, "/api/v1/status/tsdb?limit=0", &body), 400);
}

/* More wait than there is room for; then a client that goes away; then the end with one waiting. */
static void queue_is_bounded(void **state) {
        (void)state;
        int fds[40], full = 0, good = 0;
        static const char TEXT[] = "POST /api/v1/parallax/import HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 18\r\n\r\nq 1 1700000000000\n";
        struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)child.port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
                fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
                assert_int_equal(connect(fds[i], (struct sockaddr *)&sa, sizeof sa), 0);
                (void)!send(fds[i], TEXT, sizeof TEXT - 1, MSG_NOSIGNAL);
        }
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
                char answer[16] = "";
                if (i % 5 != 0) {
                        assert_true(recv(fds[i], answer, 12, MSG_WAITALL) == 12);
                        full += atoi(answer + 9) == 503;
                        good += atoi(answer + 9) == 200;
                }
                (void)close(fds[i]);
        }
        assert_true(full > 0 && good > 0 && full + good == 32);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answered_when_durable), cmocka_unit_test(b1_over_http),      cmocka_unit_test(b5_b6_negotiation),
                cmocka_unit_test(written_headers),       cmocka_unit_test(b10_lengths),       cmocka_unit_test(b18_over_http),
                cmocka_unit_test(no_space_no_store),     cmocka_unit_test(methods_and_browsers),
                cmocka_unit_test(import_over_http),      cmocka_unit_test(tsdb_status),       cmocka_unit_test(queue_is_bounded),
        };
        return cmocka_run_group_tests_name("write", tests, start_server, stop_server);
}
