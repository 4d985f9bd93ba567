/* Against a server of a few lines in a child process, one process a connection, so that one that keeps silent holds
 * nobody up. */
#include "net/http_fetch.h"
#include "net/http_fetch_settings.h"
#include "net/gzip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

static pid_t server;
static char base[64];

static const struct {
        const char *request, *answer; /* NULL: no answer */
} ANSWERS[] = {
        { "GET /hello", "HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nX-Some: thing\r\nContent-Length: 5\r\n\r\nhello" },
        { "GET /missing", "HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nnothing\n" },
        { "GET /elsewhere", "HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 4\r\n\r\ngone" },
        { "GET /around", "HTTP/1.1 302 Found\r\nLocation: /around\r\nContent-Length: 0\r\n\r\n" },
        { "GET /file", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n" },
        { "GET /garbage", "220 smtp.example.org ready\r\n" },
        { "GET /nothing", "" },
        { "GET /half", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf" },
        { "GET /chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" },
        { "GET /badgzip", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nhalf" },
        { "POST /busy", "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n" },
        { "GET /silence", NULL },
};

static void send_all(int fd, const void *bytes, size_t n) {
        for (size_t at = 0; at < n;) {
                ssize_t sent = send(fd, (const char *)bytes + at, n - at, MSG_NOSIGNAL);
                if (sent <= 0)
                        return;
                at += (size_t)sent;
        }
}

static void echo(int fd, const char *request, size_t n) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        buf_printf(&out, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
        buf_put(&out, request, n);
        send_all(fd, out.data, out.len);
}

/* A megabyte of one letter in a few hundred bytes. */
static void bomb(int fd) {
        CLEANUP(buf_deinit) Buf plain = BUF_NULL, packed = BUF_NULL, out = BUF_NULL;
        memset(buf_reserve(&plain, 1 << 20), 'x', 1 << 20);
        plain.len = 1 << 20;
        (void)!gzip_compress(&plain, &packed);
        buf_printf(&out, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", packed.len);
        buf_put(&out, packed.data, packed.len);
        send_all(fd, out.data, out.len);
}

static void talk(int fd) {
        char request[8192];
        for (;;) {
                ssize_t n = recv(fd, request, sizeof request - 1, 0);
                const char *answer = "";
                if (n <= 0)
                        return;
                request[n] = '\0';
                if (strstr(request, " /echo"))
                        echo(fd, request, (size_t)n);
                if (strstr(request, " /bomb"))
                        bomb(fd);
                for (size_t i = 0; i < ARRAY_LEN(ANSWERS); i++)
                        if (strncmp(request, ANSWERS[i].request, strlen(ANSWERS[i].request)) == 0)
                                answer = ANSWERS[i].answer;
                if (!answer) {
                        (void)recv(fd, request, sizeof request, 0); /* until the other end closes */
                        return;
                }
                send_all(fd, answer, strlen(answer));
                if (strstr(request, "/half") || strstr(request, "/garbage") || strstr(request, "/nothing"))
                        return;
        }
}

static void serve(int fd) {
        (void)signal(SIGCHLD, SIG_IGN);
        for (;;) {
                CLEANUP_FD int one = accept(fd, NULL, NULL);
                if (one < 0)
                        _exit(0);
                if (fork() == 0) {
                        talk(one);
                        _exit(0);
                }
        }
}

static int start_server(void **state) {
        (void)state;
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t n = sizeof a;
        CLEANUP_FD int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) < 0 || listen(fd, 64) < 0 ||
            getsockname(fd, (struct sockaddr *)&a, &n) < 0)
                return -1;
        (void)snprintf(base, sizeof base, "http://127.0.0.1:%u", ntohs(a.sin_port));
        server = fork();
        if (server == 0) {
                (void)setpgid(0, 0);
                serve(fd);
        }
        return 0;
}

static int stop_server(void **state) {
        (void)state;
        (void)kill(server, SIGKILL);
        (void)waitpid(server, NULL, 0);
        return 0;
}

/* ---- */

typedef struct Rig {
        Loop *loop;
        HttpFetcher *fetcher;
        LoopTimer *guard;
        unsigned wanted;
} Rig;

typedef struct Answer {
        Rig *rig;
        bool called;
        int error, status;
        char why[256], type[64], header[64];
        Buf body;
} Answer;

static void on_guard(void *context) {
        Rig *r = context;
        loop_stop(r->loop);
}

static void rig_init(Rig *r) {
        *r = (Rig){ 0 };
        assert_int_equal(loop_new(&r->loop), 0);
        assert_int_equal(http_fetcher_new(r->loop, &r->fetcher), 0);
        assert_int_equal(loop_timer(r->loop, SECONDS(20), (Duration){ 0 }, on_guard, r, &r->guard), 0);
}

static void rig_deinit(Rig *r) {
        r->fetcher = http_fetcher_free(r->fetcher);
        r->guard = loop_timer_stop(r->guard);
        r->loop = loop_free(r->loop);
}

static void on_done(void *context, HttpFetchResult *result) {
        Answer *a = context;
        const char *header = http_fetch_header(result, "x-some");
        assert_false(a->called);
        a->called = true;
        a->error = result->error;
        a->status = result->status;
        (void)snprintf(a->why, sizeof a->why, "%s", result->why);
        (void)snprintf(a->type, sizeof a->type, "%s", result->content_type);
        (void)snprintf(a->header, sizeof a->header, "%s", header ? header : "");
        if (!header && (header = http_fetch_header(result, "Retry-After")))
                (void)snprintf(a->header, sizeof a->header, "%s", header);
        a->body = *result->body;
        *result->body = BUF_NULL;
        if (--a->rig->wanted == 0)
                loop_stop(a->rig->loop);
}

static void answer_deinit(Answer *a) {
        buf_deinit(&a->body);
}

static HttpFetch *begin(Rig *rig, Answer *a, HttpFetchRequest r, const char *path) {
        char url[256];
        HttpFetch *fetch = NULL;
        a->rig = rig;
        (void)snprintf(url, sizeof url, "%s%s", base, path);
        if (!r.url)
                r.url = url;
        if (!r.timeout.ns)
                r.timeout = SECONDS(5);
        assert_int_equal(http_fetch(rig->fetcher, &r, on_done, a, &fetch), 0);
        assert_false(a->called);
        rig->wanted++;
        return fetch;
}

static void run(Rig *rig) {
        assert_int_equal(loop_run(rig->loop), 0);
        assert_int_equal(rig->wanted, 0);
}

static void one(HttpFetchRequest r, const char *path, Answer *a) {
        CLEANUP(rig_deinit) Rig rig;
        rig_init(&rig);
        *a = (Answer){ 0 };
        (void)begin(&rig, a, r, path);
        run(&rig);
}

static void answers(void **state) {
        (void)state;
        CLEANUP(answer_deinit) Answer a;
        one((HttpFetchRequest){ 0 }, "/hello", &a);
        assert_int_equal(a.error, 0);
        assert_int_equal(a.status, 200);
        assert_string_equal(buf_cstr(&a.body), "hello");
        assert_string_equal(a.type, "text/x");
        assert_string_equal(a.header, "thing");
        answer_deinit(&a);
        one((HttpFetchRequest){ 0 }, "/missing", &a);
        assert_int_equal(a.status, 404);
        answer_deinit(&a);
        one((HttpFetchRequest){ 0 }, "/chunks", &a);
        assert_string_equal(buf_cstr(&a.body), "abcde");
        answer_deinit(&a);
        one((HttpFetchRequest){ .body = "x=1", .body_len = 3 }, "/busy", &a);
        assert_int_equal(a.status, 429);
        assert_string_equal(a.header, "7");
}

static void what_is_sent(void **state) {
        (void)state;
        CLEANUP(answer_deinit) Answer a;
        static const char *const HEADERS[] = { "Accept: text/plain", "X-Own: 1" };
        char *more[] = { (char *)(uintptr_t)"x-own: 2", (char *)(uintptr_t)"X-More: 3" };
        HttpFetchOptions o =
                { .username = (char *)(uintptr_t)"user", .password = (char *)(uintptr_t)"pass", .headers = more,
                  .n_headers = 2 };
        one((HttpFetchRequest){ .headers = HEADERS, .n_headers = 2, .options = &o, .body = "a=b", .body_len = 3 },
            "/echo", &a);
        const char *sent = buf_cstr(&a.body);
        assert_non_null(strstr(sent, "POST /echo HTTP/1.1\r\n"));
        assert_non_null(strstr(sent, "Accept: text/plain\r\n"));
        assert_non_null(strstr(sent, "X-Own: 1\r\n"));
        assert_null(strstr(sent, "x-own: 2\r\n"));
        assert_non_null(strstr(sent, "X-More: 3\r\n"));
        assert_non_null(strstr(sent, "Authorization: Basic dXNlcjpwYXNz\r\n"));
        assert_non_null(strstr(sent, "Accept-Encoding: gzip\r\n"));
        assert_null(strstr(sent, "Expect"));
        assert_non_null(strstr(sent, "\r\n\r\na=b"));
        answer_deinit(&a);
        HttpFetchOptions bearer = { .credentials = (char *)(uintptr_t)"secret" };
        one((HttpFetchRequest){ .options = &bearer, .identity = true }, "/echo", &a);
        sent = buf_cstr(&a.body);
        assert_non_null(strstr(sent, "GET /echo "));
        assert_non_null(strstr(sent, "Authorization: Bearer secret\r\n"));
        assert_null(strstr(sent, "Accept-Encoding"));
}

static void redirects(void **state) {
        (void)state;
        CLEANUP(answer_deinit) Answer a;
        HttpFetchOptions stay = { 0 };
        one((HttpFetchRequest){ 0 }, "/elsewhere", &a);
        assert_int_equal(a.status, 200);
        assert_string_equal(buf_cstr(&a.body), "hello");
        answer_deinit(&a);
        one((HttpFetchRequest){ .options = &stay }, "/elsewhere", &a);
        assert_int_equal(a.status, 302);
        answer_deinit(&a);
        one((HttpFetchRequest){ 0 }, "/around", &a);
        assert_int_equal(a.error, -ELOOP);
        answer_deinit(&a);
        one((HttpFetchRequest){ 0 }, "/file", &a);
        assert_int_not_equal(a.error, 0);
}

static void failures(void **state) {
        (void)state;
        CLEANUP(answer_deinit) Answer a = { 0 };
        HttpFetchOptions o = { .credentials_file = (char *)(uintptr_t)"/nonexistent/secret" };
        static const struct {
                const char *url, *path;
                int error;
        } CASES[] = {
                { NULL, "/garbage", -EPROTO },
                { NULL, "/nothing", -EPROTO },
                { NULL, "/half", -EPROTO },
                { NULL, "/badgzip", -EPROTO },
                { "http://127.0.0.1:1/", NULL, -ECONNREFUSED },
                { "http://name.invalid/", NULL, -ENXIO },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                one((HttpFetchRequest){ .url = CASES[i].url }, CASES[i].path ? CASES[i].path : "", &a);
                assert_int_equal(a.error, CASES[i].error);
                assert_true(strlen(a.why) > 0);
                answer_deinit(&a);
        }
        one((HttpFetchRequest){ .options = &o }, "/hello", &a);
        assert_int_equal(a.error, -EKEYREJECTED);
        assert_string_equal(a.why, "cannot read /nonexistent/secret: No such file or directory");
        answer_deinit(&a);
        one((HttpFetchRequest){ .timeout = MILLISECONDS(150) }, "/silence", &a);
        assert_int_equal(a.error, -ETIMEDOUT);
        assert_string_equal(a.why, "no answer within 0.15 s");
}

static void bodies_are_bounded(void **state) {
        (void)state;
        CLEANUP(answer_deinit) Answer a;
        one((HttpFetchRequest){ .body_limit = 4 }, "/hello", &a);
        assert_int_equal(a.error, -EFBIG);
        assert_string_equal(a.why, "the body is over its limit of 4 bytes");
        answer_deinit(&a);
        one((HttpFetchRequest){ .body_limit = 5 }, "/hello", &a);
        assert_int_equal(a.error, 0);
        answer_deinit(&a);
        one((HttpFetchRequest){ .body_limit = 100000 }, "/bomb", &a);
        assert_int_equal(a.error, -EFBIG);
        answer_deinit(&a);
        one((HttpFetchRequest){ 0 }, "/bomb", &a);
        assert_int_equal(a.error, 0);
        assert_int_equal(a.body.len, 1 << 20);
        answer_deinit(&a);
        one((HttpFetchRequest){ .no_body = true }, "/bomb", &a);
        assert_int_equal(a.error, 0);
        assert_int_equal(a.body.len, 0);
}

/* Thirty that say nothing and thirty that do: the latter are done while the former still wait. */
static void none_waits_for_another(void **state) {
        (void)state;
        CLEANUP(rig_deinit) Rig rig;
        Answer slow[30] = { 0 }, quick[30] = { 0 };
        HttpFetch *fetches[30];
        rig_init(&rig);
        for (size_t i = 0; i < 30; i++)
                fetches[i] = begin(&rig, &slow[i], (HttpFetchRequest){ 0 }, "/silence");
        for (size_t i = 0; i < 30; i++)
                (void)begin(&rig, &quick[i], (HttpFetchRequest){ 0 }, "/hello");
        rig.wanted = 30;
        run(&rig);
        assert_int_equal(http_fetcher_stats(rig.fetcher)->under_way, 30);
        for (size_t i = 0; i < 30; i++) {
                assert_true(quick[i].called && !slow[i].called);
                buf_deinit(&quick[i].body);
                if (i < 15)
                        fetches[i] = http_fetch_cancel(fetches[i]);
        }
        assert_int_equal(http_fetcher_stats(rig.fetcher)->under_way, 15);
        /* One connection serves one request after another. */
        uint64_t before = http_fetcher_stats(rig.fetcher)->connections;
        Answer again = { 0 };
        (void)begin(&rig, &again, (HttpFetchRequest){ 0 }, "/hello");
        run(&rig);
        buf_deinit(&again.body);
        assert_int_equal(http_fetcher_stats(rig.fetcher)->connections, before);
        assert_int_equal(http_fetcher_stats(rig.fetcher)->bytes_held, 0);
}

static void what_is_no_request(void **state) {
        (void)state;
        CLEANUP(rig_deinit) Rig rig;
        HttpFetch *fetch = NULL;
        static const char *const BAD_HEADER[] = { "X: a\r\nY: b" };
        static const char *const URLS[] =
                { "", "ftp://host/", "file:///etc/passwd", "http://a b/", "host:9100", "http://a/\n" };
        rig_init(&rig);
        for (size_t i = 0; i < ARRAY_LEN(URLS); i++)
                assert_int_equal(http_fetch(rig.fetcher, &(HttpFetchRequest){ .url = URLS[i], .timeout = SECONDS(1) },
                                            on_done, NULL, &fetch), -EINVAL);
        HttpFetchRequest r =
                { .url = "http://127.0.0.1/", .timeout = SECONDS(1), .headers = BAD_HEADER, .n_headers = 1 };
        assert_int_equal(http_fetch(rig.fetcher, &r, on_done, NULL, &fetch), -EINVAL);
        assert_null(fetch);
}

typedef struct Owner {
        char *url;
        HttpFetchOptions options;
} Owner;

static void errors_deinit(YamlErrors *e) {
        buf_deinit(&e->text);
}

static void settings(void **state) {
        (void)state;
        static const YamlField FIELDS[] =
                { { "url", YAML_TEXT, offsetof(Owner, url), 1, 100 }, HTTP_FETCH_FIELDS(Owner, options) };
        static const struct {
                const char *yaml, *error;
        } CASES[] = {
                { "basic_auth: {username: u, password_file: pw}\n"
                  "tls_config: {ca_file: /ca, insecure_skip_verify: true, min_version: TLS13}\n"
                  "http_headers: {X-A: {values: [b]}}\nfollow_redirects: false\n", "" },
                { "authorization: {credentials: c}\nbasic_auth: {username: u}",
                  "f:1:1: t: found basic_auth and authorization, expected one of them" },
                { "authorization: {type: Basic}",
                  "f:1:16: t.authorization.type: found \"basic\", expected the key basic_auth instead" },
                { "basic_auth: {password: p}",
                  "f:1:13: t.basic_auth: found no username, expected username or username_file" },
                { "tls_config: {cert_file: c}",
                  "f:1:13: t.tls_config: found one of cert_file and key_file, expected both or none" },
                { "tls_config: {min_version: TLS9}",
                  "f:1:27: t.tls_config.min_version: found \"TLS9\", expected one of TLS10, TLS11, TLS12, TLS13" },
                { "oauth2: {}", "f:1:1: t.oauth2 is not supported; expected basic_auth or authorization" },
                { "http_headers: {Host: {values: [b]}}",
                  "f:1:16: t.http_headers: found \"Host\", expected a header that is free to set" },
                { "basic_auht: {}", "f:1:1: unknown key \"basic_auht\", did you mean \"basic_auth\"?" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(errors_deinit) YamlErrors e = { .file = "f" };
                CLEANUP(yaml_node_freep) YamlNode *root = yaml_tree(CASES[i].yaml, strlen(CASES[i].yaml), &e);
                Owner o = { .options = HTTP_FETCH_OPTIONS_DEFAULT }, other = { 0 };
                yaml_bind(root, "t", FIELDS, ARRAY_LEN(FIELDS), &o, &e);
                http_fetch_settings_check(&o.options, "/dir", root, "t", &e);
                assert_string_equal(buf_cstr(&e.text), CASES[i].error);
                assert_true(http_fetch_options_equal(&o.options, &o.options));
                assert_false(http_fetch_options_equal(&o.options, &other.options));
                if (i == 0) {
                        assert_string_equal(o.options.password_file, "/dir/pw");
                        assert_string_equal(o.options.ca_file, "/ca");
                        assert_string_equal(o.options.headers[0], "X-A: b");
                        assert_true(o.options.insecure_skip_verify && !o.options.follow_redirects);
                }
                http_fetch_options_deinit(&o.options);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers),
                cmocka_unit_test(what_is_sent),
                cmocka_unit_test(redirects),
                cmocka_unit_test(failures),
                cmocka_unit_test(bodies_are_bounded),
                cmocka_unit_test(none_waits_for_another),
                cmocka_unit_test(what_is_no_request),
                cmocka_unit_test(settings),
        };
        return cmocka_run_group_tests(tests, start_server, stop_server);
}
