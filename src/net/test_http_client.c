/* Against a server of a few lines in a child process, which answers whatever its table says: so that also
 * what no good server would send is covered. */
#include "net/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

static struct Child {
        pid_t pid[2];
        char dir[64], path[96], address[64];
} child;

static const struct {
        const char *request, *answer; /* NULL: no answer */
} ANSWERS[] = {
        { "GET /hello?a=1 ", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" },
        { "GET /missing ", "HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nnothing\n" },
        { "GET /elsewhere ", "HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n" },
        { "GET /garbage ", "220 smtp.example.org ready\r\n" },
        { "GET /nothing ", "" },
        { "GET /half ", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf" },
        { "GET /chunks ", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" },
        { "GET /silence ", NULL },
};

/* One request a connection, but for those that got a good answer. */
static void talk(int fd) {
        char request[4096];
        for (;;) {
                ssize_t n = recv(fd, request, sizeof request - 1, 0);
                if (n <= 0)
                        return;
                request[n] = '\0';
                const char *answer = "";
                for (size_t i = 0; i < ARRAY_LEN(ANSWERS); i++)
                        if (strncmp(request, ANSWERS[i].request, strlen(ANSWERS[i].request)) == 0)
                                answer = ANSWERS[i].answer;
                if (!answer) {
                        (void)sleep(2);
                        return;
                }
                (void)!send(fd, answer, strlen(answer), MSG_NOSIGNAL);
                if (!strstr(answer, "Content-Length: 5\r") && !strstr(answer, "chunked"))
                        return;
        }
}

static void serve(int fd) {
        for (;;) {
                CLEANUP_FD int one = accept(fd, NULL, NULL);
                if (one >= 0)
                        talk(one);
        }
}

static int listening(int family, const void *sa, socklen_t len) {
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return fd >= 0 && bind(fd, sa, len) == 0 && listen(fd, 16) == 0 ? fd : -1;
}

static int start_server(void **state) {
        (void)state;
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        socklen_t len = sizeof in;
        (void)snprintf(child.dir, sizeof child.dir, "/tmp/test-client-XXXXXX");
        if (!mkdtemp(child.dir))
                return -1;
        (void)snprintf(child.path, sizeof child.path, "%s/api.sock", child.dir);
        (void)snprintf(un.sun_path, sizeof un.sun_path, "%s", child.path);
        CLEANUP_FD int tcp = listening(AF_INET, &in, sizeof in);
        CLEANUP_FD int local = listening(AF_UNIX, &un, sizeof un);
        if (tcp < 0 || local < 0 || getsockname(tcp, (struct sockaddr *)&in, &len) < 0)
                return -1;
        (void)snprintf(child.address, sizeof child.address, "http://127.0.0.1:%d", ntohs(in.sin_port));
        for (size_t i = 0; i < ARRAY_LEN(child.pid); i++) {
                child.pid[i] = fork();
                if (child.pid[i] == 0)
                        serve(i ? local : tcp);
                if (child.pid[i] < 0)
                        return -1;
        }
        return 0;
}

static int stop_server(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(child.pid); i++) {
                if (child.pid[i] <= 0)
                        continue;
                (void)kill(child.pid[i], SIGTERM);
                (void)waitpid(child.pid[i], NULL, 0);
        }
        (void)unlink(child.path);
        (void)rmdir(child.dir);
        return 0;
}

static void client_freep(HttpClient **c) {
        (void)http_client_free(*c);
}

static HttpClient *client_of(const char *address, Duration timeout) {
        HttpClient *c = NULL;
        assert_int_equal(http_client_new(address, timeout, &c), 0);
        return c;
}

static void expect(HttpClient *c, const char *path, int status, const char *text) {
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        int got = 0;
        int r = http_client_get(c, path, &body, &got);
        if (r < 0)
                fail_msg("%s: %d, %s", path, r, http_client_error(c));
        assert_int_equal(got, status);
        assert_string_equal(buf_cstr(&body), text);
        assert_string_equal(http_client_error(c), "");
}

static void expect_error(HttpClient *c, const char *path, int error, const char *text) {
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        int status = 42;
        assert_int_equal(http_client_get(c, path, &body, &status), error);
        assert_int_equal(status, 42);
        if (!strstr(http_client_error(c), text))
                fail_msg("\"%s\" is not in \"%s\"", text, http_client_error(c));
}

static void answers_over_tcp_and_unix(void **state) {
        (void)state;
        const char *const addresses[] = { child.address, child.path };
        for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
                CLEANUP(client_freep) HttpClient *c = client_of(addresses[i], SECONDS(5));
                for (int again = 0; again < 3; again++) {
                        expect(c, "/hello?a=1", 200, "hello");
                        expect(c, "/chunks", 200, "abcde");
                }
                expect(c, "/missing", 404, "nothing\n");
                expect(c, "/elsewhere", 302, ""); /* not followed */
        }
}

static void bodies_are_appended_up_to_their_limit(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = client_of(child.address, SECONDS(5));
        CLEANUP(buf_deinit) Buf body = BUF_WITH_LIMIT(9);
        int status;
        buf_put_str(&body, "say ");
        assert_int_equal(http_client_get(c, "/hello?a=1", &body, &status), 0);
        assert_string_equal(buf_cstr(&body), "say hello");
        assert_int_equal(http_client_get(c, "/hello?a=1", &body, &status), -EFBIG);
        assert_non_null(strstr(http_client_error(c), "too large"));
        expect(c, "/hello?a=1", 200, "hello"); /* and goes on */
}

static void servers_that_misbehave(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = client_of(child.address, SECONDS(5));
        expect_error(c, "/garbage", -EPROTO, "HTTP/0.9");
        expect_error(c, "/nothing", -EPROTO, "mpty reply");
        expect_error(c, "/half", -EIO, "remaining to read");
        expect(c, "/hello?a=1", 200, "hello");
}

static void silence_times_out(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *c = client_of(child.path, MILLISECONDS(300));
        MonoTime begin = mono_now();
        expect_error(c, "/silence", -ETIMEDOUT, "did not answer within 0.3 s");
        assert_true(duration_seconds(mono_since(mono_now(), begin)) < 1.5);
}

static void nobody_there(void **state) {
        (void)state;
        CLEANUP(client_freep) HttpClient *missing = client_of("/nonexistent/api.sock", SECONDS(5));
        expect_error(missing, "/", -ENOENT, "cannot connect to /nonexistent/api.sock: No such file or directory");
        CLEANUP(client_freep) HttpClient *closed = client_of("http://127.0.0.1:1", SECONDS(5));
        expect_error(closed, "/", -ECONNREFUSED, "cannot connect to http://127.0.0.1:1: Connection refused");
        CLEANUP(client_freep) HttpClient *unknown = client_of("http://no.such.host.invalid:1", SECONDS(5));
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        int status;
        assert_true(http_client_get(unknown, "/", &body, &status) < 0);
        assert_true(*http_client_error(unknown));
}

static void what_is_no_address(void **state) {
        (void)state;
        static const char *const BAD[] = { "",           "127.0.0.1:9177", "https://127.0.0.1", "file:///etc/passwd",
                                           "http://",    "http:///x",      "http://a/b",        "http://u@h",
                                           "http://a?b", "api.sock" };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                HttpClient *c = NULL;
                if (http_client_new(BAD[i], SECONDS(1), &c) != -EINVAL)
                        fail_msg("\"%s\" was taken", BAD[i]);
        }
        char path[200];
        memset(path, 'a', sizeof path);
        path[0] = '/';
        path[199] = '\0';
        HttpClient *c = NULL;
        assert_int_equal(http_client_new(path, SECONDS(1), &c), -EINVAL);
        c = client_of("http://127.0.0.1:9177/", SECONDS(1));
        assert_null(http_client_free(c));
        assert_null(http_client_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(answers_over_tcp_and_unix),
                cmocka_unit_test(bodies_are_appended_up_to_their_limit),
                cmocka_unit_test(servers_that_misbehave),
                cmocka_unit_test(nobody_there),
                cmocka_unit_test(what_is_no_address),
                cmocka_unit_test(silence_times_out),
        };
        return cmocka_run_group_tests_name("http_client", tests, start_server, stop_server);
}
