/* The sensor's self-metrics: tables/metrics_self.def. One thread. */
#pragma once

#include "model/sink.h"

#include <sys/types.h>

typedef enum SelfCollector {
        SELF_HOST,
        SELF_DOMAIN,
        SELF_DISCOVER,
        SELF_CONTAINER,
        SELF_ENGINE,
        SELF_COLLECTOR_COUNT
} SelfCollector;

typedef struct SelfCost {
        uint64_t looks;
        int64_t cpu_ns;
} SelfCost;

/* CPU time of the calling thread. */
int64_t self_cpu_ns(void);

void self_write_looks(const SelfCost costs[SELF_COLLECTOR_COUNT], EntityKey host, BatchBuilder *b, Sink *sink);
/* Begins a batch of SENSOR_PROCESS in `b`; then one row a process. */
void self_begin_processes(EntityKey host, BatchBuilder *b);
void self_add_process(BatchBuilder *b, const char *name, pid_t pid);
