/* The channel ends in one place, on_ready(), however it fails: channel_send() may be called from deep
 * inside a writer that still holds the channel, so it only notes the error and shuts the socket down,
 * which makes it readable; the loop then comes round and reports the end. */
#include "rt/channel.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Packets taken in one go before the loop looks after its other descriptors. */
#define READ_BURST 64
#define SEND_BUFFER (4 * CHANNEL_PACKET_MAX)
#define LISTEN_BACKLOG 16

typedef struct Packet Packet;
struct Packet {
        Packet *next;
        size_t n;
        char bytes[];
};

struct Channel {
        LoopFd *watch;
        int fd; /* -1 after the end */
        const ChannelOps *ops;
        void *context;
        Packet *first, **last;
        size_t queued, queue_limit;
        int error;      /* why it is ending, before closed() said so */
        unsigned depth; /* calls into ops under way: the object outlives them */
        bool freed;
        char *packet; /* CHANNEL_PACKET_MAX bytes, malloc's alignment */
};

static void drop_queue(Channel *c) {
        while (c->first) {
                CLEANUP_FREE Packet *p = c->first;
                c->first = p->next;
        }
        c->last = &c->first;
        c->queued = 0;
}

static void close_socket(Channel *c) {
        c->watch = loop_fd_stop(c->watch);
        if (c->fd >= 0)
                (void)close(c->fd);
        c->fd = -1;
        drop_queue(c);
}

static void release(Channel *c) {
        assert(c->depth > 0);
        if (--c->depth > 0 || !c->freed)
                return;
        free(c->packet);
        free(c);
}

Channel *channel_free(Channel *c) {
        if (!c)
                return NULL;
        assert(!c->freed);
        close_socket(c);
        c->freed = true;
        c->depth++;
        release(c);
        return NULL;
}

/* Says the end to the owner, who may free the channel there. */
static void finish(Channel *c, int error) {
        close_socket(c);
        c->ops->closed(c->context, error);
}

static void watch(Channel *c) {
        int r = loop_fd_events(c->watch, LOOP_READ | (c->first ? LOOP_WRITE : 0));
        if (r < 0 && c->error == 0)
                c->error = r;
}

/* Ends the sending side from wherever we are. What the peer sent before still arrives: it may have
 * answered and gone. */
static void fail_send(Channel *c, int error) {
        c->error = error;
        drop_queue(c);
        (void)shutdown(c->fd, SHUT_RDWR);
        watch(c);
}

static bool peer_went(int error) {
        return error == -EPIPE || error == -ECONNRESET;
}

/* 0 sent, -EAGAIN, or what ends the channel. */
static int send_now(Channel *c, const void *bytes, size_t n) {
        for (;;) {
                ssize_t r = send(c->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (r >= 0)
                        return 0;
                if (errno != EINTR)
                        return -errno;
        }
}

static int enqueue(Channel *c, const void *bytes, size_t n) {
        size_t cost = sizeof(Packet) + n;
        if (c->queued + cost > c->queue_limit)
                return -ENOBUFS;
        Packet *p = malloc(cost);
        if (!p)
                return -ENOMEM;
        p->next = NULL;
        p->n = n;
        memcpy(p->bytes, bytes, n);
        *c->last = p;
        c->last = &p->next;
        c->queued += cost;
        return 0;
}

void channel_send(void *channel, const void *packet, size_t n) {
        Channel *c = channel;
        assert(n > 0 && n <= CHANNEL_PACKET_MAX);
        if (c->fd < 0 || c->error)
                return;
        int r = c->first ? -EAGAIN : send_now(c, packet, n);
        if (r == -EAGAIN)
                r = enqueue(c, packet, n);
        if (r < 0)
                fail_send(c, r);
        else if (c->first)
                watch(c);
}

static void drain(Channel *c) {
        while (c->first) {
                int r = send_now(c, c->first->bytes, c->first->n);
                if (r == -EAGAIN)
                        return;
                if (r < 0) {
                        fail_send(c, r);
                        return;
                }
                CLEANUP_FREE Packet *p = c->first;
                c->first = p->next;
                c->queued -= sizeof(Packet) + p->n;
        }
        c->last = &c->first;
        watch(c);
}

/* Receives one packet: its length, 0 at the end, or negative errno. */
static ssize_t receive(Channel *c) {
        for (;;) {
                /* MSG_TRUNC gives the true length. Descriptors that come along are closed by the kernel,
                 * as there is no room for them. */
                ssize_t n = recv(c->fd, c->packet, CHANNEL_PACKET_MAX, MSG_DONTWAIT | MSG_TRUNC);
                if (n >= 0)
                        return (size_t)n > CHANNEL_PACKET_MAX ? -EMSGSIZE : n;
                /* ECONNRESET is reported once, before the packets that are still there. */
                if (errno != EINTR && errno != ECONNRESET)
                        return -errno;
        }
}

/* Hands packets over until there is none; 0, or why the channel ends. */
static int read_burst(Channel *c) {
        for (int i = 0; i < READ_BURST; i++) {
                ssize_t n = receive(c);
                if (n == -EAGAIN)
                        return 0;
                if (n == 0)
                        return -EPIPE;
                if (n < 0)
                        return (int)n;
                if (!c->ops->packet(c->context, c->packet, (size_t)n))
                        return -EBADMSG;
                if (c->freed || (c->error && !peer_went(c->error)))
                        return c->error;
        }
        return 0;
}

static void on_ready(void *context, int events) {
        Channel *c = context;
        c->depth++;
        int r = c->error && !peer_went(c->error) ? c->error : 0;
        if (r == 0 && (events & LOOP_READ))
                r = read_burst(c);
        if (r == 0 && !c->freed && !c->error && (events & LOOP_WRITE))
                drain(c);
        if (r < 0 && !c->freed)
                finish(c, r);
        release(c);
}

/* A packet of the largest size must fit whole. 0 or -ENOBUFS. */
static int raise_send_buffer(int fd) {
        int want = (int)SEND_BUFFER, have = 0;
        socklen_t len = sizeof have;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof want);
        if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &have, &len) < 0)
                return -errno;
        if ((size_t)have >= CHANNEL_PACKET_MAX + 4096)
                return 0;
        /* net.core.wmem_max is very low here: only the privileged side can go beyond it. */
        return setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &want, sizeof want) < 0 ? -ENOBUFS : 0;
}

static int set_nonblocking(int fd) {
        int flags = fcntl(fd, F_GETFL);
        return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int channel_new(Loop *loop, int fd, const ChannelOps *ops, void *context, size_t queue_limit, Channel **ret_channel) {
        CLEANUP_FD int own_fd = fd;
        int r = set_nonblocking(own_fd);
        if (r == 0)
                r = raise_send_buffer(own_fd);
        if (r < 0)
                return r;
        CLEANUP_FREE Channel *c = calloc(1, sizeof *c);
        CLEANUP_FREE char *packet = malloc(CHANNEL_PACKET_MAX);
        if (!c || !packet)
                return -ENOMEM;
        *c = (Channel){ .fd = own_fd, .ops = ops, .context = context, .queue_limit = queue_limit };
        c->last = &c->first;
        r = loop_fd(loop, own_fd, LOOP_READ, on_ready, c, &c->watch);
        if (r < 0)
                return r;
        (void)TAKE_FD(own_fd);
        c->packet = TAKE_PTR(packet);
        *ret_channel = TAKE_PTR(c);
        return 0;
}

static int unix_address(const char *path, struct sockaddr_un *ret_address) {
        size_t n = strlen(path);
        if (n == 0)
                return -EINVAL;
        if (n >= sizeof ret_address->sun_path)
                return -ENAMETOOLONG;
        *ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(ret_address->sun_path, path, n + 1);
        return 0;
}

static int seqpacket_socket(void) {
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        return fd < 0 ? -errno : fd;
}

int channel_connect(const char *path, int *ret_fd) {
        struct sockaddr_un address;
        int r = unix_address(path, &address);
        if (r < 0)
                return r;
        CLEANUP_FD int fd = seqpacket_socket();
        if (fd < 0)
                return fd;
        if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Removes the socket file that a dead program left; -EADDRINUSE when it is alive or no socket. */
static int remove_stale(const char *path) {
        struct stat st;
        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EADDRINUSE;
        CLEANUP_FD int fd = -1;
        int r = channel_connect(path, &fd);
        if (r != -ECONNREFUSED)
                return r == -EACCES ? -EACCES : r == -ENOENT ? 0 : -EADDRINUSE;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int channel_listen(const char *path, mode_t mode, int *ret_fd) {
        struct sockaddr_un address;
        int r = unix_address(path, &address);
        if (r == 0)
                r = remove_stale(path);
        if (r < 0)
                return r;
        CLEANUP_FD int fd = seqpacket_socket();
        if (fd < 0)
                return fd;
        /* The mode must be right from the first instant, and bind() knows none but the umask. */
        mode_t old = umask(~mode & 0777);
        r = bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
        (void)umask(old);
        if (r < 0)
                return r;
        if (listen(fd, LISTEN_BACKLOG) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int channel_peer_uid(int fd, uid_t *ret_uid) {
        struct ucred peer;
        socklen_t len = sizeof peer;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
                return -errno;
        *ret_uid = peer.uid;
        return 0;
}
