#include "base/cleanup.h"
#include "base/number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *format(double v, char out[NUMBER_TEXT_MAX + 1]) {
        size_t n = number_format(v, out);
        assert_true(n > 0 && n <= NUMBER_TEXT_MAX);
        out[n] = '\0';
        return out;
}

static int parse(const char *text, double *ret_v) {
        return number_parse(text, strlen(text), ret_v);
}

static void formats_the_shortest_text(void **state) {
        (void)state;
        char out[NUMBER_TEXT_MAX + 1];
        assert_string_equal(format(0.1, out), "0.1");
        assert_string_equal(format(0.1 + 0.2, out), "0.30000000000000004");
        assert_string_equal(format(-0.0, out), "-0");
        assert_string_equal(format(1e22, out), "1e+22");
        assert_string_equal(format(5e-324, out), "5e-324");
        assert_string_equal(format(-DBL_MAX, out), "-1.7976931348623157e+308");
        assert_string_equal(format(NAN, out), "NaN");
        assert_string_equal(format(INFINITY, out), "+Inf");
        assert_string_equal(format(-INFINITY, out), "-Inf");
}

static void whole_numbers_are_plain_digits(void **state) {
        (void)state;
        static const struct {
                double v;
                const char *text;
        } CASES[] = { { 0, "0" }, { -0.0, "-0" }, { 1e6, "1000000" }, { 9007199254740991.0, "9007199254740991" },
                      { 9007199254740992.0, "9007199254740992" }, { 1e22, "1e+22" }, { 0.25, "0.25" }, { -3, "-3" },
                      { NAN, "NaN" }, { INFINITY, "+Inf" } };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                char out[NUMBER_TEXT_MAX + 1];
                size_t n = number_text(CASES[i].v, out);
                assert_true(n > 0 && n <= NUMBER_TEXT_MAX);
                out[n] = '\0';
                assert_string_equal(out, CASES[i].text);
        }
}

static void json_has_plain_digits_in_the_middle(void **state) {
        (void)state;
        static const struct {
                double v;
                const char *text;
        } CASES[] = { { 0, "0" }, { -0.0, "-0" }, { 1e6, "1000000" }, { 1e21, "1e+21" },
                      { 1e20, "100000000000000000000" },
                      { 1e-6, "0.000001" }, { 1e-7, "1e-07" }, { -1.5e-9, "-1.5e-09" }, { -2.5, "-2.5" },
                      { -1.2345678901234567e-6, "-0.0000012345678901234567" }, { NAN, "NaN" }, { -INFINITY, "-Inf" } };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                char out[NUMBER_TEXT_MAX + 1];
                size_t n = number_json(CASES[i].v, out);
                assert_true(n > 0 && n <= NUMBER_TEXT_MAX);
                out[n] = '\0';
                assert_string_equal(out, CASES[i].text);
        }
}

static void go_has_exponents_early(void **state) {
        (void)state;
        static const struct {
                double v;
                const char *text;
        } CASES[] = { { 0, "0" }, { -0.0, "-0" }, { 999999, "999999" }, { 1e6, "1e+06" }, { 0.0001, "0.0001" },
                      { 1048576, "1.048576e+06" },
                      { 0.00001, "1e-05" }, { -0.5, "-0.5" }, { 1e100, "1e+100" }, { NAN, "NaN" },
                      { 123456.75, "123456.75" }, { INFINITY, "+Inf" } };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                char out[NUMBER_TEXT_MAX + 1];
                size_t n = number_go(CASES[i].v, out);
                assert_true(n > 0 && n <= NUMBER_TEXT_MAX);
                out[n] = '\0';
                assert_string_equal(out, CASES[i].text);
        }
}

/* shortest digits without an exponent, whatever the size */
static void plain_has_no_exponent(void **state) {
        char text[NUMBER_TEXT_MAX];
        assert_int_equal(number_json(1.2345678901234568e20, text), 21);
        assert_memory_equal(text, "123456789012345680000", 21);
        static const struct {
                double v;
                const char *text;
        } CASES[] = {
                { 0, "0" },
                { -0.0, "-0" },
                { 1, "1" },
                { 10, "10" },
                { -12.5, "-12.5" },
                { 0.1, "0.1" },
                { 1e-7, "0.0000001" },
                { 1.25e-3, "0.00125" },
                { 1e21, "1000000000000000000000" },
                { 1.2345678901234568e20, "123456789012345680000" },
                { 123456.789, "123456.789" },
                { (double)NAN, "NaN" },
                { -INFINITY, "-Inf" },
        };
        for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
                char out[NUMBER_PLAIN_MAX + 1];
                size_t n = number_plain(CASES[i].v, out);
                out[n] = '\0';
                assert_string_equal(out, CASES[i].text);
        }
        char out[NUMBER_PLAIN_MAX];
        assert_int_equal(number_plain(-1.7976931348623157e308, out), 310);
        assert_true(number_plain(-2.2250738585072014e-308, out) < NUMBER_PLAIN_MAX);
        assert_int_equal(number_plain(4.9406564584124654e-324, out), 326);
}

static void reads_back_what_it_wrote(void **state) {
        (void)state;
        uint64_t bits = 0x9E3779B97F4A7C15u;
        for (int i = 0; i < 20000; i++) {
                bits = bits * 6364136223846793005u + 1442695040888963407u;
                double v, back = 0;
                memcpy(&v, &bits, sizeof v);
                if (isnan(v))
                        continue;
                char out[NUMBER_TEXT_MAX + 1];
                assert_int_equal(parse(format(v, out), &back), 0);
                assert_memory_equal(&v, &back, sizeof v);
        }
        double v = 0;
        assert_int_equal(parse("+Inf", &v), 0);
        assert_true(isinf(v) && v > 0);
        assert_int_equal(parse("-Inf", &v), 0);
        assert_true(isinf(v) && v < 0);
        assert_int_equal(parse("NaN", &v), 0);
        assert_true(isnan(v));
}

static void refuses_what_is_no_number(void **state) {
        (void)state;
        static const char *const BAD[] = { "",  " 1", "1 ", "1,5",   "0x10", "1e",  "--1",       "+-1",      "++1",
                                           "+", "-",  ".",  "1.2.3", "abc",  "1\n", "\x1b[31m1", "\xff\xfe", "1e+-3" };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                double v = 42;
                if (parse(BAD[i], &v) != -EINVAL || v != 42)
                        fail_msg("\"%s\" was taken for a number", BAD[i]);
        }
        double v = 42;
        assert_int_equal(number_parse("1\0", 2, &v), -EINVAL);
        assert_int_equal(number_parse(NULL, 0, &v), -EINVAL);
        assert_true(v == 42);
}

static void says_what_is_out_of_range(void **state) {
        (void)state;
        double v = 42;
        assert_int_equal(parse("1e999", &v), -ERANGE);
        assert_int_equal(parse("-1e999", &v), -ERANGE);
        char digits[1000];
        memset(digits, '9', sizeof digits);
        assert_int_equal(number_parse(digits, sizeof digits, &v), -ERANGE);
        assert_true(v == 42);
}

static void stays_within_its_bytes(void **state) {
        (void)state;
        double v = 0;
        assert_int_equal(number_parse("12345", 2, &v), 0);
        assert_true(v == 12);
}

static void the_locale_does_not_matter(void **state) {
        (void)state;
        /* Where it is not installed nothing is shown, but nothing is lost either. */
        (void)setlocale(LC_ALL, "de_DE.UTF-8");
        char out[NUMBER_TEXT_MAX + 1];
        double v = 0;
        assert_string_equal(format(1.5, out), "1.5");
        assert_int_equal(parse("1.5", &v), 0);
        assert_true(v == 1.5);
        (void)setlocale(LC_ALL, "C");
}

static const char *json(double v, char out[NUMBER_TEXT_MAX + 1]) {
        memset(out, '#', NUMBER_TEXT_MAX + 1);
        size_t n = number_json(v, out);
        assert_true(n > 0 && n <= NUMBER_TEXT_MAX);
        assert_int_equal(out[NUMBER_TEXT_MAX], '#');
        out[n] = '\0';
        return out;
}

static void json_is_as_go_writes_it(void **state) {
        static const struct {
                double v;
                const char *text;
        } CASES[] = {
                { 0, "0" },
                { -0.0, "-0" },
                { 1, "1" },
                { -3, "-3" },
                { 1e6, "1000000" },
                { 123456789, "123456789" },
                { 1e15, "1000000000000000" },
                { 1e20, "100000000000000000000" },
                { 1e21, "1e+21" },
                { 1e22, "1e+22" },
                { 1.5e300, "1.5e+300" },
                { -2.5e-7, "-2.5e-07" },
                { 1e-6, "0.000001" },
                { 9.99e-7, "9.99e-07" },
                { 1.25e-6, "0.00000125" },
                { 5e-324, "5e-324" },
                { 1e-100, "1e-100" },
                { 0.1, "0.1" },
                { 0.1 + 0.2, "0.30000000000000004" },
                { 12.34, "12.34" },
                { 100.25, "100.25" },
                { 0.5, "0.5" },
                { 1234567890.5, "1234567890.5" },
                { 1234567890123.25, "1234567890123.25" },
                { 9007199254740993.0, "9007199254740992" },
                { 12345678901234567168.0, "12345678901234567000" },
                { -1.7976931348623157e308, "-1.7976931348623157e+308" },
                { 0.000123, "0.000123" },
                { 0.0001234567890123, "0.0001234567890123" },
                { 1.000001, "1.000001" },
                { 2.0000001, "2.0000001" },
                { 1e9 + 0.001, "1000000000.001" },
                { NAN, "NaN" },
                { INFINITY, "+Inf" },
                { -INFINITY, "-Inf" },
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                char out[NUMBER_TEXT_MAX + 1];
                assert_string_equal(json(CASES[i].v, out), CASES[i].text);
        }
}

/* The digits without point, sign, exponent and the zeros around them. */
static void digits_of(const char *text, char out[64]) {
        size_t n = 0;
        for (; *text && *text != 'e'; text++)
                if (*text >= '0' && *text <= '9' && (n > 0 || *text != '0'))
                        out[n++] = *text;
        while (n > 0 && out[n - 1] == '0')
                n--;
        out[n] = '\0';
}

static void json_has_the_shortest_digits(void **state) {
        uint64_t seed = 88172645463325252u;
        (void)state;
        for (int i = 0; i < 200000; i++) {
                char plain[NUMBER_TEXT_MAX + 1], text[NUMBER_TEXT_MAX + 1], expected[64], got[64];
                double v, back;
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                if (i % 2)
                        memcpy(&v, &seed, sizeof v);
                else
                        v = (double)(int64_t)(seed >> (seed % 60)) / pow(10, (double)(i % 9));
                if (!isfinite(v) || v == 0)
                        continue;
                (void)json(v, text);
                assert_int_equal(parse(text, &back), 0);
                assert_true(back == v);
                (void)number_format(v, memset(plain, 0, sizeof plain));
                digits_of(plain, expected);
                digits_of(text, got);
                /* to_chars() writes large whole numbers to the last digit. */
                assert_true(strlen(got) <= strlen(expected));
                if (fabs(v) < 9e15)
                        assert_string_equal(got, expected);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(formats_the_shortest_text),
                cmocka_unit_test(whole_numbers_are_plain_digits),
                cmocka_unit_test(json_has_plain_digits_in_the_middle),
                cmocka_unit_test(go_has_exponents_early), cmocka_unit_test(plain_has_no_exponent),
                cmocka_unit_test(reads_back_what_it_wrote),
                cmocka_unit_test(refuses_what_is_no_number), cmocka_unit_test(says_what_is_out_of_range),
                cmocka_unit_test(stays_within_its_bytes),    cmocka_unit_test(the_locale_does_not_matter),
                cmocka_unit_test(json_is_as_go_writes_it),    cmocka_unit_test(json_has_the_shortest_digits),
        };
        return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
