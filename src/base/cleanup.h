/* Ownership helpers: every local that owns something carries one of these attributes.
 *
 *   CLEANUP(buf_deinit) Buf text = BUF_NULL;
 *   CLEANUP_FD int fd = open(...);
 *   return TAKE_FD(fd);
 *
 * A destructor used here takes a pointer to the local and accepts the null initialiser. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void cleanup_free_ptr(void *p) {
        free(*(void **)p);
}

static inline void cleanup_close_fd(int *fd) {
        if (*fd >= 0) {
                int saved = errno;
                (void)close(*fd);
                errno = saved;
        }
}

static inline void cleanup_close_file(FILE **f) {
        if (*f)
                (void)fclose(*f);
}

#define CLEANUP_FREE CLEANUP(cleanup_free_ptr)
#define CLEANUP_FD CLEANUP(cleanup_close_fd)
#define CLEANUP_FILE CLEANUP(cleanup_close_file)

/* Transfer of a file descriptor out of the local that owns it. */
#define TAKE_FD(fd)                 \
        ({                          \
                int take_fd_ = (fd); \
                (fd) = -1;          \
                take_fd_;           \
        })

/* Transfer of a pointer out of the local that owns it. */
#define TAKE_PTR(p)                              \
        ({                                       \
                __typeof__(p) take_ptr_ = (p);   \
                (p) = NULL;                      \
                take_ptr_;                       \
        })
