/* Jobs. One begins on the loop's thread, which copies what it needs of the request, works on a thread of the pool, and
 * ends on the loop's thread, which sends the answer. */
#include "api/prom.h"

#include "base/number.h"
#include "rt/lock.h"

#include <assert.h>

#define COMPRESS_FROM 1024u
#define PARAMS_MEMORY ((size_t)16 << 20)
/* After its time a query still ends, writes and compresses. */
#define GRACE SECONDS(30)

struct ApiQueries {
        Store *store;
        Pool *pool;
        ApiQuerySettings settings;
        uint8_t *external; /* what the settings point to */
        PromJob *jobs;
        ApiQueryStats stats;
};

void api_query_settings_default(ApiQuerySettings *s) {
        *s = (ApiQuerySettings){
                .max_answer = (size_t)64 << 20,
                .lookback = SECONDS(300),
                .concurrency = 4,
                .concurrency_source = 2,
                .queue = 64,
                .queue_source = 32,
        };
        query_limits_default(&s->limits);
}

int api_queries_configure(ApiQueries *q, const ApiQuerySettings *s) {
        CLEANUP_FREE uint8_t *external = malloc(s->external_len + 1);
        if (!external)
                return -ENOMEM;
        if (s->external_len)
                memcpy(external, s->external, s->external_len);
        free(q->external);
        q->settings = *s;
        q->settings.external = q->external = TAKE_PTR(external);
        return 0;
}

int api_queries_new(Loop *loop, Store *store, const ApiQuerySettings *s, ApiQueries **ret_queries) {
        PoolOptions o = {
                .name = "query",
                .nice = 10, /* samples are taken as fast as before, whatever is asked */
                .threads = s->concurrency,
                .max_waiting = s->queue,
                .max_waiting_source = s->queue_source,
                .max_running_source = s->concurrency_source,
        };
        ApiQueries *q = calloc(1, sizeof *q);
        if (!q)
                return -ENOMEM;
        q->store = store;
        int r = api_queries_configure(q, s);
        if (r == 0)
                r = pool_new(loop, &o, &q->pool);
        if (r == 0)
                *ret_queries = q;
        else
                (void)api_queries_free(q);
        return r;
}

ApiQueries *api_queries_free(ApiQueries *q) {
        if (!q)
                return NULL;
        for (PromJob *j = q->jobs; j; j = j->next)
                atomic_store(&j->cancelled, true);
        q->pool = pool_free(q->pool);
        assert(!q->jobs);
        free(q->external);
        free(q);
        return NULL;
}

void api_queries_stats(ApiQueries *q, ApiQueryStats *ret_stats) {
        *ret_stats = q->stats;
        pool_stats(q->pool, &ret_stats->pool);
}

/* ---- A job ---- */

static PromJob *job_free(PromJob *j) {
        if (!j)
                return NULL;
        if (j->link) {
                *j->link = j->next;
                if (j->next)
                        j->next->link = j->link;
        }
        buf_deinit(&j->response.body);
        arena_deinit(&j->arena);
        free(j);
        return NULL;
}

static void job_freep(PromJob **j) {
        *j = job_free(*j);
}

Duration prom_time_left(const PromJob *j) {
        return (Duration){ j->settings.limits.timeout.ns - mono_since(mono_now(), j->arrived).ns };
}

int prom_interrupted(const PromJob *j) {
        return atomic_load(&j->cancelled) ? -ECANCELED : prom_time_left(j).ns <= 0 ? -ETIMEDOUT : 0;
}

/* On a thread of the pool. */
static void job_work(void *context) {
        PromJob *j = context;
        MonoTime begin = mono_now();
        if (prom_time_left(j).ns <= 0)
                prom_error(&j->response, PROM_TIMEOUT, "query timed out in query queue");
        else if (!atomic_load(&j->cancelled))
                j->work(j);
        HttpResponse *r = &j->response;
        if (buf_error(&r->body) == -EFBIG)
                prom_error(r, PROM_EXECUTION,
                           "the answer is longer than query.max_answer allows (%zu bytes): ask for fewer series, a "
                           "shorter time or a longer step",
                           j->settings.max_answer);
        else if (buf_error(&r->body) < 0)
                prom_error(r, PROM_UNAVAILABLE, "no memory for the answer");
        if (!r->final && j->coding != HTTP_IDENTITY && r->body.len > COMPRESS_FROM &&
            http_coding_apply(j->coding, &r->body))
                r->coding = j->coding;
        r->final = true;
        j->busy = mono_since(mono_now(), begin);
}

static void count(ApiQueryStats *s, const PromJob *j) {
        s->busy.ns += j->busy.ns;
        s->samples += j->samples;
        s->cancelled += atomic_load(&j->cancelled);
        s->timeouts += j->response.status == 503;
        s->limited += j->response.status == 422;
}

/* Back on the loop's thread; without having worked when the pool ends. */
static void job_done(void *context) {
        CLEANUP(job_freep) PromJob *j = context;
        count(&j->queries->stats, j);
        if (j->response.body.len == 0 && j->response.status == 0)
                prom_error(&j->response, PROM_CANCELED, "query was canceled");
        j->held = http_held_answer(j->held, &j->response);
}

static void job_gone(void *context) {
        PromJob *j = context;
        atomic_store(&j->cancelled, true);
}

/* ---- Its beginning ---- */

static const char *copy_text(Arena *a, const char *text) {
        return arena_copy(a, text, strlen(text));
}

static void copy_params(PromJob *j, const HttpRequest *request) {
        HttpParam *params = ARENA_ARRAY(&j->arena, HttpParam, request->n_params + 1);
        for (size_t i = 0; params && i < request->n_params; i++)
                params[i] = (HttpParam){ copy_text(&j->arena, request->params[i].name),
                                         copy_text(&j->arena, request->params[i].value) };
        j->params = params;
        j->n_params = request->n_params;
}

static int job_new(ApiContext *c, const HttpRequest *request, const char *rest, PromWork work, PromJob **ret_job) {
        ApiQueries *q = c->queries;
        CLEANUP(job_freep) PromJob *j = calloc(1, sizeof *j);
        if (!j)
                return -ENOMEM;
        j->queries = q;
        j->store = q->store;
        j->pool = q->pool;
        j->work = work;
        j->settings = q->settings;
        j->now = c->wall ? c->wall() : wall_now();
        j->arrived = mono_now();
        j->coding = http_coding_accepted(http_header(request, "Accept-Encoding"));
        j->accepts_utf8 = strstr(request->accept ? request->accept : "", "escaping=allow-utf-8");
        j->budget = ARENA_BUDGET(q->settings.limits.max_memory + PARAMS_MEMORY);
        j->arena = ARENA(&j->budget);
        j->response = (HttpResponse){ .body = BUF_WITH_LIMIT(q->settings.max_answer), .cors = true };
        copy_params(j, request);
        j->rest = (Span){ copy_text(&j->arena, rest), strlen(rest) };
        if (request->n_params == 0 && request->body_len > 0) {
                j->body = (const uint8_t *)arena_copy(&j->arena, request->body, request->body_len);
                j->body_len = request->body_len;
        }
        j->settings.external = (const uint8_t *)arena_copy(&j->arena, q->settings.external, q->settings.external_len);
        if (j->arena.error)
                return -ENOMEM;
        *ret_job = TAKE_PTR(j);
        return 0;
}

/* The client's own `timeout`, which the limit caps. */
static bool take_timeout(PromJob *j) {
        const char *text = prom_param(j, "timeout");
        Duration d;
        if (!*text)
                return true;
        if (!prom_parse_duration(text, &d)) {
                prom_error(&j->response, PROM_BAD_DATA,
                           "invalid parameter \"timeout\": cannot parse \"%s\" to a valid duration", text);
                return false;
        }
        if (d.ns < j->settings.limits.timeout.ns)
                j->settings.limits.timeout = d;
        return true;
}

static void begin_waiting(PromJob *j) {
        ApiQueries *q = j->queries;
        http_held_watch(j->held, (Duration){ j->settings.limits.timeout.ns + GRACE.ns }, job_gone, j);
        j->next = q->jobs;
        j->link = &q->jobs;
        if (j->next)
                j->next->link = &j->next;
        q->jobs = j;
}

static void refuse(HttpResponse *response, int r, const ApiQuerySettings *s) {
        if (r == -EBUSY)
                prom_error(response, PROM_UNAVAILABLE,
                           "too many queries wait: query.queue is %u, query.queue_per_source %u", s->queue,
                           s->queue_source);
        else
                prom_error(response, PROM_UNAVAILABLE, "no memory for the query");
        http_add_number(response, "Retry-After", 1);
}

void prom_start(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response, PromWork work) {
        CLEANUP(job_freep) PromJob *j = NULL;
        response->cors = true;
        if (!c->queries) {
                prom_error(response, PROM_NOT_FOUND, "this parallaxd keeps no store");
                return;
        }
        int r = job_new(c, request, rest, work, &j);
        if (r == 0 && !take_timeout(j)) {
                HttpResponse answer = j->response;
                j->response = *response;
                *response = answer;
                return;
        }
        if (r == 0)
                j->held = http_hold(request);
        if (r < 0 || !j->held) {
                refuse(response, -ENOMEM, &c->queries->settings);
                return;
        }
        begin_waiting(j);
        r = pool_submit(c->queries->pool, request->peer ? request->peer : "", job_work, job_done, j);
        if (r < 0) {
                refuse(&j->response, r, &j->settings);
                j->held = http_held_answer(j->held, &j->response);
                return;
        }
        (void)TAKE_PTR(j); /* job_done() has it now */
}
