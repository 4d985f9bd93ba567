/* Time columns: instants shared by the series that were sampled together (layout.h, "A time column"). */
#pragma once

#include "store/codec/codec.h"

#include <stdint.h>

/* A column in the table of times. */
typedef struct TimeEntry {
        uint64_t at;      /* offset in the file */
        int64_t min_ms, max_ms;
        uint32_t len;     /* with CRC */
        uint32_t n;
} TimeEntry;

/* Appends the column of n instants (1..CODEC_MAX), strictly ascending (asserted), without CRC. */
void time_column_encode(const int64_t *times, uint32_t n, CodecEffort effort, Buf *out);

/* Finds the instants in begin_ms < t <= end_ms: *ret_first is the number of the first, *ret_n how many. With ret_times
 * (room for e->n, in which more than the answer may be written) they are in ret_times[0..*ret_n). `bytes` are the
 * column without its CRC. 0 or -EBADMSG. */
int time_column_window(const uint8_t *bytes, size_t len, const TimeEntry *e, int64_t begin_ms, int64_t end_ms,
                       int64_t *ret_times, uint32_t *ret_first, uint32_t *ret_n) MUST_USE;

/* Columns that are being written, found by what is in them. */
typedef struct TimeTable {
        TimeEntry *entries;
        uint32_t n, cap;
        struct TimeKey *keys; /* open addressing; bounded: when it is full, columns are not shared any more */
        uint32_t n_keys, used;
} TimeTable;

void time_table_deinit(TimeTable *t);
/* 1 and the column's number when these instants are in the table; 0 and the number that it will have, after which
 * time_table_put() must follow. -ENOMEM. `seed` is the part's own. */
int time_table_find(TimeTable *t, const int64_t *times, uint32_t n, uint64_t seed, uint32_t *ret_number) MUST_USE;
void time_table_put(TimeTable *t, TimeEntry entry);
size_t time_table_bytes(const TimeTable *t);
