#include "export/attachment.h"

static ContainerNote *note_free(ContainerNote *n) {
        if (!n)
                return NULL;
        for (size_t i = 0; i < n->n_labels; i++) {
                free(n->labels[i].key);
                free(n->labels[i].value);
        }
        free(n->labels);
        free(n->name);
        free(n->image);
        free(n->state);
        free(n->status);
        free(n);
        return NULL;
}

static void note_freep(ContainerNote **n) {
        *n = note_free(*n);
}

Attachment *attachment_ensure(LatestEntity *e) {
        if (!e->attachment)
                e->attachment = calloc(1, sizeof(Attachment));
        return e->attachment;
}

Attachment *attachment_free(Attachment *a) {
        if (!a)
                return NULL;
        domain_doc_free(a->domain);
        note_free(a->container);
        free(a);
        return NULL;
}

void attachment_set_domain(Attachment *a, DomainDoc *doc) {
        domain_doc_free(a->domain);
        a->domain = doc;
}

static int copy_labels(ContainerNote *n, const EngineContainer *c) {
        size_t count = c->n_labels < ATTACHMENT_LABELS_MAX ? c->n_labels : ATTACHMENT_LABELS_MAX;
        n->labels = calloc(count ? count : 1, sizeof *n->labels);
        if (!n->labels)
                return -ENOMEM;
        for (; n->n_labels < count; n->n_labels++) {
                EngineLabel *to = &n->labels[n->n_labels];
                to->key = strdup(c->labels[n->n_labels].key);
                to->value = strdup(c->labels[n->n_labels].value);
                if (!to->key || !to->value) {
                        free(to->key);
                        free(to->value);
                        return -ENOMEM;
                }
        }
        return 0;
}

int attachment_set_container(Attachment *a, const EngineContainer *c) {
        CLEANUP(note_freep) ContainerNote *n = calloc(1, sizeof *n);
        if (!n)
                return -ENOMEM;
        n->name = strdup(c->name);
        n->image = strdup(c->image);
        n->state = strdup(c->state);
        n->status = strdup(c->status);
        n->created = c->created;
        if (!n->name || !n->image || !n->state || !n->status || copy_labels(n, c) < 0)
                return -ENOMEM;
        note_free(a->container);
        a->container = TAKE_PTR(n);
        return 0;
}
