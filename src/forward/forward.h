/* Sends on what the store takes, to any number of receivers of Prometheus remote write: a SeriesSink in front of the
 * store's that also appends to each receiver's queue on the disk (segment.c), and for each the sender that empties it
 * (sender.h).
 *
 * What the store refuses is not sent on. A ticket of this sink is durable when the store has it and the queues have it
 * too, so whoever was told "kept" may rely on both. A queue that cannot be written loses samples, counted, and holds
 * nobody up.
 *
 * Everything is for the thread of the loop, but forward_commit() and forward_commit_pending(), which are for the
 * store's committer. */
#pragma once

#include "forward/config.h"
#include "model/series_sink.h"
#include "net/http_fetch.h"

typedef struct Forward Forward;

typedef struct ForwardOps {
        /* A request to that target failed; `dropped`: its samples will not be sent again. */
        void (*complaint)(void *context, const ForwardTargetConfig *target, const SenderAnswer *answer, size_t samples,
                          bool dropped);
} ForwardOps;

typedef struct ForwardOptions {
        Loop *loop;
        HttpFetcher *fetcher;
        const char *directory; /* of the queues, one directory in it for each target; is made. Borrowed */
        bool sync;             /* a ticket waits for the disk */
        const char *version;   /* for User-Agent; borrowed */
} ForwardOptions;

int forward_new(const ForwardOptions *o, const ForwardOps *ops, void *context, Forward **ret_forward) MUST_USE;
/* What is not delivered stays in the queues. No committer may be running any more. */
Forward *forward_free(Forward *f);
/* The sink that it stands before; once, before anything is written. */
void forward_begin(Forward *f, SeriesSink *store);
/* The receivers of `config` (taken over in any case) instead of those there are. -EWOULDBLOCK: another process has a
 * queue. After an error there are those receivers that could be opened before it; ret_name is the one that could
 * not. */
int forward_replace(Forward *f, ForwardConfig *config, char ret_name[FORWARD_NAME_MAX + 1]) MUST_USE;
const ForwardConfig *forward_config(const Forward *f); /* NULL: none yet */
/* Where samples are to be written instead of the store's sink. */
SeriesSink *forward_sink(Forward *f);
/* Something was committed. */
void forward_kick(Forward *f);

/* Writes the queues, to be called before the store's commit: then forward_sink()->durable() has what the store has. */
int forward_commit(Forward *f) MUST_USE;
bool forward_commit_pending(Forward *f);

typedef struct ForwardStatus {
        const ForwardTargetConfig *config;
        const SenderStats *sender;
        QueueStats queue;
        int64_t newest_in_ms;
        uint64_t taken, filtered, refused, pending; /* pending: taken and not yet done with */
        uint64_t metadata, metadata_failed;
} ForwardStatus;
size_t forward_count(const Forward *f);
void forward_status(Forward *f, size_t i, ForwardStatus *ret_status);
