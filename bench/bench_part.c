/* What a part costs: time to write, bytes of the index, time to open, to select and to read.
 *
 *   bench_part [DIRECTORY [SHAPE]]       default: a new one in /tmp, all shapes
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

/* One metric of all virtual machines, made before the clock runs. */
typedef struct Rows {
        Buf *runs;
        int64_t *times; /* s->samples of each */
        double *values;
} Rows;

static void make_rows(const Shape *s, unsigned metric, Rows *rows) {
        for (unsigned vm = 0; vm < s->vms; vm++) {
                buf_reset(&rows->runs[vm]);
                make_run(metric, vm, &rows->runs[vm]);
                make_times(s, vm, rows->times + (size_t)vm * s->samples);
                make_values(metric, vm, s->samples, rows->values + (size_t)vm * s->samples);
        }
}

static int write_rows(const Shape *s, const Rows *rows, PartWriter *w) {
        int r = 0;
        for (unsigned vm = 0; r == 0 && vm < s->vms; vm++) {
                size_t at = (size_t)vm * s->samples;
                r = part_writer_series(w, (uint8_t *)rows->runs[vm].data, rows->runs[vm].len);
                if (r == 0)
                        r = part_writer_floats(w, rows->times + at, rows->values + at, s->samples);
        }
        return r;
}

static void encode_rows(const Shape *s, const Rows *rows, Buf *scratch) {
        for (unsigned vm = 0; vm < s->vms; vm++) {
                buf_reset(scratch);
                values_encode(rows->values + (size_t)vm * s->samples, s->samples, s->effort, scratch);
        }
}

static void write_part(Vfs *vfs, const char *name, const Shape *s) {
        PartMeta meta = { .id = 1, .begin_ms = BEGIN_MS, .end_ms = INT64_MAX };
        PartWriter *w = NULL;
        size_t n = (size_t)s->vms * s->samples;
        Rows rows = { calloc(s->vms, sizeof *rows.runs), calloc(n, sizeof *rows.times), calloc(n, sizeof *rows.values) };
        CLEANUP(buf_deinit) Buf scratch = BUF_NULL;
        double in_writer = 0, in_codec = 0;
        assert(rows.runs && rows.times && rows.values);
        int r = part_writer_new(vfs, name, &meta, s->effort, &w);
        for (unsigned metric = 0; r == 0 && metric < s->metrics; metric++) {
                make_rows(s, metric, &rows);
                double began = cpu_seconds();
                r = write_rows(s, &rows, w);
                double written = cpu_seconds();
                in_writer += written - began;
                encode_rows(s, &rows, &scratch);
                in_codec += cpu_seconds() - written;
        }
        double began = cpu_seconds();
        if (r == 0)
                r = part_writer_finish(w, &meta);
        double finish = cpu_seconds() - began;
        w = part_writer_free(w);
        assert(r == 0);
        (void)printf("  write           %8.1f ms, %.1f of it the codec, %.1f the end\n", (in_writer + finish) * 1e3, in_codec * 1e3,
                     finish * 1e3);
        for (unsigned vm = 0; vm < s->vms; vm++)
                buf_deinit(&rows.runs[vm]);
        free(rows.runs);
        free(rows.times);
        free(rows.values);
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

/* Series and samples apart: first all series' labels and chunks, then all samples. */
static void read_samples(const Part *p, const Buf *ordinals, int64_t begin_ms, int64_t end_ms, const char *title) {
        CLEANUP(buf_deinit) Buf chunks = BUF_NULL, run = BUF_NULL;
        CLEANUP_FREE int64_t *times = calloc(CODEC_MAX, sizeof *times);
        CLEANUP_FREE double *values = calloc(CODEC_MAX, sizeof *values);
        const uint32_t *ordinal = (const uint32_t *)ordinals->data;
        size_t n_series = ordinals->len / sizeof *ordinal;
        uint64_t samples = 0;
        double sum = 0, best_labels = 1e9, best_samples = 1e9;
        int r = 0;
        for (unsigned round = 0; r == 0 && round < 5; round++) {
                double began = cpu_seconds();
                buf_reset(&chunks);
                for (size_t i = 0; r == 0 && i < n_series; i++) {
                        buf_reset(&run);
                        r = part_series(p, ordinal[i], &run, &chunks);
                }
                best_labels = fmin(best_labels, cpu_seconds() - began);
                began = cpu_seconds();
                samples = 0;
                const PartChunk *c = (const PartChunk *)chunks.data;
                for (size_t i = 0; r == 0 && i < n_series; i++) {
                        uint32_t n = 0;
                        r = part_floats(p, &c[i], 0, begin_ms, end_ms, times, values, &n);
                        samples += n;
                        sum += values[n ? n - 1 : 0];
                }
                best_samples = fmin(best_samples, cpu_seconds() - began);
        }
        assert(r == 0);
        if (samples > 0)
                (void)printf("  read            %8.2f ns a sample, %6.2f us a series for its labels; %llu samples, %s (%g)\n",
                             best_samples * 1e9 / (double)samples, best_labels * 1e6 / (double)n_series,
                             (unsigned long long)samples, title, sum);
}

/* The hours of a day, since where one begins within the groups of a column matters. Best of ten. */
static void read_hours(const Part *p, const Buf *ordinals, unsigned hours) {
        CLEANUP(buf_deinit) Buf chunks = BUF_NULL, run = BUF_NULL;
        CLEANUP_FREE int64_t *times = calloc(CODEC_MAX, sizeof *times);
        CLEANUP_FREE double *values = calloc(CODEC_MAX, sizeof *values);
        const uint32_t *ordinal = (const uint32_t *)ordinals->data;
        size_t n_series = ordinals->len / sizeof *ordinal;
        double sum = 0, worst = 0, all = 0;
        int r = 0;
        for (size_t i = 0; r == 0 && i < n_series; i++) {
                buf_reset(&run);
                r = part_series(p, ordinal[i], &run, &chunks);
        }
        const PartChunk *c = (const PartChunk *)chunks.data;
        for (unsigned hour = 0; r == 0 && hour < hours; hour++) {
                double best = 1e9;
                uint64_t samples = 0;
                int64_t begin = BEGIN_MS + hour * INT64_C(3600000);
                for (unsigned round = 0; r == 0 && round < 10; round++) {
                        double began = cpu_seconds();
                        samples = 0;
                        for (size_t i = 0; r == 0 && i < n_series; i++) {
                                uint32_t n = 0;
                                r = part_floats(p, &c[i], 0, begin, begin + 3600000, times, values, &n);
                                samples += n;
                                sum += values[n ? n - 1 : 0];
                        }
                        best = fmin(best, cpu_seconds() - began);
                }
                double ns = best * 1e9 / (double)samples;
                all += ns;
                worst = fmax(worst, ns);
        }
        assert(r == 0);
        (void)printf("  read            %8.2f ns a sample, %6.2f in the worst hour; one metric, each hour of the day (%g)\n", all / hours, worst, sum);
}

static void read_with_cursor(const Part *p) {
        PartCursor *c = NULL;
        size_t bytes = 0;
        double began = cpu_seconds();
        int r = part_cursor_new(p, &c);
        for (uint32_t i = 0; r == 0 && i < part_meta(p)->series; i++) {
                Span run;
                const PartChunk *chunks;
                size_t n;
                r = part_cursor_series(c, i, &run, &chunks, &n);
                bytes += r == 0 ? run.len : 0;
        }
        assert(r == 0);
        c = part_cursor_free(c);
        (void)printf("  cursor          %8.2f us a series, all of them (%zu bytes of labels)\n",
                     (cpu_seconds() - began) * 1e6 / part_meta(p)->series, bytes);
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
        if (s->samples > 1000)
                read_hours(p, &metric, s->samples / 360);
        if (s->samples < 1000)
                read_samples(p, &other, INT64_MIN, INT64_MAX, "everything");
        read_with_cursor(p);
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
        size_t only = argc > 2 ? strtoul(argv[2], NULL, 10) : ARRAY_LEN(SHAPES);
        for (size_t i = 0; i < ARRAY_LEN(SHAPES); i++) {
                if (only < ARRAY_LEN(SHAPES) && i != only)
                        continue;
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
