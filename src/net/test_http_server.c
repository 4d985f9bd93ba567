/* A server with a real loop in a child process; the tests are clients with raw sockets. */
#include "base/scan.h"
#include "net/gzip.h"
#include "net/http_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <libdeflate.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#define LARGE 200000

typedef struct Server {
        Loop *loop;
        HttpListener *first, *second, *local;
        HttpHeld *held[8]; /* answered by the timer, all at once */
        size_t n_held;
        HttpHeld *watched;
        unsigned gone;
        LoopTimer *timer;
} Server;

#define POST_MAX 100000u

/* What the parent knows of it. */
static struct Child {
        pid_t pid;
        int port, other_port;
        char dir[64], path[96];
} child;

/* ---- the server ---- */

static size_t post_limit(void *context, const HttpRequest *request) {
        (void)context;
        assert(http_header(request, "host"));
        return strncmp(request->path, "/post", 5) == 0 ? POST_MAX : strcmp(request->path, "/bulk") == 0 ? 8u << 20 : 0;
}

static void answer_held(void *context) {
        Server *s = context;
        for (size_t i = 0; i < s->n_held; i++) {
                HttpResponse r = { .status = 200, .body = BUF_NULL };
                buf_printf(&r.body, "held %zu", i);
                http_add_number(&r, "X-Number", UINT64_MAX);
                s->held[i] = http_held_answer(s->held[i], &r);
        }
        s->n_held = 0;
}

/* What is posted: told back; or held until the timer, or for ever. */
static void handle_post(Server *s, const HttpRequest *request, HttpResponse *response) {
        if (strcmp(request->path, "/post/never") == 0 && s->n_held < ARRAY_LEN(s->held)) {
                s->held[s->n_held] = http_hold(request);
                s->n_held += s->held[s->n_held] != NULL;
                return;
        }
        if (strcmp(request->path, "/post/held") == 0 && s->n_held < ARRAY_LEN(s->held)) {
                s->held[s->n_held] = http_hold(request);
                s->n_held += s->held[s->n_held] != NULL;
                loop_timer_again(s->timer, MILLISECONDS(100), (Duration){ 0 });
                return;
        }
        if (strcmp(request->path, "/post/at-once") == 0) {
                HttpHeld *h = http_hold(request);
                HttpResponse r = { .status = 202, .body = BUF_NULL };
                buf_put_str(&r.body, "at once");
                (void)http_held_answer(h, &r);
                return;
        }
        const char *type = http_header(request, "content-type");
        uint64_t sum = 0;
        for (size_t i = 0; i < request->body_len; i++)
                sum += request->body[i];
        http_add_number(response, "Retry-After", 17);
        buf_printf(&response->body, "%s %zu %lu %s", request->method, request->body_len, (unsigned long)sum,
                   type ? type : "(none)");
}

static void on_gone(void *context) {
        Server *s = context;
        HttpResponse nobody = { .status = 200 };
        s->watched = http_held_answer(s->watched, &nobody);
        s->gone++;
}

/* Everything that came as a parameter, in its order. */
static void put_params(const HttpRequest *request, Buf *out) {
        buf_printf(out, "%s from %s:", request->method, request->peer);
        for (size_t i = 0; i < request->n_params; i++)
                buf_printf(out, " %s=%s", request->params[i].name, request->params[i].value);
}

static void handle(void *context, const HttpRequest *request, HttpResponse *response) {
        Server *s = context;
        const HttpServerStats *stats = http_listener_stats(s->first);
        if (strstr(request->path, "/params")) {
                put_params(request, &response->body);
                response->cors = true;
        } else if (strcmp(request->path, "/watched") == 0) {
                s->watched = http_hold(request);
                if (s->watched)
                        http_held_watch(s->watched, SECONDS(strcmp(http_query(request, "wait"), "long") == 0 ? 60 : 1),
                                        on_gone, s);
        } else if (strcmp(request->path, "/gone") == 0) {
                buf_printf(&response->body, "%u", s->gone);
        } else if (strcmp(request->path, "/packed") == 0) {
                response->final = true;
                response->coding = HTTP_GZIP;
                for (int i = 0; i < 3000; i++)
                        buf_put_char(&response->body, 'p');
        } else if (strcmp(request->method, "POST") == 0)
                handle_post(s, request, response);
        else if (strcmp(request->path, "/small") == 0) {
                buf_printf(&response->body, "%s local=%d accept=%s q=%s", request->method, request->local,
                           request->accept, http_query(request, "q") ? http_query(request, "q") : "(none)");
        } else if (strcmp(request->path, "/large") == 0) {
                response->content_type = "text/plain; version=0.0.4";
                for (int i = 0; i < LARGE / 10; i++)
                        buf_printf(&response->body, "line %04d\n", i % 10000);
        } else if (strcmp(request->path, "/huge") == 0) {
                CLEANUP_FREE char *zeros = calloc(1, 1 << 20);
                for (int i = 0; i < 65; i++)
                        buf_put(&response->body, zeros, 1 << 20);
        } else if (strcmp(request->path, "/empty") == 0) {
                response->status = 204;
        } else if (strcmp(request->path, "/stats") == 0) {
                buf_printf(&response->body, "%lu %lu", (unsigned long)stats->refused,
                           (unsigned long)stats->by_status[4]);
        } else if (strcmp(request->path, "/teapot") == 0) {
                response->status = 418;
                response->extra_name = "X-Kind";
                response->extra_value = "oolong";
        } else {
                response->status = 404;
                buf_put_str(&response->body, "no such page\n");
        }
}

static void on_term(void *context, int signo) {
        (void)signo;
        loop_stop(((Server *)context)->loop);
}

static int serve(int ports) {
        Server s = { 0 };
        LoopSignal *term;
        if (loop_new(&s.loop) < 0 || loop_signal(s.loop, SIGTERM, on_term, &s, &term) < 0 ||
            http_listen(s.loop, "127.0.0.1:0", handle, &s, &s.first) < 0 ||
            http_listen(s.loop, "127.0.0.1:0", handle, &s, &s.second) < 0 ||
            http_listen(s.loop, child.path, handle, &s, &s.local) < 0 ||
            loop_timer(s.loop, SECONDS(3600), (Duration){ 0 }, answer_held, &s, &s.timer) < 0)
                return 2;
        http_listener_accept(s.second, post_limit);
        if (http_listener_cors(s.second, "*") < 0)
                return 2;
        int out[2] = { http_listener_port(s.first), http_listener_port(s.second) };
        if (write(ports, out, sizeof out) != sizeof out || loop_run(s.loop) < 0)
                return 3;
        s.first = http_listener_close(s.first);
        s.second = http_listener_close(s.second);
        s.local = http_listener_close(s.local);
        answer_held(&s); /* nobody is there any more */
        s.loop = loop_free(s.loop);
        return 0;
}

static int start_server(void **state) {
        (void)state;
        int ports[2], got[2];
        (void)snprintf(child.dir, sizeof child.dir, "/tmp/test-http-XXXXXX");
        if (!mkdtemp(child.dir) || pipe(ports) < 0)
                return -1;
        (void)snprintf(child.path, sizeof child.path, "%s/api.sock", child.dir);
        child.pid = fork();
        if (child.pid == 0)
                exit(serve(ports[1])); /* exit(), so that the leak check runs */
        (void)close(ports[1]);
        ssize_t n = read(ports[0], got, sizeof got);
        (void)close(ports[0]);
        child.port = got[0];
        child.other_port = got[1];
        return n == sizeof got ? 0 : -1;
}

static int stop_server(void **state) {
        (void)state;
        int status = -1;
        (void)kill(child.pid, SIGTERM);
        (void)waitpid(child.pid, &status, 0);
        if (access(child.path, F_OK) == 0) /* it removes its file */
                return -1;
        (void)rmdir(child.dir);
        return status == 0 ? 0 : -1;
}

/* ---- the client ---- */

/* Connects from 127.0.0.<from>; every wait is bounded. */
static int dial_from(int port, unsigned from) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct timeval patience = { .tv_sec = 20 };
        struct sockaddr_in source = { .sin_family = AF_INET, .sin_addr = { htonl(0x7F000000 | from) } };
        struct sockaddr_in sa = { .sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = { htonl(INADDR_LOOPBACK) } };
        assert_true(fd >= 0);
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        assert_int_equal(bind(fd, (struct sockaddr *)&source, sizeof source), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
        return fd;
}

static int dial(void) {
        return dial_from(child.port, 1);
}

static int dial_unix(const char *path) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        struct timeval patience = { .tv_sec = 20 };
        (void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
        return fd;
}

static void say(int fd, const char *text) {
        size_t n = strlen(text);
        assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* What comes until the server closes or fails. */
static void read_all(int fd, Buf *out) {
        for (;;) {
                char *at = buf_reserve(out, 65536);
                ssize_t n = recv(fd, at, 65536, 0);
                if (n <= 0)
                        return;
                out->len += (size_t)n;
        }
}

typedef struct Answer {
        int status;
        char head[4096];
        Buf body;
} Answer;

static void answer_deinit(Answer *a) {
        buf_deinit(&a->body);
}

static bool head_has(const Answer *a, const char *line) {
        return strcasestr(a->head, line) != NULL;
}

static size_t content_length(const Answer *a) {
        const char *at = strcasestr(a->head, "\r\nContent-Length: ");
        return at ? (size_t)atol(at + 18) : 0;
}

/* One answer from a connection that stays open. */
static void read_answer(int fd, bool has_body, Answer *ret) {
        size_t n = 0;
        *ret = (Answer){ 0 };
        while (n < 4 || memcmp(ret->head + n - 4, "\r\n\r\n", 4) != 0) {
                assert_true(n + 1 < sizeof ret->head);
                if (recv(fd, ret->head + n, 1, 0) != 1)
                        fail_msg("the server closed after \"%s\"", ret->head);
                n++;
        }
        ret->status = atoi(ret->head + 9);
        for (size_t left = has_body ? content_length(ret) : 0; left > 0;) {
                char *at = buf_reserve(&ret->body, left);
                ssize_t got = recv(fd, at, left, 0);
                assert_true(got > 0);
                ret->body.len += (size_t)got;
                left -= (size_t)got;
        }
}

static void get(int fd, const char *path, const char *headers, Answer *ret) {
        CLEANUP(buf_deinit) Buf request = BUF_NULL;
        buf_printf(&request, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n", path, headers);
        say(fd, buf_cstr(&request));
        read_answer(fd, true, ret);
}

static bool body_is(Answer *a, const char *text) {
        return strcmp(buf_cstr(&a->body), text) == 0;
}

#define GET(fd, path, headers, name)              \
        CLEANUP(answer_deinit) Answer name = { 0 }; \
        get(fd, path, headers, &name)

static void server_is_well(void) {
        CLEANUP_FD int fd = dial_from(child.port, 99);
        GET(fd, "/small", "", a);
        assert_int_equal(a.status, 200);
}

/* ---- tests ---- */

static void requests_on_one_connection(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial();
        for (int i = 0; i < 50; i++) {
                GET(fd, "/small?q=a%20b", "Accept: text/x\r\n", a);
                assert_int_equal(a.status, 200);
                assert_true(body_is(&a, "GET local=1 accept=text/x q=a b"));
                assert_true(head_has(&a, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
                assert_true(head_has(&a, "\r\nX-Content-Type-Options: nosniff\r\n"));
        }
        GET(fd, "/small", "", plain);
        assert_true(body_is(&plain, "GET local=1 accept= q=(none)"));
        GET(fd, "/nothing", "", missing);
        assert_true(missing.status == 404 && body_is(&missing, "no such page\n"));
        GET(fd, "/teapot", "", tea);
        assert_true(tea.status == 418 && tea.body.len == 0 && head_has(&tea, "\r\nX-Kind: oolong\r\n"));
        GET(fd, "/empty", "", empty);
        assert_int_equal(empty.status, 204);
}

/* Two requests in one packet are answered one after the other. */
static void pipelined_requests(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial();
        say(fd, "GET /small?q=1 HTTP/1.1\r\nHost: x\r\n\r\nGET /small?q=2 HTTP/1.1\r\nHost: x\r\n\r\n");
        CLEANUP(answer_deinit) Answer a = { 0 }, b = { 0 };
        read_answer(fd, true, &a);
        read_answer(fd, true, &b);
        assert_true(body_is(&a, "GET local=1 accept= q=1") && body_is(&b, "GET local=1 accept= q=2"));
}

static void large_bodies(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial();
        GET(fd, "/large", "", plain);
        assert_int_equal(plain.body.len, LARGE);
        assert_false(head_has(&plain, "Content-Encoding"));
        assert_true(head_has(&plain, "\r\nVary: Accept-Encoding\r\n"));
        assert_true(head_has(&plain, "\r\nContent-Type: text/plain; version=0.0.4\r\n"));
        GET(fd, "/huge", "", huge); /* over the limit of a body */
        assert_int_equal(huge.status, 500);
}

static void gzip_when_it_is_asked_for(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial();
        GET(fd, "/large", "", plain);
        GET(fd, "/large", "Accept-Encoding: deflate, gzip;q=0.5\r\n", packed);
        assert_true(head_has(&packed, "\r\nContent-Encoding: gzip\r\n") && packed.body.len < LARGE / 4);
        CLEANUP_FREE char *out = malloc(LARGE);
        struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
        assert_int_equal(libdeflate_gzip_decompress(d, packed.body.data, packed.body.len, out, LARGE, NULL),
                         LIBDEFLATE_SUCCESS);
        libdeflate_free_decompressor(d);
        assert_memory_equal(out, plain.body.data, LARGE);
        GET(fd, "/large", "Accept-Encoding: gzip;q=0\r\n", refused);
        assert_true(refused.body.len == LARGE && !head_has(&refused, "Content-Encoding"));
        GET(fd, "/small", "Accept-Encoding: gzip\r\n", small);
        assert_false(head_has(&small, "Content-Encoding"));
}

static void accept_encoding(void **state) {
        (void)state;
        static const char *const YES[] = {
                "gzip",          "GZIP",        "x-gzip",  "deflate, gzip",      "gzip;q=1.0",
                "gzip; q=0.001", "*",           "*;q=0.1", "identity;q=0, gzip", "*;q=0, gzip",
                " ,, gzip ,",    "gzip;level=0"
        };
        static const char *const NO[] = { "",           "identity", "gzip;q=0",    "gzip; q=0.000",
                                          "gzip ;Q=0.", "*;q=0",    "gzip;q=0, *", "*, gzip;q=0",
                                          "gzipp",      "gzi",      ",",           ";",
                                          ";q=1",       "br" };
        for (size_t i = 0; i < ARRAY_LEN(YES); i++)
                if (!gzip_accepted(YES[i]))
                        fail_msg("\"%s\" is a yes", YES[i]);
        for (size_t i = 0; i < ARRAY_LEN(NO); i++)
                if (gzip_accepted(NO[i]))
                        fail_msg("\"%s\" is a no", NO[i]);
        assert_false(gzip_accepted(NULL));
        CLEANUP(buf_deinit) Buf in = BUF_NULL, out = BUF_NULL;
        assert_int_equal(gzip_compress(&in, &out), 0);
        buf_put_str(&in, "x");
        assert_int_equal(gzip_compress(&in, &out), 0); /* not shorter */
}

static void head_has_no_body(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial();
        say(fd, "HEAD /large HTTP/1.1\r\nHost: x\r\n\r\n");
        CLEANUP(answer_deinit) Answer a = { 0 };
        read_answer(fd, false, &a);
        assert_true(a.status == 200 && content_length(&a) == LARGE);
        GET(fd, "/small", "", next); /* which would see a body */
        assert_int_equal(next.status, 200);
}

static void other_methods_are_refused(void **state) {
        (void)state;
        static const char *const REQUESTS[] = {
                "POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
                "PUT /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                "DELETE /small HTTP/1.1\r\nHost: x\r\n\r\n",
                "TRACE /small HTTP/1.1\r\nHost: x\r\n\r\n",
                "get /small HTTP/1.1\r\nHost: x\r\n\r\n",
        };
        for (size_t i = 0; i < ARRAY_LEN(REQUESTS); i++) {
                CLEANUP_FD int fd = dial();
                CLEANUP(answer_deinit) Answer a = { 0 };
                say(fd, REQUESTS[i]);
                read_answer(fd, true, &a);
                assert_int_equal(a.status, 405);
                assert_true(head_has(&a, "\r\nAllow: GET, HEAD\r\n") && head_has(&a, "\r\nConnection: close\r\n"));
                assert_true(body_is(&a, "only GET and HEAD are served here\n"));
                CLEANUP(buf_deinit) Buf rest = BUF_NULL;
                read_all(fd, &rest); /* it closes, and nothing that was a body is a request */
                assert_int_equal(rest.len, 0);
        }
}

/* The answer to what is out of all measure: an error, or a closed connection; and the server goes on. */
static void expect_refusal(const char *head, char fill, size_t n, const char *tail) {
        CLEANUP_FD int fd = dial();
        CLEANUP(buf_deinit) Buf request = BUF_NULL, answer = BUF_NULL;
        buf_put_str(&request, head);
        memset(buf_reserve(&request, n), fill, n);
        request.len += n;
        buf_put_str(&request, tail);
        (void)!send(fd, request.data, request.len, MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR); /* what looks like the beginning of something need not be waited for */
        read_all(fd, &answer);
        if (answer.len)
                assert_true(strncmp(buf_cstr(&answer), "HTTP/1.1 4", 10) == 0);
        server_is_well();
}

static void requests_out_of_measure(void **state) {
        (void)state;
        expect_refusal("GET /", 'a', 64 << 10, " HTTP/1.1\r\nHost: x\r\n\r\n");
        expect_refusal("GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", 'a', 1 << 20, "\r\n\r\n");
        expect_refusal("GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", 'a', 33 << 10, "\r\n\r\n");
        expect_refusal("", '\0', 100, "\r\n\r\n");
        expect_refusal("GET / HTTP/1.1\r\n", 'a', 0, "\r\n"); /* no Host */
        expect_refusal("GET / HTTP/9.9", ' ', 1, "\r\n\r\n");
        expect_refusal("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 'a', 1 << 20, "");
        CLEANUP_FD int fd = dial();
        CLEANUP(buf_deinit) Buf header = BUF_NULL;
        buf_put_str(&header, "X-Long: ");
        for (int i = 0; i < 30 << 10; i++)
                buf_put_char(&header, 'a');
        buf_put_str(&header, "\r\n");
        GET(fd, "/small", buf_cstr(&header), a); /* 30 KiB are fine */
        assert_int_equal(a.status, 200);
}

/* A byte now and then keeps a connection from being idle, but not beyond ten seconds. */
static void slow_headers_are_cut_off(void **state) {
        (void)state;
        CLEANUP_FD int drip = dial(), silent = dial();
        MonoTime begin = mono_now();
        say(drip, "GET /small HTTP/1.1\r\nX: ");
        for (;;) {
                struct pollfd p = { .fd = drip, .events = POLLIN };
                if (poll(&p, 1, 300) > 0)
                        break;
                (void)!send(drip, "a", 1, MSG_NOSIGNAL);
                assert_true(mono_since(mono_now(), begin).ns < SECONDS(18).ns);
        }
        double took = duration_seconds(mono_since(mono_now(), begin));
        assert_true(took > 8 && took < 14);
        CLEANUP(buf_deinit) Buf rest = BUF_NULL;
        read_all(silent, &rest);
        assert_int_equal(rest.len, 0);
        assert_true(duration_seconds(mono_since(mono_now(), begin)) < 16);
}

static bool is_closed(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        char byte;
        return poll(&p, 1, 0) > 0 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

/* From one address 64 stay; from many, 512; the others are closed at once and a Unix client still gets in. */
static void idle_connections_are_bounded(void **state) {
        (void)state;
        static int fds[600];
        for (size_t i = 0; i < ARRAY_LEN(fds); i++)
                fds[i] = dial_from(child.port, i < 100 ? 2 : 3 + (unsigned)i % 20);
        struct timespec moment = { .tv_nsec = 300 * 1000 * 1000 };
        (void)nanosleep(&moment, NULL);
        size_t open_of_one = 0, open = 0;
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
                bool is_open = !is_closed(fds[i]);
                open += is_open;
                open_of_one += is_open && i < 100;
        }
        assert_int_equal(open_of_one, 64);
        assert_int_equal(open, 512);
        CLEANUP_FD int local = dial_unix(child.path);
        GET(local, "/stats", "", a);
        assert_true(a.status == 200 && atoi(buf_cstr(&a.body)) >= 88);
        for (size_t i = 0; i < ARRAY_LEN(fds); i++)
                (void)close(fds[i]);
        (void)nanosleep(&moment, NULL);
        server_is_well();
}

static void two_listeners_and_a_unix_socket(void **state) {
        (void)state;
        CLEANUP_FD int other = dial_from(child.other_port, 1), local = dial_unix(child.path);
        assert_true(child.port != child.other_port);
        GET(other, "/small", "", a);
        assert_int_equal(a.status, 200);
        GET(local, "/small", "", b);
        assert_true(body_is(&b, "GET local=1 accept= q=(none)"));
        struct stat st;
        assert_int_equal(stat(child.path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0660);
}

static void no_handler(void *context, const HttpRequest *request, HttpResponse *response) {
        (void)context;
        (void)request;
        (void)response;
}

static int try_listen(Loop *loop, const char *address) {
        HttpListener *l = NULL;
        int r = http_listen(loop, address, no_handler, NULL, &l);
        (void)http_listener_close(l);
        return r;
}

static void loop_freep(Loop **l) {
        (void)loop_free(*l);
}

static void addresses_in_use(void **state) {
        (void)state;
        CLEANUP(loop_freep) Loop *loop = NULL;
        char address[64];
        assert_int_equal(loop_new(&loop), 0);
        (void)snprintf(address, sizeof address, "127.0.0.1:%d", child.port);
        assert_int_equal(try_listen(loop, address), -EADDRINUSE);
        assert_int_equal(try_listen(loop, child.path), -EADDRINUSE);
        assert_int_equal(try_listen(loop, "192.0.2.1:0"), -EADDRNOTAVAIL);
        assert_int_equal(try_listen(loop, "/nonexistent/dir/x.sock"), -ENOENT);
        assert_int_equal(try_listen(loop, "nonsense"), -EINVAL);
        assert_int_equal(try_listen(loop, "127.0.0.1:0"), 0);
        CLEANUP_FD int still = dial_unix(child.path);
        GET(still, "/small", "", a);
        assert_int_equal(a.status, 200);
}

static void stale_socket_files_are_replaced(void **state) {
        (void)state;
        CLEANUP(loop_freep) Loop *loop = NULL;
        char path[96];
        (void)snprintf(path, sizeof path, "%s/stale.sock", child.dir);
        assert_int_equal(loop_new(&loop), 0);
        {
                CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                struct sockaddr_un sa = { .sun_family = AF_UNIX };
                (void)snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
                assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
        }
        assert_int_equal(access(path, F_OK), 0);
        assert_int_equal(try_listen(loop, path), 0);
        assert_int_equal(access(path, F_OK), -1); /* and it takes its file along */
        /* Another kind of file is not ours to remove. */
        CLEANUP_FILE FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(try_listen(loop, path), -EADDRINUSE);
        assert_int_equal(unlink(path), 0);
}

static void loopback_addresses(void **state) {
        (void)state;
        static const struct {
                const char *address;
                int r;
                bool loopback;
        } CASES[] = {
                { "127.0.0.1:9177", 0, true },
                { "127.9.9.9:0", 0, true },
                { "[::1]:1", 0, true },
                { "[::ffff:127.0.0.1]:1", 0, true },
                { "/run/x.sock", 0, true },
                { "0.0.0.0:9177", 0, false },
                { "[::]:9177", 0, false },
                { "10.0.0.1:65535", 0, false },
                { "128.0.0.1:1", 0, false },
                { "[fe80::1%2]:80", 0, false },
                { "", -EINVAL, false },
                { ":9177", -EINVAL, false },
                { "127.0.0.1", -EINVAL, false },
                { "127.0.0.1:", -EINVAL, false },
                { "127.0.0.1:65536", -EINVAL, false },
                { "127.0.0.1:+1", -EINVAL, false },
                { "127.1:80", -EINVAL, false },
                { "::1:80", -EINVAL, false },
                { "[]:80", -EINVAL, false },
                { "[127.0.0.1]:80", -EINVAL, false },
                { "[::1:80", -EINVAL, false },
                { "localhost:80", -EINVAL, false },
                { "[fe80::1%]:80", -EINVAL, false },
                { "[0000:0000:0000:0000:0000:0000:0000:0001%000000000000000000000000000000000000000000000001]:80",
                  -EINVAL, false },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                bool loopback = false;
                if (http_address_is_loopback(CASES[i].address, &loopback) != CASES[i].r ||
                    loopback != CASES[i].loopback)
                        fail_msg("%s", CASES[i].address);
        }
}

/* A client that goes away in the middle of an answer, and of a request. */
static void clients_that_vanish(void **state) {
        (void)state;
        for (int i = 0; i < 50; i++) {
                CLEANUP_FD int a = dial(), b = dial();
                say(a, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
                say(b, "GET /lar");
                struct linger now = { .l_onoff = 1 };
                (void)setsockopt(a, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        server_is_well();
}

/* ---- POST ---- */

static int dial_post(void) {
        return dial_from(child.other_port, 50);
}

static void post(int fd, const char *path, const char *headers, const char *body, Answer *ret) {
        CLEANUP(buf_deinit) Buf request = BUF_NULL;
        buf_printf(&request, "POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n%s", path, headers, body);
        say(fd, buf_cstr(&request));
        read_answer(fd, true, ret);
}

#define POST(fd, path, headers, text, name)       \
        CLEANUP(answer_deinit) Answer name = { 0 }; \
        post(fd, path, headers, text, &name)

static void post_with_a_body(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial_post();
        for (int i = 0; i < 20; i++) {
                POST(fd, "/post", "Content-Length: 3\r\nContent-Type: a/b\r\n", "abc", a);
                assert_true(a.status == 200 && body_is(&a, "POST 3 294 a/b"));
                assert_true(head_has(&a, "\r\nRetry-After: 17\r\n"));
                GET(fd, "/small", "", b);
                assert_true(b.status == 200);
        }
        POST(fd, "/post", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", chunked);
        assert_true(body_is(&chunked, "POST 5 495 (none)"));
        POST(fd, "/post", "Content-Length: 0\r\n", "", none);
        assert_true(body_is(&none, "POST 0 0 (none)"));
        POST(fd, "/elsewhere", "Content-Length: 0\r\n", "", elsewhere);
        assert_int_equal(elsewhere.status, 405);
}

/* As long as the limit, in many pieces; and over it: refused before it is read, or once it is over. */
static void post_at_the_limit(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf request = BUF_NULL;
        buf_printf(&request, "POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: %u\r\n\r\n", POST_MAX);
        memset(buf_reserve(&request, POST_MAX), 1, POST_MAX);
        request.len += POST_MAX;
        CLEANUP_FD int fd = dial_post();
        assert_int_equal(send(fd, request.data, request.len, MSG_NOSIGNAL), (ssize_t)request.len);
        CLEANUP(answer_deinit) Answer a = { 0 }, c = { 0 };
        read_answer(fd, true, &a);
        assert_true(body_is(&a, "POST 100000 100000 (none)"));
        POST(fd, "/post", "Content-Length: 100001\r\n", "", b);
        assert_true(b.status == 413 && head_has(&b, "\r\nConnection: close\r\n"));
        buf_reset(&request);
        buf_put_str(&request, "POST /post HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1d4c0\r\n");
        memset(buf_reserve(&request, 120000), 1, 120000);
        request.len += 120000;
        buf_put_str(&request, "\r\n0\r\n\r\n");
        CLEANUP_FD int other = dial_post();
        assert_int_equal(send(other, request.data, request.len, MSG_NOSIGNAL), (ssize_t)request.len);
        read_answer(other, true, &c);
        assert_int_equal(c.status, 413);
}

/* B10, B66: what is no length, two opinions. */
static void post_lengths_that_are_none(void **state) {
        (void)state;
        static const struct {
                const char *headers;
                int status;
        } CASES[] = {
                { "", 200 }, /* no body */
                { "Content-Length: -1\r\n", 400 },
                { "Content-Length: 1e3\r\n", 400 },
                { "Content-Length: +3\r\n", 400 },
                { "Content-Length: \r\n", 400 },
                { "Content-Length: 99999999999999999999999\r\n", 413 },
                { "Content-Length: 3\r\nContent-Length: 4\r\n", 400 },
                { "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400 },
                { "Transfer-Encoding: gzip\r\n", 400 },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP_FD int fd = dial_post();
                CLEANUP(buf_deinit) Buf request = BUF_NULL, answer = BUF_NULL;
                buf_printf(&request, "POST /post HTTP/1.1\r\nHost: x\r\n%s\r\n", CASES[i].headers);
                say(fd, buf_cstr(&request));
                (void)shutdown(fd, SHUT_WR);
                read_all(fd, &answer);
                int status = answer.len > 12 ? atoi(buf_cstr(&answer) + 9) : 0;
                if (status != CASES[i].status)
                        fail_msg("%s: %d", CASES[i].headers, status);
        }
        server_is_well();
}

static void held_requests(void **state) {
        (void)state;
        int fds[5];
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
                fds[i] = dial_post();
                say(fds[i], "POST /post/held HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        }
        (void)close(fds[2]); /* gone before its answer */
        fds[2] = -1;
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
                if (fds[i] < 0)
                        continue;
                CLEANUP(answer_deinit) Answer a = { 0 };
                read_answer(fds[i], true, &a);
                assert_true(a.status == 200 && strncmp(buf_cstr(&a.body), "held ", 5) == 0);
                assert_true(head_has(&a, "\r\nX-Number: 18446744073709551615\r\n"));
                POST(fds[i], "/post/at-once", "Content-Length: 0\r\n", "", b); /* the connection goes on */
                assert_true(b.status == 202 && body_is(&b, "at once"));
                (void)close(fds[i]);
        }
        server_is_well();
}

static void parameters_of_url_and_form(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial_post();
        GET(fd, "/params?match[]=a%7Bb%3D%22c%22%7D&match%5B%5D=x+y&flag&e=", "", a);
        assert_true(body_is(&a, "GET from 127.0.0.50: match[]=a{b=\"c\"} match[]=x y flag= e="));
        POST(fd, "/post/params?q=url&only=url",
             "Content-Length: 16\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n",
             "q=1%2B1&match[]=", b);
        assert_true(body_is(&b, "POST from 127.0.0.50: q=1+1 match[]= q=url only=url"));
        POST(fd, "/post/params?q=url", "Content-Length: 3\r\nContent-Type: text/plain\r\n", "q=1", c); /* no form */
        assert_true(body_is(&c, "POST from 127.0.0.50: q=url"));
        POST(fd, "/post/params", "Content-Length: 4\r\nContent-Type: application/x-www-form-urlencoded\r\n", "q=%0", d);
        assert_int_equal(d.status, 400);
}

static void pages_of_other_origins(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial_post(), strict = dial();
        GET(fd, "/params", "Origin: https://example.org\r\n", a);
        assert_true(head_has(&a, "\r\nAccess-Control-Allow-Origin: *\r\n") && head_has(&a, "\r\nVary: Origin\r\n"));
        GET(fd, "/params", "", b);
        assert_false(head_has(&b, "Access-Control"));
        GET(fd, "/small", "Origin: https://example.org\r\n", c); /* did not ask for it */
        assert_false(head_has(&c, "Access-Control"));
        GET(strict, "/params", "Origin: https://example.org\r\n", d);
        assert_false(head_has(&d, "Access-Control") || head_has(&d, "Vary: Origin"));
        say(fd, "OPTIONS /params HTTP/1.1\r\nHost: x\r\nOrigin: https://example.org\r\n\r\n");
        CLEANUP(answer_deinit) Answer e = { 0 };
        read_answer(fd, true, &e);
        assert_true(e.status == 200 && head_has(&e, "\r\nAccess-Control-Allow-Methods: GET, POST, OPTIONS\r\n"));
}

static void wait_gone(const char *count) {
        for (int i = 0; i < 200; i++) {
                CLEANUP_FD int fd = dial();
                GET(fd, "/gone", "", a);
                if (body_is(&a, count))
                        return;
                struct timespec moment = { .tv_nsec = 10 * 1000 * 1000 };
                (void)nanosleep(&moment, NULL);
        }
        fail_msg("nobody noticed that the client went");
}

static void a_held_client_that_goes_is_noticed(void **state) {
        (void)state;
        MonoTime begin = mono_now();
        int fd = dial();
        say(fd, "GET /watched?wait=long HTTP/1.1\r\nHost: x\r\n\r\n");
        struct timespec moment = { .tv_nsec = 50 * 1000 * 1000 };
        (void)nanosleep(&moment, NULL);
        (void)close(fd);
        wait_gone("1");
        assert_true(mono_since(mono_now(), begin).ns < SECONDS(2).ns);
        int local = dial_unix(child.path);
        say(local, "GET /watched?wait=long HTTP/1.1\r\nHost: x\r\n\r\n");
        (void)nanosleep(&moment, NULL);
        (void)close(local);
        wait_gone("2");
        CLEANUP_FD int patient = dial(); /* waits longer than the handler would */
        say(patient, "GET /watched?wait=short HTTP/1.1\r\nHost: x\r\n\r\n");
        wait_gone("3");
        server_is_well();
}

static void bodies_that_are_coded_already(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial();
        GET(fd, "/packed", "Accept-Encoding: gzip, zstd\r\n", a);
        assert_true(a.body.len == 3000 && head_has(&a, "\r\nContent-Encoding: gzip\r\n"));
        GET(fd, "/large", "Accept-Encoding: gzip, zstd\r\n", b);
        assert_true(head_has(&b, "\r\nContent-Encoding: zstd\r\n") && b.body.len < LARGE / 4);
        GET(fd, "/large", "Accept-Encoding: gzip, zstd;q=0\r\n", c);
        assert_true(head_has(&c, "\r\nContent-Encoding: gzip\r\n"));
        GET(fd, "/large", "Accept-Encoding: *\r\n", d);
        assert_true(head_has(&d, "\r\nContent-Encoding: gzip\r\n"));
}

/* E15: a body that comes slower than 1 KiB a second is cut off. */
static void slow_bodies_are_cut_off(void **state) {
        (void)state;
        CLEANUP_FD int fd = dial_post();
        MonoTime begin = mono_now();
        say(fd, "POST /post HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n");
        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                if (poll(&p, 1, 300) > 0)
                        break;
                (void)!send(fd, "abcdefgh", 8, MSG_NOSIGNAL);
                assert_true(mono_since(mono_now(), begin).ns < SECONDS(18).ns);
        }
        double took = duration_seconds(mono_since(mono_now(), begin));
        assert_true(took > 8 && took < 14);
        server_is_well();
}

/* Bodies of all connections share 64 MiB. */
static void bodies_share_a_budget(void **state) {
        (void)state;
        static char chunk[1 << 20];
        int fds[9];
        size_t n = (8u << 20) - 1; /* all but the last byte */
        for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
                fds[i] = dial_post();
                say(fds[i], "POST /bulk HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n");
                for (size_t left = n; left > 0;) {
                        ssize_t sent = send(fds[i], chunk, left < sizeof chunk ? left : sizeof chunk, MSG_NOSIGNAL);
                        assert_true(sent > 0);
                        left -= (size_t)sent;
                }
        }
        int refused = 0;
        for (size_t i = ARRAY_LEN(fds); i-- > 0;) {
                CLEANUP(answer_deinit) Answer a = { 0 };
                say(fds[i], "x");
                read_answer(fds[i], true, &a);
                refused += a.status == 503 && head_has(&a, "\r\nRetry-After: 1\r\n");
                assert_true(a.status == 503 || a.status == 200);
                (void)close(fds[i]);
        }
        assert_in_range(refused, 1, 2);
}

/* Last: what is held when the listener closes is answered then (stop_server() checks how it ends). */
static void held_at_the_end(void **state) {
        (void)state;
        CLEANUP_FD int gone = dial_post();
        say(gone, "POST /post/never HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        CLEANUP_FD int fd = dial_post();
        say(fd, "POST /post/never HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        struct timespec moment = { .tv_nsec = 100 * 1000 * 1000 };
        (void)nanosleep(&moment, NULL);
        (void)kill(child.pid, SIGTERM);
        CLEANUP(answer_deinit) Answer a = { 0 };
        read_answer(fd, true, &a);
        assert_int_equal(a.status, 503);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_on_one_connection),
                cmocka_unit_test(pipelined_requests),
                cmocka_unit_test(large_bodies),
                cmocka_unit_test(gzip_when_it_is_asked_for),
                cmocka_unit_test(accept_encoding),
                cmocka_unit_test(head_has_no_body),
                cmocka_unit_test(other_methods_are_refused),
                cmocka_unit_test(requests_out_of_measure),
                cmocka_unit_test(slow_headers_are_cut_off),
                cmocka_unit_test(idle_connections_are_bounded),
                cmocka_unit_test(two_listeners_and_a_unix_socket),
                cmocka_unit_test(addresses_in_use),
                cmocka_unit_test(stale_socket_files_are_replaced),
                cmocka_unit_test(loopback_addresses),
                cmocka_unit_test(clients_that_vanish),
                cmocka_unit_test(post_with_a_body),
                cmocka_unit_test(post_at_the_limit),
                cmocka_unit_test(post_lengths_that_are_none),
                cmocka_unit_test(held_requests),
                cmocka_unit_test(parameters_of_url_and_form),
                cmocka_unit_test(pages_of_other_origins),
                cmocka_unit_test(a_held_client_that_goes_is_noticed),
                cmocka_unit_test(bodies_that_are_coded_already),
                cmocka_unit_test(slow_bodies_are_cut_off),
                cmocka_unit_test(bodies_share_a_budget),
                cmocka_unit_test(held_at_the_end),
        };
        return cmocka_run_group_tests_name("http_server", tests, start_server, stop_server);
}
