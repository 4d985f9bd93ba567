/* Sending on within parallaxd: its configuration, and what it says of itself. Without a store nothing is sent on. */
#include "daemon/daemon.h"
#include "rt/log.h"

int forwarding_read(const DaemonOptions *o, ForwardConfig **ret_config) {
        SettingsError error = { 0 };
        int r = forward_config_load(o->config, o->config_given, ret_config, &error);
        CLEANUP_FREE char *text = error.text;
        if (r < 0)
                fprintf(stderr, "%s\n", text ? text : o->config);
        return r;
}

/* What is dropped is said once a minute for each target and status; that a receiver is away, once a minute. */
static void on_complaint(void *context, const ForwardTargetConfig *target, const SenderAnswer *a, size_t samples,
                         bool dropped) {
        char key[FORWARD_NAME_MAX + 16];
        (void)context;
        (void)snprintf(key, sizeof key, "%s %d", target->name, dropped ? a->status : 0);
        if (dropped)
                LOG_LIMITED(LOG_ERROR, "remote_write.dropped", key, LOG_S("target", target->name),
                            LOG_I("status", a->status), LOG_I("samples", samples), LOG_S("why", a->why));
        else if (a->error)
                LOG_LIMITED(LOG_WARN, "remote_write.retrying", key, LOG_S("target", target->name),
                            LOG_E("error", a->error), LOG_S("why", a->why));
        else
                LOG_LIMITED(LOG_WARN, "remote_write.retrying", key, LOG_S("target", target->name),
                            LOG_I("status", a->status), LOG_S("why", a->why));
}

int forwarding_prepare(Daemon *d) {
        static const ForwardOps OPS = { .complaint = on_complaint };
        const StoreSettings *s = &d->settings->store;
        if (asprintf(&d->forward_directory, "%s/forward", s->directory) < 0) {
                d->forward_directory = NULL;
                return -ENOMEM;
        }
        int r = fetcher_open(d);
        if (r < 0)
                return r;
        ForwardOptions o = {
                .loop = d->loop,
                .fetcher = d->fetcher,
                .directory = d->forward_directory,
                .sync = strcmp(s->ack, "interval") != 0,
                .version = PARALLAX_VERSION,
        };
        return forward_new(&o, &OPS, d, &d->forward);
}

int forwarding_replace(Daemon *d, ForwardConfig *next) {
        char name[FORWARD_NAME_MAX + 1];
        const ForwardConfig *now = d->forward ? forward_config(d->forward) : NULL;
        bool same = now && forward_config_equal(now, next);
        if (!d->forward || same) {
                if (!d->forward && next->n_targets)
                        LOG(LOG_WARN, "remote_write.off", LOG_S("reason", "store.enabled is false"));
                (void)forward_config_free(next);
                return 0;
        }
        size_t n = next->n_targets;
        int r = forward_replace(d->forward, next, name);
        if (r < 0)
                LOG(LOG_ERROR, "remote_write.open_failed", LOG_S("target", name),
                    LOG_S("directory", d->forward_directory), LOG_E("error", r));
        else if (n)
                LOG(LOG_INFO, "remote_write.open", LOG_I("targets", n), LOG_S("directory", d->forward_directory));
        return r;
}

int forwarding_open(Daemon *d) {
        int r = backend_replace(d, d->settings, d->forward_config);
        if (r == 0)
                r = forwarding_replace(d, TAKE_PTR(d->forward_config));
        queries_configure(d); /* with the external labels */
        return r;
}

void forwarding_close(Daemon *d) {
        backend_close(d);
        d->forward = forward_free(d->forward);
        d->fetcher = http_fetcher_free(d->fetcher);
        d->forward_config = forward_config_free(d->forward_config);
        free(d->forward_directory);
        d->forward_directory = NULL;
}
