#include "net/form.h"

#include <assert.h>
#include <string.h>

void form_deinit(Form *f) {
        free(f->bytes);
        free(f->params);
        *f = FORM_NULL;
}

int form_add(Form *f, const char *name, const char *value) {
        if (f->n == FORM_PARAMS_MAX)
                return -E2BIG;
        if (f->n == f->cap) {
                size_t cap = f->cap ? 2 * f->cap : 8;
                HttpParam *more = reallocarray(f->params, cap, sizeof *more);
                if (!more)
                        return -ENOMEM;
                f->params = more;
                f->cap = cap;
        }
        f->params[f->n++] = (HttpParam){ name, value };
        return 0;
}

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes from..end to `to`, which may be the same place, and terminates it there. Returns the byte behind, or NULL. */
static char *decode(const char *from, const char *end, char *to) {
        while (from < end) {
                char c = *from++;
                if (c == '+') {
                        c = ' ';
                } else if (c == '%') {
                        int high = end - from >= 2 ? hex_digit(from[0]) : -1,
                            low = end - from >= 2 ? hex_digit(from[1]) : -1;
                        if (high < 0 || low < 0)
                                return NULL;
                        c = (char)(high << 4 | low);
                        from += 2;
                }
                if (c == '\0')
                        return NULL;
                *to++ = c;
        }
        *to = '\0';
        return to + 1;
}

/* One "name=value" of from..end; what is written begins at `to` and is never longer than what was read and two. */
static int parse_pair(Form *f, const char *from, const char *end, char **to) {
        const char *equal = memchr(from, '=', (size_t)(end - from));
        char *name = *to, *value = decode(from, equal ? equal : end, name);
        char *behind = value ? decode(equal ? equal + 1 : end, end, value) : NULL;
        if (!behind)
                return -EINVAL;
        *to = behind;
        return form_add(f, name, value);
}

int form_parse(Form *f, const char *text, size_t n) {
        assert(!f->bytes);
        /* A pair with its "&" becomes at most one byte longer: "a&" is "a", "". */
        f->bytes = malloc(2 * n + 2);
        if (!f->bytes)
                return -ENOMEM;
        char *to = f->bytes;
        const char *at = text, *end = text + n;
        while (at < end) {
                const char *stop = memchr(at, '&', (size_t)(end - at));
                if (!stop)
                        stop = end;
                int r = stop > at ? parse_pair(f, at, stop, &to) : 0;
                if (r < 0)
                        return r;
                at = stop + 1;
        }
        return 0;
}

const char *form_find(const HttpParam *params, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(params[i].name, name) == 0)
                        return params[i].value;
        return NULL;
}
