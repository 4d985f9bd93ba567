/* A request passes four gates before the sink sees any of it: its headers, snappy, the message, and the sink's own
 * begin(). Behind them every series and sample is good or bad by itself. */
#include "ingest/remote_write.h"

#include "ingest/faults.h"
#include "ingest/refusal.h"
#include "model/histogram.h"
#include "wire/remote_write.h"
#include "wire/snappy.h"

#include <assert.h>
#include <string.h>

#define SOURCE "remote_write"
#define RAW_KEEP ((size_t)4 << 20)

struct RemoteWrite {
        Buf raw;
        RwRequest request;
        IngestFaults faults;
        Buf histogram_bytes, exemplar_labels;
        RemoteWriteStats stats;
        /* Of the request under way. */
        SeriesSink *sink;
        uint64_t samples, histograms, exemplars;
        const RwSeries *described; /* 2.0: the series whose metadata went to the sink last, and its metric */
        size_t metric_len;
        char metric[LABEL_VALUE_MAX];
        Histogram histogram;
};

int remote_write_new(RemoteWrite **ret_writer) {
        RemoteWrite *w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        w->raw = BUF_WITH_LIMIT(REMOTE_WRITE_RAW_MAX + 1);
        w->faults = INGEST_FAULTS_NULL;
        *ret_writer = w;
        return 0;
}

RemoteWrite *remote_write_free(RemoteWrite *w) {
        if (!w)
                return NULL;
        buf_deinit(&w->raw);
        rw_request_deinit(&w->request);
        ingest_faults_deinit(&w->faults);
        buf_deinit(&w->histogram_bytes);
        buf_deinit(&w->exemplar_labels);
        free(w);
        return NULL;
}

const RemoteWriteStats *remote_write_stats(const RemoteWrite *w) {
        return &w->stats;
}

/* ---- what is sent ---- */

static Span trim(Span s) {
        while (s.len && (s.text[0] == ' ' || s.text[0] == '\t'))
                s.text++, s.len--;
        while (s.len && (s.text[s.len - 1] == ' ' || s.text[s.len - 1] == '\t'))
                s.len--;
        return s;
}

static bool span_is_nocase(Span s, const char *text) {
        return s.len == strlen(text) && strncasecmp(s.text, text, s.len) == 0;
}

/* The value of a parameter, without its quotes. */
static bool is_proto(Span parameter, Span *ret_value) {
        static const char NAME[] = "proto=";
        size_t n = sizeof NAME - 1;
        if (parameter.len < n || strncasecmp(parameter.text, NAME, n) != 0)
                return false;
        Span v = { parameter.text + n, parameter.len - n };
        if (v.len >= 2 && v.text[0] == '"' && v.text[v.len - 1] == '"')
                v = (Span){ v.text + 1, v.len - 2 };
        *ret_value = v;
        return true;
}

/* Which message a Content-Type says it is. Without one it is 1.0, as old senders have none. */
static bool version_of(const char *content_type, RwVersion *ret_version) {
        *ret_version = RW_1;
        if (!content_type)
                return true;
        Scan s = SCAN(content_type, strlen(content_type));
        for (bool first = true, more = true; more; first = false) {
                Span part, value;
                more = scan_until(&s, ';', &part);
                part = trim(more ? part : (Span){ s.at, (size_t)(s.end - s.at) });
                if (first && !span_is_nocase(part, "application/x-protobuf"))
                        return false;
                if (first || !is_proto(part, &value))
                        continue;
                if (span_is(value, "io.prometheus.write.v2.Request"))
                        *ret_version = RW_2;
                else if (!span_is(value, "prometheus.WriteRequest"))
                        return false;
        }
        return true;
}

/* False with the response filled. */
static bool check_headers(const HttpRequest *request, HttpResponse *response, RwVersion *ret_version) {
        const char *encoding = http_header(request, "Content-Encoding");
        if (!version_of(http_header(request, "Content-Type"), ret_version))
                return ingest_refuse(
                        response, 415, 0,
                        "Content-Type must be application/x-protobuf, with proto=prometheus.WriteRequest or "
                        "io.prometheus.write.v2.Request");
        if (encoding && strcasecmp(encoding, "snappy") != 0)
                return ingest_refuse(response, 415, 0, "Content-Encoding must be snappy");
        if (request->body_len == 0)
                return ingest_refuse(response, 400, 0, "the body is empty");
        return true;
}

static bool unpack(RemoteWrite *w, const HttpRequest *request, HttpResponse *response) {
        const char *why = "";
        int r = snappy_block_decode(request->body, request->body_len, REMOTE_WRITE_RAW_MAX, &w->raw, &why);
        if (r == 0)
                return true;
        if (r == -ENOMEM)
                return ingest_refuse(response, 503, 5, why);
        return ingest_refuse(response, r == -EFBIG ? 413 : 400, 0, r == -EFBIG ? "over 32 MiB when unpacked" : why);
}

static bool parse(RemoteWrite *w, RwVersion version, HttpResponse *response) {
        RwError e;
        int r = rw_parse((const uint8_t *)w->raw.data, w->raw.len, version, &w->request, &e);
        if (r == 0)
                return true;
        (void)ingest_refuse(response, r == -ENOMEM ? 503 : r == -E2BIG ? 413 : 400, r == -ENOMEM ? 5 : 0, e.what);
        buf_printf(&response->body, "(at byte %zu of the message)\n", e.at);
        return false;
}

/* ---- to the sink ---- */

static void refuse_series(RemoteWrite *w, const RwSeries *s, SampleFault fault, LabelsFault labels, const uint8_t *run,
                          size_t len) {
        ingest_faults_add(&w->faults, &(IngestFault){ .fault = fault, .labels = labels, .run = run, .run_len = len,
                                                      .n = (uint64_t)s->n_floats + s->n_histograms });
}

static void put_floats(RemoteWrite *w, const RwSeries *s, SeriesRef ref, const uint8_t *run, size_t len) {
        const int64_t *times = w->request.times + s->first_float;
        size_t taken = 0;
        SampleFault fault =
                w->sink->floats(w->sink, ref, times, w->request.values + s->first_float, s->n_floats, &taken);
        assert(taken <= s->n_floats);
        w->samples += taken;
        if (taken < s->n_floats)
                ingest_faults_add(&w->faults, &(IngestFault){ .fault = fault,
                                                              .run = run,
                                                              .run_len = len,
                                                              .time_ms = times[0],
                                                              .has_time = s->n_floats == 1,
                                                              .n = s->n_floats - taken });
}

static void put_histogram(RemoteWrite *w, const RwHistogram *h, SeriesRef ref, const uint8_t *run, size_t len) {
        int64_t time = 0;
        const char *why = NULL;
        SampleFault fault = SAMPLE_BAD_HISTOGRAM;
        if (histogram_parse(h->bytes, h->len, &w->histogram, &time, &why) == 0) {
                buf_reset(&w->histogram_bytes);
                histogram_write(&w->histogram, &w->histogram_bytes);
                fault = buf_error(&w->histogram_bytes)
                                ? SAMPLE_NO_MEMORY
                                : w->sink->histogram(w->sink, ref, time, (const uint8_t *)w->histogram_bytes.data,
                                                     w->histogram_bytes.len);
        }
        if (fault == SAMPLE_OK)
                w->histograms++;
        else
                ingest_faults_add(&w->faults, &(IngestFault){ .fault = fault,
                                                              .detail = why,
                                                              .run = run,
                                                              .run_len = len,
                                                              .time_ms = time,
                                                              .has_time = !why,
                                                              .n = 1 });
}

/* What is wrong with an exemplar is no reason to refuse the request: it is counted, and the sender told how many were
 * taken. */
static void put_exemplar(RemoteWrite *w, const RwExemplar *e, SeriesRef ref) {
        double value;
        int64_t time;
        buf_reset(&w->exemplar_labels);
        bool good = rw_exemplar(&w->request, e, &w->exemplar_labels, &value, &time) && !buf_error(&w->exemplar_labels);
        const Buf *labels = &w->exemplar_labels;
        w->exemplars +=
                good && w->sink->exemplar(w->sink, ref, (const uint8_t *)labels->data, labels->len, value, time);
}

/* 2.0: each series says what its metric is; neighbours mostly say the same. */
static void put_description(RemoteWrite *w, const RwSeries *s, const uint8_t *run, size_t len) {
        const RwSeries *last = w->described;
        Span metric;
        if (!s->has_metadata || !labels_get(run, len, METRIC_NAME_LABEL, &metric))
                return;
        bool same = last && last->type == s->type && last->help == s->help && last->unit == s->unit;
        if (same && metric.len == w->metric_len && memcmp(metric.text, w->metric, metric.len) == 0)
                return;
        assert(metric.len <= sizeof w->metric); /* the sink has taken the labels */
        w->sink->metadata(w->sink, metric, s->type, w->request.symbols[s->help], w->request.symbols[s->unit]);
        w->stats.metadata++;
        w->described = s;
        w->metric_len = metric.len;
        memcpy(w->metric, metric.text, metric.len);
}

static void put_series(RemoteWrite *w, const RwSeries *s) {
        const uint8_t *run;
        size_t len;
        SeriesRef ref = 0;
        LabelsFault labels = rw_series_run(&w->request, s, &run, &len);
        SampleFault fault = labels ? SAMPLE_LABELS : SAMPLE_OK;
        if (s->n_floats + s->n_histograms + s->n_exemplars == 0)
                return;
        if (!fault)
                fault = w->sink->series(w->sink, run, len, &ref, &labels);
        if (fault) {
                refuse_series(w, s, fault, labels, run, len);
                return;
        }
        if (s->n_floats)
                put_floats(w, s, ref, run, len);
        for (uint32_t i = 0; i < s->n_histograms; i++)
                put_histogram(w, &w->request.histograms[s->first_histogram + i], ref, run, len);
        for (uint32_t i = 0; i < s->n_exemplars; i++)
                put_exemplar(w, &w->request.exemplars[s->first_exemplar + i], ref);
        put_description(w, s, run, len);
}

static void put_all(RemoteWrite *w) {
        const RwRequest *q = &w->request;
        for (size_t i = 0; i < q->n_series; i++)
                put_series(w, &q->series[i]);
        for (size_t i = 0; i < q->n_metadata; i++) {
                const RwMetadata *m = &q->metadata[i];
                w->sink->metadata(w->sink, m->name, m->type, m->help, m->unit);
        }
        w->stats.metadata += q->n_metadata;
}

/* ---- the answer ---- */

static void count(RemoteWrite *w) {
        w->stats.samples += w->samples;
        w->stats.histograms += w->histograms;
        w->stats.exemplars += w->exemplars;
        w->stats.exemplars_dropped += w->request.n_exemplars - w->exemplars;
        for (size_t i = 0; i < SAMPLE_FAULT_COUNT; i++)
                w->stats.faults[i] += w->faults.refused[i];
}

static void put_written(HttpResponse *response, uint64_t samples, uint64_t histograms, uint64_t exemplars) {
        http_add_number(response, "X-Prometheus-Remote-Write-Samples-Written", samples);
        http_add_number(response, "X-Prometheus-Remote-Write-Histograms-Written", histograms);
        http_add_number(response, "X-Prometheus-Remote-Write-Exemplars-Written", exemplars);
}

static void fill_answer(const RemoteWrite *w, HttpResponse *response) {
        int status = ingest_faults_status(&w->faults);
        response->status = 204;
        if (status) {
                (void)ingest_refuse(response, status,
                                    status == 400   ? 0
                                    : status == 429 ? INGEST_LIMIT_RETRY
                                                    : INGEST_RETRY,
                                    NULL);
                ingest_faults_print(&w->faults, w->request.n_floats + w->request.n_histograms, &response->body);
        }
        if (w->request.version == RW_2)
                put_written(response, w->samples, w->histograms, w->exemplars);
}

/* True with a ticket. */
static bool write_request(RemoteWrite *w, HttpResponse *response, uint64_t *ret_ticket) {
        int r = w->sink->begin(w->sink, SOURCE);
        if (r == 0) {
                put_all(w);
                r = w->sink->end(w->sink, ret_ticket);
        }
        if (r == 0) {
                count(w);
                fill_answer(w, response);
                return true;
        }
        ingest_refuse_errno(response, r);
        if (w->request.version == RW_2)
                put_written(response, 0, 0, 0);
        return false;
}

static void forget_request(RemoteWrite *w) {
        rw_request_trim(&w->request);
        if (w->raw.cap > RAW_KEEP)
                buf_deinit(&w->raw);
        buf_reset(&w->raw);
        w->sink = NULL;
        w->described = NULL;
}

bool remote_write_take(RemoteWrite *w, SeriesSink *sink, const HttpRequest *request, HttpResponse *response,
                       uint64_t *ret_ticket) {
        RwVersion version = RW_1;
        bool has_ticket = false;
        w->sink = sink;
        w->samples = w->histograms = w->exemplars = 0;
        ingest_faults_reset(&w->faults);
        w->stats.requests++;
        w->stats.bytes += request->body_len;
        bool good = check_headers(request, response, &version);
        if (good && !(unpack(w, request, response) && parse(w, version, response))) {
                if (version == RW_2)
                        put_written(response, 0, 0, 0);
                good = false;
        }
        if (good) {
                w->stats.raw_bytes += w->raw.len;
                has_ticket = write_request(w, response, ret_ticket);
        }
        w->stats.refused += !has_ticket;
        forget_request(w);
        return has_ticket;
}
