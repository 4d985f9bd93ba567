#include "store/rows.h"

#include <math.h>

static int64_t *times_of(const Rows *x) {
        return (int64_t *)(void *)x->times.data;
}

static double *column_of(const Rows *x, size_t c) {
        return (double *)(void *)x->columns[c].data;
}

void rows_deinit(Rows *x) {
        buf_deinit(&x->times);
        for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                buf_deinit(&x->columns[c]);
}

void rows_reset(Rows *x) {
        buf_reset(&x->times);
        for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                buf_reset(&x->columns[c]);
        x->mask = 0;
}

size_t rows_count(const Rows *x) {
        return x->times.len / sizeof(int64_t);
}

static uint8_t mask_of(const PartChunk *chunk) {
        return chunk->kind == CHUNK_ROLLUP ? chunk->columns : 1;
}

/* NaN up to row n, in a column that was not there before. */
static void pad(Buf *column, size_t n) {
        double nan = NAN;
        while (column->len < n * sizeof nan && buf_error(column) == 0)
                buf_put(column, &nan, sizeof nan);
}

int rows_add(Rows *x, const Part *p, const PartChunk *chunk, int64_t begin_ms, int64_t end_ms) {
        size_t before = rows_count(x);
        uint8_t mask = mask_of(chunk);
        uint32_t n = 0;
        int64_t *times = (int64_t *)(void *)buf_reserve(&x->times, chunk->n * sizeof *times);
        int r = times ? 0 : -ENOMEM;
        for (size_t c = 0; r == 0 && c < ROLLUP_COLUMN_COUNT; c++) {
                if (!(mask & 1u << c))
                        continue;
                pad(&x->columns[c], before);
                double *values = (double *)(void *)buf_reserve(&x->columns[c], chunk->n * sizeof *values);
                r = values ? part_floats(p, chunk, (RollupColumn)c, begin_ms, end_ms, times, values, &n) : -ENOMEM;
                if (r == 0)
                        x->columns[c].len += n * sizeof *values;
        }
        if (r < 0) {
                /* Columns that were good are of no use without the others. */
                for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                        if (x->columns[c].len > before * sizeof(double))
                                x->columns[c].len = before * sizeof(double);
                return r;
        }
        x->times.len += n * sizeof *times;
        x->mask |= mask;
        for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                if (x->mask & 1u << c)
                        pad(&x->columns[c], before + n);
        return 0;
}

static void keep_row(Rows *x, size_t to, size_t from) {
        times_of(x)[to] = times_of(x)[from];
        for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                if (x->mask & 1u << c)
                        column_of(x, c)[to] = column_of(x, c)[from];
}

static void shorten(Rows *x, size_t n) {
        x->times.len = n * sizeof(int64_t);
        for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                if (x->mask & 1u << c)
                        x->columns[c].len = n * sizeof(double);
}

void rows_delete(Rows *x, size_t from, int64_t begin_ms, int64_t end_ms) {
        size_t n = rows_count(x), to = from;
        for (size_t i = from; i < n; i++)
                if (times_of(x)[i] <= begin_ms || times_of(x)[i] > end_ms)
                        keep_row(x, to++, i);
        shorten(x, to);
}

/* ---- Settling ---- */

typedef struct Place {
        int64_t time;
        uint32_t row;
} Place;

static int compare_places(const void *a, const void *b) {
        const Place *x = a, *y = b;
        if (x->time != y->time)
                return x->time < y->time ? -1 : 1;
        return (x->row > y->row) - (x->row < y->row);
}

static bool ascending(const int64_t *times, size_t n) {
        for (size_t i = 1; i < n; i++)
                if (times[i] <= times[i - 1])
                        return false;
        return true;
}

/* The order of rows, each instant once; *ret_n is how many are left. */
static int places(const int64_t *times, size_t n, bool last_wins, Place **ret_places, size_t *ret_n) {
        Place *order = malloc((n + 1) * sizeof *order);
        size_t kept = 0;
        if (!order)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                order[i] = (Place){ times[i], (uint32_t)i };
        qsort(order, n, sizeof *order, compare_places);
        for (size_t i = 0; i < n; i++) {
                if (kept == 0 || order[kept - 1].time != order[i].time)
                        order[kept++] = order[i];
                else if (last_wins)
                        order[kept - 1] = order[i];
        }
        *ret_places = order;
        *ret_n = kept;
        return 0;
}

static int permute(Buf *column, size_t size, const Place *order, size_t n) {
        CLEANUP(buf_deinit) Buf sorted = BUF_WITH_LIMIT(column->limit);
        for (size_t i = 0; i < n; i++)
                buf_put(&sorted, column->data + (size_t)order[i].row * size, size);
        int r = buf_error(&sorted);
        if (r == 0) {
                Buf swap = *column;
                *column = sorted;
                sorted = swap;
        }
        return r;
}

int rows_settle(Rows *x, bool last_wins, uint64_t *duplicates) {
        CLEANUP_FREE Place *order = NULL;
        size_t n = rows_count(x), kept;
        if (buf_error(&x->times))
                return -ENOMEM;
        if (ascending(times_of(x), n))
                return 0;
        int r = places(times_of(x), n, last_wins, &order, &kept);
        for (size_t c = 0; r == 0 && c < ROLLUP_COLUMN_COUNT; c++)
                if (x->mask & 1u << c)
                        r = permute(&x->columns[c], sizeof(double), order, kept);
        if (r == 0)
                r = permute(&x->times, sizeof(int64_t), order, kept);
        if (r == 0)
                *duplicates += n - kept;
        return r;
}

int rows_write(const Rows *x, PartWriter *w) {
        size_t n = rows_count(x);
        int r = 0;
        for (size_t at = 0; r == 0 && at < n; at += CODEC_MAX) {
                uint32_t count = (uint32_t)(n - at < CODEC_MAX ? n - at : CODEC_MAX);
                const double *columns[ROLLUP_COLUMN_COUNT] = { 0 };
                for (size_t c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                        if (x->mask & 1u << c)
                                columns[c] = column_of(x, c) + at;
                r = part_writer_rollup(w, times_of(x) + at, columns, count);
        }
        return r;
}

/* ---- Histograms ---- */

void histogram_rows_deinit(HistogramRows *x) {
        buf_deinit(&x->times);
        buf_deinit(&x->offsets);
        buf_deinit(&x->bytes);
}

void histogram_rows_reset(HistogramRows *x) {
        buf_reset(&x->times);
        buf_reset(&x->offsets);
        buf_reset(&x->bytes);
}

size_t histogram_rows_count(const HistogramRows *x) {
        return x->times.len / sizeof(int64_t);
}

static const int64_t *histogram_times(const HistogramRows *x) {
        return (const int64_t *)(const void *)x->times.data;
}

static uint32_t *histogram_offsets(const HistogramRows *x) {
        return (uint32_t *)(void *)x->offsets.data;
}

int histogram_rows_add(HistogramRows *x, const Part *p, const PartChunk *chunk, int64_t begin_ms, int64_t end_ms) {
        size_t before = x->bytes.len;
        uint32_t n = 0;
        int64_t *times = (int64_t *)(void *)buf_reserve(&x->times, chunk->n * sizeof *times);
        uint32_t *offsets = (uint32_t *)(void *)buf_reserve(&x->offsets, ((size_t)chunk->n + 1) * sizeof *offsets);
        if (!times || !offsets)
                return -ENOMEM;
        int r = part_histograms(p, chunk, begin_ms, end_ms, times, &x->bytes, offsets, &n);
        if (r < 0) {
                x->bytes.len = before; /* what came of it would be taken for the end of the last row */
                return r;
        }
        uint32_t base = n ? offsets[0] : 0;
        for (uint32_t i = 0; i < n; i++)
                offsets[i] = (uint32_t)(before + offsets[i] - base);
        x->times.len += n * sizeof *times;
        x->offsets.len += n * sizeof *offsets;
        return buf_error(&x->bytes);
}

static size_t histogram_end(const HistogramRows *x, size_t i) {
        return i + 1 < histogram_rows_count(x) ? histogram_offsets(x)[i + 1] : x->bytes.len;
}

/* Replaces the rows by those of `order`. */
static int histogram_permute(HistogramRows *x, const Place *order, size_t n) {
        CLEANUP(histogram_rows_deinit) HistogramRows sorted = { 0 };
        for (size_t i = 0; i < n; i++) {
                size_t row = order[i].row, begin = histogram_offsets(x)[row];
                uint32_t at = (uint32_t)sorted.bytes.len;
                buf_put(&sorted.times, &order[i].time, sizeof order[i].time);
                buf_put(&sorted.offsets, &at, sizeof at);
                buf_put(&sorted.bytes, x->bytes.data + begin, histogram_end(x, row) - begin);
        }
        if (buf_error(&sorted.times) || buf_error(&sorted.offsets) || buf_error(&sorted.bytes))
                return -ENOMEM;
        HistogramRows swap = *x;
        *x = sorted;
        sorted = swap;
        return 0;
}

void histogram_rows_delete(HistogramRows *x, size_t from, int64_t begin_ms, int64_t end_ms) {
        size_t n = histogram_rows_count(x), kept = 0;
        CLEANUP_FREE Place *order = malloc((n + 1) * sizeof *order);
        for (size_t i = 0; order && i < n; i++) {
                int64_t t = histogram_times(x)[i];
                if (i < from || t <= begin_ms || t > end_ms)
                        order[kept++] = (Place){ t, (uint32_t)i };
        }
        if (!order || (kept < n && histogram_permute(x, order, kept) < 0))
                x->times.error = -ENOMEM; /* settling fails: what was to be deleted must not come back */
}

int histogram_rows_settle(HistogramRows *x, uint64_t *duplicates) {
        CLEANUP_FREE Place *order = NULL;
        size_t n = histogram_rows_count(x), kept;
        if (buf_error(&x->times))
                return -ENOMEM;
        if (ascending(histogram_times(x), n))
                return 0;
        int r = places(histogram_times(x), n, false, &order, &kept);
        if (r == 0)
                r = histogram_permute(x, order, kept);
        if (r == 0)
                *duplicates += n - kept;
        return r;
}

/* ---- Both kinds ---- */

static size_t run_of(const int64_t *times, size_t at, size_t n, int64_t last) {
        size_t end = at;
        while (end < n && times[end] <= last)
                end++;
        return end;
}

static int write_floats(const int64_t *times, const double *values, size_t at, size_t end, PartWriter *w) {
        int r = 0;
        for (; r == 0 && at < end; at += CODEC_MAX)
                r = part_writer_floats(w, times + at, values + at,
                                       (uint32_t)(end - at < CODEC_MAX ? end - at : CODEC_MAX));
        return r;
}

static int write_histograms(const int64_t *times, const uint8_t *bytes, const uint32_t *offsets, size_t at, size_t end,
                            PartWriter *w) {
        int r = 0;
        for (; r == 0 && at < end; at += CODEC_MAX)
                r = part_writer_histograms(w, times + at, bytes, offsets + at,
                                           (uint32_t)(end - at < CODEC_MAX ? end - at : CODEC_MAX));
        return r;
}

int mixed_write(const int64_t *times, const double *values, size_t n, const int64_t *histogram_times,
                const uint8_t *bytes, const uint32_t *offsets, size_t n_histograms, PartWriter *w) {
        int r = 0;
        for (size_t i = 0, k = 0; r == 0 && (i < n || k < n_histograms);) {
                size_t end = run_of(times, i, n, k < n_histograms ? histogram_times[k] : INT64_MAX);
                r = write_floats(times, values, i, end, w);
                if (end > i && k < n_histograms && times[end - 1] == histogram_times[k])
                        k++;
                i = end;
                end = run_of(histogram_times, k, n_histograms, i < n ? times[i] - 1 : INT64_MAX);
                if (r == 0)
                        r = write_histograms(histogram_times, bytes, offsets, k, end, w);
                k = end;
        }
        return r;
}

int raw_rows_write(const Rows *x, const HistogramRows *h, PartWriter *w) {
        size_t n = histogram_rows_count(h);
        CLEANUP_FREE uint32_t *offsets = malloc((n + 1) * sizeof *offsets);
        if (!offsets)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                offsets[i] = histogram_offsets(h)[i];
        offsets[n] = (uint32_t)h->bytes.len;
        return mixed_write(times_of(x), column_of(x, 0), rows_count(x), histogram_times(h),
                           (const uint8_t *)h->bytes.data, offsets, n, w);
}
