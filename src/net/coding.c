#include "net/coding.h"

#include "net/gzip.h"

#include <assert.h>
#include <zstd.h>

#define ZSTD_LEVEL 1

const char *http_coding_name(HttpCoding c) {
        static const char *const NAMES[] = { [HTTP_IDENTITY] = NULL, [HTTP_GZIP] = "gzip", [HTTP_ZSTD] = "zstd" };
        return NAMES[c];
}

HttpCoding http_coding_accepted(const char *accept_encoding) {
        if (coding_named(accept_encoding, "zstd"))
                return HTTP_ZSTD;
        return gzip_accepted(accept_encoding) ? HTTP_GZIP : HTTP_IDENTITY;
}

static int zstd_compress(const Buf *in, Buf *ret_out) {
        CLEANUP_FREE char *bytes = malloc(in->len ? in->len : 1);
        if (!bytes)
                return -ENOMEM;
        size_t n = ZSTD_compress(bytes, in->len, in->data, in->len, ZSTD_LEVEL);
        if (ZSTD_isError(n)) /* no room for it: it would be longer */
                return 0;
        char *fitting = realloc(bytes, n);
        if (fitting)
                bytes = fitting;
        *ret_out = (Buf){ .data = TAKE_PTR(bytes), .len = n, .cap = n };
        return 1;
}

bool http_coding_apply(HttpCoding c, Buf *body) {
        CLEANUP(buf_deinit) Buf shorter = BUF_NULL;
        assert(c != HTTP_IDENTITY);
        if ((c == HTTP_ZSTD ? zstd_compress(body, &shorter) : gzip_compress(body, &shorter)) <= 0)
                return false;
        Buf longer = *body;
        *body = shorter;
        shorter = longer;
        return true;
}
