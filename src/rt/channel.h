/* A non-blocking SOCK_SEQPACKET connection that carries packets of frames both ways, on a loop.
 *
 * Outgoing packets that the socket does not take are queued up to `queue_limit` bytes; beyond it the
 * channel closes itself (the peer is stuck; state is sent anew after reconnecting). */
#pragma once

#include "base/buf.h"
#include "rt/loop.h"

typedef struct Channel Channel;

typedef struct ChannelOps {
        /* One packet, aligned to 8, at most CHANNEL_PACKET_MAX. Return false to close the channel. */
        bool (*packet)(void *context, const void *bytes, size_t n);
        /* The channel ended: -EPIPE peer closed, -EMSGSIZE packet too long, -ENOBUFS queue over its
         * limit, -EBADMSG refused by packet(), or a socket error. Call channel_free() here or later. */
        void (*closed)(void *context, int error);
} ChannelOps;

#define CHANNEL_PACKET_MAX ((size_t)64 << 10)

/* Takes ownership of fd (set non-blocking, SO_SNDBUF raised so that the largest packet fits). */
int channel_new(Loop *loop, int fd, const ChannelOps *ops, void *context, size_t queue_limit,
                Channel **ret_channel) MUST_USE;
Channel *channel_free(Channel *c);
/* Queues one packet; matches FrameWriter's emit with `c` as context. */
void channel_send(void *c, const void *packet, size_t n);

/* Listening and connecting on Unix SEQPACKET sockets. A stale socket file is replaced only when nobody
 * answers on it (-EADDRINUSE otherwise). */
int channel_listen(const char *path, mode_t mode, int *ret_fd) MUST_USE;
int channel_connect(const char *path, int *ret_fd) MUST_USE;
/* User id of the peer. */
int channel_peer_uid(int fd, uid_t *ret_uid) MUST_USE;
