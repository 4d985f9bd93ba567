/* Imports of Prometheus text and OpenMetrics: the samples of one body become calls of a SeriesSink.
 *
 * The body is read twice: once to see that every line is right, then for the sink; so that a body with a wrong line has
 * no effect, and is answered with 400 and "LINE:COLUMN: what was expected". Samples without a time get `now`. The
 * answer to a good one is 200 with {"samples": N}; other statuses as for remote write (ingest/remote_write.h), with a
 * line for each of the first samples that were not taken, "LINE: series: reason". */
#pragma once

#include "model/series_sink.h"
#include "net/http_server.h"

#define TEXT_IMPORT_MAX ((size_t)8 << 20)

typedef struct TextImport TextImport;

typedef struct TextImportStats {
        uint64_t requests, refused;
        uint64_t bytes, samples, exemplars;
        uint64_t faults[SAMPLE_FAULT_COUNT];
} TextImportStats;

int text_import_new(TextImport **ret_import) MUST_USE;
TextImport *text_import_free(TextImport *t);
const TextImportStats *text_import_stats(const TextImport *t);

/* OpenMetrics when the Content-Type is application/openmetrics-text, text when it is text/plain or absent (else 415).
 * The query parameter `line` is the number of the body's first line, `now` (ms) stands for the clock, so that the parts
 * of one file and a part that is sent again get the same time. True when the answer may go out only once *ret_ticket is
 * durable. */
bool text_import_take(TextImport *t, SeriesSink *sink, WallTime now, const HttpRequest *request, HttpResponse *response,
                      uint64_t *ret_ticket);
