/* The series of a host and of a VM: one row a kind. What a row says decides the name, the labels, the numbers' class
 * and which activity of the machine moves them. */
#pragma once

#include <stddef.h>

typedef enum FleetClass {
        CLASS_CONSTANT,
        CLASS_NS_COUNTER,    /* nanoseconds, sent as seconds with nine decimals */
        CLASS_BYTE_COUNTER,
        CLASS_EVENT_COUNTER, /* requests, packets, faults */
        CLASS_KIB_GAUGE,     /* bytes, multiples of 1024 */
        CLASS_CENTI_GAUGE,   /* two decimals */
        CLASS_FULL_DOUBLE,   /* a quotient: all 52 bits */
        CLASS_COUNT
} FleetClass;

typedef enum FleetPer { PER_VM, PER_VCPU, PER_DISK, PER_NIC, PER_HOST, PER_HOST_CPU, PER_HOST_DISK, PER_HOST_NIC, PER_COUNT } FleetPer;

/* What goes on in a machine in one step; see fleet.c. */
typedef enum FleetDrive { DRIVE_NONE, DRIVE_CPU, DRIVE_WAIT, DRIVE_READ, DRIVE_WRITE, DRIVE_RECEIVE, DRIVE_SEND, DRIVE_COUNT } FleetDrive;

typedef struct FleetKind {
        FleetPer per;
        FleetClass class;
        FleetDrive drive;
        double scale;     /* of the increment, level or constant; in the unit of the class */
        const char *name; /* without the prefix of the label style */
} FleetKind;

extern const FleetKind fleet_kinds[];
extern const size_t fleet_kind_count;
const char *fleet_class_name(FleetClass c);
