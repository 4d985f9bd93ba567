#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char TEXT[] = "00112233-4455-6677-8899-aabbccddeeff";

static void reads_and_writes(void **state) {
        (void)state;
        Uuid u, v;
        char out[UUID_TEXT_LEN + 1];
        assert_int_equal(uuid_parse(TEXT, strlen(TEXT), &u), 0);
        for (unsigned i = 0; i < 16; i++)
                assert_int_equal(u.bytes[i], i * 0x11);
        uuid_format(&u, out);
        assert_string_equal(out, TEXT);
        assert_int_equal(uuid_parse("00112233445566778899AABBCCDDEEFF", 32, &v), 0);
        assert_true(uuid_equal(&u, &v));
        v.bytes[15] ^= 1;
        assert_false(uuid_equal(&u, &v));
        uuid_format(&UUID_NULL, out);
        assert_string_equal(out, "00000000-0000-0000-0000-000000000000");
}

static void refuses_everything_else(void **state) {
        (void)state;
        static const char *const BAD[] = {
                "",
                "00112233-4455-6677-8899-aabbccddeef",
                "00112233-4455-6677-8899-aabbccddeeff0",
                "00112233-4455-6677-8899-aabbccddeefg",
                "001122334-455-6677-8899-aabbccddeeff",
                "0011223344556677-8899-aabbccddeeff--",
                "{0112233-4455-6677-8899-aabbccddeef}",
                "0011223344556677-899-aabbccddeef",
                " 0112233445566778899aabbccddeeff",
                "+0112233445566778899aabbccddeeff",
                ("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
                 "\xff\xff\xff\xff\xff\xff\xff"),
                "\x1b[31m233-4455-6677-8899-aabbccddeeff",
        };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                Uuid u = { { 7 } };
                assert_int_equal(uuid_parse(BAD[i], strlen(BAD[i]), &u), -EINVAL);
                assert_int_equal(u.bytes[0], 7);
        }
}

static void stays_within_its_bytes(void **state) {
        (void)state;
        /* No terminator after the text: a sanitizer sees one byte too many. */
        CLEANUP_FREE char *exact = malloc(UUID_TEXT_LEN);
        memcpy(exact, TEXT, UUID_TEXT_LEN);
        Uuid u;
        assert_int_equal(uuid_parse(exact, UUID_TEXT_LEN, &u), 0);
        exact[35] = '-';
        assert_int_equal(uuid_parse(exact, UUID_TEXT_LEN, &u), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_and_writes),
                cmocka_unit_test(refuses_everything_else),
                cmocka_unit_test(stays_within_its_bytes),
        };
        return cmocka_run_group_tests_name("uuid", tests, NULL, NULL);
}
