/* A growable byte buffer with a sticky error and a limit.
 *
 * Appends never fail in the caller's face: the first one that would exceed `limit` or that cannot
 * allocate marks the buffer failed, later ones do nothing, and the writer checks once with
 * buf_error(). A failed buffer keeps what it had. Not thread-safe. */
#pragma once

#include "base/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Buf {
        char *data;    /* not terminated; see buf_cstr() */
        size_t len;
        size_t cap;
        size_t limit;  /* most bytes it may hold; 0 = BUF_LIMIT_DEFAULT */
        int error;     /* 0, -ENOMEM or -EFBIG */
} Buf;

#define BUF_LIMIT_DEFAULT ((size_t)64 << 20)
#define BUF_NULL ((Buf){ 0 })
#define BUF_WITH_LIMIT(bytes) ((Buf){ .limit = (bytes) })

void buf_deinit(Buf *b);
/* Forgets contents and error, keeps the allocation. */
void buf_reset(Buf *b);
/* 0, -ENOMEM or -EFBIG. */
int buf_error(const Buf *b) MUST_USE;
/* Room for `n` more bytes at data+len, or NULL when it failed; the caller adds to len what it wrote. */
char *buf_reserve(Buf *b, size_t n);

void buf_put(Buf *b, const void *bytes, size_t n);
void buf_put_str(Buf *b, const char *s);
void buf_put_char(Buf *b, char c);
void buf_printf(Buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Terminates (not counted in len) and returns the text, "" when nothing could be allocated. */
const char *buf_cstr(Buf *b);

/* Decimal text of an unsigned number, faster than printf. */
void buf_put_u64(Buf *b, uint64_t v);
/* Shortest decimal text that reads back as the same double; NaN, +Inf, -Inf as Prometheus writes them. */
void buf_put_double(Buf *b, double v);

/* Reads the whole file at `path` relative to directory descriptor `dirfd` (AT_FDCWD allowed).
 * At most `limit` bytes, else -EFBIG. 0 or negative errno. A read that fails leaves the buffer as it was. */
int buf_read_file(Buf *b, int dirfd, const char *path, size_t limit) MUST_USE;

#ifdef __cplusplus
}
#endif
