/* A simulated disk for tests: a Vfs in memory that loses, tears, reorders, fails and fills up, the same way for the same seed.
 *
 * The disk outlives the processes that use it. Each process is a handle (a Vfs); killing it makes every later call on the
 * handle fail with -EIO without effect, so that its objects can still be freed. Then either the next process finds what
 * was written (vfs_sim_kill), or only what a power cut leaves of it (vfs_sim_power_cut):
 *   - of a file's unsynced writes any subset, in pieces of 512 bytes; what is lost in the middle reads as zeros or as it was
 *     before; truncations may be lost as well;
 *   - of the creations, renames and removals since the last sync of the directory any subset, each for itself.
 * A sync that fails does what Linux does: some of the data is on the disk, the rest is forgotten, and the next sync has nothing
 * to do and succeeds. Syncing such a file again in the same process is counted: nobody should.
 *
 * Allocations of the simulation itself cannot fail (it ends the test instead). Calls may come from several threads. */
#pragma once

#include "store/vfs/vfs.h"

typedef struct VfsSim VfsSim;

typedef enum SimOp {
        SIM_OPEN,
        SIM_CREATE,
        SIM_APPEND,
        SIM_TRUNCATE,
        SIM_SYNC,
        SIM_PREAD,
        SIM_SIZE,
        SIM_MAP,
        SIM_RENAME,
        SIM_LINK,
        SIM_UNLINK,
        SIM_SYNC_DIRECTORY,
        SIM_LIST,
        SIM_SPACE,
        SIM_LOCK,
        SIM_OP_COUNT
} SimOp;

/* Sets of operations. */
#define SIM_SET(op) (UINT32_C(1) << (op))
#define SIM_ALL (SIM_SET(SIM_OP_COUNT) - 1)
#define SIM_CHANGES                                                                                                  \
        (SIM_SET(SIM_CREATE) | SIM_SET(SIM_APPEND) | SIM_SET(SIM_TRUNCATE) | SIM_SET(SIM_RENAME) | SIM_SET(SIM_LINK) | \
         SIM_SET(SIM_UNLINK))
#define SIM_SYNCS (SIM_SET(SIM_SYNC) | SIM_SET(SIM_SYNC_DIRECTORY))

VfsSim *vfs_sim_new(uint64_t seed);
/* Handles must have been freed. */
VfsSim *vfs_sim_free(VfsSim *s);
/* The disk for one more process. Freed by its owner with vfs_free(). */
Vfs *vfs_sim_open(VfsSim *s);

/* ---- Ends of processes ---- */

void vfs_sim_kill(VfsSim *s);
void vfs_sim_power_cut(VfsSim *s, uint64_t seed);
/* What the disk would be after a power cut now; this one goes on. */
VfsSim *vfs_sim_copy_after_power_cut(const VfsSim *s, uint64_t seed);
/* The nth operation from now on (1: the next) of the set is begun and not finished: the processes are killed in it. 0: none is. */
void vfs_sim_kill_at(VfsSim *s, uint32_t ops, uint64_t nth);
/* Whether that has happened. */
bool vfs_sim_killed(const VfsSim *s);

/* ---- Faults ---- */

/* The nth call from now on of the set fails with `error` (negative), and with `for_ever` every later one too. An append writes a
 * part of its bytes before. 0: no fault. */
void vfs_sim_fail(VfsSim *s, uint32_t ops, uint64_t nth, bool for_ever, int error);
/* Most bytes in files; beyond, an append writes what fits and fails with -ENOSPC. 0: any number. */
void vfs_sim_capacity(VfsSim *s, uint64_t bytes);
/* Changes fail with -EROFS. */
void vfs_sim_read_only(VfsSim *s, bool read_only);
/* Each sync takes so long on the simulation's clock, and calls `during` (may be NULL) while it lasts. */
void vfs_sim_slow_sync(VfsSim *s, Duration each, void (*during)(void *context), void *context);
/* Flips a bit of a file, on the disk. False: there is no such byte. */
bool vfs_sim_flip(VfsSim *s, const char *name, uint64_t offset, unsigned bit);
/* Replaces or makes a file, durably. */
void vfs_sim_put(VfsSim *s, const char *name, const void *bytes, size_t n);
/* Called after each operation that changed or synced something, without a lock: the place to take copies. */
void vfs_sim_watch(VfsSim *s, void (*after)(void *context, SimOp op), void *context);

/* ---- Looking ---- */

MonoTime vfs_sim_clock(const VfsSim *s);
uint64_t vfs_sim_count(const VfsSim *s, uint32_t ops); /* of calls so far */
uint64_t vfs_sim_failed_syncs(const VfsSim *s); /* of files */
uint64_t vfs_sim_synced_again(const VfsSim *s); /* syncs of a file whose sync had failed */
/* Whether a file shows bytes that a failed sync has lost, so that no later process can know. */
bool vfs_sim_deceives(const VfsSim *s);
uint64_t vfs_sim_bytes(const VfsSim *s);        /* in files */
size_t vfs_sim_open_files(const VfsSim *s);
bool vfs_sim_size(const VfsSim *s, const char *name, uint64_t *ret_size);
/* Writes down every call from now on, as lines "append wal-00000001 4096 = 0". */
void vfs_sim_record(VfsSim *s, bool on);
const char *vfs_sim_log(VfsSim *s);

/* Numbers for tests: equally distributed, from *state, which any number may begin. */
uint64_t sim_random(uint64_t *state);
/* 0..n-1. */
static inline uint64_t sim_below(uint64_t *state, uint64_t n) {
        return n ? sim_random(state) % n : 0;
}
