/* Protobuf's wire format, read field by field in place: bounded, no recursion, no allocation. What a field means is
 * the caller's business; unknown ones are simply not looked at. Groups (which proto3 does not have) are refused, so there is
 * nothing that nests by itself. */
#pragma once

#include "base/cleanup.h"
#include "base/varint.h"

#include <string.h>

typedef enum ProtoType { PROTO_VARINT = 0, PROTO_FIXED64 = 1, PROTO_BYTES = 2, PROTO_FIXED32 = 5 } ProtoType;

typedef struct ProtoField {
        uint32_t number;
        ProtoType type;
        uint64_t value;       /* of a varint or a fixed number */
        const uint8_t *bytes; /* of PROTO_BYTES; borrowed */
        size_t len;
} ProtoField;

typedef struct ProtoReader {
        const uint8_t *at, *end;
} ProtoReader;

#define PROTO_READER(bytes_, n_) ((ProtoReader){ (bytes_), (bytes_) + (n_) })

static inline uint64_t proto_load64(const uint8_t *at) {
        uint64_t v;
        memcpy(&v, at, sizeof v);
        return v; /* little end first, as all machines we run on */
}

static inline double proto_double(uint64_t bits) {
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
}

static inline bool proto_take_fixed(ProtoReader *r, size_t n, uint64_t *ret_v) {
        if ((size_t)(r->end - r->at) < n)
                return false;
        *ret_v = 0;
        memcpy(ret_v, r->at, n);
        r->at += n;
        return true;
}

static inline bool proto_take_bytes(ProtoReader *r, const uint8_t **ret_bytes, size_t *ret_len) {
        uint64_t n;
        if (!varint_get(&r->at, r->end, &n) || n > (uint64_t)(r->end - r->at))
                return false;
        *ret_bytes = r->at;
        *ret_len = (size_t)n;
        r->at += n;
        return true;
}

/* 1 with the next field, 0 at the end, -EBADMSG for what is no message. */
static inline int proto_next(ProtoReader *r, ProtoField *ret_f) {
        uint64_t tag;
        bool good = false;
        if (r->at == r->end)
                return 0;
        if (!varint_get(&r->at, r->end, &tag) || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
                return -EBADMSG;
        ret_f->number = (uint32_t)(tag >> 3);
        ret_f->type = (ProtoType)(tag & 7);
        switch (tag & 7) {
        case PROTO_VARINT: good = varint_get(&r->at, r->end, &ret_f->value); break;
        case PROTO_FIXED64: good = proto_take_fixed(r, 8, &ret_f->value); break;
        case PROTO_FIXED32: good = proto_take_fixed(r, 4, &ret_f->value); break;
        case PROTO_BYTES: good = proto_take_bytes(r, &ret_f->bytes, &ret_f->len); break;
        default: break;
        }
        return good ? 1 : -EBADMSG;
}

/* Whether the field is number `n` of a type: one that is `n` of another type is not what the schema says. */
static inline bool proto_is(const ProtoField *f, uint32_t n, ProtoType type) {
        return f->number == n && f->type == type;
}
