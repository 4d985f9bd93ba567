/* One target's scrapes: the timer that begins them, the fetch, and what becomes of the answer. */
#include "scrape/pool.h"

#include <inttypes.h>
#include <string.h>

#define TOLERANCE MILLISECONDS(2) /* as far as a scrape may be late and still take the time at which it was due */
#define ACCEPT_MAX 640

/* ---- when ---- */

/* How long until its next turn: the same moments of each interval for the same target on the same host. */
static Duration first_wait(const Target *t) {
        uint64_t interval = (uint64_t)t->interval.ns, now = (uint64_t)wall_now().ns;
        uint64_t base = interval - now % interval, offset = (t->hash ^ t->pool->scrape->seed) % interval,
                next = base + offset;
        return (Duration){ (int64_t)(next > interval ? next - interval : next) };
}

static void on_due(void *context);

static void arm(Target *t) {
        MonoTime now = mono_now();
        do
                t->due = mono_add(t->due, t->interval);
        while (t->due.ns <= now.ns);
        loop_timer_again(t->timer, mono_since(t->due, now), (Duration){ 0 });
}

int target_start(Target *t) {
        Duration wait = first_wait(t);
        t->due = mono_add(mono_now(), wait);
        t->due_wall = (WallTime){ (wall_now().ns + wait.ns) / NS_PER_MS * NS_PER_MS };
        return loop_timer(t->pool->scrape->loop, wait, (Duration){ 0 }, on_due, t, &t->timer);
}

/* ---- what comes of it ---- */

static void set_error(Target *t, const char *text) {
        free(t->error);
        t->error = text && *text ? strdup(text) : NULL;
}

/* `counts` of an answer that could be read; `why` is empty for a good one, which the reading holds. */
static void write_scrape(Target *t, const ReadingCounts *counts, const char *why, size_t body_bytes) {
        Scrape *s = t->pool->scrape;
        bool good = !*why;
        uint64_t ticket;
        t->last = (WallTime){ t->begun_ms * NS_PER_MS };
        int r = s->sink->begin(s->sink, "scrape");
        if (r < 0) {
                t->taken = mono_since(mono_now(), t->begun);
                t->health = TARGET_DOWN;
                set_error(t, "the store takes nothing now");
                return;
        }
        if (good)
                reading_write(s->reading, t, s->sink);
        else
                reading_end_series(s->reading, t, s->sink, t->begun_ms);
        t->taken = mono_since(mono_now(), t->begun);
        ScrapeReport report = {
                .up = good,
                .duration = duration_seconds(t->taken),
                .timeout = duration_seconds(t->timeout),
                .counts = *counts,
                .body_bytes = body_bytes,
                .sample_limit = t->pool->job->sample_limit,
                .extra = t->pool->job->extra_metrics,
        };
        reading_report(s->reading, t, s->sink, t->begun_ms, &report);
        if (s->sink->end(s->sink, &ticket) < 0 && good)
                why = "the store could not write it";
        t->health = *why ? TARGET_DOWN : TARGET_UP;
        set_error(t, why);
        s->scrapes++;
        s->failed += *why != '\0';
}

static void fail_scrape(Target *t, const char *why) {
        static const ReadingCounts NONE = { 0 };
        write_scrape(t, &NONE, why, 0);
}

static const char *status_text(int status) {
        static const struct {
                int status;
                const char *text;
        } TEXTS[] = { { 400, "Bad Request" },  { 401, "Unauthorized" },      { 403, "Forbidden" },
                      { 404, "Not Found" },    { 405, "Method Not Allowed" }, { 429, "Too Many Requests" },
                      { 500, "Internal Server Error" }, { 502, "Bad Gateway" }, { 503, "Service Unavailable" },
                      { 504, "Gateway Timeout" } };
        for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++)
                if (TEXTS[i].status == status)
                        return TEXTS[i].text;
        return "";
}

static void on_answer(void *context, HttpFetchResult *result) {
        Target *t = context;
        Scrape *s = t->pool->scrape;
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        ReadingCounts counts = { 0 };
        t->fetch = NULL;
        if (result->error == -EFBIG)
                buf_put_str(&why, "body size limit exceeded");
        else if (result->error)
                buf_put_str(&why, result->why);
        else if (result->status != 200)
                buf_printf(&why, "server returned HTTP status %d %s", result->status, status_text(result->status));
        size_t bytes = result->body->len;
        int r = why.len ? 0 :
                          reading_parse(s->reading, t->pool->job, t, result->content_type, result->body, t->begun_ms,
                                        &counts, &why);
        buf_deinit(result->body);
        if (r < 0 && !why.len)
                buf_put_str(&why, r == -ENOMEM ? "no memory" : "the answer cannot be read");
        write_scrape(t, &counts, buf_cstr(&why), bytes);
}

/* ---- asking ---- */

/* What we read, best first, as Prometheus says it. */
static void put_accept(const ScrapeJob *job, char out[ACCEPT_MAX]) {
        static const char *const TYPES[] = {
                [SCRAPE_PROTO] = "application/vnd.google.protobuf;"
                                 "proto=io.prometheus.client.MetricFamily;encoding=delimited",
                [SCRAPE_TEXT_0_0_4] = "text/plain;version=0.0.4",
                [SCRAPE_TEXT_1_0_0] = "text/plain;version=1.0.0;escaping=allow-utf-8",
                [SCRAPE_OPENMETRICS_0_0_1] = "application/openmetrics-text;version=0.0.1",
                [SCRAPE_OPENMETRICS_1_0_0] = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
        };
        int weight = SCRAPE_PROTOCOL_COUNT + 1;
        size_t n = (size_t)snprintf(out, ACCEPT_MAX, "Accept: ");
        for (size_t i = 0; i < job->n_protocols; i++, weight--)
                n += (size_t)snprintf(out + n, ACCEPT_MAX - n, "%s;q=0.%d,", TYPES[job->protocols[i]], weight);
        (void)snprintf(out + n, ACCEPT_MAX - n, "*/*;q=0.%d", weight);
}

static void begin_fetch(Target *t) {
        const ScrapeJob *job = t->pool->job;
        char accept[ACCEPT_MAX], timeout[64];
        const char *headers[] = { accept, timeout, "User-Agent: Parallax/" PARALLAX_VERSION };
        put_accept(job, accept);
        (void)snprintf(timeout, sizeof timeout, "X-Prometheus-Scrape-Timeout-Seconds: %g",
                       duration_seconds(t->timeout));
        HttpFetchRequest request = {
                .url = t->url,
                .options = &job->http,
                .headers = headers,
                .n_headers = ARRAY_LEN(headers),
                .timeout = t->timeout,
                .body_limit = job->body_limit,
                .identity = !job->enable_compression,
        };
        int r = http_fetch(t->pool->scrape->fetcher, &request, on_answer, t, &t->fetch);
        if (r < 0)
                fail_scrape(t, r == -EINVAL ? "the URL is not one" : "no memory");
}

/* Now, or the moment at which it was due, so that samples are an interval apart to the millisecond and pack well. */
static int64_t time_of_samples(Target *t) {
        int64_t now = wall_now().ns, interval = t->interval.ns;
        int64_t tolerance = TOLERANCE.ns < interval / 100 ? TOLERANCE.ns : interval / 100;
        int64_t behind = now - t->due_wall.ns;
        if (behind >= interval / 2)
                t->due_wall.ns += (behind + interval / 2) / interval * interval;
        int64_t off = now - t->due_wall.ns;
        return (off >= -tolerance && off <= tolerance ? t->due_wall.ns : now) / NS_PER_MS;
}

static void on_due(void *context) {
        Target *t = context;
        ScrapePool *p = t->pool;
        if (t->fetch) { /* at most as long as the interval, but perhaps by a hair */
                p->scrape->skipped++;
                arm(t);
                return;
        }
        t->begun = mono_now();
        t->begun_ms = time_of_samples(t);
        arm(t);
        if (p->over_limit) {
                char why[128];
                (void)snprintf(why, sizeof why, "target_limit exceeded (number of targets: %zu, limit: %" PRIu64 ")",
                               p->found,
                               p->job->target_limit);
                fail_scrape(t, why);
                return;
        }
        begin_fetch(t);
}

static void end_all_series(Target *t) {
        Scrape *s = t->pool->scrape;
        ScrapeReport ended = { .ended = true, .extra = t->pool->job->extra_metrics };
        int64_t now = wall_now().ns / NS_PER_MS;
        uint64_t ticket;
        if (!t->reported || s->sink->begin(s->sink, "scrape") < 0)
                return;
        /* Behind its last samples in any case. */
        now = now > t->last_ms ? now : t->last_ms + 1;
        reading_end_series(s->reading, t, s->sink, now);
        reading_report(s->reading, t, s->sink, now, &ended);
        (void)!s->sink->end(s->sink, &ticket);
}

void target_stop(Target *t, bool stale) {
        t->fetch = http_fetch_cancel(t->fetch);
        t->timer = loop_timer_stop(t->timer);
        if (stale)
                end_all_series(t);
}
