/* The newest sample of each series that is asked for, as text: by name, with its time, stale ones and native histograms
 * left out, with the external labels and an `instance` of their own, so that the scraper puts none on them. */
#include "api/prom.h"

#include "base/escape.h"
#include "base/number.h"

#define TEXT_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define UTF8_TYPE "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8"

typedef struct Line {
        Label labels[LABELS_MAX];
        size_t n;
        Span name;
} Line;

static bool is_legacy(Span s, bool colon) {
        for (size_t i = 0; i < s.len; i++) {
                char c = s.text[i];
                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon && c == ':') ||
                      (i > 0 && c >= '0' && c <= '9')))
                        return false;
        }
        return s.len > 0;
}

/* Name, or what old scrapers read instead. */
static void put_name(Buf *out, Span s, bool colon, bool utf8) {
        if (is_legacy(s, colon)) {
                buf_put(out, s.text, s.len);
                return;
        }
        if (utf8) {
                buf_put_char(out, '"');
                escape_label(out, s.text, s.len);
                buf_put_char(out, '"');
                return;
        }
        for (size_t i = 0; i < s.len; i++) {
                if (((uint8_t)s.text[i] & 0xC0) == 0x80) /* one "_" a character */
                        continue;
                buf_put_char(out, is_legacy((Span){ s.text + i, 1 }, colon) ||
                                                  (i > 0 && s.text[i] >= '0' && s.text[i] <= '9')
                                          ? s.text[i]
                                          : '_');
        }
}

static void put_labels(Buf *out, const Line *l, bool utf8) {
        bool quoted = utf8 && !is_legacy(l->name, true), instance = false;
        size_t n = 0;
        if (!quoted)
                put_name(out, l->name, true, utf8);
        buf_put_char(out, '{');
        if (quoted) {
                put_name(out, l->name, true, utf8);
                n++;
        }
        for (size_t i = 0; i < l->n; i++) {
                if (span_is(l->labels[i].name, METRIC_NAME_LABEL))
                        continue;
                instance |= span_is(l->labels[i].name, "instance");
                if (n++)
                        buf_put_char(out, ',');
                put_name(out, l->labels[i].name, false, utf8);
                buf_put_str(out, "=\"");
                escape_label(out, l->labels[i].value.text, l->labels[i].value.len);
                buf_put_char(out, '"');
        }
        if (!instance)
                buf_put_str(out, n ? ",instance=\"\"" : "instance=\"\"");
        buf_put_char(out, '}');
}

static void put_line(Buf *out, const Line *l, const Span *last, int64_t time_ms, double v, bool utf8) {
        char number[NUMBER_TEXT_MAX];
        if (last->len != l->name.len || memcmp(last->text, l->name.text, last->len) != 0) {
                buf_put_str(out, "# TYPE ");
                put_name(out, l->name, true, utf8);
                buf_put_str(out, " untyped\n");
        }
        put_labels(out, l, utf8);
        buf_put_char(out, ' ');
        buf_put(out, number, number_text(v, number));
        buf_printf(out, " %lld\n", (long long)time_ms);
}

static Span name_of(const SeriesEntry *e) {
        Span name = { "", 0 };
        (void)labels_get(e->run, e->len, METRIC_NAME_LABEL, &name);
        return name;
}

/* By name, else as the labels are sorted. */
static int compare_names(const void *a, const void *b) {
        const SeriesEntry *x = a, *y = b;
        Span m = name_of(x), n = name_of(y);
        int order = memcmp(m.text, n.text, m.len < n.len ? m.len : n.len);
        if (order == 0)
                order = (m.len > n.len) - (m.len < n.len);
        return order ? order : labels_compare(x->run, x->len, y->run, y->len);
}

static int put_entry(PromJob *j, const SeriesEntry *e, StoreSamples *x, Buf *scratch, Span *last) {
        int r = store_list_floats(e->list, e->index, ROLLUP_LAST, x);
        j->samples += x->n;
        if (r < 0 || x->n == 0 || is_stale(x->values[x->n - 1]))
                return r;
        SeriesEntry whole = prom_with_external(j, *e, scratch);
        Line line = { .name = name_of(e) };
        line.n = labels_split(whole.run, whole.len, line.labels);
        if (line.name.len == 0)
                return 0;
        put_line(&j->response.body, &line, last, x->times[x->n - 1], x->values[x->n - 1], j->accepts_utf8);
        *last = line.name;
        return buf_error(&j->response.body);
}

void prom_federate(PromJob *j) {
        CLEANUP(prom_selectors_deinit) PromSelectors selectors = { 0 };
        CLEANUP(series_set_deinit) SeriesSet set = { 0 };
        CLEANUP(store_samples_deinit) StoreSamples samples = { 0 };
        CLEANUP(buf_deinit) Buf scratch = BUF_NULL;
        int64_t now = j->now.ns / NS_PER_MS, begin = now - j->settings.lookback.ns / NS_PER_MS;
        Span last = { "", 0 };
        if (!prom_selectors(j, false, &selectors) ||
            !prom_store_ok(j, series_set_select(j, selectors.list, selectors.n, true, begin, now, &set)))
                return;
        qsort(set.list, set.n, sizeof *set.list, compare_names);
        j->response.status = 200;
        j->response.content_type = j->accepts_utf8 ? UTF8_TYPE : TEXT_TYPE;
        int r = 0;
        for (size_t i = 0; r == 0 && i < set.n; i++) {
                r = prom_interrupted(j);
                if (r == 0)
                        r = put_entry(j, &set.list[i], &samples, &scratch, &last);
        }
        if (r < 0 && !buf_error(&j->response.body))
                (void)prom_store_ok(j, r);
}
