/* tests/golden/store-v1 is a store that a build of format version 1 wrote: parts of all tiers, one that is not merged yet, a deletion
 * that is not carried out yet, metadata, and a log. Every later build reads it exactly, and goes on with it.
 *
 * PARALLAX_GOLDEN_MAKE=/directory makes such a store there (the directory must not exist): for a new version of the format, beside the
 * old ones. */
#include "store_fix.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN TEST_SOURCE "/tests/golden/store-v1"
#define HOURS 60
#define SERIES 8
#define LATE 4 /* samples after the last flush */

static const char *const NAMES[SERIES] = { "a_total{i=0,uuid=u}", "b{i=1}", "c{i=2,job=x}", "d_total{i=3}", "e{i=4}", "odd{i=5}", "gone{i=6}", "f{i=7}" };

static int64_t time_of(int s, int i) {
        return FIX_EPOCH + i * HOUR_MS + s;
}

static double value_of(int s, int i) {
        static const uint64_t odd[] = { STALE_BITS, UINT64_C(0x8000000000000000), UINT64_C(0x7ff8000000000001), UINT64_C(0x7ff0000000000000), 1 };
        if (strstr(NAMES[s], "_total"))
                return i % 17 == 16 ? 3 : i * 60 + s;
        if (s == 5)
                return double_of(odd[i % 5]);
        return s == 1 ? i : s == 2 ? i * 0.1 : (double)((i * 7919) % 1000) / 3;
}

static void make(const char *path) {
        Fix f;
        char command[512];
        fix_init_directory(&f);
        fix_open(&f);
        for (int i = 0; i < HOURS; i++) {
                for (int s = 0; s < SERIES; s++)
                        assert_int_equal(fix_send(&f, NAMES[s], time_of(s, i), value_of(s, i)), SAMPLE_OK);
                assert_int_equal(fix_send_histogram(&f, "h{i=8}", time_of(8, i), &i, sizeof i), SAMPLE_OK);
                fix_pass(&f, HOUR_MS);
                fix_settle(&f);
        }
        SeriesSink *s = store_sink(f.store);
        uint64_t ticket;
        assert_int_equal(s->begin(s, "test"), 0);
        s->metadata(s, (Span){ "b", 1 }, METRIC_GAUGE, (Span){ "What b is.", 10 }, (Span){ "hours", 5 });
        assert_int_equal(s->end(s, &ticket), 0);
        assert_int_equal(store_commit(f.store), 0);
        fix_flush(&f, true);
        assert_int_equal(fix_delete(&f, "__name__=gone i!=7", INT64_MIN, INT64_MAX), 0);
        for (int i = HOURS; i < HOURS + LATE; i++) {
                for (int k = 0; k < SERIES; k++)
                        if (k != 6)
                                assert_int_equal(fix_send(&f, NAMES[k], time_of(k, i), value_of(k, i)), SAMPLE_OK);
                if (i == HOURS + LATE / 2)
                        fix_flush(&f, false);
                fix_pass(&f, HOUR_MS);
        }
        (void)snprintf(command, sizeof command, "cp -r %.60s %.150s && rm -f %.150s/lock", f.path, path, path);
        assert_int_equal(system(command), 0);
        fix_deinit(&f);
}

static void load(Fix *f) {
        DIR *d = opendir(GOLDEN);
        static uint8_t bytes[200000];
        assert_non_null(d);
        for (struct dirent *e; (e = readdir(d));) {
                char path[sizeof GOLDEN + 300];
                if (e->d_name[0] == '.')
                        continue;
                (void)snprintf(path, sizeof path, GOLDEN "/%s", e->d_name);
                FILE *file = fopen(path, "rb");
                assert_non_null(file);
                size_t n = fread(bytes, 1, sizeof bytes, file);
                assert_true(n < sizeof bytes);
                (void)fclose(file);
                vfs_sim_put(f->sim, e->d_name, bytes, n);
        }
        (void)closedir(d);
        f->wall_ms = FIX_EPOCH + (HOURS + LATE) * HOUR_MS;
}

static void check(Fix *f) {
        for (int s = 0; s < SERIES; s++) {
                size_t n = fix_read_all(f, NAMES[s]);
                assert_int_equal(n, s == 6 ? 0 : HOURS + LATE);
                for (size_t i = 0; i < n; i++) {
                        assert_int_equal(f->samples.times[i], time_of(s, (int)i));
                        assert_int_equal(bits_of(f->samples.values[i]), bits_of(value_of(s, (int)i)));
                }
        }
        assert_int_equal(fix_read_histograms(f, "h{i=8}"), HOURS);
        for (int i = 0; i < HOURS; i++) {
                int own;
                memcpy(&own, f->histograms.bytes.data + f->histograms.offsets[i], sizeof own);
                assert_int_equal(own, i);
                assert_int_equal(f->histograms.times[i], time_of(8, i));
        }
        /* Two whole days are rolled up, and the first instant, which belongs to the day before. */
        for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++) {
                int64_t length = tier == STORE_5M ? 300000 : HOUR_MS;
                size_t n = fix_read(f, (StoreTier)tier, ROLLUP_SUM, "b{i=1}", INT64_MIN, FIX_EPOCH + 2 * DAY_MS);
                assert_int_equal(n, 48);
                for (size_t i = 0; i < n; i++) {
                        assert_int_equal(f->samples.times[i], FIX_EPOCH + (int64_t)i * HOUR_MS + length);
                        assert_true(f->samples.values[i] == (double)i);
                }
                n = fix_read(f, (StoreTier)tier, ROLLUP_INCREASE, "a_total{i=0,uuid=u}", INT64_MIN, FIX_EPOCH + 2 * DAY_MS);
                assert_int_equal(n, 49);
                for (size_t i = 1; i < n; i++)
                        assert_true(f->samples.values[i] == (i % 17 == 16 ? 3 : i % 17 == 0 ? (double)i * 60 - 3 : 60));
                assert_int_equal(fix_count(f, (StoreTier)tier, "__name__=gone", INT64_MIN, INT64_MAX) == 0 ||
                                         fix_read(f, (StoreTier)tier, ROLLUP_LAST, "gone{i=6}", INT64_MIN, INT64_MAX) == 0, true);
        }
        CLEANUP(buf_deinit) Buf help = BUF_NULL, unit = BUF_NULL;
        MetricType type;
        assert_true(store_metadata(f->store, (Span){ "b", 1 }, &type, &help, &unit));
        assert_int_equal(type, METRIC_GAUGE);
        assert_string_equal(buf_cstr(&help), "What b is.");
        assert_string_equal(buf_cstr(&unit), "hours");
        assert_int_equal(f->events[STORE_EVENT_DAMAGE], 0);
}

static void read_only(void **state) {
        Fix f;
        (void)state;
        fix_init(&f, 1);
        load(&f);
        f.options.read_only = true;
        fix_open(&f);
        check(&f);
        assert_int_equal(store_verify(f.store), 0);
        fix_deinit(&f);
}

static void goes_on(void **state) {
        Fix f;
        (void)state;
        fix_init(&f, 1);
        load(&f);
        fix_open(&f);
        check(&f);
        fix_flush(&f, true);
        check(&f);
        fix_close(&f);
        fix_open(&f);
        check(&f);
        assert_int_equal(fix_count(&f, STORE_RAW, "__name__=gone", INT64_MIN, INT64_MAX), 0);
        assert_int_equal(store_verify(f.store), 0);
        fix_deinit(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(read_only),
                cmocka_unit_test(goes_on),
        };
        const char *path = getenv("PARALLAX_GOLDEN_MAKE");
        if (path) {
                make(path);
                return 0;
        }
        return cmocka_run_group_tests(tests, NULL, NULL);
}
