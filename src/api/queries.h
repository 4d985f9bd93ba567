/* What is asked in PromQL and its neighbours: requests of Prometheus's API that read the store. Each is a job of a pool
 * of threads, fair between those who ask, with limits of its own; the client is held until it is done, and what nobody
 * waits for any more is cancelled. Called from the loop's thread. */
#pragma once

#include "query/query.h"
#include "rt/pool.h"

typedef struct ApiQueries ApiQueries;

typedef struct ApiQuerySettings {
        QueryLimits limits;      /* of each; timeout counts from the request on */
        size_t max_answer;       /* bytes of an answer before it is compressed */
        Duration lookback;
        unsigned features;       /* PromqlFeature */
        unsigned concurrency, concurrency_source; /* at a time; of one source */
        unsigned queue, queue_source;             /* that wait */
        const uint8_t
                *external; /* labels as a canonical run that /federate and remote read add; borrowed during the call */
        size_t external_len;
} ApiQuerySettings;

void api_query_settings_default(ApiQuerySettings *s);

int api_queries_new(Loop *loop, Store *store, const ApiQuerySettings *s, ApiQueries **ret_queries) MUST_USE;
/* Cancels what runs, drops what waits. Accepts NULL. */
ApiQueries *api_queries_free(ApiQueries *q);
/* For jobs from now on; how many run and wait stays as it was. */
int api_queries_configure(ApiQueries *q, const ApiQuerySettings *s) MUST_USE;

typedef struct ApiQueryStats {
        PoolStats pool;
        uint64_t cancelled, timeouts, limited, samples; /* ended so; samples that were decoded */
        Duration busy; /* of all threads */
} ApiQueryStats;
void api_queries_stats(ApiQueries *q, ApiQueryStats *ret_stats);
