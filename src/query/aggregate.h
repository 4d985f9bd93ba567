/* What the files of aggregations share: which group a row belongs to. */
#pragma once

#include "query/exec.h"

typedef struct Grouping {
        Arena *arena; /* of the groups' labels */
        bool without;
        const Span *names; /* ascending */
        size_t n_names;
        LabelMap map;
} Grouping;

int grouping_init(Grouping *g, Arena *a, const AggregateExpr *e) MUST_USE;
/* The labels of the group that `l` belongs to. */
LabelSet grouping_labels(const Grouping *g, Arena *a, LabelSet l);
/* The number of that group; *ret_added when it is new. */
int grouping_find(Grouping *g, LabelSet l, size_t *ret_group, bool *ret_added) MUST_USE;
