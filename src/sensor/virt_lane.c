#include "sensor/virt_lane.h"

#include "rt/log.h"

#include <limits.h>

#define MONITORS 2u
#define RETRY_MIN MILLISECONDS(500)
#define RETRY_MAX SECONDS(30)
/* ovs-vsctl is run for each vhost-user interface: not more often than this. */
#define INTERFACES_EVERY SECONDS(30)
/* An ask comes this long after it is due, at most, when all goes well. */
#define MONITOR_LATE SECONDS(5)
/* A refused monitor ask comes back after this. */
#define REFUSED_AGAIN SECONDS(1)

struct VirtLane {
        VirtLaneSetup s;
        Duration deadline, resync;
        WorkerPool *pool;
        bool up, said, states_due, definitions_due;
        MonoTime due_since, interfaces_at, definitions_at;
        Duration retry;
        uint64_t connections;
        Watch host_watch; /* of the storage pools */
        bool host_queued;
        EntityKey *queue; /* a ring */
        size_t head, n, cap;
        BatchBuilder batch;
};

static void write_up(VirtLane *v, bool up) {
        if (!v->said || v->up != up)
                LOG(up ? LOG_NOTICE : LOG_WARN, up ? "sensor.libvirt.up" : "sensor.libvirt.down");
        v->up = up;
        v->said = true;
        size_t known = 0;
        for (size_t i = 0; i < domains_count(v->s.domains); i++)
                known += domains_at(v->s.domains, i)->virt;
        batch_begin(&v->batch, v->s.host, GROUP_HYP_UP, wall_now(), mono_now());
        batch_row(&v->batch, NULL);
        batch_set(&v->batch, M_HYP_UP_UP, up);
        if (up)
                batch_set(&v->batch, M_HYP_UP_DOMAINS, (double)known);
        batch_set(&v->batch, M_HYP_UP_RECONNECTS, (double)v->connections);
        batch_set(&v->batch, M_HYP_UP_KILLS, (double)worker_pool_counts(v->pool)->kills);
        sink_build(v->s.out, &v->batch);
}

/* libvirtd itself does not answer, so what its domains owed us of late says nothing about them. */
static void absolve(VirtLane *v, MonoTime now) {
        for (size_t i = 0; i < domains_count(v->s.domains); i++) {
                Watch *w = &domains_at(v->s.domains, i)->watch;
                if (watch_outstanding(w) && mono_since(now, w->lost_since).ns < 3 * v->deadline.ns)
                        watch_reset(w);
        }
}

static void down(VirtLane *v, MonoTime now) {
        absolve(v, now);
        write_up(v, false);
        v->retry.ns = v->retry.ns ? v->retry.ns * 2 : RETRY_MIN.ns;
        if (v->retry.ns > RETRY_MAX.ns)
                v->retry = RETRY_MAX;
        schedule_defer(v->s.schedule, v->s.host, LANE_LIBVIRT, mono_add(now, v->retry));
}

static void states_done(VirtLane *v, const WorkerAsk *ask, const DoneBody *done, MonoTime now) {
        if (done->state != ASK_OK) {
                if (done->state == ASK_FAILED)
                        LOG_LIMITED(LOG_WARN, "sensor.libvirt.failed", "states", LOG_I("code", done->error));
                down(v, now);
                return;
        }
        v->retry = (Duration){ 0 };
        domains_sweep(v->s.domains, ask->asked);
        write_up(v, true);
}

/* The watch of what a monitor ask was about; NULL when it is gone. */
static Watch *watch_of(VirtLane *v, const EntityKey *key) {
        if (key->kind == ENTITY_HOST)
                return &v->host_watch;
        Domain *d = domains_find(v->s.domains, key);
        return d ? &d->watch : NULL;
}

static void ask_again(VirtLane *v, const EntityKey *key, MonoTime when) {
        Domain *d = domains_find(v->s.domains, key);
        if (d)
                d->monitored = (MonoTime){ 0 };
        schedule_defer(v->s.schedule, *key, LANE_MONITOR, when);
}

/* A part of the interval by the domain's UUID: those that were asked together at the start are not again. */
static Duration part_of(Duration interval, const EntityKey *key) {
        uint32_t part;
        memcpy(&part, key->id.bytes, sizeof part);
        return (Duration){ (int64_t)((double)interval.ns * part / UINT32_MAX) };
}

/* What the domain had done by its last look: what it did since then counts for the next time. */
static void note_monitored(VirtLane *v, const EntityKey *key, MonoTime now) {
        Domain *d = domains_find(v->s.domains, key);
        if (!d || !qemu_activity(v->s.qemu, &key->id, &d->then))
                return;
        d->rest_until = mono_add(now, d->monitored.ns ? d->idle : part_of(d->idle, key));
        d->monitored = now;
}

static void monitor_done(VirtLane *v, const WorkerAsk *ask, const DoneBody *done, MonoTime now) {
        Watch *w = watch_of(v, &ask->key);
        if (!w)
                return;
        bool again = watch_answer(w, done, now);
        if (done->state == ASK_BUSY)
                ask_again(v, &ask->key, w->retry_at);
        else if (done->state == ASK_DOWN)
                ask_again(v, &ask->key, mono_add(now, SECONDS(5)));
        else if (again || (done->state == ASK_OK && (ask->flags & ASK_CONTROL_ONLY)))
                ask_again(v, &ask->key, now);
        else if (done->state == ASK_OK)
                note_monitored(v, &ask->key, now);
}

static void told(VirtLane *v, WorkerRole role, const DoneBody *done, MonoTime now) {
        if (done->state == ASK_EVENT)
                v->connections++;
        else if (role == WORKER_STATES && done->state == ASK_DOWN && v->up)
                down(v, now);
}

static void ask_monitors(VirtLane *v, MonoTime now);

static void on_done(void *context, WorkerRole role, const WorkerAsk *ask, const DoneBody *done) {
        VirtLane *v = context;
        MonoTime now = mono_now();
        if (!ask)
                told(v, role, done, now);
        else if (role == WORKER_STATES)
                states_done(v, ask, done, now);
        else
                monitor_done(v, ask, done, now);
        ask_monitors(v, now);
}

static void on_lost(void *context, const WorkerAsk *ask, bool deadline) {
        VirtLane *v = context;
        MonoTime now = mono_now();
        if (ask->role == WORKER_STATES) {
                down(v, now);
                return;
        }
        Watch *w = watch_of(v, &ask->key);
        if (!w)
                return;
        bool blame = deadline && v->up;
        if (blame)
                watch_lost(w, ask->asked, now);
        ask_again(v, &ask->key, blame ? w->retry_at : mono_add(now, REFUSED_AGAIN));
}

static const WorkerOps OPS = { .done = on_done, .lost = on_lost };

/* Configured; else beside this program; else where packages put it. */
static void find_program(const char *configured, char out[PATH_MAX]) {
        if (configured && *configured) {
                (void)snprintf(out, PATH_MAX, "%s", configured);
                return;
        }
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
        char *slash = NULL;
        if (n > 0) {
                self[n] = '\0';
                slash = strrchr(self, '/');
        }
        if (slash) {
                *slash = '\0';
                if (snprintf(out, PATH_MAX, "%s/parallax-virt", self) < PATH_MAX && access(out, X_OK) == 0)
                        return;
        }
        (void)snprintf(out, PATH_MAX, "/usr/libexec/parallax/parallax-virt");
}

int virt_lane_new(const VirtLaneSetup *setup, VirtLane **ret_lane) {
        VirtLane *v = calloc(1, sizeof *v);
        if (!v)
                return -ENOMEM;
        v->s = *setup;
        v->s.settings = NULL;
        v->deadline = setup->settings->libvirt_deadline;
        v->resync = setup->settings->libvirt_resync;
        char program[PATH_MAX];
        find_program(setup->settings->libvirt_worker, program);
        WorkerOptions options = { .program = program,
                                  .uri = setup->settings->libvirt_uri,
                                  .deadline = v->deadline,
                                  .backoff_min = RETRY_MIN,
                                  .backoff_max = RETRY_MAX,
                                  .monitors = MONITORS };
        int r = worker_pool_new(setup->loop, &options, domains_virt_sink(setup->domains), &OPS, v, &v->pool);
        if (r < 0) {
                (void)virt_lane_free(v);
                return r;
        }
        *ret_lane = v;
        return 0;
}

VirtLane *virt_lane_free(VirtLane *v) {
        if (!v)
                return NULL;
        v->pool = worker_pool_free(v->pool);
        batch_deinit(&v->batch);
        free(v->queue);
        free(v);
        return NULL;
}

void virt_lane_states_due(VirtLane *v) {
        if (!v->states_due)
                v->due_since = mono_now();
        v->states_due = true;
}

void virt_lane_definitions_due(VirtLane *v) {
        v->definitions_due = true;
}

static bool enqueue(VirtLane *v, EntityKey key) {
        if (v->n == v->cap) {
                size_t cap = v->cap ? v->cap * 2 : 64;
                EntityKey *grown = calloc(cap, sizeof *grown);
                if (!grown)
                        return false;
                for (size_t i = 0; i < v->n; i++)
                        grown[i] = v->queue[(v->head + i) % v->cap];
                free(v->queue);
                v->queue = grown;
                v->cap = cap;
                v->head = 0;
        }
        v->queue[(v->head + v->n++) % v->cap] = key;
        return true;
}

/* Whether the domain need not be asked yet, though its interval has passed: it does nothing. One with a job is not
 * left alone, as its job's progress is. */
static bool rests(const VirtLane *v, const Domain *d, MonoTime now) {
        QemuActivity has;
        if (!d->monitored.ns || now.ns >= d->rest_until.ns - MONITOR_LATE.ns || watch_control(&d->watch) != WATCH_OK ||
            !qemu_activity(v->s.qemu, &d->key.id, &has))
                return false;
        return qemu_was_idle(&d->then, &has, mono_since(now, d->monitored));
}

void virt_lane_monitor_due(VirtLane *v, EntityKey key) {
        Domain *d = domains_find(v->s.domains, &key);
        if (d && rests(v, d, mono_now()))
                return;
        bool *queued = key.kind == ENTITY_HOST ? &v->host_queued : d ? &d->queued : NULL;
        if (queued && !*queued)
                *queued = enqueue(v, key);
}

void virt_lane_process(VirtLane *v, Domain *d, char state, MonoTime now) {
        if (watch_process(&d->watch, state, now))
                ask_again(v, &d->key, now);
}

size_t virt_lane_outstanding(const VirtLane *v) {
        size_t n = watch_outstanding(&v->host_watch);
        for (size_t i = 0; i < domains_count(v->s.domains); i++)
                n += watch_outstanding(&domains_at(v->s.domains, i)->watch);
        return n;
}

static WatchPermit permit(VirtLane *v, const EntityKey *key, MonoTime now) {
        Domain *d = domains_find(v->s.domains, key);
        if (d) {
                if (!d->virt || !d->kernel)
                        return WATCH_ASK_NOTHING;
                virt_lane_process(v, d, qemu_process_state(v->s.qemu, &key->id), now);
        } else if (key->kind != ENTITY_HOST) {
                return WATCH_ASK_NOTHING;
        }
        return watch_permit(d ? &d->watch : &v->host_watch, now);
}

static void ask_next(VirtLane *v, size_t outstanding, MonoTime now) {
        EntityKey key = v->queue[v->head];
        v->head = (v->head + 1) % v->cap;
        v->n--;
        Domain *d = domains_find(v->s.domains, &key);
        *(d ? &d->queued : &v->host_queued) = false;
        WatchPermit p = permit(v, &key, now);
        if (p == WATCH_ASK_NOTHING)
                return;
        /* The control info of a domain is answered by threads that libvirtd keeps for such calls. */
        bool all = p == WATCH_ASK_ALL || key.kind == ENTITY_HOST;
        if (all && outstanding + worker_pool_busy(v->pool, WORKER_MONITOR) >= VIRT_LANE_OUTSTANDING) {
                LOG_LIMITED(LOG_WARN, "sensor.libvirt.outstanding", "", LOG_I("calls", outstanding));
                schedule_defer(v->s.schedule, key, LANE_MONITOR, mono_add(now, REFUSED_AGAIN));
                return;
        }
        int r = worker_pool_ask(v->pool, WORKER_MONITOR, key, key.kind == ENTITY_HOST ? ASK_HOST : ASK_MONITOR,
                                all ? 0 : ASK_CONTROL_ONLY, now);
        if (r < 0)
                schedule_defer(v->s.schedule, key, LANE_MONITOR, mono_add(now, REFUSED_AGAIN));
}

static void ask_states(VirtLane *v, MonoTime now) {
        uint32_t flags = ASK_WITH_PERF;
        if (v->resync.ns && mono_since(now, v->definitions_at).ns >= v->resync.ns)
                v->definitions_due = true;
        if (v->definitions_due)
                flags |= ASK_WITH_DEFINITIONS;
        bool interfaces = mono_since(now,
                                     v->interfaces_at).ns >= INTERFACES_EVERY.ns && qemu_nics_unresolved(v->s.qemu);
        if (interfaces)
                flags |= ASK_WITH_INTERFACES;
        if (worker_pool_ask(v->pool, WORKER_STATES, v->s.host, ASK_STATES, flags, now) < 0)
                return;
        v->states_due = false;
        if (v->definitions_due)
                v->definitions_at = now;
        v->definitions_due = false;
        if (interfaces)
                v->interfaces_at = now;
}

static void ask_monitors(VirtLane *v, MonoTime now) {
        /* What is queued waits for libvirtd, and is then as fresh as can be. */
        if (v->n == 0 || !v->up)
                return;
        size_t outstanding = virt_lane_outstanding(v);
        while (v->n > 0 && worker_pool_idle(v->pool, WORKER_MONITOR))
                ask_next(v, outstanding, now);
}

void virt_lane_tick(VirtLane *v, MonoTime now) {
        worker_pool_tick(v->pool, now);
        if (v->states_due)
                ask_states(v, now);
        /* No worker to ask for so long is no connection either. */
        if (v->states_due && mono_since(now, v->due_since).ns >= v->deadline.ns) {
                v->due_since = now;
                write_up(v, false);
        }
        ask_monitors(v, now);
}

bool virt_lane_up(const VirtLane *v) {
        return v->up;
}

bool virt_lane_hurries(const VirtLane *v) {
        return !v->up && v->retry.ns < SECONDS(2).ns;
}

const WorkerPool *virt_lane_pool(const VirtLane *v) {
        return v->pool;
}
