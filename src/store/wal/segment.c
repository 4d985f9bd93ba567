#include "store/wal/segment.h"

#include "base/crc32c.h"
#include "base/scan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static const char MAGIC[8] = "PLXwal\r\n"; /* a transfer as text would show */

/* Offsets; see the essay in wal.c. */
enum {
        HEADER_VERSION = 8,
        HEADER_NUMBER = 12,
        HEADER_STORE = 16,
        HEADER_FIRST = 32,
        HEADER_RUN = 40,
        HEADER_PREVIOUS = 48,
        HEADER_CRC = 52,

        RECORD_CRC = 0,
        RECORD_LENGTH = 4,
        RECORD_LSN = 8,
        RECORD_DURABLE = 16,
        RECORD_PAYLOAD_CRC = 24,
        RECORD_TYPE = 28,
};
static_assert(HEADER_CRC + 4 == SEGMENT_HEADER && SEGMENT_HEADER % RECORD_ALIGN == 0, "records are aligned");
static_assert(RECORD_TYPE + 4 == RECORD_HEADER && RECORD_HEADER % RECORD_ALIGN == 0, "payloads are aligned");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored as they are");

#define LOAD(type, at)                              \
        ({                                          \
                type load_;                         \
                memcpy(&load_, (at), sizeof load_); \
                load_;                              \
        })
#define STORE(type, at, value)                        \
        ({                                            \
                type store_ = (type)(value);          \
                memcpy((at), &store_, sizeof store_); \
        })

void segment_name(uint32_t number, char ret_name[SEGMENT_NAME_MAX]) {
        assert(number > 0 && number <= SEGMENT_NUMBER_MAX);
        (void)snprintf(ret_name, SEGMENT_NAME_MAX, "wal-%08" PRIu32, number);
}

/* Only names that segment_name() makes. */
static bool number_of(const char *name, uint32_t *ret_number) {
        uint64_t v;
        if (strncmp(name, "wal-", 4) != 0 || !span_u64((Span){ name + 4, strlen(name) - 4 }, &v))
                return false;
        if (v == 0 || v > SEGMENT_NUMBER_MAX)
                return false;
        char again[SEGMENT_NAME_MAX];
        segment_name((uint32_t)v, again);
        *ret_number = (uint32_t)v;
        return strcmp(name, again) == 0;
}

static int compare_numbers(const void *a, const void *b) {
        uint32_t x = LOAD(uint32_t, a), y = LOAD(uint32_t, b);
        return x < y ? -1 : x > y;
}

int segment_list(Vfs *v, Buf *ret_numbers) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        int r = vfs_list(v, &names);
        if (r < 0)
                return r;
        for (const char *at = names.data; at && at < names.data + names.len; at += strlen(at) + 1) {
                uint32_t number;
                if (number_of(at, &number))
                        buf_put(ret_numbers, &number, sizeof number);
        }
        if (ret_numbers->len > 0)
                qsort(ret_numbers->data, ret_numbers->len / sizeof(uint32_t), sizeof(uint32_t), compare_numbers);
        return buf_error(ret_numbers);
}

void segment_header_put(uint8_t out[SEGMENT_HEADER], const SegmentHeader *h) {
        memcpy(out, MAGIC, sizeof MAGIC);
        STORE(uint32_t, out + HEADER_VERSION, h->version);
        STORE(uint32_t, out + HEADER_NUMBER, h->number);
        memcpy(out + HEADER_STORE, h->store.bytes, sizeof h->store.bytes);
        STORE(uint64_t, out + HEADER_FIRST, h->first_lsn);
        STORE(uint64_t, out + HEADER_RUN, h->run_lsn);
        STORE(uint32_t, out + HEADER_PREVIOUS, h->previous);
        STORE(uint32_t, out + HEADER_CRC, crc32c(0, out, HEADER_CRC));
}

bool segment_header_get(const uint8_t in[SEGMENT_HEADER], SegmentHeader *ret_header) {
        if (memcmp(in, MAGIC, sizeof MAGIC) != 0 || LOAD(uint32_t, in + HEADER_CRC) != crc32c(0, in, HEADER_CRC))
                return false;
        SegmentHeader h = {
                .version = LOAD(uint32_t, in + HEADER_VERSION),
                .number = LOAD(uint32_t, in + HEADER_NUMBER),
                .first_lsn = LOAD(uint64_t, in + HEADER_FIRST),
                .run_lsn = LOAD(uint64_t, in + HEADER_RUN),
                .previous = LOAD(uint32_t, in + HEADER_PREVIOUS),
        };
        memcpy(h.store.bytes, in + HEADER_STORE, sizeof h.store.bytes);
        *ret_header = h;
        /* What another version means by the rest is not for us to judge. */
        return h.version != WAL_VERSION || (h.run_lsn > 0 && h.run_lsn <= h.first_lsn && h.first_lsn <= LSN_MAX);
}

uint32_t record_seed(Uuid store) {
        return crc32c(0, store.bytes, sizeof store.bytes);
}

void record_header_put(uint8_t out[RECORD_HEADER], uint32_t seed, const RecordHeader *h) {
        STORE(uint32_t, out + RECORD_LENGTH, h->length);
        STORE(uint64_t, out + RECORD_LSN, h->lsn);
        STORE(uint64_t, out + RECORD_DURABLE, h->durable);
        STORE(uint32_t, out + RECORD_PAYLOAD_CRC, h->payload_crc);
        STORE(uint32_t, out + RECORD_TYPE, h->type);
        STORE(uint32_t, out + RECORD_CRC, crc32c(seed, out + RECORD_LENGTH, RECORD_HEADER - RECORD_LENGTH));
}

bool record_header_get(const uint8_t in[RECORD_HEADER], uint32_t seed, RecordHeader *ret_header) {
        uint32_t type = LOAD(uint32_t, in + RECORD_TYPE);
        uint64_t lsn = LOAD(uint64_t, in + RECORD_LSN), durable = LOAD(uint64_t, in + RECORD_DURABLE);
        /* What can be seen without the checksum, since a search asks this of every eighth byte. */
        if (type > UINT8_MAX || lsn == 0 || lsn > LSN_MAX || durable >= lsn)
                return false;
        if (LOAD(uint32_t, in + RECORD_CRC) != crc32c(seed, in + RECORD_LENGTH, RECORD_HEADER - RECORD_LENGTH))
                return false;
        *ret_header = (RecordHeader){
                .length = LOAD(uint32_t, in + RECORD_LENGTH),
                .payload_crc = LOAD(uint32_t, in + RECORD_PAYLOAD_CRC),
                .lsn = lsn,
                .durable = durable,
                .type = (uint8_t)type,
        };
        return true;
}
