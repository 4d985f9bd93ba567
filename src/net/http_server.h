/* HTTP/1.1 server: libmicrohttpd behind an interface of ours, driven by our loop, no threads.
 *
 * Bodies are built whole in a Buf (bounded by its limit), compressed when the client accepts gzip and
 * the body is worth it. Limits: 512 connections, 64 per address, 10 s for headers, 32 KiB of them,
 * 60 s idle, 60 s to take an answer; GET and HEAD only (others: 405), until something needs more. */
#pragma once

#include "base/buf.h"
#include "rt/loop.h"

typedef struct HttpListener HttpListener;

typedef struct HttpRequest {
        const char *method;
        const char *path;
        const char *accept; /* "" when absent */
        bool local;         /* Unix socket or loopback address of a listener that serves everything */
        const void *connection; /* for http_query() */
} HttpRequest;

typedef struct HttpResponse {
        int status;               /* 200 unless set */
        const char *content_type; /* static string; plain text unless set */
        Buf body;                 /* empty, with a limit; a failed one becomes a 500 */
        const char *extra_name, *extra_value; /* one more header, or NULL; static strings */
} HttpResponse;

/* Value of a query parameter, NULL when absent. */
const char *http_query(const HttpRequest *r, const char *name);

typedef void (*HttpHandler)(void *context, const HttpRequest *request, HttpResponse *response);

typedef struct HttpServerStats {
        uint64_t requests, connections, refused;
        uint64_t by_status[6]; /* [2] = 2xx ... */
} HttpServerStats;

/* Listens on `address` ("host:port", "[v6]:port", or an absolute path for a Unix socket, created 0660,
 * a stale one replaced). 0 or negative errno (-EADDRINUSE, -EACCES, ...). */
int http_listen(Loop *loop, const char *address, HttpHandler handler, void *context,
                HttpListener **ret_listener) MUST_USE;
/* Stops listening at once, gives answers under way half a second, closes every connection. Not from a handler. */
HttpListener *http_listener_close(HttpListener *l);
/* The port bound, for ":0" in tests; 0 for a Unix socket. */
int http_listener_port(const HttpListener *l);
const HttpServerStats *http_listener_stats(const HttpListener *l);
/* Whether "host:port" names a loopback address (or is a Unix path). -EINVAL when it is no address. */
int http_address_is_loopback(const char *address, bool *ret_loopback) MUST_USE;
