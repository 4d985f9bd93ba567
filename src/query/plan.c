/* From an expression to a plan, in two passes. The first, from the leaves up, makes the nodes and finds out which
 * results are the same at every step; these are evaluated once. The second, from the root down, gives each node its
 * steps (a subquery has a grid of its own) and finds nodes that are equal to one before: the same text on the same
 * steps. */
#include "query/exec.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Looking for equal nodes prints each; a query of more nodes or more text than this was made by a machine that repeats
 * nothing. */
#define NODES_COMPARED 512u
#define TEXT_COMPARED 65536u

static Node *node_new(Exec *x, NodeKind kind, const Expr *e, size_t n_kids) {
        if (x->n_nodes == x->cap_nodes) {
                size_t cap = x->cap_nodes ? 2 * x->cap_nodes : 32;
                Node **nodes = arena_grow(&x->arena, x->nodes, x->cap_nodes * sizeof *nodes, cap * sizeof *nodes);
                if (!nodes)
                        return NULL;
                x->nodes = nodes;
                x->cap_nodes = cap;
        }
        Node *n = ARENA_NEW(&x->arena, Node);
        if (!n)
                return NULL;
        n->kind = kind;
        n->expr = e;
        n->kids = ARENA_ARRAY(&x->arena, Node *, n_kids);
        n->n_kids = n_kids;
        n->users = 1;
        n->arena = ARENA(&x->budget);
        x->nodes[x->n_nodes++] = n;
        return n->kids ? n : NULL;
}

/* ---- First pass ---- */

static int build(Exec *x, const Expr *e, Node **ret);

static bool span_equal(Span a, Span b) {
        return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

static bool names_has(const Span *names, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (span_equal(names[i], (Span){ name, strlen(name) }))
                        return true;
        return false;
}

static bool selects_one_name(const SelectorExpr *s) {
        for (size_t i = 0; i < s->n_matchers; i++)
                if (s->matchers[i].type == MATCH_EQUAL && s->matchers[i].value.len &&
                    span_is(s->matchers[i].name, METRIC_NAME_LABEL))
                        return true;
        return false;
}

static Node *build_selector(Exec *x, NodeKind kind, const Expr *whole, const Expr *selector) {
        Node *n = node_new(x, kind, whole, 0);
        if (!n)
                return NULL;
        n->invariant = selector->selector.when.at != AT_NONE;
        n->one_name = selects_one_name(&selector->selector);
        n->range_ms = selector->selector.range_ms;
        n->mode = selector->selector.mode;
        return n;
}

static int build_kids(Exec *x, Node *n, const Expr *const *exprs) {
        n->invariant = true;
        for (size_t i = 0; i < n->n_kids; i++) {
                int r = build(x, exprs[i], &n->kids[i]);
                if (r < 0)
                        return r;
                n->invariant = n->invariant && n->kids[i]->invariant;
        }
        return 0;
}

/* Functions whose value depends on the time of evaluation even where their arguments do not. */
static bool varies_with_time(FunctionId f) {
        switch (f) {
        case FUNCTION_DAYS_IN_MONTH:
        case FUNCTION_DAY_OF_MONTH:
        case FUNCTION_DAY_OF_WEEK:
        case FUNCTION_DAY_OF_YEAR:
        case FUNCTION_HOUR:
        case FUNCTION_MINUTE:
        case FUNCTION_MONTH:
        case FUNCTION_YEAR:
        case FUNCTION_PREDICT_LINEAR:
        case FUNCTION_TIME:
        case FUNCTION_TIMESTAMP: return true;
        default: return false;
        }
}

static const Expr *range_argument(const CallExpr *c, size_t *ret_at) {
        for (size_t i = 0; i < c->n_args; i++)
                if (c->args[i]->type == TYPE_MATRIX) {
                        *ret_at = i;
                        return expr_bare(c->args[i]);
                }
        return NULL;
}

/* Samples outside of the window are no use to most functions. */
static int check_mode(Exec *x, const CallExpr *c, RangeMode mode) {
        bool grows = c->function == FUNCTION_RATE || c->function == FUNCTION_INCREASE || c->function == FUNCTION_DELTA;
        bool counts = c->function == FUNCTION_CHANGES || c->function == FUNCTION_RESETS;
        if (mode == RANGE_PLAIN || grows || (counts && mode == RANGE_ANCHORED))
                return 0;
        return exec_fail(x, QUERY_EXECUTION, "%s modifier can only be used with: %s - not with %s",
                         mode == RANGE_ANCHORED ? "anchored" : "smoothed",
                         mode == RANGE_ANCHORED ? "changes, delta, increase, rate, resets" : "delta, increase, rate",
                         function_info(c->function)->name);
}

/* Kids are the scalar arguments, and behind them what a subquery evaluates. */
static int build_range(Exec *x, const Expr *e, FunctionId f, Node **ret) {
        const CallExpr *c = &e->call;
        size_t at = 0, n_kids = 0;
        const Expr *over = range_argument(c, &at), *kids[9];
        for (size_t i = 0; i < c->n_args && n_kids < 8; i++)
                if (i != at)
                        kids[n_kids++] = c->args[i];
        bool subquery = over->kind == EXPR_SUBQUERY;
        if (subquery)
                kids[n_kids++] = over->subquery.inner;
        Node *n = node_new(x, NODE_RANGE, e, n_kids);
        int r = n ? build_kids(x, n, kids) : x->arena.error;
        if (r == 0 && !subquery)
                r = check_mode(x, c, over->selector.mode);
        if (r < 0)
                return r;
        const When *when = subquery ? &over->subquery.when : &over->selector.when;
        bool scalars_invariant = true;
        for (size_t i = 0; i + subquery < n_kids; i++)
                scalars_invariant = scalars_invariant && n->kids[i]->invariant;
        n->function = f;
        n->n_args = n_kids - subquery;
        n->invariant = when->at != AT_NONE && scalars_invariant && !varies_with_time(f);
        n->range_ms = subquery ? over->subquery.range_ms : over->selector.range_ms;
        n->mode = subquery ? RANGE_PLAIN : over->selector.mode;
        n->one_name = subquery ? n->kids[n_kids - 1]->one_name : selects_one_name(&over->selector);
        n->drops_name = !function_keeps_name(f);
        *ret = n;
        return 0;
}

static int build_absent_range(Exec *x, const Expr *e, Node **ret) {
        Node *n = node_new(x, NODE_ABSENT_RANGE, e, 1);
        int r = n ? build_range(x, e, FUNCTION_PRESENT_OVER_TIME, &n->kids[0]) : x->arena.error;
        if (r < 0)
                return r;
        n->kids[0]->drops_name =
                false; /* whose samples they are does not matter, and names that are kept cannot clash */
        n->invariant = n->kids[0]->invariant;
        n->one_name = true;
        *ret = n;
        return 0;
}

static bool is_plain_selector(const Expr *e) {
        return e->kind == EXPR_SELECTOR && e->selector.range_ms == 0 && e->selector.mode == RANGE_PLAIN;
}

static int build_timestamp(Exec *x, const Expr *e, Node **ret) {
        Node *n = build_selector(x, NODE_SELECT, e, expr_bare(e->call.args[0]));
        if (!n)
                return x->arena.error;
        n->invariant = false;
        n->takes_time = n->drops_name = true;
        *ret = n;
        return 0;
}

static bool is_scalar_constant(FunctionId f) {
        return f == FUNCTION_TIME || f == FUNCTION_PI || f == FUNCTION_START || f == FUNCTION_END ||
               f == FUNCTION_STEP || f == FUNCTION_RANGE;
}

static NodeKind call_kind(const CallExpr *c) {
        if (is_scalar_constant(c->function))
                return NODE_SCALAR;
        if (c->function == FUNCTION_INFO)
                return NODE_INFO;
        if (!function_is_elementwise(c->function) && c->function != FUNCTION_TIMESTAMP)
                return NODE_WHOLE;
        return c->n_args == 0 ? NODE_DATE : NODE_ELEMENT;
}

/* Results that have no name, or one that cannot clash. */
static bool whole_has_one_name(const CallExpr *c, const Node *n) {
        switch (c->function) {
        case FUNCTION_ABSENT:
        case FUNCTION_VECTOR:
        case FUNCTION_HISTOGRAM_QUANTILE:
        case FUNCTION_HISTOGRAM_FRACTION: return true;
        case FUNCTION_SORT:
        case FUNCTION_SORT_DESC:
        case FUNCTION_SORT_BY_LABEL:
        case FUNCTION_SORT_BY_LABEL_DESC: return n->kids[0]->one_name;
        default: return false;
        }
}

static int build_call(Exec *x, const Expr *e, Node **ret) {
        const CallExpr *c = &e->call;
        if (c->function == FUNCTION_ABSENT_OVER_TIME)
                return build_absent_range(x, e, ret);
        if (function_is_range(c->function))
                return build_range(x, e, c->function, ret);
        if (c->function == FUNCTION_TIMESTAMP && is_plain_selector(expr_bare(c->args[0])))
                return build_timestamp(x, e, ret);
        NodeKind kind = call_kind(c);
        /* The second argument of info() is no vector but matchers. */
        Node *n = node_new(x, kind, e, kind == NODE_INFO ? 1 : c->n_args);
        int r = n ? build_kids(x, n, (const Expr *const *)c->args) : x->arena.error;
        if (r < 0)
                return r;
        n->function = c->function;
        n->invariant = n->invariant && !varies_with_time(c->function) && kind != NODE_INFO;
        n->drops_name = kind == NODE_ELEMENT && !function_keeps_name(c->function);
        n->one_name = kind == NODE_ELEMENT ? n->kids[0]->one_name
                                           : kind == NODE_DATE || (kind == NODE_WHOLE && whole_has_one_name(c, n));
        n->n_args = kind == NODE_ELEMENT ? c->n_args - 1 : 0;
        *ret = n;
        return 0;
}

static int build_aggregate(Exec *x, const Expr *e, Node **ret) {
        const AggregateExpr *a = &e->aggregate;
        bool scalar_param = a->param && a->op != AGGREGATE_COUNT_VALUES;
        const Expr *kids[] = { a->inner, a->param };
        Node *n = node_new(x, NODE_AGGREGATE, e, scalar_param ? 2 : 1);
        int r = n ? build_kids(x, n, kids) : x->arena.error;
        if (r < 0)
                return r;
        bool picks = a->op == AGGREGATE_TOPK || a->op == AGGREGATE_BOTTOMK || a->op == AGGREGATE_LIMITK ||
                     a->op == AGGREGATE_LIMIT_RATIO;
        /* As in Prometheus the parameter does not count. */
        n->invariant = n->kids[0]->invariant;
        n->one_name = picks ? n->kids[0]->one_name
                            : a->op != AGGREGATE_COUNT_VALUES &&
                                      (a->without || !names_has(a->labels, a->n_labels, METRIC_NAME_LABEL));
        *ret = n;
        return 0;
}

static bool match_has_one_name(const BinaryExpr *b, const Node *n) {
        bool arithmetic = !binary_is_comparison(b->op) && !binary_is_set(b->op);
        if (b->op == BINARY_OR || names_has(b->include, b->n_include, METRIC_NAME_LABEL))
                return false;
        if (b->card == CARD_ONE_TO_MANY)
                return n->kids[1]->one_name;
        return arithmetic && !(b->on && names_has(b->labels, b->n_labels, METRIC_NAME_LABEL)) ? true
                                                                                              : n->kids[0]->one_name;
}

static int build_binary(Exec *x, const Expr *e, Node **ret) {
        const BinaryExpr *b = &e->binary;
        bool left_scalar = b->left->type == TYPE_SCALAR, right_scalar = b->right->type == TYPE_SCALAR;
        const Expr *kids[] = { b->left, b->right };
        NodeKind kind = left_scalar && right_scalar   ? NODE_SCALAR
                        : left_scalar || right_scalar ? NODE_BY_SCALAR
                        : binary_is_set(b->op)        ? NODE_SET
                                                      : NODE_MATCH;
        Node *n = node_new(x, kind, e, 2);
        int r = n ? build_kids(x, n, kids) : x->arena.error;
        if (r < 0)
                return r;
        if (kind == NODE_BY_SCALAR) {
                n->one_name = n->kids[left_scalar]->one_name;
                n->drops_name = !binary_is_comparison(b->op) || b->bool_modifier;
                if (b->op == BINARY_TRIM_UPPER || b->op == BINARY_TRIM_LOWER)
                        n->drops_name = false;
        } else if (kind != NODE_SCALAR) {
                n->one_name = match_has_one_name(b, n);
        }
        *ret = n;
        return 0;
}

static int build_unary(Exec *x, const Expr *e, Node **ret) {
        const Expr *kids[] = { e->unary.inner };
        if (!e->unary.minus)
                return build(x, e->unary.inner, ret);
        Node *n = node_new(x, e->type == TYPE_SCALAR ? NODE_SCALAR : NODE_NEGATE, e, 1);
        int r = n ? build_kids(x, n, kids) : x->arena.error;
        if (r < 0)
                return r;
        n->one_name = n->kids[0]->one_name;
        n->drops_name = n->kind == NODE_NEGATE;
        *ret = n;
        return 0;
}

/* A range vector that is the whole query. */
static int build_matrix(Exec *x, const Expr *e, Node **ret) {
        const Expr *kids[] = { e->kind == EXPR_SUBQUERY ? e->subquery.inner : NULL };
        Node *n = e->kind == EXPR_SUBQUERY ? node_new(x, NODE_MATRIX, e, 1) : build_selector(x, NODE_MATRIX, e, e);
        if (!n)
                return x->arena.error;
        if (e->kind != EXPR_SUBQUERY) {
                *ret = n;
                return 0;
        }
        int r = build_kids(x, n, kids);
        n->invariant = e->subquery.when.at != AT_NONE;
        n->range_ms = e->subquery.range_ms;
        *ret = n;
        return r;
}

static int build(Exec *x, const Expr *e, Node **ret) {
        e = expr_bare(e);
        switch (e->kind) {
        case EXPR_NUMBER:
        case EXPR_STRING:
                *ret = node_new(x, e->kind == EXPR_NUMBER ? NODE_SCALAR : NODE_STRING, e, 0);
                if (!*ret)
                        return x->arena.error;
                (*ret)->invariant = true;
                return 0;
        case EXPR_SELECTOR:
                if (e->selector.range_ms)
                        return build_matrix(x, e, ret);
                *ret = build_selector(x, NODE_SELECT, e, e);
                return *ret ? 0 : x->arena.error;
        case EXPR_SUBQUERY: return build_matrix(x, e, ret);
        case EXPR_CALL: return build_call(x, e, ret);
        case EXPR_AGGREGATE: return build_aggregate(x, e, ret);
        case EXPR_BINARY: return build_binary(x, e, ret);
        case EXPR_UNARY: return build_unary(x, e, ret);
        case EXPR_PAREN: break;
        }
        return -EINVAL;
}

/* ---- Second pass ---- */

static int64_t last_time(const Steps *s) {
        return step_time(s, s->n - 1);
}

/* The instant that a selector or subquery looks at when it is evaluated at t. */
static int64_t when_time(const When *w, int64_t t) {
        return ms_clamp(ms_clamp(w->at != AT_NONE ? w->at_ms : t) - ms_clamp(w->offset_ms));
}

/* The grid of a subquery: multiples of its step, behind the beginning of its first window, to the end of its last. */
static Steps subquery_steps(const Exec *x, const SubqueryExpr *q, const Steps *outer) {
        Steps s = { .step_ms = ms_clamp(q->step_ms ? q->step_ms : x->subquery_step_ms) };
        if (outer->n == 0)
                return s;
        int64_t begin = ms_clamp(when_time(&q->when, outer->start_ms) - ms_clamp(q->range_ms)),
                end = when_time(&q->when, last_time(outer));
        s.start_ms = begin / s.step_ms * s.step_ms;
        if (s.start_ms <= begin)
                s.start_ms += s.step_ms;
        s.n = end < s.start_ms ? 0 : (size_t)((end - s.start_ms) / s.step_ms) + 1;
        return s;
}

static const Expr *windows_over(const Node *n) {
        const Expr *e = n->expr;
        size_t at = 0;
        if (e->kind != EXPR_CALL)
                return e;
        return n->takes_time ? expr_bare(e->call.args[0]) : range_argument(&e->call, &at);
}

/* Where a selector or subquery looks at each step. */
static int place_windows(Exec *x, Node *n) {
        const Expr *over = windows_over(n);
        const When *when = over->kind == EXPR_SUBQUERY ? &over->subquery.when : &over->selector.when;
        n->range_ms = ms_clamp(n->range_ms);
        n->first_ms = when_time(when, n->steps.start_ms);
        n->step_ms = when->at != AT_NONE ? 0 : n->steps.step_ms;
        if (over->kind == EXPR_SUBQUERY || n->steps.n == 0)
                return 0;
        int64_t begin = ms_clamp(n->first_ms - n->range_ms), end = when_time(when, last_time(&n->steps));
        if (n->kind == NODE_SELECT || n->mode != RANGE_PLAIN)
                begin -= x->lookback_ms;
        if (n->mode == RANGE_SMOOTHED)
                end += x->lookback_ms;
        return selection_of(x, n, begin, end, &n->selection);
}

static bool has_windows(const Node *n) {
        return n->kind == NODE_SELECT || n->kind == NODE_RANGE || n->kind == NODE_MATRIX;
}

/* Whether there is something to win by not doing it twice. */
static bool is_worth_sharing(const Node *n) {
        return n->kind != NODE_SCALAR && n->kind != NODE_STRING && n->kind != NODE_DATE && n->kind != NODE_MATRIX;
}

static bool same_steps(const Steps *a, const Steps *b) {
        return a->start_ms == b->start_ms && a->step_ms == b->step_ms && a->n == b->n;
}

typedef struct Seen {
        uint64_t hash;
        Buf text;
        Node *node;
} Seen;

typedef struct SeenList {
        Seen *seen;
        size_t n;
} SeenList;

static void seen_deinit(SeenList *l) {
        for (size_t i = 0; i < l->n; i++)
                buf_deinit(&l->seen[i].text);
        free(l->seen);
}

/* The equal node before this one, or NULL; then this one is remembered. */
static Node *find_same(SeenList *l, Node *n) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        expr_print(n->expr, &text);
        if (buf_error(&text))
                return NULL;
        uint64_t hash = XXH3_64bits(text.data, text.len);
        for (size_t i = 0; i < l->n; i++) {
                const Seen *s = &l->seen[i];
                if (s->hash == hash && s->node->kind == n->kind && same_steps(&s->node->steps, &n->steps) &&
                    s->text.len == text.len && memcmp(s->text.data, text.data, text.len) == 0)
                        return s->node;
        }
        l->seen[l->n++] = (Seen){ .hash = hash, .text = text, .node = n };
        text = BUF_NULL;
        return NULL;
}

/* A node that only stands for another is not looked into, unless it may have to be evaluated all the same (see
 * node_open()). */
static int place(Exec *x, Node *n, const Steps *grid, SeenList *seen) {
        n->steps = *grid;
        if (n->invariant && n->kind != NODE_SCALAR && n->kind != NODE_STRING && grid->n > 1)
                n->steps.n = 1;
        if (seen && is_worth_sharing(n) && (n->same = find_same(seen, n))) {
                n->same->users++;
                if (!node_is_rowwise(x, n))
                        return 0;
                seen = NULL;
        }
        int r = has_windows(n) ? place_windows(x, n) : 0;
        const Expr *over = has_windows(n) ? windows_over(n) : NULL;
        for (size_t i = 0; r == 0 && i < n->n_kids; i++) {
                bool in_subquery = over && over->kind == EXPR_SUBQUERY && i + 1 == n->n_kids;
                if (in_subquery)
                        n->inner = subquery_steps(x, &over->subquery, &n->steps);
                r = place(x, n->kids[i], in_subquery ? &n->inner : &n->steps, seen);
        }
        return r;
}

int plan_make(Exec *x) {
        int r = build(x, x->ast->root, &x->root);
        if (r < 0)
                return r;
        CLEANUP(seen_deinit) SeenList seen = { 0 };
        if (x->n_nodes <= NODES_COMPARED && x->ast->text.len <= TEXT_COMPARED)
                seen.seen = calloc(x->n_nodes, sizeof *seen.seen);
        return place(x, x->root, &x->steps, seen.seen ? &seen : NULL);
}

bool node_is_rowwise(const Exec *x, const Node *n) {
        switch (n->kind) {
        case NODE_SELECT:
        case NODE_RANGE:
        case NODE_ELEMENT:
        case NODE_NEGATE:
        case NODE_BY_SCALAR: return !n->drops_name || n->one_name || x->delayed_names;
        default: return false;
        }
}
