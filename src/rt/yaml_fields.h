/* Mappings of YAML onto structures by a table of fields, for the parts of the configuration that have Prometheus's
 * form: `scrape_configs`, relabelling, clients. Everything that is wrong goes to the errors, with its place; binding
 * goes on behind it. Keys that are absent or empty leave what the owner has (the defaults). */
#pragma once

#include "base/time.h"
#include "rt/settings_yaml.h"

#include <stdint.h>

typedef enum YamlType {
        YAML_TEXT,     /* char *, freed and replaced; min and max in bytes; `choices` ("a|b") closes the list */
        YAML_BOOL,     /* bool */
        YAML_DURATION, /* Duration; min and max in milliseconds */
        YAML_COUNT,    /* uint64_t; min and max */
        YAML_BYTES,    /* uint64_t: a number, or one with B, KB, MB, GB, KiB, MiB or GiB,
                all of 1024; 0 only where min is 0 */
        YAML_TEXTS,    /* YamlTexts; max entries; `choices` as above */
        YAML_OTHER,    /* `bind` sees to it */
        YAML_REFUSED,  /* known, and not to be had: `choices` says what is */
} YamlType;

typedef struct YamlTexts {
        char **texts;
        size_t n;
} YamlTexts;

typedef struct YamlField {
        const char *name;
        YamlType type;
        size_t offset; /* of the member in the owner */
        int64_t min, max;
        const char *choices;
        /* `where` is for messages ("scrape_configs[].params"). Not called for an empty value. */
        void (*bind)(const YamlNode *n, const char *where, void *member, YamlErrors *e);
} YamlField;

/* Binds a mapping; anything else is an error (but nothing is none). */
void yaml_bind(const YamlNode *map, const char *where, const YamlField *fields, size_t n_fields, void *owner,
               YamlErrors *e);
/* One value by itself. */
void yaml_bind_value(const YamlNode *n, const char *where, const YamlField *field, void *member, YamlErrors *e);
/* Calls `each` for every entry of a list of at most `most`; anything but a list is an error. */
void yaml_each(const YamlNode *list, const char *where, size_t most,
               void (*each)(const YamlNode *, const char *, void *, YamlErrors *),
               void *owner, YamlErrors *e);
/* The value of a key; NULL when it is not there. */
const YamlNode *yaml_get(const YamlNode *map, const char *key);
/* -EINVAL unless text is a number of bytes as Prometheus writes it ("10MB"). */
int yaml_bytes_parse(const char *text, uint64_t *ret_bytes) MUST_USE;
void yaml_texts_deinit(YamlTexts *t);
int yaml_texts_add(YamlTexts *t, const char *text) MUST_USE;
bool yaml_texts_equal(const YamlTexts *a, const YamlTexts *b);
