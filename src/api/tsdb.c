/* /api/v1/status/tsdb, in the form of Prometheus: what the head holds, and which names and labels hold most of it. */
#include "api/resource.h"

#include "base/scan.h"

#define LIMIT_DEFAULT 10
#define LIMIT_MAX 1000

static void put_top(const ApiContext *c, StoreTopKind kind, const char *key, StoreTop *top, size_t limit, Buf *out) {
        size_t n = c->store_top(c->store, kind, top, limit);
        json_key(out, key);
        buf_put_char(out, '[');
        for (size_t i = 0; i < n; i++) {
                json_item(out);
                buf_put_char(out, '{');
                json_text(out, "name", top[i].name);
                json_key(out, "value");
                buf_put_u64(out, top[i].count);
                buf_put_char(out, '}');
        }
        buf_put_char(out, ']');
}

static void put_int(Buf *out, const char *key, int64_t v) {
        json_key(out, key);
        buf_printf(out, "%lld", (long long)v);
}

static void put_head(const ApiContext *c, StoreTop *top, Buf *out) {
        StoreStats stats;
        uint64_t pairs = 0;
        c->store_stats(c->store, &stats);
        size_t n = c->store_top(c->store, STORE_TOP_LABEL_VALUES, top, LIMIT_MAX);
        for (size_t i = 0; i < n; i++)
                pairs += top[i].count;
        json_key(out, "headStats");
        buf_put_char(out, '{');
        put_int(out, "numSeries", stats.head_series);
        put_int(out, "numLabelPairs", (int64_t)pairs);
        put_int(out, "chunkCount", stats.head_series); /* of each series one is open */
        put_int(out, "minTime", stats.head_min_ms);
        put_int(out, "maxTime", stats.head_max_ms);
        buf_put_char(out, '}');
}

static bool read_limit(const HttpRequest *request, size_t *ret_limit) {
        const char *text = http_query(request, "limit");
        uint64_t v = LIMIT_DEFAULT;
        if (text && (!span_u64((Span){ text, strlen(text) }, &v) || v == 0))
                return false;
        *ret_limit = v < LIMIT_MAX ? (size_t)v : LIMIT_MAX;
        return true;
}

void api_tsdb(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        size_t limit = 0;
        Buf *out = &response->body;
        (void)rest;
        if (!c->store) {
                api_error(response, 404, "this parallaxd keeps no store");
                return;
        }
        if (!read_limit(request, &limit)) {
                api_error(response, 400, "limit must be a number from 1 on");
                return;
        }
        CLEANUP_FREE StoreTop *top = calloc(LIMIT_MAX, sizeof *top);
        if (!top) {
                api_error(response, 503, "no memory");
                return;
        }
        buf_put_str(out, "{\"status\":\"success\",\"data\":{");
        put_head(c, top, out);
        put_top(c, STORE_TOP_METRICS, "seriesCountByMetricName", top, limit, out);
        put_top(c, STORE_TOP_LABEL_VALUES, "labelValueCountByLabelName", top, limit, out);
        put_top(c, STORE_TOP_LABEL_MEMORY, "memoryInBytesByLabelName", top, limit, out);
        put_top(c, STORE_TOP_PAIRS, "seriesCountByLabelValuePair", top, limit, out);
        buf_put_str(out, "}}\n");
        response->status = 200;
        response->content_type = JSON_TYPE;
}
