/* The write-ahead log: what was accepted and is not yet in a part, in numbered segments ("wal-00000001"). It moves
 * bytes: records have a type and a payload that only its users know. The byte layout, the rules of replay and the crash
 * argument are the essay on top of wal.c.
 *
 * One thread at a time appends (it holds the store's lock), another one commits: records are collected in memory and
 * one write and one sync make everything collected so far durable (group commit). Each record has a number (LSN, from
 * 1, ascending over segments); a record is durable when wal_durable() has reached it.
 *
 * When a write or a sync fails: what was not durable is still in memory; the segment is sealed (never written or synced
 * again), and everything not durable goes to a new segment, which is tried once. What was written stays readable over a
 * kill of the process all the time. If that fails too the log is *broken*: commits fail with the error, appends with
 * -EIO, until wal_mend() succeeds, which is to be tried again after a while. Nothing is ever reported durable that is
 * not. */
#pragma once

#include "base/uuid.h"
#include "store/vfs/vfs.h"

typedef struct Wal Wal;

typedef struct WalOptions {
        Uuid store;
        size_t segment_bytes;   /* a new segment after so many */
        size_t pending_bytes;   /* most that waits for a commit */
        uint32_t next_segment;  /* number of the first segment that this log creates: above that of every segment there
                                 * is, and not below the first one that a replay will begin with */
        uint64_t next_lsn;      /* one above the last that replay found; 1 when it found none */
        MonoTime (*mono)(void *context); /* NULL: the machine's */
        void *clock_context;
        bool moved;             /* what was replayed will be elsewhere, durably, before a record of this log is relied
                                 * on; so it need not be synced here */
} WalOptions;

typedef struct WalStats {
        uint64_t records, bytes, commits, syncs;
        uint64_t failures, segments_sealed; /* of writes and syncs; the segments given up for them */
        uint64_t sync_ns;       /* time spent in syncs */
        uint64_t disk_bytes;    /* of all segments */
} WalStats;

/* Unless what was replayed is moved: syncs the segments that are there, since that may not have reached the disk yet.
 * Everything up to next_lsn counts as durable from then on. -EEXIST when there is one at or above next_segment,
 * -EOVERFLOW when no number is left. Borrows the disk. */
int wal_open(Vfs *vfs, const WalOptions *o, Wal **ret_wal) MUST_USE;
/* Commits what is pending, if that works. */
Wal *wal_close(Wal *w);

/* A part of a record's payload. */
typedef struct WalBytes {
        const void *bytes;
        size_t n;
} WalBytes;

/* Collects one record, payload in n_parts pieces. *ret_lsn is its number. -ENOBUFS when pending_bytes would be exceeded
 * (commit first), -E2BIG when it never fits them, -EIO when broken, -ENOMEM; then nothing was collected. */
int wal_append(Wal *w, uint8_t type, const WalBytes *parts, size_t n_parts, uint64_t *ret_lsn) MUST_USE;
/* Writes what is pending and, with `sync`, makes it durable. 0 or negative errno. Without `sync`, what was written
 * still counts as pending, and once it is half of what may be, it is synced all the same. */
int wal_commit(Wal *w, bool sync) MUST_USE;
/* Number up to which records are durable. Any thread. */
uint64_t wal_durable(const Wal *w);
bool wal_broken(const Wal *w);
/* For how long one call of the disk has been under way; 0: none is. Any thread: whoever made that call cannot say
 * it. */
Duration wal_waits(const Wal *w);
/* Tries to go on after a failure: everything not durable into a new segment. */
int wal_mend(Wal *w) MUST_USE;
/* Commits, and lets the next record begin a new segment; *ret_segment is its number. What was appended before is in
 * segments with lower numbers; what is appended meanwhile may be on either side. Any thread. So whoever moves
 * records elsewhere rotates first and then takes what there is: records in between are in both, and none in neither. */
int wal_rotate(Wal *w, uint32_t *ret_segment) MUST_USE;
/* Removes segments below `segment`, which is at most what wal_rotate() last said. Any thread. The first error, after
 * trying all of them: the rest is for the next call. */
int wal_remove_before(Wal *w, uint32_t segment) MUST_USE;
void wal_stats(const Wal *w, WalStats *ret_stats); /* any thread */

/* ---- Replay ---- */

typedef struct WalReport {
        uint64_t records, bytes;
        uint64_t last_lsn;       /* of the last good record, or of one that a segment says was before it */
        uint32_t last_segment;   /* highest number that exists; 0: none */
        uint64_t torn_bytes;     /* not written to their end, and nothing says that they ever were acknowledged */
        uint64_t damaged;        /* places inside the log that were skipped: data was lost there */
        char damage[256];        /* the first of them: "wal-00000003 at byte 4096: checksum of a record" */
} WalReport;

/* Calls `record` for every good record of the segments from `first` on (0: whichever there are), in order, each LSN
 * once; a non-zero answer ends the replay with it. The payload is at a multiple of 8. -EPROTONOSUPPORT for a segment of
 * another version or of another store, named in damage, before any record. Bytes that cannot be read are damage; other
 * errors end the replay. *ret_report is what was found so far in any case. Reads only. */
int wal_replay(Vfs *vfs, Uuid store, uint32_t first, int (*record)(void *context, uint64_t lsn, uint8_t type,
               const uint8_t *payload, size_t n), void *context, WalReport *ret_report) MUST_USE;
