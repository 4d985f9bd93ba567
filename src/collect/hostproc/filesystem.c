/* Mounted file systems: /proc/1/mountinfo and statvfs.
 *
 * statvfs of a network file system whose server is away blocks for minutes and cannot be interrupted, so
 * those are listed with what the mount table says and nothing else. */
#include "collect/hostproc/hostproc_priv.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/statvfs.h>

typedef struct Mount {
        Span device, point, type;
        bool read_only;
} Mount;

static bool is_one_of(Span s, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (span_is(s, names[i]))
                        return true;
        return false;
}

/* node_exporter's default fs-types-exclude. */
static bool is_ignored_type(Span type) {
        static const char *const TYPES[] = {
                "autofs",   "binfmt_misc", "bpf",     "cgroup",    "cgroup2",    "configfs",   "debugfs",
                "devpts",   "devtmpfs",    "fusectl", "hugetlbfs", "iso9660",    "mqueue",     "nsfs",
                "overlay",  "proc",        "procfs",  "pstore",    "rpc_pipefs", "securityfs", "selinuxfs",
                "squashfs", "erofs",       "sysfs",   "tracefs",
        };
        return is_one_of(type, TYPES, ARRAY_LEN(TYPES));
}

static bool is_network_type(Span type) {
        static const char *const TYPES[] = {
                "nfs",    "nfs4",   "cifs", "smb3",      "smbfs", "ncpfs", "9p",    "ceph",     "afs",   "coda",
                "lustre", "beegfs", "gpfs", "glusterfs", "ocfs2", "gfs2",  "pvfs2", "orangefs", "davfs", "virtiofs",
        };
        /* fuseblk is a local disk; what stands behind any other fuse server nobody knows. */
        return span_is(type, "fuse") || span_starts(type, "fuse.") || is_one_of(type, TYPES, ARRAY_LEN(TYPES));
}

/* `directory` itself or something below it. */
static bool is_below(Span path, const char *directory) {
        size_t n = strlen(directory);
        return span_starts(path, directory) && (path.len == n || path.text[n] == '/');
}

/* node_exporter's default mount-points-exclude:
 * ^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/) */
static bool is_ignored_point(Span point) {
        static const char *const ITSELF[] = { "/dev", "/proc", "/sys" };
        static const char *const BELOW[] = { "/run/credentials/", "/var/lib/docker/", "/var/lib/containers/storage/" };
        for (size_t i = 0; i < ARRAY_LEN(ITSELF); i++)
                if (is_below(point, ITSELF[i]))
                        return true;
        for (size_t i = 0; i < ARRAY_LEN(BELOW); i++)
                if (span_starts(point, BELOW[i]) && point.len > strlen(BELOW[i]))
                        return true;
        return false;
}

/* "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELD ...] - TYPE SOURCE SUPEROPTIONS" (proc(5)). */
static bool parse_mount(Span line, Mount *ret_m) {
        Scan l = SCAN(line.text, line.len);
        Span word, options;
        for (int i = 0; i < 4; i++)
                if (!scan_word(&l, &word))
                        return false;
        if (!scan_word(&l, &ret_m->point) || !scan_word(&l, &options))
                return false;
        do {
                if (!scan_word(&l, &word))
                        return false;
        } while (!span_is(word, "-"));
        if (!scan_word(&l, &ret_m->type) || !scan_word(&l, &ret_m->device))
                return false;
        ret_m->read_only = span_is(options, "ro") || span_starts(options, "ro,");
        if (scan_word(&l, &options) && (span_is(options, "ro") || span_starts(options, "ro,")))
                ret_m->read_only = true;
        return true;
}

/* The kernel writes blanks, newlines and backslashes as \ooo; undone in place, which only shortens; the
 * text is not read a second time. */
static Span unescaped(Span s) {
        char *to = (char *)s.text, *start = to;
        for (size_t i = 0; i < s.len; i++) {
                const char *c = s.text + i;
                if (*c == '\\' && i + 3 < s.len && c[1] >= '0' && c[1] <= '3' && c[2] >= '0' && c[2] <= '7' &&
                    c[3] >= '0' && c[3] <= '7') {
                        *to++ = (char)((c[1] - '0') << 6 | (c[2] - '0') << 3 | (c[3] - '0'));
                        i += 3;
                } else {
                        *to++ = *c;
                }
        }
        return (Span){ start, (size_t)(to - start) };
}

/* statvfs below the root, without following a symbolic link or mounting anything. */
static int ask(HostProc *h, Span point, struct statvfs *ret_st) {
        char path[PATH_MAX];
        if (point.len >= sizeof path)
                return -ENAMETOOLONG;
        memcpy(path, point.text, point.len);
        path[point.len] = '\0';
        const char *relative = path + strspn(path, "/");
        CLEANUP_FD int fd = openat(h->root_fd, *relative ? relative : ".", O_PATH | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fstatvfs(fd, ret_st) < 0)
                return -errno;
        return 0;
}

static void set_space(HostProc *h, BatchBuilder *b, const Mount *m) {
        struct statvfs st;
        if (ask(h, m->point, &st) < 0) {
                batch_set(b, M_NODE_FS_ERROR, 1);
                return;
        }
        double block = (double)st.f_frsize;
        batch_set(b, M_NODE_FS_SIZE, (double)st.f_blocks * block);
        batch_set(b, M_NODE_FS_FREE, (double)st.f_bfree * block);
        batch_set(b, M_NODE_FS_AVAIL, (double)st.f_bavail * block);
        batch_set(b, M_NODE_FS_FILES, (double)st.f_files);
        batch_set(b, M_NODE_FS_FILES_FREE, (double)st.f_ffree);
        batch_set(b, M_NODE_FS_ERROR, 0);
}

/* Whether the same device is mounted over the same point again further down: labels must be unique,
 * and only the last one can be reached. */
static bool is_covered(Scan rest, const Mount *m) {
        Mount other;
        for (Span line; whole_line(&rest, &line);)
                if (parse_mount(line, &other) && other.point.len == m->point.len && other.device.len == m->device.len &&
                    memcmp(other.point.text, m->point.text, m->point.len) == 0 &&
                    memcmp(other.device.text, m->device.text, m->device.len) == 0)
                        return true;
        return false;
}

int filesystem_look(HostProc *h) {
        Scan s;
        int r = file_read(h, FILE_MOUNTINFO, &s);
        if (r < 0)
                r = path_read(h, "proc/self/mountinfo", &s);
        if (r < 0)
                return r;
        BatchBuilder *b = begin(h, GROUP_NODE_FS);
        Mount m;
        for (Span line; whole_line(&s, &line);) {
                if (!parse_mount(line, &m) || is_ignored_type(m.type) || is_ignored_point(m.point) || is_covered(s, &m))
                        continue;
                m.point = unescaped(m.point);
                m.device = unescaped(m.device);
                batch_row(b, (Span[]){ m.device, m.point, m.type });
                batch_set(b, M_NODE_FS_READONLY, m.read_only);
                if (!is_network_type(m.type))
                        set_space(h, b, &m);
        }
        finish(h, b);
        return 0;
}
