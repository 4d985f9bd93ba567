/* Any text as an expression, behind a byte of features. What is accepted prints to a text that is read as the same
 * tree, on one line and formatted; what is refused has its place within the text. */
#include "query/ast.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static Ast *parse(Span text, unsigned features) {
        Ast *ast = NULL;
        ParseError error;
        int r = promql_parse(text, features, &ast, &error);
        if (r == 0)
                return ast;
        assert(r == -EINVAL && error.text.len > 0 && !error.text.error);
        assert(error.place.begin <= error.place.end && error.place.end <= text.len);
        uint32_t line, column;
        place_line_column(text, error.place.begin, &line, &column);
        CLEANUP(buf_deinit) Buf place = BUF_NULL;
        buf_printf(&place, "%u:%u: parse error: ", line, column);
        assert(error.text.len > place.len && memcmp(error.text.data, place.data, place.len) == 0);
        parse_error_deinit(&error);
        return NULL;
}

static Ast *parse_buf(const Buf *b, unsigned features) {
        Ast *ast = parse((Span){ b->data, b->len }, features);
        assert(ast);
        return ast;
}

static void cleanup_ast(Ast **ast) {
        *ast = ast_free(*ast);
}

static void assert_prints(const Ast *ast, const Buf *want) {
        CLEANUP(buf_deinit) Buf got = BUF_NULL;
        expr_print(ast->root, &got);
        assert(got.len == want->len && memcmp(got.data, want->data, got.len) == 0);
}

static void assert_round_trip(const Ast *ast, unsigned features) {
        CLEANUP(buf_deinit) Buf line = BUF_NULL, lines = BUF_NULL, json = BUF_NULL, json_again = BUF_NULL;
        expr_print(ast->root, &line);
        expr_format(ast->root, &lines);
        expr_json(ast->root, &json);
        CLEANUP(cleanup_ast) Ast *again = parse_buf(&line, features);
        CLEANUP(cleanup_ast) Ast *formatted = parse_buf(&lines, features);
        assert_prints(again, &line);
        assert_prints(formatted, &line);
        /* Matchers are sorted in a text: but for their order, the objects are the same. */
        expr_json(again->root, &json_again);
        assert(json.len == json_again.len);
}

static void resolve(Ast *ast, int64_t start, int64_t end, int64_t step) {
        ParseError error;
        int r = ast_resolve(ast, start, end, step, &error);
        assert(r == 0 ? error.text.len == 0 : r == -EINVAL && error.text.len > 0 && error.place.end <= ast->text.len);
        parse_error_deinit(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        if (n == 0)
                return 0;
        /* A copy of the exact size: the sanitizer sees a read beyond it. */
        CLEANUP_FREE char *text = malloc(n > 1 ? n - 1 : 1);
        assert(text);
        memcpy(text, bytes + 1, n - 1);
        CLEANUP(cleanup_ast) Ast *ast = parse((Span){ text, n - 1 }, bytes[0]);
        if (ast) {
                assert_round_trip(ast, bytes[0]);
                resolve(ast, 1000, 61000, 15000);
                resolve(ast, 5000, 5000, 0);
        }
        CLEANUP(cleanup_ast) Ast *selector = NULL;
        ParseError error;
        if (promql_parse_selector((Span){ text, n - 1 }, &selector, &error) < 0)
                parse_error_deinit(&error);
        else
                assert(selector->root->kind == EXPR_SELECTOR && selector->root->type == TYPE_VECTOR);
        return 0;
}
