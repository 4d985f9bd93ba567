#include "base/scan.h"

#include "base/number.h"

void scan_blank(Scan *s) {
        while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
                s->at++;
}

bool scan_line(Scan *s, Span *ret_line) {
        if (s->at >= s->end)
                return false;
        const char *nl = memchr(s->at, '\n', (size_t)(s->end - s->at));
        const char *stop = nl ? nl : s->end;
        *ret_line = (Span){ s->at, (size_t)(stop - s->at) };
        s->at = nl ? nl + 1 : s->end;
        return true;
}

static bool is_break(char c) {
        return c == ' ' || c == '\t' || c == '\n';
}

bool scan_word(Scan *s, Span *ret_word) {
        const char *at = s->at;
        while (at < s->end && (*at == ' ' || *at == '\t'))
                at++;
        const char *start = at;
        while (at < s->end && !is_break(*at))
                at++;
        if (at == start)
                return false;
        *ret_word = (Span){ start, (size_t)(at - start) };
        s->at = at;
        return true;
}

bool scan_u64(Scan *s, uint64_t *ret_v) {
        const char *at = s->at;
        while (at < s->end && (*at == ' ' || *at == '\t'))
                at++;
        const char *start = at;
        uint64_t v = 0;
        while (at < s->end && *at >= '0' && *at <= '9') {
                if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (unsigned)(*at - '0'), &v))
                        return false;
                at++;
        }
        if (at == start)
                return false;
        s->at = at;
        *ret_v = v;
        return true;
}

bool scan_i64(Scan *s, int64_t *ret_v) {
        Scan t = *s;
        scan_blank(&t);
        bool negative = scan_literal(&t, "-");
        uint64_t v;
        if (t.at >= t.end || is_break(*t.at) || !scan_u64(&t, &v))
                return false;
        if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
                return false;
        /* Through unsigned arithmetic: -INT64_MIN does not exist. */
        *ret_v = (int64_t)(negative ? 0 - v : v);
        *s = t;
        return true;
}

bool scan_double(Scan *s, double *ret_v) {
        Scan t = *s;
        scan_blank(&t);
        const char *start = t.at;
        if (t.at < t.end && *t.at == '+')
                t.at++;
        while (t.at < t.end && ((*t.at >= '0' && *t.at <= '9') || *t.at == '.' || (*t.at == '-' && t.at == start)))
                t.at++;
        if (t.at == start || number_parse(start, (size_t)(t.at - start), ret_v) != 0)
                return false;
        *s = t;
        return true;
}

bool scan_literal(Scan *s, const char *literal) {
        size_t n = strlen(literal);
        if ((size_t)(s->end - s->at) < n || memcmp(s->at, literal, n) != 0)
                return false;
        s->at += n;
        return true;
}

bool scan_until(Scan *s, char stop, Span *ret_span) {
        if (s->at >= s->end)
                return false;
        const char *hit = memchr(s->at, stop, (size_t)(s->end - s->at));
        if (!hit)
                return false;
        *ret_span = (Span){ s->at, (size_t)(hit - s->at) };
        s->at = hit + 1;
        return true;
}

bool span_u64(Span s, uint64_t *ret_v) {
        Scan t = SCAN(s.text, s.len);
        return s.len > 0 && s.text[0] != ' ' && s.text[0] != '\t' && scan_u64(&t, ret_v) && t.at == t.end;
}
