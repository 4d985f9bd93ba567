/* Sets of open parts, counted by reference at both levels: a view holds a catalog, a catalog holds its parts. */
#include "store/catalog.h"
#include "store/store_priv.h"

#include <assert.h>

int64_t deleted_end(StoreTier tier, int64_t end_ms) {
        int64_t length = WINDOW_MS[tier];
        if (length == 0 || end_ms > INT64_MAX - length)
                return end_ms;
        int64_t n = end_ms / length;
        return (n * length < end_ms ? n + 1 : n) * length;
}

int open_part_new(Vfs *vfs, const PartEntry *entry, OpenPart **ret_part, PartDamage *ret_damage) {
        char name[PART_NAME_MAX];
        OpenPart *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        part_name(entry->meta.tier, entry->meta.id, name);
        int r = part_open(vfs, name, &p->part, ret_damage);
        if (r == 0 && part_meta(p->part)->id != entry->meta.id) {
                (void)snprintf(ret_damage->text, sizeof ret_damage->text, "%s: is another part", name);
                p->part = part_close(p->part);
                r = -EBADMSG;
        }
        if (r < 0) {
                free(p);
                return r;
        }
        p->references = 1;
        p->entry = *entry;
        *ret_part = p;
        return 0;
}

OpenPart *open_part_ref(OpenPart *p) {
        atomic_fetch_add(&p->references, 1);
        return p;
}

OpenPart *open_part_unref(OpenPart *p) {
        if (!p || atomic_fetch_sub(&p->references, 1) > 1)
                return NULL;
        p->part = part_close(p->part);
        free(p);
        return NULL;
}

/* ---- Matchers as text ---- */

int matcher_from_text(const char *text, Matcher *ret_matcher) {
        size_t name = strcspn(text, "=!");
        const char *operator = text + name;
        MatchType type;
        size_t skip = 2;
        if (strncmp(operator, "=~", 2) == 0)
                type = MATCH_REGEX;
        else if (strncmp(operator, "!~", 2) == 0)
                type = MATCH_NOT_REGEX;
        else if (strncmp(operator, "!=", 2) == 0)
                type = MATCH_NOT_EQUAL;
        else if (*operator == '=' && (skip = 1))
                type = MATCH_EQUAL;
        else
                return -EINVAL;
        const char *value = operator + skip;
        return name == 0 ? -EINVAL
                         : matcher_init(ret_matcher, type, (Span){ text, name }, (Span){ value, strlen(value) }, NULL);
}

void matcher_to_text(const Matcher *m, Buf *out) {
        static const char *const OPERATORS[] = {
                [MATCH_EQUAL] = "=", [MATCH_NOT_EQUAL] = "!=", [MATCH_REGEX] = "=~", [MATCH_NOT_REGEX] = "!~"
        };
        buf_put(out, m->name.text, m->name.len);
        buf_put_str(out, OPERATORS[m->type]);
        buf_put(out, m->value.text, m->value.len);
}

bool matchers_hold(const Matcher *matchers, size_t n, const uint8_t *run, size_t len) {
        Label labels[LABELS_MAX];
        size_t count = n ? labels_split(run, len, labels) : 0;
        for (size_t i = 0; i < n; i++) {
                Span name = matchers[i].name, value = { "", 0 };
                for (size_t k = 0; k < count; k++)
                        if (labels[k].name.len == name.len && memcmp(labels[k].name.text, name.text, name.len) == 0)
                                value = labels[k].value;
                if (!matcher_matches(&matchers[i], value))
                        return false;
        }
        return true;
}

/* ---- Catalogs ---- */

static void grave_deinit(Grave *g) {
        for (size_t i = 0; i < g->n_matchers; i++)
                matcher_deinit(&g->matchers[i]);
        free(g->matchers);
        free(g->storage);
}

static int grave_init(Grave *g, const Tombstone *t) {
        CLEANUP(buf_deinit) Buf texts = BUF_NULL;
        *g = (Grave){ .begin_ms = t->begin_ms, .end_ms = t->end_ms, .below_part = t->below_part };
        for (size_t i = 0; i < t->n_matchers; i++)
                buf_put(&texts, t->matchers[i], strlen(t->matchers[i]) + 1);
        g->matchers = calloc(t->n_matchers + 1, sizeof *g->matchers);
        if (buf_error(&texts) || !g->matchers)
                return -ENOMEM;
        g->storage = TAKE_PTR(texts.data);
        const char *at = g->storage;
        for (size_t i = 0; i < t->n_matchers; i++, at += strlen(at) + 1) {
                int r = matcher_from_text(at, &g->matchers[i]);
                if (r < 0)
                        return r;
                g->n_matchers++;
        }
        return 0;
}

Catalog *catalog_ref(Catalog *c) {
        atomic_fetch_add(&c->references, 1);
        return c;
}

Catalog *catalog_unref(Catalog *c) {
        if (!c || atomic_fetch_sub(&c->references, 1) > 1)
                return NULL;
        for (size_t i = 0; i < c->n_parts; i++)
                c->parts[i] = open_part_unref(c->parts[i]);
        for (size_t i = 0; i < c->n_graves; i++)
                grave_deinit(&c->graves[i]);
        free(c->parts);
        free(c->graves);
        free(c);
        return NULL;
}

static void catalog_unrefp(Catalog **c) {
        *c = catalog_unref(*c);
}

static OpenPart *find(const Catalog *c, uint64_t id) {
        for (size_t i = 0; c && i < c->n_parts; i++)
                if (c->parts[i]->entry.meta.id == id)
                        return c->parts[i];
        return NULL;
}

static int compare_parts(const void *a, const void *b) {
        const OpenPart *x = *(OpenPart *const *)a, *y = *(OpenPart *const *)b;
        if (x->entry.meta.tier != y->entry.meta.tier)
                return x->entry.meta.tier < y->entry.meta.tier ? -1 : 1;
        return (x->entry.age > y->entry.age) - (x->entry.age < y->entry.age);
}

static int take_graves(Catalog *c, const Manifest *m) {
        c->graves = calloc(m->n_tombstones + 1, sizeof *c->graves);
        if (!c->graves)
                return -ENOMEM;
        for (size_t i = 0; i < m->n_tombstones; i++) {
                int r = grave_init(&c->graves[i], &m->tombstones[i]);
                c->n_graves++;
                if (r < 0)
                        return r;
        }
        return 0;
}

int catalog_build(Vfs *vfs, Manifest *m, const Catalog *before, void (*damaged)(void *context, const char *text),
                  void *context, Catalog **ret_catalog, PartDamage *ret_damage) {
        CLEANUP(catalog_unrefp) Catalog *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->references = 1;
        c->parts = calloc(m->n_parts + 1, sizeof(OpenPart *));
        int r = c->parts ? take_graves(c, m) : -ENOMEM;
        for (size_t i = 0; r == 0 && i < m->n_parts; i++) {
                PartDamage damage = { "" };
                OpenPart *known = find(before, m->parts[i].meta.id);
                if (m->parts[i].quarantined)
                        continue;
                if (known) {
                        /* What the entry says may change (that it was rolled up), the part does not. */
                        known->entry.final = m->parts[i].final;
                        known->entry.rolled = m->parts[i].rolled;
                        c->parts[c->n_parts++] = open_part_ref(known);
                        continue;
                }
                r = open_part_new(vfs, &m->parts[i], &c->parts[c->n_parts], &damage);
                c->n_parts += r == 0;
                if (r == -EPROTONOSUPPORT) {
                        *ret_damage = damage;
                } else if (r == -EBADMSG || r == -ENOENT) {
                        m->parts[i].quarantined = true;
                        if (r == -ENOENT) {
                                char name[PART_NAME_MAX];
                                part_name(m->parts[i].meta.tier, m->parts[i].meta.id, name);
                                (void)snprintf(damage.text, sizeof damage.text, "%s: is missing", name);
                        }
                        damaged(context, damage.text);
                        r = 0;
                }
        }
        if (r < 0)
                return r;
        qsort(c->parts, c->n_parts, sizeof(OpenPart *), compare_parts);
        *ret_catalog = TAKE_PTR(c);
        return 0;
}
