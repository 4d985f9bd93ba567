/* What parallaxd has read about an entity beside its numbers, hung on LatestEntity.attachment: the parsed
 * domain XML, or what the engine says of a container, and the tier in force. Owned by the entity;
 * Latest's on_gone frees it. */
#pragma once

#include "model/latest.h"
#include "rt/settings.h"
#include "wire/domain_xml.h"
#include "wire/engine_json.h"

#define ATTACHMENT_LABELS_MAX 64u

typedef struct ContainerNote {
        char *name, *image, *state, *status; /* "" = not said */
        int64_t created;                     /* unix seconds; 0 = not said */
        EngineLabel *labels;                 /* at most ATTACHMENT_LABELS_MAX */
        size_t n_labels;
} ContainerNote;

typedef struct Attachment {
        DomainDoc *domain;        /* NULL until its XML was read */
        ContainerNote *container; /* NULL until an engine told about it */
        Tier tier;
} Attachment;

/* What hangs on the entity, NULL when nothing does. */
static inline Attachment *attachment_get(const LatestEntity *e) {
        return e->attachment;
}
/* The same, made when there is none; NULL when memory ran out. */
Attachment *attachment_ensure(LatestEntity *e);
Attachment *attachment_free(Attachment *a);
/* Takes the document, frees the one before. */
void attachment_set_domain(Attachment *a, DomainDoc *doc);
/* Copies; keeps what it had when memory runs out (-ENOMEM). */
int attachment_set_container(Attachment *a, const EngineContainer *c) MUST_USE;

static inline const DomainDoc *attachment_domain(const LatestEntity *e) {
        return e->attachment ? attachment_get(e)->domain : NULL;
}
static inline const ContainerNote *attachment_container(const LatestEntity *e) {
        return e->attachment ? attachment_get(e)->container : NULL;
}
