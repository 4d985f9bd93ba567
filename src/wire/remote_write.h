/* Prometheus remote write: the messages prometheus.WriteRequest (1.0) and io.prometheus.write.v2.Request (2.0).
 *
 * A request is read whole before anything of it is used, so that a malformed one has no effect. Reading fills the
 * arrays of an RwRequest that is used again and again: in the long run nothing is allocated, and labels, histograms and
 * texts stay where they are, in the message, which must outlive the use. Counts are bounded (RW_*_MAX).
 *
 *   rw_parse(message, n, version, &q, &error)
 *   for each q.series[i]: rw_series_run(), then q.times/q.values from first_float on, q.histograms from first_histogram on */
#pragma once

#include "base/buf.h"
#include "model/group.h"
#include "model/labels.h"

#define RW_SERIES_MAX 500000u
#define RW_SAMPLES_MAX 2000000u
#define RW_SYMBOLS_MAX 1000000u
#define RW_METADATA_MAX 100000u
/* Labels of 2.0 are references: all of a request's written out, at most. */
#define RW_EXPANDED_MAX ((uint64_t)256 << 20)

typedef enum RwVersion { RW_1, RW_2 } RwVersion;

typedef struct RwSeries {
        const uint8_t *message; /* TimeSeries, for rw_series_run() */
        const uint8_t *run;     /* 1.0: its labels as a run in place; 2.0: packed references; NULL: neither was there at one place */
        uint32_t message_len, run_len;
        uint32_t first_float, n_floats;
        uint32_t first_histogram, n_histograms;
        uint32_t first_exemplar, n_exemplars;
        uint32_t help, unit; /* 2.0: symbols */
        bool has_metadata;   /* 2.0 */
        MetricType type;
} RwSeries;

typedef struct RwHistogram {
        const uint8_t *bytes;
        uint32_t len;
} RwHistogram;

/* An Exemplar message, for rw_exemplar(). */
typedef struct RwExemplar {
        const uint8_t *bytes;
        uint32_t len;
} RwExemplar;

typedef struct RwMetadata {
        Span name, help, unit;
        MetricType type;
} RwMetadata;

typedef struct RwRequest {
        RwVersion version;
        RwSeries *series;
        int64_t *times; /* of all floats, series by series */
        double *values;
        RwHistogram *histograms;
        RwExemplar *exemplars;
        Span *symbols;        /* 2.0 */
        RwMetadata *metadata; /* 1.0 */
        size_t n_series, n_floats, n_histograms, n_symbols, n_metadata, n_exemplars;
        size_t cap_series, cap_times, cap_values, cap_histograms, cap_symbols, cap_metadata, cap_exemplars;
        uint64_t expanded; /* 2.0: bytes of all labels */
        Buf run;           /* the one that was built last */
} RwRequest;

#define RW_REQUEST_NULL ((RwRequest){ 0 })

typedef struct RwError {
        const char *what; /* static text */
        size_t at;        /* byte in the message */
} RwError;

/* 0, -EBADMSG (malformed, or a message of the other version), -E2BIG (over a limit above), -ENOMEM; then with *ret_error and an empty
 * request. */
int rw_parse(const uint8_t *message, size_t n, RwVersion version, RwRequest *q, RwError *ret_error) MUST_USE;
void rw_request_deinit(RwRequest *q);
/* Gives back what a request over the usual size took. */
void rw_request_trim(RwRequest *q);

/* The labels of a series as a run, in place or built in q->run, until the next call: the sender's order, without labels whose value is
 * empty. Not checked beyond its shape, that is the sink's part; but what is over the limits of labels.h is a fault here
 * already when the run had to be built, and then the run is what came before it. */
LabelsFault rw_series_run(RwRequest *q, const RwSeries *s, const uint8_t **ret_run, size_t *ret_len) MUST_USE;
/* An exemplar; its labels are appended to ret_run as a canonical run (perhaps empty). False when it is malformed: exemplars are looked at
 * only now, a bad one is no reason to refuse its series. */
bool rw_exemplar(const RwRequest *q, const RwExemplar *e, Buf *ret_run, double *ret_value, int64_t *ret_time_ms) MUST_USE;
