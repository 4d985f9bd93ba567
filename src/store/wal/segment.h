/* One segment of the log, as bytes: names, headers, records. Private to the log; the layout is the essay on top of
 * wal.c. Pure functions, but for segment_list(). */
#pragma once

#include "base/uuid.h"
#include "store/vfs/vfs.h"

#define WAL_VERSION 1
#define SEGMENT_HEADER 56
#define RECORD_HEADER 32
#define RECORD_ALIGN 8
/* Numbers beyond these are nobody's: they would leave no room to count on. */
#define SEGMENT_NUMBER_MAX 999999999
#define LSN_MAX (UINT64_C(1) << 62)
#define SEGMENT_NAME_MAX 16

typedef struct SegmentHeader {
        uint32_t version, number;
        Uuid store;
        uint64_t first_lsn; /* of the first record in it */
        uint64_t run_lsn;   /* the first one that the process which wrote it wrote */
        uint32_t previous;  /* number of the segment before it that has records; 0: none */
} SegmentHeader;

typedef struct RecordHeader {
        uint32_t length, payload_crc;
        uint64_t lsn;
        uint64_t durable; /* records up to this one were durable when this one was collected */
        uint8_t type;
} RecordHeader;

/* Bytes of a record with its header and padding. */
static inline uint64_t record_size(uint32_t length) {
        return RECORD_HEADER + (((uint64_t)length + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1));
}

void segment_name(uint32_t number, char ret_name[SEGMENT_NAME_MAX]);
/* Numbers of the segments there are, ascending, as an array of uint32_t. */
int segment_list(Vfs *v, Buf *ret_numbers) MUST_USE;

void segment_header_put(uint8_t out[SEGMENT_HEADER], const SegmentHeader *h);
/* False when it is damaged. Version and store are for the caller to look at. */
bool segment_header_get(const uint8_t in[SEGMENT_HEADER], SegmentHeader *ret_header);

/* What the checksum of each record's header begins with: a record belongs to one store. */
uint32_t record_seed(Uuid store);
void record_header_put(uint8_t out[RECORD_HEADER], uint32_t seed, const RecordHeader *h);
bool record_header_get(const uint8_t in[RECORD_HEADER], uint32_t seed, RecordHeader *ret_header);
