/* HTTP/1.1 server: libmicrohttpd behind an interface of ours, driven by our loop, no threads.
 *
 * Bodies are built whole in a Buf (bounded by its limit), compressed when the client accepts gzip and
 * the body is worth it, unless whoever made the body has done so. Limits: 512 connections, 64 per address, 10 s for
 * headers, 32 KiB of them, 60 s idle, 60 s to take an answer and one more for each 64 KiB, 256 MiB of late answers on
 * their way (503).
 *
 * GET, HEAD and OPTIONS are served, and POST where http_listener_accept() allows it (others: 405). What is posted is
 * read whole before the handler is called: at most as many bytes as the listener's user says (413), as fast as 1 KiB a
 * second and within 2 minutes (cut), all connections together 64 MiB (503). A handler may keep the client waiting with
 * http_hold(). */
#pragma once

#include "base/buf.h"
#include "net/coding.h"
#include "net/form.h"
#include "rt/loop.h"

typedef struct HttpListener HttpListener;

typedef struct HttpRequest {
        const char *method;
        const char *path;
        const char *accept; /* "" when absent */
        bool local;         /* Unix socket or loopback address of a listener that serves everything */
        const void *connection; /* for http_query(), http_header(), http_hold() */
        const uint8_t *body; /* what was posted; borrowed */
        size_t body_len;
        const HttpParam *params; /* of a posted form, then of the URL; not yet there for HttpBodyLimit */
        size_t n_params;
        const char *peer;   /* "127.0.0.1"; "unix" */
} HttpRequest;

#define HTTP_NUMBERS_MAX 4
typedef struct HttpNumberHeader {
        const char *name; /* static string */
        uint64_t value;
} HttpNumberHeader;

typedef struct HttpResponse {
        int status;               /* 200 unless set */
        const char *content_type; /* static string; plain text unless set */
        Buf body;                 /* empty, with a limit; a failed one becomes a 500 */
        const char *extra_name, *extra_value; /* one more header, or NULL; static strings */
        HttpNumberHeader numbers[HTTP_NUMBERS_MAX]; /* headers that are numbers, "Retry-After" */
        size_t n_numbers;
        bool final;               /* the body is not to be compressed; `coding` says what it is already */
        HttpCoding coding;
        bool cors;                /* pages of the origin that http_listener_cors() named may read it */
} HttpResponse;

/* Value of a parameter, the first one when it repeats; NULL when absent. */
const char *http_query(const HttpRequest *r, const char *name);
/* Value of a header, NULL when absent. */
const char *http_header(const HttpRequest *r, const char *name);
/* One more header; not over HTTP_NUMBERS_MAX. */
void http_add_number(HttpResponse *r, const char *name, uint64_t value);

typedef void (*HttpHandler)(void *context, const HttpRequest *request, HttpResponse *response);

/* An answer that comes later. In a handler, http_hold() says that the response is not to be sent when the handler
 * returns; it is NULL without memory and while the listener closes, and then it is sent. The client waits at most 60 s,
 * then it is cut off. */
typedef struct HttpHeld HttpHeld;
HttpHeld *http_hold(const HttpRequest *r) MUST_USE;
/* Sends the answer, of which the body is taken, if the client and the listener are still there. In any case `h` is gone
 * then: returns NULL. From the loop's thread. */
HttpHeld *http_held_answer(HttpHeld *h, HttpResponse *response);
/* The client may wait for `patience` instead of 60 s. gone(context) is called once, from the loop's thread, when nobody
 * waits any more (the client has closed, was cut off, or the listener closes), and not after http_held_answer(), which
 * must still be called. */
void http_held_watch(HttpHeld *h, Duration patience, void (*gone)(void *context), void *context);

typedef struct HttpServerStats {
        uint64_t requests, connections, refused;
        uint64_t by_status[6]; /* [2] = 2xx ... */
} HttpServerStats;

/* Listens on `address` ("host:port", "[v6]:port", or an absolute path for a Unix socket, created 0660,
 * a stale one replaced). 0 or negative errno (-EADDRINUSE, -EACCES, ...). */
int http_listen(Loop *loop, const char *address, HttpHandler handler, void *context,
                HttpListener **ret_listener) MUST_USE;
/* How many bytes a request may post (method and path are set, and the headers); 0: none at all (405). Without one no
 * POST is accepted. */
typedef size_t (*HttpBodyLimit)(void *context, const HttpRequest *request);
void http_listener_accept(HttpListener *l, HttpBodyLimit limit);
/* What answers with `cors` tell browsers: "*", an origin ("https://grafana.example"), or nothing at all (NULL, as it is
 * at first). Copied. */
int http_listener_cors(HttpListener *l, const char *origin) MUST_USE;
/* Stops listening at once, answers those that are held with 503, gives answers under way half a second, closes every
 * connection. Not from a handler. */
HttpListener *http_listener_close(HttpListener *l);
/* The port bound, for ":0" in tests; 0 for a Unix socket. */
int http_listener_port(const HttpListener *l);
const HttpServerStats *http_listener_stats(const HttpListener *l);
/* Whether "host:port" names a loopback address (or is a Unix path). -EINVAL when it is no address. */
int http_address_is_loopback(const char *address, bool *ret_loopback) MUST_USE;
