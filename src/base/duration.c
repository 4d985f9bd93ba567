#include "base/duration.h"

#include "base/scan.h"
#include "base/time.h"

static const struct {
        const char *name;
        int64_t ns;
} UNITS[] = {
        { "y", 365 * 86400 * NS_PER_SEC }, { "w", 7 * 86400 * NS_PER_SEC }, { "d", 86400 * NS_PER_SEC }, { "h", 3600 * NS_PER_SEC },
        { "m", 60 * NS_PER_SEC },          { "s", NS_PER_SEC },             { "ms", NS_PER_MS },
};

#define WEEKS 1 /* read, not written: 30d is easier to read than 4w2d */

/* The index of the unit that is next, or -1; "ms" before "m". */
static int take_unit(Scan *s) {
        if (scan_literal(s, "ms"))
                return 6;
        for (int i = 0; i < 6; i++)
                if (scan_literal(s, UNITS[i].name))
                        return i;
        return -1;
}

int duration_parse(const char *text, int64_t *ret_ns) {
        Scan s = SCAN(text, strlen(text));
        int64_t total = 0;
        int last = -1;
        if (s.at == s.end)
                return -EINVAL;
        while (s.at < s.end) {
                uint64_t n;
                if (*s.at < '0' || *s.at > '9')
                        return -EINVAL;
                if (!scan_u64(&s, &n))
                        return -ERANGE;
                int unit = take_unit(&s);
                if (unit <= last)
                        return -EINVAL;
                last = unit;
                int64_t part;
                if (n > INT64_MAX || __builtin_mul_overflow((int64_t)n, UNITS[unit].ns, &part) ||
                    __builtin_add_overflow(total, part, &total))
                        return -ERANGE;
        }
        *ret_ns = total;
        return 0;
}

void duration_print(int64_t ns, Buf *out) {
        if (ns < NS_PER_MS) {
                buf_put_str(out, "0s");
                return;
        }
        for (size_t i = 0; i < ARRAY_LEN(UNITS); i++) {
                if (ns < UNITS[i].ns || i == WEEKS)
                        continue;
                buf_printf(out, "%lld%s", (long long)(ns / UNITS[i].ns), UNITS[i].name);
                ns %= UNITS[i].ns;
        }
}
