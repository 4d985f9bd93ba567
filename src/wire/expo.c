/* Differences of OpenMetrics that matter here: a counter's family is named without the `_total` of its
 * samples, a unit is said when the name ends in one, help escapes quotes, and the text ends in `# EOF`.
 * A counter whose name has no `_total` (cAdvisor and node_exporter have some) is no counter there: it is
 * given the type `unknown` under its own name, which is what Prometheus's own library does. */
#include "wire/expo.h"

#include "base/escape.h"
#include "base/number.h"

static bool ends_with(Span s, const char *suffix) {
        size_t n = strlen(suffix);
        return s.len > n && memcmp(s.text + s.len - n, suffix, n) == 0;
}

void expo_family(Expo *e, const char *name, MetricType type, const char *help) {
        e->name = name;
        e->name_len = strlen(name);
        e->type = type;
        e->help = help;
        e->started = false;
}

static void put_help(Expo *e) {
        for (const char *c = e->help; *c; c++) {
                if (*c == '\n')
                        buf_put(e->out, "\\n", 2);
                else if (*c == '\\' || (*c == '"' && e->openmetrics))
                        buf_put(e->out, (const char[2]){ '\\', *c }, 2);
                else
                        buf_put_char(e->out, *c);
        }
}

/* The unit that a family's name ends in; NULL for limits, which are per second whatever their name says. */
static const char *unit_of(Span family) {
        static const char *const UNITS[] = { "seconds", "bytes", "hertz", "celsius" };
        for (size_t i = 0; i < ARRAY_LEN(UNITS); i++) {
                size_t n = strlen(UNITS[i]);
                if (ends_with(family, UNITS[i]) && family.text[family.len - n - 1] == '_')
                        return memmem(family.text, family.len, "_limit_", 7) && i == 1 ? NULL : UNITS[i];
        }
        return NULL;
}

static void put_line(Expo *e, const char *keyword, Span family) {
        buf_put(e->out, "# ", 2);
        buf_put_str(e->out, keyword);
        buf_put_char(e->out, ' ');
        buf_put(e->out, family.text, family.len);
        buf_put_char(e->out, ' ');
}

static void put_head(Expo *e) {
        Span family = { e->name, e->name_len };
        const char *type = !e->openmetrics && e->type == METRIC_UNTYPED ? "untyped" : metric_type_name(e->type);
        if (e->openmetrics && e->type == METRIC_COUNTER) {
                if (ends_with(family, "_total"))
                        family.len -= strlen("_total");
                else
                        type = "unknown";
        }
        put_line(e, "HELP", family);
        put_help(e);
        buf_put_char(e->out, '\n');
        put_line(e, "TYPE", family);
        buf_put_str(e->out, type);
        buf_put_char(e->out, '\n');
        const char *unit = e->openmetrics ? unit_of(family) : NULL;
        if (unit) {
                put_line(e, "UNIT", family);
                buf_put_str(e->out, unit);
                buf_put_char(e->out, '\n');
        }
        e->started = true;
}

static char *put(char *at, const char *bytes, size_t n) {
        memcpy(at, bytes, n);
        return at + n;
}

/* Sixteen thousand of these are a scrape of 200 machines: room is made once for the whole line. */
void expo_sample(Expo *e, const Span *parts, size_t n_parts, double value) {
        if (!e->started)
                put_head(e);
        e->samples++;
        size_t most = e->name_len + NUMBER_TEXT_MAX + sizeof "{} \n";
        for (size_t i = 0; i < n_parts; i++)
                most += parts[i].len + 1;
        char *line = buf_reserve(e->out, most), *at = line;
        if (!line)
                return;
        at = put(at, e->name, e->name_len);
        char before = '{';
        for (size_t i = 0; i < n_parts; i++) {
                if (parts[i].len == 0)
                        continue;
                *at++ = before;
                at = put(at, parts[i].text, parts[i].len);
                before = ',';
        }
        if (before == ',')
                *at++ = '}';
        *at++ = ' ';
        at += number_text(value, at);
        *at++ = '\n';
        e->out->len += (size_t)(at - line);
}

void expo_end(Expo *e) {
        if (e->openmetrics)
                buf_put_str(e->out, "# EOF\n");
}

void expo_put_label(Buf *out, size_t start, const char *key, const char *value, size_t n) {
        if (out->len > start)
                buf_put_char(out, ',');
        buf_put_str(out, key);
        buf_put(out, "=\"", 2);
        escape_label(out, value, n);
        buf_put_char(out, '"');
}

/* The q of one media range in thousandths. */
static unsigned range_weight(const char *range, size_t n) {
        const char *q = memmem(range, n, ";q=", 3);
        if (!q)
                q = memmem(range, n, "; q=", 4);
        if (!q)
                return 1000;
        q = strchr(q, '=') + 1;
        if (*q == '1')
                return 1000;
        unsigned weight = 0, place = 100;
        if (*q == '0' && q[1] == '.')
                for (q += 2; place > 0 && *q >= '0' && *q <= '9'; q++, place /= 10)
                        weight += (unsigned)(*q - '0') * place;
        return weight;
}

bool expo_accepts_openmetrics(const char *accept) {
        unsigned openmetrics = 0, text = 0;
        while (*accept) {
                accept += strspn(accept, ", \t");
                size_t n = strcspn(accept, ",");
                Span range = { accept, n };
                unsigned weight = range_weight(accept, n);
                if (span_starts(range, "application/openmetrics-text")) {
                        if (weight > openmetrics)
                                openmetrics = weight;
                } else if (span_starts(range, "text/plain") && weight > text) {
                        text = weight;
                }
                accept += n;
        }
        return openmetrics > 0 && openmetrics >= text;
}
