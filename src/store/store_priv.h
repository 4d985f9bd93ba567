/* What the files of the store share. Private to src/store.
 *
 * One lock ("store") guards the head, the catalog and the counters. The writer holds it during a request; readers hold
 * it while they take a view and while they copy from the head; the keeper holds it to freeze the head and to put a new
 * catalog in place, never while it reads or writes files. A second one ("log") is held by whoever commits or rotates
 * the log, and is taken first. The manifest and everything called keeper_* belong to the keeper's thread alone. */
#pragma once

#include "rt/lock.h"
#include "store/catalog.h"
#include "store/exemplars.h"
#include "store/head/head.h"
#include "store/metadata.h"
#include "store/quota.h"
#include "store/store.h"

#define MS_PER_S INT64_C(1000)
#define MS_PER_HOUR (3600 * MS_PER_S)
#define MS_PER_DAY (24 * MS_PER_HOUR)
/* Lengths of the windows of a rolled-up tier; 0: raw. */
static const int64_t WINDOW_MS[STORE_TIER_COUNT] = { [STORE_5M] = 300 * MS_PER_S, [STORE_1H] = MS_PER_HOUR };
/* Instants that the store can hold; beyond is refused. About the years -283000 to 287000. */
#define TIME_MAX_MS (INT64_C(1) << 53)

/* Types of the log's records; payloads are described in record.h. */
enum { RECORD_SERIES = 1, RECORD_FLOATS = 2, RECORD_HISTOGRAMS = 3, RECORD_METADATA = 4 };

/* A request under way: what will be logged. */
typedef struct Writer {
        Store *store;
        bool open;
        uint8_t source;
        int64_t now_ms, oldest_ms, newest_ms; /* what is taken */
        Buf series, floats, histograms, metadata; /* payloads */
        Buf run; /* of an exemplar's series */
        uint32_t floats_ref; /* the last of the payload, to which the next is relative */
        int64_t floats_ms;
        uint32_t next_ref; /* the series that probably comes next */
        uint64_t lsn; /* of the last record of this request */
        int error;    /* why the request cannot be acknowledged */
} Writer;

struct Store {
        SeriesSink sink; /* first: a SeriesSink of ours is a Store */
        Vfs *vfs;
        StoreOptions options;
        char *vm_label;
        StoreEvent event;
        void *event_context;
        Lock lock, log_lock;
        Head head;
        Catalog *catalog;
        Metadata metadata;
        Exemplars exemplars;
        Quotas quotas;
        Writer writer;
        Wal *wal;
        Manifest *manifest;
        uint32_t views;          /* open ones: while there are any, the head's refs stay */
        _Atomic uint64_t acked;  /* for ACK_INTERVAL: written, perhaps not synced */
        _Atomic uint64_t appended; /* last LSN collected */
        uint64_t naming; /* of refs in the log: an LSN that no record before it has */
        atomic_bool disk_full;
        atomic_bool hangs;
        _Atomic uint64_t hang_count;
        atomic_bool unmoved; /* what was replayed is not in parts yet: nothing is taken before */
        atomic_bool want_flush;
        _Atomic int64_t last_sync_ns; /* monotonic */
        MonoTime last_space, last_flush, last_expiry, last_collect;
        StoreStats stats;        /* counters; the rest is filled when asked for */
        /* Keeper's */
        uint64_t next_id; /* of parts: not used again when what it was for fails, since its file may be there */
        uint64_t unsure_id; /* after a manifest that may be on the disk or not: it may name the ids below; 0: sure */
        bool leftovers;  /* there may be files that the manifest does not name */
        uint32_t frozen_segment; /* of the log: the first that the frozen generation is not in */
        uint32_t frozen_pairs;   /* of the index when it was frozen */
        struct Quiet *quiet;     /* when partitions last got a part */
        size_t n_quiet;
        MonoTime retry_after;    /* after a failure */
};

WallTime store_wall(const Store *s);
/* Under the lock. */
void store_count_quarantined(Store *s);
MonoTime store_mono(const Store *s);
int64_t store_wall_ms(const Store *s);
/* Adds to one of the counters in s->stats; the lock must not be held. */
void store_count(Store *s, uint64_t *counter, uint64_t n);
void store_event(Store *s, StoreEventKind kind, bool good, const char *format, ...) PRINTF_LIKE(4, 5);

/* write.c */
void writer_init(Store *s);
void writer_deinit(Store *s);
/* 1 + index of the resolution for a metric; 0: none. */
uint16_t store_resolution(const Store *s, Span metric);
/* Looks at the free space, at most once a second unless `now`. */
void store_watch_space(Store *s, bool now);

/* replay.c: fills the head from the log. */
int store_replay(Store *s, WalReport *ret_report) MUST_USE;

/* keep.c, flush.c, merge.c, rollup.c, retention.c: one piece of work each; 1: done something, 0: nothing to do, or
 * negative errno. */
int keeper_flush(Store *s) MUST_USE;
bool keeper_flush_due(Store *s);
int keeper_merge(Store *s, bool all) MUST_USE;
int keeper_rollup(Store *s) MUST_USE;
int keeper_expire(Store *s) MUST_USE;
int keeper_collect(Store *s) MUST_USE;
/* Deletes one partition of a tier that is over its cap, as when the log has grown or the cap was lowered. */
int keeper_trim(Store *s) MUST_USE;
/* Deletes the oldest partitions of a tier, of those that begin before an instant, until `more` bytes fit under its cap.
 * -EFBIG when they cannot. */
int keeper_make_room(Store *s, StoreTier tier, uint64_t more, int64_t before_ms) MUST_USE;
/* What is being written and not named yet takes `need` bytes: makes room when that is more than *reserved. -EFBIG. */
int keeper_hold(Store *s, StoreTier tier, uint64_t *reserved, uint64_t need) MUST_USE;
/* Removes what failed work wrote: the files of parts with ids from `first` on that no manifest can name. */
void keeper_abandon(Store *s, uint64_t first);
/* Removes parts and temporary files that the manifest does not name. */
int store_remove_leftovers(Store *s) MUST_USE;
/* How far the rolled-up tiers are complete by what a manifest says. */
int64_t rolled_up_to(const Manifest *m, StoreTier tier);
/* Saves `next` as the manifest (taken over, also on failure), opens what is new and shows it to readers; `thaw` drops
 * the frozen generation in the same moment. Files of `before` that are not in it are removed after. */
int keeper_commit(Store *s, Manifest *next, bool thaw) MUST_USE;
/* The partition of an instant: begin < t <= end. */
void partition_of(StoreTier tier, int64_t time_ms, int64_t *ret_begin, int64_t *ret_end);
/* The newest instant that the store has, but not beyond the clock: what retention and closing are measured against. */
int64_t store_newest(Store *s);
/* Monotonic time since a partition of raw parts last got one. */
Duration quiet_since(const Store *s, int64_t begin_ms);
void quiet_touch(Store *s, int64_t begin_ms);
/* Adds a part to a manifest. */
int manifest_add(Manifest *m, const PartEntry *entry) MUST_USE;
void manifest_drop(Manifest *m, uint64_t id);

/* What a metric is, by its metadata or, failing that, by its name. */
bool store_is_counter(Store *s, const uint8_t *run, size_t len);

/* read.c */
/* A view of what is in parts, and thereby sure to stay. */
int view_open_parts(Store *s, StoreView **ret_view) MUST_USE;
/* As store_list_floats for begin < t <= end of one's own, within the selection. */
int list_floats_between(const StoreList *l, size_t i, RollupColumn column, int64_t begin_ms, int64_t end_ms,
                        StoreSamples *x) MUST_USE;
Store *view_store(StoreView *v);
const Catalog *view_catalog(const StoreView *v);
/* Says once of a part that something in it is damaged. */
void view_damage(StoreView *v, OpenPart *p, const char *what);
