// The one C++ file of src/base: std::to_chars and std::from_chars are the fastest exact converters
// that Debian's toolchain ships. No exception can leave it: charconv does not throw.
#include "base/number.h"

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

extern "C" size_t number_format(double v, char out[NUMBER_TEXT_MAX]) {
        if (std::isnan(v)) {
                std::memcpy(out, "NaN", 3);
                return 3;
        }
        if (std::isinf(v)) {
                std::memcpy(out, v > 0 ? "+Inf" : "-Inf", 4);
                return 4;
        }
        auto r = std::to_chars(out, out + NUMBER_TEXT_MAX, v);
        return static_cast<size_t>(r.ptr - out);
}

extern "C" size_t number_text(double v, char out[NUMBER_TEXT_MAX]) {
        // 2^53 bounds exactness; -0 is no whole number.
        if (v >= 0 && v < 9007199254740992.0 && v == static_cast<double>(static_cast<uint64_t>(v)) && !std::signbit(v))
                return static_cast<size_t>(std::to_chars(out, out + NUMBER_TEXT_MAX, static_cast<uint64_t>(v)).ptr -
                                           out);
        return number_format(v, out);
}

extern "C" size_t number_go(double v, char out[NUMBER_TEXT_MAX]) {
        if (!std::isfinite(v))
                return number_format(v, out);
        // What is rounded up to a power of ten is beyond it, so the value itself says which form it has.
        double size = std::fabs(v);
        bool plain = v == 0 || (size >= 1e-4 && size < 1e6);
        auto form = plain ? std::chars_format::fixed : std::chars_format::scientific;
        return static_cast<size_t>(std::to_chars(out, out + NUMBER_TEXT_MAX, v, form).ptr - out);
}

namespace {

char *put_u64(uint64_t v, char *out) {
        return std::to_chars(out, out + 20, v).ptr;
}

// v >= 0 as a whole number over `unit`, a power of ten, if it is one: a decimal of at most 15 digits that reads back as
// v is the only one, and the shortest. The quotient is rounded once, as reading does. nullptr otherwise.
char *put_decimal(double v, uint64_t unit, char *out) {
        double scaled = v * static_cast<double>(unit);
        if (!(scaled < 1e15))
                return nullptr;
        uint64_t whole = static_cast<uint64_t>(scaled + 0.5);
        if (static_cast<double>(whole) / static_cast<double>(unit) != v)
                return nullptr;
        char *at = put_u64(whole / unit, out);
        uint64_t fraction = whole % unit;
        if (fraction == 0)
                return at;
        *at++ = '.';
        for (uint64_t digit = unit / 10; fraction > 0; fraction %= digit, digit /= 10)
                *at++ = static_cast<char>('0' + fraction / digit);
        return at;
}

// "d.ddde+xx" of v > 0 as digits and the place of the point: 0.d1d2d3... * 10^point.
size_t shortest_digits(double v, char digits[20], int *ret_point) {
        char text[NUMBER_TEXT_MAX];
        auto r = std::to_chars(text, text + sizeof text, v, std::chars_format::scientific);
        const char *e = static_cast<const char *>(std::memchr(text, 'e', static_cast<size_t>(r.ptr - text)));
        size_t n = 0;
        for (const char *at = text; at < e; at++)
                if (*at != '.')
                        digits[n++] = *at;
        int exponent = 0;
        std::from_chars(e[1] == '+' ? e + 2 : e + 1, r.ptr, exponent);
        *ret_point = exponent + 1;
        return n;
}

// 1e-6 <= v < 1e21: no exponent, zeros instead.
char *put_plain(double v, char *out) {
        char digits[20];
        int point;
        size_t n = shortest_digits(v, digits, &point);
        if (point <= 0) {
                *out++ = '0';
                *out++ = '.';
                for (; point < 0; point++)
                        *out++ = '0';
                std::memcpy(out, digits, n);
                return out + n;
        }
        for (size_t i = 0; i < n || i < static_cast<size_t>(point); i++) {
                if (i == static_cast<size_t>(point))
                        *out++ = '.';
                *out++ = i < n ? digits[i] : '0';
        }
        return out;
}

} // namespace

extern "C" size_t number_json(double v, char out[NUMBER_TEXT_MAX]) {
        if (!std::isfinite(v))
                return number_format(v, out);
        char *at = out;
        if (std::signbit(v))
                *at++ = '-';
        v = std::fabs(v);
        char *end = put_decimal(v, 1, at);
        if (!end)
                end = put_decimal(v, v < 1e9 ? 1000000 : 1000, at);
        if (end)
                return static_cast<size_t>(end - out);
        if (v < 1e-6 || v >= 1e21)
                return static_cast<size_t>(
                        std::to_chars(at, out + NUMBER_TEXT_MAX, v, std::chars_format::scientific).ptr - out);
        return static_cast<size_t>(put_plain(v, at) - out);
}

// The shortest digits of 1.2345e+20 are few; what std::to_chars calls fixed would be the exact value of the double
// instead.
extern "C" size_t number_plain(double v, char out[NUMBER_PLAIN_MAX]) {
        char digits[NUMBER_TEXT_MAX];
        if (!std::isfinite(v))
                return number_format(v, out);
        char *end = std::to_chars(digits, digits + sizeof digits, v, std::chars_format::scientific).ptr;
        char *at = digits, *to = out;
        if (*at == '-')
                *to++ = *at++;
        char *mark = at;
        while (*mark != 'e')
                mark++;
        int exponent = 0;
        (void)std::from_chars(mark + (mark[1] == '+' ? 2 : 1), end, exponent);
        int n = 0;
        for (char *p = at; p < mark; p++)
                if (*p != '.')
                        at[n++] = *p;
        if (exponent < 0) {
                *to++ = '0';
                *to++ = '.';
                for (int i = exponent; i < -1; i++)
                        *to++ = '0';
        }
        for (int i = 0; i < n || i <= exponent; i++) {
                if (i > 0 && i == exponent + 1)
                        *to++ = '.';
                *to++ = i < n ? at[i] : '0';
        }
        return static_cast<size_t>(to - out);
}

extern "C" int number_parse(const char *text, size_t n, double *ret_v) {
        double v = 0;
        // from_chars takes no '+', which "+Inf" and exponents' writers use; "+-1" is still no number.
        if (n > 1 && text[0] == '+' && text[1] != '-') {
                text++;
                n--;
        }
        auto r = std::from_chars(text, text + n, v);
        if (r.ec == std::errc::result_out_of_range)
                return -ERANGE;
        if (r.ec != std::errc() || r.ptr != text + n)
                return -EINVAL;
        *ret_v = v;
        return 0;
}
