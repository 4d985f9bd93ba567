/* What the sensor says about its domains' health and about itself. */
#include "sensor/sensor_priv.h"

void sensor_write_watch(Sensor *s, const Domain *d, MonoTime now) {
        batch_begin(&s->batch, d->key, GROUP_DOM_WATCH, wall_now(), now);
        batch_row(&s->batch, NULL);
        batch_set(&s->batch, M_DOM_WATCH_STUCK, (double)(watch_stuck(&d->watch, now).ns / NS_PER_MS));
        batch_set(&s->batch, M_DOM_WATCH_CONTROL, watch_control(&d->watch));
        sink_build(s->sink, &s->batch);
}

static size_t stuck_domains(const Sensor *s, MonoTime now) {
        size_t n = 0;
        for (size_t i = 0; i < domains_count(s->domains); i++)
                n += watch_stuck(&domains_at(s->domains, i)->watch, now).ns > 0;
        return n;
}

static void write_counters(Sensor *s, MonoTime now) {
        BatchBuilder *b = &s->batch;
        const FrameSink *sent = peer_sink(s->peer);
        batch_begin(b, s->host, GROUP_SENSOR, wall_now(), now);
        batch_row(b, NULL);
        batch_set(b, M_SENSOR_BATCHES, (double)sent->batches);
        batch_set(b, M_SENSOR_DROPPED, (double)sent->dropped);
        batch_set(b, M_SENSOR_CONNECTIONS, (double)peer_connections(s->peer));
        batch_set(b, M_SENSOR_DOMAINS, (double)domains_count(s->domains));
        batch_set(b, M_SENSOR_DOMAINS_REFUSED, (double)domains_refused(s->domains));
        batch_set(b, M_SENSOR_STUCK, (double)stuck_domains(s, now));
        batch_set(b, M_SENSOR_LATE, (double)s->late_ns);
        if (s->virt) {
                const WorkerCounts *c = worker_pool_counts(virt_lane_pool(s->virt));
                batch_set(b, M_SENSOR_OUTSTANDING, (double)virt_lane_outstanding(s->virt));
                batch_set(b, M_SENSOR_WORKER_STARTS, (double)c->starts);
                batch_set(b, M_SENSOR_WORKER_EXITS, (double)c->exits);
                batch_set(b, M_SENSOR_WORKER_KILLS, (double)c->kills);
                batch_set(b, M_SENSOR_WORKER_REFUSED, (double)c->refused);
        }
        sink_build(s->sink, b);
}

static void write_asks(Sensor *s) {
        static const char *const OUTCOMES[] = {
                [ASK_OK] = "ok", [ASK_GONE] = "gone", [ASK_BUSY] = "busy", [ASK_FAILED] = "failed", [ASK_DOWN] = "down",
        };
        const WorkerCounts *c = worker_pool_counts(virt_lane_pool(s->virt));
        batch_begin(&s->batch, s->host, GROUP_SENSOR_ASK, wall_now(), mono_now());
        for (size_t i = 0; i < ARRAY_LEN(OUTCOMES); i++) {
                batch_row1(&s->batch, OUTCOMES[i], strlen(OUTCOMES[i]));
                batch_set(&s->batch, M_SENSOR_ASK_ASKS, (double)c->answers[i]);
        }
        batch_row1(&s->batch, "lost", 4);
        batch_set(&s->batch, M_SENSOR_ASK_ASKS, (double)c->lost);
        sink_build(s->sink, &s->batch);
}

static void write_processes(Sensor *s) {
        self_begin_processes(s->host, &s->batch);
        self_add_process(&s->batch, "sensor", getpid());
        for (size_t i = 0; s->virt && i < worker_pool_places(virt_lane_pool(s->virt)); i++) {
                WorkerRole role;
                char name[32];
                pid_t pid = worker_pool_pid(virt_lane_pool(s->virt), i, &role);
                (void)snprintf(name, sizeof name, role == WORKER_STATES ? "states" : "monitor%zu", i);
                if (pid > 0)
                        self_add_process(&s->batch, name, pid);
        }
        sink_build(s->sink, &s->batch);
}

void sensor_write_self(Sensor *s, MonoTime now) {
        write_counters(s, now);
        self_write_looks(s->costs, s->host, &s->batch, s->sink);
        if (s->virt)
                write_asks(s);
        write_processes(s);
        s->late_ns = 0;
}

void sensor_status(const Sensor *s, Buf *out) {
        buf_printf(out, "%zu domains, %zu containers, parallaxd %s, libvirt %s", domains_count(s->domains),
                   s->containers ? container_stats(s->containers)->found : 0,
                   peer_connected(s->peer) ? "connected" : "away",
                   !s->virt ? "off" : virt_lane_up(s->virt) ? "up" : "down");
}
