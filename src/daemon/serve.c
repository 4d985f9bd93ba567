/* The HTTP listeners and the Unix socket of the command line. A reload opens the new ones first and closes
 * the old ones after, so that a bad address leaves everything as it was. */
#include "daemon/daemon.h"

#include "api/api.h"
#include "rt/log.h"

static void add_stats(HttpServerStats *sum, const HttpListener *l) {
        const HttpServerStats *s = http_listener_stats(l);
        sum->requests += s->requests;
        sum->connections += s->connections;
        sum->refused += s->refused;
        for (size_t i = 0; i < ARRAY_LEN(sum->by_status); i++)
                sum->by_status[i] += s->by_status[i];
}

static Front *front_close(Front *f) {
        if (!f)
                return NULL;
        if (f->listener) {
                add_stats(&f->daemon->closed_fronts, f->listener);
                f->listener = http_listener_close(f->listener);
        }
        free(f->address);
        free(f->metrics);
        free(f);
        return NULL;
}

static void front_closep(Front **f) {
        *f = front_close(*f);
}

/* What other parts count, copied to where the exposition reads it. */
static void collect_self(Daemon *d) {
        HttpServerStats http = d->closed_fronts;
        static const SensorLinkStats NO_LINK = { 0 };
        const SensorLinkStats *link = d->sensor ? sensor_link_stats(d->sensor) : &NO_LINK;
        for (size_t i = 0; i < d->n_fronts; i++)
                add_stats(&http, d->fronts[i]->listener);
        if (d->socket)
                add_stats(&http, d->socket->listener);
        self_set(&d->self, SELF_SENSOR_CONNECTED, link->connected);
        self_set(&d->self, SELF_SENSOR_CONNECTIONS, (double)link->connects);
        self_set(&d->self, SELF_SENSOR_REFUSED, (double)(link->refused + link->bad_frames));
        self_set(&d->self, SELF_SENSOR_PACKETS, (double)link->packets);
        self_set(&d->self, SELF_SENSOR_BYTES, (double)link->bytes);
        self_set(&d->self, SELF_DOCUMENTS, (double)d->documents.parsed);
        self_set(&d->self, SELF_DOCUMENTS_BAD, (double)d->documents.refused);
        self_set(&d->self, SELF_HTTP_REQUESTS, (double)http.requests);
        self_set(&d->self, SELF_HTTP_CONNECTIONS, (double)http.connections);
        self_set(&d->self, SELF_HTTP_REFUSED, (double)http.refused);
        self_set(&d->self, SELF_HTTP_ERRORS, (double)http.by_status[5]);
        history_collect_self(d);
        queries_collect_self(d);
        scraping_collect_self(d);
}

static bool serves_all(const char *metrics) {
        return strcmp(metrics, "all") == 0;
}

static int run_job(void *context, int (*fn)(Store *s, void *job), void (*done)(void *job, int result), void *job) {
        Daemon *d = context;
        return store_host_run(d->store, fn, done, job);
}

/* Whether a page may show what is counted; Prometheus's API, of which much is asked often, does not. */
static bool tells_self(const char *path) {
        return !strstr(path, "/api/v1/") || strstr(path, "/api/v1/parallax/");
}

/* ---- /-/reload and /-/quit ---- */

static void on_lifecycle(void *context) {
        Daemon *d = context;
        HttpHeld *held = TAKE_PTR(d->lifecycle_held);
        HttpResponse response = { .status = 200, .content_type = "text/plain; charset=utf-8" };
        if (d->lifecycle_quit) {
                loop_stop(d->loop);
                buf_put_str(&response.body, "Requesting termination... Goodbye!\n");
        } else {
                reload(d);
                if (d->self.value[SELF_CONFIG_OK] <= 0) {
                        response.status = 500;
                        buf_put_str(&response.body, "failed to reload config: see the log\n");
                }
        }
        if (held)
                (void)http_held_answer(held, &response);
        else
                buf_deinit(&response.body);
}

static void lifecycle(void *context, bool quit, HttpHeld *held) {
        Daemon *d = context;
        HttpResponse busy = { .status = 503 };
        int r = d->lifecycle_held ? -EBUSY : 0;
        if (r == 0 && !d->lifecycle)
                r = loop_timer(d->loop, SECONDS(3600), (Duration){ 0 }, on_lifecycle, d, &d->lifecycle);
        if (r < 0) {
                (void)http_held_answer(held, &busy);
                return;
        }
        d->lifecycle_quit = quit;
        d->lifecycle_held = held;
        loop_timer_again(d->lifecycle, MILLISECONDS(1), (Duration){ 0 });
}

/* The path behind web.route_prefix; NULL when it does not begin so. */
static const char *path_behind(const Daemon *d, const char *path) {
        const char *prefix = d->settings->web.route_prefix;
        size_t n = strlen(prefix);
        while (n > 0 && prefix[n - 1] == '/')
                n--;
        if (strncmp(path, prefix, n) != 0)
                return NULL;
        return path[n] == '/' ? path + n : path[n] ? NULL : "/";
}

static void answer(void *context, const HttpRequest *request, HttpResponse *response) {
        Front *f = context;
        Daemon *d = f->daemon;
        ApiListener listeners[OPTIONS_MAX_LISTEN + 1];
        size_t n = 0;
        for (; n < d->n_fronts && n < OPTIONS_MAX_LISTEN; n++)
                listeners[n] = (ApiListener){ d->fronts[n]->address, d->fronts[n]->metrics };
        if (d->socket)
                listeners[n++] = (ApiListener){ d->socket->address, d->socket->metrics };
        if (tells_self(request->path))
                collect_self(d);
        ApiContext api = {
                .latest = &d->latest,
                .self = &d->self,
                .host_name = d->host_name,
                .version = PARALLAX_VERSION,
                .libvirt_uri = d->settings->libvirt_uri,
                .listeners = listeners,
                .n_listeners = n,
                .metrics = f->metrics,
                .expected = f->expected,
                .no_collect = d->options.no_collect,
                .sink = d->store ? history_sink(d) : NULL,
                .acks = d->acks,
                .remote_write = d->remote_write,
                .import = d->import,
                .store = d->store ? store_host_store(d->store) : NULL,
                .scrape = d->scrape,
                .forward = d->forward,
                .backend = d->backend ? backend_answer : NULL,
                .backend_context = d->backend,
                .store_stats = store_stats,
                .store_top = store_top,
                .run_job = run_job,
                .run_job_context = d,
                .jobs = d->jobs,
                .queries = d->queries,
                .query_features = d->query_features,
                .settings = d->settings,
                .started = d->started_wall,
                .lifecycle = lifecycle,
        };
        HttpRequest checked = *request;
        checked.path = path_behind(d, request->path);
        if (!checked.path) {
                response->status = 404;
                buf_put_str(&response->body, "404 page not found\n");
                return;
        }
        checked.local = checked.local && f->loopback && serves_all(f->metrics); /* beside the server's own judgement */
        size_t waiting = d->acks ? ack_queue_length(d->acks) : 0;
        api_handle(&api, &checked, response);
        if (d->acks && ack_queue_length(d->acks) > waiting)
                store_host_kick(d->store);
}

static size_t body_limit(void *context, const HttpRequest *request) {
        const Front *f = context;
        HttpRequest checked = *request;
        checked.path = path_behind(f->daemon, request->path);
        if (!checked.path)
                return 0;
        checked.local = checked.local && f->loopback && serves_all(f->metrics);
        return api_body_limit(&checked);
}

static bool metrics_known(const char *metrics) {
        static const char *const KNOWN[] = { "all", "libvirt", "node", "container", "self" };
        for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
                if (strcmp(metrics, KNOWN[i]) == 0)
                        return true;
        return false;
}

static int front_open(Daemon *d, const char *address, const char *metrics, Front **ret_front) {
        CLEANUP(front_closep) Front *f = calloc(1, sizeof *f);
        bool loopback = false;
        if (!f)
                return -ENOMEM;
        *f = (Front){ .daemon = d, .address = strdup(address), .metrics = strdup(metrics) };
        if (!f->address || !f->metrics)
                return -ENOMEM;
        int r = metrics_known(metrics) ? http_address_is_loopback(address, &loopback) : -EINVAL;
        f->loopback = loopback;
        if (r == 0)
                r = http_listen(d->loop, address, answer, f, &f->listener);
        if (r < 0) {
                LOG(LOG_ERROR, "listen.failed", LOG_S("address", address), LOG_S("metrics", metrics),
                    LOG_E("error", r));
                return r;
        }
        http_listener_accept(f->listener, body_limit);
        r = http_listener_cors(f->listener, d->settings->web.cors_origin);
        if (r < 0)
                return r;
        if (!loopback && serves_all(metrics))
                LOG(LOG_NOTICE, "listen.exposition_only", LOG_S("address", address), LOG_S("reason", "not loopback"));
        LOG(LOG_INFO, "listening", LOG_S("address", address), LOG_S("metrics", metrics));
        *ret_front = TAKE_PTR(f);
        return 0;
}

/* The listeners under way: those that stay are borrowed until commit(), new ones are ours to close. */
typedef struct Change {
        Daemon *daemon;
        Front *fronts[OPTIONS_MAX_LISTEN];
        char *metrics[OPTIONS_MAX_LISTEN]; /* what a front that stays will serve; NULL for a new one */
        size_t n;
} Change;

static void change_deinit(Change *c) {
        for (size_t i = 0; i < c->n; i++) {
                if (!c->metrics[i])
                        c->fronts[i] = front_close(c->fronts[i]);
                free(c->metrics[i]);
        }
}

static Front *front_in_force(const Daemon *d, const char *address) {
        for (size_t i = 0; i < d->n_fronts; i++)
                if (strcmp(d->fronts[i]->address, address) == 0)
                        return d->fronts[i];
        return NULL;
}

static int change_add(Change *c, const ListenerSettings *l) {
        Front *stays = front_in_force(c->daemon, l->address);
        int r = 0;
        if (stays && !metrics_known(l->metrics))
                return -EINVAL;
        if (stays) {
                c->fronts[c->n] = stays;
                c->metrics[c->n] = strdup(l->metrics);
                r = c->metrics[c->n] ? 0 : -ENOMEM;
        } else {
                r = front_open(c->daemon, l->address, l->metrics, &c->fronts[c->n]);
        }
        c->n += r == 0;
        return r;
}

static bool change_has(const Change *c, const Front *f) {
        for (size_t i = 0; i < c->n; i++)
                if (c->fronts[i] == f)
                        return true;
        return false;
}

static void change_commit(Change *c, Front **list) {
        Daemon *d = c->daemon;
        for (size_t i = 0; i < d->n_fronts; i++)
                if (!change_has(c, d->fronts[i]))
                        d->fronts[i] = front_close(d->fronts[i]);
        free(d->fronts);
        d->fronts = list;
        d->n_fronts = c->n;
        for (size_t i = 0; i < c->n; i++) {
                list[i] = c->fronts[i];
                if (!c->metrics[i])
                        continue;
                free(list[i]->metrics);
                list[i]->metrics = TAKE_PTR(c->metrics[i]);
        }
        c->n = 0; /* nothing to undo */
}

int serve_replace(Daemon *d, const Settings *next) {
        CLEANUP(change_deinit) Change c = { .daemon = d };
        CLEANUP_FREE Front **list = calloc(OPTIONS_MAX_LISTEN, sizeof(Front *));
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < next->n_listeners && i < OPTIONS_MAX_LISTEN; i++) {
                int r = change_add(&c, &next->listeners[i]);
                if (r < 0)
                        return r;
        }
        change_commit(&c, TAKE_PTR(list));
        return 0;
}

int serve_open(Daemon *d) {
        char path[108];
        (void)snprintf(path, sizeof path, "%s/api.sock", d->settings->runtime_dir);
        int r = serve_replace(d, d->settings);
        if (d->options.no_collect && !d->options.runtime_dir)
                return r;
        return r < 0 ? r : front_open(d, path, "all", &d->socket);
}

void serve_close(Daemon *d) {
        for (size_t i = 0; i < d->n_fronts; i++)
                d->fronts[i] = front_close(d->fronts[i]);
        free(d->fronts);
        d->fronts = NULL;
        d->n_fronts = 0;
        d->socket = front_close(d->socket);
        d->lifecycle = loop_timer_stop(d->lifecycle);
        if (d->lifecycle_held) {
                HttpResponse nobody = { .status = 503 };
                d->lifecycle_held = http_held_answer(d->lifecycle_held, &nobody);
        }
}

void serve_configure(Daemon *d) {
        const char *origin = d->settings->web.cors_origin;
        int r = d->socket ? http_listener_cors(d->socket->listener, origin) : 0;
        for (size_t i = 0; i < d->n_fronts; i++)
                r |= http_listener_cors(d->fronts[i]->listener, origin);
        if (r < 0)
                LOG(LOG_ERROR, "config.cors", LOG_E("error", -ENOMEM));
}
