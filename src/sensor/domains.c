#include "sensor/domains.h"

#include <assert.h>

typedef struct SideSink {
        Sink sink; /* first: the sink is the object */
        Domains *table;
} SideSink;

struct Domains {
        EntityKey host;
        size_t most;
        Tier tier;
        Sink *out;
        const DomainsOps *ops;
        void *context;
        Domain **by_id;
        size_t n, cap;
        uint64_t refused;
        SideSink kernel, virt;
};

static Domains *table_of(Sink *s) {
        return ((SideSink *)s)->table;
}

static size_t position(const Domains *t, const Uuid *id, bool *ret_found) {
        size_t low = 0, high = t->n;
        *ret_found = false;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = memcmp(t->by_id[middle]->key.id.bytes, id->bytes, sizeof id->bytes);
                if (order == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

Domain *domains_find(const Domains *t, const EntityKey *key) {
        bool found;
        if (key->kind != ENTITY_DOMAIN)
                return NULL;
        size_t at = position(t, &key->id, &found);
        return found ? t->by_id[at] : NULL;
}

/* NULL when there is no room. */
static Domain *find_or_add(Domains *t, EntityKey key) {
        bool found;
        size_t at = position(t, &key.id, &found);
        if (found)
                return t->by_id[at];
        if (t->n >= t->most) {
                t->refused++;
                return NULL;
        }
        if (t->n == t->cap) {
                size_t cap = t->cap ? t->cap * 2 : 64;
                Domain **grown = reallocarray(t->by_id, cap, sizeof *grown);
                if (!grown)
                        return NULL;
                t->by_id = grown;
                t->cap = cap;
        }
        Domain *d = calloc(1, sizeof *d);
        if (!d)
                return NULL;
        d->key = key;
        d->tier = t->tier;
        memmove(&t->by_id[at + 1], &t->by_id[at], (t->n - at) * sizeof(Domain *));
        t->by_id[at] = d;
        t->n++;
        return d;
}

static void free_domain(Domain *d) {
        free(d->name);
        free(d);
}

static void remove_domain(Domains *t, Domain *d) {
        bool found;
        size_t at = position(t, &d->key.id, &found);
        assert(found);
        t->ops->gone(t->context, d);
        memmove(&t->by_id[at], &t->by_id[at + 1], (t->n - at - 1) * sizeof(Domain *));
        t->n--;
        free_domain(d);
}

static void set_name(Domain *d, const EntityInfo *info) {
        if (d->name && d->name_len == info->name_len && memcmp(d->name, info->name, info->name_len) == 0)
                return;
        char *copy = malloc(info->name_len + 1);
        if (!copy)
                return;
        if (info->name_len > 0)
                memcpy(copy, info->name, info->name_len);
        copy[info->name_len] = '\0';
        free(d->name);
        d->name = copy;
        d->name_len = info->name_len;
}

static void send_entity(Domains *t, const Domain *d) {
        if (d->gone_at.ns)
                return;
        sink_entity(t->out, &(EntityInfo){ .key = d->key,
                                           .pid = d->pid,
                                           .started_ns = d->started_ns,
                                           .name = d->name ? d->name : "",
                                           .name_len = d->name_len,
                                           .path = "",
                                           .ident = "" });
}

/* What was true of a process that is no more. */
static void send_groups_gone(Domains *t, const Domain *d) {
        for (GroupId g = 0; g < GROUP_COUNT; g++)
                if (GROUPS[g].kind == ENTITY_DOMAIN && (GROUPS[g].lane != LANE_LIBVIRT || g == GROUP_DOM_PERF))
                        sink_group_gone(t->out, d->key, g);
}

/* --- the kernel's side --- */

static void kernel_entity(Sink *s, const EntityInfo *info) {
        Domains *t = table_of(s);
        if (info->key.kind != ENTITY_DOMAIN) {
                sink_entity(t->out, info);
                return;
        }
        Domain *d = find_or_add(t, info->key);
        if (!d)
                return;
        /* Announcements repeat what is known; a new process begins a new story. */
        if (!d->kernel || d->pid != info->pid || d->started_ns != info->started_ns) {
                watch_reset(&d->watch);
                d->gone_at = d->monitored = (MonoTime){ 0 };
        }
        d->kernel = true;
        d->pid = info->pid;
        d->started_ns = info->started_ns;
        if (!d->virt || !d->name)
                set_name(d, info);
        send_entity(t, d);
        t->ops->changed(t->context, d);
}

static void kernel_batch(Sink *s, const Batch *b) {
        Domains *t = table_of(s);
        if (b->key.kind == ENTITY_DOMAIN) {
                const Domain *d = domains_find(t, &b->key);
                if (!d || d->gone_at.ns)
                        return;
        }
        sink_batch(t->out, b);
}

static void kernel_gone(Sink *s, EntityKey key) {
        Domains *t = table_of(s);
        if (key.kind == ENTITY_DOMAIN)
                domains_vanished(t, key);
        else
                sink_gone(t->out, key);
}

static void kernel_group_gone(Sink *s, EntityKey key, GroupId group) {
        sink_group_gone(table_of(s)->out, key, group);
}

static void kernel_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        sink_blob(table_of(s)->out, key, type, bytes, n);
}

void domains_vanished(Domains *t, EntityKey key) {
        Domain *d = domains_find(t, &key);
        if (!d || !d->kernel)
                return;
        d->kernel = false;
        d->pid = 0;
        d->started_ns = 0;
        watch_reset(&d->watch);
        if (!d->virt) {
                if (!d->gone_at.ns)
                        sink_gone(t->out, key);
                remove_domain(t, d);
                return;
        }
        send_entity(t, d);
        send_groups_gone(t, d);
        t->ops->changed(t->context, d);
}

/* --- libvirt's side --- */

static void virt_entity(Sink *s, const EntityInfo *info) {
        Domains *t = table_of(s);
        Domain *d = info->key.kind == ENTITY_DOMAIN ? find_or_add(t, info->key) : NULL;
        if (!d)
                return;
        d->virt = true;
        d->virt_seen = mono_now();
        d->gone_at = (MonoTime){ 0 };
        set_name(d, info);
        send_entity(t, d);
        t->ops->changed(t->context, d);
}

static void virt_gone_at(Domains *t, Domain *d, MonoTime now) {
        EntityKey key = d->key;
        d->virt = false;
        if (!d->gone_at.ns)
                sink_gone(t->out, key);
        if (!d->kernel) {
                remove_domain(t, d);
                return;
        }
        d->gone_at = now;
        t->ops->changed(t->context, d);
}

static void virt_gone(Sink *s, EntityKey key) {
        Domains *t = table_of(s);
        Domain *d = domains_find(t, &key);
        /* One that libvirt never told us of is none of its business. */
        if (d && d->virt)
                virt_gone_at(t, d, mono_now());
}

static bool virt_may_send(Domains *t, const Batch *b) {
        if (b->key.kind == ENTITY_HOST)
                return entity_key_equal(&b->key, &t->host) &&
                       (b->group == GROUP_HYP_VERSION || b->group == GROUP_HYP_POOL);
        Domain *d = domains_find(t, &b->key);
        if (!d || !d->virt)
                return false;
        if (b->group == GROUP_DOM_STATE)
                d->virt_seen = mono_now();
        if (b->group == GROUP_DOM_NET)
                return d->kernel && t->ops->wants_net(t->context, d);
        return GROUPS[b->group].lane == LANE_LIBVIRT || (GROUPS[b->group].lane == LANE_MONITOR && d->kernel);
}

static void virt_batch(Sink *s, const Batch *b) {
        Domains *t = table_of(s);
        if (virt_may_send(t, b))
                sink_batch(t->out, b);
}

static void virt_group_gone(Sink *s, EntityKey key, GroupId group) {
        Domains *t = table_of(s);
        if (domains_find(t, &key))
                sink_group_gone(t->out, key, group);
}

static void virt_blob(Sink *s, EntityKey key, BlobType type, const void *bytes, size_t n) {
        Domains *t = table_of(s);
        const Domain *d = domains_find(t, &key);
        if (!d || !d->virt || type != BLOB_DOMAIN_XML)
                return;
        sink_blob(t->out, key, type, bytes, n);
        t->ops->defined(t->context, d);
}

void domains_sweep(Domains *t, MonoTime begun) {
        MonoTime now = mono_now();
        for (size_t i = t->n; i-- > 0;)
                if (t->by_id[i]->virt && t->by_id[i]->virt_seen.ns < begun.ns)
                        virt_gone_at(t, t->by_id[i], now);
}

bool domains_alive(Domains *t, Domain *d, MonoTime now) {
        if (!d->gone_at.ns)
                return true;
        if (!d->kernel || mono_since(now, d->gone_at).ns < DOMAIN_GHOST_AFTER.ns)
                return false;
        d->gone_at = (MonoTime){ 0 };
        send_entity(t, d);
        return true;
}

void domains_announce(Domains *t) {
        for (size_t i = 0; i < t->n; i++)
                send_entity(t, t->by_id[i]);
}

int domains_new(EntityKey host, size_t most, Tier tier, Sink *out, const DomainsOps *ops, void *context,
                Domains **ret_domains) {
        Domains *t = calloc(1, sizeof *t);
        if (!t)
                return -ENOMEM;
        *t = (Domains){ .host = host, .most = most, .tier = tier, .out = out, .ops = ops, .context = context };
        t->kernel = (SideSink){ { kernel_batch, kernel_entity, kernel_gone, kernel_group_gone, kernel_blob }, t };
        t->virt = (SideSink){ { virt_batch, virt_entity, virt_gone, virt_group_gone, virt_blob }, t };
        *ret_domains = t;
        return 0;
}

Domains *domains_free(Domains *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < t->n; i++)
                free_domain(t->by_id[i]);
        free(t->by_id);
        free(t);
        return NULL;
}

Sink *domains_kernel_sink(Domains *t) {
        return &t->kernel.sink;
}

Sink *domains_virt_sink(Domains *t) {
        return &t->virt.sink;
}

size_t domains_count(const Domains *t) {
        return t->n;
}

Domain *domains_at(const Domains *t, size_t i) {
        assert(i < t->n);
        return t->by_id[i];
}

uint64_t domains_refused(const Domains *t) {
        return t->refused;
}

void domains_set_limits(Domains *t, size_t most) {
        t->most = most;
}
