/* One receiver: its queue, who fills it (labels made as the receiver is to see them), who empties it. Private to
 * src/forward.
 *
 * Everything is for the thread of the sink but target_commit(), which is the committer's. */
#pragma once

#include "forward/config.h"
#include "model/label_set.h"

typedef struct Target Target;

/* A series as the sink's caller names it: its run and a hash of it that does not repeat. */
typedef struct TargetKey {
        uint64_t hash[2];
        const uint8_t *run;
        size_t len;
} TargetKey;

typedef struct TargetShared {
        Encoder *encoder;
        Described *described;
        const ForwardConfig *config; /* external labels */
        bool sync;                   /* commits wait for the disk */
        WallTime (*wall)(void);      /* NULL: wall_now */
} TargetShared;

/* Opens its queue on `vfs` (taken over in any case). */
int target_open(Vfs *vfs, const ForwardTargetConfig *config, const TargetShared *shared, const Transport *transport,
                SenderComplaint complaint, void *context, Target **ret_target) MUST_USE;
Target *target_close(Target *t);

bool target_full(Target *t);
void target_floats(Target *t, const TargetKey *key, const int64_t *times_ms, const double *values, size_t n);
void target_histogram(Target *t, const TargetKey *key, int64_t time_ms, const uint8_t *bytes, size_t n);
/* `labels` is a run, perhaps empty. */
void target_exemplar(Target *t, const TargetKey *key, int64_t time_ms, double value, const uint8_t *labels, size_t n);
void target_end(Target *t);

/* What was ended is written, what is delivered is removed. */
int target_commit(Target *t) MUST_USE;

/* sender_step() */
MonoTime target_step(Target *t, MonoTime now, WallTime wall) MUST_USE;
Sender *target_sender(Target *t);
Queue *target_queue(Target *t);

typedef struct TargetStats {
        int64_t newest_in_ms;  /* INT64_MIN: none */
        uint64_t taken;        /* samples appended */
        uint64_t filtered;     /* dropped by write_relabel_configs */
        uint64_t refused;      /* not appended: labels that came out wrong, memory */
} TargetStats;
const TargetStats *target_stats(const Target *t);
