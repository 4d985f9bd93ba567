/* The whole store on a disk that fails, with clocks of its own, one random life after the other. The oracle knows each sample that
 * was ever sent and what is promised of it:
 *
 *   - what was durable is there, with equal bits, after whatever happens; what was not may be there
 *   - nothing is there that was not sent, of two samples of one instant the first stays
 *   - what was deleted stays deleted
 *   - rollups are those of the raw samples, when all is done
 *   - no crash is taken for damage, a file whose sync failed is not synced again, nothing is left over
 *
 * PARALLAX_SIM_SEEDS=N runs N seeds instead of the few that fit the tests; PARALLAX_SIM_FIRST=N begins at N, so that a failing one
 * (it is named) runs alone. */
#include "store_fix.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SERIES 12
#define HISTOGRAM_SERIES 2 /* the last ones */
#define RECORDS_MAX 4096
#define STEPS 90

typedef struct Record {
        int64_t time;
        uint64_t bits; /* of a histogram: its only content */
        uint64_t ticket; /* UINT64_MAX: of no request that was promised */
        bool durable;
        uint64_t flushes; /* there had been when it came */
        bool old;         /* of an earlier life, perhaps in a part */
} Record;

typedef struct Known {
        char name[48];
        bool counter, histogram;
        size_t n;
        Record records[RECORDS_MAX]; /* ascending */
} Known;

typedef struct World {
        Fix f;
        uint64_t seed, random;
        Known series[SERIES];
        /* A view held over changes, and what it has to show. */
        StoreView *view;
        StoreList *list;
        Known seen;
        size_t seen_of;
        uint64_t flushes; /* in this life */
        bool suspect;     /* a sync failed: the page cache may show what the disk does not have, also to the next process */
        uint64_t samples, lives;
} World;

#define CHECK(w, condition)                                                                          \
        do {                                                                                         \
                if (!(condition))                                                                    \
                        fail_msg("seed %" PRIu64 ": %s (line %d)", (w)->seed, #condition, __LINE__); \
        } while (0)

static uint64_t below(World *w, uint64_t n) {
        return sim_below(&w->random, n);
}

/* ---- The oracle ---- */

static size_t place_of(const Known *k, int64_t time) {
        size_t low = 0, high = k->n;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (k->records[middle].time < time)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static Record *find(Known *k, int64_t time) {
        size_t at = place_of(k, time);
        return at < k->n && k->records[at].time == time ? &k->records[at] : NULL;
}

/* Whether it may be in a part, where another of the same instant does not meet it. */
static bool may_be_in_part(const World *w, const Record *r) {
        return r->durable || r->old || w->flushes > r->flushes;
}

static Record *insert(World *w, Known *k, int64_t time, uint64_t bits) {
        size_t at = place_of(k, time);
        CHECK(w, k->n < RECORDS_MAX);
        memmove(&k->records[at + 1], &k->records[at], (k->n - at) * sizeof k->records[0]);
        k->n++;
        k->records[at] = (Record){ .time = time, .bits = bits, .ticket = UINT64_MAX, .flushes = w->flushes };
        return &k->records[at];
}

static void forget_between(Known *k, int64_t begin, int64_t end) {
        size_t kept = 0;
        for (size_t i = 0; i < k->n; i++)
                if (k->records[i].time <= begin || k->records[i].time > end)
                        k->records[kept++] = k->records[i];
        k->n = kept;
}

static void note_durable(World *w) {
        SeriesSink *s = store_sink(w->f.store);
        uint64_t durable = s->durable(s);
        StoreStats x;
        store_stats(w->f.store, &x);
        w->flushes = x.flushes;
        if (x.head_samples == 0) /* all of it is in parts */
                durable = UINT64_MAX;
        for (size_t i = 0; i < SERIES; i++)
                for (size_t k = 0; k < w->series[i].n; k++) {
                        Record *r = &w->series[i].records[k];
                        r->durable = r->durable || r->ticket <= durable;
                }
}

/* ---- Sending ---- */

static int64_t some_time(World *w) {
        int64_t now = w->f.wall_ms;
        switch (below(w, 8)) {
        case 0:
                return now - (int64_t)below(w, (uint64_t)DAY_MS * 2);
        case 1:
                return now - (int64_t)below(w, 3 * (uint64_t)HOUR_MS);
        case 2:
                return (now - 1) / DAY_MS * DAY_MS + (int64_t)below(w, 3) - 1; /* about midnight */
        case 3:
                return now / 300000 * 300000; /* a window's end */
        default:
                return now - (int64_t)below(w, 60000);
        }
}

static uint64_t some_bits(World *w, const Known *k) {
        if (below(w, 12) == 0)
                return STALE_BITS;
        if (k->counter)
                return bits_of((double)(w->f.wall_ms - FIX_EPOCH) / 1000 + (double)below(w, 50));
        switch (below(w, 6)) {
        case 0:
                return bits_of((double)sim_random(&w->random) / 3);
        case 1:
                return bits_of(-0.0);
        case 2:
                return bits_of((double)below(w, 1000) / 10);
        default:
                return bits_of((double)below(w, 100));
        }
}

static void send_floats(World *w, SeriesSink *s, SeriesRef ref, Known *k, int64_t *times, uint64_t *bits, size_t *n) {
        size_t want = below(w, 10) == 0 ? 1 + below(w, 40) : 1 + below(w, 3);
        int64_t t = some_time(w);
        *n = 0;
        for (size_t i = 0; i < want; i++, t += (int64_t)(below(w, 3) ? 1000 : below(w, 40000))) {
                size_t taken = 0;
                uint64_t b = some_bits(w, k);
                double v = double_of(b);
                Record *there = find(k, t);
                if (there && below(w, 2)) /* as a sender that repeats */
                        v = double_of(b = there->bits);
                SampleFault fault = s->floats(s, ref, &t, &v, 1, &taken);
                CHECK(w, fault == SAMPLE_OK || fault == SAMPLE_TOO_OLD || fault == SAMPLE_DUPLICATE || fault == SAMPLE_TOO_NEW);
                CHECK(w, taken == (fault == SAMPLE_OK));
                /* One that is in a part does not keep another from the head, which then stands in the way of the first. */
                if (fault == SAMPLE_DUPLICATE && !(there && (there->bits != b || may_be_in_part(w, there))))
                        fail_msg("seed %" PRIu64 ": %s at %" PRId64 " is no duplicate: %d", w->seed, k->name, t, there != NULL);
                CHECK(w, fault != SAMPLE_TOO_NEW || t > w->f.wall_ms);
                if (fault != SAMPLE_OK)
                        continue;
                if (!there)
                        (void)insert(w, k, t, b);
                else
                        CHECK(w, there->bits == b || may_be_in_part(w, there));
                w->samples++;
                times[*n] = t;
                bits[(*n)++] = b;
        }
}

static void send_histograms(World *w, SeriesSink *s, SeriesRef ref, Known *k, int64_t *times, uint64_t *bits, size_t *n) {
        int64_t t = some_time(w);
        uint64_t b = below(w, 1000);
        Record *there = find(k, t);
        SampleFault fault = s->histogram(s, ref, t, (const uint8_t *)&b, sizeof b);
        *n = 0;
        CHECK(w, fault == SAMPLE_OK || fault == SAMPLE_TOO_OLD || (fault == SAMPLE_DUPLICATE && there && (there->bits != b || may_be_in_part(w, there))));
        if (fault != SAMPLE_OK)
                return;
        if (!there)
                (void)insert(w, k, t, b);
        else
                CHECK(w, there->bits == b || may_be_in_part(w, there));
        times[*n] = t;
        bits[(*n)++] = b;
}

static void send_request(World *w) {
        SeriesSink *s = store_sink(w->f.store);
        int64_t times[SERIES][64];
        uint64_t bits[SERIES][64], ticket = 0;
        size_t n[SERIES] = { 0 };
        int r = s->begin(s, "sim");
        CHECK(w, r == 0 || r == -ENOSPC || r == -EROFS || r == -ENOBUFS);
        if (r < 0)
                return;
        for (size_t i = 0; i < SERIES; i++) {
                CLEANUP(buf_deinit) Buf run = BUF_NULL;
                Known *k = &w->series[i];
                SeriesRef ref;
                LabelsFault fault;
                if (below(w, 3) == 0)
                        continue;
                fix_run(k->name, &run);
                CHECK(w, s->series(s, (uint8_t *)run.data, run.len, &ref, &fault) == SAMPLE_OK);
                if (k->histogram)
                        send_histograms(w, s, ref, k, times[i], bits[i], &n[i]);
                else
                        send_floats(w, s, ref, k, times[i], bits[i], &n[i]);
        }
        r = s->end(s, &ticket);
        CHECK(w, r == 0 || r == -EROFS || r == -ENOBUFS);
        for (size_t i = 0; r == 0 && i < SERIES; i++)
                for (size_t k = 0; k < n[i]; k++) {
                        Record *record = find(&w->series[i], times[i][k]);
                        if (record->bits == bits[i][k] && ticket < record->ticket)
                                record->ticket = ticket;
                }
}

/* ---- Looking ---- */

/* Everything that the store has of a series is known; what must be there is. With `settle`, the oracle takes over what is
 * there, as after a start. */
static void check_series(World *w, Known *k, bool settle) {
        const int64_t *times;
        size_t n = k->histogram ? fix_read_histograms(&w->f, k->name) : fix_read_all(&w->f, k->name), at = 0, kept = 0;
        times = k->histogram ? w->f.histograms.times : w->f.samples.times;
        for (size_t i = 0; i < k->n; i++) {
                Record r = k->records[i];
                if (at < n && times[at] == r.time) {
                        uint64_t bits = k->histogram ? 0 : bits_of(w->f.samples.values[at]);
                        if (k->histogram)
                                memcpy(&bits, w->f.histograms.bytes.data + w->f.histograms.offsets[at], sizeof bits);
                        if (bits != r.bits)
                                fail_msg("seed %" PRIu64 ": %s at %" PRId64 ": %" PRIx64 ", not %" PRIx64, w->seed, k->name, r.time, bits, r.bits);
                        at++;
                        r.durable = r.durable || (settle && !w->suspect);
                        r.old = r.old || settle;
                        k->records[kept++] = r;
                        continue;
                }
                if (r.durable)
                        fail_msg("seed %" PRIu64 ": %s at %" PRId64 " is lost", w->seed, k->name, r.time);
                if (!settle)
                        fail_msg("seed %" PRIu64 ": %s at %" PRId64 " is not visible", w->seed, k->name, r.time);
        }
        if (at < n)
                fail_msg("seed %" PRIu64 ": %s at %" PRId64 " was never sent, or deleted", w->seed, k->name, times[at]);
        k->n = kept;
}

static void check_all(World *w, bool settle) {
        for (size_t i = 0; i < SERIES; i++)
                check_series(w, &w->series[i], settle);
        /* After a failed sync a power cut may take what a process has read since: that is damage. */
        if (w->f.events[STORE_EVENT_DAMAGE] && !w->suspect)
                fail_msg("seed %" PRIu64 ": taken for damage: %s", w->seed, w->f.event);
}

static void drop_view(World *w) {
        w->list = store_list_free(w->list);
        w->view = store_view_close(w->view);
}

static void hold_view(World *w) {
        static const StoreLimits LIMITS = { 1000, 1 << 24 };
        drop_view(w);
        if (store_view_open(w->f.store, &w->view) < 0)
                return;
        CHECK(w, store_select(w->view, STORE_RAW, NULL, 0, INT64_MIN, INT64_MAX, &LIMITS, &w->list) == 0);
        w->seen_of = below(w, SERIES - HISTOGRAM_SERIES);
        w->seen = w->series[w->seen_of];
}

/* What was there when the view was opened is there, and nothing that was never sent. */
static void check_view(World *w) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        CLEANUP(store_samples_deinit) StoreSamples x = { 0 };
        if (!w->view)
                return;
        fix_run(w->seen.name, &run);
        for (size_t i = 0; i < store_list_count(w->list); i++) {
                size_t len;
                const uint8_t *own = store_list_run(w->list, i, &len);
                if (len != run.len || memcmp(own, run.data, len) != 0)
                        continue;
                CHECK(w, store_list_floats(w->list, i, ROLLUP_LAST, &x) == 0);
        }
        size_t at = 0;
        for (size_t i = 0; i < w->seen.n; i++) {
                while (at < x.n && x.times[at] < w->seen.records[i].time)
                        at++;
                CHECK(w, at < x.n && x.times[at] == w->seen.records[i].time && bits_of(x.values[at]) == w->seen.records[i].bits);
        }
        for (size_t i = 1; i < x.n; i++)
                CHECK(w, x.times[i] > x.times[i - 1]);
}

/* ---- Lives and deaths ---- */

static void revive(World *w) {
        w->lives++;
        w->flushes = 0;
        fix_open(&w->f);
        check_all(w, true);
}

static void die(World *w) {
        drop_view(w);
        bool killed = vfs_sim_killed(w->f.sim);
        bool interval = w->f.options.ack == ACK_INTERVAL;
        uint64_t way = below(w, 3);
        StoreStats x;
        store_stats(w->f.store, &x);
        w->suspect = w->suspect || x.wal.failures;
        /* What was only written may be lost to a power cut, and to a sync that fails: that is what the mode says. */
        for (size_t i = 0; interval && (way == 2 || killed || x.wal.failures) && i < SERIES; i++)
                for (size_t k = 0; k < w->series[i].n; k++)
                        w->series[i].records[k].durable = w->series[i].records[k].durable && w->series[i].records[k].ticket == 0;
        vfs_sim_fail(w->f.sim, 0, 0, false, 0);
        vfs_sim_read_only(w->f.sim, false);
        vfs_sim_capacity(w->f.sim, 0);
        if (way == 0 && !killed) {
                fix_close(&w->f);
                vfs_sim_kill(w->f.sim);
        } else if (way == 1) {
                fix_kill(&w->f);
        } else {
                fix_power_cut(&w->f, sim_random(&w->random));
        }
        revive(w);
        /* Tickets begin anew. Zero: on the disk since a start. */
        for (size_t i = 0; i < SERIES; i++)
                for (size_t k = 0; k < w->series[i].n; k++)
                        w->series[i].records[k].ticket = w->series[i].records[k].durable ? 0 : UINT64_MAX;
        if (below(w, 4) == 0) {
                fix_power_cut(&w->f, sim_random(&w->random));
                revive(w);
        }
}

/* ---- Steps ---- */

static bool is_fault(int r) {
        return r == -EIO || r == -ENOSPC || r == -EROFS || r == -EDQUOT;
}

static void try_commit(World *w) {
        int r = store_commit(w->f.store);
        CHECK(w, r == 0 || is_fault(r));
        if (!vfs_sim_killed(w->f.sim))
                note_durable(w);
}

static void try_maintain(World *w) {
        for (int i = 0; i < 20; i++) {
                int r = store_maintain(w->f.store);
                CHECK(w, r >= 0 || is_fault(r));
                if (r <= 0)
                        break;
        }
        if (!vfs_sim_killed(w->f.sim))
                note_durable(w);
}

static void try_flush(World *w) {
        int r = store_flush(w->f.store, below(w, 3) == 0);
        CHECK(w, r == 0 || is_fault(r));
        if (!vfs_sim_killed(w->f.sim))
                note_durable(w);
}

static void heal(World *w) {
        vfs_sim_fail(w->f.sim, 0, 0, false, 0);
        vfs_sim_read_only(w->f.sim, false);
        vfs_sim_capacity(w->f.sim, 0);
        vfs_sim_kill_at(w->f.sim, 0, 0);
        fix_pass(&w->f, 15000);
}

static void try_delete(World *w) {
        static const char *const which[] = { "a=1", "a=~[12]", "__name__=~.*_total", "", "a!=1 b=y", "__name__=h0" };
        const char *matchers = which[below(w, ARRAY_LEN(which))];
        int64_t end = some_time(w), begin = below(w, 4) ? end - (int64_t)below(w, (uint64_t)DAY_MS) : INT64_MIN;
        int r = fix_delete(&w->f, matchers, begin, end);
        bool killed = vfs_sim_killed(w->f.sim);
        CHECK(w, r == 0 || is_fault(r));
        if (killed || r < 0) {
                /* Nobody knows; in the end it is done. */
                drop_view(w);
                heal(w);
                if (killed) {
                        StoreStats x;
                        store_stats(w->f.store, &x);
                        w->suspect = w->suspect || x.wal.failures;
                        fix_kill(&w->f);
                        fix_open(&w->f);
                        w->flushes = 0;
                }
                CHECK(w, store_commit(w->f.store) == 0); /* mends the log */
                CHECK(w, fix_delete(&w->f, matchers, begin, end) == 0);
        }
        for (size_t i = 0; i < SERIES; i++) {
                Known *k = &w->series[i];
                bool holds = strcmp(matchers, "") == 0 || (strcmp(matchers, "a=1") == 0 && strstr(k->name, "a=1")) ||
                             (strcmp(matchers, "a=~[12]") == 0 && (strstr(k->name, "a=1") || strstr(k->name, "a=2"))) ||
                             (strcmp(matchers, "__name__=~.*_total") == 0 && k->counter) ||
                             (strcmp(matchers, "a!=1 b=y") == 0 && !strstr(k->name, "a=1") && strstr(k->name, "b=y")) ||
                             (strcmp(matchers, "__name__=h0") == 0 && strncmp(k->name, "h0", 2) == 0);
                if (holds)
                        forget_between(k, begin, end);
        }
        if (killed)
                check_all(w, true);
        note_durable(w);
}

static void make_trouble(World *w) {
        static const int errors[] = { -EIO, -ENOSPC, -EROFS, -EDQUOT };
        static const uint32_t sets[] = { SIM_ALL & ~(SIM_SET(SIM_LOCK) | SIM_SET(SIM_MAP)), SIM_SYNCS, SIM_SET(SIM_APPEND), SIM_CHANGES,
                                         SIM_SET(SIM_RENAME), SIM_SET(SIM_UNLINK), SIM_SET(SIM_SYNC_DIRECTORY), SIM_SET(SIM_SYNC), SIM_SET(SIM_CREATE) };
        uint32_t set = sets[below(w, ARRAY_LEN(sets))];
        uint64_t nth = 1 + below(w, below(w, 2) ? 6 : 60);
        switch (below(w, 6)) {
        case 0:
        case 1:
                vfs_sim_kill_at(w->f.sim, set, nth);
                break;
        case 2:
                vfs_sim_read_only(w->f.sim, true);
                break;
        case 3:
                vfs_sim_capacity(w->f.sim, vfs_sim_bytes(w->f.sim) + below(w, 20000));
                break;
        default:
                vfs_sim_fail(w->f.sim, set, nth, below(w, 2), errors[below(w, ARRAY_LEN(errors))]);
        }
}

static void pass_time(World *w) {
        static const int64_t steps[] = { 1000, 15000, MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 5 * HOUR_MS, DAY_MS };
        fix_pass(&w->f, (int64_t)below(w, (uint64_t)steps[below(w, ARRAY_LEN(steps))]));
}

static void step(World *w) {
        uint64_t what = below(w, 100);
        if (what < 35)
                send_request(w);
        else if (what < 50)
                try_commit(w);
        else if (what < 65)
                try_maintain(w);
        else if (what < 70)
                try_flush(w);
        else if (what < 80)
                pass_time(w);
        else if (what < 84)
                make_trouble(w);
        else if (what < 88)
                heal(w);
        else if (what < 90)
                try_delete(w);
        else if (what < 93)
                hold_view(w);
        else if (what < 95)
                check_view(w);
        else if (what < 97)
                drop_view(w);
        else
                die(w);
        if (vfs_sim_killed(w->f.sim))
                die(w);
}

/* ---- When all is done ---- */

typedef struct Row {
        int64_t end;
        double count, sum, min, max, last, increase;
} Row;

static bool partition_is_rolled(int64_t time, int64_t newest) {
        int64_t end = (time - 1) / DAY_MS * DAY_MS + DAY_MS;
        return end < newest;
}

static size_t plain_rows(const Known *k, int64_t length, int64_t newest, Row *rows) {
        size_t n = 0;
        double before = NAN;
        int64_t before_at = INT64_MIN;
        for (size_t i = 0; i < k->n; i++) {
                int64_t t = k->records[i].time, end = (t + length - 1) / length * length, day = (t - 1) / DAY_MS * DAY_MS;
                double v = double_of(k->records[i].bits);
                if (k->records[i].bits == STALE_BITS)
                        continue;
                bool near = before_at != INT64_MIN && before_at > day - DAY_MS;
                double grown = k->counter && near && !isnan(before) ? v >= before ? v - before : v : 0;
                before = v;
                before_at = t;
                if (!partition_is_rolled(t, newest))
                        break;
                if (n == 0 || rows[n - 1].end != end)
                        rows[n++] = (Row){ .end = end, .min = v, .max = v };
                Row *r = &rows[n - 1];
                r->count++;
                r->sum += v;
                r->min = v < r->min || isnan(r->min) ? v : r->min;
                r->max = v > r->max || isnan(r->max) ? v : r->max;
                r->last = v;
                r->increase += grown;
        }
        return n;
}

/* Up to the last midnight before the newest: what is later may have been rolled up before what was newest then was deleted. */
static void check_rollups(World *w, const Known *k, int64_t newest) {
        static const int64_t LENGTH[] = { 0, 300000, HOUR_MS };
        int64_t until = (newest - 1) / DAY_MS * DAY_MS;
        static Row rows[RECORDS_MAX];
        for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++) {
                size_t n = plain_rows(k, LENGTH[tier], newest, rows);
                for (int c = 0; c < ROLLUP_COLUMN_COUNT; c++) {
                        bool of_gauge = c == ROLLUP_SUM || c == ROLLUP_MIN || c == ROLLUP_MAX;
                        size_t want = (k->counter ? !of_gauge : c != ROLLUP_INCREASE) ? n : 0;
                        size_t got = fix_read(&w->f, (StoreTier)tier, (RollupColumn)c, k->name, INT64_MIN, until);
                        for (size_t i = 0; i < want && i < got; i++) {
                                const double all[ROLLUP_COLUMN_COUNT] = { rows[i].count, rows[i].sum, rows[i].min, rows[i].max, rows[i].last, rows[i].increase };
                                if (w->f.samples.times[i] != rows[i].end || bits_of(w->f.samples.values[i]) != bits_of(all[c]))
                                        fail_msg("seed %" PRIu64 ": %s tier %d column %d: %g at %" PRId64 ", not %g at %" PRId64, w->seed, k->name, tier, c,
                                                 w->f.samples.values[i], w->f.samples.times[i], all[c], rows[i].end);
                        }
                        if (got != want)
                                fail_msg("seed %" PRIu64 ": %s tier %d column %d: %zu windows, not %zu", w->seed, k->name, tier, c, got, want);
                }
        }
}

static int64_t newest_of(const World *w) {
        int64_t newest = INT64_MIN;
        for (size_t i = 0; i < SERIES; i++)
                if (w->series[i].n && w->series[i].records[w->series[i].n - 1].time > newest)
                        newest = w->series[i].records[w->series[i].n - 1].time;
        return newest < w->f.wall_ms ? newest : w->f.wall_ms;
}

static void check_files(World *w) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        StoreStats x;
        store_stats(w->f.store, &x);
        uint32_t parts = 0, named = x.tier[0].parts + x.tier[1].parts + x.tier[2].parts;
        fix_files(&w->f, &names);
        for (const char *at = buf_cstr(&names); (at = strstr(at, ".part ")); at++)
                parts++;
        if (parts != named)
                fail_msg("seed %" PRIu64 ": %u parts, but the files are %s", w->seed, named, buf_cstr(&names));
        CHECK(w, strstr(buf_cstr(&names), ".tmp") == NULL);
        CHECK(w, x.tier[0].quarantined + x.tier[1].quarantined + x.tier[2].quarantined == 0);
        CHECK(w, x.lost_log == 0 || w->suspect);
}

/* No more faults: the store goes on by itself, brings everything in order, and it is right. */
static void finish(World *w) {
        heal(w);
        check_view(w);
        drop_view(w);
        int r = -1;
        for (int i = 0; i < 3 && r < 0; i++, fix_pass(&w->f, 15000))
                r = store_commit(w->f.store);
        CHECK(w, r == 0);
        note_durable(w);
        fix_settle(&w->f);
        fix_flush(&w->f, true);
        check_all(w, false);
        int64_t newest = newest_of(w);
        for (size_t i = 0; i < SERIES - HISTOGRAM_SERIES; i++)
                check_rollups(w, &w->series[i], newest);
        check_files(w);
        fix_close(&w->f);
        fix_open(&w->f);
        check_all(w, true);
        CHECK(w, store_verify(w->f.store) == 0);
        CHECK(w, vfs_sim_synced_again(w->f.sim) == 0);
}

static void begin_world(World *w, uint64_t seed) {
        w->seed = seed;
        w->random = seed ^ 0x5107e;
        w->view = NULL;
        w->list = NULL;
        w->flushes = 0;
        w->suspect = false;
        fix_init(&w->f, seed);
        w->f.wall_ms = FIX_EPOCH + (int64_t)below(w, 3 * (uint64_t)DAY_MS);
        w->f.options.ack = below(w, 4) ? ACK_SYNCED : ACK_INTERVAL;
        w->f.options.out_of_order = below(w, 2) ? SECONDS(2 * 3600) : SECONDS(3 * 86400);
        w->f.options.max_series = 100;
        for (size_t i = 0; i < SERIES; i++) {
                Known *k = &w->series[i];
                k->n = 0;
                k->counter = i % 3 == 0;
                k->histogram = i >= SERIES - HISTOGRAM_SERIES;
                (void)snprintf(k->name, sizeof k->name, "%s%zu%s{a=%zu,b=%s}", k->histogram ? "h" : "s", k->histogram ? i - (SERIES - HISTOGRAM_SERIES) : i,
                               k->counter && !k->histogram ? "_total" : "", i % 4, i % 2 ? "x" : "y");
                k->counter = k->counter && !k->histogram;
        }
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
        const char *text = getenv(name);
        return text ? strtoull(text, NULL, 10) : otherwise;
}

static void random_lives(void **state) {
        (void)state;
        static World w;
        uint64_t first = number_from("PARALLAX_SIM_FIRST", 0), n = number_from("PARALLAX_SIM_SEEDS", 300);
        for (uint64_t seed = first; seed < first + n; seed++) {
                begin_world(&w, seed);
                fix_open(&w.f);
                for (int i = 0; i < STEPS; i++)
                        step(&w);
                finish(&w);
                fix_deinit(&w.f);
        }
        print_message("%" PRIu64 " seeds, %" PRIu64 " starts, %" PRIu64 " samples\n", n, w.lives, w.samples);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(random_lives),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
