/* One segment of a queue, as bytes: header, records, the samples in them. Private to the queue; the layout and the
 * argument why it loses nothing are the essay on top of segment.c. Pure functions, but for queue_segment_list(). */
#pragma once

#include "base/uuid.h"
#include "model/labels.h"
#include "store/vfs/vfs.h"

#define QUEUE_VERSION 1
#define QUEUE_HEADER 64
#define QUEUE_RECORD_HEADER 32
/* Of a record's payload; a request that is longer becomes several. */
#define QUEUE_RECORD_MAX ((size_t)1 << 20)
#define QUEUE_SEGMENT_MAX ((uint64_t)1 << 30)
#define QUEUE_NUMBER_MAX 999999999u
#define QUEUE_SERIES_MAX 4000000u /* of one segment */
#define QUEUE_SEQ_MAX (UINT64_C(1) << 62)
#define QUEUE_NAME_MAX 20

typedef struct QueueHeader {
        uint32_t version, number;
        Uuid id;            /* of the queue: a segment of another one is not read */
        uint64_t first_seq; /* no sample in it has a lower number */
        int64_t created_ms; /* wall clock */
} QueueHeader;

typedef struct QueueRecord {
        uint32_t length, payload_crc;
        uint64_t first_seq; /* number of its first sample; the others follow */
        uint32_t samples;
        int64_t newest_ms; /* greatest time of a sample in it */
} QueueRecord;

/* A file's name with its number, "queue-00000007"; and the number of a name, if it is one that this makes. */
void queue_file_name(const char *prefix, uint32_t number, char ret_name[QUEUE_NAME_MAX]);
bool queue_file_number(const char *prefix, const char *name, uint32_t *ret_number);
void queue_segment_name(uint32_t number, char ret_name[QUEUE_NAME_MAX]);
/* Numbers of the segments there are, ascending, as an array of uint32_t. */
int queue_segment_list(Vfs *v, Buf *ret_numbers) MUST_USE;

void queue_header_put(uint8_t out[QUEUE_HEADER], const QueueHeader *h);
/* False when it is damaged. */
bool queue_header_get(const uint8_t in[QUEUE_HEADER], QueueHeader *ret_header);
/* `number` is the segment's: a record belongs to one place. */
void queue_record_put(uint8_t out[QUEUE_RECORD_HEADER], uint32_t number, const QueueRecord *r);
bool queue_record_get(const uint8_t in[QUEUE_RECORD_HEADER], uint32_t number, QueueRecord *ret_record);
uint32_t queue_payload_crc(const void *bytes, size_t n);

/* ---- A record's payload ---- */

/* Begins the samples of a series; with `run` it is declared here. Then come n samples. */
void queue_put_series(Buf *out, uint32_t id, const uint8_t *run, size_t run_len, size_t n_samples);
/* *time_ms is the time before this one in the record, 0 at its beginning, and becomes this one. */
void queue_put_float(Buf *out, int64_t *time_ms, int64_t next_ms, double value);
void queue_put_histogram(Buf *out, int64_t *time_ms, int64_t next_ms, const uint8_t *bytes, size_t n);
void queue_put_exemplar(Buf *out, int64_t *time_ms, int64_t next_ms, double value, const uint8_t *labels, size_t n);

typedef enum QueueKind { QUEUE_FLOAT, QUEUE_HISTOGRAM, QUEUE_EXEMPLAR } QueueKind;

typedef struct QueueEntry {
        bool declares;          /* a series: its run is at run[0..run_len), and *this* is no sample */
        uint32_t series;        /* its number in the segment */
        const uint8_t *run;
        size_t run_len;
        int64_t time_ms;
        double value;
        QueueKind kind;
        const uint8_t *bytes; /* of a histogram; of an exemplar's labels, perhaps none */
        size_t len;
} QueueEntry;

/* Reads a payload: declarations and samples in order. */
typedef struct QueueCursor {
        const uint8_t *at, *end;
        uint32_t series;
        uint64_t left; /* samples of that series */
        int64_t time_ms;
} QueueCursor;

#define QUEUE_CURSOR(bytes_, n_) ((QueueCursor){ .at = (bytes_), .end = (bytes_) + (n_) })

/* 1 with the next entry, 0 at the end, -EBADMSG for what is no payload. */
int queue_cursor_next(QueueCursor *c, QueueEntry *ret_entry) MUST_USE;
