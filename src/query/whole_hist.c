/* Quantiles and fractions of histograms, classic and native.
 *
 * The series of a classic histogram differ in their label `le` alone. They are found and put in the order of their
 * bounds once for all steps; a step then takes those of them that have a value. Where a native histogram of the same
 * name and labels has one too, neither counts. */
#include "base/number.h"
#include "query/fhist_priv.h"
#include "query/whole_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

typedef struct Bound {
        double upper;
        const double *v; /* of the series, by step */
} Bound;

/* One classic histogram. */
typedef struct Group {
        LabelSet key; /* without le */
        uint64_t hash;
        Bound *bounds;
        size_t n, cap;
        const Row *native; /* of the same name and labels */
} Group;

typedef struct Bucket {
        double upper, count; /* cumulative */
} Bucket;

/* What was repaired in counts that did not ascend, over all steps, for one note. */
typedef struct Repairs {
        double min_bucket, max_bucket, max_diff;
        int64_t min_ms, max_ms;
        size_t n;
} Repairs;

typedef struct Histograms {
        const WholeCall *c;
        size_t arg; /* which argument is the vector */
        const Value *in;
        Group *groups;
        size_t n_groups;
        const Row **natives;         /* rows with native histograms */
        const Group **native_groups; /* the classic one that each conflicts with, or NULL */
        size_t n_natives;
        uint32_t *slots; /* hash table of groups, numbers from 1 */
        size_t n_slots;  /* a power of two */
        Bucket *scratch;
} Histograms;

/* ---- finding them ---- */

static const Span LE = { "le", 2 };

static uint32_t *slot_of(const Histograms *h, LabelSet key, uint64_t hash) {
        size_t at = hash & (h->n_slots - 1);
        while (h->slots[at]) {
                const Group *g = &h->groups[h->slots[at] - 1];
                if (g->hash == hash && labelset_equal(g->key, key))
                        break;
                at = (at + 1) & (h->n_slots - 1);
        }
        return &h->slots[at];
}

static int add_bound(const WholeCall *c, Group *g, Bound b) {
        if (g->n == g->cap) {
                size_t cap = g->cap ? 2 * g->cap : 16;
                Bound *bounds = arena_grow(c->arena, g->bounds, g->cap * sizeof b, cap * sizeof b);
                if (!bounds)
                        return c->arena->error;
                g->bounds = bounds;
                g->cap = cap;
        }
        g->bounds[g->n++] = b;
        return 0;
}

static int add_bucket(Histograms *h, const Row *row, double upper) {
        LabelSet key = labelset_without(h->c->arena, row->labels, &LE, 1, false);
        if (!key.run)
                return h->c->arena->error;
        uint64_t hash = labelset_hash(key);
        uint32_t *slot = slot_of(h, key, hash);
        if (!*slot) {
                h->groups[h->n_groups] = (Group){ .key = key, .hash = hash };
                *slot = (uint32_t)++h->n_groups;
        }
        return add_bound(h->c, &h->groups[*slot - 1], (Bound){ upper, row->v });
}

static int add_row(Histograms *h, const Row *row) {
        bool floats = false, hists = false;
        for (size_t k = 0; k < h->c->steps->n; k++) {
                floats |= !is_absent(row->v[k]);
                hists |= row_hist(row, k) != NULL;
        }
        if (hists)
                h->natives[h->n_natives++] = row;
        if (!floats)
                return 0;
        Span le = labelset_get(row->labels, LE);
        double upper;
        if (number_parse(le.text, le.len, &upper) == 0)
                return add_bucket(h, row, upper);
        Span metric = labelset_get(row->labels, (Span){ METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 });
        notes_add(h->c->notes, NOTE_WARNING, whole_place(h->c, h->arg),
                  "PromQL warning: bucket label \"le\" is missing or has a malformed value of %s%s",
                  function_quote(le).text, function_for_metric(metric).text);
        return 0;
}

static int by_bound(const void *a, const void *b) {
        const Bound *x = a, *y = b;
        return (x->upper > y->upper) - (x->upper < y->upper);
}

static int histograms_init(Histograms *h, const WholeCall *c, size_t arg, const Value *in) {
        *h = (Histograms){ .c = c, .arg = arg, .in = in, .n_slots = 16 };
        while (h->n_slots < 2 * in->n_rows)
                h->n_slots *= 2;
        h->groups = ARENA_ARRAY(c->arena, Group, in->n_rows);
        h->natives = ARENA_ARRAY(c->arena, const Row *, in->n_rows);
        h->native_groups = ARENA_ARRAY(c->arena, const Group *, in->n_rows);
        h->slots = ARENA_ARRAY(c->arena, uint32_t, h->n_slots);
        if (!h->groups || !h->natives || !h->native_groups || !h->slots)
                return c->arena->error;
        for (size_t i = 0; i < in->n_rows; i++) {
                int r = add_row(h, &in->rows[i]);
                if (r < 0)
                        return r;
        }
        size_t most = 0;
        for (size_t i = 0; i < h->n_groups; i++) {
                Group *g = &h->groups[i];
                qsort(g->bounds, g->n, sizeof *g->bounds, by_bound);
                most = g->n > most ? g->n : most;
        }
        for (size_t i = 0; i < h->n_natives; i++) {
                uint32_t slot = *slot_of(h, h->natives[i]->labels, labelset_hash(h->natives[i]->labels));
                if (slot) {
                        h->native_groups[i] = &h->groups[slot - 1];
                        h->groups[slot - 1].native = h->natives[i];
                }
        }
        h->scratch = ARENA_ARRAY(c->arena, Bucket, most);
        return h->scratch ? 0 : c->arena->error;
}

static bool group_has(const Group *g, size_t k) {
        for (size_t i = 0; i < g->n; i++)
                if (!is_absent(g->bounds[i].v[k]))
                        return true;
        return false;
}

static Span name_of(const WholeCall *c, LabelSet labels) {
        return c->delayed_names ? labelset_get(labels, (Span){ METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 })
                                : (Span){ "", 0 };
}

static void note_conflict(const Histograms *h, LabelSet labels) {
        Span metric = labelset_get(labels, (Span){ METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 });
        notes_add(h->c->notes, NOTE_WARNING, whole_place(h->c, h->arg),
                  "PromQL warning: vector contains a mix of classic and native histograms%s",
                  function_for_metric(metric).text);
}

/* The buckets of one step, equal bounds put together; 0 when there are none, or a native histogram is in the way. */
static size_t take_buckets(const Histograms *h, const Group *g, size_t k) {
        size_t n = 0;
        if (g->native && row_hist(g->native, k))
                return 0;
        for (size_t i = 0; i < g->n; i++) {
                double count = g->bounds[i].v[k];
                if (is_absent(count))
                        continue;
                if (n && h->scratch[n - 1].upper == g->bounds[i].upper)
                        h->scratch[n - 1].count += count;
                else
                        h->scratch[n++] = (Bucket){ g->bounds[i].upper, count };
        }
        return n;
}

/* The native histogram of one step; NULL when there is none, or classic buckets are in the way. */
static const FHist *take_native(const Histograms *h, size_t i, size_t k) {
        const FHist *hist = row_hist(h->natives[i], k);
        if (!hist || !h->native_groups[i] || !group_has(h->native_groups[i], k))
                return hist;
        note_conflict(h, h->natives[i]->labels);
        return NULL;
}

/* ---- classic buckets ---- */

#define TOLERANCE 1e-12 /* what calculating in another order may change */

static bool almost_equal(double a, double b) {
        double sum = fabs(a) + fabs(b), diff = fabs(a - b);
        if (a == b)
                return true;
        if (a == 0 || b == 0 || sum < 0x1p-1022)
                return diff < TOLERANCE * 0x1p-1022;
        return diff / (sum < 1.79769313486231570815e308 ? sum : 1.79769313486231570815e308) < TOLERANCE;
}

/* Counts that are less than those before them are set to those; *r says so unless the difference is but of rounding. */
static bool make_ascending(Bucket *b, size_t n, Repairs *r) {
        bool forced = false;
        double before = b[0].count;
        for (size_t i = 1; i < n; i++) {
                double count = b[i].count;
                if (count == before)
                        continue;
                if (almost_equal(before, count)) {
                        b[i].count = before;
                        continue;
                }
                if (!(count < before)) {
                        before = count;
                        continue;
                }
                b[i].count = before;
                if (!forced) {
                        r->min_bucket = INFINITY;
                        r->max_bucket = -INFINITY;
                        r->max_diff = 0;
                }
                forced = true;
                r->min_bucket = fmin(r->min_bucket, b[i].upper);
                r->max_bucket = fmax(r->max_bucket, b[i].upper);
                r->max_diff = fmax(r->max_diff, before - count);
        }
        return forced;
}

/* Linear within a bucket, the lowest one from 0 unless it ends below; in the highest one, its lower bound. */
static double bucket_quantile(double q, Bucket *b, size_t n, Repairs *r, bool *ret_forced) {
        *ret_forced = false;
        if (isnan(q))
                return NAN;
        if (q < 0)
                return -INFINITY;
        if (q > 1)
                return INFINITY;
        if (b[n - 1].upper != INFINITY)
                return NAN;
        bool forced = make_ascending(b, n, r);
        if (n < 2 || b[n - 1].count == 0)
                return NAN;
        *ret_forced = forced;
        double rank = q * b[n - 1].count, begin = 0;
        size_t i = 0;
        while (i < n - 1 && !(b[i].count >= rank))
                i++;
        if (i == n - 1)
                return b[n - 2].upper;
        if (i == 0 && b[0].upper <= 0)
                return b[0].upper;
        double end = b[i].upper, count = b[i].count;
        if (i > 0) {
                begin = b[i - 1].upper;
                count -= b[i - 1].count;
                rank -= b[i - 1].count;
        }
        return begin + (end - begin) * (rank / count);
}

/* How many observations are below v; what is in an infinite bucket is not known to be. */
static double bucket_rank(const Bucket *b, size_t n, double v) {
        double rank = 0, lower = b[0].upper <= 0 ? -INFINITY : 0;
        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        lower = b[i - 1].upper;
                if (lower >= v)
                        return rank;
                if (b[i].upper > v)
                        return lower == -INFINITY ? b[i].count
                                                  : rank + (b[i].count - rank) * (v - lower) / (b[i].upper - lower);
                rank = b[i].count;
        }
        return INFINITY;
}

static double bucket_fraction(double lower, double upper, const Bucket *b, size_t n) {
        double count = b[n - 1].count;
        if (b[n - 1].upper != INFINITY || count == 0 || isnan(lower) || isnan(upper))
                return NAN;
        if (lower >= upper)
                return 0;
        double from = bucket_rank(b, n, lower), to = bucket_rank(b, n, upper);
        return ((to > count ? count : to) - (from > count ? count : from)) / count;
}

/* ---- notes about what is in them ---- */

static void add_repair(Repairs *all, const Repairs *one, int64_t ms) {
        if (all->n++ == 0) {
                *all = (Repairs){ one->min_bucket, one->max_bucket, one->max_diff, ms, ms, 1 };
                return;
        }
        all->min_bucket = fmin(all->min_bucket, one->min_bucket);
        all->max_bucket = fmax(all->max_bucket, one->max_bucket);
        all->max_diff = fmax(all->max_diff, one->max_diff);
        all->min_ms = ms < all->min_ms ? ms : all->min_ms;
        all->max_ms = ms > all->max_ms ? ms : all->max_ms;
}

static void print_time(int64_t ms, char out[40]) {
        time_t seconds = (time_t)(ms / 1000);
        struct tm tm;
        if (!gmtime_r(&seconds, &tm) || strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                (void)snprintf(out, 40, "%lld", (long long)(ms / 1000));
}

static void note_repairs(const WholeCall *c, const Repairs *r, Span metric) {
        char from[40], to[40];
        if (r->n == 0)
                return;
        print_time(r->min_ms, from);
        print_time(r->max_ms, to);
        notes_add(c->notes, NOTE_INFO, whole_place(c, 1),
                  "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
                  "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)%s, from "
                  "buckets %s to %s, "
                  "with a max diff of %.2g, over %zu samples from %s to %s",
                  function_for_metric(metric).text, function_number(r->min_bucket).text,
                  function_number(r->max_bucket).text, r->max_diff, r->n, from, to);
}

static void note_nan(const WholeCall *c, FHistNan nan, Span metric) {
        if (nan != FHIST_NAN_NONE)
                notes_add(c->notes, NOTE_INFO, whole_place(c, 0),
                          "PromQL info: input to histogram_quantile has NaN observations, result is %s%s",
                          nan == FHIST_NAN_RESULT ? "NaN" : "skewed higher", function_for_metric(metric).text);
}

/* ---- results ---- */

/* The row of a histogram: its labels but the name, which delayed removal keeps for now. */
static int begin_row(const WholeCall *c, LabelSet labels, Row *row) {
        *row = (Row){ .labels = labels, .drop_name = c->delayed_names };
        if (!c->delayed_names)
                row->labels = labelset_drop_name(c->arena, labels);
        return row->labels.run ? whole_row_init(c, row) : c->arena->error;
}

static double native_quantile(const Histograms *h, size_t i, size_t k, double q) {
        const FHist *hist = take_native(h, i, k);
        FHistNan nan;
        if (!hist)
                return ABSENT;
        double v = fhist_quantile_nan(hist, q, &nan);
        note_nan(h->c, nan, name_of(h->c, h->natives[i]->labels));
        return v;
}

/* One quantile of all histograms: rows for natives, then for groups. `wanted`: only the steps where q is this (NULL:
 * all). */
static int quantile_rows(const Histograms *h, const double *q, const double *wanted, Row *rows) {
        const WholeCall *c = h->c;
        Repairs nameless = { 0 };
        for (size_t i = 0; i < h->n_natives; i++) {
                int r = begin_row(c, h->natives[i]->labels, &rows[i]);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < c->steps->n; k++)
                        if (!wanted || memcmp(&q[k], wanted, sizeof *q) == 0)
                                rows[i].v[k] = native_quantile(h, i, k, q[k]);
        }
        for (size_t i = 0; i < h->n_groups; i++) {
                const Group *g = &h->groups[i];
                Row *row = &rows[h->n_natives + i];
                Repairs own = { 0 }, one = { 0 }, *all = c->delayed_names ? &own : &nameless;
                bool forced;
                int r = begin_row(c, g->key, row);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < c->steps->n; k++) {
                        size_t n = !wanted || memcmp(&q[k], wanted, sizeof *q) == 0 ? take_buckets(h, g, k) : 0;
                        if (n == 0)
                                continue;
                        row->v[k] = bucket_quantile(q[k], h->scratch, n, &one, &forced);
                        if (forced)
                                add_repair(all, &one, step_time(c->steps, k));
                }
                note_repairs(c, &own, name_of(c, g->key));
        }
        note_repairs(c, &nameless, (Span){ "", 0 });
        return 0;
}

static void check_quantiles(const WholeCall *c, size_t arg, const double *q) {
        for (size_t k = 0; k < c->steps->n; k++)
                if (k == 0 || memcmp(&q[k], &q[k - 1], sizeof *q) != 0)
                        function_check_quantile(c->notes, whole_place(c, arg), q[k]);
}

int whole_histogram_quantile(const WholeCall *c, const Value *args, Value *ret_value) {
        Histograms h;
        check_quantiles(c, 0, args[0].scalar);
        int r = histograms_init(&h, c, 1, &args[1]);
        if (r < 0)
                return r;
        Row *rows = whole_rows(c, h.n_natives + h.n_groups);
        if (!rows)
                return c->arena->error;
        r = quantile_rows(&h, args[0].scalar, NULL, rows);
        *ret_value = (Value){ .type = TYPE_VECTOR, .rows = rows, .n_rows = h.n_natives + h.n_groups };
        return r;
}

/* A quantile as the value of a label: a float of OpenMetrics, with a point or an exponent. */
static Quoted label_of(double q) {
        Quoted text = function_number(q);
        if (isfinite(q) && !strpbrk(text.text, ".e"))
                strcat(text.text, ".0");
        return text;
}

/* Whether the value is at an earlier step already. */
static bool seen_before(const double *q, size_t k) {
        for (size_t i = 0; i < k; i++)
                if (memcmp(&q[i], &q[k], sizeof *q) == 0)
                        return true;
        return false;
}

/* The different values of all quantiles' arguments: mostly one each. */
static size_t count_values(const WholeCall *c, const Value *args) {
        size_t n = 0;
        for (size_t i = 2; i < c->call->call.n_args; i++)
                for (size_t k = 0; k < c->steps->n; k++)
                        n += k == 0 || (memcmp(&args[i].scalar[k], &args[i].scalar[k - 1], sizeof(double)) != 0 &&
                                        !seen_before(args[i].scalar, k));
        return n;
}

static int labelled_rows(const Histograms *h, Span label, const double *q, size_t k, Row *rows) {
        int r = quantile_rows(h, q, &q[k], rows);
        Quoted text = label_of(q[k]);
        for (size_t i = 0; r == 0 && i < h->n_natives + h->n_groups; i++) {
                rows[i].labels =
                        labelset_set(h->c->arena, rows[i].labels, label, (Span){ text.text, strlen(text.text) });
                if (!rows[i].labels.run)
                        r = h->c->arena->error;
        }
        return r;
}

int whole_histogram_quantiles(const WholeCall *c, const Value *args, Value *ret_value) {
        Histograms h;
        Span label = args[1].string;
        for (size_t i = 2; i < c->call->call.n_args; i++)
                check_quantiles(c, i, args[i].scalar);
        if (label.len == 0 || label.len > LABEL_NAME_MAX)
                return whole_refuse(c, "invalid label name in histogram_quantiles(): %.*s", (int)label.len, label.text);
        int r = histograms_init(&h, c, 0, &args[0]);
        if (r < 0)
                return r;
        size_t each = h.n_natives + h.n_groups, n = 0, values = count_values(c, args);
        Row *rows = whole_rows(c, each && values > SIZE_MAX / each ? SIZE_MAX : each * values);
        if (!rows)
                return c->arena->error;
        for (size_t i = 2; r == 0 && i < c->call->call.n_args; i++)
                for (size_t k = 0; r == 0 && k < c->steps->n; k++) {
                        const double *q = args[i].scalar;
                        if (k > 0 && (memcmp(&q[k], &q[k - 1], sizeof *q) == 0 || seen_before(q, k)))
                                continue;
                        r = labelled_rows(&h, label, q, k, rows + n);
                        n += each;
                }
        *ret_value = (Value){ .type = TYPE_VECTOR, .rows = rows, .n_rows = n };
        return r;
}

static double native_fraction(const Histograms *h, size_t i, size_t k, double lower, double upper) {
        const FHist *hist = take_native(h, i, k);
        bool nan;
        if (!hist)
                return ABSENT;
        double v = fhist_fraction_nan(hist, lower, upper, &nan);
        if (nan)
                notes_add(h->c->notes, NOTE_INFO, whole_place(h->c, 0),
                          "PromQL info: input to histogram_fraction has NaN observations, which are excluded from all "
                          "fractions%s",
                          function_for_metric(name_of(h->c, h->natives[i]->labels)).text);
        return v;
}

int whole_histogram_fraction(const WholeCall *c, const Value *args, Value *ret_value) {
        const double *lower = args[0].scalar, *upper = args[1].scalar;
        Histograms h;
        int r = histograms_init(&h, c, 2, &args[2]);
        if (r < 0)
                return r;
        Row *rows = whole_rows(c, h.n_natives + h.n_groups);
        if (!rows)
                return c->arena->error;
        for (size_t i = 0; r == 0 && i < h.n_natives + h.n_groups; i++) {
                bool native = i < h.n_natives;
                const Group *g = native ? NULL : &h.groups[i - h.n_natives];
                r = begin_row(c, native ? h.natives[i]->labels : g->key, &rows[i]);
                for (size_t k = 0; r == 0 && k < c->steps->n; k++) {
                        size_t n = native ? 0 : take_buckets(&h, g, k);
                        if (native)
                                rows[i].v[k] = native_fraction(&h, i, k, lower[k], upper[k]);
                        else if (n)
                                rows[i].v[k] = bucket_fraction(lower[k], upper[k], h.scratch, n);
                }
        }
        *ret_value = (Value){ .type = TYPE_VECTOR, .rows = rows, .n_rows = h.n_natives + h.n_groups };
        return r;
}
