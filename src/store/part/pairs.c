#include "store/part/pairs.h"

#include <assert.h>
#include <endian.h>
#include <xxhash.h>

#define SLOTS_MIN 256u
#define TEXT_MAX ((size_t)1 << 40)

void pair_table_deinit(PairTable *t) {
        buf_deinit(&t->text);
        free(t->pairs);
        free(t->slots);
        *t = (PairTable){ 0 };
}

size_t pair_table_bytes(const PairTable *t) {
        return t->text.cap + (size_t)t->cap * sizeof *t->pairs + (size_t)t->n_slots * sizeof *t->slots;
}

static uint64_t pair_hash(Span name, Span value) {
        return XXH3_64bits_withSeed(value.text, value.len, XXH3_64bits(name.text, name.len));
}

static uint32_t *free_slot(const PairTable *t, uint64_t hash) {
        uint32_t mask = t->n_slots - 1, i = (uint32_t)hash & mask;
        while (t->slots[i])
                i = (i + 1) & mask;
        return &t->slots[i];
}

static int grow_slots(PairTable *t) {
        if (((uint64_t)t->n + 1) * 2 <= t->n_slots)
                return 0;
        if (t->n_slots >= UINT32_MAX / 2)
                return -EFBIG;
        uint32_t n = t->n_slots ? t->n_slots * 2 : SLOTS_MIN;
        uint32_t *wider = calloc(n, sizeof *wider);
        if (!wider)
                return -ENOMEM;
        free(t->slots);
        t->slots = wider;
        t->n_slots = n;
        for (uint32_t i = 0; i < t->n; i++)
                *free_slot(t, t->pairs[i].hash) = i + 1;
        return 0;
}

static int grow_pairs(PairTable *t) {
        if (t->n < t->cap)
                return 0;
        uint32_t cap = t->cap ? t->cap * 2 : SLOTS_MIN;
        Pair *wider = reallocarray(t->pairs, cap, sizeof *wider);
        if (!wider)
                return -ENOMEM;
        t->pairs = wider;
        t->cap = cap;
        return 0;
}

static bool pair_is(const PairTable *t, const Pair *p, uint64_t hash, Span name, Span value) {
        const char *text = t->text.data + p->at;
        return p->hash == hash && p->name_len == name.len && p->value_len == value.len &&
               memcmp(text, name.text, name.len) == 0 && memcmp(text + name.len, value.text, value.len) == 0;
}

int pair_table_intern(PairTable *t, Span name, Span value, uint32_t *ret_number) {
        assert(name.len <= UINT16_MAX && value.len <= UINT16_MAX);
        uint64_t hash = pair_hash(name, value);
        int r = grow_slots(t);
        if (r == 0)
                r = grow_pairs(t);
        if (r < 0)
                return r;
        uint32_t mask = t->n_slots - 1;
        for (uint32_t i = (uint32_t)hash & mask; t->slots[i]; i = (i + 1) & mask) {
                Pair *p = &t->pairs[t->slots[i] - 1];
                if (!pair_is(t, p, hash, name, value))
                        continue;
                p->uses++;
                *ret_number = t->slots[i] - 1;
                return 0;
        }
        t->text.limit = TEXT_MAX;
        size_t at = t->text.len;
        buf_put(&t->text, name.text, name.len);
        buf_put(&t->text, value.text, value.len);
        if (buf_error(&t->text))
                return buf_error(&t->text);
        t->pairs[t->n] = (Pair){ hash, at, (uint16_t)name.len, (uint16_t)value.len, 1 };
        *free_slot(t, hash) = t->n + 1;
        *ret_number = t->n++;
        return 0;
}

/* ---- order ---- */

/* What most comparisons need, beside each other: the rank of the name, the value's first bytes. */
typedef struct SortKey {
        uint32_t name; /* rank */
        uint32_t number;
        uint64_t value; /* first 8 bytes, big end first, 0 after the end */
} SortKey;

static uint64_t first_bytes(Span value) {
        uint64_t word = 0;
        memcpy(&word, value.text, value.len < sizeof word ? value.len : sizeof word);
        return be64toh(word);
}

static int span_order(Span a, Span b) {
        int r = memcmp(a.text, b.text, a.len < b.len ? a.len : b.len);
        return r ? r : a.len < b.len ? -1 : a.len > b.len;
}

static int order_keys(const void *a, const void *b, void *table) {
        const SortKey *x = a, *y = b;
        if (x->name != y->name)
                return x->name < y->name ? -1 : 1;
        if (x->value != y->value)
                return x->value < y->value ? -1 : 1;
        return span_order(pair_value(table, x->number), pair_value(table, y->number));
}

static int order_names(const void *a, const void *b, void *table) {
        return span_order(pair_name(table, *(const uint32_t *)a), pair_name(table, *(const uint32_t *)b));
}

/* The first pair of each distinct name, by name. */
static int distinct_names(const PairTable *t, Buf *ret_numbers) {
        CLEANUP(pair_table_deinit) PairTable names = { 0 };
        ret_numbers->limit = TEXT_MAX;
        for (uint32_t i = 0; i < t->n; i++) {
                uint32_t number, before = names.n;
                int r = pair_table_intern(&names, pair_name(t, i), (Span){ "", 0 }, &number);
                if (r < 0)
                        return r;
                if (names.n > before)
                        buf_put(ret_numbers, &i, sizeof i);
        }
        if (buf_error(ret_numbers))
                return buf_error(ret_numbers);
        if (names.n > 0)
                qsort_r(ret_numbers->data, names.n, sizeof(uint32_t), order_names, (void *)t);
        return 0;
}

static uint32_t name_rank(const PairTable *t, const uint32_t *names, size_t n, Span name) {
        size_t low = 0, high = n;
        while (low < high) {
                size_t mid = low + (high - low) / 2;
                if (span_order(pair_name(t, names[mid]), name) < 0)
                        low = mid + 1;
                else
                        high = mid;
        }
        return (uint32_t)low;
}

int pair_table_sort(const PairTable *t, uint32_t *ret_order) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        int r = distinct_names(t, &names);
        if (r < 0)
                return r;
        CLEANUP_FREE SortKey *keys = calloc(t->n ? t->n : 1, sizeof *keys);
        if (!keys)
                return -ENOMEM;
        for (uint32_t i = 0; i < t->n; i++)
                keys[i] =
                        (SortKey){ name_rank(t, (uint32_t *)names.data, names.len / sizeof(uint32_t), pair_name(t, i)),
                                   i, first_bytes(pair_value(t, i)) };
        qsort_r(keys, t->n, sizeof *keys, order_keys, (void *)t);
        for (uint32_t i = 0; i < t->n; i++)
                ret_order[i] = keys[i].number;
        return 0;
}
