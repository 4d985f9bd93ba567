/* Columns of numbers to bytes and back, without loss: the store's compression.
 *
 * A *value column* is up to CODEC_MAX doubles of one series; any bit pattern comes back bit for bit (NaN
 * payloads, -0, staleness markers). A *time column* is as many strictly ascending instants in milliseconds; in a
 * part it is shared by every series that was sampled at the same instants.
 *
 * Encoded columns describe themselves but not their length: the caller keeps the number of samples and of bytes.
 * Decoders take hostile bytes: they never read outside [bytes, bytes + len), and answer -EBADMSG for what
 * no encoder writes. The byte layout is the essay on top of values.c and times.c.
 *
 * Pure functions: no I/O, no allocation but in the Buf, any thread. */
#pragma once

#include "base/buf.h"

#include <stdint.h>

#define CODEC_MAX 65536u /* samples in one column */

/* How hard to try: FAST is for what will be merged again soon, SMALL for what stays. Both decode alike. */
typedef enum CodecEffort { CODEC_FAST, CODEC_SMALL } CodecEffort;

/* Appends n values (1..CODEC_MAX) to out; errors are sticky in out. */
void values_encode(const double *values, uint32_t n, CodecEffort effort, Buf *out);
/* All n values of the column. 0 or -EBADMSG. */
int values_decode(const uint8_t *bytes, size_t len, uint32_t n, double *ret_values) MUST_USE;
/* Values [first, first + count) of the column of n; costs no more than the sub-blocks they lie in.
 * 0 or -EBADMSG. Writes count values. */
int values_decode_range(const uint8_t *bytes, size_t len, uint32_t n, uint32_t first, uint32_t count,
                        double *ret_values) MUST_USE;

/* As values_encode, for a column that is close to `base`, which the reader has when it decodes (a rollup's increase
 * beside the differences of its last values). base has n values. */
void values_encode_beside(const double *values, const double *base, uint32_t n, CodecEffort effort, Buf *out);
int values_decode_beside(const uint8_t *bytes, size_t len, const double *base, uint32_t n, double *ret_values) MUST_USE;

/* Appends n instants (1..CODEC_MAX), strictly ascending, any int64. */
void times_encode(const int64_t *times, uint32_t n, Buf *out);
/* All n instants; -EBADMSG also when they are not strictly ascending. */
int times_decode(const uint8_t *bytes, size_t len, uint32_t n, int64_t *ret_times) MUST_USE;
