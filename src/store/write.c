/* Requests into the head and the log. The store's lock is held from begin() to end(): a request is short (a live one of
 * 2,000 samples takes a third of a millisecond) and nothing waits for the disk under it.
 *
 * Samples go into the head at once and into the log's memory at the end, so for a moment, and for good when the log
 * fails, the head has samples that nobody was promised. That is harmless: a sender repeats what was not acknowledged,
 * and a sample that the head has already is logged again, so that its acknowledgement means what it says. */
#include "store/record.h"
#include "store/store_priv.h"

#include <assert.h>
#include <fnmatch.h>
#include <math.h>

#define PAYLOAD_LONG (1u << 20) /* a longer request is more than one record */

static Store *store_of(SeriesSink *sink) {
        return (Store *)(void *)sink;
}

void store_watch_space(Store *s, bool now) {
        MonoTime mono = store_mono(s);
        VfsSpace space;
        if (!now && mono_since(mono, s->last_space).ns < NS_PER_SEC)
                return;
        s->last_space = mono;
        if (vfs_space(s->vfs, &space) < 0)
                return;
        /* Resumes a little above the floor, so that it does not flutter. */
        bool full = s->disk_full;
        uint64_t floor = s->options.floor_bytes + (full ? s->options.floor_bytes / 8 : 0);
        bool next = space.free_bytes < floor || space.free_inodes < 16;
        if (next == full)
                return;
        s->disk_full = next;
        store_event(s, STORE_EVENT_DISK, !next,
                    next ? "ingest stopped: %llu bytes free, the floor is %llu"
                         : "ingest resumed: %llu bytes free, the floor is %llu",
                    (unsigned long long)space.free_bytes, (unsigned long long)s->options.floor_bytes);
}

static int may_take(Store *s) {
        if (s->options.read_only || s->unmoved || wal_broken(s->wal))
                return -EROFS;
        if (store_hangs(s))
                return -ETIMEDOUT;
        if (s->disk_full)
                return -ENOSPC;
        if (head_samples_memory(&s->head) > s->options.memory * 2)
                return -ENOBUFS; /* the keeper cannot flush as fast as samples come, or not at all */
        return 0;
}

static void writer_reset(Writer *w) {
        buf_reset(&w->series);
        buf_reset(&w->floats);
        buf_reset(&w->histograms);
        buf_reset(&w->metadata);
        w->floats_ref = 0;
        w->floats_ms = 0;
}

static int begin(SeriesSink *sink, const char *source) {
        Store *s = store_of(sink);
        Writer *w = &s->writer;
        assert(!w->open);
        lock(&s->lock);
        int r = may_take(s);
        if (r == 0)
                r = quota_source(&s->quotas, source, &w->source);
        if (r < 0) {
                unlock(&s->lock);
                return r;
        }
        writer_reset(w);
        w->lsn = 0;
        w->error = 0;
        w->now_ms = store_wall_ms(s);
        w->oldest_ms = w->now_ms - s->options.keep[STORE_RAW].ns / NS_PER_MS;
        w->newest_ms = w->now_ms + s->options.future.ns / NS_PER_MS;
        if (w->oldest_ms <= -TIME_MAX_MS)
                w->oldest_ms = -TIME_MAX_MS + 1;
        if (w->newest_ms >= TIME_MAX_MS)
                w->newest_ms = TIME_MAX_MS - 1;
        w->open = true;
        return 0;
}

/* ---- The log ---- */

static void log_payload(Store *s, uint8_t type, Buf *payload) {
        Writer *w = &s->writer;
        WalBytes bytes = { payload->data, payload->len };
        uint64_t lsn = 0;
        int r = w->error ? w->error : buf_error(payload);
        if (r == 0 && payload->len == 0)
                return;
        if (r == 0)
                r = wal_append(s->wal, type, &bytes, 1, &lsn);
        if (r == 0)
                w->lsn = lsn;
        else
                w->error = r == -EIO ? -EROFS : r;
        buf_reset(payload);
}

static Buf *payload_of(Store *s, Buf *payload) {
        if (payload->len == 0)
                record_begin(payload, s->naming);
        return payload;
}

/* Series before what refers to them. After an error nothing more of the request is logged: samples whose series was not
 * declared would be taken for those of whichever series had the number before. */
static void log_request(Store *s) {
        Writer *w = &s->writer;
        log_payload(s, RECORD_SERIES, &w->series);
        log_payload(s, RECORD_FLOATS, &w->floats);
        log_payload(s, RECORD_HISTOGRAMS, &w->histograms);
        log_payload(s, RECORD_METADATA, &w->metadata);
        writer_reset(w);
}

static int end(SeriesSink *sink, uint64_t *ret_ticket) {
        Store *s = store_of(sink);
        Writer *w = &s->writer;
        assert(w->open);
        log_request(s);
        int r = w->error;
        if (r == 0)
                *ret_ticket = w->lsn;
        if (w->lsn)
                s->appended = w->lsn;
        if (r < 0)
                s->head.epoch++; /* what was to be declared may not be in the log */
        if (s->head.urgent || generation_memory(s->head.current) > s->options.memory / 4)
                s->want_flush = true;
        w->open = false;
        unlock(&s->lock);
        return r;
}

static uint64_t durable(SeriesSink *sink) {
        Store *s = store_of(sink);
        return s->options.ack == ACK_SYNCED ? wal_durable(s->wal) : s->acked;
}

/* ---- Series ---- */

uint16_t store_resolution(const Store *s, Span metric) {
        char name[LABEL_NAME_MAX * 2];
        if (s->options.n_resolutions == 0 || metric.len >= sizeof name)
                return 0;
        memcpy(name, metric.text, metric.len);
        name[metric.len] = '\0';
        for (size_t i = 0; i < s->options.n_resolutions; i++)
                if (fnmatch(s->options.resolutions[i].name, name, 0) == 0)
                        return (uint16_t)(i + 1);
        return 0;
}

static SampleFault make_series(Store *s, RunHash h, const uint8_t *run, size_t len, const Label *labels, size_t n,
                               uint32_t *ret_ref) {
        QuotaLimits limits = { s->options.max_series_source, s->options.max_series_vm, s->options.new_series_source,
                               s->options.new_series_vm };
        Pair *vm = NULL;
        Span metric = { "", 0 }, vm_value = { "", 0 };
        for (size_t i = 0; i < n; i++) {
                if (span_is(labels[i].name, s->vm_label)) {
                        vm_value = labels[i].value;
                        vm = index_pair(s->head.index, labels[i].name, vm_value);
                } else if (span_is(labels[i].name, METRIC_NAME_LABEL))
                        metric = labels[i].value;
        }
        SampleFault f = quota_take(&s->quotas, &limits, s->writer.source, vm, s->writer.now_ms);
        if (f != SAMPLE_OK)
                return f;
        int r = index_add(s->head.index, h, run, len, ret_ref);
        if (r < 0) {
                quota_return(&s->quotas, s->writer.source, vm);
                return r == -ENOSPC ? SAMPLE_SERIES_LIMIT : SAMPLE_NO_MEMORY;
        }
        HeadSeries *x = index_series(s->head.index, *ret_ref);
        if (!vm && vm_value.len)
                quota_first(index_pair(s->head.index, (Span){ s->vm_label, strlen(s->vm_label) }, vm_value),
                            s->writer.now_ms);
        x->source = s->writer.source;
        x->resolution = store_resolution(s, metric);
        x->seen = s->head.current->number;
        s->stats.series_created++;
        return SAMPLE_OK;
}

static SampleFault refuse(Store *s, SampleFault f, size_t n) {
        if (f != SAMPLE_OK)
                s->stats.refused[f] += n;
        return f;
}

static SampleFault series(SeriesSink *sink, const uint8_t *run, size_t len, SeriesRef *ret_ref,
                          LabelsFault *ret_fault) {
        Store *s = store_of(sink);
        Label labels[LABELS_MAX];
        size_t n = 0, at;
        RunHash h = index_hash(s->head.index, run, len);
        uint32_t ref = index_find_near(s->head.index, h, s->writer.next_ref);
        *ret_fault = LABELS_OK;
        if (ref == SERIES_NONE) {
                *ret_fault = labels_parse(run, len, labels, &n, &at);
                SampleFault f = *ret_fault != LABELS_OK ? SAMPLE_LABELS : make_series(s, h, run, len, labels, n, &ref);
                if (f != SAMPLE_OK)
                        return refuse(s, f, 1);
        }
        HeadSeries *x = index_series(s->head.index, ref);
        if (x->source != s->writer.source)
                quota_adopt(&s->quotas, x, s->writer.source);
        if (x->epoch != s->head.epoch) {
                record_put_series(payload_of(s, &s->writer.series), ref, run, len);
                x->epoch = s->head.epoch;
        }
        s->writer.next_ref = ref + 1;
        *ret_ref = ref;
        return SAMPLE_OK;
}

/* ---- Samples ---- */

static SampleFault check_time(const Store *s, int64_t time) {
        return time < s->writer.oldest_ms ? SAMPLE_EXPIRED : time > s->writer.newest_ms ? SAMPLE_TOO_NEW : SAMPLE_OK;
}

/* To a multiple of the declared resolution. 10^-k is applied by its inverse, which is exact. */
static double round_to(double resolution, double v) {
        double inverse = round(1 / resolution), m;
        if (resolution < 1 && fabs(inverse * resolution - 1) < 1e-9) {
                m = round(v * inverse);
                return fabs(m) < 9e15 ? m / inverse : v;
        }
        m = round(v / resolution);
        return fabs(m) < 9e15 ? m * resolution : v;
}

/* Samples that go into the record together: those of one series that were taken, one after the other. */
static void log_floats(Store *s, SeriesRef ref, const int64_t *times, const double *values, size_t n) {
        Writer *w = &s->writer;
        if (n)
                record_put_floats(payload_of(s, &w->floats), &w->floats_ref, &w->floats_ms, ref, times, values, n);
}

/* How many from the first one on are within the bounds of time. */
static size_t timely(const Store *s, const int64_t *times, size_t n) {
        size_t i = 0;
        while (i < n && times[i] >= s->writer.oldest_ms && times[i] <= s->writer.newest_ms)
                i++;
        return i;
}

/* As floats() for values that are as they are to be kept. Runs of samples that are in order are added at once; what
 * stops a run is looked at alone. */
static SampleFault take_floats(Store *s, SeriesRef ref, const int64_t *times, const double *values, size_t n,
                               size_t *taken) {
        SampleFault first = SAMPLE_OK;
        for (size_t at = 0; at < n;) {
                bool same = false;
                size_t run = head_append(&s->head, ref, times + at, values + at, timely(s, times + at, n - at));
                log_floats(s, ref, times + at, values + at, run);
                *taken += run;
                at += run;
                if (at == n)
                        break;
                SampleFault f = check_time(s, times[at]);
                if (f == SAMPLE_OK)
                        f = head_float(&s->head, ref, times[at], values[at], s->options.out_of_order.ns / NS_PER_MS,
                                       &same);
                s->stats.duplicates += same;
                if (f == SAMPLE_OK) {
                        log_floats(s, ref, times + at, values + at, 1);
                        ++*taken;
                } else {
                        first = first == SAMPLE_OK ? f : first;
                        (void)refuse(s, f, 1);
                }
                at++;
        }
        return first;
}

static SampleFault floats(SeriesSink *sink, SeriesRef ref, const int64_t *times, const double *values, size_t n,
                          size_t *ret_taken) {
        Store *s = store_of(sink);
        uint16_t resolution = index_series(s->head.index, ref)->resolution;
        SampleFault first = SAMPLE_OK;
        size_t taken = 0;
        if (resolution == 0)
                first = take_floats(s, ref, times, values, n, &taken);
        for (size_t at = 0; resolution && at < n;) {
                double rounded[64];
                size_t m = n - at < ARRAY_LEN(rounded) ? n - at : ARRAY_LEN(rounded);
                for (size_t i = 0; i < m; i++)
                        rounded[i] = round_to(s->options.resolutions[resolution - 1].resolution, values[at + i]);
                SampleFault f = take_floats(s, ref, times + at, rounded, m, &taken);
                first = first == SAMPLE_OK ? f : first;
                at += m;
        }
        s->stats.samples += taken;
        *ret_taken = taken;
        if (s->writer.floats.len > PAYLOAD_LONG)
                log_request(s);
        return first;
}

static SampleFault histogram(SeriesSink *sink, SeriesRef ref, int64_t time, const uint8_t *bytes, size_t n) {
        Store *s = store_of(sink);
        bool same = false;
        SampleFault f = check_time(s, time);
        if (f == SAMPLE_OK)
                f = head_histogram(&s->head, ref, time, bytes, n, s->options.out_of_order.ns / NS_PER_MS, &same);
        if (f != SAMPLE_OK)
                return refuse(s, f, 1);
        record_put_histogram(payload_of(s, &s->writer.histograms), ref, time, bytes, n);
        s->stats.samples++;
        s->stats.duplicates += same;
        if (s->writer.histograms.len > PAYLOAD_LONG)
                log_request(s);
        return SAMPLE_OK;
}

static bool exemplar(SeriesSink *sink, SeriesRef ref, const uint8_t *labels, size_t len, double value,
                     int64_t time_ms) {
        Store *s = store_of(sink);
        if (s->options.max_exemplars == 0 || check_time(s, time_ms) != SAMPLE_OK)
                return false;
        Buf *run = &s->writer.run;
        buf_reset(run);
        index_run(s->head.index, ref, run);
        if (buf_error(run))
                return false;
        ExemplarAnswer a =
                exemplars_add(&s->exemplars, (const uint8_t *)run->data, run->len, labels, len, value, time_ms);
        return a == EXEMPLAR_TAKEN || a == EXEMPLAR_SAME;
}

static void metadata(SeriesSink *sink, Span metric, MetricType type, Span help, Span unit) {
        Store *s = store_of(sink);
        if (metadata_put(&s->metadata, metric, type, help, unit) > 0)
                metadata_write(metadata_get(&s->metadata, metric), &s->writer.metadata);
}

void writer_init(Store *s) {
        s->sink = (SeriesSink){ begin, series, floats, histogram, exemplar, metadata, end, durable };
        s->writer.store = s;
}

void writer_deinit(Store *s) {
        buf_deinit(&s->writer.series);
        buf_deinit(&s->writer.floats);
        buf_deinit(&s->writer.histograms);
        buf_deinit(&s->writer.metadata);
        buf_deinit(&s->writer.run);
}
