/* Writer of the exposition formats: Prometheus text 0.0.4 and OpenMetrics 1.0.
 *
 *   Expo e = { .out = body, .openmetrics = false };
 *   expo_family(&e, "node_load1", METRIC_GAUGE, "1m load average.");
 *   expo_sample(&e, parts, n_parts, 0.25);
 *   ... all samples of the family, then the next family ...
 *   expo_end(&e);
 *
 * A family's head is written with its first sample, so a family without samples leaves no trace. Nothing
 * is allocated but the output. Label parts are already escaped: `name="value"` pairs joined by commas,
 * any part may be empty. Errors are the buffer's own: buf_error(e.out). */
#pragma once

#include "base/buf.h"
#include "base/scan.h"
#include "model/group.h"

#define EXPO_TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define EXPO_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

typedef struct Expo Expo;
struct Expo {
        Buf *out;
        bool openmetrics;
        const char *name, *help; /* of the family under way */
        size_t name_len;
        MetricType type;
        bool started; /* its head is written */
        uint64_t samples;
};

void expo_family(Expo *e, const char *name, MetricType type, const char *help);
void expo_sample(Expo *e, const Span *parts, size_t n_parts, double value);
/* Nothing may follow. */
void expo_end(Expo *e);

/* Appends `key="escaped value"`, with a comma before it when `out` has text after `start`. */
void expo_put_label(Buf *out, size_t start, const char *key, const char *value, size_t n);

/* Whether an Accept header prefers OpenMetrics to the text format, by media range and q. */
bool expo_accepts_openmetrics(const char *accept);
