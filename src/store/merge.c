/* Many parts of one partition into one.
 *
 * Parts of a partition that still grows are merged by level, as in a log-structured tree, so that a sample is written a
 * few times and no more: FANOUT parts of one level make one of the next. When the partition is closed (newer samples
 * came long ago) and quiet, all of it is merged into one final part with the smallest coding. A part that a tombstone
 * touches is written anew without what was deleted.
 *
 * Where two parts have the same instant of a series, raw samples keep what was written first (as the head does),
 * rollups what was written last (it was computed from more). */
#include "store/rows.h"
#include "store/store_priv.h"

#define FANOUT 8u
#define CLOSED_AFTER MS_PER_HOUR
#define QUIET SECONDS(600)
#define INPUTS_MAX 256u

/* What is merged next. */
typedef struct Choice {
        OpenPart *parts[INPUTS_MAX]; /* borrowed from the catalog */
        size_t n;
        StoreTier tier;
        int64_t begin_ms, end_ms;
        uint32_t level;
        bool final;
        uint64_t bytes;
} Choice;

static void choice_add(Choice *c, OpenPart *p) {
        const PartEntry *e = &p->entry;
        if (c->n == INPUTS_MAX)
                return;
        c->parts[c->n++] = p;
        c->tier = e->meta.tier;
        c->begin_ms = e->meta.begin_ms;
        c->end_ms = e->meta.end_ms;
        c->level = e->level + 1 > c->level ? e->level + 1 : c->level;
        c->bytes += e->meta.bytes;
}

static bool same_partition(const OpenPart *a, const OpenPart *b) {
        return a->entry.meta.tier == b->entry.meta.tier && a->entry.meta.begin_ms == b->entry.meta.begin_ms;
}

static bool is_closed(const Store *s, const OpenPart *p, int64_t newest) {
        return newest - p->entry.meta.end_ms > CLOSED_AFTER && quiet_since(s, p->entry.meta.begin_ms).ns >= QUIET.ns;
}

static bool has_grave(const Catalog *c, const OpenPart *p) {
        const PartMeta *m = &p->entry.meta;
        for (size_t i = 0; i < c->n_graves; i++) {
                const Grave *g = &c->graves[i];
                if (m->id < g->below_part && m->min_ms <= deleted_end(m->tier, g->end_ms) && m->max_ms > g->begin_ms)
                        return true;
        }
        return false;
}

/* Every part of p's partition, to one. */
static bool choose_final(const Catalog *c, OpenPart *p, Choice *ret_choice) {
        *ret_choice = (Choice){ .final = true };
        for (size_t i = 0; i < c->n_parts; i++)
                if (same_partition(c->parts[i], p))
                        choice_add(ret_choice, c->parts[i]);
        return ret_choice->n > 1 || !p->entry.final;
}

static bool choose_level(const Catalog *c, OpenPart *p, Choice *ret_choice) {
        *ret_choice = (Choice){ 0 };
        for (size_t i = 0; i < c->n_parts; i++)
                if (same_partition(c->parts[i], p) && c->parts[i]->entry.level == p->entry.level &&
                    !c->parts[i]->entry.final)
                        choice_add(ret_choice, c->parts[i]);
        return ret_choice->n >= FANOUT;
}

/* The first that has something to do: small parts before large ones, then what was deleted. */
static bool choose(Store *s, bool all, Choice *ret_choice) {
        int64_t newest = store_newest(s);
        const Catalog *c = s->catalog;
        for (size_t i = 0; i < c->n_parts; i++)
                if (choose_level(c, c->parts[i], ret_choice))
                        return true;
        for (size_t i = 0; i < c->n_parts; i++)
                if ((all || is_closed(s, c->parts[i], newest)) && choose_final(c, c->parts[i], ret_choice))
                        return true;
        for (size_t i = 0; i < c->n_parts; i++)
                if (has_grave(c, c->parts[i])) {
                        *ret_choice = (Choice){ .final = c->parts[i]->entry.final };
                        choice_add(ret_choice, c->parts[i]);
                        /* Of one level are parts that were written next to each other; this one stays in its place. */
                        ret_choice->level = c->parts[i]->entry.level;
                        return true;
                }
        return false;
}

/* ---- Reading side by side ---- */

typedef struct Input {
        OpenPart *part;
        PartCursor *cursor;
        uint32_t at, n; /* ordinals */
        Span run;       /* of the series at `at`, and its chunks: the cursor's */
        const PartChunk *chunks;
        size_t n_chunks;
} Input;

typedef struct Merge {
        Store *store;
        const Choice *choice;
        Catalog *catalog;
        Input *inputs;
        size_t n_inputs;
        PartWriter *writer;
        Rows rows;
        HistogramRows histograms;
        uint64_t duplicates;
} Merge;

static void merge_deinit(Merge *m) {
        for (size_t i = 0; i < m->n_inputs; i++)
                m->inputs[i].cursor = part_cursor_free(m->inputs[i].cursor);
        free(m->inputs);
        m->writer = part_writer_free(m->writer);
        rows_deinit(&m->rows);
        histogram_rows_deinit(&m->histograms);
        m->catalog = catalog_unref(m->catalog);
}

/* The series at `at`, or the next one whose page is good. */
static int input_read(Input *in) {
        for (; in->at < in->n; in->at++) {
                int r = part_cursor_series(in->cursor, in->at, &in->run, &in->chunks, &in->n_chunks);
                if (r != -EBADMSG)
                        return r;
                in->part->damaged = true;
        }
        return 0;
}

static int compare_inputs(const Input *a, const Input *b) {
        return labels_compare((const uint8_t *)a->run.text, a->run.len, (const uint8_t *)b->run.text, b->run.len);
}

static bool input_done(const Input *in) {
        return in->at >= in->n;
}

/* The input whose series comes next; NULL at the end. */
static Input *first_input(Merge *m) {
        Input *first = NULL;
        for (size_t i = 0; i < m->n_inputs; i++)
                if (!input_done(&m->inputs[i]) && (!first || compare_inputs(&m->inputs[i], first) < 0))
                        first = &m->inputs[i];
        return first;
}

static int gather(Merge *m, const Input *in, const Buf *run) {
        const PartChunk *chunks = in->chunks;
        size_t n = in->n_chunks, from = rows_count(&m->rows), hfrom = histogram_rows_count(&m->histograms);
        int r = 0;
        for (size_t i = 0; r == 0 && i < n; i++) {
                if (chunks[i].kind == CHUNK_HISTOGRAMS)
                        r = histogram_rows_add(&m->histograms, in->part->part, &chunks[i], INT64_MIN, INT64_MAX);
                else
                        r = rows_add(&m->rows, in->part->part, &chunks[i], INT64_MIN, INT64_MAX);
                if (r == -EBADMSG) { /* the rest of the part is good for all that */
                        in->part->damaged = true;
                        r = 0;
                }
        }
        for (size_t i = 0; r == 0 && i < m->catalog->n_graves; i++) {
                const Grave *g = &m->catalog->graves[i];
                if (in->part->entry.meta.id >= g->below_part ||
                    !matchers_hold(g->matchers, g->n_matchers, (const uint8_t *)run->data, run->len))
                        continue;
                rows_delete(&m->rows, from, g->begin_ms, deleted_end(m->choice->tier, g->end_ms));
                histogram_rows_delete(&m->histograms, hfrom, g->begin_ms, g->end_ms);
        }
        return r;
}

static int write_series(Merge *m, const Buf *run) {
        bool newest_wins = m->choice->tier != STORE_RAW;
        int r = rows_settle(&m->rows, newest_wins, &m->duplicates);
        if (r == 0)
                r = histogram_rows_settle(&m->histograms, &m->duplicates);
        if (r < 0 || (rows_count(&m->rows) == 0 && histogram_rows_count(&m->histograms) == 0))
                return r;
        r = part_writer_series(m->writer, (const uint8_t *)run->data, run->len);
        if (r < 0)
                return r;
        return m->choice->tier == STORE_RAW ? raw_rows_write(&m->rows, &m->histograms, m->writer)
                                            : rows_write(&m->rows, m->writer);
}

static int merge_series(Merge *m, Input *first) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        buf_put(&run, first->run.text, first->run.len);
        rows_reset(&m->rows);
        histogram_rows_reset(&m->histograms);
        int r = buf_error(&run);
        for (size_t i = 0; r == 0 && i < m->n_inputs; i++) {
                Input *in = &m->inputs[i];
                if (input_done(in) || in->run.len != run.len || memcmp(in->run.text, run.data, run.len) != 0)
                        continue;
                r = gather(m, in, &run);
                in->at++;
                if (r == 0)
                        r = input_read(in);
        }
        return r < 0 ? r : write_series(m, &run);
}

static int merge_open(Merge *m) {
        const Choice *c = m->choice;
        int r = 0;
        m->inputs = calloc(c->n, sizeof *m->inputs);
        if (!m->inputs)
                return -ENOMEM;
        for (; r == 0 && m->n_inputs < c->n; m->n_inputs++) {
                Input *in = &m->inputs[m->n_inputs];
                in->part = c->parts[m->n_inputs];
                in->n = part_meta(in->part->part)->series;
                r = part_cursor_new(in->part->part, &in->cursor);
                if (r == 0)
                        r = input_read(in);
        }
        return r;
}

/* An input with wrong bytes has given what was good of it. The file is kept, not read: an operator decides about it. */
static void put_aside(Manifest *next, uint64_t id) {
        for (size_t i = 0; i < next->n_parts; i++)
                if (next->parts[i].meta.id == id)
                        next->parts[i].quarantined = true;
}

static void name_damage(Store *s, const Choice *c) {
        for (size_t i = 0; i < c->n; i++) {
                PartDamage damage = { "" };
                if (!c->parts[i]->damaged)
                        continue;
                if (part_verify(c->parts[i]->part, &damage) == 0)
                        (void)snprintf(damage.text, sizeof damage.text, "part %llu: could not be read",
                                       (unsigned long long)c->parts[i]->entry.meta.id);
                store_count(s, &s->stats.damaged, 1);
                store_event(s, STORE_EVENT_DAMAGE, false, "%s; what is good of it was merged, the file is put aside",
                            damage.text);
        }
}

static int finish(Merge *m, Manifest *next, PartMeta *meta) {
        const Choice *c = m->choice;
        Store *s = m->store;
        int r = part_writer_finish(m->writer, meta);
        if (r < 0)
                return r;
        PartEntry entry = {
                .meta = *meta, .level = c->level, .final = c->final, .age = UINT64_MAX, .rolled = c->final
        };
        for (size_t i = 0; i < c->n; i++) {
                const PartEntry *e = &c->parts[i]->entry;
                entry.age = e->age < entry.age ? e->age : entry.age;
                entry.rolled = entry.rolled && e->rolled;
                if (c->parts[i]->damaged)
                        put_aside(next, e->meta.id);
                else
                        manifest_drop(next, e->meta.id);
        }
        if (c->tier == STORE_RAW && c->final && !entry.rolled)
                for (size_t i = 0; i < next->n_parts; i++)
                        /* The increases of the day after began from the last samples of this one. */
                        if (next->parts[i].meta.tier == STORE_RAW && next->parts[i].meta.begin_ms == c->end_ms)
                                next->parts[i].rolled = false;
        if (meta->series == 0) {
                char name[PART_NAME_MAX];
                part_name(meta->tier, meta->id, name);
                return vfs_unlink(s->vfs, name); /* all of it was deleted */
        }
        r = vfs_sync_directory(s->vfs);
        return r < 0 ? r : manifest_add(next, &entry);
}

static int merge(Store *s, const Choice *c) {
        CLEANUP(merge_deinit) Merge m = { .store = s, .choice = c, .catalog = catalog_ref(s->catalog) };
        CLEANUP(manifest_freep) Manifest *next = manifest_dup(s->manifest);
        char name[PART_NAME_MAX];
        uint64_t first_id = s->next_id;
        if (!next)
                return -ENOMEM;
        PartMeta meta = {
                .store = next->store, .id = s->next_id++, .tier = c->tier, .begin_ms = c->begin_ms, .end_ms = c->end_ms
        };
        part_name(meta.tier, meta.id, name);
        int r = merge_open(&m);
        if (r == 0)
                r = part_writer_new(s->vfs, name, &meta, c->final ? CODEC_SMALL : CODEC_FAST, &m.writer);
        for (Input *first; r == 0 && (first = first_input(&m));)
                r = merge_series(&m, first);
        if (r == 0)
                r = finish(&m, next, &meta);
        if (r == 0)
                r = keeper_commit(s, TAKE_PTR(next), false);
        if (r < 0) {
                keeper_abandon(s, first_id);
                return r;
        }
        name_damage(s, c);
        store_count(s, &s->stats.duplicates, m.duplicates);
        return 1;
}

int keeper_merge(Store *s, bool all) {
        Choice c;
        MonoTime began = store_mono(s);
        if (!choose(s, all, &c))
                return 0;
        uint64_t need = c.bytes;
        /* Never at the cost of what is merged, or of what is newer. */
        int r = keeper_make_room(s, c.tier, need, c.begin_ms);
        if (r == -EFBIG)
                return 0; /* no room for both at once: it stays as it is */
        if (r < 0 || !choose(s, all, &c) || c.bytes > need)
                return r; /* making room changed what there is */
        r = merge(s, &c);
        store_count(s, &s->stats.merges, r > 0);
        store_count(s, &s->stats.merge_ns, (uint64_t)mono_since(store_mono(s), began).ns);
        return r;
}
