#include "virt/inventory.h"

#include "virt/monitor.h"
#include "virt/params.h"

#include <libvirt/virterror.h>

/* Domains that one call of inventory_work() reads. */
#define WORK_SLICE 8u

enum { NEED_ENTITY = 1, NEED_STATE = 2, NEED_INFO = 4, NEED_XML = 8, NEED_ALL = 15 };

typedef struct Known {
        Uuid uuid;
        char *name;     /* as sent last; NULL before */
        int id;         /* libvirt's number of the running instance; -1 = not running */
        unsigned need;  /* NEED_*: due now */
        unsigned later; /* failed; due again after the next look */
        uint64_t look;  /* the look that saw it last */
} Known;

enum { EVENT_KINDS = 7 };

struct Inventory {
        Sink *sink;
        void (*pending)(void *context);
        void *context;
        Known *known; /* sorted by UUID */
        size_t n, cap, cursor;
        uint64_t look;
        BatchBuilder batch;
        int callbacks[EVENT_KINDS]; /* -1 = not registered */
};

int inventory_new(Sink *sink, void (*pending)(void *context), void *context, Inventory **ret_inventory) {
        Inventory *inv = calloc(1, sizeof *inv);
        if (!inv)
                return -ENOMEM;
        inv->sink = sink;
        inv->pending = pending;
        inv->context = context;
        for (size_t i = 0; i < EVENT_KINDS; i++)
                inv->callbacks[i] = -1;
        *ret_inventory = inv;
        return 0;
}

Inventory *inventory_free(Inventory *inv) {
        if (!inv)
                return NULL;
        for (size_t i = 0; i < inv->n; i++)
                free(inv->known[i].name);
        free(inv->known);
        batch_deinit(&inv->batch);
        free(inv);
        return NULL;
}

/* Where `uuid` is or belongs. */
static size_t position(const Inventory *inv, const Uuid *uuid, bool *ret_found) {
        size_t low = 0, high = inv->n;
        *ret_found = false;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = memcmp(inv->known[middle].uuid.bytes, uuid->bytes, sizeof uuid->bytes);
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

static Known *find(Inventory *inv, const Uuid *uuid) {
        bool found;
        size_t at = position(inv, uuid, &found);
        return found ? &inv->known[at] : NULL;
}

/* The domain's entry, new with everything due; NULL when memory ran out (the next look tries again). */
static Known *find_or_add(Inventory *inv, const Uuid *uuid) {
        bool found;
        size_t at = position(inv, uuid, &found);
        if (found)
                return &inv->known[at];
        if (inv->n == inv->cap) {
                size_t cap = inv->cap ? inv->cap * 2 : 64;
                Known *grown = reallocarray(inv->known, cap, sizeof *grown);
                if (!grown)
                        return NULL;
                inv->known = grown;
                inv->cap = cap;
        }
        memmove(&inv->known[at + 1], &inv->known[at], (inv->n - at) * sizeof *inv->known);
        inv->known[at] = (Known){ .uuid = *uuid, .id = -1, .need = NEED_ALL };
        inv->n++;
        return &inv->known[at];
}

static EntityKey key_of(const Uuid *uuid) {
        return (EntityKey){ ENTITY_DOMAIN, *uuid };
}

static void drop(Inventory *inv, size_t at) {
        Known k = inv->known[at];
        memmove(&inv->known[at], &inv->known[at + 1], (inv->n - at - 1) * sizeof *inv->known);
        inv->n--;
        sink_gone(inv->sink, key_of(&k.uuid));
        free(k.name);
}

static void drop_uuid(Inventory *inv, const Uuid *uuid) {
        bool found;
        size_t at = position(inv, uuid, &found);
        if (found)
                drop(inv, at);
}

static void note(Inventory *inv, virDomainPtr domain, unsigned need) {
        Uuid uuid;
        if (virDomainGetUUID(domain, uuid.bytes) < 0)
                return;
        Known *k = find_or_add(inv, &uuid);
        if (!k)
                return;
        k->need |= need;
        inv->pending(inv->context);
}

static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail, void *opaque) {
        (void)conn;
        (void)detail;
        bool defines = event == VIR_DOMAIN_EVENT_DEFINED || event == VIR_DOMAIN_EVENT_UNDEFINED ||
                       event == VIR_DOMAIN_EVENT_STARTED || event == VIR_DOMAIN_EVENT_STOPPED;
        note(opaque, domain, defines ? NEED_ALL : NEED_STATE);
        return 0;
}

static void on_balloon(virConnectPtr conn, virDomainPtr domain, unsigned long long actual, void *opaque) {
        (void)conn;
        (void)actual;
        note(opaque, domain, NEED_INFO);
}

static void on_device(virConnectPtr conn, virDomainPtr domain, const char *alias, void *opaque) {
        (void)conn;
        (void)alias;
        note(opaque, domain, NEED_INFO | NEED_XML);
}

static void on_metadata(virConnectPtr conn, virDomainPtr domain, int type, const char *uri, void *opaque) {
        (void)conn;
        (void)type;
        (void)uri;
        note(opaque, domain, NEED_XML);
}

static void on_disk(virConnectPtr conn, virDomainPtr domain, const char *before, const char *after, const char *alias,
                    int reason, void *opaque) {
        (void)conn;
        (void)before;
        (void)after;
        (void)alias;
        (void)reason;
        note(opaque, domain, NEED_XML);
}

static void on_block_job(virConnectPtr conn, virDomainPtr domain, const char *disk, int type, int status,
                         void *opaque) {
        (void)conn;
        (void)disk;
        (void)type;
        /* A finished pivot or pull has changed the disk's chain of images. */
        if (status == VIR_DOMAIN_BLOCK_JOB_COMPLETED)
                note(opaque, domain, NEED_XML);
}

static const struct {
        int id;
        virConnectDomainEventGenericCallback callback;
} EVENTS[EVENT_KINDS] = {
        { VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle) },
        { VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_balloon) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device) },
        { VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device) },
        { VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata) },
        { VIR_DOMAIN_EVENT_ID_DISK_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_disk) },
        { VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(on_block_job) },
};

void inventory_attach(Inventory *inv, virConnectPtr conn) {
        /* A driver without some event is no reason to do without the others: looks find the rest. */
        for (size_t i = 0; i < EVENT_KINDS; i++)
                inv->callbacks[i] = virConnectDomainEventRegisterAny(conn, NULL, EVENTS[i].id, EVENTS[i].callback,
                                                                     inv, NULL);
        for (size_t i = 0; i < inv->n; i++)
                inv->known[i].need = NEED_ALL;
}

void inventory_detach(Inventory *inv, virConnectPtr conn) {
        for (size_t i = 0; i < EVENT_KINDS; i++) {
                if (inv->callbacks[i] >= 0)
                        (void)virConnectDomainEventDeregisterAny(conn, inv->callbacks[i]);
                inv->callbacks[i] = -1;
        }
}

static void send_entity(Inventory *inv, Known *k, virDomainPtr domain, bool always) {
        const char *name = virDomainGetName(domain);
        if (!name || (!always && k->name && strcmp(k->name, name) == 0))
                return;
        char *copy = strdup(name);
        if (!copy)
                return;
        free(k->name);
        k->name = copy;
        size_t len = strlen(name);
        sink_entity(inv->sink, &(EntityInfo){ .key = key_of(&k->uuid),
                                              .name = name,
                                              .name_len = len > ENTITY_TEXT_MAX ? ENTITY_TEXT_MAX : len,
                                              .path = "",
                                              .ident = "" });
}

static void begin(Inventory *inv, const Uuid *uuid, GroupId group) {
        batch_begin(&inv->batch, key_of(uuid), group, wall_now(), mono_now());
}

static void send_record(Inventory *inv, const Uuid *uuid, const virDomainStatsRecord *record, unsigned what) {
        begin(inv, uuid, GROUP_DOM_STATE);
        if (params_state(record->params, record->nparams, &inv->batch) > 0)
                sink_build(inv->sink, &inv->batch);
        if (what & INVENTORY_INTERFACES) {
                begin(inv, uuid, GROUP_DOM_NET);
                if (params_net(record->params, record->nparams, &inv->batch) > 0)
                        sink_build(inv->sink, &inv->batch);
        }
        if (what & INVENTORY_PERF) {
                begin(inv, uuid, GROUP_DOM_PERF);
                if (params_perf(record->params, record->nparams, &inv->batch) > 0)
                        sink_build(inv->sink, &inv->batch);
        }
}

static void see(Inventory *inv, const virDomainStatsRecord *record, unsigned what) {
        Uuid uuid;
        if (virDomainGetUUID(record->dom, uuid.bytes) < 0)
                return;
        Known *k = find_or_add(inv, &uuid);
        if (!k)
                return;
        k->look = inv->look;
        k->need |= k->later;
        k->later = 0;
        unsigned id = virDomainGetID(record->dom);
        /* Another instance than the one that was read: an event was missed. */
        if ((int)id != k->id)
                k->need |= NEED_INFO | NEED_XML;
        k->id = (int)id;
        if (what & INVENTORY_DEFINITIONS)
                k->need |= NEED_ALL;
        send_entity(inv, k, record->dom, k->need & NEED_ENTITY);
        k->need &= ~(unsigned)(NEED_ENTITY | NEED_STATE);
        send_record(inv, &uuid, record, what);
}

VirtOutcome inventory_look(Inventory *inv, virConnectPtr conn, unsigned what) {
        virDomainStatsRecordPtr *records = NULL;
        unsigned groups = VIR_DOMAIN_STATS_STATE;
        if (what & INVENTORY_INTERFACES)
                groups |= VIR_DOMAIN_STATS_INTERFACE;
        if (what & INVENTORY_PERF)
                groups |= VIR_DOMAIN_STATS_PERF;
        int n = virConnectGetAllDomainStats(conn, groups, &records, VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT);
        if (n < 0)
                return virt_outcome_of_error();
        inv->look++;
        for (int i = 0; i < n; i++)
                see(inv, records[i], what);
        virDomainStatsRecordListFree(records);
        for (size_t i = inv->n; i-- > 0;)
                if (inv->known[i].look != inv->look)
                        drop(inv, i);
        inv->pending(inv->context);
        return (VirtOutcome){ .state = VIRT_OK };
}

static bool send_state(Inventory *inv, const Uuid *uuid, virDomainPtr domain) {
        int state, reason;
        if (virDomainGetState(domain, &state, &reason, 0) < 0)
                return false;
        begin(inv, uuid, GROUP_DOM_STATE);
        batch_row(&inv->batch, NULL);
        batch_set(&inv->batch, M_DOM_STATE_STATE, state);
        batch_set(&inv->batch, M_DOM_STATE_REASON, reason);
        sink_build(inv->sink, &inv->batch);
        return true;
}

static bool send_xml(Inventory *inv, const Uuid *uuid, virDomainPtr domain) {
        CLEANUP_FREE char *xml = virDomainGetXMLDesc(domain, 0);
        if (!xml)
                return false;
        size_t n = strlen(xml);
        if (n <= BLOB_MAX)
                sink_blob(inv->sink, key_of(uuid), BLOB_DOMAIN_XML, xml, n);
        return true;
}

/* Reads what is due of one domain; the entry may be gone afterwards. */
static VirtOutcome read_domain(Inventory *inv, virDomainPtr domain, Known *k) {
        unsigned need = k->need;
        Uuid uuid = k->uuid;
        k->need = 0;
        k->id = (int)virDomainGetID(domain);
        send_entity(inv, k, domain, need & NEED_ENTITY);
        if ((need & NEED_STATE) && !send_state(inv, &uuid, domain))
                return virt_outcome_of_error();
        if (need & NEED_INFO) {
                VirtOutcome out = virt_info_look(domain, &uuid, &inv->batch, inv->sink);
                if (out.state != VIRT_OK)
                        return out;
        }
        if ((need & NEED_XML) && !send_xml(inv, &uuid, domain))
                return virt_outcome_of_error();
        return (VirtOutcome){ .state = VIRT_OK };
}

static VirtOutcome update(Inventory *inv, virConnectPtr conn, Uuid uuid) {
        Known *k = find(inv, &uuid);
        if (!k)
                return (VirtOutcome){ .state = VIRT_GONE };
        unsigned need = k->need;
        virDomainPtr domain = virDomainLookupByUUID(conn, uuid.bytes);
        VirtOutcome out = domain ? read_domain(inv, domain, k) : virt_outcome_of_error();
        if (domain)
                (void)virDomainFree(domain);
        if (out.state == VIRT_GONE) {
                drop_uuid(inv, &uuid);
        } else if (out.state != VIRT_OK) {
                k->later |= need;
                k->need = 0;
        }
        return out;
}

VirtOutcome inventory_define(Inventory *inv, virConnectPtr conn, const Uuid *uuid) {
        Known *k = find_or_add(inv, uuid);
        if (!k)
                return (VirtOutcome){ .state = VIRT_FAILED, .error = VIR_ERR_NO_MEMORY };
        k->need = NEED_ALL;
        return update(inv, conn, *uuid);
}

bool inventory_work(Inventory *inv, virConnectPtr conn) {
        unsigned done = 0;
        for (size_t left = inv->n; left > 0; left--) {
                if (inv->cursor >= inv->n)
                        inv->cursor = 0;
                if (inv->n == 0)
                        return false;
                const Known *k = &inv->known[inv->cursor++];
                if (!k->need)
                        continue;
                if (done++ == WORK_SLICE) {
                        inv->cursor--;
                        return true;
                }
                /* Never hold `k` across: a domain that is gone moves the others. */
                if (update(inv, conn, k->uuid).state == VIRT_DOWN)
                        return false;
        }
        return false;
}
