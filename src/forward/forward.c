#include "forward/forward.h"

#include "base/escape.h"
#include "forward/post.h"
#include "forward/target.h"
#include "rt/lock.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <xxhash.h>

#define METADATA_FIRST SECONDS(10) /* after the start: what is measured has been described by then */
#define BEGIN_FULL (-ENOBUFS)

typedef struct Receiver {
        Forward *forward;
        const ForwardTargetConfig *config;
        Target *target;
        Poster *poster;
        MonoTime metadata_at;
        size_t metadata_next; /* of the round under way */
        bool metadata_sending;
        Buf metadata_body;
        uint64_t metadata, metadata_failed;
} Receiver;

/* A series of the request under way: the store's number for it, and where its run is kept. */
typedef struct Open {
        SeriesRef ref;
        uint64_t hash[2];
        size_t at, len; /* in `runs` */
} Open;

struct Forward {
        SeriesSink sink; /* first: it is what is given out */
        SeriesSink *store;
        ForwardConfig *config;
        ForwardOptions options;
        ForwardOps ops;
        void *context;
        Encoder encoder;
        Described described;
        Receiver *receivers;
        size_t n_receivers;
        LoopTimer *timer;
        XXH64_hash_t seed;
        Open *open;
        size_t n_open, cap_open, found; /* `found`: where the last look-up ended */
        Buf runs;
        bool pumping, pump_again;
        Lock commit_lock; /* the receivers do not change while the committer is with them */
        Lock lock;        /* for `ended` */
        uint64_t ended;   /* ticket of the last request whose samples are all in the queues' memory */
        _Atomic uint64_t covered; /* ticket up to which the queues have everything */
};

static Forward *of(SeriesSink *s) {
        return (Forward *)s;
}

/* ---- The sink ---- */

static int sink_begin(SeriesSink *s, const char *source) {
        Forward *f = of(s);
        f->n_open = f->found = 0;
        buf_reset(&f->runs);
        for (size_t i = 0; i < f->n_receivers; i++)
                if (target_full(f->receivers[i].target))
                        return BEGIN_FULL;
        return f->store->begin(f->store, source);
}

static bool remember(Forward *f, SeriesRef ref, const uint8_t *run, size_t len) {
        if (f->n_open == f->cap_open) {
                size_t cap = f->cap_open ? f->cap_open * 2 : 256;
                Open *more = reallocarray(f->open, cap, sizeof *more);
                if (!more)
                        return false;
                f->open = more;
                f->cap_open = cap;
        }
        size_t at = f->runs.len;
        buf_put(&f->runs, run, len);
        if (buf_error(&f->runs))
                return false;
        XXH128_hash_t h = XXH3_128bits_withSeed(run, len, f->seed);
        f->open[f->n_open++] = (Open){ .ref = ref, .hash = { h.low64, h.high64 | 1 }, .at = at, .len = len };
        return true;
}

static SampleFault sink_series(SeriesSink *s, const uint8_t *run, size_t len, SeriesRef *ret_ref,
                               LabelsFault *ret_fault) {
        Forward *f = of(s);
        SampleFault fault = f->store->series(f->store, run, len, ret_ref, ret_fault);
        if (fault == SAMPLE_OK && f->n_receivers && !remember(f, *ret_ref, run, len))
                return SAMPLE_NO_MEMORY; /* the sender tries again */
        return fault;
}

/* The last one, nearly always; or the next one behind that of the last call. */
static const Open *find_open(Forward *f, SeriesRef ref) {
        if (f->n_open && f->open[f->n_open - 1].ref == ref)
                return &f->open[f->n_open - 1];
        for (size_t i = 0; i < f->n_open; i++) {
                size_t at = (f->found + i) % f->n_open;
                if (f->open[at].ref == ref) {
                        f->found = at;
                        return &f->open[at];
                }
        }
        return NULL;
}

static bool key_of(Forward *f, SeriesRef ref, TargetKey *ret_key) {
        const Open *o = find_open(f, ref);
        if (o)
                *ret_key = (TargetKey){ { o->hash[0], o->hash[1] }, (const uint8_t *)f->runs.data + o->at, o->len };
        return o;
}

static void append(Forward *f, const TargetKey *key, const int64_t *times, const double *values, size_t n) {
        for (size_t i = 0; i < f->n_receivers; i++)
                target_floats(f->receivers[i].target, key, times, values, n);
}

static SampleFault sink_floats(SeriesSink *s, SeriesRef ref, const int64_t *times, const double *values, size_t n,
                               size_t *ret_taken) {
        Forward *f = of(s);
        TargetKey key;
        SampleFault fault = f->store->floats(f->store, ref, times, values, n, ret_taken);
        if (*ret_taken == 0 || f->n_receivers == 0 || !key_of(f, ref, &key))
                return fault;
        if (*ret_taken == n) {
                append(f, &key, times, values, n);
                return fault;
        }
        /* Which of them were taken: one that is there already is taken again, without effect. */
        for (size_t i = 0; i < n; i++) {
                size_t taken = 0;
                (void)f->store->floats(f->store, ref, times + i, values + i, 1, &taken);
                if (taken)
                        append(f, &key, times + i, values + i, 1);
        }
        return fault;
}

static SampleFault sink_histogram(SeriesSink *s, SeriesRef ref, int64_t time_ms, const uint8_t *bytes, size_t n) {
        Forward *f = of(s);
        TargetKey key;
        SampleFault fault = f->store->histogram(f->store, ref, time_ms, bytes, n);
        if (fault == SAMPLE_OK && key_of(f, ref, &key))
                for (size_t i = 0; i < f->n_receivers; i++)
                        target_histogram(f->receivers[i].target, &key, time_ms, bytes, n);
        return fault;
}

static bool sink_exemplar(SeriesSink *s, SeriesRef ref, const uint8_t *labels, size_t len, double value,
                          int64_t time_ms) {
        Forward *f = of(s);
        TargetKey key;
        if (!f->store->exemplar(f->store, ref, labels, len, value, time_ms))
                return false;
        if (key_of(f, ref, &key))
                for (size_t i = 0; i < f->n_receivers; i++)
                        target_exemplar(f->receivers[i].target, &key, time_ms, value, labels, len);
        return true;
}

static void sink_metadata(SeriesSink *s, Span metric, MetricType type, Span help, Span unit) {
        Forward *f = of(s);
        described_tell(&f->described, metric, type, help, unit);
        f->store->metadata(f->store, metric, type, help, unit);
}

static int sink_end(SeriesSink *s, uint64_t *ret_ticket) {
        Forward *f = of(s);
        int r = f->store->end(f->store, ret_ticket);
        for (size_t i = 0; i < f->n_receivers; i++)
                target_end(f->receivers[i].target);
        if (r < 0)
                return r;
        LOCK_SCOPE(&f->lock);
        f->ended = *ret_ticket;
        return 0;
}

static uint64_t sink_durable(SeriesSink *s) {
        Forward *f = of(s);
        uint64_t store = f->store->durable(f->store), covered = atomic_load(&f->covered);
        return store < covered ? store : covered;
}

/* ---- The committer's ---- */

bool forward_commit_pending(Forward *f) {
        LOCK_SCOPE(&f->lock);
        return f->ended > atomic_load(&f->covered);
}

int forward_commit(Forward *f) {
        int r = 0;
        LOCK_SCOPE(&f->commit_lock);
        lock(&f->lock);
        uint64_t ended = f->ended;
        unlock(&f->lock);
        for (size_t i = 0; i < f->n_receivers; i++) {
                int e = target_commit(f->receivers[i].target);
                r = r < 0 ? r : e;
        }
        if (ended > atomic_load(&f->covered))
                atomic_store(&f->covered, ended); /* what was lost is counted, and waited for by nobody */
        return r;
}

/* ---- Sending ---- */

static void pump(Forward *f);

static void on_answer(void *context, uint32_t shard, const SenderAnswer *a) {
        Receiver *r = context;
        if (shard != POST_METADATA) {
                sender_answer(target_sender(r->target), shard, a, mono_now());
        } else {
                bool good = !a->error && a->status / 100 == 2;
                r->metadata_sending = false;
                r->metadata += good;
                r->metadata_failed += !good;
                if (!good || r->metadata_next >= r->forward->described.n) {
                        r->metadata_next = 0;
                        r->metadata_at = mono_add(mono_now(), r->config->metadata_interval);
                }
        }
        pump(r->forward);
}

/* Descriptions of 1.0, a round of them each interval; a round that fails waits for the next. */
static MonoTime step_metadata(Receiver *r, MonoTime now) {
        Forward *f = r->forward;
        if (!r->config->metadata || r->metadata_sending || sender_stats(target_sender(r->target))->version == RW_2)
                return (MonoTime){ INT64_MAX };
        if (now.ns < r->metadata_at.ns)
                return r->metadata_at;
        int e = f->described.n ? encode_metadata(&f->encoder, &f->described, r->metadata_next, r->config->metadata_max,
                                                 &r->metadata_body)
                               : -ENOENT;
        if (e == 0)
                e = poster_post(r->poster, &(SenderPost){ POST_METADATA, RW_1, &r->metadata_body, 0 });
        r->metadata_sending = e == 0;
        r->metadata_next += e == 0 ? r->config->metadata_max : 0;
        if (e < 0)
                r->metadata_at = mono_add(now, r->config->metadata_interval);
        return r->metadata_at;
}

static void arm(Forward *f, MonoTime now, MonoTime next) {
        int64_t wait = next.ns > now.ns ? next.ns - now.ns : 0;
        if (next.ns != INT64_MAX)
                loop_timer_again(f->timer, (Duration){ wait }, (Duration){ 0 });
}

static void pump(Forward *f) {
        if (f->pumping) { /* from within a call that it makes */
                f->pump_again = true;
                return;
        }
        f->pumping = true;
        MonoTime next, now;
        do {
                f->pump_again = false;
                now = mono_now();
                next.ns = INT64_MAX;
                for (size_t i = 0; i < f->n_receivers; i++) {
                        Receiver *r = &f->receivers[i];
                        MonoTime a = target_step(r->target, now, wall_now()), b = step_metadata(r, now);
                        next.ns = a.ns < next.ns ? a.ns : next.ns;
                        next.ns = b.ns < next.ns ? b.ns : next.ns;
                }
        } while (f->pump_again);
        f->pumping = false;
        arm(f, now, next);
}

static void on_timer(void *context) {
        pump(context);
}

void forward_kick(Forward *f) {
        pump(f);
}

/* ---- Opening ---- */

static void on_complaint(void *context, const SenderAnswer *a, size_t samples, bool dropped) {
        Receiver *r = context;
        r->forward->ops.complaint(r->forward->context, r->config, a, samples, dropped);
}

static int open_receiver(Forward *f, size_t i) {
        Receiver *r = &f->receivers[i];
        char path[4096];
        Vfs *vfs = NULL;
        *r = (Receiver){ .forward = f,
                         .config = f->config->targets[i],
                         .metadata_at = mono_add(mono_now(), METADATA_FIRST) };
        TargetShared shared = {
                .encoder = &f->encoder, .described = &f->described, .config = f->config, .sync = f->options.sync
        };
        int n = snprintf(path, sizeof path, "%s/%s", f->options.directory, r->config->name);
        if (n < 0 || (size_t)n >= sizeof path)
                return -ENAMETOOLONG;
        int e = poster_new(f->options.fetcher, r->config, f->options.version, on_answer, r, &r->poster);
        if (e == 0)
                e = vfs_posix_new(path, &vfs);
        Transport t = { poster_post, poster_cancel, r->poster };
        if (e == 0)
                e = target_open(vfs, r->config, &shared, &t, on_complaint, r, &r->target);
        if (e < 0)
                r->poster = poster_free(r->poster);
        return e;
}

static int open_receivers(Forward *f, char *ret_name) {
        f->receivers = calloc(f->config->n_targets + 1, sizeof *f->receivers);
        if (!f->receivers)
                return -ENOMEM;
        if (f->config->n_targets && mkdir(f->options.directory, 0750) < 0 && errno != EEXIST)
                return -errno;
        for (size_t i = 0; i < f->config->n_targets; i++) {
                (void)snprintf(ret_name, FORWARD_NAME_MAX + 1, "%s", f->config->targets[i]->name);
                int r = open_receiver(f, i);
                if (r < 0)
                        return r;
                f->n_receivers++;
        }
        return 0;
}

static void receiver_close(Receiver *r) {
        r->target = target_close(r->target);
        r->poster = poster_free(r->poster);
        buf_deinit(&r->metadata_body);
}

static void close_receivers(Forward *f) {
        for (size_t i = 0; i < f->n_receivers; i++)
                receiver_close(&f->receivers[i]);
        free(f->receivers);
        f->receivers = NULL;
        f->n_receivers = 0;
        f->config = forward_config_free(f->config);
}

int forward_new(const ForwardOptions *o, const ForwardOps *ops, void *context, Forward **ret_forward) {
        Forward *f = calloc(1, sizeof *f);
        if (!f)
                return -ENOMEM;
        f->sink = (SeriesSink){ sink_begin,    sink_series,   sink_floats, sink_histogram,
                                sink_exemplar, sink_metadata, sink_end,    sink_durable };
        f->options = *o;
        f->ops = *ops;
        f->context = context;
        lock_init(&f->lock, "forward");
        lock_init(&f->commit_lock, "forward commit");
        int r = getrandom(&f->seed, sizeof f->seed, 0) == (ssize_t)sizeof f->seed ? 0 : -EIO;
        if (r == 0)
                r = loop_timer(o->loop, MILLISECONDS(10), (Duration){ 0 }, on_timer, f, &f->timer);
        if (r < 0) {
                (void)forward_free(f);
                return r;
        }
        *ret_forward = f;
        return 0;
}

Forward *forward_free(Forward *f) {
        if (!f)
                return NULL;
        f->timer = loop_timer_stop(f->timer);
        close_receivers(f);
        encoder_deinit(&f->encoder);
        described_deinit(&f->described);
        buf_deinit(&f->runs);
        free(f->open);
        lock_deinit(&f->commit_lock);
        lock_deinit(&f->lock);
        free(f);
        return NULL;
}

void forward_begin(Forward *f, SeriesSink *store) {
        assert(!f->store);
        f->store = store;
        atomic_store(&f->covered, store->durable(store)); /* what was there before is nobody's to wait for */
}

int forward_replace(Forward *f, ForwardConfig *config, char ret_name[FORWARD_NAME_MAX + 1]) {
        LOCK_SCOPE(&f->commit_lock);
        ret_name[0] = '\0';
        close_receivers(f); /* which commits: nobody who waits is forgotten */
        f->config = config;
        int r = open_receivers(f, ret_name);
        loop_timer_again(f->timer, MILLISECONDS(10), (Duration){ 0 });
        return r;
}

const ForwardConfig *forward_config(const Forward *f) {
        return f->config;
}

SeriesSink *forward_sink(Forward *f) {
        return &f->sink;
}

size_t forward_count(const Forward *f) {
        return f->n_receivers;
}

void forward_status(Forward *f, size_t i, ForwardStatus *ret_status) {
        Receiver *r = &f->receivers[i];
        const TargetStats *t = target_stats(r->target);
        *ret_status = (ForwardStatus){
                .config = r->config,
                .sender = sender_stats(target_sender(r->target)),
                .newest_in_ms = t->newest_in_ms,
                .taken = t->taken,
                .filtered = t->filtered,
                .refused = t->refused,
                .metadata = r->metadata,
                .metadata_failed = r->metadata_failed,
        };
        queue_stats(target_queue(r->target), &ret_status->queue);
        uint64_t end = queue_next_seq(target_queue(r->target)), lead = ret_status->sender->lead;
        ret_status->pending = ret_status->sender->pending + (end > lead ? end - lead : 0);
}
