/* The operator's jobs on the store: deleting, copying, rolling up again, checking, merging everything. They may take hours, longer than
 * anybody should keep a connection for, so a job is begun (202 with its id) and asked after. One at a time; what became
 * of the last few is kept. Single-threaded but for the job itself, which the keeper's thread runs. */
#pragma once

#include "base/cleanup.h"
#include "base/time.h"

typedef struct StoreJobs StoreJobs;

/* Ids begin with the time of the start, so that nobody takes a job for one of the parallaxd before. 0 or -ENOMEM. */
int store_jobs_new(WallTime now, StoreJobs **ret_jobs) MUST_USE;
/* After the thread that runs them has ended. Accepts NULL. */
StoreJobs *store_jobs_free(StoreJobs *jobs);
