/* Strings of PromQL: how they are written and read. The rules are those of Go, which Prometheus is written in. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/scan.h"

/* The character at bytes[0..n), n > 0, and its length; false, with U+FFFD and length 1, when it is not UTF-8. */
bool rune_decode(const char *bytes, size_t n, uint32_t *ret_rune, size_t *ret_len);
/* In double quotes; whatever is not printable is escaped. unquote() of it gives the same bytes. */
void quote_put(Buf *out, Span s);
/* At most `most` characters of it, in quotes. */
void quote_put_first(Buf *out, Span s, size_t most);
/* A character in single quotes: 'x'. */
void quote_put_rune(Buf *out, uint32_t rune);
/* U+0041 'A' */
void quote_put_code_point(Buf *out, uint32_t rune);
/* Takes away the quotes and the escapes of a string that the lexer found good; *ret_s is part of `quoted` or in the
 * arena. -ENOMEM, -E2BIG: the arena's error. */
int quote_take(Arena *a, Span quoted, Span *ret_s) MUST_USE;
/* Whether a name may stand without quotes: [a-zA-Z_][a-zA-Z0-9_]*, colons too in a metric's. */
bool name_is_plain(Span s, bool colons);
