/* The one table of what can be asked. A route whose path ends in "/" and is a prefix takes the rest of
 * the path; `local` ones exist only on listeners that serve everything. A route is for GET (and HEAD), or for POST. */
#include "api/resource.h"

typedef void (*RouteFn)(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);

typedef struct Route {
        const char *path;
        bool prefix, local;
        RouteFn handler;
        const char *help;
        size_t body_max; /* not 0: POST, with so many bytes */
} Route;

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
        { "/api/v1/status/tsdb", false, true, api_tsdb, "the store's head, as Prometheus describes its own; ?limit=10" },
        { "/api/v1/targets", false, true, api_targets,
          "what is scraped, as Prometheus says it; ?state=active|dropped&scrapePool=" },
        { "/api/v1/targets/metadata", false, true, api_targets_metadata,
          "what targets say of their metrics; ?match_target=&metric=&limit=" },
        { "/api/v1/scrape_pools", false, true, api_scrape_pools, "names of the jobs that are scraped" },
        { "/api/v1/parallax/sd", false, true, api_sd,
          "VMs and containers for Prometheus's http_sd_configs; ?port=9100&kind=vm|container|all" },
        { "/api/v1/write", false, true, api_write, "POST: Prometheus remote write 1.0 and 2.0", REMOTE_WRITE_BODY_MAX },
        { "/api/v1/parallax/import", false, true, api_import, "POST: Prometheus text or OpenMetrics", TEXT_IMPORT_MAX },
        { "/api/v1/parallax/store", false, true, api_store, "what the store consists of" },
        { "/api/v1/parallax/export", false, true, api_export, "samples as text; ?match0=label=value&begin=MS&end=MS&tier=raw|5m|1h" },
        { "/api/v1/parallax/store/", true, true, api_store_job, "POST: snapshot?path= | delete?match0= | rollup | verify | compact", 4096 },
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

static bool is_post(const HttpRequest *request) {
        return strcmp(request->method, "POST") == 0;
}

size_t api_body_limit(const HttpRequest *request) {
        for (size_t i = 0; i < ARRAY_LEN(ROUTES); i++)
                if (ROUTES[i].body_max && route_matches(&ROUTES[i], request->path))
                        return request->local ? ROUTES[i].body_max : 0;
        return 0;
}

static void wrong_method(HttpResponse *response, const Route *route) {
        api_error(response, 405, route && route->body_max ? "only POST" : "only GET and HEAD");
        response->extra_name = "Allow";
        response->extra_value = route && route->body_max ? "POST" : "GET, HEAD";
}

void api_handle(ApiContext *c, const HttpRequest *request, HttpResponse *response) {
        const char *rest = "";
        bool post = is_post(request), get = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
        const Route *route = find_route(c, request, &rest);
        if (!post && !get)
                wrong_method(response, route);
        else if (!route)
                api_error(response, 404, "no such page");
        else if (post != (route->body_max > 0))
                wrong_method(response, route);
        else if (post && http_header(request, "Origin")) /* a page in somebody's browser on this host */
                api_error(response, 403, "not for browsers");
        else
                route->handler(c, request, rest, response);
        if (buf_error(&response->body))
                api_error(response, 500, "the answer is too large");
}
