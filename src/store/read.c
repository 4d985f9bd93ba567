/* Views and lists. A view holds a catalog (so its files stay) and the generations of the head that were there; a list
 * has the series that were asked for, in order, each with the places where its samples are:
 *
 *      StoreList ── entries[i] ── run
 *                        └─ sources[first .. first + n) ── (part, its chunks) | (generation, ref)
 *
 * Parts are read from their maps without any lock, and so are the labels of the head, which does not forget a series
 * while a view is open; samples of the head are copied out under the lock, a series at a time. Sources are in the order
 * in which they were written, so that of two samples of one instant the first written is kept (of rollups, the
 * last). */
#include "store/rows.h"
#include "store/store_priv.h"

#include <assert.h>

struct StoreView {
        Store *store;
        Catalog *catalog;
        Generation *frozen, *current; /* frozen may be NULL; both are in a view of parts alone */
};

typedef struct ListSource {
        OpenPart *part;      /* NULL: the head */
        const Generation *generation;
        uint32_t ref;
        uint32_t n_chunks;
        size_t first_chunk;  /* in the list's chunks */
} ListSource;

typedef struct ListEntry {
        size_t run;
        uint32_t run_len;
        uint32_t n_sources;
        size_t first_source;
        uint64_t graves; /* bits of the catalog's graves that concern it; beyond 64 they are looked at one by one */
} ListEntry;

struct StoreList {
        StoreView *view; /* borrowed: closed after */
        StoreTier tier;
        int64_t begin_ms, end_ms;
        Buf entries, sources, chunks, runs;
        size_t n;
};

/* ---- Views ---- */

static int view_open(Store *s, bool head, StoreView **ret_view) {
        StoreView *v = calloc(1, sizeof *v);
        if (!v)
                return -ENOMEM;
        LOCK_SCOPE(&s->lock);
        v->store = s;
        v->catalog = catalog_ref(s->catalog);
        v->current = head ? generation_ref(s->head.current) : NULL;
        v->frozen = head && s->head.frozen ? generation_ref(s->head.frozen) : NULL;
        s->views++;
        *ret_view = v;
        return 0;
}

int store_view_open(Store *s, StoreView **ret_view) {
        return view_open(s, true, ret_view);
}

int view_open_parts(Store *s, StoreView **ret_view) {
        return view_open(s, false, ret_view);
}

StoreView *store_view_close(StoreView *v) {
        if (!v)
                return NULL;
        lock(&v->store->lock);
        v->store->views--;
        v->current = generation_unref(v->current);
        v->frozen = generation_unref(v->frozen);
        unlock(&v->store->lock);
        v->catalog = catalog_unref(v->catalog);
        free(v);
        return NULL;
}

Store *view_store(StoreView *v) {
        return v->store;
}

const Catalog *view_catalog(const StoreView *v) {
        return v->catalog;
}

void view_damage(StoreView *v, OpenPart *p, const char *what) {
        if (atomic_exchange(&p->damaged, true))
                return;
        store_count(v->store, &v->store->stats.damaged, 1);
        store_event(v->store, STORE_EVENT_DAMAGE, false, "part %llu: %s; `parallax store verify` says where",
                    (unsigned long long)p->entry.meta.id, what);
}

/* ---- Selecting ---- */

/* One source's series under way: its ordinals or refs, in the order of their labels. */
typedef struct Stream {
        OpenPart *part;
        const Generation *generation;
        Buf numbers; /* uint32_t */
        size_t at;
        PartCursor *cursor;      /* of a part */
        Buf head_run;            /* of the head: where its run lies */
        Span run;                /* of the series at `at` */
        const PartChunk *chunks; /* and its chunks */
        size_t n_chunks;
        bool ready;
} Stream;

typedef struct Select {
        StoreView *view;
        StoreList *list;
        const StoreLimits *limits;
        Stream *streams;
        size_t n_streams;
} Select;

static void select_deinit(Select *x) {
        for (size_t i = 0; i < x->n_streams; i++) {
                buf_deinit(&x->streams[i].numbers);
                buf_deinit(&x->streams[i].head_run);
                x->streams[i].cursor = part_cursor_free(x->streams[i].cursor);
        }
        free(x->streams);
}

static size_t stream_count(const Stream *t) {
        return t->numbers.len / sizeof(uint32_t);
}

static uint32_t stream_number(const Stream *t) {
        uint32_t number;
        memcpy(&number, t->numbers.data + t->at * sizeof number, sizeof number);
        return number;
}

static bool chunk_in(const PartChunk *c, int64_t begin_ms, int64_t end_ms) {
        return c->min_ms <= end_ms && c->max_ms > begin_ms;
}

static bool any_chunk_in(const Stream *t, int64_t begin_ms, int64_t end_ms) {
        for (size_t i = 0; i < t->n_chunks; i++)
                if (chunk_in(&t->chunks[i], begin_ms, end_ms))
                        return true;
        return false;
}

static int stream_read(Select *x, Stream *t) {
        if (t->part)
                return part_cursor_series(t->cursor, stream_number(t), &t->run, &t->chunks, &t->n_chunks);
        buf_reset(&t->head_run);
        index_run(x->view->store->head.index, stream_number(t), &t->head_run);
        t->run = (Span){ t->head_run.data, t->head_run.len };
        return buf_error(&t->head_run);
}

/* Moves to the next series that has something; the stream is not ready at its end. */
static int stream_step(Select *x, Stream *t) {
        const StoreList *l = x->list;
        t->ready = false;
        for (; t->at < stream_count(t); t->at++) {
                int r = stream_read(x, t);
                if (r == -EBADMSG)
                        view_damage(x->view, t->part, "a page of the index is damaged");
                else if (r < 0)
                        return r;
                else if (!t->part || any_chunk_in(t, l->begin_ms, l->end_ms)) {
                        t->ready = true;
                        return 0;
                }
        }
        return 0;
}

static int stream_compare(const Stream *a, const Stream *b) {
        return labels_compare((const uint8_t *)a->run.text, a->run.len, (const uint8_t *)b->run.text, b->run.len);
}

static int add_source(Select *x, Stream *t) {
        StoreList *l = x->list;
        ListSource source = { .part = t->part, .generation = t->generation, .ref = stream_number(t),
                              .first_chunk = l->chunks.len / sizeof(PartChunk) };
        for (size_t i = 0; t->part && i < t->n_chunks; i++)
                if (chunk_in(&t->chunks[i], l->begin_ms, l->end_ms)) {
                        buf_put(&l->chunks, &t->chunks[i], sizeof t->chunks[i]);
                        source.n_chunks++;
                }
        buf_put(&l->sources, &source, sizeof source);
        t->at++;
        return stream_step(x, t);
}

static uint64_t graves_of(const Catalog *c, const uint8_t *run, size_t len) {
        uint64_t bits = 0;
        for (size_t i = 0; i < c->n_graves && i < 64; i++)
                if (matchers_hold(c->graves[i].matchers, c->graves[i].n_matchers, run, len))
                        bits |= UINT64_C(1) << i;
        return bits;
}

static int add_entry(Select *x, const Stream *first) {
        StoreList *l = x->list;
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        buf_put(&run, first->run.text, first->run.len);
        ListEntry e = { .run = l->runs.len,
                        .run_len = (uint32_t)run.len,
                        .first_source = l->sources.len / sizeof(ListSource),
                        .graves = graves_of(x->view->catalog, (const uint8_t *)run.data, run.len) };
        buf_put(&l->runs, run.data, run.len);
        int r = buf_error(&run);
        for (size_t i = 0; r == 0 && i < x->n_streams; i++) {
                Stream *t = &x->streams[i];
                if (t->ready && t->run.len == run.len && memcmp(t->run.text, run.data, run.len) == 0) {
                        e.n_sources++;
                        r = add_source(x, t);
                }
        }
        buf_put(&l->entries, &e, sizeof e);
        l->n++;
        if (r == 0 && (l->n > x->limits->max_series ||
                       l->entries.len + l->sources.len + l->chunks.len + l->runs.len > x->limits->max_bytes))
                return -E2BIG;
        return r < 0 ? r
               : buf_error(&l->entries) || buf_error(&l->sources) || buf_error(&l->chunks) || buf_error(&l->runs)
                       ? -ENOMEM
                       : 0;
}

/* Streams side by side, always the smallest first. They are few, so looking at each is as quick as a heap. */
static int merge_streams(Select *x) {
        for (;;) {
                const Stream *first = NULL;
                for (size_t i = 0; i < x->n_streams; i++)
                        if (x->streams[i].ready && (!first || stream_compare(&x->streams[i], first) < 0))
                                first = &x->streams[i];
                if (!first)
                        return 0;
                int r = add_entry(x, first);
                if (r < 0)
                        return r;
        }
}

typedef struct RefRun {
        uint32_t ref;
        uint32_t len;
        size_t at;
} RefRun;

static int compare_refs(const void *a, const void *b, void *context) {
        const RefRun *x = a, *y = b;
        const Buf *runs = context;
        return labels_compare((const uint8_t *)runs->data + x->at, x->len, (const uint8_t *)runs->data + y->at, y->len);
}

/* Refs in the order of their labels, those without samples in the range left out. */
static int order_refs(const Select *x, const Generation *g, const Buf *refs, Buf *ret_refs) {
        const Head *h = &x->view->store->head;
        CLEANUP(buf_deinit) Buf runs = BUF_NULL, list = BUF_NULL;
        size_t n = refs->len / sizeof(uint32_t);
        for (size_t i = 0; i < n; i++) {
                RefRun r = { .at = runs.len };
                int64_t min, max;
                memcpy(&r.ref, refs->data + i * sizeof r.ref, sizeof r.ref);
                if (!head_range(h, g, r.ref, &min, &max) || min > x->list->end_ms || max <= x->list->begin_ms)
                        continue;
                index_run(h->index, r.ref, &runs);
                r.len = (uint32_t)(runs.len - r.at);
                buf_put(&list, &r, sizeof r);
        }
        if (buf_error(&runs) || buf_error(&list))
                return -ENOMEM;
        RefRun *at = (RefRun *)(void *)list.data;
        n = list.len / sizeof *at;
        if (n)
                qsort_r(at, n, sizeof *at, compare_refs, &runs);
        for (size_t i = 0; i < n; i++)
                buf_put(ret_refs, &at[i].ref, sizeof at[i].ref);
        return buf_error(ret_refs);
}

static int open_head(Select *x, const Matcher *matchers, size_t n) {
        const Generation *both[] = { x->view->frozen, x->view->current };
        CLEANUP(buf_deinit) Buf refs = BUF_NULL;
        LOCK_SCOPE(&x->view->store->lock);
        int r = index_select(x->view->store->head.index, matchers, n, &refs);
        for (size_t i = 0; r == 0 && i < ARRAY_LEN(both); i++) {
                if (!both[i] || both[i]->min_ms > x->list->end_ms || both[i]->max_ms <= x->list->begin_ms)
                        continue;
                Stream *t = &x->streams[x->n_streams++];
                t->generation = both[i];
                r = order_refs(x, both[i], &refs, &t->numbers);
                if (r == 0)
                        r = stream_step(x, t);
        }
        return r;
}

static int open_streams(Select *x, const Matcher *matchers, size_t n) {
        const Catalog *c = x->view->catalog;
        const StoreList *l = x->list;
        x->streams = calloc(c->n_parts + 2, sizeof *x->streams);
        if (!x->streams)
                return -ENOMEM;
        for (size_t i = 0; i < c->n_parts; i++) {
                OpenPart *p = c->parts[i];
                const PartMeta *m = &p->entry.meta;
                if (m->tier != l->tier || m->min_ms > l->end_ms || m->max_ms <= l->begin_ms)
                        continue;
                Stream *t = &x->streams[x->n_streams++];
                t->part = p;
                int r = part_select(p->part, matchers, n, &t->numbers);
                if (r == -EBADMSG) {
                        view_damage(x->view, p, "its index is damaged");
                        buf_reset(&t->numbers);
                        r = 0;
                }
                if (r == 0)
                        r = part_cursor_new(p->part, &t->cursor);
                if (r == 0)
                        r = stream_step(x, t);
                if (r < 0)
                        return r;
        }
        return l->tier == STORE_RAW && x->view->current ? open_head(x, matchers, n) : 0;
}

StoreList *store_list_free(StoreList *l) {
        if (!l)
                return NULL;
        buf_deinit(&l->entries);
        buf_deinit(&l->sources);
        buf_deinit(&l->chunks);
        buf_deinit(&l->runs);
        free(l);
        return NULL;
}

static void list_freep(StoreList **l) {
        *l = store_list_free(*l);
}

int store_select(StoreView *v, StoreTier tier, const Matcher *matchers, size_t n_matchers, int64_t begin_ms,
                 int64_t end_ms, const StoreLimits *limits, StoreList **ret_list) {
        CLEANUP(list_freep) StoreList *l = calloc(1, sizeof *l);
        if (!l)
                return -ENOMEM;
        *l = (StoreList){ .view = v, .tier = tier, .begin_ms = begin_ms, .end_ms = end_ms };
        Buf *bufs[] = { &l->entries, &l->sources, &l->chunks, &l->runs };
        for (size_t i = 0; i < ARRAY_LEN(bufs); i++)
                bufs[i]->limit = limits->max_bytes < SIZE_MAX / 2 ? limits->max_bytes + (1 << 20) : SIZE_MAX / 2;
        CLEANUP(select_deinit) Select x = { .view = v, .list = l, .limits = limits };
        int r = open_streams(&x, matchers, n_matchers);
        if (r == 0)
                r = merge_streams(&x);
        if (r == 0)
                *ret_list = TAKE_PTR(l);
        return r;
}

size_t store_list_count(const StoreList *l) {
        return l->n;
}

static const ListEntry *entry_at(const StoreList *l, size_t i) {
        assert(i < l->n);
        return (const ListEntry *)(const void *)l->entries.data + i;
}

const uint8_t *store_list_run(const StoreList *l, size_t i, size_t *ret_len) {
        const ListEntry *e = entry_at(l, i);
        *ret_len = e->run_len;
        return (const uint8_t *)l->runs.data + e->run;
}

/* ---- Samples ---- */

void store_samples_deinit(StoreSamples *x) {
        free(x->times);
        free(x->values);
        *x = (StoreSamples){ 0 };
}

static int samples_reserve(StoreSamples *x, size_t more) {
        if (x->n + more <= x->cap)
                return 0;
        size_t cap = x->n + more + x->cap / 2;
        int64_t *times = realloc(x->times, cap * sizeof *times);
        if (times)
                x->times = times;
        double *values = realloc(x->values, cap * sizeof *values);
        if (values)
                x->values = values;
        if (!times || !values)
                return -ENOMEM;
        x->cap = cap;
        return 0;
}

/* Takes away what a tombstone covers, from sample `from` on. */
static void samples_delete(StoreSamples *x, size_t from, int64_t begin_ms, int64_t end_ms) {
        size_t to = from;
        for (size_t i = from; i < x->n; i++)
                if (x->times[i] <= begin_ms || x->times[i] > end_ms) {
                        x->times[to] = x->times[i];
                        x->values[to++] = x->values[i];
                }
        x->n = to;
}

static bool grave_concerns(const StoreList *l, const ListEntry *e, size_t grave) {
        const Grave *g = &l->view->catalog->graves[grave];
        if (grave < 64)
                return e->graves & UINT64_C(1) << grave;
        return matchers_hold(g->matchers, g->n_matchers, (const uint8_t *)l->runs.data + e->run, e->run_len);
}

static int read_part(const StoreList *l, const ListEntry *e, const ListSource *source, RollupColumn column,
                     int64_t begin_ms, int64_t end_ms, StoreSamples *x) {
        const PartChunk *chunks = (const PartChunk *)(const void *)l->chunks.data + source->first_chunk;
        const Catalog *c = l->view->catalog;
        size_t from = x->n;
        for (uint32_t i = 0; i < source->n_chunks; i++) {
                uint32_t n = 0;
                bool floats = chunks[i].kind == CHUNK_FLOATS ||
                              (chunks[i].kind == CHUNK_ROLLUP && chunks[i].columns & 1u << column);
                if (!floats || !chunk_in(&chunks[i], begin_ms, end_ms))
                        continue;
                int r = samples_reserve(x, chunks[i].n);
                if (r == 0)
                        r = part_floats(source->part->part, &chunks[i],
                                        chunks[i].kind == CHUNK_FLOATS ? (RollupColumn)0 : column, begin_ms, end_ms,
                                        x->times + x->n, x->values + x->n, &n);
                if (r == -EBADMSG)
                        view_damage(l->view, source->part, "a column of samples is damaged");
                else if (r < 0)
                        return r;
                x->n += r == 0 ? n : 0;
        }
        for (size_t i = 0; i < c->n_graves; i++)
                if (source->part->entry.meta.id < c->graves[i].below_part && grave_concerns(l, e, i))
                        samples_delete(x, from, c->graves[i].begin_ms, deleted_end(l->tier, c->graves[i].end_ms));
        return 0;
}

static int read_head(const StoreList *l, const ListSource *source, int64_t begin_ms, int64_t end_ms, StoreSamples *x) {
        Store *s = l->view->store;
        CLEANUP(buf_deinit) Buf times = BUF_NULL, values = BUF_NULL;
        lock(&s->lock);
        int r = head_read(&s->head, source->generation, source->ref, begin_ms, end_ms, &times, &values);
        unlock(&s->lock);
        size_t n = times.len / sizeof(int64_t);
        if (r == 0)
                r = samples_reserve(x, n);
        if (r < 0 || n == 0)
                return r;
        memcpy(x->times + x->n, times.data, times.len);
        memcpy(x->values + x->n, values.data, values.len);
        x->n += n;
        return 0;
}

/* Sources that overlap: the slow way, through rows. */
static int settle(StoreSamples *x, bool last_wins) {
        CLEANUP(rows_deinit) Rows rows = { .mask = 1 };
        uint64_t duplicates = 0;
        buf_put(&rows.times, x->times, x->n * sizeof *x->times);
        buf_put(&rows.columns[0], x->values, x->n * sizeof *x->values);
        int r = buf_error(&rows.columns[0]);
        if (r == 0)
                r = rows_settle(&rows, last_wins, &duplicates);
        if (r < 0)
                return r;
        x->n = rows_count(&rows);
        memcpy(x->times, rows.times.data, rows.times.len);
        memcpy(x->values, rows.columns[0].data, rows.columns[0].len);
        return 0;
}

int list_floats_between(const StoreList *l, size_t i, RollupColumn column, int64_t begin_ms, int64_t end_ms,
                        StoreSamples *x) {
        const ListEntry *e = entry_at(l, i);
        const ListSource *sources = (const ListSource *)(const void *)l->sources.data + e->first_source;
        bool ascending = true;
        x->n = 0;
        for (uint32_t k = 0; k < e->n_sources; k++) {
                size_t before = x->n;
                int r = sources[k].part ? read_part(l, e, &sources[k], column, begin_ms, end_ms, x)
                                        : read_head(l, &sources[k], begin_ms, end_ms, x);
                if (r < 0)
                        return r;
                ascending = ascending && (before == 0 || before == x->n || x->times[before] > x->times[before - 1]);
        }
        return ascending ? 0 : settle(x, l->tier != STORE_RAW);
}

int store_list_floats(const StoreList *l, size_t i, RollupColumn column, StoreSamples *x) {
        return list_floats_between(l, i, column, l->begin_ms, l->end_ms, x);
}

/* ---- Histograms ---- */

void store_histograms_deinit(StoreHistograms *x) {
        free(x->times);
        free(x->offsets);
        buf_deinit(&x->bytes);
        *x = (StoreHistograms){ 0 };
}

static int head_histograms(const StoreList *l, const ListSource *source, HistogramRows *rows) {
        Store *s = l->view->store;
        LOCK_SCOPE(&s->lock);
        const Aside *a = head_aside(&s->head, source->generation, source->ref);
        for (uint32_t i = 0; a && i < a->n_histograms; i++) {
                uint32_t at = (uint32_t)rows->bytes.len, begin = a->histogram_offsets[i];
                if (a->histogram_times[i] <= l->begin_ms || a->histogram_times[i] > l->end_ms)
                        continue;
                buf_put(&rows->times, &a->histogram_times[i], sizeof *a->histogram_times);
                buf_put(&rows->offsets, &at, sizeof at);
                buf_put(&rows->bytes, a->bytes.data + begin, a->histogram_offsets[i + 1] - begin);
        }
        return buf_error(&rows->bytes);
}

static int part_histogram_rows(const StoreList *l, const ListEntry *e, const ListSource *source, HistogramRows *rows) {
        const PartChunk *chunks = (const PartChunk *)(const void *)l->chunks.data + source->first_chunk;
        const Catalog *c = l->view->catalog;
        size_t from = histogram_rows_count(rows);
        for (uint32_t i = 0; i < source->n_chunks; i++) {
                if (chunks[i].kind != CHUNK_HISTOGRAMS)
                        continue;
                int r = histogram_rows_add(rows, source->part->part, &chunks[i], l->begin_ms, l->end_ms);
                if (r == -EBADMSG)
                        view_damage(l->view, source->part, "a column of histograms is damaged");
                else if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < c->n_graves; i++)
                if (source->part->entry.meta.id < c->graves[i].below_part && grave_concerns(l, e, i))
                        histogram_rows_delete(rows, from, c->graves[i].begin_ms, c->graves[i].end_ms);
        return 0;
}

static int take_histograms(HistogramRows *rows, StoreHistograms *x) {
        size_t n = histogram_rows_count(rows);
        if (n > x->cap || !x->offsets) {
                int64_t *times = realloc(x->times, (n + 1) * sizeof *times);
                if (times)
                        x->times = times;
                uint32_t *offsets = realloc(x->offsets, (n + 1) * sizeof *offsets);
                if (offsets)
                        x->offsets = offsets;
                if (!times || !offsets)
                        return -ENOMEM;
                x->cap = n;
        }
        if (n) {
                memcpy(x->times, rows->times.data, rows->times.len);
                memcpy(x->offsets, rows->offsets.data, rows->offsets.len);
        }
        x->offsets[n] = (uint32_t)rows->bytes.len;
        x->n = n;
        buf_deinit(&x->bytes);
        x->bytes = rows->bytes;
        rows->bytes = BUF_NULL;
        return 0;
}

int store_list_histograms(const StoreList *l, size_t i, StoreHistograms *x) {
        const ListEntry *e = entry_at(l, i);
        const ListSource *sources = (const ListSource *)(const void *)l->sources.data + e->first_source;
        CLEANUP(histogram_rows_deinit) HistogramRows rows = { 0 };
        uint64_t duplicates = 0;
        int r = 0;
        for (uint32_t k = 0; r == 0 && k < e->n_sources; k++)
                r = sources[k].part ? part_histogram_rows(l, e, &sources[k], &rows)
                                    : head_histograms(l, &sources[k], &rows);
        if (r == 0)
                r = histogram_rows_settle(&rows, &duplicates);
        return r < 0 ? r : take_histograms(&rows, x);
}
