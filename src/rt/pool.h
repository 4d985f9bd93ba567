/* A few threads for work that takes long, next to the loop: queries. Jobs wait in a queue that is fair between *sources* (who asks): the
 * sources take turns, however many jobs one has waiting. */
#pragma once

#include "base/time.h"
#include "rt/loop.h"

typedef struct Pool Pool;

typedef struct PoolOptions {
        const char *name;      /* of the threads: "query" */
        unsigned threads;
        unsigned max_waiting;  /* jobs in the queue, of all; and of one source */
        unsigned max_waiting_source;
        unsigned max_running_source; /* jobs of one source at a time; 0: as many as there are threads */
        int nice;              /* of the threads: 10 gives way to all others of the program */
} PoolOptions;

/* work() runs on one of the threads, then done() on the loop's. */
typedef void (*PoolWork)(void *job);
typedef void (*PoolDone)(void *job);

int pool_new(Loop *loop, const PoolOptions *o, Pool **ret_pool) MUST_USE;
/* Lets running jobs end (they should be told to, by a flag of theirs), drops those that wait: done() is called for each with
 * work() not called. Accepts NULL. From the loop's thread. */
Pool *pool_free(Pool *p);
/* From the loop's thread. -EBUSY: the queue is full, of this source or of all. `source` is copied (at most 63 bytes count). */
int pool_submit(Pool *p, const char *source, PoolWork work, PoolDone done, void *job) MUST_USE;
/* Calls fn(context, i) for each i in 0..n, on the calling thread and on threads of the pool that have nothing else to do; returns when all are
 * done. From a job's thread (or any, with p == NULL: all on this one). In no order; fn must be safe for that. */
void pool_parallel(Pool *p, void (*fn)(void *context, size_t i), void *context, size_t n);

typedef struct PoolStats {
        unsigned running, waiting;
        uint64_t done, refused;
        Duration waited; /* of all jobs */
} PoolStats;
void pool_stats(Pool *p, PoolStats *ret_stats);
