/* The first byte says what the others are: a column to decode (with a claimed number of samples), or samples that have to come
 * back from a column of theirs, bit for bit. What a decoder of values accepts, it gives in ranges alike. */
#include "store/codec/codec.h"

#include <assert.h>
#include <string.h>

#define SAMPLES_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { DECODE_VALUES, DECODE_TIMES, DECODE_BESIDE, TRIP_VALUES, TRIP_DECIMALS, TRIP_TIMES, TRIP_BESIDE, MODES };

static void make_base(double *base, uint32_t n) {
        for (uint32_t i = 0; i < n; i++)
                base[i] = i % 7 == 6 ? 1e300 : i * 10.25 + i % 3;
}

static void decode_values(const uint8_t *bytes, size_t len, uint32_t n) {
        static double all[SAMPLES_MAX], part[SAMPLES_MAX];
        if (values_decode(bytes, len, n, all) < 0)
                return;
        uint32_t first = n / 3, count = n / 2 - n / 3;
        int e = values_decode_range(bytes, len, n, first, count, part);
        assert(e == 0 && memcmp(all + first, part, count * sizeof *part) == 0);
}

static void trip_values(const double *values, uint32_t n, CodecEffort effort) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        static double back[SAMPLES_MAX];
        values_encode(values, n, effort, &b);
        assert(buf_error(&b) == 0);
        int e = values_decode((uint8_t *)b.data, b.len, n, back);
        assert(e == 0 && memcmp(values, back, n * sizeof *values) == 0);
}

static void trip_beside(const double *values, uint32_t n, CodecEffort effort) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        static double base[SAMPLES_MAX], back[SAMPLES_MAX];
        make_base(base, n);
        values_encode_beside(values, base, n, effort, &b);
        assert(buf_error(&b) == 0);
        int e = values_decode_beside((uint8_t *)b.data, b.len, base, n, back);
        assert(e == 0 && memcmp(values, back, n * sizeof *values) == 0);
}

/* Steps from the input, short ones mostly: what real columns look like. */
static void trip_decimals(const uint8_t *bytes, uint32_t n, CodecEffort effort) {
        static double values[SAMPLES_MAX];
        static const double POWERS[] = { 1, 10, 100, 1e3, 1e6, 1e9 };
        double power = POWERS[bytes[0] % ARRAY_LEN(POWERS)], sum = bytes[0];
        for (uint32_t i = 0; i < n; i++) {
                sum += bytes[i] < 250 ? bytes[i] : bytes[i] * 1e9;
                values[i] = bytes[i] == 251 ? 0.0 / 0.0 : sum / power;
        }
        trip_values(values, n, effort);
}

static void trip_times(const int64_t *steps, uint32_t n) {
        static int64_t times[SAMPLES_MAX], back[SAMPLES_MAX];
        uint32_t m = 0;
        for (uint32_t i = 0; i < n; i++) {
                int64_t t = steps[i];
                bool fits = i % 2 || m == 0 || !__builtin_add_overflow(times[m - 1], steps[i] & 0xffff, &t);
                if (fits && (m == 0 || t > times[m - 1]))
                        times[m++] = t;
        }
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        times_encode(times, m, &b);
        assert(buf_error(&b) == 0);
        int e = times_decode((uint8_t *)b.data, b.len, m, back);
        assert(e == 0 && memcmp(times, back, m * sizeof *times) == 0);
}

static void decode(unsigned mode, const uint8_t *bytes, size_t len, uint32_t n) {
        static double values[SAMPLES_MAX], base[SAMPLES_MAX];
        static int64_t times[SAMPLES_MAX];
        /* A copy of the exact size: the sanitizer sees a read beyond it. */
        CLEANUP_FREE uint8_t *column = malloc(len ? len : 1);
        assert(column);
        memcpy(column, bytes, len);
        make_base(base, n);
        if (mode == DECODE_VALUES)
                decode_values(column, len, n);
        else if (mode == DECODE_TIMES)
                (void)!times_decode(column, len, n, times);
        else
                (void)!values_decode_beside(column, len, base, n, values);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static double values[SAMPLES_MAX];
        static int64_t steps[SAMPLES_MAX];
        if (n < 4)
                return 0;
        unsigned mode = bytes[0] % MODES;
        CodecEffort effort = bytes[0] & 0x80 ? CODEC_SMALL : CODEC_FAST;
        uint32_t claimed = 1 + (bytes[1] | (uint32_t)bytes[2] << 8) % SAMPLES_MAX;
        bytes += 3;
        n -= 3;
        uint32_t words = n / 8 < SAMPLES_MAX ? (uint32_t)(n / 8) : SAMPLES_MAX;
        memcpy(values, bytes, words * sizeof *values);
        memcpy(steps, bytes, words * sizeof *steps);
        if (mode < TRIP_VALUES)
                decode(mode, bytes, n, claimed);
        else if (mode == TRIP_DECIMALS)
                trip_decimals(bytes, n < SAMPLES_MAX ? (uint32_t)n : SAMPLES_MAX, effort);
        else if (words && mode == TRIP_VALUES)
                trip_values(values, words, effort);
        else if (words && mode == TRIP_TIMES)
                trip_times(steps, words);
        else if (words)
                trip_beside(values, words, effort);
        return 0;
}
