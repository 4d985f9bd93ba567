/* The parser of PromQL: recursive descent, operators by climbing their precedence. It takes one token at a time and
 * looks at the next one only when it has to, so that of two errors the one that comes first is told. It stops at the
 * first. */
#include "query/ast_priv.h"
#include "query/quote.h"

#include <assert.h>
#include <math.h>

Span parser_text(const Parser *p, Place place) {
        return (Span){ p->lexer.text.text + place.begin, place.end - place.begin };
}

/* ---- Errors ---- */

static bool error_begin(Parser *p, Place place) {
        if (p->result)
                return false;
        p->result = -EINVAL;
        uint32_t line, column;
        place_line_column(p->lexer.text, place.begin, &line, &column);
        p->error->place = place;
        buf_printf(&p->error->text, "%u:%u: parse error: ", line, column);
        return true;
}

/* What the lexer cannot read is told before anything that the parser concludes from what came before. */
static void fail_token(Parser *p) {
        if (error_begin(p, p->token.place))
                buf_put(&p->error->text, p->lexer.fault.data, p->lexer.fault.len);
}

Token parser_peek(Parser *p) {
        if (!p->have_token) {
                p->token = lexer_next(&p->lexer);
                p->have_token = true;
                if (p->token.type == TOKEN_ERROR)
                        fail_token(p);
        }
        return p->token;
}

Token parser_take(Parser *p) {
        Token t = parser_peek(p);
        p->have_token = false;
        p->end = t.place.end;
        return t;
}

bool parser_accept(Parser *p, TokenType type) {
        if (parser_peek(p).type != type)
                return false;
        (void)parser_take(p);
        return true;
}

void *parser_fail(Parser *p, Place place, const char *fmt, ...) {
        if (!error_begin(p, place))
                return NULL;
        char text[1024];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        buf_put_str(&p->error->text, text);
        return NULL;
}

void *parser_no_memory(Parser *p) {
        if (p->ast->arena.error == -E2BIG)
                return parser_fail(p, (Place){ 0, p->end }, "the query needs more than %zu MiB as a tree",
                                   PROMQL_MEMORY_MAX >> 20);
        if (!p->result)
                p->result = -ENOMEM;
        return NULL;
}

void *parser_unexpected(Parser *p, const char *context, const char *expected) {
        Token t = parser_peek(p);
        if (!error_begin(p, t.place))
                return NULL;
        Buf *out = &p->error->text;
        if (!context && p->aggregations > 0)
                context = "aggregation";
        buf_put_str(out, "unexpected ");
        token_describe(t, p->lexer.text, out);
        if (context)
                buf_printf(out, " in %s", context);
        if (expected)
                buf_printf(out, ", expected %s", expected);
        return NULL;
}

#define QUOTED_MOST 256

const char *quoted(Buf *b, Span s) {
        buf_reset(b);
        quote_put_first(b, s, QUOTED_MOST);
        return buf_cstr(b);
}

bool parser_enter(Parser *p, Place place) {
        if (p->depth == PROMQL_DEPTH_MAX) {
                (void)parser_fail(p, place, "expression is nested too deeply, at most %u levels are allowed",
                                  PROMQL_DEPTH_MAX);
                return false;
        }
        p->depth++;
        return true;
}

void parser_leave(Parser *p) {
        assert(p->depth > 0);
        p->depth--;
}

/* ---- Nodes ---- */

static Expr *new_expr(Parser *p, ExprKind kind, ExprType type, Place place) {
        Expr *e = ARENA_NEW(&p->ast->arena, Expr);
        if (!e)
                return parser_no_memory(p);
        e->kind = kind;
        e->type = type;
        e->place = place;
        e->height = 1;
        return e;
}

/* A child makes its parent higher. False when the tree got too high: long chains of operators do that. */
static bool grow(Parser *p, Expr *e, const Expr *child) {
        if (child->height >= PROMQL_HEIGHT_MAX) {
                (void)parser_fail(p, e->place, "expression is too long, at most %u operators may follow each other",
                                  PROMQL_HEIGHT_MAX);
                return false;
        }
        if (e->height <= child->height)
                e->height = child->height + 1;
        return true;
}

static Place merge(Place a, Place b) {
        return (Place){ a.begin, b.end };
}

static Expr *parse_unary(Parser *p);

/* ---- Binary operators ---- */

enum { PRECEDENCE_OR = 1, PRECEDENCE_AND, PRECEDENCE_COMPARISON, PRECEDENCE_SUM, PRECEDENCE_PRODUCT, PRECEDENCE_POWER };

static const struct {
        BinaryOp op;
        int precedence; /* 0: not an operator between expressions */
} BINARY[] = {
        [TOKEN_ADD] = { BINARY_ADD, PRECEDENCE_SUM },
        [TOKEN_SUB] = { BINARY_SUB, PRECEDENCE_SUM },
        [TOKEN_MUL] = { BINARY_MUL, PRECEDENCE_PRODUCT },
        [TOKEN_DIV] = { BINARY_DIV, PRECEDENCE_PRODUCT },
        [TOKEN_MOD] = { BINARY_MOD, PRECEDENCE_PRODUCT },
        [TOKEN_POW] = { BINARY_POW, PRECEDENCE_POWER },
        [TOKEN_ATAN2] = { BINARY_ATAN2, PRECEDENCE_PRODUCT },
        [TOKEN_EQLC] = { BINARY_EQL, PRECEDENCE_COMPARISON },
        [TOKEN_NEQ] = { BINARY_NEQ, PRECEDENCE_COMPARISON },
        [TOKEN_GTR] = { BINARY_GTR, PRECEDENCE_COMPARISON },
        [TOKEN_LSS] = { BINARY_LSS, PRECEDENCE_COMPARISON },
        [TOKEN_GTE] = { BINARY_GTE, PRECEDENCE_COMPARISON },
        [TOKEN_LTE] = { BINARY_LTE, PRECEDENCE_COMPARISON },
        [TOKEN_TRIM_UPPER] = { BINARY_TRIM_UPPER, PRECEDENCE_COMPARISON },
        [TOKEN_TRIM_LOWER] = { BINARY_TRIM_LOWER, PRECEDENCE_COMPARISON },
        [TOKEN_AND] = { BINARY_AND, PRECEDENCE_AND },
        [TOKEN_UNLESS] = { BINARY_UNLESS, PRECEDENCE_AND },
        [TOKEN_OR] = { BINARY_OR, PRECEDENCE_OR },
};

static int precedence_of(TokenType t) {
        return (size_t)t < ARRAY_LEN(BINARY) ? BINARY[t].precedence : 0;
}

/* Whether an expression may begin so. */
static bool may_begin(TokenType t) {
        return token_is_metric_name(t) || t == TOKEN_NUMBER || t == TOKEN_DURATION || t == TOKEN_STRING ||
               t == TOKEN_LEFT_PAREN || t == TOKEN_LEFT_BRACE || t == TOKEN_ADD || t == TOKEN_SUB;
}

/* (1), (-1), (5m) */
static bool parse_fill_value(Parser *p, double *ret_v) {
        if (!parser_accept(p, TOKEN_LEFT_PAREN))
                return parser_unexpected(p, NULL, NULL);
        bool minus = parser_peek(p).type == TOKEN_SUB;
        if (minus || parser_peek(p).type == TOKEN_ADD)
                (void)parser_take(p);
        Token t = parser_peek(p);
        if (t.type != TOKEN_NUMBER && t.type != TOKEN_DURATION)
                return parser_unexpected(p, NULL, NULL);
        (void)parser_take(p);
        double v;
        if (!parse_number(p, t, &v))
                return false;
        if (!parser_accept(p, TOKEN_RIGHT_PAREN))
                return parser_unexpected(p, NULL, NULL);
        *ret_v = minus ? -v : v;
        return true;
}

static bool parse_fill_side(Parser *p, TokenType side, bool *ret_has, double *ret_v) {
        if (!parser_accept(p, side))
                return true;
        *ret_has = true;
        return parse_fill_value(p, ret_v);
}

static bool parse_fill(Parser *p, BinaryExpr *b) {
        if (parser_accept(p, TOKEN_FILL)) {
                if (!parse_fill_value(p, &b->fill_left))
                        return false;
                b->fill_right = b->fill_left;
                b->has_fill_left = b->has_fill_right = true;
                return true;
        }
        bool right_first = parser_peek(p).type == TOKEN_FILL_RIGHT;
        if (right_first && !parse_fill_side(p, TOKEN_FILL_RIGHT, &b->has_fill_right, &b->fill_right))
                return false;
        if (!parse_fill_side(p, TOKEN_FILL_LEFT, &b->has_fill_left, &b->fill_left))
                return false;
        return right_first || parse_fill_side(p, TOKEN_FILL_RIGHT, &b->has_fill_right, &b->fill_right);
}

static bool parse_group(Parser *p, BinaryExpr *b) {
        TokenType t = parser_peek(p).type;
        if (t != TOKEN_GROUP_LEFT && t != TOKEN_GROUP_RIGHT)
                return true;
        (void)parser_take(p);
        b->card = t == TOKEN_GROUP_LEFT ? CARD_MANY_TO_ONE : CARD_ONE_TO_MANY;
        t = parser_peek(p).type;
        bool list = t == TOKEN_LEFT_PAREN || !(may_begin(t) || (t >= TOKEN_FILL && t <= TOKEN_FILL_RIGHT));
        return !list || parse_labels(p, &b->include, &b->n_include);
}

/* What stands behind the operator: bool, on or ignoring, group_left or group_right, fill. */
static bool parse_modifiers(Parser *p, BinaryExpr *b) {
        b->bool_modifier = parser_accept(p, TOKEN_BOOL);
        TokenType t = parser_peek(p).type;
        if (t == TOKEN_ON || t == TOKEN_IGNORING) {
                (void)parser_take(p);
                b->matching = true;
                b->on = t == TOKEN_ON;
                if (!parse_labels(p, &b->labels, &b->n_labels) || !parse_group(p, b))
                        return false;
        }
        return parse_fill(p, b);
}

static Expr *parse_binary(Parser *p, int least);

/* What is right of an operator. Only powers nest there: of the others the levels are few. */
static Expr *parse_right(Parser *p, int precedence, Place place) {
        if (precedence < PRECEDENCE_POWER)
                return parse_binary(p, precedence + 1);
        if (!parser_enter(p, place))
                return NULL;
        Expr *e = parse_binary(p, PRECEDENCE_POWER);
        parser_leave(p);
        return e;
}

static Expr *parse_operator(Parser *p, Expr *left) {
        Token t = parser_take(p);
        Expr *e = new_expr(p, EXPR_BINARY, TYPE_SCALAR, left->place);
        if (!e)
                return NULL;
        BinaryExpr *b = &e->binary;
        b->op = BINARY[t.type].op;
        b->left = left;
        if (!parse_modifiers(p, b))
                return NULL;
        b->right = parse_right(p, BINARY[t.type].precedence, t.place);
        if (!b->right)
                return NULL;
        e->place = merge(left->place, b->right->place);
        if (left->type != TYPE_SCALAR || b->right->type != TYPE_SCALAR)
                e->type = TYPE_VECTOR;
        if ((b->has_fill_left || b->has_fill_right) && !(p->features & PROMQL_BINOP_FILL))
                return parser_fail(p, e->place, "binop fill modifiers are experimental and not enabled");
        return grow(p, e, left) && grow(p, e, b->right) ? e : NULL;
}

static Expr *parse_binary(Parser *p, int least) {
        Expr *left = parse_unary(p);
        while (left) {
                int precedence = precedence_of(parser_peek(p).type);
                if (precedence == 0 || precedence < least)
                        return left;
                left = parse_operator(p, left);
        }
        return NULL;
}

Expr *parse_expr(Parser *p) {
        return parse_binary(p, PRECEDENCE_OR);
}

/* ---- Arguments, calls, aggregations ---- */

typedef struct ExprList {
        Expr **list;
        size_t n, room;
} ExprList;

static bool list_add(Parser *p, ExprList *l, Expr *e) {
        if (l->n == l->room) {
                size_t room = l->room ? l->room * 2 : 4;
                Expr **list = arena_grow(&p->ast->arena, l->list, l->room * sizeof *list, room * sizeof *list);
                if (!list) {
                        (void)parser_no_memory(p);
                        return false;
                }
                l->list = list;
                l->room = room;
        }
        l->list[l->n++] = e;
        return true;
}

/* Arguments up to the closing parenthesis; the opening one is taken. */
static bool parse_arguments_inner(Parser *p, ExprList *out) {
        if (parser_accept(p, TOKEN_RIGHT_PAREN))
                return true;
        for (;;) {
                Expr *e = parse_expr(p);
                if (!e || !list_add(p, out, e))
                        return false;
                if (parser_accept(p, TOKEN_RIGHT_PAREN))
                        return true;
                Token comma = parser_peek(p);
                if (comma.type != TOKEN_COMMA)
                        return parser_unexpected(p, NULL, NULL);
                (void)parser_take(p);
                if (!may_begin(parser_peek(p).type))
                        return parser_fail(p, comma.place, "trailing commas not allowed in function call args");
        }
}

static bool parse_arguments(Parser *p, ExprList *out) {
        Token paren = parser_peek(p);
        if (paren.type != TOKEN_LEFT_PAREN)
                return parser_unexpected(p, NULL, NULL);
        (void)parser_take(p);
        if (!parser_enter(p, paren.place))
                return false;
        bool ok = parse_arguments_inner(p, out);
        parser_leave(p);
        return ok;
}

/* The function's name is taken. */
static Expr *parse_call(Parser *p, Token name) {
        ExprList args = { 0 };
        if (!parse_arguments(p, &args))
                return NULL;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        Span text = parser_text(p, name.place);
        FunctionId f;
        if (!function_find(text, &f))
                return parser_fail(p, name.place, "unknown function with name %s", quoted(&b, text));
        if (function_info(f)->experimental && !(p->features & PROMQL_EXPERIMENTAL_FUNCTIONS))
                return parser_fail(p, name.place, "function %s is not enabled", quoted(&b, text));
        Expr *e = new_expr(p, EXPR_CALL, function_info(f)->returns, (Place){ name.place.begin, p->end });
        if (!e)
                return NULL;
        e->call = (CallExpr){ f, args.list, args.n };
        for (size_t i = 0; i < args.n; i++)
                if (!grow(p, e, args.list[i]))
                        return NULL;
        return e;
}

/* by (...) or without (...), if it is there. */
static bool parse_grouping(Parser *p, AggregateExpr *a) {
        TokenType t = parser_peek(p).type;
        if (t != TOKEN_BY && t != TOKEN_WITHOUT)
                return true;
        (void)parser_take(p);
        a->grouped = true;
        a->without = t == TOKEN_WITHOUT;
        return parse_labels(p, &a->labels, &a->n_labels);
}

static Expr *take_aggregate_args(Parser *p, Expr *e, const ExprList *args) {
        AggregateExpr *a = &e->aggregate;
        bool experimental = a->op == AGGREGATE_LIMITK || a->op == AGGREGATE_LIMIT_RATIO;
        if (args->n == 0)
                return parser_fail(p, e->place, "no arguments for aggregate expression provided");
        if (experimental && !(p->features & PROMQL_EXPERIMENTAL_FUNCTIONS))
                return parser_fail(
                        p, e->place,
                        "%s() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                        aggregate_name(a->op));
        size_t want = aggregate_has_param(a->op) ? 2 : 1;
        if (args->n != want)
                return parser_fail(p, e->place,
                                   "wrong number of arguments for aggregate expression provided, expected %zu, got %zu",
                                   want, args->n);
        a->param = want == 2 ? args->list[0] : NULL;
        a->inner = args->list[want - 1];
        return grow(p, e, a->inner) && (!a->param || grow(p, e, a->param)) ? e : NULL;
}

static Expr *parse_aggregate(Parser *p, Token name) {
        Expr *e = new_expr(p, EXPR_AGGREGATE, TYPE_VECTOR, name.place);
        if (!e)
                return NULL;
        AggregateExpr *a = &e->aggregate;
        a->op = (AggregateOp)(name.type - TOKEN_SUM);
        ExprList args = { 0 };
        p->aggregations++;
        bool ok = parse_grouping(p, a) && parse_arguments(p, &args) && (a->grouped || parse_grouping(p, a));
        p->aggregations--;
        if (!ok)
                return NULL;
        e->place.end = p->end;
        return take_aggregate_args(p, e, &args);
}

/* ---- What stands behind an expression: ranges, offset, @ ---- */

/* The times of a selector or a subquery; NULL for other expressions. */
static When *when_of(Expr *e) {
        return e->kind == EXPR_SELECTOR ? &e->selector.when : e->kind == EXPR_SUBQUERY ? &e->subquery.when : NULL;
}

static Expr *parse_offset(Parser *p, Expr *e) {
        (void)parser_take(p);
        DurationExpr *d = parse_offset_duration(p);
        if (!d)
                return NULL;
        When *w = when_of(e);
        if (!w)
                return parser_fail(p, e->place,
                                   "offset modifier must be preceded by an instant vector selector or range vector "
                                   "selector or a subquery");
        if (w->offset_ms != 0 || w->offset_expr)
                return parser_fail(p, e->place, "offset may not be set multiple times");
        if (d->op == DURATION_NUMBER && !d->parens)
                w->offset_ms = seconds_ms(d->number);
        else
                w->offset_expr = d;
        e->place.end = p->end;
        return e;
}

static When *at_target(Parser *p, Expr *e) {
        When *w = when_of(e);
        if (!w)
                return parser_fail(p, e->place,
                                   "@ modifier must be preceded by an instant vector selector or range vector selector "
                                   "or a subquery");
        if (w->at != AT_NONE)
                return parser_fail(p, e->place, "@ <timestamp> may not be set multiple times");
        return w;
}

/* Up to here a time in seconds is exact to the millisecond as a double: 71,000 years. */
#define MS_LIMIT 0x1p51

static Expr *fail_timestamp(Parser *p, const Expr *e, double v) {
        if (isfinite(v))
                return parser_fail(p, e->place, "timestamp out of bounds for @ modifier: %f", v);
        const char *name = isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf";
        return parser_fail(p, e->place, "timestamp out of bounds for @ modifier: %s", name);
}

static Expr *parse_at_time(Parser *p, Expr *e, bool minus) {
        Token t = parser_peek(p);
        if (t.type != TOKEN_NUMBER && t.type != TOKEN_DURATION)
                return parser_unexpected(p, "@", "timestamp");
        (void)parser_take(p);
        double v;
        if (!parse_number(p, t, &v))
                return NULL;
        if (minus)
                v = -v;
        double ms = round(v * 1000);
        if (!(ms < MS_LIMIT && ms > -MS_LIMIT))
                return fail_timestamp(p, e, v);
        When *w = at_target(p, e);
        if (!w)
                return NULL;
        w->at = AT_TIME;
        w->at_ms = (int64_t)ms;
        return e;
}

static Expr *parse_at_word(Parser *p, Expr *e, AtKind at) {
        (void)parser_take(p);
        if (!parser_accept(p, TOKEN_LEFT_PAREN) || !parser_accept(p, TOKEN_RIGHT_PAREN))
                return parser_unexpected(p, "@", "timestamp");
        When *w = at_target(p, e);
        if (!w)
                return NULL;
        w->at = at;
        return e;
}

static Expr *parse_at(Parser *p, Expr *e) {
        (void)parser_take(p);
        TokenType t = parser_peek(p).type;
        if (t == TOKEN_START || t == TOKEN_END) {
                e = parse_at_word(p, e, t == TOKEN_START ? AT_START : AT_END);
        } else {
                if (t == TOKEN_ADD || t == TOKEN_SUB)
                        (void)parser_take(p);
                e = parse_at_time(p, e, t == TOKEN_SUB);
        }
        if (e)
                e->place.end = p->end;
        return e;
}

/* anchored, smoothed */
static Expr *parse_mode(Parser *p, Expr *e) {
        Token t = parser_take(p);
        RangeMode mode = t.type == TOKEN_ANCHORED ? RANGE_ANCHORED : RANGE_SMOOTHED;
        const char *name = t.type == TOKEN_ANCHORED ? "anchored" : "smoothed";
        if (!(p->features & PROMQL_EXTENDED_RANGE))
                return parser_fail(p, e->place, "%s modifier is experimental and not enabled", name);
        if (e->kind == EXPR_SUBQUERY)
                return parser_fail(p, e->place, "%s modifier is not supported for subqueries", name);
        if (e->kind != EXPR_SELECTOR)
                return parser_fail(p, e->place, "%s modifier can only follow a selector, with a range or without one", name);
        if (e->selector.mode != RANGE_PLAIN && e->selector.mode != mode)
                return parser_fail(p, e->place, "anchored and smoothed modifiers cannot be used together");
        e->selector.mode = mode;
        e->place.end = p->end;
        return e;
}

static const char *refuse_range(const Expr *e) {
        if (e->kind != EXPR_SELECTOR || e->type != TYPE_VECTOR)
                return "ranges only allowed for vector selectors";
        if (e->selector.when.offset_ms != 0 || e->selector.when.offset_expr)
                return "no offset modifiers allowed before range";
        if (e->selector.when.at != AT_NONE)
                return "no @ modifiers allowed before range";
        return NULL;
}

/* A duration that has to be positive: as a number, or as an expression that is calculated later. */
static bool take_duration(Parser *p, DurationExpr *d, int64_t *ret_ms, DurationExpr **ret_expr) {
        if (d->op != DURATION_NUMBER || d->parens) {
                *ret_expr = d;
                return true;
        }
        *ret_ms = d->number > 0 ? seconds_ms(d->number) : 0;
        /* A range without a millisecond is none. */
        if (*ret_ms <= 0)
                (void)parser_fail(p, d->place, "duration must be greater than 0");
        return *ret_ms > 0;
}

/* `[5m]`, of which the bracket that closes is taken. */
static Expr *finish_range(Parser *p, Expr *e, Token bracket, const SubqueryExpr *range) {
        const char *why = refuse_range(e);
        if (why)
                return parser_fail(p, (Place){ bracket.place.begin, p->end }, "%s", why);
        e->selector.range_ms = range->range_ms;
        e->selector.range_expr = range->range_expr;
        e->type = TYPE_MATRIX;
        e->place.end = p->end;
        return e;
}

/* The colon is taken. */
static Expr *parse_subquery(Parser *p, Expr *inner, const SubqueryExpr *range) {
        Expr *e = new_expr(p, EXPR_SUBQUERY, TYPE_MATRIX, inner->place);
        if (!e)
                return NULL;
        SubqueryExpr *s = &e->subquery;
        *s = *range;
        s->inner = inner;
        if (!parser_accept(p, TOKEN_RIGHT_BRACKET)) {
                p->in_step = true;
                DurationExpr *step = parse_duration(p);
                p->in_step = false;
                if (!step || !take_duration(p, step, &s->step_ms, &s->step_expr))
                        return NULL;
                if (!parser_accept(p, TOKEN_RIGHT_BRACKET))
                        return parser_unexpected(p, "subquery selector", "\"]\"");
        }
        e->place.end = p->end;
        return grow(p, e, inner) ? e : NULL;
}

static Expr *parse_bracket(Parser *p, Expr *e) {
        Token bracket = parser_take(p);
        DurationExpr *d = parse_duration(p);
        SubqueryExpr range = { 0 };
        if (!d || !take_duration(p, d, &range.range_ms, &range.range_expr))
                return NULL;
        if (parser_accept(p, TOKEN_COLON))
                return parse_subquery(p, e, &range);
        if (parser_accept(p, TOKEN_RIGHT_BRACKET))
                return finish_range(p, e, bracket, &range);
        return parser_unexpected(p, "subquery or range", "\":\" or \"]\"");
}

static Expr *parse_suffixes(Parser *p, Expr *e) {
        while (e) {
                switch (parser_peek(p).type) {
                case TOKEN_LEFT_BRACKET: e = parse_bracket(p, e); break;
                case TOKEN_OFFSET: e = parse_offset(p, e); break;
                case TOKEN_AT: e = parse_at(p, e); break;
                case TOKEN_ANCHORED:
                case TOKEN_SMOOTHED: e = parse_mode(p, e); break;
                default: return e;
                }
        }
        return NULL;
}

/* ---- Primary expressions ---- */

static Expr *parse_paren(Parser *p) {
        Token paren = parser_take(p);
        if (!parser_enter(p, paren.place))
                return NULL;
        Expr *inner = parse_expr(p);
        parser_leave(p);
        if (!inner)
                return NULL;
        if (!parser_accept(p, TOKEN_RIGHT_PAREN))
                return parser_unexpected(p, NULL, NULL);
        Expr *e = new_expr(p, EXPR_PAREN, inner->type, (Place){ paren.place.begin, p->end });
        if (!e)
                return NULL;
        e->paren = inner;
        return grow(p, e, inner) ? e : NULL;
}

static Expr *parse_number_literal(Parser *p) {
        Token t = parser_take(p);
        Expr *e = new_expr(p, EXPR_NUMBER, TYPE_SCALAR, t.place);
        if (!e || !parse_number(p, t, &e->number))
                return NULL;
        e->as_duration = t.type == TOKEN_DURATION;
        return e;
}

static Expr *parse_string_literal(Parser *p) {
        Token t = parser_take(p);
        Expr *e = new_expr(p, EXPR_STRING, TYPE_STRING, t.place);
        if (!e)
                return NULL;
        if (quote_take(&p->ast->arena, parser_text(p, t.place), &e->string) < 0)
                return parser_no_memory(p);
        return e;
}

static bool is_function_word(TokenType t) {
        return t == TOKEN_IDENTIFIER || (t >= TOKEN_START && t <= TOKEN_RANGE);
}

/* A name: of an aggregation, a function or a metric, which is told by what follows. */
static Expr *parse_named(Parser *p) {
        Token name = parser_peek(p);
        if (!token_is_aggregate(name.type) && !is_function_word(name.type))
                return parse_selector(p);
        (void)parser_take(p);
        TokenType next = parser_peek(p).type;
        if (token_is_aggregate(name.type) && (next == TOKEN_LEFT_PAREN || next == TOKEN_BY || next == TOKEN_WITHOUT))
                return parse_aggregate(p, name);
        if (is_function_word(name.type) && next == TOKEN_LEFT_PAREN)
                return parse_call(p, name);
        return parse_selector_named(p, name);
}

static Expr *parse_primary(Parser *p) {
        TokenType t = parser_peek(p).type;
        switch (t) {
        case TOKEN_NUMBER:
        case TOKEN_DURATION: return parse_number_literal(p);
        case TOKEN_STRING: return parse_string_literal(p);
        case TOKEN_LEFT_PAREN: return parse_paren(p);
        case TOKEN_LEFT_BRACE: return parse_selector(p);
        default: return token_is_metric_name(t) ? parse_named(p) : parser_unexpected(p, NULL, NULL);
        }
}

/* A sign binds as a product does: -2^2 is -(2^2), and -2*3 is (-2)*3. Numbers take their sign into them. */
static Expr *parse_sign(Parser *p) {
        Token sign = parser_take(p);
        if (!parser_enter(p, sign.place))
                return NULL;
        Expr *inner = parse_binary(p, PRECEDENCE_POWER);
        parser_leave(p);
        if (!inner)
                return NULL;
        bool minus = sign.type == TOKEN_SUB;
        if (inner->kind == EXPR_NUMBER) {
                inner->number = minus ? -inner->number : inner->number;
                inner->place.begin = sign.place.begin;
                return inner;
        }
        Expr *e = new_expr(p, EXPR_UNARY, inner->type, merge(sign.place, inner->place));
        if (!e)
                return NULL;
        e->unary.minus = minus;
        e->unary.inner = inner;
        return grow(p, e, inner) ? e : NULL;
}

static Expr *parse_unary(Parser *p) {
        TokenType t = parser_peek(p).type;
        if (t == TOKEN_ADD || t == TOKEN_SUB)
                return parse_sign(p);
        return parse_suffixes(p, parse_primary(p));
}

/* ---- The whole ---- */

static Expr *parse_query(Parser *p) {
        if (parser_peek(p).type == TOKEN_EOF)
                return parser_fail(p, (Place){ 0, 0 }, "no expression found in input");
        Expr *e = parse_expr(p);
        if (!e)
                return NULL;
        if (parser_peek(p).type != TOKEN_EOF)
                return parser_unexpected(p, NULL, NULL);
        return check_expr(p, e) ? e : NULL;
}

static Expr *parse_only_selector(Parser *p) {
        TokenType t = parser_peek(p).type;
        if (t != TOKEN_LEFT_BRACE && !token_is_metric_name(t))
                return parser_unexpected(p, NULL, NULL);
        Expr *e = parse_selector(p);
        if (!e)
                return NULL;
        if (parser_peek(p).type != TOKEN_EOF)
                return parser_unexpected(p, NULL, NULL);
        return check_expr(p, e) ? e : NULL;
}

static Ast *ast_new(Span text) {
        Ast *a = calloc(1, sizeof *a);
        if (!a)
                return NULL;
        a->budget = ARENA_BUDGET(PROMQL_MEMORY_MAX);
        a->arena = ARENA(&a->budget);
        char *copy = arena_copy(&a->arena, text.text, text.len);
        a->text = (Span){ copy, text.len };
        return copy ? a : ast_free(a);
}

static int fail_length(ParseError *ret_error) {
        buf_printf(&ret_error->text, "1:1: parse error: the query is longer than %zu bytes", PROMQL_TEXT_MAX);
        return -EINVAL;
}

static int parse_with(Span text, unsigned features, Expr *(*parse)(Parser *p), Ast **ret_ast, ParseError *ret_error) {
        *ret_error = (ParseError){ 0 };
        if (text.len > PROMQL_TEXT_MAX)
                return fail_length(ret_error);
        Ast *ast = ast_new(text);
        if (!ast)
                return -ENOMEM;
        Parser p = { .lexer = LEXER(ast->text), .features = features, .ast = ast, .error = ret_error };
        ast->root = parse(&p);
        lexer_deinit(&p.lexer);
        assert(!ast->root == !!p.result);
        if (ast->root) {
                *ret_ast = ast;
                return 0;
        }
        (void)ast_free(ast);
        return p.result;
}

int promql_parse(Span text, unsigned features, Ast **ret_ast, ParseError *ret_error) {
        return parse_with(text, features, parse_query, ret_ast, ret_error);
}

int promql_parse_selector(Span text, Ast **ret_ast, ParseError *ret_error) {
        return parse_with(text, 0, parse_only_selector, ret_ast, ret_error);
}
