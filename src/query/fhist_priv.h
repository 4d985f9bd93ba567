/* What the parts of FHist share: walks over buckets, and the arithmetic that only functions of PromQL need. */
#pragma once

#include "query/fhist.h"

#include <math.h>

#define FHIST_CUSTOM (-53) /* the schema of custom bounds */

static inline bool fhist_is_custom(const FHist *h) {
        return h->schema == FHIST_CUSTOM;
}

/* The upper bound of the bucket with this index on the positive side. */
double fhist_bound(const FHist *h, int64_t index);
/* The same of an exponential schema. */
double fhist_bound_exponential(int64_t index, int32_t schema);
/* The index that a bucket has when the resolution is 2^shift times lower. */
static inline int64_t fhist_index_reduced(int64_t index, int shift) {
        return ((index - 1) >> shift) + 1;
}

/* ---- One side, ascending by index, buckets merged into a lower resolution ---- */

typedef struct FHistWalk {
        const HistogramSpan *spans;
        const double *counts;
        uint32_t n_spans, span, in_span, at;
        int64_t next; /* index of the next bucket, of the histogram's own resolution */
        int shift;
        /* what walk_next() found */
        int64_t index;
        double count;
} FHistWalk;

FHistWalk fhist_walk(const FHist *h, bool negative, int32_t schema);
/* Without the buckets that end within a zero bucket of this width, which counts them; looked at in the histogram's own
 * resolution: a bucket of a lower one may hold some that are within and some that are not. */
FHistWalk fhist_walk_outside(const FHist *h, bool negative, int32_t schema, double threshold);
bool fhist_walk_next(FHistWalk *w);

/* ---- All buckets with their bounds, from -Inf to +Inf or back; the zero bucket when it is not empty ---- */

typedef struct FHistBucket {
        double lower, upper, count;
        bool lower_inclusive, upper_inclusive;
} FHistBucket;

typedef struct FHistScan {
        const FHist *h;
        bool descending;
        int stage;               /* side that is walked towards zero, zero, side that is walked away from it */
        uint32_t span, left, at; /* of the first: what is left of the span, and of the buckets */
        int64_t index;
        FHistWalk out;
} FHistScan;

FHistScan fhist_scan(const FHist *h, bool descending);
bool fhist_scan_next(FHistScan *s, FHistBucket *ret_b);
/* A bucket of one side, with this index. */
FHistBucket fhist_bucket(const FHist *h, bool negative, int64_t index, double count);

/* ---- Arithmetic ---- */

/* A copy of lower resolution; schema is at most that of h. */
FHist *fhist_copy_to_schema(Arena *a, const FHist *h, int32_t schema) MUST_USE;
/* Only the observations below (upper) or above a value, as </ and >/ have it: the bucket around it is interpolated. */
FHist *fhist_trim(Arena *a, const FHist *h, double at, bool upper) MUST_USE;

typedef enum FHistNan {
        FHIST_NAN_NONE,
        FHIST_NAN_RESULT, /* the quantile is among observations of NaN */
        FHIST_NAN_SKEW,   /* there are some, which counted as the greatest */
} FHistNan;
double fhist_quantile_nan(const FHist *h, double q, FHistNan *ret_nan);
/* *ret_nan: there are observations of NaN, which are in no bucket. */
double fhist_fraction_nan(const FHist *h, double lower, double upper, bool *ret_nan);
