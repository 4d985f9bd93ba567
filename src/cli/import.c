/* parallax import: sends a file of samples to parallaxd, in chunks of whole lines, each taken and on the disk before the next one
 * is sent. A chunk is told the number of its first line, so that what the server finds wrong is named by the line of the file. */
#include "cli/cli.h"
#include "cli/import.h"
#include "cli/text.h"

#include "base/escape.h"
#include "base/scan.h"
#include "base/time.h"
#include "net/http_client.h"

#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <sys/stat.h>

#define TRIES_MAX 20
#define WAIT_MAX_SECONDS 60
#define ANSWER_MAX ((size_t)1 << 20)

static const char END_MARK[] = "# EOF\n";

typedef struct Import {
        HttpClient *client;
        const char *name; /* of the file, as it was given */
        int fd;
        bool detect, openmetrics;
        int64_t now_ms;   /* for samples without a time: the same for all */
        Buf chunk;
        bool at_end;
        uint64_t line;    /* of the chunk's first */
        uint64_t bytes, samples;
        bool refused;     /* some samples */
} Import;

static void import_deinit(Import *i) {
        i->client = http_client_free(i->client);
        buf_deinit(&i->chunk);
        if (i->fd > STDIN_FILENO)
                (void)close(i->fd);
}

static const char *safe(Buf *out, const char *s) {
        buf_reset(out);
        escape_terminal(out, s, strlen(s));
        return buf_cstr(out);
}

/* ---- chunks ---- */

size_t import_cut(const char *bytes, size_t n) {
        const char *last = n ? memrchr(bytes, '\n', n) : NULL;
        return last ? (size_t)(last - bytes) + 1 : 0;
}

bool import_is_openmetrics(const char *bytes, size_t n) {
        size_t mark = sizeof END_MARK - 2; /* the last newline may be missing */
        if (n && bytes[n - 1] == '\n')
                n--;
        return n >= mark && memcmp(bytes + n - mark, END_MARK, mark) == 0 && (n == mark || bytes[n - mark - 1] == '\n');
}

/* Looks at the end of a file, of which the chunk may hold the beginning only. */
static bool ends_as_openmetrics(const Import *i) {
        char tail[sizeof END_MARK];
        struct stat st;
        if (i->at_end)
                return import_is_openmetrics(i->chunk.data, i->chunk.len);
        if (fstat(i->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof tail)
                return false;
        ssize_t n = pread(i->fd, tail, sizeof tail, st.st_size - (off_t)sizeof tail);
        return n > 0 && import_is_openmetrics(tail, (size_t)n);
}

/* Fills the chunk. 0 or a negative errno. */
static int fill(Import *i) {
        while (!i->at_end && i->chunk.len < IMPORT_CHUNK) {
                char *at = buf_reserve(&i->chunk, IMPORT_CHUNK - i->chunk.len);
                if (!at)
                        return -ENOMEM;
                ssize_t n = read(i->fd, at, IMPORT_CHUNK - i->chunk.len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                i->chunk.len += (size_t)n;
                i->at_end = n == 0;
        }
        return 0;
}

static size_t count_lines(const char *bytes, size_t n) {
        size_t lines = 0;
        for (const char *end = bytes + n; (bytes = memchr(bytes, '\n', (size_t)(end - bytes))); bytes++)
                lines++;
        return lines;
}

/* ---- answers ---- */

/* "12:3: what is wrong", as opposed to "2 of 5 samples". */
static bool is_place(Span line) {
        Scan s = SCAN(line.text, line.len);
        uint64_t n;
        return scan_u64(&s, &n) && scan_literal(&s, ":");
}

/* What the server says, lines with a place under the file's name. */
static void print_complaints(const Import *i, const Buf *answer) {
        CLEANUP(buf_deinit) Buf clean = BUF_NULL;
        Scan s = SCAN(answer->data ? answer->data : "", answer->len);
        Span line;
        fflush(stdout);
        while (scan_line(&s, &line)) {
                buf_reset(&clean);
                if (is_place(line)) {
                        escape_terminal(&clean, i->name, strlen(i->name));
                        buf_put_char(&clean, ':');
                } else {
                        buf_put_str(&clean, "parallax: ");
                }
                escape_terminal(&clean, line.text, line.len);
                fprintf(stderr, "%s\n", buf_cstr(&clean));
        }
}

static uint64_t count_of(const Buf *answer) {
        json_t *json = json_loadb(answer->data ? answer->data : "", answer->len, 0, NULL);
        json_int_t n = json_integer_value(json_object_get(json, "samples"));
        json_decref(json);
        return n > 0 ? (uint64_t)n : 0;
}

/* Of "2 of 5 samples were not taken": 3. */
static uint64_t count_taken(Span line) {
        Scan s = SCAN(line.text, line.len);
        uint64_t refused, sent;
        return scan_u64(&s, &refused) && scan_literal(&s, " of ") && scan_u64(&s, &sent) && refused <= sent ? sent - refused : 0;
}

static void wait_for(const Import *i, int status) {
        int64_t seconds = http_client_retry_after(i->client);
        seconds = seconds < 1 ? 1 : seconds > WAIT_MAX_SECONDS ? WAIT_MAX_SECONDS : seconds;
        fprintf(stderr, text(TEXT_IMPORT_WAIT), status, (int)seconds);
        struct timespec ts = { .tv_sec = seconds };
        (void)nanosleep(&ts, NULL);
}

/* Posts bytes until they are taken or refused for good; the status, or a negative errno. */
static int post(Import *i, const char *bytes, size_t n, Buf *answer) {
        char path[128];
        int status = 0;
        (void)snprintf(path, sizeof path, "/api/v1/parallax/import?line=%llu&now=%lld", (unsigned long long)i->line, (long long)i->now_ms);
        for (int tries = 1;; tries++) {
                buf_reset(answer);
                int r = http_client_post(i->client, path, i->openmetrics ? "application/openmetrics-text; version=1.0.0" : "text/plain; version=0.0.4",
                                         bytes, n, answer, &status);
                if (r < 0)
                        return r;
                if ((status != 429 && status != 503) || tries == TRIES_MAX)
                        return status;
                wait_for(i, status);
        }
}

/* True when the next chunk is to be sent. */
static bool judge(Import *i, int status, const Buf *answer) {
        Span first = { answer->data ? answer->data : "", answer->len };
        if (status < 0) {
                CLEANUP(buf_deinit) Buf clean = BUF_NULL;
                fprintf(stderr, "parallax: %s\n", safe(&clean, http_client_error(i->client)));
                return false;
        }
        if (status == 200) {
                i->samples += count_of(answer);
                return true;
        }
        i->refused = true;
        i->samples += count_taken(first);
        print_complaints(i, answer);
        return status == 400 && !is_place(first);
}

/* ---- the file ---- */

/* Sends the first n bytes of the chunk, and the mark of the end when others follow. */
static bool send_part(Import *i, size_t n, bool more) {
        CLEANUP(buf_deinit) Buf marked = BUF_NULL, answer = BUF_WITH_LIMIT(ANSWER_MAX);
        const char *bytes = i->chunk.data ? i->chunk.data : "";
        size_t len = n;
        if (i->openmetrics && more) {
                buf_put(&marked, bytes, n);
                buf_put_str(&marked, END_MARK);
                bytes = buf_cstr(&marked);
                len = marked.len;
        }
        bool going = judge(i, post(i, bytes, len, &answer), &answer);
        i->line += count_lines(i->chunk.data ? i->chunk.data : "", n);
        i->bytes += n;
        return going;
}

static void show_progress(const Import *i) {
        if (isatty(STDERR_FILENO))
                fprintf(stderr, text(TEXT_IMPORT_PROGRESS), (double)i->bytes / (1 << 20), (unsigned long long)i->samples);
}

static int send_file(Import *i) {
        CLEANUP(buf_deinit) Buf clean = BUF_NULL;
        for (bool more = true; more;) {
                int r = fill(i);
                if (r < 0) {
                        fprintf(stderr, text(TEXT_IMPORT_READ), safe(&clean, i->name), strerror(-r));
                        return CLI_FAILED;
                }
                if (i->detect)
                        i->openmetrics = ends_as_openmetrics(i);
                i->detect = false;
                more = !i->at_end;
                size_t n = more ? import_cut(i->chunk.data, i->chunk.len) : i->chunk.len;
                if (n == 0 && more) {
                        fprintf(stderr, text(TEXT_IMPORT_LINE), safe(&clean, i->name), (unsigned long long)i->line);
                        return CLI_FAILED;
                }
                if (!send_part(i, n, more)) {
                        fprintf(stderr, text(TEXT_IMPORT_STOPPED), (unsigned long long)i->samples);
                        return CLI_FAILED;
                }
                memmove(i->chunk.data, i->chunk.data + n, i->chunk.len - n);
                i->chunk.len -= n;
                show_progress(i);
        }
        printf(text(TEXT_IMPORT_DONE), safe(&clean, i->name), (unsigned long long)i->samples);
        return i->refused ? CLI_FAILED : CLI_OK;
}

static bool set_format(Import *i, const char *format) {
        i->detect = strcmp(format, "auto") == 0;
        i->openmetrics = strcmp(format, "openmetrics") == 0;
        return i->detect || i->openmetrics || strcmp(format, "text") == 0;
}

static int import_file(const Cli *cli, const char *format, const char *name) {
        CLEANUP(import_deinit) Import i = { .name = name, .line = 1, .now_ms = wall_now().ns / NS_PER_MS, .chunk = BUF_WITH_LIMIT(IMPORT_CHUNK + 16) };
        CLEANUP(answer_deinit) Answer a = { 0 };
        i.fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
        if (i.fd < 0) {
                CLEANUP(buf_deinit) Buf clean = BUF_NULL;
                fprintf(stderr, text(TEXT_IMPORT_READ), safe(&clean, name), strerror(errno));
                return CLI_FAILED;
        }
        if (!set_format(&i, format)) {
                fputs(text(TEXT_IMPORT_FORMAT), stderr);
                return CLI_USAGE;
        }
        a.error = source_connect(cli, SECONDS(120), &i.client, a.where);
        if (a.error < 0) {
                (void)answer_complain(&a, NULL);
                return CLI_FAILED;
        }
        return send_file(&i);
}

int verb_import(const Cli *cli, int argc, char **argv) {
        static const struct option LONG[] = { { "format", required_argument, NULL, 'f' }, { 0 } };
        const char *format = "auto";
        optind = 0;
        for (int c; (c = getopt_long(argc, argv, "f:", LONG, NULL)) != -1;) {
                if (c != 'f')
                        return cli_usage();
                format = optarg;
        }
        if (optind + 1 != argc) {
                fputs(text(TEXT_IMPORT_ONE), stderr);
                return CLI_USAGE;
        }
        return import_file(cli, format, argv[optind]);
}
