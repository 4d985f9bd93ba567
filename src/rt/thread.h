/* Threads, each with a role that its name says ("store-commit"): few, started by the programs, joined before their objects
 * are freed. All signals are blocked in them; they are for the loop's thread. */
#pragma once

#include "base/cleanup.h"

typedef struct Thread Thread;

/* Most bytes of a name that the kernel shows. */
#define THREAD_NAME_MAX 15

/* Runs fn(context) on a stack of 256 KiB: no deep recursion, no large locals. 0, -EAGAIN, -ENOMEM. */
int thread_start(const char *name, void (*fn)(void *context), void *context, Thread **ret_thread) MUST_USE;
/* Waits for its end; accepts NULL. */
Thread *thread_join(Thread *t);
