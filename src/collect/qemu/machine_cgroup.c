/* The cgroup that libvirt made for a machine. A QEMU process sits below it ("…/libvirt/emulator"), so
 * each controller's place is cut at the component that is the machine. Where none is, the process shares
 * its cgroup with others, whose numbers are not the machine's: then there is no cgroup. */
#include "collect/qemu/vm.h"

/* Cuts `dir` after the machine's component; false when none is below the mount. */
static bool cut_at_machine(char *dir, const char *mount) {
        size_t below = strlen(mount);
        CgroupMachine machine;
        if (strncmp(dir, mount, below) != 0)
                return false;
        for (char *at = dir + below; *at;) {
                at += strspn(at, "/");
                size_t n = strcspn(at, "/");
                if (n > 0 && cgroup_machine(at, n, &machine)) {
                        at[n] = '\0';
                        return true;
                }
                at += n;
        }
        return false;
}

void vm_drop_cgroup(QemuCollector *q, Vm *vm) {
        for (size_t i = 0; i < CG_COUNT; i++)
                procfile_close(&vm->cgroup_files[i], &q->budget);
        cgroup_paths_deinit(&vm->cgroup);
        vm->cgroup = CGROUP_PATHS_NULL;
        vm->has_cgroup = vm->has_limit = vm->has_throttled = vm->throttles = false;
        vm->looks = 0;
        vm->slow_at = (MonoTime){ 0 };
}

void vm_find_cgroup(QemuCollector *q, Vm *vm) {
        vm_drop_cgroup(q, vm);
        if (!q->cgroups || cgroup_of_pid(q->cgroups, vm->pid, &vm->cgroup) < 0)
                return;
        for (CgroupController c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
                char *dir = vm->cgroup.dir[c];
                if (!dir || !dir[0])
                        continue;
                if (cut_at_machine(dir, cgroup_tree_mount(q->cgroups, c, NULL)))
                        vm->has_cgroup = true;
                else
                        dir[0] = '\0';
        }
}

typedef struct CgroupName {
        CgroupController controller;
        const char *v1, *v2;
} CgroupName;

static const CgroupName FILES[CG_COUNT] = {
        [CG_CPU] = { CGROUP_UNIFIED, NULL, "cpu.stat" },
        [CG_USAGE] = { CGROUP_CPUACCT, "cpuacct.usage", NULL },
        [CG_ACCT] = { CGROUP_CPUACCT, "cpuacct.stat", NULL },
        [CG_QUOTA] = { CGROUP_CPU, "cpu.stat", NULL },
        [CG_MEMORY] = { CGROUP_MEMORY, "memory.usage_in_bytes", "memory.current" },
        [CG_LIMIT] = { CGROUP_MEMORY, "memory.limit_in_bytes", "memory.max" },
        [CG_PRESSURE_CPU] = { CGROUP_UNIFIED, NULL, "cpu.pressure" },
        [CG_PRESSURE_MEMORY] = { CGROUP_UNIFIED, NULL, "memory.pressure" },
        [CG_PRESSURE_IO] = { CGROUP_UNIFIED, NULL, "io.pressure" },
};

static const char *file_name(const Vm *vm, CgroupFile which) {
        CgroupController c = FILES[which].controller;
        if (!vm->has_cgroup || !vm->cgroup.dir[c] || !vm->cgroup.dir[c][0])
                return NULL;
        return vm->cgroup.v2[c] ? FILES[which].v2 : FILES[which].v1;
}

bool vm_has_cgroup(const Vm *vm, CgroupFile which) {
        return file_name(vm, which) != NULL;
}

ssize_t vm_read_cgroup(QemuCollector *q, Vm *vm, CgroupFile which, char out[KEPT_BYTES]) {
        KeptFile *f = &vm->cgroup_files[which];
        if (procfile_is_open(f))
                return procfile_read(f, &q->budget, -1, "", out);
        const char *name = file_name(vm, which);
        if (!name || f->absent)
                return -ENOENT;
        return procfile_read_opened(f, &q->budget, cgroup_open_file(&vm->cgroup, FILES[which].controller, name), out);
}
