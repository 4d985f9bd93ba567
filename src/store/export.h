/* The store as text: its series and samples, and what it consists of. */
#pragma once

#include "store/store.h"

/* Writes a piece of text; a negative answer ends the export with it. */
typedef int (*StoreEmit)(void *context, const char *text, size_t n);

typedef struct StoreExport {
        StoreTier tier;
        RollupColumn column; /* of the rolled-up tiers */
        const Matcher *matchers;
        size_t n_matchers;
        int64_t begin_ms, end_ms; /* begin < t <= end */
} StoreExport;

/* Every sample as a line of the Prometheus text format with its time in ms: `name{label="value"} 1.5 1700000000000`.
 * Numbers read back bit for bit; a staleness marker is `StaleNaN`, other NaNs with a payload `NaN(0x7ff8000000000001)`.
 * Of histograms there is a comment with the time and the bytes in base 16. Returns the number of samples, or a negative
 * errno. */
int64_t store_export(Store *s, const StoreExport *x, StoreEmit emit, void *context) MUST_USE;

/* {"tiers": [...], "head": {...}, "log": {...}} */
void store_info_json(Store *s, Buf *out);
