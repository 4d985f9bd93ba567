/* A part: one immutable file of series, their samples and an index of its own, for one tier and one partition of time.
 * The byte layout (offset, size, meaning), what makes a part valid and how it is read is the essay on top of layout.h;
 * every section, index page and column carries a CRC-32C, so that a flipped bit is found before a value is believed.
 *
 * Series are in the order of labels_compare() and are known inside the part by their ordinal (0..n). A series has one
 * or more *chunks*, ascending in time and not overlapping, each with a time column (shared between series that have
 * equal instants) and one or more value columns.
 *
 * A PartWriter is used by one thread. A Part is immutable and may be read by several threads at once. */
#pragma once

#include "base/uuid.h"
#include "model/labels.h"
#include "model/matcher.h"
#include "store/codec/codec.h"
#include "store/vfs/vfs.h"

/* What a chunk holds. */
typedef enum ChunkKind {
        CHUNK_FLOATS = 0,     /* one column */
        CHUNK_HISTOGRAMS = 1, /* one column of byte strings */
        CHUNK_ROLLUP = 2,     /* the columns of `columns`, one row a window */
} ChunkKind;

/* Columns of a rollup, as bits. Which ones a series has is decided by what it is: a counter has no sum, min, max. */
typedef enum RollupColumn {
        ROLLUP_COUNT,
        ROLLUP_SUM,
        ROLLUP_MIN,
        ROLLUP_MAX,
        ROLLUP_LAST,
        ROLLUP_INCREASE, /* of a counter, resets respected, from the sample before the window to its last */
        ROLLUP_COLUMN_COUNT
} RollupColumn;

typedef enum StoreTier { STORE_RAW, STORE_5M, STORE_1H, STORE_TIER_COUNT } StoreTier;

typedef struct PartMeta {
        Uuid store;        /* whose part it is */
        uint64_t id;       /* never used twice in a store */
        StoreTier tier;
        int64_t begin_ms, end_ms; /* its partition of time: begin < t <= end */
        int64_t min_ms, max_ms;   /* instants that it really has */
        uint64_t samples, bytes;  /* raw samples or windows; bytes of the file */
        uint32_t series;
} PartMeta;

/* ---- Writing ---- */

typedef struct PartWriter PartWriter;

/* Creates `name` (which must not exist) for meta.{store,id,tier,begin_ms,end_ms}. `effort` is the codec's. */
int part_writer_new(Vfs *vfs, const char *name, const PartMeta *meta, CodecEffort effort,
                    PartWriter **ret_writer) MUST_USE;
/* Begins the next series; its run is canonical and greater than the one before (asserted). A series without chunks is
 * left out. */
int part_writer_series(PartWriter *w, const uint8_t *run, size_t len) MUST_USE;
/* Adds a chunk of n samples (1..CODEC_MAX), all later than the last. */
int part_writer_floats(PartWriter *w, const int64_t *times, const double *values, uint32_t n) MUST_USE;
/* Sample i is bytes[offsets[i] .. offsets[i + 1]); offsets has n + 1 entries. */
int part_writer_histograms(PartWriter *w, const int64_t *times, const uint8_t *bytes, const uint32_t *offsets,
                           uint32_t n) MUST_USE;
/* columns[c] is NULL for a column that the series does not have. times are the ends of windows. */
int part_writer_rollup(PartWriter *w, const int64_t *times, const double *const columns[ROLLUP_COLUMN_COUNT],
                       uint32_t n) MUST_USE;
/* Writes index and footer and syncs the file (not the directory); *ret_meta is complete. The writer can then only be
 * freed. */
int part_writer_finish(PartWriter *w, PartMeta *ret_meta) MUST_USE;
/* Bytes written so far and those that the index will take about: for the cap on disk. */
uint64_t part_writer_bytes(const PartWriter *w);
/* Removes an unfinished file. */
PartWriter *part_writer_free(PartWriter *w);

/* ---- Reading ---- */

typedef struct Part Part;

/* What is wrong with a file, for a person: "raw-00000012.part: page 7 of the index at byte 81920: checksum". */
typedef struct PartDamage {
        char text[256];
} PartDamage;

/* Maps the file and checks header and footer (not every byte). -EBADMSG with ret_damage when damaged, -EPROTONOSUPPORT
 * for a format version that this build does not know (named in ret_damage). */
int part_open(Vfs *vfs, const char *name, Part **ret_part, PartDamage *ret_damage) MUST_USE;
Part *part_close(Part *p);
const PartMeta *part_meta(const Part *p);
/* Checks every byte. */
int part_verify(const Part *p, PartDamage *ret_damage) MUST_USE;
/* Memory of the process that the open part takes beside its map. */
size_t part_memory(const Part *p);

/* Appends the ordinals (uint32_t, ascending) of the series that all matchers hold for. -EBADMSG when damaged. */
int part_select(const Part *p, const Matcher *matchers, size_t n_matchers, Buf *ret_ordinals) MUST_USE;
/* Appends label names, or the values of one label, each terminated by NUL, ascending. With `ordinals`, only those of
 * these series. */
int part_label_names(const Part *p, const uint32_t *ordinals, size_t n, Buf *ret_names) MUST_USE;
int part_label_values(const Part *p, Span name, const uint32_t *ordinals, size_t n, Buf *ret_values) MUST_USE;

typedef struct PartChunk {
        ChunkKind kind;
        uint8_t columns;   /* of a rollup: bits 1 << RollupColumn */
        uint32_t n;
        int64_t min_ms, max_ms;
        uint64_t time_at;  /* where its columns are, for the functions below */
        uint64_t values_at;
        uint32_t time_len, values_len;
        uint32_t number, time_number; /* of the chunk and of its time column in the part */
} PartChunk;

/* Appends the series' canonical run to ret_run and its chunks (PartChunk) to ret_chunks (either may be NULL).
 * -EBADMSG. */
int part_series(const Part *p, uint32_t ordinal, Buf *ret_run, Buf *ret_chunks) MUST_USE;

/* Reads many series, ascending, at a fraction of part_series(): what neighbours have in common is not read twice. About
 * 80 KiB. Used by one thread; the part stays open meanwhile. */
typedef struct PartCursor PartCursor;
int part_cursor_new(const Part *p, PartCursor **ret_cursor) MUST_USE;
PartCursor *part_cursor_free(PartCursor *c);
/* The series' canonical run and its chunks, borrowed from the cursor until its next call. Any order, ascending is fast.
 * -EBADMSG. */
int part_cursor_series(PartCursor *c, uint32_t ordinal, Span *ret_run, const PartChunk **ret_chunks,
                       size_t *ret_n) MUST_USE;

/* Samples of a chunk with begin_ms < t <= end_ms, into arrays of at least chunk->n; *ret_n may be 0. Costs no more than
 * the sub-blocks concerned. `column` is that of a rollup (one that the chunk has), 0 otherwise. Either array may be
 * NULL. Chunks with equal time_at have equal instants. */
int part_floats(const Part *p, const PartChunk *chunk, RollupColumn column, int64_t begin_ms, int64_t end_ms,
                int64_t *ret_times, double *ret_values, uint32_t *ret_n) MUST_USE;
/* The same for byte strings: appended to ret_bytes, their n + 1 offsets in it in ret_offsets (at least
 * chunk->n + 1). */
int part_histograms(const Part *p, const PartChunk *chunk, int64_t begin_ms, int64_t end_ms, int64_t *ret_times,
                    Buf *ret_bytes, uint32_t *ret_offsets, uint32_t *ret_n) MUST_USE;
/* The reader will not be back for a while: lets go of the map's pages. */
void part_forget(const Part *p);
