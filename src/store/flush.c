/* The head to parts, one for each partition of time that it has samples of (nearly always one).
 *
 * Under both locks the log begins a new segment and the head is frozen, so that the frozen generation is exactly what the older
 * segments hold. Then it is written without any lock, and in one manifest its parts appear and the older segments are no
 * longer needed. When writing fails the generation stays frozen, is served from memory, and is tried again; the log keeps it safe. */
#include "store/store_priv.h"

#include <assert.h>

#define LOG_LONG ((uint64_t)256 << 20) /* flush, so that the log does not grow */

bool keeper_flush_due(Store *s) {
        MonoTime now = store_mono(s);
        WalStats wal;
        if (s->head.frozen)
                return true;
        wal_stats(s->wal, &wal);
        LOCK_SCOPE(&s->lock);
        if (s->head.current->samples == 0)
                return false;
        return s->want_flush || mono_since(now, s->last_flush).ns >= s->options.flush_interval.ns || wal.disk_bytes > LOG_LONG;
}

/* What is written together. */
typedef struct Flush {
        Store *store;
        Manifest *next;
        uint32_t *order; /* refs by labels */
        uint32_t n;
        Buf run, times, values;
        uint64_t duplicates;
} Flush;

static void flush_deinit(Flush *f) {
        f->next = manifest_free(f->next);
        free(f->order);
        buf_deinit(&f->run);
        buf_deinit(&f->times);
        buf_deinit(&f->values);
}

static int freeze(Store *s, uint32_t *ret_segment) {
        LOCK_SCOPE(&s->log_lock);
        int r = wal_commit(s->wal, true); /* so that what happens under the other lock is short */
        if (r < 0)
                return r;
        LOCK_SCOPE(&s->lock);
        s->want_flush = false;
        r = wal_rotate(s->wal, ret_segment);
        s->frozen_pairs = index_pairs(s->head.index);
        return r < 0 ? r : head_freeze(&s->head);
}

static int write_floats(Flush *f, PartWriter *w, uint32_t ref, int64_t begin_ms, int64_t end_ms) {
        buf_reset(&f->times);
        buf_reset(&f->values);
        int r = head_read(&f->store->head, f->store->head.frozen, ref, begin_ms, end_ms, &f->times, &f->values);
        const int64_t *t = (const int64_t *)(const void *)f->times.data;
        const double *v = (const double *)(const void *)f->values.data;
        size_t n = f->times.len / sizeof *t;
        for (size_t at = 0; r == 0 && at < n; at += CODEC_MAX)
                r = part_writer_floats(w, t + at, v + at, (uint32_t)(n - at < CODEC_MAX ? n - at : CODEC_MAX));
        return r;
}

static int write_histograms(PartWriter *w, const Aside *a, int64_t begin_ms, int64_t end_ms) {
        uint32_t first = 0, last = a->n_histograms;
        while (first < last && a->histogram_times[first] <= begin_ms)
                first++;
        while (last > first && a->histogram_times[last - 1] > end_ms)
                last--;
        if (first == last)
                return 0;
        uint32_t n = last - first, base = a->histogram_offsets[first];
        CLEANUP_FREE uint32_t *offsets = malloc(((size_t)n + 1) * sizeof *offsets);
        if (!offsets)
                return -ENOMEM;
        for (uint32_t i = 0; i <= n; i++)
                offsets[i] = a->histogram_offsets[first + i] - base;
        int r = 0;
        for (uint32_t at = 0; r == 0 && at < n; at += CODEC_MAX)
                r = part_writer_histograms(w, a->histogram_times + first + at, (const uint8_t *)a->bytes.data + base, offsets + at,
                                           n - at < CODEC_MAX ? n - at : CODEC_MAX);
        return r;
}

static int write_series(Flush *f, PartWriter *w, int64_t begin_ms, int64_t end_ms) {
        const Head *h = &f->store->head;
        const Generation *g = h->frozen;
        int r = 0;
        for (uint32_t i = 0; r == 0 && i < f->n; i++) {
                uint32_t ref = f->order[i];
                const Aside *aside = head_aside(h, g, ref);
                if (!g->heads[ref] && !aside)
                        continue;
                buf_reset(&f->run);
                index_run(h->index, ref, &f->run);
                r = buf_error(&f->run);
                if (r == 0)
                        r = part_writer_series(w, (const uint8_t *)f->run.data, f->run.len);
                if (r == 0)
                        r = write_floats(f, w, ref, begin_ms, end_ms);
                if (r == 0 && aside && aside->n_histograms)
                        r = write_histograms(w, aside, begin_ms, end_ms);
        }
        return r;
}

static void part_writer_freep(PartWriter **w) {
        *w = part_writer_free(*w);
}

static int write_part(Flush *f, int64_t begin_ms, int64_t end_ms) {
        Store *s = f->store;
        CLEANUP(part_writer_freep) PartWriter *w = NULL;
        char name[PART_NAME_MAX];
        PartMeta meta = { .store = s->manifest->store, .id = s->next_id++, .tier = STORE_RAW, .begin_ms = begin_ms, .end_ms = end_ms };
        part_name(meta.tier, meta.id, name);
        int r = part_writer_new(s->vfs, name, &meta, CODEC_FAST, &w);
        if (r == 0)
                r = write_series(f, w, begin_ms, end_ms);
        if (r == 0)
                r = part_writer_finish(w, &meta);
        if (r < 0)
                return r;
        PartEntry entry = { .meta = meta, .age = meta.id };
        quiet_touch(s, begin_ms);
        return manifest_add(f->next, &entry);
}

/* The first instant after `after` that any series has; INT64_MAX: none. */
static int64_t next_instant(const Generation *g, int64_t after) {
        int64_t next = INT64_MAX;
        if (g->min_ms > after)
                return g->min_ms;
        if (g->max_ms <= after)
                return INT64_MAX;
        for (uint32_t ref = 0; ref < g->n_series && next > after + 1; ref++) {
                int64_t own = head_next(g, ref, after);
                next = own < next ? own : next;
        }
        return next;
}

static int save_metadata(Store *s) {
        CLEANUP(buf_deinit) Buf bytes = BUF_NULL;
        lock(&s->lock);
        bool changed = s->metadata.changed;
        if (changed)
                metadata_print(&s->metadata, &bytes);
        s->metadata.changed = false;
        unlock(&s->lock);
        int r = changed ? buf_error(&bytes) : 0;
        return r < 0 || !changed ? r : vfs_replace(s->vfs, METADATA_NAME, bytes.data, bytes.len);
}

/* About what the parts will take; a flush that turns out larger is still under the cap, because its margin is wide. */
static uint64_t estimate(const Generation *g) {
        return g->samples * 10 + (uint64_t)g->n_series * 160 + (1 << 16);
}

static int write_parts(Flush *f) {
        Store *s = f->store;
        const Head *h = &s->head;
        const Generation *g = h->frozen;
        int64_t begin_ms, end_ms;
        f->n = g->n_series;
        f->order = malloc(((size_t)f->n + 1) * sizeof *f->order);
        int r = f->order ? index_sort(h->index, f->n, s->frozen_pairs, f->order) : -ENOMEM;
        for (int64_t at = r == 0 ? next_instant(g, INT64_MIN) : INT64_MAX; r == 0 && at != INT64_MAX; at = next_instant(g, end_ms)) {
                partition_of(STORE_RAW, at, &begin_ms, &end_ms);
                r = write_part(f, begin_ms, end_ms);
        }
        return r;
}

int keeper_flush(Store *s) {
        MonoTime began = store_mono(s);
        uint32_t segment = 0;
        int r = 0;
        if (!s->head.frozen) {
                lock(&s->lock);
                bool empty = s->head.current->samples == 0;
                unlock(&s->lock);
                if (empty)
                        return 0;
                r = freeze(s, &s->frozen_segment);
        }
        segment = s->frozen_segment;
        if (r < 0)
                return r;
        r = keeper_make_room(s, STORE_RAW, estimate(s->head.frozen));
        if (r < 0)
                return r;
        CLEANUP(flush_deinit) Flush f = { .store = s, .next = manifest_dup(s->manifest) };
        if (!f.next)
                return -ENOMEM;
        r = save_metadata(s);
        if (r == 0)
                r = write_parts(&f);
        if (r == 0)
                r = vfs_sync_directory(s->vfs);
        if (r < 0)
                return r;
        f.next->wal_first = segment;
        r = keeper_commit(s, TAKE_PTR(f.next), true);
        if (r < 0)
                return r;
        s->last_flush = store_mono(s);
        s->stats.flushes++;
        s->stats.flush_ns += (uint64_t)mono_since(s->last_flush, began).ns;
        r = wal_remove_before(s->wal, segment);
        return r < 0 ? r : 1;
}
