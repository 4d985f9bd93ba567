/* Pairs by number and by value: names are in memory, pages of values are found by binary search over their first
 * values, groups in a page likewise; what is left is a look at no more than LABEL_GROUP pairs. */
#include "store/part/part_priv.h"

#include "base/varint.h"

#include <assert.h>

#define NAME_GUESSES 3

static int span_order(Span a, Span b) {
        int r = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);
        return r ? r : a.len < b.len ? -1 : a.len > b.len;
}

const PartName *part_find_name(const Part *p, Span name) {
        uint32_t low = 0, high = p->n_names;
        while (low < high) {
                uint32_t mid = low + (high - low) / 2;
                int r = span_order(p->names[mid].text, name);
                if (r == 0)
                        return &p->names[mid];
                if (r < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return NULL;
}

const PartName *part_name_of(const Part *p, uint32_t pair, const PartName *guess) {
        assert(pair < p->n_pairs);
        const PartName *end = p->names + p->n_names;
        for (unsigned i = 0; guess && guess < end && i < NAME_GUESSES; i++, guess++)
                if (pair >= guess->first_pair && pair - guess->first_pair < guess->n_pairs)
                        return guess;
        uint32_t low = 0, high = p->n_names;
        while (high - low > 1) {
                uint32_t mid = low + (high - low) / 2;
                if (p->names[mid].first_pair <= pair)
                        low = mid;
                else
                        high = mid;
        }
        return &p->names[low];
}

/* ---- a page ---- */

/* The head of a page: where its groups are. */
typedef struct LabelPage {
        uint32_t n_groups;
        const uint8_t *groups[LABEL_PAGE / LABEL_GROUP + 1]; /* one more: the end */
        uint64_t lists[LABEL_PAGE / LABEL_GROUP];            /* of each group, in the postings section */
} LabelPage;

/* Page k of a name. */
static int open_page(const Part *p, const PartName *name, uint32_t k, LabelPage *ret_page) {
        Span bytes;
        int r = part_label_page(p, name->first_page + k, &bytes);
        if (r < 0)
                return r;
        const uint8_t *at = (const uint8_t *)bytes.text, *end = at + bytes.len;
        uint32_t left = name->n_pairs - k * LABEL_PAGE, n = left < LABEL_PAGE ? left : LABEL_PAGE;
        ret_page->n_groups = (n + LABEL_GROUP - 1) / LABEL_GROUP;
        uint64_t list;
        if (!varint_get(&at, end, &list) || (size_t)(end - at) < (size_t)ret_page->n_groups * LABEL_GROUP_HEAD)
                return -EBADMSG;
        const uint8_t *group = at + (size_t)ret_page->n_groups * LABEL_GROUP_HEAD;
        for (uint32_t g = 0; g < ret_page->n_groups; g++, at += LABEL_GROUP_HEAD) {
                size_t len = load16(at);
                if (len > (size_t)(end - group))
                        return -EBADMSG;
                ret_page->groups[g] = group;
                ret_page->lists[g] = list;
                group += len;
                list += load32(at + 2); /* a sum that is out of the section is found when a list is read */
        }
        if (group != end)
                return -EBADMSG;
        ret_page->groups[ret_page->n_groups] = end;
        return 0;
}

/* The value that a group begins with. */
static int take_head(const uint8_t **at, const uint8_t *end, Span *ret_head) {
        uint64_t len;
        if (!varint_get(at, end, &len) || len == 0 || len > LABEL_VALUE_MAX || len > (size_t)(end - *at))
                return -EBADMSG;
        *ret_head = (Span){ (const char *)*at, len };
        *at += len;
        return 0;
}

static int group_head(const LabelPage *page, uint32_t g, Span *ret_head) {
        const uint8_t *at = page->groups[g];
        return take_head(&at, page->groups[g + 1], ret_head);
}

/* A pair that is not the first of its group. */
static int take_rest(const uint8_t **at, const uint8_t *end, Span head, PairText *ret_text) {
        uint64_t shared, len;
        if (!varint_get(at, end, &shared) || !varint_get(at, end, &len) || shared > head.len ||
            len > LABEL_VALUE_MAX - shared || shared + len == 0 || len > (size_t)(end - *at))
                return -EBADMSG;
        *ret_text = (PairText){ { head.text, shared }, { (const char *)*at, len } };
        *at += len;
        return 0;
}

/* The bytes of a pair's list, or how many it has apart. */
static int take_list(const uint8_t **at, const uint8_t *end, bool *ret_apart, uint64_t *ret_len, Span *ret_list) {
        uint64_t head;
        if (!varint_get(at, end, &head))
                return -EBADMSG;
        *ret_apart = head & 1;
        *ret_len = head >> 1;
        if (*ret_apart)
                return 0;
        if (*ret_len > (size_t)(end - *at))
                return -EBADMSG;
        *ret_list = (Span){ (const char *)*at, *ret_len };
        *at += *ret_len;
        return 0;
}

int part_pair_text(const Part *p, const PartName *name, uint32_t pair, PairText *ret_text) {
        assert(pair - name->first_pair < name->n_pairs);
        LabelPage page;
        uint32_t in_name = pair - name->first_pair, in_page = in_name % LABEL_PAGE, g = in_page / LABEL_GROUP;
        int r = open_page(p, name, in_name / LABEL_PAGE, &page);
        if (r < 0)
                return r;
        const uint8_t *at = page.groups[g], *end = page.groups[g + 1];
        PairText text = { .rest = { "", 0 } };
        r = take_head(&at, end, &text.shared);
        Span head = text.shared;
        for (uint32_t i = 0; r == 0 && i < in_page % LABEL_GROUP; i++) {
                bool apart;
                uint64_t len;
                Span list;
                r = take_list(&at, end, &apart, &len, &list);
                if (r == 0)
                        r = take_rest(&at, end, head, &text);
        }
        if (r == 0)
                *ret_text = text;
        return r;
}

int pair_text_order(const PairText *t, Span value) {
        size_t n = t->shared.len < value.len ? t->shared.len : value.len;
        int r = memcmp(t->shared.text, value.text, n);
        if (r || value.len < t->shared.len)
                return r ? r : 1;
        return span_order(t->rest, (Span){ value.text + n, value.len - n });
}

Span pair_text_value(const PairText *t, char *room) {
        if (t->rest.len == 0)
                return t->shared;
        if (t->shared.len == 0)
                return t->rest;
        memcpy(room, t->shared.text, t->shared.len);
        memcpy(room + t->shared.len, t->rest.text, t->rest.len);
        return (Span){ room, t->shared.len + t->rest.len };
}

/* ---- walking ---- */

/* The last page whose first value is not above `value`; 0 when none is. */
static int find_page(const Part *p, const PartName *name, Span value, uint32_t *ret_page) {
        uint32_t low = 0, high = (name->n_pairs + LABEL_PAGE - 1) / LABEL_PAGE;
        while (high - low > 1) {
                uint32_t mid = low + (high - low) / 2;
                LabelPage page;
                Span head;
                int r = open_page(p, name, mid, &page);
                if (r == 0)
                        r = group_head(&page, 0, &head);
                if (r < 0)
                        return r;
                if (span_order(head, value) <= 0)
                        low = mid;
                else
                        high = mid;
        }
        *ret_page = low;
        return 0;
}

static int find_group(const Part *p, const PartName *name, uint32_t k, Span value, uint32_t *ret_group) {
        LabelPage page;
        int r = open_page(p, name, k, &page);
        if (r < 0)
                return r;
        uint32_t low = 0, high = page.n_groups;
        while (high - low > 1) {
                uint32_t mid = low + (high - low) / 2;
                Span head;
                r = group_head(&page, mid, &head);
                if (r < 0)
                        return r;
                if (span_order(head, value) <= 0)
                        low = mid;
                else
                        high = mid;
        }
        *ret_group = low;
        return 0;
}

/* Opens the group that the next pair begins. */
static int open_group(PairWalk *w) {
        uint32_t in_name = w->pair - w->name->first_pair, g = in_name % LABEL_PAGE / LABEL_GROUP;
        LabelPage page;
        int r = open_page(w->p, w->name, in_name / LABEL_PAGE, &page);
        if (r < 0)
                return r;
        w->at = page.groups[g];
        w->stop = page.groups[g + 1];
        w->list_at = page.lists[g];
        r = take_head(&w->at, w->stop, &w->head);
        w->text = (PairText){ w->head, { "", 0 } };
        return r;
}

int pair_walk_next(PairWalk *w) {
        int r;
        if (w->pair == w->end)
                return 0;
        if ((w->pair - w->name->first_pair) % LABEL_GROUP == 0)
                r = open_group(w);
        else
                r = take_rest(&w->at, w->stop, w->head, &w->text);
        if (r == 0)
                r = take_list(&w->at, w->stop, &w->is_apart, &w->apart_len, &w->inlined);
        if (r < 0)
                return r;
        w->apart_at = w->list_at;
        if (w->is_apart)
                w->list_at += w->apart_len;
        w->number = w->pair++;
        return 1;
}

int pair_walk_list(const PairWalk *w, Span *ret_list) {
        if (w->is_apart)
                return part_list(w->p, w->number, w->apart_at, w->apart_len, ret_list);
        *ret_list = w->inlined;
        return 0;
}

int pair_walk_begin(PairWalk *w, const Part *p, const PartName *name, Span from) {
        uint32_t page = 0, group = 0;
        *w = (PairWalk){ .p = p,
                         .name = name,
                         .pair = name->first_pair,
                         .number = name->first_pair,
                         .end = name->first_pair + name->n_pairs };
        if (from.len == 0)
                return 0;
        int r = find_page(p, name, from, &page);
        if (r == 0)
                r = find_group(p, name, page, from, &group);
        if (r < 0)
                return r;
        w->pair += page * LABEL_PAGE + group * LABEL_GROUP;
        for (;;) {
                PairWalk before = *w;
                r = pair_walk_next(w);
                if (r < 0)
                        return r;
                if (r == 0 || pair_text_order(&w->text, from) >= 0) {
                        *w = before;
                        return 0;
                }
        }
}
