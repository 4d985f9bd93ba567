/* The locator on the recorded hosts of tests/roots (v1, v2, hybrid) and on mount tables made here. */
#include "virt/cgroup.h"

#include "base/buf.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#ifndef TEST_ROOTS
#define TEST_ROOTS "tests/roots"
#endif

#define DOCKER_ID "4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e"
#define SCOPE "/machine.slice/machine-qemu\\x2d3\\x2dlab\\x2dvm.scope"

static CgroupTree *open_tree(const char *root) {
        CgroupTree *t = NULL;
        assert_int_equal(cgroup_tree_new(root, &t), 0);
        return t;
}

static void test_v1_is_found_with_co_mounted_controllers(void **state) {
        (void)state;
        CLEANUP(cgroup_tree_freep) CgroupTree *t = open_tree(TEST_ROOTS "/cgroup-v1/");
        bool v2 = true;
        assert_int_equal(cgroup_tree_version(t), CGROUP_V1);
        assert_string_equal(cgroup_tree_mount(t, CGROUP_CPU, &v2), TEST_ROOTS "/cgroup-v1/sys/fs/cgroup/cpu,cpuacct");
        assert_false(v2);
        assert_string_equal(cgroup_tree_mount(t, CGROUP_CPUACCT, NULL), cgroup_tree_mount(t, CGROUP_CPU, NULL));
        assert_string_equal(cgroup_tree_mount(t, CGROUP_MEMORY, NULL), TEST_ROOTS "/cgroup-v1/sys/fs/cgroup/memory");
        assert_string_equal(cgroup_tree_mount(t, CGROUP_UNIFIED, NULL), "");
}

static void test_a_process_of_v1_is_in_every_hierarchy(void **state) {
        (void)state;
        CLEANUP(cgroup_tree_freep) CgroupTree *t = open_tree(TEST_ROOTS "/cgroup-v1");
        CLEANUP(cgroup_paths_deinit) CgroupPaths p = CGROUP_PATHS_NULL;
        assert_int_equal(cgroup_of_pid(t, 700, &p), 0);
        assert_string_equal(p.path, "/docker/" DOCKER_ID);
        assert_string_equal(p.dir[CGROUP_IO], TEST_ROOTS "/cgroup-v1/sys/fs/cgroup/blkio/docker/" DOCKER_ID);
        assert_string_equal(p.dir[CGROUP_UNIFIED], "");
        CLEANUP_FD int fd = cgroup_open_file(&p, CGROUP_MEMORY, "memory.stat");
        assert_true(fd >= 0);
        assert_int_equal(cgroup_open_file(&p, CGROUP_MEMORY, "memory.current"), -ENOENT);
        assert_int_equal(cgroup_open_file(&p, CGROUP_UNIFIED, "cpu.pressure"), -ENOENT);
}

static void test_v2_answers_for_every_controller(void **state) {
        (void)state;
        CLEANUP(cgroup_tree_freep) CgroupTree *t = open_tree(TEST_ROOTS "/cgroup-v2");
        CLEANUP(cgroup_paths_deinit) CgroupPaths p = CGROUP_PATHS_NULL;
        assert_int_equal(cgroup_tree_version(t), CGROUP_V2);
        assert_int_equal(cgroup_of_pid(t, 700, &p), 0);
        for (CgroupController c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
                assert_true(p.v2[c]);
                assert_string_equal(p.dir[c],
                                    TEST_ROOTS "/cgroup-v2/sys/fs/cgroup/system.slice/docker-" DOCKER_ID ".scope");
        }
}

static void test_hybrid_has_v1_controllers_and_v2_pressure(void **state) {
        (void)state;
        CLEANUP(cgroup_tree_freep) CgroupTree *t = open_tree(TEST_ROOTS "/cgroup-hybrid");
        CLEANUP(cgroup_paths_deinit) CgroupPaths p = CGROUP_PATHS_NULL;
        assert_int_equal(cgroup_tree_version(t), CGROUP_HYBRID);
        assert_int_equal(cgroup_of_pid(t, 700, &p), 0);
        assert_false(p.v2[CGROUP_MEMORY]);
        assert_true(p.v2[CGROUP_UNIFIED]);
        CLEANUP_FD int usage = cgroup_open_file(&p, CGROUP_CPUACCT, "cpuacct.usage");
        CLEANUP_FD int pressure = cgroup_open_file(&p, CGROUP_UNIFIED, "cpu.pressure");
        assert_true(usage >= 0 && pressure >= 0);
}

static void test_libvirts_scope_and_its_vcpus(void **state) {
        (void)state;
        CLEANUP(cgroup_tree_freep) CgroupTree *t = open_tree(TEST_ROOTS "/cgroup-v2");
        CLEANUP(cgroup_paths_deinit) CgroupPaths p = CGROUP_PATHS_NULL;
        assert_int_equal(cgroup_of_pid(t, 900, &p), 0);
        assert_string_equal(p.path, SCOPE "/libvirt/emulator");
        cgroup_paths_deinit(&p);
        assert_int_equal(cgroup_of_path(t, SCOPE, &p), 0);
        CLEANUP_FD int fd = cgroup_open_file(&p, CGROUP_CPU, "libvirt/vcpu0/cpu.stat");
        assert_true(fd >= 0);
}

static void test_what_is_not_there_is_enoent(void **state) {
        (void)state;
        CLEANUP(cgroup_tree_freep) CgroupTree *t = open_tree(TEST_ROOTS "/cgroup-v2");
        CgroupPaths p = CGROUP_PATHS_NULL;
        assert_int_equal(cgroup_of_pid(t, 424242, &p), -ENOENT);
        assert_int_equal(cgroup_of_path(t, "/no/such", &p), -ENOENT);
        assert_int_equal(cgroup_of_path(t, "relative", &p), -EINVAL);
        assert_null(p.path);
        CgroupTree *none = NULL;
        assert_int_equal(cgroup_tree_new(TEST_ROOTS "/no-such-host", &none), -ENOENT);
        assert_null(none);
}

/* ---- mount tables made here */

typedef struct Place {
        char root[64];
} Place;

static void write_file(const Place *p, const char *path, const char *text) {
        char full[512];
        (void)snprintf(full, sizeof full, "%s/%s", p->root, path);
        for (char *s = full + strlen(p->root) + 1; (s = strchr(s, '/')); s++) {
                *s = '\0';
                (void)mkdir(full, 0700);
                *s = '/';
        }
        CLEANUP_FD int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void place_open(Place *p) {
        (void)snprintf(p->root, sizeof p->root, "/tmp/test-cgroup-XXXXXX");
        assert_non_null(mkdtemp(p->root));
}

static void place_close(Place *p) {
        char command[128];
        (void)snprintf(command, sizeof command, "rm -r '%s'", p->root);
        assert_int_equal(system(command), 0);
}

static void test_a_part_of_a_hierarchy_is_taken_off_the_path(void **state) {
        (void)state;
        CLEANUP(place_close) Place place;
        place_open(&place);
        write_file(&place, "proc/self/mountinfo",
                   "30 25 0:27 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                   "31 25 0:28 / /mnt/mem\\040ory rw,x y:1 - cgroup cgroup rw,memory\n");
        write_file(&place, "proc/7/cgroup", "3:memory:/deep/er\n0::/docker/abc/child (deleted)\n");
        write_file(&place, "proc/8/cgroup", "3:memory:/\n0::/../other\n");
        CLEANUP(cgroup_tree_freep) CgroupTree *t = open_tree(place.root);
        CLEANUP(cgroup_paths_deinit) CgroupPaths p = CGROUP_PATHS_NULL, q = CGROUP_PATHS_NULL;
        assert_int_equal(cgroup_tree_version(t), CGROUP_HYBRID);
        assert_int_equal(cgroup_of_pid(t, 7, &p), 0);
        assert_string_equal(p.dir[CGROUP_UNIFIED] + strlen(place.root), "/sys/fs/cgroup/child");
        assert_string_equal(p.dir[CGROUP_MEMORY] + strlen(place.root), "/mnt/mem ory/deep/er");
        /* Controllers without a v1 mount are v2's. */
        assert_true(p.v2[CGROUP_CPU]);
        assert_int_equal(cgroup_of_pid(t, 8, &q), 0);
        assert_string_equal(q.dir[CGROUP_UNIFIED], "");
        assert_string_equal(q.dir[CGROUP_MEMORY] + strlen(place.root), "/mnt/mem ory");
}

static void test_broken_tables_are_no_hierarchies(void **state) {
        (void)state;
        CLEANUP(place_close) Place place;
        place_open(&place);
        CgroupTree *t = NULL;
        write_file(&place, "proc/1/mountinfo",
                   "\n30 25\n30 25 0:27 / /x rw - \n30 25 0:27 x y - cgroup2 a b\n31 1 0:1 / /y rw -");
        assert_int_equal(cgroup_tree_new(place.root, &t), -ENOENT);
        write_file(&place, "proc/1/mountinfo", "30 25 0:27 / /x rw - cgroup2 a b");
        assert_int_equal(cgroup_tree_new(place.root, &t), 0);
        CLEANUP(cgroup_tree_freep) CgroupTree *tree = t;
        CgroupPaths p = CGROUP_PATHS_NULL;
        write_file(&place, "proc/5/cgroup", "0:\n::\nx\n0::no-slash\n0::");
        assert_int_equal(cgroup_of_pid(tree, 5, &p), -ENOENT);
}

static void test_systemds_escaping_is_undone(void **state) {
        (void)state;
        char out[32], small[4];
        static const char NAME[] = "dm\\x2dcrypt\\x2fa\\xzz\\x2";
        assert_int_equal(cgroup_unescape(NAME, strlen(NAME), out, sizeof out), strlen("dm-crypt/a\\xzz\\x2"));
        assert_string_equal(out, "dm-crypt/a\\xzz\\x2");
        /* A NUL would cut the name. */
        assert_int_equal(cgroup_unescape("a\\x00b", 6, out, sizeof out), 6);
        assert_int_equal(cgroup_unescape("abcdef", 6, small, sizeof small), 3);
}

static void expect_machine(const char *component, const char *driver, uint32_t id, const char *name) {
        CgroupMachine m;
        assert_true(cgroup_machine(component, strlen(component), &m));
        assert_string_equal(m.driver, driver);
        assert_int_equal(m.id, id);
        assert_string_equal(m.name, name);
}

static void test_machines_of_libvirt(void **state) {
        (void)state;
        expect_machine("machine-qemu\\x2d3\\x2dlab\\x2dvm.scope", "qemu", 3, "lab-vm");
        expect_machine("machine-lxc\\x2d12\\x2dweb.scope", "lxc", 12, "web");
        expect_machine("qemu-7-db.libvirt-qemu", "qemu", 7, "db");
        expect_machine("old.libvirt-qemu", "qemu", 0, "old");
        expect_machine("qemu-1-a.libvirt-b.libvirt-qemu", "qemu", 1, "a.libvirt-b");
        static const char *const OTHERS[] = { "",
                                              "machine-.scope",
                                              "machine-qemu.scope",
                                              "machine-qemu\\x2d\\x2dx.scope",
                                              "machine-qemu\\x2d3\\x2d.scope",
                                              ".libvirt-qemu",
                                              "x.libvirt-",
                                              "machine.slice",
                                              "docker-1.scope",
                                              "machine-qemu\\x2d99999999999\\x2dx.scope" };
        for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++) {
                CgroupMachine m;
                assert_false(cgroup_machine(OTHERS[i], strlen(OTHERS[i]), &m));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_v1_is_found_with_co_mounted_controllers),
                cmocka_unit_test(test_a_process_of_v1_is_in_every_hierarchy),
                cmocka_unit_test(test_v2_answers_for_every_controller),
                cmocka_unit_test(test_hybrid_has_v1_controllers_and_v2_pressure),
                cmocka_unit_test(test_libvirts_scope_and_its_vcpus),
                cmocka_unit_test(test_what_is_not_there_is_enoent),
                cmocka_unit_test(test_a_part_of_a_hierarchy_is_taken_off_the_path),
                cmocka_unit_test(test_broken_tables_are_no_hierarchies),
                cmocka_unit_test(test_systemds_escaping_is_undone),
                cmocka_unit_test(test_machines_of_libvirt),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
