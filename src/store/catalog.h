/* The parts that are open, and what was deleted from them, as readers see it: an immutable set. A change makes a new
 * catalog; a view keeps the one it began with, and with it the files, also when they are removed meanwhile.
 *
 * Private to src/store. */
#pragma once

#include "store/manifest/manifest.h"

#include <stdatomic.h>

/* An open part; shared by the catalogs that have it. */
typedef struct OpenPart {
        atomic_uint references;
        atomic_bool damaged; /* something in it failed its checksum: said once */
        PartEntry entry;
        Part *part;
} OpenPart;

/* A tombstone whose matchers are ready to be used. */
typedef struct Grave {
        int64_t begin_ms, end_ms;
        uint64_t below_part;
        Matcher *matchers; /* texts belong to the grave's storage */
        size_t n_matchers;
        char *storage;
} Grave;

/* Up to where a deletion that ends at `end_ms` goes in a tier: a window that any of its samples may be in goes whole,
 * and comes back without them when there are raw samples to compute it from. */
int64_t deleted_end(StoreTier tier, int64_t end_ms);

typedef struct Catalog {
        atomic_uint references;
        OpenPart **parts; /* by tier, then by age: what was written first comes first */
        size_t n_parts;
        Grave *graves;
        size_t n_graves;
} Catalog;

int open_part_new(Vfs *vfs, const PartEntry *entry, OpenPart **ret_part, PartDamage *ret_damage) MUST_USE;
OpenPart *open_part_ref(OpenPart *p);
OpenPart *open_part_unref(OpenPart *p);

/* A catalog of what the manifest names and is not quarantined: parts are taken over from `before` where it has them,
 * opened otherwise. A part that cannot be opened is quarantined in the manifest, and `damaged` is called; one of
 * another version is -EPROTONOSUPPORT, named in ret_damage. */
int catalog_build(Vfs *vfs, Manifest *m, const Catalog *before, void (*damaged)(void *context, const char *text),
                  void *context, Catalog **ret_catalog, PartDamage *ret_damage) MUST_USE;
Catalog *catalog_ref(Catalog *c);
Catalog *catalog_unref(Catalog *c);

/* "name=value", "name!=value", "name=~value", "name!~value" into a matcher that borrows from the text; 0 or -EINVAL,
 * -ENOMEM. */
int matcher_from_text(const char *text, Matcher *ret_matcher) MUST_USE;
/* The other way. */
void matcher_to_text(const Matcher *m, Buf *out);
/* Whether all hold for a canonical run. */
bool matchers_hold(const Matcher *matchers, size_t n, const uint8_t *run, size_t len);
