/* The notation of series in test scripts: `metric{a="b"} 0+10x100 _ stale {{schema:0 count:1 buckets:[1]}}x3`, as
 * promtool's unit tests have it. A line gives the labels of one series and what it has at each of the steps. */
#pragma once

#include "base/scan.h"
#include "model/histogram.h"
#include "query/fhist.h"

typedef struct NotedValue {
        bool omitted;
        bool reset_noted; /* counter_reset_hint was written */
        double v;         /* where h is NULL; may be the staleness marker */
        FHist *h;
} NotedValue;

typedef struct NotedSeries {
        Buf run; /* canonical labels */
        NotedValue *values;
        size_t n, cap;
} NotedSeries;

/* 0 or -EINVAL with the reason in ret_error. Histograms are in the arena. */
int notation_parse(Arena *a, Span line, NotedSeries *ret_series, Buf *ret_error) MUST_USE;
void noted_series_deinit(NotedSeries *s);

/* "90s", "1h30m", "0", "250ms", "1w" as milliseconds. */
bool notation_duration(Span text, int64_t *ret_ms);
/* A quoted text with its escapes, at the scan's place. */
bool notation_string(Scan *s, Buf *ret_text);
