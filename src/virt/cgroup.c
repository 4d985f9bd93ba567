/* The mount table says which hierarchy holds a controller, /proc/PID/cgroup where in it a process is.
 * A mount may show only a part of its hierarchy (a container's view: field "root" of mountinfo), so
 * that part is taken off the front of a process's path. */
#include "virt/cgroup.h"

#include "base/buf.h"
#include "base/scan.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>

#define MOUNTINFO_LIMIT ((size_t)4 << 20)
#define PROC_CGROUP_LIMIT ((size_t)256 << 10)

typedef struct Mount {
        char *dir;  /* with the tree's root in front; NULL = not mounted */
        char *part; /* what of the hierarchy the mount shows; "" = all of it */
} Mount;

struct CgroupTree {
        char *root; /* without the slash at its end: "" in production */
        /* v1 mounts by controller; CGROUP_UNIFIED is the v2 mount. */
        Mount mounts[CGROUP_CONTROLLER_COUNT];
        bool any_v1;
        CgroupVersion version;
};

static const char *const V1_NAMES[CGROUP_CONTROLLER_COUNT] = {
        [CGROUP_CPU] = "cpu", [CGROUP_CPUACCT] = "cpuacct", [CGROUP_MEMORY] = "memory",
        [CGROUP_IO] = "blkio", [CGROUP_PIDS] = "pids",
};

CgroupTree *cgroup_tree_free(CgroupTree *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
                free(t->mounts[i].dir);
                free(t->mounts[i].part);
        }
        free(t->root);
        free(t);
        return NULL;
}

/* Whether `word` is one of the comma-separated words of `list`. */
static bool list_has(Span list, const char *word) {
        size_t n = strlen(word);
        for (size_t at = 0; at < list.len;) {
                const char *comma = memchr(list.text + at, ',', list.len - at);
                size_t end = comma ? (size_t)(comma - list.text) : list.len;
                if (end - at == n && memcmp(list.text + at, word, n) == 0)
                        return true;
                at = end + 1;
        }
        return false;
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static char *unescape_octal(const char *prefix, Span s) {
        size_t lead = strlen(prefix);
        char *out = malloc(lead + s.len + 1);
        if (!out)
                return NULL;
        memcpy(out, prefix, lead);
        size_t n = lead;
        for (size_t i = 0; i < s.len; i++) {
                const char *p = s.text + i;
                if (*p == '\\' && s.len - i >= 4 && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
                    p[3] >= '0' && p[3] <= '7') {
                        out[n++] = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
                        i += 3;
                } else
                        out[n++] = *p;
        }
        out[n] = '\0';
        return out;
}

/* A mount that shows the whole hierarchy wins over one that shows a part, the first over later ones. */
static int mount_take(CgroupTree *t, CgroupController c, Span part, Span point) {
        Mount *m = &t->mounts[c];
        bool whole = part.len == 1;
        if (m->dir && (m->part[0] == '\0' || !whole))
                return 0;
        CLEANUP_FREE char *dir = unescape_octal(t->root, point);
        CLEANUP_FREE char *shown = unescape_octal("", whole ? (Span){ "", 0 } : part);
        if (!dir || !shown)
                return -ENOMEM;
        free(m->dir);
        free(m->part);
        *m = (Mount){ TAKE_PTR(dir), TAKE_PTR(shown) };
        return 0;
}

static int mount_line(CgroupTree *t, Span line) {
        Scan s = SCAN(line.text, line.len);
        Span word, part, point, type, source, options;
        /* id, parent, major:minor */
        for (int i = 0; i < 3; i++)
                if (!scan_word(&s, &word))
                        return 0;
        if (!scan_word(&s, &part) || !scan_word(&s, &point) || part.text[0] != '/' || point.text[0] != '/')
                return 0;
        do
                if (!scan_word(&s, &word))
                        return 0;
        while (!span_is(word, "-"));
        if (!scan_word(&s, &type) || !scan_word(&s, &source) || !scan_word(&s, &options))
                return 0;
        if (span_is(type, "cgroup2"))
                return mount_take(t, CGROUP_UNIFIED, part, point);
        if (!span_is(type, "cgroup"))
                return 0;
        t->any_v1 = true;
        for (CgroupController c = 0; c < CGROUP_UNIFIED; c++) {
                int r = list_has(options, V1_NAMES[c]) ? mount_take(t, c, part, point) : 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int mounts_read(CgroupTree *t) {
        CLEANUP(buf_deinit) Buf path = BUF_NULL, text = BUF_NULL;
        /* Below another root, "self" would be this process under its number in another namespace. */
        const char *const order[2] = { t->root[0] ? "1" : "self", t->root[0] ? "self" : "1" };
        int r = -ENOENT;
        for (size_t i = 0; i < 2 && r < 0; i++) {
                buf_reset(&path);
                buf_printf(&path, "%s/proc/%s/mountinfo", t->root, order[i]);
                r = buf_read_file(&text, AT_FDCWD, buf_cstr(&path), MOUNTINFO_LIMIT);
        }
        if (r < 0)
                return r;
        Scan s = SCAN(text.data, text.len);
        Span line;
        while (scan_line(&s, &line)) {
                r = mount_line(t, line);
                if (r < 0)
                        return r;
        }
        return 0;
}

int cgroup_tree_new(const char *root, CgroupTree **ret_tree) {
        CLEANUP(cgroup_tree_freep) CgroupTree *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        size_t n = strlen(root);
        while (n > 0 && root[n - 1] == '/')
                n--;
        t->root = strndup(root, n);
        if (!t->root)
                return -ENOMEM;
        int r = mounts_read(t);
        if (r < 0)
                return r;
        if (!t->any_v1 && !t->mounts[CGROUP_UNIFIED].dir)
                return -ENOENT;
        t->version = !t->any_v1 ? CGROUP_V2 : t->mounts[CGROUP_UNIFIED].dir ? CGROUP_HYBRID : CGROUP_V1;
        *ret_tree = TAKE_PTR(t);
        return 0;
}

CgroupVersion cgroup_tree_version(const CgroupTree *t) {
        return t->version;
}

const char *cgroup_version_name(CgroupVersion v) {
        static const char *const NAMES[] = { [CGROUP_V1] = "v1", [CGROUP_V2] = "v2", [CGROUP_HYBRID] = "hybrid" };
        return v >= CGROUP_V1 && v <= CGROUP_HYBRID ? NAMES[v] : "";
}

/* The hierarchy of a controller: its own in v1, else the unified one. */
static const Mount *mount_of(const CgroupTree *t, CgroupController c, bool *ret_v2) {
        assert(c < CGROUP_CONTROLLER_COUNT);
        *ret_v2 = c == CGROUP_UNIFIED || !t->mounts[c].dir;
        const Mount *m = &t->mounts[*ret_v2 ? CGROUP_UNIFIED : c];
        return m->dir ? m : NULL;
}

const char *cgroup_tree_mount(const CgroupTree *t, CgroupController c, bool *ret_v2) {
        bool v2;
        const Mount *m = mount_of(t, c, &v2);
        if (ret_v2)
                *ret_v2 = v2;
        return m ? m->dir : "";
}

void cgroup_paths_deinit(CgroupPaths *p) {
        for (size_t i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
                free(p->dir[i]);
        free(p->path);
        *p = CGROUP_PATHS_NULL;
}

/* Directory of `path` under a mount; NULL when memory ran out, "" when the mount does not show it. */
static char *mount_join(const Mount *m, Span path) {
        size_t part = strlen(m->part);
        if (part > 0 && path.len >= part && memcmp(path.text, m->part, part) == 0 &&
            (path.len == part || path.text[part] == '/')) {
                path.text += part;
                path.len -= part;
        }
        /* "/../x": outside of this process's cgroup namespace. */
        if (path.len >= 3 && memcmp(path.text, "/..", 3) == 0 && (path.len == 3 || path.text[3] == '/'))
                return strdup("");
        while (path.len > 0 && path.text[path.len - 1] == '/')
                path.len--;
        char *out = NULL;
        return asprintf(&out, "%s%.*s", m->dir, (int)path.len, path.text) < 0 ? NULL : out;
}

static int path_keep(CgroupPaths *p, Span path) {
        if (p->path && strlen(p->path) >= path.len)
                return 0;
        free(p->path);
        p->path = strndup(path.text, path.len);
        return p->path ? 0 : -ENOMEM;
}

static int place(const Mount *m, Span path, CgroupPaths *p, CgroupController c) {
        free(p->dir[c]);
        p->dir[c] = mount_join(m, path);
        return p->dir[c] ? path_keep(p, path) : -ENOMEM;
}

/* One line of /proc/PID/cgroup: "4:cpu,cpuacct:/path", "1:name=systemd:/path", "0::/path". */
static int pid_line(const CgroupTree *t, Span line, CgroupPaths *p) {
        Scan s = SCAN(line.text, line.len);
        Span number, names;
        if (!scan_until(&s, ':', &number) || !scan_until(&s, ':', &names))
                return 0;
        Span path = { s.at, (size_t)(s.end - s.at) };
        static const char DELETED[] = " (deleted)";
        size_t tail = sizeof DELETED - 1;
        if (path.len > tail && memcmp(path.text + path.len - tail, DELETED, tail) == 0)
                path.len -= tail;
        if (path.len == 0 || path.text[0] != '/' || path.len >= PATH_MAX)
                return 0;
        bool unified = names.len == 0 && span_is(number, "0");
        for (CgroupController c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
                bool v2;
                const Mount *m = mount_of(t, c, &v2);
                if (!m || v2 != unified || (!v2 && !list_has(names, V1_NAMES[c])))
                        continue;
                int r = place(m, path, p, c);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Entries that nothing filled become "". */
static int paths_finish(const CgroupTree *t, CgroupPaths *p) {
        for (CgroupController c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
                (void)mount_of(t, c, &p->v2[c]);
                if (!p->dir[c])
                        p->dir[c] = strdup("");
                if (!p->dir[c])
                        return -ENOMEM;
        }
        return p->path ? 0 : -ENOENT;
}

int cgroup_of_pid(const CgroupTree *t, pid_t pid, CgroupPaths *ret) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        CLEANUP(cgroup_paths_deinit) CgroupPaths p = CGROUP_PATHS_NULL;
        char name[PATH_MAX];
        if (snprintf(name, sizeof name, "%s/proc/%d/cgroup", t->root, (int)pid) >= (int)sizeof name)
                return -ENAMETOOLONG;
        int r = buf_read_file(&text, AT_FDCWD, name, PROC_CGROUP_LIMIT);
        if (r < 0)
                return r;
        Scan s = SCAN(text.data, text.len);
        Span line;
        while (scan_line(&s, &line)) {
                r = pid_line(t, line, &p);
                if (r < 0)
                        return r;
        }
        r = paths_finish(t, &p);
        if (r < 0)
                return r;
        *ret = p;
        p = CGROUP_PATHS_NULL;
        return 0;
}

static bool is_dir(const char *path) {
        struct stat st;
        return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int cgroup_of_path(const CgroupTree *t, const char *path, CgroupPaths *ret) {
        CLEANUP(cgroup_paths_deinit) CgroupPaths p = CGROUP_PATHS_NULL;
        Span span = { path, strlen(path) };
        if (span.len == 0 || path[0] != '/' || span.len >= PATH_MAX)
                return -EINVAL;
        bool found = false;
        for (CgroupController c = 0; c < CGROUP_CONTROLLER_COUNT; c++) {
                bool v2;
                const Mount *m = mount_of(t, c, &v2);
                if (!m)
                        continue;
                int r = place(m, span, &p, c);
                if (r < 0)
                        return r;
                if (is_dir(p.dir[c]))
                        found = true;
                else
                        p.dir[c][0] = '\0';
        }
        int r = paths_finish(t, &p);
        if (r < 0)
                return r;
        if (!found)
                return -ENOENT;
        *ret = p;
        p = CGROUP_PATHS_NULL;
        return 0;
}

int cgroup_open_file(const CgroupPaths *p, CgroupController c, const char *name) {
        assert(c < CGROUP_CONTROLLER_COUNT);
        char path[PATH_MAX];
        if (!p->dir[c] || p->dir[c][0] == '\0')
                return -ENOENT;
        if (snprintf(path, sizeof path, "%s/%s", p->dir[c], name) >= (int)sizeof path)
                return -ENAMETOOLONG;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        return fd < 0 ? -errno : fd;
}

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

size_t cgroup_unescape(const char *name, size_t n, char *out, size_t size) {
        assert(size > 0);
        size_t len = 0;
        for (size_t i = 0; i < n && len + 1 < size; i++) {
                int high = -1, low = -1;
                if (name[i] == '\\' && n - i >= 4 && name[i + 1] == 'x') {
                        high = hex_value(name[i + 2]);
                        low = hex_value(name[i + 3]);
                }
                if (high >= 0 && low >= 0 && (high | low) != 0) {
                        out[len++] = (char)(high << 4 | low);
                        i += 3;
                } else
                        out[len++] = name[i];
        }
        out[len] = '\0';
        return len;
}

static bool span_ends(Span s, const char *literal) {
        size_t n = strlen(literal);
        return s.len >= n && memcmp(s.text + s.len - n, literal, n) == 0;
}

/* "3-name": a number, a hyphen and something after it. */
static bool machine_numbered(Span s, CgroupMachine *m) {
        Scan scan = SCAN(s.text, s.len);
        uint64_t id;
        if (s.len == 0 || s.text[0] < '0' || s.text[0] > '9' || !scan_u64(&scan, &id) || id > UINT32_MAX ||
            !scan_literal(&scan, "-") || scan.at == scan.end)
                return false;
        m->id = (uint32_t)id;
        (void)snprintf(m->name, sizeof m->name, "%.*s", (int)(scan.end - scan.at), scan.at);
        return true;
}

/* "qemu-3-name" */
static bool machine_driver(Span s, CgroupMachine *m) {
        Scan scan = SCAN(s.text, s.len);
        Span driver;
        if (!scan_until(&scan, '-', &driver) || driver.len == 0 || driver.len >= sizeof m->driver)
                return false;
        if (!machine_numbered((Span){ scan.at, (size_t)(scan.end - scan.at) }, m))
                return false;
        memcpy(m->driver, driver.text, driver.len);
        m->driver[driver.len] = '\0';
        return true;
}

static bool machine_scope(Span s, CgroupMachine *ret) {
        char text[NAME_MAX + 1];
        Span inner = { s.text + strlen("machine-"), s.len - strlen("machine-") - strlen(".scope") };
        size_t n = cgroup_unescape(inner.text, inner.len, text, sizeof text);
        return machine_driver((Span){ text, n }, ret);
}

static bool machine_plain(Span s, CgroupMachine *ret) {
        const char *stop = memmem(s.text, s.len, ".libvirt-", strlen(".libvirt-"));
        /* A domain's name may hold ".libvirt-" itself: the last one counts. */
        for (const char *next = stop; next;) {
                stop = next;
                next = memmem(stop + 1, (size_t)(s.text + s.len - stop - 1), ".libvirt-", strlen(".libvirt-"));
        }
        if (!stop || stop == s.text)
                return false;
        Span front = { s.text, (size_t)(stop - s.text) };
        Span driver = { stop + strlen(".libvirt-"), (size_t)(s.text + s.len - stop) - strlen(".libvirt-") };
        if (driver.len == 0 || driver.len >= sizeof ret->driver)
                return false;
        CgroupMachine numbered = { .id = 0 };
        if (machine_driver(front, &numbered) && span_is(driver, numbered.driver)) {
                *ret = numbered;
                return true;
        }
        (void)snprintf(ret->name, sizeof ret->name, "%.*s", (int)front.len, front.text);
        memcpy(ret->driver, driver.text, driver.len);
        ret->driver[driver.len] = '\0';
        return true;
}

bool cgroup_machine(const char *component, size_t n, CgroupMachine *ret) {
        Span s = { component, n };
        CgroupMachine m = { .id = 0 };
        if (n > NAME_MAX)
                return false;
        bool scope = span_starts(s, "machine-") && span_ends(s, ".scope") && n > strlen("machine-") + strlen(".scope");
        if (!(scope ? machine_scope(s, &m) : machine_plain(s, &m)))
                return false;
        *ret = m;
        return true;
}
