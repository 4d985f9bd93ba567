/* The configuration in force, as the programs read it. Filled by settings_load() from one YAML file;
 * every key is a row of tables/config.def (name, type, default, limits, help), from which the binder,
 * the reference in docs/ and `--check-config` come. Immutable once loaded; a reload makes a new one. */
#pragma once

#include "base/buf.h"
#include "base/time.h"
#include "model/group.h"
#include "rt/log.h"

typedef enum Tier { TIER_BASIC, TIER_PERFORMANCE, TIER_DIAGNOSIS, TIER_COUNT } Tier;

/* A listener of parallaxd. `metrics` says what its /metrics serves: "all" (everything, each under its
 * own path; loopback only), or one of "libvirt", "node", "container", "self". */
typedef struct ListenerSettings {
        char *address; /* "127.0.0.1:9177", "[::1]:9100" */
        char *metrics;
} ListenerSettings;

/* First policy that matches decides a domain's tier. Empty = not asked. */
typedef struct PolicySettings {
        char *name;           /* shell pattern (fnmatch) against the domain's name */
        char *metadata_key;   /* "namespace-uri#element" or "element"; text of that element in <metadata> */
        char *metadata_value; /* shell pattern against the text */
        Tier tier;
} PolicySettings;

/* Values of metrics that match are kept as multiples of `step`. */
typedef struct ResolutionSettings {
        char *metric;
        char *step; /* text of a positive number, checked */
} ResolutionSettings;

/* History; see store/store.h. Tiers are raw, 5 minutes, 1 hour. */
typedef struct StoreSettings {
        bool enabled;
        char *directory, *ack, *vm_label;
        Duration ack_interval, out_of_order, flush_interval;
        Duration keep[3];
        size_t max_bytes[3], free_floor, memory;
        size_t max_series, max_series_source, max_series_vm, new_series_source, new_series_vm, max_exemplars;
        ResolutionSettings *resolutions;
        size_t n_resolutions;
} StoreSettings;

/* Queries; see api/queries.h. */
typedef struct QuerySettings {
        Duration timeout, lookback;
        size_t max_samples, max_series, max_memory, max_points, max_answer;
        size_t concurrency, concurrency_source, queue, queue_source;
        char *features; /* names of PromQL's experiments, with commas between them */
} QuerySettings;

/* What is asked over HTTP. */
typedef struct WebSettings {
        char *route_prefix, *external_url, *cors_origin;
        bool admin_api, lifecycle;
} WebSettings;

typedef struct Settings {
        char *log_level, *log_format;
        char *root;          /* "/" in production */
        char *runtime_dir;   /* sockets: sensor.sock and api.sock; "/run/parallax" */
        char *host_name;     /* "" = the kernel's */

        ListenerSettings *listeners;
        size_t n_listeners;

        char *libvirt_uri;   /* "qemu:///system"; "" switches libvirt off */
        char *libvirt_worker; /* path of parallax-virt; "" = beside the running program, then libexec */
        Duration libvirt_deadline; /* a call that takes longer loses its worker */
        Duration libvirt_resync;   /* all definitions are read again this often */

        bool docker_enabled, podman_enabled, lxc_enabled, services_enabled;
        char *docker_socket, *docker_root, *podman_socket, *podman_root;

        Duration interval[TIER_COUNT][LANE_COUNT]; /* per tier: kernel, libvirt, monitor */
        Duration idle[TIER_COUNT];   /* of lane monitor, for a domain that does nothing */
        Duration host_interval;      /* node_* */
        Duration container_interval; /* container_* */
        Tier default_tier;
        PolicySettings *policies;
        size_t n_policies;

        size_t max_domains, max_containers; /* more are counted and left out */
        size_t metadata_limit; /* bytes of one metadata text that are looked at */

        StoreSettings store;
        char *query_backend, *query_url; /* "embedded" or "prometheus" */
        QuerySettings query;
        WebSettings web;
} Settings;

/* What is wrong with a file, for a person: "FILE:LINE:COLUMN: message". */
typedef struct SettingsError {
        char *text; /* one or more lines, each with its place; free() */
} SettingsError;

/* Loads `path`. A missing file is fine when `must_exist` is false: all defaults.
 * 0; or -EINVAL/-EISDIR/... with ret_error->text set. *ret_settings only on success. */
int settings_load(const char *path, bool must_exist, Settings **ret_settings, SettingsError *ret_error) MUST_USE;
Settings *settings_free(Settings *s);
const char *tier_name(Tier t);
/* The reference of all keys in Markdown, from tables/config.def. */
void settings_reference(Buf *out);
/* The settings in force as YAML. */
void settings_print(const Settings *s, Buf *out);
