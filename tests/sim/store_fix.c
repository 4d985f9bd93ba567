#include "store_fix.h"

#include "store/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MATCHERS_MAX 8

static WallTime wall(void *context) {
        Fix *f = context;
        return (WallTime){ f->wall_ms * NS_PER_MS };
}

static MonoTime mono(void *context) {
        Fix *f = context;
        return (MonoTime){ f->mono_ns };
}

static void on_event(void *context, StoreEventKind kind, bool good, const char *text) {
        Fix *f = context;
        if (good)
                return;
        f->events[kind]++;
        (void)snprintf(f->event, sizeof f->event, "%s", text);
}

static void init(Fix *f) {
        *f = (Fix){ .wall_ms = FIX_EPOCH, .mono_ns = SECONDS(1000).ns, .source = "test" };
        store_options_default(&f->options);
        f->options.floor_bytes = 0;
        f->options.max_series = 20000;
        f->options.wall = wall;
        f->options.mono = mono;
        f->options.clock_context = f;
}

void fix_init(Fix *f, uint64_t seed) {
        init(f);
        f->sim = vfs_sim_new(seed);
}

void fix_init_directory(Fix *f) {
        init(f);
        (void)snprintf(f->path, sizeof f->path, "/tmp/parallax-store-XXXXXX");
        if (!mkdtemp(f->path))
                fail_msg("no temporary directory");
}

void fix_deinit(Fix *f) {
        char command[256];
        f->store = store_close(f->store);
        store_samples_deinit(&f->samples);
        store_histograms_deinit(&f->histograms);
        if (f->sim) {
                assert_int_equal(vfs_sim_open_files(f->sim), 0);
                f->sim = vfs_sim_free(f->sim);
                return;
        }
        (void)snprintf(command, sizeof command, "rm -rf %s %s.copy", f->path, f->path);
        assert_int_equal(system(command), 0);
}

int fix_try_open(Fix *f) {
        Vfs *vfs = NULL;
        if (f->sim)
                vfs = vfs_sim_open(f->sim);
        else
                assert_int_equal(vfs_posix_new(f->path, &vfs), 0);
        f->damage.text[0] = '\0';
        return store_open(vfs, &f->options, on_event, f, &f->store, &f->damage);
}

void fix_open(Fix *f) {
        int r = fix_try_open(f);
        if (r < 0)
                fail_msg("cannot open: %s %s", strerror(-r), f->damage.text);
}

void fix_close(Fix *f) {
        f->store = store_close(f->store);
}

void fix_kill(Fix *f) {
        vfs_sim_kill(f->sim);
        fix_close(f);
}

void fix_power_cut(Fix *f, uint64_t seed) {
        vfs_sim_power_cut(f->sim, seed);
        fix_close(f);
}

void fix_pass(Fix *f, int64_t ms) {
        f->wall_ms += ms;
        f->mono_ns += ms * NS_PER_MS;
}

double double_of(uint64_t bits) {
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
}

uint64_t bits_of(double v) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        return bits;
}

void fix_run(const char *series, Buf *out) {
        Label labels[LABELS_MAX];
        size_t n = 0, len = strcspn(series, "{");
        const char *at = series + len;
        if (len)
                labels[n++] = (Label){ { METRIC_NAME_LABEL, strlen(METRIC_NAME_LABEL) }, { series, len } };
        while (*at && *at != '}' && at[1] != '}') {
                const char *name = at + 1;
                size_t name_len = strcspn(name, "="), value_len = strcspn(name + name_len + 1, ",}");
                labels[n++] = (Label){ { name, name_len }, { name + name_len + 1, value_len } };
                at = name + name_len + 1 + value_len;
        }
        assert_int_equal(labels_build(labels, n, out), LABELS_OK);
}

static void commit(Fix *f) {
        assert_int_equal(store_commit(f->store), 0);
}

SampleFault fix_send_many(Fix *f, const char *series, const int64_t *times, const double *values, size_t n) {
        SeriesSink *s = store_sink(f->store);
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        SeriesRef ref;
        LabelsFault labels;
        uint64_t ticket = 0;
        size_t taken;
        fix_run(series, &run);
        assert_int_equal(s->begin(s, f->source), 0);
        SampleFault fault = s->series(s, (uint8_t *)run.data, run.len, &ref, &labels);
        if (fault == SAMPLE_OK)
                fault = s->floats(s, ref, times, values, n, &taken);
        assert_int_equal(s->end(s, &ticket), 0);
        commit(f);
        assert_true(s->durable(s) >= ticket);
        return fault;
}

SampleFault fix_send(Fix *f, const char *series, int64_t time_ms, double value) {
        return fix_send_many(f, series, &time_ms, &value, 1);
}

SampleFault fix_send_histogram(Fix *f, const char *series, int64_t time_ms, const void *bytes, size_t n) {
        SeriesSink *s = store_sink(f->store);
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        SeriesRef ref;
        LabelsFault labels;
        uint64_t ticket = 0;
        fix_run(series, &run);
        assert_int_equal(s->begin(s, f->source), 0);
        SampleFault fault = s->series(s, (uint8_t *)run.data, run.len, &ref, &labels);
        if (fault == SAMPLE_OK)
                fault = s->histogram(s, ref, time_ms, bytes, n);
        assert_int_equal(s->end(s, &ticket), 0);
        commit(f);
        return fault;
}

void fix_settle(Fix *f) {
        int r;
        for (int i = 0; (r = store_maintain(f->store)) > 0; i++)
                assert_true(i < 10000);
        if (r < 0)
                fail_msg("cannot maintain: %s", strerror(-r));
}

void fix_flush(Fix *f, bool final) {
        int r = store_flush(f->store, final);
        if (r < 0)
                fail_msg("cannot flush: %s", strerror(-r));
}

/* ---- Reading ---- */

typedef struct Matchers {
        char text[1024];
        Matcher list[MATCHERS_MAX];
        size_t n;
} Matchers;

static void matchers_init(Matchers *m, const char *text) {
        char *rest = NULL;
        m->n = 0;
        (void)snprintf(m->text, sizeof m->text, "%s", text);
        for (char *one = strtok_r(m->text, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
                assert_int_equal(matcher_from_text(one, &m->list[m->n++]), 0);
}

static void matchers_deinit(Matchers *m) {
        for (size_t i = 0; i < m->n; i++)
                matcher_deinit(&m->list[i]);
}

static void select_of(Fix *f, StoreTier tier, const Matcher *matchers, size_t n, int64_t begin_ms, int64_t end_ms, StoreView **v, StoreList **l) {
        static const StoreLimits LIMITS = { 1000000, 1u << 30 };
        assert_int_equal(store_view_open(f->store, v), 0);
        assert_int_equal(store_select(*v, tier, matchers, n, begin_ms, end_ms, &LIMITS, l), 0);
}

size_t fix_count(Fix *f, StoreTier tier, const char *matchers, int64_t begin_ms, int64_t end_ms) {
        Matchers m;
        StoreView *v;
        StoreList *l;
        matchers_init(&m, matchers);
        select_of(f, tier, m.list, m.n, begin_ms, end_ms, &v, &l);
        size_t n = store_list_count(l);
        (void)store_list_free(l);
        (void)store_view_close(v);
        matchers_deinit(&m);
        return n;
}

/* The one with exactly this run; SIZE_MAX: none. */
static size_t find(const StoreList *l, const Buf *run) {
        for (size_t i = 0; i < store_list_count(l); i++) {
                size_t len;
                const uint8_t *own = store_list_run(l, i, &len);
                if (len == run->len && memcmp(own, run->data, len) == 0)
                        return i;
        }
        return SIZE_MAX;
}

static void open_one(Fix *f, StoreTier tier, const char *series, int64_t begin_ms, int64_t end_ms, StoreView **v, StoreList **l, size_t *i) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        Label labels[LABELS_MAX];
        Matcher matchers[LABELS_MAX];
        fix_run(series, &run);
        size_t n = labels_split((const uint8_t *)run.data, run.len, labels);
        for (size_t k = 0; k < n; k++)
                assert_int_equal(matcher_init(&matchers[k], MATCH_EQUAL, labels[k].name, labels[k].value, NULL), 0);
        select_of(f, tier, matchers, n, begin_ms, end_ms, v, l);
        for (size_t k = 0; k < n; k++)
                matcher_deinit(&matchers[k]);
        *i = find(*l, &run);
}

size_t fix_read(Fix *f, StoreTier tier, RollupColumn column, const char *series, int64_t begin_ms, int64_t end_ms) {
        StoreView *v;
        StoreList *l;
        size_t i;
        open_one(f, tier, series, begin_ms, end_ms, &v, &l, &i);
        f->samples.n = 0;
        if (i != SIZE_MAX)
                assert_int_equal(store_list_floats(l, i, column, &f->samples), 0);
        (void)store_list_free(l);
        (void)store_view_close(v);
        return f->samples.n;
}

size_t fix_read_all(Fix *f, const char *series) {
        return fix_read(f, STORE_RAW, ROLLUP_LAST, series, INT64_MIN, INT64_MAX);
}

size_t fix_read_histograms(Fix *f, const char *series) {
        StoreView *v;
        StoreList *l;
        size_t i;
        open_one(f, STORE_RAW, series, INT64_MIN, INT64_MAX, &v, &l, &i);
        f->histograms.n = 0;
        if (i != SIZE_MAX)
                assert_int_equal(store_list_histograms(l, i, &f->histograms), 0);
        (void)store_list_free(l);
        (void)store_view_close(v);
        return f->histograms.n;
}

int fix_delete(Fix *f, const char *matchers, int64_t begin_ms, int64_t end_ms) {
        Matchers m;
        matchers_init(&m, matchers);
        int r = store_delete(f->store, m.list, m.n, begin_ms, end_ms);
        matchers_deinit(&m);
        return r;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void fix_files(Fix *f, Buf *out) {
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        Vfs *v = NULL;
        const char *list[256];
        size_t n = 0;
        if (f->sim)
                v = vfs_sim_open(f->sim);
        else
                assert_int_equal(vfs_posix_new(f->path, &v), 0);
        assert_int_equal(vfs_list(v, &names), 0);
        for (const char *at = names.data; at && at < names.data + names.len; at += strlen(at) + 1) {
                assert_true(n < ARRAY_LEN(list));
                list[n++] = at;
        }
        qsort(list, n, sizeof *list, compare_names);
        for (size_t i = 0; i < n; i++)
                buf_printf(out, "%s ", list[i]);
        (void)vfs_free(v);
}
