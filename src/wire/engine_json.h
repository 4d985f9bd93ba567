/* What container engines say about their containers, parsed from their JSON: hostile input (labels are
 * tenants' text), read without privileges.
 *
 * Pure and bounded: a list is cut into its elements first, each element is parsed on its own (at most
 * ENGINE_ELEMENT_MAX bytes, ENGINE_DEPTH_MAX deep), so one bad container costs only itself and memory
 * stays near the size of the input. What is over a limit is left out and counted. Texts are cut at
 * ENGINE_TEXT_MAX bytes (between characters) and at a NUL. */
#pragma once

#include "base/cleanup.h"

#include <stddef.h>
#include <stdint.h>

#define ENGINE_DEPTH_MAX 32
#define ENGINE_CONTAINERS_MAX 10000
#define ENGINE_LABELS_MAX 128
#define ENGINE_TEXT_MAX 4096
#define ENGINE_ELEMENT_MAX ((size_t)1 << 20)

typedef struct EngineLabel {
        char *key, *value;
} EngineLabel;

/* Texts are never NULL; "" = not said. */
typedef struct EngineContainer {
        char *id;      /* full id */
        char *name;    /* without the slash in front */
        char *image;   /* as the user wrote it; the image's id when there is no name */
        char *state;   /* "running", "exited", "paused", ... */
        char *status;  /* "Up 5 minutes" */
        int64_t created; /* unix seconds; 0 = not said */
        EngineLabel *labels;
        size_t n_labels;
} EngineContainer;

typedef struct EngineList {
        EngineContainer *containers;
        size_t n;
        size_t skipped; /* elements that were no containers or over a limit */
} EngineList;

#define ENGINE_LIST_NULL ((EngineList){ .n = 0 })

void engine_list_deinit(EngineList *l);
/* The container with this id, NULL when unknown. */
const EngineContainer *engine_list_find(const EngineList *l, const char *id);

/* All: 0; -EBADMSG (not what it should be), -EREMOTEIO (HTTP status is not 200), -ENOMEM. *ret only on success. */

/* BLOB_DOCKER_LIST, BLOB_PODMAN_LIST: an HTTP answer with its head, body plain or chunked. */
int engine_parse_answer(const void *bytes, size_t n, EngineList *ret) MUST_USE;
/* The body alone. */
int engine_parse_list(const void *bytes, size_t n, EngineList *ret) MUST_USE;
/* BLOB_DOCKER_CONFIG: config.v2.json, one container. */
int engine_parse_docker_config(const void *bytes, size_t n, EngineList *ret) MUST_USE;
/* BLOB_PODMAN_CONFIGS: overlay-containers/containers.json. */
int engine_parse_podman_configs(const void *bytes, size_t n, EngineList *ret) MUST_USE;
