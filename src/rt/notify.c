#include "rt/notify.h"

#include "base/escape.h"

#include <inttypes.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* systemd shows one line and nobody reads more. */
#define STATUS_MAX ((size_t)1024)

/* A manager that does not listen is no reason to fail. */
static void tell(const char *state) {
        (void)sd_notify(0, state);
}

void notify_ready(void) {
        tell("READY=1");
}

void notify_stopping(void) {
        tell("STOPPING=1");
}

void notify_reloading(void) {
        /* Type=notify-reload matches the answer to its request by this time stamp. */
        (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, mono_now().ns / 1000);
}

void notify_status(const char *fmt, ...) {
        char text[STATUS_MAX];
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        if (n < 0)
                return;
        /* A newline in it would begin another assignment, MAINPID= for instance. */
        CLEANUP(buf_deinit) Buf message = BUF_NULL;
        buf_put_str(&message, "STATUS=");
        escape_terminal(&message, text, strlen(text));
        if (buf_error(&message) == 0)
                tell(buf_cstr(&message));
}

static void on_watchdog(void *unused) {
        (void)unused;
        tell("WATCHDOG=1");
}

int notify_watchdog(Loop *loop, LoopTimer **ret_timer) {
        uint64_t usec = 0;
        int r = sd_watchdog_enabled(0, &usec);
        if (r < 0)
                return r;
        if (r == 0) {
                *ret_timer = NULL;
                return 0;
        }
        Duration half = { (int64_t)(usec > INT64_MAX / 1000 ? INT64_MAX / 1000 : usec) * 1000 / 2 };
        return loop_timer(loop, (Duration){ 0 }, half, on_watchdog, NULL, ret_timer);
}
