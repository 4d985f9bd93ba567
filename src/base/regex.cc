// RE2 behind C names. RE2 itself reports errors as values, but may run out of memory while it compiles, and the
// standard library under it then throws: every function here ends exceptions.
//
// Literals and prefixes are read off the text of the expression, by rules that say "none" whenever they are not sure.
#include "base/regex.h"

#include <cctype>
#include <cstring>
#include <memory>
#include <re2/re2.h>
#include <string>
#include <vector>

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

// ---- expansion ----

// Bytes of the letter, digit or '_' that text begins with; 0 when it begins with something else.
static size_t word_rune(re2::StringPiece text) {
        if (text.empty())
                return 0;
        unsigned char c = static_cast<unsigned char>(text[0]);
        if (c < 0x80)
                return c == '_' || std::isalnum(c) ? 1 : 0;
        // Rare enough to compile for.
        re2::StringPiece rest = text;
        static constexpr char WORD[] = "[\\pL\\p{Nd}]";
        return re2::RE2::Consume(&rest, WORD) ? text.size() - rest.size() : 0;
}

// Takes the name behind a '$', with its braces if it has any.
static bool take_name(re2::StringPiece *form, re2::StringPiece *ret_name) {
        re2::StringPiece at = *form;
        bool brace = !at.empty() && at[0] == '{';
        if (brace)
                at.remove_prefix(1);
        size_t n = 0, rune;
        while ((rune = word_rune(at.substr(n))) > 0)
                n += rune;
        if (n == 0 || (brace && (n == at.size() || at[n] != '}')))
                return false;
        *ret_name = at.substr(0, n);
        at.remove_prefix(n + (brace ? 1 : 0));
        *form = at;
        return true;
}

// The number of the group that is meant, -1 when there is none. A number has no leading zeros; what is no number is a name.
static int group_number(const re2::RE2 &re, re2::StringPiece name) {
        bool number = name.size() < 9 && (name.size() == 1 || name[0] != '0');
        int n = 0;
        for (size_t i = 0; number && i < name.size(); i++) {
                number = name[i] >= '0' && name[i] <= '9';
                n = n * 10 + (name[i] - '0');
        }
        if (number)
                return n <= re.NumberOfCapturingGroups() ? n : -1;
        const auto &named = re.NamedCapturingGroups();
        auto found = named.find(std::string(name));
        return found == named.end() ? -1 : found->second;
}

static void expand(const re2::RE2 &re, const std::vector<re2::StringPiece> &groups, re2::StringPiece form, Buf *out) {
        for (;;) {
                size_t plain = form.find('$');
                buf_put(out, form.data(), plain == form.npos ? form.size() : plain);
                if (plain == form.npos)
                        return;
                form.remove_prefix(plain + 1);
                re2::StringPiece name;
                if (take_name(&form, &name)) {
                        int group = group_number(re, name);
                        if (group >= 0)
                                buf_put(out, groups[group].data(), groups[group].size());
                        continue;
                }
                buf_put_char(out, '$');
                if (!form.empty() && form[0] == '$')
                        form.remove_prefix(1);
        }
}

extern "C" bool regex_expand(const Regex *r, const char *text, size_t n, const char *form, size_t form_n, Buf *out) {
        try {
                re2::StringPiece piece(n ? text : "", n);
                std::vector<re2::StringPiece> groups(static_cast<size_t>(r->re.NumberOfCapturingGroups()) + 1);
                if (!r->re.Match(piece, 0, n, re2::RE2::ANCHOR_BOTH, groups.data(), static_cast<int>(groups.size())))
                        return false;
                expand(r->re, groups, re2::StringPiece(form_n ? form : "", form_n), out);
                return true;
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
