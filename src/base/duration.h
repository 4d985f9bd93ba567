/* Durations as people write them: "250ms", "10s", "1m30s", "2h", "1d", "1y" (365 days), "1w". */
#pragma once

#include "base/buf.h"

/* Each unit (y w d h m s ms) at most once, in this order, whole numbers. 0, -EINVAL or -ERANGE. */
int duration_parse(const char *text, int64_t *ret_ns) MUST_USE;
/* The same form, without weeks; what is under a millisecond is left out. */
void duration_print(int64_t ns, Buf *out);
