/* What sending on costs: samples of a fleet through the queue (append, commit, read) into requests, without a network.
 * CPU time per million samples; the queue is in a directory of /dev/shm unless another one is named.
 *
 *   build/bench_forward [DIRECTORY] */
#include "base/buf.h"
#include "forward/target.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <xxhash.h>

enum { SERIES = 16000, ROUNDS = 125 };

typedef struct Bench {
        Target *target;
        bool busy;
        uint64_t requests, bytes;
} Bench;

static int post(void *context, const SenderPost *p) {
        Bench *b = context;
        b->busy = true;
        b->requests++;
        b->bytes += p->body->len;
        return 0;
}

static void cancel(void *context, uint32_t shard) {
        (void)context, (void)shard;
}

static void complaint(void *context, const SenderAnswer *a, size_t n, bool dropped) {
        (void)context, (void)a, (void)n, (void)dropped;
}

static double cpu(void) {
        struct rusage u;
        (void)getrusage(RUSAGE_SELF, &u);
        return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 + (double)u.ru_stime.tv_sec +
               (double)u.ru_stime.tv_usec / 1e6;
}

static void make_runs(Buf *runs, size_t at[SERIES + 1]) {
        for (size_t i = 0; i < SERIES; i++) {
                char texts[5][64];
                (void)snprintf(texts[0], 64, "libvirt_domain_block_stats_read_requests_%zu_total", i % 80);
                (void)snprintf(texts[1], 64, "instance-%08zx", i / 80);
                (void)snprintf(texts[2], 64, "%08zx-1111-2222-3333-444444444444", i / 80 * 2654435761u);
                (void)snprintf(texts[3], 64, "vd%c", (char)('a' + i % 4));
                (void)snprintf(texts[4], 64, "/var/lib/libvirt/images/instance-%08zx.qcow2", i / 80);
                static const char *const NAMES[] = { "__name__", "domain", "uuid", "target_device", "source_file" };
                Label labels[8] = { { { "job", 3 }, { "libvirt", 7 } },
                                    { { "instance", 8 }, { "node17", 6 } },
                                    { { "host", 4 }, { "node17", 6 } } };
                for (size_t k = 0; k < 5; k++)
                        labels[3 + k] = (Label){ span_of(NAMES[k]), span_of(texts[k]) };
                at[i] = runs->len;
                LabelsFault fault = labels_build(labels, 8, runs);
                assert(fault == LABELS_OK);
        }
        at[SERIES] = runs->len;
}

static void remove_all(const char *path) {
        DIR *d = opendir(path);
        for (const struct dirent *e; d && (e = readdir(d));)
                if (e->d_name[0] != '.')
                        (void)unlinkat(dirfd(d), e->d_name, 0);
        if (d)
                (void)closedir(d);
}

static void run(const char *directory, RwVersion version) {
        static size_t at[SERIES + 1];
        CLEANUP(buf_deinit) Buf runs = BUF_NULL;
        Encoder encoder = ENCODER_NULL;
        Described described = DESCRIBED_NULL;
        ForwardConfig config = { 0 };
        ForwardTargetConfig c = { .max_bytes = (uint64_t)1 << 30,
                                  .sender = { .capacity = 10000,
                                              .min_shards = 1,
                                              .max_shards = 1,
                                              .max_samples_per_send = 2000,
                                              .batch_send_deadline = SECONDS(5),
                                              .min_backoff = MILLISECONDS(30),
                                              .max_backoff = SECONDS(5),
                                              .version = version } };
        TargetShared shared = { .encoder = &encoder, .described = &described, .config = &config };
        Bench b = { 0 };
        Transport t = { post, cancel, &b };
        Vfs *vfs = NULL;
        make_runs(&runs, at);
        remove_all(directory);
        int r = vfs_posix_new(directory, &vfs);
        if (r == 0)
                r = target_open(vfs, &c, &shared, &t, complaint, &b, &b.target);
        assert(r == 0);
        double appending = 0, committing = 0, sending = 0;
        for (int64_t round = 0; round < ROUNDS; round++) {
                double begin = cpu();
                for (size_t i = 0; i < SERIES; i++) {
                        int64_t time = INT64_C(1700000000000) + round * 10000 + (int64_t)(i / 80);
                        double value = (double)round * 3.7 + (double)i;
                        XXH128_hash_t h = XXH3_128bits_withSeed(runs.data + at[i], at[i + 1] - at[i], 1);
                        TargetKey key = { { h.low64, h.high64 }, (uint8_t *)runs.data + at[i], at[i + 1] - at[i] };
                        target_floats(b.target, &key, &time, &value, 1);
                }
                target_end(b.target);
                double appended = cpu();
                r = target_commit(b.target);
                assert(r == 0);
                double committed = cpu();
                MonoTime now = { 1 + round * NS_PER_SEC };
                do {
                        b.busy = false;
                        MonoTime next = target_step(b.target, now, wall_now());
                        assert(next.ns >= now.ns);
                        if (b.busy)
                                sender_answer(target_sender(b.target), 0,
                                              &(SenderAnswer){ .status = 204, .tells_written = true }, now);
                } while (b.busy);
                appending += appended - begin;
                committing += committed - appended;
                sending += cpu() - committed;
        }
        double millions = (double)SERIES * ROUNDS / 1e6;
        const SenderStats *s = sender_stats(target_sender(b.target));
        printf("remote write %s: CPU seconds per million samples: append %.3f, commit %.3f, read and encode %.3f, all "
               "%.3f\n",
               version == RW_2 ? "2.0" : "1.0", appending / millions, committing / millions, sending / millions,
               (appending + committing + sending) / millions);
        printf("  %.1f bytes a sample sent, %.1f before compression, %llu sent in %llu requests\n",
               (double)s->bytes / (double)s->sent, (double)s->raw_bytes / (double)s->sent, (unsigned long long)s->sent,
               (unsigned long long)s->requests);
        b.target = target_close(b.target);
        encoder_deinit(&encoder);
        described_deinit(&described);
}

int main(int argc, char **argv) {
        const char *directory = argc > 1 ? argv[1] : "/dev/shm/parallax-bench-forward";
        run(directory, RW_1);
        run(directory, RW_2);
        remove_all(directory);
        return rmdir(directory) < 0;
}
