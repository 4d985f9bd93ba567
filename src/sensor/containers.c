/* The sensor's part for containers: the collector and the engines' documents. */
#include "sensor/sensor_priv.h"

#include "rt/log.h"

static void engine_rewatch(EngineWatch *w);

static void on_engine(void *context, int events) {
        (void)events;
        EngineWatch *w = context;
        int64_t before = self_cpu_ns();
        engine_step(w->fetch, mono_now());
        engine_rewatch(w);
        w->sensor->costs[SELF_ENGINE].cpu_ns += self_cpu_ns() - before;
        peer_flush(w->sensor->peer);
}

static void engine_rewatch(EngineWatch *w) {
        int fd = engine_fd(w->fetch);
        if (fd == w->fd && w->watch) {
                if (fd >= 0 && loop_fd_events(w->watch, engine_events(w->fetch)) == 0)
                        return;
        }
        w->watch = loop_fd_stop(w->watch);
        w->fd = -1;
        if (fd >= 0 && loop_fd(w->sensor->loop, fd, engine_events(w->fetch), on_engine, w, &w->watch) == 0)
                w->fd = fd;
}

static int engine_open(Sensor *s, size_t i, Engine engine, const char *socket, const char *storage) {
        EngineWatch *w = &s->engines[i];
        *w = (EngineWatch){ .sensor = s, .fd = -1 };
        EngineOptions options = { .engine = engine,
                                  .root = s->settings->root,
                                  .socket = socket,
                                  .storage = storage,
                                  .host = s->host,
                                  .known = s->containers };
        return engine_new(&options, domains_kernel_sink(s->domains), &w->fetch);
}

int sensor_containers_open(Sensor *s) {
        const Settings *c = s->settings;
        if (!c->docker_enabled && !c->podman_enabled && !c->lxc_enabled && !c->services_enabled)
                return 0;
        ContainerOptions options = container_options_default();
        options.docker = c->docker_enabled;
        options.podman = c->podman_enabled;
        options.lxc = c->lxc_enabled;
        options.services = c->services_enabled;
        options.machine = true;
        options.host = s->host;
        options.docker_root = c->docker_root;
        options.max_containers = c->max_containers;
        int r = container_new(c->root, &options, &s->containers);
        if (r == -ENOENT) {
                LOG(LOG_WARN, "sensor.cgroups.none", LOG_S("root", c->root));
                return 0;
        }
        if (r == 0 && c->docker_enabled)
                r = engine_open(s, 0, ENGINE_DOCKER, c->docker_socket, c->docker_root);
        if (r == 0 && c->podman_enabled)
                r = engine_open(s, 1, ENGINE_PODMAN, c->podman_socket, c->podman_root);
        return r;
}

static void forget(void *context, EntityKey key, const char *id) {
        (void)id;
        sink_gone(context, key);
}

void sensor_containers_forget(Sensor *s) {
        for (Engine e = ENGINE_NONE; s->containers && e < ENGINE_COUNT; e++)
                container_each(s->containers, e, forget, s->sink);
}

void sensor_containers_close(Sensor *s) {
        for (size_t i = 0; i < ENGINE_FETCHERS; i++) {
                s->engines[i].watch = loop_fd_stop(s->engines[i].watch);
                s->engines[i].fetch = engine_free(s->engines[i].fetch);
                s->engines[i].fd = -1;
        }
        s->containers = container_free(s->containers);
}

void sensor_containers_look(Sensor *s, MonoTime now) {
        if (!s->containers)
                return;
        int64_t before = self_cpu_ns();
        container_look(s->containers, wall_now(), now, domains_kernel_sink(s->domains));
        s->costs[SELF_CONTAINER].cpu_ns += self_cpu_ns() - before;
        s->costs[SELF_CONTAINER].looks++;
        uint64_t changes = container_stats(s->containers)->changes;
        if (changes == s->container_changes)
                return;
        s->container_changes = changes;
        for (size_t i = 0; i < ENGINE_FETCHERS; i++)
                if (s->engines[i].fetch)
                        engine_refresh(s->engines[i].fetch);
}

void sensor_containers_resync(Sensor *s) {
        if (s->containers)
                container_resync(s->containers, domains_kernel_sink(s->domains));
        for (size_t i = 0; i < ENGINE_FETCHERS; i++)
                if (s->engines[i].fetch)
                        engine_resync(s->engines[i].fetch);
}

void sensor_engines_step(Sensor *s, MonoTime now) {
        int64_t before = self_cpu_ns();
        for (size_t i = 0; i < ENGINE_FETCHERS; i++)
                if (s->engines[i].fetch) {
                        engine_step(s->engines[i].fetch, now);
                        engine_rewatch(&s->engines[i]);
                        s->costs[SELF_ENGINE].looks++;
                }
        s->costs[SELF_ENGINE].cpu_ns += self_cpu_ns() - before;
}
