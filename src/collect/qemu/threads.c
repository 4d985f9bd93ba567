/* Threads of a QEMU process. QEMU names its vCPU threads "CPU n/KVM" or "CPU n/TCG" (with
 * debug-threads=on, as libvirt starts it); software emulation in one thread is "ALL CPUs/TCG".
 * Worker threads come and go, so what is known of a thread is kept by its tid and inode. */
#include "collect/qemu/vm.h"

#include <dirent.h>
#include <fcntl.h>

static void vcpu_drop(QemuCollector *q, Vcpu *v) {
        procfile_close(&v->schedstat, &q->budget);
        procfile_close(&v->stat, &q->budget);
        procfile_close(&v->sched, &q->budget);
}

void vm_drop_threads(QemuCollector *q, Vm *vm) {
        for (size_t i = 0; i < vm->n_vcpus; i++)
                vcpu_drop(q, &vm->vcpus[i]);
        free(vm->vcpus);
        free(vm->threads);
        vm->vcpus = NULL;
        vm->threads = NULL;
        vm->n_vcpus = vm->n_threads = 0;
}

/* Index of the vCPU by the name of its thread, -1 for other threads. */
static int32_t vcpu_of_name(const Vm *vm, Span name) {
        Scan s = SCAN(name.text, name.len);
        uint64_t index;
        /* One thread for several vCPUs is none of them. */
        if (span_is(name, "ALL CPUs/TCG"))
                return vm->smp ? -1 : 0;
        if (!scan_literal(&s, "CPU ") || !scan_u64(&s, &index) || index > 65535)
                return -1;
        Span rest = { s.at, (size_t)(s.end - s.at) };
        return span_is(rest, "/KVM") || span_is(rest, "/TCG") ? (int32_t)index : -1;
}

static int32_t read_role(const Vm *vm, pid_t tid) {
        char path[40], text[KEPT_BYTES];
        (void)snprintf(path, sizeof path, "task/%d/comm", tid);
        KeptFile file = KEPT_NULL;
        KeptBudget none = { 0 };
        ssize_t n = procfile_read(&file, &none, vm->dir, path, text);
        return n > 1 ? vcpu_of_name(vm, (Span){ text, (size_t)n - 1 }) : -1;
}

static int compare_threads(const void *a, const void *b) {
        pid_t x = ((const Thread *)a)->tid, y = ((const Thread *)b)->tid;
        return x < y ? -1 : x > y;
}

static int compare_vcpus(const void *a, const void *b) {
        int32_t x = ((const Vcpu *)a)->index, y = ((const Vcpu *)b)->index;
        return x < y ? -1 : x > y;
}

static void close_dir(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

static int read_threads(Vm *vm, Thread **ret_threads, size_t *ret_n) {
        CLEANUP_FD int fd = openat(vm->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        CLEANUP(close_dir) DIR *dir = fdopendir(fd);
        if (!dir)
                return -errno;
        (void)TAKE_FD(fd);
        CLEANUP_FREE Thread *threads = NULL;
        size_t n = 0, cap = 0;
        for (struct dirent *e; (e = readdir(dir)) && n < MAX_THREADS;) {
                uint64_t tid;
                if (!span_u64((Span){ e->d_name, strlen(e->d_name) }, &tid) || tid == 0 || tid > INT32_MAX)
                        continue;
                if (n == cap) {
                        cap = cap ? cap * 2 : 16;
                        Thread *grown = reallocarray(threads, cap, sizeof *grown);
                        if (!grown)
                                return -ENOMEM;
                        threads = grown;
                }
                threads[n++] = (Thread){ .tid = (pid_t)tid, .inode = e->d_ino, .vcpu = -1 };
        }
        if (n > 1)
                qsort(threads, n, sizeof *threads, compare_threads);
        *ret_threads = TAKE_PTR(threads);
        *ret_n = n;
        return 0;
}

/* A thread gets its name a moment after it begins, so a name that says nothing is read once more. */
static void read_roles(const Vm *vm, Thread *threads, size_t n) {
        for (size_t i = 0, old = 0; i < n; i++) {
                Thread *t = &threads[i];
                while (old < vm->n_threads && vm->threads[old].tid < t->tid)
                        old++;
                if (old < vm->n_threads && vm->threads[old].tid == t->tid && vm->threads[old].inode == t->inode)
                        *t = vm->threads[old];
                if (t->vcpu < 0 && t->looks < SETTLE) {
                        t->vcpu = read_role(vm, t->tid);
                        t->looks++;
                }
        }
}

static bool has_vcpu(const Thread *threads, size_t n, const Vcpu *v) {
        for (size_t i = 0; i < n; i++)
                if (threads[i].tid == v->tid && threads[i].vcpu == v->index)
                        return true;
        return false;
}

static void vcpu_init(Vcpu *v, const Thread *t) {
        *v = (Vcpu){ .tid = t->tid, .index = t->vcpu, .schedstat = KEPT_NULL, .stat = KEPT_NULL, .sched = KEPT_NULL };
        (void)snprintf(v->label, sizeof v->label, "%d", t->vcpu);
        (void)snprintf(v->schedstat_path, sizeof v->schedstat_path, "task/%d/schedstat", t->tid);
        (void)snprintf(v->stat_path, sizeof v->stat_path, "task/%d/stat", t->tid);
        (void)snprintf(v->sched_path, sizeof v->sched_path, "task/%d/sched", t->tid);
}

/* Carries over the vCPUs whose thread is still there, adds new ones. `vcpus` has room for n. */
static size_t merge_vcpus(QemuCollector *q, Vm *vm, const Thread *threads, size_t n, Vcpu *vcpus) {
        size_t n_vcpus = 0;
        for (size_t i = 0; i < vm->n_vcpus; i++) {
                Vcpu *v = &vm->vcpus[i];
                if (has_vcpu(threads, n, v)) {
                        vcpus[n_vcpus++] = *v;
                        continue;
                }
                vm->gone_run_ns += v->run_ns;
                vm->gone_delay_ns += v->delay_ns;
                vcpu_drop(q, v);
        }
        size_t kept = n_vcpus;
        for (size_t i = 0; i < n; i++) {
                bool known = threads[i].vcpu < 0;
                /* Two threads of one name: the first counts, rows must be distinct. */
                for (size_t k = 0; k < n_vcpus && !known; k++)
                        known = vcpus[k].index == threads[i].vcpu;
                if (!known)
                        vcpu_init(&vcpus[n_vcpus++], &threads[i]);
        }
        if (n_vcpus > kept && n_vcpus > 1)
                qsort(vcpus, n_vcpus, sizeof *vcpus, compare_vcpus);
        return n_vcpus;
}

int vm_list_threads(QemuCollector *q, Vm *vm) {
        CLEANUP_FREE Thread *threads = NULL;
        size_t n = 0;
        int r = read_threads(vm, &threads, &n);
        if (r < 0)
                return r;
        read_roles(vm, threads, n);
        CLEANUP_FREE Vcpu *vcpus = calloc(n + 1, sizeof *vcpus);
        if (!vcpus)
                return -ENOMEM;
        size_t n_vcpus = merge_vcpus(q, vm, threads, n, vcpus);
        Vcpu *fitted = reallocarray(vcpus, n_vcpus + 1, sizeof *fitted);
        if (fitted)
                vcpus = fitted;
        free(vm->vcpus);
        free(vm->threads);
        vm->vcpus = TAKE_PTR(vcpus);
        vm->n_vcpus = n_vcpus;
        vm->threads = TAKE_PTR(threads);
        vm->n_threads = n;
        return 0;
}
