#include "net/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int parse(Form *f, const char *text) {
        return form_parse(f, text, strlen(text));
}

static void expect(const char *text, size_t n, const char *const pairs[][2]) {
        CLEANUP(form_deinit) Form f = FORM_NULL;
        assert_int_equal(parse(&f, text), 0);
        assert_int_equal(f.n, n);
        for (size_t i = 0; i < n; i++) {
                assert_string_equal(f.params[i].name, pairs[i][0]);
                assert_string_equal(f.params[i].value, pairs[i][1]);
        }
}

static void pairs_are_decoded(void **state) {
        static const char *const PAIRS[][2] = {
                { "query", "1 + 1" }, { "match[]", "a{b=\"\xc3\xbc\"}" }, { "match[]", "" }, { "x", "" }, { "", "=y" }
        };
        (void)state;
        expect("query=1+%2B+1&match%5B%5D=a{b=%22%c3%BC%22}&match[]=&x&==y", 5, PAIRS);
        expect("", 0, NULL);
        expect("&&&", 0, NULL);
}

static void many_short_pairs_have_room(void **state) {
        (void)state;
        CLEANUP(form_deinit) Form f = FORM_NULL;
        assert_int_equal(parse(&f, "a&b&c&d&e&f&g&h&i&="), 0);
        assert_int_equal(f.n, 10);
        assert_string_equal(f.params[8].name, "i");
        assert_string_equal(form_find(f.params, f.n, "d"), "");
        assert_null(form_find(f.params, f.n, "z"));
}

static void bad_escapes_are_refused(void **state) {
        static const char *const BAD[] = { "a=%", "a=%1", "a=%zz", "%x1=b", "a=%00", "a=%2" };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                CLEANUP(form_deinit) Form f = FORM_NULL;
                assert_int_equal(parse(&f, BAD[i]), -EINVAL);
        }
}

static void the_number_of_parameters_is_bounded(void **state) {
        (void)state;
        char text[2 * FORM_PARAMS_MAX + 3];
        for (size_t i = 0; i < sizeof text; i++)
                text[i] = i % 2 ? '&' : 'a';
        CLEANUP(form_deinit) Form f = FORM_NULL, g = FORM_NULL;
        assert_int_equal(form_parse(&f, text, 2 * FORM_PARAMS_MAX), 0);
        assert_int_equal(f.n, FORM_PARAMS_MAX);
        assert_int_equal(form_parse(&g, text, sizeof text), -E2BIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pairs_are_decoded),
                cmocka_unit_test(many_short_pairs_have_room),
                cmocka_unit_test(bad_escapes_are_refused),
                cmocka_unit_test(the_number_of_parameters_is_bounded),
        };
        return cmocka_run_group_tests_name("net_form: parameters", tests, NULL, NULL);
}
