/* Tinkoff's libvirt exporter, and beside it what nobody else measures: parallax_domain_*. */
#include "export/domain_families.h"

static void base_labels(Render *r, const LatestEntity *e, size_t start, Span name) {
        (void)e;
        (void)start;
        buf_put_str(&r->base.text, "domain=\"");
        buf_put(&r->base.text, name.text, name.len);
        buf_put_char(&r->base.text, '"');
}

static void parallax_labels(Render *r, const LatestEntity *e, size_t start, Span name) {
        base_labels(r, e, start, name);
        char id[UUID_TEXT_LEN + 1];
        uuid_format(&e->key.id, id);
        expo_put_label(&r->base.text, start, "uuid", id, UUID_TEXT_LEN);
}

static void tinkoff_info_meta(Render *r, const Family *f) {
        (void)f;
        for (size_t i = 0; i < r->n; i++) {
                char id[UUID_TEXT_LEN + 1];
                uuid_format(&r->entities[i]->key.id, id);
                const DomainDoc *d = attachment_domain(r->entities[i]);
                domain_info_sample(r, i, (const LabelPair[]){
                        { "uuid", id },
                        { "instance_name", d ? d->nova_name : "" },
                        { "flavor", d ? d->nova_flavor : "" },
                        { "user_name", d ? d->nova_user : "" },
                        { "user_uuid", d ? d->nova_user_uuid : "" },
                        { "project_name", d ? d->nova_project : "" },
                        { "project_uuid", d ? d->nova_project_uuid : "" },
                        { "root_type", d ? d->nova_root_type : "" },
                        { "root_uuid", d ? d->nova_root_uuid : "" },
                        { NULL, NULL },
                });
        }
}

/* Whether an earlier disk of the document has the same target: libvirt forbids it, hostile XML does not. */
static bool disk_is_repeated(const DomainDoc *d, size_t k) {
        return domain_doc_disk(d, d->disks[k].target, strlen(d->disks[k].target)) != &d->disks[k];
}

static void tinkoff_block_meta(Render *r, const Family *f) {
        (void)f;
        for (size_t i = 0; i < r->n; i++) {
                const DomainDoc *doc = attachment_domain(r->entities[i]);
                for (size_t k = 0; doc && k < doc->n_disks; k++) {
                        const DomainDisk *d = &doc->disks[k];
                        if (disk_is_repeated(doc, k))
                                continue;
                        domain_info_sample(r, i, (const LabelPair[]){
                                { "target_device", d->target },
                                { "source_file", domain_disk_source(d) },
                                { "serial", d->serial },
                                { "bus", d->bus },
                                { "disk_type", d->type },
                                { "driver_type", d->driver_type },
                                { "cache", d->cache },
                                { "discard", d->discard },
                                { NULL, NULL },
                        });
                }
        }
}

static void tinkoff_interface_meta(Render *r, const Family *f) {
        (void)f;
        for (size_t i = 0; i < r->n; i++) {
                const DomainDoc *doc = attachment_domain(r->entities[i]);
                for (size_t k = 0; doc && k < doc->n_interfaces; k++) {
                        const DomainInterface *n = &doc->interfaces[k];
                        if (!n->target[0] || (!n->bridge[0] && !n->interface_id[0]))
                                continue;
                        if (domain_doc_interface(doc, n->target, strlen(n->target)) != n)
                                continue;
                        domain_info_sample(r, i, (const LabelPair[]){
                                { "source_bridge", n->bridge },
                                { "target_device", n->target },
                                { "virtual_interface", n->interface_id },
                                { NULL, NULL },
                        });
                }
        }
}

/* The limits come from the document: libvirt's answer to virDomainGetBlockIoTune is what it says there,
 * and 0, its word for "no limit", for what it does not say. */
static void limit_family(Render *r, IoTune limit) {
        for (size_t i = 0; i < r->n; i++) {
                const DomainDoc *doc = attachment_domain(r->entities[i]);
                for (size_t k = 0; doc && k < doc->n_disks; k++) {
                        const DomainDisk *d = &doc->disks[k];
                        if (!domain_disk_is_disk(d) || disk_is_repeated(doc, k))
                                continue;
                        Buf *text = &r->rows.text;
                        size_t start = text->len;
                        expo_put_label(text, start, "target_device", d->target, strlen(d->target));
                        if (!buf_error(text))
                                render_sample(r, i, (Span){ text->data + start, text->len - start },
                                              (double)d->iotune[limit]);
                        text->len = start;
                }
        }
}

#define LIMIT(n, id, h) \
        static void limit_##id(Render *r, const Family *f) { (void)f; limit_family(r, IOTUNE_##id); }
#define HOST(n, t, m, h)
#define FUNCTION_HOST(n, t, f, h)
#define FAMILY(n, t, m, h)
#define FUNCTION(n, t, f, h)
#include "profile_tinkoff.def"
#undef HOST
#undef FUNCTION_HOST
#undef LIMIT
#undef FAMILY
#undef FUNCTION

static const Family HOST_FAMILIES[] = {
#define HOST(n, t, m, h) { n, METRIC_##t, M_##m, NULL, h },
#define FUNCTION_HOST(n, t, f, h) { n, METRIC_##t, 0, f, h },
#define FAMILY(n, t, m, h)
#define FUNCTION(n, t, f, h)
#define LIMIT(n, id, h)
#include "profile_tinkoff.def"
#undef HOST
#undef FUNCTION_HOST
#undef FAMILY
#undef FUNCTION
#undef LIMIT
};

static const Family FAMILIES[] = {
#define HOST(n, t, m, h)
#define FUNCTION_HOST(n, t, f, h)
#define FAMILY(n, t, m, h) { n, METRIC_##t, M_##m, NULL, h },
#define FUNCTION(n, t, f, h) { n, METRIC_##t, 0, f, h },
#define LIMIT(n, id, h) { n, METRIC_GAUGE, 0, limit_##id, h },
#include "profile_tinkoff.def"
#undef HOST
#undef FUNCTION_HOST
#undef FAMILY
#undef FUNCTION
#undef LIMIT
};

static void age_family(Render *r) {
        static const Span LANES[LANE_COUNT] = {
                { "lane=\"kernel\"", 13 }, { "lane=\"libvirt\"", 14 }, { "lane=\"monitor\"", 14 },
        };
        expo_family(&r->expo, "parallax_domain_age_seconds", METRIC_GAUGE,
                    "Age of the newest values of the domain, by the lane that brings them.");
        for (size_t i = 0; i < r->n; i++)
                for (Lane lane = 0; lane < LANE_COUNT; lane++) {
                        double age = latest_lane_age(r->entities[i], lane, r->context->now);
                        if (age >= 0)
                                render_sample(r, i, LANES[lane], age);
                }
}

void profile_tinkoff(Render *r) {
        render_entities(r, ENTITY_HOST, NULL, NULL, NULL);
        render_families(r, HOST_FAMILIES, ARRAY_LEN(HOST_FAMILIES));
        render_entities(r, ENTITY_DOMAIN, render_domain_name, base_labels, NULL);
        render_families(r, FAMILIES, ARRAY_LEN(FAMILIES));
        render_entities(r, ENTITY_DOMAIN, render_domain_name, parallax_labels, NULL);
        age_family(r);
        render_prefix(r, ENTITY_DOMAIN, "parallax_domain_");
}
