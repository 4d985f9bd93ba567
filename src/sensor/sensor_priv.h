/* What the files of the sensor share. */
#pragma once

#include "collect/container/container.h"
#include "collect/container/engine.h"
#include "collect/hostproc/hostproc.h"
#include "collect/qemu/qemu.h"
#include "sensor/domains.h"
#include "sensor/host.h"
#include "sensor/peer.h"
#include "sensor/schedule.h"
#include "sensor/self.h"
#include "sensor/sensor.h"
#include "sensor/virt_lane.h"

enum { ENGINE_FETCHERS = 2 };

typedef struct EngineWatch {
        Sensor *sensor;
        EngineFetch *fetch; /* NULL = switched off */
        LoopFd *watch;
        int fd; /* watched; -1 = none */
} EngineWatch;

struct Sensor {
        Loop *loop;
        Settings *settings;
        char name[HOST_NAME_LEN];
        EntityKey host, containers_key; /* the latter stands for all containers in the schedule */
        Peer *peer;
        Sink *sink; /* towards parallaxd */
        Domains *domains;
        Schedule *schedule;
        LoopTimer *tick;
        Duration pace; /* of the tick */
        HostProc *hostproc;
        QemuCollector *qemu;
        Containers *containers; /* NULL = no cgroups, or all engines off */
        EngineWatch engines[ENGINE_FETCHERS];
        VirtLane *virt; /* NULL = switched off */
        LoopFd *pid_files; /* libvirt's folder of them */
        bool discover_now;
        MonoTime discovered, engines_at, self_at;
        uint64_t container_changes;
        int64_t late_ns;
        SelfCost costs[SELF_COLLECTOR_COUNT];
        BatchBuilder batch;
};

/* containers.c */
int sensor_containers_open(Sensor *s) MUST_USE;
void sensor_containers_close(Sensor *s);
/* Takes every container back: the collector is about to be begun anew. */
void sensor_containers_forget(Sensor *s);
void sensor_containers_look(Sensor *s, MonoTime now);
void sensor_containers_resync(Sensor *s);
void sensor_engines_step(Sensor *s, MonoTime now);

/* report.c */
void sensor_write_self(Sensor *s, MonoTime now);
void sensor_write_watch(Sensor *s, const Domain *d, MonoTime now);
