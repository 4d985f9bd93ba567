/* Finding containers: the hierarchies of CPU, memory and v2 are walked and laid over one another, since
 * a cgroup may be in one and not in another. Whose a cgroup is says its name alone. */
#include "collect/container/container_priv.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define DEPTH_MAX 16
#define VISITS_MAX 65536u
#define ID_LEN 64

void found_list_deinit(FoundList *l) {
        for (size_t i = 0; i < l->n; i++) {
                free(l->items[i].path);
                free(l->items[i].ident);
        }
        free(l->items);
        *l = FOUND_LIST_NULL;
}

static bool is_id(Span s) {
        if (s.len != ID_LEN)
                return false;
        for (size_t i = 0; i < ID_LEN; i++)
                if (!((s.text[i] >= '0' && s.text[i] <= '9') || (s.text[i] >= 'a' && s.text[i] <= 'f')))
                        return false;
        return true;
}

static bool span_ends(Span s, const char *tail) {
        size_t n = strlen(tail);
        return s.len > n && memcmp(s.text + s.len - n, tail, n) == 0;
}

static Span span_cut(Span s, size_t front, size_t back) {
        return s.len >= front + back ? (Span){ s.text + front, s.len - front - back } : (Span){ s.text, 0 };
}

/* "docker-<id>.scope", "libpod-<id>.scope" (systemd), "libpod-<id>" (cgroupfs). */
static bool prefixed_id(Span name, const char *prefix, Span *ret_id) {
        if (!span_starts(name, prefix))
                return false;
        Span id = span_cut(name, strlen(prefix), span_ends(name, ".scope") ? strlen(".scope") : 0);
        *ret_id = id;
        return is_id(id);
}

static Engine lxc_of(const char *path, Span name, Span *ret_ident) {
        if (span_starts(name, "lxc.payload.") && name.len > strlen("lxc.payload.")) {
                *ret_ident = span_cut(name, strlen("lxc.payload."), 0);
                return ENGINE_LXC;
        }
        /* LXC before version 4 */
        if (strncmp(path, "/lxc/", 5) == 0 && name.text == path + 5) {
                *ret_ident = name;
                return ENGINE_LXC;
        }
        return ENGINE_NONE;
}

Engine container_classify(const char *path, Span *ret_ident, char buffer[NAME_MAX + 1], bool *ret_descend) {
        const char *slash = strrchr(path, '/');
        assert(slash);
        Span name = { slash + 1, strlen(slash + 1) };
        CgroupMachine machine;
        *ret_descend = true;
        *ret_ident = (Span){ path, strlen(path) };
        if (name.len == 0 || span_ends(name, ".slice"))
                return ENGINE_CGROUP;
        if (span_ends(name, ".service")) {
                *ret_ident = name;
                return ENGINE_SYSTEMD;
        }
        *ret_descend = false;
        if (prefixed_id(name, "docker-", ret_ident) || (is_id(name) && (*ret_ident = name, true)))
                return ENGINE_DOCKER;
        if (prefixed_id(name, "libpod-", ret_ident))
                return ENGINE_PODMAN;
        if (span_starts(name, "lxc.monitor"))
                return ENGINE_NONE;
        if (lxc_of(path, name, ret_ident) == ENGINE_LXC)
                return ENGINE_LXC;
        if (cgroup_machine(name.text, name.len, &machine)) {
                if (strcmp(machine.driver, "lxc") != 0)
                        return ENGINE_NONE;
                memcpy(buffer, machine.name, sizeof machine.name);
                *ret_ident = (Span){ buffer, strlen(buffer) };
                return ENGINE_LXC;
        }
        *ret_descend = true;
        return ENGINE_NONE;
}

/* Docker's own names are its own; any other directory with 64 digits may be containerd's or Kubernetes'. */
static bool docker_owns(const char *root, const ContainerOptions *o, const char *path, Span id) {
        const char *slash = strrchr(path, '/');
        if (strncmp(slash + 1, "docker-", 7) == 0)
                return true;
        if (slash - path >= 7 && strncmp(slash - 7, "/docker", 7) == 0)
                return true;
        char file[PATH_MAX];
        int n = snprintf(file, sizeof file, "%s%s/containers/%.*s", root, o->docker_root, (int)id.len, id.text);
        return n < (int)sizeof file && access(file, F_OK) == 0;
}

static bool wanted(const ContainerOptions *o, Engine e) {
        switch (e) {
        case ENGINE_DOCKER: return o->docker;
        case ENGINE_PODMAN: return o->podman;
        case ENGINE_LXC: return o->lxc;
        case ENGINE_SYSTEMD: return o->services;
        case ENGINE_CGROUP: return o->slices;
        default: return false;
        }
}

static int found_add(FoundList *l, const char *path, Engine engine, Span ident, uint64_t inode, int hierarchy) {
        if (l->n == l->cap) {
                size_t cap = l->cap ? l->cap * 2 : 32;
                Found *items = reallocarray(l->items, cap, sizeof *items);
                if (!items)
                        return -ENOMEM;
                l->items = items;
                l->cap = cap;
        }
        Found f = { strdup(path), engine, strndup(ident.text, ident.len), inode, hierarchy };
        if (!f.path || !f.ident) {
                free(f.path);
                free(f.ident);
                return -ENOMEM;
        }
        l->items[l->n++] = f;
        return 0;
}

typedef struct Walk {
        const char *root, *mount;
        const ContainerOptions *options;
        FoundList *list;
        int hierarchy;
        char path[PATH_MAX]; /* below the mount; "" at its top */
} Walk;

static void cleanup_closedir(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

static int walk_dir(Walk *w, int parent, const char *name, int depth);

/* libvirt's names for QEMU's machines, of which there are hundreds in each hierarchy: known by their ends, without
 * taking them apart as container_classify() would to the same result. */
static bool is_qemu_machine(const char *name) {
        Span s = { name, strlen(name) };
        return (span_starts(s, "qemu-") && span_ends(s, ".libvirt-qemu")) ||
               (span_starts(s, "machine-qemu\\x2d") && span_ends(s, ".scope"));
}

static int walk_children(Walk *w, int *fd, int depth) {
        CLEANUP(cleanup_closedir) DIR *d = fdopendir(*fd);
        if (!d)
                return 0;
        *fd = -1;
        size_t len = strlen(w->path);
        int r = 0;
        for (struct dirent *e = readdir(d); e && r == 0; e = readdir(d)) {
                if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN) || is_qemu_machine(e->d_name))
                        continue;
                int n = snprintf(w->path + len, sizeof w->path - len, "/%s", e->d_name);
                if (n < (int)(sizeof w->path - len))
                        r = walk_dir(w, dirfd(d), e->d_name, depth + 1);
                w->path[len] = '\0';
        }
        return r;
}

/* Takes the directory at w->path and goes below it where that may be worth it. */
static int walk_dir(Walk *w, int parent, const char *name, int depth) {
        char buffer[NAME_MAX + 1];
        Span ident;
        bool descend;
        const char *path = w->path[0] ? w->path : "/";
        if (w->list->visited++ >= VISITS_MAX)
                return 0;
        Engine e = container_classify(path, &ident, buffer, &descend);
        if (e == ENGINE_DOCKER && !docker_owns(w->root, w->options, path, ident))
                e = ENGINE_NONE;
        /* Somebody else's, such as the cgroups of virtual machines: hundreds of them need no opening. */
        if (!descend && !wanted(w->options, e))
                return 0;
        CLEANUP_FD int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
                return 0; /* it went away */
        if (wanted(w->options, e)) {
                int r = found_add(w->list, path, e, ident, st.st_ino, w->hierarchy);
                if (r < 0)
                        return r;
        }
        /* A directory with two links has no directories in it: cgroupfs says so without being read. */
        if (!descend || depth >= DEPTH_MAX || st.st_nlink == 2)
                return 0;
        return walk_children(w, &fd, depth);
}

/* By path, then by hierarchy, so that the inode that stays is of the same hierarchy each time. */
static int compare_path(const void *a, const void *b) {
        const Found *x = a, *y = b;
        int r = strcmp(x->path, y->path);
        return r != 0 ? r : x->hierarchy - y->hierarchy;
}

/* Containers before services before totals; within one, the order of paths. */
static int compare_worth(const void *a, const void *b) {
        const Found *x = a, *y = b;
        if (x->engine != y->engine)
                return x->engine < y->engine ? -1 : 1;
        return compare_path(a, b);
}

/* Items of one path are from several hierarchies: the first stays. Sorted by path. */
static void found_unique(FoundList *l) {
        size_t n = 0;
        for (size_t i = 0; i < l->n; i++) {
                if (n > 0 && strcmp(l->items[n - 1].path, l->items[i].path) == 0) {
                        free(l->items[i].path);
                        free(l->items[i].ident);
                } else
                        l->items[n++] = l->items[i];
        }
        l->n = n;
}

static void found_limit(FoundList *l, size_t max) {
        if (l->n <= max)
                return;
        qsort(l->items, l->n, sizeof *l->items, compare_worth);
        for (size_t i = max; i < l->n; i++) {
                free(l->items[i].path);
                free(l->items[i].ident);
        }
        l->left_out = l->n - max;
        l->n = max;
        qsort(l->items, l->n, sizeof *l->items, compare_path);
}

int container_find(const CgroupTree *t, const char *root, const ContainerOptions *o, FoundList *l) {
        static const CgroupController HIERARCHIES[] = { CGROUP_CPUACCT, CGROUP_MEMORY, CGROUP_UNIFIED };
        const char *done[ARRAY_LEN(HIERARCHIES)];
        size_t n_done = 0;
        for (size_t i = 0; i < ARRAY_LEN(HIERARCHIES); i++) {
                Walk w = { .root = root, .options = o, .list = l, .hierarchy = (int)i };
                w.mount = cgroup_tree_mount(t, HIERARCHIES[i], NULL);
                bool again = w.mount[0] == '\0';
                for (size_t j = 0; j < n_done; j++)
                        again = again || strcmp(done[j], w.mount) == 0;
                if (again)
                        continue;
                int r = walk_dir(&w, AT_FDCWD, w.mount, 0);
                if (r < 0)
                        return r;
                done[n_done++] = w.mount;
        }
        qsort(l->items, l->n, sizeof *l->items, compare_path);
        found_unique(l);
        found_limit(l, o->max_containers);
        return 0;
}
