/* What parallaxd counts about itself, one row of tables/self.def each; exposed on /metrics/self.
 * Plain numbers, written by the one thread that runs the daemon's loop. */
#pragma once

enum {
#define SELF(id, name, type, help) SELF_##id,
#include "self.def"
#undef SELF
        SELF_COUNT
};

typedef struct SelfStats {
        double value[SELF_COUNT];
} SelfStats;

static inline void self_add(SelfStats *s, int id, double n) {
        if (s)
                s->value[id] += n;
}
static inline void self_set(SelfStats *s, int id, double v) {
        if (s)
                s->value[id] = v;
}
