/* What is known of a container by its processes: how many, their run-queue delay, the first one's start
 * and network. Everything here races with processes that end; what is not there any more is left out. */
#include "collect/container/container_priv.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BELOW_MAX 4          /* levels of cgroups below the container's own */
#define PROCESSES_MAX 4096u  /* counted beyond it, not looked at */
#define THREADS_MAX 1024u    /* more: run-queue times are absent, a look would cost too much */
#define TICK_NS INT64_C(10000000)

void ctr_id_list_deinit(IdList *l) {
        free(l->ids);
        *l = (IdList){ .max = l->max };
}

static void id_add(IdList *l, uint32_t id) {
        l->total++;
        if (l->n >= l->max)
                return;
        if (l->n == l->cap) {
                size_t cap = l->cap ? l->cap * 2 : 32;
                uint32_t *ids = reallocarray(l->ids, cap, sizeof *ids);
                if (!ids)
                        return;
                l->ids = ids;
                l->cap = cap;
        }
        l->ids[l->n++] = id;
}

static void ids_read(IdList *l, Buf *text, int dir, const char *file) {
        buf_reset(text);
        if (buf_read_file(text, dir, file, (size_t)4 << 20) < 0)
                return;
        Scan s = SCAN(text->data, text->len);
        Span line;
        uint64_t id;
        /* 0 is a process that this PID namespace cannot name. */
        while (scan_line(&s, &line))
                if (span_u64(line, &id) && id > 0 && id <= INT32_MAX)
                        id_add(l, (uint32_t)id);
}

static void cleanup_closedir(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

/* Ids in `file` of the directory and of those below it. Takes fd. */
static void ids_below(IdList *l, Buf *text, int fd, const char *file, int depth) {
        struct stat st;
        CLEANUP_FD int own = fd;
        ids_read(l, text, own, file);
        if (depth >= BELOW_MAX || fstat(own, &st) < 0 || st.st_nlink == 2)
                return;
        CLEANUP(cleanup_closedir) DIR *d = fdopendir(own);
        if (!d)
                return;
        own = -1;
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
                        continue;
                int child = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
                if (child >= 0)
                        ids_below(l, text, child, file, depth + 1);
        }
}

/* Processes ("cgroup.procs") or threads of a container, by the first of its hierarchies that has some. */
static void container_ids(const Container *k, bool threads, IdList *l) {
        static const CgroupController ORDER[] = { CGROUP_MEMORY, CGROUP_CPUACCT, CGROUP_PIDS, CGROUP_UNIFIED };
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        for (size_t i = 0; i < ARRAY_LEN(ORDER) && l->n == 0; i++) {
                const char *dir = k->paths.dir[ORDER[i]];
                int fd = dir[0] ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
                if (fd < 0)
                        continue;
                const char *file = !threads ? "cgroup.procs" : k->paths.v2[ORDER[i]] ? "cgroup.threads" : "tasks";
                ids_below(l, &text, fd, file, 0);
        }
}

/* ---- the host */

static void link_text(const char *root, const char *path, char out[64]) {
        char full[PATH_MAX];
        out[0] = '\0';
        if (snprintf(full, sizeof full, "%s/%s", root, path) >= (int)sizeof full)
                return;
        ssize_t n = readlink(full, out, 63);
        out[n > 0 ? n : 0] = '\0';
}

void ctr_read_host(Containers *c) {
        Scan s;
        Span line, word;
        uint64_t seconds;
        if (ctr_read_root(c, "proc/stat", &s))
                while (scan_line(&s, &line)) {
                        Scan l = SCAN(line.text, line.len);
                        if (scan_word(&l, &word) && span_is(word, "btime") && scan_u64(&l, &seconds) &&
                            seconds < INT64_MAX / NS_PER_SEC)
                                c->boot_ns = (int64_t)seconds * NS_PER_SEC;
                }
        link_text(c->root, "proc/1/ns/net", c->host_net);
        /* Without the right to look at process 1, this process's own is the best guess on the host. */
        if (c->host_net[0] == '\0' && c->root[0] == '\0')
                link_text("", "proc/self/ns/net", c->host_net);
        char path[PATH_MAX];
        struct statfs fs;
        struct stat st;
        if (snprintf(path, sizeof path, "%s/proc/self/fd", c->root) < (int)sizeof path)
                c->fd_sizes = statfs(path, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC && stat(path, &st) == 0 &&
                              st.st_size > 0;
}

/* ---- the first process */

/* Start of a process after boot in ticks: field 22 of /proc/PID/stat, the 20th after the name. */
static bool start_ticks(Containers *c, uint32_t pid, uint64_t *ret_ticks) {
        char path[64];
        Scan s;
        Span word;
        (void)snprintf(path, sizeof path, "proc/%u/stat", pid);
        if (!ctr_read_root(c, path, &s))
                return false;
        /* The name may hold anything, ") " too: the last parenthesis ends it. */
        const char *close = memrchr(s.at, ')', (size_t)(s.end - s.at));
        if (!close)
                return false;
        s.at = close + 1;
        for (int i = 0; i < 19; i++)
                if (!scan_word(&s, &word))
                        return false;
        return scan_u64(&s, ret_ticks);
}

static bool contains(const IdList *l, uint32_t id) {
        for (size_t i = 0; i < l->n; i++)
                if (l->ids[i] == id)
                        return true;
        return false;
}

bool ctr_find_pid(Containers *c, Container *k) {
        IdList *l = &c->processes;
        uint32_t before = k->pid;
        l->n = l->total = 0;
        l->max = PROCESSES_MAX;
        if (k->engine == ENGINE_CGROUP) {
                k->started_ns = strcmp(k->path, "/") == 0 ? c->boot_ns : 0;
                return false;
        }
        container_ids(k, false, l);
        if (k->pid != 0 && contains(l, k->pid))
                return false;
        uint32_t first = 0;
        for (size_t i = 0; i < l->n; i++)
                if (first == 0 || l->ids[i] < first)
                        first = l->ids[i];
        k->pid = first;
        k->own_net = false;
        uint64_t ticks;
        /* A service keeps its start when its first process ends and others stay. */
        if (first != 0 && k->started_ns == 0 && c->boot_ns != 0 && start_ticks(c, first, &ticks) &&
            ticks < INT64_MAX / TICK_NS / 2)
                k->started_ns = c->boot_ns + (int64_t)ticks * TICK_NS;
        return k->pid != before;
}

static void send_start(Containers *c, Container *k) {
        ctr_begin(c, k, GROUP_CTR_START);
        if (k->started_ns != 0)
                batch_set(&c->batch, M_CTR_START_TIME, (double)k->started_ns / 1e9);
        batch_set(&c->batch, M_CTR_START_LAST_SEEN, (double)(c->wall.ns / NS_PER_SEC));
        ctr_end(c, k, GROUP_CTR_START, true);
}

/* ---- network */

/* "  eth0: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes packets errs drop ..." */
static bool net_line(Containers *c, Span line) {
        static const MetricId COLUMNS[12] = {
                M_CTR_NET_RX_BYTES, M_CTR_NET_RX_PACKETS, M_CTR_NET_RX_ERRORS, M_CTR_NET_RX_DROPPED, 0, 0, 0, 0,
                M_CTR_NET_TX_BYTES, M_CTR_NET_TX_PACKETS, M_CTR_NET_TX_ERRORS, M_CTR_NET_TX_DROPPED,
        };
        Scan s = SCAN(line.text, line.len);
        Span name;
        uint64_t v[12];
        scan_blank(&s);
        if (!scan_until(&s, ':', &name) || name.len == 0 || span_is(name, "lo"))
                return false;
        for (size_t i = 0; i < 12; i++)
                if (!scan_u64(&s, &v[i]))
                        return false;
        batch_row1(&c->batch, name.text, name.len);
        for (size_t i = 0; i < 12; i++)
                if (i < 4 || i >= 8)
                        batch_set(&c->batch, COLUMNS[i], (double)v[i]);
        return true;
}

/* The descriptor is not kept: it would hold the namespace of a dead container alive. */
static void send_net(Containers *c, Container *k) {
        char path[64], net[64];
        Scan s;
        Span line;
        bool any = false;
        ctr_begin(c, k, GROUP_CTR_NET);
        (void)snprintf(path, sizeof path, "proc/%u/ns/net", k->pid);
        if (k->pid != 0 && c->host_net[0] != '\0') {
                /* Asked each time: an engine moves its process there after it was born. */
                link_text(c->root, path, net);
                k->own_net = net[0] != '\0' && strcmp(net, c->host_net) != 0;
        }
        (void)snprintf(path, sizeof path, "proc/%u/net/dev", k->pid);
        if (k->own_net && k->pid != 0 && ctr_read_root(c, path, &s))
                while (scan_line(&s, &line))
                        any |= net_line(c, line);
        ctr_end(c, k, GROUP_CTR_NET, any);
}

/* ---- processes */

static bool count_entries(const char *path, uint64_t *ret_n) {
        CLEANUP(cleanup_closedir) DIR *d = opendir(path);
        if (!d)
                return false;
        uint64_t n = 0;
        for (struct dirent *e = readdir(d); e; e = readdir(d))
                n += e->d_name[0] != '.';
        *ret_n = n;
        return true;
}

/* Descriptors of one process: 1 counted, 0 when it ended meanwhile, -1 when we may not know. */
static int process_fds(const Containers *c, uint32_t pid, uint64_t *sum) {
        char path[PATH_MAX];
        struct stat st;
        uint64_t n;
        if (snprintf(path, sizeof path, "%s/proc/%u/fd", c->root, pid) >= (int)sizeof path)
                return -1;
        if (c->fd_sizes) {
                if (stat(path, &st) < 0)
                        return errno == ENOENT || errno == ESRCH ? 0 : -1;
                *sum += (uint64_t)st.st_size;
                return 1;
        }
        if (!count_entries(path, &n))
                return errno == ENOENT || errno == ESRCH ? 0 : -1;
        *sum += n;
        return 1;
}

static bool set_fds(Containers *c, const IdList *l) {
        uint64_t sum = 0;
        bool any = false;
        if (l->total > l->n)
                return false;
        for (size_t i = 0; i < l->n; i++) {
                int r = process_fds(c, l->ids[i], &sum);
                if (r < 0)
                        return false;
                any |= r > 0;
        }
        if (any)
                batch_set(&c->batch, M_CTR_PROC_FDS, (double)sum);
        return any;
}

static void send_proc(Containers *c, Container *k) {
        Scan s;
        uint64_t v;
        bool any = false;
        ctr_begin(c, k, GROUP_CTR_PROC);
        if (k->engine != ENGINE_CGROUP) {
                batch_set(&c->batch, M_CTR_PROC_PROCESSES, (double)c->processes.total);
                (void)set_fds(c, &c->processes);
                any = true;
        }
        if (ctr_read(c, k, F_PIDS, &s) && scan_u64(&s, &v)) {
                batch_set(&c->batch, M_CTR_PROC_THREADS, (double)v);
                any = true;
        }
        if (ctr_read(c, k, F_PIDS_MAX, &s) && scan_u64(&s, &v))
                batch_set(&c->batch, M_CTR_PROC_THREADS_MAX, (double)v);
        ctr_end(c, k, GROUP_CTR_PROC, any);
}

/* ---- run queue */

static bool thread_read(Containers *c, uint32_t tid, ThreadTime *ret) {
        char path[64];
        Scan s;
        ThreadTime t = { .tid = tid };
        (void)snprintf(path, sizeof path, "proc/%u/schedstat", tid);
        if (!ctr_read_root(c, path, &s) || !scan_u64(&s, &t.values[0]) || !scan_u64(&s, &t.values[1]) ||
            !scan_u64(&s, &t.values[2]))
                return false;
        *ret = t;
        return true;
}

static int compare_thread(const void *a, const void *b) {
        const ThreadTime *x = a, *y = b;
        return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/* The sum over living threads falls when one ends; what each one gained since the last look does not.
 * A thread that is new since the last look brings all it has. */
static void sched_gain(Container *k, const ThreadTime *now) {
        const ThreadTime *before =
                k->threads_known ? bsearch(now, k->threads, k->n_threads, sizeof *now, compare_thread) : NULL;
        for (size_t i = 0; i < 3; i++) {
                uint64_t had = before && before->values[i] <= now->values[i] ? before->values[i] : 0;
                k->sched[i] += now->values[i] - had;
        }
}

static bool sched_read(Containers *c, Container *k) {
        CLEANUP(ctr_id_list_deinit) IdList l = { .max = THREADS_MAX };
        container_ids(k, true, &l);
        if (l.n == 0 || l.total > l.n)
                return false;
        CLEANUP_FREE ThreadTime *threads = calloc(l.n, sizeof *threads);
        if (!threads)
                return false;
        size_t n = 0;
        for (size_t i = 0; i < l.n; i++)
                if (thread_read(c, l.ids[i], &threads[n])) {
                        sched_gain(k, &threads[n]);
                        n++;
                }
        if (n == 0)
                return false;
        qsort(threads, n, sizeof *threads, compare_thread);
        free(k->threads);
        k->threads = TAKE_PTR(threads);
        k->n_threads = n;
        k->threads_known = true;
        return true;
}

static void send_sched(Containers *c, Container *k) {
        bool any = k->engine != ENGINE_CGROUP && sched_read(c, k);
        ctr_begin(c, k, GROUP_CTR_SCHED);
        for (size_t i = 0; i < 3 && any; i++)
                batch_set(&c->batch, (MetricId)(M_CTR_SCHED_RUN + i), (double)k->sched[i]);
        ctr_end(c, k, GROUP_CTR_SCHED, any);
}

void ctr_send_processes(Containers *c, Container *k) {
        send_start(c, k);
        send_net(c, k);
        send_proc(c, k);
        send_sched(c, k);
}
