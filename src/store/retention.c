/* What is deleted because it is old, or because there is no room. Age is measured from the newest data (but not beyond
 * the clock), so a clock that jumps ahead expires nothing until data comes with its time, and then at most one
 * partition an hour of each tier goes. The caps on bytes are held before parts are written: room is made first. The log
 * counts as raw data; it grows between flushes, and what it has grown over the cap is given back by whoever keeps the
 * store. */
#include "store/store_priv.h"

#define EXPIRE_EVERY SECONDS(3600)

static int drop_parts(Store *s, StoreTier tier, int64_t begin_ms, const char *why) {
        Manifest *next = manifest_dup(s->manifest);
        if (!next)
                return -ENOMEM;
        for (size_t i = s->manifest->n_parts; i-- > 0;) {
                const PartMeta *m = &s->manifest->parts[i].meta;
                char name[PART_NAME_MAX];
                if (m->tier != tier || m->begin_ms != begin_ms)
                        continue;
                part_name(tier, m->id, name);
                store_event(s, STORE_EVENT_RETENTION, true, "%s deleted: %s", name, why);
                manifest_drop(next, m->id);
                store_count(s, &s->stats.deletions, 1);
        }
        int r = keeper_commit(s, next, false);
        return r < 0 ? r : 1;
}

/* The partition of a tier that is oldest, by what it has. */
static const PartMeta *oldest(const Store *s, StoreTier tier) {
        const PartMeta *first = NULL;
        for (size_t i = 0; i < s->manifest->n_parts; i++) {
                const PartMeta *m = &s->manifest->parts[i].meta;
                if (m->tier == tier && (!first || m->begin_ms < first->begin_ms))
                        first = m;
        }
        return first;
}

int keeper_expire(Store *s) {
        MonoTime now = store_mono(s);
        if (mono_since(now, s->last_expiry).ns < EXPIRE_EVERY.ns)
                return 0;
        int64_t newest = store_newest(s);
        int done = 0;
        for (int tier = 0; tier < STORE_TIER_COUNT && done >= 0; tier++) {
                const PartMeta *m = oldest(s, (StoreTier)tier);
                /* A partition goes whole, when all of it is too old. */
                if (!m || m->end_ms >= newest - s->options.keep[tier].ns / NS_PER_MS)
                        continue;
                int r = drop_parts(s, (StoreTier)tier, m->begin_ms, "older than the retention");
                done = r < 0 ? r : 1;
        }
        if (done > 0)
                s->last_expiry = now;
        return done;
}

static uint64_t part_bytes(const Store *s, StoreTier tier) {
        uint64_t bytes = 0;
        for (size_t i = 0; i < s->manifest->n_parts; i++)
                if (s->manifest->parts[i].meta.tier == tier)
                        bytes += s->manifest->parts[i].meta.bytes;
        return bytes;
}

static uint64_t tier_bytes(const Store *s, StoreTier tier) {
        WalStats wal = { 0 };
        if (tier == STORE_RAW && s->wal)
                wal_stats(s->wal, &wal);
        return part_bytes(s, tier) + wal.disk_bytes;
}

int keeper_trim(Store *s) {
        for (int tier = 0; tier < STORE_TIER_COUNT; tier++) {
                const PartMeta *m = oldest(s, (StoreTier)tier);
                if (m && tier_bytes(s, (StoreTier)tier) > s->options.max_bytes[tier])
                        return drop_parts(s, (StoreTier)tier, m->begin_ms, "the tier is full");
        }
        return 0;
}

int keeper_make_room(Store *s, StoreTier tier, uint64_t more, int64_t before_ms) {
        uint64_t most = s->options.max_bytes[tier];
        while (tier_bytes(s, tier) + more > most) {
                const PartMeta *m = oldest(s, tier);
                if (more > most)
                        return -EFBIG;
                if (!m || m->begin_ms >= before_ms)
                        /* The log alone is too long: it can only be shortened by writing parts. */
                        return part_bytes(s, tier) + more > most ? -EFBIG : 0;
                int r = drop_parts(s, tier, m->begin_ms, "the tier is full");
                if (r < 0)
                        return r;
        }
        return 0;
}

int keeper_hold(Store *s, StoreTier tier, uint64_t *reserved, uint64_t need) {
        if (need <= *reserved)
                return 0;
        /* A little more at once, for what is not written yet and so that this is seldom asked; but no more than there
         * can be. */
        uint64_t more = need + need / 8 + 4096;
        int r = more <= s->options.max_bytes[tier] ? keeper_make_room(s, tier, more, INT64_MAX) : -EFBIG;
        if (r == -EFBIG)
                r = keeper_make_room(s, tier, more = need, INT64_MAX);
        if (r == 0)
                *reserved = more;
        return r;
}
