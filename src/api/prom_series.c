/* What there is: series, label names and values, metadata, exemplars. */
#include "api/prom.h"

#include "base/escape.h"

/* Names and values of one answer, when the client sets no limit. */
#define NAMES_MAX ((size_t)10 << 20)

/* ---- Sets of series ---- */

void series_set_deinit(SeriesSet *s) {
        for (size_t i = 0; i < s->n_lists; i++)
                s->lists[i] = store_list_free(s->lists[i]);
        s->view = store_view_close(s->view);
        *s = (SeriesSet){ 0 };
}

static void view_closep(StoreView **v) {
        *v = store_view_close(*v);
}

/* Rolled-up tiers have what is older than the raw samples. */
static bool tier_matters(const StoreStats *stats, StoreTier tier, int64_t begin_ms) {
        const StoreTierStats *raw = &stats->tier[STORE_RAW], *t = &stats->tier[tier];
        int64_t raw_min = raw->parts ? raw->min_ms : stats->head_min_ms;
        return tier == STORE_RAW || (t->parts > 0 && begin_ms < raw_min && t->min_ms < raw_min);
}

static SeriesEntry entry_of(const StoreList *l, size_t i) {
        SeriesEntry e = { .list = l, .index = i };
        e.run = store_list_run(l, i, &e.len);
        return e;
}

/* The least of what the lists have next; a run of NULL at the end. */
static SeriesEntry next_entry(const SeriesSet *s, const size_t *at) {
        SeriesEntry first = { 0 };
        for (size_t i = 0; i < s->n_lists; i++) {
                if (at[i] == store_list_count(s->lists[i]))
                        continue;
                SeriesEntry e = entry_of(s->lists[i], at[i]);
                if (!first.run || labels_compare(e.run, e.len, first.run, first.len) < 0)
                        first = e;
        }
        return first;
}

/* Keeps one of each series that several lists have: a merge of lists that are sorted each. */
static int merge_lists(PromJob *j, SeriesSet *s) {
        size_t total = 0, *at = ARENA_ARRAY(&j->arena, size_t, s->n_lists + 1);
        for (size_t i = 0; i < s->n_lists; i++)
                total += store_list_count(s->lists[i]);
        s->list = ARENA_ARRAY(&j->arena, SeriesEntry, total + 1);
        if (!at || !s->list)
                return j->arena.error;
        for (;;) {
                SeriesEntry first = next_entry(s, at);
                if (!first.run)
                        return 0;
                s->list[s->n++] = first;
                for (size_t i = 0; i < s->n_lists; i++) {
                        if (at[i] == store_list_count(s->lists[i]))
                                continue;
                        SeriesEntry e = entry_of(s->lists[i], at[i]);
                        at[i] += e.len == first.len && memcmp(e.run, first.run, e.len) == 0;
                }
        }
}

int series_set_select(PromJob *j, const StoreSelector *selectors, size_t n, bool raw, int64_t begin_ms, int64_t end_ms,
                      SeriesSet *s) {
        StoreLimits limits = { .max_series = SIZE_MAX / 2, .max_bytes = j->settings.limits.max_memory };
        StoreStats stats;
        int r = store_view_open(j->store, &s->view);
        s->lists = ARENA_ARRAY(&j->arena, StoreList *, n * STORE_TIER_COUNT + 1);
        if (r < 0 || !s->lists)
                return r < 0 ? r : j->arena.error;
        store_stats(j->store, &stats);
        for (size_t i = 0; i < n * STORE_TIER_COUNT && r == 0; i++) {
                const StoreSelector *x = &selectors[i / STORE_TIER_COUNT];
                StoreTier tier = (StoreTier)(i % STORE_TIER_COUNT);
                if (raw ? tier != STORE_RAW : !tier_matters(&stats, tier, begin_ms))
                        continue;
                r = prom_interrupted(j);
                if (r == 0)
                        r = store_select(s->view, tier, x->matchers, x->n, begin_ms, end_ms, &limits,
                                         &s->lists[s->n_lists]);
                s->n_lists += r == 0;
        }
        return r < 0 ? r : merge_lists(j, s);
}

SeriesEntry prom_with_external(const PromJob *j, SeriesEntry e, Buf *scratch) {
        Label labels[2 * LABELS_MAX], external[LABELS_MAX];
        size_t n = labels_split(e.run, e.len, labels),
               more = labels_split(j->settings.external, j->settings.external_len, external), before = n;
        Span ignored;
        for (size_t i = 0; i < more && n < LABELS_MAX; i++) {
                char name[LABEL_NAME_MAX + 1];
                (void)snprintf(name, sizeof name, "%.*s", (int)external[i].name.len, external[i].name.text);
                if (!labels_get(e.run, e.len, name, &ignored))
                        labels[n++] = external[i];
        }
        buf_reset(scratch);
        if (n > before && labels_build(labels, n, scratch) == LABELS_OK && !buf_error(scratch)) {
                e.run = (const uint8_t *)scratch->data;
                e.len = scratch->len;
        }
        return e;
}

/* [start, end] as the store has it: begin < t <= end. */
static bool take_times(PromJob *j, int64_t *ret_begin, int64_t *ret_end) {
        if (!prom_time(j, "start", INT64_MIN + 1, ret_begin) || !prom_time(j, "end", INT64_MAX, ret_end))
                return false;
        *ret_begin -= *ret_begin > INT64_MIN + 1;
        return true;
}

void prom_series(PromJob *j) {
        CLEANUP(prom_selectors_deinit) PromSelectors selectors = { 0 };
        CLEANUP(series_set_deinit) SeriesSet set = { 0 };
        int64_t begin, end;
        size_t limit;
        Buf *out = &j->response.body;
        if (!form_find(j->params, j->n_params, "match[]")) {
                prom_error(&j->response, PROM_BAD_DATA, "no match[] parameter provided");
                return;
        }
        if (!take_times(j, &begin, &end) || !prom_selectors(j, true, &selectors) || !prom_limit(j, "limit", &limit) ||
            !prom_store_ok(j, series_set_select(j, selectors.list, selectors.n, false, begin, end, &set)))
                return;
        bool cut = limit && set.n > limit;
        size_t n = cut ? limit : set.n;
        prom_begin(&j->response);
        buf_put_char(out, '[');
        for (size_t i = 0; i < n && !out->error; i++) {
                if (i)
                        buf_put_char(out, ',');
                prom_put_labels(out, set.list[i].run, set.list[i].len);
        }
        buf_put_char(out, ']');
        prom_end_limited(&j->response, cut);
}

/* ---- Names and values ---- */

/* Merges the ascending texts of b into those of a, each once. */
static int merge_texts(Buf *a, const Buf *b) {
        CLEANUP(buf_deinit) Buf merged = BUF_WITH_LIMIT(a->limit);
        const char *x = a->data, *y = b->data, *x_end = a->data + a->len, *y_end = b->data + b->len;
        while (x < x_end || y < y_end) {
                int order = x == x_end ? 1 : y == y_end ? -1 : strcmp(x, y);
                const char *first = order <= 0 ? x : y;
                size_t n = strlen(first) + 1;
                buf_put(&merged, first, n);
                x += order <= 0 ? n : 0;
                y += order >= 0 ? n : 0;
        }
        Buf old = *a;
        *a = merged;
        merged = old;
        return buf_error(a);
}

/* Label names, or the values of `label`, for any of the selectors; all when there is none. */
static int collect(PromJob *j, const Span *label, const PromSelectors *s, int64_t begin, int64_t end, size_t most,
                   Buf *texts, bool *ret_cut) {
        static const StoreSelector ALL = { 0 };
        CLEANUP(view_closep) StoreView *view = NULL;
        int r = store_view_open(j->store, &view);
        *ret_cut = false;
        for (size_t i = 0; r == 0 && i < (s->n ? s->n : 1); i++) {
                CLEANUP(buf_deinit) Buf more = BUF_WITH_LIMIT(j->settings.max_answer);
                const StoreSelector *x = s->n ? &s->list[i] : &ALL;
                bool cut = false;
                r = label ? store_label_values(view, *label, x->matchers, x->n, begin, end, most, &more, &cut)
                          : store_label_names(view, x->matchers, x->n, begin, end, most, &more, &cut);
                *ret_cut |= cut;
                if (r == 0)
                        r = merge_texts(texts, &more);
        }
        return r == -EFBIG ? -E2BIG : r;
}

static void answer_texts(PromJob *j, const Span *label) {
        CLEANUP(prom_selectors_deinit) PromSelectors selectors = { 0 };
        CLEANUP(buf_deinit) Buf texts = BUF_WITH_LIMIT(j->settings.max_answer);
        Buf *out = &j->response.body;
        int64_t begin, end;
        size_t limit, n = 0;
        bool cut;
        if (!take_times(j, &begin, &end) || !prom_selectors(j, false, &selectors) || !prom_limit(j, "limit", &limit))
                return;
        if (!limit || limit > NAMES_MAX)
                limit = NAMES_MAX;
        if (!prom_store_ok(j, collect(j, label, &selectors, begin, end, limit, &texts, &cut)))
                return;
        prom_begin(&j->response);
        buf_put_char(out, '[');
        const char *at = texts.data, *texts_end = texts.data + texts.len;
        for (; at < texts_end && n < limit; at += strlen(at) + 1) {
                if (n++)
                        buf_put_char(out, ',');
                prom_put_cstr(out, at);
        }
        buf_put_char(out, ']');
        prom_end_limited(&j->response, cut || at < texts_end);
}

void prom_labels(PromJob *j) {
        answer_texts(j, NULL);
}

static void put_utf8(Buf *out, uint32_t c) {
        if (c < 0x80) {
                buf_put_char(out, (char)c);
        } else if (c < 0x800) {
                buf_put_char(out, (char)(0xC0 | c >> 6));
                buf_put_char(out, (char)(0x80 | (c & 0x3F)));
        } else if (c < 0x10000) {
                buf_put_char(out, (char)(0xE0 | c >> 12));
                buf_put_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
                buf_put_char(out, (char)(0x80 | (c & 0x3F)));
        } else {
                buf_put_char(out, (char)(0xF0 | c >> 18));
                buf_put_char(out, (char)(0x80 | (c >> 12 & 0x3F)));
                buf_put_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
                buf_put_char(out, (char)(0x80 | (c & 0x3F)));
        }
}

/* "_1F600_" behind its first "_": up to six hexadecimal digits. False when it is none. */
static bool take_escape(const char **at, Buf *out) {
        uint32_t c = 0;
        const char *s = *at;
        for (int n = 0; *s != '_'; s++, n++) {
                int digit = *s >= '0' && *s <= '9'                     ? *s - '0'
                            : (*s | 0x20) >= 'a' && (*s | 0x20) <= 'f' ? (*s | 0x20) - 'a' + 10
                                                                       : -1;
                if (digit < 0 || n == 6)
                        return false;
                c = c << 4 | (uint32_t)digit;
        }
        if (s == *at || c > 0x10FFFF || c == 0 || (c >= 0xD800 && c < 0xE000))
                return false;
        put_utf8(out, c);
        *at = s + 1;
        return true;
}

/* "U__a_2e_b" is the name "a.b"; what is not escaped so stays as it is. */
static void unescape_name(const char *name, Buf *out) {
        CLEANUP(buf_deinit) Buf plain = BUF_NULL;
        const char *at = strncmp(name, "U__", 3) == 0 ? name + 3 : NULL;
        while (at && *at) {
                char c = *at++;
                if (c != '_')
                        buf_put_char(&plain, c);
                else if (*at == '_')
                        buf_put_char(&plain, *at++);
                else if (!take_escape(&at, &plain))
                        at = NULL;
        }
        if (at)
                buf_put(out, plain.data, plain.len);
        else
                buf_put_str(out, name);
}

void prom_label_values(PromJob *j) {
        static const char END[] = "/values";
        CLEANUP(buf_deinit) Buf name = BUF_NULL;
        char *path = (char *)(uintptr_t)j->rest.text;
        size_t tail = sizeof END - 1;
        if (j->rest.len <= tail || strcmp(path + j->rest.len - tail, END) != 0) {
                api_error(&j->response, 404, "page not found");
                return;
        }
        path[j->rest.len - tail] = '\0'; /* the job's own copy */
        unescape_name(path, &name);
        Span label = { buf_cstr(&name), name.len };
        if (label.len == 0 || !utf8_valid(label.text, label.len))
                prom_error(&j->response, PROM_BAD_DATA, "invalid label name: \"%s\"", path);
        else
                answer_texts(j, &label);
}

/* ---- Metadata ---- */

typedef struct Metric {
        char *name, *help, *unit;
        MetricType type;
} Metric;

typedef struct Metrics {
        Arena *arena;
        const char *only; /* "" for all */
        Metric *list;
        size_t n, cap;
} Metrics;

static bool add_metric(void *context, Span metric, MetricType type, Span help, Span unit) {
        Metrics *m = context;
        if (*m->only && !span_is(metric, m->only))
                return true;
        if (m->n == m->cap) {
                size_t cap = m->cap ? 2 * m->cap : 256;
                m->list = arena_grow(m->arena, m->list, m->n * sizeof *m->list, cap * sizeof *m->list);
                m->cap = cap;
        }
        if (!m->list)
                return false;
        m->list[m->n++] = (Metric){
                .name = arena_copy(m->arena, metric.text, metric.len),
                .help = arena_copy(m->arena, help.text, help.len),
                .unit = arena_copy(m->arena, unit.text, unit.len),
                .type = type,
        };
        return !m->arena->error;
}

static int compare_metrics(const void *a, const void *b) {
        return strcmp(((const Metric *)a)->name, ((const Metric *)b)->name);
}

static void put_metric(Buf *out, const Metric *m) {
        prom_put_cstr(out, m->name);
        buf_put_str(out, ":[{\"type\":");
        prom_put_cstr(out, metric_type_name(m->type));
        buf_put_str(out, ",\"help\":");
        prom_put_cstr(out, m->help);
        buf_put_str(out, ",\"unit\":");
        prom_put_cstr(out, m->unit);
        buf_put_str(out, "}]");
}

/* A number that may be negative, which means none. */
static bool take_count(PromJob *j, const char *name, size_t *ret_n) {
        const char *text = prom_param(j, name);
        uint64_t v = 0;
        bool negative = text[0] == '-';
        *ret_n = SIZE_MAX;
        if (*text && !span_u64((Span){ text + negative, strlen(text + negative) }, &v)) {
                prom_error(&j->response, PROM_BAD_DATA, "%s must be a number", name);
                return false;
        }
        if (*text && !negative)
                *ret_n = (size_t)v;
        return true;
}

/* One entry a metric: the store keeps the last that a sender said. */
void prom_metadata(PromJob *j) {
        Metrics m = { .arena = &j->arena, .only = prom_param(j, "metric") };
        Buf *out = &j->response.body;
        size_t limit, per_metric;
        if (!take_count(j, "limit", &limit) || !take_count(j, "limit_per_metric", &per_metric))
                return;
        store_metadata_each(j->store, add_metric, &m);
        if (!prom_store_ok(j, j->arena.error))
                return;
        if (m.n)
                qsort(m.list, m.n, sizeof *m.list, compare_metrics);
        prom_begin(&j->response);
        buf_put_char(out, '{');
        for (size_t i = 0; i < m.n && i < limit; i++) {
                if (i)
                        buf_put_char(out, ',');
                put_metric(out, &m.list[i]);
        }
        buf_put_char(out, '}');
        prom_end(&j->response, NULL, 0, NULL, 0);
}

/* ---- Exemplars ---- */

typedef struct Found {
        StoreSelector *list;
        size_t n, cap;
        Arena *arena;
} Found;

static void find_selectors(const Expr *e, Found *f);

static void find_in_all(Expr *const *e, size_t n, Found *f) {
        for (size_t i = 0; i < n; i++)
                find_selectors(e[i], f);
}

static void add_found(const SelectorExpr *s, Found *f) {
        if (f->n == f->cap) {
                size_t cap = f->cap ? 2 * f->cap : 8;
                f->list = arena_grow(f->arena, f->list, f->n * sizeof *f->list, cap * sizeof *f->list);
                f->cap = f->list ? cap : 0;
        }
        if (f->list)
                f->list[f->n++] = (StoreSelector){ s->matchers, s->n_matchers };
}

static void find_selectors(const Expr *e, Found *f) {
        if (!e)
                return;
        switch (e->kind) {
        case EXPR_SELECTOR: add_found(&e->selector, f); return;
        case EXPR_SUBQUERY: find_selectors(e->subquery.inner, f); return;
        case EXPR_CALL: find_in_all(e->call.args, e->call.n_args, f); return;
        case EXPR_AGGREGATE:
                find_selectors(e->aggregate.param, f);
                find_selectors(e->aggregate.inner, f);
                return;
        case EXPR_BINARY:
                find_selectors(e->binary.left, f);
                find_selectors(e->binary.right, f);
                return;
        case EXPR_UNARY: find_selectors(e->unary.inner, f); return;
        case EXPR_PAREN: find_selectors(e->paren, f); return;
        case EXPR_NUMBER:
        case EXPR_STRING: return;
        }
}

static bool same_series(const StoreExemplar *a, const StoreExemplar *b) {
        return a->run.len == b->run.len && memcmp(a->run.text, b->run.text, a->run.len) == 0;
}

static void put_exemplar(Buf *out, const StoreExemplar *e) {
        buf_put_str(out, "{\"labels\":");
        prom_put_labels(out, (const uint8_t *)e->labels.text, e->labels.len);
        buf_put_str(out, ",\"value\":");
        prom_put_value(out, e->value);
        buf_put_str(out, ",\"timestamp\":");
        prom_put_time(out, e->time_ms);
        buf_put_char(out, '}');
}

static void put_exemplars(Buf *out, const StoreExemplars *x) {
        buf_put_char(out, '[');
        for (size_t i = 0; i < x->n && !out->error; i++) {
                bool first = i == 0 || !same_series(&x->list[i - 1], &x->list[i]);
                if (first) {
                        buf_put_str(out, i ? "]},{\"seriesLabels\":" : "{\"seriesLabels\":");
                        prom_put_labels(out, (const uint8_t *)x->list[i].run.text, x->list[i].run.len);
                        buf_put_str(out, ",\"exemplars\":[");
                } else {
                        buf_put_char(out, ',');
                }
                put_exemplar(out, &x->list[i]);
        }
        buf_put_str(out, x->n ? "]}]" : "]");
}

static void ast_freep(Ast **a) {
        *a = ast_free(*a);
}

/* Grafana asks with milliseconds for seconds, to see whether there are exemplars at all: far in the future there are
 * none. */
void prom_exemplars(PromJob *j) {
        CLEANUP(parse_error_deinit) ParseError error = { 0 };
        CLEANUP(store_exemplars_deinit) StoreExemplars x = { 0 };
        CLEANUP(ast_freep) Ast *ast = NULL;
        Found found = { .arena = &j->arena };
        int64_t begin, end;
        const char *text = prom_param(j, "query");
        if (!prom_time(j, "start", INT64_MIN + 1, &begin) || !prom_time(j, "end", INT64_MAX, &end))
                return;
        if (end < begin) {
                prom_error(&j->response, PROM_BAD_DATA, "end timestamp must not be before start timestamp");
                return;
        }
        int r = promql_parse((Span){ text, strlen(text) }, j->settings.features, &ast, &error);
        if (r == -EINVAL) {
                prom_error(&j->response, PROM_BAD_DATA, "%s", buf_cstr(&error.text));
                return;
        }
        if (r == 0)
                find_selectors(ast->root, &found);
        r = r < 0 ? r : j->arena.error;
        if (r == 0 && found.n)
                r = store_exemplars(j->store, found.list, found.n, begin, end, &x);
        if (!prom_store_ok(j, r))
                return;
        prom_begin(&j->response);
        put_exemplars(&j->response.body, &x);
        prom_end(&j->response, NULL, 0, NULL, 0);
}
