/* Random native histograms against a calculation that is as plain as can be: an array of counts for each side, one
 * bucket after the other. Counts are small whole numbers, so that sums are exact in any order. */
#include "query/fhist_priv.h"
#include "query/test_function.h"

#include <stdlib.h>

#define HALF 400 /* indices from -HALF to HALF */
#define ROUNDS 3000

typedef struct Plain {
        int32_t schema;
        double threshold, zero, count, sum;
        double side[2][2 * HALF + 1]; /* positive, negative; HALF is index 0 */
} Plain;

static double upper_of(const Plain *p, int i) {
        return fhist_bound_exponential(i, p->schema);
}

/* Spans of random lengths and gaps, some empty, and some empty buckets. */
static void random_side(Bench *b, FHist *h, bool negative) {
        uint32_t n_spans = (uint32_t)rand() % 4, n = 0;
        HistogramSpan *spans = ARENA_ARRAY(&b->arena, HistogramSpan, n_spans);
        double *counts = ARENA_ARRAY(&b->arena, double, 64);
        assert_true(spans && counts);
        for (uint32_t i = 0; i < n_spans; i++) {
                spans[i] = (HistogramSpan){ i ? rand() % 5 : rand() % 21 - 10, (uint32_t)rand() % 6 };
                for (uint32_t k = 0; k < spans[i].length; k++, n++)
                        counts[n] = rand() % 3 ? rand() % 50 : 0;
        }
        for (uint32_t i = 0; i < n; i++)
                h->count += counts[i];
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

static FHist *random_hist(Bench *b) {
        static const double THRESHOLDS[] = { 0, 0.001, 0.5, 1, 1.3, 2, 7 };
        FHist *h = HIST(b, .schema = rand() % 6 - 2, .sum = rand() % 1000);
        random_side(b, h, false);
        random_side(b, h, true);
        h->zero_threshold = THRESHOLDS[rand() % ARRAY_LEN(THRESHOLDS)];
        h->zero_count = rand() % 10;
        h->count += h->zero_count;
        return h;
}

static void plain_side(const FHist *h, bool negative, double *side) {
        const HistogramSpan *spans = negative ? h->negative_spans : h->positive_spans;
        const double *counts = negative ? h->negative : h->positive;
        int index = 0;
        for (uint32_t i = 0; i < (negative ? h->n_negative_spans : h->n_positive_spans); i++) {
                index += spans[i].offset;
                for (uint32_t k = 0; k < spans[i].length; k++) {
                        assert_true(index >= -HALF && index <= HALF);
                        side[index++ + HALF] += *counts++;
                }
        }
}

static Plain plain(const FHist *h) {
        Plain p = { .schema = h->schema,
                    .threshold = h->zero_threshold,
                    .zero = h->zero_count,
                    .count = h->count,
                    .sum = h->sum };
        plain_side(h, false, p.side[0]);
        plain_side(h, true, p.side[1]);
        return p;
}

/* Bucket i of a schema that is one lower holds 2i - 1 and 2i. */
static void lower_schema(Plain *p) {
        Plain low = *p;
        low.schema--;
        memset(low.side, 0, sizeof low.side);
        for (int s = 0; s < 2; s++)
                for (int i = -HALF / 2 + 1; i <= HALF / 2; i++)
                        low.side[s][i + HALF] = p->side[s][2 * i - 1 + HALF] + p->side[s][2 * i + HALF];
        *p = low;
}

/* The end of a filled bucket that the threshold cuts, or the threshold. */
static double uncut(const Plain *p, double threshold) {
        for (int s = 0; s < 2; s++)
                for (int i = -HALF; i <= HALF; i++)
                        if (p->side[s][i + HALF] != 0 && upper_of(p, i - 1) < threshold && upper_of(p, i) > threshold)
                                return upper_of(p, i);
        return threshold;
}

static void widen(Plain *p, double threshold) {
        if (threshold == p->threshold)
                return;
        p->threshold = threshold;
        for (int s = 0; s < 2; s++)
                for (int i = -HALF; i <= HALF; i++)
                        if (upper_of(p, i) <= threshold) {
                                p->zero += p->side[s][i + HALF];
                                p->side[s][i + HALF] = 0;
                        }
}

/* Both get the least threshold that neither has to cut a bucket for. */
static void same_threshold(Plain *x, Plain *y) {
        if (x->threshold == y->threshold)
                return;
        double threshold = fmax(x->threshold, y->threshold), before;
        do {
                before = threshold;
                if (threshold != x->threshold)
                        threshold = uncut(x, threshold);
                if (threshold != y->threshold)
                        threshold = uncut(y, threshold);
        } while (threshold != before);
        widen(x, threshold);
        widen(y, threshold);
}

/* What is within the zero bucket, in its own resolution, is counted there. */
static void add_plain(Plain *x, Plain *y, double sign) {
        same_threshold(x, y);
        for (int s = 0; s < 2; s++)
                for (int i = -HALF; i <= HALF; i++)
                        if (upper_of(y, i) <= x->threshold)
                                y->side[s][i + HALF] = 0;
        while (x->schema > y->schema)
                lower_schema(x);
        while (y->schema > x->schema)
                lower_schema(y);
        x->zero += sign * y->zero;
        x->count += sign * y->count;
        x->sum += sign * y->sum;
        for (int s = 0; s < 2; s++)
                for (int i = -HALF; i <= HALF; i++)
                        x->side[s][i + HALF] += sign * y->side[s][i + HALF];
}

static void assert_plain(const FHist *h, const Plain *wanted, int round) {
        Plain got = plain(h);
        if (got.schema != wanted->schema || got.threshold != wanted->threshold || got.zero != wanted->zero ||
            got.count != wanted->count || got.sum != wanted->sum)
                fail_msg("round %d: schema %d threshold %g zero %g count %g, not %d %g %g %g", round, got.schema,
                         got.threshold, got.zero, got.count, wanted->schema, wanted->threshold, wanted->zero,
                         wanted->count);
        for (int s = 0; s < 2; s++)
                for (int i = -HALF; i <= HALF; i++)
                        if (got.side[s][i + HALF] != wanted->side[s][i + HALF])
                                fail_msg("round %d: %s bucket %d is %g, not %g", round, s ? "negative" : "positive", i,
                                         got.side[s][i + HALF], wanted->side[s][i + HALF]);
}

static void sums_and_differences(void **state) {
        Bench *b = *state;
        srand(11);
        for (int round = 0; round < ROUNDS; round++) {
                FHist *x = random_hist(b), *y = random_hist(b), *exact = fhist_copy(&b->arena, x), *lost = NULL;
                double sign = rand() % 2 ? 1 : -1;
                FHistNotes notes = { 0 };
                Plain px = plain(x), py = plain(y);
                add_plain(&px, &py, sign);
                assert_int_equal(sign > 0 ? fhist_add(&b->arena, x, y, &notes) : fhist_sub(&b->arena, x, y, &notes), 0);
                assert_plain(x, &px, round);
                assert_int_equal(fhist_compact(&b->arena, x), 0);
                assert_plain(x, &px, round);
                for (uint32_t i = 0; i < x->n_positive; i++)
                        assert_true(x->positive[i] != 0);
                for (uint32_t i = 1; i < x->n_positive_spans; i++)
                        assert_true(x->positive_spans[i].offset > 0 && x->positive_spans[i].length > 0);
                if (sign < 0)
                        continue;
                assert_int_equal(fhist_add_exact(&b->arena, exact, &lost, y, &notes), 0);
                fhist_settle(exact, lost);
                assert_plain(exact, &px, round);
        }
}

static void lower_resolutions(void **state) {
        Bench *b = *state;
        srand(12);
        for (int round = 0; round < 300; round++) {
                FHist *h = random_hist(b);
                Plain p = plain(h);
                for (int32_t schema = h->schema; schema >= -4; schema--) {
                        FHist *low = fhist_copy_to_schema(&b->arena, h, schema);
                        assert_non_null(low);
                        assert_plain(low, &p, round);
                        lower_schema(&p);
                }
        }
}

/* counters that grow are no resets, whatever layout they are shown in; those of which something is taken are */
static void growth_and_resets(void **state) {
        Bench *b = *state;
        srand(13);
        for (int round = 0; round < 1000; round++) {
                FHist *before = random_hist(b), *more = random_hist(b), *now = fhist_copy(&b->arena, before);
                FHistNotes notes = { 0 };
                assert_int_equal(fhist_add(&b->arena, now, more, &notes), 0);
                assert_false(fhist_is_reset(now, before));
                assert_false(fhist_is_reset(before, before));
                if (more->count > 0)
                        assert_true(fhist_is_reset(before, now));
                if (before->zero_threshold == 0 && before->n_positive && before->positive[0] > 0) {
                        FHist *moved = fhist_copy(&b->arena, before);
                        moved->positive[0]--;
                        moved->zero_count++;
                        assert_true(fhist_is_reset(moved, before));
                }
        }
}

/* a quantile is where its fraction of the observations is below, and quantiles ascend */
static void quantiles_and_fractions(void **state) {
        Bench *b = *state;
        srand(14);
        for (int round = 0; round < 500; round++) {
                FHist *h = random_hist(b);
                double last = -INFINITY;
                bool nan;
                h->zero_threshold = 1e-300; /* so that it overlaps with no bucket */
                if (h->schema > 0 || h->count == 0)
                        continue;
                for (int i = 1; i < 20; i++) {
                        double q = i / 20., v = fhist_quantile(h, q, &nan), f = fhist_fraction(h, -INFINITY, v);
                        assert_false(nan);
                        assert_true(isinf(last) || v >= last - 1e-9 * fabs(last));
                        if (!(fabs(f - q) < 1e-9))
                                fail_msg("round %d: %g below %.17g, the quantile %g", round, f, v, q);
                        last = v;
                }
                assert_near(fhist_fraction(h, -INFINITY, INFINITY), 1);
        }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = { TEST(sums_and_differences), TEST(lower_resolutions),
                                            TEST(growth_and_resets), TEST(quantiles_and_fractions) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
