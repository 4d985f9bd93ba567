/* What a store must hold, or holds, by series: how many samples, first and last time, a checksum that does not depend on the
 * order, and the sum of the values that are numbers. Two stores with equal ledgers hold the same samples. A ledger is a table
 * of series by their canonical runs (model/labels.h), too.
 *
 * Programs of the bench only: an allocation that fails ends them. */
#pragma once

#include "base/buf.h"
#include "base/scan.h"

#include <stdint.h>

typedef struct Ledger Ledger;

Ledger *ledger_new(void);
Ledger *ledger_free(Ledger *l);
void ledger_freep(Ledger **l);
/* The number of the series, given when it is new. */
uint32_t ledger_series(Ledger *l, const char *run, size_t len);
uint32_t ledger_count(const Ledger *l);
Span ledger_run(const Ledger *l, uint32_t series);
/* All NaN count as equal: texts do not tell them apart. */
void ledger_add(Ledger *l, uint32_t series, int64_t ms, double value);
/* A line a series, ordered by labels: `labels<TAB>count<TAB>first ms<TAB>last ms<TAB>checksum<TAB>sum`. 0 or a negative errno. */
int ledger_write(const Ledger *l, const char *path) MUST_USE;
/* Appends name{label="value"} of a run. */
void ledger_print_run(Span run, Buf *out);
