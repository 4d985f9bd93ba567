/* The queue of one target on the disk: samples are appended, committed, read in the same order, and removed when they
 * are delivered or the bounds are exceeded. What the files are and why nothing is lost: the essay on top of segment.c.
 * Private to src/forward.
 *
 * Three roles: the writer appends and the reader reads, both on the thread of the sink; the committer (queue_commit)
 * may be another thread. */
#pragma once

#include "forward/segment.h"
#include "rt/lock.h"

typedef struct Queue Queue;

typedef struct QueueOptions {
        uint64_t max_bytes;     /* of all segments */
        Duration max_age;       /* 0: any */
        uint64_t segment_bytes; /* a new segment after so many */
        size_t pending_bytes;   /* that wait for a commit at most: queue_full() */
        bool sync;              /* a commit waits for the disk */
        WallTime (*wall)(void); /* NULL: wall_now */
} QueueOptions;

typedef struct QueueStats {
        uint64_t bytes, segments;      /* on the disk */
        uint64_t first_seq, end_seq;   /* what is in segments; end: one above the last */
        uint64_t lost;                 /* samples that could not be written */
        uint64_t failures;             /* of commits */
        uint64_t damaged;              /* segments that could not be read at all and were removed */
        uint64_t removed;              /* segments removed because of a bound */
} QueueStats;

/* Opens what is there. New samples get numbers from `least_seq` on at least. Borrows the disk. -EPROTONOSUPPORT: it is
 * of another version, nothing was changed. */
int queue_open(Vfs *vfs, const QueueOptions *o, uint64_t least_seq, Queue **ret_queue) MUST_USE;
/* Commits what is pending, if that works. */
Queue *queue_close(Queue *q);

/* ---- Writer ---- */

/* Too much waits for the disk: nothing should be appended. */
bool queue_full(Queue *q);
/* Begins the samples of a series. The generation says which segment is being written: ids of another one mean nothing.
 * To be called before queue_series(); the generation holds until the next call of it. */
uint32_t queue_generation(Queue *q);
/* n samples of a series follow: of `id`, or of a new one when `run` is given, whose id is returned. UINT32_MAX: no
 * memory, or there are too many series; none must follow. */
uint32_t queue_series(Queue *q, uint32_t id, const uint8_t *run, size_t run_len, size_t n);
void queue_float(Queue *q, int64_t time_ms, double value);
void queue_histogram(Queue *q, int64_t time_ms, const uint8_t *bytes, size_t n);
void queue_exemplar(Queue *q, int64_t time_ms, double value, const uint8_t *labels, size_t n);
/* What was appended so far is for the next commit. */
void queue_end(Queue *q);
/* Number that the next sample will get. */
uint64_t queue_next_seq(const Queue *q);

/* ---- Committer ---- */

/* Writes what was ended; removes what is delivered or over the bounds. 0; or the error with which samples were lost
 * (counted). */
int queue_commit(Queue *q) MUST_USE;
bool queue_commit_pending(Queue *q);

/* ---- Reader; see reader.h ---- */

typedef struct QueueSegment {
        uint32_t number;
        uint64_t first_seq;
        int64_t created_ms;
        uint64_t bytes; /* that may be read */
        uint64_t end_seq; /* no sample in it has this number or a higher one */
        bool last;      /* more may come */
} QueueSegment;

/* The segment with the least number above `after`. False: there is none. */
bool queue_segment_after(Queue *q, uint32_t after, QueueSegment *ret_segment);
/* The segment in which `seq` is if it is anywhere: the last one that begins at or below it. False: none does. */
bool queue_segment_of(Queue *q, uint64_t seq, QueueSegment *ret_segment);
bool queue_segment_get(Queue *q, uint32_t number, QueueSegment *ret_segment);
Vfs *queue_vfs(const Queue *q);
Uuid queue_id(const Queue *q);
/* Everything below `seq` is delivered. */
void queue_release(Queue *q, uint64_t seq);
/* One above the last sample that may be read. */
uint64_t queue_visible(Queue *q);
void queue_stats(Queue *q, QueueStats *ret_stats); /* any thread */
