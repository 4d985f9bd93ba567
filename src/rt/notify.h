/* Tells the service manager how the program is doing (sd_notify(3)). Without one, that is when
 * NOTIFY_SOCKET is not set, every call does nothing. Main thread only. */
#pragma once

#include "rt/loop.h"

/* Serving; also ends a reload. */
void notify_ready(void);
/* A reload began; notify_ready() ends it. */
void notify_reloading(void);
void notify_stopping(void);
/* One line for `systemctl status`. Bytes from outside are safe: control characters come out as \xNN. */
void notify_status(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* When the manager expects a sign of life (WATCHDOG_USEC), gives one now and then at half its interval
 * for as long as the loop turns; else *ret_timer is NULL. 0 or negative errno. Stop the timer with
 * loop_timer_stop(). */
int notify_watchdog(Loop *loop, LoopTimer **ret_timer) MUST_USE;
