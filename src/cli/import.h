/* Parts of `parallax import` that are tested by themselves. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define IMPORT_CHUNK ((size_t)4 << 20)

/* How many of n bytes are whole lines. */
size_t import_cut(const char *bytes, size_t n);
/* Whether a text ends with a line "# EOF", as OpenMetrics does. */
bool import_is_openmetrics(const char *bytes, size_t n);
