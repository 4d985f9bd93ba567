#include "scrape/groups.h"

#include "base/escape.h"
#include "model/labels.h"

#include <fcntl.h>
#include <jansson.h>
#include <strings.h>

static void group_deinit(TargetGroup *g) {
        yaml_texts_deinit(&g->targets);
        yaml_texts_deinit(&g->names);
        yaml_texts_deinit(&g->values);
}

void target_groups_deinit(TargetGroups *g) {
        for (size_t i = 0; i < g->n; i++)
                group_deinit(&g->groups[i]);
        free(g->groups);
        *g = TARGET_GROUPS_NULL;
}

/* Takes over the group on success. */
static int append(TargetGroups *g, TargetGroup *group) {
        TargetGroup *groups = reallocarray(g->groups, g->n + 1, sizeof *groups);
        if (!groups)
                return -ENOMEM;
        g->groups = groups;
        g->groups[g->n++] = *group;
        g->n_targets += group->targets.n;
        *group = (TargetGroup){ 0 };
        return 0;
}

static int add_label(TargetGroup *g, const char *name, const char *value) {
        int r = yaml_texts_add(&g->names, name);
        return r < 0 ? r : yaml_texts_add(&g->values, value);
}

/* Mostly "host:port", but rules may make a parameter of it: a URL for a prober. */
static bool is_target(const char *target) {
        for (const char *c = target; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        return false;
        return *target && strlen(target) <= LABEL_VALUE_MAX && utf8_valid(target, strlen(target));
}

/* ---- YAML ---- */

static void bind_labels(const YamlNode *map, const char *where, void *member, YamlErrors *e) {
        TargetGroup *g = member;
        char found[80];
        if (map->kind != YAML_MAP) {
                yaml_error(e, map->line, map->column, "%s: found %s, expected a mapping of labels", where,
                           yaml_describe(map, found, sizeof found));
                return;
        }
        for (const YamlNode *c = map->first; c; c = c->next) {
                if (c->kind == YAML_LIST || c->kind == YAML_MAP)
                        yaml_error(e, c->line, c->column, "%s: found %s, expected a text", where,
                                   yaml_describe(c, found, sizeof found));
                else if (g->names.n == GROUP_LABELS_MAX)
                        yaml_error(e, c->line, c->column, "%s: found more than %u labels", where, GROUP_LABELS_MAX);
                else if (add_label(g, c->key->text, c->kind == YAML_SCALAR ? c->text : "") < 0)
                        yaml_error(e, 0, 0, "out of memory");
        }
}

static void bind_targets(const YamlNode *list, const char *where, void *member, YamlErrors *e) {
        static const YamlField TEXTS = { "targets", YAML_TEXTS, 0, 0, TARGETS_MAX };
        TargetGroup *g = member;
        yaml_bind_value(list, where, &TEXTS, &g->targets, e);
        for (const YamlNode *c = list->kind == YAML_LIST ? list->first : NULL; c; c = c->next)
                if (c->kind == YAML_SCALAR && !is_target(c->text))
                        yaml_error(e, c->line, c->column,
                                   "%s: found \"%.80s\", expected an address such as localhost:9100",
                                   where, c->text);
}

static void bind_group(const YamlNode *n, const char *where, void *owner, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "targets", YAML_OTHER, 0, .bind = bind_targets },
                { "labels", YAML_OTHER, 0, .bind = bind_labels },
        };
        TargetGroups *g = owner;
        CLEANUP(group_deinit) TargetGroup group = { 0 };
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), &group, e);
        if (g->n_targets + group.targets.n > TARGETS_MAX)
                yaml_error(e, n->line, n->column, "%s: found more than %u targets", where, TARGETS_MAX);
        else if (append(g, &group) < 0)
                yaml_error(e, 0, 0, "out of memory");
}

void target_groups_bind(const YamlNode *list, const char *where, void *member, YamlErrors *e) {
        yaml_each(list, where, TARGETS_MAX, bind_group, member, e);
}

/* ---- JSON ---- */

static void json_freep(json_t **j) {
        json_decref(*j);
}

static int refuse(Buf *ret_error, const char *what) {
        buf_put_str(ret_error, what);
        return -EINVAL;
}

static int take_labels(TargetGroup *g, json_t *labels, Buf *ret_error) {
        const char *name;
        json_t *value;
        if (!labels || json_is_null(labels))
                return 0;
        if (!json_is_object(labels) || json_object_size(labels) > GROUP_LABELS_MAX)
                return refuse(ret_error, "\"labels\" is not an object of at most 128 texts");
        json_object_foreach(labels, name, value) {
                if (!json_is_string(value))
                        return refuse(ret_error, "a label's value is not a text");
                int r = add_label(g, name, json_string_value(value));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int take_group(TargetGroups *groups, json_t *one, Buf *ret_error) {
        CLEANUP(group_deinit) TargetGroup g = { 0 };
        json_t *targets = json_object_get(one, "targets"), *target;
        size_t i;
        if (!json_is_object(one) || (targets && !json_is_array(targets) && !json_is_null(targets)))
                return refuse(ret_error, "a group is not an object with a list of \"targets\"");
        if (groups->n_targets + json_array_size(targets) > TARGETS_MAX) {
                buf_printf(ret_error, "more than %u targets", TARGETS_MAX);
                return -E2BIG;
        }
        json_array_foreach(targets, i, target) {
                if (!json_is_string(target) || !is_target(json_string_value(target)))
                        return refuse(ret_error, "a target is not an address such as \"localhost:9100\"");
                int r = yaml_texts_add(&g.targets, json_string_value(target));
                if (r < 0)
                        return r;
        }
        int r = take_labels(&g, json_object_get(one, "labels"), ret_error);
        return r < 0 ? r : append(groups, &g);
}

int target_groups_parse_json(const char *text, size_t n, TargetGroups *ret_groups, Buf *ret_error) {
        json_error_t where;
        CLEANUP(json_freep) json_t *root = json_loadb(n ? text : "", n, JSON_REJECT_DUPLICATES, &where);
        CLEANUP(target_groups_deinit) TargetGroups groups = TARGET_GROUPS_NULL;
        json_t *one;
        size_t i;
        if (!root) {
                buf_printf(ret_error, "%d:%d: not JSON: %s", where.line, where.column, where.text);
                return -EINVAL;
        }
        if (!json_is_array(root))
                return refuse(ret_error, "not a list of groups");
        json_array_foreach(root, i, one) {
                int r = take_group(&groups, one, ret_error);
                if (r < 0)
                        return r;
        }
        *ret_groups = groups;
        groups = TARGET_GROUPS_NULL;
        return 0;
}

/* ---- files ---- */

static bool ends_with(const char *text, const char *suffix) {
        size_t n = strlen(text), m = strlen(suffix);
        return n >= m && strcasecmp(text + n - m, suffix) == 0;
}

static int parse_yaml(const char *path, const Buf *text, TargetGroups *ret_groups, Buf *ret_error) {
        CLEANUP(yaml_errors_deinit) YamlErrors e = { .file = path };
        CLEANUP(yaml_node_freep) YamlNode *root = yaml_tree(text->len ? text->data : "", text->len, &e);
        CLEANUP(target_groups_deinit) TargetGroups groups = TARGET_GROUPS_NULL;
        if (root)
                target_groups_bind(root, "groups", &groups, &e);
        if (!root || e.n) {
                buf_put(ret_error, e.text.data, e.text.len);
                return -EINVAL;
        }
        *ret_groups = groups;
        groups = TARGET_GROUPS_NULL;
        return 0;
}

int target_groups_read_file(const char *path, TargetGroups *ret_groups, Buf *ret_error) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        int r = buf_read_file(&text, AT_FDCWD, path, GROUPS_TEXT_MAX);
        if (r < 0) {
                buf_printf(ret_error, "%s: cannot be read: %s", path, strerror(-r));
                return r;
        }
        if (!ends_with(path, ".json"))
                return parse_yaml(path, &text, ret_groups, ret_error);
        buf_printf(ret_error, "%s: ", path);
        size_t before = ret_error->len;
        r = target_groups_parse_json(text.data, text.len, ret_groups, ret_error);
        if (r == 0)
                ret_error->len = before - (strlen(path) + 2);
        return r;
}

int target_groups_label(TargetGroups *g, const char *name, const char *value) {
        for (size_t i = 0; i < g->n; i++) {
                bool there = false;
                for (size_t k = 0; k < g->groups[i].names.n; k++)
                        there = there || strcmp(g->groups[i].names.texts[k], name) == 0;
                int r = there ? 0 : add_label(&g->groups[i], name, value);
                if (r < 0)
                        return r;
        }
        return 0;
}

bool target_groups_equal(const TargetGroups *a, const TargetGroups *b) {
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (!yaml_texts_equal(&a->groups[i].targets, &b->groups[i].targets) ||
                    !yaml_texts_equal(&a->groups[i].names, &b->groups[i].names) ||
                            !yaml_texts_equal(&a->groups[i].values, &b->groups[i].values))
                        return false;
        return true;
}
