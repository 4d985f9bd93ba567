/* Who may make how many series: limits of each source (a sender, the host's own collectors) and of each VM. Guarded by
 * the owner's lock. Private to src/store. */
#pragma once

#include "model/series_sink.h"
#include "store/head/index.h"

#define SOURCES_MAX 255u
#define SOURCE_NAME_MAX 64u
/* Whose series are that were read from the log. */
#define SOURCE_LOG "(log)"

typedef struct Source {
        char name[SOURCE_NAME_MAX];
        uint32_t active;
        uint32_t made, hour; /* series made in that hour */
} Source;

typedef struct Quotas {
        Source *sources;
        uint32_t n;
} Quotas;

typedef struct QuotaLimits {
        uint32_t active_source, active_vm; /* series */
        uint32_t made_source, made_vm;     /* new series in one hour */
} QuotaLimits;

void quotas_deinit(Quotas *q);
/* The number of a source, made at its first use; all beyond SOURCES_MAX share the last. -ENOMEM. */
int quota_source(Quotas *q, const char *name, uint8_t *ret_source) MUST_USE;
/* Whether one more series may be made; `vm` is the pair of its VM's label, NULL when it has none. SAMPLE_OK counts
 * it. */
SampleFault quota_take(Quotas *q, const QuotaLimits *l, uint8_t source, Pair *vm, int64_t now_ms);
/* Takes back what quota_take() counted for a series that could not be made. */
void quota_return(Quotas *q, uint8_t source, Pair *vm);
/* Counts the first series of a VM, which had no pair before; NULL: none now either. */
void quota_first(Pair *vm, int64_t now_ms);
/* A series that was read from the log belongs to the source that first sends it again. */
void quota_adopt(Quotas *q, HeadSeries *x, uint8_t source);
/* After the head forgot series: counts again what is there. */
void quota_recount(Quotas *q, const HeadIndex *ix);
