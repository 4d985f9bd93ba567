/* Thin layers over pthread. Every error that its functions can report here is a programming error. */
#include "rt/lock.h"

#include <assert.h>
#include <stdatomic.h>

/* Evaluates in release builds too. */
#define MUST_BE_ZERO(call)          \
        ({                          \
                int error_ = (call); \
                assert(error_ == 0); \
        })

static bool held_by_us(const Lock *l) {
        return atomic_load_explicit(&l->holder, memory_order_relaxed) == pthread_self();
}

static void set_holder(Lock *l, pthread_t holder) {
        atomic_store_explicit(&l->holder, holder, memory_order_relaxed);
}

void lock_init(Lock *l, const char *name) {
        MUST_BE_ZERO(pthread_mutex_init(&l->mutex, NULL));
        l->name = name;
        atomic_init(&l->holder, 0);
}

void lock_deinit(Lock *l) {
        MUST_BE_ZERO(pthread_mutex_destroy(&l->mutex));
}

void lock(Lock *l) {
        assert(!held_by_us(l));
        MUST_BE_ZERO(pthread_mutex_lock(&l->mutex));
        set_holder(l, pthread_self());
}

void unlock(Lock *l) {
        lock_assert_held(l);
        set_holder(l, 0);
        MUST_BE_ZERO(pthread_mutex_unlock(&l->mutex));
}

void lock_assert_held(const Lock *l) {
        assert(held_by_us(l));
}

void signal_init(Signal *s) {
        pthread_condattr_t attributes;
        MUST_BE_ZERO(pthread_condattr_init(&attributes));
        MUST_BE_ZERO(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
        MUST_BE_ZERO(pthread_cond_init(&s->condition, &attributes));
        MUST_BE_ZERO(pthread_condattr_destroy(&attributes));
}

void signal_deinit(Signal *s) {
        MUST_BE_ZERO(pthread_cond_destroy(&s->condition));
}

bool signal_wait(Signal *s, Lock *l, MonoTime deadline) {
        lock_assert_held(l);
        int error = 0;
        set_holder(l, 0);
        if (deadline.ns == SIGNAL_FOR_EVER.ns) {
                MUST_BE_ZERO(pthread_cond_wait(&s->condition, &l->mutex));
        } else {
                int64_t ns = deadline.ns > 0 ? deadline.ns : 0;
                struct timespec until = { .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };
                error = pthread_cond_timedwait(&s->condition, &l->mutex, &until);
                assert(error == 0 || error == ETIMEDOUT);
        }
        set_holder(l, pthread_self());
        return error == 0;
}

void signal_notify(Signal *s) {
        MUST_BE_ZERO(pthread_cond_signal(&s->condition));
}

void signal_notify_all(Signal *s) {
        MUST_BE_ZERO(pthread_cond_broadcast(&s->condition));
}

void share_lock_init(ShareLock *l, const char *name) {
        pthread_rwlockattr_t attributes;
        MUST_BE_ZERO(pthread_rwlockattr_init(&attributes));
        /* glibc prefers readers: a stream of queries would keep a writer out for ever. */
        MUST_BE_ZERO(pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP));
        MUST_BE_ZERO(pthread_rwlock_init(&l->lock, &attributes));
        MUST_BE_ZERO(pthread_rwlockattr_destroy(&attributes));
        l->name = name;
}

void share_lock_deinit(ShareLock *l) {
        MUST_BE_ZERO(pthread_rwlock_destroy(&l->lock));
}

void share_lock_read(ShareLock *l) {
        MUST_BE_ZERO(pthread_rwlock_rdlock(&l->lock));
}

void share_lock_write(ShareLock *l) {
        MUST_BE_ZERO(pthread_rwlock_wrlock(&l->lock));
}

void share_lock_end(ShareLock *l) {
        MUST_BE_ZERO(pthread_rwlock_unlock(&l->lock));
}
