/* Relabelling rules (model/relabel.h) from YAML: a list as `relabel_configs`, `metric_relabel_configs` and
 * `write_relabel_configs` are. */
#pragma once

#include "model/relabel.h"
#include "rt/settings_yaml.h"

/* As YamlField's `bind`: `member` is a RelabelRules, to which the list's rules are appended. */
void relabel_settings_bind(const YamlNode *list, const char *where, void *member, YamlErrors *e);
