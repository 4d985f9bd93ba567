/* A job at work: its sources and its targets. Private to src/scrape. */
#pragma once

#include "scrape/discovery.h"
#include "scrape/reading.h"
#include "scrape/scrape.h"

typedef struct ScrapePool {
        Scrape *scrape;
        const ScrapeJob *job;
        Source **sources;
        size_t n_sources;
        Target **targets; /* in the order in which discovery names them */
        size_t n_targets;
        Buf *dropped;     /* packed labels */
        size_t n_dropped, all_dropped, failing;
        bool over_limit;  /* more targets than target_limit: none is scraped */
        size_t found;     /* how many there were */
        char *complaint;
} ScrapePool;

struct Scrape {
        Loop *loop;
        SeriesSink *sink;
        char *host;
        ScrapeOps ops;
        void *context;
        HttpFetcher *fetcher;
        Discovery *discovery;
        Intern *intern;
        Reading *reading;
        ScrapeConfig *config;
        ScrapePool **pools;
        size_t n_pools;
        uint64_t seed; /* of the offsets: this host's */
        uint64_t scrapes, failed, skipped;
};

/* pool.c */
int scrape_pool_new(Scrape *s, const ScrapeJob *job, ScrapePool **ret_pool) MUST_USE;
/* Its targets end with their series when `stale`. */
ScrapePool *scrape_pool_free(ScrapePool *p, bool stale);
/* What the sources say now. */
void pool_sync(ScrapePool *p);
/* The targets of an older pool of the same name, as far as they are the same; the rest ends. */
void pool_take_over(ScrapePool *p, ScrapePool *old);

/* run.c */
int target_start(Target *t) MUST_USE;
/* Nothing of it will be called any more; with `stale` its series end. */
void target_stop(Target *t, bool stale);
