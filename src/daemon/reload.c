/* Settings: the file, then what the command line puts over it. A reload takes all of a new file or nothing. */
#include "daemon/daemon.h"
#include "rt/log.h"
#include "rt/notify.h"

static void settings_freep(Settings **s) {
        (void)settings_free(*s);
}

static int set_text(char **member, const char *text, size_t n) {
        char *copy = strndup(text, n);
        if (!copy)
                return -ENOMEM;
        free(*member);
        *member = copy;
        return 0;
}

static int override_listeners(const DaemonOptions *o, Settings *s) {
        for (size_t i = 0; i < s->n_listeners; i++) {
                free(s->listeners[i].address);
                free(s->listeners[i].metrics);
        }
        s->n_listeners = 0;
        free(s->listeners);
        s->listeners = calloc(o->n_listen, sizeof *s->listeners);
        if (!s->listeners)
                return -ENOMEM;
        for (size_t i = 0; i < o->n_listen; i++) {
                ListenerSettings *l = &s->listeners[s->n_listeners++];
                size_t n = strcspn(o->listen[i], "=");
                const char *metrics = o->listen[i][n] ? o->listen[i] + n + 1 : "all";
                if (set_text(&l->address, o->listen[i], n) < 0 || set_text(&l->metrics, metrics, strlen(metrics)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int override(const DaemonOptions *o, Settings *s) {
        int r = o->n_listen ? override_listeners(o, s) : 0;
        if (r == 0 && o->runtime_dir)
                r = set_text(&s->runtime_dir, o->runtime_dir, strlen(o->runtime_dir));
        if (r == 0 && o->log_level)
                r = set_text(&s->log_level, o->log_level, strlen(o->log_level));
        if (r == 0 && o->data_dir)
                r = set_text(&s->store.directory, o->data_dir, strlen(o->data_dir));
        if (r == 0 && o->ack)
                r = set_text(&s->store.ack, o->ack, strlen(o->ack));
        if (o->data_dir)
                s->store.enabled = true;
        if (o->out_of_order.ns >= 0)
                s->store.out_of_order = o->out_of_order;
        if (o->retention_raw.ns >= 0)
                s->store.keep[0] = o->retention_raw;
        return r;
}

/* Errors go to standard error as they are, a line each, and into the log on one line. */
int settings_read(const DaemonOptions *o, Settings **ret_settings) {
        CLEANUP(settings_freep) Settings *s = NULL;
        SettingsError error = { 0 };
        int r = settings_load(o->config, o->config_given, &s, &error);
        CLEANUP_FREE char *text = error.text;
        if (r < 0) {
                fprintf(stderr, "%s\n", text ? text : o->config);
                return r;
        }
        unsigned features;
        r = override(o, s);
        if (r == 0)
                r = queries_features(s->query.features, &features);
        if (r < 0)
                return r;
        *ret_settings = TAKE_PTR(s);
        return 0;
}

static LogLevel log_level_of(const char *name) {
        static const struct {
                const char *name;
                LogLevel level;
        } LEVELS[] = { { "error", LOG_ERROR }, { "warn", LOG_WARN }, { "notice", LOG_NOTICE }, { "debug", LOG_DEBUG } };
        for (size_t i = 0; i < ARRAY_LEN(LEVELS); i++)
                if (strcmp(name, LEVELS[i].name) == 0)
                        return LEVELS[i].level;
        return LOG_INFO;
}

void apply_log(const Settings *s) {
        LogFormat format = strcmp(s->log_format, "json") == 0      ? LOG_FORMAT_JSON :
                           strcmp(s->log_format, "journal") == 0   ? LOG_FORMAT_JOURNAL :
                                                                     LOG_FORMAT_LOGFMT;
        log_setup("parallaxd", log_level_of(s->log_level), format);
}

char *host_name_of(const Settings *s) {
        char name[256] = "";
        if (*s->host_name)
                return strdup(s->host_name);
        (void)gethostname(name, sizeof name - 1);
        return strdup(*name ? name : "localhost");
}

static bool same_store(const StoreSettings *a, const StoreSettings *b) {
        return a->enabled == b->enabled && strcmp(a->directory, b->directory) == 0 && strcmp(a->ack, b->ack) == 0 &&
               a->out_of_order.ns == b->out_of_order.ns && a->memory == b->memory && a->n_resolutions == b->n_resolutions &&
               memcmp(a->keep, b->keep, sizeof a->keep) == 0 && memcmp(a->max_bytes, b->max_bytes, sizeof a->max_bytes) == 0;
}

static void warn_of_restart(const Settings *old, const Settings *next) {
        if (strcmp(old->runtime_dir, next->runtime_dir) != 0)
                LOG(LOG_WARN, "config.needs_restart", LOG_S("key", "runtime_dir"));
        if (strcmp(old->root, next->root) != 0)
                LOG(LOG_WARN, "config.needs_restart", LOG_S("key", "root"));
        if (!same_store(&old->store, &next->store))
                LOG(LOG_WARN, "config.needs_restart", LOG_S("key", "store"));
        if (old->query.concurrency != next->query.concurrency || old->query.concurrency_source != next->query.concurrency_source ||
            old->query.queue != next->query.queue || old->query.queue_source != next->query.queue_source)
                LOG(LOG_WARN, "config.needs_restart", LOG_S("key", "query.concurrency, query.queue"));
}

static void scrape_config_freep(ScrapeConfig **c) {
        *c = scrape_config_free(*c);
}

static void forward_config_freep(ForwardConfig **c) {
        *c = forward_config_free(*c);
}

static int replace(Daemon *d) {
        CLEANUP(settings_freep) Settings *next = NULL;
        CLEANUP(scrape_config_freep) ScrapeConfig *scraping = NULL;
        CLEANUP(forward_config_freep) ForwardConfig *forwarding = NULL;
        int r = settings_read(&d->options, &next);
        if (r == 0)
                r = forwarding_read(&d->options, &forwarding);
        if (r == 0)
                r = scraping_read(&d->options, &scraping);
        if (r == 0)
                r = serve_replace(d, next);
        if (r == 0)
                r = scraping_replace(d, scraping);
        if (r < 0)
                return r;
        scraping = NULL;
        r = backend_replace(d, next, forwarding);
        int f = forwarding_replace(d, TAKE_PTR(forwarding));
        r = r < 0 ? r : f;
        if (r < 0) /* logged; a disk that does not work is no reason to keep the rest as it was */
                self_add(&d->self, SELF_CONFIG_ERRORS, 1);
        CLEANUP_FREE char *old_name = d->host_name;
        d->host_name = host_name_of(next);
        if (!d->host_name)
                d->host_name = TAKE_PTR(old_name);
        d->local.host = d->host_name;
        warn_of_restart(d->settings, next);
        Settings *old = d->settings;
        d->settings = TAKE_PTR(next);
        next = old; /* freed by the cleanup */
        apply_log(d->settings);
        serve_configure(d);
        queries_configure(d);
        d->latest.max_entities = d->settings->max_domains + d->settings->max_containers + 1;
        intake_apply_policies(d);
        return 0;
}

void reload(Daemon *d) {
        notify_reloading();
        int r = replace(d);
        if (r < 0)
                LOG(LOG_ERROR, "config.refused", LOG_S("file", d->options.config), LOG_E("error", r),
                    LOG_S("effect", "the old settings stay in force"));
        else
                LOG(LOG_NOTICE, "config.reloaded", LOG_S("file", d->options.config));
        self_add(&d->self, r < 0 ? SELF_CONFIG_ERRORS : SELF_CONFIG_RELOADS, 1);
        self_set(&d->self, SELF_CONFIG_OK, r == 0);
        notify_ready();
}
