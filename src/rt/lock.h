/* Locks with names. A Lock knows its holder, so that code that relies on it can say so (lock_assert_held), and holding it
 * twice or letting go of it as somebody else is found at once.
 *
 * None of these may be moved once it is initialised. Initialising cannot fail. */
#pragma once

#include "base/cleanup.h"
#include "base/time.h"

#include <pthread.h>
#include <stdbool.h>

typedef struct Lock {
        pthread_mutex_t mutex;
        const char *name; /* for who looks at it with a debugger */
        _Atomic(pthread_t) holder; /* 0: nobody */
} Lock;

void lock_init(Lock *l, const char *name);
void lock_deinit(Lock *l);
void lock(Lock *l);
void unlock(Lock *l);
void lock_assert_held(const Lock *l);

/* Holds the lock to the end of the block. */
#define LOCK_SCOPE(l) LOCK_SCOPE_(l, __COUNTER__)
#define LOCK_SCOPE_(l, n) LOCK_SCOPE__(l, n)
#define LOCK_SCOPE__(l, n) CLEANUP(lock_scope_end) Lock *lock_scope_##n __attribute__((unused)) = lock_scope_begin(l)
static inline Lock *lock_scope_begin(Lock *l) {
        lock(l);
        return l;
}
static inline void lock_scope_end(Lock **l) {
        unlock(*l);
}

/* What threads wait for. Wakes for no reason are possible: the condition is looked at in a loop. */
typedef struct Signal {
        pthread_cond_t condition;
} Signal;

#define SIGNAL_FOR_EVER ((MonoTime){ INT64_MAX })

void signal_init(Signal *s);
void signal_deinit(Signal *s);
/* Lets go of `l`, waits for a notification, takes it again. False when the deadline passed. */
bool signal_wait(Signal *s, Lock *l, MonoTime deadline);
void signal_notify(Signal *s);     /* one that waits */
void signal_notify_all(Signal *s); /* all of them */

/* Many readers or one writer. A writer that waits keeps new readers out, so a reader must not read a second time. */
typedef struct ShareLock {
        pthread_rwlock_t lock;
        const char *name;
} ShareLock;

void share_lock_init(ShareLock *l, const char *name);
void share_lock_deinit(ShareLock *l);
void share_lock_read(ShareLock *l);
void share_lock_write(ShareLock *l);
void share_lock_end(ShareLock *l); /* of either */

#define SHARE_READ_SCOPE(l) SHARE_SCOPE_(l, share_lock_read, __COUNTER__)
#define SHARE_WRITE_SCOPE(l) SHARE_SCOPE_(l, share_lock_write, __COUNTER__)
#define SHARE_SCOPE_(l, take, n) SHARE_SCOPE__(l, take, n)
#define SHARE_SCOPE__(l, take, n) \
        CLEANUP(share_scope_end) ShareLock *share_scope_##n __attribute__((unused)) = (take(l), (l))
static inline void share_scope_end(ShareLock **l) {
        share_lock_end(*l);
}
