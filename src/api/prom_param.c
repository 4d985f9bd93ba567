/* Parameters, read as Prometheus reads them and refused in its words. */
#include "api/prom.h"

#include "base/duration.h"
#include "base/number.h"

#include <ctype.h>
#include <math.h>

/* The first and the last time that Prometheus knows, which its clients send for "always". */
#define MIN_TIME "-292273086-05-16T16:47:06Z"
#define MAX_TIME "292277025-08-18T07:12:54.999999999Z"
#define TIME_MAX_SECONDS 9.2e15

const char *prom_param(const PromJob *j, const char *name) {
        const char *v = form_find(j->params, j->n_params, name);
        return v ? v : "";
}

/* ---- Times ---- */

static bool take_digits(const char **at, size_t n, int *ret_v) {
        int v = 0;
        for (size_t i = 0; i < n; i++, (*at)++) {
                if (**at < '0' || **at > '9')
                        return false;
                v = v * 10 + (**at - '0');
        }
        *ret_v = v;
        return true;
}

static bool take_char(const char **at, char c) {
        bool is = **at == c;
        *at += is;
        return is;
}

/* ".123456": what is below a millisecond does not count. */
static bool take_fraction(const char **at, int *ret_ms) {
        int unit = 100;
        *ret_ms = 0;
        if (!take_char(at, '.'))
                return true;
        if (!isdigit((unsigned char)**at))
                return false;
        for (; isdigit((unsigned char)**at); (*at)++, unit /= 10)
                *ret_ms += unit * (**at - '0');
        return true;
}

static bool take_zone(const char **at, int64_t *ret_seconds) {
        int hours, minutes, sign = **at == '-' ? -1 : 1;
        *ret_seconds = 0;
        if (take_char(at, 'Z'))
                return true;
        if (!take_char(at, '+') && !take_char(at, '-'))
                return false;
        if (!take_digits(at, 2, &hours) || !take_char(at, ':') || !take_digits(at, 2, &minutes) || hours > 23 ||
            minutes > 59)
                return false;
        *ret_seconds = sign * (hours * 3600 + minutes * 60);
        return true;
}

static bool parse_rfc3339(const char *text, int64_t *ret_ms) {
        struct tm tm = { 0 }, back;
        int ms;
        int64_t zone;
        if (!take_digits(&text, 4, &tm.tm_year) || !take_char(&text, '-') || !take_digits(&text, 2, &tm.tm_mon) ||
            !take_char(&text, '-') || !take_digits(&text, 2, &tm.tm_mday) || !take_char(&text, 'T') ||
            !take_digits(&text, 2, &tm.tm_hour) || !take_char(&text, ':') || !take_digits(&text, 2, &tm.tm_min) ||
            !take_char(&text, ':') || !take_digits(&text, 2, &tm.tm_sec) || !take_fraction(&text, &ms) ||
            !take_zone(&text, &zone) || *text)
                return false;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        back = tm;
        time_t t = timegm(&back);
        /* timegm() makes the 30th of February a day of March. */
        if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday || back.tm_hour != tm.tm_hour ||
            back.tm_min != tm.tm_min || back.tm_sec != tm.tm_sec)
                return false;
        *ret_ms = ((int64_t)t - zone) * 1000 + ms;
        return true;
}

bool prom_parse_time(const char *text, int64_t *ret_ms) {
        double v, whole;
        if (number_parse(text, strlen(text), &v) == 0) {
                if (!(fabs(v) < TIME_MAX_SECONDS))
                        return false;
                double fraction = modf(v, &whole);
                *ret_ms = (int64_t)whole * 1000 + (int64_t)round(fraction * 1000);
                return true;
        }
        if (strcmp(text, MIN_TIME) == 0 || strcmp(text, MAX_TIME) == 0) {
                *ret_ms = text[0] == '-' ? INT64_MIN + 1 : INT64_MAX;
                return true;
        }
        return parse_rfc3339(text, ret_ms);
}

bool prom_parse_duration(const char *text, Duration *ret_d) {
        double v;
        if (number_parse(text, strlen(text), &v) == 0) {
                v *= (double)NS_PER_SEC;
                if (!(fabs(v) < 9.2e18))
                        return false;
                ret_d->ns = (int64_t)v;
                return true;
        }
        return duration_parse(text, &ret_d->ns) == 0;
}

bool prom_time(PromJob *j, const char *name, int64_t fallback, int64_t *ret_ms) {
        const char *text = prom_param(j, name);
        *ret_ms = fallback;
        if (!*text || prom_parse_time(text, ret_ms))
                return true;
        prom_error(&j->response, PROM_BAD_DATA,
                   "invalid parameter \"%s\": Invalid time value for '%s': cannot parse \"%s\" to a valid timestamp",
                   name, name, text);
        return false;
}

bool prom_limit(PromJob *j, const char *name, size_t *ret_limit) {
        const char *text = prom_param(j, name);
        uint64_t v;
        *ret_limit = 0;
        if (!*text)
                return true;
        bool negative = text[0] == '-';
        if (!span_u64((Span){ text + negative, strlen(text + negative) }, &v) || v > INT64_MAX) {
                prom_error(&j->response, PROM_BAD_DATA, "invalid parameter \"%s\": cannot parse \"%s\" as a number",
                           name, text);
                return false;
        }
        if (negative && v > 0) {
                prom_error(&j->response, PROM_BAD_DATA, "invalid parameter \"%s\": limit must be non-negative", name);
                return false;
        }
        *ret_limit = (size_t)v;
        return true;
}

/* ---- Selectors ---- */

void prom_selectors_deinit(PromSelectors *s) {
        for (size_t i = 0; i < s->n; i++)
                s->asts[i] = ast_free(s->asts[i]);
        *s = (PromSelectors){ 0 };
}

static bool add_selector(PromJob *j, const char *text, bool wrapped, PromSelectors *s) {
        CLEANUP(parse_error_deinit) ParseError error = { 0 };
        int r = promql_parse_selector((Span){ text, strlen(text) }, &s->asts[s->n], &error);
        if (r == -EINVAL)
                prom_error(&j->response, PROM_BAD_DATA, "%s%s", wrapped ? "invalid parameter \"match[]\": " : "",
                           buf_cstr(&error.text));
        else if (r < 0)
                prom_error(&j->response, PROM_UNAVAILABLE, "no memory");
        if (r < 0)
                return false;
        const SelectorExpr *selector = &s->asts[s->n]->root->selector;
        s->list[s->n++] = (StoreSelector){ selector->matchers, selector->n_matchers };
        return true;
}

bool prom_selectors(PromJob *j, bool wrapped, PromSelectors *s) {
        s->asts = ARENA_ARRAY(&j->arena, Ast *, j->n_params + 1);
        s->list = ARENA_ARRAY(&j->arena, StoreSelector, j->n_params + 1);
        if (!s->asts || !s->list) {
                prom_error(&j->response, PROM_UNAVAILABLE, "no memory");
                return false;
        }
        for (size_t i = 0; i < j->n_params; i++)
                if (strcmp(j->params[i].name, "match[]") == 0 && !add_selector(j, j->params[i].value, wrapped, s))
                        return false;
        return true;
}
