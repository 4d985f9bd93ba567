/* The store within parallaxd: its two threads, and what they tell the loop.
 *
 *   store-commit   writes and syncs the log, as soon as something waits for it, and once a second
 *   store-keep     flushes, merges, rolls up, deletes; and runs the jobs of the operator
 *
 * The store's writer is the loop's thread. Everything here is called from it. */
#pragma once

#include "rt/loop.h"
#include "rt/settings.h"
#include "store/store.h"

typedef struct StoreHost StoreHost;

typedef struct StoreHostOps {
        void (*durable)(void *context); /* a commit has ended well: more may be durable than before */
        void (*failed)(void *context, int error);      /* the log cannot be written: nobody who waits can be told yes */
        /* Both may be NULL, and are called by store-commit: before each commit of the store; and whether there is to be one although the
         * store itself has nothing to write. */
        void (*before_commit)(void *context);
        bool (*commit_wanted)(void *context);
} StoreHostOps;

/* Opens the store in `vfs` (taken over in any case) as the settings describe it, and starts the threads. What is wrong is logged. */
int store_host_open(Loop *loop, const Settings *s, Vfs *vfs, const StoreHostOps *ops, void *context, StoreHost **ret_host) MUST_USE;
/* Ends the threads, flushes, closes. Accepts NULL. */
StoreHost *store_host_close(StoreHost *h);
Store *store_host_store(StoreHost *h);
/* Somebody waits for the disk. */
void store_host_kick(StoreHost *h);

/* Work for the keeper's thread, one at a time; `done` is called by the loop with what it returned. -EBUSY: another is under way. */
typedef int (*StoreJobFn)(Store *s, void *context);
typedef void (*StoreJobDone)(void *context, int result);
int store_host_run(StoreHost *h, StoreJobFn fn, StoreJobDone done, void *context) MUST_USE;
