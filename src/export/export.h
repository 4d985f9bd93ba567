/* The exposition: the latest values under the names and labels that dashboards already know.
 *
 * A render walks over the table once, allocates nothing per sample, and never waits for a collector.
 * Absent values have no series; a domain that is gone has none either. No two domains share labels: a
 * name that two domains have (or that differ only in bytes that are not UTF-8) gets "~UUID" behind it. */
#pragma once

#include "base/buf.h"
#include "export/self_stats.h"
#include "model/latest.h"

typedef enum ExportProfile {
        EXPORT_TINKOFF, /* the default: Tinkoff's libvirt exporter, and parallax_domain_* beside it */
        EXPORT_INOVEX,
        EXPORT_ZHANGJIANWEIBJ,
        EXPORT_NODE,
        EXPORT_CONTAINER,
        EXPORT_SELF,
        EXPORT_PROFILE_COUNT
} ExportProfile;

struct Expo; /* wire/expo.h */

typedef struct ExportContext {
        const Latest *latest;
        const SelfStats *self; /* NULL: no counters of the daemon */
        /* More families of parallaxd about itself, with labels; may be NULL. */
        void (*self_more)(void *context, struct Expo *expo);
        void *self_more_context;
        const char *host_name; /* label `host` */
        const char *version;   /* parallax_build_info */
        MonoTime now;
} ExportContext;

/* "tinkoff", ...; by_name knows the libvirt profiles only and returns -ENOENT for others. */
const char *export_profile_name(ExportProfile p);
int export_profile_by_name(const char *name, ExportProfile *ret_profile) MUST_USE;

/* Appends a whole exposition. 0, -ENOMEM or -EFBIG (over the buffer's limit). */
int export_render(const ExportContext *c, ExportProfile p, bool openmetrics, Buf *out) MUST_USE;
