/* One body; the parser makes items of its lines, and what TYPE, HELP and UNIT say of one metric is put together
 * here. */
#include "ingest/text.h"

#include "ingest/faults.h"
#include "ingest/refusal.h"
#include "wire/exposition_parse.h"

#include <assert.h>

#define SOURCE "import"

struct TextImport {
        IngestFaults faults;
        Buf run, exemplar;
        TextImportStats stats;
        /* Of the request under way. */
        SeriesSink *sink;
        uint64_t sent, taken;
        Buf metric, help, unit; /* what is known of the metric that is being described */
        MetricType type;
        ExpositionItem item;
};

int text_import_new(TextImport **ret_import) {
        TextImport *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        t->faults = INGEST_FAULTS_NULL;
        *ret_import = t;
        return 0;
}

TextImport *text_import_free(TextImport *t) {
        if (!t)
                return NULL;
        ingest_faults_deinit(&t->faults);
        buf_deinit(&t->run);
        buf_deinit(&t->exemplar);
        buf_deinit(&t->metric);
        buf_deinit(&t->help);
        buf_deinit(&t->unit);
        free(t);
        return NULL;
}

const TextImportStats *text_import_stats(const TextImport *t) {
        return &t->stats;
}

/* ---- what is sent ---- */

typedef struct Format {
        bool openmetrics;
        uint32_t first_line;
        int64_t now_ms;
} Format;

static bool media_is(const char *type, const char *name) {
        size_t n = strlen(name);
        return strncasecmp(type, name, n) == 0 && strchr("; \t", type[n]);
}

/* False with the response filled. */
static bool read_format(const HttpRequest *request, HttpResponse *response, Format *ret_format) {
        const char *type = http_header(request, "Content-Type"), *encoding = http_header(request, "Content-Encoding");
        const char *line = http_query(request, "line"), *now = http_query(request, "now");
        uint64_t first = 1, now_ms;
        ret_format->openmetrics = type && media_is(type, "application/openmetrics-text");
        if (type && !ret_format->openmetrics && !media_is(type, "text/plain"))
                return ingest_refuse(response, 415, 0,
                                     "Content-Type must be text/plain or application/openmetrics-text");
        if (encoding && strcasecmp(encoding, "identity") != 0)
                return ingest_refuse(response, 415, 0, "no Content-Encoding is known here");
        if (line && (!span_u64((Span){ line, strlen(line) }, &first) || first == 0 || first > UINT32_MAX / 2))
                return ingest_refuse(response, 400, 0, "line must be a number from 1 on");
        if (now && (!span_u64((Span){ now, strlen(now) }, &now_ms) || now_ms > INT64_MAX))
                return ingest_refuse(response, 400, 0, "now must be a time in milliseconds");
        if (now)
                ret_format->now_ms = (int64_t)now_ms;
        ret_format->first_line = (uint32_t)first;
        return true;
}

static void parser_endp(ExpositionParser *p) {
        exposition_end(p);
}

static bool refuse_line(HttpResponse *response, const ExpositionError *e) {
        bool bad = e->code == -EBADMSG;
        (void)ingest_refuse(response, bad ? 400 : 503, bad ? 0 : INGEST_RETRY, NULL);
        buf_printf(&response->body, "%u:%u: %s\n", e->line, e->column, e->what);
        return false;
}

/* Whether every line is right. */
static bool check_lines(TextImport *t, const HttpRequest *request, const Format *format, HttpResponse *response) {
        CLEANUP(parser_endp) ExpositionParser p;
        int r;
        exposition_begin(&p, (const char *)request->body, request->body_len, format->openmetrics, format->first_line);
        while ((r = exposition_next(&p, &t->item)) > 0)
                t->sent += t->item.kind == EXPOSITION_SAMPLE;
        return r == 0 || refuse_line(response, &p.error);
}

/* ---- to the sink ---- */

static Span span_of(const Buf *b) {
        return (Span){ b->data ? b->data : "", b->len };
}

/* The description is complete when another metric's begins, or the body ends. */
static void end_description(TextImport *t) {
        if (t->metric.len && !buf_error(&t->metric) && !buf_error(&t->help) && !buf_error(&t->unit))
                t->sink->metadata(t->sink, span_of(&t->metric), t->type, span_of(&t->help), span_of(&t->unit));
        buf_reset(&t->metric);
        buf_reset(&t->help);
        buf_reset(&t->unit);
        t->type = METRIC_UNTYPED;
}

static void take_description(TextImport *t, const ExpositionItem *i) {
        if (i->metric.len != t->metric.len ||
            (t->metric.len && memcmp(i->metric.text, t->metric.data, t->metric.len) != 0)) {
                end_description(t);
                buf_put(&t->metric, i->metric.text, i->metric.len);
        }
        if (i->kind == EXPOSITION_TYPE) {
                t->type = i->type;
                return;
        }
        Buf *text = i->kind == EXPOSITION_HELP ? &t->help : &t->unit;
        buf_reset(text);
        buf_put(text, i->text.text, i->text.len);
}

/* The labels as a run even when it is not acceptable, to name it. */
static void put_unsorted_run(const ExpositionItem *i, Buf *out) {
        for (size_t k = 0; k < i->n_labels; k++) {
                Label one = i->labels[k];
                if (labels_build(&one, 1, out) != LABELS_OK)
                        return;
        }
}

static void refuse_sample(TextImport *t, const ExpositionItem *i, SampleFault fault, LabelsFault labels) {
        bool unbuilt = labels != LABELS_OK && t->run.len == 0;
        if (unbuilt)
                put_unsorted_run(i, &t->run);
        ingest_faults_add(&t->faults, &(IngestFault){ .fault = fault,
                                                      .labels = labels,
                                                      .run = (const uint8_t *)t->run.data,
                                                      .run_len = t->run.len,
                                                      .time_ms = i->time_ms,
                                                      .has_time = !labels,
                                                      .n = 1,
                                                      .line = i->line });
}

/* One without a time is of the sample's. */
static void take_exemplar(TextImport *t, ExpositionItem *i, SeriesRef ref) {
        buf_reset(&t->exemplar);
        bool good = labels_build(i->exemplar, i->n_exemplar, &t->exemplar) == LABELS_OK && !buf_error(&t->exemplar);
        int64_t time = i->exemplar_has_time ? i->exemplar_ms : i->time_ms;
        const uint8_t *labels = (const uint8_t *)t->exemplar.data;
        t->stats.exemplars += good && t->sink->exemplar(t->sink, ref, labels, t->exemplar.len, i->exemplar_value, time);
}

static void take_sample(TextImport *t, ExpositionItem *i, int64_t now_ms) {
        SeriesRef ref = 0;
        size_t taken = 0;
        buf_reset(&t->run);
        if (!i->has_time)
                i->time_ms = now_ms;
        LabelsFault labels = labels_build(i->labels, i->n_labels, &t->run);
        SampleFault fault = labels ? SAMPLE_LABELS : buf_error(&t->run) ? SAMPLE_NO_MEMORY : SAMPLE_OK;
        if (!fault)
                fault = t->sink->series(t->sink, (const uint8_t *)t->run.data, t->run.len, &ref, &labels);
        if (!fault)
                fault = t->sink->floats(t->sink, ref, &i->time_ms, &i->value, 1, &taken);
        if (fault)
                refuse_sample(t, i, fault, labels);
        t->taken += taken;
        if (taken && i->has_exemplar)
                take_exemplar(t, i, ref);
}

static int take_lines(TextImport *t, const HttpRequest *request, const Format *format) {
        CLEANUP(parser_endp) ExpositionParser p;
        exposition_begin(&p, (const char *)request->body, request->body_len, format->openmetrics, format->first_line);
        int r;
        while ((r = exposition_next(&p, &t->item)) > 0)
                if (t->item.kind == EXPOSITION_SAMPLE)
                        take_sample(t, &t->item, format->now_ms);
                else
                        take_description(t, &t->item);
        end_description(t);
        return r;
}

/* ---- the answer ---- */

static void fill_answer(TextImport *t, HttpResponse *response) {
        int status = ingest_faults_status(&t->faults);
        if (status) {
                (void)ingest_refuse(response, status,
                                    status == 400   ? 0
                                    : status == 429 ? INGEST_LIMIT_RETRY
                                                    : INGEST_RETRY,
                                    NULL);
                ingest_faults_print(&t->faults, t->sent, &response->body);
                return;
        }
        response->status = 200;
        response->content_type = "application/json; charset=utf-8";
        buf_printf(&response->body, "{\"samples\":%llu}\n", (unsigned long long)t->taken);
}

static bool write_lines(TextImport *t, const HttpRequest *request, const Format *format, HttpResponse *response,
                        uint64_t *ret_ticket) {
        int r = t->sink->begin(t->sink, SOURCE);
        if (r == 0) {
                int cut = take_lines(t, request, format);
                r = t->sink->end(t->sink, ret_ticket);
                r = r < 0 ? r : cut;
        }
        if (r < 0) {
                ingest_refuse_errno(response, r);
                return false;
        }
        t->stats.samples += t->taken;
        for (size_t i = 0; i < SAMPLE_FAULT_COUNT; i++)
                t->stats.faults[i] += t->faults.refused[i];
        fill_answer(t, response);
        return true;
}

bool text_import_take(TextImport *t, SeriesSink *sink, WallTime now, const HttpRequest *request, HttpResponse *response,
                      uint64_t *ret_ticket) {
        Format format = { false, 1, now.ns / NS_PER_MS };
        t->sink = sink;
        t->sent = t->taken = 0;
        ingest_faults_reset(&t->faults);
        t->stats.requests++;
        t->stats.bytes += request->body_len;
        bool has_ticket = read_format(request, response, &format) && check_lines(t, request, &format, response) &&
                          write_lines(t, request, &format, response, ret_ticket);
        t->stats.refused += !has_ticket;
        t->sink = NULL;
        return has_ticket;
}
