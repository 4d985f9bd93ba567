/* parallax import against a server in a child process that knows lines and nothing of metrics. */
#include "cli/cli.h"
#include "cli/import.h"

#include "base/scan.h"
#include "net/http_server.h"
#include "rt/loop.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

typedef struct Server {
        Loop *loop;
        HttpListener *listener;
        unsigned busy; /* so many posts are answered with 503 */
        uint64_t next_line, lines, posts, ends;
        char now[32];
} Server;

static struct Child {
        pid_t pid;
        char url[64];
} child;

static size_t body_limit(void *context, const HttpRequest *request) {
        (void)context, (void)request;
        return 8 << 20;
}

/* Lines are "n VALUE"; "bad" is a wrong line, "dup" one that is not taken. */
static void take_lines(Server *s, const HttpRequest *request, HttpResponse *response) {
        Scan scan = SCAN((const char *)request->body, request->body_len);
        uint64_t line = strtoull(http_query(request, "line"), NULL, 10), taken = 0, dups = 0;
        bool gap = line != s->next_line;
        for (Span l; scan_line(&scan, &l); line++) {
                if (gap || span_is(l, "bad")) {
                        response->status = 400;
                        buf_printf(&response->body, "%llu:1: %s\n", (unsigned long long)line, gap ? "a gap" : "expected\x1b a number");
                        return;
                }
                if (span_is(l, "# EOF")) {
                        s->ends++;
                        line--;
                } else if (span_is(l, "dup")) {
                        dups++;
                } else {
                        taken++;
                }
        }
        s->lines += taken;
        s->next_line = line;
        response->status = dups ? 400 : 200;
        if (dups)
                buf_printf(&response->body, "%llu of %llu samples were not taken\n7: {x}: duplicate\n", (unsigned long long)dups, (unsigned long long)(dups + taken));
        else
                buf_printf(&response->body, "{\"samples\":%llu}\n", (unsigned long long)taken);
}

static void handle(void *context, const HttpRequest *request, HttpResponse *response) {
        Server *s = context;
        const char *now = http_query(request, "now"), *busy = http_query(request, "busy");
        if (strcmp(request->path, "/reset") == 0) {
                *s = (Server){ .loop = s->loop, .listener = s->listener, .next_line = 1, .busy = busy ? (unsigned)atoi(busy) : 0 };
        } else if (strcmp(request->path, "/seen") == 0) {
                buf_printf(&response->body, "%llu %llu %llu", (unsigned long long)s->lines, (unsigned long long)s->posts, (unsigned long long)s->ends);
        } else if (strcmp(request->path, "/api/v1/parallax/import") == 0) {
                if (s->now[0] && strcmp(s->now, now) != 0)
                        response->status = 500; /* one time for all parts */
                else if (s->busy > 0 && s->busy--) {
                        response->status = 503;
                        http_add_number(response, "Retry-After", 1);
                } else
                        take_lines(s, request, response);
                (void)snprintf(s->now, sizeof s->now, "%s", now);
                s->posts++;
        }
}

static void on_term(void *context, int signo) {
        (void)signo;
        loop_stop(((Server *)context)->loop);
}

static int serve(int ports) {
        Server s = { .next_line = 1 };
        LoopSignal *term;
        if (loop_new(&s.loop) < 0 || loop_signal(s.loop, SIGTERM, on_term, &s, &term) < 0 || http_listen(s.loop, "127.0.0.1:0", handle, &s, &s.listener) < 0)
                return 2;
        http_listener_accept(s.listener, body_limit);
        int port = http_listener_port(s.listener);
        if (write(ports, &port, sizeof port) != sizeof port || loop_run(s.loop) < 0)
                return 3;
        s.listener = http_listener_close(s.listener);
        s.loop = loop_free(s.loop);
        return 0;
}

static int start_server(void **state) {
        (void)state;
        int ports[2], port = 0;
        if (pipe(ports) < 0)
                return -1;
        child.pid = fork();
        if (child.pid == 0)
                exit(serve(ports[1]));
        (void)close(ports[1]);
        ssize_t n = read(ports[0], &port, sizeof port);
        (void)close(ports[0]);
        (void)snprintf(child.url, sizeof child.url, "http://127.0.0.1:%d", port);
        return n == sizeof port ? 0 : -1;
}

static int stop_server(void **state) {
        (void)state;
        int status = -1;
        (void)kill(child.pid, SIGTERM);
        (void)waitpid(child.pid, &status, 0);
        return status == 0 ? 0 : -1;
}

static void client_freep(HttpClient **c) {
        *c = http_client_free(*c);
}

static void ask(const char *path, Buf *answer) {
        CLEANUP(client_freep) HttpClient *c = NULL;
        int status;
        assert_int_equal(http_client_new(child.url, SECONDS(10), &c), 0);
        assert_int_equal(http_client_get(c, path, answer, &status), 0);
}

/* Runs the verb over a file of these bytes; returns its exit code, what it said in `said`. */
static int import(const Buf *bytes, const char *format, Buf *said) {
        char file[] = "/tmp/test-import-XXXXXX", out[] = "/tmp/test-import-out-XXXXXX";
        Cli cli = { .url = child.url, .runtime_dir = CLI_RUNTIME_DIR };
        CLEANUP_FD int fd = mkstemp(file), out_fd = mkstemp(out), saved = dup(STDERR_FILENO);
        assert_int_equal(write(fd, bytes->data, bytes->len), (ssize_t)bytes->len);
        char *argv[] = { (char[]){ "import" }, (char[]){ "--format" }, (char *)(uintptr_t)format, file, NULL };
        assert_true(dup2(out_fd, STDERR_FILENO) >= 0);
        int r = verb_import(&cli, 4, argv);
        assert_true(dup2(saved, STDERR_FILENO) >= 0);
        buf_reset(said);
        assert_int_equal(buf_read_file(said, AT_FDCWD, out, 1 << 20), 0);
        (void)buf_cstr(said);
        (void)unlink(file);
        (void)unlink(out);
        return r;
}

static void seen_is(const char *expected) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        ask("/seen", &b);
        assert_string_equal(buf_cstr(&b), expected);
        buf_reset(&b);
        ask("/reset", &b);
}

static void put_lines(Buf *b, int n) {
        for (int i = 0; i < n; i++)
                buf_printf(b, "line %08d\n", i);
}

static void cutting(void **state) {
        (void)state;
        assert_int_equal(import_cut("a\nb\nc", 5), 4);
        assert_int_equal(import_cut("abc", 3), 0);
        assert_int_equal(import_cut(NULL, 0), 0);
        assert_true(import_is_openmetrics("a 1\n# EOF\n", 10) && import_is_openmetrics("# EOF", 5));
        assert_false(import_is_openmetrics("a # EOF\n", 8) || import_is_openmetrics("", 0) || import_is_openmetrics("# EOF\n\n", 7));
}

static void in_chunks(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, said = BUF_NULL;
        put_lines(&b, 700000); /* 9.8 MB */
        assert_int_equal(import(&b, "auto", &said), CLI_OK);
        seen_is("700000 3 0");
        buf_put_str(&b, "# EOF\n");
        assert_int_equal(import(&b, "auto", &said), CLI_OK); /* each part has its mark */
        seen_is("700000 3 3");
        assert_int_equal(import(&(Buf){ .data = (char[]){ "" } }, "text", &said), CLI_OK);
        seen_is("0 1 0");
}

static void errors_name_the_line(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, said = BUF_NULL;
        put_lines(&b, 500000);
        buf_put_str(&b, "bad\n");
        put_lines(&b, 500000);
        assert_int_equal(import(&b, "text", &said), CLI_FAILED);
        assert_non_null(strstr(said.data, ":500001:1: expected\\x1b a number\n"));
        assert_true(strncmp(said.data, "/tmp/test-import-", 17) == 0 && strstr(said.data, "stopped"));
        buf_reset(&said);
        ask("/reset", &said);
        /* Samples that are not taken do not stop it. */
        buf_reset(&b);
        buf_put_str(&b, "dup\n");
        put_lines(&b, 400000);
        assert_int_equal(import(&b, "text", &said), CLI_FAILED);
        assert_true(strncmp(said.data, "parallax: 1 of ", 15) == 0 && strstr(said.data, ":7: {x}: duplicate\n"));
        seen_is("400000 2 0");
}

static void waits_for_a_busy_server(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, said = BUF_NULL;
        ask("/reset?busy=1", &said);
        put_lines(&b, 3);
        assert_int_equal(import(&b, "text", &said), CLI_OK);
        assert_non_null(strstr(said.data, "503"));
        seen_is("3 2 0");
}

static void wrong_use(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, said = BUF_NULL;
        put_lines(&b, 1);
        assert_int_equal(import(&b, "json", &said), CLI_USAGE);
        char *many[] = { (char[]){ "import" }, (char[]){ "a" }, (char[]){ "b" }, NULL };
        char *none[] = { (char[]){ "import" }, (char[]){ "/no/such/file" }, NULL };
        Cli cli = { .url = child.url }, nobody = { .url = "http://127.0.0.1:1" };
        assert_int_equal(verb_import(&cli, 3, many), CLI_USAGE);
        assert_int_equal(verb_import(&cli, 2, none), CLI_FAILED);
        none[1] = (char[]){ "/etc/hostname" };
        assert_int_equal(verb_import(&nobody, 2, none), CLI_FAILED);
        buf_reset(&b);
        char *at = buf_reserve(&b, IMPORT_CHUNK + 1);
        memset(at, 'x', IMPORT_CHUNK + 1);
        b.len = IMPORT_CHUNK + 1;
        assert_int_equal(import(&b, "text", &said), CLI_FAILED);
        assert_non_null(strstr(said.data, ":1: the line is longer"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(cutting),
                cmocka_unit_test(in_chunks),
                cmocka_unit_test(errors_name_the_line),
                cmocka_unit_test(waits_for_a_busy_server),
                cmocka_unit_test(wrong_use),
        };
        return cmocka_run_group_tests_name("import", tests, start_server, stop_server);
}
