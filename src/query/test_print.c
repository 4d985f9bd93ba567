#include "query/ast.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static Span span_of(const char *text) {
        return (Span){ text, strlen(text) };
}

static void cleanup_ast(Ast **ast) {
        *ast = ast_free(*ast);
}

#define EVERYTHING ~0u

#include <jansson.h>

static Ast *parse(const char *text) {
        Ast *ast = NULL;
        ParseError error;
        assert_int_equal(promql_parse(span_of(text), EVERYTHING, &ast, &error), 0);
        return ast;
}

/* What fits into 100 columns stays; what does not is broken, operands and arguments indented. */
static void breaks_long_lines(void **state) {
        (void)state;
        static const struct {
                const char *text, *formatted;
        } CASES[] = {
                { "sum(foo)by(a)", "sum by (a) (foo)" },
                { "sum by (job, instance) (rate(http_requests_total{job=\"a\",path=\"/x\"}[5m])) / "
                  "sum by (job, instance) (rate(http_requests_seconds[5m]))",
                  "  sum by (job, instance) (rate(http_requests_total{job=\"a\",path=\"/x\"}[5m]))\n/\n"
                  "  sum by (job, instance) (rate(http_requests_seconds[5m]))" },
                { "topk(5, label_replace(a_rather_long_name_of_a_metric, \"destination\", \"$1\", \"source\", "
                  "\"(.*)-[0-9]+\") > "
                  "a_threshold)",
                  "topk(\n  5,\n    label_replace(a_rather_long_name_of_a_metric, \"destination\", \"$1\", \"source\", "
                  "\"(.*)-[0-9]+\")\n  >\n    a_threshold\n)" },
                { "max_over_time((a_rather_long_name_of_a_metric_number_one + on(label_one, label_two) group_left(l) "
                  "a_rather_long_name)[1h:5m])",
                  "max_over_time(\n  (\n      a_rather_long_name_of_a_metric_number_one\n    + on (label_one, "
                  "label_two) "
                  "group_left (l)\n      a_rather_long_name\n  )[1h:5m]\n)" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                CLEANUP(cleanup_ast) Ast *ast = parse(CASES[i].text);
                expr_format(ast->root, &b);
                assert_string_equal(buf_cstr(&b), CASES[i].formatted);
        }
}

/* Formatting a long chain costs no more than its length allows. */
static void formats_long_chains(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        buf_put_str(&text, "foo");
        for (size_t i = 0; i < 200; i++)
                buf_put_str(&text, " or foo");
        CLEANUP(cleanup_ast) Ast *ast = parse(buf_cstr(&text));
        CLEANUP(buf_deinit) Buf formatted = BUF_NULL;
        expr_format(ast->root, &formatted);
        CLEANUP(cleanup_ast) Ast *again = parse(buf_cstr(&formatted));
        buf_reset(&formatted);
        expr_print(again->root, &formatted);
        assert_string_equal(buf_cstr(&formatted), buf_cstr(&text));
}

static void assert_json(const char *text, const char *want) {
        CLEANUP(cleanup_ast) Ast *ast = parse(text);
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        expr_json(ast->root, &b);
        json_error_t error;
        json_t *got = json_loads(buf_cstr(&b), JSON_REJECT_DUPLICATES, &error), *wanted = json_loads(want, 0, &error);
        assert_non_null(got);
        assert_non_null(wanted);
        if (!json_equal(got, wanted)) {
                print_error("%s\n%s\n", text, buf_cstr(&b));
                fail();
        }
        json_decref(got);
        json_decref(wanted);
}

#define SELECTOR(name, matchers)                                                                                       \
        "{\"type\":\"vectorSelector\",\"name\":\"" name "\",\"offset\":0,\"matchers\":[" matchers                      \
        "],\"timestamp\":null,\"startOrEnd\":null,\"anchored\":false,\"smoothed\":false}"
#define NAME(name) "{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"" name "\"}"

static void json_of_leaves(void **state) {
        (void)state;
        assert_json("1.5", "{\"type\":\"numberLiteral\",\"val\":\"1.5\"}");
        assert_json("5m", "{\"type\":\"numberLiteral\",\"val\":\"300\"}");
        assert_json("-Inf", "{\"type\":\"numberLiteral\",\"val\":\"-Inf\"}");
        assert_json("\"a\\\"b\"", "{\"type\":\"stringLiteral\",\"val\":\"a\\\"b\"}");
        assert_json("foo", SELECTOR("foo", NAME("foo")));
        assert_json("{\"a.b\",c!~\"d\"}",
                    SELECTOR("", NAME("a.b") ",{\"name\":\"c\",\"type\":\"!~\",\"value\":\"d\"}"));
        assert_json(
                "foo[5m] @ 2 offset 1m",
                "{\"type\":\"matrixSelector\",\"name\":\"foo\",\"range\":300000,\"offset\":60000,\"matchers\":[" NAME(
                        "foo") "],\"timestamp\":2000,\"startOrEnd\":null,\"anchored\":false,\"smoothed\":false}");
}

static void json_of_nodes(void **state) {
        (void)state;
        assert_json(
                "foo[5m:1m] @ end()",
                "{\"type\":\"subquery\",\"expr\":" SELECTOR(
                        "foo", NAME("foo")) ",\"range\":300000,"
                                            "\"offset\":0,\"step\":60000,\"timestamp\":null,\"startOrEnd\":\"end\"}");
        assert_json("-(foo)",
                    "{\"type\":\"unaryExpr\",\"op\":\"-\",\"expr\":{\"type\":\"parenExpr\",\"expr\":" SELECTOR(
                            "foo", NAME("foo")) "}}");
        assert_json(
                "round(foo, 2)",
                "{\"type\":\"call\",\"func\":{\"name\":\"round\",\"argTypes\":[\"vector\",\"scalar\"],\"variadic\":1,"
                "\"returnType\":\"vector\"},\"args\":[" SELECTOR("foo", NAME("foo")) ",{\"type\":\"numberLiteral\","
                                                                                     "\"val\":\"2\"}]}");
        assert_json("sum by (a) (foo)",
                    "{\"type\":\"aggregation\",\"op\":\"sum\",\"expr\":" SELECTOR(
                            "foo", NAME("foo")) ",\"param\":null,\"grouping\":[\"a\"],\"without\":false}");
        assert_json("topk without () (1, foo)",
                    "{\"type\":\"aggregation\",\"op\":\"topk\",\"expr\":" SELECTOR(
                            "foo", NAME("foo")) ",\"param\":{\"type\":\"numberLiteral\",\"val\":\"1\"},\"grouping\":[],"
                                                "\"without\":true}");
        assert_json("1 > bool 2",
                    "{\"type\":\"binaryExpr\",\"op\":\">\",\"bool\":true,\"matching\":null,\"lhs\":{\"type\":"
                    "\"numberLiteral\",\"val\":\"1\"},\"rhs\":{\"type\":\"numberLiteral\",\"val\":\"2\"}}");
        assert_json(
                "foo / on(a) group_left(b) fill_right(0.5) bar",
                "{\"type\":\"binaryExpr\",\"op\":\"/\",\"bool\":false,\"lhs\":" SELECTOR(
                        "foo", NAME("foo")) ",\"rhs\":" SELECTOR("bar",
                                                                 NAME("bar")) ",\"matching\":{\"card\":\"many-to-one\","
                                                                              "\"labels\":[\"a\"],\"on\":true,"
                                                                              "\"include\":[\"b\"],\"fillValues\":{"
                                                                              "\"lhs\":null,\"rhs\":0.5}}}");
}

/* ---- Durations and times of the query ---- */

static const SelectorExpr *resolved(Ast *ast, int64_t step) {
        ParseError error;
        assert_int_equal(ast_resolve(ast, 100000, 3700000, step, &error), 0);
        assert_int_equal(ast->root->kind, EXPR_SELECTOR);
        return &ast->root->selector;
}

static void resolves_durations(void **state) {
        (void)state;
        static const struct {
                const char *range;
                int64_t ms;
        } CASES[] = {
                { "5m", 300000 },
                { "5m+30s", 330000 },
                { "2*1m", 120000 },
                { "10m-1m*3", 420000 },
                { "(10m-1m)*3", 1620000 },
                { "1h/7", 514285 },
                { "7m%4m", 180000 },
                { "2^3^2", 512000 },
                { "step()", 15000 },
                { "range()", 3600000 },
                { "min_of(5m,step())", 15000 },
                { "max(5m,step())", 300000 },
                { "-step()+1m", 45000 },
                { "range()/4", 900000 },
                { "0.5*1s", 500 },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf text = BUF_NULL;
                buf_printf(&text, "foo[%s]", CASES[i].range);
                CLEANUP(cleanup_ast) Ast *ast = parse(buf_cstr(&text));
                assert_int_equal(resolved(ast, 15000)->range_ms, CASES[i].ms);
        }
}

static void resolves_again(void **state) {
        (void)state;
        CLEANUP(cleanup_ast) Ast *ast = parse("foo[step()] @ end() offset -(step() * 2)");
        const SelectorExpr *s = resolved(ast, 10000);
        assert_int_equal(s->range_ms, 10000);
        assert_int_equal(s->when.offset_ms, -20000);
        assert_int_equal(s->when.at_ms, 3700000);
        s = resolved(ast, 60000);
        assert_int_equal(s->range_ms, 60000);
        assert_int_equal(s->when.offset_ms, -120000);
        CLEANUP(cleanup_ast) Ast *start = parse("foo @ start()");
        assert_int_equal(resolved(start, 1)->when.at_ms, 100000);
}

static void resolves_inside(void **state) {
        (void)state;
        CLEANUP(cleanup_ast) Ast *ast = parse("1 + -(sum(max_over_time(foo[step()*4:step()] offset step())))");
        ParseError error;
        assert_int_equal(ast_resolve(ast, 0, 0, 5000, &error), 0);
        const Expr *sum = ast->root->binary.right->unary.inner->paren;
        const SubqueryExpr *s = &sum->aggregate.inner->call.args[0]->subquery;
        assert_int_equal(s->range_ms, 20000);
        assert_int_equal(s->step_ms, 5000);
        assert_int_equal(s->when.offset_ms, 5000);
}

static void refuses_durations(void **state) {
        (void)state;
        static const struct {
                const char *text, *error;
        } CASES[] = {
                { "foo[step()]", "1:5: duration must be greater than 0" },
                { "1 +\nrate(foo[1m-2m])", "2:10: duration must be greater than 0" },
                { "foo[5m:step()-1s]", "1:8: duration must be greater than 0" },
                { "foo[1m/step()]", "1:5: division by zero" },
                { "foo[1m%step()]", "1:5: modulo by zero" },
                { "foo[200y+200y]", "1:5: duration is out of range" },
                { "foo offset (10^100)", "1:12: duration is out of range" },
                { "foo[(0-1)^0.5]", "1:5: duration is out of range" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(cleanup_ast) Ast *ast = parse(CASES[i].text);
                CLEANUP(parse_error_deinit) ParseError error;
                assert_int_equal(ast_resolve(ast, 0, 0, 0, &error), -EINVAL);
                assert_string_equal(buf_cstr(&error.text), CASES[i].error);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(breaks_long_lines),  cmocka_unit_test(formats_long_chains),
                cmocka_unit_test(json_of_leaves),     cmocka_unit_test(json_of_nodes),
                cmocka_unit_test(resolves_durations), cmocka_unit_test(resolves_again),
                cmocka_unit_test(resolves_inside),    cmocka_unit_test(refuses_durations),
        };
        return cmocka_run_group_tests_name("expressions are printed, and resolved for a query", tests, NULL, NULL);
}
