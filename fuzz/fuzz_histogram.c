/* Any bytes as a histogram. What is taken reads back from its canonical bytes to the same bytes, and holds what it promises. */
#include "model/histogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_side(const HistogramSide *s) {
        uint64_t covered = 0;
        assert(s->n_spans <= HISTOGRAM_BUCKETS_MAX && s->n_buckets <= HISTOGRAM_BUCKETS_MAX);
        for (uint32_t i = 0; i < s->n_spans; i++)
                covered += s->spans[i].length;
        assert(covered == s->n_buckets);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        CLEANUP_FREE Histogram *h = malloc(sizeof *h);
        CLEANUP_FREE uint8_t *copy = malloc(n ? n : 1);
        CLEANUP(buf_deinit) Buf first = BUF_NULL, second = BUF_NULL;
        const char *why = NULL;
        int64_t time;
        assert(h && copy);
        memcpy(copy, bytes, n);
        if (histogram_parse(copy, n, h, &time, &why) < 0) {
                assert(why && why[0]);
                return 0;
        }
        check_side(&h->negative);
        check_side(&h->positive);
        assert(h->schema == -53 || (h->schema >= -4 && h->schema <= 8));
        histogram_write(h, &first);
        assert(first.len <= HISTOGRAM_BYTES_MAX);
        int r = histogram_parse((const uint8_t *)(first.data ? first.data : ""), first.len, h, &time, &why);
        assert(r == 0 && time == 0);
        histogram_write(h, &second);
        assert(first.len == second.len && (first.len == 0 || memcmp(first.data, second.data, first.len) == 0));
        return 0;
}
