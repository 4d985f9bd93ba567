/* Scraping: every target of the configuration is asked for its metrics at its interval, and what it answers is written
 * to a SeriesSink as the source "scrape". Semantics are Prometheus's: relabelling, honor_*, limits, staleness markers,
 * `up` and scrape_*.
 *
 * Targets are spread over their interval by a hash of what they are, so that the same target is asked at the same
 * moments after a restart. A scrape takes the time at which it was due for that of its samples when it began within 2
 * ms of it, as Prometheus does. Everything happens on the loop's thread. */
#pragma once

#include "model/series_sink.h"
#include "rt/loop.h"
#include "scrape/config.h"

typedef struct Scrape Scrape;

typedef struct ScrapeOps {
        /* Something is wrong with a job's discovery or targets: a sentence. May be NULL. */
        void (*complain)(void *context, const char *job, const char *text);
} ScrapeOps;

/* `host` names this machine, for URLs that others may use. */
int scrape_new(Loop *loop, SeriesSink *sink, const char *host, const ScrapeOps *ops, void *context,
               Scrape **ret_scrape) MUST_USE;
/* Another configuration, which it takes over on success. Targets that are in both keep what is known of them; the
 * series of those that are not end. On -ENOMEM the one before stays in force. */
int scrape_replace(Scrape *s, ScrapeConfig *config) MUST_USE;
/* Series go on: whoever starts next is to find them so. */
Scrape *scrape_free(Scrape *s);
const ScrapeConfig *scrape_config(const Scrape *s);

typedef struct ScrapeStats {
        uint64_t scrapes, failed, skipped;    /* skipped: the one before was still under way */
        uint64_t samples, stale, refused;     /* refused: samples, by the sink */
        uint64_t discoveries, discovery_failures;
        uint64_t bytes;                       /* of bodies, unpacked */
        size_t jobs, targets, up, dropped, failing; /* failing: targets that cannot be targets */
        size_t series, memory;                /* that are remembered, and bytes for it */
} ScrapeStats;
void scrape_stats(const Scrape *s, ScrapeStats *ret_stats);

/* ---- for /api/v1/targets and its like ---- */

/* Labels of a target as pairs of texts. */
typedef struct ScrapeLabels {
        const char *at, *end;
} ScrapeLabels;
/* The next pair, both terminated; false at the end. */
bool scrape_labels_next(ScrapeLabels *l, const char **ret_name, const char **ret_value);

typedef struct ScrapeTarget {
        const char *pool, *url, *global_url;
        ScrapeLabels discovered;
        const uint8_t *labels; /* a run */
        size_t labels_len;
        const char *health; /* "up", "down", "unknown" */
        const char *error;  /* "" for none */
        WallTime last;      /* ns 0: never */
        Duration taken, interval, timeout;
} ScrapeTarget;

typedef struct ScrapeMetadata {
        const uint8_t *labels; /* of the target */
        size_t labels_len;
        Span metric, help, unit;
        const char *type;
} ScrapeMetadata;

size_t scrape_n_pools(const Scrape *s);
const char *scrape_pool_name(const Scrape *s, size_t i);
/* Dropped targets of a pool in all, also those that are not kept. */
size_t scrape_pool_dropped(const Scrape *s, size_t i);
/* In the order of pools and targets; `pool` NULL: of all. False from `fn` ends it. */
void scrape_each_target(const Scrape *s, const char *pool, bool (*fn)(void *context, const ScrapeTarget *t),
                        void *context);
void scrape_each_dropped(const Scrape *s, const char *pool,
                         bool (*fn)(void *context, const char *pool, ScrapeLabels discovered),
                         void *context);
void scrape_each_metadata(const Scrape *s, bool (*fn)(void *context, const ScrapeMetadata *m), void *context);
