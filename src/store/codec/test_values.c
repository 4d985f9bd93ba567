#include "store/codec/codec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define N 3000u

static uint64_t next_random(uint64_t *s) {
        *s = *s * 6364136223846793005u + 1442695040888963407u;
        uint64_t x = *s ^ *s >> 29;
        return x * 0xbf58476d1ce4e5b9u ^ x >> 32;
}

static double of_bits(uint64_t bits) {
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
}

static double stale(void) {
        return of_bits(0x7ff0000000000002u);
}

/* Encodes and decodes a copy of the exact size; all, and some ranges. Returns the column's bytes. */
static size_t trip_with(const double *values, uint32_t n, CodecEffort effort) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP_FREE double *back = calloc(n, sizeof *back);
        assert_non_null(back);
        buf_put_str(&b, "before");
        values_encode(values, n, effort, &b);
        assert_int_equal(buf_error(&b), 0);
        assert_memory_equal(b.data, "before", 6);
        size_t len = b.len - 6;
        CLEANUP_FREE uint8_t *column = malloc(len);
        assert_non_null(column);
        memcpy(column, b.data + 6, len);
        assert_int_equal(values_decode(column, len, n, back), 0);
        assert_memory_equal(back, values, n * sizeof *back);
        for (uint32_t first = 0; first < n; first += 1 + n / 13) {
                const uint32_t counts[] = { (n - first) / 2, 1, n - first, (n - first) / 17 };
                for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
                        memset(back, 0, n * sizeof *back);
                        assert_int_equal(values_decode_range(column, len, n, first, counts[k], back), 0);
                        assert_memory_equal(back, values + first, counts[k] * sizeof *back);
                }
        }
        return len;
}

static size_t trip(const double *values, uint32_t n) {
        (void)trip_with(values, n, CODEC_FAST);
        return trip_with(values, n, CODEC_SMALL);
}

static void constants_are_a_few_bytes(void **state) {
        (void)state;
        static double v[CODEC_MAX];
        const double some[] = { 0, 1, 4096, -7, 0.25, 1e15 };
        for (size_t k = 0; k < ARRAY_LEN(some); k++) {
                for (uint32_t i = 0; i < CODEC_MAX; i++)
                        v[i] = some[k];
                assert_true(trip(v, CODEC_MAX) <= 9);
                assert_true(trip(v, 1) <= 9);
        }
        assert_int_equal(trip(v, 5), trip(v, CODEC_MAX));
        for (uint32_t i = 0; i < 100; i++)
                v[i] = stale();
        assert_int_equal(trip(v, 100), 9);
        for (uint32_t i = 0; i < 100; i++)
                v[i] = -0.0;
        assert_int_equal(trip(v, 100), 9);
}

static void lines_are_a_few_bytes(void **state) {
        (void)state;
        static double v[CODEC_MAX];
        for (uint32_t i = 0; i < CODEC_MAX; i++)
                v[i] = (17.0 + 250 * i) / 100;
        assert_true(trip(v, CODEC_MAX) <= 6);
        assert_true(trip(v, 3) <= 6);
        v[CODEC_MAX - 1] += 1;
        assert_true(trip(v, CODEC_MAX) < 1000);
}

static void every_length_comes_back(void **state) {
        (void)state;
        double v[300];
        uint64_t s = 1;
        for (uint32_t i = 0; i < ARRAY_LEN(v); i++)
                v[i] = (double)(next_random(&s) % 1000) + i * 100;
        for (uint32_t n = 1; n <= ARRAY_LEN(v); n++)
                (void)trip(v, n);
        static double w[2 * 1024 + 3];
        for (uint32_t i = 0; i < ARRAY_LEN(w); i++)
                w[i] = (double)(next_random(&s) % 100);
        for (uint32_t n = 1022; n < ARRAY_LEN(w); n += n == 1028 ? 1016 : 1)
                (void)trip(w, n);
}

/* Noise of every width, around nothing, on a slope and on a curve, of even and of uneven distribution: blocks of all
 * kinds, of which parts are read. */
static void parts_of_every_width(void **state) {
        (void)state;
        static double v[1500];
        uint64_t s = 9;
        for (unsigned width = 1; width <= 52; width++)
                for (unsigned shape = 0; shape < 9; shape++) {
                        int64_t sum = 0, step = 3;
                        for (uint32_t i = 0; i < ARRAY_LEN(v); i++) {
                                uint64_t noise = next_random(&s) >> (64 - width);
                                if (shape % 3 == 1)
                                        noise >>= next_random(&s) % width; /* many small ones, few large ones */
                                else if (shape % 3 == 2)
                                        noise = next_random(&s) % 16 ? 0 : noise;
                                int64_t residual =
                                        (int64_t)noise - (shape % 3 == 1 ? (int64_t)((uint64_t)1 << width >> 3) : 0);
                                step = (shape / 3 == 2 ? step + residual : residual) % (INT64_C(1) << 40);
                                sum = shape / 3 ? sum + step : residual;
                                v[i] = (double)(sum % (INT64_C(1) << 53));
                        }
                        (void)trip(v, ARRAY_LEN(v));
                }
}

static void short_columns_have_short_heads(void **state) {
        (void)state;
        double v[60];
        uint64_t s = 5;
        for (uint32_t i = 0; i < 60; i++)
                v[i] = 1000 + (double)(next_random(&s) % 16);
        /* 4 bits each are 29.5 bytes. */
        assert_true(trip_with(v, 60, CODEC_FAST) <= 29 + 8);
        assert_true(trip_with(v, 5, CODEC_FAST) <= 10);
        for (uint32_t i = 0; i < 60; i++)
                v[i] = i < 40 ? 0 : 1;
        assert_true(trip_with(v, 60, CODEC_SMALL) <= 8);
}

static void decimals_come_back_small(void **state) {
        (void)state;
        static double v[N];
        static const double POWERS[] = { 1, 10, 100, 1e4, 1e6, 1e9, 1e12 };
        uint64_t s = 2;
        for (size_t k = 0; k < ARRAY_LEN(POWERS); k++) {
                double m = 123456789;
                for (uint32_t i = 0; i < N; i++)
                        v[i] = (m += (double)(next_random(&s) % 1024)) / POWERS[k];
                /* Uniform over 1,024 steps are 10 bits. */
                assert_true(trip(v, N) < N * 5 / 4 + 80);
        }
}

static void nanoseconds_beyond_exact_whole_numbers_come_back(void **state) {
        (void)state;
        static double v[N];
        uint64_t s = 2;
        double ns = 3e16; /* a year of CPU time: over 2^53 */
        for (uint32_t i = 0; i < N; i++)
                v[i] = (ns += 4.0 * (double)(next_random(&s) % 65536)) / 1e9;
        assert_true(trip(v, N) < N * 22 / 8);
}

static void whole_numbers_up_to_2_62_and_above(void **state) {
        (void)state;
        double v[200];
        for (uint32_t i = 0; i < ARRAY_LEN(v); i++)
                v[i] = ldexp(1, (int)i % 70) + (i % 3 ? i : 0);
        (void)trip(v, ARRAY_LEN(v));
        for (uint32_t i = 0; i < ARRAY_LEN(v); i++)
                v[i] = 4503599627370497.0 + 2 * i * (i % 5); /* odd, between 2^52 and 2^53 */
        assert_true(trip(v, ARRAY_LEN(v)) < 600);
        for (uint32_t i = 0; i < ARRAY_LEN(v); i++)
                v[i] = ldexp(1000 + i * i % 7, 40);
        assert_true(trip(v, ARRAY_LEN(v)) < 110);
}

static void multiples_do_not_pay_for_their_divisor(void **state) {
        (void)state;
        static double v[N], w[N];
        uint64_t s = 2;
        for (uint32_t i = 0; i < N; i++) {
                v[i] = (double)(next_random(&s) % 512);
                w[i] = v[i] * 12288 + 77;
        }
        size_t plain = trip(v, N), scaled = trip(w, N);
        assert_true(scaled <= plain + 8);
}

static void staleness_does_not_spoil_the_rest(void **state) {
        (void)state;
        static double v[N], w[N];
        uint64_t s = 2;
        double m = 0;
        for (uint32_t i = 0; i < N; i++)
                v[i] = w[i] = (m += (double)(next_random(&s) % 256)) / 100;
        w[100] = w[1500] = w[1501] = w[N - 1] = stale();
        size_t plain = trip(v, N), marked = trip(w, N);
        assert_true(marked < plain + 20);
        w[0] = stale();
        (void)trip(w, N);
        w[7] = NAN;
        w[9] = -0.0;
        w[2000] = INFINITY;
        w[2001] = 1.0 / 3;
        assert_true(trip(w, N) < plain + 160);
        /* Nothing but one value between markers. */
        for (uint32_t i = 0; i < 50; i++)
                v[i] = i == 30 ? 5 : stale();
        assert_true(trip(v, 50) < 16);
}

static void resets_and_bursts_stay_where_they_are(void **state) {
        (void)state;
        static double v[N], w[N];
        uint64_t s = 2;
        double m = 1e12, reset = 0;
        for (uint32_t i = 0; i < N; i++) {
                double step = (double)(next_random(&s) % 64);
                v[i] = m += step;
                if (i == 1111)
                        reset = -m;
                w[i] = m + reset;
        }
        size_t plain = trip(v, N), with_reset = trip(w, N);
        assert_true(with_reset < plain + 60);
        for (uint32_t i = 2000; i < N; i++)
                v[i] += i < 2010 ? (i - 2000) * 1e6 : 1e7;
        assert_true(trip(v, N) < plain + 80);
}

static void idle_stretches_cost_next_to_nothing(void **state) {
        (void)state;
        static double v[N];
        uint64_t s = 2;
        double m = 0;
        for (uint32_t i = 0; i < N; i++)
                v[i] = m += i >= 1024 && i < 1152 ? (double)(next_random(&s) % 65536) : 0;
        assert_true(trip(v, N) < 128 * 2 + 60);
        for (uint32_t i = 0; i < N; i++)
                v[i] = i % 200 == 5;
        assert_true(trip(v, N) < 120);
}

static void any_bits_come_back(void **state) {
        (void)state;
        static double v[N];
        uint64_t s = 9;
        for (uint32_t i = 0; i < N; i++)
                v[i] = of_bits(next_random(&s));
        assert_true(trip(v, N) < N * 8 + 300);
        for (uint32_t i = 0; i < N; i++)
                v[i] = 0.2 + 0.01 * sin(i);
        assert_true(trip(v, N) < N * 7);
        for (uint32_t i = 0; i < N; i++)
                v[i] = i % 3 ? of_bits(next_random(&s)) : 5;
        (void)trip(v, N);
        const double odd[] = { 0, -0.0, INFINITY, -INFINITY, NAN, 5e-324, -5e-324, 1.7976931348623157e308, stale(),
                               of_bits(0xfff8dead00000001u), of_bits(UINT64_MAX), of_bits(0x8000000000000001u) };
        for (uint32_t n = 1; n <= ARRAY_LEN(odd); n++)
                (void)trip(odd, n);
        for (uint32_t i = 0; i < N; i++)
                v[i] = odd[next_random(&s) % ARRAY_LEN(odd)];
        (void)trip(v, N);
}

static void sums_of_decimals_pay_for_their_errors_only(void **state) {
        (void)state;
        static double v[N];
        uint64_t s = 9;
        for (uint32_t i = 0; i < N; i++) {
                v[i] = 0;
                for (unsigned k = 0; k < 30; k++)
                        v[i] += (double)(next_random(&s) % 40) / 100;
        }
        /* A sum scatters by 63 hundredths: 8 bits; the errors of adding by one or two places. */
        assert_true(trip(v, N) < N * 11 / 8);
        v[1] = NAN;
        v[2000] = -1e300;
        v[2001] = 1e-300;
        assert_true(trip(v, N) < N * 11 / 8 + 60);
        for (uint32_t i = 0; i < 20; i++)
                v[i] = i % 5 ? 0.1 + 0.2 + i : i;
        assert_true(trip(v, 20) < 60);
}

static void floats_lose_their_empty_bits(void **state) {
        (void)state;
        static double v[N];
        uint64_t s = 9;
        for (uint32_t i = 0; i < N; i++)
                v[i] = (float)((double)(next_random(&s) % 1000003) / 1000003.0 + 1);
        assert_true(trip(v, N) < N * 25 / 8);
}

/* Encodes beside a base; returns the column's bytes. */
static size_t trip_beside(const double *values, const double *base, uint32_t n) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP_FREE double *back = calloc(n, sizeof *back);
        assert_non_null(back);
        values_encode_beside(values, base, n, CODEC_SMALL, &b);
        assert_int_equal(buf_error(&b), 0);
        assert_int_equal(values_decode_beside((uint8_t *)b.data, b.len, base, n, back), 0);
        assert_memory_equal(back, values, n * sizeof *back);
        return b.len;
}

static void increase_beside_last_is_nearly_free(void **state) {
        (void)state;
        static double last[N], increase[N];
        uint64_t s = 2;
        double ns = 5e12;
        for (uint32_t i = 0; i < N; i++) {
                double before = ns;
                ns += (double)(next_random(&s) % 100000000);
                if (i == 700)
                        ns = 1000;
                last[i] = ns / 1e9;
                increase[i] = i == 700 ? last[i] : (ns - before) / 1e9;
        }
        assert_true(trip_beside(increase, last, N) < 60);
        /* Differences of doubles, which are no decimals. */
        for (uint32_t i = 1; i < N; i++)
                increase[i] = i == 700 ? last[i] : last[i] - last[i - 1];
        assert_true(trip_beside(increase, last, N) < 100);
        assert_true(trip_beside(last, last, N) < 40);
}

static void a_base_of_no_use_does_no_harm(void **state) {
        (void)state;
        static double v[N], base[N];
        uint64_t s = 2;
        for (uint32_t i = 0; i < N; i++) {
                v[i] = (double)(next_random(&s) % 128);
                base[i] = of_bits(next_random(&s));
        }
        size_t alone = trip(v, N);
        assert_true(trip_beside(v, base, N) <= alone);
        v[5] = stale();
        (void)trip_beside(v, base, N);
        (void)trip_beside(base, v, N);
        (void)trip_beside(base, base, N);
}

static void a_failed_buffer_stays_failed(void **state) {
        (void)state;
        static double v[N];
        for (uint32_t i = 0; i < N; i++)
                v[i] = i * i % 1000;
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(100);
        values_encode(v, N, CODEC_SMALL, &b);
        assert_int_equal(buf_error(&b), -EFBIG);
        values_encode_beside(v, v, N, CODEC_SMALL, &b);
        assert_int_equal(buf_error(&b), -EFBIG);
}

/* Every byte that is cut off or changed is refused or gives other values, without a step outside. */
static void hostile_bytes_are_survived(void **state) {
        (void)state;
        static double v[1500], back[1500];
        uint64_t s = 2;
        double m = 0;
        for (uint32_t i = 0; i < 1500; i++)
                v[i] = i % 100 == 3 ? stale() : (m += i % 300 < 150 ? 0 : (double)(next_random(&s) % 64)) / 10;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        values_encode(v, 1500, CODEC_SMALL, &b);
        for (size_t len = 0; len < b.len; len++) {
                CLEANUP_FREE uint8_t *cut = malloc(len ? len : 1);
                assert_non_null(cut);
                memcpy(cut, b.data, len);
                assert_int_equal(values_decode(cut, len, 1500, back), -EBADMSG);
        }
        for (size_t at = 0; at < b.len; at++) {
                b.data[at] ^= (char)(1 << at % 8);
                int e = values_decode((uint8_t *)b.data, b.len, 1500, back);
                assert_true(e == 0 || e == -EBADMSG);
                b.data[at] ^= (char)(1 << at % 8);
        }
        assert_int_equal(values_decode((uint8_t *)b.data, b.len, 0, back), -EBADMSG);
        assert_int_equal(values_decode((uint8_t *)b.data, b.len, CODEC_MAX + 1, back), -EBADMSG);
        buf_put_char(&b, 0);
        assert_int_equal(values_decode((uint8_t *)b.data, b.len, 1500, back), -EBADMSG);
}

static void columns_beside_are_not_read_alone(void **state) {
        (void)state;
        double v[100], base[100], back[100];
        uint64_t s = 2;
        for (uint32_t i = 0; i < 100; i++)
                v[i] = base[i] = (double)(next_random(&s) % 100000);
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        values_encode_beside(v, base, 100, CODEC_SMALL, &b);
        assert_int_equal(values_decode((uint8_t *)b.data, b.len, 100, back), -EBADMSG);
        buf_reset(&b);
        values_encode(v, 100, CODEC_SMALL, &b);
        assert_int_equal(values_decode_beside((uint8_t *)b.data, b.len, base, 100, back), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(constants_are_a_few_bytes),
                cmocka_unit_test(lines_are_a_few_bytes),
                cmocka_unit_test(every_length_comes_back),
                cmocka_unit_test(parts_of_every_width),
                cmocka_unit_test(short_columns_have_short_heads),
                cmocka_unit_test(decimals_come_back_small),
                cmocka_unit_test(nanoseconds_beyond_exact_whole_numbers_come_back),
                cmocka_unit_test(whole_numbers_up_to_2_62_and_above),
                cmocka_unit_test(multiples_do_not_pay_for_their_divisor),
                cmocka_unit_test(staleness_does_not_spoil_the_rest),
                cmocka_unit_test(resets_and_bursts_stay_where_they_are),
                cmocka_unit_test(idle_stretches_cost_next_to_nothing),
                cmocka_unit_test(any_bits_come_back),
                cmocka_unit_test(sums_of_decimals_pay_for_their_errors_only),
                cmocka_unit_test(floats_lose_their_empty_bits),
                cmocka_unit_test(increase_beside_last_is_nearly_free),
                cmocka_unit_test(a_base_of_no_use_does_no_harm),
                cmocka_unit_test(a_failed_buffer_stays_failed),
                cmocka_unit_test(hostile_bytes_are_survived),
                cmocka_unit_test(columns_beside_are_not_read_alone),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
