/* Writes protobuf messages and requests of remote write, good and bad. Header only, tests only. */
#pragma once

#include "base/buf.h"
#include "base/protobuf.h"

#include <string.h>

static inline void p_varint(Buf *b, unsigned field, uint64_t v) {
        uint8_t bytes[2 * VARINT_MAX];
        size_t n = varint_put(bytes, (uint64_t)field << 3 | PROTO_VARINT);
        buf_put(b, bytes, n + varint_put(bytes + n, v));
}

static inline void p_bytes(Buf *b, unsigned field, const void *data, size_t len) {
        uint8_t bytes[2 * VARINT_MAX];
        size_t n = varint_put(bytes, (uint64_t)field << 3 | PROTO_BYTES);
        buf_put(b, bytes, n + varint_put(bytes + n, len));
        buf_put(b, data, len);
}

static inline void p_text(Buf *b, unsigned field, const char *text) {
        p_bytes(b, field, text, strlen(text));
}

static inline void p_double(Buf *b, unsigned field, double v) {
        uint8_t tag[VARINT_MAX];
        buf_put(b, tag, varint_put(tag, (uint64_t)field << 3 | PROTO_FIXED64));
        buf_put(b, &v, sizeof v);
}

/* A message inside: takes it. */
static inline void p_message(Buf *b, unsigned field, Buf *inner) {
        p_bytes(b, field, inner->data, inner->len);
        buf_reset(inner);
}

static inline void rw_label(Buf *series, const char *name, const char *value) {
        CLEANUP(buf_deinit) Buf label = BUF_NULL;
        p_text(&label, 1, name);
        p_text(&label, 2, value);
        p_message(series, 1, &label);
}

/* As gogo's marshaller: what is zero is left out. */
static inline void rw_sample(Buf *series, double value, int64_t time) {
        CLEANUP(buf_deinit) Buf sample = BUF_NULL;
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (bits)
                p_double(&sample, 1, value);
        if (time)
                p_varint(&sample, 2, (uint64_t)time);
        p_message(series, 2, &sample);
}

/* name{job="a"} with one sample, as a TimeSeries of 1.0 in `request`. */
static inline void rw1_one(Buf *request, const char *name, double value, int64_t time) {
        CLEANUP(buf_deinit) Buf s = BUF_NULL;
        rw_label(&s, "__name__", name);
        rw_label(&s, "job", "a");
        rw_sample(&s, value, time);
        p_message(request, 1, &s);
}

/* References, packed. */
static inline void rw2_refs(Buf *series, const uint32_t *refs, size_t n) {
        CLEANUP(buf_deinit) Buf packed = BUF_NULL;
        for (size_t i = 0; i < n; i++) {
                uint8_t bytes[VARINT_MAX];
                buf_put(&packed, bytes, varint_put(bytes, refs[i]));
        }
        p_message(series, 1, &packed);
}
