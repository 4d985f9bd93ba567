/* Variable-length integers, little end first, seven bits a byte (LEB128, the same as protobuf's), and the
 * zigzag map that makes small negative numbers short. A read never passes `end`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARINT_MAX 10

/* Writes v to out (VARINT_MAX bytes are enough); returns the number of bytes. */
static inline size_t varint_put(uint8_t *out, uint64_t v) {
        size_t n = 0;
        for (; v >= 0x80; v >>= 7)
                out[n++] = (uint8_t)(v | 0x80);
        out[n++] = (uint8_t)v;
        return n;
}

/* Takes a number from *at; false, with *at unmoved, when it is cut off or over 64 bits. */
static inline bool varint_get(const uint8_t **at, const uint8_t *end, uint64_t *ret_v) {
        const uint8_t *p = *at;
        uint64_t v = 0;
        for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
                uint8_t byte = *p++;
                if (shift == 63 && byte > 1)
                        return false;
                v |= (uint64_t)(byte & 0x7f) << shift;
                if (byte < 0x80) {
                        *at = p;
                        *ret_v = v;
                        return true;
                }
        }
        return false;
}

static inline uint64_t zigzag(int64_t v) {
        return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}

static inline int64_t unzigzag(uint64_t v) {
        return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}
