/* What parallax query prints, of answers as Prometheus gives them. */
#include "cli/plot.h"
#include "cli/query.h"
#include "cli/query_answer.h"
#include "cli/table.h"
#include "cli/text.h"

#include "base/scan.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs the two above. */
#include <cmocka.h>
#include <math.h>
#include <string.h>

typedef struct Fixture {
        json_t *json;
        QueryAnswer answer;
        int result;
} Fixture;

static void fixture_deinit(Fixture *f) {
        query_answer_deinit(&f->answer);
        json_decref(f->json);
}

static Fixture read_answer(const char *json) {
        Fixture f = { .json = json_loads(json, 0, NULL) };
        assert_non_null(f.json);
        return f;
}

/* The answer's arena points into the fixture: it is read where it stays. */
static int read_into(Fixture *f) {
        return query_answer_read(f->json, &f->answer);
}

static const char VECTOR[] =
        "{\"resultType\":\"vector\",\"result\":["
        "{\"metric\":{\"__name__\":\"up\",\"job\":\"node\",\"instance\":\"a:1\"},\"value\":[1435781451.781,\"1\"]},"
        "{\"metric\":{\"__name__\":\"my.metric\",\"a.b\":\"x,\\\"y\"},\"value\":[1435781451.781,\"NaN\"]},"
        "{\"metric\":{},\"histogram\":[1435781451.781,{\"count\":\"3\",\"sum\":\"4.5\",\"buckets\":[]}]}]}";

static const char MATRIX[] = "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"up\",\"job\":\"a\"},"
                             "\"values\":[[1435781430,\"1\"],[1435781445,\"2.5\"]],\"histograms\":[[1435781440,{"
                             "\"count\":\"1\",\"sum\":\"2\"}]]}]}";

static void tables(void **state) {
        (void)state;
        static const struct {
                const char *json, *table;
        } CASES[] = {
                { VECTOR, "SERIES                                   VALUE\n"
                          "up{instance=\"a:1\",job=\"node\"}                1\n"
                          "{\"my.metric\",\"a.b\"=\"x,\\\"y\"}                NaN\n"
                          "{}                             count=3 sum=4.5\n" },
                { MATRIX, "up{job=\"a\"}\n"
                          "  2015-07-01 20:10:30Z              1\n"
                          "  2015-07-01 20:10:40Z  count=1 sum=2\n"
                          "  2015-07-01 20:10:45Z            2.5\n" },
                { "{\"resultType\":\"scalar\",\"result\":[1435781460.781,\"0.5\"]}", "0.5\n" },
                { "{\"resultType\":\"string\",\"result\":[1435781460.781,\"a\\u001bb\"]}", "a\\x1bb\n" },
                { "{\"resultType\":\"vector\",\"result\":[]}", "No data.\n" },
                { "{\"resultType\":\"matrix\",\"result\":[]}", "No data.\n" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                CLEANUP(fixture_deinit) Fixture f = read_answer(CASES[i].json);
                assert_int_equal(read_into(&f), 0);
                query_render_table(&f.answer, &out);
                assert_string_equal(buf_cstr(&out), CASES[i].table);
        }
}

static void csv(void **state) {
        (void)state;
        static const struct {
                const char *json, *csv;
        } CASES[] = {
                { VECTOR, "__name__,a.b,instance,job,time,value\n"
                          "up,,a:1,node,1435781451.781,1\n"
                          "my.metric,\"x,\"\"y\",,,1435781451.781,NaN\n"
                          ",,,,1435781451.781,count=3 sum=4.5\n" },
                { MATRIX, "__name__,job,time,value\n"
                          "up,a,1435781430.000,1\n"
                          "up,a,1435781440.000,count=1 sum=2\n"
                          "up,a,1435781445.000,2.5\n" },
                { "{\"resultType\":\"scalar\",\"result\":[1.5,\"+Inf\"]}", "time,value\n1.500,+Inf\n" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                CLEANUP(fixture_deinit) Fixture f = read_answer(CASES[i].json);
                assert_int_equal(read_into(&f), 0);
                query_render_csv(&f.answer, &out);
                assert_string_equal(buf_cstr(&out), CASES[i].csv);
        }
}

static void foreign_answers(void **state) {
        (void)state;
        static const char *const BAD[] = {
                "{}",
                "[]",
                "{\"resultType\":\"vector\"}",
                "{\"resultType\":\"other\",\"result\":[]}",
                "{\"resultType\":\"scalar\",\"result\":[]}",
                "{\"resultType\":\"scalar\",\"result\":[\"1\",\"2\"]}",
                "{\"resultType\":\"vector\",\"result\":[1]}",
                "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1,2]}]}",
                "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"histogram\":[1,{}]}]}",
                "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[1]]}]}",
                "{\"resultType\":\"matrix\",\"result\":[{\"metric\":3,\"values\":[]}]}",
        };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                CLEANUP(fixture_deinit) Fixture f = read_answer(BAD[i]);
                assert_int_equal(read_into(&f), -EBADMSG);
        }
}

static void times(void **state) {
        (void)state;
        static const struct {
                const char *text;
                double seconds;
        } CASES[] = {
                { "0", 0 },
                { "1435781451.781", 1435781451.781 },
                { "2015-07-01", 1435708800 },
                { "2015-07-01T20:10:51Z", 1435781451 },
                { "2015-07-01T20:10:51.5Z", 1435781451.5 },
                { "2015-07-02T04:10:51+08:00", 1435781451 },
                { "2015-07-01T15:40:51-04:30", 1435781451 },
                { "2015-07-01T20:10:51", 1435781451 },
        };
        double v;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                assert_true(query_parse_time(CASES[i].text, &v));
                assert_true(fabs(v - CASES[i].seconds) < 1e-6);
        }
        static const char *const BAD[] = {
                "", "x", "2015", "1x", "2015-07-01x", "2015-07-01T20:10:51+8", "nan", "1e99"
        };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
                assert_true(strcmp(BAD[i], "2015") == 0 || !query_parse_time(BAD[i], &v));
        assert_true(query_default_step(3600, 60) == 60);
        assert_true(query_default_step(3600, 7200) == 1);
        assert_true(query_default_step(86400, 160) == 600);
        assert_true(query_default_step(365 * 86400.0, 60) == 7 * 86400);
        char text[40];
        query_time_text(1435781451.781, text);
        assert_string_equal(text, "2015-07-01 20:10:51.781Z");
        query_time_text(-1.5, text);
        assert_string_equal(text, "1969-12-31 23:59:58.500Z");
}

static void marks(void **state) {
        (void)state;
        static const struct {
                const char *expression, *error;
                size_t width;
                const char *mark;
        } CASES[] = {
                { "sum(1+)", "1:7: parse error: unexpected \")\"", 80, "  sum(1+)\n        ^\n" },
                { "1+", "1:3: parse error: unexpected end of input", 80, "  1+\n    ^\n" },
                { "foo\n  + (bar\n", "2:5: parse error: x", 80, "    + (bar\n      ^\n" },
                { "\tfoo \t ]", "1:8: parse error: x", 80, "   foo   ]\n         ^\n" },
                { "虚拟机{", "1:1: parse error: x", 80, "  虚拟机{\n  ^\n" },
                { "\"虚拟机\" {", "1:13: parse error: x", 80, "  \"虚拟机\" {\n           ^\n" },
                { "foo \033[1m x", "1:10: parse error: x", 80, "  foo \\x1b[1m x\n              ^\n" },
                { "foo", "no place here", 80, "" },
                { "foo", "7:1: parse error: x", 80, "" },
                { "foo", "0:0: x", 80, "" },
                { "foo", "1:99: x", 80, "  foo\n     ^\n" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                query_mark(CASES[i].expression, CASES[i].error, CASES[i].width, &out);
                assert_string_equal(buf_cstr(&out), CASES[i].mark);
        }
}

/* However long the line is, the mark is on the screen. */
static void marks_in_long_lines(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf expression = BUF_NULL;
        for (size_t i = 0; i < 300; i++)
                buf_put_str(&expression, "虚拟 + ");
        for (unsigned column = 1; column < expression.len; column += 13) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                char error[40];
                (void)snprintf(error, sizeof error, "1:%u: x", column);
                query_mark(buf_cstr(&expression), error, 60, &out);
                Scan s = SCAN(buf_cstr(&out), out.len);
                Span line, mark;
                assert_true(scan_line(&s, &line) && scan_line(&s, &mark));
                assert_in_range(mark.len, 3, 58);
        }
}

/* ---- Plots ---- */

static void put_wave(Buf *json, const char *name, double offset) {
        buf_printf(json, "%s{\"metric\":{\"__name__\":\"%s\"},\"values\":[", offset > 0 ? "," : "", name);
        for (int i = 0; i <= 60; i++)
                buf_printf(json, "%s[%d,\"%.3f\"]", i ? "," : "", 1000 + i * 60, offset + 50 + 50 * sin(i / 10.0));
        buf_put_str(json, "]}");
}

static Fixture waves(size_t n) {
        CLEANUP(buf_deinit) Buf json = BUF_NULL;
        buf_put_str(&json, "{\"resultType\":\"matrix\",\"result\":[");
        for (size_t i = 0; i < n; i++)
                put_wave(&json, i ? "另一个" : "wave", (double)i * 25);
        buf_put_str(&json, "]}");
        return read_answer(buf_cstr(&json));
}

static size_t check_lines(const Buf *out, size_t width) {
        Scan s = SCAN(out->data, out->len);
        Span line;
        size_t n = 0;
        for (; scan_line(&s, &line); n++) {
                CLEANUP_FREE char *copy = strndup(line.text, line.len);
                assert_non_null(copy);
                assert_true(display_width(copy) <= width);
        }
        return n;
}

static void a_plot_fits(void **state) {
        (void)state;
        for (size_t width = 40; width <= 200; width += 20)
                for (size_t n = 1; n <= 14; n += 13) {
                        CLEANUP(buf_deinit) Buf out = BUF_NULL;
                        CLEANUP(fixture_deinit) Fixture f = waves(n);
                        assert_int_equal(read_into(&f), 0);
                        PlotOptions o = { .width = width, .height = 12, .start = 1000, .end = 4600, .step = 60 };
                        plot_render(&f.answer, &o, &out);
                        assert_int_equal(check_lines(&out, width), 12 + 2 + (n > 12 ? 12 + 1 : n));
                        assert_non_null(strstr(buf_cstr(&out), "wave"));
                        assert_non_null(strstr(buf_cstr(&out), n == 1 ? "100┤" : "400┤"));
                }
}

static void a_plot_shows_a_line(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        CLEANUP(fixture_deinit)
        Fixture f = read_answer("{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"m\"},"
                                "\"values\":[[0,\"0\"],[10,\"10\"],[20,\"NaN\"],[30,\"0\"]]}]}");
        assert_int_equal(read_into(&f), 0);
        PlotOptions o = { .width = 20, .height = 4, .start = 0, .end = 30, .step = 10 };
        plot_render(&f.answer, &o, &out);
        assert_string_equal(buf_cstr(&out), "10┤    ⢀⠎\n"
                                            "  │   ⡰⠁\n"
                                            "  │ ⢀⠎\n"
                                            " 0┤⡰⠁              ⢀\n"
                                            "  └─────────────────\n"
                                            "   00:00       00:00\n"
                                            "-  m  0\n");
}

static void plots_of_odd_values(void **state) {
        (void)state;
        static const char *const VALUES[] = { "0",     "NaN",    "+Inf", "1e308", "-1e308", "5e-324",      "1e-9",
                                              "12345", "-0.002", "1e15", "1e300", "3",      "3.0000000001" };
        for (size_t i = 0; i < ARRAY_LEN(VALUES); i++)
                for (size_t k = 0; k < ARRAY_LEN(VALUES); k++) {
                        CLEANUP(buf_deinit) Buf json = BUF_NULL, out = BUF_NULL;
                        buf_printf(&json,
                                   "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[0,\"%s\"],[1e9,"
                                   "\"%s\"]]}]}",
                                   VALUES[i], VALUES[k]);
                        CLEANUP(fixture_deinit) Fixture f = read_answer(buf_cstr(&json));
                        assert_int_equal(read_into(&f), 0);
                        PlotOptions o = { .width = 60, .height = 8, .start = 0, .end = 1e9, .step = 0 };
                        plot_render(&f.answer, &o, &out);
                        assert_true(out.len > 0);
                        (void)check_lines(&out, 60 + 24);
                }
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        CLEANUP(fixture_deinit) Fixture f = read_answer("{\"resultType\":\"matrix\",\"result\":[]}");
        assert_int_equal(read_into(&f), 0);
        plot_render(&f.answer, &(PlotOptions){ .width = 60, .height = 8 }, &out);
        assert_string_equal(buf_cstr(&out), "No data.\n");
}

static int set_up(void **state) {
        (void)state;
        text_setup();
        text_set_language(TEXT_EN);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tables),
                cmocka_unit_test(csv),
                cmocka_unit_test(foreign_answers),
                cmocka_unit_test(times),
                cmocka_unit_test(marks),
                cmocka_unit_test(marks_in_long_lines),
                cmocka_unit_test(a_plot_fits),
                cmocka_unit_test(a_plot_shows_a_line),
                cmocka_unit_test(plots_of_odd_values),
        };
        return cmocka_run_group_tests_name("queries are shown in a terminal", tests, set_up, NULL);
}
