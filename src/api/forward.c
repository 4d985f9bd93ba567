/* What sending on says of itself: in the status, and on /metrics/self under the names that Prometheus has for the same.
 * */
#include "api/resource.h"

#include "forward/forward.h"
#include "wire/expo.h"

/* A URL without the name and the password that it may carry. */
static void put_url(const char *url, Buf *out) {
        const char *host = strstr(url, "://"), *end;
        host = host ? host + 3 : url;
        end = host + strcspn(host, "/?#");
        const char *at = memrchr(host, '@', (size_t)(end - host));
        buf_put(out, url, (size_t)(host - url));
        buf_put_str(out, at ? at + 1 : host);
}

static double seconds(int64_t ms) {
        return ms == INT64_MIN ? value_absent() : (double)ms / 1e3;
}

static void put_target(const ForwardStatus *s, Buf *out) {
        CLEANUP(buf_deinit) Buf url = BUF_NULL;
        put_url(s->config->url, &url);
        buf_put_char(out, '{');
        json_text(out, "name", s->config->name);
        json_text(out, "url", buf_cstr(&url));
        json_text(out, "protobuf_message",
                  s->sender->version == RW_2 ? "io.prometheus.write.v2.Request" : "prometheus.WriteRequest");
        json_field(out, "pending_samples", (double)s->pending);
        json_field(out, "sent_samples", (double)s->sender->sent);
        json_field(out, "failed_samples", (double)s->sender->failed);
        json_field(out, "dropped_samples", (double)(s->sender->lost + s->sender->too_old + s->refused));
        json_field(out, "newest_taken_seconds", seconds(s->newest_in_ms));
        json_field(out, "newest_sent_seconds", seconds(s->sender->newest_sent_ms));
        json_field(out, "shards", s->sender->shards);
        json_field(out, "queue_bytes", (double)s->queue.bytes);
        json_field(out, "queue_failures", (double)s->queue.failures);
        json_field(out, "last_status", s->sender->last_status);
        json_text(out, "last_problem", s->sender->why[0] ? s->sender->why : NULL);
        buf_put_char(out, '}');
}

void forward_put_status(Forward *f, Buf *out) {
        json_key(out, "remote_write");
        buf_put_char(out, '[');
        for (size_t i = 0; f && i < forward_count(f); i++) {
                ForwardStatus s;
                forward_status(f, i, &s);
                json_item(out);
                put_target(&s, out);
        }
        buf_put_char(out, ']');
}

/* ---- Metrics ---- */

typedef struct ForwardRow {
        const char *name;
        MetricType type;
        const char *more; /* one more label, whole; "" */
        const char *help;
        double (*value)(const ForwardStatus *s);
} ForwardRow;

#define VALUE(id, expression)                                   \
        static double value_##id(const ForwardStatus *s) {      \
                return (double)(expression);                    \
        }
#define FORWARD(id, name, type, more, help, expression) VALUE(id, expression)
#include "self_forward.def"
#undef FORWARD

static const ForwardRow ROWS[] = {
#define FORWARD(id, name, type, more, help, expression) { name, METRIC_##type, more, help, value_##id },
#include "self_forward.def"
#undef FORWARD
};

static void put_labels(const ForwardStatus *s, Buf *out) {
        CLEANUP(buf_deinit) Buf url = BUF_NULL;
        put_url(s->config->url, &url);
        expo_put_label(out, 0, "remote_name", s->config->name, strlen(s->config->name));
        expo_put_label(out, 0, "url", url.data, url.len);
}

/* Rows of one name stand together. */
void forward_put_self(void *forward, Expo *expo) {
        Forward *f = forward;
        const char *name = "";
        for (size_t r = 0; r < ARRAY_LEN(ROWS); r++) {
                if (strcmp(name, ROWS[r].name) != 0)
                        expo_family(expo, ROWS[r].name, ROWS[r].type, ROWS[r].help);
                name = ROWS[r].name;
                for (size_t i = 0; i < forward_count(f); i++) {
                        CLEANUP(buf_deinit) Buf labels = BUF_NULL;
                        ForwardStatus s;
                        forward_status(f, i, &s);
                        put_labels(&s, &labels);
                        double value = ROWS[r].value(&s);
                        if (!buf_error(&labels) && !value_is_absent(value))
                                expo_sample(expo,
                                            (const Span[]){ { labels.data, labels.len },
                                                            { ROWS[r].more, strlen(ROWS[r].more) } },
                                            2, value);
                }
        }
}
