/* Ranges with native histograms in them. Steps whose window has none keep what the floats gave; of the others, some
 * functions leave the histograms out and say so, some take both kinds, and the rest work on histograms alone and refuse
 * a mix. */
#include "query/fhist_priv.h"
#include "query/range_priv.h"

/* One window: floats [flo, fhi), histograms [hlo, hhi), of which there is at least one. */
typedef struct Mixed {
        const RangeCall *c;
        const RangeSamples *s;
        size_t flo, fhi, hlo, hhi;
        int64_t end_ms;
        /* the result, absent at first */
        double v;
        FHist *h;
} Mixed;

static size_t n_floats(const Mixed *m) {
        return m->fhi - m->flo;
}

static size_t n_hists(const Mixed *m) {
        return m->hhi - m->hlo;
}

static const FHist *hist_at(const Mixed *m, size_t i) {
        return m->s->hists[m->hlo + i];
}

/* ---- rate, increase, delta ---- */

/* What may be subtracted from the last: the first, or nothing when the counter began anew right after it, whatever its
 * buckets were. */
static int first_of_rate(const Mixed *m, bool counter, const FHist **ret_first) {
        const FHist *first = hist_at(m, 0), *second = hist_at(m, 1);
        *ret_first = first;
        if (!counter || !fhist_is_reset(second, first))
                return 0;
        FHist *empty = ARENA_NEW(m->c->arena, FHist);
        if (!empty)
                return m->c->arena->error;
        empty->schema = second->schema;
        empty->custom_bounds = second->custom_bounds;
        empty->n_custom = second->n_custom;
        *ret_first = empty;
        return 0;
}

/* The lowest resolution of those that matter; false when exponential and custom ones are mixed. */
static bool common_schema(const Mixed *m, bool counter, const FHist *first, int32_t *ret_schema) {
        const FHist *last = hist_at(m, n_hists(m) - 1);
        bool custom = first->schema == FHIST_CUSTOM;
        *ret_schema = last->schema < first->schema ? last->schema : first->schema;
        if ((last->schema == FHIST_CUSTOM) != custom)
                return false;
        for (size_t i = 1; counter && i + 1 < n_hists(m); i++) {
                const FHist *h = hist_at(m, i);
                if ((h->schema == FHIST_CUSTOM) != custom)
                        return false;
                if (h->schema < *ret_schema)
                        *ret_schema = h->schema;
        }
        return true;
}

static void note_kind(const Mixed *m, bool counter) {
        size_t n = n_hists(m), gauges = 0;
        for (size_t i = 0; i < n; i++)
                gauges += hist_at(m, i)->reset == FHIST_RESET_GAUGE;
        bool ends_are_gauges =
                hist_at(m, 0)->reset == FHIST_RESET_GAUGE && hist_at(m, n - 1)->reset == FHIST_RESET_GAUGE;
        if (counter && gauges)
                note_not_counter(m->c->notes, m->c->place, m->c->metric);
        if (!counter && !ends_are_gauges)
                note_not_gauge(m->c->notes, m->c->place, m->c->metric);
}

/* The sum of what was lost to resets, onto h. */
static int add_resets(const Mixed *m, const FHist *first, FHist *h, FHistNotes *notes) {
        const FHist *before = first;
        for (size_t i = 1; i < n_hists(m); i++) {
                const FHist *now = hist_at(m, i);
                if (fhist_is_reset(now, before)) {
                        int r = fhist_add(m->c->arena, h, before, notes);
                        if (r < 0)
                                return r;
                }
                before = now;
        }
        return 0;
}

/* How much the histogram grew over the window; NULL when it cannot be said. */
static int grown(const Mixed *m, bool counter, FHist **ret_h) {
        Arena *a = m->c->arena;
        FHistNotes subtracting = { 0 }, adding = { 0 };
        const FHist *first;
        int32_t schema;
        *ret_h = NULL;
        int r = first_of_rate(m, counter, &first);
        if (r < 0)
                return r;
        if (!common_schema(m, counter, first, &schema)) {
                note_mixed_schemas(m->c->notes, m->c->place, m->c->metric);
                return 0;
        }
        FHist *h = fhist_copy_to_schema(a, hist_at(m, n_hists(m) - 1), schema);
        if (!h)
                return a->error;
        r = fhist_sub(a, h, first, &subtracting);
        if (r == 0 && counter)
                r = add_resets(m, first, h, &adding);
        if (subtracting.mixed_schemas || adding.mixed_schemas) {
                note_mixed_schemas(m->c->notes, m->c->place, m->c->metric);
                return 0;
        }
        if (r < 0)
                return r;
        note_kind(m, counter);
        if (subtracting.custom_mismatch)
                note_custom_mismatch(m->c->notes, m->c->place, HIST_SUBTRACTION);
        if (adding.custom_mismatch)
                note_custom_mismatch(m->c->notes, m->c->place, HIST_ADDITION);
        h->reset = FHIST_RESET_GAUGE;
        r = fhist_compact(a, h);
        if (r == 0)
                *ret_h = h;
        return r;
}

static int rate(Mixed *m) {
        bool counter = m->c->function != FUNCTION_DELTA;
        if (n_floats(m)) {
                note_mixed(m->c->notes, m->c->place, m->c->metric);
                return 0;
        }
        if (n_hists(m) < 2)
                return 0;
        FHist *h;
        int r = grown(m, counter, &h);
        if (r < 0 || !h)
                return r;
        double first = hist_at(m, 0)->count;
        fhist_scale(h, range_extrapolation(m->c, m->end_ms, m->s->hist_times[m->hlo], m->s->hist_times[m->hhi - 1],
                                           n_hists(m), counter, first, h->count));
        m->h = h;
        return 0;
}

/* ---- irate, idelta ---- */

static int instant_of_hists(Mixed *m, const FHist *before, const FHist *now, int64_t between_ms) {
        bool counter = m->c->function == FUNCTION_IRATE;
        bool one_is_gauge = before->reset == FHIST_RESET_GAUGE || now->reset == FHIST_RESET_GAUGE;
        bool both_are_gauges = before->reset == FHIST_RESET_GAUGE && now->reset == FHIST_RESET_GAUGE;
        FHist *h = fhist_copy(m->c->arena, now);
        if (!h)
                return m->c->arena->error;
        if (counter && one_is_gauge)
                note_not_counter(m->c->notes, m->c->place, m->c->metric);
        if (!counter && !both_are_gauges)
                note_not_gauge(m->c->notes, m->c->place, m->c->metric);
        if (!counter || !fhist_is_reset(now, before)) {
                FHistNotes notes = { 0 };
                int r = fhist_sub(m->c->arena, h, before, &notes);
                if (notes.mixed_schemas) {
                        note_mixed_schemas(m->c->notes, m->c->place, m->c->metric);
                        return 0;
                }
                if (r < 0)
                        return r;
                if (notes.custom_mismatch)
                        note_custom_mismatch(m->c->notes, m->c->place, HIST_SUBTRACTION);
        }
        h->reset = FHIST_RESET_GAUGE;
        int r = fhist_compact(m->c->arena, h);
        if (r < 0)
                return r;
        if (counter)
                fhist_divide(h, (double)between_ms / 1000);
        m->h = h;
        return 0;
}

static int instant_rate(Mixed *m) {
        /* The last two samples, of whatever kind. */
        const RangeSamples *s = m->s;
        size_t f = m->fhi, h = m->hhi;
        int64_t times[2];
        const FHist *hists[2];
        if (n_floats(m) + n_hists(m) < 2)
                return 0;
        for (int i = 1; i >= 0; i--) {
                bool is_hist = h > m->hlo && (f == m->flo || s->hist_times[h - 1] >= s->times[f - 1]);
                if (is_hist)
                        h--;
                else
                        f--;
                times[i] = is_hist ? s->hist_times[h] : s->times[f];
                hists[i] = is_hist ? s->hists[h] : NULL;
        }
        if (times[0] == times[1])
                return 0;
        if (hists[0] && hists[1])
                return instant_of_hists(m, hists[0], hists[1], times[1] - times[0]);
        if (hists[0] || hists[1]) {
                note_mixed(m->c->notes, m->c->place, m->c->metric);
                return 0;
        }
        return 1; /* what the floats gave */
}

/* ---- sum, avg ---- */

static bool has_overflow(const FHist *h) {
        bool inf = isinf(h->zero_count) || isinf(h->count) || isinf(h->sum);
        for (uint32_t i = 0; i < h->n_positive; i++)
                inf |= isinf(h->positive[i]);
        for (uint32_t i = 0; i < h->n_negative; i++)
                inf |= isinf(h->negative[i]);
        return inf;
}

static int add_all(const Mixed *m, FHist *sum, FHist **c, FHistNotes *notes) {
        for (size_t i = 1; i < n_hists(m); i++) {
                int r = fhist_add_exact(m->c->arena, sum, c, hist_at(m, i), notes);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Where the sum would overflow: each is divided before it is added. */
static int mean_of_all(const Mixed *m, FHist *mean, FHistNotes *notes) {
        FHist *c = NULL;
        for (size_t i = 1; i < n_hists(m); i++) {
                double count = (double)(i + 1), q = (count - 1) / count;
                FHist *h = fhist_copy(m->c->arena, hist_at(m, i));
                if (!h)
                        return m->c->arena->error;
                fhist_divide(h, count);
                fhist_scale(mean, q);
                if (c)
                        fhist_scale(c, q);
                int r = fhist_add_exact(m->c->arena, mean, &c, h, notes);
                if (r < 0)
                        return r;
        }
        fhist_settle(mean, c);
        return 0;
}

static int average(const Mixed *m, FHist *sum, FHist *c, FHistNotes *notes, FHist **ret_h) {
        if (!has_overflow(sum) || has_overflow(hist_at(m, 0))) {
                fhist_divide(sum, (double)n_hists(m));
                if (c)
                        fhist_divide(c, (double)n_hists(m));
                fhist_settle(sum, c);
                *ret_h = sum;
                return 0;
        }
        FHist *mean = fhist_copy(m->c->arena, hist_at(m, 0));
        if (!mean)
                return m->c->arena->error;
        *ret_h = mean;
        return mean_of_all(m, mean, notes);
}

static int sum(Mixed *m) {
        FHistNotes notes = { 0 };
        FHist *c = NULL;
        if (n_floats(m)) {
                note_mixed(m->c->notes, m->c->place, m->c->metric);
                return 0;
        }
        FHist *h = fhist_copy(m->c->arena, hist_at(m, 0));
        if (!h)
                return m->c->arena->error;
        int r = add_all(m, h, &c, &notes);
        if (notes.mixed_schemas) {
                note_mixed_schemas(m->c->notes, m->c->place, m->c->metric);
                return 0;
        }
        if (r == 0 && m->c->function == FUNCTION_AVG_OVER_TIME)
                r = average(m, h, c, &notes, &h);
        else
                fhist_settle(h, c);
        if (r < 0)
                return r;
        bool reset = false, no_reset = false;
        for (size_t i = 0; i < n_hists(m); i++) {
                reset |= hist_at(m, i)->reset == FHIST_RESET_YES;
                no_reset |= hist_at(m, i)->reset == FHIST_RESET_NO;
        }
        if (reset && no_reset)
                note_reset_collision(m->c->notes, m->c->place, HIST_AGGREGATION);
        if (notes.custom_mismatch)
                note_custom_mismatch(m->c->notes, m->c->place, HIST_AGGREGATION);
        m->h = h;
        return 0;
}

/* ---- changes, resets ---- */

static bool differs(FunctionId f, const FHist *before_h, double before, const FHist *h, double v) {
        if (!before_h != !h)
                return true;
        if (f == FUNCTION_RESETS)
                return h ? fhist_is_reset(h, before_h) : v < before;
        return h ? !fhist_equal(h, before_h) : v != before && !(isnan(v) && isnan(before));
}

static void count_events(Mixed *m) {
        size_t f = m->flo, h = m->hlo, n = 0;
        const FHist *before_h = NULL;
        double before = 0;
        for (bool first = true; f < m->fhi || h < m->hhi; first = false) {
                bool is_hist = f == m->fhi || (h < m->hhi && m->s->hist_times[h] <= m->s->times[f]);
                const FHist *now_h = is_hist ? m->s->hists[h++] : NULL;
                double now = is_hist ? 0 : m->s->values[f++];
                n += !first && differs(m->c->function, before_h, before, now_h, now);
                before_h = now_h;
                before = now;
        }
        m->v = (double)n;
}

/* ---- the rest ---- */

/* The first or the last sample, and when it was. */
static int end_sample(Mixed *m) {
        FunctionId f = m->c->function;
        bool first = f == FUNCTION_FIRST_OVER_TIME || f == FUNCTION_TS_OF_FIRST_OVER_TIME;
        size_t fi = first ? m->flo : m->fhi - 1, hi = first ? m->hlo : m->hhi - 1;
        bool is_float = false;
        if (n_floats(m))
                is_float = first ? m->s->times[fi] < m->s->hist_times[hi] : m->s->times[fi] > m->s->hist_times[hi];
        if (f == FUNCTION_TS_OF_FIRST_OVER_TIME || f == FUNCTION_TS_OF_LAST_OVER_TIME)
                m->v = (double)(is_float ? m->s->times[fi] : m->s->hist_times[hi]) / 1000;
        else if (is_float)
                m->v = m->s->values[fi];
        else
                m->h = fhist_copy(m->c->arena, m->s->hists[hi]);
        return is_absent(m->v) && !m->h ? m->c->arena->error : 0;
}

/* How many floats a function needs that leaves histograms out; 0: it does not. */
static size_t needs_floats(FunctionId f) {
        switch (f) {
        case FUNCTION_MIN_OVER_TIME:
        case FUNCTION_MAX_OVER_TIME:
        case FUNCTION_TS_OF_MIN_OVER_TIME:
        case FUNCTION_TS_OF_MAX_OVER_TIME:
        case FUNCTION_STDDEV_OVER_TIME:
        case FUNCTION_STDVAR_OVER_TIME:
        case FUNCTION_QUANTILE_OVER_TIME:
        case FUNCTION_MAD_OVER_TIME:
        case FUNCTION_DERIV:
        case FUNCTION_PREDICT_LINEAR:
        case FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING: return 1;
        default: return 0;
        }
}

/* 1: what the floats gave stays; 0: m has the result. */
static int evaluate(Mixed *m) {
        switch (m->c->function) {
        case FUNCTION_RATE:
        case FUNCTION_INCREASE:
        case FUNCTION_DELTA: return rate(m);
        case FUNCTION_IRATE:
        case FUNCTION_IDELTA: return instant_rate(m);
        case FUNCTION_SUM_OVER_TIME:
        case FUNCTION_AVG_OVER_TIME: return sum(m);
        case FUNCTION_CHANGES:
        case FUNCTION_RESETS: count_events(m); return 0;
        case FUNCTION_COUNT_OVER_TIME: m->v = (double)(n_floats(m) + n_hists(m)); return 0;
        case FUNCTION_PRESENT_OVER_TIME: m->v = 1; return 0;
        default: break;
        }
        if (!needs_floats(m->c->function))
                return end_sample(m);
        if (n_floats(m))
                note_ignored_histograms(m->c->notes, m->c->place, m->c->metric);
        return 1;
}

int range_histograms(const RangeCall *c, const RangeSamples *s, Row *out) {
        Windows f = windows_of(c, s->times, s->n), h = windows_of(c, s->hist_times, s->n_hists);
        for (size_t k = 0; k < c->steps->n; k++) {
                int64_t end = h.end;
                windows_next(&f);
                windows_next(&h);
                if (h.hi == h.lo)
                        continue;
                Mixed m = { c, s, f.lo, f.hi, h.lo, h.hi, end, ABSENT, NULL };
                int r = evaluate(&m);
                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                out->v[k] = m.v;
                if (m.h && !out->h) {
                        out->h = ARENA_ARRAY(c->arena, FHist *, c->steps->n);
                        if (!out->h)
                                return c->arena->error;
                }
                if (out->h)
                        out->h[k] = m.h;
        }
        return 0;
}
