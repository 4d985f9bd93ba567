#include "base/crc32c.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

typedef uint32_t (*Crc)(uint32_t crc, const void *bytes, size_t n);
static const Crc BOTH[] = { crc32c, crc32c_table };

/* RFC 3720, appendix B.4. */
static void is_that_of_the_rfc(void **state) {
        (void)state;
        static const uint8_t read_command[48] = {
                0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
        };
        uint8_t zeros[32] = { 0 }, ones[32], up[32], down[32];
        memset(ones, 0xff, sizeof ones);
        for (int i = 0; i < 32; i++) {
                up[i] = (uint8_t)i;
                down[i] = (uint8_t)(31 - i);
        }
        for (size_t i = 0; i < ARRAY_LEN(BOTH); i++) {
                assert_int_equal(BOTH[i](0, zeros, 32), 0x8a9136aa);
                assert_int_equal(BOTH[i](0, ones, 32), 0x62a8ab43);
                assert_int_equal(BOTH[i](0, up, 32), 0x46dd794e);
                assert_int_equal(BOTH[i](0, down, 32), 0x113fdb5c);
                assert_int_equal(BOTH[i](0, read_command, 48), 0xd9963a56);
                assert_int_equal(BOTH[i](0, "123456789", 9), 0xe3069283);
                assert_int_equal(BOTH[i](0, NULL, 0), 0);
        }
}

/* Every length and alignment, cut anywhere: the two agree with each other and with the parts. */
static void continues_and_agrees(void **state) {
        (void)state;
        uint8_t bytes[96];
        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)(i * 197 + 41);
        for (size_t from = 0; from < 9; from++)
                for (size_t n = 0; from + n <= sizeof bytes; n++) {
                        uint32_t whole = crc32c_table(0, bytes + from, n);
                        assert_int_equal(crc32c(0, bytes + from, n), whole);
                        size_t cut = n / 3;
                        assert_int_equal(crc32c(crc32c(0, bytes + from, cut), bytes + from + cut, n - cut), whole);
                }
}

static void finds_every_flipped_bit(void **state) {
        (void)state;
        uint8_t bytes[64] = { 1, 2, 3 };
        uint32_t whole = crc32c(0, bytes, sizeof bytes);
        for (size_t i = 0; i < 8 * sizeof bytes; i++) {
                bytes[i / 8] ^= (uint8_t)(1 << i % 8);
                assert_int_not_equal(crc32c(0, bytes, sizeof bytes), whole);
                bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(is_that_of_the_rfc),
                cmocka_unit_test(continues_and_agrees),
                cmocka_unit_test(finds_every_flipped_bit),
        };
        return cmocka_run_group_tests_name("base: crc32c", tests, NULL, NULL);
}
