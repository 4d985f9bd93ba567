/* Kept descriptors: a pread on an open cgroup file costs a tenth of opening it. A descriptor of a
 * cgroup that was removed answers ENODEV; then the file is opened once more, by its path. */
#include "collect/container/container_priv.h"

#include <fcntl.h>

#define TEXT_SIZE ((size_t)64 << 10)

typedef struct FileDesc {
        CgroupController controller;
        const char *v1, *v1_old, *v2; /* NULL = not in this version; v1_old: name in older kernels */
} FileDesc;

static const FileDesc FILES[F_COUNT] = {
        [F_CPU_USAGE] = { CGROUP_CPUACCT, "cpuacct.usage", NULL, NULL },
        [F_CPU_ACCT] = { CGROUP_CPUACCT, "cpuacct.stat", NULL, NULL },
        [F_CPU_PER] = { CGROUP_CPUACCT, "cpuacct.usage_percpu", NULL, NULL },
        [F_CPU_STAT] = { CGROUP_CPU, "cpu.stat", NULL, "cpu.stat" },
        [F_MEM_USAGE] = { CGROUP_MEMORY, "memory.usage_in_bytes", NULL, "memory.current" },
        [F_MEM_STAT] = { CGROUP_MEMORY, "memory.stat", NULL, "memory.stat" },
        [F_MEM_MAX] = { CGROUP_MEMORY, "memory.max_usage_in_bytes", NULL, "memory.peak" },
        [F_MEM_FAILCNT] = { CGROUP_MEMORY, "memory.failcnt", NULL, NULL },
        [F_MEM_KERNEL] = { CGROUP_MEMORY, "memory.kmem.usage_in_bytes", NULL, NULL },
        [F_MEM_EVENTS] = { CGROUP_MEMORY, "memory.oom_control", NULL, "memory.events" },
        [F_MEM_SWAP] = { CGROUP_MEMORY, NULL, NULL, "memory.swap.current" },
        [F_IO_BYTES] = { CGROUP_IO, "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes",
                         "io.stat" },
        [F_IO_OPS] = { CGROUP_IO, "blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced", NULL },
        [F_PIDS] = { CGROUP_PIDS, "pids.current", NULL, "pids.current" },
        [F_PIDS_MAX] = { CGROUP_PIDS, "pids.max", NULL, "pids.max" },
        [F_PSI_CPU] = { CGROUP_UNIFIED, NULL, NULL, "cpu.pressure" },
        [F_PSI_MEMORY] = { CGROUP_UNIFIED, NULL, NULL, "memory.pressure" },
        [F_PSI_IO] = { CGROUP_UNIFIED, NULL, NULL, "io.pressure" },
};

static int file_open(const Container *k, CtrFile f) {
        const FileDesc *d = &FILES[f];
        bool v2 = k->paths.v2[d->controller];
        const char *name = v2 ? d->v2 : d->v1;
        if (!name)
                return -ENOENT;
        int fd = cgroup_open_file(&k->paths, d->controller, name);
        if (fd == -ENOENT && !v2 && d->v1_old)
                fd = cgroup_open_file(&k->paths, d->controller, d->v1_old);
        return fd;
}

/* Reads all that a descriptor has now; bytes or negative errno. */
static ssize_t file_read(Containers *c, int fd) {
        buf_reset(&c->text);
        char *at = buf_reserve(&c->text, TEXT_SIZE);
        if (!at)
                return -ENOMEM;
        ssize_t n;
        do
                n = pread(fd, at, TEXT_SIZE, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        c->text.len = (size_t)n;
        return n;
}

static void file_close(Containers *c, Container *k, CtrFile f) {
        if (k->fds[f] >= 0) {
                (void)close(k->fds[f]);
                c->stats.descriptors--;
        }
        k->fds[f] = FD_CLOSED;
}

bool ctr_read(Containers *c, Container *k, CtrFile f, Scan *ret_text) {
        for (int attempt = 0; attempt < 2; attempt++) {
                if (k->fds[f] == FD_MISSING)
                        return false;
                bool was_open = k->fds[f] >= 0;
                CLEANUP_FD int once = -1;
                if (!was_open) {
                        once = file_open(k, f);
                        if (once < 0) {
                                k->fds[f] = once == -EMFILE || once == -ENFILE ? FD_CLOSED : FD_MISSING;
                                return false;
                        }
                }
                ssize_t n = file_read(c, was_open ? k->fds[f] : once);
                if (n >= 0) {
                        if (!was_open && c->stats.descriptors < c->options.max_descriptors) {
                                k->fds[f] = TAKE_FD(once);
                                c->stats.descriptors++;
                        }
                        *ret_text = SCAN(c->text.data, c->text.len);
                        return n > 0;
                }
                file_close(c, k, f);
                if (!was_open) {
                        k->fds[f] = FD_MISSING; /* EOPNOTSUPP where pressure is switched off */
                        return false;
                }
        }
        return false;
}

bool ctr_read_once(Containers *c, const Container *k, CgroupController controller, const char *v1, const char *v2,
                   Scan *ret_text) {
        const char *name = k->paths.v2[controller] ? v2 : v1;
        CLEANUP_FD int fd = name ? cgroup_open_file(&k->paths, controller, name) : -1;
        if (fd < 0 || file_read(c, fd) <= 0)
                return false;
        *ret_text = SCAN(c->text.data, c->text.len);
        return true;
}

bool ctr_read_root(Containers *c, const char *path, Scan *ret_text) {
        char full[PATH_MAX];
        if (snprintf(full, sizeof full, "%s/%s", c->root, path) >= (int)sizeof full)
                return false;
        CLEANUP_FD int fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 || file_read(c, fd) <= 0)
                return false;
        *ret_text = SCAN(c->text.data, c->text.len);
        return true;
}

void ctr_close(Containers *c, Container *k) {
        for (CtrFile f = 0; f < F_COUNT; f++)
                file_close(c, k, f);
}

void ctr_recheck(Container *k) {
        for (CtrFile f = 0; f < F_COUNT; f++)
                if (k->fds[f] == FD_MISSING)
                        k->fds[f] = FD_CLOSED;
}
