/* What the engines know about their containers: names, images, labels.
 *
 * They are fetched and passed on as the bytes that came, never read here: labels are tenants' text and
 * this side is privileged. From the engine's socket one fixed request, `GET /containers/json?all=1` in
 * HTTP/1.0, and at most BLOB_MAX bytes until the engine closes or the deadline of 2 s passes. Without
 * a socket, the engine's files: config.v2.json of each known Docker container, Podman's containers.json.
 *
 * Nothing blocks: the caller watches engine_fd() for engine_events() and calls engine_step() when they
 * happen, and also once a second or so, which keeps deadlines and the refresh (every 60 s, and after
 * engine_refresh()):
 *
 *   engine_step(e, mono_now());
 *   if (engine_fd(e) != watched) { loop_fd_stop(watch); loop_fd(loop, engine_fd(e), engine_events(e), ...); }
 *   else if (watched >= 0) loop_fd_events(watch, engine_events(e));
 *
 * The descriptor closes inside engine_step(), so before calling it outside of the watch's own callback
 * nothing is needed, and after it the above. One fetcher an engine; one thread. */
#pragma once

#include "collect/container/container.h"

typedef struct EngineFetch EngineFetch;

typedef struct EngineOptions {
        Engine engine;           /* ENGINE_DOCKER or ENGINE_PODMAN */
        const char *root;        /* "/" in production; in front of the socket and the storage */
        const char *socket;      /* "/run/docker.sock" */
        const char *storage;     /* "/var/lib/docker" | "/var/lib/containers/storage" */
        EntityKey host;          /* key of the lists */
        const Containers *known; /* whose files to read when there is no socket; borrowed */
} EngineOptions;

typedef enum EngineState {
        ENGINE_STATE_UNKNOWN = 0, /* not asked yet */
        ENGINE_STATE_SOCKET,      /* the socket answered */
        ENGINE_STATE_FILES,       /* no socket; files were read */
        ENGINE_STATE_ABSENT,      /* neither */
        ENGINE_STATE_FAILED,      /* the socket is there and did not answer in time, or with too much */
} EngineState;

int engine_new(const EngineOptions *options, Sink *sink, EngineFetch **ret_fetch) MUST_USE;
EngineFetch *engine_free(EngineFetch *e);
static inline void engine_freep(EngineFetch **e) {
        *e = engine_free(*e);
}

/* Asks again with the next step: a container came or went. At most once in 2 s. */
void engine_refresh(EngineFetch *e);
/* As engine_refresh(), and files are sent again even if they did not change: the peer forgot. */
void engine_resync(EngineFetch *e);
/* Goes on as far as it can without blocking. */
void engine_step(EngineFetch *e, MonoTime now);
/* The descriptor to watch, -1 when nothing is under way; LOOP_READ or LOOP_WRITE. */
int engine_fd(const EngineFetch *e);
int engine_events(const EngineFetch *e);
EngineState engine_state(const EngineFetch *e);
