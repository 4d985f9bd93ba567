/* Trimming: what of a native histogram is below or above a value. Buckets on the kept side stay as they are, the one
 * around the value is interpolated as for quantiles, and the sum is estimated anew from where the kept observations are
 * in the mean. Of buckets that end at an infinity nothing is known but that; they are kept or dropped whole where
 * nothing better can be said. */
#include "query/fhist_priv.h"

/* Some observations, and where they are in the mean. */
typedef struct Kept {
        double count, middle;
} Kept;

static double middle_of(const FHist *h, double lower, double upper, bool negative) {
        if (isinf(lower))
                return isinf(upper) ? 0 : upper > 0 ? upper / 2 : upper;
        if (isinf(upper))
                return lower;
        if (fhist_is_custom(h))
                return (lower + upper) / 2;
        double v = sqrt(fabs(lower * upper));
        return negative ? -v : v;
}

static double finite_or_zero(double v) {
        return isinf(v) ? 0 : v;
}

static Kept keep_below_of_infinite(const FHistBucket *b, double at) {
        if (b->lower != -INFINITY)
                return (Kept){ 0, finite_or_zero(b->lower) };
        if (at >= b->upper)
                return (Kept){ b->count, 0 };
        if (at > 0 && b->upper > 0 && b->upper != INFINITY) /* the natural lower bound is 0 */
                return (Kept){ b->count * at / b->upper, at / 2 };
        return b->upper <= 0 ? (Kept){ b->count, at } : (Kept){ 0, finite_or_zero(b->upper) };
}

static Kept keep_above_of_infinite(const FHistBucket *b, double at) {
        if (b->lower != -INFINITY)
                return at >= b->lower ? (Kept){ b->count, at } : (Kept){ 0, finite_or_zero(b->lower) };
        if (at <= b->lower)
                return (Kept){ b->count, 0 };
        if (at >= 0 && b->upper > at && b->upper != INFINITY)
                return (Kept){ b->count * (1 - at / b->upper), (at + b->upper) / 2 };
        return (Kept){ 0, finite_or_zero(b->upper) };
}

static double count_below(const FHist *h, const FHistBucket *b, double at, bool negative) {
        if (at <= b->lower)
                return 0;
        if (at >= b->upper)
                return b->count;
        if (fhist_is_custom(h))
                return b->count * ((at - b->lower) / (b->upper - b->lower));
        double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper)), v = log2(fabs(at));
        return b->count * (negative ? 1 - (v - upper) / (lower - upper) : (v - lower) / (upper - lower));
}

static Kept keep_of_bucket(const FHist *h, const FHistBucket *b, double at, bool below, bool negative) {
        if (below ? b->upper <= at : b->lower >= at)
                return (Kept){ b->count, middle_of(h, b->lower, b->upper, negative) };
        if (!(below ? b->lower < at : b->upper > at))
                return (Kept){ 0 };
        if (isinf(b->lower) || isinf(b->upper))
                return below ? keep_below_of_infinite(b, at) : keep_above_of_infinite(b, at);
        double under = count_below(h, b, at, negative);
        return below ? (Kept){ under, middle_of(h, b->lower, at, negative) }
                     : (Kept){ b->count - under, middle_of(h, at, b->upper, negative) };
}

static Kept keep_of_zero(const FHist *h, double at, bool below, bool has_negative, bool has_positive) {
        double lower = has_positive && !has_negative ? 0 : -h->zero_threshold;
        double upper = has_negative && !has_positive ? 0 : h->zero_threshold;
        if (below ? at <= lower : at >= upper)
                return (Kept){ 0 };
        if (below ? at >= upper : at <= lower)
                return (Kept){ h->zero_count, (lower + upper) / 2 };
        double part = below ? (at - lower) / (upper - lower) : (upper - at) / (upper - lower);
        return (Kept){ h->zero_count * part, below ? (lower + at) / 2 : (at + upper) / 2 };
}

/* What has been kept in all. */
typedef struct Tally {
        double count, sum;
        bool trimmed;
} Tally;

static void tally(Tally *t, double *count, Kept kept) {
        t->count += kept.count;
        t->sum += kept.middle * kept.count;
        if (*count != kept.count) {
                *count = kept.count;
                t->trimmed = true;
        }
}

/* Whether the side had any observations. */
static bool trim_side(FHist *h, bool negative, double at, bool below, Tally *t) {
        double *counts = negative ? h->negative : h->positive;
        bool any = false;
        FHistWalk w = fhist_walk(h, negative, h->schema);
        for (uint32_t i = 0; fhist_walk_next(&w); i++) {
                if (w.count == 0)
                        continue;
                any = true;
                FHistBucket b = fhist_bucket(h, negative, w.index, w.count);
                tally(t, &counts[i], keep_of_bucket(h, &b, at, below, negative));
        }
        return any;
}

FHist *fhist_trim(Arena *a, const FHist *in, double at, bool upper) {
        FHist *h = fhist_copy(a, in);
        if (!h)
                return NULL;
        Tally t = { 0 };
        bool has_positive = trim_side(h, false, at, upper, &t);
        bool has_negative = trim_side(h, true, at, upper, &t);
        if (h->zero_count > 0)
                tally(&t, &h->zero_count, keep_of_zero(h, at, upper, has_negative, has_positive));
        if (!t.trimmed)
                return h;
        h->count = t.count;
        h->sum = t.sum;
        return fhist_compact(a, h) < 0 ? NULL : h;
}
