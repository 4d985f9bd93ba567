/* `parallax store`: what is asked of a running parallaxd, or done to a directory that no parallaxd has open. Private to src/cli. */
#pragma once

#include "cli/cli.h"
#include "store/export.h"

#define STORE_MATCHERS_MAX 16u

typedef struct StoreArgs {
        const char *verb;     /* "info", ... */
        const char *data_dir; /* NULL: a running parallaxd */
        const char *matchers[STORE_MATCHERS_MAX]; /* "label=value" */
        size_t n_matchers;
        char *vm;             /* owned: "uuid=..." for --vm */
        int64_t begin_ms, end_ms; /* begin < t <= end */
        StoreTier tier;
        RollupColumn column;
        bool json;
        const char *operand;  /* a path or a part's name; NULL: none */
} StoreArgs;

/* On a directory; the exit code. */
int store_on_directory(const StoreArgs *a);
/* The JSON of `store info`, for people. */
void store_render_info(json_t *info, Buf *out);
/* Says how many files are damaged; the exit code. */
int store_print_verified(int damaged);
