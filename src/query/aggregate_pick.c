/* Aggregations that keep some of the rows: topk, bottomk, limitk, limit_ratio.
 *
 * topk and bottomk have a heap for each step of each group, in which a row is a number; only what is in a heap at the
 * end is written to rows. So memory is groups x steps x k, however many rows there are. */
#include "query/aggregate.h"

#include "base/number.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct Picked {
        double v;
        uint32_t row;
} Picked;

typedef struct Heap {
        Picked *at;
        uint32_t n, cap;
} Heap;

typedef struct PickGroup {
        Heap *heaps;     /* a step each */
        uint32_t *taken; /* limitk: how many a step has */
} PickGroup;

/* A row of which something may be picked. */
typedef struct Candidate {
        LabelSet labels;
        bool drop_name;
        size_t group;
        double *v;
        FHist **h;
} Candidate;

typedef struct Pick {
        Exec *x;
        Node *node;
        AggregateOp op;
        const double *param;
        Arena *arena, scratch;
        Grouping grouping;
        PickGroup *groups;
        size_t cap_groups;
        Candidate *rows;
        size_t n_rows, cap_rows;
        size_t most_rows; /* that there can be */
} Pick;

/* ---- Heaps: the one that has to go first is at the top ---- */

/* Whether a goes before b: NaN first, then the smallest (of bottomk the greatest). */
static bool goes_first(AggregateOp op, double a, double b) {
        return isnan(a) || (op == AGGREGATE_TOPK ? a < b : a > b);
}

static void swap(Picked *a, Picked *b) {
        Picked t = *a;
        *a = *b;
        *b = t;
}

static void sift_up(AggregateOp op, Heap *h, size_t i) {
        while (i > 0) {
                size_t parent = (i - 1) / 2;
                if (!goes_first(op, h->at[i].v, h->at[parent].v))
                        return;
                swap(&h->at[i], &h->at[parent]);
                i = parent;
        }
}

static void sift_down(AggregateOp op, Heap *h, size_t i) {
        for (;;) {
                size_t least = 2 * i + 1;
                if (least >= h->n)
                        return;
                if (least + 1 < h->n && goes_first(op, h->at[least + 1].v, h->at[least].v))
                        least++;
                if (!goes_first(op, h->at[least].v, h->at[i].v))
                        return;
                swap(&h->at[i], &h->at[least]);
                i = least;
        }
}

static int heap_offer(Pick *p, Heap *h, size_t k, double v, uint32_t row) {
        if (h->n < k) {
                if (h->n == h->cap) {
                        uint32_t cap = h->cap ? 2 * h->cap : 4;
                        if (cap > k)
                                cap = (uint32_t)k;
                        Picked *at = arena_grow(&p->scratch, h->at, h->cap * sizeof *at, cap * sizeof *at);
                        if (!at)
                                return p->scratch.error;
                        h->at = at;
                        h->cap = cap;
                }
                h->at[h->n++] = (Picked){ v, row };
                sift_up(p->op, h, h->n - 1);
        } else if (isnan(h->at[0].v) ? !isnan(v) : p->op == AGGREGATE_TOPK ? h->at[0].v < v : h->at[0].v > v) {
                h->at[0] = (Picked){ v, row };
                sift_down(p->op, h, 0);
        }
        return 0;
}

/* ---- Rows ---- */

static size_t wanted(const Pick *p, size_t k) {
        double v = p->param[k];
        return v < 1 ? 0 : v >= (double)p->most_rows ? p->most_rows : (size_t)v;
}

static int group_of(Pick *p, LabelSet l, size_t *ret_group) {
        bool added;
        int r = grouping_find(&p->grouping, l, ret_group, &added);
        if (r < 0 || !added)
                return r;
        if (*ret_group == p->cap_groups) {
                size_t cap = p->cap_groups ? 2 * p->cap_groups : 8;
                PickGroup *groups =
                        arena_grow(&p->scratch, p->groups, p->cap_groups * sizeof *groups, cap * sizeof *groups);
                if (!groups)
                        return p->scratch.error;
                p->groups = groups;
                p->cap_groups = cap;
        }
        bool limits = p->op == AGGREGATE_LIMITK;
        p->groups[*ret_group] =
                (PickGroup){ .heaps = limits ? NULL : ARENA_ARRAY(&p->scratch, Heap, p->node->steps.n),
                             .taken = limits ? ARENA_ARRAY(&p->scratch, uint32_t, p->node->steps.n) : NULL };
        return p->scratch.error;
}

static int add_candidate(Pick *p, const Row *row, size_t group, bool with_values, Candidate **ret) {
        if (p->n_rows == p->cap_rows) {
                size_t cap = p->cap_rows ? 2 * p->cap_rows : 16;
                Candidate *rows = arena_grow(&p->scratch, p->rows, p->cap_rows * sizeof *rows, cap * sizeof *rows);
                if (!rows)
                        return p->scratch.error;
                p->rows = rows;
                p->cap_rows = cap;
        }
        Candidate *c = &p->rows[p->n_rows];
        *c = (Candidate){ .labels = row->labels, .drop_name = row->drop_name, .group = group };
        Row copy;
        int r = 0;
        if (with_values) {
                r = row_copy(p->arena, &p->node->steps, row, &copy);
                if (r == 0) {
                        c->labels = copy.labels;
                        c->v = copy.v;
                        c->h = copy.h;
                }
        } else {
                c->labels.run = (const uint8_t *)arena_copy(p->arena, row->labels.run, row->labels.len);
                r = c->labels.run ? 0 : p->arena->error;
        }
        if (r == 0) {
                p->n_rows++;
                *ret = c;
        }
        return r;
}

static void ignore_hist(const Pick *p) {
        notes_add(&p->x->notes, NOTE_INFO, p->node->expr->place, "PromQL info: ignored histogram in %s aggregation",
                  aggregate_name(p->op));
}

static int take_for_heaps(void *context, const Row *row) {
        Pick *p = context;
        Candidate *c;
        size_t group;
        int r = group_of(p, row->labels, &group);
        if (r == 0)
                r = add_candidate(p, row, group, false, &c);
        for (size_t k = 0; r == 0 && k < p->node->steps.n; k++) {
                size_t n = wanted(p, k);
                if (n && row_hist(row, k))
                        ignore_hist(p);
                else if (n && !is_absent(row->v[k]))
                        r = heap_offer(p, &p->groups[group].heaps[k], n, row->v[k], (uint32_t)(p->n_rows - 1));
        }
        return r;
}

/* Steps that are not picked are taken out of the row's copy. */
static int take_limited(void *context, const Row *row) {
        Pick *p = context;
        size_t group;
        int r = group_of(p, row->labels, &group);
        if (r < 0)
                return r;
        uint32_t *taken = p->groups[group].taken;
        bool any = false;
        for (size_t k = 0; k < p->node->steps.n; k++)
                any |= row_has(row, k) && taken[k] < wanted(p, k);
        Candidate *c;
        r = any ? add_candidate(p, row, group, true, &c) : 0;
        for (size_t k = 0; r == 0 && any && k < p->node->steps.n; k++) {
                if (row_has(row, k) && taken[k] < wanted(p, k)) {
                        taken[k]++;
                        continue;
                }
                c->v[k] = ABSENT;
                if (c->h)
                        c->h[k] = NULL;
        }
        return r;
}

/* Where a series lies between 0 and 1: Prometheus hashes its labels in its own layout, each text behind its length. */
static double ratio_offset(LabelSet l) {
        Label labels[LABELS_MAX];
        size_t n = labels_split(l.run, l.len, labels);
        XXH64_state_t state;
        (void)XXH64_reset(&state, 0);
        for (size_t i = 0; i < 2 * n; i++) {
                Span s = i % 2 ? labels[i / 2].value : labels[i / 2].name;
                const uint8_t is_short[] = { (uint8_t)s.len };
                const uint8_t is_long[] = { 255, (uint8_t)s.len, (uint8_t)(s.len >> 8), (uint8_t)(s.len >> 16) };
                (void)XXH64_update(&state, s.len < 255 ? is_short : is_long,
                                   s.len < 255 ? sizeof is_short : sizeof is_long);
                (void)XXH64_update(&state, s.text, s.len);
        }
        return (double)XXH64_digest(&state) / (double)UINT64_MAX;
}

static bool in_ratio(double ratio, double offset) {
        ratio = fmax(-1, fmin(1, ratio));
        return ratio >= 0 ? offset < ratio : offset >= 1 + ratio;
}

static int take_ratio(void *context, const Row *row) {
        Pick *p = context;
        double offset = ratio_offset(row->labels);
        size_t group;
        bool any = false;
        for (size_t k = 0; k < p->node->steps.n; k++)
                any |= row_has(row, k) && in_ratio(p->param[k], offset);
        if (!any)
                return 0;
        Candidate *c;
        int r = group_of(p, row->labels, &group);
        if (r == 0)
                r = add_candidate(p, row, group, true, &c);
        for (size_t k = 0; r == 0 && k < p->node->steps.n; k++)
                if (!in_ratio(p->param[k], offset)) {
                        c->v[k] = ABSENT;
                        if (c->h)
                                c->h[k] = NULL;
                }
        return r;
}

/* ---- Results ---- */

/* What the heaps hold goes to the rows' own places. */
static int write_heaps(Pick *p) {
        const Steps *steps = &p->node->steps;
        for (size_t g = 0; g < p->grouping.map.n; g++)
                for (size_t k = 0; k < steps->n; k++) {
                        const Heap *h = &p->groups[g].heaps[k];
                        for (size_t i = 0; i < h->n; i++) {
                                Candidate *c = &p->rows[h->at[i].row];
                                Row row = { .v = c->v };
                                int r = c->v ? 0 : row_new(p->arena, steps, &row);
                                if (r < 0)
                                        return r;
                                c->v = row.v;
                                c->v[k] = h->at[i].v;
                        }
                }
        return 0;
}

/* The order of an instant query: a group after the other, and the best first. */
static int write_sorted(Pick *p, RowList *out) {
        for (size_t g = 0; g < p->grouping.map.n; g++) {
                Heap *h = &p->groups[g].heaps[0];
                uint32_t all = h->n;
                for (; h->n > 1; h->n--) {
                        swap(&h->at[0], &h->at[h->n - 1]);
                        Heap rest = { h->at, h->n - 1, h->cap };
                        sift_down(p->op, &rest, 0);
                }
                for (uint32_t i = 0; i < all; i++) {
                        const Candidate *c = &p->rows[h->at[i].row];
                        int r = rowlist_add(
                                out, (Row){ .labels = c->labels, .v = c->v, .h = c->h, .drop_name = c->drop_name });
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

static int write_in_order(Pick *p, RowList *out) {
        for (size_t i = 0; i < p->n_rows; i++) {
                const Candidate *c = &p->rows[i];
                int r = c->v ? rowlist_add(
                                       out,
                                       (Row){ .labels = c->labels, .v = c->v, .h = c->h, .drop_name = c->drop_name })
                             : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Groups stand in the order of their first rows, their rows in that in which they came. */
static int write_by_group(Pick *p, RowList *out) {
        for (size_t g = 0; g < p->grouping.map.n; g++)
                for (size_t i = 0; i < p->n_rows; i++) {
                        const Candidate *c = &p->rows[i];
                        int r = c->group == g && c->v ? rowlist_add(out, (Row){ c->labels, c->v, c->h, c->drop_name })
                                                      : 0;
                        if (r < 0)
                                return r;
                }
        return 0;
}

static int write_rows(Pick *p, RowList *out) {
        bool heaps = p->op == AGGREGATE_TOPK || p->op == AGGREGATE_BOTTOMK, one_step = p->node->steps.n == 1;
        int r = heaps ? write_heaps(p) : 0;
        if (r < 0)
                return r;
        if (heaps && one_step)
                return write_sorted(p, out);
        return one_step && p->grouping.map.n <= 64 ? write_by_group(p, out) : write_in_order(p, out);
}

/* ---- The parameter ---- */

static int check_ratio(Pick *p, double least, double most) {
        Notes *notes = &p->x->notes;
        Place place = p->node->expr->aggregate.param->place;
        char text[NUMBER_TEXT_MAX];
        double bad[] = { most > 1 ? most : 0, least < -1 ? least : 0 };
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                if (bad[i] == 0)
                        continue;
                size_t n = number_go(bad[i], text);
                notes_add(notes, NOTE_WARNING, place,
                          "PromQL warning: ratio value should be between -1 and 1, got %.*s, capping to %s", (int)n,
                          text, bad[i] > 0 ? "1" : "-1");
        }
        return 0;
}

static int check_count(Pick *p, double least, double most) {
        char text[NUMBER_TEXT_MAX];
        bool under = least <= -9223372036854775808.0;
        if (!under && most < 9223372036854774784.0)
                return 0;
        size_t n = number_go(under ? least : most, text);
        return exec_fail(p->x, QUERY_EXECUTION, "Scalar value %.*s %s int64", (int)n, text,
                         under ? "underflows" : "overflows");
}

/* *ret_none: nothing can be picked at any step. */
static int check_param(Pick *p, bool *ret_none) {
        double least = INFINITY, most = -INFINITY;
        bool nan = false, ratio = p->op == AGGREGATE_LIMIT_RATIO;
        for (size_t k = 0; k < p->node->steps.n; k++) {
                nan |= isnan(p->param[k]);
                least = fmin(least, p->param[k]);
                most = fmax(most, p->param[k]);
        }
        *ret_none = !nan && (ratio ? least == 0 && most == 0 : most < 1);
        if (*ret_none)
                return 0;
        if (nan)
                return exec_fail(p->x, QUERY_EXECUTION, "%s value is NaN", ratio ? "Ratio" : "Parameter");
        return ratio ? check_ratio(p, least, most) : check_count(p, least, most);
}

int pick_value(Exec *x, Node *n) {
        const AggregateExpr *e = &n->expr->aggregate;
        Node *kid = n->kids[0];
        Pick p = { .x = x,
                   .node = n,
                   .op = e->op,
                   .param = n->args[0],
                   .arena = &n->arena,
                   .scratch = ARENA(&x->budget),
                   .most_rows = node_rows(kid) };
        RowList out = { .arena = &n->arena };
        bool none = false;
        int r = check_param(&p, &none);
        if (r == 0 && !none)
                r = grouping_init(&p.grouping, &n->arena, e);
        if (r == 0 && !none)
                r = rows_stream(x, kid, &n->steps,
                                p.op == AGGREGATE_LIMITK        ? take_limited
                                : p.op == AGGREGATE_LIMIT_RATIO ? take_ratio
                                                                : take_for_heaps,
                                &p);
        if (r == 0 && !none)
                r = write_rows(&p, &out);
        n->value = (Value){ .type = TYPE_VECTOR, .rows = out.rows, .n_rows = out.n };
        arena_deinit(&p.scratch);
        return r;
}
