/* The sensor: collectors, scheduler, workers and the connection to parallaxd, put together. Owned by main.c,
 * runs on its loop, one thread. */
#pragma once

#include "rt/loop.h"
#include "rt/settings.h"

typedef struct Sensor Sensor;

/* Takes ownership of the settings (also on failure). */
int sensor_new(Loop *loop, Settings *settings, Sensor **ret_sensor) MUST_USE;
/* Ends the workers too. */
Sensor *sensor_free(Sensor *s);
/* Other settings from now on; takes ownership. What cannot change while running (root, runtime_dir) stays. */
void sensor_reload(Sensor *s, Settings *settings);
/* For `systemctl status`. */
void sensor_status(const Sensor *s, Buf *out);
