/* The dictionary of byte strings, the memory of series, and targets with their URLs. */
#include "scrape/target.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void intern_freep(Intern **i) {
        *i = intern_free(*i);
}

static void strings_are_kept_once(void **state) {
        (void)state;
        CLEANUP(intern_freep) Intern *i = NULL;
        InternId a, b, c;
        assert_int_equal(intern_new(&i), 0);
        assert_int_equal(intern_ref(i, "one", 3, &a), 0);
        assert_int_equal(intern_ref(i, "two", 3, &b), 0);
        assert_int_equal(intern_ref(i, "one", 3, &c), 0);
        assert_int_equal(a, c);
        assert_int_not_equal(a, b);
        assert_int_equal(intern_count(i), 2);
        intern_unref(i, a);
        assert_memory_equal(intern_get(i, c).text, "one", 3);
        intern_unref(i, c);
        assert_int_equal(intern_count(i), 1);
        assert_int_equal(intern_ref(i, "", 0, &a), 0);
        assert_int_equal(intern_get(i, a).len, 0);
}

static void many_strings(void **state) {
        (void)state;
        CLEANUP(intern_freep) Intern *i = NULL;
        static InternId ids[20000];
        char text[16];
        assert_int_equal(intern_new(&i), 0);
        for (size_t round = 0; round < 2; round++) {
                for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
                        int n = snprintf(text, sizeof text, "%zu", k);
                        assert_int_equal(intern_ref(i, text, (size_t)n, &ids[k]), 0);
                }
                assert_int_equal(intern_count(i), ARRAY_LEN(ids));
                for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
                        int n = snprintf(text, sizeof text, "%zu", k);
                        assert_int_equal(intern_get(i, ids[k]).len, n);
                        assert_memory_equal(intern_get(i, ids[k]).text, text, (size_t)n);
                }
                for (size_t k = 0; k < ARRAY_LEN(ids); k++)
                        intern_unref(i, ids[k]);
                assert_int_equal(intern_count(i), 0);
        }
}

static void make_run(unsigned n, Buf *run, uint64_t key[2]) {
        CLEANUP(buf_deinit) Buf scratch = BUF_NULL;
        char number[16];
        (void)snprintf(number, sizeof number, "%u", n);
        Label labels[] =
                { { span_of("__name__"), span_of("m") }, { span_of("job"), span_of("j") },
                  { span_of("n"), span_of(number) } };
        series_cache_key(labels, 3, &scratch, key);
        buf_reset(run);
        assert_int_equal(labels_build(labels, 3, run), LABELS_OK);
}

static void series_are_remembered(void **state) {
        (void)state;
        CLEANUP(intern_freep) Intern *i = NULL;
        CLEANUP(buf_deinit) Buf run = BUF_NULL, again = BUF_NULL;
        SeriesCache c;
        CachedSeries *s;
        uint64_t key[2];
        assert_int_equal(intern_new(&i), 0);
        series_cache_init(&c, i);
        for (unsigned n = 0; n < 1000; n++) {
                make_run(n, &run, key);
                assert_null(series_cache_find(&c, key));
                assert_int_equal(series_cache_add(&c, key, (uint8_t *)run.data, run.len, &s), 0);
        }
        assert_int_equal(intern_count(i), 1002); /* of the three labels two are shared by all */
        assert_true(c.bytes <= 1000 * (24 + 3 * 4));
        c.round++;
        for (unsigned n = 0; n < 1000; n += 2) {
                make_run(n, &run, key);
                s = series_cache_find(&c, key);
                assert_non_null(s);
                s->round = c.round;
                buf_reset(&again);
                series_cache_run(&c, s, &again);
                assert_int_equal(again.len, run.len);
                assert_memory_equal(again.data, run.data, run.len);
        }
        series_cache_sweep(&c);
        assert_int_equal(c.n, 500);
        assert_int_equal(intern_count(i), 502);
        make_run(1, &run, key);
        assert_null(series_cache_find(&c, key));
        assert_int_equal(series_cache_add(&c, key, NULL, 0, &s), 0);
        assert_int_equal(s->flags, SERIES_DROPPED);
        series_cache_deinit(&c);
        assert_int_equal(intern_count(i), 0);
}

/* ---- targets ---- */

static Target *target(const ScrapeJob *job, const char *address, Intern *intern, Buf *why) {
        CLEANUP(label_set_deinit) LabelDraft set = LABEL_SET_NULL;
        Target *t = NULL;
        TargetGroup group = { 0 };
        assert_int_equal(yaml_texts_add(&group.names, "env"), 0);
        assert_int_equal(yaml_texts_add(&group.values, "prod"), 0);
        target_discovered(job, &group, address, &set);
        (void)!target_new(job, &set, intern, &t, why);
        yaml_texts_deinit(&group.names);
        yaml_texts_deinit(&group.values);
        return t;
}

static char *text(const char *s) {
        return (char *)(uintptr_t)s;
}

static void urls(void **state) {
        (void)state;
        CLEANUP(intern_freep) Intern *i = NULL;
        CLEANUP(buf_deinit) Buf why = BUF_NULL, shown = BUF_NULL;
        char *values[] = { text("a b"), text("&") };
        ScrapeParam params[] = { { text("z"), { values, 2 } }, { text("m"), { values, 1 } } };
        ScrapeJob job =
                { .name = text("j"), .interval = SECONDS(15), .timeout = SECONDS(10), .metrics_path = text("/p q?"),
                          .scheme = text("https"), .params = params, .n_params = 2 };
        static const char *const SOURCES[] = { "env" };
        assert_int_equal(intern_new(&i), 0);
        Target *t = target(&job, "[::1]:9100", i, &why);
        assert_string_equal(t->url, "https://[::1]:9100/p%20q%3F?m=a+b&z=a+b&z=%26");
        labels_print((uint8_t *)t->labels.data, t->labels.len, &shown);
        assert_string_equal(buf_cstr(&shown), "{env=\"prod\", instance=\"[::1]:9100\", job=\"j\"}");
        assert_int_equal(t->interval.ns, SECONDS(15).ns);
        uint64_t hash = t->hash;
        t = target_free(t);
        /* Rules may change the parameters, the path, the interval, and add some. */
        assert_int_equal(relabel_rules_add(&job.relabel, &(RelabelSpec){ .source_labels = SOURCES, .n_source_labels = 1,
                                           .target_label = "__param_z" }, &why), 0);
        assert_int_equal(relabel_rules_add(&job.relabel,
                                           &(RelabelSpec){ .target_label = "__param_new", .replacement = "1" }, &why),
                                                   0);
        assert_int_equal(relabel_rules_add(&job.relabel,
                                           &(RelabelSpec){ .target_label = "__scrape_interval__",
                                                           .replacement = "30s" }, &why), 0);
        t = target(&job, "[::1]:9100", i, &why);
        assert_string_equal(t->url, "https://[::1]:9100/p%20q%3F?m=a+b&new=1&z=prod&z=%26");
        assert_int_equal(t->interval.ns, SECONDS(30).ns);
        assert_true(t->hash != hash);
        t = target_free(t);
        relabel_rules_deinit(&job.relabel);
}

static void what_is_no_target(void **state) {
        (void)state;
        static const struct {
                const char *label, *value, *why;
        } CASES[] = {
                { "__address__", "", "no address" },
                { "__address__", "http://x/", "not a host" },
                { "__scheme__", "ftp", "neither http nor https" },
                { "__scrape_interval__", "x", "no duration" },
                { "__scrape_timeout__", "1h", "longer than the scrape interval" },
        };
        CLEANUP(intern_freep) Intern *i = NULL;
        assert_int_equal(intern_new(&i), 0);
        for (size_t k = 0; k < ARRAY_LEN(CASES); k++) {
                CLEANUP(buf_deinit) Buf why = BUF_NULL;
                ScrapeJob job =
                        { .name = text("j"), .interval = SECONDS(15), .timeout = SECONDS(10),
                          .metrics_path = text("/metrics"),
                                  .scheme = text("http") };
                assert_int_equal(relabel_rules_add(&job.relabel, &(RelabelSpec){ .target_label = CASES[k].label,
                                                   .replacement = CASES[k].value }, &why), 0);
                assert_null(target(&job, "x:1", i, &why));
                assert_non_null(strstr(buf_cstr(&why), CASES[k].why));
                relabel_rules_deinit(&job.relabel);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(strings_are_kept_once),
                cmocka_unit_test(many_strings),
                cmocka_unit_test(series_are_remembered),
                cmocka_unit_test(urls),
                cmocka_unit_test(what_is_no_target),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
