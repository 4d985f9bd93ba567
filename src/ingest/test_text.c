#include "ingest/text.h"

#include "model/test_sink.h"
#include "net/test_fake_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define NOW ((WallTime){ INT64_C(1700000000000) * NS_PER_MS })

typedef struct Bench {
        Recorder recorder;
        TextImport *import;
        FakeHttp fake;
        HttpResponse response;
        bool has_ticket;
        uint64_t ticket;
} Bench;

static int setup(void **state) {
        Bench *b = calloc(1, sizeof *b);
        assert_non_null(b);
        b->recorder = RECORDER;
        assert_int_equal(text_import_new(&b->import), 0);
        *state = b;
        return 0;
}

static int teardown(void **state) {
        Bench *b = *state;
        recorder_deinit(&b->recorder);
        b->import = text_import_free(b->import);
        buf_deinit(&b->response.body);
        free(b);
        return 0;
}

static int put(Bench *b, const char *text) {
        HttpRequest r = {
                .method = "POST", .connection = &b->fake, .body = (const uint8_t *)text, .body_len = strlen(text)
        };
        buf_deinit(&b->response.body);
        b->response = (HttpResponse){ .status = 200, .body = BUF_WITH_LIMIT(1 << 20) };
        b->has_ticket = text_import_take(b->import, &b->recorder.sink, NOW, &r, &b->response, &b->ticket);
        (void)buf_cstr(&b->response.body);
        return b->response.status;
}

static void text_is_taken(void **state) {
        Bench *b = *state;
        assert_int_equal(put(b, "# HELP up Whether it is up.\n# TYPE up gauge\nup{job=\"b\",instance=\"x\"} 1 "
                                "1600000000000\nup 0\n"),
                         200);
        assert_string_equal(b->response.body.data, "{\"samples\":2}\n");
        assert_string_equal(b->recorder.source, "import");
        assert_int_equal(recorded(&b->recorder, "up{instance=\"x\", job=\"b\"}")->times[0], 1600000000000);
        assert_int_equal(recorded(&b->recorder, "up")->times[0], 1700000000000); /* now */
        assert_true(b->recorder.descriptions == 1 && b->recorder.type == METRIC_GAUGE && b->has_ticket);
        assert_string_equal(b->recorder.metric, "up");
        assert_string_equal(b->recorder.help, "Whether it is up.");
        assert_int_equal(text_import_stats(b->import)->samples, 2);
        assert_int_equal(put(b, ""), 200);
}

static void openmetrics_is_taken(void **state) {
        Bench *b = *state;
        b->fake.content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_int_equal(
                put(b, "# TYPE a counter\n# UNIT a seconds\na_total 1 1.5 # {x=\"y\"} 1\n# TYPE b gauge\nb 2\n# EOF\n"),
                200);
        assert_int_equal(recorded(&b->recorder, "a_total")->times[0], 1500);
        assert_true(b->recorder.descriptions == 2 && text_import_stats(b->import)->exemplars == 1);
        assert_true(b->recorder.exemplar_value == 1 && b->recorder.exemplar_ms == 1500); /* the sample's time */
        assert_string_equal(buf_cstr(&b->recorder.exemplar_labels), "{x=\"y\"}");
        assert_int_equal(put(b, "a_total 1\n"), 400);
        assert_string_equal(b->response.body.data, "2:1: # EOF is missing\n");
}

/* A wrong line: nothing of the body is taken. */
static void a_wrong_line(void **state) {
        Bench *b = *state;
        assert_int_equal(put(b, "a 1\nb 2\nc three\n"), 400);
        assert_string_equal(b->response.body.data, "3:3: expected a value, this is not a number\n");
        assert_true(b->recorder.begins == 0 && !b->has_ticket);
        b->fake.query = "line=1001"; /* the body is a part of a file */
        assert_int_equal(put(b, "a 1\nb 2\nc three\n"), 400);
        assert_string_equal(b->response.body.data, "1003:3: expected a value, this is not a number\n");
        b->fake.query = "line=0";
        assert_int_equal(put(b, "a 1\n"), 400);
        b->fake.query = "line=x";
        assert_int_equal(put(b, "a 1\n"), 400);
}

static void samples_that_are_not_taken(void **state) {
        Bench *b = *state;
        assert_int_equal(put(b, "a 1 5\na 2 5\nb{x=\"1\",x=\"2\"} 1\nc 3\n"), 400);
        assert_non_null(strstr(b->response.body.data, "2 of 4 samples were not taken: 1 labels, 1 duplicate\n"));
        assert_non_null(strstr(b->response.body.data, "\n2: {__name__=\"a\"} at 5: there is another value"));
        assert_non_null(strstr(b->response.body.data,
                               "\n3: {__name__=\"b\", x=\"1\", x=\"2\"}: a label name is there twice\n"));
        assert_true(recorded_samples(&b->recorder) == 2 && b->has_ticket);
        b->recorder.max_series = 2;
        assert_int_equal(put(b, "d 1\n"), 429);
        assert_true(fake_number(&b->response, "Retry-After") > 0);
}

static void other_content(void **state) {
        Bench *b = *state;
        b->fake.content_type = "application/json";
        assert_int_equal(put(b, "a 1\n"), 415);
        b->fake.content_type = "text/plain; version=0.0.4";
        b->fake.content_encoding = "gzip";
        assert_int_equal(put(b, "a 1\n"), 415);
        b->fake.content_encoding = NULL;
        assert_int_equal(put(b, "a 1\n"), 200);
        b->recorder.begin_error = -ENOSPC;
        assert_int_equal(put(b, "a 1\n"), 503);
        b->recorder.begin_error = 0;
        b->recorder.end_error = -EROFS;
        assert_int_equal(put(b, "a 1\n"), 503);
        assert_false(b->has_ticket);
}

int main(void) {
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(text_is_taken), TEST(openmetrics_is_taken), TEST(a_wrong_line), TEST(samples_that_are_not_taken),
                TEST(other_content),
        };
        return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
