/* What Prometheus tells about itself, as far as its clients look at it: versions, flags, features, rules that do not
 * exist yet. Answered at once, on the loop's thread. */
#include "api/prom.h"

#include "base/duration.h"

/* Clients compare it to find out what the API can do: the Prometheus whose API this is. */
#define API_VERSION "3.5.0"

static void begin(HttpResponse *response) {
        response->cors = true;
        prom_begin(response);
}

static void end(HttpResponse *response) {
        prom_end(response, NULL, 0, NULL, 0);
}

static void fixed(HttpResponse *response, const char *data) {
        begin(response);
        buf_put_str(&response->body, data);
        end(response);
}

void prom_rules(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        const char *type = http_query(request, "type");
        (void)c, (void)rest;
        if (type && *type && strcasecmp(type, "alert") != 0 && strcasecmp(type, "record") != 0) {
                response->cors = true;
                prom_error(response, PROM_BAD_DATA, "invalid parameter \"type\": not supported value \"%s\"", type);
                return;
        }
        fixed(response, "{\"groups\":[]}");
}

void prom_alerts(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)c, (void)request, (void)rest;
        fixed(response, "{\"alerts\":[]}");
}

void prom_alertmanagers(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)c, (void)request, (void)rest;
        fixed(response, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}");
}

void prom_blocks(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)c, (void)request, (void)rest;
        fixed(response, "{\"blocks\":[]}");
}

void prom_walreplay(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)c, (void)request, (void)rest;
        fixed(response, "{\"min\":0,\"max\":0,\"current\":0,\"state\":\"done\"}");
}

/* Without a key "features": Grafana takes a server that has one for Mimir. */
void prom_buildinfo(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)request, (void)rest;
        begin(response);
        buf_put_str(&response->body, "{\"version\":\"" API_VERSION "\",\"revision\":");
        CLEANUP(buf_deinit) Buf revision = BUF_NULL;
        buf_printf(&revision, "parallax %s", c->version ? c->version : "");
        prom_put_cstr(&response->body, buf_cstr(&revision));
        buf_put_str(&response->body, ",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}");
        end(response);
}

void prom_config(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        CLEANUP(buf_deinit) Buf yaml = BUF_NULL;
        (void)request, (void)rest;
        if (c->settings)
                settings_print(c->settings, &yaml);
        begin(response);
        buf_put_str(&response->body, "{\"yaml\":");
        prom_put_text(&response->body, (Span){ yaml.data, yaml.len });
        buf_put_char(&response->body, '}');
        end(response);
}

static void put_flag(Buf *out, const char *name, const char *value) {
        if (out->data[out->len - 1] != '{')
                buf_put_char(out, ',');
        prom_put_cstr(out, name);
        buf_put_char(out, ':');
        prom_put_cstr(out, value);
}

static void put_duration(Buf *out, const char *name, Duration d) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        duration_print(d.ns, &text);
        put_flag(out, name, buf_cstr(&text));
}

static void put_count(Buf *out, const char *name, size_t v) {
        char text[24];
        (void)snprintf(text, sizeof text, "%zu", v);
        put_flag(out, name, text);
}

static const char *bool_text(bool v) {
        return v ? "true" : "false";
}

/* The flags of Prometheus that a key of ours stands for. */
void prom_flags(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        Buf *out = &response->body;
        const Settings *s = c->settings;
        (void)request, (void)rest;
        begin(response);
        buf_put_char(out, '{');
        if (s) {
                put_flag(out, "enable-feature", s->query.features);
                put_flag(out, "log.format", s->log_format);
                put_flag(out, "log.level", s->log_level);
                put_duration(out, "query.lookback-delta", s->query.lookback);
                put_count(out, "query.max-concurrency", s->query.concurrency);
                put_count(out, "query.max-samples", s->query.max_samples);
                put_duration(out, "query.timeout", s->query.timeout);
                put_flag(out, "storage.tsdb.path", s->store.directory);
                put_count(out, "storage.tsdb.retention.size", s->store.max_bytes[0]);
                put_duration(out, "storage.tsdb.retention.time", s->store.keep[0]);
                put_flag(out, "web.cors.origin", s->web.cors_origin);
                put_flag(out, "web.enable-admin-api", bool_text(s->web.admin_api));
                put_flag(out, "web.enable-lifecycle", bool_text(s->web.lifecycle));
                put_flag(out, "web.enable-remote-write-receiver", bool_text(c->sink));
                put_flag(out, "web.external-url", s->web.external_url);
                put_flag(out, "web.route-prefix", s->web.route_prefix);
        }
        if (c->n_listeners)
                put_flag(out, "web.listen-address", c->listeners[0].address);
        buf_put_char(out, '}');
        end(response);
}

static void put_instant(Buf *out, const char *key, WallTime t) {
        char text[40];
        time_t seconds = (time_t)(t.ns / NS_PER_SEC);
        struct tm tm = { 0 };
        (void)gmtime_r(&seconds, &tm);
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
        put_flag(out, key, text);
}

void prom_runtimeinfo(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        Buf *out = &response->body;
        const Settings *s = c->settings;
        StoreStats stats = { 0 };
        (void)request, (void)rest;
        if (c->store)
                c->store_stats(c->store, &stats);
        begin(response);
        buf_put_char(out, '{');
        put_instant(out, "startTime", c->started);
        put_flag(out, "CWD", s ? s->store.directory : "");
        put_flag(out, "hostname", c->host_name ? c->host_name : "");
        put_instant(out, "serverTime", c->wall ? c->wall() : wall_now());
        buf_printf(out, ",\"reloadConfigSuccess\":%s", bool_text(!c->self || c->self->value[SELF_CONFIG_OK] > 0));
        put_instant(out, "lastConfigTime", c->started);
        buf_printf(out, ",\"corruptionCount\":%llu,\"goroutineCount\":0,\"GOMAXPROCS\":%ld,\"GOMEMLIMIT\":0",
                   (unsigned long long)stats.damaged, sysconf(_SC_NPROCESSORS_ONLN));
        put_flag(out, "GOGC", "");
        put_flag(out, "GODEBUG", "");
        if (s)
                put_duration(out, "storageRetention", s->store.keep[0]);
        buf_put_char(out, '}');
        end(response);
}

/* ---- Features ---- */

static void put_feature(Buf *out, const char *name, bool on) {
        if (out->data[out->len - 1] != '{')
                buf_put_char(out, ',');
        prom_put_cstr(out, name);
        buf_put_str(out, on ? ":true" : ":false");
}

static void put_functions(Buf *out, unsigned features) {
        for (FunctionId f = 0; f < FUNCTION_COUNT; f++) {
                const FunctionInfo *i = function_info(f);
                put_feature(out, i->name, !i->experimental || (features & PROMQL_EXPERIMENTAL_FUNCTIONS));
        }
}

static void put_language(Buf *out, unsigned features) {
        put_feature(out, "anchored", features & PROMQL_EXTENDED_RANGE);
        put_feature(out, "at_modifier", true);
        put_feature(out, "bool", true);
        put_feature(out, "by", true);
        put_feature(out, "delayed_name_removal", features & PROMQL_DELAYED_NAME_REMOVAL);
        put_feature(out, "duration_expr", features & PROMQL_DURATION_EXPR);
        put_feature(out, "experimental_functions", features & PROMQL_EXPERIMENTAL_FUNCTIONS);
        put_feature(out, "fill", features & PROMQL_BINOP_FILL);
        put_feature(out, "group_left", true);
        put_feature(out, "group_right", true);
        put_feature(out, "ignoring", true);
        put_feature(out, "negative_offset", true);
        put_feature(out, "offset", true);
        put_feature(out, "on", true);
        put_feature(out, "per_query_lookback_delta", true);
        put_feature(out, "per_step_stats", false);
        put_feature(out, "smoothed", features & PROMQL_EXTENDED_RANGE);
        put_feature(out, "subqueries", true);
        put_feature(out, "without", true);
}

void prom_features(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        Buf *out = &response->body;
        unsigned features = c->query_features;
        (void)request, (void)rest;
        begin(response);
        buf_put_str(out, "{\"api\":{");
        put_feature(out, "admin", c->settings && c->settings->web.admin_api);
        put_feature(out, "exclude_alerts", true);
        put_feature(out, "label_values_match", true);
        put_feature(out, "lifecycle", c->settings && c->settings->web.lifecycle);
        put_feature(out, "otlp_write_receiver", false);
        put_feature(out, "query_stats", true);
        put_feature(out, "query_warnings", true);
        put_feature(out, "remote_write_receiver", c->sink != NULL);
        put_feature(out, "time_range_labels", true);
        put_feature(out, "time_range_series", true);
        buf_put_str(out, "},\"promql\":{");
        put_language(out, features);
        buf_put_str(out, "},\"promql_functions\":{");
        put_functions(out, features);
        buf_put_str(out, "}}");
        end(response);
}
