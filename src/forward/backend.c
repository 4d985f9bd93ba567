#include "forward/backend.h"

#include "base/escape.h"

#include <assert.h>
#include <string.h>

#define JSON_TYPE "application/json"
/* The client waits for the engine's answer and a little longer, so that it hears of a timeout. */
#define GRACE SECONDS(5)
#define REQUESTS_MAX 128u

typedef struct Asked Asked;
struct Asked {
        Backend *backend;
        Asked *next, **at; /* in the backend's list */
        HttpFetch *fetch;
        HttpHeld *held;
        Buf url, body;
};

struct Backend {
        HttpFetcher *fetcher;
        char *url; /* without a slash at its end */
        const HttpFetchOptions *options;
        Duration timeout;
        Asked *asked;
        BackendStats stats;
};

/* ---- What is asked ---- */

/* RFC 3986: what needs no escape, and in a path the slash beside it. */
static void put_escaped(Buf *out, const char *text, const char *beside) {
        static const char HEX[] = "0123456789ABCDEF";
        for (const char *c = text; *c; c++) {
                unsigned char b = (unsigned char)*c;
                if ((b >= '0' && b <= '9') || ((b | 0x20) >= 'a' && (b | 0x20) <= 'z') || strchr("-._~", b) ||
                    strchr(beside, b)) {
                        buf_put_char(out, *c);
                } else {
                        char escape[3] = { '%', HEX[b >> 4], HEX[b & 15] };
                        buf_put(out, escape, sizeof escape);
                }
        }
}

static void put_params(Buf *out, const HttpRequest *request) {
        for (size_t i = 0; i < request->n_params; i++) {
                if (i)
                        buf_put_char(out, '&');
                put_escaped(out, request->params[i].name, "");
                buf_put_char(out, '=');
                put_escaped(out, request->params[i].value, "");
        }
}

static bool is_form(const HttpRequest *request) {
        const char *type = http_header(request, "Content-Type");
        return type && strncasecmp(type, "application/x-www-form-urlencoded", 33) == 0;
}

/* Parameters go where they came from; a body that is no form (remote read) goes as it is. */
static void put_request(Asked *a, const HttpRequest *request) {
        bool post = strcmp(request->method, "POST") == 0, form = post && is_form(request);
        buf_put_str(&a->url, a->backend->url);
        put_escaped(&a->url, request->path, "/");
        if (form) {
                put_params(&a->body, request);
                return;
        }
        if (request->n_params) {
                buf_put_char(&a->url, '?');
                put_params(&a->url, request);
        }
        if (post && request->body_len)
                buf_put(&a->body, request->body, request->body_len);
}

/* Headers that say what the body is and what is wanted; the engine's client is we. */
static size_t put_headers(const HttpRequest *request, char text[][256], const char *headers[], size_t most) {
        static const char *const PASSED[] = { "Content-Type", "Content-Encoding", "Accept",
                                              "X-Prometheus-Remote-Read-Version" };
        size_t n = 0;
        for (size_t i = 0; i < ARRAY_LEN(PASSED) && n < most; i++) {
                const char *value = http_header(request, PASSED[i]);
                if (!value || snprintf(text[n], 256, "%s: %s", PASSED[i], value) >= 256)
                        continue;
                headers[n] = text[n];
                n++;
        }
        return n;
}

/* ---- Answers ---- */

static void fail(HttpResponse *response, int status, const char *what, const char *why) {
        buf_reset(&response->body);
        buf_printf(&response->body, "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":\"",
                   status == 502 ? "bad_gateway" : "unavailable");
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        buf_printf(&text, "%s%s%s", what, *why ? ": " : "", why);
        escape_json(&response->body, text.data, text.len);
        buf_put_str(&response->body, "\"}");
        response->status = status;
        response->content_type = JSON_TYPE;
}

static Asked *asked_free(Asked *a) {
        if (!a)
                return NULL;
        if (a->at) {
                *a->at = a->next;
                if (a->next)
                        a->next->at = a->at;
                a->backend->stats.under_way--;
        }
        a->fetch = http_fetch_cancel(a->fetch);
        buf_deinit(&a->url);
        buf_deinit(&a->body);
        free(a);
        return NULL;
}

static void on_error(const HttpFetchResult *r, HttpResponse *response) {
        bool gateway = r->error == -EPROTO || r->error == -EFBIG || r->error == -ELOOP;
        const char *what = r->error == -ETIMEDOUT ? "the query engine did not answer in time" :
                           gateway                ? "the query engine's answer is no answer" :
                                                    "the query engine cannot be reached";
        fail(response, gateway ? 502 : 503, what, r->why);
}

/* The server wants texts that stay: those that engines answer with on these paths. */
static const char *known_type(const char *type) {
        static const char *const TYPES[] = {
                JSON_TYPE,
                "application/json; charset=utf-8",
                "application/json; charset=UTF-8",
                "application/x-protobuf",
                "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
                "text/plain; version=0.0.4; charset=utf-8",
                "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
                "text/plain; version=0.0.4; charset=utf-8; escaping=values",
                "text/plain; version=0.0.4",
                "text/html; charset=utf-8",
                "text/plain; charset=utf-8",
        };
        for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
                if (strcasecmp(TYPES[i], type) == 0)
                        return TYPES[i];
        size_t n = strcspn(type, "; ");
        for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
                if (n && strncasecmp(TYPES[i], type, n) == 0)
                        return TYPES[i];
        return "text/plain; charset=utf-8";
}

static void on_done(void *context, HttpFetchResult *r) {
        Asked *a = context;
        HttpResponse response = { .body = BUF_WITH_LIMIT(BACKEND_BODY_MAX), .cors = true };
        const char *coding = r->error ? NULL : http_fetch_header(r, "Content-Encoding");
        a->fetch = NULL;
        if (r->error) {
                a->backend->stats.failed++;
                on_error(r, &response);
        } else {
                response.status = r->status;
                response.content_type = known_type(r->content_type);
                response.body = *r->body;
                *r->body = BUF_NULL;
        }
        if (coding && strcasecmp(coding, "snappy") == 0) { /* what is no JSON goes as it came */
                response.extra_name = "Content-Encoding";
                response.extra_value = "snappy";
                response.final = true;
        }
        a->held = http_held_answer(a->held, &response);
        buf_deinit(&response.body);
        (void)asked_free(a);
}

/* The client went away: so need not the engine work on. */
static void on_gone(void *context) {
        Asked *a = context;
        HttpResponse nobody = { .status = 503, .body = BUF_NULL };
        a->held = http_held_answer(a->held, &nobody);
        (void)asked_free(a);
}

static int ask(Asked *a, const HttpRequest *request) {
        char text[6][256];
        const char *headers[6];
        put_request(a, request);
        if (buf_error(&a->url) || buf_error(&a->body))
                return -ENOMEM;
        HttpFetchRequest r = {
                .url = buf_cstr(&a->url),
                .method = strcmp(request->method, "POST") == 0 ? "POST" : "GET",
                .options = a->backend->options,
                .headers = headers,
                .n_headers = put_headers(request, text, headers, ARRAY_LEN(headers)),
                .body = a->body.len ? a->body.data : NULL,
                .body_len = a->body.len,
                .timeout = a->backend->timeout,
                .body_limit = BACKEND_BODY_MAX,
        };
        return http_fetch(a->backend->fetcher, &r, on_done, a, &a->fetch);
}

void backend_answer(void *backend, const HttpRequest *request, HttpResponse *response) {
        Backend *b = backend;
        response->cors = true;
        if (b->stats.under_way >= REQUESTS_MAX) {
                fail(response, 503, "too many queries wait for the query engine", "");
                return;
        }
        Asked *a = calloc(1, sizeof *a);
        if (!a) {
                fail(response, 503, "no memory", "");
                return;
        }
        a->backend = b;
        int r = ask(a, request);
        HttpHeld *held = r == 0 ? http_hold(request) : NULL;
        b->stats.requests++;
        if (!held) {
                fail(response, 503, "the query engine cannot be asked", r < 0 ? strerror(-r) : "");
                (void)asked_free(a);
                return;
        }
        a->held = held;
        a->next = b->asked;
        a->at = &b->asked;
        if (a->next)
                a->next->at = &a->next;
        b->asked = a;
        b->stats.under_way++;
        http_held_watch(held, (Duration){ b->timeout.ns + GRACE.ns }, on_gone, a);
}

/* ---- Life ---- */

int backend_new(HttpFetcher *fetcher, const char *url, const HttpFetchOptions *options, Duration timeout,
                Backend **ret_backend) {
        if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
                return -EINVAL;
        Backend *b = calloc(1, sizeof *b);
        if (!b)
                return -ENOMEM;
        *b = (Backend){ .fetcher = fetcher, .url = strdup(url), .options = options, .timeout = timeout };
        if (!b->url) {
                free(b);
                return -ENOMEM;
        }
        for (size_t n = strlen(b->url); n > 0 && b->url[n - 1] == '/'; n--)
                b->url[n - 1] = '\0';
        *ret_backend = b;
        return 0;
}

Backend *backend_free(Backend *b) {
        if (!b)
                return NULL;
        while (b->asked) {
                Asked *a = b->asked;
                HttpResponse response = { .body = BUF_NULL };
                fail(&response, 503, "parallaxd asks another query engine now", "");
                a->held = http_held_answer(a->held, &response);
                buf_deinit(&response.body);
                (void)asked_free(a);
        }
        free(b->url);
        free(b);
        return NULL;
}

const BackendStats *backend_stats(const Backend *b) {
        return &b->stats;
}
