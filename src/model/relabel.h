/* Prometheus relabelling: rules that keep, drop and rewrite sets of labels. The same for targets (relabel_configs), for
 * what they send (metric_relabel_configs) and for what remote write sends on (write_relabel_configs).
 *
 * As Prometheus 3 does: expressions are RE2, match the whole text and see newlines with ".", names may be any UTF-8,
 * `hashmod` takes the last eight bytes of MD5, `labelmap` sees the labels as they were before it. Rules are immutable
 * once made, so several threads may use them; a set belongs to one. rt/relabel_settings.h reads them from YAML. */
#pragma once

#include "model/label_set.h"

#define RELABEL_RULES_MAX 1000u
#define RELABEL_SOURCES_MAX 64u

typedef enum RelabelAction {
        RELABEL_REPLACE,
        RELABEL_KEEP,
        RELABEL_DROP,
        RELABEL_KEEPEQUAL,
        RELABEL_DROPEQUAL,
        RELABEL_HASHMOD,
        RELABEL_LABELMAP,
        RELABEL_LABELDROP,
        RELABEL_LABELKEEP,
        RELABEL_LOWERCASE,
        RELABEL_UPPERCASE,
        RELABEL_ACTION_COUNT
} RelabelAction;

/* A rule as it is written. What was not written stays NULL (or 0) and gets Prometheus's default. */
typedef struct RelabelSpec {
        const char *action; /* any case; "replace" */
        const char *const *source_labels;
        size_t n_source_labels;
        const char *separator;    /* ";" */
        const char *regex;        /* "(.*)" */
        const char *target_label;
        const char *replacement;  /* "$1" */
        uint64_t modulus;
} RelabelSpec;

typedef struct RelabelRule RelabelRule;

typedef struct RelabelRules {
        RelabelRule **rules; /* owned */
        size_t n;
} RelabelRules;

#define RELABEL_RULES_NULL ((RelabelRules){ 0 })

/* "replace", ... */
const char *relabel_action_name(RelabelAction a);
/* Appends a rule. 0; -EINVAL with the reason appended to ret_error; -ENOMEM. */
int relabel_rules_add(RelabelRules *r, const RelabelSpec *spec, Buf *ret_error) MUST_USE;
void relabel_rules_deinit(RelabelRules *r);
/* Whether two lists say the same. */
bool relabel_rules_equal(const RelabelRules *a, const RelabelRules *b);

/* 1: keep the set, as it is now; 0: drop it (what it holds is of no use then); -E2BIG when it would exceed the limits
 * of a set; -ENOMEM. */
int relabel_apply(const RelabelRules *r, LabelDraft *set) MUST_USE;
/* The same for a canonical run: 1 with the new run appended to out; 0 dropped; -EINVAL with *ret_fault when what came
 * out is no set of labels that a series may have; -E2BIG; -ENOMEM. `scratch` is only to save allocations. */
int relabel_run(const RelabelRules *r, const uint8_t *run, size_t len, LabelDraft *scratch, Buf *out,
                LabelsFault *ret_fault) MUST_USE;
