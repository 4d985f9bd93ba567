/* The store of a running parallaxd, for `parallax store`: what it consists of, and its samples as text. */
#include "api/resource.h"

#include "base/duration.h"
#include "store/catalog.h"
#include "store/export.h"

#include <assert.h>

#define EXPORT_MAX ((size_t)48 << 20)

bool api_has_store(const ApiContext *c, HttpResponse *response) {
        if (!c->store)
                api_error(response, 404, "this parallaxd keeps no store");
        return c->store;
}

void api_store(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)request, (void)rest;
        if (!api_has_store(c, response))
                return;
        response->content_type = JSON_TYPE;
        store_info_json(c->store, &response->body);
}

/* ---- Parameters ---- */

void selection_deinit(Selection *x) {
        for (size_t i = 0; i < x->n; i++)
                matcher_deinit(&x->matchers[i]);
}

bool api_bad(HttpResponse *response, const char *what) {
        api_error(response, 400, what);
        return false;
}

static bool take_time(const HttpRequest *request, const char *name, int64_t fallback, int64_t *ret_ms) {
        const char *text = http_query(request, name);
        char *end = NULL;
        *ret_ms = fallback;
        if (!text || !*text)
                return true;
        errno = 0;
        long long v = strtoll(text, &end, 10);
        *ret_ms = v;
        return *end == '\0' && errno == 0;
}

/* match0, match1, ...: "label=value" and the other three operators; begin and end in ms: begin < t <= end. */
bool selection_take(const HttpRequest *request, Selection *x, HttpResponse *response) {
        for (;; x->n++) {
                char name[16];
                (void)snprintf(name, sizeof name, "match%zu", x->n);
                const char *text = http_query(request, name);
                if (!text)
                        break;
                if (x->n == SELECTION_MATCHERS_MAX)
                        return api_bad(response, "more than 16 conditions");
                if (matcher_from_text(text, &x->matchers[x->n]) < 0)
                        return api_bad(response, "a condition is wrong: expected label=value, label!=value, label=~regex or label!~regex");
        }
        if (!take_time(request, "begin", INT64_MIN, &x->begin_ms) || !take_time(request, "end", INT64_MAX, &x->end_ms))
                return api_bad(response, "begin and end are milliseconds since 1970");
        return true;
}

static bool take_tier(const HttpRequest *request, StoreExport *x, HttpResponse *response) {
        static const char *const TIERS[] = { "raw", "5m", "1h" };
        static const char *const COLUMNS[] = { "count", "sum", "min", "max", "last", "increase" };
        const char *tier = http_query(request, "tier"), *column = http_query(request, "column");
        x->tier = STORE_TIER_COUNT;
        x->column = ROLLUP_COLUMN_COUNT;
        for (int i = 0; i < STORE_TIER_COUNT; i++)
                if (strcmp(tier ? tier : "raw", TIERS[i]) == 0)
                        x->tier = (StoreTier)i;
        for (int i = 0; i < ROLLUP_COLUMN_COUNT; i++)
                if (strcmp(column ? column : "last", COLUMNS[i]) == 0)
                        x->column = (RollupColumn)i;
        if (x->tier == STORE_TIER_COUNT)
                return api_bad(response, "tier is raw, 5m or 1h");
        return x->column < ROLLUP_COLUMN_COUNT || api_bad(response, "column is count, sum, min, max, last or increase");
}

static int emit(void *context, const char *text, size_t n) {
        HttpResponse *response = context;
        if (response->body.len + n > EXPORT_MAX)
                return -EFBIG;
        buf_put(&response->body, text, n);
        return buf_error(&response->body);
}

void api_export(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        CLEANUP(selection_deinit) Selection x = { 0 };
        StoreExport what = { 0 };
        (void)rest;
        if (!api_has_store(c, response) || !selection_take(request, &x, response) || !take_tier(request, &what, response))
                return;
        what.matchers = x.matchers;
        what.n_matchers = x.n;
        what.begin_ms = x.begin_ms;
        what.end_ms = x.end_ms;
        response->content_type = PLAIN_TYPE;
        int64_t r = store_export(c->store, &what, emit, response);
        if (r == -EFBIG)
                api_error(response, 413, "over 48 MiB of text: narrow the conditions or the time, or export from a snapshot");
        else if (r < 0)
                api_error(response, 500, strerror((int)-r));
}
