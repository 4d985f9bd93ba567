#include "model/matcher.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static Span span(const char *text) {
        return (Span){ text, strlen(text) };
}

static bool matches(MatchType type, const char *condition, const char *value) {
        CLEANUP(matcher_deinit) Matcher m = MATCHER_NULL;
        assert_int_equal(matcher_init(&m, type, span("vm"), span(condition), NULL), 0);
        return matcher_matches(&m, span(value));
}

static void four_types(void **state) {
        (void)state;
        static const struct {
                const char *condition, *value;
                bool equal, regex;
        } CASES[] = {
                { "a", "a", true, true },     { "a", "b", false, false },  { "a", "ab", false, false },
                { "a.*", "ab", false, true }, { "a.*", "a.*", true, true }, { ".+", "x", false, true },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                assert_int_equal(matches(MATCH_EQUAL, CASES[i].condition, CASES[i].value), CASES[i].equal);
                assert_int_equal(matches(MATCH_NOT_EQUAL, CASES[i].condition, CASES[i].value), !CASES[i].equal);
                assert_int_equal(matches(MATCH_REGEX, CASES[i].condition, CASES[i].value), CASES[i].regex);
                assert_int_equal(matches(MATCH_NOT_REGEX, CASES[i].condition, CASES[i].value), !CASES[i].regex);
        }
}

static void an_absent_label_is_empty(void **state) {
        (void)state;
        Span absent = { NULL, 0 };
        static const struct {
                MatchType type;
                const char *condition;
                bool matches;
        } CASES[] = {
                { MATCH_EQUAL, "", true },      { MATCH_EQUAL, "a", false },    { MATCH_NOT_EQUAL, "", false },
                { MATCH_NOT_EQUAL, "a", true }, { MATCH_REGEX, "", true },      { MATCH_REGEX, "a|", true },
                { MATCH_REGEX, ".*", true },    { MATCH_REGEX, ".+", false },   { MATCH_NOT_REGEX, "a", true },
                { MATCH_NOT_REGEX, ".*", false }, { MATCH_NOT_REGEX, "", false },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(matcher_deinit) Matcher m = MATCHER_NULL;
                assert_int_equal(matcher_init(&m, CASES[i].type, span("vm"), span(CASES[i].condition), NULL), 0);
                assert_int_equal(matcher_matches(&m, absent), CASES[i].matches);
                assert_int_equal(matcher_matches(&m, span("")), CASES[i].matches);
        }
}

static void a_bad_regex_is_no_matcher(void **state) {
        (void)state;
        CLEANUP(matcher_deinit) Matcher m = MATCHER_NULL;
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        assert_int_equal(matcher_init(&m, MATCH_REGEX, span("vm"), span("("), &why), -EINVAL);
        assert_true(why.len > 0);
        assert_null(m.regex);
        assert_int_equal(matcher_init(&m, MATCH_EQUAL, span("vm"), span("("), &why), 0);
        assert_null(m.regex);
        matcher_deinit(&m);
        matcher_deinit(&m);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(four_types),
                cmocka_unit_test(an_absent_label_is_empty),
                cmocka_unit_test(a_bad_regex_is_no_matcher),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
