/* Label names and label values over all parts and the head: each gives an ascending list, and the lists are merged. */
#include "store/store_priv.h"

/* One list: texts, each terminated by NUL. */
typedef struct Names {
        Buf texts;
        const char *at, *end;
} Names;

typedef struct Lists {
        Names *list;
        size_t n;
} Lists;

static void lists_deinit(Lists *l) {
        for (size_t i = 0; i < l->n; i++)
                buf_deinit(&l->list[i].texts);
        free(l->list);
}

static int merge(Lists *l, size_t most, Buf *out, bool *ret_cut) {
        size_t taken = 0;
        for (size_t i = 0; i < l->n; i++) {
                Names *x = &l->list[i];
                if (buf_error(&x->texts))
                        return -ENOMEM;
                x->at = x->texts.data;
                x->end = x->texts.data + x->texts.len;
        }
        for (*ret_cut = false;; taken++) {
                const char *first = NULL;
                for (size_t i = 0; i < l->n; i++)
                        if (l->list[i].at < l->list[i].end && (!first || strcmp(l->list[i].at, first) < 0))
                                first = l->list[i].at;
                if (!first)
                        return buf_error(out);
                if (taken == most) {
                        *ret_cut = true;
                        return buf_error(out);
                }
                buf_put(out, first, strlen(first) + 1);
                for (size_t i = 0; i < l->n; i++)
                        while (l->list[i].at < l->list[i].end && strcmp(l->list[i].at, first) == 0)
                                l->list[i].at += strlen(l->list[i].at) + 1;
        }
}

static int compare_texts(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts the texts of a list; equal ones go when the lists are merged. */
static int sort(Buf *texts) {
        CLEANUP(buf_deinit) Buf sorted = BUF_WITH_LIMIT(texts->limit);
        CLEANUP_FREE char **order = NULL;
        size_t n = 0;
        for (size_t i = 0; i < texts->len; i++)
                n += texts->data[i] == '\0';
        order = malloc((n + 1) * sizeof *order);
        if (!order)
                return -ENOMEM;
        if (buf_error(texts))
                return buf_error(texts);
        char *at = texts->data;
        for (size_t i = 0; i < n; i++, at += strlen(at) + 1)
                order[i] = at;
        qsort(order, n, sizeof *order, compare_texts);
        for (size_t i = 0; i < n; i++)
                buf_put(&sorted, order[i], strlen(order[i]) + 1);
        Buf swap = *texts;
        *texts = sorted;
        sorted = swap;
        return buf_error(texts);
}

static void put_text(Buf *out, Span text) {
        buf_put(out, text.text, text.len);
        buf_put_char(out, '\0');
}

/* ---- The head ---- */

/* Names of one series' labels, or the value of one label. */
static void head_series(const HeadIndex *ix, uint32_t ref, const Span *label, Buf *run, Buf *out) {
        Label labels[LABELS_MAX];
        buf_reset(run);
        index_run(ix, ref, run);
        size_t n = buf_error(run) ? 0 : labels_split((const uint8_t *)run->data, run->len, labels);
        for (size_t i = 0; i < n; i++)
                if (!label)
                        put_text(out, labels[i].name);
                else if (labels[i].name.len == label->len && memcmp(labels[i].name.text, label->text, label->len) == 0)
                        put_text(out, labels[i].value);
}

static int head_selected(Store *s, const Span *label, const Matcher *matchers, size_t n, Buf *out) {
        CLEANUP(buf_deinit) Buf refs = BUF_NULL, run = BUF_NULL;
        int r = index_select(s->head.index, matchers, n, &refs);
        for (size_t i = 0; r == 0 && i < refs.len / sizeof(uint32_t); i++) {
                uint32_t ref;
                memcpy(&ref, refs.data + i * sizeof ref, sizeof ref);
                head_series(s->head.index, ref, label, &run, out);
        }
        return r;
}

static void head_all(Store *s, const Span *label, Buf *out) {
        const HeadIndex *ix = s->head.index;
        const LabelName *l;
        if (!label) {
                for (uint32_t i = 0; i < index_names(ix); i++)
                        put_text(out, index_name(ix, i, NULL));
                return;
        }
        uint32_t name = index_find_name(ix, *label);
        if (name == SERIES_NONE)
                return;
        (void)index_name(ix, name, &l);
        for (uint32_t i = 0; i < l->n; i++) {
                Span value;
                (void)index_pair_at(ix, l->pairs[i], &value);
                put_text(out, value);
        }
}

static int head_names(StoreView *v, const Span *label, const Matcher *matchers, size_t n, Buf *out) {
        Store *s = view_store(v);
        lock(&s->lock);
        int r = 0;
        if (n)
                r = head_selected(s, label, matchers, n, out);
        else
                head_all(s, label, out);
        unlock(&s->lock);
        return r < 0 ? r : sort(out);
}

/* ---- Parts ---- */

static int part_names(const OpenPart *p, const Span *label, const Matcher *matchers, size_t n, Buf *out) {
        CLEANUP(buf_deinit) Buf ordinals = BUF_NULL;
        if (n) {
                int r = part_select(p->part, matchers, n, &ordinals);
                if (r < 0 || ordinals.len == 0)
                        return r;
        }
        const uint32_t *at = (const uint32_t *)(const void *)ordinals.data;
        size_t count = ordinals.len / sizeof *at;
        return label ? part_label_values(p->part, *label, at, count, out) : part_label_names(p->part, at, count, out);
}

static int all_names(StoreView *v, const Span *label, const Matcher *matchers, size_t n, int64_t begin_ms,
                     int64_t end_ms, size_t most, Buf *ret_names, bool *ret_cut) {
        const Catalog *c = view_catalog(v);
        CLEANUP(lists_deinit) Lists lists = { .list = calloc(c->n_parts + 1, sizeof(Names)) };
        if (!lists.list)
                return -ENOMEM;
        int r = head_names(v, label, matchers, n, &lists.list[lists.n++].texts);
        for (size_t i = 0; r == 0 && i < c->n_parts; i++) {
                const PartMeta *m = &c->parts[i]->entry.meta;
                if (m->min_ms > end_ms || m->max_ms <= begin_ms)
                        continue;
                Buf *texts = &lists.list[lists.n++].texts;
                r = part_names(c->parts[i], label, matchers, n, texts);
                if (r == -EBADMSG) {
                        view_damage(v, c->parts[i], "its index is damaged");
                        buf_reset(texts);
                        r = 0;
                }
        }
        return r < 0 ? r : merge(&lists, most, ret_names, ret_cut);
}

int store_label_names(StoreView *v, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms, size_t most,
                      Buf *ret_names, bool *ret_cut) {
        return all_names(v, NULL, matchers, n, begin_ms, end_ms, most, ret_names, ret_cut);
}

int store_label_values(StoreView *v, Span label, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms,
                       size_t most, Buf *ret_values, bool *ret_cut) {
        return all_names(v, &label, matchers, n, begin_ms, end_ms, most, ret_values, ret_cut);
}
