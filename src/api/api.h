/* Answers to HTTP requests: one table of routes (routes.c), one file a resource.
 *
 * Everything is answered from the latest-value table, at once. A context is one listener's: what its
 * /metrics serves, and whether it serves more than the exposition. Single-threaded, keeps nothing
 * but how long the last expositions were. */
#pragma once

#include "export/export.h"
#include "net/http_server.h"

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
        size_t expected[EXPORT_PROFILE_COUNT]; /* bytes of the last exposition; ours */
} ApiContext;

/* Fills the response. Never fails: what goes wrong becomes a status of 500. */
void api_handle(ApiContext *c, const HttpRequest *request, HttpResponse *response);
