#include "expect.h"

#include "base/number.h"

#include <assert.h>
#include <float.h>
#include <math.h>

/* ---- Reading ---- */

static void expect_line_deinit(ExpectLine *l) {
        buf_deinit(&l->message);
        l->regex = regex_free(l->regex);
}

void expectation_deinit(Expectation *e) {
        for (size_t i = 0; i < e->n_lines; i++)
                expect_line_deinit(&e->lines[i]);
        for (size_t i = 0; i < e->n_series; i++)
                noted_series_deinit(&e->series[i]);
        free(e->lines);
        free(e->series);
        buf_deinit(&e->string);
        *e = (Expectation){ 0 };
}

static void *grown(void *p, size_t n, size_t size) {
        void *more = reallocarray(p, n + 1, size);
        if (!more)
                abort();
        return more;
}

static ExpectLine *add_line(Expectation *e, ExpectKind kind) {
        e->lines = grown(e->lines, e->n_lines, sizeof *e->lines);
        e->lines[e->n_lines] = (ExpectLine){ .kind = kind };
        e->count[kind]++;
        return &e->lines[e->n_lines++];
}

static bool kind_of(Span word, ExpectKind *ret_kind) {
        static const char *const NAMES[EXPECT_KIND_COUNT] = { "fail", "warn", "info", "no_warn", "no_info", "ordered" };
        for (int i = 0; i < EXPECT_KIND_COUNT; i++) {
                if (!span_is(word, NAMES[i]))
                        continue;
                *ret_kind = (ExpectKind)i;
                return true;
        }
        return false;
}

bool expectation_modifier(Expectation *e, Span modifier) {
        ExpectKind kind;
        if (!kind_of(modifier, &kind))
                return false;
        (void)add_line(e, kind);
        return true;
}

static int set_regex(ExpectLine *l, Span pattern, Buf *error) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        buf_put_str(&text, "(?s:.*)(?:");
        buf_put(&text, pattern.text, pattern.len);
        buf_put_str(&text, ")(?s:.*)");
        return regex_new(text.data, text.len, error, &l->regex);
}

/* Of "warn", "fail msg: text", "info regex: text". */
static int parse_expect(Expectation *e, Scan s, Buf *error) {
        Span word;
        ExpectKind kind;
        if (!scan_word(&s, &word) || !kind_of(word, &kind)) {
                buf_put_str(error, "expected fail, warn, info, no_warn, no_info or ordered");
                return -EINVAL;
        }
        ExpectLine *l = add_line(e, kind);
        scan_blank(&s);
        bool regex = scan_literal(&s, "regex:");
        if (!regex && !scan_literal(&s, "msg:")) {
                if (s.at == s.end)
                        return 0;
                buf_put_str(error, "expected msg: or regex:");
                return -EINVAL;
        }
        scan_blank(&s);
        Span rest = { s.at, (size_t)(s.end - s.at) };
        if (regex)
                return set_regex(l, rest, error);
        buf_put(&l->message, rest.text, rest.len);
        return 0;
}

/* " from 10s to 1m step 10s" */
static int parse_range_vector(Expectation *e, Scan s, Buf *error) {
        int64_t *const places[] = { &e->from_ms, &e->to_ms, &e->step_ms };
        static const char *const WORDS[] = { "from", "to", "step" };
        for (size_t i = 0; i < ARRAY_LEN(WORDS); i++) {
                Span word, time;
                if (scan_word(&s, &word) && span_is(word, WORDS[i]) && scan_word(&s, &time) &&
                    notation_duration(time, places[i]))
                        continue;
                buf_printf(error, "expected %s TIME", WORDS[i]);
                return -EINVAL;
        }
        e->has_range_vector = true;
        return 0;
}

static int parse_string(Expectation *e, Scan s, Buf *error) {
        scan_blank(&s);
        e->has_string = true;
        if (notation_string(&s, &e->string) && s.at == s.end)
                return 0;
        buf_put_str(error, "expected a quoted string");
        return -EINVAL;
}

/* Of a sentence that begins with `expected_fail_message` and its like, which the scripts had before `expect`. */
static int parse_old(Expectation *e, Scan s, bool regex, Buf *error) {
        scan_blank(&s);
        Span rest = { s.at, (size_t)(s.end - s.at) };
        ExpectLine *l = add_line(e, EXPECT_FAIL);
        if (regex)
                return set_regex(l, rest, error);
        buf_put(&l->message, rest.text, rest.len);
        return 0;
}

int expectation_line(Expectation *e, Arena *a, Span line, Buf *ret_error) {
        Scan s = SCAN(line.text, line.len);
        if (scan_literal(&s, "expect range vector"))
                return parse_range_vector(e, s, ret_error);
        if (scan_literal(&s, "expect string"))
                return parse_string(e, s, ret_error);
        if (scan_literal(&s, "expect "))
                return parse_expect(e, s, ret_error);
        if (scan_literal(&s, "expected_fail_message"))
                return parse_old(e, s, false, ret_error);
        if (scan_literal(&s, "expected_fail_regexp"))
                return parse_old(e, s, true, ret_error);
        if (number_parse(line.text, line.len, &e->scalar) == 0) {
                e->has_scalar = true;
                return 0;
        }
        e->series = grown(e->series, e->n_series, sizeof *e->series);
        int r = notation_parse(a, line, &e->series[e->n_series], ret_error);
        if (r == 0)
                e->n_series++;
        return r;
}

/* ---- Numbers and histograms ---- */

static bool almost(const Expectation *e, double a, double b) {
        if (is_stale(a) || is_stale(b))
                return is_stale(a) && is_stale(b);
        if (isnan(a) || isnan(b))
                return isnan(a) && isnan(b);
        if (a == b)
                return true;
        double sum = fabs(a) + fabs(b), difference = fabs(a - b);
        if (a == 0 || b == 0 || sum < DBL_MIN)
                return difference < e->epsilon * DBL_MIN;
        return difference / fmin(sum, DBL_MAX) < e->epsilon;
}

/* The next bucket that is not empty. */
typedef struct BucketWalk {
        const HistogramSpan *spans;
        const double *counts;
        uint32_t n_spans, span, within, at;
        int32_t index;
} BucketWalk;

static bool next_bucket(BucketWalk *w, int32_t *ret_index, double *ret_count) {
        while (w->span < w->n_spans) {
                if (w->within == 0)
                        w->index += w->spans[w->span].offset;
                if (w->within == w->spans[w->span].length) {
                        w->span++;
                        w->within = 0;
                        continue;
                }
                *ret_index = w->index++;
                *ret_count = w->counts[w->at++];
                w->within++;
                if (*ret_count != 0)
                        return true;
        }
        return false;
}

static bool sides_equal(const Expectation *e, BucketWalk a, BucketWalk b) {
        for (;;) {
                int32_t ai = 0, bi = 0;
                double ac = 0, bc = 0;
                bool more = next_bucket(&a, &ai, &ac);
                if (more != next_bucket(&b, &bi, &bc))
                        return false;
                if (!more)
                        return true;
                if (ai != bi || !almost(e, ac, bc))
                        return false;
        }
}

static bool bounds_equal(const FHist *a, const FHist *b) {
        if (a->n_custom != b->n_custom)
                return false;
        for (uint32_t i = 0; i < a->n_custom; i++)
                if (a->custom_bounds[i] != b->custom_bounds[i])
                        return false;
        return true;
}

static bool histograms_equal(const Expectation *e, const NotedValue *want, const FHist *got) {
        const FHist *h = want->h;
        BucketWalk hp = { .spans = h->positive_spans, .n_spans = h->n_positive_spans, .counts = h->positive };
        BucketWalk gp = { .spans = got->positive_spans, .n_spans = got->n_positive_spans, .counts = got->positive };
        BucketWalk hn = { .spans = h->negative_spans, .n_spans = h->n_negative_spans, .counts = h->negative };
        BucketWalk gn = { .spans = got->negative_spans, .n_spans = got->n_negative_spans, .counts = got->negative };
        return h->schema == got->schema && almost(e, h->count, got->count) && almost(e, h->sum, got->sum) &&
               h->zero_threshold == got->zero_threshold && almost(e, h->zero_count, got->zero_count) &&
               bounds_equal(h, got) && sides_equal(e, hp, gp) && sides_equal(e, hn, gn) &&
               (!want->reset_noted || h->reset == got->reset);
}

static void print_value(double v, const FHist *h, Buf *out) {
        static const char *const HINTS[] = { "unknown", "reset", "not_reset", "gauge" };
        if (h) {
                fhist_print(h, out);
                buf_printf(out, " (schema %d, %s", h->schema, HINTS[h->reset]);
                if (h->zero_threshold != 0)
                        buf_printf(out, ", zero up to %g", h->zero_threshold);
                for (uint32_t i = 0; i < h->n_custom; i++)
                        buf_printf(out, i ? " %g" : ", bounds %g", h->custom_bounds[i]);
                buf_put_char(out, ')');
        } else if (is_absent(v)) {
                buf_put_str(out, "nothing");
        } else {
                buf_put_double(out, v);
        }
}

static void print_labels(LabelSet l, Buf *out) {
        if (l.len)
                labels_print(l.run, l.len, out);
        else
                buf_put_str(out, "{}");
}

static bool value_holds(const Expectation *e, const NotedValue *want, LabelSet labels, double v, const FHist *h,
                        Buf *why) {
        bool same = want->h ? h && histograms_equal(e, want, h) : !h && almost(e, want->v, v);
        if (same)
                return true;
        print_labels(labels, why);
        buf_put_str(why, ": expected ");
        print_value(want->v, want->h, why);
        buf_put_str(why, ", got ");
        print_value(v, h, why);
        return false;
}

/* ---- Results ---- */

static const NotedSeries *find(const Expectation *e, LabelSet l, size_t *ret_at) {
        for (size_t i = 0; i < e->n_series; i++) {
                if (e->series[i].run.len != l.len || (l.len > 0 && memcmp(e->series[i].run.data, l.run, l.len) != 0))
                        continue;
                *ret_at = i;
                return &e->series[i];
        }
        return NULL;
}

static bool unexpected(LabelSet l, double v, const FHist *h, Buf *why) {
        buf_put_str(why, "unexpected series ");
        print_labels(l, why);
        buf_put_char(why, ' ');
        print_value(v, h, why);
        return false;
}

static bool all_seen(const Expectation *e, const bool *seen, Buf *why) {
        for (size_t i = 0; i < e->n_series; i++) {
                if (seen[i])
                        continue;
                buf_put_str(why, "missing series ");
                print_labels((LabelSet){ (const uint8_t *)e->series[i].run.data, (uint32_t)e->series[i].run.len }, why);
                return false;
        }
        return true;
}

static bool seen_once(bool *seen, LabelSet l, Buf *why) {
        if (!*seen) {
                *seen = true;
                return true;
        }
        buf_put_str(why, "twice in the result: ");
        print_labels(l, why);
        return false;
}

static bool vector_holds(const Expectation *e, const QueryResult *r, size_t k, Buf *why) {
        CLEANUP_FREE bool *seen = calloc(e->n_series + 1, sizeof *seen);
        size_t position = 0, at;
        assert(seen);
        for (size_t i = 0; i < r->value.n_rows; i++) {
                const Row *row = &r->value.rows[i];
                if (!row_has(row, k))
                        continue;
                const NotedSeries *want = find(e, row->labels, &at);
                if (!want || want->n == 0)
                        return unexpected(row->labels, row->v[k], row_hist(row, k), why);
                if (!seen_once(&seen[at], row->labels, why))
                        return false;
                if (r->steps.n == 1 && e->count[EXPECT_ORDERED] && at != position) {
                        print_labels(row->labels, why);
                        buf_printf(why, " is at place %zu, not %zu", position + 1, at + 1);
                        return false;
                }
                position++;
                if (!value_holds(e, &want->values[0], row->labels, row->v[k], row_hist(row, k), why))
                        return false;
        }
        return all_seen(e, seen, why);
}

static bool row_holds(const Expectation *e, const Row *row, const NotedSeries *want, const Steps *steps, Buf *why) {
        if (want->n > steps->n) {
                buf_printf(why, "%zu values are expected of a query with %zu steps", want->n, steps->n);
                return false;
        }
        for (size_t k = 0; k < steps->n; k++) {
                NotedValue nothing = { .v = ABSENT },
                           v = k < want->n && !want->values[k].omitted ? want->values[k] : nothing;
                if (value_holds(e, &v, row->labels, row->v[k], row_hist(row, k), why))
                        continue;
                buf_printf(why, " at step %zu of", k);
                for (size_t j = 0; j < steps->n; j++) {
                        buf_put_char(why, ' ');
                        print_value(row->v[j], row_hist(row, j), why);
                }
                return false;
        }
        return true;
}

static bool rows_hold(const Expectation *e, const QueryResult *r, const Row *rows, size_t n, Buf *why) {
        CLEANUP_FREE bool *seen = calloc(e->n_series + 1, sizeof *seen);
        size_t at;
        assert(seen);
        for (size_t i = 0; i < n; i++) {
                const NotedSeries *want = find(e, rows[i].labels, &at);
                if (!want)
                        return unexpected(rows[i].labels, rows[i].v[0], row_hist(&rows[i], 0), why);
                if (!seen_once(&seen[at], rows[i].labels, why) || !row_holds(e, &rows[i], want, &r->steps, why))
                        return false;
                if (i && labels_compare(rows[i - 1].labels.run, rows[i - 1].labels.len, rows[i].labels.run,
                                        rows[i].labels.len) > 0) {
                        buf_put_str(why, "the series of a range are not in the order of their labels");
                        return false;
                }
        }
        return all_seen(e, seen, why);
}

/* Whether sample j of a row is the one that is expected at e's step k. */
static bool sample_holds(const Expectation *e, const MatrixRow *row, size_t j, const NotedValue *want, size_t k,
                         Buf *why) {
        int64_t time_ms = e->from_ms + (int64_t)k * e->step_ms;
        if (j >= row->n || row->times[j] != time_ms) {
                print_labels(row->labels, why);
                buf_printf(why, ": no sample at %lld ms", (long long)time_ms);
                return false;
        }
        return value_holds(e, want, row->labels, row->values[j], row->hists ? row->hists[j] : NULL, why);
}

static bool matrix_row_holds(const Expectation *e, const MatrixRow *row, const NotedSeries *want, Buf *why) {
        size_t j = 0;
        for (size_t k = 0; k < want->n; k++)
                if (!want->values[k].omitted && !sample_holds(e, row, j++, &want->values[k], k, why))
                        return false;
        if (j < row->n)
                buf_printf(why, "%zu samples, expected %zu", row->n, j);
        return j == row->n;
}

static bool matrix_holds(const Expectation *e, const QueryResult *r, Buf *why) {
        CLEANUP_FREE bool *seen = calloc(e->n_series + 1, sizeof *seen);
        size_t at;
        assert(seen);
        for (size_t i = 0; i < r->n_matrix; i++) {
                const NotedSeries *want = find(e, r->matrix[i].labels, &at);
                if (!want)
                        return unexpected(r->matrix[i].labels, ABSENT, NULL, why);
                if (!seen_once(&seen[at], r->matrix[i].labels, why) || !matrix_row_holds(e, &r->matrix[i], want, why))
                        return false;
        }
        return all_seen(e, seen, why);
}

static bool scalar_holds(const Expectation *e, const QueryResult *r, bool range, size_t k, Buf *why) {
        if (range) {
                Row row = { .labels = { (const uint8_t *)"", 0 }, .v = r->value.scalar };
                return rows_hold(e, r, &row, 1, why);
        }
        if (!e->has_scalar) {
                buf_put_str(why, "the result is a scalar, ");
                buf_put_double(why, r->value.scalar[k]);
                return false;
        }
        NotedValue want = { .v = e->scalar };
        return value_holds(e, &want, (LabelSet){ (const uint8_t *)"", 0 }, r->value.scalar[k], NULL, why);
}

static bool string_holds(const Expectation *e, const QueryResult *r, Buf *why) {
        Span s = r->value.string;
        if (e->has_string && s.len == e->string.len && (s.len == 0 || memcmp(s.text, e->string.data, s.len) == 0))
                return true;
        buf_printf(why, "the result is the string \"%.*s\"", (int)s.len, s.text);
        return false;
}

static bool value_is(const Expectation *e, const QueryResult *r, bool range, size_t k, Buf *why) {
        if (r->type == TYPE_SCALAR)
                return scalar_holds(e, r, range, k, why);
        if (r->type == TYPE_STRING)
                return string_holds(e, r, why);
        if (e->has_scalar || e->has_string) {
                buf_printf(why, "the result is of type %s", expr_type_name(r->type));
                return false;
        }
        if (r->type == TYPE_MATRIX)
                return matrix_holds(e, r, why);
        return range ? rows_hold(e, r, r->value.rows, r->value.n_rows, why) : vector_holds(e, r, k, why);
}

/* ---- Errors and annotations ---- */

/* Without the place at the end, " (1:8)", which scripts do not give. */
static Span without_place(const char *text) {
        size_t n = strlen(text), at = n;
        if (n == 0 || text[n - 1] != ')')
                return (Span){ text, n };
        for (at = n - 1; at > 0 && strchr("0123456789:", text[at - 1]);)
                at--;
        return at >= 2 && text[at - 1] == '(' && text[at - 2] == ' ' && at < n - 1 ? (Span){ text, at - 2 }
                                                                                   : (Span){ text, n };
}

static bool line_matches(const ExpectLine *l, const char *text) {
        Span s = without_place(text);
        if (l->regex)
                return regex_matches(l->regex, s.text, s.len);
        return l->message.len == 0 || (s.len == l->message.len && memcmp(s.text, l->message.data, s.len) == 0);
}

static void list(Buf *why, const char *const *texts, size_t n) {
        for (size_t i = 0; i < n; i++)
                buf_printf(why, "\n        %s", texts[i]);
}

static bool any_text(const ExpectLine *l, const char *const *texts, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (line_matches(l, texts[i]))
                        return true;
        return false;
}

static bool any_line(const Expectation *e, ExpectKind kind, const char *text) {
        for (size_t i = 0; i < e->n_lines; i++)
                if (e->lines[i].kind == kind && line_matches(&e->lines[i], text))
                        return true;
        return false;
}

static bool notes_hold(const Expectation *e, ExpectKind kind, ExpectKind none, const char *name,
                       const char *const *texts, size_t n, Buf *why) {
        if (e->count[none] && n) {
                buf_printf(why, "unexpected %s:", name);
                list(why, texts, n);
                return false;
        }
        for (size_t i = 0; i < e->n_lines; i++) {
                const ExpectLine *l = &e->lines[i];
                if (l->kind != kind || any_text(l, texts, n))
                        continue;
                buf_printf(why, "missing %s %.*s, got:", name, (int)l->message.len,
                           l->message.data ? l->message.data : "");
                list(why, texts, n);
                return false;
        }
        for (size_t i = 0; e->count[kind] && i < n; i++) {
                if (any_line(e, kind, texts[i]))
                        continue;
                buf_printf(why, "unexpected %s: %s", name, texts[i]);
                return false;
        }
        return true;
}

static bool failure_holds(const Expectation *e, const QueryResult *r, Buf *why) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        buf_put(&text, r->error.data, r->error.len);
        const char *error = buf_cstr(&text);
        for (size_t i = 0; i < e->n_lines; i++) {
                if (e->lines[i].kind != EXPECT_FAIL || line_matches(&e->lines[i], error))
                        continue;
                buf_printf(why, "another error than expected: %s", error);
                return false;
        }
        if (!e->count[EXPECT_FAIL])
                buf_printf(why, "%s: %s", query_fault_name(r->fault), error);
        return e->count[EXPECT_FAIL] > 0;
}

bool expectation_holds(const Expectation *e, const QueryResult *r, bool range, size_t at_step, Buf *ret_why) {
        if (r->fault != QUERY_OK)
                return failure_holds(e, r, ret_why);
        if (e->count[EXPECT_FAIL]) {
                buf_put_str(ret_why, "an error is expected, there is none");
                return false;
        }
        return notes_hold(e, EXPECT_WARN, EXPECT_NO_WARN, "warning", r->warnings, r->n_warnings, ret_why) &&
               notes_hold(e, EXPECT_INFO, EXPECT_NO_INFO, "info", r->infos, r->n_infos, ret_why) &&
               value_is(e, r, range, at_step, ret_why);
}
