/* Another engine with Prometheus's API behind ours: what is asked of the history is asked of it, with the same method
 * and parameters, and its answer is given unchanged: status, type and body. What it does not answer becomes
 * Prometheus's envelope of an error: 503 when it cannot be reached or does not answer in time, 502 when what it answers
 * is no answer or too long.
 *
 * Loop's thread. Answers are read whole, at most BACKEND_BODY_MAX. */
#pragma once

#include "net/http_fetch.h"
#include "net/http_server.h"

#define BACKEND_BODY_MAX ((size_t)128 << 20)

typedef struct Backend Backend;

typedef struct BackendStats {
        uint64_t requests, failed; /* failed: no answer of the engine's */
        size_t under_way;
} BackendStats;

/* `url` is what comes before "/api/v1/...". `options` are borrowed. -EINVAL for what is no URL. */
int backend_new(HttpFetcher *fetcher, const char *url, const HttpFetchOptions *options, Duration timeout,
                Backend **ret_backend) MUST_USE;
/* Cancels what is under way; who waits gets 503. */
Backend *backend_free(Backend *b);
/* Asks, and answers later; as ApiContext.backend, with the backend as context. */
void backend_answer(void *backend, const HttpRequest *request, HttpResponse *response);
const BackendStats *backend_stats(const Backend *b);
