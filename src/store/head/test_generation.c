/* Generations: what is sealed comes back bit for bit, what is aside stays in order. */
#include "store/head/generation.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLES 2000u

static uint64_t next(uint64_t *state) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return *state >> 20;
}

/* Values of every form: equal, whole numbers that differ by little or much, anything. */
static double some_value(uint64_t *random, unsigned form, double before) {
        uint64_t bits;
        double v;
        switch (form) {
        case 0:
                return before;
        case 1:
                return before + (double)(next(random) % 200) - 100;
        case 2:
                return before + (double)(next(random) % 60000) - 30000;
        case 3:
                return (double)(int64_t)(next(random) % UINT64_C(4000000000)) - 2e9;
        case 4:
                return next(random) % 4 ? 9007199254740992.0 : -9007199254740992.0;
        case 5:
                return next(random) % 2 ? -0.0 : 0.0;
        default:
                bits = next(random) << 40 ^ next(random);
                memcpy(&v, &bits, sizeof v);
                return v;
        }
}

/* Seals a chain of chunks of random lengths and spacing; the arrays are what it has. */
static uint32_t make_chain(Generation *g, uint64_t *random, int64_t *times, double *values, uint32_t n) {
        uint32_t chunk = 0;
        int64_t t = (int64_t)(next(random) % 1000) - 500;
        double v = 5;
        for (uint32_t at = 0; at < n;) {
                TailSample tail[TAIL_MAX];
                uint8_t count = (uint8_t)(1 + next(random) % TAIL_MAX);
                unsigned form = (unsigned)(next(random) % 7);
                uint32_t step = next(random) % 3 ? 15000 : 0, after = 0;
                count = count < n - at ? count : (uint8_t)(n - at);
                t += 1 + (int64_t)(next(random) % 20000);
                if (next(random) % 50 == 0)
                        step = UINT32_MAX / TAIL_MAX;
                for (uint8_t i = 0; i < count; i++) {
                        v = some_value(random, form, isfinite(v) && fabs(v) < 1e9 && v == floor(v) ? v : 5);
                        tail[i] = (TailSample){ after, v };
                        times[at + i] = t + after;
                        values[at + i] = v;
                        after += step ? step : 1 + (uint32_t)(next(random) % 30000);
                }
                assert_int_equal(generation_seal(g, chunk, t, tail, count, &chunk), 0);
                at += count;
                t = times[at - 1];
        }
        return chunk;
}

static void test_chains(void **state) {
        (void)state;
        static int64_t times[SAMPLES];
        static double values[SAMPLES];
        uint64_t random = 1;
        for (int round = 0; round < 200; round++) {
                Generation *g;
                CLEANUP(buf_deinit) Buf t = BUF_NULL, v = BUF_NULL;
                int64_t min, max;
                double found;
                uint32_t n = 1 + (uint32_t)(next(&random) % SAMPLES);
                assert_int_equal(generation_new(1, &g), 0);
                uint32_t chunk = make_chain(g, &random, times, values, n);
                assert_int_equal(generation_chain(g, chunk, INT64_MIN, INT64_MAX, &t, &v), 0);
                assert_int_equal(t.len, n * sizeof *times);
                assert_memory_equal(t.data, times, t.len);
                assert_memory_equal(v.data, values, v.len);
                assert_true(generation_range(g, chunk, &min, &max));
                assert_true(min == times[0] && max == times[n - 1]);
                for (int k = 0; k < 50; k++) {
                        uint32_t i = (uint32_t)(next(&random) % n);
                        assert_true(generation_find(g, chunk, times[i], &found));
                        assert_memory_equal(&found, &values[i], sizeof found);
                        if (i + 1 < n && times[i + 1] > times[i] + 1)
                                assert_false(generation_find(g, chunk, times[i] + 1, &found));
                        assert_true(generation_next(g, chunk, times[i]) == (i + 1 < n ? times[i + 1] : INT64_MAX));
                }
                /* A range gets all that is in it, and no chunk that is not. */
                uint32_t a = (uint32_t)(next(&random) % n), b = a + (uint32_t)(next(&random) % (n - a));
                buf_reset(&t);
                buf_reset(&v);
                assert_int_equal(generation_chain(g, chunk, times[a] - 1, times[b], &t, &v), 0);
                size_t got = t.len / sizeof *times;
                const int64_t *own = (const int64_t *)(const void *)t.data;
                assert_true(got >= b - a + 1 && got <= b - a + 1 + 2 * TAIL_MAX);
                bool has = false;
                for (size_t i = 0; i < got; i++)
                        has = has || own[i] == times[a];
                assert_true(has);
                (void)generation_unref(g);
        }
}

/* A history of weeks of one series that is sent again: each sample is looked up. Done by walking from the newest chunk
 * back, this would be 10^11 steps. */
static void test_long_chain(void **state) {
        (void)state;
        enum { N = 2000000, STEP = 10 };
        Generation *g;
        uint32_t chunk = 0;
        double found;
        int64_t min, max;
        assert_int_equal(generation_new(1, &g), 0);
        for (int64_t i = 0; i < N; i += TAIL_MAX) {
                TailSample tail[TAIL_MAX];
                for (uint32_t k = 0; k < TAIL_MAX; k++)
                        tail[k] = (TailSample){ k * STEP, (double)(i + k) };
                assert_int_equal(generation_seal(g, chunk, i * STEP, tail, TAIL_MAX, &chunk), 0);
        }
        for (int64_t i = 0; i < N; i++) {
                assert_true(generation_find(g, chunk, i * STEP, &found) && found == (double)i);
                if (i % 97 == 0) {
                        assert_true(!generation_find(g, chunk, i * STEP - 1, &found) &&
                                    generation_next(g, chunk, i * STEP - 1) == i * STEP);
                        assert_true(generation_range(g, chunk, &min, &max) && min == 0 && max == (N - 1) * STEP);
                }
        }
        for (int64_t i = 0; i < N; i += 999) {
                CLEANUP(buf_deinit) Buf t = BUF_NULL, v = BUF_NULL;
                assert_int_equal(generation_chain(g, chunk, i * STEP - 1, i * STEP, &t, &v), 0);
                assert_true(t.len > 0 && t.len <= 2 * TAIL_MAX * sizeof(int64_t));
        }
        assert_true(generation_memory(g) < (size_t)N * 4); /* what it costs is not felt */
        (void)generation_unref(g);
}

static void test_empty(void **state) {
        (void)state;
        Generation *g;
        CLEANUP(buf_deinit) Buf t = BUF_NULL, v = BUF_NULL;
        int64_t a, b;
        double found;
        assert_int_equal(generation_new(7, &g), 0);
        assert_int_equal(g->number, 7);
        assert_int_equal(generation_chain(g, 0, INT64_MIN, INT64_MAX, &t, &v), 0);
        assert_int_equal(t.len, 0);
        assert_false(generation_range(g, 0, &a, &b));
        assert_false(generation_find(g, 0, 1, &found));
        assert_true(generation_next(g, 0, INT64_MIN) == INT64_MAX);
        assert_int_equal(generation_memory(g), 0);
        Generation *same = generation_ref(g);
        assert_null(generation_unref(g));
        assert_int_equal(same->number, 7);
        (void)generation_unref(same);
        assert_null(generation_unref(NULL));
}

static void test_aside(void **state) {
        (void)state;
        Generation *g;
        uint64_t random = 3;
        uint32_t aside = 0, other = 0;
        static double truth[3000];
        static bool there[3000];
        assert_int_equal(generation_new(1, &g), 0);
        Aside *a = generation_aside(g, 5, &aside);
        assert_int_equal(a->ref, 5);
        for (int i = 0; i < 4000; i++) {
                uint32_t t = (uint32_t)(next(&random) % 3000);
                double v = (double)(next(&random) % 3);
                a = generation_aside(g, 5, &aside);
                AsideAnswer answer = aside_float(g, a, t, v);
                assert_int_equal(answer, !there[t] ? ASIDE_TAKEN : truth[t] == v ? ASIDE_SAME : ASIDE_OTHER);
                if (!there[t])
                        truth[t] = v;
                there[t] = true;
                if (i == 100) /* moves the lists */
                        for (uint32_t k = 0; k < 40; k++, other = 0)
                                assert_non_null(generation_aside(g, 6 + k, &other));
        }
        uint32_t at = 0;
        a = generation_aside(g, 5, &aside);
        for (uint32_t t = 0; t < 3000; t++)
                if (there[t]) {
                        assert_true(at < a->n && a->times[at] == t && a->values[at] == truth[t]);
                        at++;
                }
        assert_int_equal(at, a->n);
        (void)generation_unref(g);
}

static void test_histograms_aside(void **state) {
        (void)state;
        Generation *g;
        uint64_t random = 4;
        uint32_t aside = 0;
        static uint8_t truth[500][40];
        static size_t len[500];
        static bool there[500];
        assert_int_equal(generation_new(1, &g), 0);
        for (int i = 0; i < 1500; i++) {
                uint32_t t = (uint32_t)(next(&random) % 500);
                uint8_t bytes[40];
                size_t n = next(&random) % sizeof bytes;
                memset(bytes, (int)(next(&random) % 2), sizeof bytes);
                AsideAnswer answer = aside_histogram(g, generation_aside(g, 0, &aside), t, bytes, n);
                bool same = there[t] && len[t] == n && memcmp(truth[t], bytes, n) == 0;
                assert_int_equal(answer, !there[t] ? ASIDE_TAKEN : same ? ASIDE_SAME : ASIDE_OTHER);
                if (there[t])
                        continue;
                there[t] = true;
                len[t] = n;
                memcpy(truth[t], bytes, n);
        }
        const Aside *a = generation_aside(g, 0, &aside);
        uint32_t at = 0;
        for (uint32_t t = 0; t < 500; t++) {
                if (!there[t])
                        continue;
                assert_true(at < a->n_histograms && a->histogram_times[at] == t);
                assert_int_equal(a->histogram_offsets[at + 1] - a->histogram_offsets[at], len[t]);
                assert_memory_equal(a->bytes.data + a->histogram_offsets[at], truth[t], len[t]);
                at++;
        }
        assert_int_equal(at, a->n_histograms);
        (void)generation_unref(g);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_chains), cmocka_unit_test(test_long_chain),       cmocka_unit_test(test_empty),
                cmocka_unit_test(test_aside),  cmocka_unit_test(test_histograms_aside),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
