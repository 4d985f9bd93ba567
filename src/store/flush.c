/* The head to parts, one for each partition of time that it has samples of (nearly always one).
 *
 * Under both locks the log begins a new segment and the head is frozen, so that the frozen generation is exactly what
 * the older segments hold. Then it is written without any lock, and in one manifest its parts appear and the older
 * segments are no longer needed. When writing fails the generation stays frozen, is served from memory, and is tried
 * again; the log keeps it safe. */
#include "store/rows.h"
#include "store/store_priv.h"

#define LOG_LONG ((uint64_t)256 << 20) /* flush, so that the log does not grow */

bool keeper_flush_due(Store *s) {
        MonoTime now = store_mono(s);
        WalStats wal;
        if (s->head.frozen || s->unmoved)
                return true;
        wal_stats(s->wal, &wal);
        LOCK_SCOPE(&s->lock);
        if (s->head.current->samples == 0)
                return false;
        return s->want_flush || mono_since(now, s->last_flush).ns >= s->options.flush_interval.ns ||
               wal.disk_bytes > LOG_LONG;
}

/* What is written together. */
typedef struct Flush {
        Store *store;
        Buf entries;     /* PartEntry of each part written */
        uint32_t *order; /* refs by labels */
        uint32_t n;
        Buf run, times, values;
        uint64_t written, reserved; /* bytes */
} Flush;

static void flush_deinit(Flush *f) {
        buf_deinit(&f->entries);
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

/* What is in one partition of a series' floats, read already, and of its histograms. */
static int write_samples(const Flush *f, PartWriter *w, const Aside *a, int64_t begin_ms, int64_t end_ms) {
        const int64_t *t = (const int64_t *)(const void *)f->times.data;
        const double *v = (const double *)(const void *)f->values.data;
        size_t n_floats = f->times.len / sizeof *t;
        uint32_t first = 0, last = a ? a->n_histograms : 0;
        while (first < last && a->histogram_times[first] <= begin_ms)
                first++;
        while (last > first && a->histogram_times[last - 1] > end_ms)
                last--;
        uint32_t n = last - first, base = n ? a->histogram_offsets[first] : 0;
        CLEANUP_FREE uint32_t *offsets = malloc(((size_t)n + 1) * sizeof *offsets);
        if (!offsets)
                return -ENOMEM;
        for (uint32_t i = 0; n && i <= n; i++)
                offsets[i] = a->histogram_offsets[first + i] - base;
        return mixed_write(t, v, n_floats, n ? a->histogram_times + first : NULL,
                           n ? (const uint8_t *)a->bytes.data + base : NULL, offsets, n, w);
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
                buf_reset(&f->times);
                buf_reset(&f->values);
                if (r == 0)
                        r = head_read(h, g, ref, begin_ms, end_ms, &f->times, &f->values);
                if (r == 0)
                        r = write_samples(f, w, aside, begin_ms, end_ms);
                if (r == 0)
                        r = keeper_hold(f->store, STORE_RAW, &f->reserved, f->written + part_writer_bytes(w));
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
        PartMeta meta = { .store = s->manifest->store,
                          .id = s->next_id++,
                          .tier = STORE_RAW,
                          .begin_ms = begin_ms,
                          .end_ms = end_ms };
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
        buf_put(&f->entries, &entry, sizeof entry);
        f->written += meta.bytes;
        r = buf_error(&f->entries);
        return r < 0 ? r : keeper_hold(s, STORE_RAW, &f->reserved, f->written);
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
        if (r == 0 && changed)
                r = vfs_replace(s->vfs, METADATA_NAME, bytes.data, bytes.len);
        if (r < 0) {
                LOCK_SCOPE(&s->lock);
                s->metadata.changed = true;
        }
        return r;
}

/* About what the parts will take; when they turn out larger, more room is made on the way. */
static uint64_t estimate(const Generation *g) {
        return g->samples * 4 + (uint64_t)g->n_series * 64 + (1 << 12);
}

static int write_parts(Flush *f) {
        Store *s = f->store;
        const Head *h = &s->head;
        const Generation *g = h->frozen;
        int64_t begin_ms, end_ms;
        f->n = g->n_series;
        f->order = malloc(((size_t)f->n + 1) * sizeof *f->order);
        int r = f->order ? index_sort(h->index, f->n, s->frozen_pairs, f->order) : -ENOMEM;
        for (int64_t at = r == 0 ? next_instant(g, INT64_MIN) : INT64_MAX; r == 0 && at != INT64_MAX;
             at = next_instant(g, end_ms)) {
                partition_of(STORE_RAW, at, &begin_ms, &end_ms);
                r = write_part(f, begin_ms, end_ms);
        }
        return r;
}

/* Shows the parts instead of the frozen generation. */
static int commit(Flush *f) {
        Store *s = f->store;
        CLEANUP(manifest_freep) Manifest *next = manifest_dup(s->manifest);
        const PartEntry *entries = (const PartEntry *)(const void *)f->entries.data;
        int r = next ? vfs_sync_directory(s->vfs) : -ENOMEM;
        for (size_t i = 0; r == 0 && i < f->entries.len / sizeof *entries; i++)
                r = manifest_add(next, &entries[i]);
        if (r < 0)
                return r;
        next->wal_first = s->frozen_segment;
        return keeper_commit(s, TAKE_PTR(next), true);
}

static int write_frozen(Store *s) {
        CLEANUP(flush_deinit) Flush f = { .store = s };
        uint64_t first = s->next_id;
        int r = keeper_hold(s, STORE_RAW, &f.reserved, estimate(s->head.frozen));
        if (r == 0)
                r = save_metadata(s);
        if (r == 0)
                r = write_parts(&f);
        if (r == 0)
                r = commit(&f);
        if (r < 0)
                keeper_abandon(s, first);
        return r;
}

int keeper_flush(Store *s) {
        MonoTime began = store_mono(s);
        int r = 0;
        if (!s->head.frozen) {
                lock(&s->lock);
                bool empty = s->head.current->samples == 0;
                unlock(&s->lock);
                if (empty && !s->unmoved)
                        return 0;
                r = freeze(s, &s->frozen_segment);
        }
        if (r == 0)
                r = write_frozen(s);
        if (r < 0)
                return r;
        s->last_flush = store_mono(s);
        if (s->unmoved) {
                s->unmoved = false;
                store_event(s, STORE_EVENT_LOG, true, "what was in the log is in files");
        }
        store_count(s, &s->stats.flushes, 1);
        store_count(s, &s->stats.flush_ns, (uint64_t)mono_since(s->last_flush, began).ns);
        r = wal_remove_before(s->wal, s->frozen_segment);
        return r < 0 ? r : 1;
}
