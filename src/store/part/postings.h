/* Lists of series as bytes (layout.h, "Postings") and as sets: bitmaps of the ordinals of a part. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* n ordinals (1 or more), ascending: appends the shortest form. */
void postings_encode(const uint32_t *ordinals, uint32_t n, Buf *out);

/* A set of the ordinals 0..n. */
typedef struct OrdinalSet {
        uint64_t *words;
        uint32_t n;
} OrdinalSet;

#define ORDINAL_SET_NULL ((OrdinalSet){ 0 })

/* Empty. 0 or -ENOMEM. */
int ordinal_set_init(OrdinalSet *s, uint32_t n) MUST_USE;
void ordinal_set_deinit(OrdinalSet *s);
static inline bool ordinal_set_has(const OrdinalSet *s, uint32_t ordinal) {
        return s->words[ordinal / 64] >> (ordinal % 64) & 1;
}
static inline void ordinal_set_add(OrdinalSet *s, uint32_t ordinal) {
        s->words[ordinal / 64] |= UINT64_C(1) << (ordinal % 64);
}
void ordinal_set_fill(OrdinalSet *s);
void ordinal_set_complement(OrdinalSet *s);
void ordinal_set_intersect(OrdinalSet *s, const OrdinalSet *with);
uint32_t ordinal_set_count(const OrdinalSet *s);
/* Appends them as uint32_t, ascending. */
void ordinal_set_list(const OrdinalSet *s, Buf *out);

/* Adds the series of a list to the set. 0, or -EBADMSG for what postings_encode() does not write or an ordinal that
 * is not in the part; then the set has some of them. */
int postings_add(const uint8_t *bytes, size_t len, OrdinalSet *s) MUST_USE;
/* Whether a series of the list is in the set. 1, 0 or -EBADMSG. */
int postings_meet(const uint8_t *bytes, size_t len, const OrdinalSet *s) MUST_USE;
