#include "model/label_set.h"

#include <assert.h>

#define TEXT_SIZE 4032u

/* Copies lie in blocks that never move, as labels point into them. */
typedef struct LabelSetText {
        struct LabelSetText *next;
        size_t used, size;
        char bytes[];
} LabelSetText;

static LabelSetText *texts_free(LabelSetText *t) {
        while (t) {
                LabelSetText *next = t->next;
                free(t);
                t = next;
        }
        return NULL;
}

void label_set_deinit(LabelDraft *s) {
        s->texts = texts_free(s->texts);
        free(s->items);
        *s = LABEL_SET_NULL;
}

void label_set_reset(LabelDraft *s) {
        /* One block of the usual size serves almost every set. */
        if (s->texts && (s->texts->next || s->texts->size > TEXT_SIZE))
                s->texts = texts_free(s->texts);
        if (s->texts)
                s->texts->used = 0;
        s->n = s->bytes = 0;
        s->error = 0;
}

static bool grow(LabelDraft *s) {
        if (s->n < s->cap)
                return true;
        size_t cap = s->cap ? 2 * s->cap : 32;
        if (s->n >= LABEL_SET_MAX) {
                s->error = -E2BIG;
                return false;
        }
        LabelSetItem *items = reallocarray(s->items, cap, sizeof *items);
        if (!items) {
                s->error = -ENOMEM;
                return false;
        }
        s->items = items;
        s->cap = cap;
        return true;
}

static void append(LabelDraft *s, Span name, Span value, bool changed) {
        if (!s->error && grow(s))
                s->items[s->n++] = (LabelSetItem){ { name, value }, changed };
}

void label_set_add(LabelDraft *s, Span name, Span value) {
        if (value.len > 0)
                append(s, name, value, false);
}

void label_set_add_run(LabelDraft *s, const uint8_t *run, size_t len) {
        Label labels[LABELS_MAX];
        size_t n = labels_split(run, len, labels);
        for (size_t i = 0; i < n; i++)
                label_set_add(s, labels[i].name, labels[i].value);
}

static bool span_equal(Span a, Span b) {
        return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

static LabelSetItem *find(const LabelDraft *s, Span name) {
        for (size_t i = 0; i < s->n; i++)
                if (span_equal(s->items[i].label.name, name))
                        return &s->items[i];
        return NULL;
}

Span label_set_get(const LabelDraft *s, Span name) {
        const LabelSetItem *item = find(s, name);
        return item ? item->label.value : (Span){ "", 0 };
}

static LabelSetText *text_with_room(LabelDraft *s, size_t n) {
        if (s->texts && s->texts->size - s->texts->used >= n)
                return s->texts;
        size_t size = n > TEXT_SIZE ? n : TEXT_SIZE;
        LabelSetText *t = malloc(sizeof *t + size);
        if (!t)
                return NULL;
        *t = (LabelSetText){ .next = s->texts, .size = size };
        s->texts = t;
        return t;
}

static bool copy(LabelDraft *s, Span from, Span *ret_copy) {
        if (s->error)
                return false;
        if (from.len > LABEL_SET_BYTES_MAX - s->bytes) {
                s->error = -E2BIG;
                return false;
        }
        LabelSetText *t = text_with_room(s, from.len);
        if (!t) {
                s->error = -ENOMEM;
                return false;
        }
        if (from.len)
                memcpy(t->bytes + t->used, from.text, from.len);
        *ret_copy = (Span){ t->bytes + t->used, from.len };
        t->used += from.len;
        s->bytes += from.len;
        return true;
}

static void remove_item(LabelDraft *s, LabelSetItem *item) {
        size_t behind = s->n - (size_t)(item - s->items) - 1;
        memmove(item, item + 1, behind * sizeof *item);
        s->n--;
}

void label_set_set(LabelDraft *s, Span name, Span value) {
        if (value.len == 0) {
                label_set_remove(s, name);
                return;
        }
        Span name_copy, value_copy;
        LabelSetItem *item = find(s, name);
        if (!copy(s, value, &value_copy))
                return;
        if (item && item->changed) {
                item->label.value = value_copy;
                return;
        }
        if (!copy(s, name, &name_copy))
                return;
        if (item)
                remove_item(s, item);
        append(s, name_copy, value_copy, true);
}

void label_set_remove(LabelDraft *s, Span name) {
        LabelSetItem *item = find(s, name);
        if (item)
                remove_item(s, item);
}

static int item_order(const void *a, const void *b) {
        Span x = ((const LabelSetItem *)a)->label.name, y = ((const LabelSetItem *)b)->label.name;
        int r = memcmp(x.text, y.text, x.len < y.len ? x.len : y.len);
        return r ? r : (x.len > y.len) - (x.len < y.len);
}

void label_set_settle(LabelDraft *s) {
        if (s->n)
                qsort(s->items, s->n, sizeof *s->items, item_order);
        for (size_t i = 0; i < s->n; i++)
                s->items[i].changed = false;
}

LabelsFault label_set_build(const LabelDraft *s, Buf *out) {
        Label labels[LABELS_MAX];
        assert(!s->error);
        if (s->n > LABELS_MAX)
                return LABELS_TOO_MANY;
        for (size_t i = 0; i < s->n; i++)
                labels[i] = s->items[i].label;
        return labels_build(labels, s->n, out);
}
