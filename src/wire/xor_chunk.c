#include "wire/xor_chunk.h"

#include "base/varint.h"

#include <assert.h>
#include <string.h>

/* A sample takes at most a byte and a word of time, and a byte, a half and a word of value. */
#define SAMPLE_MAX 20u
#define LEADING_MAX 31
#define NO_WINDOW 0xff

typedef struct BitsOut {
        uint8_t *at;    /* of the byte that is being filled; those behind are 0 */
        unsigned used;  /* bits of it */
} BitsOut;

/* The low n bits of v, the highest first. */
static void put(BitsOut *o, uint64_t v, unsigned n) {
        while (n > 0) {
                unsigned room = 8 - o->used, take = n < room ? n : room;
                uint64_t bits = v >> (n - take) & ((1u << take) - 1);
                *o->at |= (uint8_t)(bits << (room - take));
                o->used += take;
                n -= take;
                if (o->used == 8) {
                        o->at++;
                        o->used = 0;
                }
        }
}

static void put_bytes(BitsOut *o, const uint8_t *bytes, size_t n) {
        for (size_t i = 0; i < n; i++)
                put(o, bytes[i], 8);
}

static bool fits(int64_t v, unsigned bits) {
        int64_t half = INT64_C(1) << (bits - 1);
        return v >= -(half - 1) && v <= half;
}

static void put_change(BitsOut *o, int64_t change) {
        if (change == 0)
                put(o, 0, 1);
        else if (fits(change, 14)) {
                put(o, 2, 2);
                put(o, (uint64_t)change, 14);
        } else if (fits(change, 17)) {
                put(o, 6, 3);
                put(o, (uint64_t)change, 17);
        } else if (fits(change, 20)) {
                put(o, 14, 4);
                put(o, (uint64_t)change, 20);
        } else {
                put(o, 15, 4);
                put(o, (uint64_t)change, 64);
        }
}

typedef struct ValueState {
        uint64_t before;
        int leading, trailing; /* of the last window */
} ValueState;

static uint64_t bits_of(double v) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        return bits;
}

static void put_value(BitsOut *o, ValueState *s, double v) {
        uint64_t bits = bits_of(v), difference = bits ^ s->before;
        s->before = bits;
        if (difference == 0) {
                put(o, 0, 1);
                return;
        }
        int leading = __builtin_clzll(difference), trailing = __builtin_ctzll(difference);
        if (leading > LEADING_MAX)
                leading = LEADING_MAX; /* it has five bits */
        if (s->leading != NO_WINDOW && leading >= s->leading && trailing >= s->trailing) {
                put(o, 2, 2);
                put(o, difference >> s->trailing, 64 - (unsigned)(s->leading + s->trailing));
                return;
        }
        unsigned length = 64 - (unsigned)(leading + trailing);
        s->leading = leading;
        s->trailing = trailing;
        put(o, 3, 2);
        put(o, (uint64_t)leading, 5);
        put(o, length & 63, 6);
        put(o, difference >> trailing, length);
}

static void put_times_and_values(BitsOut *o, const int64_t *times, const double *values, size_t n) {
        uint8_t varint[VARINT_MAX];
        put_bytes(o, varint, varint_put(varint, zigzag(times[0])));
        put(o, bits_of(values[0]), 64);
        ValueState s = { .before = bits_of(values[0]), .leading = NO_WINDOW };
        uint64_t step = 0;
        for (size_t i = 1; i < n; i++) {
                uint64_t next = (uint64_t)times[i] - (uint64_t)times[i - 1];
                if (i == 1)
                        put_bytes(o, varint, varint_put(varint, next));
                else
                        put_change(o, (int64_t)(next - step));
                step = next;
                put_value(o, &s, values[i]);
        }
}

void xor_chunk_write(const int64_t *times, const double *values, size_t n, Buf *out) {
        assert(n > 0 && n <= XOR_CHUNK_SAMPLES);
        size_t most = 2 + (n + 1) * SAMPLE_MAX;
        uint8_t *begin = (uint8_t *)buf_reserve(out, most);
        if (!begin)
                return;
        memset(begin, 0, most);
        begin[0] = (uint8_t)(n >> 8);
        begin[1] = (uint8_t)n;
        BitsOut o = { .at = begin + 2 };
        put_times_and_values(&o, times, values, n);
        out->len += (size_t)(o.at - begin) + (o.used > 0);
}
