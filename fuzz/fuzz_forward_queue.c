/* Any bytes as the segments and the checkpoint of a queue. Bit 0 of the first byte: the checksums are put right first,
 * by walking the records as the reader does, so that what lies behind them is reached. Then two bytes of length and the
 * checkpoint's bytes, and the same for each segment.
 *
 * What is read ascends and is within its segment, runs are labels, and a queue that goes on behind it is read to its
 * end. */
#include "base/crc32c.h"
#include "forward/checkpoint.h"
#include "forward/reader.h"
#include "vfs_sim.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Makes every header and payload valid that could be. */
static void put_checksums(uint8_t *bytes, size_t n, uint32_t number) {
        QueueHeader h = { .version = QUEUE_VERSION, .number = number, .id = { { 1 } }, .created_ms = 1 };
        if (n < QUEUE_HEADER)
                return;
        h.first_seq = 1 + (uint64_t)bytes[32] + (uint64_t)(number - 1) * 200;
        queue_header_put(bytes, &h);
        for (size_t at = QUEUE_HEADER; n - at >= QUEUE_RECORD_HEADER;) {
                QueueRecord r = { .samples = bytes[at + 16], .newest_ms = 1 };
                r.length = bytes[at + 4];
                r.first_seq = h.first_seq + bytes[at + 8];
                bool whole = r.length <= n - at - QUEUE_RECORD_HEADER;
                if (whole)
                        r.payload_crc = queue_payload_crc(bytes + at + QUEUE_RECORD_HEADER, r.length);
                queue_record_put(bytes + at, number, &r);
                if (!whole)
                        return;
                at += QUEUE_RECORD_HEADER + r.length;
        }
}

static const uint8_t *take_piece(const uint8_t **at, size_t *left, size_t *ret_n) {
        if (*left < 2)
                return NULL;
        size_t n = (size_t)(*at)[0] | (size_t)(*at)[1] << 8;
        *at += 2;
        *left -= 2;
        n = n < *left ? n : *left;
        const uint8_t *piece = *at;
        *at += n;
        *left -= n;
        *ret_n = n;
        return piece;
}

static void put_files(VfsSim *s, const uint8_t *at, size_t left, bool checksums) {
        size_t n;
        const uint8_t *piece = take_piece(&at, &left, &n);
        if (piece)
                vfs_sim_put(s, "ack-00000001", piece, n);
        for (uint32_t number = 1; number < 20 && (piece = take_piece(&at, &left, &n)); number++) {
                char name[QUEUE_NAME_MAX];
                CLEANUP_FREE uint8_t *copy = malloc(n ? n : 1);
                assert(copy);
                if (n)
                        memcpy(copy, piece, n);
                if (checksums)
                        put_checksums(copy, n, number);
                queue_segment_name(number, name);
                vfs_sim_put(s, name, copy, n);
        }
}

static size_t read_all(Queue *q, uint64_t from, uint64_t *ret_last) {
        QueueReader *r = NULL;
        QueueSample s;
        size_t n = 0;
        volatile uint64_t sum = 0; /* so that the reads stay */
        int got = queue_reader_new(q, from, &r);
        assert(got == 0);
        for (*ret_last = 0; (got = queue_reader_next(r, &s)) == 1; n++) {
                Label labels[LABELS_MAX];
                size_t count, fault_at;
                const QueueViewSeries *v = queue_view_series(s.view, s.series);
                assert(s.seq > *ret_last && s.seq >= from && s.seq < queue_reader_seq(r));
                LabelsFault fault = labels_parse(queue_view_bytes(s.view, v->at), v->len, labels, &count, &fault_at);
                assert(fault == LABELS_OK);
                for (uint32_t i = 0; i < s.len; i++)
                        sum += queue_view_bytes(s.view, s.at)[i];
                *ret_last = s.seq;
        }
        assert(got == 0);
        r = queue_reader_free(r);
        return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static const uint8_t RUN[] = "\x0a\x0d\x0a\x08__name__\x12\x01x";
        if (n < 1)
                return 0;
        VfsSim *s = vfs_sim_new(1);
        put_files(s, bytes + 1, n - 1, bytes[0] & 1);
        Vfs *v = vfs_sim_open(s);
        Checkpoint *c = NULL;
        Queue *q = NULL;
        QueueOptions o = { .max_bytes = 1 << 20, .segment_bytes = 4096, .pending_bytes = 4096, .sync = true };
        int r = checkpoint_open(v, &c);
        assert(r == 0);
        uint64_t least = checkpoint_state(c)->n_shards ? checkpoint_state(c)->shards[0].acked : 0, last;
        r = queue_open(v, &o, least, &q);
        assert(r == 0 || r == -EPROTONOSUPPORT || r == -EOVERFLOW);
        if (r == 0) {
                size_t before = read_all(q, 1, &last);
                uint32_t generation = queue_generation(q);
                uint64_t seq = queue_next_seq(q);
                uint32_t id = queue_series(q, 0, RUN, sizeof RUN - 1, 1);
                assert(generation == 1 && id == 0);
                queue_float(q, 1, 1);
                queue_end(q);
                r = queue_commit(q);
                assert(r == 0);
                size_t after = read_all(q, 1, &last);
                assert(after >= 1 && after <= before + 1 && last == seq);
        }
        q = queue_close(q);
        c = checkpoint_close(c);
        v = vfs_free(v);
        s = vfs_sim_free(s);
        return 0;
}
