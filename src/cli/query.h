/* parallax query and parallax explain, apart from where the answers come from. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>

typedef struct QueryTimes {
        bool range;
        double start, end, step; /* seconds; an instant query is at `end` */
} QueryTimes;

/* Seconds since 1970, or RFC 3339 ("2026-11-25", "2026-11-25T12:00:00Z", "...T12:00:00.5+08:00"). */
bool query_parse_time(const char *s, double *ret_seconds);
/* A step that gives about `points` of them, not under a second and round. */
double query_default_step(double span, size_t points);
/* The line of the expression that an error "line:column: ..." is about, and below it a mark; nothing when the error has
 * no place. At most `width` columns. */
void query_mark(const char *expression, const char *error, size_t width, Buf *out);
