/* libcurl tells by callbacks which descriptors it waits for and when it wants to be called; those become watches and
 * one timer of the loop. What is finished is handed out after libcurl has returned, so that a callback may begin and
 * cancel fetches. */
#include "net/http_fetch.h"

#include <assert.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <string.h>

#define REDIRECTS_MAX 10L
#define IDLE_MAX 300L /* seconds that a connection is kept for the next request */

struct HttpFetch {
        HttpFetcher *fetcher;
        HttpFetch *previous, *next;
        CURL *easy;
        struct curl_slist *headers, *connect_to;
        const HttpFetchOptions *options;
        HttpFetchDone done;
        void *context;
        Buf body;
        size_t counted; /* of the body, in bytes_held */
        bool no_body, refused;
        Duration timeout;
        MonoTime begun;
        Buf why; /* what was wrong before libcurl began */
        char detail[CURL_ERROR_SIZE];
};

/* One descriptor of libcurl's. */
typedef struct FetchSocket {
        HttpFetcher *fetcher;
        LoopFd *watch;
        int fd;
} FetchSocket;

struct HttpFetcher {
        Loop *loop;
        CURLM *multi;
        LoopTimer *timer, *refused; /* refused: requests that end before they begin */
        HttpFetch *first;
        HttpFetcherStats stats;
};

static const HttpFetchOptions DEFAULTS = { .follow_redirects = true, .enable_http2 = true };

/* ---- options ---- */

#define TEXT_COUNT 14
static void option_texts(const HttpFetchOptions *o, char *const *ret_texts[TEXT_COUNT]) {
        char *const *const texts[] =
                { &o->username, &o->username_file, &o->password, &o->password_file, &o->auth_type, &o->credentials,
                                       &o->credentials_file, &o->ca_file, &o->cert_file, &o->key_file, &o->server_name,
                                               &o->min_version,
                                       &o->max_version, &o->proxy_url };
        static_assert(ARRAY_LEN(texts) == TEXT_COUNT, "all texts");
        memcpy(ret_texts, texts, sizeof texts);
}

void http_fetch_options_deinit(HttpFetchOptions *o) {
        char *const *texts[TEXT_COUNT];
        option_texts(o, texts);
        for (size_t i = 0; i < TEXT_COUNT; i++)
                free(*texts[i]);
        free(o->no_proxy);
        for (size_t i = 0; i < o->n_headers; i++)
                free(o->headers[i]);
        free(o->headers);
        *o = (HttpFetchOptions){ 0 };
}

static bool text_equal(const char *a, const char *b) {
        return a == b || (a && b && strcmp(a, b) == 0);
}

int http_fetch_options_header(HttpFetchOptions *o, const char *name, const char *value) {
        char **headers = reallocarray(o->headers, o->n_headers + 1, sizeof *headers);
        if (!headers)
                return -ENOMEM;
        o->headers = headers;
        if (asprintf(&headers[o->n_headers], "%s: %s", name, value) < 0)
                return -ENOMEM;
        o->n_headers++;
        return 0;
}

bool http_fetch_options_equal(const HttpFetchOptions *a, const HttpFetchOptions *b) {
        char *const *x[TEXT_COUNT], *const *y[TEXT_COUNT];
        option_texts(a, x);
        option_texts(b, y);
        bool same = a->n_headers == b->n_headers && text_equal(a->no_proxy, b->no_proxy) &&
                    a->insecure_skip_verify == b->insecure_skip_verify && a->follow_redirects == b->follow_redirects &&
                    a->enable_http2 == b->enable_http2;
        for (size_t i = 0; same && i < TEXT_COUNT; i++)
                same = text_equal(*x[i], *y[i]);
        for (size_t i = 0; same && i < a->n_headers; i++)
                same = strcmp(a->headers[i], b->headers[i]) == 0;
        return same;
}

/* ---- one fetch ---- */

static HttpFetch *fetch_free(HttpFetch *f) {
        if (!f)
                return NULL;
        if (f->fetcher)
                f->fetcher->stats.bytes_held -= f->counted;
        curl_easy_cleanup(f->easy);
        curl_slist_free_all(f->headers);
        curl_slist_free_all(f->connect_to);
        buf_deinit(&f->body);
        buf_deinit(&f->why);
        free(f);
        return NULL;
}

static void fetch_freep(HttpFetch **f) {
        *f = fetch_free(*f);
}

static void link_fetch(HttpFetcher *owner, HttpFetch *f) {
        f->next = owner->first;
        if (owner->first)
                owner->first->previous = f;
        owner->first = f;
        owner->stats.under_way++;
}

static void unlink_fetch(HttpFetch *f) {
        HttpFetcher *owner = f->fetcher;
        if (f->previous)
                f->previous->next = f->next;
        else
                owner->first = f->next;
        if (f->next)
                f->next->previous = f->previous;
        owner->stats.under_way--;
        if (!f->refused)
                (void)curl_multi_remove_handle(owner->multi, f->easy);
}

HttpFetch *http_fetch_cancel(HttpFetch *f) {
        if (f) {
                unlink_fetch(f);
                (void)fetch_free(f);
        }
        return NULL;
}

/* Less than was given ends the transfer. */
static size_t on_body(char *bytes, size_t size, size_t n, void *context) {
        HttpFetch *f = context;
        size_t len = size * n, counted = f->counted + len;
        HttpFetcherStats *stats = &f->fetcher->stats;
        if (counted > f->body.limit)
                f->body.error = -EFBIG;
        else if (!f->no_body && stats->bytes_held + len > HTTP_FETCH_BYTES)
                f->body.error = -ENOBUFS;
        else if (!f->no_body)
                buf_put(&f->body, bytes, len);
        if (f->body.error)
                return 0;
        f->counted = counted;
        stats->bytes_held += len;
        stats->bytes += len;
        return len;
}

/* ---- what can be wrong ---- */

static int error_of(HttpFetch *f, CURLcode code) {
        long system = 0;
        switch (code) {
        case CURLE_OK: return 0;
        case CURLE_COULDNT_CONNECT:
                (void)curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &system);
                return system > 0 ? (int)-system : -ECONNREFUSED;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY: return -ENXIO;
        case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
        case CURLE_WRITE_ERROR: return f->body.error ? f->body.error : -EIO;
        case CURLE_FILESIZE_EXCEEDED: return -EFBIG;
        case CURLE_OUT_OF_MEMORY: return -ENOMEM;
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_ISSUER_ERROR: return -EKEYREJECTED;
        case CURLE_TOO_MANY_REDIRECTS: return -ELOOP;
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_GOT_NOTHING:
        case CURLE_PARTIAL_FILE:
        case CURLE_BAD_CONTENT_ENCODING:
        case CURLE_RECV_ERROR:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM: return -EPROTO;
        default: return -EIO;
        }
}

static const char *system_text(int error) {
        const char *text = strerrordesc_np(-error);
        return text ? text : "failed";
}

static void put_error(HttpFetch *f, int error, CURLcode code) {
        Buf *b = &f->why;
        const char *detail = f->detail[0] ? f->detail : curl_easy_strerror(code);
        if (b->len)
                return;
        switch (error) {
        case -ETIMEDOUT: buf_printf(b, "no answer within %g s", duration_seconds(f->timeout)); break;
        case -EFBIG: buf_printf(b, "the body is over its limit of %zu bytes", f->body.limit); break;
        case -ENOBUFS: buf_put_str(b, "too many bytes of bodies are being read at once"); break;
        case -ENOMEM: buf_put_str(b, "no memory"); break;
        case -ELOOP: buf_printf(b, "more than %ld redirects", REDIRECTS_MAX); break;
        default:
                if (code == CURLE_COULDNT_CONNECT)
                        buf_printf(b, "cannot connect: %s", system_text(error));
                else
                        buf_put_str(b, detail);
        }
}

/* Calls back and ends the fetch. */
static void finish(HttpFetch *f, int error, CURLcode code) {
        HttpFetcher *owner = f->fetcher;
        HttpFetchResult result = { .error = error, .why = "", .content_type = "", .body = &f->body, .easy = f->easy };
        const char *type = NULL;
        long status = 0, connections = 0;
        result.taken = mono_since(mono_now(), f->begun);
        unlink_fetch(f);
        (void)curl_easy_getinfo(f->easy, CURLINFO_NUM_CONNECTS, &connections);
        owner->stats.connections += (uint64_t)connections;
        owner->stats.failed += error != 0;
        if (error) {
                put_error(f, error, code);
                result.why = buf_cstr(&f->why);
        } else if (curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK) {
                (void)curl_easy_getinfo(f->easy, CURLINFO_CONTENT_TYPE, &type);
                result.content_type = type ? type : "";
        }
        result.status = (int)status;
        f->done(f->context, &result);
        (void)fetch_free(f);
}

const char *http_fetch_header(const HttpFetchResult *r, const char *name) {
        struct curl_header *h = NULL;
        CURL *easy = (CURL *)(uintptr_t)r->easy;
        if (r->error || curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) != CURLHE_OK)
                return NULL;
        return h->value;
}

/* ---- libcurl and the loop ---- */

static void hand_out(HttpFetcher *m) {
        CURLMsg *message;
        int left;
        while ((message = curl_multi_info_read(m->multi, &left))) {
                HttpFetch *f = NULL;
                CURLcode code = message->data.result;
                if (message->msg != CURLMSG_DONE)
                        continue;
                (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&f);
                finish(f, error_of(f, code), code);
        }
}

static void on_socket_ready(void *context, int events) {
        FetchSocket *s = context;
        HttpFetcher *m = s->fetcher;
        int running, mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
        (void)curl_multi_socket_action(m->multi, s->fd, mask, &running); /* `s` may be gone behind this */
        hand_out(m);
}

static void on_timeout(void *context) {
        HttpFetcher *m = context;
        int running;
        (void)curl_multi_socket_action(m->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        hand_out(m);
}

static int on_timer_wanted(CURLM *multi, long ms, void *context) {
        HttpFetcher *m = context;
        (void)multi;
        /* One that is not wanted any more may come once a day: it does no harm. */
        loop_timer_again(m->timer, ms < 0 ? SECONDS(86400) : MILLISECONDS(ms), (Duration){ 0 });
        return 0;
}

static void socket_free(HttpFetcher *m, curl_socket_t fd, FetchSocket *s) {
        if (!s)
                return;
        s->watch = loop_fd_stop(s->watch);
        free(s);
        (void)curl_multi_assign(m->multi, fd, NULL);
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_context) {
        HttpFetcher *m = context;
        FetchSocket *s = socket_context;
        (void)easy;
        if (what == CURL_POLL_REMOVE) {
                socket_free(m, fd, s);
                return 0;
        }
        int events = (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);
        if (s)
                return loop_fd_events(s->watch, events) < 0 ? -1 : 0;
        s = calloc(1, sizeof *s);
        if (!s)
                return -1;
        *s = (FetchSocket){ .fetcher = m, .fd = fd };
        if (loop_fd(m->loop, fd, events, on_socket_ready, s, &s->watch) < 0) {
                free(s);
                return -1;
        }
        (void)curl_multi_assign(m->multi, fd, s);
        return 0;
}

/* ---- the fetcher ---- */

/* Requests that were refused before libcurl saw them end here, from the loop as the others. */
static void on_refused(void *context) {
        HttpFetcher *m = context;
        bool found = true;
        while (found) {
                found = false;
                for (HttpFetch *f = m->first; f && !found; f = f->next)
                        if (f->refused) {
                                found = true;
                                finish(f, -EKEYREJECTED, CURLE_OK);
                                break;
                        }
        }
}

static void fetcher_freep(HttpFetcher **f) {
        *f = http_fetcher_free(*f);
}

HttpFetcher *http_fetcher_free(HttpFetcher *m) {
        if (!m)
                return NULL;
        while (m->first)
                (void)http_fetch_cancel(m->first);
        if (m->multi)
                (void)curl_multi_cleanup(m->multi);
        m->timer = loop_timer_stop(m->timer);
        m->refused = loop_timer_stop(m->refused);
        curl_global_cleanup();
        free(m);
        return NULL;
}

int http_fetcher_new(Loop *loop, HttpFetcher **ret_fetcher) {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) /* counted, and safe in any thread */
                return -ENOMEM;
        HttpFetcher *memory = calloc(1, sizeof *memory);
        if (!memory) {
                curl_global_cleanup();
                return -ENOMEM;
        }
        CLEANUP(fetcher_freep) HttpFetcher *m = memory;
        m->loop = loop;
        m->multi = curl_multi_init();
        if (!m->multi)
                return -ENOMEM;
        int r = loop_timer(loop, SECONDS(86400), (Duration){ 0 }, on_timeout, m, &m->timer);
        if (r == 0)
                r = loop_timer(loop, SECONDS(86400), SECONDS(86400), on_refused, m, &m->refused);
        if (r < 0)
                return r;
        (void)curl_multi_setopt(m->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
        (void)curl_multi_setopt(m->multi, CURLMOPT_SOCKETDATA, m);
        (void)curl_multi_setopt(m->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
        (void)curl_multi_setopt(m->multi, CURLMOPT_TIMERDATA, m);
        (void)curl_multi_setopt(m->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_FETCH_CONNECTIONS);
        *ret_fetcher = TAKE_PTR(m);
        return 0;
}

const HttpFetcherStats *http_fetcher_stats(const HttpFetcher *f) {
        return &f->stats;
}

/* ---- a request ---- */

static bool is_http_url(const char *url) {
        bool scheme = strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
        for (const char *c = url; *c; c++)
                if ((unsigned char)*c <= ' ' || *c == 0x7f)
                        return false;
        return scheme;
}

static bool is_https(const char *url) {
        return strncasecmp(url, "https:", 6) == 0;
}

static bool has_control(const char *text) {
        for (const char *c = text; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        return true;
        return false;
}

static int add_header(HttpFetch *f, const char *header) {
        if (has_control(header) || !strpbrk(header, ":;"))
                return -EINVAL;
        struct curl_slist *list = curl_slist_append(f->headers, header);
        if (!list)
                return -ENOMEM;
        f->headers = list;
        return 0;
}

static bool same_name(const char *a, const char *b) {
        size_t n = strcspn(a, ":");
        return n == strcspn(b, ":") && strncasecmp(a, b, n) == 0;
}

static int add_headers(HttpFetch *f, const HttpFetchRequest *r) {
        int error = r->body_len ? add_header(f, "Expect:") : 0;
        for (size_t i = 0; error == 0 && i < r->n_headers; i++)
                error = add_header(f, r->headers[i]);
        for (size_t i = 0; error == 0 && i < f->options->n_headers; i++) {
                bool given = false;
                for (size_t k = 0; k < r->n_headers; k++)
                        given = given || same_name(r->headers[k], f->options->headers[i]);
                if (!given)
                        error = add_header(f, f->options->headers[i]);
        }
        return error;
}

/* A secret from its text or its file; without the blanks around it. */
static bool read_secret(HttpFetch *f, const char *text, const char *file, Buf *out) {
        if (!file) {
                buf_put_str(out, text ? text : "");
                return buf_error(out) == 0;
        }
        int r = buf_read_file(out, AT_FDCWD, file, HTTP_FETCH_SECRET_MAX);
        if (r < 0) {
                buf_printf(&f->why, "cannot read %s: %s", file, system_text(r));
                return false;
        }
        size_t begin = 0, end = out->len;
        while (begin < end && strchr(" \t\r\n", out->data[begin]))
                begin++;
        while (end > begin && strchr(" \t\r\n", out->data[end - 1]))
                end--;
        if (out->len)
                memmove(out->data, out->data + begin, end - begin);
        out->len = end - begin;
        if (has_control(buf_cstr(out)) || (out->len && memchr(out->data, 0, out->len))) {
                buf_printf(&f->why, "%s has control characters in it", file);
                return false;
        }
        return true;
}

static bool set_authentication(HttpFetch *f) {
        const HttpFetchOptions *o = f->options;
        CLEANUP(buf_deinit) Buf first = BUF_NULL, second = BUF_NULL;
        if (o->username || o->username_file || o->password || o->password_file) {
                return read_secret(f, o->username, o->username_file, &first) &&
                        read_secret(f, o->password, o->password_file, &second) &&
                       curl_easy_setopt(f->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == CURLE_OK &&
                       curl_easy_setopt(f->easy, CURLOPT_USERNAME, buf_cstr(&first)) == CURLE_OK &&
                       curl_easy_setopt(f->easy, CURLOPT_PASSWORD, buf_cstr(&second)) == CURLE_OK;
        }
        if (!o->credentials && !o->credentials_file)
                return true;
        if (!read_secret(f, o->credentials, o->credentials_file, &first))
                return false;
        buf_printf(&second, "Authorization: %s %s", o->auth_type ? o->auth_type : "Bearer", buf_cstr(&first));
        return add_header(f, buf_cstr(&second)) == 0;
}

static long tls_version(const char *name, bool most) {
        static const struct {
                const char *name;
                long least, most;
        } VERSIONS[] = { { "TLS10", CURL_SSLVERSION_TLSv1_0, CURL_SSLVERSION_MAX_TLSv1_0 },
                         { "TLS11", CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_MAX_TLSv1_1 },
                         { "TLS12", CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_MAX_TLSv1_2 },
                         { "TLS13", CURL_SSLVERSION_TLSv1_3, CURL_SSLVERSION_MAX_TLSv1_3 } };
        for (size_t i = 0; i < ARRAY_LEN(VERSIONS); i++)
                if (name && strcmp(name, VERSIONS[i].name) == 0)
                        return most ? VERSIONS[i].most : VERSIONS[i].least;
        return most ? CURL_SSLVERSION_MAX_DEFAULT : CURL_SSLVERSION_TLSv1_2;
}

static CURLcode set_text(HttpFetch *f, CURLoption option, const char *text) {
        return text ? curl_easy_setopt(f->easy, option, text) : CURLE_OK;
}

/* The certificate's name is the URL's host to libcurl: so the URL has that host, and where to connect to is said apart.
 * */
static bool set_server_name(HttpFetch *f, const char *url) {
        CURLU *u = curl_url();
        char *host = NULL, *port = NULL, *changed = NULL;
        CLEANUP(buf_deinit) Buf line = BUF_NULL, header = BUF_NULL;
        bool good = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                    curl_url_set(u, CURLUPART_HOST, f->options->server_name, 0) == CURLUE_OK &&
                    curl_url_get(u, CURLUPART_URL, &changed, 0) == CURLUE_OK;
        if (good) {
                buf_printf(&line, "%s:%s:%s:%s", f->options->server_name, port, host, port);
                buf_printf(&header, strcmp(port, "443") == 0 ? "Host: %s" : "Host: %s:%s", host, port);
                f->connect_to = curl_slist_append(NULL, buf_cstr(&line));
                good = f->connect_to && add_header(f, buf_cstr(&header)) == 0 &&
                       curl_easy_setopt(f->easy, CURLOPT_CONNECT_TO, f->connect_to) == CURLE_OK &&
                       curl_easy_setopt(f->easy, CURLOPT_URL, changed) == CURLE_OK;
        }
        curl_free(host);
        curl_free(port);
        curl_free(changed);
        curl_url_cleanup(u);
        return good;
}

static bool set_tls(HttpFetch *f, const char *url) {
        const HttpFetchOptions *o = f->options;
        long verify = o->insecure_skip_verify ? 0 : 1;
        bool good = curl_easy_setopt(f->easy, CURLOPT_SSL_VERIFYPEER, verify) == CURLE_OK &&
                    curl_easy_setopt(f->easy, CURLOPT_SSL_VERIFYHOST, 2 * verify) == CURLE_OK &&
                    curl_easy_setopt(f->easy, CURLOPT_SSLVERSION,
                                     tls_version(o->min_version, false) | tls_version(o->max_version, true)) ==
                            CURLE_OK &&
                    set_text(f, CURLOPT_CAINFO, o->ca_file) == CURLE_OK &&
                            set_text(f, CURLOPT_SSLCERT, o->cert_file) == CURLE_OK &&
                    set_text(f, CURLOPT_SSLKEY, o->key_file) == CURLE_OK;
        if (good && !verify) /* reading the system's certificates costs more than many a scrape */
                good = curl_easy_setopt(f->easy, CURLOPT_CAINFO, NULL) == CURLE_OK &&
                        curl_easy_setopt(f->easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
        if (good && o->server_name && is_https(url))
                good = set_server_name(f, url);
        return good;
}

static bool set_transfer(HttpFetch *f, const HttpFetchRequest *r) {
        CURL *h = f->easy;
        const HttpFetchOptions *o = f->options;
        long version = o->enable_http2 ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1;
        return curl_easy_setopt(h, CURLOPT_URL, r->url) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, o->follow_redirects ? 1L : 0L) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_MAXREDIRS, REDIRECTS_MAX) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_HTTP_VERSION, version) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_HTTP09_ALLOWED, 0L) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_TIMEOUT_MS,
                                (long)((r->timeout.ns + NS_PER_MS - 1) / NS_PER_MS)) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_MAXAGE_CONN, IDLE_MAX) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_ACCEPT_ENCODING, r->identity ? NULL : "gzip") == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_PROXY, o->proxy_url ? o->proxy_url : "") == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_NOPROXY, o->no_proxy ? o->no_proxy : "") == CURLE_OK;
}

static bool set_plumbing(HttpFetch *f) {
        CURL *h = f->easy;
        return curl_easy_setopt(h, CURLOPT_PRIVATE, f) == CURLE_OK &&
                curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_ERRORBUFFER, f->detail) == CURLE_OK &&
               /* A name that is not found in time must not hold the loop up: its thread is left to itself. */
               curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_WRITEDATA, f) == CURLE_OK &&
                       curl_easy_setopt(h, CURLOPT_HTTPHEADER, f->headers) == CURLE_OK;
}

static bool set_body(HttpFetch *f, const HttpFetchRequest *r) {
        bool good = true;
        if (r->body_len || (r->method && strcmp(r->method, "POST") == 0))
                good = curl_easy_setopt(f->easy, CURLOPT_POST, 1L) == CURLE_OK &&
                       curl_easy_setopt(f->easy, CURLOPT_POSTFIELDS, r->body_len ? r->body : "") == CURLE_OK &&
                       curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_len) == CURLE_OK;
        return good && set_text(f, CURLOPT_CUSTOMREQUEST, r->method) == CURLE_OK;
}

static int begin(HttpFetch *f, const HttpFetchRequest *r) {
        HttpFetcher *m = f->fetcher;
        int error = add_headers(f, r);
        if (error < 0)
                return error;
        bool good = set_transfer(f, r) && set_body(f, r) && set_tls(f, r->url) && set_authentication(f) &&
                set_plumbing(f);
        if (!good && !f->why.len)
                return -ENOMEM;
        f->refused = !good;
        if (good && curl_multi_add_handle(m->multi, f->easy) != CURLM_OK)
                return -ENOMEM;
        if (!good)
                loop_timer_again(m->refused, (Duration){ 0 }, SECONDS(86400));
        return 0;
}

int http_fetch(HttpFetcher *m, const HttpFetchRequest *r, HttpFetchDone done, void *context, HttpFetch **ret_fetch) {
        assert(r->timeout.ns > 0);
        if (!is_http_url(r->url) || r->n_headers > HTTP_FETCH_HEADERS_MAX)
                return -EINVAL;
        CLEANUP(fetch_freep) HttpFetch *f = calloc(1, sizeof *f);
        if (!f)
                return -ENOMEM;
        *f = (HttpFetch){ .options = r->options ? r->options : &DEFAULTS,
                          .fetcher = m,
                          .done = done,
                          .context = context,
                          .body = BUF_WITH_LIMIT(r->body_limit ? r->body_limit : HTTP_FETCH_BODY_LIMIT),
                          .no_body = r->no_body,
                          .timeout = r->timeout,
                          .begun = mono_now() };
        f->easy = curl_easy_init();
        if (!f->easy)
                return -ENOMEM;
        int error = begin(f, r);
        if (error < 0)
                return error;
        m->stats.requests++;
        link_fetch(m, f);
        *ret_fetch = TAKE_PTR(f);
        return 0;
}
