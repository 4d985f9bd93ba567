/* Requests of remote write against a recording sink, without an HTTP server: rows B1 to B18 of the catalogue of bad
 * input, as far as they are not about HTTP (src/api/test_write.c has those). */
#include "ingest/remote_write.h"

#include "base/test_proto.h"
#include "ingest/faults.h"
#include "model/test_sink.h"
#include "net/test_fake_http.h"

#include <math.h>
#include <setjmp.h>
#include <snappy-c.h>
#include <stdarg.h>
#include <cmocka.h>

#define T INT64_C(1700000000000)
#define TYPE_1 "application/x-protobuf"
#define TYPE_2 "application/x-protobuf;proto=io.prometheus.write.v2.Request"
#define SAMPLES_WRITTEN "X-Prometheus-Remote-Write-Samples-Written"
#define HISTOGRAMS_WRITTEN "X-Prometheus-Remote-Write-Histograms-Written"

typedef struct Bench {
        Recorder recorder;
        RemoteWrite *writer;
        FakeHttp fake;
        HttpResponse response;
        bool has_ticket;
        uint64_t ticket;
} Bench;

static int setup(void **state) {
        Bench *b = calloc(1, sizeof *b);
        assert_non_null(b);
        b->recorder = RECORDER;
        b->recorder.now_ms = T;
        b->recorder.window_ms = 60000;
        b->fake = (FakeHttp){ .content_type = TYPE_1, .content_encoding = "snappy" };
        assert_int_equal(remote_write_new(&b->writer), 0);
        *state = b;
        return 0;
}

static int teardown(void **state) {
        Bench *b = *state;
        recorder_deinit(&b->recorder);
        b->writer = remote_write_free(b->writer);
        buf_deinit(&b->response.body);
        free(b);
        return 0;
}

/* Bytes as they are; returns the status. */
static int send_raw(Bench *b, const void *bytes, size_t n) {
        HttpRequest r = { .method = "POST",
                          .path = "/api/v1/write",
                          .accept = "",
                          .connection = &b->fake,
                          .body = bytes,
                          .body_len = n };
        buf_deinit(&b->response.body);
        b->response = (HttpResponse){ .status = 200, .body = BUF_WITH_LIMIT(1 << 20) };
        b->has_ticket = remote_write_take(b->writer, &b->recorder.sink, &r, &b->response, &b->ticket);
        (void)buf_cstr(&b->response.body);
        return b->response.status;
}

/* A message, packed; takes it. */
static int send_message(Bench *b, Buf *message) {
        size_t n = snappy_max_compressed_length(message->len);
        CLEANUP_FREE char *packed = malloc(n);
        assert_int_equal(snappy_compress(message->data ? message->data : "", message->len, packed, &n), SNAPPY_OK);
        buf_reset(message);
        return send_raw(b, packed, n);
}

static void says(const Bench *b, const char *part) {
        if (!strstr(b->response.body.data, part))
                fail_msg("\"%s\" is not in: %s", part, b->response.body.data);
}

static void nothing_reached_the_sink(const Bench *b) {
        assert_true(b->recorder.begins == 0 && recorded_samples(&b->recorder) == 0 && !b->has_ticket);
}

static void all_taken(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL;
        rw1_one(&m, "up", 1, T);
        rw1_one(&m, "down", 2, T);
        assert_int_equal(send_message(b, &m), 204);
        assert_true(b->has_ticket && b->ticket == 1 && b->response.body.len == 0 && b->response.n_numbers == 0);
        assert_string_equal(b->recorder.source, "remote_write");
        assert_true(recorded(&b->recorder, "up{job=\"a\"}")->values[0] == 1);
        assert_int_equal(remote_write_stats(b->writer)->samples, 2);
        assert_int_equal(send_message(b, &m), 204); /* an empty message */
}

static void b1_b4_snappy(void **state) {
        Bench *b = *state;
        assert_int_equal(send_raw(b, "\xff\xff\xff\xff\x0f", 5), 413);
        says(b, "32 MiB");
        assert_int_equal(send_raw(b, "\x02\x08" "abc", 5), 400);
        assert_int_equal(send_raw(b, "\x08\x0c" "abcd\x01\x00", 8), 400);
        assert_int_equal(send_raw(b, "\xff\x06\x00\x00sNaPpY\x01\x05\x00\x00", 14), 400);
        says(b, "framed");
        nothing_reached_the_sink(b);
        assert_int_equal(remote_write_stats(b->writer)->refused, 4);
}

static void b5_encodings(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL;
        static const char *const BAD[] = { "zstd", "gzip", "snappy, snappy", "identity", "" };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                rw1_one(&m, "up", 1, T);
                b->fake.content_encoding = BAD[i];
                assert_int_equal(send_message(b, &m), 415);
                says(b, "snappy");
        }
        b->fake.content_encoding = "snappy";
        rw1_one(&m, "up", 1, T);
        assert_int_equal(send_raw(b, m.data, m.len), 400); /* not compressed */
        assert_int_equal(send_raw(b, "\x28\xb5\x2f\xfd\x04\x00\x01\x00", 8), 400);
        says(b, "zstd");
        nothing_reached_the_sink(b);
        buf_reset(&m);
        rw1_one(&m, "up", 1, T);
        b->fake.content_encoding = "SNAPPY";
        assert_int_equal(send_message(b, &m), 204);
        rw1_one(&m, "up", 1, T);
        b->fake.content_encoding = b->fake.content_type = NULL; /* senders of the first days */
        assert_int_equal(send_message(b, &m), 204);
}

static void put_v2(Buf *m, double value) {
        static const char *const SYMBOLS[] = { "", "__name__", "up", "job", "a", "Whether it is up.", "bool" };
        CLEANUP(buf_deinit) Buf s = BUF_NULL, x = BUF_NULL;
        for (size_t i = 0; i < ARRAY_LEN(SYMBOLS); i++)
                p_text(m, 4, SYMBOLS[i]);
        rw2_refs(&s, (uint32_t[]){ 1, 2, 3, 4 }, 4);
        rw_sample(&s, value, T);
        p_text(&s, 4, "");
        p_varint(&x, 1, 2);
        p_varint(&x, 3, 5);
        p_varint(&x, 4, 6);
        p_message(&s, 5, &x);
        p_message(m, 5, &s);
}

static void b6_content_types(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL;
        static const char *const BAD[] = {
                "application/json",
                "application/x-protobuf;proto=x",
                "text/plain",
                "application/x-protobufs",
                "",
                "application/x-protobuf; proto=io.prometheus.write.v2.Request; proto=other"
        };
        static const char *const TWO[] = { TYPE_2, "Application/X-Protobuf ; Proto=\"io.prometheus.write.v2.Request\"",
                                           "application/x-protobuf;charset=x;proto=io.prometheus.write.v2.Request" };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                b->fake.content_type = BAD[i];
                rw1_one(&m, "up", 1, T);
                assert_int_equal(send_message(b, &m), 415);
        }
        b->fake.content_type = TYPE_1;
        put_v2(&m, 1);
        assert_int_equal(send_message(b, &m), 400);
        says(b, "2.0 with the Content-Type of 1.0");
        b->fake.content_type = TYPE_2;
        rw1_one(&m, "up", 1, T);
        assert_int_equal(send_message(b, &m), 400);
        assert_int_equal(fake_number(&b->response, SAMPLES_WRITTEN), 0);
        nothing_reached_the_sink(b);
        for (size_t i = 0; i < ARRAY_LEN(TWO); i++) {
                b->fake.content_type = TWO[i];
                put_v2(&m, 1);
                assert_int_equal(send_message(b, &m), 204);
                assert_int_equal(fake_number(&b->response, SAMPLES_WRITTEN), 1);
                assert_int_equal(fake_number(&b->response, HISTOGRAMS_WRITTEN), 0);
                assert_int_equal(fake_number(&b->response, "X-Prometheus-Remote-Write-Exemplars-Written"), 1);
        }
        b->fake.content_type = "application/x-protobuf;proto=prometheus.WriteRequest";
        rw1_one(&m, "up", 1, T);
        assert_int_equal(send_message(b, &m), 204);
}

static void b7_symbols(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL, s = BUF_NULL;
        b->fake.content_type = TYPE_2;
        put_v2(&m, 1);
        rw2_refs(&s, (uint32_t[]){ 1, 99 }, 2);
        rw_sample(&s, 1, T);
        p_message(&m, 5, &s);
        assert_int_equal(send_message(b, &m), 400);
        says(b, "out of range");
        assert_int_equal(fake_number(&b->response, SAMPLES_WRITTEN), 0);
        assert_int_equal(fake_number(&b->response, HISTOGRAMS_WRITTEN), 0);
        nothing_reached_the_sink(b);
}

static void b8_b9_messages(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL;
        rw1_one(&m, "up", 1, T);
        buf_put(&m, "\x0a\x05", 2);
        assert_int_equal(send_message(b, &m), 400);
        says(b, "at byte ");
        nothing_reached_the_sink(b);
        for (int i = 0; i < 1000000; i++)
                buf_put(&m, "\x98\x06\x01", 3);
        rw1_one(&m, "up", 1, T);
        assert_int_equal(send_message(b, &m), 204);
}

static void b10_empty_body(void **state) {
        Bench *b = *state;
        assert_int_equal(send_raw(b, "", 0), 400);
        says(b, "empty");
}

static int send_labels(Bench *b, const char *const *labels, size_t n) {
        CLEANUP(buf_deinit) Buf m = BUF_NULL, s = BUF_NULL;
        for (size_t i = 0; i + 1 < n; i += 2)
                rw_label(&s, labels[i], labels[i + 1]);
        rw_sample(&s, 1, T);
        p_message(&m, 1, &s);
        return send_message(b, &m);
}

#define LABELS(...)                                                                                                    \
        send_labels(b, (const char *const[]){ __VA_ARGS__ },                                                           \
                    sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static void b11_labels(void **state) {
        Bench *b = *state;
        assert_int_equal(LABELS("__name__", "x", "a", "1", "a", "2"), 400);
        says(b, "twice");
        assert_int_equal(LABELS("__name__", "x", "b", "1", "a", "2"), 400);
        says(b, "{__name__=\"x\", b=\"1\", a=\"2\"}: label names are not sorted");
        assert_int_equal(LABELS("", "1", "__name__", "x"), 400);
        says(b, "name is empty");
        assert_int_equal(LABELS("job", "a"), 400);
        says(b, "__name__ is missing");
        assert_int_equal(LABELS("__name__", "x", "a", "\xff\x1b[31m"), 400);
        says(b, "not UTF-8");
        assert_null(strchr(b->response.body.data, 0x1b)); /* no terminal is told anything */
        CLEANUP(buf_deinit) Buf m = BUF_NULL, s = BUF_NULL, l = BUF_NULL;
        rw_label(&s, "__name__", "x");
        p_text(&l, 1, "nul");
        p_bytes(&l, 2, "a\0b", 3);
        p_message(&s, 1, &l);
        rw_sample(&s, 1, T);
        p_message(&m, 1, &s);
        assert_int_equal(send_message(b, &m), 400);
        says(b, "NUL");
        assert_int_equal(recorded_samples(&b->recorder), 0);
        assert_int_equal(remote_write_stats(b->writer)->faults[SAMPLE_LABELS], 6);
        assert_int_equal(LABELS("__name__", "x", "empty", ""), 204);
        assert_non_null(recorded(&b->recorder, "x"));
}

static void b12_large_labels(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL, s = BUF_NULL;
        CLEANUP_FREE char *long_text = calloc(1, 10 << 20);
        memset(long_text, 'x', (10 << 20) - 1);
        assert_int_equal(LABELS("__name__", "x", "a", long_text), 400);
        says(b, "4096");
        assert_true(b->response.body.len < 1000);
        for (int n = 100; n <= 10000; n *= 100) {
                rw_label(&s, "__name__", "x");
                for (int i = 0; i < n; i++) {
                        char name[16];
                        (void)snprintf(name, sizeof name, "l%05d", i);
                        rw_label(&s, name, "v");
                }
                rw_sample(&s, 1, T);
                p_message(&m, 1, &s);
                assert_int_equal(send_message(b, &m), 400);
                says(b, n == 100 ? "more than 64 labels" : "longer than 65535 bytes");
                assert_true(b->response.body.len < 2000);
        }
}

static int send_one(Bench *b, double value, int64_t time) {
        CLEANUP(buf_deinit) Buf m = BUF_NULL;
        rw1_one(&m, "x", value, time);
        return send_message(b, &m);
}

static void b13_duplicates(void **state) {
        Bench *b = *state;
        assert_int_equal(send_one(b, 1, T), 204);
        assert_int_equal(send_one(b, 1, T), 204);
        assert_int_equal(send_one(b, 2, T), 400);
        says(b, "1 of 1 samples were not taken: 1 duplicate\n{__name__=\"x\", job=\"a\"} at 1700000000000: there is "
                "another value");
        assert_int_equal(recorded_samples(&b->recorder), 1);
}

static void b14_out_of_bounds(void **state) {
        Bench *b = *state;
        static const int64_t NEW[] = { T + INT64_C(365) * 86400000, INT64_MAX, T + 600001 },
                             OLD[] = { 1000, INT64_MIN, -1 };
        for (size_t i = 0; i < ARRAY_LEN(NEW); i++) {
                assert_int_equal(send_one(b, 1, NEW[i]), 400);
                says(b, "ahead of the clock");
        }
        for (size_t i = 0; i < ARRAY_LEN(OLD); i++) {
                assert_int_equal(send_one(b, 1, OLD[i]), 400);
                says(b, "older than what is kept");
        }
        assert_int_equal(recorded_samples(&b->recorder), 0);
}

static void b15_out_of_order(void **state) {
        Bench *b = *state;
        assert_int_equal(send_one(b, 1, T), 204);
        assert_int_equal(send_one(b, 1, T - 60000), 204);
        assert_int_equal(send_one(b, 1, T - 60001), 400);
        says(b, "out_of_order");
}

static double from_bits(uint64_t bits) {
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
}

static void b16_bits(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL, s = BUF_NULL;
        static const uint64_t BITS[] = { UINT64_C(0x7ff0000000000002),
                                         UINT64_C(0x7ff8000000000001),
                                         UINT64_C(0xfff8deadbeef0001),
                                         UINT64_C(0x8000000000000000),
                                         1,
                                         UINT64_C(0x800fffffffffffff),
                                         UINT64_C(0x7ff0000000000000),
                                         0 };
        rw_label(&s, "__name__", "bits");
        for (size_t i = 0; i < ARRAY_LEN(BITS); i++)
                rw_sample(&s, from_bits(BITS[i]), T + (int64_t)i);
        p_message(&m, 1, &s);
        assert_int_equal(send_message(b, &m), 204);
        assert_memory_equal(recorded(&b->recorder, "bits")->values, BITS, sizeof BITS);
}

static void b17_histograms(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL, s = BUF_NULL, h = BUF_NULL;
        rw_label(&s, "__name__", "h");
        p_double(&h, 3, 2.5);
        p_varint(&h, 1, 0);
        p_varint(&h, 15, T);
        p_message(&s, 4, &h);
        p_varint(&h, 4, zigzag(127));
        p_varint(&h, 15, T);
        p_message(&s, 4, &h);
        p_message(&m, 1, &s);
        assert_int_equal(send_message(b, &m), 400);
        says(b, "bad_histogram");
        says(b, "the schema is not");
        RecordedSeries *x = recorded(&b->recorder, "h");
        assert_true(x->n_histograms == 1 && x->times[0] == T && x->histogram.len == 9); /* canonical: the sum alone */
        assert_int_equal(remote_write_stats(b->writer)->histograms, 1);
}

static void b18_good_and_bad(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL, s = BUF_NULL;
        b->fake.content_type = TYPE_2;
        put_v2(&m, 1);
        rw2_refs(&s, (uint32_t[]){ 3, 4, 1, 2 }, 4); /* unsorted */
        rw_sample(&s, 1, T);
        rw_sample(&s, 2, T + 1);
        p_message(&m, 5, &s);
        rw2_refs(&s, (uint32_t[]){ 1, 4 }, 2);
        rw_sample(&s, 1, T);
        rw_sample(&s, 2, T + 1);
        rw_sample(&s, 3, INT64_MAX);
        p_message(&m, 5, &s);
        assert_int_equal(send_message(b, &m), 400);
        says(b, "3 of 6 samples were not taken: 2 labels, 1 too_new");
        assert_true(b->has_ticket && fake_number(&b->response, SAMPLES_WRITTEN) == 3 &&
                    fake_number(&b->response, "Retry-After") == -1);
        assert_true(recorded(&b->recorder, "a")->n == 2 && recorded(&b->recorder, "up{job=\"a\"}")->n == 1);
        assert_int_equal(remote_write_stats(b->writer)->samples, 3);
        assert_int_equal(remote_write_stats(b->writer)->faults[SAMPLE_TOO_NEW], 1);
}

static void limits_are_temporary(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL;
        b->recorder.max_series = 1;
        rw1_one(&m, "x", 1, T);
        rw1_one(&m, "y", 1, T);
        assert_int_equal(send_message(b, &m), 429);
        says(b, "series_limit");
        assert_true(b->has_ticket && fake_number(&b->response, "Retry-After") > 0 &&
                    recorded_samples(&b->recorder) == 1);
}

static void sinks_that_refuse(void **state) {
        Bench *b = *state;
        static const int ERRORS[] = { -ENOSPC, -EROFS, -ENOBUFS, -ENOMEM, -EIO };
        b->fake.content_type = TYPE_2;
        for (size_t i = 0; i < 2 * ARRAY_LEN(ERRORS); i++) {
                CLEANUP(buf_deinit) Buf m = BUF_NULL;
                b->recorder.begin_error = i % 2 ? 0 : ERRORS[i / 2];
                b->recorder.end_error = i % 2 ? ERRORS[i / 2] : 0;
                put_v2(&m, 1);
                assert_int_equal(send_message(b, &m), 503);
                assert_true(!b->has_ticket && fake_number(&b->response, "Retry-After") > 0 && b->response.body.len > 0);
                assert_int_equal(fake_number(&b->response, SAMPLES_WRITTEN), 0);
        }
        assert_int_equal(remote_write_stats(b->writer)->samples, 0);
}

static void descriptions(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL, d = BUF_NULL;
        p_varint(&d, 1, 1);
        p_text(&d, 2, "requests_total");
        p_text(&d, 4, "Requests.");
        p_message(&m, 3, &d);
        assert_int_equal(send_message(b, &m), 204);
        assert_true(b->recorder.descriptions == 1 && b->recorder.type == METRIC_COUNTER);
        assert_string_equal(b->recorder.metric, "requests_total");
        b->fake.content_type = TYPE_2;
        put_v2(&m, 1);
        for (int i = 0; i < 3; i++) { /* the same metric again */
                CLEANUP(buf_deinit) Buf s = BUF_NULL;
                rw2_refs(&s, (uint32_t[]){ 1, 2, 3, (uint32_t)i + 1 }, 4);
                rw_sample(&s, 1, T);
                p_varint(&d, 1, 2);
                p_varint(&d, 3, 5);
                p_varint(&d, 4, 6);
                p_message(&s, 5, &d);
                p_message(&m, 5, &s);
        }
        assert_int_equal(send_message(b, &m), 204);
        assert_true(b->recorder.descriptions == 2 && b->recorder.type == METRIC_GAUGE);
        assert_string_equal(b->recorder.help, "Whether it is up.");
        assert_string_equal(b->recorder.unit, "bool");
        assert_int_equal(remote_write_stats(b->writer)->exemplars, 1);
}

/* The good ones reach the sink, with their series; the others cost the request nothing. */
static void exemplars(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf m = BUF_NULL, s = BUF_NULL, e = BUF_NULL;
        rw_label(&s, "__name__", "x_bucket"); /* without a sample */
        rw_label(&e, "trace_id", "abc");
        p_double(&e, 2, 0.25);
        p_varint(&e, 3, T);
        p_message(&s, 3, &e);
        p_text(&s, 3, "\x01");
        p_message(&m, 1, &s);
        assert_int_equal(send_message(b, &m), 204);
        assert_true(b->recorder.exemplars == 1 && b->recorder.exemplar_value == 0.25 && b->recorder.exemplar_ms == T);
        assert_string_equal(buf_cstr(&b->recorder.exemplar_labels), "{trace_id=\"abc\"}");
        assert_true(remote_write_stats(b->writer)->exemplars == 1 &&
                    remote_write_stats(b->writer)->exemplars_dropped == 1);
        b->fake.content_type = TYPE_2;
        b->recorder.no_exemplars = true;
        put_v2(&m, 1);
        assert_int_equal(send_message(b, &m), 204);
        assert_int_equal(fake_number(&b->response, "X-Prometheus-Remote-Write-Exemplars-Written"), 0);
        assert_int_equal(remote_write_stats(b->writer)->exemplars_dropped, 2);
}

/* However much is wrong, the answer is short. */
static void faults_are_bounded(void **state) {
        (void)state;
        CLEANUP(ingest_faults_deinit) IngestFaults f = INGEST_FAULTS_NULL;
        CLEANUP(buf_deinit) Buf out = BUF_NULL, s = BUF_NULL;
        static char text[5000];
        memset(text, 0x1b, sizeof text - 1);
        for (int i = 0; i < 1000; i++)
                rw_label(&s, text, text);
        for (int i = 0; i < 1000; i++)
                ingest_faults_add(&f, &(IngestFault){ .fault = SAMPLE_LABELS,
                                                      .labels = LABELS_TOO_MANY,
                                                      .run = (uint8_t *)s.data,
                                                      .run_len = s.len,
                                                      .n = 3 });
        ingest_faults_print(&f, 5000, &out);
        assert_true(f.total == 3000 && out.len <= 20000 && ingest_faults_status(&f) == 400);
        ingest_faults_reset(&f);
        assert_int_equal(ingest_faults_status(&f), 0);
        for (SampleFault i = SAMPLE_OK; i < SAMPLE_FAULT_COUNT; i++)
                assert_true(sample_fault_name(i)[0] && sample_fault_text(i)[0]);
        ingest_faults_add(
                &f,
                &(IngestFault){ .fault = SAMPLE_NO_MEMORY, .run = (const uint8_t *)"\x0a\xff", .run_len = 2, .n = 1 });
        assert_int_equal(ingest_faults_status(&f), 503);
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(all_taken),         TEST(b1_b4_snappy),
                TEST(b5_encodings),      TEST(b6_content_types),
                TEST(b7_symbols),        TEST(b8_b9_messages),
                TEST(b10_empty_body),    TEST(b11_labels),
                TEST(b12_large_labels),  TEST(b13_duplicates),
                TEST(b14_out_of_bounds), TEST(b15_out_of_order),
                TEST(b16_bits),          TEST(b17_histograms),
                TEST(b18_good_and_bad),  TEST(limits_are_temporary),
                TEST(sinks_that_refuse), TEST(descriptions),
                TEST(exemplars),         cmocka_unit_test(faults_are_bounded),
        };
        return cmocka_run_group_tests_name("remote_write", tests, NULL, NULL);
}
