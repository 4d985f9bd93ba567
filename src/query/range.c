/* Functions over ranges: one series, all steps in one pass. Windows only move forwards, so that finding their samples
 * costs next to nothing; what each function does with them is in the other range_*.c. Results are those of a
 * calculation from each window's samples alone, to the last digit: whatever is carried over from one window to the next
 * is exact. */
#include "query/range_priv.h"

#include <assert.h>
#include <string.h>

Windows windows_of(const RangeCall *c, const int64_t *times, size_t n) {
        return (Windows){
                .times = times, .n = n, .end = c->first_end_ms, .step = c->end_step_ms, .range = c->range_ms
        };
}

size_t windows_search(const int64_t *times, size_t n, size_t at, int64_t bound) {
        /* Steps that double, then halving between the last two. */
        size_t low = at, jump = 1;
        while (jump <= n - low && times[low + jump - 1] <= bound) {
                low += jump;
                jump *= 2;
        }
        size_t high = jump <= n - low ? low + jump - 1 : n;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (times[middle] <= bound)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

/* ---- functions that only look which samples there are ---- */

static void count_samples(const RangeCall *c, const RangeSamples *s, double *out) {
        Windows w = windows_of(c, s->times, s->n);
        for (size_t k = 0; k < c->steps->n; k++) {
                windows_next(&w);
                if (w.hi == w.lo)
                        out[k] = ABSENT;
                else
                        out[k] = c->function == FUNCTION_PRESENT_OVER_TIME ? 1 : (double)(w.hi - w.lo);
        }
}

static double end_of(FunctionId f, const RangeSamples *s, const Windows *w) {
        switch (f) {
        case FUNCTION_FIRST_OVER_TIME: return s->values[w->lo];
        case FUNCTION_LAST_OVER_TIME: return s->values[w->hi - 1];
        case FUNCTION_TS_OF_FIRST_OVER_TIME: return (double)s->times[w->lo] / 1000;
        default: assert(f == FUNCTION_TS_OF_LAST_OVER_TIME); return (double)s->times[w->hi - 1] / 1000;
        }
}

static void ends(const RangeCall *c, const RangeSamples *s, double *out) {
        Windows w = windows_of(c, s->times, s->n);
        for (size_t k = 0; k < c->steps->n; k++) {
                windows_next(&w);
                out[k] = w.hi == w.lo ? ABSENT : end_of(c->function, s, &w);
        }
}

/* ---- floats ---- */

static int floats(const RangeCall *c, const RangeSamples *s, double *out) {
        switch (c->function) {
        case FUNCTION_RATE:
        case FUNCTION_INCREASE:
        case FUNCTION_DELTA: return c->mode == RANGE_PLAIN ? range_rate(c, s, out) : range_extended(c, s, out);
        case FUNCTION_IRATE:
        case FUNCTION_IDELTA: range_instant_rate(c, s, out); return 0;
        case FUNCTION_CHANGES:
        case FUNCTION_RESETS: return range_counts(c, s, out);
        case FUNCTION_MIN_OVER_TIME:
        case FUNCTION_MAX_OVER_TIME:
        case FUNCTION_TS_OF_MIN_OVER_TIME:
        case FUNCTION_TS_OF_MAX_OVER_TIME: return range_extremes(c, s, out);
        case FUNCTION_SUM_OVER_TIME:
        case FUNCTION_AVG_OVER_TIME: range_sums(c, s, out); return 0;
        case FUNCTION_STDDEV_OVER_TIME:
        case FUNCTION_STDVAR_OVER_TIME: range_spread(c, s, out); return 0;
        case FUNCTION_DERIV:
        case FUNCTION_PREDICT_LINEAR: range_trend(c, s, out); return 0;
        case FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING: return range_smoothing(c, s, out);
        case FUNCTION_QUANTILE_OVER_TIME:
        case FUNCTION_MAD_OVER_TIME: return range_quantiles(c, s, out);
        case FUNCTION_COUNT_OVER_TIME:
        case FUNCTION_PRESENT_OVER_TIME: count_samples(c, s, out); return 0;
        default: ends(c, s, out); return 0;
        }
}

/* Those that give for each step what they give for any, when all windows are the same. */
static bool depends_on_step(FunctionId f) {
        return f == FUNCTION_PREDICT_LINEAR || f == FUNCTION_QUANTILE_OVER_TIME ||
               f == FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING;
}

static bool ends_with(Span s, const char *end) {
        size_t n = strlen(end);
        return s.len >= n && memcmp(s.text + s.len - n, end, n) == 0;
}

/* Who asks for the rate of what is no counter by its name may have meant something else. */
static void check_counter(const RangeCall *c, const double *v) {
        static const char *const ENDS[] = { "_total", "_sum", "_count", "_bucket" };
        if ((c->function != FUNCTION_RATE && c->function != FUNCTION_INCREASE) || c->metric.len == 0)
                return;
        for (size_t i = 0; i < ARRAY_LEN(ENDS); i++)
                if (ends_with(c->metric, ENDS[i]))
                        return;
        for (size_t k = 0; k < c->steps->n; k++)
                if (!is_absent(v[k])) {
                        notes_add(c->notes, NOTE_INFO, c->place,
                                  "PromQL info: metric might not be a counter, name does not end in "
                                  "_total/_sum/_count/_bucket: %s",
                                  function_quote(c->metric).text);
                        return;
                }
}

static int evaluate(const RangeCall *c, const RangeSamples *s, Row *out) {
        out->h = NULL;
        int r = floats(c, s, out->v);
        if (r < 0 || s->n_hists == 0)
                return r;
        if (c->mode == RANGE_PLAIN)
                return range_histograms(c, s, out);
        if (c->error)
                buf_put_str(c->error, "smoothed and anchored modifiers do not work with native histograms");
        return -EINVAL;
}

int range_evaluate(const RangeCall *c, const RangeSamples *s, Row *out) {
        assert(function_is_range(c->function) && c->end_step_ms >= 0);
        size_t n = c->steps->n;
        if (c->end_step_ms != 0 || n < 2 || depends_on_step(c->function)) {
                int r = evaluate(c, s, out);
                if (r == 0)
                        check_counter(c, out->v);
                return r;
        }
        Steps first = { c->steps->start_ms, c->steps->step_ms, 1 };
        RangeCall once = *c;
        once.steps = &first;
        int r = evaluate(&once, s, out);
        if (r < 0)
                return r;
        check_counter(&once, out->v);
        for (size_t k = 1; k < n; k++)
                out->v[k] = out->v[0];
        if (!out->h)
                return 0;
        FHist *h = out->h[0];
        out->h = ARENA_ARRAY(c->arena, FHist *, n);
        for (size_t k = 0; out->h && k < n; k++)
                out->h[k] = h;
        return out->h ? 0 : c->arena->error;
}
