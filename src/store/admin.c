/* What an operator asks of the store: deleting, copying, rolling up again, checking. All of it is the keeper's work. */
#include "store/store_priv.h"

#include <stdio.h>

static void manifest_freep(Manifest **m) {
        *m = manifest_free(*m);
}

/* ---- Deleting ---- */

static int tombstone_add(Manifest *m, uint64_t below, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms) {
        Tombstone *list = realloc(m->tombstones, (m->n_tombstones + 1) * sizeof *list);
        if (!list)
                return -ENOMEM;
        m->tombstones = list;
        Tombstone *t = &list[m->n_tombstones];
        *t = (Tombstone){ .begin_ms = begin_ms, .end_ms = end_ms, .below_part = below, .matchers = calloc(n + 1, sizeof(char *)) };
        if (!t->matchers)
                return -ENOMEM;
        m->n_tombstones++;
        for (size_t i = 0; i < n; i++) {
                CLEANUP(buf_deinit) Buf text = BUF_NULL;
                matcher_to_text(&matchers[i], &text);
                t->matchers[i] = strdup(buf_cstr(&text));
                if (!t->matchers[i] || buf_error(&text))
                        return -ENOMEM;
                t->n_matchers++;
        }
        return 0;
}

int store_delete(Store *s, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms) {
        int r = 1;
        /* The head has no tombstones: what it holds goes to parts first. */
        for (int tries = 0; r > 0 && tries < 2; tries++)
                r = keeper_flush(s);
        if (r < 0)
                return r;
        CLEANUP(manifest_freep) Manifest *next = manifest_dup(s->manifest);
        if (!next)
                return -ENOMEM;
        r = tombstone_add(next, s->next_id, matchers, n, begin_ms, end_ms);
        return r < 0 ? r : keeper_commit(s, TAKE_PTR(next), false);
}

/* ---- Copying ---- */

static void vfs_freep(Vfs **v) {
        *v = vfs_free(*v);
}

int store_snapshot(Store *s, const char *path) {
        int r = keeper_flush(s);
        if (r < 0)
                return r;
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
        return damaged;
}
