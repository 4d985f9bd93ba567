/* How a look at libvirt ended. */
#pragma once

#include <stdint.h>

typedef enum VirtState {
        VIRT_OK = 0,
        VIRT_GONE,   /* no such domain any more */
        VIRT_BUSY,   /* the monitor is taken, or libvirt gave it up: nothing more was asked */
        VIRT_FAILED, /* libvirt's error, in `error` */
        VIRT_DOWN,   /* no connection to libvirt */
} VirtState;

typedef struct VirtOutcome {
        VirtState state;
        int error;       /* VIRT_FAILED: virErrorNumber; VIRT_BUSY, VIRT_OK of a monitor: virDomainControlState */
        int64_t control; /* VIRT_BUSY: ms since the monitor was entered, as far as libvirt knows */
} VirtOutcome;

/* From libvirt's last error: gone, down or failed. */
VirtOutcome virt_outcome_of_error(void);
