/* The manifest: which files are the store. A file that it does not name is not part of it (a leftover of a crash); one
 * that it names and that is missing or damaged is data lost, and said so. It is replaced whole, atomically, so that a
 * merge or a deletion has either happened or not. The byte layout is the essay on top of manifest.c. */
#pragma once

#include "store/part/part.h"

#define MANIFEST_NAME "manifest"

/* A part as the store knows it. */
typedef struct PartEntry {
        PartMeta meta;
        uint32_t level;      /* 0: from the head; greater: merged so often */
        uint64_t age;        /* smallest id of the parts it was merged from (its own, at first): what came first */
        bool final;          /* merged to one, with CODEC_SMALL */
        bool rolled;         /* the tiers above have what is in it */
        bool quarantined;    /* damaged: kept, not read */
} PartEntry;

/* Samples that were deleted by request, from series that all matchers hold for. Text of each matcher as "name=value",
 * "name!=value", "name=~value", "name!~value". */
typedef struct Tombstone {
        int64_t begin_ms, end_ms; /* begin < t <= end */
        uint64_t below_part;      /* only in parts with ids below this one */
        char **matchers;
        size_t n_matchers;
} Tombstone;

typedef struct Manifest {
        Uuid store;
        int64_t created_ms;
        uint64_t next_id;     /* of parts */
        uint32_t wal_first;   /* first segment that is not yet in parts */
        PartEntry *parts;
        size_t n_parts;
        Tombstone *tombstones;
        size_t n_tombstones;
        int64_t rolled_ms[STORE_TIER_COUNT]; /* each rollup tier is complete up to here; INT64_MIN: nothing yet */
} Manifest;

/* A manifest for a new store. */
int manifest_new(Uuid store, int64_t now_ms, Manifest **ret_manifest) MUST_USE;
/* -ENOENT when there is none; -EBADMSG when damaged, -EPROTONOSUPPORT for another version (both named in
 * ret_damage). */
int manifest_load(Vfs *vfs, Manifest **ret_manifest, PartDamage *ret_damage) MUST_USE;
/* Durable when it returns 0. */
int manifest_save(Vfs *vfs, const Manifest *m) MUST_USE;
Manifest *manifest_free(Manifest *m);
static inline void manifest_freep(Manifest **m) {
        *m = manifest_free(*m);
}
Manifest *manifest_dup(const Manifest *m);
/* Name of a part's file, "raw-00000012.part", "5m-00000013.part". */
#define PART_NAME_MAX 40
void part_name(StoreTier tier, uint64_t id, char ret_name[PART_NAME_MAX]);
