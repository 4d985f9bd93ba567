/* Expressions: query, query_range, explain, format_query, parse_query. */
#include "api/prom.h"

/* At most so many steps of a range query, as Prometheus has it. */
#define STEPS_MAX 11000

static bool bad_parameter(PromJob *j, const char *name, const char *why) {
        prom_error(&j->response, PROM_BAD_DATA, "invalid parameter \"%s\": %s", name, why);
        return false;
}

static bool take_lookback(PromJob *j, QueryRequest *q) {
        const char *text = prom_param(j, "lookback_delta");
        Duration d = j->settings.lookback;
        if (*text && !prom_parse_duration(text, &d)) {
                prom_error(&j->response, PROM_BAD_DATA,
                           "error parsing lookback delta duration: cannot parse \"%s\" to a valid duration", text);
                return false;
        }
        q->lookback_ms = d.ns > 0 ? d.ns / NS_PER_MS : 0;
        return true;
}

static bool take_tier(PromJob *j, QueryRequest *q) {
        static const char *const TIERS[] = {
                [QUERY_TIER_AUTO] = "auto", [QUERY_TIER_RAW] = "raw", [QUERY_TIER_5M] = "5m", [QUERY_TIER_1H] = "1h"
        };
        const char *text = prom_param(j, "tier");
        q->tier = QUERY_TIER_AUTO;
        if (!*text)
                return true;
        for (size_t i = 0; i < ARRAY_LEN(TIERS); i++)
                if (strcmp(text, TIERS[i]) == 0) {
                        q->tier = (QueryTier)i;
                        return true;
                }
        return bad_parameter(j, "tier", "expected raw, 5m, 1h or auto");
}

/* What both kinds have. */
static bool take_common(PromJob *j, QueryRequest *q) {
        const char *text = prom_param(j, "query");
        *q = (QueryRequest){
                .text = { text, strlen(text) },
                .features = j->settings.features,
                .limits = j->settings.limits,
                .cancelled = &j->cancelled,
                .pool = j->pool,
        };
        q->limits.timeout = prom_time_left(j);
        return take_lookback(j, q) && take_tier(j, q);
}

static bool take_instant(PromJob *j, QueryRequest *q) {
        q->instant = true;
        bool ok = prom_time(j, "time", j->now.ns / NS_PER_MS, &q->start_ms);
        q->end_ms = q->start_ms;
        return ok;
}

static bool take_end(PromJob *j, const char *name, int64_t *ret_ms) {
        const char *text = prom_param(j, name);
        if (prom_parse_time(text, ret_ms))
                return true;
        prom_error(&j->response, PROM_BAD_DATA, "invalid parameter \"%s\": cannot parse \"%s\" to a valid timestamp",
                   name, text);
        return false;
}

static bool take_step(PromJob *j, QueryRequest *q) {
        const char *text = prom_param(j, "step");
        Duration step;
        if (!prom_parse_duration(text, &step)) {
                prom_error(&j->response, PROM_BAD_DATA,
                           "invalid parameter \"step\": cannot parse \"%s\" to a valid duration", text);
                return false;
        }
        q->step_ms = step.ns / NS_PER_MS;
        return q->step_ms > 0 ||
               bad_parameter(j, "step",
                             "zero or negative query resolution step widths are not accepted. Try a positive integer");
}

static bool take_range(PromJob *j, QueryRequest *q) {
        if (!take_end(j, "start", &q->start_ms) || !take_end(j, "end", &q->end_ms))
                return false;
        if (q->end_ms < q->start_ms)
                return bad_parameter(j, "end", "end timestamp must not be before start time");
        if (!take_step(j, q))
                return false;
        if (((uint64_t)q->end_ms - (uint64_t)q->start_ms) / (uint64_t)q->step_ms > STEPS_MAX) {
                prom_error(&j->response, PROM_BAD_DATA,
                           "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
                           "resolution (?step=XX)");
                return false;
        }
        return true;
}

static void put_fault(PromJob *j, const QueryResult *r) {
        static const PromError ERRORS[] = {
                [QUERY_BAD_DATA] = PROM_BAD_DATA, [QUERY_EXECUTION] = PROM_EXECUTION, [QUERY_TIMEOUT] = PROM_TIMEOUT,
                [QUERY_CANCELLED] = PROM_CANCELED, [QUERY_INTERNAL] = PROM_INTERNAL,
        };
        prom_error(&j->response, ERRORS[r->fault], "%.*s", (int)r->error.len, r->error.data ? r->error.data : "");
}

static void query_freep(Query **q) {
        *q = query_free(*q);
}

static Query *run(PromJob *j, const QueryRequest *request) {
        Query *q = query_run(j->store, request);
        if (!q)
                prom_error(&j->response, PROM_UNAVAILABLE, "no memory for the query");
        else
                j->samples += query_result(q)->stats.samples;
        return q;
}

static void answer(PromJob *j, QueryRequest *request) {
        size_t limit;
        if (!prom_limit(j, "limit", &limit))
                return;
        CLEANUP(query_freep) Query *q = run(j, request);
        if (!q)
                return;
        const QueryResult *r = query_result(q);
        if (r->fault != QUERY_OK) {
                put_fault(j, r);
                return;
        }
        prom_begin(&j->response);
        bool cut = prom_put_result(&j->response.body, r, request->instant, limit, prom_param(j, "stats"));
        const char **warnings = ARENA_ARRAY(&j->arena, const char *, r->n_warnings + 1);
        size_t n = warnings ? r->n_warnings : 0;
        for (size_t i = 0; i < n; i++)
                warnings[i] = r->warnings[i];
        if (cut && warnings)
                warnings[n++] = "results truncated due to limit";
        prom_end(&j->response, warnings, n, r->infos, r->n_infos);
}

void prom_query(PromJob *j) {
        QueryRequest q;
        if (take_common(j, &q) && take_instant(j, &q))
                answer(j, &q);
}

void prom_query_range(PromJob *j) {
        QueryRequest q;
        if (take_common(j, &q) && take_range(j, &q))
                answer(j, &q);
}

/* The plan as text, with what each node has cost. Instant, or a range when there is a step. */
void prom_explain(PromJob *j) {
        QueryRequest request;
        if (!take_common(j, &request) ||
            !(*prom_param(j, "step") ? take_range(j, &request) : take_instant(j, &request)))
                return;
        request.explain = true;
        CLEANUP(query_freep) Query *q = run(j, &request);
        if (!q)
                return;
        if (query_result(q)->fault != QUERY_OK) {
                put_fault(j, query_result(q));
                return;
        }
        j->response.status = 200;
        j->response.content_type = PLAIN_TYPE;
        query_explain(q, &j->response.body);
}

static void ast_freep(Ast **a) {
        *a = ast_free(*a);
}

static bool parse(PromJob *j, Ast **ret_ast) {
        CLEANUP(parse_error_deinit) ParseError error = { 0 };
        const char *text = prom_param(j, "query");
        int r = promql_parse((Span){ text, strlen(text) }, j->settings.features, ret_ast, &error);
        if (r == -EINVAL)
                prom_error(&j->response, PROM_BAD_DATA, "invalid parameter \"query\": %s", buf_cstr(&error.text));
        else if (r < 0)
                prom_error(&j->response, PROM_UNAVAILABLE, "no memory");
        return r == 0;
}

void prom_format_query(PromJob *j) {
        CLEANUP(ast_freep) Ast *ast = NULL;
        CLEANUP(buf_deinit) Buf text = BUF_WITH_LIMIT(j->settings.max_answer);
        if (!parse(j, &ast))
                return;
        expr_format(ast->root, &text);
        prom_begin(&j->response);
        prom_put_text(&j->response.body, (Span){ text.data, text.len });
        prom_end(&j->response, NULL, 0, NULL, 0);
}

void prom_parse_query(PromJob *j) {
        CLEANUP(ast_freep) Ast *ast = NULL;
        if (!parse(j, &ast))
                return;
        prom_begin(&j->response);
        expr_json(ast->root, &j->response.body);
        prom_end(&j->response, NULL, 0, NULL, 0);
}
