/* parallaxd's parts: policies, documents, the sensor's socket, the command line. */
#include "daemon/documents.h"
#include "daemon/options.h"
#include "daemon/policy.h"
#include "daemon/sensor_link.h"
#include "rt/channel.h"
#include "rt/log.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs the two above. */
#include <cmocka.h>
#include <sys/socket.h>

static const EntityKey DOMAIN = {
        ENTITY_DOMAIN, { { 0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 1, 2, 3, 4, 5, 6 } }
};
static const EntityKey CONTAINER = { ENTITY_CONTAINER, { { 9 } } };

#define XML(uuid)                                                                                               \
        "<domain type='kvm'><name>pay-1</name><uuid>" uuid "</uuid><metadata>"                                  \
        "<x:importance xmlns:x='http://example.org/1'>high</x:importance></metadata></domain>"
#define OWN_UUID "11111111-2222-3333-4444-010203040506"

static void doc_freep(DomainDoc **d) {
        (void)domain_doc_free(*d);
}

static void test_policy(void **state) {
        (void)state;
        static char any[] = "", pattern[] = "pay-*", key[] = "http://example.org/1#importance", high[] = "hi*",
                    low[] = "low";
        PolicySettings policies[] = {
                { any, key, low, TIER_BASIC },
                { pattern, key, high, TIER_DIAGNOSIS },
                { pattern, any, any, TIER_BASIC },
        };
        const Settings s = { .policies = policies, .n_policies = 3, .default_tier = TIER_PERFORMANCE };
        CLEANUP(doc_freep) DomainDoc *doc = NULL;
        static const char TEXT[] = XML(OWN_UUID);
        assert_int_equal(domain_doc_parse(TEXT, sizeof TEXT - 1, 4096, &doc), 0);
        assert_int_equal(policy_tier(&s, "pay-1", doc), TIER_DIAGNOSIS);
        assert_int_equal(policy_tier(&s, "pay-1", NULL), TIER_BASIC); /* not known yet: no metadata condition holds */
        assert_int_equal(policy_tier(&s, "dev", doc), TIER_PERFORMANCE);
        policies[1].metadata_value = any; /* any text will do */
        assert_int_equal(policy_tier(&s, "pay-1", doc), TIER_DIAGNOSIS);
}

static void on_gone(void *context, LatestEntity *e) {
        (void)context;
        e->attachment = attachment_free(e->attachment);
}

static void add_entity(Latest *l, EntityKey key, Engine engine, const char *name, const char *ident) {
        sink_entity(&l->sink, &(EntityInfo){ .key = key,
                                             .engine = engine,
                                             .name = name,
                                             .name_len = strlen(name),
                                             .path = "",
                                             .ident = ident,
                                             .ident_len = strlen(ident) });
}

static int take(Documents *d, EntityKey key, BlobType type, const char *bytes, LatestEntity **ret) {
        return documents_take(d, key, type, bytes, strlen(bytes), 4096, ret);
}

static void test_documents(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        CLEANUP(documents_deinit) Documents d;
        LatestEntity *changed = NULL;
        latest_init(&l, 10);
        l.on_gone = on_gone;
        documents_init(&d, &l);
        assert_int_equal(take(&d, DOMAIN, BLOB_DOMAIN_XML, XML(OWN_UUID), &changed), -ENOENT);
        add_entity(&l, DOMAIN, ENGINE_NONE, "pay-1", "");
        assert_int_equal(take(&d, DOMAIN, BLOB_DOMAIN_XML, XML(OWN_UUID), &changed), 0);
        assert_ptr_equal(changed, latest_find(&l, &DOMAIN));
        const DomainDoc *before = attachment_domain(changed);
        /* Under this UUID another domain's definition is not believed, and the old one stays. */
        assert_int_equal(take(&d, DOMAIN, BLOB_DOMAIN_XML, XML("00000000-2222-3333-4444-010203040506"), &changed),
                         -EBADMSG);
        assert_true(take(&d, DOMAIN, BLOB_DOMAIN_XML, "<domain", &changed) < 0);
        assert_ptr_equal(attachment_domain(changed), before);
        assert_int_equal(d.parsed, 1);
        assert_int_equal(d.refused, 3);
}

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_container_lists(void **state) {
        (void)state;
        CLEANUP(latest_deinit) Latest l;
        CLEANUP(documents_deinit) Documents d;
        LatestEntity *changed = NULL;
        EntityKey host = { .kind = ENTITY_HOST };
        latest_init(&l, 10);
        l.on_gone = on_gone;
        documents_init(&d, &l);
        /* The list comes first, the container after. */
        assert_int_equal(take(&d, host, BLOB_DOCKER_LIST,
                              "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
                              "[{\"Id\":\"" ID "\",\"Names\":[\"/web\"],\"Image\":\"nginx\",\"State\":\"running\"}]",
                              &changed),
                         0);
        assert_null(changed);
        add_entity(&l, CONTAINER, ENGINE_DOCKER, "0123456789ab", ID);
        LatestEntity *e = latest_find(&l, &CONTAINER);
        documents_describe(&d, e);
        assert_non_null(attachment_container(e));
        assert_string_equal(attachment_container(e)->name, "web");
        /* An answer that is none leaves what is known. */
        assert_true(take(&d, host, BLOB_DOCKER_LIST, "HTTP/1.1 500 no\r\n\r\n", &changed) < 0);
        assert_string_equal(attachment_container(e)->name, "web");
        /* Podman's list does not speak for Docker's containers. */
        assert_int_equal(take(&d, host, BLOB_PODMAN_LIST,
                              "HTTP/1.1 200 OK\r\n\r\n[{\"Id\":\"" ID "\",\"Names\":[\"evil\"]}]", &changed),
                         0);
        assert_string_equal(attachment_container(e)->name, "web");
}

static DaemonOptions parse(int argc, const char *const *argv) {
        char *copy[16] = { NULL };
        assert_true(argc < 16);
        for (int i = 0; i < argc; i++)
                copy[i] = (char *)argv[i];
        return daemon_options(argc, copy);
}
#define PARSE(...)                                                                                                     \
        parse((int)ARRAY_LEN(((const char *const[]){ "parallaxd", __VA_ARGS__ })),                                     \
              (const char *const[]){ "parallaxd", __VA_ARGS__ })

static void test_options(void **state) {
        (void)state;
        DaemonOptions o =
                PARSE("--listen", "127.0.0.1:1", "-l", "[::1]:2=node", "--config", "/x", "--log-level", "debug");
        assert_int_equal(o.verb, DAEMON_RUN);
        assert_int_equal(o.n_listen, 2);
        assert_string_equal(o.listen[1], "[::1]:2=node");
        assert_string_equal(o.config, "/x");
        assert_int_equal(PARSE("--check-config").verb, DAEMON_CHECK_CONFIG);
        assert_int_equal(PARSE("--version", "--nope").verb, DAEMON_VERSION);
        assert_int_equal(PARSE("--nope").verb, DAEMON_USAGE_ERROR);
        assert_int_equal(PARSE("extra").verb, DAEMON_USAGE_ERROR);
        assert_int_equal(PARSE("--runtime-dir", "relative").verb, DAEMON_USAGE_ERROR);
        assert_int_equal(PARSE("--log-level", "loud").verb, DAEMON_USAGE_ERROR);
        assert_int_equal(PARSE("--listen").verb, DAEMON_USAGE_ERROR);
}

/* The socket of the sensor, with a sensor of the test's own at the other end. */
typedef struct Pair {
        Loop *loop;
        SensorLink *link;
        Latest latest;
        Channel *sensor;
        FrameWriter writer;
        int connected, disconnected, closed;
        uint16_t tier;
} Pair;

static void on_connected(void *context) {
        ((Pair *)context)->connected++;
}
static void on_disconnected(void *context) {
        ((Pair *)context)->disconnected++;
}
static const SensorLinkOps OPS = { on_connected, on_disconnected };

static bool sensor_packet(void *context, const void *bytes, size_t n) {
        Pair *p = context;
        FrameReader r = { bytes, (const uint8_t *)bytes + n };
        Frame f;
        while (frame_next(&r, &f) > 0)
                if (f.type == FRAME_TIER)
                        p->tier = f.tier;
        return true;
}

static void sensor_closed(void *context, int error) {
        Pair *p = context;
        (void)error;
        p->closed++;
        p->sensor = channel_free(p->sensor);
}
static const ChannelOps SENSOR_OPS = { sensor_packet, sensor_closed };

static void stop_loop(void *context) {
        loop_stop(context);
}

static void turn(Pair *p) {
        LoopTimer *t = NULL;
        assert_int_equal(loop_timer(p->loop, MILLISECONDS(60), (Duration){ 0 }, stop_loop, p->loop, &t), 0);
        assert_int_equal(loop_run(p->loop), 0);
        loop_timer_stop(t);
}

static char socket_path[64];

static void pair_connect(Pair *p) {
        int fd;
        assert_int_equal(channel_connect(socket_path, &fd), 0);
        assert_int_equal(channel_new(p->loop, fd, &SENSOR_OPS, p, 1 << 20, &p->sensor), 0);
        frame_writer_init(&p->writer, channel_send, p->sensor);
}

static void pair_open(Pair *p) {
        (void)snprintf(socket_path, sizeof socket_path, "/tmp/test_daemon.%d.sock", (int)getpid());
        *p = (Pair){ 0 };
        assert_int_equal(loop_new(&p->loop), 0);
        latest_init(&p->latest, 10);
        assert_int_equal(sensor_link_open(p->loop, socket_path, &p->latest.sink, &OPS, p, &p->link), 0);
        pair_connect(p);
}

static void pair_close(Pair *p) {
        p->sensor = channel_free(p->sensor);
        frame_writer_deinit(&p->writer);
        sensor_link_close(p->link);
        loop_free(p->loop);
        latest_deinit(&p->latest);
}

static void test_sensor_link(void **state) {
        (void)state;
        Pair p;
        pair_open(&p);
        frame_put_hello(&p.writer);
        frame_put_entity(&p.writer,
                         &(EntityInfo){ .key = DOMAIN, .name = "vm", .name_len = 2, .path = "", .ident = "" });
        frame_flush(&p.writer);
        turn(&p);
        assert_int_equal(p.connected, 1);
        assert_int_equal(sensor_link_stats(p.link)->pid, getpid());
        assert_non_null(latest_find(&p.latest, &DOMAIN));
        sensor_link_send_tier(p.link, DOMAIN, TIER_DIAGNOSIS);
        turn(&p);
        assert_int_equal(p.tier, TIER_DIAGNOSIS);
        /* A second sensor is turned away; the first goes on. */
        int second;
        assert_int_equal(channel_connect(socket_path, &second), 0);
        turn(&p);
        char byte;
        assert_int_equal(recv(second, &byte, 1, 0), 0);
        (void)close(second);
        assert_int_equal(sensor_link_stats(p.link)->refused, 1);
        assert_true(sensor_link_stats(p.link)->connected);
        /* It goes and comes back. */
        p.sensor = channel_free(p.sensor);
        frame_writer_deinit(&p.writer);
        turn(&p);
        assert_int_equal(p.disconnected, 1);
        sensor_link_send_tier(p.link, DOMAIN, TIER_BASIC); /* nobody there */
        pair_connect(&p);
        frame_put_hello(&p.writer);
        frame_flush(&p.writer);
        turn(&p);
        assert_int_equal(p.connected, 2);
        pair_close(&p);
        assert_true(access(socket_path, F_OK) < 0);
}

static void test_sensor_must_greet(void **state) {
        (void)state;
        Pair p;
        pair_open(&p);
        frame_put_entity(&p.writer,
                         &(EntityInfo){ .key = DOMAIN, .name = "vm", .name_len = 2, .path = "", .ident = "" });
        frame_flush(&p.writer);
        turn(&p);
        assert_int_equal(p.connected, 0);
        assert_int_equal(p.closed, 1);
        assert_null(latest_find(&p.latest, &DOMAIN));
        assert_int_equal(sensor_link_stats(p.link)->bad_frames, 1);
        pair_close(&p);
}

static void test_sensor_garbage(void **state) {
        (void)state;
        Pair p;
        pair_open(&p);
        frame_put_hello(&p.writer);
        frame_flush(&p.writer);
        channel_send(p.sensor, "garbage that is no frame", 24);
        turn(&p);
        assert_int_equal(p.connected, 1);
        assert_int_equal(p.disconnected, 1);
        assert_int_equal(p.closed, 1);
        pair_close(&p);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_policy),          cmocka_unit_test(test_documents),
                cmocka_unit_test(test_container_lists), cmocka_unit_test(test_options),
                cmocka_unit_test(test_sensor_link),     cmocka_unit_test(test_sensor_must_greet),
                cmocka_unit_test(test_sensor_garbage),
        };
        log_setup("test_daemon", LOG_ERROR, LOG_FORMAT_LOGFMT);
        return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
