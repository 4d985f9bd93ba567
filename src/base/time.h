/* Three distinct types for time, so that a wall instant cannot be subtracted from a monotonic one.
 * All in nanoseconds. Intervals, deadlines and ages use the monotonic clock; the wall clock only stamps. */
#pragma once

#include <stdint.h>
#include <time.h>

typedef struct WallTime {
        int64_t ns; /* since 1970-01-01T00:00:00Z */
} WallTime;

typedef struct MonoTime {
        int64_t ns; /* CLOCK_MONOTONIC; comparable between processes of one host */
} MonoTime;

typedef struct Duration {
        int64_t ns;
} Duration;

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)
#define SECONDS(n) ((Duration){ (int64_t)(n) * NS_PER_SEC })
#define MILLISECONDS(n) ((Duration){ (int64_t)(n) * NS_PER_MS })

static inline MonoTime mono_now(void) {
        struct timespec ts;
        (void)clock_gettime(CLOCK_MONOTONIC, &ts);
        return (MonoTime){ ts.tv_sec * NS_PER_SEC + ts.tv_nsec };
}

static inline WallTime wall_now(void) {
        struct timespec ts;
        (void)clock_gettime(CLOCK_REALTIME, &ts);
        return (WallTime){ ts.tv_sec * NS_PER_SEC + ts.tv_nsec };
}

static inline MonoTime mono_add(MonoTime t, Duration d) {
        return (MonoTime){ t.ns + d.ns };
}

static inline Duration mono_since(MonoTime later, MonoTime earlier) {
        return (Duration){ later.ns - earlier.ns };
}

static inline double duration_seconds(Duration d) {
        return (double)d.ns / 1e9;
}
