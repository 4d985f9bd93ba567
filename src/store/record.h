/* Payloads of the log's records. All numbers are varints (base/varint.h), little end first; differences are zigzag.
 *
 * The first three begin with the number of a *naming*: what refs mean is declared anew whenever it changes, at a start
 * and when the head has forgotten series. So a sample whose series' declaration is lost is known to be nobody's, also
 * when an earlier naming had a series of that number.
 *
 *   RECORD_SERIES      for each: ref, length of the run, the run. From here on the ref means that series.
 *   RECORD_FLOATS      for each series: its ref as the difference to the one before in this record (0 before the
 *                      first); n; then n times: instant in ms as the difference to the one before in this record (0
 *                      before the first), and 8 bytes of value
 *   RECORD_HISTOGRAMS  for each: ref, instant, length, canonical bytes
 *   RECORD_METADATA    as metadata_write()
 *
 * A record's bytes were checked by the log's checksum, so what is malformed is a defect or an attack: -EBADMSG, never a
 * crash.
 *
 * Private to src/store. */
#pragma once

#include "base/buf.h"

typedef struct RecordVisitor {
        void (*naming)(void *context, uint64_t naming);
        int (*series)(void *context, uint32_t ref, const uint8_t *run, size_t len);
        int (*floats)(void *context, uint32_t ref, int64_t time_ms, double value);
        int (*histogram)(void *context, uint32_t ref, int64_t time_ms, const uint8_t *bytes, size_t n);
        int (*metadata)(void *context, const uint8_t *bytes, size_t n);
} RecordVisitor;

/* Walks over one record; a non-zero answer of the visitor ends it. 0, -EBADMSG, or that answer. Unknown types are
 * -EBADMSG. */
int record_visit(uint8_t type, const uint8_t *payload, size_t n, const RecordVisitor *visitor, void *context) MUST_USE;

/* Begins a payload of one of the first three types. */
void record_begin(Buf *payload, uint64_t naming);
void record_put_series(Buf *payload, uint32_t ref, const uint8_t *run, size_t len);
/* Continues the RECORD_FLOATS payload whose last ref and instant are in *last_ref and *last_ms. */
void record_put_floats(Buf *payload, uint32_t *last_ref, int64_t *last_ms, uint32_t ref, const int64_t *times,
                       const double *values, size_t n);
void record_put_histogram(Buf *payload, uint32_t ref, int64_t time_ms, const uint8_t *bytes, size_t n);
