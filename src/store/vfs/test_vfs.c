#include "store/vfs/vfs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

typedef struct Fixture {
        char root[64], path[80];
        Vfs *vfs;
} Fixture;

static int set_up(void **state) {
        Fixture *x = calloc(1, sizeof *x);
        assert_non_null(x);
        (void)snprintf(x->root, sizeof x->root, "/tmp/parallax-vfs-XXXXXX");
        assert_non_null(mkdtemp(x->root));
        (void)snprintf(x->path, sizeof x->path, "%s/data", x->root);
        assert_int_equal(vfs_posix_new(x->path, &x->vfs), 0);
        *state = x;
        return 0;
}

static int tear_down(void **state) {
        CLEANUP_FREE Fixture *x = *state;
        (void)vfs_free(x->vfs);
        char command[128];
        (void)snprintf(command, sizeof command, "rm -rf '%s'", x->root);
        return system(command);
}

static void put(Vfs *v, const char *name, const char *text) {
        VfsFile *f;
        assert_int_equal(vfs_open(v, name, VFS_CREATE, &f), 0);
        assert_int_equal(vfs_append(v, f, text, strlen(text)), 0);
        assert_int_equal(vfs_sync(v, f), 0);
        assert_null(vfs_close(v, f));
}

static void assert_holds(Vfs *v, const char *name, const char *text) {
        VfsMap map;
        assert_int_equal(vfs_map(v, name, &map), 0);
        assert_int_equal(map.len, strlen(text));
        assert_non_null(map.bytes);
        assert_memory_equal(map.bytes, text, map.len);
        vfs_unmap(v, &map);
        assert_null(map.bytes);
}

static bool listed(Vfs *v, const char *name) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        assert_int_equal(vfs_list(v, &names), 0);
        for (const char *at = names.data; at < names.data + names.len; at += strlen(at) + 1)
                if (strcmp(at, name) == 0)
                        return true;
        return false;
}

static void makes_its_directory(void **state) {
        Fixture *x = *state;
        struct stat st;
        assert_int_equal(stat(x->path, &st), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(st.st_mode & 07027, 0);
        Vfs *v = NULL;
        char path[128];
        (void)snprintf(path, sizeof path, "%s/absent/data", x->root);
        assert_int_equal(vfs_posix_new(path, &v), -ENOENT);
        put(x->vfs, "file", "x");
        (void)snprintf(path, sizeof path, "%s/file", x->path);
        assert_int_equal(vfs_posix_new(path, &v), -ENOTDIR);
        assert_null(vfs_free(v));
}

static void appends_truncates_and_reads(void **state) {
        Vfs *v = ((Fixture *)*state)->vfs;
        VfsFile *f;
        assert_int_equal(vfs_open(v, "log", VFS_APPEND, &f), -ENOENT);
        assert_int_equal(vfs_open(v, "log", VFS_READ, &f), -ENOENT);
        put(v, "log", "0123456789");
        assert_int_equal(vfs_open(v, "log", VFS_CREATE, &f), -EEXIST);
        assert_int_equal(vfs_open(v, "log", VFS_APPEND, &f), 0);
        assert_int_equal(vfs_truncate(v, f, 4), 0);
        assert_int_equal(vfs_append(v, f, "xyz", 3), 0);
        uint64_t size = 0;
        assert_int_equal(vfs_size(v, f, &size), 0);
        assert_int_equal(size, 7);
        char bytes[16] = "";
        assert_int_equal(vfs_pread(v, f, bytes, sizeof bytes, 2), 5);
        assert_memory_equal(bytes, "23xyz", 5);
        assert_int_equal(vfs_pread(v, f, bytes, sizeof bytes, 7), 0);
        (void)vfs_close(v, f);
        assert_int_equal(vfs_open(v, "log", VFS_READ, &f), 0);
        assert_int_equal(vfs_append(v, f, "no", 2), -EBADF);
        (void)vfs_close(v, f);
        assert_null(vfs_close(v, NULL));
        assert_holds(v, "log", "0123xyz");
}

static void maps_outlive_the_file(void **state) {
        Vfs *v = ((Fixture *)*state)->vfs;
        put(v, "part", "immutable");
        put(v, "empty", "");
        VfsMap map;
        assert_int_equal(vfs_map(v, "absent", &map), -ENOENT);
        assert_int_equal(vfs_map(v, "part", &map), 0);
        assert_int_equal(vfs_unlink(v, "part"), 0);
        assert_int_equal(vfs_unlink(v, "part"), -ENOENT);
        vfs_forget(v, &map);
        assert_memory_equal(map.bytes, "immutable", 9);
        vfs_unmap(v, &map);
        vfs_unmap(v, &map);
        assert_int_equal(vfs_map(v, "empty", &map), 0);
        assert_int_equal(map.len, 0);
        assert_non_null(map.bytes);
        vfs_forget(v, &map);
        vfs_unmap(v, &map);
}

static size_t resident(void) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        assert_int_equal(buf_read_file(&b, AT_FDCWD, "/proc/self/statm", 4096), 0);
        unsigned long all = 0, here = 0;
        assert_int_equal(sscanf(buf_cstr(&b), "%lu %lu", &all, &here), 2);
        return here * 4096;
}

/* A look at a large part costs memory only until it is forgotten. */
static void forgetting_gives_memory_back(void **state) {
        enum { SIZE = 32 << 20 };
        Vfs *v = ((Fixture *)*state)->vfs;
        CLEANUP_FREE uint8_t *bytes = calloc(1, SIZE);
        assert_non_null(bytes);
        bytes[SIZE - 1] = 7;
        VfsFile *f;
        assert_int_equal(vfs_open(v, "part", VFS_CREATE, &f), 0);
        assert_int_equal(vfs_append(v, f, bytes, SIZE), 0);
        (void)vfs_close(v, f);
        VfsMap map;
        assert_int_equal(vfs_map(v, "part", &map), 0);
        size_t before = resident();
        unsigned sum = 0;
        for (size_t i = 0; i < map.len; i += 4096)
                sum += map.bytes[i];
        assert_int_equal(sum, 0);
        size_t full = resident();
        assert_true(full > before + SIZE / 2);
        vfs_forget(v, &map);
        assert_true(resident() < full - SIZE / 2);
        assert_int_equal(map.bytes[SIZE - 1], 7);
        vfs_unmap(v, &map);
}

static void replaces_whole(void **state) {
        Vfs *v = ((Fixture *)*state)->vfs;
        assert_int_equal(vfs_replace(v, "manifest", "one", 3), 0);
        assert_holds(v, "manifest", "one");
        put(v, "manifest.tmp", "left by a crash");
        assert_int_equal(vfs_replace(v, "manifest", "second", 6), 0);
        assert_holds(v, "manifest", "second");
        assert_false(listed(v, "manifest.tmp"));
}

static void lists_plain_files(void **state) {
        Fixture *x = *state;
        put(x->vfs, "wal-00000001", "a");
        put(x->vfs, "raw-00000001.part", "b");
        char path[128];
        (void)snprintf(path, sizeof path, "%s/lost+found", x->path);
        assert_int_equal(mkdir(path, 0700), 0);
        (void)snprintf(path, sizeof path, "%s/.nfs123", x->path);
        assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
        assert_int_equal(vfs_lock(x->vfs), 0);
        assert_int_equal(vfs_rename(x->vfs, "wal-00000001", "wal-00000002"), 0);
        assert_int_equal(vfs_rename(x->vfs, "absent", "other"), -ENOENT);
        assert_int_equal(vfs_sync_directory(x->vfs), 0);
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        assert_int_equal(vfs_list(x->vfs, &names), 0);
        assert_int_equal(names.len, sizeof "wal-00000002" + sizeof "raw-00000001.part");
        assert_true(listed(x->vfs, "wal-00000002") && listed(x->vfs, "raw-00000001.part"));
}

static void links_for_a_snapshot(void **state) {
        Fixture *x = *state;
        put(x->vfs, "raw-00000001.part", "history");
        char path[128], file[160];
        (void)snprintf(path, sizeof path, "%s/snapshot", x->root);
        assert_int_equal(vfs_link(x->vfs, "raw-00000001.part", path), 0);
        assert_int_equal(vfs_link(x->vfs, "raw-00000001.part", path), -EEXIST);
        assert_int_equal(vfs_link(x->vfs, "absent", path), -ENOENT);
        assert_int_equal(vfs_unlink(x->vfs, "raw-00000001.part"), 0);
        (void)snprintf(file, sizeof file, "%s/raw-00000001.part", path);
        struct stat st;
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_size, 7);
        (void)snprintf(path, sizeof path, "%s/no/such", x->root);
        assert_int_equal(vfs_link(x->vfs, "absent", path), -ENOENT);
}

static void knows_the_space(void **state) {
        VfsSpace s;
        assert_int_equal(vfs_space(((Fixture *)*state)->vfs, &s), 0);
        assert_true(s.total_bytes > 0 && s.free_bytes <= s.total_bytes && s.free_inodes > 0);
}

/* A process that has the directory, until it is killed. */
static pid_t other_process(const char *path) {
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                Vfs *v = NULL;
                int r = vfs_posix_new(path, &v);
                r = r < 0 ? r : vfs_lock(v);
                (void)!write(ready[1], &r, sizeof r);
                for (;;)
                        (void)pause();
        }
        int r = -1;
        assert_int_equal(read(ready[0], &r, sizeof r), sizeof r);
        assert_int_equal(r, 0);
        (void)close(ready[0]);
        (void)close(ready[1]);
        return child;
}

static void one_process_has_it(void **state) {
        Fixture *x = *state;
        for (int i = 0; i < 20; i++) {
                pid_t child = other_process(x->path);
                assert_int_equal(vfs_lock(x->vfs), -EWOULDBLOCK);
                assert_int_equal(kill(child, SIGKILL), 0);
                assert_true(waitpid(child, NULL, 0) == child);
                Vfs *v = NULL;
                assert_int_equal(vfs_posix_new(x->path, &v), 0);
                assert_int_equal(vfs_lock(v), 0);
                assert_int_equal(vfs_lock(x->vfs), -EWOULDBLOCK);
                assert_null(vfs_free(v));
        }
        assert_int_equal(vfs_lock(x->vfs), 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH(makes_its_directory),
                WITH(appends_truncates_and_reads),
                WITH(maps_outlive_the_file),
                WITH(forgetting_gives_memory_back),
                WITH(replaces_whole),
                WITH(lists_plain_files),
                WITH(links_for_a_snapshot),
                WITH(knows_the_space),
                WITH(one_process_has_it),
        };
        return cmocka_run_group_tests_name("store: the disk", tests, NULL, NULL);
}
