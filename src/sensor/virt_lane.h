/* The libvirt lanes: when is which worker asked what, and what an answer or its absence means.
 *
 * Lane LIBVIRT is one ask for all domains; lane MONITOR is one ask a domain, queued, each after a look at
 * its QEMU process and its watch. Never more than VIRT_LANE_OUTSTANDING calls of ours occupy libvirtd, those
 * of killed workers included. The connection's own values (HYP_UP) are written here. One thread. */
#pragma once

#include "collect/qemu/qemu.h"
#include "rt/loop.h"
#include "sensor/domains.h"
#include "sensor/schedule.h"
#include "sensor/worker_pool.h"

#define VIRT_LANE_OUTSTANDING 4u

typedef struct VirtLane VirtLane;

typedef struct VirtLaneSetup {
        Loop *loop;
        const Settings *settings; /* read by virt_lane_new() only */
        EntityKey host;
        Domains *domains;
        Schedule *schedule;
        QemuCollector *qemu;
        Sink *out; /* HYP_UP */
} VirtLaneSetup;

/* Borrows what the setup points to. */
int virt_lane_new(const VirtLaneSetup *setup, VirtLane **ret_lane) MUST_USE;
VirtLane *virt_lane_free(VirtLane *v);

/* The scheduler says that a look is due: of the host (states), of the host's pools, of a domain's monitor. */
void virt_lane_states_due(VirtLane *v);
void virt_lane_monitor_due(VirtLane *v, EntityKey key);
/* All definitions are wanted with the next look. */
void virt_lane_definitions_due(VirtLane *v);
/* The state letter of a domain's process was read: true when it may be asked again. */
void virt_lane_process(VirtLane *v, Domain *d, char state, MonoTime now);
void virt_lane_tick(VirtLane *v, MonoTime now);

bool virt_lane_up(const VirtLane *v);
/* It is connecting, or lost its connection just now: what the next tick brings should not wait long. */
bool virt_lane_hurries(const VirtLane *v);
const WorkerPool *virt_lane_pool(const VirtLane *v);
/* Domains with a call that did not return. */
size_t virt_lane_outstanding(const VirtLane *v);
