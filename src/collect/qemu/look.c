/* One look at one machine: its files, parsed into batches. The order matters in two places: stat comes
 * first, because it proves that the process is still the one that was found; vCPUs come before the
 * total, so that what is left for the emulator is never negative by the time between two reads. */
#include "collect/qemu/vm.h"

int vm_read_stat(QemuCollector *q, Vm *vm, ProcStat *ret) {
        char text[KEPT_BYTES];
        if (vm->ended)
                return -ESRCH;
        vm->state = 0;
        ssize_t n = procfile_read(&vm->stat, &q->budget, vm->dir, "stat", text);
        ProcStat st;
        if (n < 0 && n != -ESRCH && n != -ENOENT && n != -ENODEV) {
                vm->stat.absent = false; /* the one file that is tried again and again */
                return -EAGAIN;
        }
        if (n >= 0 && !parse_stat(text, (size_t)n, &st))
                return -EAGAIN;
        if (n < 0 || st.start != vm->start || st.state == 'Z' || st.state == 'X') {
                vm->ended = true;
                return -ESRCH;
        }
        vm->state = st.state;
        *ret = st;
        return 0;
}

/* `v` is a pointer because callers parse into it within the same call: arguments are evaluated in any order. */
static void set_if(BatchBuilder *b, MetricId m, bool known, const uint64_t *v) {
        if (known)
                batch_set(b, m, (double)*v);
}

typedef struct VcpuSums {
        bool known; /* every vCPU thread could be read */
        uint64_t run_ns, delay_ns;
} VcpuSums;

/* A thread that has not run is where it was. The rest of its stat is not needed, and is a dear file. */
static void read_cpu(QemuCollector *q, Vm *vm, Vcpu *v, char text[KEPT_BYTES]) {
        if (v->cpu_known && (v->cpu_run_ns == v->run_ns || !vm->slow))
                return;
        ProcStat st;
        ssize_t n = procfile_read(&v->stat, &q->budget, vm->dir, v->stat_path, text);
        v->cpu_known = n > 0 && parse_stat(text, (size_t)n, &st);
        if (v->cpu_known) {
                v->cpu = st.cpu;
                v->cpu_run_ns = v->run_ns;
        }
}

static void look_vcpu(QemuCollector *q, Vm *vm, Vcpu *v, VcpuSums *sums) {
        char text[KEPT_BYTES];
        BatchBuilder *b = &q->batch;
        batch_row1(b, v->label, strlen(v->label));
        uint64_t run, delay, wait;
        ssize_t n = procfile_read(&v->schedstat, &q->budget, vm->dir, v->schedstat_path, text);
        if (n > 0 && parse_schedstat(text, (size_t)n, &run, &delay)) {
                v->run_ns = run;
                v->delay_ns = delay;
                batch_set(b, M_DOM_VCPU_TIME, (double)run);
                batch_set(b, M_DOM_VCPU_DELAY, (double)delay);
                /* As libvirt says it: a vCPU that has a thread is running, halted or not. */
                batch_set(b, M_DOM_VCPU_STATE, 1);
                read_cpu(q, vm, v, text);
                set_if(b, M_DOM_VCPU_CPU, v->cpu_known, &v->cpu);
        } else {
                sums->known = false;
                vm->list_threads = true; /* unplugged, perhaps */
        }
        sums->run_ns += v->run_ns;
        sums->delay_ns += v->delay_ns;
        if (!q->wait_sum)
                return;
        n = procfile_read(&v->sched, &q->budget, vm->dir, v->sched_path, text);
        set_if(b, M_DOM_VCPU_WAIT, n > 0 && parse_wait_sum(text, (size_t)n, &wait), &wait);
}

static VcpuSums look_vcpus(QemuCollector *q, Vm *vm, WallTime wall, MonoTime mono, Sink *sink) {
        VcpuSums sums = { .known = vm->n_vcpus > 0, .run_ns = vm->gone_run_ns, .delay_ns = vm->gone_delay_ns };
        if (vm->n_vcpus == 0)
                return sums;
        batch_begin(&q->batch, vm->key, GROUP_DOM_VCPU, wall, mono);
        for (size_t i = 0; i < vm->n_vcpus; i++)
                look_vcpu(q, vm, &vm->vcpus[i], &sums);
        sink_build(sink, &q->batch);
        return sums;
}

typedef struct CpuTimes {
        bool has_total, has_user, has_system, has_throttled;
        uint64_t total, user, system, throttled; /* ns */
} CpuTimes;

static CpuTimes cpu_times_v2(const char *text, size_t n) {
        CpuTimes t = { 0 };
        t.has_total = parse_field(text, n, "usage_usec", &t.total);
        t.has_user = parse_field(text, n, "user_usec", &t.user);
        t.has_system = parse_field(text, n, "system_usec", &t.system);
        t.has_throttled = parse_field(text, n, "throttled_usec", &t.throttled);
        t.total *= 1000;
        t.user *= 1000;
        t.system *= 1000;
        t.throttled *= 1000;
        return t;
}

static CpuTimes cpu_times_v1(QemuCollector *q, Vm *vm, char text[KEPT_BYTES]) {
        CpuTimes t = { 0 };
        ssize_t n = vm_read_cgroup(q, vm, CG_USAGE, text);
        t.has_total = n > 0 && parse_bytes(text, (size_t)n, &t.total);
        n = vm_read_cgroup(q, vm, CG_ACCT, text);
        t.has_user = n > 0 && parse_field(text, (size_t)n, "user", &t.user);
        t.has_system = n > 0 && parse_field(text, (size_t)n, "system", &t.system);
        t.user *= NS_PER_TICK;
        t.system *= NS_PER_TICK;
        return t;
}

/* v1 counts periods where there is a quota. */
static void read_throttled(QemuCollector *q, Vm *vm) {
        char text[KEPT_BYTES];
        uint64_t periods;
        ssize_t n = vm_read_cgroup(q, vm, CG_QUOTA, text);
        vm->has_throttled = n > 0 && parse_field(text, (size_t)n, "throttled_time", &vm->throttled);
        vm->throttles = n > 0 && parse_field(text, (size_t)n, "nr_periods", &periods) && periods > 0;
}

/* libvirt takes cpu.stat of the v2 cgroup when the machine has one, hybrid hosts included, then v1's
 * cpuacct, then utime + stime. They do not count the same, so one that fails is not replaced by the next:
 * only a machine without that cgroup has its process counted. */
static CpuTimes cpu_times(QemuCollector *q, Vm *vm, const ProcStat *st) {
        char text[KEPT_BYTES];
        CpuTimes t;
        if (vm_has_cgroup(vm, CG_CPU)) {
                ssize_t n = vm_read_cgroup(q, vm, CG_CPU, text);
                t = cpu_times_v2(text, n > 0 ? (size_t)n : 0);
        } else if (vm_has_cgroup(vm, CG_USAGE))
                t = cpu_times_v1(q, vm, text);
        else
                t = (CpuTimes){ true, true, true, false, (st->utime + st->stime) * NS_PER_TICK, st->utime * NS_PER_TICK,
                                st->stime * NS_PER_TICK, 0 };
        if (!t.has_throttled) {
                if (vm->slow || vm->throttles)
                        read_throttled(q, vm);
                t.has_throttled = vm->has_throttled;
                t.throttled = vm->throttled;
        }
        return t;
}

static void look_cpu(QemuCollector *q, Vm *vm, const ProcStat *st, const VcpuSums *sums, WallTime wall, MonoTime mono,
                     Sink *sink) {
        CpuTimes t = cpu_times(q, vm, st);
        BatchBuilder *b = &q->batch;
        batch_begin(b, vm->key, GROUP_DOM_CPU, wall, mono);
        batch_row(b, NULL);
        set_if(b, M_DOM_CPU_TIME, t.has_total, &t.total);
        set_if(b, M_DOM_CPU_USER, t.has_user, &t.user);
        set_if(b, M_DOM_CPU_SYSTEM, t.has_system, &t.system);
        set_if(b, M_DOM_CPU_THROTTLED, t.has_throttled, &t.throttled);
        batch_set(b, M_DOM_CPU_THREADS, (double)st->threads);
        if (vm->n_vcpus > 0)
                batch_set(b, M_DOM_CPU_VCPUS, (double)vm->n_vcpus);
        set_if(b, M_DOM_CPU_DELAY, sums->known, &sums->delay_ns);
        if (sums->known && t.has_total) {
                /* The total may be in ticks and lag behind; a counter does not go back for that. */
                uint64_t rest = t.total > sums->run_ns ? t.total - sums->run_ns : 0;
                vm->emulator_ns = rest > vm->emulator_ns ? rest : vm->emulator_ns;
                batch_set(b, M_DOM_CPU_EMULATOR, (double)vm->emulator_ns);
        }
        sink_build(sink, b);
}

static void look_memory(QemuCollector *q, Vm *vm, const ProcStat *st, WallTime wall, MonoTime mono, Sink *sink) {
        char text[KEPT_BYTES];
        uint64_t v;
        BatchBuilder *b = &q->batch;
        batch_begin(b, vm->key, GROUP_DOM_HOSTMEM, wall, mono);
        batch_row(b, NULL);
        batch_set(b, M_DOM_HOSTMEM_RSS, (double)(st->rss_pages * 4));
        batch_set(b, M_DOM_HOSTMEM_MINFLT, (double)st->minflt);
        batch_set(b, M_DOM_HOSTMEM_MAJFLT, (double)st->majflt);
        if (q->swap) {
                ssize_t n = procfile_read(&vm->status, &q->budget, vm->dir, "status", text);
                set_if(b, M_DOM_HOSTMEM_SWAP, n > 0 && parse_field(text, (size_t)n, "VmSwap:", &v), &v);
        } else
                batch_set(b, M_DOM_HOSTMEM_SWAP, 0); /* nowhere to swap to */
        ssize_t n = vm_read_cgroup(q, vm, CG_MEMORY, text);
        set_if(b, M_DOM_HOSTMEM_CGROUP, n > 0 && parse_bytes(text, (size_t)n, &v), &v);
        if (vm->looks++ % LIMIT_EVERY == 0) {
                n = vm_read_cgroup(q, vm, CG_LIMIT, text);
                vm->has_limit = n > 0 && parse_bytes(text, (size_t)n, &vm->limit);
        }
        set_if(b, M_DOM_HOSTMEM_CGROUP_LIMIT, vm->has_limit, &vm->limit);
        sink_build(sink, b);
}

static void look_io(QemuCollector *q, Vm *vm, WallTime wall, MonoTime mono, Sink *sink) {
        static const char *const KEYS[] = { "rchar:", "wchar:", "read_bytes:", "write_bytes:" };
        char text[KEPT_BYTES];
        uint64_t v;
        ssize_t n = procfile_read(&vm->io, &q->budget, vm->dir, "io", text);
        if (n <= 0)
                return;
        vm->activity.io_bytes = 0;
        for (size_t i = 0; i < ARRAY_LEN(KEYS); i++)
                if (parse_field(text, (size_t)n, KEYS[i], &v))
                        vm->activity.io_bytes += v;
        BatchBuilder *b = &q->batch;
        batch_begin(b, vm->key, GROUP_DOM_IO, wall, mono);
        batch_row(b, NULL);
        set_if(b, M_DOM_IO_READ_BYTES, parse_field(text, (size_t)n, "read_bytes:", &v), &v);
        set_if(b, M_DOM_IO_WRITE_BYTES, parse_field(text, (size_t)n, "write_bytes:", &v), &v);
        sink_build(sink, b);
}

static void look_pressure(QemuCollector *q, Vm *vm, WallTime wall, MonoTime mono, Sink *sink) {
        static const struct {
                CgroupFile file;
                const char *label;
        } RESOURCES[] = { { CG_PRESSURE_CPU, "cpu" }, { CG_PRESSURE_MEMORY, "memory" }, { CG_PRESSURE_IO, "io" } };
        char text[KEPT_BYTES];
        BatchBuilder *b = &q->batch;
        batch_begin(b, vm->key, GROUP_DOM_PSI, wall, mono);
        for (size_t i = 0; i < ARRAY_LEN(RESOURCES); i++) {
                ssize_t n = vm_read_cgroup(q, vm, RESOURCES[i].file, text);
                if (n <= 0)
                        continue;
                uint64_t some = 0, full = 0;
                unsigned found = parse_pressure(text, (size_t)n, &some, &full);
                batch_row1(b, RESOURCES[i].label, strlen(RESOURCES[i].label));
                set_if(b, M_DOM_PSI_WAITING, found & 1, &some);
                set_if(b, M_DOM_PSI_STALLED, found & 2, &full);
        }
        if (b->n_rows > 0)
                sink_build(sink, b);
        else if (vm->had_psi)
                sink_group_gone(sink, vm->key, GROUP_DOM_PSI);
        vm->had_psi = b->n_rows > 0;
}

static void net_row(BatchBuilder *b, const Nic *nic, const Link *l) {
        bool s = nic->swapped;
        batch_row1(b, nic->name, strlen(nic->name));
        batch_set(b, M_DOM_NET_RX_BYTES, (double)(s ? l->tx_bytes : l->rx_bytes));
        batch_set(b, M_DOM_NET_RX_PACKETS, (double)(s ? l->tx_packets : l->rx_packets));
        batch_set(b, M_DOM_NET_RX_ERRORS, (double)(s ? l->tx_errors : l->rx_errors));
        batch_set(b, M_DOM_NET_RX_DROPS, (double)(s ? l->tx_drops : l->rx_drops));
        batch_set(b, M_DOM_NET_TX_BYTES, (double)(s ? l->rx_bytes : l->tx_bytes));
        batch_set(b, M_DOM_NET_TX_PACKETS, (double)(s ? l->rx_packets : l->tx_packets));
        batch_set(b, M_DOM_NET_TX_ERRORS, (double)(s ? l->rx_errors : l->tx_errors));
        batch_set(b, M_DOM_NET_TX_DROPS, (double)(s ? l->rx_drops : l->tx_drops));
}

static void look_net(QemuCollector *q, Vm *vm, WallTime wall, MonoTime mono, Sink *sink) {
        Duration age = { vm->distance.ns / 2 };
        if (age.ns > LINKS_AGE_MAX.ns)
                age = LINKS_AGE_MAX;
        link_table_at(q->links, wall, mono, age.ns < LINKS_AGE_MIN.ns ? LINKS_AGE_MIN : age);
        if (vm->scan_nics)
                vm_scan_nics(q, vm);
        if (!vm_nics_resolved(vm)) {
                vm->had_net = false; /* libvirt's to fill */
                return;
        }
        BatchBuilder *b = &q->batch;
        link_table_times(q->links, &wall, &mono);
        batch_begin(b, vm->key, GROUP_DOM_NET, wall, mono);
        for (size_t i = 0; i < vm->n_nics; i++) {
                const Link *l = link_by_index(q->links, vm->nics[i].index);
                if (l)
                        net_row(b, &vm->nics[i], l);
                else
                        vm->scan_nics = true;
        }
        if (b->n_rows > 0)
                sink_build(sink, b);
        else if (vm->had_net)
                sink_group_gone(sink, vm->key, GROUP_DOM_NET);
        vm->had_net = b->n_rows > 0;
}

int qemu_look(QemuCollector *q, const Uuid *id, WallTime wall, MonoTime mono, Sink *sink) {
        Vm *vm = qemu_find(q, id);
        if (!vm)
                return -ENOENT;
        ProcStat st;
        int r = vm_read_stat(q, vm, &st);
        if (r < 0)
                return r;
        if (vm->list_threads || st.threads != vm->threads_seen) {
                /* One more listing after a change: names come a moment after the threads. */
                vm->list_threads = st.threads != vm->threads_seen;
                if (vm_list_threads(q, vm) == 0)
                        vm->threads_seen = st.threads;
                else
                        vm->list_threads = true;
        }
        vm->distance = vm->looked.ns ? mono_since(mono, vm->looked) : (Duration){ 0 };
        vm->looked = mono;
        vm->slow = !vm->slow_at.ns || vm->distance.ns < SLOW_FROM.ns || mono_since(mono, vm->slow_at).ns >= SLOW_EVERY.ns;
        if (vm->slow)
                vm->slow_at = mono;
        vm->activity.cpu_ns = (st.utime + st.stime) * NS_PER_TICK;
        VcpuSums sums = look_vcpus(q, vm, wall, mono, sink);
        look_cpu(q, vm, &st, &sums, wall, mono, sink);
        look_memory(q, vm, &st, wall, mono, sink);
        look_io(q, vm, wall, mono, sink);
        if (vm->slow && (vm->has_cgroup || vm->had_psi))
                look_pressure(q, vm, wall, mono, sink);
        look_net(q, vm, wall, mono, sink);
        return 0;
}
