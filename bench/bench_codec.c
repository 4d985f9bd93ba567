/* What columns of a VM fleet take, and how long: bytes per value, ns per value to encode and decode.
 *
 *   bench_codec [VMS]      a day of VMS machines (40), 71 series each, cut into columns of 60, 720 and 8,640
 *
 * The machines: a tenth is stopped, a third idle, the others go from quiet to busy and back all together, for minutes.
 * Their series are of seven classes, in the shares of a real exporter. "entropy" is what the residuals of the whole day's columns
 * are worth, of the best order of differences, each residual on its own. Deterministic. */
#include "store/codec/codec.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define DAY 8640u

typedef enum Class { CONSTANT, NS_COUNTER, US_COUNTER, BYTE_COUNTER, EVENT_COUNTER, KIB_GAUGE, CENT_GAUGE, RATIO4, FULL_DOUBLE, CLASSES } Class;

static const struct {
        const char *name;
        unsigned series;   /* a machine */
        unsigned declared; /* with declared resolutions: of µs and of 1e-4 */
} CLASS[CLASSES] = {
        [CONSTANT] = { "constant", 18, 18 },
        [NS_COUNTER] = { "ns counter", 13, 0 },
        [US_COUNTER] = { "us counter", 0, 13 },
        [BYTE_COUNTER] = { "byte counter", 6, 6 },
        [EVENT_COUNTER] = { "event counter", 19, 19 },
        [KIB_GAUGE] = { "KiB gauge", 5, 5 },
        [CENT_GAUGE] = { "2-decimal gauge", 9, 9 },
        [RATIO4] = { "4-decimal ratio", 0, 1 },
        [FULL_DOUBLE] = { "full double", 1, 0 },
};

static uint64_t next_random(uint64_t *s) {
        *s += 0x9e3779b97f4a7c15u;
        uint64_t z = *s;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
}

static double uniform(uint64_t *s) {
        return (double)(next_random(s) >> 11) * 0x1p-53;
}

static double normal(uint64_t *s) {
        return sqrt(-2 * log(1 - uniform(s))) * cos(6.283185307179586 * uniform(s));
}

/* Counts of a rare event; of a frequent one, about. */
static double poisson(uint64_t *s, double mean) {
        if (mean > 50)
                return fmax(0, floor(mean + sqrt(mean) * normal(s) + 0.5));
        double limit = exp(-mean), p = uniform(s);
        unsigned k = 0;
        for (; p > limit; k++)
                p *= uniform(s);
        return k;
}

typedef enum State { STOPPED, IDLE, BUSY } State;

/* How busy a machine is, 0..1, at each beat. */
static void make_load(State state, uint64_t *s, double *load) {
        double level = 0.1 + 0.3 * uniform(s), burst = 0;
        for (unsigned i = 0; i < DAY; i++) {
                double daily = 0.6 + 0.4 * sin((double)i / DAY * 6.283);
                if (burst > 0 && uniform(s) < 1.0 / 20)
                        burst = 0;
                else if (burst == 0 && uniform(s) < 1.0 / 300)
                        burst = 0.2 + 0.5 * uniform(s);
                load[i] = state == BUSY ? level * daily + burst : state == IDLE ? 0.002 + burst * 0.02 : 0;
        }
}

static void make_cpu(const double *load, uint64_t *s, double unit, double *out) {
        double ns = floor(uniform(s) * 1e15), share = 0.002 + 0.5 * pow(uniform(s), 5), scatter = 0.02 + 0.08 * uniform(s);
        bool sparse = uniform(s) < 0.35; /* steal, wait: mostly nothing on an idle machine */
        for (unsigned i = 0; i < DAY; i++) {
                double mean = load[i] * share * 1e10;
                double step = fmax(0, mean * (1 + scatter * 3 * normal(s)));
                if (sparse && load[i] < 0.05 && uniform(s) < 0.9)
                        step = 0;
                ns += floor(step);
                out[i] = floor(ns / (1e9 / unit)) / unit;
        }
}

static void make_bytes(const double *load, uint64_t *s, double *out) {
        double sum = floor(uniform(s) * 1e12), unit = uniform(s) < 0.5 ? 512 : 1, share = uniform(s) * uniform(s);
        for (unsigned i = 0; i < DAY; i++) {
                double ops = poisson(s, load[i] * 1000 * share);
                double mean = unit == 512 ? 16 : 600;
                sum += ops > 0 ? unit * floor(fmax(0, ops * mean + sqrt(ops) * mean * normal(s)) + 1) : 0;
                out[i] = sum;
        }
}

static void make_events(const double *load, uint64_t *s, double *out) {
        double sum = floor(uniform(s) * 1e7), rate = exp(uniform(s) * 11 - 0.5);
        for (unsigned i = 0; i < DAY; i++)
                out[i] = sum += poisson(s, load[i] * rate);
        if (uniform(s) < 0.05)
                for (unsigned i = DAY / 3; i < DAY; i++)
                        out[i] -= out[DAY / 3 - 1]; /* restarted */
}

static void make_kib(const double *load, uint64_t *s, double *out) {
        double kib = floor(uniform(s) * 4e6) + 1e5, unit = uniform(s) < 0.5 ? 4 : 1;
        for (unsigned i = 0; i < DAY; i++) {
                if (uniform(s) < load[i] * 4)
                        kib = fabs(kib + floor(unit * normal(s) * 40) * unit);
                out[i] = kib * 1024;
        }
}

static void make_decimals(const double *load, uint64_t *s, double unit, double *out) {
        double scatter = 0.02 + 0.15 * uniform(s);
        for (unsigned i = 0; i < DAY; i++)
                out[i] = floor(fmax(0, load[i] * (1 + scatter * normal(s))) * unit) / unit;
}

static void make_full(const double *load, uint64_t *s, double *out) {
        for (unsigned i = 0; i < DAY; i++)
                out[i] = (0.02 + load[i]) * (1 + 0.3 * normal(s)) / 3;
}

static void make_series(Class class, const double *load, uint64_t *s, double *out) {
        switch (class) {
        case CONSTANT:
                out[0] = uniform(s) < 0.5 ? 0 : floor(uniform(s) * 1e10);
                for (unsigned i = 1; i < DAY; i++)
                        out[i] = out[0];
                break;
        case NS_COUNTER: make_cpu(load, s, 1e9, out); break;
        case US_COUNTER: make_cpu(load, s, 1e6, out); break;
        case BYTE_COUNTER: make_bytes(load, s, out); break;
        case EVENT_COUNTER: make_events(load, s, out); break;
        case KIB_GAUGE: make_kib(load, s, out); break;
        case CENT_GAUGE: make_decimals(load, s, 100, out); break;
        case RATIO4: make_decimals(load, s, 10000, out); break;
        default: make_full(load, s, out); break;
        }
}

static double now_ns(void) {
        struct timespec ts;
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
        double x = *(const double *)a, y = *(const double *)b;
        return (x > y) - (x < y);
}

/* Bits of n values that are each coded by how often they occur. */
static double entropy(double *r, unsigned n) {
        double bits = 0;
        qsort(r, n, sizeof *r, compare_doubles);
        for (unsigned i = 0, k; i < n; i = k) {
                for (k = i; k < n && r[k] == r[i]; k++)
                        ;
                bits -= (k - i) * log2((double)(k - i) / n);
        }
        return bits;
}

/* The same of a normal distribution, for values that hardly occur twice: what a day's own counts cannot tell. */
static double normal_bits(const double *r, unsigned n) {
        double mean = 0, square = 0;
        for (unsigned i = 0; i < n; i++)
                mean += r[i] / n;
        for (unsigned i = 0; i < n; i++)
                square += (r[i] - mean) * (r[i] - mean) / n;
        return n * (0.5 * log2(square + 1e-9) + 2.05);
}

static double column_entropy(const double *values, double unit) {
        static double r[DAY], sorted[DAY];
        double best = 64.0 * DAY;
        for (unsigned i = 0; i < DAY; i++)
                r[i] = rint(values[i] * unit);
        for (unsigned order = 0, n = DAY; order < 3; order++, n--) {
                memcpy(sorted, r, n * sizeof *r);
                double bits = entropy(sorted, n);
                if (bits > 11.0 * n)
                        bits = fmax(bits, normal_bits(r, n));
                best = fmin(best, bits);
                for (unsigned i = 0; i + 1 < n; i++)
                        r[i] = r[i + 1] - r[i];
        }
        return best / 8;
}

typedef struct Result {
        double bytes, encode_ns, decode_ns, values, entropy;
} Result;

static void add(Result *sum, const Result *r) {
        sum->bytes += r->bytes;
        sum->encode_ns += r->encode_ns;
        sum->decode_ns += r->decode_ns;
        sum->values += r->values;
        sum->entropy += r->entropy;
}

/* Encodes and decodes a series in columns of n. */
static Result run_once(const double *values, unsigned n, CodecEffort effort, Buf *b) {
        static double back[DAY];
        static size_t at[DAY / 5 + 1];
        buf_reset(b);
        double t0 = now_ns();
        unsigned columns = 0;
        for (unsigned i = 0; i < DAY; i += n) {
                values_encode(values + i, n, effort, b);
                at[++columns] = b->len;
        }
        double t1 = now_ns();
        int e = 0;
        for (unsigned i = 0; i < columns; i++)
                e |= values_decode((uint8_t *)b->data + at[i], at[i + 1] - at[i], n, back + i * n);
        double t2 = now_ns();
        if (e || buf_error(b) || memcmp(back, values, sizeof back) != 0) {
                (void)fprintf(stderr, "bench_codec: a column did not come back\n");
                abort();
        }
        return (Result){ (double)b->len, t1 - t0, t2 - t1, DAY, 0 };
}

/* The best of some times: the others shared the processor with something. */
static void run_series(const double *values, unsigned n, CodecEffort effort, Result *sum) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        if (!buf_reserve(&b, 1 << 20))
                abort();
        Result best = run_once(values, n, effort, &b);
        for (unsigned i = 0; i < 4; i++) {
                Result r = run_once(values, n, effort, &b);
                best.encode_ns = fmin(best.encode_ns, r.encode_ns);
                best.decode_ns = fmin(best.decode_ns, r.decode_ns);
        }
        add(sum, &best);
}

static void print(const char *name, const Result *r, double of) {
        (void)printf("%-16s %5.1f %% %8.4f B %8.4f B %7.2f ns %7.2f ns\n", name, 100 * r->values / of, r->entropy / r->values,
                     r->bytes / r->values, r->encode_ns / r->values, r->decode_ns / r->values);
}

static void run_fleet(unsigned vms, unsigned n, CodecEffort effort, bool declared) {
        static double load[DAY], values[DAY];
        static const double UNITS[CLASSES] = { [NS_COUNTER] = 1e9, [US_COUNTER] = 1e6, [CENT_GAUGE] = 100, [RATIO4] = 1e4, [FULL_DOUBLE] = 0x1p54 };
        Result sums[CLASSES] = { 0 }, all = { 0 };
        for (unsigned vm = 0; vm < vms; vm++) {
                uint64_t seed = vm * 1000003u + 7;
                make_load(vm % 10 == 0 ? STOPPED : vm % 10 < 4 ? IDLE : BUSY, &seed, load);
                for (unsigned c = 0; c < CLASSES; c++)
                        for (unsigned k = 0; k < (declared ? CLASS[c].declared : CLASS[c].series); k++) {
                                make_series((Class)c, load, &seed, values);
                                if (n == DAY && effort == CODEC_SMALL)
                                        sums[c].entropy += column_entropy(values, UNITS[c] ? UNITS[c] : 1);
                                run_series(values, n, effort, &sums[c]);
                        }
        }
        for (unsigned c = 0; c < CLASSES; c++)
                add(&all, &sums[c]);
        (void)printf("\ncolumns of %u, %s%s\n%-16s %7s %10s %10s %10s %10s\n", n, effort == CODEC_FAST ? "FAST" : "SMALL",
                     declared ? ", declared resolutions" : "", "", "share", "entropy", "bytes", "encode", "decode");
        for (unsigned c = 0; c < CLASSES; c++)
                if (sums[c].values > 0)
                        print(CLASS[c].name, &sums[c], all.values);
        print("all", &all, all.values);
}

static void run_times(unsigned n, double jitter, double missing) {
        static int64_t times[DAY], back[DAY];
        uint64_t s = 3;
        int64_t beat = 170000000;
        for (unsigned i = 0; i < n; i++) {
                beat += uniform(&s) < missing ? 2 + (int64_t)(uniform(&s) * 4) : 1;
                times[i] = beat * 10000 + (int64_t)floor((2 * uniform(&s) - 1) * jitter + 0.5);
        }
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        double t0 = now_ns();
        times_encode(times, n, &b);
        double t1 = now_ns();
        int e = times_decode((uint8_t *)b.data, b.len, n, back);
        double t2 = now_ns();
        if (e || memcmp(times, back, n * sizeof *times) != 0)
                abort();
        (void)printf("%5u instants, jitter %g ms, %g missing: %zu bytes, %.4f B each, encode %.2f ns, decode %.2f ns\n", n, jitter,
                     missing, b.len, (double)b.len / n, (t1 - t0) / n, (t2 - t1) / n);
}

int main(int argc, char **argv) {
        unsigned vms = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 40;
        static const unsigned SIZES[] = { 60, 720, DAY };
        for (unsigned i = 0; i < ARRAY_LEN(SIZES); i++) {
                run_fleet(vms, SIZES[i], CODEC_FAST, false);
                run_fleet(vms, SIZES[i], CODEC_SMALL, false);
        }
        run_fleet(vms, DAY, CODEC_SMALL, true);
        for (unsigned i = 0; i < ARRAY_LEN(SIZES); i++)
                for (unsigned k = 0; k < 4; k++)
                        run_times(SIZES[i], k & 1 ? 5 : 0, k & 2 ? 0.002 : 0);
        return 0;
}
