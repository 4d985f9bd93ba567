/* What metrics are (type, help, unit), for who sends them on: told by whoever writes samples, looked up by name.
 * Bounded; the first come stay. Private to src/forward. */
#pragma once

#include "model/group.h"
#include "model/labels.h"

#define DESCRIBED_MAX 20000u
#define DESCRIBED_TEXT_MAX 4096u /* of a help, the rest is cut */

typedef struct DescribedMetric {
        char *name, *help, *unit;
        size_t name_len, help_len, unit_len;
        MetricType type;
        uint64_t stamp; /* of the message in which they are symbols, for the encoder */
        uint32_t help_symbol, unit_symbol;
} DescribedMetric;

typedef struct Described {
        DescribedMetric *metrics;
        size_t n, cap;
        uint32_t *table; /* of indexes + 1; by hash of the name */
        size_t table_size;
        uint64_t changes;
} Described;

#define DESCRIBED_NULL ((Described){ 0 })

void described_deinit(Described *d);
/* Remembers it, or what it has become. What cannot be remembered is not told. */
void described_tell(Described *d, Span metric, MetricType type, Span help, Span unit);
/* NULL: nothing is known. Valid until the next described_tell(). */
DescribedMetric *described_find(const Described *d, Span metric);
