#include "rt/relabel_settings.h"

#include "base/regex.h"
#include "rt/yaml_fields.h"

typedef struct RuleText {
        char *action, *separator, *regex, *target_label, *replacement;
        uint64_t modulus;
        YamlTexts source_labels;
} RuleText;

static void rule_text_deinit(RuleText *t) {
        free(t->action);
        free(t->separator);
        free(t->regex);
        free(t->target_label);
        free(t->replacement);
        yaml_texts_deinit(&t->source_labels);
}

static void bind_rule(const YamlNode *n, const char *where, void *owner, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "source_labels", YAML_TEXTS, offsetof(RuleText, source_labels), 0, RELABEL_SOURCES_MAX },
                { "separator", YAML_TEXT, offsetof(RuleText, separator), 0, 4096 },
                { "regex", YAML_TEXT, offsetof(RuleText, regex), 0, REGEX_TEXT_MAX },
                { "modulus", YAML_COUNT, offsetof(RuleText, modulus), 0, INT64_MAX },
                { "target_label", YAML_TEXT, offsetof(RuleText, target_label), 0, LABEL_VALUE_MAX },
                { "replacement", YAML_TEXT, offsetof(RuleText, replacement), 0, LABEL_VALUE_MAX },
                { "action", YAML_TEXT, offsetof(RuleText, action), 1, 64 },
        };
        CLEANUP(rule_text_deinit) RuleText t = { 0 };
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        unsigned before = e->n;
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), &t, e);
        if (e->n != before)
                return;
        RelabelSpec spec = {
                .action = t.action,
                .source_labels = (const char *const *)t.source_labels.texts,
                .n_source_labels = t.source_labels.n,
                .separator = t.separator,
                .regex = t.regex,
                .target_label = t.target_label,
                .replacement = t.replacement,
                .modulus = t.modulus,
        };
        int r = relabel_rules_add(owner, &spec, &why);
        if (r < 0)
                yaml_error(e, n->line, n->column, "%s: %s", where, r == -ENOMEM ? "out of memory" : buf_cstr(&why));
}

void relabel_settings_bind(const YamlNode *list, const char *where, void *member, YamlErrors *e) {
        yaml_each(list, where, RELABEL_RULES_MAX, bind_rule, member, e);
}
