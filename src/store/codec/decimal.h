/* Doubles that are short decimal numbers, as whole numbers. Private to the codec.
 *
 * 12345.678901234 is 12345678901234 / 10^9, and that division gives back the same 64 bits: division is correctly
 * rounded, so whether a double comes back is a property of the double, found out by trying. */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define DECIMAL_MAX 15u              /* most digits behind the point */
#define DECIMAL_LIMIT 4611686018427387904.0 /* 2^62: whole numbers stay below, so that differences fit */

static const double POWERS_OF_TEN[DECIMAL_MAX + 1] = { 1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };

static inline uint64_t double_bits(double v) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        return bits;
}

static inline double bits_double(uint64_t bits) {
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
}

/* The whole number nearest to v * power; 0 when that is no number or too large. */
static inline int64_t decimal_round(double v, double power) {
        double x = v * power;
        x = fabs(x) < DECIMAL_LIMIT ? x : 0;
        return __builtin_llrint(x);
}

/* Adding it to a double leaves the nearest whole number in the low bits, for numbers below 2^51: what conversions do,
 * but for several numbers at once. */
#define DECIMAL_MAGIC 6755399441055744.0 /* 1.5 * 2^52 */
#define DECIMAL_NEAR 2251799813685248.0  /* 2^51 */

static inline int64_t decimal_round_near(double v, double power) {
        return (int64_t)(double_bits(v * power + DECIMAL_MAGIC) - double_bits(DECIMAL_MAGIC));
}

static inline bool decimal_fits(double v, double power, int64_t m) {
        return double_bits((double)m / power) == double_bits(v);
}
