/* The cgroup locator: where the kernel keeps what it counts about a process or a path.
 *
 * A host has cgroup v1 (one hierarchy a controller, some mounted together), v2 (one for all) or both
 * (hybrid: the controllers in v1, v2 beside them). Nothing is configured: the mounts are read from
 * /proc/self/mountinfo (of process 1 below a root other than "/"), the place of a process from
 * /proc/PID/cgroup, both below `root`. Directories that are given out begin with `root`, so they can be
 * opened as they are.
 *
 * A CgroupTree is immutable after cgroup_tree_new() and holds no descriptors. No thread of its own. */
#pragma once

#include "base/cleanup.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum CgroupVersion { CGROUP_V1 = 1, CGROUP_V2 = 2, CGROUP_HYBRID = 3 } CgroupVersion;

typedef enum CgroupController {
        CGROUP_CPU,     /* cpu.stat, cpu.cfs_quota_us | cpu.max, cpu.weight */
        CGROUP_CPUACCT, /* cpuacct.usage, cpuacct.stat | cpu.stat */
        CGROUP_MEMORY,  /* memory.usage_in_bytes, memory.stat | memory.current, memory.stat */
        CGROUP_IO,      /* blkio.throttle.* | io.stat */
        CGROUP_PIDS,    /* pids.current */
        CGROUP_UNIFIED, /* the v2 hierarchy: cpu.pressure, memory.pressure, io.pressure */
        CGROUP_CONTROLLER_COUNT
} CgroupController;

typedef struct CgroupTree CgroupTree;

/* Where one cgroup is. `dir` is an absolute directory that begins with the root, or "" when this
 * controller's hierarchy is not mounted or the process is not in it. That the directory exists is not
 * promised: cgroups vanish at any time. */
typedef struct CgroupPaths {
        char *dir[CGROUP_CONTROLLER_COUNT];
        bool v2[CGROUP_CONTROLLER_COUNT]; /* whose files are there: v2's names (true) or v1's */
        char *path; /* below the mount, as /proc/PID/cgroup has it: "/machine.slice/x.scope"; the deepest one */
} CgroupPaths;

#define CGROUP_PATHS_NULL ((CgroupPaths){ .path = NULL })

/* 0; -ENOENT when no cgroup hierarchy is mounted; other negative errno when mountinfo cannot be read. */
int cgroup_tree_new(const char *root, CgroupTree **ret_tree) MUST_USE;
CgroupTree *cgroup_tree_free(CgroupTree *t);
static inline void cgroup_tree_freep(CgroupTree **t) {
        *t = cgroup_tree_free(*t);
}

CgroupVersion cgroup_tree_version(const CgroupTree *t);
const char *cgroup_version_name(CgroupVersion v); /* "v1", "v2", "hybrid" */
/* Mount point (with root) that holds a controller, "" when none; *ret_v2 (may be NULL) says which kind. */
const char *cgroup_tree_mount(const CgroupTree *t, CgroupController c, bool *ret_v2);

/* Where a process is. 0; -ENOENT or -ESRCH when it is gone; *ret only on success. */
int cgroup_of_pid(const CgroupTree *t, pid_t pid, CgroupPaths *ret) MUST_USE;
/* Where `path` (below the mounts, "/" for the root) is; hierarchies without that directory give "".
 * -ENOENT when none has it. */
int cgroup_of_path(const CgroupTree *t, const char *path, CgroupPaths *ret) MUST_USE;
void cgroup_paths_deinit(CgroupPaths *p);

/* Opens a file of a cgroup for reading: a descriptor, or -ENOENT and the like. `name` may go below
 * ("libvirt/vcpu0/cpu.stat"). */
int cgroup_open_file(const CgroupPaths *p, CgroupController c, const char *name) MUST_USE;

/* Undoes systemd's escaping of a unit's name ("\x2d" -> "-"); cut to fit, terminated. Returns its length. */
size_t cgroup_unescape(const char *name, size_t n, char *out, size_t size);

/* A cgroup that libvirt made for a machine: "machine-qemu\x2d3\x2dname.scope" under systemd,
 * "qemu-3-name.libvirt-qemu" or "name.libvirt-qemu" without. `id` is 0 in the last form. */
typedef struct CgroupMachine {
        char driver[16]; /* "qemu", "lxc" */
        uint32_t id;
        char name[NAME_MAX + 1]; /* as libvirt wrote it there: cleaned and possibly cut */
} CgroupMachine;

/* Whether the last component of a cgroup path is such a machine. */
bool cgroup_machine(const char *component, size_t n, CgroupMachine *ret);
