/* Lane B: what only QEMU's monitor can tell about one domain. May block for as long as QEMU does, so it
 * runs in a process that can be killed. One thread.
 *
 * virDomainGetControlInfo comes first: it needs neither job nor monitor, and a domain whose monitor is
 * taken is left alone. A domain with a job of libvirt's own (a migration, a backup) is asked: its monitor
 * is free and its progress is what one wants to know then. */
#pragma once

#include "model/sink.h"
#include "virt/outcome.h"

#include <libvirt/libvirt.h>

typedef struct VirtMonitor VirtMonitor;

int virt_monitor_new(VirtMonitor **ret_monitor) MUST_USE;
VirtMonitor *virt_monitor_free(VirtMonitor *m);
/* Forgets the handles of domains (the connection is about to be closed). */
void virt_monitor_detach(VirtMonitor *m);
/* Writes DOM_BALLOON, DOM_BLOCK, DOM_JOB and now and then DOM_INFO; with `control_only` nothing but the control info is
 * asked for. */
VirtOutcome virt_monitor_look(VirtMonitor *m, virConnectPtr conn, const Uuid *uuid, bool control_only, Sink *sink);

/* Versions and storage pools of the host; pools are never refreshed. */
VirtOutcome virt_hypervisor_look(virConnectPtr conn, EntityKey host, Sink *sink);

/* DOM_INFO by virDomainGetInfo and the maximum of vCPUs: no job, no monitor. */
VirtOutcome virt_info_look(virDomainPtr domain, const Uuid *uuid, BatchBuilder *b, Sink *sink);
