/* What a look at the host costs, and what it gives.
 *
 *   bench_hostproc [ROOT [LOOKS [INTERVAL_MS]]]   CPU per look; an interval lets heavy collectors rest as in service
 *   bench_hostproc --dump [ROOT]                  one look in Prometheus' text format, for tests/node_compare.py */
#include "base/escape.h"
#include "collect/hostproc/hostproc.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

typedef struct CountingSink {
        Sink sink;
        uint64_t batches, values;
        bool dump;
} CountingSink;

static void put_labels(Buf *b, const MetricDesc *m, LabelCursor *c) {
        const GroupDesc *g = &GROUPS[m->group];
        const char *comma = "";
        for (size_t k = 0; k < g->n_keys; k++) {
                Span label;
                if (!label_next(c, &label) || label.len == 0)
                        continue;
                buf_printf(b, "%s%s=\"", comma, g->keys[k]);
                escape_label(b, label.text, label.len);
                buf_put_char(b, '"');
                comma = ",";
        }
        if (*m->label)
                buf_printf(b, "%s%s", comma, m->label);
}

static void dump(const Batch *batch) {
        size_t columns = group_columns(batch->group);
        LabelCursor row = batch_labels(batch);
        for (uint32_t r = 0; r < batch->n_rows; r++) {
                LabelCursor next = row;
                for (size_t i = 0; i < columns; i++) {
                        const MetricDesc *m = &METRICS[GROUPS[batch->group].first + i];
                        double v = batch->values[r * columns + i];
                        CLEANUP(buf_deinit) Buf b = BUF_NULL;
                        next = row;
                        buf_printf(&b, "%s{", m->name);
                        put_labels(&b, m, &next);
                        buf_put_str(&b, "} ");
                        buf_put_double(&b, unit_expose(m->unit, v));
                        if (!value_is_absent(v))
                                (void)puts(buf_cstr(&b));
                }
                row = next;
        }
}

static void take_batch(Sink *s, const Batch *b) {
        CountingSink *c = (CountingSink *)s;
        size_t n = b->n_rows * group_columns(b->group);
        c->batches++;
        for (size_t i = 0; i < n; i++)
                c->values += !value_is_absent(b->values[i]);
        if (c->dump)
                dump(b);
}

static void take_group_gone(Sink *s, EntityKey key, GroupId group) {
        (void)s;
        (void)key;
        (void)group;
}

static double cpu_us(void) {
        struct rusage u;
        (void)getrusage(RUSAGE_SELF, &u);
        return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void cleanup_host(HostProc **h) {
        *h = hostproc_free(*h);
}

int main(int argc, char **argv) {
        bool dumping = argc > 1 && strcmp(argv[1], "--dump") == 0;
        const char *root = argc > 1 + dumping ? argv[1 + dumping] : "/";
        long looks = argc > 2 ? atol(argv[2]) : 100, interval = argc > 3 ? atol(argv[3]) : 10000;
        CountingSink sink = { .sink = { .batch = take_batch, .group_gone = take_group_gone }, .dump = dumping };
        CLEANUP(cleanup_host) HostProc *h = NULL;
        int r = hostproc_new(root, (EntityKey){ ENTITY_HOST, UUID_NULL }, &h);
        if (r < 0) {
                (void)fprintf(stderr, "bench_hostproc: %s: %s\n", root, strerror(-r));
                return 1;
        }
        hostproc_look(h, wall_now(), mono_now(), &sink.sink);
        if (dumping)
                return 0;
        uint64_t values = sink.values;
        double before = cpu_us();
        MonoTime mono = mono_now();
        for (long i = 0; i < looks; i++) {
                /* The looks' own clock runs `interval` a look, so that resting and looking up devices happen as often. */
                mono = mono_add(mono, MILLISECONDS(interval));
                hostproc_look(h, wall_now(), mono, &sink.sink);
        }
        double each = (cpu_us() - before) / (double)looks;
        (void)printf("values %llu  CPU per look %.0f us  per value %.2f us  (interval %ld ms)\n",
                     (unsigned long long)values, each, each / (double)values, interval);
        return 0;
}
