/* Any bytes as a run of labels. What is accepted is canonical: building the labels anew, backwards, gives the same bytes. */
#include "model/labels.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_again(const uint8_t *run, size_t len, const Label *labels, size_t n) {
        Label split[LABELS_MAX], backwards[LABELS_MAX];
        assert(labels_split(run, len, split) == n);
        for (size_t i = 0; i < n; i++)
                backwards[n - 1 - i] = labels[i];
        CLEANUP(buf_deinit) Buf built = BUF_NULL, printed = BUF_NULL;
        LabelsFault fault = labels_build(backwards, n, &built);
        assert(fault == LABELS_OK && built.len == len && memcmp(built.data, run, len) == 0);
        assert(labels_compare(run, len, (uint8_t *)built.data, built.len) == 0);
        labels_print(run, len, &printed);
        Span name;
        assert(labels_get(run, len, METRIC_NAME_LABEL, &name) && name.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        Label labels[LABELS_MAX];
        size_t count = 0, at = 0;
        /* A copy of the exact size: the sanitizer sees a read beyond it. */
        CLEANUP_FREE uint8_t *run = malloc(n ? n : 1);
        assert(run);
        memcpy(run, bytes, n);
        LabelsFault fault = labels_parse(run, n, labels, &count, &at);
        assert(fault < LABELS_FAULT_COUNT && at <= LABELS_MAX);
        if (fault == LABELS_OK)
                check_again(run, n, labels, count);
        return 0;
}
