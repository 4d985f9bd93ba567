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

typedef struct Case {
        const char *text;
        uint32_t begin, end;
        const char *message;
} Case;

static const Case CASES[] = {
        { "'it''", 4, 5, "unterminated quoted string" },
        { "-foo[5m:]", 0, 9,
          "unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"" },
        { "foo + on(a) group_left (foo)", 28, 28, "unexpected end of input" },
        { "", 0, 0, "no expression found in input" },
        { "# only a comment", 0, 0, "no expression found in input" },
        { "1+", 2, 2, "unexpected end of input" },
        { "+", 1, 1, "unexpected end of input" },
        { "*1", 0, 1, "unexpected <op:*>" },
        { "1 2", 2, 3, "unexpected number \"2\"" },
        { "foo bar", 4, 7, "unexpected identifier \"bar\"" },
        { "foo \"x\"", 4, 7, "unexpected string \"\\\"x\\\"\"" },
        { "(1", 2, 2, "unclosed left parenthesis" },
        { "((1)", 4, 4, "unclosed left parenthesis" },
        { "1)", 2, 2, "unexpected right parenthesis ')'" },
        { "()", 1, 2, "unexpected \")\"" },
        { "(foo", 4, 4, "unclosed left parenthesis" },
        { "1 and 1", 0, 7, "set operator \"and\" not allowed in binary scalar expression" },
        { "1 or foo", 0, 8, "set operator \"or\" not allowed in binary scalar expression" },
        { "foo unless 1", 0, 12, "set operator \"unless\" not allowed in binary scalar expression" },
        { "1 == 1", 2, 4, "comparisons between scalars must use BOOL modifier" },
        { "1   >=   2", 4, 6, "comparisons between scalars must use BOOL modifier" },
        { "1 + bool 2", 2, 8, "bool modifier can only be used on comparison operators" },
        { "foo + bool bar", 4, 10, "bool modifier can only be used on comparison operators" },
        { "foo and bool bar", 4, 12, "bool modifier can only be used on comparison operators" },
        { "1 !~ 1", 2, 6, "unexpected character after '!': '~'" },
        { "1 =~ 1", 2, 6, "unexpected character after '=': '~'" },
        { "foo = bar", 4, 5, "unexpected \"=\"" },
        { "foo ! bar", 4, 9, "unexpected character after '!': ' '" },
        { "foo ; bar", 4, 9, "unexpected character: ';'" },
        { "foo $ bar", 4, 9, "unexpected character: '$'" },
        { "é", 0, 2, "unexpected character: 'é'" },
        { "2.5.", 0, 4, "bad number or duration syntax: \"2.5.\"" },
        { "1..2", 0, 4, "bad number or duration syntax: \"1..\"" },
        { "0deadbeef", 0, 9, "bad number or duration syntax: \"0de\"" },
        { "0b11", 0, 4, "bad number or duration syntax: \"0\"" },
        { "5x", 0, 2, "bad number or duration syntax: \"5\"" },
        { "1e", 0, 2, "bad number or duration syntax: \"1e\"" },
        { "1e+", 0, 3, "bad number or duration syntax: \"1e+\"" },
        { "1__0", 0, 4, "bad number or duration syntax: \"1__\"" },
        { "1_", 0, 2, "bad number or duration syntax: \"1_\"" },
        { "0x", 0, 2, "error parsing number: strconv.ParseFloat: parsing \"0x\": invalid syntax" },
        { "0xg", 0, 3, "bad number or duration syntax: \"0x\"" },
        { "1e999", 0, 5, "error parsing number: strconv.ParseFloat: parsing \"1e999\": value out of range" },
        { "5m5m", 0, 4, "not a valid duration string: \"5m5m\"" },
        { "5s5m", 0, 4, "not a valid duration string: \"5s5m\"" },
        { "1h5d", 0, 4, "not a valid duration string: \"1h5d\"" },
        { "5y1hs", 0, 5, "unknown unit \"hs\" in duration \"5y1hs\"" },
        { "5mm", 0, 3, "bad number or duration syntax: \"5mm\"" },
        { "5m1", 0, 3, "bad number or duration syntax: \"5m1\"" },
        { "99999999999999999999y", 0, 21, "duration out of range" },
        { "400y", 0, 4, "duration out of range" },
        { "\"abc", 0, 4, "unterminated quoted string" },
        { "'abc", 0, 4, "unterminated quoted string" },
        { "`abc", 0, 4, "unterminated raw string" },
        { "\"a\\qb\"", 0, 6, "unknown escape sequence U+0071 'q'" },
        { "\"a\\x4\"", 0, 6, "illegal character U+0022 '\"' in escape sequence" },
        { "\"\\xzz\"", 0, 6, "illegal character U+007A 'z' in escape sequence" },
        { "\"\\400\"", 0, 6, "escape sequence is an invalid Unicode code point" },
        { "\"\\ud800\"", 0, 8, "escape sequence is an invalid Unicode code point" },
        { "\"\\U00110000\"", 0, 12, "escape sequence is an invalid Unicode code point" },
        { "\"\\", 0, 2, "escape sequence not terminated" },
        { "\"a\" + 1", 0, 3, "binary expression must contain only scalar and instant vector types" },
        { "\"a\" + \"b\"", 0, 3, "binary expression must contain only scalar and instant vector types" },
        { "-\"a\"", 0, 4,
          "unary expression only allowed on expressions of type scalar or instant vector, got \"string\"" },
        { "foo{", 4, 4, "unexpected end of input inside braces" },
        { "foo{a", 5, 5, "unexpected end of input inside braces" },
        { "foo{a=", 6, 6, "unexpected end of input inside braces" },
        { "foo{a=\"b", 6, 8, "unterminated quoted string" },
        { "foo{a=\"b\"", 9, 9, "unexpected end of input inside braces" },
        { "foo{a=\"b\",", 10, 10, "unexpected end of input inside braces" },
        { "foo{a=b}", 6, 7, "unexpected identifier \"b\" in label matching, expected string" },
        { "foo{a=1}", 6, 8, "unexpected character inside braces: '1'" },
        { "foo{a}", 5, 6, "unexpected \"}\" in label matching, expected label matching operator" },
        { "foo{a!b}", 5, 8, "unexpected character after '!' inside braces: 'b'" },
        { "foo{a=\"b\" c=\"d\"}", 10, 11, "unexpected identifier \"c\" in label matching, expected \",\" or \"}\"" },
        { "foo{,}", 4, 5, "unexpected \",\" in label matching, expected identifier or \"}\"" },
        { "foo{a=\"b\",,}", 10, 11, "unexpected \",\" in label matching, expected identifier or \"}\"" },
        { "foo{{}", 4, 6, "unexpected left brace '{'" },
        { "foo{a==\"b\"}", 6, 7, "unexpected \"=\" in label matching, expected string" },
        { "foo{1=\"b\"}", 4, 10, "unexpected character inside braces: '1'" },
        { "foo{a=\"b\"}}", 10, 11, "unexpected character: '}'" },
        { "foo}", 3, 4, "unexpected character: '}'" },
        { "{}", 0, 2, "vector selector must contain at least one non-empty matcher" },
        { "{a=\"\"}", 0, 6, "vector selector must contain at least one non-empty matcher" },
        { "{a=~\".*\"}", 0, 9, "vector selector must contain at least one non-empty matcher" },
        { "{a!=\"x\"}", 0, 8, "vector selector must contain at least one non-empty matcher" },
        { "{a!~\".+\"}", 0, 9, "vector selector must contain at least one non-empty matcher" },
        { "{\"\"}", 0, 4, "vector selector must contain at least one non-empty matcher" },
        { "foo{__name__=\"bar\"}", 0, 19, "metric name must not be set twice: \"foo\" or \"bar\"" },
        { "foo{\"bar\"}", 0, 10, "metric name must not be set twice: \"foo\" or \"bar\"" },
        { "foo{a=\"b\",__name__=~\"x\"}", 0, 24, "metric name must not be set twice: \"foo\" or \"x\"" },
        { "foo{a=~\"[\"}", 4, 10, "error parsing regexp: missing ]: [" },
        { "foo{a!~\"(?P<x\"}", 4, 14, "error parsing regexp: invalid named capture group: (?P<x" },
        { "{\"a\"=}", 5, 6, "unexpected \"}\" in label matching, expected string" },
        { "{\"a\" \"b\"}", 5, 8, "unexpected string \"\\\"b\\\"\" in label matching, expected \",\" or \"}\"" },
        { "foo[", 4, 4, "unexpected end of input in duration expression" },
        { "foo[]", 4, 5,
          "unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()" },
        { "foo[5m", 6, 6, "unclosed left bracket" },
        { "foo[5m:", 7, 7, "unclosed left bracket" },
        { "foo[5m:]:", 8, 9, "unexpected metric identifier \":\"" },
        { "foo[5m:1m:1m]", 9, 13, "unexpected colon ':'" },
        { "foo[:5m]", 5, 8, "unexpected colon before duration in duration expression" },
        { "foo[::]", 5, 7, "unexpected colon before duration in duration expression" },
        { "foo[5m 5m]", 7, 9, "unexpected duration \"5m\" in subquery or range, expected \":\" or \"]\"" },
        { "foo[5m}", 6, 7, "unexpected character: '}'" },
        { "foo[5m]]", 7, 8, "unexpected right bracket ']'" },
        { "foo[[5m]]", 4, 9, "unexpected left bracket '['" },
        { "foo[0]", 4, 5, "duration must be greater than 0" },
        { "foo[0m]", 4, 6, "duration must be greater than 0" },
        { "foo[-5m]", 4, 7, "duration must be greater than 0" },
        { "foo[0.0001]", 4, 10, "duration must be greater than 0" },
        { "foo[5m:0s]", 7, 9, "duration must be greater than 0" },
        { "foo[5m:-1m]", 7, 10, "duration must be greater than 0" },
        { "foo[x]", 4, 6, "unexpected character in duration expression: 'x'" },
        { "foo[5m x]", 7, 9, "unexpected character: 'x', expected ':'" },
        { "foo[\"5m\"]", 4, 9, "unexpected character in duration expression: '\"'" },
        { "foo[5m + ]", 9, 10,
          "unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()" },
        { "foo[5m:1m + ]", 12, 13,
          "unexpected \"]\" in subquery selector, expected number, duration, step(), range(), or \"]\"" },
        { "foo[+]", 5, 6,
          "unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()" },
        { "foo[9.5e10]", 4, 10, "duration out of range" },
        { "foo[step]", 8, 9,
          "unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()" },
        { "foo[step(]", 9, 10,
          "unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()" },
        { "foo[step(1)]", 9, 10,
          "unexpected number \"1\" in subquery or range selector, expected number, duration, step(), or range()" },
        { "foo[min_of(5m)]", 13, 14,
          "unexpected \")\" in subquery or range selector, expected number, duration, step(), or range()" },
        { "foo[min_of(5m, 1m, 2m)]", 17, 18,
          "unexpected \",\" in subquery or range selector, expected number, duration, step(), or range()" },
        { "foo[5m / 0]", 7, 8, "division by zero" },
        { "foo[5m % 0s]", 7, 8, "modulo by zero" },
        { "foo[5m == 5m]", 7, 9, "unexpected <op:==> in subquery or range, expected \":\" or \"]\"" },
        { "foo[(5m]", 7, 8,
          "unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()" },
        { "foo[5m)]", 7, 8, "unexpected right parenthesis ')'" },
        { "foo[end()]", 4, 10, "unexpected character in duration expression: 'e'" },
        { "1[5m]", 1, 5, "ranges only allowed for vector selectors" },
        { "(foo)[5m]", 5, 9, "ranges only allowed for vector selectors" },
        { "foo[5m][5m]", 7, 11, "ranges only allowed for vector selectors" },
        { "sum(foo)[5m]", 8, 12, "ranges only allowed for vector selectors" },
        { "foo offset 5m [5m]", 14, 18, "no offset modifiers allowed before range" },
        { "foo @ 10 [5m]", 9, 13, "no @ modifiers allowed before range" },
        { "foo[5m][10m:]", 0, 13, "subquery is only allowed on instant vector, got matrix instead" },
        { "1[5m:]", 0, 6, "subquery is only allowed on instant vector, got scalar instead" },
        { "\"a\"[5m:]", 0, 8, "subquery is only allowed on instant vector, got string instead" },
        { "foo offset", 10, 10, "unexpected end of input in offset, expected number, duration, step(), or range()" },
        { "foo offset foo", 11, 14,
          "unexpected identifier \"foo\" in offset, expected number, duration, step(), or range()" },
        { "foo offset (5m", 14, 14, "unclosed left parenthesis" },
        { "foo offset ()", 12, 13, "unexpected \")\" in offset, expected number, duration, step(), or range()" },
        { "foo offset -", 12, 12, "unexpected end of input in offset, expected number, duration, step(), or range()" },
        { "foo offset 5m offset 5m", 0, 13, "offset may not be set multiple times" },
        { "foo offset 9.5e10", 11, 17, "duration out of range" },
        { "1 offset 5m", 0, 1,
          "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery" },
        { "sum(foo) offset 5m", 0, 8,
          "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery" },
        { "(foo) offset 5m", 0, 5,
          "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery" },
        { "foo + bar offset", 16, 16,
          "unexpected end of input in offset, expected number, duration, step(), or range()" },
        { "foo @", 5, 5, "unexpected end of input in @, expected timestamp" },
        { "foo @ bar", 6, 9, "unexpected identifier \"bar\" in @, expected timestamp" },
        { "foo @ \"x\"", 6, 9, "unexpected string \"\\\"x\\\"\" in @, expected timestamp" },
        { "foo @ start", 11, 11, "unexpected end of input in @, expected timestamp" },
        { "foo @ start(", 12, 12, "unclosed left parenthesis" },
        { "foo @ start(1)", 12, 13, "unexpected number \"1\" in @, expected timestamp" },
        { "foo @ 10 @ 20", 0, 8, "@ <timestamp> may not be set multiple times" },
        { "foo @ 10 @ start()", 0, 8, "@ <timestamp> may not be set multiple times" },
        { "foo @ Inf", 0, 3, "timestamp out of bounds for @ modifier: +Inf" },
        { "foo @ -Inf", 0, 3, "timestamp out of bounds for @ modifier: -Inf" },
        { "foo @ NaN", 0, 3, "timestamp out of bounds for @ modifier: NaN" },
        { "foo @ 1e20", 0, 3, "timestamp out of bounds for @ modifier: 100000000000000000000.000000" },
        { "1 @ 10", 0, 1,
          "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery" },
        { "sum(foo) @ 10", 0, 8,
          "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery" },
        { "rate(foo[1m])[1h] offset 1h", 13, 17, "ranges only allowed for vector selectors" },
        { "sum(", 4, 4, "unclosed left parenthesis" },
        { "sum()", 0, 5, "no arguments for aggregate expression provided" },
        { "sum(foo", 7, 7, "unclosed left parenthesis" },
        { "sum(foo, bar)", 0, 13, "wrong number of arguments for aggregate expression provided, expected 1, got 2" },
        { "sum(1)", 4, 5, "expected type instant vector in aggregation expression, got scalar" },
        { "sum(foo[5m])", 4, 11, "expected type instant vector in aggregation expression, got range vector" },
        { "sum(\"x\")", 4, 7, "expected type instant vector in aggregation expression, got string" },
        { "sum by", 6, 6, "unexpected end of input in grouping opts, expected \"(\"" },
        { "sum by (a)", 10, 10, "unexpected end of input in aggregation" },
        { "sum by foo (bar)", 7, 10, "unexpected identifier \"foo\" in grouping opts, expected \"(\"" },
        { "sum by (a b) (foo)", 10, 11, "unexpected identifier \"b\" in grouping opts, expected \",\" or \")\"" },
        { "sum by (1) (foo)", 8, 9, "unexpected number \"1\" in grouping opts, expected label" },
        { "sum by (a,,b) (foo)", 10, 11, "unexpected \",\" in grouping opts, expected label" },
        { "sum by (,) (foo)", 8, 9, "unexpected \",\" in grouping opts, expected label" },
        { "sum by (\"\") (foo)", 8, 10, "invalid label name for grouping: \"\"" },
        { "sum by (a) (foo) by (b)", 17, 19, "unexpected <by>" },
        { "sum (foo) by", 12, 12, "unexpected end of input in grouping opts, expected \"(\"" },
        { "sum foo", 4, 7, "unexpected identifier \"foo\"" },
        { "sum without (a", 14, 14, "unclosed left parenthesis" },
        { "sum(foo) without (a", 19, 19, "unclosed left parenthesis" },
        { "sum by (a) (foo,)", 15, 16, "trailing commas not allowed in function call args" },
        { "topk(foo)", 0, 9, "wrong number of arguments for aggregate expression provided, expected 2, got 1" },
        { "topk(1)", 0, 7, "wrong number of arguments for aggregate expression provided, expected 2, got 1" },
        { "topk()", 0, 6, "no arguments for aggregate expression provided" },
        { "topk(\"x\", foo)", 5, 8, "expected type scalar in aggregation parameter, got string" },
        { "topk(foo, foo)", 5, 8, "expected type scalar in aggregation parameter, got instant vector" },
        { "topk(1, 2)", 8, 9, "expected type instant vector in aggregation expression, got scalar" },
        { "count_values(1, foo)", 13, 14, "expected type string in aggregation parameter, got scalar" },
        { "count_values(\"a\")", 0, 17,
          "wrong number of arguments for aggregate expression provided, expected 2, got 1" },
        { "quantile(0.5, foo, bar)", 0, 23,
          "wrong number of arguments for aggregate expression provided, expected 2, got 3" },
        { "nope(foo)", 0, 4, "unknown function with name \"nope\"" },
        { "Rate(foo[5m])", 0, 4, "unknown function with name \"Rate\"" },
        { "rate(", 5, 5, "unclosed left parenthesis" },
        { "rate()", 0, 6, "expected 1 argument(s) in call to \"rate\", got 0" },
        { "rate(foo)", 5, 8, "expected type range vector in call to function \"rate\", got instant vector" },
        { "rate(foo[5m], 1)", 0, 16, "expected 1 argument(s) in call to \"rate\", got 2" },
        { "rate(foo[5m]) rate(foo[5m])", 14, 18, "unexpected identifier \"rate\"" },
        { "rate(foo[5m]", 12, 12, "unclosed left parenthesis" },
        { "rate(foo[5m],)", 12, 13, "trailing commas not allowed in function call args" },
        { "rate(,)", 5, 6, "unexpected \",\"" },
        { "rate(foo[5m],,1)", 12, 13, "trailing commas not allowed in function call args" },
        { "rate(1 +)", 8, 9, "unexpected \")\"" },
        { "rate(foo[5m] @)", 14, 15, "unexpected \")\" in @, expected timestamp" },
        { "abs()", 0, 5, "expected 1 argument(s) in call to \"abs\", got 0" },
        { "abs(1)", 4, 5, "expected type instant vector in call to function \"abs\", got scalar" },
        { "abs(\"x\")", 4, 7, "expected type instant vector in call to function \"abs\", got string" },
        { "abs(foo, bar)", 0, 13, "expected 1 argument(s) in call to \"abs\", got 2" },
        { "time(1)", 0, 7, "expected 0 argument(s) in call to \"time\", got 1" },
        { "time(foo)", 0, 9, "expected 0 argument(s) in call to \"time\", got 1" },
        { "vector(foo)", 7, 10, "expected type scalar in call to function \"vector\", got instant vector" },
        { "scalar(1)", 7, 8, "expected type instant vector in call to function \"scalar\", got scalar" },
        { "clamp(foo, 1)", 0, 13, "expected 3 argument(s) in call to \"clamp\", got 2" },
        { "clamp(foo, foo, 1)", 11, 14, "expected type scalar in call to function \"clamp\", got instant vector" },
        { "round()", 0, 7, "expected at least 1 argument(s) in call to \"round\", got 0" },
        { "round(foo, bar)", 11, 14, "expected type scalar in call to function \"round\", got instant vector" },
        { "round(foo, 1, 2)", 0, 16, "expected at most 2 argument(s) in call to \"round\", got 3" },
        { "label_join(foo)", 0, 15, "expected at least 3 argument(s) in call to \"label_join\", got 1" },
        { "label_join(foo, \"a\")", 0, 20, "expected at least 3 argument(s) in call to \"label_join\", got 2" },
        { "label_join(foo, \"a\", \"b\", 1)", 26, 27,
          "expected type string in call to function \"label_join\", got scalar" },
        { "label_replace(foo, \"a\", \"b\", \"c\")", 0, 33,
          "expected 5 argument(s) in call to \"label_replace\", got 4" },
        { "label_replace(foo, \"a\", \"b\", \"c\", d)", 34, 35,
          "expected type string in call to function \"label_replace\", got instant vector" },
        { "histogram_quantiles(foo)", 0, 24,
          "expected at least 3 argument(s) in call to \"histogram_quantiles\", got 1" },
        { "histogram_quantiles(foo, \"q\", 1,2,3,4,5,6,7,8,9,10,11)", 0, 54,
          "expected at most 12 argument(s) in call to \"histogram_quantiles\", got 13" },
        { "hour(foo, bar)", 0, 14, "expected at most 1 argument(s) in call to \"hour\", got 2" },
        { "info(foo, 1)", 0, 12, "expected type instant vector in call to function \"info\", got scalar" },
        { "info(foo, bar)", 10, 13, "expected label selectors only, got vector selector instead" },
        { "info(foo, bar{a=\"b\"})", 10, 20, "expected label selectors only, got vector selector instead" },
        { "info(foo, {a=\"b\"} == 1)", 10, 22, "expected label selectors only" },
        { "info(foo, {a=\"b\"}, {c=\"d\"})", 0, 27, "expected at most 2 argument(s) in call to \"info\", got 3" },
        { "foo[5m] + bar", 0, 7, "binary expression must contain only scalar and instant vector types" },
        { "foo + bar[5m]", 6, 13, "binary expression must contain only scalar and instant vector types" },
        { "foo + \"x\"", 6, 9, "binary expression must contain only scalar and instant vector types" },
        { "foo + on bar", 9, 12, "unexpected identifier \"bar\" in grouping opts, expected \"(\"" },
        { "foo + on(a bar", 11, 14, "unexpected identifier \"bar\" in grouping opts, expected \",\" or \")\"" },
        { "foo + on(a) on(b) bar", 12, 14, "unexpected <on>" },
        { "foo + group_left bar", 6, 16, "unexpected <group_left>" },
        { "foo + group_left(a) bar", 6, 16, "unexpected <group_left>" },
        { "foo + on(a) group_left(b) group_right(c) bar", 26, 37, "unexpected <group_right>" },
        { "foo + on(a) group_left(a) bar", 4, 25, "label \"a\" must not occur in ON and GROUP clause at once" },
        { "foo + on(a,b) group_right(c, b) bar", 4, 31, "label \"b\" must not occur in ON and GROUP clause at once" },
        { "foo + on(a) group_left = bar", 23, 24, "unexpected \"=\" in grouping opts, expected \"(\"" },
        { "foo and on(a) group_left(b) bar", 0, 31, "no grouping allowed for \"and\" operation" },
        { "foo or ignoring(a) group_right bar", 0, 34, "no grouping allowed for \"or\" operation" },
        { "1 + on(a) foo", 0, 13, "vector matching only allowed between instant vectors" },
        { "foo + ignoring(a) 1", 0, 19, "vector matching only allowed between instant vectors" },
        { "foo + fill( bar", 12, 15, "unexpected identifier \"bar\"" },
        { "foo + fill(bar) bar", 11, 14, "unexpected identifier \"bar\"" },
        { "foo + fill(1 bar", 13, 16, "unexpected identifier \"bar\"" },
        { "foo + fill(0) 1", 0, 15, "filling in missing series only allowed between instant vectors" },
        { "foo and fill(0) bar", 0, 19, "filling in missing series not allowed for set operators" },
        { "foo + fill_left(1) fill_left(2) bar", 19, 28, "unexpected <fill_left>" },
        { "foo + on(a) bool bar", 12, 16, "unexpected <bool>" },
        { "foo ==", 6, 6, "unexpected end of input" },
        { "foo bool bar", 4, 8, "unexpected <bool>" },
        { "-", 1, 1, "unexpected end of input" },
        { "- -", 3, 3, "unexpected end of input" },
        { "1 - - foo[5m]", 4, 13,
          "unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"" },
        { "-foo[5m]", 0, 8,
          "unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"" },
        { "+foo[5m:]", 0, 9,
          "unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\"" },
        { "foo anchored smoothed", 0, 12, "anchored and smoothed modifiers cannot be used together" },
        { "foo[5m] smoothed anchored", 0, 16, "anchored and smoothed modifiers cannot be used together" },
        { "foo[5m:] anchored", 0, 8, "anchored modifier is not supported for subqueries" },
        { "sum(foo) smoothed", 0, 8, "smoothed modifier can only follow a selector, with a range or without one" },
        { "1 anchored", 0, 1, "anchored modifier can only follow a selector, with a range or without one" },
        { "bool", 0, 4, "unexpected <bool>" },
        { "on", 0, 2, "unexpected <on>" },
        { "atan2", 0, 5, "unexpected <op:atan2>" },
        { "ignoring(a)", 0, 8, "unexpected <ignoring>" },
        { "foo\n+\n  bar[5m]", 8, 15, "binary expression must contain only scalar and instant vector types" },
        { "foo +\n\n* bar", 7, 8, "unexpected <op:*>" },
};

/* Without any --enable-feature. */
static const Case EXPERIMENTS[] = {
        { "limitk(1, foo)", 0, 14,
          "limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions" },
        { "limit_ratio(1, foo)", 0, 19,
          "limit_ratio() is experimental and must be enabled with --enable-feature=promql-experimental-functions" },
        { "info(foo)", 0, 4, "function \"info\" is not enabled" },
        { "mad_over_time(foo[5m])", 0, 13, "function \"mad_over_time\" is not enabled" },
        { "start()", 0, 5, "function \"start\" is not enabled" },
        { "sort_by_label(foo, \"a\")", 0, 13, "function \"sort_by_label\" is not enabled" },
        { "foo[5m + 1m]", 4, 6, "experimental duration expression is not enabled" },
        { "foo[step()]", 4, 10, "experimental duration expression is not enabled" },
        { "foo offset (5m)", 12, 14, "experimental duration expression is not enabled" },
        { "foo offset step()", 11, 17, "experimental duration expression is not enabled" },
        { "foo[(5m)]", 5, 7, "experimental duration expression is not enabled" },
        { "foo[min_of(1m, 2m)]", 4, 18, "experimental duration expression is not enabled" },
        { "foo + fill(0) bar", 0, 17, "binop fill modifiers are experimental and not enabled" },
        { "foo[5m] anchored", 0, 7, "anchored modifier is experimental and not enabled" },
        { "foo smoothed", 0, 3, "smoothed modifier is experimental and not enabled" },
};

static void assert_refused(const Case *c, unsigned features) {
        CLEANUP(cleanup_ast) Ast *ast = NULL;
        CLEANUP(parse_error_deinit) ParseError error;
        assert_int_equal(promql_parse(span_of(c->text), features, &ast, &error), -EINVAL);
        uint32_t line, column;
        place_line_column(span_of(c->text), c->begin, &line, &column);
        CLEANUP(buf_deinit) Buf want = BUF_NULL;
        buf_printf(&want, "%u:%u: parse error: %s", line, column, c->message);
        assert_string_equal(buf_cstr(&error.text), buf_cstr(&want));
        assert_int_equal(error.place.begin, c->begin);
        assert_int_equal(error.place.end, c->end);
}

static void says_what_and_where(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_refused(&CASES[i], EVERYTHING);
}

static void experiments_are_off(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(EXPERIMENTS); i++)
                assert_refused(&EXPERIMENTS[i], 0);
}

static void bytes_that_are_no_text(void **state) {
        (void)state;
        static const Case BYTES[] = {
                { "\"\xff\"", 0, 3, "invalid UTF-8 rune" },
                { "`\xc3`", 0, 3, "invalid UTF-8 rune" },
                { "foo \xff", 4, 5, "unexpected character: '\xEF\xBF\xBD'" },
                { "\x01", 0, 1, "unexpected character: '\\x01'" },
        };
        for (size_t i = 0; i < ARRAY_LEN(BYTES); i++)
                assert_refused(&BYTES[i], 0);
        Ast *ast = NULL;
        CLEANUP(parse_error_deinit) ParseError error;
        assert_int_equal(promql_parse((Span){ "1 \0", 3 }, 0, &ast, &error), -EINVAL);
        assert_string_equal(buf_cstr(&error.text), "1:3: parse error: unexpected character: '\\x00'");
}

static void lines_and_columns(void **state) {
        (void)state;
        Span text = span_of("ab\ncd\n\nef");
        static const uint32_t WANT[][3] = { { 0, 1, 1 }, { 1, 1, 2 }, { 2, 1, 3 }, { 3, 2, 1 },
                                            { 6, 3, 1 }, { 7, 4, 1 }, { 9, 4, 3 }, { 99, 4, 3 } };
        for (size_t i = 0; i < ARRAY_LEN(WANT); i++) {
                uint32_t line, column;
                place_line_column(text, WANT[i][0], &line, &column);
                assert_int_equal(line, WANT[i][1]);
                assert_int_equal(column, WANT[i][2]);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(says_what_and_where),
                cmocka_unit_test(experiments_are_off),
                cmocka_unit_test(bytes_that_are_no_text),
                cmocka_unit_test(lines_and_columns),
        };
        return cmocka_run_group_tests_name("errors of PromQL say what and where", tests, NULL, NULL);
}
