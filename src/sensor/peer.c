#include "sensor/peer.h"

#include "rt/channel.h"
#include "rt/log.h"

#define RETRY_MIN MILLISECONDS(250)
#define RETRY_MAX SECONDS(10)
/* A first round of a thousand domains with their XML fits; parallaxd that reads nothing for so long is stuck. */
#define QUEUE_LIMIT ((size_t)32 << 20)

struct Peer {
        Loop *loop;
        char *path;
        const PeerOps *ops;
        void *context;
        Channel *channel;
        FrameWriter writer;
        FrameSink sink;
        MonoTime retry_at;
        Duration retry;
        uint64_t connections;
        bool resync;
};

static void emit(void *context, const void *packet, size_t n) {
        Peer *p = context;
        if (p->channel)
                channel_send(p->channel, packet, n);
}

int peer_new(Loop *loop, const char *path, const PeerOps *ops, void *context, Peer **ret_peer) {
        Peer *p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        *p = (Peer){ .loop = loop, .path = strdup(path), .ops = ops, .context = context };
        frame_writer_init(&p->writer, emit, p);
        frame_sink_init(&p->sink, &p->writer);
        if (!p->path) {
                (void)peer_free(p);
                return -ENOMEM;
        }
        *ret_peer = p;
        return 0;
}

Peer *peer_free(Peer *p) {
        if (!p)
                return NULL;
        p->channel = channel_free(p->channel);
        frame_writer_deinit(&p->writer);
        free(p->path);
        free(p);
        return NULL;
}

static bool take_frame(Peer *p, const Frame *f) {
        switch (f->type) {
        case FRAME_TIER:
                p->ops->tier(p->context, f->key, f->tier);
                return true;
        case FRAME_RESYNC:
                p->resync = true;
                return true;
        case FRAME_HELLO:
                return frame_hello_matches(&f->hello);
        default:
                return false;
        }
}

static bool on_packet(void *context, const void *bytes, size_t n) {
        Peer *p = context;
        FrameReader reader = { bytes, (const uint8_t *)bytes + n };
        Frame f;
        int r;
        while ((r = frame_next(&reader, &f)) > 0)
                if (!take_frame(p, &f))
                        return false;
        return r == 0;
}

static void back_off(Peer *p, MonoTime now) {
        p->retry.ns = p->retry.ns ? p->retry.ns * 2 : RETRY_MIN.ns;
        if (p->retry.ns > RETRY_MAX.ns)
                p->retry = RETRY_MAX;
        p->retry_at = mono_add(now, p->retry);
}

static void on_closed(void *context, int error) {
        Peer *p = context;
        LOG(LOG_WARN, "sensor.peer.lost", LOG_E("error", error));
        p->channel = channel_free(p->channel);
        back_off(p, mono_now());
}

static const ChannelOps OPS = { .packet = on_packet, .closed = on_closed };

static int try_connect(Peer *p) {
        CLEANUP_FD int fd = -1;
        int r = channel_connect(p->path, &fd);
        if (r < 0)
                return r;
        r = channel_new(p->loop, TAKE_FD(fd), &OPS, p, QUEUE_LIMIT, &p->channel);
        if (r < 0)
                return r;
        p->connections++;
        p->retry = (Duration){ 0 };
        LOG(LOG_INFO, "sensor.peer.connected", LOG_S("path", p->path));
        /* What was begun for the last connection is none of this one's. */
        frame_writer_deinit(&p->writer);
        frame_writer_init(&p->writer, emit, p);
        frame_put_hello(&p->writer);
        p->resync = true;
        return 0;
}

void peer_tick(Peer *p, MonoTime now) {
        if (!p->channel && now.ns >= p->retry_at.ns) {
                int r = try_connect(p);
                if (r < 0) {
                        LOG_LIMITED(LOG_WARN, "sensor.peer.connect", p->path, LOG_S("path", p->path),
                                    LOG_E("error", r));
                        back_off(p, now);
                }
        }
        if (p->channel && p->resync) {
                p->resync = false;
                p->ops->resync(p->context);
        }
}

bool peer_connected(const Peer *p) {
        return p->channel != NULL;
}

FrameSink *peer_sink(Peer *p) {
        return &p->sink;
}

void peer_flush(Peer *p) {
        frame_flush(&p->writer);
}

uint64_t peer_connections(const Peer *p) {
        return p->connections;
}
