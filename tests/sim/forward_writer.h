/* For tests: a writer of a queue that remembers the numbers of series as the target does. To be included behind
 * cmocka.h. */
#pragma once

#include "forward/queue.h"

#include <stdio.h>
#include <string.h>

#define T INT64_C(1700000000000)

typedef struct Writer {
        Queue *q;
        uint32_t ids[64], generations[64];
} Writer;

static inline void build_run(unsigned series, Buf *run) {
        char name[16];
        Label labels[] = { { { "__name__", 8 }, { "m", 1 } },
                           { { "s", 1 }, { name, (size_t)snprintf(name, sizeof name, "%u", series) } } };
        LabelsFault fault = labels_build(labels, 2, run);
        if (fault != LABELS_OK)
                abort();
}

/* The value says which sample it is. */
static inline void put(Writer *w, unsigned series, int64_t time, double value) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        uint32_t generation = queue_generation(w->q);
        bool known = w->generations[series] == generation;
        build_run(series, &run);
        uint32_t id = queue_series(w->q, w->ids[series], known ? NULL : (uint8_t *)run.data, run.len, 1);
        if (id == UINT32_MAX)
                return;
        w->ids[series] = id;
        w->generations[series] = generation;
        queue_float(w->q, time, value);
}
