/* The columns of a rollup as one piece (layout.h, "A chunk's values"). */
#pragma once

#include "store/part/part.h"

/* columns[c] is NULL for a column that is not there; at least one is. Errors are sticky in out. */
void rollup_encode(const double *const columns[ROLLUP_COLUMN_COUNT], uint32_t n, CodecEffort effort, Buf *out);
/* All n values of one column, which is in `columns`. 0, -EBADMSG, -ENOMEM. */
int rollup_decode(const uint8_t *bytes, size_t len, uint8_t columns, uint32_t n, RollupColumn column,
                  double *ret_values) MUST_USE;
