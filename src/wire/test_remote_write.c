/* Messages made by hand; src/ingest has the tests of what becomes of them. */
#include "wire/remote_write.h"

#include "base/test_proto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define T INT64_C(1700000000123)

static int parse(const Buf *b, RwVersion version, RwRequest *q, RwError *e) {
        *e = (RwError){ 0 };
        return rw_parse((const uint8_t *)(b->data ? b->data : ""), b->len, version, q, e);
}

static void parses(const Buf *b, RwVersion version, RwRequest *q) {
        RwError e;
        if (parse(b, version, q, &e) != 0)
                fail_msg("%s at %zu", e.what, e.at);
}

static void refuses(const Buf *b, RwVersion version, int code, const char *part) {
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        RwError e;
        int r = parse(b, version, &q, &e);
        if (r != code || !e.what || !strstr(e.what, part))
                fail_msg("%d \"%s\", not \"%s\"", r, e.what ? e.what : "", part);
        assert_true(q.n_series == 0 && q.n_floats == 0 && q.n_histograms == 0 && q.n_metadata == 0);
}

static void run_is(RwRequest *q, size_t i, const char *text) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        const uint8_t *run;
        size_t len;
        assert_int_equal(rw_series_run(q, &q->series[i], &run, &len), LABELS_OK);
        labels_print(run, len, &b);
        assert_string_equal(buf_cstr(&b), text);
}

static void v1_in_place(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, s = BUF_NULL, x = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        rw1_one(&b, "up", 1, T);
        rw_label(&s, "__name__", "many");
        for (int i = 0; i < 300; i++)
                rw_sample(&s, i % 3 == 0 ? 0 : i + 0.5, T + i); /* 0 is left out by senders */
        rw_sample(&s, 7, -5);
        rw_sample(&s, -0.0, 0);
        p_text(&x, 9, "of a later version");
        p_message(&s, 3, &x);
        p_text(&s, 4, "a histogram");
        p_message(&b, 1, &s);
        parses(&b, RW_1, &q);
        assert_true(q.n_series == 2 && q.n_floats == 303 && q.n_histograms == 1 && q.n_exemplars == 1);
        assert_true(q.series[0].run >= (uint8_t *)b.data && q.series[0].run < (uint8_t *)b.data + b.len);
        run_is(&q, 0, "up{job=\"a\"}");
        run_is(&q, 1, "many");
        assert_true(q.times[0] == T && q.values[0] == 1 && q.series[1].first_float == 1 && q.series[1].n_floats == 302);
        for (size_t i = 0; i < 300; i++)
                assert_true(q.times[1 + i] == T + (int64_t)i && q.values[1 + i] == (i % 3 == 0 ? 0 : (double)i + 0.5));
        assert_true(q.times[301] == -5 && q.values[301] == 7 && q.times[302] == 0);
        assert_int_equal(proto_load64((uint8_t *)&q.values[302]), INT64_MIN); /* -0 */
        assert_memory_equal(q.histograms[q.series[1].first_histogram].bytes, "a histogram", 11);
}

/* Times of other lengths than today's, and of extremes. */
static void v1_times(void **state) {
        (void)state;
        static const int64_t TIMES[] = { 1, 127, 128, (INT64_C(1) << 35) - 1, INT64_C(1) << 35, (INT64_C(1) << 42) - 1, INT64_C(1) << 42,
                                         INT64_MAX, INT64_MIN, -1, 1700000000000, 0 };
        CLEANUP(buf_deinit) Buf b = BUF_NULL, s = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        rw_label(&s, "__name__", "t");
        for (size_t i = 0; i < ARRAY_LEN(TIMES); i++)
                rw_sample(&s, 1.5, TIMES[i]);
        p_message(&b, 1, &s);
        parses(&b, RW_1, &q);
        assert_int_equal(q.n_floats, ARRAY_LEN(TIMES));
        assert_memory_equal(q.times, TIMES, sizeof TIMES);
}

/* Labels that are not one canonical run are collected; the order stays the sender's. */
static void v1_rebuilt(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, s = BUF_NULL, l = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        rw_label(&s, "__name__", "split");
        rw_sample(&s, 1, T);
        rw_label(&s, "job", "a");
        p_message(&b, 1, &s);
        p_text(&l, 2, "backwards"); /* value before name */
        p_text(&l, 1, "__name__");
        p_message(&s, 1, &l);
        rw_sample(&s, 1, T);
        p_message(&b, 1, &s);
        rw_label(&s, "__name__", "x");
        rw_label(&s, "empty", "");
        p_text(&l, 1, "none");
        p_message(&s, 1, &l);
        buf_put(&s, "\x0a\x8a\x80\x00\x0a\x01z\x12\x01" "1\x48\x00\x48\x00", 14); /* a length in three bytes, unknown fields */
        rw_sample(&s, 1, T);
        p_message(&b, 1, &s);
        parses(&b, RW_1, &q);
        for (size_t i = 0; i < 3; i++)
                assert_null(q.series[i].run);
        run_is(&q, 0, "split{job=\"a\"}");
        run_is(&q, 1, "backwards");
        run_is(&q, 2, "x{z=\"1\"}");
}

static LabelsFault fault_of(Buf *series) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        const uint8_t *run;
        size_t len;
        p_message(&b, 1, series);
        parses(&b, RW_1, &q);
        return rw_series_run(&q, &q.series[0], &run, &len);
}

/* B12: what is over a limit is not copied. */
static void b12_limits(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf s = BUF_NULL;
        CLEANUP_FREE char *long_text = calloc(1, 10 << 20);
        memset(long_text, 'x', (10 << 20) - 1);
        rw_label(&s, "__name__", long_text);
        assert_int_equal(fault_of(&s), LABELS_VALUE_LONG);
        rw_label(&s, long_text, "v");
        assert_int_equal(fault_of(&s), LABELS_NAME_LONG);
        rw_sample(&s, 1, T);
        for (int i = 0; i < 10000; i++) {
                char name[16];
                (void)snprintf(name, sizeof name, "l%05d", i);
                rw_label(&s, name, "v");
                rw_sample(&s, 1, T);
        }
        assert_int_equal(fault_of(&s), LABELS_TOO_MANY);
        rw_label(&s, "", "v");
        assert_int_equal(fault_of(&s), LABELS_NAME_EMPTY);
        long_text[4096] = '\0';
        rw_sample(&s, 1, T);
        for (int i = 0; i < 17; i++) {
                char name[16];
                (void)snprintf(name, sizeof name, "l%05d", i);
                rw_label(&s, name, long_text);
                rw_sample(&s, 1, T);
        }
        assert_int_equal(fault_of(&s), LABELS_RUN_LONG);
}

static void v1_metadata(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, m = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        p_varint(&m, 1, 1);
        p_text(&m, 2, "http_requests_total");
        p_text(&m, 4, "Requests.");
        p_text(&m, 5, "requests");
        p_message(&b, 3, &m);
        p_varint(&b, 2, 1); /* Cortex's source */
        p_text(&m, 2, "h");
        p_varint(&m, 1, 3);
        p_message(&b, 3, &m);
        parses(&b, RW_1, &q);
        assert_int_equal(q.n_metadata, 2);
        assert_true(q.metadata[0].type == METRIC_COUNTER && span_is(q.metadata[0].name, "http_requests_total"));
        assert_true(span_is(q.metadata[0].help, "Requests.") && span_is(q.metadata[0].unit, "requests"));
        assert_true(q.metadata[1].type == METRIC_HISTOGRAM && q.metadata[1].help.len == 0);
}

/* Each number has its type; one that is not known says nothing. */
static void metadata_types(void **state) {
        (void)state;
        static const char *const NAMES[] = { "unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown" };
        CLEANUP(buf_deinit) Buf b = BUF_NULL, m = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        for (uint64_t type = 0; type < ARRAY_LEN(NAMES); type++) {
                p_varint(&m, 1, type);
                p_text(&m, 2, "m");
                p_message(&b, 3, &m);
        }
        parses(&b, RW_1, &q);
        for (size_t type = 0; type < ARRAY_LEN(NAMES); type++)
                assert_string_equal(metric_type_name(q.metadata[type].type), NAMES[type]);
}

static void exemplar_is(const RwRequest *q, size_t i, const char *labels, double value, int64_t time) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL, text = BUF_NULL;
        double v;
        int64_t t;
        assert_true(rw_exemplar(q, &q->exemplars[i], &run, &v, &t));
        labels_print((const uint8_t *)run.data, run.len, &text);
        assert_string_equal(buf_cstr(&text), labels);
        assert_true(v == value && t == time);
}

static void exemplar_is_bad(const RwRequest *q, size_t i) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        double v;
        int64_t t;
        assert_false(rw_exemplar(q, &q->exemplars[i], &run, &v, &t));
}

static void v1_exemplars(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, s = BUF_NULL, e = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        rw_label(&s, "__name__", "x_bucket");
        rw_label(&e, "trace_id", "abc"); /* not sorted */
        rw_label(&e, "span", "1");
        rw_label(&e, "none", "");
        p_double(&e, 2, 0.25);
        p_varint(&e, 3, T);
        p_message(&s, 3, &e);
        p_message(&s, 3, &e); /* of nothing at all */
        p_text(&s, 3, "not a message");
        rw_label(&e, "twice", "a");
        rw_label(&e, "twice", "b");
        p_message(&s, 3, &e);
        p_varint(&e, 1, 1); /* labels of 2.0 */
        p_message(&s, 3, &e);
        for (unsigned i = 0; i <= LABELS_MAX; i++)
                rw_label(&e, "many", "x");
        p_message(&s, 3, &e);
        p_message(&b, 1, &s);
        rw_label(&s, "__name__", "y");
        p_message(&b, 1, &s);
        parses(&b, RW_1, &q);
        assert_true(q.series[0].first_exemplar == 0 && q.series[0].n_exemplars == 6 && q.series[1].n_exemplars == 0);
        exemplar_is(&q, 0, "{span=\"1\", trace_id=\"abc\"}", 0.25, T);
        exemplar_is(&q, 1, "{}", 0, 0);
        for (size_t i = 2; i < 6; i++)
                exemplar_is_bad(&q, i);
}

static void put_symbols(Buf *b, const char *const *symbols, size_t n) {
        for (size_t i = 0; i < n; i++)
                p_text(b, 4, symbols[i]);
}

static const char *const SYMBOLS[] = { "", "__name__", "up", "job", "a", "Whether it is up." };

static void v2_request(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, s = BUF_NULL, x = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        rw2_refs(&s, (uint32_t[]){ 1, 2, 3, 4 }, 4);
        rw_sample(&s, 1, T);
        p_double(&x, 1, 2);
        p_varint(&x, 2, T + 1);
        p_varint(&x, 3, T - 1000); /* start timestamp */
        p_message(&s, 2, &x);
        p_text(&s, 3, "a histogram");
        p_text(&s, 4, "an exemplar");
        p_varint(&x, 1, 2);
        p_varint(&x, 3, 5);
        p_message(&s, 5, &x);
        p_varint(&s, 6, T); /* created timestamp of earlier drafts */
        p_message(&b, 5, &s);
        for (uint32_t i = 1; i <= 4; i++) /* one by one; an empty value is left out */
                p_varint(&s, 1, i == 4 ? 0 : i);
        rw_sample(&s, 3, T);
        p_message(&b, 5, &s);
        put_symbols(&b, SYMBOLS, ARRAY_LEN(SYMBOLS)); /* after their uses */
        parses(&b, RW_2, &q);
        assert_true(q.n_series == 2 && q.n_floats == 3 && q.n_histograms == 1 && q.n_exemplars == 1 && q.values[1] == 2 && q.times[1] == T + 1);
        assert_true(q.series[0].has_metadata && q.series[0].type == METRIC_GAUGE && q.series[0].help == 5 && !q.series[1].has_metadata);
        run_is(&q, 0, "up{job=\"a\"}");
        run_is(&q, 1, "up");
}

static void v2_exemplars(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, s = BUF_NULL, e = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        rw2_refs(&s, (uint32_t[]){ 1, 2 }, 2);
        rw2_refs(&e, (uint32_t[]){ 3, 4 }, 2);
        p_double(&e, 2, 7);
        p_varint(&e, 3, T);
        p_message(&s, 4, &e);
        for (uint32_t i = 3; i <= 4; i++)
                p_varint(&e, 1, i); /* one by one */
        p_message(&s, 4, &e);
        rw2_refs(&e, (uint32_t[]){ 3 }, 1);
        p_message(&s, 4, &e);
        rw2_refs(&e, (uint32_t[]){ 3, 99 }, 2);
        p_message(&s, 4, &e);
        p_double(&e, 1, 1);
        p_message(&s, 4, &e);
        p_message(&b, 5, &s);
        put_symbols(&b, SYMBOLS, ARRAY_LEN(SYMBOLS));
        parses(&b, RW_2, &q);
        assert_int_equal(q.series[0].n_exemplars, 5);
        exemplar_is(&q, 0, "{job=\"a\"}", 7, T);
        exemplar_is(&q, 1, "{job=\"a\"}", 0, 0);
        for (size_t i = 2; i < 5; i++)
                exemplar_is_bad(&q, i);
}

/* B7 */
static void b7_symbols(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, s = BUF_NULL, x = BUF_NULL;
        put_symbols(&b, SYMBOLS, 5);
        size_t symbols = b.len;
        rw2_refs(&s, (uint32_t[]){ 1, 5 }, 2);
        p_message(&b, 5, &s);
        refuses(&b, RW_2, -EBADMSG, "out of range");
        b.len = symbols;
        rw2_refs(&s, (uint32_t[]){ 1, UINT32_MAX }, 2);
        p_message(&b, 5, &s);
        refuses(&b, RW_2, -EBADMSG, "out of range");
        b.len = symbols;
        rw2_refs(&s, (uint32_t[]){ 1, 2, 3 }, 3);
        p_message(&b, 5, &s);
        refuses(&b, RW_2, -EBADMSG, "odd");
        b.len = symbols;
        rw2_refs(&s, (uint32_t[]){ 1, 2 }, 2);
        p_varint(&x, 3, 77);
        p_message(&s, 5, &x);
        p_message(&b, 5, &s);
        refuses(&b, RW_2, -EBADMSG, "description");
        buf_reset(&b);
        put_symbols(&b, SYMBOLS + 1, 4);
        rw2_refs(&s, (uint32_t[]){ 0, 1 }, 2);
        p_message(&b, 5, &s);
        refuses(&b, RW_2, -EBADMSG, "first symbol");
        buf_reset(&b);
        p_message(&b, 5, &s);
        refuses(&b, RW_2, -EBADMSG, "first symbol");
}

/* References are short, what they stand for is not. */
static void v2_expansion_is_bounded(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, s = BUF_NULL;
        static char value[4097];
        memset(value, 'v', 4096);
        p_text(&b, 4, "");
        p_text(&b, 4, "name");
        p_text(&b, 4, value);
        uint32_t refs[64];
        for (size_t i = 0; i < ARRAY_LEN(refs); i++)
                refs[i] = 1 + i % 2;
        for (int i = 0; i < 2100; i++) {
                rw2_refs(&s, refs, ARRAY_LEN(refs));
                p_message(&b, 5, &s);
        }
        refuses(&b, RW_2, -E2BIG, "256 MiB");
}

static void b6_the_other_version(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf one = BUF_NULL, two = BUF_NULL, s = BUF_NULL;
        rw1_one(&one, "up", 1, T);
        refuses(&one, RW_2, -EBADMSG, "1.0 with the Content-Type of 2.0");
        put_symbols(&two, SYMBOLS, 5);
        rw2_refs(&s, (uint32_t[]){ 1, 2 }, 2);
        rw_sample(&s, 1, T);
        p_message(&two, 5, &s);
        refuses(&two, RW_1, -EBADMSG, "2.0 with the Content-Type of 1.0");
}

static void wrap(Buf *b, const char *bytes, size_t n) {
        buf_reset(b);
        p_bytes(b, 1, bytes, n);
}

/* B8 */
static void b8_broken_messages(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, good = BUF_NULL;
        static const struct {
                const char *bytes;
                size_t n;
        } CASES[] = {
#define CASE(literal) { literal, sizeof(literal) - 1 }
                CASE("\x0a"),                                         /* cut after a tag */
                CASE("\x0a\x05"),                                     /* a field past the end */
                CASE("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* of 2^64-1 bytes */
                CASE("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), /* a tag of 11 bytes */
                CASE("\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), /* a time over 64 bits */
                CASE("\x02\x00"),                                     /* field 0 */
                CASE("\x0b\x0c"),                                     /* a group */
                CASE("\x0e"),                                         /* type 6 */
                CASE("\x12\x03\x09\x00\x00"),                         /* a double that is cut */
                CASE("\x12\x02\x0a\x00"),                             /* a value that is text */
                CASE("\x08\x01"),                                     /* labels that are a number */
                CASE("\x0a\x02\x08\x01"),                             /* a name that is a number */
#undef CASE
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                rw1_one(&good, "up", 1, T);
                wrap(&b, CASES[i].bytes, CASES[i].n);
                buf_put(&good, b.data, b.len); /* what is before it has no effect either */
                refuses(&good, RW_1, -EBADMSG, "");
                buf_reset(&good);
        }
        buf_reset(&b);
        for (int i = 0; i < 10000; i++)
                buf_put_char(&b, 0x0b); /* groups in groups */
        refuses(&b, RW_1, -EBADMSG, "not a message");
        buf_reset(&b);
        buf_put_str(&b, "\x08\x01");
        refuses(&b, RW_1, -EBADMSG, "not a WriteRequest");
}

/* B9: skipped, in one walk. */
static void b9_unknown_fields(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, s = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        rw_label(&s, "__name__", "up");
        for (int i = 0; i < 1000000; i++)
                buf_put(&s, "\x98\x06\x01", 3);
        rw_sample(&s, 1, T);
        p_message(&b, 1, &s);
        parses(&b, RW_1, &q);
        assert_true(q.n_floats == 1 && q.series[0].run);
}

static void counts_are_bounded(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        for (unsigned i = 0; i <= RW_SERIES_MAX; i++)
                buf_put(&b, "\x0a\x00", 2);
        refuses(&b, RW_1, -E2BIG, "500,000 series");
        buf_reset(&b);
        CLEANUP(buf_deinit) Buf s = BUF_NULL;
        for (unsigned i = 0; i <= RW_SAMPLES_MAX; i++)
                buf_put(&s, "\x12\x00", 2);
        p_message(&b, 1, &s);
        refuses(&b, RW_1, -E2BIG, "2,000,000 samples");
}

/* What a large request took is given back, and the next one works. */
static void trimmed(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP(rw_request_deinit) RwRequest q = RW_REQUEST_NULL;
        for (unsigned i = 0; i < 100000; i++)
                buf_put(&b, "\x0a\x00", 2);
        parses(&b, RW_1, &q);
        rw_request_trim(&q);
        assert_int_equal(q.cap_series, 0);
        buf_reset(&b);
        rw1_one(&b, "up", 1, T);
        parses(&b, RW_1, &q);
        rw_request_trim(&q);
        assert_true(q.cap_series > 0);
        parses(&b, RW_1, &q);
        run_is(&q, 0, "up{job=\"a\"}");
        parses(&(Buf){ 0 }, RW_1, &q); /* nothing at all is a request of nothing */
        assert_int_equal(q.n_series, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(v1_in_place),  cmocka_unit_test(v1_times),       cmocka_unit_test(v1_rebuilt),
                cmocka_unit_test(b12_limits),   cmocka_unit_test(v1_metadata),
                cmocka_unit_test(metadata_types),
                cmocka_unit_test(v1_exemplars),
                cmocka_unit_test(v2_exemplars),    cmocka_unit_test(v2_request),
                cmocka_unit_test(b7_symbols),   cmocka_unit_test(v2_expansion_is_bounded),
                cmocka_unit_test(b6_the_other_version), cmocka_unit_test(b8_broken_messages),
                cmocka_unit_test(b9_unknown_fields),    cmocka_unit_test(counts_are_bounded), cmocka_unit_test(trimmed),
        };
        return cmocka_run_group_tests_name("remote_write", tests, NULL, NULL);
}
