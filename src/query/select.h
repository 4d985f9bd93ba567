/* Selections and the tiers that they are read from: between select.c, tier.c and row.c. */
#pragma once

#include "query/exec.h"

#define SELECTION_PARTS STORE_TIER_COUNT
#define SELECTION_NOT_THERE UINT32_MAX

/* A stretch of time that is read from one tier. */
typedef struct SelectionPart {
        StoreTier tier;
        int64_t begin_ms, end_ms;
        StoreList *list;
} SelectionPart;

/* A series where there are several parts: its place in the list of each. */
typedef struct SelectionEntry {
        LabelSet labels;
        uint32_t index[SELECTION_PARTS];
} SelectionEntry;

struct Selection {
        const SelectorExpr *selector;
        int64_t begin_ms, end_ms;
        SelectionPart parts[SELECTION_PARTS]; /* ascending in time */
        size_t n_parts;
        bool too_old; /* some of its time is only in rolled-up data, of which what is asked for cannot be told */
        bool opened;
        SelectionEntry *entries; /* with several parts */
        size_t n;
};

/* Which part of the selection's time is to be read from which tier. */
void tier_plan(Exec *x, const Node *n, Selection *s);
bool tier_plan_equal(const Selection *a, const Selection *b);
/* Notes what was read when it was not raw data alone. */
void tier_say(Exec *x, const Selection *s);

/* Samples of one part, counted. */
int selection_part_floats(Exec *x, Node *n, const Selection *s, size_t part, size_t i, RollupColumn column,
                          StoreSamples *ret) MUST_USE;
int selection_part_hists(Exec *x, Node *n, const Selection *s, size_t part, size_t i, StoreHistograms *ret) MUST_USE;

/* The raw samples of series i without staleness markers; the worker's. */
int range_samples(Exec *x, Worker *w, Node *n, size_t i, RangeSamples *ret) MUST_USE;
/* The row of an instant selector: at each step the last sample that is no older than the lookback. */
int select_row(Exec *x, Worker *w, const Node *n, const RangeSamples *floats, const StoreHistograms *hists,
               Row *row) MUST_USE;
/* A function over samples of which none is a staleness marker: the steps [first, end) of a row. */
typedef struct FunctionCall {
        FunctionId function;
        RangeMode mode;
        size_t first, end;
} FunctionCall;
int function_steps(Exec *x, Worker *w, const Node *n, const FunctionCall *c, const RangeSamples *s, LabelSet labels,
                   Row *row) MUST_USE;
/* A row from rolled-up data, or from both. */
int tier_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) MUST_USE;
