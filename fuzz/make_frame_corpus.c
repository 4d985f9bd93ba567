/* Writes the seeds of fuzz/corpus/frame into the directory given: each kind of frame, and things cut into
 * parts. Run again when the layout, the groups or the metrics change. */
#include "wire/frame.h"

#include <fcntl.h>
#include <string.h>

static void put_packet(void *context, const void *packet, size_t n) {
        Buf *file = context;
        uint8_t len[2] = { (uint8_t)n, (uint8_t)(n >> 8) };
        buf_put(file, len, sizeof len);
        buf_put(file, packet, n);
}

static EntityKey key_of(EntityKind kind) {
        EntityKey key = { .kind = kind };
        memcpy(key.id.bytes, "0123456789abcdef", 16);
        return key;
}

static void put_rows(FrameWriter *w, GroupId group, uint32_t rows) {
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        Batch view;
        Span labels[GROUP_MAX_KEYS];
        for (size_t i = 0; i < GROUP_MAX_KEYS; i++)
                labels[i] = (Span){ "vda", 3 };
        batch_begin(&b, key_of(GROUPS[group].kind), group, (WallTime){ 1700000000000000000 }, (MonoTime){ 99 });
        for (uint32_t i = 0; i < rows; i++) {
                batch_row(&b, labels);
                batch_set(&b, GROUPS[group].first, i);
        }
        if (!batch_view(&b, &view) || frame_put_batch(w, &view) < 0)
                abort();
}

static void seed_commands(FrameWriter *w) {
        frame_put_hello(w);
        frame_put_tier(w, key_of(ENTITY_DOMAIN), 1);
        frame_put_resync(w);
        frame_put_ask(w, key_of(ENTITY_HOST), &(AskBody){ ASK_STATES, 7, ASK_WITH_INTERFACES });
        frame_put_done(w, key_of(ENTITY_DOMAIN), &(DoneBody){ ASK_MONITOR, ASK_BUSY, 7, 38, 1500, 2000000 });
        frame_put_done(w, (EntityKey){ 0 }, &(DoneBody){ .what = ASK_STATES, .state = ASK_DOWN });
}

static void seed_entities(FrameWriter *w) {
        frame_put_entity(
                w, &(EntityInfo){
                           .key = key_of(ENTITY_DOMAIN), .pid = 42, .started_ns = 1, .name = "web", .name_len = 3 });
        frame_put_entity(w, &(EntityInfo){ .key = key_of(ENTITY_CONTAINER),
                                           .engine = ENGINE_DOCKER,
                                           .name = "db",
                                           .name_len = 2,
                                           .path = "/docker/4f",
                                           .path_len = 10,
                                           .ident = "4f",
                                           .ident_len = 2 });
        frame_put_group_gone(w, key_of(ENTITY_CONTAINER), GROUP_CTR_PSI);
        frame_put_gone(w, key_of(ENTITY_DOMAIN));
}

static void seed_batches(FrameWriter *w) {
        put_rows(w, GROUP_DOM_CPU, 1);
        put_rows(w, GROUP_DOM_VCPU, 3);
        put_rows(w, GROUP_NODE_CPU, 2);
        put_rows(w, GROUP_CTR_CPU, 0);
}

/* Parts as they come of things over 64 KiB, but small: frames of whole things with their numbers changed. */
static void put_u32(FrameWriter *w, size_t at, uint32_t v) {
        memcpy(w->packet.data + at, &v, sizeof v);
}

static void seed_batch_parts(FrameWriter *w) {
        for (uint16_t part = 0; part < 3; part++) {
                size_t at = w->packet.len;
                put_rows(w, GROUP_DOM_PSI, 2);
                memcpy(w->packet.data + at + 34, &part, sizeof part);
                put_u32(w, at + 36, 6);
                put_u32(w, at + 40, part * 2u);
        }
}

static void seed_blob_parts(FrameWriter *w) {
        for (uint32_t part = 0; part < 3; part++) {
                size_t at = w->packet.len;
                if (frame_put_blob(w, key_of(ENTITY_DOMAIN), BLOB_DOMAIN_XML, "<domain/>", 9) < 0)
                        abort();
                put_u32(w, at + 36, 27);
                put_u32(w, at + 40, part * 9);
        }
}

static void seed_blobs(FrameWriter *w) {
        if (frame_put_blob(w, key_of(ENTITY_HOST), BLOB_DOCKER_LIST, "", 0) < 0 ||
            frame_put_blob(w, key_of(ENTITY_CONTAINER), BLOB_DOCKER_CONFIG, "{}", 2) < 0)
                abort();
}

static int write_seed(int dir, const char *name, void (*seed)(FrameWriter *)) {
        CLEANUP(buf_deinit) Buf file = BUF_NULL;
        CLEANUP(frame_writer_deinit) FrameWriter w;
        frame_writer_init(&w, put_packet, &file);
        seed(&w);
        frame_flush(&w);
        CLEANUP_FD int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        if (fd < 0 || buf_error(&file))
                return -EIO;
        return write(fd, file.data, file.len) == (ssize_t)file.len ? 0 : -EIO;
}

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                void (*seed)(FrameWriter *);
        } SEEDS[] = {
                { "commands", seed_commands }, { "entities", seed_entities }, { "batches", seed_batches },
                { "batch_parts", seed_batch_parts }, { "blobs", seed_blobs }, { "blob_parts", seed_blob_parts },
        };
        CLEANUP_FD int dir = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        if (dir < 0) {
                fprintf(stderr, "usage: make_frame_corpus DIRECTORY\n");
                return 2;
        }
        for (size_t i = 0; i < ARRAY_LEN(SEEDS); i++) {
                if (write_seed(dir, SEEDS[i].name, SEEDS[i].seed) < 0) {
                        fprintf(stderr, "%s/%s: cannot write\n", argv[1], SEEDS[i].name);
                        return 1;
                }
        }
        return 0;
}
