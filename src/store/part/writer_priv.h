/* What writer.c (columns, as they come) hands to writer_index.c (everything behind them). */
#pragma once

#include "store/part/layout.h"
#include "store/part/pairs.h"
#include "store/part/times.h"

/* A series that is written; its pairs are the next `labels` of PartWriter.ids. */
typedef struct SeriesNote {
        uint32_t chunks;
        uint8_t labels;
} SeriesNote;

typedef struct ChunkNote {
        uint64_t at;       /* of its values */
        uint32_t len;      /* with CRC */
        uint32_t time;     /* number of the time column */
        uint8_t kind, columns;
} ChunkNote;

/* What the file holds next: bytes that are not handed to the disk yet, and where they will be. */
typedef struct PartOutput {
        Vfs *vfs;
        VfsFile *file;
        uint64_t written;  /* bytes of the file */
        Buf pending;
} PartOutput;

struct PartWriter {
        PartOutput out;
        char *name;
        PartMeta meta;
        CodecEffort effort;
        uint32_t header_crc;
        uint64_t time_seed;
        bool complete;
        int error;         /* the first; everything after it fails too */

        PairTable pairs;
        TimeTable times;
        Buf ids;           /* uint32_t, pair numbers of all series */
        Buf series;        /* SeriesNote */
        Buf chunks;        /* ChunkNote */

        Buf begun;         /* run of the series that was begun last */
        bool waits;        /* ... it has no chunk yet */
        bool any;          /* a series was begun */
        int64_t last_ms;   /* of that series */
        Buf run;           /* run of the series that was written last, */
        Label labels[LABELS_MAX]; /* its labels, */
        size_t n_labels;
        uint32_t last_ids[LABELS_MAX]; /* and their numbers */
};

static inline uint64_t part_output_at(const PartOutput *o) {
        return o->written + o->pending.len;
}
/* Hands what is pending to the disk, when it is enough or `all`. */
int part_output_flush(PartOutput *o, bool all) MUST_USE;
/* Appends the CRC of what is pending from `begin` (an offset in the file) on. */
void part_output_seal(PartOutput *o, uint64_t begin, uint32_t seed);

/* Writes everything behind the columns, completes the meta. */
int part_writer_index(PartWriter *w, uint64_t columns_len) MUST_USE;
