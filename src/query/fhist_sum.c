/* Sums and differences of native histograms. Two of them are added bucket by bucket once they have the same layout: the
 * lower of both resolutions, the wider of both zero buckets (wider still when that would cut a bucket which is not
 * empty), the custom bounds that both have, and the buckets that either has.
 *
 * A sum may have a companion: a histogram of the same layout whose counts are what the sum lost to rounding. Whatever
 * changes the layout changes both. */
#include "query/fhist_priv.h"
#include "query/function.h"

#include <assert.h>

/* One side of a histogram, and of its companion if it has one. */
typedef struct Side {
        HistogramSpan *spans;
        double *counts, *lost;
        uint32_t n_spans, n;
} Side;

static Side get_side(const FHist *h, const FHist *c, bool negative) {
        return negative ? (Side){ h->negative_spans, h->negative, c ? c->negative : NULL, h->n_negative_spans,
                                  h->n_negative }
                        : (Side){ h->positive_spans, h->positive, c ? c->positive : NULL, h->n_positive_spans,
                                  h->n_positive };
}

static void set_side(FHist *h, bool negative, HistogramSpan *spans, uint32_t n_spans, double *counts, uint32_t n) {
        if (negative) {
                h->negative_spans = spans;
                h->n_negative_spans = n_spans;
                h->negative = counts;
                h->n_negative = n;
        } else {
                h->positive_spans = spans;
                h->n_positive_spans = n_spans;
                h->positive = counts;
                h->n_positive = n;
        }
}

static void put_side(FHist *h, FHist *c, bool negative, const Side *s) {
        set_side(h, negative, s->spans, s->n_spans, s->counts, s->n);
        if (c)
                set_side(c, negative, s->spans, s->n_spans, s->lost, s->n);
}

/* ---- building a side ---- */

typedef struct Builder {
        Side s;
        int64_t end; /* behind the last bucket */
} Builder;

/* Room for n buckets. */
static bool builder_init(Builder *b, Arena *a, size_t n, bool lost) {
        *b = (Builder){ .s = { .spans = ARENA_ARRAY(a, HistogramSpan, n), .counts = ARENA_ARRAY(a, double, n) } };
        if (lost)
                b->s.lost = ARENA_ARRAY(a, double, n);
        return b->s.spans && b->s.counts && (!lost || b->s.lost);
}

static void builder_put(Builder *b, int64_t index, double count, double lost) {
        Side *s = &b->s;
        if (s->n_spans == 0 || index != b->end) {
                s->spans[s->n_spans] = (HistogramSpan){ (int32_t)(index - (s->n_spans ? b->end : 0)), 0 };
                s->n_spans++;
        }
        s->spans[s->n_spans - 1].length++;
        s->counts[s->n] = count;
        if (s->lost)
                s->lost[s->n] = lost;
        s->n++;
        b->end = index + 1;
}

/* A walk over the companion's counts beside that over the histogram's. */
static FHistWalk walk_lost(const FHistWalk *w, const Side *s) {
        FHistWalk lost = *w;
        if (s->lost)
                lost.counts = s->lost;
        return lost;
}

/* ---- layouts ---- */

static int reduce_side(Arena *a, FHist *h, FHist *c, bool negative, int32_t schema) {
        Side s = get_side(h, c, negative);
        Builder b;
        if (!builder_init(&b, a, s.n, s.lost))
                return a->error;
        FHistWalk w = fhist_walk(h, negative, schema), lost = walk_lost(&w, &s);
        while (fhist_walk_next(&w) && fhist_walk_next(&lost))
                builder_put(&b, w.index, w.count, lost.count);
        put_side(h, c, negative, &b.s);
        return 0;
}

static int reduce(Arena *a, FHist *h, FHist *c, int32_t schema) {
        int r = reduce_side(a, h, c, false, schema);
        if (r == 0)
                r = reduce_side(a, h, c, true, schema);
        h->schema = schema;
        if (c)
                c->schema = schema;
        return r;
}

FHist *fhist_copy_to_schema(Arena *a, const FHist *h, int32_t schema) {
        assert(schema <= h->schema);
        FHist *copy = fhist_copy(a, h);
        if (!copy || schema == h->schema)
                return copy;
        copy->reset = FHIST_RESET_UNKNOWN;
        return reduce(a, copy, NULL, schema) < 0 ? NULL : copy;
}

static bool nothing_to_compact(const Side *s) {
        for (uint32_t i = 0; i < s->n; i++)
                if (s->counts[i] == 0)
                        return false;
        for (uint32_t i = 0; i < s->n_spans; i++)
                if (s->spans[i].length == 0 || (i > 0 && s->spans[i].offset == 0))
                        return false;
        return true;
}

static int compact_side(Arena *a, FHist *h, FHist *c, bool negative) {
        Side s = get_side(h, c, negative);
        Builder b;
        if (nothing_to_compact(&s))
                return 0;
        if (!builder_init(&b, a, s.n, s.lost))
                return a->error;
        FHistWalk w = fhist_walk(h, negative, h->schema), lost = walk_lost(&w, &s);
        while (fhist_walk_next(&w) && fhist_walk_next(&lost))
                if (w.count != 0 || (s.lost && lost.count != 0))
                        builder_put(&b, w.index, w.count, lost.count);
        put_side(h, c, negative, &b.s);
        return 0;
}

static int compact(Arena *a, FHist *h, FHist *c) {
        int r = compact_side(a, h, c, false);
        return r < 0 ? r : compact_side(a, h, c, true);
}

int fhist_compact(Arena *a, FHist *h) {
        return compact(a, h, NULL);
}

/* ---- zero buckets ---- */

/* Adds what is below the threshold on one side to *count; false when the threshold is within a bucket that is not
 * empty, which *threshold is then the end of. */
static bool zero_side(const FHist *h, const Side *s, bool negative, double *threshold, double *count, double *lost) {
        FHistWalk w = fhist_walk(h, negative, h->schema), l = walk_lost(&w, s);
        while (fhist_walk_next(&w) && fhist_walk_next(&l)) {
                if (fhist_bound(h, w.index - 1) >= *threshold)
                        return true;
                *count += w.count;
                *lost += s->lost ? l.count : 0;
                double upper = fhist_bound(h, w.index);
                if (upper > *threshold) {
                        if (w.count == 0)
                                return true;
                        *threshold = upper;
                        return false;
                }
        }
        return true;
}

/* What the zero bucket of h has at a threshold that is not less than its own, which is widened where it would cut a
 * bucket. */
static double widened_zero_count(const FHist *h, const FHist *c, double *threshold, double *ret_lost) {
        *ret_lost = c ? c->zero_count : 0;
        if (*threshold == h->zero_threshold)
                return h->zero_count;
        Side positive = get_side(h, c, false), negative = get_side(h, c, true);
        for (;;) {
                double count = h->zero_count;
                *ret_lost = c ? c->zero_count : 0;
                (void)zero_side(h, &positive, false, threshold, &count, ret_lost);
                if (zero_side(h, &negative, true, threshold, &count, ret_lost))
                        return count;
                /* Now there may be more of the positive ones in it. */
        }
}

static void clear_below(FHist *h, FHist *c, bool negative) {
        Side s = get_side(h, c, negative);
        uint32_t i = 0;
        for (FHistWalk w = fhist_walk(h, negative, h->schema); fhist_walk_next(&w); i++) {
                if (fhist_bound(h, w.index - 1) >= h->zero_threshold)
                        return;
                s.counts[i] = 0;
                if (s.lost)
                        s.lost[i] = 0;
        }
}

/* Makes the zero bucket of h as wide as it takes for both; returns what other's has at that width. */
static int reconcile_zero(Arena *a, FHist *h, FHist *c, const FHist *other, double *ret_count) {
        double count = other->zero_count, threshold = other->zero_threshold, lost;
        while (threshold != h->zero_threshold) {
                if (h->zero_threshold > threshold) {
                        threshold = h->zero_threshold;
                        count = widened_zero_count(other, NULL, &threshold, &lost);
                }
                if (threshold <= h->zero_threshold)
                        continue;
                double wider = threshold;
                h->zero_count = widened_zero_count(h, c, &wider, &lost);
                h->zero_threshold = wider;
                if (c) {
                        c->zero_count = lost;
                        c->zero_threshold = wider;
                }
                clear_below(h, c, false);
                clear_below(h, c, true);
                int r = compact(a, h, c);
                if (r < 0)
                        return r;
        }
        *ret_count = count;
        return 0;
}

/* ---- custom bounds ---- */

static int common_bounds(Arena *a, const FHist *x, const FHist *y, double **ret_bounds, uint32_t *ret_n) {
        uint32_t n = 0;
        double *bounds = ARENA_ARRAY(a, double, x->n_custom);
        if (!bounds)
                return a->error;
        for (uint32_t i = 0, k = 0; i < x->n_custom && k < y->n_custom;) {
                double u = x->custom_bounds[i], v = y->custom_bounds[k];
                if (u == v)
                        bounds[n++] = u;
                i += u <= v;
                k += v <= u;
        }
        *ret_bounds = bounds;
        *ret_n = n;
        return 0;
}

/* A copy of h's buckets under fewer bounds. */
static int coarsen(Arena *a, FHist *h, FHist *c, const double *bounds, uint32_t n) {
        Side s = get_side(h, c, false);
        Builder b;
        if (!builder_init(&b, a, s.n, s.lost))
                return a->error;
        int64_t target = 0, last = -1;
        double count = 0, lost = 0;
        FHistWalk w = fhist_walk(h, false, h->schema), l = walk_lost(&w, &s);
        while (fhist_walk_next(&w) && fhist_walk_next(&l)) {
                double bound = fhist_bound(h, w.index);
                while (target < n && bounds[target] < bound)
                        target++;
                if (target != last && last >= 0)
                        builder_put(&b, last, count, lost);
                if (target != last)
                        count = lost = 0;
                last = target;
                count += w.count;
                lost += s.lost ? l.count : 0;
        }
        if (last >= 0)
                builder_put(&b, last, count, lost);
        put_side(h, c, false, &b.s);
        h->custom_bounds = bounds;
        h->n_custom = n;
        if (c) {
                c->custom_bounds = bounds;
                c->n_custom = n;
        }
        return 0;
}

static bool same_bounds(const FHist *x, const FHist *y) {
        if (x->n_custom != y->n_custom)
                return false;
        for (uint32_t i = 0; i < x->n_custom; i++)
                if (x->custom_bounds[i] != y->custom_bounds[i])
                        return false;
        return true;
}

/* ---- adding ---- */

/* What is done with each bucket: sum += sign * v, what is lost to `lost` if there is one. */
static void add_to(double *sum, double *lost, double sign, double v) {
        if (!lost) {
                *sum += sign * v;
                return;
        }
        KahanSum k = { *sum, *lost };
        kahan_add(&k, sign * v);
        *sum = k.sum;
        *lost = k.c;
}

static bool same_layout(const Side *x, const Side *y) {
        if (x->n_spans != y->n_spans || x->n != y->n)
                return false;
        for (uint32_t i = 0; i < x->n_spans; i++)
                if (x->spans[i].offset != y->spans[i].offset || x->spans[i].length != y->spans[i].length)
                        return false;
        return true;
}

/* The side of h with room for all buckets of the other, which are as in `walk` (its first bucket found if `has`). */
static int merge_side(Arena *a, FHist *h, FHist *c, bool negative, FHistWalk walk, bool has, size_t n_other,
                      double sign) {
        Side s = get_side(h, c, negative);
        Builder b;
        if (!builder_init(&b, a, (size_t)s.n + n_other, s.lost))
                return a->error;
        FHistWalk w = fhist_walk(h, negative, h->schema), l = walk_lost(&w, &s);
        bool own = fhist_walk_next(&w) && fhist_walk_next(&l);
        while (own || has) {
                int64_t index = own && (!has || w.index <= walk.index) ? w.index : walk.index;
                double count = 0, lost = 0;
                if (own && w.index == index) {
                        count = w.count;
                        lost = s.lost ? l.count : 0;
                        own = fhist_walk_next(&w) && fhist_walk_next(&l);
                }
                if (has && walk.index == index) {
                        add_to(&count, s.lost ? &lost : NULL, sign, walk.count);
                        has = fhist_walk_next(&walk);
                }
                builder_put(&b, index, count, lost);
        }
        put_side(h, c, negative, &b.s);
        return 0;
}

static int add_side(Arena *a, FHist *h, FHist *c, const FHist *other, bool negative, double sign) {
        Side s = get_side(h, c, negative), o = get_side(other, NULL, negative);
        FHistWalk walk = fhist_walk_outside(other, negative, h->schema, h->zero_threshold);
        bool has = fhist_walk_next(&walk);
        if (!has)
                return 0;
        if (other->schema == h->schema && walk.at == 1 && same_layout(&s, &o)) {
                for (uint32_t i = 0; i < s.n; i++)
                        add_to(&s.counts[i], s.lost ? &s.lost[i] : NULL, sign, o.counts[i]);
                return 0;
        }
        return merge_side(a, h, c, negative, walk, has, o.n, sign);
}

/* Counters of which one began anew and the other did not give something of which that is unknown. */
static void adjust_reset(FHist *h, const FHist *other, FHistNotes *notes) {
        if (other->reset == h->reset || h->reset == FHIST_RESET_GAUGE)
                return;
        if (other->reset == FHIST_RESET_GAUGE) {
                h->reset = FHIST_RESET_GAUGE;
                return;
        }
        if (h->reset != FHIST_RESET_UNKNOWN && other->reset != FHIST_RESET_UNKNOWN)
                notes->reset_collision = true;
        h->reset = FHIST_RESET_UNKNOWN;
}

static int add_custom(Arena *a, FHist *h, FHist *c, const FHist *other, double sign, FHistNotes *notes) {
        if (same_bounds(h, other))
                return add_side(a, h, c, other, false, sign);
        notes->custom_mismatch = true;
        double *bounds = NULL;
        uint32_t n = 0;
        FHist coarse = *other;
        int r = common_bounds(a, h, other, &bounds, &n);
        if (r == 0)
                r = coarsen(a, h, c, bounds, n);
        if (r == 0)
                r = coarsen(a, &coarse, NULL, bounds, n);
        if (r == 0)
                r = add_side(a, h, c, &coarse, false, sign);
        return r < 0 ? r : compact(a, h, c);
}

static int add(Arena *a, FHist *h, FHist *c, const FHist *other, double sign, FHistNotes *notes) {
        if (fhist_is_custom(h) != fhist_is_custom(other)) {
                notes->mixed_schemas = true;
                return -EINVAL;
        }
        adjust_reset(h, other, notes);
        double zero = 0;
        int r = 0;
        if (!fhist_is_custom(h))
                r = reconcile_zero(a, h, c, other, &zero);
        if (r < 0)
                return r;
        add_to(&h->zero_count, c ? &c->zero_count : NULL, sign, zero);
        add_to(&h->count, c ? &c->count : NULL, sign, other->count);
        add_to(&h->sum, c ? &c->sum : NULL, sign, other->sum);
        if (fhist_is_custom(h))
                return add_custom(a, h, c, other, sign, notes);
        if (other->schema < h->schema)
                r = reduce(a, h, c, other->schema);
        if (r == 0)
                r = add_side(a, h, c, other, false, sign);
        return r < 0 ? r : add_side(a, h, c, other, true, sign);
}

int fhist_add(Arena *a, FHist *h, const FHist *other, FHistNotes *notes) {
        return add(a, h, NULL, other, 1, notes);
}

int fhist_sub(Arena *a, FHist *h, const FHist *other, FHistNotes *notes) {
        return add(a, h, NULL, other, -1, notes);
}

int fhist_add_exact(Arena *a, FHist *h, FHist **c, const FHist *other, FHistNotes *notes) {
        if (!*c) {
                FHist *lost = fhist_copy(a, h);
                if (!lost)
                        return a->error;
                lost->zero_count = lost->count = lost->sum = 0;
                for (uint32_t i = 0; i < lost->n_positive; i++)
                        lost->positive[i] = 0;
                for (uint32_t i = 0; i < lost->n_negative; i++)
                        lost->negative[i] = 0;
                *c = lost;
        }
        return add(a, h, *c, other, 1, notes);
}

void fhist_settle(FHist *h, const FHist *c) {
        if (!c)
                return;
        h->zero_count += c->zero_count;
        h->count += c->count;
        h->sum += c->sum;
        for (uint32_t i = 0; i < h->n_positive; i++)
                h->positive[i] += c->positive[i];
        for (uint32_t i = 0; i < h->n_negative; i++)
                h->negative[i] += c->negative[i];
}
