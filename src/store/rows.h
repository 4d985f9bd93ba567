/* Samples of one series while it is merged or rolled up: a time column and up to six value columns, gathered from
 * chunks of several parts and then settled: ascending, each instant once. Zero-initialise, reset for the next series,
 * deinit.
 *
 * Private to src/store. */
#pragma once

#include "store/part/part.h"

typedef struct Rows {
        Buf times;                       /* int64_t */
        Buf columns[ROLLUP_COLUMN_COUNT]; /* double; raw samples are in column 0 */
        uint8_t mask;                    /* columns that are there, as bits */
} Rows;

void rows_deinit(Rows *x);
void rows_reset(Rows *x);
size_t rows_count(const Rows *x);
/* Appends what of a chunk is in begin < t <= end. A column that only some chunks have is NaN in the rows of the
 * others. */
int rows_add(Rows *x, const Part *p, const PartChunk *chunk, int64_t begin_ms, int64_t end_ms) MUST_USE;
/* Removes rows from number `from` on that are in begin < t <= end. */
void rows_delete(Rows *x, size_t from, int64_t begin_ms, int64_t end_ms);
/* Sorts, and keeps of equal instants the first or the last added. Adds to *duplicates. */
int rows_settle(Rows *x, bool last_wins, uint64_t *duplicates) MUST_USE;
/* Rollups. */
int rows_write(const Rows *x, PartWriter *w) MUST_USE;

typedef struct HistogramRows {
        Buf times;   /* int64_t */
        Buf offsets; /* uint32_t: where each begins in bytes */
        Buf bytes;
} HistogramRows;

void histogram_rows_deinit(HistogramRows *x);
void histogram_rows_reset(HistogramRows *x);
size_t histogram_rows_count(const HistogramRows *x);
int histogram_rows_add(HistogramRows *x, const Part *p, const PartChunk *chunk, int64_t begin_ms,
                       int64_t end_ms) MUST_USE;
void histogram_rows_delete(HistogramRows *x, size_t from, int64_t begin_ms, int64_t end_ms);
/* Writes floats and histograms of one series as chunks that ascend in time. Where both have an instant the float is
 * kept. `offsets` has one more than n_histograms. */
int mixed_write(const int64_t *times, const double *values, size_t n, const int64_t *histogram_times,
                const uint8_t *bytes, const uint32_t *offsets, size_t n_histograms, PartWriter *w) MUST_USE;
int histogram_rows_settle(HistogramRows *x, uint64_t *duplicates) MUST_USE;
/* Raw samples of both kinds. */
int raw_rows_write(const Rows *x, const HistogramRows *h, PartWriter *w) MUST_USE;
