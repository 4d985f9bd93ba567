/* A tree of YAML onto the rows of tables/config.def. Goes on after an error, so that a person sees
 * everything that is wrong with a file at once. */
#include "base/number.h"
#include "rt/settings_table.h"
#include "rt/settings_yaml.h"

#include <assert.h>

#define PATH_MAX_BYTES 256

typedef struct Binder {
        YamlErrors *errors;
        Settings *settings;
        int error; /* -ENOMEM, sticky */
} Binder;

/* The component of `path` that follows `prefix` ("" or "a.b." or "list[]."), if it is below it. */
static bool next_component(const char *path, const char *prefix, char *out, size_t size) {
        size_t n = strlen(prefix);
        if (strncmp(path, prefix, n) != 0)
                return false;
        size_t len = strcspn(path + n, ".[");
        if (!len || len >= size)
                return false;
        memcpy(out, path + n, len);
        out[len] = '\0';
        return true;
}

typedef struct Nearest {
        char name[64];
        size_t distance;
        Buf all; /* all names, for the message when none is near */
        char last[64];
} Nearest;

static void nearest_deinit(Nearest *n) {
        buf_deinit(&n->all);
}

static void nearest_offer(Nearest *n, const char *key, const char *path, const char *prefix) {
        char name[64];
        if (!next_component(path, prefix, name, sizeof name) || strcmp(name, n->last) == 0)
                return;
        (void)strcpy(n->last, name);
        buf_printf(&n->all, "%s%s", n->all.len ? ", " : "", name);
        size_t d = yaml_edit_distance(key, name);
        if (d < n->distance) {
                n->distance = d;
                (void)strcpy(n->name, name);
        }
}

static bool is_directly_below(const char *path, const char *prefix) {
        size_t n = strlen(prefix);
        return strncmp(path, prefix, n) == 0 && !strchr(path + n, '.');
}

static void report_unknown(Binder *b, const YamlNode *key, const char *prefix) {
        CLEANUP(nearest_deinit) Nearest near = { .distance = SIZE_MAX };
        for (size_t i = 0; i < CONFIG_N_ROWS; i++)
                nearest_offer(&near, key->text, CONFIG_ROWS[i].path, prefix);
        for (size_t i = 0; i < CONFIG_N_SECTIONS; i++)
                if (is_directly_below(CONFIG_SECTIONS[i].path, prefix)) /* deeper ones are below a key that rows have */
                        nearest_offer(&near, key->text, CONFIG_SECTIONS[i].path, prefix);
        size_t tolerated = strlen(key->text) < 5 ? 1 : 2;
        int shown = (int)strlen(prefix) - (*prefix ? 1 : 0);
        if (near.distance <= tolerated)
                yaml_error(b->errors, key->line, key->column, "unknown key \"%.80s\", did you mean \"%s\"?", key->text,
                           near.name);
        else
                yaml_error(b->errors, key->line, key->column, "unknown key \"%.80s\"%s%.*s, expected one of %s",
                           key->text, *prefix ? " in " : "", shown, prefix, buf_cstr(&near.all));
}

static void report_value(Binder *b, const YamlNode *n, const ConfigRow *row, bool range) {
        CLEANUP(buf_deinit) Buf expected = BUF_NULL;
        char found[80];
        config_value_expected(row, &expected);
        yaml_error(b->errors, n->line, n->column, "%s: found %s%s, expected %s", row->path,
                   yaml_describe(n, found, sizeof found), range ? ", which is out of range" : "", buf_cstr(&expected));
}

static void bind_value(Binder *b, const YamlNode *n, const ConfigRow *row, void *owner) {
        if (n->kind != YAML_SCALAR) {
                report_value(b, n, row, false);
                return;
        }
        int r = config_value_parse(row, n->text, n->quoted, owner);
        if (r == -EINVAL || r == -ERANGE)
                report_value(b, n, row, r == -ERANGE);
        else if (r < 0)
                b->error = r;
}

static bool is_section(const char *path) {
        size_t n = strlen(path);
        for (size_t i = 0; i < CONFIG_N_ROWS; i++)
                if (strncmp(CONFIG_ROWS[i].path, path, n) == 0 && CONFIG_ROWS[i].path[n] == '.')
                        return true;
        return false;
}

/* Whether somebody else reads it. */
static bool is_foreign(const char *path) {
        for (size_t i = 0; i < CONFIG_N_SECTIONS; i++)
                if (strcmp(CONFIG_SECTIONS[i].path, path) == 0)
                        return true;
        return false;
}

static void bind_map(Binder *b, const YamlNode *map, const char *prefix, void *owner);

static void bind_section(Binder *b, const YamlNode *n, const char *path, void *owner) {
        char prefix[PATH_MAX_BYTES + 1], found[80];
        if (n->kind == YAML_NULL) /* a section whose keys are all commented out */
                return;
        if (n->kind != YAML_MAP) {
                yaml_error(b->errors, n->line, n->column, "%s: found %s, expected a mapping of keys", path,
                           yaml_describe(n, found, sizeof found));
                return;
        }
        (void)snprintf(prefix, sizeof prefix, "%s.", path);
        bind_map(b, n, prefix, owner);
}

static void free_items(const ConfigList *list, Settings *s) {
        char **items = (char **)((char *)s + list->items_offset);
        size_t *n = (size_t *)((char *)s + list->count_offset);
        for (size_t i = 0; i < *n; i++)
                for (size_t r = 0; r < CONFIG_N_ROWS; r++)
                        if (config_row_list(&CONFIG_ROWS[r]) == list)
                                config_value_free(&CONFIG_ROWS[r], *items + i * list->item_size);
        free(*items);
        *items = NULL;
        *n = 0;
}

static void bind_items(Binder *b, const YamlNode *n, const ConfigList *list) {
        char **items = (char **)((char *)b->settings + list->items_offset);
        size_t *count = (size_t *)((char *)b->settings + list->count_offset), wanted = 0;
        char prefix[PATH_MAX_BYTES];
        (void)snprintf(prefix, sizeof prefix, "%s[]", list->path);
        for (const YamlNode *c = n->first; c; c = c->next)
                wanted++;
        if (wanted > list->most) {
                yaml_error(b->errors, n->line, n->column, "%s: found %zu entries, expected at most %zu", list->path,
                           wanted, list->most);
                return;
        }
        free_items(list, b->settings);
        *items = calloc(wanted ? wanted : 1, list->item_size);
        if (!*items) {
                b->error = -ENOMEM;
                return;
        }
        for (const YamlNode *c = n->first; c; c = c->next) {
                void *item = *items + (*count)++ * list->item_size;
                if (config_defaults(list, item) < 0)
                        b->error = -ENOMEM;
                else if (c->kind == YAML_NULL)
                        yaml_error(b->errors, c->line, c->column, "%s: found nothing, expected a mapping of keys",
                                   prefix);
                else
                        bind_section(b, c, prefix, item);
        }
}

static void bind_list(Binder *b, const YamlNode *n, const ConfigList *list) {
        char found[80];
        if (n->kind == YAML_LIST)
                bind_items(b, n, list);
        else if (n->kind != YAML_NULL)
                yaml_error(b->errors, n->line, n->column,
                           "%s: found %s, expected a list of mappings (\"- key: value\")", list->path,
                           yaml_describe(n, found, sizeof found));
}

static void bind_key(Binder *b, const YamlNode *n, const char *prefix, void *owner) {
        char path[PATH_MAX_BYTES];
        int len = snprintf(path, sizeof path, "%s%s", prefix, n->key->text);
        if (len < 0 || (size_t)len >= sizeof path || strpbrk(n->key->text, ".[")) {
                report_unknown(b, n->key, prefix);
                return;
        }
        const ConfigRow *row = config_row(path);
        const ConfigList *list = config_list(path);
        if (row)
                bind_value(b, n, row, owner);
        else if (list)
                bind_list(b, n, list);
        else if (is_section(path))
                bind_section(b, n, path, owner);
        else if (!is_foreign(path))
                report_unknown(b, n->key, prefix);
}

static void bind_map(Binder *b, const YamlNode *map, const char *prefix, void *owner) {
        assert(map->kind == YAML_MAP);
        for (const YamlNode *n = map->first; n; n = n->next)
                bind_key(b, n, prefix, owner);
}

/* What is asked of whole entries, beside what each key asks of its value. */

static const YamlNode *map_get(const YamlNode *map, const char *key) {
        if (!map || map->kind != YAML_MAP)
                return NULL;
        for (const YamlNode *n = map->first; n; n = n->next)
                if (strcmp(n->key->text, key) == 0)
                        return n;
        return NULL;
}

static void check_policies(Binder *b, const YamlNode *list) {
        for (const YamlNode *c = list && list->kind == YAML_LIST ? list->first : NULL; c; c = c->next) {
                const YamlNode *metadata = map_get(c, "metadata");
                if (c->kind != YAML_MAP)
                        continue;
                if (!map_get(c, "tier"))
                        yaml_error(b->errors, c->line, c->column,
                                   "policies[]: found no tier, expected the key \"tier\"");
                if (!map_get(c, "name") && !map_get(metadata, "key"))
                        yaml_error(b->errors, c->line, c->column,
                                   "policies[]: found no condition, expected \"name\" or \"metadata\"");
                if (map_get(metadata, "value") && !map_get(metadata, "key"))
                        yaml_error(b->errors, metadata->line, metadata->column,
                                   "policies[].metadata: found a value without a key, expected \"key\" too");
        }
}

static void check_listeners(Binder *b, const YamlNode *list) {
        for (const YamlNode *c = list && list->kind == YAML_LIST ? list->first : NULL; c; c = c->next) {
                const YamlNode *address = map_get(c, "address");
                if (c->kind == YAML_MAP && !address)
                        yaml_error(b->errors, c->line, c->column,
                                   "listeners[]: found no address, expected the key \"address\"");
                if (!address || address->kind != YAML_SCALAR)
                        continue;
                for (const YamlNode *d = list->first; d != c; d = d->next) {
                        const YamlNode *other = map_get(d, "address");
                        if (other && other->kind == YAML_SCALAR && strcmp(other->text, address->text) == 0)
                                yaml_error(
                                        b->errors, address->line, address->column,
                                        "listeners[].address: found \"%.60s\" again (first on line %u), expected each "
                                        "address once",
                                        address->text, other->line);
                }
        }
}

static void check_resolutions(Binder *b, const YamlNode *list) {
        for (const YamlNode *c = list && list->kind == YAML_LIST ? list->first : NULL; c; c = c->next) {
                const YamlNode *metric = map_get(c, "metric"), *step = map_get(c, "step");
                double v = 0;
                if (c->kind != YAML_MAP)
                        continue;
                if (!metric || !step)
                        yaml_error(b->errors, c->line, c->column, "resolutions[]: found no %s, expected the keys \"metric\" and \"step\"",
                                   metric ? "step" : "metric");
                if (step && step->kind == YAML_SCALAR &&
                    (number_parse(step->text, strlen(step->text), &v) < 0 || !(v >= 1e-15 && v <= 1e15)))
                        yaml_error(b->errors, step->line, step->column,
                                   "resolutions[].step: found \"%.60s\", expected a number from 1e-15 to 1e15, such as 1e-6 or 0.01", step->text);
        }
}

int settings_bind(const YamlNode *root, YamlErrors *errors, Settings *s) {
        Binder b = { .errors = errors, .settings = s };
        char found[80];
        if (root->kind == YAML_NULL)
                return 0;
        if (root->kind != YAML_MAP) {
                yaml_error(errors, root->line, root->column, "found %s, expected a mapping of keys",
                           yaml_describe(root, found, sizeof found));
                return 0;
        }
        bind_map(&b, root, "", s);
        check_listeners(&b, map_get(root, "listeners"));
        check_policies(&b, map_get(root, "policies"));
        check_resolutions(&b, map_get(root, "resolutions"));
        return b.error;
}

Settings *settings_free(Settings *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < CONFIG_N_LISTS; i++)
                free_items(&CONFIG_LISTS[i], s);
        for (size_t i = 0; i < CONFIG_N_ROWS; i++)
                if (!config_row_list(&CONFIG_ROWS[i]))
                        config_value_free(&CONFIG_ROWS[i], s);
        free(s);
        return NULL;
}
