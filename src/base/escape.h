/* Text from outside (names, labels, paths) made safe for where it is printed.
 *
 * Every function accepts any bytes: what is not valid UTF-8 comes out as U+FFFD, so that one hostile
 * name cannot make a whole page, document or terminal unreadable. */
#pragma once

#include "base/buf.h"

/* Whether bytes[0..n) is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF). */
bool utf8_valid(const char *bytes, size_t n);

/* Prometheus label value (backslash, quote and newline escaped, NUL as U+FFFD), without the quotes. */
void escape_label(Buf *b, const char *bytes, size_t n);
/* JSON string contents, without the quotes around it; control characters as \u00XX. */
void escape_json(Buf *b, const char *bytes, size_t n);
/* For a terminal: control characters (C0, DEL, C1) as \xNN, so that no escape sequence gets through. */
void escape_terminal(Buf *b, const char *bytes, size_t n);

/* A JSON string with its quotes. */
void buf_put_json_str(Buf *b, const char *s);
