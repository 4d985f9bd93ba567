/* The head against a list of what it took. */
#include "store/head/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WINDOW_MS INT64_C(100000)
#define TIMES 4000

static uint64_t next(uint64_t *state) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return *state >> 20;
}

static uint32_t add_series(Head *h, const char *name) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        Label l = { { METRIC_NAME_LABEL, 8 }, { name, strlen(name) } };
        uint32_t ref;
        assert_int_equal(labels_build(&l, 1, &run), LABELS_OK);
        RunHash hash = index_hash(h->index, (uint8_t *)run.data, run.len);
        assert_int_equal(index_add(h->index, hash, (uint8_t *)run.data, run.len, &ref), 0);
        index_series(h->index, ref)->seen = h->current->number;
        return ref;
}

static SampleFault put(Head *h, uint32_t ref, int64_t t, double v) {
        bool same;
        return head_float(h, ref, t, v, WINDOW_MS, &same);
}

/* Samples of all generations together. */
static size_t read_all(const Head *h, uint32_t ref, int64_t begin, int64_t end, Buf *times, Buf *values) {
        buf_reset(times);
        buf_reset(values);
        if (h->frozen)
                assert_int_equal(head_read(h, h->frozen, ref, begin, end, times, values), 0);
        assert_int_equal(head_read(h, h->current, ref, begin, end, times, values), 0);
        return times->len / sizeof(int64_t);
}

static void test_order(void **state) {
        (void)state;
        Head h;
        CLEANUP(buf_deinit) Buf t = BUF_NULL, v = BUF_NULL;
        bool same;
        assert_int_equal(head_init(&h, 10), 0);
        uint32_t ref = add_series(&h, "x");
        assert_int_equal(put(&h, ref, 1000000, 1), SAMPLE_OK);
        assert_int_equal(put(&h, ref, 1000001, 2), SAMPLE_OK);
        assert_int_equal(head_float(&h, ref, 1000001, 2, WINDOW_MS, &same), SAMPLE_OK);
        assert_true(same);
        assert_int_equal(put(&h, ref, 1000001, 3), SAMPLE_DUPLICATE);
        assert_int_equal(put(&h, ref, 999999, 0), SAMPLE_OK);
        assert_int_equal(put(&h, ref, 999999, 5), SAMPLE_DUPLICATE);
        assert_int_equal(put(&h, ref, 1000001 - WINDOW_MS, 7), SAMPLE_OK);
        assert_int_equal(put(&h, ref, 1000000 - WINDOW_MS, 7), SAMPLE_TOO_OLD);
        assert_int_equal(read_all(&h, ref, INT64_MIN, INT64_MAX, &t, &v), 4);
        assert_int_equal(read_all(&h, ref, 999999, 1000000, &t, &v), 1);
        assert_int_equal(h.current->samples, 4);
        assert_true(h.current->min_ms == 1000001 - WINDOW_MS && h.current->max_ms == 1000001);
        head_deinit(&h);
}

/* Random times about a moving newest; frozen and thawed now and then. What was thawed is forgotten. */
static void test_against_a_list(void **state) {
        (void)state;
        static double truth[TIMES];
        static uint8_t where[TIMES]; /* 0: nowhere, 1: current, 2: frozen, 3: gone */
        uint64_t random = 1;
        for (int round = 0; round < 60; round++) {
                Head h;
                CLEANUP(buf_deinit) Buf t = BUF_NULL, v = BUF_NULL;
                int64_t newest = -1;
                memset(where, 0, sizeof where);
                assert_int_equal(head_init(&h, 10), 0);
                uint32_t ref = add_series(&h, "x");
                (void)add_series(&h, "y");
                for (int i = 0; i < 3000; i++) {
                        int64_t at = newest + 1 + (int64_t)(next(&random) % 3);
                        if (next(&random) % 4 == 0 && newest > 0)
                                at = (int64_t)(next(&random) % (uint64_t)(newest + 1));
                        if (at >= TIMES)
                                break;
                        double value = (double)(next(&random) % 3);
                        SampleFault f = head_float(&h, ref, at, value, 500, &(bool){ false });
                        bool known = where[at] == 1 || where[at] == 2;
                        if (known)
                                assert_int_equal(f, truth[at] == value ? SAMPLE_OK : SAMPLE_DUPLICATE);
                        else
                                assert_int_equal(f, at < newest - 500 ? SAMPLE_TOO_OLD : SAMPLE_OK);
                        if (f == SAMPLE_OK && !known) {
                                truth[at] = value;
                                where[at] = 1;
                        }
                        newest = f == SAMPLE_OK && at > newest ? at : newest;
                        if (next(&random) % 200 == 0 && !h.frozen) {
                                assert_int_equal(head_freeze(&h), 0);
                                for (int k = 0; k < TIMES; k++)
                                        where[k] = where[k] == 1 ? 2 : where[k];
                        } else if (next(&random) % 300 == 0 && h.frozen) {
                                head_thaw(&h);
                                for (int k = 0; k < TIMES; k++)
                                        where[k] = where[k] == 2 ? 3 : where[k];
                        }
                        if (next(&random) % 100)
                                continue;
                        int64_t begin = (int64_t)(next(&random) % TIMES) - 1,
                                end = begin + (int64_t)(next(&random) % TIMES);
                        size_t n = 0, want = 0;
                        for (uint8_t generation = 2; generation >= 1; generation--) {
                                const Generation *g = generation == 2 ? h.frozen : h.current;
                                int64_t min, max, least = INT64_MAX, most = INT64_MIN;
                                if (!g)
                                        continue;
                                buf_reset(&t);
                                buf_reset(&v);
                                assert_int_equal(head_read(&h, g, ref, begin, end, &t, &v), 0);
                                const int64_t *times = (const int64_t *)(const void *)t.data;
                                const double *values = (const double *)(const void *)v.data;
                                for (n = 0, want = 0; want < TIMES; want++) {
                                        if (where[want] != generation)
                                                continue;
                                        least = (int64_t)want < least ? (int64_t)want : least;
                                        most = (int64_t)want > most ? (int64_t)want : most;
                                        if ((int64_t)want <= begin || (int64_t)want > end)
                                                continue;
                                        assert_true(n < t.len / sizeof *times && times[n] == (int64_t)want &&
                                                    values[n] == truth[want]);
                                        n++;
                                }
                                assert_int_equal(n, t.len / sizeof *times);
                                assert_int_equal(head_range(&h, g, ref, &min, &max), least <= most);
                                assert_true(least > most || (min == least && max == most));
                        }
                }
                head_deinit(&h);
        }
}

static void test_append(void **state) {
        (void)state;
        Head h;
        CLEANUP(buf_deinit) Buf t = BUF_NULL, v = BUF_NULL;
        static const int64_t times[] = { 10, 20, 30, 30, 40 };
        static const double values[] = { 1, 2, 3, 4, 5 };
        assert_int_equal(head_init(&h, 10), 0);
        uint32_t ref = add_series(&h, "x");
        assert_int_equal(head_append(&h, ref, times, values, 5), 3); /* up to what is not in order */
        assert_int_equal(head_append(&h, ref, times, values, 5), 0);
        assert_int_equal(head_append(&h, ref, times + 4, values + 4, 1), 1);
        assert_int_equal(head_append(&h, ref, times, values, 0), 0);
        assert_int_equal(read_all(&h, ref, INT64_MIN, INT64_MAX, &t, &v), 4);
        /* Gaps that 32 bits do not hold, and more than a tail. */
        int64_t far[100];
        double ones[100];
        for (int i = 0; i < 100; i++) {
                far[i] = 100 + (int64_t)i * (i % 10 ? 1 : 5000000000);
                far[i] = i ? (far[i] > far[i - 1] ? far[i] : far[i - 1] + 1) : far[i];
                ones[i] = i;
        }
        assert_int_equal(head_append(&h, ref, far, ones, 100), 100);
        assert_int_equal(read_all(&h, ref, 99, INT64_MAX, &t, &v), 100);
        assert_memory_equal(t.data, far, sizeof far);
        assert_memory_equal(v.data, ones, sizeof ones);
        head_deinit(&h);
}

static void test_histograms(void **state) {
        (void)state;
        Head h;
        bool same;
        assert_int_equal(head_init(&h, 10), 0);
        uint32_t ref = add_series(&h, "x");
#define HISTOGRAM(t, text) head_histogram(&h, ref, t, (const uint8_t *)(text), strlen(text), WINDOW_MS, &same)
        assert_int_equal(HISTOGRAM(1000000, "one"), SAMPLE_OK);
        assert_int_equal(put(&h, ref, 1000000, 1), SAMPLE_DUPLICATE);
        assert_int_equal(put(&h, ref, 1000001, 1), SAMPLE_OK);
        assert_int_equal(HISTOGRAM(1000001, "two"), SAMPLE_DUPLICATE);
        assert_int_equal(HISTOGRAM(1000000, "one"), SAMPLE_OK);
        assert_true(same);
        assert_int_equal(HISTOGRAM(1000000, "uno"), SAMPLE_DUPLICATE);
        assert_int_equal(HISTOGRAM(1000000 - WINDOW_MS, "old"), SAMPLE_TOO_OLD);
        assert_int_equal(head_freeze(&h), 0);
        assert_int_equal(HISTOGRAM(1000000, "one"), SAMPLE_OK);
        assert_true(same);
        assert_int_equal(HISTOGRAM(1000000, "uno"), SAMPLE_DUPLICATE);
        assert_int_equal(HISTOGRAM(1000002, "new"), SAMPLE_OK);
        const Aside *a = head_aside(&h, h.frozen, ref);
        assert_int_equal(a->n_histograms, 1);
        assert_int_equal(head_next(h.frozen, ref, INT64_MIN), 1000000);
        assert_int_equal(head_next(h.frozen, ref, 1000000), 1000001);
        assert_true(head_next(h.frozen, ref, 1000001) == INT64_MAX);
        assert_int_equal(head_aside(&h, h.current, ref)->n_histograms, 1);
        head_deinit(&h);
}

static void test_collect(void **state) {
        (void)state;
        Head h;
        CLEANUP(buf_deinit) Buf t = BUF_NULL, v = BUF_NULL;
        char name[16];
        uint32_t dropped;
        assert_int_equal(head_init(&h, 1000), 0);
        for (int i = 0; i < 300; i++) {
                (void)snprintf(name, sizeof name, "s%d", i);
                assert_int_equal(put(&h, add_series(&h, name), 100000, i), SAMPLE_OK);
        }
        for (int round = 0; round < 3; round++) {
                assert_int_equal(head_freeze(&h), 0);
                head_thaw(&h);
                for (uint32_t i = 0; i < 300; i += 3)
                        assert_int_equal(put(&h, i, 200000 + round, i), SAMPLE_OK);
                assert_int_equal(put(&h, 3, 150000 + round, 1), SAMPLE_OK); /* aside */
        }
        uint32_t epoch = h.epoch;
        assert_int_equal(head_dead(&h, 3), 200);
        assert_int_equal(head_collect(&h, 3, &dropped), 0);
        assert_int_equal(dropped, 200);
        assert_int_equal(index_count(h.index), 100);
        assert_true(h.epoch != epoch);
        for (uint32_t i = 0; i < 100; i++) {
                CLEANUP(buf_deinit) Buf run = BUF_NULL;
                CLEANUP(buf_deinit) Buf text = BUF_NULL;
                index_run(h.index, i, &run);
                labels_print((uint8_t *)run.data, run.len, &text);
                (void)snprintf(name, sizeof name, "s%u", i * 3);
                assert_non_null(strstr(buf_cstr(&text), name));
                size_t n = read_all(&h, i, INT64_MIN, INT64_MAX, &t, &v);
                assert_int_equal(n, i == 1 ? 2 : 1);
                assert_true(((const double *)(const void *)v.data)[n - 1] == i * 3);
                assert_int_equal(index_find(h.index, index_hash(h.index, (uint8_t *)run.data, run.len)), i);
        }
        /* Everything goes on as before. */
        assert_int_equal(put(&h, 1, 200002, 3), SAMPLE_OK);
        assert_int_equal(put(&h, 1, 200002, 4), SAMPLE_DUPLICATE);
        assert_int_equal(put(&h, 1, 150002, 1), SAMPLE_OK);
        assert_int_equal(put(&h, 1, 150002, 2), SAMPLE_DUPLICATE);
        assert_int_equal(head_freeze(&h), 0);
        assert_int_equal(read_all(&h, 1, INT64_MIN, INT64_MAX, &t, &v), 2);
        head_deinit(&h);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order), cmocka_unit_test(test_against_a_list), cmocka_unit_test(test_append),
                cmocka_unit_test(test_histograms), cmocka_unit_test(test_collect),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
