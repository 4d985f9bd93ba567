/* Counts over all processes and threads: /proc/PID/stat.
 *
 * A process with one thread is read once; only of the others the threads are read too. Processes
 * that vanish while being read are normal and left out. */
#include "collect/hostproc/hostproc_priv.h"

#include <dirent.h>
#include <fcntl.h>

static const char STATES[] = "DIPRSTXZt";
enum { N_STATES = sizeof STATES - 1 };

typedef struct Counts {
        uint64_t pids, threads;
        uint64_t process_state[N_STATES], thread_state[N_STATES];
} Counts;

static void cleanup_dir(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

static DIR *open_dir(int at, const char *path) {
        CLEANUP_FD int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return NULL;
        DIR *dir = fdopendir(fd);
        if (dir)
                (void)TAKE_FD(fd);
        return dir;
}

static bool is_number(const char *name) {
        return name[0] >= '1' && name[0] <= '9';
}

/* "PID (name) S ... num_threads": the name may hold anything, so the last ')' ends it (proc(5)). */
static bool parse_stat(const char *text, size_t n, char *ret_state, uint64_t *ret_threads) {
        const char *paren = memrchr(text, ')', n);
        if (!paren)
                return false;
        Scan s = SCAN(paren + 1, (size_t)(text + n - paren - 1));
        Span word;
        if (!scan_word(&s, &word) || word.len != 1)
                return false;
        *ret_state = word.text[0];
        for (int i = 4; i < 20; i++)
                if (!scan_word(&s, &word))
                        return false;
        return scan_u64(&s, ret_threads);
}

static bool read_stat(int at, const char *id, char *ret_state, uint64_t *ret_threads) {
        char path[32], text[1024];
        if (strlen(id) > 20)
                return false;
        (void)snprintf(path, sizeof path, "%s/stat", id);
        CLEANUP_FD int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return false;
        ssize_t n = read(fd, text, sizeof text);
        return n > 0 && parse_stat(text, (size_t)n, ret_state, ret_threads);
}

static void count_state(uint64_t *counts, char state) {
        const char *at = strchr(STATES, state);
        if (at && state)
                counts[at - STATES]++;
}

static void count_threads(int proc, const char *pid, Counts *c) {
        char path[32], state;
        uint64_t unused;
        (void)snprintf(path, sizeof path, "%.20s/task", pid);
        CLEANUP(cleanup_dir) DIR *dir = open_dir(proc, path);
        if (!dir)
                return;
        for (struct dirent *e; (e = readdir(dir));)
                if (is_number(e->d_name) && read_stat(dirfd(dir), e->d_name, &state, &unused))
                        count_state(c->thread_state, state);
}

static void count_process(int proc, const char *pid, Counts *c) {
        char state;
        uint64_t threads;
        if (!read_stat(proc, pid, &state, &threads))
                return;
        c->pids++;
        c->threads += threads;
        count_state(c->process_state, state);
        if (threads == 1)
                count_state(c->thread_state, state);
        else
                count_threads(proc, pid, c);
}

static void set_limit(HostProc *h, BatchBuilder *b, MetricId m, const char *path) {
        Scan s;
        double v;
        if (path_read(h, path, &s) == 0 && file_number(s, &v))
                batch_set(b, m, v);
}

int processes_look(HostProc *h) {
        CLEANUP(cleanup_dir) DIR *dir = open_dir(h->root_fd, "proc");
        if (!dir)
                return -errno;
        Counts c = { 0 };
        for (struct dirent *e; (e = readdir(dir));)
                if (is_number(e->d_name))
                        count_process(dirfd(dir), e->d_name, &c);
        if (c.pids == 0)
                return -ENODATA;
        BatchBuilder *b = begin(h, GROUP_NODE_PROCS);
        batch_row(b, NULL);
        batch_set(b, M_NODE_PROCS_PIDS, (double)c.pids);
        batch_set(b, M_NODE_PROCS_THREADS, (double)c.threads);
        for (MetricId i = 0; i < N_STATES; i++) {
                batch_set(b, M_NODE_PROCS_S_D + i, (double)c.process_state[i]);
                batch_set(b, M_NODE_PROCS_T_D + i, (double)c.thread_state[i]);
        }
        set_limit(h, b, M_NODE_PROCS_MAX_PROCESSES, "proc/sys/kernel/pid_max");
        set_limit(h, b, M_NODE_PROCS_MAX_THREADS, "proc/sys/kernel/threads-max");
        finish(h, b);
        return 0;
}
