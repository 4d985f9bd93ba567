/* Arithmetic and comparisons of two vectors. Rows are matched once, by group; then each pair is calculated over all
 * steps in one pass.
 *
 * One side is the "one": at most one of its rows in a group may have a value at a step. Its rows that give the result
 * the same labels are joined to one column first, so that mostly each row of the other side, the "many" (which in
 * one-to-one matching may be no more than one at a step either), meets a single column. What the rules are about, two
 * rows at the same step, is found where columns are joined or results written; it is an error only where the step has
 * anything to calculate. */
#include "query/match.h"

/* Rows of the one side in a group that give results the same labels. */
typedef struct One {
        struct One *next;
        LabelSet included; /* what group_left(...) takes from it, the metric's name of it too if wanted */
        LabelSet labels;
        const double *v;
        FHist *const *h;
        double *own_v; /* once several rows are joined */
        FHist **own_h;
        bool drop_name;
} One;

/* Where a result's row comes from. */
typedef struct Origin {
        uint32_t group;
        const bool *matched; /* the steps at which a pair was calculated, where the row does not say; else NULL */
} Origin;

typedef struct Match {
        Exec *x;
        Node *node;
        const BinaryExpr *expr;
        Matching m;
        MatchSide *many, *one;
        bool swapped; /* group_right: the many are on the right */
        const Span *include;
        One **ones;          /* by group */
        bool *any_many;      /* steps at which the many side has anything; made when it is asked for */
        double *fill_one, *fill_many; /* columns of the fill values, or NULL */
        bool **matched;      /* by group: steps at which a pair was calculated; only where it matters */
        RowList out;
        Origin *origins;     /* of these rows */
        size_t cap_origins;
} Match;

static Arena *scratch(Match *b) {
        return &b->m.arena;
}

/* ---- The one side ---- */

static int steps_of_side(Match *b, const MatchSide *s, bool **steps) {
        if (*steps)
                return 0;
        bool *any = ARENA_ARRAY(scratch(b), bool, b->node->steps.n);
        if (!any)
                return scratch(b)->error;
        for (size_t i = 0; i < s->n; i++)
                for (size_t k = 0; k < b->node->steps.n; k++)
                        any[k] |= row_has(&s->rows[i], k);
        *steps = any;
        return 0;
}

/* Two rows of the one side at a step at which there is anything to calculate. */
static int fail_many_to_many(Match *b, LabelSet row, LabelSet other) {
        CLEANUP(buf_deinit) Buf group = BUF_NULL, first = BUF_NULL, second = BUF_NULL;
        LabelSet l = matching_labels(&b->m, scratch(b), row);
        if (!l.run)
                return scratch(b)->error;
        labels_print(l.run, l.len, &group);
        labels_print(row.run, row.len, &first);
        labels_print(other.run, other.len, &second);
        return exec_fail(b->x, QUERY_EXECUTION,
                         "found duplicate series for the match group %s on the %s hand-side of the operation: [%s, %s]"
                         ";many-to-many matching not allowed: matching labels must be unique on one side",
                         buf_cstr(&group), b->swapped ? "left" : "right", buf_cstr(&first), buf_cstr(&second));
}

static int check_not_both(Match *b, const Row *row, const One *o) {
        for (size_t k = 0; k < b->node->steps.n; k++) {
                if (!row_has(row, k) || (is_absent(o->v[k]) && !(o->h && o->h[k])))
                        continue;
                int r = steps_of_side(b, b->many, &b->any_many);
                if (r < 0)
                        return r;
                if (b->any_many[k] || b->fill_many || b->fill_one)
                        return fail_many_to_many(b, row->labels, o->labels);
        }
        return 0;
}

static int own_columns(Match *b, One *o) {
        const Steps *steps = &b->node->steps;
        o->own_v = values_new(scratch(b), steps);
        if (!o->own_v)
                return scratch(b)->error;
        o->v = memcpy(o->own_v, o->v, steps->n * sizeof *o->v);
        return 0;
}

static int own_hists(Match *b, One *o) {
        const Steps *steps = &b->node->steps;
        o->own_h = ARENA_ARRAY(scratch(b), FHist *, steps->n);
        if (!o->own_h)
                return scratch(b)->error;
        if (o->h)
                memcpy(o->own_h, o->h, steps->n * sizeof *o->h);
        o->h = o->own_h;
        return 0;
}

static int join_one(Match *b, One *o, const Row *row) {
        int r = o->own_v ? 0 : own_columns(b, o);
        if (r == 0 && !o->own_h && (o->h || row->h))
                r = own_hists(b, o);
        for (size_t k = 0; r == 0 && k < b->node->steps.n; k++)
                if (row_has(row, k)) {
                        o->own_v[k] = row->v[k];
                        if (o->own_h)
                                o->own_h[k] = row_hist(row, k);
                }
        return r;
}

static int add_one(Match *b, const Row *row, uint32_t group) {
        LabelSet included = b->expr->n_include ? labelset_keep(scratch(b), row->labels, b->include, b->expr->n_include)
                                               : (LabelSet){ 0 };
        if (b->expr->n_include && !included.run)
                return scratch(b)->error;
        One **at = &b->ones[group], *same = NULL;
        for (; *at; at = &(*at)->next) {
                int r = check_not_both(b, row, *at);
                if (r < 0)
                        return r;
                if (labelset_equal((*at)->included, included))
                        same = *at;
        }
        if (same)
                return join_one(b, same, row);
        *at = ARENA_NEW(scratch(b), One);
        if (!*at)
                return scratch(b)->error;
        **at = (One){ .included = included, .labels = row->labels, .v = row->v, .h = row->h };
        return 0;
}

static int gather_ones(Match *b) {
        b->ones = ARENA_ARRAY(scratch(b), One *, b->m.map.n);
        int r = b->ones ? 0 : scratch(b)->error;
        for (size_t i = 0; r == 0 && i < b->one->n; i++) {
                r = add_one(b, &b->one->rows[i], b->one->group[i]);
                if (r == 0)
                        r = exec_check(b->x);
        }
        return r;
}

/* ---- Labels of results ---- */

static bool changes_name(BinaryOp op) {
        return !binary_is_comparison(op) && op != BINARY_TRIM_UPPER && op != BINARY_TRIM_LOWER;
}

static LabelSet included_labels(Match *b, LabelSet l, LabelSet from) {
        Arena *a = &b->node->arena;
        for (size_t i = 0; l.run && i < b->expr->n_include; i++)
                l = labelset_set(a, l, b->include[i], labelset_get(from, b->include[i]));
        return l;
}

static LabelSet result_labels(Match *b, LabelSet many, LabelSet one_included) {
        const BinaryExpr *e = b->expr;
        Arena *a = &b->node->arena;
        bool drop = changes_name(e->op) || (e->bool_modifier && !b->x->delayed_names);
        LabelSet l = labelset_without(a, many, NULL, 0, changes_name(e->op));
        if (l.run && e->card == CARD_ONE_TO_ONE)
                l = e->on ? labelset_keep(a, l, b->m.names, e->n_labels)
                          : labelset_without(a, l, b->m.names, e->n_labels, false);
        l = included_labels(b, l, one_included);
        if (l.run && drop && !changes_name(e->op))
                l = labelset_drop_name(a, l);
        return l;
}

/* ---- Pairs ---- */

/* Sides as the operator has them. */
typedef struct Columns {
        const double *l, *r;
        FHist *const *lh, *const *rh;
} Columns;

/* A filter keeps the left value, whichever side is the many. */
static int pair_hists(Match *b, const Columns *c, size_t k, Row *row) {
        const BinaryExpr *e = b->expr;
        FHist *lh = c->lh ? c->lh[k] : NULL, *rh = c->rh ? c->rh[k] : NULL, *h;
        double v;
        bool keep;
        int r = binary_histograms(&b->node->arena, e->op, lh, c->l[k], rh, c->r[k], &b->x->notes, b->node->expr->place,
                                  &h, &v, &keep);
        if (r < 0 || (!h && is_absent(v)))
                return r;
        if (binary_is_comparison(e->op)) {
                if (e->bool_modifier) {
                        row->v[k] = keep;
                        return 0;
                }
                if (!keep)
                        return 0;
        }
        if (h)
                return row_set_hist(&b->node->arena, &b->node->steps, row, k, h);
        row->v[k] = v;
        return 0;
}

static double pair_floats(const BinaryExpr *e, double l, double r) {
        double v = binary_floats(e->op, l, r);
        if (!binary_is_comparison(e->op) || e->bool_modifier)
                return v;
        return v != 0 ? l : ABSENT;
}

static bool has_value(const double *v, FHist *const *h, size_t k) {
        return !is_absent(v[k]) || (h && h[k]);
}

#define LOOP(expression)                                                     \
        for (size_t k = 0; k < n; k++) {                                     \
                double l = c->l[k], r = c->r[k];                             \
                v[k] = is_absent(l) || is_absent(r) ? ABSENT : (expression); \
        }

/* Floats alone, where nobody wants to know which steps matched. */
static void pair_columns(const BinaryExpr *e, const Columns *c, double *v, size_t n) {
        switch (e->op) {
        case BINARY_ADD: LOOP(l + r); break;
        case BINARY_SUB: LOOP(l - r); break;
        case BINARY_MUL: LOOP(l * r); break;
        case BINARY_DIV: LOOP(l / r); break;
        default: LOOP(pair_floats(e, l, r)); break;
        }
}

/* The steps at which both have something; seen[k] is set there, whatever came of it. */
static int pair_steps(Match *b, const Columns *c, bool *seen, Row *row) {
        bool trims = b->expr->op == BINARY_TRIM_UPPER || b->expr->op == BINARY_TRIM_LOWER;
        for (size_t k = 0; k < b->node->steps.n; k++) {
                row->v[k] = ABSENT;
                if (!has_value(c->l, c->lh, k) || !has_value(c->r, c->rh, k))
                        continue;
                if (seen)
                        seen[k] = true;
                int r = 0;
                if (trims || (c->lh && c->lh[k]) || (c->rh && c->rh[k]))
                        r = pair_hists(b, c, k, row);
                else
                        row->v[k] = pair_floats(b->expr, c->l[k], c->r[k]);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int pair_row(Match *b, const Columns *c, bool *seen, Row *row) {
        bool trims = b->expr->op == BINARY_TRIM_UPPER || b->expr->op == BINARY_TRIM_LOWER;
        if (seen || c->lh || c->rh || trims)
                return pair_steps(b, c, seen, row);
        pair_columns(b->expr, c, row->v, b->node->steps.n);
        return 0;
}

/* Steps at which a group's rows of the many side were matched already: in one-to-one matching each may be once. */
static int check_matched(Match *b, uint32_t group, const bool *seen) {
        bool *before = b->matched[group];
        if (!before && !(before = b->matched[group] = ARENA_ARRAY(scratch(b), bool, b->node->steps.n)))
                return scratch(b)->error;
        for (size_t k = 0; k < b->node->steps.n; k++) {
                if (seen[k] && before[k] && b->expr->card == CARD_ONE_TO_ONE)
                        return exec_fail(b->x, QUERY_EXECUTION,
                                         "multiple matches for labels: many-to-one matching must be explicit "
                                         "(group_left/group_right)");
                before[k] |= seen[k];
        }
        return 0;
}

static bool has_several(const Match *b, uint32_t group) {
        uint32_t first = b->many->first[group];
        return first != MATCH_END && b->many->next[first] != MATCH_END;
}

/* Whether it has to be remembered at which steps a group had a match. */
static bool remembers(const Match *b, uint32_t group) {
        return b->fill_many || (b->expr->card == CARD_ONE_TO_ONE && has_several(b, group));
}

static int add_result(Match *b, Row row, Origin origin) {
        if (b->out.n == b->cap_origins) {
                size_t cap = b->cap_origins ? 2 * b->cap_origins : 64;
                Origin *origins =
                        arena_grow(scratch(b), b->origins, b->cap_origins * sizeof *origins, cap * sizeof *origins);
                if (!origins)
                        return scratch(b)->error;
                b->origins = origins;
                b->cap_origins = cap;
        }
        b->origins[b->out.n] = origin;
        return rowlist_add(&b->out, row);
}

/* Two results of a group may have equal labels, and a filter may have taken away what shows that. */
static bool hides_matches(const Match *b, uint32_t group) {
        return b->expr->card != CARD_ONE_TO_ONE && binary_is_comparison(b->expr->op) && !b->expr->bool_modifier &&
               has_several(b, group);
}

static int add_pair(Match *b, uint32_t group, const Row *many, LabelSet one_labels, const double *one_v,
                    FHist *const *one_h) {
        const Steps *steps = &b->node->steps;
        Arena *a = &b->node->arena;
        const Columns c =
                b->swapped ? (Columns){ one_v, many->v, one_h, many->h } : (Columns){ many->v, one_v, many->h, one_h };
        bool hides = hides_matches(b, group);
        bool *seen = hides || remembers(b, group) ? ARENA_ARRAY(scratch(b), bool, steps->n) : NULL;
        Row row = { .v = values_new(a, steps), .drop_name = b->expr->bool_modifier };
        if (!row.v || scratch(b)->error)
                return row.v ? scratch(b)->error : a->error;
        int r = pair_row(b, &c, seen, &row);
        if (r == 0 && seen && remembers(b, group))
                r = check_matched(b, group, seen);
        if (r < 0)
                return r;
        if (!hides && !row_any(&row, steps)) {
                if (!row.h)
                        (void)!arena_grow(a, row.v, steps->n * sizeof *row.v, 0);
                return 0;
        }
        row.labels = result_labels(b, many->labels, one_labels);
        return row.labels.run ? add_result(b, row, (Origin){ group, hides ? seen : NULL }) : a->error;
}

/* Where the one side has nothing, and a value stands for it. */
static int add_filled_one(Match *b, uint32_t group, const Row *many) {
        const Steps *steps = &b->node->steps;
        double *v = values_new(scratch(b), steps);
        LabelSet l = matching_labels(&b->m, scratch(b), many->labels);
        if (!v || !l.run)
                return scratch(b)->error;
        bool any = false;
        for (size_t k = 0; k < steps->n; k++) {
                bool there = false;
                for (const One *o = b->ones[group]; o && !there; o = o->next)
                        there = has_value(o->v, o->h, k);
                v[k] = there ? ABSENT : b->fill_one[k];
                any |= !there;
        }
        return any ? add_pair(b, group, many, l, v, NULL) : 0;
}

static int match_many(Match *b, size_t i) {
        uint32_t group = b->many->group[i];
        const Row *many = &b->many->rows[i];
        for (const One *o = b->ones[group]; o; o = o->next) {
                int r = add_pair(b, group, many, b->expr->n_include ? o->included : (LabelSet){ 0 }, o->v, o->h);
                if (r < 0)
                        return r;
        }
        return b->fill_one ? add_filled_one(b, group, many) : 0;
}

/* Rows of the one side at the steps at which nothing matched them. */
static int match_unmatched(Match *b, uint32_t group) {
        const Steps *steps = &b->node->steps;
        for (const One *o = b->ones[group]; o; o = o->next) {
                Row many = { .v = values_new(scratch(b), steps),
                             .labels = matching_labels(&b->m, scratch(b), o->labels) };
                if (!many.v || !many.labels.run)
                        return scratch(b)->error;
                for (size_t k = 0; k < steps->n; k++)
                        many.v[k] = b->matched[group] && b->matched[group][k] ? ABSENT : b->fill_many[k];
                int r = add_pair(b, group, &many, o->labels, o->v, o->h);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool was_matched(const Match *b, size_t result, size_t k) {
        const Origin *o = &b->origins[result];
        return o->matched ? o->matched[k] : row_has(&b->out.rows[result], k);
}

static bool share_step(const Match *b, size_t one, size_t other) {
        if (b->origins[one].group != b->origins[other].group)
                return false;
        for (size_t k = 0; k < b->node->steps.n; k++)
                if (was_matched(b, one, k) && was_matched(b, other, k))
                        return true;
        return false;
}

/* Results of one group with equal labels at one step: which of its many rows is meant is not said. */
static int check_unique(Match *b) {
        CLEANUP(arena_deinit) Arena a = ARENA(&b->x->budget);
        LabelMap map = LABEL_MAP(&a);
        size_t *first = ARENA_ARRAY(&a, size_t, b->out.n);
        int r = first ? 0 : a.error;
        for (size_t i = 0; r == 0 && i < b->out.n; i++) {
                size_t number;
                bool added;
                r = labelmap_put(&map, b->out.rows[i].labels, &number, &added);
                if (r < 0)
                        return r;
                if (added)
                        first[number] = i;
                else if (share_step(b, first[number], i))
                        return exec_fail(b->x, QUERY_EXECUTION,
                                         "multiple matches for labels: grouping labels must ensure unique matches");
        }
        return r;
}

static int fill_column(Match *b, bool has, double value, double **ret) {
        *ret = NULL;
        if (!has)
                return 0;
        double *v = values_new(scratch(b), &b->node->steps);
        for (size_t k = 0; v && k < b->node->steps.n; k++)
                v[k] = value;
        *ret = v;
        return v ? 0 : scratch(b)->error;
}

static int run(Match *b) {
        const BinaryExpr *e = b->expr;
        b->include = names_sorted(scratch(b), e->include, e->n_include);
        b->matched = ARENA_ARRAY(scratch(b), bool *, b->m.map.n);
        int r = scratch(b)->error;
        /* Whatever side the many are on, as in Prometheus: with group_right, fill_left is for those on the right. */
        if (r == 0)
                r = fill_column(b, e->has_fill_right, e->fill_right, &b->fill_one);
        if (r == 0)
                r = fill_column(b, e->has_fill_left, e->fill_left, &b->fill_many);
        if (r == 0)
                r = gather_ones(b);
        for (size_t i = 0; r == 0 && i < b->many->n; i++) {
                r = match_many(b, i);
                if (r == 0)
                        r = exec_check(b->x);
        }
        for (uint32_t g = 0; r == 0 && b->fill_many && g < b->m.map.n; g++)
                r = match_unmatched(b, g);
        return r;
}

int match_value(Exec *x, Node *n) {
        Match b = { .x = x, .node = n, .expr = &n->expr->binary, .out = { .arena = &n->arena } };
        b.swapped = b.expr->card == CARD_ONE_TO_MANY;
        int r = matching_init(&b.m, x, n);
        b.many = b.swapped ? &b.m.right : &b.m.left;
        b.one = b.swapped ? &b.m.left : &b.m.right;
        if (r == 0)
                r = run(&b);
        if (r == 0 && b.expr->card != CARD_ONE_TO_ONE)
                r = check_unique(&b);
        n->value = (Value){ .type = TYPE_VECTOR, .rows = b.out.rows, .n_rows = b.out.n };
        if (r == 0)
                rows_drop_empty(&n->value, &n->steps);
        if (r == 0)
                r = rows_merge(x, &n->arena, &n->steps, &n->value, false);
        matching_deinit(&b.m);
        return r;
}
