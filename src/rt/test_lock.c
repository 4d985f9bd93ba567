#include "rt/lock.h"

#include "rt/thread.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define ROUNDS 20000

typedef struct Shared {
        Lock lock;
        Signal changed;
        ShareLock share;
        uint64_t count, twin;
        int turn;
        bool torn;
} Shared;

static void shared_init(Shared *s) {
        *s = (Shared){ 0 };
        lock_init(&s->lock, "test");
        signal_init(&s->changed);
        share_lock_init(&s->share, "test-share");
}

static void shared_deinit(Shared *s) {
        share_lock_deinit(&s->share);
        signal_deinit(&s->changed);
        lock_deinit(&s->lock);
}

static void count_up(void *context) {
        Shared *s = context;
        for (int i = 0; i < ROUNDS; i++) {
                LOCK_SCOPE(&s->lock);
                lock_assert_held(&s->lock);
                s->count++;
        }
}

static void lets_one_in(void **state) {
        (void)state;
        CLEANUP(shared_deinit) Shared s;
        shared_init(&s);
        Thread *threads[4];
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
                assert_int_equal(thread_start("test-count", count_up, &s, &threads[i]), 0);
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
                assert_null(thread_join(threads[i]));
        assert_int_equal(s.count, 4 * ROUNDS);
        assert_null(thread_join(NULL));
}

/* Two threads that take turns, each woken by the other. */
static void answer(void *context) {
        Shared *s = context;
        LOCK_SCOPE(&s->lock);
        for (int i = 0; i < 1000; i++) {
                while (s->turn != 1)
                        (void)signal_wait(&s->changed, &s->lock, SIGNAL_FOR_EVER);
                s->turn = 0;
                signal_notify(&s->changed);
        }
}

static void wakes_who_waits(void **state) {
        (void)state;
        CLEANUP(shared_deinit) Shared s;
        shared_init(&s);
        Thread *t;
        assert_int_equal(thread_start("test-answer", answer, &s, &t), 0);
        lock(&s.lock);
        for (int i = 0; i < 1000; i++) {
                s.turn = 1;
                signal_notify_all(&s.changed);
                while (s.turn != 0)
                        assert_true(signal_wait(&s.changed, &s.lock, mono_add(mono_now(), SECONDS(60))));
                lock_assert_held(&s.lock);
        }
        unlock(&s.lock);
        (void)thread_join(t);
}

static void waits_no_longer_than_asked(void **state) {
        (void)state;
        CLEANUP(shared_deinit) Shared s;
        shared_init(&s);
        LOCK_SCOPE(&s.lock);
        MonoTime begin = mono_now();
        while (signal_wait(&s.changed, &s.lock, mono_add(begin, MILLISECONDS(20))))
                ;
        assert_true(mono_since(mono_now(), begin).ns >= 20 * NS_PER_MS);
        while (signal_wait(&s.changed, &s.lock, (MonoTime){ -1 }))
                ;
}

static void read_both(void *context) {
        Shared *s = context;
        for (int i = 0; i < ROUNDS; i++) {
                SHARE_READ_SCOPE(&s->share);
                if (s->count != s->twin)
                        __atomic_store_n(&s->torn, true, __ATOMIC_RELAXED);
        }
}

static void readers_see_no_half(void **state) {
        (void)state;
        CLEANUP(shared_deinit) Shared s;
        shared_init(&s);
        Thread *threads[2];
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
                assert_int_equal(thread_start("test-read", read_both, &s, &threads[i]), 0);
        for (int i = 0; i < 1000; i++) {
                SHARE_WRITE_SCOPE(&s.share);
                s.count++;
                s.twin++;
        }
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
                (void)thread_join(threads[i]);
        assert_false(s.torn);
}

static void look_at_self(void *context) {
        char *name = context;
        sigset_t mask;
        (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
        if (sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGHUP) == 1)
                (void)pthread_getname_np(pthread_self(), name, THREAD_NAME_MAX + 1);
}

static void threads_have_names_and_no_signals(void **state) {
        (void)state;
        char name[THREAD_NAME_MAX + 1] = "";
        Thread *t;
        assert_int_equal(thread_start("store-committer", look_at_self, name, &t), 0);
        (void)thread_join(t);
        assert_string_equal(name, "store-committer");
        sigset_t mask;
        (void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
        assert_int_equal(sigismember(&mask, SIGTERM), 0);
}

static void take_twice(Lock *l) {
        lock(l);
        lock(l);
}

static void need_it(Lock *l) {
        lock_assert_held(l);
}

/* What a child does with a lock that it must not do. */
static bool dies(void (*wrong)(Lock *l)) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                (void)close(STDERR_FILENO);
                (void)signal(SIGABRT, SIG_DFL);
                Lock l;
                lock_init(&l, "child");
                wrong(&l);
                _exit(0);
        }
        int status = 0;
        assert_true(waitpid(child, &status, 0) == child);
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void finds_wrong_use(void **state) {
        (void)state;
        assert_true(dies(take_twice));
        assert_true(dies(unlock));
        assert_true(dies(need_it));
        assert_false(dies(lock));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lets_one_in),
                cmocka_unit_test(wakes_who_waits),
                cmocka_unit_test(waits_no_longer_than_asked),
                cmocka_unit_test(readers_see_no_half),
                cmocka_unit_test(threads_have_names_and_no_signals),
                cmocka_unit_test(finds_wrong_use),
        };
        return cmocka_run_group_tests_name("rt: locks and threads", tests, NULL, NULL);
}
