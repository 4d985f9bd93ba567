/* Codings of HTTP bodies: which one a client takes, and bodies in it. Any thread. */
#pragma once

#include "base/buf.h"

typedef enum HttpCoding { HTTP_IDENTITY, HTTP_GZIP, HTTP_ZSTD } HttpCoding;

/* As Content-Encoding has it; NULL for HTTP_IDENTITY. */
const char *http_coding_name(HttpCoding c);
/* The best coding that an Accept-Encoding header lets us answer with (RFC 9110 §12.5.3); NULL: none is there. zstd is
 * the cheaper one, but "*" means gzip, which everybody can read. */
HttpCoding http_coding_accepted(const char *accept_encoding);
/* Replaces the body, if it becomes shorter: true. Without memory it stays as it is. Not for HTTP_IDENTITY. */
bool http_coding_apply(HttpCoding c, Buf *body);
