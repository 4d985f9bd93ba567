/* Reading a queue from a number on: sample by sample, each with its number and its series. What cannot be read is
 * counted and left out. Sender's thread. Private to src/forward. */
#pragma once

#include "forward/queue.h"

/* A segment being read. Samples borrow from it, whoever keeps one keeps a reference; it outlives the removal of the
 * file. Runs and histograms are places in it, because the file is mapped again when it grows. */
typedef struct QueueView QueueView;

typedef struct QueueViewSeries {
        uint32_t at, len; /* its run; len 0: it was not declared */
        uint32_t hash;    /* of the run: the same in every segment and process */
        int64_t newest_ms; /* of its samples read so far */
        uint32_t tag;     /* for who uses the view; 0 at first */
} QueueViewSeries;

QueueView *queue_view_ref(QueueView *v);
QueueView *queue_view_unref(QueueView *v);
QueueViewSeries *queue_view_series(QueueView *v, uint32_t series);
const uint8_t *queue_view_bytes(const QueueView *v, uint32_t at);
/* What belongs to the view's user, freed with it. */
void **queue_view_user(QueueView *v, void (*free_user)(void *user));

typedef struct QueueSample {
        uint64_t seq;
        QueueView *view; /* borrowed: until the next call */
        uint32_t series;
        QueueKind kind;
        uint32_t at, len; /* of a histogram, or an exemplar's labels, in the view */
        int64_t time_ms;
        double value;
        bool late; /* not newer than the sample of its series before it in the segment */
} QueueSample;

typedef struct QueueReader QueueReader;

/* From number `seq` on (0: from the first there is). Borrows the queue. */
int queue_reader_new(Queue *q, uint64_t seq, QueueReader **ret_reader) MUST_USE;
QueueReader *queue_reader_free(QueueReader *r);
/* 1 with the next sample; 0: there is none yet; -ENOMEM. */
int queue_reader_next(QueueReader *r, QueueSample *ret_sample) MUST_USE;
/* Number of the next sample. */
uint64_t queue_reader_seq(const QueueReader *r);
/* Samples that were not there any more, or cannot be read, since the beginning. */
uint64_t queue_reader_lost(const QueueReader *r);
