/* What the resources of src/api share. Private to src/api. */
#pragma once

#include "api/api.h"
#include "export/attachment.h"

#define JSON_TYPE "application/json; charset=utf-8"
#define PLAIN_TYPE "text/plain; charset=utf-8"

static inline MonoTime api_now(const ApiContext *c) {
        return c->clock ? c->clock() : mono_now();
}

/* {"error": text} with a status. */
void api_error(HttpResponse *response, int status, const char *text);

/* Writing JSON: key("name") writes `"name":` with a comma before it when something stands there already. */
void json_key(Buf *out, const char *key);
/* Begins an element of an array. */
void json_item(Buf *out);
/* null for absent, NaN and infinities. */
void json_number(Buf *out, double v);
void json_field(Buf *out, const char *key, double v);
void json_text(Buf *out, const char *key, const char *text); /* NULL: null */
void json_bool(Buf *out, const char *key, bool v);

/* One machine as the list has it. */
void machine_summary(const ApiContext *c, const LatestEntity *e, Buf *out);
/* "vm", "container", "service", "slice". */
const char *machine_kind(const LatestEntity *e);
/* "running", ...; NULL when it is not known. */
const char *machine_state(const LatestEntity *e);
/* Whether it is one that a request with this `kind` is about; NULL: VMs and containers. */
bool machine_is_listed(const LatestEntity *e, const char *kind);

/* What is asked of the store: matchers (match0, match1, ...: "label=value" and the other three operators) and begin < t <= end (ms). */
#define SELECTION_MATCHERS_MAX 16u
typedef struct Selection {
        Matcher matchers[SELECTION_MATCHERS_MAX];
        size_t n;
        int64_t begin_ms, end_ms;
} Selection;
void selection_deinit(Selection *x);
/* False with the response filled, as the two below. The matchers borrow from the request. */
bool selection_take(const HttpRequest *request, Selection *x, HttpResponse *response);
bool api_has_store(const ApiContext *c, HttpResponse *response);
/* 400; always false. */
bool api_bad(HttpResponse *response, const char *what);

void api_machines(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_machine(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_status(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_metrics(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_write(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_import(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_tsdb(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_store(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_export(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_store_job_status(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_store_job(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_targets(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_targets_metadata(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_scrape_pools(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void api_sd(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);

/* forward.c: "remote_write": [...], and the families of /metrics/self. */
struct Expo;
void forward_put_status(Forward *f, Buf *out);
void forward_put_self(void *forward, struct Expo *expo);
