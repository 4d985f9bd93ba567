#include "model/relabel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* Labels as "name=value name=value"; nothing in them is a space. */
static void put_labels(LabelDraft *s, const char *text) {
        Scan scan = SCAN(text, strlen(text));
        Span word;
        while (scan_word(&scan, &word)) {
                const char *equal = memchr(word.text, '=', word.len);
                assert_non_null(equal);
                size_t n = (size_t)(equal - word.text);
                label_set_add(s, (Span){ word.text, n }, (Span){ equal + 1, word.len - n - 1 });
        }
}

static void print_labels(LabelDraft *s, Buf *out) {
        label_set_settle(s);
        for (size_t i = 0; i < s->n; i++) {
                Label l = s->items[i].label;
                buf_put_str(out, i ? " " : "");
                buf_put(out, l.name.text, l.name.len);
                buf_put_char(out, '=');
                buf_put(out, l.value.text, l.value.len);
        }
}

static void add(RelabelRules *rules, const RelabelSpec *spec) {
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        int r = relabel_rules_add(rules, spec, &why);
        if (r < 0)
                fail_msg("%s", buf_cstr(&why));
}

#define SOURCES(...) .source_labels = (const char *const[]){ __VA_ARGS__ }, \
                     .n_source_labels = ARRAY_LEN(((const char *const[]){ __VA_ARGS__ }))

static void rules_as_prometheus_has_them(void **state) {
        (void)state;
        const struct {
                const char *in;
                RelabelSpec rules[3];
                const char *out; /* NULL: dropped */
        } CASES[] = {
                { "a=foo b=bar",
                  { { SOURCES("a"), .regex = "f(.*)", .target_label = "d", .replacement = "ch${1}-ch${1}" } },
                  "a=foo b=bar d=choo-choo" },
                { "a=foo b=bar c=baz",
                  { { SOURCES("a", "b"), .regex = "f(.*);(.*)r", .target_label = "a", .replacement = "b${1}${2}m" },
                    { SOURCES("c", "a"), .regex = "(b).*b(.*)ba(.*)", .target_label = "d",
                      .replacement = "$1$2$2$3" } },
                  "a=boobam b=bar c=baz d=boooom" },
                /* Anchored: "o$" is not all of it. */
                { "a=foo", { { SOURCES("a"), .regex = "o$", .action = "drop" } }, "a=foo" },
                { "a=foo", { { SOURCES("a"), .regex = ".*o.*", .action = "drop" } }, NULL },
                { "a=foo", { { SOURCES("a"), .regex = "foo", .action = "keep" } }, "a=foo" },
                { "a=foo", { { SOURCES("a"), .regex = "no", .action = "Keep" } }, NULL },
                { "a=foo", { { SOURCES("none"), .regex = ".+", .action = "keep" } }, NULL },
                { "a=x b=x", { { SOURCES("a"), .target_label = "b", .action = "keepequal" } }, "a=x b=x" },
                { "a=x b=y", { { SOURCES("a"), .target_label = "b", .action = "keepequal" } }, NULL },
                { "a=x b=x", { { SOURCES("a"), .target_label = "b", .action = "dropequal" } }, NULL },
                { "a=x b=y", { { SOURCES("a"), .target_label = "b", .action = "dropequal" } }, "a=x b=y" },
                { "c=x", { { SOURCES("a"), .target_label = "b", .action = "dropequal" } }, NULL }, /* "" is "" */
                /* No match leaves the label, an empty result deletes it. */
                { "a=foo b=bar", { { SOURCES("a"), .regex = "no", .target_label = "b", .replacement = "new" } },
                  "a=foo b=bar" },
                { "a=foo b=bar", { { SOURCES("a"), .regex = "(x?)foo", .target_label = "b", .replacement = "$1" } },
                  "a=foo" },
                { "a=1", { { .target_label = "b", .replacement = "fixed" } }, "a=1 b=fixed" },
                { "a=1 b=2", { { .target_label = "b", .replacement = "" } }, "a=1" },
                /* The target may have groups; one that comes out empty changes nothing. */
                { "a=env:prod",
                  { { SOURCES("a"), .regex = "(\\w+):(\\w+)", .target_label = "x_${1}", .replacement = "$2" } },
                  "a=env:prod x_env=prod" },
                { "a=b", { { SOURCES("a"), .regex = "(c?)b", .target_label = "$1", .replacement = "v" } }, "a=b" },
                { "a=b", {
                        { SOURCES("a"), .regex = "(?P<what>.)", .target_label = "t",
                          .replacement = "${what}-$what-$whatx-$$" } },
                  "a=b t=b-b--$" },
                { "a=host:9100", { { SOURCES("a"), .regex = "([^:]+)(:\\d+)?", .target_label = "a" } }, "a=host" },
                { "a=foo b=bar c=baz", { { SOURCES("c"), .target_label = "d", .action = "hashmod", .modulus = 1000 } },
                  "a=foo b=bar c=baz d=976" },
                { "a=1", { { SOURCES("none"), .target_label = "d", .action = "hashmod", .modulus = UINT64_MAX } },
                  "a=1 d=16825458760271544958" }, /* d41d8cd98f00b204 e9800998ecf8427e */
                { "__meta_x_a=1 __meta_x_b=2 c=3", { { .regex = "__meta_x_(.+)", .action = "labelmap" } },
                  "__meta_x_a=1 __meta_x_b=2 a=1 b=2 c=3" },
                /* Labels that were set come behind those that were found. */
                { "m_1=old m_2=two",
                  { { .target_label = "m_1", .replacement = "new" },
                    { .regex = "m_.", .replacement = "x", .action = "labelmap" } },
                  "m_1=new m_2=two x=new" },
                { "a=1 b=2 ab=3", { { .regex = "a.*", .action = "labeldrop" } }, "b=2" },
                { "a=1 b=2 ab=3", { { .regex = "a.*", .action = "labelkeep" } }, "a=1 ab=3" },
                { "a=bAr123Foo", { { SOURCES("a"), .target_label = "l", .action = "lowercase" },
                                   { SOURCES("a"), .target_label = "u", .action = "uppercase" } },
                  "a=bAr123Foo l=bar123foo u=BAR123FOO" },
                { "a=\xC3\x84\xD0\x96\xE8\x99\x9A", { { SOURCES("a"), .target_label = "a", .action = "lowercase" } },
                  "a=\xC3\xA4\xD0\xB6\xE8\x99\x9A" },
                { "http.status=200 \xE4\xB8\xBB=x",
                  { { SOURCES("http.status", "\xE4\xB8\xBB"), .separator = "/", .target_label = "my.label" } },
                  "http.status=200 my.label=200/x \xE4\xB8\xBB=x" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(relabel_rules_deinit) RelabelRules rules = RELABEL_RULES_NULL;
                CLEANUP(label_set_deinit) LabelDraft set = LABEL_SET_NULL;
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                for (size_t j = 0; j < 3; j++)
                        if (CASES[i].rules[j].action || CASES[i].rules[j].target_label)
                                add(&rules, &CASES[i].rules[j]);
                        else if (CASES[i].rules[j].regex)
                                add(&rules, &CASES[i].rules[j]);
                put_labels(&set, CASES[i].in);
                int keep = relabel_apply(&rules, &set);
                assert_int_equal(keep, CASES[i].out != NULL);
                if (!keep)
                        continue;
                print_labels(&set, &out);
                assert_string_equal(buf_cstr(&out), CASES[i].out);
        }
}

static void wrong_rules_are_explained(void **state) {
        (void)state;
        const struct {
                RelabelSpec spec;
                const char *why;
        } WRONG[] = {
                { { .action = "rename" }, "unknown action \"rename\"" },
                { { SOURCES("a") }, "needs a 'target_label'" },
                { { .action = "hashmod", .target_label = "a" }, "'modulus'" },
                { { .action = "uppercase", .target_label = "a", .replacement = "x" }, "'replacement' can not be set" },
                { { .action = "keepequal", .target_label = "a", .regex = "(.*)" }, "no other keys" },
                { { .action = "labeldrop", SOURCES("a"), .regex = "a" }, "no other keys" },
                { { .action = "labelkeep", .regex = "a", .separator = "," }, "no other keys" },
                { { .action = "labelmap", .replacement = "" }, "expected the name of a label" },
                { { .action = "keep", .regex = "(" }, "the 'regex' is not one: missing )" },
                { { .action = "keep", SOURCES("") }, "an empty name" },
                { { .target_label = "\xFF" }, "not UTF-8" },
        };
        for (size_t i = 0; i < ARRAY_LEN(WRONG); i++) {
                CLEANUP(relabel_rules_deinit) RelabelRules rules = RELABEL_RULES_NULL;
                CLEANUP(buf_deinit) Buf why = BUF_NULL;
                assert_int_equal(relabel_rules_add(&rules, &WRONG[i].spec, &why), -EINVAL);
                assert_non_null(strstr(buf_cstr(&why), WRONG[i].why));
                assert_int_equal(rules.n, 0);
        }
}

static void values_do_not_grow_without_end(void **state) {
        (void)state;
        CLEANUP(relabel_rules_deinit) RelabelRules rules = RELABEL_RULES_NULL;
        CLEANUP(label_set_deinit) LabelDraft set = LABEL_SET_NULL;
        for (size_t i = 0; i < 20; i++)
                add(&rules, &(RelabelSpec){ SOURCES("a"), .target_label = "a", .replacement = "$1$1$1$1" });
        label_set_add(&set, span_of("a"), span_of("x"));
        assert_int_equal(relabel_apply(&rules, &set), -E2BIG);
}

static void runs(void **state) {
        (void)state;
        CLEANUP(relabel_rules_deinit) RelabelRules rules = RELABEL_RULES_NULL;
        CLEANUP(label_set_deinit) LabelDraft scratch = LABEL_SET_NULL;
        CLEANUP(buf_deinit) Buf run = BUF_NULL, out = BUF_NULL, text = BUF_NULL;
        LabelsFault fault = LABELS_OK;
        Label labels[] = { { span_of("__name__"), span_of("up") }, { span_of("job"), span_of("x") } };
        assert_int_equal(labels_build(labels, 2, &run), LABELS_OK);
        const uint8_t *bytes = (const uint8_t *)run.data;
        add(&rules, &(RelabelSpec){ SOURCES("__name__"), .regex = "up|down", .action = "keep" });
        add(&rules, &(RelabelSpec){ SOURCES("job"), .target_label = "service" });
        assert_int_equal(relabel_run(&rules, bytes, run.len, &scratch, &out, &fault), 1);
        labels_print((uint8_t *)out.data, out.len, &text);
        assert_string_equal(buf_cstr(&text), "up{job=\"x\", service=\"x\"}");
        add(&rules, &(RelabelSpec){ .regex = "__name__", .action = "labeldrop" });
        assert_int_equal(relabel_run(&rules, bytes, run.len, &scratch, &out, &fault), -EINVAL);
        assert_int_equal(fault, LABELS_NO_METRIC_NAME);
        add(&rules, &(RelabelSpec){ SOURCES("job"), .regex = "x", .action = "drop" });
        assert_int_equal(relabel_run(&rules, bytes, run.len, &scratch, &out, &fault), 0);
}

static void lists_are_compared(void **state) {
        (void)state;
        CLEANUP(relabel_rules_deinit) RelabelRules a = RELABEL_RULES_NULL, b = RELABEL_RULES_NULL;
        assert_true(relabel_rules_equal(&a, &b));
        add(&a, &(RelabelSpec){ SOURCES("x"), .target_label = "y" });
        assert_false(relabel_rules_equal(&a, &b));
        add(&b, &(RelabelSpec){ SOURCES("x"), .target_label = "y", .separator = ";", .regex = "(.*)" });
        assert_true(relabel_rules_equal(&a, &b));
        add(&a, &(RelabelSpec){ SOURCES("x"), .target_label = "y" });
        add(&b, &(RelabelSpec){ SOURCES("z"), .target_label = "y" });
        assert_false(relabel_rules_equal(&a, &b));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(rules_as_prometheus_has_them),
                cmocka_unit_test(wrong_rules_are_explained),
                cmocka_unit_test(values_do_not_grow_without_end),
                cmocka_unit_test(runs),
                cmocka_unit_test(lists_are_compared),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
