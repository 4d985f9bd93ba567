#include "base/varint.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void is_what_protobuf_writes(void **state) {
        (void)state;
        static const struct {
                uint64_t v;
                const char *bytes;
                size_t n;
        } known[] = {
                { 0, "\x00", 1 },
                { 1, "\x01", 1 },
                { 127, "\x7f", 1 },
                { 128, "\x80\x01", 2 },
                { 300, "\xac\x02", 2 },
                { UINT32_MAX, "\xff\xff\xff\xff\x0f", 5 },
                { UINT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10 },
        };
        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
                uint8_t out[VARINT_MAX];
                assert_int_equal(varint_put(out, known[i].v), known[i].n);
                assert_memory_equal(out, known[i].bytes, known[i].n);
        }
}

static void reads_back_every_length(void **state) {
        (void)state;
        for (unsigned bit = 0; bit < 64; bit++)
                for (int64_t off = -2; off <= 2; off++) {
                        uint64_t v = (UINT64_C(1) << bit) + (uint64_t)off, back = 0;
                        uint8_t out[VARINT_MAX + 1];
                        size_t n = varint_put(out, v);
                        const uint8_t *at = out;
                        assert_true(varint_get(&at, out + n, &back));
                        assert_true(back == v && at == out + n);
                        /* Cut off anywhere: nothing is taken. */
                        for (size_t cut = 0; cut < n; cut++) {
                                at = out;
                                assert_false(varint_get(&at, out + cut, &back));
                                assert_ptr_equal(at, out);
                        }
                }
}

static void refuses_more_than_64_bits(void **state) {
        (void)state;
        static const char *const bad[] = {
                "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
                "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        };
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                const uint8_t *from = (const uint8_t *)bad[i], *at = from;
                uint64_t v = 7;
                assert_false(varint_get(&at, from + strlen(bad[i]), &v));
                assert_ptr_equal(at, from);
                assert_int_equal(v, 7);
        }
        /* A needlessly long zero is a number all the same. */
        const uint8_t *at = (const uint8_t *)"\x80\x80\x00";
        uint64_t v;
        assert_true(varint_get(&at, at + 3, &v) && v == 0);
}

static void zigzag_keeps_small_numbers_small(void **state) {
        (void)state;
        static const int64_t numbers[] = { 0, -1, 1, -2, 2, 1000, -1000, INT64_MAX, INT64_MIN, INT64_MIN + 1 };
        assert_int_equal(zigzag(0), 0);
        assert_int_equal(zigzag(-1), 1);
        assert_int_equal(zigzag(1), 2);
        assert_true(zigzag(INT64_MAX) == UINT64_MAX - 1 && zigzag(INT64_MIN) == UINT64_MAX);
        for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
                assert_true(unzigzag(zigzag(numbers[i])) == numbers[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(is_what_protobuf_writes),
                cmocka_unit_test(reads_back_every_length),
                cmocka_unit_test(refuses_more_than_64_bits),
                cmocka_unit_test(zigzag_keeps_small_numbers_small),
        };
        return cmocka_run_group_tests_name("base: varint", tests, NULL, NULL);
}
