#include "wire/expo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void write_some(Expo *e) {
        const Span label = { "a=\"b\"", 5 }, none = { "", 0 };
        expo_family(e, "x_bytes_total", METRIC_COUNTER, "say \"x\"\\\n");
        expo_sample(e, (Span[]){ label, none, label }, 3, 1.5);
        expo_family(e, "empty", METRIC_GAUGE, "never seen");
        expo_family(e, "odd", METRIC_COUNTER, "no total");
        expo_sample(e, &none, 1, 1e300);
        expo_family(e, "y_limit_bytes", METRIC_GAUGE, "h");
        expo_sample(e, NULL, 0, -2);
        expo_end(e);
}

static void test_text(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        Expo e = { .out = &b };
        write_some(&e);
        assert_string_equal(
                buf_cstr(&b),
                "# HELP x_bytes_total say \"x\"\\\\\\n\n# TYPE x_bytes_total counter\nx_bytes_total{a=\"b\",a=\"b\"} 1.5\n"
                "# HELP odd no total\n# TYPE odd counter\nodd 1e+300\n"
                "# HELP y_limit_bytes h\n# TYPE y_limit_bytes gauge\ny_limit_bytes -2\n");
        assert_int_equal(e.samples, 3);
}

static void test_openmetrics(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        Expo e = { .out = &b, .openmetrics = true };
        write_some(&e);
        assert_string_equal(
                buf_cstr(&b),
                "# HELP x_bytes say \\\"x\\\"\\\\\\n\n# TYPE x_bytes counter\n# UNIT x_bytes bytes\nx_bytes_total{a=\"b\",a=\"b\"} 1.5\n"
                "# HELP odd no total\n# TYPE odd unknown\nodd 1e+300\n"
                "# HELP y_limit_bytes h\n# TYPE y_limit_bytes gauge\ny_limit_bytes -2\n# EOF\n");
}

static void test_accept(void **state) {
        (void)state;
        static const struct { const char *accept; bool openmetrics; } CASES[] = {
                { "", false },
                { "*/*", false },
                { "text/plain", false },
                { "application/openmetrics-text", true },
                { "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true },
                { "application/openmetrics-text; version=1.0.0; q=0.2, text/plain; q=0.9", false },
                { "application/openmetrics-text;q=0", false },
                { "application/openmetrics-text;q=,,;", false },
                { "text/html,application/xhtml+xml,*/*;q=0.8", false },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                if (expo_accepts_openmetrics(CASES[i].accept) != CASES[i].openmetrics)
                        fail_msg("wrong: %s", CASES[i].accept);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_text), cmocka_unit_test(test_openmetrics),
                                            cmocka_unit_test(test_accept) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
