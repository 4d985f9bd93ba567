/* What a part costs: time to write, bytes of the index, time to open, to select and to read.
 *
 *   bench_part [DIRECTORY]       default: a new one in $TMPDIR or /tmp
 *
 * Shapes: the fleet (200 virtual machines and 20 hosts, 14,207 series of 71 metrics) as a day of 8,640 samples and as a flush of 60;
 * 100,000 series. CPU time, one thread. */
#include "store/part/part.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static double cpu_seconds(void) {
        struct timespec t;
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the fleet ---- */

typedef struct Shape {
        const char *title;
        unsigned vms, metrics;
        uint32_t samples;
        CodecEffort effort;
        unsigned jitter_ms; /* of each virtual machine's own instants; 0: all have the same */
} Shape;

#define HOSTS 20
#define BEGIN_MS INT64_C(1760000000000)
#define STEP_MS 10000

static uint64_t noise(uint64_t x) {
        x = (x ^ x >> 33) * UINT64_C(0xFF51AFD7ED558CCD);
        x = (x ^ x >> 33) * UINT64_C(0xC4CEB9FE1A85EC53);
        return x ^ x >> 33;
}

static void make_run(unsigned metric, unsigned vm, Buf *out) {
        char text[11][80];
        unsigned n = 0;
        Label labels[11];
#define ADD(label, ...)                                                     \
        do {                                                                \
                (void)snprintf(text[n], sizeof text[n], __VA_ARGS__);       \
                labels[n] = (Label){ { label, strlen(label) }, { text[n], strlen(text[n]) } }; \
                n++;                                                        \
        } while (0)
        ADD("__name__", "parallax_domain_metric_%02u_total", metric / 2);
        ADD("device", "%s%u", metric % 2 ? "vda" : "tap", metric % 2);
        ADD("domain", "instance-%08x", vm * 7 + 4096);
        ADD("host", "hv%02u", vm % HOSTS);
        ADD("instance", "hv%02u:9177", vm % HOSTS);
        ADD("job", "parallax");
        ADD("project", "project-%u", vm % 37);
        ADD("tenant", "tenant-%u", vm % 11);
        ADD("uuid", "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)noise(vm), (unsigned)noise(vm + 1) & 0xffff, vm % 4096, vm % 4096,
            (unsigned long long)noise(vm + 2) & 0xffffffffffffULL);
        ADD("zone", "eu-%u", vm % 3);
#undef ADD
        LabelsFault fault = labels_build(labels, n, out);
        assert(fault == LABELS_OK);
}

static void make_times(const Shape *s, unsigned vm, int64_t *times) {
        for (uint32_t i = 0; i < s->samples; i++) {
                times[i] = BEGIN_MS + (int64_t)i * STEP_MS + 1;
                if (s->jitter_ms)
                        times[i] += vm * 37 % STEP_MS / 2 + (int64_t)(noise(vm * 100000 + i) % s->jitter_ms);
        }
}

/* A quarter constant, counters, gauges, some full doubles. */
static void make_values(unsigned metric, unsigned vm, uint32_t n, double *values) {
        uint64_t sum = noise(metric * 1000 + vm) % 100000000;
        for (uint32_t i = 0; i < n; i++) {
                uint64_t x = noise((uint64_t)metric << 40 | (uint64_t)vm << 20 | i);
                sum += x % (metric % 3 ? 50 : 2000000);
                values[i] = metric % 4 == 0 ? 1 : metric == 70 ? (double)x / 1e7 : (double)sum;
        }
}

static uint64_t value_bytes(const Part *p) {
        uint64_t sum = 0;
        PartCursor *c = NULL;
        Span run;
        const PartChunk *chunks;
        size_t n;
        int r = part_cursor_new(p, &c);
        for (uint32_t i = 0; r == 0 && i < part_meta(p)->series; i++) {
                r = part_cursor_series(c, i, &run, &chunks, &n);
                for (size_t k = 0; r == 0 && k < n; k++)
                        sum += chunks[k].values_len - 4;
        }
        assert(r == 0);
        c = part_cursor_free(c);
        return sum;
}

static void write_part(Vfs *vfs, const char *name, const Shape *s) {
        PartMeta meta = { .id = 1, .begin_ms = BEGIN_MS, .end_ms = INT64_MAX };
        PartWriter *w = NULL;
        CLEANUP_FREE int64_t *times = calloc(s->samples, sizeof *times);
        CLEANUP_FREE double *values = calloc(s->samples, sizeof *values);
        CLEANUP(buf_deinit) Buf run = BUF_NULL, encoded = BUF_NULL;
        double in_writer = 0, in_codec = 0, began;
        int r = part_writer_new(vfs, name, &meta, s->effort, &w);
        for (unsigned metric = 0; r == 0 && metric < s->metrics; metric++)
                for (unsigned vm = 0; r == 0 && vm < s->vms; vm++) {
                        buf_reset(&run);
                        make_run(metric, vm, &run);
                        make_times(s, vm, times);
                        make_values(metric, vm, s->samples, values);
                        began = cpu_seconds();
                        r = part_writer_series(w, (uint8_t *)run.data, run.len);
                        if (r == 0)
                                r = part_writer_floats(w, times, values, s->samples);
                        in_writer += cpu_seconds() - began;
                        buf_reset(&encoded);
                        began = cpu_seconds();
                        values_encode(values, s->samples, s->effort, &encoded);
                        in_codec += cpu_seconds() - began;
                }
        began = cpu_seconds();
        if (r == 0)
                r = part_writer_finish(w, &meta);
        in_writer += cpu_seconds() - began;
        double finish = cpu_seconds() - began;
        w = part_writer_free(w);
        assert(r == 0);
        (void)printf("  write           %8.1f ms, %.1f of it columns, %.1f the end\n", in_writer * 1e3, in_codec * 1e3, finish * 1e3);
}

/* ---- reading ---- */

typedef struct Query {
        const char *title;
        MatchType type[3];
        const char *name[3], *value[3];
} Query;

static uint32_t run_query(const Part *p, const Query *q, Buf *ordinals) {
        Matcher m[3];
        size_t n = 0;
        for (; n < 3 && q->name[n]; n++) {
                int r = matcher_init(&m[n], q->type[n], (Span){ q->name[n], strlen(q->name[n]) },
                                     (Span){ q->value[n], strlen(q->value[n]) }, NULL);
                assert(r == 0);
        }
        double began = cpu_seconds();
        int r = 0;
        for (unsigned i = 0; r == 0 && i < 10; i++) {
                buf_reset(ordinals);
                r = part_select(p, m, n, ordinals);
        }
        assert(r == 0);
        (void)printf("  select          %8.3f ms  %6zu series  %s\n", (cpu_seconds() - began) * 1e2, ordinals->len / 4, q->title);
        for (size_t i = 0; i < n; i++)
                matcher_deinit(&m[i]);
        return (uint32_t)(ordinals->len / 4);
}

static void read_samples(const Part *p, const Buf *ordinals, int64_t begin_ms, int64_t end_ms, const char *title) {
        CLEANUP(buf_deinit) Buf chunks = BUF_NULL, run = BUF_NULL;
        CLEANUP_FREE int64_t *times = calloc(CODEC_MAX, sizeof *times);
        CLEANUP_FREE double *values = calloc(CODEC_MAX, sizeof *values);
        double series_time = 0, sum = 0;
        uint64_t samples = 0;
        double began = cpu_seconds();
        for (unsigned round = 0; round < 5; round++)
                for (size_t i = 0; i < ordinals->len / 4; i++) {
                        uint32_t n;
                        double before = cpu_seconds();
                        buf_reset(&chunks);
                        buf_reset(&run);
                        int r = part_series(p, ((const uint32_t *)ordinals->data)[i], &run, &chunks);
                        series_time += cpu_seconds() - before;
                        const PartChunk *c = (const PartChunk *)chunks.data;
                        if (r == 0)
                                r = part_floats(p, c, 0, begin_ms, end_ms, times, values, &n);
                        assert(r == 0);
                        samples += n;
                        sum += values[n ? n - 1 : 0];
                }
        double all = cpu_seconds() - began;
        (void)printf("  read            %8.2f ns a sample with %.2f us a series for its labels; %llu samples, %s (%g)\n",
                     all * 1e9 / (double)samples, series_time * 1e6 / (double)(ordinals->len / 4 * 5),
                     (unsigned long long)samples / 5, title, sum);
}

static void read_part(Vfs *vfs, const char *name, const Shape *s) {
        static const Query VM = { "one vm", { MATCH_EQUAL }, { "domain" }, { "instance-00001188" } },
                           METRIC = { "one metric", { MATCH_EQUAL, MATCH_EQUAL }, { "__name__", "device" },
                                      { "parallax_domain_metric_07_total", "vda1" } },
                           HOST = { "one metric of one host", { MATCH_EQUAL, MATCH_EQUAL }, { "__name__", "host" },
                                    { "parallax_domain_metric_07_total", "hv03" } },
                           PREFIX = { "prefix", { MATCH_REGEX }, { "domain" }, { "instance-000011.*" } },
                           REGEX = { "regex over all values", { MATCH_REGEX }, { "uuid" }, { ".*0d.*" } },
                           FILTER = { "metric and regex", { MATCH_EQUAL, MATCH_REGEX }, { "__name__", "uuid" },
                                      { "parallax_domain_metric_07_total", ".*0d.*" } },
                           LITERALS = { "alternatives", { MATCH_REGEX }, { "host" }, { "hv03|hv04|hv05" } },
                           NOT = { "not one host", { MATCH_NOT_EQUAL }, { "host" }, { "hv03" } },
                           ALL = { "all", { MATCH_EQUAL }, { "job" }, { "parallax" } };
        const Query *others[] = { &HOST, &PREFIX, &REGEX, &FILTER, &LITERALS, &NOT };
        PartDamage damage;
        Part *p = NULL;
        double began = cpu_seconds();
        int r = 0;
        for (unsigned i = 0; r == 0 && i < 30; i++) {
                p = part_close(p);
                r = part_open(vfs, name, &p, &damage);
        }
        assert(r == 0);
        (void)printf("  open            %8.3f ms, %zu bytes of memory\n", (cpu_seconds() - began) / 30 * 1e3, part_memory(p));
        const PartMeta *meta = part_meta(p);
        uint64_t values = value_bytes(p), index = meta->bytes - values;
        (void)printf("  bytes           %8.1f a series beside the values, %.4f a sample; values %.3f a sample\n",
                     (double)index / meta->series, (double)index / (double)meta->samples, (double)values / (double)meta->samples);
        CLEANUP(buf_deinit) Buf vm = BUF_NULL, metric = BUF_NULL, other = BUF_NULL, text = BUF_NULL;
        (void)run_query(p, &VM, &vm);
        (void)run_query(p, &METRIC, &metric);
        for (size_t i = 0; i < ARRAY_LEN(others); i++)
                (void)run_query(p, others[i], &other);
        (void)run_query(p, &ALL, &other);
        began = cpu_seconds();
        r = part_label_values(p, (Span){ "uuid", 4 }, NULL, 0, &text);
        (void)printf("  label values    %8.3f ms of uuid\n", (cpu_seconds() - began) * 1e3);
        buf_reset(&text);
        began = cpu_seconds();
        if (r == 0)
                r = part_label_values(p, (Span){ "uuid", 4 }, (uint32_t *)metric.data, metric.len / 4, &text);
        (void)printf("  label values    %8.3f ms of uuid, of one metric\n", (cpu_seconds() - began) * 1e3);
        buf_reset(&text);
        began = cpu_seconds();
        if (r == 0)
                r = part_label_names(p, (uint32_t *)vm.data, vm.len / 4, &text);
        assert(r == 0);
        (void)printf("  label names     %8.3f ms of one vm\n", (cpu_seconds() - began) * 1e3);
        int64_t end = BEGIN_MS + (int64_t)s->samples * STEP_MS;
        read_samples(p, &vm, INT64_MIN, INT64_MAX, "one vm, all");
        read_samples(p, &metric, end - 3600000, end, "one metric, an hour");
        if (s->samples < 1000)
                read_samples(p, &other, INT64_MIN, INT64_MAX, "everything");
        began = cpu_seconds();
        r = part_verify(p, &damage);
        if (r < 0)
                (void)printf("%s\n", damage.text);
        assert(r == 0);
        (void)printf("  verify          %8.1f ms\n", (cpu_seconds() - began) * 1e3);
        p = part_close(p);
}

int main(int argc, char **argv) {
        static const Shape SHAPES[] = {
                { "a flush of 60 samples of 14,200 series", 200, 71, 60, CODEC_FAST, 0 },
                { "the same, each vm with instants of its own", 200, 71, 60, CODEC_FAST, 50 },
                { "a day of 14,200 series", 200, 71, 8640, CODEC_SMALL, 0 },
                { "the same, each vm with instants of its own", 200, 71, 8640, CODEC_SMALL, 50 },
                { "12 samples of 100,000 series of 100,000 uuids", 100000, 1, 12, CODEC_FAST, 0 },
                { "60 samples of 99,400 series of 1,400 vms", 1400, 71, 60, CODEC_FAST, 0 },
        };
        char path[] = "/tmp/bench_part.XXXXXX";
        Vfs *vfs = NULL;
        const char *directory = argc > 1 ? argv[1] : mkdtemp(path);
        int r = vfs_posix_new(directory, &vfs);
        assert(r == 0);
        for (size_t i = 0; i < ARRAY_LEN(SHAPES); i++) {
                (void)printf("%s\n", SHAPES[i].title);
                write_part(vfs, "bench.part", &SHAPES[i]);
                read_part(vfs, "bench.part", &SHAPES[i]);
                (void)vfs_unlink(vfs, "bench.part");
        }
        vfs = vfs_free(vfs);
        if (argc == 1)
                (void)rmdir(path);
        return 0;
}
