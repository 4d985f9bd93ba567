/* What this host's own collectors see, on its way to the store: a sink that passes everything on to the latest-value
 * table and writes each batch as samples of labelled series.
 *
 * A series has the metric's name (tables/metrics.def) and the labels of its group, and beside them:
 *
 *   of a domain     job="libvirt", instance and host = the host's name, domain = its name, uuid
 *   of a container  job="cadvisor", instance, host, id = the path of its cgroup, name
 *   of the host     job="node", instance, host
 *
 * A series whose row, group or entity goes ends with a staleness marker. Names come from tenants: what is not UTF-8
 * becomes U+FFFD, what is too long is cut. A value that the store refuses is counted there; the latest-value table has
 * it all the same. Main thread. */
#pragma once

#include "model/latest.h"
#include "model/series_sink.h"

typedef struct LocalIngest {
        Sink sink;
        Latest *latest;
        SeriesSink *series; /* NULL: no history, everything is only passed on */
        const char *host;   /* borrowed */
        Buf run, text;      /* scratch */
        bool open;          /* a request is under way */
        uint64_t ticket;    /* of the last one */
        uint64_t refused;   /* whole batches, because the store takes nothing */
        bool *group_described; /* groups whose metrics the store was told about */
} LocalIngest;

int local_ingest_init(LocalIngest *l, Latest *latest, SeriesSink *series, const char *host) MUST_USE;
void local_ingest_deinit(LocalIngest *l);
/* Ends the series of an entity that is about to leave the table: for Latest's on_gone. */
void local_ingest_gone(LocalIngest *l, const LatestEntity *e);
