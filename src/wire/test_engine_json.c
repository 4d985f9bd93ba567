#include "wire/engine_json.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#ifndef TEST_ROOTS
#define TEST_ROOTS "tests/roots"
#endif

#define DOCKER_ID "4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e"
#define PODMAN_ID "ab12cd34ab12cd34ab12cd34ab12cd34ab12cd34ab12cd34ab12cd34ab12cd34"

static const char LIST[] =
        "[{\"Id\":\"aa11\",\"Names\":[\"/web\",\"/db/web\"],\"Image\":\"nginx:1\",\"ImageID\":\"sha256:1\","
        "\"Created\":1699179630,\"State\":\"running\",\"Status\":\"Up 5 minutes\",\"Ports\":[{\"x\":[1,2]}],"
        "\"Labels\":{\"team\":\"shop\",\"n\":3,\"quote\":\"a]b,c}\\\"d\"}},\n"
        " {\"Id\":\"bb22\",\"Names\":null,\"Image\":\"\",\"ImageID\":\"sha256:2\",\"Created\":-5,\"Labels\":null}]";

static void test_a_list_of_docker(void **state) {
        (void)state;
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        assert_int_equal(engine_parse_list(LIST, sizeof LIST - 1, &l), 0);
        assert_int_equal(l.n, 2);
        assert_int_equal(l.skipped, 0);
        const EngineContainer *c = engine_list_find(&l, "aa11");
        assert_non_null(c);
        assert_string_equal(c->name, "web");
        assert_string_equal(c->image, "nginx:1");
        assert_string_equal(c->state, "running");
        assert_string_equal(c->status, "Up 5 minutes");
        assert_int_equal(c->created, 1699179630);
        assert_int_equal(c->n_labels, 2); /* 3 is no text */
        assert_string_equal(c->labels[0].key, "team");
        assert_string_equal(c->labels[1].value, "a]b,c}\"d");
        c = engine_list_find(&l, "bb22");
        assert_non_null(c);
        assert_string_equal(c->name, "");
        assert_string_equal(c->image, "sha256:2");
        assert_int_equal(c->created, 0);
        assert_null(engine_list_find(&l, "cc"));
}

static int answer(const char *head, const char *body, EngineList *l) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        buf_put_str(&text, head);
        buf_put_str(&text, body);
        return engine_parse_answer(text.data, text.len, l);
}

static void test_an_answer_with_its_head(void **state) {
        (void)state;
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        assert_int_equal(answer("HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\n", LIST, &l), 0);
        assert_int_equal(l.n, 2);
        engine_list_deinit(&l);
        assert_int_equal(answer("HTTP/1.1 200 OK\r\ntransfer-encoding:  Chunked\r\n\r\n",
                                "2\r\n[{\r\n9;x=y\r\n\"Id\":\"z\"}\r\n1\r\n]\r\n0\r\n\r\n", &l), 0);
        assert_int_equal(l.n, 1);
        assert_string_equal(l.containers[0].id, "z");
}

static void test_bad_answers_are_errors(void **state) {
        (void)state;
        EngineList l = ENGINE_LIST_NULL;
        assert_int_equal(answer("HTTP/1.0 500 No\r\n\r\n", LIST, &l), -EREMOTEIO);
        assert_int_equal(answer("HTTP/1.0 301 Moved\r\nLocation: /x\r\n\r\n", "", &l), -EREMOTEIO);
        assert_int_equal(answer("SSH-2.0-x\r\n", "", &l), -EBADMSG);
        assert_int_equal(answer("HTTP/1.0 200 OK\r\n", "", &l), -EBADMSG);
        assert_int_equal(answer("HTTP/1.0 200 OK\r\n\r\n", "", &l), -EBADMSG);
        assert_int_equal(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "ffffffff\r\n[", &l),
                         -EBADMSG);
        assert_int_equal(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "2\r\n[]", &l), -EBADMSG);
        assert_int_equal(engine_parse_answer("", 0, &l), -EBADMSG);
        static const char *const LISTS[] = { "{}", "[", "[{", "[{}", "[{},", "[\"\\", "[}", "[{}{}", "x" };
        for (size_t i = 0; i < ARRAY_LEN(LISTS); i++) {
                int r = engine_parse_list(LISTS[i], strlen(LISTS[i]), &l);
                assert_int_equal(r, -EBADMSG);
        }
        assert_int_equal(l.n, 0);
}

static void test_no_containers(void **state) {
        (void)state;
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        assert_int_equal(engine_parse_list("[]\n", 3, &l), 0);
        assert_int_equal(engine_parse_list("null\n", 5, &l), 0);
        assert_int_equal(l.n, 0);
}

static void test_one_bad_container_costs_only_itself(void **state) {
        (void)state;
        static const char TEXT[] =
                "[{\"Id\":\"a\\u0000b\"},1,{\"Id\":\"\"},{\"Id\":\"\xff\"},{\"Id\":7},{bad},{},{\"Id\":\"ok\"}]";
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        assert_int_equal(engine_parse_list(TEXT, sizeof TEXT - 1, &l), 0);
        assert_int_equal(l.n, 2);
        assert_string_equal(l.containers[0].id, "a");
        assert_string_equal(l.containers[1].id, "ok");
        assert_int_equal(l.skipped, 6);
}

static void repeat(Buf *b, const char *text, size_t times) {
        for (size_t i = 0; i < times; i++)
                buf_put_str(b, text);
}

static void test_limits(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        /* depth */
        buf_put_str(&b, "[{\"Id\":\"deep\",\"x\":");
        repeat(&b, "[", 4000);
        repeat(&b, "]", 4000);
        buf_put_str(&b, "},{\"Id\":\"long\",\"Names\":[\"/");
        /* length of a text, cut between characters */
        buf_put_str(&b, "x");
        repeat(&b, "\xC3\xA9", 3000);
        buf_put_str(&b, "\"],\"Labels\":{");
        for (int i = 0; i < 500; i++)
                buf_printf(&b, "%s\"k%d\":\"v\"", i ? "," : "", i);
        buf_put_str(&b, "}},{\"Id\":\"big\",\"x\":\"");
        /* one element */
        repeat(&b, "0123456789abcdef", ENGINE_ELEMENT_MAX / 16);
        buf_put_str(&b, "\"}]");
        assert_int_equal(engine_parse_list(b.data, b.len, &l), 0);
        assert_int_equal(l.n, 1);
        assert_int_equal(l.skipped, 2);
        assert_int_equal(strlen(l.containers[0].name), ENGINE_TEXT_MAX - 1);
        assert_int_equal(l.containers[0].n_labels, ENGINE_LABELS_MAX);
        /* containers */
        engine_list_deinit(&l);
        buf_reset(&b);
        buf_put_char(&b, '[');
        repeat(&b, "{\"Id\":\"a\"},", ENGINE_CONTAINERS_MAX + 4);
        buf_put_str(&b, "{\"Id\":\"a\"}]");
        assert_int_equal(engine_parse_list(b.data, b.len, &l), 0);
        assert_int_equal(l.n, ENGINE_CONTAINERS_MAX);
        assert_int_equal(l.skipped, 5);
}

static void read_root(Buf *b, const char *path) {
        assert_int_equal(buf_read_file(b, -100, path, (size_t)4 << 20), 0);
}

static void test_dockers_file(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        read_root(&b, TEST_ROOTS "/cgroup-v1/var/lib/docker/containers/" DOCKER_ID "/config.v2.json");
        assert_int_equal(engine_parse_docker_config(b.data, b.len, &l), 0);
        const EngineContainer *c = engine_list_find(&l, DOCKER_ID);
        assert_non_null(c);
        assert_string_equal(c->name, "shop-db");
        assert_string_equal(c->image, "postgres:15");
        assert_string_equal(c->state, "running");
        assert_int_equal(c->created, 1699179630);
        assert_int_equal(c->n_labels, 1);
        engine_list_deinit(&l);
        assert_int_equal(engine_parse_docker_config("{}", 2, &l), -EBADMSG);
        assert_int_equal(engine_parse_docker_config("[]", 2, &l), -EBADMSG);
        assert_int_equal(engine_parse_docker_config(b.data, b.len / 2, &l), -EBADMSG);
}

static void test_podmans_file(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        read_root(&b, TEST_ROOTS "/cgroup-v2/var/lib/containers/storage/overlay-containers/containers.json");
        assert_int_equal(engine_parse_podman_configs(b.data, b.len, &l), 0);
        const EngineContainer *c = engine_list_find(&l, PODMAN_ID);
        assert_non_null(c);
        assert_string_equal(c->name, "blog");
        assert_string_equal(c->image, "docker.io/library/wordpress:6");
        assert_int_equal(c->created, 1699179630);
}

static int64_t created(const char *text) {
        char json[256];
        CLEANUP(engine_list_deinit) EngineList l = ENGINE_LIST_NULL;
        int n = snprintf(json, sizeof json, "{\"ID\":\"a\",\"Created\":\"%s\"}", text);
        assert_int_equal(engine_parse_docker_config(json, (size_t)n, &l), 0);
        return l.containers[0].created;
}

static void test_instants(void **state) {
        (void)state;
        assert_int_equal(created("2023-11-05T10:20:30Z"), 1699179630);
        assert_int_equal(created("2023-11-05T11:20:30.5+01:00"), 1699179630);
        assert_int_equal(created("2023-11-05T08:50:30-01:30"), 1699179630);
        assert_int_equal(created("0001-01-01T00:00:00Z"), 0);
        assert_int_equal(created("2023-11-05"), 0);
        assert_int_equal(created("2023-13-05T10:20:30Z"), 0);
        assert_int_equal(created("2023-11-05T10:20:30+01"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_a_list_of_docker),
                cmocka_unit_test(test_an_answer_with_its_head),
                cmocka_unit_test(test_bad_answers_are_errors),
                cmocka_unit_test(test_no_containers),
                cmocka_unit_test(test_one_bad_container_costs_only_itself),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_dockers_file),
                cmocka_unit_test(test_podmans_file),
                cmocka_unit_test(test_instants),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
