/* Jobs of the store: begun, asked after, told apart, the last few kept. What runs them is the test. */
#include "api/resource.h"

#include "net/test_fake_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

typedef struct Bench {
        ApiContext api;
        int (*fn)(Store *s, void *job);
        void (*done)(void *job, int result);
        void *job; /* under way */
        json_t *answer;
} Bench;

static int run_job(void *context, int (*fn)(Store *s, void *job), void (*done)(void *job, int result), void *job) {
        Bench *b = context;
        if (b->job)
                return -EBUSY;
        b->fn = fn;
        b->done = done;
        b->job = job;
        return 0;
}

static int setup(void **state) {
        Bench *b = calloc(1, sizeof *b);
        assert_non_null(b);
        b->api = (ApiContext){ .metrics = "all", .store = (Store *)b, .run_job = run_job, .run_job_context = b };
        assert_int_equal(store_jobs_new((WallTime){ 1000 * NS_PER_SEC }, &b->api.jobs), 0);
        *state = b;
        return 0;
}

static int teardown(void **state) {
        Bench *b = *state;
        b->api.jobs = store_jobs_free(b->api.jobs);
        json_decref(b->answer);
        free(b);
        return 0;
}

/* The status; the answer is in b->answer. */
static int ask(Bench *b, const char *method, const char *path, const char *query) {
        FakeHttp fake = { .query = query };
        HttpRequest request = { .method = method, .path = path, .local = true, .connection = &fake };
        HttpResponse response = { .status = 200, .body = BUF_WITH_LIMIT(1 << 20) };
        api_handle(&b->api, &request, &response);
        json_decref(b->answer);
        b->answer = json_loadb(response.body.data, response.body.len, 0, NULL);
        assert_non_null(b->answer);
        buf_deinit(&response.body);
        return response.status;
}

static int post(Bench *b, const char *verb, const char *query) {
        char path[64];
        (void)snprintf(path, sizeof path, "/api/v1/parallax/store/%s", verb);
        return ask(b, "POST", path, query);
}

static int look(Bench *b, const char *query) {
        return ask(b, "GET", "/api/v1/parallax/store/job", query);
}

static const char *said(const Bench *b, const char *key) {
        return json_string_value(json_object_get(b->answer, key));
}

static void end(Bench *b, int result) {
        void *job = b->job;
        assert_non_null(job);
        b->job = NULL;
        b->done(job, result);
}

static void from_the_beginning_to_the_end(void **state) {
        Bench *b = *state;
        assert_int_equal(post(b, "verify", NULL), 202);
        assert_int_equal(json_integer_value(json_object_get(b->answer, "job")), 1000);
        assert_string_equal(said(b, "verb"), "verify");
        assert_string_equal(said(b, "state"), "waiting");
        assert_int_equal(look(b, "id=1000"), 200);
        assert_string_equal(said(b, "state"), "waiting");
        assert_int_equal(post(b, "compact", NULL), 503); /* one at a time */
        end(b, 3);
        assert_int_equal(look(b, "id=1000"), 200);
        assert_string_equal(said(b, "state"), "done");
        assert_int_equal(json_number_value(json_object_get(b->answer, "damaged")), 3);
        assert_true(json_number_value(json_object_get(b->answer, "seconds")) >= 0);
        assert_int_equal(post(b, "compact", NULL), 202);
        end(b, -ENOSPC);
        assert_int_equal(look(b, "id=1001"), 200);
        assert_string_equal(said(b, "state"), "failed");
        assert_string_equal(said(b, "error"), strerror(ENOSPC));
}

static void the_last_are_kept(void **state) {
        Bench *b = *state;
        assert_int_equal(look(b, NULL), 200);
        assert_int_equal(json_array_size(b->answer), 0);
        for (int i = 0; i < 40; i++) {
                assert_int_equal(post(b, "rollup", NULL), 202);
                end(b, 0);
        }
        assert_int_equal(look(b, NULL), 200);
        assert_int_equal(json_array_size(b->answer), 16);
        assert_int_equal(json_integer_value(json_object_get(json_array_get(b->answer, 15), "job")), 1039);
        assert_int_equal(look(b, "id=1039"), 200);
        assert_int_equal(look(b, "id=1023"), 404);
        assert_int_equal(look(b, "id=7"), 404);
        assert_int_equal(look(b, "id=x"), 400);
        assert_int_equal(post(b, "delete", "match0=uuid=x"), 202); /* ends with one under way: nothing is lost */
}

static void what_is_wrong(void **state) {
        Bench *b = *state;
        assert_int_equal(post(b, "nothing", NULL), 404);
        assert_int_equal(post(b, "snapshot", NULL), 400);
        assert_int_equal(post(b, "snapshot", "path=relative"), 400);
        assert_int_equal(post(b, "delete", NULL), 400);
        assert_int_equal(post(b, "delete", "match0=uuid"), 400);
        assert_int_equal(post(b, "delete", "begin=x"), 400);
        assert_int_equal(post(b, "job", NULL), 405);
        assert_null(b->job);
        b->api.store = NULL;
        assert_int_equal(post(b, "compact", NULL), 404);
        assert_int_equal(look(b, NULL), 404);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = { TEST(from_the_beginning_to_the_end), TEST(the_last_are_kept), TEST(what_is_wrong) };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
