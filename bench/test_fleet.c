/* The generator keeps its promises: the same options the same bytes, values that do not depend on the shape of the requests,
 * classes by their shares, labels in order; and a stream reads back as what was written. */
#include "fleet/fleet.h"
#include "rw/ledger.h"
#include "rw/stream.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define STEP_MS 10000
#define BEGIN_MS INT64_C(1750000000000)

static FleetOptions options(uint32_t series) {
        return (FleetOptions){ .seed = 1, .series = series, .begin_ms = BEGIN_MS, .step_ms = STEP_MS };
}

/* The ledger's text of `steps` steps computed in windows of `window`. */
static void ledger_text(const FleetOptions *o, uint32_t steps, uint32_t window, Buf *ret_text) {
        CLEANUP(fleet_freep) Fleet *f = fleet_new(o);
        CLEANUP(ledger_freep) Ledger *l = ledger_new();
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        for (uint32_t at = 0; at < steps; at += window) {
                fleet_window(f, window);
                for (uint32_t s = 0; s < fleet_count(f); s++) {
                        double values[FLEET_WINDOW];
                        fleet_values(f, s, values);
                        for (uint32_t i = 0; i < window; i++) {
                                if (fleet_presence(f, s, i) == FLEET_ABSENT)
                                        continue;
                                buf_reset(&run);
                                fleet_labels(f, s, fleet_incarnation(f, s, i), &run);
                                ledger_add(l, ledger_series(l, run.data, run.len), fleet_time(f, s, i), values[i]);
                        }
                }
        }
        char path[] = "/tmp/test_fleet.XXXXXX";
        CLEANUP_FD int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(ledger_write(l, path), 0);
        assert_int_equal(buf_read_file(ret_text, AT_FDCWD, path, 64 << 20), 0);
        assert_int_equal(unlink(path), 0);
}

static void values_do_not_depend_on_the_shape(void **state) {
        CLEANUP(buf_deinit) Buf day = BUF_NULL;
        CLEANUP(buf_deinit) Buf live = BUF_NULL;
        CLEANUP(buf_deinit) Buf other = BUF_NULL;
        FleetOptions o = options(300);
        ledger_text(&o, 1200, 60, &day);
        ledger_text(&o, 1200, 1, &live);
        assert_true(day.len > 300 * 60);
        assert_int_equal(day.len, live.len);
        assert_memory_equal(day.data, live.data, day.len);
        o.seed = 2;
        ledger_text(&o, 1200, 60, &other);
        assert_true(other.len != day.len || memcmp(other.data, day.data, day.len) != 0);
}

static void machines_restart_and_are_replaced(void **state) {
        FleetOptions o = options(14207);
        CLEANUP(fleet_freep) Fleet *f = fleet_new(&o);
        uint32_t stale = 0, absent = 0, replaced = 0;
        for (uint32_t at = 0; at < 8640; at += FLEET_WINDOW) {
                fleet_window(f, FLEET_WINDOW);
                for (uint32_t s = 0; s < fleet_count(f); s++)
                        for (uint32_t i = 0; i < FLEET_WINDOW && fleet_class(f, s) == CLASS_FULL_DOUBLE; i++) { /* one a machine */
                                stale += fleet_presence(f, s, i) == FLEET_STALE;
                                absent += fleet_presence(f, s, i) == FLEET_ABSENT;
                        }
        }
        for (uint32_t s = 0; s < fleet_count(f); s++)
                replaced += fleet_class(f, s) == CLASS_FULL_DOUBLE && fleet_incarnation(f, s, FLEET_WINDOW - 1) > 0;
        assert_in_range(stale, 10, 80);
        assert_in_range(absent, stale, 9 * stale);
        assert_in_range(replaced, 1, stale);
}

static void classes_have_their_shares(void **state) {
        static const double shares[CLASS_COUNT] = { 0.26, 0.18, 0.09, 0.27, 0.07, 0.12, 0.014 };
        FleetOptions o = options(14207);
        CLEANUP(fleet_freep) Fleet *f = fleet_new(&o);
        double have[CLASS_COUNT] = { 0 };
        assert_int_equal(fleet_count(f), 14207);
        for (uint32_t s = 0; s < fleet_count(f); s++)
                have[fleet_class(f, s)] += 1.0 / 14207;
        for (FleetClass c = 0; c < CLASS_COUNT; c++)
                assert_true(fabs(have[c] - shares[c]) < 0.012);
}

static void numbers_are_of_their_class(void **state) {
        FleetOptions o = options(2000);
        CLEANUP(fleet_freep) Fleet *f = fleet_new(&o);
        fleet_window(f, FLEET_WINDOW);
        for (uint32_t s = 0; s < fleet_count(f); s++) {
                double values[FLEET_WINDOW];
                fleet_values(f, s, values);
                for (uint32_t i = 0; i < FLEET_WINDOW; i++) {
                        double v = values[i];
                        assert_true(fleet_presence(f, s, i) != FLEET_PRESENT || v >= 0);
                        if (fleet_presence(f, s, i) != FLEET_PRESENT)
                                continue;
                        char text[64];
                        switch (fleet_class(f, s)) {
                        case CLASS_NS_COUNTER:
                                (void)snprintf(text, sizeof text, "%.9f", v);
                                assert_true(strtod(text, NULL) == v);
                                break;
                        case CLASS_CENTI_GAUGE:
                                (void)snprintf(text, sizeof text, "%.2f", v);
                                assert_true(strtod(text, NULL) == v);
                                break;
                        case CLASS_KIB_GAUGE:
                                assert_true(fmod(v, 1024) == 0);
                                break;
                        case CLASS_BYTE_COUNTER:
                        case CLASS_EVENT_COUNTER:
                                assert_true(v == floor(v));
                                break;
                        default:
                                break;
                        }
                }
        }
}

static void a_host_is_looked_at_in_one_instant(void **state) {
        FleetOptions o = options(2900);
        o.jitter_ms = 5;
        CLEANUP(fleet_freep) Fleet *f = fleet_new(&o);
        fleet_window(f, FLEET_WINDOW);
        uint32_t varied = 0, last = fleet_count(f) - 1;
        for (uint32_t i = 0; i < FLEET_WINDOW; i++) {
                assert_true(fleet_time(f, 0, i) == fleet_time(f, 1000, i));
                assert_true(fleet_time(f, 0, i) != fleet_time(f, last, i));
                int64_t off = fleet_time(f, 0, i) - (BEGIN_MS + i * STEP_MS);
                assert_true(off >= -5 && off <= 5);
                varied += off != 0;
        }
        assert_true(varied > FLEET_WINDOW / 2);
}

typedef struct Taken {
        uint32_t n;
        size_t run_len;
        int64_t last_ms;
        double sum;
} Taken;

static void take(void *context, Span run, int64_t ms, double value) {
        Taken *t = context;
        t->n++;
        t->run_len = run.len;
        t->last_ms = ms;
        t->sum += value;
}

static void streams_read_back(void **state) {
        char path[] = "/tmp/test_fleet.XXXXXX";
        CLEANUP_FD int fd = mkstemp(path);
        RequestWriter w;
        assert_int_equal(request_writer_open(&w, path), 0);
        for (int request = 0; request < 3; request++) {
                static const char run[] = "\x0a\x0b\x0a\x04name\x12\x03vm1";
                request_series_begin(&w, run, sizeof run - 1);
                for (int i = 0; i < 5; i++)
                        request_sample(&w, BEGIN_MS + i, i == 0 ? 0 : 0.5 * i);
                request_series_end(&w);
                assert_int_equal(request_end(&w), 0);
        }
        assert_int_equal(w.total_samples, 15);
        assert_int_equal(request_writer_close(&w), 0);
        CLEANUP(stream_close) StreamReader r = STREAM_READER_NULL;
        assert_int_equal(stream_open(&r, path), 0);
        StreamRequest request;
        uint32_t n = 0;
        for (; stream_next(&r, &request) == 1; n++) {
                Taken t = { 0 };
                assert_int_equal(request_walk(request.body, request.len, take, &t), 0);
                assert_int_equal(t.n, 5);
                assert_int_equal(request.samples, 5);
                assert_int_equal(t.run_len, 13);
                assert_true(t.last_ms == BEGIN_MS + 4);
                assert_true(t.sum == 5);
                assert_int_equal(request_walk(request.body, request.len - 1, take, &t), -EBADMSG);
        }
        assert_int_equal(n, 3);
        assert_int_equal(ftruncate(fd, (off_t)r.len - 1), 0);
        stream_close(&r);
        assert_int_equal(stream_open(&r, path), 0);
        for (n = 0; stream_next(&r, &request) == 1;)
                n++;
        assert_int_equal(n, 2);
        assert_int_equal(unlink(path), 0);
}

/* Names ascend, lengths add up: checked by the decoder of lines, whose order the store depends on. */
static void labels_are_sorted(void **state) {
        for (int rich = 0; rich < 2; rich++) {
                FleetOptions o = options(1500);
                o.rich_labels = rich;
                CLEANUP(fleet_freep) Fleet *f = fleet_new(&o);
                CLEANUP(buf_deinit) Buf run = BUF_NULL;
                fleet_window(f, 1);
                for (uint32_t s = 0; s < fleet_count(f); s++) {
                        char before[64] = "";
                        size_t labels = 0;
                        buf_reset(&run);
                        fleet_labels(f, s, s % 3, &run);
                        for (size_t at = 0; at < run.len; labels++) {
                                const uint8_t *p = (const uint8_t *)run.data + at;
                                char name[64];
                                assert_true(p[0] == 0x0a && p[1] < 128 && p[2] == 0x0a);
                                (void)snprintf(name, sizeof name, "%.*s", p[3], p + 4);
                                assert_true(strcmp(before, name) < 0);
                                (void)strcpy(before, name);
                                assert_int_equal(p[1], 4 + p[3] + p[5 + p[3]]);
                                at += 2u + p[1];
                                assert_true(at <= run.len);
                        }
                        assert_in_range(labels, rich ? 5 : 2, rich ? 10 : 4);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_do_not_depend_on_the_shape), cmocka_unit_test(machines_restart_and_are_replaced),
                cmocka_unit_test(classes_have_their_shares),         cmocka_unit_test(numbers_are_of_their_class),
                cmocka_unit_test(a_host_is_looked_at_in_one_instant), cmocka_unit_test(streams_read_back),
                cmocka_unit_test(labels_are_sorted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
