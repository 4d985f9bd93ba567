#include "base/escape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BAD "\xEF\xBF\xBD"

typedef void (*Escape)(Buf *b, const char *bytes, size_t n);

static void expect_n(Escape escape, const char *in, size_t n, const char *out) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        /* An exact copy: a sanitizer sees one byte too many. */
        CLEANUP_FREE char *exact = malloc(n ? n : 1);
        memcpy(exact, in, n);
        escape(&b, exact, n);
        assert_int_equal(buf_error(&b), 0);
        assert_string_equal(buf_cstr(&b), out);
}

static void expect(Escape escape, const char *in, const char *out) {
        expect_n(escape, in, strlen(in), out);
}

static void well_formed_utf8(void **state) {
        (void)state;
        static const char *const GOOD[] = {
                "",
                "plain",
                "\x7F",
                "\xC2\x80",
                "\xDF\xBF",
                "\xE0\xA0\x80",
                "\xED\x9F\xBF",
                "\xEE\x80\x80",
                "\xEF\xBF\xBF",
                "\xF0\x90\x80\x80",
                "\xF4\x8F\xBF\xBF",
                "a\xC3\xA4z",
        };
        for (size_t i = 0; i < ARRAY_LEN(GOOD); i++)
                assert_true(utf8_valid(GOOD[i], strlen(GOOD[i])));
        assert_true(utf8_valid("a\0b", 3));
        assert_true(utf8_valid(NULL, 0));
}

static const char *const MALFORMED[] = {
        "\x80",             /* a continuation alone */
        "\xC0\x80",         /* overlong NUL */
        "\xC1\xBF",         /* overlong */
        "\xE0\x9F\xBF",     /* overlong */
        "\xF0\x8F\xBF\xBF", /* overlong */
        "\xED\xA0\x80",     /* a surrogate */
        "\xED\xBF\xBF",     /* a surrogate */
        "\xF4\x90\x80\x80", /* beyond U+10FFFF */
        "\xF5\x80\x80\x80",
        "\xFE",
        "\xFF",
        "\xC2",         /* cut */
        "\xE2\x82",     /* cut */
        "\xF0\x9F\x98", /* cut */
        "\xC2"
        "A", /* cut, then a letter */
        "\xE2\x82"
        "A",
};

static void malformed_utf8(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(MALFORMED); i++)
                assert_false(utf8_valid(MALFORMED[i], strlen(MALFORMED[i])));
}

static void what_comes_out_is_always_well_formed(void **state) {
        (void)state;
        static const Escape ALL[] = { escape_label, escape_json, escape_terminal };
        for (size_t e = 0; e < ARRAY_LEN(ALL); e++) {
                for (size_t i = 0; i < ARRAY_LEN(MALFORMED); i++) {
                        CLEANUP(buf_deinit) Buf b = BUF_NULL;
                        ALL[e](&b, MALFORMED[i], strlen(MALFORMED[i]));
                        assert_true(utf8_valid(b.data, b.len));
                        assert_non_null(strstr(buf_cstr(&b), BAD));
                }
                uint32_t seed = 1;
                for (int i = 0; i < 3000; i++) {
                        char bytes[24];
                        size_t n = (size_t)i % (sizeof bytes + 1);
                        for (size_t k = 0; k < n; k++)
                                bytes[k] = (char)((seed = seed * 1103515245u + 12345u) >> 16);
                        CLEANUP(buf_deinit) Buf b = BUF_NULL;
                        ALL[e](&b, n ? bytes : NULL, n);
                        assert_true(utf8_valid(b.data, b.len));
                        assert_null(memchr(b.len ? b.data : "", '\n', b.len));
                        if (ALL[e] != escape_label)
                                assert_null(memchr(b.len ? b.data : "", '\x1b', b.len));
                }
        }
}

static void labels(void **state) {
        (void)state;
        expect(escape_label, "web-1", "web-1");
        expect(escape_label, "", "");
        expect(escape_label, "a\"b\\c\nd", "a\\\"b\\\\c\\nd");
        expect(escape_label, "\xC3\xA4\"", "\xC3\xA4\\\"");
        expect(escape_label, "a\xFFz", "a" BAD "z");
        expect(escape_label, "\xC2\"", BAD "\\\""); /* the quote is not swallowed by a cut character */
        expect(escape_label, "a\\", "a\\\\");
        expect_n(escape_label, "a\0b", 3, "a" BAD "b");
        expect(escape_label, "<script>\"} 1\nevil 1", "<script>\\\"} 1\\nevil 1");
}

static void json(void **state) {
        (void)state;
        expect(escape_json, "a\"b\\c\nd\te\r", "a\\\"b\\\\c\\nd\\u0009e\\u000d");
        expect_n(escape_json, "\0", 1, "\\u0000");
        expect(escape_json, "\x1b[31m\x7f", "\\u001b[31m\\u007f");
        expect(escape_json, "\xF0\x9F\x98\x80\xED\xA0\x80", "\xF0\x9F\x98\x80" BAD BAD BAD);
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        buf_put_json_str(&b, "a\"");
        buf_put_json_str(&b, "");
        assert_string_equal(buf_cstr(&b), "\"a\\\"\"\"\"");
}

static void terminals(void **state) {
        (void)state;
        expect(escape_terminal, "web-1 \xC3\xA4", "web-1 \xC3\xA4");
        expect(escape_terminal, "\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07");
        expect(escape_terminal, "a\nb\rc\td\x7f", "a\\x0ab\\x0dc\\x09d\\x7f");
        expect_n(escape_terminal, "a\0b", 3, "a\\x00b");
        /* C1: U+009B is CSI to many terminals, as two bytes and, in old ones, as one. */
        expect(escape_terminal,
               "\xC2\x9B"
               "31m",
               "\\x9b31m");
        expect(escape_terminal,
               "\x9B"
               "31m",
               BAD "31m");
        expect(escape_terminal, "\xC2\x80\xC2\x9F\xC2\xA0", "\\x80\\x9f\xC2\xA0");
        expect(escape_terminal, "\xE2\x82\xC2\x9B", BAD BAD "\\x9b");
        expect(escape_terminal, "\xC2\xC2\x9B", BAD "\\x9b");
        expect(escape_terminal, "\xC2", BAD);
}

static void a_full_buffer_stops_quietly(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(10);
        escape_json(&b, "\x01\x02\x03\x04", 4);
        assert_int_equal(buf_error(&b), -EFBIG);
        assert_true(b.len <= 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(well_formed_utf8),
                cmocka_unit_test(malformed_utf8),
                cmocka_unit_test(what_comes_out_is_always_well_formed),
                cmocka_unit_test(labels),
                cmocka_unit_test(json),
                cmocka_unit_test(terminals),
                cmocka_unit_test(a_full_buffer_stops_quietly),
        };
        return cmocka_run_group_tests_name("escape", tests, NULL, NULL);
}
