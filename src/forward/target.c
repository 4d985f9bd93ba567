#include "forward/target.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define SEGMENT_BYTES ((uint64_t)8 << 20)
#define PENDING_BYTES ((size_t)16 << 20)
/* Samples of one series are appended in pieces, so that records stay small. */
#define PIECE 500u
#define SERIES_MIN 1024u
#define SERIES_MOST ((size_t)1 << 21) /* then all are forgotten, and declared again */
/* The checkpoint waits for the disk this often: a power cut makes at most so much be sent again. */
#define CHECKPOINT_SYNC SECONDS(5)
#define DROPPED UINT32_MAX

typedef struct Series {
        uint64_t hash[2];
        uint32_t id, generation;
} Series;

struct Target {
        Vfs *vfs;
        const ForwardTargetConfig *config;
        TargetShared shared;
        Queue *queue;
        Checkpoint *checkpoint;
        Sender *sender;
        TargetStats stats;
        Series *series; /* in the order in which they came first */
        size_t n_series, cap_series, last_series;
        uint32_t *table; /* of indexes + 1, by hash */
        size_t table_size;
        LabelDraft labels;
        Buf run;
        _Atomic uint64_t delivered; /* for the committer */
        MonoTime synced; /* the committer's: when the checkpoint was */
        uint64_t releasable; /* the committer's: delivered, by a checkpoint that is synced */
};

/* ---- Series ---- */

/* Where the series' index stands, or belongs. */
static size_t place_of(const Target *t, const uint64_t hash[2]) {
        size_t at = hash[0] & (t->table_size - 1);
        for (; t->table[at]; at = (at + 1) & (t->table_size - 1)) {
                const Series *s = &t->series[t->table[at] - 1];
                if (s->hash[0] == hash[0] && s->hash[1] == hash[1])
                        break;
        }
        return at;
}

static bool grow_table(Target *t) {
        size_t size = t->table_size ? t->table_size * 2 : 2 * SERIES_MIN;
        uint32_t *table = calloc(size, sizeof *table);
        if (!table)
                return false;
        free(t->table);
        t->table = table;
        t->table_size = size;
        for (size_t i = 0; i < t->n_series; i++)
                table[place_of(t, t->series[i].hash)] = (uint32_t)i + 1;
        return true;
}

static bool grow(Target *t) {
        size_t cap = t->cap_series ? t->cap_series * 2 : SERIES_MIN;
        Series *more = cap > SERIES_MOST ? NULL : reallocarray(t->series, cap, sizeof *more);
        if (more) {
                t->series = more;
                t->cap_series = cap;
                return t->table_size >= 2 * cap || grow_table(t);
        }
        if (t->cap_series) { /* a fresh start is always possible */
                memset(t->table, 0, t->table_size * sizeof *t->table);
                t->n_series = 0;
        }
        return t->cap_series;
}

static bool is_series(const Target *t, size_t i, const TargetKey *key) {
        return i < t->n_series && t->series[i].hash[0] == key->hash[0] && t->series[i].hash[1] == key->hash[1];
}

/* Series come in the same order again and again: the next one is most likely the one that came next the last time, or
 * the same one. NULL: no memory. */
static Series *series_of(Target *t, const TargetKey *key) {
        if (is_series(t, t->last_series + 1, key))
                t->last_series++;
        if (is_series(t, t->last_series, key))
                return &t->series[t->last_series];
        if ((t->n_series == t->cap_series || 2 * t->n_series >= t->table_size) && !grow(t))
                return NULL;
        size_t at = place_of(t, key->hash);
        if (!t->table[at]) {
                t->series[t->n_series] = (Series){ .hash = { key->hash[0], key->hash[1] } };
                t->table[at] = (uint32_t)++t->n_series;
        }
        t->last_series = t->table[at] - 1;
        return &t->series[t->last_series];
}

static void add_external(Target *t) {
        const ForwardConfig *c = t->shared.config;
        for (size_t i = 0; i < c->external_names.n; i++) {
                Span name = span_of(c->external_names.texts[i]);
                if (label_set_get(&t->labels, name).len == 0)
                        label_set_set(&t->labels, name, span_of(c->external_values.texts[i]));
        }
        label_set_settle(&t->labels);
}

/* The run as the receiver is to see it: 1; 0: it is to see nothing; or what is wrong. */
static int make_run(Target *t, const TargetKey *key, const uint8_t **ret_run, size_t *ret_len) {
        Span name;
        *ret_run = key->run;
        *ret_len = key->len;
        if (t->config->relabel.n == 0 && t->shared.config->external_names.n == 0)
                return 1;
        label_set_reset(&t->labels);
        label_set_add_run(&t->labels, key->run, key->len);
        add_external(t);
        int r = relabel_apply(&t->config->relabel, &t->labels);
        if (r <= 0)
                return r;
        buf_reset(&t->run);
        if (label_set_build(&t->labels, &t->run) != LABELS_OK || t->labels.error || buf_error(&t->run))
                return -EINVAL;
        *ret_run = (const uint8_t *)t->run.data;
        *ret_len = t->run.len;
        return labels_get(*ret_run, *ret_len, METRIC_NAME_LABEL, &name) ? 1 : -EINVAL;
}

/* Begins n samples in the queue; false: they are not to be appended, and that is counted. */
static bool begin_samples(Target *t, const TargetKey *key, size_t n) {
        uint32_t generation = queue_generation(t->queue);
        Series *s = series_of(t, key);
        const uint8_t *run = NULL;
        size_t len = 0;
        if (s && s->id == DROPPED) {
                t->stats.filtered += n;
                return false;
        }
        int r = !s ? -ENOMEM : s->generation == generation ? 1 : make_run(t, key, &run, &len);
        uint32_t id = r == 1 ? queue_series(t->queue, s->id, run, len, n) : DROPPED;
        if (r == 1 && id != UINT32_MAX) {
                s->id = id;
                s->generation = generation;
                return true;
        }
        *(r == 0 ? &t->stats.filtered : &t->stats.refused) += n;
        if (s && (r == 0 || r == -EINVAL || r == -E2BIG))
                s->id = DROPPED;
        return false;
}

/* ---- Writing ---- */

bool target_full(Target *t) {
        return queue_full(t->queue);
}

void target_floats(Target *t, const TargetKey *key, const int64_t *times_ms, const double *values, size_t n) {
        for (size_t at = 0; at < n; at += PIECE) {
                size_t m = n - at < PIECE ? n - at : PIECE;
                if (!begin_samples(t, key, m))
                        continue;
                t->stats.taken += m;
                for (size_t i = at; i < at + m; i++) {
                        queue_float(t->queue, times_ms[i], values[i]);
                        if (times_ms[i] > t->stats.newest_in_ms)
                                t->stats.newest_in_ms = times_ms[i];
                }
        }
}

void target_histogram(Target *t, const TargetKey *key, int64_t time_ms, const uint8_t *bytes, size_t n) {
        if (!t->config->send_native_histograms || !begin_samples(t, key, 1))
                return;
        queue_histogram(t->queue, time_ms, bytes, n);
        t->stats.taken++;
        if (time_ms > t->stats.newest_in_ms)
                t->stats.newest_in_ms = time_ms;
}

void target_exemplar(Target *t, const TargetKey *key, int64_t time_ms, double value, const uint8_t *labels, size_t n) {
        if (!t->config->send_exemplars || !begin_samples(t, key, 1))
                return;
        queue_exemplar(t->queue, time_ms, value, labels, n);
        t->stats.taken++;
}

void target_end(Target *t) {
        queue_end(t->queue);
}

MonoTime target_step(Target *t, MonoTime now, WallTime wall) {
        MonoTime next = sender_step(t->sender, now, wall);
        atomic_store_explicit(&t->delivered, sender_delivered(t->sender), memory_order_relaxed);
        return next;
}

int target_commit(Target *t) {
        MonoTime now = mono_now();
        uint64_t delivered = atomic_load_explicit(&t->delivered, memory_order_relaxed);
        bool sync = t->synced.ns == 0 || mono_since(now, t->synced).ns >= CHECKPOINT_SYNC.ns;
        int r = 0;
        if (sync && delivered > t->releasable) {
                r = checkpoint_commit(t->checkpoint, true);
                t->synced = now;
                if (r == 0)
                        t->releasable = delivered;
        }
        queue_release(t->queue, t->releasable);
        int q = queue_commit(t->queue);
        return q < 0 ? q : r;
}

/* ---- Opening ---- */

/* New samples must have numbers above all that count as delivered, or as being delivered. */
static uint64_t least_seq(const CheckpointState *c) {
        uint64_t least = 0;
        for (uint32_t i = 0; i < c->n_shards; i++) {
                least = c->shards[i].acked > least ? c->shards[i].acked : least;
                least = c->shards[i].sent > least ? c->shards[i].sent : least;
        }
        return least;
}

static uint64_t segment_bytes(const ForwardTargetConfig *c) {
        return c->max_bytes / 8 < SEGMENT_BYTES ? c->max_bytes / 8 : SEGMENT_BYTES;
}

static int open_queue(Target *t) {
        QueueOptions o = {
                .max_bytes = t->config->max_bytes,
                .max_age = t->config->max_age,
                .segment_bytes = segment_bytes(t->config),
                .pending_bytes = PENDING_BYTES,
                .sync = t->shared.sync,
                .wall = t->shared.wall,
        };
        int r = vfs_lock(t->vfs);
        if (r == 0)
                r = checkpoint_open(t->vfs, &t->checkpoint);
        return r < 0 ? r : queue_open(t->vfs, &o, least_seq(checkpoint_state(t->checkpoint)), &t->queue);
}

int target_open(Vfs *vfs, const ForwardTargetConfig *config, const TargetShared *shared, const Transport *transport,
                SenderComplaint complaint, void *context, Target **ret_target) {
        Target *t = calloc(1, sizeof *t);
        if (!t) {
                (void)vfs_free(vfs);
                return -ENOMEM;
        }
        *t = (Target){ .vfs = vfs, .config = config, .shared = *shared, .stats = { .newest_in_ms = INT64_MIN } };
        int r = open_queue(t);
        if (r == 0)
                r = sender_new(t->queue, t->checkpoint, shared->encoder, shared->described, &config->sender, transport,
                               complaint, context, &t->sender);
        if (r < 0) {
                (void)target_close(t);
                return r;
        }
        *ret_target = t;
        return 0;
}

Target *target_close(Target *t) {
        if (!t)
                return NULL;
        if (t->sender)
                atomic_store(&t->delivered, sender_delivered(t->sender));
        t->sender = sender_free(t->sender);
        if (t->checkpoint && t->queue) {
                int r = checkpoint_commit(t->checkpoint, t->shared.sync);
                if (r == 0)
                        queue_release(t->queue, atomic_load(&t->delivered));
        }
        t->queue = queue_close(t->queue);
        t->checkpoint = checkpoint_close(t->checkpoint);
        t->vfs = vfs_free(t->vfs);
        label_set_deinit(&t->labels);
        buf_deinit(&t->run);
        free(t->series);
        free(t->table);
        free(t);
        return NULL;
}

Sender *target_sender(Target *t) {
        return t->sender;
}

Queue *target_queue(Target *t) {
        return t->queue;
}

const TargetStats *target_stats(const Target *t) {
        return &t->stats;
}
