#include "sensor/frame_sink.h"

static FrameSink *of(Sink *s) {
        return (FrameSink *)s;
}

static void put_batch(Sink *s, const Batch *b) {
        of(s)->batches++;
        if (frame_put_batch(of(s)->writer, b) < 0)
                of(s)->dropped++;
}

static void put_entity(Sink *s, const EntityInfo *info) {
        frame_put_entity(of(s)->writer, info);
}

static void put_gone(Sink *s, EntityKey key) {
        frame_put_gone(of(s)->writer, key);
}

static void put_group_gone(Sink *s, EntityKey key, GroupId group) {
        frame_put_group_gone(of(s)->writer, key, group);
}

static void put_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        if (frame_put_blob(of(s)->writer, key, type, bytes, n) < 0)
                of(s)->dropped++;
}

void frame_sink_init(FrameSink *s, FrameWriter *writer) {
        *s = (FrameSink){ .sink = { .batch = put_batch,
                                    .entity = put_entity,
                                    .gone = put_gone,
                                    .group_gone = put_group_gone,
                                    .blob = put_blob },
                          .writer = writer };
}
