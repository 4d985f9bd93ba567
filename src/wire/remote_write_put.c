/* Lengths are known before anything is written: each message is put once, behind its tag and its length. */
#include "wire/remote_write_put.h"

#include "base/varint.h"

#include <assert.h>
#include <string.h>

/* Field numbers; the same as in remote_write.c, from the side of the sender. */
enum { V1_TIMESERIES = 1, V1_METADATA = 3, V2_SYMBOLS = 4, V2_TIMESERIES = 5 };
enum {
        SERIES_LABELS = 1,
        SERIES_SAMPLES = 2,
        V1_HISTOGRAMS = 4,
        V2_HISTOGRAMS = 3,
        V1_EXEMPLARS = 3,
        V2_EXEMPLARS = 4,
        V2_METADATA = 5
};
enum {
        SAMPLE_VALUE = 1,
        SAMPLE_TIME = 2,
        HISTOGRAM_TIME = 15,
        EXEMPLAR_LABELS = 1,
        EXEMPLAR_VALUE = 2,
        EXEMPLAR_TIME = 3
};
enum {
        METADATA_TYPE = 1,
        V1_METADATA_NAME = 2,
        V1_METADATA_HELP = 4,
        V1_METADATA_UNIT = 5,
        V2_METADATA_HELP = 3,
        V2_METADATA_UNIT = 4
};

#define TAG_VARINT(field) ((uint8_t)((field) << 3))
#define TAG_FIXED64(field) ((uint8_t)((field) << 3 | 1))
#define TAG_BYTES(field) ((uint8_t)((field) << 3 | 2))
/* A tag, a length. */
#define HEAD_MAX (1 + VARINT_MAX)

static size_t varint_size(uint64_t v) {
        return v < 0x80 ? 1 : (size_t)(63 - __builtin_clzll(v)) / 7 + 1;
}

/* Bytes of a field that is a text or a message of n bytes. */
static size_t field_size(size_t n) {
        return 1 + varint_size(n) + n;
}

static uint8_t *put_head(uint8_t *at, uint8_t tag, size_t n) {
        *at++ = tag;
        return at + varint_put(at, n);
}

static uint8_t *put_field(uint8_t *at, uint8_t tag, const void *bytes, size_t n) {
        at = put_head(at, tag, n);
        if (n)
                memcpy(at, bytes, n);
        return at + n;
}

static uint8_t *put_number(uint8_t *at, uint8_t tag, uint64_t v) {
        *at++ = tag;
        return at + varint_put(at, v);
}

/* ---- Samples: alike in both but for some numbers ---- */

static uint64_t bits_of(double v) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        return bits;
}

static size_t labels_size(const RwPutSample *s, RwVersion version) {
        return version == RW_1 || s->len == 0 ? s->len : field_size(s->len);
}

/* Bytes of the message itself. A value of +0 and a time of 0 are left out, as proto3 does. */
static size_t sample_size(const RwPutSample *s, RwVersion version) {
        size_t time = s->time_ms ? 1 + varint_size((uint64_t)s->time_ms) : 0;
        if (s->kind == RW_PUT_HISTOGRAM)
                return s->len + time;
        return (s->kind == RW_PUT_EXEMPLAR ? labels_size(s, version) : 0) + (bits_of(s->value) ? 9 : 0) + time;
}

static size_t samples_size(const RwPutSample *samples, size_t n, RwVersion version) {
        size_t total = 0;
        for (size_t i = 0; i < n; i++)
                total += field_size(sample_size(&samples[i], version));
        return total;
}

static uint8_t *put_bytes(uint8_t *at, const RwPutSample *s) {
        if (s->len)
                memcpy(at, s->bytes, s->len);
        return at + s->len;
}

static uint8_t *put_value(uint8_t *at, uint8_t tag, double value) {
        uint64_t bits = bits_of(value);
        if (!bits)
                return at;
        *at++ = tag;
        memcpy(at, &bits, sizeof bits);
        return at + sizeof bits;
}

static uint8_t *put_time(uint8_t *at, uint8_t tag, int64_t time_ms) {
        return time_ms ? put_number(at, tag, (uint64_t)time_ms) : at;
}

static uint8_t *put_exemplar(uint8_t *at, const RwPutSample *s, RwVersion version) {
        at = put_head(at, TAG_BYTES(version == RW_2 ? V2_EXEMPLARS : V1_EXEMPLARS), sample_size(s, version));
        if (version == RW_2 && s->len)
                at = put_head(at, TAG_BYTES(EXEMPLAR_LABELS), s->len);
        at = put_value(put_bytes(at, s), TAG_FIXED64(EXEMPLAR_VALUE), s->value);
        return put_time(at, TAG_VARINT(EXEMPLAR_TIME), s->time_ms);
}

static uint8_t *put_histogram(uint8_t *at, const RwPutSample *s, RwVersion version) {
        at = put_head(at, TAG_BYTES(version == RW_2 ? V2_HISTOGRAMS : V1_HISTOGRAMS), sample_size(s, version));
        return put_time(put_bytes(at, s), TAG_VARINT(HISTOGRAM_TIME), s->time_ms);
}

static uint8_t *put_float(uint8_t *at, const RwPutSample *s, RwVersion version) {
        at = put_head(at, TAG_BYTES(SERIES_SAMPLES), sample_size(s, version));
        return put_time(put_value(at, TAG_FIXED64(SAMPLE_VALUE), s->value), TAG_VARINT(SAMPLE_TIME), s->time_ms);
}

static uint8_t *put_samples(uint8_t *at, const RwPutSample *samples, size_t n, RwVersion version) {
        for (size_t i = 0; i < n; i++)
                switch (samples[i].kind) {
                case RW_PUT_FLOAT: at = put_float(at, &samples[i], version); break;
                case RW_PUT_HISTOGRAM: at = put_histogram(at, &samples[i], version); break;
                case RW_PUT_EXEMPLAR: at = put_exemplar(at, &samples[i], version); break;
                }
        return at;
}

/* ---- 1.0 ---- */

void rw_put_series_1(Buf *out, const uint8_t *run, size_t run_len, const RwPutSample *samples, size_t n) {
        size_t size = run_len + samples_size(samples, n, RW_1);
        uint8_t *at = (uint8_t *)buf_reserve(out, HEAD_MAX + size);
        if (!at)
                return;
        uint8_t *begin = at;
        at = put_head(at, TAG_BYTES(V1_TIMESERIES), size);
        memcpy(at, run, run_len);
        at = put_samples(at + run_len, samples, n, RW_1);
        out->len += (size_t)(at - begin);
}

/* MetricMetadata.MetricType, the same in both. */
static unsigned type_number(MetricType type) {
        static const uint8_t NUMBERS[METRIC_TYPE_COUNT] = {
                [METRIC_UNTYPED] = 0,         [METRIC_COUNTER] = 1, [METRIC_GAUGE] = 2, [METRIC_HISTOGRAM] = 3,
                [METRIC_GAUGE_HISTOGRAM] = 4, [METRIC_SUMMARY] = 5, [METRIC_INFO] = 6,  [METRIC_STATESET] = 7,
        };
        return NUMBERS[type];
}

static size_t text_size(Span text) {
        return text.len ? field_size(text.len) : 0;
}

static uint8_t *put_text(uint8_t *at, unsigned field, Span text) {
        return text.len ? put_field(at, TAG_BYTES(field), text.text, text.len) : at;
}

void rw_put_metadata_1(Buf *out, Span metric, MetricType type, Span help, Span unit) {
        size_t size = (type_number(type) ? 2 : 0) + text_size(metric) + text_size(help) + text_size(unit);
        uint8_t *at = (uint8_t *)buf_reserve(out, HEAD_MAX + size);
        if (!at)
                return;
        uint8_t *begin = at;
        at = put_head(at, TAG_BYTES(V1_METADATA), size);
        if (type_number(type))
                at = put_number(at, TAG_VARINT(METADATA_TYPE), type_number(type));
        at = put_text(at, V1_METADATA_NAME, metric);
        at = put_text(at, V1_METADATA_HELP, help);
        at = put_text(at, V1_METADATA_UNIT, unit);
        out->len += (size_t)(at - begin);
}

/* ---- 2.0 ---- */

void rw_put_symbol_2(Buf *out, Span text) {
        uint8_t *at = (uint8_t *)buf_reserve(out, HEAD_MAX + text.len);
        if (at)
                out->len += (size_t)(put_field(at, TAG_BYTES(V2_SYMBOLS), text.text, text.len) - at);
}

static size_t metadata_size(const RwPutMetadata *m) {
        return (type_number(m->type) ? 2 : 0) + (m->help ? 1 + varint_size(m->help) : 0) +
               (m->unit ? 1 + varint_size(m->unit) : 0);
}

static uint8_t *put_metadata(uint8_t *at, const RwPutMetadata *m) {
        at = put_head(at, TAG_BYTES(V2_METADATA), metadata_size(m));
        if (type_number(m->type))
                at = put_number(at, TAG_VARINT(METADATA_TYPE), type_number(m->type));
        if (m->help)
                at = put_number(at, TAG_VARINT(V2_METADATA_HELP), m->help);
        return m->unit ? put_number(at, TAG_VARINT(V2_METADATA_UNIT), m->unit) : at;
}

void rw_put_series_2(Buf *out, const uint32_t *refs, size_t n_refs, const RwPutSample *samples, size_t n,
                     const RwPutMetadata *metadata) {
        size_t labels = 0, described = metadata ? metadata_size(metadata) : 0;
        assert(n_refs % 2 == 0);
        for (size_t i = 0; i < n_refs; i++)
                labels += varint_size(refs[i]);
        size_t size = field_size(labels) + samples_size(samples, n, RW_2) + (described ? field_size(described) : 0);
        uint8_t *at = (uint8_t *)buf_reserve(out, HEAD_MAX + size);
        if (!at)
                return;
        uint8_t *begin = at;
        at = put_head(at, TAG_BYTES(V2_TIMESERIES), size);
        at = put_head(at, TAG_BYTES(SERIES_LABELS), labels);
        for (size_t i = 0; i < n_refs; i++)
                at += varint_put(at, refs[i]);
        at = put_samples(at, samples, n, RW_2);
        if (described)
                at = put_metadata(at, metadata);
        out->len += (size_t)(at - begin);
}
