#include "store/part/strings.h"

#include "base/varint.h"

#include <assert.h>
#include <string.h>
#include <zstd.h>

#define BLOCK_BYTES ((size_t)64 << 10) /* a block ends when it has so many */
#define BLOCK_SAMPLES 1024u
#define BLOCK_MAX (BLOCK_BYTES + STRING_MAX + (size_t)BLOCK_SAMPLES * VARINT_MAX)

static void put_varint(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

/* ---- writing ---- */

static uint32_t block_samples(const uint32_t *offsets, uint32_t first, uint32_t n) {
        uint32_t i = first;
        while (i < n && i - first < BLOCK_SAMPLES && offsets[i] - offsets[first] < BLOCK_BYTES)
                i++;
        return i - first;
}

/* Appends a block's bytes, packed when that is shorter. */
static void pack(const Buf *raw, CodecEffort effort, Buf *out) {
        size_t bound = ZSTD_compressBound(raw->len);
        char *at = buf_reserve(out, bound);
        if (!at)
                return;
        size_t packed = ZSTD_compress(at, bound, raw->data, raw->len, effort == CODEC_SMALL ? 9 : 1);
        if (!ZSTD_isError(packed) && packed < raw->len)
                out->len += packed;
        else
                buf_put(out, raw->data, raw->len);
}

void strings_encode(const uint8_t *bytes, const uint32_t *offsets, uint32_t n, CodecEffort effort, Buf *out) {
        CLEANUP(buf_deinit) Buf heads = BUF_NULL, body = BUF_WITH_LIMIT((size_t)1 << 33), raw = BUF_NULL;
        uint32_t blocks = 0;
        for (uint32_t first = 0, here; first < n; first += here, blocks++) {
                here = block_samples(offsets, first, n);
                buf_reset(&raw);
                for (uint32_t i = first; i < first + here; i++) {
                        assert(offsets[i] <= offsets[i + 1]);
                        if (offsets[i + 1] - offsets[i] > STRING_MAX)
                                out->error = -EFBIG;
                        put_varint(&raw, offsets[i + 1] - offsets[i]);
                }
                buf_put(&raw, bytes + offsets[first], offsets[first + here] - offsets[first]);
                size_t before = body.len;
                pack(&raw, effort, &body);
                put_varint(&heads, here);
                put_varint(&heads, raw.len);
                put_varint(&heads, body.len - before);
        }
        int error = buf_error(&heads) ? buf_error(&heads) : buf_error(&body) ? buf_error(&body) : buf_error(&raw);
        if (error)
                out->error = error;
        put_varint(out, blocks);
        buf_put(out, heads.data, heads.len);
        buf_put(out, body.data, body.len);
}

/* ---- reading ---- */

typedef struct Block {
        uint32_t samples, raw_len, packed_len;
} Block;

static int take_block(const uint8_t **at, const uint8_t *end, uint32_t left, Block *ret_block) {
        uint64_t samples, raw, packed;
        if (!varint_get(at, end, &samples) || !varint_get(at, end, &raw) || !varint_get(at, end, &packed))
                return -EBADMSG;
        if (samples == 0 || samples > left || raw < samples || raw > BLOCK_MAX || packed > raw ||
            packed > (size_t)(end - *at))
                return -EBADMSG;
        *ret_block = (Block){ (uint32_t)samples, (uint32_t)raw, (uint32_t)packed };
        return 0;
}

/* The block as it was before it was packed; in place when it is not packed. */
static int unpack(const uint8_t *bytes, const Block *b, Buf *scratch, const uint8_t **ret_raw) {
        if (b->packed_len == b->raw_len) {
                *ret_raw = bytes;
                return 0;
        }
        buf_reset(scratch);
        char *raw = buf_reserve(scratch, b->raw_len);
        if (!raw)
                return buf_error(scratch);
        size_t n = ZSTD_decompress(raw, b->raw_len, bytes, b->packed_len);
        if (ZSTD_isError(n) || n != b->raw_len)
                return -EBADMSG;
        *ret_raw = (const uint8_t *)raw;
        return 0;
}

/* Appends the samples [from, to) of a block; their ends go to ret_ends. */
static int take_samples(const uint8_t *raw, const Block *b, uint32_t from, uint32_t to, Buf *ret_bytes,
                        uint32_t *ret_ends) {
        const uint8_t *at = raw, *end = raw + b->raw_len;
        size_t skipped = 0, wanted = 0, whole = 0;
        for (uint32_t i = 0; i < b->samples; i++) {
                uint64_t v;
                if (!varint_get(&at, end, &v) || v > STRING_MAX)
                        return -EBADMSG;
                whole += v;
                if (i < from)
                        skipped += v;
                else if (i < to) {
                        wanted += v;
                        if (ret_bytes->len + wanted > UINT32_MAX)
                                return -EFBIG;
                        *ret_ends++ = (uint32_t)(ret_bytes->len + wanted);
                }
        }
        if (whole != (size_t)(end - at))
                return -EBADMSG;
        buf_put(ret_bytes, at + skipped, wanted);
        return buf_error(ret_bytes);
}

int strings_decode(const uint8_t *bytes, size_t len, uint32_t n, uint32_t first, uint32_t count, Buf *ret_bytes,
                   uint32_t *ret_offsets) {
        const uint8_t *at = bytes, *end = bytes + len, *heads;
        uint64_t blocks;
        Block b;
        if (!varint_get(&at, end, &blocks) || blocks > n || ret_bytes->len > UINT32_MAX)
                return -EBADMSG;
        heads = at;
        uint32_t left = n;
        size_t whole = 0;
        for (uint64_t i = 0; i < blocks; i++, left -= b.samples, whole += b.packed_len)
                if (take_block(&at, end, left, &b) < 0)
                        return -EBADMSG;
        if (left != 0 || whole != (size_t)(end - at))
                return -EBADMSG;

        CLEANUP(buf_deinit) Buf scratch = BUF_NULL;
        const uint8_t *packed = at, *heads_end = at;
        *ret_offsets++ = (uint32_t)ret_bytes->len;
        uint32_t begin = 0, stop = first + count;
        for (at = heads; begin < stop; begin += b.samples, packed += b.packed_len) {
                const uint8_t *raw = NULL;
                int r = take_block(&at, end, n - begin, &b);
                assert(r == 0 && at <= heads_end);
                if (begin + b.samples <= first)
                        continue;
                uint32_t from = first > begin ? first - begin : 0,
                         to = stop - begin < b.samples ? stop - begin : b.samples;
                r = unpack(packed, &b, &scratch, &raw);
                if (r == 0)
                        r = take_samples(raw, &b, from, to, ret_bytes, ret_offsets);
                if (r < 0)
                        return r;
                ret_offsets += to - from;
        }
        return 0;
}
