/* The store, and who waits for it: posts that are to be acknowledged when they are on the disk. */
#include "daemon/daemon.h"
#include "rt/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define WAITING_MAX 1024u
#define QUEUES_DEPTH 2u /* store, forward, a target */

SeriesSink *history_sink(Daemon *d) {
        return forward_sink(d->forward);
}

static void on_durable(void *context) {
        Daemon *d = context;
        ack_queue_advance(d->acks, history_sink(d)->durable(history_sink(d)));
        forward_kick(d->forward);
}

/* The committer's: what is to be sent on is in its queues before the store says that it is kept. */
static void before_commit(void *context) {
        Daemon *d = context;
        int r = forward_commit(d->forward);
        (void)r; /* counted there; holds nobody up */
}

static bool commit_wanted(void *context) {
        Daemon *d = context;
        return forward_commit_pending(d->forward);
}

static void on_failed(void *context, int error) {
        Daemon *d = context;
        LOG_LIMITED(LOG_ERROR, "store.log", "commit", LOG_E("error", error), LOG_I("waiting", ack_queue_length(d->acks)));
        ack_queue_fail(d->acks, 503);
}

static const StoreHostOps OPS = { .durable = on_durable, .failed = on_failed, .before_commit = before_commit, .commit_wanted = commit_wanted };

/* The default directory is two deep: its parent is made as well, where we may. */
static void make_parent(const char *directory) {
        char parent[4096];
        (void)snprintf(parent, sizeof parent, "%s", directory);
        char *slash = strrchr(parent, '/');
        if (slash && slash != parent) {
                *slash = '\0';
                (void)mkdir(parent, 0750); /* what is wrong is said when the directory itself is opened */
        }
}

static void closedirp(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

/* The directory and its files, which may have been root's before there was a user. */
static int hand_over(const char *directory, uid_t user, gid_t group, unsigned depth) {
        CLEANUP(closedirp) DIR *folder = opendir(directory);
        if (!folder)
                return -errno;
        int r = fchown(dirfd(folder), user, group) < 0 ? -errno : 0;
        for (const struct dirent *e; r == 0 && (e = readdir(folder));) {
                char below[4096];
                bool fits = snprintf(below, sizeof below, "%s/%s", directory, e->d_name) < (int)sizeof below;
                if (e->d_name[0] == '.' && depth == 0)
                        continue;
                if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
                        continue;
                if (fchownat(dirfd(folder), e->d_name, user, group, AT_SYMLINK_NOFOLLOW) < 0)
                        r = -errno;
                else if (e->d_type == DT_DIR && depth < QUEUES_DEPTH && fits)
                        r = hand_over(below, user, group, depth + 1);
        }
        return r;
}

int history_prepare(Daemon *d, uid_t user, gid_t group) {
        const char *directory = d->settings->store.directory;
        if (!d->settings->store.enabled)
                return 0;
        make_parent(directory);
        int r = vfs_posix_new(directory, &d->store_directory);
        if (r == 0 && user != (uid_t)-1)
                r = hand_over(directory, user, group, 0);
        if (r < 0)
                LOG(LOG_ERROR, "store.open_failed", LOG_S("directory", directory), LOG_E("error", r));
        return r;
}

int history_open(Daemon *d) {
        if (!d->store_directory)
                return 0;
        int r = ack_queue_new(WAITING_MAX, &d->acks);
        if (r == 0)
                r = remote_write_new(&d->remote_write);
        if (r == 0)
                r = text_import_new(&d->import);
        if (r == 0)
                r = store_jobs_new(wall_now(), &d->jobs);
        if (r == 0)
                r = forwarding_prepare(d);
        if (r == 0)
                r = store_host_open(d->loop, d->settings, TAKE_PTR(d->store_directory), &OPS, d, &d->store);
        if (r == 0)
                r = queries_open(d);
        if (r < 0)
                return r;
        forward_begin(d->forward, store_sink(store_host_store(d->store)));
        d->local.series = history_sink(d);
        LOG(LOG_INFO, "store.open", LOG_S("directory", d->settings->store.directory));
        return 0;
}

void history_close(Daemon *d) {
        d->local.series = NULL;
        queries_close(d);
        d->store = store_host_close(d->store);
        forwarding_close(d);
        d->store_directory = vfs_free(d->store_directory);
        d->acks = ack_queue_free(d->acks);
        d->remote_write = remote_write_free(d->remote_write);
        d->import = text_import_free(d->import);
        d->jobs = store_jobs_free(d->jobs);
}

/* What of the store is on /metrics/self; counters of senders beside it. */
void history_collect_self(Daemon *d) {
        if (!d->store)
                return;
        StoreStats s;
        store_stats(store_host_store(d->store), &s);
        const RemoteWriteStats *w = remote_write_stats(d->remote_write);
        self_set(&d->self, SELF_STORE_SERIES, s.head_series);
        self_set(&d->self, SELF_STORE_SERIES_CREATED, (double)s.series_created);
        self_set(&d->self, SELF_STORE_SERIES_DROPPED, (double)s.series_dropped);
        self_set(&d->self, SELF_STORE_SAMPLES, (double)s.samples);
        self_set(&d->self, SELF_STORE_DUPLICATES, (double)s.duplicates);
        self_set(&d->self, SELF_STORE_HEAD_SAMPLES, (double)s.head_samples);
        self_set(&d->self, SELF_STORE_HEAD_BYTES, (double)s.head_bytes);
        self_set(&d->self, SELF_STORE_MEMORY_BYTES, (double)s.memory_bytes);
        self_set(&d->self, SELF_STORE_LOG_BYTES, (double)s.wal.disk_bytes);
        self_set(&d->self, SELF_STORE_LOG_SYNCS, (double)s.wal.syncs);
        self_set(&d->self, SELF_STORE_LOG_SYNC_SECONDS, (double)s.wal.sync_ns / 1e9);
        self_set(&d->self, SELF_STORE_LOG_FAILURES, (double)s.wal.failures);
        self_set(&d->self, SELF_STORE_LOG_HANGS, (double)s.hangs);
        self_set(&d->self, SELF_STORE_LOG_BROKEN, s.log_broken);
        self_set(&d->self, SELF_STORE_LOG_LOST, (double)s.lost_log);
        self_set(&d->self, SELF_STORE_DISK_FULL, s.disk_full);
        self_set(&d->self, SELF_STORE_FLUSHES, (double)s.flushes);
        self_set(&d->self, SELF_STORE_FLUSH_SECONDS, (double)s.flush_ns / 1e9);
        self_set(&d->self, SELF_STORE_MERGES, (double)s.merges);
        self_set(&d->self, SELF_STORE_MERGE_SECONDS, (double)s.merge_ns / 1e9);
        self_set(&d->self, SELF_STORE_ROLLUPS, (double)s.rollups);
        self_set(&d->self, SELF_STORE_DELETIONS, (double)s.deletions);
        self_set(&d->self, SELF_STORE_FAILURES, (double)s.failures);
        self_set(&d->self, SELF_STORE_DAMAGED, (double)s.damaged);
        self_set(&d->self, SELF_STORE_RAW_BYTES, (double)s.tier[STORE_RAW].bytes);
        self_set(&d->self, SELF_STORE_5M_BYTES, (double)s.tier[STORE_5M].bytes);
        self_set(&d->self, SELF_STORE_1H_BYTES, (double)s.tier[STORE_1H].bytes);
        self_set(&d->self, SELF_STORE_RAW_SAMPLES, (double)s.tier[STORE_RAW].samples);
        double refused = 0;
        for (size_t i = 0; i < SAMPLE_FAULT_COUNT; i++)
                refused += (double)s.refused[i];
        self_set(&d->self, SELF_STORE_REFUSED, refused);
        self_set(&d->self, SELF_STORE_OUT_OF_ORDER, (double)s.refused[SAMPLE_TOO_OLD]);
        self_set(&d->self, SELF_STORE_LIMITED, (double)(s.refused[SAMPLE_SERIES_LIMIT] + s.refused[SAMPLE_CHURN_LIMIT]));
        self_set(&d->self, SELF_REMOTE_WRITE_REQUESTS, (double)w->requests);
        self_set(&d->self, SELF_REMOTE_WRITE_REFUSED, (double)w->refused);
        self_set(&d->self, SELF_REMOTE_WRITE_BYTES, (double)w->bytes);
        self_set(&d->self, SELF_REMOTE_WRITE_SAMPLES, (double)w->samples);
        self_set(&d->self, SELF_REMOTE_WRITE_EXEMPLARS, (double)w->exemplars);
        self_set(&d->self, SELF_REMOTE_WRITE_EXEMPLARS_DROPPED, (double)w->exemplars_dropped);
        self_set(&d->self, SELF_REMOTE_WRITE_WAITING, (double)ack_queue_length(d->acks));
}
