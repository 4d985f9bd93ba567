#include "base/buf.h"

#include "base/number.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>

static size_t buf_limit(const Buf *b) {
        return b->limit ? b->limit : BUF_LIMIT_DEFAULT;
}

void buf_deinit(Buf *b) {
        free(b->data);
        *b = (Buf){ .limit = b->limit };
}

void buf_reset(Buf *b) {
        b->len = 0;
        b->error = 0;
}

int buf_error(const Buf *b) {
        return b->error;
}

/* Bytes that may still be appended. */
static size_t buf_room(const Buf *b) {
        return b->len < buf_limit(b) ? buf_limit(b) - b->len : 0;
}

char *buf_reserve(Buf *b, size_t n) {
        assert(b->len <= b->cap);
        if (b->error)
                return NULL;
        if (n > buf_room(b)) {
                b->error = -EFBIG;
                return NULL;
        }
        /* One more byte than asked for keeps room for a terminator. */
        if (b->cap - b->len > n)
                return b->data + b->len;
        size_t want = b->len + n + 1;
        size_t cap = b->cap < 128 ? 256 : b->cap * 2;
        if (cap > buf_limit(b))
                cap = buf_limit(b);
        if (cap < want)
                cap = want;
        char *data = realloc(b->data, cap);
        if (!data) {
                b->error = -ENOMEM;
                return NULL;
        }
        b->data = data;
        b->cap = cap;
        return b->data + b->len;
}

void buf_put(Buf *b, const void *bytes, size_t n) {
        if (n == 0)
                return;
        char *at = buf_reserve(b, n);
        if (!at)
                return;
        memcpy(at, bytes, n);
        b->len += n;
}

void buf_put_str(Buf *b, const char *s) {
        buf_put(b, s, strlen(s));
}

void buf_put_char(Buf *b, char c) {
        buf_put(b, &c, 1);
}

void buf_printf(Buf *b, const char *fmt, ...) {
        va_list ap, again;
        va_start(ap, fmt);
        va_copy(again, ap);
        int n = vsnprintf(NULL, 0, fmt, ap);
        va_end(ap);
        if (n >= 0) {
                char *at = buf_reserve(b, (size_t)n); /* and one for the terminator, as always */
                if (at) {
                        (void)vsnprintf(at, (size_t)n + 1, fmt, again);
                        b->len += (size_t)n;
                }
        }
        va_end(again);
}

const char *buf_cstr(Buf *b) {
        if (b->cap == b->len) {
                char *data = realloc(b->data, b->cap + 1);
                if (!data)
                        return "";
                b->data = data;
                b->cap++;
        }
        b->data[b->len] = '\0';
        return b->data;
}

void buf_put_u64(Buf *b, uint64_t v) {
        char digits[20];
        size_t at = sizeof digits;
        do {
                digits[--at] = (char)('0' + v % 10);
                v /= 10;
        } while (v);
        buf_put(b, digits + at, sizeof digits - at);
}

void buf_put_double(Buf *b, double v) {
        char text[NUMBER_TEXT_MAX];
        buf_put(b, text, number_text(v, text));
}

int buf_read_file(Buf *b, int dirfd, const char *path, size_t limit) {
        CLEANUP_FD int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        if (b->error)
                return b->error;
        size_t before = b->len;
        for (;;) {
                size_t got = b->len - before;
                /* One byte more than may be kept tells a file that is too long from one that just fits. */
                char past;
                size_t want = limit - got < 4096 ? limit - got : 4096;
                if (want > buf_room(b))
                        want = buf_room(b);
                char *at = want ? buf_reserve(b, want) : &past;
                if (!at) {
                        int error = b->error;
                        b->len = before;
                        b->error = 0;
                        return error;
                }
                ssize_t n = read(fd, at, want ? want : 1);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 || (n > 0 && want == 0)) {
                        int error = n < 0 ? -errno : -EFBIG;
                        b->len = before;
                        return error;
                }
                if (n == 0)
                        return 0;
                b->len += (size_t)n;
        }
}
