/* Prometheus's remote read (prometheus.ReadRequest, ReadResponse, ChunkedReadResponse): what is asked, and the pieces
 * of which an answer is made. Labels are canonical runs (model/labels.h), which are field 1 of a series as they are. */
#pragma once

#include "base/buf.h"
#include "model/matcher.h"

#define READ_QUERIES_MAX 64u
#define READ_MATCHERS_MAX 64u
#define READ_REQUEST_MAX ((size_t)1 << 20) /* bytes, not compressed */

typedef struct ReadQuery {
        int64_t start_ms, end_ms; /* both included */
        Matcher matchers[READ_MATCHERS_MAX]; /* their texts borrow from the request */
        size_t n;
} ReadQuery;

typedef struct ReadRequest {
        ReadQuery *queries;
        size_t n;
        bool chunks;  /* the client takes streamed chunks */
        bool samples; /* ... or samples, also when it named nothing */
} ReadRequest;

void read_request_deinit(ReadRequest *r);
/* 0; -EBADMSG with the reason appended to `why`; -E2BIG (a limit above, named there); -ENOMEM. */
int read_request_parse(const uint8_t *bytes, size_t n, ReadRequest *ret_r, Buf *why) MUST_USE;

/* ---- Series ---- */

/* Begins, in `out`, a message whose length is not known yet; ends it. Messages nest. */
size_t read_message_begin(Buf *out, unsigned field);
void read_message_end(Buf *out, size_t begin);

/* Fields of TimeSeries and ChunkedSeries. The labels: a canonical run. */
void read_put_labels(Buf *out, const uint8_t *run, size_t len);
void read_put_sample(Buf *out, int64_t time_ms, double value);
/* `bytes`: canonical, see model/histogram.h. */
void read_put_histogram(Buf *out, int64_t time_ms, const uint8_t *bytes, size_t n);
/* The samples as chunks, with the first and the last time of each. */
void read_put_chunks(Buf *out, const int64_t *times, const double *values, size_t n);

/* A frame of a streamed answer: a ChunkedReadResponse of the series in `series` (each a field 1) for one query, with
 * its length and its checksum. */
void read_put_frame(Buf *out, const Buf *series, size_t query);
/* `in` as a block of snappy. 0 or -ENOMEM. */
int read_compress(const Buf *in, Buf *ret_out) MUST_USE;
