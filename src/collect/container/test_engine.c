/* The fetcher against an engine played by this test: a listening socket below a directory made here,
 * stepped by hand. Time is a parameter, so deadlines and refreshes take no time. */
#include "collect/container/engine.h"

#include "base/buf.h"
#include "rt/loop.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#ifndef TEST_ROOTS
#define TEST_ROOTS "tests/roots"
#endif

#define DOCKER_ID "4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e"

typedef struct Recorder {
        Sink sink;
        size_t n_blobs, len;
        BlobType type;
        EntityKey key;
        char text[256];
} Recorder;

static void ignore_batch(Sink *s, const Batch *b) {
        (void)s;
        (void)b;
}
static void ignore_entity(Sink *s, const EntityInfo *info) {
        (void)s;
        (void)info;
}
static void ignore_key(Sink *s, EntityKey key) {
        (void)s;
        (void)key;
}
static void ignore_group(Sink *s, EntityKey key, GroupId group) {
        (void)s;
        (void)key;
        (void)group;
}
static void record_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        Recorder *r = (Recorder *)s;
        r->n_blobs++;
        r->len = n;
        r->type = type;
        r->key = key;
        (void)snprintf(r->text, sizeof r->text, "%.*s", (int)(n < 255 ? n : 255), (const char *)bytes);
}

static Recorder recorder;
static char root[64];

static MonoTime at(double seconds) {
        return (MonoTime){ (int64_t)((1000 + seconds) * 1e9) };
}

static int setup(void **state) {
        (void)state;
        recorder = (Recorder){ .sink = { ignore_batch, ignore_entity, ignore_key, ignore_group, record_blob } };
        (void)snprintf(root, sizeof root, "/tmp/test-engine-XXXXXX");
        return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state) {
        (void)state;
        char command[128];
        (void)snprintf(command, sizeof command, "rm -r '%s'", root);
        return system(command);
}

static int listen_at(void) {
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/sock", root);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(listen(fd, 4), 0);
        return fd;
}

static EngineFetch *open_fetch(const char *below, Engine engine, const char *storage, const Containers *known) {
        EngineFetch *e = NULL;
        EngineOptions o = { .engine = engine, .root = below, .socket = "/sock", .storage = storage,
                            .host = { .kind = ENTITY_HOST }, .known = known };
        assert_int_equal(engine_new(&o, &recorder.sink, &e), 0);
        assert_int_equal(engine_fd(e), -1);
        return e;
}

static int accept_request(int listener) {
        char request[256];
        int fd = accept(listener, NULL, NULL);
        assert_true(fd >= 0);
        ssize_t n = read(fd, request, sizeof request - 1);
        assert_true(n > 0);
        request[n] = '\0';
        assert_string_equal(request, "GET /containers/json?all=1 HTTP/1.0\r\nHost: localhost\r\n\r\n");
        return fd;
}

static void test_an_answer_is_passed_on_as_it_came(void **state) {
        (void)state;
        CLEANUP_FD int listener = listen_at();
        CLEANUP(engine_freep) EngineFetch *e = open_fetch(root, ENGINE_DOCKER, "/none", NULL);
        engine_step(e, at(0));
        assert_true(engine_fd(e) >= 0);
        CLEANUP_FD int peer = accept_request(listener);
        assert_int_equal(engine_events(e), LOOP_READ);
        assert_int_equal(write(peer, "HTTP/1.0 200 OK\r\n\r\n[", 20), 20);
        engine_step(e, at(0.1));
        assert_int_equal(recorder.n_blobs, 0);
        assert_int_equal(write(peer, "]", 1), 1);
        (void)shutdown(peer, SHUT_WR);
        engine_step(e, at(0.2));
        assert_int_equal(recorder.n_blobs, 1);
        assert_int_equal(recorder.type, BLOB_DOCKER_LIST);
        assert_int_equal(recorder.key.kind, ENTITY_HOST);
        assert_string_equal(recorder.text, "HTTP/1.0 200 OK\r\n\r\n[]");
        assert_int_equal(engine_fd(e), -1);
        assert_int_equal(engine_state(e), ENGINE_STATE_SOCKET);
}

static void finish_one(EngineFetch *e, int listener, double now) {
        engine_step(e, at(now));
        CLEANUP_FD int peer = accept_request(listener);
        assert_int_equal(write(peer, "x", 1), 1);
        (void)shutdown(peer, SHUT_RDWR);
        engine_step(e, at(now + 0.1));
        assert_int_equal(engine_fd(e), -1);
}

static void test_it_asks_each_minute_and_when_told_but_not_too_often(void **state) {
        (void)state;
        CLEANUP_FD int listener = listen_at();
        CLEANUP(engine_freep) EngineFetch *e = open_fetch(root, ENGINE_PODMAN, "/none", NULL);
        finish_one(e, listener, 0);
        assert_int_equal(recorder.type, BLOB_PODMAN_LIST);
        engine_step(e, at(30));
        assert_int_equal(engine_fd(e), -1);
        engine_refresh(e);
        finish_one(e, listener, 31);
        engine_refresh(e);
        engine_step(e, at(32));
        assert_int_equal(engine_fd(e), -1);
        finish_one(e, listener, 33.5);
        engine_step(e, at(80));
        assert_int_equal(engine_fd(e), -1);
        finish_one(e, listener, 94);
        assert_int_equal(recorder.n_blobs, 4);
}

static void test_a_silent_engine_is_left_after_two_seconds(void **state) {
        (void)state;
        CLEANUP_FD int listener = listen_at();
        assert_true(listener >= 0); /* it never accepts */
        CLEANUP(engine_freep) EngineFetch *e = open_fetch(root, ENGINE_DOCKER, "/none", NULL);
        engine_step(e, at(0));
        engine_step(e, at(1.9));
        assert_true(engine_fd(e) >= 0);
        engine_step(e, at(2));
        assert_int_equal(engine_fd(e), -1);
        assert_int_equal(engine_state(e), ENGINE_STATE_FAILED);
        assert_int_equal(recorder.n_blobs, 0);
}

static void test_an_endless_answer_is_refused(void **state) {
        (void)state;
        static char block[64 << 10];
        CLEANUP_FD int listener = listen_at();
        CLEANUP(engine_freep) EngineFetch *e = open_fetch(root, ENGINE_DOCKER, "/none", NULL);
        engine_step(e, at(0));
        CLEANUP_FD int peer = accept_request(listener);
        assert_int_equal(fcntl(peer, F_SETFL, O_NONBLOCK), 0);
        size_t sent = 0;
        while (engine_fd(e) >= 0 && sent < 2 * BLOB_MAX) {
                ssize_t n = send(peer, block, sizeof block, MSG_NOSIGNAL);
                sent += n > 0 ? (size_t)n : 0;
                engine_step(e, at(0.1));
        }
        assert_true(sent >= BLOB_MAX && sent < BLOB_MAX + (1u << 20));
        assert_int_equal(engine_state(e), ENGINE_STATE_FAILED);
        assert_int_equal(recorder.n_blobs, 0);
}

static void test_neither_socket_nor_files(void **state) {
        (void)state;
        CLEANUP(engine_freep) EngineFetch *e = open_fetch(root, ENGINE_DOCKER, "/none", NULL);
        engine_step(e, at(0));
        assert_int_equal(engine_fd(e), -1);
        assert_int_equal(engine_state(e), ENGINE_STATE_ABSENT);
}

static void test_dockers_files_stand_in_once_until_they_change(void **state) {
        (void)state;
        Containers *known = NULL;
        ContainerOptions o = container_options_default();
        assert_int_equal(container_new(TEST_ROOTS "/cgroup-v1", &o, &known), 0);
        CLEANUP(container_freep) Containers *c = known;
        container_look(c, (WallTime){ 1 }, (MonoTime){ 1 }, &recorder.sink);
        CLEANUP(engine_freep) EngineFetch *e = open_fetch(TEST_ROOTS "/cgroup-v1", ENGINE_DOCKER, "/var/lib/docker", c);
        engine_step(e, at(0));
        EntityKey key = container_key(ENGINE_DOCKER, DOCKER_ID, 64);
        assert_int_equal(engine_state(e), ENGINE_STATE_FILES);
        assert_int_equal(recorder.n_blobs, 1);
        assert_int_equal(recorder.type, BLOB_DOCKER_CONFIG);
        assert_true(entity_key_equal(&recorder.key, &key));
        engine_step(e, at(61));
        assert_int_equal(recorder.n_blobs, 1);
        engine_resync(e);
        engine_step(e, at(64));
        assert_int_equal(recorder.n_blobs, 2);
}

static void test_podmans_file_stands_in(void **state) {
        (void)state;
        CLEANUP(engine_freep) EngineFetch *e =
                open_fetch(TEST_ROOTS "/cgroup-v2", ENGINE_PODMAN, "/var/lib/containers/storage", NULL);
        engine_step(e, at(0));
        assert_int_equal(recorder.n_blobs, 1);
        assert_int_equal(recorder.type, BLOB_PODMAN_CONFIGS);
        assert_int_equal(recorder.key.kind, ENTITY_HOST);
}

/* What a storage driver other than overlay leaves, below the test's own root. */
static void test_podmans_file_of_another_storage_driver(void **state) {
        (void)state;
        char path[128];
        CLEANUP(engine_freep) EngineFetch *e = open_fetch(root, ENGINE_PODMAN, "/store", NULL);
        (void)snprintf(path, sizeof path, "%s/store", root);
        assert_int_equal(mkdir(path, 0700), 0);
        (void)snprintf(path, sizeof path, "%s/store/vfs-containers", root);
        assert_int_equal(mkdir(path, 0700), 0);
        (void)snprintf(path, sizeof path, "%s/store/vfs-containers/containers.json", root);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        (void)fputs("[]", f);
        (void)fclose(f);
        engine_step(e, at(0));
        assert_int_equal(recorder.n_blobs, 1);
        assert_int_equal(recorder.type, BLOB_PODMAN_CONFIGS);
        assert_int_equal(engine_state(e), ENGINE_STATE_FILES);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_an_answer_is_passed_on_as_it_came, setup, teardown),
                cmocka_unit_test_setup_teardown(test_it_asks_each_minute_and_when_told_but_not_too_often, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_a_silent_engine_is_left_after_two_seconds, setup, teardown),
                cmocka_unit_test_setup_teardown(test_an_endless_answer_is_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_neither_socket_nor_files, setup, teardown),
                cmocka_unit_test_setup_teardown(test_dockers_files_stand_in_once_until_they_change, setup, teardown),
                cmocka_unit_test_setup_teardown(test_podmans_file_stands_in, setup, teardown),
                cmocka_unit_test_setup_teardown(test_podmans_file_of_another_storage_driver, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
