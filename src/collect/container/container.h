/* Collector of containers: Docker, Podman, LXC, systemd services, and the root and the slices for totals.
 *
 * They are found by walking the cgroup hierarchies, so no engine has to answer; names, images and
 * labels come later, from the engine, as bytes that nobody here reads (see engine.h). Values are read
 * by kept descriptors. Everything below `root`. A cgroup may vanish at any moment: then its values are
 * absent and the entity is gone with the next look.
 *
 * One thread. Nothing here blocks on anything but the kernel's own files. */
#pragma once

#include "base/time.h"
#include "model/sink.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct Containers Containers;

typedef struct ContainerOptions {
        bool docker, podman, lxc, services;
        bool slices;            /* the root and the slices, as ENGINE_CGROUP */
        bool machine;           /* MACHINE of `host` */
        EntityKey host;         /* the host's entity; somebody else announces it */
        const char *docker_root; /* "/var/lib/docker", below root; tells Docker's from other 64-digit names */
        size_t max_containers;  /* more are counted and left out, slices and services first */
        size_t max_descriptors; /* kept open in all; beyond it files are opened for each look */
} ContainerOptions;

/* Everything on, 1000 containers, 4096 descriptors, no host. */
ContainerOptions container_options_default(void);

typedef struct ContainerStats {
        size_t found;       /* containers in the last look */
        size_t left_out;    /* beyond max_containers, in the last look */
        size_t descriptors; /* kept open now */
        uint64_t changes;   /* containers that appeared, moved or vanished since the start */
        size_t by_engine[ENGINE_COUNT];
} ContainerStats;

/* Copies what it needs of the options. 0, -ENOENT without any cgroup hierarchy, -ENOMEM. */
int container_new(const char *root, const ContainerOptions *options, Containers **ret_containers) MUST_USE;
Containers *container_free(Containers *c);
static inline void container_freep(Containers **c) {
        *c = container_free(*c);
}

/* Walks the hierarchies, tells what came and went, sends the values of every container. */
void container_look(Containers *c, WallTime wall, MonoTime mono, Sink *sink);
/* The peer forgot everything: announces every known container again. */
void container_resync(Containers *c, Sink *sink);
const ContainerStats *container_stats(const Containers *c);

/* Ids of the known containers of one engine; `fn` may not change the collector. */
void container_each(const Containers *c, Engine engine, void (*fn)(void *context, EntityKey key, const char *id),
                    void *context);

/* The key of a container: XXH3-128 of "<engine>/<id>" (for services and slices the id is the path). */
EntityKey container_key(Engine engine, const char *id, size_t n);
