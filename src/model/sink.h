/* Where collectors and ingesters write. The latest-value table is one sink, the frame writer of the
 * sensor is another, tests use a recording one; the store will be a fourth.
 *
 * All calls borrow their arguments. A sink that cannot take something counts it and goes on: a
 * collector has nothing better to do with the failure. Called from the thread that owns the sink. */
#pragma once

#include "model/batch.h"

/* Raw bytes of a document that the privileged side moves and never reads (see docs/architecture.md,
 * "Two rules"). Assembled from length-capped parts. */
typedef enum BlobType {
        BLOB_DOMAIN_XML = 1,   /* key: the domain; virDomainGetXMLDesc */
        BLOB_DOCKER_LIST,      /* key: the host; answer of GET /containers/json?all=1, HTTP head included */
        BLOB_PODMAN_LIST,      /* key: the host; the same of Podman's socket */
        BLOB_DOCKER_CONFIG,    /* key: the container; config.v2.json */
        BLOB_PODMAN_CONFIGS,   /* key: the host; overlay-containers/containers.json */
        BLOB_TYPE_COUNT
} BlobType;

#define BLOB_MAX ((size_t)4 << 20)

typedef struct Sink Sink;
struct Sink {
        void (*batch)(Sink *s, const Batch *b);
        void (*entity)(Sink *s, const EntityInfo *info);
        /* The entity is no more; nothing of it follows unless an entity() with its key does. */
        void (*gone)(Sink *s, EntityKey key);
        /* A group of the entity cannot be had any more (a cgroup without that controller, a device gone). */
        void (*group_gone)(Sink *s, EntityKey key, GroupId group);
        void (*blob)(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n);
};

static inline void sink_batch(Sink *s, const Batch *b) {
        s->batch(s, b);
}
static inline void sink_entity(Sink *s, const EntityInfo *info) {
        s->entity(s, info);
}
static inline void sink_gone(Sink *s, EntityKey key) {
        s->gone(s, key);
}
static inline void sink_group_gone(Sink *s, EntityKey key, GroupId group) {
        s->group_gone(s, key, group);
}
static inline void sink_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        s->blob(s, key, type, bytes, n);
}
/* Writes what the builder holds, if it could be built. */
static inline void sink_build(Sink *s, const BatchBuilder *b) {
        Batch view;
        if (batch_view(b, &view))
                s->batch(s, &view);
}
