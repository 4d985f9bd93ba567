/* Numbers, durations, and the arithmetic of durations. */
#include "query/ast_priv.h"
#include "query/quote.h"

#include "base/number.h"

#include <math.h>

#define SECONDS_MAX (9223372036854775808.0 / 1e9) /* what fits into nanoseconds of 64 bits */

int64_t seconds_ms(double seconds) {
        double ns = round(seconds * 1e9);
        if (ns >= 9223372036854775807.0)
                return INT64_MAX / 1000000;
        if (ns <= -9223372036854775808.0)
                return INT64_MIN / 1000000;
        return (int64_t)ns / 1000000;
}

/* ---- Literals ---- */

/* Digits of a number in base 16 or 8; false when it does not fit into 63 bits. */
static bool whole_number(Span s, unsigned base, double *ret_v) {
        int64_t v = 0;
        for (size_t i = 0; i < s.len; i++) {
                char c = s.text[i];
                if (c == '_')
                        continue;
                int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
                if (__builtin_mul_overflow(v, (int64_t)base, &v) || __builtin_add_overflow(v, (int64_t)digit, &v))
                        return false;
        }
        *ret_v = (double)v;
        return true;
}

/* Digits, with an underscore between two of them or before the first. */
static bool is_hex(Span s) {
        for (size_t i = 0; i < s.len; i++)
                if (s.text[i] == '_' && (i + 1 == s.len || s.text[i + 1] == '_'))
                        return false;
        return s.len > 0;
}

static bool is_octal(Span s) {
        if (s.len < 2 || s.text[0] != '0')
                return false;
        for (size_t i = 1; i < s.len; i++)
                if (s.text[i] != '_' && (s.text[i] < '0' || s.text[i] > '7'))
                        return false;
        return true;
}

/* Whether a number that has no double is too small for one rather than too large: where its first digit that is not 0
 * stands. */
static bool is_tiny(const char *text, size_t n) {
        long before = 0, zeros = 0, exponent = 0;
        bool dot = false, seen = false;
        for (size_t i = 0; i < n; i++) {
                char c = text[i];
                if (c == 'e' || c == 'E') {
                        long e = strtol(text + i + 1, NULL, 10);
                        exponent = e < -1000000000 ? -1000000000 : e > 1000000000 ? 1000000000 : e;
                        break;
                }
                if (c == '.')
                        dot = true;
                else if (c != '0')
                        seen = true;
                if (c != '.' && !dot && seen)
                        before++;
                if (c == '0' && dot && !seen)
                        zeros++;
        }
        return (before > 0 ? before : -zeros) + exponent < 0;
}

/* Decimal text without what Go takes and number_parse() does not: underscores, and a dot without digits behind it.
 * Terminated. */
static char *plain_decimal(Parser *p, Span s, size_t *ret_n) {
        char *out = arena_copy(&p->ast->arena, s.text, s.len);
        if (!out)
                return parser_no_memory(p);
        size_t n = 0;
        for (size_t i = 0; i < s.len; i++) {
                char next = i + 1 < s.len ? s.text[i + 1] : '\0';
                if (s.text[i] == '_' || (s.text[i] == '.' && (next < '0' || next > '9')))
                        continue;
                out[n++] = s.text[i];
        }
        out[n] = '\0';
        *ret_n = n;
        return out;
}

static bool fail_number(Parser *p, Token t, const char *why) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        return parser_fail(p, t.place, "error parsing number: strconv.ParseFloat: parsing %s: %s",
                           quoted(&b, parser_text(p, t.place)), why);
}

static bool parse_decimal(Parser *p, Token t, Span s, double *ret_v) {
        size_t n = 0;
        char *text = plain_decimal(p, s, &n);
        if (!text)
                return false;
        int r = number_parse(text, n, ret_v);
        if (r == 0)
                return true;
        if (r != -ERANGE)
                return fail_number(p, t, "invalid syntax");
        if (!is_tiny(text, n))
                return fail_number(p, t, "value out of range");
        *ret_v = 0;
        return true;
}

static bool parse_plain_number(Parser *p, Token t, double *ret_v) {
        Span s = parser_text(p, t.place);
        if (s.len >= 2 && s.text[0] == '0' && (s.text[1] | 0x20) == 'x') {
                Span digits = { s.text + 2, s.len - 2 };
                return (is_hex(digits) && whole_number(digits, 16, ret_v)) || fail_number(p, t, "invalid syntax");
        }
        if (is_octal(s) && whole_number(s, 8, ret_v))
                return true;
        return parse_decimal(p, t, s, ret_v);
}

static const struct {
        const char *name;
        int64_t ms;
} UNITS[] = {
        { "y", INT64_C(31536000000) },
        { "w", INT64_C(604800000) },
        { "d", INT64_C(86400000) },
        { "h", INT64_C(3600000) },
        { "ms", 1 },
        { "m", INT64_C(60000) },
        { "s", INT64_C(1000) },
};
/* Place of each in the order in which they may follow each other. */
static const int UNIT_ORDER[] = { 0, 1, 2, 3, 6, 4, 5 };

static int take_unit(Scan *s) {
        for (size_t i = 0; i < ARRAY_LEN(UNITS); i++)
                if (scan_literal(s, UNITS[i].name))
                        return (int)i;
        return -1;
}

/* 1h30m: each unit at most once, the larger first. -EINVAL, -ERANGE. */
static int parse_units(Span text, int64_t *ret_ms) {
        Scan s = SCAN(text.text, text.len);
        int64_t total = 0;
        int last = -1;
        while (s.at < s.end) {
                uint64_t n;
                if (*s.at < '0' || *s.at > '9')
                        return -EINVAL;
                if (!scan_u64(&s, &n))
                        return -ERANGE;
                int unit = take_unit(&s);
                if (unit < 0 || UNIT_ORDER[unit] <= last)
                        return -EINVAL;
                last = UNIT_ORDER[unit];
                int64_t part;
                if (n > INT64_MAX || __builtin_mul_overflow((int64_t)n, UNITS[unit].ms, &part) ||
                    __builtin_add_overflow(total, part, &total))
                        return -ERANGE;
        }
        *ret_ms = total;
        return total > INT64_MAX / 1000000 ? -ERANGE : 0;
}

/* The first run of letters that is no unit; the lexer lets "hs" and its kind pass. Empty when there is none. */
static Span unknown_unit(Span text) {
        Scan s = SCAN(text.text, text.len);
        while (s.at < s.end) {
                while (s.at < s.end && *s.at >= '0' && *s.at <= '9')
                        s.at++;
                const char *begin = s.at;
                while (s.at < s.end && (*s.at < '0' || *s.at > '9'))
                        s.at++;
                Span unit = { begin, (size_t)(s.at - begin) };
                Scan one = SCAN(unit.text, unit.len);
                if (take_unit(&one) < 0 || one.at < one.end)
                        return unit;
        }
        return (Span){ text.text, 0 };
}

static bool parse_duration_literal(Parser *p, Token t, double *ret_v) {
        int64_t ms;
        Span s = parser_text(p, t.place), unit = unknown_unit(s);
        if (unit.len > 0) {
                CLEANUP(buf_deinit) Buf a = BUF_NULL, b = BUF_NULL;
                return parser_fail(p, t.place, "unknown unit %s in duration %s", quoted(&a, unit), quoted(&b, s));
        }
        int r = parse_units(s, &ms);
        if (r == -ERANGE)
                return parser_fail(p, t.place, "duration out of range");
        if (r < 0) {
                CLEANUP(buf_deinit) Buf b = BUF_NULL;
                return parser_fail(p, t.place, "not a valid duration string: %s", quoted(&b, s));
        }
        *ret_v = (double)ms / 1000;
        return true;
}

bool parse_number(Parser *p, Token t, double *ret_v) {
        return t.type == TOKEN_DURATION ? parse_duration_literal(p, t, ret_v) : parse_plain_number(p, t, ret_v);
}

/* ---- Arithmetic ---- */

static DurationExpr *new_duration(Parser *p, DurationOp op, DurationExpr *left, DurationExpr *right, Place place) {
        DurationExpr *d = ARENA_NEW(&p->ast->arena, DurationExpr);
        if (!d)
                return parser_no_memory(p);
        uint16_t l = left ? left->height : 0, r = right ? right->height : 0;
        *d = (DurationExpr){ .op = op, .left = left, .right = right, .place = place, .height = (l > r ? l : r) + 1 };
        if (d->height > PROMQL_HEIGHT_MAX)
                return parser_fail(p, place, "expression is too long, at most %u operators may follow each other",
                                   PROMQL_HEIGHT_MAX);
        return d;
}

static bool is_allowed(Parser *p, Place place) {
        if (p->features & PROMQL_DURATION_EXPR)
                return true;
        return parser_fail(p, place, "experimental duration expression is not enabled");
}

static bool is_plain(const DurationExpr *d) {
        return d->op == DURATION_NUMBER && !d->parens;
}

static const char EXPECTED[] = "number, duration, step(), or range()";

static DurationExpr *fail_duration(Parser *p) {
        if (p->in_step)
                return parser_unexpected(p, "subquery selector", "number, duration, step(), range(), or \"]\"");
        bool brackets = p->lexer.in_brackets || parser_peek(p).type == TOKEN_RIGHT_BRACKET;
        return parser_unexpected(p, brackets ? "subquery or range selector" : "offset", EXPECTED);
}

static DurationExpr *parse_literal(Parser *p) {
        Token t = parser_take(p);
        DurationExpr *d = new_duration(p, DURATION_NUMBER, NULL, NULL, t.place);
        if (!d || !parse_number(p, t, &d->number))
                return NULL;
        d->as_duration = t.type == TOKEN_DURATION;
        if (!(d->number <= SECONDS_MAX && d->number >= -SECONDS_MAX))
                return parser_fail(p, t.place, "duration out of range");
        return d;
}

static DurationExpr *parse_sum(Parser *p, int least);

/* step(), range() */
static DurationExpr *parse_word(Parser *p, DurationOp op) {
        Token word = parser_take(p);
        if (!parser_accept(p, TOKEN_LEFT_PAREN) || !parser_accept(p, TOKEN_RIGHT_PAREN))
                return fail_duration(p);
        DurationExpr *d = new_duration(p, op, NULL, NULL, (Place){ word.place.begin, p->end });
        return d && is_allowed(p, d->place) ? d : NULL;
}

/* min_of(a, b), max_of(a, b) */
static DurationExpr *parse_choice(Parser *p, DurationOp op) {
        Token word = parser_take(p);
        if (!parser_accept(p, TOKEN_LEFT_PAREN))
                return fail_duration(p);
        if (!parser_enter(p, word.place))
                return NULL;
        DurationExpr *left = parse_sum(p, 1);
        if (left && !parser_accept(p, TOKEN_COMMA))
                left = fail_duration(p);
        DurationExpr *right = left ? parse_sum(p, 1) : NULL;
        parser_leave(p);
        if (!right)
                return NULL;
        if (!parser_accept(p, TOKEN_RIGHT_PAREN))
                return fail_duration(p);
        DurationExpr *d = new_duration(p, op, left, right, (Place){ word.place.begin, p->end });
        return d && is_allowed(p, d->place) ? d : NULL;
}

static DurationExpr *parse_parens(Parser *p) {
        Token paren = parser_take(p);
        if (!parser_enter(p, paren.place))
                return NULL;
        DurationExpr *d = parse_sum(p, 1);
        parser_leave(p);
        if (!d)
                return NULL;
        if (!parser_accept(p, TOKEN_RIGHT_PAREN))
                return fail_duration(p);
        if (!is_allowed(p, d->place))
                return NULL;
        d->parens = true;
        d->place = (Place){ paren.place.begin, p->end };
        return d;
}

/* After `offset` the words are those of expressions; in brackets the lexer knows what they are. */
static TokenType duration_word(Parser *p) {
        Token t = parser_peek(p);
        Span s = parser_text(p, t.place);
        if (t.type == TOKEN_MIN || (t.type == TOKEN_IDENTIFIER && span_is(s, "min_of")))
                return TOKEN_MIN_OF;
        if (t.type == TOKEN_MAX || (t.type == TOKEN_IDENTIFIER && span_is(s, "max_of")))
                return TOKEN_MAX_OF;
        return t.type;
}

static DurationExpr *parse_primary(Parser *p) {
        switch (duration_word(p)) {
        case TOKEN_NUMBER:
        case TOKEN_DURATION: return parse_literal(p);
        case TOKEN_STEP: return parse_word(p, DURATION_STEP);
        case TOKEN_RANGE: return parse_word(p, DURATION_RANGE);
        case TOKEN_MIN_OF: return parse_choice(p, DURATION_MIN);
        case TOKEN_MAX_OF: return parse_choice(p, DURATION_MAX);
        case TOKEN_LEFT_PAREN: return parse_parens(p);
        default: return fail_duration(p);
        }
}

/* A number takes its sign into it; a plus before anything else is nothing. */
static DurationExpr *apply_sign(Parser *p, Token sign, DurationExpr *d) {
        bool minus = sign.type == TOKEN_SUB;
        Place place = { sign.place.begin, d->place.end };
        if (is_plain(d)) {
                d->number = minus ? -d->number : d->number;
                d->place = place;
                return d;
        }
        return minus ? new_duration(p, DURATION_NEGATE, NULL, d, place) : d;
}

static bool is_sign(TokenType t) {
        return t == TOKEN_ADD || t == TOKEN_SUB;
}

static DurationOp operator_of(TokenType t, int *ret_precedence) {
        switch (t) {
        case TOKEN_ADD: *ret_precedence = 1; return DURATION_ADD;
        case TOKEN_SUB: *ret_precedence = 1; return DURATION_SUB;
        case TOKEN_MUL: *ret_precedence = 2; return DURATION_MUL;
        case TOKEN_DIV: *ret_precedence = 2; return DURATION_DIV;
        case TOKEN_MOD: *ret_precedence = 2; return DURATION_MOD;
        case TOKEN_POW: *ret_precedence = 3; return DURATION_POW;
        default: *ret_precedence = 0; return DURATION_NUMBER;
        }
}

static DurationExpr *parse_signed(Parser *p) {
        Token sign = parser_peek(p);
        if (!is_sign(sign.type))
                return parse_primary(p);
        (void)parser_take(p);
        if (!parser_enter(p, sign.place))
                return NULL;
        DurationExpr *d = parse_sum(p, 3);
        parser_leave(p);
        return d ? apply_sign(p, sign, d) : NULL;
}

static DurationExpr *parse_operator(Parser *p, DurationExpr *left, DurationOp op, int precedence) {
        Token t = parser_take(p);
        if (!parser_enter(p, t.place))
                return NULL;
        DurationExpr *right = parse_sum(p, precedence == 3 ? 3 : precedence + 1);
        parser_leave(p);
        if (!right || !is_allowed(p, left->place))
                return NULL;
        bool by_zero = is_plain(right) && right->number == 0;
        if (by_zero && (op == DURATION_DIV || op == DURATION_MOD))
                return parser_fail(p, t.place, op == DURATION_DIV ? "division by zero" : "modulo by zero");
        return new_duration(p, op, left, right, (Place){ left->place.begin, right->place.end });
}

static DurationExpr *parse_operators(Parser *p, DurationExpr *left, int least) {
        while (left) {
                int precedence;
                DurationOp op = operator_of(parser_peek(p).type, &precedence);
                if (precedence == 0 || precedence < least)
                        return left;
                left = parse_operator(p, left, op, precedence);
        }
        return NULL;
}

static DurationExpr *parse_sum(Parser *p, int least) {
        return parse_operators(p, parse_signed(p), least);
}

DurationExpr *parse_duration(Parser *p) {
        return parse_sum(p, 1);
}

/* `foo offset 1m + 2` adds 2 to foo of a minute ago: only what is in parentheses after `offset` may be calculated. */
DurationExpr *parse_offset_duration(Parser *p) {
        Token t = parser_peek(p);
        if (is_sign(t.type)) {
                (void)parser_take(p);
                DurationExpr *d = parse_primary(p);
                return d ? apply_sign(p, t, d) : NULL;
        }
        DurationExpr *d = parse_primary(p);
        return t.type == TOKEN_LEFT_PAREN ? parse_operators(p, d, 1) : d;
}
