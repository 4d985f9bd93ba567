#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void gives_aligned_bytes_that_stay(void **state) {
        (void)state;
        ArenaBudget budget = ARENA_BUDGET(1 << 24);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        unsigned char *p[500];
        for (size_t i = 0; i < ARRAY_LEN(p); i++) {
                p[i] = arena_alloc(&a, i);
                assert_non_null(p[i]);
                assert_int_equal((uintptr_t)p[i] % _Alignof(max_align_t), 0);
                memset(p[i], (int)(i & 0xff), i);
        }
        for (size_t i = 0; i < ARRAY_LEN(p); i++)
                for (size_t k = 0; k < i; k++)
                        assert_int_equal(p[i][k], i & 0xff);
        /* Two empty ones differ as well. */
        assert_ptr_not_equal(arena_alloc(&a, 0), arena_alloc(&a, 0));
}

static void zeroes_and_copies(void **state) {
        (void)state;
        ArenaBudget budget = ARENA_BUDGET(1 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        uint64_t *numbers = ARENA_ARRAY(&a, uint64_t, 1000);
        assert_non_null(numbers);
        for (size_t i = 0; i < 1000; i++)
                assert_true(numbers[i] == 0);
        assert_string_equal(arena_copy(&a, "abcdef", 3), "abc");
        assert_string_equal(arena_copy(&a, NULL, 0), "");
}

static void takes_a_large_one_whole(void **state) {
        (void)state;
        ArenaBudget budget = ARENA_BUDGET((size_t)64 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        char *large = arena_alloc(&a, (size_t)10 << 20);
        assert_non_null(large);
        memset(large, 1, (size_t)10 << 20);
        assert_non_null(arena_alloc(&a, 1));
        assert_true(atomic_load(&budget.taken) >= (size_t)10 << 20);
        assert_true(atomic_load(&budget.taken) < (size_t)12 << 20);
}

static void stops_at_the_budget(void **state) {
        (void)state;
        ArenaBudget budget = ARENA_BUDGET(100000);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        size_t n = 0;
        while (arena_alloc(&a, 1000))
                n++;
        assert_int_equal(a.error, -E2BIG);
        assert_in_range(n, 80, 99);
        assert_null(arena_alloc(&a, 1)); /* not in the rest of the last block either: an error stays */
        assert_null(arena_copy(&a, "x", 1));
        assert_true(atomic_load(&budget.peak) <= 100000);
}

static void shares_a_budget(void **state) {
        (void)state;
        ArenaBudget budget = ARENA_BUDGET(100000);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        Arena b = ARENA(&budget);
        assert_non_null(arena_alloc(&b, 90000));
        assert_null(arena_alloc(&a, 20000));
        assert_int_equal(a.error, -E2BIG);
        arena_deinit(&b);
        assert_int_equal(atomic_load(&budget.taken), 0);
        assert_true(atomic_load(&budget.peak) >= 90000);
        arena_deinit(&a); /* forgets the error too */
        assert_non_null(arena_alloc(&a, 20000));
}

static void refuses_sizes_that_overflow(void **state) {
        (void)state;
        ArenaBudget budget = ARENA_BUDGET(SIZE_MAX);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        assert_null(arena_calloc(&a, SIZE_MAX / 4, 8));
        assert_int_equal(a.error, -E2BIG);
        CLEANUP(arena_deinit) Arena b = ARENA(&budget);
        assert_null(arena_alloc(&b, SIZE_MAX - 3));
        assert_int_equal(b.error, -E2BIG);
        CLEANUP(arena_deinit) Arena c = ARENA(&budget);
        assert_null(arena_copy(&c, "", SIZE_MAX));
}

static void grows_in_place_where_it_can(void **state) {
        (void)state;
        ArenaBudget budget = ARENA_BUDGET(1 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        char *p = arena_grow(&a, NULL, 0, 10);
        assert_non_null(p);
        memcpy(p, "0123456789", 10);
        assert_ptr_equal(arena_grow(&a, p, 10, 200), p);
        char *between = arena_alloc(&a, 16);
        memset(between, 'x', 16);
        char *q = arena_grow(&a, p, 200, 300);
        assert_ptr_not_equal(q, p);
        assert_memory_equal(q, "0123456789", 10);
        for (size_t i = 0; i < 16; i++)
                assert_int_equal(between[i], 'x');
        char *large = arena_grow(&a, q, 300, 100000);
        assert_non_null(large);
        assert_memory_equal(large, "0123456789", 10);
        assert_null(arena_grow(&a, large, 100000, 2 << 20));
        assert_int_equal(a.error, -E2BIG);
}

/* An array that grows element by element at the end of the arena takes no more than it needs. */
static void growing_wastes_nothing(void **state) {
        (void)state;
        ArenaBudget budget = ARENA_BUDGET((size_t)64 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        int *list = NULL;
        for (size_t i = 0; i < 100000; i++) {
                list = arena_grow(&a, list, i * sizeof *list, (i + 1) * sizeof *list);
                assert_non_null(list);
                list[i] = (int)i;
        }
        for (size_t i = 0; i < 100000; i++)
                assert_int_equal(list[i], i);
        assert_true(atomic_load(&budget.taken) < (size_t)4 << 20);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(gives_aligned_bytes_that_stay),
                cmocka_unit_test(zeroes_and_copies),
                cmocka_unit_test(takes_a_large_one_whole),
                cmocka_unit_test(stops_at_the_budget),
                cmocka_unit_test(shares_a_budget),
                cmocka_unit_test(refuses_sizes_that_overflow),
                cmocka_unit_test(grows_in_place_where_it_can),
                cmocka_unit_test(growing_wastes_nothing),
        };
        return cmocka_run_group_tests_name("what a query allocates is bounded and freed at once", tests, NULL, NULL);
}
