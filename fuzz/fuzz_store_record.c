/* Any bytes as records of the log: each is a byte of type, two of length (little end first), and the payload. They are logged, replayed
 * into a store, read, flushed and read again: what is there is ascending, and the same from the head and from parts. */
#include "store/store.h"
#include "vfs_sim.h"

#include <assert.h>
#include <string.h>

#define RECORDS_MAX 64
#define DAYS_MAX 400 /* a part for each day: more would take too long */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const Uuid STORE = { { 0x50, 0x4c, 9 } };

static WallTime wall(void *context) {
        (void)context;
        return (WallTime){ INT64_C(1767225600) * NS_PER_SEC };
}

static MonoTime mono(void *context) {
        (void)context;
        return (MonoTime){ NS_PER_SEC };
}

static void make_store(VfsSim *sim, const uint8_t *bytes, size_t n) {
        Vfs *v = vfs_sim_open(sim);
        Manifest *m = NULL;
        Wal *w = NULL;
        WalOptions o = { .store = STORE, .segment_bytes = 1 << 20, .pending_bytes = 1 << 22, .next_segment = 1, .next_lsn = 1 };
        int r = manifest_new(STORE, 0, &m);
        assert(r == 0);
        m->wal_first = 1;
        r = manifest_save(v, m);
        assert(r == 0);
        r = wal_open(v, &o, &w);
        assert(r == 0);
        for (int i = 0; i < RECORDS_MAX && n >= 3; i++) {
                uint64_t lsn;
                size_t len = bytes[1] | (size_t)bytes[2] << 8;
                uint8_t type = bytes[0];
                bytes += 3;
                n -= 3;
                len = len < n ? len : n;
                r = wal_append(w, type, &(WalBytes){ bytes, len }, 1, &lsn);
                assert(r == 0);
                bytes += len;
                n -= len;
        }
        (void)wal_close(w);
        (void)manifest_free(m);
        (void)vfs_free(v);
}

/* A sum over everything that there is. */
static uint64_t read_all(Store *s) {
        static const StoreLimits LIMITS = { 100000, 1 << 26 };
        CLEANUP(store_samples_deinit) StoreSamples x = { 0 };
        CLEANUP(store_histograms_deinit) StoreHistograms h = { 0 };
        StoreView *v;
        StoreList *l;
        uint64_t sum = 0, bits;
        int r = store_view_open(s, &v);
        assert(r == 0);
        r = store_select(v, STORE_RAW, NULL, 0, INT64_MIN, INT64_MAX, &LIMITS, &l);
        assert(r == 0);
        for (size_t i = 0; i < store_list_count(l); i++) {
                r = store_list_floats(l, i, ROLLUP_LAST, &x);
                assert(r == 0);
                r = store_list_histograms(l, i, &h);
                assert(r == 0);
                for (size_t k = 0; k < x.n; k++) {
                        assert(k == 0 || x.times[k] > x.times[k - 1]);
                        memcpy(&bits, &x.values[k], sizeof bits);
                        sum += (bits ^ (uint64_t)x.times[k]) * (i + 1);
                }
                for (size_t k = 0; k < h.n; k++) {
                        assert(k == 0 || h.times[k] > h.times[k - 1]);
                        sum += (uint64_t)h.times[k] + h.offsets[k + 1];
                }
        }
        (void)store_list_free(l);
        (void)store_view_close(v);
        return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        VfsSim *sim = vfs_sim_new(1);
        StoreOptions o;
        PartDamage damage = { "" };
        Store *s = NULL;
        StoreStats x;
        make_store(sim, bytes, n);
        store_options_default(&o);
        o.wall = wall;
        o.mono = mono;
        o.max_series = 1000;
        o.floor_bytes = 0;
        int r = store_open(vfs_sim_open(sim), &o, NULL, NULL, &s, &damage);
        assert(r == 0 || r == -ENOMEM);
        if (r == 0) {
                store_stats(s, &x);
                uint64_t sum = read_all(s);
                if (x.head_samples && x.head_max_ms - x.head_min_ms < DAYS_MAX * INT64_C(86400000)) {
                        r = store_flush(s, false);
                        assert(r == 0);
                        assert(read_all(s) == sum);
                } else if (x.head_samples) {
                        vfs_sim_kill(sim); /* nothing is written when it is closed */
                }
                (void)store_close(s);
        }
        (void)vfs_sim_free(sim);
        return 0;
}
