/* Series by ordinal: a page from its beginning, each series as what differs from the one before. */
#include "store/part/part_priv.h"

#include "base/varint.h"

#include <assert.h>

#define NOWHERE UINT32_MAX

/* ---- a page of series ---- */

static bool get(SeriesWalk *w, uint64_t *ret_v) {
        return varint_get(&w->at, w->end, ret_v);
}

static int open_series_page(SeriesWalk *w, uint32_t page) {
        Span bytes;
        uint64_t values, chunk;
        w->page = NOWHERE;
        int r = part_series_page(w->p, page, &bytes);
        if (r < 0)
                return r;
        w->at = (const uint8_t *)bytes.text;
        w->end = w->at + bytes.len;
        if (!get(w, &values) || !get(w, &chunk) || chunk >= w->p->n_chunks)
                return -EBADMSG;
        *w = (SeriesWalk){ .p = w->p, .at = w->at, .end = w->end, .page = page, .next = page * SERIES_PAGE,
                           .values_end = values, .chunk = (uint32_t)chunk, .kind = CHUNK_FLOATS };
        return 0;
}

static int take_all_labels(SeriesWalk *w) {
        uint64_t n, v;
        if (!get(w, &n) || n == 0 || n > LABELS_MAX)
                return -EBADMSG;
        uint64_t id = 0;
        for (unsigned i = 0; i < n; i++) {
                if (!get(w, &v) || v >= w->p->n_pairs)
                        return -EBADMSG;
                id = i ? id + v + 1 : v;
                if (id >= w->p->n_pairs)
                        return -EBADMSG;
                w->ids[i] = (uint32_t)id;
        }
        w->n_ids = (unsigned)n;
        return 0;
}

static int take_changed_labels(SeriesWalk *w) {
        uint64_t mask, v;
        if (!get(w, &mask) || w->next % SERIES_PAGE == 0)
                return -EBADMSG;
        if (w->n_ids < LABELS_MAX && mask >> w->n_ids)
                return -EBADMSG;
        for (; mask; mask &= mask - 1) {
                unsigned i = (unsigned)__builtin_ctzll(mask);
                if (!get(w, &v))
                        return -EBADMSG;
                uint64_t id = (uint64_t)w->ids[i] + (uint64_t)unzigzag(v);
                if (id >= w->p->n_pairs)
                        return -EBADMSG;
                w->ids[i] = (uint32_t)id;
        }
        return 0;
}

static int check_ascending(const SeriesWalk *w) {
        for (unsigned i = 1; i < w->n_ids; i++)
                if (w->ids[i] <= w->ids[i - 1])
                        return -EBADMSG;
        return 0;
}

/* What the page says of a chunk, with what the table of times says of its instants. */
static int fill_chunk(const SeriesWalk *w, uint64_t at, uint64_t len, PartChunk *ret_chunk) {
        TimeEntry e;
        int r = part_time_entry(w->p, w->time, &e);
        if (r < 0)
                return r;
        if (len > UINT32_MAX || !part_in_columns(w->p, at, len))
                return -EBADMSG;
        *ret_chunk = (PartChunk){
                .kind = (ChunkKind)w->kind, .columns = w->columns, .n = e.n, .min_ms = e.min_ms, .max_ms = e.max_ms,
                .time_at = e.at, .time_len = e.len, .values_at = at, .values_len = (uint32_t)len, .number = w->chunk,
                .time_number = w->time,
        };
        return 0;
}

static int take_kind(SeriesWalk *w) {
        uint64_t v;
        if (!get(w, &v) || v >> 2 >= 1u << ROLLUP_COLUMN_COUNT)
                return -EBADMSG;
        w->kind = v & 3;
        w->columns = (uint8_t)(v >> 2);
        return w->kind > CHUNK_ROLLUP || (w->kind == CHUNK_ROLLUP) != (w->columns != 0) ? -EBADMSG : 0;
}

static int take_chunk(SeriesWalk *w, Buf *ret_chunks) {
        uint64_t head, gap = 0, len;
        PartChunk c;
        if (!get(w, &head) || ((head & CHUNK_GAP) && !get(w, &gap)))
                return -EBADMSG;
        if ((head & CHUNK_OTHER_KIND) && take_kind(w) < 0)
                return -EBADMSG;
        uint64_t time = (uint64_t)w->time + (uint64_t)unzigzag(head >> 2), at = w->values_end + gap;
        if (!get(w, &len) || time >= w->p->n_times || w->chunk >= w->p->n_chunks)
                return -EBADMSG;
        w->time = (uint32_t)time;
        if (ret_chunks) {
                int r = fill_chunk(w, at, len, &c);
                if (r < 0)
                        return r;
                buf_put(ret_chunks, &c, sizeof c);
        }
        w->values_end = at + len;
        w->chunk++;
        return 0;
}

/* Chunks ascend and do not overlap. */
static int check_chunks(const PartChunk *chunks, size_t n) {
        for (size_t i = 1; i < n; i++)
                if (chunks[i].min_ms <= chunks[i - 1].max_ms)
                        return -EBADMSG;
        return 0;
}

static int take_series(SeriesWalk *w, Buf *ret_chunks) {
        uint64_t head, n = 1;
        if (w->at == w->end || !get(w, &head) || head > (SERIES_SAME | SERIES_ONE))
                return -EBADMSG;
        int r = head & SERIES_SAME ? take_changed_labels(w) : take_all_labels(w);
        if (r == 0)
                r = check_ascending(w);
        if (r < 0)
                return r;
        if (!(head & SERIES_ONE) && (!get(w, &n) || n == 0))
                return -EBADMSG;
        size_t before = ret_chunks ? ret_chunks->len : 0;
        for (uint64_t i = 0; i < n && r == 0; i++)
                r = take_chunk(w, ret_chunks); /* ends with the page's bytes at the latest */
        w->next++;
        if (r < 0 || !ret_chunks)
                return r;
        if (buf_error(ret_chunks))
                return buf_error(ret_chunks);
        return check_chunks((const PartChunk *)(ret_chunks->data + before), n);
}

int series_walk_to(SeriesWalk *w, uint32_t ordinal, Buf *ret_chunks) {
        assert(ordinal < w->p->meta.series);
        int r = 0;
        if (w->page != ordinal / SERIES_PAGE || ordinal < w->next)
                r = open_series_page(w, ordinal / SERIES_PAGE);
        while (r == 0 && w->next < ordinal)
                r = take_series(w, NULL);
        if (r == 0)
                r = take_series(w, ret_chunks);
        if (r < 0)
                w->page = NOWHERE;
        return r;
}

/* ---- runs ---- */

static size_t length_size(size_t n) {
        return n < 0x80 ? 1 : n < 0x4000 ? 2 : 3;
}

/* Appends the label of a pair. */
static int put_label(const Part *p, const PartName *name, uint32_t pair, Buf *out) {
        PairText text;
        int r = part_pair_text(p, name, pair, &text);
        if (r < 0)
                return r;
        size_t name_len = name->text.len, value_len = text.shared.len + text.rest.len;
        size_t body = 2 + length_size(name_len) + name_len + length_size(value_len) + value_len;
        uint8_t *at = (uint8_t *)buf_reserve(out, 1 + length_size(body) + body), *begin = at;
        if (!at)
                return buf_error(out);
        *at++ = 0x0a;
        at += varint_put(at, body);
        *at++ = 0x0a;
        at += varint_put(at, name_len);
        memcpy(at, name->text.text, name_len);
        at += name_len;
        *at++ = 0x12;
        at += varint_put(at, value_len);
        memcpy(at, text.shared.text, text.shared.len);
        at += text.shared.len;
        memcpy(at, text.rest.text, text.rest.len);
        out->len += (size_t)(at + text.rest.len - begin);
        return 0;
}

static int put_run(const SeriesWalk *w, Buf *ret_run) {
        const PartName *before = NULL;
        size_t begin = ret_run->len;
        for (unsigned i = 0; i < w->n_ids; i++) {
                const PartName *name = part_name_of(w->p, w->ids[i], before ? before + 1 : w->p->names);
                int r = name == before ? -EBADMSG : put_label(w->p, name, w->ids[i], ret_run);
                if (r < 0)
                        return r;
                before = name;
        }
        return ret_run->len - begin > LABEL_RUN_MAX ? -EBADMSG : 0;
}

int part_series(const Part *p, uint32_t ordinal, Buf *ret_run, Buf *ret_chunks) {
        SeriesWalk w;
        w.p = p;
        w.page = NOWHERE;
        int r = series_walk_to(&w, ordinal, ret_chunks);
        return r < 0 || !ret_run ? r : put_run(&w, ret_run);
}

/* ---- the cursor ---- */

#define CACHE_PAIRS 1024u
#define CACHE_BYTES ((size_t)64 << 10)

/* Labels that were made lately: the same few hundred come again with every metric. */
typedef struct CachedLabel {
        uint32_t pair; /* + 1; 0: none */
        uint32_t at, len;
} CachedLabel;

typedef struct LabelCache {
        CachedLabel entries[CACHE_PAIRS];
        Buf text;
} LabelCache;

struct PartCursor {
        LabelCache cache;
        SeriesWalk walk;
        Buf chunks, run;
        /* The series that `run` is of: its pairs, their names, where each label ends. */
        uint32_t ids[LABELS_MAX];
        const PartName *names[LABELS_MAX];
        uint32_t ends[LABELS_MAX];
        unsigned n;
        Buf last; /* the run before */
};

int part_cursor_new(const Part *p, PartCursor **ret_cursor) {
        PartCursor *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->walk.p = p;
        c->walk.page = NOWHERE;
        *ret_cursor = c;
        return 0;
}

PartCursor *part_cursor_free(PartCursor *c) {
        if (!c)
                return NULL;
        buf_deinit(&c->chunks);
        buf_deinit(&c->run);
        buf_deinit(&c->last);
        buf_deinit(&c->cache.text);
        free(c);
        return NULL;
}

static void cache_label(LabelCache *cache, uint32_t pair, const char *label, size_t len) {
        if (cache->text.len + len > CACHE_BYTES) {
                memset(cache->entries, 0, sizeof cache->entries);
                buf_reset(&cache->text);
        }
        size_t at = cache->text.len;
        buf_put(&cache->text, label, len);
        if (cache->text.len == at + len)
                cache->entries[pair % CACHE_PAIRS] = (CachedLabel){ pair + 1, (uint32_t)at, (uint32_t)len };
}

/* As put_label() into c->run. */
static int put_cached_label(PartCursor *c, const PartName *name, uint32_t pair) {
        const CachedLabel *e = &c->cache.entries[pair % CACHE_PAIRS];
        size_t begin = c->run.len;
        if (e->pair == pair + 1) {
                buf_put(&c->run, c->cache.text.data + e->at, e->len);
                return buf_error(&c->run);
        }
        int r = put_label(c->walk.p, name, pair, &c->run);
        if (r == 0)
                cache_label(&c->cache, pair, c->run.data + begin, c->run.len - begin);
        return r;
}

/* Makes the run of the series that the walk is at: labels that the one before had at the same place are copied. */
static int cursor_run(PartCursor *c) {
        const SeriesWalk *w = &c->walk;
        Buf last = c->run;
        c->run = c->last;
        c->last = last;
        buf_reset(&c->run);
        uint32_t begin = 0; /* of label i in the last run */
        for (unsigned i = 0; i < w->n_ids; i++) {
                bool had = i < c->n;
                uint32_t end = had ? c->ends[i] : 0;
                /* Most often that of the label at the same place in the series before. */
                const PartName *name = part_name_of(w->p, w->ids[i], had ? c->names[i] : NULL);
                int r = i && c->names[i - 1] == name ? -EBADMSG : 0;
                if (r == 0 && had && c->ids[i] == w->ids[i])
                        buf_put(&c->run, c->last.data + begin, end - begin);
                else if (r == 0)
                        r = put_cached_label(c, name, w->ids[i]);
                if (r < 0)
                        return r;
                c->ids[i] = w->ids[i];
                c->names[i] = name;
                c->ends[i] = (uint32_t)c->run.len;
                begin = end;
        }
        c->n = w->n_ids;
        if (buf_error(&c->run))
                return buf_error(&c->run);
        return c->run.len > LABEL_RUN_MAX ? -EBADMSG : 0;
}

int part_cursor_series(PartCursor *c, uint32_t ordinal, Span *ret_run, const PartChunk **ret_chunks, size_t *ret_n) {
        buf_reset(&c->chunks);
        int r = series_walk_to(&c->walk, ordinal, &c->chunks);
        if (r == 0)
                r = cursor_run(c);
        if (r < 0) {
                c->n = 0; /* its last run is half of one */
                return r;
        }
        *ret_run = (Span){ c->run.data, c->run.len };
        *ret_chunks = (const PartChunk *)c->chunks.data;
        *ret_n = c->chunks.len / sizeof **ret_chunks;
        return 0;
}
