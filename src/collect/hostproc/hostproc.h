/* The node_* values of the host, as node_exporter names them: /proc and /sys below a root path.
 *
 * One object a host and thread; it keeps descriptors of the files that it reads at every look (at most
 * HOSTPROC_MAX_KEPT_FDS, and half of what RLIMIT_NOFILE allows) and reads those with pread. A look writes one batch a
 * group of tables/metrics_host.def to the sink; the entity of the host itself is announced by the caller. A file that
 * is missing, half-written or odd gives absent values and node_scrape_collector_success 0.
 *
 * What is not read at every look, and is written again with the time at which it was read:
 *   - walks over all TCP connections and all processes: as often as keeps each below 0.01 % of one CPU;
 *   - names and identities (uname, os-release, DMI, disk and clock source names): once a minute. Which
 *     hwmon, thermal, power supply, EDAC, NVMe and cpufreq files there are is looked up once a minute too;
 *   - properties of network interfaces (mtu, speed, flags, names): all when the link changes its state, else
 *     one file an interface and look, in turn.
 *
 * Differences from node_exporter 1.5.0 as Debian ships it, all on purpose: the loopback interface and
 * mounts below /run, /mnt and /media are there (as in upstream's defaults); network file systems are
 * never asked for their size, because they can hang; an unknown link speed is absent instead of
 * -125000; states without a connection or process are 0 instead of missing; CPU labels of interrupts and
 * softnet are the CPU's number, also where some CPU is offline. */
#pragma once

#include "base/cleanup.h"
#include "model/sink.h"

#define HOSTPROC_MAX_KEPT_FDS 2048

typedef struct HostProc HostProc;

/* Opens the host below `root` ("/" in production). The key is the entity that the values belong to.
 * 0, -ENOMEM, or the error of opening the root. Clock adjustment and uname(2) are of the running
 * kernel, so they are absent when the root is not "/". */
int hostproc_new(const char *root, EntityKey host, HostProc **ret_h) MUST_USE;
/* Accepts NULL; returns NULL. */
HostProc *hostproc_free(HostProc *h);
/* Looks at everything once; the times stamp what is read now. */
void hostproc_look(HostProc *h, WallTime wall, MonoTime mono, Sink *sink);
