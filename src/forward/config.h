/* To whom samples are sent on: `remote_write` and `global.external_labels`, in the form that Prometheus 3 has, read
 * from parallaxd's own file; and `query.http`, how another engine is talked to. Immutable once loaded; a reload makes a
 * new one. */
#pragma once

#include "forward/sender.h"
#include "model/relabel.h"
#include "net/http_fetch.h"
#include "rt/settings.h"
#include "rt/yaml_fields.h"

#define FORWARD_TARGETS_MAX 16u
#define FORWARD_NAME_MAX 64u

typedef struct ForwardTargetConfig {
        char *name; /* given, or made from the URL; also its directory's */
        char *url;
        Duration timeout;
        HttpFetchOptions http;
        RelabelRules relabel;
        bool send_exemplars, send_native_histograms;
        SenderOptions sender;
        uint64_t max_bytes;
        Duration max_age;
        bool metadata;
        Duration metadata_interval;
        uint64_t metadata_max; /* descriptions in a request */
} ForwardTargetConfig;

typedef struct ForwardConfig {
        ForwardTargetConfig **targets;
        size_t n_targets;
        YamlTexts external_names, external_values; /* side by side, by ascending name */
        HttpFetchOptions query_http;
        Duration query_timeout;
} ForwardConfig;

/* As settings_load(), which sees to the file's other keys. */
int forward_config_load(const char *path, bool must_exist, ForwardConfig **ret_config,
                        SettingsError *ret_error) MUST_USE;
ForwardConfig *forward_config_free(ForwardConfig *c);
/* Whether both say the same of remote write. */
bool forward_config_equal(const ForwardConfig *a, const ForwardConfig *b);
