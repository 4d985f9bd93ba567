/* What the queries of a test script see: a store on a disk in memory, whose clock stands far enough from 1970 that
 * samples of any time are taken. */
#pragma once

#include "notation.h"
#include "store/store.h"
#include "vfs_sim.h"

typedef struct World {
        VfsSim *disk;
        Store *store;
        WallTime wall;
        MonoTime mono;
        bool flush; /* everything is read from parts instead of from the head */
} World;

void world_init(World *w, bool flush);
void world_deinit(World *w);
void world_clear(World *w); /* empty again */

/* One request with the series of a `load`, the k-th value at k * step. With `custom`, classic histograms among them are
 * loaded a second time as native ones with custom buckets. 0 or -EINVAL with the reason. */
int world_load(World *w, const NotedSeries *series, size_t n, int64_t step_ms, bool custom, Buf *ret_error) MUST_USE;
