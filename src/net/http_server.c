/* libmicrohttpd in its external mode: it has an epoll descriptor, which our loop watches, and a timeout, for
 * which there is one timer. We accept connections ourselves and hand them over, so that what is over the
 * limits is closed and counted here, and we keep a deadline for each connection, since libmicrohttpd's own
 * starts anew with every byte and a client that sends one in a while would never be late.
 *
 * A held request is a suspended connection: the daemon does not look at it. It is tied to an HttpHeld that whoever
 * answers has; either side may go first and leaves the other one unlinked. An answer is kept with the connection, which
 * is then resumed, so that the daemon calls on_request() once more and finds it. */
#include "net/http_server.h"

#include "base/scan.h"
#include "net/http_socket.h"
#include "rt/log.h"

#include <arpa/inet.h>
#include <assert.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CONNECTIONS_MAX 512u
#define CONNECTIONS_PER_ADDRESS 64u
#define HEADER_MAX ((size_t)32 << 10)
/* A request's own share of memory; more than the header, as libmicrohttpd keeps its tables there too. Over
 * 32 KiB it comes from mmap(), so that a connection that sends little costs little. */
#define CONNECTION_MEMORY ((size_t)44 << 10)
#define UPLOAD_MAX ((size_t)64 << 10) /* of a body that means nothing */
#define BODIES_MAX ((size_t)64 << 20) /* of all connections together */
#define BODY_FLOOR 1024               /* bytes a second */
#define BODY_SECONDS 120
#define DRAIN_FACTOR 4                /* so many times its limit a body may be before it is cut instead of answered */
#define BODY_MAX ((size_t)64 << 20)
#define COMPRESS_FROM 1024u
#define HEADER_SECONDS 10
#define IDLE_SECONDS 60
#define RESPONSE_SECONDS 60
#define ANSWER_FLOOR 65536u           /* bytes a second of an answer that is long */
#define ANSWERS_MAX ((size_t)256 << 20)
#define HELD_SECONDS 60
#define CLIENT_GONE 499               /* as others count it; nobody reads it */
#define WATCH_AFTER                                                                                                    \
        MILLISECONDS(10) /* most answers come before it would be worth a look whether the client is still there */
#define CLOSE_PATIENCE MILLISECONDS(500)
#define ACCEPT_BURST 64

typedef struct Connection Connection;

struct HttpHeld {
        Connection *connection; /* NULL: the listener was closed, or the client has gone */
        Duration patience;
        void (*gone)(void *context); /* NULL: nobody wants to know, or was told */
        void *gone_context;
};

/* Where a request is whose answer is not given at once. */
typedef enum Answering { ANSWER_NOW, ANSWER_HELD, ANSWER_READY } Answering;

struct Connection {
        Connection *next, **link; /* link points to what points to us */
        HttpListener *listener;
        struct MHD_Connection *mhd;
        int fd;
        bool busy;                /* a request's header is complete, its answer is not sent */
        uint8_t address[16];      /* of the peer; all zero for a Unix socket */
        char peer[INET6_ADDRSTRLEN];
        size_t uploaded;
        size_t body_limit; /* 0: what comes is not kept */
        Buf body;
        int body_error;    /* status with which it will be refused, when it is complete */
        MonoTime began, deadline;
        Answering answering;
        bool suspended;
        HttpHeld *held;
        LoopFd *hangup;     /* of one that is suspended and watched */
        MonoTime watch_at;  /* when that begins; 0: never */
        HttpResponse later; /* ANSWER_READY */
        size_t answer_bytes;
};

struct HttpListener {
        Loop *loop;
        int fd;
        HttpAddress address;
        struct stat file; /* of the Unix socket, to remove ours only */
        HttpHandler handler;
        void *context;
        struct MHD_Daemon *daemon;
        int epoll_fd; /* the daemon's */
        LoopFd *accept_watch, *daemon_watch;
        LoopTimer *timer;
        bool accepting; /* false while descriptors ran out */
        bool running;   /* inside the daemon */
        bool closing;   /* nothing is held any more */
        HttpBodyLimit body_limit;
        size_t body_bytes, answer_bytes; /* of all connections */
        char *cors; /* origin that may read; NULL: none */
        Connection *connections;
        unsigned n_connections;
        HttpServerStats stats;
};

/* ---- connections ---- */

static void set_deadline(Connection *c, int seconds) {
        c->deadline = mono_add(mono_now(), SECONDS(seconds));
}

static void peer_address(const struct sockaddr *sa, uint8_t ret_address[16]) {
        memset(ret_address, 0, 16);
        if (sa && sa->sa_family == AF_INET) {
                ret_address[10] = ret_address[11] = 0xFF; /* as a mapped v6 address: one form for both */
                memcpy(ret_address + 12, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
        } else if (sa && sa->sa_family == AF_INET6) {
                memcpy(ret_address, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
        }
}

static void peer_text(const uint8_t address[16], char ret_text[INET6_ADDRSTRLEN]) {
        static const uint8_t NONE[16] = { 0 }, MAPPED[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF };
        if (memcmp(address, NONE, sizeof NONE) == 0)
                (void)snprintf(ret_text, INET6_ADDRSTRLEN, "unix");
        else if (memcmp(address, MAPPED, sizeof MAPPED) == 0)
                (void)inet_ntop(AF_INET, address + sizeof MAPPED, ret_text, INET6_ADDRSTRLEN);
        else
                (void)inet_ntop(AF_INET6, address, ret_text, INET6_ADDRSTRLEN);
}

static bool has_room(const HttpListener *l, const struct sockaddr *sa) {
        if (l->n_connections >= CONNECTIONS_MAX)
                return false;
        if (sa->sa_family == AF_UNIX)
                return true;
        uint8_t address[16];
        unsigned same = 0;
        peer_address(sa, address);
        for (const Connection *c = l->connections; c; c = c->next)
                same += memcmp(c->address, address, sizeof address) == 0;
        return same < CONNECTIONS_PER_ADDRESS;
}

static Connection *connection_of(struct MHD_Connection *mhd) {
        const union MHD_ConnectionInfo *i = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        return i ? i->socket_context : NULL;
}

static Connection *connection_new(HttpListener *l, struct MHD_Connection *mhd) {
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        const union MHD_ConnectionInfo *sa = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        Connection *c = calloc(1, sizeof *c);
        if (!c)
                return NULL;
        c->listener = l;
        c->mhd = mhd;
        c->fd = fd ? fd->connect_fd : -1;
        peer_address(sa ? sa->client_addr : NULL, c->address);
        peer_text(c->address, c->peer);
        set_deadline(c, HEADER_SECONDS);
        c->next = l->connections;
        c->link = &l->connections;
        if (c->next)
                c->next->link = &c->next;
        l->connections = c;
        l->n_connections++;
        l->stats.connections++;
        return c;
}

static void drop_body(HttpListener *l, Connection *c) {
        l->body_bytes -= c->body.len;
        buf_deinit(&c->body);
}

/* Nobody waits for a held answer any more: whoever has it is told. */
static void lose_held(Connection *c) {
        HttpHeld *h = c->held;
        if (!h)
                return;
        c->held = NULL;
        h->connection = NULL;
        void (*gone)(void *context) = h->gone;
        h->gone = NULL;
        if (gone)
                gone(h->gone_context); /* may answer: h may be no more */
}

/* What a request left. */
static void connection_reset(HttpListener *l, Connection *c) {
        c->hangup = loop_fd_stop(c->hangup);
        c->watch_at.ns = 0;
        drop_body(l, c);
        buf_deinit(&c->later.body);
        lose_held(c);
        l->answer_bytes -= c->answer_bytes;
        c->answer_bytes = 0;
        c->answering = ANSWER_NOW;
        c->busy = false;
}

static void connection_free(HttpListener *l, Connection *c) {
        connection_reset(l, c);
        *c->link = c->next;
        if (c->next)
                c->next->link = c->link;
        l->n_connections--;
        free(c);
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code) {
        HttpListener *l = context;
        if (code == MHD_CONNECTION_NOTIFY_STARTED)
                *socket_context = connection_new(l, mhd);
        else if (*socket_context)
                connection_free(l, *socket_context);
}

/* Ends those that are too late. The daemon sees an end of file and does the rest. */
static void drop_late(HttpListener *l) {
        MonoTime now = mono_now();
        for (Connection *c = l->connections; c; c = c->next) {
                if (now.ns < c->deadline.ns)
                        continue;
                (void)shutdown(c->fd, SHUT_RDWR);
                set_deadline(c, IDLE_SECONDS); /* not again at once */
        }
}

/* ---- answers ---- */

const char *http_header(const HttpRequest *r, const char *name) {
        return MHD_lookup_connection_value((struct MHD_Connection *)(uintptr_t)r->connection, MHD_HEADER_KIND, name);
}

void http_add_number(HttpResponse *r, const char *name, uint64_t value) {
        assert(r->n_numbers < HTTP_NUMBERS_MAX);
        r->numbers[r->n_numbers++] = (HttpNumberHeader){ name, value };
}

const char *http_query(const HttpRequest *r, const char *name) {
        if (r->n_params > 0)
                return form_find(r->params, r->n_params, name);
        return MHD_lookup_connection_value((struct MHD_Connection *)(uintptr_t)r->connection, MHD_GET_ARGUMENT_KIND,
                                           name);
}

static void on_hangup(void *context, int events);

static void response_deinit(HttpResponse *r) {
        buf_deinit(&r->body);
}

static void mhd_response_free(struct MHD_Response **r) {
        if (*r)
                MHD_destroy_response(*r);
}

/* Replaces whatever the answer was by a line of text. */
static void set_error(HttpResponse *r, int status, const char *text) {
        buf_deinit(&r->body);
        *r = (HttpResponse){ .status = status,
                             .content_type = "text/plain; charset=utf-8",
                             .body = BUF_WITH_LIMIT(BODY_MAX) };
        buf_put_str(&r->body, text);
}

/* The body goes over to libmicrohttpd, which frees it. */
static struct MHD_Response *take_body(Buf *body) {
        if (body->len == 0)
                return MHD_create_response_from_buffer(0, (void *)(uintptr_t)"", MHD_RESPMEM_PERSISTENT);
        struct MHD_Response *r = MHD_create_response_from_buffer_with_free_callback(body->len, body->data, free);
        if (r)
                *body = BUF_NULL;
        return r;
}

static const char *header_of(struct MHD_Connection *mhd, const char *name) {
        return MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, name);
}

/* Compresses the body, if it is worth it. Without memory it goes out as it is. */
static void compress(HttpResponse *r, const char *accept_encoding) {
        HttpCoding c = http_coding_accepted(accept_encoding);
        if (!r->final && r->body.len > COMPRESS_FROM && c != HTTP_IDENTITY && http_coding_apply(c, &r->body))
                r->coding = c;
}

static bool put_header(struct MHD_Response *r, const char *name, const char *value) {
        return MHD_add_response_header(r, name, value) == MHD_YES;
}

static bool put_numbers(struct MHD_Response *mhd, const HttpResponse *r) {
        for (size_t i = 0; i < r->n_numbers; i++) {
                char text[24];
                (void)snprintf(text, sizeof text, "%llu", (unsigned long long)r->numbers[i].value);
                if (!put_header(mhd, r->numbers[i].name, text))
                        return false;
        }
        return true;
}

static bool put_headers(struct MHD_Response *mhd, const HttpResponse *r, bool may_compress) {
        return (!r->content_type || put_header(mhd, "Content-Type", r->content_type)) &&
               (!r->extra_name || put_header(mhd, r->extra_name, r->extra_value)) && put_numbers(mhd, r) &&
               (!may_compress || put_header(mhd, "Vary", "Accept-Encoding")) &&
               (r->coding == HTTP_IDENTITY || put_header(mhd, "Content-Encoding", http_coding_name(r->coding))) &&
               put_header(mhd, "X-Content-Type-Options", "nosniff");
}

/* For pages of another origin that ask (Fetch standard, section 3.3), in the words of Prometheus. */
static bool put_cors(struct MHD_Response *mhd, const HttpListener *l, const char *origin) {
        if (!l->cors || !put_header(mhd, "Vary", "Origin"))
                return !l->cors;
        return !origin ||
               (put_header(mhd, "Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin") &&
                put_header(mhd, "Access-Control-Allow-Methods", "GET, POST, OPTIONS") &&
                put_header(mhd, "Access-Control-Expose-Headers", "Date") &&
                put_header(mhd, "Access-Control-Allow-Origin", l->cors));
}

/* A long answer may take longer. */
static void begin_answer(HttpListener *l, Connection *c, size_t bytes) {
        c->answer_bytes = bytes;
        l->answer_bytes += bytes;
        set_deadline(c, RESPONSE_SECONDS + (int)(bytes / ANSWER_FLOOR));
}

static enum MHD_Result queue(HttpListener *l, struct MHD_Connection *mhd, HttpResponse *r, bool close) {
        if (buf_error(&r->body))
                set_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "the answer is too large, or there is no memory for it\n");
        assert(r->status >= 200 && r->status < 600);
        bool may_compress = r->body.len > COMPRESS_FROM;
        compress(r, header_of(mhd, "Accept-Encoding"));
        begin_answer(l, connection_of(mhd), r->body.len);
        CLEANUP(mhd_response_free) struct MHD_Response *response = take_body(&r->body);
        if (!response || !put_headers(response, r, may_compress) ||
            (r->cors && !put_cors(response, l, header_of(mhd, "Origin"))))
                return MHD_NO;
        if (close && !put_header(response, "Connection", "close"))
                return MHD_NO;
        l->stats.requests++;
        l->stats.by_status[r->status / 100]++;
        return MHD_queue_response(mhd, (unsigned)r->status, response);
}

static enum MHD_Result answer_error(HttpListener *l, struct MHD_Connection *mhd, int status, const char *text) {
        CLEANUP(response_deinit) HttpResponse r = { 0 };
        set_error(&r, status, text);
        if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
                r.extra_name = "Allow";
                r.extra_value = "GET, HEAD";
        } else if (status == MHD_HTTP_SERVICE_UNAVAILABLE) {
                http_add_number(&r, "Retry-After", 1);
        }
        return queue(l, mhd, &r, true);
}

/* ---- requests ---- */

static HttpRequest request_of(const HttpListener *l, struct MHD_Connection *mhd, const Connection *c, const char *url,
                              const char *method) {
        const char *accept = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Accept");
        return (HttpRequest){
                .method = method,
                .path = url,
                .accept = accept ? accept : "",
                .local = l->address.loopback,
                .connection = mhd,
                .body = (const uint8_t *)c->body.data,
                .body_len = c->body.len,
                .peer = c->peer,
        };
}

static enum MHD_Result add_param(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
        (void)kind;
        return form_add(context, name, value ? value : "") == 0 ? MHD_YES : MHD_NO;
}

static bool is_form(const char *content_type) {
        static const char TYPE[] = "application/x-www-form-urlencoded";
        size_t n = sizeof TYPE - 1;
        return content_type && strncasecmp(content_type, TYPE, n) == 0 &&
               (!content_type[n] || strchr("; \t", content_type[n]));
}

/* What is posted comes first, as Go's net/http has it. */
static int read_params(struct MHD_Connection *mhd, const Connection *c, Form *f) {
        int r = c->body.len > 0 && is_form(header_of(mhd, "Content-Type")) ? form_parse(f, c->body.data, c->body.len)
                                                                           : 0;
        if (r == 0)
                (void)MHD_get_connection_values(mhd, MHD_GET_ARGUMENT_KIND, add_param, f);
        return r;
}

static void watch_waiting(HttpListener *l) {
        MonoTime now = mono_now();
        for (Connection *c = l->connections; c; c = c->next) {
                if (c->watch_at.ns == 0 || now.ns < c->watch_at.ns)
                        continue;
                c->watch_at.ns = 0;
                if (loop_fd(l->loop, c->fd, LOOP_HANGUP, on_hangup, c, &c->hangup) < 0)
                        c->hangup = NULL; /* a client that goes is noticed at its deadline then */
        }
}

static void suspend(Connection *c) {
        set_deadline(c, HELD_SECONDS);
        if (c->held->gone) {
                MonoTime now = mono_now();
                c->deadline = mono_add(now, c->held->patience);
                c->watch_at = mono_add(now, WATCH_AFTER);
        }
        c->suspended = true;
        MHD_suspend_connection(c->mhd);
}

/* Calls the handler. The connection is suspended when it holds the request. */
static enum MHD_Result answer(HttpListener *l, struct MHD_Connection *mhd, Connection *c, const char *url,
                              const char *method) {
        CLEANUP(form_deinit) Form form = FORM_NULL;
        int bad = read_params(mhd, c, &form);
        if (bad < 0)
                return answer_error(l, mhd, bad == -ENOMEM ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_BAD_REQUEST,
                                    "the form is malformed or too long\n");
        HttpRequest request = request_of(l, mhd, c, url, method);
        request.params = form.params;
        request.n_params = form.n;
        CLEANUP(response_deinit) HttpResponse r = {
                .status = MHD_HTTP_OK,
                .content_type = "text/plain; charset=utf-8",
                .body = BUF_WITH_LIMIT(BODY_MAX),
        };
        l->handler(l->context, &request, &r);
        drop_body(l, c);
        if (c->answering == ANSWER_NOW)
                return queue(l, mhd, &r, false);
        if (c->answering == ANSWER_HELD) {
                suspend(c);
                return MHD_YES;
        }
        c->answering = ANSWER_NOW; /* held and answered inside the handler */
        return queue(l, mhd, &c->later, false);
}

HttpHeld *http_hold(const HttpRequest *r) {
        Connection *c = connection_of((struct MHD_Connection *)(uintptr_t)r->connection);
        assert(c && c->answering == ANSWER_NOW);
        HttpHeld *h = c->listener->closing ? NULL : calloc(1, sizeof *h);
        if (!h)
                return NULL;
        h->connection = c;
        c->held = h;
        c->answering = ANSWER_HELD;
        return h;
}

static void resume(Connection *c) {
        c->hangup = loop_fd_stop(c->hangup);
        c->watch_at.ns = 0;
        c->suspended = false;
        set_deadline(c, RESPONSE_SECONDS);
        MHD_resume_connection(c->mhd);
        if (c->listener->timer)
                loop_timer_again(c->listener->timer, (Duration){ 0 },
                                 (Duration){ 0 }); /* the daemon looks when it is run */
}

void http_held_watch(HttpHeld *h, Duration patience, void (*gone)(void *context), void *context) {
        assert(h->connection && !h->connection->suspended);
        h->patience = patience;
        h->gone = gone;
        h->gone_context = context;
}

/* The other end of a held connection is gone: the daemon is given something to fail at. */
static void on_hangup(void *context, int events) {
        Connection *c = context;
        (void)events;
        lose_held(c);
        c->answering = ANSWER_READY;
        c->later = (HttpResponse){ .status = CLIENT_GONE };
        resume(c);
}

/* A late answer has its share of memory that all such answers may take. */
static void limit_answers(const HttpListener *l, HttpResponse *r) {
        if (r->body.len <= ANSWERS_MAX - l->answer_bytes)
                return;
        set_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "answers of 256 MiB are on their way to slow readers; try again\n");
        http_add_number(r, "Retry-After", 1);
}

HttpHeld *http_held_answer(HttpHeld *h, HttpResponse *response) {
        Connection *c = h->connection;
        free(h);
        if (!c) {
                buf_deinit(&response->body);
                return NULL;
        }
        c->held = NULL;
        c->answering = ANSWER_READY;
        limit_answers(c->listener, response);
        c->later = *response;
        response->body = BUF_WITH_LIMIT(response->body.limit);
        if (c->suspended)
                resume(c);
        return NULL;
}

typedef struct LengthCount {
        unsigned lengths, encodings;
} LengthCount;

static enum MHD_Result count_length(void *context, enum MHD_ValueKind kind, const char *name, const char *value) {
        (void)kind, (void)value;
        LengthCount *n = context;
        n->lengths += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
        n->encodings += strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
        return MHD_YES;
}

/* The length that a POST declares, or a status with which it is refused; 0 for a good one. */
static int check_post(HttpListener *l, struct MHD_Connection *mhd, Connection *c, const char *url, const char *method,
                      const LengthCount *n) {
        HttpRequest request = request_of(l, mhd, c, url, method);
        c->body_limit = l->body_limit ? l->body_limit(l->context, &request) : 0;
        if (c->body_limit == 0)
                return MHD_HTTP_METHOD_NOT_ALLOWED;
        if (n->lengths == 0 && n->encodings == 0)
                return 0; /* there is no body (RFC 9112 §6.3): "curl -X POST" */
        const char *encoding = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING);
        if (n->lengths == 0)
                return strcasecmp(encoding, "chunked") == 0 ? 0 : MHD_HTTP_BAD_REQUEST;
        const char *text = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
        uint64_t declared;
        if (!span_u64((Span){ text, strlen(text) }, &declared))
                return MHD_HTTP_BAD_REQUEST;
        return declared > c->body_limit ? MHD_HTTP_CONTENT_TOO_LARGE : 0;
}

static const char *refusal(int status) {
        switch (status) {
        case MHD_HTTP_METHOD_NOT_ALLOWED: return "only GET and HEAD are served here\n";
        case MHD_HTTP_CONTENT_TOO_LARGE: return "the body is longer than is accepted here\n";
        case MHD_HTTP_SERVICE_UNAVAILABLE: return "too many bodies are on their way; try again\n";
        default: return "Content-Length is no number, or Transfer-Encoding is not chunked\n";
        }
}

/* The header is complete: refuse what can be refused before anything else is read. */
static enum MHD_Result begin_request(HttpListener *l, struct MHD_Connection *mhd, Connection *c, const char *url,
                                     const char *method) {
        c->busy = true;
        c->uploaded = c->body_limit = 0;
        c->body_error = 0;
        c->began = mono_now();
        set_deadline(c, RESPONSE_SECONDS);
        const union MHD_ConnectionInfo *i = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
        if (i && i->header_size > HEADER_MAX)
                return answer_error(l, mhd, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                                    "the header is longer than 32 KiB\n");
        /* Two opinions on where the body ends: somebody between us and the client may hold the other one. */
        LengthCount n = { 0 };
        (void)MHD_get_connection_values(mhd, MHD_HEADER_KIND, count_length, &n);
        if (n.lengths + n.encodings > 1)
                return answer_error(l, mhd, MHD_HTTP_BAD_REQUEST,
                                    "more than one Content-Length or Transfer-Encoding\n");
        if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0 ||
            strcmp(method, MHD_HTTP_METHOD_OPTIONS) == 0)
                return MHD_YES;
        int status = strcmp(method, MHD_HTTP_METHOD_POST) == 0 ? check_post(l, mhd, c, url, method, &n)
                                                               : MHD_HTTP_METHOD_NOT_ALLOWED;
        if (status)
                return answer_error(l, mhd, status, refusal(status));
        c->body = BUF_WITH_LIMIT(c->body_limit);
        set_deadline(c, HEADER_SECONDS);
        return MHD_YES;
}

/* Each KiB gives a second more. */
static void extend_deadline(Connection *c) {
        int64_t seconds = HEADER_SECONDS + (int64_t)(c->uploaded / BODY_FLOOR);
        c->deadline = mono_add(c->began, SECONDS(seconds < BODY_SECONDS ? seconds : BODY_SECONDS));
}

/* Why the bytes kept so far and n more are too much: a status, or 0. */
static int body_excess(const HttpListener *l, const Connection *c, size_t n) {
        if (n > c->body_limit - c->body.len)
                return MHD_HTTP_CONTENT_TOO_LARGE;
        return n > BODIES_MAX - l->body_bytes ? MHD_HTTP_SERVICE_UNAVAILABLE : 0;
}

static enum MHD_Result take_upload(HttpListener *l, Connection *c, const char *bytes, size_t n) {
        c->uploaded += n;
        if (c->body_limit == 0) /* a GET may carry a body, which means nothing */
                return c->uploaded <= UPLOAD_MAX ? MHD_YES : MHD_NO;
        extend_deadline(c);
        if (!c->body_error)
                c->body_error = body_excess(l, c, n);
        if (!c->body_error) {
                buf_put(&c->body, bytes, n);
                if (buf_error(&c->body))
                        c->body_error = MHD_HTTP_SERVICE_UNAVAILABLE;
                else
                        l->body_bytes += n;
        }
        if (!c->body_error)
                return MHD_YES;
        /* An answer in the middle of a body is not possible: the rest is read away, if it is not too much. */
        drop_body(l, c);
        return c->uploaded / DRAIN_FACTOR <= c->body_limit ? MHD_YES : MHD_NO;
}

static enum MHD_Result finish_request(HttpListener *l, struct MHD_Connection *mhd, Connection *c, const char *url,
                                      const char *method) {
        if (c->answering == ANSWER_READY) {
                c->answering = ANSWER_NOW;
                return queue(l, mhd, &c->later, false);
        }
        set_deadline(c, RESPONSE_SECONDS);
        if (c->body_error)
                return answer_error(l, mhd, c->body_error, refusal(c->body_error));
        return answer(l, mhd, c, url, method);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *upload, size_t *upload_size,
                                  void **request_context) {
        (void)version;
        HttpListener *l = context;
        Connection *c = connection_of(mhd);
        if (!c)
                return MHD_NO;
        if (!*request_context) {
                *request_context = c;
                return begin_request(l, mhd, c, url, method);
        }
        if (*upload_size == 0)
                return finish_request(l, mhd, c, url, method);
        size_t n = *upload_size;
        *upload_size = 0;
        return take_upload(l, c, upload, n);
}

/* The first line is there: from now on the header has its time. Returns the request's context, none yet. */
static void *on_request_line(void *context, const char *uri, struct MHD_Connection *mhd) {
        (void)context;
        (void)uri;
        Connection *c = connection_of(mhd);
        MonoTime latest = mono_add(mono_now(), SECONDS(HEADER_SECONDS));
        if (c && latest.ns < c->deadline.ns)
                c->deadline = latest;
        return NULL;
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **request_context,
                         enum MHD_RequestTerminationCode code) {
        (void)request_context;
        (void)code;
        Connection *c = connection_of(mhd);
        if (!c)
                return;
        connection_reset(context, c);
        set_deadline(c, IDLE_SECONDS);
}

static void on_log(void *context, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
static void on_log(void *context, const char *fmt, va_list ap) {
        (void)context;
        char text[512];
        (void)vsnprintf(text, sizeof text, fmt, ap);
        text[strcspn(text, "\r\n")] = '\0';
        LOG_LIMITED(LOG_DEBUG, "http.library", fmt, LOG_S("text", text));
}

/* ---- the loop ---- */

/* The next time at which something must be looked at without an event: -1 = never. */
static int64_t next_wakeup_ms(const HttpListener *l) {
        MHD_UNSIGNED_LONG_LONG ms;
        int64_t next = MHD_get_timeout(l->daemon, &ms) == MHD_YES ? (int64_t)(ms < 60000 ? ms : 60000) : -1;
        if (!l->accepting && (next < 0 || next > 100))
                next = 100;
        MonoTime now = mono_now();
        for (const Connection *c = l->connections; c; c = c->next) {
                int64_t until = c->watch_at.ns ? c->watch_at.ns : c->deadline.ns;
                int64_t left = until > now.ns ? (until - now.ns) / NS_PER_MS + 1 : 0;
                if (next < 0 || left < next)
                        next = left;
        }
        return next;
}

static void run_daemon(HttpListener *l) {
        l->running = true;
        (void)MHD_run(l->daemon);
        l->running = false;
}

static void run(HttpListener *l) {
        run_daemon(l);
        int64_t ms = next_wakeup_ms(l);
        if (ms >= 0)
                loop_timer_again(l->timer, MILLISECONDS(ms), (Duration){ 0 });
}

static void on_daemon(void *context, int events) {
        (void)events;
        run(context);
}

static void set_accepting(HttpListener *l, bool on) {
        /* Level-triggered: a socket that cannot be accepted from would be reported again and again. */
        if (loop_fd_events(l->accept_watch, on ? LOOP_READ : 0) == 0)
                l->accepting = on;
}

static void on_timer(void *context) {
        HttpListener *l = context;
        if (!l->accepting)
                set_accepting(l, true);
        drop_late(l);
        watch_waiting(l);
        run(l);
}

/* Takes one connection; false when there is none. */
static bool accept_one(HttpListener *l) {
        struct sockaddr_storage sa = { 0 };
        socklen_t len = sizeof sa;
        CLEANUP_FD int fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                        set_accepting(l, false);
                return errno == ECONNABORTED || errno == EINTR;
        }
        if (!has_room(l, (struct sockaddr *)&sa)) {
                l->stats.refused++;
                return true;
        }
        /* On failure it has closed the descriptor. */
        l->running = true;
        if (MHD_add_connection(l->daemon, TAKE_FD(fd), (struct sockaddr *)&sa, len) != MHD_YES)
                l->stats.refused++;
        l->running = false;
        return true;
}

static void on_accept(void *context, int events) {
        (void)events;
        HttpListener *l = context;
        for (int i = 0; i < ACCEPT_BURST && accept_one(l); i++)
                ;
        run(l);
}

/* ---- opening and closing ---- */

static int start_daemon(HttpListener *l) {
        const unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME;
        l->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, l,
                                     MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
                                     MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
                                     MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
                                     MHD_OPTION_URI_LOG_CALLBACK, on_request_line, l,
                                     MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                                     MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
                                     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
                                     MHD_OPTION_STRICT_FOR_CLIENT, 1,
                                     MHD_OPTION_END);
        if (!l->daemon)
                return errno ? -errno : -ENOMEM;
        const union MHD_DaemonInfo *i = MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        l->epoll_fd = i ? i->epoll_fd : -1;
        return l->epoll_fd >= 0 ? 0 : -ENOTSUP;
}

static int start(HttpListener *l, const char *address) {
        int r = http_address_parse(address, &l->address);
        if (r == 0)
                r = http_socket_listen(&l->address, &l->fd);
        if (r == 0 && address[0] == '/' && lstat(address, &l->file) < 0)
                r = -errno;
        if (r == 0)
                r = start_daemon(l);
        if (r == 0)
                r = loop_timer(l->loop, SECONDS(1), (Duration){ 0 }, on_timer, l, &l->timer);
        if (r == 0)
                r = loop_fd(l->loop, l->epoll_fd, LOOP_READ, on_daemon, l, &l->daemon_watch);
        if (r == 0)
                r = loop_fd(l->loop, l->fd, LOOP_READ, on_accept, l, &l->accept_watch);
        return r;
}

int http_listen(Loop *loop, const char *address, HttpHandler handler, void *context, HttpListener **ret_listener) {
        HttpListener *l = calloc(1, sizeof *l);
        if (!l)
                return -ENOMEM;
        *l = (HttpListener){
                .loop = loop, .fd = -1, .epoll_fd = -1, .handler = handler, .context = context, .accepting = true
        };
        int r = start(l, address);
        if (r < 0)
                l = http_listener_close(l);
        else
                *ret_listener = l;
        return r;
}

void http_listener_accept(HttpListener *l, HttpBodyLimit limit) {
        l->body_limit = limit;
}

int http_listener_cors(HttpListener *l, const char *origin) {
        char *copy = origin && *origin ? strdup(origin) : NULL;
        if (origin && *origin && !copy)
                return -ENOMEM;
        free(l->cors);
        l->cors = copy;
        return 0;
}

/* The daemon must not end with suspended connections. Whoever has the HttpHeld finds it unlinked. */
static void answer_held(HttpListener *l) {
        l->closing = true;
        for (Connection *c = l->connections; c; c = c->next) {
                if (!c->held)
                        continue;
                HttpResponse gone = { 0 };
                set_error(&gone, MHD_HTTP_SERVICE_UNAVAILABLE, "the listener is being closed\n");
                http_add_number(&gone, "Retry-After", 1);
                lose_held(c);
                c->answering = ANSWER_READY;
                c->later = gone;
                resume(c);
        }
}

static bool is_busy(const HttpListener *l) {
        for (const Connection *c = l->connections; c; c = c->next)
                if (c->busy)
                        return true;
        return false;
}

/* Answers that are under way get a moment to be read; nothing new begins meanwhile but what the same
 * connections ask for. */
static void finish_answers(HttpListener *l) {
        MonoTime end = mono_add(mono_now(), CLOSE_PATIENCE);
        while (is_busy(l) && mono_now().ns < end.ns) {
                struct pollfd p = { .fd = l->epoll_fd, .events = POLLIN };
                (void)poll(&p, 1, 20);
                run_daemon(l);
        }
}

static void remove_socket_file(const HttpListener *l) {
        struct stat st;
        const char *path = ((const struct sockaddr_un *)&l->address.sa)->sun_path;
        if (l->address.sa.ss_family != AF_UNIX || l->file.st_ino == 0)
                return;
        if (lstat(path, &st) == 0 && st.st_ino == l->file.st_ino && st.st_dev == l->file.st_dev)
                (void)unlink(path);
}

HttpListener *http_listener_close(HttpListener *l) {
        if (!l)
                return NULL;
        assert(!l->running); /* not from inside a handler */
        l->accept_watch = loop_fd_stop(l->accept_watch);
        l->daemon_watch = loop_fd_stop(l->daemon_watch);
        l->timer = loop_timer_stop(l->timer);
        remove_socket_file(l);
        if (l->fd >= 0)
                (void)close(l->fd);
        if (l->daemon) {
                answer_held(l);
                finish_answers(l);
                MHD_stop_daemon(l->daemon);
        }
        assert(!l->connections);
        free(l->cors);
        free(l);
        return NULL;
}

int http_listener_port(const HttpListener *l) {
        struct sockaddr_storage sa = { 0 };
        socklen_t len = sizeof sa;
        if (getsockname(l->fd, (struct sockaddr *)&sa, &len) < 0)
                return 0;
        if (sa.ss_family == AF_INET)
                return ntohs(((struct sockaddr_in *)&sa)->sin_port);
        return sa.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&sa)->sin6_port) : 0;
}

const HttpServerStats *http_listener_stats(const HttpListener *l) {
        return &l->stats;
}
