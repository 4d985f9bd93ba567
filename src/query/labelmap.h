/* Numbers for sets of labels: the first set gets 0, the next other one 1, and so on. */
#pragma once

#include "query/value.h"

typedef struct LabelMap {
        Arena *arena;     /* of the table; the runs are borrowed */
        LabelSet *keys;   /* by number */
        uint64_t *hashes;
        uint32_t *slots;  /* number + 1; 0: free */
        size_t n, cap, mask;
} LabelMap;

#define LABEL_MAP(a) ((LabelMap){ .arena = (a) })

/* The number of a set, which is added when it is not there (*ret_added). 0, or the arena's error. */
int labelmap_put(LabelMap *m, LabelSet key, size_t *ret_number, bool *ret_added) MUST_USE;
bool labelmap_find(const LabelMap *m, LabelSet key, size_t *ret_number);
