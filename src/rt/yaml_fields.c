#include "rt/yaml_fields.h"

#include "base/duration.h"
#include "base/scan.h"

#include <assert.h>

#define WHERE_MAX 256

const YamlNode *yaml_get(const YamlNode *map, const char *key) {
        for (const YamlNode *n = map && map->kind == YAML_MAP ? map->first : NULL; n; n = n->next)
                if (strcmp(n->key->text, key) == 0)
                        return n;
        return NULL;
}

void yaml_texts_deinit(YamlTexts *t) {
        for (size_t i = 0; i < t->n; i++)
                free(t->texts[i]);
        free(t->texts);
        *t = (YamlTexts){ 0 };
}

int yaml_texts_add(YamlTexts *t, const char *text) {
        char **texts = reallocarray(t->texts, t->n + 1, sizeof *texts);
        if (!texts)
                return -ENOMEM;
        t->texts = texts;
        texts[t->n] = strdup(text);
        if (!texts[t->n])
                return -ENOMEM;
        t->n++;
        return 0;
}

bool yaml_texts_equal(const YamlTexts *a, const YamlTexts *b) {
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (strcmp(a->texts[i], b->texts[i]) != 0)
                        return false;
        return true;
}

static void no_memory(YamlErrors *e) {
        yaml_error(e, 0, 0, "out of memory");
}

static void wrong(const YamlNode *n, const char *where, YamlErrors *e, const char *expected) {
        char found[80];
        yaml_error(e, n->line, n->column, "%s: found %s, expected %s", where, yaml_describe(n, found, sizeof found),
                   expected);
}

static bool is_choice(const char *choices, const char *text) {
        for (const char *at = choices; *at;) {
                size_t n = strcspn(at, "|");
                if (strlen(text) == n && memcmp(at, text, n) == 0)
                        return true;
                at += n + (at[n] == '|');
        }
        return false;
}

static void wrong_choice(const YamlNode *n, const char *where, const char *choices, YamlErrors *e) {
        CLEANUP(buf_deinit) Buf expected = BUF_NULL;
        buf_put_str(&expected, "one of ");
        for (const char *c = choices; *c; c++)
                if (*c == '|')
                        buf_put_str(&expected, ", ");
                else
                        buf_put_char(&expected, *c);
        wrong(n, where, e, buf_cstr(&expected));
}

static bool check_text(const YamlNode *n, const char *where, const YamlField *f, YamlErrors *e) {
        size_t len = strlen(n->text);
        if (f->choices && !is_choice(f->choices, n->text)) {
                wrong_choice(n, where, f->choices, e);
                return false;
        }
        if (f->type == YAML_TEXT && (len < (size_t)f->min || len > (size_t)f->max)) {
                yaml_error(e, n->line, n->column, "%s: found %zu bytes, expected %lld to %lld", where, len,
                           (long long)f->min,
                           (long long)f->max);
                return false;
        }
        return true;
}

static void bind_text(const YamlNode *n, const char *where, const YamlField *f, char **member, YamlErrors *e) {
        if (!check_text(n, where, f, e))
                return;
        char *copy = strdup(n->text);
        if (!copy) {
                no_memory(e);
                return;
        }
        free(*member);
        *member = copy;
}

static void bind_bool(const YamlNode *n, const char *where, bool *member, YamlErrors *e) {
        if (!n->quoted && (strcmp(n->text, "true") == 0 || strcmp(n->text, "false") == 0))
                *member = n->text[0] == 't';
        else
                wrong(n, where, e, "true or false");
}

static void bind_duration(const YamlNode *n, const char *where, const YamlField *f, Duration *member, YamlErrors *e) {
        int64_t ns = 0;
        CLEANUP(buf_deinit) Buf expected = BUF_NULL;
        bool zero = strcmp(n->text, "0") == 0;
        if ((zero || duration_parse(n->text, &ns) == 0) && ns >= f->min * NS_PER_MS && ns <= f->max * NS_PER_MS) {
                *member = (Duration){ ns };
                return;
        }
        buf_put_str(&expected, "a duration from ");
        duration_print(f->min * NS_PER_MS, &expected);
        buf_put_str(&expected, " to ");
        duration_print(f->max * NS_PER_MS, &expected);
        buf_put_str(&expected, ", such as 15s or 1m30s");
        wrong(n, where, e, buf_cstr(&expected));
}

int yaml_bytes_parse(const char *text, uint64_t *ret_bytes) {
        static const struct {
                const char *name;
                unsigned shift;
        } UNITS[] = { { "", 0 },    { "B", 0 },    { "KB", 10 },  { "MB", 20 }, { "GB", 30 },
                      { "K", 10 },  { "M", 20 },   { "G", 30 },   { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 } };
        Scan s = SCAN(text, strlen(text));
        uint64_t v;
        if (!scan_u64(&s, &v))
                return -EINVAL;
        for (size_t i = 0; i < ARRAY_LEN(UNITS); i++)
                if (strcmp(s.at, UNITS[i].name) == 0 && v <= UINT64_MAX >> UNITS[i].shift) {
                        *ret_bytes = v << UNITS[i].shift;
                        return 0;
                }
        return -EINVAL;
}

static void bind_number(const YamlNode *n, const char *where, const YamlField *f, uint64_t *member, YamlErrors *e) {
        uint64_t v = 0;
        CLEANUP(buf_deinit) Buf expected = BUF_NULL;
        bool good = f->type == YAML_BYTES ? yaml_bytes_parse(n->text, &v) == 0
                : span_u64((Span){ n->text, strlen(n->text) }, &v);
        if (good && v >= (uint64_t)f->min && v <= (uint64_t)f->max) {
                *member = v;
                return;
        }
        buf_printf(&expected, "%s from %lld to %lld%s", f->type == YAML_BYTES ? "a number of bytes" : "a whole number",
                   (long long)f->min,
                   (long long)f->max, f->type == YAML_BYTES ? ", such as 10MB" : "");
        wrong(n, where, e, buf_cstr(&expected));
}

static void bind_texts(const YamlNode *list, const char *where, const YamlField *f, YamlTexts *member, YamlErrors *e) {
        size_t n = 0;
        yaml_texts_deinit(member);
        for (const YamlNode *c = list->first; c; c = c->next, n++) {
                if (n == (size_t)f->max) {
                        yaml_error(e, list->line, list->column, "%s: found more than %lld entries", where,
                                   (long long)f->max);
                        return;
                }
                if (c->kind != YAML_SCALAR)
                        wrong(c, where, e, "a text");
                else if (check_text(c, where, f, e) && yaml_texts_add(member, c->text) < 0)
                        no_memory(e);
        }
}

void yaml_bind_value(const YamlNode *n, const char *where, const YamlField *f, void *member, YamlErrors *e) {
        if (f->type == YAML_REFUSED) {
                yaml_error(e, n->key ? n->key->line : n->line, n->key ? n->key->column : n->column,
                           "%s is not supported; %s", where,
                           f->choices);
                return;
        }
        if (n->kind == YAML_NULL)
                return;
        if (f->type == YAML_OTHER) {
                f->bind(n, where, member, e);
                return;
        }
        YamlKind kind = f->type == YAML_TEXTS ? YAML_LIST : YAML_SCALAR;
        if (n->kind != kind) {
                wrong(n, where, e, kind == YAML_LIST ? "a list (\"- text\")" : "a value");
                return;
        }
        switch (f->type) {
        case YAML_TEXT: bind_text(n, where, f, member, e); break;
        case YAML_BOOL: bind_bool(n, where, member, e); break;
        case YAML_DURATION: bind_duration(n, where, f, member, e); break;
        case YAML_COUNT:
        case YAML_BYTES: bind_number(n, where, f, member, e); break;
        case YAML_TEXTS: bind_texts(n, where, f, member, e); break;
        case YAML_OTHER:
        case YAML_REFUSED: break;
        }
}

static void report_unknown(const YamlNode *key, const char *where, const YamlField *fields, size_t n, YamlErrors *e) {
        CLEANUP(buf_deinit) Buf all = BUF_NULL;
        size_t best = SIZE_MAX, nearest = 0;
        for (size_t i = 0; i < n; i++) {
                size_t d = yaml_edit_distance(key->text, fields[i].name);
                if (d < best) {
                        best = d;
                        nearest = i;
                }
                if (fields[i].type != YAML_REFUSED)
                        buf_printf(&all, "%s%s", all.len ? ", " : "", fields[i].name);
        }
        if (best <= (strlen(key->text) < 5 ? 1 : 2))
                yaml_error(e, key->line, key->column, "unknown key \"%.80s\", did you mean \"%s\"?", key->text,
                           fields[nearest].name);
        else
                yaml_error(e, key->line, key->column, "unknown key \"%.80s\" in %s, expected one of %s", key->text,
                           where,
                           buf_cstr(&all));
}

void yaml_bind(const YamlNode *map, const char *where, const YamlField *fields, size_t n_fields, void *owner,
               YamlErrors *e) {
        if (map->kind == YAML_NULL)
                return;
        if (map->kind != YAML_MAP) {
                wrong(map, where, e, "a mapping of keys");
                return;
        }
        for (const YamlNode *c = map->first; c; c = c->next) {
                size_t i = 0;
                char below[WHERE_MAX];
                while (i < n_fields && strcmp(fields[i].name, c->key->text) != 0)
                        i++;
                if (i == n_fields) {
                        report_unknown(c->key, where, fields, n_fields, e);
                        continue;
                }
                (void)snprintf(below, sizeof below, "%s%s%s", where, *where ? "." : "", fields[i].name);
                yaml_bind_value(c, below, &fields[i], (char *)owner + fields[i].offset, e);
        }
}

void yaml_each(const YamlNode *list, const char *where, size_t most,
               void (*each)(const YamlNode *, const char *, void *, YamlErrors *),
               void *owner, YamlErrors *e) {
        size_t n = 0;
        char below[WHERE_MAX];
        if (list->kind == YAML_NULL)
                return;
        if (list->kind != YAML_LIST) {
                wrong(list, where, e, "a list");
                return;
        }
        (void)snprintf(below, sizeof below, "%s[]", where);
        for (const YamlNode *c = list->first; c; c = c->next) {
                if (n++ == most) {
                        yaml_error(e, list->line, list->column, "%s: found more than %zu entries", where, most);
                        return;
                }
                if (c->kind == YAML_NULL)
                        wrong(c, below, e, "an entry");
                else
                        each(c, below, owner, e);
        }
}
