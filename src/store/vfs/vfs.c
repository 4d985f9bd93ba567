#include "store/vfs/vfs.h"

#include <assert.h>
#include <string.h>

#define SUFFIX ".tmp"

static int write_whole(Vfs *v, const char *name, const void *bytes, size_t n) {
        VfsFile *f;
        int r = vfs_open(v, name, VFS_CREATE, &f);
        if (r < 0)
                return r;
        r = vfs_append(v, f, bytes, n);
        if (r == 0)
                r = vfs_sync(v, f);
        (void)vfs_close(v, f);
        return r;
}

int vfs_replace(Vfs *v, const char *name, const void *bytes, size_t n) {
        char temporary[VFS_NAME_MAX + sizeof SUFFIX];
        size_t len = strlen(name);
        assert(len > 0 && len <= VFS_NAME_MAX);
        memcpy(temporary, name, len);
        memcpy(temporary + len, SUFFIX, sizeof SUFFIX);
        /* What a crash or a full disk left of the last attempt. */
        int r = vfs_unlink(v, temporary);
        if (r == 0 || r == -ENOENT)
                r = write_whole(v, temporary, bytes, n);
        if (r == 0)
                r = vfs_rename(v, temporary, name);
        if (r < 0) {
                (void)vfs_unlink(v, temporary);
                return r;
        }
        return vfs_sync_directory(v);
}
