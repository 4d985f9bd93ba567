/* Command lines as libvirt, Proxmox and people write them, and broken ones. */
#include "collect/qemu/cmdline.h"

#include "collect/qemu/procfile.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define UUID_A "11111111-2222-4333-8444-000000000001"
#define PARSE(c, literal) qemu_cmdline_parse((literal), sizeof(literal), (c))

static void test_is_qemu(void **state) {
        (void)state;
        assert_true(qemu_cmdline_is_qemu("/usr/bin/qemu-system-x86_64", 28));
        assert_true(qemu_cmdline_is_qemu("/usr/libexec/qemu-kvm", 22));
        assert_true(qemu_cmdline_is_qemu("kvm", 4));
        assert_false(qemu_cmdline_is_qemu("qemu-img", 9));
        assert_false(qemu_cmdline_is_qemu("vi\0qemu-system-x86_64", 22));
        assert_false(qemu_cmdline_is_qemu("qemu-system-x86_64", 18)); /* not terminated */
        assert_false(qemu_cmdline_is_qemu("", 0));
}

static void test_libvirt(void **state) {
        (void)state;
        QemuCmdline c;
        PARSE(&c, "qemu-system-x86_64\0-name\0guest=a,,b,debug-threads=on\0-S\0-smp\0" "2,sockets=2\0-uuid\0" UUID_A
                  "\0-netdev\0{\"type\":\"tap\",\"fd\":\"31\",\"id\":\"hostnet0\"}\0-netdev\0user,id=x\0"
                  "-netdev\0{\"type\":\"vhost-user\",\"chardev\":\"c\"}");
        assert_true(c.has_uuid);
        assert_int_equal(c.uuid.bytes[15], 1);
        assert_string_equal(c.name, "a,b");
        assert_true(c.smp);
        assert_int_equal(c.host_nics, 2);
}

static void test_proxmox(void **state) {
        (void)state;
        QemuCmdline c;
        PARSE(&c, "/usr/bin/kvm\0-id\0" "100\0-name\0web,debug-threads=on\0-smbios\0type=1,uuid=" UUID_A
                  "\0-smp\0" "1");
        assert_true(c.has_uuid);
        assert_string_equal(c.name, "web");
        assert_false(c.smp);
}

static void test_names(void **state) {
        (void)state;
        QemuCmdline c;
        PARSE(&c, "q\0-name\0guest=a=\"b\"\n<script>,process=x");
        assert_string_equal(c.name, "a=\"b\"\n<script>");
        PARSE(&c, "q\0--name\0plain");
        assert_string_equal(c.name, "plain");
        PARSE(&c, "q\0-name\0debug-threads=on");
        assert_int_equal(c.name_len, 0);
        PARSE(&c, "q\0-name\0guest=x,");
        assert_string_equal(c.name, "x");
        CLEANUP_FREE char *long_name = malloc(10020);
        memset(long_name, 'n', 10020);
        memcpy(long_name, "q\0-name\0guest=", 14);
        long_name[10019] = '\0';
        qemu_cmdline_parse(long_name, 10020, &c);
        assert_int_equal(c.name_len, ENTITY_TEXT_MAX);
}

static void test_broken(void **state) {
        (void)state;
        QemuCmdline c;
        qemu_cmdline_parse("", 0, &c);
        assert_false(c.has_uuid);
        PARSE(&c, "q\0-uuid");
        assert_false(c.has_uuid);
        PARSE(&c, "q\0-uuid\0zzz\0-uuid\0");
        assert_false(c.has_uuid);
        qemu_cmdline_parse("q\0-uuid\0" UUID_A, 8 + UUID_TEXT_LEN, &c); /* cut before its end */
        assert_false(c.has_uuid);
}

static void test_stat(void **state) {
        (void)state;
        static const char TEXT[] = "7 (a) b) c\n) S 1 1 1 0 -1 4 10 0 12 0 14 15 0 0 20 0 20 0 22 23 24 0 0 0 0 0 0 0 0 0 0 "
                                   "0 0 0 17 39 0\n";
        ProcStat st;
        assert_true(parse_stat(TEXT, sizeof TEXT - 1, &st));
        assert_int_equal(st.state, 'S');
        assert_int_equal(st.minflt, 10);
        assert_int_equal(st.majflt, 12);
        assert_int_equal(st.utime, 14);
        assert_int_equal(st.stime, 15);
        assert_int_equal(st.threads, 20);
        assert_int_equal(st.start, 22);
        assert_int_equal(st.rss_pages, 24);
        assert_int_equal(st.cpu, 39);
        for (size_t n = 0; n < sizeof TEXT - 5; n++)
                assert_false(parse_stat(TEXT, n, &st) && st.cpu != 39);
}

static void test_small_files(void **state) {
        (void)state;
        uint64_t a, b;
        assert_true(parse_bytes("5\n", 2, &a));
        assert_false(parse_bytes("5", 1, &a));
        assert_false(parse_bytes("max\n", 4, &a));
        assert_false(parse_bytes("9223372036854771712\n", 20, &a));
        static const char SCHED[] = "q (1, #threads: 1)\n---\nse.statistics.wait_sum   :     12.345678\n";
        assert_true(parse_wait_sum(SCHED, sizeof SCHED - 1, &a));
        assert_int_equal(a, 12345678);
        assert_false(parse_wait_sum("wait_sum\n", 9, &a));
        assert_int_equal(parse_pressure("some avg10=0.00 total=7\n", 24, &a, &b), 1);
        assert_int_equal(a, 7);
        assert_false(parse_field("usage_usec_x 5\n", 15, "usage_usec", &a));
        assert_false(parse_schedstat("1 2\n", 4, &a, &b));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_is_qemu),    cmocka_unit_test(test_libvirt), cmocka_unit_test(test_proxmox),
                cmocka_unit_test(test_names),      cmocka_unit_test(test_broken),  cmocka_unit_test(test_stat),
                cmocka_unit_test(test_small_files),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
