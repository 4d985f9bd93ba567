/* Everything behind the columns. Pairs get their final numbers by sorting; lists of series come out of one counting
 * sort of all labels of all series by pair; pages are built one after the other, lists that are not in a page go to the
 * file before the pages that point to them. */
#include "store/part/writer_priv.h"

#include "base/varint.h"
#include "store/part/postings.h"

#include <assert.h>

#define INDEX_LIMIT ((size_t)UINT32_MAX) /* of a section with pages; their offsets are 32 bits in memory */

typedef struct IndexBuild {
        PartWriter *w;
        uint32_t *order;   /* pair of the file -> number in w->pairs */
        uint32_t *begins;  /* pair of the file -> its first place in `ordinals`; one more than pairs */
        uint32_t *ordinals;
        Buf label_pages, names, directory;
        uint32_t n_names, n_label_pages;
        uint64_t lengths[SECTION_COUNT];
} IndexBuild;

static void build_deinit(IndexBuild *b) {
        free(b->order);
        free(b->begins);
        free(b->ordinals);
        buf_deinit(&b->label_pages);
        buf_deinit(&b->names);
        buf_deinit(&b->directory);
}

static void put_varint(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

static uint32_t n_series(const PartWriter *w) {
        return (uint32_t)(w->series.len / sizeof(SeriesNote));
}

/* Renumbers the pairs of all series: w->ids has the numbers of the file from now on. */
static int sort_pairs(IndexBuild *b) {
        PartWriter *w = b->w;
        size_t n = w->pairs.n, n_ids = w->ids.len / sizeof(uint32_t);
        b->order = calloc(n + 1, sizeof *b->order);
        CLEANUP_FREE uint32_t *rank = calloc(n + 1, sizeof *rank);
        if (!b->order || !rank)
                return -ENOMEM;
        int r = pair_table_sort(&w->pairs, b->order);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < n; i++)
                rank[b->order[i]] = i;
        uint32_t *ids = (uint32_t *)w->ids.data;
        for (size_t i = 0; i < n_ids; i++)
                ids[i] = rank[ids[i]];
        return 0;
}

static int collect_ordinals(IndexBuild *b) {
        PartWriter *w = b->w;
        size_t n = w->pairs.n, n_ids = w->ids.len / sizeof(uint32_t);
        if (n_ids > UINT32_MAX)
                return -EFBIG;
        b->begins = calloc(n + 1, sizeof *b->begins);
        b->ordinals = calloc(n_ids + 1, sizeof *b->ordinals);
        CLEANUP_FREE uint32_t *next = calloc(n + 1, sizeof *next);
        if (!b->begins || !b->ordinals || !next)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                next[i + 1] = b->begins[i + 1] = b->begins[i] + w->pairs.pairs[b->order[i]].uses;
        assert(b->begins[n] == n_ids);
        const SeriesNote *series = (const SeriesNote *)w->series.data;
        const uint32_t *id = (const uint32_t *)w->ids.data;
        for (uint32_t s = 0; s < n_series(w); s++)
                for (unsigned k = 0; k < series[s].labels; k++)
                        b->ordinals[next[*id++]++] = s;
        return 0;
}

/* ---- series ---- */

typedef struct SeriesState {
        const uint32_t *ids, *before; /* of this series and the one before */
        unsigned n_before;
        const ChunkNote *chunk;
        uint64_t values_end;
        uint32_t time;
        uint8_t kind, columns;
} SeriesState;

static bool same_names(const IndexBuild *b, const SeriesState *s, unsigned n) {
        if (n != s->n_before)
                return false;
        for (unsigned i = 0; i < n; i++) {
                if (s->ids[i] == s->before[i])
                        continue;
                Span x = pair_name(&b->w->pairs, b->order[s->ids[i]]),
                     y = pair_name(&b->w->pairs, b->order[s->before[i]]);
                if (x.len != y.len || memcmp(x.text, y.text, x.len) != 0)
                        return false;
        }
        return true;
}

static uint8_t *put_labels(const SeriesState *s, unsigned n, bool same, uint8_t *at) {
        if (!same) {
                at += varint_put(at, n);
                for (unsigned i = 0; i < n; i++)
                        at += varint_put(at, i ? s->ids[i] - s->ids[i - 1] - 1 : s->ids[0]);
                return at;
        }
        uint64_t mask = 0;
        for (unsigned i = 0; i < n; i++)
                mask |= (uint64_t)(s->ids[i] != s->before[i]) << i;
        at += varint_put(at, mask);
        for (; mask; mask &= mask - 1) {
                unsigned i = (unsigned)__builtin_ctzll(mask);
                at += varint_put(at, zigzag((int64_t)s->ids[i] - s->before[i]));
        }
        return at;
}

static uint8_t *put_chunk(SeriesState *s, uint8_t *at) {
        const ChunkNote *c = s->chunk++;
        uint64_t gap = c->at - s->values_end;
        bool other = c->kind != s->kind || c->columns != s->columns;
        uint64_t head = zigzag((int64_t)c->time - s->time) << 2;
        at += varint_put(at, head | (other ? CHUNK_OTHER_KIND : 0) | (gap ? CHUNK_GAP : 0));
        if (gap)
                at += varint_put(at, gap);
        if (other)
                at += varint_put(at, (uint64_t)c->columns << 2 | c->kind);
        at += varint_put(at, c->len);
        s->values_end = c->at + c->len;
        s->time = c->time;
        s->kind = c->kind;
        s->columns = c->columns;
        return at;
}

/* A series takes at most so much: its head and numbers, then each chunk. */
#define SERIES_ROOM ((size_t)(LABELS_MAX + 4) * VARINT_MAX)
#define CHUNK_ROOM ((size_t)4 * VARINT_MAX)

static void put_series(IndexBuild *b, SeriesState *s, const SeriesNote *note, Buf *out) {
        bool same = s->before && same_names(b, s, note->labels);
        size_t room = SERIES_ROOM + note->chunks * CHUNK_ROOM;
        uint8_t *begin = (uint8_t *)buf_reserve(out, room), *at = begin;
        if (!begin)
                return;
        at += varint_put(at, (same ? SERIES_SAME : 0) | (note->chunks == 1 ? SERIES_ONE : 0));
        at = put_labels(s, note->labels, same, at);
        if (note->chunks != 1)
                at += varint_put(at, note->chunks);
        for (uint32_t i = 0; i < note->chunks; i++)
                at = put_chunk(s, at);
        out->len += (size_t)(at - begin);
        s->before = s->ids;
        s->n_before = note->labels;
        s->ids += note->labels;
}

static int write_series_pages(IndexBuild *b) {
        PartWriter *w = b->w;
        const SeriesNote *series = (const SeriesNote *)w->series.data;
        const ChunkNote *chunks = (const ChunkNote *)w->chunks.data;
        SeriesState s = { .ids = (const uint32_t *)w->ids.data, .chunk = chunks };
        CLEANUP(buf_deinit) Buf page = BUF_WITH_LIMIT(INDEX_LIMIT);
        for (uint32_t first = 0, n = n_series(w), number = 0; first < n; first += SERIES_PAGE, number++) {
                uint32_t stop = n - first < SERIES_PAGE ? n : first + SERIES_PAGE;
                uint8_t crc[CRC_SIZE];
                buf_reset(&page);
                s.before = NULL;
                s.time = 0;
                s.kind = CHUNK_FLOATS;
                s.columns = 0;
                s.values_end = s.chunk->at;
                put_varint(&page, s.values_end);
                put_varint(&page, (uint64_t)(s.chunk - chunks));
                for (uint32_t i = first; i < stop; i++)
                        put_series(b, &s, &series[i], &page);
                if (buf_error(&page))
                        return buf_error(&page);
                store32(crc, crc32c(layout_seed(w->header_crc, SEED_SERIES, number), page.data, page.len));
                buf_put(&w->out.pending, crc, sizeof crc);
                buf_put(&w->out.pending, page.data, page.len);
                put_varint(&b->directory, page.len + CRC_SIZE);
                int r = part_output_flush(&w->out, false);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- labels and postings ---- */

static size_t shared_prefix(Span a, Span b) {
        size_t n = a.len < b.len ? a.len : b.len, i = 0;
        while (i < n && a.text[i] == b.text[i])
                i++;
        return i;
}

static Span value_of(const IndexBuild *b, uint32_t pair) {
        return pair_value(&b->w->pairs, b->order[pair]);
}

static Span name_of(const IndexBuild *b, uint32_t pair) {
        return pair_name(&b->w->pairs, b->order[pair]);
}

/* The pair's list: into `out` when it is short, else into the file. */
static void put_postings(IndexBuild *b, uint32_t pair, Buf *scratch, Buf *out) {
        PartOutput *o = &b->w->out;
        uint32_t begin = b->begins[pair];
        buf_reset(scratch);
        postings_encode(b->ordinals + begin, b->begins[pair + 1] - begin, scratch);
        if (buf_error(scratch)) {
                out->error = buf_error(scratch);
                return;
        }
        if (scratch->len <= POSTINGS_INLINE) {
                put_varint(out, (uint64_t)scratch->len << 1);
                buf_put(out, scratch->data, scratch->len);
                return;
        }
        put_varint(out, (uint64_t)(scratch->len + CRC_SIZE) << 1 | 1);
        uint64_t at = part_output_at(o);
        buf_put(&o->pending, scratch->data, scratch->len);
        part_output_seal(o, at, layout_seed(b->w->header_crc, SEED_POSTINGS, pair));
}

static void put_group(IndexBuild *b, uint32_t first, uint32_t stop, Buf *scratch, Buf *out) {
        Span head = value_of(b, first);
        for (uint32_t pair = first; pair < stop; pair++) {
                Span value = value_of(b, pair);
                size_t shared = pair == first ? 0 : shared_prefix(head, value);
                if (pair > first)
                        put_varint(out, shared);
                put_varint(out, value.len - shared);
                buf_put(out, value.text + shared, value.len - shared);
                put_postings(b, pair, scratch, out);
        }
}

/* Pairs [first, stop), which have one name, as a page. */
static int put_label_page(IndexBuild *b, uint32_t first, uint32_t stop, uint64_t postings_begin) {
        PartOutput *o = &b->w->out;
        CLEANUP(buf_deinit) Buf heads = BUF_NULL, body = BUF_NULL, scratch = BUF_WITH_LIMIT(INDEX_LIMIT);
        put_varint(&heads, part_output_at(o) - postings_begin);
        for (uint32_t at = first; at < stop; at += LABEL_GROUP) {
                size_t before = body.len;
                uint64_t lists = part_output_at(o);
                put_group(b, at, stop - at < LABEL_GROUP ? stop : at + LABEL_GROUP, &scratch, &body);
                uint8_t head[LABEL_GROUP_HEAD];
                if (part_output_at(o) - lists > UINT32_MAX)
                        return -EFBIG;
                store16(head, (uint16_t)(body.len - before));
                store32(head + 2, (uint32_t)(part_output_at(o) - lists));
                buf_put(&heads, head, sizeof head);
        }
        if (buf_error(&heads) || buf_error(&body))
                return buf_error(&heads) ? buf_error(&heads) : buf_error(&body);
        uint32_t crc = layout_seed(b->w->header_crc, SEED_LABELS, b->n_label_pages++);
        uint8_t sealed[CRC_SIZE];
        store32(sealed, crc32c(crc32c(crc, heads.data, heads.len), body.data, body.len));
        buf_put(&b->label_pages, sealed, sizeof sealed);
        buf_put(&b->label_pages, heads.data, heads.len);
        buf_put(&b->label_pages, body.data, body.len);
        put_varint(&b->directory, heads.len + body.len + CRC_SIZE);
        return part_output_flush(o, false);
}

static int put_name(IndexBuild *b, uint32_t first, uint32_t stop, uint64_t postings_begin) {
        Span name = name_of(b, first);
        put_varint(&b->names, name.len);
        buf_put(&b->names, name.text, name.len);
        put_varint(&b->names, stop - first);
        b->n_names++;
        for (uint32_t at = first; at < stop; at += LABEL_PAGE) {
                int r = put_label_page(b, at, stop - at < LABEL_PAGE ? stop : at + LABEL_PAGE, postings_begin);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_postings(IndexBuild *b) {
        uint64_t begin = part_output_at(&b->w->out);
        for (uint32_t first = 0, stop, n = b->w->pairs.n; first < n; first = stop) {
                Span name = name_of(b, first);
                for (stop = first + 1; stop < n; stop++) {
                        Span next = name_of(b, stop);
                        if (next.len != name.len || memcmp(next.text, name.text, name.len) != 0)
                                break;
                }
                int r = put_name(b, first, stop, begin);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- the rest ---- */

static int write_times(IndexBuild *b) {
        PartOutput *o = &b->w->out;
        const TimeTable *t = &b->w->times;
        for (uint32_t first = 0; first < t->n; first += TIME_PAGE) {
                uint64_t begin = part_output_at(o);
                for (uint32_t i = first; i < t->n && i < first + TIME_PAGE; i++) {
                        const TimeEntry *e = &t->entries[i];
                        uint8_t bytes[TIME_ENTRY];
                        store64(bytes, e->at);
                        store64(bytes + 8, (uint64_t)e->min_ms);
                        store64(bytes + 16, (uint64_t)e->max_ms);
                        store32(bytes + 24, e->len);
                        store32(bytes + 28, e->n);
                        buf_put(&o->pending, bytes, sizeof bytes);
                }
                part_output_seal(o, begin, layout_seed(b->w->header_crc, SEED_TABLE, first / TIME_PAGE));
                int r = part_output_flush(o, false);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_buf(IndexBuild *b, const Buf *bytes) {
        if (buf_error(bytes))
                return buf_error(bytes);
        buf_put(&b->w->out.pending, bytes->data, bytes->len);
        return part_output_flush(&b->w->out, false);
}

static int write_footer(IndexBuild *b) {
        PartWriter *w = b->w;
        uint8_t f[LAYOUT_FOOTER] = { 0 };
        for (unsigned i = 0; i < SECTION_COUNT; i++)
                store64(f + (size_t)i * 8, b->lengths[i]);
        store32(f + FOOTER_SERIES, n_series(w));
        store32(f + FOOTER_CHUNKS, (uint32_t)(w->chunks.len / sizeof(ChunkNote)));
        store32(f + FOOTER_TIMES, w->times.n);
        store32(f + FOOTER_PAIRS, w->pairs.n);
        store32(f + FOOTER_NAMES, b->n_names);
        store32(f + FOOTER_LABEL_PAGES, b->n_label_pages);
        store64(f + FOOTER_SAMPLES, w->meta.samples);
        store64(f + FOOTER_MIN, (uint64_t)w->meta.min_ms);
        store64(f + FOOTER_MAX, (uint64_t)w->meta.max_ms);
        store32(f + FOOTER_NAMES_CRC, crc32c(0, b->names.data, b->names.len));
        store32(f + FOOTER_DIRECTORY_CRC, crc32c(0, b->directory.data, b->directory.len));
        memcpy(f + FOOTER_MAGIC, LAYOUT_END_MAGIC, 4);
        store32(f + FOOTER_CRC, crc32c(w->header_crc, f, FOOTER_CRC));
        buf_put(&w->out.pending, f, sizeof f);
        return buf_error(&w->out.pending);
}

static int write_section(IndexBuild *b, Section section) {
        uint64_t begin = part_output_at(&b->w->out);
        int r = 0;
        switch (section) {
        case SECTION_COLUMNS: return 0;
        case SECTION_SERIES: r = write_series_pages(b); break;
        case SECTION_POSTINGS: r = write_postings(b); break;
        case SECTION_LABELS: r = write_buf(b, &b->label_pages); break;
        case SECTION_TIMES: r = write_times(b); break;
        case SECTION_NAMES: r = write_buf(b, &b->names); break;
        case SECTION_DIRECTORY: r = write_buf(b, &b->directory); break;
        case SECTION_COUNT: break;
        }
        b->lengths[section] = part_output_at(&b->w->out) - begin;
        if (r == 0 && (section == SECTION_SERIES || section == SECTION_LABELS) && b->lengths[section] > INDEX_LIMIT)
                r = -EFBIG;
        return r;
}

int part_writer_index(PartWriter *w, uint64_t columns_len) {
        CLEANUP(build_deinit) IndexBuild b = { .w = w, .lengths = { columns_len } };
        b.label_pages.limit = b.names.limit = b.directory.limit = INDEX_LIMIT;
        int r = sort_pairs(&b);
        if (r == 0)
                r = collect_ordinals(&b);
        for (unsigned section = SECTION_SERIES; r == 0 && section < SECTION_COUNT; section++)
                r = write_section(&b, (Section)section);
        if (r == 0)
                r = write_footer(&b);
        w->meta.series = n_series(w);
        return r;
}
