/* The pool with a fake worker: this program itself, started with a behaviour in place of the URI. */
#include "sensor/worker_pool.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <cmocka.h>

/* --- the fake worker ------------------------------------------------------------------------------ */

static void fake_emit(void *context, const void *packet, size_t n) {
        (void)context;
        if (send(3, packet, n, MSG_NOSIGNAL) < 0)
                _exit(1);
}

static void fake_answer(FrameWriter *w, const Frame *ask) {
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        batch_begin(&b, (EntityKey){ ENTITY_DOMAIN, ask->key.id }, GROUP_DOM_STATE, wall_now(), mono_now());
        batch_row(&b, NULL);
        batch_set(&b, M_DOM_STATE_STATE, 1);
        Batch view;
        if (batch_view(&b, &view))
                (void)frame_put_batch(w, &view);
        frame_put_done(w, ask->key, &(DoneBody){ .what = ask->ask.what, .state = ASK_OK, .serial = ask->ask.serial });
        frame_flush(w);
}

static int fake_worker(const char *behaviour) {
        static uint64_t packet[FRAME_PACKET_MAX / 8];
        CLEANUP(frame_writer_deinit) FrameWriter w;
        frame_writer_init(&w, fake_emit, NULL);
        if (strcmp(behaviour, "rude") != 0)
                frame_put_hello(&w);
        else
                frame_put_resync(&w);
        frame_flush(&w);
        if (strcmp(behaviour, "exit") == 0)
                return 0;
        for (;;) {
                ssize_t n = recv(3, packet, sizeof packet, 0);
                if (n <= 0)
                        return 0;
                FrameReader reader = { (uint8_t *)packet, (uint8_t *)packet + n };
                Frame f;
                while (frame_next(&reader, &f) > 0) {
                        if (strcmp(behaviour, "hang") == 0 || f.ask.flags == ASK_CONTROL_ONLY)
                                (void)pause();
                        if (strcmp(behaviour, "quit") == 0)
                                return 0;
                        fake_answer(&w, &f);
                }
        }
}

/* --- the test --------------------------------------------------------------------------------------- */

typedef struct Rig {
        Loop *loop;
        LoopTimer *tick, *end;
        WorkerPool *pool;
        Sink sink;
        unsigned batches, done, lost, deadlines, refused;
        bool ask_again;
        WorkerRole role;
} Rig;

static void on_batch(Sink *s, const Batch *b) {
        (void)b;
        ((Rig *)((char *)s - offsetof(Rig, sink)))->batches++;
}

static void on_done(void *context, WorkerRole role, const WorkerAsk *ask, const DoneBody *done) {
        Rig *rig = context;
        assert_int_equal(role, rig->role);
        assert_non_null(ask);
        assert_int_equal(done->state, ASK_OK);
        rig->done++;
}

static void on_lost(void *context, const WorkerAsk *ask, bool deadline) {
        Rig *rig = context;
        assert_int_equal(ask->what, ASK_MONITOR);
        rig->lost++;
        rig->deadlines += deadline;
}

static const WorkerOps OPS = { .done = on_done, .lost = on_lost };

static EntityKey domain(uint8_t n) {
        return (EntityKey){ ENTITY_DOMAIN, { { n } } };
}

static void on_tick(void *context) {
        Rig *rig = context;
        worker_pool_tick(rig->pool, mono_now());
        if (rig->ask_again && worker_pool_ask(rig->pool, rig->role, domain(1), ASK_MONITOR, 0, mono_now()) < 0)
                rig->refused++;
}

static void on_end(void *context) {
        loop_stop(((Rig *)context)->loop);
}

static void begin(Rig *rig, const char *behaviour, const char *program) {
        *rig = (Rig){ .sink = { .batch = on_batch }, .role = WORKER_MONITOR };
        WorkerOptions options = { .program = program,
                                  .uri = behaviour,
                                  .deadline = MILLISECONDS(300),
                                  .backoff_min = MILLISECONDS(20),
                                  .backoff_max = MILLISECONDS(200),
                                  .monitors = 2 };
        assert_int_equal(loop_new(&rig->loop), 0);
        assert_int_equal(worker_pool_new(rig->loop, &options, &rig->sink, &OPS, rig, &rig->pool), 0);
        assert_int_equal(loop_timer(rig->loop, MILLISECONDS(0), MILLISECONDS(10), on_tick, rig, &rig->tick), 0);
}

static void run_for(Rig *rig, int64_t ms) {
        assert_int_equal(loop_timer(rig->loop, MILLISECONDS(ms), MILLISECONDS(0), on_end, rig, &rig->end), 0);
        assert_int_equal(loop_run(rig->loop), 0);
        rig->end = loop_timer_stop(rig->end);
}

static void end(Rig *rig) {
        rig->tick = loop_timer_stop(rig->tick);
        rig->pool = worker_pool_free(rig->pool);
        rig->loop = loop_free(rig->loop);
        /* Nobody is left to wait for. */
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static size_t open_descriptors(void) {
        DIR *d = opendir("/proc/self/fd");
        assert_non_null(d);
        size_t n = 0;
        while (readdir(d))
                n++;
        (void)closedir(d);
        return n;
}

static void an_ask_is_answered(void **state) {
        (void)state;
        Rig rig;
        begin(&rig, "answer", "/proc/self/exe");
        run_for(&rig, 200);
        assert_true(worker_pool_idle(rig.pool, WORKER_STATES));
        assert_int_equal(worker_pool_ask(rig.pool, WORKER_MONITOR, domain(1), ASK_MONITOR, 0, mono_now()), 0);
        assert_int_equal(worker_pool_ask(rig.pool, WORKER_MONITOR, domain(2), ASK_MONITOR, 0, mono_now()), 0);
        assert_int_equal(worker_pool_ask(rig.pool, WORKER_MONITOR, domain(3), ASK_MONITOR, 0, mono_now()), -EAGAIN);
        assert_int_equal(worker_pool_busy(rig.pool, WORKER_MONITOR), 2);
        run_for(&rig, 200);
        assert_int_equal(rig.done, 2);
        assert_int_equal(rig.batches, 2);
        assert_int_equal(rig.lost, 0);
        assert_int_equal(worker_pool_counts(rig.pool)->starts, 3);
        end(&rig);
}

static void a_worker_that_hangs_is_killed_and_replaced(void **state) {
        (void)state;
        Rig rig;
        begin(&rig, "hang", "/proc/self/exe");
        run_for(&rig, 200);
        assert_int_equal(worker_pool_ask(rig.pool, WORKER_MONITOR, domain(1), ASK_MONITOR, 0, mono_now()), 0);
        run_for(&rig, 600);
        assert_int_equal(rig.lost, 1);
        assert_int_equal(rig.deadlines, 1);
        assert_int_equal(worker_pool_counts(rig.pool)->kills, 1);
        assert_int_equal(worker_pool_counts(rig.pool)->starts, 4);
        assert_true(worker_pool_idle(rig.pool, WORKER_MONITOR));
        end(&rig);
}

static void one_that_hangs_leaves_the_other_free(void **state) {
        (void)state;
        Rig rig;
        begin(&rig, "answer", "/proc/self/exe");
        run_for(&rig, 200);
        assert_int_equal(worker_pool_ask(rig.pool, WORKER_MONITOR, domain(1), ASK_MONITOR, ASK_CONTROL_ONLY,
                                         mono_now()), 0);
        rig.ask_again = true;
        run_for(&rig, 200);
        assert_true(rig.done > 5);
        assert_int_equal(rig.lost, 0);
        run_for(&rig, 300);
        assert_int_equal(rig.lost, 1);
        end(&rig);
}

static void workers_that_end_come_back_ever_more_slowly(void **state) {
        (void)state;
        Rig rig;
        begin(&rig, "exit", "/proc/self/exe");
        run_for(&rig, 1000);
        uint64_t starts = worker_pool_counts(rig.pool)->starts;
        assert_in_range(starts, 6, 36);
        end(&rig);
}

static void an_ask_of_a_worker_that_quits_is_lost(void **state) {
        (void)state;
        Rig rig;
        begin(&rig, "quit", "/proc/self/exe");
        run_for(&rig, 200);
        assert_int_equal(worker_pool_ask(rig.pool, WORKER_MONITOR, domain(1), ASK_MONITOR, 0, mono_now()), 0);
        run_for(&rig, 200);
        assert_int_equal(rig.lost, 1);
        assert_int_equal(rig.deadlines, 0);
        end(&rig);
}

static void a_worker_that_breaks_the_protocol_is_refused(void **state) {
        (void)state;
        Rig rig;
        begin(&rig, "rude", "/proc/self/exe");
        run_for(&rig, 200);
        assert_true(worker_pool_counts(rig.pool)->refused >= 3);
        assert_false(worker_pool_idle(rig.pool, WORKER_STATES));
        end(&rig);
}

static void a_missing_program_is_tried_again(void **state) {
        (void)state;
        Rig rig;
        begin(&rig, "answer", "/nonexistent/parallax-virt");
        run_for(&rig, 200);
        assert_true(worker_pool_counts(rig.pool)->start_failures >= 3);
        assert_int_equal(worker_pool_counts(rig.pool)->starts, 0);
        end(&rig);
}

static void nothing_grows_with_kills(void **state) {
        (void)state;
        Rig rig;
        begin(&rig, "hang", "/proc/self/exe");
        rig.ask_again = true;
        run_for(&rig, 200);
        size_t before = open_descriptors();
        run_for(&rig, 3000);
        assert_true(rig.lost >= 6);
        assert_in_range(open_descriptors(), before - 3, before);
        end(&rig);
}

int main(int argc, char **argv) {
        if (argc == 3)
                return fake_worker(argv[2]);
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_ask_is_answered),
                cmocka_unit_test(a_worker_that_hangs_is_killed_and_replaced),
                cmocka_unit_test(one_that_hangs_leaves_the_other_free),
                cmocka_unit_test(workers_that_end_come_back_ever_more_slowly),
                cmocka_unit_test(an_ask_of_a_worker_that_quits_is_lost),
                cmocka_unit_test(a_worker_that_breaks_the_protocol_is_refused),
                cmocka_unit_test(a_missing_program_is_tried_again),
                cmocka_unit_test(nothing_grows_with_kills),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
