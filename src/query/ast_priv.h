/* What the parser, the checks and the printers of expressions share. */
#pragma once

#include "model/labels.h"
#include "query/ast.h"
#include "query/lexer.h"

typedef enum DurationOp {
        DURATION_NUMBER,
        DURATION_NEGATE,
        DURATION_ADD,
        DURATION_SUB,
        DURATION_MUL,
        DURATION_DIV,
        DURATION_MOD,
        DURATION_POW,
        DURATION_MIN,
        DURATION_MAX,
        DURATION_STEP,
        DURATION_RANGE,
} DurationOp;

struct DurationExpr {
        DurationOp op;
        double number;    /* seconds */
        bool as_duration; /* 5m, not 300 */
        bool parens;      /* written in parentheses */
        uint16_t height;
        DurationExpr *left, *right; /* right alone: DURATION_NEGATE */
        Place place;
};

typedef struct Parser {
        Lexer lexer;
        Token token; /* the next one, when have_token */
        bool have_token;
        uint32_t end; /* of the last token that was taken */
        unsigned depth;
        unsigned aggregations; /* that are open: for the words of an error, as the next */
        bool in_step;          /* behind the colon of a subquery */
        unsigned features;
        Ast *ast;
        ParseError *error; /* filled by the first that fails */
        int result;        /* 0, -EINVAL, -ENOMEM */
} Parser;

#define PROMQL_HEIGHT_MAX 1024u /* of the tree: chains of operators make it high without nesting */
#define PROMQL_REGEX_MAX 1024u  /* regular expressions of a query */
#define PROMQL_MEMORY_MAX ((size_t)64 << 20) /* of a tree */

/* The next token; not taken. */
Token parser_peek(Parser *p);
Token parser_take(Parser *p);
/* Takes the next token if it is of this type. */
bool parser_accept(Parser *p, TokenType type);
Span parser_text(const Parser *p, Place place);
/* All return NULL: for functions that give a node. The first error stays. */
void *parser_fail(Parser *p, Place place, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* "unexpected <token> in <context>, expected <expected>"; both may be NULL. Within an aggregation that is the context
 * if there is none. */
void *parser_unexpected(Parser *p, const char *context, const char *expected);
/* After an allocation that failed: a tree over PROMQL_MEMORY_MAX is the query's error. */
void *parser_no_memory(Parser *p);
/* Enters and leaves a level of nesting; false, with the error, when it is too deep. */
bool parser_enter(Parser *p, Place place);
void parser_leave(Parser *p);
/* For names in messages: the text in quotes, valid until the next call with the same buffer. */
const char *quoted(Buf *b, Span s);

Expr *parse_expr(Parser *p);
Expr *parse_selector(Parser *p);
/* With the metric's name taken. */
Expr *parse_selector_named(Parser *p, Token name);
/* Names in parentheses: by(...), on(...), group_left(...). */
bool parse_labels(Parser *p, Span **ret_labels, size_t *ret_n);
/* A number or duration token, taken. */
bool parse_number(Parser *p, Token t, double *ret_v);
/* Inside brackets; and after `offset`, where arithmetic needs parentheses. */
DurationExpr *parse_duration(Parser *p);
DurationExpr *parse_offset_duration(Parser *p);

/* The checks of types and arguments. False with the error. */
bool check_expr(Parser *p, Expr *e);

/* "vector", "matrix": the names of the API, without "instant" and "range". */
const char *type_word(ExprType t);
const char *match_type_name(MatchType t);
bool aggregate_has_param(AggregateOp op);
/* Seconds as milliseconds of whole nanoseconds, as Prometheus rounds them. */
int64_t seconds_ms(double seconds);

/* Whether it is Inf ^ something: +Inf ^ 2 would be read as +(Inf ^ 2). */
bool is_infinite_base(const BinaryExpr *b);

void print_number(double v, Buf *out);
void print_duration_ms(int64_t ms, Buf *out);
void print_duration_expr(const DurationExpr *d, Buf *out);
void print_labels(const Span *labels, size_t n, Buf *out);
/* " bool on (a) group_left (b)": what stands behind the operator. */
void print_matching(const BinaryExpr *b, Buf *out);
/* "sum by (a) " */
void print_aggregate_head(const AggregateExpr *a, Buf *out);
/* "[5m:1m] @ 1.000 offset 5m" */
void print_subquery_tail(const SubqueryExpr *s, Buf *out);
