/* Snappy's block format, as remote write sends it: a bounded decoder. */
#pragma once

#include "base/buf.h"

/* Replaces the contents of `out` with what the n bytes stand for, at most `most` bytes. 0, or with *ret_why (static text):
 * -EFBIG more than `most` is declared (nothing was allocated), -EBADMSG it is no such block, -ENOMEM. */
int snappy_block_decode(const uint8_t *bytes, size_t n, size_t most, Buf *out, const char **ret_why) MUST_USE;
