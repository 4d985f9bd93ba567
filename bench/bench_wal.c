/* What the log costs: CPU of appending and committing records of 24 KiB (2,000 samples), and how fast a log is replayed.
 *
 *   bench_wal DIRECTORY [RECORDS]        a directory on the disk in question, which is left empty but for the lock */
#include "rt/thread.h"
#include "store/wal/wal.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>

#define RECORD_BYTES ((size_t)24 << 10)

typedef struct Committer {
        Wal *wal;
        atomic_bool stop;
        int error;
} Committer;

static void commit_all(void *context) {
        Committer *c = context;
        while (!c->stop && c->error == 0)
                c->error = wal_commit(c->wal, true);
}

static double cpu_seconds(int who) {
        struct rusage u;
        (void)getrusage(who, &u);
        return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int take(void *context, uint64_t lsn, uint8_t type, const uint8_t *payload, size_t n) {
        (void)lsn, (void)type, (void)payload;
        *(uint64_t *)context += n;
        return 0;
}

static int write_log(Vfs *v, const WalOptions *o, uint64_t n) {
        Committer c = { 0 };
        int r = wal_open(v, o, &c.wal);
        Thread *t = NULL;
        if (r == 0)
                r = thread_start("bench-commit", commit_all, &c, &t);
        if (r < 0)
                return r;
        static uint8_t bytes[RECORD_BYTES];
        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)(i * 2654435761u >> 13);
        MonoTime begin = mono_now();
        double own = cpu_seconds(RUSAGE_THREAD), all = cpu_seconds(RUSAGE_SELF);
        for (uint64_t i = 0; i < n && c.error == 0;) {
                WalBytes part = { bytes, sizeof bytes };
                uint64_t lsn;
                r = wal_append(c.wal, 1, &part, 1, &lsn);
                if (r == 0)
                        i++;
                else
                        (void)usleep(1000);
        }
        own = cpu_seconds(RUSAGE_THREAD) - own;
        c.stop = true;
        (void)thread_join(t);
        all = cpu_seconds(RUSAGE_SELF) - all;
        double took = duration_seconds(mono_since(mono_now(), begin));
        WalStats s;
        wal_stats(c.wal, &s);
        (void)printf("append %.2f us CPU a record; with commit %.2f us; %.0f MB/s; %llu syncs of %.2f ms\n", own / (double)n * 1e6,
                     all / (double)n * 1e6, (double)s.bytes / took / 1e6, (unsigned long long)s.syncs,
                     (double)s.sync_ns / (double)s.syncs / 1e6);
        c.wal = wal_close(c.wal);
        return c.error;
}

static int read_log(Vfs *v, const WalOptions *o) {
        uint64_t bytes = 0;
        WalReport report;
        MonoTime begin = mono_now();
        int r = wal_replay(v, o->store, 1, take, &bytes, &report);
        double took = duration_seconds(mono_since(mono_now(), begin));
        (void)printf("replay %.2f s a GiB, %llu records, %llu damaged\n", took / (double)bytes * (double)(1 << 30),
                     (unsigned long long)report.records, (unsigned long long)report.damaged);
        WalOptions next = *o;
        next.next_segment = report.last_segment + 1;
        next.next_lsn = report.last_lsn + 1;
        Wal *w = NULL;
        if (r == 0)
                r = wal_open(v, &next, &w);
        if (r == 0)
                r = wal_remove_before(w, next.next_segment);
        (void)wal_close(w);
        return r;
}

int main(int argc, char **argv) {
        if (argc < 2) {
                (void)fprintf(stderr, "usage: bench_wal DIRECTORY [RECORDS]\n");
                return 2;
        }
        uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
        WalOptions o = { .segment_bytes = 64 << 20, .pending_bytes = 32 << 20, .next_segment = 1, .next_lsn = 1 };
        Vfs *v = NULL;
        int r = vfs_posix_new(argv[1], &v);
        if (r == 0)
                r = vfs_lock(v);
        if (r == 0)
                r = write_log(v, &o, n);
        if (r == 0)
                r = read_log(v, &o);
        (void)vfs_free(v);
        if (r < 0)
                (void)fprintf(stderr, "bench_wal: %s\n", strerror(-r));
        return r < 0;
}
