#include "scrape/reading.h"

#include "base/number.h"
#include "model/stale.h"
#include "wire/exposition_proto.h"

#include <assert.h>

#define EXPORTED "exported_"
#define DROPPED_FACTOR 4u /* series that relabelling drops are remembered, too */
#define KEEP_SAMPLES 20000u /* room that is kept between scrapes */

typedef struct ReadSample {
        CachedSeries *series;
        int64_t time_ms;
        double value;
        uint32_t histogram_at, histogram_len; /* not 0: a native one */
        bool tracked;
} ReadSample;

struct Reading {
        ReadSample *samples;
        size_t n, cap;
        Buf histograms, run, key, text;
        LabelDraft set, exposed;
        ExpositionItem item;
        ReadingStats stats;
        /* Of the answer being read. */
        const ScrapeJob *job;
        Target *target;
        int64_t now_ms;
        ReadingCounts counts;
        Buf *error;
        const char *type_name; /* of the family: histograms and summaries have bounds */
        TargetMetric *metrics;
        size_t n_metrics, cap_metrics;
};

int reading_new(Reading **ret_reading) {
        Reading *r = calloc(1, sizeof *r);
        if (!r)
                return -ENOMEM;
        *ret_reading = r;
        return 0;
}

static void forget_metrics(Reading *r, Intern *intern) {
        for (size_t i = 0; i < r->n_metrics; i++) {
                intern_unref(intern, r->metrics[i].metric);
                intern_unref(intern, r->metrics[i].help);
                intern_unref(intern, r->metrics[i].unit);
        }
        r->n_metrics = 0;
}

Reading *reading_free(Reading *r) {
        if (!r)
                return NULL;
        assert(r->n_metrics == 0);
        free(r->samples);
        free(r->metrics);
        buf_deinit(&r->histograms);
        buf_deinit(&r->run);
        buf_deinit(&r->key);
        buf_deinit(&r->text);
        label_set_deinit(&r->set);
        label_set_deinit(&r->exposed);
        free(r);
        return NULL;
}

const ReadingStats *reading_stats(const Reading *r) {
        return &r->stats;
}

/* ---- labels of a series ---- */

static Span as_span(const Buf *b) {
        return (Span){ b->len ? b->data : "", b->len };
}

/* As Prometheus 3 writes bounds, whatever the client library does. */
static void normalize_bound(Reading *r, ExpositionItem *item) {
        const char *wanted = !r->type_name                           ? NULL :
                             strcmp(r->type_name, "histogram") == 0  ? "le" :
                             strcmp(r->type_name, "gaugehistogram") == 0 ? "le" :
                             strcmp(r->type_name, "summary") == 0    ? "quantile" : NULL;
        for (size_t i = 1; wanted && i < item->n_labels; i++) {
                double v;
                Label *l = &item->labels[i];
                if (!span_is(l->name, wanted) || number_parse(l->value.text, l->value.len, &v) < 0)
                        continue;
                buf_reset(&r->text);
                exposition_put_bound(&r->text, v);
                l->value = as_span(&r->text);
        }
}

/* A label of the target's takes its name; what the target exposed under it moves to exported_NAME, or further. */
static void move_exposed(Reading *r, LabelDraft *set, Span name, Span value) {
        CLEANUP(buf_deinit) Buf moved = BUF_NULL;
        (void)r;
        do {
                CLEANUP(buf_deinit) Buf longer = BUF_NULL;
                buf_put_str(&longer, EXPORTED);
                buf_put(&longer, moved.len ? moved.data : name.text, moved.len ? moved.len : name.len);
                buf_deinit(&moved);
                moved = longer;
                longer = BUF_NULL;
        } while (!buf_error(&moved) && label_set_get(set, as_span(&moved)).len > 0);
        label_set_set(set, as_span(&moved), value);
}

static int shorter_first(const void *a, const void *b) {
        size_t x = ((const Label *)a)->name.len, y = ((const Label *)b)->name.len;
        return (x > y) - (x < y);
}

static void add_target_labels(Reading *r, LabelDraft *set) {
        Label own[LABELS_MAX], moved[LABELS_MAX];
        const Target *t = r->target;
        size_t n = labels_split((const uint8_t *)t->labels.data, t->labels.len, own), n_moved = 0;
        for (size_t i = 0; i < n; i++) {
                Span exposed = label_set_get(set, own[i].name);
                if (exposed.len && r->job->honor_labels)
                        continue;
                if (exposed.len)
                        moved[n_moved++] = (Label){ own[i].name, exposed };
                label_set_set(set, own[i].name, own[i].value);
        }
        qsort(moved, n_moved, sizeof *moved, shorter_first);
        for (size_t i = 0; i < n_moved; i++)
                move_exposed(r, set, moved[i].name, moved[i].value);
}

static int label_order(const void *a, const void *b) {
        Span x = ((const Label *)a)->name, y = ((const Label *)b)->name;
        int r = memcmp(x.text, y.text, x.len < y.len ? x.len : y.len);
        return r ? r : (x.len > y.len) - (x.len < y.len);
}

static int refuse(Reading *r, int error, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int refuse(Reading *r, int error, const char *fmt, ...) {
        char text[512];
        va_list args;
        va_start(args, fmt);
        (void)vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        buf_put_str(r->error, text);
        return error;
}

static bool is_legacy_name(Span s, bool metric) {
        for (size_t i = 0; i < s.len; i++) {
                char c = s.text[i];
                bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (metric && c == ':');
                if (!letter && (i == 0 || c < '0' || c > '9'))
                        return false;
        }
        return s.len > 0;
}

static int check_limits(Reading *r, const LabelDraft *set) {
        const ScrapeJob *j = r->job;
        Span metric = label_set_get(set, span_of(METRIC_NAME_LABEL));
        int shown = (int)(metric.len < 100 ? metric.len : 100);
        if (metric.len == 0)
                return refuse(r, -EINVAL, "missing metric name (__name__ label)");
        if (set->n > j->label_limit)
                return refuse(r, -E2BIG, "label_limit exceeded (metric: %.*s, number of labels: %zu, limit: %llu)",
                              shown, metric.text,
                              set->n, (unsigned long long)j->label_limit);
        for (size_t i = 0; i < set->n; i++) {
                Label l = set->items[i].label;
                int name = (int)(l.name.len < 100 ? l.name.len : 100);
                if (l.name.len > j->label_name_limit)
                        return refuse(r, -E2BIG,
                                      "label_name_length_limit exceeded (metric: %.*s, label name: %.*s, "
                                      "length: %zu, limit: %llu)",
                                      shown, metric.text, name, l.name.text, l.name.len,
                                              (unsigned long long)j->label_name_limit);
                if (l.value.len > j->label_value_limit)
                        return refuse(r, -E2BIG,
                                      "label_value_length_limit exceeded (metric: %.*s, label name: %.*s, "
                                      "length: %zu, limit: %llu)",
                                      shown, metric.text, name, l.name.text, l.value.len,
                                              (unsigned long long)j->label_value_limit);
                if (j->legacy_names && !is_legacy_name(l.name, false))
                        return refuse(r, -EINVAL, "invalid label name %.*s", name, l.name.text);
        }
        if (j->legacy_names && !is_legacy_name(metric, true))
                return refuse(r, -EINVAL, "invalid metric name %.*s", shown, metric.text);
        return 0;
}

/* The series as it will be stored: r->run is filled, or empty for one that is dropped. */
static int make_run(Reading *r, ExpositionItem *item) {
        LabelDraft *set = &r->set;
        normalize_bound(r, item);
        label_set_reset(set);
        buf_reset(&r->run);
        qsort(item->labels, item->n_labels, sizeof *item->labels, label_order);
        for (size_t i = 0; i < item->n_labels; i++) {
                if (i && label_order(&item->labels[i - 1], &item->labels[i]) == 0)
                        return refuse(r, -EINVAL, "a label is there twice in one series");
                label_set_add(set, item->labels[i].name, item->labels[i].value);
        }
        add_target_labels(r, set);
        label_set_settle(set);
        int keep = relabel_apply(&r->job->metric_relabel, set);
        if (keep == -E2BIG)
                return refuse(r, -E2BIG, "relabelling makes too much of a series' labels");
        if (keep <= 0 || set->n == 0)
                return keep < 0 ? keep : 0;
        int bad = check_limits(r, set);
        if (bad < 0)
                return bad;
        LabelsFault fault = label_set_build(set, &r->run);
        return fault ? refuse(r, -EINVAL, "%s", labels_fault_text(fault)) : buf_error(&r->run);
}

/* ---- items ---- */

static int find_series(Reading *r, ExpositionItem *item, CachedSeries **ret_series) {
        SeriesCache *c = &r->target->series;
        uint64_t key[2];
        series_cache_key(item->labels, item->n_labels, &r->key, key);
        if (buf_error(&r->key))
                return buf_error(&r->key);
        *ret_series = series_cache_find(c, key);
        if (*ret_series) {
                (*ret_series)->round = c->round;
                return 0;
        }
        int bad = make_run(r, item);
        if (bad < 0)
                return bad;
        r->counts.added += r->run.len > 0;
        return series_cache_add(c, key, (const uint8_t *)r->run.data, r->run.len, ret_series);
}

static int room_for_sample(Reading *r) {
        if (r->n < r->cap)
                return 0;
        size_t cap = r->cap ? 2 * r->cap : 1024;
        ReadSample *samples = reallocarray(r->samples, cap, sizeof *samples);
        if (!samples)
                return -ENOMEM;
        r->samples = samples;
        r->cap = cap;
        return 0;
}

static int take_sample(Reading *r, ExpositionItem *item) {
        CachedSeries *series = NULL;
        bool timed = item->has_time && r->job->honor_timestamps;
        r->counts.scraped++;
        /* Counted to the end, as Prometheus does, but nothing more is remembered of what will be refused. */
        if (r->counts.kept > r->job->sample_limit) {
                r->counts.kept++;
                return 0;
        }
        if (r->counts.scraped > DROPPED_FACTOR * r->job->sample_limit + 1000)
                return refuse(r, -E2BIG, "more than %u times as many samples are dropped as sample_limit allows",
                              DROPPED_FACTOR);
        int bad = find_series(r, item, &series);
        if (bad < 0 || (series->flags & SERIES_DROPPED))
                return bad;
        if (++r->counts.kept > r->job->sample_limit)
                return 0;
        bad = room_for_sample(r);
        if (bad < 0)
                return bad;
        ReadSample *s = &r->samples[r->n++];
        *s = (ReadSample){ .series = series,
                           .time_ms = timed ? item->time_ms : r->now_ms,
                           .value = item->value,
                           .tracked = !timed || r->job->track_timestamps_staleness };
        if (item->kind == EXPOSITION_HISTOGRAM) {
                s->histogram_at = (uint32_t)r->histograms.len;
                s->histogram_len = (uint32_t)item->histogram.len;
                buf_put(&r->histograms, item->histogram.text, item->histogram.len);
        }
        return buf_error(&r->histograms);
}

static int intern_text(Reading *r, Span s, InternId *ret_id) {
        Span cut = { s.text, s.len < LABEL_VALUE_MAX ? s.len : LABEL_VALUE_MAX };
        return intern_ref(r->target->series.intern, cut.text, cut.len, ret_id);
}

/* The row of a metric: the last one, as what is said of one stands together. */
static int metric_row(Reading *r, Span metric, TargetMetric **ret_row) {
        Intern *intern = r->target->series.intern;
        TargetMetric row = { .type = "unknown" };
        if (r->n_metrics) {
                Span last = intern_get(intern, r->metrics[r->n_metrics - 1].metric);
                *ret_row = &r->metrics[r->n_metrics - 1];
                if (last.len == metric.len && memcmp(last.text, metric.text, metric.len) == 0)
                        return 0;
        }
        *ret_row = NULL;
        if (r->n_metrics == TARGET_METRICS_MAX)
                return 0;
        if (r->n_metrics == r->cap_metrics) {
                size_t cap = r->cap_metrics ? 2 * r->cap_metrics : 256;
                TargetMetric *metrics = reallocarray(r->metrics, cap, sizeof *metrics);
                if (!metrics)
                        return -ENOMEM;
                r->metrics = metrics;
                r->cap_metrics = cap;
        }
        if (intern_text(r, metric, &row.metric) < 0)
                return -ENOMEM;
        if (intern_text(r, (Span){ "", 0 }, &row.help) < 0) {
                intern_unref(intern, row.metric);
                return -ENOMEM;
        }
        if (intern_text(r, (Span){ "", 0 }, &row.unit) < 0) {
                intern_unref(intern, row.metric);
                intern_unref(intern, row.help);
                return -ENOMEM;
        }
        r->metrics[r->n_metrics] = row;
        *ret_row = &r->metrics[r->n_metrics++];
        return 0;
}

static int take_description(Reading *r, const ExpositionItem *item) {
        TargetMetric *row;
        InternId id;
        if (item->kind == EXPOSITION_TYPE)
                r->type_name = item->type_name;
        int bad = metric_row(r, item->metric, &row);
        if (bad < 0 || !row)
                return bad;
        if (item->kind == EXPOSITION_TYPE) {
                row->type = item->type_name;
                return 0;
        }
        bad = intern_text(r, item->text, &id);
        if (bad < 0)
                return bad;
        InternId *member = item->kind == EXPOSITION_HELP ? &row->help : &row->unit;
        intern_unref(r->target->series.intern, *member);
        *member = id;
        return 0;
}

static int take_item(Reading *r) {
        if (r->item.kind == EXPOSITION_SAMPLE || r->item.kind == EXPOSITION_HISTOGRAM)
                return take_sample(r, &r->item);
        return take_description(r, &r->item);
}

/* ---- formats ---- */

typedef enum Format { FORMAT_TEXT, FORMAT_OPENMETRICS, FORMAT_PROTO, FORMAT_NONE } Format;

static bool media_is(const char *type, const char *name) {
        size_t n = strlen(name);
        while (*type == ' ')
                type++;
        return strncasecmp(type, name, n) == 0 && strchr("; \t", type[n]);
}

static Format format_of(const ScrapeJob *job, const char *type) {
        static const Format FALLBACKS[] = { [SCRAPE_PROTO] = FORMAT_PROTO,
                                            [SCRAPE_TEXT_0_0_4] = FORMAT_TEXT,
                                            [SCRAPE_TEXT_1_0_0] = FORMAT_TEXT,
                                            [SCRAPE_OPENMETRICS_0_0_1] = FORMAT_OPENMETRICS,
                                            [SCRAPE_OPENMETRICS_1_0_0] = FORMAT_OPENMETRICS };
        if (media_is(type, "text/plain"))
                return FORMAT_TEXT;
        if (media_is(type, "application/openmetrics-text"))
                return FORMAT_OPENMETRICS;
        if (media_is(type, "application/vnd.google.protobuf"))
                return FORMAT_PROTO;
        return job->fallback < 0 ? FORMAT_NONE : FALLBACKS[job->fallback];
}

static int malformed(Reading *r, const ExpositionError *e, const char *unit) {
        if (e->code == -ENOMEM)
                return -ENOMEM;
        return refuse(r, -EBADMSG, "%s %u: %s", unit, e->line, e->what);
}

static int read_text(Reading *r, const Buf *body, bool openmetrics) {
        ExpositionParser p;
        int got, bad = 0;
        exposition_begin(&p, body->len ? body->data : "", body->len, openmetrics, 1);
        p.lenient = true;
        while (bad == 0 && (got = exposition_next(&p, &r->item)) > 0)
                bad = take_item(r);
        if (bad == 0 && got < 0)
                bad = malformed(r, &p.error, "line");
        exposition_end(&p);
        return bad;
}

static int read_proto(Reading *r, const Buf *body) {
        ExpositionProto *p = NULL;
        int got, bad = exposition_proto_begin((const uint8_t *)(body->len ? body->data : ""), body->len,
                                              r->job->classic_histograms, &p);
        while (bad == 0 && (got = exposition_proto_next(p, &r->item)) > 0) {
                r->type_name = NULL; /* bounds are written by our reader */
                bad = take_item(r);
        }
        if (bad == 0 && got < 0)
                bad = malformed(r, exposition_proto_error(p), "family");
        (void)exposition_proto_end(p);
        return bad;
}

static int read_body(Reading *r, const char *type, const Buf *body) {
        switch (format_of(r->job, type)) {
        case FORMAT_TEXT: return read_text(r, body, false);
        case FORMAT_OPENMETRICS: return read_text(r, body, true);
        case FORMAT_PROTO: return read_proto(r, body);
        case FORMAT_NONE: break;
        }
        if (!*type)
                return refuse(r, -EBADMSG, "blank Content-Type and no fallback_scrape_protocol specified for target");
        return refuse(r, -EBADMSG,
                      "unsupported Content-Type \"%.100s\" and no fallback_scrape_protocol specified for target",
                      type);
}

/* What the target describes now, instead of what it did; the same for the most part, of which the texts are shared. */
static void replace_metrics(Reading *r) {
        Target *t = r->target;
        bool same = t->n_metrics == r->n_metrics;
        for (size_t i = 0; same && i < t->n_metrics; i++)
                same = t->metrics[i].metric == r->metrics[i].metric && t->metrics[i].help == r->metrics[i].help &&
                       t->metrics[i].unit == r->metrics[i].unit && t->metrics[i].type == r->metrics[i].type;
        TargetMetric *copy = same || !r->n_metrics ? NULL : reallocarray(NULL, r->n_metrics, sizeof *copy);
        if (same || (!copy && r->n_metrics)) {
                forget_metrics(r, t->series.intern);
                return;
        }
        target_forget_metrics(t);
        t->described = false;
        if (r->n_metrics)
                memcpy(copy, r->metrics, r->n_metrics * sizeof *copy);
        t->metrics = copy;
        t->n_metrics = r->n_metrics;
        r->n_metrics = 0;
}

int reading_parse(Reading *r, const ScrapeJob *job, Target *t, const char *content_type, const Buf *body,
                  int64_t now_ms,
                  ReadingCounts *ret_counts, Buf *ret_error) {
        r->job = job;
        r->target = t;
        r->now_ms = now_ms;
        r->counts = (ReadingCounts){ 0 };
        r->error = ret_error;
        r->type_name = NULL;
        r->n = 0;
        buf_reset(&r->histograms);
        t->series.round++;
        int bad = read_body(r, content_type, body);
        if (bad == 0 && r->counts.kept > job->sample_limit)
                bad = refuse(r, -E2BIG, "sample_limit exceeded (samples: %llu, limit: %llu)",
                             (unsigned long long)r->counts.kept,
                             (unsigned long long)job->sample_limit);
        if (bad == 0)
                replace_metrics(r);
        else
                forget_metrics(r, t->series.intern);
        /* Answers that are never good and never the same must not fill the memory. */
        if (bad < 0 && t->series.n > 2 * t->series.good + 1000)
                series_cache_sweep(&t->series);
        *ret_counts = r->counts;
        return bad;
}

/* ---- to the sink ---- */

static SampleFault write_float(Reading *r, SeriesSink *sink, const Buf *run, int64_t time_ms, double value) {
        SeriesRef ref = 0;
        LabelsFault labels;
        size_t taken = 0;
        if (buf_error(run))
                return SAMPLE_NO_MEMORY;
        SampleFault fault = sink->series(sink, (const uint8_t *)run->data, run->len, &ref, &labels);
        if (!fault)
                fault = sink->floats(sink, ref, &time_ms, &value, 1, &taken);
        r->stats.refused[fault] += fault != SAMPLE_OK;
        return fault;
}

static SampleFault write_histogram(Reading *r, SeriesSink *sink, const ReadSample *s) {
        SeriesRef ref = 0;
        LabelsFault labels;
        SampleFault fault = sink->series(sink, (const uint8_t *)r->run.data, r->run.len, &ref, &labels);
        if (!fault)
                fault = sink->histogram(sink, ref, s->time_ms, (const uint8_t *)r->histograms.data + s->histogram_at,
                                        s->histogram_len);
        r->stats.refused[fault] += fault != SAMPLE_OK;
        return fault;
}

static void end_series(Reading *r, Target *t, SeriesSink *sink, CachedSeries *s, int64_t now_ms) {
        buf_reset(&r->run);
        series_cache_run(&t->series, s, &r->run);
        s->flags &= (uint8_t)~SERIES_LIVE;
        r->stats.stale += write_float(r, sink, &r->run, now_ms, stale_marker()) == SAMPLE_OK;
}

static void describe(Target *t, SeriesSink *sink) {
        static const struct {
                const char *name;
                MetricType type;
        } TYPES[] = { { "counter", METRIC_COUNTER }, { "gauge", METRIC_GAUGE } };
        const Intern *intern = t->series.intern;
        for (size_t i = 0; i < t->n_metrics; i++) {
                MetricType type = METRIC_UNTYPED;
                for (size_t k = 0; k < ARRAY_LEN(TYPES); k++)
                        if (strcmp(TYPES[k].name, t->metrics[i].type) == 0)
                                type = TYPES[k].type;
                sink->metadata(sink, intern_get(intern, t->metrics[i].metric), type,
                               intern_get(intern, t->metrics[i].help),
                               intern_get(intern, t->metrics[i].unit));
        }
        t->described = true;
}

void reading_write(Reading *r, Target *t, SeriesSink *sink) {
        assert(r->target == t);
        for (size_t i = 0; i < r->n; i++) {
                const ReadSample *s = &r->samples[i];
                buf_reset(&r->run);
                series_cache_run(&t->series, s->series, &r->run);
                SampleFault fault = s->histogram_len ? write_histogram(r, sink, s)
                        : write_float(r, sink, &r->run, s->time_ms, s->value);
                r->stats.samples += !fault;
                if (!fault && s->tracked)
                        s->series->flags |= SERIES_LIVE;
        }
        for (size_t i = 0; i < t->series.cap; i++) {
                CachedSeries *s = t->series.slots[i];
                if (s && (s->flags & SERIES_LIVE) && s->round != t->series.round)
                        end_series(r, t, sink, s, r->now_ms);
        }
        series_cache_sweep(&t->series);
        if (!t->described)
                describe(t, sink);
        t->last_ms = r->now_ms;
        r->n = 0;
        if (r->cap > KEEP_SAMPLES) {
                free(r->samples);
                r->samples = NULL;
                r->cap = 0;
        }
}

void reading_end_series(Reading *r, Target *t, SeriesSink *sink, int64_t now_ms) {
        for (size_t i = 0; i < t->series.cap; i++) {
                CachedSeries *s = t->series.slots[i];
                if (s && (s->flags & SERIES_LIVE))
                        end_series(r, t, sink, s, now_ms);
        }
}

/* ---- what a scrape says of itself ---- */

static void report_one(Reading *r, Target *t, SeriesSink *sink, int64_t now_ms, const char *name, double value) {
        LabelDraft *set = &r->set;
        label_set_reset(set);
        label_set_add_run(set, (const uint8_t *)t->labels.data, t->labels.len);
        label_set_set(set, span_of(METRIC_NAME_LABEL), span_of(name));
        buf_reset(&r->run);
        if (set->error || label_set_build(set, &r->run) != LABELS_OK)
                return;
        r->stats.samples += write_float(r, sink, &r->run, now_ms, value) == SAMPLE_OK;
}

void reading_report(Reading *r, Target *t, SeriesSink *sink, int64_t now_ms, const ScrapeReport *report) {
        const ScrapeReport *p = report;
        const struct {
                const char *name;
                double value;
                bool extra;
        } rows[] = {
                { "up", p->up, false },
                { "scrape_duration_seconds", p->duration, false },
                { "scrape_samples_scraped", (double)p->counts.scraped, false },
                { "scrape_samples_post_metric_relabeling", (double)p->counts.kept, false },
                { "scrape_series_added", (double)p->counts.added, false },
                { "scrape_timeout_seconds", p->timeout, true },
                { "scrape_sample_limit", (double)p->sample_limit, true },
                { "scrape_body_size_bytes", (double)p->body_bytes, true },
        };
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (!rows[i].extra || p->extra)
                        report_one(r, t, sink, now_ms, rows[i].name, p->ended ? stale_marker() : rows[i].value);
        t->reported = !p->ended;
        t->last_ms = now_ms;
}
