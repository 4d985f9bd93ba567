/* Regular expressions in RE2's syntax, matched in linear time, anchored at both ends as Prometheus does;
 * "." matches newlines too. RE2 behind C names. A Regex is immutable and may be used by several threads. */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REGEX_TEXT_MAX 4096u /* bytes of an expression */

typedef struct Regex Regex;

/* 0; -EINVAL with the reason appended to ret_error (may be NULL); -EFBIG when it is over REGEX_TEXT_MAX or compiles to
 * more than 1 MiB; -ENOMEM. */
int regex_new(const char *text, size_t n, Buf *ret_error, Regex **ret_regex) MUST_USE;
Regex *regex_free(Regex *r);
bool regex_matches(const Regex *r, const char *text, size_t n);
/* When the expression is a plain alternation of literals ("a|b|c", "a"), appends each, terminated by NUL, to out (at
 * most `most`) and returns how many; -1 otherwise. Cheap look-ups instead of a walk over every value. */
int regex_literals(const Regex *r, size_t most, Buf *out);
/* When the whole text matches, appends `form` to out with the groups of the match in it, as Go's Regexp.Expand does:
 * $1, ${1}, ${name} and $name (the longest run of letters, digits and '_', so that $1x is the group named "1x"); groups
 * that are not there are empty, $$ is a dollar, and one that begins nothing stands for itself. False, and nothing
 * appended, when it does not match. What out cannot hold is out's error. */
bool regex_expand(const Regex *r, const char *text, size_t n, const char *form, size_t form_n, Buf *out);
/* A literal that every match begins with; its length (0: none). Valid as long as the regex. */
size_t regex_prefix(const Regex *r, const char **ret_prefix);

#ifdef __cplusplus
}
#endif
