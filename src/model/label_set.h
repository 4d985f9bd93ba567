/* A set of labels while it is being changed: what service discovery found, what relabelling makes of it, what a scrape
 * adds. Begins with labels that it borrows; what is set later is copied. One that is set to "" is not there any more.
 * Unlike a run (model/labels.h) it may be over the limits of a series and without a metric name; label_set_build() says
 * so.
 *
 * The first copy that would exceed the limits below, or for which there is no memory, marks the set failed; the caller
 * looks at `error` once. Not thread-safe. */
#pragma once

#include "model/labels.h"

#define LABEL_SET_MAX 512u           /* labels */
#define LABEL_SET_BYTES_MAX (256u << 10) /* that are copied in all */

typedef struct LabelSetItem {
        Label label;
        bool changed; /* set since the set began; those come behind the others */
} LabelSetItem;

typedef struct LabelDraft {
        LabelSetItem *items;
        size_t n, cap;
        struct LabelSetText *texts; /* the copies */
        size_t bytes;
        int error; /* 0, -ENOMEM or -E2BIG */
} LabelDraft;

#define LABEL_SET_NULL ((LabelDraft){ 0 })

void label_set_deinit(LabelDraft *s);
/* Forgets labels and error and keeps memory for the next ones. */
void label_set_reset(LabelDraft *s);
/* Appends a label that it borrows, unless the value is empty. Names must differ, and be given in ascending order if
 * rules of the kind `labelmap` shall see them so. */
void label_set_add(LabelDraft *s, Span name, Span value);
/* label_set_add() for each label of a run. */
void label_set_add_run(LabelDraft *s, const uint8_t *run, size_t len);
/* "" when there is none of that name. */
Span label_set_get(const LabelDraft *s, Span name);
void label_set_set(LabelDraft *s, Span name, Span value);
void label_set_remove(LabelDraft *s, Span name);
/* Makes what was set until now labels like those that the set began with: ascending, not changed. */
void label_set_settle(LabelDraft *s);
/* The canonical run, appended to out; LABELS_TOO_MANY and so on. A metric's name is not asked for. */
LabelsFault label_set_build(const LabelDraft *s, Buf *out) MUST_USE;

static inline Span span_of(const char *text) {
        return (Span){ text, strlen(text) };
}
