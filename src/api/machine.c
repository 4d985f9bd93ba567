/* Everything about one machine. */
#include "api/resource.h"

#include "base/escape.h"

static const char *base_unit(Unit u) {
        switch (u) {
        case UNIT_NS: case UNIT_US: case UNIT_MS: case UNIT_TICK: case UNIT_SECOND: return "seconds";
        case UNIT_BYTE: case UNIT_KIB: case UNIT_PAGE: case UNIT_SECTOR: case UNIT_MIB: return "bytes";
        case UNIT_PERCENT: return "percent";
        default: return "";
        }
}

static void group_metrics(GroupId g, Buf *out) {
        json_key(out, "metrics");
        buf_put_char(out, '[');
        for (size_t i = 0; i < group_columns(g); i++) {
                const MetricDesc *d = &METRICS[GROUPS[g].first + i];
                json_item(out);
                buf_put_char(out, '{');
                json_text(out, "name", d->name);
                json_text(out, "label", d->label);
                json_text(out, "type", d->type == METRIC_COUNTER ? "counter" : "gauge");
                json_text(out, "unit", base_unit(d->unit));
                json_text(out, "help", d->help);
                buf_put_char(out, '}');
        }
        buf_put_char(out, ']');
}

static void row_labels(const LatestEntity *e, GroupId g, uint32_t row, Buf *out) {
        Span labels[GROUP_MAX_KEYS];
        json_key(out, "labels");
        buf_put_char(out, '{');
        if (GROUPS[g].n_keys > 0 && latest_row_labels(e, g, row, labels))
                for (size_t k = 0; k < GROUPS[g].n_keys; k++) {
                        json_key(out, GROUPS[g].keys[k]);
                        buf_put_char(out, '"');
                        escape_json(out, labels[k].text, labels[k].len);
                        buf_put_char(out, '"');
                }
        buf_put_char(out, '}');
}

/* Values stand in the order of `metrics`. */
static void row_values(const LatestGroup *group, GroupId g, uint32_t row, Buf *out) {
        size_t columns = group_columns(g);
        json_key(out, "values");
        buf_put_char(out, '[');
        for (size_t i = 0; i < columns; i++) {
                double v = group->values[row * columns + i];
                json_item(out);
                json_number(out, value_is_absent(v) ? v : unit_expose(METRICS[GROUPS[g].first + i].unit, v));
        }
        buf_put_char(out, ']');
}

static void put_group(const ApiContext *c, const LatestEntity *e, GroupId g, const LatestGroup *group, Buf *out) {
        static const char *const LANES[LANE_COUNT] = { "kernel", "libvirt", "monitor" };
        json_item(out);
        buf_put_char(out, '{');
        json_text(out, "group", GROUPS[g].id);
        json_text(out, "lane", LANES[GROUPS[g].lane]);
        json_text(out, "help", GROUPS[g].help);
        json_field(out, "age_seconds", latest_group_age(e, g, api_now(c)));
        json_field(out, "timestamp", (double)(group->wall.ns / NS_PER_MS) / 1000);
        group_metrics(g, out);
        json_key(out, "rows");
        buf_put_char(out, '[');
        for (uint32_t row = 0; row < group->n_rows; row++) {
                json_item(out);
                buf_put_char(out, '{');
                row_labels(e, g, row, out);
                row_values(group, g, row, out);
                buf_put_char(out, '}');
        }
        buf_put_str(out, "]}");
}

static void put_disks(const DomainDoc *d, Buf *out) {
        static const char *const LIMITS[IOTUNE_COUNT] = {
#define IOTUNE(id, element) [IOTUNE_##id] = element,
#include "wire/iotune.def"
#undef IOTUNE
        };
        json_key(out, "disks");
        buf_put_char(out, '[');
        for (size_t i = 0; i < d->n_disks; i++) {
                const DomainDisk *k = &d->disks[i];
                json_item(out);
                buf_put_char(out, '{');
                json_text(out, "target", k->target);
                json_text(out, "device", k->device);
                json_text(out, "type", k->type);
                json_text(out, "bus", k->bus);
                json_text(out, "source", domain_disk_source(k));
                json_text(out, "protocol", k->source_protocol);
                json_text(out, "serial", k->serial);
                json_text(out, "driver", k->driver_name);
                json_text(out, "format", k->driver_type);
                json_text(out, "cache", k->cache);
                json_text(out, "discard", k->discard);
                json_key(out, "limits");
                buf_put_char(out, '{');
                for (size_t l = 0; l < IOTUNE_COUNT; l++)
                        if (k->iotune[l])
                                json_field(out, LIMITS[l], (double)k->iotune[l]);
                buf_put_str(out, "}}");
        }
        buf_put_char(out, ']');
}

static void put_interfaces(const DomainDoc *d, Buf *out) {
        json_key(out, "interfaces");
        buf_put_char(out, '[');
        for (size_t i = 0; i < d->n_interfaces; i++) {
                const DomainInterface *n = &d->interfaces[i];
                json_item(out);
                buf_put_char(out, '{');
                json_text(out, "target", n->target);
                json_text(out, "type", n->type);
                json_text(out, "bridge", n->bridge);
                json_text(out, "mac", n->mac);
                json_text(out, "model", n->model);
                json_text(out, "mtu", n->mtu);
                json_text(out, "interface_id", n->interface_id);
                buf_put_char(out, '}');
        }
        buf_put_char(out, ']');
}

static void put_nova(const DomainDoc *d, Buf *out) {
        json_key(out, "nova");
        if (!d->has_nova) {
                buf_put_str(out, "null");
                return;
        }
        buf_put_char(out, '{');
        json_text(out, "name", d->nova_name);
        json_text(out, "flavor", d->nova_flavor);
        json_text(out, "user", d->nova_user);
        json_text(out, "user_uuid", d->nova_user_uuid);
        json_text(out, "project", d->nova_project);
        json_text(out, "project_uuid", d->nova_project_uuid);
        json_text(out, "root_type", d->nova_root_type);
        json_text(out, "root_uuid", d->nova_root_uuid);
        buf_put_char(out, '}');
}

static void put_domain(const DomainDoc *d, Buf *out) {
        buf_put_char(out, '{');
        json_text(out, "name", d->name);
        json_text(out, "title", d->title);
        json_text(out, "os_type", d->os_type);
        json_text(out, "arch", d->os_arch);
        json_text(out, "machine", d->os_machine);
        json_field(out, "max_vcpus", d->max_vcpus ? d->max_vcpus : value_absent());
        json_field(out, "current_vcpus", d->current_vcpus ? d->current_vcpus : value_absent());
        json_field(out, "memory_bytes", d->memory_bytes ? (double)d->memory_bytes : value_absent());
        json_bool(out, "truncated", d->truncated);
        put_nova(d, out);
        put_disks(d, out);
        put_interfaces(d, out);
        buf_put_char(out, '}');
}

static void put_container(const ContainerNote *n, Buf *out) {
        buf_put_char(out, '{');
        json_text(out, "name", n->name);
        json_text(out, "image", n->image);
        json_text(out, "state", n->state);
        json_text(out, "status", n->status);
        json_field(out, "created", n->created ? (double)n->created : value_absent());
        json_key(out, "labels");
        buf_put_char(out, '{');
        for (size_t i = 0; i < n->n_labels; i++)
                json_text(out, n->labels[i].key, n->labels[i].value);
        buf_put_str(out, "}}");
}

static void put_document(const LatestEntity *e, Buf *out) {
        json_key(out, "document");
        if (attachment_domain(e))
                put_domain(attachment_domain(e), out);
        else if (attachment_container(e))
                put_container(attachment_container(e), out);
        else
                buf_put_str(out, "null");
}

static void put_machine(const ApiContext *c, const LatestEntity *e, Buf *out) {
        buf_put_char(out, '{');
        json_key(out, "machine");
        machine_summary(c, e, out);
        json_field(out, "pid", e->pid ? e->pid : value_absent());
        json_field(out, "started", e->started_ns ? (double)e->started_ns / 1e9 : value_absent());
        json_text(out, "cgroup", e->path ? e->path : "");
        put_document(e, out);
        json_key(out, "groups");
        buf_put_char(out, '[');
        for (GroupId g = 0; g < GROUP_COUNT; g++) {
                const LatestGroup *group = GROUPS[g].kind == e->key.kind ? latest_group(e, g) : NULL;
                if (group && group->mono.ns != 0)
                        put_group(c, e, g, group, out);
        }
        buf_put_str(out, "]}\n");
}

/* How well `text` names the machine: 3 its whole id, 2 its name, 1 the beginning of its id, 0 not. */
static int match(const LatestEntity *e, const char *text) {
        char id[UUID_TEXT_LEN + 1];
        uuid_format(&e->key.id, id);
        const char *ident = e->key.kind == ENTITY_DOMAIN ? id : e->ident ? e->ident : "";
        if (strcasecmp(ident, text) == 0)
                return 3;
        const ContainerNote *note = attachment_container(e);
        if ((e->name && strcmp(e->name, text) == 0) || (note && note->name[0] && strcmp(note->name, text) == 0))
                return 2;
        return strlen(text) >= 4 && strncasecmp(ident, text, strlen(text)) == 0;
}

void api_machine(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)request;
        const LatestEntity *found = NULL;
        int best = 0, equals = 0;
        for (EntityKind k = ENTITY_DOMAIN; k <= ENTITY_CONTAINER; k++) {
                size_t n = 0;
                LatestEntity **entities = latest_range(c->latest, k, &n);
                for (size_t i = 0; i < n; i++) {
                        int m = match(entities[i], rest);
                        if (m == 0 || m < best)
                                continue;
                        equals = m > best ? 1 : equals + 1;
                        best = m;
                        found = entities[i];
                }
        }
        if (!found) {
                api_error(response, 404, "no machine has this UUID, name or id");
                return;
        }
        if (equals > 1) {
                api_error(response, 409, "several machines have this name or begin so; give the whole UUID or id");
                return;
        }
        put_machine(c, found, &response->body);
        response->status = 200;
        response->content_type = JSON_TYPE;
}
