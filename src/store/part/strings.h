/* A column of byte strings (layout.h, "A chunk's values": histograms). */
#pragma once

#include "store/codec/codec.h"

#include <stdint.h>

#define STRING_MAX ((size_t)128 << 10) /* bytes of one */

/* String i is bytes[offsets[i] .. offsets[i + 1]). Errors are sticky in out; -EFBIG for a string over STRING_MAX. */
void strings_encode(const uint8_t *bytes, const uint32_t *offsets, uint32_t n, CodecEffort effort, Buf *out);
/* Appends strings [first, first + count) of a column of n to ret_bytes; ret_offsets[0..count] is where they are in it.
 * 0, -EBADMSG, -ENOMEM, -EFBIG. */
int strings_decode(const uint8_t *bytes, size_t len, uint32_t n, uint32_t first, uint32_t count, Buf *ret_bytes,
                   uint32_t *ret_offsets) MUST_USE;
