/* Selectors and lists of labels. */
#include "query/ast_priv.h"
#include "query/quote.h"

#include "base/escape.h"

#include <assert.h>

static Span metric_name_label(void) {
        return (Span){ METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 };
}

typedef struct MatcherList {
        Matcher *list;
        size_t n, room;
} MatcherList;

static void matchers_drop(MatcherList *l) {
        for (size_t i = 0; i < l->n; i++)
                matcher_deinit(&l->list[i]);
        l->n = 0;
}

static bool matchers_room(Parser *p, MatcherList *l) {
        if (l->n < l->room)
                return true;
        size_t room = l->room ? l->room * 2 : 4;
        Matcher *list = arena_grow(&p->ast->arena, l->list, l->room * sizeof *list, room * sizeof *list);
        if (!list)
                return parser_no_memory(p);
        l->list = list;
        l->room = room;
        return true;
}

static bool add_matcher(Parser *p, MatcherList *l, MatchType type, Span name, Span value, Place place) {
        if (!matchers_room(p, l))
                return false;
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        int r = matcher_init(&l->list[l->n], type, name, value, &why);
        if (r == -ENOMEM)
                return parser_no_memory(p);
        if (r < 0)
                return parser_fail(p, place, "error parsing regexp: %s", buf_cstr(&why));
        l->n++;
        return true;
}

static bool match_type(TokenType t, MatchType *ret_type) {
        switch (t) {
        case TOKEN_EQL: *ret_type = MATCH_EQUAL; return true;
        case TOKEN_NEQ: *ret_type = MATCH_NOT_EQUAL; return true;
        case TOKEN_EQL_REGEX: *ret_type = MATCH_REGEX; return true;
        case TOKEN_NEQ_REGEX: *ret_type = MATCH_NOT_REGEX; return true;
        default: return false;
        }
}

static bool unquote(Parser *p, Token t, Span *ret_s) {
        if (quote_take(&p->ast->arena, parser_text(p, t.place), ret_s) == 0)
                return true;
        return parser_no_memory(p);
}

/* The quoted name of a metric in the braces. */
static bool take_quoted_metric(Parser *p, SelectorExpr *s, MatcherList *l, Span name, Place place) {
        if (s->metric.len == 0 && name.len > 0) {
                s->metric = name;
                s->metric_quoted = true;
        }
        return add_matcher(p, l, MATCH_EQUAL, metric_name_label(), name, place);
}

/* a="b", "a.b"="c" or "metric" */
static bool parse_matcher(Parser *p, SelectorExpr *s, MatcherList *l) {
        Token label = parser_peek(p);
        if (label.type != TOKEN_IDENTIFIER && label.type != TOKEN_STRING)
                return parser_unexpected(p, "label matching", "identifier or \"}\"");
        (void)parser_take(p);
        Span name = parser_text(p, label.place), value;
        if (label.type == TOKEN_STRING && !unquote(p, label, &name))
                return false;
        MatchType type;
        if (!match_type(parser_peek(p).type, &type)) {
                if (label.type == TOKEN_IDENTIFIER)
                        return parser_unexpected(p, "label matching", "label matching operator");
                return take_quoted_metric(p, s, l, name, label.place);
        }
        (void)parser_take(p);
        Token string = parser_peek(p);
        if (string.type != TOKEN_STRING)
                return parser_unexpected(p, "label matching", "string");
        (void)parser_take(p);
        return unquote(p, string, &value) &&
               add_matcher(p, l, type, name, value, (Place){ label.place.begin, string.place.end });
}

/* From the brace that opens to the one that closes. */
static bool parse_matchers(Parser *p, SelectorExpr *s, MatcherList *l) {
        (void)parser_take(p);
        if (parser_accept(p, TOKEN_RIGHT_BRACE))
                return true;
        for (;;) {
                if (!parse_matcher(p, s, l))
                        return false;
                bool comma = parser_accept(p, TOKEN_COMMA);
                if (parser_accept(p, TOKEN_RIGHT_BRACE))
                        return true;
                if (!comma)
                        return parser_unexpected(p, "label matching", "\",\" or \"}\"");
        }
}

/* The matchers with a regex are freed with the tree. */
static bool keep_matchers(Parser *p, const MatcherList *l, Place place) {
        Ast *ast = p->ast;
        size_t n = 0;
        for (size_t i = 0; i < l->n; i++)
                n += l->list[i].regex != NULL;
        if (n == 0)
                return true;
        if (ast->n_matchers + n > PROMQL_REGEX_MAX)
                return parser_fail(p, place, "more than %u regular expressions in one query", PROMQL_REGEX_MAX);
        Matcher **all = reallocarray(ast->matchers, ast->n_matchers + n, sizeof *all);
        if (!all)
                return parser_no_memory(p);
        ast->matchers = all;
        for (size_t i = 0; i < l->n; i++)
                if (l->list[i].regex)
                        all[ast->n_matchers++] = &l->list[i];
        return true;
}

static Expr *finish_selector(Parser *p, Expr *e, MatcherList *l) {
        e->place.end = p->end;
        if (!keep_matchers(p, l, e->place)) {
                matchers_drop(l);
                return NULL;
        }
        e->selector.matchers = l->list;
        e->selector.n_matchers = l->n;
        return e;
}

Expr *parse_selector_named(Parser *p, Token name) {
        Expr *e = ARENA_NEW(&p->ast->arena, Expr);
        if (!e)
                return parser_no_memory(p);
        *e = (Expr){ .kind = EXPR_SELECTOR, .type = TYPE_VECTOR, .place = name.place, .height = 1 };
        SelectorExpr *s = &e->selector;
        MatcherList l = { 0 };
        bool named = name.type != TOKEN_LEFT_BRACE;
        if (named)
                s->metric = parser_text(p, name.place);
        if ((parser_peek(p).type == TOKEN_LEFT_BRACE && !parse_matchers(p, s, &l)) ||
            (named && !add_matcher(p, &l, MATCH_EQUAL, metric_name_label(), s->metric, name.place))) {
                matchers_drop(&l);
                return NULL;
        }
        return finish_selector(p, e, &l);
}

Expr *parse_selector(Parser *p) {
        Token t = parser_peek(p);
        assert(t.type == TOKEN_LEFT_BRACE || token_is_metric_name(t.type));
        if (t.type != TOKEN_LEFT_BRACE)
                (void)parser_take(p);
        return parse_selector_named(p, t);
}

/* ---- Lists of labels ---- */

static bool take_label(Parser *p, Span *ret_label) {
        Token t = parser_peek(p);
        if (t.type != TOKEN_STRING && !token_is_label_name(t.type))
                return parser_unexpected(p, "grouping opts", "label");
        (void)parser_take(p);
        *ret_label = parser_text(p, t.place);
        if (t.type == TOKEN_STRING && !unquote(p, t, ret_label))
                return false;
        if (ret_label->len > 0 && utf8_valid(ret_label->text, ret_label->len))
                return true;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        return parser_fail(p, t.place, "invalid label name for grouping: %s", quoted(&b, *ret_label));
}

static bool add_label(Parser *p, Span **labels, size_t *n, size_t *room) {
        if (*n == *room) {
                size_t more = *room ? *room * 2 : 4;
                Span *list = arena_grow(&p->ast->arena, *labels, *room * sizeof *list, more * sizeof *list);
                if (!list)
                        return parser_no_memory(p);
                *labels = list;
                *room = more;
        }
        return take_label(p, &(*labels)[*n]) && ++*n;
}

bool parse_labels(Parser *p, Span **ret_labels, size_t *ret_n) {
        if (!parser_accept(p, TOKEN_LEFT_PAREN))
                return parser_unexpected(p, "grouping opts", "\"(\"");
        size_t room = 0;
        *ret_labels = NULL;
        *ret_n = 0;
        if (parser_accept(p, TOKEN_RIGHT_PAREN))
                return true;
        for (;;) {
                if (!add_label(p, ret_labels, ret_n, &room))
                        return false;
                bool comma = parser_accept(p, TOKEN_COMMA);
                if (parser_accept(p, TOKEN_RIGHT_PAREN))
                        return true;
                if (!comma)
                        return parser_unexpected(p, "grouping opts", "\",\" or \")\"");
        }
}
