/* What a target answered, on its way to the store: read whole, with everything that may be wrong with it, before
 * anything of it is written, as a scrape is taken as a whole or not at all. One Reading serves all targets, one after
 * the other. */
#pragma once

#include "model/series_sink.h"
#include "scrape/target.h"

typedef struct Reading Reading;

typedef struct ReadingCounts {
        uint64_t scraped, kept, added; /* samples; behind relabelling; series that are new */
} ReadingCounts;

typedef struct ReadingStats {
        uint64_t samples, stale;                 /* written */
        uint64_t refused[SAMPLE_FAULT_COUNT];
} ReadingStats;

/* What is written beside the samples; see reading_report(). */
typedef struct ScrapeReport {
        bool up;
        double duration, timeout;
        ReadingCounts counts;
        uint64_t body_bytes, sample_limit;
        bool extra; /* the three that extra_scrape_metrics asks for, too */
        bool ended; /* the target goes: all of these end */
} ScrapeReport;

int reading_new(Reading **ret_reading) MUST_USE;
Reading *reading_free(Reading *r);
const ReadingStats *reading_stats(const Reading *r);

/* Reads a body into `r`. 0; -EBADMSG (malformed), -EINVAL (labels), -E2BIG (a limit) with the reason appended to
 * ret_error; -ENOMEM. */
int reading_parse(Reading *r, const ScrapeJob *job, Target *t, const char *content_type, const Buf *body,
                  int64_t now_ms,
                  ReadingCounts *ret_counts, Buf *ret_error) MUST_USE;
/* Within a request of the sink's: writes what was read, and ends the series that are no longer there. */
void reading_write(Reading *r, Target *t, SeriesSink *sink);
/* Ends every series that the target has. */
void reading_end_series(Reading *r, Target *t, SeriesSink *sink, int64_t now_ms);
/* up, scrape_duration_seconds and so on. */
void reading_report(Reading *r, Target *t, SeriesSink *sink, int64_t now_ms, const ScrapeReport *report);
