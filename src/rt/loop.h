/* The event loop of a program: timers, descriptors, signals, children. One thread, the one that calls
 * loop_run(). Thin over libuv; handles are heap objects that the loop frees after their close callback,
 * so stopping one inside its own callback is allowed. Every *_stop accepts NULL and returns NULL. */
#pragma once

#include "base/cleanup.h"
#include "base/time.h"

#include <stdbool.h>
#include <sys/types.h>

typedef struct Loop Loop;
typedef struct LoopTimer LoopTimer;
typedef struct LoopFd LoopFd;
typedef struct LoopSignal LoopSignal;

int loop_new(Loop **ret_loop) MUST_USE;
/* Closes every handle that is left. */
Loop *loop_free(Loop *l);
/* Runs until loop_stop(); 0 or negative errno. */
int loop_run(Loop *l) MUST_USE;
void loop_stop(Loop *l);

typedef void (*LoopTimerFn)(void *context);
/* First call after `first`, then every `every` (0 ns = once; the handle stays until stopped). */
int loop_timer(Loop *l, Duration first, Duration every, LoopTimerFn fn, void *context, LoopTimer **ret_timer) MUST_USE;
void loop_timer_again(LoopTimer *t, Duration first, Duration every);
LoopTimer *loop_timer_stop(LoopTimer *t);

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HANGUP = 4 /* a socket's other end sends nothing any more */ };
typedef void (*LoopFdFn)(void *context, int events);
/* Level-triggered. The descriptor stays the caller's and must outlive the watch. */
int loop_fd(Loop *l, int fd, int events, LoopFdFn fn, void *context, LoopFd **ret_watch) MUST_USE;
int loop_fd_events(LoopFd *w, int events) MUST_USE;
LoopFd *loop_fd_stop(LoopFd *w);

typedef void (*LoopSignalFn)(void *context, int signo);
int loop_signal(Loop *l, int signo, LoopSignalFn fn, void *context, LoopSignal **ret_signal) MUST_USE;
LoopSignal *loop_signal_stop(LoopSignal *s);
