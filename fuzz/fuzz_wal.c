/* Any bytes as the segments of a log. The first byte says how they are taken: bit 0: the checksums are put right first, by
 * walking the records as replay does, so that what lies behind them is reached; the rest is where the replay begins. Then, for
 * each segment, two bytes of length and its bytes.
 *
 * What is delivered is in order, and a log that goes on behind it finds it again. */
#include "base/crc32c.h"
#include "store/wal/segment.h"
#include "store/wal/wal.h"
#include "vfs_sim.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const Uuid STORE = { { 0xf0, 0x22 } };

typedef struct Checker {
        uint64_t last, records, payload;
        volatile uint64_t sum; /* so that the reads stay */
} Checker;

static int check_record(void *context, uint64_t lsn, uint8_t type, const uint8_t *bytes, size_t n) {
        Checker *c = context;
        assert(lsn > c->last && (uintptr_t)bytes % 8 == 0);
        uint64_t sum = type;
        for (size_t i = 0; i < n; i++)
                sum += bytes[i];
        c->sum += sum;
        c->last = lsn;
        c->records++;
        c->payload += n;
        return 0;
}

/* Makes every header and payload valid that could be. */
static void put_checksums(uint8_t *bytes, size_t n, uint32_t number) {
        if (n < SEGMENT_HEADER)
                return;
        memcpy(bytes, "PLXwal\r\n", 8);
        memcpy(bytes + 8, &(uint32_t){ WAL_VERSION }, 4);
        memcpy(bytes + 12, &number, 4);
        memcpy(bytes + 16, STORE.bytes, 16);
        memcpy(bytes + 52, &(uint32_t){ crc32c(0, bytes, 52) }, 4);
        for (uint64_t at = SEGMENT_HEADER; n - at >= RECORD_HEADER;) {
                uint32_t length;
                memcpy(&length, bytes + at + 4, 4);
                length %= 1024;
                memcpy(bytes + at + 4, &length, 4);
                if (length <= n - at - RECORD_HEADER)
                        memcpy(bytes + at + 24, &(uint32_t){ crc32c(0, bytes + at + RECORD_HEADER, length) }, 4);
                memset(bytes + at + 29, 0, 3);
                memcpy(bytes + at, &(uint32_t){ crc32c(record_seed(STORE), bytes + at + 4, RECORD_HEADER - 4) }, 4);
                uint64_t size = record_size(length);
                if (size > n - at)
                        return;
                at += size;
        }
}

static void put_segments(VfsSim *s, const uint8_t *bytes, size_t n, bool checksums) {
        for (uint32_t number = 1; n >= 2 && number < 50; number++) {
                size_t len = (size_t)bytes[0] | (size_t)bytes[1] << 8;
                bytes += 2;
                n -= 2;
                len = len < n ? len : n;
                CLEANUP_FREE uint8_t *segment = malloc(len ? len : 1);
                assert(segment);
                if (len > 0)
                        memcpy(segment, bytes, len);
                if (checksums)
                        put_checksums(segment, len, number);
                char name[SEGMENT_NAME_MAX];
                segment_name(number, name);
                vfs_sim_put(s, name, segment, len);
                bytes += len;
                n -= len;
        }
}

/* One more record behind what was found: it is there next time, and so is all the rest. */
static void go_on(Vfs *v, const Checker *before, const WalReport *report, uint32_t first) {
        WalOptions o = {
                .store = STORE,
                .segment_bytes = 4096,
                .pending_bytes = 4096,
                .next_segment = report->last_segment + 1,
                .next_lsn = report->last_lsn + 1,
        };
        Wal *w = NULL;
        int r = wal_open(v, &o, &w);
        assert(r == 0 || r == -EOVERFLOW);
        if (r < 0)
                return;
        uint64_t lsn = 0;
        WalBytes part = { "one more", 8 };
        r = wal_append(w, 1, &part, 1, &lsn);
        assert(r == 0);
        r = wal_commit(w, true);
        assert(r == 0 && wal_durable(w) == lsn);
        w = wal_close(w);
        Checker after = { 0 };
        WalReport again;
        r = wal_replay(v, STORE, first, check_record, &after, &again);
        assert(r == 0 && after.last == lsn && again.last_lsn == lsn);
        assert(after.records == before->records + 1 && after.payload == before->payload + part.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        if (n < 1)
                return 0;
        VfsSim *s = vfs_sim_new(1);
        put_segments(s, bytes + 1, n - 1, bytes[0] & 1);
        Vfs *v = vfs_sim_open(s);
        uint32_t first = bytes[0] >> 1 & 3;
        Checker c = { 0 };
        WalReport report;
        int r = wal_replay(v, STORE, first, check_record, &c, &report);
        assert(r == 0 || r == -EPROTONOSUPPORT);
        assert(report.records == c.records && report.bytes == c.payload && report.last_lsn == c.last);
        assert((report.damaged == 0 && r == 0) == (report.damage[0] == '\0'));
        if (r == 0)
                go_on(v, &c, &report, first);
        (void)vfs_free(v);
        (void)vfs_sim_free(s);
        return 0;
}
