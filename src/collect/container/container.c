/* The table of known containers. Each look walks the hierarchies and merges what it found, sorted by
 * path, with what is known: gone first, so that a container that moved is never announced before its
 * old self is taken back; then new ones; then the values of all. */
#include "collect/container/container_priv.h"

#include <assert.h>
#include <xxhash.h>

_Static_assert(GROUP_CTR_SPEC - GROUP_CTR_START < 32, "Container.sent has a bit for each group");
_Static_assert(GROUP_CTR_SPEC + 1 == GROUP_MACHINE, "groups of containers are CTR_START to CTR_SPEC");

ContainerOptions container_options_default(void) {
        return (ContainerOptions){
                .docker = true,
                .podman = true,
                .lxc = true,
                .services = true,
                .slices = true,
                .docker_root = "/var/lib/docker",
                .max_containers = 1000,
                .max_descriptors = 4096,
        };
}

EntityKey container_key(Engine engine, const char *id, size_t n) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        buf_put_str(&text, engine_name(engine));
        buf_put_char(&text, '/');
        buf_put(&text, id, n);
        XXH128_hash_t hash = XXH3_128bits(text.data, text.len);
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, hash);
        EntityKey key = { .kind = ENTITY_CONTAINER };
        memcpy(key.id.bytes, canonical.digest, sizeof key.id.bytes);
        return key;
}

static Container *entry_free(Containers *c, Container *k) {
        if (!k)
                return NULL;
        ctr_close(c, k);
        cgroup_paths_deinit(&k->paths);
        free(k->threads);
        free(k->path);
        free(k->ident);
        free(k);
        return NULL;
}

Containers *container_free(Containers *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n; i++)
                (void)entry_free(c, c->list[i]);
        free(c->list);
        cgroup_tree_freep(&c->tree);
        batch_deinit(&c->batch);
        buf_deinit(&c->text);
        buf_deinit(&c->memory_stat);
        ctr_id_list_deinit(&c->processes);
        free(c->docker_root);
        free(c->root);
        free(c);
        return NULL;
}

int container_new(const char *root, const ContainerOptions *options, Containers **ret_containers) {
        CLEANUP(container_freep) Containers *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        size_t n = strlen(root);
        while (n > 0 && root[n - 1] == '/')
                n--;
        c->root = strndup(root, n);
        c->docker_root = strdup(options->docker_root ? options->docker_root : "/var/lib/docker");
        if (!c->root || !c->docker_root)
                return -ENOMEM;
        c->options = *options;
        c->options.docker_root = c->docker_root;
        int r = cgroup_tree_new(root, &c->tree);
        if (r < 0)
                return r;
        *ret_containers = TAKE_PTR(c);
        return 0;
}

/* What is shown until the engine tells a name: the unit unescaped, else the start of the id. */
static void entry_name(Container *k) {
        switch (k->engine) {
        case ENGINE_DOCKER:
        case ENGINE_PODMAN: (void)snprintf(k->name, sizeof k->name, "%.12s", k->ident); break;
        default: (void)cgroup_unescape(k->ident, strlen(k->ident), k->name, sizeof k->name); break;
        }
}

/* Units of different users may have one name; their paths differ. */
static EntityKey entry_key(const Found *f) {
        const char *id = f->engine == ENGINE_SYSTEMD || f->engine == ENGINE_CGROUP ? f->path : f->ident;
        return container_key(f->engine, id, strlen(id));
}

/* Takes path and ident out of `f`. NULL when memory ran out or the cgroup went away meanwhile. */
static Container *entry_new(Containers *c, Found *f) {
        Container *k = calloc(1, sizeof *k);
        if (!k)
                return NULL;
        for (size_t i = 0; i < F_COUNT; i++)
                k->fds[i] = FD_CLOSED;
        k->key = entry_key(f);
        k->engine = f->engine;
        k->inode = f->inode;
        for (size_t i = 0; i < SPEC_COUNT; i++)
                k->spec[i] = value_absent();
        k->path = TAKE_PTR(f->path);
        k->ident = TAKE_PTR(f->ident);
        entry_name(k);
        if (cgroup_of_path(c->tree, k->path, &k->paths) < 0)
                return entry_free(c, k);
        return k;
}

static void announce(const Container *k, Sink *sink) {
        EntityInfo info = {
                .key = k->key,
                .engine = k->engine,
                .pid = k->pid,
                .started_ns = k->started_ns,
                .name = k->name,
                .name_len = strlen(k->name),
                .path = k->path,
                .path_len = strlen(k->path),
                .ident = k->ident,
                .ident_len = strlen(k->ident),
        };
        sink_entity(sink, &info);
}

/* A cgroup of the same path that is another one now: the same entity, nothing of it kept. The place in
 * the hierarchies is looked up again each time there is something new to see in any of them. */
static int entry_renew(Containers *c, Container *k, const Found *f) {
        CgroupPaths paths;
        int r = cgroup_of_path(c->tree, k->path, &paths);
        if (r < 0)
                return r;
        ctr_close(c, k);
        cgroup_paths_deinit(&k->paths);
        k->paths = paths;
        k->inode = f->inode;
        k->pid = 0;
        k->started_ns = 0;
        k->threads_known = false;
        k->rechecked = (MonoTime){ 0 };
        k->announced = false;
        c->stats.changes++;
        return 0;
}

static void entry_gone(Containers *c, Container *k) {
        if (k->announced)
                sink_gone(c->sink, k->key);
        c->stats.changes++;
        (void)entry_free(c, k);
}

/* Known and found are both sorted by path: drops the known ones that were not found or are somebody
 * else's now, and renews those whose cgroup was made anew. */
static void drop_lost(Containers *c, FoundList *found) {
        size_t kept = 0, j = 0;
        for (size_t i = 0; i < c->n; i++) {
                Container *k = c->list[i];
                while (j < found->n && strcmp(found->items[j].path, k->path) < 0)
                        j++;
                Found *f = j < found->n && strcmp(found->items[j].path, k->path) == 0 ? &found->items[j] : NULL;
                bool same = f && f->engine == k->engine && strcmp(f->ident, k->ident) == 0;
                if (!same || (f->inode != k->inode && entry_renew(c, k, f) < 0))
                        entry_gone(c, k);
                else
                        c->list[kept++] = k;
        }
        c->n = kept;
}

static bool list_reserve(Containers *c, size_t n) {
        if (n <= c->cap)
                return true;
        Container **list = reallocarray(c->list, n, sizeof *list);
        if (!list)
                return false;
        c->list = list;
        c->cap = n;
        return true;
}

static int compare_entry(const void *a, const void *b) {
        return strcmp((*(Container *const *)a)->path, (*(Container *const *)b)->path);
}

/* One container in two places (an engine that moves it, an id used twice) is looked at in the first. */
static bool key_known(const Containers *c, const EntityKey *key) {
        for (size_t i = 0; i < c->n; i++)
                if (entity_key_equal(&c->list[i]->key, key))
                        return true;
        return false;
}

static void add_new(Containers *c, FoundList *found) {
        size_t known = c->n, j = 0;
        if (!list_reserve(c, c->n + found->n))
                return;
        for (size_t i = 0; i < found->n; i++) {
                while (j < known && strcmp(c->list[j]->path, found->items[i].path) < 0)
                        j++;
                if (j < known && strcmp(c->list[j]->path, found->items[i].path) == 0)
                        continue;
                Container *k = entry_new(c, &found->items[i]);
                if (!k)
                        continue;
                if (key_known(c, &k->key)) {
                        (void)entry_free(c, k);
                        continue;
                }
                c->list[c->n++] = k;
                c->stats.changes++;
        }
        qsort(c->list, c->n, sizeof *c->list, compare_entry);
}

static void count(Containers *c, const FoundList *found) {
        memset(c->stats.by_engine, 0, sizeof c->stats.by_engine);
        for (size_t i = 0; i < c->n; i++)
                c->stats.by_engine[c->list[i]->engine]++;
        c->stats.found = c->n;
        c->stats.left_out = found->left_out;
}

static void look_at(Containers *c, Container *k) {
        bool changed = ctr_find_pid(c, k);
        if (changed || !k->announced) {
                announce(k, c->sink);
                k->announced = true;
        }
        ctr_send_values(c, k);
        ctr_send_processes(c, k);
}

void container_look(Containers *c, WallTime wall, MonoTime mono, Sink *sink) {
        CLEANUP(found_list_deinit) FoundList found = FOUND_LIST_NULL;
        c->wall = wall;
        c->mono = mono;
        c->sink = sink;
        if (c->boot_ns == 0)
                ctr_read_host(c);
        /* Devices come and go with their numbers: names are asked once a look. */
        c->n_devices = 0;
        /* Without memory for the list the known ones are looked at once more. */
        if (container_find(c->tree, c->root, &c->options, &found) == 0) {
                drop_lost(c, &found);
                add_new(c, &found);
                count(c, &found);
        }
        for (size_t i = 0; i < c->n; i++)
                look_at(c, c->list[i]);
        if (c->options.machine)
                ctr_send_machine(c);
        c->sink = NULL;
}

void container_resync(Containers *c, Sink *sink) {
        for (size_t i = 0; i < c->n; i++)
                if (c->list[i]->announced)
                        announce(c->list[i], sink);
        c->machine_read = (MonoTime){ 0 };
}

const ContainerStats *container_stats(const Containers *c) {
        return &c->stats;
}

void container_each(const Containers *c, Engine engine, void (*fn)(void *context, EntityKey key, const char *id),
                    void *context) {
        for (size_t i = 0; i < c->n; i++)
                if (c->list[i]->engine == engine)
                        fn(context, c->list[i]->key, c->list[i]->ident);
}
