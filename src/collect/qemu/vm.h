/* One machine as the collector holds it, shared by discovery (qemu.c), threads, interfaces and looks.
 * Private to this folder. */
#pragma once

#include "collect/qemu/netlink.h"
#include "collect/qemu/procfile.h"
#include "collect/qemu/qemu.h"
#include "virt/cgroup.h"

#define MAX_THREADS 8192u
#define MAX_NICS 256u
/* Discoveries during which a new process is looked at again: it may have been seen between fork and
 * exec, or before its threads had names, its taps were opened, its cgroup was made. */
#define SETTLE 3
#define LIMIT_EVERY 8
/* Where looks are this far apart or further, what matters in the long run only is read every SLOW_EVERY (at every
 * third look of tier performance): pressure, quota, and the CPU that a vCPU is on. */
#define SLOW_FROM SECONDS(5)
#define SLOW_EVERY SECONDS(25)
/* Interface counters may be older than the look by half the distance of looks, and this; they say so themselves. */
#define LINKS_AGE_MIN MILLISECONDS(100)
#define LINKS_AGE_MAX SECONDS(5)

typedef struct Thread {
        pid_t tid;
        ino_t inode;   /* tells a reused tid */
        int32_t vcpu;  /* -1: none */
        uint8_t looks; /* how often its name was read */
} Thread;

typedef struct Vcpu {
        pid_t tid;
        int32_t index;
        char label[12], schedstat_path[40], stat_path[40], sched_path[40];
        KeptFile schedstat, stat, sched;
        uint64_t run_ns, delay_ns; /* as last read */
        uint64_t cpu, cpu_run_ns;  /* where it last ran, and how long it had run by then */
        bool cpu_known;
} Vcpu;

typedef struct Nic {
        uint32_t index;
        char name[IF_NAMESIZE];
        bool swapped; /* a tap: what the host receives the guest has sent */
} Nic;

typedef enum CgroupFile {
        CG_CPU,    /* v2's cpu.stat, there even where the controllers are v1's */
        CG_USAGE,  /* v1: cpuacct.usage */
        CG_ACCT,   /* v1: cpuacct.stat */
        CG_QUOTA,  /* v1: cpu.stat */
        CG_MEMORY, /* memory.usage_in_bytes | memory.current */
        CG_LIMIT,  /* memory.limit_in_bytes | memory.max */
        CG_PRESSURE_CPU,
        CG_PRESSURE_MEMORY,
        CG_PRESSURE_IO,
        CG_COUNT
} CgroupFile;

typedef struct Vm {
        EntityKey key;
        pid_t pid;
        ino_t inode;    /* of /proc/PID, tells a reused pid */
        uint64_t start; /* field 22 of its stat, ticks since boot */
        int64_t started_ns;
        char *name;
        size_t name_len;
        bool trusted; /* libvirt's pid file names it */
        bool ended;
        char state; /* letter, as last read; 0: not yet, or it ended */
        bool smp;
        uint8_t settle;
        unsigned host_nics;

        int dir; /* /proc/PID */
        KeptFile stat, io, status;

        Thread *threads;
        size_t n_threads;
        uint64_t threads_seen; /* field 20 when they were listed */
        bool list_threads;
        Vcpu *vcpus;
        size_t n_vcpus;
        uint64_t gone_run_ns, gone_delay_ns; /* of vCPU threads that ended: sums must not go backwards */
        uint64_t emulator_ns;

        QemuActivity activity;
        MonoTime looked, slow_at; /* 0: never */
        Duration distance; /* from the last look to this one */
        bool slow; /* in this look */

        bool has_cgroup;
        CgroupPaths cgroup;
        KeptFile cgroup_files[CG_COUNT];
        uint32_t looks;
        uint64_t limit; /* of its memory cgroup, read at every LIMIT_EVERY-th look */
        bool has_limit, has_throttled, throttles; /* a quota is in force, or was */
        uint64_t throttled;

        Nic *nics;
        size_t n_nics;
        bool nics_known, scan_nics, had_net, had_psi;
        off_t fd_count;
} Vm;

struct QemuCollector {
        EntityKey host;
        int root, proc;
        bool real; /* root is "/" */
        size_t max_domains;
        Vm **vms; /* by UUID */
        size_t n_vms, cap_vms;
        CgroupTree *cgroups; /* NULL: the host has none */
        LinkTable *links;
        KeptBudget budget;
        BatchBuilder batch;
        QemuChange change;
        QemuCounts counts;
        bool wait_sum; /* the kernel keeps scheduler statistics */
        bool swap;     /* the host has swap, or it cannot be told */
        ino_t net_namespace; /* ours; 0 unknown */

        struct SeenProcess *seen;
        bool place_free; /* a machine ended: those left out may have its place */
        size_t n_seen, cap_seen;
        int inotify; /* -1: none */
        int pid_dir_watch; /* -1: libvirt's folder is not there, or cannot be watched */
        struct timespec pid_dir_mtime;
        uint8_t pid_dir_settle;
};

/* threads.c: lists the process's threads, finds its vCPUs. 0 or negative errno. */
int vm_list_threads(QemuCollector *q, Vm *vm) MUST_USE;
void vm_drop_threads(QemuCollector *q, Vm *vm);

/* nics.c: maps the process's taps and macvtaps to interfaces. */
void vm_scan_nics(QemuCollector *q, Vm *vm);
bool vm_nics_resolved(const Vm *vm);

/* machine_cgroup.c: where libvirt's cgroup of the machine is, and one file of it. */
void vm_find_cgroup(QemuCollector *q, Vm *vm);
void vm_drop_cgroup(QemuCollector *q, Vm *vm);
/* Whether the machine has the cgroup that the file is in. */
bool vm_has_cgroup(const Vm *vm, CgroupFile which);
ssize_t vm_read_cgroup(QemuCollector *q, Vm *vm, CgroupFile which, char out[KEPT_BYTES]);

/* look.c: reads stat and checks that this is still the process: 0, -ESRCH (also marks it ended), -EAGAIN. */
int vm_read_stat(QemuCollector *q, Vm *vm, ProcStat *ret) MUST_USE;

/* qemu.c */
Vm *qemu_find(const QemuCollector *q, const Uuid *id);
