/* Walks over the buckets of native histograms. A bucket's index says where it is: of an exponential schema s the one
 * with index i ends at 2^(i / 2^s). Spans say which indices there are, each by its distance from the end of the one
 * before. */
#include "query/fhist_priv.h"

#include <float.h>

static const double BOUNDS[256] = {
#include "query/fhist_bounds.def"
};

/* Powers beyond are 0 or infinite in any case. */
static int clamp_exponent(int64_t e) {
        return e > 5000 ? 5000 : e < -5000 ? -5000 : (int)e;
}

double fhist_bound_exponential(int64_t index, int32_t schema) {
        /* The last bucket of finite numbers ends at the greatest of them; only +Inf is in the one behind. */
        if (schema < 0) {
                int64_t e = index * (INT64_C(1) << -schema);
                return e == 1024 ? DBL_MAX : ldexp(1, clamp_exponent(e));
        }
        double fraction = BOUNDS[(size_t)(index & ((INT64_C(1) << schema) - 1)) << (8 - schema)];
        int64_t e = (index >> schema) + 1;
        return fraction == 0.5 && e == 1025 ? DBL_MAX : ldexp(fraction, clamp_exponent(e));
}

double fhist_bound(const FHist *h, int64_t index) {
        if (!fhist_is_custom(h))
                return fhist_bound_exponential(index, h->schema);
        return index < 0 ? -INFINITY : index >= h->n_custom ? INFINITY : h->custom_bounds[index];
}

FHistWalk fhist_walk(const FHist *h, bool negative, int32_t schema) {
        FHistWalk w = {
                .spans = negative ? h->negative_spans : h->positive_spans,
                .counts = negative ? h->negative : h->positive,
                .n_spans = negative ? h->n_negative_spans : h->n_positive_spans,
                .shift = h->schema - schema,
        };
        if (w.n_spans)
                w.next = w.spans[0].offset;
        return w;
}

/* Whether there is one more bucket; leaves the ends of spans behind. */
static bool at_bucket(FHistWalk *w) {
        while (w->span < w->n_spans && w->in_span == w->spans[w->span].length) {
                w->in_span = 0;
                if (++w->span < w->n_spans)
                        w->next += w->spans[w->span].offset;
        }
        return w->span < w->n_spans;
}

static double take(FHistWalk *w) {
        w->next++;
        w->in_span++;
        return w->counts[w->at++];
}

FHistWalk fhist_walk_outside(const FHist *h, bool negative, int32_t schema, double threshold) {
        FHistWalk w = fhist_walk(h, negative, schema);
        if (threshold > 0 && !fhist_is_custom(h))
                while (at_bucket(&w) && fhist_bound_exponential(w.next, h->schema) <= threshold)
                        (void)take(&w);
        return w;
}

bool fhist_walk_next(FHistWalk *w) {
        if (!at_bucket(w))
                return false;
        if (w->shift == 0) {
                w->index = w->next;
                w->count = take(w);
                return true;
        }
        w->index = fhist_index_reduced(w->next, w->shift);
        w->count = 0;
        do
                w->count += take(w);
        while (at_bucket(w) && fhist_index_reduced(w->next, w->shift) == w->index);
        return true;
}

FHistBucket fhist_bucket(const FHist *h, bool negative, int64_t index, double count) {
        FHistBucket b = { .count = count };
        if (negative) {
                b.lower = -fhist_bound(h, index);
                b.upper = -fhist_bound(h, index - 1);
        } else {
                b.lower = fhist_bound(h, index - 1);
                b.upper = fhist_bound(h, index);
        }
        b.lower_inclusive = fhist_is_custom(h) ? index == 0 : b.lower < 0;
        b.upper_inclusive = fhist_is_custom(h) || b.upper > 0;
        return b;
}

FHistScan fhist_scan(const FHist *h, bool descending) {
        FHistScan s = { .h = h, .descending = descending, .out = fhist_walk(h, descending, h->schema) };
        const HistogramSpan *spans = descending ? h->positive_spans : h->negative_spans;
        s.span = descending ? h->n_positive_spans : h->n_negative_spans;
        s.at = descending ? h->n_positive : h->n_negative;
        for (uint32_t i = 0; i < s.span; i++)
                s.index += (int64_t)spans[i].offset + spans[i].length;
        if (s.span)
                s.left = spans[--s.span].length;
        return s;
}

/* The side that comes first, from its far end towards zero. */
static bool next_inwards(FHistScan *s, FHistBucket *ret_b) {
        const HistogramSpan *spans = s->descending ? s->h->positive_spans : s->h->negative_spans;
        if (s->at == 0)
                return false;
        while (s->left == 0) {
                s->index -= spans[s->span].offset;
                s->left = spans[--s->span].length;
        }
        s->left--;
        s->index--;
        s->at--;
        *ret_b = fhist_bucket(s->h, !s->descending, s->index, (s->descending ? s->h->positive : s->h->negative)[s->at]);
        return true;
}

/* Buckets that overlap with the zero bucket end where it begins. */
static void clip_at_zero_bucket(const FHist *h, FHistBucket *b) {
        if (b->upper < 0 && b->upper > -h->zero_threshold)
                b->upper = -h->zero_threshold;
        else if (b->lower > 0 && b->lower < h->zero_threshold)
                b->lower = h->zero_threshold;
}

bool fhist_scan_next(FHistScan *s, FHistBucket *ret_b) {
        const FHist *h = s->h;
        if (s->stage == 0) {
                if (next_inwards(s, ret_b)) {
                        clip_at_zero_bucket(h, ret_b);
                        return true;
                }
                s->stage = 1;
        }
        if (s->stage == 1) {
                s->stage = 2;
                if (h->zero_count > 0) {
                        *ret_b = (FHistBucket){ -h->zero_threshold, h->zero_threshold, h->zero_count, true, true };
                        return true;
                }
        }
        if (!fhist_walk_next(&s->out))
                return false;
        *ret_b = fhist_bucket(h, s->descending, s->out.index, s->out.count);
        clip_at_zero_bucket(h, ret_b);
        return true;
}
