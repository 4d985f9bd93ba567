/* What a look at a virtual machine costs in the kernel's lane: CPU of this thread per machine, on the
 * QEMU processes of this host. Usage: bench_qemu [ROUNDS] (as root, with machines running). */
#include "collect/qemu/qemu.h"

#include <time.h>

static void take_batch(Sink *s, const Batch *b) {
        (void)s;
        (void)b;
}
static void take_entity(Sink *s, const EntityInfo *info) {
        (void)s;
        (void)info;
}
static void take_gone(Sink *s, EntityKey key) {
        (void)s;
        (void)key;
}
static void take_group_gone(Sink *s, EntityKey key, GroupId group) {
        (void)s;
        (void)key;
        (void)group;
}

static double cpu_us(void) {
        struct timespec ts;
        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
        return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
        long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 1000;
        Sink sink = { .batch = take_batch, .entity = take_entity, .gone = take_gone, .group_gone = take_group_gone };
        CLEANUP(qemu_freep) QemuCollector *q = NULL;
        EntityKey host = { ENTITY_HOST, UUID_NULL };
        if (qemu_new("/", host, 10000, &q) < 0 || qemu_discover(q, &sink) < 0 || qemu_count(q) == 0) {
                (void)fprintf(stderr, "bench_qemu: no QEMU process found\n");
                return 1;
        }
        /* Rounds of 10 s on a clock of their own. */
        MonoTime mono = mono_now();
        for (int i = 0; i < 5; i++) {
                if (qemu_discover(q, &sink) < 0)
                        return 1;
                for (size_t k = 0; k < qemu_count(q); k++)
                        (void)qemu_look(q, qemu_at(q, k), wall_now(), mono, &sink);
        }
        size_t n = qemu_count(q);
        double start = cpu_us();
        for (long r = 0; r < rounds; r++) {
                mono = mono_add(mono, SECONDS(10));
                for (size_t k = 0; k < n; k++)
                        (void)qemu_look(q, qemu_at(q, k), wall_now(), mono, &sink);
        }
        double looked = cpu_us() - start;
        for (size_t k = 0; k < n; k++) {
                start = cpu_us();
                for (long r = 0; r < rounds; r++) {
                        mono = mono_add(mono, SECONDS(10));
                        (void)qemu_look(q, qemu_at(q, k), wall_now(), mono, &sink);
                }
                char id[UUID_TEXT_LEN + 1];
                uuid_format(qemu_at(q, k), id);
                (void)printf("look_cpu_us{uuid=\"%s\"} %.2f\n", id, (cpu_us() - start) / (double)rounds);
        }
        start = cpu_us();
        for (int r = 0; r < 100; r++)
                if (qemu_discover(q, &sink) < 0)
                        return 1;
        double discovered = cpu_us() - start;
        (void)printf("domains %zu\nlook_cpu_us_per_domain %.2f\ndiscover_cpu_us %.1f\ndescriptors_per_domain %.1f\n", n,
                     looked / (double)rounds / (double)n, discovered / 100,
                     (double)qemu_counts(q).descriptors / (double)n);
        return 0;
}
