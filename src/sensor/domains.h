/* The domains that the sensor knows, put together from two witnesses: the kernel (a QEMU process runs) and
 * libvirt (a definition exists). A domain is there as long as one of them says so, with one exception:
 * when libvirt says that it is gone, it is gone at once, although its process may take a moment to end;
 * if the process is still there after a while, libvirt has lost it, and it is back.
 *
 * What the witnesses send comes in by one sink each and goes on to `out`, merged. Each entity is kept as
 * it was sent last, to be sent again. What libvirt's worker sends is checked against what it may speak
 * of. One thread. */
#pragma once

#include "collect/qemu/qemu.h"
#include "model/sink.h"
#include "rt/settings.h"
#include "sensor/watch.h"

#define DOMAIN_GHOST_AFTER SECONDS(10)

typedef struct Domain {
        EntityKey key;
        char *name;
        size_t name_len;
        uint32_t pid;       /* of QEMU; 0 = no process */
        int64_t started_ns;
        bool kernel, virt;  /* who knows it */
        MonoTime gone_at;   /* libvirt said so while the process ran; 0 = no */
        MonoTime virt_seen; /* libvirt's worker spoke of it */
        Tier tier;
        Watch watch;
        bool queued;        /* waits for a monitor worker */
        Duration idle;      /* interval of lane MONITOR while the domain does nothing */
        MonoTime monitored; /* its monitor gave all there was; 0 = ask in any case */
        MonoTime rest_until; /* not asked before, while it does nothing */
        QemuActivity then;  /* what it had done by then */
} Domain;

typedef struct Domains Domains;

typedef struct DomainsOps {
        /* The domain appeared, changed its witnesses or its process: see d->kernel, d->virt. */
        void (*changed)(void *context, Domain *d);
        /* It will be freed when this returns. */
        void (*gone)(void *context, const Domain *d);
        /* libvirt sent its definition: what devices it has may have changed. */
        void (*defined)(void *context, const Domain *d);
        /* Whether libvirt's counters of its interfaces are wanted. */
        bool (*wants_net)(void *context, const Domain *d);
} DomainsOps;

int domains_new(EntityKey host, size_t most, Tier tier, Sink *out, const DomainsOps *ops, void *context,
                Domains **ret_domains) MUST_USE;
Domains *domains_free(Domains *t);

Sink *domains_kernel_sink(Domains *t);
Sink *domains_virt_sink(Domains *t);
/* The collector says that the process of a domain ended. */
void domains_vanished(Domains *t, EntityKey key);
/* A look of libvirt that began at `begun` has said everything: what it did not name is gone. */
void domains_sweep(Domains *t, MonoTime begun);
/* Whether values of the domain are wanted now; brings back one that libvirt has lost. */
bool domains_alive(Domains *t, Domain *d, MonoTime now);
/* Sends every entity again. */
void domains_announce(Domains *t);

Domain *domains_find(const Domains *t, const EntityKey *key);
size_t domains_count(const Domains *t);
Domain *domains_at(const Domains *t, size_t i);
uint64_t domains_refused(const Domains *t); /* beyond `most` */
void domains_set_limits(Domains *t, size_t most);
