/* Scraping within parallaxd: its configuration, and what it says of itself. Without a store there is nowhere to put
 * what targets say, and nothing is scraped. */
#include "daemon/daemon.h"
#include "rt/log.h"

int scraping_read(const DaemonOptions *o, ScrapeConfig **ret_config) {
        SettingsError error = { 0 };
        int r = scrape_config_load(o->config, o->config_given, ret_config, &error);
        CLEANUP_FREE char *text = error.text;
        if (r < 0)
                fprintf(stderr, "%s\n", text ? text : o->config);
        return r;
}

static void on_complaint(void *context, const char *job, const char *text) {
        (void)context;
        LOG_LIMITED(LOG_WARN, "scrape.discovery", job, LOG_S("job", job), LOG_S("problem", text));
}

int scraping_open(Daemon *d) {
        static const ScrapeOps OPS = { .complain = on_complaint };
        if (!d->store) {
                if (d->scrape_config->n_jobs)
                        LOG(LOG_WARN, "scrape.off", LOG_S("reason", "store.enabled is false"));
                return 0;
        }
        int r = scrape_new(d->loop, history_sink(d), d->host_name, &OPS, d, &d->scrape);
        if (r == 0)
                r = scrape_replace(d->scrape, d->scrape_config);
        if (r < 0)
                return r;
        d->scrape_config = NULL;
        LOG(LOG_INFO, "scrape.open", LOG_I("jobs", scrape_n_pools(d->scrape)));
        return 0;
}

void scraping_close(Daemon *d) {
        d->scrape = scrape_free(d->scrape);
        d->scrape_config = scrape_config_free(d->scrape_config);
}

int scraping_replace(Daemon *d, ScrapeConfig *next) {
        if (d->scrape)
                return scrape_replace(d->scrape, next);
        (void)scrape_config_free(next);
        return 0;
}

void scraping_collect_self(Daemon *d) {
        ScrapeStats s;
        if (!d->scrape)
                return;
        scrape_stats(d->scrape, &s);
        self_set(&d->self, SELF_TARGETS, (double)s.targets);
        self_set(&d->self, SELF_TARGETS_UP, (double)s.up);
        self_set(&d->self, SELF_TARGETS_DROPPED, (double)s.dropped);
        self_set(&d->self, SELF_TARGETS_FAILING, (double)s.failing);
        self_set(&d->self, SELF_TARGET_SCRAPES, (double)s.scrapes);
        self_set(&d->self, SELF_TARGET_SCRAPES_FAILED, (double)s.failed);
        self_set(&d->self, SELF_TARGET_SCRAPES_SKIPPED, (double)s.skipped);
        self_set(&d->self, SELF_TARGET_SAMPLES, (double)s.samples);
        self_set(&d->self, SELF_TARGET_SAMPLES_REFUSED, (double)s.refused);
        self_set(&d->self, SELF_TARGET_STALE, (double)s.stale);
        self_set(&d->self, SELF_TARGET_BYTES, (double)s.bytes);
        self_set(&d->self, SELF_TARGET_SERIES, (double)s.series);
        self_set(&d->self, SELF_TARGET_MEMORY, (double)s.memory);
        self_set(&d->self, SELF_DISCOVERY_REFRESHES, (double)s.discoveries);
        self_set(&d->self, SELF_DISCOVERY_FAILURES, (double)s.discovery_failures);
}
