/* parallaxd's end of the socket to parallax-sensor: RUNTIME_DIR/sensor.sock, one sensor at a time.
 *
 * Frames go into `sink`. Only user 0, our own user and the sensor's user may connect, and the first frame must be
 * a HELLO of the same build. Main thread only. */
#pragma once

#include "model/sink.h"
#include "rt/loop.h"
#include "wire/frame.h"

typedef struct SensorLink SensorLink;

typedef struct SensorLinkOps {
        void (*connected)(void *context);    /* HELLO was right; everything will be sent anew */
        void (*disconnected)(void *context);
} SensorLinkOps;

typedef struct SensorLinkStats {
        bool connected;
        uint32_t pid;       /* of the sensor, as it says; 0 while there is none */
        uint64_t connects, refused, bad_frames;
        uint64_t packets, bytes;
        MonoTime last;      /* when the last packet came */
} SensorLinkStats;

/* 0 or negative errno (-EADDRINUSE: another parallaxd answers there). */
int sensor_link_open(Loop *loop, const char *path, Sink *sink, const SensorLinkOps *ops, void *context,
                     SensorLink **ret_link) MUST_USE;
SensorLink *sensor_link_close(SensorLink *l);
const SensorLinkStats *sensor_link_stats(const SensorLink *l);
/* Does nothing while no sensor is connected. */
void sensor_link_send_tier(SensorLink *l, EntityKey key, uint16_t tier);
