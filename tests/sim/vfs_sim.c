/* What is *volatile* is what a process sees: the page cache and the names. What is *durable* is what the platter has. Between them
 * lies, for each file, the list of its unsynced changes, and for the directory that of its unsynced changes of names; a
 * sync applies them all, a power cut some. */
#include "vfs_sim.h"

#include "rt/lock.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define SECTOR 512
#define NAME_LIMIT 256
#define LOCK_NAME "lock"

/* Of tests that make malloc() fail: not here. */
__attribute__((weak)) void malloc_fault_exempt(int delta);

static void exempt(int delta) {
        if (malloc_fault_exempt)
                malloc_fault_exempt(delta);
}

typedef struct Change Change;
struct Change {
        Change *next;
        bool truncate;
        uint64_t offset; /* of a truncation: the size */
        size_t n;
        uint8_t bytes[];
};

typedef struct Content {
        uint8_t *bytes;
        size_t size, cap;
} Content;

typedef struct Inode {
        unsigned refs;
        Content seen, durable;
        Change *first, **last; /* unsynced */
        bool failed; /* a sync of it did */
} Inode;

typedef struct Entry {
        char name[NAME_LIMIT];
        Inode *inode;
} Entry;

typedef struct Names {
        Entry *entries;
        size_t n, cap;
} Names;

typedef enum NameChangeKind { NAME_SET, NAME_REMOVE, NAME_MOVE } NameChangeKind;

typedef struct NameChange {
        NameChangeKind kind;
        char name[NAME_LIMIT], from[NAME_LIMIT];
        Inode *inode;
} NameChange;

typedef struct Fault {
        uint32_t ops;
        uint64_t nth;
        bool for_ever;
        int error;
} Fault;

struct VfsSim {
        Lock lock;
        uint64_t random;
        Names seen, durable;
        NameChange *changes;
        size_t n_changes, cap_changes;
        unsigned life; /* of processes: handles of earlier ones are dead */
        bool locked;   /* by the living */
        size_t open_files;

        Fault fault;
        uint32_t kill_ops;
        uint64_t kill_nth;
        bool killed;
        uint64_t capacity;
        bool read_only;
        Duration sync_takes;
        void (*during_sync)(void *context);
        void *during_context;
        void (*after)(void *context, SimOp op);
        void *after_context;

        MonoTime clock;
        uint64_t counts[SIM_OP_COUNT];
        uint64_t synced_again, failed_syncs;
        bool recording;
        Buf log;
};

typedef struct Handle {
        Vfs vfs;
        VfsSim *sim;
        unsigned life;
        bool has_lock;
} Handle;

struct VfsFile {
        Inode *inode;
        bool writable;
        char name[NAME_LIMIT];
};

uint64_t sim_random(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static void *must(void *p) {
        if (!p)
                abort();
        return p;
}

/* ---- Contents ---- */

static void content_resize(Content *c, size_t size) {
        if (size > c->cap) {
                c->cap = size > 2 * c->cap ? size : 2 * c->cap;
                c->bytes = must(realloc(c->bytes, c->cap));
        }
        if (size > c->size)
                memset(c->bytes + c->size, 0, size - c->size);
        c->size = size;
}

static void content_write(Content *c, uint64_t offset, const void *bytes, size_t n) {
        if (n == 0)
                return;
        if (offset + n > c->size)
                content_resize(c, offset + n);
        memcpy(c->bytes + offset, bytes, n);
}

static Inode *inode_new(void) {
        Inode *i = must(calloc(1, sizeof *i));
        i->last = &i->first;
        return i;
}

static Inode *inode_ref(Inode *i) {
        i->refs++;
        return i;
}

static void drop_changes(Inode *i) {
        while (i->first) {
                Change *c = i->first;
                i->first = c->next;
                free(c);
        }
        i->last = &i->first;
}

static void inode_unref(Inode *i) {
        assert(i->refs > 0);
        if (--i->refs > 0)
                return;
        drop_changes(i);
        free(i->seen.bytes);
        free(i->durable.bytes);
        free(i);
}

static void add_change(Inode *i, bool truncate, uint64_t offset, const void *bytes, size_t n) {
        Change *c = must(malloc(sizeof *c + n));
        *c = (Change){ .truncate = truncate, .offset = offset, .n = n };
        if (n > 0)
                memcpy(c->bytes, bytes, n);
        *i->last = c;
        i->last = &c->next;
}

static void apply_whole(Content *to, const Change *c) {
        if (c->truncate)
                content_resize(to, c->offset);
        else
                content_write(to, c->offset, c->bytes, c->n);
}

/* How much of what was not synced is there after all; one way for each file, so that the plain cases come often. */
typedef enum Luck { LUCK_NONE, LUCK_ALL, LUCK_PREFIX, LUCK_PIECES, LUCK_COUNT } Luck;

/* Pieces of one write, each by itself; the size may have come without the data. */
static void apply_pieces(Content *to, const Change *c, uint64_t *random) {
        unsigned percent = (unsigned)sim_below(random, 101);
        for (size_t at = 0; at < c->n;) {
                size_t n = SECTOR - (c->offset + at) % SECTOR;
                n = n < c->n - at ? n : c->n - at;
                if (sim_below(random, 100) < percent)
                        content_write(to, c->offset + at, c->bytes + at, n);
                at += n;
        }
        if (to->size < c->offset + c->n && sim_below(random, 2))
                content_resize(to, c->offset + c->n);
}

static void apply_some(Content *to, const Change *changes, uint64_t *random) {
        size_t n = 0;
        for (const Change *c = changes; c; c = c->next)
                n++;
        Luck luck = (Luck)sim_below(random, LUCK_COUNT);
        size_t prefix = sim_below(random, n + 1);
        for (const Change *c = changes; c && luck != LUCK_NONE; c = c->next) {
                if (luck == LUCK_ALL || (luck == LUCK_PREFIX && prefix > 0))
                        apply_whole(to, c);
                else if (luck == LUCK_PREFIX) {
                        if (!c->truncate)
                                content_write(to, c->offset, c->bytes, sim_below(random, c->n + 1));
                        return;
                } else if (!c->truncate)
                        apply_pieces(to, c, random);
                else if (sim_below(random, 2))
                        apply_whole(to, c);
                prefix -= prefix > 0;
        }
}

/* ---- Names ---- */

static Entry *find(const Names *names, const char *name) {
        for (size_t i = 0; i < names->n; i++)
                if (strcmp(names->entries[i].name, name) == 0)
                        return &names->entries[i];
        return NULL;
}

static void set_name(Names *names, const char *name, Inode *inode) {
        Entry *e = find(names, name);
        if (e) {
                (void)inode_ref(inode);
                inode_unref(e->inode);
                e->inode = inode;
                return;
        }
        if (names->n == names->cap) {
                names->cap = names->cap ? 2 * names->cap : 16;
                names->entries = must(reallocarray(names->entries, names->cap, sizeof *names->entries));
        }
        e = &names->entries[names->n++];
        (void)snprintf(e->name, sizeof e->name, "%s", name);
        e->inode = inode_ref(inode);
}

static void remove_name(Names *names, const char *name, const Inode *inode) {
        Entry *e = find(names, name);
        if (!e || e->inode != inode)
                return;
        inode_unref(e->inode);
        *e = names->entries[--names->n];
}

static void names_clear(Names *names) {
        for (size_t i = 0; i < names->n; i++)
                inode_unref(names->entries[i].inode);
        names->n = 0;
}

static void apply_name(Names *names, const NameChange *c) {
        if (c->kind == NAME_REMOVE) {
                remove_name(names, c->name, c->inode);
                return;
        }
        set_name(names, c->name, c->inode);
        if (c->kind == NAME_MOVE)
                remove_name(names, c->from, c->inode);
}

static void change_name(VfsSim *s, NameChangeKind kind, const char *name, const char *from, Inode *inode) {
        if (s->n_changes == s->cap_changes) {
                s->cap_changes = s->cap_changes ? 2 * s->cap_changes : 16;
                s->changes = must(reallocarray(s->changes, s->cap_changes, sizeof *s->changes));
        }
        NameChange *c = &s->changes[s->n_changes++];
        *c = (NameChange){ .kind = kind, .inode = inode_ref(inode) };
        (void)snprintf(c->name, sizeof c->name, "%s", name);
        (void)snprintf(c->from, sizeof c->from, "%s", from ? from : "");
        apply_name(&s->seen, c);
}

static void drop_name_changes(VfsSim *s) {
        for (size_t i = 0; i < s->n_changes; i++)
                inode_unref(s->changes[i].inode);
        s->n_changes = 0;
}

static void copy_names(Names *to, const Names *from) {
        /* The new ones are taken before the old ones go. */
        Names old = *to;
        *to = (Names){ 0 };
        for (size_t i = 0; i < from->n; i++)
                set_name(to, from->entries[i].name, from->entries[i].inode);
        names_clear(&old);
        free(old.entries);
}

/* ---- Every call ---- */

static Lock *lock_of(const VfsSim *s) {
        return (Lock *)&s->lock;
}

static const char *const OP_NAMES[SIM_OP_COUNT] = {
        "open", "create", "append", "truncate", "sync", "pread", "size", "map", "rename", "link", "unlink", "sync_directory",
        "list", "space", "lock",
};

/* Whether the nth call of a set is this one; counts down. */
static bool is_due(uint32_t ops, uint64_t *nth, SimOp op) {
        if (*nth == 0 || !(ops & SIM_SET(op)))
                return false;
        return --*nth == 0;
}

static int fault_of(VfsSim *s, SimOp op) {
        Fault *f = &s->fault;
        if (!is_due(f->ops, &f->nth, op))
                return 0;
        if (f->for_ever)
                f->nth = 1;
        return f->error;
}

/* Begins a call: 0, or the error that it is to end with. `*ret_killed`: it dies half-way. */
static int begin(Handle *h, SimOp op, bool *ret_killed) {
        VfsSim *s = h->sim;
        exempt(1);
        lock(&s->lock);
        *ret_killed = false;
        if (h->life != s->life || s->killed)
                return -EIO;
        s->counts[op]++;
        if (is_due(s->kill_ops, &s->kill_nth, op)) {
                s->killed = true;
                *ret_killed = true;
                return -EIO;
        }
        int error = fault_of(s, op);
        if (error == 0 && s->read_only && (SIM_CHANGES & SIM_SET(op)))
                error = -EROFS;
        return error;
}

static int end(Handle *h, SimOp op, const char *name, uint64_t n, int result) {
        VfsSim *s = h->sim;
        if (s->recording)
                buf_printf(&s->log, "%s %s %" PRIu64 " = %d\n", OP_NAMES[op], name, n, result);
        bool tell = s->after && h->life == s->life && !s->killed && ((SIM_CHANGES | SIM_SYNCS) & SIM_SET(op));
        unlock(&s->lock);
        exempt(-1);
        if (tell)
                s->after(s->after_context, op);
        return result;
}

static Handle *handle_of(Vfs *v) {
        return (Handle *)v;
}

/* ---- The operations ---- */

static int sim_open(Vfs *v, const char *name, VfsOpen how, VfsFile **ret_file) {
        Handle *h = handle_of(v);
        SimOp op = how == VFS_CREATE ? SIM_CREATE : SIM_OPEN;
        bool killed;
        int r = begin(h, op, &killed);
        VfsSim *s = h->sim;
        const Entry *e = r == 0 ? find(&s->seen, name) : NULL;
        if (r == 0 && how == VFS_CREATE && e)
                r = -EEXIST;
        else if (r == 0 && how != VFS_CREATE && !e)
                r = -ENOENT;
        else if (r == 0 && how == VFS_APPEND && s->read_only)
                r = -EROFS;
        if (r == 0 || (killed && how == VFS_CREATE && !e && sim_below(&s->random, 2))) {
                Inode *inode = e ? inode_ref(e->inode) : inode_ref(inode_new());
                if (how == VFS_CREATE)
                        change_name(s, NAME_SET, name, NULL, inode);
                if (r < 0) {
                        inode_unref(inode);
                        return end(h, op, name, 0, r);
                }
                VfsFile *f = must(calloc(1, sizeof *f));
                f->inode = inode;
                f->writable = how != VFS_READ;
                (void)snprintf(f->name, sizeof f->name, "%s", name);
                s->open_files++;
                *ret_file = f;
        }
        return end(h, op, name, 0, r);
}

static void sim_close(Vfs *v, VfsFile *f) {
        VfsSim *s = handle_of(v)->sim;
        LOCK_SCOPE(&s->lock);
        s->open_files--;
        inode_unref(f->inode);
        free(f);
}

static uint64_t bytes_in(const Names *names) {
        uint64_t sum = 0;
        for (size_t i = 0; i < names->n; i++)
                sum += names->entries[i].inode->seen.size;
        return sum;
}

static void append_now(Inode *i, const void *bytes, size_t n) {
        if (n == 0)
                return;
        add_change(i, false, i->seen.size, bytes, n);
        content_write(&i->seen, i->seen.size, bytes, n);
}

static int sim_append(Vfs *v, VfsFile *f, const void *bytes, size_t n) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_APPEND, &killed);
        VfsSim *s = h->sim;
        bool alive = h->life == s->life && (!s->killed || killed);
        size_t fits = n;
        if (!f->writable)
                r = r < 0 ? r : -EBADF;
        else if (r < 0 && alive && r != -EROFS)
                fits = sim_below(&s->random, n + 1);
        else if (r == 0 && s->capacity) {
                uint64_t used = bytes_in(&s->seen), room = used < s->capacity ? s->capacity - used : 0;
                if (n > room) {
                        fits = room;
                        r = -ENOSPC;
                }
        }
        if (f->writable && alive && r != -EROFS)
                append_now(f->inode, bytes, fits);
        return end(h, SIM_APPEND, f->name, n, r);
}

static int sim_truncate(Vfs *v, VfsFile *f, uint64_t size) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_TRUNCATE, &killed);
        if (r == 0 && !f->writable)
                r = -EINVAL;
        if (r == 0) {
                add_change(f->inode, true, size, NULL, 0);
                content_resize(&f->inode->seen, size);
        }
        return end(h, SIM_TRUNCATE, f->name, size, r);
}

static void make_durable(Inode *i) {
        for (const Change *c = i->first; c; c = c->next)
                apply_whole(&i->durable, c);
        drop_changes(i);
}

static void lose_some(VfsSim *s, Inode *i) {
        apply_some(&i->durable, i->first, &s->random);
        drop_changes(i);
}

static void pass_time(Handle *h) {
        VfsSim *s = h->sim;
        s->clock = mono_add(s->clock, s->sync_takes);
        if (!s->during_sync)
                return;
        unlock(&s->lock);
        exempt(-1);
        s->during_sync(s->during_context);
        exempt(1);
        lock(&s->lock);
}

static int sim_sync(Vfs *v, VfsFile *f) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_SYNC, &killed);
        VfsSim *s = h->sim;
        Inode *i = f->inode;
        if (h->life == s->life && !s->killed) {
                s->synced_again += i->failed;
                if (r == 0) {
                        make_durable(i);
                } else {
                        i->failed = true;
                        s->failed_syncs++;
                        lose_some(s, i);
                }
                pass_time(h);
        }
        return end(h, SIM_SYNC, f->name, i->seen.size, r);
}

static ssize_t sim_pread(Vfs *v, VfsFile *f, void *bytes, size_t n, uint64_t offset) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_PREAD, &killed);
        if (r == 0) {
                const Content *c = &f->inode->seen;
                size_t left = offset < c->size ? c->size - offset : 0;
                n = n < left ? n : left;
                if (n > 0)
                        memcpy(bytes, c->bytes + offset, n);
                r = (int)n;
        }
        return end(h, SIM_PREAD, f->name, offset, r);
}

static int sim_size(Vfs *v, VfsFile *f, uint64_t *ret_size) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_SIZE, &killed);
        if (r == 0)
                *ret_size = f->inode->seen.size;
        return end(h, SIM_SIZE, f->name, 0, r);
}

static int sim_map(Vfs *v, const char *name, VfsMap *ret_map) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_MAP, &killed);
        const Entry *e = r == 0 ? find(&h->sim->seen, name) : NULL;
        if (r == 0 && !e)
                r = -ENOENT;
        if (r == 0) {
                /* A copy of its own, so that the sanitizer sees what goes beyond it. */
                const Content *c = &e->inode->seen;
                uint8_t *bytes = must(malloc(c->size ? c->size : 1));
                if (c->size > 0)
                        memcpy(bytes, c->bytes, c->size);
                *ret_map = (VfsMap){ .bytes = bytes, .len = c->size, .owner = bytes };
        }
        return end(h, SIM_MAP, name, 0, r);
}

static void sim_unmap(Vfs *v, VfsMap *map) {
        (void)v;
        free(map->owner);
}

static void sim_forget(Vfs *v, const VfsMap *map) {
        (void)v;
        (void)map;
}

static int sim_rename(Vfs *v, const char *from, const char *to) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_RENAME, &killed);
        VfsSim *s = h->sim;
        const Entry *e = r == 0 || killed ? find(&s->seen, from) : NULL;
        if (r == 0 && !e)
                r = -ENOENT;
        if (e && (r == 0 || sim_below(&s->random, 2)))
                change_name(s, NAME_MOVE, to, from, e->inode);
        return end(h, SIM_RENAME, from, 0, r);
}

static int sim_unlink(Vfs *v, const char *name) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_UNLINK, &killed);
        VfsSim *s = h->sim;
        const Entry *e = r == 0 || killed ? find(&s->seen, name) : NULL;
        if (r == 0 && !e)
                r = -ENOENT;
        if (e && (r == 0 || sim_below(&s->random, 2)))
                change_name(s, NAME_REMOVE, name, NULL, e->inode);
        return end(h, SIM_UNLINK, name, 0, r);
}

/* Names below other directories are in the same table, with their path, and durable at once. */
static int sim_link(Vfs *v, const char *name, const char *directory) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_LINK, &killed);
        VfsSim *s = h->sim;
        char path[NAME_LIMIT];
        const Entry *e = r == 0 ? find(&s->seen, name) : NULL;
        if (r == 0 && !e)
                r = -ENOENT;
        if (r == 0 && snprintf(path, sizeof path, "%s/%s", directory, name) >= NAME_LIMIT)
                r = -ENAMETOOLONG;
        if (r == 0 && find(&s->seen, path))
                r = -EEXIST;
        if (r == 0) {
                Inode *i = e->inode;
                set_name(&s->seen, path, i);
                set_name(&s->durable, path, i);
        }
        return end(h, SIM_LINK, name, 0, r);
}

static int sim_sync_directory(Vfs *v) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_SYNC_DIRECTORY, &killed);
        VfsSim *s = h->sim;
        if (h->life == s->life && !s->killed) {
                if (r == 0) {
                        copy_names(&s->durable, &s->seen);
                        drop_name_changes(s);
                }
                pass_time(h);
        }
        return end(h, SIM_SYNC_DIRECTORY, "", 0, r);
}

static int sim_list(Vfs *v, Buf *ret_names) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_LIST, &killed);
        const Names *names = &h->sim->seen;
        for (size_t i = 0; r == 0 && i < names->n; i++)
                if (!strchr(names->entries[i].name, '/'))
                        buf_put(ret_names, names->entries[i].name, strlen(names->entries[i].name) + 1);
        return end(h, SIM_LIST, "", 0, r < 0 ? r : buf_error(ret_names));
}

static int sim_space(Vfs *v, VfsSpace *ret_space) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_SPACE, &killed);
        const VfsSim *s = h->sim;
        uint64_t total = s->capacity ? s->capacity : UINT64_C(1) << 40, used = bytes_in(&s->seen);
        if (r == 0)
                *ret_space = (VfsSpace){ .free_bytes = used < total ? total - used : 0, .total_bytes = total, .free_inodes = 1 << 20 };
        return end(h, SIM_SPACE, "", 0, r);
}

static int sim_lock(Vfs *v) {
        Handle *h = handle_of(v);
        bool killed;
        int r = begin(h, SIM_LOCK, &killed);
        if (r == 0 && h->sim->locked)
                r = -EWOULDBLOCK;
        if (r == 0)
                h->sim->locked = h->has_lock = true;
        return end(h, SIM_LOCK, LOCK_NAME, 0, r);
}

static void sim_free(Vfs *v) {
        Handle *h = handle_of(v);
        if (h->has_lock && h->life == h->sim->life)
                h->sim->locked = false;
        free(h);
}

static const VfsOps OPS = {
        .open = sim_open,
        .close = sim_close,
        .append = sim_append,
        .truncate = sim_truncate,
        .sync = sim_sync,
        .pread = sim_pread,
        .size = sim_size,
        .map = sim_map,
        .unmap = sim_unmap,
        .forget = sim_forget,
        .rename = sim_rename,
        .link = sim_link,
        .unlink = sim_unlink,
        .sync_directory = sim_sync_directory,
        .list = sim_list,
        .space = sim_space,
        .lock = sim_lock,
        .free = sim_free,
};

/* ---- Ends of processes ---- */

static void next_life(VfsSim *s) {
        s->life++;
        s->killed = false;
        s->kill_nth = 0;
        s->locked = false;
}

void vfs_sim_kill(VfsSim *s) {
        LOCK_SCOPE(&s->lock);
        next_life(s);
        /* The next process did not see the error. */
        for (size_t i = 0; i < s->seen.n; i++)
                s->seen.entries[i].inode->failed = false;
}

/* The file as the platter has it after the cut. */
static Inode *after_cut(const Inode *i, uint64_t *random) {
        Inode *cut = inode_new();
        content_write(&cut->durable, 0, i->durable.bytes, i->durable.size);
        apply_some(&cut->durable, i->first, random);
        content_write(&cut->seen, 0, cut->durable.bytes, cut->durable.size);
        return cut;
}

/* An inode and what became of it, so that two names of one file stay so. */
typedef struct Twin {
        const Inode *old;
        Inode *cut;
} Twin;

/* Which names there are after the cut, with files as they were. */
static void names_after_cut(const VfsSim *s, uint64_t *random, Names *ret_names) {
        copy_names(ret_names, &s->durable);
        Luck luck = (Luck)sim_below(random, LUCK_COUNT);
        size_t prefix = sim_below(random, s->n_changes + 1);
        for (size_t i = 0; i < s->n_changes; i++) {
                bool there = luck == LUCK_ALL || (luck == LUCK_PREFIX && i < prefix) || (luck == LUCK_PIECES && sim_below(random, 2));
                if (there)
                        apply_name(ret_names, &s->changes[i]);
        }
}

static void cut_files(Names *names, uint64_t *random) {
        Twin *twins = must(calloc(names->n + 1, sizeof *twins));
        for (size_t i = 0; i < names->n; i++) {
                Entry *e = &names->entries[i];
                size_t k = 0;
                while (k < i && twins[k].old != e->inode)
                        k++;
                twins[i] = (Twin){ e->inode, k < i ? twins[k].cut : after_cut(e->inode, random) };
        }
        for (size_t i = 0; i < names->n; i++) {
                (void)inode_ref(twins[i].cut);
                inode_unref(names->entries[i].inode);
                names->entries[i].inode = twins[i].cut;
        }
        free(twins);
}

void vfs_sim_power_cut(VfsSim *s, uint64_t seed) {
        exempt(1);
        {
                LOCK_SCOPE(&s->lock);
                next_life(s);
                Names names = { 0 };
                names_after_cut(s, &seed, &names);
                cut_files(&names, &seed);
                drop_name_changes(s);
                copy_names(&s->durable, &names);
                copy_names(&s->seen, &names);
                names_clear(&names);
                free(names.entries);
        }
        exempt(-1);
}

VfsSim *vfs_sim_copy_after_power_cut(const VfsSim *s, uint64_t seed) {
        VfsSim *copy = vfs_sim_new(seed);
        exempt(1);
        {
                LOCK_SCOPE(lock_of(s));
                Names names = { 0 };
                names_after_cut(s, &seed, &names);
                cut_files(&names, &seed);
                copy_names(&copy->durable, &names);
                copy_names(&copy->seen, &names);
                names_clear(&names);
                free(names.entries);
        }
        exempt(-1);
        return copy;
}

void vfs_sim_kill_at(VfsSim *s, uint32_t ops, uint64_t nth) {
        LOCK_SCOPE(&s->lock);
        s->kill_ops = ops;
        s->kill_nth = nth;
}

bool vfs_sim_killed(const VfsSim *s) {
        LOCK_SCOPE(lock_of(s));
        return s->killed;
}

/* ---- Faults ---- */

void vfs_sim_fail(VfsSim *s, uint32_t ops, uint64_t nth, bool for_ever, int error) {
        LOCK_SCOPE(&s->lock);
        assert(error < 0 || nth == 0);
        s->fault = (Fault){ ops, nth, for_ever, error };
}

void vfs_sim_capacity(VfsSim *s, uint64_t bytes) {
        LOCK_SCOPE(&s->lock);
        s->capacity = bytes;
}

void vfs_sim_read_only(VfsSim *s, bool read_only) {
        LOCK_SCOPE(&s->lock);
        s->read_only = read_only;
}

void vfs_sim_slow_sync(VfsSim *s, Duration each, void (*during)(void *context), void *context) {
        LOCK_SCOPE(&s->lock);
        s->sync_takes = each;
        s->during_sync = during;
        s->during_context = context;
}

bool vfs_sim_flip(VfsSim *s, const char *name, uint64_t offset, unsigned bit) {
        LOCK_SCOPE(&s->lock);
        const Entry *e = find(&s->seen, name);
        if (!e || offset >= e->inode->seen.size)
                return false;
        e->inode->seen.bytes[offset] ^= (uint8_t)(1u << bit % 8);
        if (offset < e->inode->durable.size)
                e->inode->durable.bytes[offset] ^= (uint8_t)(1u << bit % 8);
        return true;
}

void vfs_sim_put(VfsSim *s, const char *name, const void *bytes, size_t n) {
        exempt(1);
        {
                LOCK_SCOPE(&s->lock);
                Inode *i = inode_new();
                content_write(&i->seen, 0, bytes, n);
                content_write(&i->durable, 0, bytes, n);
                set_name(&s->seen, name, i);
                set_name(&s->durable, name, i);
        }
        exempt(-1);
}

void vfs_sim_watch(VfsSim *s, void (*after)(void *context, SimOp op), void *context) {
        LOCK_SCOPE(&s->lock);
        s->after = after;
        s->after_context = context;
}

/* ---- Looking ---- */

MonoTime vfs_sim_clock(const VfsSim *s) {
        LOCK_SCOPE(lock_of(s));
        return s->clock;
}

uint64_t vfs_sim_count(const VfsSim *s, uint32_t ops) {
        LOCK_SCOPE(lock_of(s));
        uint64_t sum = 0;
        for (int op = 0; op < SIM_OP_COUNT; op++)
                sum += ops & SIM_SET(op) ? s->counts[op] : 0;
        return sum;
}

uint64_t vfs_sim_synced_again(const VfsSim *s) {
        LOCK_SCOPE(lock_of(s));
        return s->synced_again;
}

uint64_t vfs_sim_failed_syncs(const VfsSim *s) {
        LOCK_SCOPE(lock_of(s));
        return s->failed_syncs;
}

/* Whether a sync now would not make durable what is seen. */
static bool deceives(const Inode *i) {
        Content c = { 0 };
        content_write(&c, 0, i->durable.bytes, i->durable.size);
        for (const Change *change = i->first; change; change = change->next)
                apply_whole(&c, change);
        bool same = c.size == i->seen.size && (c.size == 0 || memcmp(c.bytes, i->seen.bytes, c.size) == 0);
        free(c.bytes);
        return !same;
}

bool vfs_sim_deceives(const VfsSim *s) {
        LOCK_SCOPE(lock_of(s));
        for (size_t k = 0; k < s->seen.n; k++)
                if (deceives(s->seen.entries[k].inode))
                        return true;
        return false;
}

uint64_t vfs_sim_bytes(const VfsSim *s) {
        LOCK_SCOPE(lock_of(s));
        return bytes_in(&s->seen);
}

size_t vfs_sim_open_files(const VfsSim *s) {
        LOCK_SCOPE(lock_of(s));
        return s->open_files;
}

bool vfs_sim_size(const VfsSim *s, const char *name, uint64_t *ret_size) {
        LOCK_SCOPE(lock_of(s));
        const Entry *e = find(&s->seen, name);
        if (e)
                *ret_size = e->inode->seen.size;
        return e;
}

void vfs_sim_record(VfsSim *s, bool on) {
        LOCK_SCOPE(&s->lock);
        s->recording = on;
}

const char *vfs_sim_log(VfsSim *s) {
        LOCK_SCOPE(&s->lock);
        return buf_cstr(&s->log);
}

VfsSim *vfs_sim_new(uint64_t seed) {
        exempt(1);
        VfsSim *s = must(calloc(1, sizeof *s));
        exempt(-1);
        lock_init(&s->lock, "sim");
        s->random = seed;
        return s;
}

VfsSim *vfs_sim_free(VfsSim *s) {
        if (!s)
                return NULL;
        assert(s->open_files == 0);
        drop_name_changes(s);
        names_clear(&s->seen);
        names_clear(&s->durable);
        free(s->seen.entries);
        free(s->durable.entries);
        free(s->changes);
        buf_deinit(&s->log);
        lock_deinit(&s->lock);
        free(s);
        return NULL;
}

Vfs *vfs_sim_open(VfsSim *s) {
        exempt(1);
        Handle *h = must(calloc(1, sizeof *h));
        exempt(-1);
        LOCK_SCOPE(&s->lock);
        *h = (Handle){ .vfs.ops = &OPS, .sim = s, .life = s->life };
        return &h->vfs;
}
