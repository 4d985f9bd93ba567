/* Reading kernel text files (/proc, /sys, cgroup) without sscanf: bounded, no allocation, no locale.
 *
 * A Scan walks over bytes that need not be terminated. Functions return false and leave the cursor
 * where it was when what they expect is not there: half-written and foreign files are normal input. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Scan {
        const char *at;
        const char *end;
} Scan;

typedef struct Span {
        const char *text; /* not terminated */
        size_t len;
} Span;

#define SCAN(bytes, n) ((Scan){ (bytes), (bytes) + (n) })

static inline bool span_is(Span s, const char *literal) {
        return s.len == strlen(literal) && memcmp(s.text, literal, s.len) == 0;
}

static inline bool span_starts(Span s, const char *literal) {
        size_t n = strlen(literal);
        return s.len >= n && memcmp(s.text, literal, n) == 0;
}

/* Skips spaces and tabs. */
void scan_blank(Scan *s);
/* Takes the next line without its newline; false at the end. The last line needs no newline. */
bool scan_line(Scan *s, Span *ret_line);
/* Takes the next run of bytes that are not space, tab or newline, skipping blanks before it. */
bool scan_word(Scan *s, Span *ret_word);
/* Takes an unsigned decimal number, skipping blanks before it; false on no digit or on overflow. */
bool scan_u64(Scan *s, uint64_t *ret_v);
/* As scan_u64 with an optional '-'. */
bool scan_i64(Scan *s, int64_t *ret_v);
/* Takes a decimal number with optional sign and fraction ("0.07"). */
bool scan_double(Scan *s, double *ret_v);
/* Takes `literal` if it is next (no blanks skipped). */
bool scan_literal(Scan *s, const char *literal);
/* Takes bytes up to and including `stop`; the span is without it. */
bool scan_until(Scan *s, char stop, Span *ret_span);

/* The whole span as a number; false when anything else is in it. */
bool span_u64(Span s, uint64_t *ret_v);
