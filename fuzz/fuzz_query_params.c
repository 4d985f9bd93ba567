/* Any text as a time and as a duration of a query's parameters. What is taken is within what queries may have, and what
 * is written as a plain number again is the same. */
#include "api/prom.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* What is added to a time must not overflow; but Prometheus's own least and greatest times are taken as such. */
#define TIME_MOST INT64_C(9223372036854775)

static void check_time(const char *text) {
        char again[64];
        int64_t ms, same;
        if (!prom_parse_time(text, &ms))
                return;
        if (ms == INT64_MAX || ms == INT64_MIN + 1)
                return;
        assert(ms >= -TIME_MOST && ms <= TIME_MOST);
        (void)snprintf(again, sizeof again, "%s%" PRId64 ".%03" PRId64, ms < 0 ? "-" : "", (ms < 0 ? -ms : ms) / 1000,
                       (ms < 0 ? -ms : ms) % 1000);
        bool taken = prom_parse_time(again, &same);
        /* Beyond 2^53 ms the seconds as a double say no milliseconds. */
        assert(taken && (same == ms || llabs(ms) > INT64_C(1) << 50));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        Duration d;
        char *text = malloc(n + 1);
        assert(text);
        memcpy(text, bytes, n);
        text[n] = '\0';
        check_time(text);
        if (prom_parse_duration(text, &d))
                assert(d.ns >= -INT64_MAX);
        free(text);
        return 0;
}
