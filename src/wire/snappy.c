/* libsnappy checks every tag; what it does not do is to doubt the declared length, so that is done here before anything is
 * allocated: against the caller's bound, and against what so many bytes could stand for at all. */
#include "wire/snappy.h"

#include <assert.h>
#include <snappy-c.h>
#include <string.h>

/* The densest tag is a copy: 3 bytes for 64. */
#define RATIO_MAX 22u

/* What else it may be: other formats are no valid blocks, as each of them would begin with a copy from before the start. */
static const char *other_format(const uint8_t *bytes, size_t n) {
        static const struct {
                const char *magic;
                size_t n;
                const char *why;
        } OTHERS[] = {
                { "\xff\x06\x00\x00sNaPpY", 10, "snappy's framed format; remote write uses the block format" },
                { "\x1f\x8b", 2, "gzip, not snappy" },
                { "\x28\xb5\x2f\xfd", 4, "zstd, not snappy" },
        };
        for (size_t i = 0; i < ARRAY_LEN(OTHERS); i++)
                if (n >= OTHERS[i].n && memcmp(bytes, OTHERS[i].magic, OTHERS[i].n) == 0)
                        return OTHERS[i].why;
        return NULL;
}

int snappy_block_decode(const uint8_t *bytes, size_t n, size_t most, Buf *out, const char **ret_why) {
        size_t declared = 0;
        buf_reset(out);
        *ret_why = other_format(bytes, n);
        if (*ret_why)
                return -EBADMSG;
        if (snappy_uncompressed_length((const char *)bytes, n, &declared) != SNAPPY_OK) {
                *ret_why = "not compressed with snappy";
                return -EBADMSG;
        }
        if (declared > most) {
                *ret_why = "the declared length is over the limit";
                return -EFBIG;
        }
        if (declared / RATIO_MAX > n) {
                *ret_why = "the declared length is more than so few bytes can hold";
                return -EBADMSG;
        }
        char *at = buf_reserve(out, declared + 1);
        size_t produced = declared;
        if (!at) {
                *ret_why = "no memory";
                return -ENOMEM;
        }
        if (snappy_uncompress((const char *)bytes, n, at, &produced) != SNAPPY_OK || produced != declared) {
                *ret_why = "not a valid snappy block, or of another length than declared";
                return -EBADMSG;
        }
        out->len = produced;
        return 0;
}

int snappy_block_encode(const void *bytes, size_t n, Buf *out) {
        buf_reset(out);
        size_t len = snappy_max_compressed_length(n);
        char *at = buf_reserve(out, len);
        if (!at)
                return buf_error(out);
        snappy_status status = snappy_compress(bytes, n, at, &len);
        assert(status == SNAPPY_OK); /* it was given the room that it asks for */
        (void)status;
        out->len = len;
        return 0;
}
