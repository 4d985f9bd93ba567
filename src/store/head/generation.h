/* A generation: the samples that the head took between two flushes. While it is current, samples are added; then it is
 * frozen, written to parts, and dropped whole. A view holds the generations that it saw.
 *
 * Sealed chunks (at most TAIL_MAX samples) lie in an arena, those of one series linked from the newest back:
 *
 *      HeadSeries.chunk (of the current one)  or  heads[ref] (of a frozen one)
 *            │
 *            v          prev          prev
 *          chunk ───────────> chunk ───────> chunk ──> 0
 *
 * Samples that came out of order, and histograms, are kept aside, in a list of their own for each series that has
 * any. */
#pragma once

#include "store/head/index.h"

#include <stdatomic.h>

/* Samples of one series that are not in its chain. */
typedef struct Aside {
        uint32_t ref;
        uint32_t n, cap;
        int64_t *times; /* ascending, none twice */
        double *values;
        uint32_t n_histograms, histograms_cap;
        int64_t *histogram_times;    /* ascending, none twice */
        uint32_t *histogram_offsets; /* of each in bytes; n_histograms + 1 of them */
        Buf bytes;
} Aside;

typedef struct Generation {
        atomic_uint references;
        uint32_t number;
        bool frozen;
        uint8_t **pages;
        uint32_t n_pages, pages_cap;
        uint32_t at; /* next free byte over all pages, in units of 4 bytes; 0 is no chunk */
        uint32_t *heads; /* when frozen: newest chunk of each series */
        uint32_t *asides_of; /* when frozen: 1 + index in asides, of each series */
        uint32_t n_series; /* when frozen */
        Aside *asides;
        uint32_t n_asides, asides_cap;
        size_t aside_bytes;
        uint64_t samples;
        int64_t min_ms, max_ms; /* INT64_MAX, INT64_MIN: empty */
} Generation;

int generation_new(uint32_t number, Generation **ret_generation) MUST_USE;
Generation *generation_ref(Generation *g);
Generation *generation_unref(Generation *g);
size_t generation_memory(const Generation *g);

/* Seals n (1..TAIL_MAX) samples behind `prev`; *ret_chunk is where they are. -ENOMEM. */
int generation_seal(Generation *g, uint32_t prev, int64_t base_ms, const TailSample *tail, uint8_t n,
                    uint32_t *ret_chunk) MUST_USE;
/* The series' list aside, made when *aside is 0. NULL when memory ran out. */
Aside *generation_aside(Generation *g, uint32_t ref, uint32_t *aside);
typedef enum AsideAnswer { ASIDE_TAKEN, ASIDE_SAME, ASIDE_OTHER, ASIDE_NO_MEMORY } AsideAnswer;
AsideAnswer aside_float(Generation *g, Aside *a, int64_t time, double value);
AsideAnswer aside_histogram(Generation *g, Aside *a, int64_t time, const uint8_t *bytes, size_t n);

/* Appends the samples of the chain that ends in `chunk`, in order: times to ret_times (int64_t), values to ret_values
 * (double). Only chunks that touch begin < t <= end; the caller cuts. */
int generation_chain(const Generation *g, uint32_t chunk, int64_t begin_ms, int64_t end_ms, Buf *ret_times,
                     Buf *ret_values) MUST_USE;
/* Range of a chain; false when it is empty. */
bool generation_range(const Generation *g, uint32_t chunk, int64_t *ret_min, int64_t *ret_max);
/* The value at an instant in a chain; false when it has none. */
bool generation_find(const Generation *g, uint32_t chunk, int64_t time, double *ret_value);
/* The first instant of a chain after `after`; INT64_MAX: none. */
int64_t generation_next(const Generation *g, uint32_t chunk, int64_t after);
