/* What the grammar cannot say: types of operands and arguments, numbers of arguments, what may be matched how. In the
 * order in which Prometheus looks, so that the first error is the same. */
#include "query/ast_priv.h"

#include "base/escape.h"

#include <assert.h>

static bool expect_type(Parser *p, Expr *e, ExprType want, const char *context) {
        if (!check_expr(p, e))
                return false;
        return e->type == want || parser_fail(p, e->place, "expected type %s in %s, got %s", expr_type_name(want),
                                              context, expr_type_name(e->type));
}

static bool check_aggregate(Parser *p, AggregateExpr *a) {
        if (!expect_type(p, a->inner, TYPE_VECTOR, "aggregation expression"))
                return false;
        if (!a->param)
                return true;
        return expect_type(p, a->param, a->op == AGGREGATE_COUNT_VALUES ? TYPE_STRING : TYPE_SCALAR,
                           "aggregation parameter");
}

/* ---- Binary expressions ---- */

/* The operator and what it has behind it, up to the right operand. */
static Place operator_place(const Parser *p, const BinaryExpr *b) {
        CLEANUP(lexer_deinit) Lexer l = LEXER(p->lexer.text);
        l.at = b->left->place.end;
        uint32_t begin = lexer_next(&l).place.begin, end = b->right->place.begin;
        while (end > begin && strchr(" \t\r\n", p->lexer.text.text[end - 1]))
                end--;
        return (Place){ begin, end };
}

static bool check_bool(Parser *p, const BinaryExpr *b) {
        bool comparison = binary_is_comparison(b->op);
        if (b->bool_modifier && !comparison)
                return parser_fail(p, operator_place(p, b), "bool modifier can only be used on comparison operators");
        if (comparison && !b->bool_modifier && b->left->type == TYPE_SCALAR && b->right->type == TYPE_SCALAR)
                return parser_fail(p, operator_place(p, b), "comparisons between scalars must use BOOL modifier");
        return true;
}

static int by_text(const void *a, const void *b) {
        const Span *x = a, *y = b;
        size_t n = x->len < y->len ? x->len : y->len;
        int r = n ? memcmp(x->text, y->text, n) : 0;
        return r ? r : (x->len > y->len) - (x->len < y->len);
}

/* Whether a label of on() is one of group_left()'s too: by a sorted copy, so that long lists cost no squares. */
static bool check_both_clauses(Parser *p, const BinaryExpr *b) {
        if (!b->on || b->n_labels == 0 || b->n_include == 0)
                return true;
        Span *sorted = ARENA_ARRAY(&p->ast->arena, Span, b->n_include);
        if (!sorted)
                return parser_no_memory(p);
        memcpy(sorted, b->include, b->n_include * sizeof *sorted);
        qsort(sorted, b->n_include, sizeof *sorted, by_text);
        for (size_t i = 0; i < b->n_labels; i++) {
                if (!bsearch(&b->labels[i], sorted, b->n_include, sizeof *sorted, by_text))
                        continue;
                CLEANUP(buf_deinit) Buf q = BUF_NULL;
                return parser_fail(p, operator_place(p, b), "label %s must not occur in ON and GROUP clause at once",
                                   quoted(&q, b->labels[i]));
        }
        return true;
}

static bool is_number_or_vector(ExprType t) {
        return t == TYPE_SCALAR || t == TYPE_VECTOR;
}

static bool check_operand(Parser *p, const Expr *e) {
        return is_number_or_vector(e->type) ||
               parser_fail(p, e->place, "binary expression must contain only scalar and instant vector types");
}

static bool check_without_matching(Parser *p, Expr *e) {
        BinaryExpr *b = &e->binary;
        if (b->n_labels > 0)
                return parser_fail(p, e->place, "vector matching only allowed between instant vectors");
        if (b->has_fill_left || b->has_fill_right)
                return parser_fail(p, e->place, "filling in missing series only allowed between instant vectors");
        if (binary_is_set(b->op))
                return parser_fail(p, e->place, "set operator \"%s\" not allowed in binary scalar expression",
                                   binary_name(b->op));
        b->matching = b->on = false; /* on() without labels was written, and means nothing */
        b->card = CARD_ONE_TO_ONE;
        return true;
}

static bool check_set(Parser *p, Expr *e) {
        BinaryExpr *b = &e->binary;
        if (b->card == CARD_ONE_TO_MANY || b->card == CARD_MANY_TO_ONE)
                return parser_fail(p, e->place, "no grouping allowed for \"%s\" operation", binary_name(b->op));
        if (b->has_fill_left || b->has_fill_right)
                return parser_fail(p, e->place, "filling in missing series not allowed for set operators");
        b->card = CARD_MANY_TO_MANY;
        return true;
}

static bool check_binary(Parser *p, Expr *e) {
        BinaryExpr *b = &e->binary;
        if (!check_expr(p, b->left) || !check_expr(p, b->right) || !check_bool(p, b) || !check_both_clauses(p, b) ||
            !check_operand(p, b->left) || !check_operand(p, b->right))
                return false;
        if (b->left->type == TYPE_SCALAR || b->right->type == TYPE_SCALAR)
                return check_without_matching(p, e);
        return !binary_is_set(b->op) || check_set(p, e);
}

/* ---- Calls ---- */

static bool check_count(Parser *p, const Expr *e, const FunctionInfo *f) {
        size_t n = e->call.n_args;
        if (f->variadic == 0)
                return n == f->n_args || parser_fail(p, e->place, "expected %u argument(s) in call to \"%s\", got %zu",
                                                     f->n_args, f->name, n);
        unsigned least = f->n_args - 1u, most = least + (unsigned)(f->variadic > 0 ? f->variadic : 0);
        if (n < least)
                return parser_fail(p, e->place, "expected at least %u argument(s) in call to \"%s\", got %zu", least,
                                   f->name, n);
        if (f->variadic > 0 && n > most)
                return parser_fail(p, e->place, "expected at most %u argument(s) in call to \"%s\", got %zu", most,
                                   f->name, n);
        return true;
}

/* info() takes matchers in its second argument, not a selector. */
static bool check_info(Parser *p, const Expr *call) {
        if (call->call.n_args < 2)
                return true;
        Expr *e = call->call.args[1];
        if (e->type != TYPE_VECTOR)
                return parser_fail(p, call->place, "expected type %s in call to function \"info\", got %s",
                                   expr_type_name(TYPE_VECTOR), expr_type_name(e->type));
        if (e->kind != EXPR_SELECTOR)
                return parser_fail(p, e->place, "expected label selectors only");
        if (e->selector.metric.len > 0 && !e->selector.metric_quoted)
                return parser_fail(p, e->place, "expected label selectors only, got vector selector instead");
        e->selector.any = true;
        return true;
}

static bool check_argument(Parser *p, Expr *e, ExprType want, const char *function) {
        if (!check_expr(p, e))
                return false;
        return e->type == want || parser_fail(p, e->place, "expected type %s in call to function \"%s\", got %s",
                                              expr_type_name(want), function, expr_type_name(e->type));
}

static bool check_call(Parser *p, const Expr *e) {
        const FunctionInfo *f = function_info(e->call.function);
        if (!check_count(p, e, f))
                return false;
        if (e->call.function == FUNCTION_INFO && !check_info(p, e))
                return false;
        for (size_t i = 0; i < e->call.n_args; i++)
                if (!check_argument(p, e->call.args[i], f->args[i < f->n_args ? i : f->n_args - 1u], f->name))
                        return false;
        return true;
}

/* ---- Selectors ---- */

static bool check_named(Parser *p, const Expr *e) {
        const SelectorExpr *s = &e->selector;
        /* The last matcher is the one of the name before the braces. */
        for (size_t i = 0; i + 1 < s->n_matchers; i++) {
                if (!span_is(s->matchers[i].name, METRIC_NAME_LABEL))
                        continue;
                CLEANUP(buf_deinit) Buf a = BUF_NULL;
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                return parser_fail(p, e->place, "metric name must not be set twice: %s or %s", quoted(&a, s->metric),
                                   quoted(&b, s->matchers[i].value));
        }
        return true;
}

static bool check_selector(Parser *p, const Expr *e) {
        const SelectorExpr *s = &e->selector;
        if (s->metric.len > 0 && !s->metric_quoted)
                return check_named(p, e);
        if (s->any)
                return true;
        for (size_t i = 0; i < s->n_matchers; i++)
                if (!matcher_matches(&s->matchers[i], (Span){ "", 0 }))
                        return true;
        return parser_fail(p, e->place, "vector selector must contain at least one non-empty matcher");
}

bool check_expr(Parser *p, Expr *e) {
        switch (e->kind) {
        case EXPR_NUMBER:
        case EXPR_STRING: return true;
        case EXPR_SELECTOR: return check_selector(p, e);
        case EXPR_CALL: return check_call(p, e);
        case EXPR_AGGREGATE: return check_aggregate(p, &e->aggregate);
        case EXPR_BINARY: return check_binary(p, e);
        case EXPR_PAREN: return check_expr(p, e->paren);
        case EXPR_SUBQUERY:
                if (!check_expr(p, e->subquery.inner))
                        return false;
                return e->subquery.inner->type == TYPE_VECTOR ||
                       parser_fail(p, e->place, "subquery is only allowed on instant vector, got %s instead",
                                   type_word(e->subquery.inner->type));
        case EXPR_UNARY:
                if (!check_expr(p, e->unary.inner))
                        return false;
                return is_number_or_vector(e->type) || parser_fail(p, e->place,
                                                                   "unary expression only allowed on expressions of "
                                                                   "type scalar or instant vector, got \"%s\"",
                                                                   expr_type_name(e->type));
        }
        assert(!"a kind of expression");
        return false;
}
