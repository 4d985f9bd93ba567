/* One line at a time, a cursor in it, and a complaint that names the place where the cursor stood. */
#include "wire/exposition_parse.h"

#include "base/escape.h"
#include "base/number.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* OpenMetrics: names and values of an exemplar's labels together, in characters. */
#define EXEMPLAR_MAX 128u

/* ---- errors and characters ---- */

static bool fail_at(ExpositionParser *p, const char *place, const char *what) {
        if (!p->error.what)
                p->error = (ExpositionError){ p->line, (uint32_t)(place - p->line_begin) + 1, what, -EBADMSG };
        return false;
}

static bool no_memory(ExpositionParser *p) {
        p->error = (ExpositionError){ p->line, 1, "no memory", -ENOMEM };
        return false;
}

static bool fail(ExpositionParser *p, const char *what) {
        return fail_at(p, p->at, what);
}

static bool is_name_char(char c, bool first, bool metric) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (metric && c == ':') || (!first && c >= '0' && c <= '9');
}

static bool is_next(const ExpositionParser *p, char c) {
        return p->at < p->line_end && *p->at == c;
}

static bool take(ExpositionParser *p, char c) {
        if (!is_next(p, c))
                return false;
        p->at++;
        return true;
}

/* Blanks that may be there: none in OpenMetrics. */
static void skip_blanks(ExpositionParser *p) {
        while (!p->openmetrics && p->at < p->line_end && (*p->at == ' ' || *p->at == '\t'))
                p->at++;
}

/* The blank that must be there: one in OpenMetrics. */
static bool take_blank(ExpositionParser *p) {
        const char *before = p->at;
        if (p->openmetrics)
                return take(p, ' ');
        skip_blanks(p);
        return p->at > before;
}

static bool take_name(ExpositionParser *p, bool metric, Span *ret_name) {
        const char *begin = p->at;
        while (p->at < p->line_end && is_name_char(*p->at, p->at == begin, metric))
                p->at++;
        *ret_name = (Span){ begin, (size_t)(p->at - begin) };
        return ret_name->len > 0;
}

static Span take_word(ExpositionParser *p) {
        const char *begin = p->at;
        while (p->at < p->line_end && *p->at != ' ' && *p->at != '\t')
                p->at++;
        return (Span){ begin, (size_t)(p->at - begin) };
}

/* ---- texts ---- */

/* What comes after a backslash; 0 for none of the format's. */
static char unescape(char c, bool quotes) {
        return c == 'n' ? '\n' : c == '\\' || (quotes && c == '"') ? c : '\0';
}

/* A quoted text. Room for the whole line was reserved, so that spans stay where they are. */
static bool take_quoted(ExpositionParser *p, Span *ret_text) {
        const char *begin = p->at;
        size_t start = p->text.len;
        if (!take(p, '"'))
                return fail(p, "expected a quote");
        while (p->at < p->line_end && *p->at != '"' && *p->at != '\\')
                p->at++;
        if (take(p, '"')) { /* nothing is escaped */
                *ret_text = (Span){ begin + 1, (size_t)(p->at - begin) - 2 };
                return true;
        }
        p->at = begin + 1;
        while (p->at < p->line_end && *p->at != '"') {
                char c = *p->at++;
                if (c == '\\') {
                        c = p->at < p->line_end ? unescape(*p->at, true) : '\0';
                        if (!c)
                                return fail_at(p, p->at - 1, "not an escape: only \\\\, \\\" and \\n are");
                        p->at++;
                }
                buf_put_char(&p->text, c);
        }
        if (!take(p, '"'))
                return fail_at(p, begin, "the quote is not closed");
        *ret_text = (Span){ p->text.data + start, p->text.len - start };
        return true;
}

/* The rest of the line as HELP has it: other backslashes are themselves. */
static Span take_help(ExpositionParser *p) {
        size_t start = p->text.len;
        while (p->at < p->line_end) {
                char c = *p->at++, escaped = c == '\\' && p->at < p->line_end ? unescape(*p->at, p->openmetrics) : '\0';
                if (escaped)
                        p->at++;
                buf_put_char(&p->text, escaped ? escaped : c);
        }
        return (Span){ p->text.data + start, p->text.len - start };
}

/* ---- labels ---- */

static bool add_label(ExpositionParser *p, ExpositionItem *item, Span name, Span value) {
        if (item->n_labels == LABELS_MAX)
                return fail(p, "more than 64 labels");
        item->labels[item->n_labels++] = (Label){ name, value };
        return true;
}

/* One of `name="value"`, `"name"="value"`, or, when it may be, the metric's name in quotes. */
static bool take_label(ExpositionParser *p, ExpositionItem *item, bool may_name) {
        Span name, value;
        bool quoted = is_next(p, '"');
        if (quoted && !take_quoted(p, &name))
                return false;
        if (!quoted && !take_name(p, false, &name))
                return fail(p, "expected the name of a label");
        skip_blanks(p);
        if (quoted && may_name && !is_next(p, '='))
                return add_label(p, item, (Span){ METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 }, name);
        if (!take(p, '='))
                return fail(p, "expected =");
        skip_blanks(p);
        return take_quoted(p, &value) && add_label(p, item, name, value);
}

static bool take_labels(ExpositionParser *p, ExpositionItem *item, bool may_name) {
        bool more = true;
        p->at++; /* the brace */
        skip_blanks(p);
        while (!is_next(p, '}')) {
                if (!more)
                        return fail(p, "expected , or }");
                if (!take_label(p, item, may_name && item->n_labels == 0))
                        return false;
                skip_blanks(p);
                more = take(p, ',');
                skip_blanks(p);
                if (more && p->openmetrics && is_next(p, '}'))
                        return fail(p, "expected a label");
        }
        p->at++;
        return true;
}

/* ---- numbers ---- */

static bool take_value(ExpositionParser *p, double *ret_v) {
        Span word = take_word(p);
        if (word.len == 0)
                return fail(p, "expected a value");
        if (number_parse(word.text, word.len, ret_v) < 0)
                return fail_at(p, word.text, "expected a value, this is not a number");
        return true;
}

/* Milliseconds in the text format, seconds in OpenMetrics. */
static bool take_time(ExpositionParser *p, int64_t *ret_ms) {
        Span word = take_word(p);
        Scan s = SCAN(word.text, word.len);
        double seconds;
        if (!p->openmetrics)
                return (scan_i64(&s, ret_ms) && s.at == s.end) || fail_at(p, word.text, "expected a time in milliseconds");
        if (number_parse(word.text, word.len, &seconds) < 0 || !(fabs(seconds) < 9e15))
                return fail_at(p, word.text, "expected a time in seconds");
        *ret_ms = (int64_t)llround(seconds * 1000);
        return true;
}

/* ---- exemplars ---- */

static size_t characters(Span s) {
        size_t n = 0;
        for (size_t i = 0; i < s.len; i++)
                n += ((unsigned char)s.text[i] & 0xc0) != 0x80;
        return n;
}

static bool ends_with(Span s, const char *suffix) {
        size_t n = strlen(suffix);
        return s.len > n && memcmp(s.text + s.len - n, suffix, n) == 0;
}

/* After the number sign: labels, value, perhaps a time. */
static bool take_exemplar(ExpositionParser *p, ExpositionItem *sample, Span metric) {
        const char *begin = p->at;
        size_t n = sample->n_labels, length = 0;
        if (!p->lenient && !ends_with(metric, "_total") && !ends_with(metric, "_bucket"))
                return fail(p, "only a counter's _total and a _bucket may have an exemplar");
        if (!take(p, '#') || !take_blank(p) || !is_next(p, '{'))
                return fail(p, "expected an exemplar: # {...}");
        sample->n_labels = 0; /* the sample's own are put aside: the list is not full of both */
        Label *kept = memcpy((Label[LABELS_MAX]){ 0 }, sample->labels, n * sizeof(Label));
        bool good = take_labels(p, sample, false);
        for (size_t i = 0; good && i < sample->n_labels; i++)
                length += characters(sample->labels[i].name) + characters(sample->labels[i].value);
        memcpy(sample->exemplar, sample->labels, sample->n_labels * sizeof(Label));
        sample->n_exemplar = sample->n_labels;
        memcpy(sample->labels, kept, n * sizeof(Label));
        sample->n_labels = n;
        if (!good)
                return false;
        if (length > EXEMPLAR_MAX)
                return fail_at(p, begin, "an exemplar's labels are longer than 128 characters");
        if (!take_blank(p) || !take_value(p, &sample->exemplar_value))
                return fail(p, "expected the exemplar's value");
        sample->has_exemplar = true;
        sample->exemplar_has_time = take_blank(p);
        return !sample->exemplar_has_time || take_time(p, &sample->exemplar_ms);
}

/* ---- lines ---- */

/* The name before the braces or in them. */
static bool take_series(ExpositionParser *p, ExpositionItem *item, Span *ret_metric) {
        const char *begin = p->at;
        bool named = take_name(p, true, ret_metric);
        item->n_labels = 0;
        if (named && !add_label(p, item, (Span){ METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 }, *ret_metric))
                return false;
        skip_blanks(p);
        if (is_next(p, '{') && !take_labels(p, item, !named))
                return false;
        if (item->n_labels == 0 || !span_is(item->labels[0].name, METRIC_NAME_LABEL))
                return fail_at(p, begin, "expected the name of a metric");
        *ret_metric = item->labels[0].value;
        return ret_metric->len > 0 || fail_at(p, begin, "the name of the metric is empty");
}

static bool read_sample(ExpositionParser *p, ExpositionItem *item) {
        Span metric;
        item->kind = EXPOSITION_SAMPLE;
        item->has_time = item->has_exemplar = false;
        if (!take_series(p, item, &metric))
                return false;
        const char *value = p->at;
        bool apart = take_blank(p) || (!p->openmetrics && strchr(" \t}", p->at[-1]));
        if (!apart || !take_value(p, &item->value))
                return fail(p, "expected a value");
        bool is_time = item->value >= 0 && isfinite(item->value);
        if (p->openmetrics && !p->lenient && ends_with(metric, "_created") && !is_time)
                return fail_at(p, value, "the value of _created must be a time");
        if (take_blank(p) && p->at < p->line_end && *p->at != '#') {
                item->has_time = true;
                if (!take_time(p, &item->time_ms))
                        return false;
                (void)take_blank(p);
        }
        if (p->openmetrics && is_next(p, '#') && !take_exemplar(p, item, metric))
                return false;
        bool trailing = p->openmetrics && p->at[-1] == ' ';
        return (p->at == p->line_end && !trailing) || fail(p, "expected the end of the line");
}

static const struct {
        const char *name;
        MetricType type;
        bool text, openmetrics;
} TYPES[] = {
        { "counter", METRIC_COUNTER, true, true },    { "gauge", METRIC_GAUGE, true, true },
        { "histogram", METRIC_HISTOGRAM, true, true }, { "summary", METRIC_SUMMARY, true, true },
        { "untyped", METRIC_UNTYPED, true, false },   { "unknown", METRIC_UNTYPED, false, true },
        { "info", METRIC_INFO, false, true },         { "stateset", METRIC_STATESET, false, true },
        { "gaugehistogram", METRIC_GAUGE_HISTOGRAM, false, true },
};

static bool type_of(const ExpositionParser *p, Span word, ExpositionItem *item) {
        for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
                if (span_is(word, TYPES[i].name) && (p->openmetrics ? TYPES[i].openmetrics : TYPES[i].text)) {
                        item->type = TYPES[i].type;
                        item->type_name = span_is(word, "untyped") ? "unknown" : TYPES[i].name;
                        return true;
                }
        return false;
}

static uint64_t hash_name(Span s) {
        uint64_t h = UINT64_C(0xcbf29ce484222325);
        for (size_t i = 0; i < s.len; i++)
                h = (h ^ (uint8_t)s.text[i]) * UINT64_C(0x100000001b3);
        h ^= h >> 32;
        return h ? h : 1;
}

static void put_hash(uint64_t *slots, size_t cap, uint64_t h) {
        size_t i = h & (cap - 1);
        while (slots[i])
                i = (i + 1) & (cap - 1);
        slots[i] = h;
}

static bool has_hash(const ExpositionParser *p, uint64_t h) {
        if (p->cap_types == 0)
                return false;
        for (size_t i = h & (p->cap_types - 1); p->types[i]; i = (i + 1) & (p->cap_types - 1))
                if (p->types[i] == h)
                        return true;
        return false;
}

static bool grow_types(ExpositionParser *p) {
        size_t cap = p->cap_types ? p->cap_types * 2 : 256;
        uint64_t *slots = calloc(cap, sizeof *slots);
        if (!slots)
                return no_memory(p);
        for (size_t i = 0; i < p->cap_types; i++)
                if (p->types[i])
                        put_hash(slots, cap, p->types[i]);
        free(p->types);
        p->types = slots;
        p->cap_types = cap;
        return true;
}

/* Whether this is the family's first TYPE. */
static bool first_type(ExpositionParser *p, Span metric) {
        uint64_t h = hash_name(metric);
        if (has_hash(p, h))
                return fail_at(p, metric.text, "a second TYPE for this metric");
        if ((p->n_types + 1) * 2 > p->cap_types && !grow_types(p))
                return false;
        put_hash(p->types, p->cap_types, h);
        p->n_types++;
        return true;
}

static bool read_type(ExpositionParser *p, ExpositionItem *item) {
        const char *begin = p->at;
        if (!type_of(p, take_word(p), item))
                return fail_at(p, begin, "expected a type: counter, gauge, histogram, summary, ...");
        skip_blanks(p);
        if (p->at != p->line_end)
                return fail(p, "expected the end of the line");
        return p->lenient || first_type(p, item->metric);
}

static bool read_metric_of(ExpositionParser *p, ExpositionItem *item) {
        if (!take_blank(p))
                return fail(p, "expected a blank");
        if (is_next(p, '"') ? !take_quoted(p, &item->metric) : !take_name(p, true, &item->metric))
                return fail(p, "expected the name of a metric");
        if (take_blank(p) || p->at == p->line_end)
                return true;
        return fail(p, "expected a blank");
}

/* After "# KIND": 1 an item, 0 a comment, -1 an error. */
static int read_description(ExpositionParser *p, Span kind, ExpositionItem *item) {
        bool type = span_is(kind, "TYPE"), help = span_is(kind, "HELP"), unit = span_is(kind, "UNIT") && p->openmetrics;
        if (!type && !help && !unit)
                return p->openmetrics ? (fail_at(p, kind.text, "expected TYPE, HELP, UNIT or EOF"), -1) : 0;
        item->kind = type ? EXPOSITION_TYPE : help ? EXPOSITION_HELP : EXPOSITION_UNIT;
        item->n_labels = 0;
        item->type = METRIC_UNTYPED;
        item->type_name = "unknown";
        item->text = (Span){ "", 0 };
        if (!read_metric_of(p, item))
                return -1;
        if (type)
                return read_type(p, item) ? 1 : -1;
        item->text = help ? take_help(p) : take_word(p);
        return p->at == p->line_end || fail(p, "expected the end of the line") ? 1 : -1;
}

/* A line that begins with the number sign. */
static int read_comment(ExpositionParser *p, ExpositionItem *item) {
        const char *begin = p->at++;
        if (!take_blank(p))
                return p->openmetrics ? (fail_at(p, begin, "expected \"# \""), -1) : 0;
        Span kind = take_word(p);
        if (!p->openmetrics || !span_is(kind, "EOF"))
                return read_description(p, kind, item);
        p->ended = p->at == p->line_end;
        return p->ended ? 0 : (fail(p, "expected the end of the line"), -1);
}

static const char *bad_byte(const char *at, const char *end) {
        for (; at < end; at++)
                if (*at == '\0' || *at == '\r')
                        return at;
        return NULL;
}

static bool check_line(ExpositionParser *p) {
        size_t n = (size_t)(p->line_end - p->line_begin);
        if (n > EXPOSITION_LINE_MAX)
                return fail(p, "the line is longer than 1 MiB");
        const char *bad = bad_byte(p->line_begin, p->line_end);
        if (bad)
                return fail_at(p, bad, *bad ? "a carriage return: lines end with LF alone" : "a NUL");
        if (!utf8_valid(p->line_begin, n))
                return fail(p, "the line is not UTF-8");
        buf_reset(&p->text);
        return buf_reserve(&p->text, n + 1) || no_memory(p);
}

/* Sets the cursor to the next line; false at the end, or on an error. */
static bool next_line(ExpositionParser *p) {
        if (p->rest == p->end)
                return false;
        const char *newline = memchr(p->rest, '\n', (size_t)(p->end - p->rest));
        p->line++;
        p->line_begin = p->at = p->rest;
        p->line_end = newline ? newline : p->end;
        p->rest = newline ? newline + 1 : p->end;
        if (p->ended)
                return fail(p, "something after # EOF");
        Span line = { p->line_begin, (size_t)(p->line_end - p->line_begin) };
        if (!newline && !(p->lenient && !p->openmetrics) && !(p->openmetrics && span_is(line, "# EOF")))
                return fail_at(p, p->line_end, "the last line does not end with LF: is something missing?");
        return check_line(p);
}

/* 1 an item, 0 nothing in this line, -1 an error. */
static int read_line(ExpositionParser *p, ExpositionItem *item) {
        skip_blanks(p);
        if (p->at == p->line_end)
                return p->openmetrics ? (fail(p, "an empty line"), -1) : 0;
        item->line = p->line;
        return *p->at == '#' ? read_comment(p, item) : read_sample(p, item) ? 1 : -1;
}

void exposition_begin(ExpositionParser *p, const char *bytes, size_t n, bool openmetrics, uint32_t first_line) {
        *p = (ExpositionParser){ .rest = bytes, .end = bytes + n, .openmetrics = openmetrics, .line = first_line - 1,
                                 .text = BUF_WITH_LIMIT(2 * EXPOSITION_LINE_MAX) };
}

int exposition_next(ExpositionParser *p, ExpositionItem *ret_item) {
        int r = 0;
        while (r == 0 && next_line(p))
                r = read_line(p, ret_item);
        if (r > 0)
                return 1;
        if (!p->error.what && p->openmetrics && !p->ended)
                p->error = (ExpositionError){ p->line + 1, 1, "# EOF is missing", -EBADMSG };
        assert(r == 0 || p->error.what);
        return p->error.code;
}

void exposition_end(ExpositionParser *p) {
        buf_deinit(&p->text);
        free(p->types);
        p->types = NULL;
}
