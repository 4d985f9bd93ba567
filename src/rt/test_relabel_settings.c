#include "rt/relabel_settings.h"

#include "rt/yaml_fields.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void errors_deinit(YamlErrors *e) {
        buf_deinit(&e->text);
}

/* Binds the text; what is wrong must be `expected` ("" for nothing). */
static void bind(const char *text, RelabelRules *rules, const char *expected) {
        CLEANUP(errors_deinit) YamlErrors e = { .file = "f" };
        CLEANUP(yaml_node_freep) YamlNode *root = yaml_tree(text, strlen(text), &e);
        assert_non_null(root);
        relabel_settings_bind(root, "relabel_configs", rules, &e);
        assert_string_equal(buf_cstr(&e.text), expected);
}

static void rules_are_read(void **state) {
        (void)state;
        CLEANUP(relabel_rules_deinit) RelabelRules rules = RELABEL_RULES_NULL, same = RELABEL_RULES_NULL;
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        bind("- source_labels: [__address__, port]\n"
             "  separator: ':'\n"
             "  regex: '(.+)'\n"
             "  target_label: instance\n"
             "  replacement: $1\n"
             "- {source_labels: [a], modulus: 8, target_label: t, action: HashMod}\n",
             &rules, "");
        static const char *const SOURCES[] = { "__address__", "port" };
        assert_int_equal(relabel_rules_add(&same,
                                           &(RelabelSpec){ .source_labels = SOURCES, .n_source_labels = 2,
                                                           .separator = ":",
                .regex = "(.+)", .target_label = "instance" }, &why), 0);
        assert_int_equal(relabel_rules_add(&same,
                                           &(RelabelSpec){ .source_labels = (const char *const[]){ "a" },
                                                           .n_source_labels = 1,
                .modulus = 8, .target_label = "t", .action = "hashmod" }, &why), 0);
        assert_true(relabel_rules_equal(&rules, &same));
}

static void errors_have_places(void **state) {
        (void)state;
        CLEANUP(relabel_rules_deinit) RelabelRules rules = RELABEL_RULES_NULL;
        bind("- source_label: [a]\n", &rules, "f:1:3: unknown key \"source_label\", did you mean \"source_labels\"?");
        bind("- action: keep\n  regex: '('\n", &rules,
             "f:1:3: relabel_configs[]: the 'regex' is not one: missing ): (");
        bind("- source_labels: a\n", &rules,
             "f:1:18: relabel_configs[].source_labels: found \"a\", expected a list (\"- text\")");
        bind("- modulus: -1\n", &rules,
             "f:1:12: relabel_configs[].modulus: found \"-1\", expected a whole number from 0 to 9223372036854775807");
        bind("x: 1\n", &rules, "f:1:1: relabel_configs: found a mapping, expected a list");
        bind("- \n", &rules, "f:1:2: relabel_configs[]: found nothing, expected an entry");
        bind("", &rules, "");
        assert_int_equal(rules.n, 0);
}

typedef struct Owner {
        char *text;
        bool flag;
        Duration time;
        uint64_t bytes;
        YamlTexts list;
} Owner;

static void fields_of_all_types(void **state) {
        (void)state;
        static const YamlField FIELDS[] = {
                { "text", YAML_TEXT, offsetof(Owner, text), 1, 5 },
                { "word", YAML_TEXT, offsetof(Owner, text), 1, 5, "a|bc" },
                { "flag", YAML_BOOL, offsetof(Owner, flag) },
                { "time", YAML_DURATION, offsetof(Owner, time), 1000, 60000 },
                { "bytes", YAML_BYTES, offsetof(Owner, bytes), 0, 1 << 30 },
                { "list", YAML_TEXTS, offsetof(Owner, list), 0, 2, "x|y" },
                { "other_sd", YAML_REFUSED, 0, 0, 0, "expected this_sd" },
        };
        static const struct {
                const char *yaml, *error;
        } CASES[] = {
                { "{text: abc, flag: true, time: 15s, bytes: 10MB, list: [x, y]}", "" },
                { "text:", "" },
                { "text: abcdef", "f:1:7: o.text: found 6 bytes, expected 1 to 5" },
                { "text: [a]", "f:1:7: o.text: found a list, expected a value" },
                { "word: b", "f:1:7: o.word: found \"b\", expected one of a, bc" },
                { "flag: yes", "f:1:7: o.flag: found \"yes\", expected true or false" },
                { "time: 500ms",
                  "f:1:7: o.time: found \"500ms\", expected a duration from 1s to 1m, such as 15s or 1m30s" },
                { "bytes: 1X",
                  "f:1:8: o.bytes: found \"1X\", expected a number of bytes from 0 to 1073741824, such as 10MB" },
                { "list: [x, z]", "f:1:11: o.list: found \"z\", expected one of x, y" },
                { "list: [x, x, x]", "f:1:7: o.list: found more than 2 entries" },
                { "other_sd: []", "f:1:1: o.other_sd is not supported; expected this_sd" },
                { "zzzzzzzzz: 1",
                  "f:1:1: unknown key \"zzzzzzzzz\" in o, expected one of text, word, flag, time, bytes, list" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(errors_deinit) YamlErrors e = { .file = "f" };
                CLEANUP(yaml_node_freep) YamlNode *root = yaml_tree(CASES[i].yaml, strlen(CASES[i].yaml), &e);
                Owner o = { 0 };
                yaml_bind(root, "o", FIELDS, ARRAY_LEN(FIELDS), &o, &e);
                assert_string_equal(buf_cstr(&e.text), CASES[i].error);
                if (i == 0) {
                        assert_string_equal(o.text, "abc");
                        assert_true(o.flag && o.time.ns == 15 * NS_PER_SEC && o.bytes == 10 << 20 && o.list.n == 2);
                }
                free(o.text);
                yaml_texts_deinit(&o.list);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(rules_are_read),
                cmocka_unit_test(errors_have_places),
                cmocka_unit_test(fields_of_all_types),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
