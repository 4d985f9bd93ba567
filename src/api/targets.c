/* What is scraped, in the form of Prometheus: /api/v1/targets, /api/v1/targets/metadata, /api/v1/scrape_pools. */
#include "api/prom.h"

#include "base/duration.h"
#include "base/escape.h"
#include "scrape/scrape.h"

static void begin(HttpResponse *response) {
        response->status = 200;
        response->content_type = JSON_TYPE;
        buf_put_str(&response->body, "{\"status\":\"success\",\"data\":");
}

/* ---- values ---- */

static void put_span(Buf *out, const char *key, Span s) {
        json_key(out, key);
        buf_put_char(out, '"');
        escape_json(out, s.text, s.len);
        buf_put_char(out, '"');
}

static void put_pair(Buf *out, Span name, Span value) {
        json_item(out);
        buf_put_char(out, '"');
        escape_json(out, name.text, name.len);
        buf_put_str(out, "\":\"");
        escape_json(out, value.text, value.len);
        buf_put_char(out, '"');
}

static void put_discovered(Buf *out, ScrapeLabels labels) {
        const char *name, *value;
        json_key(out, "discoveredLabels");
        buf_put_char(out, '{');
        while (scrape_labels_next(&labels, &name, &value))
                put_pair(out, (Span){ name, strlen(name) }, (Span){ value, strlen(value) });
        buf_put_char(out, '}');
}

static void put_labels(Buf *out, const char *key, const uint8_t *run, size_t len) {
        Label labels[LABELS_MAX];
        size_t n = labels_split(run, len, labels);
        json_key(out, key);
        buf_put_char(out, '{');
        for (size_t i = 0; i < n; i++)
                put_pair(out, labels[i].name, labels[i].value);
        buf_put_char(out, '}');
}

static void put_duration(Buf *out, const char *key, Duration d) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        duration_print(d.ns, &text);
        json_text(out, key, buf_cstr(&text));
}

/* RFC 3339; Go's zero for never. */
static void put_time(Buf *out, const char *key, WallTime t) {
        struct tm tm;
        char text[64];
        time_t seconds = (time_t)(t.ns / NS_PER_SEC);
        if (t.ns == 0 || !gmtime_r(&seconds, &tm)) {
                json_text(out, key, "0001-01-01T00:00:00Z");
                return;
        }
        size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
        (void)snprintf(text + n, sizeof text - n, ".%03dZ", (int)(t.ns / NS_PER_MS % 1000));
        json_text(out, key, text);
}

/* ---- /api/v1/targets ---- */

static bool put_target(void *context, const ScrapeTarget *t) {
        Buf *out = context;
        json_item(out);
        buf_put_char(out, '{');
        put_discovered(out, t->discovered);
        put_labels(out, "labels", t->labels, t->labels_len);
        json_text(out, "scrapePool", t->pool);
        json_text(out, "scrapeUrl", t->url);
        json_text(out, "globalUrl", t->global_url);
        json_text(out, "lastError", t->error);
        put_time(out, "lastScrape", t->last);
        json_field(out, "lastScrapeDuration", duration_seconds(t->taken));
        json_text(out, "health", t->health);
        put_duration(out, "scrapeInterval", t->interval);
        put_duration(out, "scrapeTimeout", t->timeout);
        buf_put_char(out, '}');
        return !buf_error(out);
}

static bool put_dropped(void *context, const char *pool, ScrapeLabels discovered) {
        Buf *out = context;
        json_item(out);
        buf_put_char(out, '{');
        put_discovered(out, discovered);
        json_text(out, "scrapePool", pool);
        buf_put_char(out, '}');
        return !buf_error(out);
}

static void put_counts(const Scrape *s, const char *pool, Buf *out) {
        json_key(out, "droppedTargetCounts");
        buf_put_char(out, '{');
        for (size_t i = 0; s && i < scrape_n_pools(s); i++) {
                if (pool && strcmp(pool, scrape_pool_name(s, i)) != 0)
                        continue;
                json_key(out, scrape_pool_name(s, i));
                buf_put_u64(out, scrape_pool_dropped(s, i));
        }
        buf_put_char(out, '}');
}

void api_targets(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        const char *state = http_query(request, "state"), *pool = http_query(request, "scrapePool");
        bool active = !state || strcasecmp(state, "dropped") != 0, dropped = !state || strcasecmp(state, "active") != 0;
        Buf *out = &response->body;
        (void)rest;
        pool = pool && *pool ? pool : NULL;
        begin(response);
        buf_put_str(out, "{\"activeTargets\":[");
        if (c->scrape && active)
                scrape_each_target(c->scrape, pool, put_target, out);
        buf_put_str(out, "],\"droppedTargets\":[");
        if (c->scrape && dropped)
                scrape_each_dropped(c->scrape, pool, put_dropped, out);
        buf_put_char(out, ']');
        put_counts(dropped ? c->scrape : NULL, pool, out);
        buf_put_str(out, "}}\n");
}

/* ---- /api/v1/targets/metadata ---- */

static bool selects(const SelectorExpr *s, const uint8_t *run, size_t len) {
        LabelSet labels = { run, (uint32_t)len };
        for (size_t i = 0; i < s->n_matchers; i++)
                if (!matcher_matches(&s->matchers[i], labelset_get(labels, s->matchers[i].name)))
                        return false;
        return true;
}

typedef struct Metadata {
        Buf *out;
        Ast *selector;      /* NULL: all targets */
        const char *metric; /* NULL: all */
        uint64_t limit, n;  /* limit 0: none */
} Metadata;

static void metadata_deinit(Metadata *m) {
        m->selector = ast_free(m->selector);
}

static bool put_metadata(void *context, const ScrapeMetadata *m) {
        Metadata *all = context;
        if (all->metric &&
            !(m->metric.len == strlen(all->metric) && memcmp(m->metric.text, all->metric, m->metric.len) == 0))
                return true;
        if (all->selector && !selects(&all->selector->root->selector, m->labels, m->labels_len))
                return true;
        if (all->limit && all->n == all->limit)
                return false;
        all->n++;
        json_item(all->out);
        buf_put_char(all->out, '{');
        put_labels(all->out, "target", m->labels, m->labels_len);
        if (!all->metric)
                put_span(all->out, "metric", m->metric);
        json_text(all->out, "type", m->type);
        put_span(all->out, "help", m->help);
        put_span(all->out, "unit", m->unit);
        buf_put_char(all->out, '}');
        return !buf_error(all->out);
}

void api_targets_metadata(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        const char *match = http_query(request, "match_target"), *limit = http_query(request, "limit");
        CLEANUP(metadata_deinit) Metadata m = { .out = &response->body, .metric = http_query(request, "metric") };
        (void)rest;
        if (m.metric && !*m.metric)
                m.metric = NULL;
        if (limit && *limit && !span_u64((Span){ limit, strlen(limit) }, &m.limit)) {
                prom_error(response, PROM_BAD_DATA, "invalid parameter \"limit\": limit must be a number");
                return;
        }
        CLEANUP(parse_error_deinit) ParseError error = { 0 };
        if (match && *match && promql_parse_selector((Span){ match, strlen(match) }, &m.selector, &error) < 0) {
                prom_error(response, PROM_BAD_DATA, "invalid parameter \"match_target\": %s", buf_cstr(&error.text));
                return;
        }
        begin(response);
        buf_put_char(m.out, '[');
        if (c->scrape)
                scrape_each_metadata(c->scrape, put_metadata, &m);
        buf_put_str(m.out, "]}\n");
}

/* ---- /api/v1/scrape_pools ---- */

void api_scrape_pools(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        Buf *out = &response->body;
        (void)request, (void)rest;
        begin(response);
        buf_put_str(out, "{\"scrapePools\":[");
        for (size_t i = 0; c->scrape && i < scrape_n_pools(c->scrape); i++) {
                json_item(out);
                buf_put_json_str(out, scrape_pool_name(c->scrape, i));
        }
        buf_put_str(out, "]}}\n");
}
