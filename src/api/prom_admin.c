/* What changes something: deleting, copying and merging the store, reloading and ending parallaxd. Off unless
 * web.admin_api and web.lifecycle say otherwise, as with Prometheus. */
#include "api/prom.h"

#include <sys/stat.h>

#define SNAPSHOTS "snapshots"

typedef enum AdminKind { ADMIN_DELETE, ADMIN_CLEAN, ADMIN_SNAPSHOT } AdminKind;

/* Owned by whoever works on it, in turn: the handler, the keeper's thread, the handler of its end. */
typedef struct AdminJob {
        AdminKind kind;
        HttpHeld *held;
        Ast *asts[SELECTION_MATCHERS_MAX];
        size_t n;
        int64_t begin_ms, end_ms;
        char directory[4096], name[64];
} AdminJob;

static AdminJob *job_free(AdminJob *j) {
        for (size_t i = 0; j && i < j->n; i++)
                (void)ast_free(j->asts[i]);
        free(j);
        return NULL;
}

static void job_freep(AdminJob **j) {
        *j = job_free(*j);
}

static int run_delete(Store *s, const AdminJob *j) {
        int r = 0;
        for (size_t i = 0; r >= 0 && i < j->n; i++) {
                const SelectorExpr *x = &j->asts[i]->root->selector;
                r = store_delete(s, x->matchers, x->n_matchers, j->begin_ms, j->end_ms);
        }
        return r;
}

static int run_snapshot(Store *s, const AdminJob *j) {
        char path[sizeof j->directory + sizeof j->name + 1];
        if (mkdir(j->directory, 0750) < 0 && errno != EEXIST)
                return -errno;
        (void)snprintf(path, sizeof path, "%s/%s", j->directory, j->name);
        return store_snapshot(s, path);
}

/* Keeper's thread. */
static int job_run(Store *s, void *context) {
        const AdminJob *j = context;
        switch (j->kind) {
        case ADMIN_DELETE: return run_delete(s, j);
        case ADMIN_CLEAN: return store_flush(s, true);
        case ADMIN_SNAPSHOT: return run_snapshot(s, j);
        }
        return -EINVAL;
}

static void job_done(void *context, int result) {
        CLEANUP(job_freep) AdminJob *j = context;
        HttpResponse response = { .status = 204 };
        if (result < 0) {
                prom_error(&response, PROM_INTERNAL, "%s", strerror(-result));
        } else if (j->kind == ADMIN_SNAPSHOT) {
                prom_begin(&response);
                buf_printf(&response.body, "{\"name\":\"%s\"}", j->name);
                prom_end(&response, NULL, 0, NULL, 0);
        }
        j->held = http_held_answer(j->held, &response);
}

/* ---- Taking one ---- */

static bool take_matchers(AdminJob *j, const HttpRequest *request, HttpResponse *response) {
        for (size_t i = 0; i < request->n_params; i++) {
                CLEANUP(parse_error_deinit) ParseError error = { 0 };
                const char *text = request->params[i].value;
                if (strcmp(request->params[i].name, "match[]") != 0)
                        continue;
                if (j->n == ARRAY_LEN(j->asts)) {
                        prom_error(response, PROM_BAD_DATA, "more than %zu match[]", ARRAY_LEN(j->asts));
                        return false;
                }
                if (promql_parse_selector((Span){ text, strlen(text) }, &j->asts[j->n], &error) < 0) {
                        prom_error(response, PROM_BAD_DATA, "invalid parameter \"match[]\": %s", buf_cstr(&error.text));
                        return false;
                }
                j->n++;
        }
        if (j->n == 0)
                prom_error(response, PROM_BAD_DATA, "no match[] parameter provided");
        return j->n > 0;
}

static bool take_time(const HttpRequest *request, const char *name, int64_t *ret_ms, HttpResponse *response) {
        const char *text = http_query(request, name);
        if (!text || !*text || prom_parse_time(text, ret_ms))
                return true;
        prom_error(response, PROM_BAD_DATA, "invalid parameter \"%s\": cannot parse \"%s\" to a valid timestamp", name,
                   text);
        return false;
}

static bool take_delete(AdminJob *j, const HttpRequest *request, HttpResponse *response) {
        j->begin_ms = INT64_MIN + 1;
        j->end_ms = INT64_MAX;
        if (!take_matchers(j, request, response) || !take_time(request, "start", &j->begin_ms, response) ||
            !take_time(request, "end", &j->end_ms, response))
                return false;
        j->begin_ms -= j->begin_ms > INT64_MIN + 1; /* both ends are included */
        return true;
}

static void name_snapshot(AdminJob *j, const ApiContext *c) {
        WallTime now = c->wall ? c->wall() : wall_now();
        time_t seconds = (time_t)(now.ns / NS_PER_SEC);
        struct tm tm = { 0 };
        char when[32];
        (void)gmtime_r(&seconds, &tm);
        (void)strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm);
        (void)snprintf(j->name, sizeof j->name, "%s-%016llx", when, (unsigned long long)now.ns);
        (void)snprintf(j->directory, sizeof j->directory, "%.4000s/" SNAPSHOTS, c->settings->store.directory);
}

static bool may_admin(const ApiContext *c, HttpResponse *response) {
        if (!c->settings || !c->settings->web.admin_api)
                prom_error(response, PROM_FORBIDDEN, "admin APIs disabled: set web.admin_api: true in parallax.yaml");
        else if (!c->store)
                prom_error(response, PROM_NOT_FOUND, "this parallaxd keeps no store");
        else
                return true;
        return false;
}

/* A page in somebody's browser has no business here. */
void prom_admin(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        static const char *const NAMES[] = {
                [ADMIN_DELETE] = "delete_series", [ADMIN_CLEAN] = "clean_tombstones", [ADMIN_SNAPSHOT] = "snapshot"
        };
        size_t kind = 0;
        while (kind < ARRAY_LEN(NAMES) && strcmp(rest, NAMES[kind]) != 0)
                kind++;
        if (kind == ARRAY_LEN(NAMES)) {
                api_error(response, 404, "page not found");
                return;
        }
        CLEANUP(job_freep) AdminJob *j = calloc(1, sizeof *j);
        if (!may_admin(c, response))
                return;
        if (!j) {
                prom_error(response, PROM_UNAVAILABLE, "no memory");
                return;
        }
        j->kind = (AdminKind)kind;
        if (j->kind == ADMIN_DELETE && !take_delete(j, request, response))
                return;
        if (j->kind == ADMIN_SNAPSHOT)
                name_snapshot(j, c);
        j->held = http_hold(request);
        if (!j->held) {
                prom_error(response, PROM_UNAVAILABLE, "no memory");
                return;
        }
        if (c->run_job(c->run_job_context, job_run, job_done, j) < 0) {
                HttpResponse busy = { 0 };
                prom_error(&busy, PROM_UNAVAILABLE, "another job of the store is under way");
                http_add_number(&busy, "Retry-After", 5);
                j->held = http_held_answer(j->held, &busy);
                return;
        }
        (void)TAKE_PTR(j); /* job_done() has it now */
}

void prom_lifecycle(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        bool quit = strcmp(request->path, "/-/quit") == 0;
        (void)rest;
        response->content_type = PLAIN_TYPE;
        if (!c->settings || !c->settings->web.lifecycle || !c->lifecycle) {
                response->status = 403;
                buf_put_str(&response->body,
                            "Lifecycle API is not enabled: set web.lifecycle: true in parallax.yaml.\n");
                return;
        }
        HttpHeld *held = http_hold(request);
        if (!held) {
                api_error(response, 503, "no memory");
                return;
        }
        c->lifecycle(c->run_job_context, quit, held);
}
