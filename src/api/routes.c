/* The one table of what can be asked. A route whose path ends in "/" and is a prefix takes the rest of
 * the path; `local` ones exist only on listeners that serve everything. A route is for GET (and HEAD), or for POST, or
 * is one of Prometheus's that read, which are for both and for pages of other origins. */
#include "api/prom.h"
#include "wire/remote_read.h"

typedef void (*RouteFn)(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);

typedef enum RouteKind {
        ROUTE_OWN,
        ROUTE_READ, /* GET, HEAD, OPTIONS, with CORS; POST as well when there is a body_max */
        ROUTE_DATA, /* the same, and another engine may answer it (ApiContext.backend) */
} RouteKind;

typedef struct Route {
        const char *path;
        bool prefix, local;
        RouteFn handler;
        const char *help;
        size_t body_max; /* not 0: POST, with so many bytes */
        RouteKind kind;
        PromWork work;   /* instead of a handler: a job */
} Route;

/* A form of the longest query, each byte of it escaped. */
#define FORM_MAX (3 * PROMQL_TEXT_MAX + ((size_t)64 << 10))
/* The engine's own routes: .work is a job that reads the store. */
#define READ(path, work_, help) { path, false, true, NULL, help, FORM_MAX, ROUTE_DATA, work_ }
#define TELL(path, handler, help) { path, false, true, handler, help, 0, ROUTE_READ, NULL }

static void index_page(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
static void healthy(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
static void ready(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);

static const Route ROUTES[] = {
        { "/metrics", false, false, api_metrics,
          "libvirt_* and parallax_domain_*; ?profile=tinkoff|inovex|zhangjianweibj" },
        { "/metrics/", true, true, api_metrics, "node | container | self" },
        { "/api/v1/parallax/machines", false, true, api_machines,
          "every VM and container; ?kind=all for services and slices too" },
        { "/api/v1/parallax/machines/", true, true, api_machine,
          "everything about one: UUID, name, or the beginning of an id" },
        { "/api/v1/parallax/status", false, true, api_status, "the host, the sensor, libvirt, listeners" },
        READ("/api/v1/query", prom_query, "PromQL at one instant; ?query=&time="),
        READ("/api/v1/query_range", prom_query_range, "PromQL over a range; ?query=&start=&end=&step="),
        READ("/api/v1/query_exemplars", prom_exemplars, "exemplars of the series in a query; ?query=&start=&end="),
        READ("/api/v1/series", prom_series, "series; ?match[]=&start=&end=&limit="),
        READ("/api/v1/labels", prom_labels, "names of labels; ?match[]=&start=&end=&limit="),
        { "/api/v1/label/", true, true, NULL, "NAME/values: values of a label; ?match[]=&start=&end=&limit=", FORM_MAX,
          ROUTE_DATA, prom_label_values },
        READ("/api/v1/metadata", prom_metadata, "type, help and unit of metrics; ?metric=&limit=&limit_per_metric="),
        { "/api/v1/read", false, true, NULL, "POST: Prometheus remote read", READ_REQUEST_MAX, ROUTE_DATA, prom_read },
        READ("/federate", prom_federate, "the newest samples as text; ?match[]="),
        { "/api/v1/format_query", false, true, NULL, "a query, indented; ?query=", FORM_MAX, ROUTE_READ,
          prom_format_query },
        { "/api/v1/parse_query", false, true, NULL, "a query as a tree; ?query=", FORM_MAX, ROUTE_READ,
          prom_parse_query },
        { "/api/v1/parallax/explain", false, true, NULL,
          "the plan of a query with what it has cost; ?query=&time= or &start=&end=&step=", FORM_MAX, ROUTE_READ,
          prom_explain },
        TELL("/api/v1/rules", prom_rules, "rules (none yet)"),
        TELL("/api/v1/alerts", prom_alerts, "alerts (none yet)"),
        TELL("/api/v1/alertmanagers", prom_alertmanagers, "Alertmanagers (none yet)"),
        TELL("/api/v1/features", prom_features, "what the API and PromQL can do here"),
        TELL("/api/v1/status/buildinfo", prom_buildinfo, "versions"),
        TELL("/api/v1/status/runtimeinfo", prom_runtimeinfo, "since when, how much is kept"),
        TELL("/api/v1/status/config", prom_config, "the settings in force"),
        TELL("/api/v1/status/flags", prom_flags, "settings as flags of Prometheus"),
        TELL("/api/v1/status/tsdb", api_tsdb, "the store's head, as Prometheus describes its own; ?limit=10"),
        TELL("/api/v1/status/tsdb/blocks", prom_blocks, "none: the store has parts, see /api/v1/parallax/store"),
        TELL("/api/v1/status/walreplay", prom_walreplay, "done: parallaxd answers when its log is replayed"),
        { "/api/v1/admin/tsdb/", true, true, prom_admin,
          "POST: delete_series?match[]= | clean_tombstones | snapshot, with web.admin_api", 65536 },
        TELL("/api/v1/targets", api_targets, "what is scraped, as Prometheus says it; ?state=active|dropped&scrapePool="),
        TELL("/api/v1/targets/metadata", api_targets_metadata,
             "what targets say of their metrics; ?match_target=&metric=&limit="),
        TELL("/api/v1/scrape_pools", api_scrape_pools, "names of the jobs that are scraped"),
        { "/api/v1/parallax/sd", false, true, api_sd,
          "VMs and containers for Prometheus's http_sd_configs; ?port=9100&kind=vm|container|all" },
        { "/api/v1/write", false, true, api_write, "POST: Prometheus remote write 1.0 and 2.0", REMOTE_WRITE_BODY_MAX },
        { "/api/v1/parallax/import", false, true, api_import, "POST: Prometheus text or OpenMetrics", TEXT_IMPORT_MAX },
        { "/api/v1/parallax/store", false, true, api_store, "what the store consists of" },
        { "/api/v1/parallax/export", false, true, api_export,
          "samples as text; ?match0=label=value&begin=MS&end=MS&tier=raw|5m|1h" },
        { "/api/v1/parallax/store/job", false, true, api_store_job_status, "the jobs of the store; ?id=" },
        { "/api/v1/parallax/store/", true, true, api_store_job,
          "POST: snapshot?path= | delete?match0= | rollup | verify | compact; answers 202 with the id of a job", 4096 },
        { "/-/reload", false, true, prom_lifecycle, "POST: reads the settings anew, with web.lifecycle", 1024 },
        { "/-/quit", false, true, prom_lifecycle, "POST: ends parallaxd, with web.lifecycle", 1024 },
        { "/-/healthy", false, true, healthy, "200 while parallaxd answers" },
        { "/-/ready", false, true, ready, "200 when the sensor is connected, or none is wanted" },
        { "/", false, true, index_page, "this page" },
};

static void put_plain(HttpResponse *response, int status, const char *text) {
        response->status = status;
        response->content_type = PLAIN_TYPE;
        buf_put_str(&response->body, text);
}

static void index_page(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)request, (void)rest;
        put_plain(response, 200, "");
        buf_printf(&response->body, "Parallax %s\n\n", c->version ? c->version : "");
        for (size_t i = 0; i < ARRAY_LEN(ROUTES); i++)
                buf_printf(&response->body, "%-30s %s\n", ROUTES[i].path, ROUTES[i].help);
}

static void healthy(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)c, (void)request, (void)rest;
        put_plain(response, 200, "healthy\n");
}

static void ready(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)request, (void)rest;
        if (c->no_collect || (c->self && c->self->value[SELF_SENSOR_CONNECTED] > 0))
                put_plain(response, 200, "ready\n");
        else
                put_plain(response, 503, "not ready: parallax-sensor is not connected\n");
}

/* A listener that serves one exposition has nothing but its /metrics, whoever asks. */
static bool serves_everything(const ApiContext *c, const HttpRequest *request) {
        return request->local && (!c->metrics || strcmp(c->metrics, "all") == 0);
}

static bool route_matches(const Route *r, const char *path) {
        size_t n = strlen(r->path);
        return r->prefix ? strncmp(path, r->path, n) == 0 && path[n] : strcmp(path, r->path) == 0;
}

static const Route *find_route(const ApiContext *c, const HttpRequest *request, const char **ret_rest) {
        for (size_t i = 0; i < ARRAY_LEN(ROUTES); i++) {
                const Route *r = &ROUTES[i];
                if (route_matches(r, request->path) && (!r->local || serves_everything(c, request))) {
                        *ret_rest = request->path + strlen(r->path);
                        return r;
                }
        }
        return NULL;
}

static bool is_method(const HttpRequest *request, const char *method) {
        return strcmp(request->method, method) == 0;
}

size_t api_body_limit(const HttpRequest *request) {
        for (size_t i = 0; i < ARRAY_LEN(ROUTES); i++)
                if (ROUTES[i].body_max && route_matches(&ROUTES[i], request->path))
                        return request->local ? ROUTES[i].body_max : 0;
        return 0;
}

static const char *allowed(const Route *r) {
        if (r && r->kind != ROUTE_OWN)
                return r->body_max ? "GET, HEAD, POST, OPTIONS" : "GET, HEAD, OPTIONS";
        return r && r->body_max ? "POST" : "GET, HEAD";
}

static void wrong_method(HttpResponse *response, const Route *route) {
        const char *allow = allowed(route);
        api_error(response, 405,
                  strcmp(allow, "POST") == 0 ? "only POST"
                  : strstr(allow, "POST")    ? "only GET, HEAD and POST"
                                             : "only GET and HEAD");
        response->extra_name = "Allow";
        response->extra_value = allow;
}

static bool method_fits(const HttpRequest *request, const Route *r) {
        if (is_method(request, "POST"))
                return r->body_max > 0;
        if (is_method(request, "OPTIONS"))
                return r->kind != ROUTE_OWN;
        return (is_method(request, "GET") || is_method(request, "HEAD")) && (r->kind != ROUTE_OWN || r->body_max == 0);
}

static void answer_route(ApiContext *c, const Route *r, const HttpRequest *request, const char *rest,
                         HttpResponse *response) {
        if (is_method(request, "OPTIONS")) {
                response->status = 204;
                response->content_type = NULL;
                response->cors = true;
        } else if (r->kind == ROUTE_DATA && c->backend) {
                c->backend(c->backend_context, request, response);
        } else if (r->work) {
                prom_start(c, request, rest, response, r->work);
        } else {
                r->handler(c, request, rest, response);
                response->cors |= r->kind != ROUTE_OWN;
        }
}

void api_handle(ApiContext *c, const HttpRequest *request, HttpResponse *response) {
        const char *rest = "";
        const Route *route = find_route(c, request, &rest);
        if (!route)
                api_error(response, is_method(request, "GET") || is_method(request, "HEAD") ? 404 : 405,
                          "page not found");
        else if (!method_fits(request, route))
                wrong_method(response, route);
        else if (is_method(request, "POST") && route->kind == ROUTE_OWN && http_header(request, "Origin"))
                api_error(response, 403, "not for browsers"); /* a page in one on this host */
        else
                answer_route(c, route, request, rest, response);
        if (buf_error(&response->body))
                api_error(response, 500, "the answer is too large");
}
