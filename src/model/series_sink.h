/* Where samples of labelled series are written: by remote write, by imports, by scrapes, by the collectors' samples on their
 * way to the store. The store is one such sink; tests use a recording one.
 *
 * One request is begin(), any number of series and samples, end(). What is wrong with one series or sample is answered at
 * once and leaves the others alone. end() gives a *ticket*: the request is durable, and may be acknowledged, when durable() has
 * reached it. All calls borrow their arguments and come from the thread that owns the sink. */
#pragma once

#include "base/time.h"
#include "model/group.h"
#include "model/labels.h"

typedef uint32_t SeriesRef; /* valid until the request's end */

typedef enum SampleFault {
        SAMPLE_OK = 0,
        SAMPLE_LABELS,         /* the series' labels are not acceptable; see LabelsFault */
        SAMPLE_DUPLICATE,      /* another value for an instant that the series has already */
        SAMPLE_TOO_OLD,        /* further behind the newest sample of its series than the out-of-order window */
        SAMPLE_EXPIRED,        /* older than what is kept */
        SAMPLE_TOO_NEW,        /* further ahead of the clock than 10 minutes */
        SAMPLE_BAD_HISTOGRAM,  /* not a histogram by the rules of remote write */
        SAMPLE_SERIES_LIMIT,   /* the source, the VM or the store has as many active series as it may */
        SAMPLE_CHURN_LIMIT,    /* the source or the VM has made as many new series this hour as it may */
        SAMPLE_NO_MEMORY,
        SAMPLE_FAULT_COUNT
} SampleFault;

/* "out_of_order", ...: for metrics' `reason` and for machines; and a sentence for people. */
const char *sample_fault_name(SampleFault f);
const char *sample_fault_text(SampleFault f);
/* Whether the sender may try again later (limits, memory): 429 or 503 rather than 400. */
bool sample_fault_is_temporary(SampleFault f);

typedef struct SeriesSink SeriesSink;
struct SeriesSink {
        /* `source` names who sends, for limits and counters ("remote_write", "local", ...). 0; or why nothing can be
         * taken now: -ENOSPC (disk), -EROFS (the log is broken), -ETIMEDOUT (the disk hangs), -ENOBUFS (too much waits for the disk), -ENOMEM. */
        int (*begin)(SeriesSink *s, const char *source);
        /* The series of a canonical run (checked: *ret_fault says what is wrong with it). */
        SampleFault (*series)(SeriesSink *s, const uint8_t *run, size_t len, SeriesRef *ret_ref, LabelsFault *ret_fault);
        /* n samples of one series, ascending or not. Takes those it can; returns the first fault, *ret_taken is how many were
         * taken. A sample that is there already with the same bits is taken. */
        SampleFault (*floats)(SeriesSink *s, SeriesRef ref, const int64_t *times_ms, const double *values, size_t n, size_t *ret_taken);
        /* A native histogram as canonical bytes (see model/histogram.h), which the caller has validated. */
        SampleFault (*histogram)(SeriesSink *s, SeriesRef ref, int64_t time_ms, const uint8_t *bytes, size_t n);
        /* An exemplar of a series; its labels as a canonical run without a metric's name, perhaps empty. Kept or not, as the sink can: false
         * when it is not, which is no fault of the request. */
        bool (*exemplar)(SeriesSink *s, SeriesRef ref, const uint8_t *labels, size_t len, double value, int64_t time_ms);
        /* What a metric is. METRIC_UNTYPED when unknown. */
        void (*metadata)(SeriesSink *s, Span metric, MetricType type, Span help, Span unit);
        /* *ret_ticket is for durable(). As begin(): a negative errno means that nothing of the request may be acknowledged
         * (though it may become visible). */
        int (*end)(SeriesSink *s, uint64_t *ret_ticket);
        /* Requests up to this ticket are durable. Any thread. */
        uint64_t (*durable)(SeriesSink *s);
};
