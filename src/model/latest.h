/* The latest-value table: a sink that keeps, for each entity and group, the last batch and the one
 * before it, so that readers get values with their age and rates without waiting for any collector.
 *
 * Memory is bounded by `max_entities` and by BATCH_MAX_ROWS per group; what exceeds it is counted.
 * Entities keep their address until gone. Domains are kept in the order of their names, so output is
 * stable. Single-threaded. */
#pragma once

#include "model/sink.h"

typedef struct LatestGroup {
        WallTime wall;
        MonoTime mono;
        uint32_t n_rows;      /* 0 with mono.ns 0: never seen */
        uint8_t *labels;
        size_t labels_len;
        double *values;       /* n_rows * columns */
        MonoTime before_mono; /* 0: no earlier look, or its rows were others */
        double *before;
        bool cut; /* the entity was restarted since: the next look does not continue this one */
} LatestGroup;

typedef struct LatestEntity {
        EntityKey key;
        Engine engine;
        uint32_t pid;
        int64_t started_ns;
        char *name, *path, *ident; /* terminated; bytes from outside, NULs cut them.
                                    * One allocation, which begins at name */
        LatestGroup **groups;      /* indexed by GroupId - first_group; NULL = never seen */
        GroupId first_group, n_groups; /* of its kind */
        void *attachment;          /* reader's own (parsed documents); freed by Latest's on_gone */
} LatestEntity;

typedef struct Latest {
        Sink sink;
        LatestEntity **entities; /* sorted by kind, then name, then key */
        size_t n, cap, max_entities;
        uint64_t refused;  /* entities beyond max_entities */
        uint64_t orphans;  /* batches of unknown entities, dropped */
        uint64_t late;     /* batches older than what is there, dropped */
        uint64_t failed;   /* entities and batches lost for want of memory */
        uint64_t batches, samples; /* taken; a sample is a value that is not absent */
        LatestEntity **index; /* by key: open addressing, index_cap is 0 or a power of two */
        size_t index_cap;
        /* Optional hooks, set after latest_init(); `context` is theirs. on_gone comes when the entity is out of
         * the table and before it is freed, on_entity after it appeared or changed. They must not write to the
         * table. */
        void (*on_blob)(void *context, EntityKey key, BlobType type, const void *bytes, size_t n);
        void (*on_gone)(void *context, LatestEntity *e);
        void (*on_entity)(void *context, LatestEntity *e);
        void *context;
} Latest;

void latest_init(Latest *l, size_t max_entities);
void latest_deinit(Latest *l);
/* Forgets every entity (the sensor went away and will send everything again). */
void latest_clear(Latest *l);
LatestEntity *latest_find(const Latest *l, const EntityKey *key);
/* Entities of one kind: pointer to the first, count in ret_n. */
LatestEntity **latest_range(const Latest *l, EntityKind kind, size_t *ret_n);
/* The group of an entity, NULL when it was never seen. */
const LatestGroup *latest_group(const LatestEntity *e, GroupId g);
/* One value in its source's unit, absent when unknown. */
double latest_value(const LatestEntity *e, MetricId m, uint32_t row);
/* Per second, from the last two looks, in the exposed unit; absent without two looks or when the
 * counter went backwards. */
double latest_rate(const LatestEntity *e, MetricId m, uint32_t row);
/* Sum over rows, absent when no row has a value. */
double latest_rate_sum(const LatestEntity *e, MetricId m);
/* Age of the newest look of a lane, or of one group; negative when there is none. */
double latest_lane_age(const LatestEntity *e, Lane lane, MonoTime now);
double latest_group_age(const LatestEntity *e, GroupId g, MonoTime now);
/* Where the labels of a batch's row begin. */
bool latest_row_labels(const LatestEntity *e, GroupId g, uint32_t row, Span ret_labels[GROUP_MAX_KEYS]);
