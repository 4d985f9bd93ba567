/* libvirt's typed parameters ("block.0.rd.bytes" = 4096) turned into rows of a batch. Pure.
 *
 * A parameter that libvirt did not give leaves its value absent; one that we do not know is passed over.
 * Names of disks and interfaces are bytes from outside and are only moved. */
#pragma once

#include "model/batch.h"

#include <libvirt/libvirt.h>

/* One row without labels: state.*, balloon.*. Return the number of values that were set. */
size_t params_state(const virTypedParameter *p, int n, BatchBuilder *b);
size_t params_balloon(const virTypedParameter *p, int n, BatchBuilder *b);
/* One row a disk, an interface, an enabled perf event. Return the number of values that were set. */
size_t params_block(const virTypedParameter *p, int n, BatchBuilder *b);
size_t params_net(const virTypedParameter *p, int n, BatchBuilder *b);
size_t params_perf(const virTypedParameter *p, int n, BatchBuilder *b);
