/* Matchers to ordinals. Each matcher becomes a set of ordinals (a bit for each series: 2 KB for 14,000), sets are
 * intersected, the cheap ones first, and nothing more is read when nothing is left.
 *
 * A label that a series does not have is "" to a matcher. So a matcher that "" does not satisfy holds for the union of
 * the lists of the values that satisfy it; and one that "" does satisfy holds for all series but the union of the lists
 * of the values that do not. Either way the values of one list are looked at, `wanted` says which. */
#include "store/part/part_priv.h"

#include <assert.h>

#define LITERALS_MAX 1000

typedef struct Condition {
        const Matcher *m;
        const PartName *name; /* NULL: no series has the label */
        bool empty_matches;   /* ... and the union is of what does not match */
        bool known;           /* the values of the union are listed (or are one), else they are walked */
        Buf values;           /* each terminated by NUL, when known */
        Span prefix;          /* of what is walked: others are not in the union */
        uint32_t cost;        /* values to look at */
} Condition;

static void conditions_deinit(Buf *b) {
        Condition *c = (Condition *)b->data;
        for (size_t i = 0; i < b->len / sizeof *c; i++)
                buf_deinit(&c[i].values);
        buf_deinit(b);
}

static bool is_negative(const Matcher *m) {
        return m->type == MATCH_NOT_EQUAL || m->type == MATCH_NOT_REGEX;
}

/* Whether the union is of the values that the matcher names, be it to take them or to leave them out. */
static bool names_its_union(const Condition *c) {
        return is_negative(c->m) == c->empty_matches;
}

static void plan_regex(Condition *c) {
        if (!names_its_union(c))
                return;
        c->known = regex_literals(c->m->regex, LITERALS_MAX, &c->values) >= 0;
        if (!c->known)
                c->prefix.len = regex_prefix(c->m->regex, &c->prefix.text);
}

static void plan_equal(Condition *c) {
        c->known = names_its_union(c);
        if (c->known) {
                buf_put(&c->values, c->m->value.text, c->m->value.len);
                buf_put_char(&c->values, '\0');
        }
}

static int plan(const Part *p, const Matcher *m, Condition *ret_condition) {
        Condition c = { .m = m, .name = part_find_name(p, m->name), .prefix = { "", 0 } };
        c.empty_matches = matcher_matches(m, (Span){ "", 0 });
        if (m->regex)
                plan_regex(&c);
        else
                plan_equal(&c);
        if (buf_error(&c.values)) {
                int r = buf_error(&c.values);
                buf_deinit(&c.values);
                return r;
        }
        c.cost = !c.name || c.known ? 1 : c.name->n_pairs + 1;
        *ret_condition = c;
        return 0;
}

static int order_conditions(const void *a, const void *b) {
        const Condition *x = a, *y = b;
        /* Those that are satisfied by an absent label are hardly ever selective. */
        if (x->cost != y->cost)
                return x->cost < y->cost ? -1 : 1;
        return (int)x->empty_matches - (int)y->empty_matches;
}

/* ---- the union of one condition ---- */

static int add_list(const PairWalk *w, OrdinalSet *set) {
        Span list;
        int r = pair_walk_list(w, &list);
        return r < 0 ? r : postings_add((const uint8_t *)list.text, list.len, set);
}

static int add_value(const Part *p, const PartName *name, Span value, OrdinalSet *set) {
        PairWalk w;
        int r = pair_walk_begin(&w, p, name, value);
        if (r == 0)
                r = pair_walk_next(&w);
        if (r <= 0 || pair_text_order(&w.text, value) != 0)
                return r < 0 ? r : 0;
        return add_list(&w, set);
}

static int add_known(const Part *p, const Condition *c, OrdinalSet *set) {
        const char *at = c->values.data, *end = at + c->values.len;
        int r = 0;
        while (r == 0 && at < end) {
                Span value = { at, strlen(at) };
                if (value.len > 0) /* no series has it */
                        r = add_value(p, c->name, value, set);
                at += value.len + 1;
        }
        return r;
}

static bool has_prefix(Span value, Span prefix) {
        return value.len >= prefix.len && memcmp(value.text, prefix.text, prefix.len) == 0;
}

static int add_walked(const Part *p, const Condition *c, OrdinalSet *set) {
        PairWalk w;
        char room[LABEL_VALUE_MAX];
        int r = pair_walk_begin(&w, p, c->name, c->prefix);
        while (r == 0 && (r = pair_walk_next(&w)) > 0) {
                Span value = pair_text_value(&w.text, room);
                if (!has_prefix(value, c->prefix))
                        return 0; /* values ascend */
                r = matcher_matches(c->m, value) != c->empty_matches ? add_list(&w, set) : 0;
        }
        return r;
}

static int condition_set(const Part *p, const Condition *c, OrdinalSet *ret_set) {
        int r = 0;
        if (c->name)
                r = c->known ? add_known(p, c, ret_set) : add_walked(p, c, ret_set);
        if (r == 0 && c->empty_matches)
                ordinal_set_complement(ret_set);
        return r;
}

/* ---- one by one ---- */

/* What is known of the values of a label: two bits a pair. */
typedef struct Verdicts {
        uint64_t *asked, *holds;
} Verdicts;

static void verdicts_deinit(Verdicts *v) {
        free(v->asked);
        free(v->holds);
}

static int verdict(const Part *p, const Condition *c, Verdicts *v, uint32_t pair, bool *ret_holds) {
        uint32_t k = pair - c->name->first_pair;
        uint64_t bit = UINT64_C(1) << k % 64;
        if (!(v->asked[k / 64] & bit)) {
                PairText text;
                char room[LABEL_VALUE_MAX];
                int r = part_pair_text(p, c->name, pair, &text);
                if (r < 0)
                        return r;
                v->asked[k / 64] |= bit;
                if (matcher_matches(c->m, pair_text_value(&text, room)))
                        v->holds[k / 64] |= bit;
        }
        *ret_holds = v->holds[k / 64] & bit;
        return 0;
}

/* The series' pair of the condition's name. */
static bool find_pair(const SeriesWalk *w, const PartName *name, uint32_t *ret_pair) {
        for (unsigned i = 0; i < w->n_ids; i++)
                if (w->ids[i] >= name->first_pair && w->ids[i] - name->first_pair < name->n_pairs) {
                        *ret_pair = w->ids[i];
                        return true;
                }
        return false;
}

/* Keeps those series of the set that the condition holds for, by looking at each series: cheaper than looking at each
 * value when few are left of many. */
static int filter(const Part *p, const Condition *c, OrdinalSet *set) {
        size_t words = ((size_t)c->name->n_pairs + 63) / 64;
        CLEANUP(verdicts_deinit) Verdicts v = { calloc(words, sizeof(uint64_t)), calloc(words, sizeof(uint64_t)) };
        if (!v.asked || !v.holds)
                return -ENOMEM;
        SeriesWalk w;
        w.p = p;
        w.page = UINT32_MAX;
        for (size_t i = 0; i < ((size_t)set->n + 63) / 64; i++)
                for (uint64_t bits = set->words[i]; bits; bits &= bits - 1) {
                        uint32_t pair;
                        bool holds = c->empty_matches;
                        int r = series_walk_to(&w, (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(bits), NULL);
                        if (r == 0 && find_pair(&w, c->name, &pair))
                                r = verdict(p, c, &v, pair, &holds);
                        if (r < 0)
                                return r;
                        if (!holds)
                                set->words[i] &= ~(bits & -bits);
                }
        return 0;
}

#define FILTER_GAIN 8 /* looking at a series costs about as much as looking at so many values */

static int apply(const Part *p, const Condition *c, OrdinalSet *set, uint32_t *left) {
        if (c->name && !c->known && c->prefix.len == 0 && (uint64_t)*left * FILTER_GAIN < c->cost) {
                int r = filter(p, c, set);
                *left = ordinal_set_count(set);
                return r;
        }
        CLEANUP(ordinal_set_deinit) OrdinalSet own = ORDINAL_SET_NULL;
        int r = ordinal_set_init(&own, set->n);
        if (r == 0)
                r = condition_set(p, c, &own);
        if (r == 0) {
                ordinal_set_intersect(set, &own);
                *left = ordinal_set_count(set);
        }
        return r;
}

int part_select(const Part *p, const Matcher *matchers, size_t n_matchers, Buf *ret_ordinals) {
        CLEANUP(conditions_deinit) Buf conditions = BUF_NULL;
        CLEANUP(ordinal_set_deinit) OrdinalSet set = ORDINAL_SET_NULL;
        for (size_t i = 0; i < n_matchers; i++) {
                Condition c;
                int r = buf_reserve(&conditions, sizeof c) ? plan(p, &matchers[i], &c) : buf_error(&conditions);
                if (r < 0)
                        return r;
                buf_put(&conditions, &c, sizeof c);
        }
        if (n_matchers > 0)
                qsort(conditions.data, n_matchers, sizeof(Condition), order_conditions);
        int r = ordinal_set_init(&set, p->meta.series);
        if (r < 0)
                return r;
        ordinal_set_fill(&set);
        uint32_t left = p->meta.series;
        for (size_t i = 0; i < n_matchers && left > 0; i++) {
                r = apply(p, (const Condition *)conditions.data + i, &set, &left);
                if (r < 0)
                        return r;
        }
        ordinal_set_list(&set, ret_ordinals);
        return buf_error(ret_ordinals);
}

/* ---- names and values ---- */

static int set_of(const Part *p, const uint32_t *ordinals, size_t n, OrdinalSet *ret_set) {
        int r = ordinal_set_init(ret_set, p->meta.series);
        for (size_t i = 0; r == 0 && i < n; i++) {
                assert(ordinals[i] < p->meta.series);
                ordinal_set_add(ret_set, ordinals[i]);
        }
        return r;
}

/* Whether a series of the set has the pair that the walk stands on. */
static int meets(const PairWalk *w, const OrdinalSet *set) {
        Span list;
        int r = pair_walk_list(w, &list);
        return r < 0 ? r : postings_meet((const uint8_t *)list.text, list.len, set);
}

static int name_is_used(const Part *p, const PartName *name, const OrdinalSet *set) {
        PairWalk w;
        int r = pair_walk_begin(&w, p, name, (Span){ "", 0 });
        while (r == 0 && (r = pair_walk_next(&w)) > 0) {
                r = meets(&w, set);
                if (r != 0)
                        return r;
        }
        return r;
}

int part_label_names(const Part *p, const uint32_t *ordinals, size_t n, Buf *ret_names) {
        CLEANUP(ordinal_set_deinit) OrdinalSet set = ORDINAL_SET_NULL;
        int r = ordinals ? set_of(p, ordinals, n, &set) : 0;
        for (uint32_t i = 0; r == 0 && i < p->n_names; i++) {
                const PartName *name = &p->names[i];
                int used = ordinals ? name_is_used(p, name, &set) : 1;
                if (used < 0)
                        return used;
                if (!used)
                        continue;
                buf_put(ret_names, name->text.text, name->text.len);
                buf_put_char(ret_names, '\0');
                r = buf_error(ret_names);
        }
        return r;
}

int part_label_values(const Part *p, Span name, const uint32_t *ordinals, size_t n, Buf *ret_values) {
        CLEANUP(ordinal_set_deinit) OrdinalSet set = ORDINAL_SET_NULL;
        const PartName *found = part_find_name(p, name);
        if (!found)
                return 0;
        PairWalk w;
        int r = ordinals ? set_of(p, ordinals, n, &set) : 0;
        if (r == 0)
                r = pair_walk_begin(&w, p, found, (Span){ "", 0 });
        while (r == 0 && (r = pair_walk_next(&w)) > 0) {
                int used = ordinals ? meets(&w, &set) : 1;
                if (used < 0)
                        return used;
                if (used) {
                        buf_put(ret_values, w.text.shared.text, w.text.shared.len);
                        buf_put(ret_values, w.text.rest.text, w.text.rest.len);
                        buf_put_char(ret_values, '\0');
                }
                r = buf_error(ret_values);
        }
        return r;
}
