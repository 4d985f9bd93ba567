/* Small kernel files read again and again: a descriptor that is kept and pread, and parsers that take
 * whole lines only, so that a half-written file gives nothing instead of a cut number.
 * Private to this folder. */
#pragma once

#include "base/scan.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define KEPT_BYTES 4096
#define NS_PER_TICK UINT64_C(10000000) /* USER_HZ is 100 on every architecture that runs KVM */

/* How many descriptors may still be kept. */
typedef struct KeptBudget {
        size_t most, used;
} KeptBudget;

typedef struct KeptFile {
        int fd;      /* -1: not open */
        bool absent; /* could not be opened: not tried again until procfile_close() */
} KeptFile;

#define KEPT_NULL ((KeptFile){ .fd = -1 })

void procfile_close(KeptFile *f, KeptBudget *budget);
/* The whole lines of the file, at most KEPT_BYTES: their length, or negative errno. */
ssize_t procfile_read(KeptFile *f, KeptBudget *budget, int dirfd, const char *name, char out[KEPT_BYTES]);
/* Reads from `fd`, which the caller has just opened and which this takes (a negative errno is allowed);
 * procfile_is_open() says whether the caller has to open at all. */
ssize_t procfile_read_opened(KeptFile *f, KeptBudget *budget, int fd, char out[KEPT_BYTES]);

static inline bool procfile_is_open(const KeptFile *f) {
        return f->fd >= 0;
}

/* /proc/PID/stat, /proc/PID/task/TID/stat */
typedef struct ProcStat {
        char state;
        uint64_t minflt, majflt, utime, stime; /* times in ticks */
        uint64_t threads, start, rss_pages, cpu;
} ProcStat;

bool parse_stat(const char *text, size_t n, ProcStat *ret);
/* /proc/PID/schedstat: time on a CPU and time waiting for one, ns. */
bool parse_schedstat(const char *text, size_t n, uint64_t *ret_run, uint64_t *ret_delay);
/* Number after `key` at the beginning of a line ("read_bytes:", "usage_usec", "VmSwap:"). */
bool parse_field(const char *text, size_t n, const char *key, uint64_t *ret_v);
/* wait_sum of /proc/PID/task/TID/sched, ns. */
bool parse_wait_sum(const char *text, size_t n, uint64_t *ret_ns);
/* A file that is one number; "max" and v1's "no limit" are false. */
bool parse_bytes(const char *text, size_t n, uint64_t *ret_v);
/* total= of the "some" and "full" line of a pressure file, us; which are there: bit 0, bit 1. */
unsigned parse_pressure(const char *text, size_t n, uint64_t *ret_some, uint64_t *ret_full);
