/* Which rows of two vectors match: both sides' rows by the labels they are compared by. */
#pragma once

#include "query/exec.h"

/* The rows of one side, by match group. */
typedef struct MatchSide {
        const Row *rows;
        size_t n;
        uint32_t *group;  /* of row i */
        uint32_t *first;  /* of group g the first row, then the rows that follow it; MATCH_END: no more */
        uint32_t *next;
} MatchSide;

#define MATCH_END UINT32_MAX

typedef struct Matching {
        Arena arena;
        const BinaryExpr *expr;
        const Span *names; /* ascending */
        LabelMap map;      /* groups by the labels that are compared */
        MatchSide left, right;
} Matching;

/* Of the node's kids, which have values; rows of fewer steps than the node's are spread. */
int matching_init(Matching *m, Exec *x, Node *n) MUST_USE;
void matching_deinit(Matching *m);
/* The labels of `l` that are compared. */
LabelSet matching_labels(const Matching *m, Arena *a, LabelSet l);
