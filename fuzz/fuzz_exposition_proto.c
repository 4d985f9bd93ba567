/* Any bytes as a protobuf exposition: the first one says whether classic histograms are wanted beside native ones.
 * Every item is looked at byte by byte; a native histogram is canonical. */
#include "wire/exposition_proto.h"

#include "model/histogram.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static uint64_t look_at(Span s) {
        uint64_t sum = 0;
        for (size_t i = 0; i < s.len; i++)
                sum += (uint8_t)s.text[i];
        return sum;
}

static void check_histogram(Span bytes) {
        static Histogram h;
        CLEANUP(buf_deinit) Buf again = BUF_NULL;
        int64_t time;
        const char *why;
        int r = histogram_parse((const uint8_t *)bytes.text, bytes.len, &h, &time, &why);
        assert(r == 0);
        histogram_write(&h, &again);
        assert(again.len == bytes.len && (bytes.len == 0 || memcmp(again.data, bytes.text, bytes.len) == 0));
}

static uint64_t check(const ExpositionItem *i) {
        uint64_t sum = 0;
        if (i->kind != EXPOSITION_SAMPLE && i->kind != EXPOSITION_HISTOGRAM)
                return look_at(i->metric) + look_at(i->text);
        assert(i->n_labels >= 1 && i->n_labels <= LABELS_MAX && span_is(i->labels[0].name, METRIC_NAME_LABEL));
        for (size_t k = 0; k < i->n_labels; k++)
                sum += look_at(i->labels[k].name) + look_at(i->labels[k].value);
        if (i->kind == EXPOSITION_HISTOGRAM)
                check_histogram(i->histogram);
        return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        volatile uint64_t sum = 0; /* so that the reads stay */
        if (n == 0)
                return 0;
        CLEANUP_FREE ExpositionItem *item = malloc(sizeof *item);
        CLEANUP_FREE uint8_t *copy = malloc(n);
        ExpositionProto *p = NULL;
        assert(item && copy);
        memcpy(copy, bytes + 1, n - 1);
        int r = exposition_proto_begin(copy, n - 1, bytes[0] & 1, &p);
        assert(r == 0);
        while ((r = exposition_proto_next(p, item)) > 0)
                sum += check(item);
        if (r < 0)
                assert(r == -EBADMSG && exposition_proto_error(p)->what);
        (void)exposition_proto_end(p);
        (void)sum;
        return 0;
}
