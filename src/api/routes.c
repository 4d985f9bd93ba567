/* The one table of what can be asked. A route whose path ends in "/" and is a prefix takes the rest of
 * the path; `local` ones exist only on listeners that serve everything. */
#include "api/resource.h"

typedef void (*RouteFn)(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);

typedef struct Route {
        const char *path;
        bool prefix, local;
        RouteFn handler;
        const char *help;
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
        { "/-/healthy", false, true, healthy, "200 while parallaxd answers" },
        { "/-/ready", false, true, ready, "200 when the sensor is connected" },
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
        if (c->self && c->self->value[SELF_SENSOR_CONNECTED] > 0)
                put_plain(response, 200, "ready\n");
        else
                put_plain(response, 503, "not ready: parallax-sensor is not connected\n");
}

/* A listener that serves one exposition has nothing but its /metrics, whoever asks. */
static bool serves_everything(const ApiContext *c, const HttpRequest *request) {
        return request->local && (!c->metrics || strcmp(c->metrics, "all") == 0);
}

static const Route *find_route(const ApiContext *c, const HttpRequest *request, const char **ret_rest) {
        for (size_t i = 0; i < ARRAY_LEN(ROUTES); i++) {
                const Route *r = &ROUTES[i];
                size_t n = strlen(r->path);
                bool match = r->prefix ? strncmp(request->path, r->path, n) == 0 && request->path[n]
                                       : strcmp(request->path, r->path) == 0;
                if (match && (!r->local || serves_everything(c, request))) {
                        *ret_rest = request->path + n;
                        return r;
                }
        }
        return NULL;
}

void api_handle(ApiContext *c, const HttpRequest *request, HttpResponse *response) {
        const char *rest = "";
        const Route *route = find_route(c, request, &rest);
        if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0)
                api_error(response, 405, "only GET and HEAD");
        else if (!route)
                api_error(response, 404, "no such page");
        else
                route->handler(c, request, rest, response);
        if (buf_error(&response->body))
                api_error(response, 500, "the answer is too large");
}
