/* The configuration file: what is accepted, and what every bad input is answered. */
#include "rt/settings.h"
#include "base/duration.h"
#include "rt/settings_table.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs the two above. */
#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>

static char dir[] = "/tmp/test_settings.XXXXXX";
static char file[128];

static void write_file(const char *text, size_t n) {
        CLEANUP_FD int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, n), (ssize_t)n);
}

/* Loads the text; errors come back without the file's name in front of each line. */
static int load(const char *text, size_t n, Settings **ret_s, char *errors, size_t size) {
        SettingsError e = { 0 };
        write_file(text, n);
        int r = settings_load(file, true, ret_s, &e);
        *errors = '\0';
        char *rest = e.text;
        for (char *line; rest && (line = strsep(&rest, "\n"));) {
                assert_memory_equal(line, file, strlen(file));
                assert_int_equal(line[strlen(file)], ':');
                size_t at = strlen(errors);
                (void)snprintf(errors + at, size - at, "%s%s", at ? "\n" : "", line + strlen(file) + 1);
        }
        free(e.text);
        return r;
}

static void good(const char *text, Settings **ret_s) {
        char errors[8192];
        int r = load(text, strlen(text), ret_s, errors, sizeof errors);
        assert_string_equal(errors, "");
        assert_int_equal(r, 0);
}

static void bad_bytes(const char *text, size_t n, const char *expected) {
        char errors[16384];
        Settings *s = NULL;
        assert_int_equal(load(text, n, &s, errors, sizeof errors), -EINVAL);
        assert_null(s);
        assert_string_equal(errors, expected);
}

static void bad(const char *text, const char *expected) {
        bad_bytes(text, strlen(text), expected);
}

/* For messages of libyaml's, which may change: where, and one word. */
static void bad_with(const char *text, size_t n, const char *place, const char *word) {
        char errors[16384];
        Settings *s = NULL;
        assert_int_equal(load(text, n, &s, errors, sizeof errors), -EINVAL);
        if (strncmp(errors, place, strlen(place)) != 0 || !strstr(errors, word))
                fail_msg("expected %s ... %s, got %s", place, word, errors);
}

static void test_defaults(void **state) {
        (void)state;
        Settings *s = NULL;
        good("", &s);
        assert_string_equal(s->log_level, "info");
        assert_string_equal(s->runtime_dir, "/run/parallax");
        assert_int_equal(s->n_listeners, 1);
        assert_string_equal(s->listeners[0].address, "127.0.0.1:9177");
        assert_string_equal(s->listeners[0].metrics, "all");
        assert_int_equal(s->interval[TIER_BASIC][LANE_MONITOR].ns, 120 * NS_PER_SEC);
        assert_int_equal(s->idle[TIER_PERFORMANCE].ns, 300 * NS_PER_SEC);
        assert_int_equal(s->interval[TIER_DIAGNOSIS][LANE_KERNEL].ns, NS_PER_SEC);
        assert_int_equal(s->default_tier, TIER_PERFORMANCE);
        assert_true(s->docker_enabled);
        assert_int_equal(s->metadata_limit, 65536);
        settings_free(s);
        good("# nothing\nlog:\n  # level: debug\nlisteners:\n", &s);
        assert_int_equal(s->n_listeners, 1);
        settings_free(s);
}

static void test_full(void **state) {
        (void)state;
        Settings *s = NULL;
        good("log: {level: debug, format: json}\n"
             "listeners:\n  - address: \"[::1]:9177\"\n  - {address: '0.0.0.0:9100', metrics: node}\n"
             "libvirt: {uri: '', deadline: 1m30s}\n"
             "containers:\n  docker: false\n  interval: 2500ms\n"
             "tiers:\n  diagnosis:\n    kernel: 250ms\n"
             "default_tier: basic\n"
             "policies:\n"
             "  - name: 'pay-*'\n    tier: diagnosis\n"
             "  - metadata: {key: 'http://x/1#importance', value: high}\n    tier: performance\n"
             "limits: {domains: 7, metadata_bytes: 1MiB}\n",
             &s);
        assert_int_equal(s->n_listeners, 2);
        assert_string_equal(s->listeners[0].metrics, "all");
        assert_string_equal(s->listeners[1].metrics, "node");
        assert_string_equal(s->libvirt_uri, "");
        assert_int_equal(s->libvirt_deadline.ns, 90 * NS_PER_SEC);
        assert_false(s->docker_enabled);
        assert_int_equal(s->container_interval.ns, 2500 * NS_PER_MS);
        assert_int_equal(s->n_policies, 2);
        assert_string_equal(s->policies[0].name, "pay-*");
        assert_int_equal(s->policies[0].tier, TIER_DIAGNOSIS);
        assert_string_equal(s->policies[1].metadata_value, "high");
        assert_int_equal(s->max_domains, 7);
        assert_int_equal(s->metadata_limit, 1 << 20);
        settings_free(s);
}

/* What is printed reads back as the same. */
static void test_print_round_trip(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf first = BUF_NULL, second = BUF_NULL;
        Settings *s = NULL;
        good("listeners: []\npolicies:\n - {tier: basic, name: \"a\\\"b\\tc\"}\n - {tier: basic, metadata: {key: k}}\n"
             "tiers: {basic: {kernel: 1m1s1ms}}\nlimits: {metadata_bytes: 1000}\n",
             &s);
        settings_print(s, &first);
        settings_free(s);
        good(buf_cstr(&first), &s);
        settings_print(s, &second);
        assert_string_equal(buf_cstr(&first), buf_cstr(&second));
        assert_non_null(strstr(buf_cstr(&first), "    kernel: 1m1s1ms\n"));
        assert_int_equal(s->n_listeners, 0);
        assert_string_equal(s->policies[1].metadata_key, "k");
        settings_free(s);
}

static void test_unknown_keys(void **state) {
        (void)state;
        bad("lgo: {}\n", "1:1: unknown key \"lgo\", expected one of log, root, runtime_dir, host, listeners, libvirt, "
                         "containers, tiers, default_tier, policies, limits, store, resolutions, query, web, global, scrape_configs, scrape_config_files, remote_write");
        bad("log:\n  levle: info\n", "2:3: unknown key \"levle\", did you mean \"level\"?");
        bad("log:\n  colour: true\n", "2:3: unknown key \"colour\" in log, expected one of level, format");
        bad("listeners:\n - address: 127.0.0.1:1\n   metric: all\n",
            "3:4: unknown key \"metric\", did you mean \"metrics\"?");
        bad("log.level: info\n",
            "1:1: unknown key \"log.level\", expected one of log, root, runtime_dir, host, listeners, "
            "libvirt, containers, tiers, default_tier, policies, limits, store, resolutions, query, web, global, scrape_configs, scrape_config_files, remote_write");
}

static void test_wrong_types(void **state) {
        (void)state;
        bad("- a\n", "1:1: found a list, expected a mapping of keys");
        bad("hello\n", "1:1: found \"hello\", expected a mapping of keys");
        bad("log: loud\n", "1:6: log: found \"loud\", expected a mapping of keys");
        bad("log: {level: [a]}\n", "1:14: log.level: found a list, expected one of error, warn, notice, info, debug");
        bad("log: {level: }\n", "1:14: log.level: found nothing, expected one of error, warn, notice, info, debug");
        bad("root: ~\n", "1:7: root: found nothing, expected an absolute path of at most 4095 bytes");
        bad("root: tmp\n", "1:7: root: found \"tmp\", expected an absolute path of at most 4095 bytes");
        bad("containers: {docker: yes}\n", "1:22: containers.docker: found \"yes\", expected true or false");
        bad("containers: {docker: 'true'}\n", "1:22: containers.docker: found \"true\", expected true or false");
        bad("listeners: 127.0.0.1:9177\n",
            "1:12: listeners: found \"127.0.0.1:9177\", expected a list of mappings (\"- key: value\")");
        bad("listeners:\n  -\n", "2:4: listeners[]: found nothing, expected a mapping of keys");
        bad("policies: [~]\n", "1:12: policies[]: found nothing, expected a mapping of keys");
        bad("policies: [a]\n", "1:12: policies[]: found \"a\", expected a mapping of keys");
        bad("limits: {domains: 1e99}\n",
            "1:19: limits.domains: found \"1e99\", expected a whole number from 1 to 100000");
        bad("limits: {domains: -1}\n", "1:19: limits.domains: found \"-1\", expected a whole number from 1 to 100000");
        bad("default_tier: fast\n",
            "1:15: default_tier: found \"fast\", expected one of basic, performance, diagnosis");
}

static void test_ranges(void **state) {
        (void)state;
        bad("limits: {domains: 0}\n",
            "1:19: limits.domains: found \"0\", which is out of range, expected a whole number from 1 to 100000");
        bad("limits: {domains: 99999999999999999999999}\n",
            "1:19: limits.domains: found \"99999999999999999999999\", which is out of range, expected a whole number from 1 to "
            "100000");
        bad("libvirt: {deadline: 1ms}\n",
            "1:21: libvirt.deadline: found \"1ms\", which is out of range, expected a duration from 500ms to 2m, such as 10s, "
            "1m30s or 1500ms");
        bad("limits: {metadata_bytes: 99999999999999999MiB}\n",
            "1:26: limits.metadata_bytes: found \"99999999999999999MiB\", which is out of range, expected a number of bytes "
            "from 64 to 1MiB, such as 4096, 64KiB or 2GiB");
}

static void test_durations(void **state) {
        (void)state;
        static const char *const WRONG[] = { "10",  "1y1y", "1s1s", "1s1m", "s",   "1e99",
                                             "-5s", "1.5s", "10 s", "5S",   "1m30" };
        for (size_t i = 0; i < ARRAY_LEN(WRONG); i++) {
                int64_t ns;
                assert_int_equal(duration_parse(WRONG[i], &ns), -EINVAL);
        }
        int64_t ns;
        assert_int_equal(duration_parse("", &ns), -EINVAL);
        assert_int_equal(duration_parse("999999999999d", &ns), -ERANGE);
        assert_int_equal(duration_parse("99999999999999999999s", &ns), -ERANGE);
        assert_int_equal(duration_parse("1d2h3m4s5ms", &ns), 0);
        assert_int_equal(ns, (((24 + 2) * 60 + 3) * 60 + 4) * NS_PER_SEC + 5 * NS_PER_MS);
        bad("host: {interval: 10}\n",
            "1:18: host.interval: found \"10\", expected a duration from 1s to 1h, such as 10s, 1m30s "
            "or 1500ms");
}

static void test_addresses(void **state) {
        (void)state;
        static const char *const WRONG[] = { "9177",           "127.0.0.1",    "127.0.0.1:0", "127.0.0.1:65536",
                                             "example.org:80", "::1:80x",      "[::1]",       "[127.0.0.1]:80",
                                             "127.0.0.1:",     "256.0.0.1:80", "/tmp/x" };
        for (size_t i = 0; i < ARRAY_LEN(WRONG); i++) {
                char text[128];
                (void)snprintf(text, sizeof text, "listeners:\n - address: '%s'\n", WRONG[i]);
                bad_with(text, strlen(text), "2:13: listeners[].address: found", "such as 127.0.0.1:9177");
        }
        bad("listeners:\n - address: 127.0.0.1:80\n - address: 127.0.0.1:80\n",
            "3:13: listeners[].address: found \"127.0.0.1:80\" again (first on line 2), expected each address once");
        bad("listeners:\n - metrics: node\n", "2:4: listeners[]: found no address, expected the key \"address\"");
}

static void test_policies(void **state) {
        (void)state;
        bad("policies:\n - name: x\n", "2:4: policies[]: found no tier, expected the key \"tier\"");
        bad("policies:\n - tier: basic\n", "2:4: policies[]: found no condition, expected \"name\" or \"metadata\"");
        bad("policies:\n - {name: a, tier: basic, metadata: {value: v}}\n",
            "2:37: policies[].metadata: found a value without a key, expected \"key\" too");
}

static void test_duplicates(void **state) {
        (void)state;
        bad("root: /\nroot: /x\n", "2:1: the key \"root\" again (first on line 1), expected each key once");
        bad("log: {level: info, level: debug}\n",
            "1:20: the key \"level\" again (first on line 1), expected each key once");
}

static void test_refused_yaml(void **state) {
        (void)state;
        bad("log: &a {level: info}\n", "1:6: the anchor \"&a\", expected a value: anchors are not accepted");
        bad("log: *a\n", "1:6: the alias \"*a\", expected a value: aliases are not accepted");
        bad("root: !!binary aGk=\n",
            "1:7: the tag \"tag:yaml.org,2002:binary\", expected a value: tags are not accepted");
        bad("root: /\n---\nroot: /\n", "2:1: a second document, expected one");
        bad("? [a, b]\n: c\n", "1:3: a list or mapping as a key, expected a name");
        bad("? {a: b}\n: c\n", "1:3: a list or mapping as a key, expected a name");
        bad("~: c\n", "1:1: nothing as a key, expected a name");
        bad("log:\n\tlevel: info\n", "2:1: a tab, expected spaces: YAML is indented with spaces only");
        bad_with("log: {level: info\n", 18, "2:1:", "expected valid YAML");
        bad_with("log: \"abc\n", 10, "2:1:", "expected valid YAML");
        bad_with("<<: *x\n", 7, "1:5:", "alias");
}

static void test_bytes(void **state) {
        (void)state;
        bad_bytes("root: /\xff\n", 9, "1:8: the byte 0xff, expected UTF-8");
        bad_bytes("# \xc3\xa4\nhost: {name: \xc3\xa4\xed\xa0\x80}\n", 25, "2:15: the byte 0xed, expected UTF-8");
        bad_with("root: /\0\n", 9, "1:8:", "expected printable text");
        bad_with("root: \x1b[31m\n", 12, "1:7:", "expected printable text");
        bad_bytes("\xff\xfe" "a\0", 4, "1:1: the byte 0xff, expected UTF-8");
        /* Control characters of a value do not reach the terminal. */
        bad("root: \"\\e[31m\"\n", "1:7: root: found \"\\x1b[31m\", expected an absolute path of at most 4095 bytes");
}

static void test_alias_bomb(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        buf_put_str(&text, "a: &a [x, x, x, x, x, x, x, x, x]\n");
        for (char c = 'b'; c <= 'j'; c++)
                buf_printf(&text, "%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c - 1, c - 1, c - 1,
                           c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
        bad_bytes(text.data, text.len, "1:4: the anchor \"&a\", expected a value: anchors are not accepted");
}

static void test_deep(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        for (int i = 0; i < 10000; i++)
                buf_put_char(&text, i % 2 ? '{' : '[');
        bad_with(text.data, text.len, "1:", "");
        buf_reset(&text);
        for (int i = 0; i < 10000; i++)
                buf_put_char(&text, '[');
        bad_with(text.data, text.len, "1:33:", "nested deeper than 32 levels");
        buf_reset(&text);
        for (int i = 0; i < 400; i++)
                buf_printf(&text, "%*sa:\n", i, "");
        bad_with(text.data, text.len, "33:33:", "nested deeper than 32 levels");
}

static void test_large(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        for (int i = 0; i < 60000; i++)
                buf_printf(&text, "k%d: 1\n", i);
        bad_with(text.data, text.len, "10000:8:", "more than 20000 values");
        while (text.len <= (1 << 20))
                buf_put_str(&text, "# padding padding padding padding padding\n");
        char errors[512];
        Settings *s = NULL;
        assert_int_equal(load(text.data, text.len, &s, errors, sizeof errors), -EFBIG);
        assert_string_equal(errors, " found more than 1 MiB, expected a smaller file");
}

static void test_all_errors_at_once(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        bad("root: x\nlog: {level: 7}\nnope: 1\n",
            "1:7: root: found \"x\", expected an absolute path of at most 4095 bytes\n"
            "2:14: log.level: found \"7\", expected one of error, warn, notice, info, debug\n"
            "3:1: unknown key \"nope\", expected one of log, root, runtime_dir, host, listeners, libvirt, containers, tiers, "
            "default_tier, policies, limits, store, resolutions, query, web, global, scrape_configs, scrape_config_files, remote_write");
        for (int i = 0; i < 50; i++)
                buf_printf(&text, "k%d: 1\n", i);
        char errors[16384];
        Settings *s = NULL;
        assert_int_equal(load(text.data, text.len, &s, errors, sizeof errors), -EINVAL);
        assert_non_null(strstr(errors, "20:1: unknown key \"k19\""));
        assert_null(strstr(errors, "21:1:"));
        assert_non_null(strstr(errors, " 30 more errors"));
}

static void expect_file(const char *path, bool must_exist, int code, const char *message) {
        Settings *s = NULL;
        SettingsError e = { 0 };
        assert_int_equal(settings_load(path, must_exist, &s, &e), code);
        if (code == 0)
                assert_null(e.text);
        else
                assert_string_equal(e.text, message);
        free(e.text);
        settings_free(s);
}

static void test_files(void **state) {
        (void)state;
        char path[160], message[400];
        (void)snprintf(message, sizeof message, "%s: found a directory, expected a YAML file", dir);
        expect_file(dir, true, -EISDIR, message);
        (void)snprintf(path, sizeof path, "%s/none", dir);
        (void)snprintf(message, sizeof message,
                       "%s: cannot be read (No such file or directory), expected a readable YAML file", path);
        expect_file(path, true, -ENOENT, message);
        expect_file(path, false, 0, "");
        (void)snprintf(path, sizeof path, "%s/pipe", dir);
        assert_int_equal(mkfifo(path, 0600), 0);
        (void)snprintf(message, sizeof message, "%s: found a device, pipe or socket, expected a YAML file", path);
        expect_file(path, true, -EINVAL, message);
        unlink(path);
        if (geteuid() == 0) /* root reads everything */
                return;
        write_file("", 0);
        assert_int_equal(chmod(file, 0), 0);
        (void)snprintf(message, sizeof message, "%s: cannot be read (Permission denied), expected a readable YAML file",
                       file);
        expect_file(file, true, -EACCES, message);
        unlink(file);
}

static void test_reference(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        settings_reference(&out);
        for (size_t i = 0; i < CONFIG_N_ROWS; i++)
                assert_non_null(strstr(buf_cstr(&out), CONFIG_ROWS[i].path));
}

static int setup(void **state) {
        (void)state;
        if (!mkdtemp(dir))
                return -1;
        (void)snprintf(file, sizeof file, "%s/parallax.yaml", dir);
        return 0;
}

static int teardown(void **state) {
        (void)state;
        (void)unlink(file);
        return rmdir(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),     cmocka_unit_test(test_full),
                cmocka_unit_test(test_print_round_trip), cmocka_unit_test(test_unknown_keys),
                cmocka_unit_test(test_wrong_types),  cmocka_unit_test(test_ranges),
                cmocka_unit_test(test_durations),    cmocka_unit_test(test_addresses),
                cmocka_unit_test(test_policies),     cmocka_unit_test(test_duplicates),
                cmocka_unit_test(test_refused_yaml), cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_alias_bomb),   cmocka_unit_test(test_deep),
                cmocka_unit_test(test_large),        cmocka_unit_test(test_all_errors_at_once),
                cmocka_unit_test(test_files),        cmocka_unit_test(test_reference),
        };
        return cmocka_run_group_tests_name("settings", tests, setup, teardown);
}
