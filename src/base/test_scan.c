#include "base/cleanup.h"
#include "base/scan.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static Scan scan_of(const char *text) {
        return SCAN(text, strlen(text));
}

static void lines(void **state) {
        (void)state;
        Scan s = scan_of("one\n\ntwo words\nlast");
        Span line;
        assert_true(scan_line(&s, &line) && span_is(line, "one"));
        assert_true(scan_line(&s, &line) && span_is(line, ""));
        assert_true(scan_line(&s, &line) && span_is(line, "two words"));
        assert_true(scan_line(&s, &line) && span_is(line, "last"));
        assert_false(scan_line(&s, &line));
        Scan empty = scan_of("");
        assert_false(scan_line(&empty, &line));
        Scan newline = scan_of("\n");
        assert_true(scan_line(&newline, &line) && line.len == 0);
        assert_false(scan_line(&newline, &line));
}

static void words(void **state) {
        (void)state;
        Scan s = scan_of("  cpu0\t\t12 \n34");
        Span word;
        assert_true(scan_word(&s, &word) && span_is(word, "cpu0"));
        assert_true(scan_word(&s, &word) && span_is(word, "12"));
        assert_false(scan_word(&s, &word)); /* not beyond the line */
        assert_true(scan_line(&s, &word));
        assert_true(scan_word(&s, &word) && span_is(word, "34"));
        assert_false(scan_word(&s, &word));
}

static void spans(void **state) {
        (void)state;
        Span s = { "prefix", 6 };
        assert_true(span_is(s, "prefix") && span_starts(s, "pre") && span_starts(s, ""));
        assert_false(span_is(s, "prefi") || span_is(s, "prefixes") || span_starts(s, "prefixes") ||
                     span_starts(s, "x"));
}

static void unsigned_numbers(void **state) {
        (void)state;
        Scan s = scan_of("0  18446744073709551615 7kB");
        uint64_t v = 1;
        assert_true(scan_u64(&s, &v) && v == 0);
        assert_true(scan_u64(&s, &v) && v == UINT64_MAX);
        assert_true(scan_u64(&s, &v) && v == 7);
        assert_false(scan_u64(&s, &v));
        assert_true(scan_literal(&s, "kB") && s.at == s.end);
}

/* What does not fit is refused whole: a counter that wrapped in the reader would be a wrong value. */
static void overflow_is_refused_and_leaves_the_cursor(void **state) {
        (void)state;
        static const char *const BAD[] = {
                "18446744073709551616", "99999999999999999999999999", "-1", "+1", "", " ", "x", "\n1"
        };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                Scan s = scan_of(BAD[i]);
                const char *before = s.at;
                uint64_t v = 42;
                assert_false(scan_u64(&s, &v));
                assert_ptr_equal(s.at, before);
                assert_true(v == 42);
        }
}

static void signed_numbers(void **state) {
        (void)state;
        static const struct {
                const char *text;
                int64_t v;
        } GOOD[] = {
                { "0", 0 },
                { "-0", 0 },
                { " -1", -1 },
                { "9223372036854775807", INT64_MAX },
                { "-9223372036854775808", INT64_MIN },
        };
        for (size_t i = 0; i < ARRAY_LEN(GOOD); i++) {
                Scan s = scan_of(GOOD[i].text);
                int64_t v = 42;
                assert_true(scan_i64(&s, &v));
                assert_true(v == GOOD[i].v && s.at == s.end);
        }
        static const char *const BAD[] = {
                "9223372036854775808", "-9223372036854775809", "18446744073709551615", "--1", "-", "- 1", ""
        };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                Scan s = scan_of(BAD[i]);
                const char *before = s.at;
                int64_t v = 42;
                assert_false(scan_i64(&s, &v));
                assert_ptr_equal(s.at, before);
                assert_true(v == 42);
        }
}

static void doubles(void **state) {
        (void)state;
        Scan s = scan_of("0.07 -1.50 +2 3");
        double v = 42;
        assert_true(scan_double(&s, &v) && v == 0.07);
        assert_true(scan_double(&s, &v) && v == -1.5);
        assert_true(scan_double(&s, &v) && v == 2);
        assert_true(scan_double(&s, &v) && v == 3);
        static const char *const BAD[] = { "", "-", ".", "nan", "inf", "+-1", "1.2.3", "abc", "\x1b[0m" };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                Scan bad = scan_of(BAD[i]);
                v = 42;
                assert_false(scan_double(&bad, &v));
                assert_ptr_equal(bad.at, BAD[i]);
                assert_true(v == 42);
        }
        char digits[400];
        memset(digits, '9', sizeof digits);
        Scan huge = SCAN(digits, sizeof digits);
        assert_false(scan_double(&huge, &v));
}

static void literals_and_stops(void **state) {
        (void)state;
        Scan s = scan_of("key=value;rest");
        Span span;
        assert_false(scan_literal(&s, "value"));
        assert_false(scan_literal(&s, "key=value;rest and more"));
        assert_true(scan_until(&s, '=', &span) && span_is(span, "key"));
        assert_true(scan_until(&s, ';', &span) && span_is(span, "value"));
        assert_false(scan_until(&s, ';', &span));
        assert_true(scan_literal(&s, "rest"));
        assert_false(scan_until(&s, ';', &span));
}

static void whole_spans(void **state) {
        (void)state;
        uint64_t v = 42;
        assert_true(span_u64((Span){ "12", 2 }, &v) && v == 12);
        assert_true(span_u64((Span){ "123", 2 }, &v) && v == 12);
        static const char *const BAD[] = { "", " 1", "1 ", "1\n", "\t1", "max", "-1", "18446744073709551616" };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
                assert_false(span_u64((Span){ BAD[i], strlen(BAD[i]) }, &v));
}

/* Every prefix of half-written input ends within its bytes: each copy has the exact size, so that a
 * sanitizer sees one byte too many. */
static void half_written_input(void **state) {
        (void)state;
        static const char TEXT[] = "cpu  1 -2 3.5\nMemTotal: 18446744073709551615 kB\n\xff\xfe\x00\x1b[31m=;\n";
        for (size_t n = 0; n < sizeof TEXT; n++) {
                CLEANUP_FREE char *exact = malloc(n ? n : 1);
                memcpy(exact, TEXT, n);
                Scan s = SCAN(exact, n);
                Span span;
                uint64_t u;
                int64_t i;
                double d;
                while (s.at < s.end) {
                        const char *before = s.at;
                        (void)scan_until(&s, ':', &span);
                        (void)scan_u64(&s, &u);
                        (void)scan_i64(&s, &i);
                        (void)scan_double(&s, &d);
                        (void)scan_literal(&s, "MemTotal");
                        (void)scan_word(&s, &span);
                        if (s.at == before)
                                assert_true(scan_line(&s, &span));
                        assert_true(s.at > before && s.at <= s.end);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines),
                cmocka_unit_test(words),
                cmocka_unit_test(spans),
                cmocka_unit_test(unsigned_numbers),
                cmocka_unit_test(overflow_is_refused_and_leaves_the_cursor),
                cmocka_unit_test(signed_numbers),
                cmocka_unit_test(doubles),
                cmocka_unit_test(literals_and_stops),
                cmocka_unit_test(whole_spans),
                cmocka_unit_test(half_written_input),
        };
        return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}
