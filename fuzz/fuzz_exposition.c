/* Any bytes as an exposition: the first one says whether it is OpenMetrics. Every item is looked at byte by byte; an error has a
 * place within the input. */
#include "wire/exposition_parse.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static uint64_t look_at(Span s) {
        uint64_t sum = 0;
        for (size_t i = 0; i < s.len; i++)
                sum += (uint8_t)s.text[i];
        return sum;
}

static uint64_t check(const ExpositionItem *i) {
        uint64_t sum = 0;
        if (i->kind != EXPOSITION_SAMPLE)
                return look_at(i->metric) + look_at(i->text);
        assert(i->n_labels >= 1 && i->n_labels <= LABELS_MAX && span_is(i->labels[0].name, METRIC_NAME_LABEL) && i->labels[0].value.len > 0);
        for (size_t k = 0; k < i->n_labels; k++)
                sum += look_at(i->labels[k].name) + look_at(i->labels[k].value);
        return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        volatile uint64_t sum = 0; /* so that the reads stay */
        if (n == 0)
                return 0;
        CLEANUP_FREE ExpositionItem *item = malloc(sizeof *item);
        CLEANUP_FREE char *copy = malloc(n);
        ExpositionParser p;
        int r;
        uint32_t line = 0;
        assert(item && copy);
        memcpy(copy, bytes + 1, n - 1);
        exposition_begin(&p, copy, n - 1, bytes[0] & 1, 1);
        while ((r = exposition_next(&p, item)) > 0) {
                assert(item->line > line);
                line = item->line;
                sum += check(item);
        }
        if (r < 0)
                assert(r == -EBADMSG && p.error.what && p.error.line >= 1 && p.error.column >= 1 && p.error.column <= n);
        exposition_end(&p);
        (void)sum;
        return 0;
}
