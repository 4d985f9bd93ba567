/* A query from its text to its result: parse, plan, evaluate, put in order; and what ends it before. */
#include "query/exec.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>

#define LOOKBACK_DEFAULT_MS INT64_C(300000)
#define SUBQUERY_STEP_DEFAULT_MS INT64_C(60000)
#define TIME_MOST_MS (INT64_C(1) << 53) /* what a double holds exactly */

#define SAMPLE_BYTES 16 /* decoded */

struct Query {
        Exec exec;
        QueryResult result;
};

void query_limits_default(QueryLimits *l) {
        *l = (QueryLimits){ .timeout = SECONDS(30),
                            .max_samples = 50000000,
                            .max_series = 200000,
                            .max_memory = (size_t)1 << 30,
                            .max_points = 20000000,
                            .max_steps = 11000 };
}

const char *query_fault_name(QueryFault f) {
        switch (f) {
        case QUERY_OK: return "";
        case QUERY_BAD_DATA: return "bad_data";
        case QUERY_EXECUTION: return "execution";
        case QUERY_TIMEOUT: return "timeout";
        case QUERY_CANCELLED: return "canceled";
        case QUERY_INTERNAL: break;
        }
        return "internal";
}

/* ---- What ends a query ---- */

int exec_fail(Exec *x, QueryFault fault, const char *fmt, ...) {
        if (atomic_exchange(&x->failed, true))
                return -ECANCELED;
        char text[4096];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        x->fault = fault;
        buf_put_str(&x->error, text);
        return -ECANCELED;
}

int exec_check(Exec *x) {
        if (atomic_load_explicit(&x->failed, memory_order_relaxed))
                return -ECANCELED;
        if (x->request->cancelled && atomic_load_explicit(x->request->cancelled, memory_order_relaxed))
                return exec_fail(x, QUERY_CANCELLED, "query was canceled in query execution");
        if (mono_now().ns < x->deadline.ns)
                return 0;
        return exec_fail(x, QUERY_TIMEOUT,
                         "query timed out in query execution after %g s (limit query.timeout): ask for less time or "
                         "fewer series",
                         duration_seconds(x->request->limits.timeout));
}

int exec_count(Exec *x, Node *n, uint64_t samples) {
        uint64_t most = x->request->limits.max_samples;
        atomic_fetch_add_explicit(&n->figures.samples, samples, memory_order_relaxed);
        if (atomic_fetch_add_explicit(&x->samples, samples, memory_order_relaxed) + samples <= most)
                return 0;
        return exec_fail(
                x, QUERY_EXECUTION,
                "query processing would load too many samples into memory in query execution: more than %" PRIu64
                " (limit query.max_samples): ask for less time or fewer series",
                most);
}

/* An error that nobody has put into words yet. */
static void describe(Exec *x, int r) {
        if (atomic_load(&x->failed))
                return;
        if (r == -E2BIG)
                (void)exec_fail(x, QUERY_EXECUTION,
                                "query needs more than %zu bytes of memory (limit query.max_memory): ask for less "
                                "time, a longer step or "
                                "fewer series",
                                x->request->limits.max_memory);
        else if (r == -EOVERFLOW)
                (void)exec_fail(x, QUERY_EXECUTION,
                                "a result would have more than %u labels, or labels of more than %u bytes", LABELS_MAX,
                                LABEL_RUN_MAX);
        else
                (void)exec_fail(x, QUERY_INTERNAL, "query failed: %s", strerror(-r));
}

/* ---- Before it runs ---- */

static bool good_time(int64_t t) {
        return t >= -TIME_MOST_MS && t <= TIME_MOST_MS;
}

static int take_steps(Exec *x) {
        const QueryRequest *q = x->request;
        if (!good_time(q->start_ms) || (!q->instant && !good_time(q->end_ms)))
                return exec_fail(x, QUERY_BAD_DATA, "time is out of range");
        if (q->instant) {
                x->steps = (Steps){ .start_ms = q->start_ms, .step_ms = 1, .n = 1 };
                return 0;
        }
        if (q->end_ms < q->start_ms)
                return exec_fail(x, QUERY_BAD_DATA,
                                 "invalid parameter \"end\": end timestamp must not be before start time");
        if (q->step_ms <= 0)
                return exec_fail(x, QUERY_BAD_DATA,
                                 "invalid parameter \"step\": zero or negative query resolution step widths are not "
                                 "accepted. Try a positive integer");
        uint64_t n = (uint64_t)(q->end_ms - q->start_ms) / (uint64_t)q->step_ms + 1;
        if (n > q->limits.max_steps)
                return exec_fail(x, QUERY_BAD_DATA,
                                 "exceeded maximum resolution of %u points per timeseries (limit query.max_steps). Try "
                                 "decreasing the query "
                                 "resolution (?step=XX)",
                                 q->limits.max_steps);
        x->steps = (Steps){ .start_ms = q->start_ms, .step_ms = q->step_ms, .n = (size_t)n };
        return 0;
}

static int refuse_text(Exec *x, int r, ParseError *e) {
        if (r == -EINVAL)
                r = exec_fail(x, QUERY_BAD_DATA, "invalid parameter \"query\": %s", buf_cstr(&e->text));
        parse_error_deinit(e);
        return r;
}

static int parse(Exec *x) {
        const QueryRequest *q = x->request;
        ParseError e = { 0 };
        int r = promql_parse(q->text, q->features, &x->ast, &e);
        if (r == 0)
                r = ast_resolve(x->ast, q->start_ms, q->instant ? q->start_ms : q->end_ms, q->instant ? 0 : q->step_ms,
                                &e);
        r = refuse_text(x, r, &e);
        ExprType type = r == 0 ? x->ast->root->type : TYPE_VECTOR;
        if (r == 0 && !q->instant && type != TYPE_VECTOR && type != TYPE_SCALAR)
                return exec_fail(x, QUERY_BAD_DATA,
                                 "invalid parameter \"query\": invalid expression type \"%s\" for range query, must be "
                                 "Scalar or instant Vector",
                                 expr_type_name(type));
        return r;
}

static void exec_init(Exec *x, Store *store, const QueryRequest *q) {
        *x = (Exec){ .store = store, .request = q, .started = mono_now() };
        x->lookback_ms = q->lookback_ms > 0 ? ms_clamp(q->lookback_ms) : LOOKBACK_DEFAULT_MS;
        x->subquery_step_ms = q->subquery_step_ms > 0 ? q->subquery_step_ms : SUBQUERY_STEP_DEFAULT_MS;
        x->delayed_names = q->features & PROMQL_DELAYED_NAME_REMOVAL;
        x->deadline = mono_add(x->started, q->limits.timeout);
        x->budget = ARENA_BUDGET(q->limits.max_memory);
        x->arena = ARENA(&x->budget);
        notes_init(&x->notes, &x->arena);
        for (size_t i = 0; i < WORKERS; i++) {
                Worker *w = &x->workers[i];
                w->arena = w->note_arena = ARENA(&x->budget);
                notes_init(&w->notes, &w->note_arena);
        }
}

/* ---- The result ---- */

/* With delayed removal names go now, whatever is left has to be apart. */
static int drop_names(Exec *x, Node *n) {
        for (size_t i = 0; i < n->value.n_rows; i++) {
                Row *row = &n->value.rows[i];
                if (!row->drop_name)
                        continue;
                row->labels = labelset_drop_name(&n->arena, row->labels);
                if (!row->labels.run)
                        return n->arena.error;
        }
        return rows_merge(x, &n->arena, &n->steps, &n->value, false);
}

static int compare_rows(const void *a, const void *b) {
        const Row *l = a, *r = b;
        return labels_compare(l->labels.run, l->labels.len, r->labels.run, r->labels.len);
}

static int compare_matrix(const void *a, const void *b) {
        const MatrixRow *l = a, *r = b;
        return labels_compare(l->labels.run, l->labels.len, r->labels.run, r->labels.len);
}

static int finish(Exec *x, QueryResult *out) {
        Node *n = x->root;
        out->type = x->ast->root->type;
        out->steps = x->steps;
        if (out->type == TYPE_MATRIX) {
                int r = matrix_result(x, n, &out->matrix, &out->n_matrix);
                if (r == 0 && out->n_matrix)
                        qsort(out->matrix, out->n_matrix, sizeof *out->matrix, compare_matrix);
                return r;
        }
        out->value = n->value;
        int r = 0;
        if (n->steps.n != x->steps.n)
                r = value_spread(&x->arena, n, &x->steps, &out->value);
        if (r == 0 && !x->request->instant && out->value.n_rows)
                qsort(out->value.rows, out->value.n_rows, sizeof *out->value.rows, compare_rows);
        return r;
}

static int run(Exec *x, QueryResult *out) {
        int r = take_steps(x);
        if (r == 0)
                r = parse(x);
        x->parse_ns = mono_since(mono_now(), x->started).ns;
        if (r == 0)
                r = plan_make(x);
        if (r == 0)
                r = store_view_open(x->store, &x->view);
        if (r == 0)
                r = node_value(x, &x->root);
        if (r == 0 && x->delayed_names && x->root->value.type == TYPE_VECTOR)
                r = drop_names(x, x->root);
        return r < 0 ? r : finish(x, out);
}

/* Labels of rows may still be the store's, whose files are not held longer than needed. */
static int own_labels(Exec *x, QueryResult *out) {
        for (size_t i = 0; i < out->n_matrix; i++) {
                LabelSet *l = &out->matrix[i].labels;
                l->run = (const uint8_t *)arena_copy(&x->arena, l->run, l->len);
                if (!l->run)
                        return x->arena.error;
        }
        return 0;
}

static void worker_deinit(Worker *w) {
        arena_deinit(&w->arena);
        arena_deinit(&w->note_arena);
        store_samples_deinit(&w->samples);
        store_samples_deinit(&w->column);
        store_histograms_deinit(&w->histograms);
        buf_deinit(&w->error);
        *w = (Worker){ 0 };
}

/* Everything that the result does not need; the root's value stays. */
static void let_go(Exec *x) {
        for (size_t i = 0; i < WORKERS; i++)
                worker_deinit(&x->workers[i]);
        for (size_t i = 0; i < x->n_selections; i++)
                (void)selection_free(x->selections[i]);
        x->n_selections = 0;
        x->view = store_view_close(x->view);
}

static void take_stats(Exec *x, QueryStats *s) {
        *s = (QueryStats){ .samples = atomic_load(&x->samples),
                           .series = atomic_load(&x->series),
                           .bytes_read = atomic_load(&x->samples) * SAMPLE_BYTES,
                           .peak_memory = atomic_load(&x->budget.peak) };
        s->peak_samples = s->samples;
        s->total = mono_since(mono_now(), x->started);
        s->parse.ns = x->parse_ns;
        s->select.ns = x->select_ns;
        s->eval.ns = s->total.ns - s->parse.ns - s->select.ns;
        for (size_t t = 0; t < STORE_TIER_COUNT; t++)
                s->tier_ms[t] = atomic_load(&x->tier_ms[t]);
}

static void take_notes(Exec *x, QueryResult *out) {
        out->n_warnings = notes_render(&x->notes, NOTE_WARNING, x->request->text, &x->arena, &out->warnings);
        out->n_infos = notes_render(&x->notes, NOTE_INFO, x->request->text, &x->arena, &out->infos);
}

Query *query_run(Store *store, const QueryRequest *request) {
        Query *q = calloc(1, sizeof *q);
        if (!q)
                return NULL;
        Exec *x = &q->exec;
        exec_init(x, store, request);
        int r = run(x, &q->result);
        if (r == 0)
                r = own_labels(x, &q->result);
        if (r < 0) {
                describe(x, r);
                q->result = (QueryResult){ .fault = x->fault };
        }
        if (x->view)
                take_notes(x, &q->result);
        let_go(x);
        q->result.error = x->error;
        take_stats(x, &q->result.stats);
        return q;
}

const QueryResult *query_result(const Query *q) {
        return &q->result;
}

Query *query_free(Query *q) {
        if (!q)
                return NULL;
        Exec *x = &q->exec;
        for (size_t i = 0; i < x->n_nodes; i++)
                arena_deinit(&x->nodes[i]->arena);
        arena_deinit(&x->arena);
        x->ast = ast_free(x->ast);
        buf_deinit(&x->error);
        free(q);
        return NULL;
}

void query_explain(const Query *q, Buf *out) {
        if (q->exec.root)
                explain(&q->exec, out);
}
