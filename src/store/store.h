/* The store: samples of labelled series on one disk, in tiers of time, nothing acknowledged ever lost.
 *
 * Write path: a request (SeriesSink) goes into the *head* (memory) and into the log; it is durable when store_commit()
 * has synced the log. Now and then the head is flushed to *parts* (immutable files, one partition of time each), and
 * the log behind it removed. Parts are merged; a closed partition is merged to one small part, from which the 5 minute
 * and 1 hour tiers are rolled up once. See docs/store.md for the argument why no crash loses anything.
 *
 * The store makes no threads. Three kinds of callers may run at the same time: one writer (the sink's owner), one
 * committer (store_commit), one keeper (store_maintain), and any number of readers (views). Everything else is for the
 * writer's thread unless it says otherwise. */
#pragma once

#include "model/matcher.h"
#include "model/series_sink.h"
#include "store/manifest/manifest.h"
#include "store/part/part.h"
#include "store/wal/wal.h"

typedef struct Store Store;

typedef enum AckMode {
        ACK_SYNCED,   /* a ticket is durable when it is on the disk */
        ACK_INTERVAL, /* ... when it is written; synced every interval: a power cut may lose that much */
} AckMode;

/* Values of metrics that match are kept as multiples of `resolution`, so that they compress better. */
typedef struct StoreResolution {
        char *name;        /* shell pattern on the metric's name */
        double resolution; /* 1e-6: microseconds of a counter in seconds */
} StoreResolution;

typedef struct StoreOptions {
        AckMode ack;
        Duration ack_interval;       /* for ACK_INTERVAL */
        Duration out_of_order;       /* behind the newest sample of the same series */
        Duration future;             /* ahead of the clock; 10 min */
        Duration keep[STORE_TIER_COUNT];
        uint64_t max_bytes[STORE_TIER_COUNT]; /* hard caps; 0 is not allowed */
        uint64_t floor_bytes;        /* of free disk space, under which ingest stops: -ENOSPC */
        size_t memory;               /* budget of the head; flushed when it is reached */
        Duration flush_interval;
        uint32_t max_series;         /* active in the head */
        uint32_t max_series_source, max_series_vm;      /* active, of one source and of one VM */
        uint32_t new_series_source, new_series_vm;      /* new in one hour */
        uint32_t max_exemplars;      /* kept in memory, the latest; 0: none */
        const char *vm_label;        /* label whose value is a VM: "uuid" */
        const StoreResolution *resolutions; /* borrowed */
        size_t n_resolutions;
        bool read_only;              /* for tools: no lock, nothing is changed */
        /* Clocks; NULL: those of the machine. */
        WallTime (*wall)(void *context);
        MonoTime (*mono)(void *context);
        void *clock_context;
} StoreOptions;

void store_options_default(StoreOptions *o);

/* Something that the operator should know: a record for the log of the program. Called from any of the store's callers'
 * threads. */
typedef enum StoreEventKind {
        STORE_EVENT_DAMAGE,      /* text names file and place; the rest is served */
        STORE_EVENT_DISK,        /* ingest stopped or resumed */
        STORE_EVENT_LOG,         /* a write or sync failed; or it works again */
        STORE_EVENT_RETENTION,   /* a part was deleted */
} StoreEventKind;
typedef void (*StoreEvent)(void *context, StoreEventKind kind, bool good, const char *text);

/* Opens the store in the directory of `vfs` (taken over in any case), makes one when it is empty, replays the log.
 * -EWOULDBLOCK: another process has it; -EPROTONOSUPPORT: a format of another version, nothing was touched; -EBADMSG:
 * the manifest is damaged; both named in ret_damage. */
int store_open(Vfs *vfs, const StoreOptions *o, StoreEvent event, void *context, Store **ret_store,
               PartDamage *ret_damage) MUST_USE;
/* Flushes the head if it can, closes. */
Store *store_close(Store *s);

/* The writer's. */
SeriesSink *store_sink(Store *s);

/* Committer: writes and syncs what the writer has collected. Any thread, one at a time. 0 or the error (the store goes
 * on and tries again at the next call). */
int store_commit(Store *s) MUST_USE;
/* Whether there is something for store_commit(). Any thread. */
bool store_commit_pending(const Store *s);

/* Whether a call of the log's disk has been under way for STORE_HANG or longer: then nothing is taken (-ETIMEDOUT),
 * rather than that requests pile up behind it; it ends with the call. Says so by an event when that changes. Any
 * thread, now and then: whoever is stuck in the call cannot. */
#define STORE_HANG SECONDS(30)
bool store_hangs(Store *s);

/* Keeper: does at most one piece of work: a flush, a merge, a rollup, a deletion. 1: there is more to do now; 0:
 * nothing, come back after a second; or a negative errno (come back later as well). */
int store_maintain(Store *s) MUST_USE;
/* Flushes the head now and waits for it; with `final`, also merges and rolls up all that can be. Keeper's thread. */
int store_flush(Store *s, bool final) MUST_USE;

/* ---- Reading; any thread ---- */

typedef struct StoreView StoreView;
typedef struct StoreList StoreList;

/* What is there now. Files that a view uses stay until it is closed. */
int store_view_open(Store *s, StoreView **ret_view) MUST_USE;
StoreView *store_view_close(StoreView *v);

typedef struct StoreLimits {
        size_t max_series;  /* 0 is not allowed */
        size_t max_bytes;   /* of memory for the list */
} StoreLimits;

/* The series of one tier that have samples in begin < t <= end (or may have: never fewer) and that all matchers hold
 * for, in the order of labels_compare(). STORE_5M and STORE_1H are what was rolled up; the newest time is only in
 * STORE_RAW. -E2BIG when a limit is exceeded. Damage is reported by the event and left out. */
int store_select(StoreView *v, StoreTier tier, const Matcher *matchers, size_t n_matchers, int64_t begin_ms,
                 int64_t end_ms, const StoreLimits *limits, StoreList **ret_list) MUST_USE;
StoreList *store_list_free(StoreList *l);
size_t store_list_count(const StoreList *l);
/* The canonical run of series i; borrowed from the list. */
const uint8_t *store_list_run(const StoreList *l, size_t i, size_t *ret_len);

/* Samples, ascending, each instant once. Zero-initialise, reuse, deinit. */
typedef struct StoreSamples {
        int64_t *times;
        double *values;
        size_t n, cap;
} StoreSamples;
void store_samples_deinit(StoreSamples *x);
/* Replaces x with the samples of series i in begin < t <= end of the selection. `column` for the rolled-up tiers,
 * ROLLUP_LAST gives raw values in STORE_RAW. Series of one list may be read by several threads at once. */
int store_list_floats(const StoreList *l, size_t i, RollupColumn column, StoreSamples *x) MUST_USE;
/* Histograms of a raw series: sample k is bytes[offsets[k]..offsets[k+1]). */
typedef struct StoreHistograms {
        int64_t *times;
        uint32_t *offsets;
        size_t n, cap;
        Buf bytes;
} StoreHistograms;
void store_histograms_deinit(StoreHistograms *x);
int store_list_histograms(const StoreList *l, size_t i, StoreHistograms *x) MUST_USE;

/* Label names, or the values of one label, of the series that all matchers hold for (none: of all): each terminated by
 * NUL, ascending, each once, at most `most`; *ret_cut says that there were more. */
int store_label_names(StoreView *v, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms, size_t most,
                      Buf *ret_names, bool *ret_cut) MUST_USE;
int store_label_values(StoreView *v, Span label, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms,
                       size_t most, Buf *ret_values, bool *ret_cut) MUST_USE;

/* What is known of a metric; false when nothing is. Help and unit are appended (NULL: not wanted). */
bool store_metadata(Store *s, Span metric, MetricType *ret_type, Buf *ret_help, Buf *ret_unit);
/* Calls `visit` for every metric of which something is known, in no order; texts are valid during the call, which must
 * be short and must not call the store: its lock is held. False ends it. */
typedef bool (*StoreMetadataVisit)(void *context, Span metric, MetricType type, Span help, Span unit);
void store_metadata_each(Store *s, StoreMetadataVisit visit, void *context);

/* The latest exemplars that senders sent, bounded by StoreOptions.max_exemplars. Nothing of them outlives a restart. */
typedef struct StoreExemplar {
        Span run;    /* of the series, canonical */
        Span labels; /* the exemplar's own, as a run; may be empty */
        int64_t time_ms;
        double value;
} StoreExemplar;

/* By series in the order of labels_compare(), then ascending in time. Zero-initialise, deinit. */
typedef struct StoreExemplars {
        StoreExemplar *list;
        size_t n;
        Buf bytes; /* what the spans are in */
} StoreExemplars;
void store_exemplars_deinit(StoreExemplars *x);

/* Matchers that all hold. */
typedef struct StoreSelector {
        const Matcher *matchers;
        size_t n;
} StoreSelector;
/* Fills an empty x with the exemplars in begin <= t <= end (both included, as Prometheus has it here) of the series for
 * which any of the selectors holds. 0 or -ENOMEM. */
int store_exemplars(Store *s, const StoreSelector *any, size_t n_any, int64_t begin_ms, int64_t end_ms,
                    StoreExemplars *x) MUST_USE;

/* ---- Administration ---- */

/* Deletes the samples in begin < t <= end of the series that all matchers hold for: gone for readers when it returns,
 * gone from the disk with the next merge. Keeper's thread. */
int store_delete(Store *s, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms) MUST_USE;
/* A consistent copy in the new directory `path` (absolute, on the same file system: hard links). Keeper's thread. */
int store_snapshot(Store *s, const char *path) MUST_USE;
/* Rolls up everything anew. Keeper's thread. */
int store_rollup_again(Store *s) MUST_USE;
/* Checks every byte of every file; each damage goes to the event. Returns the number of damaged files, or a negative
 * errno. */
int store_verify(Store *s) MUST_USE;

typedef struct StoreTierStats {
        uint32_t parts, quarantined;
        uint64_t bytes, samples;
        int64_t min_ms, max_ms;
} StoreTierStats;

typedef struct StoreStats {
        StoreTierStats tier[STORE_TIER_COUNT];
        WalStats wal;
        bool log_broken, log_hangs, disk_full;
        uint64_t hangs; /* how often it has */
        uint32_t head_series;
        uint64_t head_samples;
        size_t head_bytes, memory_bytes; /* of the head; of everything of the store */
        int64_t head_min_ms, head_max_ms;
        uint64_t samples, duplicates, series_created, series_dropped;
        uint64_t refused[SAMPLE_FAULT_COUNT];
        uint32_t exemplars;          /* in memory */
        uint64_t flushes, merges, rollups, deletions, failures;
        uint64_t merge_ns, flush_ns;
        uint64_t damaged; /* pieces of files found damaged */
        uint64_t lost_log; /* places of the log that could not be replayed */
        int64_t rolled_ms[STORE_TIER_COUNT];
} StoreStats;
void store_stats(Store *s, StoreStats *ret_stats); /* any thread */

/* The `most` greatest of the head, as /api/v1/status/tsdb wants them: "text NUL" with a count each. */
typedef struct StoreTop {
        char name[64];
        uint64_t count;
} StoreTop;
typedef enum StoreTopKind {
        STORE_TOP_METRICS,
        STORE_TOP_LABEL_VALUES,
        STORE_TOP_LABEL_MEMORY,
        STORE_TOP_PAIRS
} StoreTopKind;
size_t store_top(Store *s, StoreTopKind kind, StoreTop *ret_top, size_t most); /* any thread */
