/* Lengths are known before anything is written: each message is put once, behind its tag and its length. */
#include "wire/remote_write_put.h"

#include "base/varint.h"

#include <assert.h>
#include <string.h>

/* Field numbers; the same as in remote_write.c, from the side of the sender. */
enum { V1_TIMESERIES = 1, V1_METADATA = 3, V2_SYMBOLS = 4, V2_TIMESERIES = 5 };
enum { SERIES_LABELS = 1, SERIES_SAMPLES = 2, V1_HISTOGRAMS = 4, V2_HISTOGRAMS = 3, V2_METADATA = 5 };
enum { SAMPLE_VALUE = 1, SAMPLE_TIME = 2, HISTOGRAM_TIME = 15 };
enum { METADATA_TYPE = 1, V1_METADATA_NAME = 2, V1_METADATA_HELP = 4, V1_METADATA_UNIT = 5, V2_METADATA_HELP = 3, V2_METADATA_UNIT = 4 };

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

/* ---- Samples: alike in both but for the number of the histograms' field ---- */

static uint64_t bits_of(double v) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        return bits;
}

/* Bytes of the message itself. A value of +0 and a time of 0 are left out, as proto3 does. */
static size_t sample_size(const RwPutSample *s) {
        size_t time = s->time_ms ? 1 + varint_size((uint64_t)s->time_ms) : 0;
        if (s->histogram)
                return s->histogram_len + time;
        return (bits_of(s->value) ? 9 : 0) + time;
}

static size_t samples_size(const RwPutSample *samples, size_t n) {
        size_t total = 0;
        for (size_t i = 0; i < n; i++)
                total += field_size(sample_size(&samples[i]));
        return total;
}

static uint8_t *put_sample(uint8_t *at, const RwPutSample *s, uint8_t histograms) {
        at = put_head(at, TAG_BYTES(s->histogram ? histograms : SERIES_SAMPLES), sample_size(s));
        uint64_t bits = bits_of(s->value);
        if (s->histogram) {
                memcpy(at, s->histogram, s->histogram_len);
                at += s->histogram_len;
        } else if (bits) {
                *at++ = TAG_FIXED64(SAMPLE_VALUE);
                memcpy(at, &bits, sizeof bits);
                at += sizeof bits;
        }
        if (s->time_ms)
                at = put_number(at, TAG_VARINT(s->histogram ? HISTOGRAM_TIME : SAMPLE_TIME), (uint64_t)s->time_ms);
        return at;
}

static uint8_t *put_samples(uint8_t *at, const RwPutSample *samples, size_t n, uint8_t histograms) {
        for (size_t i = 0; i < n; i++)
                at = put_sample(at, &samples[i], histograms);
        return at;
}

/* ---- 1.0 ---- */

void rw_put_series_1(Buf *out, const uint8_t *run, size_t run_len, const RwPutSample *samples, size_t n) {
        size_t size = run_len + samples_size(samples, n);
        uint8_t *at = (uint8_t *)buf_reserve(out, HEAD_MAX + size);
        if (!at)
                return;
        uint8_t *begin = at;
        at = put_head(at, TAG_BYTES(V1_TIMESERIES), size);
        memcpy(at, run, run_len);
        at = put_samples(at + run_len, samples, n, V1_HISTOGRAMS);
        out->len += (size_t)(at - begin);
}

static unsigned type_number(MetricType type) {
        return type == METRIC_COUNTER ? 1 : type == METRIC_GAUGE ? 2 : 0;
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
        return (type_number(m->type) ? 2 : 0) + (m->help ? 1 + varint_size(m->help) : 0) + (m->unit ? 1 + varint_size(m->unit) : 0);
}

static uint8_t *put_metadata(uint8_t *at, const RwPutMetadata *m) {
        at = put_head(at, TAG_BYTES(V2_METADATA), metadata_size(m));
        if (type_number(m->type))
                at = put_number(at, TAG_VARINT(METADATA_TYPE), type_number(m->type));
        if (m->help)
                at = put_number(at, TAG_VARINT(V2_METADATA_HELP), m->help);
        return m->unit ? put_number(at, TAG_VARINT(V2_METADATA_UNIT), m->unit) : at;
}

void rw_put_series_2(Buf *out, const uint32_t *refs, size_t n_refs, const RwPutSample *samples, size_t n, const RwPutMetadata *metadata) {
        size_t labels = 0, described = metadata ? metadata_size(metadata) : 0;
        assert(n_refs % 2 == 0);
        for (size_t i = 0; i < n_refs; i++)
                labels += varint_size(refs[i]);
        size_t size = field_size(labels) + samples_size(samples, n) + (described ? field_size(described) : 0);
        uint8_t *at = (uint8_t *)buf_reserve(out, HEAD_MAX + size);
        if (!at)
                return;
        uint8_t *begin = at;
        at = put_head(at, TAG_BYTES(V2_TIMESERIES), size);
        at = put_head(at, TAG_BYTES(SERIES_LABELS), labels);
        for (size_t i = 0; i < n_refs; i++)
                at += varint_put(at, refs[i]);
        at = put_samples(at, samples, n, V2_HISTOGRAMS);
        if (described)
                at = put_metadata(at, metadata);
        out->len += (size_t)(at - begin);
}
