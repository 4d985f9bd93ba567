/* Label blocks: escaped `key="value"` pairs of many objects in one buffer, made once a render so that a
 * sample is copying only. Private to src/export. */
#pragma once

#include "base/buf.h"
#include "base/scan.h"
#include "model/latest.h"

typedef struct LabelRef {
        uint32_t at, len; /* len LABEL_DROPPED: this one has no series */
} LabelRef;

#define LABEL_DROPPED UINT32_MAX

typedef struct LabelBlock {
        Buf text;
        Buf refs; /* of LabelRef */
} LabelBlock;

void label_block_deinit(LabelBlock *b);
void label_block_reset(LabelBlock *b);
/* Begins an object: returns where its text starts; write labels to b->text, then label_block_end(). */
static inline size_t label_block_begin(const LabelBlock *b) {
        return b->text.len;
}
void label_block_end(LabelBlock *b, size_t start);
void label_block_drop(LabelBlock *b);
static inline size_t label_block_count(const LabelBlock *b) {
        return b->refs.len / sizeof(LabelRef);
}
/* The i-th object's labels; false when it was dropped or does not exist. */
bool label_block_get(const LabelBlock *b, size_t i, Span *ret_labels);
/* Drops every object from `first` on whose text an earlier one of them has. */
void label_block_dedupe(LabelBlock *b, size_t first);
/* 0, -ENOMEM, -EFBIG. */
int label_block_error(const LabelBlock *b);

/* One escaped name for each entity, no two alike (see export.h). `name_of` gives the raw one. */
typedef Span (*EntityNameFn)(const LatestEntity *e);
void label_unique_names(LabelBlock *b, LatestEntity *const *entities, size_t n, EntityNameFn name_of);
