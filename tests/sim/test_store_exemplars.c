/* Exemplars: the latest are kept, in order, within their bounds; a model that keeps everything says which those are. */
#include "store/exemplars.h"

#include "store/catalog.h"
#include "store_fix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static ExemplarAnswer add(Exemplars *x, const char *series, const char *labels, double value, int64_t time) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL, own = BUF_NULL;
        fix_run(series, &run);
        if (*labels)
                fix_run(labels, &own);
        return exemplars_add(x, (const uint8_t *)run.data, run.len, (const uint8_t *)own.data, own.len, value, time);
}

/* As the query's answer: one line each. */
static void read_all(Fix *f, const char *matchers, int64_t begin_ms, int64_t end_ms, Buf *out) {
        CLEANUP(store_exemplars_deinit) StoreExemplars x = { 0 };
        Matcher m;
        bool any = *matchers;
        assert_true(!any || matcher_from_text(matchers, &m) == 0);
        assert_int_equal(store_exemplars(f->store, &(StoreSelector){ &m, any }, 1, begin_ms, end_ms, &x), 0);
        buf_reset(out);
        for (size_t i = 0; i < x.n; i++) {
                labels_print((const uint8_t *)x.list[i].run.text, x.list[i].run.len, out);
                buf_put_char(out, ' ');
                labels_print((const uint8_t *)x.list[i].labels.text, x.list[i].labels.len, out);
                buf_printf(out, " %g %lld\n", x.list[i].value, (long long)(x.list[i].time_ms - FIX_EPOCH));
        }
        (void)buf_cstr(out);
        if (any)
                matcher_deinit(&m);
}

static bool send(Fix *f, const char *series, const char *labels, double value, int64_t time) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL, own = BUF_NULL;
        SeriesSink *s = store_sink(f->store);
        SeriesRef ref;
        LabelsFault fault;
        uint64_t ticket;
        fix_run(series, &run);
        fix_run(labels, &own);
        assert_int_equal(s->begin(s, "test"), 0);
        assert_int_equal(s->series(s, (const uint8_t *)run.data, run.len, &ref, &fault), SAMPLE_OK);
        bool taken = s->exemplar(s, ref, (const uint8_t *)own.data, own.len, value, time);
        assert_int_equal(s->end(s, &ticket), 0);
        return taken;
}

static void through_the_store(void **state) {
        Fix *f = *state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        fix_open(f);
        int64_t t = FIX_EPOCH;
        assert_true(send(f, "b_bucket{le=1,uuid=u}", "{trace=two}", 0.5, t + 2));
        assert_true(send(f, "a_total{uuid=u}", "{trace=one}", 1, t + 1));
        assert_true(send(f, "a_total{uuid=u}", "{trace=three}", 3, t + 3));
        assert_true(send(f, "a_total{uuid=u}", "{trace=three}", 3, t + 3));  /* again */
        assert_false(send(f, "a_total{uuid=u}", "{trace=none}", 3, t + 2)); /* older */
        assert_false(send(f, "a_total{uuid=u}", "{trace=none}", 2, t + 3)); /* of the same time, and less */
        assert_false(send(f, "a_total{uuid=u}", "{trace=none}", 9, t + DAY_MS * 400)); /* not a time of ours */
        read_all(f, "", INT64_MIN, INT64_MAX, &out);
        assert_string_equal(out.data, "a_total{uuid=\"u\"} {trace=\"one\"} 1 1\n"
                                      "a_total{uuid=\"u\"} {trace=\"three\"} 3 3\n"
                                      "b_bucket{le=\"1\", uuid=\"u\"} {trace=\"two\"} 0.5 2\n");
        read_all(f, "le=~.+", INT64_MIN, INT64_MAX, &out);
        assert_string_equal(out.data, "b_bucket{le=\"1\", uuid=\"u\"} {trace=\"two\"} 0.5 2\n");
        read_all(f, "", t + 1, t + 2, &out); /* both included */
        assert_string_equal(out.data, "a_total{uuid=\"u\"} {trace=\"one\"} 1 1\nb_bucket{le=\"1\", uuid=\"u\"} {trace=\"two\"} 0.5 2\n");
        StoreStats stats;
        store_stats(f->store, &stats);
        assert_int_equal(stats.exemplars, 3);
        assert_int_equal(fix_delete(f, "uuid=u", t, t + 2), 0);
        read_all(f, "", INT64_MIN, INT64_MAX, &out);
        assert_string_equal(out.data, "a_total{uuid=\"u\"} {trace=\"three\"} 3 3\n");
        assert_int_equal(fix_delete(f, "uuid=u", INT64_MIN, INT64_MAX), 0);
        read_all(f, "", INT64_MIN, INT64_MAX, &out);
        assert_int_equal(out.len, 0);
        assert_true(send(f, "a_total{uuid=u}", "{trace=four}", 1, t + 1)); /* a new history */
        read_all(f, "", INT64_MIN, INT64_MAX, &out);
        assert_true(out.len > 0);
        fix_close(f);
        fix_open(f); /* forgotten */
        read_all(f, "", INT64_MIN, INT64_MAX, &out);
        assert_int_equal(out.len, 0);
}

static void none_are_kept(void **state) {
        Fix *f = *state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        f->options.max_exemplars = 0;
        fix_open(f);
        assert_false(send(f, "a_total", "{trace=one}", 1, FIX_EPOCH));
        read_all(f, "", INT64_MIN, INT64_MAX, &out);
        assert_int_equal(out.len, 0);
}

/* Any selector will do. */
static void several_selectors(void **state) {
        Fix *f = *state;
        CLEANUP(store_exemplars_deinit) StoreExemplars x = { 0 };
        Matcher a, b;
        fix_open(f);
        for (int i = 0; i < 3; i++)
                assert_true(send(f, i == 0 ? "c" : i == 1 ? "b" : "a", "{trace=t}", i, FIX_EPOCH));
        assert_true(matcher_from_text("__name__=a", &a) == 0 && matcher_from_text("__name__=c", &b) == 0);
        const StoreSelector any[] = { { &a, 1 }, { &b, 1 }, { (Matcher[]){ a, b }, 2 } };
        assert_int_equal(store_exemplars(f->store, any, ARRAY_LEN(any), INT64_MIN, INT64_MAX, &x), 0);
        assert_true(x.n == 2 && x.list[0].value == 2 && x.list[1].value == 0);
        store_exemplars_deinit(&x);
        assert_int_equal(store_exemplars(f->store, NULL, 0, INT64_MIN, INT64_MAX, &x), 0);
        assert_int_equal(x.n, 0);
        matcher_deinit(&a);
        matcher_deinit(&b);
}

static void long_labels(void **state) {
        CLEANUP(exemplars_deinit) Exemplars x;
        char text[200];
        (void)state;
        exemplars_init(&x, 4);
        (void)snprintf(text, sizeof text, "{ab=%0126d}", 0);
        assert_int_equal(add(&x, "m", text, 1, 1), EXEMPLAR_TAKEN);
        (void)snprintf(text, sizeof text, "{ab=%0127d}", 0);
        assert_int_equal(add(&x, "m", text, 1, 2), EXEMPLAR_LONG);
        assert_int_equal(add(&x, "m", "", 1, 3), EXEMPLAR_TAKEN); /* without any */
        assert_int_equal(add(&x, "m", "", 1, 3), EXEMPLAR_SAME);
        assert_int_equal(add(&x, "m", "{a=b}", 1, 3), EXEMPLAR_TAKEN);
}

/* Runs as long as may be: bytes bound the ring before the number does. */
static void bytes_are_bounded(void **state) {
        CLEANUP(exemplars_deinit) Exemplars x;
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        static char value[4001];
        (void)state;
        exemplars_init(&x, 100);
        memset(value, 'v', sizeof value - 1);
        for (int i = 0; i < 1000; i++) {
                char name[16];
                (void)snprintf(name, sizeof name, "m%d", i);
                Label labels[] = { { { "__name__", 8 }, { name, strlen(name) } }, { { "l", 1 }, { value, 4000 } } };
                buf_reset(&run);
                assert_int_equal(labels_build(labels, 2, &run), LABELS_OK);
                assert_int_equal(exemplars_add(&x, (uint8_t *)run.data, run.len, NULL, 0, 1, i), EXEMPLAR_TAKEN);
                assert_true(x.bytes <= 100 * EXEMPLAR_BYTES && x.n <= 100);
        }
        assert_true(x.n == 12 && x.slots[x.first].time_ms == 988);
        exemplars_deinit(&x);
        exemplars_init(&x, 1); /* it never fits */
        assert_int_equal(exemplars_add(&x, (uint8_t *)run.data, run.len, NULL, 0, 1, 1), EXEMPLAR_NO_ROOM);
}

/* ---- Against a model ---- */

enum { ROUNDS = 20000, SERIES = 40, MOST = 64 };

typedef struct Kept {
        unsigned series;
        int64_t time;
        bool gone;
} Kept;

/* What the ring has of each series is what the last MOST additions that were not deleted say. */
static void check_model(const Exemplars *x, const Kept *all, size_t n) {
        size_t first = n > MOST ? n - MOST : 0, found = 0;
        for (uint32_t i = 0; i < x->n_series; i++) {
                const ExemplarSeries *s = &x->series[i];
                Span name;
                size_t at = first;
                if (!s->run)
                        continue;
                assert_true(labels_get(s->run, s->run_len, METRIC_NAME_LABEL, &name));
                unsigned number = (unsigned)strtoul(name.text + 1, NULL, 10);
                for (uint32_t k = s->oldest; k != EXEMPLAR_NONE; k = x->slots[k].next, at++, found++) {
                        while (at < n && (all[at].series != number || all[at].gone))
                                at++;
                        assert_true(at < n && x->slots[k].time_ms == all[at].time && x->slots[k].series == i);
                        assert_true(x->slots[k].next != EXEMPLAR_NONE || s->newest == k);
                }
        }
        size_t expected = 0;
        for (size_t at = first; at < n; at++)
                expected += !all[at].gone;
        assert_int_equal(found, expected);
}

static void model(void **state) {
        CLEANUP(exemplars_deinit) Exemplars x;
        CLEANUP_FREE Kept *all = calloc(ROUNDS, sizeof *all);
        uint64_t seed = 5;
        size_t n = 0;
        (void)state;
        assert_non_null(all);
        exemplars_init(&x, MOST);
        for (int64_t round = 0; round < ROUNDS; round++) {
                char series[32];
                seed = seed * UINT64_C(6364136223846793005) + 1;
                unsigned number = (unsigned)(seed >> 40) % SERIES;
                (void)snprintf(series, sizeof series, "m%u{pad=%0*u}", number, (int)(number % 9 + 1), number);
                if (seed >> 33 & 31) {
                        assert_int_equal(add(&x, series, "{t=x}", 1, round), EXEMPLAR_TAKEN);
                        all[n++] = (Kept){ number, round, false };
                } else {
                        Matcher m;
                        (void)snprintf(series, sizeof series, "__name__=m%u", number);
                        assert_int_equal(matcher_from_text(series, &m), 0);
                        exemplars_delete(&x, &m, 1, round - 200, round - 20);
                        matcher_deinit(&m);
                        for (size_t i = 0; i < n; i++)
                                all[i].gone |= all[i].series == number && all[i].time > round - 200 && all[i].time <= round - 20;
                }
                if (round % 16 == 0)
                        check_model(&x, all, n);
        }
        check_model(&x, all, n);
}

static int setup(void **state) {
        static Fix f;
        fix_init(&f, 1);
        *state = &f;
        return 0;
}

static int teardown(void **state) {
        fix_deinit(*state);
        return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(through_the_store),       TEST(none_are_kept),           TEST(several_selectors),
                cmocka_unit_test(long_labels), cmocka_unit_test(bytes_are_bounded), cmocka_unit_test(model),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
