/* The keeper: which work comes next, and how a change becomes visible and durable.
 *
 * Every change of files goes the same way: new files are written and synced; the manifest that names them, and no
 * longer what they replace, is written aside, synced and renamed over the old one; then readers get the new catalog;
 * then what was replaced is removed. A crash before the rename leaves files that no manifest names, which the next
 * start removes; after it, files that the manifest does not name any more, likewise. */
#include "store/store_priv.h"

#include <assert.h>

#define RETRY SECONDS(10) /* after work that failed */
#define COLLECT_EVERY SECONDS(600)

typedef struct Quiet {
        int64_t begin_ms;
        MonoTime since;
} Quiet;

/* ---- Time ---- */

void partition_of(StoreTier tier, int64_t time_ms, int64_t *ret_begin, int64_t *ret_end) {
        static const int64_t DAYS[STORE_TIER_COUNT] = { 1, 10, 100 };
        int64_t length = DAYS[tier] * MS_PER_DAY, n = (time_ms - 1) / length;
        if (n * length > time_ms - 1)
                n--; /* towards the past, also before 1970 */
        *ret_begin = n * length;
        *ret_end = *ret_begin + length;
}

int64_t store_newest(Store *s) {
        LOCK_SCOPE(&s->lock);
        int64_t newest = s->head.current->max_ms, now = store_wall_ms(s);
        for (size_t i = 0; i < s->catalog->n_parts; i++)
                if (s->catalog->parts[i]->entry.meta.max_ms > newest)
                        newest = s->catalog->parts[i]->entry.meta.max_ms;
        return newest < now ? newest : now;
}

Duration quiet_since(const Store *s, int64_t begin_ms) {
        MonoTime now = store_mono(s);
        for (size_t i = 0; i < s->n_quiet; i++)
                if (s->quiet[i].begin_ms == begin_ms)
                        return mono_since(now, s->quiet[i].since);
        return SECONDS(INT32_MAX); /* not since we started */
}

void quiet_touch(Store *s, int64_t begin_ms) {
        MonoTime now = store_mono(s);
        for (size_t i = 0; i < s->n_quiet; i++)
                if (s->quiet[i].begin_ms == begin_ms || mono_since(now, s->quiet[i].since).ns > SECONDS(3600).ns) {
                        s->quiet[i] = (Quiet){ begin_ms, now };
                        return;
                }
        Quiet *more = realloc(s->quiet, (s->n_quiet + 1) * sizeof *more);
        if (!more)
                return; /* merged sooner than need be */
        s->quiet = more;
        s->quiet[s->n_quiet++] = (Quiet){ begin_ms, now };
}

/* ---- Manifests ---- */

int manifest_add(Manifest *m, const PartEntry *entry) {
        PartEntry *parts = realloc(m->parts, (m->n_parts + 1) * sizeof *parts);
        if (!parts)
                return -ENOMEM;
        m->parts = parts;
        parts[m->n_parts++] = *entry;
        return 0;
}

void manifest_drop(Manifest *m, uint64_t id) {
        for (size_t i = 0; i < m->n_parts; i++)
                if (m->parts[i].meta.id == id) {
                        memmove(&m->parts[i], &m->parts[i + 1], (m->n_parts - i - 1) * sizeof *m->parts);
                        m->n_parts--;
                        return;
                }
}

static bool has_part(const Manifest *m, uint64_t id) {
        for (size_t i = 0; i < m->n_parts; i++)
                if (m->parts[i].meta.id == id)
                        return true;
        return false;
}

/* Tombstones that no part is old enough for any more. */
static void drop_tombstones(Manifest *m) {
        size_t kept = 0;
        for (size_t i = 0; i < m->n_tombstones; i++) {
                Tombstone *t = &m->tombstones[i];
                bool needed = false;
                for (size_t k = 0; k < m->n_parts; k++) {
                        const PartMeta *p = &m->parts[k].meta;
                        needed = needed || (p->id < t->below_part && p->min_ms <= deleted_end(p->tier, t->end_ms) &&
                                            p->max_ms > t->begin_ms);
                }
                if (needed) {
                        m->tombstones[kept++] = *t;
                        continue;
                }
                for (size_t k = 0; k < t->n_matchers; k++)
                        free(t->matchers[k]);
                free(t->matchers);
        }
        m->n_tombstones = kept;
}

static void on_damaged(void *context, const char *text) {
        Store *s = context;
        store_count(s, &s->stats.damaged, 1);
        store_event(s, STORE_EVENT_DAMAGE, false, "%s", text);
}

/* Whether a part that was just written cannot be opened: then what it was made of must stay. */
static bool new_is_damaged(const Manifest *before, const Manifest *next) {
        for (size_t i = 0; i < next->n_parts; i++)
                if (next->parts[i].quarantined && !has_part(before, next->parts[i].meta.id))
                        return true;
        return false;
}

static void remove_part(Store *s, const PartMeta *m) {
        char name[PART_NAME_MAX];
        part_name(m->tier, m->id, name);
        int r = vfs_unlink(s->vfs, name);
        s->leftovers = s->leftovers || (r < 0 && r != -ENOENT);
}

void keeper_abandon(Store *s, uint64_t first) {
        for (uint64_t id = first > s->unsure_id ? first : s->unsure_id; id < s->next_id; id++)
                for (int tier = 0; tier < STORE_TIER_COUNT; tier++) {
                        char name[PART_NAME_MAX];
                        part_name((StoreTier)tier, id, name);
                        int r = has_part(s->manifest, id) ? -ENOENT : vfs_unlink(s->vfs, name);
                        s->leftovers = s->leftovers || (r < 0 && r != -ENOENT);
                }
}

static int save(Store *s, const Manifest *next) {
        int r = manifest_save(s->vfs, next);
        s->unsure_id = r < 0 ? s->next_id : s->unsure_id;
        return r;
}

int keeper_commit(Store *s, Manifest *taken, bool thaw) {
        CLEANUP(manifest_freep) Manifest *next = taken;
        Catalog *catalog = NULL;
        drop_tombstones(next);
        next->next_id = s->next_id;
        PartDamage damage;
        int r = catalog_build(s->vfs, next, s->catalog, on_damaged, s, &catalog, &damage);
        if (r == 0 && new_is_damaged(s->manifest, next))
                r = -EIO;
        if (r == 0)
                r = save(s, next);
        if (r < 0) {
                (void)catalog_unref(catalog);
                return r;
        }
        Manifest *before = s->manifest;
        Catalog *old = s->catalog;
        s->manifest = TAKE_PTR(next);
        lock(&s->lock);
        s->catalog = catalog;
        if (thaw)
                head_thaw(&s->head);
        store_count_quarantined(s);
        unlock(&s->lock);
        (void)catalog_unref(old);
        for (size_t i = 0; i < before->n_parts; i++)
                if (!has_part(s->manifest, before->parts[i].meta.id))
                        remove_part(s, &before->parts[i].meta);
        (void)manifest_free(before);
        s->leftovers = s->leftovers || s->unsure_id;
        s->unsure_id = 0;
        return 0;
}

/* ---- What comes next ---- */

int keeper_collect(Store *s) {
        MonoTime now = store_mono(s);
        uint32_t dropped = 0;
        if (mono_since(now, s->last_collect).ns < COLLECT_EVERY.ns)
                return 0;
        s->last_collect = now;
        LOCK_SCOPE(&s->lock);
        Head *h = &s->head;
        /* A series is forgotten when it was silent for longer than samples may be late, and for two flushes. */
        int64_t flushes =
                s->options.out_of_order.ns / (s->options.flush_interval.ns ? s->options.flush_interval.ns : 1) + 2;
        if (flushes > 48)
                flushes = 48;
        uint32_t since = h->current->number > (uint32_t)flushes ? h->current->number - (uint32_t)flushes : 0;
        uint32_t dead = since ? head_dead(h, since) : 0;
        if (s->views || h->frozen || dead < 64 || dead < index_count(h->index) / 8)
                return 0;
        int r = head_collect(h, since, &dropped);
        if (r < 0)
                return r;
        s->naming = s->appended + 1;
        quota_recount(&s->quotas, h->index);
        s->stats.series_dropped += dropped; /* under the lock */
        return 1;
}

/* Files that could not be removed when they should have been. */
static int sweep(Store *s) {
        int r = s->leftovers && !s->unsure_id ? store_remove_leftovers(s) : 0;
        if (r == 0 && !s->unsure_id)
                s->leftovers = false;
        return r;
}

static int flush_if_due(Store *s) {
        return keeper_flush_due(s) ? keeper_flush(s) : 0;
}

static int merge_some(Store *s) {
        return keeper_merge(s, false);
}

/* Work that fails does not keep other work from being done: what is deleted may be what a flush has no room for. */
static int work(Store *s) {
        static int (*const WORK[])(Store *) = { sweep,         flush_if_due,   keeper_trim, keeper_expire,
                                                keeper_rollup, keeper_collect, merge_some };
        int error = 0;
        for (size_t i = 0; i < ARRAY_LEN(WORK); i++) {
                int r = WORK[i](s);
                if (r > 0)
                        return error < 0 ? error : r;
                error = error < 0 ? error : r;
        }
        return error;
}

int store_maintain(Store *s) {
        MonoTime now = store_mono(s);
        lock(&s->log_lock);
        store_watch_space(s, false);
        unlock(&s->log_lock);
        if (s->retry_after.ns > now.ns)
                return 0;
        int r = work(s);
        if (r < 0) {
                store_count(s, &s->stats.failures, 1);
                s->retry_after = mono_add(now, RETRY);
                store_event(s, STORE_EVENT_DISK, false, "the store cannot be kept in order: %s; trying again in 10 s",
                            strerror(-r));
        }
        return r;
}

int store_flush(Store *s, bool final) {
        int r = keeper_flush(s);
        if (r > 0)
                r = keeper_flush(s); /* the first may have been of what was frozen before */
        while (final && r >= 0) {
                r = keeper_merge(s, true);
                if (r == 0)
                        r = keeper_rollup(s);
                if (r <= 0)
                        break;
        }
        return r < 0 ? r : final ? sweep(s) : 0;
}
