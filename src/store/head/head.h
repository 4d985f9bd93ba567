/* The head: the newest samples, in memory. An index of series, the current generation of samples, and at times a frozen
 * one that is being written to parts. Everything here is called with the store's lock held unless it says otherwise;
 * the lock is the store's business. */
#pragma once

#include "model/series_sink.h"
#include "store/head/generation.h"
#include "store/store.h"

typedef struct Head {
        HeadIndex *index;
        uint32_t max_series;
        Generation *current;
        Generation *frozen; /* NULL: none */
        uint32_t epoch;     /* of the log: a series that was declared in another one must be declared again */
        bool urgent;        /* a list aside is so long that a flush should come soon */
        bool replaying;     /* the log is being read: what was accepted once has no limits */
} Head;

int head_init(Head *h, uint32_t max_series) MUST_USE;
void head_deinit(Head *h);
size_t head_memory(const Head *h);
/* Of the samples alone: what a flush gives back. */
size_t head_samples_memory(const Head *h);

/* As many of n samples as are newer than the newest of the series and than those before them: the usual case, quick.
 * Returns how many were added; fewer without memory too. */
size_t head_append(Head *h, uint32_t ref, const int64_t *times, const double *values, size_t n);
/* Adds one sample. SAMPLE_OK also for one that is there with the same bits (*ret_same). */
SampleFault head_float(Head *h, uint32_t ref, int64_t time, double value, int64_t window_ms, bool *ret_same) MUST_USE;
SampleFault head_histogram(Head *h, uint32_t ref, int64_t time, const uint8_t *bytes, size_t n, int64_t window_ms,
                           bool *ret_same) MUST_USE;

/* Freezes the current generation and begins a new one; there must be no frozen one. The epoch changes. -ENOMEM: nothing
 * changed for readers. */
int head_freeze(Head *h) MUST_USE;
/* The frozen generation is in parts. */
void head_thaw(Head *h);
/* Forgets series that got no sample since generation `since` and have none here; no generation may be frozen and no
 * reader may be under way. Refs and the epoch change. *ret_dropped is how many. */
int head_collect(Head *h, uint32_t since, uint32_t *ret_dropped) MUST_USE;
/* How many head_collect() would drop. */
uint32_t head_dead(const Head *h, uint32_t since);

/* Appends the samples of a series in one generation, begin < t <= end, ascending, as int64_t and double. For a frozen
 * generation the lock need not be held. */
int head_read(const Head *h, const Generation *g, uint32_t ref, int64_t begin_ms, int64_t end_ms, Buf *ret_times,
              Buf *ret_values) MUST_USE;
/* The list aside, where histograms are; NULL: none. */
const Aside *head_aside(const Head *h, const Generation *g, uint32_t ref);
/* Whether the series has anything in the generation, and between what instants. */
bool head_range(const Head *h, const Generation *g, uint32_t ref, int64_t *ret_min, int64_t *ret_max);
/* The first instant of the series in a frozen generation after `after`; INT64_MAX: none. */
int64_t head_next(const Generation *g, uint32_t ref, int64_t after);
