/* One target: what discovery said of it, what relabelling made of that, and how its last scrape went. */
#pragma once

#include "base/time.h"
#include "net/http_fetch.h"
#include "scrape/config.h"
#include "scrape/series_cache.h"

typedef enum TargetHealth { TARGET_UNKNOWN, TARGET_UP, TARGET_DOWN } TargetHealth;

/* A metric as the target describes it; one row of /api/v1/targets/metadata. */
typedef struct TargetMetric {
        InternId metric, help, unit;
        const char *type; /* static */
} TargetMetric;

#define TARGET_METRICS_MAX 10000u

typedef struct Target {
        Buf discovered;  /* name NUL value NUL ..., ascending by name */
        Buf labels;      /* canonical run of those that its samples get */
        char *url, *address;
        uint64_t hash;   /* of labels and URL: which target it is */
        Duration interval, timeout;
        bool found;      /* in the list that is being read */

        TargetHealth health;
        char *error;     /* of the last scrape; NULL: none */
        WallTime last;   /* 0: never */
        Duration taken;
        SeriesCache series;
        TargetMetric *metrics;
        size_t n_metrics;
        bool described;  /* the store knows them */
        bool reported;   /* `up` and its like are there, and end with the target */
        int64_t last_ms; /* of its newest samples */

        struct ScrapePool *pool;
        HttpFetch *fetch;
        struct LoopTimer *timer;
        MonoTime due;
        WallTime due_wall; /* the same by the clock of samples, of some turn */
        MonoTime begun;
        int64_t begun_ms; /* the time that its samples get */
} Target;

/* The labels that a target begins with: those of its group, the job's, then what discovery gives. `set` is filled,
 * ascending. */
void target_discovered(const ScrapeJob *job, const TargetGroup *group, const char *address, LabelDraft *set);
/* Makes a target of them. 1 with *ret_target; 0 when rules drop it; -EINVAL with the reason appended to ret_error;
 * -ENOMEM. */
int target_new(const ScrapeJob *job, LabelDraft *set, Intern *intern, Target **ret_target, Buf *ret_error) MUST_USE;
Target *target_free(Target *t);
void target_pack(const LabelDraft *set, Buf *out);
/* Forgets what the target said of its metrics. */
void target_forget_metrics(Target *t);
/* The value of a label that its samples get; "" when there is none. */
Span target_label(const Target *t, const char *name);
