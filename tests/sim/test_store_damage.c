/* A small store with everything in it, each byte of each file of which is changed in turn; and files that are cut off, zeroed,
 * missing. What is damaged is named, or the change is harmless; no value is ever another one, and what is outside of the damaged file
 * stays.
 *
 * PARALLAX_FLIP_STEP=1 takes every byte; otherwise every few, so that it fits the tests. */
#include "store_fix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILES_MAX 64
#define SERIES 5

static const char *const NAMES[SERIES] = { "a_total{i=0,uuid=u}", "b{i=1}", "c{i=2,job=x}", "d_total{i=3}", "e{i=4}" };

typedef struct Image {
        char name[40];
        uint8_t *bytes;
        size_t n;
} Image;

/* What a reader should get. */
typedef struct Truth {
        StoreSamples raw[SERIES], rolled[STORE_TIER_COUNT][SERIES][ROLLUP_COLUMN_COUNT];
        StoreHistograms histograms;
} Truth;

typedef struct World {
        Image files[FILES_MAX];
        size_t n_files;
        Truth truth;
        int64_t wall_ms, mono_ns;
        uint64_t flips, refused, named, harmless;
} World;

static World world;

static uint64_t number_from(const char *name, uint64_t otherwise) {
        const char *text = getenv(name);
        return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- The store ---- */

static void fill(Fix *f) {
        uint64_t random = 3;
        for (int i = 0; i < 60; i++) {
                for (size_t s = 0; s < SERIES; s++) {
                        double v = strstr(NAMES[s], "_total") ? i * 5.0 + (double)sim_below(&random, 5) : (double)sim_below(&random, 1000) / 10;
                        assert_int_equal(fix_send(f, NAMES[s], f->wall_ms + (int64_t)s, v), SAMPLE_OK);
                }
                assert_int_equal(fix_send_histogram(f, "h{i=5}", f->wall_ms, &i, sizeof i), SAMPLE_OK);
                fix_pass(f, HOUR_MS);
                if (i % 5 == 4)
                        fix_settle(f);
        }
        SeriesSink *s = store_sink(f->store);
        uint64_t ticket;
        assert_int_equal(s->begin(s, "test"), 0);
        s->metadata(s, (Span){ "b", 1 }, METRIC_GAUGE, (Span){ "help", 4 }, (Span){ "unit", 4 });
        assert_int_equal(s->end(s, &ticket), 0);
        fix_flush(f, true);
        assert_int_equal(fix_delete(f, "__name__=e", FIX_EPOCH, FIX_EPOCH + 2 * HOUR_MS), 0);
        /* Some in a second part of the day, some in the log alone. */
        for (int i = 0; i < 6; i++) {
                for (size_t k = 0; k < SERIES; k++)
                        assert_int_equal(fix_send(f, NAMES[k], f->wall_ms + i, i), SAMPLE_OK);
                assert_int_equal(fix_send_histogram(f, "h{i=5}", f->wall_ms + i, &i, sizeof i), SAMPLE_OK);
                if (i == 2)
                        fix_flush(f, false);
        }
}

static void take_truth(Fix *f, Truth *t) {
        for (size_t s = 0; s < SERIES; s++) {
                (void)fix_read_all(f, NAMES[s]);
                t->raw[s] = f->samples;
                f->samples = (StoreSamples){ 0 };
                for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++)
                        for (int c = 0; c < ROLLUP_COLUMN_COUNT; c++) {
                                (void)fix_read(f, (StoreTier)tier, (RollupColumn)c, NAMES[s], INT64_MIN, INT64_MAX);
                                t->rolled[tier][s][c] = f->samples;
                                f->samples = (StoreSamples){ 0 };
                        }
        }
        (void)fix_read_histograms(f, "h{i=5}");
        t->histograms = f->histograms;
        f->histograms = (StoreHistograms){ 0 };
}

static void take_files(Fix *f, World *w) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        Vfs *v = vfs_sim_open(f->sim);
        fix_files(f, &names);
        char *rest = NULL;
        for (char *one = strtok_r((char *)(uintptr_t)buf_cstr(&names), " ", &rest); one; one = strtok_r(NULL, " ", &rest)) {
                VfsMap map;
                assert_true(w->n_files < FILES_MAX);
                Image *i = &w->files[w->n_files++];
                (void)snprintf(i->name, sizeof i->name, "%s", one);
                assert_int_equal(vfs_map(v, one, &map), 0);
                i->n = map.len;
                i->bytes = malloc(map.len + 1);
                memcpy(i->bytes, map.bytes, map.len);
                vfs_unmap(v, &map);
        }
        (void)vfs_free(v);
}

static int setup(void **state) {
        Fix f;
        (void)state;
        fix_init(&f, 1);
        fix_open(&f);
        fill(&f);
        vfs_sim_kill(f.sim); /* so that the log stays */
        fix_close(&f);
        take_files(&f, &world);
        world.wall_ms = f.wall_ms;
        world.mono_ns = f.mono_ns;
        f.options.read_only = true;
        fix_open(&f);
        take_truth(&f, &world.truth);
        fix_deinit(&f);
        size_t sum = 0;
        for (size_t i = 0; i < world.n_files; i++)
                sum += world.files[i].n;
        print_message("%zu files, %zu bytes\n", world.n_files, sum);
        return 0;
}

static int teardown(void **state) {
        (void)state;
        Truth *t = &world.truth;
        for (size_t s = 0; s < SERIES; s++) {
                store_samples_deinit(&t->raw[s]);
                for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++)
                        for (int c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                                store_samples_deinit(&t->rolled[tier][s][c]);
        }
        store_histograms_deinit(&t->histograms);
        for (size_t i = 0; i < world.n_files; i++)
                free(world.files[i].bytes);
        return 0;
}

/* ---- Looking at a damaged one ---- */

/* Every sample is one of the truth; the number of those that are missing. */
static size_t compare(const StoreSamples *got, const StoreSamples *want, const char *what) {
        size_t at = 0, found = 0;
        for (size_t i = 0; i < got->n; i++) {
                while (at < want->n && want->times[at] < got->times[i])
                        at++;
                if (at == want->n || want->times[at] != got->times[i] || bits_of(want->values[at]) != bits_of(got->values[i]))
                        fail_msg("%s: a wrong value: %g at %lld", what, got->values[i], (long long)got->times[i]);
                found++;
        }
        return want->n - found;
}

static size_t compare_histograms(const StoreHistograms *got, const StoreHistograms *want, const char *what) {
        size_t at = 0;
        for (size_t i = 0; i < got->n; i++) {
                while (at < want->n && want->times[at] < got->times[i])
                        at++;
                if (at == want->n || want->times[at] != got->times[i] ||
                    want->offsets[at + 1] - want->offsets[at] != got->offsets[i + 1] - got->offsets[i] ||
                    memcmp(want->bytes.data + want->offsets[at], got->bytes.data + got->offsets[i], got->offsets[i + 1] - got->offsets[i]) != 0)
                        fail_msg("%s: a wrong histogram", what);
        }
        return want->n - got->n;
}

/* What is wrong with a window that a later part replaces would be an older truth: none here, so all have to be equal. */
static size_t missing(Fix *f, const char *what) {
        const Truth *t = &world.truth;
        size_t lost = 0;
        for (size_t s = 0; s < SERIES; s++) {
                (void)fix_read_all(f, NAMES[s]);
                lost += compare(&f->samples, &t->raw[s], what);
                for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++)
                        for (int c = 0; c < ROLLUP_COLUMN_COUNT; c++) {
                                (void)fix_read(f, (StoreTier)tier, (RollupColumn)c, NAMES[s], INT64_MIN, INT64_MAX);
                                lost += compare(&f->samples, &t->rolled[tier][s][c], what);
                        }
        }
        (void)fix_read_histograms(f, "h{i=5}");
        return lost + compare_histograms(&f->histograms, &t->histograms, what);
}

static void restore(Fix *f) {
        fix_init(f, 1);
        f->wall_ms = world.wall_ms;
        f->mono_ns = world.mono_ns;
        for (size_t i = 0; i < world.n_files; i++)
                vfs_sim_put(f->sim, world.files[i].name, world.files[i].bytes, world.files[i].n);
}

/* Opens, reads, verifies. Something is said whenever something is missing. */
static void look(Fix *f, const char *what, bool must_be_found) {
        World *w = &world;
        int r = fix_try_open(f);
        if (r < 0) {
                if (r != -EBADMSG && r != -EPROTONOSUPPORT && r != -ENOENT)
                        fail_msg("%s: refused with %d", what, r);
                if (r != -ENOENT && f->damage.text[0] == '\0')
                        fail_msg("%s: refused without a name", what);
                w->refused++;
                f->store = NULL;
                return;
        }
        size_t lost = missing(f, what);
        unsigned said = f->events[STORE_EVENT_DAMAGE];
        /* The last commit of the log has no witness but itself: it looks like one that a crash interrupted. */
        if (lost > (size_t)(strncmp(what, "wal-", 4) == 0) && !said)
                fail_msg("%s: %zu samples are missing, and nobody says so", what, lost);
        int damaged = store_verify(f->store);
        if (damaged < 0 || (said == 0 && damaged == 0 && must_be_found))
                fail_msg("%s: not found (%d)", what, damaged);
        w->named += said || damaged;
        w->harmless += !said && !damaged;
}

/* And goes on: takes samples, merges, says nothing wrong. */
static void go_on(Fix *f, const char *what) {
        if (!f->store)
                return;
        SeriesSink *s = store_sink(f->store);
        (void)s;
        assert_int_equal(fix_send(f, "after", f->wall_ms, 1), SAMPLE_OK);
        int r = store_flush(f->store, true);
        if (r < 0)
                fail_msg("%s: cannot be flushed: %d", what, r);
        (void)missing(f, what);
        assert_int_equal(fix_read_all(f, "after"), 1);
}

/* ---- The tests ---- */

static void every_byte(void **state) {
        (void)state;
        uint64_t step = number_from("PARALLAX_FLIP_STEP", 11), random = 1;
        for (size_t i = 0; i < world.n_files; i++)
                for (uint64_t at = sim_below(&random, step); at < world.files[i].n; at += step) {
                        Fix f;
                        char what[100];
                        unsigned bit = (unsigned)sim_below(&random, 8);
                        (void)snprintf(what, sizeof what, "%s byte %llu bit %u", world.files[i].name, (unsigned long long)at, bit);
                        restore(&f);
                        assert_true(vfs_sim_flip(f.sim, world.files[i].name, at, bit));
                        look(&f, what, false);
                        if (sim_below(&random, 8) == 0)
                                go_on(&f, what);
                        fix_deinit(&f);
                        world.flips++;
                }
        print_message("%llu flips: %llu refused, %llu named, %llu harmless\n", (unsigned long long)world.flips, (unsigned long long)world.refused,
                      (unsigned long long)world.named, (unsigned long long)world.harmless);
        /* Few bytes mean nothing: padding, and what a torn end of the log would look like. */
        assert_true(world.harmless * 25 <= world.flips);
}

static void cut_off(void **state) {
        (void)state;
        for (size_t i = 0; i < world.n_files; i++)
                for (int eighth = 0; eighth < 8; eighth++) {
                        Fix f;
                        char what[100];
                        size_t n = world.files[i].n * (size_t)eighth / 8;
                        (void)snprintf(what, sizeof what, "%s cut to %zu", world.files[i].name, n);
                        restore(&f);
                        vfs_sim_put(f.sim, world.files[i].name, world.files[i].bytes, n);
                        /* A log that is cut off may be one that a crash cut off. */
                        if (strncmp(world.files[i].name, "wal-", 4) != 0) {
                                look(&f, what, true);
                                go_on(&f, what);
                        } else if (fix_try_open(&f) == 0) {
                                size_t lost = missing(&f, what);
                                (void)lost;
                                go_on(&f, what);
                        } else {
                                f.store = NULL;
                        }
                        fix_deinit(&f);
                }
}

static void zeroed(void **state) {
        (void)state;
        for (size_t i = 0; i < world.n_files; i++) {
                Fix f;
                char what[100];
                (void)snprintf(what, sizeof what, "%s zeroed", world.files[i].name);
                restore(&f);
                uint8_t *zeros = calloc(1, world.files[i].n + 1);
                vfs_sim_put(f.sim, world.files[i].name, zeros, world.files[i].n);
                free(zeros);
                if (strncmp(world.files[i].name, "wal-", 4) != 0)
                        look(&f, what, true);
                else if (fix_try_open(&f) < 0)
                        f.store = NULL;
                go_on(&f, what);
                fix_deinit(&f);
        }
}

/* One wrong byte of a column costs that column, also when its part is merged; the file stays for whoever wants to look. */
static void a_merge_keeps_what_is_good(void **state) {
        enum { N = 40 };
        (void)state;
        for (uint64_t offset = 64; offset < 700; offset += 23) {
                Fix f;
                CLEANUP(buf_deinit) Buf files = BUF_NULL;
                StoreStats x;
                size_t lost = 0;
                fix_init(&f, offset);
                f.options.out_of_order = SECONDS(86400);
                fix_open(&f);
                for (int part = 0; part < 2; part++) {
                        for (int i = 0; i < N; i++) {
                                char series[32];
                                (void)snprintf(series, sizeof series, "s{i=%02d}", i);
                                for (int k = 0; k < 5; k++) /* instants of its own */
                                        assert_int_equal(fix_send(&f, series, f.wall_ms + 1 + part * 60000 + k * 7000 + i, k * k * i + 0.5), SAMPLE_OK);
                        }
                        fix_flush(&f, false);
                }
                fix_close(&f);
                assert_true(vfs_sim_flip(f.sim, "raw-00000001.part", offset, (unsigned)offset % 8));
                fix_open(&f);
                fix_flush(&f, true);
                assert_true(f.events[STORE_EVENT_DAMAGE] == 1 && strstr(f.event, "raw-00000001.part"));
                for (int i = 0; i < N; i++) {
                        char series[32];
                        (void)snprintf(series, sizeof series, "s{i=%02d}", i);
                        size_t n = fix_read_all(&f, series);
                        if (n != 10 && n != 5)
                                fail_msg("offset %llu, series %d: %zu of 10; %s", (unsigned long long)offset, i, n, f.event);
                        lost += n == 5;
                }
                assert_int_equal(lost, 1);
                store_stats(f.store, &x);
                assert_int_equal(x.tier[STORE_RAW].quarantined, 1);
                fix_files(&f, &files);
                assert_non_null(strstr(buf_cstr(&files), "raw-00000001.part"));
                assert_int_equal(store_verify(f.store), 1);
                fix_deinit(&f);
        }
}

static void missing_files(void **state) {
        (void)state;
        for (size_t i = 0; i < world.n_files; i++) {
                Fix f;
                char what[100];
                (void)snprintf(what, sizeof what, "%s missing", world.files[i].name);
                fix_init(&f, 1);
                f.wall_ms = world.wall_ms;
                f.mono_ns = world.mono_ns;
                for (size_t k = 0; k < world.n_files; k++)
                        if (k != i)
                                vfs_sim_put(f.sim, world.files[k].name, world.files[k].bytes, world.files[k].n);
                bool last_of_log = strncmp(world.files[i].name, "wal-", 4) == 0, metadata = strcmp(world.files[i].name, "metadata") == 0;
                if (last_of_log) {
                        /* A log without its last segments looks like one whose last segments were never made. */
                        fix_open(&f);
                        (void)missing(&f, what);
                } else {
                        look(&f, what, !metadata);
                }
                go_on(&f, what);
                fix_deinit(&f);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_byte),
                cmocka_unit_test(cut_off),
                cmocka_unit_test(zeroed),
                cmocka_unit_test(missing_files), cmocka_unit_test(a_merge_keeps_what_is_good),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
