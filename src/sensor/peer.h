/* The connection to parallaxd: made, lost and made again. What is written while there is none goes
 * nowhere: with each connection everything is sent anew. One thread, the loop's. */
#pragma once

#include "rt/loop.h"
#include "sensor/frame_sink.h"

typedef struct Peer Peer;

typedef struct PeerOps {
        /* A connection is there, or the peer asks for everything again. */
        void (*resync)(void *context);
        void (*tier)(void *context, EntityKey key, uint16_t tier);
} PeerOps;

/* `path` is copied; `ops` is kept. */
int peer_new(Loop *loop, const char *path, const PeerOps *ops, void *context, Peer **ret_peer) MUST_USE;
Peer *peer_free(Peer *p);
/* Connects when it is time to. */
void peer_tick(Peer *p, MonoTime now);
bool peer_connected(const Peer *p);
/* Where to write. Nothing leaves before a flush or a full packet. */
FrameSink *peer_sink(Peer *p);
void peer_flush(Peer *p);
uint64_t peer_connections(const Peer *p);
