/* Random numbers of the fleet: splitmix64, one state an owner or series, so that every series can be computed
 * without the others and the values do not depend on the shape of the requests. */
#pragma once

#include <stdint.h>

static inline uint64_t random_mix(uint64_t z) {
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static inline uint64_t random_next(uint64_t *state) {
        *state += UINT64_C(0x9e3779b97f4a7c15);
        return random_mix(*state);
}

/* 0 <= u < 1. */
static inline double random_unit(uint64_t *state) {
        return (double)(random_next(state) >> 11) * 0x1p-53;
}

/* Nearly normal, mean 0, deviation 1: the sum of four numbers of 16 bits. */
static inline double random_normal(uint64_t *state) {
        uint64_t r = random_next(state);
        int64_t sum = (int64_t)(r & 0xffff) + (int64_t)(r >> 16 & 0xffff) + (int64_t)(r >> 32 & 0xffff) + (int64_t)(r >> 48);
        return (double)(sum - 131070) * (1.0 / 37837.2);
}
