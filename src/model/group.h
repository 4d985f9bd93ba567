/* What can be measured: groups of metrics, declared once in tables/metrics.def.
 *
 * A *group* is a set of metrics that one look at one source fills together: they share the kind of
 * entity, the label keys of their rows, and one timestamp. A batch is a table, one row an instance
 * (a vCPU, a disk; exactly one row without labels when the group has no keys), one column a metric.
 *
 * Values travel in the unit of their source (ns, ticks, KiB), so that nothing is lost; metric_expose()
 * gives the base unit that names promise. An absent value is a VALUE_ABSENT, never 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum EntityKind {
        ENTITY_HOST = 1,
        ENTITY_DOMAIN = 2,    /* a libvirt domain: a virtual machine */
        ENTITY_CONTAINER = 3, /* a container, or a systemd service: what one cgroup holds */
} EntityKind;

/* Who fills a group; see docs/architecture.md, "Lanes". */
typedef enum Lane {
        LANE_KERNEL = 0,  /* cgroup, /proc, netlink: works without libvirtd */
        LANE_LIBVIRT = 1, /* libvirt calls that need no monitor job */
        LANE_MONITOR = 2, /* libvirt calls that ask QEMU's monitor */
        LANE_COUNT
} Lane;

/* What senders say a metric is; our own are of the first three. UNTYPED is what node_exporter exposes so (node_netstat_*,
 * node_vmstat_*): "untyped", in OpenMetrics "unknown". The numbers are in the store's files: new ones come at the end. */
typedef enum MetricType {
        METRIC_COUNTER,
        METRIC_GAUGE,
        METRIC_UNTYPED,
        METRIC_HISTOGRAM,
        METRIC_GAUGE_HISTOGRAM,
        METRIC_SUMMARY,
        METRIC_INFO,
        METRIC_STATESET,
        METRIC_TYPE_COUNT
} MetricType;

/* "counter", "gaugehistogram", ...; "unknown" for UNTYPED: the words of OpenMetrics and of Prometheus's API. */
const char *metric_type_name(MetricType t);

/* The unit of the source; the exposed value is in the base unit (seconds, bytes) of metric_expose(). */
typedef enum Unit {
        UNIT_ONE,
        UNIT_NS,      /* -> seconds */
        UNIT_US,      /* -> seconds */
        UNIT_MS,      /* -> seconds */
        UNIT_TICK,    /* USER_HZ, 1/100 s -> seconds */
        UNIT_SECOND,
        UNIT_BYTE,
        UNIT_KIB,     /* -> bytes */
        UNIT_PAGE,    /* 4096 bytes -> bytes */
        UNIT_SECTOR,  /* 512 bytes -> bytes */
        UNIT_PERCENT, /* stays percent: used where a dashboard's name says so */
        UNIT_MICRO,   /* millionths -> one */
        UNIT_MILLI,   /* thousandths -> one */
        UNIT_MIB,     /* -> bytes */
        UNIT_COUNT
} Unit;

typedef uint16_t GroupId;
typedef uint16_t MetricId;

enum {
#define GROUP(id, kind, lane, keys, help) GROUP_##id,
#define METRIC(group, id, name, label, type, unit, help)
#include "metrics.def"
#undef GROUP
#undef METRIC
        GROUP_COUNT
};

/* M_<group>_<metric>; the metrics of a group are consecutive. */
enum {
#define GROUP(id, kind, lane, keys, help) M_##id##_FIRST_, M_##id##_BEFORE_ = M_##id##_FIRST_ - 1,
#define METRIC(group, id, name, label, type, unit, help) M_##group##_##id,
#include "metrics.def"
#undef GROUP
#undef METRIC
        METRIC_COUNT
};

#define GROUP_MAX_KEYS 20 /* node_dmi_info has so many */

typedef struct GroupDesc {
        const char *id; /* "DOM_VCPU" */
        EntityKind kind;
        Lane lane;
        MetricId first;  /* its metrics are first .. first + group_columns() - 1 */
        uint8_t n_keys;
        const char *keys[GROUP_MAX_KEYS]; /* label keys of its rows */
        const char *help;
} GroupDesc;

typedef struct MetricDesc {
        GroupId group;
        const char *name;  /* exposed name, in base units */
        const char *label; /* a fixed label of this column, `mode="user"`, or "" */
        MetricType type;
        Unit unit;
        const char *help;
} MetricDesc;

extern const GroupDesc GROUPS[GROUP_COUNT];
extern const MetricDesc METRICS[METRIC_COUNT];

/* Number of columns of a group. */
size_t group_columns(GroupId g);

/* The column of metric m in its group. */
static inline size_t metric_column(MetricId m) {
        return (size_t)(m - GROUPS[METRICS[m].group].first);
}

/* From the source's unit to the exposed one. Division, not multiplication by a fraction, so that
 * 100 ms is exactly 0.1. */
double unit_expose(Unit u, double raw);
const char *unit_name(Unit u);

/* Absent: a NaN with a payload of its own, told from a measured NaN by its bits. */
#define VALUE_ABSENT_BITS UINT64_C(0x7ff80000504c5841)

static inline double value_absent(void) {
        uint64_t bits = VALUE_ABSENT_BITS;
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
}

static inline bool value_is_absent(double v) {
        uint64_t bits;
        memcpy(&bits, &v, sizeof bits);
        return bits == VALUE_ABSENT_BITS;
}
