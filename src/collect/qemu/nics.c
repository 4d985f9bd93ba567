/* Which interfaces of the host a QEMU process holds: the tap behind each descriptor of /dev/net/tun
 * (fdinfo tells its name), the macvtap behind each of /dev/tapN (N is the interface's index). */
#include "collect/qemu/vm.h"

#include "base/buf.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static void close_dir(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

static void add_nic(Vm *vm, const Link *link, bool swapped) {
        /* A NIC with several queues has a descriptor for each. */
        for (size_t i = 0; i < vm->n_nics; i++)
                if (vm->nics[i].index == link->index)
                        return;
        if (vm->n_nics >= MAX_NICS)
                return;
        Nic *nics = reallocarray(vm->nics, vm->n_nics + 1, sizeof *nics);
        if (!nics)
                return;
        vm->nics = nics;
        nics[vm->n_nics] = (Nic){ .index = link->index, .swapped = swapped };
        memcpy(nics[vm->n_nics].name, link->name, sizeof link->name);
        vm->n_nics++;
}

static void add_tap(QemuCollector *q, Vm *vm, const char *fd_name) {
        char path[40], text[KEPT_BYTES], name[IF_NAMESIZE];
        (void)snprintf(path, sizeof path, "fdinfo/%.16s", fd_name);
        KeptFile file = KEPT_NULL;
        KeptBudget none = { 0 };
        ssize_t n = procfile_read(&file, &none, vm->dir, path, text);
        Scan s = SCAN(text, n > 0 ? (size_t)n : 0);
        Span line, word;
        while (scan_line(&s, &line)) {
                Scan at = SCAN(line.text, line.len);
                if (!scan_literal(&at, "iff:") || !scan_word(&at, &word) || word.len >= sizeof name)
                        continue;
                memcpy(name, word.text, word.len);
                name[word.len] = '\0';
                const Link *link = link_by_name(q->links, name);
                if (link)
                        add_nic(vm, link, true);
                return;
        }
}

static void add_descriptor(QemuCollector *q, Vm *vm, int fds, const char *fd_name) {
        char target[64];
        ssize_t n = readlinkat(fds, fd_name, target, sizeof target);
        if (n <= 0 || (size_t)n >= sizeof target)
                return;
        Span link = { target, (size_t)n };
        uint64_t index;
        if (span_is(link, "/dev/net/tun")) {
                add_tap(q, vm, fd_name);
        } else if (span_starts(link, "/dev/tap") && span_u64((Span){ target + 8, link.len - 8 }, &index) &&
                   index <= INT32_MAX) {
                const Link *macvtap = link_by_index(q->links, (uint32_t)index);
                if (macvtap && macvtap->name[0])
                        add_nic(vm, macvtap, false);
        }
}

/* In another network namespace a name means another interface. */
static bool other_namespace(const QemuCollector *q, const Vm *vm) {
        struct stat st;
        return q->net_namespace != 0 && fstatat(vm->dir, "ns/net", &st, 0) == 0 && st.st_ino != q->net_namespace;
}

static int compare_nics(const void *a, const void *b) {
        uint32_t x = ((const Nic *)a)->index, y = ((const Nic *)b)->index;
        return x < y ? -1 : x > y;
}

void vm_scan_nics(QemuCollector *q, Vm *vm) {
        vm->scan_nics = false;
        vm->n_nics = 0;
        vm->nics_known = false;
        if (other_namespace(q, vm))
                return;
        CLEANUP_FD int fd = openat(vm->dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_FD int list = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
        CLEANUP(close_dir) DIR *dir = list < 0 ? NULL : fdopendir(list);
        if (!dir)
                return;
        (void)TAKE_FD(list);
        for (struct dirent *e; (e = readdir(dir));)
                if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
                        add_descriptor(q, vm, fd, e->d_name);
        if (vm->n_nics > 1)
                qsort(vm->nics, vm->n_nics, sizeof *vm->nics, compare_nics);
        vm->nics_known = true;
}

bool vm_nics_resolved(const Vm *vm) {
        return vm->host_nics == 0 ? true : vm->nics_known && vm->n_nics >= vm->host_nics;
}
