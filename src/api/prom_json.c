/* The envelope, and JSON in the form that Go's encoder gives it, byte for byte: clients compare and cache texts.
 *
 * A range of 141,000 points is what costs here. All series of a range have the same times, so each time's text is made
 * once; a point is then two copies and a number, written into room that was reserved for a whole series. */
#include "api/prom.h"

#include "base/escape.h"
#include "base/number.h"

#include <assert.h>
#include <stdarg.h>

/* ---- Texts ---- */

static bool is_plain(uint8_t c) {
        return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void put_escape(Buf *out, uint8_t c) {
        static const char *const SHORT[] = {
                ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t", ['"'] = "\\\"", ['\\'] = "\\\\"
        };
        if (c < ARRAY_LEN(SHORT) && SHORT[c])
                buf_put_str(out, SHORT[c]);
        else
                buf_printf(out, "\\u%04x", c);
}

/* Length of the UTF-8 sequence at s, 0 when it is none. */
static size_t sequence(const char *s, size_t left) {
        uint8_t c = (uint8_t)*s;
        size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
        return n <= left && utf8_valid(s, n) ? n : 0;
}

/* What JavaScript took for ends of lines. */
static bool is_line_end(const char *s, size_t n) {
        return n == 3 && (uint8_t)s[0] == 0xE2 && (uint8_t)s[1] == 0x80 && ((uint8_t)s[2] & 0xFE) == 0xA8;
}

static size_t put_wide(Buf *out, const char *s, size_t left) {
        size_t n = sequence(s, left);
        if (n == 0)
                buf_put_str(out, "\\ufffd");
        else if (is_line_end(s, n))
                buf_put_str(out, (uint8_t)s[2] == 0xA8 ? "\\u2028" : "\\u2029");
        else
                buf_put(out, s, n);
        return n ? n : 1;
}

void prom_put_text(Buf *out, Span s) {
        size_t i = 0;
        buf_put_char(out, '"');
        while (i < s.len) {
                size_t begin = i;
                while (i < s.len && is_plain((uint8_t)s.text[i]))
                        i++;
                buf_put(out, s.text + begin, i - begin);
                if (i == s.len)
                        break;
                if ((uint8_t)s.text[i] < 0x80)
                        put_escape(out, (uint8_t)s.text[i++]);
                else
                        i += put_wide(out, s.text + i, s.len - i);
        }
        buf_put_char(out, '"');
}

void prom_put_cstr(Buf *out, const char *s) {
        prom_put_text(out, (Span){ s, strlen(s) });
}

void prom_put_labels(Buf *out, const uint8_t *run, size_t len) {
        Label labels[LABELS_MAX];
        size_t n = len ? labels_split(run, len, labels) : 0;
        buf_put_char(out, '{');
        for (size_t i = 0; i < n; i++) {
                if (i)
                        buf_put_char(out, ',');
                prom_put_text(out, labels[i].name);
                buf_put_char(out, ':');
                prom_put_text(out, labels[i].value);
        }
        buf_put_char(out, '}');
}

/* ---- Numbers ---- */

size_t prom_time_text(int64_t ms, char out[PROM_TIME_TEXT_MAX]) {
        uint64_t v = ms < 0 ? 0 - (uint64_t)ms : (uint64_t)ms, seconds = v / 1000, rest = v % 1000;
        char digits[20];
        size_t n = 0, d = 0;
        if (ms < 0)
                out[n++] = '-';
        do
                digits[d++] = (char)('0' + seconds % 10);
        while (seconds /= 10);
        while (d)
                out[n++] = digits[--d];
        if (rest == 0)
                return n;
        out[n++] = '.';
        out[n++] = (char)('0' + rest / 100);
        out[n++] = (char)('0' + rest / 10 % 10);
        out[n++] = (char)('0' + rest % 10);
        return n;
}

void prom_put_time(Buf *out, int64_t ms) {
        char *at = buf_reserve(out, PROM_TIME_TEXT_MAX);
        if (at)
                out->len += prom_time_text(ms, at);
}

void prom_put_value(Buf *out, double v) {
        char *at = buf_reserve(out, NUMBER_TEXT_MAX + 2);
        if (!at)
                return;
        size_t n = number_json(v, at + 1);
        at[0] = at[n + 1] = '"';
        out->len += n + 2;
}

/* ---- The envelope ---- */

static const struct {
        int status;
        const char *name;
} ERRORS[] = {
        [PROM_BAD_DATA] = { 400, "bad_data" },       [PROM_EXECUTION] = { 422, "execution" },
        [PROM_TIMEOUT] = { 503, "timeout" },         [PROM_CANCELED] = { 503, "canceled" },
        [PROM_INTERNAL] = { 500, "internal" },       [PROM_NOT_FOUND] = { 404, "not_found" },
        [PROM_UNAVAILABLE] = { 503, "unavailable" }, [PROM_FORBIDDEN] = { 403, "unavailable" },
};

void prom_error(HttpResponse *r, PromError e, const char *fmt, ...) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        char small[1024];
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(small, sizeof small, fmt, ap);
        va_end(ap);
        if (n >= (int)sizeof small && buf_reserve(&text, (size_t)n + 1)) {
                va_start(ap, fmt);
                n = vsnprintf(text.data, (size_t)n + 1, fmt, ap);
                va_end(ap);
                text.len = (size_t)n;
        }
        buf_deinit(&r->body);
        r->body = BUF_NULL;
        r->status = ERRORS[e].status;
        r->content_type = PROM_TYPE;
        buf_put_str(&r->body, "{\"status\":\"error\",\"errorType\":\"");
        buf_put_str(&r->body, ERRORS[e].name);
        buf_put_str(&r->body, "\",\"error\":");
        prom_put_text(&r->body, text.len ? (Span){ text.data, text.len } : (Span){ small, strlen(small) });
        buf_put_char(&r->body, '}');
}

void prom_begin(HttpResponse *r) {
        r->status = 200;
        r->content_type = PROM_TYPE;
        buf_put_str(&r->body, "{\"status\":\"success\",\"data\":");
}

static void put_texts(Buf *out, const char *key, const char *const *texts, size_t n) {
        for (size_t i = 0; i < n; i++) {
                buf_put_str(out, i ? "," : ",\"");
                if (i == 0) {
                        buf_put_str(out, key);
                        buf_put_str(out, "\":[");
                }
                prom_put_cstr(out, texts[i]);
        }
        if (n)
                buf_put_char(out, ']');
}

void prom_end(HttpResponse *r, const char *const *warnings, size_t n_warnings, const char *const *infos,
              size_t n_infos) {
        put_texts(&r->body, "warnings", warnings, n_warnings);
        put_texts(&r->body, "infos", infos, n_infos);
        buf_put_char(&r->body, '}');
}

void prom_end_limited(HttpResponse *r, bool truncated) {
        static const char *const TRUNCATED[] = { "results truncated due to limit" };
        prom_end(r, TRUNCATED, truncated, NULL, 0);
}

bool prom_store_ok(PromJob *j, int r) {
        if (r == -E2BIG)
                prom_error(&j->response, PROM_EXECUTION,
                           "more than query.max_memory allows (%zu bytes): narrow match[] or the time",
                           j->settings.limits.max_memory);
        else if (r == -ENOMEM)
                prom_error(&j->response, PROM_UNAVAILABLE, "no memory");
        else if (r == -ECANCELED)
                prom_error(&j->response, PROM_CANCELED, "query was canceled");
        else if (r == -ETIMEDOUT)
                prom_error(&j->response, PROM_TIMEOUT, "query timed out in expression evaluation");
        else if (r < 0)
                prom_error(&j->response, PROM_INTERNAL, "the store cannot be read: %s", strerror(-r));
        return r >= 0;
}

/* ---- Results ---- */

static void put_sample(Buf *out, int64_t ms, double v, const FHist *h) {
        buf_put_char(out, '[');
        prom_put_time(out, ms);
        buf_put_char(out, ',');
        if (h)
                fhist_json(h, out);
        else
                prom_put_value(out, v);
        buf_put_char(out, ']');
}

/* The texts "[<time>," of all steps. */
typedef struct TimeTexts {
        char (*text)[PROM_TIME_TEXT_MAX + 2];
        uint8_t *len;
} TimeTexts;

static void time_texts_deinit(TimeTexts *t) {
        free(t->text);
        free(t->len);
}

static bool time_texts_init(TimeTexts *t, const Steps *s) {
        t->text = calloc(s->n + 1, sizeof *t->text);
        t->len = calloc(s->n + 1, 1);
        if (!t->text || !t->len)
                return false;
        for (size_t k = 0; k < s->n; k++) {
                char *at = t->text[k];
                at[0] = '[';
                size_t n = 1 + prom_time_text(step_time(s, k), at + 1);
                at[n++] = ',';
                t->len[k] = (uint8_t)n;
        }
        return true;
}

/* `[t,"v"],[t,"v"]` of a row; false when it has no float. */
static bool put_floats(Buf *out, const TimeTexts *times, const double *v, size_t n) {
        char *begin = buf_reserve(out, n * (sizeof *times->text + NUMBER_TEXT_MAX + 4)), *at = begin;
        if (!at)
                return false;
        for (size_t k = 0; k < n; k++) {
                if (is_absent(v[k]))
                        continue;
                /* The whole slot: a length that is known is copied at once. */
                memcpy(at, times->text[k], sizeof *times->text);
                at += times->len[k];
                *at++ = '"';
                at += number_json(v[k], at);
                memcpy(at, "\"],", 3);
                at += 3;
        }
        if (at == begin)
                return false;
        out->len += (size_t)(at - begin) - 1;
        return true;
}

static void put_hists(Buf *out, const Steps *s, FHist *const *h) {
        bool first = true;
        for (size_t k = 0; k < s->n; k++) {
                if (!h[k])
                        continue;
                if (!first)
                        buf_put_char(out, ',');
                first = false;
                put_sample(out, step_time(s, k), 0, h[k]);
        }
}

static bool any_hist(const Row *r, size_t n) {
        for (size_t k = 0; r->h && k < n; k++)
                if (r->h[k])
                        return true;
        return false;
}

static void put_range_row(Buf *out, const Steps *s, const TimeTexts *times, const Row *r) {
        buf_put_str(out, "{\"metric\":");
        prom_put_labels(out, r->labels.run, r->labels.len);
        size_t before = out->len;
        buf_put_str(out, ",\"values\":[");
        if (put_floats(out, times, r->v, s->n))
                buf_put_char(out, ']');
        else
                out->len = before;
        if (any_hist(r, s->n)) {
                buf_put_str(out, ",\"histograms\":[");
                put_hists(out, s, r->h);
                buf_put_char(out, ']');
        }
        buf_put_char(out, '}');
}

static void put_instant_row(Buf *out, const Steps *s, const Row *r) {
        buf_put_str(out, "{\"metric\":");
        prom_put_labels(out, r->labels.run, r->labels.len);
        buf_put_str(out, row_hist(r, 0) ? ",\"histogram\":" : ",\"value\":");
        put_sample(out, s->start_ms, r->v[0], row_hist(r, 0));
        buf_put_char(out, '}');
}

static bool row_is_empty(const Row *r, size_t n) {
        for (size_t k = 0; k < n; k++)
                if (row_has(r, k))
                        return false;
        return true;
}

/* The rows, those without a sample left out; true when there were more than the limit. */
static bool put_rows(Buf *out, const QueryResult *r, bool instant, size_t limit) {
        CLEANUP(time_texts_deinit) TimeTexts times = { 0 };
        size_t n = 0;
        if (!instant && !time_texts_init(&times, &r->steps)) {
                out->error = -ENOMEM;
                return false;
        }
        for (size_t i = 0; i < r->value.n_rows && !out->error; i++) {
                if (row_is_empty(&r->value.rows[i], r->steps.n))
                        continue;
                if (limit && n == limit)
                        return true;
                if (n++)
                        buf_put_char(out, ',');
                if (instant)
                        put_instant_row(out, &r->steps, &r->value.rows[i]);
                else
                        put_range_row(out, &r->steps, &times, &r->value.rows[i]);
        }
        return false;
}

/* ,"values":[...] of those that are floats; into room for all of them. */
static void put_matrix_floats(Buf *out, const MatrixRow *m) {
        static const char KEY[] = ",\"values\":[";
        char *begin = buf_reserve(out, sizeof KEY + m->n * (PROM_TIME_TEXT_MAX + NUMBER_TEXT_MAX + 6)), *at = begin;
        if (!at)
                return;
        memcpy(at, KEY, sizeof KEY - 1);
        at += sizeof KEY - 1;
        for (size_t i = 0; i < m->n; i++) {
                if (m->hists && m->hists[i])
                        continue;
                *at++ = '[';
                at += prom_time_text(m->times[i], at);
                memcpy(at, ",\"", 2);
                at += 2;
                at += number_json(m->values[i], at);
                memcpy(at, "\"],", 3);
                at += 3;
        }
        if (at[-1] != ',')
                return; /* there are none */
        at[-1] = ']';
        out->len += (size_t)(at - begin);
}

static void put_matrix_row(Buf *out, const MatrixRow *m) {
        bool hists = false;
        buf_put_str(out, "{\"metric\":");
        prom_put_labels(out, m->labels.run, m->labels.len);
        put_matrix_floats(out, m);
        for (size_t i = 0; m->hists && i < m->n; i++) {
                if (!m->hists[i])
                        continue;
                buf_put_str(out, hists ? "," : ",\"histograms\":[");
                hists = true;
                put_sample(out, m->times[i], 0, m->hists[i]);
        }
        buf_put_str(out, hists ? "]}" : "}");
}

static bool put_matrix(Buf *out, const QueryResult *r, size_t limit) {
        size_t n = limit && limit < r->n_matrix ? limit : r->n_matrix;
        for (size_t i = 0; i < n && !out->error; i++) {
                if (i)
                        buf_put_char(out, ',');
                put_matrix_row(out, &r->matrix[i]);
        }
        return n < r->n_matrix;
}

/* Go writes the numbers of scalars without exponents, whatever their size. */
static void put_plain_value(Buf *out, double v) {
        char text[NUMBER_TEXT_MAX + 1];
        size_t n = number_json(v, text), digits = 0;
        text[n] = '\0';
        const char *e = memchr(text, 'e', n);
        buf_put_char(out, '"');
        if (!e) {
                buf_put(out, text, n);
        } else {
                char *end = NULL, number[NUMBER_TEXT_MAX];
                long point = strtol(e + 1, &end, 10) + 1; /* digits before the point, once it is moved */
                if (text[0] == '-')
                        buf_put_char(out, '-');
                for (const char *at = text; at < e; at++)
                        if (*at >= '0' && *at <= '9')
                                number[digits++] = *at;
                if (point <= 0)
                        buf_put_str(out, "0.");
                for (long i = point; i < 0; i++)
                        buf_put_char(out, '0');
                buf_put(out, number, digits);
                for (long i = (long)digits; i < point; i++)
                        buf_put_char(out, '0');
        }
        buf_put_char(out, '"');
}

/* ... and their times as any number of JSON. */
static void begin_plain(Buf *out, int64_t ms) {
        char text[NUMBER_TEXT_MAX];
        buf_put_char(out, '[');
        buf_put(out, text, number_json((double)ms / 1000, text));
        buf_put_char(out, ',');
}

/* A scalar over a range is a matrix of one series without labels. */
static bool put_scalars(Buf *out, const QueryResult *r, size_t limit) {
        Row row = { .v = r->value.scalar };
        QueryResult as_rows = *r;
        as_rows.value = (Value){ .type = TYPE_VECTOR, .rows = &row, .n_rows = 1 };
        return put_rows(out, &as_rows, false, limit);
}

static bool put_any(Buf *out, const QueryResult *r, bool instant, size_t limit) {
        bool cut = false;
        if (!instant || r->type == TYPE_VECTOR || r->type == TYPE_MATRIX) {
                buf_put_str(out, instant && r->type == TYPE_VECTOR ? "{\"resultType\":\"vector\",\"result\":["
                                                                   : "{\"resultType\":\"matrix\",\"result\":[");
                if (r->type == TYPE_MATRIX)
                        cut = put_matrix(out, r, limit);
                else if (r->type == TYPE_SCALAR)
                        cut = put_scalars(out, r, limit);
                else
                        cut = put_rows(out, r, instant, limit);
                buf_put_char(out, ']');
        } else if (r->type == TYPE_SCALAR) {
                buf_put_str(out, "{\"resultType\":\"scalar\",\"result\":");
                begin_plain(out, r->steps.start_ms);
                put_plain_value(out, r->value.scalar[0]);
                buf_put_char(out, ']');
        } else {
                buf_put_str(out, "{\"resultType\":\"string\",\"result\":");
                begin_plain(out, r->steps.start_ms);
                prom_put_text(out, r->value.string);
                buf_put_char(out, ']');
        }
        return cut;
}

static void put_seconds(Buf *out, const char *key, Duration d) {
        char text[NUMBER_TEXT_MAX];
        buf_put_str(out, key);
        buf_put(out, text, number_json(duration_seconds(d), text));
}

static void put_stats(Buf *out, const QueryStats *s) {
        put_seconds(out, ",\"stats\":{\"timings\":{\"evalTotalTime\":", s->total);
        put_seconds(out, ",\"resultSortTime\":", (Duration){ 0 });
        put_seconds(out, ",\"queryPreparationTime\":", s->select);
        put_seconds(out, ",\"innerEvalTime\":", s->eval);
        put_seconds(out, ",\"execQueueTime\":", (Duration){ 0 });
        put_seconds(out, ",\"execTotalTime\":", s->total);
        buf_put_str(out, "},\"samples\":{\"totalQueryableSamples\":");
        buf_put_u64(out, s->samples);
        buf_put_str(out, ",\"peakSamples\":");
        buf_put_u64(out, s->peak_samples);
        buf_put_str(out, "}}");
}

bool prom_put_result(Buf *out, const QueryResult *r, bool instant, size_t limit, const char *stats) {
        bool cut = put_any(out, r, instant, limit);
        if (*stats)
                put_stats(out, &r->stats);
        buf_put_char(out, '}');
        return cut;
}
