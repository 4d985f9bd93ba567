/* What parallaxd is made of. main.c makes the parts in order and takes them down in reverse; each other
 * file of this folder is one part. Everything runs on the loop's thread. */
#pragma once

#include "api/store_jobs.h"
#include "api/queries.h"
#include "daemon/documents.h"
#include "daemon/options.h"
#include "daemon/sensor_link.h"
#include "daemon/store_host.h"
#include "export/export.h"
#include "export/self_stats.h"
#include "forward/backend.h"
#include "forward/forward.h"
#include "ingest/ack_queue.h"
#include "ingest/local.h"
#include "ingest/remote_write.h"
#include "ingest/text.h"
#include "net/http_server.h"
#include "rt/settings.h"
#include "scrape/scrape.h"

#define DAEMON_USER "parallax"

/* One address that answers HTTP. */
typedef struct Front {
        struct Daemon *daemon;
        char *address;
        char *metrics; /* as ListenerSettings */
        bool loopback; /* or the Unix socket */
        HttpListener *listener;
        size_t expected[EXPORT_PROFILE_COUNT]; /* bytes of the last expositions */
} Front;

typedef struct Daemon {
        DaemonOptions options;
        Settings *settings;
        char *host_name;
        Loop *loop;
        Latest latest;
        Documents documents;
        LocalIngest local; /* between the sensor's frames, the table and the store */
        SensorLink *sensor; /* NULL with --no-collect */
        LoopTimer *forget; /* runs while there is no sensor: then values are too old to keep */
        Vfs *store_directory; /* until the store is open */
        StoreHost *store;   /* NULL: no history */
        ApiQueries *queries;
        unsigned query_features;
        AckQueue *acks;
        RemoteWrite *remote_write;
        TextImport *import;
        StoreJobs *jobs;
        ForwardConfig *forward_config; /* until sending on begins */
        Forward *forward;   /* before the store's sink; NULL: no store */
        HttpFetcher *fetcher; /* its, and of queries to another engine */
        Backend *backend;   /* NULL: the store answers */
        HttpFetchOptions *backend_http; /* its, as the two below */
        char *backend_url;
        Duration backend_timeout;
        char *forward_directory;
        ScrapeConfig *scrape_config; /* until scraping begins */
        Scrape *scrape;     /* NULL: no store, so nothing is scraped */
        Front **fronts;
        size_t n_fronts;
        Front *socket; /* RUNTIME_DIR/api.sock */
        SelfStats self;
        HttpServerStats closed_fronts; /* counters of listeners that a reload closed */
        LoopSignal *sigterm, *sigint, *sighup;
        LoopTimer *watchdog;
        LoopTimer *lifecycle; /* what /-/reload or /-/quit asked for, done outside of the handler */
        bool lifecycle_quit;
        HttpHeld *lifecycle_held;
        MonoTime started;
        WallTime started_wall;
} Daemon;

/* intake.c: the table, what fills it, and the tiers that go back. */
int intake_open(Daemon *d) MUST_USE;
void intake_close(Daemon *d);
/* Decides every domain's tier anew. */
void intake_apply_policies(Daemon *d);

/* history.c: the store, and who waits for it. */
/* The directory, while we may make it; what is in it is handed over to the user who goes on (gid too; -1: nobody). */
int history_prepare(Daemon *d, uid_t user, gid_t group) MUST_USE;
int history_open(Daemon *d) MUST_USE;
void history_close(Daemon *d);
void history_collect_self(Daemon *d);

/* queries.c: threads that answer queries, once there is a store. */
int queries_open(Daemon *d) MUST_USE;
void queries_close(Daemon *d);
/* After a reload of the settings, and when the external labels are known. */
void queries_configure(Daemon *d);
void queries_collect_self(Daemon *d);
/* The experiments that query.features names; -EINVAL, logged, when one is not known. */
int queries_features(const char *text, unsigned *ret_features) MUST_USE;

/* Where samples are to be written, while there is a store. */
SeriesSink *history_sink(Daemon *d);

/* forwarding.c: receivers of remote_write. */
int forwarding_read(const DaemonOptions *o, ForwardConfig **ret_config) MUST_USE;
/* What stands before the store, before there is one. */
int forwarding_prepare(Daemon *d) MUST_USE;
int forwarding_open(Daemon *d) MUST_USE;
void forwarding_close(Daemon *d);
/* Takes over the configuration in any case. */
int forwarding_replace(Daemon *d, ForwardConfig *next) MUST_USE;

/* backend.c: another engine that answers what is asked of the history. */
/* The client over HTTP that they share, once. */
int fetcher_open(Daemon *d) MUST_USE;
/* As the settings say it; takes from `c` what it needs. An error is logged, and the store answers then. */
int backend_replace(Daemon *d, const Settings *s, ForwardConfig *c) MUST_USE;
void backend_close(Daemon *d);

/* scraping.c: targets of scrape_configs. */
int scraping_read(const DaemonOptions *o, ScrapeConfig **ret_config) MUST_USE;
int scraping_open(Daemon *d) MUST_USE;
void scraping_close(Daemon *d);
/* Takes over the configuration on success. */
int scraping_replace(Daemon *d, ScrapeConfig *next) MUST_USE;
void scraping_collect_self(Daemon *d);

/* serve.c: the listeners. */
int serve_open(Daemon *d) MUST_USE;
void serve_close(Daemon *d);
/* The listeners of `next` instead of those in force; on an error nothing changed. */
int serve_replace(Daemon *d, const Settings *next) MUST_USE;

/* What of the settings concerns listeners that stay. */
void serve_configure(Daemon *d);

/* reload.c: settings from the file and the command line. */
int settings_read(const DaemonOptions *o, Settings **ret_settings) MUST_USE;
void reload(Daemon *d);
void apply_log(const Settings *s);
char *host_name_of(const Settings *s);
