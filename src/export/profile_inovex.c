/* inovex' libvirt exporter, as its code has it (its README differs). */
#include "export/domain_families.h"

static void base_labels(Render *r, const LatestEntity *e, size_t start, Span name) {
        (void)e, (void)start;
        buf_put_str(&r->base.text, "domain=\"");
        buf_put(&r->base.text, name.text, name.len);
        buf_put_char(&r->base.text, '"');
}

static bool row_labels(Render *r, const LatestEntity *e, GroupId g, const Span *labels, size_t start) {
        return !row_is_removable(e, g, labels) && render_group_keys(r, e, g, labels, start);
}

static bool pool_labels(Render *r, const LatestEntity *e, GroupId g, const Span *labels, size_t start) {
        if (g != GROUP_HYP_POOL)
                return render_group_keys(r, e, g, labels, start);
        expo_put_label(&r->rows.text, start, "storage_pool", labels[0].text, labels[0].len);
        return true;
}

static void inovex_pool_timed_out(Render *r, const Family *f) {
        (void)f;
        /* The pools' families came before this one, so their rows are prepared. */
        if (r->n == 0 || r->rows_group != GROUP_HYP_POOL)
                return;
        double up = latest_value(r->entities[0], M_HYP_UP_UP, 0);
        for (size_t i = 0; i < label_block_count(&r->rows); i++) {
                Span labels;
                if (label_block_get(&r->rows, i, &labels))
                        render_sample(r, 0, labels, !value_is_absent(up) && up == 1 ? 0 : 1);
        }
}

static void inovex_timed_out(Render *r, const Family *f) {
        (void)f;
        for (size_t i = 0; i < r->n; i++) {
                double stuck = latest_value(r->entities[i], M_DOM_WATCH_STUCK, 0);
                if (!value_is_absent(stuck))
                        render_sample(r, i, (Span){ "", 0 }, stuck > 0);
        }
}

static void inovex_info(Render *r, const Family *f) {
        (void)f;
        for (size_t i = 0; i < r->n; i++) {
                const DomainDoc *d = attachment_domain(r->entities[i]);
                if (d)
                        domain_info_sample(r, i, (const LabelPair[]){
                                { "os_type", d->os_type },
                                { "os_type_arch", d->os_arch },
                                { "os_type_machine", d->os_machine },
                                { NULL, NULL },
                        });
        }
}

static void inovex_openstack_info(Render *r, const Family *f) {
        (void)f;
        for (size_t i = 0; i < r->n; i++) {
                const DomainDoc *d = attachment_domain(r->entities[i]);
                if (!d || !d->has_nova)
                        continue;
                char id[UUID_TEXT_LEN + 1];
                uuid_format(&r->entities[i]->key.id, id);
                domain_info_sample(r, i, (const LabelPair[]){
                        { "instance_name", d->nova_name },
                        { "instance_id", id },
                        { "flavor_name", d->nova_flavor },
                        { "user_name", d->nova_user },
                        { "user_id", d->nova_user_uuid },
                        { "project_name", d->nova_project },
                        { "project_id", d->nova_project_uuid },
                        { NULL, NULL },
                });
        }
}

static void inovex_state(Render *r, const Family *f) {
        (void)f;
        domain_state(r, "state_desc");
}

static void inovex_block_info(Render *r, const Family *f) {
        (void)f;
        for (size_t i = 0; i < r->n; i++) {
                const DomainDoc *doc = attachment_domain(r->entities[i]);
                for (size_t k = 0; doc && k < doc->n_disks; k++) {
                        const DomainDisk *d = &doc->disks[k];
                        if (!domain_disk_is_disk(d) || domain_doc_disk(doc, d->target, strlen(d->target)) != d)
                                continue;
                        domain_info_sample(r, i, (const LabelPair[]){
                                { "disk_type", d->type },
                                { "target_bus", d->bus },
                                { "driver_name", d->driver_name },
                                { "driver_type", d->driver_type },
                                { "driver_cache", d->cache },
                                { "driver_discard", d->discard },
                                { "source_file", d->source_file },
                                { "source_protocol", d->source_protocol },
                                { "target_device", d->target },
                                { "serial", d->serial },
                                { NULL, NULL },
                        });
                }
        }
}

static void inovex_interface_info(Render *r, const Family *f) {
        (void)f;
        for (size_t i = 0; i < r->n; i++) {
                const DomainDoc *doc = attachment_domain(r->entities[i]);
                for (size_t k = 0; doc && k < doc->n_interfaces; k++) {
                        const DomainInterface *n = &doc->interfaces[k];
                        if (!n->target[0] || domain_doc_interface(doc, n->target, strlen(n->target)) != n)
                                continue;
                        domain_info_sample(r, i, (const LabelPair[]){
                                { "interface_type", n->type },
                                { "source_bridge", n->bridge },
                                { "target_device", n->target },
                                { "mac_address", n->mac },
                                { "model_type", n->model },
                                { "mtu_size", n->mtu },
                                { NULL, NULL },
                        });
                }
        }
}

static const Family HOST_FAMILIES[] = {
#define HOST(n, t, m, h) { n, METRIC_##t, M_##m, NULL, h },
#define FUNCTION_HOST(n, t, f, h) { n, METRIC_##t, 0, f, h },
#define FAMILY(n, t, m, h)
#define FUNCTION(n, t, f, h)
#include "profile_inovex.def"
#undef HOST
#undef FUNCTION_HOST
#undef FAMILY
#undef FUNCTION
};

static const Family FAMILIES[] = {
#define HOST(n, t, m, h)
#define FUNCTION_HOST(n, t, f, h)
#define FAMILY(n, t, m, h) { n, METRIC_##t, M_##m, NULL, h },
#define FUNCTION(n, t, f, h) { n, METRIC_##t, 0, f, h },
#include "profile_inovex.def"
#undef HOST
#undef FUNCTION_HOST
#undef FAMILY
#undef FUNCTION
};

void profile_inovex(Render *r) {
        render_entities(r, ENTITY_HOST, NULL, NULL, pool_labels);
        render_families(r, HOST_FAMILIES, ARRAY_LEN(HOST_FAMILIES));
        render_entities(r, ENTITY_DOMAIN, render_domain_name, base_labels, row_labels);
        render_families(r, FAMILIES, ARRAY_LEN(FAMILIES));
}
