/* Expressions as text: on one line, and broken where a line gets long. */
#include "query/ast_priv.h"
#include "query/quote.h"

#include "base/number.h"

#include <assert.h>
#include <math.h>

/* ---- Numbers and durations ---- */

/* Digits and exponent of a number, as plain digits: 1e+21 is 1000000000000000000000. */
static void put_plain(Buf *out, Span s) {
        const char *e = memchr(s.text, 'e', s.len);
        if (!e) {
                buf_put(out, s.text, s.len);
                return;
        }
        int exponent = atoi(e + 1);
        char digits[NUMBER_TEXT_MAX];
        int n = 0;
        for (const char *c = s.text; c < e; c++)
                if (*c != '.')
                        digits[n++] = *c;
        int before = exponent + 1; /* digits before the point: there is one in d.ddde+xx */
        if (before <= 0)
                buf_put_str(out, "0.");
        for (int i = before; i < 0; i++)
                buf_put_char(out, '0');
        for (int i = 0; i < n || i < before; i++) {
                if (i == before && i > 0)
                        buf_put_char(out, '.');
                buf_put_char(out, i < n ? digits[i] : '0');
        }
}

void print_number(double v, Buf *out) {
        char text[NUMBER_TEXT_MAX + 1];
        size_t n = number_format(fabs(v), text);
        text[n] = '\0';
        if (isnan(v) || isinf(v)) {
                buf_put_str(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
                return;
        }
        if (signbit(v))
                buf_put_char(out, '-');
        put_plain(out, (Span){ text, n });
}

static const struct {
        const char *name;
        int64_t ms;
        bool exact; /* only where nothing is left: 90d is easier to read than 12w6d */
} UNITS[] = {
        { "y", INT64_C(31536000000), true },
        { "w", INT64_C(604800000), true },
        { "d", INT64_C(86400000), false },
        { "h", INT64_C(3600000), false },
        { "m", INT64_C(60000), false },
        { "s", INT64_C(1000), false },
        { "ms", 1, false },
};

void print_duration_ms(int64_t ms, Buf *out) {
        if (ms == 0) {
                buf_put_str(out, "0s");
                return;
        }
        uint64_t left = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms;
        if (ms < 0)
                buf_put_char(out, '-');
        for (size_t i = 0; i < ARRAY_LEN(UNITS); i++) {
                uint64_t unit = (uint64_t)UNITS[i].ms;
                if (left < unit || (UNITS[i].exact && left % unit != 0))
                        continue;
                buf_put_u64(out, left / unit);
                buf_put_str(out, UNITS[i].name);
                left %= unit;
        }
}

static void print_literal(double v, bool as_duration, Buf *out) {
        /* A duration of zero has a sign too: -0s. */
        if (!as_duration) {
                print_number(v, out);
                return;
        }
        if (signbit(v))
                buf_put_char(out, '-');
        print_duration_ms((int64_t)round(fabs(v) * 1000), out);
}

static const char *duration_sign(DurationOp op) {
        switch (op) {
        case DURATION_ADD: return " + ";
        case DURATION_SUB: return " - ";
        case DURATION_MUL: return " * ";
        case DURATION_DIV: return " / ";
        case DURATION_MOD: return " % ";
        case DURATION_POW: return " ^ ";
        default: assert(!"an operator of durations"); return "";
        }
}

static void print_choice(const char *name, const DurationExpr *d, Buf *out) {
        buf_printf(out, "%s(", name);
        print_duration_expr(d->left, out);
        buf_put_str(out, ", ");
        print_duration_expr(d->right, out);
        buf_put_char(out, ')');
}

static void print_duration_inner(const DurationExpr *d, Buf *out) {
        switch (d->op) {
        case DURATION_NUMBER: print_literal(d->number, d->as_duration, out); break;
        case DURATION_STEP: buf_put_str(out, "step()"); break;
        case DURATION_RANGE: buf_put_str(out, "range()"); break;
        case DURATION_MIN: print_choice("min_of", d, out); break;
        case DURATION_MAX: print_choice("max_of", d, out); break;
        case DURATION_NEGATE:
                buf_put_char(out, '-');
                print_duration_expr(d->right, out);
                break;
        default:
                print_duration_expr(d->left, out);
                buf_put_str(out, duration_sign(d->op));
                print_duration_expr(d->right, out);
        }
}

void print_duration_expr(const DurationExpr *d, Buf *out) {
        if (d->parens)
                buf_put_char(out, '(');
        print_duration_inner(d, out);
        if (d->parens)
                buf_put_char(out, ')');
}

static void print_duration(int64_t ms, const DurationExpr *expr, Buf *out) {
        if (expr)
                print_duration_expr(expr, out);
        else
                print_duration_ms(ms, out);
}

/* ---- Times ---- */

static void print_at(const When *w, Buf *out) {
        switch (w->at) {
        case AT_NONE: break;
        case AT_START: buf_put_str(out, " @ start()"); break;
        case AT_END: buf_put_str(out, " @ end()"); break;
        case AT_TIME: {
                uint64_t ms = w->at_ms < 0 ? 0 - (uint64_t)w->at_ms : (uint64_t)w->at_ms;
                buf_printf(out, " @ %s%llu.%03u", w->at_ms < 0 ? "-" : "", (unsigned long long)(ms / 1000),
                           (unsigned)(ms % 1000));
                break;
        }
        }
}

static void print_offset(const When *w, Buf *out) {
        if (w->offset_ms == 0 && !w->offset_expr)
                return;
        buf_put_str(out, " offset ");
        print_duration(w->offset_ms, w->offset_expr, out);
}

/* ---- Selectors ---- */

static void print_name(Span s, Buf *out) {
        if (name_is_plain(s, false))
                buf_put(out, s.text, s.len);
        else
                quote_put(out, s);
}

void print_labels(const Span *labels, size_t n, Buf *out) {
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        buf_put_str(out, ", ");
                print_name(labels[i], out);
        }
}

static bool same_span(Span a, Span b) {
        return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

/* The matcher that the metric's name stands for. */
static const Matcher *metric_matcher(const SelectorExpr *s) {
        for (size_t i = 0; i < s->n_matchers && s->metric.len > 0; i++) {
                /* One before the braces is the last matcher; a quoted one the first that has this name. */
                const Matcher *m = &s->matchers[s->metric_quoted ? i : s->n_matchers - 1 - i];
                if (m->type == MATCH_EQUAL && span_is(m->name, METRIC_NAME_LABEL) && same_span(m->value, s->metric))
                        return m;
        }
        return NULL;
}

static int by_text(const void *a, const void *b) {
        const Span *x = a, *y = b;
        size_t n = x->len < y->len ? x->len : y->len;
        int r = n ? memcmp(x->text, y->text, n) : 0;
        return r ? r : (x->len > y->len) - (x->len < y->len);
}

static void print_matcher(const Matcher *m, Buf *out) {
        print_name(m->name, out);
        buf_put_str(out, match_type_name(m->type));
        quote_put(out, m->value);
}

/* The matchers but that of the name, each as text, sorted: selectors that differ in order only are the same. */
static void print_sorted(const SelectorExpr *s, const Matcher *metric, Buf *out) {
        CLEANUP(buf_deinit) Buf texts = BUF_WITH_LIMIT((size_t)1 << 30);
        CLEANUP_FREE Span *list = calloc(s->n_matchers + 1, sizeof *list);
        if (!list) {
                out->error = -ENOMEM;
                return;
        }
        size_t n = 0;
        for (size_t i = 0; i < s->n_matchers; i++) {
                if (&s->matchers[i] == metric)
                        continue;
                size_t before = texts.len;
                print_matcher(&s->matchers[i], &texts);
                list[n++].len = texts.len - before;
        }
        if (texts.error) {
                out->error = texts.error;
                return;
        }
        for (size_t i = 0, at = 0; i < n; at += list[i++].len)
                list[i].text = texts.data + at;
        qsort(list, n, sizeof *list, by_text);
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        buf_put_char(out, ',');
                buf_put(out, list[i].text, list[i].len);
        }
}

static void print_matchers(const SelectorExpr *s, Buf *out) {
        const Matcher *metric = metric_matcher(s);
        size_t others = s->n_matchers - (metric ? 1 : 0);
        if (!s->metric_quoted)
                buf_put(out, s->metric.text, s->metric.len);
        if (others == 0 && !s->metric_quoted) {
                if (!metric)
                        buf_put_str(out, "{}");
                return;
        }
        buf_put_char(out, '{');
        if (s->metric_quoted) {
                quote_put(out, s->metric);
                if (others > 0)
                        buf_put_char(out, ',');
        }
        print_sorted(s, metric, out);
        buf_put_char(out, '}');
}

static void print_mode(RangeMode mode, Buf *out) {
        if (mode != RANGE_PLAIN)
                buf_put_str(out, mode == RANGE_ANCHORED ? " anchored" : " smoothed");
}

static void print_selector(const Expr *e, Buf *out) {
        const SelectorExpr *s = &e->selector;
        bool range = e->type == TYPE_MATRIX;
        print_matchers(s, out);
        if (range) {
                buf_put_char(out, '[');
                print_duration(s->range_ms, s->range_expr, out);
                buf_put_char(out, ']');
                print_mode(s->mode, out);
        }
        print_at(&s->when, out);
        if (!range)
                print_mode(s->mode, out);
        print_offset(&s->when, out);
}

void print_subquery_tail(const SubqueryExpr *s, Buf *out) {
        buf_put_char(out, '[');
        print_duration(s->range_ms, s->range_expr, out);
        buf_put_char(out, ':');
        if (s->step_ms != 0 || s->step_expr)
                print_duration(s->step_ms, s->step_expr, out);
        buf_put_char(out, ']');
        print_at(&s->when, out);
        print_offset(&s->when, out);
}

/* ---- Heads of aggregations, tails of operators ---- */

void print_aggregate_head(const AggregateExpr *a, Buf *out) {
        buf_put_str(out, aggregate_name(a->op));
        if (!a->without && a->n_labels == 0)
                return;
        buf_put_str(out, a->without ? " without (" : " by (");
        print_labels(a->labels, a->n_labels, out);
        buf_put_str(out, ") ");
}

static void print_fill(const char *name, double v, Buf *out) {
        buf_printf(out, " %s (", name);
        print_number(v, out);
        buf_put_char(out, ')');
}

static void print_fills(const BinaryExpr *b, Buf *out) {
        bool both = b->has_fill_left && b->has_fill_right;
        if (both && (b->fill_left == b->fill_right ? signbit(b->fill_left) == signbit(b->fill_right)
                                                   : isnan(b->fill_left) && isnan(b->fill_right))) {
                print_fill("fill", b->fill_left, out);
                return;
        }
        if (b->has_fill_left)
                print_fill("fill_left", b->fill_left, out);
        if (b->has_fill_right)
                print_fill("fill_right", b->fill_right, out);
}

void print_matching(const BinaryExpr *b, Buf *out) {
        bool grouped = b->card == CARD_MANY_TO_ONE || b->card == CARD_ONE_TO_MANY;
        if (b->bool_modifier)
                buf_put_str(out, " bool");
        if (b->n_labels > 0 || b->on || grouped) {
                buf_put_str(out, b->on ? " on (" : " ignoring (");
                print_labels(b->labels, b->n_labels, out);
                buf_put_char(out, ')');
        }
        if (grouped) {
                buf_put_str(out, b->card == CARD_MANY_TO_ONE ? " group_left (" : " group_right (");
                print_labels(b->include, b->n_include, out);
                buf_put_char(out, ')');
        }
        print_fills(b, out);
}

/* ---- On one line ---- */

static void print_aggregate(const AggregateExpr *a, Buf *out) {
        print_aggregate_head(a, out);
        buf_put_char(out, '(');
        if (a->param) {
                expr_print(a->param, out);
                buf_put_str(out, ", ");
        }
        expr_print(a->inner, out);
        buf_put_char(out, ')');
}

static void print_call(const CallExpr *c, Buf *out) {
        buf_put_str(out, function_info(c->function)->name);
        buf_put_char(out, '(');
        for (size_t i = 0; i < c->n_args; i++) {
                if (i > 0)
                        buf_put_str(out, ", ");
                expr_print(c->args[i], out);
        }
        buf_put_char(out, ')');
}

bool is_infinite_base(const BinaryExpr *b) {
        return b->op == BINARY_POW && b->left->kind == EXPR_NUMBER && isinf(b->left->number);
}

static void print_binary(const BinaryExpr *b, Buf *out) {
        if (is_infinite_base(b))
                buf_put_str(out, "Inf");
        else
                expr_print(b->left, out);
        buf_put_char(out, ' ');
        buf_put_str(out, binary_name(b->op));
        print_matching(b, out);
        buf_put_char(out, ' ');
        expr_print(b->right, out);
}

void expr_print(const Expr *e, Buf *out) {
        switch (e->kind) {
        case EXPR_NUMBER: print_literal(e->number, e->as_duration, out); break;
        case EXPR_STRING: quote_put(out, e->string); break;
        case EXPR_SELECTOR: print_selector(e, out); break;
        case EXPR_SUBQUERY:
                expr_print(e->subquery.inner, out);
                print_subquery_tail(&e->subquery, out);
                break;
        case EXPR_CALL: print_call(&e->call, out); break;
        case EXPR_AGGREGATE: print_aggregate(&e->aggregate, out); break;
        case EXPR_BINARY: print_binary(&e->binary, out); break;
        case EXPR_UNARY:
                buf_put_char(out, e->unary.minus ? '-' : '+');
                expr_print(e->unary.inner, out);
                break;
        case EXPR_PAREN:
                buf_put_char(out, '(');
                expr_print(e->paren, out);
                buf_put_char(out, ')');
                break;
        }
}
