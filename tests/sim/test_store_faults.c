/* One fixed life of a store, in which every call of the disk and every allocation fails in turn, once and for ever. Whatever
 * fails has a defined answer, what was acknowledged is there afterwards, nothing crashes or leaks (the sanitizers say so).
 *
 * PARALLAX_FAULT_STEP=1 fails each allocation; otherwise every few, so that it fits the tests. */
#include "malloc_fault.h"
#include "store/catalog.h"
#include "store/export.h"
#include "store_fix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SERIES 6
#define SAMPLES_MAX 2000

typedef struct Sent {
        uint8_t series;
        int64_t time;
        double value;
        bool acked;
        uint64_t ticket;
} Sent;

typedef struct World {
        Fix f;
        Buf runs[SERIES + 1]; /* the last is of histograms */
        Sent sent[SAMPLES_MAX];
        size_t n;
        bool delete_tried, deleted;
        Matcher matcher;
        const char *what; /* for messages */
        uint64_t nth;
        bool for_ever;
} World;

static const char *const NAMES[SERIES + 1] = { "a_total{i=0}", "b{i=1}", "c{i=2,uuid=x}", "d{i=3}", "e_total{i=4}", "gone{i=5}", "h{i=6}" };
#define GONE 5u

#define CHECK(w, condition)                                                                                                          \
        do {                                                                                                                         \
                if (!(condition))                                                                                                    \
                        fail_msg("%s %llu%s: %s (line %d)", (w)->what, (unsigned long long)(w)->nth, (w)->for_ever ? " for ever" : "", \
                                 #condition, __LINE__);                                                                              \
        } while (0)

static bool is_answer(int r) {
        return r == -EIO || r == -ENOSPC || r == -ENOMEM || r == -EROFS || r == -ENOBUFS;
}

static void begin_world(World *w, const char *what, uint64_t nth, bool for_ever) {
        memset(w, 0, sizeof *w);
        w->what = what;
        w->nth = nth;
        w->for_ever = for_ever;
        fix_init(&w->f, nth);
        w->f.options.max_series = 100;
        w->f.options.out_of_order = SECONDS(86400);
        for (size_t i = 0; i <= SERIES; i++)
                fix_run(NAMES[i], &w->runs[i]);
        assert_int_equal(matcher_from_text("__name__=gone", &w->matcher), 0);
}

static void end_world(World *w) {
        for (size_t i = 0; i <= SERIES; i++)
                buf_deinit(&w->runs[i]);
        matcher_deinit(&w->matcher);
        CHECK(w, vfs_sim_synced_again(w->f.sim) == 0);
        fix_deinit(&w->f);
}

static void note(World *w, size_t series, int64_t time, double value) {
        assert_true(w->n < SAMPLES_MAX);
        w->sent[w->n++] = (Sent){ (uint8_t)series, time, value, false, UINT64_MAX };
}

static void send(World *w, int round) {
        SeriesSink *s = store_sink(w->f.store);
        size_t first = w->n;
        uint64_t ticket = 0;
        int r = s->begin(s, "test");
        CHECK(w, r == 0 || is_answer(r));
        if (r < 0)
                return;
        for (size_t i = 0; i <= SERIES; i++) {
                SeriesRef ref;
                LabelsFault fault;
                size_t taken = 0;
                if (i == GONE && round > 20)
                        continue;
                SampleFault f = s->series(s, (uint8_t *)w->runs[i].data, w->runs[i].len, &ref, &fault);
                CHECK(w, f == SAMPLE_OK || f == SAMPLE_NO_MEMORY);
                if (f != SAMPLE_OK)
                        continue;
                for (int k = 0; k < 4; k++) {
                        int64_t t = w->f.wall_ms + k * 1000 - (k == 3 ? 3 * HOUR_MS : 0) + (int64_t)i;
                        double v = round * 10 + k + (double)i / 8;
                        if (i == SERIES)
                                f = s->histogram(s, ref, t, (const uint8_t *)&v, sizeof v);
                        else
                                f = s->floats(s, ref, &t, &v, 1, &taken);
                        CHECK(w, f == SAMPLE_OK || f == SAMPLE_NO_MEMORY);
                        if (f == SAMPLE_OK && i < SERIES)
                                note(w, i, t, v);
                }
        }
        s->metadata(s, (Span){ "b", 1 }, METRIC_GAUGE, (Span){ "help", 4 }, (Span){ "unit", (size_t)(round % 4) });
        r = s->end(s, &ticket);
        CHECK(w, r == 0 || is_answer(r));
        for (size_t i = first; r == 0 && i < w->n; i++)
                w->sent[i].ticket = ticket;
}

static void commit(World *w) {
        SeriesSink *s = store_sink(w->f.store);
        int r = store_commit(w->f.store);
        CHECK(w, r == 0 || is_answer(r));
        for (size_t i = 0; i < w->n; i++)
                w->sent[i].acked = w->sent[i].acked || w->sent[i].ticket <= s->durable(s);
}

static int ignore_text(void *context, const char *text, size_t n) {
        (void)context, (void)text, (void)n;
        return 0;
}

/* Reads this and that; what fails has an answer. */
static void look(World *w) {
        static const StoreLimits LIMITS = { 100, 1 << 20 };
        CLEANUP(buf_deinit) Buf names = BUF_NULL, values = BUF_NULL;
        CLEANUP(store_samples_deinit) StoreSamples x = { 0 };
        CLEANUP(store_histograms_deinit) StoreHistograms h = { 0 };
        StoreView *v;
        StoreList *l = NULL;
        bool cut;
        int r = store_view_open(w->f.store, &v);
        CHECK(w, r == 0 || is_answer(r));
        if (r < 0)
                return;
        r = store_select(v, STORE_RAW, NULL, 0, INT64_MIN, INT64_MAX, &LIMITS, &l);
        CHECK(w, r == 0 || is_answer(r));
        for (size_t i = 0; r == 0 && i < store_list_count(l); i++) {
                int e = store_list_floats(l, i, ROLLUP_LAST, &x);
                CHECK(w, e == 0 || is_answer(e));
                e = store_list_histograms(l, i, &h);
                CHECK(w, e == 0 || is_answer(e));
        }
        (void)store_list_free(l);
        r = store_label_names(v, NULL, 0, INT64_MIN, INT64_MAX, 100, &names, &cut);
        CHECK(w, r == 0 || is_answer(r));
        r = store_label_values(v, (Span){ "i", 1 }, &w->matcher, 1, INT64_MIN, INT64_MAX, 100, &values, &cut);
        CHECK(w, r == 0 || is_answer(r));
        (void)store_view_close(v);
        StoreExport what = { .tier = STORE_RAW, .column = ROLLUP_LAST, .begin_ms = INT64_MIN, .end_ms = INT64_MAX };
        int64_t n = store_export(w->f.store, &what, ignore_text, NULL);
        CHECK(w, n >= 0 || is_answer((int)n));
}

static void maintain(World *w) {
        for (int i = 0; i < 30; i++) {
                int r = store_maintain(w->f.store);
                CHECK(w, r >= 0 || is_answer(r));
                if (r <= 0)
                        break;
        }
}

/* Two and a half days, in which everything is done once. */
static void live(World *w) {
        int r = fix_try_open(&w->f);
        CHECK(w, r == 0 || is_answer(r));
        if (r < 0) {
                w->f.store = NULL;
                return;
        }
        for (int round = 0; round < 30; round++) {
                send(w, round);
                commit(w);
                if (round % 3 == 2)
                        maintain(w);
                if (round == 20) {
                        w->delete_tried = true;
                        r = store_delete(w->f.store, &w->matcher, 1, INT64_MIN, INT64_MAX);
                        CHECK(w, r == 0 || is_answer(r));
                        w->deleted = r == 0;
                }
                if (round == 10 || round == 25)
                        look(w);
                fix_pass(&w->f, 2 * HOUR_MS);
        }
        r = store_flush(w->f.store, true);
        CHECK(w, r == 0 || is_answer(r));
        r = store_rollup_again(w->f.store);
        CHECK(w, r == 0 || is_answer(r));
        /* Bad news about a file that is good is an answer as well, while reading fails. */
        r = store_verify(w->f.store);
        CHECK(w, r >= 0 || is_answer(r));
}

static void check_sent(World *w) {
        for (size_t series = 0; series < SERIES; series++) {
                size_t n = fix_read_all(&w->f, NAMES[series]), found = 0;
                for (size_t i = 0; i < w->n; i++) {
                        const Sent *x = &w->sent[i];
                        bool there = false;
                        if (x->series != series)
                                continue;
                        for (size_t k = 0; k < n && !there; k++)
                                if (w->f.samples.times[k] == x->time) {
                                        CHECK(w, w->f.samples.values[k] == x->value);
                                        there = true;
                                }
                        found += there;
                        CHECK(w, there || !x->acked || (series == GONE && w->delete_tried));
                        CHECK(w, !there || series != GONE || !w->deleted);
                }
                CHECK(w, found == n);
        }
}

/* The next process finds all that was acknowledged; and when the fault is over this one has gone on. */
static void check_after(World *w) {
        vfs_sim_fail(w->f.sim, 0, 0, false, 0);
        vfs_sim_read_only(w->f.sim, false);
        if (w->f.store && w->nth % 2) {
                fix_pass(&w->f, 60000);
                CHECK(w, store_commit(w->f.store) == 0);
                fix_settle(&w->f);
                send(w, 1000);
                commit(w);
                CHECK(w, w->sent[w->n - 1].acked);
                check_sent(w);
        }
        if (w->f.store)
                fix_power_cut(&w->f, w->nth);
        fix_open(&w->f);
        if (w->f.events[STORE_EVENT_DAMAGE] && strcmp(w->what, "allocation") != 0)
                fail_msg("%s %llu: %s", w->what, (unsigned long long)w->nth, w->f.event);
        check_sent(w);
        fix_pass(&w->f, 3 * HOUR_MS);
        fix_flush(&w->f, true);
        check_sent(w);
        CHECK(w, store_verify(w->f.store) == 0);
}

static void run_with_disk_fault(World *w, uint64_t nth, bool for_ever, int error) {
        begin_world(w, "call", nth, for_ever);
        vfs_sim_fail(w->f.sim, SIM_ALL, nth, for_ever, error);
        live(w);
        w->f.events[STORE_EVENT_DAMAGE] = 0; /* a verify that could not read */
        check_after(w);
        end_world(w);
}

static uint64_t step_from(uint64_t otherwise) {
        const char *text = getenv("PARALLAX_FAULT_STEP");
        return text ? strtoull(text, NULL, 10) : otherwise;
}

static World world;

static void every_call_of_the_disk_fails(void **state) {
        (void)state;
        begin_world(&world, "call", 0, false);
        live(&world);
        uint64_t n = vfs_sim_count(world.f.sim, SIM_ALL);
        check_sent(&world);
        end_world(&world);
        for (uint64_t i = 1; i <= n; i += step_from(3)) {
                run_with_disk_fault(&world, i, false, -EIO);
                run_with_disk_fault(&world, i, true, i % 2 ? -EIO : -ENOSPC);
                run_with_disk_fault(&world, i, false, i % 2 ? -ENOSPC : -EROFS);
        }
        print_message("%llu calls\n", (unsigned long long)n);
}

static uint64_t run_with_allocation_fault(World *w, uint64_t nth, bool for_ever) {
        begin_world(w, "allocation", nth, for_ever);
        malloc_fault_set(nth, for_ever);
        live(w);
        uint64_t n = malloc_fault_count();
        malloc_fault_set(0, false);
        check_after(w);
        end_world(w);
        return n;
}

static void every_allocation_fails(void **state) {
        (void)state;
        uint64_t n = run_with_allocation_fault(&world, UINT64_MAX, false);
        for (uint64_t i = 1; i <= n; i += step_from(61)) {
                (void)run_with_allocation_fault(&world, i, false);
                (void)run_with_allocation_fault(&world, i, true);
        }
        print_message("%llu allocations\n", (unsigned long long)n);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_call_of_the_disk_fails),
                cmocka_unit_test(every_allocation_fails),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
