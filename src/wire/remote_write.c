/* One walk over the message. The usual shapes (a label with one-byte lengths, a sample of a value and a time) have a short
 * path that compares a few bytes; anything else that protobuf allows takes the general one and means the same. */
#include "wire/remote_write.h"

#include "base/protobuf.h"

#include <assert.h>

/* Field numbers. */
enum { V1_TIMESERIES = 1, V1_METADATA = 3, V2_SYMBOLS = 4, V2_TIMESERIES = 5 };
enum { LABEL_NAME = 1, LABEL_VALUE = 2, SAMPLE_VALUE = 1, SAMPLE_TIME = 2 };
enum { EXEMPLAR_LABELS = 1, EXEMPLAR_VALUE = 2, EXEMPLAR_TIME = 3 };
enum { METADATA_TYPE = 1, V1_METADATA_NAME = 2, V1_METADATA_HELP = 4, V1_METADATA_UNIT = 5, V2_METADATA_HELP = 3, V2_METADATA_UNIT = 4 };
/* TimeSeries: labels and samples are 1 and 2 in both. */
enum { SERIES_LABELS = 1, SERIES_SAMPLES = 2, V1_EXEMPLARS = 3, V1_HISTOGRAMS = 4, V2_HISTOGRAMS = 3, V2_EXEMPLARS = 4, V2_METADATA = 5 };

#define TAG_BYTES(field) ((uint8_t)((field) << 3 | PROTO_BYTES))
#define TAG_VALUE ((uint8_t)(SAMPLE_VALUE << 3 | PROTO_FIXED64))
#define TAG_TIME ((uint8_t)(SAMPLE_TIME << 3 | PROTO_VARINT))

/* What stays allocated between requests, of each array. */
#define KEEP_BYTES ((size_t)1 << 20)
/* A label costs this much beside its texts: two tags, three lengths. */
#define LABEL_OVERHEAD 9u

typedef struct Walk {
        RwRequest *q;
        const uint8_t *begin;
        RwError error;
        int code;
} Walk;

static bool fail(Walk *w, int code, const uint8_t *at, const char *what) {
        if (!w->code) {
                w->code = code;
                w->error = (RwError){ what, (size_t)(at - w->begin) };
        }
        return false;
}

static bool malformed(Walk *w, const uint8_t *at, const char *what) {
        return fail(w, -EBADMSG, at, what);
}

/* ---- arrays ---- */

static bool grow(Walk *w, void **list, size_t *cap, size_t need, size_t size, size_t most, const uint8_t *at, const char *what) {
        if (need > most)
                return fail(w, -E2BIG, at, what);
        size_t next = *cap ? *cap * 2 : 256;
        while (next < need)
                next *= 2;
        next = next < most ? next : most;
        void *bigger = reallocarray(*list, next, size);
        if (!bigger)
                return fail(w, -ENOMEM, at, "no memory");
        *list = bigger;
        *cap = next;
        return true;
}

#define ROOM(w, list, n, cap, most, at, what) \
        ((n) < (cap) || grow(w, (void **)&(list), &(cap), (n) + 1, sizeof *(list), most, at, what))

static bool add_float(Walk *w, const uint8_t *at, int64_t time, double value) {
        RwRequest *q = w->q;
        if (!ROOM(w, q->times, q->n_floats, q->cap_times, RW_SAMPLES_MAX, at, "over 2,000,000 samples") ||
            !ROOM(w, q->values, q->n_floats, q->cap_values, RW_SAMPLES_MAX, at, "over 2,000,000 samples"))
                return false;
        q->times[q->n_floats] = time;
        q->values[q->n_floats++] = value;
        return true;
}

static bool add_histogram(Walk *w, RwSeries *s, const ProtoField *f) {
        RwRequest *q = w->q;
        if (!ROOM(w, q->histograms, q->n_histograms, q->cap_histograms, RW_SAMPLES_MAX, f->bytes, "over 2,000,000 samples"))
                return false;
        q->histograms[q->n_histograms++] = (RwHistogram){ f->bytes, (uint32_t)f->len };
        s->n_histograms++;
        return true;
}

static bool add_exemplar(Walk *w, RwSeries *s, const ProtoField *f) {
        RwRequest *q = w->q;
        if (!ROOM(w, q->exemplars, q->n_exemplars, q->cap_exemplars, RW_SAMPLES_MAX, f->bytes, "over 2,000,000 exemplars"))
                return false;
        q->exemplars[q->n_exemplars++] = (RwExemplar){ f->bytes, (uint32_t)f->len };
        s->n_exemplars++;
        return true;
}

/* ---- samples ---- */

/* The number of six bytes that a time of our days is, when it is one. */
static inline bool six_byte_varint(const uint8_t *at, uint64_t *ret_v) {
        uint64_t x = 0;
        memcpy(&x, at, 6);
        if ((x & UINT64_C(0x808080808080)) != UINT64_C(0x008080808080))
                return false;
        *ret_v = (x & 0x7f) | (x >> 1 & 0x3f80) | (x >> 2 & 0x1fc000) | (x >> 3 & 0xfe00000) | (x >> 4 & UINT64_C(0x7f0000000)) |
                 (x >> 5 & UINT64_C(0x3f800000000));
        return true;
}

static bool read_sample(Walk *w, const uint8_t *bytes, size_t n) {
        ProtoReader r = PROTO_READER(bytes, n);
        ProtoField f;
        uint64_t value = 0, time = 0;
        int got;
        while ((got = proto_next(&r, &f)) > 0) {
                if (f.number == SAMPLE_VALUE && f.type == PROTO_FIXED64)
                        value = f.value;
                else if (f.number == SAMPLE_TIME && f.type == PROTO_VARINT)
                        time = f.value;
                else if (f.number <= SAMPLE_TIME)
                        return malformed(w, r.at, "a sample's field has a wrong type");
        }
        return got < 0 ? malformed(w, r.at, "a sample is malformed") : add_float(w, bytes, (int64_t)time, proto_double(value));
}

/* Takes samples from *at as long as they have the usual shape. */
static bool take_samples(Walk *w, const uint8_t **at, const uint8_t *end) {
        const uint8_t *p = *at;
        enum { LEN = 16, WHOLE = LEN + 2, ZERO_LEN = 7, ZERO_WHOLE = ZERO_LEN + 2 }; /* 09 and 8 bytes, 10 and 6 bytes */
        for (uint64_t time; end - p >= ZERO_WHOLE && p[0] == TAG_BYTES(SERIES_SAMPLES); p += p[1] + 2) {
                bool zero = p[1] == ZERO_LEN && p[2] == TAG_TIME; /* a value of 0 is left out */
                if (!zero && (p[1] != LEN || end - p < WHOLE || p[2] != TAG_VALUE || p[11] != TAG_TIME))
                        break;
                if (!six_byte_varint(zero ? p + 3 : p + 12, &time))
                        break;
                if (!add_float(w, p, (int64_t)time, zero ? 0 : proto_double(proto_load64(p + 3))))
                        return false;
        }
        *at = p;
        return true;
}

/* ---- labels of 1.0 ---- */

/* A length of one or two bytes in its shortest form; longer ones are over the limits of any label. */
static inline bool take_short(const uint8_t **at, const uint8_t *end, size_t *ret_n) {
        const uint8_t *p = *at;
        if (p < end && p[0] < 0x80) {
                *ret_n = p[0];
                *at = p + 1;
                return true;
        }
        if (end - p < 2 || p[1] == 0 || p[1] >= 0x80)
                return false;
        *ret_n = (size_t)(p[0] & 0x7f) | (size_t)p[1] << 7;
        *at = p + 2;
        return true;
}

/* Whether a canonical label begins at *at, and its end then. Bytes before `end` only. */
static inline bool take_label(const uint8_t **at, const uint8_t *end) {
        const uint8_t *p = *at + 1;
        size_t n, name, value;
        if (!take_short(&p, end, &n) || n > (size_t)(end - p))
                return false;
        const uint8_t *last = p + n;
        if (p == last || *p++ != TAG_BYTES(LABEL_NAME) || !take_short(&p, last, &name) || name == 0 || name >= (size_t)(last - p))
                return false;
        p += name;
        if (*p++ != TAG_BYTES(LABEL_VALUE) || !take_short(&p, last, &value) || value == 0 || value != (size_t)(last - p))
                return false;
        *at = last;
        return true;
}

static void take_run(RwSeries *s, const uint8_t **at, const uint8_t *end) {
        const uint8_t *p = *at;
        while (p < end && *p == TAG_BYTES(SERIES_LABELS))
                if (!take_label(&p, end))
                        return; /* the general path looks again */
        if (p == *at)
                return;
        s->run = *at;
        s->run_len = (uint32_t)(p - *at);
        *at = p;
}

/* A label as a message; also checks it. */
static bool read_label(const ProtoField *label, Span *ret_name, Span *ret_value) {
        ProtoReader r = PROTO_READER(label->bytes, label->len);
        ProtoField f;
        int got;
        *ret_name = *ret_value = (Span){ "", 0 };
        while ((got = proto_next(&r, &f)) > 0) {
                Span text = { (const char *)f.bytes, f.len };
                if (f.number > LABEL_VALUE)
                        continue;
                if (f.type != PROTO_BYTES)
                        return false;
                *(f.number == LABEL_NAME ? ret_name : ret_value) = text;
        }
        return got == 0;
}

/* A label outside of the run: it must be collected later. */
static bool read_stray_label(Walk *w, RwSeries *s, const ProtoField *f) {
        Span name, value;
        if (!read_label(f, &name, &value))
                return malformed(w, f->bytes, "a label is malformed");
        s->run = NULL;
        return true;
}

/* ---- labels of 2.0 ---- */

static bool check_ref(Walk *w, const uint8_t *at, uint64_t ref, uint32_t *n_refs) {
        RwRequest *q = w->q;
        if (ref >= q->n_symbols)
                return malformed(w, at, "a label's symbol is out of range");
        q->expanded += q->symbols[ref].len + LABEL_OVERHEAD;
        (*n_refs)++;
        return q->expanded <= RW_EXPANDED_MAX || fail(w, -E2BIG, at, "the labels written out are over 256 MiB");
}

static bool read_refs(Walk *w, RwSeries *s, const ProtoField *f, uint32_t *n_refs) {
        if (f->type == PROTO_VARINT) {
                s->run = NULL;
                return check_ref(w, s->message, f->value, n_refs);
        }
        if (f->type != PROTO_BYTES)
                return malformed(w, s->message, "a label's symbols are of a wrong type");
        s->run = *n_refs == 0 ? f->bytes : NULL;
        s->run_len = (uint32_t)f->len;
        const uint8_t *at = f->bytes, *end = at + f->len;
        for (uint64_t ref; at < end;)
                if (!varint_get(&at, end, &ref))
                        return malformed(w, at, "a label's symbols are malformed");
                else if (!check_ref(w, at, ref, n_refs))
                        return false;
        return true;
}

/* ---- metadata ---- */

/* The numbers are the same in both versions. */
static MetricType metric_type(uint64_t v) {
        static const MetricType TYPES[] = { METRIC_UNTYPED,         METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM,
                                            METRIC_GAUGE_HISTOGRAM, METRIC_SUMMARY, METRIC_INFO,  METRIC_STATESET };
        return v < ARRAY_LEN(TYPES) ? TYPES[v] : METRIC_UNTYPED;
}

static bool read_metadata_1(Walk *w, const ProtoField *message) {
        RwRequest *q = w->q;
        ProtoReader r = PROTO_READER(message->bytes, message->len);
        RwMetadata m = { { "", 0 }, { "", 0 }, { "", 0 }, METRIC_UNTYPED };
        ProtoField f;
        int got;
        while ((got = proto_next(&r, &f)) > 0) {
                Span text = { (const char *)f.bytes, f.len };
                if (proto_is(&f, METADATA_TYPE, PROTO_VARINT))
                        m.type = metric_type(f.value);
                else if (proto_is(&f, V1_METADATA_NAME, PROTO_BYTES))
                        m.name = text;
                else if (proto_is(&f, V1_METADATA_HELP, PROTO_BYTES))
                        m.help = text;
                else if (proto_is(&f, V1_METADATA_UNIT, PROTO_BYTES))
                        m.unit = text;
        }
        if (got < 0)
                return malformed(w, r.at, "metadata is malformed");
        if (!ROOM(w, q->metadata, q->n_metadata, q->cap_metadata, RW_METADATA_MAX, r.at, "over 100,000 descriptions of metrics"))
                return false;
        q->metadata[q->n_metadata++] = m;
        return true;
}

static bool read_metadata_2(Walk *w, RwSeries *s, const ProtoField *message) {
        ProtoReader r = PROTO_READER(message->bytes, message->len);
        ProtoField f;
        int got;
        while ((got = proto_next(&r, &f)) > 0) {
                if (proto_is(&f, METADATA_TYPE, PROTO_VARINT)) {
                        s->type = metric_type(f.value);
                } else if (proto_is(&f, V2_METADATA_HELP, PROTO_VARINT) || proto_is(&f, V2_METADATA_UNIT, PROTO_VARINT)) {
                        if (f.value >= w->q->n_symbols)
                                return malformed(w, r.at, "a description's symbol is out of range");
                        *(f.number == V2_METADATA_HELP ? &s->help : &s->unit) = (uint32_t)f.value;
                }
        }
        s->has_metadata = s->type != METRIC_UNTYPED || s->help || s->unit;
        return got == 0 || malformed(w, r.at, "metadata is malformed");
}

/* ---- series ---- */

/* Any field of TimeSeries in its general form. */
static bool read_series_field(Walk *w, RwSeries *s, const ProtoField *f, uint32_t *n_refs) {
        bool two = w->q->version == RW_2;
        if (f->number == SERIES_LABELS && two)
                return read_refs(w, s, f, n_refs);
        if (f->number > (two ? V2_METADATA : V1_HISTOGRAMS))
                return true; /* of a later version */
        if (f->type != PROTO_BYTES)
                return malformed(w, s->message, "a series' field has a wrong type");
        if (f->number == SERIES_LABELS)
                return read_stray_label(w, s, f);
        if (f->number == SERIES_SAMPLES)
                return read_sample(w, f->bytes, f->len);
        if (f->number == (two ? V2_HISTOGRAMS : V1_HISTOGRAMS))
                return add_histogram(w, s, f);
        if (f->number == V2_METADATA)
                return read_metadata_2(w, s, f);
        return add_exemplar(w, s, f);
}

static bool read_series(Walk *w, RwSeries *s) {
        RwRequest *q = w->q;
        ProtoReader r = PROTO_READER(s->message, s->message_len);
        ProtoField f;
        uint32_t n_refs = 0;
        s->first_float = (uint32_t)q->n_floats;
        s->first_histogram = (uint32_t)q->n_histograms;
        s->first_exemplar = (uint32_t)q->n_exemplars;
        if (q->version == RW_1)
                take_run(s, &r.at, r.end);
        for (;;) {
                if (!take_samples(w, &r.at, r.end))
                        return false;
                int got = proto_next(&r, &f);
                if (got < 0)
                        return malformed(w, r.at, "a series is malformed");
                if (got == 0)
                        break;
                if (!read_series_field(w, s, &f, &n_refs))
                        return false;
        }
        if (n_refs % 2)
                return malformed(w, s->message, "a label has no value: an odd number of symbols");
        s->n_floats = (uint32_t)q->n_floats - s->first_float;
        return true;
}

static bool add_series(Walk *w, const ProtoField *f) {
        RwRequest *q = w->q;
        if (!ROOM(w, q->series, q->n_series, q->cap_series, RW_SERIES_MAX, f->bytes, "over 500,000 series"))
                return false;
        q->series[q->n_series] = (RwSeries){ .message = f->bytes, .message_len = (uint32_t)f->len, .type = METRIC_UNTYPED };
        /* Symbols of 2.0 may follow their uses. */
        return q->version == RW_2 ? (q->n_series++, true) : read_series(w, &q->series[q->n_series++]);
}

/* ---- the request ---- */

static bool read_field_1(Walk *w, const ProtoField *f) {
        if (f->type != PROTO_BYTES)
                return f->number != V1_TIMESERIES || malformed(w, w->begin, "not a WriteRequest");
        switch (f->number) {
        case V1_TIMESERIES: return add_series(w, f);
        case V1_METADATA: return read_metadata_1(w, f);
        case V2_SYMBOLS:
        case V2_TIMESERIES: return malformed(w, f->bytes, "a message of remote write 2.0 with the Content-Type of 1.0");
        default: return true;
        }
}

static bool read_field_2(Walk *w, const ProtoField *f) {
        RwRequest *q = w->q;
        if (f->type != PROTO_BYTES)
                return (f->number != V2_SYMBOLS && f->number != V2_TIMESERIES) || malformed(w, w->begin, "not a Request");
        switch (f->number) {
        case V2_SYMBOLS:
                if (!ROOM(w, q->symbols, q->n_symbols, q->cap_symbols, RW_SYMBOLS_MAX, f->bytes, "over 1,000,000 symbols"))
                        return false;
                q->symbols[q->n_symbols++] = (Span){ (const char *)f->bytes, f->len };
                return true;
        case V2_TIMESERIES: return add_series(w, f);
        case V1_TIMESERIES:
        case V1_METADATA: return malformed(w, f->bytes, "a message of remote write 1.0 with the Content-Type of 2.0");
        default: return true;
        }
}

static bool read_all_2(Walk *w) {
        RwRequest *q = w->q;
        if (q->n_series && (q->n_symbols == 0 || q->symbols[0].len != 0))
                return malformed(w, w->begin, "the first symbol is not empty");
        for (size_t i = 0; i < q->n_series; i++)
                if (!read_series(w, &q->series[i]))
                        return false;
        return true;
}

static void forget(RwRequest *q, RwVersion version) {
        q->version = version;
        q->n_series = q->n_floats = q->n_histograms = q->n_symbols = q->n_metadata = q->n_exemplars = 0;
        q->expanded = 0;
        buf_reset(&q->run);
}

int rw_parse(const uint8_t *message, size_t n, RwVersion version, RwRequest *q, RwError *ret_error) {
        Walk w = { .q = q, .begin = message };
        ProtoReader r = PROTO_READER(message, n);
        ProtoField f;
        int got = 0;
        assert(n <= UINT32_MAX);
        forget(q, version);
        if (!buf_reserve(&q->run, LABEL_RUN_MAX))
                (void)fail(&w, -ENOMEM, message, "no memory");
        while (!w.code && (got = proto_next(&r, &f)) > 0 && (version == RW_1 ? read_field_1(&w, &f) : read_field_2(&w, &f)))
                ;
        if (got < 0)
                (void)malformed(&w, r.at, "not a message");
        if (!w.code && version == RW_2)
                (void)read_all_2(&w);
        if (w.code) {
                forget(q, version);
                *ret_error = w.error;
        }
        return w.code;
}

void rw_request_deinit(RwRequest *q) {
        free(q->series);
        free(q->times);
        free(q->values);
        free(q->histograms);
        free(q->exemplars);
        free(q->symbols);
        free(q->metadata);
        buf_deinit(&q->run);
        *q = RW_REQUEST_NULL;
}

void rw_request_trim(RwRequest *q) {
        size_t most = KEEP_BYTES / sizeof *q->series;
        if (q->cap_series > most || q->cap_times > KEEP_BYTES / sizeof *q->times || q->cap_histograms > KEEP_BYTES / sizeof *q->histograms ||
            q->cap_symbols > KEEP_BYTES / sizeof *q->symbols || q->cap_exemplars > KEEP_BYTES / sizeof *q->exemplars ||
            q->cap_metadata > KEEP_BYTES / sizeof *q->metadata)
                rw_request_deinit(q);
}

/* ---- runs that are not there in place ---- */

typedef struct RunBuilder {
        Buf *out;
        size_t n_labels;
        LabelsFault fault;
} RunBuilder;

static size_t varint_size(size_t v) {
        size_t n = 1;
        for (; v >= 0x80; v >>= 7)
                n++;
        return n;
}

static LabelsFault label_fault(const RunBuilder *b, Span name, Span value) {
        if (name.len == 0)
                return LABELS_NAME_EMPTY;
        if (b->n_labels == LABELS_MAX)
                return LABELS_TOO_MANY;
        if (name.len > LABEL_NAME_MAX)
                return LABELS_NAME_LONG;
        if (value.len > LABEL_VALUE_MAX)
                return LABELS_VALUE_LONG;
        return b->out->len + name.len + value.len + LABEL_OVERHEAD > LABEL_RUN_MAX ? LABELS_RUN_LONG : LABELS_OK;
}

static bool put_label(RunBuilder *b, Span name, Span value) {
        uint8_t head[2 + 2 * VARINT_MAX], middle[1 + VARINT_MAX];
        if (value.len == 0 && name.len > 0)
                return true;
        b->fault = label_fault(b, name, value);
        if (b->fault != LABELS_OK)
                return false;
        size_t inner = 2 + varint_size(name.len) + name.len + varint_size(value.len) + value.len, h = 0, m = 0;
        head[h++] = TAG_BYTES(SERIES_LABELS);
        h += varint_put(head + h, inner);
        head[h++] = TAG_BYTES(LABEL_NAME);
        h += varint_put(head + h, name.len);
        middle[m++] = TAG_BYTES(LABEL_VALUE);
        m += varint_put(middle + m, value.len);
        buf_put(b->out, head, h);
        buf_put(b->out, name.text, name.len);
        buf_put(b->out, middle, m);
        buf_put(b->out, value.text, value.len);
        b->n_labels++;
        return true;
}

static void build_run_1(const RwSeries *s, RunBuilder *b) {
        ProtoReader r = PROTO_READER(s->message, s->message_len);
        ProtoField f;
        while (proto_next(&r, &f) > 0) {
                Span name, value;
                if (f.number != SERIES_LABELS)
                        continue;
                bool good = read_label(&f, &name, &value);
                assert(good); /* rw_parse() has read it */
                if (!put_label(b, name, value))
                        return;
        }
}

/* References, one after the other: every second one completes a label. */
typedef struct Pair {
        Span name;
        bool has_name;
} Pair;

static bool put_ref(const RwRequest *q, RunBuilder *b, Pair *p, uint64_t ref) {
        assert(ref < q->n_symbols); /* rw_parse() has checked it */
        p->has_name = !p->has_name;
        if (!p->has_name)
                return put_label(b, p->name, q->symbols[ref]);
        p->name = q->symbols[ref];
        return true;
}

static bool put_refs(const RwRequest *q, RunBuilder *b, Pair *p, const uint8_t *at, size_t n) {
        const uint8_t *end = at + n;
        for (uint64_t ref; at < end && varint_get(&at, end, &ref);)
                if (!put_ref(q, b, p, ref))
                        return false;
        return true;
}

static void build_run_2(const RwRequest *q, const RwSeries *s, RunBuilder *b) {
        Pair p = { 0 };
        if (s->run) {
                (void)put_refs(q, b, &p, s->run, s->run_len);
                return;
        }
        ProtoReader r = PROTO_READER(s->message, s->message_len);
        ProtoField f;
        bool going = true;
        while (going && proto_next(&r, &f) > 0)
                if (f.number == SERIES_LABELS)
                        going = f.type == PROTO_VARINT ? put_ref(q, b, &p, f.value) : put_refs(q, b, &p, f.bytes, f.len);
}

LabelsFault rw_series_run(RwRequest *q, const RwSeries *s, const uint8_t **ret_run, size_t *ret_len) {
        if (q->version == RW_1 && s->run) {
                *ret_run = s->run;
                *ret_len = s->run_len;
                return LABELS_OK;
        }
        RunBuilder b = { .out = &q->run };
        buf_reset(&q->run);
        if (q->version == RW_1)
                build_run_1(s, &b);
        else
                build_run_2(q, s, &b);
        *ret_run = (const uint8_t *)q->run.data;
        *ret_len = q->run.len;
        return b.fault;
}

/* ---- exemplars ---- */

typedef struct ExemplarLabels {
        const RwRequest *q;
        Label labels[LABELS_MAX];
        size_t n;
        Span name; /* of a pair of references that is not complete */
        bool has_name;
} ExemplarLabels;

static bool take_exemplar_label(ExemplarLabels *x, Span name, Span value) {
        if (x->n == LABELS_MAX)
                return false;
        x->labels[x->n++] = (Label){ name, value };
        return true;
}

static bool take_exemplar_ref(ExemplarLabels *x, uint64_t ref) {
        if (ref >= x->q->n_symbols)
                return false;
        Span text = x->q->symbols[ref];
        x->has_name = !x->has_name;
        if (!x->has_name)
                return take_exemplar_label(x, x->name, text);
        x->name = text;
        return true;
}

static bool take_exemplar_labels(ExemplarLabels *x, const ProtoField *f) {
        Span name, value;
        if (x->q->version == RW_1)
                return f->type == PROTO_BYTES && read_label(f, &name, &value) && take_exemplar_label(x, name, value);
        if (f->type == PROTO_VARINT)
                return take_exemplar_ref(x, f->value);
        if (f->type != PROTO_BYTES)
                return false;
        const uint8_t *at = f->bytes, *end = at + f->len;
        for (uint64_t ref; at < end;)
                if (!varint_get(&at, end, &ref) || !take_exemplar_ref(x, ref))
                        return false;
        return true;
}

bool rw_exemplar(const RwRequest *q, const RwExemplar *e, Buf *ret_run, double *ret_value, int64_t *ret_time_ms) {
        ExemplarLabels x = { .q = q };
        ProtoReader r = PROTO_READER(e->bytes, e->len);
        ProtoField f;
        uint64_t value = 0, time = 0;
        int got;
        while ((got = proto_next(&r, &f)) > 0) {
                if (f.number == EXEMPLAR_LABELS && !take_exemplar_labels(&x, &f))
                        return false;
                if (proto_is(&f, EXEMPLAR_VALUE, PROTO_FIXED64))
                        value = f.value;
                else if (proto_is(&f, EXEMPLAR_TIME, PROTO_VARINT))
                        time = f.value;
        }
        if (got < 0 || x.has_name || labels_build(x.labels, x.n, ret_run) != LABELS_OK)
                return false;
        *ret_value = proto_double(value);
        *ret_time_ms = (int64_t)time;
        return true;
}
