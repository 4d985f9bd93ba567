/* Two witnesses, one domain. */
#include "sensor/domains.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const EntityKey HOST = { .kind = ENTITY_HOST, .id = { { 9 } } };

typedef struct Rig {
        Sink sink; /* first */
        Domains *t;
        unsigned batches, entities, gone, groups_gone, blobs, changed, forgotten, defined;
        uint32_t pid;
        char name[64];
        bool net;
} Rig;

static void on_batch(Sink *s, const Batch *b) {
        (void)b;
        ((Rig *)s)->batches++;
}

static void on_entity(Sink *s, const EntityInfo *info) {
        Rig *rig = (Rig *)s;
        rig->entities++;
        rig->pid = info->pid;
        (void)snprintf(rig->name, sizeof rig->name, "%.*s", (int)info->name_len, info->name);
}

static void on_gone(Sink *s, EntityKey key) {
        (void)key;
        ((Rig *)s)->gone++;
}

static void on_group_gone(Sink *s, EntityKey key, GroupId group) {
        (void)key;
        assert_true(GROUPS[group].lane != LANE_LIBVIRT || group == GROUP_DOM_PERF);
        ((Rig *)s)->groups_gone++;
}

static void on_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        (void)key;
        (void)type;
        (void)bytes;
        (void)n;
        ((Rig *)s)->blobs++;
}

static void changed(void *context, Domain *d) {
        (void)d;
        ((Rig *)context)->changed++;
}

static void forgotten(void *context, const Domain *d) {
        (void)d;
        ((Rig *)context)->forgotten++;
}

static void defined(void *context, const Domain *d) {
        (void)d;
        ((Rig *)context)->defined++;
}

static bool wants_net(void *context, const Domain *d) {
        (void)d;
        return ((Rig *)context)->net;
}

static const DomainsOps OPS = { changed, forgotten, defined, wants_net };

static int setup(void **state) {
        Rig *rig = calloc(1, sizeof *rig);
        *state = rig;
        rig->sink = (Sink){ on_batch, on_entity, on_gone, on_group_gone, on_blob };
        return domains_new(HOST, 4, TIER_PERFORMANCE, &rig->sink, &OPS, rig, &rig->t);
}

static int teardown(void **state) {
        Rig *rig = *state;
        rig->t = domains_free(rig->t);
        free(rig);
        return 0;
}

static EntityKey domain(uint8_t n) {
        return (EntityKey){ ENTITY_DOMAIN, { { n } } };
}

static void kernel_says(Rig *rig, uint8_t n, uint32_t pid) {
        sink_entity(domains_kernel_sink(rig->t),
                    &(EntityInfo){ .key = domain(n), .pid = pid, .started_ns = pid, .name = "from-cmdline",
                                   .name_len = 12, .path = "", .ident = "" });
}

static void virt_says(Rig *rig, uint8_t n, const char *name) {
        sink_entity(domains_virt_sink(rig->t), &(EntityInfo){ .key = domain(n), .name = name,
                                                              .name_len = strlen(name), .path = "", .ident = "" });
}

static void send(Sink *sink, EntityKey key, GroupId group) {
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        batch_begin(&b, key, group, wall_now(), mono_now());
        if (GROUPS[group].n_keys == 0)
                batch_row(&b, NULL);
        sink_build(sink, &b);
}

static void both_witnesses_make_one_entity(void **state) {
        Rig *rig = *state;
        kernel_says(rig, 1, 77);
        assert_string_equal(rig->name, "from-cmdline");
        virt_says(rig, 1, "web\n\"1\"");
        assert_int_equal(domains_count(rig->t), 1);
        assert_int_equal(rig->pid, 77);
        assert_string_equal(rig->name, "web\n\"1\"");
        kernel_says(rig, 1, 77);
        assert_string_equal(rig->name, "web\n\"1\"");
}

static void a_process_that_ends_leaves_the_definition(void **state) {
        Rig *rig = *state;
        virt_says(rig, 1, "a");
        kernel_says(rig, 1, 77);
        domains_vanished(rig->t, domain(1));
        assert_int_equal(rig->gone, 0);
        assert_int_equal(rig->pid, 0);
        assert_true(rig->groups_gone > 5);
        sink_gone(domains_virt_sink(rig->t), domain(1));
        assert_int_equal(rig->gone, 1);
        assert_int_equal(rig->forgotten, 1);
        assert_int_equal(domains_count(rig->t), 0);
}

static void what_libvirt_ends_is_gone_at_once(void **state) {
        Rig *rig = *state;
        virt_says(rig, 1, "a");
        kernel_says(rig, 1, 77);
        sink_gone(domains_virt_sink(rig->t), domain(1));
        assert_int_equal(rig->gone, 1);
        unsigned before = rig->batches;
        send(domains_kernel_sink(rig->t), domain(1), GROUP_DOM_CPU);
        assert_int_equal(rig->batches, before);
        domains_vanished(rig->t, domain(1));
        assert_int_equal(rig->gone, 1);
        assert_int_equal(domains_count(rig->t), 0);
}

static void what_libvirt_lost_comes_back(void **state) {
        Rig *rig = *state;
        virt_says(rig, 1, "a");
        kernel_says(rig, 1, 77);
        sink_gone(domains_virt_sink(rig->t), domain(1));
        Domain *d = domains_find(rig->t, &(EntityKey){ ENTITY_DOMAIN, { { 1 } } });
        unsigned before = rig->entities;
        assert_false(domains_alive(rig->t, d, mono_add(d->gone_at, SECONDS(9))));
        assert_true(domains_alive(rig->t, d, mono_add(d->gone_at, SECONDS(10))));
        assert_int_equal(rig->entities, before + 1);
        send(domains_kernel_sink(rig->t), domain(1), GROUP_DOM_CPU);
        assert_int_equal(rig->batches, 1);
}

static void a_machine_libvirt_never_knew_stays(void **state) {
        Rig *rig = *state;
        kernel_says(rig, 1, 77);
        sink_gone(domains_virt_sink(rig->t), domain(1));
        domains_sweep(rig->t, mono_add(mono_now(), SECONDS(1)));
        assert_int_equal(rig->gone, 0);
        domains_vanished(rig->t, domain(1));
        assert_int_equal(rig->gone, 1);
}

static void a_look_sweeps_what_it_did_not_name(void **state) {
        Rig *rig = *state;
        virt_says(rig, 1, "a");
        virt_says(rig, 2, "b");
        MonoTime begun = mono_now();
        send(domains_virt_sink(rig->t), domain(2), GROUP_DOM_STATE);
        domains_sweep(rig->t, begun);
        assert_int_equal(rig->gone, 1);
        assert_int_equal(domains_count(rig->t), 1);
        assert_non_null(domains_find(rig->t, &(EntityKey){ ENTITY_DOMAIN, { { 2 } } }));
}

static void a_worker_speaks_only_of_its_own(void **state) {
        Rig *rig = *state;
        Sink *virt = domains_virt_sink(rig->t);
        send(virt, domain(1), GROUP_DOM_STATE);   /* unknown */
        send(virt, HOST, GROUP_HYP_UP);           /* the sensor's */
        send(virt, (EntityKey){ .kind = ENTITY_HOST }, GROUP_HYP_POOL); /* another host */
        virt_says(rig, 1, "a");
        send(virt, domain(1), GROUP_DOM_CPU);     /* the kernel's */
        send(virt, domain(1), GROUP_DOM_BALLOON); /* no process */
        kernel_says(rig, 1, 77);
        send(virt, domain(1), GROUP_DOM_NET);     /* not wanted */
        sink_blob(virt, domain(1), BLOB_DOCKER_LIST, "x", 1);
        sink_blob(virt, domain(2), BLOB_DOMAIN_XML, "x", 1);
        assert_int_equal(rig->batches, 0);
        assert_int_equal(rig->blobs, 0);
        assert_int_equal(rig->defined, 0);
        rig->net = true;
        send(virt, domain(1), GROUP_DOM_NET);
        send(virt, domain(1), GROUP_DOM_BALLOON);
        send(virt, HOST, GROUP_HYP_POOL);
        sink_blob(virt, domain(1), BLOB_DOMAIN_XML, "x", 1);
        assert_int_equal(rig->batches, 3);
        assert_int_equal(rig->blobs, 1);
        assert_int_equal(rig->defined, 1);
}

static void there_is_a_limit(void **state) {
        Rig *rig = *state;
        for (uint8_t n = 1; n <= 6; n++)
                kernel_says(rig, n, n);
        assert_int_equal(domains_count(rig->t), 4);
        assert_int_equal(domains_refused(rig->t), 2);
}

static void a_new_process_is_a_new_story(void **state) {
        Rig *rig = *state;
        virt_says(rig, 1, "a");
        kernel_says(rig, 1, 77);
        Domain *d = domains_find(rig->t, &(EntityKey){ ENTITY_DOMAIN, { { 1 } } });
        watch_lost(&d->watch, mono_now(), mono_now());
        kernel_says(rig, 1, 77);
        assert_true(watch_outstanding(&d->watch));
        kernel_says(rig, 1, 78);
        assert_false(watch_outstanding(&d->watch));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(both_witnesses_make_one_entity, setup, teardown),
                cmocka_unit_test_setup_teardown(a_process_that_ends_leaves_the_definition, setup, teardown),
                cmocka_unit_test_setup_teardown(what_libvirt_ends_is_gone_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(what_libvirt_lost_comes_back, setup, teardown),
                cmocka_unit_test_setup_teardown(a_machine_libvirt_never_knew_stays, setup, teardown),
                cmocka_unit_test_setup_teardown(a_look_sweeps_what_it_did_not_name, setup, teardown),
                cmocka_unit_test_setup_teardown(a_worker_speaks_only_of_its_own, setup, teardown),
                cmocka_unit_test_setup_teardown(there_is_a_limit, setup, teardown),
                cmocka_unit_test_setup_teardown(a_new_process_is_a_new_story, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
