/* Answers to HTTP requests: one table of routes (routes.c), one file a resource.
 *
 * Reads of the latest-value table are answered at once, those of history by jobs on threads of their own (queries.h).
 * Writes go to a SeriesSink and are answered when what they brought is durable: by the AckQueue, which the program
 * advances. A context is one listener's: what its /metrics serves, and whether it serves more than the exposition.
 * Single-threaded, keeps nothing. */
#pragma once

#include "api/queries.h"
#include "api/store_jobs.h"
#include "export/export.h"
#include "ingest/ack_queue.h"
#include "ingest/remote_write.h"
#include "ingest/text.h"
#include "net/http_server.h"
#include "rt/settings.h"
#include "forward/forward.h"
#include "scrape/scrape.h"
#include "store/store.h"

typedef struct ApiListener {
        const char *address, *metrics;
} ApiListener;

typedef struct ApiContext {
        const Latest *latest;
        SelfStats *self; /* SELF_SENSOR_CONNECTED is read, scrapes are counted; may be NULL */
        const char *host_name, *version;
        const char *libvirt_uri;
        const ApiListener *listeners; /* for /api/v1/parallax/status */
        size_t n_listeners;
        const char *metrics;      /* of this listener: "all", "libvirt", "node", "container", "self" */
        MonoTime (*clock)(void);  /* NULL: mono_now */
        WallTime (*wall)(void);   /* NULL: wall_now */
        bool no_collect;          /* runs without a sensor: ready all the same */
        /* Writes; without a sink they are answered with 404. The others are there when the sink is. */
        SeriesSink *sink;
        AckQueue *acks;
        RemoteWrite *remote_write;
        TextImport *import;
        ApiQueries *queries;      /* what is asked in PromQL; NULL: 404 */
        Store *store;             /* for /api/v1/status/tsdb and /api/v1/parallax/store; NULL: 404 */
        Forward *forward;         /* for the status and /metrics/self; NULL: nothing is sent on */
        const Scrape *scrape;     /* for /api/v1/targets and its like; NULL: nothing is scraped */
        /* Runs fn(store, job) elsewhere and then done(job, its result) here; -EBUSY while another one is under way. */
        int (*run_job)(void *context, int (*fn)(Store *s, void *job), void (*done)(void *job, int result), void *job);
        void *run_job_context;
        StoreJobs *jobs;          /* there when the store is */
        void (*store_stats)(Store *s, StoreStats *ret_stats); /* store_stats(), store_top(), or a test's */
        size_t (*store_top)(Store *s, StoreTopKind kind, StoreTop *ret_top, size_t most);
        const Settings *settings; /* for what is told of them, and for web.*; NULL: none of it */
        WallTime started;
        unsigned query_features;  /* PromqlFeature */
        /* Another engine that answers what is asked of the history (query, series, labels, ..., federate, remote read):
         * NULL, there is none. Fills the response, or holds the request. All parameters are in request->params. */
        void (*backend)(void *context, const HttpRequest *request, HttpResponse *response);
        void *backend_context;
        /* Reloads the settings, or ends the program, and answers; not before the handler has returned. */
        void (*lifecycle)(void *run_job_context, bool quit, HttpHeld *held);
        size_t *expected;         /* of EXPORT_PROFILE_COUNT: bytes of the last expositions; NULL: nobody keeps them */
} ApiContext;

/* How many bytes a request may post: for HttpBodyLimit. 0: none, it is no such route, or not from here. */
size_t api_body_limit(const HttpRequest *request);

/* Fills the response. Never fails: what goes wrong becomes a status of 500. */
void api_handle(ApiContext *c, const HttpRequest *request, HttpResponse *response);
