/* Families are put together field by field here, as client libraries send them. */
#include "wire/exposition_proto.h"

#include "base/test_proto.h"
#include "model/histogram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void put_label(Buf *metric, const char *name, const char *value) {
        CLEANUP(buf_deinit) Buf pair = BUF_NULL;
        p_bytes(&pair, 1, name, strlen(name));
        p_bytes(&pair, 2, value, strlen(value));
        p_bytes(metric, 1, pair.data, pair.len);
}

static void put_bucket(Buf *body, double bound, uint64_t count, bool quantile) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        if (quantile) {
                p_double(&b, 1, bound);
                p_double(&b, 2, (double)count);
        } else {
                p_varint(&b, 1, count);
                p_double(&b, 2, bound);
        }
        p_bytes(body, 3, b.data, b.len);
}

/* A family of one metric, which has one label, behind its length. */
static void put_family(Buf *out, const char *name, unsigned type, unsigned field, const Buf *body, int64_t time) {
        CLEANUP(buf_deinit) Buf family = BUF_NULL, metric = BUF_NULL;
        p_bytes(&family, 1, name, strlen(name));
        p_bytes(&family, 2, "Help.", 5);
        p_varint(&family, 3, type);
        put_label(&metric, "a", "b");
        p_bytes(&metric, field, body->len ? body->data : "", body->len);
        if (time)
                p_varint(&metric, 6, (uint64_t)time);
        p_bytes(&family, 4, metric.data, metric.len);
        uint8_t length[VARINT_MAX];
        buf_put(out, length, varint_put(length, family.len));
        buf_put(out, family.data, family.len);
}

static int transcript(const Buf *in, bool classic, Buf *out, const char **ret_why) {
        CLEANUP_FREE ExpositionItem *item = malloc(sizeof *item);
        ExpositionProto *p = NULL;
        int r;
        *ret_why = NULL;
        assert_int_equal(exposition_proto_begin((const uint8_t *)in->data, in->len, classic, &p), 0);
        while ((r = exposition_proto_next(p, item)) > 0) {
                if (item->kind == EXPOSITION_HELP || item->kind == EXPOSITION_UNIT)
                        continue;
                if (item->kind == EXPOSITION_TYPE) {
                        buf_printf(out, "%.*s is a %s\n", (int)item->metric.len, item->metric.text, item->type_name);
                        continue;
                }
                for (size_t i = 0; i < item->n_labels; i++)
                        buf_printf(out, "%s%.*s=%.*s", i ? " " : "", (int)item->labels[i].name.len,
                                   item->labels[i].name.text,
                                   (int)item->labels[i].value.len, item->labels[i].value.text);
                if (item->kind == EXPOSITION_HISTOGRAM)
                        buf_printf(out, " native %zu", item->histogram.len);
                else
                        buf_printf(out, " %g", item->value);
                if (item->has_time)
                        buf_printf(out, " at %lld", (long long)item->time_ms);
                buf_put_char(out, '\n');
        }
        if (r < 0)
                *ret_why = exposition_proto_error(p)->what;
        (void)exposition_proto_end(p);
        return r;
}

static void reads(const Buf *in, bool classic, const char *expected) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        const char *why;
        if (transcript(in, classic, &out, &why) != 0)
                fail_msg("%s", why);
        assert_string_equal(buf_cstr(&out), expected);
}

static void plain_values(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf in = BUF_NULL, body = BUF_NULL, none = BUF_NULL;
        p_double(&body, 1, 1.5);
        put_family(&in, "c_total", 0, 3, &body, 0);
        put_family(&in, "g", 1, 2, &body, 1234);
        put_family(&in, "u", 3, 5, &none, 0);
        reads(&in, false, "c_total is a counter\n__name__=c_total a=b 1.5\n"
                          "g is a gauge\n__name__=g a=b 1.5 at 1234\n"
                          "u is a unknown\n__name__=u a=b 0\n");
}

static void summaries_and_classic_histograms(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf in = BUF_NULL, summary = BUF_NULL, histogram = BUF_NULL;
        put_bucket(&summary, 0.5, 3, true);
        p_varint(&summary, 1, 7);
        p_double(&summary, 2, 2.5);
        put_family(&in, "s", 2, 4, &summary, 0);
        put_bucket(&histogram, 1, 3, false);
        put_bucket(&histogram, 2.5, 5, false);
        p_varint(&histogram, 1, 7);
        p_double(&histogram, 2, 2.5);
        put_family(&in, "h", 4, 7, &histogram, 0);
        reads(&in, false,
              "s is a summary\n__name__=s a=b quantile=0.5 3\n__name__=s_sum a=b 2.5\n__name__=s_count a=b 7\n"
                          "h is a histogram\n__name__=h_bucket a=b le=1.0 3\n__name__=h_bucket a=b le=2.5 5\n"
                          "__name__=h_bucket a=b le=+Inf 7\n__name__=h_sum a=b 2.5\n__name__=h_count a=b 7\n");
}

static void native_histograms(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf in = BUF_NULL, histogram = BUF_NULL, span = BUF_NULL;
        p_varint(&histogram, 1, 3);
        p_double(&histogram, 2, 4.5);
        put_bucket(&histogram, INFINITY, 3, false);
        p_varint(&histogram, 5, 4); /* schema 2 */
        p_double(&histogram, 6, 0.001);
        p_varint(&span, 1, 2);
        p_varint(&span, 2, 2);
        p_bytes(&histogram, 12, span.data, span.len);
        p_varint(&histogram, 13, 4); /* 2, then 2 - 1 */
        p_varint(&histogram, 13, 1);
        put_family(&in, "h", 4, 7, &histogram, 0);
        reads(&in, false, "h is a histogram\n__name__=h a=b native 32\n");
        reads(&in, true,
              "h is a histogram\n__name__=h a=b native 32\n__name__=h_bucket a=b le=+Inf 3\n__name__=h_sum a=b 4.5\n"
                         "__name__=h_count a=b 3\n");
}

static void contradictions_are_refused(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf in = BUF_NULL, histogram = BUF_NULL, span = BUF_NULL, out = BUF_NULL;
        const char *why;
        p_varint(&histogram, 1, 3);
        p_varint(&span, 2, 2);
        p_bytes(&histogram, 12, span.data, span.len); /* two buckets, and none is there */
        put_family(&in, "h", 4, 7, &histogram, 0);
        assert_int_equal(transcript(&in, false, &out, &why), -EBADMSG);
        assert_non_null(strstr(why, "spans"));
}

static void what_is_cut_off_is_refused(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf in = BUF_NULL, body = BUF_NULL;
        const char *why;
        p_double(&body, 1, 1.5);
        put_family(&in, "c_total", 0, 3, &body, 0);
        for (size_t n = 1; n < in.len; n++) {
                CLEANUP(buf_deinit) Buf part = BUF_NULL, out = BUF_NULL;
                buf_put(&part, in.data, n);
                assert_int_equal(transcript(&part, false, &out, &why), -EBADMSG);
        }
        CLEANUP(buf_deinit) Buf wrong = BUF_NULL, out = BUF_NULL;
        put_family(&wrong, "c", 9, 3, &body, 0);
        assert_int_equal(transcript(&wrong, false, &out, &why), -EBADMSG);
        buf_reset(&wrong);
        put_family(&wrong, "\xff", 0, 3, &body, 0);
        assert_int_equal(transcript(&wrong, false, &out, &why), -EBADMSG);
        buf_reset(&wrong);
        put_family(&wrong, "c", 0, 2, &body, 0); /* a gauge in a counter's family */
        assert_int_equal(transcript(&wrong, false, &out, &why), -EBADMSG);
}

static void bounds_as_prometheus_writes_them(void **state) {
        (void)state;
        static const struct {
                double v;
                const char *text;
        } CASES[] =
                { { 0, "0.0" },       { 1, "1.0" },           { -1, "-1.0" },    { 0.5, "0.5" },     { 0.001, "0.001" },
                      { 10, "10.0" },     { 123456, "123456.0" }, { 1e6, "1e+06" },  { 1.5e7, "1.5e+07" },
                              { 0.0001, "0.0001" },
                      { 1e-5, "1e-05" },  { INFINITY, "+Inf" },   { -INFINITY, "-Inf" }, { NAN, "NaN" },
                              { 0.1 + 0.2, "0.30000000000000004" },
                      { 2.5, "2.5" },     { 1234567, "1.234567e+06" } };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                exposition_put_bound(&out, CASES[i].v);
                assert_string_equal(buf_cstr(&out), CASES[i].text);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(plain_values),
                cmocka_unit_test(summaries_and_classic_histograms),
                cmocka_unit_test(native_histograms),
                cmocka_unit_test(contradictions_are_refused),
                cmocka_unit_test(what_is_cut_off_is_refused),
                cmocka_unit_test(bounds_as_prometheus_writes_them),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
