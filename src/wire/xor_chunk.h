/* Chunks of floats in the encoding of Prometheus ("XOR"), as a streamed remote read sends them.
 *
 *   u16 big end first: number of samples; then bits, the highest of a byte first
 *   sample 0: time as a zigzag varint; 64 bits of the value
 *   sample 1: difference of the times as a varint; value
 *   others:   the difference's change:  0 -> 0;  10 + 14 bits;  110 + 17;  1110 + 20;  1111 + 64; value
 *   value:    its bits XOR those before:  0 -> 0;  10 + the meaningful bits, within the last window of them;
 *             11 + 5 bits of leading zeros + 6 bits of length (64 as 0) + that many bits */
#pragma once

#include "base/buf.h"

/* Most samples of a chunk, as Prometheus makes them. */
#define XOR_CHUNK_SAMPLES 120u

/* Appends a chunk of n samples, ascending, 1 to XOR_CHUNK_SAMPLES. */
void xor_chunk_write(const int64_t *times, const double *values, size_t n, Buf *out);
