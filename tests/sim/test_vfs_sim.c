/* The simulated disk itself: it keeps what it must, and over some seeds shows everything that it may do. */
#include "vfs_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 400

static void write_file(Vfs *v, const char *name, const char *text, bool sync) {
        VfsFile *f;
        assert_int_equal(vfs_open(v, name, VFS_CREATE, &f), 0);
        assert_int_equal(vfs_append(v, f, text, strlen(text)), 0);
        if (sync)
                assert_int_equal(vfs_sync(v, f), 0);
        (void)vfs_close(v, f);
}

/* Its text; "-" when there is none. */
static void read_file(VfsSim *s, const char *name, char text[static 64]) {
        Vfs *v = vfs_sim_open(s);
        VfsFile *f;
        if (vfs_open(v, name, VFS_READ, &f) == 0) {
                ssize_t n = vfs_pread(v, f, text, 63, 0);
                assert_true(n >= 0);
                text[n] = '\0';
                (void)vfs_close(v, f);
        } else {
                memcpy(text, "-", 2);
        }
        (void)vfs_free(v);
}

static void is_a_disk(void **state) {
        (void)state;
        VfsSim *s = vfs_sim_new(1);
        Vfs *v = vfs_sim_open(s), *other = vfs_sim_open(s);
        char text[64];
        write_file(v, "a", "hello", true);
        VfsFile *f;
        assert_int_equal(vfs_open(v, "a", VFS_CREATE, &f), -EEXIST);
        assert_int_equal(vfs_open(v, "b", VFS_READ, &f), -ENOENT);
        assert_int_equal(vfs_open(v, "a", VFS_APPEND, &f), 0);
        assert_int_equal(vfs_truncate(v, f, 4), 0);
        assert_int_equal(vfs_append(v, f, "!", 1), 0);
        (void)vfs_close(v, f);
        read_file(s, "a", text);
        assert_string_equal(text, "hell!");
        VfsMap map;
        assert_int_equal(vfs_map(v, "a", &map), 0);
        assert_int_equal(vfs_link(v, "a", "/snap"), 0);
        assert_int_equal(vfs_link(v, "a", "/snap"), -EEXIST);
        assert_int_equal(vfs_rename(v, "a", "c"), 0);
        assert_int_equal(vfs_unlink(v, "c"), 0);
        assert_int_equal(vfs_unlink(v, "c"), -ENOENT);
        assert_memory_equal(map.bytes, "hell!", 5);
        vfs_unmap(v, &map);
        read_file(s, "/snap/a", text);
        assert_string_equal(text, "hell!");
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        assert_int_equal(vfs_list(v, &names), 0);
        assert_int_equal(names.len, 0);
        assert_int_equal(vfs_lock(v), 0);
        assert_int_equal(vfs_lock(other), -EWOULDBLOCK);
        (void)vfs_free(v);
        assert_int_equal(vfs_lock(other), 0);
        (void)vfs_free(other);
        assert_null(vfs_sim_free(s));
}

static void replaces_whole(void **state) {
        (void)state;
        bool old = false;
        for (uint64_t n = 1; n < 12; n++)
                for (uint64_t seed = 0; seed < SEEDS; seed++) {
                        VfsSim *s = vfs_sim_new(seed);
                        Vfs *v = vfs_sim_open(s);
                        assert_int_equal(vfs_replace(v, "m", "old", 3), 0);
                        vfs_sim_kill_at(s, SIM_ALL, n);
                        int r = vfs_replace(v, "m", "newer", 5);
                        (void)vfs_free(v);
                        vfs_sim_power_cut(s, seed);
                        char text[64];
                        read_file(s, "m", text);
                        assert_true(strcmp(text, "newer") == 0 || (r < 0 && strcmp(text, "old") == 0));
                        old |= strcmp(text, "old") == 0;
                        v = vfs_sim_open(s);
                        assert_int_equal(vfs_replace(v, "m", "third", 5), 0);
                        (void)vfs_free(v);
                        (void)vfs_sim_free(s);
                }
        assert_true(old);
}

static void power_cuts_take_what_was_not_synced(void **state) {
        (void)state;
        unsigned absent = 0, empty = 0, part = 0, whole = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
                VfsSim *s = vfs_sim_new(seed);
                Vfs *v = vfs_sim_open(s);
                write_file(v, "kept", "durable", true);
                write_file(v, "lost", "not yet", false);
                assert_int_equal(vfs_sync_directory(v), 0);
                write_file(v, "name", "no name", true);
                (void)vfs_free(v);
                vfs_sim_power_cut(s, seed);
                char text[64];
                read_file(s, "kept", text);
                assert_string_equal(text, "durable");
                read_file(s, "lost", text);
                empty += text[0] == '\0';
                part += strlen(text) > 0 && strlen(text) < 7;
                whole += strcmp(text, "not yet") == 0;
                read_file(s, "name", text);
                absent += strcmp(text, "-") == 0;
                assert_true(text[0] == '-' || strcmp(text, "no name") == 0);
                (void)vfs_sim_free(s);
        }
        assert_true(absent > SEEDS / 10 && absent < SEEDS * 9 / 10);
        assert_true(empty > SEEDS / 10 && part > SEEDS / 20 && whole > SEEDS / 10);
}

/* Of a run of sectors any may be there, and holes read as zeros. */
static void power_cuts_tear_writes(void **state) {
        (void)state;
        unsigned torn = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
                VfsSim *s = vfs_sim_new(seed);
                Vfs *v = vfs_sim_open(s);
                static uint8_t ones[8192], back[8192];
                memset(ones, 1, sizeof ones);
                VfsFile *f;
                assert_int_equal(vfs_open(v, "f", VFS_CREATE, &f), 0);
                assert_int_equal(vfs_sync_directory(v), 0);
                assert_int_equal(vfs_append(v, f, ones, 100), 0);
                assert_int_equal(vfs_sync(v, f), 0);
                assert_int_equal(vfs_append(v, f, ones, sizeof ones - 100), 0);
                (void)vfs_close(v, f);
                (void)vfs_free(v);
                vfs_sim_power_cut(s, seed);
                v = vfs_sim_open(s);
                assert_int_equal(vfs_open(v, "f", VFS_READ, &f), 0);
                ssize_t n = vfs_pread(v, f, back, sizeof back, 0);
                assert_true(n >= 100);
                assert_memory_equal(back, ones, 100);
                unsigned changes = 0;
                for (ssize_t i = 1; i < n; i++)
                        changes += back[i] != back[i - 1];
                torn += changes > 2;
                (void)vfs_close(v, f);
                (void)vfs_free(v);
                (void)vfs_sim_free(s);
        }
        assert_true(torn > SEEDS / 10);
}

static void kills_keep_what_was_written(void **state) {
        (void)state;
        VfsSim *s = vfs_sim_new(3);
        Vfs *v = vfs_sim_open(s);
        write_file(v, "f", "written", false);
        assert_int_equal(vfs_lock(v), 0);
        vfs_sim_kill(s);
        VfsFile *f;
        assert_int_equal(vfs_open(v, "g", VFS_CREATE, &f), -EIO);
        assert_int_equal(vfs_unlink(v, "f"), -EIO);
        Vfs *next = vfs_sim_open(s);
        assert_int_equal(vfs_lock(next), 0);
        (void)vfs_free(v);
        Vfs *third = vfs_sim_open(s);
        assert_int_equal(vfs_lock(third), -EWOULDBLOCK);
        char text[64];
        read_file(s, "f", text);
        assert_string_equal(text, "written");
        (void)vfs_free(next);
        (void)vfs_free(third);
        (void)vfs_sim_free(s);
}

/* As Linux: the pages are clean afterwards, and gone with the power. */
static void a_failed_sync_lies_from_then_on(void **state) {
        (void)state;
        unsigned gone = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
                VfsSim *s = vfs_sim_new(seed);
                Vfs *v = vfs_sim_open(s);
                VfsFile *f;
                assert_int_equal(vfs_open(v, "f", VFS_CREATE, &f), 0);
                assert_int_equal(vfs_sync_directory(v), 0);
                assert_int_equal(vfs_append(v, f, "text", 4), 0);
                vfs_sim_fail(s, SIM_SET(SIM_SYNC), 1, false, -EIO);
                assert_int_equal(vfs_sync(v, f), -EIO);
                assert_int_equal(vfs_sim_synced_again(s), 0);
                assert_int_equal(vfs_sync(v, f), 0);
                assert_int_equal(vfs_sim_synced_again(s), 1);
                char text[64];
                read_file(s, "f", text);
                assert_string_equal(text, "text");
                assert_int_equal(vfs_sim_open_files(s), 1);
                (void)vfs_close(v, f);
                (void)vfs_free(v);
                vfs_sim_power_cut(s, seed);
                read_file(s, "f", text);
                gone += text[0] == '\0';
                (void)vfs_sim_free(s);
        }
        assert_true(gone > SEEDS / 10 && gone < SEEDS);
}

static void fails_when_told(void **state) {
        (void)state;
        VfsSim *s = vfs_sim_new(7);
        Vfs *v = vfs_sim_open(s);
        VfsFile *f;
        assert_int_equal(vfs_open(v, "f", VFS_CREATE, &f), 0);
        vfs_sim_fail(s, SIM_SET(SIM_APPEND), 2, false, -ENOSPC);
        assert_int_equal(vfs_append(v, f, "12345", 5), 0);
        assert_int_equal(vfs_append(v, f, "67890", 5), -ENOSPC);
        assert_int_equal(vfs_append(v, f, "abc", 3), 0);
        vfs_sim_fail(s, SIM_ALL, 1, true, -EIO);
        uint64_t size = 0;
        assert_int_equal(vfs_size(v, f, &size), -EIO);
        assert_int_equal(vfs_truncate(v, f, 0), -EIO);
        vfs_sim_fail(s, 0, 0, false, 0);
        assert_int_equal(vfs_truncate(v, f, 0), 0);

        vfs_sim_capacity(s, 10);
        assert_int_equal(vfs_append(v, f, "123456", 6), 0);
        assert_int_equal(vfs_append(v, f, "123456", 6), -ENOSPC);
        assert_int_equal(vfs_sim_bytes(s), 10);
        VfsSpace space;
        assert_int_equal(vfs_space(v, &space), 0);
        assert_int_equal(space.free_bytes, 0);
        vfs_sim_capacity(s, 0);

        vfs_sim_read_only(s, true);
        assert_int_equal(vfs_append(v, f, "1", 1), -EROFS);
        assert_int_equal(vfs_unlink(v, "f"), -EROFS);
        assert_int_equal(vfs_size(v, f, &size), 0);
        assert_int_equal(size, 10);
        vfs_sim_read_only(s, false);

        vfs_sim_slow_sync(s, SECONDS(5), NULL, NULL);
        vfs_sim_record(s, true);
        assert_int_equal(vfs_sync(v, f), 0);
        assert_int_equal(vfs_sim_clock(s).ns, 5 * NS_PER_SEC);
        assert_string_equal(vfs_sim_log(s), "sync f 10 = 0\n");
        assert_true(vfs_sim_flip(s, "f", 9, 0) && !vfs_sim_flip(s, "f", 10, 0) && !vfs_sim_flip(s, "g", 0, 0));
        (void)vfs_close(v, f);
        vfs_sim_put(s, "g", "put", 3);
        char text[64];
        (void)vfs_free(v);
        vfs_sim_power_cut(s, 1);
        read_file(s, "g", text);
        assert_string_equal(text, "put");
        (void)vfs_sim_free(s);
}

static void goes_the_same_way_again(void **state) {
        (void)state;
        CLEANUP_FREE char *first = NULL;
        for (int round = 0; round < 2; round++) {
                VfsSim *s = vfs_sim_new(11);
                Vfs *v = vfs_sim_open(s);
                vfs_sim_record(s, true);
                for (int i = 0; i < 20; i++) {
                        char name[16];
                        (void)snprintf(name, sizeof name, "f%d", i);
                        write_file(v, name, "some text of this file", i % 2);
                }
                (void)vfs_free(v);
                VfsSim *cut = vfs_sim_copy_after_power_cut(s, 5);
                CLEANUP(buf_deinit) Buf all = BUF_NULL;
                buf_put_str(&all, vfs_sim_log(s));
                for (int i = 0; i < 20; i++) {
                        char name[16], text[64];
                        (void)snprintf(name, sizeof name, "f%d", i);
                        read_file(cut, name, text);
                        buf_put_str(&all, text);
                }
                if (first)
                        assert_string_equal(first, buf_cstr(&all));
                else
                        first = strdup(buf_cstr(&all));
                (void)vfs_sim_free(cut);
                (void)vfs_sim_free(s);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(is_a_disk),
                cmocka_unit_test(replaces_whole),
                cmocka_unit_test(power_cuts_take_what_was_not_synced),
                cmocka_unit_test(power_cuts_tear_writes),
                cmocka_unit_test(kills_keep_what_was_written),
                cmocka_unit_test(a_failed_sync_lies_from_then_on),
                cmocka_unit_test(fails_when_told),
                cmocka_unit_test(goes_the_same_way_again),
        };
        return cmocka_run_group_tests_name("simulated disk", tests, NULL, NULL);
}
