/* What Parallax itself sees of this host. */
#include "api/resource.h"

#include "base/escape.h"

static size_t count(const ApiContext *c, EntityKind kind) {
        size_t n = 0;
        (void)latest_range(c->latest, kind, &n);
        return n;
}

static void put_versions(const LatestEntity *host, Buf *out) {
        Span labels[GROUP_MAX_KEYS];
        json_key(out, "versions");
        if (!host || !latest_row_labels(host, GROUP_HYP_VERSION, 0, labels)) {
                buf_put_str(out, "null");
                return;
        }
        buf_put_char(out, '{');
        for (size_t k = 0; k < GROUPS[GROUP_HYP_VERSION].n_keys; k++) {
                json_key(out, GROUPS[GROUP_HYP_VERSION].keys[k]);
                buf_put_char(out, '"');
                escape_json(out, labels[k].text, labels[k].len);
                buf_put_char(out, '"');
        }
        buf_put_char(out, '}');
}

static double host_value(const LatestEntity *host, MetricId m) {
        double v = host ? latest_value(host, m, 0) : value_absent();
        return value_is_absent(v) ? v : unit_expose(METRICS[m].unit, v);
}

static void put_host(const ApiContext *c, const LatestEntity *host, Buf *out) {
        json_key(out, "host");
        buf_put_char(out, '{');
        json_text(out, "name", c->host_name ? c->host_name : "");
        json_field(out, "cpus", host_value(host, M_MACHINE_CORES));
        json_field(out, "memory_bytes", host_value(host, M_MACHINE_MEMORY));
        buf_put_char(out, '}');
}

static void put_libvirt(const ApiContext *c, const LatestEntity *host, Buf *out) {
        double up = host_value(host, M_HYP_UP_UP);
        json_key(out, "libvirt");
        buf_put_char(out, '{');
        json_text(out, "uri", c->libvirt_uri ? c->libvirt_uri : "");
        json_bool(out, "up", up == 1);
        json_field(out, "domains", host_value(host, M_HYP_UP_DOMAINS));
        json_field(out, "connections", host_value(host, M_HYP_UP_RECONNECTS));
        json_field(out, "worker_kills", host_value(host, M_HYP_UP_KILLS));
        put_versions(host, out);
        buf_put_char(out, '}');
}

static void put_listeners(const ApiContext *c, Buf *out) {
        json_key(out, "listeners");
        buf_put_char(out, '[');
        for (size_t i = 0; i < c->n_listeners; i++) {
                json_item(out);
                buf_put_char(out, '{');
                json_text(out, "address", c->listeners[i].address);
                json_text(out, "metrics", c->listeners[i].metrics);
                buf_put_char(out, '}');
        }
        buf_put_char(out, ']');
}

void api_status(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)request, (void)rest;
        Buf *out = &response->body;
        size_t n = 0;
        LatestEntity **hosts = latest_range(c->latest, ENTITY_HOST, &n);
        const LatestEntity *host = n ? hosts[0] : NULL;
        buf_put_char(out, '{');
        json_text(out, "version", c->version ? c->version : "");
        put_host(c, host, out);
        json_key(out, "sensor");
        buf_put_char(out, '{');
        json_bool(out, "connected", c->self && c->self->value[SELF_SENSOR_CONNECTED] > 0);
        double age = host ? latest_lane_age(host, LANE_KERNEL, api_now(c)) : -1;
        json_field(out, "age_seconds", age < 0 ? value_absent() : age);
        buf_put_char(out, '}');
        put_libvirt(c, host, out);
        json_key(out, "counts");
        buf_put_char(out, '{');
        json_field(out, "vms", (double)count(c, ENTITY_DOMAIN));
        json_field(out, "containers", (double)count(c, ENTITY_CONTAINER));
        json_field(out, "refused", (double)c->latest->refused);
        buf_put_char(out, '}');
        put_listeners(c, out);
        forward_put_status(c->forward, out);
        buf_put_str(out, "}\n");
        response->status = 200;
        response->content_type = JSON_TYPE;
}
