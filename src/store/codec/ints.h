/* Columns of whole numbers to bytes and back: what value and time columns have in common. Private to the codec.
 *
 * The layout is the essay on top of ints.c. Numbers are 64 bits with wrap-around: any sequence comes back. */
#pragma once

#include "store/codec/codec.h"

#define INTS_GROUP 1024u /* numbers that can be decoded without those before them */

/* Writes numbers [first, first + count) of a column to `out`. Called once for each group, in order. */
typedef void IntsFill(void *context, uint32_t first, uint32_t count, int64_t *out);

/* Appends n numbers (1..CODEC_MAX), the first of which has to be 0 (the caller keeps where it starts). */
void ints_encode(IntsFill *fill, void *context, uint32_t n, CodecEffort effort, Buf *out);

/* The same behind a varint of how many bytes it takes: something may follow. */
void ints_encode_sized(IntsFill *fill, void *context, uint32_t n, CodecEffort effort, Buf *out);

/* Two encodings lie in `out`, from `from` and from `second` on: keeps the shorter one. */
void ints_keep_shorter(Buf *out, size_t from, size_t second);

typedef struct IntsReader {
        const uint8_t *bytes;
        size_t len;
        uint32_t n;
        const uint8_t *next; /* directory entry that follows the current group */
        const uint8_t *at;   /* the current group */
        size_t group_len;
        uint32_t group, groups;
        int64_t start; /* its first number */
} IntsReader;

/* Begins to read a column of n numbers that ends with the bytes. 0 or -EBADMSG. */
int ints_open(IntsReader *r, const uint8_t *bytes, size_t len, uint32_t n) MUST_USE;
/* The same from that group on. */
int ints_open_at(IntsReader *r, const uint8_t *bytes, size_t len, uint32_t n, uint32_t group) MUST_USE;
/* Decodes the next group into `out` (INTS_GROUP at most) and moves on; *ret_count says how many. 0 or -EBADMSG. */
int ints_next(IntsReader *r, int64_t *out, uint32_t *ret_count) MUST_USE;
/* The same for numbers [from, to) of the group only: the others are not written, or anything. */
int ints_next_part(IntsReader *r, uint32_t from, uint32_t to, int64_t *out, uint32_t *ret_count) MUST_USE;
