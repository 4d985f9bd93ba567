/* The watch over a domain, on a virtual clock. */
#include "sensor/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static MonoTime at(int64_t seconds) {
        return (MonoTime){ (5000 + seconds) * NS_PER_SEC };
}

static int64_t stuck_s(const Watch *w, int64_t seconds) {
        return watch_stuck(w, at(seconds)).ns / NS_PER_SEC;
}

static void nothing_is_wrong_at_first(void **state) {
        (void)state;
        Watch w = { 0 };
        assert_int_equal(watch_permit(&w, at(0)), WATCH_ASK_ALL);
        assert_int_equal(stuck_s(&w, 100), 0);
        assert_int_equal(watch_control(&w), WATCH_OK);
}

static void a_stopped_process_is_stuck_and_asked_nothing(void **state) {
        (void)state;
        Watch w = { 0 };
        assert_false(watch_process(&w, 'S', at(0)));
        assert_false(watch_process(&w, 'T', at(10)));
        assert_true(watch_stuck(&w, at(10)).ns > 0);
        assert_false(watch_process(&w, 'T', at(20)));
        assert_int_equal(watch_permit(&w, at(20)), WATCH_ASK_NOTHING);
        assert_int_equal(stuck_s(&w, 40), 30);
        assert_int_equal(watch_control(&w), WATCH_STOPPED);
        assert_true(watch_process(&w, 'S', at(50)));
        assert_int_equal(stuck_s(&w, 50), 0);
        assert_int_equal(watch_permit(&w, at(50)), WATCH_ASK_ALL);
}

static void a_lost_call_backs_off_doubling_to_five_minutes(void **state) {
        (void)state;
        Watch w = { 0 };
        int64_t now = 5, wait = 10;
        watch_lost(&w, at(0), at(5));
        for (int i = 0; i < 8; i++) {
                assert_int_equal(watch_permit(&w, at(now + wait - 1)), WATCH_ASK_NOTHING);
                assert_int_equal(watch_permit(&w, at(now + wait)), WATCH_ASK_CONTROL);
                now += wait;
                watch_lost(&w, at(now), at(now));
                wait = wait * 2 > 300 ? 300 : wait * 2;
        }
        assert_int_equal(stuck_s(&w, now), now);
        assert_int_equal(watch_control(&w), WATCH_LOST);
        assert_true(watch_outstanding(&w));
}

static void control_info_that_is_well_ends_it_at_once(void **state) {
        (void)state;
        Watch w = { 0 };
        watch_lost(&w, at(0), at(5));
        assert_true(watch_answer(&w, &(DoneBody){ .what = ASK_MONITOR, .state = ASK_OK }, at(15)));
        assert_int_equal(watch_permit(&w, at(15)), WATCH_ASK_ALL);
        assert_int_equal(stuck_s(&w, 15), 0);
        assert_false(watch_outstanding(&w));
}

static void a_process_that_goes_on_is_asked_at_once(void **state) {
        (void)state;
        Watch w = { 0 };
        watch_lost(&w, at(0), at(5));
        watch_lost(&w, at(15), at(20));
        (void)watch_process(&w, 'T', at(21));
        assert_true(watch_process(&w, 'S', at(22)));
        assert_int_equal(watch_permit(&w, at(22)), WATCH_ASK_CONTROL);
        assert_int_equal(stuck_s(&w, 22), 22);
}

static void a_process_that_wakes_up_is_asked_at_once(void **state) {
        (void)state;
        Watch w = { 0 };
        assert_false(watch_process(&w, 'D', at(0)));
        assert_int_equal(watch_control(&w), WATCH_SLEEPING);
        assert_false(watch_process(&w, 'S', at(1)));
        assert_false(watch_process(&w, 'D', at(2)));
        watch_lost(&w, at(3), at(8));
        assert_true(watch_process(&w, 'S', at(9)));
        assert_int_equal(watch_permit(&w, at(9)), WATCH_ASK_CONTROL);
}

static void a_monitor_in_use_is_stuck_only_after_a_while(void **state) {
        (void)state;
        Watch w = { 0 };
        (void)watch_answer(&w, &(DoneBody){ .state = ASK_BUSY, .error = 2, .control = 20 }, at(0));
        assert_int_equal(stuck_s(&w, 0), 0);
        assert_int_equal(watch_permit(&w, at(1)), WATCH_ASK_CONTROL);
        (void)watch_answer(&w, &(DoneBody){ .state = ASK_BUSY, .error = 2, .control = 30020 }, at(30));
        assert_int_equal(stuck_s(&w, 30), 30);
        assert_int_equal(watch_control(&w), WATCH_OCCUPIED);
        assert_int_equal(watch_permit(&w, at(39)), WATCH_ASK_NOTHING);
        assert_int_equal(watch_permit(&w, at(40)), WATCH_ASK_CONTROL);
        assert_true(watch_answer(&w, &(DoneBody){ .state = ASK_OK }, at(40)));
}

static void no_connection_says_nothing_about_the_domain(void **state) {
        (void)state;
        Watch w = { 0 };
        watch_lost(&w, at(0), at(5));
        assert_false(watch_answer(&w, &(DoneBody){ .state = ASK_DOWN }, at(6)));
        assert_int_equal(stuck_s(&w, 6), 6);
}

static void a_job_is_not_stuck(void **state) {
        (void)state;
        Watch w = { 0 };
        (void)watch_answer(&w, &(DoneBody){ .state = ASK_OK, .error = WATCH_JOB }, at(0));
        assert_int_equal(watch_control(&w), WATCH_JOB);
        assert_int_equal(stuck_s(&w, 100), 0);
        assert_int_equal(watch_permit(&w, at(0)), WATCH_ASK_ALL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_is_wrong_at_first),
                cmocka_unit_test(a_stopped_process_is_stuck_and_asked_nothing),
                cmocka_unit_test(a_lost_call_backs_off_doubling_to_five_minutes),
                cmocka_unit_test(control_info_that_is_well_ends_it_at_once),
                cmocka_unit_test(a_process_that_goes_on_is_asked_at_once),
                cmocka_unit_test(a_process_that_wakes_up_is_asked_at_once),
                cmocka_unit_test(a_monitor_in_use_is_stuck_only_after_a_while),
                cmocka_unit_test(no_connection_says_nothing_about_the_domain),
                cmocka_unit_test(a_job_is_not_stuck),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
