/* Sends a stream file (rw/stream.h) to a remote-write receiver over HTTP/1.1, a request a connection at a time, and checks
 * every answer: 200 or 204, or it ends. One thread, the bodies straight from the mapped file: what it costs itself is a
 * write and a read per request. See --help. */
#include "rw/stream.h"

#include "base/time.h"

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CONNECTIONS_MAX 64
#define ANSWER_MAX 4096

static const char help[] =
        "rw_send [OPTIONS] FILE HOST:PORT[/PATH]: send a stream of remote-write requests (path /api/v1/write)\n"
        "  --from N           begin with request N (0)\n"
        "  --requests N       at most so many requests\n"
        "  --seconds S        send nothing new after S seconds\n"
        "  --rate N           samples per second (as fast as the answers come)\n"
        "  --connections N    requests in flight, each on a connection of its own (1)\n"
        "  --drop             go on after a refusal with 429 or 503, which is counted, without sending that request again\n"
        "  --retry            repeat what was answered with 429 or 503 after its Retry-After, at most 5 s\n"
        "  --journal FILE     append `sent N` before and `acked N` after each request\n"
        "  --journal-sync     and sync it\n"
        "One line of JSON tells what was done. 0: all sent; 1: refused; 2: usage; 3: the connection broke.\n";

typedef struct Command {
        const char *file, *journal;
        struct sockaddr_in address;
        char host[64];
        const char *path;
        uint64_t from, requests;
        double seconds, rate;
        uint32_t connections;
        bool drop, retry, journal_sync;
} Command;

typedef enum Outcome { SEND_DONE = 0, SEND_REFUSED = 1, SEND_BROKEN = 3 } Outcome;

typedef struct Connection {
        int fd;
        bool busy;
        uint64_t number;
        StreamRequest request;
        char head[256];
        size_t head_len, sent; /* sent counts head and body */
        char answer[ANSWER_MAX];
        size_t answer_len;
        MonoTime began, again; /* again: when to repeat, 0 when not */
} Connection;

typedef struct Sender {
        Command c;
        StreamReader stream;
        Connection connections[CONNECTIONS_MAX];
        int journal;
        uint64_t next;             /* number of the next request */
        uint64_t requests, samples, bytes, repeated; /* acknowledged */
        uint64_t dropped_429, dropped_503, dropped_samples;
        uint64_t offered;          /* samples sent for the first time */
        float *latencies;          /* ms */
        size_t n_latencies, cap_latencies;
        MonoTime start;
        bool ended;                /* nothing new any more */
} Sender;

static double seconds_since(MonoTime start) {
        return duration_seconds(mono_since(mono_now(), start));
}

static void write_journal(Sender *s, const char *what, uint64_t number) {
        char line[40];
        if (s->journal < 0)
                return;
        int n = snprintf(line, sizeof line, "%s %" PRIu64 "\n", what, number);
        ssize_t written = write(s->journal, line, (size_t)n);
        assert(written == n); /* without its journal a run proves nothing */
        if (s->c.journal_sync)
                assert(fdatasync(s->journal) == 0);
}

/* ---- Connections ---- */

static int connection_open(Sender *s, Connection *x) {
        x->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (x->fd < 0 || connect(x->fd, (struct sockaddr *)&s->c.address, sizeof s->c.address) < 0)
                return -errno;
        int one = 1;
        (void)setsockopt(x->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return fcntl(x->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* Goes on sending; false when the connection broke. */
static bool connection_push(Connection *x) {
        size_t total = x->head_len + x->request.len;
        while (x->sent < total) {
                struct iovec parts[2] = { { x->head, x->head_len }, { (void *)(uintptr_t)x->request.body, x->request.len } };
                size_t first = x->sent < x->head_len ? 0 : 1, skip = first ? x->sent - x->head_len : x->sent;
                parts[first].iov_base = (char *)parts[first].iov_base + skip;
                parts[first].iov_len -= skip;
                struct msghdr message = { .msg_iov = parts + first, .msg_iovlen = 2 - first };
                ssize_t n = sendmsg(x->fd, &message, MSG_NOSIGNAL);
                if (n < 0)
                        return errno == EAGAIN || errno == EINTR;
                x->sent += (size_t)n;
        }
        return true;
}

/* One that was idle for long was closed by the server. */
static bool connection_renew(Sender *s, Connection *x) {
        char byte;
        if (recv(x->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
                return true;
        cleanup_close_fd(&x->fd);
        return connection_open(s, x) == 0;
}

static bool connection_begin(Sender *s, Connection *x) {
        if (!connection_renew(s, x))
                return false;
        x->head_len = (size_t)snprintf(x->head, sizeof x->head,
                "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
                "User-Agent: rw_send\r\nContent-Length: %zu\r\n\r\n", s->c.path, s->c.host, x->request.len);
        assert(x->head_len < sizeof x->head);
        x->sent = x->answer_len = 0;
        x->busy = true;
        x->again = (MonoTime){ 0 };
        x->began = mono_now();
        return connection_push(x);
}

/* Takes the next request of the stream if it is time for it. 1 taken, 0 not now, or a negative errno. */
static int take_next(Sender *s, Connection *x) {
        double elapsed = seconds_since(s->start);
        if (s->next - s->c.from >= s->c.requests || (s->c.seconds > 0 && elapsed >= s->c.seconds))
                s->ended = true;
        if (s->ended || (s->c.rate > 0 && (double)s->offered > elapsed * s->c.rate))
                return 0;
        int more = stream_next(&s->stream, &x->request);
        if (more <= 0) {
                s->ended = true;
                return more;
        }
        x->number = s->next++;
        s->offered += x->request.samples;
        return 1;
}

/* ---- Answers ---- */

static void note_latency(Sender *s, double ms) {
        if (s->n_latencies == s->cap_latencies) {
                s->cap_latencies = s->cap_latencies ? 2 * s->cap_latencies : 4096;
                s->latencies = reallocarray(s->latencies, s->cap_latencies, sizeof *s->latencies);
                assert(s->latencies);
        }
        s->latencies[s->n_latencies++] = (float)ms;
}

/* Whether the answer is whole; its body counts by Content-Length, which is what all receivers send. */
static bool answer_whole(const Connection *x, long *ret_status) {
        const char *end = memmem(x->answer, x->answer_len, "\r\n\r\n", 4);
        if (!end || sscanf(x->answer, "HTTP/1.%*d %ld", ret_status) != 1)
                return false;
        if (*ret_status == 204)
                return true;
        const char *length = strcasestr(x->answer, "\r\nContent-Length:");
        size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        return x->answer_len >= (size_t)(end + 4 - x->answer) + body;
}

static Outcome judge(Sender *s, Connection *x, long status) {
        if (status == 200 || status == 204) {
                write_journal(s, "acked", x->number);
                x->busy = false;
                s->requests++;
                s->samples += x->request.samples;
                s->bytes += x->request.len;
                note_latency(s, duration_seconds(mono_since(mono_now(), x->began)) * 1e3);
                return SEND_DONE;
        }
        if (s->c.retry && (status == 429 || status == 503)) {
                const char *after = strcasestr(x->answer, "\r\nRetry-After:");
                double wait = after ? strtod(after + 14, NULL) : 0.1;
                x->again = mono_add(mono_now(), (Duration){ (int64_t)((wait > 5 ? 5 : wait) * 1e9) });
                s->repeated++;
                return SEND_DONE;
        }
        if (s->c.drop && (status == 429 || status == 503)) {
                x->busy = false;
                s->dropped_429 += status == 429;
                s->dropped_503 += status == 503;
                s->dropped_samples += x->request.samples;
                return SEND_DONE;
        }
        (void)fprintf(stderr, "rw_send: request %" PRIu64 " was answered:\n%s\n", x->number, x->answer);
        return SEND_REFUSED;
}

static Outcome connection_take(Sender *s, Connection *x) {
        ssize_t n = recv(x->fd, x->answer + x->answer_len, sizeof x->answer - 1 - x->answer_len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return SEND_DONE;
        if (n <= 0)
                return SEND_BROKEN;
        x->answer_len += (size_t)n;
        x->answer[x->answer_len] = '\0';
        long status = 0;
        if (!answer_whole(x, &status) && x->answer_len < sizeof x->answer - 1)
                return SEND_DONE;
        Outcome r = judge(s, x, status);
        if (r == SEND_DONE && strcasestr(x->answer, "\r\nConnection: close\r\n")) { /* VictoriaMetrics does after two minutes */
                cleanup_close_fd(&x->fd);
                r = connection_open(s, x) < 0 ? SEND_BROKEN : SEND_DONE;
        }
        return r;
}

/* ---- The loop ---- */

static Outcome feed(Sender *s) {
        for (uint32_t i = 0; i < s->c.connections; i++) {
                Connection *x = &s->connections[i];
                if (x->busy) {
                        if (x->again.ns != 0 && mono_now().ns >= x->again.ns && !connection_begin(s, x))
                                return SEND_BROKEN;
                        continue;
                }
                int taken = take_next(s, x);
                if (taken < 0) {
                        (void)fprintf(stderr, "rw_send: %s: damaged after request %" PRIu64 "\n", s->c.file, s->next);
                        return SEND_REFUSED;
                }
                if (taken == 0)
                        return SEND_DONE;
                write_journal(s, "sent", x->number);
                if (!connection_begin(s, x))
                        return SEND_BROKEN;
        }
        return SEND_DONE;
}

static uint32_t count_busy(const Sender *s) {
        uint32_t busy = 0;
        for (uint32_t i = 0; i < s->c.connections; i++)
                busy += s->connections[i].busy;
        return busy;
}

static Outcome drive(Sender *s) {
        for (;;) {
                Outcome r = feed(s);
                uint32_t n = s->c.connections, busy = count_busy(s);
                if (r != SEND_DONE || (s->ended && busy == 0))
                        return r;
                struct pollfd polls[CONNECTIONS_MAX];
                for (uint32_t i = 0; i < n; i++) {
                        Connection *x = &s->connections[i];
                        bool unsent = x->busy && x->again.ns == 0 && x->sent < x->head_len + x->request.len;
                        polls[i] = (struct pollfd){ .fd = x->busy ? x->fd : -1, .events = (short)(POLLIN | (unsent ? POLLOUT : 0)) };
                }
                (void)poll(polls, n, busy == n && !s->c.retry ? 1000 : 1);
                for (uint32_t i = 0; i < n && r == SEND_DONE; i++) {
                        Connection *x = &s->connections[i];
                        if (polls[i].revents & POLLOUT && !connection_push(x))
                                r = SEND_BROKEN;
                        else if (polls[i].revents & (POLLIN | POLLHUP | POLLERR))
                                r = connection_take(s, x);
                }
                if (r != SEND_DONE)
                        return r;
        }
}

static int compare_floats(const void *a, const void *b) {
        float x = *(const float *)a, y = *(const float *)b;
        return (x > y) - (x < y);
}

static double percentile(const Sender *s, double p) {
        return s->n_latencies ? (double)s->latencies[(size_t)(p * (double)(s->n_latencies - 1) + 0.5)] : 0;
}

static void report(Sender *s, Outcome outcome) {
        double took = seconds_since(s->start);
        struct rusage use;
        (void)getrusage(RUSAGE_SELF, &use);
        double cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) + (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
        if (s->n_latencies)
                qsort(s->latencies, s->n_latencies, sizeof *s->latencies, compare_floats);
        (void)printf("{\"outcome\":%d,\"requests\":%" PRIu64 ",\"samples\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"repeated\":%" PRIu64 ",\"next\":%" PRIu64 ",\"seconds\":%.3f,\"samples_per_second\":%.0f,"
                     "\"refused\":{\"429\":%" PRIu64 ",\"503\":%" PRIu64 ",\"samples\":%" PRIu64 "},\"ack_ms\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"own_cpu_seconds\":%.3f}\n",
                     outcome, s->requests, s->samples, s->bytes, s->repeated, s->next, took, (double)s->samples / took,
                     s->dropped_429, s->dropped_503, s->dropped_samples,
                     percentile(s, 0.5), percentile(s, 0.9), percentile(s, 0.99), percentile(s, 1), cpu);
}

static bool parse_target(Command *c, const char *target) {
        if (strncmp(target, "http://", 7) == 0)
                target += 7;
        const char *slash = strchr(target, '/'), *colon = strchr(target, ':');
        size_t len = slash ? (size_t)(slash - target) : strlen(target);
        if (!colon || len >= sizeof c->host)
                return false;
        memcpy(c->host, target, len);
        c->host[len] = '\0';
        c->path = slash ? slash : "/api/v1/write";
        char address[64];
        (void)snprintf(address, sizeof address, "%.*s", (int)(colon - target), target);
        c->address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10)) };
        return inet_pton(AF_INET, address, &c->address.sin_addr) == 1 && strlen(c->path) < 64;
}

static bool parse_command(int argc, char **argv, Command *ret_command) {
        static const struct option options[] = {
                { "from", 1, NULL, 'f' }, { "requests", 1, NULL, 'n' }, { "seconds", 1, NULL, 's' }, { "rate", 1, NULL, 'r' }, { "connections", 1, NULL, 'c' },
                { "retry", 0, NULL, 'R' }, { "drop", 0, NULL, 'd' }, { "journal", 1, NULL, 'j' }, { "journal-sync", 0, NULL, 'J' }, { 0 },
        };
        Command c = { .requests = UINT64_MAX, .connections = 1 };
        int option;
        while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
                switch (option) {
                case 'f': c.from = strtoull(optarg, NULL, 10); break;
                case 'n': c.requests = strtoull(optarg, NULL, 10); break;
                case 's': c.seconds = strtod(optarg, NULL); break;
                case 'r': c.rate = strtod(optarg, NULL); break;
                case 'c': c.connections = (uint32_t)strtoul(optarg, NULL, 10); break;
                case 'R': c.retry = true; break;
                case 'd': c.drop = true; break;
                case 'j': c.journal = optarg; break;
                case 'J': c.journal_sync = true; break;
                default: return false;
                }
        if (optind + 2 != argc || c.connections == 0 || c.connections > CONNECTIONS_MAX)
                return false;
        c.file = argv[optind];
        *ret_command = c;
        return parse_target(ret_command, argv[optind + 1]);
}

/* The stream at request `from`, the journal and the connections. */
static int sender_open(Sender *s) {
        int r = stream_open(&s->stream, s->c.file);
        for (uint64_t i = 0; r >= 0 && i < s->c.from; i++) {
                StreamRequest passed;
                r = stream_next(&s->stream, &passed);
        }
        if (r < 0) {
                (void)fprintf(stderr, "rw_send: %s: %s\n", s->c.file, strerror(-r));
                return SEND_REFUSED;
        }
        if (s->c.journal && (s->journal = open(s->c.journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) < 0) {
                (void)fprintf(stderr, "rw_send: %s: %s\n", s->c.journal, strerror(errno));
                return SEND_REFUSED;
        }
        for (uint32_t i = 0; i < s->c.connections; i++)
                if ((r = connection_open(s, &s->connections[i])) < 0) {
                        (void)fprintf(stderr, "rw_send: %s: %s\n", s->c.host, strerror(-r));
                        return SEND_BROKEN;
                }
        return SEND_DONE;
}

static void sender_freep(Sender **p) {
        Sender *s = *p;
        if (!s)
                return;
        for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
                cleanup_close_fd(&s->connections[i].fd);
        cleanup_close_fd(&s->journal);
        stream_close(&s->stream);
        free(s->latencies);
        free(s);
}

int main(int argc, char **argv) {
        CLEANUP(sender_freep) Sender *s = calloc(1, sizeof *s);
        assert(s);
        s->journal = -1;
        for (uint32_t i = 0; i < CONNECTIONS_MAX; i++)
                s->connections[i].fd = -1;
        if (!parse_command(argc, argv, &s->c)) {
                (void)fputs(help, stderr);
                return 2;
        }
        s->start = mono_now();
        s->next = s->c.from;
        Outcome outcome = (Outcome)sender_open(s);
        if (outcome == SEND_DONE)
                outcome = drive(s);
        report(s, outcome);
        return (int)outcome;
}
