#include "world.h"

#include "custom.h"

#include <assert.h>

#define YEARS(n) SECONDS((int64_t)(n)*365 * 86400)

static WallTime wall(void *context) {
        const World *w = context;
        return w->wall;
}

static MonoTime mono(void *context) {
        const World *w = context;
        return w->mono;
}

static void on_event(void *context, StoreEventKind kind, bool good, const char *text) {
        if (!good)
                fprintf(stderr, "store: %s\n", text);
}

static void open_store(World *w) {
        StoreOptions o;
        PartDamage damage;
        store_options_default(&o);
        o.floor_bytes = 0;
        o.out_of_order = YEARS(200);
        o.future = YEARS(100);
        for (int i = 0; i < STORE_TIER_COUNT; i++)
                o.keep[i] = YEARS(200);
        o.max_series = o.max_series_source = o.max_series_vm = o.new_series_source = o.new_series_vm = 1000000;
        o.wall = wall;
        o.mono = mono;
        o.clock_context = w;
        w->disk = vfs_sim_new(1);
        int r = store_open(vfs_sim_open(w->disk), &o, on_event, w, &w->store, &damage);
        assert(r == 0);
}

static void close_store(World *w) {
        w->store = store_close(w->store);
        w->disk = vfs_sim_free(w->disk);
}

void world_init(World *w, bool flush) {
        *w = (World){ .wall = { YEARS(50).ns }, .mono = { SECONDS(1000).ns }, .flush = flush };
        open_store(w);
}

void world_deinit(World *w) {
        close_store(w);
}

void world_clear(World *w) {
        close_store(w);
        open_store(w);
}

static void side_of(const HistogramSpan *spans, uint32_t n_spans, const double *counts, uint32_t n,
                    HistogramSide *ret) {
        assert(n_spans <= HISTOGRAM_BUCKETS_MAX && n <= HISTOGRAM_BUCKETS_MAX);
        for (uint32_t i = 0; i < n_spans; i++)
                ret->spans[i] = spans[i];
        for (uint32_t i = 0; i < n; i++)
                ret->counts[i] = counts[i];
        ret->n_spans = n_spans;
        ret->n_buckets = n;
}

static SampleFault put_histogram(SeriesSink *s, SeriesRef ref, int64_t time_ms, const FHist *h) {
        CLEANUP(buf_deinit) Buf bytes = BUF_NULL;
        CLEANUP_FREE Histogram *x = calloc(1, sizeof *x);
        assert(x && h->n_custom <= HISTOGRAM_BUCKETS_MAX);
        x->is_float = true;
        x->count_float = h->count;
        x->sum = h->sum;
        x->schema = h->schema;
        x->zero_threshold = h->zero_threshold;
        x->zero_float = h->zero_count;
        x->reset_hint = (uint32_t)h->reset;
        x->n_custom = h->n_custom;
        for (uint32_t i = 0; i < h->n_custom; i++)
                x->custom_bounds[i] = h->custom_bounds[i];
        side_of(h->positive_spans, h->n_positive_spans, h->positive, h->n_positive, &x->positive);
        side_of(h->negative_spans, h->n_negative_spans, h->negative, h->n_negative, &x->negative);
        histogram_write(x, &bytes);
        return s->histogram(s, ref, time_ms, (const uint8_t *)bytes.data, bytes.len);
}

static int put_series(SeriesSink *s, const NotedSeries *series, int64_t step_ms, Buf *error) {
        SeriesRef ref;
        LabelsFault labels = LABELS_OK;
        SampleFault fault = s->series(s, (const uint8_t *)series->run.data, series->run.len, &ref, &labels);
        for (size_t k = 0; k < series->n && fault == SAMPLE_OK; k++) {
                const NotedValue *v = &series->values[k];
                int64_t time_ms = (int64_t)k * step_ms;
                size_t taken;
                if (v->h)
                        fault = put_histogram(s, ref, time_ms, v->h);
                else if (!v->omitted)
                        fault = s->floats(s, ref, &time_ms, &v->v, 1, &taken);
        }
        if (fault == SAMPLE_OK)
                return 0;
        buf_printf(error, "the store refuses ");
        labels_print((const uint8_t *)series->run.data, series->run.len, error);
        buf_printf(error, ": %s%s%s", sample_fault_text(fault), labels ? ": " : "",
                   labels ? labels_fault_text(labels) : "");
        return -EINVAL;
}

static int commit(World *w) {
        int r = store_commit(w->store);
        if (r == 0 && w->flush)
                r = store_flush(w->store, true);
        return r;
}

int world_load(World *w, const NotedSeries *series, size_t n, int64_t step_ms, bool custom, Buf *ret_error) {
        CLEANUP(custom_deinit) Custom histograms = { 0 };
        SeriesSink *s = store_sink(w->store);
        uint64_t ticket;
        int r = s->begin(s, "script");
        assert(r == 0);
        for (size_t i = 0; i < n && r == 0; i++)
                r = put_series(s, &series[i], step_ms, ret_error);
        if (r == 0 && custom)
                r = custom_collect(&histograms, series, n, ret_error);
        for (size_t i = 0; i < histograms.n && r == 0; i++)
                r = put_series(s, &histograms.series[i], step_ms, ret_error);
        int ended = s->end(s, &ticket);
        assert(ended == 0);
        if (r == 0)
                r = commit(w);
        return r;
}
