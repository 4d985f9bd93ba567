#include "query/match.h"

LabelSet matching_labels(const Matching *m, Arena *a, LabelSet l) {
        size_t n = m->expr->n_labels;
        return m->expr->on ? labelset_keep(a, l, m->names, n) : labelset_without(a, l, m->names, n, true);
}

static int put_group(Matching *m, LabelSet l, uint32_t *ret_group) {
        size_t number;
        bool added;
        LabelSet key = matching_labels(m, &m->arena, l);
        int r = key.run ? labelmap_put(&m->map, key, &number, &added) : m->arena.error;
        if (r < 0)
                return r;
        if (!added)
                (void)!arena_grow(&m->arena, (void *)key.run, key.len, 0);
        *ret_group = (uint32_t)number;
        return 0;
}

/* Rows of one step at all of them. */
static int side_rows(Matching *m, const Node *kid, const Steps *steps, MatchSide *s) {
        s->n = kid->value.n_rows;
        s->rows = kid->value.rows;
        if (kid->steps.n == steps->n)
                return 0;
        Row *rows = ARENA_ARRAY(&m->arena, Row, s->n);
        for (size_t i = 0; rows && i < s->n; i++) {
                rows[i] = s->rows[i];
                rows[i].v = values_new(&m->arena, steps);
                rows[i].h = s->rows[i].h ? ARENA_ARRAY(&m->arena, FHist *, steps->n) : NULL;
                for (size_t k = 0; !m->arena.error && k < steps->n; k++) {
                        rows[i].v[k] = s->rows[i].v[0];
                        if (rows[i].h)
                                rows[i].h[k] = s->rows[i].h[0];
                }
        }
        s->rows = rows;
        return m->arena.error;
}

static int side_groups(Matching *m, Exec *x, MatchSide *s) {
        s->group = ARENA_ARRAY(&m->arena, uint32_t, s->n);
        int r = m->arena.error;
        for (size_t i = 0; r == 0 && i < s->n; i++) {
                r = put_group(m, s->rows[i].labels, &s->group[i]);
                if (r == 0 && i % 1024 == 1023)
                        r = exec_check(x);
        }
        return r;
}

static int side_chains(Matching *m, MatchSide *s) {
        s->first = ARENA_ARRAY(&m->arena, uint32_t, m->map.n);
        s->next = ARENA_ARRAY(&m->arena, uint32_t, s->n);
        if (!s->first || !s->next)
                return m->arena.error;
        memset(s->first, 0xff, m->map.n * sizeof *s->first);
        for (size_t i = s->n; i-- > 0;) {
                s->next[i] = s->first[s->group[i]];
                s->first[s->group[i]] = (uint32_t)i;
        }
        return 0;
}

int matching_init(Matching *m, Exec *x, Node *n) {
        *m = (Matching){ .arena = ARENA(&x->budget), .expr = &n->expr->binary };
        m->map = LABEL_MAP(&m->arena);
        m->names = names_sorted(&m->arena, m->expr->labels, m->expr->n_labels);
        int r = m->arena.error;
        if (r == 0)
                r = side_rows(m, n->kids[0], &n->steps, &m->left);
        if (r == 0)
                r = side_rows(m, n->kids[1], &n->steps, &m->right);
        if (r == 0)
                r = side_groups(m, x, &m->left);
        if (r == 0)
                r = side_groups(m, x, &m->right);
        if (r == 0)
                r = side_chains(m, &m->left);
        return r == 0 ? side_chains(m, &m->right) : r;
}

void matching_deinit(Matching *m) {
        arena_deinit(&m->arena);
}
