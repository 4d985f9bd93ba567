/* Loading and printing the configuration; see settings.h. The tree comes from settings_yaml.c, the
 * binding to keys from settings_bind.c, values and the table from settings_value.c. */
#include "rt/settings.h"

#include "rt/settings_table.h"
#include "rt/settings_yaml.h"

#include <unistd.h>

static void settings_freep(Settings **s) {
        (void)settings_free(*s);
}

static int settings_defaults(Settings **ret_settings) {
        CLEANUP(settings_freep) Settings *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        int r = config_defaults(NULL, s);
        if (r < 0)
                return r;
        const ConfigList *list = config_list("listeners");
        s->listeners = calloc(1, sizeof *s->listeners);
        if (!s->listeners)
                return -ENOMEM;
        s->n_listeners = 1;
        r = config_defaults(list, &s->listeners[0]);
        if (r < 0)
                return r;
        *ret_settings = TAKE_PTR(s);
        return 0;
}

static int parse_text(const Buf *text, YamlErrors *errors, Settings *s) {
        CLEANUP(yaml_node_freep) YamlNode *root = yaml_tree(text->len ? text->data : "", text->len, errors);
        if (!root)
                return errors->n ? -EINVAL : -ENOMEM;
        int r = settings_bind(root, errors, s);
        return r < 0 ? r : errors->n ? -EINVAL : 0;
}

int settings_load(const char *path, bool must_exist, Settings **ret_settings, SettingsError *ret_error) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        CLEANUP(yaml_errors_deinit) YamlErrors errors = { .file = path };
        CLEANUP(settings_freep) Settings *s = NULL;
        bool missing = !must_exist && access(path, F_OK) < 0 && errno == ENOENT;
        int r = settings_defaults(&s);
        if (r == 0 && !missing)
                r = yaml_read_file(path, &text, &errors);
        if (r == 0)
                r = parse_text(&text, &errors, s);
        if (r < 0) {
                ret_error->text = yaml_explain(&errors, r);
                return r;
        }
        *ret_settings = TAKE_PTR(s);
        return 0;
}

/* Printing: the components that a row shares with the one before it are already there. */

static size_t shared_prefix(const char *a, const char *b) {
        size_t at = 0;
        for (size_t i = 0; a[i] && a[i] == b[i]; i++)
                if (a[i] == '.')
                        at = i + 1;
        return at;
}

static size_t depth_of(const char *path, size_t n) {
        size_t depth = 0;
        for (size_t i = 0; i < n; i++)
                depth += path[i] == '.';
        return depth;
}

static void print_row(const ConfigRow *row, const char *before, const void *owner, size_t base, Buf *out) {
        size_t at = shared_prefix(row->path, before);
        for (;;) {
                size_t len = strcspn(row->path + at, ".");
                buf_printf(out, "%*s%.*s:", (int)((base + depth_of(row->path, at)) * 2), "", (int)len, row->path + at);
                if (!row->path[at + len])
                        break;
                buf_put_char(out, '\n');
                at += len + 1;
        }
        buf_put_char(out, ' ');
        config_value_print(row, owner, out);
        buf_put_char(out, '\n');
}

/* An item: its first line carries the dash. */
static void print_item(const ConfigList *list, const void *item, Buf *out) {
        size_t start = out->len, skip = strlen(list->path) + strlen("[].");
        char before[64];
        (void)snprintf(before, sizeof before, "%s[].", list->path);
        const char *last = before;
        for (size_t i = 0; i < CONFIG_N_ROWS; i++) {
                ConfigRow row = CONFIG_ROWS[i];
                if (config_row_list(&row) != list)
                        continue;
                if (strncmp(row.path, "policies[].metadata", 19) == 0 && !*((const PolicySettings *)item)->metadata_key)
                        continue;
                const char *previous = last == before ? "" : last + skip;
                last = row.path;
                row.path += skip;
                print_row(&row, previous, item, 2, out);
        }
        if (out->len > start + 2)
                out->data[start + 2] = '-';
}

static void print_list(const ConfigList *list, const Settings *s, Buf *out) {
        const char *items = *(char *const *)((const char *)s + list->items_offset);
        size_t n = *(const size_t *)((const char *)s + list->count_offset);
        buf_printf(out, "%s:%s\n", list->path, n ? "" : " []");
        for (size_t i = 0; i < n; i++)
                print_item(list, items + i * list->item_size, out);
}

void settings_print(const Settings *s, Buf *out) {
        const ConfigList *last_list = NULL;
        const char *before = "";
        for (size_t i = 0; i < CONFIG_N_ROWS; i++) {
                const ConfigRow *row = &CONFIG_ROWS[i];
                const ConfigList *list = config_row_list(row);
                if (!list)
                        print_row(row, before, s, 0, out);
                else if (list != last_list)
                        print_list(list, s, out);
                last_list = list;
                before = list ? "" : row->path;
        }
}

static const char *type_title(ConfigType t) {
        static const char *const TITLES[] = { "text",     "path",   "address", "boolean",
                                              "duration", "number", "bytes",   "tier" };
        return TITLES[t];
}

static void reference_row(const ConfigRow *row, Buf *out) {
        buf_printf(out, "\n### `%s`\n\n%s\n\n- Type: %s: ", row->path, row->help, type_title(row->type));
        config_value_expected(row, out);
        buf_printf(out, ".\n- Default: `%s`\n", *row->fallback ? row->fallback : "\"\"");
}

void settings_reference(Buf *out) {
        const ConfigList *last_list = NULL;
        char section[64] = "";
        buf_put_str(out,
                    "# Configuration\n\n<!-- Generated from tables/config.def by tools/gen_reference.c. -->\n\n"
                    "parallaxd and parallax-sensor read one file, `/etc/parallax/parallax.yaml`. Every key is\n"
                    "optional. `parallaxd --check-config` says what is wrong with a file, with line, column and what\n"
                    "was expected; SIGHUP reads the file again, and a bad file leaves the old settings in force.\n\n"
                    "The file is YAML without anchors, aliases and tags, at most 1 MiB, nested at most 32 levels.\n"
                    "Durations are written `250ms`, `10s`, `1m30s`, `2h`, `1d`.\n");
        for (size_t i = 0; i < CONFIG_N_ROWS; i++) {
                const ConfigRow *row = &CONFIG_ROWS[i];
                const ConfigList *list = config_row_list(row);
                char head[64];
                (void)snprintf(head, sizeof head, "%.*s", (int)strcspn(row->path, ".["), row->path);
                if (strcmp(head, section) != 0)
                        buf_printf(out, "\n## %s\n", head);
                (void)strcpy(section, head);
                if (list && list != last_list)
                        buf_printf(out, "\n%s At most %zu entries.\n", list->help, list->most);
                last_list = list;
                reference_row(row, out);
        }
        for (size_t i = 0; i < CONFIG_N_SECTIONS; i++)
                buf_printf(out, "\n## %s\n\n%s\n", CONFIG_SECTIONS[i].path, CONFIG_SECTIONS[i].help);
}
