#include "forward/post.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Of an answer's body, of which one line is looked at. */
#define ANSWER_MAX ((size_t)64 << 10)
#define SLOTS (CHECKPOINT_SHARDS_MAX + 1)

typedef struct Slot {
        Poster *poster;
        uint32_t shard;
        HttpFetch *fetch; /* NULL: nothing is under way */
} Slot;

struct Poster {
        HttpFetcher *fetcher;
        const ForwardTargetConfig *config;
        char agent[96];
        void (*answer)(void *context, uint32_t shard, const SenderAnswer *answer);
        void *context;
        Slot slots[SLOTS];
};

static Slot *slot_of(Poster *p, uint32_t shard) {
        uint32_t i = shard == POST_METADATA ? SLOTS - 1 : shard;
        assert(i < SLOTS);
        return &p->slots[i];
}

int64_t post_retry_after(const char *text, WallTime now) {
        uint64_t seconds;
        struct tm date = { 0 };
        if (!text)
                return 0;
        if (span_u64((Span){ text, strlen(text) }, &seconds))
                return seconds < INT32_MAX ? (int64_t)seconds : INT32_MAX;
        const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date);
        if (!end || *end)
                return 0;
        int64_t left = (int64_t)timegm(&date) - now.ns / NS_PER_SEC;
        return left > 0 ? left : 0;
}

/* The first line of the body, which is the reason by convention. */
static void first_line(const Buf *body, char *out, size_t size) {
        size_t n = 0;
        for (; body->data && n < body->len && n + 1 < size && body->data[n] != '\n' && body->data[n] != '\r'; n++)
                out[n] = body->data[n];
        out[n] = '\0';
}

static bool tells_written(const HttpFetchResult *r) {
        return http_fetch_header(r, "X-Prometheus-Remote-Write-Samples-Written") ||
               http_fetch_header(r, "X-Prometheus-Remote-Write-Histograms-Written") ||
               http_fetch_header(r, "X-Prometheus-Remote-Write-Exemplars-Written");
}

static void on_done(void *context, HttpFetchResult *r) {
        Slot *s = context;
        Poster *p = s->poster;
        char line[160] = "";
        SenderAnswer a = { .error = r->error, .status = r->status, .why = r->why };
        s->fetch = NULL;
        if (r->error == -EFBIG) { /* there is an answer, only a long one */
                a.error = 0;
        } else if (r->error == 0) {
                first_line(r->body, line, sizeof line);
                a.why = line;
                a.retry_after_s = post_retry_after(http_fetch_header(r, "Retry-After"), wall_now());
                a.tells_written = tells_written(r);
        }
        p->answer(p->context, s->shard, &a);
}

int poster_post(void *poster, const SenderPost *post) {
        Poster *p = poster;
        Slot *s = slot_of(p, post->shard);
        char attempt[40];
        const char *headers[6];
        size_t n = 0;
        assert(!s->fetch);
        headers[n++] = p->agent;
        headers[n++] = "Content-Encoding: snappy";
        headers[n++] = post->version == RW_2
                               ? "Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request"
                               : "Content-Type: application/x-protobuf";
        headers[n++] = post->version == RW_2 ? "X-Prometheus-Remote-Write-Version: 2.0.0"
                                             : "X-Prometheus-Remote-Write-Version: 0.1.0";
        (void)snprintf(attempt, sizeof attempt, "Retry-Attempt: %u", post->tries);
        if (post->tries)
                headers[n++] = attempt;
        HttpFetchRequest r = {
                .url = p->config->url,
                .method = "POST",
                .options = &p->config->http,
                .headers = headers,
                .n_headers = n,
                .body = post->body->data,
                .body_len = post->body->len,
                .timeout = p->config->timeout,
                .body_limit = ANSWER_MAX,
        };
        return http_fetch(p->fetcher, &r, on_done, s, &s->fetch);
}

void poster_cancel(void *poster, uint32_t shard) {
        Slot *s = slot_of(poster, shard);
        s->fetch = http_fetch_cancel(s->fetch);
}

int poster_new(HttpFetcher *fetcher, const ForwardTargetConfig *config, const char *version,
               void (*answer)(void *context, uint32_t shard, const SenderAnswer *answer), void *context,
               Poster **ret_poster) {
        Poster *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        *p = (Poster){ .fetcher = fetcher, .config = config, .answer = answer, .context = context };
        (void)snprintf(p->agent, sizeof p->agent, "User-Agent: Parallax/%.64s", version);
        for (uint32_t i = 0; i < SLOTS; i++)
                p->slots[i] = (Slot){ .poster = p, .shard = i == SLOTS - 1 ? POST_METADATA : i };
        *ret_poster = p;
        return 0;
}

Poster *poster_free(Poster *p) {
        if (!p)
                return NULL;
        for (uint32_t i = 0; i < SLOTS; i++)
                p->slots[i].fetch = http_fetch_cancel(p->slots[i].fetch);
        free(p);
        return NULL;
}
