/* The queue of samples that are to be sent on, as files: one directory a target of remote write.
 *
 *   queue-NNNNNNNN   segments: what was taken, in the order in which it was taken
 *   ack-NNNNNNNN     the checkpoint: how far what was taken has been delivered (checkpoint.c)
 *
 * The idea: each sample has a number (seq), from 1, ascending without end; "delivered" is a number for each shard, and
 * deleting is removing whole segments. Nothing is ever changed in place.
 *
 * SEGMENT. Numbers are little end first.
 *
 *   offset size
 *        0    8  "PLXfwd\r\n"
 *        8    4  version: 1
 *       12    4  number of the segment, as in its name
 *       16   16  id of the queue, random, the same in all its segments
 *       32    8  first seq: no sample in it has a lower one
 *       40    8  when it was made, milliseconds of the wall clock: age is counted from that of the segment behind it
 *       48   12  0
 *       60    4  CRC-32C of the 60 bytes before
 *       64       records, one behind the other, to the end of the file
 *
 *   record
 *        0    4  CRC-32C of the number of the segment (4 bytes) and of the record's bytes 4..32
 *        4    4  length of the payload, at most 1 MiB and some
 *        8    8  seq of its first sample; the others have the following ones
 *       16    4  number of samples
 *       20    4  CRC-32C of the payload
 *       24    8  greatest time of a sample, milliseconds
 *       32       payload
 *
 *   payload: for each series, one behind the other
 *        varint  id << 1 | declares      id: number of the series in this segment, from 0
 *        if it declares: varint length, run    (model/labels.h)
 *        varint  number of samples
 *        each:   varint zigzag(time - time of the sample before it in the record, the first one: - 0) << 2 | kind
 *                kind 0, a number:    8 bytes of a double
 *                kind 1, a histogram: varint length, canonical bytes (model/histogram.h)
 *                kind 2, an exemplar: 8 bytes of a double, varint length, its labels as a run
 *
 * A series is declared in a segment before its first sample there, so a segment is read without any other one. The
 * time's difference has 62 bits, which no clock exceeds. "Sample" here is any of the three kinds.
 *
 * VALIDITY. A segment whose header is wrong is removed; all of its samples are lost, and counted as the gap between
 * the numbers before and behind it (one of another version ends the opening, and nothing is touched). A record whose
 * header is wrong ends its segment: where the next one would begin is not known. A record whose payload is wrong is
 * skipped; so are samples of series whose declaration was in it. The end of a file in the middle of a record is an end
 * like any other: that record was never acknowledged to anybody.
 *
 * WRITING. Records are collected in memory; a commit writes what is collected and, unless told otherwise, syncs the
 * file; who asked the store to keep something hears of it only after that (forward.c). A process never writes to a
 * segment that another one began: it makes a new one with a number above all, and with a first seq that is above all
 * that segments and checkpoint know. So the torn end of a crash stays where it is, and after a power cut that took the
 * end of a segment, but not what the checkpoint says of it, no new sample gets a number that counts as delivered. A
 * write that fails gives up its segment the same way: what it should have held is lost, counted, and the next record
 * begins a new segment.
 *
 * READING. Up to what commits have written; the reader maps the file again when it has grown. What it reads need not be
 * synced: if a power cut takes it, then nobody was told that it is kept.
 *
 * REMOVAL. A segment goes when every shard has delivered what is in it; or when all segments together exceed the bound
 * of bytes; or when the one behind it is older than the bound of age: oldest first, never the one being written, what
 * was not delivered is counted as dropped. Removals need no order: a segment that a power cut brings back is below the
 * checkpoint and goes again; when the checkpoint is lost as well its samples are sent again, equal, which is no
 * duplicate for a receiver. */
#include "forward/segment.h"

#include "base/crc32c.h"
#include "base/protobuf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static const char MAGIC[8] = "PLXfwd\r\n";

enum {
        HEADER_VERSION = 8,
        HEADER_NUMBER = 12,
        HEADER_ID = 16,
        HEADER_FIRST = 32,
        HEADER_CREATED = 40,
        HEADER_CRC = 60,

        RECORD_CRC = 0,
        RECORD_LENGTH = 4,
        RECORD_FIRST = 8,
        RECORD_SAMPLES = 16,
        RECORD_PAYLOAD_CRC = 20,
        RECORD_NEWEST = 24,
};
static_assert(HEADER_CRC + 4 == QUEUE_HEADER && RECORD_NEWEST + 8 == QUEUE_RECORD_HEADER, "layout");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored as they are");

#define SEGMENT_PREFIX "queue-"

void queue_file_name(const char *prefix, uint32_t number, char ret_name[QUEUE_NAME_MAX]) {
        assert(number > 0 && number <= QUEUE_NUMBER_MAX);
        (void)snprintf(ret_name, QUEUE_NAME_MAX, "%s%08" PRIu32, prefix, number);
}

bool queue_file_number(const char *prefix, const char *name, uint32_t *ret_number) {
        uint64_t v;
        char again[QUEUE_NAME_MAX];
        size_t n = strlen(prefix);
        if (strncmp(name, prefix, n) != 0 || !span_u64((Span){ name + n, strlen(name) - n }, &v) || v == 0 ||
            v > QUEUE_NUMBER_MAX)
                return false;
        queue_file_name(prefix, (uint32_t)v, again);
        *ret_number = (uint32_t)v;
        return strcmp(again, name) == 0;
}

void queue_segment_name(uint32_t number, char ret_name[QUEUE_NAME_MAX]) {
        queue_file_name(SEGMENT_PREFIX, number, ret_name);
}

static int by_number(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
        return (x > y) - (x < y);
}

int queue_segment_list(Vfs *v, Buf *ret_numbers) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        int r = vfs_list(v, &names);
        for (size_t at = 0; r == 0 && at < names.len; at += strlen(names.data + at) + 1) {
                uint32_t number;
                if (queue_file_number(SEGMENT_PREFIX, names.data + at, &number))
                        buf_put(ret_numbers, &number, sizeof number);
        }
        if (r == 0)
                r = buf_error(ret_numbers);
        if (r == 0 && ret_numbers->len)
                qsort(ret_numbers->data, ret_numbers->len / sizeof(uint32_t), sizeof(uint32_t), by_number);
        return r;
}

/* ---- Headers ---- */

static void put32(uint8_t *at, uint32_t v) {
        memcpy(at, &v, sizeof v);
}

static void put64(uint8_t *at, uint64_t v) {
        memcpy(at, &v, sizeof v);
}

static uint32_t get32(const uint8_t *at) {
        uint32_t v;
        memcpy(&v, at, sizeof v);
        return v;
}

void queue_header_put(uint8_t out[QUEUE_HEADER], const QueueHeader *h) {
        memset(out, 0, QUEUE_HEADER);
        memcpy(out, MAGIC, sizeof MAGIC);
        put32(out + HEADER_VERSION, h->version);
        put32(out + HEADER_NUMBER, h->number);
        memcpy(out + HEADER_ID, h->id.bytes, sizeof h->id.bytes);
        put64(out + HEADER_FIRST, h->first_seq);
        put64(out + HEADER_CREATED, (uint64_t)h->created_ms);
        put32(out + HEADER_CRC, crc32c(0, out, HEADER_CRC));
}

bool queue_header_get(const uint8_t in[QUEUE_HEADER], QueueHeader *ret_header) {
        if (memcmp(in, MAGIC, sizeof MAGIC) != 0 || get32(in + HEADER_CRC) != crc32c(0, in, HEADER_CRC))
                return false;
        QueueHeader h = {
                .version = get32(in + HEADER_VERSION),
                .number = get32(in + HEADER_NUMBER),
                .first_seq = proto_load64(in + HEADER_FIRST),
                .created_ms = (int64_t)proto_load64(in + HEADER_CREATED),
        };
        memcpy(h.id.bytes, in + HEADER_ID, sizeof h.id.bytes);
        *ret_header = h;
        return h.first_seq > 0 && h.first_seq <= QUEUE_SEQ_MAX;
}

static uint32_t record_crc(const uint8_t *header, uint32_t number) {
        return crc32c(crc32c(0, &number, sizeof number), header + RECORD_LENGTH, QUEUE_RECORD_HEADER - RECORD_LENGTH);
}

void queue_record_put(uint8_t out[QUEUE_RECORD_HEADER], uint32_t number, const QueueRecord *r) {
        put32(out + RECORD_LENGTH, r->length);
        put64(out + RECORD_FIRST, r->first_seq);
        put32(out + RECORD_SAMPLES, r->samples);
        put32(out + RECORD_PAYLOAD_CRC, r->payload_crc);
        put64(out + RECORD_NEWEST, (uint64_t)r->newest_ms);
        put32(out + RECORD_CRC, record_crc(out, number));
}

bool queue_record_get(const uint8_t in[QUEUE_RECORD_HEADER], uint32_t number, QueueRecord *ret_record) {
        if (get32(in + RECORD_CRC) != record_crc(in, number))
                return false;
        *ret_record = (QueueRecord){
                .length = get32(in + RECORD_LENGTH),
                .payload_crc = get32(in + RECORD_PAYLOAD_CRC),
                .first_seq = proto_load64(in + RECORD_FIRST),
                .samples = get32(in + RECORD_SAMPLES),
                .newest_ms = (int64_t)proto_load64(in + RECORD_NEWEST),
        };
        return ret_record->first_seq > 0 && ret_record->first_seq <= QUEUE_SEQ_MAX;
}

uint32_t queue_payload_crc(const void *bytes, size_t n) {
        return crc32c(0, bytes, n);
}

/* ---- Payload ---- */

void queue_put_series(Buf *out, uint32_t id, const uint8_t *run, size_t run_len, size_t n_samples) {
        uint8_t *at = (uint8_t *)buf_reserve(out, 3 * VARINT_MAX + run_len);
        if (!at)
                return;
        uint8_t *begin = at;
        at += varint_put(at, (uint64_t)id << 1 | (run != NULL));
        if (run) {
                at += varint_put(at, run_len);
                memcpy(at, run, run_len);
                at += run_len;
        }
        at += varint_put(at, n_samples);
        out->len += (size_t)(at - begin);
}

static uint8_t *put_time(uint8_t *at, int64_t *time_ms, int64_t next_ms, QueueKind kind) {
        int64_t difference = (int64_t)((uint64_t)next_ms - (uint64_t)*time_ms);
        *time_ms = next_ms;
        return at + varint_put(at, zigzag(difference) << 2 | kind);
}

void queue_put_float(Buf *out, int64_t *time_ms, int64_t next_ms, double value) {
        uint8_t *at = (uint8_t *)buf_reserve(out, VARINT_MAX + sizeof value);
        if (!at)
                return;
        uint8_t *begin = at;
        at = put_time(at, time_ms, next_ms, QUEUE_FLOAT);
        memcpy(at, &value, sizeof value);
        out->len += (size_t)(at + sizeof value - begin);
}

void queue_put_histogram(Buf *out, int64_t *time_ms, int64_t next_ms, const uint8_t *bytes, size_t n) {
        uint8_t *at = (uint8_t *)buf_reserve(out, 2 * VARINT_MAX + n);
        if (!at)
                return;
        uint8_t *begin = at;
        at = put_time(at, time_ms, next_ms, QUEUE_HISTOGRAM);
        at += varint_put(at, n);
        memcpy(at, bytes, n);
        out->len += (size_t)(at + n - begin);
}

void queue_put_exemplar(Buf *out, int64_t *time_ms, int64_t next_ms, double value, const uint8_t *labels, size_t n) {
        uint8_t *at = (uint8_t *)buf_reserve(out, 2 * VARINT_MAX + sizeof value + n);
        if (!at)
                return;
        uint8_t *begin = at;
        at = put_time(at, time_ms, next_ms, QUEUE_EXEMPLAR);
        memcpy(at, &value, sizeof value);
        at += sizeof value;
        at += varint_put(at, n);
        if (n)
                memcpy(at, labels, n);
        out->len += (size_t)(at + n - begin);
}

static bool take_bytes(QueueCursor *c, const uint8_t **ret_bytes, size_t *ret_n) {
        uint64_t n;
        if (!varint_get(&c->at, c->end, &n) || n > (uint64_t)(c->end - c->at))
                return false;
        *ret_bytes = c->at;
        *ret_n = (size_t)n;
        c->at += n;
        return true;
}

static int read_series(QueueCursor *c, QueueEntry *e) {
        uint64_t id, n;
        *e = (QueueEntry){ 0 };
        if (!varint_get(&c->at, c->end, &id) || id >> 1 >= QUEUE_SERIES_MAX)
                return -EBADMSG;
        e->declares = id & 1;
        e->series = c->series = (uint32_t)(id >> 1);
        if (e->declares && (!take_bytes(c, &e->run, &e->run_len) || e->run_len > LABEL_RUN_MAX))
                return -EBADMSG;
        /* A sample takes two bytes at least. */
        if (!varint_get(&c->at, c->end, &n) || n > (uint64_t)(c->end - c->at))
                return -EBADMSG;
        c->left = n;
        return 1;
}

static bool take_value(QueueCursor *c, double *ret_value) {
        if (c->end - c->at < (ptrdiff_t)sizeof *ret_value)
                return false;
        memcpy(ret_value, c->at, sizeof *ret_value);
        c->at += sizeof *ret_value;
        return true;
}

static int read_sample(QueueCursor *c, QueueEntry *e) {
        uint64_t time;
        if (!varint_get(&c->at, c->end, &time) || (time & 3) > QUEUE_EXEMPLAR)
                return -EBADMSG;
        c->time_ms = (int64_t)((uint64_t)c->time_ms + (uint64_t)unzigzag(time >> 2));
        *e = (QueueEntry){ .series = c->series, .time_ms = c->time_ms, .kind = (QueueKind)(time & 3) };
        c->left--;
        if (e->kind != QUEUE_HISTOGRAM && !take_value(c, &e->value))
                return -EBADMSG;
        return e->kind == QUEUE_FLOAT || take_bytes(c, &e->bytes, &e->len) ? 1 : -EBADMSG;
}

int queue_cursor_next(QueueCursor *c, QueueEntry *ret_entry) {
        while (c->left == 0) {
                if (c->at == c->end)
                        return 0;
                int r = read_series(c, ret_entry);
                if (r < 0 || ret_entry->declares)
                        return r;
        }
        return read_sample(c, ret_entry);
}
