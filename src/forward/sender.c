/* A shard is a row of batches; a batch is one request: samples of one segment in their order. The first batch of a row
 * is the one that is sent, the last one the one that is filled.
 *
 * Which samples a request holds is written to the checkpoint before it goes out (checkpoint.c): the numbers from
 * `acked` to below `sent`, as far as they are the shard's. A shard that begins with such a mark fills its first batch
 * with exactly these.
 *
 * Samples that are not newer than what their series sent before get requests of their own: a receiver that takes no
 * such samples refuses the whole request, and then it refuses nothing else with it. */
#include "forward/sender.h"

#include <assert.h>
#include <string.h>

/* One step reads so much at most, so that the loop's other work waits no longer than that. */
#define STEP_SAMPLES 20000u
#define RESHARD_EVERY SECONDS(10)
#define RETRY_AFTER_MAX_S 3600
#define MEMORY_RETRY MILLISECONDS(200)
/* Of a shard's time spent in requests: above, there are more shards if there is a backlog; below, fewer. */
#define BUSY_HIGH 0.8
#define BUSY_LOW 0.3

typedef struct Batch Batch;
struct Batch {
        Batch *next;
        QueueView *view;
        BatchItem *items;
        size_t n, cap, histograms, exemplars;
        uint64_t end_seq; /* one above its last sample's */
        MonoTime deadline;
        int64_t newest_ms;
        bool sealed, late;
        RwVersion version; /* of the body */
        unsigned tries;
        Buf body; /* while it is being sent */
};

typedef struct Shard {
        Batch *first, *last;
        size_t n_samples;
        ShardMark mark;
        bool sending;
        MonoTime begun, not_before;
        Duration backoff; /* 0: none yet */
        uint64_t resume;  /* the first batch is what the last process had under way: it ends below this; 0: it is not */
} Shard;

struct Sender {
        Queue *queue;
        Checkpoint *checkpoint;
        Encoder *encoder;
        Described *described;
        SenderOptions options;
        Transport transport;
        SenderComplaint complaint;
        void *context;
        QueueReader *reader;
        const QueueView *view; /* of the sample read last, only to see that it changes */
        QueueSample held; /* read, and its shard is full */
        bool has_held, draining, confirmed; /* 2.0 is confirmed */
        Shard *shards;
        uint32_t n_shards, n_resuming;
        MonoTime reshard_at;
        uint64_t busy_ns; /* of requests that were answered well, since the last look at the number of shards */
        SenderStats stats;
};

/* ---- Batches ---- */

static Batch *batch_free(Batch *b) {
        if (!b)
                return NULL;
        (void)queue_view_unref(b->view);
        buf_deinit(&b->body);
        free(b->items);
        free(b);
        return NULL;
}

static Batch *batch_add(Sender *s, Shard *h, const QueueSample *x, MonoTime now) {
        Batch *b = calloc(1, sizeof *b);
        if (!b)
                return NULL;
        b->view = queue_view_ref(x->view);
        b->deadline = mono_add(now, s->options.batch_send_deadline);
        b->late = x->late;
        b->newest_ms = INT64_MIN;
        b->body = BUF_WITH_LIMIT((size_t)256 << 20);
        *(h->last ? &h->last->next : &h->first) = b;
        h->last = b;
        return b;
}

static bool batch_room(Batch *b) {
        if (b->n < b->cap)
                return true;
        size_t cap = b->cap ? b->cap * 2 : 64;
        BatchItem *more = reallocarray(b->items, cap, sizeof *more);
        if (!more)
                return false;
        b->items = more;
        b->cap = cap;
        return true;
}

static void seal(Shard *h) {
        if (h->last)
                h->last->sealed = true;
}

/* The batch that `x` goes into; NULL: no memory. */
static Batch *batch_for(Sender *s, Shard *h, const QueueSample *x, MonoTime now) {
        Batch *b = h->last;
        bool resuming = h->resume && x->seq < h->resume;
        if (b && !b->sealed &&
            (b->view != x->view || (!resuming && ((b->late != x->late && x->kind != QUEUE_EXEMPLAR) ||
                                                  b->n >= s->options.max_samples_per_send))))
                seal(h);
        if (!b || b->sealed)
                b = batch_add(s, h, x, now);
        return b && batch_room(b) ? b : NULL;
}

/* ---- Reading ---- */

static Shard *shard_of(Sender *s, const QueueSample *x) {
        return &s->shards[queue_view_series(x->view, x->series)->hash % s->n_shards];
}

/* False: the shard is full, or there is no memory. */
static bool take(Sender *s, const QueueSample *x, MonoTime now) {
        Shard *h = shard_of(s, x);
        if (x->seq < h->mark.acked)
                return true; /* delivered by the process before */
        bool resuming = h->resume && x->seq < h->resume;
        if (!resuming && h->n_samples >= s->options.capacity)
                return false;
        Batch *b = batch_for(s, h, x, now);
        if (!b)
                return false;
        b->items[b->n++] = (BatchItem){ x->series, x->at, x->len, x->kind, x->time_ms, x->value };
        b->end_seq = x->seq + 1;
        b->histograms += x->kind == QUEUE_HISTOGRAM;
        b->exemplars += x->kind == QUEUE_EXEMPLAR;
        b->newest_ms = x->time_ms > b->newest_ms ? x->time_ms : b->newest_ms;
        if (!resuming && b->n >= s->options.max_samples_per_send)
                b->sealed = true;
        h->n_samples++;
        s->stats.pending++;
        return true;
}

static uint64_t lead(const Sender *s) {
        return s->has_held ? s->held.seq : queue_reader_seq(s->reader);
}

/* What the last process had under way is complete once everything below its end was read. */
static void end_resumes(Sender *s) {
        for (uint32_t i = 0; s->n_resuming && i < s->n_shards; i++) {
                Shard *h = &s->shards[i];
                if (!h->resume || lead(s) < h->resume)
                        continue;
                seal(h);
                h->resume = 0;
                s->n_resuming--;
        }
}

/* What cannot be written is sent again after a crash, no worse. */
static void mark(Sender *s, uint32_t shard, ShardMark m) {
        s->shards[shard].mark = m;
        s->stats.unmarked += checkpoint_shard(s->checkpoint, shard, m) < 0;
}

/* Shards without samples have what has been read: said at each change of segment, so that segments can go. */
static void mark_idle(Sender *s) {
        for (uint32_t i = 0; i < s->n_shards; i++) {
                Shard *h = &s->shards[i];
                if (h->first || h->mark.acked >= lead(s))
                        continue;
                mark(s, i, (ShardMark){ .acked = lead(s) });
        }
}

/* 1: taken; 0: nothing to read now; -ENOBUFS: a shard is full; -ENOMEM. */
static int read_one(Sender *s, MonoTime now) {
        if (!s->has_held) {
                int r = queue_reader_next(s->reader, &s->held);
                if (r <= 0)
                        return r;
                s->has_held = true;
                if (s->held.view != s->view) {
                        s->view = s->held.view;
                        mark_idle(s);
                }
                end_resumes(s); /* before a sample that is none of theirs */
        }
        if (!take(s, &s->held, now))
                return -ENOBUFS;
        s->has_held = false;
        return 1;
}

/* Whether there is more to read at once. */
static bool fill(Sender *s, MonoTime now) {
        if (s->draining)
                return false;
        int r = 1;
        uint32_t n = 0;
        for (; n < STEP_SAMPLES && r == 1; n++)
                r = read_one(s, now);
        end_resumes(s);
        s->stats.lost = queue_reader_lost(s->reader);
        return r == 1;
}

/* ---- Sending ---- */

static void drop_first(Sender *s, uint32_t shard) {
        Shard *h = &s->shards[shard];
        Batch *b = h->first;
        h->first = b->next;
        if (!h->first)
                h->last = NULL;
        h->n_samples -= b->n;
        s->stats.pending -= b->n;
        h->backoff = (Duration){ 0 };
        h->not_before = (MonoTime){ 0 };
        mark(s, shard, (ShardMark){ .acked = h->first ? b->end_seq : lead(s) > b->end_seq ? lead(s) : b->end_seq });
        (void)batch_free(b);
}

static void back_off(Sender *s, Shard *h, MonoTime now, Duration least) {
        Duration d = h->backoff.ns ? h->backoff : s->options.min_backoff;
        if (least.ns)
                d = least; /* as the receiver asked */
        h->not_before = mono_add(now, d);
        h->backoff.ns = d.ns * 2 < s->options.max_backoff.ns ? d.ns * 2 : s->options.max_backoff.ns;
}

/* The body of the first batch: false when there is nothing to send (any more). */
static int encode(Sender *s, Shard *h, WallTime wall) {
        Batch *b = h->first;
        size_t left_out = 0;
        int64_t least = INT64_MIN;
        if (s->options.sample_age_limit.ns > 0)
                least = (wall.ns - s->options.sample_age_limit.ns) / NS_PER_MS;
        b->version = s->stats.version;
        int r = encode_batch(s->encoder, b->version, b->view, b->items, b->n, least, s->described, &b->body, &left_out);
        if (r < 0)
                return r;
        if (left_out) { /* each is counted once: it is gone from the batch */
                size_t n = 0;
                for (size_t i = 0; i < b->n; i++)
                        if (b->items[i].time_ms >= least)
                                b->items[n++] = b->items[i];
                s->stats.too_old += left_out;
                h->n_samples -= left_out;
                s->stats.pending -= left_out;
                b->n = n;
        }
        return b->n > 0;
}

static void begin(Sender *s, uint32_t shard, MonoTime now, WallTime wall) {
        Shard *h = &s->shards[shard];
        Batch *b = h->first;
        int r = encode(s, h, wall);
        if (r == 0) {
                drop_first(s, shard);
                return;
        }
        if (r > 0) {
                if (h->mark.sent != b->end_seq)
                        mark(s, shard, (ShardMark){ h->mark.acked, b->end_seq });
                if (b->tries)
                        s->stats.retried += b->n;
                r = s->transport.post(s->transport.context, &(SenderPost){ shard, b->version, &b->body, b->tries });
        }
        if (r < 0) { /* memory, most likely */
                buf_deinit(&b->body);
                h->not_before = mono_add(now, MEMORY_RETRY);
                return;
        }
        b->tries++;
        h->sending = true;
        h->begun = now;
        s->stats.sending++;
        s->stats.requests++;
        s->stats.bytes += b->body.len;
        s->stats.raw_bytes += s->encoder->raw_bytes;
}

static void begin_ready(Sender *s, MonoTime now, WallTime wall) {
        for (uint32_t i = 0; i < s->n_shards; i++) {
                Shard *h = &s->shards[i];
                Batch *b = h->first;
                if (b && !b->sealed && !h->resume && (s->draining || b->deadline.ns <= now.ns))
                        b->sealed = true;
                if (b && b->sealed && !h->sending && h->not_before.ns <= now.ns)
                        begin(s, i, now, wall);
        }
}

static MonoTime next_time(const Sender *s) {
        MonoTime next = s->reshard_at;
        for (uint32_t i = 0; i < s->n_shards; i++) {
                const Shard *h = &s->shards[i];
                if (!h->first || h->sending || (h->resume && !h->first->sealed))
                        continue;
                int64_t at = h->first->sealed ? h->not_before.ns : h->first->deadline.ns;
                next.ns = at < next.ns ? at : next.ns;
        }
        return next;
}

/* ---- How many shards ---- */

static bool empty(const Sender *s) {
        for (uint32_t i = 0; i < s->n_shards; i++)
                if (s->shards[i].first)
                        return false;
        return true;
}

static uint32_t wanted_shards(const Sender *s, double seconds) {
        const SenderOptions *o = &s->options;
        double busy = (double)s->busy_ns / 1e9 / seconds / s->n_shards;
        uint64_t visible = queue_visible(s->queue),
                 backlog = s->stats.pending + (visible > lead(s) ? visible - lead(s) : 0);
        uint32_t n = s->n_shards;
        if (busy > BUSY_HIGH && backlog > 2 * o->max_samples_per_send * n)
                n = n + n / 2 + 1;
        else if (busy < BUSY_LOW)
                n = (uint32_t)(n * busy / BUSY_HIGH) + 1;
        n = n > o->max_shards ? o->max_shards : n;
        return n < o->min_shards ? o->min_shards : n;
}

static void look_at_shards(Sender *s, MonoTime now) {
        if (now.ns < s->reshard_at.ns)
                return;
        double seconds = duration_seconds(RESHARD_EVERY) + duration_seconds(mono_since(now, s->reshard_at));
        if (!s->draining && !s->n_resuming)
                s->stats.wanted_shards = wanted_shards(s, seconds);
        s->busy_ns = 0;
        s->reshard_at = mono_add(now, RESHARD_EVERY);
        /* All that was read must be delivered before another shard may have the same series. With a receiver that is
         * away that would be never, and more shards would not help. */
        s->draining = s->draining || s->stats.wanted_shards != s->n_shards;
}

static void reshard(Sender *s) {
        uint32_t n = s->stats.wanted_shards;
        if (!s->draining || !empty(s))
                return;
        s->draining = false;
        if (n == s->n_shards)
                return;
        Shard *shards = calloc(n, sizeof *shards);
        if (!shards)
                return;
        free(s->shards);
        s->shards = shards;
        s->n_shards = n;
        s->stats.reshards++;
        for (uint32_t i = 0; i < n; i++)
                shards[i].mark.acked = lead(s);
        s->stats.unmarked += checkpoint_layout(s->checkpoint, n, lead(s)) < 0;
}

MonoTime sender_step(Sender *s, MonoTime now, WallTime wall) {
        if (s->reshard_at.ns == 0)
                s->reshard_at = mono_add(now, RESHARD_EVERY);
        bool more = fill(s, now);
        begin_ready(s, now, wall);
        look_at_shards(s, now);
        if (s->draining) {
                begin_ready(s, now, wall);
                reshard(s);
                more = more || !s->draining;
        }
        return more ? now : next_time(s);
}

/* ---- Answers ---- */

static void complain(Sender *s, const SenderAnswer *a, size_t n, bool dropped) {
        s->stats.requests_failed++;
        s->stats.last_status = a->status;
        s->stats.last_error = a->error;
        (void)snprintf(s->stats.why, sizeof s->stats.why, "%s", a->why ? a->why : "");
        s->complaint(s->context, a, n, dropped);
}

static bool is_temporary(const Sender *s, const SenderAnswer *a) {
        return a->error || a->status / 100 == 5 || (a->status == 429 && s->options.retry_on_429);
}

/* Who knows 1.0 only answers 415, or 400 because the message makes no sense to it, or takes it for an empty one of
 * 1.0. */
static bool wants_version_1(const Sender *s, const Batch *b, const SenderAnswer *a) {
        if (b->version != RW_2 || a->error)
                return false;
        return a->status == 415 || (!s->confirmed && (a->status == 400 || (a->status / 100 == 2 && !a->tells_written)));
}

static void delivered(Sender *s, uint32_t shard, uint64_t took) {
        const Batch *b = s->shards[shard].first;
        s->confirmed = s->confirmed || b->version == RW_2;
        s->busy_ns += took;
        s->stats.sent += b->n;
        s->stats.histograms += b->histograms;
        s->stats.exemplars += b->exemplars;
        s->stats.newest_sent_ms = b->newest_ms > s->stats.newest_sent_ms ? b->newest_ms : s->stats.newest_sent_ms;
        drop_first(s, shard);
}

void sender_answer(Sender *s, uint32_t shard, const SenderAnswer *a, MonoTime now) {
        assert(shard < s->n_shards && s->shards[shard].sending);
        Shard *h = &s->shards[shard];
        Batch *b = h->first;
        uint64_t took = (uint64_t)mono_since(now, h->begun).ns;
        h->sending = false;
        s->stats.sending--;
        s->stats.send_ns += took;
        buf_deinit(&b->body);
        b->body = BUF_WITH_LIMIT((size_t)256 << 20);
        if (wants_version_1(s, b, a)) {
                s->stats.version = RW_1;
                return; /* the same samples again, at once */
        }
        if (!a->error && a->status / 100 == 2) {
                delivered(s, shard, took);
                return;
        }
        if (is_temporary(s, a)) {
                int64_t after = a->retry_after_s < RETRY_AFTER_MAX_S ? a->retry_after_s : RETRY_AFTER_MAX_S;
                complain(s, a, b->n, false);
                back_off(s, h, now, SECONDS(after > 0 ? after : 0));
                return;
        }
        complain(s, a, b->n, true);
        s->stats.failed += b->n;
        drop_first(s, shard);
}

/* ---- Life ---- */

static int take_checkpoint(Sender *s) {
        const CheckpointState *c = checkpoint_state(s->checkpoint);
        uint64_t least = c->n_shards ? UINT64_MAX : 0;
        s->n_shards = c->n_shards ? c->n_shards : s->options.min_shards;
        s->shards = calloc(s->n_shards, sizeof *s->shards);
        if (!s->shards)
                return -ENOMEM;
        for (uint32_t i = 0; i < c->n_shards; i++) {
                Shard *h = &s->shards[i];
                h->mark = c->shards[i];
                h->resume = h->mark.sent > h->mark.acked ? h->mark.sent : 0;
                s->n_resuming += h->resume != 0;
                least = h->mark.acked < least ? h->mark.acked : least;
        }
        int r = queue_reader_new(s->queue, least, &s->reader);
        if (r < 0 || c->n_shards)
                return r;
        for (uint32_t i = 0; i < s->n_shards; i++)
                s->shards[i].mark.acked = queue_reader_seq(s->reader);
        return checkpoint_layout(s->checkpoint, s->n_shards, queue_reader_seq(s->reader));
}

int sender_new(Queue *q, Checkpoint *c, Encoder *e, Described *d, const SenderOptions *o, const Transport *t,
               SenderComplaint complaint, void *context, Sender **ret_sender) {
        Sender *s = calloc(1, sizeof *s);
        assert(o->min_shards > 0 && o->min_shards <= o->max_shards && o->max_shards <= CHECKPOINT_SHARDS_MAX);
        if (!s)
                return -ENOMEM;
        s->queue = q;
        s->checkpoint = c;
        s->encoder = e;
        s->described = d;
        s->options = *o;
        s->transport = *t;
        s->complaint = complaint;
        s->context = context;
        s->stats = (SenderStats){ .newest_sent_ms = INT64_MIN, .version = o->version };
        int r = take_checkpoint(s);
        if (r < 0) {
                (void)sender_free(s);
                return r;
        }
        s->stats.wanted_shards = s->n_shards;
        *ret_sender = s;
        return 0;
}

Sender *sender_free(Sender *s) {
        if (!s)
                return NULL;
        for (uint32_t i = 0; s->shards && i < s->n_shards; i++) {
                if (s->shards[i].sending)
                        s->transport.cancel(s->transport.context, i);
                for (Batch *b = s->shards[i].first, *next; b; b = next) {
                        next = b->next;
                        (void)batch_free(b);
                }
        }
        s->reader = queue_reader_free(s->reader);
        free(s->shards);
        free(s);
        return NULL;
}

uint64_t sender_delivered(const Sender *s) {
        uint64_t least = UINT64_MAX;
        for (uint32_t i = 0; i < s->n_shards; i++)
                least = s->shards[i].mark.acked < least ? s->shards[i].mark.acked : least;
        return least;
}

const SenderStats *sender_stats(Sender *s) {
        s->stats.shards = s->n_shards;
        s->stats.lead = lead(s);
        return &s->stats;
}
