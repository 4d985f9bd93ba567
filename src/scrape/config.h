/* What is scraped, from whom and how: `scrape_configs`, `scrape_config_files` and the part of `global` that concerns
 * them, in the form that Prometheus 3 has, read from parallaxd's own file. Immutable once loaded; a reload makes a new
 * one.
 *
 * Defaults are Prometheus's, but that there is always a limit: 0 stands for what a limit is without the key. */
#pragma once

#include "model/relabel.h"
#include "net/http_fetch.h"
#include "rt/settings.h"
#include "scrape/groups.h"

#define SCRAPE_JOBS_MAX 1000u
#define SCRAPE_BODY_DEFAULT ((uint64_t)64 << 20)
#define SCRAPE_SAMPLES_DEFAULT 200000u
#define SCRAPE_TARGETS_DEFAULT 10000u
#define SCRAPE_DROPPED_DEFAULT 1000u /* dropped targets of a job that are kept for the API */

typedef enum ScrapeProtocol {
        SCRAPE_PROTO,
        SCRAPE_TEXT_0_0_4,
        SCRAPE_TEXT_1_0_0,
        SCRAPE_OPENMETRICS_0_0_1,
        SCRAPE_OPENMETRICS_1_0_0,
        SCRAPE_PROTOCOL_COUNT
} ScrapeProtocol;

/* "PrometheusText0.0.4", ... */
const char *scrape_protocol_name(ScrapeProtocol p);

typedef struct ScrapeParam {
        char *name;
        YamlTexts values;
} ScrapeParam;

typedef struct FileDiscovery {
        YamlTexts files; /* shell patterns, absolute */
        Duration refresh;
} FileDiscovery;

typedef struct HttpDiscovery {
        char *url;
        Duration refresh;
        HttpFetchOptions http;
} HttpDiscovery;

typedef struct ScrapeJob {
        char *name;
        Duration interval, timeout;
        char *metrics_path, *scheme;
        ScrapeParam *params;
        size_t n_params;
        bool honor_labels, honor_timestamps, track_timestamps_staleness, enable_compression;
        bool native_histograms, classic_histograms, legacy_names, extra_metrics;
        HttpFetchOptions http;
        uint64_t body_limit, sample_limit, label_limit, label_name_limit, label_value_limit, target_limit, keep_dropped;
        RelabelRules relabel, metric_relabel;
        ScrapeProtocol protocols[SCRAPE_PROTOCOL_COUNT];
        size_t n_protocols;
        int fallback; /* ScrapeProtocol, -1: none */
        TargetGroups statics;
        FileDiscovery *files;
        size_t n_files;
        HttpDiscovery *https;
        size_t n_https;
} ScrapeJob;

typedef struct ScrapeConfig {
        ScrapeJob **jobs;
        size_t n_jobs;
        YamlTexts external_names, external_values; /* global.external_labels, side by side */
} ScrapeConfig;

/* As settings_load(), which sees to the file's other keys. */
int scrape_config_load(const char *path, bool must_exist, ScrapeConfig **ret_config, SettingsError *ret_error) MUST_USE;
ScrapeConfig *scrape_config_free(ScrapeConfig *c);
/* Whether what both jobs make of a target's answer is the same: then the target's memory of its series may be kept. */
bool scrape_job_reads_alike(const ScrapeJob *a, const ScrapeJob *b);
