/* A native histogram as the engine calculates with it: float buckets. Immutable once it is a value of a series;
 * functions that change one take it as `h` of their own. All memory is an arena's. */
#pragma once

#include "base/arena.h"
#include "model/histogram.h"

typedef enum FHistReset { FHIST_RESET_UNKNOWN, FHIST_RESET_YES, FHIST_RESET_NO, FHIST_RESET_GAUGE } FHistReset;

typedef struct FHist {
        int32_t schema; /* -4..8, or -53: custom bounds */
        FHistReset reset;
        double zero_threshold, zero_count, count, sum;
        HistogramSpan *positive_spans, *negative_spans;
        double *positive, *negative; /* a count for each bucket of the spans */
        uint32_t n_positive_spans, n_negative_spans, n_positive, n_negative;
        const double *custom_bounds; /* upper bounds but +Inf; borrowed */
        uint32_t n_custom;
} FHist;

/* From the store's canonical bytes. 0; -EBADMSG; -ENOMEM, -E2BIG (the arena's). */
int fhist_decode(Arena *a, const uint8_t *bytes, size_t n, FHist **ret_h) MUST_USE;
FHist *fhist_copy(Arena *a, const FHist *h) MUST_USE; /* NULL: the arena's error */

/* What went otherwise than asked, for annotations; as in Prometheus. */
typedef struct FHistNotes {
        bool mixed_schemas;   /* custom bounds with exponential: not calculated, -EINVAL */
        bool custom_mismatch; /* other custom bounds: reconciled */
        bool reset_collision; /* one is known as reset, the other as none */
} FHistNotes;

/* h += other, h -= other: schemas and zero buckets are reconciled. -EINVAL for exponential with custom bounds; the
 * arena's error. */
int fhist_add(Arena *a, FHist *h, const FHist *other, FHistNotes *notes) MUST_USE;
int fhist_sub(Arena *a, FHist *h, const FHist *other, FHistNotes *notes) MUST_USE;
/* h += other, where *c (NULL at first) keeps what was lost to rounding; h += c at the end: sums of many as exact as
 * Neumaier's. */
int fhist_add_exact(Arena *a, FHist *h, FHist **c, const FHist *other, FHistNotes *notes) MUST_USE;
void fhist_settle(FHist *h, const FHist *c); /* c may be NULL */
void fhist_scale(FHist *h, double factor);
void fhist_divide(FHist *h, double divisor);
/* Takes out empty buckets, as before a histogram is shown. */
int fhist_compact(Arena *a, FHist *h) MUST_USE;
bool fhist_equal(const FHist *a, const FHist *b);
/* Whether `h` counts from 0 again after `before`. */
bool fhist_is_reset(const FHist *h, const FHist *before);

double fhist_quantile(const FHist *h, double q, bool *ret_forced_nan);
double fhist_fraction(const FHist *h, double lower, double upper);
double fhist_avg(const FHist *h);
double fhist_variance(const FHist *h);

/* {count:.., sum:.., ...} as text, and the object of the HTTP API ({"count":"..","sum":"..","buckets":[[...]]}). */
void fhist_print(const FHist *h, Buf *out);
void fhist_json(const FHist *h, Buf *out);
