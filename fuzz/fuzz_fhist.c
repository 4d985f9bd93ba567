/* Native histograms from any bytes, alone and with each other: whatever is calculated with them ends, stays within its
 * arrays, and leaves a layout that is in order. Two lengths of two bytes, then two messages. */
#include "query/fhist_priv.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_side(const HistogramSpan *spans, uint32_t n_spans, uint32_t n) {
        uint64_t covered = 0;
        for (uint32_t i = 0; i < n_spans; i++)
                covered += spans[i].length;
        assert(covered == n);
}

static void check(const FHist *h) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        bool nan;
        check_side(h->positive_spans, h->n_positive_spans, h->n_positive);
        check_side(h->negative_spans, h->n_negative_spans, h->n_negative);
        assert(h->schema == FHIST_CUSTOM || (h->schema >= -4 && h->schema <= 8));
        assert(fhist_equal(h, h));
        fhist_print(h, &text);
        fhist_json(h, &text);
        for (int i = -1; i <= 11; i++)
                (void)fhist_quantile(h, i / 10., &nan);
        (void)fhist_fraction(h, -INFINITY, 1);
        (void)fhist_fraction(h, -1, 2.5);
        (void)fhist_variance(h);
}

static void calculate(Arena *a, const FHist *x, const FHist *y) {
        FHistNotes notes = { 0 };
        FHist *sum = fhist_copy(a, x), *difference = fhist_copy(a, x), *exact = fhist_copy(a, x), *lost = NULL;
        if (!sum || !difference || !exact)
                return;
        (void)fhist_is_reset(x, y);
        if (fhist_add(a, sum, y, &notes) == 0) {
                check(sum);
                if (fhist_compact(a, sum) == 0)
                        check(sum);
        }
        if (fhist_sub(a, difference, y, &notes) == 0) {
                check(difference);
                (void)fhist_is_reset(difference, sum);
                fhist_divide(difference, -3);
                fhist_scale(difference, 1e308);
                check(difference);
        }
        if (fhist_add_exact(a, exact, &lost, y, &notes) == 0 && fhist_add_exact(a, exact, &lost, x, &notes) == 0) {
                fhist_settle(exact, lost);
                check(exact);
        }
        for (int upper = 0; upper < 2; upper++) {
                FHist *part = fhist_trim(a, x, y->zero_threshold, upper);
                if (part)
                        check(part);
                part = fhist_trim(a, x, -1.5, upper);
                if (part)
                        check(part);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        ArenaBudget budget = ARENA_BUDGET((size_t)8 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        FHist *x, *y;
        if (n < 2)
                return 0;
        size_t first = (size_t)bytes[0] << 8 | bytes[1];
        bytes += 2;
        n -= 2;
        if (first > n)
                first = n;
        if (fhist_decode(&a, bytes, first, &x) < 0)
                return 0;
        check(x);
        if (fhist_decode(&a, bytes + first, n - first, &y) < 0)
                return 0;
        calculate(&a, x, y);
        calculate(&a, y, x);
        return 0;
}
