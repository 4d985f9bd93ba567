/* The query engine's settings, its threads, and what is counted of it. */
#include "daemon/daemon.h"
#include "rt/log.h"

static bool feature_of(Span name, unsigned *ret_bit) {
        static const struct {
                const char *name;
                unsigned bit;
        } FEATURES[] = {
                { "promql-experimental-functions", PROMQL_EXPERIMENTAL_FUNCTIONS },
                { "promql-duration-expr", PROMQL_DURATION_EXPR },
                { "promql-extended-range-selectors", PROMQL_EXTENDED_RANGE },
                { "promql-binop-fill-modifiers", PROMQL_BINOP_FILL },
                { "promql-delayed-name-removal", PROMQL_DELAYED_NAME_REMOVAL },
        };
        for (size_t i = 0; i < ARRAY_LEN(FEATURES); i++)
                if (span_is(name, FEATURES[i].name)) {
                        *ret_bit = FEATURES[i].bit;
                        return true;
                }
        return false;
}

int queries_features(const char *text, unsigned *ret_features) {
        unsigned features = 0, bit;
        while (*text) {
                size_t blank = strspn(text, ", "), n = strcspn(text + blank, ", ");
                Span name = { text + blank, n };
                if (n > 0 && !feature_of(name, &bit)) {
                        LOG(LOG_ERROR, "config.query_features", LOG_S("unknown", name.text));
                        return -EINVAL;
                }
                features |= n > 0 ? bit : 0;
                text += blank + n;
        }
        *ret_features = features;
        return 0;
}

/* `global.external_labels` as a run: what /federate and remote read add. */
static int put_external(const Daemon *d, Buf *out) {
        const ForwardConfig *f = d->forward ? forward_config(d->forward) : NULL;
        Label labels[LABELS_MAX];
        size_t n = f && f->external_names.n < LABELS_MAX ? f->external_names.n : 0;
        for (size_t i = 0; i < n; i++) {
                const char *name = f->external_names.texts[i], *value = f->external_values.texts[i];
                labels[i] = (Label){ { name, strlen(name) }, { value, strlen(value) } };
        }
        return labels_build(labels, n, out) == LABELS_OK ? buf_error(out) : -EINVAL;
}

static int settings_of(const Daemon *d, ApiQuerySettings *s, Buf *external) {
        const QuerySettings *q = &d->settings->query;
        api_query_settings_default(s);
        s->limits.timeout = q->timeout;
        s->limits.max_samples = q->max_samples;
        s->limits.max_series = (uint32_t)q->max_series;
        s->limits.max_memory = q->max_memory;
        s->limits.max_points = q->max_points;
        s->max_answer = q->max_answer;
        s->lookback = q->lookback;
        s->concurrency = (unsigned)q->concurrency;
        s->concurrency_source = (unsigned)q->concurrency_source;
        s->queue = (unsigned)q->queue;
        s->queue_source = (unsigned)q->queue_source;
        int r = put_external(d, external);
        s->external = (const uint8_t *)external->data;
        s->external_len = external->len;
        return r < 0 ? r : queries_features(q->features, &s->features);
}

int queries_open(Daemon *d) {
        CLEANUP(buf_deinit) Buf external = BUF_NULL;
        ApiQuerySettings s;
        int r = settings_of(d, &s, &external);
        if (r == 0)
                r = api_queries_new(d->loop, store_host_store(d->store), &s, &d->queries);
        d->query_features = r == 0 ? s.features : 0;
        return r;
}

void queries_close(Daemon *d) {
        d->queries = api_queries_free(d->queries);
}

void queries_configure(Daemon *d) {
        CLEANUP(buf_deinit) Buf external = BUF_NULL;
        ApiQuerySettings s;
        if (!d->queries)
                return;
        int r = settings_of(d, &s, &external);
        if (r == 0)
                r = api_queries_configure(d->queries, &s);
        if (r < 0)
                LOG(LOG_ERROR, "config.queries", LOG_E("error", r));
        else
                d->query_features = s.features;
}

void queries_collect_self(Daemon *d) {
        ApiQueryStats s;
        if (!d->queries)
                return;
        api_queries_stats(d->queries, &s);
        self_set(&d->self, SELF_QUERIES_RUNNING, s.pool.running);
        self_set(&d->self, SELF_QUERIES_WAITING, s.pool.waiting);
        self_set(&d->self, SELF_QUERIES, (double)s.pool.done);
        self_set(&d->self, SELF_QUERIES_REFUSED, (double)s.pool.refused);
        self_set(&d->self, SELF_QUERIES_LIMITED, (double)s.limited);
        self_set(&d->self, SELF_QUERIES_TIMEOUTS, (double)s.timeouts);
        self_set(&d->self, SELF_QUERIES_CANCELLED, (double)s.cancelled);
        self_set(&d->self, SELF_QUERY_SECONDS, duration_seconds(s.busy));
        self_set(&d->self, SELF_QUERY_WAIT_SECONDS, duration_seconds(s.pool.waited));
        self_set(&d->self, SELF_QUERY_SAMPLES, (double)s.samples);
}
