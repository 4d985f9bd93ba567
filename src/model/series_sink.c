/* Names and sentences of what can be wrong with a sample. */
#include "model/series_sink.h"

#include "base/cleanup.h"

#include <assert.h>

static const struct {
        const char *name, *text;
        bool temporary;
} FAULTS[] = {
        [SAMPLE_OK] = { "ok", "taken", false },
        [SAMPLE_LABELS] = { "labels", "the labels are not acceptable", false },
        [SAMPLE_DUPLICATE] = { "duplicate", "there is another value at this time already", false },
        [SAMPLE_TOO_OLD] = { "out_of_order", "further behind the series' newest sample than the out-of-order window", false },
        [SAMPLE_EXPIRED] = { "expired", "older than what is kept", false },
        [SAMPLE_TOO_NEW] = { "too_new", "more than 10 minutes ahead of the clock", false },
        [SAMPLE_BAD_HISTOGRAM] = { "bad_histogram", "not a valid native histogram", false },
        [SAMPLE_SERIES_LIMIT] = { "series_limit", "too many active series", true },
        [SAMPLE_CHURN_LIMIT] = { "churn_limit", "too many new series in this hour", true },
        [SAMPLE_NO_MEMORY] = { "no_memory", "no memory for it now", true },
};
static_assert(ARRAY_LEN(FAULTS) == SAMPLE_FAULT_COUNT, "every fault has a text");

const char *sample_fault_name(SampleFault f) {
        assert((unsigned)f < SAMPLE_FAULT_COUNT);
        return FAULTS[f].name;
}

const char *sample_fault_text(SampleFault f) {
        assert((unsigned)f < SAMPLE_FAULT_COUNT);
        return FAULTS[f].text;
}

bool sample_fault_is_temporary(SampleFault f) {
        assert((unsigned)f < SAMPLE_FAULT_COUNT);
        return FAULTS[f].temporary;
}
