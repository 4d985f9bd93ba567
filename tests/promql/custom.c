/* The series of one histogram are those with the same labels without `le` and the name without its suffix. Each instant
 * at which any of them has a value makes one histogram of those that have one there. */
#include "custom.h"

#include "base/number.h"
#include "model/labels.h"
#include "model/stale.h"

#include <assert.h>
#include <math.h>

#define BOUNDS_MAX 200u

typedef enum Role { ROLE_NONE, ROLE_BUCKET, ROLE_COUNT, ROLE_SUM } Role;

typedef struct Piece {
        Role role;
        double le;
        const NotedSeries *from;
        Buf base; /* labels of the histogram */
} Piece;

typedef struct Bucket {
        double le, count;
} Bucket;

/* The classic histogram of one instant. */
typedef struct Instant {
        Bucket buckets[BOUNDS_MAX + 1];
        size_t n;
        double count, sum;
        bool has_count, any;
} Instant;

static Role role_of(Span name, size_t *ret_base) {
        static const struct {
                const char *suffix;
                Role role;
        } SUFFIXES[] = { { "_bucket", ROLE_BUCKET }, { "_count", ROLE_COUNT }, { "_sum", ROLE_SUM } };
        for (size_t i = 0; i < ARRAY_LEN(SUFFIXES); i++) {
                size_t n = strlen(SUFFIXES[i].suffix);
                if (name.len < n || memcmp(name.text + name.len - n, SUFFIXES[i].suffix, n) != 0)
                        continue;
                *ret_base = name.len - n;
                return SUFFIXES[i].role;
        }
        return ROLE_NONE;
}

static void piece_init(Piece *p, const NotedSeries *s) {
        Label labels[LABELS_MAX];
        size_t n = labels_split((const uint8_t *)s->run.data, s->run.len, labels), kept = 0, base = 0;
        *p = (Piece){ .from = s, .le = NAN };
        for (size_t i = 0; i < n; i++) {
                if (span_is(labels[i].name, "le")) {
                        if (number_parse(labels[i].value.text, labels[i].value.len, &p->le) < 0)
                                p->le = NAN;
                        continue;
                }
                if (span_is(labels[i].name, METRIC_NAME_LABEL)) {
                        p->role = role_of(labels[i].value, &base);
                        labels[i].value.len = base;
                }
                labels[kept++] = labels[i];
        }
        if (p->role == ROLE_BUCKET && isnan(p->le))
                p->role = ROLE_NONE;
        if (p->role != ROLE_NONE && labels_build(labels, kept, &p->base) != LABELS_OK)
                p->role = ROLE_NONE;
}

static bool same_base(const Piece *a, const Piece *b) {
        return a->role != ROLE_NONE && b->role != ROLE_NONE && a->base.len == b->base.len &&
               memcmp(a->base.data, b->base.data, a->base.len) == 0;
}

static void add_bucket(Instant *x, double le, double count) {
        size_t at = x->n;
        assert(x->n < BOUNDS_MAX);
        while (at > 0 && x->buckets[at - 1].le > le)
                at--;
        if (at > 0 && x->buckets[at - 1].le == le)
                return;
        memmove(&x->buckets[at + 1], &x->buckets[at], (x->n - at) * sizeof *x->buckets);
        x->buckets[at] = (Bucket){ le, count };
        x->n++;
}

static void take(Instant *x, const Piece *p, size_t k) {
        if (k >= p->from->n || p->from->values[k].omitted || p->from->values[k].h)
                return;
        double v = p->from->values[k].v;
        x->any = true;
        if (p->role == ROLE_BUCKET) {
                add_bucket(x, p->le, v);
        } else if (p->role == ROLE_COUNT) {
                x->count = v;
                x->has_count = true;
        } else {
                x->sum = v;
        }
}

static const char *complete(Instant *x) {
        if (x->n == 0 && !x->has_count)
                return "a histogram needs a count or buckets";
        if (x->n && !x->has_count)
                x->count = x->buckets[x->n - 1].count;
        if (x->n == 0 || !isinf(x->buckets[x->n - 1].le))
                add_bucket(x, INFINITY, x->count);
        for (size_t i = 0; i < x->n; i++)
                if (x->buckets[i].count < (i ? x->buckets[i - 1].count : 0))
                        return "the buckets of a histogram must not fall";
        return x->count == x->buckets[x->n - 1].count ? NULL
                                                      : "the count of a histogram is not that of its last bucket";
}

static FHist *histogram_of(Arena *a, const Instant *x) {
        FHist *h = ARENA_NEW(a, FHist);
        double *bounds = ARENA_ARRAY(a, double, x->n);
        h->positive = ARENA_ARRAY(a, double, x->n);
        h->positive_spans = ARENA_NEW(a, HistogramSpan);
        assert(bounds && h->positive && h->positive_spans);
        for (size_t i = 0; i < x->n; i++) {
                bounds[i] = x->buckets[i].le;
                h->positive[i] = x->buckets[i].count - (i ? x->buckets[i - 1].count : 0);
        }
        *h->positive_spans = (HistogramSpan){ 0, (uint32_t)x->n };
        h->n_positive_spans = 1;
        h->n_positive = (uint32_t)x->n;
        h->custom_bounds = bounds;
        h->n_custom = (uint32_t)x->n - 1;
        h->schema = -53;
        h->count = x->count;
        h->sum = x->sum;
        return h;
}

static int make_series(Custom *c, const Piece *pieces, size_t n, size_t first, NotedSeries *out, Buf *error) {
        buf_put(&out->run, pieces[first].base.data, pieces[first].base.len);
        for (size_t i = first; i < n; i++)
                if (same_base(&pieces[first], &pieces[i]) && pieces[i].from->n > out->n)
                        out->n = pieces[i].from->n;
        out->values = calloc(out->n, sizeof *out->values);
        assert(out->values);
        for (size_t k = 0; k < out->n; k++) {
                Instant x = { 0 };
                for (size_t i = first; i < n; i++)
                        if (same_base(&pieces[first], &pieces[i]))
                                take(&x, &pieces[i], k);
                const char *why = x.any ? complete(&x) : NULL;
                if (why) {
                        buf_put_str(error, why);
                        return -EINVAL;
                }
                out->values[k] =
                        x.any ? (NotedValue){ .h = histogram_of(&c->arena, &x) } : (NotedValue){ .omitted = true };
        }
        return 0;
}

static bool is_first(const Piece *pieces, size_t i) {
        for (size_t k = 0; k < i; k++)
                if (same_base(&pieces[k], &pieces[i]))
                        return false;
        return pieces[i].role != ROLE_NONE;
}

int custom_collect(Custom *c, const NotedSeries *series, size_t n, Buf *ret_error) {
        Piece *pieces = calloc(n ? n : 1, sizeof *pieces);
        int r = 0;
        c->budget = ARENA_BUDGET((size_t)256 << 20);
        c->arena = ARENA(&c->budget);
        c->series = calloc(n ? n : 1, sizeof *c->series);
        assert(pieces && c->series);
        for (size_t i = 0; i < n; i++)
                piece_init(&pieces[i], &series[i]);
        for (size_t i = 0; i < n && r == 0; i++)
                if (is_first(pieces, i))
                        r = make_series(c, pieces, n, i, &c->series[c->n++], ret_error);
        for (size_t i = 0; i < n; i++)
                buf_deinit(&pieces[i].base);
        free(pieces);
        return r;
}

void custom_deinit(Custom *c) {
        for (size_t i = 0; i < c->n; i++)
                noted_series_deinit(&c->series[i]);
        free(c->series);
        arena_deinit(&c->arena);
        *c = (Custom){ 0 };
}
