/* From the sensor's frames to the latest-value table, and back: each domain's tier. */
#include "daemon/daemon.h"
#include "daemon/policy.h"
#include "rt/log.h"

/* Without a sensor for this long, values say nothing about now. */
#define FORGET_AFTER SECONDS(5)

static void send_tier(Daemon *d, LatestEntity *e) {
        if (e->key.kind != ENTITY_DOMAIN)
                return;
        Attachment *a = attachment_ensure(e);
        Tier tier = policy_tier(d->settings, e->name, attachment_domain(e));
        if (a)
                a->tier = tier;
        if (d->sensor)
                sensor_link_send_tier(d->sensor, e->key, (uint16_t)tier);
}

void intake_apply_policies(Daemon *d) {
        size_t n;
        LatestEntity **domains = latest_range(&d->latest, ENTITY_DOMAIN, &n);
        for (size_t i = 0; i < n; i++)
                send_tier(d, domains[i]);
}

static void on_entity(void *context, LatestEntity *e) {
        Daemon *d = context;
        documents_describe(&d->documents, e);
        send_tier(d, e);
}

static void on_gone(void *context, LatestEntity *e) {
        Daemon *d = context;
        local_ingest_gone(&d->local, e);
        e->attachment = attachment_free(e->attachment);
}

static void on_blob(void *context, EntityKey key, BlobType type, const void *bytes, size_t n) {
        Daemon *d = context;
        LatestEntity *changed = NULL;
        int r = documents_take(&d->documents, key, type, bytes, n, d->settings->metadata_limit, &changed);
        if (r < 0) {
                char id[UUID_TEXT_LEN + 1];
                uuid_format(&key.id, id);
                LOG_LIMITED(LOG_WARN, "document.refused", id, LOG_S("entity", id), LOG_I("type", type),
                            LOG_I("bytes", n), LOG_E("error", r));
        } else if (changed) {
                send_tier(d, changed);
        }
}

static void on_forget(void *context) {
        Daemon *d = context;
        d->forget = loop_timer_stop(d->forget);
        LOG(LOG_WARN, "values.forgotten", LOG_S("reason", "no sensor for 5 s"));
        latest_clear(&d->latest);
}

/* The sensor sends everything anew; what it does not send is gone. */
static void on_connected(void *context) {
        Daemon *d = context;
        d->forget = loop_timer_stop(d->forget);
        latest_clear(&d->latest);
}

static void on_disconnected(void *context) {
        Daemon *d = context;
        d->forget = loop_timer_stop(d->forget);
        if (loop_timer(d->loop, FORGET_AFTER, (Duration){ 0 }, on_forget, d, &d->forget) < 0)
                latest_clear(&d->latest);
}

static const SensorLinkOps LINK_OPS = { .connected = on_connected, .disconnected = on_disconnected };

int intake_open(Daemon *d) {
        char path[108];
        const Settings *s = d->settings;
        latest_init(&d->latest, s->max_domains + s->max_containers + 1);
        d->latest.on_blob = on_blob;
        d->latest.on_gone = on_gone;
        d->latest.on_entity = on_entity;
        d->latest.context = d;
        documents_init(&d->documents, &d->latest);
        int r = local_ingest_init(&d->local, &d->latest, NULL, d->host_name);
        if (r < 0 || d->options.no_collect)
                return r;
        (void)snprintf(path, sizeof path, "%s/sensor.sock", s->runtime_dir);
        r = sensor_link_open(d->loop, path, &d->local.sink, &LINK_OPS, d, &d->sensor);
        if (r < 0)
                LOG(LOG_ERROR, "listen.failed", LOG_S("address", path), LOG_E("error", r));
        return r;
}

void intake_close(Daemon *d) {
        d->sensor = sensor_link_close(d->sensor);
        d->forget = loop_timer_stop(d->forget);
        latest_deinit(&d->latest);
        local_ingest_deinit(&d->local);
        documents_deinit(&d->documents);
}
