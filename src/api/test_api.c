/* Requests against a table filled by hand, without an HTTP server. */
#include "api/api.h"
#include "export/test_fixture.h"
#include "net/test_fake_http.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static MonoTime fixture_clock(void) {
        return FIXTURE_NOW;
}

typedef struct Answer {
        HttpResponse response;
} Answer;

static void answer_deinit(Answer *a) {
        buf_deinit(&a->response.body);
}

static void ask(Fixture *f, Answer *a, const char *metrics, bool local, const char *path, const char *query,
                const char *accept) {
        static const ApiListener LISTENERS[] = { { "127.0.0.1:9177", "all" } };
        ApiContext c = {
                .latest = &f->latest,
                .self = &f->self,
                .host_name = "node-a",
                .version = "1.2.3",
                .libvirt_uri = "qemu:///system",
                .listeners = LISTENERS,
                .n_listeners = 1,
                .metrics = metrics,
                .clock = fixture_clock,
        };
        FakeHttp fake = { .query = query };
        HttpRequest r = { .method = "GET", .path = path, .accept = accept, .local = local, .connection = &fake };
        api_handle(&c, &r, &a->response);
        (void)buf_cstr(&a->response.body);
}

static json_t *ask_json(Fixture *f, const char *path, const char *query, int status) {
        CLEANUP(answer_deinit) Answer a = { .response = { .status = 0 } };
        ask(f, &a, "all", true, path, query, "");
        assert_int_equal(a.response.status, status);
        json_error_t error;
        json_t *root = json_loadb(a.response.body.data, a.response.body.len, 0, &error);
        if (!root)
                fail_msg("%s: %s at %d", path, error.text, error.position);
        return root;
}

static int setup(void **state) {
        Fixture *f = malloc(sizeof *f);
        assert_non_null(f);
        fixture_init(f);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        fixture_deinit(*state);
        free(*state);
        return 0;
}

static void test_list(void **state) {
        json_t *root = ask_json(*state, "/api/v1/parallax/machines", NULL, 200);
        json_t *machines = json_object_get(root, "machines"), *m, *web = NULL, *shop = NULL;
        size_t i;
        json_array_foreach(machines, i, m) {
                const char *name = json_string_value(json_object_get(m, "name"));
                web = strcmp(name, "web-1") == 0 ? m : web;
                shop = strcmp(name, "shop") == 0 ? m : shop;
        }
        assert_int_equal(json_array_size(machines), 6); /* no service, no slice */
        assert_non_null(web);
        assert_string_equal(json_string_value(json_object_get(web, "kind")), "vm");
        assert_string_equal(json_string_value(json_object_get(web, "state")), "running");
        assert_string_equal(json_string_value(json_object_get(web, "tier")), "performance");
        assert_string_equal(json_string_value(json_object_get(web, "uuid")), "00000000-0000-0000-0000-000000000001");
        assert_true(json_is_number(json_object_get(web, "cpu_percent")));
        /* available - usable: neighbours in the table, 2 columns apart in the fixture. */
        assert_true(json_is_number(json_object_get(json_object_get(web, "memory"), "guest_used_bytes")));
        assert_float_equal(json_number_value(json_object_get(json_object_get(web, "ages"), "kernel")), 10, 1e-9);
        assert_float_equal(json_number_value(json_object_get(json_object_get(web, "value_ages"), "disk")), 10, 1e-9);
        assert_non_null(shop);
        assert_true(json_is_null(json_object_get(shop, "uuid")));
        assert_string_equal(json_string_value(json_object_get(shop, "engine")), "docker");
        json_decref(root);
        root = ask_json(*state, "/api/v1/parallax/machines", "kind=all", 200);
        assert_int_equal(json_array_size(json_object_get(root, "machines")), 8);
        json_decref(root);
}

/* 100 * 1e9 ns / (10 s * 2 cores) = 5 %. */
static void test_cpu_percent(void **state) {
        Fixture *f = *state;
        fixture_set(f, ENTITY_DOMAIN, 5, M_DOM_CPU_TIME, 1e9, 2e9);
        fixture_set(f, ENTITY_DOMAIN, 5, M_DOM_INFO_VCPUS, 2, 2);
        fixture_set(f, ENTITY_DOMAIN, 5, M_DOM_WATCH_STUCK, 0, 2500);
        json_t *root = ask_json(f, "/api/v1/parallax/machines/silent", NULL, 200);
        json_t *m = json_object_get(root, "machine");
        assert_float_equal(json_number_value(json_object_get(m, "cpu_percent")), 5, 1e-9);
        assert_true(json_is_null(json_object_get(m, "run_queue_delay_percent")));
        assert_float_equal(json_number_value(json_object_get(m, "stuck_seconds")), 2.5, 1e-9);
        json_decref(root);
}

static void test_one(void **state) {
        static const char *const PATHS[] = {
                "web-1",        "00000000-0000-0000-0000-000000000001",
                "shop",         "0123456789ab",
                "0123",         "a\"b\\c\nd<script>\xff",
                "cron.service",
        };
        for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
                char path[256];
                (void)snprintf(path, sizeof path, "/api/v1/parallax/machines/%s", PATHS[i]);
                json_t *root = ask_json(*state, path, NULL, 200);
                assert_true(json_array_size(json_object_get(root, "groups")) > 0);
                json_decref(root);
        }
        json_t *root = ask_json(*state, "/api/v1/parallax/machines/web-1", NULL, 200);
        json_t *disks = json_object_get(json_object_get(root, "document"), "disks");
        assert_int_equal(json_array_size(disks), 2);
        assert_int_equal(json_integer_value(
                                 json_object_get(json_object_get(json_array_get(disks, 0), "limits"), "read_iops_sec")),
                         500);
        json_decref(root);
        json_decref(ask_json(*state, "/api/v1/parallax/machines/nobody", NULL, 404));
        json_decref(ask_json(*state, "/api/v1/parallax/machines/00000000-0000", NULL, 409));
}

static void test_status(void **state) {
        json_t *root = ask_json(*state, "/api/v1/parallax/status", NULL, 200);
        assert_true(json_is_true(json_object_get(json_object_get(root, "sensor"), "connected")));
        json_t *libvirt = json_object_get(root, "libvirt");
        assert_true(json_is_true(json_object_get(libvirt, "up")));
        assert_string_equal(
                json_string_value(json_object_get(json_object_get(libvirt, "versions"), "libvirtd_running")), "9.0.0");
        assert_int_equal(json_array_size(json_object_get(root, "listeners")), 1);
        json_decref(root);
}

static int status_of(Fixture *f, const char *metrics, bool local, const char *path, const char *query) {
        CLEANUP(answer_deinit) Answer a = { .response = { .status = 0 } };
        ask(f, &a, metrics, local, path, query, "");
        return a.response.status;
}

static void test_who_may_see_what(void **state) {
        Fixture *f = *state;
        static const char *const PATHS[] = { "/",
                                             "/-/healthy",
                                             "/-/ready",
                                             "/api/v1/parallax/status",
                                             "/api/v1/parallax/machines",
                                             "/api/v1/parallax/machines/web-1",
                                             "/metrics/node",
                                             "/metrics/self" };
        assert_int_equal(status_of(f, "libvirt", false, "/metrics", NULL), 200);
        assert_int_equal(status_of(f, "all", true, "/metrics", NULL), 200);
        for (size_t i = 0; i < ARRAY_LEN(PATHS); i++) {
                assert_int_equal(status_of(f, "all", true, PATHS[i], NULL), 200);
                assert_int_equal(status_of(f, "all", false, PATHS[i], NULL), 404);
                assert_int_equal(status_of(f, "node", true, PATHS[i], NULL), 404);
        }
        assert_int_equal(status_of(f, "all", true, "/metrics", "profile=inovex"), 200);
        assert_int_equal(status_of(f, "all", true, "/metrics", "profile=node"), 400);
        assert_int_equal(status_of(f, "all", true, "/metrics/elsewhere", NULL), 404);
        assert_int_equal(status_of(f, "all", true, "/metrics/", NULL), 404);
        f->self.value[SELF_SENSOR_CONNECTED] = 0;
        assert_int_equal(status_of(f, "all", true, "/-/ready", NULL), 503);
}

static void test_metrics_of_listener(void **state) {
        CLEANUP(answer_deinit) Answer node = { .response = { .status = 0 } }, om = { .response = { .status = 0 } };
        ask(*state, &node, "node", false, "/metrics", "profile=inovex", "");
        assert_non_null(strstr(node.response.body.data, "node_load1 "));
        assert_null(strstr(node.response.body.data, "libvirt_"));
        ask(*state, &om, "all", true, "/metrics", NULL, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
        assert_non_null(strstr(om.response.content_type, "openmetrics"));
        assert_non_null(strstr(om.response.body.data, "# TYPE libvirt_domain_info_cpu_time_seconds counter\n"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_list, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cpu_percent, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one, setup, teardown),
                cmocka_unit_test_setup_teardown(test_status, setup, teardown),
                cmocka_unit_test_setup_teardown(test_who_may_see_what, setup, teardown),
                cmocka_unit_test_setup_teardown(test_metrics_of_listener, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
