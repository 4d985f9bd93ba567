/* A native histogram as the store keeps it: one sample, as canonical bytes.
 *
 * The bytes are Prometheus's own protobuf message `Histogram` of remote write (io.prometheus.write.v2.Histogram without its
 * timestamp and start timestamp; the message of 1.0 has the same field numbers), fields in ascending order, packed where
 * they repeat, defaults left out; so that decoding and encoding it again gives the same bytes. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define HISTOGRAM_BYTES_MAX 65536u
#define HISTOGRAM_BUCKETS_MAX 1000u /* of one sign */

typedef struct HistogramSpan {
        int32_t offset;
        uint32_t length;
} HistogramSpan;

/* One sign's buckets: integer histograms have deltas, float histograms absolute counts. */
typedef struct HistogramSide {
        HistogramSpan spans[HISTOGRAM_BUCKETS_MAX];
        uint32_t n_spans;
        int64_t deltas[HISTOGRAM_BUCKETS_MAX];
        double counts[HISTOGRAM_BUCKETS_MAX];
        uint32_t n_buckets; /* sum of the spans' lengths */
} HistogramSide;

typedef struct Histogram {
        bool is_float;
        uint64_t count_int;
        double count_float;
        double sum; /* a staleness marker makes the sample one */
        int32_t schema;      /* -4..8, or -53: custom bounds */
        double zero_threshold;
        uint64_t zero_int;
        double zero_float;
        HistogramSide negative, positive;
        uint32_t reset_hint; /* 0 unknown, 1 yes, 2 no, 3 gauge */
        double custom_bounds[HISTOGRAM_BUCKETS_MAX];
        uint32_t n_custom;
} Histogram;

/* Parses a message of remote write 1.0 or 2.0, checks it by the rules there (spans within int32, as many buckets as spans
 * say, no negative counts, the sum of the buckets not over the count, schema known, custom bounds ascending). *ret_time_ms is its
 * timestamp field. 0 or -EBADMSG with *ret_why (static text). */
int histogram_parse(const uint8_t *bytes, size_t n, Histogram *ret_h, int64_t *ret_time_ms, const char **ret_why) MUST_USE;
/* Appends the canonical bytes. */
void histogram_write(const Histogram *h, Buf *out);
bool histogram_is_stale(const Histogram *h);
