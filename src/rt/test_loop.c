#include "rt/loop.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

typedef struct Bench {
        Loop *loop;
        LoopTimer *timer, *guard;
        LoopFd *watch, *other;
        LoopSignal *signal;
        int fds[2];
        unsigned calls;
        int last;
        MonoTime at;
} Bench;

static void give_up(void *context) {
        Bench *b = context;
        b->last = -1;
        loop_stop(b->loop);
}

static int begin(void **state) {
        Bench *b = calloc(1, sizeof *b);
        *state = b;
        if (!b || loop_new(&b->loop) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, b->fds) < 0)
                return -1;
        return loop_timer(b->loop, SECONDS(10), SECONDS(0), give_up, b, &b->guard);
}

/* Whatever a test left open goes with the loop; the sanitizer would see what does not. */
static int end(void **state) {
        Bench *b = *state;
        b->loop = loop_free(b->loop);
        (void)close(b->fds[0]);
        (void)close(b->fds[1]);
        free(b);
        return 0;
}

static void run(Bench *b) {
        assert_int_equal(loop_run(b->loop), 0);
        if (b->last == -1)
                fail_msg("the test took too long");
}

static void stop_at_third(void *context) {
        Bench *b = context;
        b->at = mono_now();
        if (++b->calls == 3)
                loop_stop(b->loop);
}

static void a_timer_repeats(void **state) {
        Bench *b = *state;
        MonoTime before = mono_now();
        assert_int_equal(loop_timer(b->loop, MILLISECONDS(5), MILLISECONDS(10), stop_at_third, b, &b->timer), 0);
        run(b);
        assert_int_equal(b->calls, 3);
        assert_true(mono_since(b->at, before).ns >= 24 * NS_PER_MS);
}

static void count(void *context) {
        Bench *b = context;
        b->calls++;
}

static void stop_loop(void *context) {
        Bench *b = context;
        loop_stop(b->loop);
}

static void a_timer_without_interval_fires_once_and_again_on_request(void **state) {
        Bench *b = *state;
        LoopTimer *until = NULL;
        assert_int_equal(loop_timer(b->loop, (Duration){ 0 }, (Duration){ 0 }, count, b, &b->timer), 0);
        assert_int_equal(loop_timer(b->loop, MILLISECONDS(20), (Duration){ 0 }, stop_loop, b, &until), 0);
        run(b);
        assert_int_equal(b->calls, 1);
        loop_timer_again(b->timer, MILLISECONDS(1), (Duration){ 0 });
        loop_timer_again(until, MILLISECONDS(20), (Duration){ 0 });
        run(b);
        assert_int_equal(b->calls, 2);
}

static void an_interval_below_a_millisecond_is_not_once(void **state) {
        Bench *b = *state;
        assert_int_equal(loop_timer(b->loop, (Duration){ 1 }, (Duration){ 1 }, stop_at_third, b, &b->timer), 0);
        run(b);
        assert_int_equal(b->calls, 3);
}

static void stop_oneself(void *context) {
        Bench *b = context;
        b->calls++;
        b->timer = loop_timer_stop(b->timer);
        b->watch = loop_fd_stop(b->watch);
        b->other = loop_fd_stop(b->other);
        b->signal = loop_signal_stop(b->signal);
}

static void a_timer_may_stop_itself(void **state) {
        Bench *b = *state;
        LoopTimer *until = NULL;
        assert_int_equal(loop_timer(b->loop, MILLISECONDS(1), MILLISECONDS(1), stop_oneself, b, &b->timer), 0);
        assert_int_equal(loop_timer(b->loop, MILLISECONDS(20), (Duration){ 0 }, stop_loop, b, &until), 0);
        run(b);
        assert_int_equal(b->calls, 1);
        assert_null(b->timer);
}

/* libuv's clock stands still during a callback: a timer set at its end must count from then. */
static void sleep_then_set(void *context) {
        Bench *b = context;
        (void)usleep(60000);
        b->at = mono_now();
        assert_int_equal(loop_timer(b->loop, MILLISECONDS(30), (Duration){ 0 }, stop_loop, b, &b->timer), 0);
}

static void a_timer_counts_from_now_after_a_long_callback(void **state) {
        Bench *b = *state;
        LoopTimer *first = NULL;
        assert_int_equal(loop_timer(b->loop, (Duration){ 0 }, (Duration){ 0 }, sleep_then_set, b, &first), 0);
        run(b);
        assert_true(mono_since(mono_now(), b->at).ns >= 29 * NS_PER_MS);
}

static void on_events(void *context, int events) {
        Bench *b = context;
        b->last = events;
        if (++b->calls == 2)
                loop_stop(b->loop);
}

static void a_descriptor_is_level_triggered(void **state) {
        Bench *b = *state;
        assert_int_equal(loop_fd(b->loop, b->fds[0], LOOP_READ, on_events, b, &b->watch), 0);
        assert_int_equal(write(b->fds[1], "x", 1), 1);
        run(b); /* nobody reads, so it is called again */
        assert_int_equal(b->calls, 2);
        assert_int_equal(b->last, LOOP_READ);
}

static void events_can_be_changed_and_switched_off(void **state) {
        Bench *b = *state;
        LoopTimer *until = NULL;
        assert_int_equal(loop_fd(b->loop, b->fds[0], LOOP_READ, on_events, b, &b->watch), 0);
        assert_int_equal(loop_fd_events(b->watch, LOOP_READ | LOOP_WRITE), 0);
        run(b);
        assert_int_equal(b->last, LOOP_WRITE);
        b->calls = 0;
        assert_int_equal(write(b->fds[1], "x", 1), 1);
        assert_int_equal(loop_fd_events(b->watch, 0), 0);
        assert_int_equal(loop_timer(b->loop, MILLISECONDS(10), (Duration){ 0 }, stop_loop, b, &until), 0);
        run(b);
        assert_int_equal(b->calls, 0);
        assert_int_equal(loop_fd_events(b->watch, LOOP_READ), 0);
        run(b);
        assert_int_equal(b->last, LOOP_READ);
}

static void a_peer_that_closed_makes_it_readable(void **state) {
        Bench *b = *state;
        assert_int_equal(loop_fd(b->loop, b->fds[0], LOOP_READ, on_events, b, &b->watch), 0);
        assert_int_equal(shutdown(b->fds[1], SHUT_RDWR), 0);
        run(b);
        assert_true(b->last & LOOP_READ);
}

static void on_events_stop(void *context, int events) {
        (void)events;
        Bench *b = context;
        stop_oneself(b);
        loop_stop(b->loop);
}

/* The watch goes at once, so that the descriptor's number may be used again before the loop turns. */
static void a_watch_may_stop_itself_and_the_number_is_free(void **state) {
        Bench *b = *state;
        assert_int_equal(loop_fd(b->loop, b->fds[0], LOOP_WRITE, on_events_stop, b, &b->watch), 0);
        run(b);
        assert_int_equal(b->calls, 1);
        assert_int_equal(loop_fd(b->loop, b->fds[0], LOOP_WRITE, on_events, b, &b->watch), 0);
        b->watch = loop_fd_stop(b->watch);
        assert_int_equal(loop_fd(b->loop, b->fds[0], LOOP_WRITE, on_events_stop, b, &b->watch), 0);
        run(b);
        assert_int_equal(b->calls, 2);
}

/* Both are ready in one turn; the first that is called stops both. */
static void a_watch_may_stop_another_that_is_ready(void **state) {
        Bench *b = *state;
        assert_int_equal(loop_fd(b->loop, b->fds[0], LOOP_WRITE, on_events_stop, b, &b->watch), 0);
        assert_int_equal(loop_fd(b->loop, b->fds[1], LOOP_WRITE, on_events_stop, b, &b->other), 0);
        run(b);
        assert_int_equal(b->calls, 1);
}

static void on_error(void *context, int events) {
        Bench *b = context;
        (void)events;
        int error = 0;
        socklen_t len = sizeof error;
        assert_int_equal(getsockopt(b->fds[0], SOL_SOCKET, SO_ERROR, &error, &len), 0);
        if (error)
                b->last = error;
        if (++b->calls == 2)
                loop_stop(b->loop);
}

/* libuv stops polling at an error; the owner must hear of it, and of what comes after. */
static void a_watch_survives_a_socket_error(void **state) {
        Bench *b = *state;
        /* Unread data at the peer's close makes it a reset: POLLERR. */
        assert_int_equal(write(b->fds[0], "x", 1), 1);
        (void)close(b->fds[1]);
        b->fds[1] = -1;
        assert_int_equal(loop_fd(b->loop, b->fds[0], LOOP_READ, on_error, b, &b->watch), 0);
        run(b);
        assert_int_equal(b->last, ECONNRESET);
        assert_int_equal(b->calls, 2);
}

static void files_are_refused(void **state) {
        Bench *b = *state;
        CLEANUP_FD int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(loop_fd(b->loop, fd, LOOP_READ, on_events, b, &b->watch), -EPERM);
        assert_int_equal(loop_fd(b->loop, 9999, LOOP_READ, on_events, b, &b->watch), -EBADF);
        assert_null(b->watch);
}

static void on_signal(void *context, int signo) {
        Bench *b = context;
        b->last = signo;
        b->calls++;
        b->signal = loop_signal_stop(b->signal);
        loop_stop(b->loop);
}

static void send_signal(void *context) {
        (void)context;
        assert_int_equal(kill(getpid(), SIGUSR1), 0);
}

static void a_signal_arrives_on_the_loop(void **state) {
        Bench *b = *state;
        assert_int_equal(loop_signal(b->loop, SIGUSR1, on_signal, b, &b->signal), 0);
        assert_int_equal(loop_timer(b->loop, MILLISECONDS(1), (Duration){ 0 }, send_signal, b, &b->timer), 0);
        run(b);
        assert_int_equal(b->last, SIGUSR1);
        assert_int_equal(b->calls, 1);
        assert_int_equal(loop_signal(b->loop, SIGKILL, on_signal, b, &b->signal), -EINVAL);
}

static void stopping_nothing_is_fine(void **state) {
        (void)state;
        assert_null(loop_timer_stop(NULL));
        assert_null(loop_fd_stop(NULL));
        assert_null(loop_signal_stop(NULL));
        assert_null(loop_free(NULL));
}

static void freeing_closes_what_is_left(void **state) {
        Bench *b = *state;
        assert_int_equal(loop_timer(b->loop, SECONDS(1), SECONDS(1), count, b, &b->timer), 0);
        assert_int_equal(loop_fd(b->loop, b->fds[0], LOOP_WRITE, on_events, b, &b->watch), 0);
        assert_int_equal(loop_signal(b->loop, SIGUSR2, on_signal, b, &b->signal), 0);
        /* end() frees the loop; nothing may be called while it does. */
        b->loop = loop_free(b->loop);
        assert_int_equal(b->calls, 0);
}

#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
        const struct CMUnitTest tests[] = {
                ON_LOOP(a_timer_repeats),
                ON_LOOP(a_timer_without_interval_fires_once_and_again_on_request),
                ON_LOOP(an_interval_below_a_millisecond_is_not_once),
                ON_LOOP(a_timer_may_stop_itself),
                ON_LOOP(a_timer_counts_from_now_after_a_long_callback),
                ON_LOOP(a_descriptor_is_level_triggered),
                ON_LOOP(events_can_be_changed_and_switched_off),
                ON_LOOP(a_peer_that_closed_makes_it_readable),
                ON_LOOP(a_watch_may_stop_itself_and_the_number_is_free),
                ON_LOOP(a_watch_may_stop_another_that_is_ready),
                ON_LOOP(a_watch_survives_a_socket_error),
                ON_LOOP(files_are_refused),
                ON_LOOP(a_signal_arrives_on_the_loop),
                cmocka_unit_test(stopping_nothing_is_fine),
                ON_LOOP(freeing_closes_what_is_left),
        };
        return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
