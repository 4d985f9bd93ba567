/* info(v, {matchers}): rows get the labels that info metrics (by themselves target_info) have for the same instance and
 * job.
 *
 * Info series are read as an instant selector that gives the instants of its samples: where several have the same name,
 * instance and job, the newest counts. For each such group the series that counts is known for all steps; a row of the
 * first argument is then cut where what it is joined with changes. */
#include "query/select.h"

static const Span METRIC = { METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 };
static const Span IDENTITY[] = { { "__name__", 8 }, { "instance", 8 }, { "job", 3 } };

enum { NAMES_MOST = 64 }; /* info metrics that one row may be joined with */

/* Info series of one name, instance and job. */
typedef struct InfoGroup {
        uint32_t *chosen; /* at each step the number of the series that counts, + 1 */
        double *newest;   /* and when its sample was */
} InfoGroup;

typedef struct InfoSeries {
        LabelSet labels;
        size_t group;
} InfoSeries;

typedef struct Info {
        Exec *x;
        Node *node;
        Node select;         /* of the info series */
        Expr expr;
        Matcher *matchers;
        size_t n_matchers;
        bool by_name;        /* the user said what name info metrics have, or gave no matchers of any kind */
        bool by_suffix;      /* he only said what name they do not have: it ends in _info */
        Arena arena;
        LabelMap names, groups;
        InfoGroup *info;
        size_t cap_groups;
        InfoSeries *series;
        size_t n_series;
        RowList out;
} Info;

static const SelectorExpr *data_selector(const Info *f) {
        const CallExpr *c = &f->node->expr->call;
        return c->n_args > 1 ? &expr_bare(c->args[1])->selector : NULL;
}

static bool is_name(const Matcher *m) {
        return span_is(m->name, METRIC_NAME_LABEL);
}

static bool is_positive(const Matcher *m) {
        return m->type == MATCH_EQUAL || m->type == MATCH_REGEX;
}

static bool ends_in_info(LabelSet l) {
        static const char SUFFIX[] = "_info";
        const size_t n = sizeof SUFFIX - 1;
        Span name = labelset_get(l, METRIC);
        return name.len > n && memcmp(name.text + name.len - n, SUFFIX, n) == 0;
}

/* ---- Info series ---- */

static int take_matchers(Info *f) {
        static const Matcher TARGET = { .type = MATCH_EQUAL,
                                        .name = { "__name__", 8 },
                                        .value = { "target_info", 11 } };
        const SelectorExpr *s = data_selector(f);
        size_t n = s ? s->n_matchers : 0;
        bool named = false, positive = false;
        f->matchers = ARENA_ARRAY(&f->arena, Matcher, n + 1);
        if (!f->matchers)
                return f->arena.error;
        for (size_t i = 0; i < n; i++) {
                f->matchers[f->n_matchers++] = s->matchers[i];
                named |= is_name(&s->matchers[i]);
                positive |= is_name(&s->matchers[i]) && is_positive(&s->matchers[i]);
        }
        if (!named)
                f->matchers[f->n_matchers++] = TARGET;
        f->by_name = positive || !s;
        f->by_suffix = named && !positive;
        return 0;
}

static int select_series(Info *f) {
        Node *n = &f->select;
        f->expr = (Expr){ .kind = EXPR_SELECTOR, .type = TYPE_VECTOR, .place = f->node->expr->place,
                          .selector = { .matchers = f->matchers, .n_matchers = f->n_matchers } };
        n->kind = NODE_SELECT;
        n->expr = &f->expr;
        n->takes_time = true;
        n->steps = f->node->steps;
        n->first_ms = n->steps.start_ms;
        n->step_ms = n->steps.step_ms;
        int64_t last = step_time(&n->steps, n->steps.n - 1);
        int r = selection_of(f->x, n, n->first_ms - f->x->lookback_ms, last, &n->selection);
        return r < 0 ? r : selection_open(f->x, n->selection);
}

static int group_of(Info *f, LabelSet l, size_t *ret_group) {
        bool added;
        LabelSet key = labelset_keep(&f->arena, l, IDENTITY, ARRAY_LEN(IDENTITY)),
                 name = labelset_keep(&f->arena, l, IDENTITY, 1);
        if (!key.run || !name.run)
                return f->arena.error;
        int r = labelmap_put(&f->names, name, ret_group, &added);
        if (r == 0 && f->names.n > NAMES_MOST)
                return exec_fail(f->x, QUERY_EXECUTION, "info(): more than %u info metrics match", NAMES_MOST);
        if (r == 0)
                r = labelmap_put(&f->groups, key, ret_group, &added);
        if (r < 0 || !added)
                return r;
        if (*ret_group == f->cap_groups) {
                size_t cap = f->cap_groups ? 2 * f->cap_groups : 16;
                f->info = arena_grow(&f->arena, f->info, f->cap_groups * sizeof *f->info, cap * sizeof *f->info);
                f->cap_groups = cap;
        }
        if (f->info)
                f->info[*ret_group] = (InfoGroup){ ARENA_ARRAY(&f->arena, uint32_t, f->node->steps.n),
                                                   values_new(&f->arena, &f->node->steps) };
        return f->arena.error;
}

static int fail_duplicate(Info *f, LabelSet before, double before_s, LabelSet l, double s) {
        CLEANUP(buf_deinit) Buf one = BUF_NULL, other = BUF_NULL;
        labels_print(before.run, before.len, &one);
        labels_print(l.run, l.len, &other);
        return exec_fail(f->x, QUERY_EXECUTION,
                         "found duplicate series for info metric: existing %s @ %.0f, new %s @ %.0f", buf_cstr(&one),
                         before_s * 1000, buf_cstr(&other), s * 1000);
}

static int take_series(void *context, const Row *row) {
        Info *f = context;
        InfoSeries *s = &f->series[f->n_series];
        if (f->by_suffix && !ends_in_info(row->labels))
                return 0;
        s->labels =
                (LabelSet){ (const uint8_t *)arena_copy(&f->arena, row->labels.run, row->labels.len), row->labels.len };
        int r = s->labels.run ? group_of(f, s->labels, &s->group) : f->arena.error;
        if (r < 0)
                return r;
        f->n_series++;
        InfoGroup *g = &f->info[s->group];
        for (size_t k = 0; k < f->node->steps.n; k++) {
                if (is_absent(row->v[k]))
                        continue;
                uint32_t before = g->chosen[k];
                if (before && g->newest[k] == row->v[k])
                        return fail_duplicate(f, f->series[before - 1].labels, g->newest[k], s->labels, row->v[k]);
                if (before && g->newest[k] > row->v[k])
                        continue;
                g->chosen[k] = (uint32_t)f->n_series;
                g->newest[k] = row->v[k];
        }
        return 0;
}

static int read_series(Info *f) {
        int r = take_matchers(f);
        if (r == 0)
                r = select_series(f);
        if (r < 0)
                return r;
        f->series = ARENA_ARRAY(&f->arena, InfoSeries, selection_count(f->select.selection));
        return f->series ? rows_stream(f->x, &f->select, &f->node->steps, take_series, f) : f->arena.error;
}

/* ---- Rows ---- */

/* Series that are info themselves stay as they are. */
static bool is_info(const Info *f, LabelSet l) {
        Span name = labelset_get(l, METRIC);
        for (size_t i = 0; f->by_name && i < f->n_matchers; i++)
                if (is_name(&f->matchers[i]) && !matcher_matches(&f->matchers[i], name))
                        return false;
        return f->by_name;
}

/* Labels that the user wants, if he said which. */
static bool is_wanted(const Info *f, Span label) {
        const SelectorExpr *s = data_selector(f);
        bool any = false;
        for (size_t i = 0; s && i < s->n_matchers; i++) {
                if (is_name(&s->matchers[i]))
                        continue;
                any = true;
                if (s->matchers[i].name.len == label.len &&
                    memcmp(s->matchers[i].name.text, label.text, label.len) == 0)
                        return true;
        }
        return !any;
}

/* Whether a row that nothing is known of is in the result. */
static bool may_be_alone(const Info *f) {
        const SelectorExpr *s = data_selector(f);
        for (size_t i = 0; s && i < s->n_matchers; i++)
                if (!is_name(&s->matchers[i]) && !matcher_matches(&s->matchers[i], (Span){ "", 0 }))
                        return false;
        return true;
}

static int add_labels(Info *f, LabelSet base, LabelSet info, LabelSet *added) {
        Label labels[LABELS_MAX];
        size_t n = labels_split(info.run, info.len, labels);
        for (size_t i = 0; i < n; i++) {
                Span name = labels[i].name, before = labelset_get(*added, name);
                if (span_is(name, METRIC_NAME_LABEL) || !is_wanted(f, name))
                        continue;
                if (before.len &&
                    (before.len != labels[i].value.len || memcmp(before.text, labels[i].value.text, before.len) != 0))
                        return exec_fail(f->x, QUERY_EXECUTION, "conflicting label: %.*s", (int)name.len, name.text);
                if (labelset_get(base, name).len)
                        continue;
                *added = labelset_set(&f->arena, *added, name, labels[i].value);
                if (!added->run)
                        return f->arena.error;
        }
        return 0;
}

static int joined_labels(Info *f, LabelSet base, const uint32_t *chosen, size_t n, LabelSet *ret) {
        LabelSet added = { 0 };
        for (size_t i = 0; i < n; i++) {
                int r = chosen[i] ? add_labels(f, base, f->series[chosen[i] - 1].labels, &added) : 0;
                if (r < 0)
                        return r;
        }
        Label labels[LABELS_MAX];
        size_t n_added = labels_split(added.run, added.len, labels);
        *ret = (LabelSet){ (const uint8_t *)arena_copy(&f->node->arena, base.run, base.len), base.len };
        for (size_t i = 0; ret->run && i < n_added; i++)
                *ret = labelset_set(&f->node->arena, *ret, labels[i].name, labels[i].value);
        return ret->run ? 0 : f->node->arena.error;
}

/* The groups that a row may be joined with, one for each name of an info metric. */
static int groups_of(Info *f, LabelSet l, const InfoGroup *ret[NAMES_MOST]) {
        LabelSet identity = labelset_keep(&f->arena, l, IDENTITY + 1, 2);
        for (size_t i = 0; identity.run && i < f->names.n; i++) {
                size_t group;
                LabelSet key = labelset_set(&f->arena, identity, METRIC, labelset_get(f->names.keys[i], METRIC));
                if (!key.run)
                        return f->arena.error;
                ret[i] = labelmap_find(&f->groups, key, &group) ? &f->info[group] : NULL;
        }
        return identity.run ? 0 : f->arena.error;
}

/* The values of a row from step `first` on for as long as it is joined with the same series. */
static int add_stretch(Info *f, const Row *row, size_t first, size_t end, const uint32_t *chosen) {
        bool alone = true, any = false;
        for (size_t i = 0; i < f->names.n; i++)
                alone &= chosen[i] == 0;
        for (size_t k = first; k < end; k++)
                any |= row_has(row, k);
        if (!any || (alone && !may_be_alone(f)))
                return 0;
        Row copy;
        int r = row_new(&f->node->arena, &f->node->steps, &copy);
        for (size_t k = first; r == 0 && k < end; k++) {
                if (row_hist(row, k)) {
                        FHist *h = fhist_copy(&f->node->arena, row->h[k]);
                        r = h ? row_set_hist(&f->node->arena, &f->node->steps, &copy, k, h) : f->node->arena.error;
                } else {
                        copy.v[k] = row->v[k];
                }
        }
        if (r == 0)
                r = joined_labels(f, row->labels, chosen, f->names.n, &copy.labels);
        copy.drop_name = row->drop_name;
        return r < 0 ? r : rowlist_add(&f->out, copy);
}

static int join_row(Info *f, const Row *row) {
        const InfoGroup *groups[NAMES_MOST] = { 0 };
        uint32_t before[NAMES_MOST] = { 0 }, now[NAMES_MOST] = { 0 };
        size_t first = 0, n = f->node->steps.n;
        int r = groups_of(f, row->labels, groups);
        for (size_t k = 0; r == 0 && k <= n; k++) {
                for (size_t i = 0; k < n && i < f->names.n; i++)
                        now[i] = groups[i] ? groups[i]->chosen[k] : 0;
                if (k == n || (k > first && memcmp(before, now, f->names.n * sizeof *now) != 0)) {
                        r = add_stretch(f, row, first, k, before);
                        first = k;
                }
                memcpy(before, now, sizeof before);
        }
        return r;
}

static int run(Info *f) {
        Value base;
        int r = value_spread(&f->arena, f->node->kids[0], &f->node->steps, &base);
        if (r == 0)
                r = read_series(f);
        for (size_t i = 0; r == 0 && i < base.n_rows; i++) {
                Row copy;
                if (!is_info(f, base.rows[i].labels)) {
                        r = join_row(f, &base.rows[i]);
                } else {
                        r = row_copy(&f->node->arena, &f->node->steps, &base.rows[i], &copy);
                        r = r < 0 ? r : rowlist_add(&f->out, copy);
                }
                if (r == 0)
                        r = exec_check(f->x);
        }
        return r;
}

int info_value(Exec *x, Node *n) {
        Info f = { .x = x, .node = n, .arena = ARENA(&x->budget), .out = { .arena = &n->arena } };
        f.select.arena = ARENA(&x->budget);
        f.names = f.groups = LABEL_MAP(&f.arena);
        int r = run(&f);
        n->value = (Value){ .type = TYPE_VECTOR, .rows = f.out.rows, .n_rows = f.out.n };
        if (r == 0)
                r = rows_merge(x, &n->arena, &n->steps, &n->value, false);
        arena_deinit(&f.arena);
        return r;
}
