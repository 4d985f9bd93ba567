/* What the files of the engine share: the plan (a tree of nodes) and the state of one query that runs.
 *
 * A plan's node knows its steps. Nodes of one kind, the *rowwise* ones (selectors, functions over ranges, functions of
 * each value alone, operators with a scalar), make each row of their result from one row of what is below them; a chain
 * of them is run a series at a time, from the compressed samples to the end, by rows_stream(), and never exists as a
 * whole. All other nodes are evaluated to a Value first. Whoever takes a row may read it until it returns.
 *
 * Memory: the plan is in Exec.arena; a Value with everything in it is in its node's arena, which is emptied when the
 * last parent has used it (a parent copies what it keeps); a Worker's arena holds what belongs to the rows in flight.
 * All share one budget.
 *
 * Errors: a negative errno. What the user should read was put to Exec.error by exec_fail() before; -E2BIG alone is the
 * memory's limit. */
#pragma once

#include "query/function.h"
#include "query/labelmap.h"
#include "query/notes.h"
#include "query/query.h"

typedef enum NodeKind {
        NODE_SCALAR,       /* numbers, time(), arithmetic of scalars: a number for each step */
        NODE_STRING,
        NODE_SELECT,       /* rowwise: an instant vector selector, also under timestamp() */
        NODE_RANGE,        /* rowwise: a function over a range selector or, with a kid, over a subquery */
        NODE_ELEMENT,      /* rowwise: a function of each value alone */
        NODE_NEGATE,       /* rowwise */
        NODE_BY_SCALAR,    /* rowwise: a vector with a scalar */
        NODE_MATRIX,       /* a range selector or subquery that is the whole query */
        NODE_ABSENT_RANGE, /* absent_over_time() of its kid, which is a present_over_time() */
        NODE_DATE,         /* hour() and its like without an argument */
        NODE_AGGREGATE,
        NODE_MATCH,        /* two vectors: arithmetic and comparisons */
        NODE_SET,          /* two vectors: and, or, unless */
        NODE_WHOLE,
        NODE_INFO,
} NodeKind;

typedef struct NodeFigures {
        atomic_uint_fast64_t rows, samples, ns;
} NodeFigures;

typedef struct Selection Selection;
typedef struct Node Node;

struct Node {
        NodeKind kind;
        const Expr *expr;
        Node **kids;
        size_t n_kids;
        Steps steps;         /* one when it is invariant: the result is the same at every step of its parent */
        bool invariant;
        bool one_name;       /* taking the metric's name from its rows makes no two of them equal */
        bool drops_name;     /* itself takes the name away */
        Node *same;          /* an equal one before it, whose value serves for this one as well */
        unsigned users;      /* parents that still want the value of this one */

        /* Selectors and windows over them: at step k the instant (or the end of the window) is first_ms + k * step_ms.
         */
        Selection *selection;
        int64_t first_ms, step_ms, range_ms;
        Steps inner;         /* of a subquery */
        RangeMode mode;
        FunctionId function; /* of NODE_RANGE, NODE_ELEMENT, NODE_WHOLE */
        bool takes_time;     /* timestamp() */

        /* When it runs. */
        bool opened, has_value, kids_done;
        bool shared, kept;   /* for explaining: an equal one uses its value; its rows were collected */
        const double *args[8]; /* scalar arguments, a value for each step */
        size_t n_args;
        Arena arena;
        Value value;
        NodeFigures figures;
};

/* What one thread needs to make rows. */
typedef struct Worker {
        Arena arena, note_arena;
        Notes notes;
        StoreSamples samples, column; /* raw ones; and those of a rolled-up tier */
        StoreHistograms histograms;
        Buf error;
} Worker;

#define WORKERS 8u

typedef struct Exec {
        Store *store;
        StoreView *view;
        const QueryRequest *request;
        Ast *ast;
        int64_t lookback_ms, subquery_step_ms;
        bool delayed_names;
        Steps steps;
        Node *root;
        Node **nodes; /* all, parents behind their kids */
        size_t n_nodes, cap_nodes;
        Selection **selections;
        size_t n_selections, cap_selections;
        StoreStats store_stats;
        bool has_store_stats;

        ArenaBudget budget;
        Arena arena;
        Notes notes;
        Worker workers[WORKERS];
        MonoTime started, deadline;
        int64_t parse_ns, select_ns;
        atomic_uint_fast64_t samples, series;
        atomic_uint_fast64_t tier_ms[STORE_TIER_COUNT];

        atomic_bool failed;
        QueryFault fault;
        Buf error;
} Exec;

/* The first error counts. Returns -ECANCELED. Any thread. */
int exec_fail(Exec *x, QueryFault fault, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Whether to go on: not over time, not cancelled, no other thread has failed. Cheap enough for each series. Any thread.
 */
int exec_check(Exec *x) MUST_USE;
/* Counts samples that were decoded; fails at the limit. Any thread. */
int exec_count(Exec *x, Node *n, uint64_t samples) MUST_USE;

/* Instants far outside of all data are brought to +-MS_MOST, so that no sum of two overflows. */
#define MS_MOST (INT64_C(1) << 60)
static inline int64_t ms_clamp(int64_t t) {
        return t > MS_MOST ? MS_MOST : t < -MS_MOST ? -MS_MOST : t;
}

/* ---- plan.c ---- */

int plan_make(Exec *x) MUST_USE;
static inline const Expr *expr_bare(const Expr *e) {
        while (e->kind == EXPR_PAREN)
                e = e->paren;
        return e;
}
bool node_is_rowwise(const Exec *x, const Node *n);

/* ---- select.c ---- */

/* The selection for a selector whose samples are wanted in begin < t <= end; equal ones are one. */
int selection_of(Exec *x, const Node *n, int64_t begin_ms, int64_t end_ms, Selection **ret_s) MUST_USE;
int selection_open(Exec *x, Selection *s) MUST_USE;
/* Its lists; itself is the arena's. */
Selection *selection_free(Selection *s);
size_t selection_count(const Selection *s);
LabelSet selection_labels(const Selection *s, size_t i);
bool selection_is_raw(const Selection *s);
void selection_print(const Selection *s, Buf *out);

/* ---- row.c: rows of rowwise nodes ---- */

/* Row i of a node that is open, for `steps` (the node's own, or its parent's over which the one value is spread).
 * row->v has room for steps->n values. 1; 0: it has no value at all; or an error. Label sets and histograms are the
 * worker's. */
int node_row(Exec *x, Worker *w, Node *n, const Steps *steps, size_t i, Row *row) MUST_USE;
/* How many rows node_row() may be asked for. */
size_t node_rows(const Node *n);
/* ---- eval.c ---- */

/* Makes a node ready: what is below it is evaluated, series are selected; when it is not rowwise (or is wanted twice),
 * so is its value. Replaces *n by the node that has its value when that is another. */
int node_open(Exec *x, Node **n) MUST_USE;
/* Makes the value, rows collected. The node is open then. */
int node_value(Exec *x, Node **n) MUST_USE;
/* The parent has used it. */
void node_done(Node *n);

typedef int (*RowTake)(void *context, const Row *row);
/* Hands over the rows of an open node in order. */
int rows_stream(Exec *x, Node *n, const Steps *steps, RowTake take, void *context) MUST_USE;
/* A node's value at all of `steps` where it has one of fewer. */
int value_spread(Arena *a, const Node *from, const Steps *steps, Value *v) MUST_USE;
/* A scalar as one number for each of `steps`. */
const double *scalar_spread(Arena *a, const Value *v, const Steps *from, const Steps *steps);

/* Value of a node from those of its kids, which are open. */
int aggregate_value(Exec *x, Node *n) MUST_USE;
int pick_value(Exec *x, Node *n) MUST_USE; /* topk and its like */
int count_values_value(Exec *x, Node *n) MUST_USE;
int match_value(Exec *x, Node *n) MUST_USE;
int set_value(Exec *x, Node *n) MUST_USE;
int info_value(Exec *x, Node *n) MUST_USE;
int matrix_result(Exec *x, Node *n, MatrixRow **ret_rows, size_t *ret_n) MUST_USE;

void explain(const Exec *x, Buf *out);

/* ---- value.c ---- */

/* Room for one number a step, not initialised. */
double *values_new(Arena *a, const Steps *steps) MUST_USE;
/* A row with room for the values of `steps`, all absent. */
int row_new(Arena *a, const Steps *steps, Row *ret_row) MUST_USE;
/* A copy with everything in it. */
int row_copy(Arena *a, const Steps *steps, const Row *from, Row *ret_row) MUST_USE;
int row_set_hist(Arena *a, const Steps *steps, Row *row, size_t k, FHist *h) MUST_USE;
/* Whether any of n values is absent (or a staleness marker, which is the same). */
bool any_absent(const double *v, size_t n);
bool row_any(const Row *row, const Steps *steps);
/* Rows that grow. */
typedef struct RowList {
        Arena *arena;
        Row *rows;
        size_t n, cap;
} RowList;
int rowlist_add(RowList *l, Row row) MUST_USE;
/* Takes out those that have no value at any step. */
void rows_drop_empty(Value *v, const Steps *steps);
/* Rows with equal labels become one. -EEXIST when two of them have a value at the same step or, with `strict`, exist at
 * all. */
int rows_merge(Exec *x, Arena *a, const Steps *steps, Value *v, bool strict) MUST_USE;
int fail_same_labels(Exec *x);

/* Names in ascending order, as functions on label sets want them; a copy, NULL is the arena's error. */
const Span *names_sorted(Arena *a, const Span *names, size_t n);
