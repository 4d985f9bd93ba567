#include "daemon/sensor_link.h"

#include "rt/channel.h"
#include "rt/log.h"

#include <pwd.h>
#include <sys/socket.h>

#define SENSOR_USER "parallax-sensor"
#define QUEUE_LIMIT ((size_t)4 << 20)

struct SensorLink {
        Loop *loop;
        int fd;
        LoopFd *watch;
        char *path;
        uid_t started_as, sensor_uid; /* sensor_uid: (uid_t)-1 when there is no such user */
        Sink *sink;
        const SensorLinkOps *ops;
        void *context;
        Channel *channel;
        bool greeted;
        FrameAssembler assembler;
        FrameWriter writer;
        SensorLinkStats stats;
};

static void end_connection(SensorLink *l) {
        if (!l->channel)
                return;
        bool greeted = l->greeted;
        l->channel = channel_free(l->channel);
        frame_assembler_deinit(&l->assembler);
        l->assembler = (FrameAssembler){ 0 };
        frame_writer_deinit(&l->writer);
        l->greeted = l->stats.connected = false;
        l->stats.pid = 0;
        if (greeted)
                l->ops->disconnected(l->context);
}

static void on_closed(void *context, int error) {
        SensorLink *l = context;
        /* One that never greeted may be a second parallaxd that looks whether we are there. */
        LOG(l->greeted ? LOG_WARN : LOG_DEBUG, "sensor.disconnected", LOG_E("reason", error));
        end_connection(l);
}

/* The first frame of a connection. */
static bool take_hello(SensorLink *l, const Frame *f) {
        if (f->type != FRAME_HELLO || !frame_hello_matches(&f->hello)) {
                LOG_LIMITED(LOG_ERROR, "sensor.refused", "hello",
                            LOG_S("reason", "not the same build; restart parallax-sensor and parallaxd together"));
                return false;
        }
        l->greeted = l->stats.connected = true;
        l->stats.pid = f->hello.pid;
        l->stats.connects++;
        LOG(LOG_INFO, "sensor.connected", LOG_I("pid", f->hello.pid));
        l->ops->connected(l->context);
        return true;
}

static bool take_frame(SensorLink *l, const Frame *f) {
        if (!l->greeted)
                return take_hello(l, f);
        return frame_to_sink(&l->assembler, f, l->sink) == 0;
}

static bool on_packet(void *context, const void *bytes, size_t n) {
        SensorLink *l = context;
        FrameReader reader = { bytes, (const uint8_t *)bytes + n };
        Frame f;
        int r;
        l->stats.packets++;
        l->stats.bytes += n;
        l->stats.last = mono_now();
        while ((r = frame_next(&reader, &f)) > 0)
                if (!take_frame(l, &f)) {
                        r = -EBADMSG;
                        break;
                }
        if (r < 0)
                l->stats.bad_frames++;
        return r == 0;
}

static const ChannelOps CHANNEL_OPS = { .packet = on_packet, .closed = on_closed };

static bool may_connect(const SensorLink *l, uid_t uid) {
        return uid == 0 || uid == geteuid() || uid == l->started_as ||
               (l->sensor_uid != (uid_t)-1 && uid == l->sensor_uid);
}

static void refuse(SensorLink *l, const char *reason, uid_t uid) {
        l->stats.refused++;
        LOG_LIMITED(LOG_WARN, "sensor.refused", reason, LOG_S("reason", reason), LOG_I("uid", uid));
}

static void on_acceptable(void *context, int events) {
        SensorLink *l = context;
        uid_t uid;
        (void)events;
        CLEANUP_FD int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return;
        int r = channel_peer_uid(fd, &uid);
        if (r < 0 || !may_connect(l, uid)) {
                refuse(l, "peer is not the sensor's user", r < 0 ? (uid_t)-1 : uid);
                return;
        }
        if (l->channel) {
                refuse(l, "a sensor is connected already", uid);
                return;
        }
        r = channel_new(l->loop, TAKE_FD(fd), &CHANNEL_OPS, l, QUEUE_LIMIT, &l->channel);
        if (r < 0) {
                LOG(LOG_ERROR, "sensor.accept.failed", LOG_E("error", r));
                return;
        }
        frame_writer_init(&l->writer, channel_send, l->channel);
}

static uid_t user_id(const char *name) {
        const struct passwd *pw = getpwnam(name);
        return pw ? pw->pw_uid : (uid_t)-1;
}

static void sensor_link_freep(SensorLink **l) {
        (void)sensor_link_close(*l);
}

int sensor_link_open(Loop *loop, const char *path, Sink *sink, const SensorLinkOps *ops, void *context,
                     SensorLink **ret_link) {
        CLEANUP(sensor_link_freep) SensorLink *l = calloc(1, sizeof *l);
        if (!l)
                return -ENOMEM;
        *l = (SensorLink){ .loop = loop, .fd = -1, .sink = sink, .ops = ops, .context = context };
        l->started_as = geteuid();
        l->sensor_uid = user_id(SENSOR_USER);
        int r = channel_listen(path, 0660, &l->fd);
        if (r < 0)
                return r;
        l->path = strdup(path);
        if (!l->path)
                return -ENOMEM;
        r = loop_fd(loop, l->fd, LOOP_READ, on_acceptable, l, &l->watch);
        if (r < 0)
                return r;
        *ret_link = TAKE_PTR(l);
        return 0;
}

SensorLink *sensor_link_close(SensorLink *l) {
        if (!l)
                return NULL;
        l->greeted = false; /* our own end: no disconnected() */
        end_connection(l);
        loop_fd_stop(l->watch);
        if (l->fd >= 0)
                (void)close(l->fd);
        if (l->path)
                (void)unlink(l->path); /* fails when privileges were dropped; the next start replaces it */
        free(l->path);
        free(l);
        return NULL;
}

const SensorLinkStats *sensor_link_stats(const SensorLink *l) {
        return &l->stats;
}

void sensor_link_send_tier(SensorLink *l, EntityKey key, uint16_t tier) {
        if (!l->greeted)
                return;
        frame_put_tier(&l->writer, key, tier);
        frame_flush(&l->writer);
}
