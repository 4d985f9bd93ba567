#include "rt/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

/* The part of the service manager. */
typedef struct Manager {
        int fd;
        char dir[40], path[64];
        char text[2048];
} Manager;

static int begin(void **state) {
        Manager *m = calloc(1, sizeof *m);
        *state = m;
        strcpy(m->dir, "/tmp/test_notify.XXXXXX");
        if (!mkdtemp(m->dir))
                return -1;
        (void)snprintf(m->path, sizeof m->path, "%s/notify", m->dir);
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        memcpy(address.sun_path, m->path, strlen(m->path) + 1);
        m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (m->fd < 0 || bind(m->fd, (struct sockaddr *)&address, sizeof address) < 0)
                return -1;
        (void)setenv("NOTIFY_SOCKET", m->path, 1);
        return 0;
}

static int end(void **state) {
        Manager *m = *state;
        (void)unsetenv("NOTIFY_SOCKET");
        (void)unsetenv("WATCHDOG_USEC");
        (void)unsetenv("WATCHDOG_PID");
        (void)close(m->fd);
        (void)unlink(m->path);
        (void)rmdir(m->dir);
        free(m);
        return 0;
}

/* What was told last, "" when nothing was. */
static const char *heard(Manager *m) {
        ssize_t n = recv(m->fd, m->text, sizeof m->text - 1, 0);
        m->text[n > 0 ? n : 0] = '\0';
        return m->text;
}

static void states_are_told(void **state) {
        Manager *m = *state;
        notify_ready();
        assert_string_equal(heard(m), "READY=1");
        notify_stopping();
        assert_string_equal(heard(m), "STOPPING=1");
        notify_reloading();
        assert_int_equal(strncmp(heard(m), "RELOADING=1\nMONOTONIC_USEC=", 27), 0);
        long long us = atoll(m->text + 27);
        assert_true(us > 0 && us <= mono_now().ns / 1000);
        assert_string_equal(heard(m), "");
}

static void a_status_cannot_become_another_assignment(void **state) {
        Manager *m = *state;
        notify_status("%d domains, %s", 3, "web");
        assert_string_equal(heard(m), "STATUS=3 domains, web");
        notify_status("stuck: %s", "x\nMAINPID=1\x1b[2J\xff");
        assert_string_equal(heard(m), "STATUS=stuck: x\\x0aMAINPID=1\\x1b[2J\xEF\xBF\xBD");
        char name[5000];
        memset(name, 'n', sizeof name - 1);
        name[sizeof name - 1] = '\0';
        notify_status("%s", name);
        assert_true(strlen(heard(m)) > 1000 && strlen(m->text) < 1100);
}

static void no_manager_is_fine(void **state) {
        Manager *m = *state;
        (void)unsetenv("NOTIFY_SOCKET");
        notify_ready();
        notify_status("x");
        (void)setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
        notify_ready();
        notify_reloading();
        notify_stopping();
        assert_string_equal(heard(m), "");
}

static void stop(void *context) {
        loop_stop(context);
}

static void the_watchdog_is_fed_twice_an_interval(void **state) {
        Manager *m = *state;
        Loop *loop = NULL;
        LoopTimer *timer = NULL, *until = NULL;
        assert_int_equal(loop_new(&loop), 0);
        (void)setenv("WATCHDOG_USEC", "40000", 1);
        assert_int_equal(notify_watchdog(loop, &timer), 0);
        assert_non_null(timer);
        assert_int_equal(loop_timer(loop, MILLISECONDS(90), (Duration){ 0 }, stop, loop, &until), 0);
        assert_int_equal(loop_run(loop), 0);
        unsigned n = 0;
        while (strcmp(heard(m), "WATCHDOG=1") == 0)
                n++;
        assert_true(n >= 2 && n <= 5); /* at 0, 20, 40, 60, 80 ms; fewer on a loaded machine */
        timer = loop_timer_stop(timer);
        loop = loop_free(loop);
}

static void no_watchdog_no_timer(void **state) {
        (void)state;
        Loop *loop = NULL;
        assert_int_equal(loop_new(&loop), 0);
        LoopTimer *timer = (LoopTimer *)loop; /* anything but NULL */
        assert_int_equal(notify_watchdog(loop, &timer), 0);
        assert_null(timer);
        (void)setenv("WATCHDOG_USEC", "1000000", 1);
        (void)setenv("WATCHDOG_PID", "1", 1); /* another process's */
        timer = (LoopTimer *)loop;
        assert_int_equal(notify_watchdog(loop, &timer), 0);
        assert_null(timer);
        (void)unsetenv("WATCHDOG_PID");
        (void)setenv("WATCHDOG_USEC", "soon", 1);
        assert_true(notify_watchdog(loop, &timer) < 0);
        loop = loop_free(loop);
}

#define WITH_MANAGER(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_MANAGER(states_are_told),      WITH_MANAGER(a_status_cannot_become_another_assignment),
                WITH_MANAGER(no_manager_is_fine),   WITH_MANAGER(the_watchdog_is_fed_twice_an_interval),
                WITH_MANAGER(no_watchdog_no_timer),
        };
        return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
