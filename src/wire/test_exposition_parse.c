#include "wire/exposition_parse.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* Every item as a line: what the parser saw. */
static int transcript(const char *bytes, size_t n, bool openmetrics, Buf *out, ExpositionError *ret_error) {
        static ExpositionItem item;
        ExpositionParser p;
        CLEANUP_FREE char *copy = malloc(n ? n : 1);
        int r;
        assert_non_null(copy);
        memcpy(copy, bytes, n);
        exposition_begin(&p, copy, n, openmetrics, 1);
        while ((r = exposition_next(&p, &item)) > 0) {
                static const char *const KINDS[] = { "sample", "type", "help", "unit" };
                buf_printf(out, "%u %s", item.line, KINDS[item.kind]);
                if (item.kind != EXPOSITION_SAMPLE) {
                        buf_printf(out, " %.*s %d %.*s\n", (int)item.metric.len, item.metric.text, (int)item.type, (int)item.text.len, item.text.text);
                        continue;
                }
                for (size_t i = 0; i < item.n_labels; i++)
                        buf_printf(out, " %.*s=[%.*s]", (int)item.labels[i].name.len, item.labels[i].name.text, (int)item.labels[i].value.len,
                                   item.labels[i].value.text);
                buf_put_char(out, ' ');
                buf_put_double(out, item.value);
                if (item.has_time)
                        buf_printf(out, " at %lld", (long long)item.time_ms);
                for (size_t i = 0; item.has_exemplar && i < item.n_exemplar; i++)
                        buf_printf(out, " # %.*s=[%.*s]", (int)item.exemplar[i].name.len, item.exemplar[i].name.text, (int)item.exemplar[i].value.len,
                                   item.exemplar[i].value.text);
                if (item.has_exemplar)
                        buf_printf(out, " exemplar %g", item.exemplar_value);
                if (item.has_exemplar && item.exemplar_has_time)
                        buf_printf(out, " at %lld", (long long)item.exemplar_ms);
                buf_put_char(out, '\n');
        }
        *ret_error = p.error;
        exposition_end(&p);
        return r;
}

static void reads(const char *text, bool openmetrics, const char *expected) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        ExpositionError e;
        int r = transcript(text, strlen(text), openmetrics, &out, &e);
        if (r != 0)
                fail_msg("%u:%u: %s in: %s", e.line, e.column, e.what, text);
        assert_string_equal(buf_cstr(&out), expected);
}

static void refuses_bytes(const char *bytes, size_t n, bool openmetrics, unsigned line, unsigned column, const char *part) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        ExpositionError e = { 0 };
        int r = transcript(bytes, n, openmetrics, &out, &e);
        if (r != -EBADMSG || e.line != line || e.column != column || !strstr(e.what, part))
                fail_msg("%d %u:%u: %s, not %u:%u: %s, in: %.80s", r, e.line, e.column, e.what ? e.what : "", line, column, part, bytes);
}

static void refuses(const char *text, bool openmetrics, unsigned line, unsigned column, const char *part) {
        refuses_bytes(text, strlen(text), openmetrics, line, column, part);
}

static void text_format(void **state) {
        (void)state;
        reads("# HELP http_requests_total The \\\\ total\\nof \\x requests.\n"
              "# TYPE http_requests_total counter\n"
              "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n"
              "\n"
              "# a comment, and one more\n#\n#TYPE x y\n# UNIT nothing here\n"
              "  msdos{path=\"C:\\\\DIR\",error=\"Cannot\\n\\\"x\\\"\" , } 1.458255915e9  \n"
              "metric_without_timestamp_and_labels 12.47\n"
              "weird { problem = \"division by zero\" } +Inf -3982045\n"
              "tabs\t{a=\"b\"}\tNaN\t7\n"
              "close{a=\"b\"}1\n"
              "none{} -Inf\n"
              "# TYPE h histogram\n"
              "h_bucket{le=\"0.05\"} 24054\n",
              false,
              "1 help http_requests_total 2 The \\ total\nof \\x requests.\n"
              "2 type http_requests_total 0 \n"
              "3 sample __name__=[http_requests_total] method=[post] code=[200] 1027 at 1395066363000\n"
              "9 sample __name__=[msdos] path=[C:\\DIR] error=[Cannot\n\"x\"] 1458255915\n"
              "10 sample __name__=[metric_without_timestamp_and_labels] 12.47\n"
              "11 sample __name__=[weird] problem=[division by zero] +Inf at -3982045\n"
              "12 sample __name__=[tabs] a=[b] NaN at 7\n"
              "13 sample __name__=[close] a=[b] 1\n"
              "14 sample __name__=[none] -Inf\n"
              "15 type h 3 \n"
              "16 sample __name__=[h_bucket] le=[0.05] 24054\n");
        reads("", false, "");
        reads("{\"my.metric\"} 1\n{\"my.metric\", \"a.b\"=\"c\", d=\"e\"} 2\n# TYPE \"my.metric\" gauge\n", false,
              "1 sample __name__=[my.metric] 1\n2 sample __name__=[my.metric] a.b=[c] d=[e] 2\n3 type my.metric 1 \n");
}

static void openmetrics_format(void **state) {
        (void)state;
        reads("# TYPE acme_http_router_request_seconds summary\n"
              "# UNIT acme_http_router_request_seconds seconds\n"
              "# HELP acme_http_router_request_seconds Latency \\\"though\\\" all.\n"
              "acme_http_router_request_seconds_sum{path=\"/api/v1\",method=\"GET\"} 9036.32 1604.0005\n"
              "# TYPE go_goroutines gauge\n"
              "go_goroutines 69\n"
              "# TYPE foo counter\n"
              "foo_total 17.0 1520879607.789 # {trace_id=\"KOO5S4vxi0o\"} 0.67\n"
              "foo_created 1520872607.123\n"
              "foo_bucket{le=\"0.1\"} 8 # {} 0.054 1520879607.7\n"
              "# EOF\n",
              true,
              "1 type acme_http_router_request_seconds 5 \n"
              "2 unit acme_http_router_request_seconds 2 seconds\n"
              "3 help acme_http_router_request_seconds 2 Latency \"though\" all.\n"
              "4 sample __name__=[acme_http_router_request_seconds_sum] path=[/api/v1] method=[GET] 9036.32 at 1604001\n"
              "5 type go_goroutines 1 \n"
              "6 sample __name__=[go_goroutines] 69\n"
              "7 type foo 0 \n"
              "8 sample __name__=[foo_total] 17 at 1520879607789 # trace_id=[KOO5S4vxi0o] exemplar 0.67\n"
              "9 sample __name__=[foo_created] 1520872607.123\n"
              "10 sample __name__=[foo_bucket] le=[0.1] 8 exemplar 0.054 at 1520879607700\n");
        reads("# TYPE a histogram\n# TYPE b gaugehistogram\n# TYPE c info\n# TYPE d stateset\n# TYPE e unknown\n# EOF\n", true,
              "1 type a 3 \n2 type b 4 \n3 type c 6 \n4 type d 7 \n5 type e 2 \n");
        reads("# EOF", true, "");
        reads("a 1\n# EOF", true, "1 sample __name__=[a] 1\n");
}

/* B29 */
static void b29_lines(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(128u << 20);
        size_t n = 100u << 20;
        char *at = buf_reserve(&b, n + 1);
        assert_non_null(at);
        memset(at, 'a', n);
        at[n] = '\n';
        refuses_bytes(at, n + 1, false, 1, 1, "1 MiB");
        refuses("a 1\nb 12", false, 2, 5, "does not end with LF");
        refuses("a 1\r\n", false, 1, 4, "carriage return");
        refuses_bytes("a 1\n\0\n", 6, false, 2, 1, "NUL");
        refuses("a{x=\"\xff\"} 1\n", false, 1, 1, "UTF-8");
        refuses("\x7f" "ELF\x02\x01\n", false, 1, 1, "expected the name");
        refuses("\n", true, 1, 1, "empty line");
}

/* B30 */
static void b30_syntax(void **state) {
        (void)state;
        refuses("a 1\n{}\n", false, 2, 1, "expected the name of a metric");
        refuses("{} 1\n", false, 1, 1, "expected the name of a metric");
        refuses("{a=\"b\"} 1\n", false, 1, 1, "expected the name of a metric");
        refuses("{\"\"} 1\n", false, 1, 1, "empty");
        refuses("a{b} 1\n", false, 1, 4, "expected =");
        refuses("a{\"b\"} 1\n", false, 1, 6, "expected =");
        refuses("a{b=c} 1\n", false, 1, 5, "expected a quote");
        refuses("a{b=\"c} 1\n", false, 1, 5, "not closed");
        refuses("a{b=\"c\\\n", false, 1, 7, "not an escape");
        refuses("a{b=\"\\x\"} 1\n", false, 1, 6, "not an escape");
        refuses("a{b=\"c\"\n", false, 1, 8, "expected , or }");
        refuses("a{b=\"c\" d=\"e\"} 1\n", false, 1, 9, "expected , or }");
        refuses("a{,} 1\n", false, 1, 3, "expected the name of a label");
        refuses("a{1b=\"c\"} 1\n", false, 1, 3, "expected the name of a label");
        refuses("a\n", false, 1, 2, "expected a value");
        refuses("a-b 1\n", false, 1, 2, "expected a value");
        refuses("a{b=\"c\"}\n", false, 1, 9, "expected a value");
        refuses("a one\n", false, 1, 3, "not a number");
        refuses("a 1e400\n", false, 1, 3, "not a number");
        refuses("a 0x10\n", false, 1, 3, "not a number");
        refuses("a 1 1.5\n", false, 1, 5, "milliseconds");
        refuses("a 1 99999999999999999999\n", false, 1, 5, "milliseconds");
        refuses("a 1 2 3\n", false, 1, 7, "end of the line");
        refuses("a 1 # {b=\"c\"} 1\n", false, 1, 5, "end of the line");
        refuses("# TYPE a gauge\n# TYPE b gauge\n# TYPE a counter\n", false, 3, 8, "second TYPE");
        refuses("# TYPE a gauges\n", false, 1, 10, "expected a type");
        refuses("# TYPE a unknown\n", false, 1, 10, "expected a type");
        refuses("# TYPE a gauge x\n", false, 1, 16, "end of the line");
        refuses("# TYPE\n", false, 1, 7, "blank");
        refuses("# TYPE 1 gauge\n", false, 1, 8, "name of a metric");
        refuses("# HELP a-b x\n", false, 1, 9, "blank");
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        buf_put_str(&b, "a{");
        for (int i = 0; i < 64; i++)
                buf_printf(&b, "l%d=\"v\",", i);
        buf_put_str(&b, "} 1\n");
        refuses_bytes(b.data, b.len, false, 1, (unsigned)b.len - 4, "64 labels");
}

/* B31 */
static void b31_openmetrics(void **state) {
        (void)state;
        refuses("a 1\n", true, 2, 1, "# EOF is missing");
        refuses("", true, 1, 1, "# EOF is missing");
        refuses("a 1\n# EOF\nb 1\n", true, 3, 1, "after # EOF");
        refuses("a 1\n# EOF\n\n", true, 3, 1, "after # EOF");
        refuses("# EOF \n", true, 1, 6, "end of the line");
        refuses("a 1\n# EO", true, 2, 5, "does not end");
        refuses("a_created -1\n# EOF\n", true, 1, 10, "_created");
        refuses("a_created NaN\n# EOF\n", true, 1, 10, "_created");
        refuses("# a comment\n# EOF\n", true, 1, 3, "expected TYPE");
        refuses("#TYPE a gauge\n# EOF\n", true, 1, 1, "expected \"# \"");
        refuses("# TYPE a untyped\n# EOF\n", true, 1, 10, "expected a type");
        refuses(" a 1\n# EOF\n", true, 1, 1, "name of a metric");
        refuses("a  1\n# EOF\n", true, 1, 3, "expected a value");
        refuses("a{b=\"c\"}1\n# EOF\n", true, 1, 9, "expected a value");
        refuses("a{b=\"c\",} 1\n# EOF\n", true, 1, 9, "expected a label");
        refuses("a{b=\"c\", d=\"e\"} 1\n# EOF\n", true, 1, 9, "name of a label");
        refuses("a 1 \n# EOF\n", true, 1, 5, "end of the line");
        refuses("a 1 x\n# EOF\n", true, 1, 5, "seconds");
        refuses("a 1 NaN\n# EOF\n", true, 1, 5, "seconds");
        refuses("a 1 1e300\n# EOF\n", true, 1, 5, "seconds");
        refuses("a 1 # {} 1\n# EOF\n", true, 1, 5, "only a counter's _total");
        refuses("a_total 1 # 1\n# EOF\n", true, 1, 13, "exemplar");
        refuses("a_total 1 # {}\n# EOF\n", true, 1, 15, "exemplar's value");
        refuses("a_total 1 # {} 1 x\n# EOF\n", true, 1, 18, "seconds");
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        buf_put_str(&b, "a_total 1 # {t=\"");
        for (int i = 0; i < 127; i++)
                buf_put_str(&b, "\xc3\xa4"); /* characters count, not bytes */
        size_t n = b.len;
        buf_put_str(&b, "\"} 1\n# EOF\n");
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        ExpositionError e;
        assert_int_equal(transcript(b.data, b.len, true, &out, &e), 0);
        b.len = n;
        buf_put_str(&b, "x\"} 1\n# EOF\n");
        refuses_bytes(b.data, b.len, true, 1, 11, "128 characters");
}

static void many_types(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, out = BUF_NULL;
        ExpositionError e;
        for (int i = 0; i < 5000; i++)
                buf_printf(&b, "# TYPE m%d gauge\n", i);
        assert_int_equal(transcript(b.data, b.len, false, &out, &e), 0);
        buf_put_str(&b, "# TYPE m17 gauge\n");
        refuses_bytes(b.data, b.len, false, 5001, 8, "second TYPE");
}

static void lenient_as_prometheus(void **state) {
        (void)state;
        static ExpositionItem item;
        static const char TEXT[] = "# TYPE a counter\n# TYPE a counter\na 1\n# TYPE a histogram\na 2";
        static const char OPEN[] = "# TYPE a gauge\na 1 # {x=\"y\"} 1\na_created -1\n# EOF\n";
        ExpositionParser p;
        unsigned n = 0;
        exposition_begin(&p, TEXT, sizeof TEXT - 1, false, 1);
        p.lenient = true;
        for (; exposition_next(&p, &item) > 0; n++)
                if (item.kind == EXPOSITION_TYPE)
                        assert_string_equal(item.type_name, item.line == 4 ? "histogram" : "counter");
        assert_null(p.error.what);
        assert_int_equal(n, 5);
        exposition_end(&p);
        exposition_begin(&p, OPEN, sizeof OPEN - 1, true, 1);
        p.lenient = true;
        while (exposition_next(&p, &item) > 0)
                n++;
        assert_null(p.error.what);
        assert_int_equal(n, 8);
        exposition_end(&p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(text_format), cmocka_unit_test(openmetrics_format), cmocka_unit_test(b29_lines),
                cmocka_unit_test(b30_syntax),  cmocka_unit_test(b31_openmetrics),    cmocka_unit_test(many_types),
                cmocka_unit_test(lenient_as_prometheus),
        };
        return cmocka_run_group_tests_name("exposition_parse", tests, NULL, NULL);
}
