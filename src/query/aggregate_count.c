/* count_values: a counter for each value that each group has, all of whose steps are one row of the result. A series
 * mostly repeats its values, so they are looked up by their bits first; text is made once for each value of a group. */
#include "query/aggregate.h"

#include "base/number.h"

typedef struct Counter {
        LabelSet labels;
        double *v;
} Counter;

/* Which counter a value of a group belongs to. */
typedef struct Known {
        uint64_t bits;
        uint32_t group, counter; /* counter + 1; 0: free */
} Known;

typedef struct CountValues {
        Exec *x;
        Node *node;
        const AggregateExpr *expr;
        Span label;
        Arena scratch;
        Grouping bases;   /* groups before the value is looked at */
        Grouping grouping; /* its own labels, and that of the value */
        LabelMap results; /* counters by their labels */
        Counter *counters;
        size_t cap_counters;
        Known *known;
        size_t n_known, mask;
} CountValues;

static uint64_t value_bits(double v) {
        uint64_t bits;
        if (isnan(v))
                v = (double)NAN;
        memcpy(&bits, &v, sizeof bits);
        return bits;
}

static Known *known_slot(Known *known, size_t mask, uint32_t group, uint64_t bits) {
        size_t at = ((bits ^ (uint64_t)group << 32 ^ group) * UINT64_C(0x9e3779b97f4a7c15)) >> 20 & mask;
        while (known[at].counter && (known[at].bits != bits || known[at].group != group))
                at = (at + 1) & mask;
        return &known[at];
}

static int grow_known(CountValues *c) {
        size_t slots = c->known ? 2 * (c->mask + 1) : 256;
        Known *known = ARENA_ARRAY(&c->scratch, Known, slots);
        if (!known)
                return c->scratch.error;
        for (size_t i = 0; c->known && i <= c->mask; i++)
                if (c->known[i].counter)
                        *known_slot(known, slots - 1, c->known[i].group, c->known[i].bits) = c->known[i];
        c->known = known;
        c->mask = slots - 1;
        return 0;
}

/* The row in which values of this text are counted. */
static int counter_of(CountValues *c, LabelSet row, Span text, uint32_t *ret_counter) {
        Arena *a = &c->node->arena;
        LabelSet with = labelset_set(&c->scratch, row, c->label, text);
        LabelSet labels = with.run ? grouping_labels(&c->grouping, a, with) : with;
        size_t number;
        bool added;
        if (!labels.run)
                return c->scratch.error ? c->scratch.error : a->error;
        int r = labelmap_put(&c->results, labels, &number, &added);
        if (r < 0 || !added) {
                *ret_counter = (uint32_t)number;
                return r;
        }
        if (number == c->cap_counters) {
                size_t cap = c->cap_counters ? 2 * c->cap_counters : 16;
                Counter *counters = arena_grow(&c->scratch, c->counters, c->cap_counters * sizeof *counters,
                                               cap * sizeof *counters);
                if (!counters)
                        return c->scratch.error;
                c->counters = counters;
                c->cap_counters = cap;
        }
        Row fresh;
        r = row_new(a, &c->node->steps, &fresh);
        if (r == 0)
                r = exec_check(c->x);
        c->counters[number] = (Counter){ labels, r == 0 ? fresh.v : NULL };
        *ret_counter = (uint32_t)number;
        return r;
}

static int float_counter(CountValues *c, LabelSet row, uint32_t group, double v, uint32_t *ret_counter) {
        if (2 * c->n_known >= c->mask) {
                int r = grow_known(c);
                if (r < 0)
                        return r;
        }
        Known *known = known_slot(c->known, c->mask, group, value_bits(v));
        if (!known->counter) {
                char text[NUMBER_PLAIN_MAX];
                int r = counter_of(c, row, (Span){ text, number_plain(v, text) }, ret_counter);
                if (r < 0)
                        return r;
                *known = (Known){ value_bits(v), group, *ret_counter + 1 };
                c->n_known++;
        }
        *ret_counter = known->counter - 1;
        return 0;
}

static int hist_counter(CountValues *c, LabelSet row, const FHist *h, uint32_t *ret_counter) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        fhist_print(h, &text);
        int r = buf_error(&text);
        if (r == 0 && text.len > LABEL_VALUE_MAX)
                return exec_fail(c->x, QUERY_EXECUTION,
                                 "count_values: a histogram is longer than a label's value may be");
        return r < 0 ? r : counter_of(c, row, (Span){ text.data, text.len }, ret_counter);
}

static int take_row(void *context, const Row *row) {
        CountValues *c = context;
        size_t group;
        bool added;
        int r = grouping_find(&c->bases, row->labels, &group, &added);
        uint32_t counter = 0;
        for (size_t k = 0; r == 0 && k < c->node->steps.n; k++) {
                if (!row_has(row, k))
                        continue;
                bool repeats = k > 0 && !row->h && value_bits(row->v[k]) == value_bits(row->v[k - 1]) &&
                               !is_absent(row->v[k - 1]);
                if (row_hist(row, k))
                        r = hist_counter(c, row->labels, row->h[k], &counter);
                else if (!repeats)
                        r = float_counter(c, row->labels, (uint32_t)group, row->v[k], &counter);
                if (r == 0) {
                        double *v = &c->counters[counter].v[k];
                        *v = is_absent(*v) ? 1 : *v + 1;
                }
        }
        return r;
}

static int write_counters(CountValues *c) {
        Node *n = c->node;
        Row *rows = ARENA_ARRAY(&n->arena, Row, c->results.n);
        for (size_t i = 0; rows && i < c->results.n; i++)
                rows[i] = (Row){ .labels = c->counters[i].labels, .v = c->counters[i].v };
        n->value = (Value){ .type = TYPE_VECTOR, .rows = rows, .n_rows = rows ? c->results.n : 0 };
        return rows ? 0 : n->arena.error;
}

/* Without `without` the value's label is one of those that are kept. */
static int value_grouping(CountValues *c) {
        const AggregateExpr *e = c->expr;
        AggregateExpr with = *e;
        with.labels = ARENA_ARRAY(&c->scratch, Span, e->n_labels + 1);
        if (!with.labels)
                return c->scratch.error;
        if (e->n_labels)
                memcpy(with.labels, e->labels, e->n_labels * sizeof *e->labels);
        if (!e->without)
                with.labels[with.n_labels++] = c->label;
        return grouping_init(&c->grouping, &c->node->arena, &with);
}

int count_values_value(Exec *x, Node *n) {
        const AggregateExpr *e = &n->expr->aggregate;
        CountValues c = {
                .x = x, .node = n, .expr = e, .label = expr_bare(e->param)->string, .scratch = ARENA(&x->budget)
        };
        c.results = LABEL_MAP(&c.scratch);
        int r = grow_known(&c);
        if (r == 0)
                r = grouping_init(&c.bases, &c.scratch, e);
        if (r == 0)
                r = value_grouping(&c);
        if (r == 0)
                r = rows_stream(x, n->kids[0], &n->steps, take_row, &c);
        if (r == 0)
                r = write_counters(&c);
        arena_deinit(&c.scratch);
        return r;
}
