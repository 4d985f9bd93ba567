/* Entities are found by a hash table over their keys and listed by a sorted array of the same pointers.
 *
 * A group is one allocation: its head, two blocks of values, the labels. A look with the rows of the last
 * one (the usual case) swaps the two blocks and copies its values over the older; only other rows make a
 * new allocation. */
#include "model/latest.h"

#include <math.h>
#include <string.h>

#define INDEX_MIN 64

/* ---- the index by key ---- */

static size_t key_hash(const EntityKey *key) {
        uint64_t a, b;
        memcpy(&a, key->id.bytes, sizeof a);
        memcpy(&b, key->id.bytes + sizeof a, sizeof b);
        uint64_t h = (a ^ (b << 32 | b >> 32)) + (uint64_t)key->kind * UINT64_C(0x9E3779B97F4A7C15);
        h = (h ^ h >> 33) * UINT64_C(0xFF51AFD7ED558CCD);
        h = (h ^ h >> 33) * UINT64_C(0xC4CEB9FE1A85EC53);
        return (size_t)(h ^ h >> 33);
}

/* Where the key is, or the free place where it would be. There always is a free one. */
static size_t index_slot(const Latest *l, const EntityKey *key) {
        size_t mask = l->index_cap - 1, i = key_hash(key) & mask;
        while (l->index[i] && !entity_key_equal(&l->index[i]->key, key))
                i = (i + 1) & mask;
        return i;
}

static bool index_grow(Latest *l) {
        if ((l->n + 1) * 2 <= l->index_cap)
                return true;
        size_t old_cap = l->index_cap, cap = old_cap ? old_cap * 2 : INDEX_MIN;
        LatestEntity **wider = calloc(cap, sizeof *wider);
        if (!wider)
                return false;
        CLEANUP_FREE LatestEntity **old = l->index;
        l->index = wider;
        l->index_cap = cap;
        for (size_t i = 0; i < old_cap; i++)
                if (old[i])
                        l->index[index_slot(l, &old[i]->key)] = old[i];
        return true;
}

/* Takes a key out and moves those behind it up, so that no search stops at the gap. */
static void index_remove(Latest *l, const EntityKey *key) {
        size_t mask = l->index_cap - 1, gap = index_slot(l, key);
        l->index[gap] = NULL;
        for (size_t i = (gap + 1) & mask; l->index[i]; i = (i + 1) & mask) {
                size_t home = key_hash(&l->index[i]->key) & mask;
                if (((i - home) & mask) < ((i - gap) & mask))
                        continue;
                l->index[gap] = l->index[i];
                l->index[i] = NULL;
                gap = i;
        }
}

LatestEntity *latest_find(const Latest *l, const EntityKey *key) {
        return l->index_cap ? l->index[index_slot(l, key)] : NULL;
}

/* ---- the sorted array ---- */

static int order(const LatestEntity *a, const LatestEntity *b) {
        if (a->key.kind != b->key.kind)
                return a->key.kind < b->key.kind ? -1 : 1;
        int r = strcmp(a->name, b->name);
        return r ? r : memcmp(a->key.id.bytes, b->key.id.bytes, sizeof a->key.id.bytes);
}

/* The first place whose entity does not come before `e`: where it is, or where it belongs. */
static size_t array_place(const Latest *l, const LatestEntity *e) {
        size_t low = 0, high = l->n;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (order(l->entities[mid], e) < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

static bool array_grow(Latest *l) {
        if (l->n < l->cap)
                return true;
        size_t cap = l->cap ? l->cap * 2 : 32;
        LatestEntity **wider = reallocarray(l->entities, cap, sizeof *wider);
        if (!wider)
                return false;
        l->entities = wider;
        l->cap = cap;
        return true;
}

static void array_insert(Latest *l, LatestEntity *e) {
        size_t at = array_place(l, e);
        memmove(l->entities + at + 1, l->entities + at, (l->n - at) * sizeof *l->entities);
        l->entities[at] = e;
        l->n++;
}

static void array_remove(Latest *l, const LatestEntity *e) {
        size_t at = array_place(l, e);
        l->n--;
        memmove(l->entities + at, l->entities + at + 1, (l->n - at) * sizeof *l->entities);
}

static size_t first_of_kind(const Latest *l, unsigned kind) {
        size_t low = 0, high = l->n;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if ((unsigned)l->entities[mid]->key.kind < kind)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low;
}

LatestEntity **latest_range(const Latest *l, EntityKind kind, size_t *ret_n) {
        size_t first = first_of_kind(l, kind), end = first_of_kind(l, (unsigned)kind + 1);
        *ret_n = end - first;
        return end > first ? l->entities + first : NULL;
}

/* ---- entities ---- */

static LatestEntity *entity_free(LatestEntity *e) {
        if (!e)
                return NULL;
        for (size_t i = 0; e->groups && i < e->n_groups; i++)
                free(e->groups[i]);
        free(e->groups);
        free(e->name);
        free(e);
        return NULL;
}

static void entity_freep(LatestEntity **e) {
        (void)entity_free(*e);
}

/* Groups of one kind stand together in the tables; a stranger among them would only cost a pointer. */
static void kind_groups(EntityKind kind, GroupId *ret_first, GroupId *ret_n) {
        GroupId first = GROUP_COUNT, end = 0;
        for (GroupId g = 0; g < GROUP_COUNT; g++) {
                if (GROUPS[g].kind != kind)
                        continue;
                first = first < g ? first : g;
                end = (GroupId)(g + 1);
        }
        *ret_first = end ? first : 0;
        *ret_n = end ? (GroupId)(end - first) : 0;
}

static LatestEntity *entity_new(EntityKey key) {
        CLEANUP(entity_freep) LatestEntity *e = calloc(1, sizeof *e);
        if (!e)
                return NULL;
        e->key = key;
        kind_groups(key.kind, &e->first_group, &e->n_groups);
        e->groups = calloc(e->n_groups ? e->n_groups : 1, sizeof(LatestGroup *));
        return e->groups ? TAKE_PTR(e) : NULL;
}

static size_t text_len(const char *text, size_t n) {
        n = n < ENTITY_TEXT_MAX ? n : ENTITY_TEXT_MAX;
        return n ? strnlen(text, n) : 0;
}

static char *put_text(char *at, const char *text, size_t n) {
        if (n)
                memcpy(at, text, n);
        at[n] = '\0';
        return at + n + 1;
}

static bool text_is(const char *have, const char *text, size_t n) {
        return have && strlen(have) == n && (n == 0 || memcmp(have, text, n) == 0);
}

/* The three texts of an entity as one allocation; NULL without memory. */
static char *texts_new(const EntityInfo *info, char **ret_path, char **ret_ident) {
        size_t name = text_len(info->name, info->name_len), path = text_len(info->path, info->path_len),
               ident = text_len(info->ident, info->ident_len);
        char *block = malloc(name + path + ident + 3);
        if (!block)
                return NULL;
        *ret_path = put_text(block, info->name, name);
        *ret_ident = put_text(*ret_path, info->path, path);
        (void)put_text(*ret_ident, info->ident, ident);
        return block;
}

static bool texts_are(const LatestEntity *e, const EntityInfo *info) {
        return text_is(e->name, info->name, text_len(info->name, info->name_len)) &&
               text_is(e->path, info->path, text_len(info->path, info->path_len)) &&
               text_is(e->ident, info->ident, text_len(info->ident, info->ident_len));
}

/* Another QEMU process under the same UUID: its counters do not continue those of the last one. (The first
 * process of a container may change while its cgroup counts on.) */
static void note_restart(LatestEntity *e, uint32_t pid) {
        if (e->key.kind != ENTITY_DOMAIN || e->pid == 0 || e->pid == pid)
                return;
        for (size_t i = 0; i < e->n_groups; i++) {
                if (!e->groups[i])
                        continue;
                e->groups[i]->cut = true;
                e->groups[i]->before_mono = (MonoTime){ 0 };
        }
}

static void set_numbers(LatestEntity *e, const EntityInfo *info) {
        note_restart(e, info->pid);
        e->engine = info->engine;
        e->pid = info->pid;
        e->started_ns = info->started_ns;
}

static bool add_entity(Latest *l, const EntityInfo *info) {
        CLEANUP(entity_freep) LatestEntity *e = entity_new(info->key);
        if (!e || !index_grow(l) || !array_grow(l))
                return false;
        e->name = texts_new(info, &e->path, &e->ident);
        if (!e->name)
                return false;
        set_numbers(e, info);
        l->index[index_slot(l, &e->key)] = e;
        array_insert(l, e);
        (void)TAKE_PTR(e);
        return true;
}

static bool change_texts(Latest *l, LatestEntity *e, const EntityInfo *info) {
        if (texts_are(e, info))
                return true;
        char *path, *ident, *name = texts_new(info, &path, &ident);
        if (!name)
                return false;
        array_remove(l, e);
        free(e->name);
        e->name = name;
        e->path = path;
        e->ident = ident;
        array_insert(l, e);
        return true;
}

static void on_entity(Sink *s, const EntityInfo *info) {
        Latest *l = (Latest *)s;
        LatestEntity *e = latest_find(l, &info->key);
        if (!e && l->n >= l->max_entities) {
                l->refused++;
                return;
        }
        if (e)
                set_numbers(e, info);
        if (!(e ? change_texts(l, e, info) : add_entity(l, info))) {
                l->failed++;
                return;
        }
        if (l->on_entity)
                l->on_entity(l->context, e ? e : latest_find(l, &info->key));
}

static void say_gone(Latest *l, LatestEntity *e) {
        if (l->on_gone)
                l->on_gone(l->context, e);
        (void)entity_free(e);
}

static void on_gone(Sink *s, EntityKey key) {
        Latest *l = (Latest *)s;
        LatestEntity *e = latest_find(l, &key);
        if (!e)
                return;
        index_remove(l, &key);
        array_remove(l, e);
        say_gone(l, e);
}

static void on_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        Latest *l = (Latest *)s;
        if (l->on_blob)
                l->on_blob(l->context, key, type, bytes, n);
}

/* ---- groups ---- */

static LatestGroup **group_place(const LatestEntity *e, GroupId g) {
        if (g < e->first_group || g - e->first_group >= e->n_groups)
                return NULL;
        return &e->groups[g - e->first_group];
}

static LatestGroup *group_new(const Batch *b) {
        size_t n = (size_t)b->n_rows * group_columns(b->group);
        LatestGroup *g = malloc(sizeof *g + 2 * n * sizeof(double) + b->labels_len);
        if (!g)
                return NULL;
        double *values = (double *)(void *)(g + 1);
        uint8_t *labels = (uint8_t *)(values + 2 * n);
        *g = (LatestGroup){
                .n_rows = b->n_rows,
                .labels = b->labels ? labels : NULL,
                .labels_len = b->labels_len,
                .values = values,
                .before = values + n,
        };
        if (b->labels_len)
                memcpy(labels, b->labels, b->labels_len);
        return g;
}

static bool rows_are_the_same(const LatestGroup *g, const Batch *b) {
        return g->n_rows == b->n_rows && g->labels_len == b->labels_len &&
               (b->labels_len == 0 || memcmp(g->labels, b->labels, b->labels_len) == 0);
}

/* The values of now become those of before. Two looks at one instant are one: the later counts. */
static void step(LatestGroup *g, MonoTime mono) {
        if (mono.ns == g->mono.ns)
                return;
        double *older = g->before;
        g->before = g->values;
        g->before_mono = g->cut ? (MonoTime){ 0 } : g->mono;
        g->values = older;
}

static size_t count_present(const double *values, size_t n) {
        size_t present = 0;
        for (size_t i = 0; i < n; i++)
                present += !value_is_absent(values[i]);
        return present;
}

static void take_values(Latest *l, LatestGroup *g, const Batch *b) {
        size_t n = (size_t)b->n_rows * group_columns(b->group);
        g->wall = b->wall;
        g->mono = b->mono;
        g->cut = false;
        if (n)
                memcpy(g->values, b->values, n * sizeof(double));
        l->batches++;
        l->samples += count_present(g->values, n);
}

static void on_batch(Sink *s, const Batch *b) {
        Latest *l = (Latest *)s;
        LatestEntity *e = latest_find(l, &b->key);
        LatestGroup **place = e ? group_place(e, b->group) : NULL;
        if (!place) {
                l->orphans++;
                return;
        }
        LatestGroup *g = *place;
        if (g && b->mono.ns < g->mono.ns) {
                l->late++;
                return;
        }
        if (g && rows_are_the_same(g, b)) {
                step(g, b->mono);
        } else {
                LatestGroup *other = group_new(b);
                if (!other) {
                        l->failed++;
                        return;
                }
                free(g);
                *place = g = other;
        }
        take_values(l, g, b);
}

static void on_group_gone(Sink *s, EntityKey key, GroupId group) {
        LatestEntity *e = latest_find((Latest *)s, &key);
        LatestGroup **place = e ? group_place(e, group) : NULL;
        if (!place)
                return;
        free(*place);
        *place = NULL;
}

/* ---- the table ---- */

void latest_init(Latest *l, size_t max_entities) {
        *l = (Latest){
                .sink = { .batch = on_batch,
                          .entity = on_entity,
                          .gone = on_gone,
                          .group_gone = on_group_gone,
                          .blob = on_blob },
                .max_entities = max_entities,
        };
}

void latest_clear(Latest *l) {
        size_t n = l->n;
        CLEANUP_FREE LatestEntity **entities = TAKE_PTR(l->entities);
        free(l->index);
        l->index = NULL;
        l->n = l->cap = l->index_cap = 0;
        for (size_t i = 0; i < n; i++)
                say_gone(l, entities[i]);
}

void latest_deinit(Latest *l) {
        latest_clear(l);
        *l = (Latest){ .sink = l->sink };
}

/* ---- reading ---- */

const LatestGroup *latest_group(const LatestEntity *e, GroupId g) {
        LatestGroup **place = group_place(e, g);
        return place ? *place : NULL;
}

double latest_value(const LatestEntity *e, MetricId m, uint32_t row) {
        GroupId id = METRICS[m].group;
        const LatestGroup *g = latest_group(e, id);
        if (!g || row >= g->n_rows)
                return value_absent();
        return g->values[(size_t)row * group_columns(id) + metric_column(m)];
}

static double group_rate(const LatestGroup *g, MetricId m, uint32_t row) {
        if (row >= g->n_rows || g->before_mono.ns == 0)
                return value_absent();
        size_t at = (size_t)row * group_columns(METRICS[m].group) + metric_column(m);
        double now = g->values[at], before = g->before[at];
        /* Absent values are NaN, and so fail the comparison. */
        if (!(now >= before) || isinf(now) || isinf(before))
                return value_absent();
        return unit_expose(METRICS[m].unit, now - before) / duration_seconds(mono_since(g->mono, g->before_mono));
}

double latest_rate(const LatestEntity *e, MetricId m, uint32_t row) {
        const LatestGroup *g = latest_group(e, METRICS[m].group);
        return g ? group_rate(g, m, row) : value_absent();
}

double latest_rate_sum(const LatestEntity *e, MetricId m) {
        const LatestGroup *g = latest_group(e, METRICS[m].group);
        double sum = value_absent();
        for (uint32_t row = 0; g && row < g->n_rows; row++) {
                double rate = group_rate(g, m, row);
                if (!value_is_absent(rate))
                        sum = value_is_absent(sum) ? rate : sum + rate;
        }
        return sum;
}

static double age_of(MonoTime then, MonoTime now) {
        return now.ns > then.ns ? duration_seconds(mono_since(now, then)) : 0;
}

double latest_group_age(const LatestEntity *e, GroupId id, MonoTime now) {
        const LatestGroup *g = latest_group(e, id);
        return g ? age_of(g->mono, now) : -1;
}

double latest_lane_age(const LatestEntity *e, Lane lane, MonoTime now) {
        const LatestGroup *newest = NULL;
        for (size_t i = 0; i < e->n_groups; i++) {
                const LatestGroup *g = e->groups[i];
                if (g && GROUPS[e->first_group + i].lane == lane && (!newest || g->mono.ns > newest->mono.ns))
                        newest = g;
        }
        return newest ? age_of(newest->mono, now) : -1;
}

bool latest_row_labels(const LatestEntity *e, GroupId id, uint32_t row, Span ret_labels[GROUP_MAX_KEYS]) {
        const LatestGroup *g = latest_group(e, id);
        if (!g || row >= g->n_rows)
                return false;
        size_t n_keys = GROUPS[id].n_keys;
        Span labels[GROUP_MAX_KEYS];
        LabelCursor c = { g->labels, g->labels ? g->labels + g->labels_len : NULL };
        for (uint32_t r = 0; r <= row; r++)
                for (size_t k = 0; k < n_keys; k++)
                        if (!label_next(&c, &labels[k]))
                                return false;
        memcpy(ret_labels, labels, n_keys * sizeof *labels);
        return true;
}
