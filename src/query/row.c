/* Rows of rowwise nodes: from the samples of one series to its values at all steps, through everything that looks at
 * one series alone. */
#include "query/select.h"

#include <assert.h>

/* ---- Instant selectors ---- */

/* Samples up to an instant, which only moves forwards: mostly by as many samples as the time before. */
static inline size_t samples_until(const int64_t *times, size_t n, size_t at, int64_t until, size_t *stride) {
        size_t guess = at + *stride, from = at;
        if (guess <= n && guess > at && times[guess - 1] <= until && (guess == n || times[guess] > until))
                return guess;
        while (at < n && times[at] <= until)
                at++;
        *stride = at - from;
        return at;
}

/* A staleness marker is the value that stands for absence, so it needs no look of its own. */
static void select_floats(const Exec *x, const Node *n, const RangeSamples *s, double *v) {
        size_t at = 0, stride = 0;
        int64_t instant = n->first_ms, oldest = x->lookback_ms;
        for (size_t k = 0; k < n->steps.n; k++, instant += n->step_ms) {
                at = samples_until(s->times, s->n, at, instant, &stride);
                bool fresh = at > 0 && s->times[at - 1] > instant - oldest;
                v[k] = !fresh                                          ? ABSENT
                       : n->takes_time && !is_stale(s->values[at - 1]) ? (double)s->times[at - 1] / 1000
                                                                       : s->values[at - 1];
        }
}

static int decode(Worker *w, const StoreHistograms *hists, size_t i, FHist **ret_h) {
        return fhist_decode(&w->arena, (const uint8_t *)hists->bytes.data + hists->offsets[i],
                            hists->offsets[i + 1] - hists->offsets[i], ret_h);
}

/* Takes the histogram where it is the newer sample. Each is decoded once, however many steps see it. */
static int select_hists(Exec *x, Worker *w, const Node *n, const RangeSamples *s, const StoreHistograms *hists,
                        Row *row) {
        size_t f = 0, h = 0, f_stride = 0, h_stride = 0, decoded = SIZE_MAX;
        FHist *now = NULL;
        for (size_t k = 0; k < n->steps.n; k++) {
                int64_t instant = n->first_ms + (int64_t)k * n->step_ms;
                f = samples_until(s->times, s->n, f, instant, &f_stride);
                h = samples_until(hists->times, hists->n, h, instant, &h_stride);
                if (h == 0 || hists->times[h - 1] <= instant - x->lookback_ms ||
                    (f > 0 && s->times[f - 1] > hists->times[h - 1]))
                        continue;
                int r = decoded == h - 1 ? 0 : decode(w, hists, h - 1, &now);
                decoded = h - 1;
                row->v[k] = ABSENT;
                if (r == 0 && !is_stale(now->sum)) {
                        if (n->takes_time)
                                row->v[k] = (double)hists->times[h - 1] / 1000;
                        else
                                r = row_set_hist(&w->arena, &n->steps, row, k, now);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* `smoothed`: between two samples what lies on the line between them, behind the last one its value. */
static void select_smoothed(const Exec *x, const Node *n, const RangeSamples *s, double *v) {
        size_t at = 0, stride = 0;
        for (size_t k = 0; k < n->steps.n; k++) {
                int64_t instant = n->first_ms + (int64_t)k * n->step_ms;
                at = samples_until(s->times, s->n, at, instant, &stride);
                v[k] = ABSENT;
                if (at == 0 || s->times[at - 1] <= instant - x->lookback_ms)
                        continue;
                double before = s->values[at - 1];
                if (s->times[at - 1] == instant || at == s->n || s->times[at] > instant + x->lookback_ms)
                        v[k] = before;
                else
                        v[k] = before + (s->values[at] - before) * (double)(instant - s->times[at - 1]) /
                                                (double)(s->times[at] - s->times[at - 1]);
        }
}

int select_row(Exec *x, Worker *w, const Node *n, const RangeSamples *floats, const StoreHistograms *hists, Row *row) {
        if (n->mode == RANGE_SMOOTHED) {
                if (hists->n)
                        return exec_fail(x, QUERY_EXECUTION,
                                         "smoothed and anchored modifiers do not work with native histograms");
                select_smoothed(x, n, floats, row->v);
                return 0;
        }
        select_floats(x, n, floats, row->v);
        return hists->n ? select_hists(x, w, n, floats, hists, row) : 0;
}

/* ---- Functions over ranges ---- */

/* Steps that are evaluated between two looks at the clock. */
#define STEPS_AT_ONCE ((size_t)1 << 14)

static void take_args(const Node *n, size_t from, RangeCall *c) {
        size_t taken = 0;
        for (size_t i = 0; i < n->expr->call.n_args; i++) {
                const Expr *arg = n->expr->call.args[i];
                if (arg->type == TYPE_MATRIX) {
                        c->place = arg->place;
                } else if (taken < ARRAY_LEN(c->args)) {
                        c->arg_place[taken] = arg->place;
                        c->args[taken] = n->args[taken] + from;
                        taken++;
                }
        }
}

/* Some of the steps between two looks at the clock. */
static int some_steps(const Node *n, RangeCall *c, size_t from, size_t end, const RangeSamples *s, Row *row) {
        const Steps steps = { step_time(&n->steps, from), n->steps.step_ms, end - from };
        Row piece = { .v = row->v + from };
        c->steps = &steps;
        c->first_end_ms = n->first_ms + (int64_t)from * n->step_ms;
        take_args(n, from, c);
        int r = range_evaluate(c, s, &piece);
        if (r < 0 || !piece.h)
                return r;
        if (!row->h)
                row->h = ARENA_ARRAY(c->arena, FHist *, n->steps.n);
        if (!row->h)
                return c->arena->error;
        memcpy(row->h + from, piece.h, (end - from) * sizeof(FHist *));
        return 0;
}

int function_steps(Exec *x, Worker *w, const Node *n, const FunctionCall *f, const RangeSamples *s, LabelSet labels,
                   Row *row) {
        static const Span METRIC = { METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 };
        RangeCall c = { .function = f->function, .end_step_ms = n->step_ms, .range_ms = n->range_ms, .mode = f->mode,
                        .metric = labelset_get(labels, METRIC), .arena = &w->arena, .notes = &w->notes,
                        .reach_ms = n->mode == RANGE_PLAIN ? 0 : x->lookback_ms, .error = &w->error };
        int r = 0;
        for (size_t from = f->first; r == 0 && from < f->end; from += STEPS_AT_ONCE) {
                size_t end = f->end - from < STEPS_AT_ONCE ? f->end : from + STEPS_AT_ONCE;
                r = some_steps(n, &c, from, end, s, row);
                if (r == 0 && end < f->end)
                        r = exec_check(x);
        }
        return r == -EINVAL ? exec_fail(x, QUERY_EXECUTION, "%s", buf_cstr(&w->error)) : r;
}

static int function_row(Exec *x, Worker *w, const Node *n, const RangeSamples *s, Row *row) {
        const FunctionCall c = { .function = n->function, .mode = n->mode, .first = 0, .end = n->steps.n };
        return function_steps(x, w, n, &c, s, row->labels, row);
}

/* Takes staleness markers out of what was decoded. */
static void drop_stale(StoreSamples *s) {
        if (!any_absent(s->values, s->n))
                return;
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++)
                if (!is_stale(s->values[i])) {
                        s->times[n] = s->times[i];
                        s->values[n++] = s->values[i];
                }
        s->n = n;
}

static int decode_all(Exec *x, Worker *w, RangeSamples *s) {
        const StoreHistograms *from = &w->histograms;
        int64_t *times = ARENA_ARRAY(&w->arena, int64_t, from->n);
        FHist **hists = ARENA_ARRAY(&w->arena, FHist *, from->n);
        if (!times || !hists)
                return w->arena.error;
        for (size_t i = 0; i < from->n; i++) {
                int r = decode(w, from, i, &hists[s->n_hists]);
                if (r == 0 && i % 256 == 255)
                        r = exec_check(x);
                if (r < 0)
                        return r;
                times[s->n_hists] = from->times[i];
                s->n_hists += !is_stale(hists[s->n_hists]->sum);
        }
        s->hist_times = times;
        s->hists = hists;
        return 0;
}

static int read_raw(Exec *x, Worker *w, Node *n, size_t i) {
        int r = selection_part_floats(x, n, n->selection, 0, i, ROLLUP_LAST, &w->samples);
        return r < 0 ? r : selection_part_hists(x, n, n->selection, 0, i, &w->histograms);
}

int range_samples(Exec *x, Worker *w, Node *n, size_t i, RangeSamples *ret) {
        int r = read_raw(x, w, n, i);
        if (r < 0)
                return r;
        drop_stale(&w->samples);
        *ret = (RangeSamples){ .times = w->samples.times, .values = w->samples.values, .n = w->samples.n };
        return w->histograms.n ? decode_all(x, w, ret) : 0;
}

static int raw_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) {
        RangeSamples samples;
        if (n->kind == NODE_RANGE) {
                int r = range_samples(x, w, n, i, &samples);
                return r < 0 ? r : function_row(x, w, n, &samples, row);
        }
        int r = read_raw(x, w, n, i);
        if (r < 0)
                return r;
        if (n->mode == RANGE_SMOOTHED)
                drop_stale(&w->samples);
        samples = (RangeSamples){ .times = w->samples.times, .values = w->samples.values, .n = w->samples.n };
        return select_row(x, w, n, &samples, &w->histograms, row);
}

static int selected_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) {
        row->labels = selection_labels(n->selection, i);
        int r = selection_is_raw(n->selection) ? raw_row(x, w, n, i, row) : tier_row(x, w, n, i, row);
        return r < 0 ? r : row_any(row, &n->steps);
}

/* ---- Functions over subqueries: the row of what is inside has the samples ---- */

/* A histogram that says that it is a reset says so of the sample before it, which may not be among these. */
static FHist *without_hint(Arena *a, FHist *h) {
        if (h->reset != FHIST_RESET_YES && h->reset != FHIST_RESET_NO)
                return h;
        FHist *copy = ARENA_NEW(a, FHist);
        if (copy) {
                *copy = *h;
                copy->reset = FHIST_RESET_UNKNOWN;
        }
        return copy;
}

static int inner_hists(Worker *w, const Row *from, const Steps *inner, RangeSamples *s) {
        int64_t *times = ARENA_ARRAY(&w->arena, int64_t, inner->n);
        FHist **hists = ARENA_ARRAY(&w->arena, FHist *, inner->n);
        for (size_t k = 0; times && hists && k < inner->n; k++) {
                if (!row_hist(from, k))
                        continue;
                times[s->n_hists] = step_time(inner, k);
                hists[s->n_hists] = without_hint(&w->arena, from->h[k]);
                if (!hists[s->n_hists++])
                        break;
        }
        s->hist_times = times;
        s->hists = hists;
        return w->arena.error;
}

static int subquery_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) {
        const Node *kid = n->kids[n->n_kids - 1];
        const Row *from = &kid->value.rows[i];
        const Steps *inner = &n->inner;
        int64_t *times = ARENA_ARRAY(&w->arena, int64_t, inner->n);
        double *values = values_new(&w->arena, inner);
        if (!times || !values)
                return w->arena.error;
        RangeSamples s = { .times = times, .values = values };
        int r = 0;
        for (size_t k = 0; k < inner->n; k++) {
                double v = from->v[kid->steps.n == 1 ? 0 : k];
                times[s.n] = step_time(inner, k);
                values[s.n] = v;
                s.n += !is_absent(v);
        }
        row->labels = from->labels;
        row->drop_name = from->drop_name;
        if (from->h) {
                Row spread = *from;
                if (kid->steps.n == 1 && inner->n > 1) {
                        spread.h = ARENA_ARRAY(&w->arena, FHist *, inner->n);
                        for (size_t k = 0; spread.h && k < inner->n; k++)
                                spread.h[k] = from->h[0];
                }
                r = spread.h ? inner_hists(w, &spread, inner, &s) : w->arena.error;
        }
        if (r == 0)
                r = function_row(x, w, n, &s, row);
        return r < 0 ? r : row_any(row, &n->steps);
}

/* ---- Functions of each value ---- */

static void step_times(const Node *n, const Row *in, Row *out) {
        for (size_t k = 0; k < n->steps.n; k++)
                out->v[k] = row_has(in, k) ? (double)step_time(&n->steps, k) / 1000 : ABSENT;
        out->h = NULL;
}

static int element_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) {
        int some = node_row(x, w, n->kids[0], &n->steps, i, row);
        if (some <= 0)
                return some;
        if (n->function == FUNCTION_TIMESTAMP) {
                step_times(n, row, row);
                return 1;
        }
        ElementCall c = { .function = n->function,
                          .steps = &n->steps,
                          .n_args = n->n_args,
                          .place = n->expr->call.args[0]->place,
                          .arena = &w->arena,
                          .notes = &w->notes };
        for (size_t k = 0; k < n->n_args && k < ARRAY_LEN(c.args); k++) {
                c.args[k] = n->args[k];
                c.arg_place[k] = n->expr->call.args[k + 1]->place;
        }
        int r = element_evaluate(&c, row, row);
        return r < 0 ? r : row_any(row, &n->steps);
}

static int negate_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) {
        int some = node_row(x, w, n->kids[0], &n->steps, i, row);
        if (some <= 0)
                return some;
        for (size_t k = 0; k < n->steps.n; k++) {
                if (!is_absent(row->v[k]))
                        row->v[k] = -row->v[k];
                if (!row_hist(row, k))
                        continue;
                FHist *h = fhist_copy(&w->arena, row->h[k]);
                if (!h)
                        return w->arena.error;
                fhist_scale(h, -1);
                row->h[k] = h;
        }
        return 1;
}

/* ---- A vector with a scalar ---- */

typedef struct ByScalar {
        BinaryOp op;
        bool vector_right, comparison, as_bool;
        const double *scalar;
        size_t n;
} ByScalar;

/* The common operators have loops of their own. */
#define LOOP(expression)                                                           \
        for (size_t k = 0; k < b->n; k++) {                                        \
                double l = b->vector_right ? b->scalar[k] : v[k];                  \
                double r = b->vector_right ? v[k] : b->scalar[k];                  \
                v[k] = is_absent(v[k]) ? ABSENT : (expression);                    \
        }

static void arithmetic_floats(const ByScalar *b, double *v) {
        switch (b->op) {
        case BINARY_ADD: LOOP(l + r); break;
        case BINARY_SUB: LOOP(l - r); break;
        case BINARY_MUL: LOOP(l * r); break;
        case BINARY_DIV: LOOP(l / r); break;
        default: LOOP(binary_floats(b->op, l, r)); break;
        }
}

/* A filter keeps the vector's value, on whichever side it is. */
static void compare_floats(const ByScalar *b, double *v) {
        if (b->as_bool)
                LOOP(binary_floats(b->op, l, r))
        else
                LOOP(binary_floats(b->op, l, r) != 0 ? v[k] : ABSENT)
}

static int hists_by_scalar(Worker *w, const Node *n, const ByScalar *b, Row *row) {
        for (size_t k = 0; k < b->n; k++) {
                FHist *h = row_hist(row, k), *out;
                double v;
                bool keep;
                if (!h)
                        continue;
                const FHist *left = b->vector_right ? NULL : h, *right = b->vector_right ? h : NULL;
                int r = binary_histograms(&w->arena, b->op, left, b->scalar[k], right, b->scalar[k], &w->notes,
                                          n->expr->place, &out, &v, &keep);
                if (r < 0)
                        return r;
                row->h[k] = b->comparison ? keep && !b->as_bool ? h : NULL : out;
                row->v[k] = b->comparison && b->as_bool && (keep || out) ? keep : v;
                if (row->h[k])
                        row->v[k] = ABSENT;
        }
        return 0;
}

/* </ and >/ take nothing but a histogram on their left. */
static void trim_floats(Worker *w, const Node *n, const ByScalar *b, double *v) {
        bool any = false;
        for (size_t k = 0; k < b->n; k++) {
                any |= !is_absent(v[k]);
                v[k] = ABSENT;
        }
        const char *name = binary_name(b->op);
        if (any)
                notes_add(
                        &w->notes, NOTE_INFO, n->expr->place,
                        "PromQL info: incompatible sample types encountered for binary operator \"%s\": float %s float",
                        name, name);
}

static int by_scalar_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) {
        const BinaryExpr *e = &n->expr->binary;
        bool vector_right = e->left->type == TYPE_SCALAR;
        int some = node_row(x, w, n->kids[vector_right], &n->steps, i, row);
        if (some <= 0)
                return some;
        const ByScalar b = { .op = e->op, .vector_right = vector_right, .comparison = binary_is_comparison(e->op),
                             .as_bool = e->bool_modifier, .scalar = n->args[0], .n = n->steps.n };
        if (e->op == BINARY_TRIM_UPPER || e->op == BINARY_TRIM_LOWER)
                trim_floats(w, n, &b, row->v);
        else if (b.comparison)
                compare_floats(&b, row->v);
        else
                arithmetic_floats(&b, row->v);
        int r = row->h ? hists_by_scalar(w, n, &b, row) : 0;
        return r < 0 ? r : row_any(row, &n->steps);
}

/* ---- Any of them ---- */

static int make_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) {
        switch (n->kind) {
        case NODE_SELECT: return selected_row(x, w, n, i, row);
        case NODE_RANGE: return n->selection ? selected_row(x, w, n, i, row) : subquery_row(x, w, n, i, row);
        case NODE_ELEMENT: return element_row(x, w, n, i, row);
        case NODE_NEGATE: return negate_row(x, w, n, i, row);
        case NODE_BY_SCALAR: return by_scalar_row(x, w, n, i, row);
        default: assert(!"a rowwise node"); return -EINVAL;
        }
}

static int drop_name(const Exec *x, Worker *w, const Node *n, Row *row) {
        if (x->delayed_names) {
                row->drop_name |= n->drops_name;
                return 0;
        }
        if (n->drops_name)
                row->labels = labelset_drop_name(&w->arena, row->labels);
        return w->arena.error;
}

static int spread(Worker *w, const Steps *steps, Row *row) {
        for (size_t k = 1; k < steps->n; k++)
                row->v[k] = row->v[0];
        if (!row->h)
                return 0;
        FHist *h = row->h[0];
        row->h = ARENA_ARRAY(&w->arena, FHist *, steps->n);
        for (size_t k = 0; row->h && k < steps->n; k++)
                row->h[k] = h;
        return row->h ? 0 : w->arena.error;
}

/* Histograms' places are copied, as those above may put others there. */
static int kept_row(Worker *w, const Node *n, size_t i, Row *row) {
        const Row *from = &n->value.rows[i];
        double *v = row->v;
        *row = *from;
        row->v = memcpy(v, from->v, n->steps.n * sizeof *v);
        if (!from->h)
                return 1;
        row->h = ARENA_ARRAY(&w->arena, FHist *, n->steps.n);
        if (!row->h)
                return w->arena.error;
        memcpy(row->h, from->h, n->steps.n * sizeof *row->h);
        return 1;
}

int node_row(Exec *x, Worker *w, Node *n, const Steps *steps, size_t i, Row *row) {
        MonoTime begun = x->request->explain ? mono_now() : (MonoTime){ 0 };
        row->h = NULL;
        row->drop_name = false;
        int r = n->has_value ? kept_row(w, n, i, row) : make_row(x, w, n, i, row);
        if (r > 0 && !n->has_value) {
                int e = drop_name(x, w, n, row);
                r = e < 0 ? e : r;
                atomic_fetch_add_explicit(&n->figures.rows, 1, memory_order_relaxed);
        }
        if (r > 0 && n->steps.n == 1 && steps->n > 1) {
                int e = spread(w, steps, row);
                r = e < 0 ? e : r;
        }
        if (x->request->explain && !n->has_value)
                atomic_fetch_add_explicit(&n->figures.ns, (uint64_t)mono_since(mono_now(), begun).ns,
                                          memory_order_relaxed);
        return r;
}

size_t node_rows(const Node *n) {
        if (n->steps.n == 0)
                return 0;
        if (n->has_value)
                return n->value.n_rows;
        if (n->selection)
                return selection_count(n->selection);
        if (n->kind == NODE_BY_SCALAR)
                return node_rows(n->kids[n->expr->binary.left->type == TYPE_SCALAR]);
        if (n->kind == NODE_RANGE)
                return node_rows(n->kids[n->n_kids - 1]);
        return node_rows(n->kids[0]);
}
