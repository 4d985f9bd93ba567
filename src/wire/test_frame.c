#include "rt/settings.h"
#include "wire/frame.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* What a writer emitted: packets one after another, each at a multiple of 8. */
typedef struct Packets {
        Buf bytes;
        size_t offset[4096], len[4096];
        size_t n;
} Packets;

static void keep_packet(void *context, const void *packet, size_t n) {
        Packets *p = context;
        assert_true(n > 0 && n % 8 == 0 && n <= FRAME_PACKET_MAX);
        assert_true(p->n < ARRAY_LEN(p->len));
        p->offset[p->n] = p->bytes.len;
        p->len[p->n++] = n;
        buf_put(&p->bytes, packet, n);
        assert_int_equal(buf_error(&p->bytes), 0);
}

static void packets_deinit(Packets *p) {
        buf_deinit(&p->bytes);
}

static FrameReader packet_reader(const Packets *p, size_t i) {
        const uint8_t *at = (const uint8_t *)p->bytes.data + p->offset[i];
        return (FrameReader){ at, at + p->len[i] };
}

/* Counts what arrives and keeps the last of each kind. */
typedef struct Recorder {
        Sink sink;
        unsigned batches, entities, gone, groups_gone, blobs;
        EntityKey key;
        Batch batch;
        Buf labels, values, blob, texts;
        BlobType blob_type;
        EntityInfo info;
        GroupId group;
} Recorder;

static void record_batch(Sink *s, const Batch *b) {
        Recorder *r = (Recorder *)s;
        r->batches++;
        r->batch = *b;
        buf_reset(&r->labels);
        buf_put(&r->labels, b->labels, b->labels_len);
        buf_reset(&r->values);
        buf_put(&r->values, b->values, b->n_rows * group_columns(b->group) * sizeof(double));
}

static void record_entity(Sink *s, const EntityInfo *info) {
        Recorder *r = (Recorder *)s;
        r->entities++;
        r->info = *info;
        buf_reset(&r->texts);
        buf_put(&r->texts, info->name, info->name_len);
        buf_put(&r->texts, info->path, info->path_len);
        buf_put(&r->texts, info->ident, info->ident_len);
}

static void record_gone(Sink *s, EntityKey key) {
        Recorder *r = (Recorder *)s;
        r->gone++;
        r->key = key;
}

static void record_group_gone(Sink *s, EntityKey key, GroupId group) {
        Recorder *r = (Recorder *)s;
        r->groups_gone++;
        r->key = key;
        r->group = group;
}

static void record_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        Recorder *r = (Recorder *)s;
        r->blobs++;
        r->key = key;
        r->blob_type = type;
        buf_reset(&r->blob);
        buf_put(&r->blob, bytes, n);
}

static Recorder recorder(void) {
        return (Recorder){ .sink = { record_batch, record_entity, record_gone, record_group_gone, record_blob } };
}

static void recorder_deinit(Recorder *r) {
        buf_deinit(&r->labels);
        buf_deinit(&r->values);
        buf_deinit(&r->blob);
        buf_deinit(&r->texts);
}

static EntityKey key_of(EntityKind kind, uint8_t n) {
        EntityKey key = { .kind = kind };
        memset(key.id.bytes, n, sizeof key.id.bytes);
        return key;
}

/* Everything of all packets into the sink; 0 or the first error. */
static int replay(const Packets *p, FrameAssembler *a, Sink *sink) {
        for (size_t i = 0; i < p->n; i++) {
                FrameReader r = packet_reader(p, i);
                Frame f;
                int got;
                while ((got = frame_next(&r, &f)) > 0) {
                        int error = frame_to_sink(a, &f, sink);
                        if (error)
                                return error;
                }
                if (got < 0)
                        return got;
        }
        return 0;
}

/* The only frame of the only packet. */
static Frame single(const Packets *p) {
        assert_int_equal(p->n, 1);
        FrameReader r = packet_reader(p, 0);
        Frame f, none;
        assert_int_equal(frame_next(&r, &f), 1);
        assert_int_equal(frame_next(&r, &none), 0);
        return f;
}

static void build_vcpus(BatchBuilder *b, uint32_t rows, size_t label_len) {
        batch_begin(b, key_of(ENTITY_DOMAIN, 7), GROUP_DOM_VCPU, (WallTime){ 1700000000000000000 },
                    (MonoTime){ 12345 });
        for (uint32_t i = 0; i < rows; i++) {
                char label[BATCH_LABEL_MAX];
                memset(label, 'a' + (int)(i % 26), sizeof label);
                int n = snprintf(label, sizeof label, "%u", i);
                label[n] = '-';
                batch_row1(b, label, label_len > (size_t)n ? label_len : (size_t)n);
                batch_set(b, M_DOM_VCPU_TIME, i * 1.5);
        }
}

#define WRITER(w, packets)                                                       \
        CLEANUP(packets_deinit) Packets packets = { .n = 0 };                    \
        CLEANUP(frame_writer_deinit) FrameWriter w;                              \
        frame_writer_init(&w, keep_packet, &packets)

/* ---- round trips ---- */

static void hello_names_the_build(void **state) {
        (void)state;
        WRITER(w, p);
        frame_put_hello(&w);
        frame_flush(&w);
        Frame f = single(&p);
        assert_int_equal(f.type, FRAME_HELLO);
        assert_int_equal(f.hello.pid, getpid());
        assert_true(frame_hello_matches(&f.hello));
        f.hello.metrics++;
        assert_false(frame_hello_matches(&f.hello));
        f.hello.metrics--;
        f.hello.protocol++;
        assert_false(frame_hello_matches(&f.hello));
}

static void commands_round_trip(void **state) {
        (void)state;
        WRITER(w, p);
        EntityKey key = key_of(ENTITY_DOMAIN, 3);
        frame_put_tier(&w, key, TIER_DIAGNOSIS);
        frame_put_resync(&w);
        frame_put_ask(&w, key, &(AskBody){ ASK_STATES, 77, ASK_WITH_PERF });
        frame_put_done(&w, key, &(DoneBody){ ASK_MONITOR, ASK_BUSY, 78, -5, 1234, 99 });
        frame_put_done(&w, (EntityKey){ 0 }, &(DoneBody){ .state = ASK_EVENT, .control = -1 });
        frame_flush(&w);
        assert_int_equal(p.n, 1);
        FrameReader r = packet_reader(&p, 0);
        Frame f;
        assert_int_equal(frame_next(&r, &f), 1);
        assert_true(f.type == FRAME_TIER && f.tier == TIER_DIAGNOSIS && entity_key_equal(&f.key, &key));
        assert_int_equal(frame_next(&r, &f), 1);
        assert_int_equal(f.type, FRAME_RESYNC);
        assert_int_equal(frame_next(&r, &f), 1);
        assert_true(f.type == FRAME_ASK && f.ask.what == ASK_STATES && f.ask.serial == 77 &&
                    f.ask.flags == ASK_WITH_PERF);
        assert_int_equal(frame_next(&r, &f), 1);
        assert_true(f.type == FRAME_DONE && f.done.what == ASK_MONITOR && f.done.state == ASK_BUSY &&
                    f.done.serial == 78);
        assert_true(f.done.error == -5 && f.done.control == 1234 && f.done.cost_ns == 99);
        assert_int_equal(frame_next(&r, &f), 1);
        assert_true(f.done.what == 0 && f.done.state == ASK_EVENT && f.done.control == 0 && f.key.kind == 0);
        assert_int_equal(frame_next(&r, &f), 0);

        /* None of them is for a sink. */
        CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
        CLEANUP(recorder_deinit) Recorder rec = recorder();
        assert_int_equal(replay(&p, &a, &rec.sink), -EPROTO);
}

static void entities_round_trip_with_any_bytes(void **state) {
        (void)state;
        WRITER(w, p);
        CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
        CLEANUP(recorder_deinit) Recorder rec = recorder();
        static const char NAME[] = "\"\n\0\xff<script>";
        EntityInfo info = { .key = key_of(ENTITY_CONTAINER, 9),
                            .engine = ENGINE_DOCKER,
                            .pid = 4242,
                            .started_ns = 55,
                            .name = NAME,
                            .name_len = sizeof NAME - 1,
                            .path = "/docker/1",
                            .path_len = 9,
                            .ident = NULL };
        frame_put_entity(&w, &info);
        frame_put_gone(&w, info.key);
        frame_put_group_gone(&w, info.key, GROUP_CTR_CPU);
        frame_flush(&w);
        assert_int_equal(replay(&p, &a, &rec.sink), 0);
        assert_true(rec.entities == 1 && rec.gone == 1 && rec.groups_gone == 1 && rec.group == GROUP_CTR_CPU);
        assert_true(entity_key_equal(&rec.key, &info.key) && entity_key_equal(&rec.info.key, &info.key));
        assert_true(rec.info.pid == 4242 && rec.info.started_ns == 55 && rec.info.engine == ENGINE_DOCKER);
        assert_true(rec.info.name_len == sizeof NAME - 1 && rec.info.path_len == 9 && rec.info.ident_len == 0);
        assert_memory_equal(rec.texts.data, NAME, sizeof NAME - 1);
        assert_memory_equal(rec.texts.data + sizeof NAME - 1, "/docker/1", 9);
}

static void long_names_are_cut(void **state) {
        (void)state;
        WRITER(w, p);
        CLEANUP_FREE char *text = malloc(10000);
        memset(text, 'x', 10000);
        frame_put_entity(&w, &(EntityInfo){ .key = key_of(ENTITY_DOMAIN, 1),
                                            .name = text,
                                            .name_len = 10000,
                                            .path = text,
                                            .path_len = 4096,
                                            .ident = text,
                                            .ident_len = 10000 });
        frame_flush(&w);
        Frame f = single(&p);
        assert_true(f.entity.name_len == 4096 && f.entity.path_len == 4096 && f.entity.ident_len == 4096);
}

static void small_batches_share_a_packet(void **state) {
        (void)state;
        WRITER(w, p);
        CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
        CLEANUP(recorder_deinit) Recorder rec = recorder();
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        Batch view;
        for (uint32_t rows = 0; rows < 20; rows++) {
                build_vcpus(&b, rows, rows);
                assert_true(batch_view(&b, &view));
                assert_int_equal(frame_put_batch(&w, &view), 0);
        }
        batch_begin(&b, key_of(ENTITY_HOST, 1), GROUP_NODE_LOAD, (WallTime){ 1 }, (MonoTime){ 2 });
        batch_row(&b, NULL);
        batch_set(&b, M_NODE_LOAD_L5, 0.25);
        assert_true(batch_view(&b, &view));
        assert_int_equal(frame_put_batch(&w, &view), 0);
        frame_flush(&w);
        assert_int_equal(p.n, 1);
        assert_int_equal(replay(&p, &a, &rec.sink), 0);
        assert_int_equal(rec.batches, 21);
        assert_true(rec.batch.group == GROUP_NODE_LOAD && rec.batch.wall.ns == 1 && rec.batch.mono.ns == 2);
        const double *v = (const double *)(const void *)rec.values.data;
        assert_true(value_is_absent(v[0]) && v[1] == 0.25 && value_is_absent(v[2]));
}

static void check_cut_batch(uint32_t rows, size_t label_len, size_t least_packets) {
        WRITER(w, p);
        CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
        CLEANUP(recorder_deinit) Recorder rec = recorder();
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        Batch view;
        build_vcpus(&b, rows, label_len);
        assert_true(batch_view(&b, &view));
        frame_put_gone(&w, view.key); /* so that the first part does not begin a packet */
        assert_int_equal(frame_put_batch(&w, &view), 0);
        frame_flush(&w);
        assert_true(p.n >= least_packets);
        assert_int_equal(replay(&p, &a, &rec.sink), 0);
        assert_int_equal(rec.batches, 1);
        assert_true(rec.batch.n_rows == rows && rec.batch.wall.ns == view.wall.ns && rec.batch.mono.ns == view.mono.ns);
        assert_int_equal(rec.labels.len, view.labels_len);
        assert_memory_equal(rec.labels.data, view.labels, view.labels_len);
        assert_memory_equal(rec.values.data, view.values, rec.values.len);
        assert_true(a.batch_total == 0 && a.batch.values.cap <= (128 << 10));
}

static void large_batches_are_cut_and_put_together(void **state) {
        (void)state;
        check_cut_batch(30000, 0, 20);
        check_cut_batch(BATCH_MAX_ROWS, 0, 40);
        check_cut_batch(300, BATCH_LABEL_MAX, 20);
}

/* What a reader would refuse is not sent, not even in part. */
static void what_cannot_be_sent_is_refused_whole(void **state) {
        (void)state;
        WRITER(w, p);
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        Batch view;
        static char text[BATCH_LABEL_MAX];
        Span wide[20], narrow[20];
        for (size_t i = 0; i < 20; i++) {
                wide[i] = (Span){ text, sizeof text };
                narrow[i] = (Span){ text, 100 };
        }
        assert_int_equal(GROUPS[GROUP_NODE_DMI].n_keys, 20);
        batch_begin(&b, key_of(ENTITY_HOST, 1), GROUP_NODE_DMI, (WallTime){ 1 }, (MonoTime){ 2 });
        for (int i = 0; i < 100; i++)
                batch_row(&b, i == 99 ? wide : narrow);
        assert_true(batch_view(&b, &view));
        assert_int_equal(frame_put_batch(&w, &view), -E2BIG);

        build_vcpus(&b, 3000, BATCH_LABEL_MAX);
        assert_true(batch_view(&b, &view) && view.labels_len > FRAME_BATCH_LABELS_MAX);
        assert_int_equal(frame_put_batch(&w, &view), -E2BIG);

        build_vcpus(&b, 3, 0);
        assert_true(batch_view(&b, &view));
        view.labels_len--;
        assert_int_equal(frame_put_batch(&w, &view), -EBADMSG);
        view.labels_len++;
        view.wall.ns = -1;
        assert_int_equal(frame_put_batch(&w, &view), -EBADMSG);
        assert_int_equal(frame_put_blob(&w, view.key, BLOB_DOMAIN_XML, "", BLOB_MAX + 1), -E2BIG);
        frame_flush(&w);
        assert_int_equal(p.n, 0);
}

static void blobs_of_all_sizes(void **state) {
        (void)state;
        static const size_t SIZES[] = { 0,      1,       FRAME_BLOB_CHUNK - 1, FRAME_BLOB_CHUNK, FRAME_BLOB_CHUNK + 1,
                                        100000, BLOB_MAX };
        CLEANUP_FREE uint8_t *bytes = malloc(BLOB_MAX);
        for (size_t i = 0; i < BLOB_MAX; i++)
                bytes[i] = (uint8_t)(i * 2654435761u >> 13);
        for (size_t i = 0; i < ARRAY_LEN(SIZES); i++) {
                WRITER(w, p);
                CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
                CLEANUP(recorder_deinit) Recorder rec = recorder();
                EntityKey key = key_of(ENTITY_DOMAIN, 5);
                assert_int_equal(frame_put_blob(&w, key, BLOB_DOMAIN_XML, bytes, SIZES[i]), 0);
                frame_flush(&w);
                assert_int_equal(replay(&p, &a, &rec.sink), 0);
                assert_int_equal(rec.blobs, 1);
                assert_int_equal(rec.blob.len, SIZES[i]);
                assert_true(rec.blob_type == BLOB_DOMAIN_XML && entity_key_equal(&rec.key, &key));
                if (SIZES[i])
                        assert_memory_equal(rec.blob.data, bytes, SIZES[i]);
                assert_true(a.blob_total == 0 && a.blob.cap <= (128 << 10));
        }
}

/* ---- a peer that is broken ---- */

/* One frame of each kind, each in a packet of its own. */
static void write_one_of_each(FrameWriter *w) {
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        Batch view;
        EntityKey domain = key_of(ENTITY_DOMAIN, 2);
        frame_put_hello(w);
        frame_flush(w);
        build_vcpus(&b, 3, 5);
        assert_true(batch_view(&b, &view));
        assert_int_equal(frame_put_batch(w, &view), 0);
        frame_flush(w);
        frame_put_entity(w, &(EntityInfo){ .key = domain,
                                           .pid = 5,
                                           .name = "web",
                                           .name_len = 3,
                                           .path = "/x",
                                           .path_len = 2,
                                           .ident = "abcd",
                                           .ident_len = 4 });
        frame_flush(w);
        frame_put_gone(w, domain);
        frame_flush(w);
        frame_put_group_gone(w, domain, GROUP_DOM_CPU);
        frame_flush(w);
        assert_int_equal(frame_put_blob(w, domain, BLOB_DOMAIN_XML, "<domain/>", 9), 0);
        frame_flush(w);
        frame_put_tier(w, domain, TIER_BASIC);
        frame_flush(w);
        frame_put_resync(w);
        frame_flush(w);
        frame_put_ask(w, domain, &(AskBody){ ASK_XML, 1, 0 });
        frame_flush(w);
        frame_put_done(w, domain, &(DoneBody){ ASK_XML, ASK_OK, 1, 0, 0, 5 });
        frame_flush(w);
}

/* What bytes[0..n) gives: 1 if its first frame is accepted. The copy ends at its last byte, so that the
 * address sanitizer sees every read beyond. */
static int first_frame(const uint8_t *bytes, size_t n) {
        CLEANUP_FREE uint8_t *copy = malloc(n ? n : 1);
        memcpy(copy, bytes, n);
        FrameReader r = { copy, copy + n };
        Frame f;
        int got = frame_next(&r, &f);
        CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
        CLEANUP(recorder_deinit) Recorder rec = recorder();
        if (got > 0) {
                int sunk = frame_to_sink(&a, &f, &rec.sink);
                assert_true(sunk == 0 || sunk == -EBADMSG || sunk == -EPROTO);
        }
        return got;
}

static void cut_packets_are_refused_at_every_byte(void **state) {
        (void)state;
        WRITER(w, p);
        write_one_of_each(&w);
        assert_int_equal(p.n, FRAME_TYPE_COUNT - 1);
        for (size_t i = 0; i < p.n; i++) {
                FrameReader r = packet_reader(&p, i);
                assert_int_equal(first_frame(r.at, p.len[i]), 1);
                assert_int_equal(first_frame(r.at, 0), 0);
                for (size_t n = 1; n < p.len[i]; n++)
                        assert_int_equal(first_frame(r.at, n), -EBADMSG);
        }
}

/* A frame whose own length says less or more, in a packet that has the bytes. */
static void lengths_that_lie_are_refused(void **state) {
        (void)state;
        WRITER(w, p);
        write_one_of_each(&w);
        for (size_t i = 0; i < p.n; i++) {
                uint8_t bytes[512] = { 0 };
                FrameReader r = packet_reader(&p, i);
                memcpy(bytes, r.at, p.len[i]);
                uint32_t right;
                memcpy(&right, bytes, sizeof right);
                /* The bytes of a blob end where its frame ends, so a shorter one is a part of a blob. */
                bool is_blob = bytes[4] == FRAME_BLOB;
                for (uint32_t n = 0; n < 600; n++) {
                        memcpy(bytes, &n, sizeof n);
                        int got = first_frame(bytes, sizeof bytes);
                        if (!is_blob || n < 45 || n > right)
                                assert_int_equal(got, n == right ? 1 : -EBADMSG);
                }
        }
}

/* Any byte of any frame replaced by any other: never read beyond the packet, never an assertion. */
static void mutated_frames_do_no_harm(void **state) {
        (void)state;
        WRITER(w, p);
        write_one_of_each(&w);
        for (size_t i = 0; i < p.n; i++) {
                FrameReader r = packet_reader(&p, i);
                for (size_t at = 0; at < p.len[i]; at++) {
                        uint8_t bytes[512];
                        memcpy(bytes, r.at, p.len[i]);
                        for (unsigned flip = 1; flip < 256; flip++) {
                                bytes[at] = (uint8_t)(r.at[at] ^ flip);
                                (void)first_frame(bytes, p.len[i]);
                        }
                }
        }
}

/* Fields that have few right values, by frame and offset. */
static void fields_out_of_range_are_refused(void **state) {
        (void)state;
        static const struct {
                FrameType type;
                size_t at, n;
                uint64_t value;
        } BAD[] = {
                { FRAME_HELLO, 4, 2, 0 },
                { FRAME_HELLO, 4, 2, FRAME_TYPE_COUNT },
                { FRAME_HELLO, 6, 2, 1 },
                { FRAME_GONE, 8, 1, 0 },
                { FRAME_GONE, 8, 1, 4 },
                { FRAME_GONE, 15, 1, 1 },
                { FRAME_BATCH, 32, 2, GROUP_COUNT },
                { FRAME_BATCH, 32, 2, GROUP_NODE_CPU },
                { FRAME_BATCH, 34, 2, 1 },
                { FRAME_BATCH, 36, 4, 2 },
                { FRAME_BATCH, 36, 4, BATCH_MAX_ROWS + 1 },
                { FRAME_BATCH, 40, 4, 1 },
                { FRAME_BATCH, 40, 4, UINT32_MAX },
                { FRAME_BATCH, 44, 4, 4 },
                { FRAME_BATCH, 44, 4, 0 },
                { FRAME_BATCH, 44, 4, 1u << 29 },
                { FRAME_BATCH, 48, 8, UINT64_MAX },
                { FRAME_BATCH, 56, 8, 1ull << 63 },
                { FRAME_BATCH, 64, 4, 20 },
                { FRAME_BATCH, 64, 4, UINT32_MAX },
                { FRAME_BATCH, 68, 2, BATCH_LABEL_MAX + 1 },
                { FRAME_BATCH, 68, 2, 6 },
                { FRAME_ENTITY, 8, 1, 9 },
                { FRAME_ENTITY, 32, 2, ENGINE_COUNT },
                { FRAME_ENTITY, 34, 2, 1 },
                { FRAME_ENTITY, 36, 4, 1u << 31 },
                { FRAME_ENTITY, 40, 8, 1ull << 63 },
                { FRAME_ENTITY, 48, 2, 4 },
                { FRAME_ENTITY, 50, 2, 65535 },
                { FRAME_ENTITY, 52, 2, 3 },
                { FRAME_ENTITY, 54, 2, 1 },
                { FRAME_GROUP_GONE, 32, 2, GROUP_COUNT },
                { FRAME_GROUP_GONE, 32, 2, GROUP_CTR_CPU },
                { FRAME_GROUP_GONE, 34, 2, 1 },
                { FRAME_BLOB, 8, 1, ENTITY_HOST },
                { FRAME_BLOB, 32, 2, 0 },
                { FRAME_BLOB, 32, 2, BLOB_TYPE_COUNT },
                { FRAME_BLOB, 32, 2, BLOB_DOCKER_LIST },
                { FRAME_BLOB, 34, 2, 1 },
                { FRAME_BLOB, 36, 4, 8 },
                { FRAME_BLOB, 36, 4, BLOB_MAX + 1 },
                { FRAME_BLOB, 40, 4, 1 },
                { FRAME_BLOB, 40, 4, UINT32_MAX },
                { FRAME_TIER, 32, 2, TIER_COUNT },
                { FRAME_TIER, 34, 2, 1 },
                { FRAME_ASK, 32, 2, 0 },
                { FRAME_ASK, 32, 2, ASK_COUNT },
                { FRAME_ASK, 34, 2, 1 },
                { FRAME_ASK, 40, 4, ASK_FLAGS_ALL + 1 },
                { FRAME_ASK, 8, 1, 0 },
                { FRAME_DONE, 8, 1, 0 },
                { FRAME_DONE, 32, 2, 0 },
                { FRAME_DONE, 32, 2, ASK_COUNT },
                { FRAME_DONE, 34, 2, ASK_STATE_COUNT },
                { FRAME_DONE, 44, 8, 1ull << 63 },
                { FRAME_DONE, 52, 8, UINT64_MAX },
        };
        WRITER(w, p);
        write_one_of_each(&w);
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                uint8_t bytes[512];
                size_t packet = BAD[i].type - 1;
                memcpy(bytes, packet_reader(&p, packet).at, p.len[packet]);
                memcpy(bytes + BAD[i].at, &BAD[i].value, BAD[i].n);
                if (first_frame(bytes, p.len[packet]) != -EBADMSG)
                        fail_msg("row %zu was accepted", i);
        }
        /* And the bytes that fill up to a multiple of 8. */
        uint8_t bytes[512];
        memcpy(bytes, packet_reader(&p, FRAME_TIER - 1).at, p.len[FRAME_TIER - 1]);
        bytes[p.len[FRAME_TIER - 1] - 1] = 1;
        assert_int_equal(first_frame(bytes, p.len[FRAME_TIER - 1]), -EBADMSG);
}

/* ---- parts in the wrong order ---- */

static int feed(FrameAssembler *a, const Packets *p, size_t i, Sink *sink) {
        FrameReader r = packet_reader(p, i);
        Frame f;
        assert_int_equal(frame_next(&r, &f), 1);
        return frame_to_sink(a, &f, sink);
}

static void parts_out_of_order_drop_what_was_under_way(void **state) {
        (void)state;
        for (int blob = 0; blob < 2; blob++) {
                WRITER(w, p);
                CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
                CLEANUP(recorder_deinit) Recorder rec = recorder();
                CLEANUP(batch_deinit) BatchBuilder b = { 0 };
                CLEANUP_FREE char *zeros = calloc(1, 200000);
                Batch view;
                build_vcpus(&b, 10000, 0);
                assert_true(batch_view(&b, &view));
                if (blob)
                        assert_int_equal(frame_put_blob(&w, view.key, BLOB_DOMAIN_XML, zeros, 200000), 0);
                else
                        assert_int_equal(frame_put_batch(&w, &view), 0);
                frame_flush(&w);
                assert_true(p.n > 4);
                assert_int_equal(feed(&a, &p, 1, &rec.sink), -EBADMSG); /* the second first */
                assert_int_equal(feed(&a, &p, 0, &rec.sink), 0);
                assert_int_equal(feed(&a, &p, 2, &rec.sink), -EBADMSG); /* one left out */
                assert_int_equal(feed(&a, &p, 1, &rec.sink), -EBADMSG); /* nothing is under way */
                assert_int_equal(feed(&a, &p, 0, &rec.sink), 0);
                assert_int_equal(feed(&a, &p, 0, &rec.sink), -EBADMSG); /* twice */
                assert_int_equal(feed(&a, &p, 0, &rec.sink), 0);
                assert_int_equal(feed(&a, &p, 1, &rec.sink), 0);
                assert_int_equal(feed(&a, &p, 1, &rec.sink), -EBADMSG);
                assert_true(rec.batches == 0 && rec.blobs == 0);
                assert_int_equal(replay(&p, &a, &rec.sink), 0); /* and it works again */
                assert_int_equal(rec.batches + rec.blobs, 1);
        }
}

/* Parts of two things must not become one: another entity's rows are the worst that could happen. */
static void parts_of_another_entity_are_refused(void **state) {
        (void)state;
        WRITER(w, p);
        CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
        CLEANUP(recorder_deinit) Recorder rec = recorder();
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        Batch view;
        build_vcpus(&b, 10000, 0);
        assert_true(batch_view(&b, &view));
        assert_int_equal(frame_put_batch(&w, &view), 0);
        frame_flush(&w);
        size_t other = p.n;
        view.key = key_of(ENTITY_DOMAIN, 8);
        assert_int_equal(frame_put_batch(&w, &view), 0);
        frame_flush(&w);
        size_t later = p.n;
        view.key = key_of(ENTITY_DOMAIN, 7);
        view.mono.ns++;
        assert_int_equal(frame_put_batch(&w, &view), 0);
        frame_flush(&w);
        assert_int_equal(feed(&a, &p, 0, &rec.sink), 0);
        assert_int_equal(feed(&a, &p, other + 1, &rec.sink), -EBADMSG);
        assert_int_equal(feed(&a, &p, 0, &rec.sink), 0);
        assert_int_equal(feed(&a, &p, later + 1, &rec.sink), -EBADMSG);
        assert_int_equal(rec.batches, 0);
        assert_int_equal(replay(&p, &a, &rec.sink), 0);
        assert_int_equal(rec.batches, 3);
}

/* An entity may be announced while a blob is under way. */
static void other_frames_between_parts(void **state) {
        (void)state;
        WRITER(w, p);
        CLEANUP(frame_assembler_deinit) FrameAssembler a = { 0 };
        CLEANUP(recorder_deinit) Recorder rec = recorder();
        CLEANUP(batch_deinit) BatchBuilder b = { 0 };
        CLEANUP_FREE char *zeros = calloc(1, 100000);
        Batch view;
        assert_int_equal(frame_put_blob(&w, key_of(ENTITY_DOMAIN, 5), BLOB_DOMAIN_XML, zeros, 100000), 0);
        frame_flush(&w);
        size_t n = p.n;
        build_vcpus(&b, 2, 0);
        assert_true(n >= 2 && batch_view(&b, &view));
        assert_int_equal(frame_put_batch(&w, &view), 0);
        frame_flush(&w);
        assert_int_equal(feed(&a, &p, 0, &rec.sink), 0);
        assert_int_equal(feed(&a, &p, n, &rec.sink), 0);
        assert_int_equal(rec.batches, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(hello_names_the_build),
                cmocka_unit_test(commands_round_trip),
                cmocka_unit_test(entities_round_trip_with_any_bytes),
                cmocka_unit_test(long_names_are_cut),
                cmocka_unit_test(small_batches_share_a_packet),
                cmocka_unit_test(large_batches_are_cut_and_put_together),
                cmocka_unit_test(what_cannot_be_sent_is_refused_whole),
                cmocka_unit_test(blobs_of_all_sizes),
                cmocka_unit_test(cut_packets_are_refused_at_every_byte),
                cmocka_unit_test(lengths_that_lie_are_refused),
                cmocka_unit_test(mutated_frames_do_no_harm),
                cmocka_unit_test(fields_out_of_range_are_refused),
                cmocka_unit_test(parts_out_of_order_drop_what_was_under_way),
                cmocka_unit_test(parts_of_another_entity_are_refused),
                cmocka_unit_test(other_frames_between_parts),
        };
        return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
