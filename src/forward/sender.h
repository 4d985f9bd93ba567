/* Sends what a queue holds to one receiver, as the specification of remote write asks: sharded by series, each shard
 * one request at a time and in order; 5xx, 429 and no answer at all are tried again with growing pauses or after what
 * Retry-After says; other refusals drop the request and are counted.
 *
 * Knows no sockets and no clock: a Transport posts, sender_answer() brings what came of it, and sender_step() is called
 * whenever something may have changed, at the latest at the time that it returned. One thread. Private to
 * src/forward. */
#pragma once

#include "forward/checkpoint.h"
#include "forward/encoder.h"

typedef struct SenderOptions {
        size_t capacity;             /* samples that a shard holds in memory */
        uint32_t min_shards, max_shards;
        size_t max_samples_per_send;
        Duration batch_send_deadline; /* a sample waits so long for its request to become full */
        Duration min_backoff, max_backoff;
        bool retry_on_429;
        Duration sample_age_limit;   /* 0: none */
        RwVersion version;           /* what is tried first */
} SenderOptions;

typedef struct SenderPost {
        uint32_t shard;
        RwVersion version;
        const Buf *body; /* compressed; borrowed until the answer */
        unsigned tries;  /* before this one */
} SenderPost;

typedef struct SenderAnswer {
        int error;              /* no answer: negative errno */
        int status;
        int64_t retry_after_s;  /* 0: not said */
        bool tells_written;     /* it has headers X-Prometheus-Remote-Write-*-Written, which 2.0 demands */
        const char *why;        /* for a person; borrowed */
} SenderAnswer;

typedef struct Transport {
        /* Posts, and later calls sender_answer() for that shard, never before this returns. 0 or negative errno. */
        int (*post)(void *context, const SenderPost *post);
        /* There will be no answer. */
        void (*cancel)(void *context, uint32_t shard);
        void *context;
} Transport;

typedef struct SenderStats {
        uint64_t sent, histograms, exemplars; /* samples acknowledged, of them the last two */
        uint64_t failed;        /* refused for good */
        uint64_t retried;       /* samples in requests that were begun again */
        uint64_t too_old;       /* over sample_age_limit */
        uint64_t lost;          /* gone from the queue before they were sent: over its bounds, or damaged */
        uint64_t bytes, raw_bytes, requests, requests_failed;
        uint64_t send_ns;       /* requests took, in all */
        uint64_t reshards;
        uint64_t unmarked;      /* changes of the checkpoint that could not be written */
        size_t pending;         /* samples in memory */
        uint64_t lead;          /* number of the next sample to be read from the queue */
        int64_t newest_sent_ms; /* INT64_MIN: none */
        uint32_t shards, wanted_shards, sending;
        RwVersion version;
        int last_status, last_error; /* of the last request that failed */
        char why[160];
} SenderStats;

typedef struct Sender Sender;

/* What a person should know of requests that were refused or cannot be delivered. */
typedef void (*SenderComplaint)(void *context, const SenderAnswer *answer, size_t samples, bool dropped);

/* Borrows everything. */
int sender_new(Queue *q, Checkpoint *c, Encoder *e, Described *d, const SenderOptions *o, const Transport *t,
               SenderComplaint complaint, void *context, Sender **ret_sender) MUST_USE;
/* What is under way is cancelled. */
Sender *sender_free(Sender *s);
/* Reads, fills, begins requests. When to call again at the latest; INT64_MAX: when the queue has more or an answer
 * comes. */
MonoTime sender_step(Sender *s, MonoTime now, WallTime wall) MUST_USE;
void sender_answer(Sender *s, uint32_t shard, const SenderAnswer *answer, MonoTime now);
/* Everything below is delivered, by the checkpoint. */
uint64_t sender_delivered(const Sender *s);
const SenderStats *sender_stats(Sender *s);
