/* Rows and lists of them. */
#include "query/exec.h"

double *values_new(Arena *a, const Steps *steps) {
        size_t bytes;
        /* More than there is in any case: the arena says so. */
        if (__builtin_mul_overflow(steps->n, sizeof(double), &bytes))
                bytes = SIZE_MAX;
        return arena_alloc(a, bytes);
}

int row_new(Arena *a, const Steps *steps, Row *ret_row) {
        double *v = values_new(a, steps);
        if (!v)
                return a->error;
        for (size_t k = 0; k < steps->n; k++)
                v[k] = ABSENT;
        *ret_row = (Row){ .v = v };
        return 0;
}

/* Histograms are shared by neighbouring steps, and so are their copies. */
static int copy_hists(Arena *a, const Steps *steps, const Row *from, Row *row) {
        row->h = ARENA_ARRAY(a, FHist *, steps->n);
        for (size_t k = 0; row->h && k < steps->n; k++) {
                if (!from->h[k])
                        continue;
                row->h[k] = k > 0 && from->h[k] == from->h[k - 1] ? row->h[k - 1] : fhist_copy(a, from->h[k]);
                if (!row->h[k])
                        return a->error;
        }
        return row->h ? 0 : a->error;
}

int row_copy(Arena *a, const Steps *steps, const Row *from, Row *ret_row) {
        Row row = *from;
        row.v = values_new(a, steps);
        row.labels.run = (const uint8_t *)arena_copy(a, from->labels.run, from->labels.len);
        if (!row.v || !row.labels.run)
                return a->error;
        memcpy(row.v, from->v, steps->n * sizeof *row.v);
        int r = from->h ? copy_hists(a, steps, from, &row) : 0;
        if (r == 0)
                *ret_row = row;
        return r;
}

int row_set_hist(Arena *a, const Steps *steps, Row *row, size_t k, FHist *h) {
        if (!row->h)
                row->h = ARENA_ARRAY(a, FHist *, steps->n);
        if (!row->h)
                return a->error;
        row->h[k] = h;
        row->v[k] = ABSENT;
        return 0;
}

/* A marker is a NaN, and whether one of a few numbers is a NaN is seen for two at once; that there are NaNs is rare
 * enough for a second look. */
bool any_absent(const double *v, size_t n) {
        typedef double Pair __attribute__((vector_size(16), aligned(8)));
        typedef int64_t Mask __attribute__((vector_size(16)));
        Mask a = { 0 }, b = { 0 };
        Pair p, q;
        size_t i = 0;
        for (; i + 4 <= n; i += 4) {
                memcpy(&p, v + i, sizeof p);
                memcpy(&q, v + i + 2, sizeof q);
                a |= p != p;
                b |= q != q;
        }
        a |= b;
        bool nan = a[0] | a[1];
        for (; i < n; i++)
                nan |= isnan(v[i]);
        for (i = 0; nan && i < n; i++)
                if (is_absent(v[i]))
                        return true;
        return false;
}

bool row_any(const Row *row, const Steps *steps) {
        for (size_t k = 0; k < steps->n; k++)
                if (row_has(row, k))
                        return true;
        return false;
}

int rowlist_add(RowList *l, Row row) {
        if (l->n == l->cap) {
                size_t cap = l->cap ? 2 * l->cap : 16;
                Row *rows = arena_grow(l->arena, l->rows, l->cap * sizeof *rows, cap * sizeof *rows);
                if (!rows)
                        return l->arena->error;
                l->rows = rows;
                l->cap = cap;
        }
        l->rows[l->n++] = row;
        return 0;
}

void rows_drop_empty(Value *v, const Steps *steps) {
        size_t kept = 0;
        for (size_t i = 0; i < v->n_rows; i++)
                if (row_any(&v->rows[i], steps))
                        v->rows[kept++] = v->rows[i];
        v->n_rows = kept;
}

int fail_same_labels(Exec *x) {
        return exec_fail(x, QUERY_EXECUTION, "vector cannot contain metrics with the same labelset");
}

/* Takes what `from` has into `to`; false when both have something at one step. */
static int merge_into(Exec *x, Arena *a, const Steps *steps, Row *to, const Row *from) {
        for (size_t k = 0; k < steps->n; k++) {
                if (!row_has(from, k))
                        continue;
                if (row_has(to, k))
                        return fail_same_labels(x);
                to->v[k] = from->v[k];
                if (row_hist(from, k)) {
                        int r = row_set_hist(a, steps, to, k, from->h[k]);
                        if (r < 0)
                                return r;
                }
        }
        to->drop_name |= from->drop_name;
        return 0;
}

/* The row's values may be somebody else's: it gets its own before it takes those of others. */
static int own_values(Arena *a, const Steps *steps, Row *row) {
        double *v = values_new(a, steps);
        FHist **h = row->h ? ARENA_ARRAY(a, FHist *, steps->n) : NULL;
        if (!v || (row->h && !h))
                return a->error;
        memcpy(v, row->v, steps->n * sizeof *v);
        if (h)
                memcpy(h, row->h, steps->n * sizeof(FHist *));
        row->v = v;
        row->h = h;
        return 0;
}

int rows_merge(Exec *x, Arena *a, const Steps *steps, Value *v, bool strict) {
        if (v->n_rows < 2)
                return 0;
        CLEANUP(arena_deinit) Arena scratch = ARENA(&x->budget);
        LabelMap map = LABEL_MAP(&scratch);
        bool *own = ARENA_ARRAY(&scratch, bool, v->n_rows);
        size_t n = 0;
        int r = own ? 0 : scratch.error;
        for (size_t i = 0; r == 0 && i < v->n_rows; i++) {
                size_t number;
                bool added;
                r = labelmap_put(&map, v->rows[i].labels, &number, &added);
                if (r == 0 && added) {
                        v->rows[n++] = v->rows[i];
                } else if (r == 0 && strict) {
                        r = fail_same_labels(x);
                } else if (r == 0) {
                        r = own[number] ? 0 : own_values(a, steps, &v->rows[number]);
                        own[number] = true;
                        r = r == 0 ? merge_into(x, a, steps, &v->rows[number], &v->rows[i]) : r;
                }
                if (r == 0 && i % 256 == 255)
                        r = exec_check(x);
        }
        v->n_rows = n;
        return r;
}

static int compare_names(const void *a, const void *b) {
        const Span *l = a, *r = b;
        int c = memcmp(l->text, r->text, l->len < r->len ? l->len : r->len);
        return c ? c : l->len == r->len ? 0 : l->len < r->len ? -1 : 1;
}

const Span *names_sorted(Arena *a, const Span *names, size_t n) {
        Span *sorted = ARENA_ARRAY(a, Span, n);
        if (sorted && n) {
                memcpy(sorted, names, n * sizeof *names);
                qsort(sorted, n, sizeof *sorted, compare_names);
        }
        return sorted;
}
