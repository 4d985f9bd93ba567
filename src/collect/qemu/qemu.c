/* Discovery: which QEMU processes there are. A listing of /proc is compared with the last one by pid and
 * inode (the kernel gives each process's directory a new inode number), so that only new processes are
 * opened. Processes named by libvirt's pid files are trusted over others that claim the same UUID. */
#include "collect/qemu/qemu.h"

#include "base/buf.h"
#include "collect/qemu/cmdline.h"
#include "collect/qemu/vm.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define MAX_PROCESSES ((size_t)1 << 22)
#define IDLE_CPU_PART 100
#define IDLE_IO_BYTES 16384u

typedef struct SeenProcess {
        pid_t pid;
        ino_t inode;
        uint8_t looks; /* until SETTLE: a process may have been seen before its exec */
        bool settled;  /* one of the machines, or left out */
        bool left_out; /* a machine without a place: tried again when another one ends */
} SeenProcess;

static void close_dir(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

/* --- machines --- */

static Vm *vm_free(QemuCollector *q, Vm *vm) {
        vm_drop_threads(q, vm);
        vm_drop_cgroup(q, vm);
        procfile_close(&vm->stat, &q->budget);
        procfile_close(&vm->io, &q->budget);
        procfile_close(&vm->status, &q->budget);
        cleanup_close_fd(&vm->dir);
        free(vm->nics);
        free(vm->name);
        free(vm);
        return NULL;
}

/* Where the UUID is, or belongs. */
static size_t vm_position(const QemuCollector *q, const Uuid *id, bool *ret_found) {
        size_t low = 0, high = q->n_vms;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = memcmp(q->vms[middle]->key.id.bytes, id->bytes, sizeof id->bytes);
                if (order == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        *ret_found = false;
        return low;
}

Vm *qemu_find(const QemuCollector *q, const Uuid *id) {
        bool found;
        size_t at = vm_position(q, id, &found);
        return found ? q->vms[at] : NULL;
}

static void vm_remove(QemuCollector *q, size_t at) {
        q->place_free = true;
        EntityKey key = q->vms[at]->key;
        (void)vm_free(q, q->vms[at]);
        memmove(&q->vms[at], &q->vms[at + 1], (q->n_vms - at - 1) * sizeof *q->vms);
        q->n_vms--;
        if (q->change.vanished)
                q->change.vanished(q->change.context, key);
}

static void vm_announce(const Vm *vm, Sink *sink) {
        EntityInfo info = {
                .key = vm->key,
                .engine = ENGINE_NONE,
                .pid = (uint32_t)vm->pid,
                .started_ns = vm->started_ns,
                .name = vm->name,
                .name_len = vm->name_len,
                .path = "",
                .ident = "",
        };
        sink_entity(sink, &info);
}

/* Wall clock of a start in ticks since boot; 0 when /proc/stat does not say. */
static int64_t started_at(const QemuCollector *q, uint64_t start) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        uint64_t boot;
        if (buf_read_file(&text, q->proc, "stat", (size_t)4 << 20) < 0 ||
            !parse_field(text.data, text.len, "btime", &boot) || boot > INT64_MAX / NS_PER_SEC / 2)
                return 0;
        return (int64_t)(boot * (uint64_t)NS_PER_SEC + start * NS_PER_TICK);
}

/* --- one process --- */

typedef struct Candidate {
        pid_t pid;
        ino_t inode;
        int dir;
        ProcStat stat;
        bool trusted;
        QemuCmdline cmdline;
} Candidate;

static void candidate_close(Candidate *c) {
        cleanup_close_fd(&c->dir);
}

/* Opens the process and reads who it is: false when it is no QEMU, or gone. */
static bool candidate_read(const QemuCollector *q, Candidate *c) {
        char path[24], text[KEPT_BYTES];
        (void)snprintf(path, sizeof path, "%d", c->pid);
        c->dir = openat(q->proc, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (c->dir < 0)
                return false;
        CLEANUP_FD int fd = openat(c->dir, "cmdline", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
        /* Most processes end here. */
        if (n <= 0 || (!c->trusted && !qemu_cmdline_is_qemu(text, (size_t)n)))
                return false;
        CLEANUP(buf_deinit) Buf arguments = BUF_WITH_LIMIT(QEMU_CMDLINE_MAX + 8192);
        if (buf_read_file(&arguments, c->dir, "cmdline", QEMU_CMDLINE_MAX) < 0)
                return false;
        KeptFile file = KEPT_NULL;
        KeptBudget none = { 0 };
        n = procfile_read(&file, &none, c->dir, "stat", text);
        if (n <= 0 || !parse_stat(text, (size_t)n, &c->stat) || c->stat.state == 'Z' || c->stat.state == 'X')
                return false;
        qemu_cmdline_parse(arguments.data, arguments.len, &c->cmdline);
        /* A pid file that outlived its process may name any process that got the pid. */
        return c->cmdline.has_uuid || qemu_cmdline_is_qemu(arguments.data, arguments.len);
}

static Vm *vm_new(const QemuCollector *q, Candidate *c) {
        CLEANUP_FREE Vm *vm = calloc(1, sizeof *vm);
        CLEANUP_FREE char *name = malloc(c->cmdline.name_len + UUID_TEXT_LEN + 1);
        if (!vm || !name)
                return NULL;
        vm->name_len = c->cmdline.name_len;
        if (vm->name_len > 0)
                memcpy(name, c->cmdline.name, vm->name_len + 1);
        else {
                uuid_format(&c->cmdline.uuid, name);
                vm->name_len = UUID_TEXT_LEN;
        }
        vm->name = TAKE_PTR(name);
        vm->key = (EntityKey){ ENTITY_DOMAIN, c->cmdline.uuid };
        vm->pid = c->pid;
        vm->inode = c->inode;
        vm->start = c->stat.start;
        vm->started_ns = started_at(q, c->stat.start);
        vm->trusted = c->trusted;
        vm->smp = c->cmdline.smp;
        vm->host_nics = c->cmdline.host_nics;
        vm->settle = SETTLE;
        vm->dir = TAKE_FD(c->dir);
        vm->stat = vm->io = vm->status = KEPT_NULL;
        for (size_t i = 0; i < CG_COUNT; i++)
                vm->cgroup_files[i] = KEPT_NULL;
        vm->list_threads = true;
        return TAKE_PTR(vm);
}

static bool make_room(QemuCollector *q) {
        if (q->n_vms >= q->max_domains) {
                q->counts.refused++;
                return false;
        }
        if (q->n_vms < q->cap_vms)
                return true;
        size_t cap = q->cap_vms ? q->cap_vms * 2 : 32;
        Vm **vms = reallocarray(q->vms, cap, sizeof *vms);
        if (!vms)
                return false;
        q->vms = vms;
        q->cap_vms = cap;
        return true;
}

/* Whether the machine that has the UUID stays in the place of the candidate. */
static bool keeps_place(QemuCollector *q, Vm *vm, const Candidate *c) {
        if (vm->pid == c->pid && vm->start == c->stat.start) {
                vm->inode = c->inode;
                vm->trusted = vm->trusted || c->trusted;
                return true;
        }
        ProcStat st;
        if (vm_read_stat(q, vm, &st) == -ESRCH || (c->trusted && !vm->trusted))
                return false;
        q->counts.conflicts++;
        return true;
}

static void vm_insert(QemuCollector *q, Vm *vm, Sink *sink) {
        bool found;
        size_t at = vm_position(q, &vm->key.id, &found);
        assert(!found && q->n_vms < q->cap_vms);
        memmove(&q->vms[at + 1], &q->vms[at], (q->n_vms - at) * sizeof *q->vms);
        q->vms[at] = vm;
        q->n_vms++;
        vm_find_cgroup(q, vm);
        vm_scan_nics(q, vm);
        vm_announce(vm, sink);
        if (q->change.appeared)
                q->change.appeared(q->change.context, vm->key);
}

/* Examines a process that is new, or that a pid file names. */
static void examine(QemuCollector *q, SeenProcess *p, Span pid_file, Sink *sink) {
        CLEANUP(candidate_close) Candidate c = { .pid = p->pid, .inode = p->inode, .dir = -1,
                                                 .trusted = pid_file.len > 0 };
        if (!candidate_read(q, &c))
                return;
        p->settled = true;
        if (!c.cmdline.has_uuid) {
                q->counts.unidentified++;
                return;
        }
        if (c.cmdline.name_len == 0 && pid_file.len <= ENTITY_TEXT_MAX) {
                memcpy(c.cmdline.name, pid_file.text, pid_file.len);
                c.cmdline.name[pid_file.len] = '\0';
                c.cmdline.name_len = pid_file.len;
        }
        bool found;
        size_t at = vm_position(q, &c.cmdline.uuid, &found);
        if (found && keeps_place(q, q->vms[at], &c)) {
                p->left_out = q->vms[at]->pid != p->pid;
                return;
        }
        if (found)
                vm_remove(q, at);
        Vm *vm = make_room(q) ? vm_new(q, &c) : NULL;
        p->left_out = !vm;
        if (vm)
                vm_insert(q, vm, sink);
}

/* --- the listing --- */

static int compare_seen(const void *a, const void *b) {
        pid_t x = ((const SeenProcess *)a)->pid, y = ((const SeenProcess *)b)->pid;
        return x < y ? -1 : x > y;
}

static SeenProcess *seen_find(SeenProcess *seen, size_t n, pid_t pid) {
        SeenProcess key = { .pid = pid };
        return n ? bsearch(&key, seen, n, sizeof *seen, compare_seen) : NULL;
}

static int list_processes(const QemuCollector *q, SeenProcess **ret_seen, size_t *ret_n) {
        CLEANUP_FD int fd = openat(q->proc, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        CLEANUP(close_dir) DIR *dir = fdopendir(fd);
        if (!dir)
                return -errno;
        (void)TAKE_FD(fd);
        CLEANUP_FREE SeenProcess *seen = NULL;
        size_t n = 0, cap = 0;
        errno = 0;
        for (struct dirent *e; (e = readdir(dir)) && n < MAX_PROCESSES;) {
                uint64_t pid;
                if (e->d_name[0] < '1' || e->d_name[0] > '9' ||
                    !span_u64((Span){ e->d_name, strlen(e->d_name) }, &pid) || pid > INT32_MAX)
                        continue;
                if (n == cap) {
                        cap = cap ? cap * 2 : q->n_seen + 64;
                        SeenProcess *grown = reallocarray(seen, cap, sizeof *grown);
                        if (!grown)
                                return -ENOMEM;
                        seen = grown;
                }
                seen[n++] = (SeenProcess){ .pid = (pid_t)pid, .inode = e->d_ino };
        }
        if (errno != 0)
                return -errno; /* half a listing would end machines that live */
        /* In order already, on a real /proc. */
        if (n > 1)
                qsort(seen, n, sizeof *seen, compare_seen);
        *ret_seen = TAKE_PTR(seen);
        *ret_n = n;
        return 0;
}

static void carry_over(const QemuCollector *q, SeenProcess *seen, size_t n) {
        for (size_t i = 0, old = 0; i < n; i++) {
                while (old < q->n_seen && q->seen[old].pid < seen[i].pid)
                        old++;
                if (old < q->n_seen && q->seen[old].pid == seen[i].pid && q->seen[old].inode == seen[i].inode)
                        seen[i] = q->seen[old];
        }
}

/* Whether the machine's process is in the listing and is still the same. */
static bool vm_lives(QemuCollector *q, Vm *vm) {
        const SeenProcess *seen = seen_find(q->seen, q->n_seen, vm->pid);
        ProcStat st;
        if (!seen || vm_read_stat(q, vm, &st) == -ESRCH)
                return false;
        if (seen->inode == vm->inode)
                return true;
        /* Another directory: the same process after its cached inode was dropped, or another one. */
        Candidate probe = { .pid = vm->pid, .dir = -1 };
        char path[40], text[KEPT_BYTES];
        (void)snprintf(path, sizeof path, "%d/stat", probe.pid);
        KeptFile file = KEPT_NULL;
        KeptBudget none = { 0 };
        ssize_t n = procfile_read(&file, &none, q->proc, path, text);
        if (n <= 0 || !parse_stat(text, (size_t)n, &probe.stat) || probe.stat.start != vm->start)
                return false;
        vm->inode = seen->inode;
        return true;
}

static void end_machines(QemuCollector *q) {
        for (size_t i = q->n_vms; i-- > 0;)
                if (!vm_lives(q, q->vms[i]))
                        vm_remove(q, i);
}

/* --- libvirt's pid files --- */

static int open_pid_files(const QemuCollector *q) {
        int fd = openat(q->root, "run/libvirt/qemu", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;
        /* A link from /var/run leads to /run, which was just tried, and out of a root other than "/". */
        if (fd < 0 && fstatat(q->root, "var/run", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
                fd = openat(q->root, "var/run/libvirt/qemu", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd;
}

/* Watches the folder, which may come later than we, and go. Watching it again is no harm: it is one watch. */
static void watch_pid_files(QemuCollector *q, int dir) {
        char path[40];
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
        q->pid_dir_watch = q->inotify < 0 ? -1
                                          : inotify_add_watch(q->inotify, path,
                                                              IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM |
                                                                      IN_DELETE | IN_DELETE_SELF | IN_ONLYDIR);
}

static bool is_pid_file(const char *name) {
        size_t n = strlen(name);
        return n > strlen(".pid") && strcmp(name + n - strlen(".pid"), ".pid") == 0;
}

int qemu_watch_fd(const QemuCollector *q) {
        return q->inotify;
}

bool qemu_watches(const QemuCollector *q) {
        return q->pid_dir_watch >= 0;
}

bool qemu_watch_take(QemuCollector *q) {
        _Alignas(struct inotify_event) char events[4096];
        bool told = false;
        ssize_t n;
        while (q->inotify >= 0 && (n = read(q->inotify, events, sizeof events)) > 0)
                for (const char *at = events; at < events + n;) {
                        const struct inotify_event *e = (const struct inotify_event *)(const void *)at;
                        /* The folder itself went, or more happened than the kernel remembers. libvirt keeps other files in
                         * the folder, which change with every job. */
                        bool pid_file = e->len > 0 && is_pid_file(e->name);
                        told = told || pid_file || (e->mask & (IN_DELETE_SELF | IN_IGNORED | IN_Q_OVERFLOW));
                        if (pid_file)
                                q->pid_dir_settle = SETTLE; /* a file appears before what is in it */
                        at += sizeof *e + e->len;
                }
        return told;
}

static void take_pid_file(QemuCollector *q, int dir, const char *name, size_t name_len, Sink *sink) {
        char text[64];
        CLEANUP_FD int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
        Scan s = SCAN(text, n > 0 ? (size_t)n : 0);
        uint64_t pid;
        /* libvirt writes no newline; a cut pid is another process's, which has another UUID or none. */
        if (!scan_u64(&s, &pid) || pid == 0 || pid > INT32_MAX)
                return;
        SeenProcess *seen = seen_find(q->seen, q->n_seen, (pid_t)pid);
        if (seen)
                examine(q, seen, (Span){ name, name_len - strlen(".pid") }, sink);
}

static void take_pid_files(QemuCollector *q, Sink *sink) {
        CLEANUP_FD int fd = open_pid_files(q);
        struct stat st;
        q->pid_dir_watch = -1;
        if (fd < 0 || fstat(fd, &st) < 0) {
                q->pid_dir_settle = 0;
                return;
        }
        watch_pid_files(q, fd);
        if (st.st_mtim.tv_sec != q->pid_dir_mtime.tv_sec || st.st_mtim.tv_nsec != q->pid_dir_mtime.tv_nsec) {
                q->pid_dir_mtime = st.st_mtim;
                q->pid_dir_settle = SETTLE; /* a file appears before what is in it */
        }
        if (q->pid_dir_settle == 0)
                return;
        q->pid_dir_settle--;
        CLEANUP_FD int list = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        CLEANUP(close_dir) DIR *dir = list < 0 ? NULL : fdopendir(list);
        if (!dir)
                return;
        (void)TAKE_FD(list);
        for (struct dirent *e; (e = readdir(dir));) {
                if (is_pid_file(e->d_name))
                        take_pid_file(q, fd, e->d_name, strlen(e->d_name), sink);
        }
}

/* --- discovery --- */

static void settle_machine(QemuCollector *q, Vm *vm) {
        struct stat st;
        /* Since Linux 6.2 the size is the number of descriptors; before, it is 0. */
        if (fstatat(vm->dir, "fd", &st, 0) == 0 && st.st_size != vm->fd_count) {
                vm->fd_count = st.st_size;
                vm->scan_nics = true;
        }
        if (vm->settle == 0)
                return;
        vm->settle--;
        vm->list_threads = vm->scan_nics = true;
        vm_find_cgroup(q, vm);
}

/* Without swap there is no need to read each process's status. */
static bool host_swaps(const QemuCollector *q) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        if (buf_read_file(&text, q->proc, "swaps", 65536) < 0)
                return true;
        const char *head = memchr(text.data ? text.data : "", '\n', text.len);
        return !head || head + 1 < text.data + text.len;
}

int qemu_discover(QemuCollector *q, Sink *sink) {
        SeenProcess *seen = NULL;
        size_t n = 0;
        int r = list_processes(q, &seen, &n);
        if (r < 0)
                return r;
        carry_over(q, seen, n);
        free(q->seen);
        q->seen = seen;
        q->n_seen = n;
        q->swap = host_swaps(q);
        link_table_begin(q->links, true);
        end_machines(q);
        for (size_t i = 0; i < q->n_vms; i++)
                settle_machine(q, q->vms[i]);
        take_pid_files(q, sink);
        for (size_t i = 0; i < q->n_seen; i++) {
                SeenProcess *p = &q->seen[i];
                bool again = p->left_out && q->place_free;
                if (!again && (p->settled || p->looks >= SETTLE))
                        continue;
                p->looks += p->looks < SETTLE;
                examine(q, p, (Span){ "", 0 }, sink);
        }
        q->place_free = false;
        return 0;
}

bool qemu_unsettled(const QemuCollector *q) {
        if (q->pid_dir_settle > 0)
                return true;
        for (size_t i = 0; i < q->n_vms; i++)
                if (q->vms[i]->settle > 0)
                        return true;
        return false;
}

void qemu_announce(QemuCollector *q, Sink *sink) {
        for (size_t i = 0; i < q->n_vms; i++)
                vm_announce(q->vms[i], sink);
}

/* --- the collector --- */

static bool keeps_wait_sum(const QemuCollector *q) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        return buf_read_file(&text, q->proc, "sys/kernel/sched_schedstats", 64) == 0 && text.len > 0 &&
               text.data[0] == '1';
}

int qemu_new(const char *root, EntityKey host, size_t max_domains, QemuCollector **ret) {
        CLEANUP(qemu_freep) QemuCollector *q = calloc(1, sizeof *q);
        if (!q)
                return -ENOMEM;
        q->host = host;
        q->proc = q->root = q->pid_dir_watch = -1;
        /* Without it discovery goes by time alone. */
        q->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        q->max_domains = max_domains;
        q->swap = true;
        q->real = strcmp(root, "/") == 0;
        q->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        q->proc = q->root < 0 ? -1 : openat(q->root, "proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (q->proc < 0)
                return -errno;
        int r = link_table_new(root, &q->links);
        if (r == 0)
                r = cgroup_tree_new(root, &q->cgroups);
        if (r < 0 && !q->links)
                return r;
        struct rlimit limit = { .rlim_cur = 1024 };
        (void)getrlimit(RLIMIT_NOFILE, &limit);
        q->budget.most = limit.rlim_cur / 2;
        struct stat st;
        if (q->real && fstatat(q->proc, "self/ns/net", &st, 0) == 0)
                q->net_namespace = st.st_ino;
        q->wait_sum = keeps_wait_sum(q);
        *ret = TAKE_PTR(q);
        return 0;
}

QemuCollector *qemu_free(QemuCollector *q) {
        if (!q)
                return NULL;
        for (size_t i = 0; i < q->n_vms; i++)
                (void)vm_free(q, q->vms[i]);
        free(q->vms);
        free(q->seen);
        batch_deinit(&q->batch);
        (void)link_table_free(q->links);
        (void)cgroup_tree_free(q->cgroups);
        cleanup_close_fd(&q->inotify);
        cleanup_close_fd(&q->proc);
        cleanup_close_fd(&q->root);
        free(q);
        return NULL;
}

void qemu_on_change(QemuCollector *q, const QemuChange *change) {
        q->change = *change;
}

void qemu_keep_descriptors(QemuCollector *q, size_t most) {
        q->budget.most = most;
}

void qemu_all_wanted(QemuCollector *q) {
        for (size_t i = 0; i < q->n_vms; i++)
                q->vms[i]->slow_at = (MonoTime){ 0 };
}

char qemu_process_state(QemuCollector *q, const Uuid *id) {
        Vm *vm = qemu_find(q, id);
        ProcStat st;
        return vm && vm_read_stat(q, vm, &st) == 0 ? st.state : 0;
}

char qemu_state_seen(const QemuCollector *q, const Uuid *id) {
        const Vm *vm = qemu_find(q, id);
        return vm ? vm->state : 0;
}

bool qemu_activity(const QemuCollector *q, const Uuid *id, QemuActivity *ret) {
        const Vm *vm = qemu_find(q, id);
        if (!vm || !vm->looked.ns)
                return false;
        *ret = vm->activity;
        return true;
}

bool qemu_was_idle(const QemuActivity *then, const QemuActivity *now, Duration between) {
        /* One that went backwards wraps: it is not idle. */
        return now->cpu_ns - then->cpu_ns <= (uint64_t)between.ns / IDLE_CPU_PART &&
               now->io_bytes - then->io_bytes <= IDLE_IO_BYTES;
}

pid_t qemu_pid(const QemuCollector *q, const Uuid *id) {
        const Vm *vm = qemu_find(q, id);
        return vm ? vm->pid : 0;
}

size_t qemu_count(const QemuCollector *q) {
        return q->n_vms;
}

const Uuid *qemu_at(const QemuCollector *q, size_t i) {
        assert(i < q->n_vms);
        return &q->vms[i]->key.id;
}

QemuCounts qemu_counts(const QemuCollector *q) {
        QemuCounts counts = q->counts;
        counts.domains = q->n_vms;
        /* /proc/PID of each machine, root, /proc and the watch beside the kept ones. */
        counts.descriptors = q->budget.used + q->n_vms + 2 + (q->inotify >= 0);
        return counts;
}

bool qemu_nics_unresolved(const QemuCollector *q) {
        for (size_t i = 0; i < q->n_vms; i++)
                if (!vm_nics_resolved(q->vms[i]))
                        return true;
        return false;
}

bool qemu_nics_unresolved_of(const QemuCollector *q, const Uuid *id) {
        const Vm *vm = qemu_find(q, id);
        return vm && !vm_nics_resolved(vm);
}

void qemu_nics_changed(QemuCollector *q, const Uuid *id) {
        Vm *vm = qemu_find(q, id);
        if (vm)
                vm->scan_nics = true;
}
