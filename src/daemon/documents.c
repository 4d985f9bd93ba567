#include "daemon/documents.h"

void documents_init(Documents *d, Latest *latest) {
        *d = (Documents){ .latest = latest, .docker = ENGINE_LIST_NULL, .podman = ENGINE_LIST_NULL };
}

void documents_deinit(Documents *d) {
        engine_list_deinit(&d->docker);
        engine_list_deinit(&d->podman);
}

static int take_domain(Documents *d, LatestEntity *e, const void *bytes, size_t n, size_t metadata_limit) {
        DomainDoc *doc = NULL;
        (void)d;
        int r = domain_doc_parse(bytes, n, metadata_limit, &doc);
        if (r < 0)
                return r;
        Attachment *a = attachment_ensure(e);
        if (!a) {
                (void)domain_doc_free(doc);
                return -ENOMEM;
        }
        /* Believed only about the domain under whose UUID it came. */
        if (doc->has_uuid && !uuid_equal(&doc->uuid, &e->key.id)) {
                (void)domain_doc_free(doc);
                return -EBADMSG;
        }
        attachment_set_domain(a, doc);
        return 0;
}

static void describe_from(LatestEntity *e, const EngineContainer *c) {
        Attachment *a = c ? attachment_ensure(e) : NULL;
        if (a && attachment_set_container(a, c) < 0)
                return; /* without memory it keeps what it had */
}

void documents_describe(Documents *d, LatestEntity *e) {
        if (e->engine == ENGINE_DOCKER)
                describe_from(e, engine_list_find(&d->docker, e->ident));
        else if (e->engine == ENGINE_PODMAN)
                describe_from(e, engine_list_find(&d->podman, e->ident));
}

static void describe_all(Documents *d, Engine engine) {
        size_t n;
        LatestEntity **containers = latest_range(d->latest, ENTITY_CONTAINER, &n);
        for (size_t i = 0; i < n; i++)
                if (containers[i]->engine == engine)
                        documents_describe(d, containers[i]);
}

static int take_list(Documents *d, Engine engine, int (*parse)(const void *, size_t, EngineList *), const void *bytes,
                     size_t n) {
        EngineList fresh = ENGINE_LIST_NULL, *kept = engine == ENGINE_DOCKER ? &d->docker : &d->podman;
        int r = parse(bytes, n, &fresh);
        if (r < 0)
                return r;
        d->left_out += fresh.skipped;
        engine_list_deinit(kept);
        *kept = fresh;
        describe_all(d, engine);
        return 0;
}

static int take_config(LatestEntity *e, const void *bytes, size_t n) {
        CLEANUP(engine_list_deinit) EngineList one = ENGINE_LIST_NULL;
        int r = engine_parse_docker_config(bytes, n, &one);
        if (r < 0)
                return r;
        describe_from(e, engine_list_find(&one, e->ident));
        return 0;
}

static int take(Documents *d, LatestEntity *e, BlobType type, const void *bytes, size_t n, size_t metadata_limit) {
        switch (type) {
        case BLOB_DOMAIN_XML:
                return e ? take_domain(d, e, bytes, n, metadata_limit) : -ENOENT;
        case BLOB_DOCKER_LIST:
                return take_list(d, ENGINE_DOCKER, engine_parse_answer, bytes, n);
        case BLOB_PODMAN_LIST:
                return take_list(d, ENGINE_PODMAN, engine_parse_answer, bytes, n);
        case BLOB_PODMAN_CONFIGS:
                return take_list(d, ENGINE_PODMAN, engine_parse_podman_configs, bytes, n);
        case BLOB_DOCKER_CONFIG:
                return e ? take_config(e, bytes, n) : -ENOENT;
        default:
                return -EBADMSG;
        }
}

int documents_take(Documents *d, EntityKey key, BlobType type, const void *bytes, size_t n, size_t metadata_limit,
                   LatestEntity **ret_changed) {
        LatestEntity *e = latest_find(d->latest, &key);
        int r = take(d, e, type, bytes, n, metadata_limit);
        if (r < 0) {
                d->refused++;
                return r;
        }
        d->parsed++;
        *ret_changed = type == BLOB_DOMAIN_XML || type == BLOB_DOCKER_CONFIG ? e : NULL;
        return 0;
}
