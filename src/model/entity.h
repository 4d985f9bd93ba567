/* An entity is what values belong to: the host, a domain, a container.
 *
 * Its key is its identity and never changes: a domain's libvirt UUID; for a container the first 128
 * bits of XXH3 over "<engine>/<id>"; for the host its machine-id. Names are labels beside it. */
#pragma once

#include "base/uuid.h"
#include "model/group.h"

typedef struct EntityKey {
        EntityKind kind;
        Uuid id;
} EntityKey;

static inline bool entity_key_equal(const EntityKey *a, const EntityKey *b) {
        return a->kind == b->kind && uuid_equal(&a->id, &b->id);
}

/* What holds a container, in order of preference when several claim one cgroup. */
typedef enum Engine {
        ENGINE_NONE = 0, /* domains and the host */
        ENGINE_DOCKER,
        ENGINE_PODMAN,
        ENGINE_LXC,
        ENGINE_SYSTEMD, /* a systemd service */
        ENGINE_CGROUP,  /* the root and the slices, for the totals of cAdvisor's dashboards */
        ENGINE_COUNT
} Engine;

const char *engine_name(Engine e); /* "docker", ...; "" for ENGINE_NONE */

/* Attributes of an entity, sent when it appears and when one changes. Strings are bytes from outside:
 * any length up to ENTITY_TEXT_MAX, any contents. */
#define ENTITY_TEXT_MAX 4096

typedef struct EntityInfo {
        EntityKey key;
        Engine engine;
        uint32_t pid;       /* QEMU process, or a container's first process; 0 = not running */
        int64_t started_ns; /* wall clock; 0 = unknown */
        const char *name;   /* domain name; container name or short id until the engine tells it; host name */
        size_t name_len;
        const char *path;   /* container: cgroup path below its mount ("/docker/<id>"); else "" */
        size_t path_len;
        const char *ident;  /* container: the engine's full id, or the unit's name; else "" */
        size_t ident_len;
} EntityInfo;
