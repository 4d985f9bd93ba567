/* Columns go to the file as they come; of a series only its labels' numbers and of a chunk where it is are kept until
 * the end. Neighbouring series have most labels in common, so that a label is compared with the one at its place in the
 * series before and looked up only when it differs. */
#include "store/part/writer_priv.h"

#include "store/part/rollup.h"
#include "store/part/strings.h"

#include <assert.h>

#define OUTPUT_BYTES ((size_t)256 << 10) /* collected before they are written */
#define NOTES_MAX ((size_t)1 << 36)

/* ---- output ---- */

int part_output_flush(PartOutput *o, bool all) {
        int r = buf_error(&o->pending);
        if (r < 0 || o->pending.len < (all ? 1 : OUTPUT_BYTES))
                return r;
        r = vfs_append(o->vfs, o->file, o->pending.data, o->pending.len);
        if (r < 0)
                return r;
        o->written += o->pending.len;
        buf_reset(&o->pending);
        return 0;
}

void part_output_seal(PartOutput *o, uint64_t begin, uint32_t seed) {
        uint8_t crc[CRC_SIZE];
        if (o->pending.error)
                return;
        assert(begin >= o->written && begin <= part_output_at(o));
        size_t from = (size_t)(begin - o->written);
        store32(crc, crc32c(seed, o->pending.data + from, o->pending.len - from));
        buf_put(&o->pending, crc, sizeof crc);
}

static int fail(PartWriter *w, int error) {
        if (error < 0 && w->error == 0)
                w->error = error;
        return w->error;
}

/* ---- beginning and end ---- */

static void put_header(PartWriter *w) {
        uint8_t h[LAYOUT_HEADER] = { 0 };
        memcpy(h, LAYOUT_MAGIC, 8);
        store32(h + HEADER_VERSION, LAYOUT_VERSION);
        h[HEADER_TIER] = (uint8_t)w->meta.tier;
        memcpy(h + HEADER_STORE, w->meta.store.bytes, sizeof w->meta.store.bytes);
        store64(h + HEADER_ID, w->meta.id);
        store64(h + HEADER_BEGIN, (uint64_t)w->meta.begin_ms);
        store64(h + HEADER_END, (uint64_t)w->meta.end_ms);
        w->header_crc = crc32c(0, h, HEADER_CRC);
        store32(h + HEADER_CRC, w->header_crc);
        buf_put(&w->out.pending, h, sizeof h);
}

/* From what the header has: the same part has the same bytes whenever it is written. */
static uint64_t seed_of(const PartMeta *meta) {
        return load64(meta->store.bytes) ^ (load64(meta->store.bytes + 8) * UINT64_C(0x9E3779B97F4A7C15)) ^ meta->id;
}

static void free_writer(PartWriter **w) {
        *w = part_writer_free(*w);
}

int part_writer_new(Vfs *vfs, const char *name, const PartMeta *meta, CodecEffort effort, PartWriter **ret_writer) {
        assert(meta->tier < STORE_TIER_COUNT && meta->begin_ms < meta->end_ms);
        CLEANUP(free_writer) PartWriter *w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        w->out.vfs = vfs;
        w->meta = (PartMeta){ .store = meta->store, .id = meta->id, .tier = meta->tier, .begin_ms = meta->begin_ms,
                              .end_ms = meta->end_ms, .min_ms = INT64_MAX, .max_ms = INT64_MIN };
        w->effort = effort;
        w->time_seed = seed_of(meta);
        w->ids.limit = w->series.limit = w->chunks.limit = w->out.pending.limit = NOTES_MAX;
        w->name = strdup(name);
        if (!w->name)
                return -ENOMEM;
        int r = vfs_open(vfs, name, VFS_CREATE, &w->out.file);
        if (r < 0)
                return r;
        put_header(w);
        if (buf_error(&w->out.pending))
                return buf_error(&w->out.pending);
        *ret_writer = TAKE_PTR(w);
        return 0;
}

PartWriter *part_writer_free(PartWriter *w) {
        if (!w)
                return NULL;
        if (w->out.file) {
                (void)vfs_close(w->out.vfs, w->out.file);
                if (!w->complete)
                        (void)vfs_unlink(w->out.vfs, w->name);
        }
        buf_deinit(&w->out.pending);
        pair_table_deinit(&w->pairs);
        time_table_deinit(&w->times);
        buf_deinit(&w->ids);
        buf_deinit(&w->series);
        buf_deinit(&w->chunks);
        buf_deinit(&w->begun);
        buf_deinit(&w->run);
        free(w->name);
        free(w);
        return NULL;
}

uint64_t part_writer_bytes(const PartWriter *w) {
        /* About what writer_index.c makes of them. */
        return part_output_at(&w->out) + w->chunks.len / sizeof(ChunkNote) * 6 +
               w->series.len / sizeof(SeriesNote) * 12 + w->ids.len / sizeof(uint32_t) + w->pairs.text.len +
               (uint64_t)w->pairs.n * 8 + (uint64_t)w->times.n * TIME_ENTRY + LAYOUT_FOOTER;
}

/* ---- series ---- */

int part_writer_series(PartWriter *w, const uint8_t *run, size_t len) {
        assert(!w->complete);
        const Buf *last = w->waits ? &w->begun : &w->run;
        assert(labels_compare((const uint8_t *)last->data, last->len, run, len) < 0);
        buf_reset(&w->begun);
        buf_put(&w->begun, run, len);
        w->any = w->waits = true;
        w->last_ms = INT64_MIN;
        return fail(w, buf_error(&w->begun));
}

/* Compares names, values and the length between them at once. */
static bool label_equal(const Label *a, const Label *b) {
        size_t n = (size_t)(a->value.text + a->value.len - a->name.text);
        return a->name.len == b->name.len && n == (size_t)(b->value.text + b->value.len - b->name.text) &&
               memcmp(a->name.text, b->name.text, n) == 0;
}

/* Numbers of the begun series' labels; it takes the place of the last written one. */
static int intern(PartWriter *w) {
        Label labels[LABELS_MAX];
        size_t n = labels_split((const uint8_t *)w->begun.data, w->begun.len, labels);
        for (size_t i = 0; i < n; i++) {
                if (i < w->n_labels && label_equal(&labels[i], &w->labels[i])) {
                        w->pairs.pairs[w->last_ids[i]].uses++;
                        continue;
                }
                int r = pair_table_intern(&w->pairs, labels[i].name, labels[i].value, &w->last_ids[i]);
                if (r < 0) {
                        w->n_labels = 0;
                        return r;
                }
        }
        Buf run = w->run;
        w->run = w->begun;
        w->begun = run;
        memcpy(w->labels, labels, n * sizeof *labels);
        w->n_labels = n;
        return 0;
}

static int write_series(PartWriter *w) {
        int r = intern(w);
        if (r < 0)
                return r;
        SeriesNote note = { .labels = (uint8_t)w->n_labels };
        buf_put(&w->ids, w->last_ids, w->n_labels * sizeof *w->last_ids);
        buf_put(&w->series, &note, sizeof note);
        w->waits = false;
        return buf_error(&w->ids) ? buf_error(&w->ids) : buf_error(&w->series);
}

/* ---- chunks ---- */

/* Number of the column with these instants, which is written when it is new. */
static int time_column(PartWriter *w, const int64_t *times, uint32_t n, uint32_t *ret_number) {
        int r = time_table_find(&w->times, times, n, w->time_seed, ret_number);
        if (r != 0)
                return r < 0 ? r : 0;
        uint64_t at = part_output_at(&w->out);
        time_column_encode(times, n, w->effort, &w->out.pending);
        part_output_seal(&w->out, at, layout_seed(w->header_crc, SEED_TIMES, *ret_number));
        if (buf_error(&w->out.pending))
                return buf_error(&w->out.pending);
        time_table_put(&w->times, (TimeEntry){ .at = at, .min_ms = times[0], .max_ms = times[n - 1], .n = n,
                                               .len = (uint32_t)(part_output_at(&w->out) - at) });
        return 0;
}

/* Before a chunk's values: its series and its instants. */
static int begin_chunk(PartWriter *w, const int64_t *times, uint32_t n, ChunkNote *ret_note) {
        assert(!w->complete && w->any && n > 0 && n <= CODEC_MAX);
        if (w->error)
                return w->error;
        assert(times[0] > w->meta.begin_ms && times[n - 1] <= w->meta.end_ms);
        assert(w->last_ms == INT64_MIN || times[0] > w->last_ms);
        int r = w->waits ? write_series(w) : 0;
        if (r == 0)
                r = time_column(w, times, n, &ret_note->time);
        ret_note->at = part_output_at(&w->out);
        return r;
}

/* After them. */
static int end_chunk(PartWriter *w, const int64_t *times, uint32_t n, ChunkNote *note) {
        uint32_t number = (uint32_t)(w->chunks.len / sizeof *note);
        part_output_seal(&w->out, note->at, layout_seed(w->header_crc, SEED_VALUES, number));
        if (buf_error(&w->out.pending))
                return buf_error(&w->out.pending);
        if (number == UINT32_MAX || part_output_at(&w->out) - note->at > UINT32_MAX)
                return -EFBIG;
        note->len = (uint32_t)(part_output_at(&w->out) - note->at);
        buf_put(&w->chunks, note, sizeof *note);
        if (buf_error(&w->chunks))
                return buf_error(&w->chunks);
        SeriesNote *series = (SeriesNote *)(w->series.data + w->series.len) - 1;
        series->chunks++;
        w->last_ms = times[n - 1];
        if (times[0] < w->meta.min_ms)
                w->meta.min_ms = times[0];
        if (times[n - 1] > w->meta.max_ms)
                w->meta.max_ms = times[n - 1];
        w->meta.samples += n;
        return part_output_flush(&w->out, false);
}

int part_writer_floats(PartWriter *w, const int64_t *times, const double *values, uint32_t n) {
        ChunkNote note = { .kind = CHUNK_FLOATS };
        int r = begin_chunk(w, times, n, &note);
        if (r == 0) {
                values_encode(values, n, w->effort, &w->out.pending);
                r = end_chunk(w, times, n, &note);
        }
        return fail(w, r);
}

int part_writer_histograms(PartWriter *w, const int64_t *times, const uint8_t *bytes, const uint32_t *offsets,
                           uint32_t n) {
        ChunkNote note = { .kind = CHUNK_HISTOGRAMS };
        int r = begin_chunk(w, times, n, &note);
        if (r == 0) {
                strings_encode(bytes, offsets, n, w->effort, &w->out.pending);
                r = end_chunk(w, times, n, &note);
        }
        return fail(w, r);
}

int part_writer_rollup(PartWriter *w, const int64_t *times, const double *const columns[ROLLUP_COLUMN_COUNT],
                       uint32_t n) {
        ChunkNote note = { .kind = CHUNK_ROLLUP };
        for (unsigned c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                if (columns[c])
                        note.columns |= (uint8_t)(1u << c);
        assert(note.columns);
        int r = begin_chunk(w, times, n, &note);
        if (r == 0) {
                rollup_encode(columns, n, w->effort, &w->out.pending);
                r = end_chunk(w, times, n, &note);
        }
        return fail(w, r);
}

int part_writer_finish(PartWriter *w, PartMeta *ret_meta) {
        assert(!w->complete);
        if (w->error)
                return w->error;
        int r = part_writer_index(w, part_output_at(&w->out) - LAYOUT_HEADER);
        if (r == 0)
                r = part_output_flush(&w->out, true);
        if (r == 0)
                r = vfs_sync(w->out.vfs, w->out.file);
        if (r < 0)
                return fail(w, r);
        w->complete = true;
        w->meta.bytes = w->out.written;
        *ret_meta = w->meta;
        return 0;
}
