/* Aggregations that make one row of each group: rows come one at a time and are added to the columns of their group,
 * all steps in one pass, so that no row of what is aggregated has to be kept (quantile() alone needs all values of a
 * step at once).
 *
 * A group begins with its first row as it is; as long as all of its rows have a number at every step it is *dense* and
 * needs no look at single steps. Rows with histograms are added by the slow way, step by step. */
#include "query/aggregate.h"

#include "query/function_priv.h"

#include <assert.h>
#include <float.h>

typedef enum HistFlag {
        SAW_HIST = 1,
        SAW_MIXED_SCHEMAS = 2, /* nothing can come of this step any more */
        SAW_RESET = 4,
        SAW_NO_RESET = 8,
} HistFlag;

/* The columns of a group: which of them there are depends on the operator. */
typedef struct Group {
        LabelSet labels;
        bool drop_name, dense, begun;
        double *v;     /* sum, least, greatest, mean of squares; absent where no float was seen */
        double *c;     /* what the sum lost to rounding */
        double *count; /* values seen */
        double *mean;  /* of stddev; of avg the mean itself once the sum is too large, else absent */
        FHist **h, **h_c;
        uint8_t *flags; /* of HistFlag; with h */
        RowList rows;   /* of quantile */
} Group;

typedef struct Aggregation {
        Exec *x;
        Node *node;
        AggregateOp op;
        Grouping grouping;
        Group *groups;
        size_t cap;
        size_t n; /* steps */
        Place place; /* of what is aggregated */
        Arena scratch;
} Aggregation;

/* ---- Groups ---- */

int grouping_init(Grouping *g, Arena *a, const AggregateExpr *e) {
        *g = (Grouping){ .without = e->without, .n_names = e->n_labels, .arena = a, .map = LABEL_MAP(a) };
        g->names = names_sorted(a, e->labels, e->n_labels);
        return g->names ? 0 : a->error;
}

LabelSet grouping_labels(const Grouping *g, Arena *a, LabelSet l) {
        return g->without ? labelset_without(a, l, g->names, g->n_names, true)
                          : labelset_keep(a, l, g->names, g->n_names);
}

int grouping_find(Grouping *g, LabelSet l, size_t *ret_group, bool *ret_added) {
        LabelSet labels = grouping_labels(g, g->arena, l);
        if (!labels.run)
                return g->arena->error;
        int r = labelmap_put(&g->map, labels, ret_group, ret_added);
        /* Labels that are known already need not be kept. */
        if (r == 0 && !*ret_added)
                (void)!arena_grow(g->arena, (void *)labels.run, labels.len, 0);
        return r;
}

static int add_group(Aggregation *a, size_t i) {
        Arena *arena = &a->node->arena;
        if (i == a->cap) {
                size_t cap = a->cap ? 2 * a->cap : 8;
                Group *groups = arena_grow(arena, a->groups, a->cap * sizeof *groups, cap * sizeof *groups);
                if (!groups)
                        return arena->error;
                a->groups = groups;
                a->cap = cap;
        }
        a->groups[i] = (Group){ .labels = a->grouping.map.keys[i], .rows = { .arena = arena } };
        return 0;
}

static double *column(Aggregation *a, double fill) {
        double *v = values_new(&a->node->arena, &a->node->steps);
        for (size_t k = 0; v && k < a->n; k++)
                v[k] = fill;
        return v;
}

static bool wants_rounding(AggregateOp op) {
        return op == AGGREGATE_SUM || op == AGGREGATE_AVG;
}

static bool wants_count(AggregateOp op) {
        return op == AGGREGATE_AVG || op == AGGREGATE_COUNT || op == AGGREGATE_STDDEV || op == AGGREGATE_STDVAR;
}

static bool is_spread(AggregateOp op) {
        return op == AGGREGATE_STDDEV || op == AGGREGATE_STDVAR;
}

static int begin_group(Aggregation *a, Group *g) {
        g->begun = true;
        g->v = column(a, ABSENT);
        g->c = wants_rounding(a->op) ? column(a, 0) : NULL;
        g->count = wants_count(a->op) ? column(a, 0) : NULL;
        g->mean = is_spread(a->op) ? column(a, 0) : NULL;
        return a->node->arena.error;
}

static int begin_hists(Aggregation *a, Group *g) {
        Arena *arena = &a->node->arena;
        if (g->flags)
                return 0;
        g->h = ARENA_ARRAY(arena, FHist *, a->n);
        g->h_c = ARENA_ARRAY(arena, FHist *, a->n);
        g->flags = ARENA_ARRAY(arena, uint8_t, a->n);
        return arena->error;
}

/* ---- Floats, dense ---- */

/* Neumaier's sum without a branch: what s + v lost is found by taking the parts out of the result again. Nothing is
 * lost to infinity. */
static void add_all(double *restrict s, double *restrict c, const double *restrict v, size_t n) {
        for (size_t k = 0; k < n; k++) {
                double t = s[k] + v[k], part = t - s[k], lost = (s[k] - (t - part)) + (v[k] - part);
                c[k] += t - t == 0 ? lost : 0;
                s[k] = t;
        }
}

static void count_all(double *count, size_t n) {
        for (size_t k = 0; k < n; k++)
                count[k] += 1;
}

static void least_of_all(double *restrict s, const double *restrict v, size_t n) {
        for (size_t k = 0; k < n; k++)
                s[k] = s[k] > v[k] || s[k] != s[k] ? v[k] : s[k];
}

static void greatest_of_all(double *restrict s, const double *restrict v, size_t n) {
        for (size_t k = 0; k < n; k++)
                s[k] = s[k] < v[k] || s[k] != s[k] ? v[k] : s[k];
}

static bool stays_finite(const double *s, const double *v, size_t n) {
        bool good = true;
        for (size_t k = 0; k < n; k++)
                good &= fabs(s[k] + v[k]) <= DBL_MAX;
        return good;
}

/* The whole row at once; false when it has to be looked at step by step. */
static bool add_dense(Aggregation *a, Group *g, const double *v) {
        switch (a->op) {
        case AGGREGATE_SUM: add_all(g->v, g->c, v, a->n); return true;
        case AGGREGATE_AVG:
                if (g->mean || !stays_finite(g->v, v, a->n))
                        return false;
                add_all(g->v, g->c, v, a->n);
                count_all(g->count, a->n);
                return true;
        case AGGREGATE_COUNT: count_all(g->count, a->n); return true;
        case AGGREGATE_MIN: least_of_all(g->v, v, a->n); return true;
        case AGGREGATE_MAX: greatest_of_all(g->v, v, a->n); return true;
        case AGGREGATE_GROUP: return true;
        default: return false;
        }
}

/* ---- Floats, step by step ---- */

static void begin_value(Aggregation *a, Group *g, size_t k, double v) {
        if (g->count)
                g->count[k] += 1;
        if (is_spread(a->op)) {
                g->mean[k] = v;
                g->v[k] = isfinite(v) ? 0 : (double)NAN;
        } else {
                g->v[k] = a->op == AGGREGATE_GROUP ? 1 : v;
        }
}

/* From where the sum would be too large on, the mean is carried instead. */
static int add_to_mean(Aggregation *a, Group *g, size_t k, double v) {
        KahanSum sum = { g->v[k], g->c[k] };
        bool carried = g->mean && !is_absent(g->mean[k]);
        double before = g->count[k]++, n = g->count[k];
        if (!carried) {
                kahan_add(&sum, v);
                if (!isinf(sum.sum)) {
                        g->v[k] = sum.sum;
                        g->c[k] = sum.c;
                        return 0;
                }
                if (!g->mean && !(g->mean = column(a, ABSENT)))
                        return a->node->arena.error;
                g->mean[k] = g->v[k] / before;
                g->c[k] /= before;
        }
        KahanSum mean = { before / n * g->mean[k], before / n * g->c[k] };
        kahan_add(&mean, v / n);
        g->mean[k] = mean.sum;
        g->c[k] = mean.c;
        return 0;
}

static int add_value(Aggregation *a, Group *g, size_t k, double v) {
        KahanSum sum;
        double delta;
        switch (a->op) {
        case AGGREGATE_SUM:
                sum = (KahanSum){ g->v[k], g->c[k] };
                kahan_add(&sum, v);
                g->v[k] = sum.sum;
                g->c[k] = sum.c;
                return 0;
        case AGGREGATE_AVG: return add_to_mean(a, g, k, v);
        case AGGREGATE_MIN: least_of_all(&g->v[k], &v, 1); return 0;
        case AGGREGATE_MAX: greatest_of_all(&g->v[k], &v, 1); return 0;
        case AGGREGATE_COUNT: g->count[k] += 1; return 0;
        case AGGREGATE_GROUP: return 0;
        default:
                assert(is_spread(a->op));
                g->count[k] += 1;
                delta = v - g->mean[k];
                g->mean[k] += delta / g->count[k];
                g->v[k] += delta * (v - g->mean[k]);
                return 0;
        }
}

static int add_floats(Aggregation *a, Group *g, const double *v, bool dense) {
        if (dense && g->dense && add_dense(a, g, v))
                return 0;
        g->dense = g->dense && dense;
        for (size_t k = 0; k < a->n; k++) {
                int r = 0;
                if (is_absent(v[k]))
                        continue;
                if (is_absent(g->v[k]))
                        begin_value(a, g, k, v[k]);
                else
                        r = add_value(a, g, k, v[k]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- Histograms ---- */

static int note_hist_result(Aggregation *a, Group *g, size_t k, int r, const FHistNotes *what, LabelSet l) {
        static const Span METRIC = { METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 };
        Notes *notes = &a->x->notes;
        if (what->custom_mismatch)
                note_custom_mismatch(notes, a->place, HIST_AGGREGATION);
        if (r != -EINVAL)
                return r;
        note_mixed_schemas(notes, a->place, labelset_get(l, METRIC));
        g->flags[k] |= SAW_MIXED_SCHEMAS;
        return 0;
}

/* The mean moves by an nth of how far the new one is from it. */
static int add_to_hist_mean(Aggregation *a, Group *g, size_t k, const FHist *h, FHistNotes *what) {
        double n = g->count[k];
        FHist *left = fhist_copy(&a->scratch, h), *right = fhist_copy(&a->scratch, g->h[k]);
        if (!left || !right)
                return a->scratch.error;
        fhist_divide(left, n);
        fhist_divide(right, n);
        int r = fhist_sub(&a->scratch, left, right, what);
        return r < 0 ? r : fhist_add(&a->node->arena, g->h[k], left, what);
}

static int add_hist(Aggregation *a, Group *g, size_t k, const FHist *h, LabelSet l) {
        FHistNotes what = { 0 };
        if (g->flags[k] & SAW_MIXED_SCHEMAS)
                return 0;
        if (g->count)
                g->count[k] += 1;
        g->flags[k] |= (uint8_t)(SAW_HIST | (h->reset == FHIST_RESET_YES  ? SAW_RESET
                                             : h->reset == FHIST_RESET_NO ? SAW_NO_RESET
                                                                          : 0));
        if (!g->h[k]) {
                g->h[k] = fhist_copy(&a->node->arena, h);
                return g->h[k] ? 0 : a->node->arena.error;
        }
        int r = a->op == AGGREGATE_SUM ? fhist_add_exact(&a->node->arena, g->h[k], &g->h_c[k], h, &what)
                                       : add_to_hist_mean(a, g, k, h, &what);
        return note_hist_result(a, g, k, r, &what, l);
}

/* What there is to a histogram in aggregations that only look whether something is there, or take floats alone. */
static int see_hist(Aggregation *a, Group *g, size_t k) {
        switch (a->op) {
        case AGGREGATE_COUNT: g->count[k] += 1; g->v[k] = 1; return 0;
        case AGGREGATE_GROUP: g->v[k] = 1; return 0;
        default:
                notes_add(&a->x->notes, NOTE_INFO, a->place, "PromQL info: ignored histogram in %s aggregation",
                          aggregate_name(a->op));
                return 0;
        }
}

static int add_hists(Aggregation *a, Group *g, const Row *row) {
        bool adds = wants_rounding(a->op);
        int r = adds ? begin_hists(a, g) : 0;
        g->dense = false;
        for (size_t k = 0; r == 0 && k < a->n; k++) {
                if (!row->h[k])
                        continue;
                r = adds ? add_hist(a, g, k, row->h[k], row->labels) : see_hist(a, g, k);
        }
        if (a->op == AGGREGATE_AVG)
                arena_deinit(&a->scratch);
        return r;
}

/* ---- Rows ---- */

static int add_first(Aggregation *a, Group *g, const Row *row) {
        int r = begin_group(a, g);
        if (r == 0)
                r = add_floats(a, g, row->v, false);
        g->dense = !any_absent(row->v, a->n);
        return r;
}

static int take_row(void *context, const Row *row) {
        Aggregation *a = context;
        size_t i;
        bool added;
        int r = grouping_find(&a->grouping, row->labels, &i, &added);
        if (r == 0 && added)
                r = add_group(a, i);
        if (r < 0)
                return r;
        Group *g = &a->groups[i];
        g->drop_name |= row->drop_name;
        if (a->op == AGGREGATE_QUANTILE) {
                Row copy;
                r = row_copy(&a->node->arena, &a->node->steps, row, &copy);
                return r < 0 ? r : rowlist_add(&g->rows, copy);
        }
        r = g->begun ? add_floats(a, g, row->v, !any_absent(row->v, a->n)) : add_first(a, g, row);
        return r == 0 && row->h ? add_hists(a, g, row) : r;
}

/* ---- Results ---- */

/* Steps whose values are gathered together: a row's values of neighbouring steps lie in one line of the cache. */
#define GATHERED 8

static void gather(Aggregation *a, Group *g, size_t first, size_t end, double *values, size_t counts[GATHERED]) {
        memset(counts, 0, GATHERED * sizeof *counts);
        for (size_t i = 0; i < g->rows.n; i++) {
                const Row *row = &g->rows.rows[i];
                for (size_t k = first; k < end; k++) {
                        if (row_hist(row, k))
                                (void)see_hist(a, g, k);
                        else if (!is_absent(row->v[k]))
                                values[(k - first) * g->rows.n + counts[k - first]++] = row->v[k];
                }
        }
}

static int quantile_group(Aggregation *a, Group *g) {
        const double *q = a->node->args[0];
        double *values = arena_calloc(&a->scratch, GATHERED * g->rows.n, sizeof *values);
        size_t counts[GATHERED];
        g->v = column(a, ABSENT);
        if (!g->v || !values)
                return g->v ? a->scratch.error : a->node->arena.error;
        for (size_t k = 0; k < a->n; k += GATHERED) {
                size_t end = a->n - k < GATHERED ? a->n : k + GATHERED;
                gather(a, g, k, end, values, counts);
                for (size_t i = k; i < end; i++)
                        if (counts[i - k])
                                g->v[i] = quantile_of(q[i], values + (i - k) * g->rows.n, counts[i - k]);
                int r = exec_check(a->x);
                if (r < 0)
                        return r;
        }
        arena_deinit(&a->scratch);
        return 0;
}

static double result_of(const Aggregation *a, const Group *g, size_t k) {
        switch (a->op) {
        case AGGREGATE_SUM: return g->v[k] + g->c[k];
        case AGGREGATE_AVG:
                if (g->mean && !is_absent(g->mean[k]))
                        return g->mean[k] + g->c[k];
                return g->v[k] / g->count[k] + g->c[k] / g->count[k];
        case AGGREGATE_COUNT: return g->count[k];
        case AGGREGATE_STDVAR: return g->v[k] / g->count[k];
        case AGGREGATE_STDDEV: return sqrt(g->v[k] / g->count[k]);
        default: return g->v[k];
        }
}

static int end_hist(Aggregation *a, Group *g, size_t k, Row *row) {
        bool floats = !is_absent(g->v[k]);
        row->v[k] = ABSENT;
        if (floats)
                note_mixed(&a->x->notes, a->place, (Span){ NULL, 0 });
        if (floats || g->flags[k] & SAW_MIXED_SCHEMAS)
                return 0;
        if ((g->flags[k] & SAW_RESET) && (g->flags[k] & SAW_NO_RESET))
                note_reset_collision(&a->x->notes, a->place, HIST_AGGREGATION);
        fhist_settle(g->h[k], g->h_c[k]);
        int r = fhist_compact(&a->node->arena, g->h[k]);
        return r < 0 ? r : row_set_hist(&a->node->arena, &a->node->steps, row, k, g->h[k]);
}

static int end_group(Aggregation *a, Group *g, Row *row) {
        int r = a->op == AGGREGATE_QUANTILE ? quantile_group(a, g) : 0;
        *row = (Row){ .labels = g->labels, .v = g->v, .drop_name = g->drop_name };
        for (size_t k = 0; r == 0 && k < a->n; k++) {
                if (g->flags && g->flags[k] & SAW_HIST)
                        r = end_hist(a, g, k, row);
                else if (!is_absent(g->v[k]))
                        row->v[k] = result_of(a, g, k);
        }
        return r;
}

static int end_groups(Aggregation *a) {
        Node *n = a->node;
        Row *rows = ARENA_ARRAY(&n->arena, Row, a->grouping.map.n);
        size_t filled = 0;
        int r = rows ? 0 : n->arena.error;
        for (size_t i = 0; r == 0 && i < a->grouping.map.n; i++) {
                r = end_group(a, &a->groups[i], &rows[filled]);
                filled += r == 0 && row_any(&rows[filled], &n->steps);
        }
        n->value = (Value){ .type = TYPE_VECTOR, .rows = rows, .n_rows = filled };
        return r;
}

static void check_quantile(const Aggregation *a) {
        for (size_t k = 0; k < a->n; k++)
                function_check_quantile(&a->x->notes, a->node->expr->aggregate.param->place, a->node->args[0][k]);
}

int aggregate_value(Exec *x, Node *n) {
        const AggregateExpr *e = &n->expr->aggregate;
        switch (e->op) {
        case AGGREGATE_TOPK:
        case AGGREGATE_BOTTOMK:
        case AGGREGATE_LIMITK:
        case AGGREGATE_LIMIT_RATIO: return pick_value(x, n);
        case AGGREGATE_COUNT_VALUES: return count_values_value(x, n);
        default: break;
        }
        Aggregation a = {
                .x = x, .node = n, .op = e->op, .n = n->steps.n, .place = e->inner->place, .scratch = ARENA(&x->budget)
        };
        if (e->op == AGGREGATE_QUANTILE)
                check_quantile(&a);
        int r = grouping_init(&a.grouping, &n->arena, e);
        if (r == 0)
                r = rows_stream(x, n->kids[0], &n->steps, take_row, &a);
        if (r == 0)
                r = end_groups(&a);
        arena_deinit(&a.scratch);
        return r;
}
