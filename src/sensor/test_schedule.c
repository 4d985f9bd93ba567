/* The scheduler on a virtual clock. */
#include "sensor/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static EntityKey key_number(unsigned n) {
        EntityKey key = { .kind = ENTITY_DOMAIN };
        memcpy(key.id.bytes, &n, sizeof n);
        return key;
}

static int setup(void **state) {
        return schedule_new((Schedule **)state);
}

static int teardown(void **state) {
        *state = schedule_free(*state);
        return 0;
}

static MonoTime at_ms(int64_t ms) {
        return (MonoTime){ 1000 * NS_PER_SEC + ms * NS_PER_MS };
}

static unsigned drain(Schedule *s, MonoTime now) {
        ScheduleItem item;
        unsigned n = 0;
        while (schedule_take(s, now, &item))
                n++;
        return n;
}

static void a_new_entity_is_due_at_once(void **state) {
        Schedule *s = *state;
        assert_int_equal(schedule_set(s, key_number(1), LANE_KERNEL, SECONDS(10), at_ms(0)), 0);
        ScheduleItem item;
        assert_true(schedule_take(s, at_ms(0), &item));
        assert_int_equal(item.lane, LANE_KERNEL);
        assert_false(schedule_take(s, at_ms(0), &item));
}

static void looks_are_spread_over_the_interval(void **state) {
        Schedule *s = *state;
        for (unsigned i = 0; i < 200; i++)
                assert_int_equal(schedule_set(s, key_number(i), LANE_KERNEL, SECONDS(10), at_ms(0)), 0);
        assert_int_equal(drain(s, at_ms(0)), 200);
        unsigned most = 0, all = 0;
        for (int64_t ms = 250; ms <= 10000; ms += 250) {
                unsigned n = drain(s, at_ms(ms));
                most = n > most ? n : most;
                all += n;
        }
        assert_int_equal(all, 200);
        /* 5 a tick on average. */
        assert_true(most <= 16);
}

static void each_is_due_once_per_interval(void **state) {
        Schedule *s = *state;
        for (unsigned i = 0; i < 50; i++)
                assert_int_equal(schedule_set(s, key_number(i), LANE_MONITOR, SECONDS(1), at_ms(0)), 0);
        drain(s, at_ms(0));
        unsigned n = 0;
        for (int64_t ms = 250; ms <= 60000; ms += 250)
                n += drain(s, at_ms(ms));
        assert_int_equal(n, 50 * 60);
}

static void a_stall_makes_no_burst(void **state) {
        Schedule *s = *state;
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(schedule_set(s, key_number(i), LANE_KERNEL, SECONDS(1), at_ms(0)), 0);
        drain(s, at_ms(0));
        assert_int_equal(drain(s, at_ms(3600 * 1000)), 100);
        assert_int_equal(drain(s, at_ms(3600 * 1000)), 0);
        unsigned n = 0;
        for (int64_t ms = 250; ms <= 1000; ms += 250)
                n += drain(s, at_ms(3600 * 1000 + ms));
        assert_int_equal(n, 100);
}

static void a_shorter_interval_is_due_at_once(void **state) {
        Schedule *s = *state;
        assert_int_equal(schedule_set(s, key_number(1), LANE_KERNEL, SECONDS(30), at_ms(0)), 0);
        drain(s, at_ms(0));
        assert_int_equal(schedule_set(s, key_number(1), LANE_KERNEL, SECONDS(1), at_ms(500)), 0);
        assert_int_equal(drain(s, at_ms(500)), 1);
        assert_int_equal(drain(s, at_ms(1500)), 1);
}

static void a_longer_interval_takes_effect_at_once(void **state) {
        Schedule *s = *state;
        assert_int_equal(schedule_set(s, key_number(1), LANE_KERNEL, SECONDS(1), at_ms(0)), 0);
        drain(s, at_ms(0));
        assert_int_equal(schedule_set(s, key_number(1), LANE_KERNEL, SECONDS(30), at_ms(100)), 0);
        unsigned n = 0;
        for (int64_t ms = 250; ms <= 30000; ms += 250)
                n += drain(s, at_ms(ms));
        assert_int_equal(n, 1);
}

static void the_same_interval_changes_nothing(void **state) {
        Schedule *s = *state;
        assert_int_equal(schedule_set(s, key_number(1), LANE_KERNEL, SECONDS(10), at_ms(0)), 0);
        drain(s, at_ms(0));
        MonoTime before, after;
        assert_true(schedule_next(s, &before));
        assert_int_equal(schedule_set(s, key_number(1), LANE_KERNEL, SECONDS(10), at_ms(100)), 0);
        assert_true(schedule_next(s, &after));
        assert_int_equal(before.ns, after.ns);
}

static void the_longest_due_comes_first(void **state) {
        Schedule *s = *state;
        for (unsigned i = 0; i < 30; i++)
                assert_int_equal(schedule_set(s, key_number(i), LANE_KERNEL, SECONDS(10), at_ms(0)), 0);
        drain(s, at_ms(0));
        ScheduleItem item;
        int64_t before = 0;
        while (schedule_take(s, at_ms(10000), &item)) {
                assert_true(item.due.ns >= before);
                before = item.due.ns;
        }
}

static void the_removed_are_never_due(void **state) {
        Schedule *s = *state;
        for (unsigned i = 0; i < 1000; i++)
                for (Lane lane = 0; lane < LANE_COUNT; lane++)
                        assert_int_equal(schedule_set(s, key_number(i), lane, SECONDS(10), at_ms(0)), 0);
        for (unsigned i = 0; i < 1000; i += 2)
                schedule_remove(s, key_number(i));
        assert_int_equal(schedule_set(s, key_number(1), LANE_MONITOR, (Duration){ 0 }, at_ms(0)), 0);
        assert_int_equal(schedule_count(s), 1499);
        ScheduleItem item;
        unsigned n = 0;
        while (schedule_take(s, at_ms(0), &item)) {
                unsigned number;
                memcpy(&number, item.key.id.bytes, sizeof number);
                assert_int_equal(number % 2, 1);
                n++;
        }
        assert_int_equal(n, 1499);
}

static void a_deferred_look_waits_and_is_then_due(void **state) {
        Schedule *s = *state;
        assert_int_equal(schedule_set(s, key_number(1), LANE_MONITOR, SECONDS(60), at_ms(0)), 0);
        drain(s, at_ms(0));
        schedule_defer(s, key_number(1), LANE_MONITOR, at_ms(1000));
        assert_int_equal(drain(s, at_ms(999)), 0);
        assert_int_equal(drain(s, at_ms(1000)), 1);
}

static void churn_keeps_heap_and_table_together(void **state) {
        Schedule *s = *state;
        unsigned seed = 1;
        bool there[256] = { false };
        size_t n = 0;
        for (unsigned round = 0; round < 20000; round++) {
                seed = seed * 1103515245 + 12345;
                unsigned i = seed >> 16 & 255;
                if (there[i])
                        schedule_remove(s, key_number(i));
                else
                        assert_int_equal(schedule_set(s, key_number(i), LANE_KERNEL, SECONDS(1 + i % 7),
                                                      at_ms(round)), 0);
                n += there[i] ? (size_t)-1 : 1;
                there[i] = !there[i];
                ScheduleItem item;
                if (schedule_take(s, at_ms(round), &item)) {
                        unsigned number;
                        memcpy(&number, item.key.id.bytes, sizeof number);
                        assert_true(there[number]);
                }
                assert_int_equal(schedule_count(s), n);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_new_entity_is_due_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(looks_are_spread_over_the_interval, setup, teardown),
                cmocka_unit_test_setup_teardown(each_is_due_once_per_interval, setup, teardown),
                cmocka_unit_test_setup_teardown(a_stall_makes_no_burst, setup, teardown),
                cmocka_unit_test_setup_teardown(a_shorter_interval_is_due_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(a_longer_interval_takes_effect_at_once, setup, teardown),
                cmocka_unit_test_setup_teardown(the_same_interval_changes_nothing, setup, teardown),
                cmocka_unit_test_setup_teardown(the_longest_due_comes_first, setup, teardown),
                cmocka_unit_test_setup_teardown(the_removed_are_never_due, setup, teardown),
                cmocka_unit_test_setup_teardown(a_deferred_look_waits_and_is_then_due, setup, teardown),
                cmocka_unit_test_setup_teardown(churn_keeps_heap_and_table_together, setup, teardown),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
