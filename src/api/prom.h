/* What the endpoints of Prometheus's API share: a job that answers one request on a thread of the pool, its parameters,
 * and the envelope of its answer. Private to src/api. */
#pragma once

#include "api/queries.h"
#include "api/resource.h"

typedef struct PromJob PromJob;
/* Answers j->response. On a thread of the pool: nothing but the job and the store may be touched. */
typedef void (*PromWork)(PromJob *j);

struct PromJob {
        PromJob *next, **link; /* of those that are under way */
        ApiQueries *queries;
        Store *store;
        Pool *pool;
        PromWork work;
        HttpHeld *held;
        atomic_bool cancelled;
        ArenaBudget budget;
        Arena arena;           /* of the parameters; scratch of the work */
        const HttpParam *params;
        size_t n_params;
        Span rest;             /* of the path, behind the route's */
        const uint8_t *body;   /* what was posted, unless it was a form */
        size_t body_len;
        bool accepts_utf8;     /* names in expositions need no escapes */
        ApiQuerySettings settings;
        WallTime now;
        MonoTime arrived;
        HttpCoding coding;
        HttpResponse response;
        uint64_t samples;
        Duration busy;
};

/* Begins a job that will answer; or answers at once why not. */
void prom_start(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response, PromWork work);
/* What is left of the time that the job may take; not positive: none. */
Duration prom_time_left(const PromJob *j);

/* ---- The envelope ---- */

typedef enum PromError {
        PROM_BAD_DATA,    /* 400 */
        PROM_EXECUTION,   /* 422 */
        PROM_TIMEOUT,     /* 503 */
        PROM_CANCELED,    /* 503 */
        PROM_INTERNAL,    /* 500 */
        PROM_NOT_FOUND,   /* 404 */
        PROM_UNAVAILABLE, /* 503 */
        PROM_FORBIDDEN,   /* 403, "unavailable" */
} PromError;

#define PROM_TYPE "application/json" /* as Prometheus, to the letter */

/* The whole answer is this error. */
void prom_error(HttpResponse *r, PromError e, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* {"status":"success","data": ... */
void prom_begin(HttpResponse *r);
/* ... "warnings":[..],"infos":[..]} */
void prom_end(HttpResponse *r, const char *const *warnings, size_t n_warnings, const char *const *infos,
              size_t n_infos);
/* The same with "results truncated due to limit" when it was. */
void prom_end_limited(HttpResponse *r, bool truncated);
/* What store calls end with: true, or false with the answer filled. */
bool prom_store_ok(PromJob *j, int r);

/* ---- Parameters; false: the answer is filled ---- */

/* "" when absent. */
const char *prom_param(const PromJob *j, const char *name);
/* Times as Prometheus reads them: decimal seconds or RFC 3339. */
bool prom_parse_time(const char *text, int64_t *ret_ms);
/* Decimal seconds or "5m"; may be negative. */
bool prom_parse_duration(const char *text, Duration *ret_d);
/* `fallback` when it is absent. */
bool prom_time(PromJob *j, const char *name, int64_t fallback, int64_t *ret_ms);
/* 0: no limit. */
bool prom_limit(PromJob *j, const char *name, size_t *ret_limit);

/* match[]: selectors of series. */
typedef struct PromSelectors {
        Ast **asts;
        StoreSelector *list; /* the matchers of each */
        size_t n;
} PromSelectors;
void prom_selectors_deinit(PromSelectors *s);
/* `wrapped`: errors are those of a parameter. */
bool prom_selectors(PromJob *j, bool wrapped, PromSelectors *s);

/* ---- JSON in the form that Go gives it ---- */

/* With its quotes; <, > and & escaped. */
void prom_put_text(Buf *out, Span s);
void prom_put_cstr(Buf *out, const char *s);
/* {"a":"b",...} of a run; NULL with 0 is {}. */
void prom_put_labels(Buf *out, const uint8_t *run, size_t len);
/* 1435781451.781, and the same as number_json() in quotes. */
void prom_put_time(Buf *out, int64_t ms);
void prom_put_value(Buf *out, double v);
/* Longest text of a time. */
#define PROM_TIME_TEXT_MAX 24u
size_t prom_time_text(int64_t ms, char out[PROM_TIME_TEXT_MAX]);

/* "data" of a query's result, cut to `limit` series (0: all). True when it was cut. */
bool prom_put_result(Buf *out, const QueryResult *r, bool instant, size_t limit, const char *stats);

/* The series of selectors, each once, ascending. */
typedef struct SeriesEntry {
        const uint8_t *run;
        size_t len;
        const StoreList *list; /* series `index` of it */
        size_t index;
} SeriesEntry;
typedef struct SeriesSet {
        StoreView *view;
        StoreList **lists;
        size_t n_lists;
        SeriesEntry *list; /* the arena's */
        size_t n;
} SeriesSet;
void series_set_deinit(SeriesSet *s);
/* In begin < t <= end; of the raw samples, or of all tiers that may have any. */
int series_set_select(PromJob *j, const StoreSelector *selectors, size_t n, bool raw, int64_t begin_ms, int64_t end_ms,
                      SeriesSet *s) MUST_USE;
/* -ECANCELED, -ETIMEDOUT or 0: looked at now and then by whatever takes long. */
int prom_interrupted(const PromJob *j) MUST_USE;
/* The labels of a run with those external ones that it does not have; the run itself when there are none, else in
 * `scratch`. */
SeriesEntry prom_with_external(const PromJob *j, SeriesEntry e, Buf *scratch);

/* ---- The endpoints ---- */

void prom_query(PromJob *j);
void prom_query_range(PromJob *j);
void prom_explain(PromJob *j);
void prom_format_query(PromJob *j);
void prom_parse_query(PromJob *j);
void prom_exemplars(PromJob *j);
void prom_series(PromJob *j);
void prom_labels(PromJob *j);
void prom_label_values(PromJob *j);
void prom_metadata(PromJob *j);
void prom_federate(PromJob *j);
void prom_read(PromJob *j);

/* At once; see routes.c. */
void prom_rules(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_alerts(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_alertmanagers(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_blocks(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_walreplay(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_buildinfo(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_config(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_flags(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_runtimeinfo(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_features(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_admin(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
void prom_lifecycle(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response);
