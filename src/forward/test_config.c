/* remote_write as Prometheus writes it, and what is wrong with it. */
#include "forward/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static char path[] = "/tmp/parallax-forward-XXXXXX";

static int setup(void **state) {
        (void)state;
        int fd = mkstemp(path);
        return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state) {
        (void)state;
        return unlink(path);
}

static ForwardConfig *load(const char *text, const char *wrong) {
        CLEANUP_FILE FILE *f = fopen(path, "we");
        ForwardConfig *c = NULL;
        SettingsError error = { 0 };
        assert_non_null(f);
        assert_true(fputs(text, f) >= 0 && fflush(f) == 0);
        int r = forward_config_load(path, true, &c, &error);
        CLEANUP_FREE char *said = error.text;
        if (wrong) {
                assert_int_equal(r, -EINVAL);
                if (!said || !strstr(said, wrong))
                        fail_msg("\"%s\", not \"%s\"", said ? said : "", wrong);
        } else if (r < 0) {
                fail_msg("%s", said ? said : "");
        }
        return c;
}

static void defaults(void **state) {
        (void)state;
        ForwardConfig *c = load("remote_write:\n- url: http://a.example/api/v1/write\n", NULL);
        const ForwardTargetConfig *t = c->targets[0];
        assert_int_equal(c->n_targets, 1);
        assert_int_equal(strlen(t->name), 16);
        assert_true(t->timeout.ns == SECONDS(30).ns && t->sender.version == RW_1 && t->metadata && !t->send_exemplars &&
                    !t->send_native_histograms);
        assert_true(t->sender.capacity == 10000 && t->sender.min_shards == 1 && t->sender.max_shards == 50 &&
                    t->sender.max_samples_per_send == 2000);
        assert_true(t->sender.min_backoff.ns == MILLISECONDS(30).ns && t->sender.max_backoff.ns == SECONDS(5).ns &&
                    t->sender.retry_on_429);
        assert_true(t->max_bytes == 1 << 30 && t->max_age.ns == SECONDS(7 * 86400).ns &&
                    t->sender.sample_age_limit.ns == 0);
        (void)forward_config_free(c);
        c = load("", NULL);
        assert_true(c->n_targets == 0 && c->query_timeout.ns == SECONDS(50).ns);
        (void)forward_config_free(c);
        SettingsError error = { 0 };
        assert_int_equal(forward_config_load("/nowhere/at/all.yaml", false, &c, &error), 0);
        (void)forward_config_free(c);
}

static const char WHOLE[] = "global: {scrape_interval: 1m, external_labels: {replica: a, zone: b}}\n"
                            "remote_write:\n"
                            "- url: https://a.example/write\n"
                            "  name: first\n"
                            "  remote_timeout: 10s\n"
                            "  headers: {X-Scope-OrgID: tenant}\n"
                            "  write_relabel_configs: [{source_labels: [__name__], regex: up, action: drop}]\n"
                            "  basic_auth: {username: u, password_file: secret}\n"
                            "  tls_config: {ca_file: /ca.pem, insecure_skip_verify: true}\n"
                            "  send_exemplars: true\n"
                            "  send_native_histograms: true\n"
                            "  protobuf_message: io.prometheus.write.v2.Request\n"
                            "  queue_config: {capacity: 100, min_shards: 2, max_shards: 3, max_samples_per_send: 500, "
                            "batch_send_deadline: 1s,\n"
                            "    min_backoff: 1s, max_backoff: 10s, retry_on_http_429: false, sample_age_limit: 1h, "
                            "max_bytes: 64MiB, max_age: 2d}\n"
                            "  metadata_config: {send: false, send_interval: 5m, max_samples_per_send: 10}\n"
                            "- url: http://b.example/write\n"
                            "  authorization: {credentials: token}\n"
                            "query: {backend: prometheus, url: \"http://127.0.0.1:9090\", http: {timeout: 7s, "
                            "basic_auth: {username: q, password: p}}}\n";

static void everything(void **state) {
        (void)state;
        ForwardConfig *c = load(WHOLE, NULL), *again = load(WHOLE, NULL), *other;
        const ForwardTargetConfig *t = c->targets[0];
        assert_true(c->n_targets == 2 && c->external_names.n == 2);
        assert_string_equal(t->name, "first");
        assert_true(t->http.n_headers == 1 && strcmp(t->http.headers[0], "X-Scope-OrgID: tenant") == 0);
        assert_true(strcmp(t->http.password_file, "/tmp/secret") == 0 && t->http.insecure_skip_verify);
        assert_true(t->relabel.n == 1 && t->send_exemplars && t->send_native_histograms && t->sender.version == RW_2);
        assert_int_equal(t->sender.capacity, 500); /* a request must fit */
        assert_true(t->sender.min_shards == 2 && t->sender.max_shards == 3 && !t->sender.retry_on_429);
        assert_true(t->max_bytes == 64 << 20 && t->max_age.ns == SECONDS(2 * 86400).ns && !t->metadata &&
                    t->metadata_max == 10);
        assert_string_equal(c->targets[1]->http.credentials, "token");
        assert_true(c->query_timeout.ns == SECONDS(7).ns && strcmp(c->query_http.username, "q") == 0);
        assert_true(forward_config_equal(c, again));
        other = load("remote_write:\n- url: https://a.example/write\n", NULL);
        assert_false(forward_config_equal(c, other));
        (void)forward_config_free(other);
        (void)forward_config_free(again);
        (void)forward_config_free(c);
}

static void mistakes(void **state) {
        (void)state;
        static const struct {
                const char *text, *wrong;
        } CASES[] = {
                { "remote_write:\n- name: a\n", "found no url" },
                { "remote_write:\n- url: ftp://a\n", "begins with http://" },
                { "remote_write: {url: http://a}\n", "expected a list" },
                { "remote_write:\n- {url: http://a, remote_timout: 1s}\n", "did you mean \"remote_timeout\"" },
                { "remote_write:\n- {url: http://a, name: a/b}\n", "expected letters" },
                { "remote_write:\n- {url: http://a, name: ..}\n", "expected letters" },
                { "remote_write:\n- url: http://a\n- url: http://a\n", "again" },
                { "remote_write:\n- {url: http://a, queue_config: {min_shards: 9, max_shards: 3}}\n",
                  "more min_shards" },
                { "remote_write:\n- {url: http://a, queue_config: {min_backoff: 9s}}\n",
                  "longer than the max_backoff" },
                { "remote_write:\n- {url: http://a, queue_config: {max_bytes: 1MiB}}\n", "a number of bytes from" },
                { "remote_write:\n- {url: http://a, headers: {Host: b}}\n", "free to set" },
                { "remote_write:\n- {url: http://a, headers: {\"a b\": b}}\n", "free to set" },
                { "remote_write:\n- {url: http://a, headers: {A: \"b\\nc\"}}\n", "on one line" },
                { "remote_write:\n- {url: http://a, headers: [A]}\n", "a mapping of headers" },
                { "remote_write:\n- {url: http://a, sigv4: {}}\n", "sigv4 is not supported" },
                { "remote_write:\n- {url: http://a, protobuf_message: v3}\n", "expected one of" },
                { "remote_write:\n- {url: http://a, basic_auth: {username: a}, authorization: {credentials: b}}\n",
                  "expected one of them" },
                { "remote_write:\n- {url: http://a, write_relabel_configs: [{action: explode}]}\n",
                  "write_relabel_configs" },
                { "global: {external_labels: {__name__: a}}\n", "expected other labels" },
                { "query: {backend: prometheus}\n", "without a query.url" },
                { "query: {http: {timeout: never}}\n", "a duration" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_null(load(CASES[i].text, CASES[i].wrong));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults),
                cmocka_unit_test(everything),
                cmocka_unit_test(mistakes),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
