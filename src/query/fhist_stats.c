/* What one native histogram says of its observations. Inside a bucket they are taken to be spread evenly: on a linear
 * scale in the zero bucket and with custom bounds, on a logarithmic one in exponential buckets, as if the buckets were
 * finer. */
#include "query/fhist_priv.h"
#include "query/function.h"

/* Without any observation on one side, the zero bucket ends at 0 there. */
static void narrow_zero_bucket(const FHist *h, FHistBucket *b) {
        if (h->n_negative == 0 && h->n_positive > 0)
                b->lower = 0;
        else if (h->n_positive == 0 && h->n_negative > 0)
                b->upper = 0;
}

/* The value that is this fraction into a bucket, from its lower bound. */
static double inside(const FHist *h, const FHistBucket *b, double fraction) {
        if (fhist_is_custom(h) || (b->lower <= 0 && b->upper >= 0))
                return b->lower + (b->upper - b->lower) * fraction;
        double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper));
        if (b->lower > 0)
                return exp2(lower + (upper - lower) * fraction);
        return -exp2(upper + (lower - upper) * (1 - fraction));
}

/* The bucket in which the rank is. Returns how many observations are up to its end. */
static double find_rank(FHistScan *s, double rank, FHistBucket *ret_b) {
        double count = 0;
        *ret_b = (FHistBucket){ 0 };
        while (fhist_scan_next(s, ret_b)) {
                count += ret_b->count;
                if (ret_b->count != 0 && count >= rank)
                        break;
        }
        return count;
}

double fhist_quantile_nan(const FHist *h, double q, FHistNan *ret_nan) {
        *ret_nan = FHIST_NAN_NONE;
        if (q < 0)
                return -INFINITY;
        if (q > 1)
                return INFINITY;
        if (h->count == 0 || isnan(q))
                return NAN;
        /* From the nearer end; observations of NaN are in no bucket and so behind all of them. */
        bool ascending = isnan(h->sum) || q < 0.5;
        double rank = (ascending ? q : 1 - q) * h->count;
        FHistScan s = fhist_scan(h, !ascending);
        FHistBucket b;
        double count = find_rank(&s, rank, &b);
        if (fhist_is_custom(h)) {
                if (b.lower == -INFINITY && b.upper <= 0)
                        return b.upper;
                if (b.lower == -INFINITY)
                        b.lower = 0;
                else if (b.upper == INFINITY)
                        return b.lower;
        } else if (b.lower < 0 && b.upper > 0)
                narrow_zero_bucket(h, &b);
        if (count > h->count)
                count = h->count;
        if (count < rank) {
                if (!isnan(h->sum))
                        return b.upper;
                *ret_nan = FHIST_NAN_RESULT;
                return NAN;
        }
        rank = ascending ? rank - (count - b.count) : count - rank;
        double fraction = rank / b.count;
        if (isnan(h->sum)) {
                for (FHistBucket rest; fhist_scan_next(&s, &rest);)
                        count += rest.count;
                if (count < h->count)
                        *ret_nan = FHIST_NAN_SKEW;
        }
        return inside(h, &b, fraction);
}

double fhist_quantile(const FHist *h, double q, bool *ret_forced_nan) {
        FHistNan nan;
        double v = fhist_quantile_nan(h, q, &nan);
        *ret_forced_nan = nan == FHIST_NAN_RESULT;
        return v;
}

/* How many observations of the bucket are below v, which is in it; `rank` are below the bucket. */
static double rank_inside(const FHist *h, const FHistBucket *b, double rank, double v, bool zero) {
        if (fhist_is_custom(h) || zero) {
                /* Of an infinite bucket nothing is known: none of its observations are below v. */
                if (b->lower == -INFINITY)
                        return b->count;
                return rank + b->count * (v - b->lower) / (b->upper - b->lower);
        }
        double lower = log2(fabs(b->lower)), upper = log2(fabs(b->upper)), at = log2(fabs(v));
        double fraction = v > 0 ? (at - lower) / (upper - lower) : 1 - (at - upper) / (lower - upper);
        return rank + b->count * fraction;
}

/* The rank of one limit, once it is known. */
typedef struct Limit {
        double at, rank;
        bool known;
} Limit;

static void look_for_limit(Limit *l, const FHist *h, const FHistBucket *b, double rank, bool zero) {
        if (l->known)
                return;
        if (b->lower >= l->at) {
                l->rank = rank;
                l->known = true;
        } else if (b->upper > l->at) {
                l->rank = rank_inside(h, b, rank, l->at, zero);
                l->known = true;
        }
}

double fhist_fraction_nan(const FHist *h, double lower, double upper, bool *ret_nan) {
        *ret_nan = false;
        if (h->count == 0 || isnan(lower) || isnan(upper))
                return NAN;
        if (lower >= upper)
                return 0;
        Limit from = { .at = lower }, to = { .at = upper };
        double rank = 0, count = 0;
        FHistScan s = fhist_scan(h, false);
        FHistBucket b;
        while (!(from.known && to.known) && fhist_scan_next(&s, &b)) {
                count += b.count;
                bool zero = b.lower <= 0 && b.upper >= 0;
                if (zero)
                        narrow_zero_bucket(h, &b);
                look_for_limit(&from, h, &b, rank, zero);
                look_for_limit(&to, h, &b, rank, zero);
                rank += b.count;
        }
        if (isnan(h->sum)) {
                while (fhist_scan_next(&s, &b))
                        count += b.count;
                *ret_nan = count < h->count;
        } else
                count = h->count;
        if (!from.known || from.rank > count)
                from.rank = count;
        if (!to.known || to.rank > count)
                to.rank = count;
        return (to.rank - from.rank) / h->count;
}

double fhist_fraction(const FHist *h, double lower, double upper) {
        bool nan;
        return fhist_fraction_nan(h, lower, upper, &nan);
}

double fhist_avg(const FHist *h) {
        return h->sum / h->count;
}

/* Where the observations of a bucket are in the mean. */
static double middle(const FHist *h, const FHistBucket *b) {
        if (fhist_is_custom(h))
                return (b->upper + b->lower) / 2;
        if (b->lower <= 0 && b->upper >= 0)
                return 0;
        double v = sqrt(b->upper * b->lower);
        return b->upper < 0 ? -v : v;
}

double fhist_variance(const FHist *h) {
        double mean = fhist_avg(h);
        KahanSum sum = { 0 };
        FHistScan s = fhist_scan(h, false);
        for (FHistBucket b; fhist_scan_next(&s, &b);) {
                if (b.count == 0)
                        continue;
                double distance = middle(h, &b) - mean;
                kahan_add(&sum, b.count * distance * distance);
        }
        return (sum.sum + sum.c) / h->count;
}
