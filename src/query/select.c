/* Series and samples of selectors. A selection is what one selector, or several equal ones, need of the store: matchers
 * and a stretch of time. It is cut into parts, each read from one tier (tier.c says where); mostly it is one part of
 * raw data, whose list of series is used as it is. With several the lists, all in the order of labels, are merged to
 * one of entries. */
#include "query/select.h"

#include <assert.h>

static bool span_equal(Span a, Span b) {
        return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

static bool same_matchers(const SelectorExpr *a, const SelectorExpr *b) {
        if (a->n_matchers != b->n_matchers)
                return false;
        for (size_t i = 0; i < a->n_matchers; i++) {
                const Matcher *m = &a->matchers[i], *n = &b->matchers[i];
                if (m->type != n->type || !span_equal(m->name, n->name) || !span_equal(m->value, n->value))
                        return false;
        }
        return true;
}

static const SelectorExpr *selector_of(const Node *n) {
        const Expr *e = n->expr;
        if (e->kind == EXPR_CALL)
                for (size_t i = 0; i < e->call.n_args; i++)
                        if (expr_bare(e->call.args[i])->kind == EXPR_SELECTOR)
                                return &expr_bare(e->call.args[i])->selector;
        assert(e->kind == EXPR_SELECTOR);
        return &e->selector;
}

static int add(Exec *x, Selection *s) {
        if (x->n_selections == x->cap_selections) {
                size_t cap = x->cap_selections ? 2 * x->cap_selections : 8;
                Selection **all =
                        arena_grow(&x->arena, x->selections, x->cap_selections * sizeof *all, cap * sizeof *all);
                if (!all)
                        return x->arena.error;
                x->selections = all;
                x->cap_selections = cap;
        }
        x->selections[x->n_selections++] = s;
        return 0;
}

int selection_of(Exec *x, const Node *n, int64_t begin_ms, int64_t end_ms, Selection **ret_s) {
        const SelectorExpr *e = selector_of(n);
        Selection wanted = { .selector = e, .begin_ms = begin_ms, .end_ms = end_ms };
        tier_plan(x, n, &wanted);
        for (size_t i = 0; i < x->n_selections; i++) {
                Selection *s = x->selections[i];
                if (s->begin_ms == begin_ms && s->end_ms == end_ms && same_matchers(s->selector, e) &&
                    tier_plan_equal(s, &wanted)) {
                        *ret_s = s;
                        return 0;
                }
        }
        Selection *s = ARENA_NEW(&x->arena, Selection);
        int r = s ? 0 : x->arena.error;
        if (r == 0) {
                *s = wanted;
                r = add(x, s);
        }
        if (r == 0)
                *ret_s = s;
        return r;
}

Selection *selection_free(Selection *s) {
        for (size_t i = 0; i < s->n_parts; i++)
                s->parts[i].list = store_list_free(s->parts[i].list);
        return NULL;
}

/* ---- Opening ---- */

static int fail_select(Exec *x, const Selection *s, int r) {
        const QueryLimits *l = &x->request->limits;
        if (r != -E2BIG)
                return r;
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        selection_print(s, &text);
        return exec_fail(x, QUERY_EXECUTION,
                         "%s matches more than %u series or their list takes more than %zu bytes (limits "
                         "query.max_series, query.max_memory): "
                         "add matchers, or ask for less time",
                         buf_cstr(&text), l->max_series, l->max_memory);
}

static int open_part(Exec *x, const Selection *s, SelectionPart *p) {
        const QueryLimits *l = &x->request->limits;
        size_t taken = atomic_load_explicit(&x->budget.taken, memory_order_relaxed);
        const StoreLimits limits = { l->max_series, taken < l->max_memory ? l->max_memory - taken : 1 };
        int r = store_select(x->view, p->tier, s->selector->matchers, s->selector->n_matchers, p->begin_ms, p->end_ms,
                             &limits, &p->list);
        return r < 0 ? fail_select(x, s, r) : 0;
}

static LabelSet list_labels(const StoreList *l, size_t i) {
        size_t len;
        const uint8_t *run = store_list_run(l, i, &len);
        return (LabelSet){ run, (uint32_t)len };
}

static int order(LabelSet a, LabelSet b) {
        return labels_compare(a.run, a.len, b.run, b.len);
}

/* The next series of all parts: the smallest labels that any has. False at the end. */
static bool next_entry(const Selection *s, size_t at[SELECTION_PARTS], SelectionEntry *ret) {
        *ret = (SelectionEntry){ 0 };
        for (size_t p = 0; p < s->n_parts; p++) {
                if (at[p] == store_list_count(s->parts[p].list))
                        continue;
                LabelSet l = list_labels(s->parts[p].list, at[p]);
                if (!ret->labels.run || order(l, ret->labels) < 0)
                        ret->labels = l;
        }
        if (!ret->labels.run)
                return false;
        for (size_t p = 0; p < s->n_parts; p++) {
                const StoreList *l = s->parts[p].list;
                bool has = at[p] < store_list_count(l) && labelset_equal(list_labels(l, at[p]), ret->labels);
                ret->index[p] = has ? (uint32_t)at[p]++ : SELECTION_NOT_THERE;
        }
        return true;
}

static int merge_parts(Exec *x, Selection *s) {
        size_t most = 0, at[SELECTION_PARTS] = { 0 };
        for (size_t p = 0; p < s->n_parts; p++)
                most += store_list_count(s->parts[p].list);
        s->entries = ARENA_ARRAY(&x->arena, SelectionEntry, most);
        if (!s->entries)
                return x->arena.error;
        while (next_entry(s, at, &s->entries[s->n]))
                s->n++;
        return 0;
}

int selection_open(Exec *x, Selection *s) {
        if (s->opened)
                return 0;
        MonoTime begun = mono_now();
        int r = 0;
        for (size_t p = 0; r == 0 && p < s->n_parts; p++)
                r = open_part(x, s, &s->parts[p]);
        if (r == 0 && s->n_parts > 1)
                r = merge_parts(x, s);
        else if (r == 0)
                s->n = s->n_parts ? store_list_count(s->parts[0].list) : 0;
        if (r < 0)
                return r;
        s->opened = true;
        tier_say(x, s);
        x->select_ns += mono_since(mono_now(), begun).ns;
        atomic_fetch_add_explicit(&x->series, s->n, memory_order_relaxed);
        return exec_check(x);
}

/* ---- Reading ---- */

size_t selection_count(const Selection *s) {
        return s->n;
}

LabelSet selection_labels(const Selection *s, size_t i) {
        return s->entries ? s->entries[i].labels : list_labels(s->parts[0].list, i);
}

bool selection_is_raw(const Selection *s) {
        return s->n_parts == 0 || (s->n_parts == 1 && s->parts[0].tier == STORE_RAW);
}

int selection_part_floats(Exec *x, Node *n, const Selection *s, size_t part, size_t i, RollupColumn column,
                          StoreSamples *ret) {
        const SelectionPart *p = &s->parts[part];
        size_t at = s->entries ? s->entries[i].index[part] : i;
        ret->n = 0;
        if (at == SELECTION_NOT_THERE)
                return 0;
        int r = store_list_floats(p->list, at, column, ret);
        return r < 0 ? r : exec_count(x, n, ret->n);
}

int selection_part_hists(Exec *x, Node *n, const Selection *s, size_t part, size_t i, StoreHistograms *ret) {
        const SelectionPart *p = &s->parts[part];
        size_t at = s->entries ? s->entries[i].index[part] : i;
        ret->n = 0;
        if (at == SELECTION_NOT_THERE || p->tier != STORE_RAW)
                return 0;
        int r = store_list_histograms(p->list, at, ret);
        return r < 0 ? r : exec_count(x, n, ret->n);
}

void selection_print(const Selection *s, Buf *out) {
        const Expr e = { .kind = EXPR_SELECTOR, .type = TYPE_VECTOR, .selector = { .metric = s->selector->metric,
                         .matchers = s->selector->matchers, .n_matchers = s->selector->n_matchers } };
        expr_print(&e, out);
}
