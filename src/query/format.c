/* Expressions for people: a node that fits into 100 columns stays on its line, another one is broken and its children
 * are indented.
 *
 * The length of every node is measured once, from the leaves up, into a list in the order of the walk; so the whole is
 * linear in the text. */
#include "query/ast_priv.h"

#include <assert.h>

#define COLUMNS 100

typedef struct Lengths {
        uint32_t *list;
        size_t n, room, at; /* at: of the walk that prints */
} Lengths;

typedef struct Formatter {
        Buf *out, scratch;
        Lengths lengths;
} Formatter;

static size_t reserve_length(Formatter *f) {
        Lengths *l = &f->lengths;
        if (l->n == l->room) {
                size_t room = l->room ? l->room * 2 : 64;
                uint32_t *list = reallocarray(l->list, room, sizeof *list);
                if (!list) {
                        f->out->error = -ENOMEM;
                        return 0;
                }
                l->list = list;
                l->room = room;
        }
        return l->n++;
}

static uint32_t text_length(Formatter *f, const Expr *e) {
        buf_reset(&f->scratch);
        expr_print(e, &f->scratch);
        if (f->scratch.error)
                f->out->error = f->scratch.error;
        return (uint32_t)f->scratch.len;
}

static uint32_t tail_length(Formatter *f, const Expr *e) {
        buf_reset(&f->scratch);
        if (e->kind == EXPR_BINARY)
                print_matching(&e->binary, &f->scratch);
        else if (e->kind == EXPR_AGGREGATE)
                print_aggregate_head(&e->aggregate, &f->scratch);
        else
                print_subquery_tail(&e->subquery, &f->scratch);
        return (uint32_t)f->scratch.len;
}

static uint32_t measure(Formatter *f, const Expr *e);

static uint32_t measure_call(Formatter *f, const CallExpr *c) {
        uint32_t n = (uint32_t)strlen(function_info(c->function)->name) + 2;
        for (size_t i = 0; i < c->n_args; i++)
                n += measure(f, c->args[i]) + (i > 0 ? 2 : 0);
        return n;
}

static uint32_t measure_children(Formatter *f, const Expr *e) {
        uint32_t n;
        switch (e->kind) {
        case EXPR_SUBQUERY: return tail_length(f, e) + measure(f, e->subquery.inner);
        case EXPR_CALL: return measure_call(f, &e->call);
        case EXPR_UNARY: return 1 + measure(f, e->unary.inner);
        case EXPR_PAREN: return 2 + measure(f, e->paren);
        case EXPR_AGGREGATE:
                n = tail_length(f, e) + 2;
                if (e->aggregate.param)
                        n += measure(f, e->aggregate.param) + 2;
                return n + measure(f, e->aggregate.inner);
        case EXPR_BINARY:
                n = tail_length(f, e) + (uint32_t)strlen(binary_name(e->binary.op)) + 2;
                n += measure(f, e->binary.left);
                return n + measure(f, e->binary.right);
        default: return text_length(f, e);
        }
}

static uint32_t measure(Formatter *f, const Expr *e) {
        if (f->out->error)
                return 0;
        size_t at = reserve_length(f);
        uint32_t n = measure_children(f, e);
        if (!f->out->error)
                f->lengths.list[at] = n;
        return n;
}

static void indent(Formatter *f, unsigned level) {
        for (unsigned i = 0; i < level; i++)
                buf_put_str(f->out, "  ");
}

/* Passes over what was measured of a node that is printed on one line. */
static void skip(Formatter *f, const Expr *e) {
        f->lengths.at++;
        switch (e->kind) {
        case EXPR_SUBQUERY: skip(f, e->subquery.inner); break;
        case EXPR_UNARY: skip(f, e->unary.inner); break;
        case EXPR_PAREN: skip(f, e->paren); break;
        case EXPR_CALL:
                for (size_t i = 0; i < e->call.n_args; i++)
                        skip(f, e->call.args[i]);
                break;
        case EXPR_AGGREGATE:
                if (e->aggregate.param)
                        skip(f, e->aggregate.param);
                skip(f, e->aggregate.inner);
                break;
        case EXPR_BINARY:
                skip(f, e->binary.left);
                skip(f, e->binary.right);
                break;
        default: break;
        }
}

/* Without indentation before the first line: it is there already. */
static void format(Formatter *f, const Expr *e, unsigned level);

static void format_child(Formatter *f, const Expr *e, unsigned level) {
        indent(f, level);
        format(f, e, level);
}

static void close_paren(Formatter *f, unsigned level) {
        buf_put_char(f->out, '\n');
        indent(f, level);
        buf_put_char(f->out, ')');
}

static void format_aggregate(Formatter *f, const AggregateExpr *a, unsigned level) {
        print_aggregate_head(a, f->out);
        buf_put_str(f->out, "(\n");
        if (a->param) {
                format_child(f, a->param, level + 1);
                buf_put_str(f->out, ",\n");
        }
        format_child(f, a->inner, level + 1);
        close_paren(f, level);
}

static void format_call(Formatter *f, const CallExpr *c, unsigned level) {
        buf_printf(f->out, "%s(\n", function_info(c->function)->name);
        for (size_t i = 0; i < c->n_args; i++) {
                if (i > 0)
                        buf_put_str(f->out, ",\n");
                format_child(f, c->args[i], level + 1);
        }
        close_paren(f, level);
}

/* The operands are indented, so the first line gets what is missing. */
static void format_binary(Formatter *f, const BinaryExpr *b, unsigned level) {
        buf_put_str(f->out, "  ");
        if (is_infinite_base(b)) {
                skip(f, b->left);
                buf_put_str(f->out, "Inf");
        } else {
                format(f, b->left, level + 1);
        }
        buf_put_char(f->out, '\n');
        indent(f, level);
        buf_put_str(f->out, binary_name(b->op));
        print_matching(b, f->out);
        buf_put_char(f->out, '\n');
        format_child(f, b->right, level + 1);
}

static void format_broken(Formatter *f, const Expr *e, unsigned level) {
        f->lengths.at++;
        switch (e->kind) {
        case EXPR_AGGREGATE: format_aggregate(f, &e->aggregate, level); break;
        case EXPR_CALL: format_call(f, &e->call, level); break;
        case EXPR_BINARY: format_binary(f, &e->binary, level); break;
        case EXPR_UNARY:
                buf_put_char(f->out, e->unary.minus ? '-' : '+');
                format(f, e->unary.inner, level);
                break;
        case EXPR_SUBQUERY:
                format(f, e->subquery.inner, level);
                print_subquery_tail(&e->subquery, f->out);
                break;
        case EXPR_PAREN:
                buf_put_str(f->out, "(\n");
                format_child(f, e->paren, level + 1);
                close_paren(f, level);
                break;
        default: expr_print(e, f->out);
        }
}

static void format(Formatter *f, const Expr *e, unsigned level) {
        if (f->out->error)
                return;
        assert(f->lengths.at < f->lengths.n);
        if (f->lengths.list[f->lengths.at] > COLUMNS) {
                format_broken(f, e, level);
                return;
        }
        skip(f, e);
        expr_print(e, f->out);
}

void expr_format(const Expr *e, Buf *out) {
        Formatter f = { .out = out };
        (void)measure(&f, e);
        format(&f, e, 0);
        free(f.lengths.list);
        buf_deinit(&f.scratch);
}
