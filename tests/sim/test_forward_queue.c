/* The queue and its reader on the simulated disk: what is committed is read, in order, once; what is damaged or gone is
 * counted.
 *
 * PARALLAX_SIM_SEEDS=N runs N random lives instead of the few that fit the tests. */
#include "forward/checkpoint.h"
#include "forward/reader.h"
#include "vfs_sim.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "forward_writer.h"

static int64_t now_s = 1700000000;

static WallTime test_wall(void) {
        return (WallTime){ now_s * NS_PER_SEC };
}

static QueueOptions options(void) {
        return (QueueOptions){
                .max_bytes = 1 << 30, .segment_bytes = 4096, .pending_bytes = 1 << 20, .sync = true, .wall = test_wall
        };
}

static void is_sample(const QueueSample *s, uint64_t seq, unsigned series, int64_t time, double value) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        build_run(series, &run);
        const QueueViewSeries *v = queue_view_series(s->view, s->series);
        assert_int_equal(s->seq, seq);
        assert_int_equal(s->time_ms, time);
        assert_true(s->value == value && s->kind == QUEUE_FLOAT);
        assert_int_equal(v->len, run.len);
        assert_memory_equal(queue_view_bytes(s->view, v->at), run.data, run.len);
}

typedef struct Fix {
        VfsSim *sim;
        Vfs *vfs;
        Writer w;
} Fix;

static void open_queue(Fix *f, const QueueOptions *o, uint64_t least) {
        f->vfs = vfs_sim_open(f->sim);
        f->w = (Writer){ 0 };
        assert_int_equal(queue_open(f->vfs, o, least, &f->w.q), 0);
}

static void close_queue(Fix *f) {
        f->w.q = queue_close(f->w.q);
        f->vfs = vfs_free(f->vfs);
}

static QueueReader *reader(Fix *f, uint64_t seq) {
        QueueReader *r = NULL;
        assert_int_equal(queue_reader_new(f->w.q, seq, &r), 0);
        return r;
}

static size_t count_rest(QueueReader *r) {
        QueueSample s;
        size_t n = 0;
        while (queue_reader_next(r, &s) == 1)
                n++;
        return n;
}

static void end(Fix *f) {
        queue_end(f->w.q);
        assert_int_equal(queue_commit(f->w.q), 0);
}

/* ---- Tests ---- */

static void written_and_read(void **state) {
        (void)state;
        Fix f = { .sim = vfs_sim_new(1) };
        QueueOptions o = options();
        QueueSample s;
        open_queue(&f, &o, 0);
        QueueReader *r = reader(&f, 0);
        assert_int_equal(queue_reader_next(r, &s), 0);
        put(&f.w, 1, T, 1.5);
        put(&f.w, 2, T + 1, -0.0);
        queue_end(f.w.q);
        assert_int_equal(queue_reader_next(r, &s), 0); /* not committed */
        assert_true(queue_commit_pending(f.w.q));
        assert_int_equal(queue_commit(f.w.q), 0);
        assert_int_equal(queue_reader_next(r, &s), 1);
        is_sample(&s, 1, 1, T, 1.5);
        assert_int_equal(queue_reader_next(r, &s), 1);
        is_sample(&s, 2, 2, T + 1, -0.0);
        assert_int_equal(queue_reader_next(r, &s), 0);
        put(&f.w, 1, T + 2, 3);
        put(&f.w, 1, T + 2, 3);
        uint32_t generation = queue_generation(f.w.q);
        assert_true(generation == f.w.generations[1]);
        assert_int_equal(queue_series(f.w.q, f.w.ids[1], NULL, 0, 1), f.w.ids[1]);
        queue_histogram(f.w.q, T - 5, (const uint8_t *)"histogram", 9);
        end(&f);
        assert_int_equal(queue_reader_next(r, &s), 1);
        assert_true(s.seq == 3 && !s.late && s.value == 3);
        assert_int_equal(queue_reader_next(r, &s), 1);
        assert_true(s.late);
        assert_int_equal(queue_reader_next(r, &s), 1);
        assert_true(s.seq == 5 && s.time_ms == T - 5 && s.kind == QUEUE_HISTOGRAM && s.len == 9);
        assert_memory_equal(queue_view_bytes(s.view, s.at), "histogram", 9);
        r = queue_reader_free(r);
        close_queue(&f);
        (void)vfs_sim_free(f.sim);
}

static void segments_change(void **state) {
        (void)state;
        Fix f = { .sim = vfs_sim_new(1) };
        QueueOptions o = options();
        QueueStats stats;
        open_queue(&f, &o, 0);
        QueueReader *r = reader(&f, 0);
        for (unsigned i = 0; i < 5000; i++) {
                put(&f.w, i % 7, T + i, i);
                if (i % 10 == 9)
                        queue_end(f.w.q);
                if (i % 50 == 49)
                        end(&f);
        }
        queue_stats(f.w.q, &stats);
        assert_true(stats.segments > 5 && stats.end_seq == 5001 && stats.lost == 0);
        QueueSample s;
        QueueView *kept = NULL;
        for (unsigned i = 0; i < 5000; i++) {
                assert_int_equal(queue_reader_next(r, &s), 1);
                is_sample(&s, i + 1, i % 7, T + i, i);
                if (i == 10)
                        kept = queue_view_ref(s.view);
        }
        /* Delivered: only the segment being written stays; a view outlives the file. */
        queue_release(f.w.q, 5001);
        assert_int_equal(queue_commit(f.w.q), 0);
        queue_stats(f.w.q, &stats);
        assert_int_equal(stats.segments, 1);
        assert_true(queue_view_series(kept, 0)->len > 0);
        assert_memory_equal(queue_view_bytes(kept, 0), "PLXfwd", 6);
        (void)queue_view_unref(kept);
        assert_int_equal(queue_reader_lost(r), 0);
        r = queue_reader_free(r);
        close_queue(&f);
        /* The next process begins behind it. */
        open_queue(&f, &o, 5500);
        assert_int_equal(queue_next_seq(f.w.q), 5500);
        put(&f.w, 0, T, 1);
        end(&f);
        r = reader(&f, 5001);
        assert_int_equal(queue_reader_next(r, &s), 1);
        assert_int_equal(s.seq, 5500);
        r = queue_reader_free(r);
        close_queue(&f);
        (void)vfs_sim_free(f.sim);
}

static void bounds_drop_the_oldest(void **state) {
        (void)state;
        Fix f = { .sim = vfs_sim_new(1) };
        QueueOptions o = options();
        QueueStats stats;
        o.max_bytes = 20000;
        open_queue(&f, &o, 0);
        QueueReader *r = reader(&f, 0);
        for (unsigned i = 0; i < 5000; i++) {
                put(&f.w, i % 7, T + i, i);
                if (i % 10 == 9)
                        end(&f);
        }
        queue_stats(f.w.q, &stats);
        assert_true(stats.bytes <= 20000 && stats.removed > 5 && stats.first_seq > 1);
        size_t n = count_rest(r);
        assert_int_equal(n + queue_reader_lost(r), 5000);
        assert_int_equal(queue_reader_lost(r), stats.first_seq - 1);
        r = queue_reader_free(r);
        close_queue(&f);
        /* By age: what is behind must be older than the bound. */
        o.max_age = SECONDS(80);
        open_queue(&f, &o, 0);
        r = reader(&f, 0);
        for (unsigned i = 0; i < 200; i++) {
                put(&f.w, 0, T + 10000 + i, i);
                end(&f);
                now_s++;
        }
        queue_stats(f.w.q, &stats);
        assert_true(5201 - stats.first_seq >= 80 && 5201 - stats.first_seq <= 103);
        r = queue_reader_free(r);
        close_queue(&f);
        (void)vfs_sim_free(f.sim);
}

/* A write that fails loses what it should have written, says so, and goes on in a new segment. */
static void failed_writes(void **state) {
        (void)state;
        static const uint32_t WHERE[] = { SIM_SET(SIM_APPEND), SIM_SET(SIM_SYNC), SIM_SET(SIM_CREATE),
                                          SIM_SET(SIM_SYNC_DIRECTORY) };
        for (size_t c = 0; c < ARRAY_LEN(WHERE); c++)
                for (uint64_t nth = 1; nth < 30; nth++) {
                        Fix f = { .sim = vfs_sim_new(nth) };
                        QueueOptions o = options();
                        QueueStats stats;
                        o.segment_bytes = 600;
                        open_queue(&f, &o, 0);
                        QueueReader *r = reader(&f, 0);
                        vfs_sim_fail(f.sim, WHERE[c], nth, false, -ENOSPC);
                        int failures = 0;
                        for (unsigned i = 0; i < 300; i++) {
                                put(&f.w, i % 5, T + i, i);
                                queue_end(f.w.q);
                                if (i % 4 == 3)
                                        failures += queue_commit(f.w.q) < 0;
                        }
                        QueueSample s;
                        uint64_t n = 0, last = 0;
                        for (; queue_reader_next(r, &s) == 1; n++, last = s.seq)
                                is_sample(&s, s.seq, (unsigned)(s.seq - 1) % 5, T + (int64_t)s.seq - 1,
                                          (double)s.seq - 1);
                        queue_stats(f.w.q, &stats);
                        assert_true(failures <= 1 && stats.failures == (uint64_t)failures);
                        assert_int_equal(last, 300);
                        assert_int_equal(n + queue_reader_lost(r), 300);
                        assert_true(queue_reader_lost(r) <= stats.lost && stats.lost <= 12);
                        assert_int_equal(vfs_sim_synced_again(f.sim), 0);
                        r = queue_reader_free(r);
                        close_queue(&f);
                        (void)vfs_sim_free(f.sim);
                }
}

/* Each byte of a segment flipped: what is read is right, and what is missing is counted up to the last one that is
 * there. */
static void damage(void **state) {
        (void)state;
        for (uint64_t offset = 0; offset < 1800; offset++) {
                Fix f = { .sim = vfs_sim_new(1) };
                QueueOptions o = options();
                o.segment_bytes = 800;
                open_queue(&f, &o, 0);
                for (unsigned i = 0; i < 120; i++) {
                        put(&f.w, i % 5, T + i, i);
                        if (i % 3 == 2)
                                end(&f);
                }
                close_queue(&f);
                if (!vfs_sim_flip(f.sim, offset < 900 ? "queue-00000001" : "queue-00000002", offset % 900,
                                  offset % 8)) {
                        (void)vfs_sim_free(f.sim);
                        continue;
                }
                open_queue(&f, &o, 0);
                QueueReader *r = reader(&f, 1);
                QueueSample s;
                uint64_t n = 0, last = 0;
                for (; queue_reader_next(r, &s) == 1; n++) {
                        assert_true(s.seq > last);
                        last = s.seq;
                        is_sample(&s, s.seq, (unsigned)(s.seq - 1) % 5, T + (int64_t)s.seq - 1, (double)s.seq - 1);
                }
                assert_true(last > 100 && last - n <= queue_reader_lost(r) && n < 120);
                r = queue_reader_free(r);
                close_queue(&f);
                (void)vfs_sim_free(f.sim);
        }
}

/* ---- Random lives ---- */

#define LIVES_MAX 20000u

typedef struct World {
        uint64_t seed, random;
        Fix f;
        QueueOptions o;
        unsigned series[LIVES_MAX]; /* by number */
        int64_t times[LIVES_MAX];
        bool put[LIVES_MAX];
        uint64_t committed; /* numbers below were committed when the process ended last, or since */
        uint64_t least;     /* that a checkpoint would know */
} World;

#define CHECK(w, condition)                                                                       \
        do {                                                                                      \
                if (!(condition))                                                                 \
                        fail_msg("seed %" PRIu64 ": %s (line %d)", (w)->seed, #condition, __LINE__); \
        } while (0)

static void write_some(World *w) {
        for (uint64_t n = sim_below(&w->random, 40) + 1; n > 0; n--) {
                uint64_t seq = queue_next_seq(w->f.w.q);
                if (seq >= LIVES_MAX)
                        return;
                unsigned series = (unsigned)sim_below(&w->random, 20);
                (void)queue_generation(w->f.w.q); /* may change what comes next */
                seq = queue_next_seq(w->f.w.q);
                w->series[seq] = series;
                w->times[seq] = T + (int64_t)sim_below(&w->random, 100000);
                w->put[seq] = true;
                put(&w->f.w, series, w->times[seq], (double)seq);
        }
        queue_end(w->f.w.q);
}

static void check_all(World *w, uint64_t from) {
        QueueReader *r = reader(&w->f, from);
        QueueSample s;
        uint64_t expected = from;
        while (queue_reader_next(r, &s) == 1) {
                while (expected < s.seq && expected < w->committed)
                        CHECK(w, !w->put[expected++]); /* a gap between processes, nothing that was committed */
                CHECK(w, s.seq < LIVES_MAX && w->put[s.seq] && s.value == (double)s.seq);
                is_sample(&s, s.seq, w->series[s.seq], w->times[s.seq], (double)s.seq);
                expected = s.seq + 1;
        }
        while (expected < w->committed)
                CHECK(w, !w->put[expected++]);
        r = queue_reader_free(r);
}

static void end_process(World *w) {
        uint64_t how = sim_below(&w->random, 3);
        if (how == 0) {
                close_queue(&w->f);
                return;
        }
        if (how == 1)
                vfs_sim_kill(w->f.sim);
        else
                vfs_sim_power_cut(w->f.sim, w->random);
        close_queue(&w->f);
}

/* What was not committed may be gone, and then its number is somebody else's, unless a checkpoint knows of it. */
static void forget_uncommitted(World *w) {
        uint64_t next = queue_next_seq(w->f.w.q);
        CHECK(w, next >= w->committed && next >= w->least);
        for (uint64_t seq = next; seq < LIVES_MAX; seq++)
                w->put[seq] = false;
        w->committed = w->committed < next ? w->committed : next;
}

static void live(World *w) {
        open_queue(&w->f, &w->o, w->least);
        forget_uncommitted(w);
        check_all(w, 1);
        for (uint64_t steps = sim_below(&w->random, 30); steps > 0; steps--) {
                write_some(w);
                if (sim_below(&w->random, 2) == 0)
                        continue;
                CHECK(w, queue_commit(w->f.w.q) == 0);
                w->committed = queue_next_seq(w->f.w.q);
                if (sim_below(&w->random, 4) == 0)
                        w->least = sim_below(&w->random, w->committed) + 1;
        }
        check_all(w, sim_below(&w->random, 2) ? 1 : w->least);
        end_process(w);
}

static void random_lives(void **state) {
        (void)state;
        const char *text = getenv("PARALLAX_SIM_SEEDS");
        uint64_t seeds = text ? strtoull(text, NULL, 10) : 100;
        World *w = malloc(sizeof *w);
        assert_non_null(w);
        for (uint64_t seed = 1; seed <= seeds; seed++) {
                memset(w, 0, sizeof *w);
                w->seed = w->random = seed;
                w->f.sim = vfs_sim_new(seed);
                w->o = options();
                w->o.segment_bytes = 300 + sim_below(&w->random, 3000);
                w->committed = 1;
                for (int lives = 0; lives < 12; lives++)
                        live(w);
                w->f.sim = vfs_sim_free(w->f.sim);
        }
        free(w);
}

/* ---- Checkpoint ---- */

static void checkpoint_lives(void **state) {
        (void)state;
        VfsSim *sim = vfs_sim_new(3);
        uint64_t random = 5;
        CheckpointState truth = { 0 };
        for (int lives = 0; lives < 300; lives++) {
                Vfs *v = vfs_sim_open(sim);
                Checkpoint *c = NULL;
                assert_int_equal(checkpoint_open(v, &c), 0);
                assert_int_equal(checkpoint_state(c)->n_shards, truth.n_shards);
                for (uint32_t i = 0; i < truth.n_shards; i++) {
                        assert_int_equal(checkpoint_state(c)->shards[i].acked, truth.shards[i].acked);
                        assert_int_equal(checkpoint_state(c)->shards[i].sent, truth.shards[i].sent);
                }
                for (uint64_t steps = sim_below(&random, 300); steps > 0; steps--) {
                        if (truth.n_shards == 0 || sim_below(&random, 200) == 0) {
                                truth.n_shards = (uint32_t)sim_below(&random, 9) + 1;
                                uint64_t seq = random % 1000000;
                                for (uint32_t i = 0; i < truth.n_shards; i++)
                                        truth.shards[i] = (ShardMark){ seq, 0 };
                                assert_int_equal(checkpoint_layout(c, truth.n_shards, seq), 0);
                        }
                        uint32_t shard = (uint32_t)sim_below(&random, truth.n_shards);
                        truth.shards[shard] = (ShardMark){ truth.shards[shard].acked + sim_below(&random, 10),
                                                           sim_below(&random, 100) };
                        assert_int_equal(checkpoint_shard(c, shard, truth.shards[shard]), 0);
                        if (sim_below(&random, 50) == 0)
                                assert_int_equal(checkpoint_commit(c, true), 0);
                }
                vfs_sim_kill(sim); /* not a power cut: every change counts */
                c = checkpoint_close(c);
                v = vfs_free(v);
        }
        (void)vfs_sim_free(sim);
}

/* After a power cut each shard has what it had at the last sync or later, never more than it ever had. */
static void checkpoint_power_cuts(void **state) {
        (void)state;
        for (uint64_t seed = 1; seed <= 200; seed++) {
                VfsSim *sim = vfs_sim_new(seed);
                uint64_t random = seed, synced[4] = { 0 }, now[4] = { 0 };
                for (int lives = 0; lives < 10; lives++) {
                        Vfs *v = vfs_sim_open(sim);
                        Checkpoint *c = NULL;
                        assert_int_equal(checkpoint_open(v, &c), 0);
                        if (checkpoint_state(c)->n_shards == 0) {
                                assert_true(synced[0] + synced[1] + synced[2] + synced[3] == 0);
                                assert_int_equal(checkpoint_layout(c, 4, 0), 0);
                                memset(now, 0, sizeof now);
                        }
                        for (uint32_t i = 0; i < 4; i++) {
                                uint64_t acked = checkpoint_state(c)->shards[i].acked;
                                assert_true(acked >= synced[i] && acked <= now[i]);
                                now[i] = synced[i] = acked;
                        }
                        for (uint64_t steps = sim_below(&random, 4000); steps > 0; steps--) {
                                uint32_t i = (uint32_t)sim_below(&random, 4);
                                now[i] += sim_below(&random, 5);
                                assert_int_equal(checkpoint_shard(c, i, (ShardMark){ now[i], 0 }), 0);
                                if (sim_below(&random, 100) == 0) {
                                        assert_int_equal(checkpoint_commit(c, true), 0);
                                        memcpy(synced, now, sizeof now);
                                }
                        }
                        vfs_sim_power_cut(sim, random);
                        c = checkpoint_close(c);
                        v = vfs_free(v);
                }
                (void)vfs_sim_free(sim);
        }
}

static void checkpoint_failures(void **state) {
        (void)state;
        for (uint64_t nth = 1; nth < 60; nth++) {
                VfsSim *sim = vfs_sim_new(nth);
                Vfs *v = vfs_sim_open(sim);
                Checkpoint *c = NULL;
                int failed = 0;
                assert_int_equal(checkpoint_open(v, &c), 0);
                failed += checkpoint_layout(c, 2, 1) < 0;
                vfs_sim_fail(sim, SIM_CHANGES | SIM_SYNCS, nth, false, -EIO);
                for (uint64_t i = 1; i < 40; i++) {
                        failed += checkpoint_shard(c, i % 2, (ShardMark){ i, i + 1 }) < 0;
                        if (i % 5 == 0)
                                failed += checkpoint_commit(c, true) < 0;
                }
                assert_true(failed <= 1);
                assert_int_equal(vfs_sim_synced_again(sim), 0);
                vfs_sim_kill(sim);
                c = checkpoint_close(c);
                v = vfs_free(v);
                v = vfs_sim_open(sim);
                assert_int_equal(checkpoint_open(v, &c), 0);
                assert_true(checkpoint_state(c)->shards[1].acked == 39 && checkpoint_state(c)->shards[1].sent == 40);
                c = checkpoint_close(c);
                v = vfs_free(v);
                (void)vfs_sim_free(sim);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(written_and_read),
                cmocka_unit_test(segments_change),
                cmocka_unit_test(bounds_drop_the_oldest),
                cmocka_unit_test(failed_writes),
                cmocka_unit_test(damage),
                cmocka_unit_test(random_lives),
                cmocka_unit_test(checkpoint_lives),
                cmocka_unit_test(checkpoint_power_cuts),
                cmocka_unit_test(checkpoint_failures),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
