/* Evaluation from the root down: a node opens what is below it, takes its rows or values, and lets go of them. */
#include "query/exec.h"

#include <assert.h>

/* ---- Streams ---- */

/* Blocks of rows that several threads make at a time. A thread alone makes row after row in the same place, which stays
 * in its cache. */
typedef struct Wave {
        Exec *x;
        Node *node;
        const Steps *steps;
        size_t first, end, block; /* rows of this wave; of one worker */
        Row *rows;                /* a block for each worker */
        bool *some;
        int errors[WORKERS];
} Wave;

#define WAVE_BYTES ((size_t)1 << 20) /* of values: what is made is to be in a cache when it is taken */
#define BLOCK_MOST ((size_t)512)
#define ROWS_SHARED ((size_t)64) /* fewer are not worth waking a thread */

static void make_block(void *context, size_t worker) {
        Wave *v = context;
        Worker *w = &v->x->workers[worker];
        size_t begin = v->first + worker * v->block, end = begin + v->block;
        if (end > v->end)
                end = v->end;
        v->errors[worker] = 0;
        for (size_t i = begin; i < end && v->errors[worker] == 0; i++) {
                size_t at = worker * v->block + (i - begin);
                int r = exec_check(v->x);
                if (r == 0)
                        r = node_row(v->x, w, v->node, v->steps, i, &v->rows[at]);
                v->some[at] = r > 0;
                v->errors[worker] = r < 0 ? r : 0;
        }
}

/* Forgets what belongs to the rows that were taken. Its first block of memory is kept for the next ones. */
static void worker_empty(Exec *x, Worker *w, const Arena *before) {
        notes_merge(&x->notes, &w->notes);
        arena_deinit(&w->note_arena);
        notes_init(&w->notes, &w->note_arena);
        if (w->arena.blocks == before->blocks && !w->arena.error) {
                w->arena.at = before->at;
                return;
        }
        arena_deinit(&w->arena);
        (void)!arena_alloc(&w->arena, 1);
}

static int take_block(Wave *v, size_t worker, RowTake take, void *context) {
        size_t begin = v->first + worker * v->block;
        for (size_t i = 0; i < v->block && begin + i < v->end; i++) {
                size_t at = worker * v->block + i;
                int r = v->some[at] ? take(context, &v->rows[at]) : 0;
                if (r < 0)
                        return r;
        }
        return v->errors[worker];
}

static int run_wave(Wave *v, RowTake take, void *context) {
        size_t workers = (v->end - v->first + v->block - 1) / v->block;
        Arena before[WORKERS];
        for (size_t i = 0; i < workers; i++)
                before[i] = v->x->workers[i].arena;
        pool_parallel(workers > 1 ? v->x->request->pool : NULL, make_block, v, workers);
        int r = 0;
        for (size_t i = 0; i < workers; i++) {
                if (r == 0)
                        r = take_block(v, i, take, context);
                worker_empty(v->x, &v->x->workers[i], &before[i]);
        }
        return r;
}

static int wave_init(Wave *v, Arena *a, size_t workers) {
        v->rows = ARENA_ARRAY(a, Row, workers * v->block);
        v->some = ARENA_ARRAY(a, bool, workers * v->block);
        for (size_t i = 0; v->rows && i < workers * v->block; i++)
                v->rows[i].v = values_new(a, v->steps);
        return a->error;
}

static int stream_kept(Exec *x, Node *n, RowTake take, void *context) {
        for (size_t i = 0; i < n->value.n_rows; i++) {
                int r = exec_check(x);
                if (r == 0)
                        r = take(context, &n->value.rows[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int rows_stream(Exec *x, Node *n, const Steps *steps, RowTake take, void *context) {
        if (steps->n == 0)
                return 0;
        if (n->has_value && n->steps.n == steps->n)
                return stream_kept(x, n, take, context);
        size_t rows = node_rows(n), workers = x->request->pool && rows >= ROWS_SHARED ? WORKERS : 1;
        size_t room = WAVE_BYTES / WORKERS / sizeof(double) / steps->n, even = rows / WORKERS / 2;
        CLEANUP(arena_deinit) Arena a = ARENA(&x->budget);
        Wave v = { .x = x,
                   .node = n,
                   .steps = steps,
                   .block = workers == 1        ? 1
                            : even < BLOCK_MOST ? even
                                                : BLOCK_MOST };
        if (v.block > room)
                v.block = room ? room : 1;
        int r = wave_init(&v, &a, workers);
        for (; r == 0 && v.first < rows; v.first = v.end) {
                v.end = rows - v.first < workers * v.block ? rows : v.first + workers * v.block;
                r = run_wave(&v, take, context);
        }
        return r;
}

/* ---- Values ---- */

typedef struct Collect {
        Exec *x;
        Node *node;
        RowList list;
} Collect;

static int check_points(Exec *x, const Node *n, size_t rows) {
        uint64_t most = x->request->limits.max_points;
        if (n != x->root || (uint64_t)rows * n->steps.n <= most)
                return 0;
        return exec_fail(
                x, QUERY_EXECUTION,
                "the result has more than %llu points (limit query.max_points): ask for a longer step, or aggregate",
                (unsigned long long)most);
}

static int collect_row(void *context, const Row *row) {
        Collect *c = context;
        Row copy;
        int r = row_copy(&c->node->arena, &c->node->steps, row, &copy);
        if (r == 0)
                r = rowlist_add(&c->list, copy);
        return r < 0 ? r : check_points(c->x, c->node, c->list.n);
}

/* All rows of a rowwise node. */
static int collect(Exec *x, Node *n) {
        Collect c = { .x = x, .node = n, .list = { .arena = &n->arena } };
        int r = rows_stream(x, n, &n->steps, collect_row, &c);
        if (r < 0)
                return r;
        n->value = (Value){ .type = TYPE_VECTOR, .rows = c.list.rows, .n_rows = c.list.n };
        n->has_value = n->kept = true;
        if (!n->drops_name || n->one_name || x->delayed_names)
                return 0;
        return rows_merge(x, &n->arena, &n->steps, &n->value, n->kind == NODE_RANGE);
}

const double *scalar_spread(Arena *a, const Value *v, const Steps *from, const Steps *steps) {
        if (from->n == steps->n)
                return v->scalar;
        double *out = values_new(a, steps);
        for (size_t k = 0; out && k < steps->n; k++)
                out[k] = v->scalar[0];
        return out;
}

/* ---- Scalars ---- */

static double constant(const Exec *x, const Node *n, size_t k) {
        const QueryRequest *q = x->request;
        if (n->expr->kind == EXPR_NUMBER)
                return n->expr->number;
        switch (n->expr->call.function) {
        case FUNCTION_PI: return M_PI;
        case FUNCTION_START: return (double)q->start_ms / 1000;
        case FUNCTION_END: return (double)(q->instant ? q->start_ms : q->end_ms) / 1000;
        case FUNCTION_STEP: return (double)(q->instant ? 0 : q->step_ms) / 1000;
        case FUNCTION_RANGE: return (double)(q->instant ? 0 : q->end_ms - q->start_ms) / 1000;
        default: assert(n->expr->call.function == FUNCTION_TIME); return (double)step_time(&n->steps, k) / 1000;
        }
}

static int scalar_value(Exec *x, Node *n) {
        double *v = values_new(&n->arena, &n->steps);
        if (!v)
                return n->arena.error;
        const double *left = n->n_kids > 0 ? n->args[0] : NULL, *right = n->n_kids > 1 ? n->args[1] : NULL;
        for (size_t k = 0; k < n->steps.n; k++)
                v[k] = right  ? binary_floats(n->expr->binary.op, left[k], right[k])
                       : left ? -left[k]
                              : constant(x, n, k);
        n->value = (Value){ .type = TYPE_SCALAR, .scalar = v };
        return 0;
}

/* ---- Functions ---- */

static int date_value(Exec *x, Node *n) {
        Row row, *rows = ARENA_NEW(&n->arena, Row);
        int r = rows ? row_new(&n->arena, &n->steps, &row) : n->arena.error;
        if (r < 0)
                return r;
        for (size_t k = 0; k < n->steps.n; k++)
                row.v[k] = (double)step_time(&n->steps, k) / 1000;
        const ElementCall c = { .function = n->function,
                                .steps = &n->steps,
                                .place = n->expr->place,
                                .arena = &n->arena,
                                .notes = &x->notes };
        r = element_evaluate(&c, &row, &row);
        *rows = row;
        n->value = (Value){ .type = TYPE_VECTOR, .rows = rows, .n_rows = 1 };
        return r;
}

static int whole(Exec *x, Node *n, const Value *args) {
        CLEANUP(buf_deinit) Buf error = BUF_NULL;
        const WholeCall c = { .call = n->expr,
                              .steps = &n->steps,
                              .delayed_names = x->delayed_names,
                              .arena = &n->arena,
                              .notes = &x->notes,
                              .error = &error };
        int r = whole_evaluate(&c, args, &n->value);
        if (r == -EINVAL)
                return exec_fail(x, QUERY_EXECUTION, "%s", buf_cstr(&error));
        if (r < 0 || n->value.type != TYPE_VECTOR)
                return r;
        rows_drop_empty(&n->value, &n->steps);
        return rows_merge(x, &n->arena, &n->steps, &n->value, false);
}

/* A value of fewer steps at all of them. */
int value_spread(Arena *a, const Node *kid, const Steps *steps, Value *v) {
        *v = kid->value;
        if (kid->steps.n == steps->n || v->type == TYPE_STRING)
                return 0;
        if (v->type == TYPE_SCALAR) {
                v->scalar = (double *)scalar_spread(a, &kid->value, &kid->steps, steps);
                return v->scalar ? 0 : a->error;
        }
        v->rows = ARENA_ARRAY(a, Row, v->n_rows);
        for (size_t i = 0; v->rows && i < v->n_rows; i++) {
                const Row *from = &kid->value.rows[i];
                Row *row = &v->rows[i];
                *row = *from;
                row->v = values_new(a, steps);
                row->h = from->h ? ARENA_ARRAY(a, FHist *, steps->n) : NULL;
                for (size_t k = 0; row->v && k < steps->n; k++) {
                        row->v[k] = from->v[0];
                        if (row->h)
                                row->h[k] = from->h[0];
                }
        }
        return a->error;
}

static int whole_value(Exec *x, Node *n) {
        Value *args = ARENA_ARRAY(&n->arena, Value, n->n_kids);
        if (!args)
                return n->arena.error;
        for (size_t i = 0; i < n->n_kids; i++) {
                int r = value_spread(&n->arena, n->kids[i], &n->steps, &args[i]);
                if (r < 0)
                        return r;
        }
        return whole(x, n, args);
}

/* Whether any series has something at a step is all that absent_over_time() wants to know. */
static int take_present(void *context, const Row *row) {
        const Node *n = context;
        Row *found = &n->value.rows[0];
        for (size_t k = 0; k < n->steps.n; k++)
                if (row_has(row, k))
                        found->v[k] = 1;
        return 0;
}

static int absent_range_value(Exec *x, Node *n) {
        Row found;
        int r = row_new(&n->arena, &n->steps, &found);
        if (r < 0)
                return r;
        n->value = (Value){ .type = TYPE_VECTOR, .rows = &found, .n_rows = 1 };
        r = rows_stream(x, n->kids[0], &n->steps, take_present, n);
        const Value present = n->value;
        return r < 0 ? r : whole(x, n, &present);
}

/* ---- Nodes ---- */

/* Rows that more than one parent wants are kept when they take no more than this part of the query's memory; else they
 * are made again. */
#define KEPT_PART 8

static bool is_kept(const Exec *x, const Node *n) {
        if (!node_is_rowwise(x, n))
                return true;
        return n->users > 1 &&
               (uint64_t)node_rows(n) * (n->steps.n + 16) * sizeof(double) <= x->budget.limit / KEPT_PART;
}

static bool wants_value(const Node *n, size_t kid) {
        switch (n->kind) {
        case NODE_AGGREGATE: return kid > 0;
        case NODE_ABSENT_RANGE:
        case NODE_ELEMENT:
        case NODE_NEGATE:
        case NODE_BY_SCALAR: return n->kids[kid]->expr->type != TYPE_VECTOR;
        default: return true;
        }
}

static int open_kids(Exec *x, Node *n) {
        n->n_args = 0;
        for (size_t i = 0; i < n->n_kids; i++) {
                int r = wants_value(n, i) ? node_value(x, &n->kids[i]) : node_open(x, &n->kids[i]);
                const Node *kid = n->kids[i];
                if (r < 0)
                        return r;
                if (kid->value.type != TYPE_SCALAR || !kid->has_value || n->n_args == ARRAY_LEN(n->args))
                        continue;
                n->args[n->n_args] = scalar_spread(&n->arena, &kid->value, &kid->steps, &n->steps);
                if (!n->args[n->n_args++])
                        return n->arena.error;
        }
        return 0;
}

static void release_kids(Node *n) {
        if (!n->opened || n->kids_done)
                return;
        n->kids_done = true;
        for (size_t i = 0; i < n->n_kids; i++)
                node_done(n->kids[i]);
}

void node_done(Node *n) {
        assert(n->users > 0);
        if (--n->users > 0)
                return;
        release_kids(n);
        arena_deinit(&n->arena);
        n->value = (Value){ 0 };
        n->has_value = false;
}

static int evaluate(Exec *x, Node *n) {
        switch (n->kind) {
        case NODE_SCALAR: return scalar_value(x, n);
        case NODE_STRING: n->value = (Value){ .type = TYPE_STRING, .string = n->expr->string }; return 0;
        case NODE_DATE: return date_value(x, n);
        case NODE_WHOLE: return whole_value(x, n);
        case NODE_ABSENT_RANGE: return absent_range_value(x, n);
        case NODE_AGGREGATE: return aggregate_value(x, n);
        case NODE_MATCH: return match_value(x, n);
        case NODE_SET: return set_value(x, n);
        case NODE_INFO: return info_value(x, n);
        case NODE_MATRIX: return 0;
        default: return collect(x, n);
        }
}

static int make_value(Exec *x, Node *n) {
        MonoTime begun = mono_now();
        int r = n->steps.n || n->kind == NODE_STRING ? evaluate(x, n) : 0;
        if (r == 0 && n->steps.n == 0 && n->kind != NODE_STRING)
                n->value = (Value){ .type = n->expr->type == TYPE_SCALAR ? TYPE_SCALAR : TYPE_VECTOR,
                                    .scalar = ARENA_ARRAY(&n->arena, double, 1) };
        if (r == 0 && n->value.type == TYPE_VECTOR && !n->has_value)
                r = check_points(x, n, n->value.n_rows);
        n->has_value = true;
        atomic_store_explicit(&n->figures.rows, n->value.n_rows, memory_order_relaxed);
        if (!node_is_rowwise(x, n))
                atomic_fetch_add_explicit(&n->figures.ns, (uint64_t)mono_since(mono_now(), begun).ns,
                                          memory_order_relaxed);
        /* Functions of whole vectors give back rows of their arguments; samples are made of them at the end. */
        if (n->kind != NODE_WHOLE && n->kind != NODE_MATRIX)
                release_kids(n);
        return r;
}

/* An equal node before this one has the value already, or is told to make it. */
static int open_same(Exec *x, Node **n) {
        Node *first = (*n)->same;
        int r = first ? node_open(x, &first) : 0;
        if (r < 0 || !first)
                return r;
        if (first->has_value) {
                first->shared = true;
                *n = first;
        } else {
                node_done(first);
        }
        return 0;
}

int node_open(Exec *x, Node **n) {
        if ((*n)->opened)
                return 0;
        int r = open_same(x, n);
        Node *node = *n;
        if (r < 0 || node->opened)
                return r;
        node->opened = true;
        r = exec_check(x);
        if (r == 0)
                r = open_kids(x, node);
        if (r == 0 && node->selection)
                r = selection_open(x, node->selection);
        if (r == 0 && is_kept(x, node))
                r = make_value(x, node);
        return r;
}

int node_value(Exec *x, Node **n) {
        int r = node_open(x, n);
        return r < 0 || (*n)->has_value ? r : make_value(x, *n);
}
