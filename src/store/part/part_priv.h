/* An open part inside, and what the files of the reader share. */
#pragma once

#include "store/part/layout.h"
#include "store/part/postings.h"
#include "store/part/times.h"

#include <stdatomic.h>

typedef struct PartName {
        Span text;           /* in the map */
        uint32_t first_pair, n_pairs;
        uint32_t first_page; /* of labels */
} PartName;

/* What has a checksum of its own is checked when it is read first, not each time: one bit for each such thing. The bits
 * are forgotten with the pages (part_forget()), since those are read from the disk again. */
typedef enum CheckedKind {
        CHECKED_VALUES, /* a chunk */
        CHECKED_TIMES,  /* a time column */
        CHECKED_SERIES, /* a page */
        CHECKED_LABELS, /* a page */
        CHECKED_TABLE,  /* a page */
        CHECKED_KIND_COUNT
} CheckedKind;

struct Part {
        Vfs *vfs;
        VfsMap map;
        char *name;
        PartMeta meta;
        bool trusting;       /* takes checksums as right: for fuzzing what is behind them */
        uint32_t header_crc;
        uint64_t begins[SECTION_COUNT + 1];
        uint32_t n_chunks, n_times, n_pairs, n_names, n_label_pages, n_series_pages;
        uint32_t *series_at; /* offsets of pages in their section; one more than pages */
        uint32_t *label_at;
        PartName *names;
        _Atomic uint64_t *checked;
        uint64_t checked_begin[CHECKED_KIND_COUNT]; /* first bit of each kind */
};

/* Opens what is mapped; takes the map over in any case. */
int part_open_map(Vfs *vfs, const char *name, VfsMap map, bool trusting, Part **ret_part,
                  PartDamage *ret_damage) MUST_USE;
void part_damage(PartDamage *ret_damage, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- pieces with a checksum; -EBADMSG unless they are good ---- */

/* Bytes of a page of series behind its CRC. */
int part_series_page(const Part *p, uint32_t page, Span *ret_bytes) MUST_USE;
int part_label_page(const Part *p, uint32_t page, Span *ret_bytes) MUST_USE;
bool part_in_columns(const Part *p, uint64_t at, uint64_t len);
int part_time_entry(const Part *p, uint32_t number, TimeEntry *ret_entry) MUST_USE;
/* Columns without their CRC. */
int part_time_column(const Part *p, uint32_t number, const TimeEntry *e, Span *ret_bytes) MUST_USE;
int part_value_column(const Part *p, const PartChunk *chunk, Span *ret_bytes) MUST_USE;
/* A list that is apart, `at` in the postings section. */
int part_list(const Part *p, uint32_t pair, uint64_t at, uint64_t len, Span *ret_bytes) MUST_USE;

/* ---- pairs (part_labels.c) ---- */

/* The name; NULL when no series has it. */
const PartName *part_find_name(const Part *p, Span name);
/* The name of a pair, which is below n_pairs; `guess` (may be NULL) is one that is likely, or one a bit before it. */
const PartName *part_name_of(const Part *p, uint32_t pair, const PartName *guess);

/* A pair's value is a prefix of another one and a rest, both in the map. */
typedef struct PairText {
        Span shared, rest;
} PairText;
int part_pair_text(const Part *p, const PartName *name, uint32_t pair, PairText *ret_text) MUST_USE;

/* A walk over the pairs of a name, ascending. */
typedef struct PairWalk {
        const Part *p;
        const PartName *name;
        uint32_t pair, end;        /* next, one after the last */
        const uint8_t *at, *stop;  /* in the group */
        uint64_t list_at;          /* in the postings section, of the next list that is apart */
        Span head;                 /* value of the group's first pair */
        /* Of the pair that pair_walk_next() stands on: */
        uint32_t number;
        PairText text;
        Span inlined;              /* its list when it is not apart */
        uint64_t apart_at, apart_len;
        bool is_apart;
} PairWalk;

/* Before the first pair of the name whose value is not below `from` ("": all). */
int pair_walk_begin(PairWalk *w, const Part *p, const PartName *name, Span from) MUST_USE;
/* 1 when it stands on a pair, 0 at the end, -EBADMSG. */
int pair_walk_next(PairWalk *w) MUST_USE;
/* The list of the pair it stands on. */
int pair_walk_list(const PairWalk *w, Span *ret_list) MUST_USE;
/* Compares the value of the pair it stands on. */
int pair_text_order(const PairText *t, Span value);
/* Its bytes, one after the other, in `room` (LABEL_VALUE_MAX bytes). */
Span pair_text_value(const PairText *t, char *room);

/* ---- series (part_series.c) ---- */

/* Where a reader is in a page of series. */
typedef struct SeriesWalk {
        const Part *p;
        const uint8_t *at, *end;
        uint32_t page, next;      /* ordinal that comes next; page UINT32_MAX: nowhere */
        uint32_t ids[LABELS_MAX]; /* pairs of the series before */
        unsigned n_ids;
        uint64_t values_end;      /* of the chunk before */
        uint32_t chunk, time;     /* number of the next chunk, of the time column before */
        uint8_t kind, columns;
} SeriesWalk;

/* Goes to a series, forward when it can: w->ids are its pairs then. Its chunks (PartChunk) are appended to ret_chunks
 * (may be NULL). After an error the walk is nowhere. */
int series_walk_to(SeriesWalk *w, uint32_t ordinal, Buf *ret_chunks) MUST_USE;
