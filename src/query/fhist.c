/* Native histograms with float buckets: decoding, copies, comparison. Sums are in fhist_sum.c. */
#include "query/fhist_priv.h"

#include <string.h>

/* ---- decoding ---- */

static void copy_side(const HistogramSide *side, bool is_float, HistogramSpan *spans, double *counts) {
        memcpy(spans, side->spans, side->n_spans * sizeof *spans);
        if (is_float) {
                memcpy(counts, side->counts, side->n_buckets * sizeof *counts);
                return;
        }
        int64_t count = 0;
        for (uint32_t i = 0; i < side->n_buckets; i++)
                counts[i] = (double)(count += side->deltas[i]);
}

static FHist *from_histogram(Arena *a, const Histogram *in) {
        size_t n_spans = (size_t)in->positive.n_spans + in->negative.n_spans;
        size_t n = (size_t)in->positive.n_buckets + in->negative.n_buckets + in->n_custom;
        FHist *h = ARENA_NEW(a, FHist);
        HistogramSpan *spans = ARENA_ARRAY(a, HistogramSpan, n_spans);
        double *counts = ARENA_ARRAY(a, double, n);
        if (!h || !spans || !counts)
                return NULL;
        *h = (FHist){
                .schema = in->schema,
                .reset = (FHistReset)in->reset_hint,
                .zero_threshold = in->zero_threshold,
                .zero_count = in->is_float ? in->zero_float : (double)in->zero_int,
                .count = in->is_float ? in->count_float : (double)in->count_int,
                .sum = in->sum,
                .positive_spans = spans,
                .negative_spans = spans + in->positive.n_spans,
                .positive = counts,
                .negative = counts + in->positive.n_buckets,
                .n_positive_spans = in->positive.n_spans,
                .n_negative_spans = in->negative.n_spans,
                .n_positive = in->positive.n_buckets,
                .n_negative = in->negative.n_buckets,
                .custom_bounds = counts + n - in->n_custom,
                .n_custom = in->n_custom,
        };
        copy_side(&in->positive, in->is_float, h->positive_spans, h->positive);
        copy_side(&in->negative, in->is_float, h->negative_spans, h->negative);
        memcpy(counts + n - in->n_custom, in->custom_bounds, in->n_custom * sizeof *counts);
        return h;
}

int fhist_decode(Arena *a, const uint8_t *bytes, size_t n, FHist **ret_h) {
        Histogram in; /* 56 KiB, of which what is used is written */
        int64_t time;
        const char *why;
        int r = histogram_parse(bytes, n, &in, &time, &why);
        if (r < 0)
                return r;
        FHist *h = from_histogram(a, &in);
        if (!h)
                return a->error;
        *ret_h = h;
        return 0;
}

/* ---- copies ---- */

FHist *fhist_copy(Arena *a, const FHist *h) {
        size_t n_spans = (size_t)h->n_positive_spans + h->n_negative_spans, n = (size_t)h->n_positive + h->n_negative;
        FHist *copy = ARENA_NEW(a, FHist);
        HistogramSpan *spans = ARENA_ARRAY(a, HistogramSpan, n_spans);
        double *counts = ARENA_ARRAY(a, double, n + h->n_custom);
        if (!copy || !spans || !counts)
                return NULL;
        *copy = *h;
        copy->custom_bounds = counts + n; /* a copy may outlive the arena of what it was made from */
        for (uint32_t i = 0; i < h->n_custom; i++)
                counts[n + i] = h->custom_bounds[i];
        copy->positive_spans = spans;
        copy->negative_spans = spans + h->n_positive_spans;
        copy->positive = counts;
        copy->negative = counts + h->n_positive;
        for (uint32_t i = 0; i < h->n_positive_spans; i++)
                copy->positive_spans[i] = h->positive_spans[i];
        for (uint32_t i = 0; i < h->n_negative_spans; i++)
                copy->negative_spans[i] = h->negative_spans[i];
        for (uint32_t i = 0; i < h->n_positive; i++)
                copy->positive[i] = h->positive[i];
        for (uint32_t i = 0; i < h->n_negative; i++)
                copy->negative[i] = h->negative[i];
        return copy;
}

/* ---- arithmetic with a number ---- */

void fhist_scale(FHist *h, double factor) {
        h->zero_count *= factor;
        h->count *= factor;
        h->sum *= factor;
        for (uint32_t i = 0; i < h->n_positive; i++)
                h->positive[i] *= factor;
        for (uint32_t i = 0; i < h->n_negative; i++)
                h->negative[i] *= factor;
        if (factor < 0)
                h->reset = FHIST_RESET_GAUGE;
}

void fhist_divide(FHist *h, double divisor) {
        h->zero_count /= divisor;
        h->count /= divisor;
        h->sum /= divisor;
        if (divisor == 0) { /* buckets of infinite or unknown content are none */
                h->n_positive = h->n_negative = h->n_positive_spans = h->n_negative_spans = 0;
                return;
        }
        for (uint32_t i = 0; i < h->n_positive; i++)
                h->positive[i] /= divisor;
        for (uint32_t i = 0; i < h->n_negative; i++)
                h->negative[i] /= divisor;
        if (divisor < 0)
                h->reset = FHIST_RESET_GAUGE;
}

/* ---- comparison ---- */

/* Bits count: this is about being the same data, of which NaN may be a part. */
static bool same(double a, double b) {
        return memcmp(&a, &b, sizeof a) == 0;
}

static bool same_side(const FHist *a, const FHist *b, bool negative) {
        FHistWalk wa = fhist_walk(a, negative, a->schema), wb = fhist_walk(b, negative, b->schema);
        for (;;) {
                bool more = fhist_walk_next(&wa);
                if (more != fhist_walk_next(&wb))
                        return false;
                if (!more)
                        return true;
                if (wa.index != wb.index || !same(wa.count, wb.count))
                        return false;
        }
}

static bool same_custom(const FHist *a, const FHist *b) {
        if (a->n_custom != b->n_custom)
                return false;
        for (uint32_t i = 0; i < a->n_custom; i++)
                if (a->custom_bounds[i] != b->custom_bounds[i])
                        return false;
        return true;
}

bool fhist_equal(const FHist *a, const FHist *b) {
        if (a->schema != b->schema || a->zero_threshold != b->zero_threshold || !same(a->zero_count, b->zero_count) ||
            !same(a->count, b->count) || !same(a->sum, b->sum))
                return false;
        return (!fhist_is_custom(a) || same_custom(a, b)) && same_side(a, b, true) && same_side(a, b, false);
}

/* ---- counter resets ---- */

/* Whether a bucket of `before` counts less in h, or is not there any more. */
static bool side_is_reset(const FHist *h, const FHist *before, bool negative) {
        FHistWalk now = fhist_walk_outside(h, negative, h->schema, h->zero_threshold);
        FHistWalk then = fhist_walk_outside(before, negative, h->schema, h->zero_threshold);
        bool has_now = fhist_walk_next(&now);
        while (fhist_walk_next(&then)) {
                while (has_now && now.index < then.index)
                        has_now = fhist_walk_next(&now);
                if (has_now && now.index == then.index ? now.count < then.count : then.count != 0)
                        return true;
        }
        return false;
}

/* How many observations up to a bound; the walk goes on behind it. */
static double up_to(FHistWalk *w, const FHist *h, bool *has, double bound) {
        double count = 0;
        while (*has && fhist_bound(h, w->index) <= bound) {
                count += w->count;
                *has = fhist_walk_next(w);
        }
        return count;
}

/* Other custom bounds than before: compared between those that both have. */
static bool custom_is_reset(const FHist *h, const FHist *before) {
        FHistWalk now = fhist_walk(h, false, h->schema), then = fhist_walk(before, false, before->schema);
        bool has_now = fhist_walk_next(&now), has_then = fhist_walk_next(&then);
        for (uint32_t i = 0, k = 0; i <= h->n_custom && k <= before->n_custom;) {
                double a = fhist_bound(h, i), b = fhist_bound(before, k);
                if (a == b && up_to(&now, h, &has_now, a) < up_to(&then, before, &has_then, a))
                        return true;
                i += a <= b;
                k += b <= a;
        }
        return false;
}

/* The count that the zero bucket of h would have with a greater threshold. When that is within a bucket which is not
 * empty, false: the threshold must be another. */
static bool zero_count_at(const FHist *h, double threshold, double *ret_count) {
        *ret_count = h->zero_count;
        if (threshold == h->zero_threshold)
                return true;
        for (int negative = 0; negative < 2; negative++)
                for (FHistWalk w = fhist_walk(h, negative, h->schema); fhist_walk_next(&w);) {
                        if (fhist_bound(h, w.index - 1) >= threshold)
                                break;
                        *ret_count += w.count;
                        if (fhist_bound(h, w.index) > threshold && w.count != 0)
                                return false;
                }
        return true;
}

bool fhist_is_reset(const FHist *h, const FHist *before) {
        if (h->reset == FHIST_RESET_YES || h->reset == FHIST_RESET_NO)
                return h->reset == FHIST_RESET_YES;
        if (h->count < before->count)
                return true;
        if (fhist_is_custom(h)) {
                if (!fhist_is_custom(before))
                        return true;
                if (!same_custom(h, before))
                        return custom_is_reset(h, before);
        }
        /* Counters only ever become coarser. */
        if (h->schema > before->schema || h->zero_threshold < before->zero_threshold)
                return true;
        double zero;
        if (!zero_count_at(before, h->zero_threshold, &zero) || h->zero_count < zero)
                return true;
        return side_is_reset(h, before, false) || side_is_reset(h, before, true);
}
