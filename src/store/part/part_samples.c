/* Samples of one chunk in a window of time: the instants say which numbers, the codec decodes those. */
#include "store/part/part_priv.h"
#include "store/part/rollup.h"
#include "store/part/strings.h"

#include <assert.h>

typedef struct Window {
        uint32_t first, n;
} Window;

static int find_window(const Part *p, const PartChunk *chunk, int64_t begin_ms, int64_t end_ms, int64_t *ret_times,
                       Window *ret_window) {
        TimeEntry e = { .at = chunk->time_at, .min_ms = chunk->min_ms, .max_ms = chunk->max_ms, .len = chunk->time_len,
                        .n = chunk->n };
        if (!ret_times && begin_ms < e.min_ms && end_ms >= e.max_ms) {
                *ret_window = (Window){ 0, e.n };
                return 0;
        }
        Span bytes;
        int r = part_time_column(p, chunk->time_number, &e, &bytes);
        if (r < 0)
                return r;
        return time_column_window((const uint8_t *)bytes.text, bytes.len, &e, begin_ms, end_ms, ret_times,
                                  &ret_window->first, &ret_window->n);
}

static int decode_floats(Span column, const PartChunk *chunk, Window w, double *ret_values) {
        const uint8_t *bytes = (const uint8_t *)column.text;
        if (w.n == chunk->n)
                return values_decode(bytes, column.len, chunk->n, ret_values);
        return values_decode_range(bytes, column.len, chunk->n, w.first, w.n, ret_values);
}

static int decode_rollup(Span bytes, const PartChunk *chunk, RollupColumn column, Window w, double *ret_values) {
        int r = rollup_decode((const uint8_t *)bytes.text, bytes.len, chunk->columns, chunk->n, column, ret_values);
        if (r == 0 && w.first > 0)
                memmove(ret_values, ret_values + w.first, w.n * sizeof *ret_values);
        return r;
}

int part_floats(const Part *p, const PartChunk *chunk, RollupColumn column, int64_t begin_ms, int64_t end_ms,
                int64_t *ret_times, double *ret_values, uint32_t *ret_n) {
        Window w;
        Span bytes;
        assert(chunk->kind == CHUNK_FLOATS || (chunk->kind == CHUNK_ROLLUP && chunk->columns >> column & 1));
        int r = find_window(p, chunk, begin_ms, end_ms, ret_times, &w);
        if (r == 0 && w.n > 0 && ret_values) {
                r = part_value_column(p, chunk, &bytes);
                if (r == 0)
                        r = chunk->kind == CHUNK_FLOATS ? decode_floats(bytes, chunk, w, ret_values)
                                                        : decode_rollup(bytes, chunk, column, w, ret_values);
        }
        if (r == 0)
                *ret_n = w.n;
        return r;
}

int part_histograms(const Part *p, const PartChunk *chunk, int64_t begin_ms, int64_t end_ms, int64_t *ret_times,
                    Buf *ret_bytes, uint32_t *ret_offsets, uint32_t *ret_n) {
        Window w;
        Span bytes;
        assert(chunk->kind == CHUNK_HISTOGRAMS);
        int r = find_window(p, chunk, begin_ms, end_ms, ret_times, &w);
        if (r == 0)
                r = part_value_column(p, chunk, &bytes);
        if (r == 0)
                r = strings_decode((const uint8_t *)bytes.text, bytes.len, chunk->n, w.first, w.n, ret_bytes,
                                   ret_offsets);
        if (r == 0)
                *ret_n = w.n;
        return r;
}
