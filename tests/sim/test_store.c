/* The store through its front door: requests in, views out, with the clocks in the test's hand. */
#include "base/crc32c.h"
#include "store/store_priv.h"
#include "store_fix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Every test runs on the simulated disk; those that are about files also in a directory. */
static int setup(void **state) {
        Fix *f = calloc(1, sizeof *f);
        fix_init(f, 1);
        *state = f;
        return 0;
}

static int setup_directory(void **state) {
        Fix *f = calloc(1, sizeof *f);
        fix_init_directory(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fix *f = *state;
        fix_deinit(f);
        free(f);
        return 0;
}

static void expect_samples(Fix *f, const char *series, const int64_t *times, const uint64_t *bits, size_t n) {
        assert_int_equal(fix_read_all(f, series), n);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(f->samples.times[i], times[i]);
                assert_int_equal(bits_of(f->samples.values[i]), bits[i]);
        }
}

/* ---- Bits ---- */

static const uint64_t ODD_BITS[] = {
        UINT64_C(0x7ff8000000000000), STALE_BITS, UINT64_C(0x7ff4deadbeef0001), UINT64_C(0xfff8000000000123), /* NaNs */
        UINT64_C(0x8000000000000000), 0, 1, UINT64_C(0x000fffffffffffff),                                  /* -0, 0, denormals */
        UINT64_C(0x7ff0000000000000), UINT64_C(0xfff0000000000000), UINT64_C(0x7fefffffffffffff), UINT64_C(0x3ff0000000000001),
};

static void send_odd(Fix *f, int64_t times[static ARRAY_LEN(ODD_BITS)]) {
        for (size_t i = 0; i < ARRAY_LEN(ODD_BITS); i++) {
                times[i] = FIX_EPOCH + (int64_t)i * 1000;
                assert_int_equal(fix_send(f, "odd{a=b}", times[i], double_of(ODD_BITS[i])), SAMPLE_OK);
        }
}

static void test_bits_survive(void **state) {
        Fix *f = *state;
        int64_t times[ARRAY_LEN(ODD_BITS)];
        fix_open(f);
        send_odd(f, times);
        expect_samples(f, "odd{a=b}", times, ODD_BITS, ARRAY_LEN(ODD_BITS)); /* from the head */
        fix_flush(f, false);
        expect_samples(f, "odd{a=b}", times, ODD_BITS, ARRAY_LEN(ODD_BITS)); /* from a part */
        fix_flush(f, true);
        expect_samples(f, "odd{a=b}", times, ODD_BITS, ARRAY_LEN(ODD_BITS)); /* from a final one */
        fix_close(f);
        fix_open(f);
        expect_samples(f, "odd{a=b}", times, ODD_BITS, ARRAY_LEN(ODD_BITS));
}

static void test_bits_survive_a_kill(void **state) {
        Fix *f = *state;
        int64_t times[ARRAY_LEN(ODD_BITS)];
        fix_open(f);
        send_odd(f, times);
        fix_power_cut(f, 7);
        fix_open(f);
        expect_samples(f, "odd{a=b}", times, ODD_BITS, ARRAY_LEN(ODD_BITS)); /* from the log */
        assert_int_equal(f->events[STORE_EVENT_DAMAGE], 0);
}

/* ---- Order ---- */

static void test_order(void **state) {
        Fix *f = *state;
        static const int64_t times[] = { FIX_EPOCH - 3600000, FIX_EPOCH - 1800000, FIX_EPOCH };
        static const double values[] = { 1, 2, 3 };
        uint64_t bits[3];
        for (size_t i = 0; i < 3; i++)
                bits[i] = bits_of(values[i]);
        fix_open(f);
        assert_int_equal(fix_send(f, "x", times[2], 3), SAMPLE_OK);
        assert_int_equal(fix_send(f, "x", times[0], 1), SAMPLE_OK); /* late, within the window */
        assert_int_equal(fix_send(f, "x", times[1], 2), SAMPLE_OK);
        assert_int_equal(fix_send(f, "x", times[1], 2), SAMPLE_OK); /* again */
        assert_int_equal(fix_send(f, "x", times[1], 9), SAMPLE_DUPLICATE);
        assert_int_equal(fix_send(f, "x", times[2], 9), SAMPLE_DUPLICATE);
        assert_int_equal(fix_send(f, "x", times[2] - 2 * HOUR_MS, 5), SAMPLE_OK); /* at the window's very end */
        assert_int_equal(fix_send(f, "x", times[2] - 2 * HOUR_MS - 1, 5), SAMPLE_TOO_OLD);
        assert_int_equal(fix_read(f, STORE_RAW, ROLLUP_LAST, "x", times[0] - 1, INT64_MAX), 3);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(bits_of(f->samples.values[i]), bits[i]);
        fix_flush(f, true);
        assert_int_equal(fix_read_all(f, "x"), 4);
}

/* Of two samples of one instant the first written is kept, wherever they are. */
static void test_first_written_wins(void **state) {
        Fix *f = *state;
        int64_t t = FIX_EPOCH;
        fix_open(f);
        assert_int_equal(fix_send(f, "x", t, 1), SAMPLE_OK);
        fix_flush(f, false);
        assert_int_equal(fix_send(f, "x", t, 2), SAMPLE_OK); /* the first is in a part, where nobody looks */
        assert_int_equal(fix_send(f, "x", t + 1, 3), SAMPLE_OK);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(fix_read_all(f, "x"), 2);
                assert_true(f->samples.values[0] == 1 && f->samples.values[1] == 3);
                if (i == 1)
                        assert_int_equal(fix_send(f, "x", t, 4), SAMPLE_OK);
                fix_flush(f, i > 0);
        }
        fix_close(f);
        fix_open(f);
        assert_int_equal(fix_read_all(f, "x"), 2);
        assert_true(f->samples.values[0] == 1);
}

/* A part that is written anew for a deletion keeps its place among the others. */
static void test_first_written_wins_after_a_deletion(void **state) {
        Fix *f = *state;
        int64_t t = FIX_EPOCH;
        fix_open(f);
        for (int part = 1; part <= 5; part++) {
                if (part == 3)
                        assert_int_equal(fix_send(f, "gone", t, 1), SAMPLE_OK);
                if (part >= 3) {
                        assert_int_equal(fix_send(f, "x", t, part), SAMPLE_OK);
                }
                assert_int_equal(fix_send(f, "y", t + part, part), SAMPLE_OK);
                fix_flush(f, false);
        }
        assert_int_equal(fix_delete(f, "__name__=gone", INT64_MIN, INT64_MAX), 0);
        fix_settle(f);
        for (int part = 6; part <= 12; part++) {
                assert_int_equal(fix_send(f, "y", t + part, part), SAMPLE_OK);
                fix_flush(f, false);
                fix_settle(f);
        }
        assert_int_equal(fix_read_all(f, "x"), 1);
        assert_true(f->samples.values[0] == 3);
        fix_flush(f, true);
        assert_int_equal(fix_read_all(f, "x"), 1);
        assert_true(f->samples.values[0] == 3);
}

static void test_times_out_of_range(void **state) {
        Fix *f = *state;
        int64_t now = FIX_EPOCH;
        fix_open(f);
        assert_int_equal(fix_send(f, "x", now + 600 * 1000, 1), SAMPLE_OK);
        assert_int_equal(fix_send(f, "x", now + 600 * 1000 + 1, 1), SAMPLE_TOO_NEW);
        assert_int_equal(fix_send(f, "y", now - 30 * DAY_MS, 1), SAMPLE_OK);
        assert_int_equal(fix_send(f, "y", now - 30 * DAY_MS - 1, 1), SAMPLE_EXPIRED);
        assert_int_equal(fix_send(f, "z", INT64_MAX, 1), SAMPLE_TOO_NEW);
        assert_int_equal(fix_send(f, "z", INT64_MIN, 1), SAMPLE_EXPIRED);
        assert_int_equal(fix_send(f, "z", INT64_MIN + 1, 1), SAMPLE_EXPIRED);
        assert_int_equal(fix_send(f, "z", 0, 1), SAMPLE_EXPIRED);
        assert_int_equal(fix_read_all(f, "x"), 1);
        assert_int_equal(fix_read_all(f, "z"), 0);
}

static void test_a_century(void **state) {
        Fix *f = *state;
        static const int64_t times[] = { -5 * DAY_MS, -1, 0, 1, DAY_MS, 365 * DAY_MS, FIX_EPOCH };
        static const double values[] = { 1, 2, 3, 4, 5, 6, 7 };
        uint64_t bits[ARRAY_LEN(times)];
        for (size_t i = 0; i < ARRAY_LEN(times); i++)
                bits[i] = bits_of(values[i]);
        f->options.keep[STORE_RAW] = SECONDS(100 * INT64_C(365) * 86400);
        f->options.keep[STORE_5M] = f->options.keep[STORE_1H] = f->options.keep[STORE_RAW];
        f->options.out_of_order = f->options.keep[STORE_RAW];
        fix_open(f);
        assert_int_equal(fix_send_many(f, "x", times, values, ARRAY_LEN(times)), SAMPLE_OK);
        for (int i = 0; i < 3; i++) {
                expect_samples(f, "x", times, bits, ARRAY_LEN(times));
                fix_flush(f, i > 0);
        }
        fix_settle(f);
        expect_samples(f, "x", times, bits, ARRAY_LEN(times));
        assert_int_equal(fix_read(f, STORE_5M, ROLLUP_LAST, "x", INT64_MIN, INT64_MAX), ARRAY_LEN(times) - 2); /* -1 and 0; not today's */
}

/* A partition is begin < t <= end. */
static void test_midnight(void **state) {
        Fix *f = *state;
        int64_t m = FIX_EPOCH;
        const int64_t times[] = { m - 1, m, m + 1 };
        static const double values[] = { 1, 2, 3 };
        StoreStats x;
        fix_open(f);
        assert_int_equal(fix_send_many(f, "x", times, values, 3), SAMPLE_OK);
        fix_flush(f, false);
        store_stats(f->store, &x);
        assert_int_equal(x.tier[STORE_RAW].parts, 2);
        assert_int_equal(fix_read(f, STORE_RAW, ROLLUP_LAST, "x", m - 1, m), 1);
        assert_int_equal(f->samples.times[0], m);
        assert_int_equal(fix_read(f, STORE_RAW, ROLLUP_LAST, "x", m, m + 1), 1);
        assert_int_equal(fix_read(f, STORE_RAW, ROLLUP_LAST, "x", m - 2, m + 1), 3);
        assert_int_equal(fix_read(f, STORE_RAW, ROLLUP_LAST, "x", m, m), 0);
}

/* Gaps of more milliseconds than 32 bits hold. */
static void test_large_gaps(void **state) {
        Fix *f = *state;
        static const int64_t times[] = { FIX_EPOCH - 300 * DAY_MS, FIX_EPOCH - 200 * DAY_MS, FIX_EPOCH - 200 * DAY_MS + 1, FIX_EPOCH };
        static const double values[] = { 1, 2, 3, 4 };
        uint64_t bits[4];
        for (size_t i = 0; i < 4; i++)
                bits[i] = bits_of(values[i]);
        f->options.keep[STORE_RAW] = SECONDS(400 * 86400);
        fix_open(f);
        assert_int_equal(fix_send_many(f, "x", times, values, 4), SAMPLE_OK);
        expect_samples(f, "x", times, bits, 4);
        fix_flush(f, false);
        expect_samples(f, "x", times, bits, 4);
}

/* ---- Histograms ---- */

static void test_histograms(void **state) {
        Fix *f = *state;
        int64_t t = FIX_EPOCH;
        fix_open(f);
        assert_int_equal(fix_send_histogram(f, "h", t, "abc", 3), SAMPLE_OK);
        assert_int_equal(fix_send_histogram(f, "h", t + 2, "", 0), SAMPLE_OK);
        assert_int_equal(fix_send_histogram(f, "h", t + 1, "defg", 4), SAMPLE_OK);
        assert_int_equal(fix_send_histogram(f, "h", t + 1, "defg", 4), SAMPLE_OK);
        assert_int_equal(fix_send_histogram(f, "h", t + 1, "defx", 4), SAMPLE_DUPLICATE);
        assert_int_equal(fix_send(f, "h", t + 1, 1), SAMPLE_DUPLICATE);
        assert_int_equal(fix_send_histogram(f, "h", t - 3 * HOUR_MS, "x", 1), SAMPLE_TOO_OLD);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(fix_read_histograms(f, "h"), 3);
                assert_int_equal(f->histograms.offsets[3], 7);
                assert_memory_equal(f->histograms.bytes.data, "abcdefg", 7);
                fix_flush(f, i > 0);
        }
}

/* A series with floats and histograms in turn: its chunks may not overlap. */
static void test_mixed(void **state) {
        Fix *f = *state;
        int64_t t = FIX_EPOCH;
        fix_open(f);
        for (int i = 0; i < 40; i++) {
                if (i % 3 == 1)
                        assert_int_equal(fix_send_histogram(f, "m", t + i, &i, sizeof i), SAMPLE_OK);
                else
                        assert_int_equal(fix_send(f, "m", t + i, i), SAMPLE_OK);
                if (i == 20)
                        fix_flush(f, false);
        }
        for (int round = 0; round < 3; round++) {
                assert_int_equal(fix_read_all(f, "m"), 27);
                for (size_t i = 0; i < 27; i++)
                        assert_true((double)(f->samples.times[i] - t) == f->samples.values[i]);
                assert_int_equal(fix_read_histograms(f, "m"), 13);
                for (size_t i = 0; i < 13; i++) {
                        int own;
                        assert_int_equal(f->histograms.offsets[i + 1] - f->histograms.offsets[i], sizeof own);
                        memcpy(&own, f->histograms.bytes.data + f->histograms.offsets[i], sizeof own);
                        assert_int_equal(f->histograms.times[i] - t, own);
                }
                fix_flush(f, round > 0);
        }
}

/* An instant that has both, since one of them was in a part already. */
static void test_mixed_at_one_instant(void **state) {
        Fix *f = *state;
        int64_t t = FIX_EPOCH;
        fix_open(f);
        assert_int_equal(fix_send_histogram(f, "m", t, "abc", 3), SAMPLE_OK);
        assert_int_equal(fix_send(f, "m", t + 1, 2), SAMPLE_OK);
        fix_flush(f, false);
        assert_int_equal(fix_send(f, "m", t, 1), SAMPLE_OK);
        assert_int_equal(fix_send_histogram(f, "m", t + 1, "def", 3), SAMPLE_OK);
        fix_flush(f, true);
        assert_int_equal(fix_read_all(f, "m"), 2);
        assert_int_equal(fix_read_histograms(f, "m"), 0);
}

/* ---- Deleting ---- */

static void test_delete(void **state) {
        Fix *f = *state;
        int64_t t = FIX_EPOCH;
        fix_open(f);
        for (int i = 0; i < 10; i++) {
                assert_int_equal(fix_send(f, "x{a=1}", t + i, i), SAMPLE_OK);
                assert_int_equal(fix_send(f, "x{a=2}", t + i, i), SAMPLE_OK);
                if (i == 4)
                        fix_flush(f, false);
        }
        assert_int_equal(fix_delete(f, "__name__=x a=1", t + 2, t + 7), 0); /* in a part and in the head */
        for (int round = 0; round < 4; round++) {
                assert_int_equal(fix_read_all(f, "x{a=1}"), 5);
                assert_int_equal(f->samples.times[2], t + 2);
                assert_int_equal(f->samples.times[3], t + 8);
                assert_int_equal(fix_read_all(f, "x{a=2}"), 10);
                if (round == 0)
                        fix_settle(f);
                if (round == 1)
                        fix_flush(f, true);
                if (round == 2) {
                        fix_close(f);
                        fix_open(f);
                }
        }
        /* What comes after is there. */
        assert_int_equal(fix_send(f, "x{a=1}", t + 5, 55), SAMPLE_OK);
        assert_int_equal(fix_read_all(f, "x{a=1}"), 6);
        assert_true(f->samples.values[3] == 55);
        fix_flush(f, true);
        assert_int_equal(fix_read_all(f, "x{a=1}"), 6);
        assert_int_equal(fix_delete(f, "a=~[12]", INT64_MIN, INT64_MAX), 0);
        assert_int_equal(fix_count(f, STORE_RAW, "", INT64_MIN, INT64_MAX) == 0 || fix_read_all(f, "x{a=1}") == 0, true);
        fix_settle(f);
        assert_int_equal(fix_count(f, STORE_RAW, "", INT64_MIN, INT64_MAX), 0);
}

static void test_delete_what_text_cannot_say(void **state) {
        Fix *f = *state;
        Matcher m;
        fix_open(f);
        static const Span names[] = { { "a=b", 3 }, { "a!", 2 }, { "", 0 }, { "a\0b", 3 } };
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                assert_int_equal(matcher_init(&m, MATCH_EQUAL, names[i], (Span){ "x", 1 }, NULL), 0);
                assert_int_equal(store_delete(f->store, &m, 1, INT64_MIN, INT64_MAX), -EINVAL);
                matcher_deinit(&m);
        }
        assert_int_equal(matcher_init(&m, MATCH_EQUAL, (Span){ "a", 1 }, (Span){ "x\0y", 3 }, NULL), 0);
        assert_int_equal(store_delete(f->store, &m, 1, INT64_MIN, INT64_MAX), -EINVAL);
        matcher_deinit(&m);
}

/* ---- Retention ---- */

static uint32_t raw_parts(Fix *f) {
        StoreStats x;
        store_stats(f->store, &x);
        return x.tier[STORE_RAW].parts;
}


static void test_retention_by_time(void **state) {
        Fix *f = *state;
        f->options.keep[STORE_RAW] = SECONDS(3 * 86400);
        fix_open(f);
        for (int d = 0; d < 10; d++) {
                assert_int_equal(fix_send(f, "x", f->wall_ms, d), SAMPLE_OK);
                fix_flush(f, false);
                fix_settle(f);
                fix_pass(f, DAY_MS);
        }
        fix_settle(f);
        assert_true(raw_parts(f) >= 3 && raw_parts(f) <= 5);
        assert_int_equal(fix_read_all(f, "x"), raw_parts(f));
        assert_true(f->samples.values[f->samples.n - 1] == 9);
}

/* A clock that jumps a year ahead deletes nothing; when data comes with its time, one partition an hour goes. */
static void test_clock_jump(void **state) {
        Fix *f = *state;
        f->options.out_of_order = SECONDS(30 * 86400);
        fix_open(f);
        for (int d = 0; d < 6; d++) {
                assert_int_equal(fix_send(f, "x", f->wall_ms, d), SAMPLE_OK);
                fix_flush(f, false);
                fix_pass(f, DAY_MS);
        }
        fix_settle(f);
        uint32_t before = raw_parts(f);
        assert_int_equal(before, 6);
        f->wall_ms += 365 * DAY_MS;
        for (int i = 0; i < 100; i++) {
                fix_pass(f, MINUTE_MS);
                fix_settle(f);
        }
        assert_int_equal(raw_parts(f), 6);
        assert_int_equal(fix_send(f, "x", f->wall_ms, 100), SAMPLE_OK);
        fix_settle(f);
        for (int i = 0; i < 30; i++) {
                fix_pass(f, MINUTE_MS);
                fix_settle(f);
        }
        assert_true(fix_read(f, STORE_RAW, ROLLUP_LAST, "x", INT64_MIN, f->wall_ms - 100 * DAY_MS) >= 5);
        for (int i = 0; i < 24 * 60; i += 10) {
                fix_pass(f, 10 * MINUTE_MS);
                fix_settle(f);
        }
        assert_int_equal(fix_read(f, STORE_RAW, ROLLUP_LAST, "x", INT64_MIN, f->wall_ms - 100 * DAY_MS), 0);
        assert_int_equal(fix_read_all(f, "x"), 1);
        /* A clock that is set back deletes nothing either. */
        f->wall_ms -= 365 * DAY_MS;
        fix_pass(f, DAY_MS);
        fix_settle(f);
        assert_int_equal(fix_read_all(f, "x"), 1);
}

typedef struct Cap {
        Fix *f;
        uint64_t raw, rolled;
        uint64_t worst_raw, worst_rolled;
} Cap;

/* Bytes in files of a kind. */
static uint64_t bytes_of(Fix *f, const char *prefix) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        uint64_t sum = 0, size;
        fix_files(f, &names);
        char *rest = NULL;
        for (char *one = strtok_r((char *)(uintptr_t)buf_cstr(&names), " ", &rest); one; one = strtok_r(NULL, " ", &rest))
                if (strncmp(one, prefix, strlen(prefix)) == 0 && vfs_sim_size(f->sim, one, &size))
                        sum += size;
        return sum;
}

static void watch_cap(void *context, SimOp op) {
        Cap *c = context;
        if (op != SIM_APPEND && op != SIM_CREATE && op != SIM_RENAME)
                return;
        vfs_sim_watch(c->f->sim, NULL, NULL);
        uint64_t raw = bytes_of(c->f, "raw-"), rolled = bytes_of(c->f, "5m-");
        c->worst_raw = raw > c->worst_raw ? raw : c->worst_raw;
        c->worst_rolled = rolled > c->worst_rolled ? rolled : c->worst_rolled;
        vfs_sim_watch(c->f->sim, watch_cap, c);
}

static void test_caps_hold(void **state) {
        Fix *f = *state;
        Cap c = { .f = f };
        uint64_t random = 5;
        f->options.max_bytes[STORE_RAW] = 120000;
        f->options.max_bytes[STORE_5M] = 40000;
        f->options.max_bytes[STORE_1H] = 20000;
        fix_open(f);
        vfs_sim_watch(f->sim, watch_cap, &c);
        for (int h = 0; h < 24 * 12; h++) {
                for (int s = 0; s < 10; s++) {
                        char series[32];
                        int64_t times[12];
                        double values[12];
                        (void)snprintf(series, sizeof series, "cap{s=%d}", s);
                        for (int i = 0; i < 12; i++) {
                                times[i] = f->wall_ms + (int64_t)(i * 300000 + sim_below(&random, 1000));
                                values[i] = (double)sim_random(&random) / 7; /* hardly to be compressed */
                        }
                        f->wall_ms += HOUR_MS;
                        assert_int_equal(fix_send_many(f, series, times, values, 12), SAMPLE_OK);
                        f->wall_ms -= HOUR_MS;
                }
                fix_pass(f, HOUR_MS);
                fix_settle(f);
        }
        vfs_sim_watch(f->sim, NULL, NULL);
        StoreStats x;
        store_stats(f->store, &x);
        assert_true(x.deletions > 0 && x.rollups > 3);
        print_message("at most %llu and %llu bytes\n", (unsigned long long)c.worst_raw, (unsigned long long)c.worst_rolled);
        assert_true(c.worst_raw <= f->options.max_bytes[STORE_RAW]);
        assert_true(c.worst_rolled <= f->options.max_bytes[STORE_5M]);
        /* The newest is there. */
        assert_true(fix_read(f, STORE_RAW, ROLLUP_LAST, "cap{s=3}", f->wall_ms - DAY_MS / 2, INT64_MAX) > 100);
        /* A lower cap is reached by and by. */
        f->options.max_bytes[STORE_RAW] = 60000;
        fix_close(f);
        fix_open(f);
        fix_settle(f);
        assert_true(bytes_of(f, "raw-") <= 60000);
        assert_int_equal(f->events[STORE_EVENT_DAMAGE], 0);
}

/* ---- Rolling up ---- */

typedef struct Row {
        int64_t end;
        double count, sum, min, max, last, increase;
} Row;

/* Rows of the samples in `x`, ascending, of one series over all days, computed the plain way. */
static size_t plain_rows(const StoreSamples *x, int64_t length, bool counter, int64_t until, Row *rows) {
        size_t n = 0;
        double before = NAN;
        int64_t before_at = INT64_MIN;
        for (size_t i = 0; i < x->n; i++) {
                double v = x->values[i];
                int64_t end = (x->times[i] + length - 1) / length * length, day = (x->times[i] - 1) / DAY_MS * DAY_MS;
                if (bits_of(v) == STALE_BITS)
                        continue;
                bool near = before_at != INT64_MIN && before_at > day - DAY_MS; /* looked for up to a day before the sample's day */
                double grown = counter && near && !isnan(before) ? v >= before ? v - before : v : 0;
                before = v;
                before_at = x->times[i];
                if (end > until)
                        break;
                if (n == 0 || rows[n - 1].end != end)
                        rows[n++] = (Row){ .end = end, .min = v, .max = v };
                Row *r = &rows[n - 1];
                r->count++;
                r->sum += v;
                r->min = v < r->min || isnan(r->min) ? v : r->min;
                r->max = v > r->max || isnan(r->max) ? v : r->max;
                r->last = v;
                r->increase += grown;
        }
        return n;
}

static double row_value(const Row *r, RollupColumn c) {
        const double all[ROLLUP_COLUMN_COUNT] = { r->count, r->sum, r->min, r->max, r->last, r->increase };
        return all[c];
}

static void check_rollups(Fix *f, const char *series, bool counter, int64_t until) {
        static const int64_t LENGTH[] = { 0, 300000, HOUR_MS };
        StoreSamples raw = { 0 };
        Row *rows = calloc(20000, sizeof *rows);
        (void)fix_read_all(f, series);
        StoreSamples swap = raw;
        raw = f->samples;
        f->samples = swap;
        for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++) {
                size_t n = plain_rows(&raw, LENGTH[tier], counter, until, rows);
                for (int c = 0; c < ROLLUP_COLUMN_COUNT; c++) {
                        bool of_gauge = c == ROLLUP_SUM || c == ROLLUP_MIN || c == ROLLUP_MAX;
                        bool there = counter ? !of_gauge : c != ROLLUP_INCREASE;
                        assert_int_equal(fix_read(f, (StoreTier)tier, (RollupColumn)c, series, INT64_MIN, INT64_MAX), there ? n : 0);
                        for (size_t i = 0; there && i < n; i++) {
                                assert_int_equal(f->samples.times[i], rows[i].end);
                                if (bits_of(f->samples.values[i]) != bits_of(row_value(&rows[i], (RollupColumn)c)))
                                        fail_msg("tier %d column %d row %zu: %g, not %g", tier, c, i, f->samples.values[i], row_value(&rows[i], (RollupColumn)c));
                        }
                }
        }
        store_samples_deinit(&raw);
        free(rows);
}

/* Three days of a counter with resets and a gauge with gaps and markers. */
static void fill_for_rollups(Fix *f) {
        uint64_t random = 11;
        double counter = 1000;
        for (int i = 0; i < 3 * 24 * 12; i++) {
                int64_t t = f->wall_ms + (int64_t)sim_below(&random, 200000);
                counter = sim_below(&random, 60) == 0 ? 5 : counter + (double)sim_below(&random, 100);
                if (i % 288 > 250 && i % 288 < 270) { /* silent */
                        fix_pass(f, 5 * MINUTE_MS);
                        continue;
                }
                assert_int_equal(fix_send(f, "c_total{a=b}", t, counter), SAMPLE_OK);
                assert_int_equal(fix_send(f, "c_total{a=b}", t + 3000, counter + 1), SAMPLE_OK);
                counter += 1;
                bool stale = sim_below(&random, 20) == 0;
                assert_int_equal(fix_send(f, "gauge", t, stale ? double_of(STALE_BITS) : (double)sim_below(&random, 1000) / 8), SAMPLE_OK);
                if (stale)
                        assert_int_equal(fix_send(f, "c_total{a=b}", t + 4000, double_of(STALE_BITS)), SAMPLE_OK);
                fix_pass(f, 5 * MINUTE_MS);
                if (i % 100 == 99)
                        fix_settle(f);
        }
        assert_int_equal(fix_send(f, "gauge", f->wall_ms, 1), SAMPLE_OK);
        fix_pass(f, 2 * HOUR_MS);
        assert_int_equal(fix_send(f, "gauge", f->wall_ms, 1), SAMPLE_OK);
        fix_settle(f);
        fix_pass(f, 20 * MINUTE_MS); /* until the last day has been quiet for long enough */
        fix_settle(f);
}

static void test_rollups(void **state) {
        Fix *f = *state;
        StoreStats x;
        f->options.out_of_order = SECONDS(4 * 86400);
        fix_open(f);
        fill_for_rollups(f);
        store_stats(f->store, &x);
        assert_int_equal(x.rolled_ms[STORE_5M], FIX_EPOCH + 3 * DAY_MS);
        assert_int_equal(x.rollups, 3);
        check_rollups(f, "c_total{a=b}", true, x.rolled_ms[STORE_5M]);
        check_rollups(f, "gauge", false, x.rolled_ms[STORE_5M]);
        fix_close(f);
        fix_open(f);
        fix_flush(f, true);
        check_rollups(f, "c_total{a=b}", true, x.rolled_ms[STORE_5M]);
        check_rollups(f, "gauge", false, x.rolled_ms[STORE_5M]);
        /* Late data: of a time that has been rolled up, just before a midnight, so that the day after is concerned. */
        int64_t late = FIX_EPOCH + DAY_MS - 1;
        assert_true(fix_read(f, STORE_RAW, ROLLUP_LAST, "c_total{a=b}", late - DAY_MS / 2, late) > 10);
        double last = f->samples.values[f->samples.n - 1];
        assert_int_equal(fix_send(f, "c_total{a=b}", late, (isnan(last) ? 0 : last) + 3), SAMPLE_OK);
        assert_int_equal(fix_send(f, "gauge", FIX_EPOCH + 2 * DAY_MS + HOUR_MS, -7), SAMPLE_OK);
        assert_int_equal(fix_send(f, "new", FIX_EPOCH + HOUR_MS, 4), SAMPLE_OK);
        fix_flush(f, false);
        fix_pass(f, HOUR_MS);
        fix_settle(f);
        check_rollups(f, "c_total{a=b}", true, x.rolled_ms[STORE_5M]);
        check_rollups(f, "gauge", false, x.rolled_ms[STORE_5M]);
        check_rollups(f, "new", false, x.rolled_ms[STORE_5M]);
        /* And by hand. */
        assert_int_equal(store_rollup_again(f->store), 0);
        fix_flush(f, true);
        check_rollups(f, "c_total{a=b}", true, x.rolled_ms[STORE_5M]);
        check_rollups(f, "gauge", false, x.rolled_ms[STORE_5M]);
}

/* What was computed from deleted samples is gone as well, and windows that keep some are computed again. */
static void test_rollups_after_a_deletion(void **state) {
        Fix *f = *state;
        StoreStats x;
        fix_open(f);
        fill_for_rollups(f);
        store_stats(f->store, &x);
        int64_t begin = FIX_EPOCH + 10 * HOUR_MS + 123456, end = FIX_EPOCH + DAY_MS - 77777;
        assert_int_equal(fix_delete(f, "__name__=c_total", begin, end), 0);
        assert_int_equal(fix_read(f, STORE_5M, ROLLUP_COUNT, "c_total{a=b}", begin, end), 0);
        fix_settle(f);
        check_rollups(f, "c_total{a=b}", true, x.rolled_ms[STORE_5M]);
        check_rollups(f, "gauge", false, x.rolled_ms[STORE_5M]);
        fix_flush(f, true);
        check_rollups(f, "c_total{a=b}", true, x.rolled_ms[STORE_5M]);
        assert_int_equal(fix_delete(f, "__name__=gauge", INT64_MIN, INT64_MAX), 0);
        fix_settle(f);
        fix_flush(f, true);
        for (int tier = 0; tier < STORE_TIER_COUNT; tier++)
                assert_int_equal(fix_count(f, (StoreTier)tier, "__name__=gauge", INT64_MIN, INT64_MAX), 0);
        check_rollups(f, "c_total{a=b}", true, x.rolled_ms[STORE_5M]);
}

/* Rolled-up tiers stay when the raw one has expired. */
static void test_rollups_outlive_raw(void **state) {
        Fix *f = *state;
        f->options.keep[STORE_RAW] = SECONDS(2 * 86400);
        fix_open(f);
        for (int i = 0; i < 10 * 24; i++) {
                assert_int_equal(fix_send(f, "x", f->wall_ms, i), SAMPLE_OK);
                fix_pass(f, HOUR_MS);
                fix_settle(f);
        }
        assert_true(fix_read_all(f, "x") < 24 * 5);
        size_t n = fix_read(f, STORE_1H, ROLLUP_LAST, "x", INT64_MIN, INT64_MAX);
        assert_true(n >= 24 * 8);
        for (size_t i = 0; i < n; i++)
                assert_true(f->samples.values[i] == (double)i);
}

/* ---- Quotas and resolutions ---- */

static void test_quotas(void **state) {
        Fix *f = *state;
        char series[64];
        f->options.max_series_source = 10;
        f->options.max_series_vm = 4;
        f->options.new_series_source = 14;
        f->options.new_series_vm = 6;
        fix_open(f);
        for (int i = 0; i < 4; i++) {
                (void)snprintf(series, sizeof series, "q{i=%d,uuid=a}", i);
                assert_int_equal(fix_send(f, series, f->wall_ms, 1), SAMPLE_OK);
        }
        assert_int_equal(fix_send(f, "q{i=4,uuid=a}", f->wall_ms, 1), SAMPLE_SERIES_LIMIT);
        assert_int_equal(fix_send(f, "q{i=3,uuid=a}", f->wall_ms + 1, 1), SAMPLE_OK); /* what is there goes on */
        for (int i = 0; i < 6; i++) {
                (void)snprintf(series, sizeof series, "r{i=%d}", i);
                assert_int_equal(fix_send(f, series, f->wall_ms, 1), SAMPLE_OK);
        }
        assert_int_equal(fix_send(f, "r{i=6}", f->wall_ms, 1), SAMPLE_SERIES_LIMIT);
        f->source = "other";
        assert_int_equal(fix_send(f, "r{i=6}", f->wall_ms, 1), SAMPLE_OK); /* another source has limits of its own */
        f->source = "test";
        /* Limits are those of the same source after a restart. */
        fix_kill(f);
        fix_open(f);
        for (int i = 0; i < 4; i++) {
                (void)snprintf(series, sizeof series, "q{i=%d,uuid=a}", i);
                assert_int_equal(fix_send(f, series, f->wall_ms + 2, 1), SAMPLE_OK);
        }
        for (int i = 0; i < 6; i++) {
                (void)snprintf(series, sizeof series, "r{i=%d}", i);
                assert_int_equal(fix_send(f, series, f->wall_ms + 2, 1), SAMPLE_OK);
        }
        assert_int_equal(fix_send(f, "s", f->wall_ms, 1), SAMPLE_SERIES_LIMIT);
        assert_int_equal(fix_send(f, "q{i=9,uuid=a}", f->wall_ms, 1), SAMPLE_SERIES_LIMIT);
}

static void test_new_series_an_hour(void **state) {
        Fix *f = *state;
        char series[64];
        f->options.new_series_source = 20;
        f->options.new_series_vm = 6;
        fix_open(f);
        for (int i = 0; i < 7; i++) {
                (void)snprintf(series, sizeof series, "n{i=%d,uuid=a}", i);
                assert_int_equal(fix_send(f, series, f->wall_ms, 1), i < 6 ? SAMPLE_OK : SAMPLE_CHURN_LIMIT);
        }
        for (int i = 6; i < 21; i++) {
                (void)snprintf(series, sizeof series, "n{i=%d}", i);
                assert_int_equal(fix_send(f, series, f->wall_ms, 1), i < 20 ? SAMPLE_OK : SAMPLE_CHURN_LIMIT);
        }
        fix_pass(f, HOUR_MS);
        assert_int_equal(fix_send(f, "n{i=6,uuid=a}", f->wall_ms, 1), SAMPLE_OK);
        assert_int_equal(fix_send(f, "n{i=20}", f->wall_ms, 1), SAMPLE_OK);
}

static void test_resolutions(void **state) {
        Fix *f = *state;
        static char pattern[] = "*_seconds_total", watts[] = "watts";
        static const StoreResolution list[] = { { pattern, 1e-6 }, { watts, 0.5 } };
        f->options.resolutions = list;
        f->options.n_resolutions = 2;
        fix_open(f);
        assert_int_equal(fix_send(f, "cpu_seconds_total", f->wall_ms, 1.23456789), SAMPLE_OK);
        assert_int_equal(fix_send(f, "watts", f->wall_ms, 7.3), SAMPLE_OK);
        assert_int_equal(fix_send(f, "volts", f->wall_ms, 7.3), SAMPLE_OK);
        assert_int_equal(fix_send(f, "watts", f->wall_ms + 1, double_of(STALE_BITS)), SAMPLE_OK);
        assert_int_equal(fix_send(f, "watts", f->wall_ms + 2, INFINITY), SAMPLE_OK);
        assert_int_equal(fix_send(f, "watts", f->wall_ms + 3, 1e300), SAMPLE_OK);
        /* Also for series that the log brings back. */
        fix_kill(f);
        fix_open(f);
        assert_int_equal(fix_send(f, "cpu_seconds_total", f->wall_ms + 1, 2.00000049), SAMPLE_OK);
        assert_int_equal(fix_read_all(f, "cpu_seconds_total"), 2);
        assert_true(f->samples.values[0] == 1.234568 && f->samples.values[1] == 2.0);
        assert_int_equal(fix_read_all(f, "watts"), 4);
        assert_true(f->samples.values[0] == 7.5 && bits_of(f->samples.values[1]) == STALE_BITS && isinf(f->samples.values[2]) && f->samples.values[3] == 1e300);
        assert_int_equal(fix_read_all(f, "volts"), 1);
        assert_true(f->samples.values[0] == 7.3);
}

/* Virtual machines come and go: the head forgets those that are gone. */
static void test_churn(void **state) {
        Fix *f = *state;
        char series[64];
        size_t at_half = 0;
        StoreStats x;
        f->options.out_of_order = SECONDS(600);
        fix_open(f);
        for (int round = 0; round < 60; round++) {
                for (int vm = 0; vm < 20; vm++)
                        for (int i = 0; i < 10; i++) {
                                (void)snprintf(series, sizeof series, "vm{i=%d,uuid=%d}", i, round * 20 + vm);
                                assert_int_equal(fix_send(f, series, f->wall_ms, i), SAMPLE_OK);
                        }
                assert_int_equal(fix_send(f, "host", f->wall_ms, round), SAMPLE_OK);
                fix_pass(f, 10 * MINUTE_MS);
                fix_settle(f);
                store_stats(f->store, &x);
                if (round == 30)
                        at_half = x.head_bytes;
        }
        assert_true(x.series_dropped > 8000);
        assert_true(x.head_series < 3000);
        assert_true(x.head_bytes <= at_half + at_half / 10);
        assert_int_equal(fix_read_all(f, "host"), 60);
        assert_int_equal(fix_read_all(f, "vm{i=3,uuid=500}"), 1);
        fix_kill(f);
        fix_open(f);
        assert_int_equal(fix_read_all(f, "host"), 60);
        assert_int_equal(fix_read_all(f, "vm{i=9,uuid=1199}"), 1);
        assert_int_equal(f->events[STORE_EVENT_DAMAGE], 0);
}

/* ---- Names ---- */

static void expect_names(Fix *f, const char *label, const char *matcher, size_t most, const char *wanted, bool cut_wanted) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        StoreView *v;
        Matcher m;
        bool cut;
        size_t n = 0;
        if (matcher) {
                assert_int_equal(matcher_init(&m, MATCH_EQUAL, (Span){ "job", 3 }, (Span){ matcher, strlen(matcher) }, NULL), 0);
                n = 1;
        }
        assert_int_equal(store_view_open(f->store, &v), 0);
        if (label)
                assert_int_equal(store_label_values(v, (Span){ label, strlen(label) }, &m, n, INT64_MIN, INT64_MAX, most, &names, &cut), 0);
        else
                assert_int_equal(store_label_names(v, &m, n, INT64_MIN, INT64_MAX, most, &names, &cut), 0);
        for (size_t i = 0; i < names.len; i++)
                if (names.data[i] == '\0')
                        names.data[i] = ' ';
        assert_string_equal(buf_cstr(&names), wanted);
        assert_int_equal(cut, cut_wanted);
        (void)store_view_close(v);
        if (n)
                matcher_deinit(&m);
}

static void test_names(void **state) {
        Fix *f = *state;
        fix_open(f);
        assert_int_equal(fix_send(f, "b{job=x,z=1}", f->wall_ms, 1), SAMPLE_OK);
        assert_int_equal(fix_send(f, "a{job=y,y=1}", f->wall_ms, 1), SAMPLE_OK);
        fix_flush(f, false);
        assert_int_equal(fix_send(f, "c{job=x,w=1}", f->wall_ms, 1), SAMPLE_OK);
        assert_int_equal(fix_send(f, "a{job=y,y=1}", f->wall_ms + 1, 1), SAMPLE_OK);
        for (int i = 0; i < 2; i++) {
                expect_names(f, NULL, NULL, 100, "__name__ job w y z ", false);
                expect_names(f, NULL, NULL, 2, "__name__ job ", true);
                expect_names(f, NULL, "x", 100, "__name__ job w z ", false);
                expect_names(f, "__name__", NULL, 100, "a b c ", false);
                expect_names(f, "__name__", NULL, 3, "a b c ", false);
                expect_names(f, "job", NULL, 100, "x y ", false);
                expect_names(f, "__name__", "x", 100, "b c ", false);
                expect_names(f, "none", NULL, 100, "", false);
                expect_names(f, "__name__", "none", 100, "", false);
                fix_close(f);
                fix_open(f);
        }
}

static void test_limits(void **state) {
        Fix *f = *state;
        StoreView *v;
        StoreList *l = NULL;
        fix_open(f);
        assert_int_equal(fix_send(f, "a", f->wall_ms, 1), SAMPLE_OK);
        assert_int_equal(fix_send(f, "b", f->wall_ms, 1), SAMPLE_OK);
        assert_int_equal(store_view_open(f->store, &v), 0);
        assert_int_equal(store_select(v, STORE_RAW, NULL, 0, INT64_MIN, INT64_MAX, &(StoreLimits){ 1, 1 << 20 }, &l), -E2BIG);
        assert_int_equal(store_select(v, STORE_RAW, NULL, 0, INT64_MIN, INT64_MAX, &(StoreLimits){ 2, 1 }, &l), -E2BIG);
        assert_int_equal(store_select(v, STORE_RAW, NULL, 0, INT64_MIN, INT64_MAX, &(StoreLimits){ 2, 1 << 20 }, &l), 0);
        assert_int_equal(store_list_count(l), 2);
        (void)store_list_free(l);
        (void)store_view_close(v);
}

/* ---- Metadata ---- */

static void put_metadata(Fix *f, const char *name, MetricType type, const char *help) {
        SeriesSink *s = store_sink(f->store);
        uint64_t ticket;
        assert_int_equal(s->begin(s, "test"), 0);
        s->metadata(s, (Span){ name, strlen(name) }, type, (Span){ help, strlen(help) }, (Span){ "bytes", 5 });
        assert_int_equal(s->end(s, &ticket), 0);
        assert_int_equal(store_commit(f->store), 0);
}

static void expect_metadata(Fix *f, const char *name, MetricType type, const char *help) {
        CLEANUP(buf_deinit) Buf h = BUF_NULL, u = BUF_NULL;
        MetricType own;
        assert_true(store_metadata(f->store, (Span){ name, strlen(name) }, &own, &h, &u));
        assert_int_equal(own, type);
        assert_string_equal(buf_cstr(&h), help);
        assert_string_equal(buf_cstr(&u), "bytes");
}

static void test_metadata(void **state) {
        Fix *f = *state;
        fix_open(f);
        put_metadata(f, "m", METRIC_COUNTER, "first");
        put_metadata(f, "m", METRIC_GAUGE, "second");
        put_metadata(f, "n", METRIC_COUNTER, "");
        expect_metadata(f, "m", METRIC_GAUGE, "second");
        fix_kill(f); /* from the log */
        fix_open(f);
        expect_metadata(f, "m", METRIC_GAUGE, "second");
        assert_int_equal(fix_send(f, "m", f->wall_ms, 1), SAMPLE_OK);
        /* A save that fails is made up for. */
        vfs_sim_fail(f->sim, SIM_SET(SIM_RENAME), 1, false, -EIO);
        assert_int_equal(store_flush(f->store, false), -EIO);
        fix_flush(f, false);
        fix_kill(f);
        fix_open(f);
        expect_metadata(f, "m", METRIC_GAUGE, "second");
        expect_metadata(f, "n", METRIC_COUNTER, "");
        /* Damaged, it is given up, not the store. */
        fix_close(f);
        assert_true(vfs_sim_flip(f->sim, "metadata", 20, 3));
        fix_open(f);
        assert_int_equal(f->events[STORE_EVENT_DAMAGE], 1);
        assert_int_equal(fix_read_all(f, "m"), 1);
}

static bool count_metadata(void *context, Span metric, MetricType type, Span help, Span unit) {
        unsigned *seen = context;
        seen[type]++;
        assert_true(metric.len == 1 && help.len == 4 && unit.len == 5);
        return true;
}

static void test_metadata_types(void **state) {
        Fix *f = *state;
        unsigned seen[METRIC_TYPE_COUNT] = { 0 };
        fix_open(f);
        for (int type = 0; type < METRIC_TYPE_COUNT; type++)
                put_metadata(f, (char[]){ (char)('a' + type), '\0' }, (MetricType)type, "help");
        for (int i = 0; i < 2; i++) { /* from the log, then from the file */
                fix_kill(f);
                fix_open(f);
                for (int type = 0; type < METRIC_TYPE_COUNT; type++)
                        expect_metadata(f, (char[]){ (char)('a' + type), '\0' }, (MetricType)type, "help");
                assert_int_equal(fix_send(f, "x", f->wall_ms + i, i), SAMPLE_OK);
                fix_flush(f, false);
        }
        store_metadata_each(f->store, count_metadata, seen);
        for (int type = 0; type < METRIC_TYPE_COUNT; type++)
                assert_int_equal(seen[type], 1);
}

static void test_counters(void **state) {
        static const struct {
                const char *series, *family;
                MetricType type;
                bool counter;
        } CASES[] = {
                { "a_total", NULL, METRIC_UNTYPED, true },          { "b_bucket", NULL, METRIC_UNTYPED, true },
                { "c_bucket", "c", METRIC_HISTOGRAM, true },        { "d_bucket", "d", METRIC_GAUGE_HISTOGRAM, false },
                { "e_count", "e", METRIC_SUMMARY, true },           { "f_gcount", "f", METRIC_GAUGE_HISTOGRAM, false },
                { "g_total", "g_total", METRIC_GAUGE, false },      { "h", "h", METRIC_COUNTER, true },
                { "i_total", "i_total", METRIC_UNTYPED, true },     { "j_sum", "j_sum", METRIC_STATESET, false },
                { "k_sum", "k_sum", METRIC_INFO, false },           { "l", NULL, METRIC_UNTYPED, false },
        };
        Fix *f = *state;
        fix_open(f);
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf run = BUF_NULL;
                if (CASES[i].family)
                        put_metadata(f, CASES[i].family, CASES[i].type, "");
                fix_run(CASES[i].series, &run);
                if (store_is_counter(f->store, (const uint8_t *)run.data, run.len) != CASES[i].counter)
                        fail_msg("%s", CASES[i].series);
        }
}

/* ---- Opening ---- */

static void test_read_only(void **state) {
        Fix *f = *state;
        CLEANUP(buf_deinit) Buf before = BUF_NULL, after = BUF_NULL;
        fix_open(f);
        assert_int_equal(fix_send(f, "x", f->wall_ms, 1), SAMPLE_OK);
        fix_flush(f, false);
        assert_int_equal(fix_send(f, "x", f->wall_ms + 1, 2), SAMPLE_OK);
        fix_files(f, &before);
        Fix reader = *f;
        reader.options.read_only = true;
        reader.samples = (StoreSamples){ 0 };
        reader.options.clock_context = &reader;
        fix_open(&reader); /* beside the one that writes */
        assert_int_equal(fix_read_all(&reader, "x"), 2);
        SeriesSink *s = store_sink(reader.store);
        assert_int_equal(s->begin(s, "test"), -EROFS);
        fix_close(&reader);
        store_samples_deinit(&reader.samples);
        fix_files(f, &after);
        assert_string_equal(buf_cstr(&before), buf_cstr(&after));
        assert_int_equal(fix_send(f, "x", f->wall_ms + 2, 3), SAMPLE_OK);
}

static void test_read_only_of_nothing(void **state) {
        Fix *f = *state;
        f->options.read_only = true;
        assert_int_equal(fix_try_open(f), -ENOENT);
}

static void test_two_on_one_directory(void **state) {
        Fix *f = *state;
        fix_open(f);
        Fix other = *f;
        assert_int_equal(fix_try_open(&other), -EWOULDBLOCK);
        assert_int_equal(fix_send(f, "x", f->wall_ms, 1), SAMPLE_OK);
}

/* Gives a file of the store another version, with a checksum that holds: of the header, or of all before it. */
static void put_version(Fix *f, const char *name, uint8_t version) {
        char path[128];
        uint8_t bytes[65536];
        (void)snprintf(path, sizeof path, "%s/%s", f->path, name);
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        size_t n = fread(bytes, 1, sizeof bytes, file), crc_at = name[0] == 'm' ? n - 4 : 60;
        if (strcmp(name, "metadata") == 0) {
                bytes[7] = version;
        } else {
                bytes[8] = version;
                uint32_t crc = crc32c(0, bytes, crc_at);
                memcpy(bytes + crc_at, &crc, sizeof crc);
        }
        rewind(file);
        assert_int_equal(fwrite(bytes, 1, n, file), n);
        assert_int_equal(fclose(file), 0);
}

static void hash_directory(Fix *f, Buf *out) {
        char command[256];
        (void)snprintf(command, sizeof command, "cd %s && ls -l --time-style=full-iso | grep -v lock && cat * | sha256sum", f->path);
        FILE *p = popen(command, "r");
        assert_non_null(p);
        int c;
        while ((c = fgetc(p)) != EOF)
                buf_put_char(out, (char)c);
        (void)pclose(p);
}

/* Versions are known before anything is changed. */
static void test_newer_format(void **state) {
        Fix *f = *state;
        char command[256];
        fix_open(f);
        put_metadata(f, "x", METRIC_GAUGE, "help");
        assert_int_equal(fix_send(f, "x", f->wall_ms, 1), SAMPLE_OK);
        fix_flush(f, false);
        assert_int_equal(fix_send(f, "x", f->wall_ms + 1, 1), SAMPLE_OK);
        /* As it is now, with a log. */
        (void)snprintf(command, sizeof command, "cp -a %.50s %.50s.copy", f->path, f->path);
        assert_int_equal(system(command), 0);
        fix_close(f);
        (void)snprintf(command, sizeof command, "rm -r %.50s && mv %.50s.copy %.50s", f->path, f->path, f->path);
        assert_int_equal(system(command), 0);
        CLEANUP(buf_deinit) Buf list = BUF_NULL;
        fix_files(f, &list);
        char *rest = NULL;
        for (char *one = strtok_r((char *)(uintptr_t)buf_cstr(&list), " ", &rest); one; one = strtok_r(NULL, " ", &rest)) {
                CLEANUP(buf_deinit) Buf before = BUF_NULL, after = BUF_NULL;
                put_version(f, one, 9);
                hash_directory(f, &before);
                int r = fix_try_open(f);
                if (r != -EPROTONOSUPPORT)
                        fail_msg("%s of version 9: %d", one, r);
                assert_true(f->damage.text[0] != '\0');
                hash_directory(f, &after);
                assert_string_equal(buf_cstr(&before), buf_cstr(&after));
                put_version(f, one, 1);
        }
        fix_open(f);
        assert_int_equal(fix_read_all(f, "x"), 2);
}

static void test_leftovers(void **state) {
        Fix *f = *state;
        uint64_t size;
        fix_open(f);
        assert_int_equal(fix_send(f, "x", f->wall_ms, 1), SAMPLE_OK);
        fix_close(f);
        vfs_sim_put(f->sim, "raw-00000099.part", "junk", 4);
        vfs_sim_put(f->sim, "manifest.tmp", "junk", 4);
        fix_open(f);
        assert_false(vfs_sim_size(f->sim, "raw-00000099.part", &size));
        assert_false(vfs_sim_size(f->sim, "manifest.tmp", &size));
        assert_int_equal(fix_read_all(f, "x"), 1);
        fix_close(f);
        /* Without a manifest, what there is is not taken for leftovers. */
        CLEANUP(buf_deinit) Buf none = BUF_NULL;
        Fix g;
        fix_init(&g, 2);
        vfs_sim_put(g.sim, "raw-00000099.part", "junk", 4);
        assert_int_equal(fix_try_open(&g), -EBADMSG);
        assert_non_null(strstr(g.damage.text, "raw-00000099.part"));
        assert_true(vfs_sim_size(g.sim, "raw-00000099.part", &size));
        fix_deinit(&g);
}

/* Work that fails leaves no files behind, however often it is tried. */
static void test_failed_work_cleans_up(void **state) {
        Fix *f = *state;
        CLEANUP(buf_deinit) Buf before = BUF_NULL, after = BUF_NULL;
        f->options.out_of_order = SECONDS(20 * 86400);
        fix_open(f);
        for (int d = 0; d < 5; d++)
                assert_int_equal(fix_send(f, "x", f->wall_ms - d * DAY_MS, d), SAMPLE_OK);
        vfs_sim_fail(f->sim, SIM_SET(SIM_SYNC), 5, true, -ENOSPC); /* of the log twice, then of the third part */
        assert_true(store_flush(f->store, false) < 0);
        fix_files(f, &before);
        for (int i = 0; i < 5; i++)
                assert_true(store_flush(f->store, false) < 0);
        fix_files(f, &after);
        assert_string_equal(buf_cstr(&before), buf_cstr(&after));
        assert_null(strstr(buf_cstr(&after), ".part"));
        vfs_sim_fail(f->sim, 0, 0, false, 0);
        fix_flush(f, false);
        assert_int_equal(fix_read_all(f, "x"), 5);
}

static void test_snapshot(void **state) {
        Fix *f = *state;
        Fix copy;
        char path[80];
        f->options.out_of_order = SECONDS(20 * 86400);
        f->options.ack = ACK_INTERVAL;
        f->options.ack_interval = SECONDS(100 * 86400);
        fix_open(f);
        fill_for_rollups(f);
        put_metadata(f, "gauge", METRIC_GAUGE, "help");
        assert_int_equal(fix_send(f, "x", f->wall_ms, 5), SAMPLE_OK);
        (void)snprintf(path, sizeof path, "%s.copy", f->path);
        assert_int_equal(store_snapshot(f->store, path), 0);
        /* The copy does not change with the original. */
        size_t n = fix_read_all(f, "c_total{a=b}");
        assert_int_equal(fix_delete(f, "", INT64_MIN, INT64_MAX), 0);
        fix_flush(f, true);
        fix_init_directory(&copy);
        (void)rmdir(copy.path);
        (void)snprintf(copy.path, sizeof copy.path, "%.50s.copy", f->path);
        copy.wall_ms = f->wall_ms;
        fix_open(&copy);
        assert_int_equal(fix_read_all(&copy, "x"), 1);
        assert_int_equal(fix_read_all(&copy, "c_total{a=b}"), n);
        check_rollups(&copy, "c_total{a=b}", true, FIX_EPOCH + 3 * DAY_MS);
        expect_metadata(&copy, "gauge", METRIC_GAUGE, "help");
        assert_int_equal(store_verify(copy.store), 0);
        assert_int_equal(fix_send(&copy, "x", f->wall_ms + 1, 6), SAMPLE_OK);
        fix_deinit(&copy);
}

/* ---- A disk that is full, an old log ---- */

static void test_floor(void **state) {
        Fix *f = *state;
        f->options.floor_bytes = 50000;
        fix_open(f);
        assert_int_equal(fix_send(f, "x", f->wall_ms, 1), SAMPLE_OK);
        vfs_sim_capacity(f->sim, vfs_sim_bytes(f->sim) + 40000);
        fix_pass(f, 2000);
        fix_settle(f);
        SeriesSink *s = store_sink(f->store);
        assert_int_equal(s->begin(s, "test"), -ENOSPC);
        assert_int_equal(f->events[STORE_EVENT_DISK], 1);
        assert_int_equal(fix_read_all(f, "x"), 1);
        fix_flush(f, true); /* what was taken still finds room */
        vfs_sim_capacity(f->sim, vfs_sim_bytes(f->sim) + 80000);
        fix_pass(f, 2000);
        fix_settle(f);
        assert_int_equal(fix_send(f, "x", f->wall_ms, 2), SAMPLE_OK);
        assert_int_equal(fix_read_all(f, "x"), 2);
}

/* A series whose declaration could not be logged is declared with the next request that uses it. */
static void test_declared_again(void **state) {
        Fix *f = *state;
        SeriesSink *s;
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        static double values[65536];
        static int64_t times[65536];
        SeriesRef ref;
        LabelsFault fault;
        uint64_t ticket;
        size_t taken;
        int failed = 0;
        fix_open(f);
        s = store_sink(f->store);
        fix_run("big", &run);
        /* Without a commit, until no more fits. */
        for (int round = 0; round < 100 && !failed; round++) {
                for (int i = 0; i < 65536; i++) {
                        values[i] = 1;
                        times[i] = f->wall_ms - 3 * DAY_MS + round * 65536 + i;
                }
                if (s->begin(s, "test") < 0)
                        break;
                char name[32];
                (void)snprintf(name, sizeof name, "late{r=%d}", round);
                assert_int_equal(s->series(s, (uint8_t *)run.data, run.len, &ref, &fault), SAMPLE_OK);
                (void)s->floats(s, ref, times, values, 65536, &taken);
                CLEANUP(buf_deinit) Buf late = BUF_NULL;
                fix_run(name, &late);
                assert_int_equal(s->series(s, (uint8_t *)late.data, late.len, &ref, &fault), SAMPLE_OK);
                (void)s->floats(s, ref, &f->wall_ms, values, 1, &taken);
                failed = s->end(s, &ticket);
                if (failed) {
                        assert_int_equal(store_commit(f->store), 0);
                        assert_int_equal(fix_send(f, name, f->wall_ms, 1), SAMPLE_OK);
                        fix_kill(f);
                        fix_open(f);
                        assert_int_equal(fix_read_all(f, name), 1);
                }
        }
        assert_int_equal(failed, -ENOBUFS);
        assert_int_equal(f->events[STORE_EVENT_DAMAGE], 0);
}

/* With ACK_INTERVAL, what was written last is synced in time also when nothing more comes. */
static void test_interval(void **state) {
        Fix *f = *state;
        f->options.ack = ACK_INTERVAL;
        fix_open(f);
        assert_int_equal(fix_send(f, "x", f->wall_ms, 1), SAMPLE_OK);
        fix_pass(f, 1000);
        assert_int_equal(fix_send(f, "x", f->wall_ms, 2), SAMPLE_OK);
        uint64_t syncs = vfs_sim_count(f->sim, SIM_SET(SIM_SYNC));
        assert_false(store_commit_pending(f->store));
        fix_pass(f, 5000);
        assert_true(store_commit_pending(f->store));
        assert_int_equal(store_commit(f->store), 0);
        assert_true(vfs_sim_count(f->sim, SIM_SET(SIM_SYNC)) > syncs);
        assert_false(store_commit_pending(f->store));
        fix_power_cut(f, 3);
        fix_open(f);
        assert_int_equal(fix_read_all(f, "x"), 2);
}

/* A view keeps what it saw: files, generations, refs. */
static void test_view_over_changes(void **state) {
        Fix *f = *state;
        StoreView *v;
        StoreList *l = NULL;
        StoreSamples x = { 0 };
        fix_open(f);
        for (int i = 0; i < 30; i++) {
                assert_int_equal(fix_send(f, "x", f->wall_ms + i, i), SAMPLE_OK);
                if (i == 10)
                        fix_flush(f, false);
        }
        assert_int_equal(store_view_open(f->store, &v), 0);
        assert_int_equal(store_select(v, STORE_RAW, NULL, 0, INT64_MIN, INT64_MAX, &(StoreLimits){ 10, 1 << 20 }, &l), 0);
        fix_flush(f, true);
        assert_int_equal(fix_delete(f, "", INT64_MIN, INT64_MAX), 0);
        fix_flush(f, true);
        fix_settle(f);
        assert_int_equal(fix_count(f, STORE_RAW, "", INT64_MIN, INT64_MAX), 0);
        assert_int_equal(store_list_floats(l, 0, ROLLUP_LAST, &x), 0);
        assert_int_equal(x.n, 30);
        for (int i = 0; i < 30; i++)
                assert_true(x.values[i] == i);
        store_samples_deinit(&x);
        (void)store_list_free(l);
        (void)store_view_close(v);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define D(name) { #name "_directory", name, setup_directory, teardown, NULL }
        const struct CMUnitTest tests[] = {
                T(test_bits_survive), D(test_bits_survive), T(test_bits_survive_a_kill), T(test_order), T(test_first_written_wins),
                D(test_first_written_wins), T(test_first_written_wins_after_a_deletion), T(test_times_out_of_range), T(test_a_century),
                T(test_midnight), T(test_large_gaps), T(test_histograms), T(test_mixed), T(test_mixed_at_one_instant), T(test_delete),
                D(test_delete), T(test_delete_what_text_cannot_say), T(test_retention_by_time), T(test_clock_jump), T(test_caps_hold),
                T(test_rollups), T(test_rollups_after_a_deletion), T(test_rollups_outlive_raw), T(test_quotas), T(test_new_series_an_hour),
                T(test_resolutions), T(test_churn), T(test_names), D(test_names), T(test_limits), T(test_metadata), T(test_metadata_types), T(test_counters), T(test_read_only),
                D(test_read_only), T(test_read_only_of_nothing), D(test_two_on_one_directory), T(test_two_on_one_directory),
                D(test_newer_format), T(test_leftovers), T(test_failed_work_cleans_up), D(test_snapshot), T(test_floor),
                T(test_declared_again), T(test_interval), T(test_view_over_changes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
