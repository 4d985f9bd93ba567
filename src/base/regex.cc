// RE2 behind C names. RE2 itself reports errors as values, but may run out of memory while it compiles, and the
// standard library under it then throws: every function here ends exceptions.
//
// Literals and prefixes are read off the text of the expression, by rules that say "none" whenever they are not sure.
#include "base/regex.h"

#include <cstring>
#include <memory>
#include <re2/re2.h>
#include <string>

#define REGEX_MEMORY (INT64_C(1) << 20)

struct Regex {
        re2::RE2 re;
        std::string prefix;

        Regex(re2::StringPiece text, const re2::RE2::Options &options) : re(text, options) {
        }
};

static re2::RE2::Options options() {
        re2::RE2::Options o;
        o.set_encoding(re2::RE2::Options::EncodingUTF8);
        o.set_dot_nl(true);
        o.set_log_errors(false);
        o.set_max_mem(REGEX_MEMORY);
        return o;
}

static bool is_meta(char c) {
        return c == '\0' || std::strchr("\\.+*?()|[]{}^$", c) != nullptr;
}

static bool is_punctuation(char c) {
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

// Takes one literal character (a byte, or an escaped one); false when what follows is anything else.
static bool take_literal(const char **at, const char *end, char *ret_c) {
        const char *p = *at;
        if (p < end && *p == '\\' && p + 1 < end && is_punctuation(p[1])) {
                *ret_c = p[1];
                *at = p + 2;
                return true;
        }
        if (p == end || is_meta(*p))
                return false;
        *ret_c = *p;
        *at = p + 1;
        return true;
}

// Whether there is a '|' outside of all groups, or one of which that is not sure.
static bool has_alternatives(const std::string &text) {
        if (text.find('|') == std::string::npos)
                return false;
        if (text.find('[') != std::string::npos || text.find("\\Q") != std::string::npos)
                return true;
        int depth = 0;
        for (size_t i = 0; i < text.size(); i++) {
                if (text[i] == '\\')
                        i++;
                else if (text[i] == '(')
                        depth++;
                else if (text[i] == ')')
                        depth--;
                else if (text[i] == '|' && depth == 0)
                        return true;
        }
        return false;
}

static std::string prefix_of(const std::string &text) {
        std::string prefix;
        if (has_alternatives(text))
                return prefix;
        const char *at = text.data(), *end = at + text.size();
        if (at < end && *at == '^')
                at++;
        char c;
        while (take_literal(&at, end, &c))
                prefix.push_back(c);
        // What is repeated may be absent: the whole character, of which only the last byte was looked at.
        if (at < end && (*at == '*' || *at == '?' || *at == '{')) {
                while (!prefix.empty() && (prefix.back() & 0xc0) == 0x80)
                        prefix.pop_back();
                if (!prefix.empty())
                        prefix.pop_back();
        }
        return prefix;
}

static void explain(Buf *ret_error, const char *why) {
        if (ret_error)
                buf_put_str(ret_error, why);
}

static int failure(const re2::RE2 &re, Buf *ret_error) {
        if (re.error_code() == re2::RE2::ErrorPatternTooLarge) {
                explain(ret_error, "the regular expression is too large");
                return -EFBIG;
        }
        explain(ret_error, re.error().c_str());
        return -EINVAL;
}

extern "C" int regex_new(const char *text, size_t n, Buf *ret_error, Regex **ret_regex) {
        if (n > REGEX_TEXT_MAX) {
                explain(ret_error, "the regular expression is longer than 4096 bytes");
                return -EFBIG;
        }
        try {
                auto r = std::make_unique<Regex>(re2::StringPiece(n ? text : "", n), options());
                if (!r->re.ok())
                        return failure(r->re, ret_error);
                r->prefix = prefix_of(r->re.pattern());
                *ret_regex = r.release();
                return 0;
        } catch (...) {
                return -ENOMEM;
        }
}

extern "C" Regex *regex_free(Regex *r) {
        delete r;
        return nullptr;
}

extern "C" bool regex_matches(const Regex *r, const char *text, size_t n) {
        try {
                re2::StringPiece piece(n ? text : "", n);
                return r->re.Match(piece, 0, n, re2::RE2::ANCHOR_BOTH, nullptr, 0);
        } catch (...) {
                return false;
        }
}

// The text without one pair of parentheses around all of it.
static void strip_group(const char **at, const char **end) {
        const char *p = *at, *stop = *end;
        if (stop - p < 2 || *p != '(' || stop[-1] != ')' || stop[-2] == '\\')
                return;
        p++;
        if (stop - p >= 3 && p[0] == '?' && p[1] == ':')
                p += 2;
        *at = p;
        *end = stop - 1;
}

extern "C" int regex_literals(const Regex *r, size_t most, Buf *out) {
        const std::string &text = r->re.pattern();
        const char *at = text.data(), *end = at + text.size();
        strip_group(&at, &end);
        size_t before = out->len, n = 0;
        while (n < most) {
                char c;
                while (take_literal(&at, end, &c))
                        buf_put_char(out, c);
                buf_put_char(out, '\0');
                n++;
                if (at == end && !out->error)
                        return static_cast<int>(n);
                if (at == end || *at != '|')
                        break;
                at++;
        }
        out->len = before;
        return -1;
}

extern "C" size_t regex_prefix(const Regex *r, const char **ret_prefix) {
        *ret_prefix = r->prefix.data();
        return r->prefix.size();
}
