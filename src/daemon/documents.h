/* What arrives as blobs (domain XML, the engines' JSON), parsed here, without privileges, and hung on the
 * entities it is about. Lists of containers are kept, because an entity may come after the list that names it. */
#pragma once

#include "export/attachment.h"
#include "model/latest.h"

typedef struct Documents {
        Latest *latest;
        EngineList docker, podman;
        uint64_t parsed, refused; /* whole blobs */
        uint64_t left_out;        /* containers of lists that were over a limit or no containers */
} Documents;

void documents_init(Documents *d, Latest *latest);
void documents_deinit(Documents *d);
/* Takes a blob; *ret_changed is the entity whose document it was, NULL when it was none's alone.
 * 0, or what the parser said. */
int documents_take(Documents *d, EntityKey key, BlobType type, const void *bytes, size_t n, size_t metadata_limit,
                   LatestEntity **ret_changed) MUST_USE;
/* A container appeared or changed: what the lists say of it. */
void documents_describe(Documents *d, LatestEntity *e);
