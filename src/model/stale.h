/* The staleness marker: the value with which a series ends. One NaN of all, told from the others by its bits, as Prometheus writes it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define STALE_BITS UINT64_C(0x7ff0000000000002)

static inline double stale_marker(void) {
        uint64_t bits = STALE_BITS;
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
}

static inline bool is_stale(double v) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        return bits == STALE_BITS;
}
