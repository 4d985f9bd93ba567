/* zhangjianweibj's libvirt exporter (Debian's prometheus-libvirt-exporter): every series of a domain
 * carries what Nova says of it. */
#include "export/domain_families.h"

static void base_labels(Render *r, const LatestEntity *e, size_t start, Span name) {
        Buf *text = &r->base.text;
        buf_put_str(text, "domain=\"");
        buf_put(text, name.text, name.len);
        buf_put_char(text, '"');
        char id[UUID_TEXT_LEN + 1];
        uuid_format(&e->key.id, id);
        const DomainDoc *d = attachment_domain(e);
        const LabelPair pairs[] = {
                { "instanceName", d ? d->nova_name : "" },
                { "instanceId", id },
                { "flavorName", d ? d->nova_flavor : "" },
                { "userName", d ? d->nova_user : "" },
                { "userId", d ? d->nova_user_uuid : "" },
                { "projectName", d ? d->nova_project : "" },
                { "projectId", d ? d->nova_project_uuid : "" },
                { "host", r->context->host_name },
        };
        for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
                expo_put_label(text, start, pairs[i].key, pairs[i].value, strlen(pairs[i].value));
}

static void host_labels(Render *r, const LatestEntity *e, size_t start, Span name) {
        (void)e, (void)name;
        expo_put_label(&r->base.text, start, "host", r->context->host_name, strlen(r->context->host_name));
}

static bool row_labels(Render *r, const LatestEntity *e, GroupId g, const Span *labels, size_t start) {
        if (row_is_removable(e, g, labels))
                return false;
        const DomainDoc *doc = attachment_domain(e);
        const char *key = NULL, *value = "";
        if (g == GROUP_DOM_BLOCK) {
                const DomainDisk *d = doc ? domain_doc_disk(doc, labels[0].text, labels[0].len) : NULL;
                key = "source_file";
                value = d ? domain_disk_source(d) : "";
        } else if (g == GROUP_DOM_NET) {
                const DomainInterface *n = doc ? domain_doc_interface(doc, labels[0].text, labels[0].len) : NULL;
                key = "source_bridge";
                value = n ? n->bridge : "";
        }
        if (key)
                expo_put_label(&r->rows.text, start, key, value, strlen(value));
        return render_group_keys(r, e, g, labels, start);
}

static void zhang_up(Render *r, const Family *f) {
        (void)f;
        if (r->n > 0 && latest_value(r->entities[0], M_HYP_UP_UP, 0) == 1)
                render_sample(r, 0, (Span){ "", 0 }, 1);
}

static void zhang_domains(Render *r, const Family *f) {
        (void)f;
        if (r->n > 0)
                render_sample(r, 0, (Span){ "", 0 }, latest_value(r->entities[0], M_HYP_UP_DOMAINS, 0));
}

static void zhang_state(Render *r, const Family *f) {
        (void)f;
        domain_state(r, "stateDesc");
}

static const Family HOST_FAMILIES[] = {
#define FUNCTION_HOST(n, t, f, h) { n, METRIC_##t, 0, f, h },
#define FAMILY(n, t, m, h)
#define FUNCTION(n, t, f, h)
#include "profile_zhangjianweibj.def"
#undef FUNCTION_HOST
#undef FAMILY
#undef FUNCTION
};

static const Family FAMILIES[] = {
#define FUNCTION_HOST(n, t, f, h)
#define FAMILY(n, t, m, h) { n, METRIC_##t, M_##m, NULL, h },
#define FUNCTION(n, t, f, h) { n, METRIC_##t, 0, f, h },
#include "profile_zhangjianweibj.def"
#undef FUNCTION_HOST
#undef FAMILY
#undef FUNCTION
};

void profile_zhangjianweibj(Render *r) {
        render_entities(r, ENTITY_HOST, NULL, host_labels, NULL);
        render_families(r, HOST_FAMILIES, ARRAY_LEN(HOST_FAMILIES));
        render_entities(r, ENTITY_DOMAIN, render_domain_name, base_labels, row_labels);
        render_families(r, FAMILIES, ARRAY_LEN(FAMILIES));
}
