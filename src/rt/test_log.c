#include "rt/log.h"

#include "base/buf.h"
#include "base/escape.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

/* Standard error goes to a memory file while something logs. */
typedef struct Capture {
        int file, before;
} Capture;

static Capture capture_begin(void) {
        Capture c = { .file = memfd_create("stderr", MFD_CLOEXEC), .before = dup(STDERR_FILENO) };
        assert_true(c.file >= 0 && c.before >= 0);
        assert_true(dup2(c.file, STDERR_FILENO) >= 0);
        return c;
}

static void capture_end(Capture *c, Buf *text) {
        assert_true(dup2(c->before, STDERR_FILENO) >= 0);
        (void)close(c->before);
        assert_int_equal(lseek(c->file, 0, SEEK_SET), 0);
        for (ssize_t n = 1; n > 0;) {
                char *at = buf_reserve(text, 4096);
                n = read(c->file, at, 4096);
                if (n > 0)
                        text->len += (size_t)n;
        }
        (void)close(c->file);
}

#define CAPTURED(text, ...)                                                                                            \
        do {                                                                                                           \
                Capture capture_ = capture_begin();                                                                    \
                __VA_ARGS__;                                                                                           \
                capture_end(&capture_, (text));                                                                        \
        } while (0)

static unsigned lines_of(Buf *b) {
        unsigned n = 0;
        for (size_t i = 0; i < b->len; i++)
                n += b->data[i] == '\n';
        return n;
}

static void logfmt(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        log_setup("prog", LOG_INFO, LOG_FORMAT_LOGFMT);
        CAPTURED(&b, LOG(LOG_WARN, "a.b", LOG_S("domain", "web-1"), LOG_I("ms", -5), LOG_E("error", -ENOENT)));
        const char *text = buf_cstr(&b);
        assert_int_equal(strncmp(text, "ts=20", 5), 0);
        assert_int_equal(text[26], 'Z');
        assert_string_equal(text + 27,
                            " level=warn program=prog id=a.b domain=web-1 ms=-5 error=\"No such file or directory\"\n");
}

static void json(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        log_setup("prog", LOG_INFO, LOG_FORMAT_JSON);
        CAPTURED(&b, LOG(LOG_ERROR, "a.b", LOG_S("name", "q\"\n\x1b\xff"), LOG_I("n", INT64_MIN)));
        const char *text = buf_cstr(&b);
        assert_int_equal(strncmp(text, "{\"ts\":\"20", 9), 0);
        assert_string_equal(strstr(text, "\",\"level\""),
                            "\",\"level\":\"error\",\"program\":\"prog\",\"id\":\"a.b\","
                            "\"name\":\"q\\\"\\n\\u001b\xEF\xBF\xBD\",\"n\":-9223372036854775808}\n");
}

static void journal(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        log_setup("prog", LOG_DEBUG, LOG_FORMAT_JOURNAL);
        CAPTURED(&b, LOG(LOG_DEBUG, "a.b"); LOG(LOG_NOTICE, "c", LOG_S("k", NULL)));
        assert_string_equal(buf_cstr(&b), "<7>id=a.b\n<5>id=c k=\"\"\n");
}

static void what_is_too_verbose_is_left_out(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        log_setup("prog", LOG_WARN, LOG_FORMAT_JOURNAL);
        CAPTURED(&b, LOG(LOG_NOTICE, "no"); LOG_LIMITED(LOG_INFO, "no", "k"); LOG(LOG_WARN, "yes"));
        assert_string_equal(buf_cstr(&b), "<4>id=yes\n");
}

static void values_cannot_break_out(void **state) {
        (void)state;
        static const struct {
                const char *in, *out;
        } CASES[] = {
                { "plain", "plain" },
                { "", "\"\"" },
                { "two words", "\"two words\"" },
                { "a=b", "\"a=b\"" },
                { "a\" level=error x=\"", "\"a\\\" level=error x=\\\"\"" },
                { "back\\slash", "\"back\\\\slash\"" },
                { "new\nline\r", "\"new\\nline\\x0d\"" },
                { "\x1b[2J", "\"\\x1b[2J\"" },
                { "\xC2\x9B"
                  "31m",
                  "\"\\x9b31m\"" },
                { "\xff\xfe", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },
                { "\xC3\xA4", "\"\xC3\xA4\"" },
        };
        log_setup("prog", LOG_INFO, LOG_FORMAT_JOURNAL);
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf b = BUF_NULL, want = BUF_NULL;
                CAPTURED(&b, LOG(LOG_INFO, "x", LOG_S("v", CASES[i].in)));
                buf_printf(&want, "<6>id=x v=%s\n", CASES[i].out);
                assert_string_equal(buf_cstr(&b), buf_cstr(&want));
        }
}

static void long_values_are_cut_at_a_character(void **state) {
        (void)state;
        char name[5000];
        for (size_t i = 0; i + 1 < sizeof name; i += 3)
                memcpy(name + i, "\xE2\x82\xAC", i + 3 < sizeof name ? 3 : sizeof name - 1 - i);
        name[sizeof name - 1] = '\0';
        static const LogFormat ALL[] = { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON, LOG_FORMAT_JOURNAL };
        for (size_t i = 0; i < ARRAY_LEN(ALL); i++) {
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                log_setup("prog", LOG_INFO, ALL[i]);
                CAPTURED(&b, LOG(LOG_INFO, "x", LOG_S("v", name)));
                assert_int_equal(lines_of(&b), 1);
                assert_true(b.len > 2000 && b.len < 2200);
                assert_true(utf8_valid(b.data, b.len));
                assert_null(strstr(buf_cstr(&b), "\xEF\xBF\xBD"));
                assert_non_null(strstr(buf_cstr(&b), "\xE2\x82\xAC\xE2\x80\xA6\""));
        }
}

/* A record over the limit shrinks to its id rather than to half a document. */
static void a_record_that_is_too_long_keeps_its_id(void **state) {
        (void)state;
        char hostile[2000];
        memset(hostile, '\x1b', sizeof hostile - 1);
        hostile[sizeof hostile - 1] = '\0';
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        log_setup("prog", LOG_INFO, LOG_FORMAT_JSON);
        LogField fields[9] = { 0 };
        for (size_t i = 0; i < 8; i++)
                fields[i] = LOG_S("v", hostile);
        CAPTURED(&b, log_emit(LOG_INFO, "long", fields));
        assert_int_equal(lines_of(&b), 1);
        assert_string_equal(strstr(buf_cstr(&b), "\"id\""), "\"id\":\"long\"}\n");
}

static MonoTime test_now;

static MonoTime clock_of_the_test(void) {
        return test_now;
}

static void repeated_complaints_are_held_back(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        log_setup("prog", LOG_INFO, LOG_FORMAT_JOURNAL);
        test_now = (MonoTime){ 1000 * NS_PER_SEC };
        log_set_clock(clock_of_the_test);
        Capture c = capture_begin();
        for (int i = 0; i < 121; i++) {
                LOG_LIMITED(LOG_WARN, "stuck", "one", LOG_I("i", i));
                if (i == 3)
                        LOG_LIMITED(LOG_WARN, "stuck", "two");
                if (i == 4)
                        LOG_LIMITED(LOG_WARN, "other", "one");
                if (i == 5)
                        LOG_LIMITED(LOG_WARN, "other", NULL);
                test_now.ns += NS_PER_SEC;
        }
        capture_end(&c, &b);
        log_set_clock(NULL);
        assert_string_equal(buf_cstr(&b), "<4>id=stuck i=0\n<4>id=stuck\n<4>id=other\n<4>id=other\n"
                                          "<4>id=stuck i=60 held_back=59\n<4>id=stuck i=120 held_back=59\n");
}

/* A tenant that makes up names cannot flood the log, nor what the table holds; later everyone is heard again. */
static void a_flood_of_keys_is_bounded(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, later = BUF_NULL;
        log_setup("prog", LOG_INFO, LOG_FORMAT_JOURNAL);
        test_now = (MonoTime){ 100000 * NS_PER_SEC };
        log_set_clock(clock_of_the_test);
        Capture c = capture_begin();
        for (int i = 0; i < 10000; i++) {
                char key[16];
                (void)snprintf(key, sizeof key, "vm%d", i);
                LOG_LIMITED(LOG_WARN, "flood", key);
        }
        capture_end(&c, &b);
        assert_int_equal(lines_of(&b), 257);
        test_now.ns += 61 * NS_PER_SEC;
        CAPTURED(&later, LOG_LIMITED(LOG_WARN, "flood", "vm9999"); LOG_LIMITED(LOG_WARN, "flood", "vm9998"));
        log_set_clock(NULL);
        assert_int_equal(lines_of(&later), 2);
}

static void errno_is_left_alone_and_has_a_text(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        errno = ENOTTY;
        CAPTURED(&b, errno = ENOTTY; LOG(LOG_ERROR, "x"); assert_int_equal(errno, ENOTTY));
        assert_string_equal(log_errno_text(-EACCES), "Permission denied");
        assert_string_equal(log_errno_text(-99999), "unknown error");
        assert_string_equal(log_errno_text(INT32_MIN + 1), "unknown error");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(logfmt),
                cmocka_unit_test(json),
                cmocka_unit_test(journal),
                cmocka_unit_test(what_is_too_verbose_is_left_out),
                cmocka_unit_test(values_cannot_break_out),
                cmocka_unit_test(long_values_are_cut_at_a_character),
                cmocka_unit_test(a_record_that_is_too_long_keeps_its_id),
                cmocka_unit_test(repeated_complaints_are_held_back),
                cmocka_unit_test(a_flood_of_keys_is_bounded),
                cmocka_unit_test(errno_is_left_alone_and_has_a_text),
        };
        return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
