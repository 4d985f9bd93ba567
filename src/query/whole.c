/* Functions that need all series at once: absent, scalar, vector, sort; those of labels and of buckets are in the other
 * whole_*.c. */
#include "query/whole_priv.h"

#include <stdarg.h>
#include <stdlib.h>

Row *whole_rows(const WholeCall *c, size_t n) {
        return ARENA_ARRAY(c->arena, Row, n);
}

int whole_row_init(const WholeCall *c, Row *row) {
        row->v = arena_alloc(c->arena, c->steps->n * sizeof *row->v);
        if (!row->v)
                return c->arena->error;
        for (size_t k = 0; k < c->steps->n; k++)
                row->v[k] = ABSENT;
        return 0;
}

Place whole_place(const WholeCall *c, size_t arg) {
        const CallExpr *call = &c->call->call;
        return arg < call->n_args ? call->args[arg]->place : c->call->place;
}

int whole_refuse(const WholeCall *c, const char *fmt, ...) {
        char text[512];
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        if (c->error)
                buf_put_str(c->error, text);
        return -EINVAL;
}

static int one_row(const WholeCall *c, LabelSet labels, Value *ret_value, Row **ret_row) {
        Row *row = whole_rows(c, 1);
        if (!row)
                return c->arena->error;
        int r = whole_row_init(c, row);
        if (r < 0)
                return r;
        row->labels = labels;
        *ret_value = (Value){ .type = TYPE_VECTOR, .rows = row, .n_rows = 1 };
        *ret_row = row;
        return 0;
}

/* ---- absent ---- */

/* The labels that the selector asks for with one `=` each. */
static int labels_of_absent(const WholeCall *c, LabelSet *ret_labels) {
        const Expr *e = function_bare(c->call->call.args[0]);
        LabelSet labels = { 0 };
        if (e->kind == EXPR_SELECTOR)
                for (size_t i = 0; i < e->selector.n_matchers; i++) {
                        const Matcher *m = &e->selector.matchers[i];
                        bool seen = false;
                        if (span_is(m->name, METRIC_NAME_LABEL))
                                continue;
                        for (size_t k = 0; k < i && !seen; k++) {
                                const Matcher *other = &e->selector.matchers[k];
                                seen = other->type == MATCH_EQUAL && other->name.len == m->name.len &&
                                       memcmp(other->name.text, m->name.text, m->name.len) == 0;
                        }
                        bool wanted = m->type == MATCH_EQUAL && !seen;
                        labels = labelset_set(c->arena, labels, m->name, wanted ? m->value : (Span){ "", 0 });
                        if (!labels.run)
                                return c->arena->error;
                }
        *ret_labels = labels;
        return 0;
}

static int absent(const WholeCall *c, const Value *arg, Value *ret_value) {
        LabelSet labels;
        Row *row;
        int r = labels_of_absent(c, &labels);
        if (r == 0)
                r = one_row(c, labels, ret_value, &row);
        for (size_t k = 0; r == 0 && k < c->steps->n; k++) {
                bool there = false;
                for (size_t i = 0; i < arg->n_rows && !there; i++)
                        there = row_has(&arg->rows[i], k);
                row->v[k] = there ? ABSENT : 1;
        }
        return r;
}

/* ---- scalar, vector ---- */

static int scalar(const WholeCall *c, const Value *arg, Value *ret_value) {
        double *v = arena_alloc(c->arena, c->steps->n * sizeof *v);
        if (!v)
                return c->arena->error;
        for (size_t k = 0; k < c->steps->n; k++) {
                size_t n = 0;
                v[k] = NAN;
                for (size_t i = 0; i < arg->n_rows && n < 2; i++)
                        if (!is_absent(arg->rows[i].v[k])) {
                                v[k] = arg->rows[i].v[k];
                                n++;
                        }
                if (n != 1)
                        v[k] = NAN;
        }
        *ret_value = (Value){ .type = TYPE_SCALAR, .scalar = v };
        return 0;
}

static int vector(const WholeCall *c, const Value *arg, Value *ret_value) {
        Row *row;
        int r = one_row(c, (LabelSet){ 0 }, ret_value, &row);
        for (size_t k = 0; r == 0 && k < c->steps->n; k++)
                row->v[k] = arg->scalar[k];
        return r;
}

/* ---- sort ---- */

/* What qsort() sees: equal values stay in their order. */
typedef struct Item {
        Row row;
        double v;
        size_t at;
} Item;

static int by_place(const Item *x, const Item *y) {
        return (x->at > y->at) - (x->at < y->at);
}

/* NaN is last, whatever the direction. */
static int ascending(const void *a, const void *b) {
        const Item *x = a, *y = b;
        if (isnan(x->v) || isnan(y->v))
                return isnan(x->v) && isnan(y->v) ? by_place(x, y) : isnan(x->v) ? 1 : -1;
        return x->v < y->v ? -1 : x->v > y->v ? 1 : by_place(x, y);
}

static int descending(const void *a, const void *b) {
        const Item *x = a, *y = b;
        if (isnan(x->v) || isnan(y->v))
                return ascending(a, b);
        return x->v > y->v ? -1 : x->v < y->v ? 1 : by_place(x, y);
}

static int sort(const WholeCall *c, const Value *arg, Value *ret_value) {
        Item *items = ARENA_ARRAY(c->arena, Item, arg->n_rows);
        Row *rows = whole_rows(c, arg->n_rows);
        if (!items || !rows)
                return c->arena->error;
        for (size_t i = 0; i < arg->n_rows; i++) {
                items[i] = (Item){ arg->rows[i], arg->rows[i].v[0], i };
                items[i].row.h = NULL; /* histograms have no order */
        }
        /* The rows of a range query are in the order of their labels in any case. */
        if (c->steps->n == 1)
                qsort(items, arg->n_rows, sizeof *items,
                      c->call->call.function == FUNCTION_SORT ? ascending : descending);
        else
                notes_add(c->notes, NOTE_WARNING, c->call->place,
                          "PromQL warning: sort is ineffective for range queries since results are always ordered by "
                          "labels");
        for (size_t i = 0; i < arg->n_rows; i++)
                rows[i] = items[i].row;
        *ret_value = (Value){ .type = TYPE_VECTOR, .rows = rows, .n_rows = arg->n_rows };
        return 0;
}

int whole_evaluate(const WholeCall *c, const Value *args, Value *ret_value) {
        switch (c->call->call.function) {
        case FUNCTION_ABSENT:
        case FUNCTION_ABSENT_OVER_TIME: return absent(c, &args[0], ret_value);
        case FUNCTION_SCALAR: return scalar(c, &args[0], ret_value);
        case FUNCTION_VECTOR: return vector(c, &args[0], ret_value);
        case FUNCTION_SORT:
        case FUNCTION_SORT_DESC: return sort(c, &args[0], ret_value);
        case FUNCTION_SORT_BY_LABEL:
        case FUNCTION_SORT_BY_LABEL_DESC: return whole_sort_by_label(c, args, ret_value);
        case FUNCTION_LABEL_REPLACE: return whole_label_replace(c, args, ret_value);
        case FUNCTION_LABEL_JOIN: return whole_label_join(c, args, ret_value);
        case FUNCTION_HISTOGRAM_QUANTILE: return whole_histogram_quantile(c, args, ret_value);
        case FUNCTION_HISTOGRAM_QUANTILES: return whole_histogram_quantiles(c, args, ret_value);
        case FUNCTION_HISTOGRAM_FRACTION: return whole_histogram_fraction(c, args, ret_value);
        default: return whole_refuse(c, "not a function of whole vectors");
        }
}
