/* What is known only with the query's times: start() and end() after `@`, and durations that are expressions. */
#include "query/ast_priv.h"

#include <assert.h>
#include <math.h>

typedef struct Resolver {
        const Ast *ast;
        int64_t start_ms, end_ms, step_ms;
        ParseError *error;
        bool failed;
} Resolver;

static double fail(Resolver *r, const DurationExpr *d, const char *text) {
        if (!r->failed) {
                uint32_t line, column;
                place_line_column(r->ast->text, d->place.begin, &line, &column);
                buf_printf(&r->error->text, "%u:%u: %s", line, column, text);
                r->error->place = d->place;
        }
        r->failed = true;
        return 0;
}

static double calculate(Resolver *r, const DurationExpr *d);

static double divide(Resolver *r, const DurationExpr *d, double left, double right) {
        if (right == 0)
                return fail(r, d, d->op == DURATION_DIV ? "division by zero" : "modulo by zero");
        return d->op == DURATION_DIV ? left / right : fmod(left, right);
}

static double calculate(Resolver *r, const DurationExpr *d) {
        double left = d->left ? calculate(r, d->left) : 0, right = d->right ? calculate(r, d->right) : 0;
        switch (d->op) {
        case DURATION_NUMBER: return d->number;
        case DURATION_NEGATE: return -right;
        case DURATION_ADD: return left + right;
        case DURATION_SUB: return left - right;
        case DURATION_MUL: return left * right;
        case DURATION_DIV:
        case DURATION_MOD: return divide(r, d, left, right);
        case DURATION_POW: return pow(left, right);
        case DURATION_MIN: return fmin(left, right);
        case DURATION_MAX: return fmax(left, right);
        case DURATION_STEP: return (double)r->step_ms / 1000;
        case DURATION_RANGE: return (double)(r->end_ms - r->start_ms) / 1000;
        }
        assert(!"an operator of durations");
        return 0;
}

#define SECONDS_MAX (9223372036854775808.0 / 1e9)

/* Milliseconds, cut off as Prometheus does. */
static void put_duration(Resolver *r, const DurationExpr *d, bool positive, int64_t *ms) {
        if (!d || r->failed)
                return;
        double v = calculate(r, d);
        if (r->failed)
                return;
        if (!(v <= SECONDS_MAX && v >= -SECONDS_MAX))
                (void)fail(r, d, "duration is out of range");
        else if (positive && (int64_t)(v * 1000) <= 0)
                (void)fail(r, d, "duration must be greater than 0");
        else
                *ms = (int64_t)(v * 1000);
}

static void resolve_when(Resolver *r, When *w) {
        put_duration(r, w->offset_expr, false, &w->offset_ms);
        if (w->at == AT_START)
                w->at_ms = r->start_ms;
        if (w->at == AT_END)
                w->at_ms = r->end_ms;
}

static void resolve(Resolver *r, Expr *e) {
        switch (e->kind) {
        case EXPR_NUMBER:
        case EXPR_STRING: break;
        case EXPR_SELECTOR:
                resolve_when(r, &e->selector.when);
                put_duration(r, e->selector.range_expr, true, &e->selector.range_ms);
                break;
        case EXPR_SUBQUERY:
                resolve_when(r, &e->subquery.when);
                put_duration(r, e->subquery.step_expr, true, &e->subquery.step_ms);
                put_duration(r, e->subquery.range_expr, true, &e->subquery.range_ms);
                resolve(r, e->subquery.inner);
                break;
        case EXPR_CALL:
                for (size_t i = 0; i < e->call.n_args; i++)
                        resolve(r, e->call.args[i]);
                break;
        case EXPR_AGGREGATE:
                if (e->aggregate.param)
                        resolve(r, e->aggregate.param);
                resolve(r, e->aggregate.inner);
                break;
        case EXPR_BINARY:
                resolve(r, e->binary.left);
                resolve(r, e->binary.right);
                break;
        case EXPR_UNARY: resolve(r, e->unary.inner); break;
        case EXPR_PAREN: resolve(r, e->paren); break;
        }
}

int ast_resolve(Ast *a, int64_t start_ms, int64_t end_ms, int64_t step_ms, ParseError *ret_error) {
        *ret_error = (ParseError){ 0 };
        Resolver r = { .ast = a, .start_ms = start_ms, .end_ms = end_ms, .step_ms = step_ms, .error = ret_error };
        resolve(&r, a->root);
        return r.failed ? -EINVAL : 0;
}
