/* The disk as the store sees it: one directory of files without subdirectories.
 *
 * Everything that the store reads or writes goes through this interface, so that tests can put a simulated
 * disk under it, which loses what was not synced, reorders, tears, fails the Nth call, and runs full. Names are plain
 * ("wal-00000001", "raw-00000017.part"). Every function returns 0 or a negative errno unless said otherwise, and may be
 * called from any thread; one VfsFile is used by one thread at a time, except for vfs_pread. */
#pragma once

#include "base/buf.h"
#include "base/time.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Longest name that vfs_replace() takes. */
#define VFS_NAME_MAX 200

typedef struct Vfs Vfs;
typedef struct VfsFile VfsFile;
/* A file mapped read-only, whole. Stays valid when the file is removed. */
typedef struct VfsMap {
        const uint8_t *bytes;
        size_t len;
        void *owner; /* the implementation's */
} VfsMap;

typedef struct VfsSpace {
        uint64_t free_bytes, total_bytes, free_inodes; /* free to us (not root's reserve) */
} VfsSpace;

typedef enum VfsOpen {
        VFS_READ,
        VFS_CREATE, /* for appending; -EEXIST when the name is there */
        VFS_APPEND, /* an existing file; writes go to its end */
} VfsOpen;

typedef struct VfsOps {
        int (*open)(Vfs *v, const char *name, VfsOpen how, VfsFile **ret_file);
        void (*close)(Vfs *v, VfsFile *f);
        /* Appends all n bytes, or fails with some of them written: the caller truncates. */
        int (*append)(Vfs *v, VfsFile *f, const void *bytes, size_t n);
        int (*truncate)(Vfs *v, VfsFile *f, uint64_t size);
        /* The file's data and size are durable when it returns 0. After an error the file is not to be trusted
         * with anything since the last success, and is not to be synced again (see docs/store.md). */
        int (*sync)(Vfs *v, VfsFile *f);
        /* Bytes read (short only at the end of the file) or negative errno. */
        ssize_t (*pread)(Vfs *v, VfsFile *f, void *bytes, size_t n, uint64_t offset);
        int (*size)(Vfs *v, VfsFile *f, uint64_t *ret_size);
        int (*map)(Vfs *v, const char *name, VfsMap *ret_map);
        void (*unmap)(Vfs *v, VfsMap *map);
        /* The pages of a map will not be needed for a while. */
        void (*forget)(Vfs *v, const VfsMap *map);
        int (*rename)(Vfs *v, const char *from, const char *to); /* replaces `to`, atomically */
        int (*link)(Vfs *v, const char *name,
                    const char *directory); /* hard link below an absolute path, which is made if its parent
                                                                      * exists; durable; for snapshots */
        int (*unlink)(Vfs *v, const char *name);
        int (*sync_directory)(Vfs *v); /* creations, renames and removals so far are durable */
        /* Names of the plain files, each terminated by NUL, in any order; without that of the lock and names that begin
         * with a dot. */
        int (*list)(Vfs *v, Buf *ret_names);
        int (*space)(Vfs *v, VfsSpace *ret_space);
        int (*lock)(Vfs *v); /* one store a directory: -EWOULDBLOCK when another has it; held until free() */
        void (*free)(Vfs *v);
} VfsOps;

struct Vfs {
        const VfsOps *ops;
};

/* The directory at `path`, created (mode 0750) when its parent exists. */
int vfs_posix_new(const char *path, Vfs **ret_vfs) MUST_USE;

static inline Vfs *vfs_free(Vfs *v) {
        if (v)
                v->ops->free(v);
        return NULL;
}
static inline void vfs_freep(Vfs **v) {
        *v = vfs_free(*v);
}
static inline int vfs_open(Vfs *v, const char *name, VfsOpen how, VfsFile **ret_file) {
        return v->ops->open(v, name, how, ret_file);
}
static inline VfsFile *vfs_close(Vfs *v, VfsFile *f) {
        if (f)
                v->ops->close(v, f);
        return NULL;
}
static inline int vfs_append(Vfs *v, VfsFile *f, const void *bytes, size_t n) {
        return v->ops->append(v, f, bytes, n);
}
static inline int vfs_truncate(Vfs *v, VfsFile *f, uint64_t size) {
        return v->ops->truncate(v, f, size);
}
static inline int vfs_sync(Vfs *v, VfsFile *f) {
        return v->ops->sync(v, f);
}
static inline ssize_t vfs_pread(Vfs *v, VfsFile *f, void *bytes, size_t n, uint64_t offset) {
        return v->ops->pread(v, f, bytes, n, offset);
}
static inline int vfs_size(Vfs *v, VfsFile *f, uint64_t *ret_size) {
        return v->ops->size(v, f, ret_size);
}
static inline int vfs_map(Vfs *v, const char *name, VfsMap *ret_map) {
        return v->ops->map(v, name, ret_map);
}
static inline void vfs_unmap(Vfs *v, VfsMap *map) {
        if (map->bytes || map->owner)
                v->ops->unmap(v, map);
        *map = (VfsMap){ 0 };
}
static inline void vfs_forget(Vfs *v, const VfsMap *map) {
        v->ops->forget(v, map);
}
static inline int vfs_rename(Vfs *v, const char *from, const char *to) {
        return v->ops->rename(v, from, to);
}
static inline int vfs_link(Vfs *v, const char *name, const char *directory) {
        return v->ops->link(v, name, directory);
}
static inline int vfs_unlink(Vfs *v, const char *name) {
        return v->ops->unlink(v, name);
}
static inline int vfs_sync_directory(Vfs *v) {
        return v->ops->sync_directory(v);
}
static inline int vfs_list(Vfs *v, Buf *ret_names) {
        return v->ops->list(v, ret_names);
}
static inline int vfs_space(Vfs *v, VfsSpace *ret_space) {
        return v->ops->space(v, ret_space);
}
static inline int vfs_lock(Vfs *v) {
        return v->ops->lock(v);
}
/* Writes a small file so that after a crash `name` has either its old or its new contents: a temporary file, sync,
 * rename, sync of the directory. Durable when it returns 0. After an error `name` has either contents too, for readers
 * and after a crash: what only the old ones need must stay until the next success. */
int vfs_replace(Vfs *v, const char *name, const void *bytes, size_t n) MUST_USE;
