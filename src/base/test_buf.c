#include "base/buf.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static void appends_and_terminates(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        assert_string_equal(buf_cstr(&b), "");
        buf_put_str(&b, "one");
        buf_put_char(&b, ' ');
        buf_put(&b, "two\0three", 9);
        buf_put(&b, NULL, 0);
        buf_printf(&b, "%s%d", " ", -4);
        assert_int_equal(buf_error(&b), 0);
        assert_int_equal(b.len, 3 + 1 + 9 + 3);
        assert_memory_equal(buf_cstr(&b), "one two\0three -4", 17);
        assert_int_equal(b.len, 16);
}

static void grows_without_losing(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        for (unsigned i = 0; i < 5000; i++)
                buf_put_u64(&b, i % 10);
        assert_int_equal(b.len, 5000);
        for (unsigned i = 0; i < 5000; i++)
                assert_int_equal(b.data[i], '0' + i % 10);
        buf_reset(&b);
        assert_int_equal(b.len, 0);
        assert_true(b.cap >= 5000);
}

static void the_limit_is_exact_whatever_the_allocation(void **state) {
        (void)state;
        for (size_t limit = 1; limit < 600; limit += 37) {
                CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(limit);
                for (size_t i = 0; i < limit; i++)
                        buf_put_char(&b, 'x');
                assert_int_equal(buf_error(&b), 0);
                buf_put_char(&b, 'y');
                assert_int_equal(buf_error(&b), -EFBIG);
                assert_int_equal(b.len, limit);
                assert_int_equal(strlen(buf_cstr(&b)), limit);
        }
}

static void printf_may_fill_the_limit(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(5);
        buf_printf(&b, "%05d", 42);
        assert_int_equal(buf_error(&b), 0);
        assert_string_equal(buf_cstr(&b), "00042");
        buf_printf(&b, "%s", "");
        assert_int_equal(buf_error(&b), 0);
        buf_printf(&b, "%c", 'x');
        assert_int_equal(buf_error(&b), -EFBIG);
}

static void error_is_sticky_and_keeps_what_was_there(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(4);
        buf_put_str(&b, "abc");
        buf_put_str(&b, "too long");
        buf_put_str(&b, "d");
        assert_int_equal(buf_error(&b), -EFBIG);
        assert_string_equal(buf_cstr(&b), "abc");
        buf_reset(&b);
        assert_int_equal(buf_error(&b), 0);
        buf_put_str(&b, "abcd");
        assert_string_equal(buf_cstr(&b), "abcd");
}

static void absurd_lengths_are_refused(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        buf_put_str(&b, "abc");
        assert_null(buf_reserve(&b, SIZE_MAX));
        assert_int_equal(buf_error(&b), -EFBIG);
        buf_reset(&b);
        assert_null(buf_reserve(&b, SIZE_MAX - 2));
        assert_int_equal(buf_error(&b), -EFBIG);
        buf_deinit(&b);
        assert_int_equal(b.len, 0);
        buf_deinit(&b); /* twice is fine */
}

static void reserve_gives_room(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        assert_non_null(buf_reserve(&b, 0));
        char *at = buf_reserve(&b, 1000);
        memset(at, 'r', 1000);
        b.len += 1000;
        assert_int_equal(strlen(buf_cstr(&b)), 1000);
}

static void unsigned_numbers(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        buf_put_u64(&b, 0);
        buf_put_char(&b, ' ');
        buf_put_u64(&b, 10);
        buf_put_char(&b, ' ');
        buf_put_u64(&b, UINT64_MAX);
        assert_string_equal(buf_cstr(&b), "0 10 18446744073709551615");
}

static void doubles(void **state) {
        (void)state;
        static const struct {
                double v;
                const char *text;
        } CASES[] = {
                { 0, "0" },          { -0.0, "-0" },       { 1, "1" },
                { 0.1, "0.1" },      { -1.5, "-1.5" },     { 9007199254740991.0, "9007199254740991" },
                { 1e300, "1e+300" }, { INFINITY, "+Inf" }, { -INFINITY, "-Inf" },
                { NAN, "NaN" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                buf_put_double(&b, CASES[i].v);
                assert_string_equal(buf_cstr(&b), CASES[i].text);
        }
}

typedef struct Dir {
        char path[32];
        int fd;
} Dir;

static void put_file(const Dir *d, const char *name, size_t n) {
        CLEANUP_FD int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_true(fd >= 0);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(write(fd, "f", 1), 1);
}

static int with_dir(void **state) {
        Dir *d = calloc(1, sizeof *d);
        strcpy(d->path, "/tmp/test_buf.XXXXXX");
        if (!mkdtemp(d->path) || (d->fd = open(d->path, O_DIRECTORY | O_RDONLY)) < 0)
                return -1;
        *state = d;
        return 0;
}

static int without_dir(void **state) {
        Dir *d = *state;
        (void)unlinkat(d->fd, "file", 0);
        (void)unlinkat(d->fd, "fifo", 0);
        (void)close(d->fd);
        (void)rmdir(d->path);
        free(d);
        return 0;
}

static void reads_a_file_up_to_the_limit(void **state) {
        Dir *d = *state;
        static const size_t SIZES[] = { 0, 1, 100, 4095, 4096, 4097, 9000 };
        for (size_t i = 0; i < ARRAY_LEN(SIZES); i++) {
                put_file(d, "file", SIZES[i]);
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                buf_put_str(&b, "before");
                assert_int_equal(buf_read_file(&b, d->fd, "file", SIZES[i]), 0);
                assert_int_equal(b.len, 6 + SIZES[i]);
                assert_int_equal(buf_read_file(&b, d->fd, "file", SIZE_MAX), 0);
                assert_int_equal(b.len, 6 + 2 * SIZES[i]);
                if (SIZES[i] == 0)
                        continue;
                assert_int_equal(buf_read_file(&b, d->fd, "file", SIZES[i] - 1), -EFBIG);
                assert_int_equal(b.len, 6 + 2 * SIZES[i]);
                assert_int_equal(buf_error(&b), 0);
        }
}

static void reads_into_a_buffer_with_a_limit_of_its_own(void **state) {
        Dir *d = *state;
        put_file(d, "file", 100);
        CLEANUP(buf_deinit) Buf b = BUF_WITH_LIMIT(150);
        assert_int_equal(buf_read_file(&b, d->fd, "file", 4096), 0);
        assert_int_equal(b.len, 100);
        assert_int_equal(buf_read_file(&b, d->fd, "file", 4096), -EFBIG);
        assert_int_equal(b.len, 100);
        assert_int_equal(buf_error(&b), 0);
        b.error = -ENOMEM;
        assert_int_equal(buf_read_file(&b, d->fd, "file", 4096), -ENOMEM);
}

static void what_cannot_be_read_is_an_error(void **state) {
        Dir *d = *state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        assert_int_equal(buf_read_file(&b, d->fd, "nothing", 10), -ENOENT);
        assert_int_equal(buf_read_file(&b, d->fd, ".", 10), -EISDIR);
        /* A FIFO nobody writes to does not hang. */
        assert_int_equal(mkfifoat(d->fd, "fifo", 0600), 0);
        assert_int_equal(buf_read_file(&b, d->fd, "fifo", 10), 0);
        assert_int_equal(b.len, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(appends_and_terminates),
                cmocka_unit_test(grows_without_losing),
                cmocka_unit_test(the_limit_is_exact_whatever_the_allocation),
                cmocka_unit_test(printf_may_fill_the_limit),
                cmocka_unit_test(error_is_sticky_and_keeps_what_was_there),
                cmocka_unit_test(absurd_lengths_are_refused),
                cmocka_unit_test(reserve_gives_room),
                cmocka_unit_test(unsigned_numbers),
                cmocka_unit_test(doubles),
                cmocka_unit_test_setup_teardown(reads_a_file_up_to_the_limit, with_dir, without_dir),
                cmocka_unit_test_setup_teardown(reads_into_a_buffer_with_a_limit_of_its_own, with_dir, without_dir),
                cmocka_unit_test_setup_teardown(what_cannot_be_read_is_an_error, with_dir, without_dir),
        };
        return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
