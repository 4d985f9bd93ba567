/* What is known of metrics: type, help, unit, as senders and collectors say. Bounded; what exceeds the bound is not
 * kept. Kept in the file "metadata", rewritten whole when it changed, and in the log until then.
 *
 * One lock of the owner guards it. Private to src/store. */
#pragma once

#include "base/buf.h"
#include "base/scan.h"
#include "model/group.h"
#include "store/vfs/vfs.h"

#define METADATA_NAME "metadata"
#define METADATA_MAX 20000u      /* metrics */
#define METADATA_TEXT_MAX 1024u  /* bytes of a help text; cut there */

typedef struct MetadataEntry {
        char *text; /* name, help, unit, each terminated */
        uint16_t name_len, help_len, unit_len;
        MetricType type;
} MetadataEntry;

typedef struct Metadata {
        MetadataEntry *entries;
        uint32_t n, cap;
        uint32_t *slots; /* number + 1 */
        uint32_t n_slots;
        bool changed; /* since it was saved */
} Metadata;

void metadata_deinit(Metadata *m);
/* 1: something new; 0: known already, or not kept. -ENOMEM. */
int metadata_put(Metadata *m, Span name, MetricType type, Span help, Span unit) MUST_USE;
const MetadataEntry *metadata_get(const Metadata *m, Span name);
/* The record of one metric, for the file and for the log; and back: -EBADMSG. */
void metadata_write(const MetadataEntry *e, Buf *out);
int metadata_read(Metadata *m, const uint8_t *bytes, size_t n) MUST_USE;
/* The whole as the file's bytes, and the file. A file that is missing or damaged is an empty one (-EBADMSG says so);
 * -EPROTONOSUPPORT for one of another version. */
void metadata_print(const Metadata *m, Buf *out);
int metadata_load(Metadata *m, Vfs *vfs) MUST_USE;
