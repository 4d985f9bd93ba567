#include "model/labels.h"

#include "base/varint.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static Span span(const char *text) {
        return (Span){ text, strlen(text) };
}

static void put_field(Buf *run, char tag, Span s) {
        uint8_t length[VARINT_MAX];
        buf_put_char(run, tag);
        buf_put(run, length, varint_put(length, s.len));
        buf_put(run, s.text, s.len);
}

/* Appends a label by the letter of the protocol, whatever it is. */
static void put_label(Buf *run, Span name, Span value) {
        CLEANUP(buf_deinit) Buf body = BUF_NULL;
        put_field(&body, 0x0a, name);
        put_field(&body, 0x12, value);
        put_field(run, 0x0a, (Span){ body.data, body.len });
}

/* A run of names and values, in the order given, NULL at the end. */
static void put_labels(Buf *run, const char *const *texts) {
        for (; *texts; texts += 2)
                put_label(run, span(texts[0]), span(texts[1]));
}
#define RUN(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Parses an exact copy: a sanitizer sees one byte too many. */
static LabelsFault parse(const Buf *run, size_t *ret_n, size_t *ret_at) {
        CLEANUP_FREE uint8_t *exact = malloc(run->len ? run->len : 1);
        assert_non_null(exact);
        memcpy(exact, run->data ? run->data : "", run->len);
        Label labels[LABELS_MAX];
        return labels_parse(exact, run->len, labels, ret_n, ret_at);
}

static void expect_fault(const Buf *run, LabelsFault fault, size_t at) {
        size_t n = 77, where = 77;
        assert_int_equal(parse(run, &n, &where), fault);
        assert_int_equal(n, 77);
        assert_int_equal(where, at);
}

static void a_run_is_split(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        put_labels(&run, RUN("__name__", "up", "job", "x", "vm", "\xC3\xA4"));
        Label labels[LABELS_MAX];
        size_t n = 0, at = 0;
        assert_int_equal(labels_parse((uint8_t *)run.data, run.len, labels, &n, &at), LABELS_OK);
        assert_int_equal(n, 3);
        assert_true(span_is(labels[0].name, "__name__") && span_is(labels[0].value, "up"));
        assert_true(span_is(labels[2].name, "vm") && span_is(labels[2].value, "\xC3\xA4"));
        Label again[LABELS_MAX];
        assert_int_equal(labels_split((uint8_t *)run.data, run.len, again), 3);
        assert_memory_equal(labels, again, 3 * sizeof *labels);
        Span value;
        assert_true(labels_get((uint8_t *)run.data, run.len, "job", &value) && span_is(value, "x"));
        assert_false(labels_get((uint8_t *)run.data, run.len, "jo", &value));
        assert_false(labels_get((uint8_t *)run.data, run.len, "zone", &value));
        assert_int_equal(labels_split(NULL, 0, again), 0);
}

static void faults_have_a_place(void **state) {
        (void)state;
        const struct {
                const char *const *texts;
                LabelsFault fault;
                size_t at;
        } CASES[] = {
                { RUN("__name__", "up", "b", "1", "a", "2"), LABELS_UNSORTED, 2 },
                { RUN("__name__", "up", "ab", "1", "aa", "2"), LABELS_UNSORTED, 2 },
                { RUN("__name__", "up", "ab", "1", "a", "2"), LABELS_UNSORTED, 2 },
                { RUN("__name__", "up", "a", "1", "a", "2"), LABELS_DUPLICATE, 2 },
                { RUN("__name__", "up", "", "1"), LABELS_NAME_EMPTY, 1 },
                { RUN("__name__", "up", "a", ""), LABELS_VALUE_EMPTY, 1 },
                { RUN("__name__", "up", "a\xFF", "1"), LABELS_NOT_UTF8, 1 },
                { RUN("__name__", "up", "a", "\xED\xA0\x80"), LABELS_NOT_UTF8, 1 },
                { RUN("a", "1", "b", "2"), LABELS_NO_METRIC_NAME, 0 },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf run = BUF_NULL;
                put_labels(&run, CASES[i].texts);
                expect_fault(&run, CASES[i].fault, CASES[i].at);
        }
        CLEANUP(buf_deinit) Buf nul = BUF_NULL;
        put_label(&nul, span("__name__"), (Span){ "u\0p", 3 });
        expect_fault(&nul, LABELS_NOT_UTF8, 0);
        expect_fault(&BUF_NULL, LABELS_NO_METRIC_NAME, 0);
}

static void limits_are_exact(void **state) {
        (void)state;
        char text[LABEL_VALUE_MAX + 2];
        memset(text, 'x', sizeof text);
        static const struct {
                size_t name, value;
                LabelsFault fault;
        } CASES[] = {
                { LABEL_NAME_MAX, LABEL_VALUE_MAX, LABELS_OK },
                { LABEL_NAME_MAX + 1, 1, LABELS_NAME_LONG },
                { 1, LABEL_VALUE_MAX + 1, LABELS_VALUE_LONG },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf run = BUF_NULL;
                put_labels(&run, RUN("__name__", "up"));
                put_label(&run, (Span){ text, CASES[i].name }, (Span){ text, CASES[i].value });
                size_t n = 0, at = 0;
                assert_int_equal(parse(&run, &n, &at), CASES[i].fault);
                assert_int_equal(at, 1);
        }
        CLEANUP(buf_deinit) Buf many = BUF_NULL;
        put_labels(&many, RUN("__name__", "up"));
        for (unsigned i = 1; i <= LABELS_MAX; i++) {
                size_t n = 0, at = 0;
                assert_int_equal(parse(&many, &n, &at), LABELS_OK);
                char name[8];
                (void)snprintf(name, sizeof name, "a%03u", i);
                put_label(&many, span(name), span("1"));
        }
        expect_fault(&many, LABELS_TOO_MANY, LABELS_MAX);
        CLEANUP(buf_deinit) Buf fat = BUF_NULL;
        put_labels(&fat, RUN("__name__", "up"));
        for (char c = 'a'; fat.len <= LABEL_RUN_MAX; c++)
                put_label(&fat, (Span){ &c, 1 }, (Span){ text, LABEL_VALUE_MAX });
        expect_fault(&fat, LABELS_RUN_LONG, 0);
}

static void only_the_canonical_form_is_a_run(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        put_labels(&run, RUN("__name__", "up", "job", "x"));
        /* Cut anywhere but between labels. */
        for (size_t len = 1; len < run.len; len++) {
                size_t n = 0, at = 0;
                LabelsFault fault = parse(&(Buf){ .data = run.data, .len = len }, &n, &at);
                assert_int_equal(fault, len == 16 ? LABELS_OK : LABELS_MALFORMED);
        }
        /* A byte too many, lengths that are too long by one byte, other fields, other order. */
        static const struct {
                const char *bytes;
                size_t n;
        } BAD[] = {
                { "\x0a\x07\x0a\x01" "a\x12\x01" "b\x00", 9 }, { "\x0a\x86\x00\x0a\x01" "a\x12\x01" "b", 9 },
                { "\x0a\x07\x0a\x81\x00" "a\x12\x01" "b", 9 }, { "\x0a\x07\x0a\x01" "a\x12\x81\x00" "b", 9 },
                { "\x0a\x06\x12\x01" "b\x0a\x01" "a", 8 },     { "\x0a\x03\x0a\x01" "a", 5 },
                { "\x0a\x08\x0a\x01" "a\x12\x01" "b\x1a\x00", 10 }, { "\x12\x06\x0a\x01" "a\x12\x01" "b", 8 },
                { "\x0a\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11 }, { "\x0a", 1 }, { "\x0a\x00", 2 },
        };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
                expect_fault(&(Buf){ .data = (char *)BAD[i].bytes, .len = BAD[i].n }, LABELS_MALFORMED, 0);
}

static void building_sorts_and_drops(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf expected = BUF_NULL, run = BUF_NULL;
        put_labels(&expected, RUN("__name__", "up", "a", "1", "b", "2"));
        Label labels[] = { { span("b"), span("2") },
                           { span("c"), span("") },
                           { span("a"), span("1") },
                           { span("__name__"), span("up") } };
        buf_put_str(&run, "before");
        assert_int_equal(labels_build(labels, ARRAY_LEN(labels), &run), LABELS_OK);
        assert_int_equal(run.len, 6 + expected.len);
        assert_memory_equal(run.data + 6, expected.data, expected.len);
        Label twice[] = { { span("a"), span("1") }, { span("a"), span("2") } };
        assert_int_equal(labels_build(twice, 2, &run), LABELS_DUPLICATE);
        assert_int_equal(run.len, 6 + expected.len);
        Label unnamed[] = { { span(""), span("1") } };
        assert_int_equal(labels_build(unnamed, 1, &run), LABELS_NAME_EMPTY);
        Label bad[] = { { span("a"), span("\xC3") } };
        assert_int_equal(labels_build(bad, 1, &run), LABELS_NOT_UTF8);
        assert_int_equal(labels_build(NULL, 0, &run), LABELS_OK);
        assert_int_equal(run.len, 6 + expected.len);
        CLEANUP(buf_deinit) Buf tight = BUF_WITH_LIMIT(4);
        Label one[] = { { span("a"), span("1") } };
        assert_int_equal(labels_build(one, 1, &tight), LABELS_OK);
        assert_int_equal(buf_error(&tight), -EFBIG);
}

static void building_knows_the_limits(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        Label labels[LABELS_MAX + 1];
        char names[LABELS_MAX + 1][8], text[LABEL_VALUE_MAX];
        memset(text, 'x', sizeof text);
        for (unsigned i = 0; i <= LABELS_MAX; i++) {
                (void)snprintf(names[i], sizeof names[i], "n%u", (i * 37) % (LABELS_MAX + 1));
                labels[i] = (Label){ span(names[i]), span("v") };
        }
        assert_int_equal(labels_build(labels, LABELS_MAX + 1, &run), LABELS_TOO_MANY);
        labels[3].value.len = 0;
        assert_int_equal(labels_build(labels, LABELS_MAX + 1, &run), LABELS_OK);
        for (unsigned i = 0; i < LABELS_MAX; i++)
                labels[i].value = (Span){ text, sizeof text };
        assert_int_equal(labels_build(labels, LABELS_MAX, &run), LABELS_RUN_LONG);
        labels[0].name = (Span){ text, LABEL_NAME_MAX + 1 };
        assert_int_equal(labels_build(labels, 1, &run), LABELS_NAME_LONG);
}

static int sign(int v) {
        return v < 0 ? -1 : v > 0;
}

static void the_order_of_series(void **state) {
        (void)state;
        /* Ascending; by bytes of the run, some of these would be the other way round. */
        const char *const *const ORDERED[] = {
                RUN("__name__", "aa"),
                RUN("__name__", "aa", "a", "1"),
                RUN("__name__", "aa", "a", "1", "b", "1"),
                RUN("__name__", "aa", "a", "10"),
                RUN("__name__", "aa", "a", "2"),
                RUN("__name__", "aa", "aa", "1"),
                RUN("__name__", "aa", "b", "0"),
                RUN("__name__", "aaa"),
                RUN("__name__", "b"),
                RUN("__name__", "b", "a", "\x7F"),
                RUN("__name__", "b", "a", "\xC3\xA4"),
        };
        for (size_t i = 0; i < ARRAY_LEN(ORDERED); i++)
                for (size_t k = 0; k < ARRAY_LEN(ORDERED); k++) {
                        CLEANUP(buf_deinit) Buf a = BUF_NULL, b = BUF_NULL;
                        put_labels(&a, ORDERED[i]);
                        put_labels(&b, ORDERED[k]);
                        int r = labels_compare((uint8_t *)a.data, a.len, (uint8_t *)b.data, b.len);
                        assert_int_equal(sign(r), i < k ? -1 : i > k);
                }
        assert_int_equal(labels_compare(NULL, 0, NULL, 0), 0);
}

static void expect_print(const char *const *texts, const char *printed) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL, out = BUF_NULL;
        put_labels(&run, texts);
        labels_print((uint8_t *)run.data, run.len, &out);
        assert_string_equal(buf_cstr(&out), printed);
}

static void printing(void **state) {
        (void)state;
        expect_print(RUN("__name__", "up"), "up");
        expect_print(RUN("__name__", "up", "job", "x", "vm", "a\"b\\c\n"), "up{job=\"x\", vm=\"a\\\"b\\\\c\\n\"}");
        expect_print(RUN("Zone", "1", "__name__", "a:b"), "a:b{Zone=\"1\"}");
        expect_print(RUN("job", "x"), "{job=\"x\"}");
        expect_print(RUN("__name__", "my metric", "a.b", "1"), "{\"my metric\", \"a.b\"=\"1\"}");
        expect_print(RUN("__name__", "9up"), "{\"9up\"}");
        expect_print((const char *const[]){ NULL }, "{}");
}

static void every_fault_has_a_text(void **state) {
        (void)state;
        for (int f = LABELS_OK; f < LABELS_FAULT_COUNT; f++)
                assert_true(strlen(labels_fault_text((LabelsFault)f)) > 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_run_is_split),
                cmocka_unit_test(faults_have_a_place),
                cmocka_unit_test(limits_are_exact),
                cmocka_unit_test(only_the_canonical_form_is_a_run),
                cmocka_unit_test(building_sorts_and_drops),
                cmocka_unit_test(building_knows_the_limits),
                cmocka_unit_test(the_order_of_series),
                cmocka_unit_test(printing),
                cmocka_unit_test(every_fault_has_a_text),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
