#include "query/ast.h"

#include "query/ast_priv.h"

#include <assert.h>

const char *expr_type_name(ExprType t) {
        static const char *const NAMES[] = {
                [TYPE_SCALAR] = "scalar",
                [TYPE_VECTOR] = "instant vector",
                [TYPE_MATRIX] = "range vector",
                [TYPE_STRING] = "string",
        };
        assert(t < ARRAY_LEN(NAMES));
        return NAMES[t];
}

const char *type_word(ExprType t) {
        static const char *const NAMES[] = {
                [TYPE_SCALAR] = "scalar",
                [TYPE_VECTOR] = "vector",
                [TYPE_MATRIX] = "matrix",
                [TYPE_STRING] = "string",
        };
        assert(t < ARRAY_LEN(NAMES));
        return NAMES[t];
}

#define ARGS(...) { __VA_ARGS__ }, sizeof((ExprType[]){ __VA_ARGS__ }) / sizeof(ExprType)
#define NO_ARGS { 0 }, 0
#define FUNCTION(id, name, args, variadic, returns, experimental)                                                      \
        [FUNCTION_##id] = { name, args, variadic, returns, experimental },
static const FunctionInfo FUNCTIONS[FUNCTION_COUNT] = {
#include "query/functions.def"
};
#undef FUNCTION

const FunctionInfo *function_info(FunctionId f) {
        assert(f < FUNCTION_COUNT);
        return &FUNCTIONS[f];
}

bool function_find(Span name, FunctionId *ret_f) {
        for (size_t i = 0; i < FUNCTION_COUNT; i++) {
                if (!span_is(name, FUNCTIONS[i].name))
                        continue;
                *ret_f = (FunctionId)i;
                return true;
        }
        return false;
}

const char *aggregate_name(AggregateOp op) {
        static const char *const NAMES[AGGREGATE_COUNT_OPS] = {
                "sum",    "avg",  "count",   "min",          "max",      "group",  "stddev",
                "stdvar", "topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio",
        };
        assert(op < AGGREGATE_COUNT_OPS);
        return NAMES[op];
}

bool aggregate_has_param(AggregateOp op) {
        return op == AGGREGATE_TOPK || op == AGGREGATE_BOTTOMK || op == AGGREGATE_COUNT_VALUES ||
               op == AGGREGATE_QUANTILE || op == AGGREGATE_LIMITK || op == AGGREGATE_LIMIT_RATIO;
}

const char *binary_name(BinaryOp op) {
        static const char *const NAMES[BINARY_OP_COUNT] = {
                "+", "-", "*",  "/",  "%",   "^",  "atan2",  "==", "!=",
                ">", "<", ">=", "<=", "and", "or", "unless", "</", ">/",
        };
        assert(op < BINARY_OP_COUNT);
        return NAMES[op];
}

const char *match_type_name(MatchType t) {
        switch (t) {
        case MATCH_EQUAL: return "=";
        case MATCH_NOT_EQUAL: return "!=";
        case MATCH_REGEX: return "=~";
        case MATCH_NOT_REGEX: return "!~";
        }
        assert(!"a type of matcher");
        return "";
}

Ast *ast_free(Ast *a) {
        if (!a)
                return NULL;
        for (size_t i = 0; i < a->n_matchers; i++)
                matcher_deinit(a->matchers[i]);
        free(a->matchers);
        arena_deinit(&a->arena);
        free(a);
        return NULL;
}

void parse_error_deinit(ParseError *e) {
        buf_deinit(&e->text);
        *e = (ParseError){ 0 };
}

void place_line_column(Span text, uint32_t at, uint32_t *ret_line, uint32_t *ret_column) {
        uint32_t line = 1, column = 1;
        for (uint32_t i = 0; i < at && i < text.len; i++) {
                column++;
                if (text.text[i] == '\n') {
                        line++;
                        column = 1;
                }
        }
        *ret_line = line;
        *ret_column = column;
}
