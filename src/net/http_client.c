#include "net/http_client.h"

#include <curl/curl.h>
#include <string.h>
#include <sys/un.h>

struct HttpClient {
        CURL *curl;
        char *address; /* as it was given, without the trailing slash */
        bool is_unix;
        Duration timeout;
        char detail[CURL_ERROR_SIZE]; /* libcurl's own words about the last failure */
        Buf error;
};

static size_t on_body(char *bytes, size_t size, size_t n, void *context) {
        Buf *body = context;
        buf_put(body, bytes, size * n);
        return buf_error(body) ? 0 : size * n; /* less than was given ends the transfer */
}

HttpClient *http_client_free(HttpClient *c) {
        if (!c)
                return NULL;
        curl_easy_cleanup(c->curl); /* accepts NULL */
        free(c->address);
        buf_deinit(&c->error);
        free(c);
        return NULL;
}

static void client_freep(HttpClient **c) {
        (void)http_client_free(*c);
}

static bool set_options(HttpClient *c) {
        CURL *h = c->curl;
        return curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_NOPROXY, "*") == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_HTTP09_ALLOWED, 0L) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)((c->timeout.ns + NS_PER_MS - 1) / NS_PER_MS)) ==
                       CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_ERRORBUFFER, c->detail) == CURLE_OK &&
               curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
               (!c->is_unix || curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, c->address) == CURLE_OK);
}

/* "http://" and a host, and nothing behind it but one slash: a path would be put before every path. */
static bool is_http_address(const char *address) {
        static const char SCHEME[] = "http://";
        if (strncmp(address, SCHEME, sizeof SCHEME - 1) != 0)
                return false;
        const char *host = address + sizeof SCHEME - 1;
        size_t n = strcspn(host, "/?#@ ");
        return n > 0 && (host[n] == '\0' || strcmp(host + n, "/") == 0);
}

int http_client_new(const char *address, Duration timeout, HttpClient **ret_client) {
        bool is_unix = address[0] == '/';
        size_t n = strlen(address);
        if (!is_unix && !is_http_address(address))
                return -EINVAL;
        if (is_unix && n >= sizeof((struct sockaddr_un *)NULL)->sun_path)
                return -EINVAL;
        CLEANUP(client_freep) HttpClient *c = calloc(1, sizeof *c);
        if (!c)
                return -ENOMEM;
        c->is_unix = is_unix;
        c->timeout = timeout;
        c->address = strndup(address, !is_unix && address[n - 1] == '/' ? n - 1 : n);
        c->curl = curl_easy_init();
        if (!c->address || !c->curl || !set_options(c))
                return -ENOMEM;
        *ret_client = TAKE_PTR(c);
        return 0;
}

/* libcurl's code as an errno; for a failed connection the system's own. */
static int error_of(HttpClient *c, CURLcode code, const Buf *body) {
        long system = 0;
        switch (code) {
        case CURLE_OK: return 0;
        case CURLE_COULDNT_CONNECT:
                (void)curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &system);
                return system > 0 ? (int)-system : -ECONNREFUSED;
        case CURLE_OPERATION_TIMEDOUT: return -ETIMEDOUT;
        case CURLE_WRITE_ERROR: return buf_error(body) ? buf_error(body) : -EIO;
        case CURLE_OUT_OF_MEMORY: return -ENOMEM;
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_GOT_NOTHING: return -EPROTO;
        case CURLE_URL_MALFORMAT: return -EINVAL;
        default: return -EIO;
        }
}

static void put_error(HttpClient *c, int error, CURLcode code) {
        const char *text = c->detail[0] ? c->detail : curl_easy_strerror(code);
        Buf *b = &c->error;
        if (code == CURLE_COULDNT_CONNECT)
                buf_printf(b, "cannot connect to %s: %s", c->address,
                           strerrordesc_np(-error) ? strerrordesc_np(-error) : text);
        else if (error == -ETIMEDOUT)
                buf_printf(b, "%s did not answer within %g s", c->address, duration_seconds(c->timeout));
        else if (error == -EFBIG)
                buf_printf(b, "the answer of %s is too large", c->address);
        else if (error == -ENOMEM)
                buf_printf(b, "no memory for the answer of %s", c->address);
        else
                buf_printf(b, "%s: %s", c->address, text);
}

/* One request of whatever method is set. */
static int perform(HttpClient *c, const char *path, Buf *body, int *ret_status) {
        CLEANUP(buf_deinit) Buf url = BUF_NULL;
        long status = 0;
        buf_reset(&c->error);
        c->detail[0] = '\0';
        /* The host of a Unix socket's URL only fills the Host header. */
        buf_printf(&url, "%s%s", c->is_unix ? "http://localhost" : c->address, path);
        if (buf_error(&url) || curl_easy_setopt(c->curl, CURLOPT_URL, buf_cstr(&url)) != CURLE_OK ||
            curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, body) != CURLE_OK) {
                put_error(c, -ENOMEM, CURLE_OUT_OF_MEMORY);
                return -ENOMEM;
        }
        CURLcode code = curl_easy_perform(c->curl);
        int error = error_of(c, code, body);
        if (error == 0 && curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
                error = -EIO;
        if (error < 0) {
                put_error(c, error, code);
                return error;
        }
        *ret_status = (int)status;
        return 0;
}

int http_client_get(HttpClient *c, const char *path, Buf *body, int *ret_status) {
        return perform(c, path, body, ret_status);
}

static void header_list_freep(struct curl_slist **l) {
        curl_slist_free_all(*l); /* accepts NULL */
}

static bool set_post(HttpClient *c, struct curl_slist *headers, const void *bytes, size_t n) {
        return curl_easy_setopt(c->curl, CURLOPT_POST, 1L) == CURLE_OK &&
               curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, bytes) == CURLE_OK && /* borrowed */
               curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n) == CURLE_OK &&
               curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK;
}

int http_client_post(HttpClient *c, const char *path, const char *content_type, const void *bytes, size_t n, Buf *body, int *ret_status) {
        char type[256];
        (void)snprintf(type, sizeof type, "Content-Type: %s", content_type);
        /* No Expect: a body that is refused is not worth a round trip. */
        CLEANUP(header_list_freep) struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
        if (!headers || !curl_slist_append(headers, type) || !set_post(c, headers, n ? bytes : "", n)) {
                put_error(c, -ENOMEM, CURLE_OUT_OF_MEMORY);
                return -ENOMEM;
        }
        int r = perform(c, path, body, ret_status);
        (void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
        (void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, NULL);
        (void)curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
        return r;
}

int64_t http_client_retry_after(const HttpClient *c) {
        curl_off_t seconds = 0;
        (void)curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &seconds);
        return seconds > 0 ? (int64_t)seconds : 0;
}

const char *http_client_error(const HttpClient *c) {
        return c->error.len ? buf_cstr((Buf *)(uintptr_t)&c->error) : "";
}
