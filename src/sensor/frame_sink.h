/* A sink that writes frames. The writer is the caller's and outlives it. */
#pragma once

#include "wire/frame.h"

typedef struct FrameSink {
        Sink sink; /* first: the sink is the object */
        FrameWriter *writer;
        uint64_t batches;
        uint64_t dropped; /* batches and blobs too large for a frame */
} FrameSink;

void frame_sink_init(FrameSink *s, FrameWriter *writer);
