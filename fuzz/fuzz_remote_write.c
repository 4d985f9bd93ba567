/* Requests of remote write, through all that is between HTTP and the sink. The first byte says which version it is (bit 0), and
 * whether what follows is compressed already (bit 1) or a message. The sink believes nothing: runs of labels that it takes are
 * canonical, histograms read back to the same bytes. */
#include "ingest/remote_write.h"
#include "model/histogram.h"
#include "net/test_fake_http.h"

#include <snappy-c.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

typedef struct Checker {
        SeriesSink sink;
        uint64_t n_series, n_samples, n_begun;
        volatile uint64_t sum; /* so that the reads stay */
} Checker;

static int check_begin(SeriesSink *s, const char *source) {
        assert(source[0]);
        ((Checker *)s)->n_begun++;
        return 0;
}

static SampleFault check_series(SeriesSink *s, const uint8_t *run, size_t len, SeriesRef *ret_ref, LabelsFault *ret_fault) {
        Checker *c = (Checker *)s;
        Label labels[LABELS_MAX];
        size_t n, at;
        for (size_t i = 0; i < len; i++)
                c->sum += run[i];
        *ret_fault = labels_parse(run, len, labels, &n, &at);
        if (*ret_fault)
                return SAMPLE_LABELS;
        *ret_ref = (SeriesRef)c->n_series++;
        return SAMPLE_OK;
}

static SampleFault check_floats(SeriesSink *s, SeriesRef ref, const int64_t *times, const double *values, size_t n, size_t *ret_taken) {
        Checker *c = (Checker *)s;
        assert(ref + 1 == c->n_series && n > 0);
        for (size_t i = 0; i < n; i++) {
                uint64_t bits;
                memcpy(&bits, &values[i], sizeof bits);
                c->sum += bits ^ (uint64_t)times[i];
        }
        *ret_taken = times[0] % 3 == 0 ? n - 1 : n; /* now and then one is refused */
        c->n_samples += *ret_taken;
        return *ret_taken == n ? SAMPLE_OK : SAMPLE_DUPLICATE;
}

static SampleFault check_histogram(SeriesSink *s, SeriesRef ref, int64_t time, const uint8_t *bytes, size_t n) {
        CLEANUP_FREE Histogram *h = malloc(sizeof *h);
        CLEANUP(buf_deinit) Buf again = BUF_NULL;
        const char *why;
        int64_t none;
        (void)time;
        assert(h && ref + 1 == ((Checker *)s)->n_series);
        int r = histogram_parse(bytes ? bytes : (const uint8_t *)"", n, h, &none, &why);
        assert(r == 0 && none == 0);
        histogram_write(h, &again);
        assert(again.len == n && (n == 0 || memcmp(again.data, bytes, n) == 0));
        return SAMPLE_OK;
}

static bool check_exemplar(SeriesSink *s, SeriesRef ref, const uint8_t *run, size_t len, double value, int64_t time) {
        Checker *c = (Checker *)s;
        Label labels[LABELS_MAX];
        (void)value, (void)time;
        assert(ref + 1 == c->n_series);
        c->sum += labels_split(run, len, labels);
        return len % 2;
}

static void check_metadata(SeriesSink *s, Span metric, MetricType type, Span help, Span unit) {
        Checker *c = (Checker *)s;
        assert(type < METRIC_TYPE_COUNT);
        for (size_t i = 0; i < metric.len + help.len + unit.len; i++)
                c->sum += (uint8_t)(i < metric.len ? metric.text[i] : i - metric.len < help.len ? help.text[i - metric.len] : unit.text[i - metric.len - help.len]);
}

static int check_end(SeriesSink *s, uint64_t *ret_ticket) {
        *ret_ticket = ((Checker *)s)->n_begun;
        return 0;
}

static uint64_t check_durable(SeriesSink *s) {
        return ((Checker *)s)->n_begun;
}

static void send(const uint8_t *packed, size_t n, bool two) {
        Checker c = { .sink = { check_begin, check_series, check_floats, check_histogram, check_exemplar, check_metadata, check_end,
                              check_durable } };
        FakeHttp fake = { .content_type = two ? "application/x-protobuf;proto=io.prometheus.write.v2.Request" : NULL };
        HttpRequest request = { .method = "POST", .connection = &fake, .body = packed, .body_len = n };
        HttpResponse response = { .body = BUF_WITH_LIMIT(1 << 20) };
        RemoteWrite *w = NULL;
        uint64_t ticket;
        int r = remote_write_new(&w);
        assert(r == 0);
        bool has_ticket = remote_write_take(w, &c.sink, &request, &response, &ticket);
        const RemoteWriteStats *stats = remote_write_stats(w);
        assert(has_ticket == (c.n_begun == 1) && stats->samples == c.n_samples);
        assert(response.status == 204 || (response.status >= 400 && response.status < 500 && response.body.len > 0 && response.body.len < 40000));
        assert(!two || !has_ticket || fake_number(&response, "X-Prometheus-Remote-Write-Samples-Written") == (int64_t)c.n_samples);
        buf_deinit(&response.body);
        w = remote_write_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        if (n == 0)
                return 0;
        bool two = bytes[0] & 1;
        /* Of the exact size: the sanitizer sees a read beyond it. */
        size_t len = bytes[0] & 2 ? n - 1 : snappy_max_compressed_length(n - 1);
        CLEANUP_FREE uint8_t *packed = malloc(len ? len : 1);
        assert(packed);
        if (bytes[0] & 2)
                memcpy(packed, bytes + 1, len);
        else
                (void)snappy_compress((const char *)bytes + 1, n - 1, (char *)packed, &len);
        send(packed, len, two);
        return 0;
}
