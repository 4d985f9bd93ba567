/* Words of PromQL. A Lexer knows whether it is inside braces, where keywords are names, or inside the brackets of a
 * range, where only durations are; and it counts parentheses, so that what is left open or closed too often is said as
 * such. */
#pragma once

#include "base/buf.h"
#include "base/scan.h"
#include "query/ast.h"

typedef enum TokenType {
        TOKEN_EOF,
        TOKEN_ERROR, /* Lexer.fault says why */
        TOKEN_IDENTIFIER,
        TOKEN_METRIC_IDENTIFIER, /* with a colon */
        TOKEN_NUMBER,
        TOKEN_DURATION,
        TOKEN_STRING, /* with its quotes */
        TOKEN_EQL,
        TOKEN_COLON,
        TOKEN_COMMA,
        TOKEN_LEFT_BRACE,
        TOKEN_RIGHT_BRACE,
        TOKEN_LEFT_BRACKET,
        TOKEN_RIGHT_BRACKET,
        TOKEN_LEFT_PAREN,
        TOKEN_RIGHT_PAREN,
        /* operators */
        TOKEN_ADD,
        TOKEN_SUB,
        TOKEN_MUL,
        TOKEN_DIV,
        TOKEN_MOD,
        TOKEN_POW,
        TOKEN_ATAN2,
        TOKEN_EQLC,
        TOKEN_NEQ,
        TOKEN_GTR,
        TOKEN_LSS,
        TOKEN_GTE,
        TOKEN_LTE,
        TOKEN_AND,
        TOKEN_OR,
        TOKEN_UNLESS,
        TOKEN_TRIM_UPPER,
        TOKEN_TRIM_LOWER,
        TOKEN_EQL_REGEX,
        TOKEN_NEQ_REGEX,
        TOKEN_AT,
        /* aggregations, in the order of AggregateOp */
        TOKEN_SUM,
        TOKEN_AVG,
        TOKEN_COUNT,
        TOKEN_MIN,
        TOKEN_MAX,
        TOKEN_GROUP,
        TOKEN_STDDEV,
        TOKEN_STDVAR,
        TOKEN_TOPK,
        TOKEN_BOTTOMK,
        TOKEN_COUNT_VALUES,
        TOKEN_QUANTILE,
        TOKEN_LIMITK,
        TOKEN_LIMIT_RATIO,
        /* keywords */
        TOKEN_OFFSET,
        TOKEN_SMOOTHED,
        TOKEN_ANCHORED,
        TOKEN_BY,
        TOKEN_WITHOUT,
        TOKEN_ON,
        TOKEN_IGNORING,
        TOKEN_GROUP_LEFT,
        TOKEN_GROUP_RIGHT,
        TOKEN_FILL,
        TOKEN_FILL_LEFT,
        TOKEN_FILL_RIGHT,
        TOKEN_BOOL,
        /* words that stand for parts of the query's time */
        TOKEN_START,
        TOKEN_END,
        TOKEN_STEP,
        TOKEN_RANGE,
        TOKEN_MIN_OF,
        TOKEN_MAX_OF,
} TokenType;

typedef struct Token {
        TokenType type;
        Place place; /* of an error: where it is, to the end of the text */
} Token;

typedef struct Lexer {
        Span text;
        size_t at, start; /* next byte; begin of the token */
        unsigned parens;
        bool in_braces, in_brackets;
        bool bracket_begun; /* a number came since the bracket */
        bool had_colon, had_duration;
        Buf fault;
} Lexer;

#define LEXER(t) ((Lexer){ .text = (t), .fault = BUF_WITH_LIMIT(4096) })
void lexer_deinit(Lexer *l);
/* Comments and blanks are skipped. After TOKEN_ERROR and TOKEN_EOF nothing else comes. */
Token lexer_next(Lexer *l);

static inline bool token_is_operator(TokenType t) {
        return t >= TOKEN_ADD && t <= TOKEN_AT;
}
static inline bool token_is_aggregate(TokenType t) {
        return t >= TOKEN_SUM && t <= TOKEN_LIMIT_RATIO;
}
static inline bool token_is_keyword(TokenType t) {
        return t >= TOKEN_OFFSET && t <= TOKEN_BOOL;
}
/* Whether such a word may be the name of a metric, of a label in by(), on(), ... */
bool token_is_metric_name(TokenType t);
bool token_is_label_name(TokenType t);
/* For "unexpected ...": `identifier "foo"`, `<by>`, `<op:+>`, `end of input`. */
void token_describe(Token t, Span text, Buf *out);
