/* Checks that need nothing but files below a root: the same on a recorded tree as on the host. */
#include "cli/doctor.h"

#include "base/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_LIMIT ((size_t)1 << 20)

static const char *below(const char *root, const char *path, char out[4096]) {
        (void)snprintf(out, 4096, "%s%s", strcmp(root, "/") == 0 ? "" : root, path);
        return out;
}

static bool exists(const char *root, const char *path) {
        char full[4096];
        return access(below(root, path, full), F_OK) == 0;
}

static bool read_below(const char *root, const char *path, Buf *out) {
        char full[4096];
        return buf_read_file(out, AT_FDCWD, below(root, path, full), FILE_LIMIT) == 0;
}

static bool is_number(const char *s) {
        return *s && strspn(s, "0123456789") == strlen(s);
}

/* A process of this name (at most 15 bytes, as the kernel keeps it): its pid, or 0. */
static unsigned find_process(const char *root, const char *name) {
        char full[4096];
        unsigned found = 0;
        DIR *proc = opendir(below(root, "/proc", full));
        for (const struct dirent *e; proc && !found && (e = readdir(proc));) {
                CLEANUP(buf_deinit) Buf comm = BUF_NULL;
                char path[300];
                (void)snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
                if (!is_number(e->d_name) || !read_below(root, path, &comm))
                        continue;
                Scan s = SCAN(comm.data, comm.len);
                Span line;
                if (scan_line(&s, &line) && span_is(line, name))
                        found = (unsigned)strtoul(e->d_name, NULL, 10);
        }
        if (proc)
                (void)closedir(proc);
        return found;
}

static void check_libvirtd(const char *root, Report *r) {
        static const char *const DAEMONS[] = { "libvirtd", "virtqemud" };
        static const char *const SOCKETS[] = { "/run/libvirt/libvirt-sock-ro", "/run/libvirt/libvirt-sock",
                                               "/run/libvirt/virtqemud-sock-ro", "/run/libvirt/virtqemud-sock" };
        const char *runs = NULL, *socket = NULL;
        for (size_t i = 0; i < ARRAY_LEN(DAEMONS) && !runs; i++)
                runs = find_process(root, DAEMONS[i]) ? DAEMONS[i] : NULL;
        for (size_t i = 0; i < ARRAY_LEN(SOCKETS) && !socket; i++)
                socket = exists(root, SOCKETS[i]) ? SOCKETS[i] : NULL;
        if (runs && socket)
                report_add(r, VERDICT_OK, TEXT_D_LIBVIRTD, TEXT_COUNT, NULL, text(TEXT_D_LIBVIRTD_OK), runs, socket);
        else if (runs)
                report_add(r, VERDICT_MISSING, TEXT_D_LIBVIRTD, TEXT_D_LIBVIRT_COST, "systemctl restart libvirtd",
                           text(TEXT_D_LIBVIRTD_NOSOCK), runs);
        else
                report_add(r, VERDICT_MISSING, TEXT_D_LIBVIRTD, TEXT_D_LIBVIRT_COST,
                           "apt install libvirt-daemon-system && systemctl start libvirtd", "%s",
                           text(TEXT_D_LIBVIRTD_NO));
}

static void check_kvm(const char *root, Report *r) {
        if (exists(root, "/dev/kvm"))
                report_add(r, VERDICT_OK, TEXT_D_KVM, TEXT_COUNT, NULL, "%s", text(TEXT_D_KVM_OK));
        else
                report_add(r, VERDICT_DEGRADED, TEXT_D_KVM, TEXT_D_KVM_COST, "modprobe kvm_intel || modprobe kvm_amd",
                           "%s", text(TEXT_D_KVM_NO));
}

/* What /proc/self/mountinfo says: which hierarchies, and which of the controllers that we read. */

static const char *const CONTROLLERS[] = { "cpu", "memory", "io", "pids" };

typedef struct Cgroups {
        bool v1, v2, has[ARRAY_LEN(CONTROLLERS)];
} Cgroups;

static void note_controller(Cgroups *c, Span name) {
        for (size_t i = 0; i < ARRAY_LEN(CONTROLLERS); i++)
                if (span_is(name, CONTROLLERS[i]) || (strcmp(CONTROLLERS[i], "io") == 0 && span_is(name, "blkio")))
                        c->has[i] = true;
}

static void note_controllers(Cgroups *c, Span list, char separator) {
        for (size_t at = 0; at <= list.len;) {
                size_t n = 0;
                while (at + n < list.len && list.text[at + n] != separator && list.text[at + n] != '\n')
                        n++;
                note_controller(c, (Span){ list.text + at, n });
                at += n + 1;
        }
}

static void note_v2(Cgroups *c, const char *root, Span mount) {
        CLEANUP(buf_deinit) Buf text_of = BUF_NULL;
        char path[1024];
        (void)snprintf(path, sizeof path, "%.*s/cgroup.controllers", (int)(mount.len < 900 ? mount.len : 900),
                       mount.text);
        c->v2 = true;
        if (read_below(root, path, &text_of) && text_of.len)
                note_controllers(c, (Span){ text_of.data, text_of.len }, ' ');
}

/* "36 35 98:0 /root /mount options [optional...] - type source super-options" */
static void note_mount(Cgroups *c, const char *root, Span line) {
        Scan s = SCAN(line.text, line.len);
        Span word, mount = { NULL, 0 }, type, source, options;
        for (int i = 0; scan_word(&s, &word) && !span_is(word, "-"); i++)
                if (i == 4)
                        mount = word;
        if (!mount.text || !scan_word(&s, &type) || !scan_word(&s, &source) || !scan_word(&s, &options))
                return;
        if (span_is(type, "cgroup2")) {
                note_v2(c, root, mount);
        } else if (span_is(type, "cgroup")) {
                c->v1 = true;
                note_controllers(c, options, ',');
        }
}

static void check_cgroup(const char *root, Report *r) {
        CLEANUP(buf_deinit) Buf mounts = BUF_NULL;
        CLEANUP(buf_deinit) Buf lacks = BUF_NULL;
        Cgroups c = { 0 };
        Span line;
        if (!read_below(root, "/proc/self/mountinfo", &mounts))
                (void)read_below(root, "/proc/1/mountinfo", &mounts);
        Scan s = SCAN(mounts.data ? mounts.data : "", mounts.len);
        while (scan_line(&s, &line))
                note_mount(&c, root, line);
        for (size_t i = 0; i < ARRAY_LEN(CONTROLLERS); i++)
                if (!c.has[i])
                        buf_printf(&lacks, "%s%s", lacks.len ? ", " : "", CONTROLLERS[i]);
        const char *version = text(c.v1 && c.v2 ? TEXT_D_CGROUP_HYBRID : c.v2 ? TEXT_D_CGROUP_V2 : TEXT_D_CGROUP_V1);
        if (!c.v1 && !c.v2)
                report_add(r, VERDICT_MISSING, TEXT_D_CGROUP, TEXT_D_CGROUP_COST,
                           "mount -t cgroup2 cgroup2 /sys/fs/cgroup", "%s", text(TEXT_D_CGROUP_NO));
        else if (lacks.len)
                report_add(r, VERDICT_DEGRADED, TEXT_D_CGROUP, TEXT_D_CGROUP_COST, text(TEXT_D_CGROUP_MEND),
                           text(TEXT_D_CGROUP_LACKS), version, buf_cstr(&lacks));
        else
                report_add(r, VERDICT_OK, TEXT_D_CGROUP, TEXT_COUNT, NULL, "%s", version);
}

static void check_engine(const char *root, TextId check, const char *socket, const char *files, const char *mend,
                         Report *r) {
        if (socket && exists(root, socket))
                report_add(r, VERDICT_OK, check, TEXT_COUNT, NULL, text(TEXT_D_ENGINE_SOCKET), socket);
        else if (exists(root, files) && socket)
                report_add(r, VERDICT_DEGRADED, check, TEXT_D_ENGINE_COST, mend, text(TEXT_D_ENGINE_FILES), files);
        else if (exists(root, files))
                report_add(r, VERDICT_OK, check, TEXT_COUNT, NULL, "%s", files);
        else
                report_add(r, VERDICT_OK, check, TEXT_COUNT, NULL, "%s", text(TEXT_D_ENGINE_NONE));
}

static void check_file(const char *root, const char *path, Verdict verdict, TextId check, TextId ok, TextId no,
                       TextId cost, TextId mend, Report *r) {
        if (exists(root, path))
                report_add(r, VERDICT_OK, check, TEXT_COUNT, NULL, "%s", text(ok));
        else
                report_add(r, verdict, check, cost, text(mend), "%s", text(no));
}

static void check_schedstats(const char *root, Report *r) {
        CLEANUP(buf_deinit) Buf on = BUF_NULL;
        if (read_below(root, "/proc/sys/kernel/sched_schedstats", &on) && on.len && on.data[0] == '1')
                report_add(r, VERDICT_OK, TEXT_D_SCHEDSTATS, TEXT_COUNT, NULL, "%s", text(TEXT_D_SCHEDSTATS_OK));
        else
                report_add(r, VERDICT_DEGRADED, TEXT_D_SCHEDSTATS, TEXT_D_SCHEDSTATS_COST,
                           "sysctl -w kernel.sched_schedstats=1", "%s", text(TEXT_D_SCHEDSTATS_NO));
}

/* Bits of <linux/capability.h>, by number, so that nothing needs libcap here. */
static const struct {
        unsigned bit;
        const char *name;
} NEEDED[] = { { 2, "CAP_DAC_READ_SEARCH" }, { 19, "CAP_SYS_PTRACE" } };

static bool effective_caps(const char *root, unsigned pid, uint64_t *ret_caps) {
        CLEANUP(buf_deinit) Buf status = BUF_NULL;
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%u/status", pid);
        const char *at = read_below(root, path, &status) ? strstr(buf_cstr(&status), "\nCapEff:") : NULL;
        if (!at)
                return false;
        *ret_caps = strtoull(at + strlen("\nCapEff:"), NULL, 16);
        return true;
}

static void check_privileges(const char *root, Report *r) {
        CLEANUP(buf_deinit) Buf lacks = BUF_NULL;
        unsigned pid = find_process(root, "parallax-sensor");
        uint64_t caps;
        if (!pid || !effective_caps(root, pid, &caps)) {
                report_add(r, VERDICT_DEGRADED, TEXT_D_PRIV, TEXT_COUNT, NULL, "%s", text(TEXT_D_PRIV_UNKNOWN));
                return;
        }
        for (size_t i = 0; i < ARRAY_LEN(NEEDED); i++)
                if (!(caps >> NEEDED[i].bit & 1))
                        buf_printf(&lacks, "%s%s", lacks.len ? ", " : "", NEEDED[i].name);
        if (lacks.len)
                report_add(r, VERDICT_DEGRADED, TEXT_D_PRIV, TEXT_D_PRIV_COST, "systemctl restart parallax-sensor",
                           text(TEXT_D_PRIV_NO), buf_cstr(&lacks));
        else
                report_add(r, VERDICT_OK, TEXT_D_PRIV, TEXT_COUNT, NULL, "%s", text(TEXT_D_PRIV_OK));
}

void doctor_host(const char *root, Report *r) {
        check_privileges(root, r);
        check_libvirtd(root, r);
        check_kvm(root, r);
        check_cgroup(root, r);
        check_engine(root, TEXT_D_DOCKER, "/run/docker.sock", "/var/lib/docker/containers", "systemctl start docker",
                     r);
        check_engine(root, TEXT_D_PODMAN, "/run/podman/podman.sock", "/var/lib/containers/storage",
                     "systemctl enable --now podman.socket", r);
        check_engine(root, TEXT_D_LXC, NULL, "/var/lib/lxc", NULL, r);
        check_file(root, "/proc/self/schedstat", VERDICT_MISSING, TEXT_D_SCHED, TEXT_D_SCHED_OK, TEXT_D_SCHED_NO,
                   TEXT_D_SCHED_COST, TEXT_D_SCHED_MEND, r);
        check_schedstats(root, r);
        check_file(root, "/proc/pressure/cpu", VERDICT_DEGRADED, TEXT_D_PSI, TEXT_D_PSI_OK, TEXT_D_PSI_NO,
                   TEXT_D_PSI_COST, TEXT_D_PSI_MEND, r);
        check_file(root, "/sys/kernel/btf/vmlinux", VERDICT_DEGRADED, TEXT_D_BTF, TEXT_D_BTF_OK, TEXT_D_BTF_NO,
                   TEXT_D_BTF_COST, TEXT_D_BTF_MEND, r);
}
