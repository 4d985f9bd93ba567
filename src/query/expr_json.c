/* Expressions as the JSON of /api/v1/parse_query: the objects and keys of Prometheus 3, which its web UI draws trees
 * of. Keys are in alphabetical order, as there. */
#include "query/ast_priv.h"

#include "base/escape.h"

#include <assert.h>
#include <math.h>

static void put_string(Span s, Buf *out) {
        buf_put_char(out, '"');
        escape_json(out, s.text, s.len);
        buf_put_char(out, '"');
}

static void put_key(const char *key, Buf *out) {
        buf_printf(out, "\"%s\":", key);
}

static void put_bool(const char *key, bool v, Buf *out) {
        buf_printf(out, "\"%s\":%s", key, v ? "true" : "false");
}

static void put_labels(const char *key, const Span *labels, size_t n, Buf *out) {
        put_key(key, out);
        buf_put_char(out, '[');
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        buf_put_char(out, ',');
                put_string(labels[i], out);
        }
        buf_put_char(out, ']');
}

static void json_aggregate(const AggregateExpr *a, Buf *out) {
        buf_put_str(out, "{\"expr\":");
        expr_json(a->inner, out);
        buf_put_char(out, ',');
        put_labels("grouping", a->labels, a->n_labels, out);
        buf_printf(out, ",\"op\":\"%s\",\"param\":", aggregate_name(a->op));
        if (a->param)
                expr_json(a->param, out);
        else
                buf_put_str(out, "null");
        buf_put_str(out, ",\"type\":\"aggregation\",");
        put_bool("without", a->without, out);
        buf_put_char(out, '}');
}

/* A number; what JSON has no number for as a string. */
static void put_fill(const char *key, bool has, double v, Buf *out) {
        put_key(key, out);
        if (!has) {
                buf_put_str(out, "null");
        } else if (isfinite(v)) {
                buf_put_double(out, v);
        } else {
                buf_put_char(out, '"');
                buf_put_double(out, v);
                buf_put_char(out, '"');
        }
}

static void json_matching(const BinaryExpr *b, Buf *out) {
        static const char *const CARDS[] = {
                [CARD_ONE_TO_ONE] = "one-to-one",
                [CARD_MANY_TO_ONE] = "many-to-one",
                [CARD_ONE_TO_MANY] = "one-to-many",
                [CARD_MANY_TO_MANY] = "many-to-many",
        };
        if (b->left->type != TYPE_VECTOR || b->right->type != TYPE_VECTOR) {
                buf_put_str(out, "null");
                return;
        }
        buf_printf(out, "{\"card\":\"%s\",\"fillValues\":{", CARDS[b->card]);
        put_fill("lhs", b->has_fill_left, b->fill_left, out);
        buf_put_char(out, ',');
        put_fill("rhs", b->has_fill_right, b->fill_right, out);
        buf_put_str(out, "},");
        put_labels("include", b->include, b->n_include, out);
        buf_put_char(out, ',');
        put_labels("labels", b->labels, b->n_labels, out);
        buf_put_char(out, ',');
        put_bool("on", b->on, out);
        buf_put_char(out, '}');
}

static void json_binary(const BinaryExpr *b, Buf *out) {
        buf_put_char(out, '{');
        put_bool("bool", b->bool_modifier, out);
        buf_put_str(out, ",\"lhs\":");
        expr_json(b->left, out);
        buf_put_str(out, ",\"matching\":");
        json_matching(b, out);
        buf_printf(out, ",\"op\":\"%s\",\"rhs\":", binary_name(b->op));
        expr_json(b->right, out);
        buf_put_str(out, ",\"type\":\"binaryExpr\"}");
}

static void json_function(const FunctionInfo *f, Buf *out) {
        buf_put_str(out, "\"func\":{\"argTypes\":[");
        for (size_t i = 0; i < f->n_args; i++)
                buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", type_word(f->args[i]));
        buf_printf(out, "],\"name\":\"%s\",\"returnType\":\"%s\",\"variadic\":%d}", f->name, type_word(f->returns),
                   f->variadic);
}

static void json_call(const CallExpr *c, Buf *out) {
        buf_put_str(out, "{\"args\":[");
        for (size_t i = 0; i < c->n_args; i++) {
                if (i > 0)
                        buf_put_char(out, ',');
                expr_json(c->args[i], out);
        }
        buf_put_str(out, "],");
        json_function(function_info(c->function), out);
        buf_put_str(out, ",\"type\":\"call\"}");
}

static void json_matchers(const SelectorExpr *s, Buf *out) {
        buf_put_str(out, "\"matchers\":[");
        for (size_t i = 0; i < s->n_matchers; i++) {
                const Matcher *m = &s->matchers[i];
                buf_put_str(out, i > 0 ? ",{\"name\":" : "{\"name\":");
                put_string(m->name, out);
                buf_printf(out, ",\"type\":\"%s\",\"value\":", match_type_name(m->type));
                put_string(m->value, out);
                buf_put_char(out, '}');
        }
        buf_put_char(out, ']');
}

static void json_start_or_end(const When *w, Buf *out) {
        const char *word = w->at == AT_START ? "\"start\"" : w->at == AT_END ? "\"end\"" : "null";
        buf_printf(out, "\"startOrEnd\":%s", word);
}

static void json_timestamp(const When *w, Buf *out) {
        if (w->at == AT_TIME)
                buf_printf(out, "\"timestamp\":%lld", (long long)w->at_ms);
        else
                buf_put_str(out, "\"timestamp\":null");
}

static void json_selector(const Expr *e, Buf *out) {
        const SelectorExpr *s = &e->selector;
        bool range = e->type == TYPE_MATRIX;
        buf_put_char(out, '{');
        put_bool("anchored", s->mode == RANGE_ANCHORED, out);
        buf_put_char(out, ',');
        json_matchers(s, out);
        buf_put_str(out, ",\"name\":");
        put_string(s->metric_quoted ? (Span){ "", 0 } : s->metric, out);
        buf_printf(out, ",\"offset\":%lld,", (long long)s->when.offset_ms);
        if (range)
                buf_printf(out, "\"range\":%lld,", (long long)s->range_ms);
        put_bool("smoothed", s->mode == RANGE_SMOOTHED, out);
        buf_put_char(out, ',');
        json_start_or_end(&s->when, out);
        buf_put_char(out, ',');
        json_timestamp(&s->when, out);
        buf_printf(out, ",\"type\":\"%s\"}", range ? "matrixSelector" : "vectorSelector");
}

static void json_subquery(const SubqueryExpr *s, Buf *out) {
        buf_put_str(out, "{\"expr\":");
        expr_json(s->inner, out);
        buf_printf(out, ",\"offset\":%lld,\"range\":%lld,", (long long)s->when.offset_ms, (long long)s->range_ms);
        json_start_or_end(&s->when, out);
        buf_printf(out, ",\"step\":%lld,", (long long)s->step_ms);
        json_timestamp(&s->when, out);
        buf_put_str(out, ",\"type\":\"subquery\"}");
}

void expr_json(const Expr *e, Buf *out) {
        switch (e->kind) {
        case EXPR_NUMBER:
                buf_put_str(out, "{\"type\":\"numberLiteral\",\"val\":\"");
                print_number(e->number, out);
                buf_put_str(out, "\"}");
                break;
        case EXPR_STRING:
                buf_put_str(out, "{\"type\":\"stringLiteral\",\"val\":");
                put_string(e->string, out);
                buf_put_char(out, '}');
                break;
        case EXPR_SELECTOR: json_selector(e, out); break;
        case EXPR_SUBQUERY: json_subquery(&e->subquery, out); break;
        case EXPR_CALL: json_call(&e->call, out); break;
        case EXPR_AGGREGATE: json_aggregate(&e->aggregate, out); break;
        case EXPR_BINARY: json_binary(&e->binary, out); break;
        case EXPR_UNARY:
                buf_put_str(out, "{\"expr\":");
                expr_json(e->unary.inner, out);
                buf_printf(out, ",\"op\":\"%c\",\"type\":\"unaryExpr\"}", e->unary.minus ? '-' : '+');
                break;
        case EXPR_PAREN:
                buf_put_str(out, "{\"expr\":");
                expr_json(e->paren, out);
                buf_put_str(out, ",\"type\":\"parenExpr\"}");
                break;
        }
}
