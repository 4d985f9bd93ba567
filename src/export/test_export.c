/* Golden expositions of a table filled by hand, and what they must never do. `--dump DIR` writes them all
 * (for promtool); PARALLAX_GOLDEN_UPDATE=1 writes the golden files anew. */
#include "export/test_fixture.h"

#include "base/escape.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void render(const Fixture *f, ExportProfile p, bool openmetrics, Buf *out) {
        ExportContext c = fixture_context(f);
        assert_int_equal(export_render(&c, p, openmetrics, out), 0);
        (void)buf_cstr(out);
}

/* Without what depends on this very process. */
static void keep_steady_lines(const Buf *in, Buf *out) {
        Scan s = SCAN(in->data, in->len);
        Span line;
        while (scan_line(&s, &line)) {
                if (memmem(line.text, line.len, "process_", 8))
                        continue;
                buf_put(out, line.text, line.len);
                buf_put_char(out, '\n');
        }
}

static void golden_path(Buf *path, ExportProfile p, bool openmetrics) {
        const char *root = getenv("PARALLAX_SOURCE");
        buf_printf(path, "%s/tests/golden/expo/%s.%s", root ? root : ".", export_profile_name(p),
                   openmetrics ? "om" : "txt");
}

static void write_file(const char *path, const Buf *text) {
        CLEANUP_FILE FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(text->data, 1, text->len, file), text->len);
}

static void test_golden(void **state) {
        (void)state;
        Fixture f;
        fixture_init(&f);
        for (int i = 0; i < 2 * EXPORT_PROFILE_COUNT; i++) {
                CLEANUP(buf_deinit) Buf all = BUF_NULL, steady = BUF_NULL, path = BUF_NULL, golden = BUF_NULL;
                render(&f, (ExportProfile)(i / 2), i % 2, &all);
                keep_steady_lines(&all, &steady);
                golden_path(&path, (ExportProfile)(i / 2), i % 2);
                if (getenv("PARALLAX_GOLDEN_UPDATE"))
                        write_file(buf_cstr(&path), &steady);
                assert_int_equal(buf_read_file(&golden, AT_FDCWD, buf_cstr(&path), 4 << 20), 0);
                if (golden.len != steady.len || memcmp(golden.data, steady.data, steady.len) != 0)
                        fail_msg("%s differs", buf_cstr(&path));
        }
        fixture_deinit(&f);
}

static int compare_spans(const void *a, const void *b) {
        const Span *x = a, *y = b;
        int r = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
        return r ? r : x->len < y->len ? -1 : x->len > y->len;
}

/* Checks a whole exposition: families once and in one piece, no series twice; returns the number of families. */
static size_t check_exposition(const Buf *text) {
        Scan s = SCAN(text->data, text->len);
        Span line, series[8192], families[512], name = { "", 0 };
        size_t n_series = 0, n_families = 0;
        while (scan_line(&s, &line)) {
                if (span_starts(line, "# TYPE ")) {
                        Scan words = SCAN(line.text + 7, line.len - 7);
                        assert_true(scan_word(&words, &name));
                        families[n_families++] = name;
                } else if (!span_starts(line, "# ")) {
                        assert_true(line.len > name.len && memcmp(line.text, name.text, name.len) == 0);
                        const char *end = memrchr(line.text, ' ', line.len);
                        assert_non_null(end);
                        assert_true(utf8_valid(line.text, line.len));
                        series[n_series++] = (Span){ line.text, (size_t)(end - line.text) };
                }
                assert_true(n_series < ARRAY_LEN(series) && n_families < ARRAY_LEN(families));
        }
        qsort(series, n_series, sizeof series[0], compare_spans);
        qsort(families, n_families, sizeof families[0], compare_spans);
        for (size_t i = 1; i < n_series; i++)
                if (compare_spans(&series[i - 1], &series[i]) == 0)
                        fail_msg("series twice: %.*s", (int)series[i].len, series[i].text);
        for (size_t i = 1; i < n_families; i++)
                if (compare_spans(&families[i - 1], &families[i]) == 0)
                        fail_msg("family twice: %.*s", (int)families[i].len, families[i].text);
        return n_families;
}

/* Every metric that there is, so that clashes of names are seen. */
static void fill_everything(Fixture *f) {
        static const char *const ROW[][4] = { { "a", "b", "c", "d" } };
        fixture_entity(f, ENTITY_DOMAIN, 100, ENGINE_NONE, "full", "", "");
        fixture_entity(f, ENTITY_CONTAINER, 100, ENGINE_PODMAN, "full", "/full", "full");
        for (GroupId g = 0; g < GROUP_COUNT; g++)
                if (GROUPS[g].kind != ENTITY_HOST)
                        fixture_fill(f, GROUPS[g].kind, 100, g, 5, 1, ROW);
                else if (latest_group(f->latest.entities[0], g) == NULL)
                        fixture_fill(f, ENTITY_HOST, 1, g, 5, 1, ROW);
}

static void test_no_series_twice(void **state) {
        (void)state;
        Fixture f;
        fixture_init(&f);
        fill_everything(&f);
        for (int i = 0; i < 2 * EXPORT_PROFILE_COUNT; i++) {
                CLEANUP(buf_deinit) Buf text = BUF_NULL;
                render(&f, (ExportProfile)(i / 2), i % 2, &text);
                assert_true(check_exposition(&text) > 3);
                assert_int_equal(i % 2, text.len > 6 && memcmp(text.data + text.len - 6, "# EOF\n", 6) == 0);
        }
        fixture_deinit(&f);
}

static size_t families_with(const char *text, const char *prefix) {
        size_t n = 0;
        char line[64];
        (void)snprintf(line, sizeof line, "# TYPE %s", prefix);
        for (const char *at = text; (at = strstr(at, line)); at++)
                n++;
        return n;
}

static void test_profiles_are_complete(void **state) {
        (void)state;
        Fixture f;
        fixture_init(&f);
        CLEANUP(buf_deinit) Buf t = BUF_NULL, i = BUF_NULL, z = BUF_NULL;
        render(&f, EXPORT_TINKOFF, false, &t);
        render(&f, EXPORT_INOVEX, false, &i);
        render(&f, EXPORT_ZHANGJIANWEIBJ, false, &z);
        assert_int_equal(families_with(t.data, "libvirt_"), 65);
        assert_int_equal(families_with(i.data, "libvirt_"), 67);
        assert_int_equal(families_with(i.data, "parallax_"), 0);
        assert_int_equal(families_with(z.data, "libvirt_"), 25);
        fixture_deinit(&f);
}

static void test_absent_has_no_series(void **state) {
        (void)state;
        Fixture f;
        fixture_init(&f);
        CLEANUP(buf_deinit) Buf t = BUF_NULL;
        render(&f, EXPORT_TINKOFF, false, &t);
        assert_null(strstr(t.data, "libvirt_domain_info_cpu_time_seconds_total{domain=\"silent\"}"));
        assert_null(strstr(t.data, "NaN"));
        assert_non_null(strstr(t.data, "libvirt_domain_info_meta{domain=\"silent\""));
        assert_null(strstr(t.data, "parallax_domain_age_seconds{domain=\"silent\""));
        fixture_deinit(&f);
}

static void test_gone_leaves_nothing(void **state) {
        (void)state;
        Fixture f;
        fixture_init(&f);
        sink_gone(&f.latest.sink, fixture_key(ENTITY_DOMAIN, 1));
        CLEANUP(buf_deinit) Buf t = BUF_NULL;
        render(&f, EXPORT_TINKOFF, false, &t);
        assert_null(strstr(t.data, "web-1"));
        fixture_deinit(&f);
}

static void test_names_never_meet(void **state) {
        (void)state;
        Fixture f;
        fixture_init(&f);
        CLEANUP(buf_deinit) Buf t = BUF_NULL;
        render(&f, EXPORT_TINKOFF, false, &t);
        assert_non_null(strstr(t.data, "<script>\xEF\xBF\xBD~00000000-0000-0000-0000-000000000002\"}"));
        assert_non_null(strstr(t.data, "<script>\xEF\xBF\xBD~00000000-0000-0000-0000-000000000003\"}"));
        assert_non_null(
                strstr(t.data, "x~00000000-0000-0000-0000-000000000001~00000000-0000-0000-0000-000000000004\"}"));
        /* Two disks that read alike: one series, not two. */
        assert_non_null(strstr(t.data, "target_device=\"vd\\\"a\xEF\xBF\xBD\""));
        fixture_deinit(&f);
}

static void test_long_name(void **state) {
        (void)state;
        Fixture f;
        fixture_init(&f);
        char name[ENTITY_TEXT_MAX + 1];
        memset(name, '"', ENTITY_TEXT_MAX);
        name[ENTITY_TEXT_MAX] = '\0';
        fixture_entity(&f, ENTITY_DOMAIN, 9, ENGINE_NONE, name, "", "");
        fixture_set(&f, ENTITY_DOMAIN, 9, M_DOM_CPU_TIME, 1e9, 2e9);
        CLEANUP(buf_deinit) Buf t = BUF_NULL;
        render(&f, EXPORT_TINKOFF, false, &t);
        (void)check_exposition(&t);
        /* Over the limit of the buffer: refused, not cut. */
        CLEANUP(buf_deinit) Buf small = BUF_WITH_LIMIT(10000);
        ExportContext c = fixture_context(&f);
        assert_int_equal(export_render(&c, EXPORT_TINKOFF, false, &small), -EFBIG);
        fixture_deinit(&f);
}

static void test_without_sensor(void **state) {
        (void)state;
        Latest empty;
        latest_init(&empty, 10);
        ExportContext c = { .latest = &empty, .host_name = "node-a", .now = FIXTURE_NOW };
        CLEANUP(buf_deinit) Buf t = BUF_NULL, z = BUF_NULL;
        assert_int_equal(export_render(&c, EXPORT_TINKOFF, false, &t), 0);
        assert_string_equal(
                buf_cstr(&t),
                "# HELP libvirt_up Whether the last look at libvirt succeeded.\n# TYPE libvirt_up gauge\nlibvirt_up 0\n");
        assert_int_equal(export_render(&c, EXPORT_ZHANGJIANWEIBJ, false, &z), 0);
        assert_int_equal(z.len, 0);
        latest_deinit(&empty);
}

static void test_200_domains_are_quick(void **state) {
        (void)state;
        Fixture f;
        fixture_init(&f);
        static const char *const ROWS[][4] = { { "0" }, { "1" } };
        for (unsigned n = 10; n < 210; n++) {
                char name[32];
                (void)snprintf(name, sizeof name, "instance-%08u", n);
                fixture_entity(&f, ENTITY_DOMAIN, (uint8_t)n, ENGINE_NONE, name, "", "");
                for (GroupId g = GROUP_DOM_CPU; g <= GROUP_DOM_WATCH; g++)
                        fixture_fill(&f, ENTITY_DOMAIN, (uint8_t)n, g, 1e9, GROUPS[g].n_keys ? 2 : 1,
                                     GROUPS[g].n_keys ? ROWS : NULL);
        }
        struct timespec a, b;
        CLEANUP(buf_deinit) Buf t = BUF_NULL;
        render(&f, EXPORT_TINKOFF, false, &t); /* warms the buffer */
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
        buf_reset(&t);
        render(&f, EXPORT_TINKOFF, false, &t);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
        double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
        size_t lines = 0;
        for (size_t i = 0; i < t.len; i++)
                lines += t.data[i] == '\n';
        print_message("%zu lines, %zu bytes in %.2f ms of CPU\n", lines, t.len, ms);
        /* Sanitizers and busy machines: the bound is ten times what it takes. */
        assert_true(ms < 200);
        fixture_deinit(&f);
}

static int dump(const char *folder) {
        Fixture f;
        fixture_init(&f);
        fill_everything(&f);
        for (int i = 0; i < 2 * EXPORT_PROFILE_COUNT; i++) {
                CLEANUP(buf_deinit) Buf text = BUF_NULL, path = BUF_NULL;
                ExportContext c = fixture_context(&f);
                if (export_render(&c, (ExportProfile)(i / 2), i % 2, &text) < 0)
                        return 1;
                buf_printf(&path, "%s/%s.%s", folder, export_profile_name((ExportProfile)(i / 2)),
                           i % 2 ? "om" : "txt");
                CLEANUP_FILE FILE *file = fopen(buf_cstr(&path), "w");
                if (!file || fwrite(text.data, 1, text.len, file) != text.len)
                        return 1;
        }
        fixture_deinit(&f);
        return 0;
}

int main(int argc, char **argv) {
        if (argc == 3 && strcmp(argv[1], "--dump") == 0)
                return dump(argv[2]);
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_no_series_twice),
                cmocka_unit_test(test_profiles_are_complete),
                cmocka_unit_test(test_absent_has_no_series),
                cmocka_unit_test(test_gone_leaves_nothing),
                cmocka_unit_test(test_names_never_meet),
                cmocka_unit_test(test_long_name),
                cmocka_unit_test(test_without_sensor),
                cmocka_unit_test(test_200_domains_are_quick),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
