/* The receiver of Prometheus remote write, 1.0 and 2.0: one request becomes calls of a SeriesSink, and an answer that
 * says what became of it.
 *
 *   204 all was taken                        400 some or all is wrong: do not send it again. What is good was written
 *   413 over 8 MiB sent or 32 MiB unpacked   415 another encoding or content type
 *   429 a limit of series                    503 disk, log or memory: send it again; both with Retry-After
 *
 * Answers to 2.0 tell by X-Prometheus-Remote-Write-*-Written how much was taken. Exemplars go to the sink, which keeps
 * the latest; what is wrong with one does not change the status. A request that is malformed anywhere has no effect at
 * all. Single-threaded; keeps buffers between requests. */
#pragma once

#include "model/series_sink.h"
#include "net/http_server.h"

#define REMOTE_WRITE_BODY_MAX ((size_t)8 << 20)
#define REMOTE_WRITE_RAW_MAX ((size_t)32 << 20)

typedef struct RemoteWrite RemoteWrite;

typedef struct RemoteWriteStats {
        uint64_t requests, refused; /* refused: nothing of it was looked at */
        uint64_t bytes, raw_bytes;
        uint64_t samples, histograms, exemplars, metadata; /* taken */
        uint64_t exemplars_dropped;
        uint64_t faults[SAMPLE_FAULT_COUNT]; /* samples not taken */
} RemoteWriteStats;

/* 0, or -ENOMEM. */
int remote_write_new(RemoteWrite **ret_writer) MUST_USE;
RemoteWrite *remote_write_free(RemoteWrite *w);
const RemoteWriteStats *remote_write_stats(const RemoteWrite *w);

/* Fills the response. True when it may go out only once *ret_ticket is durable. */
bool remote_write_take(RemoteWrite *w, SeriesSink *sink, const HttpRequest *request, HttpResponse *response,
                       uint64_t *ret_ticket);
