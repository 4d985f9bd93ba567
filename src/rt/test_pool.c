#include "rt/pool.h"

#include "rt/lock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define JOBS_MAX 4096

/* A loop with a pool, and a gate that holds jobs until it is opened. */
typedef struct Bench {
        Loop *loop;
        Pool *pool;
        LoopTimer *guard;
        Lock lock;
        Signal changed;
        bool open;
        unsigned inside, most_inside; /* jobs at work */
        char order[JOBS_MAX];         /* letters of the jobs as they ran */
        size_t n_order;
        size_t done, expected;
} Bench;

typedef struct TestJob {
        Bench *bench;
        char letter;
        bool worked, ended;
} TestJob;

static void on_guard(void *context) {
        (void)context;
        fail_msg("the loop waited for 30 s");
}

static void bench_init(Bench *b, const PoolOptions *o) {
        *b = (Bench){ 0 };
        lock_init(&b->lock, "test");
        signal_init(&b->changed);
        assert_int_equal(loop_new(&b->loop), 0);
        assert_int_equal(loop_timer(b->loop, SECONDS(30), (Duration){ 0 }, on_guard, b, &b->guard), 0);
        assert_int_equal(pool_new(b->loop, o, &b->pool), 0);
}

static void bench_deinit(Bench *b) {
        b->pool = pool_free(b->pool);
        b->guard = loop_timer_stop(b->guard);
        b->loop = loop_free(b->loop);
        signal_deinit(&b->changed);
        lock_deinit(&b->lock);
}

static void work(void *context) {
        TestJob *j = context;
        Bench *b = j->bench;
        LOCK_SCOPE(&b->lock);
        b->inside++;
        b->most_inside = b->inside > b->most_inside ? b->inside : b->most_inside;
        signal_notify_all(&b->changed);
        while (!b->open)
                (void)signal_wait(&b->changed, &b->lock, SIGNAL_FOR_EVER);
        b->order[b->n_order++] = j->letter;
        b->inside--;
        j->worked = true;
}

static void done(void *context) {
        TestJob *j = context;
        j->ended = true;
        if (++j->bench->done == j->bench->expected)
                loop_stop(j->bench->loop);
}

static int submit(Bench *b, TestJob *j, char letter, const char *source) {
        *j = (TestJob){ .bench = b, .letter = letter };
        return pool_submit(b->pool, source, work, done, j);
}

static void wait_inside(Bench *b, unsigned n) {
        LOCK_SCOPE(&b->lock);
        while (b->inside < n)
                (void)signal_wait(&b->changed, &b->lock, SIGNAL_FOR_EVER);
}

static void open_gate(Bench *b) {
        LOCK_SCOPE(&b->lock);
        b->open = true;
        signal_notify_all(&b->changed);
}

static void run_until_done(Bench *b, size_t n) {
        b->expected = n;
        if (b->done < n)
                assert_int_equal(loop_run(b->loop), 0);
        assert_int_equal(b->done, n);
}

static void sources_take_turns(void **state) {
        static const PoolOptions O = {
                .name = "test-pool-name", .threads = 1, .max_waiting = 100, .max_waiting_source = 50
        };
        CLEANUP(bench_deinit) Bench b;
        TestJob jobs[10];
        (void)state;
        bench_init(&b, &O);
        assert_int_equal(submit(&b, &jobs[0], '0', "first"), 0);
        wait_inside(&b, 1);
        for (size_t i = 1; i <= 5; i++)
                assert_int_equal(submit(&b, &jobs[i], 'a', "greedy"), 0);
        assert_int_equal(submit(&b, &jobs[6], 'b', "modest"), 0);
        assert_int_equal(submit(&b, &jobs[7], 'b', "modest"), 0);
        assert_int_equal(submit(&b, &jobs[8], 'c', "late"), 0);
        PoolStats s;
        pool_stats(b.pool, &s);
        assert_int_equal(s.running, 1);
        assert_int_equal(s.waiting, 8);
        open_gate(&b);
        run_until_done(&b, 9);
        assert_int_equal(b.n_order, 9);
        assert_memory_equal(b.order, "0abcabaaa", 9);
        pool_stats(b.pool, &s);
        assert_int_equal(s.done, 9);
        assert_int_equal(s.running + s.waiting, 0);
        assert_true(s.waited.ns > 0);
}

static void a_full_queue_refuses(void **state) {
        static const PoolOptions O = { .name = "test", .threads = 1, .max_waiting = 3, .max_waiting_source = 2 };
        CLEANUP(bench_deinit) Bench b;
        TestJob jobs[8];
        (void)state;
        bench_init(&b, &O);
        assert_int_equal(submit(&b, &jobs[0], '0', "x"), 0);
        wait_inside(&b, 1);
        assert_int_equal(submit(&b, &jobs[1], 'a', "a"), 0);
        assert_int_equal(submit(&b, &jobs[2], 'a', "a"), 0);
        assert_int_equal(submit(&b, &jobs[3], 'a', "a"), -EBUSY);
        assert_int_equal(submit(&b, &jobs[4], 'b', "b"), 0);
        assert_int_equal(submit(&b, &jobs[5], 'c', "c"), -EBUSY);
        PoolStats s;
        pool_stats(b.pool, &s);
        assert_int_equal(s.refused, 2);
        open_gate(&b);
        run_until_done(&b, 4);
        assert_int_equal(submit(&b, &jobs[6], 'a', "a"), 0);
        run_until_done(&b, 5);
}

static void a_source_runs_so_many_at_a_time(void **state) {
        static const PoolOptions O = {
                .name = "test", .threads = 3, .max_waiting = 100, .max_waiting_source = 50, .max_running_source = 1
        };
        CLEANUP(bench_deinit) Bench b;
        TestJob jobs[6];
        (void)state;
        bench_init(&b, &O);
        for (size_t i = 0; i < 4; i++)
                assert_int_equal(submit(&b, &jobs[i], 'a', "a"), 0);
        assert_int_equal(submit(&b, &jobs[4], 'b', "b"), 0);
        wait_inside(&b, 2);
        PoolStats s;
        pool_stats(b.pool, &s);
        assert_int_equal(s.running, 2);
        assert_int_equal(s.waiting, 3);
        open_gate(&b);
        run_until_done(&b, 5);
        assert_int_equal(b.most_inside, 2);
}

static void what_waits_is_dropped_at_the_end(void **state) {
        static const PoolOptions O = { .name = "test", .threads = 1, .max_waiting = 10, .max_waiting_source = 10 };
        CLEANUP(bench_deinit) Bench b;
        TestJob jobs[3];
        (void)state;
        bench_init(&b, &O);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(submit(&b, &jobs[i], 'a', i == 2 ? "b" : "a"), 0);
        wait_inside(&b, 1);
        open_gate(&b); /* others may still be taken before the pool stops, but each ends once */
        b.pool = pool_free(b.pool);
        assert_int_equal(b.done, 3);
        assert_true(jobs[0].worked);
        for (size_t i = 0; i < 3; i++)
                assert_true(jobs[i].ended);
        assert_null(pool_free(NULL));
}

/* ---- pool_parallel() ---- */

typedef struct Parts {
        Pool *pool;
        atomic_uint seen[1000];
        atomic_uint nested;
} Parts;

static void see(void *context, size_t i) {
        Parts *p = context;
        atomic_fetch_add(&p->seen[i], 1);
}

static void each_number_comes_once(void **state) {
        static const PoolOptions O = { .name = "test", .threads = 3, .max_waiting = 10, .max_waiting_source = 10 };
        CLEANUP(bench_deinit) Bench b;
        Parts p = { 0 };
        (void)state;
        bench_init(&b, &O);
        for (unsigned round = 1; round <= 50; round++) {
                pool_parallel(round % 2 ? b.pool : NULL, see, &p, ARRAY_LEN(p.seen));
                for (size_t i = 0; i < ARRAY_LEN(p.seen); i++)
                        assert_int_equal(atomic_load(&p.seen[i]), round);
        }
        pool_parallel(b.pool, see, &p, 0);
}

static void add_nested(void *context, size_t i) {
        Parts *p = context;
        (void)i;
        atomic_fetch_add(&p->nested, 1);
}

static void work_parallel(void *context) {
        TestJob *j = context;
        Parts p = { .pool = j->bench->pool };
        for (int i = 0; i < 20; i++)
                pool_parallel(p.pool, add_nested, &p, 7);
        j->worked = atomic_load(&p.nested) == 140;
}

static void jobs_may_use_it_all_at_once(void **state) {
        static const PoolOptions O = { .name = "test", .threads = 4, .max_waiting = 100, .max_waiting_source = 100 };
        CLEANUP(bench_deinit) Bench b;
        TestJob jobs[32];
        (void)state;
        bench_init(&b, &O);
        for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
                jobs[i] = (TestJob){ .bench = &b };
                assert_int_equal(pool_submit(b.pool, i % 2 ? "a" : "b", work_parallel, done, &jobs[i]), 0);
        }
        run_until_done(&b, ARRAY_LEN(jobs));
        for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
                assert_true(jobs[i].worked);
}

/* Two numbers of one group are at work at once: somebody helps. */
typedef struct Meeting {
        Lock lock;
        Signal changed;
        unsigned here;
} Meeting;

static void meet(void *context, size_t i) {
        Meeting *m = context;
        (void)i;
        LOCK_SCOPE(&m->lock);
        m->here++;
        signal_notify_all(&m->changed);
        while (m->here < 2)
                assert_true(signal_wait(&m->changed, &m->lock, mono_add(mono_now(), SECONDS(30))));
}

static void idle_threads_help(void **state) {
        static const PoolOptions O = { .name = "test", .threads = 1, .max_waiting = 10, .max_waiting_source = 10 };
        CLEANUP(bench_deinit) Bench b;
        Meeting m = { 0 };
        (void)state;
        lock_init(&m.lock, "meeting");
        signal_init(&m.changed);
        bench_init(&b, &O);
        pool_parallel(b.pool, meet, &m, 2);
        assert_int_equal(m.here, 2);
        signal_deinit(&m.changed);
        lock_deinit(&m.lock);
}

static void sources_with_long_names_are_cut(void **state) {
        static const PoolOptions O = { .name = "test", .threads = 1, .max_waiting = 10, .max_waiting_source = 1 };
        CLEANUP(bench_deinit) Bench b;
        TestJob jobs[3];
        char name[200], twin[200];
        (void)state;
        memset(name, 'x', sizeof name);
        name[sizeof name - 1] = '\0';
        memcpy(twin, name, sizeof twin);
        twin[100] = 'y';
        bench_init(&b, &O);
        assert_int_equal(submit(&b, &jobs[0], '0', "first"), 0);
        wait_inside(&b, 1);
        assert_int_equal(submit(&b, &jobs[1], 'a', name), 0);
        assert_int_equal(submit(&b, &jobs[2], 'a', twin), -EBUSY);
        open_gate(&b);
        run_until_done(&b, 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sources_take_turns),
                cmocka_unit_test(a_full_queue_refuses),
                cmocka_unit_test(a_source_runs_so_many_at_a_time),
                cmocka_unit_test(what_waits_is_dropped_at_the_end),
                cmocka_unit_test(each_number_comes_once),
                cmocka_unit_test(jobs_may_use_it_all_at_once),
                cmocka_unit_test(idle_threads_help),
                cmocka_unit_test(sources_with_long_names_are_cut),
        };
        return cmocka_run_group_tests_name("rt_pool: jobs of several sources", tests, NULL, NULL);
}
