#include "base/regex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void free_regex(Regex **r) {
        *r = regex_free(*r);
}

static Regex *compile(const char *text) {
        Regex *r = NULL;
        assert_int_equal(regex_new(text, strlen(text), NULL, &r), 0);
        assert_non_null(r);
        return r;
}

static bool matches(const char *expression, const char *text) {
        CLEANUP(free_regex) Regex *r = compile(expression);
        /* An exact copy: a sanitizer sees one byte too many. */
        size_t n = strlen(text);
        CLEANUP_FREE char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, text, n);
        return regex_matches(r, exact, n);
}

static void anchored_at_both_ends(void **state) {
        (void)state;
        assert_true(matches("vm", "vm"));
        assert_false(matches("vm", "vm-1"));
        assert_false(matches("vm", "my vm"));
        assert_true(matches("vm.*", "vm-1"));
        assert_true(matches("a|ab", "ab"));
        assert_true(matches("^vm$", "vm"));
        assert_true(matches("", ""));
        assert_false(matches("", "x"));
        assert_true(matches(".*", ""));
        assert_false(matches(".+", ""));
        assert_true(matches("(?i)VM", "vm"));
}

static void the_dot_is_any_character(void **state) {
        (void)state;
        assert_true(matches("a.b", "a\nb"));
        assert_true(matches("a.b", "a\xC3\xA4" "b"));
        assert_false(matches("a.b", "a\xC3\xA4\xC3\xA4" "b"));
        assert_true(matches("\\p{Han}+", "\xE8\x99\x9A\xE6\x8B\x9F"));
}

static void bad_expressions_are_explained(void **state) {
        (void)state;
        static const char *const BAD[] = { "(", "a)b(", "*", "[a", "a\\", "(?P<n", "\xFF", "a\xC3", "x{2,1}", "(?=a)", "\\1" };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                CLEANUP(buf_deinit) Buf why = BUF_NULL;
                Regex *r = (Regex *)1;
                assert_int_equal(regex_new(BAD[i], strlen(BAD[i]), &why, &r), -EINVAL);
                assert_ptr_equal(r, (Regex *)1);
                assert_true(why.len > 0);
                assert_int_equal(regex_new(BAD[i], strlen(BAD[i]), NULL, &r), -EINVAL);
        }
}

static void large_expressions_are_refused(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        Regex *r = NULL;
        static const char LARGE[] = "((((\\pL{100}){10}){10}){10})";
        assert_int_equal(regex_new(LARGE, strlen(LARGE), &why, &r), -EINVAL); /* over 1000 repeats */
        static const char FAT[] = "(\\pL{0,500})(\\pN{0,500})";
        assert_int_equal(regex_new(FAT, strlen(FAT), &why, &r), -EFBIG);
        CLEANUP_FREE char *longest = malloc(REGEX_TEXT_MAX + 1);
        assert_non_null(longest);
        memset(longest, 'a', REGEX_TEXT_MAX + 1);
        assert_int_equal(regex_new(longest, REGEX_TEXT_MAX + 1, &why, &r), -EFBIG);
        assert_int_equal(regex_new(longest, REGEX_TEXT_MAX, &why, &r), 0);
        assert_true(regex_matches(r, longest, REGEX_TEXT_MAX));
        r = regex_free(r);
        assert_null(r);
}

/* Backtracking would take for ever. */
static void linear_time(void **state) {
        (void)state;
        CLEANUP(free_regex) Regex *r = compile("(a*)*(a*)*(a|aa)+b");
        char text[4000];
        memset(text, 'a', sizeof text);
        assert_false(regex_matches(r, text, sizeof text));
}

static int literals(const char *expression, size_t most, Buf *out) {
        CLEANUP(free_regex) Regex *r = compile(expression);
        return regex_literals(r, most, out);
}

static void expect_literals(const char *expression, int n, const char *list, size_t len) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        buf_put_str(&out, "x");
        assert_int_equal(literals(expression, 100, &out), n);
        assert_int_equal(out.len, 1 + len);
        assert_memory_equal(out.data + 1, list, len);
}
#define LITERALS(expression, n, list) expect_literals(expression, n, list, sizeof(list) - 1)

static void literals_are_found(void **state) {
        (void)state;
        LITERALS("a", 1, "a\0");
        LITERALS("", 1, "\0");
        LITERALS("a|b|c", 3, "a\0b\0c\0");
        LITERALS("(a|b)", 2, "a\0b\0");
        LITERALS("(?:vm-1|vm-2)", 2, "vm-1\0vm-2\0");
        LITERALS("a||b", 3, "a\0\0b\0");
        LITERALS("a|", 2, "a\0\0");
        LITERALS("10\\.0\\.0\\.1\\|", 1, "10.0.0.1|\0");
        LITERALS("\xC3\xA4|b", 2, "\xC3\xA4\0b\0");
        static const char *const NONE[] = { "a.*",  "a|b.", "a*",   "(a)|(b)", "(?i)a|b", "[ab]",     "\\d|x", "a|(b|c)",
                                            "(a|b)c", "^a",   "a{2}", "\\x41",   "\\Qa|b\\E", "(a\\\\)", "(?P<n>a)" };
        for (size_t i = 0; i < ARRAY_LEN(NONE); i++)
                expect_literals(NONE[i], -1, "", 0);
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        assert_int_equal(literals("a|b|c", 2, &out), -1);
        assert_int_equal(literals("a|b|c", 3, &out), 3);
        assert_int_equal(literals("a", 0, &out), -1);
}

static void expect_prefix(const char *expression, const char *prefix) {
        CLEANUP(free_regex) Regex *r = compile(expression);
        const char *text = NULL;
        size_t n = regex_prefix(r, &text);
        assert_int_equal(n, strlen(prefix));
        assert_memory_equal(text, prefix, n);
}

static void prefixes_are_found(void **state) {
        (void)state;
        expect_prefix("vm-.*", "vm-");
        expect_prefix("^vm-.*", "vm-");
        expect_prefix("vm-(a|b)", "vm-");
        expect_prefix("vm", "vm");
        expect_prefix("vm+", "vm");
        expect_prefix("vm*", "v");
        expect_prefix("vm?x", "v");
        expect_prefix("v\\.m{0,2}", "v.");
        expect_prefix("v\xC3\xA4?", "v");
        expect_prefix("\xC3\xA4*", "");
        expect_prefix("a|b", "");
        expect_prefix("a[(]|x", "");
        expect_prefix("a\\Q(\\E|x", "");
        expect_prefix("a(b\\)|c)", "a");
        expect_prefix("(?i)abc", "");
        expect_prefix("abc(?i)d", "abc");
        expect_prefix("^*a", "");
        expect_prefix("", "");
}

static void expect_expansion(const char *expression, const char *text, const char *form, const char *expected) {
        CLEANUP(free_regex) Regex *r = compile(expression);
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        assert_int_equal(regex_expand(r, text, strlen(text), form, strlen(form), &out), expected != NULL);
        assert_string_equal(buf_cstr(&out), expected ? expected : "");
}

static void groups_are_expanded(void **state) {
        (void)state;
        expect_expansion("(.*)", "abc", "$1", "abc");
        expect_expansion("(.*)", "abc", "<${1}>", "<abc>");
        expect_expansion("(.*)", "abc", "$0", "abc");
        expect_expansion("a(.)c", "axc", "$1$1", "xx");
        expect_expansion("a(.)c", "axcd", "$1", NULL);
        expect_expansion("(.*)", "abc", "$1x", "");        /* the group "1x" */
        expect_expansion("(.*)", "abc", "${1}x", "abcx");
        expect_expansion("(.*)", "abc", "$2|$01|$99999999999", "||");
        expect_expansion("(?P<n>.)(.)", "ab", "$n-${n}-$n1-$2", "a-a--b");
        expect_expansion("(a)|(b)", "b", "$1$2", "b");
        expect_expansion("(.*)", "abc", "$$1 $ ${ ${} ${1 $-", "$1 $ ${ ${} ${1 $-");
        expect_expansion("(.*)", "abc", "$1\xC3\xA4$", "$"); /* a letter, so of the name */
        expect_expansion("(.*)", "abc", "$1\xE2\x82\xAC", "abc\xE2\x82\xAC");
        expect_expansion("", "", "", "");
        expect_expansion("a|ab", "ab", "$0", "ab");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(anchored_at_both_ends),
                cmocka_unit_test(the_dot_is_any_character),
                cmocka_unit_test(bad_expressions_are_explained),
                cmocka_unit_test(large_expressions_are_refused),
                cmocka_unit_test(linear_time),
                cmocka_unit_test(literals_are_found),
                cmocka_unit_test(prefixes_are_found),
                cmocka_unit_test(groups_are_expanded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
