/* A store for tests: on the simulated disk or in a temporary directory, with clocks that stand until they are moved, and with
 * series written as people write them: `up{job=a,uuid=b}`, without quotes. */
#pragma once

#include "store/store.h"
#include "vfs_sim.h"

/* 2026-01-01T00:00:00Z, the beginning of a partition of every tier but for the last. */
#define FIX_EPOCH INT64_C(1767225600000)
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define STALE_BITS UINT64_C(0x7ff0000000000002)

typedef struct Fix {
        VfsSim *sim;     /* NULL: a directory */
        char path[64];   /* of the directory */
        Store *store;
        StoreOptions options;
        int64_t wall_ms, mono_ns;
        unsigned events[STORE_EVENT_RETENTION + 1]; /* bad ones, by kind */
        char event[512]; /* the last bad one */
        PartDamage damage; /* of the last open */
        const char *source;
        StoreSamples samples; /* of the last read */
        StoreHistograms histograms;
} Fix;

void fix_init(Fix *f, uint64_t seed);
void fix_init_directory(Fix *f);
void fix_deinit(Fix *f);
int fix_try_open(Fix *f) MUST_USE;
void fix_open(Fix *f);
void fix_close(Fix *f);
/* The process is gone, and what was written is there; or a power cut. Not open afterwards. */
void fix_kill(Fix *f);
void fix_power_cut(Fix *f, uint64_t seed);
void fix_pass(Fix *f, int64_t ms); /* on both clocks */

double double_of(uint64_t bits);
uint64_t bits_of(double v);
/* Appends the canonical run of a series as text. */
void fix_run(const char *series, Buf *out);

/* One request of one series; the first fault. With commit. */
SampleFault fix_send(Fix *f, const char *series, int64_t time_ms, double value);
SampleFault fix_send_many(Fix *f, const char *series, const int64_t *times, const double *values, size_t n);
SampleFault fix_send_histogram(Fix *f, const char *series, int64_t time_ms, const void *bytes, size_t n);
/* Maintains until nothing is left to do. */
void fix_settle(Fix *f);
void fix_flush(Fix *f, bool final);

/* Number of series that match ("" all; otherwise matchers as of matcher_from_text, separated by spaces). */
size_t fix_count(Fix *f, StoreTier tier, const char *matchers, int64_t begin_ms, int64_t end_ms);
/* Reads one series, which the text names whole, into f->samples. How many. */
size_t fix_read(Fix *f, StoreTier tier, RollupColumn column, const char *series, int64_t begin_ms, int64_t end_ms);
size_t fix_read_all(Fix *f, const char *series); /* raw */
size_t fix_read_histograms(Fix *f, const char *series);
int fix_delete(Fix *f, const char *matchers, int64_t begin_ms, int64_t end_ms);
/* Names of the files, sorted, each followed by a space, for comparing. */
void fix_files(Fix *f, Buf *out);
