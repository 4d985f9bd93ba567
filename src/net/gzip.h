/* Compression of HTTP bodies (RFC 9110 §12.5.3, RFC 1952), whole, by libdeflate at its fastest level. */
#pragma once

#include "base/buf.h"

/* Whether the value of an Accept-Encoding header lets us answer with gzip: "gzip", "x-gzip" or "*" without
 * q=0. NULL is no. What is malformed is skipped. */
bool gzip_accepted(const char *accept_encoding);
/* Whether a coding is named in it without q=0. */
bool coding_named(const char *accept_encoding, const char *coding);
/* `in` as gzip, if that is shorter: 1 with ret_out replaced, 0 when it would not be shorter, -ENOMEM. */
int gzip_compress(const Buf *in, Buf *ret_out) MUST_USE;
