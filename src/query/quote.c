#include "query/quote.h"

#include "base/escape.h"

#include <assert.h>

static size_t lead_length(unsigned char c) {
        return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

bool rune_decode(const char *bytes, size_t n, uint32_t *ret_rune, size_t *ret_len) {
        const unsigned char *p = (const unsigned char *)bytes;
        size_t len = lead_length(p[0]);
        if (len > n || !utf8_valid(bytes, len)) {
                *ret_rune = 0xFFFD;
                *ret_len = 1;
                return false;
        }
        uint32_t rune = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
        for (size_t i = 1; i < len; i++)
                rune = rune << 6 | (p[i] & 0x3F);
        *ret_rune = rune;
        *ret_len = len;
        return true;
}

/* Characters without a shape of their own: controls, format characters, separators but the blank, private use. What is
 * missing here is shown as it is, which harms nobody: a printed string reads back all the same. */
static bool is_printable(uint32_t r) {
        static const struct {
                uint32_t first, last;
        } HIDDEN[] = {
                { 0x00, 0x1F },     { 0x7F, 0xA0 },     { 0xAD, 0xAD },     { 0x600, 0x605 },
                { 0x61C, 0x61C },   { 0x180E, 0x180E }, { 0x1680, 0x1680 }, { 0x2000, 0x200F },
                { 0x2028, 0x202F }, { 0x205F, 0x206F }, { 0x3000, 0x3000 }, { 0xD800, 0xF8FF },
                { 0xFEFF, 0xFEFF }, { 0xFFF0, 0xFFFB }, { 0xFFFE, 0xFFFF }, { 0xE0000, 0x10FFFF },
        };
        for (size_t i = 0; i < ARRAY_LEN(HIDDEN); i++)
                if (r >= HIDDEN[i].first && r <= HIDDEN[i].last)
                        return false;
        return true;
}

static void put_rune(Buf *out, uint32_t rune, const char *bytes, size_t len, char quote) {
        static const char NAMED[] = "abtnvfr"; /* from 7 on */
        if (rune == (unsigned char)quote || rune == '\\')
                buf_printf(out, "\\%c", (char)rune);
        else if (rune >= 7 && rune <= 13)
                buf_printf(out, "\\%c", NAMED[rune - 7]);
        else if (is_printable(rune))
                buf_put(out, bytes, len);
        else if (rune < 0x20 || rune == 0x7F)
                buf_printf(out, "\\x%02x", rune);
        else if (rune <= 0xFFFF)
                buf_printf(out, "\\u%04x", rune);
        else
                buf_printf(out, "\\U%08x", rune);
}

void quote_put_first(Buf *out, Span s, size_t most) {
        buf_put_char(out, '"');
        for (size_t i = 0, n = 0; i < s.len && n < most; n++) {
                uint32_t rune;
                size_t len;
                if (rune_decode(s.text + i, s.len - i, &rune, &len))
                        put_rune(out, rune, s.text + i, len, '"');
                else
                        buf_printf(out, "\\x%02x", (unsigned char)s.text[i]);
                i += len;
        }
        buf_put_char(out, '"');
}

void quote_put(Buf *out, Span s) {
        quote_put_first(out, s, SIZE_MAX);
}

static size_t rune_encode(uint32_t r, char out[4]) {
        if (r < 0x80) {
                out[0] = (char)r;
                return 1;
        }
        size_t len = r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;
        static const unsigned char LEAD[] = { 0, 0, 0xC0, 0xE0, 0xF0 };
        for (size_t i = len; --i > 0; r >>= 6)
                out[i] = (char)(0x80 | (r & 0x3F));
        out[0] = (char)(LEAD[len] | r);
        return len;
}

void quote_put_rune(Buf *out, uint32_t rune) {
        char bytes[4];
        size_t len = rune_encode(rune, bytes);
        buf_put_char(out, '\'');
        put_rune(out, rune, bytes, len, '\'');
        buf_put_char(out, '\'');
}

void quote_put_code_point(Buf *out, uint32_t rune) {
        buf_printf(out, "U+%04X", rune);
        if (!is_printable(rune))
                return;
        char bytes[4];
        buf_put_str(out, " '");
        buf_put(out, bytes, rune_encode(rune, bytes));
        buf_put_char(out, '\'');
}

static unsigned digit_value(char c) {
        return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* The number of `digits` digits at *at, which the lexer has seen. */
static uint32_t take_digits(const char **at, int digits, unsigned base) {
        uint32_t v = 0;
        while (digits-- > 0)
                v = v * base + digit_value(*(*at)++);
        return v;
}

static char named_escape(char c) {
        switch (c) {
        case 'a': return '\a';
        case 'b': return '\b';
        case 'f': return '\f';
        case 'n': return '\n';
        case 'r': return '\r';
        case 't': return '\t';
        case 'v': return '\v';
        default: return c;
        }
}

/* What follows a backslash; \x and \ooo are bytes, \u and \U characters. */
static size_t take_escape(const char **at, char out[4]) {
        char c = *(*at)++;
        if (c >= '0' && c <= '7') {
                (*at)--;
                out[0] = (char)take_digits(at, 3, 8);
                return 1;
        }
        switch (c) {
        case 'x': out[0] = (char)take_digits(at, 2, 16); return 1;
        case 'u': return rune_encode(take_digits(at, 4, 16), out);
        case 'U': return rune_encode(take_digits(at, 8, 16), out);
        default: out[0] = named_escape(c); return 1;
        }
}

int quote_take(Arena *a, Span quoted, Span *ret_s) {
        assert(quoted.len >= 2);
        Span inner = { quoted.text + 1, quoted.len - 2 };
        if (quoted.text[0] == '`' || !memchr(inner.text, '\\', inner.len)) {
                *ret_s = inner;
                return 0;
        }
        char *out = arena_alloc(a, inner.len);
        if (!out)
                return a->error;
        size_t n = 0;
        const char *at = inner.text, *end = at + inner.len;
        while (at < end) {
                char c = *at++;
                if (c == '\\')
                        n += take_escape(&at, out + n);
                else
                        out[n++] = c;
        }
        *ret_s = (Span){ out, n };
        return 0;
}

bool name_is_plain(Span s, bool colons) {
        for (size_t i = 0; i < s.len; i++) {
                char c = s.text[i];
                bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colons && c == ':');
                if (!letter && (i == 0 || c < '0' || c > '9'))
                        return false;
        }
        return s.len > 0;
}
