#include "scrape/config.h"

#include "base/duration.h"
#include "net/http_fetch_settings.h"
#include "rt/relabel_settings.h"

#include <assert.h>
#include <glob.h>
#include <limits.h>
#include <unistd.h>

#define DAY_MS (86400 * INT64_C(1000))
#define PARAMS_MAX 100u
#define DISCOVERIES_MAX 100u
#define FILES_MAX 1000u

static const char *const PROTOCOLS[] = {
        [SCRAPE_PROTO] = "PrometheusProto",
        [SCRAPE_TEXT_0_0_4] = "PrometheusText0.0.4",
        [SCRAPE_TEXT_1_0_0] = "PrometheusText1.0.0",
        [SCRAPE_OPENMETRICS_0_0_1] = "OpenMetricsText0.0.1",
        [SCRAPE_OPENMETRICS_1_0_0] = "OpenMetricsText1.0.0",
};
static_assert(ARRAY_LEN(PROTOCOLS) == SCRAPE_PROTOCOL_COUNT, "every protocol has a name");

#define PROTOCOL_CHOICES \
        "PrometheusProto|PrometheusText0.0.4|PrometheusText1.0.0|OpenMetricsText0.0.1|OpenMetricsText1.0.0"
#define SUPPORTED "expected static_configs, file_sd_configs or http_sd_configs"

const char *scrape_protocol_name(ScrapeProtocol p) {
        assert((unsigned)p < SCRAPE_PROTOCOL_COUNT);
        return PROTOCOLS[p];
}

/* What a job takes from `global` when it says nothing itself, and where the reading stands. */
typedef struct Reader {
        Duration interval, timeout;
        YamlTexts protocols;
        uint64_t body_limit, sample_limit, label_limit, label_name_limit, label_value_limit, target_limit, keep_dropped;
        bool native_histograms, classic_histograms, extra_metrics;
        char *validation;
        YamlTexts files;
        ScrapeConfig *config;
        const char *directory;
} Reader;

/* ---- making and freeing ---- */

static void job_deinit(ScrapeJob *j) {
        free(j->name);
        free(j->metrics_path);
        free(j->scheme);
        for (size_t i = 0; i < j->n_params; i++) {
                free(j->params[i].name);
                yaml_texts_deinit(&j->params[i].values);
        }
        free(j->params);
        http_fetch_options_deinit(&j->http);
        relabel_rules_deinit(&j->relabel);
        relabel_rules_deinit(&j->metric_relabel);
        target_groups_deinit(&j->statics);
        for (size_t i = 0; i < j->n_files; i++)
                yaml_texts_deinit(&j->files[i].files);
        free(j->files);
        for (size_t i = 0; i < j->n_https; i++) {
                free(j->https[i].url);
                http_fetch_options_deinit(&j->https[i].http);
        }
        free(j->https);
        *j = (ScrapeJob){ 0 };
}

ScrapeConfig *scrape_config_free(ScrapeConfig *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n_jobs; i++) {
                job_deinit(c->jobs[i]);
                free(c->jobs[i]);
        }
        free(c->jobs);
        yaml_texts_deinit(&c->external_names);
        yaml_texts_deinit(&c->external_values);
        free(c);
        return NULL;
}

static void config_freep(ScrapeConfig **c) {
        *c = scrape_config_free(*c);
}

static void reader_deinit(Reader *r) {
        yaml_texts_deinit(&r->protocols);
        yaml_texts_deinit(&r->files);
        free(r->validation);
}

static void no_memory(YamlErrors *e) {
        yaml_error(e, 0, 0, "out of memory");
}

bool scrape_job_reads_alike(const ScrapeJob *a, const ScrapeJob *b) {
        return a->honor_labels == b->honor_labels && a->legacy_names == b->legacy_names &&
               a->label_limit == b->label_limit && a->label_name_limit == b->label_name_limit &&
               a->label_value_limit == b->label_value_limit && relabel_rules_equal(&a->metric_relabel, &b->metric_relabel);
}

/* ---- parts of a job ---- */

static void bind_params(const YamlNode *map, const char *where, void *member, YamlErrors *e) {
        static const YamlField VALUES = { "values", YAML_TEXTS, 0, 0, PARAMS_MAX };
        ScrapeJob *j = member;
        char found[80];
        if (map->kind != YAML_MAP) {
                yaml_error(e, map->line, map->column, "%s: found %s, expected a mapping of lists", where,
                           yaml_describe(map, found, sizeof found));
                return;
        }
        for (const YamlNode *c = map->first; c; c = c->next) {
                ScrapeParam *params = reallocarray(j->params, j->n_params + 1, sizeof *params);
                if (!params || j->n_params == PARAMS_MAX) {
                        yaml_error(e, c->line, c->column, "%s: found more than %u parameters", where, PARAMS_MAX);
                        j->params = params ? params : j->params;
                        return;
                }
                j->params = params;
                params[j->n_params] = (ScrapeParam){ .name = strdup(c->key->text) };
                if (!params[j->n_params].name)
                        no_memory(e);
                yaml_bind_value(c, where, &VALUES, &params[j->n_params++].values, e);
        }
}

static bool is_discovery_file(const char *path) {
        static const char *const ENDS[] = { ".json", ".yml", ".yaml", ".JSON", ".YML", ".YAML" };
        const char *star = strchr(path, '*'), *dot = strrchr(path, '.');
        bool known = false;
        for (size_t i = 0; dot && i < ARRAY_LEN(ENDS); i++)
                known = known || strcmp(dot, ENDS[i]) == 0;
        return known && (!star || (!strchr(star, '/') && !strchr(star + 1, '*')));
}

static void resolve_files(YamlTexts *files, const char *directory, YamlErrors *e) {
        for (size_t i = 0; i < files->n; i++) {
                char *full = settings_path(directory, files->texts[i]);
                if (!full) {
                        no_memory(e);
                        return;
                }
                free(files->texts[i]);
                files->texts[i] = full;
        }
}

static void bind_file_discovery(const YamlNode *n, const char *where, void *owner, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "files", YAML_TEXTS, offsetof(FileDiscovery, files), 0, FILES_MAX },
                { "refresh_interval", YAML_DURATION, offsetof(FileDiscovery, refresh), 1000, DAY_MS },
        };
        ScrapeJob *j = owner;
        FileDiscovery *files = reallocarray(j->files, j->n_files + 1, sizeof *files);
        if (!files) {
                no_memory(e);
                return;
        }
        j->files = files;
        FileDiscovery *f = &files[j->n_files++];
        *f = (FileDiscovery){ .refresh = SECONDS(300) };
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), f, e);
        if (f->files.n == 0)
                yaml_error(e, n->line, n->column, "%s: found no files, expected the key \"files\"", where);
        for (size_t i = 0; i < f->files.n; i++)
                if (!is_discovery_file(f->files.texts[i]))
                        yaml_error(e, n->line, n->column,
                                   "%s.files: found \"%.80s\", expected a name that ends with .json, .yml or .yaml, "
                                   "with one * in its last part at most",
                                   where, f->files.texts[i]);
}

static void bind_http_discovery(const YamlNode *n, const char *where, void *owner, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "url", YAML_TEXT, offsetof(HttpDiscovery, url), 1, 4095 },
                { "refresh_interval", YAML_DURATION, offsetof(HttpDiscovery, refresh), 1000, DAY_MS },
                HTTP_FETCH_FIELDS(HttpDiscovery, http),
        };
        ScrapeJob *j = owner;
        HttpDiscovery *https = reallocarray(j->https, j->n_https + 1, sizeof *https);
        if (!https) {
                no_memory(e);
                return;
        }
        j->https = https;
        HttpDiscovery *h = &https[j->n_https++];
        *h = (HttpDiscovery){ .refresh = SECONDS(60), .http = HTTP_FETCH_OPTIONS_DEFAULT };
        yaml_bind(n, where, FIELDS, ARRAY_LEN(FIELDS), h, e);
        bool good = h->url && (strncmp(h->url, "http://", 7) == 0 || strncmp(h->url, "https://", 8) == 0) &&
                !strpbrk(h->url, " \t\r\n");
        if (!good)
                yaml_error(e, n->line, n->column, "%s.url: found \"%.80s\", expected http:// or https:// and a host",
                           where,
                           h->url ? h->url : "");
}

static void bind_files(const YamlNode *list, const char *where, void *member, YamlErrors *e) {
        yaml_each(list, where, DISCOVERIES_MAX, bind_file_discovery, member, e);
}

static void bind_https(const YamlNode *list, const char *where, void *member, YamlErrors *e) {
        yaml_each(list, where, DISCOVERIES_MAX, bind_http_discovery, member, e);
}

/* ---- a job ---- */

/* A job as it is written, with what is not its own form yet. */
typedef struct JobText {
        ScrapeJob job;
        Duration interval, timeout;
        YamlTexts protocols;
        char *fallback, *validation, *escaping;
} JobText;

static void job_text_deinit(JobText *t) {
        job_deinit(&t->job);
        yaml_texts_deinit(&t->protocols);
        free(t->fallback);
        free(t->validation);
        free(t->escaping);
}

#define LIMIT_FIELDS(owner, in) \
        { "body_size_limit", YAML_BYTES, offsetof(owner, in body_limit), 0, INT64_C(1) << 30 }, \
        { "sample_limit", YAML_COUNT, offsetof(owner, in sample_limit), 0, 2000000 }, \
        { "label_limit", YAML_COUNT, offsetof(owner, in label_limit), 0, INT32_MAX }, \
        { "label_name_length_limit", YAML_COUNT, offsetof(owner, in label_name_limit), 0, INT32_MAX }, \
        { "label_value_length_limit", YAML_COUNT, offsetof(owner, in label_value_limit), 0, INT32_MAX }, \
        { "target_limit", YAML_COUNT, offsetof(owner, in target_limit), 0, 100000 }, \
        { "keep_dropped_targets", YAML_COUNT, offsetof(owner, in keep_dropped), 0, 100000 }, \
        { "scrape_native_histograms", YAML_BOOL, offsetof(owner, in native_histograms) }, \
        { "always_scrape_classic_histograms", YAML_BOOL, offsetof(owner, in classic_histograms) }, \
        { "extra_scrape_metrics", YAML_BOOL, offsetof(owner, in extra_metrics) }

#define REFUSED(name) { name, YAML_REFUSED, .choices = SUPPORTED }

static const YamlField JOB_FIELDS[] = {
        { "job_name", YAML_TEXT, offsetof(JobText, job.name), 1, LABEL_VALUE_MAX },
        { "metrics_path", YAML_TEXT, offsetof(JobText, job.metrics_path), 1, 2048 },
        { "scheme", YAML_TEXT, offsetof(JobText, job.scheme), 1, 8, "http|https" },
        { "params", YAML_OTHER, offsetof(JobText, job), .bind = bind_params },
        { "honor_labels", YAML_BOOL, offsetof(JobText, job.honor_labels) },
        { "honor_timestamps", YAML_BOOL, offsetof(JobText, job.honor_timestamps) },
        { "track_timestamps_staleness", YAML_BOOL, offsetof(JobText, job.track_timestamps_staleness) },
        { "enable_compression", YAML_BOOL, offsetof(JobText, job.enable_compression) },
        { "scrape_interval", YAML_DURATION, offsetof(JobText, interval), 1000, DAY_MS },
        { "scrape_timeout", YAML_DURATION, offsetof(JobText, timeout), 1, DAY_MS },
        { "scrape_protocols", YAML_TEXTS, offsetof(JobText, protocols), 1, SCRAPE_PROTOCOL_COUNT, PROTOCOL_CHOICES },
        { "fallback_scrape_protocol", YAML_TEXT, offsetof(JobText, fallback), 1, 64, PROTOCOL_CHOICES },
        { "metric_name_validation_scheme", YAML_TEXT, offsetof(JobText, validation), 1, 16, "utf8|legacy" },
        { "metric_name_escaping_scheme", YAML_TEXT, offsetof(JobText, escaping), 1, 32, "allow-utf-8" },
        LIMIT_FIELDS(JobText, job.),
        { "relabel_configs", YAML_OTHER, offsetof(JobText, job.relabel), .bind = relabel_settings_bind },
        { "metric_relabel_configs", YAML_OTHER, offsetof(JobText, job.metric_relabel), .bind = relabel_settings_bind },
        { "static_configs", YAML_OTHER, offsetof(JobText, job.statics), .bind = target_groups_bind },
        { "file_sd_configs", YAML_OTHER, offsetof(JobText, job), .bind = bind_files },
        { "http_sd_configs", YAML_OTHER, offsetof(JobText, job), .bind = bind_https },
        HTTP_FETCH_FIELDS(JobText, job.http),
        REFUSED("azure_sd_configs"), REFUSED("consul_sd_configs"), REFUSED("digitalocean_sd_configs"),
                REFUSED("docker_sd_configs"),
        REFUSED("dockerswarm_sd_configs"), REFUSED("dns_sd_configs"), REFUSED("ec2_sd_configs"),
                REFUSED("eureka_sd_configs"),
        REFUSED("gce_sd_configs"), REFUSED("hetzner_sd_configs"), REFUSED("ionos_sd_configs"),
                REFUSED("kubernetes_sd_configs"),
        REFUSED("kuma_sd_configs"), REFUSED("lightsail_sd_configs"), REFUSED("linode_sd_configs"),
                REFUSED("marathon_sd_configs"),
        REFUSED("nerve_sd_configs"), REFUSED("nomad_sd_configs"), REFUSED("openstack_sd_configs"),
                REFUSED("ovhcloud_sd_configs"),
        REFUSED("puppetdb_sd_configs"), REFUSED("scaleway_sd_configs"), REFUSED("serverset_sd_configs"),
                REFUSED("stackit_sd_configs"),
        REFUSED("triton_sd_configs"), REFUSED("uyuni_sd_configs"), REFUSED("vultr_sd_configs"),
                REFUSED("aws_sd_configs"),
        { "convert_classic_histograms_to_nhcb", YAML_REFUSED, .choices = "classic histograms are kept as they are" },
        { "native_histogram_bucket_limit", YAML_REFUSED,
          .choices = "a native histogram has at most 1000 buckets of each sign" },
        { "native_histogram_min_bucket_factor", YAML_REFUSED, .choices = "native histograms are kept as they are" },
        { "scrape_failure_log_file", YAML_REFUSED, .choices = "see lastError of /api/v1/targets, and parallaxd's log" },
};

static int protocol_of(const char *name) {
        for (size_t i = 0; i < SCRAPE_PROTOCOL_COUNT; i++)
                if (strcmp(PROTOCOLS[i], name) == 0)
                        return (int)i;
        return -1;
}

static void set_protocols(ScrapeJob *j, const YamlTexts *own, const YamlTexts *global) {
        static const ScrapeProtocol USUAL[] =
                { SCRAPE_OPENMETRICS_1_0_0, SCRAPE_OPENMETRICS_0_0_1, SCRAPE_TEXT_1_0_0, SCRAPE_TEXT_0_0_4 };
        const YamlTexts *given = own->n ? own : global;
        if (!given->n && j->native_histograms)
                j->protocols[j->n_protocols++] = SCRAPE_PROTO;
        for (size_t i = 0; !given->n && i < ARRAY_LEN(USUAL); i++)
                j->protocols[j->n_protocols++] = USUAL[i];
        for (size_t i = 0; i < given->n && j->n_protocols < SCRAPE_PROTOCOL_COUNT; i++)
                j->protocols[j->n_protocols++] = (ScrapeProtocol)protocol_of(given->texts[i]);
}

static void set_times(const YamlNode *n, const char *where, JobText *t, const Reader *r, YamlErrors *e) {
        ScrapeJob *j = &t->job;
        j->interval = t->interval.ns ? t->interval : r->interval;
        j->timeout = t->timeout.ns ? t->timeout : r->timeout;
        if (!t->timeout.ns && j->timeout.ns > j->interval.ns)
                j->timeout = j->interval;
        if (j->timeout.ns > j->interval.ns)
                yaml_error(e, n->line, n->column,
                           "%s: found a scrape_timeout longer than the scrape_interval, expected it to be shorter",
                           where);
}

static uint64_t limit(uint64_t given, uint64_t usual) {
        return given ? given : usual;
}

static void set_limits(ScrapeJob *j) {
        j->body_limit = limit(j->body_limit, SCRAPE_BODY_DEFAULT);
        j->sample_limit = limit(j->sample_limit, SCRAPE_SAMPLES_DEFAULT);
        j->target_limit = limit(j->target_limit, SCRAPE_TARGETS_DEFAULT);
        j->keep_dropped = limit(j->keep_dropped, SCRAPE_DROPPED_DEFAULT);
        /* What the store takes is the limit of these in any case. */
        j->label_limit = j->label_limit && j->label_limit < LABELS_MAX ? j->label_limit : LABELS_MAX;
        j->label_name_limit = j->label_name_limit && j->label_name_limit < LABEL_NAME_MAX ? j->label_name_limit
                : LABEL_NAME_MAX;
        j->label_value_limit = j->label_value_limit && j->label_value_limit < LABEL_VALUE_MAX ? j->label_value_limit
                : LABEL_VALUE_MAX;
}

static void check_targets(const YamlNode *n, const char *where, const ScrapeJob *j, YamlErrors *e) {
        for (size_t i = 0; j->relabel.n == 0 && i < j->statics.n; i++)
                for (size_t k = 0; k < j->statics.groups[i].targets.n; k++)
                        if (strchr(j->statics.groups[i].targets.texts[k], '/'))
                                yaml_error(e, n->line, n->column,
                                           "%s.static_configs: found the target \"%.80s\", expected host:port alone",
                                           where, j->statics.groups[i].targets.texts[k]);
}

static void check_job(const YamlNode *n, const char *where, JobText *t, const Reader *r, YamlErrors *e) {
        ScrapeJob *j = &t->job;
        if (!j->name)
                yaml_error(e, n->line, n->column, "%s: found no name, expected the key \"job_name\"", where);
        for (size_t i = 0; j->name && i < r->config->n_jobs; i++)
                if (strcmp(r->config->jobs[i]->name, j->name) == 0)
                        yaml_error(e, n->line, n->column, "%s.job_name: found \"%.80s\" again, expected each name once",
                                   where, j->name);
        set_times(n, where, t, r, e);
        set_protocols(j, &t->protocols, &r->protocols);
        set_limits(j);
        j->fallback = t->fallback ? protocol_of(t->fallback) : -1;
        const char *validation = t->validation ? t->validation : r->validation;
        j->legacy_names = validation && strcmp(validation, "legacy") == 0;
        http_fetch_settings_check(&j->http, r->directory, n, where, e);
        check_targets(n, where, j, e);
        for (size_t i = 0; i < j->n_files; i++)
                resolve_files(&j->files[i].files, r->directory, e);
        for (size_t i = 0; i < j->n_https; i++)
                http_fetch_settings_check(&j->https[i].http, r->directory, n, where, e);
}

/* False without memory. */
static bool job_init(ScrapeJob *j, const Reader *r) {
        *j = (ScrapeJob){ .honor_timestamps = true,
                          .enable_compression = true,
                          .http = HTTP_FETCH_OPTIONS_DEFAULT,
                          .metrics_path = strdup("/metrics"),
                          .scheme = strdup("http"),
                          .body_limit = r->body_limit,
                          .sample_limit = r->sample_limit,
                          .label_limit = r->label_limit,
                          .label_name_limit = r->label_name_limit,
                          .label_value_limit = r->label_value_limit,
                          .target_limit = r->target_limit,
                          .keep_dropped = r->keep_dropped,
                          .native_histograms = r->native_histograms,
                          .classic_histograms = r->classic_histograms,
                          .extra_metrics = r->extra_metrics };
        return j->metrics_path && j->scheme;
}

/* Takes over what the text holds. */
static int append_job(ScrapeConfig *c, ScrapeJob *job) {
        ScrapeJob **jobs = reallocarray(c->jobs, c->n_jobs + 1, sizeof *jobs);
        if (!jobs)
                return -ENOMEM;
        c->jobs = jobs;
        jobs[c->n_jobs] = malloc(sizeof *job);
        if (!jobs[c->n_jobs])
                return -ENOMEM;
        *jobs[c->n_jobs++] = *job;
        *job = (ScrapeJob){ 0 };
        return 0;
}

static void bind_job(const YamlNode *n, const char *where, void *owner, YamlErrors *e) {
        Reader *r = owner;
        CLEANUP(job_text_deinit) JobText t = { 0 };
        unsigned before = e->n;
        if (!job_init(&t.job, r)) {
                no_memory(e);
                return;
        }
        yaml_bind(n, where, JOB_FIELDS, ARRAY_LEN(JOB_FIELDS), &t, e);
        check_job(n, where, &t, r, e);
        if (e->n == before && append_job(r->config, &t.job) < 0)
                no_memory(e);
}

static void bind_jobs(const YamlNode *list, const char *where, Reader *r, YamlErrors *e) {
        yaml_each(list, where, SCRAPE_JOBS_MAX, bind_job, r, e);
}

/* ---- global and files ---- */

static void bind_external(const YamlNode *map, const char *where, void *member, YamlErrors *e) {
        Reader *r = member;
        char found[80];
        for (const YamlNode *c = map->kind == YAML_MAP ? map->first : NULL; c; c = c->next)
                if (c->kind != YAML_SCALAR)
                        yaml_error(e, c->line, c->column, "%s: found %s, expected a text", where,
                                   yaml_describe(c, found, sizeof found));
                else if (yaml_texts_add(&r->config->external_names, c->key->text) < 0 ||
                         yaml_texts_add(&r->config->external_values, c->text) < 0)
                        no_memory(e);
        if (map->kind != YAML_MAP)
                yaml_error(e, map->line, map->column, "%s: found %s, expected a mapping of labels", where,
                           yaml_describe(map, found, sizeof found));
}

static void skip(const YamlNode *n, const char *where, void *member, YamlErrors *e) {
        (void)n, (void)where, (void)member, (void)e;
}

static void bind_global(const YamlNode *n, Reader *r, YamlErrors *e) {
        static const YamlField FIELDS[] = {
                { "scrape_interval", YAML_DURATION, offsetof(Reader, interval), 1000, DAY_MS },
                { "scrape_timeout", YAML_DURATION, offsetof(Reader, timeout), 1, DAY_MS },
                { "scrape_protocols", YAML_TEXTS, offsetof(Reader, protocols), 1, SCRAPE_PROTOCOL_COUNT,
                  PROTOCOL_CHOICES },
                { "external_labels", YAML_OTHER, 0, .bind = bind_external },
                { "metric_name_validation_scheme", YAML_TEXT, offsetof(Reader, validation), 1, 16, "utf8|legacy" },
                LIMIT_FIELDS(Reader, ),
                /* Of rules, which are nothing of scraping's: files are to work as they are. */
                { "evaluation_interval", YAML_OTHER, 0, .bind = skip },
                { "rule_query_offset", YAML_OTHER, 0, .bind = skip },
                { "query_log_file", YAML_REFUSED, .choices = "remove it" },
                { "scrape_failure_log_file", YAML_REFUSED,
                  .choices = "see lastError of /api/v1/targets, and parallaxd's log" },
                { "convert_classic_histograms_to_nhcb", YAML_REFUSED,
                  .choices = "classic histograms are kept as they are" },
                { "runtime", YAML_REFUSED, .choices = "it is Go's" },
        };
        r->timeout = (Duration){ 0 };
        yaml_bind(n, "global", FIELDS, ARRAY_LEN(FIELDS), r, e);
        if (r->timeout.ns > r->interval.ns)
                yaml_error(e, n->line, n->column,
                           "global: found a scrape_timeout longer than the scrape_interval, expected it to be shorter");
        if (!r->timeout.ns)
                r->timeout = r->interval.ns < SECONDS(10).ns ? r->interval : SECONDS(10);
}

static void read_job_file(const char *path, Reader *r, YamlErrors *outer) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        YamlErrors e = { .file = path, .text = outer->text, .n = outer->n };
        YamlNode *root = NULL;
        if (yaml_read_file(path, &text, &e) == 0)
                root = yaml_tree(text.len ? text.data : "", text.len, &e);
        const YamlNode *jobs = yaml_get(root, "scrape_configs");
        for (const YamlNode *c = root && root->kind == YAML_MAP ? root->first : NULL; c; c = c->next)
                if (c != jobs)
                        yaml_error(&e, c->key->line, c->key->column,
                                   "unknown key \"%.80s\", expected scrape_configs alone", c->key->text);
        if (jobs)
                bind_jobs(jobs, "scrape_configs", r, &e);
        (void)yaml_node_free(root);
        outer->text = e.text;
        outer->n = e.n;
}

static void read_job_files(const YamlNode *list, Reader *r, YamlErrors *e) {
        static const YamlField FILES = { "scrape_config_files", YAML_TEXTS, 0, 0, FILES_MAX };
        yaml_bind_value(list, "scrape_config_files", &FILES, &r->files, e);
        resolve_files(&r->files, r->directory, e);
        for (size_t i = 0; i < r->files.n; i++) {
                glob_t found = { 0 };
                int failed = glob(r->files.texts[i], 0, NULL, &found);
                for (size_t k = 0; !failed && k < found.gl_pathc; k++)
                        read_job_file(found.gl_pathv[k], r, e);
                if (failed && failed != GLOB_NOMATCH)
                        yaml_error(e, list->line, list->column, "scrape_config_files: \"%.80s\" cannot be looked for",
                                   r->files.texts[i]);
                globfree(&found);
        }
}

static void read_root(const YamlNode *root, Reader *r, YamlErrors *e) {
        const YamlNode *global = yaml_get(root, "global"), *jobs = yaml_get(root, "scrape_configs");
        const YamlNode *files = yaml_get(root, "scrape_config_files");
        if (global)
                bind_global(global, r, e);
        if (jobs)
                bind_jobs(jobs, "scrape_configs", r, e);
        if (files)
                read_job_files(files, r, e);
}

int scrape_config_load(const char *path, bool must_exist, ScrapeConfig **ret_config, SettingsError *ret_error) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        CLEANUP(yaml_errors_deinit) YamlErrors errors = { .file = path };
        CLEANUP(yaml_node_freep) YamlNode *root = NULL;
        CLEANUP(config_freep) ScrapeConfig *config = calloc(1, sizeof *config);
        const char *slash = strrchr(path, '/');
        CLEANUP_FREE char *directory = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
        CLEANUP(reader_deinit) Reader r =
                { .interval = SECONDS(60), .timeout = SECONDS(10), .config = config, .directory = directory };
        bool missing = !must_exist && access(path, F_OK) < 0 && errno == ENOENT;
        int failed = config && directory ? 0 : -ENOMEM;
        if (failed == 0 && !missing)
                failed = yaml_read_file(path, &text, &errors);
        if (failed == 0) {
                root = yaml_tree(text.len ? text.data : "", text.len, &errors);
                if (root)
                        read_root(root, &r, &errors);
                failed = errors.n ? -EINVAL : root ? 0 : -ENOMEM;
        }
        if (failed < 0) {
                ret_error->text = yaml_explain(&errors, failed);
                return failed;
        }
        *ret_config = TAKE_PTR(config);
        return 0;
}
