/* What a fleet is made of, by class: its share of the samples and about how many bytes a sample a good integer codec needs
 * (delta of the best order, Rice codes chosen for blocks of 128): to hold the generator against reference figures. */
#pragma once

#include "fleet/fleet.h"

/* Generates `steps` steps of the fleet for itself and prints a table. */
void fleet_report(const FleetOptions *o, uint32_t steps, FILE *out);
