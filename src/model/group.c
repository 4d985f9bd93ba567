#include "model/group.h"

#include "base/cleanup.h"

#include <assert.h>

#define KEYS0() .n_keys = 0, .keys = { NULL }
#define KEYS1(a) .n_keys = 1, .keys = { a }
#define KEYS2(a, b) .n_keys = 2, .keys = { a, b }
#define KEYS3(a, b, c) .n_keys = 3, .keys = { a, b, c }
#define KEYS4(a, b, c, d) .n_keys = 4, .keys = { a, b, c, d }
#define KEYS5(...) .n_keys = 5, .keys = { __VA_ARGS__ }
#define KEYS6(...) .n_keys = 6, .keys = { __VA_ARGS__ }
#define KEYS8(...) .n_keys = 8, .keys = { __VA_ARGS__ }
#define KEYS12(...) .n_keys = 12, .keys = { __VA_ARGS__ }
#define KEYS20(...) .n_keys = 20, .keys = { __VA_ARGS__ }

const char *metric_type_name(MetricType t) {
        static const char *const NAMES[METRIC_TYPE_COUNT] = {
                [METRIC_COUNTER] = "counter",     [METRIC_GAUGE] = "gauge",
                [METRIC_UNTYPED] = "unknown",     [METRIC_HISTOGRAM] = "histogram",
                [METRIC_GAUGE_HISTOGRAM] = "gaugehistogram", [METRIC_SUMMARY] = "summary",
                [METRIC_INFO] = "info",           [METRIC_STATESET] = "stateset",
        };
        assert((unsigned)t < METRIC_TYPE_COUNT);
        return NAMES[t];
}

const GroupDesc GROUPS[GROUP_COUNT] = {
#define GROUP(gid, ekind, glane, gkeys, ghelp)                                                                         \
        [GROUP_##gid] = { .id = #gid,                                                                                  \
                          .kind = ENTITY_##ekind,                                                                      \
                          .lane = LANE_##glane,                                                                        \
                          .first = M_##gid##_FIRST_,                                                                   \
                          gkeys,                                                                                       \
                          .help = ghelp },
#define METRIC(group, id, name, label, type, unit, help)
#include "metrics.def"
#undef GROUP
#undef METRIC
};

const MetricDesc METRICS[METRIC_COUNT] = {
#define GROUP(id, kind, lane, keys, help)
#define METRIC(mgroup, mid, mname, mlabel, mtype, munit, mhelp)                                                        \
        [M_##mgroup##_##mid] = { .group = GROUP_##mgroup,                                                              \
                                 .name = mname,                                                                        \
                                 .label = mlabel,                                                                      \
                                 .type = METRIC_##mtype,                                                               \
                                 .unit = UNIT_##munit,                                                                 \
                                 .help = mhelp },
#include "metrics.def"
#undef GROUP
#undef METRIC
};

size_t group_columns(GroupId g) {
        assert(g < GROUP_COUNT);
        size_t next = g + 1 < GROUP_COUNT ? GROUPS[g + 1].first : METRIC_COUNT;
        return next - GROUPS[g].first;
}

typedef struct UnitDesc {
        double multiply, divide;
        const char *name;
} UnitDesc;

static const UnitDesc UNITS[UNIT_COUNT] = {
        [UNIT_ONE] = { 1, 1, "" },
        [UNIT_NS] = { 1, 1e9, "nanoseconds" },
        [UNIT_US] = { 1, 1e6, "microseconds" },
        [UNIT_MS] = { 1, 1e3, "milliseconds" },
        [UNIT_TICK] = { 1, 100, "ticks of 10 ms" },
        [UNIT_SECOND] = { 1, 1, "seconds" },
        [UNIT_BYTE] = { 1, 1, "bytes" },
        [UNIT_KIB] = { 1024, 1, "KiB" },
        [UNIT_PAGE] = { 4096, 1, "pages of 4 KiB" },
        [UNIT_SECTOR] = { 512, 1, "sectors of 512 bytes" },
        [UNIT_PERCENT] = { 1, 1, "percent" },
        [UNIT_MICRO] = { 1, 1e6, "millionths" },
        [UNIT_MILLI] = { 1, 1e3, "thousandths" },
        [UNIT_MIB] = { 1048576, 1, "MiB" },
};

double unit_expose(Unit u, double raw) {
        assert(u < UNIT_COUNT);
        const UnitDesc *d = &UNITS[u];
        return d->divide != 1 ? raw / d->divide : raw * d->multiply;
}

const char *unit_name(Unit u) {
        assert(u < UNIT_COUNT);
        return UNITS[u].name;
}
