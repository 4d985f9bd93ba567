/* A blocking HTTP client for the command line: GET and POST to one server, over TCP or a Unix socket, the
 * connection kept between requests. No redirects, no proxies, no TLS, no other protocol than HTTP. */
#pragma once

#include "base/buf.h"
#include "base/time.h"

typedef struct HttpClient HttpClient;

/* `address` is an absolute path of a Unix socket, or "http://host:port" (a trailing "/" is allowed).
 * `timeout` bounds a whole request. 0, -EINVAL for what is no address, -ENOMEM. */
int http_client_new(const char *address, Duration timeout, HttpClient **ret_client) MUST_USE;
HttpClient *http_client_free(HttpClient *c);

/* Gets `path` ("/api/v1/entities?kind=domain", escaped by the caller) and appends the answer's body to `body`,
 * whose limit is the most that is accepted; after an error a part of it may be there. 0 with the status, any; or
 *   -ECONNREFUSED nobody listens, -ENOENT no such socket, -EACCES not allowed to, -ETIMEDOUT, -EFBIG body over
 *   the limit, -ENOMEM, -EPROTO not HTTP, -EIO for the rest. */
int http_client_get(HttpClient *c, const char *path, Buf *body, int *ret_status) MUST_USE;
/* As http_client_get(), posting n bytes; content_type is a static string. */
int http_client_post(HttpClient *c, const char *path, const char *content_type, const void *bytes, size_t n, Buf *body, int *ret_status) MUST_USE;
/* Seconds that the last answer's Retry-After asks for; 0 without one. */
int64_t http_client_retry_after(const HttpClient *c);
/* What went wrong last, for a person: "cannot connect to /run/parallax/api.sock: Connection refused". */
const char *http_client_error(const HttpClient *c);
