/* One writer and one reader of the layout in frame.h. Both go through the same offsets (the OFF_* below):
 * the writer reserves a whole frame and stores into it, the reader first compares the frame's length with
 * what its fields claim and only then loads. Nothing is read through a struct pointer, so padding and
 * alignment of the compiler are no part of the format; values are at a multiple of 8 and are borrowed. */
#include "wire/frame.h"

#include "rt/settings.h"

#include <assert.h>
#include <string.h>

/* Offsets from the beginning of the frame. */
enum {
        OFF_TYPE = 4,
        OFF_RESERVED = 6,
        OFF_KEY = FRAME_HEAD,
        OFF_HELLO = FRAME_HEAD,
        HELLO_SIZE = OFF_HELLO + 16,
        OFF_BODY = OFF_KEY + 24,

        OFF_BATCH_PART = OFF_BODY + 2,
        OFF_BATCH_TOTAL = OFF_BODY + 4,
        OFF_BATCH_FIRST = OFF_BODY + 8,
        OFF_BATCH_ROWS = OFF_BODY + 12,
        OFF_BATCH_WALL = OFF_BODY + 16,
        OFF_BATCH_MONO = OFF_BODY + 24,
        OFF_BATCH_LABEL_BYTES = OFF_BODY + 32,
        OFF_BATCH_LABELS = OFF_BODY + 36,

        OFF_ENTITY_PID = OFF_BODY + 4,
        OFF_ENTITY_STARTED = OFF_BODY + 8,
        OFF_ENTITY_LENGTHS = OFF_BODY + 16,
        OFF_ENTITY_TEXT = OFF_BODY + 24,

        OFF_BLOB_TOTAL = OFF_BODY + 4,
        OFF_BLOB_OFFSET = OFF_BODY + 8,
        OFF_BLOB_BYTES = OFF_BODY + 12,

        OFF_ASK_SERIAL = OFF_BODY + 4,
        OFF_ASK_FLAGS = OFF_BODY + 8,
        ASK_SIZE = OFF_BODY + 12,

        OFF_DONE_STATE = OFF_BODY + 2,
        OFF_DONE_SERIAL = OFF_BODY + 4,
        OFF_DONE_ERROR = OFF_BODY + 8,
        OFF_DONE_CONTROL = OFF_BODY + 12,
        OFF_DONE_COST = OFF_BODY + 20,
        DONE_SIZE = OFF_BODY + 28,
};

static_assert(FRAME_PACKET_MAX % 8 == 0 && FRAME_BLOB_CHUNK + OFF_BLOB_BYTES + 8 <= FRAME_PACKET_MAX,
              "a chunk of a blob fits a packet");
static_assert(OFF_ENTITY_TEXT + 3 * ENTITY_TEXT_MAX <= FRAME_PACKET_MAX, "an entity fits a packet");

static size_t pad8(size_t n) {
        return (n + 7) & ~(size_t)7;
}

#define LOAD(type, at)                                \
        ({                                            \
                type load_;                           \
                memcpy(&load_, (at), sizeof load_);   \
                load_;                                \
        })
#define STORE(type, at, value)                        \
        ({                                            \
                type store_ = (type)(value);          \
                memcpy((at), &store_, sizeof store_); \
        })

static bool all_zero(const uint8_t *at, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (at[i])
                        return false;
        return true;
}

static bool kind_is_known(unsigned kind) {
        return kind == ENTITY_HOST || kind == ENTITY_DOMAIN || kind == ENTITY_CONTAINER;
}

/* Whose document a blob is; 0 for no type of ours. */
static unsigned blob_kind(unsigned type) {
        switch (type) {
        case BLOB_DOMAIN_XML: return ENTITY_DOMAIN;
        case BLOB_DOCKER_LIST:
        case BLOB_PODMAN_LIST:
        case BLOB_PODMAN_CONFIGS: return ENTITY_HOST;
        case BLOB_DOCKER_CONFIG: return ENTITY_CONTAINER;
        default: return 0;
        }
}

/* ---- reading ---- */

static bool read_key(const uint8_t *at, FrameType type, EntityKey *ret_key) {
        /* A worker may have something to say before it knows whom it serves; read_done() has the rest of it. */
        bool nobody = type == FRAME_DONE && all_zero(at, 24);
        if ((!kind_is_known(at[0]) && !nobody) || !all_zero(at + 1, 7))
                return false;
        ret_key->kind = (EntityKind)at[0];
        memcpy(ret_key->id.bytes, at + 8, sizeof ret_key->id.bytes);
        return true;
}

static bool read_hello(const uint8_t *at, size_t n, Frame *f) {
        if (n != HELLO_SIZE)
                return false;
        f->hello = (Hello){
                .protocol = LOAD(uint32_t, at + OFF_HELLO),
                .groups = LOAD(uint32_t, at + OFF_HELLO + 4),
                .metrics = LOAD(uint32_t, at + OFF_HELLO + 8),
                .pid = LOAD(uint32_t, at + OFF_HELLO + 12),
        };
        return true;
}

/* Whether the numbers of a part agree with each other. */
static bool batch_part_is_sane(const BatchPart *p) {
        uint32_t here = p->batch.n_rows;
        if (p->total_rows > BATCH_MAX_ROWS || p->first_row > p->total_rows || here > p->total_rows - p->first_row)
                return false;
        if (here == 0 && p->total_rows > 0)
                return false;
        return (p->part == 0) == (p->first_row == 0) && p->part <= p->first_row;
}

static bool read_batch(const uint8_t *at, size_t n, Frame *f) {
        if (n < OFF_BATCH_LABELS)
                return false;
        BatchPart *p = &f->batch;
        *p = (BatchPart){
                .batch = {
                        .key = f->key,
                        .group = LOAD(uint16_t, at + OFF_BODY),
                        .wall = { LOAD(int64_t, at + OFF_BATCH_WALL) },
                        .mono = { LOAD(int64_t, at + OFF_BATCH_MONO) },
                        .n_rows = LOAD(uint32_t, at + OFF_BATCH_ROWS),
                        .labels_len = LOAD(uint32_t, at + OFF_BATCH_LABEL_BYTES),
                },
                .part = LOAD(uint16_t, at + OFF_BATCH_PART),
                .total_rows = LOAD(uint32_t, at + OFF_BATCH_TOTAL),
                .first_row = LOAD(uint32_t, at + OFF_BATCH_FIRST),
        };
        Batch *b = &p->batch;
        if (b->group >= GROUP_COUNT || b->wall.ns < 0 || b->mono.ns < 0 || !batch_part_is_sane(p))
                return false;
        if (b->labels_len > n - OFF_BATCH_LABELS)
                return false;
        size_t labels_end = OFF_BATCH_LABELS + b->labels_len, values = pad8(labels_end);
        if (n != values + (size_t)b->n_rows * group_columns(b->group) * sizeof(double))
                return false;
        if (!all_zero(at + labels_end, values - labels_end))
                return false;
        bool has_keys = GROUPS[b->group].n_keys > 0;
        if (!has_keys && p->total_rows > 1)
                return false;
        b->labels = has_keys ? at + OFF_BATCH_LABELS : NULL;
        b->values = (const double *)(const void *)(at + values);
        return batch_check(b) == 0;
}

static bool read_entity(const uint8_t *at, size_t n, Frame *f) {
        if (n < OFF_ENTITY_TEXT || LOAD(uint16_t, at + OFF_BODY + 2) != 0 ||
            LOAD(uint16_t, at + OFF_ENTITY_LENGTHS + 6) != 0)
                return false;
        uint16_t engine = LOAD(uint16_t, at + OFF_BODY);
        size_t name = LOAD(uint16_t, at + OFF_ENTITY_LENGTHS), path = LOAD(uint16_t, at + OFF_ENTITY_LENGTHS + 2),
               ident = LOAD(uint16_t, at + OFF_ENTITY_LENGTHS + 4);
        if (engine >= ENGINE_COUNT || name > ENTITY_TEXT_MAX || path > ENTITY_TEXT_MAX || ident > ENTITY_TEXT_MAX)
                return false;
        if (n != OFF_ENTITY_TEXT + name + path + ident)
                return false;
        const char *text = (const char *)at + OFF_ENTITY_TEXT;
        f->entity = (EntityInfo){
                .key = f->key,
                .engine = (Engine)engine,
                .pid = LOAD(uint32_t, at + OFF_ENTITY_PID),
                .started_ns = LOAD(int64_t, at + OFF_ENTITY_STARTED),
                .name = text,
                .name_len = name,
                .path = text + name,
                .path_len = path,
                .ident = text + name + path,
                .ident_len = ident,
        };
        /* A pid_t is signed: a larger number would mean "process group" to kill(2). */
        return f->entity.pid <= INT32_MAX && f->entity.started_ns >= 0;
}

static bool read_group_gone(const uint8_t *at, size_t n, Frame *f) {
        if (n != OFF_BODY + 4 || LOAD(uint16_t, at + OFF_BODY + 2) != 0)
                return false;
        f->group_gone = LOAD(uint16_t, at + OFF_BODY);
        return f->group_gone < GROUP_COUNT && GROUPS[f->group_gone].kind == f->key.kind;
}

static bool read_blob(const uint8_t *at, size_t n, Frame *f) {
        if (n < OFF_BLOB_BYTES || LOAD(uint16_t, at + OFF_BODY + 2) != 0)
                return false;
        uint16_t type = LOAD(uint16_t, at + OFF_BODY);
        if (blob_kind(type) != f->key.kind)
                return false;
        f->blob = (BlobPart){
                .type = (BlobType)type,
                .total = LOAD(uint32_t, at + OFF_BLOB_TOTAL),
                .offset = LOAD(uint32_t, at + OFF_BLOB_OFFSET),
                .bytes = at + OFF_BLOB_BYTES,
                .n = n - OFF_BLOB_BYTES,
        };
        const BlobPart *p = &f->blob;
        if (p->total > BLOB_MAX || p->offset > p->total || p->n > p->total - p->offset || p->n > FRAME_BLOB_CHUNK)
                return false;
        return p->n > 0 || p->total == 0;
}

static bool read_tier(const uint8_t *at, size_t n, Frame *f) {
        if (n != OFF_BODY + 4 || LOAD(uint16_t, at + OFF_BODY + 2) != 0)
                return false;
        f->tier = LOAD(uint16_t, at + OFF_BODY);
        return f->tier < TIER_COUNT;
}

static bool read_ask(const uint8_t *at, size_t n, Frame *f) {
        if (n != ASK_SIZE || LOAD(uint16_t, at + OFF_BODY + 2) != 0)
                return false;
        uint16_t what = LOAD(uint16_t, at + OFF_BODY);
        if (what == 0 || what >= ASK_COUNT)
                return false;
        f->ask = (AskBody){
                .what = (Ask)what,
                .serial = LOAD(uint32_t, at + OFF_ASK_SERIAL),
                .flags = LOAD(uint32_t, at + OFF_ASK_FLAGS),
        };
        return (f->ask.flags & ~(uint32_t)ASK_FLAGS_ALL) == 0;
}

static bool read_done(const uint8_t *at, size_t n, Frame *f) {
        if (n != DONE_SIZE)
                return false;
        uint16_t what = LOAD(uint16_t, at + OFF_BODY), state = LOAD(uint16_t, at + OFF_DONE_STATE);
        /* An event answers nothing, so it need not name an ask. */
        if (what >= ASK_COUNT || state >= ASK_STATE_COUNT || (what == 0 && state != ASK_EVENT))
                return false;
        f->done = (DoneBody){
                .what = (Ask)what,
                .state = (AskState)state,
                .serial = LOAD(uint32_t, at + OFF_DONE_SERIAL),
                .error = LOAD(int32_t, at + OFF_DONE_ERROR),
                .control = LOAD(int64_t, at + OFF_DONE_CONTROL),
                .cost_ns = LOAD(int64_t, at + OFF_DONE_COST),
        };
        return f->done.control >= 0 && f->done.cost_ns >= 0 && (kind_is_known(f->key.kind) || f->done.serial == 0);
}

static bool read_body(const uint8_t *at, size_t n, Frame *f) {
        if (f->type == FRAME_HELLO)
                return read_hello(at, n, f);
        if (f->type == FRAME_RESYNC)
                return n == FRAME_HEAD;
        if (n < OFF_BODY || !read_key(at + OFF_KEY, f->type, &f->key))
                return false;
        switch (f->type) {
        case FRAME_BATCH: return read_batch(at, n, f);
        case FRAME_ENTITY: return read_entity(at, n, f);
        case FRAME_GONE: return n == OFF_BODY;
        case FRAME_GROUP_GONE: return read_group_gone(at, n, f);
        case FRAME_BLOB: return read_blob(at, n, f);
        case FRAME_TIER: return read_tier(at, n, f);
        case FRAME_ASK: return read_ask(at, n, f);
        case FRAME_DONE: return read_done(at, n, f);
        default: return false;
        }
}

int frame_next(FrameReader *r, Frame *ret_frame) {
        size_t left = (size_t)(r->end - r->at);
        if (left == 0)
                return 0;
        assert((uintptr_t)r->at % 8 == 0);
        if (left < FRAME_HEAD || left > FRAME_PACKET_MAX)
                return -EBADMSG;
        size_t n = LOAD(uint32_t, r->at);
        if (n < FRAME_HEAD || n > left || pad8(n) > left)
                return -EBADMSG;
        uint16_t type = LOAD(uint16_t, r->at + OFF_TYPE);
        if (type == 0 || type >= FRAME_TYPE_COUNT || LOAD(uint16_t, r->at + OFF_RESERVED) != 0)
                return -EBADMSG;
        Frame f = { .type = (FrameType)type };
        if (!all_zero(r->at + n, pad8(n) - n) || !read_body(r->at, n, &f))
                return -EBADMSG;
        r->at += pad8(n);
        *ret_frame = f;
        return 1;
}

bool frame_hello_matches(const Hello *h) {
        return h->protocol == FRAME_PROTOCOL && h->groups == GROUP_COUNT && h->metrics == METRIC_COUNT;
}

/* ---- writing ---- */

void frame_writer_init(FrameWriter *w, void (*emit)(void *context, const void *packet, size_t n), void *context) {
        *w = (FrameWriter){ .packet = BUF_WITH_LIMIT(FRAME_PACKET_MAX), .emit = emit, .context = context };
}

void frame_writer_deinit(FrameWriter *w) {
        buf_deinit(&w->packet);
}

void frame_flush(FrameWriter *w) {
        if (w->packet.len > 0)
                w->emit(w->context, w->packet.data, w->packet.len);
        buf_reset(&w->packet);
}

/* Room for a frame of n bytes, zeroed but for its head. NULL when there is no memory: the frame is lost.
 * The packet is allocated at its full size the first time, so that nothing fails half-way through parts. */
static uint8_t *begin_frame(FrameWriter *w, FrameType type, size_t n) {
        assert(n >= FRAME_HEAD && pad8(n) <= FRAME_PACKET_MAX);
        if (w->packet.len + pad8(n) > FRAME_PACKET_MAX)
                frame_flush(w);
        uint8_t *at = (uint8_t *)buf_reserve(&w->packet, FRAME_PACKET_MAX - w->packet.len);
        if (!at) {
                w->packet.error = 0;
                return NULL;
        }
        memset(at + n, 0, pad8(n) - n);
        STORE(uint32_t, at, n);
        STORE(uint16_t, at + OFF_TYPE, type);
        STORE(uint16_t, at + OFF_RESERVED, 0);
        w->packet.len += pad8(n);
        return at;
}

static uint8_t *begin_keyed(FrameWriter *w, FrameType type, EntityKey key, size_t n) {
        assert(kind_is_known(key.kind) || type == FRAME_DONE);
        uint8_t *at = begin_frame(w, type, n);
        if (!at)
                return NULL;
        memset(at + OFF_KEY, 0, 8);
        at[OFF_KEY] = (uint8_t)key.kind;
        memcpy(at + OFF_KEY + 8, key.id.bytes, sizeof key.id.bytes);
        return at;
}

void frame_put_hello(FrameWriter *w) {
        uint8_t *at = begin_frame(w, FRAME_HELLO, HELLO_SIZE);
        if (!at)
                return;
        STORE(uint32_t, at + OFF_HELLO, FRAME_PROTOCOL);
        STORE(uint32_t, at + OFF_HELLO + 4, GROUP_COUNT);
        STORE(uint32_t, at + OFF_HELLO + 8, METRIC_COUNT);
        STORE(uint32_t, at + OFF_HELLO + 12, getpid());
}

static size_t batch_frame_size(size_t labels_len, size_t rows, size_t row_values) {
        return pad8(OFF_BATCH_LABELS + labels_len) + rows * row_values;
}

/* Rows of a batch that go into one frame, and their labels. */
typedef struct RowRange {
        uint32_t first, n;
        const uint8_t *labels;
        size_t labels_len;
} RowRange;

/* The rows after `r` that fit one packet. */
static RowRange next_rows(const Batch *b, RowRange r) {
        size_t row_values = group_columns(b->group) * sizeof(double), n_keys = GROUPS[b->group].n_keys;
        RowRange next = { .first = r.first + r.n, .labels = r.labels ? r.labels + r.labels_len : NULL };
        LabelCursor c = { next.labels, b->labels ? b->labels + b->labels_len : NULL };
        while (next.first + next.n < b->n_rows) {
                Span label;
                for (size_t k = 0; k < n_keys; k++)
                        if (!label_next(&c, &label))
                                return next;
                size_t labels_len = next.labels ? (size_t)(c.at - next.labels) : 0;
                if (batch_frame_size(labels_len, next.n + 1, row_values) > FRAME_PACKET_MAX)
                        return next;
                next.n++;
                next.labels_len = labels_len;
        }
        return next;
}

static int put_rows(FrameWriter *w, const Batch *b, RowRange r, uint16_t part) {
        size_t columns = group_columns(b->group);
        uint8_t *at =
                begin_keyed(w, FRAME_BATCH, b->key, batch_frame_size(r.labels_len, r.n, columns * sizeof(double)));
        if (!at)
                return -ENOMEM;
        STORE(uint16_t, at + OFF_BODY, b->group);
        STORE(uint16_t, at + OFF_BATCH_PART, part);
        STORE(uint32_t, at + OFF_BATCH_TOTAL, b->n_rows);
        STORE(uint32_t, at + OFF_BATCH_FIRST, r.first);
        STORE(uint32_t, at + OFF_BATCH_ROWS, r.n);
        STORE(int64_t, at + OFF_BATCH_WALL, b->wall.ns);
        STORE(int64_t, at + OFF_BATCH_MONO, b->mono.ns);
        STORE(uint32_t, at + OFF_BATCH_LABEL_BYTES, r.labels_len);
        if (r.labels_len > 0)
                memcpy(at + OFF_BATCH_LABELS, r.labels, r.labels_len);
        size_t end = OFF_BATCH_LABELS + r.labels_len;
        memset(at + end, 0, pad8(end) - end);
        if (r.n > 0)
                memcpy(at + pad8(end), b->values + (size_t)r.first * columns, (size_t)r.n * columns * sizeof(double));
        return 0;
}

/* Every row must fit a packet, or nothing is sent: a batch that stops half-way would be a broken peer. */
static bool every_row_fits(const Batch *b) {
        RowRange r = { .labels = b->labels };
        do {
                r = next_rows(b, r);
                if (r.n == 0)
                        return false;
        } while (r.first + r.n < b->n_rows);
        return true;
}

int frame_put_batch(FrameWriter *w, const Batch *b) {
        if (batch_check(b) < 0 || b->wall.ns < 0 || b->mono.ns < 0)
                return -EBADMSG;
        size_t values_len = (size_t)b->n_rows * group_columns(b->group) * sizeof(double);
        RowRange r = { .n = b->n_rows, .labels = b->labels, .labels_len = b->labels_len };
        if (batch_frame_size(b->labels_len, 1, values_len) <= FRAME_PACKET_MAX)
                return put_rows(w, b, r, 0);
        if (b->labels_len > FRAME_BATCH_LABELS_MAX || values_len > FRAME_BATCH_VALUES_MAX || !every_row_fits(b))
                return -E2BIG;
        r = (RowRange){ .labels = b->labels };
        for (uint16_t part = 0; r.first + r.n < b->n_rows; part++) {
                r = next_rows(b, r);
                int error = put_rows(w, b, r, part);
                if (error < 0)
                        return error;
        }
        return 0;
}

static size_t entity_text_len(size_t n) {
        return n < ENTITY_TEXT_MAX ? n : ENTITY_TEXT_MAX;
}

static uint8_t *put_text(uint8_t *at, const char *text, size_t n) {
        if (n > 0)
                memcpy(at, text, n);
        return at + n;
}

void frame_put_entity(FrameWriter *w, const EntityInfo *info) {
        assert(info->engine < ENGINE_COUNT);
        size_t name = entity_text_len(info->name_len), path = entity_text_len(info->path_len),
               ident = entity_text_len(info->ident_len);
        uint8_t *at = begin_keyed(w, FRAME_ENTITY, info->key, OFF_ENTITY_TEXT + name + path + ident);
        if (!at)
                return;
        STORE(uint16_t, at + OFF_BODY, info->engine);
        STORE(uint16_t, at + OFF_BODY + 2, 0);
        STORE(uint32_t, at + OFF_ENTITY_PID, info->pid);
        STORE(int64_t, at + OFF_ENTITY_STARTED, info->started_ns > 0 ? info->started_ns : 0);
        STORE(uint16_t, at + OFF_ENTITY_LENGTHS, name);
        STORE(uint16_t, at + OFF_ENTITY_LENGTHS + 2, path);
        STORE(uint16_t, at + OFF_ENTITY_LENGTHS + 4, ident);
        STORE(uint16_t, at + OFF_ENTITY_LENGTHS + 6, 0);
        at = put_text(at + OFF_ENTITY_TEXT, info->name, name);
        at = put_text(at, info->path, path);
        (void)put_text(at, info->ident, ident);
}

void frame_put_gone(FrameWriter *w, EntityKey key) {
        (void)begin_keyed(w, FRAME_GONE, key, OFF_BODY);
}

/* Frames whose body is one u16 and a zero. */
static void put_short(FrameWriter *w, FrameType type, EntityKey key, uint16_t value) {
        uint8_t *at = begin_keyed(w, type, key, OFF_BODY + 4);
        if (!at)
                return;
        STORE(uint16_t, at + OFF_BODY, value);
        STORE(uint16_t, at + OFF_BODY + 2, 0);
}

void frame_put_group_gone(FrameWriter *w, EntityKey key, GroupId group) {
        assert(group < GROUP_COUNT && GROUPS[group].kind == key.kind);
        put_short(w, FRAME_GROUP_GONE, key, group);
}

void frame_put_tier(FrameWriter *w, EntityKey key, uint16_t tier) {
        assert(tier < TIER_COUNT);
        put_short(w, FRAME_TIER, key, tier);
}

static int put_chunk(FrameWriter *w, EntityKey key, BlobType type, const uint8_t *bytes, size_t total, size_t offset) {
        size_t n = total - offset < FRAME_BLOB_CHUNK ? total - offset : FRAME_BLOB_CHUNK;
        uint8_t *at = begin_keyed(w, FRAME_BLOB, key, OFF_BLOB_BYTES + n);
        if (!at)
                return -ENOMEM;
        STORE(uint16_t, at + OFF_BODY, type);
        STORE(uint16_t, at + OFF_BODY + 2, 0);
        STORE(uint32_t, at + OFF_BLOB_TOTAL, total);
        STORE(uint32_t, at + OFF_BLOB_OFFSET, offset);
        if (n > 0)
                memcpy(at + OFF_BLOB_BYTES, bytes + offset, n);
        return 0;
}

int frame_put_blob(FrameWriter *w, EntityKey key, BlobType type, const void *bytes, size_t n) {
        assert(blob_kind(type) == key.kind);
        if (n > BLOB_MAX)
                return -E2BIG;
        size_t offset = 0;
        do {
                int r = put_chunk(w, key, type, bytes, n, offset);
                if (r < 0)
                        return r;
                offset += FRAME_BLOB_CHUNK;
        } while (offset < n);
        return 0;
}

void frame_put_resync(FrameWriter *w) {
        (void)begin_frame(w, FRAME_RESYNC, FRAME_HEAD);
}

void frame_put_ask(FrameWriter *w, EntityKey key, const AskBody *ask) {
        assert(ask->what > 0 && ask->what < ASK_COUNT);
        uint8_t *at = begin_keyed(w, FRAME_ASK, key, ASK_SIZE);
        if (!at)
                return;
        STORE(uint16_t, at + OFF_BODY, ask->what);
        STORE(uint16_t, at + OFF_BODY + 2, 0);
        STORE(uint32_t, at + OFF_ASK_SERIAL, ask->serial);
        STORE(uint32_t, at + OFF_ASK_FLAGS, ask->flags);
}

void frame_put_done(FrameWriter *w, EntityKey key, const DoneBody *done) {
        assert(done->what < ASK_COUNT && done->state < ASK_STATE_COUNT && (done->what > 0 || done->state == ASK_EVENT));
        assert(kind_is_known(key.kind) || done->serial == 0);
        uint8_t *at = begin_keyed(w, FRAME_DONE, key, DONE_SIZE);
        if (!at)
                return;
        STORE(uint16_t, at + OFF_BODY, done->what);
        STORE(uint16_t, at + OFF_DONE_STATE, done->state);
        STORE(uint32_t, at + OFF_DONE_SERIAL, done->serial);
        STORE(int32_t, at + OFF_DONE_ERROR, done->error);
        /* libvirt counts the first unsigned: a broken daemon's number must not close our connection. */
        STORE(int64_t, at + OFF_DONE_CONTROL, done->control > 0 ? done->control : 0);
        STORE(int64_t, at + OFF_DONE_COST, done->cost_ns > 0 ? done->cost_ns : 0);
}
