/* Samples of a queue as messages of remote write. Holds what is used again and again; one for all targets. Private to
 * src/forward. */
#pragma once

#include "forward/described.h"
#include "forward/reader.h"
#include "wire/remote_write.h"
#include "wire/remote_write_put.h"

typedef struct BatchItem {
        uint32_t series; /* in the batch's view */
        uint32_t at, len; /* as QueueSample */
        QueueKind kind;
        int64_t time_ms;
        double value;
} BatchItem;

typedef struct Encoder {
        Buf message, series, refs; /* refs: of exemplars, 2.0 */
        RwPutSample *samples;
        size_t cap_samples;
        uint64_t stamp; /* of the message of 2.0 being made */
        uint32_t n_symbols;
        size_t raw_bytes; /* of the last message, before compression */
} Encoder;

#define ENCODER_NULL ((Encoder){ 0 })
void encoder_deinit(Encoder *e);

/* A request with n samples of one segment in their order, compressed, replaces `out`; those older than `least_ms` are
 * left out and counted. 0; -ENOMEM; -EFBIG. */
int encode_batch(Encoder *e, RwVersion version, QueueView *view, const BatchItem *items, size_t n, int64_t least_ms,
                 Described *described, Buf *out, size_t *ret_left_out) MUST_USE;
/* 1.0: a request with the descriptions [first, first + n). */
int encode_metadata(Encoder *e, const Described *described, size_t first, size_t n, Buf *out) MUST_USE;
