/* The latest exemplars, as senders hang them on samples: a ring in memory, bounded by number and by bytes, oldest out
 * first. They are hints for people, not data: a restart forgets them.
 *
 * One lock of the owner guards it. Private to src/store; store_exemplars() reads it. */
#pragma once

#include "base/buf.h"
#include "base/cleanup.h"
#include "model/labels.h"
#include "model/matcher.h"

/* Names and values of an exemplar's labels together, in characters: the limit of OpenMetrics. */
#define EXEMPLAR_LABELS_MAX 128u
/* Bytes in proportion to the number: a ring whose series have longer labels keeps fewer. */
#define EXEMPLAR_BYTES 512u

typedef struct ExemplarSlot {
        uint8_t *labels; /* a canonical run, perhaps empty */
        uint32_t labels_len;
        uint32_t series; /* number; EXEMPLAR_NONE: deleted */
        uint32_t next;   /* slot of the series' next one */
        int64_t time_ms;
        double value;
} ExemplarSlot;

typedef struct ExemplarSeries {
        uint8_t *run; /* NULL: free */
        uint32_t run_len;
        uint32_t oldest, newest; /* slots */
        uint32_t next;           /* of the same bucket, or the next free one */
} ExemplarSeries;

#define EXEMPLAR_NONE UINT32_MAX

typedef struct Exemplars {
        uint32_t most;
        ExemplarSlot *slots; /* of `most`, made with the first exemplar */
        uint32_t first, n;   /* in use, from the oldest on */
        ExemplarSeries *series;
        uint32_t n_series, cap_series, free_series;
        uint32_t *buckets; /* of n_buckets, a power of two; series numbers */
        uint32_t n_buckets;
        size_t bytes;      /* of all runs */
} Exemplars;

typedef enum ExemplarAnswer {
        EXEMPLAR_TAKEN,
        EXEMPLAR_SAME,   /* the series' newest is the same */
        EXEMPLAR_OLDER,  /* than the series' newest */
        EXEMPLAR_LONG,   /* its labels are */
        EXEMPLAR_NO_ROOM /* most is 0, or no memory */
} ExemplarAnswer;

void exemplars_init(Exemplars *x, uint32_t most);
void exemplars_deinit(Exemplars *x);
size_t exemplars_memory(const Exemplars *x);
/* One exemplar of the series with that canonical run. */
ExemplarAnswer exemplars_add(Exemplars *x, const uint8_t *run, size_t run_len, const uint8_t *labels, size_t labels_len,
                             double value, int64_t time_ms);
/* Forgets those in begin < t <= end of the series that all matchers hold for. */
void exemplars_delete(Exemplars *x, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms);
