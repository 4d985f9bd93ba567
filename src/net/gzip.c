#include "net/gzip.h"

#include "base/scan.h"

#include <libdeflate.h>
#include <strings.h>

#define LEVEL 1

static Span trim(Span s) {
        while (s.len > 0 && (s.text[0] == ' ' || s.text[0] == '\t'))
                s = (Span){ s.text + 1, s.len - 1 };
        while (s.len > 0 && (s.text[s.len - 1] == ' ' || s.text[s.len - 1] == '\t'))
                s.len--;
        return s;
}

/* Takes what is before the next `stop`, or the rest; false at the end. */
static bool next_part(Span *rest, char stop, Span *ret_part) {
        if (!rest->text)
                return false;
        const char *at = memchr(rest->text, stop, rest->len);
        size_t n = at ? (size_t)(at - rest->text) : rest->len;
        *ret_part = trim((Span){ rest->text, n });
        *rest = at ? (Span){ at + 1, rest->len - n - 1 } : (Span){ NULL, 0 };
        return true;
}

static bool is_token(Span s, const char *token) {
        return s.len == strlen(token) && strncasecmp(s.text, token, s.len) == 0;
}

/* Whether the parameters after a coding say q=0, in any of its spellings ("0.", "0.000"). */
static bool is_refused(Span parameters) {
        Span p;
        while (next_part(&parameters, ';', &p)) {
                if (p.len < 3 || (p.text[0] != 'q' && p.text[0] != 'Q') || p.text[1] != '=' || p.text[2] != '0')
                        continue;
                size_t i = 3;
                while (i < p.len && (p.text[i] == '0' || p.text[i] == '.'))
                        i++;
                if (i == p.len)
                        return true;
        }
        return false;
}

bool gzip_accepted(const char *accept_encoding) {
        if (!accept_encoding)
                return false;
        Span rest = { accept_encoding, strlen(accept_encoding) }, part;
        bool any = false;
        while (next_part(&rest, ',', &part)) {
                Span coding;
                (void)next_part(&part, ';', &coding);
                /* What is named counts, wherever "*" stands. */
                if (is_token(coding, "gzip") || is_token(coding, "x-gzip"))
                        return !is_refused(part);
                if (is_token(coding, "*"))
                        any = !is_refused(part);
        }
        return any;
}

bool coding_named(const char *accept_encoding, const char *coding) {
        Span rest = { accept_encoding, accept_encoding ? strlen(accept_encoding) : 0 }, part, name;
        while (next_part(&rest, ',', &part)) {
                (void)next_part(&part, ';', &name);
                if (is_token(name, coding))
                        return !is_refused(part);
        }
        return false;
}

static void compressor_free(struct libdeflate_compressor **c) {
        libdeflate_free_compressor(*c); /* accepts NULL */
}

int gzip_compress(const Buf *in, Buf *ret_out) {
        /* Made anew each time: it is some 100 KiB that would otherwise lie idle between two scrapes. */
        CLEANUP(compressor_free) struct libdeflate_compressor *c = libdeflate_alloc_compressor(LEVEL);
        CLEANUP_FREE char *bytes = malloc(in->len ? in->len : 1);
        if (!c || !bytes)
                return -ENOMEM;
        size_t n = in->len ? libdeflate_gzip_compress(c, in->data, in->len, bytes, in->len - 1) : 0;
        if (n == 0)
                return 0;
        char *fitting = realloc(bytes, n);
        if (fitting)
                bytes = fitting;
        *ret_out = (Buf){ .data = TAKE_PTR(bytes), .len = n, .cap = n };
        return 1;
}
