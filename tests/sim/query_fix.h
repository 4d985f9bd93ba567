/* What the tests of the engine share: a store in memory, series loaded as people write them, answers as text. */
#pragma once

#include "query/query.h"
#include "store_fix.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct Bench {
        Fix fix;
        QueryRequest request; /* what the next query is like but for its text and time */
} Bench;

/* Times are in seconds behind FIX_EPOCH. */
static inline void bench_init(Bench *b) {
        fix_init(&b->fix, 1);
        b->fix.options.out_of_order = SECONDS(86400 * 40);
        b->fix.options.future = SECONDS(86400 * 400);
        fix_open(&b->fix);
        b->request = (QueryRequest){ 0 };
        query_limits_default(&b->request.limits);
}

static inline void bench_deinit(Bench *b) {
        fix_deinit(&b->fix);
}

/* Samples every `step` seconds from `start` on: "1 2 _ stale NaN". A number that is followed by xN and an optional +D
 * goes on N times. */
static inline void load(Bench *b, const char *series, int64_t start_s, int64_t step_s, const char *values) {
        int64_t times[4096];
        double v[4096];
        size_t n = 0;
        int64_t t = FIX_EPOCH + start_s * 1000;
        for (const char *at = values; *at;) {
                char word[64];
                int used, count = 1, got = 0;
                double by = 0, first;
                assert_int_equal(sscanf(at, " %63s%n", word, &used), 1);
                at += used;
                while (*at == ' ')
                        at++;
                if (strcmp(word, "_") == 0) {
                        t += step_s * 1000;
                        continue;
                }
                char *x = strchr(word, 'x');
                if (x && (got = sscanf(x, "x%d%lf", &count, &by)) < 1)
                        fail_msg("%s: not a number of times", word);
                if (x)
                        *x = '\0';
                first = strcmp(word, "stale") == 0 ? double_of(STALE_BITS) : strtod(word, NULL);
                for (int i = 0; i < count; i++, t += step_s * 1000) {
                        assert_true(n < ARRAY_LEN(times));
                        times[n] = t;
                        v[n++] = is_stale(first) ? first : first + by * i;
                }
        }
        assert_int_equal(fix_send_many(&b->fix, series, times, v, n), SAMPLE_OK);
}

static inline void put_value(const Row *row, size_t k, Buf *out) {
        if (row_hist(row, k))
                fhist_print(row->h[k], out);
        else if (is_absent(row->v[k]))
                buf_put_char(out, '_');
        else
                buf_put_double(out, row->v[k]);
}

static inline void put_result(const QueryResult *r, Buf *out) {
        if (r->fault != QUERY_OK) {
                buf_printf(out, "%s: ", query_fault_name(r->fault));
                buf_put(out, r->error.data, r->error.len);
                buf_put_char(out, '\n');
                return;
        }
        for (size_t i = 0; i < r->value.n_rows; i++) {
                const Row *row = &r->value.rows[i];
                labels_print(row->labels.run, row->labels.len, out);
                for (size_t k = 0; k < r->steps.n; k++) {
                        buf_put_char(out, ' ');
                        put_value(row, k, out);
                }
                buf_put_char(out, '\n');
        }
        for (size_t i = 0; i < r->n_matrix; i++) {
                const MatrixRow *m = &r->matrix[i];
                labels_print(m->labels.run, m->labels.len, out);
                for (size_t k = 0; k < m->n; k++) {
                        buf_put_char(out, ' ');
                        buf_put_double(out, m->values[k]);
                        buf_printf(out, "@%" PRId64, (m->times[k] - FIX_EPOCH) / 1000);
                }
                buf_put_char(out, '\n');
        }
        for (size_t k = 0; r->type == TYPE_SCALAR && k < r->steps.n; k++) {
                buf_put_str(out, k ? " " : "scalar ");
                buf_put_double(out, r->value.scalar[k]);
        }
        if (r->type == TYPE_STRING)
                buf_put(out, r->value.string.text, r->value.string.len);
        for (size_t i = 0; i < r->n_warnings; i++)
                buf_printf(out, "warning: %s\n", r->warnings[i]);
        for (size_t i = 0; i < r->n_infos; i++)
                buf_printf(out, "info: %s\n", r->infos[i]);
}

static inline Query *run_query(Bench *b, const char *text, int64_t start_s, int64_t end_s, int64_t step_s) {
        QueryRequest q = b->request;
        q.text = (Span){ text, strlen(text) };
        q.instant = step_s == 0;
        q.start_ms = FIX_EPOCH + start_s * 1000;
        q.end_ms = FIX_EPOCH + end_s * 1000;
        q.step_ms = step_s * 1000;
        Query *query = query_run(b->fix.store, &q);
        assert_non_null(query);
        return query;
}

static inline void expect_range(Bench *b, const char *text, int64_t start_s, int64_t end_s, int64_t step_s,
                                const char *wanted) {
        CLEANUP(buf_deinit) Buf got = BUF_NULL;
        Query *q = run_query(b, text, start_s, end_s, step_s);
        put_result(query_result(q), &got);
        while (got.len && got.data[got.len - 1] == '\n')
                got.len--;
        if (strcmp(buf_cstr(&got), wanted))
                print_message("%s\n", text);
        assert_string_equal(buf_cstr(&got), wanted);
        (void)query_free(q);
}

static inline void expect(Bench *b, const char *text, int64_t at_s, const char *wanted) {
        expect_range(b, text, at_s, at_s, 0, wanted);
}
