/* One writer, one committer, one keeper and two readers on one store, as in the daemon, with a clock that runs fast: for the thread
 * sanitizer (make race), and for what is durable being there in the end.
 *
 * PARALLAX_RACE_SECONDS=20 for longer than the tests have time for. */
#include "store_fix.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SERIES 200

typedef struct Race {
        Fix f;
        atomic_bool stop;
        _Atomic int64_t wall_ms;
        atomic_uint failures, reads, commits, keeps;
        Buf runs[SERIES];
        uint32_t sent[SERIES];
} Race;

static WallTime wall(void *context) {
        Race *r = context;
        return (WallTime){ r->wall_ms * NS_PER_MS };
}

static MonoTime mono(void *context) {
        Race *r = context;
        return (MonoTime){ r->wall_ms * NS_PER_MS };
}

static void send(Race *r, int64_t now) {
        SeriesSink *s = store_sink(r->f.store);
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        uint64_t ticket;
        SeriesRef ref;
        LabelsFault fault;
        size_t taken;
        char name[64];
        if (s->begin(s, "race") < 0)
                return;
        for (int i = 0; i < SERIES; i++) {
                double v = r->sent[i];
                if (s->series(s, (uint8_t *)r->runs[i].data, r->runs[i].len, &ref, &fault) != SAMPLE_OK)
                        continue;
                if (s->floats(s, ref, &now, &v, 1, &taken) == SAMPLE_OK)
                        r->sent[i]++;
                int64_t late = now - 1800000 + i;
                if (i % 50 == 7)
                        (void)s->floats(s, ref, &late, &v, 1, &taken);
        }
        (void)snprintf(name, sizeof name, "churn{uuid=%lld}", (long long)now);
        fix_run(name, &run);
        double one = 1;
        if (s->series(s, (uint8_t *)run.data, run.len, &ref, &fault) == SAMPLE_OK)
                (void)s->floats(s, ref, &now, &one, 1, &taken);
        s->metadata(s, (Span){ name, 20 }, METRIC_GAUGE, (Span){ "h", 1 }, (Span){ "", 0 });
        if (s->end(s, &ticket) < 0)
                r->failures++;
}

static void *write_all(void *context) {
        Race *r = context;
        while (!r->stop) {
                r->wall_ms += 15000;
                send(r, r->wall_ms);
                (void)usleep(200);
        }
        return NULL;
}

static void *commit_all(void *context) {
        Race *r = context;
        while (!r->stop) {
                if (store_commit_pending(r->f.store)) {
                        if (store_commit(r->f.store) < 0)
                                r->failures++;
                        r->commits++;
                }
                (void)usleep(500);
        }
        return NULL;
}

static void *keep_all(void *context) {
        Race *r = context;
        uint64_t random = 1;
        while (!r->stop) {
                int n = store_maintain(r->f.store);
                if (n < 0)
                        r->failures++;
                r->keeps += n > 0;
                if (sim_below(&random, 300) == 0) {
                        Matcher m;
                        if (matcher_init(&m, MATCH_EQUAL, (Span){ METRIC_NAME_LABEL, 8 }, (Span){ "churn", 5 }, NULL) < 0 ||
                            store_delete(r->f.store, &m, 1, INT64_MIN, INT64_MAX) < 0)
                                r->failures++;
                        matcher_deinit(&m);
                }
                if (n <= 0)
                        (void)usleep(1000);
        }
        return NULL;
}

/* Values of a series ascend with their instants, but for the late ones. */
static void read_once(Race *r, uint64_t *random) {
        static const StoreLimits LIMITS = { 100000, 1 << 26 };
        CLEANUP(store_samples_deinit) StoreSamples x = { 0 };
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        StoreView *v;
        StoreList *l = NULL;
        StoreStats stats;
        StoreTop top[5];
        bool cut;
        if (store_view_open(r->f.store, &v) < 0)
                return;
        StoreTier tier = (StoreTier)sim_below(random, STORE_TIER_COUNT);
        if (store_select(v, tier, NULL, 0, INT64_MIN, INT64_MAX, &LIMITS, &l) == 0)
                for (size_t i = 0; i < store_list_count(l); i += 1 + sim_below(random, 20)) {
                        if (store_list_floats(l, i, ROLLUP_LAST, &x) < 0)
                                r->failures++;
                        for (size_t k = 1; k < x.n; k++)
                                if (x.times[k] <= x.times[k - 1])
                                        r->failures++;
                }
        (void)store_list_free(l);
        if (store_label_names(v, NULL, 0, INT64_MIN, INT64_MAX, 100, &names, &cut) < 0)
                r->failures++;
        (void)store_view_close(v);
        store_stats(r->f.store, &stats);
        (void)store_top(r->f.store, STORE_TOP_METRICS, top, 5);
        r->reads++;
}

static void *read_all(void *context) {
        Race *r = context;
        uint64_t random = (uint64_t)(uintptr_t)&r;
        while (!r->stop) {
                read_once(r, &random);
                (void)usleep(2000);
        }
        return NULL;
}

static void check_end(Race *r) {
        assert_int_equal(store_commit(r->f.store), 0);
        for (int round = 0; round < 2; round++) {
                for (int i = 0; i < SERIES; i += 7) {
                        char name[32];
                        (void)snprintf(name, sizeof name, "race{i=%d}", i);
                        size_t n = fix_read_all(&r->f, name);
                        assert_true(n >= r->sent[i]);
                        assert_true(r->f.samples.values[n - 1] == r->sent[i] - 1.0);
                }
                fix_close(&r->f);
                fix_open(&r->f);
        }
}

static void together(void **state) {
        (void)state;
        static Race r;
        static void *(*const roles[])(void *) = { write_all, commit_all, keep_all, read_all, read_all };
        pthread_t threads[ARRAY_LEN(roles)];
        const char *text = getenv("PARALLAX_RACE_SECONDS");
        fix_init_directory(&r.f);
        r.wall_ms = FIX_EPOCH;
        r.f.options.wall = wall;
        r.f.options.mono = mono;
        r.f.options.clock_context = &r;
        r.f.options.max_series_vm = 10000;
        for (int i = 0; i < SERIES; i++) {
                char name[32];
                (void)snprintf(name, sizeof name, "race{i=%d}", i);
                fix_run(name, &r.runs[i]);
        }
        fix_open(&r.f);
        for (size_t i = 0; i < ARRAY_LEN(roles); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, roles[i], &r), 0);
        (void)usleep((useconds_t)((text ? atof(text) : 3) * 1e6));
        r.stop = true;
        for (size_t i = 0; i < ARRAY_LEN(roles); i++)
                (void)pthread_join(threads[i], NULL);
        print_message("%u samples a series, %u commits, %u works of keeping, %u reads\n", r.sent[0], (unsigned)r.commits, (unsigned)r.keeps, (unsigned)r.reads);
        assert_int_equal(r.failures, 0);
        assert_int_equal(r.f.events[STORE_EVENT_DAMAGE], 0);
        check_end(&r);
        for (int i = 0; i < SERIES; i++)
                buf_deinit(&r.runs[i]);
        fix_deinit(&r.f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(together),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
