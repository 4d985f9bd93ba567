#include "store/codec/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define N 5000u

static uint64_t next_random(uint64_t *s) {
        *s = *s * 6364136223846793005u + 1442695040888963407u;
        return *s >> 33;
}

static size_t trip(const int64_t *times, uint32_t n) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP_FREE int64_t *back = calloc(n, sizeof *back);
        assert_non_null(back);
        buf_put_char(&b, 'x');
        times_encode(times, n, &b);
        assert_int_equal(buf_error(&b), 0);
        size_t len = b.len - 1;
        CLEANUP_FREE uint8_t *column = malloc(len);
        assert_non_null(column);
        memcpy(column, b.data + 1, len);
        assert_int_equal(times_decode(column, len, n, back), 0);
        assert_memory_equal(back, times, n * sizeof *back);
        return len;
}

static void steady_columns_are_a_few_bytes(void **state) {
        (void)state;
        static int64_t t[CODEC_MAX];
        for (uint32_t i = 0; i < CODEC_MAX; i++)
                t[i] = 1700000000123 + (int64_t)i * 10000;
        assert_true(trip(t, CODEC_MAX) <= 12);
        assert_true(trip(t, 1) <= 12);
        assert_true(trip(t, 2) <= 12);
}

static void jitter_costs_its_own_bits(void **state) {
        (void)state;
        static int64_t t[N];
        uint64_t s = 1;
        for (uint32_t i = 0; i < N; i++)
                t[i] = 1700000000000 + (int64_t)i * 10000 + (int64_t)(next_random(&s) % 11) - 5;
        /* log2(11) bits are 0.43 bytes. */
        assert_true(trip(t, N) < N * 54 / 100);
        assert_true(trip(t, 60) < 60);
}

static void missing_beats_are_cheap(void **state) {
        (void)state;
        static int64_t t[N];
        uint64_t s = 1;
        int64_t beat = 170000000;
        for (uint32_t i = 0; i < N; i++)
                t[i] = 10000 * (beat += i % 500 == 499 ? 2 + (int64_t)(next_random(&s) % 100) : 1);
        assert_true(trip(t, N) < 160);
        for (uint32_t i = 0; i < N; i++)
                t[i] += (int64_t)(next_random(&s) % 11);
        assert_true(trip(t, N) < N * 54 / 100 + 120);
}

static void drift_and_seconds_come_back_small(void **state) {
        (void)state;
        static int64_t t[N];
        uint64_t s = 1;
        int64_t at = 1700000000000;
        for (uint32_t i = 0; i < N; i++)
                t[i] = at += 10000 + (int64_t)(next_random(&s) % 8);
        assert_true(trip(t, N) < N / 2);
        for (uint32_t i = 0; i < N; i++)
                t[i] = at += 1000 * (14 + (int64_t)(next_random(&s) % 3));
        assert_true(trip(t, N) < N / 2);
}

static void any_instants_come_back(void **state) {
        (void)state;
        const int64_t wide[] = { INT64_MIN, INT64_MIN + 1, -5, 0, 7, INT64_MAX - 1, INT64_MAX };
        for (uint32_t n = 1; n <= ARRAY_LEN(wide); n++)
                for (uint32_t from = 0; from + n <= ARRAY_LEN(wide); from++)
                        (void)trip(wide + from, n);
        static int64_t t[N];
        uint64_t s = 7;
        for (unsigned shift = 0; shift < 50; shift += 7) {
                t[0] = (int64_t)next_random(&s);
                for (uint32_t i = 1; i < N; i++)
                        t[i] = t[i - 1] + 1 +
                               (int64_t)((next_random(&s) << 20 ^ next_random(&s)) & (((uint64_t)1 << shift) - 1));
                (void)trip(t, N);
        }
}

static void hostile_bytes_are_survived(void **state) {
        (void)state;
        static int64_t t[1500], back[1500];
        uint64_t s = 1;
        for (uint32_t i = 0; i < 1500; i++)
                t[i] = (int64_t)(i + i / 700) * 10000 + (int64_t)(next_random(&s) % 11);
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        times_encode(t, 1500, &b);
        for (size_t len = 0; len < b.len; len++) {
                CLEANUP_FREE uint8_t *cut = malloc(len ? len : 1);
                assert_non_null(cut);
                memcpy(cut, b.data, len);
                assert_int_equal(times_decode(cut, len, 1500, back), -EBADMSG);
        }
        for (size_t at = 0; at < b.len; at++) {
                b.data[at] ^= (char)(1 << at % 8);
                int e = times_decode((uint8_t *)b.data, b.len, 1500, back);
                assert_true(e == 0 || e == -EBADMSG);
                for (uint32_t i = 1; e == 0 && i < 1500; i++)
                        assert_true(back[i] > back[i - 1]);
                b.data[at] ^= (char)(1 << at % 8);
        }
        const uint8_t still[] = { 0, 2, 0 }; /* a step of nothing */
        assert_int_equal(times_decode(still, sizeof still, 1, back), 0);
        assert_int_equal(times_decode(still, sizeof still, 2, back), -EBADMSG);
        assert_int_equal(times_decode(still, sizeof still, 0, back), -EBADMSG);
        assert_int_equal(times_decode(still, sizeof still, CODEC_MAX + 1, back), -EBADMSG);
}

static void a_failed_buffer_stays_failed(void **state) {
        (void)state;
        static int64_t t[N];
        for (uint32_t i = 0; i < N; i++)
                t[i] = (int64_t)i * i;
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(64);
        times_encode(t, N, &b);
        assert_int_equal(buf_error(&b), -EFBIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(steady_columns_are_a_few_bytes), cmocka_unit_test(jitter_costs_its_own_bits),
                cmocka_unit_test(missing_beats_are_cheap),        cmocka_unit_test(drift_and_seconds_come_back_small),
                cmocka_unit_test(any_instants_come_back),         cmocka_unit_test(hostile_bytes_are_survived),
                cmocka_unit_test(a_failed_buffer_stays_failed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
