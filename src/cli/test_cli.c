/* What the command prints: numbers, widths, rows, findings; and reading a recorded host. */
#include "cli/cli.h"
#include "cli/doctor.h"
#include "cli/human.h"
#include "cli/ls.h"
#include "cli/show.h"
#include "cli/table.h"
#include "cli/text.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs the two above. */
#include <cmocka.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

static void test_human(void **state) {
        (void)state;
        assert_string_equal(human_bytes(NAN).text, "-");
        assert_string_equal(human_bytes(0).text, "0");
        assert_string_equal(human_bytes(812).text, "812");
        assert_string_equal(human_bytes(1023.9).text, "1.0K");
        assert_string_equal(human_bytes(1536).text, "1.5K");
        assert_string_equal(human_bytes(1024 * 1023.99).text, "1.0M");
        assert_string_equal(human_bytes(12.0 * 1024 * 1024).text, "12M");
        assert_string_equal(human_bytes(1e30).text, "867361737988E");
        assert_string_equal(human_rate(2.1 * 1024 * 1024).text, "2.1M/s");
        assert_string_equal(human_percent(0.04).text, "0.0");
        assert_string_equal(human_percent(133.71).text, "133.7");
        assert_string_equal(human_percent(NAN).text, "-");
        assert_string_equal(human_age(-1).text, "-");
        assert_string_equal(human_age(0.44).text, "0.4s");
        assert_string_equal(human_age(119).text, "119s");
        assert_string_equal(human_age(200).text, "3m20s");
        assert_string_equal(human_age(5 * 3600 + 180).text, "5h03m");
        assert_string_equal(human_age(52 * 3600).text, "2d04h");
}

static void test_display_width(void **state) {
        (void)state;
        assert_int_equal(display_width(""), 0);
        assert_int_equal(display_width("abc"), 3);
        assert_int_equal(display_width("名称"), 4);
        assert_int_equal(display_width("u\xcc\x88ni"), 3); /* combining diaeresis */
        assert_int_equal(display_width("\xff"), 1);
}

static void expect_table(const TableColumn *columns, size_t n, const char *const *cells, size_t n_cells,
                         const char *expected) {
        CLEANUP(table_deinit) Table t;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        table_init(&t, columns, n);
        for (size_t i = 0; i < n_cells; i++)
                table_cell(&t, cells[i]);
        table_print(&t, true, &out);
        assert_string_equal(buf_cstr(&out), expected);
}

static void test_table(void **state) {
        (void)state;
        static const TableColumn COLUMNS[] = { { "NAME", false, 8 }, { "N", true, 0 }, { "LAST", false, 0 } };
        static const char *const CELLS[] = { "虚拟机",      "5", "x",    "a",          "1024", "",
                                             "\x1b[31mred", "-", "b\nc", "abcdefghij", "0",    "" };
        expect_table(COLUMNS, 3, CELLS, ARRAY_LEN(CELLS),
                     "NAME         N  LAST\n"
                     "虚拟机       5  x\n"
                     "a         1024  \n"
                     "\\x1b[31…     -  b\\x0ac\n"
                     "abcdefg…     0  \n");
}

static json_t *machines(void) {
        json_t *m = json_loads(
                "[{\"kind\":\"container\",\"name\":\"web\",\"id\":\"c1\",\"state\":\"running\",\"cpu_percent\":3,"
                "\"memory\":{\"guest_used_bytes\":1024,\"host_rss_bytes\":2048,\"limit_bytes\":null},\"ages\":{\"kernel\":2.2}},"
                "{\"kind\":\"vm\",\"name\":\"b\",\"id\":\"2\",\"uuid\":\"2\",\"state\":\"running\",\"vcpus\":2,\"cpu_percent\":null,"
                "\"stuck_seconds\":72,\"ages\":{\"kernel\":0.2,\"libvirt\":61.3,\"monitor\":400}},"
                "{\"kind\":\"vm\",\"name\":\"a\\u001b[2J\",\"id\":\"1\",\"uuid\":\"1\",\"state\":\"running\",\"vcpus\":1,"
                "\"cpu_percent\":50.04,\"run_queue_delay_percent\":0,\"stuck_seconds\":0,"
                "\"disk\":{\"read_bytes_per_second\":0,\"write_bytes_per_second\":2097152}}]",
                0, NULL);
        assert_non_null(m);
        return m;
}

static void expect_ls(const LsOptions *o, const char *expected) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        CLEANUP(json_decrefp) json_t *all = machines(), *chosen = ls_select(all, o);
        ls_render(chosen, &out);
        assert_string_equal(buf_cstr(&out), expected);
}

static void test_ls(void **state) {
        (void)state;
        char *patterns[] = { (char *)"b*", (char *)"x" }, *none[] = { (char *)"nobody" };
        expect_ls(
                &(LsOptions){ 0 },
                "NAME      KIND       STATE      VCPU  CPU%  DELAY%  GUEST-USED  HOST-PAYS  LIMIT  DISK-R  DISK-W  NET-RX  "
                "NET-TX           AGE\n"
                "a\\x1b[2J  vm         running       1  50.0     0.0           -          -      -     0/s  2.0M/s       -  "
                "     -         -/-/-\n"
                "b         vm         stuck 72s     2     -       -           -          -      -       -       -       -  "
                "     -  0s/61s/6m40s\n"
                "web       container  running       -   3.0       -        1.0K       2.0K      -       -       -       -  "
                "     -            2s\n");
        expect_ls(
                &(LsOptions){ .patterns = patterns, .n_patterns = 2 },
                "NAME  KIND  STATE      VCPU  CPU%  DELAY%  GUEST-USED  HOST-PAYS  LIMIT  DISK-R  DISK-W  NET-RX  NET-TX          "
                " AGE\n"
                "b     vm    stuck 72s     2     -       -           -          -      -       -       -       -       -  "
                "0s/61s/6m40s\n");
        expect_ls(&(LsOptions){ .patterns = none, .n_patterns = 1 }, "No machines.\n");
}

static void expect_order(const LsOptions *o, const char *first, const char *last, size_t n) {
        CLEANUP(json_decrefp) json_t *all = machines(), *chosen = ls_select(all, o);
        assert_int_equal(json_array_size(chosen), n);
        assert_string_equal(field_text(json_array_get(chosen, 0), "id"), first);
        assert_string_equal(field_text(json_array_get(chosen, n - 1), "id"), last);
}

static void test_select(void **state) {
        (void)state;
        expect_order(&(LsOptions){ .sort = "cpu" }, "1", "2", 3); /* unknown ones are last */
        expect_order(&(LsOptions){ .sort = "memory" }, "c1", "2", 3);
        expect_order(&(LsOptions){ .sort = "disk" }, "1", "c1", 3);
        expect_order(&(LsOptions){ .vms = true }, "1", "2", 2);
        expect_order(&(LsOptions){ .containers = true }, "c1", "c1", 1);
        assert_true(ls_sort_known("net"));
        assert_false(ls_sort_known("colour"));
}

/* Anything may be missing from an answer. */
static void test_show_of_nothing(void **state) {
        (void)state;
        static const char *const ANSWERS[] = {
                "{}",
                "[]",
                ("{\"machine\":{\"name\":\"x\",\"kind\":\"vm\"},\"groups\":[{\"group\":\"DOM_BLOCK\",\"rows\":[{}]},"
                 "{\"group\":\"DOM_VCPU\",\"rows\":[null,{\"labels\":{\"vcpu\":\"0\"}}]},7]}"),
        };
        for (size_t i = 0; i < ARRAY_LEN(ANSWERS); i++) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                CLEANUP(json_decrefp) json_t *doc = json_loads(ANSWERS[i], 0, NULL);
                show_render(doc, &out);
                assert_non_null(strstr(buf_cstr(&out), "Memory, three ways"));
        }
}

static void test_show(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        CLEANUP(json_decrefp)
        json_t *doc = json_loads(
                "{\"machine\":{\"name\":\"x\\u001b[1m\",\"kind\":\"vm\",\"uuid\":\"u\",\"id\":\"u\",\"memory\":{\"host_rss_bytes\":1048576}},"
                "\"document\":{\"disks\":[{\"target\":\"vda\",\"source\":\"/d\\u0007.img\"},{\"target\":\"vdb\",\"source\":\"\"}]},"
                "\"groups\":[{\"group\":\"DOM_BLOCK\",\"help\":\"disks\",\"age_seconds\":3,"
                "\"metrics\":[{\"name\":\"x_read_bytes_total\",\"label\":\"\"},{\"name\":\"y\",\"label\":\"mode=\\\"user\\\"\"}],"
                "\"rows\":[{\"labels\":{\"target_device\":\"vda\"},\"values\":[2048,null]}]}]}",
                0, NULL);
        show_render(doc, &out);
        const char *s = buf_cstr(&out);
        assert_non_null(strstr(s, "x\\x1b[1m\n"));
        assert_null(strchr(s, '\x1b'));
        assert_null(strchr(s, '\a'));
        assert_non_null(strstr(s, "The host pays         1.0M\n"));
        assert_non_null(strstr(s, "  vda   2.0K        -      -       -     -  /d\\x07.img\n"));
        assert_non_null(strstr(s, "  vdb      -        -      -       -     -  \n"));
        assert_non_null(strstr(s, "    x_read_bytes_total{target_device=\"vda\"} 2048\n"));
        assert_null(strstr(s, "    y"));
}

static void test_report(void **state) {
        (void)state;
        CLEANUP(report_deinit) Report r = { 0 };
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        report_add(&r, VERDICT_OK, TEXT_D_KVM, TEXT_COUNT, NULL, "%s", "there");
        assert_int_equal(report_render(&r, &out), VERDICT_OK);
        report_add(&r, VERDICT_MISSING, TEXT_D_PSI, TEXT_D_PSI_COST, "boot", "no %s", "\x1b");
        buf_reset(&out);
        assert_int_equal(report_render(&r, &out), VERDICT_MISSING);
        assert_string_equal(buf_cstr(&out), "ok        /dev/kvm                  there\n"
                                            "missing   pressure (PSI)            no \\x1b\n"
                                            "              costs: pressure of the host, of VMs and of containers\n"
                                            "              mend: boot\n");
}

static void put_file(const char *root, const char *path, const char *contents) {
        char full[512];
        (void)snprintf(full, sizeof full, "%s%s", root, path);
        for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                (void)mkdir(full, 0755);
                *slash = '/';
        }
        CLEANUP_FILE FILE *f = fopen(full, "w");
        assert_non_null(f);
        fputs(contents, f);
}

static const Finding *finding(const Report *r, TextId check) {
        for (size_t i = 0; i < r->n; i++)
                if (r->findings[i].check == check)
                        return &r->findings[i];
        fail_msg("no finding %d", (int)check);
        return NULL;
}

static void test_doctor_host(void **state) {
        (void)state;
        char root[] = "/tmp/test_cli.XXXXXX";
        assert_non_null(mkdtemp(root));
        put_file(root, "/proc/self/mountinfo",
                 "30 1 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
                 "31 1 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n"
                 "half a li");
        put_file(root, "/sys/fs/cgroup/unified/cgroup.controllers", "cpu io\n");
        put_file(root, "/proc/77/comm", "libvirtd\n");
        put_file(root, "/proc/78/comm", "parallax-sensor\n");
        put_file(root, "/proc/78/status", "Name:\tparallax-sensor\nCapEff:\t0000000000080000\n");
        put_file(root, "/proc/sys/kernel/sched_schedstats", "1\n");
        put_file(root, "/var/lib/docker/containers/x", "");
        CLEANUP(report_deinit) Report r = { 0 };
        doctor_host(root, &r);
        assert_string_equal(finding(&r, TEXT_D_CGROUP)->found,
                            "hybrid: version 1 with version 2 beside it; without the controllers pids");
        assert_string_equal(finding(&r, TEXT_D_PRIV)->found, "runs without CAP_DAC_READ_SEARCH");
        assert_int_equal(finding(&r, TEXT_D_LIBVIRTD)->verdict, VERDICT_MISSING);
        assert_string_equal(finding(&r, TEXT_D_LIBVIRTD)->found,
                            "libvirtd runs, but there is no socket in /run/libvirt");
        assert_int_equal(finding(&r, TEXT_D_SCHEDSTATS)->verdict, VERDICT_OK);
        assert_int_equal(finding(&r, TEXT_D_DOCKER)->verdict, VERDICT_DEGRADED);
        assert_int_equal(finding(&r, TEXT_D_PODMAN)->verdict, VERDICT_OK);
        assert_int_equal(finding(&r, TEXT_D_SCHED)->verdict, VERDICT_MISSING);
        assert_int_equal(finding(&r, TEXT_D_BTF)->verdict, VERDICT_DEGRADED);
        char command[64];
        (void)snprintf(command, sizeof command, "rm -r %s", root);
        assert_int_equal(system(command), 0);
}

/* What the store says; keys that are not given are those of a healthy one. */
static void see_store(Report *r, const char *raw, const char *log, const char *rest) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        buf_printf(&b, "{\"tiers\":[{\"tier\":\"raw\",\"bytes\":10e9,\"min_ms\":0,\"max_ms\":864e6,\"keep_seconds\":2592000,\"max_bytes\":35e9%s},"
                       "{\"tier\":\"5m\",\"bytes\":1e9,\"max_bytes\":8e9}],\"log\":{\"broken\":false,\"hangs\":false,\"lost_places\":0%s},"
                       "\"free_bytes\":50e9,\"floor_bytes\":256e6,\"ack\":\"synced\",\"ack_interval_seconds\":5,\"damaged\":0,\"disk_full\":false%s}",
                   raw, log, rest);
        json_t *json = json_loadb(b.data, b.len, 0, NULL);
        assert_non_null(json);
        report_deinit(r);
        doctor_store(json, r);
        json_decref(json);
}

static void test_doctor_store(void **state) {
        (void)state;
        static const TextId ALL[] = { TEXT_D_STORE, TEXT_D_DISK, TEXT_D_KEEP, TEXT_D_DAMAGE };
        CLEANUP(report_deinit) Report r = { 0 };
        see_store(&r, "", "", "");
        for (size_t i = 0; i < ARRAY_LEN(ALL); i++)
                assert_int_equal(finding(&r, ALL[i])->verdict, VERDICT_OK);
        assert_string_equal(finding(&r, TEXT_D_KEEP)->found, "30 days of every sample fit the limit");
        see_store(&r, "", ",\"broken\":true", "");
        assert_int_equal(finding(&r, TEXT_D_STORE)->verdict, VERDICT_MISSING);
        see_store(&r, "", ",\"hangs\":true", ",\"disk_full\":true");
        assert_string_equal(finding(&r, TEXT_D_STORE)->found, "the disk does not answer");
        assert_int_equal(finding(&r, TEXT_D_DISK)->verdict, VERDICT_MISSING);
        see_store(&r, "", "", ",\"ack\":\"interval\"");
        assert_non_null(strstr(finding(&r, TEXT_D_STORE)->found, "a power cut may take"));
        see_store(&r, "", "", ",\"free_bytes\":300e6");
        assert_int_equal(finding(&r, TEXT_D_DISK)->verdict, VERDICT_DEGRADED);
        assert_non_null(strstr(finding(&r, TEXT_D_DISK)->cost, "soon"));
        see_store(&r, "", "", ",\"free_bytes\":20e9"); /* 32e9 more may come */
        assert_non_null(strstr(finding(&r, TEXT_D_DISK)->cost, "before the limits"));
        see_store(&r, ",\"max_bytes\":20e9", "", "");
        assert_int_equal(finding(&r, TEXT_D_KEEP)->verdict, VERDICT_DEGRADED);
        assert_non_null(strstr(finding(&r, TEXT_D_KEEP)->found, "enough for 20"));
        see_store(&r, ",\"max_ms\":3600000", "", "");
        assert_non_null(strstr(finding(&r, TEXT_D_KEEP)->found, "too early"));
        see_store(&r, ",\"quarantined\":2", "", ",\"damaged\":3");
        assert_int_equal(finding(&r, TEXT_D_DAMAGE)->verdict, VERDICT_DEGRADED);
        assert_non_null(strstr(finding(&r, TEXT_D_DAMAGE)->found, "3 pieces were found damaged since the start, 2 files"));
        report_deinit(&r);
        doctor_store(NULL, &r); /* an answer that is no store's */
        assert_true(r.n > 0);
}

/* The %s and %d of a text, in their order; titles end in a plain %. */
static void conversions(const char *s, char out[16]) {
        size_t n = 0;
        for (; (s = strchr(s, '%')); s++)
                if ((s[1] == 's' || s[1] == 'd') && n < 15)
                        out[n++] = s[1];
        out[n] = '\0';
}

static void test_languages(void **state) {
        (void)state;
        for (TextId id = 0; id < TEXT_COUNT; id++) {
                char en[16], zh[16];
                text_set_language(TEXT_EN);
                conversions(text(id), en);
                text_set_language(TEXT_ZH);
                conversions(text(id), zh);
                assert_string_equal(en, zh);
                assert_true(*text(id));
        }
        text_set_language(TEXT_EN);
}

static int setup(void **state) {
        (void)state;
        (void)setenv("LC_ALL", "C.UTF-8", 1);
        text_setup();
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_human),       cmocka_unit_test(test_display_width),
                cmocka_unit_test(test_table),       cmocka_unit_test(test_ls),
                cmocka_unit_test(test_select),      cmocka_unit_test(test_show_of_nothing),
                cmocka_unit_test(test_show),        cmocka_unit_test(test_report),
                cmocka_unit_test(test_doctor_host), cmocka_unit_test(test_doctor_store), cmocka_unit_test(test_languages),
        };
        return cmocka_run_group_tests_name("cli", tests, setup, NULL);
}
