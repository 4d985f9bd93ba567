/* POST store/VERB makes a job, GET store/job tells what has become of it:
 *
 *   {"job":1767225601,"verb":"verify","state":"done","seconds":12.5,"damaged":0}
 *
 * state is waiting, running, done or failed (then with "error"). A job waits while the keeper finishes what it is at. */
#include "api/resource.h"

#include "base/number.h"

#include <assert.h>
#include <stdatomic.h>

#define JOBS_MAX 16u /* kept; one of them may be under way */

typedef enum JobKind { JOB_SNAPSHOT, JOB_DELETE, JOB_ROLLUP, JOB_VERIFY, JOB_COMPACT, JOB_KIND_COUNT } JobKind;
static const char *const VERBS[JOB_KIND_COUNT] = { "snapshot", "delete", "rollup", "verify", "compact" };

typedef struct StoreJob {
        uint64_t id;
        JobKind kind;
        atomic_bool started; /* by the keeper's thread */
        bool ended;
        int result;
        MonoTime made, end;
        char path[1024];
        Buf texts; /* the matchers' */
        Selection selection;
} StoreJob;

struct StoreJobs {
        uint64_t next_id;
        StoreJob *jobs[JOBS_MAX]; /* by id modulo JOBS_MAX */
};

int store_jobs_new(WallTime now, StoreJobs **ret_jobs) {
        StoreJobs *x = calloc(1, sizeof *x);
        if (!x)
                return -ENOMEM;
        x->next_id = now.ns > 0 ? (uint64_t)(now.ns / NS_PER_SEC) : 1;
        *ret_jobs = x;
        return 0;
}

static StoreJob *job_free(StoreJob *j) {
        if (!j)
                return NULL;
        selection_deinit(&j->selection);
        buf_deinit(&j->texts);
        free(j);
        return NULL;
}

static void job_freep(StoreJob **j) {
        *j = job_free(*j);
}

StoreJobs *store_jobs_free(StoreJobs *x) {
        for (size_t i = 0; x && i < JOBS_MAX; i++)
                (void)job_free(x->jobs[i]);
        free(x);
        return NULL;
}

/* ---- Running ---- */

/* Keeper's thread. */
static int job_run(Store *s, void *context) {
        StoreJob *j = context;
        j->started = true;
        switch (j->kind) {
        case JOB_SNAPSHOT:
                return store_snapshot(s, j->path);
        case JOB_DELETE:
                return store_delete(s, j->selection.matchers, j->selection.n, j->selection.begin_ms, j->selection.end_ms);
        case JOB_ROLLUP:
                return store_rollup_again(s);
        case JOB_VERIFY:
                return store_verify(s);
        case JOB_COMPACT:
                return store_flush(s, true);
        case JOB_KIND_COUNT:
                break;
        }
        return -EINVAL;
}

static void job_done(void *context, int result) {
        StoreJob *j = context;
        j->result = result;
        j->end = mono_now();
        j->ended = true;
}

/* ---- Taking ---- */

static void keep_text(Buf *texts, Span s) {
        buf_put(texts, s.text, s.len);
        buf_put_char(texts, '\0');
}

/* The matchers borrow from the request, which is gone when the job runs: they get texts of their own. */
static int own_texts(StoreJob *j) {
        for (size_t i = 0; i < j->selection.n; i++) {
                keep_text(&j->texts, j->selection.matchers[i].name);
                keep_text(&j->texts, j->selection.matchers[i].value);
        }
        if (buf_error(&j->texts))
                return -ENOMEM;
        const char *at = j->texts.data;
        for (size_t i = 0; i < j->selection.n; i++) {
                Matcher *m = &j->selection.matchers[i];
                m->name.text = at;
                at += m->name.len + 1;
                m->value.text = at;
                at += m->value.len + 1;
        }
        return 0;
}

static bool job_take(StoreJob *j, const HttpRequest *request, const char *rest, HttpResponse *response) {
        size_t kind = 0;
        while (kind < JOB_KIND_COUNT && strcmp(rest, VERBS[kind]) != 0)
                kind++;
        if (kind == JOB_KIND_COUNT) {
                api_error(response, 404, "snapshot, delete, rollup, verify or compact");
                return false;
        }
        j->kind = (JobKind)kind;
        const char *path = http_query(request, "path");
        if (j->kind == JOB_SNAPSHOT && (!path || *path != '/' || strlen(path) >= sizeof j->path))
                return api_bad(response, "path is the absolute path of a directory to be made, on the store's file system");
        if (j->kind == JOB_SNAPSHOT)
                (void)snprintf(j->path, sizeof j->path, "%s", path);
        if (!selection_take(request, &j->selection, response))
                return false;
        if (j->kind == JOB_DELETE && j->selection.n == 0)
                return api_bad(response, "a deletion wants at least one condition");
        return true;
}

static void put_job(const StoreJob *j, Buf *out) {
        bool failed = j->ended && j->result < 0;
        const char *state = failed ? "failed" : j->ended ? "done" : j->started ? "running" : "waiting";
        buf_printf(out, "{\"job\":%llu,\"verb\":\"%s\",\"state\":\"%s\"", (unsigned long long)j->id, VERBS[j->kind], state);
        json_field(out, "seconds", duration_seconds(mono_since(j->ended ? j->end : mono_now(), j->made)));
        if (failed)
                json_text(out, "error", strerror(-j->result));
        else if (j->ended && j->kind == JOB_VERIFY)
                json_field(out, "damaged", j->result);
        buf_put_char(out, '}');
}

/* Takes the place of the oldest that has ended. */
static void keep_job(StoreJobs *x, StoreJob *j) {
        StoreJob **place = &x->jobs[j->id % JOBS_MAX];
        assert(!*place || (*place)->ended);
        (void)job_free(*place);
        *place = j;
}

void api_store_job(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        CLEANUP(job_freep) StoreJob *j = calloc(1, sizeof *j);
        if (!api_has_store(c, response))
                return;
        if (!j) {
                api_error(response, 503, "no memory");
                return;
        }
        if (!job_take(j, request, rest, response))
                return;
        j->made = mono_now();
        j->id = c->jobs->next_id;
        int r = own_texts(j);
        if (r == 0)
                r = c->run_job(c->run_job_context, job_run, job_done, j);
        if (r < 0) {
                api_error(response, 503, r == -EBUSY ? "another job is under way" : strerror(-r));
                return;
        }
        c->jobs->next_id++;
        response->status = 202;
        response->content_type = JSON_TYPE;
        put_job(j, &response->body);
        buf_put_char(&response->body, '\n');
        keep_job(c->jobs, TAKE_PTR(j));
}

/* ---- Asking ---- */

static void put_all(const StoreJobs *x, Buf *out) {
        bool first = true;
        buf_put_char(out, '[');
        for (uint64_t id = x->next_id - JOBS_MAX; id != x->next_id; id++) {
                const StoreJob *j = x->jobs[id % JOBS_MAX];
                if (!j)
                        continue;
                if (!first)
                        buf_put_char(out, ',');
                first = false;
                put_job(j, out);
        }
        buf_put_char(out, ']');
}

/* One by its id, or all that are known, the oldest first. */
void api_store_job_status(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        const char *text = http_query(request, "id");
        uint64_t id = 0;
        (void)rest;
        if (!api_has_store(c, response))
                return;
        response->content_type = JSON_TYPE;
        if (!text) {
                put_all(c->jobs, &response->body);
        } else if (!span_u64((Span){ text, strlen(text) }, &id)) {
                (void)api_bad(response, "id is a number");
                return;
        } else {
                const StoreJob *j = c->jobs->jobs[id % JOBS_MAX];
                if (!j || j->id != id) {
                        api_error(response, 404, "no such job, or not any more: parallaxd was started anew, or many came after it");
                        return;
                }
                put_job(j, &response->body);
        }
        buf_put_char(&response->body, '\n');
}
