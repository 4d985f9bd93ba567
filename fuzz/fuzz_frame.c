/* Any bytes as a packet, or as several: the first two bytes of each part of the input are its length. What
 * the reader accepts goes through an assembler into a sink that looks at every byte, and comes out of a
 * writer as frames that are accepted again. */
#include "wire/frame.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

typedef struct Checker {
        Sink sink;
        FrameWriter writer;
        volatile uint64_t sum; /* so that the reads stay */
} Checker;

static void look_at(Checker *c, const void *bytes, size_t n) {
        const uint8_t *at = bytes;
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++)
                sum += at[i];
        c->sum += sum;
}

static void check_batch(Sink *s, const Batch *b) {
        Checker *c = (Checker *)s;
        assert(batch_check(b) == 0);
        assert((uintptr_t)b->values % sizeof(double) == 0);
        look_at(c, b->labels, b->labels_len);
        look_at(c, b->values, b->n_rows * group_columns(b->group) * sizeof(double));
        int r = frame_put_batch(&c->writer, b);
        assert(r == 0 || r == -E2BIG);
}

static void check_entity(Sink *s, const EntityInfo *info) {
        Checker *c = (Checker *)s;
        look_at(c, info->name, info->name_len);
        look_at(c, info->path, info->path_len);
        look_at(c, info->ident, info->ident_len);
        frame_put_entity(&c->writer, info);
}

static void check_gone(Sink *s, EntityKey key) {
        frame_put_gone(&((Checker *)s)->writer, key);
}

static void check_group_gone(Sink *s, EntityKey key, GroupId group) {
        frame_put_group_gone(&((Checker *)s)->writer, key, group);
}

static void check_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        Checker *c = (Checker *)s;
        look_at(c, bytes, n);
        int r = frame_put_blob(&c->writer, key, type, bytes, n);
        assert(r == 0);
}

/* What a writer wrote is accepted to its end. */
static void check_written(void *context, const void *packet, size_t n) {
        (void)context;
        FrameReader r = { packet, (const uint8_t *)packet + n };
        Frame f;
        int got;
        while ((got = frame_next(&r, &f)) > 0)
                ;
        assert(got == 0);
}

static void put_command(Checker *c, const Frame *f) {
        switch (f->type) {
        case FRAME_TIER: frame_put_tier(&c->writer, f->key, f->tier); break;
        case FRAME_ASK: frame_put_ask(&c->writer, f->key, &f->ask); break;
        case FRAME_DONE: frame_put_done(&c->writer, f->key, &f->done); break;
        case FRAME_HELLO: c->sum += frame_hello_matches(&f->hello); break;
        default: assert(f->type == FRAME_RESYNC); break;
        }
}

/* Like a connection: ends at the first thing that is wrong. */
static bool take_packet(Checker *c, FrameAssembler *a, const uint8_t *bytes, size_t n) {
        FrameReader r = { bytes, bytes + n };
        Frame f;
        int got;
        while ((got = frame_next(&r, &f)) > 0) {
                int error = frame_to_sink(a, &f, &c->sink);
                assert(error == 0 || error == -EBADMSG || error == -EPROTO);
                if (error == -EPROTO)
                        put_command(c, &f);
                else if (error)
                        return false;
        }
        assert(got == 0 || got == -EBADMSG);
        return got == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        Checker c = { .sink = { check_batch, check_entity, check_gone, check_group_gone, check_blob } };
        CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
        frame_writer_init(&c.writer, check_written, NULL);
        bool going = true;
        while (going && n >= 2) {
                size_t len = (size_t)bytes[0] | (size_t)bytes[1] << 8;
                bytes += 2;
                n -= 2;
                len = len < n ? len : n;
                /* A copy of the exact size: the sanitizer sees a read beyond it. */
                CLEANUP_FREE uint8_t *packet = malloc(len ? len : 1);
                assert(packet);
                memcpy(packet, bytes, len);
                going = take_packet(&c, &a, packet, len);
                bytes += len;
                n -= len;
        }
        frame_flush(&c.writer);
        frame_writer_deinit(&c.writer);
        return 0;
}
