/* The store of a running parallaxd, for `parallax store`: what it consists of, its samples as text, and the operator's jobs, which are the
 * keeper's work and are answered when they are done. */
#include "api/resource.h"

#include "base/duration.h"
#include "store/catalog.h"
#include "store/export.h"

#include <assert.h>

#define MATCHERS_MAX 16u
#define EXPORT_MAX ((size_t)48 << 20)

static bool has_store(const ApiContext *c, HttpResponse *response) {
        if (!c->store)
                api_error(response, 404, "this parallaxd keeps no store");
        return c->store;
}

void api_store(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        (void)request, (void)rest;
        if (!has_store(c, response))
                return;
        response->content_type = JSON_TYPE;
        store_info_json(c->store, &response->body);
}

/* ---- Parameters ---- */

typedef struct Selection {
        Matcher matchers[MATCHERS_MAX];
        size_t n;
        int64_t begin_ms, end_ms;
} Selection;

static void selection_deinit(Selection *x) {
        for (size_t i = 0; i < x->n; i++)
                matcher_deinit(&x->matchers[i]);
}

static bool bad(HttpResponse *response, const char *what) {
        api_error(response, 400, what);
        return false;
}

static bool take_time(const HttpRequest *request, const char *name, int64_t fallback, int64_t *ret_ms) {
        const char *text = http_query(request, name);
        char *end = NULL;
        *ret_ms = fallback;
        if (!text || !*text)
                return true;
        errno = 0;
        long long v = strtoll(text, &end, 10);
        *ret_ms = v;
        return *end == '\0' && errno == 0;
}

/* match0, match1, ...: "label=value" and the other three operators; begin and end in ms: begin < t <= end. */
static bool take_selection(const HttpRequest *request, Selection *x, HttpResponse *response) {
        for (;; x->n++) {
                char name[16];
                (void)snprintf(name, sizeof name, "match%zu", x->n);
                const char *text = http_query(request, name);
                if (!text)
                        break;
                if (x->n == MATCHERS_MAX)
                        return bad(response, "more than 16 conditions");
                if (matcher_from_text(text, &x->matchers[x->n]) < 0)
                        return bad(response, "a condition is wrong: expected label=value, label!=value, label=~regex or label!~regex");
        }
        if (!take_time(request, "begin", INT64_MIN, &x->begin_ms) || !take_time(request, "end", INT64_MAX, &x->end_ms))
                return bad(response, "begin and end are milliseconds since 1970");
        return true;
}

static bool take_tier(const HttpRequest *request, StoreExport *x, HttpResponse *response) {
        static const char *const TIERS[] = { "raw", "5m", "1h" };
        static const char *const COLUMNS[] = { "count", "sum", "min", "max", "last", "increase" };
        const char *tier = http_query(request, "tier"), *column = http_query(request, "column");
        x->tier = STORE_TIER_COUNT;
        x->column = ROLLUP_COLUMN_COUNT;
        for (int i = 0; i < STORE_TIER_COUNT; i++)
                if (strcmp(tier ? tier : "raw", TIERS[i]) == 0)
                        x->tier = (StoreTier)i;
        for (int i = 0; i < ROLLUP_COLUMN_COUNT; i++)
                if (strcmp(column ? column : "last", COLUMNS[i]) == 0)
                        x->column = (RollupColumn)i;
        if (x->tier == STORE_TIER_COUNT)
                return bad(response, "tier is raw, 5m or 1h");
        return x->column < ROLLUP_COLUMN_COUNT || bad(response, "column is count, sum, min, max, last or increase");
}

static int emit(void *context, const char *text, size_t n) {
        HttpResponse *response = context;
        if (response->body.len + n > EXPORT_MAX)
                return -EFBIG;
        buf_put(&response->body, text, n);
        return buf_error(&response->body);
}

void api_export(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        CLEANUP(selection_deinit) Selection x = { 0 };
        StoreExport what = { 0 };
        (void)rest;
        if (!has_store(c, response) || !take_selection(request, &x, response) || !take_tier(request, &what, response))
                return;
        what.matchers = x.matchers;
        what.n_matchers = x.n;
        what.begin_ms = x.begin_ms;
        what.end_ms = x.end_ms;
        response->content_type = PLAIN_TYPE;
        int64_t r = store_export(c->store, &what, emit, response);
        if (r == -EFBIG)
                api_error(response, 413, "over 48 MiB of text: narrow the conditions or the time, or export from a snapshot");
        else if (r < 0)
                api_error(response, 500, strerror((int)-r));
}

/* ---- Jobs ---- */

typedef enum StoreJobKind { JOB_SNAPSHOT, JOB_DELETE, JOB_ROLLUP, JOB_VERIFY, JOB_COMPACT } StoreJobKind;

/* Owned by whoever works on it, in turn: the handler, the keeper's thread, the handler of its end. */
typedef struct StoreJob {
        StoreJobKind kind;
        HttpHeld *held;
        char path[1024];
        Buf texts; /* the matchers' */
        Selection selection;
} StoreJob;

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

static int job_run(Store *s, void *context) {
        StoreJob *j = context;
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
        }
        return -EINVAL;
}

static void job_done(void *context, int result) {
        CLEANUP(job_freep) StoreJob *j = context;
        HttpResponse response = { .status = 200, .content_type = JSON_TYPE };
        if (result < 0)
                api_error(&response, 500, strerror(-result));
        else if (j->kind == JOB_VERIFY)
                buf_printf(&response.body, "{\"damaged\":%d}\n", result);
        else
                buf_put_str(&response.body, "{}\n");
        j->held = http_held_answer(j->held, &response);
        buf_deinit(&response.body);
}

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
        static const char *const NAMES[] = { "snapshot", "delete", "rollup", "verify", "compact" };
        size_t kind = 0;
        while (kind < ARRAY_LEN(NAMES) && strcmp(rest, NAMES[kind]) != 0)
                kind++;
        if (kind == ARRAY_LEN(NAMES)) {
                api_error(response, 404, "snapshot, delete, rollup, verify or compact");
                return false;
        }
        j->kind = (StoreJobKind)kind;
        const char *path = http_query(request, "path");
        if (j->kind == JOB_SNAPSHOT && (!path || *path != '/' || strlen(path) >= sizeof j->path))
                return bad(response, "path is the absolute path of a directory to be made, on the store's file system");
        if (j->kind == JOB_SNAPSHOT)
                (void)snprintf(j->path, sizeof j->path, "%s", path);
        if (!take_selection(request, &j->selection, response))
                return false;
        if (j->kind == JOB_DELETE && j->selection.n == 0)
                return bad(response, "a deletion wants at least one condition");
        return true;
}

void api_store_job(ApiContext *c, const HttpRequest *request, const char *rest, HttpResponse *response) {
        CLEANUP(job_freep) StoreJob *j = calloc(1, sizeof *j);
        if (!has_store(c, response))
                return;
        if (!j || (job_take(j, request, rest, response) && own_texts(j) < 0)) {
                api_error(response, 503, "no memory");
                return;
        }
        if (response->status >= 400)
                return;
        j->held = http_hold(request);
        if (!j->held) {
                api_error(response, 503, "no memory");
                return;
        }
        int r = c->run_job(c->run_job_context, job_run, job_done, j);
        if (r < 0) {
                HttpResponse busy = { .status = 503 };
                api_error(&busy, 503, "another job is under way");
                j->held = http_held_answer(j->held, &busy);
                buf_deinit(&busy.body);
                return;
        }
        (void)TAKE_PTR(j); /* job_done() has it now */
}
