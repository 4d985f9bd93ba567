/* A batch: what one look at one source gave for one entity, a table with one timestamp.
 *
 * Row labels are one block of bytes: for each row, for each key of the group, a length (u16, host
 * order) and that many bytes. The block is compared as a whole to see that the rows are those of the
 * last look, so a collector writes rows in a stable order. Values are row-major, absent ones are
 * VALUE_ABSENT. A Batch borrows everything; a BatchBuilder owns. */
#pragma once

#include "base/buf.h"
#include "base/scan.h"
#include "base/time.h"
#include "model/entity.h"

#define BATCH_MAX_ROWS 65536u
#define BATCH_LABEL_MAX 4096u

typedef struct Batch {
        EntityKey key;
        GroupId group;
        WallTime wall; /* when the values were read */
        MonoTime mono; /* the same instant */
        uint32_t n_rows;
        const uint8_t *labels; /* NULL when the group has no keys */
        size_t labels_len;
        const double *values; /* n_rows * group_columns(group) */
} Batch;

typedef struct BatchBuilder {
        EntityKey key;
        GroupId group;
        WallTime wall;
        MonoTime mono;
        uint32_t n_rows;
        Buf labels;
        Buf values;
        bool failed;
} BatchBuilder;

/* Begins an empty batch in `b`, reusing its memory (zero-initialise once, deinit at the end). */
void batch_begin(BatchBuilder *b, EntityKey key, GroupId group, WallTime wall, MonoTime mono);
void batch_deinit(BatchBuilder *b);

/* Adds a row, all its values absent; `labels` has one span for each key of the group (NULL for none).
 * Labels longer than BATCH_LABEL_MAX are cut there. */
void batch_row(BatchBuilder *b, const Span *labels);
/* Shorthand for groups with one key. */
void batch_row1(BatchBuilder *b, const char *label, size_t len);
/* Sets a metric of the batch's group in the row added last. Asserts that m belongs to the group. */
void batch_set(BatchBuilder *b, MetricId m, double value);
/* Borrowed view, valid until the builder is touched; false when memory ran out while building. */
bool batch_view(const BatchBuilder *b, Batch *ret_view) MUST_USE;

/* Checks the label block of a batch from outside against its group; 0 or -EBADMSG. */
int batch_check(const Batch *b) MUST_USE;

/* Walks over the labels of a batch, row by row. */
typedef struct LabelCursor {
        const uint8_t *at, *end;
} LabelCursor;

static inline LabelCursor batch_labels(const Batch *b) {
        return (LabelCursor){ b->labels, b->labels ? b->labels + b->labels_len : NULL };
}
/* The next label; false at the end or when the block is malformed. */
bool label_next(LabelCursor *c, Span *ret_label);
