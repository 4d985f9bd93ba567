/* The label pairs of a part that is being written: each distinct one kept once, numbered as it came. */
#pragma once

#include "base/scan.h"

#include "base/buf.h"

#include <stdint.h>

typedef struct Pair {
        uint64_t hash;
        uint64_t at;      /* of its bytes in `text`: name, value */
        uint16_t name_len, value_len;
        uint32_t uses;    /* series that have it */
} Pair;

typedef struct PairTable {
        Buf text;
        Pair *pairs;
        uint32_t n, cap;
        uint32_t *slots; /* number + 1; 0: free */
        uint32_t n_slots;
} PairTable;

void pair_table_deinit(PairTable *t);
/* Number of the pair, new or not; counts a use. 0 or -ENOMEM, -EFBIG. */
int pair_table_intern(PairTable *t, Span name, Span value, uint32_t *ret_number) MUST_USE;
static inline Span pair_name(const PairTable *t, uint32_t number) {
        return (Span){ t->text.data + t->pairs[number].at, t->pairs[number].name_len };
}
static inline Span pair_value(const PairTable *t, uint32_t number) {
        return (Span){ t->text.data + t->pairs[number].at + t->pairs[number].name_len, t->pairs[number].value_len };
}
/* The pairs by name, then value: ret_order[i] is the number of the i-th. Has room for t->n. -ENOMEM. */
int pair_table_sort(const PairTable *t, uint32_t *ret_order) MUST_USE;
size_t pair_table_bytes(const PairTable *t);
