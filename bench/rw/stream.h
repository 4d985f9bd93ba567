/* A stream of ready remote-write 1.0 requests in a file, so that every server is sent the same bytes.
 *
 *   offset  size
 *   0       8     "RWSTREAM"
 *   then for each request
 *   0       4     n, length of the body, little end first
 *   4       4     samples in it
 *   8       n     body: snappy (block format) of a WriteRequest
 *
 * Request numbers count from 0. A last request that is cut off is -EBADMSG to the reader. */
#pragma once

#include "base/buf.h"
#include "base/scan.h"

#include <stdint.h>

/* ---- Writing ---- */

typedef struct RequestWriter {
        FILE *file;
        Buf raw, series, packed;
        uint32_t samples;                                      /* of the open request */
        uint64_t requests, total_samples, raw_bytes, wire_bytes; /* written so far */
} RequestWriter;

int request_writer_open(RequestWriter *w, const char *path) MUST_USE;
/* Closes; 0, or the first error of any write. */
int request_writer_close(RequestWriter *w) MUST_USE;
void request_series_begin(RequestWriter *w, const char *run, size_t len);
void request_sample(RequestWriter *w, int64_t ms, double value);
void request_series_end(RequestWriter *w);
/* Compresses and writes what was collected; nothing when there is nothing. */
int request_end(RequestWriter *w) MUST_USE;

/* ---- Reading ---- */

typedef struct StreamRequest {
        const char *body; /* valid until the stream is closed */
        size_t len;
        uint32_t samples;
} StreamRequest;

typedef struct StreamReader {
        const char *map;
        size_t len, at;
} StreamReader;
#define STREAM_READER_NULL ((StreamReader){ 0 })

int stream_open(StreamReader *r, const char *path) MUST_USE;
void stream_close(StreamReader *r);
/* 1 and a request, 0 at the end, or -EBADMSG. */
int stream_next(StreamReader *r, StreamRequest *ret_request) MUST_USE;

/* Takes a request apart; `run` is the labels of the series as sent, valid during the call. 0, -EBADMSG or -ENOMEM. */
typedef void (*RequestSample)(void *context, Span run, int64_t ms, double value);
int request_walk(const char *body, size_t len, RequestSample take, void *context) MUST_USE;
