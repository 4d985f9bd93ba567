/* The frames between parallaxd, parallax-sensor and the sensor's libvirt workers.
 *
 * They travel over a local SOCK_SEQPACKET socket, so each packet arrives whole or not at all. A packet
 * holds one or more frames, at most FRAME_PACKET_MAX bytes in all. Everything is host byte order: both
 * ends are the same build on the same machine, which HELLO checks.
 *
 *   frame:  u32 length of the whole frame | u16 type | u16 reserved, 0 | body
 *   body of
 *     HELLO       u32 protocol version | u32 groups | u32 metrics | u32 pid
 *     BATCH       key | u16 group | u16 part | u32 rows of all parts | u32 first row | u32 rows here
 *                 | i64 wall ns | i64 mono ns | u32 label bytes | labels | pad to 8 | f64 values
 *     ENTITY      key | u16 engine | u16 0 | u32 pid | i64 started | u16 name, path, ident lengths | u16 0 | bytes
 *     GONE        key
 *     GROUP_GONE  key | u16 group | u16 0
 *     BLOB        key | u16 type | u16 0 | u32 total bytes | u32 offset | bytes
 *     TIER        key | u16 tier | u16 0                     parallaxd -> sensor
 *     RESYNC      (empty)  send every entity again           parallaxd -> sensor
 *     ASK         key | u16 what | u16 0 | u32 serial | u32 flags        sensor -> worker
 *     DONE        key | u16 what | u16 state | u32 serial | i32 error | i64 control | i64 cost ns   worker -> sensor
 *   key:    u8 kind | 7 zero bytes | 16 bytes id; of ASK_STATES and ASK_HOST the host's; all zero only in
 *           a DONE that answers nothing (serial 0) and is about no entity
 *
 * Every frame begins at a multiple of 8 in its packet: zero bytes, not counted in its length, fill the gap,
 * also after the last one.
 *
 * frame_next() checks everything that can be checked without state: lengths, enums, label blocks.
 * A packet that fails is refused whole and the connection is closed: both ends are ours, so a bad
 * frame means a broken or a taken-over peer. */
#pragma once

#include "model/sink.h"

#define FRAME_PROTOCOL 1u
#define FRAME_PACKET_MAX ((size_t)64 << 10)
#define FRAME_HEAD 8u
#define FRAME_BLOB_CHUNK ((size_t)32 << 10)
/* The largest batch that is cut into parts, and the most that a peer can make us put together. */
#define FRAME_BATCH_LABELS_MAX ((size_t)8 << 20)
#define FRAME_BATCH_VALUES_MAX ((size_t)32 << 20)

typedef enum FrameType {
        FRAME_HELLO = 1,
        FRAME_BATCH,
        FRAME_ENTITY,
        FRAME_GONE,
        FRAME_GROUP_GONE,
        FRAME_BLOB,
        FRAME_TIER,
        FRAME_RESYNC,
        FRAME_ASK,
        FRAME_DONE,
        FRAME_TYPE_COUNT
} FrameType;

/* What a sensor asks of a libvirt worker. */
typedef enum Ask {
        ASK_STATES = 1,  /* lane LIBVIRT: one bulk call for all domains; flags: ASK_WITH_* */
        ASK_MONITOR,     /* lane MONITOR: control info, then balloon, block, info and job of one domain */
        ASK_XML,         /* the domain's live XML as a blob, and its info */
        ASK_HOST,        /* versions and storage pools */
        ASK_COUNT
} Ask;

/* Flags of ASK_STATES (the first three) and of ASK_MONITOR. */
enum {
        ASK_WITH_INTERFACES = 1,
        ASK_WITH_PERF = 2,
        ASK_WITH_DEFINITIONS = 4, /* every entity, info and XML again, after the answer */
        ASK_CONTROL_ONLY = 8,     /* nothing but virDomainGetControlInfo */
        ASK_FLAGS_ALL = 15
};

/* How an ASK ended; DONE carries it in `state`. */
typedef enum AskState {
        ASK_OK = 0,
        ASK_GONE,     /* no such domain any more */
        ASK_BUSY,     /* virDomainGetControlInfo says that the monitor is taken: nothing was asked */
        ASK_FAILED,   /* libvirt's error; `error` has its code */
        ASK_DOWN,     /* no connection to libvirt */
        ASK_EVENT,    /* not an answer (serial 0): a connection to libvirt was opened; its loss is ASK_DOWN, serial 0 */
        ASK_STATE_COUNT
} AskState;

typedef struct Hello {
        uint32_t protocol, groups, metrics, pid;
} Hello;

typedef struct BatchPart {
        Batch batch;          /* the rows of this part */
        uint16_t part;
        uint32_t total_rows, first_row;
} BatchPart;

typedef struct BlobPart {
        BlobType type;
        uint32_t total, offset;
        const uint8_t *bytes;
        size_t n;
} BlobPart;

typedef struct AskBody {
        Ask what;
        uint32_t serial, flags;
} AskBody;

typedef struct DoneBody {
        Ask what;
        AskState state;
        uint32_t serial;
        int32_t error;   /* virErrorNumber, 0; of ASK_MONITOR with ASK_OK or ASK_BUSY: virDomainControlState */
        int64_t control; /* ASK_BUSY: ms since the monitor was entered; else 0 */
        int64_t cost_ns; /* wall time that the ask took */
} DoneBody;

typedef struct Frame {
        FrameType type;
        EntityKey key; /* unset for HELLO and RESYNC */
        union {
                Hello hello;
                BatchPart batch;
                EntityInfo entity;
                GroupId group_gone;
                BlobPart blob;
                uint16_t tier;
                AskBody ask;
                DoneBody done;
        };
} Frame;

typedef struct FrameReader {
        const uint8_t *at, *end;
} FrameReader;

/* Takes the next frame of a packet: 1 with a frame (borrowing the packet), 0 at the end, -EBADMSG.
 * The packet's bytes must be aligned to 8. */
int frame_next(FrameReader *r, Frame *ret_frame) MUST_USE;

/* Writing: each appends whole frames to a queue of packets through `emit`, cut so that none exceeds
 * FRAME_PACKET_MAX. What a reader would refuse is not sent at all: a batch with a row that does not fit a
 * packet or over the limits above, a blob over BLOB_MAX (-E2BIG); a malformed batch (-EBADMSG). -ENOMEM. */
typedef struct FrameWriter {
        Buf packet;
        void (*emit)(void *context, const void *packet, size_t n);
        void *context;
} FrameWriter;

void frame_writer_init(FrameWriter *w, void (*emit)(void *context, const void *packet, size_t n), void *context);
void frame_writer_deinit(FrameWriter *w);
/* Emits what is pending. */
void frame_flush(FrameWriter *w);

void frame_put_hello(FrameWriter *w);
int frame_put_batch(FrameWriter *w, const Batch *b);
void frame_put_entity(FrameWriter *w, const EntityInfo *info);
void frame_put_gone(FrameWriter *w, EntityKey key);
void frame_put_group_gone(FrameWriter *w, EntityKey key, GroupId group);
int frame_put_blob(FrameWriter *w, EntityKey key, BlobType type, const void *bytes, size_t n);
void frame_put_tier(FrameWriter *w, EntityKey key, uint16_t tier);
void frame_put_resync(FrameWriter *w);
void frame_put_ask(FrameWriter *w, EntityKey key, const AskBody *ask);
void frame_put_done(FrameWriter *w, EntityKey key, const DoneBody *done);

/* Whether the peer is the same build. */
bool frame_hello_matches(const Hello *h);

/* Puts parts together and hands whole things to a sink. One per peer; bounded: one batch and one blob
 * under way at a time, parts in order; a part out of order drops what was under way (-EBADMSG). */
typedef struct FrameAssembler {
        BatchBuilder batch;
        uint32_t batch_total; /* rows; 0 = no batch under way */
        uint16_t batch_part;  /* the part that comes next */
        Buf blob;
        EntityKey blob_key;
        BlobType blob_type;
        uint32_t blob_total; /* bytes; 0 = no blob under way */
} FrameAssembler;

void frame_assembler_deinit(FrameAssembler *a);
/* BATCH, ENTITY, GONE, GROUP_GONE and BLOB frames go to `sink`; 0, or -EBADMSG, -ENOMEM. Others: -EPROTO. */
int frame_to_sink(FrameAssembler *a, const Frame *f, Sink *sink) MUST_USE;
