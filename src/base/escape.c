/* One decoder finds the next character, three tables of exceptions decide how it is written. */
#include "base/escape.h"

#include <string.h>

static const char REPLACEMENT[] = "\xEF\xBF\xBD";

/* Length of the well-formed sequence at p (n > 0 bytes there), or 0. Unicode 15, table 3-7. */
static size_t utf8_len(const unsigned char *p, size_t n) {
        if (p[0] < 0x80)
                return 1;
        if (p[0] < 0xC2 || p[0] > 0xF4)
                return 0;
        size_t len = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
        if (n < len)
                return 0;
        unsigned char low = 0x80, high = 0xBF;
        if (p[0] == 0xE0)
                low = 0xA0;
        else if (p[0] == 0xED)
                high = 0x9F;
        else if (p[0] == 0xF0)
                low = 0x90;
        else if (p[0] == 0xF4)
                high = 0x8F;
        if (p[1] < low || p[1] > high)
                return 0;
        for (size_t i = 2; i < len; i++)
                if ((p[i] & 0xC0) != 0x80)
                        return 0;
        return len;
}

bool utf8_valid(const char *bytes, size_t n) {
        const unsigned char *p = (const unsigned char *)bytes;
        for (size_t i = 0; i < n;) {
                size_t len = utf8_len(p + i, n - i);
                if (len == 0)
                        return false;
                i += len;
        }
        return true;
}

/* Writes what stands for c and returns its length, or returns 0 when c may stay as it is. */
typedef size_t (*EscapeAscii)(unsigned char c, char out[8]);

/* Copies runs of harmless bytes at once. */
static void escape_with(Buf *b, const char *bytes, size_t n, EscapeAscii escape) {
        if (n == 0)
                return; /* bytes may be NULL, and arithmetic on it is undefined */
        const unsigned char *p = (const unsigned char *)bytes;
        size_t run = 0, i = 0;
        while (i < n) {
                char out[8];
                size_t len = utf8_len(p + i, n - i);
                size_t out_len = len == 1 ? escape(p[i], out) : 0;
                if (len != 0 && out_len == 0) {
                        i += len;
                        continue;
                }
                buf_put(b, p + run, i - run);
                if (len == 0)
                        buf_put(b, REPLACEMENT, 3);
                else
                        buf_put(b, out, out_len);
                run = ++i;
        }
        buf_put(b, p + run, n - run);
}

static size_t put_escape(char out[8], const char *text) {
        size_t n = strlen(text);
        memcpy(out, text, n);
        return n;
}

static size_t label_escape(unsigned char c, char out[8]) {
        switch (c) {
        case '\\': return put_escape(out, "\\\\");
        case '"': return put_escape(out, "\\\"");
        case '\n': return put_escape(out, "\\n");
        /* Valid UTF-8, but the lexer of Prometheus takes it for the end of its input. */
        case '\0': return put_escape(out, REPLACEMENT);
        default: return 0;
        }
}

/* Almost every label value is plain ASCII without an exception: find that out first. */
static bool label_plain(const char *bytes, size_t n) {
        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char)bytes[i];
                if (c >= 0x80 || c == '\0' || c == '\\' || c == '"' || c == '\n')
                        return false;
        }
        return true;
}

void escape_label(Buf *b, const char *bytes, size_t n) {
        if (label_plain(bytes, n))
                buf_put(b, bytes, n);
        else
                escape_with(b, bytes, n, label_escape);
}

static size_t json_escape(unsigned char c, char out[8]) {
        switch (c) {
        case '\\': return put_escape(out, "\\\\");
        case '"': return put_escape(out, "\\\"");
        case '\n': return put_escape(out, "\\n");
        default: break;
        }
        if (c >= 0x20 && c != 0x7F)
                return 0;
        return (size_t)snprintf(out, 8, "\\u%04x", c);
}

void escape_json(Buf *b, const char *bytes, size_t n) {
        escape_with(b, bytes, n, json_escape);
}

void buf_put_json_str(Buf *b, const char *s) {
        buf_put_char(b, '"');
        escape_json(b, s, strlen(s));
        buf_put_char(b, '"');
}

static size_t terminal_escape(unsigned char c, char out[8]) {
        if (c >= 0x20 && c != 0x7F)
                return 0;
        return (size_t)snprintf(out, 8, "\\x%02x", c);
}

void escape_terminal(Buf *b, const char *bytes, size_t n) {
        /* C1 controls are two bytes in UTF-8 (C2 80 .. C2 9F): cut the input at them. */
        if (n == 0)
                return;
        size_t start = 0;
        for (size_t i = 0; i + 1 < n; i++) {
                unsigned char c = (unsigned char)bytes[i], d = (unsigned char)bytes[i + 1];
                if (c != 0xC2 || d < 0x80 || d > 0x9F)
                        continue;
                escape_with(b, bytes + start, i - start, terminal_escape);
                buf_printf(b, "\\x%02x", d);
                start = i + 2;
                i++;
        }
        escape_with(b, bytes + start, n - start, terminal_escape);
}
