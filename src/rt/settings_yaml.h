/* YAML text as a tree of nodes with their places: libyaml's events, with everything refused that a
 * configuration does not need and that makes YAML dangerous (anchors, aliases, tags, several documents,
 * deep nesting). For whoever reads a configuration. */
#pragma once

#include "base/buf.h"

#define YAML_MAX_DEPTH 32
#define YAML_MAX_BYTES ((size_t)1 << 20)
#define YAML_MAX_NODES 20000u
#define YAML_MAX_ERRORS 20

typedef enum YamlKind { YAML_NULL, YAML_SCALAR, YAML_LIST, YAML_MAP } YamlKind;

typedef struct YamlNode YamlNode;
struct YamlNode {
        YamlKind kind;
        unsigned line, column; /* from 1; columns count characters */
        bool quoted;
        char *text;     /* scalars, and keys; terminated, no NUL inside */
        YamlNode *key;  /* child of a map: its key, a scalar */
        YamlNode *first, *last, *next;
};

/* What is wrong with one file, a line each: at most YAML_MAX_ERRORS, then a count. */
typedef struct YamlErrors {
        const char *file;
        Buf text;
        unsigned n;
} YamlErrors;

void yaml_errors_deinit(YamlErrors *e);
void yaml_error(YamlErrors *e, unsigned line, unsigned column, const char *fmt, ...) PRINTF_LIKE(4, 5);

/* Parses the whole text; NULL with `errors` filled, or a map or YAML_NULL (an empty file). */
YamlNode *yaml_tree(const char *text, size_t n, YamlErrors *errors);
YamlNode *yaml_node_free(YamlNode *n);
/* "a list", "a mapping", "nothing", "the text \"...\"": for messages; `out` holds it. */
const char *yaml_describe(const YamlNode *n, char *out, size_t size);

/* The text of a regular file of at most YAML_MAX_BYTES. 0 or negative errno with `errors` filled. */
int yaml_read_file(const char *path, Buf *text, YamlErrors *errors) MUST_USE;
/* All errors as one text, a line each; at least "FILE: reason of r". free(). */
char *yaml_explain(YamlErrors *errors, int r);
/* How many letters two names differ in (Levenshtein); SIZE_MAX when one is longer than 63 bytes. */
size_t yaml_edit_distance(const char *a, const char *b);

static inline void yaml_node_freep(YamlNode **n) {
        (void)yaml_node_free(*n);
}
