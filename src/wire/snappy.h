/* Snappy's block format, as remote write sends it: a bounded decoder, and the encoder. */
#pragma once

#include "base/buf.h"

/* Replaces the contents of `out` with what the n bytes stand for, at most `most` bytes. 0, or with *ret_why (static text):
 * -EFBIG more than `most` is declared (nothing was allocated), -EBADMSG it is no such block, -ENOMEM. */
int snappy_block_decode(const uint8_t *bytes, size_t n, size_t most, Buf *out, const char **ret_why) MUST_USE;
/* Replaces the contents of `out` with n bytes compressed. 0 or -ENOMEM, -EFBIG (over the limit of `out`). */
int snappy_block_encode(const void *bytes, size_t n, Buf *out) MUST_USE;
