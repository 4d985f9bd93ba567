/* The expositions. */
#include "api/resource.h"

#include "wire/expo.h"

/* What a listener's /metrics is. */
static ExportProfile listener_profile(const ApiContext *c) {
        const char *m = c->metrics ? c->metrics : "all";
        for (ExportProfile p = EXPORT_NODE; p <= EXPORT_SELF; p++)
                if (strcmp(m, export_profile_name(p)) == 0)
                        return p;
        return EXPORT_TINKOFF;
}

/* The profile that is asked for; false with the response filled. */
static bool choose_profile(const ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response,
                           ExportProfile *ret_profile) {
        if (rest[0]) {
                for (ExportProfile p = EXPORT_NODE; p <= EXPORT_SELF; p++)
                        if (strcmp(rest, export_profile_name(p)) == 0) {
                                *ret_profile = p;
                                return true;
                        }
                api_error(response, 404, "no such exposition: node, container or self");
                return false;
        }
        *ret_profile = listener_profile(c);
        const char *name = *ret_profile == EXPORT_TINKOFF ? http_query(request, "profile") : NULL;
        if (name && export_profile_by_name(name, ret_profile) < 0) {
                api_error(response, 400, "no such profile: tinkoff, inovex or zhangjianweibj");
                return false;
        }
        return true;
}

void api_metrics(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        ExportProfile profile;
        if (!choose_profile(c, request, rest, response, &profile))
                return;
        bool openmetrics = expo_accepts_openmetrics(request->accept);
        ExportContext context = {
                .latest = c->latest,
                .self = c->self,
                .self_more = c->forward ? forward_put_self : NULL,
                .self_more_context = c->forward,
                .host_name = c->host_name ? c->host_name : "",
                .version = c->version,
                .now = api_now(c),
        };
        MonoTime begin = mono_now();
        /* Room for one as long as the last: to grow to it by doubling would touch twice the pages. */
        size_t expected = c->expected ? c->expected[profile] : 0;
        if (!buf_reserve(&response->body, expected + expected / 16))
                buf_reset(&response->body);
        if (export_render(&context, profile, openmetrics, &response->body) < 0) {
                api_error(response, 500, "the exposition is too large");
                return;
        }
        self_add(c->self, SELF_SCRAPES, 1);
        self_add(c->self, SELF_SCRAPE_SECONDS, duration_seconds(mono_since(mono_now(), begin)));
        self_add(c->self, SELF_SCRAPE_BYTES, (double)response->body.len);
        if (c->expected)
                c->expected[profile] = response->body.len;
        response->status = 200;
        response->content_type = openmetrics ? EXPO_OPENMETRICS_TYPE : EXPO_TEXT_TYPE;
}
