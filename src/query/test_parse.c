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

static Ast *parse(Span text, unsigned features) {
        Ast *ast = NULL;
        ParseError error;
        if (promql_parse(text, features, &ast, &error) < 0) {
                print_error("%s\n%s\n", text.text, buf_cstr(&error.text));
                parse_error_deinit(&error);
                fail();
        }
        return ast;
}

/* Expressions and their canonical form. */
static const struct {
        const char *text, *canonical;
} CASES[] = {
        { "1", "1" },
        { "0", "0" },
        { "-1", "-1" },
        { "+1", "1" },
        { "- -1", "1" },
        { "1.5", "1.5" },
        { ".5", "0.5" },
        { "5.", "5" },
        { "1e3", "1000" },
        { "1E-3", "0.001" },
        { "1.5e+2", "150" },
        { "0x1F", "31" },
        { "0XfF", "255" },
        { "0x_1F", "31" },
        { "017", "15" },
        { "089", "89" },
        { "1_000", "1000" },
        { "1_000.5", "1000.5" },
        { "Inf", "+Inf" },
        { "+inf", "+Inf" },
        { "-INF", "-Inf" },
        { "NaN", "NaN" },
        { "nan", "NaN" },
        { "2 ^ Inf ^ 3", "2 ^ Inf ^ 3" },
        { "5m", "5m" },
        { "1h30m", "1h30m" },
        { "1d12h", "1d12h" },
        { "90d", "90d" },
        { "12w6d", "90d" },
        { "1y", "1y" },
        { "-5m", "-5m" },
        { "1500ms", "1s500ms" },
        { "1e-400", "0" },
        { "100000000000000000000000", "100000000000000000000000" },
        { "0.000001", "0.000001" },
        { "\"text\"", "\"text\"" },
        { "\"a\\tb\\\\\\\"c\"", "\"a\\tb\\\\\\\"c\"" },
        { "'a\\'b\"c'", "\"a'b\\\"c\"" },
        { "`raw \\n \"x\"`", "\"raw \\\\n \\\"x\\\"\"" },
        { "\"\\x41\\101\\u00e9\\U0001F600\"", "\"AAé😀\"" },
        { "\"naïve ☃\"", "\"naïve ☃\"" },
        { "foo", "foo" },
        { "foo:bar", "foo:bar" },
        { ":foo", ":foo" },
        { "_", "_" },
        { "foo{}", "foo" },
        { "foo{a=\"b\"}", "foo{a=\"b\"}" },
        { "foo{a=\"b\",}", "foo{a=\"b\"}" },
        { "foo{ a = \"b\" , c!=\"d\", e=~\"f.*\", g!~\"h|i\" }", "foo{a=\"b\",c!=\"d\",e=~\"f.*\",g!~\"h|i\"}" },
        { "{a=\"b\"}", "{a=\"b\"}" },
        { "{__name__=\"foo\"}", "{__name__=\"foo\"}" },
        { "{__name__=~\"foo.*\", a=\"\"}", "{__name__=~\"foo.*\",a=\"\"}" },
        { "{\"my.metric\"}", "{\"my.metric\"}" },
        { "{\"my.metric\", a=\"b\"}", "{\"my.metric\",a=\"b\"}" },
        { "{a=\"b\", \"my.metric\"}", "{\"my.metric\",a=\"b\"}" },
        { "{\"a.b\"=\"c\"}", "{\"a.b\"=\"c\"}" },
        { "{\"plain\"}", "{\"plain\"}" },
        { "foo{\"a b\"='c', `d`=\"e\"}", "foo{\"a b\"=\"c\",d=\"e\"}" },
        { "foo{b=\"2\",a=\"1\"}", "foo{a=\"1\",b=\"2\"}" },
        { "foo{on=\"a\",by=\"b\",bool=\"c\",offset=\"d\",sum=\"e\",and=\"f\",inf=\"g\"}",
          "foo{and=\"f\",bool=\"c\",by=\"b\",inf=\"g\",offset=\"d\",on=\"a\",sum=\"e\"}" },
        { "sum", "sum" },
        { "sum{a=\"b\"}", "sum{a=\"b\"}" },
        { "min", "min" },
        { "max + avg", "max + avg" },
        { "by", "by" },
        { "without", "without" },
        { "offset", "offset" },
        { "and", "and" },
        { "or", "or" },
        { "unless", "unless" },
        { "or or or", "or or or" },
        { "start", "start" },
        { "end", "end" },
        { "step", "step" },
        { "range", "range" },
        { "anchored", "anchored" },
        { "smoothed", "smoothed" },
        { "limitk", "limitk" },
        { "fill + fill", "fill + fill" },
        { "fill_left", "fill_left" },
        { "count_values", "count_values" },
        { "topk{a=\"b\"}", "topk{a=\"b\"}" },
        { "Sum(foo)", "sum(foo)" },
        { "SUM BY (a) (foo)", "sum by (a) (foo)" },
        { "foo AND bar", "foo and bar" },
        { "foo OFFSET 5m", "foo offset 5m" },
        { "foo[5m]", "foo[5m]" },
        { "foo[ 5m ]", "foo[5m]" },
        { "foo[300]", "foo[5m]" },
        { "foo[0.5]", "foo[500ms]" },
        { "foo{a=\"b\"}[1h30m]", "foo{a=\"b\"}[1h30m]" },
        { "foo offset 5m", "foo offset 5m" },
        { "foo offset -5m", "foo offset -5m" },
        { "foo offset 90", "foo offset 1m30s" },
        { "foo offset -1.5", "foo offset -1s500ms" },
        { "foo[5m] offset 1d", "foo[5m] offset 1d" },
        { "foo @ 10", "foo @ 10.000" },
        { "foo @ 10.5", "foo @ 10.500" },
        { "foo @ -10", "foo @ -10.000" },
        { "foo @ +10", "foo @ 10.000" },
        { "foo @ 1603774568", "foo @ 1603774568.000" },
        { "foo @ 5m", "foo @ 300.000" },
        { "foo @ start()", "foo @ start()" },
        { "foo @ end()", "foo @ end()" },
        { "foo @ end ( )", "foo @ end()" },
        { "foo @ 10 offset 5m", "foo @ 10.000 offset 5m" },
        { "foo offset 5m @ 10", "foo @ 10.000 offset 5m" },
        { "foo[5m] @ start() offset 5m", "foo[5m] @ start() offset 5m" },
        { "foo[5m:]", "foo[5m:]" },
        { "foo[5m:1m]", "foo[5m:1m]" },
        { "foo[5m:30]", "foo[5m:30s]" },
        { "foo[1h:1m] offset 5m", "foo[1h:1m] offset 5m" },
        { "foo[1h:1m] @ 10 offset -5m", "foo[1h:1m] @ 10.000 offset -5m" },
        { "foo[1h:1m] offset 5m @ end()", "foo[1h:1m] @ end() offset 5m" },
        { "foo offset 5m [10m:1m]", "foo offset 5m[10m:1m]" },
        { "foo @ 5 [10m:]", "foo @ 5.000[10m:]" },
        { "(foo)[5m:]", "(foo)[5m:]" },
        { "(foo + bar)[5m:1m]", "(foo + bar)[5m:1m]" },
        { "sum(foo)[5m:]", "sum(foo)[5m:]" },
        { "rate(foo[5m])[1h:1m]", "rate(foo[5m])[1h:1m]" },
        { "max_over_time(rate(foo[5m])[1h:1m])", "max_over_time(rate(foo[5m])[1h:1m])" },
        { "-foo", "-foo" },
        { "+foo", "+foo" },
        { "- -foo", "--foo" },
        { "-sum(foo)", "-sum(foo)" },
        { "-(1)", "-(1)" },
        { "foo + bar", "foo + bar" },
        { "foo - bar", "foo - bar" },
        { "foo*bar", "foo * bar" },
        { "foo/bar", "foo / bar" },
        { "foo%bar", "foo % bar" },
        { "foo^bar", "foo ^ bar" },
        { "foo atan2 bar", "foo atan2 bar" },
        { "foo == bar", "foo == bar" },
        { "foo != bar", "foo != bar" },
        { "foo > bar", "foo > bar" },
        { "foo < bar", "foo < bar" },
        { "foo >= bar", "foo >= bar" },
        { "foo <= bar", "foo <= bar" },
        { "foo and bar", "foo and bar" },
        { "foo or bar", "foo or bar" },
        { "foo unless bar", "foo unless bar" },
        { "foo </ 0.5", "foo </ 0.5" },
        { "foo >/ bar", "foo >/ bar" },
        { "1 + 2 * 3", "1 + 2 * 3" },
        { "(1 + 2) * 3", "(1 + 2) * 3" },
        { "1 + 2 + 3", "1 + 2 + 3" },
        { "2 ^ 3 ^ 2", "2 ^ 3 ^ 2" },
        { "-2 ^ 2", "-2 ^ 2" },
        { "2 ^ -1", "2 ^ -1" },
        { "2 ^ -1 * 3", "2 ^ -1 * 3" },
        { "2 ^ -1 ^ 3", "2 ^ -1 ^ 3" },
        { "-1 * 2", "-1 * 2" },
        { "1 - -1", "1 - -1" },
        { "1 atan2 2 * 3", "1 atan2 2 * 3" },
        { "foo or bar and baz unless qux", "foo or bar and baz unless qux" },
        { "a + b > c or d", "a + b > c or d" },
        { "a > bool 1", "a > bool 1" },
        { "1 == bool 1", "1 == bool 1" },
        { "1 < bool 2 - 1", "1 < bool 2 - 1" },
        { "a > bool on(x) b", "a > bool on (x) b" },
        { "a == b != c", "a == b != c" },
        { "foo + on() bar", "foo + on () bar" },
        { "foo + on(a) bar", "foo + on (a) bar" },
        { "foo + on(a,b,) bar", "foo + on (a, b) bar" },
        { "foo + ignoring() bar", "foo + bar" },
        { "foo + ignoring(a, b) bar", "foo + ignoring (a, b) bar" },
        { "foo / on(a) group_left bar", "foo / on (a) group_left () bar" },
        { "foo / on(a) group_left() bar", "foo / on (a) group_left () bar" },
        { "foo / on(a) group_left(b, c) bar", "foo / on (a) group_left (b, c) bar" },
        { "foo / ignoring(a) group_right(b) bar", "foo / ignoring (a) group_right (b) bar" },
        { "foo and on(a) bar", "foo and on (a) bar" },
        { "foo unless ignoring(a) bar", "foo unless ignoring (a) bar" },
        { "foo + on(\"a b\", sum, by) bar", "foo + on (\"a b\", sum, by) bar" },
        { "foo + fill(0) bar", "foo + fill (0) bar" },
        { "foo + fill(-1.5) bar", "foo + fill (-1.5) bar" },
        { "foo + fill(5m) bar", "foo + fill (300) bar" },
        { "foo + on(a) fill_left(1) bar", "foo + on (a) fill_left (1) bar" },
        { "foo + fill_right(2) bar", "foo + fill_right (2) bar" },
        { "foo + ignoring(a) group_left(b) fill_left(1) fill_right(2) bar",
          "foo + ignoring (a) group_left (b) fill_left (1) fill_right (2) bar" },
        { "foo + fill_right(2) fill_left(1) bar", "foo + fill_left (1) fill_right (2) bar" },
        { "foo + fill_left(3) fill_right(3) bar", "foo + fill (3) bar" },
        { "foo + fill(NaN) bar", "foo + fill (NaN) bar" },
        { "1 + on() foo", "1 + foo" },
        { "sum(foo)", "sum(foo)" },
        { "sum (foo)", "sum(foo)" },
        { "sum by (a) (foo)", "sum by (a) (foo)" },
        { "sum by (a, b) (foo)", "sum by (a, b) (foo)" },
        { "sum by () (foo)", "sum(foo)" },
        { "sum(foo) by (a)", "sum by (a) (foo)" },
        { "sum(foo) by (a,)", "sum by (a) (foo)" },
        { "avg without (a) (foo)", "avg without (a) (foo)" },
        { "avg(foo) without (a)", "avg without (a) (foo)" },
        { "avg without () (foo)", "avg without () (foo)" },
        { "count by (\"a.b\", sum) (foo)", "count by (\"a.b\", sum) (foo)" },
        { "min(foo)", "min(foo)" },
        { "max(foo)", "max(foo)" },
        { "group(foo)", "group(foo)" },
        { "stddev(foo)", "stddev(foo)" },
        { "stdvar(foo)", "stdvar(foo)" },
        { "topk(5, foo)", "topk(5, foo)" },
        { "bottomk by (a) (5, foo)", "bottomk by (a) (5, foo)" },
        { "topk(5, foo) by (a)", "topk by (a) (5, foo)" },
        { "topk(scalar(bar), foo)", "topk(scalar(bar), foo)" },
        { "count_values(\"v\", foo)", "count_values(\"v\", foo)" },
        { "quantile(0.9, foo)", "quantile(0.9, foo)" },
        { "limitk(2, foo)", "limitk(2, foo)" },
        { "limit_ratio(-0.5, foo)", "limit_ratio(-0.5, foo)" },
        { "sum(sum by (a) (foo)) / 2", "sum(sum by (a) (foo)) / 2" },
        { "sum(foo) by (a) + sum(bar) by (a)", "sum by (a) (foo) + sum by (a) (bar)" },
        { "(sum(foo))", "(sum(foo))" },
        { "time()", "time()" },
        { "pi()", "pi()" },
        { "vector(1)", "vector(1)" },
        { "scalar(foo)", "scalar(foo)" },
        { "abs(foo)", "abs(foo)" },
        { "round(foo)", "round(foo)" },
        { "round(foo, 5)", "round(foo, 5)" },
        { "clamp(foo, 1, 2)", "clamp(foo, 1, 2)" },
        { "hour()", "hour()" },
        { "hour(foo)", "hour(foo)" },
        { "day_of_month(vector(time()))", "day_of_month(vector(time()))" },
        { "absent(foo{a=\"b\"})", "absent(foo{a=\"b\"})" },
        { "absent_over_time(foo[5m])", "absent_over_time(foo[5m])" },
        { "rate(foo[5m])", "rate(foo[5m])" },
        { "increase(foo[1h] offset 1h)", "increase(foo[1h] offset 1h)" },
        { "quantile_over_time(0.5, foo[5m])", "quantile_over_time(0.5, foo[5m])" },
        { "predict_linear(foo[1h], 3600)", "predict_linear(foo[1h], 3600)" },
        { "histogram_quantile(0.9, sum by (le) (rate(foo_bucket[5m])))",
          "histogram_quantile(0.9, sum by (le) (rate(foo_bucket[5m])))" },
        { "histogram_fraction(0, 0.2, foo)", "histogram_fraction(0, 0.2, foo)" },
        { "histogram_quantiles(foo, \"q\", 0.5, 0.9, 0.99)", "histogram_quantiles(foo, \"q\", 0.5, 0.9, 0.99)" },
        { "label_replace(foo, \"a\", \"$1\", \"b\", \"(.*)\")", "label_replace(foo, \"a\", \"$1\", \"b\", \"(.*)\")" },
        { "label_join(foo, \"a\", \"-\", \"b\", \"c\")", "label_join(foo, \"a\", \"-\", \"b\", \"c\")" },
        { "label_join(foo, \"a\", \"-\")", "label_join(foo, \"a\", \"-\")" },
        { "sort_by_label(foo, \"a\", \"b\")", "sort_by_label(foo, \"a\", \"b\")" },
        { "sort_by_label(foo)", "sort_by_label(foo)" },
        { "double_exponential_smoothing(foo[5m], 0.5, 0.5)", "double_exponential_smoothing(foo[5m], 0.5, 0.5)" },
        { "info(foo)", "info(foo)" },
        { "info(foo, {a=\"b\"})", "info(foo, {a=\"b\"})" },
        { "info(foo, {})", "info(foo, {})" },
        { "info(foo, {\"target_info\"})", "info(foo, {\"target_info\"})" },
        { "start()", "start()" },
        { "end() - start()", "end() - start()" },
        { "step()", "step()" },
        { "range()", "range()" },
        { "ts_of_max_over_time(foo[5m])", "ts_of_max_over_time(foo[5m])" },
        { "foo anchored", "foo anchored" },
        { "foo[5m] anchored", "foo[5m] anchored" },
        { "foo[5m] smoothed", "foo[5m] smoothed" },
        { "foo[5m] smoothed @ 5 offset 1m", "foo[5m] smoothed @ 5.000 offset 1m" },
        { "rate(foo[5m] anchored)", "rate(foo[5m] anchored)" },
        { "foo smoothed", "foo smoothed" },
        { "foo[1m + 1m]", "foo[1m + 1m]" },
        { "foo[1m * 2 - 30s]", "foo[1m * 2 - 30s]" },
        { "foo[2m / 2]", "foo[2m / 2]" },
        { "foo[90s % 1m]", "foo[1m30s % 1m]" },
        { "foo[2 ^ 3 ^ 1]", "foo[2 ^ 3 ^ 1]" },
        { "foo[(1m + 1m) * 2]", "foo[(1m + 1m) * 2]" },
        { "foo[((5m))]", "foo[(5m)]" },
        { "foo[step()]", "foo[step()]" },
        { "foo[-step() + 10m]", "foo[-step() + 10m]" },
        { "foo[range()]", "foo[range()]" },
        { "foo[min_of(5m, step())]", "foo[min_of(5m, step())]" },
        { "foo[max(5m, range() / 4):min(step(), 1m)]", "foo[max_of(5m, range() / 4):min_of(step(), 1m)]" },
        { "foo[5m:step()]", "foo[5m:step()]" },
        { "foo offset step()", "foo offset step()" },
        { "foo offset -step()", "foo offset -step()" },
        { "foo offset (5m + 1m)", "foo offset (5m + 1m)" },
        { "foo offset -(5m + 1m)", "foo offset -(5m + 1m)" },
        { "foo offset (5m) + 1m", "foo offset (5m) + 1m" },
        { "foo offset 5m + 1m", "foo offset 5m + 1m" },
        { "foo offset -2 ^ 2", "foo offset -2s ^ 2" },
        { "foo offset max_of(step(), 5m)", "foo offset max_of(step(), 5m)" },
        { "foo offset -min_of(5s, step() + 8s)", "foo offset -min_of(5s, step() + 8s)" },
        { "foo[- - 5m]", "foo[5m]" },
        { "foo # comment", "foo" },
        { "# comment\nfoo # another\n+ # third\nbar", "foo + bar" },
        { "foo{a=\"b\" # inside\n}", "foo{a=\"b\"}" },
        { "foo[5m # in brackets\n]", "foo[5m]" },
        { " \t\r\nfoo\n", "foo" },
        { "foo offset 5", "foo offset 5s" },
        { "sum", "sum" },
        { "rate", "rate" },
};

static void prints_canonically(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                CLEANUP(cleanup_ast) Ast *ast = parse(span_of(CASES[i].text), EVERYTHING);
                expr_print(ast->root, &b);
                assert_string_equal(buf_cstr(&b), CASES[i].canonical);
        }
}

static void reads_what_it_prints(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                CLEANUP(cleanup_ast) Ast *ast = parse(span_of(CASES[i].canonical), EVERYTHING);
                expr_print(ast->root, &b);
                assert_string_equal(buf_cstr(&b), CASES[i].canonical);
                assert_int_equal(ast->root->place.begin, 0);
                assert_int_equal(ast->root->place.end, strlen(CASES[i].canonical));
        }
}

/* Many of a kind, one behind the other or one in the other: an error or a tree, quickly, never a stack that ends. */
static int parse_repeated(const char *before, const char *between, const char *after, size_t n, const char *want) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        for (size_t i = 0; i < n; i++)
                buf_put_str(&text, before);
        buf_put_str(&text, between);
        for (size_t i = 0; i < n; i++)
                buf_put_str(&text, after);
        CLEANUP(cleanup_ast) Ast *ast = NULL;
        ParseError error;
        int r = promql_parse((Span){ text.data, text.len }, EVERYTHING, &ast, &error);
        if (r < 0 && !strstr(buf_cstr(&error.text), want))
                fail_msg("%s", buf_cstr(&error.text));
        parse_error_deinit(&error);
        return r;
}

static void depth_is_limited(void **state) {
        (void)state;
        static const struct {
                const char *before, *between, *after;
        } NESTS[] = {
                { "(", "foo", ")" },    { "-", "foo", "" },          { "sum(", "foo", ")" },
                { "abs(", "foo", ")" }, { "2^", "2", "" },           { "foo[", "(5m)", "]" },
                { "foo[5m:", "", "" },  { "foo offset -(", "", "" }, { "-(", "foo", ")" },
        };
        for (size_t i = 0; i < ARRAY_LEN(NESTS); i++) {
                assert_int_equal(
                        parse_repeated(NESTS[i].before, NESTS[i].between, NESTS[i].after, 100000, "parse error"),
                        -EINVAL);
        }
        assert_int_equal(parse_repeated("(", "foo", ")", PROMQL_DEPTH_MAX, ""), 0);
        assert_int_equal(parse_repeated("(", "foo", ")", PROMQL_DEPTH_MAX + 1, "nested too deeply, at most 128"),
                         -EINVAL);
        assert_int_equal(parse_repeated("foo[(", "5m", ")]", 1, ""), 0);
        assert_int_equal(parse_repeated("", "1", "^-1", 100000, "nested too deeply"), -EINVAL);
}

static void chains_are_limited(void **state) {
        (void)state;
        assert_int_equal(parse_repeated("foo", "", " or foo", 1, ""), 0);
        assert_int_equal(parse_repeated("", "foo", " or foo", 1000, ""), 0);
        assert_int_equal(parse_repeated("", "foo", " or foo", 100000, "at most 1024 operators"), -EINVAL);
        assert_int_equal(parse_repeated("", "foo", "[5m:]", 1023, "subquery is only allowed"), -EINVAL);
        assert_int_equal(parse_repeated("", "foo", "[5m:]", 100000, "at most 1024 operators"), -EINVAL);
        assert_int_equal(parse_repeated("", "sum by (a", ",a", 100000, "unclosed left parenthesis"), -EINVAL);
}

static void text_and_regexes_are_limited(void **state) {
        (void)state;
        assert_int_equal(parse_repeated("#", "\n1", "", PROMQL_TEXT_MAX - 2, ""), 0);
        assert_int_equal(parse_repeated("#", "\n1", "", PROMQL_TEXT_MAX - 1, "longer than 1048576 bytes"), -EINVAL);
        assert_int_equal(parse_repeated("", "{a=~\"x\"", ",a=~\"x\"", 1000, "unexpected end"), -EINVAL);
        assert_int_equal(parse_repeated("", "abs(1", ",1", 500000, "more than 64 MiB"), -EINVAL);
        CLEANUP(buf_deinit) Buf many = BUF_NULL;
        buf_put_str(&many, "{a=~\"x\"");
        for (size_t i = 0; i < 1024; i++)
                buf_put_str(&many, ",a=~\"x\"");
        buf_put_char(&many, '}');
        Ast *ast = NULL;
        ParseError error;
        assert_int_equal(promql_parse((Span){ many.data, many.len }, 0, &ast, &error), -EINVAL);
        assert_non_null(strstr(buf_cstr(&error.text), "more than 1024 regular expressions"));
        parse_error_deinit(&error);
}

/* Every beginning of an expression: an error or a tree, and nothing read beyond. */
static void takes_every_beginning(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                size_t n = strlen(CASES[i].text);
                for (size_t len = 0; len <= n; len++) {
                        CLEANUP_FREE char *copy = malloc(len ? len : 1);
                        assert_non_null(copy);
                        memcpy(copy, CASES[i].text, len);
                        CLEANUP(cleanup_ast) Ast *ast = NULL;
                        ParseError error;
                        if (promql_parse((Span){ copy, len }, EVERYTHING, &ast, &error) < 0)
                                assert_true(error.place.end <= len);
                        parse_error_deinit(&error);
                }
        }
}

static void knows_matchers_and_times(void **state) {
        (void)state;
        CLEANUP(cleanup_ast) Ast *ast = parse(span_of("foo{a=~\"b.*\",\"c d\"!=\"e\"}[5m] @ 1.5 offset -2s"), 0);
        const SelectorExpr *s = &ast->root->selector;
        assert_int_equal(ast->root->kind, EXPR_SELECTOR);
        assert_int_equal(ast->root->type, TYPE_MATRIX);
        assert_int_equal(s->n_matchers, 3);
        assert_true(span_is(s->metric, "foo") && !s->metric_quoted);
        assert_true(span_is(s->matchers[1].name, "c d") && s->matchers[1].type == MATCH_NOT_EQUAL);
        assert_true(matcher_matches(&s->matchers[0], span_of("bcd")));
        assert_false(matcher_matches(&s->matchers[0], span_of("abc")));
        assert_int_equal(s->range_ms, 300000);
        assert_int_equal(s->when.at, AT_TIME);
        assert_int_equal(s->when.at_ms, 1500);
        assert_int_equal(s->when.offset_ms, -2000);
}

static void knows_types(void **state) {
        (void)state;
        static const struct {
                const char *text;
                ExprType type;
        } TYPES[] = {
                { "1", TYPE_SCALAR },
                { "\"x\"", TYPE_STRING },
                { "foo", TYPE_VECTOR },
                { "foo[5m]", TYPE_MATRIX },
                { "foo[5m:]", TYPE_MATRIX },
                { "1 + 1", TYPE_SCALAR },
                { "1 + foo", TYPE_VECTOR },
                { "(1)", TYPE_SCALAR },
                { "-foo", TYPE_VECTOR },
                { "time()", TYPE_SCALAR },
                { "rate(foo[5m])", TYPE_VECTOR },
                { "sum(foo)", TYPE_VECTOR },
                { "1 > bool 2", TYPE_SCALAR },
                { "scalar(foo) * 2", TYPE_SCALAR },
        };
        for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
                CLEANUP(cleanup_ast) Ast *ast = parse(span_of(TYPES[i].text), 0);
                assert_int_equal(ast->root->type, TYPES[i].type);
        }
        CLEANUP(cleanup_ast) Ast *set = parse(span_of("foo and on(a) bar"), 0);
        assert_int_equal(set->root->binary.card, CARD_MANY_TO_MANY);
}

static void reads_selectors_alone(void **state) {
        (void)state;
        static const struct {
                const char *text, *outcome;
        } SELECTORS[] = {
                { "foo", "foo" },
                { "{a=\"b\"}", "{a=\"b\"}" },
                { "{\"a.b\"}", "{\"a.b\"}" },
                { "sum{a=\"b\"}", "sum{a=\"b\"}" },
                { "", "1:1: parse error: unexpected end of input" },
                { "1", "1:1: parse error: unexpected number \"1\"" },
                { "foo[5m]", "1:4: parse error: unexpected \"[\"" },
                { "foo offset 5m", "1:5: parse error: unexpected <offset>" },
                { "sum(foo)", "1:4: parse error: unexpected \"(\"" },
                { "{}", "1:1: parse error: vector selector must contain at least one non-empty matcher" },
                { "{a=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher" },
        };
        for (size_t i = 0; i < ARRAY_LEN(SELECTORS); i++) {
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                CLEANUP(cleanup_ast) Ast *ast = NULL;
                ParseError error;
                if (promql_parse_selector(span_of(SELECTORS[i].text), &ast, &error) == 0)
                        expr_print(ast->root, &b);
                else
                        buf_put(&b, error.text.data, error.text.len);
                parse_error_deinit(&error);
                assert_string_equal(buf_cstr(&b), SELECTORS[i].outcome);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(prints_canonically),       cmocka_unit_test(reads_what_it_prints),
                cmocka_unit_test(takes_every_beginning),    cmocka_unit_test(depth_is_limited),
                cmocka_unit_test(chains_are_limited),       cmocka_unit_test(text_and_regexes_are_limited),
                cmocka_unit_test(knows_matchers_and_times), cmocka_unit_test(knows_types),
                cmocka_unit_test(reads_selectors_alone),
        };
        return cmocka_run_group_tests_name("PromQL is read as Prometheus reads it", tests, NULL, NULL);
}
