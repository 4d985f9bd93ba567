#include "query/lexer.h"

#include "query/quote.h"

#include <assert.h>

#define END_OF_TEXT (-1)

static const struct {
        const char *name;
        TokenType type;
} KEYWORDS[] = {
        { "and", TOKEN_AND },
        { "or", TOKEN_OR },
        { "unless", TOKEN_UNLESS },
        { "atan2", TOKEN_ATAN2 },
        { "sum", TOKEN_SUM },
        { "avg", TOKEN_AVG },
        { "count", TOKEN_COUNT },
        { "min", TOKEN_MIN },
        { "max", TOKEN_MAX },
        { "group", TOKEN_GROUP },
        { "stddev", TOKEN_STDDEV },
        { "stdvar", TOKEN_STDVAR },
        { "topk", TOKEN_TOPK },
        { "bottomk", TOKEN_BOTTOMK },
        { "count_values", TOKEN_COUNT_VALUES },
        { "quantile", TOKEN_QUANTILE },
        { "limitk", TOKEN_LIMITK },
        { "limit_ratio", TOKEN_LIMIT_RATIO },
        { "offset", TOKEN_OFFSET },
        { "smoothed", TOKEN_SMOOTHED },
        { "anchored", TOKEN_ANCHORED },
        { "by", TOKEN_BY },
        { "without", TOKEN_WITHOUT },
        { "on", TOKEN_ON },
        { "ignoring", TOKEN_IGNORING },
        { "group_left", TOKEN_GROUP_LEFT },
        { "group_right", TOKEN_GROUP_RIGHT },
        { "fill", TOKEN_FILL },
        { "fill_left", TOKEN_FILL_LEFT },
        { "fill_right", TOKEN_FILL_RIGHT },
        { "bool", TOKEN_BOOL },
        { "start", TOKEN_START },
        { "end", TOKEN_END },
        { "step", TOKEN_STEP },
        { "range", TOKEN_RANGE },
        { "inf", TOKEN_NUMBER },
        { "nan", TOKEN_NUMBER },
};

static const struct {
        const char *name;
        TokenType type;
} DURATION_WORDS[] = {
        { "step", TOKEN_STEP },  { "range", TOKEN_RANGE },   { "min", TOKEN_MIN_OF },
        { "max", TOKEN_MAX_OF }, { "min_of", TOKEN_MIN_OF }, { "max_of", TOKEN_MAX_OF },
};

void lexer_deinit(Lexer *l) {
        buf_deinit(&l->fault);
}

static bool is_space(int c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(int c) {
        return c >= '0' && c <= '9';
}

static bool is_alpha(int c) {
        return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(int c) {
        return is_alpha(c) || is_digit(c);
}

static int byte_at(const Lexer *l, size_t at) {
        return at < l->text.len ? (unsigned char)l->text.text[at] : END_OF_TEXT;
}

static int peek(const Lexer *l) {
        return byte_at(l, l->at);
}

/* Takes the next byte if it is one of `set`. */
static bool accept(Lexer *l, const char *set) {
        int c = peek(l);
        if (c <= 0 || !strchr(set, c))
                return false;
        l->at++;
        return true;
}

static Token token(Lexer *l, TokenType type) {
        Token t = { type, { (uint32_t)l->start, (uint32_t)l->at } };
        l->start = l->at;
        return t;
}

/* An error from the begin of the token on, to the end: nothing behind it can be understood. */
static Token fail(Lexer *l) {
        Token t = { TOKEN_ERROR, { (uint32_t)l->start, (uint32_t)l->text.len } };
        l->at = l->start = l->text.len;
        return t;
}

static Token fail_text(Lexer *l, const char *text) {
        buf_put_str(&l->fault, text);
        return fail(l);
}

/* `text` and the character at `at`, in quotes. */
static Token fail_rune(Lexer *l, const char *text, size_t at) {
        buf_put_str(&l->fault, text);
        uint32_t rune = 0xFFFD;
        size_t len;
        if (at < l->text.len)
                (void)rune_decode(l->text.text + at, l->text.len - at, &rune, &len);
        quote_put_rune(&l->fault, rune);
        return fail(l);
}

/* ---- Numbers and durations ---- */

/* After "0x". That there are digits is looked at by the parser. */
static bool scan_hex(Lexer *l) {
        while (accept(l, "0123456789abcdefABCDEF_"))
                ;
        return !is_alnum(peek(l)) && peek(l) != '.';
}

typedef struct NumberSeen {
        bool dot, exponent;
} NumberSeen;

/* One step within a number; what may not follow is taken too, so that the error shows it. */
static bool scan_number_part(Lexer *l, NumberSeen *seen) {
        if (accept(l, ".")) {
                bool again = seen->dot;
                seen->dot = true;
                return !again && !accept(l, "_.");
        }
        if (accept(l, "eE")) {
                bool again = seen->exponent;
                seen->exponent = true;
                if (again)
                        return false;
                (void)accept(l, "+-");
                return !accept(l, "._eE") && peek(l) != END_OF_TEXT;
        }
        if (accept(l, "_"))
                return !accept(l, "._eE") && peek(l) != END_OF_TEXT;
        while (accept(l, "0123456789"))
                ;
        return true;
}

/* Whether a number is next. The cursor is behind what was understood of it either way: "5m" is 5 and then something. */
static bool scan_number(Lexer *l) {
        if (accept(l, "0") && accept(l, "xX"))
                return scan_hex(l);
        (void)accept(l, ".");
        NumberSeen seen = { 0 };
        for (int c; (c = peek(l)) > 0 && strchr("0123456789._eE", c);)
                if (!scan_number_part(l, &seen))
                        return false;
        return !is_alnum(peek(l));
}

/* The units of a duration whose first number was taken. Which units, and in which order, is looked at by the parser. */
static bool scan_units(Lexer *l) {
        if (!accept(l, "smhdwy"))
                return false;
        (void)accept(l, "s");
        while (accept(l, "0123456789")) {
                while (accept(l, "0123456789"))
                        ;
                if (!accept(l, "smhdw"))
                        return false;
                (void)accept(l, "s");
        }
        if (!is_alnum(peek(l)))
                return true;
        l->at++;
        return false;
}

static Token lex_number(Lexer *l) {
        if (scan_number(l))
                return token(l, TOKEN_NUMBER);
        if (scan_units(l))
                return token(l, TOKEN_DURATION);
        buf_put_str(&l->fault, "bad number or duration syntax: ");
        quote_put_first(&l->fault, (Span){ l->text.text + l->start, l->at - l->start }, 256);
        return fail(l);
}

/* ---- Strings ---- */

static unsigned digit_value(int c) {
        if (is_digit(c))
                return (unsigned)(c - '0');
        int lower = c | 0x20;
        return c > 0 && lower >= 'a' && lower <= 'f' ? (unsigned)(lower - 'a' + 10) : 16;
}

static Token fail_escape(Lexer *l) {
        if (l->at >= l->text.len)
                return fail_text(l, "escape sequence not terminated");
        uint32_t rune;
        size_t len;
        (void)rune_decode(l->text.text + l->at, l->text.len - l->at, &rune, &len);
        buf_put_str(&l->fault, "illegal character ");
        quote_put_code_point(&l->fault, rune);
        buf_put_str(&l->fault, " in escape sequence");
        return fail(l);
}

/* The number of an escape; TOKEN_STRING when it is good. */
static Token lex_escape_number(Lexer *l, int digits, unsigned base, uint32_t most) {
        uint64_t v = 0;
        for (; digits > 0; digits--, l->at++) {
                unsigned d = digit_value(peek(l));
                if (d >= base)
                        return fail_escape(l);
                v = v * base + d;
        }
        if (v > most || (v >= 0xD800 && v < 0xE000))
                return fail_text(l, "escape sequence is an invalid Unicode code point");
        return (Token){ TOKEN_STRING, { 0 } };
}

/* Behind a backslash. */
static Token lex_escape(Lexer *l, char quote) {
        int c = peek(l);
        if (c >= '0' && c <= '7')
                return lex_escape_number(l, 3, 8, 255);
        if (c > 0 && (strchr("abfnrtv\\", c) || c == quote)) {
                l->at++;
                return (Token){ TOKEN_STRING, { 0 } };
        }
        if (c == 'x' || c == 'u' || c == 'U') {
                l->at++;
                return lex_escape_number(l, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, c == 'x' ? 255 : 0x10FFFF);
        }
        if (c == END_OF_TEXT)
                return fail_escape(l);
        uint32_t rune;
        size_t len;
        (void)rune_decode(l->text.text + l->at, l->text.len - l->at, &rune, &len);
        buf_put_str(&l->fault, "unknown escape sequence ");
        quote_put_code_point(&l->fault, rune);
        return fail(l);
}

static Token lex_string(Lexer *l) {
        char quote = l->text.text[l->at++];
        bool raw = quote == '`';
        for (;;) {
                int c = peek(l);
                if (c == END_OF_TEXT || (c == '\n' && !raw))
                        return fail_text(l, raw ? "unterminated raw string" : "unterminated quoted string");
                uint32_t rune;
                size_t len;
                if (!rune_decode(l->text.text + l->at, l->text.len - l->at, &rune, &len))
                        return fail_text(l, "invalid UTF-8 rune");
                l->at += len;
                if (c == quote)
                        return token(l, TOKEN_STRING);
                if (c != '\\' || raw)
                        continue;
                Token t = lex_escape(l, quote);
                if (t.type == TOKEN_ERROR)
                        return t;
        }
}

/* ---- Words ---- */

static bool word_is(Span word, const char *lower) {
        size_t i = 0;
        for (; i < word.len && lower[i]; i++) {
                char c = word.text[i];
                if ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) != lower[i])
                        return false;
        }
        return i == word.len && !lower[i];
}

static Span word_of(const Lexer *l) {
        return (Span){ l->text.text + l->start, l->at - l->start };
}

/* fill and its kin are young: metrics that have such a name keep it unless a parenthesis follows. */
static bool is_only_a_name(const Lexer *l, TokenType type) {
        if (type != TOKEN_FILL && type != TOKEN_FILL_LEFT && type != TOKEN_FILL_RIGHT)
                return false;
        size_t at = l->at;
        while (is_space(byte_at(l, at)))
                at++;
        return byte_at(l, at) != '(';
}

static Token lex_word(Lexer *l) {
        bool colon = false;
        for (int c; is_alnum(c = peek(l)) || c == ':'; l->at++)
                colon = colon || c == ':';
        if (colon)
                return token(l, TOKEN_METRIC_IDENTIFIER);
        Span word = word_of(l);
        for (size_t i = 0; i < ARRAY_LEN(KEYWORDS); i++)
                if (word_is(word, KEYWORDS[i].name) && !is_only_a_name(l, KEYWORDS[i].type))
                        return token(l, KEYWORDS[i].type);
        return token(l, TOKEN_IDENTIFIER);
}

static Token lex_name(Lexer *l) {
        while (is_alnum(peek(l)))
                l->at++;
        return token(l, TOKEN_IDENTIFIER);
}

/* ---- Where the next token may be ---- */

static void skip_blanks(Lexer *l) {
        for (;;) {
                while (is_space(peek(l)))
                        l->at++;
                if (peek(l) != '#')
                        break;
                while (peek(l) != END_OF_TEXT && peek(l) != '\n' && peek(l) != '\r')
                        l->at++;
        }
        l->start = l->at;
}

static Token lex_in_braces(Lexer *l) {
        int c = peek(l);
        if (c == END_OF_TEXT)
                return fail_text(l, "unexpected end of input inside braces");
        if (is_alpha(c))
                return lex_name(l);
        if (c == '"' || c == '\'' || c == '`')
                return lex_string(l);
        l->at++;
        switch (c) {
        case ',': return token(l, TOKEN_COMMA);
        case '=': return token(l, accept(l, "~") ? TOKEN_EQL_REGEX : TOKEN_EQL);
        case '!':
                if (accept(l, "~"))
                        return token(l, TOKEN_NEQ_REGEX);
                if (accept(l, "="))
                        return token(l, TOKEN_NEQ);
                return fail_rune(l, "unexpected character after '!' inside braces: ", l->at);
        case '}': l->in_braces = false; return token(l, TOKEN_RIGHT_BRACE);
        case '{': return fail_text(l, "unexpected left brace '{'");
        default: return fail_rune(l, "unexpected character inside braces: ", l->at - 1);
        }
}

static Token lex_right_paren(Lexer *l) {
        Token t = token(l, TOKEN_RIGHT_PAREN);
        if (l->parens == 0)
                return fail_text(l, "unexpected right parenthesis ')'");
        l->parens--;
        return t;
}

static Token lex_left_paren(Lexer *l) {
        l->parens++;
        return token(l, TOKEN_LEFT_PAREN);
}

static Token lex_colon(Lexer *l) {
        if (l->bracket_begun && l->had_colon) {
                l->start = l->at - 1;
                return fail_text(l, "unexpected colon ':'");
        }
        Token t = token(l, TOKEN_COLON);
        if (!l->had_duration)
                return fail_text(l, "unexpected colon before duration in duration expression");
        if (l->had_colon)
                return fail_text(l, "unexpected repeated colon in duration expression");
        l->had_colon = true;
        return t;
}

static Token lex_duration_word(Lexer *l) {
        size_t first = l->at;
        while (is_alnum(peek(l)))
                l->at++;
        Span word = word_of(l);
        for (size_t i = 0; i < ARRAY_LEN(DURATION_WORDS); i++)
                if (word_is(word, DURATION_WORDS[i].name)) {
                        l->had_duration = true;
                        return token(l, DURATION_WORDS[i].type);
                }
        if (!l->bracket_begun)
                return fail_rune(l, "unexpected character in duration expression: ", first);
        buf_put_str(&l->fault, "unexpected character: ");
        quote_put_rune(&l->fault, (unsigned char)l->text.text[first]);
        buf_put_str(&l->fault, ", expected ':'");
        return fail(l);
}

static Token lex_bracket_end(Lexer *l) {
        if (!l->bracket_begun)
                return fail_text(l, "unexpected end of input in duration expression");
        return fail_text(l, l->parens ? "unclosed left parenthesis" : "unclosed left bracket");
}

static Token lex_sign(Lexer *l, int c);

static Token lex_bracket_sign(Lexer *l, int c) {
        l->at++;
        switch (c) {
        case '+': return token(l, TOKEN_ADD);
        case '-': return token(l, TOKEN_SUB);
        case '*': return token(l, TOKEN_MUL);
        case '/': return token(l, TOKEN_DIV);
        case '%': return token(l, TOKEN_MOD);
        case '^': return token(l, TOKEN_POW);
        case ',': return token(l, TOKEN_COMMA);
        case '(': return lex_left_paren(l);
        case ')': return lex_right_paren(l);
        case ':': return lex_colon(l);
        case ']': l->in_brackets = false; return token(l, TOKEN_RIGHT_BRACKET);
        case '[': return fail_text(l, "unexpected left bracket '['");
        default: break;
        }
        if (!l->bracket_begun)
                return fail_rune(l, "unexpected character in duration expression: ", l->at - 1);
        /* Behind a number anything else is a token like everywhere, which the parser does not expect. */
        l->at--;
        return c == '"' || c == '\'' || c == '`' ? lex_string(l) : lex_sign(l, c);
}

static Token lex_in_brackets(Lexer *l) {
        int c = peek(l);
        if (c == END_OF_TEXT)
                return lex_bracket_end(l);
        if (is_alpha(c))
                return lex_duration_word(l);
        if (!is_digit(c) && (c != '.' || !is_digit(byte_at(l, l->at + 1))))
                return lex_bracket_sign(l, c);
        l->bracket_begun = l->had_duration = true;
        return lex_number(l);
}

static Token lex_left_bracket(Lexer *l) {
        l->in_brackets = true;
        l->bracket_begun = l->had_colon = l->had_duration = false;
        return token(l, TOKEN_LEFT_BRACKET);
}

static Token lex_equals(Lexer *l) {
        if (accept(l, "="))
                return token(l, TOKEN_EQLC);
        if (peek(l) == '~')
                return fail_text(l, "unexpected character after '=': '~'");
        return token(l, TOKEN_EQL);
}

static Token lex_not(Lexer *l) {
        if (accept(l, "="))
                return token(l, TOKEN_NEQ);
        return fail_rune(l, "unexpected character after '!': ", l->at);
}

static Token lex_comparison(Lexer *l, bool less) {
        if (accept(l, "="))
                return token(l, less ? TOKEN_LTE : TOKEN_GTE);
        if (accept(l, "/"))
                return token(l, less ? TOKEN_TRIM_UPPER : TOKEN_TRIM_LOWER);
        return token(l, less ? TOKEN_LSS : TOKEN_GTR);
}

static Token lex_sign(Lexer *l, int c) {
        l->at++;
        switch (c) {
        case ',': return token(l, TOKEN_COMMA);
        case '+': return token(l, TOKEN_ADD);
        case '-': return token(l, TOKEN_SUB);
        case '*': return token(l, TOKEN_MUL);
        case '/': return token(l, TOKEN_DIV);
        case '%': return token(l, TOKEN_MOD);
        case '^': return token(l, TOKEN_POW);
        case '@': return token(l, TOKEN_AT);
        case '=': return lex_equals(l);
        case '!': return lex_not(l);
        case '<': return lex_comparison(l, true);
        case '>': return lex_comparison(l, false);
        case '(': return lex_left_paren(l);
        case ')': return lex_right_paren(l);
        case '{': l->in_braces = true; return token(l, TOKEN_LEFT_BRACE);
        case '[': return lex_left_bracket(l);
        case ']': return fail_text(l, "unexpected right bracket ']'");
        default: return fail_rune(l, "unexpected character: ", l->at - 1);
        }
}

Token lexer_next(Lexer *l) {
        skip_blanks(l);
        if (l->in_braces)
                return lex_in_braces(l);
        if (l->in_brackets)
                return lex_in_brackets(l);
        int c = peek(l);
        if (c == END_OF_TEXT)
                return l->parens ? fail_text(l, "unclosed left parenthesis") : token(l, TOKEN_EOF);
        if (is_digit(c) || (c == '.' && is_digit(byte_at(l, l->at + 1))))
                return lex_number(l);
        if (c == '"' || c == '\'' || c == '`')
                return lex_string(l);
        if (is_alpha(c) || c == ':')
                return lex_word(l);
        return lex_sign(l, c);
}

/* ---- What tokens are ---- */

bool token_is_metric_name(TokenType t) {
        switch (t) {
        case TOKEN_IDENTIFIER:
        case TOKEN_METRIC_IDENTIFIER:
        case TOKEN_BY:
        case TOKEN_WITHOUT:
        case TOKEN_OFFSET:
        case TOKEN_ANCHORED:
        case TOKEN_SMOOTHED:
        case TOKEN_AND:
        case TOKEN_OR:
        case TOKEN_UNLESS:
        case TOKEN_START:
        case TOKEN_END:
        case TOKEN_STEP:
        case TOKEN_RANGE: return true;
        default: return token_is_aggregate(t);
        }
}

bool token_is_label_name(TokenType t) {
        return token_is_metric_name(t) || token_is_keyword(t) || t == TOKEN_ATAN2;
}

static const char *simple_name(TokenType t) {
        switch (t) {
        case TOKEN_IDENTIFIER: return "identifier ";
        case TOKEN_METRIC_IDENTIFIER: return "metric identifier ";
        case TOKEN_NUMBER: return "number ";
        case TOKEN_DURATION: return "duration ";
        case TOKEN_STRING: return "string ";
        default: return "";
        }
}

static void put_in_angles(Buf *out, const char *kind, Span s) {
        buf_put_str(out, kind);
        buf_put(out, s.text, s.len);
        buf_put_char(out, '>');
}

#define SHOWN_MOST 10
#define NAME_SHOWN_MOST 256

void token_describe(Token t, Span text, Buf *out) {
        Span s = { text.text + t.place.begin, t.place.end - t.place.begin };
        if (t.type == TOKEN_EOF) {
                buf_put_str(out, "end of input");
        } else if (token_is_keyword(t.type)) {
                put_in_angles(out, "<", s);
        } else if (token_is_operator(t.type)) {
                put_in_angles(out, "<op:", s);
        } else if (token_is_aggregate(t.type)) {
                put_in_angles(out, "<aggr:", s);
        } else {
                bool name = t.type == TOKEN_IDENTIFIER || t.type == TOKEN_METRIC_IDENTIFIER;
                size_t most = name ? NAME_SHOWN_MOST : SHOWN_MOST;
                buf_put_str(out, simple_name(t.type));
                quote_put_first(out, s, most);
                if (s.len > most)
                        buf_put_str(out, "...");
        }
}
