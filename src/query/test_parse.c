#include "query/ast.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static Span span_of(const char *text) {
        return (Span){ text, strlen(text) };
}

/* The canonical form of an expression, or its error. */
static const char *outcome(const char *text, unsigned features, Buf *out) {
        Ast *ast = NULL;
        ParseError error;
        buf_reset(out);
        if (promql_parse(span_of(text), features, &ast, &error) < 0) {
                buf_put(out, error.text.data, error.text.len);
                parse_error_deinit(&error);
                return buf_cstr(out);
        }
        expr_print(ast->root, out);
        (void)ast_free(ast);
        return buf_cstr(out);
}

typedef struct Case {
        const char *text, *outcome;
} Case;

static const Case CASES[] = {
        { "1", "1" },
        { "a+b", "a + b" },
        { "sum(a) by (x)", "sum by (x) (a)" },
        { "rate(a[5m] offset 1h)", "rate(a[5m] offset 1h)" },
        { "-2^2", "-2 ^ 2" },
        { "1)", "1:3: parse error: unexpected right parenthesis ')'" },
        { "sum(1+)", "1:7: parse error: unexpected \")\" in aggregation" },
        { "rate(foo)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector" },
};

static void prints_or_refuses(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_string_equal(outcome(CASES[i].text, ~0u, &b), CASES[i].outcome);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(prints_or_refuses),
        };
        return cmocka_run_group_tests_name("PromQL is read as Prometheus reads it", tests, NULL, NULL);
}
