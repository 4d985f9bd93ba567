/* The table of `parallax ls`, apart from where its JSON comes from. */
#pragma once

#include "base/buf.h"

#include <jansson.h>

typedef struct LsOptions {
        bool json, vms, containers, all;
        const char *sort; /* NULL: name */
        char **patterns;  /* shell patterns for names; any that matches */
        size_t n_patterns;
} LsOptions;

bool ls_sort_known(const char *key);
/* A new array: the machines that are asked for, in the order that is asked for. */
json_t *ls_select(json_t *machines, const LsOptions *o);
void ls_render(json_t *selected, Buf *out);
