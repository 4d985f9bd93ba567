/* Groups of targets that share labels, as service discovery names them: of `static_configs`, of files (YAML or JSON)
 * and of HTTP answers. */
#pragma once

#include "rt/yaml_fields.h"

#include <stdbool.h>

#define TARGETS_MAX 10000u       /* of one source */
#define GROUP_LABELS_MAX 128u    /* of one group */
#define GROUPS_TEXT_MAX ((size_t)16 << 20) /* bytes of a file or answer */

typedef struct TargetGroup {
        YamlTexts targets;
        YamlTexts names, values; /* of labels, side by side */
} TargetGroup;

typedef struct TargetGroups {
        TargetGroup *groups;
        size_t n, n_targets;
} TargetGroups;

#define TARGET_GROUPS_NULL ((TargetGroups){ 0 })

void target_groups_deinit(TargetGroups *g);
/* As YamlField's `bind`; `member` is a TargetGroups. */
void target_groups_bind(const YamlNode *list, const char *where, void *member, YamlErrors *e);
/* A JSON list as http_sd has it. 0; -EINVAL with the reason appended to ret_error; -E2BIG (also with a reason);
 * -ENOMEM. */
int target_groups_parse_json(const char *text, size_t n, TargetGroups *ret_groups, Buf *ret_error) MUST_USE;
/* A file whose name says which of both it is in (".json", or YAML). */
int target_groups_read_file(const char *path, TargetGroups *ret_groups, Buf *ret_error) MUST_USE;
/* Adds a label to every group that has none of that name. 0 or -ENOMEM. */
int target_groups_label(TargetGroups *g, const char *name, const char *value) MUST_USE;
bool target_groups_equal(const TargetGroups *a, const TargetGroups *b);
