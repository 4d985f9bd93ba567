/* The head's index: which series there are, their labels, and which series have a label.
 *
 * A label (a name with a value) is interned once as a *pair*: its bytes as they stand in a canonical run. A series is a
 * list of pairs, so that its run is their concatenation, and each pair lists the series that have it (its *postings*,
 * ascending):
 *
 *      run ──hash──> table ──> HeadSeries ──> pairs ──> Pair ──> postings ──> HeadSeries ...
 *                                                        │
 *                                       name ──> LabelName: all pairs with that name
 *
 * Series and pairs are only added; what is dead goes when the head builds a new index out of the living. Series are
 * kept in pages that never move, so that the keeper may read labels while the writer adds. One writer; readers hold the
 * store's lock, except for index_run() and index_sort(), which read only what does not change. */
#pragma once

#include "base/buf.h"
#include "model/labels.h"
#include "model/matcher.h"

#include <assert.h>

#define SERIES_NONE UINT32_MAX
#define TAIL_MAX 16u

/* A sample that is not sealed yet: 12 bytes. */
typedef struct __attribute__((packed)) TailSample {
        uint32_t after_ms; /* since tail_ms */
        double value;
} TailSample;

/* One cache line: what an append touches beside the tail itself. */
typedef struct HeadSeries {
        uint64_t hash[2];
        int64_t last_ms;  /* newest instant; INT64_MIN: none yet */
        int64_t tail_ms;  /* instant of the tail's first sample */
        uint32_t chunk;   /* newest sealed chunk of the current generation; 0: none */
        uint32_t aside;   /* 1 + its place in the generation's list of out-of-order samples and histograms; 0: none */
        uint32_t pairs;   /* where its list of pairs begins */
        uint32_t epoch;   /* of the log in which it was last declared */
        uint32_t seen;    /* generation in which it last got a sample */
        uint16_t resolution; /* 1 + index of its StoreResolution; 0: none */
        uint8_t n_pairs;
        uint8_t tail_n;
        uint8_t source;
        uint8_t unused[7];
} HeadSeries;

typedef struct Pair {
        uint32_t text;   /* where its bytes are */
        uint16_t text_len;
        uint16_t doubled;  /* how often its list of postings grew: room for 2 << doubled */
        uint32_t name;   /* which LabelName */
        uint32_t n;      /* postings */
        uint32_t churn;  /* series made in churn_hour: for the limit of new series of a VM */
        uint32_t churn_hour;
        union {
                uint32_t few[2]; /* while doubled is 0 */
                uint32_t *many;
        } at;
} Pair;

typedef struct LabelName {
        uint32_t *pairs;
        uint32_t n, cap;
        size_t value_bytes; /* of all its values */
} LabelName;

typedef struct HeadIndex HeadIndex;

/* How an index begins, so that its hot accessors can be inline. */
#define SERIES_PAGE 1024u
typedef struct HeadPages {
        HeadSeries **series; /* pages of SERIES_PAGE series */
        TailSample **tails;  /* and of as many times TAIL_MAX samples */
        uint32_t n_series;
} HeadPages;

int index_new(uint32_t max_series, HeadIndex **ret_index) MUST_USE;
HeadIndex *index_free(HeadIndex *ix);
static inline uint32_t index_count(const HeadIndex *ix) {
        return ((const HeadPages *)(const void *)ix)->n_series;
}
size_t index_memory(const HeadIndex *ix);

typedef struct RunHash {
        uint64_t half[2];
} RunHash;

/* Keyed with a secret of this index, so that no sender can make two runs meet. */
RunHash index_hash(const HeadIndex *ix, const uint8_t *run, size_t len);
uint32_t index_find(const HeadIndex *ix, RunHash h);
/* The same when `guess` is probably the one: senders repeat their order, so the series after the last one is. */
static inline uint32_t index_find_near(const HeadIndex *ix, RunHash h, uint32_t guess);
/* A new series for a run that was checked. -ENOMEM, -ENOSPC at max_series. */
int index_add(HeadIndex *ix, RunHash h, const uint8_t *run, size_t len, uint32_t *ret_ref) MUST_USE;

static inline HeadSeries *index_series(const HeadIndex *ix, uint32_t ref) {
        assert(ref < index_count(ix));
        return &((const HeadPages *)(const void *)ix)->series[ref / SERIES_PAGE][ref % SERIES_PAGE];
}
static inline TailSample *index_tail(const HeadIndex *ix, uint32_t ref) {
        assert(ref < index_count(ix));
        return &((const HeadPages *)(const void *)ix)->tails[ref / SERIES_PAGE][(size_t)(ref % SERIES_PAGE) * TAIL_MAX];
}
/* Appends the series' run. Any thread. */
void index_run(const HeadIndex *ix, uint32_t ref, Buf *out);
/* The pair of a label; NULL when no series ever had it. */
Pair *index_pair(const HeadIndex *ix, Span name, Span value);
/* The pair of one series with that label name, NULL when it has none. */
Pair *index_pair_of(const HeadIndex *ix, uint32_t ref, Span name);

/* Gives the pairs of an index the counts of new series that they have in the one it takes the place of. */
void index_take_churn(HeadIndex *ix, const HeadIndex *before);

/* Appends the refs (uint32_t, ascending) of the series that all matchers hold for. -ENOMEM. */
int index_select(const HeadIndex *ix, const Matcher *matchers, size_t n, Buf *ret_refs) MUST_USE;
/* How many pairs there are. */
uint32_t index_pairs(const HeadIndex *ix);
/* Refs 0..n in the order of labels_compare(), for an n and n_pairs that were read under the lock. Any thread.
 * -ENOMEM. */
int index_sort(const HeadIndex *ix, uint32_t n, uint32_t n_pairs, uint32_t *ret_refs) MUST_USE;

/* Walks over all label names, and over the pairs of one. */
uint32_t index_names(const HeadIndex *ix);
Span index_name(const HeadIndex *ix, uint32_t name, const LabelName **ret_label);
uint32_t index_find_name(const HeadIndex *ix, Span name); /* SERIES_NONE: no such */
const Pair *index_pair_at(const HeadIndex *ix, uint32_t pair, Span *ret_value);

static inline uint32_t index_find_near(const HeadIndex *ix, RunHash h, uint32_t guess) {
        if (guess < index_count(ix)) {
                const HeadSeries *s = index_series(ix, guess);
                if (s->hash[0] == h.half[0] && s->hash[1] == h.half[1])
                        return guess;
        }
        return index_find(ix, h);
}
