/* Streams of bits, little end first: bit i of a stream is bit i % 8 of byte i / 8. Private to the codec.
 *
 * A writer stores whole words past its end: its room has BITS_SLACK bytes more than it will keep. A reader
 * never loads outside its bytes; what lies behind them reads as zero and is noticed once, by bits_overrun(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BITS_SLACK 16
#define BITS_AT_ONCE 56 /* most bits of one put or get */

typedef struct BitWriter {
        uint8_t *at;
        uint64_t word; /* bits not stored yet, from bit 0 on */
        unsigned fill; /* how many, under 8 between calls */
} BitWriter;

typedef struct BitReader {
        const uint8_t *bytes;
        size_t len;
        uint64_t pos; /* in bits */
} BitReader;

static inline uint64_t low_mask(unsigned n) {
        return n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1;
}

/* Significant bits of v: 0 for 0. */
static inline unsigned bit_length(uint64_t v) {
        return v ? 64 - (unsigned)__builtin_clzll(v) : 0;
}

/* Bytes of a word in the stream's order, whatever the machine's. */
static inline uint64_t word_load(const uint8_t *at) {
        uint64_t v;
        memcpy(&v, at, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        v = __builtin_bswap64(v);
#endif
        return v;
}

static inline void word_store(uint8_t *at, uint64_t v) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        v = __builtin_bswap64(v);
#endif
        memcpy(at, &v, sizeof v);
}

/* v has no bits above n; n <= BITS_AT_ONCE. */
static inline void bits_put(BitWriter *w, uint64_t v, unsigned n) {
        w->word |= v << w->fill;
        unsigned fill = w->fill + n;
        word_store(w->at, w->word);
        w->at += fill >> 3;
        w->word >>= fill & ~7u;
        w->fill = fill & 7;
}

/* The same up to 64 bits. */
static inline void bits_put_wide(BitWriter *w, uint64_t v, unsigned n) {
        if (n > 32) {
                bits_put(w, v & UINT32_MAX, 32);
                v >>= 32;
                n -= 32;
        }
        bits_put(w, v, n);
}

/* Fills up the last byte; the writer's end is w->at. */
static inline void bits_flush(BitWriter *w) {
        if (w->fill)
                *w->at++ = (uint8_t)w->word;
        w->word = 0;
        w->fill = 0;
}

/* A number that is mostly small: three bits at a time, low ones first, each with one that says "more". */
static inline void bits_put_number(BitWriter *w, uint64_t v) {
        for (; v > 7; v >>= 3)
                bits_put(w, (v & 7) | 8, 4);
        bits_put(w, v, 4);
}

/* At least 57 bits from `pos` on. */
static inline uint64_t bits_peek(const BitReader *r, uint64_t pos) {
        size_t byte = pos >> 3;
        if (byte + 8 <= r->len)
                return word_load(r->bytes + byte) >> (pos & 7);
        if (byte >= r->len)
                return 0;
        if (r->len >= 8) /* the last word there is, from its middle on */
                return word_load(r->bytes + r->len - 8) >> (byte + 8 - r->len) * 8 >> (pos & 7);
        uint8_t rest[8] = { 0 };
        memcpy(rest, r->bytes + byte, r->len - byte);
        return word_load(rest) >> (pos & 7);
}

static inline uint64_t bits_get(BitReader *r, unsigned n) {
        uint64_t v = bits_peek(r, r->pos) & low_mask(n);
        r->pos += n;
        return v;
}

static inline uint64_t bits_get_number(BitReader *r) {
        uint64_t v = 0;
        for (unsigned shift = 0; shift < 64; shift += 3) {
                uint64_t part = bits_get(r, 4);
                v |= (part & 7) << shift;
                if (part < 8)
                        break;
        }
        return v;
}

static inline bool bits_overrun(const BitReader *r) {
        return r->pos > (uint64_t)r->len * 8;
}
