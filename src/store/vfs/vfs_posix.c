/* The disk of the machine: one descriptor of the directory, everything else relative to it.
 *
 * Nothing is ever overwritten: files are appended to, truncated or replaced by name. The lock is flock() on a file of
 * its own, so it ends with the process however that ends, and two openings within one process exclude each other
 * too. */
#include "store/vfs/vfs.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define LOCK_NAME "lock"
#define DIRECTORY_MODE 0750
#define FILE_MODE 0640

struct VfsFile {
        int fd;
};

typedef struct VfsPosix {
        Vfs vfs;
        int directory;
        int lock; /* -1: not taken */
} VfsPosix;

static int directory_of(const Vfs *v) {
        return ((const VfsPosix *)v)->directory;
}

/* Names are of the store's own making, or come from list(). */
static const char *checked(const char *name) {
        assert(name[0] != '\0' && name[0] != '.' && !strchr(name, '/'));
        return name;
}

/* Calls that a signal may interrupt. */
#define RETRY(call)                                     \
        ({                                              \
                __typeof__(call) retry_;                \
                do                                      \
                        retry_ = (call);                \
                while (retry_ < 0 && errno == EINTR);   \
                retry_;                                 \
        })

static int posix_open(Vfs *v, const char *name, VfsOpen how, VfsFile **ret_file) {
        static const int flags[] = {
                [VFS_READ] = O_RDONLY,
                [VFS_CREATE] = O_RDWR | O_APPEND | O_CREAT | O_EXCL,
                [VFS_APPEND] = O_RDWR | O_APPEND,
        };
        CLEANUP_FREE VfsFile *f = malloc(sizeof *f);
        if (!f)
                return -ENOMEM;
        f->fd = RETRY(openat(directory_of(v), checked(name), flags[how] | O_CLOEXEC | O_NOFOLLOW, FILE_MODE));
        if (f->fd < 0)
                return -errno;
        *ret_file = TAKE_PTR(f);
        return 0;
}

static void posix_close(Vfs *v, VfsFile *f) {
        (void)v;
        (void)close(f->fd);
        free(f);
}

static int posix_append(Vfs *v, VfsFile *f, const void *bytes, size_t n) {
        (void)v;
        const uint8_t *at = bytes;
        while (n > 0) {
                ssize_t written = RETRY(write(f->fd, at, n));
                if (written < 0)
                        return -errno;
                if (written == 0)
                        return -EIO;
                at += written;
                n -= (size_t)written;
        }
        return 0;
}

static int posix_truncate(Vfs *v, VfsFile *f, uint64_t size) {
        (void)v;
        return RETRY(ftruncate(f->fd, (off_t)size)) < 0 ? -errno : 0;
}

static int posix_sync(Vfs *v, VfsFile *f) {
        (void)v;
        /* Not tried again, whatever the error: the kernel may have given up the pages and would report success. */
        return fdatasync(f->fd) < 0 ? -errno : 0;
}

static ssize_t posix_pread(Vfs *v, VfsFile *f, void *bytes, size_t n, uint64_t offset) {
        (void)v;
        uint8_t *at = bytes;
        size_t done = 0;
        while (done < n) {
                ssize_t got = RETRY(pread(f->fd, at + done, n - done, (off_t)(offset + done)));
                if (got < 0)
                        return -errno;
                if (got == 0)
                        break;
                done += (size_t)got;
        }
        return (ssize_t)done;
}

static int size_of(int fd, uint64_t *ret_size) {
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        *ret_size = (uint64_t)st.st_size;
        return 0;
}

static int posix_size(Vfs *v, VfsFile *f, uint64_t *ret_size) {
        (void)v;
        return size_of(f->fd, ret_size);
}

static int posix_map(Vfs *v, const char *name, VfsMap *ret_map) {
        CLEANUP_FD int fd = RETRY(openat(directory_of(v), checked(name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (fd < 0)
                return -errno;
        uint64_t size = 0;
        int r = size_of(fd, &size);
        if (r < 0)
                return r;
        if (size > SIZE_MAX / 2)
                return -EFBIG;
        /* There is no map of nothing. */
        if (size == 0) {
                *ret_map = (VfsMap){ .bytes = (const uint8_t *)"" };
                return 0;
        }
        void *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (bytes == MAP_FAILED)
                return -errno;
        /* Gigabytes of history are no use in a core dump. The kernel's read-ahead is left as it is: columns are read in
         * runs, and what it reads too much is page cache, not ours. */
        (void)madvise(bytes, size, MADV_DONTDUMP);
        *ret_map = (VfsMap){ .bytes = bytes, .len = size, .owner = bytes };
        return 0;
}

static void posix_unmap(Vfs *v, VfsMap *map) {
        (void)v;
        if (map->owner)
                (void)munmap(map->owner, map->len);
}

static void posix_forget(Vfs *v, const VfsMap *map) {
        (void)v;
        /* Of a shared map of a file, this gives back the page tables' entries and with them our resident set; the bytes
         * stay in the page cache as long as the kernel likes, and the next access finds them there. */
        if (map->owner)
                (void)madvise(map->owner, map->len, MADV_DONTNEED);
}

static int posix_rename(Vfs *v, const char *from, const char *to) {
        int directory = directory_of(v);
        return renameat(directory, checked(from), directory, checked(to)) < 0 ? -errno : 0;
}

static int posix_unlink(Vfs *v, const char *name) {
        return unlinkat(directory_of(v), checked(name), 0) < 0 ? -errno : 0;
}

static int open_directory(const char *path, int *ret_fd) {
        int fd = RETRY(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

static int sync_fd(int fd) {
        return fsync(fd) < 0 ? -errno : 0;
}

/* A directory that was made just now is durable when its parent was synced. */
static int sync_parent(int directory) {
        CLEANUP_FD int parent = RETRY(openat(directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        return parent < 0 ? -errno : sync_fd(parent);
}

static int make_directory(const char *path, int *ret_fd) {
        bool made = mkdir(path, DIRECTORY_MODE) == 0;
        if (!made && errno != EEXIST)
                return -errno;
        CLEANUP_FD int fd = -1;
        int r = open_directory(path, &fd);
        if (r == 0 && made)
                r = sync_parent(fd);
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int posix_link(Vfs *v, const char *name, const char *directory) {
        assert(directory[0] == '/');
        CLEANUP_FD int fd = -1;
        int r = make_directory(directory, &fd);
        if (r < 0)
                return r;
        return linkat(directory_of(v), checked(name), fd, name, 0) < 0 ? -errno : sync_fd(fd);
}

static int posix_sync_directory(Vfs *v) {
        return sync_fd(directory_of(v));
}

/* A plain file of the store: a mount point has a lost+found, and what begins with a dot is somebody else's. */
static bool is_ours(int directory, const struct dirent *e) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, LOCK_NAME) == 0)
                return false;
        if (e->d_type != DT_UNKNOWN)
                return e->d_type == DT_REG;
        struct stat st;
        return fstatat(directory, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static void cleanup_closedir(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

static int posix_list(Vfs *v, Buf *ret_names) {
        /* A descriptor of its own: the position in a directory is that of the open file. */
        CLEANUP_FD int fd = RETRY(openat(directory_of(v), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (fd < 0)
                return -errno;
        CLEANUP(cleanup_closedir) DIR *d = fdopendir(fd);
        if (!d)
                return -errno;
        (void)TAKE_FD(fd);
        for (;;) {
                errno = 0;
                const struct dirent *e = readdir(d);
                if (!e)
                        return errno ? -errno : buf_error(ret_names);
                if (is_ours(directory_of(v), e))
                        buf_put(ret_names, e->d_name, strlen(e->d_name) + 1);
        }
}

static int posix_space(Vfs *v, VfsSpace *ret_space) {
        struct statvfs st;
        if (RETRY(fstatvfs(directory_of(v), &st)) < 0)
                return -errno;
        *ret_space = (VfsSpace){
                .free_bytes = (uint64_t)st.f_bavail * st.f_frsize,
                .total_bytes = (uint64_t)st.f_blocks * st.f_frsize,
                /* btrfs makes inodes as it needs them and says 0 of 0. */
                .free_inodes = st.f_files ? st.f_favail : UINT64_MAX,
        };
        return 0;
}

static int posix_lock(Vfs *vfs) {
        VfsPosix *v = (VfsPosix *)vfs;
        assert(v->lock < 0);
        CLEANUP_FD int fd =
                RETRY(openat(v->directory, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE));
        if (fd < 0 || RETRY(flock(fd, LOCK_EX | LOCK_NB)) < 0)
                return -errno;
        v->lock = TAKE_FD(fd);
        return 0;
}

static void posix_free(Vfs *vfs) {
        CLEANUP_FREE VfsPosix *v = (VfsPosix *)vfs;
        CLEANUP_FD int directory = v->directory, lock = v->lock;
        (void)directory;
        (void)lock;
}

static const VfsOps OPS = {
        .open = posix_open,
        .close = posix_close,
        .append = posix_append,
        .truncate = posix_truncate,
        .sync = posix_sync,
        .pread = posix_pread,
        .size = posix_size,
        .map = posix_map,
        .unmap = posix_unmap,
        .forget = posix_forget,
        .rename = posix_rename,
        .link = posix_link,
        .unlink = posix_unlink,
        .sync_directory = posix_sync_directory,
        .list = posix_list,
        .space = posix_space,
        .lock = posix_lock,
        .free = posix_free,
};

int vfs_posix_new(const char *path, Vfs **ret_vfs) {
        CLEANUP_FREE VfsPosix *v = malloc(sizeof *v);
        if (!v)
                return -ENOMEM;
        *v = (VfsPosix){ .vfs.ops = &OPS, .directory = -1, .lock = -1 };
        int r = make_directory(path, &v->directory);
        if (r < 0)
                return r;
        *ret_vfs = &TAKE_PTR(v)->vfs;
        return 0;
}
