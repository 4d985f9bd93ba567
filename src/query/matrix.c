/* Range vectors as results: of an instant query whose expression is a range selector or a subquery. */
#include "query/select.h"

/* Floats and histograms of one series by time. */
static int merge_samples(Exec *x, const RangeSamples *s, MatrixRow *row) {
        size_t n = s->n + s->n_hists, f = 0, h = 0;
        Arena *a = &x->root->arena;
        row->times = ARENA_ARRAY(a, int64_t, n);
        row->values = ARENA_ARRAY(a, double, n);
        row->hists = s->n_hists ? ARENA_ARRAY(a, FHist *, n) : NULL;
        if (a->error)
                return a->error;
        for (size_t i = 0; i < n; i++) {
                bool hist = f == s->n || (h < s->n_hists && s->hist_times[h] < s->times[f]);
                row->times[i] = hist ? s->hist_times[h] : s->times[f];
                row->values[i] = hist ? ABSENT : s->values[f];
                if (hist && !(row->hists[i] = fhist_copy(a, s->hists[h])))
                        return a->error;
                h += hist;
                f += !hist;
        }
        row->n = n;
        return 0;
}

static double on_line(const RangeSamples *s, size_t i, int64_t t) {
        double before = s->values[i - 1];
        return before +
               (s->values[i] - before) * (double)(t - s->times[i - 1]) / (double)(s->times[i] - s->times[i - 1]);
}

/* `anchored` and `smoothed`: the window gets a sample on each of its ends, the value before it or what lies on the
 * line. */
static int extend(Exec *x, const Node *n, RangeSamples *s) {
        int64_t begin = n->first_ms - n->range_ms, end = n->first_ms;
        bool smoothed = n->mode == RANGE_SMOOTHED;
        size_t first = 0, behind = 0, count = 0;
        if (s->n_hists)
                return exec_fail(x, QUERY_EXECUTION,
                                 "smoothed and anchored modifiers do not work with native histograms");
        while (first < s->n && s->times[first] <= begin)
                first++;
        for (behind = first; behind < s->n && s->times[behind] < end;)
                behind++;
        size_t last = smoothed && behind < s->n ? behind : s->n ? s->n - 1 : 0;
        if (s->n == 0 || s->times[last] <= begin) {
                *s = (RangeSamples){ 0 };
                return 0;
        }
        Arena *a = &x->root->arena;
        int64_t *times = ARENA_ARRAY(a, int64_t, behind - first + 2);
        double *values = ARENA_ARRAY(a, double, behind - first + 2);
        if (!times || !values)
                return a->error;
        times[count] = begin;
        values[count++] = first == 0 ? s->values[0] : smoothed ? on_line(s, first, begin) : s->values[first - 1];
        for (size_t i = first; i < behind; i++) {
                times[count] = s->times[i];
                values[count++] = s->values[i];
        }
        times[count] = end;
        values[count++] = smoothed && last > 0 && s->times[last] > end ? on_line(s, last, end) : s->values[last];
        *s = (RangeSamples){ .times = times, .values = values, .n = count };
        return 0;
}

static int check_points(Exec *x, uint64_t points) {
        uint64_t most = x->request->limits.max_points;
        if (points <= most)
                return 0;
        return exec_fail(
                x, QUERY_EXECUTION,
                "the result has more than %llu points (limit query.max_points): ask for less time or fewer series",
                (unsigned long long)most);
}

static int selected(Exec *x, Node *n, MatrixRow *rows, size_t *ret_n) {
        Worker *w = &x->workers[0];
        uint64_t points = 0;
        for (size_t i = 0; i < selection_count(n->selection); i++) {
                RangeSamples s;
                MatrixRow *row = &rows[*ret_n];
                int r = exec_check(x);
                if (r == 0)
                        r = range_samples(x, w, n, i, &s);
                if (r == 0 && n->mode != RANGE_PLAIN)
                        r = extend(x, n, &s);
                if (r == 0)
                        r = check_points(x, points += s.n + s.n_hists);
                if (r == 0)
                        r = merge_samples(x, &s, row);
                arena_deinit(&w->arena);
                if (r < 0)
                        return r;
                row->labels = selection_labels(n->selection, i);
                *ret_n += row->n > 0;
        }
        return 0;
}

static int of_row(Exec *x, Node *n, const Row *from, MatrixRow *row) {
        const Node *kid = n->kids[0];
        Arena *a = &n->arena;
        row->labels = from->drop_name ? labelset_drop_name(a, from->labels) : from->labels;
        row->times = ARENA_ARRAY(a, int64_t, n->inner.n);
        row->values = ARENA_ARRAY(a, double, n->inner.n);
        row->hists = from->h ? ARENA_ARRAY(a, FHist *, n->inner.n) : NULL;
        for (size_t k = 0; !a->error && k < n->inner.n; k++) {
                size_t at = kid->steps.n == 1 ? 0 : k;
                if (!row_has(from, at))
                        continue;
                row->times[row->n] = step_time(&n->inner, k);
                row->values[row->n] = from->v[at];
                if (row->hists)
                        row->hists[row->n] = from->h[at];
                row->n++;
        }
        return a->error;
}

int matrix_result(Exec *x, Node *n, MatrixRow **ret_rows, size_t *ret_n) {
        size_t most = n->selection ? selection_count(n->selection) : n->kids[0]->value.n_rows;
        MatrixRow *rows = ARENA_ARRAY(&n->arena, MatrixRow, most);
        int r = rows ? 0 : n->arena.error;
        *ret_n = 0;
        if (r == 0 && n->selection)
                r = selected(x, n, rows, ret_n);
        for (size_t i = 0; r == 0 && !n->selection && i < most; i++) {
                r = check_points(x, (uint64_t)(i + 1) * n->inner.n);
                if (r == 0)
                        r = of_row(x, n, &n->kids[0]->value.rows[i], &rows[*ret_n]);
                *ret_n += r == 0 && rows[*ret_n].n > 0;
        }
        *ret_rows = rows;
        return r;
}
