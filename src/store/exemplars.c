/* The ring holds exemplars of all series in the order in which they came; those of one series are linked, the oldest
 * first. What leaves the ring is the oldest of all and so the oldest of its series: a series' list only ever loses its
 * head, and the series goes with its last one. What is deleted in between leaves an empty slot, until its turn
 * comes. */
#include "store/exemplars.h"

#include "store/catalog.h"
#include "store/store_priv.h"

#include <xxhash.h>

#define SERIES_MIN 64u

void exemplars_init(Exemplars *x, uint32_t most) {
        *x = (Exemplars){ .most = most, .free_series = EXEMPLAR_NONE };
}

void exemplars_deinit(Exemplars *x) {
        for (uint32_t i = 0; i < x->n; i++)
                free(x->slots[(x->first + i) % x->most].labels);
        for (uint32_t i = 0; i < x->n_series; i++)
                free(x->series[i].run);
        free(x->slots);
        free(x->series);
        free(x->buckets);
        exemplars_init(x, x->most);
}

size_t exemplars_memory(const Exemplars *x) {
        size_t slots = x->slots ? x->most * sizeof *x->slots : 0;
        return slots + x->bytes + x->cap_series * sizeof *x->series + x->n_buckets * sizeof *x->buckets;
}

/* ---- Series ---- */

static uint32_t *bucket_of(const Exemplars *x, const uint8_t *run, size_t len) {
        return &x->buckets[XXH3_64bits(run, len) & (x->n_buckets - 1)];
}

static uint32_t find_series(const Exemplars *x, const uint8_t *run, size_t len) {
        if (!x->buckets)
                return EXEMPLAR_NONE;
        uint32_t i = *bucket_of(x, run, len);
        while (i != EXEMPLAR_NONE && (x->series[i].run_len != len || memcmp(x->series[i].run, run, len) != 0))
                i = x->series[i].next;
        return i;
}

static int grow_series(Exemplars *x) {
        uint32_t cap = x->cap_series ? x->cap_series * 2 : SERIES_MIN;
        ExemplarSeries *series = reallocarray(x->series, cap, sizeof *series);
        if (!series)
                return -ENOMEM;
        x->series = series;
        uint32_t *buckets = malloc(cap * sizeof *buckets);
        if (!buckets)
                return -ENOMEM;
        free(x->buckets);
        x->buckets = buckets;
        x->n_buckets = x->cap_series = cap;
        memset(buckets, 0xff, cap * sizeof *buckets);
        for (uint32_t i = 0; i < x->n_series; i++) { /* all are in use, or there would be a free one */
                uint32_t *bucket = bucket_of(x, series[i].run, series[i].run_len);
                series[i].next = *bucket;
                *bucket = i;
        }
        return 0;
}

static uint32_t add_series(Exemplars *x, const uint8_t *run, size_t len) {
        if (x->free_series == EXEMPLAR_NONE && x->n_series == x->cap_series && grow_series(x) < 0)
                return EXEMPLAR_NONE;
        uint8_t *copy = malloc(len ? len : 1);
        if (!copy)
                return EXEMPLAR_NONE;
        memcpy(copy, run, len);
        uint32_t i = x->free_series, *bucket = bucket_of(x, run, len);
        if (i == EXEMPLAR_NONE)
                i = x->n_series++;
        else
                x->free_series = x->series[i].next;
        x->series[i] = (ExemplarSeries){
                .run = copy, .run_len = (uint32_t)len, .oldest = EXEMPLAR_NONE, .newest = EXEMPLAR_NONE, .next = *bucket
        };
        *bucket = i;
        x->bytes += len;
        return i;
}

static void drop_series(Exemplars *x, uint32_t number) {
        ExemplarSeries *s = &x->series[number];
        uint32_t *link = bucket_of(x, s->run, s->run_len);
        while (*link != number)
                link = &x->series[*link].next;
        *link = s->next;
        x->bytes -= s->run_len;
        free(s->run);
        *s = (ExemplarSeries){ .next = x->free_series };
        x->free_series = number;
}

/* ---- The ring ---- */

/* The oldest of a series leaves its list. */
static void unlink_oldest(Exemplars *x, uint32_t series) {
        ExemplarSeries *s = &x->series[series];
        ExemplarSlot *slot = &x->slots[s->oldest];
        x->bytes -= slot->labels_len;
        free(slot->labels);
        s->oldest = slot->next;
        *slot = (ExemplarSlot){ .series = EXEMPLAR_NONE };
        if (s->oldest == EXEMPLAR_NONE)
                drop_series(x, series);
}

static void drop_oldest(Exemplars *x) {
        if (x->slots[x->first].series != EXEMPLAR_NONE)
                unlink_oldest(x, x->slots[x->first].series);
        x->first = (x->first + 1) % x->most;
        x->n--;
}

static size_t characters(Span s) {
        size_t n = 0;
        for (size_t i = 0; i < s.len; i++)
                n += ((unsigned char)s.text[i] & 0xc0) != 0x80;
        return n;
}

static bool is_long(const uint8_t *run, size_t len) {
        Label labels[LABELS_MAX];
        size_t n = labels_split(run, len, labels), total = 0;
        for (size_t i = 0; i < n; i++)
                total += characters(labels[i].name) + characters(labels[i].value);
        return total > EXEMPLAR_LABELS_MAX;
}

/* How an exemplar stands to the newest of its series. */
static ExemplarAnswer compare(const ExemplarSlot *newest, const uint8_t *labels, size_t len, double value,
                              int64_t time_ms) {
        if (time_ms != newest->time_ms)
                return time_ms < newest->time_ms ? EXEMPLAR_OLDER : EXEMPLAR_TAKEN;
        bool same_labels = len == newest->labels_len && (len == 0 || memcmp(labels, newest->labels, len) == 0);
        if (same_labels && memcmp(&value, &newest->value, sizeof value) == 0)
                return EXEMPLAR_SAME;
        return value < newest->value ? EXEMPLAR_OLDER : EXEMPLAR_TAKEN;
}

static void append(Exemplars *x, uint32_t series, ExemplarSlot slot) {
        uint32_t at = (x->first + x->n++) % x->most;
        ExemplarSeries *s = &x->series[series];
        if (s->newest == EXEMPLAR_NONE)
                s->oldest = at;
        else
                x->slots[s->newest].next = at;
        s->newest = at;
        x->slots[at] = slot;
        x->bytes += slot.labels_len;
}

ExemplarAnswer exemplars_add(Exemplars *x, const uint8_t *run, size_t run_len, const uint8_t *labels, size_t labels_len,
                             double value, int64_t time_ms) {
        size_t most_bytes = (size_t)x->most * EXEMPLAR_BYTES;
        if (x->most && is_long(labels, labels_len))
                return EXEMPLAR_LONG;
        if (!x->slots)
                x->slots = x->most ? calloc(x->most, sizeof *x->slots) : NULL;
        if (!x->slots || run_len + labels_len > most_bytes)
                return EXEMPLAR_NO_ROOM;
        uint32_t series = find_series(x, run, run_len);
        if (series != EXEMPLAR_NONE) {
                ExemplarAnswer a = compare(&x->slots[x->series[series].newest], labels, labels_len, value, time_ms);
                if (a != EXEMPLAR_TAKEN)
                        return a;
        }
        CLEANUP_FREE uint8_t *copy = malloc(labels_len ? labels_len : 1);
        if (!copy)
                return EXEMPLAR_NO_ROOM;
        if (labels_len)
                memcpy(copy, labels, labels_len);
        while (x->n == x->most || (x->n && x->bytes + run_len + labels_len > most_bytes))
                drop_oldest(x);
        series = find_series(x, run, run_len); /* it may have gone with its last one */
        if (series == EXEMPLAR_NONE)
                series = add_series(x, run, run_len);
        if (series == EXEMPLAR_NONE)
                return EXEMPLAR_NO_ROOM;
        append(x, series,
               (ExemplarSlot){ .labels = TAKE_PTR(copy),
                               .labels_len = (uint32_t)labels_len,
                               .series = series,
                               .next = EXEMPLAR_NONE,
                               .time_ms = time_ms,
                               .value = value });
        return EXEMPLAR_TAKEN;
}

/* ---- Deleting ---- */

static void delete_of_series(Exemplars *x, uint32_t number, int64_t begin_ms, int64_t end_ms) {
        ExemplarSeries *s = &x->series[number];
        uint32_t last = EXEMPLAR_NONE;
        for (uint32_t at = s->oldest, next; at != EXEMPLAR_NONE; at = next) {
                ExemplarSlot *slot = &x->slots[at];
                next = slot->next;
                if (slot->time_ms <= begin_ms || slot->time_ms > end_ms) {
                        last = at;
                        continue;
                }
                *(last == EXEMPLAR_NONE ? &s->oldest : &x->slots[last].next) = next;
                x->bytes -= slot->labels_len;
                free(slot->labels);
                *slot = (ExemplarSlot){ .series = EXEMPLAR_NONE };
        }
        s->newest = last;
        if (last == EXEMPLAR_NONE)
                drop_series(x, number);
}

void exemplars_delete(Exemplars *x, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms) {
        for (uint32_t i = 0; i < x->n_series; i++)
                if (x->series[i].run && matchers_hold(matchers, n, x->series[i].run, x->series[i].run_len))
                        delete_of_series(x, i, begin_ms, end_ms);
}

/* ---- Reading ---- */

void store_exemplars_deinit(StoreExemplars *x) {
        free(x->list);
        buf_deinit(&x->bytes);
        *x = (StoreExemplars){ 0 };
}

static bool any_holds(const StoreSelector *any, size_t n_any, const ExemplarSeries *s) {
        for (size_t i = 0; i < n_any; i++)
                if (matchers_hold(any[i].matchers, any[i].n, s->run, s->run_len))
                        return true;
        return false;
}

static int compare_series(const void *a, const void *b, void *series) {
        const ExemplarSeries *x = (const ExemplarSeries *)series + *(const uint32_t *)a;
        const ExemplarSeries *y = (const ExemplarSeries *)series + *(const uint32_t *)b;
        return labels_compare(x->run, x->run_len, y->run, y->run_len);
}

/* Numbers of the series that are wanted, in order. */
static int choose_series(const Exemplars *x, const StoreSelector *any, size_t n_any, Buf *ret_numbers) {
        for (uint32_t i = 0; i < x->n_series; i++)
                if (x->series[i].run && any_holds(any, n_any, &x->series[i]))
                        buf_put(ret_numbers, &i, sizeof i);
        if (ret_numbers->len)
                qsort_r(ret_numbers->data, ret_numbers->len / sizeof(uint32_t), sizeof(uint32_t), compare_series,
                        x->series);
        return buf_error(ret_numbers);
}

static const char *keep(Buf *out, const uint8_t *bytes, size_t n) {
        const char *at = out->data + out->len;
        buf_put(out, bytes, n);
        return at;
}

/* There is room: no text moves. */
static void copy_of_series(const Exemplars *x, const ExemplarSeries *s, int64_t begin_ms, int64_t end_ms,
                           StoreExemplars *out) {
        const char *run = NULL;
        for (uint32_t at = s->oldest; at != EXEMPLAR_NONE; at = x->slots[at].next) {
                const ExemplarSlot *slot = &x->slots[at];
                if (slot->time_ms < begin_ms || slot->time_ms > end_ms)
                        continue;
                if (!run)
                        run = keep(&out->bytes, s->run, s->run_len);
                const char *labels = keep(&out->bytes, slot->labels, slot->labels_len);
                out->list[out->n++] = (StoreExemplar){
                        { run, s->run_len }, { labels, slot->labels_len }, slot->time_ms, slot->value
                };
        }
}

int store_exemplars(Store *s, const StoreSelector *any, size_t n_any, int64_t begin_ms, int64_t end_ms,
                    StoreExemplars *x) {
        CLEANUP(buf_deinit) Buf numbers = BUF_NULL;
        LOCK_SCOPE(&s->lock);
        const Exemplars *all = &s->exemplars;
        *x = (StoreExemplars){ .list = calloc((size_t)all->n + 1, sizeof *x->list), .bytes = BUF_WITH_LIMIT(SIZE_MAX) };
        if (!x->list || choose_series(all, any, n_any, &numbers) < 0 || !buf_reserve(&x->bytes, all->bytes + 1))
                return -ENOMEM;
        for (size_t at = 0; at < numbers.len; at += sizeof(uint32_t)) {
                uint32_t number;
                memcpy(&number, numbers.data + at, sizeof number);
                copy_of_series(all, &all->series[number], begin_ms, end_ms, x);
        }
        return buf_error(&x->bytes);
}
