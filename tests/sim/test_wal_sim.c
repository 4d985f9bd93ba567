/* The log on a disk that fails. One invariant, over everything that can happen: what was reported durable is replayed exactly
 * once with equal bytes, in order, and nothing is invented; and no crash is mistaken for damage.
 *
 * PARALLAX_SIM_SEEDS=N runs N seeds instead of the few that fit the tests; PARALLAX_SIM_FIRST=N begins at N, so that a failing one
 * (it is named) runs alone. */
#include "malloc_fault.h"
#include "store/wal/wal.h"
#include "vfs_sim.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LSN_LIMIT 4096
#define PAYLOAD_MAX 20000

static const Uuid STORE = { { 0x50, 0x4c, 3 } };

/* What is known of the log, over all lives of its process. */
typedef struct World {
        uint64_t seed, random;
        VfsSim *sim;
        Vfs *vfs;
        Wal *wal;
        WalOptions options;
        uint32_t truth[LSN_LIMIT]; /* what was last appended under each LSN; 0: nothing, or it is known to be gone */
        uint32_t next_id;
        uint64_t appended, durable, written; /* LSNs */
        uint64_t least;                      /* LSN: those below may be removed */
        uint32_t first;                      /* segment where a replay begins */
        /* Of a replay under way. */
        uint64_t seen;
        bool present[LSN_LIMIT];
        WalReport report;
        uint64_t states;       /* that were looked at */
} World;

/* With the story of a single seed (PARALLAX_SIM_SEEDS=1), so that it can be read what happened. */
#define FAIL(w, format, ...)                                                              \
        do {                                                                              \
                print_error("%s", vfs_sim_log((w)->sim));                                 \
                fail_msg("seed %" PRIu64 ": " format, (w)->seed, __VA_ARGS__);            \
        } while (0)
#define CHECK(w, condition)                                              \
        do {                                                             \
                if (!(condition))                                        \
                        FAIL(w, "%s (line %d)", #condition, __LINE__);   \
        } while (0)

static uint64_t number_from(const char *name, uint64_t otherwise) {
        const char *text = getenv(name);
        return text ? strtoull(text, NULL, 10) : otherwise;
}

/* A record's bytes follow from its id: most are small. */
static size_t payload(uint32_t id, uint8_t bytes[static PAYLOAD_MAX]) {
        uint64_t random = id;
        size_t n = sim_below(&random, 20) == 0 ? sim_below(&random, PAYLOAD_MAX) : sim_below(&random, 600);
        n = n < sizeof id ? sizeof id : n;
        for (size_t i = 0; i < n; i++)
                bytes[i] = (uint8_t)(id * 31 + i * 17);
        memcpy(bytes, &id, sizeof id);
        return n;
}

static int append(World *w) {
        uint8_t bytes[PAYLOAD_MAX];
        uint32_t id = w->next_id;
        WalBytes part = { bytes, payload(id, bytes) };
        uint64_t lsn = 0;
        int r = wal_append(w->wal, (uint8_t)id, &part, 1, &lsn);
        if (r < 0)
                return r;
        CHECK(w, lsn == w->appended + 1);
        w->next_id++;
        w->appended = lsn;
        w->truth[lsn] = id;
        return 0;
}

static int see_record(void *context, uint64_t lsn, uint8_t type, const uint8_t *bytes, size_t n) {
        World *w = context;
        uint8_t wanted[PAYLOAD_MAX];
        CHECK(w, lsn > w->seen && lsn <= w->appended);
        uint32_t id = w->truth[lsn];
        CHECK(w, id != 0);
        CHECK(w, type == (uint8_t)id && n == payload(id, wanted) && memcmp(bytes, wanted, n) == 0);
        w->seen = lsn;
        w->present[lsn] = true;
        return 0;
}

static int replay(World *w, Vfs *vfs) {
        w->seen = 0;
        w->states++;
        memset(w->present, 0, sizeof w->present);
        return wal_replay(vfs, STORE, w->first, see_record, w, &w->report);
}

/* All from `least` to `last` are there. */
static void check_present(World *w, uint64_t last) {
        for (uint64_t lsn = w->least; lsn <= last; lsn++)
                if (w->truth[lsn] && !w->present[lsn])
                        FAIL(w, "record %" PRIu64 " of %" PRIu64 " is lost", lsn, last);
}

static void check_no_damage(World *w) {
        if (w->report.damaged)
                FAIL(w, "a crash was taken for damage: %s", w->report.damage);
}

static void note_durable(World *w) {
        uint64_t durable = wal_durable(w->wal);
        CHECK(w, durable >= w->durable && durable <= w->appended);
        w->durable = durable;
        w->written = w->written < durable ? durable : w->written;
}

static void open_log(World *w) {
        w->vfs = vfs_sim_open(w->sim);
        int r = wal_open(w->vfs, &w->options, &w->wal);
        CHECK(w, r == 0);
}

static void close_log(World *w) {
        w->wal = wal_close(w->wal);
        w->vfs = vfs_free(w->vfs);
}

static void begin_world(World *w, uint64_t seed) {
        *w = (World){ .seed = seed, .random = seed ^ 0x5eed, .sim = vfs_sim_new(seed), .next_id = 1, .least = 1, .first = 1 };
        vfs_sim_record(w->sim, number_from("PARALLAX_SIM_SEEDS", 0) == 1);
        w->options = (WalOptions){
                .store = STORE,
                .segment_bytes = 1000 + sim_below(&w->random, 20000),
                .pending_bytes = 1 << 16,
                .next_segment = 1,
                .next_lsn = 1,
        };
}

static void end_world(World *w) {
        CHECK(w, vfs_sim_synced_again(w->sim) == 0);
        CHECK(w, vfs_sim_open_files(w->sim) == 0);
        w->sim = vfs_sim_free(w->sim);
}

/* ---- Lives and deaths ---- */

/* The next process: what must be there is, and it goes on from there. */
static void revive(World *w, uint64_t must) {
        w->vfs = vfs_sim_open(w->sim);
        int r = replay(w, w->vfs);
        CHECK(w, r == 0);
        check_present(w, must);
        check_no_damage(w);
        uint32_t next = w->report.last_segment + 1;
        w->options.next_segment = next > w->first ? next : w->first;
        w->options.next_lsn = w->report.last_lsn + 1;
        for (uint64_t lsn = 1; lsn < LSN_LIMIT; lsn++)
                if (lsn >= w->options.next_lsn || !w->present[lsn])
                        w->truth[lsn] = 0;
        /* With nothing left of the log, the numbers begin again. */
        if (w->least > w->options.next_lsn)
                w->least = w->options.next_lsn;
        w->appended = w->report.last_lsn;
        r = wal_open(w->vfs, &w->options, &w->wal);
        CHECK(w, r == 0);
        w->durable = w->written = w->appended;
}

static void see_all_after_a_kill(World *w) {
        vfs_sim_kill(w->sim);
        Vfs *v = vfs_sim_open(w->sim);
        int r = replay(w, v);
        CHECK(w, r == 0);
        check_present(w, w->written);
        check_no_damage(w);
        v = vfs_free(v);
}

static void die(World *w) {
        enum { CLOSE, KILL, POWER_CUT } way = sim_below(&w->random, 3);
        if (way == CLOSE && vfs_sim_killed(w->sim))
                way = KILL;
        vfs_sim_fail(w->sim, 0, 0, false, 0);
        /* The next process sees everything that was written, but must move it before it relies on it (5): here it is cut off before. */
        if (vfs_sim_deceives(w->sim)) {
                see_all_after_a_kill(w);
                way = POWER_CUT;
        }
        if (way == CLOSE) {
                close_log(w);
                vfs_sim_kill(w->sim);
        } else if (way == KILL) {
                vfs_sim_kill(w->sim);
                close_log(w);
        } else {
                vfs_sim_power_cut(w->sim, sim_random(&w->random));
                close_log(w);
        }
        /* What was written survives a kill, and what was synced a power cut. */
        revive(w, way != POWER_CUT ? w->written : w->durable);
        /* The log may be killed as soon as it was opened, and find the same again. */
        if (sim_below(&w->random, 4) == 0) {
                uint64_t all = w->appended;
                vfs_sim_power_cut(w->sim, sim_random(&w->random));
                close_log(w);
                revive(w, all);
        }
}

static void try_commit(World *w, bool sync) {
        int r = wal_commit(w->wal, sync);
        if (vfs_sim_killed(w->sim))
                return;
        note_durable(w);
        if (r == 0) {
                w->written = w->appended;
                CHECK(w, !sync || w->durable == w->appended);
        } else {
                CHECK(w, wal_broken(w->wal));
        }
}

static void try_rotate(World *w) {
        uint32_t segment = 0;
        uint64_t before = w->appended;
        int r = wal_rotate(w->wal, &segment);
        if (vfs_sim_killed(w->sim))
                return;
        note_durable(w);
        CHECK(w, r < 0 || w->durable == before);
        if (r < 0 || sim_below(&w->random, 2))
                return;
        w->first = segment;
        w->least = before + 1;
        r = wal_remove_before(w->wal, segment);
        (void)r;
}

static void try_mend(World *w) {
        if (sim_below(&w->random, 2))
                vfs_sim_fail(w->sim, 0, 0, false, 0);
        bool broken = wal_broken(w->wal);
        int r = wal_mend(w->wal);
        if (vfs_sim_killed(w->sim))
                return;
        note_durable(w);
        CHECK(w, (r == 0) == !wal_broken(w->wal));
        CHECK(w, r < 0 || !broken || w->durable == w->appended);
}

static void make_trouble(World *w) {
        static const int errors[] = { -EIO, -ENOSPC, -EROFS, -EDQUOT };
        static const uint32_t sets[] = { SIM_ALL, SIM_SYNCS, SIM_SET(SIM_APPEND), SIM_CHANGES, SIM_SET(SIM_TRUNCATE) | SIM_SET(SIM_SYNC),
                                         SIM_SET(SIM_UNLINK) | SIM_SET(SIM_APPEND), SIM_SET(SIM_SYNC) };
        uint32_t set = sets[sim_below(&w->random, ARRAY_LEN(sets))];
        uint64_t nth = 1 + sim_below(&w->random, 6);
        if (sim_below(&w->random, 4) == 0)
                vfs_sim_kill_at(w->sim, set, nth);
        else
                vfs_sim_fail(w->sim, set, nth, sim_below(&w->random, 2), errors[sim_below(&w->random, ARRAY_LEN(errors))]);
}

static void step(World *w) {
        uint64_t what = sim_below(&w->random, 100);
        if (what < 55) {
                int r = append(w);
                CHECK(w, r == 0 || (r == -EIO && wal_broken(w->wal)) || r == -ENOBUFS);
        } else if (what < 80) {
                try_commit(w, sim_below(&w->random, 3) > 0);
        } else if (what < 87) {
                make_trouble(w);
        } else if (what < 91) {
                try_rotate(w);
        } else if (what < 97) {
                try_mend(w);
        } else {
                die(w);
        }
        if (vfs_sim_killed(w->sim))
                die(w);
}

static void random_lives(void **state) {
        (void)state;
        static World w;
        uint64_t first = number_from("PARALLAX_SIM_FIRST", 0), n = number_from("PARALLAX_SIM_SEEDS", 1500);
        for (uint64_t seed = first; seed < first + n; seed++) {
                begin_world(&w, seed);
                open_log(&w);
                for (int i = 0; i < 120; i++)
                        step(&w);
                die(&w);
                close_log(&w);
                end_world(&w);
        }
}

/* ---- Every boundary ---- */

/* At each change of the disk, some of the states that a power cut may leave. */
static void look_at_states(void *context, SimOp op) {
        World *w = context;
        (void)op;
        uint64_t durable = w->wal ? wal_durable(w->wal) : 0;
        for (int i = 0; i < 4; i++) {
                VfsSim *cut = vfs_sim_copy_after_power_cut(w->sim, sim_random(&w->random));
                Vfs *v = vfs_sim_open(cut);
                int r = replay(w, v);
                CHECK(w, r == 0);
                check_present(w, durable);
                check_no_damage(w);
                (void)vfs_free(v);
                (void)vfs_sim_free(cut);
        }
}

static void every_boundary(void **state) {
        (void)state;
        static World w;
        uint64_t states = 0;
        for (uint64_t seed = 0; seed < number_from("PARALLAX_SIM_SEEDS", 200) / 4; seed++) {
                begin_world(&w, seed);
                open_log(&w);
                vfs_sim_watch(w.sim, look_at_states, &w);
                for (int i = 0; i < 40; i++) {
                        for (uint64_t k = sim_below(&w.random, 4); k > 0; k--)
                                assert_int_equal(append(&w), 0);
                        if (i % 10 == 7)
                                vfs_sim_fail(w.sim, i % 20 == 7 ? SIM_SYNCS : SIM_CHANGES, 1, false, -EIO);
                        assert_int_equal(wal_commit(w.wal, sim_below(&w.random, 3) > 0), 0);
                }
                close_log(&w);
                vfs_sim_watch(w.sim, NULL, NULL);
                states += w.states;
                end_world(&w);
        }
        print_message("%" PRIu64 " states after power cuts\n", states);
}

/* ---- Every fault ---- */

/* Appends, commits, rotates, goes on after failures like a store would; false when the log is broken in the end. */
static bool script(World *w) {
        for (int i = 0; i < 30; i++) {
                for (int k = 0; k < 3; k++) {
                        int r = append(w);
                        CHECK(w, r == 0 || r == -EIO || r == -ENOMEM);
                }
                uint32_t segment;
                int r = i % 7 == 6 ? wal_rotate(w->wal, &segment) : wal_commit(w->wal, i % 3 != 0);
                CHECK(w, r == 0 || wal_broken(w->wal));
                if (r == 0 && i % 7 == 6) {
                        w->first = segment;
                        w->least = w->appended + 1;
                        r = wal_remove_before(w->wal, segment);
                }
                if (wal_broken(w->wal))
                        r = wal_mend(w->wal);
                note_durable(w);
        }
        return !wal_broken(w->wal);
}

static void check_after_cut(World *w) {
        uint64_t durable = w->durable;
        vfs_sim_power_cut(w->sim, w->seed);
        close_log(w);
        revive(w, durable);
        close_log(w);
}

static void run_with_fault(World *w, uint64_t n, bool for_ever, int error) {
        begin_world(w, n);
        open_log(w);
        vfs_sim_fail(w->sim, SIM_ALL, n, for_ever, error);
        bool good = script(w);
        CHECK(w, for_ever || good);
        if (sim_below(&w->random, 2)) {
                vfs_sim_fail(w->sim, 0, 0, false, 0);
                int r = wal_mend(w->wal);
                CHECK(w, r == 0);
                r = wal_commit(w->wal, true);
                CHECK(w, r == 0);
                note_durable(w);
                CHECK(w, w->durable == w->appended);
        }
        vfs_sim_fail(w->sim, 0, 0, false, 0);
        check_after_cut(w);
        end_world(w);
}

static void every_operation_fails(void **state) {
        (void)state;
        static World w;
        begin_world(&w, 0);
        open_log(&w);
        assert_true(script(&w));
        uint64_t n_ops = vfs_sim_count(w.sim, SIM_ALL);
        assert_true(n_ops > 50);
        close_log(&w);
        end_world(&w);
        for (uint64_t n = 1; n <= n_ops + 1; n++) {
                run_with_fault(&w, n, false, -EIO);
                run_with_fault(&w, n, true, -EIO);
                run_with_fault(&w, n, false, -ENOSPC);
                run_with_fault(&w, n, true, -EROFS);
        }
}

static void every_allocation_fails(void **state) {
        (void)state;
        static World w;
        for (int for_ever = 0; for_ever < 2; for_ever++)
                for (uint64_t n = 1;; n++) {
                        begin_world(&w, n);
                        w.vfs = vfs_sim_open(w.sim);
                        malloc_fault_set(n, for_ever);
                        int r = wal_open(w.vfs, &w.options, &w.wal);
                        if (r == 0)
                                (void)script(&w);
                        uint64_t count = malloc_fault_count();
                        if (r == 0) {
                                vfs_sim_power_cut(w.sim, n);
                                w.wal = wal_close(w.wal);
                        }
                        w.vfs = vfs_free(w.vfs);
                        /* Replay as well: with nothing to be found when it fails. */
                        if (!for_ever) {
                                Vfs *v = vfs_sim_open(w.sim);
                                malloc_fault_set(n, false);
                                int again = replay(&w, v);
                                assert_true(again == 0 || again == -ENOMEM);
                                (void)vfs_free(v);
                        }
                        malloc_fault_set(0, false);
                        CHECK(&w, r == 0 || r == -ENOMEM);
                        Vfs *v = vfs_sim_open(w.sim);
                        assert_int_equal(replay(&w, v), 0);
                        check_present(&w, w.durable);
                        check_no_damage(&w);
                        (void)vfs_free(v);
                        end_world(&w);
                        if (n > count)
                                break;
                }
}

/* Syncs fail for ever, and now and then nothing else works either: what was written is there for whoever comes after a kill, in every moment of
 * it, and there are never more than two copies. */
static void failed_syncs_lose_nothing_to_a_kill(void **state) {
        static const uint32_t SETS[] = { SIM_SET(SIM_SYNC), SIM_SET(SIM_SYNC) | SIM_SET(SIM_CREATE), SIM_SET(SIM_SYNC) | SIM_SET(SIM_APPEND),
                                         SIM_SET(SIM_SYNC) | SIM_SET(SIM_UNLINK), SIM_SYNCS };
        (void)state;
        static World w;
        for (uint64_t seed = 0; seed < 400; seed++) {
                begin_world(&w, seed);
                open_log(&w);
                for (uint64_t i = 0; i < seed % 4; i++) {
                        assert_int_equal(append(&w), 0);
                        assert_int_equal(wal_commit(w.wal, true), 0);
                }
                note_durable(&w);
                for (int i = 0; i < 3; i++) {
                        assert_int_equal(append(&w), 0);
                        assert_int_equal(wal_commit(w.wal, false), 0);
                        w.written = w.appended;
                }
                uint64_t before = vfs_sim_bytes(w.sim);
                vfs_sim_fail(w.sim, SETS[seed % ARRAY_LEN(SETS)], 1, true, -EIO);
                if (seed % 3 == 0) /* in the middle of it */
                        vfs_sim_kill_at(w.sim, SIM_ALL, 1 + seed % 29);
                for (int i = 0; i < 5 && !vfs_sim_killed(w.sim); i++) {
                        assert_int_equal(i ? wal_mend(w.wal) : wal_commit(w.wal, true), -EIO);
                        assert_true(vfs_sim_killed(w.sim) || SETS[seed % ARRAY_LEN(SETS)] & SIM_SET(SIM_UNLINK) ||
                                    vfs_sim_bytes(w.sim) <= 2 * before + 128);
                }
                vfs_sim_fail(w.sim, 0, 0, false, 0);
                see_all_after_a_kill(&w);
                vfs_sim_power_cut(w.sim, seed);
                close_log(&w);
                revive(&w, w.durable);
                check_after_cut(&w);
                end_world(&w);
        }
}

/* ---- Every bit ---- */

static void every_flip(void **state) {
        (void)state;
        static World w;
        begin_world(&w, 0);
        w.options.segment_bytes = 1500;
        uint64_t commits[2];
        /* Two runs; the second one is a witness of the first. */
        for (int run = 0; run < 2; run++) {
                open_log(&w);
                for (int i = 0; i < 6; i++) {
                        commits[run] = w.appended;
                        for (int k = 0; k < 2; k++)
                                assert_int_equal(append(&w), 0);
                        assert_int_equal(wal_commit(w.wal, true), 0);
                }
                close_log(&w);
                Vfs *v = vfs_sim_open(w.sim);
                assert_int_equal(replay(&w, v), 0);
                (void)vfs_free(v);
                w.options.next_segment = w.report.last_segment + 1;
                w.options.next_lsn = w.report.last_lsn + 1;
        }
        uint32_t last = w.report.last_segment;
        assert_true(last > 2 && w.report.damaged == 0 && w.report.torn_bytes == 0);
        uint64_t flips = 0, harmless = 0;
        for (uint32_t number = 1; number <= last; number++) {
                char name[16];
                (void)snprintf(name, sizeof name, "wal-%08" PRIu32, number);
                uint64_t size = 0;
                assert_true(vfs_sim_size(w.sim, name, &size));
                for (uint64_t bit = 0; bit < 8 * size; bit++) {
                        assert_true(vfs_sim_flip(w.sim, name, bit / 8, bit % 8));
                        Vfs *v = vfs_sim_open(w.sim);
                        assert_int_equal(replay(&w, v), 0);
                        (void)vfs_free(v);
                        assert_true(vfs_sim_flip(w.sim, name, bit / 8, bit % 8));
                        flips++;
                        uint64_t missing = 0;
                        for (uint64_t lsn = w.appended; lsn > 0; lsn--)
                                missing = w.present[lsn] ? missing : lsn;
                        if (missing > 0) {
                                assert_int_equal(w.report.records, w.appended - 1);
                                /* Only of the last commit of all is it unknown whether it was torn; the last of the first run
                                 * has a witness for its last record alone. */
                                bool witness = missing <= commits[0] || (missing > commits[0] + 1 && missing <= commits[1]);
                                assert_int_equal(w.report.damaged, witness ? 1 : 0);
                        }
                        assert_true(missing == 0 || w.report.damaged > 0 || w.report.torn_bytes > 0);
                        harmless += w.report.damaged == 0 && w.report.torn_bytes == 0;
                }
        }
        /* Only padding is nobody's. */
        assert_true(harmless < flips / 50);
        end_world(&w);
}

static void sectors_that_cannot_be_read(void **state) {
        (void)state;
        static World w;
        for (uint64_t n = 1; n < 200; n++)
                for (int twice = 0; twice < 2; twice++) {
                        begin_world(&w, 5);
                        open_log(&w);
                        for (int i = 0; i < 40; i++)
                                assert_int_equal(append(&w), 0);
                        close_log(&w);
                        Vfs *v = vfs_sim_open(w.sim);
                        vfs_sim_fail(w.sim, SIM_SET(SIM_PREAD), n, twice, -EIO);
                        assert_int_equal(replay(&w, v), 0);
                        /* Once is not worth mentioning. */
                        if (!twice)
                                check_present(&w, w.appended);
                        vfs_sim_fail(w.sim, 0, 0, false, 0);
                        assert_int_equal(replay(&w, v), 0);
                        check_present(&w, w.appended);
                        (void)vfs_free(v);
                        end_world(&w);
                }
}

/* ---- Slow and full disks ---- */

static void append_meanwhile(void *context) {
        World *w = context;
        WalStats stats;
        wal_stats(w->wal, &stats);
        assert_int_equal(append(w), 0);
}

/* A sync that lasts holds up neither those who append nor those who ask. */
static void syncs_hold_nobody_up(void **state) {
        (void)state;
        static World w;
        begin_world(&w, 1);
        w.options.segment_bytes = 1 << 20;
        open_log(&w);
        assert_int_equal(append(&w), 0);
        assert_int_equal(wal_commit(w.wal, true), 0);
        vfs_sim_slow_sync(w.sim, SECONDS(5), append_meanwhile, &w);
        for (int i = 0; i < 20; i++) {
                assert_int_equal(append(&w), 0);
                uint64_t before = w.appended;
                assert_int_equal(wal_commit(w.wal, true), 0);
                assert_int_equal(wal_durable(w.wal), before);
        }
        vfs_sim_slow_sync(w.sim, SECONDS(0), NULL, NULL);
        note_durable(&w);
        check_after_cut(&w);
        end_world(&w);
}

/* Fills up, gets room, again and again: nothing durable is lost, and no litter stays. */
static void full_disks_come_and_go(void **state) {
        (void)state;
        static World w;
        begin_world(&w, 2);
        w.options.segment_bytes = 1 << 14;
        open_log(&w);
        unsigned broken = 0;
        for (int round = 0; round < 50; round++) {
                vfs_sim_capacity(w.sim, vfs_sim_bytes(w.sim) + sim_below(&w.random, 6000));
                while (!wal_broken(w.wal) && w.appended + 20 < LSN_LIMIT) {
                        int r = append(&w);
                        if (r == 0)
                                r = wal_commit(w.wal, true);
                        assert_true(r == 0 || r == -ENOSPC);
                        note_durable(&w);
                }
                broken += wal_broken(w.wal);
                for (int i = 0; i < 20 && wal_broken(w.wal); i++)
                        assert_int_equal(wal_mend(w.wal), -ENOSPC);
                WalStats stats;
                wal_stats(w.wal, &stats);
                assert_int_equal(stats.disk_bytes, vfs_sim_bytes(w.sim));
                vfs_sim_capacity(w.sim, 0);
                assert_int_equal(wal_mend(w.wal), 0);
                uint32_t segment = 0;
                assert_int_equal(wal_rotate(w.wal, &segment), 0);
                /* Failed attempts leave no numbers behind. */
                assert_true(segment <= (uint32_t)(vfs_sim_bytes(w.sim) / 500 + (unsigned)round * 3 + 3));
                if (round % 5 == 4) {
                        w.first = segment;
                        w.least = w.appended + 1;
                        assert_int_equal(wal_remove_before(w.wal, segment), 0);
                        assert_int_equal(vfs_sim_bytes(w.sim), 0);
                }
                note_durable(&w);
                assert_int_equal(w.durable, w.appended);
        }
        assert_true(broken > 40);
        check_after_cut(&w);
        end_world(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(random_lives),
                cmocka_unit_test(every_boundary),
                cmocka_unit_test(every_operation_fails),
                cmocka_unit_test(every_allocation_fails),
                cmocka_unit_test(failed_syncs_lose_nothing_to_a_kill),
                cmocka_unit_test(every_flip),
                cmocka_unit_test(sectors_that_cannot_be_read),
                cmocka_unit_test(syncs_hold_nobody_up),
                cmocka_unit_test(full_disks_come_and_go),
        };
        return cmocka_run_group_tests_name("simulation: the log", tests, NULL, NULL);
}
