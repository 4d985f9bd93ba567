/* Where a job's targets come from: one Source for its static_configs, one for each of file_sd_configs and
 * http_sd_configs. What a source found last stays in force while it finds nothing: a file that is half written, a
 * server that does not answer.
 *
 * Files are read again when something happens in their folder (inotify), and every refresh_interval. */
#pragma once

#include "net/http_fetch.h"
#include "rt/loop.h"
#include "scrape/config.h"

typedef struct Discovery Discovery; /* the one watch on folders, for all sources */
typedef struct Source Source;

typedef struct DiscoveryStats {
        uint64_t refreshes, failures;
} DiscoveryStats;

/* `changed` is called from the loop when a source has other groups than before; `complain` when it could not be read,
 * once for each new reason. */
typedef struct SourceOps {
        void (*changed)(void *context);
        void (*complain)(void *context, const char *text);
} SourceOps;

/* Without inotify (-EMFILE) files are seen at their refresh_interval only: *ret_discovery is there in any case but
 * -ENOMEM. */
int discovery_new(Loop *loop, HttpFetcher *fetcher, Discovery **ret_discovery) MUST_USE;
/* Sources go first. */
Discovery *discovery_free(Discovery *d);
const DiscoveryStats *discovery_stats(const Discovery *d);

/* Files are read at once; an HTTP source has no groups until its first answer. Configurations are borrowed. */
int source_new_files(Discovery *d, const FileDiscovery *files, const SourceOps *ops, void *context,
                     Source **ret_source) MUST_USE;
int source_new_http(Discovery *d, const HttpDiscovery *http, const SourceOps *ops, void *context,
                    Source **ret_source) MUST_USE;
Source *source_free(Source *s);
size_t source_n_groups(const Source *s);
const TargetGroups *source_groups(const Source *s, size_t i);
/* What another source of the same configuration found, for one that has nothing yet, or could not read it: takes it
 * from there. */
void source_take_over(Source *s, Source *old);
/* Whether both read the same place. */
bool source_alike(const Source *a, const Source *b);
