#include "scrape/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/test_scrape_config.XXXXXX";

static void write_file(const char *name, const char *text) {
        char path[256];
        (void)snprintf(path, sizeof path, "%s/%s", dir, name);
        CLEANUP_FILE FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fputs(text, f) >= 0, 1);
}

static void config_freep(ScrapeConfig **c) {
        *c = scrape_config_free(*c);
}

/* Without the file's path in front of each line. */
static void load(const char *text, ScrapeConfig **ret_config, Buf *ret_errors) {
        char path[256];
        SettingsError error = { 0 };
        ScrapeConfig *c = NULL;
        write_file("parallax.yaml", text);
        (void)snprintf(path, sizeof path, "%s/parallax.yaml", dir);
        int r = scrape_config_load(path, true, &c, &error);
        for (const char *at = error.text; r < 0 && at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
                const char *rest = strncmp(at, dir, strlen(dir)) == 0 ? at + strlen(dir) + 1 : at;
                buf_put(ret_errors, rest, strcspn(rest, "\n"));
                buf_put_char(ret_errors, '\n');
        }
        free(error.text);
        *ret_config = c;
}

static ScrapeConfig *good(const char *text) {
        CLEANUP(buf_deinit) Buf errors = BUF_NULL;
        ScrapeConfig *c = NULL;
        load(text, &c, &errors);
        assert_string_equal(buf_cstr(&errors), "");
        assert_non_null(c);
        return c;
}

static void bad(const char *text, const char *expected) {
        CLEANUP(buf_deinit) Buf errors = BUF_NULL;
        ScrapeConfig *c = NULL;
        load(text, &c, &errors);
        assert_null(c);
        if (!strstr(buf_cstr(&errors), expected))
                assert_string_equal(buf_cstr(&errors), expected);
}

static void defaults(void **state) {
        (void)state;
        CLEANUP(config_freep) ScrapeConfig *c = good(
                "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: ['localhost:9177']\n");
        assert_int_equal(c->n_jobs, 1);
        const ScrapeJob *j = c->jobs[0];
        assert_string_equal(j->name, "a");
        assert_string_equal(j->metrics_path, "/metrics");
        assert_string_equal(j->scheme, "http");
        assert_int_equal(j->interval.ns, SECONDS(60).ns);
        assert_int_equal(j->timeout.ns, SECONDS(10).ns);
        assert_true(j->honor_timestamps && !j->honor_labels && !j->track_timestamps_staleness && j->enable_compression);
        assert_int_equal(j->n_protocols, 4);
        assert_int_equal(j->protocols[0], SCRAPE_OPENMETRICS_1_0_0);
        assert_int_equal(j->fallback, -1);
        assert_int_equal(j->body_limit, SCRAPE_BODY_DEFAULT);
        assert_int_equal(j->sample_limit, SCRAPE_SAMPLES_DEFAULT);
        assert_int_equal(j->label_limit, LABELS_MAX);
        assert_string_equal(j->statics.groups[0].targets.texts[0], "localhost:9177");
        assert_true(j->http.follow_redirects);
}

static void everything(void **state) {
        (void)state;
        CLEANUP(config_freep) ScrapeConfig *c = good(
                "global: {scrape_interval: 15s, scrape_timeout: 5s, evaluation_interval: 15s, sample_limit: 7,\n"
                "         external_labels: {site: x}}\n"
                "listeners: []\n"
                "scrape_configs:\n"
                "- job_name: a\n"
                "  scrape_interval: 3s\n"
                "  metrics_path: /probe\n"
                "  scheme: https\n"
                "  params: {module: [http_2xx], x: [a, b]}\n"
                "  honor_labels: true\n"
                "  honor_timestamps: false\n"
                "  basic_auth: {username: u, password_file: secret}\n"
                "  tls_config: {ca_file: ca.pem, insecure_skip_verify: true}\n"
                "  body_size_limit: 10MB\n"
                "  label_limit: 30\n"
                "  scrape_protocols: [PrometheusProto, PrometheusText0.0.4]\n"
                "  fallback_scrape_protocol: PrometheusText0.0.4\n"
                "  file_sd_configs: [{files: [targets/*.json], refresh_interval: 10s}]\n"
                "  http_sd_configs:\n"
                "  - {url: 'http://localhost/sd', refresh_interval: 30s, authorization: {credentials: t}}\n"
                "  relabel_configs: [{source_labels: [__address__], target_label: __param_target}]\n"
                "  metric_relabel_configs: [{action: labeldrop, regex: x}]\n"
                "- job_name: b\n"
                "  static_configs: [{targets: ['h:1'], labels: {env: prod, n: 5}}]\n");
        const ScrapeJob *a = c->jobs[0], *b = c->jobs[1];
        assert_int_equal(a->interval.ns, SECONDS(3).ns);
        assert_int_equal(a->timeout.ns, SECONDS(3).ns); /* not longer than the interval */
        assert_int_equal(b->interval.ns, SECONDS(15).ns);
        assert_int_equal(b->timeout.ns, SECONDS(5).ns);
        assert_int_equal(b->sample_limit, 7);
        assert_int_equal(a->body_limit, 10 << 20);
        assert_int_equal(a->n_params, 2);
        assert_string_equal(a->params[1].values.texts[1], "b");
        assert_int_equal(a->protocols[0], SCRAPE_PROTO);
        assert_int_equal(a->fallback, SCRAPE_TEXT_0_0_4);
        assert_int_equal(a->http.password_file[0], '/');
        assert_string_equal(a->files[0].files.texts[0] + strlen(dir), "/targets/*.json");
        assert_string_equal(a->https[0].http.credentials, "t");
        assert_int_equal(a->relabel.n, 1);
        assert_false(scrape_job_reads_alike(a, b));
        assert_true(scrape_job_reads_alike(a, a));
        assert_string_equal(b->statics.groups[0].values.texts[1], "5");
        assert_string_equal(c->external_names.texts[0], "site");
}

static void the_three_jobs_of_the_article(void **state) {
        (void)state;
        CLEANUP(config_freep) ScrapeConfig *c = good(
                "scrape_configs:\n"
                "  - job_name: 'libvirt'\n"
                "    static_configs:\n"
                "      - targets: ['localhost:9177']\n"
                "  - job_name: 'node'\n"
                "    static_configs:\n"
                "      - targets: ['localhost:9100']\n"
                "  - job_name: 'vm-internal'\n"
                "    static_configs:\n"
                "      - targets: ['vm1:9100', 'vm2:9100']\n");
        assert_int_equal(c->n_jobs, 3);
        assert_int_equal(c->jobs[2]->statics.n_targets, 2);
}

static void errors(void **state) {
        (void)state;
#define JOB "scrape_configs:\n- job_name: a\n  "
        bad("scrape_configs:\n- scheme: http\n",
            "parallax.yaml:2:3: scrape_configs[]: found no name, expected the key \"job_name\"\n");
        bad(JOB "scrape_intervall: 5s\n",
            "parallax.yaml:3:3: unknown key \"scrape_intervall\", did you mean \"scrape_interval\"?\n");
        bad(JOB "kubernetes_sd_configs: [{role: pod}]\n",
            "parallax.yaml:3:3: scrape_configs[].kubernetes_sd_configs is not supported; expected "
            "static_configs, file_sd_configs or http_sd_configs\n");
        bad(JOB "scrape_interval: 5s\n  scrape_timeout: 6s\n", "scrape_timeout longer than the scrape_interval");
        bad(JOB "scheme: ftp\n",
            "parallax.yaml:3:11: scrape_configs[].scheme: found \"ftp\", expected one of http, https\n");
        bad(JOB "static_configs: [{targets: ['http://x/']}]\n", "expected host:port alone");
        bad(JOB "static_configs: [{target: ['x']}]\n", "did you mean \"targets\"?");
        bad(JOB "file_sd_configs: [{files: [x.txt]}]\n", "ends with .json, .yml or .yaml");
        bad(JOB "file_sd_configs: [{files: ['*/x.json']}]\n", "one * in its last part");
        bad(JOB "http_sd_configs: [{url: 'ftp://x'}]\n", "expected http:// or https://");
        bad(JOB "relabel_configs: [{action: keep, regex: '('}]\n", "the 'regex' is not one");
        bad(JOB "scrape_protocols: [Text]\n", "expected one of PrometheusProto");
        bad(JOB "scheme: http\n- job_name: a\n", "found \"a\" again");
        bad("global: {scrape_interval: 5s, scrape_timeout: 10s}\n", "global: found a scrape_timeout longer");
        bad("global: {scrape_intervall: 5s}\n", "did you mean \"scrape_interval\"?");
        bad("scrape_config_files: [more.yaml]\nscrape_configs: {}\n",
            "scrape_configs: found a mapping, expected a list");
}

static void other_files(void **state) {
        (void)state;
        write_file("more-1.yml", "scrape_configs: [{job_name: b}]\n");
        CLEANUP(config_freep) ScrapeConfig *c = good(
                "scrape_configs: [{job_name: a}]\nscrape_config_files: ['more-*.yml', 'none*.yml']\n");
        assert_int_equal(c->n_jobs, 2);
        write_file("more-1.yml", "scrape_configs: [{job_name: a}]\nglobal: {}\n");
        bad("scrape_configs: [{job_name: a}]\nscrape_config_files: ['more-*.yml']\n",
            "more-1.yml:2:1: unknown key \"global\", expected scrape_configs alone\n"
            "more-1.yml:1:18: scrape_configs[].job_name: found \"a\" again, expected each name once\n");
}

static void missing_files(void **state) {
        (void)state;
        SettingsError error = { 0 };
        ScrapeConfig *c = NULL;
        assert_int_equal(scrape_config_load("/nonexistent/x", true, &c, &error), -ENOENT);
        assert_non_null(error.text);
        free(error.text);
        assert_int_equal(scrape_config_load("/nonexistent/x", false, &c, &error), 0);
        assert_int_equal(c->n_jobs, 0);
        c = scrape_config_free(c);
}

static void groups_of_targets(void **state) {
        (void)state;
        static const struct {
                const char *json, *why; /* NULL: good */
        } CASES[] = {
                { "[]", NULL },
                { "[{\"targets\": [\"a:1\", \"b:2\"], \"labels\": {\"x\": \"y\"}}, {\"targets\": []}]", NULL },
                { "{}", "not a list of groups" },
                { "[1]", "a group is not an object" },
                { "[{\"targets\": [1]}]", "a target is not an address" },
                { "[{\"targets\": [\"a\"], \"labels\": {\"x\": 1}}]", "a label's value is not a text" },
                { "[{\"targets\": [\"a\"]", "1:18: not JSON" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(target_groups_deinit) TargetGroups g = TARGET_GROUPS_NULL;
                CLEANUP(buf_deinit) Buf why = BUF_NULL;
                int r = target_groups_parse_json(CASES[i].json, strlen(CASES[i].json), &g, &why);
                assert_int_equal(r, CASES[i].why ? -EINVAL : 0);
                if (CASES[i].why && !strstr(buf_cstr(&why), CASES[i].why))
                        assert_string_equal(buf_cstr(&why), CASES[i].why);
                if (i == 1) {
                        assert_int_equal(g.n_targets, 2);
                        assert_int_equal(target_groups_label(&g, "x", "z"), 0);
                        assert_string_equal(g.groups[0].values.texts[0], "y");
                        assert_string_equal(g.groups[1].values.texts[0], "z");
                        assert_true(target_groups_equal(&g, &g));
                }
        }
}

static void files_of_targets(void **state) {
        (void)state;
        CLEANUP(target_groups_deinit) TargetGroups yaml = TARGET_GROUPS_NULL, json = TARGET_GROUPS_NULL;
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        char path[256];
        write_file("t.yml", "- targets: [a:1]\n  labels:\n    x: y\n");
        write_file("t.json", "[{\"targets\":[\"a:1\"],\"labels\":{\"x\":\"y\"}}]");
        (void)snprintf(path, sizeof path, "%s/t.yml", dir);
        assert_int_equal(target_groups_read_file(path, &yaml, &why), 0);
        (void)snprintf(path, sizeof path, "%s/t.json", dir);
        assert_int_equal(target_groups_read_file(path, &json, &why), 0);
        assert_true(target_groups_equal(&yaml, &json));
        assert_int_equal(why.len, 0);
        write_file("t.json", "[{");
        assert_int_equal(target_groups_read_file(path, &json, &why), -EINVAL);
        assert_true(why.len > 0);
        assert_int_equal(json.n_targets, 1); /* as it was */
}

static int make_dir(void **state) {
        (void)state;
        return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
        (void)state;
        char command[64];
        (void)snprintf(command, sizeof command, "rm -r %s", dir);
        return system(command);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults),
                cmocka_unit_test(everything),
                cmocka_unit_test(the_three_jobs_of_the_article),
                cmocka_unit_test(errors),
                cmocka_unit_test(other_files),
                cmocka_unit_test(missing_files),
                cmocka_unit_test(groups_of_targets),
                cmocka_unit_test(files_of_targets),
        };
        return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
