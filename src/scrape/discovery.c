#include "scrape/discovery.h"

#include <glob.h>
#include <string.h>
#include <strings.h>
#include <sys/inotify.h>

#define SETTLE MILLISECONDS(100) /* several events of one change are one */
#define FILES_MAX 1000u          /* of one source */
#define HTTP_TIMEOUT SECONDS(60)

/* What one file said; the last good. */
typedef struct SourceFile {
        char *path;
        TargetGroups groups;
        bool found;
} SourceFile;

struct Source {
        Discovery *discovery;
        Source *next;
        const FileDiscovery *files; /* one of both */
        const HttpDiscovery *http;
        SourceOps ops;
        void *context;
        SourceFile *read; /* an HTTP source has one at most */
        size_t n_read;
        LoopTimer *timer;
        HttpFetch *fetch;
        char *complaint; /* the last one; NULL: all is well */
};

struct Discovery {
        Loop *loop;
        HttpFetcher *fetcher;
        Source *first;
        int inotify;
        LoopFd *watch;
        LoopTimer *settle;
        DiscoveryStats stats;
};

/* ---- what was found ---- */

static void file_deinit(SourceFile *f) {
        free(f->path);
        target_groups_deinit(&f->groups);
}

static void complain(Source *s, const Buf *text) {
        const char *why = buf_cstr((Buf *)(uintptr_t)text);
        s->discovery->stats.failures++;
        if (s->complaint && strcmp(s->complaint, why) == 0)
                return;
        free(s->complaint);
        s->complaint = strdup(why);
        s->ops.complain(s->context, why);
}

static void content(Source *s) {
        free(s->complaint);
        s->complaint = NULL;
}

/* The entry of a path, made when it is not there; NULL without memory. */
static SourceFile *entry_of(Source *s, const char *path) {
        for (size_t i = 0; i < s->n_read; i++)
                if (strcmp(s->read[i].path, path) == 0)
                        return &s->read[i];
        SourceFile *read = s->n_read < FILES_MAX ? reallocarray(s->read, s->n_read + 1, sizeof *read) : NULL;
        if (!read)
                return NULL;
        s->read = read;
        read[s->n_read] = (SourceFile){ .path = strdup(path) };
        return read[s->n_read].path ? &read[s->n_read++] : NULL;
}

size_t source_n_groups(const Source *s) {
        return s->n_read;
}

const TargetGroups *source_groups(const Source *s, size_t i) {
        return &s->read[i].groups;
}

/* Takes over the new groups; whether they are other ones. */
static bool put_groups(SourceFile *f, TargetGroups *groups) {
        bool changed = !target_groups_equal(&f->groups, groups);
        TargetGroups old = f->groups;
        f->groups = *groups;
        *groups = old; /* freed by its owner */
        return changed;
}

/* ---- files ---- */

static bool read_file(Source *s, const char *path) {
        CLEANUP(target_groups_deinit) TargetGroups groups = TARGET_GROUPS_NULL;
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        SourceFile *f = entry_of(s, path);
        if (!f)
                return false;
        f->found = true;
        s->discovery->stats.refreshes++;
        int r = target_groups_read_file(path, &groups, &why);
        if (r == 0)
                r = target_groups_label(&groups, "__meta_filepath", path);
        if (r < 0) {
                if (!why.len)
                        buf_printf(&why, "%s: no memory", path);
                complain(s, &why);
                return false;
        }
        content(s);
        return put_groups(f, &groups);
}

/* Files that the patterns name no more are gone, and their targets with them. */
static bool forget_lost(Source *s) {
        size_t kept = 0;
        for (size_t i = 0; i < s->n_read; i++)
                if (s->read[i].found)
                        s->read[kept++] = s->read[i];
                else
                        file_deinit(&s->read[i]);
        bool changed = kept < s->n_read;
        s->n_read = kept;
        return changed;
}

static bool read_files(Source *s) {
        bool changed = false;
        for (size_t i = 0; i < s->n_read; i++)
                s->read[i].found = false;
        for (size_t i = 0; i < s->files->files.n; i++) {
                glob_t found = { 0 };
                if (glob(s->files->files.texts[i], 0, NULL, &found) == 0)
                        for (size_t k = 0; k < found.gl_pathc; k++)
                                changed = read_file(s, found.gl_pathv[k]) || changed;
                globfree(&found);
        }
        return forget_lost(s) || changed;
}

/* The folders of the patterns; one that is not there yet is tried again at every refresh. */
static void watch_folders(const Source *s) {
        for (size_t i = 0; s->discovery->inotify >= 0 && i < s->files->files.n; i++) {
                const char *pattern = s->files->files.texts[i], *slash = strrchr(pattern, '/');
                CLEANUP_FREE char *folder = slash ? strndup(pattern, slash == pattern ? 1 : (size_t)(slash - pattern))
                        : strdup(".");
                if (folder)
                        (void)inotify_add_watch(s->discovery->inotify, folder,
                                                IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR);
        }
}

static void refresh_files(void *context) {
        Source *s = context;
        watch_folders(s);
        if (read_files(s))
                s->ops.changed(s->context);
}

static void on_settled(void *context) {
        Discovery *d = context;
        for (Source *s = d->first; s; s = s->next)
                if (s->files)
                        refresh_files(s);
}

static void on_event(void *context, int events) {
        Discovery *d = context;
        char bytes[4096];
        (void)events;
        while (read(d->inotify, bytes, sizeof bytes) > 0)
                ;
        loop_timer_again(d->settle, SETTLE, (Duration){ 0 });
}

/* ---- HTTP ---- */

static bool is_json(const char *type) {
        static const char JSON[] = "application/json";
        size_t n = sizeof JSON - 1;
        return strncasecmp(type, JSON, n) == 0 && (!type[n] || type[n] == ';' || type[n] == ' ');
}

static int read_answer(const Source *s, const HttpFetchResult *result, TargetGroups *ret_groups, Buf *why) {
        buf_printf(why, "%s: ", s->http->url);
        if (result->error)
                buf_put_str(why, result->why);
        else if (result->status != 200)
                buf_printf(why, "server returned HTTP status %d", result->status);
        else if (!is_json(result->content_type))
                buf_printf(why, "the Content-Type is \"%.60s\", expected application/json", result->content_type);
        else
                return target_groups_parse_json(result->body->data, result->body->len, ret_groups, why);
        return -EINVAL;
}

static void on_answer(void *context, HttpFetchResult *result) {
        Source *s = context;
        CLEANUP(target_groups_deinit) TargetGroups groups = TARGET_GROUPS_NULL;
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        SourceFile *f = entry_of(s, s->http->url);
        s->fetch = NULL;
        s->discovery->stats.refreshes++;
        int r = read_answer(s, result, &groups, &why);
        if (r == 0)
                r = target_groups_label(&groups, "__meta_url", s->http->url);
        if (r < 0 || !f) {
                complain(s, &why);
                return;
        }
        content(s);
        if (put_groups(f, &groups))
                s->ops.changed(s->context);
}

static void refresh_http(void *context) {
        Source *s = context;
        char interval[64];
        const char *headers[] = { "Accept: application/json", "User-Agent: Parallax/" PARALLAX_VERSION, interval };
        if (s->fetch)
                return;
        (void)snprintf(interval, sizeof interval, "X-Prometheus-Refresh-Interval-Seconds: %g",
                       duration_seconds(s->http->refresh));
        HttpFetchRequest request = {
                .url = s->http->url,
                .options = &s->http->http,
                .headers = headers,
                .n_headers = ARRAY_LEN(headers),
                .timeout = HTTP_TIMEOUT,
                .body_limit = GROUPS_TEXT_MAX,
        };
        int r = http_fetch(s->discovery->fetcher, &request, on_answer, s, &s->fetch);
        if (r < 0) {
                CLEANUP(buf_deinit) Buf why = BUF_NULL;
                buf_printf(&why, "%s: %s", s->http->url, strerror(-r));
                complain(s, &why);
        }
}

/* ---- sources ---- */

static void source_freep(Source **s) {
        *s = source_free(*s);
}

static int source_new(Discovery *d, const SourceOps *ops, void *context, Source **ret_source) {
        Source *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        *s = (Source){ .discovery = d, .next = d->first, .ops = *ops, .context = context };
        d->first = s;
        *ret_source = s;
        return 0;
}

int source_new_files(Discovery *d, const FileDiscovery *files, const SourceOps *ops, void *context,
                     Source **ret_source) {
        CLEANUP(source_freep) Source *s = NULL;
        int r = source_new(d, ops, context, &s);
        if (r < 0)
                return r;
        s->files = files;
        r = loop_timer(d->loop, files->refresh, files->refresh, refresh_files, s, &s->timer);
        if (r < 0)
                return r;
        watch_folders(s); /* before reading, so that nothing is missed between */
        (void)read_files(s);
        *ret_source = TAKE_PTR(s);
        return 0;
}

int source_new_http(Discovery *d, const HttpDiscovery *http, const SourceOps *ops, void *context, Source **ret_source) {
        CLEANUP(source_freep) Source *s = NULL;
        int r = source_new(d, ops, context, &s);
        if (r < 0)
                return r;
        s->http = http;
        r = loop_timer(d->loop, (Duration){ 0 }, http->refresh, refresh_http, s, &s->timer);
        if (r < 0)
                return r;
        *ret_source = TAKE_PTR(s);
        return 0;
}

Source *source_free(Source *s) {
        if (!s)
                return NULL;
        Source **at = &s->discovery->first;
        while (*at != s)
                at = &(*at)->next;
        *at = s->next;
        s->timer = loop_timer_stop(s->timer);
        s->fetch = http_fetch_cancel(s->fetch);
        for (size_t i = 0; i < s->n_read; i++)
                file_deinit(&s->read[i]);
        free(s->read);
        free(s->complaint);
        free(s);
        return NULL;
}

static bool same_texts(const YamlTexts *a, const YamlTexts *b) {
        bool same = a->n == b->n;
        for (size_t i = 0; same && i < a->n; i++)
                same = strcmp(a->texts[i], b->texts[i]) == 0;
        return same;
}

bool source_alike(const Source *a, const Source *b) {
        if (a->http && b->http)
                return strcmp(a->http->url, b->http->url) == 0;
        return a->files && b->files && same_texts(&a->files->files, &b->files->files);
}

void source_take_over(Source *s, Source *old) {
        for (size_t i = 0; i < old->n_read; i++) {
                SourceFile *from = &old->read[i];
                SourceFile *to = s->http || s->complaint ? entry_of(s, from->path) : NULL;
                if (to && to->groups.n == 0)
                        (void)put_groups(to, &from->groups);
        }
}

/* ---- the watch ---- */

int discovery_new(Loop *loop, HttpFetcher *fetcher, Discovery **ret_discovery) {
        Discovery *d = calloc(1, sizeof *d);
        if (!d)
                return -ENOMEM;
        *d = (Discovery){ .loop = loop, .fetcher = fetcher, .inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC) };
        int r = loop_timer(loop, SECONDS(86400), (Duration){ 0 }, on_settled, d, &d->settle);
        if (r == 0 && d->inotify >= 0)
                r = loop_fd(loop, d->inotify, LOOP_READ, on_event, d, &d->watch);
        if (r < 0) {
                (void)discovery_free(d);
                return r;
        }
        *ret_discovery = d;
        return 0;
}

Discovery *discovery_free(Discovery *d) {
        if (!d)
                return NULL;
        d->watch = loop_fd_stop(d->watch);
        d->settle = loop_timer_stop(d->settle);
        CLEANUP_FD int fd = d->inotify;
        (void)fd;
        free(d);
        return NULL;
}

const DiscoveryStats *discovery_stats(const Discovery *d) {
        return &d->stats;
}
