/* A histogram is written as one dense run of buckets a side, so a side here is an offset and an array; adding two is
 * adding what has the same index. That is all that series of histograms need, and it leaves the engine's own sums out
 * of what checks them. */
#include "notation.h"

#include "base/number.h"
#include "model/labels.h"
#include "model/stale.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#define VALUES_MAX 1000000u
#define BUCKETS_MAX 1000u
#define CUSTOM_SCHEMA (-53)

typedef struct Side {
        int32_t offset;
        uint32_t n;
        double counts[BUCKETS_MAX];
} Side;

typedef struct Noted {
        int32_t schema;
        double count, sum, zero, zero_width;
        Side positive, negative;
        double custom[BUCKETS_MAX];
        uint32_t n_custom;
        FHistReset reset;
        bool reset_noted;
} Noted;

static void fail(Buf *error, const Scan *s, const char *expected) {
        size_t n = (size_t)(s->end - s->at);
        buf_printf(error, "expected %s at \"%.*s\"", expected, (int)(n < 40 ? n : 40), s->at);
}

static bool next_is(const Scan *s, char c) {
        return s->at < s->end && *s->at == c;
}

/* ---- Texts and names ---- */

static bool hex_digits(Scan *s, unsigned n, uint32_t *ret_code) {
        uint32_t code = 0;
        for (unsigned i = 0; i < n; i++, s->at++) {
                if (s->at == s->end || !isxdigit((unsigned char)*s->at))
                        return false;
                code = code * 16 + (uint32_t)(*s->at <= '9' ? *s->at - '0' : (*s->at | 32) - 'a' + 10);
        }
        *ret_code = code;
        return true;
}

static void put_utf8(Buf *out, uint32_t code) {
        if (code < 0x80) {
                buf_put_char(out, (char)code);
        } else if (code < 0x800) {
                buf_put_char(out, (char)(0xc0 | code >> 6));
                buf_put_char(out, (char)(0x80 | (code & 0x3f)));
        } else {
                if (code >= 0x10000) {
                        buf_put_char(out, (char)(0xf0 | code >> 18));
                        buf_put_char(out, (char)(0x80 | (code >> 12 & 0x3f)));
                } else {
                        buf_put_char(out, (char)(0xe0 | code >> 12));
                }
                buf_put_char(out, (char)(0x80 | (code >> 6 & 0x3f)));
                buf_put_char(out, (char)(0x80 | (code & 0x3f)));
        }
}

static bool escape(Scan *s, Buf *out) {
        static const char FROM[] = "abfnrtv\\'\"", TO[] = "\a\b\f\n\r\t\v\\'\"";
        uint32_t code;
        if (s->at == s->end)
                return false;
        char c = *s->at++;
        const char *found = c ? strchr(FROM, c) : NULL;
        if (found) {
                buf_put_char(out, TO[found - FROM]);
                return true;
        }
        if (c == 'x' && hex_digits(s, 2, &code)) {
                buf_put_char(out, (char)code);
                return true;
        }
        if ((c == 'u' && hex_digits(s, 4, &code)) || (c == 'U' && hex_digits(s, 8, &code))) {
                put_utf8(out, code);
                return true;
        }
        return false;
}

bool notation_string(Scan *s, Buf *ret_text) {
        if (s->at == s->end || !strchr("\"'`", *s->at) || !*s->at)
                return false;
        char quote = *s->at++;
        while (s->at < s->end && *s->at != quote) {
                char c = *s->at++;
                if (c != '\\' || quote == '`')
                        buf_put_char(ret_text, c);
                else if (!escape(s, ret_text))
                        return false;
        }
        return s->at < s->end && *s->at++ == quote;
}

static bool name_at(Scan *s, bool metric, Buf *out) {
        const char *from = s->at;
        while (s->at < s->end && (isalpha((unsigned char)*s->at) || *s->at == '_' || (metric && *s->at == ':') ||
                                  (s->at > from && isdigit((unsigned char)*s->at))))
                s->at++;
        buf_put(out, from, (size_t)(s->at - from));
        return s->at > from;
}

/* ---- Labels ---- */

typedef struct LabelTexts {
        Buf texts[2 * LABELS_MAX]; /* name, value, ... */
        size_t n;
} LabelTexts;

static void label_texts_deinit(LabelTexts *l) {
        for (size_t i = 0; i < 2 * LABELS_MAX; i++)
                buf_deinit(&l->texts[i]);
}

static bool add_name(LabelTexts *l) {
        if (l->n == LABELS_MAX)
                return false;
        buf_put_str(&l->texts[2 * l->n], METRIC_NAME_LABEL);
        return true;
}

/* One of a="b", "a b"="c", "metric". */
static bool one_label(Scan *s, LabelTexts *l) {
        Buf *name = &l->texts[2 * l->n], *value = name + 1;
        if (l->n == LABELS_MAX)
                return false;
        bool quoted = next_is(s, '"') || next_is(s, '\'');
        if (quoted ? !notation_string(s, name) : !name_at(s, false, name))
                return false;
        scan_blank(s);
        if (next_is(s, '=')) {
                s->at++;
                scan_blank(s);
                l->n++;
                return notation_string(s, value);
        }
        if (!quoted)
                return false;
        Buf metric = *name;
        *name = BUF_NULL;
        *value = metric;
        bool added = add_name(l);
        l->n++;
        return added;
}

static bool label_list(Scan *s, LabelTexts *l) {
        s->at++;
        scan_blank(s);
        while (!next_is(s, '}')) {
                if (!one_label(s, l))
                        return false;
                scan_blank(s);
                if (!next_is(s, ',') && !next_is(s, '}'))
                        return false;
                if (next_is(s, ','))
                        s->at++;
                scan_blank(s);
        }
        s->at++;
        return true;
}

static int parse_labels(Scan *s, Buf *ret_run, Buf *error) {
        CLEANUP(label_texts_deinit) LabelTexts l = { 0 };
        Label labels[LABELS_MAX];
        if (!next_is(s, '{')) {
                if (!add_name(&l) || !name_at(s, true, &l.texts[1])) {
                        fail(error, s, "a metric's name or labels");
                        return -EINVAL;
                }
                l.n = 1;
                scan_blank(s);
        }
        bool histogram = s->end - s->at > 1 && s->at[0] == '{' && s->at[1] == '{'; /* the series' first value */
        if (next_is(s, '{') && !histogram && !label_list(s, &l)) {
                fail(error, s, "labels");
                return -EINVAL;
        }
        for (size_t i = 0; i < l.n; i++)
                labels[i] = (Label){ { l.texts[2 * i].data, l.texts[2 * i].len },
                                     { l.texts[2 * i + 1].data, l.texts[2 * i + 1].len } };
        LabelsFault fault = labels_build(labels, l.n, ret_run);
        if (fault)
                buf_put_str(error, labels_fault_text(fault));
        return fault ? -EINVAL : buf_error(ret_run);
}

/* ---- Numbers ---- */

/* Digits, point, exponent, or Inf and NaN; no sign. */
static bool number_at(Scan *s, double *ret_v) {
        const char *at = s->at;
        if (at < s->end && isalpha((unsigned char)*at)) {
                while (at < s->end && isalpha((unsigned char)*at) && *at != 'x')
                        at++;
        } else {
                while (at < s->end && (isdigit((unsigned char)*at) || *at == '.'))
                        at++;
                if (at < s->end && (*at == 'e' || *at == 'E')) {
                        at++;
                        if (at < s->end && (*at == '+' || *at == '-'))
                                at++;
                        while (at < s->end && isdigit((unsigned char)*at))
                                at++;
                }
        }
        if (at == s->at || number_parse(s->at, (size_t)(at - s->at), ret_v) < 0)
                return false;
        s->at = at;
        return true;
}

static bool signed_at(Scan *s, double *ret_v) {
        bool minus = next_is(s, '-');
        if (minus || next_is(s, '+'))
                s->at++;
        if (!number_at(s, ret_v))
                return false;
        if (minus)
                *ret_v = -*ret_v;
        return true;
}

bool notation_duration(Span text, int64_t *ret_ms) {
        static const struct {
                const char *unit;
                int64_t ms;
        } UNITS[] = { { "ms", 1 },
                      { "s", 1000 },
                      { "m", 60000 },
                      { "h", 3600000 },
                      { "d", 86400000 },
                      { "w", 7 * INT64_C(86400000) },
                      { "y", 365 * INT64_C(86400000) } };
        Scan s = SCAN(text.text, text.len);
        int64_t total = 0;
        if (span_is(text, "0")) {
                *ret_ms = 0;
                return true;
        }
        while (s.at < s.end) {
                uint64_t n;
                size_t u = 0;
                if (!isdigit((unsigned char)*s.at) || !scan_u64(&s, &n))
                        return false;
                while (u < ARRAY_LEN(UNITS) && !scan_literal(&s, UNITS[u].unit))
                        u++;
                if (u == ARRAY_LEN(UNITS))
                        return false;
                total += (int64_t)n * UNITS[u].ms;
        }
        *ret_ms = total;
        return text.len > 0;
}

/* ---- Histograms ---- */

static bool number_list(Scan *s, double *ret, uint32_t *ret_n) {
        uint32_t n = 0;
        if (!next_is(s, '['))
                return false;
        s->at++;
        scan_blank(s);
        while (!next_is(s, ']')) {
                if (n == BUCKETS_MAX || !signed_at(s, &ret[n++]))
                        return false;
                scan_blank(s);
        }
        s->at++;
        *ret_n = n;
        return true;
}

static bool reset_hint(Scan *s, Noted *h) {
        static const struct {
                const char *name;
                FHistReset reset;
        } HINTS[] = { { "unknown", FHIST_RESET_UNKNOWN },
                      { "not_reset", FHIST_RESET_NO },
                      { "reset", FHIST_RESET_YES },
                      { "gauge", FHIST_RESET_GAUGE } };
        for (size_t i = 0; i < ARRAY_LEN(HINTS); i++) {
                if (!scan_literal(s, HINTS[i].name))
                        continue;
                h->reset = HINTS[i].reset;
                h->reset_noted = true;
                return true;
        }
        return false;
}

static bool whole(Scan *s, int32_t *ret) {
        double v;
        if (!signed_at(s, &v))
                return false;
        *ret = (int32_t)v;
        return true;
}

static bool histogram_field(Scan *s, Noted *h) {
        CLEANUP(buf_deinit) Buf name = BUF_NULL;
        if (!name_at(s, false, &name) || !next_is(s, ':'))
                return false;
        s->at++;
        scan_blank(s);
        Span key = { name.data, name.len };
        return span_is(key, "schema")               ? whole(s, &h->schema)
               : span_is(key, "count")              ? signed_at(s, &h->count)
               : span_is(key, "sum")                ? signed_at(s, &h->sum)
               : span_is(key, "z_bucket")           ? signed_at(s, &h->zero)
               : span_is(key, "z_bucket_w")         ? signed_at(s, &h->zero_width)
               : span_is(key, "offset")             ? whole(s, &h->positive.offset)
               : span_is(key, "n_offset")           ? whole(s, &h->negative.offset)
               : span_is(key, "buckets")            ? number_list(s, h->positive.counts, &h->positive.n)
               : span_is(key, "n_buckets")          ? number_list(s, h->negative.counts, &h->negative.n)
               : span_is(key, "custom_values")      ? number_list(s, h->custom, &h->n_custom)
               : span_is(key, "counter_reset_hint") ? reset_hint(s, h)
                                                    : false;
}

static bool histogram_at(Scan *s, Noted *h) {
        *h = (Noted){ 0 };
        if (!scan_literal(s, "{{"))
                return false;
        scan_blank(s);
        while (!scan_literal(s, "}}")) {
                if (!histogram_field(s, h))
                        return false;
                scan_blank(s);
        }
        return true;
}

/* Index of the coarser bucket that holds the finer one's. */
static int32_t coarser(int32_t index, int32_t by) {
        return ((index - 1) >> by) + 1;
}

static void side_add(Side *x, const Side *y, int32_t by, double sign) {
        for (uint32_t i = 0; i < y->n; i++) {
                int32_t at = coarser(y->offset + (int32_t)i, by);
                if (x->n == 0)
                        x->offset = at;
                if (at < x->offset) {
                        uint32_t more = (uint32_t)(x->offset - at);
                        assert(x->n + more <= BUCKETS_MAX);
                        memmove(x->counts + more, x->counts, x->n * sizeof *x->counts);
                        memset(x->counts, 0, more * sizeof *x->counts);
                        x->offset = at;
                        x->n += more;
                }
                while (at >= x->offset + (int32_t)x->n) {
                        assert(x->n < BUCKETS_MAX);
                        x->counts[x->n++] = 0;
                }
                x->counts[at - x->offset] += sign * y->counts[i];
        }
}

/* x += sign * y, which has the same or a finer schema. */
static bool noted_add(Noted *x, const Noted *y, double sign) {
        bool custom = x->schema == CUSTOM_SCHEMA;
        if (custom != (y->schema == CUSTOM_SCHEMA) || (!custom && y->schema < x->schema))
                return false;
        if (custom &&
            (x->n_custom != y->n_custom || memcmp(x->custom, y->custom, x->n_custom * sizeof *x->custom) != 0))
                return false;
        int32_t by = custom ? 0 : y->schema - x->schema;
        side_add(&x->positive, &y->positive, by, sign);
        side_add(&x->negative, &y->negative, by, sign);
        x->count += sign * y->count;
        x->sum += sign * y->sum;
        x->zero += sign * y->zero;
        if (y->zero_width > x->zero_width)
                x->zero_width = y->zero_width;
        return true;
}

static void side_write(Arena *a, const Side *s, HistogramSpan **spans, uint32_t *n_spans, double **counts,
                       uint32_t *n) {
        if (s->n == 0)
                return;
        *spans = ARENA_NEW(a, HistogramSpan);
        *counts = ARENA_ARRAY(a, double, s->n);
        assert(*spans && *counts);
        **spans = (HistogramSpan){ s->offset, s->n };
        memcpy(*counts, s->counts, s->n * sizeof *s->counts);
        *n_spans = 1;
        *n = s->n;
}

static FHist *noted_fhist(Arena *a, const Noted *x) {
        FHist *h = ARENA_NEW(a, FHist);
        assert(h);
        h->schema = x->schema;
        h->reset = x->reset;
        h->zero_threshold = x->zero_width;
        h->zero_count = x->zero;
        h->count = x->count;
        h->sum = x->sum;
        side_write(a, &x->positive, &h->positive_spans, &h->n_positive_spans, &h->positive, &h->n_positive);
        side_write(a, &x->negative, &h->negative_spans, &h->n_negative_spans, &h->negative, &h->n_negative);
        if (x->n_custom) {
                double *bounds = ARENA_ARRAY(a, double, x->n_custom);
                assert(bounds);
                memcpy(bounds, x->custom, x->n_custom * sizeof *bounds);
                h->custom_bounds = bounds;
                h->n_custom = x->n_custom;
        }
        return h;
}

/* ---- Sequences of values ---- */

static void push(NotedSeries *s, NotedValue v) {
        if (s->n == s->cap) {
                size_t cap = s->cap ? 2 * s->cap : 64;
                NotedValue *grown = reallocarray(s->values, cap, sizeof *grown);
                if (!grown)
                        abort();
                s->values = grown;
                s->cap = cap;
        }
        s->values[s->n++] = v;
}

/* "x10" after an item; 0 when there is none. */
static bool times(Scan *s, uint64_t *ret_n) {
        *ret_n = 0;
        if (!next_is(s, 'x'))
                return true;
        s->at++;
        return scan_u64(s, ret_n) && *ret_n <= VALUES_MAX;
}

static bool omitted_item(Scan *s, NotedSeries *out) {
        uint64_t n;
        s->at++;
        if (!times(s, &n))
                return false;
        for (uint64_t i = 0; i < (n ? n : 1); i++)
                push(out, (NotedValue){ .omitted = true });
        return true;
}

static bool float_item(Scan *s, NotedSeries *out) {
        double v, add = 0;
        uint64_t n;
        if (scan_literal(s, "stale"))
                v = stale_marker();
        else if (!signed_at(s, &v))
                return false;
        if ((next_is(s, '+') || next_is(s, '-')) && !signed_at(s, &add))
                return false;
        if (!times(s, &n))
                return false;
        for (uint64_t i = 0; i <= n; i++) {
                push(out, (NotedValue){ .v = v });
                if (add != 0)
                        v += add;
        }
        return true;
}

static bool histogram_item(Arena *a, Scan *s, NotedSeries *out) {
        Noted *h = malloc(2 * sizeof *h), *add = h + 1;
        CLEANUP_FREE __attribute__((unused)) void *memory = h;
        double sign = 0;
        uint64_t n;
        if (!h)
                abort();
        if (!histogram_at(s, h))
                return false;
        if (next_is(s, '+') || next_is(s, '-')) {
                sign = *s->at++ == '+' ? 1 : -1;
                if (!histogram_at(s, add))
                        return false;
        }
        if (!times(s, &n))
                return false;
        for (uint64_t i = 0; i <= n; i++) {
                push(out, (NotedValue){ .h = noted_fhist(a, h), .reset_noted = h->reset_noted });
                if (sign != 0 && !noted_add(h, add, sign))
                        return false;
        }
        return true;
}

static int parse_values(Arena *a, Scan *s, NotedSeries *out, Buf *error) {
        for (scan_blank(s); s->at < s->end; scan_blank(s)) {
                bool ok = next_is(s, '_')   ? omitted_item(s, out)
                          : next_is(s, '{') ? histogram_item(a, s, out)
                                            : float_item(s, out);
                if (!ok || (s->at < s->end && *s->at != ' ' && *s->at != '\t') || out->n > VALUES_MAX) {
                        fail(error, s, "a value of the series");
                        return -EINVAL;
                }
        }
        return 0;
}

int notation_parse(Arena *a, Span line, NotedSeries *ret_series, Buf *ret_error) {
        Scan s = SCAN(line.text, line.len);
        NotedSeries series = { 0 };
        int r = parse_labels(&s, &series.run, ret_error);
        if (r == 0)
                r = parse_values(a, &s, &series, ret_error);
        if (r < 0)
                noted_series_deinit(&series);
        else
                *ret_series = series;
        return r;
}

void noted_series_deinit(NotedSeries *s) {
        buf_deinit(&s->run);
        free(s->values);
        *s = (NotedSeries){ 0 };
}
