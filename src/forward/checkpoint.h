/* How far a queue has been delivered: for each shard the number up to which everything of it is done with, and the end
 * of the request that was under way. Private to src/forward; the file is the essay on top of checkpoint.c.
 *
 * checkpoint_shard() and checkpoint_layout() are for the sender's thread and write at once, so that a killed process
 * knows what it had sent; checkpoint_commit() is for the committer's, syncs, and now and then begins a new file. */
#pragma once

#include "rt/lock.h"
#include "store/vfs/vfs.h"

#define CHECKPOINT_SHARDS_MAX 200u

typedef struct ShardMark {
        uint64_t acked; /* samples of the shard with lower numbers are done with */
        uint64_t sent;  /* a request with all its samples from `acked` to below this was begun; 0: none was */
} ShardMark;

typedef struct CheckpointState {
        uint32_t n_shards; /* 0: nothing is known */
        ShardMark shards[CHECKPOINT_SHARDS_MAX];
} CheckpointState;

typedef struct Checkpoint Checkpoint;

/* Reads what is there. Borrows the disk. Writes nothing before the first change, which must be checkpoint_layout() when
 * nothing is known. */
int checkpoint_open(Vfs *vfs, Checkpoint **ret_checkpoint) MUST_USE;
Checkpoint *checkpoint_close(Checkpoint *c);
const CheckpointState *checkpoint_state(const Checkpoint *c); /* sender's thread */

/* From now on there are n shards, and all of what is below `seq` is done with. */
int checkpoint_layout(Checkpoint *c, uint32_t n_shards, uint64_t seq) MUST_USE;
int checkpoint_shard(Checkpoint *c, uint32_t shard, ShardMark mark) MUST_USE;
int checkpoint_commit(Checkpoint *c, bool sync) MUST_USE;

/* For tests and the fuzzer: what a file says; false when it is none. */
bool checkpoint_read(const uint8_t *bytes, size_t n, CheckpointState *ret_state) MUST_USE;
