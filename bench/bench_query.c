/* CPU time of queries over a fleet of virtual machines (fleet/fleet.h): bench_query DIRECTORY [HOURS] [EXPRESSION...]
 *
 * An empty directory is filled first: 14,207 series every 10 s, written as they come, flushed and merged at the end.
 * Then each query is run until half a second has passed; the least and the mean CPU time of a run are printed.
 * INSTANT=1 makes expressions of the command line instant queries, EXPLAIN=1 prints plans, THREADS=n lets so many help.
 */
#include "fleet/fleet.h"
#include "query/query.h"
#include "store/store.h"
#include "store/vfs/vfs.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define STEP_MS 10000
#define SERIES 14207
#define END_MS INT64_C(1767312000000)

static const int64_t data_end_ms = END_MS;

static WallTime wall(void *context) {
        return (WallTime){ END_MS * NS_PER_MS };
}

static void on_event(void *context, StoreEventKind kind, bool good, const char *text) {
        if (!good)
                fprintf(stderr, "store: %s\n", text);
}

static double cpu_ms(void) {
        struct rusage u;
        (void)getrusage(RUSAGE_SELF, &u);
        return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* Runs of equal labels of one series in a window. */
static void send_series(SeriesSink *s, Fleet *f, uint32_t series, uint32_t n) {
        double values[FLEET_WINDOW], v[FLEET_WINDOW];
        int64_t times[FLEET_WINDOW];
        fleet_values(f, series, values);
        for (uint32_t i = 0; i < n;) {
                uint32_t incarnation = fleet_incarnation(f, series, i), count = 0;
                for (; i < n && fleet_incarnation(f, series, i) == incarnation; i++)
                        if (fleet_presence(f, series, i) != FLEET_ABSENT) {
                                times[count] = fleet_time(f, series, i);
                                v[count++] = values[i];
                        }
                CLEANUP(buf_deinit) Buf run = BUF_NULL;
                SeriesRef ref;
                LabelsFault fault;
                size_t taken;
                fleet_labels(f, series, incarnation, &run);
                if (count && s->series(s, (uint8_t *)run.data, run.len, &ref, &fault) == SAMPLE_OK)
                        (void)s->floats(s, ref, times, v, count, &taken);
        }
}

static int fill(Store *store, unsigned hours) {
        const FleetOptions o = { .seed = 1,
                                 .series = SERIES,
                                 .begin_ms = END_MS - hours * INT64_C(3600000),
                                 .step_ms = STEP_MS,
                                 .resolutions = true };
        CLEANUP(fleet_freep) Fleet *f = fleet_new(&o);
        SeriesSink *s = store_sink(store);
        for (unsigned window = 0; f && window < hours * 3600000 / STEP_MS / FLEET_WINDOW; window++) {
                uint64_t ticket;
                fleet_window(f, FLEET_WINDOW);
                int r = s->begin(s, "bench");
                for (uint32_t i = 0; r == 0 && i < fleet_count(f); i++)
                        send_series(s, f, i, FLEET_WINDOW);
                if (r == 0)
                        r = s->end(s, &ticket);
                if (r == 0)
                        r = store_commit(store);
                while (r == 0 && (r = store_maintain(store)) > 0)
                        r = 0;
                if (r < 0)
                        return r;
                fprintf(stderr, "\rfilling: %u of %u", window + 1, hours * 6);
        }
        fprintf(stderr, "\n");
        return f ? store_flush(store, true) : -ENOMEM;
}

typedef struct Shape {
        const char *text;
        int64_t range_s, step_s; /* step 0: instant */
} Shape;

static const Shape SHAPES[] = {
        { "sum by (host) (rate(vm_cpu_time_seconds_total[5m]))", 86400, 60 },
        { "topk(5, rate(vm_cpu_time_seconds_total[5m]))", 86400, 60 },
        { "quantile(0.9, vm_memory_rss_bytes)", 86400, 60 },
        { "sum by (vm) (rate(vm_block_read_bytes_total[5m]) + rate(vm_block_write_bytes_total[5m]))", 86400, 60 },
        { "vm_cpu_time_seconds_total", 86400, 60 },
        { "sum(rate(vm_cpu_time_seconds_total[5m]))", 0, 0 },
        { "count({__name__=~\"vm_.*\"})", 0, 0 },
        { "count(last_over_time({__name__=~\".+\"}[5m]))", 86400, 60 },
};

static void measure(Store *store, Pool *pool, const Shape *s) {
        double least = 1e18, total = 0;
        unsigned runs = 0;
        QueryStats stats = { 0 };
        size_t rows = 0;
        while (runs < 3 || (total < 500 && runs < 1000)) {
                QueryRequest q = { .text = { s->text, strlen(s->text) },
                                   .instant = s->step_s == 0,
                                   .start_ms = data_end_ms - s->range_s * 1000,
                                   .end_ms = data_end_ms,
                                   .step_ms = s->step_s * 1000 };
                query_limits_default(&q.limits);
                q.limits.max_samples = UINT64_MAX / 2;
                q.explain = runs == 0 && getenv("EXPLAIN");
                q.pool = pool;
                double begun = cpu_ms();
                Query *query = query_run(store, &q);
                double took = cpu_ms() - begun;
                const QueryResult *r = query_result(query);
                if (r->fault) {
                        printf("%s: %.*s\n", s->text, (int)r->error.len, r->error.data);
                        (void)query_free(query);
                        return;
                }
                stats = r->stats;
                rows = r->value.n_rows;
                if (q.explain) {
                        CLEANUP(buf_deinit) Buf text = BUF_NULL;
                        query_explain(query, &text);
                        printf("%s", buf_cstr(&text));
                }
                (void)query_free(query);
                least = took < least ? took : least;
                total += took;
                runs++;
        }
        printf("%9.2f ms (mean %9.2f)  %9" PRIu64 " samples %6" PRIu64 " series %6zu rows  %5.1f M/s  %4zu MiB  %s\n",
               least, total / runs, stats.samples, stats.series, rows, (double)stats.samples / least / 1e3,
               stats.peak_memory >> 20, s->text);
}

int main(int argc, char **argv) {
        unsigned hours = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 24;
        if (argc < 2 || hours == 0) {
                fprintf(stderr, "bench_query DIRECTORY [HOURS] [EXPRESSION...]\n");
                return 2;
        }
        (void)mkdir(argv[1], 0700);
        Vfs *vfs;
        Store *store;
        PartDamage damage;
        StoreOptions o;
        store_options_default(&o);
        o.wall = wall;
        o.out_of_order = SECONDS(0);
        o.max_series_source = o.max_series_vm = o.new_series_source = o.new_series_vm = o.max_series = 1000000;
        int r = vfs_posix_new(argv[1], &vfs);
        if (r == 0)
                r = store_open(vfs, &o, on_event, NULL, &store, &damage);
        if (r < 0) {
                fprintf(stderr, "%s: %s\n", argv[1], strerror(-r));
                return 1;
        }
        Loop *loop = NULL;
        Pool *pool = NULL;
        const char *threads = getenv("THREADS");
        const PoolOptions pool_options = { .name = "query",
                                           .threads = threads ? (unsigned)strtoul(threads, NULL, 10) : 1,
                                           .max_waiting = 1,
                                           .max_waiting_source = 1 };
        if (threads && (loop_new(&loop) < 0 || pool_new(loop, &pool_options, &pool) < 0))
                return 1;
        StoreStats stats;
        store_stats(store, &stats);
        if (stats.tier[STORE_RAW].samples + stats.head_samples == 0)
                r = fill(store, hours);
        for (int i = 3; r == 0 && i < argc; i++)
                measure(store, pool,
                        &(Shape){ argv[i], getenv("INSTANT") ? 0 : hours * INT64_C(3600), getenv("INSTANT") ? 0 : 60 });
        for (size_t i = 0; r == 0 && argc < 4 && i < ARRAY_LEN(SHAPES); i++)
                measure(store, pool, &SHAPES[i]);
        (void)pool_free(pool);
        (void)loop_free(loop);
        (void)store_close(store);
        return r < 0;
}
