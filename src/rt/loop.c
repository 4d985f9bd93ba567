/* Each handle is one heap object whose first member is libuv's: whoever closes it (its owner, or
 * loop_free() for what is left) hands it to libuv, and the close callback frees it. So an object is
 * never freed while libuv still has it, and nobody else needs a list of handles. */
#include "rt/loop.h"

#include <assert.h>
#include <stddef.h>
#include <uv.h>

struct Loop {
        uv_loop_t uv;
};

struct LoopTimer {
        uv_timer_t uv;
        LoopTimerFn fn;
        void *context;
};

struct LoopFd {
        uv_poll_t uv;
        int events;
        LoopFdFn fn;
        void *context;
};

struct LoopSignal {
        uv_signal_t uv;
        LoopSignalFn fn;
        void *context;
};

static_assert(offsetof(LoopTimer, uv) == 0, "freed through the libuv handle");
static_assert(offsetof(LoopFd, uv) == 0, "freed through the libuv handle");
static_assert(offsetof(LoopSignal, uv) == 0, "freed through the libuv handle");

static void on_closed(uv_handle_t *h) {
        free(h);
}

static void close_handle(uv_handle_t *h, void *unused) {
        (void)unused;
        if (!uv_is_closing(h))
                uv_close(h, on_closed);
}

int loop_new(Loop **ret_loop) {
        CLEANUP_FREE Loop *l = calloc(1, sizeof *l);
        if (!l)
                return -ENOMEM;
        int r = uv_loop_init(&l->uv);
        if (r < 0)
                return r;
        *ret_loop = TAKE_PTR(l);
        return 0;
}

Loop *loop_free(Loop *l) {
        if (!l)
                return NULL;
        uv_walk(&l->uv, close_handle, NULL);
        /* Every handle is closing, so this runs their close callbacks and returns. */
        (void)uv_run(&l->uv, UV_RUN_DEFAULT);
        int r = uv_loop_close(&l->uv);
        assert(r == 0);
        (void)r;
        free(l);
        return NULL;
}

int loop_run(Loop *l) {
        (void)uv_run(&l->uv, UV_RUN_DEFAULT);
        return 0;
}

void loop_stop(Loop *l) {
        uv_stop(&l->uv);
}

/* libuv counts in ms; rounded up, so that nothing fires early and a short interval is not "once". */
static uint64_t to_ms(Duration d) {
        return d.ns <= 0 ? 0 : ((uint64_t)d.ns + NS_PER_MS - 1) / NS_PER_MS;
}

static void on_timer(uv_timer_t *h) {
        LoopTimer *t = (LoopTimer *)h;
        t->fn(t->context);
}

int loop_timer(Loop *l, Duration first, Duration every, LoopTimerFn fn, void *context, LoopTimer **ret_timer) {
        LoopTimer *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        t->fn = fn;
        t->context = context;
        /* Neither call can fail: the handle is open and there is a callback. */
        (void)uv_timer_init(&l->uv, &t->uv);
        loop_timer_again(t, first, every);
        *ret_timer = t;
        return 0;
}

void loop_timer_again(LoopTimer *t, Duration first, Duration every) {
        /* libuv counts from its cached time, which is old after a long callback. */
        uv_update_time(t->uv.loop);
        (void)uv_timer_start(&t->uv, on_timer, to_ms(first), to_ms(every));
}

LoopTimer *loop_timer_stop(LoopTimer *t) {
        if (t)
                close_handle((uv_handle_t *)&t->uv, NULL);
        return NULL;
}

static int to_uv_events(int events) {
        return (events & LOOP_READ ? UV_READABLE : 0) | (events & LOOP_WRITE ? UV_WRITABLE : 0) |
               (events & LOOP_HANGUP ? UV_DISCONNECT : 0);
}

static void on_fd(uv_poll_t *h, int status, int uv_events) {
        LoopFd *w = (LoopFd *)h;
        int events = (uv_events & UV_READABLE ? LOOP_READ : 0) | (uv_events & UV_WRITABLE ? LOOP_WRITE : 0) |
                     (uv_events & UV_DISCONNECT ? LOOP_HANGUP : 0);
        if (status < 0) {
                /* libuv stops polling at POLLERR, which is no end for a netlink socket that lost messages:
                 * the owner learns the error from its own read or write, and the watch stays. */
                events = w->events;
                (void)uv_poll_start(&w->uv, to_uv_events(w->events), on_fd);
        }
        w->fn(w->context, events);
}

int loop_fd(Loop *l, int fd, int events, LoopFdFn fn, void *context, LoopFd **ret_watch) {
        CLEANUP_FREE LoopFd *w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        w->events = events;
        w->fn = fn;
        w->context = context;
        int r = uv_poll_init(&l->uv, &w->uv, fd);
        if (r < 0)
                return r;
        r = uv_poll_start(&w->uv, to_uv_events(events), on_fd);
        LoopFd *open = TAKE_PTR(w); /* from here on it is freed by its close callback */
        if (r < 0) {
                (void)loop_fd_stop(open);
                return r;
        }
        *ret_watch = open;
        return 0;
}

int loop_fd_events(LoopFd *w, int events) {
        if (events == w->events)
                return 0;
        w->events = events;
        return uv_poll_start(&w->uv, to_uv_events(events), on_fd);
}

LoopFd *loop_fd_stop(LoopFd *w) {
        if (w)
                close_handle((uv_handle_t *)&w->uv, NULL);
        return NULL;
}

static void on_signal(uv_signal_t *h, int signo) {
        LoopSignal *s = (LoopSignal *)h;
        s->fn(s->context, signo);
}

int loop_signal(Loop *l, int signo, LoopSignalFn fn, void *context, LoopSignal **ret_signal) {
        CLEANUP_FREE LoopSignal *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        s->fn = fn;
        s->context = context;
        int r = uv_signal_init(&l->uv, &s->uv);
        if (r < 0)
                return r;
        r = uv_signal_start(&s->uv, on_signal, signo);
        LoopSignal *open = TAKE_PTR(s);
        if (r < 0) {
                (void)loop_signal_stop(open);
                return r;
        }
        *ret_signal = open;
        return 0;
}

LoopSignal *loop_signal_stop(LoopSignal *s) {
        if (s)
                close_handle((uv_handle_t *)&s->uv, NULL);
        return NULL;
}
