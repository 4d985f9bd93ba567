/* Disks that are worse than broken: on which no sync works any more, that look as if they had what they lost, that do not answer. What was
 * acknowledged is kept, reads go on, writes get an answer at once, and when the disk is well again so is the store. */
#include "store/store_priv.h"
#include "store_fix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What begin() says; 0: taken back at once. */
static int try_begin(Fix *f) {
        SeriesSink *s = store_sink(f->store);
        uint64_t ticket;
        int r = s->begin(s, "test");
        return r < 0 ? r : s->end(s, &ticket);
}

/* One sample, logged and not committed; its ticket. */
static uint64_t put(Fix *f, const char *series, int64_t time_ms, double value) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        SeriesSink *s = store_sink(f->store);
        SeriesRef ref;
        LabelsFault fault;
        size_t taken;
        uint64_t ticket = 0;
        fix_run(series, &run);
        assert_int_equal(s->begin(s, "test"), 0);
        assert_int_equal(s->series(s, (const uint8_t *)run.data, run.len, &ref, &fault), SAMPLE_OK);
        assert_int_equal(s->floats(s, ref, &time_ms, &value, 1, &taken), SAMPLE_OK);
        s->metadata(s, (Span){ "m", 1 }, METRIC_INFO, (Span){ "help", 4 }, (Span){ "", 0 });
        assert_int_equal(s->end(s, &ticket), 0);
        return ticket;
}

static bool is_acked(Fix *f, uint64_t ticket) {
        return store_sink(f->store)->durable(store_sink(f->store)) >= ticket;
}

static void put_acked(Fix *f, const char *series, int64_t time_ms, double value) {
        uint64_t ticket = put(f, series, time_ms, value);
        assert_int_equal(store_commit(f->store), 0);
        assert_true(is_acked(f, ticket));
}

static void no_damage(Fix *f) {
        if (f->events[STORE_EVENT_DAMAGE])
                fail_msg("%s", f->event);
}

static void syncs_fail_for_ever(void **state) {
        Fix *f = *state;
        fix_open(f);
        int64_t t = f->wall_ms;
        put_acked(f, "a", t, 1);
        fix_flush(f, false);
        put_acked(f, "a", t + 1, 2);
        vfs_sim_fail(f->sim, SIM_SYNCS, 1, true, -EIO);
        uint64_t waiting = put(f, "a", t + 2, 3);
        for (int i = 0; i < 5; i++) {
                assert_int_equal(store_commit(f->store), -EIO);
                assert_false(is_acked(f, waiting));
                assert_int_equal(try_begin(f), -EROFS);
                assert_true(store_maintain(f->store) <= 0);
                assert_int_equal(fix_read_all(f, "a"), 3); /* the last one was not promised, and may be seen */
                fix_pass(f, 11000);
        }
        StoreStats x;
        store_stats(f->store, &x);
        assert_true(x.log_broken && f->events[STORE_EVENT_LOG] > 0);
        vfs_sim_fail(f->sim, 0, 0, false, 0);
        assert_int_equal(store_commit(f->store), 0);
        assert_true(is_acked(f, waiting));
        put_acked(f, "a", t + 3, 4);
        fix_power_cut(f, 1);
        fix_open(f);
        assert_int_equal(fix_read_all(f, "a"), 4);
        assert_int_equal(vfs_sim_synced_again(f->sim), 0);
        no_damage(f);
}

static void syncs_fail_from_the_start(void **state) {
        static const uint32_t SETS[] = { SIM_SYNCS, SIM_SET(SIM_SYNC), SIM_SET(SIM_SYNC_DIRECTORY), SIM_SYNCS | SIM_CHANGES };
        Fix *f = *state;
        fix_open(f);
        int64_t t = f->wall_ms;
        put_acked(f, "a", t, 1);
        fix_flush(f, false);
        for (size_t i = 0; i < ARRAY_LEN(SETS); i++) {
                put_acked(f, "a", ++t, 2);
                fix_kill(f);
                vfs_sim_fail(f->sim, SETS[i], 1, true, i % 2 ? -EIO : -ENOSPC);
                f->events[STORE_EVENT_LOG] = 0;
                assert_int_equal(fix_try_open(f), 0);
                assert_int_equal(f->events[STORE_EVENT_LOG], 1);
                for (int k = 0; k < 3; k++) {
                        StoreStats x;
                        assert_int_equal(try_begin(f), -EROFS);
                        assert_int_equal(fix_read_all(f, "a"), i + 2);
                        store_stats(f->store, &x);
                        assert_true(x.log_broken);
                        fix_pass(f, 11000);
                        assert_true(store_maintain(f->store) < 0);
                }
                if (i % 2) { /* it never gets well in this life */
                        fix_kill(f);
                        vfs_sim_fail(f->sim, 0, 0, false, 0);
                        fix_open(f);
                }
                vfs_sim_fail(f->sim, 0, 0, false, 0);
                fix_pass(f, 11000);
                fix_settle(f);
                assert_int_equal(try_begin(f), 0);
        }
        put_acked(f, "a", ++t, 3);
        fix_power_cut(f, 2);
        fix_open(f);
        assert_int_equal(fix_read_all(f, "a"), ARRAY_LEN(SETS) + 2);
        no_damage(f);
}

/* A sync fails and so does everything that could be done about it; the process is killed; the next one finds pages that
 * look well, and the power goes. What it acknowledged in between relied on none of them. */
static void pages_that_the_disk_lacks(void **state) {
        (void)state;
        unsigned deceived = 0;
        for (uint64_t seed = 0; seed < 60; seed++) {
                Fix f;
                fix_init(&f, seed);
                fix_open(&f);
                int64_t t = f.wall_ms;
                put_acked(&f, "a", t, 1);
                vfs_sim_fail(f.sim, SIM_SYNCS | SIM_SET(SIM_TRUNCATE) | SIM_SET(SIM_CREATE), 1, true, -EIO);
                (void)put(&f, "b", t + 1, 2); /* declares a series */
                (void)put(&f, "a", t + 2, 3);
                assert_int_equal(store_commit(f.store), -EIO);
                deceived += vfs_sim_deceives(f.sim);
                fix_kill(&f);
                vfs_sim_fail(f.sim, 0, 0, false, 0);
                fix_open(&f);
                put_acked(&f, "b", t + 1, 2); /* sent again, as nobody had said yes */
                put_acked(&f, "b", t + 3, 4);
                fix_power_cut(&f, seed);
                fix_open(&f);
                no_damage(&f);
                assert_int_equal(fix_read_all(&f, "b"), 2);
                assert_true(fix_read_all(&f, "a") >= 1);
                MetricType type;
                assert_true(store_metadata(f.store, (Span){ "m", 1 }, &type, NULL, NULL) && type == METRIC_INFO);
                assert_int_equal(vfs_sim_synced_again(f.sim), 0);
                fix_deinit(&f);
        }
        assert_true(deceived > 20);
}

/* With ack=interval what is acknowledged is written, and a kill takes nothing of it: not even in the middle of what the log does
 * when its sync fails. */
static void interval_survives_kills(void **state) {
        (void)state;
        for (uint64_t seed = 0; seed < 300; seed++) {
                static const uint32_t SETS[] = { SIM_SET(SIM_SYNC), SIM_SET(SIM_SYNC) | SIM_SET(SIM_CREATE), SIM_SET(SIM_SYNC) | SIM_SET(SIM_APPEND) };
                Fix f;
                fix_init(&f, seed);
                f.options.ack = ACK_INTERVAL;
                f.options.ack_interval = SECONDS(5);
                fix_open(&f);
                int64_t t = f.wall_ms;
                size_t acked = 0;
                for (; acked < 1 + seed % 5; acked++)
                        put_acked(&f, "a", t + (int64_t)acked, 1);
                vfs_sim_fail(f.sim, SETS[seed % ARRAY_LEN(SETS)], 1, seed % 2, -EIO);
                fix_pass(&f, 6000);
                if (seed % 4 < 3)
                        vfs_sim_kill_at(f.sim, SIM_ALL, 1 + seed % 17);
                (void)!store_commit(f.store);
                fix_kill(&f);
                vfs_sim_fail(f.sim, 0, 0, false, 0);
                fix_open(&f);
                assert_int_equal(fix_read_all(&f, "a"), acked);
                no_damage(&f);
                fix_deinit(&f);
        }
}

/* ---- A disk that does not answer ---- */

typedef struct Hang {
        Fix *f;
        int seconds;
        unsigned calls;
} Hang;

/* While the sync lasts. */
static void in_the_hang(void *context) {
        Hang *h = context;
        Fix *f = h->f;
        StoreStats x;
        if (h->calls++)
                return;
        fix_pass(f, 29000);
        assert_int_equal(try_begin(f), 0);
        assert_false(store_hangs(f->store));
        fix_pass(f, 2000);
        for (; h->seconds > 0; h->seconds--) {
                assert_int_equal(try_begin(f), -ETIMEDOUT);
                assert_true(store_hangs(f->store));
                assert_int_equal(fix_read_all(f, "a"), 2);
                fix_pass(f, 1000);
        }
        store_stats(f->store, &x);
        assert_true(x.log_hangs && x.hangs == 1);
        assert_int_equal(f->events[STORE_EVENT_LOG], 1); /* said once */
}

static void hangs(void **state) {
        Fix *f = *state;
        Hang h = { f, 300, 0 };
        StoreStats x;
        fix_open(f);
        put_acked(f, "a", f->wall_ms, 1);
        uint64_t ticket = put(f, "a", f->wall_ms + 1, 2);
        vfs_sim_slow_sync(f->sim, SECONDS(0), in_the_hang, &h);
        assert_int_equal(store_commit(f->store), 0);
        vfs_sim_slow_sync(f->sim, SECONDS(0), NULL, NULL);
        assert_true(h.calls > 0 && is_acked(f, ticket));
        assert_int_equal(try_begin(f), 0); /* by itself */
        put_acked(f, "a", f->wall_ms, 3);
        store_stats(f->store, &x);
        assert_true(!x.log_hangs && x.hangs == 1);
}

static int setup(void **state) {
        static Fix f;
        fix_init(&f, 1);
        *state = &f;
        return 0;
}

static int teardown(void **state) {
        fix_deinit(*state);
        return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(syncs_fail_for_ever),
                TEST(syncs_fail_from_the_start),
                cmocka_unit_test(pages_that_the_disk_lacks),
                cmocka_unit_test(interval_survives_kills),
                TEST(hangs),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
