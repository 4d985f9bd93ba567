/* Up to the first NUL the text of rules, behind it labels as NAME NUL VALUE NUL: whatever the rules are, and whatever
 * the labels, what comes out is within the limits of a set, and a run that is built of it is canonical. */
#include "model/relabel.h"
#include "rt/relabel_settings.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static Span take_text(const char **at, const char *end) {
        const char *begin = *at, *stop = memchr(begin, 0, (size_t)(end - begin));
        stop = stop ? stop : end;
        *at = stop < end ? stop + 1 : end;
        return (Span){ begin, (size_t)(stop - begin) };
}

static void fill(LabelDraft *set, const char *at, const char *end) {
        while (at < end && set->n < LABELS_MAX) {
                Span name = take_text(&at, end), value = take_text(&at, end);
                if (name.len > 0 && label_set_get(set, name).len == 0)
                        label_set_add(set, name, value);
        }
}

static void check(const LabelDraft *set) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        Label labels[LABELS_MAX];
        size_t count, at;
        assert(set->n <= LABEL_SET_MAX && set->bytes <= LABEL_SET_BYTES_MAX);
        if (label_set_build(set, &run) != LABELS_OK || label_set_get(set, span_of(METRIC_NAME_LABEL)).len == 0)
                return;
        LabelsFault fault = labels_parse((const uint8_t *)run.data, run.len, labels, &count, &at);
        assert(fault == LABELS_OK && count == set->n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        CLEANUP(yaml_errors_deinit) YamlErrors e = { .file = "f" };
        CLEANUP(relabel_rules_deinit) RelabelRules rules = RELABEL_RULES_NULL;
        CLEANUP(label_set_deinit) LabelDraft set = LABEL_SET_NULL;
        CLEANUP_FREE char *copy = malloc(n ? n : 1);
        assert(copy);
        if (n)
                memcpy(copy, bytes, n);
        const char *at = copy, *end = copy + n;
        Span text = take_text(&at, end);
        CLEANUP(yaml_node_freep) YamlNode *root = yaml_tree(text.text, text.len, &e);
        if (root)
                relabel_settings_bind(root, "r", &rules, &e);
        fill(&set, at, end);
        int r = relabel_apply(&rules, &set);
        assert(r == 1 || r == 0 || r == -E2BIG);
        if (r == 1)
                check(&set);
        return 0;
}
