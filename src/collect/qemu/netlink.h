/* Counters of the host's network interfaces, all in one RTM_GETSTATS dump (0.07 us a link).
 *
 * link_table_begin() or link_table_at() say that what is known is too old; the next lookup dumps. Names come from an RTM_GETLINK dump
 * when an unknown interface index shows up. With a root other than "/" the counters are read from
 * ROOT/proc/net/dev and the indexes from ROOT/sys/class/net. Needs no privilege. */
#pragma once

#include "base/cleanup.h"
#include "base/time.h"

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct LinkTable LinkTable;

/* From the host's point of view, as /proc/net/dev counts (rx_drops includes missed ones). */
typedef struct Link {
        uint32_t index;
        char name[IF_NAMESIZE]; /* "" when it could not be had */
        uint64_t rx_bytes, rx_packets, rx_errors, rx_drops;
        uint64_t tx_bytes, tx_packets, tx_errors, tx_drops;
} Link;

int link_table_new(const char *root, LinkTable **ret_table) MUST_USE;
LinkTable *link_table_free(LinkTable *t);

/* What is known is old: the next lookup dumps again. `names` asks for the names again, too. */
void link_table_begin(LinkTable *t, bool names);
/* The same when what is known is older than `most`; the dump that follows counts as of these times. */
void link_table_at(LinkTable *t, WallTime wall, MonoTime mono, Duration most);
/* The times of what the last lookup gave. */
void link_table_times(const LinkTable *t, WallTime *ret_wall, MonoTime *ret_mono);
/* NULL when there is none, or when the dump failed in this round. Valid until the next lookup. */
const Link *link_by_index(LinkTable *t, uint32_t index);
const Link *link_by_name(LinkTable *t, const char *name);
