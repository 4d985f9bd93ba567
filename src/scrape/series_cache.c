#include "scrape/series_cache.h"

#include "base/varint.h"

#include <assert.h>
#include <xxhash.h>

void series_cache_init(SeriesCache *c, Intern *intern) {
        *c = (SeriesCache){ .intern = intern };
}

static size_t series_size(size_t n) {
        return sizeof(CachedSeries) + n * sizeof(InternId);
}

static void series_free(SeriesCache *c, CachedSeries *s) {
        for (size_t i = 0; i < s->n; i++)
                intern_unref(c->intern, s->labels[i]);
        c->bytes -= series_size(s->n);
        free(s);
}

void series_cache_deinit(SeriesCache *c) {
        for (size_t i = 0; i < c->cap; i++)
                if (c->slots[i])
                        series_free(c, c->slots[i]);
        free(c->slots);
        *c = (SeriesCache){ .intern = c->intern };
}

void series_cache_key(const Label *labels, size_t n, Buf *scratch, uint64_t ret_key[2]) {
        buf_reset(scratch);
        for (size_t i = 0; i < n; i++) {
                /* Neither holds a NUL. */
                buf_put(scratch, labels[i].name.text, labels[i].name.len);
                buf_put_char(scratch, '\0');
                buf_put(scratch, labels[i].value.text, labels[i].value.len);
                buf_put_char(scratch, '\0');
        }
        XXH128_hash_t h = XXH3_128bits(scratch->data, scratch->len);
        ret_key[0] = h.low64;
        ret_key[1] = h.high64;
}

static size_t slot_of(CachedSeries *const *slots, size_t cap, const uint64_t key[2]) {
        size_t i = key[0] & (cap - 1);
        while (slots[i] && (slots[i]->key[0] != key[0] || slots[i]->key[1] != key[1]))
                i = (i + 1) & (cap - 1);
        return i;
}

CachedSeries *series_cache_find(const SeriesCache *c, const uint64_t key[2]) {
        return c->cap ? c->slots[slot_of(c->slots, c->cap, key)] : NULL;
}

/* The table anew, with room for `n`; those for which `keep` says no are freed. */
static int rebuild(SeriesCache *c, size_t n, bool sweep) {
        size_t cap = 16, kept = 0;
        while (cap < 2 * n)
                cap *= 2;
        CachedSeries **slots = calloc(cap, sizeof(CachedSeries *));
        if (!slots)
                return -ENOMEM;
        for (size_t i = 0; i < c->cap; i++) {
                CachedSeries *s = c->slots[i];
                if (!s)
                        continue;
                if (sweep && s->round != c->round) {
                        series_free(c, s);
                        continue;
                }
                slots[slot_of(slots, cap, s->key)] = s;
                kept++;
        }
        free(c->slots);
        c->slots = slots;
        c->cap = cap;
        c->n = kept;
        return 0;
}

/* The run as its labels' bytes, one by one. */
static int hold_labels(SeriesCache *c, CachedSeries *s, const uint8_t *run, size_t len) {
        const uint8_t *at = run, *end = len ? run + len : run;
        while (at < end) {
                const uint8_t *begin = at++;
                uint64_t n;
                bool good = varint_get(&at, end, &n) && n <= (uint64_t)(end - at);
                assert(good);
                at += n;
                int r = intern_ref(c->intern, begin, (size_t)(at - begin), &s->labels[s->n]);
                if (r < 0)
                        return r;
                s->n++;
        }
        return 0;
}

int series_cache_add(SeriesCache *c, const uint64_t key[2], const uint8_t *run, size_t len, CachedSeries **ret_series) {
        Label labels[LABELS_MAX];
        size_t n = len ? labels_split(run, len, labels) : 0;
        int r = 2 * (c->n + 1) > c->cap ? rebuild(c, 2 * (c->n + 1), false) : 0;
        if (r < 0)
                return r;
        CachedSeries *s = malloc(series_size(n));
        if (!s)
                return -ENOMEM;
        *s = (CachedSeries){ .key = { key[0], key[1] }, .round = c->round, .flags = len ? 0 : SERIES_DROPPED };
        c->bytes += series_size(n);
        r = hold_labels(c, s, run, len);
        if (r < 0) {
                c->bytes -= series_size(n) - series_size(s->n);
                series_free(c, s);
                return r;
        }
        size_t slot = slot_of(c->slots, c->cap, key);
        assert(!c->slots[slot]);
        c->slots[slot] = s;
        c->n++;
        *ret_series = s;
        return 0;
}

void series_cache_run(const SeriesCache *c, const CachedSeries *s, Buf *out) {
        for (size_t i = 0; i < s->n; i++) {
                Span label = intern_get(c->intern, s->labels[i]);
                buf_put(out, label.text, label.len);
        }
}

void series_cache_sweep(SeriesCache *c) {
        size_t kept = 0;
        for (size_t i = 0; i < c->cap; i++)
                kept += c->slots[i] && c->slots[i]->round == c->round;
        c->good = kept;
        if (kept < c->n)
                (void)rebuild(c, kept, true); /* without memory they stay until the next time */
}
