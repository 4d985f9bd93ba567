/* Raw samples to windows of 5 minutes and of 1 hour: once for each final part, both tiers in one pass.
 *
 * A window is begin < t <= end, its row has the instant of its end. It keeps, of the samples that fall in it:
 *
 *   count     how many; staleness markers end a stretch and are not counted
 *   sum, min, max, last   of a gauge; last also of a counter
 *   increase  of a counter: how much it grew from the sample before each sample in the window to that sample, where a
 *             value that is smaller than the one before counts as grown from 0. So increases of neighbouring windows
 *             add up: the increase over any stretch of whole windows is the sum of theirs.
 *
 * The sample before the first of the day is looked for up to a day back. A row without samples is not written. */
#include "store/rows.h"
#include "store/store_priv.h"
#include "model/stale.h"

#include <math.h>

#define ALL_SERIES ((size_t)100000000)

typedef struct Window {
        int64_t end_ms;
        double count, sum, min, max, last, increase;
} Window;

/* One series on its way into one tier. */
typedef struct Folder {
        int64_t length_ms;
        Window now;
        Buf times, columns[ROLLUP_COLUMN_COUNT];
} Folder;

static void folder_deinit(Folder *f) {
        buf_deinit(&f->times);
        for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                buf_deinit(&f->columns[c]);
}

static void folder_reset(Folder *f) {
        f->now = (Window){ .end_ms = INT64_MIN };
        buf_reset(&f->times);
        for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                buf_reset(&f->columns[c]);
}

static void folder_close(Folder *f, bool counter) {
        const Window *w = &f->now;
        if (w->count == 0)
                return;
        const double values[ROLLUP_COLUMN_COUNT] = {
                [ROLLUP_COUNT] = w->count, [ROLLUP_SUM] = w->sum,   [ROLLUP_MIN] = w->min,
                [ROLLUP_MAX] = w->max,     [ROLLUP_LAST] = w->last, [ROLLUP_INCREASE] = w->increase
        };
        buf_put(&f->times, &w->end_ms, sizeof w->end_ms);
        for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++) {
                bool of_gauge = c == ROLLUP_SUM || c == ROLLUP_MIN || c == ROLLUP_MAX;
                if (counter ? !of_gauge : c != ROLLUP_INCREASE)
                        buf_put(&f->columns[c], &values[c], sizeof values[c]);
        }
}

static int64_t window_end(int64_t time, int64_t length) {
        int64_t n = time / length;
        if (n * length < time)
                n++;
        return n * length;
}

static void folder_add(Folder *f, int64_t time, double v, double grown, bool counter) {
        if (time > f->now.end_ms) {
                folder_close(f, counter);
                f->now = (Window){ .end_ms = window_end(time, f->length_ms), .min = v, .max = v };
        }
        Window *w = &f->now;
        w->count++;
        w->sum += v;
        w->last = v;
        w->increase += grown;
        /* As PromQL's min and max: a number displaces a NaN. */
        if (v < w->min || isnan(w->min))
                w->min = v;
        if (v > w->max || isnan(w->max))
                w->max = v;
}

/* ---- One partition ---- */

typedef struct Rollup {
        Store *store;
        StoreView *view;
        StoreList *list;
        Folder folders[STORE_TIER_COUNT];
        PartWriter *writers[STORE_TIER_COUNT];
        PartMeta metas[STORE_TIER_COUNT];
        StoreSamples samples, before;
        int64_t begin_ms, end_ms;
        uint64_t reserved[STORE_TIER_COUNT]; /* bytes */
} Rollup;

static void rollup_deinit(Rollup *r) {
        for (size_t t = 0; t < STORE_TIER_COUNT; t++) {
                folder_deinit(&r->folders[t]);
                r->writers[t] = part_writer_free(r->writers[t]);
        }
        r->list = store_list_free(r->list);
        r->view = store_view_close(r->view);
        store_samples_deinit(&r->samples);
        store_samples_deinit(&r->before);
}

/* The last value before the day; NaN when there is none. Looked for near first. */
static int value_before(Rollup *r, size_t i, double *ret_value) {
        static const int64_t BACK_MS[] = { 300 * MS_PER_S, MS_PER_DAY };
        int64_t end = r->begin_ms;
        *ret_value = NAN;
        for (size_t k = 0; k < ARRAY_LEN(BACK_MS); k++) {
                int e = list_floats_between(r->list, i, ROLLUP_LAST, r->begin_ms - BACK_MS[k], end, &r->before);
                if (e < 0)
                        return e;
                for (size_t n = r->before.n; n-- > 0;)
                        if (!is_stale(r->before.values[n])) {
                                *ret_value = r->before.values[n];
                                return 0;
                        }
                end = r->begin_ms - BACK_MS[k];
        }
        return 0;
}

static void fold(Rollup *r, double before, bool counter) {
        for (size_t n = 0; n < r->samples.n; n++) {
                double v = r->samples.values[n];
                if (is_stale(v))
                        continue;
                double grown = isnan(before) ? 0 : v >= before ? v - before : v;
                before = v;
                for (int t = STORE_5M; t < STORE_TIER_COUNT; t++)
                        folder_add(&r->folders[t], r->samples.times[n], v, grown, counter);
        }
        for (int t = STORE_5M; t < STORE_TIER_COUNT; t++)
                folder_close(&r->folders[t], counter);
}

static int write_folder(Rollup *r, int tier, const uint8_t *run, size_t len) {
        Folder *f = &r->folders[tier];
        size_t n = f->times.len / sizeof(int64_t);
        int e = buf_error(&f->times);
        if (n == 0 || e < 0)
                return e;
        e = part_writer_series(r->writers[tier], run, len);
        for (size_t at = 0; e == 0 && at < n; at += CODEC_MAX) {
                const double *columns[ROLLUP_COLUMN_COUNT] = { 0 };
                for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++) {
                        e = e == 0 ? buf_error(&f->columns[c]) : e;
                        columns[c] = f->columns[c].len ? (const double *)(const void *)f->columns[c].data + at : NULL;
                }
                if (e == 0)
                        e = part_writer_rollup(r->writers[tier], (const int64_t *)(const void *)f->times.data + at,
                                               columns, (uint32_t)(n - at < CODEC_MAX ? n - at : CODEC_MAX));
        }
        return e;
}

static int rollup_series(Rollup *r, size_t i) {
        size_t len;
        double before = NAN;
        const uint8_t *run = store_list_run(r->list, i, &len);
        int e = list_floats_between(r->list, i, ROLLUP_LAST, r->begin_ms, r->end_ms, &r->samples);
        if (e < 0 || r->samples.n == 0)
                return e;
        bool counter = store_is_counter(r->store, run, len);
        if (counter)
                e = value_before(r, i, &before);
        for (int t = STORE_5M; t < STORE_TIER_COUNT; t++)
                folder_reset(&r->folders[t]);
        if (e == 0)
                fold(r, before, counter);
        for (int t = STORE_5M; e == 0 && t < STORE_TIER_COUNT; t++) {
                e = write_folder(r, t, run, len);
                if (e == 0)
                        e = keeper_hold(r->store, (StoreTier)t, &r->reserved[t], part_writer_bytes(r->writers[t]));
        }
        return e;
}

static int rollup_open(Rollup *r) {
        const StoreLimits limits = { ALL_SERIES, SIZE_MAX };
        /* Not of the head: what a crash may take from it must not stay in a rollup. It is rolled up when it is in a
         * part. */
        int e = view_open_parts(r->store, &r->view);
        if (e == 0)
                e = store_select(r->view, STORE_RAW, NULL, 0, r->begin_ms - MS_PER_DAY, r->end_ms, &limits, &r->list);
        for (int t = STORE_5M; e == 0 && t < STORE_TIER_COUNT; t++) {
                char name[PART_NAME_MAX];
                r->folders[t].length_ms = WINDOW_MS[t];
                r->metas[t] = (PartMeta){ .store = r->store->manifest->store,
                                          .id = r->store->next_id++,
                                          .tier = (StoreTier)t };
                partition_of((StoreTier)t, r->end_ms, &r->metas[t].begin_ms, &r->metas[t].end_ms);
                part_name((StoreTier)t, r->metas[t].id, name);
                e = part_writer_new(r->store->vfs, name, &r->metas[t], CODEC_SMALL, &r->writers[t]);
        }
        return e;
}

static int rollup_finish(Rollup *r) {
        Store *s = r->store;
        int e = 0;
        for (int t = STORE_5M; e == 0 && t < STORE_TIER_COUNT; t++) {
                e = part_writer_finish(r->writers[t], &r->metas[t]);
                if (e == 0)
                        e = keeper_hold(s, (StoreTier)t, &r->reserved[t], r->metas[t].bytes);
        }
        return e < 0 ? e : vfs_sync_directory(s->vfs);
}

int64_t rolled_up_to(const Manifest *m, StoreTier tier) {
        int64_t last = m->rolled_ms[tier];
        for (size_t i = 0; i < m->n_parts; i++)
                if (m->parts[i].meta.tier == STORE_RAW && m->parts[i].rolled && m->parts[i].meta.end_ms > last)
                        last = m->parts[i].meta.end_ms;
        for (size_t i = 0; i < m->n_parts; i++)
                if (m->parts[i].meta.tier == STORE_RAW && !m->parts[i].rolled && !m->parts[i].quarantined &&
                    m->parts[i].meta.begin_ms < last)
                        last = m->parts[i].meta.begin_ms;
        return last;
}

/* The manifest with the two parts, where the raw one counts as rolled up. */
static int rollup_commit(Rollup *r, uint64_t raw) {
        CLEANUP(manifest_freep) Manifest *next = manifest_dup(r->store->manifest);
        int e = next ? 0 : -ENOMEM;
        for (size_t i = 0; e == 0 && i < next->n_parts; i++)
                if (next->parts[i].meta.id == raw)
                        next->parts[i].rolled = true;
        for (int t = STORE_5M; e == 0 && t < STORE_TIER_COUNT; t++) {
                PartEntry entry = { .meta = r->metas[t], .age = r->metas[t].id, .rolled = true };
                char name[PART_NAME_MAX];
                part_name((StoreTier)t, r->metas[t].id, name);
                e = r->metas[t].series ? manifest_add(next, &entry) : vfs_unlink(r->store->vfs, name);
                next->rolled_ms[t] = rolled_up_to(next, (StoreTier)t);
        }
        return e < 0 ? e : keeper_commit(r->store, TAKE_PTR(next), false);
}

static bool is_source(const PartMeta *m, const PartEntry *e) {
        return m->tier == STORE_RAW && m->begin_ms <= e->meta.begin_ms && m->end_ms >= e->meta.begin_ms;
}

/* Whether what it is computed from is damaged: then what was computed when it was not is better. */
static bool is_worse_than_before(const Store *s, const PartEntry *e) {
        const Manifest *m = s->manifest;
        if (m->rolled_ms[STORE_5M] < e->meta.end_ms)
                return false; /* there is nothing yet */
        for (size_t i = 0; i < m->n_parts; i++)
                if (m->parts[i].quarantined && is_source(&m->parts[i].meta, e))
                        return true;
        for (size_t i = 0; i < s->catalog->n_parts; i++)
                if (s->catalog->parts[i]->damaged && is_source(&s->catalog->parts[i]->entry.meta, e))
                        return true;
        return false;
}

static int leave_as_it_is(Store *s, uint64_t raw) {
        CLEANUP(manifest_freep) Manifest *next = manifest_dup(s->manifest);
        if (!next)
                return -ENOMEM;
        for (size_t i = 0; i < next->n_parts; i++)
                if (next->parts[i].meta.id == raw)
                        next->parts[i].rolled = true;
        return keeper_commit(s, TAKE_PTR(next), false);
}

static int rollup(Store *s, const PartEntry *entry) {
        CLEANUP(rollup_deinit)
        Rollup r = { .store = s, .begin_ms = entry->meta.begin_ms, .end_ms = entry->meta.end_ms };
        uint64_t first = s->next_id;
        int e = rollup_open(&r);
        for (size_t i = 0; e == 0 && i < store_list_count(r.list); i++)
                e = rollup_series(&r, i);
        bool worse = is_worse_than_before(s, entry); /* reading has shown whether it is damaged */
        if (e == 0 && !worse)
                e = rollup_finish(&r);
        if (e == 0)
                e = worse ? leave_as_it_is(s, entry->meta.id) : rollup_commit(&r, entry->meta.id);
        if (e < 0 || worse)
                keeper_abandon(s, first);
        if (e < 0 || worse)
                return e < 0 ? e : 1;
        lock(&s->lock);
        memcpy(s->stats.rolled_ms, s->manifest->rolled_ms, sizeof s->stats.rolled_ms);
        s->stats.rollups++;
        unlock(&s->lock);
        return 1;
}

/* Whether other parts of the partition wait to be merged first. */
static bool is_alone(const Manifest *m, const PartEntry *e) {
        for (size_t i = 0; i < m->n_parts; i++) {
                const PartEntry *o = &m->parts[i];
                if (o != e && !o->quarantined && o->meta.tier == STORE_RAW && o->meta.begin_ms == e->meta.begin_ms)
                        return false;
        }
        return true;
}

int keeper_rollup(Store *s) {
        const PartEntry *first = NULL;
        int64_t newest = store_newest(s);
        for (size_t i = 0; i < s->manifest->n_parts; i++) {
                const PartEntry *e = &s->manifest->parts[i];
                /* A partition that time is still adding to is rolled up when it is over. */
                if (e->meta.tier == STORE_RAW && e->final && !e->rolled && !e->quarantined && e->meta.end_ms < newest &&
                    is_alone(s->manifest, e) && (!first || e->meta.begin_ms < first->meta.begin_ms))
                        first = e;
        }
        if (!first)
                return 0;
        PartEntry entry = *first;
        return rollup(s, &entry);
}
