/* The labels of a series of the fleet, as a canonical run (model/labels.h). */
#pragma once

#include "base/buf.h"
#include "fleet/kinds.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct FleetNames {
        uint32_t host, vm; /* vm UINT32_MAX: a series of the host */
        uint32_t incarnation, index;
        const FleetKind *kind;
        bool rich;
} FleetNames;

void fleet_names(const FleetNames *n, Buf *out);
