/* and, or, unless: of each match group it is known at which steps the other side has anything; rows are masked by that.
 */
#include "query/match.h"

/* Steps at which any row of a side's group has something, made when a group is first asked for. */
typedef struct Presence {
        Matching *m;
        const MatchSide *side;
        const Steps *steps;
        bool **of; /* group */
} Presence;

static int presence_of(Presence *p, uint32_t group, const bool **ret) {
        if (!p->of[group]) {
                bool *b = ARENA_ARRAY(&p->m->arena, bool, p->steps->n);
                if (!b)
                        return p->m->arena.error;
                for (uint32_t i = p->side->first[group]; i != MATCH_END; i = p->side->next[i])
                        for (size_t k = 0; k < p->steps->n; k++)
                                b[k] |= row_has(&p->side->rows[i], k);
                p->of[group] = b;
        }
        *ret = p->of[group];
        return 0;
}

/* Adds the row at the steps where the other side's presence is as wanted. */
static int add_masked(Node *n, Presence *other, const Row *from, uint32_t group, bool wanted, RowList *out) {
        const bool *there = NULL;
        int r = presence_of(other, group, &there);
        bool any = false;
        for (size_t k = 0; r == 0 && !any && k < n->steps.n; k++)
                any = there[k] == wanted && row_has(from, k);
        if (r < 0 || !any)
                return r;
        Row row;
        r = row_copy(&n->arena, &n->steps, from, &row);
        for (size_t k = 0; r == 0 && k < n->steps.n; k++)
                if (there[k] != wanted) {
                        row.v[k] = ABSENT;
                        if (row.h)
                                row.h[k] = NULL;
                }
        return r < 0 ? r : rowlist_add(out, row);
}

static int copy_all(Exec *x, Node *n, const MatchSide *s, RowList *out) {
        int r = 0;
        for (size_t i = 0; r == 0 && i < s->n; i++) {
                Row row;
                r = row_copy(&n->arena, &n->steps, &s->rows[i], &row);
                if (r == 0)
                        r = rowlist_add(out, row);
                if (r == 0)
                        r = exec_check(x);
        }
        return r;
}

static int mask_all(Exec *x, Node *n, Matching *m, const MatchSide *s, const MatchSide *other, bool wanted,
                    RowList *out) {
        Presence p = { .m = m, .side = other, .steps = &n->steps, .of = ARENA_ARRAY(&m->arena, bool *, m->map.n) };
        int r = m->arena.error;
        for (size_t i = 0; r == 0 && i < s->n; i++) {
                r = add_masked(n, &p, &s->rows[i], s->group[i], wanted, out);
                if (r == 0)
                        r = exec_check(x);
        }
        return r;
}

int set_value(Exec *x, Node *n) {
        BinaryOp op = n->expr->binary.op;
        RowList out = { .arena = &n->arena };
        CLEANUP(matching_deinit) Matching m;
        int r = matching_init(&m, x, n);
        if (r < 0)
                return r;
        if (op == BINARY_OR) {
                r = copy_all(x, n, &m.left, &out);
                if (r == 0)
                        r = mask_all(x, n, &m, &m.right, &m.left, false, &out);
        } else {
                r = mask_all(x, n, &m, &m.left, &m.right, op == BINARY_AND, &out);
        }
        n->value = (Value){ .type = TYPE_VECTOR, .rows = out.rows, .n_rows = out.n };
        return r < 0 ? r : rows_merge(x, &n->arena, &n->steps, &n->value, false);
}
