/* The log on the machine's disk; its behaviour under faults is tests/sim/test_wal_sim.c. */
#include "store/wal/wal.h"

#include "rt/thread.h"
#include "store/wal/segment.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

static const Uuid STORE = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } };

typedef struct Fixture {
        char root[64];
        Vfs *vfs;
        Wal *wal;
        uint64_t appended;
        /* Of a replay. */
        uint64_t next, stop_at;
        WalReport report;
} Fixture;

static int set_up(void **state) {
        Fixture *x = calloc(1, sizeof *x);
        assert_non_null(x);
        (void)snprintf(x->root, sizeof x->root, "/tmp/parallax-wal-XXXXXX");
        assert_non_null(mkdtemp(x->root));
        assert_int_equal(vfs_posix_new(x->root, &x->vfs), 0);
        *state = x;
        return 0;
}

static int tear_down(void **state) {
        CLEANUP_FREE Fixture *x = *state;
        x->wal = wal_close(x->wal);
        (void)vfs_free(x->vfs);
        char command[128];
        (void)snprintf(command, sizeof command, "rm -rf '%s'", x->root);
        return system(command);
}

static WalOptions options(void) {
        return (WalOptions){
                .store = STORE,
                .segment_bytes = 1 << 16,
                .pending_bytes = 1 << 20,
                .next_segment = 1,
                .next_lsn = 1,
        };
}

/* Length and bytes of a record follow from its number. */
static size_t payload(uint64_t lsn, uint8_t bytes[static 4096]) {
        size_t n = lsn * 37 % 3000;
        for (size_t i = 0; i < n; i++)
                bytes[i] = (uint8_t)(lsn * 131 + i * 7);
        return n;
}

static int append(Fixture *x) {
        uint8_t bytes[4096];
        uint64_t lsn = x->appended + 1, got = 0;
        size_t n = payload(lsn, bytes), half = n / 2;
        WalBytes parts[] = { { bytes, half }, { NULL, 0 }, { bytes + half, n - half } };
        int r = wal_append(x->wal, (uint8_t)lsn, parts, ARRAY_LEN(parts), &got);
        if (r < 0)
                return r;
        assert_int_equal(got, lsn);
        x->appended = lsn;
        return 0;
}

static int check_record(void *context, uint64_t lsn, uint8_t type, const uint8_t *bytes, size_t n) {
        Fixture *x = context;
        uint8_t wanted[4096];
        assert_int_equal(lsn, x->next);
        assert_int_equal(type, (uint8_t)lsn);
        assert_int_equal(n, payload(lsn, wanted));
        assert_int_equal((uintptr_t)bytes % 8, 0);
        assert_memory_equal(bytes, wanted, n);
        x->next++;
        return lsn == x->stop_at ? -ECANCELED : 0;
}

/* Everything from LSN `from` to the last one comes, once. */
static void assert_replays(Fixture *x, uint32_t first, uint64_t from) {
        x->next = from;
        assert_int_equal(wal_replay(x->vfs, STORE, first, check_record, x, &x->report), 0);
        assert_int_equal(x->next, x->appended + 1);
        assert_int_equal(x->report.records, x->appended + 1 - from);
        assert_int_equal(x->report.damaged, 0);
        assert_int_equal(x->report.torn_bytes, 0);
}

static void starts_empty(void **state) {
        Fixture *x = *state;
        x->next = 1;
        assert_replays(x, 0, 1);
        assert_int_equal(x->report.last_segment, 0);
        assert_int_equal(x->report.last_lsn, 0);
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        assert_int_equal(wal_commit(x->wal, true), 0);
        assert_int_equal(wal_durable(x->wal), 0);
        uint32_t segment = 0;
        assert_int_equal(wal_rotate(x->wal, &segment), 0);
        assert_int_equal(segment, 1);
        x->wal = wal_close(x->wal);
        assert_replays(x, 1, 1);
        assert_null(wal_close(NULL));
}

static void keeps_what_was_committed(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        for (int i = 0; i < 300; i++) {
                assert_int_equal(append(x), 0);
                if (i % 7 == 0) {
                        assert_int_equal(wal_commit(x->wal, i % 2), 0);
                        assert_true(wal_durable(x->wal) == x->appended || i % 2 == 0);
                }
        }
        assert_true(wal_durable(x->wal) < x->appended);
        x->wal = wal_close(x->wal);
        assert_replays(x, 1, 1);
        assert_true(x->report.last_segment >= 300 * 1500 / (1 << 16));
        assert_int_equal(x->report.last_lsn, 300);

        /* A second run goes on where the first one ended. */
        o.next_segment = x->report.last_segment;
        o.next_lsn = x->report.last_lsn + 1;
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), -EEXIST);
        o.next_segment++;
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        assert_int_equal(wal_durable(x->wal), 300);
        assert_int_equal(append(x), 0);
        x->wal = wal_close(x->wal);
        assert_replays(x, 0, 1);
        assert_int_equal(x->report.last_segment, o.next_segment);
}

static void replay_ends_when_told(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        for (int i = 0; i < 10; i++)
                assert_int_equal(append(x), 0);
        x->wal = wal_close(x->wal);
        x->next = 1;
        x->stop_at = 4;
        assert_int_equal(wal_replay(x->vfs, STORE, 1, check_record, x, &x->report), -ECANCELED);
        assert_int_equal(x->next, 5);
        assert_int_equal(x->report.last_lsn, 4);
}

static void rotates_and_removes(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        uint32_t segment = 0, again = 0;
        for (int i = 0; i < 40; i++)
                assert_int_equal(append(x), 0);
        assert_int_equal(wal_rotate(x->wal, &segment), 0);
        assert_int_equal(wal_durable(x->wal), 40);
        assert_int_equal(wal_rotate(x->wal, &again), 0);
        assert_int_equal(again, segment);
        for (int i = 0; i < 5; i++)
                assert_int_equal(append(x), 0);
        assert_int_equal(wal_commit(x->wal, true), 0);
        assert_replays(x, 1, 1);
        assert_replays(x, segment, 41);
        WalStats before, after;
        wal_stats(x->wal, &before);
        assert_int_equal(wal_remove_before(x->wal, segment), 0);
        assert_int_equal(wal_remove_before(x->wal, segment), 0);
        wal_stats(x->wal, &after);
        assert_true(after.disk_bytes < before.disk_bytes);
        assert_int_equal(after.records, 45);
        assert_replays(x, 0, 41);
        assert_replays(x, segment, 41);
        /* A replay from an earlier one on misses it. */
        x->next = 41;
        assert_int_equal(wal_replay(x->vfs, STORE, 1, check_record, x, &x->report), 0);
        assert_int_equal(x->report.damaged, 1);
        assert_non_null(strstr(x->report.damage, "missing"));
}

static void counts_the_disk(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        uint64_t total = 0;
        for (int run = 0; run < 3; run++) {
                assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
                WalStats s;
                wal_stats(x->wal, &s);
                assert_int_equal(s.disk_bytes, total);
                for (int i = 0; i < 100; i++)
                        assert_int_equal(append(x), 0);
                assert_int_equal(wal_commit(x->wal, true), 0);
                wal_stats(x->wal, &s);
                total = s.disk_bytes;
                assert_int_equal(s.failures, 0);
                assert_true(s.syncs > 0 && s.commits > 0 && s.bytes < total);
                x->wal = wal_close(x->wal);
                assert_replays(x, 1, 1);
                o.next_segment = x->report.last_segment + 1;
                o.next_lsn = x->report.last_lsn + 1;
        }
}

static void memory_is_bounded(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        o.pending_bytes = 8192;
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        static const uint8_t big[8192];
        WalBytes one = { big, sizeof big };
        uint64_t lsn = 0;
        assert_int_equal(wal_append(x->wal, 1, &one, 1, &lsn), -E2BIG);
        WalBytes wrap[] = { { big, 1 }, { big, SIZE_MAX } };
        assert_int_equal(wal_append(x->wal, 1, wrap, 2, &lsn), -E2BIG);
        assert_int_equal(lsn, 0);
        for (int round = 0; round < 20; round++) {
                int r;
                while ((r = append(x)) == 0)
                        ;
                assert_int_equal(r, -ENOBUFS);
                /* Written and not synced is still held, but not for ever. */
                assert_int_equal(wal_commit(x->wal, false), 0);
        }
        x->wal = wal_close(x->wal);
        assert_true(x->appended > 60);
        assert_replays(x, 1, 1);
}

static int count_record(void *context, uint64_t lsn, uint8_t type, const uint8_t *bytes, size_t n) {
        (void)lsn, (void)type, (void)bytes;
        *(uint64_t *)context += n;
        return 0;
}

static void large_records_pass(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        o.pending_bytes = 4 << 20;
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        CLEANUP_FREE uint8_t *big = malloc(3 << 20);
        assert_non_null(big);
        memset(big, 0x5a, 3 << 20);
        WalBytes one = { big, 3 << 20 };
        uint64_t lsn = 0;
        assert_int_equal(wal_append(x->wal, 9, &one, 1, &lsn), 0);
        assert_int_equal(wal_commit(x->wal, true), 0);
        uint64_t sum = 0;
        assert_int_equal(wal_replay(x->vfs, STORE, 1, count_record, &sum, &x->report), 0);
        assert_int_equal(sum, one.n);
}

/* ---- Damage by hand ---- */

static void segment_path(const Fixture *x, uint32_t number, char path[128]) {
        (void)snprintf(path, 128, "%s/wal-%08" PRIu32, x->root, number);
}

static void change(const Fixture *x, uint32_t number, off_t at, const void *bytes, size_t n) {
        char path[128];
        segment_path(x, number, path);
        CLEANUP_FD int fd = open(path, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, bytes, n, at), n);
}

static void refuses_what_is_not_its_own(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        assert_int_equal(append(x), 0);
        x->wal = wal_close(x->wal);
        uint64_t bytes = 0;
        Uuid other = { { 9 } };
        assert_int_equal(wal_replay(x->vfs, other, 1, count_record, &bytes, &x->report), -EPROTONOSUPPORT);
        assert_non_null(strstr(x->report.damage, "another store"));

        uint8_t header[SEGMENT_HEADER];
        SegmentHeader h = { .version = 2, .number = 1, .store = STORE, .first_lsn = 1, .run_lsn = 1 };
        segment_header_put(header, &h);
        change(x, 1, 0, header, sizeof header);
        assert_int_equal(wal_replay(x->vfs, STORE, 1, count_record, &bytes, &x->report), -EPROTONOSUPPORT);
        assert_string_equal(x->report.damage, "wal-00000001: format version 2");
        assert_int_equal(bytes, 0);
        /* Not asked for, not looked at. */
        assert_int_equal(wal_replay(x->vfs, STORE, 2, count_record, &bytes, &x->report), 0);
        assert_int_equal(x->report.last_segment, 1);
}

static void names_the_place_of_damage(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        for (int i = 0; i < 5; i++) {
                assert_int_equal(append(x), 0);
                assert_int_equal(wal_commit(x->wal, true), 0);
        }
        x->wal = wal_close(x->wal);
        uint8_t bytes[4096];
        off_t second = SEGMENT_HEADER + (off_t)record_size((uint32_t)payload(1, bytes));
        change(x, 1, second + RECORD_HEADER + 3, "\xff\xff\xff", 3);
        uint64_t sum = 0;
        assert_int_equal(wal_replay(x->vfs, STORE, 1, count_record, &sum, &x->report), 0);
        assert_int_equal(x->report.records, 4);
        assert_int_equal(x->report.damaged, 1);
        char wanted[128];
        (void)snprintf(wanted, sizeof wanted, "wal-00000001 at byte %d: checksum of a record", (int)second);
        assert_string_equal(x->report.damage, wanted);

        /* Its header as well: found behind it. */
        change(x, 1, second + 4, "\xff\xff\xff\x7f", 4);
        assert_int_equal(wal_replay(x->vfs, STORE, 1, count_record, &sum, &x->report), 0);
        assert_int_equal(x->report.records, 4);
        assert_int_equal(x->report.damaged, 1);
        assert_non_null(strstr(x->report.damage, "no valid record"));
}

/* The last commit has no witness: it may have been torn. */
static void a_torn_tail_is_no_damage(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        for (int i = 0; i < 5; i++)
                assert_int_equal(append(x), 0);
        x->wal = wal_close(x->wal);
        char path[128];
        segment_path(x, 1, path);
        uint8_t bytes[4096];
        off_t size = SEGMENT_HEADER;
        for (uint64_t lsn = 1; lsn <= 5; lsn++)
                size += (off_t)record_size((uint32_t)payload(lsn, bytes));
        uint64_t least = UINT64_MAX;
        for (off_t cut = size - 1; cut >= 0; cut -= 3) {
                assert_int_equal(truncate(path, cut), 0);
                x->next = 1;
                assert_int_equal(wal_replay(x->vfs, STORE, 1, check_record, x, &x->report), 0);
                assert_int_equal(x->report.damaged, 0);
                assert_true(x->report.records <= least);
                least = x->report.records;
        }
        assert_int_equal(least, 0);
}

/* After a torn tail a new run begins with the LSN that was torn; the old bytes do not come back. */
static void goes_on_after_a_torn_tail(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        for (int i = 0; i < 5; i++)
                assert_int_equal(append(x), 0);
        x->wal = wal_close(x->wal);
        /* The middle one of the last commit is bad, and those behind it are not. */
        uint8_t bytes[4096];
        off_t third = SEGMENT_HEADER +
                      (off_t)(record_size((uint32_t)payload(1, bytes)) + record_size((uint32_t)payload(2, bytes)));
        change(x, 1, third + RECORD_HEADER + 8, "\1\2\3\4\5", 5);
        uint64_t sum = 0;
        assert_int_equal(wal_replay(x->vfs, STORE, 1, count_record, &sum, &x->report), 0);
        assert_int_equal(x->report.records, 4);
        assert_int_equal(x->report.damaged, 0);
        assert_true(x->report.torn_bytes >= RECORD_HEADER);
        o.next_segment = 2;
        o.next_lsn = x->report.last_lsn + 1;
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        for (int i = 0; i < 3; i++)
                assert_int_equal(append(x), 0);
        x->wal = wal_close(x->wal);
        assert_int_equal(wal_replay(x->vfs, STORE, 1, count_record, &sum, &x->report), 0);
        assert_int_equal(x->report.records, 7);
        assert_int_equal(x->report.damaged, 0);
        assert_int_equal(x->report.last_lsn, 8);
}

/* A new segment whose records were torn before the first sync: its header alone says which numbers were given. */
static void numbers_are_not_given_twice(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        for (int i = 0; i < 5; i++)
                assert_int_equal(append(x), 0);
        uint32_t segment = 0;
        assert_int_equal(wal_rotate(x->wal, &segment), 0);
        assert_int_equal(wal_remove_before(x->wal, segment), 0);
        assert_int_equal(append(x), 0);
        x->wal = wal_close(x->wal);
        char path[128];
        segment_path(x, segment, path);
        assert_int_equal(truncate(path, SEGMENT_HEADER), 0);
        x->appended = 5;
        assert_replays(x, segment, 6);
        assert_int_equal(x->report.last_lsn, 5);
        o.next_segment = x->report.last_segment + 1;
        o.next_lsn = x->report.last_lsn + 1;
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        assert_int_equal(append(x), 0);
        x->wal = wal_close(x->wal);
        assert_replays(x, segment, 6);
}

/* ---- Threads ---- */

typedef struct Committer {
        Wal *wal;
        atomic_bool stop;
        int error;
} Committer;

static void commit_until_stopped(void *context) {
        Committer *c = context;
        while (!c->stop && c->error == 0)
                c->error = wal_commit(c->wal, true);
}

static void appends_while_committing(void **state) {
        Fixture *x = *state;
        WalOptions o = options();
        assert_int_equal(wal_open(x->vfs, &o, &x->wal), 0);
        Committer c = { .wal = x->wal };
        Thread *t;
        assert_int_equal(thread_start("test-commit", commit_until_stopped, &c, &t), 0);
        uint32_t segment = 0;
        for (int i = 0; i < 4000; i++) {
                int r;
                while ((r = append(x)) == -ENOBUFS)
                        assert_int_equal(wal_commit(x->wal, true), 0);
                assert_int_equal(r, 0);
                if (i % 1000 == 500)
                        assert_int_equal(wal_rotate(x->wal, &segment), 0);
                WalStats s;
                wal_stats(x->wal, &s);
                assert_true(wal_durable(x->wal) <= s.records && !wal_broken(x->wal));
        }
        c.stop = true;
        (void)thread_join(t);
        assert_int_equal(c.error, 0);
        x->wal = wal_close(x->wal);
        assert_replays(x, 1, 1);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH(starts_empty),
                WITH(keeps_what_was_committed),
                WITH(replay_ends_when_told),
                WITH(rotates_and_removes),
                WITH(counts_the_disk),
                WITH(memory_is_bounded),
                WITH(large_records_pass),
                WITH(refuses_what_is_not_its_own),
                WITH(names_the_place_of_damage),
                WITH(a_torn_tail_is_no_damage),
                WITH(goes_on_after_a_torn_tail),
                WITH(numbers_are_not_given_twice),
                WITH(appends_while_committing),
        };
        return cmocka_run_group_tests_name("store: the log", tests, NULL, NULL);
}
