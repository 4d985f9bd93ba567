/* Defaults are Prometheus's but for two: 429 is tried again, since the samples would be lost otherwise; and the queue
 * has bounds on the disk. */
#include "forward/config.h"

#include "net/http_fetch_settings.h"
#include "rt/relabel_settings.h"
#include "rt/settings_yaml.h"

#include <assert.h>
#include <stddef.h>
#include <unistd.h>
#include <xxhash.h>

#define DAY_MS ((int64_t)86400000)
#define KIB ((int64_t)1024)
#define MIB (KIB * 1024)

/* As the binder fills it; what the sender wants has other types. */
typedef struct QueueText {
        uint64_t capacity, min_shards, max_shards, max_samples;
} QueueText;

typedef struct TargetText {
        ForwardTargetConfig target;
        QueueText queue;
        char *message;
} TargetText;

typedef struct Loader {
        ForwardConfig *config;
        const char *directory; /* of the file: paths in it count from here */
} Loader;

static void texts_free_pair(ForwardConfig *c) {
        yaml_texts_deinit(&c->external_names);
        yaml_texts_deinit(&c->external_values);
}

static void target_deinit(ForwardTargetConfig *t) {
        free(t->name);
        free(t->url);
        http_fetch_options_deinit(&t->http);
        relabel_rules_deinit(&t->relabel);
}

ForwardConfig *forward_config_free(ForwardConfig *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n_targets; i++) {
                target_deinit(c->targets[i]);
                free(c->targets[i]);
        }
        free(c->targets);
        texts_free_pair(c);
        http_fetch_options_deinit(&c->query_http);
        free(c);
        return NULL;
}

static void config_freep(ForwardConfig **c) {
        (void)forward_config_free(*c);
}

/* ---- A target ---- */

static void bind_queue(const YamlNode *n, const char *where, void *member, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "capacity", YAML_COUNT, offsetof(TargetText, queue.capacity), 1, 10000000 },
                { "min_shards", YAML_COUNT, offsetof(TargetText, queue.min_shards), 1, CHECKPOINT_SHARDS_MAX },
                { "max_shards", YAML_COUNT, offsetof(TargetText, queue.max_shards), 1, CHECKPOINT_SHARDS_MAX },
                { "max_samples_per_send", YAML_COUNT, offsetof(TargetText, queue.max_samples), 1, 100000 },
                { "batch_send_deadline", YAML_DURATION, offsetof(TargetText, target.sender.batch_send_deadline), 1,
                  DAY_MS },
                { "min_backoff", YAML_DURATION, offsetof(TargetText, target.sender.min_backoff), 1, DAY_MS },
                { "max_backoff", YAML_DURATION, offsetof(TargetText, target.sender.max_backoff), 1, DAY_MS },
                { "retry_on_http_429", YAML_BOOL, offsetof(TargetText, target.sender.retry_on_429) },
                { "sample_age_limit", YAML_DURATION, offsetof(TargetText, target.sender.sample_age_limit), 0,
                  36500 * DAY_MS },
                { "max_bytes", YAML_BYTES, offsetof(TargetText, target.max_bytes), 4 * MIB, INT64_C(1) << 50 },
                { "max_age", YAML_DURATION, offsetof(TargetText, target.max_age), 0, 36500 * DAY_MS },
        };
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), member, e);
}

static void bind_metadata(const YamlNode *n, const char *where, void *member, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "send", YAML_BOOL, offsetof(ForwardTargetConfig, metadata) },
                { "send_interval", YAML_DURATION, offsetof(ForwardTargetConfig, metadata_interval), 100, DAY_MS },
                { "max_samples_per_send", YAML_COUNT, offsetof(ForwardTargetConfig, metadata_max), 1, 20000 },
        };
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), member, e);
}

static bool header_is_free(const char *name) {
        static const char *const RESERVED[] = { "Authorization",      "Host",
                                                "Content-Encoding",   "Content-Length",
                                                "Content-Type",       "User-Agent",
                                                "Connection",         "Keep-Alive",
                                                "Proxy-Authenticate", "Proxy-Authorization",
                                                "Www-Authenticate",   "X-Prometheus-Remote-Write-Version",
                                                "Retry-Attempt" };
        for (const char *c = name; *c; c++)
                if (*c <= ' ' || *c == ':' || (unsigned char)*c > 126)
                        return false;
        for (size_t i = 0; i < ARRAY_LEN(RESERVED); i++)
                if (strcasecmp(name, RESERVED[i]) == 0)
                        return false;
        return *name;
}

static void bind_headers(const YamlNode *n, const char *where, void *member, YamlErrors *e) {
        HttpFetchOptions *o = member;
        char found[80];
        if (n->kind != YAML_MAP) {
                yaml_error(e, n->line, n->column, "%s: found %s, expected a mapping of headers", where,
                           yaml_describe(n, found, sizeof found));
                return;
        }
        for (const YamlNode *c = n->first; c; c = c->next)
                if (!header_is_free(c->key->text))
                        yaml_error(e, c->key->line, c->key->column,
                                   "%s: found \"%.60s\", expected a header that is free to set", where, c->key->text);
                else if (c->kind != YAML_SCALAR || strpbrk(c->text, "\r\n"))
                        yaml_error(e, c->line, c->column, "%s: found %s, expected a header's value on one line", where,
                                   yaml_describe(c, found, sizeof found));
                else if (o->n_headers >= HTTP_FETCH_HEADERS_MAX / 2)
                        yaml_error(e, c->line, c->column, "%s: found more than %u headers", where,
                                   HTTP_FETCH_HEADERS_MAX / 2);
                else if (http_fetch_options_header(o, c->key->text, c->text) < 0)
                        yaml_error(e, 0, 0, "out of memory");
}

static void target_defaults(TargetText *t) {
        *t = (TargetText){
                .queue = { .capacity = 10000, .min_shards = 1, .max_shards = 50, .max_samples = 2000 },
                .target = {
                        .timeout = SECONDS(30),
                        .http = HTTP_FETCH_OPTIONS_DEFAULT,
                        .max_bytes = (uint64_t)1 << 30,
                        .max_age = SECONDS(7 * 86400),
                        .metadata = true,
                        .metadata_interval = SECONDS(60),
                        .metadata_max = 2000,
                        .sender = { .batch_send_deadline = SECONDS(5),
                                    .min_backoff = MILLISECONDS(30),
                                    .max_backoff = SECONDS(5),
                                    .retry_on_429 = true },
                },
        };
        t->target.http.follow_redirects = true;
}

static bool is_url(const char *text) {
        return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

static bool is_name(const char *name) {
        size_t n = strlen(name);
        return n > 0 && n <= FORWARD_NAME_MAX && *name != '.' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

/* Without a name the URL gives one, so that the queue is found again. */
static void name_target(const YamlNode *n, const char *where, ForwardTargetConfig *t, YamlErrors *e) {
        if (t->name && !is_name(t->name))
                yaml_error(e, n->line, n->column,
                           "%s.name: found \"%.80s\", expected letters, digits, \".\", \"_\" and \"-\", %u at most",
                           where, t->name, FORWARD_NAME_MAX);
        if (!t->name && t->url &&
            asprintf(&t->name, "%016llx", (unsigned long long)XXH3_64bits(t->url, strlen(t->url))) < 0) {
                t->name = NULL;
                yaml_error(e, 0, 0, "out of memory");
        }
}

static void check_target(const YamlNode *n, const char *where, TargetText *x, YamlErrors *e) {
        ForwardTargetConfig *t = &x->target;
        const QueueText *q = &x->queue;
        if (!t->url)
                yaml_error(e, n->line, n->column, "%s: found no url, expected the key \"url\"", where);
        else if (!is_url(t->url))
                yaml_error(e, n->line, n->column,
                           "%s.url: found \"%.80s\", expected one that begins with http:// or https://", where, t->url);
        if (q->min_shards > q->max_shards)
                yaml_error(e, n->line, n->column, "%s.queue_config: found more min_shards than max_shards", where);
        if (t->sender.min_backoff.ns > t->sender.max_backoff.ns)
                yaml_error(e, n->line, n->column, "%s.queue_config: found a min_backoff longer than the max_backoff",
                           where);
        t->sender.min_shards = (uint32_t)q->min_shards;
        t->sender.max_shards = (uint32_t)q->max_shards;
        t->sender.max_samples_per_send = q->max_samples;
        t->sender.capacity = q->capacity > q->max_samples ? q->capacity : q->max_samples;
        t->sender.version = x->message && strcmp(x->message, "io.prometheus.write.v2.Request") == 0 ? RW_2 : RW_1;
}

static void add_target(ForwardConfig *c, ForwardTargetConfig *t, const YamlNode *n, YamlErrors *e) {
        for (size_t i = 0; t->name && i < c->n_targets; i++)
                if (strcmp(c->targets[i]->name, t->name) == 0)
                        yaml_error(
                                e, n->line, n->column,
                                "remote_write[]: found \"%.80s\" again, expected each name (or url without one) once",
                                t->name);
        ForwardTargetConfig **list = reallocarray(c->targets, c->n_targets + 1, sizeof(ForwardTargetConfig *));
        ForwardTargetConfig *copy = malloc(sizeof *copy);
        if (list)
                c->targets = list;
        if (!list || !copy) {
                free(copy);
                target_deinit(t);
                yaml_error(e, 0, 0, "out of memory");
                return;
        }
        *copy = *t;
        c->targets[c->n_targets++] = copy;
}

#define TARGET(member) offsetof(TargetText, target.member)

static void bind_target(const YamlNode *n, const char *where, void *owner, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "url", YAML_TEXT, TARGET(url), 1, 4095 },
                { "name", YAML_TEXT, TARGET(name), 1, 256 },
                { "remote_timeout", YAML_DURATION, TARGET(timeout), 1, DAY_MS },
                { "headers", YAML_OTHER, TARGET(http), .bind = bind_headers },
                { "write_relabel_configs", YAML_OTHER, TARGET(relabel), .bind = relabel_settings_bind },
                { "protobuf_message", YAML_TEXT, offsetof(TargetText, message), 1, 64,
                  "prometheus.WriteRequest|io.prometheus.write.v2.Request" },
                { "send_exemplars", YAML_BOOL, TARGET(send_exemplars) },
                { "send_native_histograms", YAML_BOOL, TARGET(send_native_histograms) },
                { "queue_config", YAML_OTHER, 0, .bind = bind_queue },
                { "metadata_config", YAML_OTHER, offsetof(TargetText, target), .bind = bind_metadata },
                { "round_robin_dns", YAML_REFUSED, .choices = "expected a name with one address, or several targets" },
                { "sigv4", YAML_REFUSED, .choices = "expected basic_auth or authorization" },
                { "azuread", YAML_REFUSED, .choices = "expected basic_auth or authorization" },
                { "google_iam", YAML_REFUSED, .choices = "expected basic_auth or authorization" },
                HTTP_FETCH_FIELDS(TargetText, target.http),
        };
        Loader *l = owner;
        TargetText t;
        target_defaults(&t);
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), &t, e);
        http_fetch_settings_check(&t.target.http, l->directory, n, where, e);
        check_target(n, where, &t, e);
        name_target(n, where, &t.target, e);
        free(t.message);
        add_target(l->config, &t.target, n, e);
}

/* ---- The rest ---- */

static void add_external(ForwardConfig *c, const YamlNode *n, YamlErrors *e) {
        char found[80];
        if (n->kind != YAML_SCALAR) /* who reads the rest of `global` says so */
                return;
        if (strcmp(n->key->text, METRIC_NAME_LABEL) == 0)
                yaml_error(e, n->key->line, n->key->column, "global.external_labels: found %s, expected other labels",
                           METRIC_NAME_LABEL);
        if (strlen(n->key->text) > LABEL_NAME_MAX || strlen(n->text) > LABEL_VALUE_MAX)
                yaml_error(e, n->line, n->column, "global.external_labels: found %s, expected a shorter one",
                           yaml_describe(n, found, sizeof found));
        if (yaml_texts_add(&c->external_names, n->key->text) < 0 || yaml_texts_add(&c->external_values, n->text) < 0)
                yaml_error(e, 0, 0, "out of memory");
}

static void bind_query(const YamlNode *n, Loader *l, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "timeout", YAML_DURATION, offsetof(ForwardConfig, query_timeout), 1, 3600000 },
                HTTP_FETCH_FIELDS(ForwardConfig, query_http),
        };
        yaml_bind(n, "query.http", FIELDS, ARRAY_LEN(FIELDS), l->config, e);
        http_fetch_settings_check(&l->config->query_http, l->directory, n, "query.http", e);
}

/* What concerns both keys; each by itself is the settings'. */
static void check_backend(const YamlNode *query, YamlErrors *e) {
        const YamlNode *backend = yaml_get(query, "backend"), *url = yaml_get(query, "url");
        bool other = backend && backend->kind == YAML_SCALAR && strcmp(backend->text, "prometheus") == 0;
        if (other && (!url || url->kind != YAML_SCALAR || !is_url(url->text)))
                yaml_error(e, backend->line, backend->column,
                           "query.backend: found \"prometheus\" without a query.url, expected one that begins with "
                           "http:// or https://");
}

static void read_root(const YamlNode *root, Loader *l, YamlErrors *e) {
        const YamlNode *targets = yaml_get(root, "remote_write"), *http = yaml_get(yaml_get(root, "query"), "http");
        const YamlNode *labels = yaml_get(yaml_get(root, "global"), "external_labels");
        for (const YamlNode *c = labels && labels->kind == YAML_MAP ? labels->first : NULL; c; c = c->next)
                add_external(l->config, c, e);
        if (targets)
                yaml_each(targets, "remote_write", FORWARD_TARGETS_MAX, bind_target, l, e);
        if (http)
                bind_query(http, l, e);
        check_backend(yaml_get(root, "query"), e);
}

int forward_config_load(const char *path, bool must_exist, ForwardConfig **ret_config, SettingsError *ret_error) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        CLEANUP(yaml_errors_deinit) YamlErrors errors = { .file = path };
        CLEANUP(yaml_node_freep) YamlNode *root = NULL;
        CLEANUP(config_freep) ForwardConfig *config = calloc(1, sizeof *config);
        const char *slash = strrchr(path, '/');
        CLEANUP_FREE char *directory = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
        bool missing = !must_exist && access(path, F_OK) < 0 && errno == ENOENT;
        int r = config && directory ? 0 : -ENOMEM;
        if (r == 0) {
                config->query_http = HTTP_FETCH_OPTIONS_DEFAULT;
                config->query_timeout = SECONDS(50);
        }
        if (r == 0 && !missing)
                r = yaml_read_file(path, &text, &errors);
        if (r == 0)
                root = yaml_tree(text.len ? text.data : "", text.len, &errors);
        if (root)
                read_root(root, &(Loader){ config, directory }, &errors);
        if (r == 0)
                r = errors.n ? -EINVAL : root || missing ? 0 : -ENOMEM;
        if (r < 0) {
                ret_error->text = yaml_explain(&errors, r);
                return r;
        }
        *ret_config = TAKE_PTR(config);
        return 0;
}

/* ---- Comparing ---- */

static bool senders_equal(const SenderOptions *a, const SenderOptions *b) {
        return a->capacity == b->capacity && a->min_shards == b->min_shards && a->max_shards == b->max_shards &&
               a->max_samples_per_send == b->max_samples_per_send &&
               a->batch_send_deadline.ns == b->batch_send_deadline.ns && a->min_backoff.ns == b->min_backoff.ns &&
               a->max_backoff.ns == b->max_backoff.ns && a->retry_on_429 == b->retry_on_429 &&
               a->sample_age_limit.ns == b->sample_age_limit.ns && a->version == b->version;
}

static bool targets_equal(const ForwardTargetConfig *a, const ForwardTargetConfig *b) {
        return strcmp(a->name, b->name) == 0 && strcmp(a->url, b->url) == 0 && a->timeout.ns == b->timeout.ns &&
               http_fetch_options_equal(&a->http, &b->http) && relabel_rules_equal(&a->relabel, &b->relabel) &&
               a->send_native_histograms == b->send_native_histograms && a->send_exemplars == b->send_exemplars &&
               senders_equal(&a->sender, &b->sender) && a->max_bytes == b->max_bytes &&
               a->max_age.ns == b->max_age.ns && a->metadata == b->metadata &&
               a->metadata_interval.ns == b->metadata_interval.ns && a->metadata_max == b->metadata_max;
}

bool forward_config_equal(const ForwardConfig *a, const ForwardConfig *b) {
        if (a->n_targets != b->n_targets || !yaml_texts_equal(&a->external_names, &b->external_names) ||
            !yaml_texts_equal(&a->external_values, &b->external_values))
                return false;
        for (size_t i = 0; i < a->n_targets; i++)
                if (!targets_equal(a->targets[i], b->targets[i]))
                        return false;
        return true;
}
