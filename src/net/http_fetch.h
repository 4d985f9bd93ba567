/* An asynchronous HTTP client on the program's loop: any number of requests at once, none of which waits for another.
 * libcurl's multi interface behind names; TLS by GnuTLS. For scrapes, service discovery, remote write and queries to
 * another engine.
 *
 *   HttpFetchRequest r = { .url = "https://host/path", .options = &options, .timeout = SECONDS(10), .body_limit = 1 <<
 * 20 };   http_fetch(fetcher, &r, done, context, &fetch)
 *   done(context, result) once, from the loop, unless http_fetch_cancel(fetch) comes first
 *
 * Connections are kept and used again, at most HTTP_FETCH_CONNECTIONS. Bodies are read whole, unpacked when they come
 * as gzip, and bounded: each by its own limit, all that are under way by HTTP_FETCH_BYTES. Files with secrets and
 * certificates are read again for each request. Names are looked up in threads of libcurl's. Everything else happens on
 * the loop's thread. */
#pragma once

#include "base/buf.h"
#include "rt/loop.h"

#define HTTP_FETCH_CONNECTIONS 512
#define HTTP_FETCH_BYTES ((size_t)128 << 20)
#define HTTP_FETCH_BODY_LIMIT ((size_t)16 << 20) /* when a request names none */
#define HTTP_FETCH_HEADERS_MAX 64u
#define HTTP_FETCH_SECRET_MAX ((size_t)64 << 10)

/* How to talk to a server; texts are owned and may be NULL. HTTP_FETCH_OPTIONS_DEFAULT is Prometheus's default. See
 * net/http_fetch_settings.h for the same from YAML. */
typedef struct HttpFetchOptions {
        char *username, *username_file, *password, *password_file; /* basic authentication */
        char *auth_type, *credentials,
                *credentials_file;          /* "Authorization: TYPE CREDENTIALS"; type NULL: Bearer */
        char *ca_file, *cert_file, *key_file;                      /* PEM */
        char *server_name;                   /* that the certificate must have; NULL: the URL's host */
        char *min_version, *max_version;     /* "TLS10" ... "TLS13" */
        bool insecure_skip_verify;
        bool follow_redirects;               /* at most 10, to http and https */
        bool enable_http2;                   /* over TLS, when the server has it */
        char *proxy_url, *no_proxy;          /* no proxy without one, whatever the environment says */
        char **headers;                      /* "Name: value" */
        size_t n_headers;
} HttpFetchOptions;

#define HTTP_FETCH_OPTIONS_DEFAULT ((HttpFetchOptions){ .follow_redirects = true, .enable_http2 = true })

void http_fetch_options_deinit(HttpFetchOptions *o);
/* One more header for every request. */
int http_fetch_options_header(HttpFetchOptions *o, const char *name, const char *value) MUST_USE;
bool http_fetch_options_equal(const HttpFetchOptions *a, const HttpFetchOptions *b);

typedef struct HttpFetcher HttpFetcher;
typedef struct HttpFetch HttpFetch;

int http_fetcher_new(Loop *loop, HttpFetcher **ret_fetcher) MUST_USE;
/* Cancels what is under way. Not from a HttpFetchDone. */
HttpFetcher *http_fetcher_free(HttpFetcher *f);

typedef struct HttpFetchRequest {
        const char *url;                 /* http or https */
        const char *method;              /* NULL: GET, or POST when there is a body */
        const HttpFetchOptions *options; /* NULL: the defaults; borrowed until the end */
        const char *const *headers;      /* "Name: value"; copied. They win over the options' */
        size_t n_headers;
        const void *body;                /* borrowed until the end */
        size_t body_len;
        Duration timeout;                /* of the whole request; must be positive */
        size_t body_limit;               /* of the answer, unpacked; 0: HTTP_FETCH_BODY_LIMIT */
        bool identity;                   /* do not ask for gzip */
        bool no_body;                    /* the answer's body is not wanted: read and thrown away, within the limit */
} HttpFetchRequest;

typedef struct HttpFetchResult {
        /* 0: there is an answer, whatever its status. -ETIMEDOUT; -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH, ... for a
         * connection that could not be made; -ENXIO: no such host; -EKEYREJECTED: TLS, or a secret that cannot be read;
         * -EFBIG: over the limit; -ENOBUFS: over HTTP_FETCH_BYTES; -EPROTO: not HTTP, or cut off; -ELOOP: too many
         * redirects; -ENOMEM; -EIO for the rest. */
        int error;
        const char *why; /* for a person, of an error; "" otherwise */
        int status;
        const char *content_type; /* "" when absent */
        Buf *body;                /* may be taken, leaving BUF_NULL */
        Duration taken;
        const void *easy;         /* for http_fetch_header() */
} HttpFetchResult; /* until the callback returns */

/* Value of a header of the answer; NULL when it is absent. */
const char *http_fetch_header(const HttpFetchResult *r, const char *name);

typedef void (*HttpFetchDone)(void *context, HttpFetchResult *result);
/* 0 (`done` comes later, never before this returns), -EINVAL for what is no URL or header, -ENOMEM. What else is wrong
 * is the result's error. */
int http_fetch(HttpFetcher *f, const HttpFetchRequest *r, HttpFetchDone done, void *context,
               HttpFetch **ret_fetch) MUST_USE;
/* `done` will not be called. Accepts NULL, returns NULL; not for a fetch whose `done` was called. */
HttpFetch *http_fetch_cancel(HttpFetch *f);

typedef struct HttpFetcherStats {
        uint64_t requests, failed, connections, bytes; /* bytes of bodies, unpacked */
        size_t under_way, bytes_held;
} HttpFetcherStats;
const HttpFetcherStats *http_fetcher_stats(const HttpFetcher *f);
