/* A SeriesSink that keeps what it is given, with the rules of a store that can be told in a line each. Header only, tests only. */
#pragma once

#include "model/series_sink.h"

#include <assert.h>
#include <string.h>

#define RECORD_SERIES_MAX 64
#define RECORD_SAMPLES_MAX 512

typedef struct RecordedSeries {
        uint8_t *run;
        size_t run_len;
        int64_t times[RECORD_SAMPLES_MAX];
        double values[RECORD_SAMPLES_MAX];
        size_t n;
        Buf histogram; /* the last one */
        size_t n_histograms;
} RecordedSeries;

typedef struct Recorder {
        SeriesSink sink;
        RecordedSeries series[RECORD_SERIES_MAX];
        size_t n_series, max_series; /* over max_series: SAMPLE_SERIES_LIMIT */
        int64_t now_ms, window_ms;   /* more than 10 min ahead: too new; behind the newest by more: too old. 0: no rule */
        int begin_error, end_error;
        bool slow;                   /* durable only when the test says so */
        uint64_t ticket, durable;
        unsigned begins, ends, descriptions;
        char metric[64], help[64], unit[64];
        MetricType type;
        unsigned exemplars;
        bool no_exemplars; /* takes none */
        double exemplar_value; /* of the last one */
        int64_t exemplar_ms;
        Buf exemplar_labels;
        char source[32];
} Recorder;

static inline void recorder_deinit(Recorder *r) {
        for (size_t i = 0; i < r->n_series; i++) {
                free(r->series[i].run);
                buf_deinit(&r->series[i].histogram);
        }
        buf_deinit(&r->exemplar_labels);
}

static int record_begin(SeriesSink *s, const char *source) {
        Recorder *r = (Recorder *)s;
        r->begins++;
        (void)snprintf(r->source, sizeof r->source, "%s", source);
        return r->begin_error;
}

static SampleFault record_series(SeriesSink *s, const uint8_t *run, size_t len, SeriesRef *ret_ref, LabelsFault *ret_fault) {
        Recorder *r = (Recorder *)s;
        Label labels[LABELS_MAX];
        size_t n, at;
        *ret_fault = labels_parse(run, len, labels, &n, &at);
        if (*ret_fault)
                return SAMPLE_LABELS;
        for (size_t i = 0; i < r->n_series; i++)
                if (labels_compare(run, len, r->series[i].run, r->series[i].run_len) == 0) {
                        *ret_ref = (SeriesRef)i;
                        return SAMPLE_OK;
                }
        if (r->n_series >= (r->max_series ? r->max_series : RECORD_SERIES_MAX))
                return SAMPLE_SERIES_LIMIT;
        RecordedSeries *x = &r->series[r->n_series];
        x->run = malloc(len);
        assert(x->run);
        memcpy(x->run, run, len);
        x->run_len = len;
        *ret_ref = (SeriesRef)r->n_series++;
        return SAMPLE_OK;
}

static SampleFault record_one(Recorder *r, RecordedSeries *x, int64_t time, double value) {
        int64_t newest = INT64_MIN;
        for (size_t i = 0; i < x->n; i++) {
                if (x->times[i] == time)
                        return memcmp(&x->values[i], &value, sizeof value) == 0 ? SAMPLE_OK : SAMPLE_DUPLICATE;
                newest = x->times[i] > newest ? x->times[i] : newest;
        }
        if (r->now_ms && time > r->now_ms + 600000)
                return SAMPLE_TOO_NEW;
        if (r->window_ms && x->n && time < newest - r->window_ms)
                return SAMPLE_TOO_OLD;
        if (r->now_ms && time < 1000000)
                return SAMPLE_EXPIRED;
        if (x->n == RECORD_SAMPLES_MAX)
                return SAMPLE_NO_MEMORY;
        x->times[x->n] = time;
        x->values[x->n++] = value;
        return SAMPLE_OK;
}

static SampleFault record_floats(SeriesSink *s, SeriesRef ref, const int64_t *times, const double *values, size_t n, size_t *ret_taken) {
        SampleFault first = SAMPLE_OK;
        Recorder *r = (Recorder *)s;
        assert(ref < r->n_series);
        *ret_taken = 0;
        for (size_t i = 0; i < n; i++) {
                SampleFault f = record_one(r, &r->series[ref], times[i], values[i]);
                first = first ? first : f;
                *ret_taken += f == SAMPLE_OK;
        }
        return first;
}

static SampleFault record_histogram(SeriesSink *s, SeriesRef ref, int64_t time, const uint8_t *bytes, size_t n) {
        RecordedSeries *x = &((Recorder *)s)->series[ref];
        buf_reset(&x->histogram);
        buf_put(&x->histogram, bytes, n);
        x->n_histograms++;
        x->times[0] = time;
        return SAMPLE_OK;
}

static void record_metadata(SeriesSink *s, Span metric, MetricType type, Span help, Span unit) {
        Recorder *r = (Recorder *)s;
        r->descriptions++;
        r->type = type;
        (void)snprintf(r->metric, sizeof r->metric, "%.*s", (int)metric.len, metric.text);
        (void)snprintf(r->help, sizeof r->help, "%.*s", (int)help.len, help.text);
        (void)snprintf(r->unit, sizeof r->unit, "%.*s", (int)unit.len, unit.text);
}

static bool record_exemplar(SeriesSink *s, SeriesRef ref, const uint8_t *labels, size_t len, double value, int64_t time) {
        Recorder *r = (Recorder *)s;
        assert(ref < r->n_series);
        r->exemplars++;
        r->exemplar_value = value;
        r->exemplar_ms = time;
        buf_reset(&r->exemplar_labels);
        labels_print(labels, len, &r->exemplar_labels);
        return !r->no_exemplars;
}

static int record_end(SeriesSink *s, uint64_t *ret_ticket) {
        Recorder *r = (Recorder *)s;
        r->ends++;
        *ret_ticket = ++r->ticket;
        if (!r->slow)
                r->durable = r->ticket;
        return r->end_error;
}

static uint64_t record_durable(SeriesSink *s) {
        return ((Recorder *)s)->durable;
}

#define RECORDER                                                                                                             \
        ((Recorder){ .sink = { record_begin, record_series, record_floats, record_histogram, record_exemplar,          \
                               record_metadata, record_end, record_durable } })

/* The series that is printed so; NULL when there is none. */
static inline RecordedSeries *recorded(Recorder *r, const char *name) {
        for (size_t i = 0; i < r->n_series; i++) {
                CLEANUP(buf_deinit) Buf text = BUF_NULL;
                labels_print(r->series[i].run, r->series[i].run_len, &text);
                if (strcmp(buf_cstr(&text), name) == 0)
                        return &r->series[i];
        }
        return NULL;
}

static inline size_t recorded_samples(const Recorder *r) {
        size_t n = 0;
        for (size_t i = 0; i < r->n_series; i++)
                n += r->series[i].n;
        return n;
}
