/* What an operator asks of the store: deleting, copying, rolling up again, checking. All of it is the keeper's work. */
#include "store/store_priv.h"

#include <stdio.h>

/* ---- Deleting ---- */

static int tombstone_add(Manifest *m, uint64_t below, const Matcher *matchers, size_t n, int64_t begin_ms,
                         int64_t end_ms) {
        Tombstone *list = realloc(m->tombstones, (m->n_tombstones + 1) * sizeof *list);
        if (!list)
                return -ENOMEM;
        m->tombstones = list;
        Tombstone *t = &list[m->n_tombstones];
        *t = (Tombstone){
                .begin_ms = begin_ms, .end_ms = end_ms, .below_part = below, .matchers = calloc(n + 1, sizeof(char *))
        };
        if (!t->matchers)
                return -ENOMEM;
        m->n_tombstones++;
        for (size_t i = 0; i < n; i++) {
                CLEANUP(buf_deinit) Buf text = BUF_NULL;
                /* Kept as text, it has to come back as what it was. */
                if (matchers[i].name.len == 0 || memchr(matchers[i].name.text, '=', matchers[i].name.len) ||
                    memchr(matchers[i].name.text, '!', matchers[i].name.len) ||
                    memchr(matchers[i].name.text, 0, matchers[i].name.len) ||
                    (matchers[i].value.len && memchr(matchers[i].value.text, 0, matchers[i].value.len)))
                        return -EINVAL;
                matcher_to_text(&matchers[i], &text);
                t->matchers[i] = strdup(buf_cstr(&text));
                if (!t->matchers[i] || buf_error(&text))
                        return -ENOMEM;
                t->n_matchers++;
        }
        return 0;
}

/* What was computed from samples that are deleted is computed again, also on the day after, where increases began from
 * them. */
static void roll_up_again(Manifest *m, int64_t begin_ms, int64_t end_ms) {
        int64_t last = end_ms > INT64_MAX - MS_PER_DAY ? INT64_MAX : end_ms + MS_PER_DAY;
        for (size_t i = 0; i < m->n_parts; i++) {
                PartEntry *e = &m->parts[i];
                if (e->meta.tier == STORE_RAW && e->meta.begin_ms < last && e->meta.end_ms > begin_ms)
                        e->rolled = false;
        }
}

int store_delete(Store *s, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms) {
        /* The head has no tombstones: what it holds goes to parts first. */
        int r = store_flush(s, false);
        if (r < 0)
                return r;
        CLEANUP(manifest_freep) Manifest *next = manifest_dup(s->manifest);
        if (!next)
                return -ENOMEM;
        r = tombstone_add(next, s->next_id, matchers, n, begin_ms, end_ms);
        lock(&s->lock);
        exemplars_delete(&s->exemplars, matchers, n, begin_ms, end_ms);
        unlock(&s->lock);
        roll_up_again(next, begin_ms, end_ms);
        return r < 0 ? r : keeper_commit(s, TAKE_PTR(next), false);
}

/* ---- Copying ---- */

int store_snapshot(Store *s, const char *path) {
        int r = store_flush(s, false);
        for (size_t i = 0; r >= 0 && i < s->manifest->n_parts; i++) {
                char name[PART_NAME_MAX];
                part_name(s->manifest->parts[i].meta.tier, s->manifest->parts[i].meta.id, name);
                r = vfs_link(s->vfs, name, path);
                if (r == -ENOENT && s->manifest->parts[i].quarantined)
                        r = 0; /* it is missing here as well */
        }
        if (r < 0)
                return r;
        CLEANUP(vfs_freep) Vfs *copy = NULL;
        CLEANUP(buf_deinit) Buf metadata = BUF_NULL;
        r = vfs_posix_new(path, &copy);
        lock(&s->lock);
        metadata_print(&s->metadata, &metadata);
        unlock(&s->lock);
        if (r == 0)
                r = buf_error(&metadata);
        if (r == 0)
                r = vfs_replace(copy, METADATA_NAME, metadata.data, metadata.len);
        /* The manifest comes last: a copy that was cut off is no store. */
        return r < 0 ? r : manifest_save(copy, s->manifest);
}

/* ---- Rolling up again ---- */

int store_rollup_again(Store *s) {
        CLEANUP(manifest_freep) Manifest *next = manifest_dup(s->manifest);
        if (!next)
                return -ENOMEM;
        /* Only what there is raw data for: older rollups are all that is left of their time. */
        for (size_t i = 0; i < next->n_parts; i++)
                if (next->parts[i].meta.tier == STORE_RAW)
                        next->parts[i].rolled = false;
        int r = keeper_commit(s, TAKE_PTR(next), false);
        while (r >= 0 && (r = keeper_rollup(s)) > 0)
                ;
        return r;
}

/* ---- Checking ---- */

static int ignore_record(void *context, uint64_t lsn, uint8_t type, const uint8_t *payload, size_t n) {
        (void)context, (void)lsn, (void)type, (void)payload, (void)n;
        return 0;
}

static int verify_log(Store *s) {
        WalReport report = { 0 };
        LOCK_SCOPE(&s->log_lock); /* nobody writes it meanwhile */
        int r = wal_replay(s->vfs, s->manifest->store, s->manifest->wal_first, ignore_record, NULL, &report);
        if (r < 0 || report.damaged)
                store_event(s, STORE_EVENT_DAMAGE, false, "the log: %s", report.damaged ? report.damage : strerror(-r));
        return r < 0 || report.damaged;
}

static int verify_metadata(Store *s) {
        CLEANUP(metadata_deinit) Metadata m = { 0 };
        int r = metadata_load(&m, s->vfs);
        if (r < 0)
                store_event(s, STORE_EVENT_DAMAGE, false, METADATA_NAME ": %s",
                            r == -EBADMSG ? "a checksum is wrong" : strerror(-r));
        return r < 0;
}

static int verify_manifest(Store *s) {
        PartDamage damage = { "" };
        CLEANUP(manifest_freep) Manifest *m = NULL;
        int r = manifest_load(s->vfs, &m, &damage);
        if (r < 0)
                store_event(s, STORE_EVENT_DAMAGE, false, "%s", damage.text[0] ? damage.text : strerror(-r));
        return r < 0;
}

int store_verify(Store *s) {
        int damaged = 0;
        lock(&s->lock);
        Catalog *c = catalog_ref(s->catalog);
        unlock(&s->lock);
        for (size_t i = 0; i < c->n_parts; i++) {
                PartDamage damage = { "" };
                int r = part_verify(c->parts[i]->part, &damage);
                part_forget(c->parts[i]->part);
                if (r == 0)
                        continue;
                damaged++;
                store_event(s, STORE_EVENT_DAMAGE, false, "%s", damage.text);
        }
        for (size_t i = 0; i < s->manifest->n_parts; i++) {
                char name[PART_NAME_MAX];
                if (!s->manifest->parts[i].quarantined)
                        continue;
                part_name(s->manifest->parts[i].meta.tier, s->manifest->parts[i].meta.id, name);
                damaged++;
                store_event(s, STORE_EVENT_DAMAGE, false, "%s: quarantined, not read", name);
        }
        (void)catalog_unref(c);
        return damaged + verify_log(s) + verify_metadata(s) + verify_manifest(s);
}
