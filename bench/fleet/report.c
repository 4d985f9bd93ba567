#include "fleet/report.h"

#include "base/varint.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define BLOCK 128

/* Bits of a block of residuals: the best Rice parameter, for all of them or, after flags, for those that are not zero. */
static double block_bits(const uint64_t *x, size_t n) {
        size_t others = 0;
        for (size_t i = 0; i < n; i++)
                others += x[i] != 0;
        if (others == 0)
                return 1;
        double p = (double)others / (double)n, flags = others == n ? 0 : -(double)n * (p * log2(p) + (1 - p) * log2(1 - p));
        double best = INFINITY;
        for (unsigned k = 0; k < 62; k++) {
                double all = 7, flagged = 7 + flags;
                for (size_t i = 0; i < n; i++) {
                        all += (double)(x[i] >> k) + 1 + k;
                        flagged += x[i] ? (double)((x[i] - 1) >> k) + 1 + k : 0;
                }
                best = fmin(best, fmin(all, flagged));
        }
        return best;
}

static void divide_by_gcd(int64_t *x, size_t n) {
        int64_t a = 0;
        for (size_t i = 1; i < n && a != 1; i++)
                for (int64_t b = llabs(x[i] - x[0]); b != 0;) {
                        int64_t rest = a % b;
                        a = b;
                        b = rest;
                }
        for (size_t i = n; a > 1 && i-- > 0;)
                x[i] = (x[i] - x[0]) / a;
}

static double order_bits(int64_t *x, size_t n, uint64_t *scratch, unsigned order) {
        for (unsigned pass = 0; pass < order; pass++)
                for (size_t i = n; --i > 0;)
                        x[i] -= x[i - 1];
        double bits = 64 * (order + 1);
        for (size_t i = 0; i < n; i++)
                scratch[i] = i < order + 1 ? 0 : zigzag(x[i]);
        for (size_t i = 0; i < n; i += BLOCK)
                bits += block_bits(scratch + i, n - i < BLOCK ? n - i : BLOCK);
        return bits;
}

static double unit_of(FleetClass class, bool resolutions) {
        switch (class) {
        case CLASS_NS_COUNTER: return resolutions ? 1e6 : 1e9;
        case CLASS_KIB_GAUGE: return 1.0 / 1024;
        case CLASS_CENTI_GAUGE: return 100;
        case CLASS_FULL_DOUBLE: return 1e4;
        default: return 1;
        }
}

static double series_bits(const double *values, size_t n, FleetClass class, bool resolutions, int64_t *x, uint64_t *scratch) {
        if (class == CLASS_FULL_DOUBLE && !resolutions)
                return 54.5 * (double)n; /* sign, exponent's low bits and 52 bits */
        double unit = unit_of(class, resolutions), best = INFINITY;
        for (unsigned order = 0; order < 3; order++) {
                for (size_t i = 0; i < n; i++)
                        x[i] = llround(values[i] * unit);
                divide_by_gcd(x, n);
                best = fmin(best, order_bits(x, n, scratch, order));
        }
        return best;
}

void fleet_report(const FleetOptions *o, uint32_t steps, FILE *out) {
        CLEANUP(fleet_freep) Fleet *f = fleet_new(o);
        uint32_t n = fleet_count(f);
        CLEANUP_FREE double *values = calloc((size_t)n * steps, sizeof *values);
        CLEANUP_FREE uint32_t *lens = calloc(n, sizeof *lens);
        CLEANUP_FREE int64_t *x = calloc(steps, sizeof *x);
        CLEANUP_FREE uint64_t *scratch = calloc(steps, sizeof *scratch);
        assert(values && lens && x && scratch);
        for (uint32_t at = 0; at < steps; at += FLEET_WINDOW) {
                uint32_t w = steps - at < FLEET_WINDOW ? steps - at : FLEET_WINDOW;
                fleet_window(f, w);
                for (uint32_t s = 0; s < n; s++) {
                        double window[FLEET_WINDOW];
                        fleet_values(f, s, window);
                        for (uint32_t i = 0; i < w; i++)
                                if (fleet_presence(f, s, i) == FLEET_PRESENT)
                                        values[(size_t)s * steps + lens[s]++] = window[i];
                }
        }
        double samples[CLASS_COUNT] = { 0 }, bits[CLASS_COUNT] = { 0 }, all = 0, all_bits = 0;
        for (uint32_t s = 0; s < n; s++) {
                FleetClass class = fleet_class(f, s);
                double b = lens[s] ? series_bits(values + (size_t)s * steps, lens[s], class, o->resolutions, x, scratch) : 0;
                samples[class] += lens[s];
                bits[class] += b;
                all += lens[s];
                all_bits += b;
        }
        (void)fprintf(out, "%-18s %8s %14s\n", "class", "share", "bytes/sample");
        for (FleetClass c = 0; c < CLASS_COUNT; c++)
                (void)fprintf(out, "%-18s %7.2f%% %14.3f\n", fleet_class_name(c), 100 * samples[c] / all, samples[c] > 0 ? bits[c] / 8 / samples[c] : 0);
        (void)fprintf(out, "%-18s %7.2f%% %14.3f\n", "all", 100.0, all_bits / 8 / all);
}
