/* A PromQL expression as a tree. Made by promql_parse(), checked (types, arguments, label names, limits), immutable then but for
 * ast_resolve(). Everything in it lives as long as its Ast.
 *
 * Times are milliseconds. Places are bytes of the query's text, begin inclusive, end exclusive. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "model/matcher.h"

typedef struct Place {
        uint32_t begin, end;
} Place;

typedef enum ExprType { TYPE_SCALAR, TYPE_VECTOR, TYPE_MATRIX, TYPE_STRING } ExprType;
const char *expr_type_name(ExprType t); /* "scalar", "instant vector", "range vector", "string" */

typedef enum ExprKind {
        EXPR_NUMBER,
        EXPR_STRING,
        EXPR_SELECTOR,  /* m{a="b"}; with range_ms > 0: m{a="b"}[5m] */
        EXPR_SUBQUERY,  /* inner[range:step] */
        EXPR_CALL,
        EXPR_AGGREGATE,
        EXPR_BINARY,
        EXPR_UNARY,
        EXPR_PAREN,
} ExprKind;

typedef struct Expr Expr;

/* The arithmetic of durations (experimental): 5m * 2, step(), range(), min(), max(). NULL where a duration is a plain number. */
typedef struct DurationExpr DurationExpr;

typedef enum AtKind { AT_NONE, AT_TIME, AT_START, AT_END } AtKind;

/* `offset` and `@`. */
typedef struct When {
        int64_t offset_ms; /* positive looks back */
        AtKind at;
        int64_t at_ms;     /* AT_TIME; and AT_START, AT_END once resolved */
        DurationExpr *offset_expr;
} When;

typedef enum RangeMode { RANGE_PLAIN, RANGE_ANCHORED, RANGE_SMOOTHED } RangeMode;

typedef struct SelectorExpr {
        Span metric;        /* as written before the braces or as the quoted name in them; empty: none */
        Matcher *matchers;  /* with that of __name__ */
        size_t n_matchers;
        When when;
        int64_t range_ms;   /* 0: an instant vector */
        DurationExpr *range_expr;
        RangeMode mode;     /* RANGE_SMOOTHED is possible on instant vectors too */
        bool metric_quoted; /* the metric was written in the braces: {"a.b"} */
        bool any;           /* may select everything: info()'s second argument */
} SelectorExpr;

typedef struct SubqueryExpr {
        Expr *inner;
        int64_t range_ms, step_ms; /* step 0: the engine's default */
        DurationExpr *range_expr, *step_expr;
        When when;
} SubqueryExpr;

/* Row of functions.def. */
typedef enum FunctionId {
#define FUNCTION(id, name, args, variadic, returns, experimental) FUNCTION_##id,
#include "query/functions.def"
#undef FUNCTION
        FUNCTION_COUNT
} FunctionId;

typedef struct FunctionInfo {
        const char *name;
        ExprType args[5];  /* of those that have a type of their own; the last one's holds for variadic ones */
        uint8_t n_args;
        int8_t variadic;   /* how many of the last may be left out or, if negative, that any number may follow */
        ExprType returns;
        bool experimental;
} FunctionInfo;
const FunctionInfo *function_info(FunctionId f);
bool function_find(Span name, FunctionId *ret_f);

typedef struct CallExpr {
        FunctionId function;
        Expr **args;
        size_t n_args;
} CallExpr;

typedef enum AggregateOp {
        AGGREGATE_SUM, AGGREGATE_AVG, AGGREGATE_COUNT, AGGREGATE_MIN, AGGREGATE_MAX, AGGREGATE_GROUP, AGGREGATE_STDDEV,
        AGGREGATE_STDVAR, AGGREGATE_TOPK, AGGREGATE_BOTTOMK, AGGREGATE_COUNT_VALUES, AGGREGATE_QUANTILE, AGGREGATE_LIMITK,
        AGGREGATE_LIMIT_RATIO, AGGREGATE_COUNT_OPS
} AggregateOp;
const char *aggregate_name(AggregateOp op);

typedef struct AggregateExpr {
        AggregateOp op;
        Expr *param, *inner; /* param: of topk, bottomk, count_values, quantile, limitk, limit_ratio; else NULL */
        bool without;        /* else by */
        bool grouped;        /* by or without was written at all */
        Span *labels;
        size_t n_labels;
} AggregateExpr;

typedef enum BinaryOp {
        BINARY_ADD, BINARY_SUB, BINARY_MUL, BINARY_DIV, BINARY_MOD, BINARY_POW, BINARY_ATAN2,
        BINARY_EQL, BINARY_NEQ, BINARY_GTR, BINARY_LSS, BINARY_GTE, BINARY_LTE,
        BINARY_AND, BINARY_OR, BINARY_UNLESS,
        BINARY_TRIM_UPPER, BINARY_TRIM_LOWER, /* </ and >/ on histograms */
        BINARY_OP_COUNT
} BinaryOp;
const char *binary_name(BinaryOp op);
static inline bool binary_is_comparison(BinaryOp op) {
        return op >= BINARY_EQL && op <= BINARY_LTE;
}
static inline bool binary_is_set(BinaryOp op) {
        return op >= BINARY_AND && op <= BINARY_UNLESS;
}

typedef enum MatchCard { CARD_ONE_TO_ONE, CARD_MANY_TO_ONE, CARD_ONE_TO_MANY, CARD_MANY_TO_MANY } MatchCard;

typedef struct BinaryExpr {
        BinaryOp op;
        Expr *left, *right;
        bool bool_modifier;
        MatchCard card;    /* of two vectors */
        bool on;           /* else ignoring */
        bool matching;     /* on or ignoring was written at all */
        Span *labels, *include; /* of on/ignoring, and of group_left/group_right */
        size_t n_labels, n_include;
        bool has_fill_left, has_fill_right;
        double fill_left, fill_right; /* values for the side that has no partner */
} BinaryExpr;

struct Expr {
        ExprKind kind;
        ExprType type;
        Place place;
        uint16_t height;  /* of the tree from here on: 1 for what has no children */
        bool as_duration; /* EXPR_NUMBER: written as 5m */
        union {
                double number;
                Span string;       /* unescaped */
                SelectorExpr selector;
                SubqueryExpr subquery;
                CallExpr call;
                AggregateExpr aggregate;
                BinaryExpr binary;
                struct {
                        bool minus;
                        Expr *inner;
                } unary;
                Expr *paren;
        };
};

/* What of PromQL's experiments is understood: the names of Prometheus's --enable-feature. */
typedef enum PromqlFeature {
        PROMQL_EXPERIMENTAL_FUNCTIONS = 1 << 0, /* promql-experimental-functions; also limitk, limit_ratio, info, sort_by_label */
        PROMQL_DURATION_EXPR = 1 << 1,          /* promql-duration-expr */
        PROMQL_EXTENDED_RANGE = 1 << 2,         /* promql-extended-range-selectors: anchored, smoothed */
        PROMQL_BINOP_FILL = 1 << 3,             /* promql-binop-fill-modifiers */
        PROMQL_DELAYED_NAME_REMOVAL = 1 << 4,   /* promql-delayed-name-removal; the engine's */
} PromqlFeature;

#define PROMQL_TEXT_MAX ((size_t)1 << 20) /* longer queries are refused */
#define PROMQL_DEPTH_MAX 128u             /* nesting of expressions */

typedef struct ParseError {
        Place place;
        Buf text; /* "1:8: parse error: unexpected <)> ..." as Prometheus counts lines and columns; expected what */
} ParseError;

typedef struct Ast {
        Span text;   /* a copy */
        Expr *root;
        Arena arena;
        ArenaBudget budget;
        Matcher **matchers; /* those with a regex, freed with the tree */
        size_t n_matchers;
} Ast;

/* 0; -EINVAL with ret_error; -ENOMEM. Time and memory are linear in the text: depth over PROMQL_DEPTH_MAX is an error. */
int promql_parse(Span text, unsigned features, Ast **ret_ast, ParseError *ret_error) MUST_USE;
Ast *ast_free(Ast *a);
void parse_error_deinit(ParseError *e);

/* Puts numbers for start() and end() of `@` and for durations that are expressions, of a query over start..end with step
 * (0: an instant query). 0; -EINVAL with ret_error: a duration that came out as no positive number. */
int ast_resolve(Ast *a, int64_t start_ms, int64_t end_ms, int64_t step_ms, ParseError *ret_error) MUST_USE;

/* The expression in canonical form on one line; reading it gives the same tree. Without `place`s: for comparing subexpressions. */
void expr_print(const Expr *e, Buf *out);
/* As /api/v1/format_query has it: broken and indented where a line is over 100 columns. */
void expr_format(const Expr *e, Buf *out);
/* As /api/v1/parse_query has it: the tree as JSON. */
void expr_json(const Expr *e, Buf *out);
/* Matchers in the form {a="b"} or m{a=~"b"}: what match[] of series, labels, federate, remote read and delete takes. As promql_parse(),
 * but only a selector is accepted, and one that matches the empty set everywhere is refused as there. */
int promql_parse_selector(Span text, Ast **ret_ast, ParseError *ret_error) MUST_USE;
/* Line and column (from 1, columns in bytes) of a byte of the text. */
void place_line_column(Span text, uint32_t at, uint32_t *ret_line, uint32_t *ret_column);
