/* The libvirt workers: started, asked one thing at a time, killed when they do not answer.
 *
 * A call of libvirt that does not return cannot be given up in a thread, so it is made in a process. Each
 * worker has one ask in flight and a deadline for it; a worker that misses it, breaks the protocol or ends
 * by itself is replaced after a back-off that an answer resets. There are never more processes or
 * descriptors than places in the pool. One thread, the loop's. */
#pragma once

#include "rt/loop.h"
#include "wire/frame.h"

typedef struct WorkerPool WorkerPool;

typedef enum WorkerRole { WORKER_STATES, WORKER_MONITOR, WORKER_ROLE_COUNT } WorkerRole;

#define WORKER_MONITORS_MAX 4u

typedef struct WorkerOptions {
        const char *program; /* path of parallax-virt; copied */
        const char *uri;     /* copied */
        Duration deadline;
        Duration backoff_min, backoff_max; /* between the end of a worker and the start of its successor */
        unsigned monitors;   /* places of role monitor; there is one of role states */
} WorkerOptions;

typedef struct WorkerAsk {
        WorkerRole role;
        EntityKey key;
        Ask what;
        uint32_t flags;
        MonoTime asked;
} WorkerAsk;

/* Calls into the pool are allowed, except worker_pool_free(). */
typedef struct WorkerOps {
        /* An answer; `ask` is NULL for what a worker tells by itself (serial 0). */
        void (*done)(void *context, WorkerRole role, const WorkerAsk *ask, const DoneBody *done);
        /* No answer: the worker was killed at its deadline, or it ended. */
        void (*lost)(void *context, const WorkerAsk *ask, bool deadline);
} WorkerOps;

typedef struct WorkerCounts {
        uint64_t starts, start_failures;
        uint64_t kills; /* at the deadline */
        uint64_t exits; /* by themselves */
        uint64_t refused; /* workers that broke the protocol */
        uint64_t answers[ASK_STATE_COUNT];
        uint64_t lost;
} WorkerCounts;

/* Batches, entities, … of the workers go to `sink`, which outlives the pool, as do the ops. Workers start with
 * the next tick. 0 or -ENOMEM. */
int worker_pool_new(Loop *loop, const WorkerOptions *options, Sink *sink, const WorkerOps *ops, void *context,
                    WorkerPool **ret_pool) MUST_USE;
/* Kills and reaps the workers. */
WorkerPool *worker_pool_free(WorkerPool *p);

/* Starts, kills at the deadline, reaps. Call it a few times a second. */
void worker_pool_tick(WorkerPool *p, MonoTime now);
/* 0; -EAGAIN when no worker of the role is idle. */
int worker_pool_ask(WorkerPool *p, WorkerRole role, EntityKey key, Ask what, uint32_t flags, MonoTime now) MUST_USE;
bool worker_pool_idle(const WorkerPool *p, WorkerRole role);
/* Asks in flight. */
size_t worker_pool_busy(const WorkerPool *p, WorkerRole role);
const WorkerCounts *worker_pool_counts(const WorkerPool *p);
/* Places, and the process in one of them (0 = none). */
size_t worker_pool_places(const WorkerPool *p);
pid_t worker_pool_pid(const WorkerPool *p, size_t place, WorkerRole *ret_role);
