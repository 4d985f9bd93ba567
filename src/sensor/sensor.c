/* One tick: reconnect if need be, discover, look at what is due, let the libvirt lanes go on, send. While parallaxd is
 * away nothing is looked at.
 *
 * A wake-up with cold caches, here and then in parallaxd, costs more than a look. So the tick is a fifth of the
 * shortest interval: what falls due in between is looked at in one go and sent in one packet. */
#include "sensor/sensor_priv.h"

#include "rt/log.h"

#include <limits.h>

#define TICK_MIN MILLISECONDS(100)
#define TICK_MAX SECONDS(2)
/* While a connection is missing: it is retried with a tick. */
#define TICK_AWAY MILLISECONDS(250)
#define TICKS_AN_INTERVAL 5
/* After something was told of: more often follows. */
#define DISCOVER_DELAY MILLISECONDS(100)
/* Where libvirt and its pid files tell of what begins and ends, a walk only finds what is not libvirt's. */
#define DISCOVER_TOLD SECONDS(60)
#define DISCOVER_UNTOLD SECONDS(2)
#define DISCOVER_UNSETTLED SECONDS(1)
#define ENGINES_EVERY SECONDS(1)
#define SELF_EVERY SECONDS(10)
#define POOLS_EVERY SECONDS(60)

static Duration interval_of(const Sensor *s, Tier tier, Lane lane) {
        return s->settings->interval[tier][lane];
}

/* A machine began or ended. The tick comes sooner for the first call only, lest a flood of them put it off. */
static void discover_soon(Sensor *s) {
        if (!s->discover_now)
                loop_timer_again(s->tick, DISCOVER_DELAY, s->pace);
        s->discover_now = true;
}

static void schedule(Sensor *s, EntityKey key, Lane lane, Duration interval) {
        int r = schedule_set(s->schedule, key, lane, interval, mono_now());
        if (r < 0)
                LOG_LIMITED(LOG_ERROR, "sensor.schedule", "", LOG_E("error", r));
}

static Duration shorter(Duration a, Duration b) {
        return b.ns > 0 && b.ns < a.ns ? b : a;
}

static bool all_connected(const Sensor *s) {
        return peer_connected(s->peer) && (!s->virt || !virt_lane_hurries(s->virt));
}

/* `highest` is the most important tier that some domain has. */
static Duration pace_of(const Sensor *s, Tier highest) {
        Duration least = shorter(s->settings->host_interval, s->settings->container_interval);
        for (Tier tier = 0; tier <= highest; tier++)
                for (Lane lane = 0; lane < LANE_COUNT; lane++)
                        least = shorter(least, interval_of(s, tier, lane));
        Duration pace = { least.ns / TICKS_AN_INTERVAL };
        if (pace.ns > TICK_MAX.ns)
                pace = TICK_MAX;
        if (!all_connected(s))
                pace = shorter(pace, TICK_AWAY);
        return pace.ns < TICK_MIN.ns ? TICK_MIN : pace;
}

/* One bulk call serves all domains, so the most important one sets its pace. */
static void schedule_states(Sensor *s) {
        Tier highest = TIER_BASIC;
        for (size_t i = 0; i < domains_count(s->domains); i++)
                if (domains_at(s->domains, i)->tier > highest)
                        highest = domains_at(s->domains, i)->tier;
        if (domains_count(s->domains) == 0)
                highest = s->settings->default_tier;
        schedule(s, s->host, LANE_LIBVIRT, s->virt ? interval_of(s, highest, LANE_LIBVIRT) : (Duration){ 0 });
        Duration pace = pace_of(s, highest);
        if (pace.ns == s->pace.ns)
                return;
        s->pace = pace;
        loop_timer_again(s->tick, pace, pace);
}

static void schedule_domain(Sensor *s, Domain *d) {
        Duration never = { 0 };
        schedule(s, d->key, LANE_KERNEL, d->kernel ? interval_of(s, d->tier, LANE_KERNEL) : never);
        bool ask = d->kernel && d->virt && s->virt;
        schedule(s, d->key, LANE_MONITOR, ask ? interval_of(s, d->tier, LANE_MONITOR) : never);
        d->idle = s->settings->idle[d->tier];
}

static void schedule_all(Sensor *s) {
        schedule(s, s->host, LANE_KERNEL, s->settings->host_interval);
        schedule(s, s->host, LANE_MONITOR, s->virt ? POOLS_EVERY : (Duration){ 0 });
        schedule(s, s->containers_key, LANE_KERNEL, s->containers ? s->settings->container_interval : (Duration){ 0 });
        for (size_t i = 0; i < domains_count(s->domains); i++)
                schedule_domain(s, domains_at(s->domains, i));
        schedule_states(s);
}

static void on_changed(void *context, Domain *d) {
        Sensor *s = context;
        schedule_domain(s, d);
        /* libvirt is often first to say that a machine started. */
        if (d->virt && !d->kernel)
                discover_soon(s);
}

static void on_gone(void *context, const Domain *d) {
        schedule_remove(((Sensor *)context)->schedule, d->key);
}

static bool wants_net(void *context, const Domain *d) {
        return qemu_nics_unresolved_of(((Sensor *)context)->qemu, &d->key.id);
}

static void on_defined(void *context, const Domain *d) {
        qemu_nics_changed(((Sensor *)context)->qemu, &d->key.id);
}

static const DomainsOps DOMAINS_OPS = {
        .changed = on_changed, .gone = on_gone, .defined = on_defined, .wants_net = wants_net
};

static void on_vanished(void *context, EntityKey key) {
        domains_vanished(((Sensor *)context)->domains, key);
}

static void on_appeared(void *context, EntityKey key) {
        (void)context;
        (void)key;
}

static void announce_host(Sensor *s) {
        sink_entity(s->sink, &(EntityInfo){ .key = s->host, .name = s->name, .name_len = strlen(s->name), .path = "",
                                            .ident = "" });
}

/* Everything is due now: what parallaxd shows first should not be empty for half a minute. */
static void make_all_due(Sensor *s, MonoTime now) {
        for (Lane lane = 0; lane < LANE_COUNT; lane++) {
                schedule_defer(s->schedule, s->host, lane, now);
                schedule_defer(s->schedule, s->containers_key, lane, now);
                for (size_t i = 0; i < domains_count(s->domains); i++)
                        schedule_defer(s->schedule, domains_at(s->domains, i)->key, lane, now);
        }
        for (size_t i = 0; i < domains_count(s->domains); i++)
                domains_at(s->domains, i)->monitored = (MonoTime){ 0 };
}

static void on_resync(void *context) {
        Sensor *s = context;
        announce_host(s);
        domains_announce(s->domains);
        sensor_containers_resync(s);
        if (s->virt)
                virt_lane_definitions_due(s->virt);
        MonoTime now = mono_now();
        make_all_due(s, now);
        qemu_all_wanted(s->qemu);
        s->discover_now = true;
        s->engines_at = now;
        s->self_at = mono_add(now, SECONDS(1));
}

static void on_tier(void *context, EntityKey key, uint16_t tier) {
        Sensor *s = context;
        Domain *d = domains_find(s->domains, &key);
        if (!d || tier >= TIER_COUNT || d->tier == (Tier)tier)
                return;
        d->tier = (Tier)tier;
        schedule_domain(s, d);
        schedule_states(s);
}

static const PeerOps PEER_OPS = { .resync = on_resync, .tier = on_tier };

static void discover(Sensor *s, MonoTime now) {
        int64_t before = self_cpu_ns();
        s->discover_now = false;
        s->discovered = now;
        int r = qemu_discover(s->qemu, domains_kernel_sink(s->domains));
        if (r < 0)
                LOG_LIMITED(LOG_WARN, "sensor.discover", "", LOG_E("error", r));
        s->costs[SELF_DISCOVER].cpu_ns += self_cpu_ns() - before;
        s->costs[SELF_DISCOVER].looks++;
}

static void look_host(Sensor *s, MonoTime now) {
        int64_t before = self_cpu_ns();
        if (s->hostproc)
                hostproc_look(s->hostproc, wall_now(), now, s->sink);
        s->costs[SELF_HOST].cpu_ns += self_cpu_ns() - before;
        s->costs[SELF_HOST].looks++;
}

static void look_domain(Sensor *s, EntityKey key) {
        Domain *d = domains_find(s->domains, &key);
        MonoTime now = mono_now();
        if (!d || !domains_alive(s->domains, d, now))
                return;
        s->costs[SELF_DOMAIN].looks++;
        int r = qemu_look(s->qemu, &key.id, wall_now(), now, domains_kernel_sink(s->domains));
        if (r == -ESRCH || r == -ENOENT) {
                discover_soon(s);
                return;
        }
        char state = qemu_state_seen(s->qemu, &key.id);
        if (s->virt)
                virt_lane_process(s->virt, d, state, now);
        else
                (void)watch_process(&d->watch, state, now);
        sensor_write_watch(s, d, now);
}

static void look(Sensor *s, const ScheduleItem *item, MonoTime now) {
        if (mono_since(now, item->due).ns > s->late_ns)
                s->late_ns = mono_since(now, item->due).ns;
        if (item->lane == LANE_LIBVIRT)
                virt_lane_states_due(s->virt);
        else if (item->lane == LANE_MONITOR)
                virt_lane_monitor_due(s->virt, item->key);
        else if (item->key.kind == ENTITY_HOST)
                look_host(s, now);
        else if (item->key.kind == ENTITY_CONTAINER)
                sensor_containers_look(s, now);
        else
                look_domain(s, item->key);
}

static bool is_domain_look(const ScheduleItem *item) {
        return item->lane == LANE_KERNEL && item->key.kind == ENTITY_DOMAIN;
}

/* To ask for the thread's CPU time costs as much as to read a small file: once a run of domains, not once each. */
static void look_at_scheduled(Sensor *s, MonoTime now) {
        ScheduleItem item;
        bool domains = false;
        int64_t begun = 0;
        while (schedule_take(s->schedule, now, &item)) {
                if (is_domain_look(&item) != domains) {
                        int64_t cpu = self_cpu_ns();
                        s->costs[SELF_DOMAIN].cpu_ns += domains ? cpu - begun : 0;
                        begun = cpu;
                        domains = !domains;
                }
                look(s, &item, now);
        }
        if (domains)
                s->costs[SELF_DOMAIN].cpu_ns += self_cpu_ns() - begun;
}

static Duration discover_pace(const Sensor *s) {
        if (qemu_unsettled(s->qemu))
                return DISCOVER_UNSETTLED;
        return qemu_watches(s->qemu) && s->virt && virt_lane_up(s->virt) ? DISCOVER_TOLD : DISCOVER_UNTOLD;
}

static bool due(MonoTime *at, MonoTime now, Duration every) {
        if (now.ns < at->ns)
                return false;
        *at = mono_add(now, every);
        return true;
}

static void look_at_what_is_due(Sensor *s, MonoTime now) {
        if (s->discover_now || mono_since(now, s->discovered).ns >= discover_pace(s).ns)
                discover(s, now);
        look_at_scheduled(s, now);
        if (due(&s->engines_at, now, ENGINES_EVERY))
                sensor_engines_step(s, now);
        if (due(&s->self_at, now, SELF_EVERY))
                sensor_write_self(s, now);
}

static void on_tick(void *context) {
        Sensor *s = context;
        MonoTime now = mono_now();
        peer_tick(s->peer, now);
        if (peer_connected(s->peer))
                look_at_what_is_due(s, now);
        if (s->virt)
                virt_lane_tick(s->virt, now);
        peer_flush(s->peer);
        schedule_states(s);
}

static void on_pid_files(void *context, int events) {
        (void)events;
        Sensor *s = context;
        if (qemu_watch_take(s->qemu))
                discover_soon(s);
}

static int open_virt(Sensor *s) {
        if (!*s->settings->libvirt_uri)
                return 0;
        return virt_lane_new(&(VirtLaneSetup){ .loop = s->loop,
                                               .settings = s->settings,
                                               .host = s->host,
                                               .domains = s->domains,
                                               .schedule = s->schedule,
                                               .qemu = s->qemu,
                                               .out = s->sink },
                             &s->virt);
}

static int open_collectors(Sensor *s) {
        const char *root = s->settings->root;
        int r = qemu_new(root, s->host, s->settings->max_domains, &s->qemu);
        if (r < 0)
                return r;
        if (qemu_watch_fd(s->qemu) >= 0)
                r = loop_fd(s->loop, qemu_watch_fd(s->qemu), LOOP_READ, on_pid_files, s, &s->pid_files);
        if (r < 0)
                return r;
        qemu_on_change(s->qemu, &(QemuChange){ .appeared = on_appeared, .vanished = on_vanished, .context = s });
        r = hostproc_new(root, s->host, &s->hostproc);
        if (r < 0)
                return r;
        return sensor_containers_open(s);
}

static int setup(Sensor *s) {
        host_name(s->settings->root, s->settings->host_name, s->name);
        s->host = host_key(s->settings->root, s->name);
        s->containers_key = (EntityKey){ .kind = ENTITY_CONTAINER };
        char path[PATH_MAX];
        (void)snprintf(path, sizeof path, "%s/sensor.sock", s->settings->runtime_dir);
        int r = peer_new(s->loop, path, &PEER_OPS, s, &s->peer);
        if (r < 0)
                return r;
        s->sink = &peer_sink(s->peer)->sink;
        r = domains_new(s->host, s->settings->max_domains, s->settings->default_tier, s->sink, &DOMAINS_OPS, s,
                        &s->domains);
        if (r == 0)
                r = schedule_new(&s->schedule);
        if (r == 0)
                r = open_collectors(s);
        if (r == 0)
                r = open_virt(s);
        s->pace = TICK_AWAY;
        if (r == 0)
                r = loop_timer(s->loop, MILLISECONDS(0), s->pace, on_tick, s, &s->tick);
        if (r == 0)
                schedule_all(s);
        return r;
}

int sensor_new(Loop *loop, Settings *settings, Sensor **ret_sensor) {
        Sensor *s = calloc(1, sizeof *s);
        if (!s) {
                (void)settings_free(settings);
                return -ENOMEM;
        }
        s->loop = loop;
        s->settings = settings;
        for (size_t i = 0; i < ENGINE_FETCHERS; i++)
                s->engines[i].fd = -1;
        int r = setup(s);
        if (r < 0) {
                (void)sensor_free(s);
                return r;
        }
        *ret_sensor = s;
        return 0;
}

Sensor *sensor_free(Sensor *s) {
        if (!s)
                return NULL;
        s->tick = loop_timer_stop(s->tick);
        s->virt = virt_lane_free(s->virt);
        sensor_containers_close(s);
        s->hostproc = hostproc_free(s->hostproc);
        s->pid_files = loop_fd_stop(s->pid_files);
        s->qemu = qemu_free(s->qemu);
        s->schedule = schedule_free(s->schedule);
        s->domains = domains_free(s->domains);
        s->peer = peer_free(s->peer);
        batch_deinit(&s->batch);
        s->settings = settings_free(s->settings);
        free(s);
        return NULL;
}

static void reopen_containers(Sensor *s) {
        sensor_containers_forget(s);
        sensor_containers_close(s);
        int r = sensor_containers_open(s);
        if (r < 0)
                LOG(LOG_ERROR, "sensor.containers", LOG_E("error", r));
}

static void reopen_virt(Sensor *s) {
        s->virt = virt_lane_free(s->virt);
        int r = open_virt(s);
        if (r < 0)
                LOG(LOG_ERROR, "sensor.libvirt", LOG_E("error", r));
}

static bool same_containers(const Settings *a, const Settings *b) {
        return a->docker_enabled == b->docker_enabled && a->podman_enabled == b->podman_enabled &&
               a->lxc_enabled == b->lxc_enabled && a->services_enabled == b->services_enabled &&
               a->max_containers == b->max_containers && strcmp(a->docker_socket, b->docker_socket) == 0 &&
               strcmp(a->docker_root, b->docker_root) == 0 && strcmp(a->podman_socket, b->podman_socket) == 0 &&
               strcmp(a->podman_root, b->podman_root) == 0;
}

static bool same_virt(const Settings *a, const Settings *b) {
        return strcmp(a->libvirt_uri, b->libvirt_uri) == 0 && strcmp(a->libvirt_worker, b->libvirt_worker) == 0 &&
               a->libvirt_deadline.ns == b->libvirt_deadline.ns && a->libvirt_resync.ns == b->libvirt_resync.ns;
}

void sensor_reload(Sensor *s, Settings *settings) {
        bool containers = !same_containers(s->settings, settings), virt = !same_virt(s->settings, settings);
        (void)settings_free(s->settings);
        s->settings = settings;
        domains_set_limits(s->domains, settings->max_domains);
        if (containers)
                reopen_containers(s);
        if (virt)
                reopen_virt(s);
        schedule_all(s);
        on_resync(s);
}
