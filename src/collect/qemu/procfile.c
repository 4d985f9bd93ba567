/* See procfile.h. The parsers run several times a machine and look, hence by hand and in one pass. */
#include "collect/qemu/procfile.h"

#include "base/cleanup.h"

#include <fcntl.h>

void procfile_close(KeptFile *f, KeptBudget *budget) {
        if (f->fd >= 0) {
                (void)close(f->fd);
                budget->used--;
        }
        *f = KEPT_NULL;
}

static ssize_t read_lines(int fd, char out[KEPT_BYTES]) {
        ssize_t n;
        do
                n = pread(fd, out, KEPT_BYTES, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        const char *nl = memrchr(out, '\n', (size_t)n);
        return nl ? nl + 1 - out : 0;
}

ssize_t procfile_read_opened(KeptFile *f, KeptBudget *budget, int fd, char out[KEPT_BYTES]) {
        CLEANUP_FD int opened = fd;
        if (opened < 0) {
                /* Out of descriptors is not the file's fault. */
                f->absent = opened != -EMFILE && opened != -ENFILE && opened != -EINTR;
                return opened;
        }
        ssize_t n = read_lines(opened, out);
        if (n >= 0 && budget->used < budget->most) {
                f->fd = TAKE_FD(opened);
                budget->used++;
        } else if (n < 0)
                f->absent = true;
        return n;
}

ssize_t procfile_read(KeptFile *f, KeptBudget *budget, int dirfd, const char *name, char out[KEPT_BYTES]) {
        if (f->fd >= 0) {
                ssize_t n = read_lines(f->fd, out);
                if (n < 0)
                        procfile_close(f, budget);
                return n;
        }
        if (f->absent)
                return -ENOENT;
        int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        return procfile_read_opened(f, budget, fd < 0 ? -errno : fd, out);
}

/* The next blank-separated number; what follows must be a blank or the end of the line. */
static bool next_number(const char **at, const char *end, uint64_t *ret_v) {
        const char *p = *at;
        while (p < end && *p == ' ')
                p++;
        bool negative = p < end && *p == '-';
        p += negative;
        const char *start = p;
        uint64_t v = 0;
        for (; p < end && *p >= '0' && *p <= '9'; p++)
                v = v * 10 + (uint64_t)(*p - '0');
        if (p == start || p - start > 20 || p >= end || (*p != ' ' && *p != '\n'))
                return false;
        *at = p;
        *ret_v = negative ? 0 : v;
        return true;
}

enum { STAT_STATE = 3, STAT_MINFLT = 10, STAT_MAJFLT = 12, STAT_UTIME = 14, STAT_STIME = 15, STAT_THREADS = 20,
       STAT_START = 22, STAT_RSS = 24, STAT_PROCESSOR = 39 };

bool parse_stat(const char *text, size_t n, ProcStat *ret) {
        const char *end = text + n;
        /* The name in parentheses may hold anything, so the last one closes it. */
        const char *paren = memrchr(text, ')', n);
        if (!paren || end - paren < 4 || paren[1] != ' ' || paren[3] != ' ')
                return false;
        uint64_t field[STAT_PROCESSOR + 1] = { 0 };
        const char *at = paren + 3;
        for (int i = STAT_STATE + 1; i <= STAT_PROCESSOR; i++)
                if (!next_number(&at, end, &field[i]))
                        return false;
        *ret = (ProcStat){
                .state = paren[2],
                .minflt = field[STAT_MINFLT],
                .majflt = field[STAT_MAJFLT],
                .utime = field[STAT_UTIME],
                .stime = field[STAT_STIME],
                .threads = field[STAT_THREADS],
                .start = field[STAT_START],
                .rss_pages = field[STAT_RSS],
                .cpu = field[STAT_PROCESSOR],
        };
        return true;
}

bool parse_schedstat(const char *text, size_t n, uint64_t *ret_run, uint64_t *ret_delay) {
        const char *at = text, *end = text + n;
        uint64_t run, delay, slices;
        if (!next_number(&at, end, &run) || !next_number(&at, end, &delay) || !next_number(&at, end, &slices))
                return false;
        *ret_run = run;
        *ret_delay = delay;
        return true;
}

bool parse_field(const char *text, size_t n, const char *key, uint64_t *ret_v) {
        Scan s = SCAN(text, n);
        Span line;
        size_t key_len = strlen(key);
        while (scan_line(&s, &line)) {
                if (line.len <= key_len || memcmp(line.text, key, key_len) != 0)
                        continue;
                Scan rest = SCAN(line.text + key_len, line.len - key_len);
                if (*rest.at != ' ' && *rest.at != '\t')
                        continue; /* a longer key */
                return scan_u64(&rest, ret_v);
        }
        return false;
}

bool parse_wait_sum(const char *text, size_t n, uint64_t *ret_ns) {
        Scan s = SCAN(text, n);
        Span line;
        while (scan_line(&s, &line)) {
                Scan at = SCAN(line.text, line.len);
                Span key, between;
                double ms;
                if (!scan_word(&at, &key) || (!span_is(key, "wait_sum") && !span_is(key, "se.statistics.wait_sum")))
                        continue;
                if (!scan_until(&at, ':', &between))
                        return false;
                scan_blank(&at);
                if (!scan_double(&at, &ms) || ms < 0 || ms > 1e13)
                        return false;
                *ret_ns = (uint64_t)(ms * 1e6 + 0.5);
                return true;
        }
        return false;
}

/* v1 writes the largest page counter for "no limit": 2^63 rounded down to a page. */
#define NO_LIMIT (UINT64_C(1) << 62)

bool parse_bytes(const char *text, size_t n, uint64_t *ret_v) {
        Scan s = SCAN(text, n);
        uint64_t v;
        if (!scan_u64(&s, &v) || s.at >= s.end || *s.at != '\n' || v >= NO_LIMIT)
                return false;
        *ret_v = v;
        return true;
}

unsigned parse_pressure(const char *text, size_t n, uint64_t *ret_some, uint64_t *ret_full) {
        Scan s = SCAN(text, n);
        Span line;
        unsigned found = 0;
        while (scan_line(&s, &line)) {
                unsigned bit = span_starts(line, "some ") ? 1 : span_starts(line, "full ") ? 2 : 0;
                const char *total = memmem(line.text, line.len, "total=", 6);
                if (!bit || !total)
                        continue;
                Scan rest = SCAN(total + 6, (size_t)(line.text + line.len - total) - 6);
                if (scan_u64(&rest, bit == 1 ? ret_some : ret_full))
                        found |= bit;
        }
        return found;
}
