/* The plan as people read it: a line for each node, what it did behind its name. */
#include "query/exec.h"

#include <inttypes.h>

static const char *kind_name(const Exec *x, const Node *n) {
        switch (n->kind) {
        case NODE_SCALAR: return "scalar";
        case NODE_STRING: return "string";
        case NODE_SELECT: return "select";
        case NODE_RANGE: return n->selection ? "range function" : "range function over subquery";
        case NODE_ELEMENT: return "function";
        case NODE_NEGATE: return "negate";
        case NODE_BY_SCALAR: return "operator with scalar";
        case NODE_MATRIX: return "samples";
        case NODE_ABSENT_RANGE: return "absent";
        case NODE_DATE: return "date";
        case NODE_AGGREGATE: return "aggregate";
        case NODE_MATCH: return "match vectors";
        case NODE_SET: return "set operator";
        case NODE_WHOLE: return "function of the whole vector";
        case NODE_INFO: return "info";
        }
        return "node";
}

#define TEXT_MOST 96u

static void put_expr(const Expr *e, Buf *out) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        expr_print(e, &text);
        bool cut = text.len > TEXT_MOST;
        buf_put(out, text.data, cut ? TEXT_MOST : text.len);
        if (cut)
                buf_put_str(out, "...");
}

static bool is_fused(const Exec *x, const Node *parent, const Node *n) {
        return parent && node_is_rowwise(x, n) && !n->kept &&
               (node_is_rowwise(x, parent) || parent->kind == NODE_AGGREGATE || parent->kind == NODE_ABSENT_RANGE);
}

static void put_node(const Exec *x, const Node *parent, const Node *n, unsigned depth, Buf *out) {
        for (unsigned i = 0; i < depth; i++)
                buf_put_str(out, "  ");
        buf_printf(out, "%s: ", kind_name(x, n));
        put_expr(n->expr, out);
        buf_printf(out, "  [%zu step%s%s", n->steps.n, n->steps.n == 1 ? "" : "s",
                   n->invariant && x->steps.n > 1 ? ", the same at every step" : "");
        uint64_t rows = atomic_load(&n->figures.rows), samples = atomic_load(&n->figures.samples),
                 ns = atomic_load(&n->figures.ns);
        if (n->kind != NODE_SCALAR && n->kind != NODE_STRING)
                buf_printf(out, ", %" PRIu64 " rows", rows);
        if (n->selection)
                buf_printf(out, ", %zu series, %" PRIu64 " samples, %" PRIu64 " bytes", selection_count(n->selection),
                           samples, samples * 16);
        buf_printf(out, ", %.3f ms", (double)ns / 1e6);
        if (is_fused(x, parent, n))
                buf_put_str(out, ", fused: row by row into the node above");
        if (n->shared)
                buf_put_str(out, ", evaluated once for several places");
        buf_put_str(out, "]\n");
}

static void put_tree(const Exec *x, const Node *parent, const Node *n, unsigned depth, Buf *out) {
        put_node(x, parent, n, depth, out);
        for (size_t i = 0; i < n->n_kids; i++)
                put_tree(x, n, n->kids[i], depth + 1, out);
}

void explain(const Exec *x, Buf *out) {
        put_tree(x, NULL, x->root, 0, out);
        buf_printf(out, "in all: %" PRIu64 " series, %" PRIu64 " samples, peak of memory %zu bytes\n",
                   atomic_load(&x->series), atomic_load(&x->samples), atomic_load(&x->budget.peak));
}
