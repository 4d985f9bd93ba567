#include "scrape/scrape.h"

#include "scrape/pool.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

static void scrape_freep(Scrape **s) {
        *s = scrape_free(*s);
}

int scrape_new(Loop *loop, SeriesSink *sink, const char *host, const ScrapeOps *ops, void *context,
               Scrape **ret_scrape) {
        CLEANUP(scrape_freep) Scrape *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        *s = (Scrape){ .loop = loop, .sink = sink, .host = strdup(host), .ops = *ops, .context = context };
        s->seed = XXH3_64bits(host, strlen(host));
        int r = s->host ? intern_new(&s->intern) : -ENOMEM;
        if (r == 0)
                r = reading_new(&s->reading);
        if (r == 0)
                r = http_fetcher_new(loop, &s->fetcher);
        if (r == 0)
                r = discovery_new(loop, s->fetcher, &s->discovery);
        if (r == 0)
                r = (s->config = calloc(1, sizeof *s->config)) ? 0 : -ENOMEM;
        if (r < 0)
                return r;
        *ret_scrape = TAKE_PTR(s);
        return 0;
}

Scrape *scrape_free(Scrape *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n_pools; i++)
                (void)scrape_pool_free(s->pools[i], false);
        free(s->pools);
        s->discovery = discovery_free(s->discovery);
        s->fetcher = http_fetcher_free(s->fetcher);
        s->reading = reading_free(s->reading);
        s->intern = intern_free(s->intern);
        s->config = scrape_config_free(s->config);
        free(s->host);
        free(s);
        return NULL;
}

const ScrapeConfig *scrape_config(const Scrape *s) {
        return s->config;
}

/* ---- another configuration ---- */

static ScrapePool *pool_named(Scrape *s, const char *name) {
        for (size_t i = 0; i < s->n_pools; i++)
                if (strcmp(s->pools[i]->job->name, name) == 0)
                        return s->pools[i];
        return NULL;
}

static void free_pools(ScrapePool **pools, size_t n, bool stale) {
        for (size_t i = 0; i < n; i++)
                (void)scrape_pool_free(pools[i], stale);
        free(pools);
}

int scrape_replace(Scrape *s, ScrapeConfig *config) {
        size_t n = 0;
        ScrapePool **pools = calloc(config->n_jobs + 1, sizeof(ScrapePool *));
        int r = pools ? 0 : -ENOMEM;
        for (; r == 0 && n < config->n_jobs; n++) {
                r = scrape_pool_new(s, config->jobs[n], &pools[n]);
                if (r < 0)
                        break;
        }
        if (r < 0) {
                free_pools(pools, n, false);
                return r;
        }
        for (size_t i = 0; i < n; i++) {
                ScrapePool *old = pool_named(s, config->jobs[i]->name);
                if (old)
                        pool_take_over(pools[i], old);
        }
        /* What is no longer there ends first, so that what takes its place may have the same series. */
        free_pools(s->pools, s->n_pools, true);
        s->pools = pools;
        s->n_pools = n;
        for (size_t i = 0; i < n; i++)
                pool_sync(pools[i]);
        (void)scrape_config_free(s->config);
        s->config = config;
        return 0;
}

/* ---- figures ---- */

static size_t target_memory(const Target *t) {
        size_t table = t->series.cap * sizeof(CachedSeries *), labels = t->discovered.cap + t->labels.cap;
        return sizeof *t + t->series.bytes + table + labels + t->n_metrics * sizeof *t->metrics;
}

void scrape_stats(const Scrape *s, ScrapeStats *ret_stats) {
        const ReadingStats *reading = reading_stats(s->reading);
        const DiscoveryStats *discovery = discovery_stats(s->discovery);
        ScrapeStats st = {
                .scrapes = s->scrapes,
                .failed = s->failed,
                .skipped = s->skipped,
                .samples = reading->samples,
                .stale = reading->stale,
                .discoveries = discovery->refreshes,
                .discovery_failures = discovery->failures,
                .bytes = http_fetcher_stats(s->fetcher)->bytes,
                .jobs = s->n_pools,
                .memory = intern_memory(s->intern),
        };
        for (size_t i = 0; i < SAMPLE_FAULT_COUNT; i++)
                st.refused += reading->refused[i];
        for (size_t i = 0; i < s->n_pools; i++) {
                const ScrapePool *p = s->pools[i];
                st.targets += p->n_targets;
                st.dropped += p->all_dropped;
                st.failing += p->failing;
                for (size_t k = 0; k < p->n_targets; k++) {
                        const Target *t = p->targets[k];
                        st.up += t->health == TARGET_UP;
                        st.series += t->series.n;
                        st.memory += target_memory(t);
                }
        }
        *ret_stats = st;
}

/* ---- for the API ---- */

bool scrape_labels_next(ScrapeLabels *l, const char **ret_name, const char **ret_value) {
        if (l->at >= l->end)
                return false;
        *ret_name = l->at;
        *ret_value = l->at + strlen(l->at) + 1;
        l->at = *ret_value + strlen(*ret_value) + 1;
        assert(l->at <= l->end);
        return true;
}

static ScrapeLabels packed_labels(const Buf *b) {
        return (ScrapeLabels){ b->data, b->len ? b->data + b->len : b->data };
}

/* The URL as another host would write it: with our name for what means us. */
static void put_global_url(const Scrape *s, const Target *t, Buf *out) {
        static const char *const OURS[] = { "localhost", "127.0.0.1", "[::1]" };
        const char *host = strstr(t->url, "://");
        buf_reset(out);
        for (size_t i = 0; host && i < ARRAY_LEN(OURS); i++) {
                size_t n = strlen(OURS[i]);
                if (strncmp(t->address, OURS[i], n) != 0 || (t->address[n] && t->address[n] != ':'))
                        continue;
                buf_put(out, t->url, (size_t)(host + 3 - t->url));
                buf_put_str(out, s->host);
                buf_put_str(out, host + 3 + n);
                return;
        }
        buf_put_str(out, t->url);
}

size_t scrape_n_pools(const Scrape *s) {
        return s->n_pools;
}

const char *scrape_pool_name(const Scrape *s, size_t i) {
        return s->pools[i]->job->name;
}

size_t scrape_pool_dropped(const Scrape *s, size_t i) {
        return s->pools[i]->all_dropped;
}

static bool is_wanted(const ScrapePool *p, const char *pool) {
        return !pool || strcmp(p->job->name, pool) == 0;
}

void scrape_each_target(const Scrape *s, const char *pool, bool (*fn)(void *context, const ScrapeTarget *t),
                        void *context) {
        static const char *const HEALTH[] =
                { [TARGET_UNKNOWN] = "unknown", [TARGET_UP] = "up", [TARGET_DOWN] = "down" };
        CLEANUP(buf_deinit) Buf url = BUF_NULL;
        bool more = true;
        for (size_t i = 0; more && i < s->n_pools; i++) {
                const ScrapePool *p = s->pools[i];
                for (size_t k = 0; more && is_wanted(p, pool) && k < p->n_targets; k++) {
                        const Target *t = p->targets[k];
                        put_global_url(s, t, &url);
                        ScrapeTarget row = {
                                .pool = p->job->name,
                                .url = t->url,
                                .global_url = buf_cstr(&url),
                                .discovered = packed_labels(&t->discovered),
                                .labels = (const uint8_t *)t->labels.data,
                                .labels_len = t->labels.len,
                                .health = HEALTH[t->health],
                                .error = t->error ? t->error : "",
                                .last = t->last,
                                .taken = t->taken,
                                .interval = t->interval,
                                .timeout = t->timeout,
                        };
                        more = fn(context, &row);
                }
        }
}

void scrape_each_dropped(const Scrape *s, const char *pool,
                         bool (*fn)(void *context, const char *pool, ScrapeLabels discovered),
                         void *context) {
        bool more = true;
        for (size_t i = 0; more && i < s->n_pools; i++)
                for (size_t k = 0; more && is_wanted(s->pools[i], pool) && k < s->pools[i]->n_dropped; k++)
                        more = fn(context, s->pools[i]->job->name, packed_labels(&s->pools[i]->dropped[k]));
}

static bool each_metric(const Scrape *s, const Target *t, bool (*fn)(void *context, const ScrapeMetadata *m),
                        void *context) {
        for (size_t i = 0; i < t->n_metrics; i++) {
                ScrapeMetadata m = {
                        .labels = (const uint8_t *)t->labels.data,
                        .labels_len = t->labels.len,
                        .metric = intern_get(s->intern, t->metrics[i].metric),
                        .help = intern_get(s->intern, t->metrics[i].help),
                        .unit = intern_get(s->intern, t->metrics[i].unit),
                        .type = t->metrics[i].type,
                };
                if (!fn(context, &m))
                        return false;
        }
        return true;
}

void scrape_each_metadata(const Scrape *s, bool (*fn)(void *context, const ScrapeMetadata *m), void *context) {
        for (size_t i = 0; i < s->n_pools; i++)
                for (size_t k = 0; k < s->pools[i]->n_targets; k++)
                        if (!each_metric(s, s->pools[i]->targets[k], fn, context))
                                return;
}
