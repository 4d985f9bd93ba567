/* A fleet of virtual machines as its exporters would tell of it: ten hosts, twenty VMs each, 14,207 series every 10 s.
 *
 * Deterministic: options and seed decide every byte. Values are computed window by window of up to FLEET_WINDOW steps, any
 * series of the window in any order, each once. A machine (a host or a VM: an *owner*) has one course of activity that all its
 * series follow, so that bursts are correlated; a VM may be stopped (a tenth), idle (three tenths), restart (counters begin anew)
 * or be replaced by another with a name of its own. */
#pragma once

#include "base/buf.h"
#include "fleet/kinds.h"

#include <stdbool.h>
#include <stdint.h>

#define FLEET_WINDOW 60

typedef struct FleetOptions {
        uint64_t seed;
        uint32_t series;    /* the last machine is cut off there */
        int64_t begin_ms;   /* of the first step */
        int64_t step_ms;
        int64_t jitter_ms;  /* of one look at a host, shared by all its series */
        bool resolutions;   /* CPU time in microseconds, ratios in 1e-4 */
        bool rich_labels;   /* 9 or 10 labels with uuid and project, instead of 3 or 4 */
} FleetOptions;

typedef enum FleetPresence { FLEET_ABSENT, FLEET_STALE, FLEET_PRESENT } FleetPresence;

typedef struct Fleet Fleet;

Fleet *fleet_new(const FleetOptions *o);
Fleet *fleet_free(Fleet *f);
void fleet_freep(Fleet **f);
uint32_t fleet_count(const Fleet *f);
FleetClass fleet_class(const Fleet *f, uint32_t series);

/* Goes on to the next n steps. */
void fleet_window(Fleet *f, uint32_t n);
/* The values of one series in this window; those of absent steps are undefined, a stale one is Prometheus' marker. */
void fleet_values(Fleet *f, uint32_t series, double ret_values[FLEET_WINDOW]);
int64_t fleet_time(const Fleet *f, uint32_t series, uint32_t step);
FleetPresence fleet_presence(const Fleet *f, uint32_t series, uint32_t step);
/* Counts the VMs that had this place: another number means other labels. */
uint32_t fleet_incarnation(const Fleet *f, uint32_t series, uint32_t step);
/* Appends the canonical run of labels (model/labels.h). */
void fleet_labels(const Fleet *f, uint32_t series, uint32_t incarnation, Buf *out);
