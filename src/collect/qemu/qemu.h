/* The kernel's view of virtual machines: QEMU processes, found and measured without libvirt (lane KERNEL).
 *
 * qemu_discover() finds them by libvirt's pid files and by the command lines of new processes;
 * qemu_look() measures one of them with preads on kept descriptors: /proc/PID/{stat,io}, its vCPU
 * threads, its cgroup, the counters of its taps. It fills DOM_CPU, DOM_VCPU, DOM_HOSTMEM, DOM_IO,
 * DOM_PSI and DOM_NET. A process is known by pid and start time, so a reused pid is another machine;
 * what cannot be read, or is half-written, is absent.
 *
 * A process that ends is reported as vanished, never as gone to the sink: libvirt may still know the
 * domain as shut off, which is the caller's to decide. With CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH
 * everything can be had; without, DOM_IO and DOM_NET of other users' processes are absent.
 * Single-threaded: the sensor's loop owns it. */
#pragma once

#include "model/sink.h"

#include <sys/types.h>

typedef struct QemuCollector QemuCollector;

/* Called from within qemu_discover(). A machine that was restarted between two discoveries vanishes,
 * then appears. Calls back into the collector are allowed, except qemu_discover() and qemu_free(). */
typedef struct QemuChange {
        void (*appeared)(void *context, EntityKey key);
        void (*vanished)(void *context, EntityKey key);
        void *context;
} QemuChange;

typedef struct QemuCounts {
        size_t domains;
        uint64_t refused;      /* times that a process was left out because of max_domains */
        uint64_t conflicts;    /* times that one was left out because it claims the UUID of another living one */
        uint64_t unidentified; /* QEMU processes without a UUID, left out */
        size_t descriptors;    /* kept open now */
} QemuCounts;

/* `root` is "/" in production; with another one the interfaces' counters come from ROOT/proc/net/dev.
 * `host` is the entity that the machines run on. 0 or negative errno. */
int qemu_new(const char *root, EntityKey host, size_t max_domains, QemuCollector **ret) MUST_USE;
QemuCollector *qemu_free(QemuCollector *q);
static inline void qemu_freep(QemuCollector **q) {
        *q = qemu_free(*q);
}

void qemu_on_change(QemuCollector *q, const QemuChange *change);
/* Most descriptors to keep open between looks (half of RLIMIT_NOFILE as it is at qemu_new()); the files
 * beyond are opened for each look. Takes effect on files not yet open. */
void qemu_keep_descriptors(QemuCollector *q, size_t most);

/* Looks for machines that began or ended: new ones go to sink_entity(). Costs one listing of /proc and
 * some us a known machine, so it is for when something happened and now and then besides. 0 or the errno of
 * /proc, in which case nothing is changed. */
int qemu_discover(QemuCollector *q, Sink *sink) MUST_USE;
/* A descriptor that becomes readable when something happens in libvirt's folder of pid files; -1 when there
 * can be none. Valid as long as the collector. */
int qemu_watch_fd(const QemuCollector *q);
/* Whether the folder is there and watched: as of the last discovery. */
bool qemu_watches(const QemuCollector *q);
/* Reads what the descriptor has to say: true when a pid file came or went, and a discovery is called for. */
bool qemu_watch_take(QemuCollector *q);
/* Whether something was found so young that a discovery soon will see more of it. */
bool qemu_unsettled(const QemuCollector *q);
/* sink_entity() for every machine, for a peer that connects anew. */
void qemu_announce(QemuCollector *q, Sink *sink);

/* Measures one machine. Interface counters come from one dump for many looks, which is at most 5 s and half the
 * distance of the machine's looks old, and whose time they carry. 0; -ENOENT when it is not known; -ESRCH when its process has ended (the next
 * discovery reports it); -EAGAIN when /proc/PID/stat was unreadable. Nothing is written on failure. */
int qemu_look(QemuCollector *q, const Uuid *id, WallTime wall, MonoTime mono, Sink *sink);
/* The next look at each machine reads everything, also what is else read at every third. */
void qemu_all_wanted(QemuCollector *q);
/* State letter of the QEMU process now: 'R', 'S', 'D', 'T' (stopped: do not ask its monitor), 't';
 * 0 when it is not known or has ended. One pread. */
char qemu_process_state(QemuCollector *q, const Uuid *id);
/* The same as it was at the last look, without reading anything. */
char qemu_state_seen(const QemuCollector *q, const Uuid *id);
/* What a machine's process has done in all its life, as of the last look. */
typedef struct QemuActivity {
        uint64_t cpu_ns;   /* of all its threads, in steps of 10 ms */
        uint64_t io_bytes; /* through files, taps, and what it had read from storage and written to it; 0 without the
                            * right to look */
} QemuActivity;

/* False before the first look, and when the machine is not known. */
bool qemu_activity(const QemuCollector *q, const Uuid *id, QemuActivity *ret);
/* Whether the machine did nothing in between: less than 1 % of one CPU, and 16 KiB. A halted guest's clock, and to
 * be asked for its statistics, take less; to do I/O takes more. */
bool qemu_was_idle(const QemuActivity *then, const QemuActivity *now, Duration between);
/* Process of a machine, 0 when not known. */
pid_t qemu_pid(const QemuCollector *q, const Uuid *id);

/* The machines in the order of their UUIDs; the borrowed id is valid until the next discovery. */
size_t qemu_count(const QemuCollector *q);
const Uuid *qemu_at(const QemuCollector *q, size_t i);
QemuCounts qemu_counts(const QemuCollector *q);

/* Interfaces that have no tap or macvtap to count (vhost-user, another network namespace, no right to
 * look): DOM_NET of such a machine is left to libvirt's interface group. */
bool qemu_nics_unresolved(const QemuCollector *q);
bool qemu_nics_unresolved_of(const QemuCollector *q, const Uuid *id);
/* Maps the machine's interfaces anew at its next look: a device was plugged or unplugged. Discovery
 * does this by itself when the number of the process's descriptors changed. */
void qemu_nics_changed(QemuCollector *q, const Uuid *id);
