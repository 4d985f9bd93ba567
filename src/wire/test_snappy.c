#include "wire/snappy.h"

#include <setjmp.h>
#include <snappy-c.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define MOST ((size_t)32 << 20)

static int decode(const void *bytes, size_t n, Buf *out, const char **ret_why) {
        /* Of the exact size, so that the sanitizer sees a read beyond. */
        CLEANUP_FREE uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, bytes, n);
        return snappy_block_decode(copy, n, MOST, out, ret_why);
}

#define DECODE(literal, out, why) decode(literal, sizeof(literal) - 1, out, why)

static void round_trip(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf text = BUF_NULL, out = BUF_NULL;
        const char *why;
        for (int i = 0; i < 5000; i++)
                buf_printf(&text, "line %d of many\n", i);
        size_t n = snappy_max_compressed_length(text.len);
        CLEANUP_FREE char *packed = malloc(n);
        assert_int_equal(snappy_compress(text.data, text.len, packed, &n), SNAPPY_OK);
        assert_int_equal(decode(packed, n, &out, &why), 0);
        assert_true(out.len == text.len && memcmp(out.data, text.data, out.len) == 0);
        assert_int_equal(DECODE("\0", &out, &why), 0); /* nothing, and what was there is gone */
        assert_int_equal(out.len, 0);
}

/* B1: the declared length is looked at before anything is allocated. */
static void b1_declared_length(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        const char *why;
        assert_int_equal(DECODE("\xff\xff\xff\xff\x0f", &out, &why), -EFBIG);
        assert_true(out.cap == 0 && strstr(why, "limit"));
        assert_int_equal(DECODE("\x81\x80\x80\x10", &out, &why), -EFBIG); /* 32 MiB + 1 */
        assert_int_equal(DECODE("\x80\x80\x80\x10", &out, &why), -EBADMSG); /* 32 MiB out of nothing */
        assert_true(out.cap == 0 && strstr(why, "few bytes"));
        assert_int_equal(DECODE("\xff\xff\xff\xff\xff\xff\xff\xff\x7f", &out, &why), -EBADMSG); /* no 32 bits */
        assert_int_equal(DECODE("", &out, &why), -EBADMSG);
        assert_int_equal(DECODE("\x80", &out, &why), -EBADMSG);
}

static void b2_length_mismatch(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        const char *why;
        assert_int_equal(DECODE("\x03\x08"
                                "abc",
                                &out, &why),
                         0);
        assert_int_equal(DECODE("\x02\x08"
                                "abc",
                                &out, &why),
                         -EBADMSG);
        assert_int_equal(DECODE("\x04\x08"
                                "abc",
                                &out, &why),
                         -EBADMSG);
        assert_int_equal(out.len, 0);
}

static void b3_bad_tags(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        const char *why;
        assert_int_equal(DECODE("\x08\x0c"
                                "abcd\x01\x00",
                                &out, &why),
                         -EBADMSG); /* a copy from offset 0 */
        assert_int_equal(DECODE("\x08\x0c"
                                "abcd\x01\x05",
                                &out, &why),
                         -EBADMSG); /* from before the start */
        assert_int_equal(DECODE("\x08\x0c"
                                "abc",
                                &out, &why),
                         -EBADMSG); /* a literal that is cut */
        assert_int_equal(DECODE("\x05\xf4\x10", &out, &why), -EBADMSG); /* a length that is cut */
}

static void b4_framed_format(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        const char *why;
        assert_int_equal(DECODE("\xff\x06\x00\x00sNaPpY\x01\x05\x00\x00", &out, &why), -EBADMSG);
        assert_true(strstr(why, "framed") != NULL);
}

static void b5_other_formats(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        const char *why;
        assert_int_equal(DECODE("\x28\xb5\x2f\xfd\x04\x00\x01\x00", &out, &why), -EBADMSG);
        assert_true(strstr(why, "zstd") != NULL);
        assert_int_equal(DECODE("\x1f\x8b\x08\x00\x00", &out, &why), -EBADMSG);
        assert_true(strstr(why, "gzip") != NULL);
        /* A message that is not compressed at all. */
        assert_int_equal(DECODE("\x0a\x10\x0a\x0e\x0a\x08__name__\x12\x02up", &out, &why), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(round_trip),  cmocka_unit_test(b1_declared_length), cmocka_unit_test(b2_length_mismatch),
                cmocka_unit_test(b3_bad_tags), cmocka_unit_test(b4_framed_format),   cmocka_unit_test(b5_other_formats),
        };
        return cmocka_run_group_tests_name("snappy", tests, NULL, NULL);
}
