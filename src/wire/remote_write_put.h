/* Writing the messages that remote_write.h reads, field by field into a Buf: prometheus.WriteRequest (1.0) and
 * io.prometheus.write.v2.Request (2.0). What is put is a whole field of the request, so a request is made by putting
 * one after the other; of 2.0 the symbols must come to stand before or behind the series, in the order of their
 * numbers, the first one empty.
 *
 * Runs are canonical (model/labels.h), histograms too (model/histogram.h): both are copied as they are. Texts are at
 * most 1 GiB. */
#pragma once

#include "model/group.h"
#include "model/labels.h"
#include "wire/remote_write.h"

typedef enum RwPutKind { RW_PUT_FLOAT, RW_PUT_HISTOGRAM, RW_PUT_EXEMPLAR } RwPutKind;

typedef struct RwPutSample {
        int64_t time_ms;
        double value;
        RwPutKind kind;
        uint32_t len;
        const uint8_t *
                /* of a histogram: itself; of an exemplar: its labels, in 1.0 a run, in 2.0 packed numbers of symbols */
                bytes;
} RwPutSample;

/* 1.0: a series with its samples, one kind after the other or in any order. */
void rw_put_series_1(Buf *out, const uint8_t *run, size_t run_len, const RwPutSample *samples, size_t n);
void rw_put_metadata_1(Buf *out, Span metric, MetricType type, Span help, Span unit);

/* 2.0: `refs` are symbols' numbers, of name and value in turn. */
typedef struct RwPutMetadata {
        MetricType type;
        uint32_t help, unit; /* symbols */
} RwPutMetadata;
void rw_put_symbol_2(Buf *out, Span text);
void rw_put_series_2(Buf *out, const uint32_t *refs, size_t n_refs, const RwPutSample *samples, size_t n,
                     const RwPutMetadata *metadata);
