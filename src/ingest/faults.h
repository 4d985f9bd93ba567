/* What of a request was not taken, and why: counted by reason, the first ones kept as lines for a person. Bounded:
 * whatever is sent, a few KiB. */
#pragma once

#include "base/buf.h"
#include "model/series_sink.h"

typedef struct IngestFaults {
        uint64_t refused[SAMPLE_FAULT_COUNT]; /* samples */
        uint64_t total;
        Buf lines;
        unsigned n_lines;
} IngestFaults;

#define INGEST_FAULTS_NULL ((IngestFaults){ .lines = BUF_WITH_LIMIT(16u << 10) })

void ingest_faults_deinit(IngestFaults *f);
void ingest_faults_reset(IngestFaults *f);

/* One thing that is wrong, n samples long. */
typedef struct IngestFault {
        SampleFault fault;
        LabelsFault labels;   /* with SAMPLE_LABELS */
        const char *detail;   /* static text beside the fault's own, or NULL */
        const uint8_t *run;   /* of the series, of whatever bytes; may be cut or malformed */
        size_t run_len;
        int64_t time_ms;
        bool has_time;
        uint64_t n;
        uint32_t line;        /* of a text; 0: none */
} IngestFault;
void ingest_faults_add(IngestFaults *f, const IngestFault *fault);

/* The HTTP status that says what to do about it: 0 nothing is wrong, 400 do not send these again, 429 there are limits
 * (again later), 503 no memory (again). */
int ingest_faults_status(const IngestFaults *f);
/* "2 of 100 samples were not taken: 2 duplicate", and the lines. */
void ingest_faults_print(const IngestFaults *f, uint64_t sent, Buf *out);
/* A series as people write it, whatever its bytes are: escaped, and cut when it is long. */
void ingest_print_series(const uint8_t *run, size_t len, Buf *out);
