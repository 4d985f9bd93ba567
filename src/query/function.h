/* What the functions of PromQL calculate. The engine (eval.c) makes rows and windows; this says what becomes of
 * them. */
#pragma once

#include "query/value.h"

/* The samples of one series, ascending, stale ones left out; floats and histograms apart. */
typedef struct RangeSamples {
        const int64_t *times;
        const double *values;
        size_t n;
        const int64_t *hist_times;
        FHist *const *hists;
        size_t n_hists;
} RangeSamples;

/* One range function over one series, all steps in one pass. The window of step k is
 * window_end(k) - range < t <= window_end(k). */
typedef struct RangeCall {
        FunctionId function;
        const Steps *steps;                /* of the result */
        int64_t first_end_ms, end_step_ms; /* window_end(k) = first_end + k * end_step; end_step is 0 under `@` */
        int64_t range_ms;
        RangeMode mode;        /* anchored and smoothed: samples reach from one before the window to one behind it */
        const double *args[2]; /* the scalar arguments in their order, one value a step */
        Span metric;           /* for notes; may be empty */
        Place place, arg_place[2]; /* of the range argument; of the scalar ones */
        Arena *arena;              /* for histograms of the result, and for scratch */
        Notes *notes;
        int64_t reach_ms; /* anchored and smoothed: how far outside the window a sample may be (the lookback); 0: any */
        Buf *error;       /* why -EINVAL: for the user; may be NULL */
} RangeCall;

/* Whether it is one of rate(), avg_over_time(), ... that range_evaluate() knows: all with a range vector but
 * absent_over_time(), which the engine makes of present_over_time(). */
bool function_is_range(FunctionId f);
/* Whether the result keeps the metric's name (last_over_time, first_over_time). */
bool function_keeps_name(FunctionId f);
/* Fills out->v, which has room for all steps, and sets out->h (NULL when there are no histograms). 0; the arena's
 * error; -EINVAL with c->error: bad factors of smoothing, histograms with anchored or smoothed. */
int range_evaluate(const RangeCall *c, const RangeSamples *s, Row *out) MUST_USE;

/* Functions of each value alone: abs(), clamp(), round(), timestamps of dates (minute(), ...), histogram_count(),
 * histogram_quantile() of native histograms, unary ones. */
bool function_is_elementwise(FunctionId f);
typedef struct ElementCall {
        FunctionId function;
        const Steps *steps;
        const double *args[2];
        size_t n_args;
        Span metric;
        Place place, arg_place[2];
        Arena *arena;
        Notes *notes;
} ElementCall;
/* In place: in and out may be the same row's v. */
int element_evaluate(const ElementCall *c, const Row *in, Row *out) MUST_USE;

/* Functions that need all of their arguments: absent, histogram_quantile(s) and histogram_fraction (classic buckets and
 * native histograms), label_join, label_replace, scalar, sort..., vector, info is the engine's. args[i] is the value of
 * argument i; label sets of the result may be equal (the engine merges them, or says that it cannot). */
typedef struct WholeCall {
        const Expr *call;
        const Steps *steps;
        bool delayed_names;
        Arena *arena;
        Notes *notes;
        Buf *error; /* why -EINVAL: for the user */
} WholeCall;
int whole_evaluate(const WholeCall *c, const Value *args, Value *ret_value) MUST_USE;

/* The arithmetic of binary operators on floats; comparisons give 1 or 0. */
double binary_floats(BinaryOp op, double a, double b);
/* With a histogram on at least one side (NULL: that side is the float). *ret_h or *ret_v is the result; both absent
 * when the operation has none (a note says so). For comparisons without `bool`, *ret_keep says whether the left value
 * stays. */
int binary_histograms(Arena *a, BinaryOp op, const FHist *lh, double lv, const FHist *rh, double rv, Notes *notes,
                      Place place, FHist **ret_h, double *ret_v, bool *ret_keep) MUST_USE;

/* The quantile of n values (sorted in place), as quantile() and quantile_over_time() have it. */
double quantile_of(double q, double *values, size_t n);
/* Neumaier's sum, as everything that adds floats here. */
typedef struct KahanSum {
        double sum, c;
} KahanSum;
static inline void kahan_add(KahanSum *k, double v) {
        double t = k->sum + v;
        if (isinf(t))
                k->c = 0;
        else if (fabs(k->sum) >= fabs(v))
                k->c += (k->sum - t) + v;
        else
                k->c += (v - t) + k->sum;
        k->sum = t;
}
