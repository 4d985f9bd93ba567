/* What a target sent last: which series, what became of them, and so which of them have ended. Keyed by the labels as
 * they stand in the target's answer, so that relabelling is done once a series and not once a sample.
 *
 * A series costs 24 bytes, 4 for each label and 16 for its place in the table: the labels themselves are kept once for
 * all targets (scrape/intern.h), coded as a run has them, so that the run is their concatenation. */
#pragma once

#include "model/label_set.h"
#include "scrape/intern.h"

enum {
        SERIES_DROPPED = 1, /* relabelling dropped it */
        SERIES_LIVE = 2,    /* has a value that no staleness marker followed */
};

typedef struct CachedSeries {
        uint64_t key[2];
        uint32_t round; /* in which it was seen last */
        uint8_t flags, n;
        InternId labels[]; /* n, ascending by name */
} CachedSeries;

typedef struct SeriesCache {
        Intern *intern;
        CachedSeries **slots;
        size_t n, cap;
        size_t good; /* series of the last answer that was good */
        uint32_t round;
        size_t bytes;
} SeriesCache;

void series_cache_init(SeriesCache *c, Intern *intern);
void series_cache_deinit(SeriesCache *c);
void series_cache_key(const Label *labels, size_t n, Buf *scratch, uint64_t ret_key[2]);
/* NULL when it is not there. */
CachedSeries *series_cache_find(const SeriesCache *c, const uint64_t key[2]);
/* `run` is canonical, or empty for one that is dropped. The key must not be there. 0 or -ENOMEM. */
int series_cache_add(SeriesCache *c, const uint64_t key[2], const uint8_t *run, size_t len,
                     CachedSeries **ret_series) MUST_USE;
/* Appends the canonical run. */
void series_cache_run(const SeriesCache *c, const CachedSeries *s, Buf *out);
/* Forgets what was not seen in the present round. */
void series_cache_sweep(SeriesCache *c);
