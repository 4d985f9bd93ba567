/* The collector on the recorded hosts of tests/roots, and on a copy that is changed while it looks. */
#include "collect/container/container_priv.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#ifndef TEST_ROOTS
#define TEST_ROOTS "tests/roots"
#endif

#define DOCKER_ID "4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e"
#define PODMAN_ID "ab12cd34ab12cd34ab12cd34ab12cd34ab12cd34ab12cd34ab12cd34ab12cd34"

#define MAX_VALUES 8192
#define MAX_ENTITIES 64

typedef struct Value {
        EntityKey key;
        MetricId metric;
        char label[32];
        double value;
} Value;

typedef struct Entity {
        EntityKey key;
        Engine engine;
        uint32_t pid;
        int64_t started_ns;
        char name[64], path[256], ident[256];
} Entity;

typedef struct Recorder {
        Sink sink;
        Value values[MAX_VALUES];
        size_t n_values;
        Entity entities[MAX_ENTITIES];
        size_t n_entities, n_gone, n_group_gone;
        EntityKey gone;
} Recorder;

static void record_batch(Sink *s, const Batch *b) {
        Recorder *r = (Recorder *)s;
        assert_int_equal(batch_check(b), 0);
        LabelCursor labels = batch_labels(b);
        size_t columns = group_columns(b->group);
        for (uint32_t row = 0; row < b->n_rows; row++) {
                Span label = { "", 0 }, other;
                for (size_t i = 0; i < GROUPS[b->group].n_keys; i++)
                        assert_true(label_next(&labels, i == 0 ? &label : &other));
                for (size_t i = 0; i < columns; i++) {
                        double value = b->values[row * columns + i];
                        if (value_is_absent(value))
                                continue;
                        assert_true(r->n_values < MAX_VALUES);
                        Value *v = &r->values[r->n_values++];
                        *v = (Value){ .key = b->key, .metric = (MetricId)(GROUPS[b->group].first + i), .value = value };
                        (void)snprintf(v->label, sizeof v->label, "%.*s", (int)label.len, label.text);
                }
        }
}

static void record_entity(Sink *s, const EntityInfo *info) {
        Recorder *r = (Recorder *)s;
        assert_true(r->n_entities < MAX_ENTITIES);
        Entity *e = &r->entities[r->n_entities++];
        *e = (Entity){ .key = info->key, .engine = info->engine, .pid = info->pid, .started_ns = info->started_ns };
        (void)snprintf(e->name, sizeof e->name, "%.*s", (int)info->name_len, info->name);
        (void)snprintf(e->path, sizeof e->path, "%.*s", (int)info->path_len, info->path);
        (void)snprintf(e->ident, sizeof e->ident, "%.*s", (int)info->ident_len, info->ident);
}

static void record_gone(Sink *s, EntityKey key) {
        Recorder *r = (Recorder *)s;
        r->n_gone++;
        r->gone = key;
}

static void record_group_gone(Sink *s, EntityKey key, GroupId group) {
        (void)key;
        (void)group;
        ((Recorder *)s)->n_group_gone++;
}

static void record_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        (void)s;
        (void)key;
        (void)type;
        (void)bytes;
        (void)n;
        fail_msg("the collector sends no blobs");
}

static Recorder recorder = { .sink = { record_batch, record_entity, record_gone, record_group_gone, record_blob } };

static void recorder_reset(void) {
        recorder.n_values = recorder.n_entities = recorder.n_gone = recorder.n_group_gone = 0;
}

static Containers *open_host(const char *root, ContainerOptions o) {
        Containers *c = NULL;
        assert_int_equal(container_new(root, &o, &c), 0);
        recorder_reset();
        return c;
}

static ContainerOptions options(void) {
        ContainerOptions o = container_options_default();
        o.machine = true;
        o.host.kind = ENTITY_HOST;
        return o;
}

static void look(Containers *c, int64_t second) {
        recorder_reset();
        container_look(c, (WallTime){ (1700005000 + second) * NS_PER_SEC }, (MonoTime){ (1000 + second) * NS_PER_SEC },
                       &recorder.sink);
}

static const Entity *entity_at(const char *path) {
        for (size_t i = 0; i < recorder.n_entities; i++)
                if (strcmp(recorder.entities[i].path, path) == 0)
                        return &recorder.entities[i];
        return NULL;
}

/* NaN when it was not sent. */
static double value_of(EntityKey key, MetricId m, const char *label) {
        for (size_t i = 0; i < recorder.n_values; i++) {
                const Value *v = &recorder.values[i];
                if (v->metric == m && entity_key_equal(&v->key, &key) && (!label || strcmp(v->label, label) == 0))
                        return v->value;
        }
        return __builtin_nan("");
}

static void expect(EntityKey key, MetricId m, const char *label, double value) {
        double v = value_of(key, m, label);
        if (!(v == value))
                fail_msg("%s%s%s is %.17g, not %.17g", METRICS[m].name, label ? " " : "", label ? label : "", v, value);
}

static void expect_absent(EntityKey key, MetricId m) {
        double v = value_of(key, m, NULL);
        if (v == v)
                fail_msg("%s is %.17g, not absent", METRICS[m].name, v);
}

/* ---- what both versions must say of the same container */

static void expect_docker(EntityKey key, const char *disk) {
        expect(key, M_CTR_CPU_USAGE, NULL, 3e9);
        expect(key, M_CTR_CPU_USER, NULL, 2.25e9);
        expect(key, M_CTR_CPU_SYSTEM, NULL, 0.75e9);
        expect(key, M_CTR_CPU_PERIODS, NULL, 10);
        expect(key, M_CTR_CPU_THROTTLED_PERIODS, NULL, 4);
        expect(key, M_CTR_MEM_USAGE, NULL, 10485760);
        expect(key, M_CTR_MEM_WORKING_SET, NULL, 10485760 - 1048576);
        expect(key, M_CTR_MEM_RSS, NULL, 6291456);
        expect(key, M_CTR_MEM_CACHE, NULL, 3145728);
        expect(key, M_CTR_MEM_SWAP, NULL, 12288);
        expect(key, M_CTR_MEM_KERNEL, NULL, 409600);
        expect(key, M_CTR_MEM_MAX_USAGE, NULL, 20971520);
        expect(key, M_CTR_MEM_OOM, NULL, 2);
        expect(key, M_CTR_MEM_DIRTY, NULL, 4096);
        expect(key, M_CTR_FAULTS_MINOR_HIERARCHY, NULL, 200);
        expect(key, M_CTR_FAULTS_MAJOR_HIERARCHY, NULL, 7);
        expect(key, M_CTR_IO_READS_BYTES, disk, 4096);
        expect(key, M_CTR_IO_WRITES_BYTES, disk, 8192);
        expect(key, M_CTR_IO_READS, disk, 1);
        expect(key, M_CTR_IO_WRITES, disk, 2);
        expect(key, M_CTR_BLKIO_WRITE, disk, 8192);
        expect(key, M_CTR_NET_RX_BYTES, "eth0", 123456);
        expect(key, M_CTR_NET_TX_DROPPED, "eth0", 4);
        expect(key, M_CTR_PROC_PROCESSES, NULL, 2);
        expect(key, M_CTR_PROC_THREADS, NULL, 3);
        expect(key, M_CTR_PROC_THREADS_MAX, NULL, 100);
        expect(key, M_CTR_PROC_FDS, NULL, 7);
        expect(key, M_CTR_SCHED_RUNQUEUE, NULL, 2000 * (700 + 701 + 702));
        expect(key, M_CTR_SPEC_CPU_QUOTA, NULL, 50000);
        expect(key, M_CTR_SPEC_CPU_PERIOD, NULL, 100000);
        expect(key, M_CTR_SPEC_MEMORY_LIMIT, NULL, 67108864);
        expect_absent(key, M_CTR_SPEC_MEMORY_RESERVATION);
        expect(key, M_CTR_START_TIME, NULL, 1700000000 + 2000);
        expect(key, M_CTR_START_LAST_SEEN, NULL, 1700005000);
        double loopback = value_of(key, M_CTR_NET_RX_BYTES, "lo");
        assert_true(loopback != loopback);
}

static void test_v1(void **state) {
        (void)state;
        CLEANUP(container_freep) Containers *c = open_host(TEST_ROOTS "/cgroup-v1/", options());
        look(c, 0);
        const Entity *docker = entity_at("/docker/" DOCKER_ID);
        assert_non_null(docker);
        assert_int_equal(docker->engine, ENGINE_DOCKER);
        assert_string_equal(docker->name, "4f1c2d3e4f1c");
        assert_string_equal(docker->ident, DOCKER_ID);
        assert_int_equal(docker->pid, 700);
        expect_docker(docker->key, "/dev/sda");
        expect(docker->key, M_CTR_CPU_THROTTLED, NULL, 123456789);
        expect(docker->key, M_CTR_CPU_PER_USAGE, "1", 1.5e9);
        expect(docker->key, M_CTR_MEM_FAILCNT, NULL, 3);
        expect(docker->key, M_CTR_FAULTS_MINOR_CONTAINER, NULL, 100);
        expect(docker->key, M_CTR_BLKIO_READ, "/dev/cciss/c0d0", 512);
        expect_absent(docker->key, M_CTR_PSI_CPU_WAITING);
        const Entity *lxc = entity_at("/lxc/web");
        assert_true(lxc && lxc->engine == ENGINE_LXC && strcmp(lxc->ident, "web") == 0);
        /* No quota: throttling is not zero but unknown of. The host's network is not the service's. */
        const Entity *nginx = entity_at("/system.slice/nginx.service");
        assert_true(nginx && nginx->engine == ENGINE_SYSTEMD && strcmp(nginx->name, "nginx.service") == 0);
        expect_absent(nginx->key, M_CTR_CPU_PERIODS);
        expect_absent(nginx->key, M_CTR_NET_RX_BYTES);
        expect_absent(nginx->key, M_CTR_SPEC_MEMORY_LIMIT);
        assert_true(entity_at("/") && entity_at("/")->engine == ENGINE_CGROUP);
        assert_int_equal(container_stats(c)->found, 6);
        expect(options().host, M_MACHINE_CORES, NULL, 4);
        expect(options().host, M_MACHINE_PHYSICAL_CORES, NULL, 2);
        expect(options().host, M_MACHINE_SOCKETS, NULL, 1);
        expect(options().host, M_MACHINE_MEMORY, NULL, 16384000);
}

static void test_v2(void **state) {
        (void)state;
        CLEANUP(container_freep) Containers *c = open_host(TEST_ROOTS "/cgroup-v2", options());
        look(c, 0);
        const Entity *docker = entity_at("/system.slice/docker-" DOCKER_ID ".scope");
        assert_true(docker && docker->engine == ENGINE_DOCKER && strcmp(docker->ident, DOCKER_ID) == 0);
        expect_docker(docker->key, "/dev/nvme0n1");
        expect(docker->key, M_CTR_CPU_THROTTLED, NULL, 123456000);
        expect(docker->key, M_CTR_CPU_BURST, NULL, 55000);
        expect(docker->key, M_CTR_PSI_MEMORY_STALLED, NULL, 567);
        expect(docker->key, M_CTR_MEM_EVENTS_MAX, NULL, 8);
        expect_absent(docker->key, M_CTR_MEM_FAILCNT);
        expect_absent(docker->key, M_CTR_CPU_PER_USAGE);
        const Entity *podman = entity_at("/machine.slice/libpod-" PODMAN_ID ".scope");
        assert_true(podman && podman->engine == ENGINE_PODMAN && strcmp(podman->ident, PODMAN_ID) == 0);
        assert_int_equal(podman->pid, 750); /* from the cgroup below */
        expect(podman->key, M_CTR_PROC_PROCESSES, NULL, 1);
        const Entity *lxc = entity_at("/lxc.payload.c1");
        assert_true(lxc && lxc->engine == ENGINE_LXC && lxc->pid == 800);
        expect(lxc->key, M_CTR_PROC_PROCESSES, NULL, 2);
        const Entity *crypt = entity_at("/system.slice/systemd-cryptsetup@dm\\x2dcrypt.service");
        assert_non_null(crypt);
        assert_string_equal(crypt->name, "systemd-cryptsetup@dm-crypt.service");
        assert_string_equal(crypt->ident, "systemd-cryptsetup@dm\\x2dcrypt.service");
        expect_absent(crypt->key, M_CTR_MEM_USAGE); /* no controller: absent, not 0 */
}

static void test_v2_root_is_made_of_what_there_is(void **state) {
        (void)state;
        CLEANUP(container_freep) Containers *c = open_host(TEST_ROOTS "/cgroup-v2", options());
        look(c, 0);
        EntityKey root = container_key(ENGINE_CGROUP, "/", 1);
        expect(root, M_CTR_MEM_USAGE, NULL, 6291456 + 3145728);
        expect(root, M_CTR_PSI_CPU_WAITING, NULL, 777); /* from /proc/pressure */
        expect(root, M_CTR_CPU_USAGE, NULL, 1e12);
}

static void test_v2_leaves_to_others_what_is_theirs(void **state) {
        (void)state;
        CLEANUP(container_freep) Containers *c = open_host(TEST_ROOTS "/cgroup-v2", options());
        look(c, 0);
        for (size_t i = 0; i < recorder.n_entities; i++) {
                const Entity *e = &recorder.entities[i];
                assert_null(strstr(e->path, "qemu"));
                assert_null(strstr(e->path, "conmon"));
                assert_null(strstr(e->path, "lxc.monitor"));
                assert_null(strstr(e->path, "0123abcd")); /* Kubernetes' */
                for (size_t j = 0; j < i; j++)
                        assert_false(entity_key_equal(&e->key, &recorder.entities[j].key));
        }
        /* Two users' units of one name. */
        assert_non_null(entity_at("/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service"));
        assert_non_null(entity_at("/user.slice/user-1001.slice/user@1001.service/app.slice/foo.service"));
}

static void test_hybrid(void **state) {
        (void)state;
        CLEANUP(container_freep) Containers *c = open_host(TEST_ROOTS "/cgroup-hybrid", options());
        look(c, 0);
        const Entity *docker = entity_at("/docker/" DOCKER_ID);
        assert_non_null(docker);
        expect(docker->key, M_CTR_CPU_USAGE, NULL, 24297620);
        expect(docker->key, M_CTR_MEM_USAGE, NULL, 323584);
        expect(docker->key, M_CTR_SPEC_MEMORY_LIMIT, NULL, 67108864);
        expect(docker->key, M_CTR_PSI_CPU_WAITING, NULL, 19663);
        assert_int_equal(container_stats(c)->found, 2);
}

static void test_switched_off_engines_are_not_shown(void **state) {
        (void)state;
        ContainerOptions o = options();
        o.docker = o.services = o.slices = o.machine = false;
        CLEANUP(container_freep) Containers *c = open_host(TEST_ROOTS "/cgroup-v2", o);
        look(c, 0);
        assert_int_equal(recorder.n_entities, 2);
        assert_int_equal(container_stats(c)->by_engine[ENGINE_PODMAN], 1);
        assert_int_equal(container_stats(c)->by_engine[ENGINE_LXC], 1);
        expect_absent(o.host, M_MACHINE_CORES);
}

static void test_the_limit_keeps_containers_before_services(void **state) {
        (void)state;
        ContainerOptions o = options();
        o.max_containers = 3;
        CLEANUP(container_freep) Containers *c = open_host(TEST_ROOTS "/cgroup-v2", o);
        look(c, 0);
        assert_int_equal(recorder.n_entities, 3);
        for (size_t i = 0; i < 3; i++)
                assert_true(recorder.entities[i].engine <= ENGINE_LXC);
        assert_true(container_stats(c)->left_out > 10);
}

static void test_descriptors_are_bounded(void **state) {
        (void)state;
        ContainerOptions o = options();
        o.max_descriptors = 5;
        CLEANUP(container_freep) Containers *c = open_host(TEST_ROOTS "/cgroup-v1", o);
        look(c, 0);
        assert_int_equal(container_stats(c)->descriptors, 5);
        const Entity *docker = entity_at("/docker/" DOCKER_ID);
        expect_docker(docker->key, "/dev/sda");
}

/* ---- a host that changes */

static char copy[64];

static void copy_open(const char *from) {
        char command[256];
        (void)snprintf(copy, sizeof copy, "/tmp/test-container-XXXXXX");
        assert_non_null(mkdtemp(copy));
        (void)snprintf(command, sizeof command, "cp -a '%s/.' '%s'", from, copy);
        assert_int_equal(system(command), 0);
}

static int copy_close(void **state) {
        (void)state;
        char command[128];
        if (copy[0] == '\0')
                return 0;
        (void)snprintf(command, sizeof command, "rm -r '%s'", copy);
        copy[0] = '\0';
        return system(command);
}

static void shell(const char *format, const char *argument) {
        char command[1024], inner[768];
        (void)snprintf(inner, sizeof inner, format, argument);
        (void)snprintf(command, sizeof command, "cd '%s' && %s", copy, inner);
        assert_int_equal(system(command), 0);
}

static void write_copy(const char *path, const char *text) {
        char full[512];
        (void)snprintf(full, sizeof full, "%s/%s", copy, path);
        CLEANUP_FD int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

#define V1_DOCKER "sys/fs/cgroup/%s/docker/" DOCKER_ID

static void test_a_container_that_vanishes_is_gone_once(void **state) {
        (void)state;
        copy_open(TEST_ROOTS "/cgroup-v1");
        CLEANUP(container_freep) Containers *c = open_host(copy, options());
        look(c, 0);
        size_t before = container_stats(c)->descriptors;
        look(c, 10);
        assert_int_equal(recorder.n_entities, 0);
        assert_int_equal(container_stats(c)->descriptors, before);
        shell("rm -r sys/fs/cgroup/*/docker%s", "");
        look(c, 20);
        assert_int_equal(recorder.n_gone, 1);
        EntityKey key = container_key(ENGINE_DOCKER, DOCKER_ID, 64);
        assert_true(entity_key_equal(&recorder.gone, &key));
        expect_absent(key, M_CTR_CPU_USAGE);
        assert_true(container_stats(c)->descriptors < before);
        look(c, 30);
        assert_int_equal(recorder.n_gone, 0);
}

static void test_a_restarted_container_is_read_anew(void **state) {
        (void)state;
        copy_open(TEST_ROOTS "/cgroup-v1");
        CLEANUP(container_freep) Containers *c = open_host(copy, options());
        look(c, 0);
        /* The same path, other directories, another process. */
        shell("for d in sys/fs/cgroup/*/docker; do mv $d/%s $d/old && cp -a $d/old $d/" DOCKER_ID
              " && rm -r $d/old; done",
              DOCKER_ID);
        shell("for d in sys/fs/cgroup/*/docker/%s; do echo 701 > $d/cgroup.procs; done", DOCKER_ID);
        write_copy("sys/fs/cgroup/cpu,cpuacct/docker/" DOCKER_ID "/cpuacct.usage", "17\n");
        look(c, 10);
        const Entity *e = entity_at("/docker/" DOCKER_ID);
        assert_true(e && e->pid == 701);
        assert_int_equal(e->started_ns, (INT64_C(1700000000) + 2001) * NS_PER_SEC);
        expect(e->key, M_CTR_CPU_USAGE, NULL, 17);
}

static void test_half_written_files_are_absent_values(void **state) {
        (void)state;
        static const char *const TEXTS[] = { "",
                                             "\n",
                                             "x",
                                             "18446744073709551616\n",
                                             "-1\n",
                                             "total_rss",
                                             "8:0\n8:\n:0 Read 1\n8:0 Read x\n",
                                             "some avg10\nfull total=\nsome total=99999999999999999999999\n",
                                             "\xff\xfe" };
        copy_open(TEST_ROOTS "/cgroup-v1");
        CLEANUP(container_freep) Containers *c = open_host(copy, options());
        EntityKey key = container_key(ENGINE_DOCKER, DOCKER_ID, 64);
        for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
                write_copy("text", TEXTS[i]);
                shell("for f in $(find sys/fs/cgroup/*/docker -type f ! -name cgroup.procs%s) proc/700/stat proc/700/net/dev"
                      " proc/700/schedstat; do cat text > $f; done",
                      "");
                look(c, (int64_t)i * 40);
                expect_absent(key, M_CTR_CPU_USAGE);
                expect_absent(key, M_CTR_MEM_WORKING_SET);
                expect_absent(key, M_CTR_IO_READS_BYTES);
                expect_absent(key, M_CTR_NET_RX_BYTES);
                expect_absent(key, M_CTR_SPEC_MEMORY_LIMIT);
        }
}

static void test_a_group_that_goes_away_is_told(void **state) {
        (void)state;
        copy_open(TEST_ROOTS "/cgroup-v2");
        CLEANUP(container_freep) Containers *c = open_host(copy, options());
        look(c, 0);
        shell("rm sys/fs/cgroup/system.slice/ssh.service/io.stat && : > sys/fs/cgroup/system.slice/%s/io.stat",
              "ssh.service");
        look(c, 40);
        /* io.stat was open: an unlinked file still reads; after a recheck of a new inode it does not. */
        shell("rm -r sys/fs/cgroup/system.slice/ssh.service/io.stat && mv sys/fs/cgroup/system.slice/%s s && cp -a s sys/fs/cgroup/system.slice/ssh.service",
              "ssh.service");
        look(c, 80);
        assert_int_equal(recorder.n_group_gone, 2); /* CTR_IO and CTR_BLKIO */
}

static void test_run_queue_time_never_falls(void **state) {
        (void)state;
        copy_open(TEST_ROOTS "/cgroup-v1");
        CLEANUP(container_freep) Containers *c = open_host(copy, options());
        EntityKey key = container_key(ENGINE_DOCKER, DOCKER_ID, 64);
        look(c, 0);
        double first = value_of(key, M_CTR_SCHED_RUNQUEUE, NULL);
        /* 702 ends, 703 is new with 5, 700 gained 7. */
        shell("for d in sys/fs/cgroup/*/docker/%s; do printf '700\\n701\\n703\\n' > $d/tasks; done", DOCKER_ID);
        shell("mkdir proc/703 && echo '1 5 1' > proc/703/schedstat && echo '700000000 %s 700' > proc/700/schedstat",
              "1400007");
        look(c, 10);
        expect(key, M_CTR_SCHED_RUNQUEUE, NULL, first + 12);
}

static void test_resync_announces_again(void **state) {
        (void)state;
        CLEANUP(container_freep) Containers *c = open_host(TEST_ROOTS "/cgroup-v2", options());
        look(c, 0);
        size_t n = recorder.n_entities;
        recorder_reset();
        container_resync(c, &recorder.sink);
        assert_int_equal(recorder.n_entities, n);
        look(c, 10);
        assert_int_equal(recorder.n_entities, 0);
        expect(options().host, M_MACHINE_CORES, NULL, 4);
}

static void test_the_real_host_can_be_looked_at(void **state) {
        (void)state;
        Containers *real = NULL;
        ContainerOptions o = options();
        if (container_new("/", &o, &real) < 0)
                skip();
        CLEANUP(container_freep) Containers *c = real;
        look(c, 0);
        look(c, 10);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_v1),
                cmocka_unit_test(test_v2),
                cmocka_unit_test(test_v2_root_is_made_of_what_there_is),
                cmocka_unit_test(test_v2_leaves_to_others_what_is_theirs),
                cmocka_unit_test(test_hybrid),
                cmocka_unit_test(test_switched_off_engines_are_not_shown),
                cmocka_unit_test(test_the_limit_keeps_containers_before_services),
                cmocka_unit_test(test_descriptors_are_bounded),
                cmocka_unit_test_teardown(test_a_container_that_vanishes_is_gone_once, copy_close),
                cmocka_unit_test_teardown(test_a_restarted_container_is_read_anew, copy_close),
                cmocka_unit_test_teardown(test_half_written_files_are_absent_values, copy_close),
                cmocka_unit_test_teardown(test_a_group_that_goes_away_is_told, copy_close),
                cmocka_unit_test_teardown(test_run_queue_time_never_falls, copy_close),
                cmocka_unit_test(test_resync_announces_again),
                cmocka_unit_test(test_the_real_host_can_be_looked_at),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
