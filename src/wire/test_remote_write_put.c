/* What is put is read back by the decoder: all shapes of samples, both versions. */
#include "base/test_proto.h"
#include "wire/remote_write.h"
#include "wire/remote_write_put.h"
#include "wire/snappy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define T INT64_C(1700000000123)

static void build(Buf *run, const char *metric, const char *job) {
        Label labels[] = { { { "job", 3 }, { job, strlen(job) } }, { { "__name__", 8 }, { metric, strlen(metric) } } };
        assert_int_equal(labels_build(labels, 2, run), LABELS_OK);
}

static void parses(const Buf *b, RwVersion version, RwRequest *q) {
        RwError e = { 0 };
        if (rw_parse((const uint8_t *)b->data, b->len, version, q, &e) != 0)
                fail_msg("%s at %zu", e.what, e.at);
}

static void run_is(RwRequest *q, size_t i, const char *text) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        const uint8_t *run;
        size_t len;
        assert_int_equal(rw_series_run(q, &q->series[i], &run, &len), LABELS_OK);
        labels_print(run, len, &b);
        assert_string_equal(buf_cstr(&b), text);
}

static const RwPutSample SAMPLES[] = {
        { T, 1.5 }, { T + 1, 0 }, { 0, 2 }, { 0, 0 }, { -5, -0.0 }, { INT64_MAX, 3 }, { INT64_MIN, 4 }, { 1, 5 },
};

static void samples_are(const RwRequest *q, size_t first) {
        for (size_t i = 0; i < ARRAY_LEN(SAMPLES); i++) {
                assert_int_equal(q->times[first + i], SAMPLES[i].time_ms);
                assert_memory_equal(&q->values[first + i], &SAMPLES[i].value, sizeof(double));
        }
}

static void version_1(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, run = BUF_NULL, other = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        RwPutSample h = { T, 0, RW_PUT_HISTOGRAM, 2, (const uint8_t *)"\x08\x07" };
        build(&run, "up", "a");
        build(&other, "h", "b");
        rw_put_series_1(&b, (uint8_t *)run.data, run.len, SAMPLES, ARRAY_LEN(SAMPLES));
        rw_put_series_1(&b, (uint8_t *)other.data, other.len, &h, 1);
        rw_put_metadata_1(&b, (Span){ "up", 2 }, METRIC_GAUGE, (Span){ "Help.", 5 }, (Span){ "", 0 });
        rw_put_metadata_1(&b, (Span){ "h", 1 }, METRIC_UNTYPED, (Span){ "", 0 }, (Span){ "seconds", 7 });
        parses(&b, RW_1, &q);
        assert_true(q.n_series == 2 && q.n_floats == ARRAY_LEN(SAMPLES) && q.n_histograms == 1 && q.n_metadata == 2);
        assert_non_null(q.series[0].run); /* in place: canonical */
        run_is(&q, 0, "up{job=\"a\"}");
        run_is(&q, 1, "h{job=\"b\"}");
        samples_are(&q, 0);
        assert_true(q.metadata[0].type == METRIC_GAUGE && span_is(q.metadata[0].help, "Help.") &&
                    q.metadata[0].unit.len == 0);
        assert_true(q.metadata[1].type == METRIC_UNTYPED && span_is(q.metadata[1].name, "h") &&
                    span_is(q.metadata[1].unit, "seconds"));
        assert_int_equal(q.histograms[0].bytes[0], 8);
        assert_int_equal(q.histograms[0].bytes[2], 15 << 3); /* its time behind it */
}

static void version_2(void **state) {
        (void)state;
        static const char *const SYMBOLS[] = { "", "__name__", "up", "job", "a", "Help.", "seconds" };
        static const uint32_t REFS[] = { 1, 2, 3, 4 };
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        RwPutMetadata m = { METRIC_COUNTER, 5, 6 };
        for (size_t i = 0; i < ARRAY_LEN(SYMBOLS); i++)
                rw_put_symbol_2(&b, (Span){ SYMBOLS[i], strlen(SYMBOLS[i]) });
        rw_put_series_2(&b, REFS, 4, SAMPLES, ARRAY_LEN(SAMPLES), &m);
        rw_put_series_2(&b, REFS, 4, SAMPLES, 1, NULL);
        parses(&b, RW_2, &q);
        assert_true(q.n_series == 2 && q.n_floats == ARRAY_LEN(SAMPLES) + 1);
        run_is(&q, 0, "up{job=\"a\"}");
        run_is(&q, 1, "up{job=\"a\"}");
        samples_are(&q, 0);
        assert_true(q.series[0].has_metadata && q.series[0].type == METRIC_COUNTER && q.series[0].help == 5 &&
                    q.series[0].unit == 6);
        assert_false(q.series[1].has_metadata);
}

static void exemplars(void **state) {
        (void)state;
        static const char *const SYMBOLS[] = { "", "__name__", "up", "trace", "abc" };
        static const uint32_t REFS[] = { 1, 2 };
        CLEANUP(buf_deinit) Buf one = BUF_NULL, two = BUF_NULL, run = BUF_NULL, labels = BUF_NULL, got = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        Label trace = { { "trace", 5 }, { "abc", 3 } };
        double value;
        int64_t time;
        build(&run, "up", "a");
        assert_int_equal(labels_build(&trace, 1, &labels), LABELS_OK);
        RwPutSample x[] = { { T, 1 },
                            { T + 1, 2.5, RW_PUT_EXEMPLAR, (uint32_t)labels.len, (uint8_t *)labels.data },
                            { T + 2, 3, RW_PUT_EXEMPLAR } };
        rw_put_series_1(&one, (uint8_t *)run.data, run.len, x, 3);
        for (size_t i = 0; i < ARRAY_LEN(SYMBOLS); i++)
                rw_put_symbol_2(&two, (Span){ SYMBOLS[i], strlen(SYMBOLS[i]) });
        x[1].bytes = (const uint8_t *)"\x03\x04";
        x[1].len = 2;
        rw_put_series_2(&two, REFS, 2, x, 3, NULL);
        for (RwVersion v = RW_1; v <= RW_2; v++) {
                parses(v == RW_1 ? &one : &two, v, &q);
                assert_true(q.n_exemplars == 2 && q.n_floats == 1);
                buf_reset(&got);
                assert_true(rw_exemplar(&q, &q.exemplars[0], &got, &value, &time));
                assert_true(value == 2.5 && time == T + 1 && got.len == labels.len);
                assert_memory_equal(got.data, labels.data, got.len);
                buf_reset(&got);
                assert_true(rw_exemplar(&q, &q.exemplars[1], &got, &value, &time) && value == 3 && got.len == 0);
        }
}

/* A message written out by hand. */
static void known_bytes(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, run = BUF_NULL;
        build(&run, "up", "a");
        rw_put_series_1(&b, (uint8_t *)run.data, run.len, &(RwPutSample){ 1000, 1 }, 1);
        static const uint8_t WANTED[] = "\x0a\x28\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01"
                                        "a\x12\x0c\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xe8\x07";
        assert_int_equal(b.len, sizeof WANTED - 1);
        assert_memory_equal(b.data, WANTED, sizeof WANTED - 1);
}

static void compressed(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, packed = BUF_NULL, again = BUF_NULL;
        const char *why = NULL;
        for (int i = 0; i < 10000; i++)
                buf_printf(&b, "sample %d ", i % 100);
        assert_int_equal(snappy_block_encode(b.data, b.len, &packed), 0);
        assert_true(packed.len < b.len / 5);
        assert_int_equal(snappy_block_decode((uint8_t *)packed.data, packed.len, 1 << 20, &again, &why), 0);
        assert_true(again.len == b.len && memcmp(again.data, b.data, b.len) == 0);
        assert_int_equal(snappy_block_encode("", 0, &packed), 0);
        assert_int_equal(packed.len, 1);
        CLEANUP(buf_deinit) Buf tight = BUF_WITH_LIMIT(100);
        assert_int_equal(snappy_block_encode(b.data, b.len, &tight), -EFBIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(version_1),
                cmocka_unit_test(version_2),
                cmocka_unit_test(exemplars),
                cmocka_unit_test(known_bytes),
                cmocka_unit_test(compressed),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
