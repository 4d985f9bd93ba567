/* CPU per sample of what a remote-write request costs before the store sees it: snappy, and the walk over the message. Two
 * shapes: "live" (2,000 series, 1 sample each) and "day" (60 samples each). Labels and values as a fleet of VMs has them.
 *
 *   build/bench_remote_write [ROUNDS] */
#include "base/protobuf.h"
#include "wire/remote_write.h"
#include "wire/snappy.h"

#include <snappy-c.h>
#include <stdio.h>
#include <time.h>

#define SERIES 2000

static void put_bytes(Buf *b, unsigned field, const void *bytes, size_t n) {
        uint8_t head[1 + VARINT_MAX] = { (uint8_t)(field << 3 | PROTO_BYTES) };
        size_t h = 1 + varint_put(head + 1, n);
        buf_put(b, head, h);
        buf_put(b, bytes, n);
}

static void put_label(Buf *series, const char *name, const char *value) {
        CLEANUP(buf_deinit) Buf label = BUF_NULL;
        put_bytes(&label, 1, name, strlen(name));
        put_bytes(&label, 2, value, strlen(value));
        put_bytes(series, 1, label.data, label.len);
}

static void put_sample(Buf *series, double value, int64_t time) {
        uint8_t sample[32] = { 1 << 3 | PROTO_FIXED64 };
        memcpy(sample + 1, &value, 8);
        sample[9] = 2 << 3;
        put_bytes(series, 2, sample, 10 + varint_put(sample + 10, (uint64_t)time));
}

static void put_series(Buf *request, int i, int samples) {
        CLEANUP(buf_deinit) Buf s = BUF_NULL;
        char metric[64], vm[64];
        (void)snprintf(metric, sizeof metric, "vm_metric_%02d_total", i % 60);
        (void)snprintf(vm, sizeof vm, "vm-%04d", i / 60);
        put_label(&s, "__name__", metric);
        put_label(&s, "host", "node-07");
        put_label(&s, "vm", vm);
        for (int k = 0; k < samples; k++)
                put_sample(&s, 1e9 + i * 1000.0 + k * 12345678.0, INT64_C(1700000000000) + k * 10000);
        put_bytes(request, 1, s.data, s.len);
}

static double cpu_ns(void) {
        struct timespec ts;
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void measure(const char *shape, int samples, int rounds) {
        CLEANUP(buf_deinit) Buf message = BUF_NULL, out = BUF_NULL;
        RwRequest q = RW_REQUEST_NULL;
        RwError error;
        const char *why;
        for (int i = 0; i < SERIES; i++)
                put_series(&message, i, samples);
        size_t n = snappy_max_compressed_length(message.len), total = (size_t)SERIES * (size_t)samples;
        CLEANUP_FREE char *packed = malloc(n);
        if (!packed || snappy_compress(message.data, message.len, packed, &n) != SNAPPY_OK)
                abort();
        double snappy = 0, walk = 0;
        uint64_t sum = 0;
        for (int k = 0; k < rounds; k++) {
                double begin = cpu_ns();
                if (snappy_block_decode((const uint8_t *)packed, n, 32u << 20, &out, &why) < 0)
                        abort();
                double middle = cpu_ns();
                if (rw_parse((const uint8_t *)out.data, out.len, RW_1, &q, &error) < 0 || q.n_floats != total)
                        abort();
                for (size_t i = 0; i < q.n_series; i++) {
                        const uint8_t *run;
                        size_t len;
                        if (rw_series_run(&q, &q.series[i], &run, &len) == LABELS_OK)
                                sum += run[len - 1];
                }
                snappy += middle - begin;
                walk += cpu_ns() - middle;
        }
        (void)printf("%-5s %5.1f B raw %5.1f B wire a sample; ns a sample: snappy %5.1f walk %5.1f (%llu)\n", shape,
                     (double)message.len / (double)total, (double)n / (double)total, snappy / rounds / (double)total,
                     walk / rounds / (double)total, (unsigned long long)(sum & 1));
        rw_request_deinit(&q);
}

int main(int argc, char **argv) {
        int rounds = argc > 1 ? atoi(argv[1]) : 200;
        measure("live", 1, rounds * 20);
        measure("day", 60, rounds);
        return 0;
}
