/* A walk over families, metrics and their parts, one item a call: where it stands is kept as readers of the messages
 * that are open. Fields may come in any order, so a message is looked through for what is single before its lists are
 * walked. */
#include "wire/exposition_proto.h"

#include "base/escape.h"
#include "base/protobuf.h"
#include "model/histogram.h"

#include <math.h>

enum { /* MetricFamily */
        FAMILY_NAME = 1,
        FAMILY_HELP = 2,
        FAMILY_TYPE = 3,
        FAMILY_METRIC = 4,
        FAMILY_UNIT = 5,
};

enum { /* Metric */
        METRIC_LABEL = 1,
        METRIC_OF_GAUGE = 2,
        METRIC_OF_COUNTER = 3,
        METRIC_OF_SUMMARY = 4,
        METRIC_OF_UNTYPED = 5,
        METRIC_TIME = 6,
        METRIC_OF_HISTOGRAM = 7,
};

enum { /* Summary and Histogram */
        SAMPLE_COUNT = 1,
        SAMPLE_SUM = 2,
        SAMPLE_PART = 3, /* Quantile, Bucket */
        SAMPLE_COUNT_FLOAT = 4,
        HISTOGRAM_SCHEMA = 5,
        HISTOGRAM_ZERO_THRESHOLD = 6,
        HISTOGRAM_ZERO_COUNT = 7,
        HISTOGRAM_ZERO_COUNT_FLOAT = 8,
        HISTOGRAM_NEGATIVE_SPAN = 9,
        HISTOGRAM_NEGATIVE_DELTA = 10,
        HISTOGRAM_NEGATIVE_COUNT = 11,
        HISTOGRAM_POSITIVE_SPAN = 12,
        HISTOGRAM_POSITIVE_DELTA = 13,
        HISTOGRAM_POSITIVE_COUNT = 14,
};

typedef enum FamilyType
        { TYPE_COUNTER, TYPE_GAUGE, TYPE_SUMMARY, TYPE_UNTYPED, TYPE_HISTOGRAM, TYPE_GAUGE_HISTOGRAM,
          TYPE_COUNT } FamilyType;

static const struct {
        const char *name;
        MetricType type;
        uint32_t field; /* of Metric */
} TYPES[TYPE_COUNT] = {
        [TYPE_COUNTER] = { "counter", METRIC_COUNTER, METRIC_OF_COUNTER },
        [TYPE_GAUGE] = { "gauge", METRIC_GAUGE, METRIC_OF_GAUGE },
        [TYPE_SUMMARY] = { "summary", METRIC_UNTYPED, METRIC_OF_SUMMARY },
        [TYPE_UNTYPED] = { "unknown", METRIC_UNTYPED, METRIC_OF_UNTYPED },
        [TYPE_HISTOGRAM] = { "histogram", METRIC_UNTYPED, METRIC_OF_HISTOGRAM },
        [TYPE_GAUGE_HISTOGRAM] = { "gaugehistogram", METRIC_UNTYPED, METRIC_OF_HISTOGRAM },
};

typedef enum Step {
        STEP_FAMILY, /* the next one */
        STEP_HELP,
        STEP_TYPE,
        STEP_UNIT,
        STEP_METRIC, /* the next one of the family */
        STEP_PART,   /* the next bucket or quantile */
        STEP_INF,
        STEP_SUM,
        STEP_COUNT,
} Step;

struct ExpositionProto {
        ProtoReader families, metrics, parts;
        Step step;
        bool classic;
        uint32_t family; /* number */
        /* Of the family. */
        Span name, help, unit;
        FamilyType type;
        /* Of the metric. */
        Label labels[LABELS_MAX];
        size_t n_labels;
        int64_t time_ms;
        bool has_time, native, has_buckets, has_inf;
        ProtoReader body; /* Counter, Summary, Histogram, ... */
        double count, sum;
        Buf text;      /* "le" and names of what is made up */
        Buf histogram, canonical;
        Histogram *scratch;
        ExpositionError error;
};

int exposition_proto_begin(const uint8_t *bytes, size_t n, bool classic, ExpositionProto **ret_parser) {
        ExpositionProto *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        p->families = PROTO_READER(bytes, n);
        p->classic = classic;
        *ret_parser = p;
        return 0;
}

ExpositionProto *exposition_proto_end(ExpositionProto *p) {
        if (!p)
                return NULL;
        buf_deinit(&p->text);
        buf_deinit(&p->histogram);
        buf_deinit(&p->canonical);
        free(p->scratch);
        free(p);
        return NULL;
}

const ExpositionError *exposition_proto_error(const ExpositionProto *p) {
        return &p->error;
}

static int fail(ExpositionProto *p, const char *what) {
        p->error = (ExpositionError){ p->family ? p->family : 1, 1, what, -EBADMSG };
        return -EBADMSG;
}

static int no_memory(ExpositionProto *p) {
        p->error = (ExpositionError){ p->family ? p->family : 1, 1, "no memory", -ENOMEM };
        return -ENOMEM;
}

void exposition_put_bound(Buf *out, double v) {
        char digits[40], sign = signbit(v) ? '-' : '+';
        double back = 0;
        if (isnan(v) || isinf(v)) {
                buf_put_str(out, isnan(v) ? "NaN" : sign == '-' ? "-Inf" : "+Inf");
                return;
        }
        int n = 0;
        do /* the fewest digits that read back as the same */
                (void)snprintf(digits, sizeof digits, "%.*e", n, fabs(v));
        while (++n < 17 && ((back = strtod(digits, NULL)) < fabs(v) || back > fabs(v)));
        int exponent = atoi(strchr(digits, 'e') + 1);
        if (sign == '-')
                buf_put_char(out, '-');
        if (exponent < -4 || exponent >= 6) {
                buf_put_str(out, digits);
                return;
        }
        int decimals = n - 1 - exponent;
        buf_printf(out, "%.*f", decimals > 0 ? decimals : 0, fabs(v));
        if (decimals <= 0)
                buf_put_str(out, ".0");
}

/* ---- fields ---- */

static Span span_of_field(const ProtoField *f) {
        return (Span){ (const char *)f->bytes, f->len };
}

static bool is_text(Span s) {
        return utf8_valid(s.text, s.len) && !memchr(s.text, 0, s.len);
}

static ProtoReader reader_of(const ProtoField *f) {
        return PROTO_READER(f->bytes, f->len);
}

/* Counts are whole numbers or, of float histograms, doubles. */
static double number_of(const ProtoField *f) {
        return f->type == PROTO_FIXED64 ? proto_double(f->value) : (double)f->value;
}

/* ---- items ---- */

static void describe(const ExpositionProto *p, ExpositionItem *item, ExpositionKind kind, Span text) {
        item->kind = kind;
        item->metric = p->name;
        item->text = text;
        item->type = TYPES[p->type].type;
        item->type_name = TYPES[p->type].name;
}

/* A sample of this metric: the name with `suffix`, its labels, and perhaps one more, whose value is a bound. */
static int sample(ExpositionProto *p, ExpositionItem *item, const char *suffix, const char *label, double bound,
                  double value) {
        size_t n = p->n_labels;
        buf_reset(&p->text);
        buf_put(&p->text, p->name.text, p->name.len);
        buf_put_str(&p->text, suffix);
        size_t name_len = p->text.len;
        if (label)
                exposition_put_bound(&p->text, bound);
        if (buf_error(&p->text))
                return no_memory(p);
        if (n + (label ? 2 : 1) > LABELS_MAX)
                return fail(p, "more than 64 labels");
        item->kind = EXPOSITION_SAMPLE;
        item->labels[0] = (Label){ { METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 }, { p->text.data, name_len } };
        memcpy(&item->labels[1], p->labels, n * sizeof *p->labels);
        item->n_labels = n + 1;
        if (label)
                item->labels[item->n_labels++] = (Label){ { label, strlen(label) },
                                                          { p->text.data + name_len, p->text.len - name_len } };
        item->value = value;
        item->time_ms = p->time_ms;
        item->has_time = p->has_time;
        item->has_exemplar = false;
        return 1;
}

/* ---- native histograms ---- */

static void put_varint(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

/* A field of io.prometheus.client.Histogram as one of io.prometheus.write.v2.Histogram; what repeats is one by one or
 * packed in both. */
static void translate(const ProtoField *f, Buf *out) {
        static const struct {
                uint32_t from, to;
        } FIELDS[] = { { SAMPLE_COUNT, 1 },
                       { SAMPLE_COUNT_FLOAT, 2 },
                       { SAMPLE_SUM, 3 },
                       { HISTOGRAM_SCHEMA, 4 },
                       { HISTOGRAM_ZERO_THRESHOLD, 5 },
                       { HISTOGRAM_ZERO_COUNT, 6 },
                       { HISTOGRAM_ZERO_COUNT_FLOAT, 7 },
                       { HISTOGRAM_NEGATIVE_SPAN, 8 },
                       { HISTOGRAM_NEGATIVE_DELTA, 9 },
                       { HISTOGRAM_NEGATIVE_COUNT, 10 },
                       { HISTOGRAM_POSITIVE_SPAN, 11 },
                       { HISTOGRAM_POSITIVE_DELTA, 12 },
                       { HISTOGRAM_POSITIVE_COUNT, 13 } };
        for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++) {
                if (f->number != FIELDS[i].from)
                        continue;
                put_varint(out, (uint64_t)FIELDS[i].to << 3 | (unsigned)f->type);
                if (f->type == PROTO_VARINT)
                        put_varint(out, f->value);
                else if (f->type == PROTO_BYTES)
                        put_varint(out, f->len);
                if (f->type == PROTO_BYTES)
                        buf_put(out, f->bytes, f->len);
                else if (f->type == PROTO_FIXED64 || f->type == PROTO_FIXED32)
                        buf_put(out, &f->value, f->type == PROTO_FIXED64 ? 8 : 4);
        }
}

/* A count that is no float histogram's is left out: one of both says which kind it is. */
static int native(ExpositionProto *p, ExpositionItem *item) {
        ProtoReader r = p->body;
        ProtoField f;
        int64_t time;
        bool is_float = false;
        const char *why = "";
        buf_reset(&p->histogram);
        buf_reset(&p->canonical);
        while (proto_next(&r, &f) > 0)
                if (proto_is(&f, SAMPLE_COUNT_FLOAT, PROTO_FIXED64) ||
                    proto_is(&f, HISTOGRAM_ZERO_COUNT_FLOAT, PROTO_FIXED64))
                        is_float = is_float || proto_double(f.value) > 0;
        r = p->body;
        while (proto_next(&r, &f) > 0) {
                bool spare = is_float ? f.number == SAMPLE_COUNT || f.number == HISTOGRAM_ZERO_COUNT :
                                        f.number == SAMPLE_COUNT_FLOAT || f.number == HISTOGRAM_ZERO_COUNT_FLOAT;
                if (!spare)
                        translate(&f, &p->histogram);
        }
        if (p->type == TYPE_GAUGE_HISTOGRAM)
                buf_put(&p->histogram, (const uint8_t[]){ 14 << 3, 3 }, 2); /* reset hint: a gauge */
        if (!p->scratch)
                p->scratch = malloc(sizeof *p->scratch);
        if (!p->scratch || buf_error(&p->histogram))
                return no_memory(p);
        if (histogram_parse((const uint8_t *)p->histogram.data, p->histogram.len, p->scratch, &time, &why) < 0)
                return fail(p, why);
        histogram_write(p->scratch, &p->canonical);
        int r2 = sample(p, item, "", NULL, 0, 0);
        if (r2 <= 0)
                return r2;
        item->kind = EXPOSITION_HISTOGRAM;
        item->histogram = (Span){ p->canonical.data ? p->canonical.data : "", p->canonical.len };
        return buf_error(&p->canonical) ? no_memory(p) : 1;
}

/* ---- metrics ---- */

static int take_pair(ExpositionProto *p, const ProtoField *pair) {
        ProtoReader r = reader_of(pair);
        ProtoField f;
        Label l = { { "", 0 }, { "", 0 } };
        int got;
        while ((got = proto_next(&r, &f)) > 0)
                if (proto_is(&f, 1, PROTO_BYTES))
                        l.name = span_of_field(&f);
                else if (proto_is(&f, 2, PROTO_BYTES))
                        l.value = span_of_field(&f);
        if (got < 0 || l.name.len == 0 || !is_text(l.name) || !is_text(l.value))
                return fail(p, "a label is malformed, or not UTF-8");
        if (p->n_labels == LABELS_MAX - 1)
                return fail(p, "more than 64 labels");
        p->labels[p->n_labels++] = l;
        return 0;
}

/* What is single in a Summary or Histogram. */
static int look_through_body(ExpositionProto *p) {
        ProtoReader r = p->body;
        ProtoField f;
        int got;
        bool spans = false, zero = false;
        p->has_buckets = false;
        double whole = 0, fraction = 0;
        p->count = p->sum = 0;
        while ((got = proto_next(&r, &f)) > 0) {
                if (proto_is(&f, SAMPLE_SUM, PROTO_FIXED64))
                        p->sum = proto_double(f.value);
                else if (proto_is(&f, SAMPLE_COUNT, PROTO_VARINT))
                        whole = (double)f.value;
                else if (proto_is(&f, SAMPLE_COUNT_FLOAT, PROTO_FIXED64))
                        fraction = proto_double(f.value);
                else if (proto_is(&f, SAMPLE_PART, PROTO_BYTES))
                        p->has_buckets = true;
                else if (f.number == HISTOGRAM_NEGATIVE_SPAN || f.number == HISTOGRAM_POSITIVE_SPAN)
                        spans = true;
                else if (proto_is(&f, HISTOGRAM_ZERO_THRESHOLD, PROTO_FIXED64) ||
                         proto_is(&f, HISTOGRAM_ZERO_COUNT_FLOAT, PROTO_FIXED64))
                        zero = zero || proto_double(f.value) > 0;
                else if (proto_is(&f, HISTOGRAM_ZERO_COUNT, PROTO_VARINT))
                        zero = zero || f.value > 0;
        }
        p->count = fraction > 0 ? fraction : whole;
        p->native = TYPES[p->type].field == METRIC_OF_HISTOGRAM && (spans || zero);
        p->has_inf = TYPES[p->type].field != METRIC_OF_HISTOGRAM;
        p->parts = p->body;
        return got < 0 ? fail(p, "a histogram or summary is malformed") : 0;
}

static int take_metric(ExpositionProto *p, const ProtoField *metric) {
        ProtoReader r = reader_of(metric);
        ProtoField f;
        int got, bad = 0;
        bool found = false;
        p->n_labels = 0;
        p->has_time = false;
        while (bad == 0 && (got = proto_next(&r, &f)) > 0)
                if (proto_is(&f, METRIC_LABEL, PROTO_BYTES)) {
                        bad = take_pair(p, &f);
                } else if (proto_is(&f, METRIC_TIME, PROTO_VARINT)) {
                        p->time_ms = (int64_t)f.value;
                        p->has_time = p->time_ms != 0;
                } else if (proto_is(&f, TYPES[p->type].field, PROTO_BYTES)) {
                        p->body = reader_of(&f);
                        found = true;
                }
        if (bad < 0)
                return bad;
        if (got < 0 || !found)
                return fail(p, got < 0 ? "a metric is malformed" : "a metric is not of its family's type");
        return look_through_body(p);
}

/* The value of a Counter, Gauge or Untyped: field 1. */
static int plain(ExpositionProto *p, ExpositionItem *item) {
        ProtoReader r = p->body;
        ProtoField f;
        double value = 0;
        while (proto_next(&r, &f) > 0)
                if (proto_is(&f, 1, PROTO_FIXED64))
                        value = proto_double(f.value);
        return sample(p, item, "", NULL, 0, value);
}

/* 1 an item, 0 no more, or an error. */
static int next_part(ExpositionProto *p, ExpositionItem *item) {
        ProtoField f, inner;
        int got;
        bool histogram = TYPES[p->type].field == METRIC_OF_HISTOGRAM;
        while ((got = proto_next(&p->parts, &f)) > 0) {
                if (!proto_is(&f, SAMPLE_PART, PROTO_BYTES))
                        continue;
                ProtoReader r = reader_of(&f);
                double bound = 0, value = 0, whole = 0;
                while ((got = proto_next(&r, &inner)) > 0)
                        if (inner.number == (histogram ? 2u : 1u))
                                bound = number_of(&inner);
                        else if (histogram && inner.number == 1)
                                whole = number_of(&inner);
                        else if (inner.number == (histogram ? 4u : 2u))
                                value = number_of(&inner);
                if (got < 0)
                        return fail(p, "a bucket or quantile is malformed");
                if (histogram && !(value > 0))
                        value = whole;
                p->has_inf = p->has_inf || (isinf(bound) && bound > 0);
                return sample(p, item, histogram ? "_bucket" : "", histogram ? "le" : "quantile", bound, value);
        }
        return got;
}

/* ---- families ---- */

static int take_family(ExpositionProto *p, const uint8_t *bytes, size_t n) {
        ProtoReader r = PROTO_READER(bytes, n);
        ProtoField f;
        int got;
        p->name = p->help = p->unit = (Span){ "", 0 };
        p->type = TYPE_COUNTER;
        p->family++;
        p->metrics = r;
        while ((got = proto_next(&r, &f)) > 0)
                if (proto_is(&f, FAMILY_NAME, PROTO_BYTES))
                        p->name = span_of_field(&f);
                else if (proto_is(&f, FAMILY_HELP, PROTO_BYTES))
                        p->help = span_of_field(&f);
                else if (proto_is(&f, FAMILY_UNIT, PROTO_BYTES))
                        p->unit = span_of_field(&f);
                else if (proto_is(&f, FAMILY_TYPE, PROTO_VARINT))
                        p->type = f.value < TYPE_COUNT ? (FamilyType)f.value : TYPE_COUNT;
        if (got < 0 || p->name.len == 0)
                return fail(p, got < 0 ? "a family is malformed" : "a family has no name");
        if (p->type == TYPE_COUNT)
                return fail(p, "a family has a type that is not known");
        if (!is_text(p->name) || !is_text(p->help) || !is_text(p->unit))
                return fail(p, "the name or help of a family is not UTF-8");
        return 0;
}

/* 1 there is one, 0 the end. */
static int next_family(ExpositionProto *p) {
        const uint8_t *bytes;
        size_t n;
        if (p->families.at == p->families.end)
                return 0;
        if (!proto_take_bytes(&p->families, &bytes, &n))
                return fail(p, "a family's length is more than what is there: is something missing?");
        int r = take_family(p, bytes, n);
        return r < 0 ? r : 1;
}

static int next_metric(ExpositionProto *p) {
        ProtoField f;
        int got;
        while ((got = proto_next(&p->metrics, &f)) > 0)
                if (proto_is(&f, FAMILY_METRIC, PROTO_BYTES)) {
                        int r = take_metric(p, &f);
                        return r < 0 ? r : 1;
                }
        return got < 0 ? fail(p, "a family is malformed") : 0;
}

static bool has_parts(const ExpositionProto *p) {
        return p->type == TYPE_SUMMARY || TYPES[p->type].field == METRIC_OF_HISTOGRAM;
}

/* The metric's first item, if that is the only one or the native one: 1; 0 for those that come part by part. */
static int begin_metric(ExpositionProto *p, ExpositionItem *item) {
        if (!has_parts(p))
                return plain(p, item);
        p->step = p->native && !(p->classic && p->has_buckets) ? STEP_METRIC : STEP_PART;
        return p->native ? native(p, item) : 0;
}

/* One step: 1 an item, 0 go on, 2 the end, or an error. */
static int step(ExpositionProto *p, ExpositionItem *item) {
        int r;
        switch (p->step) {
        case STEP_FAMILY:
                r = next_family(p);
                p->step = STEP_HELP;
                return r < 0 ? r : r ? 0 : 2;
        case STEP_HELP:
                p->step = STEP_TYPE;
                describe(p, item, EXPOSITION_HELP, p->help);
                return p->help.len > 0;
        case STEP_TYPE:
                p->step = p->unit.len ? STEP_UNIT : STEP_METRIC;
                describe(p, item, EXPOSITION_TYPE, (Span){ "", 0 });
                return 1;
        case STEP_UNIT:
                p->step = STEP_METRIC;
                describe(p, item, EXPOSITION_UNIT, p->unit);
                return 1;
        case STEP_METRIC:
                r = next_metric(p);
                if (r == 0)
                        p->step = STEP_FAMILY;
                return r <= 0 ? r : begin_metric(p, item);
        case STEP_PART:
                r = next_part(p, item);
                if (r == 0)
                        p->step = p->has_inf ? STEP_SUM : STEP_INF;
                return r;
        case STEP_INF:
                p->step = STEP_SUM;
                return sample(p, item, "_bucket", "le", INFINITY, p->count);
        case STEP_SUM:
                p->step = STEP_COUNT;
                return sample(p, item, "_sum", NULL, 0, p->sum);
        case STEP_COUNT:
                p->step = STEP_METRIC;
                return sample(p, item, "_count", NULL, 0, p->count);
        }
        return 2;
}

int exposition_proto_next(ExpositionProto *p, ExpositionItem *ret_item) {
        int r = 0;
        if (p->error.what)
                return p->error.code;
        while (r == 0)
                r = step(p, ret_item);
        ret_item->line = p->family;
        return r == 2 ? 0 : r;
}
