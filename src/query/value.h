/* What expressions evaluate to. A query has steps; an instant query has one. A series of a result is a row of as many values as
 * there are steps, absent ones are ABSENT (the bits of the staleness marker, which no value of PromQL ever is: arithmetic
 * quiets it). So a row is evaluated in one pass, whatever the function. */
#pragma once

#include "base/arena.h"
#include "model/labels.h"
#include "model/stale.h"
#include "query/ast.h"
#include "query/fhist.h"

#include <math.h>

typedef struct Steps {
        int64_t start_ms, step_ms;
        size_t n;
} Steps;

static inline int64_t step_time(const Steps *s, size_t k) {
        return s->start_ms + (int64_t)k * s->step_ms;
}

#define ABSENT stale_marker()
static inline bool is_absent(double v) {
        return is_stale(v);
}

/* A canonical run of labels (model/labels.h; the metric's name may be missing). */
typedef struct LabelSet {
        const uint8_t *run;
        uint32_t len;
} LabelSet;

/* One series: at step k a float v[k], or, where h is there and h[k] is not NULL, a histogram (v[k] is ABSENT then), or nothing. */
typedef struct Row {
        LabelSet labels;
        double *v;
        FHist **h;      /* NULL: no histograms at all */
        bool drop_name; /* with delayed name removal: the name goes at the end */
} Row;

static inline FHist *row_hist(const Row *r, size_t k) {
        return r->h ? r->h[k] : NULL;
}
static inline bool row_has(const Row *r, size_t k) {
        return !is_absent(r->v[k]) || row_hist(r, k);
}

typedef struct Value {
        ExprType type;        /* TYPE_MATRIX only as the result of a whole query: see query.h */
        Row *rows;            /* TYPE_VECTOR */
        size_t n_rows;
        double *scalar;       /* TYPE_SCALAR: one a step */
        Span string;          /* TYPE_STRING */
} Value;

/* ---- Sets of labels; all results are in the arena, a run of NULL is the arena's error ---- */

/* The value of a label; empty when it is not there. */
Span labelset_get(LabelSet l, Span name);
LabelSet labelset_drop_name(Arena *a, LabelSet l);
/* Only those named (keep), or all but those named; names are sorted. `drop_metric`: __name__ goes too unless it is kept. */
LabelSet labelset_keep(Arena *a, LabelSet l, const Span *names, size_t n);
LabelSet labelset_without(Arena *a, LabelSet l, const Span *names, size_t n, bool drop_metric);
/* With a label set to a value (empty: without it). */
LabelSet labelset_set(Arena *a, LabelSet l, Span name, Span value);
bool labelset_equal(LabelSet a, LabelSet b);
uint64_t labelset_hash(LabelSet l);

/* ---- Annotations: what the answer's `warnings` and `infos` say ---- */

typedef enum NoteKind { NOTE_WARNING, NOTE_INFO } NoteKind;
typedef struct Notes Notes; /* a set of texts, bounded; each kept once */
/* The text as Prometheus words it, without the place: "PromQL warning: ..." or "PromQL info: ..."; the place is added as (line:column). */
void notes_add(Notes *n, NoteKind kind, Place place, const char *fmt, ...) PRINTF_LIKE(4, 5);
