/* What the files of the container collector share: container.c keeps the table, find.c walks the
 * hierarchies, files.c keeps descriptors, values.c reads groups, process.c looks at processes. */
#pragma once

#include "base/scan.h"
#include "collect/container/container.h"
#include "virt/cgroup.h"

/* ---- find.c */

typedef struct Found {
        char *path;   /* below the mounts */
        Engine engine;
        char *ident;  /* engine's id, unit's name, or the path */
        uint64_t inode; /* of one hierarchy's directory: another one means a new cgroup of the same name */
        int hierarchy;  /* which one */
} Found;

typedef struct FoundList {
        Found *items;
        size_t n, cap;
        size_t left_out; /* beyond the limit */
        size_t visited;
} FoundList;

#define FOUND_LIST_NULL ((FoundList){ .n = 0 })

void found_list_deinit(FoundList *l);
/* Sorted by path, one entry a path, at most options->max_containers. 0 or -ENOMEM. */
int container_find(const CgroupTree *t, const char *root, const ContainerOptions *o, FoundList *l) MUST_USE;
/* Whose cgroup `path` is; ENGINE_NONE when nobody's we know. `ret_ident` is a part of `path` or a
 * buffer of the caller's. *ret_descend: whether anything of interest may be below. */
Engine container_classify(const char *path, Span *ret_ident, char buffer[NAME_MAX + 1], bool *ret_descend);

/* ---- files.c */

typedef enum CtrFile {
        F_CPU_USAGE, F_CPU_ACCT, F_CPU_PER, F_CPU_STAT,
        F_MEM_USAGE, F_MEM_STAT, F_MEM_MAX, F_MEM_FAILCNT, F_MEM_KERNEL, F_MEM_EVENTS, F_MEM_SWAP,
        F_IO_BYTES, F_IO_OPS,
        F_PIDS, F_PIDS_MAX,
        F_PSI_CPU, F_PSI_MEMORY, F_PSI_IO,
        F_COUNT
} CtrFile;

#define FD_CLOSED (-1)
#define FD_MISSING (-2) /* not there at the last try: not tried again until the next recheck */

typedef struct ThreadTime {
        uint32_t tid;
        uint64_t values[3]; /* run ns, run queue ns, periods */
} ThreadTime;

#define SPEC_COUNT 6

typedef struct Container {
        EntityKey key;
        Engine engine;
        char *path, *ident;
        char name[NAME_MAX + 1];
        uint64_t inode;
        CgroupPaths paths;
        int fds[F_COUNT];
        uint32_t sent;      /* bit (group - GROUP_CTR_START): the sink has this group of it */
        uint32_t pid;
        int64_t started_ns;
        bool own_net;       /* its network namespace is not the host's */
        bool announced;
        MonoTime rechecked; /* when limits were read and missing files were tried again */
        double spec[SPEC_COUNT]; /* columns of CTR_SPEC */
        /* Run-queue times: the sum grows by what each thread's own counters grew. */
        ThreadTime *threads;
        size_t n_threads;
        bool threads_known; /* `threads` is from the look before */
        uint64_t sched[3];
} Container;

/* Ids of processes or threads. */
typedef struct IdList {
        uint32_t *ids;
        size_t n, cap, max;
        size_t total; /* with those beyond max */
} IdList;

#define DEVICE_CACHE 64

typedef struct DeviceName {
        uint32_t major, minor;
        char name[64];
} DeviceName;

struct Containers {
        char *root; /* without the slash at its end */
        char *docker_root;
        ContainerOptions options;
        CgroupTree *tree;
        Container **list; /* sorted by path */
        size_t n, cap;
        ContainerStats stats;
        BatchBuilder batch;
        Buf text;          /* the file being read */
        Buf memory_stat;   /* memory.stat of the container being looked at */
        IdList processes;  /* of the container being looked at, from ctr_find_pid() */
        int64_t boot_ns;   /* wall clock of the boot; 0 = unknown */
        char host_net[64]; /* "net:[4026531840]"; "" = unknown */
        bool fd_sizes;     /* /proc/PID/fd tells its number of entries as its size (Linux 6.2) */
        DeviceName devices[DEVICE_CACHE];
        size_t n_devices;
        MonoTime machine_read;
        /* of the look under way */
        WallTime wall;
        MonoTime mono;
        Sink *sink;
};

/* The whole of a file of the container's cgroup as it is now; false when it cannot be had. The text is
 * valid until the next read. */
bool ctr_read(Containers *c, Container *k, CtrFile f, Scan *ret_text);
/* A file that is opened for this once; `name` of v1 or of v2. */
bool ctr_read_once(Containers *c, const Container *k, CgroupController controller, const char *v1, const char *v2,
                   Scan *ret_text);
/* A file below the root, "proc/stat". */
bool ctr_read_root(Containers *c, const char *path, Scan *ret_text);
void ctr_close(Containers *c, Container *k);
/* Files that were missing are tried again with the next read. */
void ctr_recheck(Container *k);

/* ---- values.c, process.c: each sends groups of one container */
void ctr_send_values(Containers *c, Container *k);
void ctr_send_processes(Containers *c, Container *k);
void ctr_send_machine(Containers *c);

/* Finds the first process and what follows from it (start time, network namespace); true when it is
 * another one than before. */
bool ctr_find_pid(Containers *c, Container *k);
void ctr_id_list_deinit(IdList *l);
/* Reads what is asked of the host once. */
void ctr_read_host(Containers *c);

/* Begins a batch of the container's group, with the look's time. */
void ctr_begin(Containers *c, const Container *k, GroupId group);
/* Sends what was built, or tells that the group is gone when there is nothing any more. */
void ctr_end(Containers *c, Container *k, GroupId group, bool any);
