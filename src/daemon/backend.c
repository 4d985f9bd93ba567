/* Another engine that answers what is asked of the history, when query.backend names one. */
#include "daemon/daemon.h"
#include "rt/log.h"

int fetcher_open(Daemon *d) {
        return d->fetcher ? 0 : http_fetcher_new(d->loop, &d->fetcher);
}

static bool same(const Daemon *d, const Settings *s, const ForwardConfig *c) {
        return d->backend && strcmp(d->backend_url, s->query_url) == 0 &&
               d->backend_timeout.ns == c->query_timeout.ns &&
               http_fetch_options_equal(d->backend_http, &c->query_http);
}

static int backend_open(Daemon *d, const Settings *s, ForwardConfig *c) {
        int r = fetcher_open(d);
        d->backend_http = malloc(sizeof *d->backend_http);
        d->backend_url = strdup(s->query_url);
        if (!d->backend_http || !d->backend_url)
                return -ENOMEM;
        *d->backend_http = c->query_http;
        c->query_http = HTTP_FETCH_OPTIONS_DEFAULT;
        d->backend_timeout = c->query_timeout;
        if (r == 0)
                r = backend_new(d->fetcher, s->query_url, d->backend_http, c->query_timeout, &d->backend);
        return r;
}

int backend_replace(Daemon *d, const Settings *s, ForwardConfig *c) {
        if (same(d, s, c))
                return 0;
        backend_close(d);
        if (strcmp(s->query_backend, "prometheus") != 0)
                return 0;
        int r = backend_open(d, s, c);
        if (r < 0) {
                LOG(LOG_ERROR, "query.backend_failed", LOG_S("url", s->query_url), LOG_E("error", r));
                backend_close(d);
                return r;
        }
        LOG(LOG_NOTICE, "query.backend", LOG_S("url", s->query_url));
        return 0;
}

void backend_close(Daemon *d) {
        d->backend = backend_free(d->backend);
        if (d->backend_http)
                http_fetch_options_deinit(d->backend_http);
        free(d->backend_http);
        free(d->backend_url);
        d->backend_http = NULL;
        d->backend_url = NULL;
}
