/* Histograms of remote write: read from any order of fields, packed or not, checked whole, written in the one canonical order. */
#include "model/histogram.h"

#include "base/protobuf.h"
#include "model/stale.h"

#include <assert.h>
#include <math.h>

/* Field numbers of the message. */
enum {
        F_COUNT_INT = 1, F_COUNT_FLOAT, F_SUM, F_SCHEMA, F_ZERO_THRESHOLD, F_ZERO_INT, F_ZERO_FLOAT,
        F_NEGATIVE_SPANS, F_NEGATIVE_DELTAS, F_NEGATIVE_COUNTS, F_POSITIVE_SPANS, F_POSITIVE_DELTAS, F_POSITIVE_COUNTS,
        F_RESET_HINT, F_TIMESTAMP, F_CUSTOM_VALUES,
};
enum { F_SPAN_OFFSET = 1, F_SPAN_LENGTH = 2 };

#define SCHEMA_CUSTOM (-53)

/* What is being read, and what the first wrong thing was. */
typedef struct Parser {
        Histogram *h;
        int64_t time_ms;
        bool zero_is_float, has_zero;
        uint32_t n_deltas[2], n_counts[2]; /* of negative, positive */
        const char *why;
} Parser;

static bool fail(Parser *p, const char *why) {
        if (!p->why)
                p->why = why;
        return false;
}

/* ---- reading ---- */

static bool sint32(uint64_t v, int32_t *ret_v) {
        int64_t wide = unzigzag(v);
        if (wide < INT32_MIN || wide > INT32_MAX)
                return false;
        *ret_v = (int32_t)wide;
        return true;
}

static bool read_span(Parser *p, HistogramSide *side, const ProtoField *f) {
        HistogramSpan span = { 0 };
        ProtoReader r = PROTO_READER(f->bytes, f->len);
        ProtoField g;
        int got;
        while ((got = proto_next(&r, &g)) > 0) {
                if (proto_is(&g, F_SPAN_OFFSET, PROTO_VARINT) && !sint32(g.value, &span.offset))
                        return fail(p, "a span's offset is over 32 bits");
                if (proto_is(&g, F_SPAN_LENGTH, PROTO_VARINT)) {
                        if (g.value > HISTOGRAM_BUCKETS_MAX)
                                return fail(p, "a span is longer than 1000 buckets");
                        span.length = (uint32_t)g.value;
                }
        }
        if (got < 0)
                return fail(p, "a span is malformed");
        if (side->n_spans == HISTOGRAM_BUCKETS_MAX)
                return fail(p, "more than 1000 spans");
        side->spans[side->n_spans++] = span;
        return true;
}

static bool put_delta(Parser *p, unsigned sign, uint64_t v) {
        HistogramSide *side = sign ? &p->h->positive : &p->h->negative;
        if (p->n_deltas[sign] == HISTOGRAM_BUCKETS_MAX)
                return fail(p, "more than 1000 buckets");
        side->deltas[p->n_deltas[sign]++] = unzigzag(v);
        return true;
}

/* sint64, packed or one by one. */
static bool read_deltas(Parser *p, unsigned sign, const ProtoField *f) {
        if (f->type == PROTO_VARINT)
                return put_delta(p, sign, f->value);
        if (f->type != PROTO_BYTES)
                return fail(p, "bucket deltas of a wrong type");
        const uint8_t *at = f->bytes, *end = at + f->len;
        for (uint64_t v; at < end;)
                if (!varint_get(&at, end, &v))
                        return fail(p, "bucket deltas are malformed");
                else if (!put_delta(p, sign, v))
                        return false;
        return true;
}

/* double, packed or one by one, appended to list[*n]. */
static bool read_doubles(Parser *p, const ProtoField *f, double *list, uint32_t *n) {
        const uint8_t *at = f->type == PROTO_BYTES ? f->bytes : (const uint8_t *)&f->value;
        size_t count = f->type == PROTO_BYTES ? f->len / 8 : 1;
        if (f->type != PROTO_FIXED64 && (f->type != PROTO_BYTES || f->len % 8 != 0))
                return fail(p, "bucket counts or bounds are malformed");
        if (count > HISTOGRAM_BUCKETS_MAX - *n)
                return fail(p, "more than 1000 buckets");
        for (size_t i = 0; i < count; i++)
                list[(*n)++] = proto_double(proto_load64(at + 8 * i));
        return true;
}

static bool read_varint(Parser *p, const ProtoField *f) {
        Histogram *h = p->h;
        switch (f->number) {
        case F_COUNT_INT:
                h->is_float = false;
                h->count_int = f->value;
                return true;
        case F_ZERO_INT:
                p->has_zero = true;
                p->zero_is_float = false;
                h->zero_int = f->value;
                return true;
        case F_SCHEMA: return sint32(f->value, &h->schema) || fail(p, "the schema is not -4 to 8 or -53");
        case F_RESET_HINT:
                h->reset_hint = f->value <= 3 ? (uint32_t)f->value : 0; /* an enum may grow: unknown */
                return true;
        case F_TIMESTAMP: p->time_ms = (int64_t)f->value; return true;
        default: return true;
        }
}

static bool read_double(Parser *p, const ProtoField *f) {
        Histogram *h = p->h;
        double v = proto_double(f->value);
        switch (f->number) {
        case F_COUNT_FLOAT:
                h->is_float = true;
                h->count_float = v;
                return true;
        case F_SUM: h->sum = v; return true;
        case F_ZERO_THRESHOLD: h->zero_threshold = v; return true;
        case F_ZERO_FLOAT:
                p->has_zero = p->zero_is_float = true;
                h->zero_float = v;
                return true;
        default: return true;
        }
}

static bool read_field(Parser *p, const ProtoField *f) {
        Histogram *h = p->h;
        switch (f->number) {
        case F_NEGATIVE_SPANS:
        case F_POSITIVE_SPANS:
                if (f->type != PROTO_BYTES)
                        return fail(p, "a span is malformed");
                return read_span(p, f->number == F_NEGATIVE_SPANS ? &h->negative : &h->positive, f);
        case F_NEGATIVE_DELTAS: return read_deltas(p, 0, f);
        case F_POSITIVE_DELTAS: return read_deltas(p, 1, f);
        case F_NEGATIVE_COUNTS: return read_doubles(p, f, h->negative.counts, &p->n_counts[0]);
        case F_POSITIVE_COUNTS: return read_doubles(p, f, h->positive.counts, &p->n_counts[1]);
        case F_CUSTOM_VALUES: return read_doubles(p, f, h->custom_bounds, &h->n_custom);
        default:
                if (f->type == PROTO_VARINT)
                        return read_varint(p, f);
                return f->type != PROTO_FIXED64 || read_double(p, f);
        }
}

/* ---- checking ---- */

/* Spans go upwards within int32 and cover as many buckets as there are. Indices below 0 and from `most` on are not allowed
 * with custom bounds; `most` is negative without. */
static bool check_spans(Parser *p, const HistogramSide *side, int64_t most) {
        int64_t index = 0;
        uint64_t covered = 0;
        for (uint32_t i = 0; i < side->n_spans; i++) {
                const HistogramSpan *s = &side->spans[i];
                if ((i > 0 || most >= 0) && s->offset < 0)
                        return fail(p, "a span's offset is negative");
                index += (int64_t)s->offset + s->length;
                covered += s->length;
                if (index > INT32_MAX || index < INT32_MIN)
                        return fail(p, "the spans are over 32 bits");
                if (most >= 0 && index > most)
                        return fail(p, "the spans are beyond the custom bounds");
        }
        return covered == side->n_buckets || fail(p, "the spans cover another number of buckets than there are");
}

static bool add_deltas(Parser *p, const HistogramSide *side, uint64_t *sum) {
        int64_t count = 0;
        for (uint32_t i = 0; i < side->n_buckets; i++) {
                bool over = __builtin_add_overflow(count, side->deltas[i], &count);
                if (!over && count < 0)
                        return fail(p, "a bucket's count is negative");
                if (over || __builtin_add_overflow(*sum, (uint64_t)count, sum))
                        return fail(p, "the buckets' counts are over 64 bits");
        }
        return true;
}

static bool check_counts_int(Parser *p) {
        const Histogram *h = p->h;
        uint64_t sum = h->zero_int;
        if (!add_deltas(p, &h->negative, &sum) || !add_deltas(p, &h->positive, &sum))
                return false;
        if (sum > h->count_int)
                return fail(p, "more observations in the buckets than the count");
        /* Observations of NaN are in the count and in no bucket. */
        return sum == h->count_int || isnan(h->sum) || fail(p, "fewer observations in the buckets than the count");
}

static bool check_counts_of(Parser *p, const HistogramSide *side) {
        for (uint32_t i = 0; i < side->n_buckets; i++)
                if (!(side->counts[i] >= 0))
                        return fail(p, "a bucket's count is negative or not a number");
        return true;
}

static bool check_counts_float(Parser *p) {
        const Histogram *h = p->h;
        if (!(h->count_float >= 0) || !(h->zero_float >= 0))
                return fail(p, "a count is negative or not a number");
        /* They come out of arithmetic: Prometheus does not ask either that the buckets' sum is not over the count. */
        return check_counts_of(p, &h->negative) && check_counts_of(p, &h->positive);
}

static bool check_custom(Parser *p) {
        const Histogram *h = p->h;
        if (h->negative.n_spans || h->negative.n_buckets)
                return fail(p, "custom bounds have no negative buckets");
        if (h->zero_int || h->zero_float != 0 || h->zero_threshold != 0)
                return fail(p, "custom bounds have no zero bucket");
        for (uint32_t i = 0; i < h->n_custom; i++)
                if (!isfinite(h->custom_bounds[i]) || (i > 0 && !(h->custom_bounds[i] > h->custom_bounds[i - 1])))
                        return fail(p, "the custom bounds do not ascend");
        return true;
}

static bool check_schema(Parser *p) {
        const Histogram *h = p->h;
        if (h->schema == SCHEMA_CUSTOM)
                return check_custom(p);
        if (h->schema < -4 || h->schema > 8)
                return fail(p, "the schema is not -4 to 8 or -53");
        if (h->n_custom)
                return fail(p, "custom bounds with an exponential schema");
        return h->zero_threshold >= 0 || fail(p, "the zero threshold is negative or not a number");
}

/* Integer and float counts are one or the other. */
static bool check_kind(Parser *p) {
        Histogram *h = p->h;
        const uint32_t *own = h->is_float ? p->n_counts : p->n_deltas, *other = h->is_float ? p->n_deltas : p->n_counts;
        if (other[0] || other[1] || (p->has_zero && p->zero_is_float != h->is_float && (h->zero_int || h->zero_float != 0)))
                return fail(p, "integer and float counts are mixed");
        if (h->is_float)
                h->count_int = h->zero_int = 0;
        else
                h->count_float = h->zero_float = 0;
        h->negative.n_buckets = own[0];
        h->positive.n_buckets = own[1];
        return true;
}

static bool check(Parser *p) {
        int64_t most = p->h->schema == SCHEMA_CUSTOM ? (int64_t)p->h->n_custom + 1 : -1;
        return check_kind(p) && check_schema(p) && check_spans(p, &p->h->negative, -1) &&
               check_spans(p, &p->h->positive, most) && (p->h->is_float ? check_counts_float(p) : check_counts_int(p));
}

/* All but the lists, which are as long as they say. */
static void clear(Histogram *h) {
        h->is_float = false;
        h->count_int = h->zero_int = 0;
        h->count_float = h->zero_float = h->sum = h->zero_threshold = 0;
        h->schema = 0;
        h->negative.n_spans = h->negative.n_buckets = h->positive.n_spans = h->positive.n_buckets = 0;
        h->reset_hint = h->n_custom = 0;
}

int histogram_parse(const uint8_t *bytes, size_t n, Histogram *ret_h, int64_t *ret_time_ms, const char **ret_why) {
        Parser p = { .h = ret_h };
        ProtoField f;
        int got = 0;
        clear(ret_h);
        if (n > HISTOGRAM_BYTES_MAX) {
                *ret_why = "longer than 64 KiB";
                return -EBADMSG;
        }
        ProtoReader r = PROTO_READER(bytes, n);
        while ((got = proto_next(&r, &f)) > 0 && read_field(&p, &f))
                ;
        if (got < 0)
                (void)fail(&p, "not a message");
        if (p.why || !check(&p)) {
                *ret_why = p.why;
                return -EBADMSG;
        }
        *ret_time_ms = p.time_ms;
        return 0;
}

/* ---- writing ---- */

static void put_varint(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

static void put_tag(Buf *out, unsigned field, ProtoType type) {
        put_varint(out, (uint64_t)field << 3 | (unsigned)type);
}

static void put_number(Buf *out, unsigned field, uint64_t v) {
        if (v == 0)
                return;
        put_tag(out, field, PROTO_VARINT);
        put_varint(out, v);
}

static void put_double(Buf *out, unsigned field, double v, bool always) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits); /* -0 is not the default */
        if (bits == 0 && !always)
                return;
        put_tag(out, field, PROTO_FIXED64);
        buf_put(out, &bits, sizeof bits);
}

static void put_doubles(Buf *out, unsigned field, const double *list, uint32_t n) {
        if (n == 0)
                return;
        put_tag(out, field, PROTO_BYTES);
        put_varint(out, (uint64_t)n * sizeof *list);
        buf_put(out, list, n * sizeof *list);
}

static void put_deltas(Buf *out, unsigned field, const int64_t *list, uint32_t n) {
        uint8_t bytes[VARINT_MAX];
        size_t len = 0;
        if (n == 0)
                return;
        for (uint32_t i = 0; i < n; i++)
                len += varint_put(bytes, zigzag(list[i]));
        put_tag(out, field, PROTO_BYTES);
        put_varint(out, len);
        for (uint32_t i = 0; i < n; i++)
                put_varint(out, zigzag(list[i]));
}

static void put_spans(Buf *out, unsigned field, const HistogramSide *side) {
        for (uint32_t i = 0; i < side->n_spans; i++) {
                uint8_t bytes[2 + 2 * VARINT_MAX];
                size_t n = 0;
                if (side->spans[i].offset) {
                        bytes[n++] = F_SPAN_OFFSET << 3;
                        n += varint_put(bytes + n, zigzag(side->spans[i].offset));
                }
                if (side->spans[i].length) {
                        bytes[n++] = F_SPAN_LENGTH << 3;
                        n += varint_put(bytes + n, side->spans[i].length);
                }
                put_tag(out, field, PROTO_BYTES);
                put_varint(out, n);
                buf_put(out, bytes, n);
        }
}

static void put_side(Buf *out, unsigned first, const HistogramSide *side, bool is_float) {
        put_spans(out, first, side);
        if (is_float)
                put_doubles(out, first + 2, side->counts, side->n_buckets);
        else
                put_deltas(out, first + 1, side->deltas, side->n_buckets);
}

void histogram_write(const Histogram *h, Buf *out) {
        assert(h->negative.n_spans <= HISTOGRAM_BUCKETS_MAX && h->negative.n_buckets <= HISTOGRAM_BUCKETS_MAX);
        assert(h->positive.n_spans <= HISTOGRAM_BUCKETS_MAX && h->positive.n_buckets <= HISTOGRAM_BUCKETS_MAX);
        assert(h->n_custom <= HISTOGRAM_BUCKETS_MAX);
        if (h->is_float)
                put_double(out, F_COUNT_FLOAT, h->count_float, true); /* its presence says which kind it is */
        else
                put_number(out, F_COUNT_INT, h->count_int);
        put_double(out, F_SUM, h->sum, false);
        put_number(out, F_SCHEMA, zigzag(h->schema));
        put_double(out, F_ZERO_THRESHOLD, h->zero_threshold, false);
        if (h->is_float)
                put_double(out, F_ZERO_FLOAT, h->zero_float, false);
        else
                put_number(out, F_ZERO_INT, h->zero_int);
        put_side(out, F_NEGATIVE_SPANS, &h->negative, h->is_float);
        put_side(out, F_POSITIVE_SPANS, &h->positive, h->is_float);
        put_number(out, F_RESET_HINT, h->reset_hint);
        put_doubles(out, F_CUSTOM_VALUES, h->custom_bounds, h->n_custom);
}

bool histogram_is_stale(const Histogram *h) {
        uint64_t bits;
        memcpy(&bits, &h->sum, sizeof bits);
        return bits == STALE_BITS;
}
