#include "query/test_function.h"

#define STEPS 3
#define ABSENT_ (-12345678.) /* in tables: no value */

/* A row: labels as pairs, a value a step. */
typedef struct Line {
        const char *labels[10];
        double v[STEPS];
} Line;

typedef struct Ask {
        Expr call, *args[8], arg[8];
        Value values[8];
        size_t n_args, n_steps;
        bool delayed;
} Ask;

static LabelSet labels_of(Bench *b, const char *const *pairs) {
        Label labels[LABELS_MAX];
        size_t n = 0;
        for (; pairs[2 * n]; n++)
                labels[n] = (Label){ { pairs[2 * n], strlen(pairs[2 * n]) },
                                     { pairs[2 * n + 1], strlen(pairs[2 * n + 1]) } };
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        assert_int_equal(labels_build(labels, n, &run), LABELS_OK);
        return (LabelSet){ (uint8_t *)arena_copy(&b->arena, run.len ? run.data : "", run.len), (uint32_t)run.len };
}

static Value rows(Bench *b, size_t n, const Line *lines) {
        Row *r = ARENA_ARRAY(&b->arena, Row, n);
        assert_non_null(r);
        for (size_t i = 0; i < n; i++) {
                r[i].labels = labels_of(b, lines[i].labels);
                r[i].v = ARENA_ARRAY(&b->arena, double, STEPS);
                assert_non_null(r[i].v);
                for (size_t k = 0; k < STEPS; k++)
                        r[i].v[k] = lines[i].v[k] == ABSENT_ ? ABSENT : lines[i].v[k];
        }
        return (Value){ .type = TYPE_VECTOR, .rows = r, .n_rows = n };
}
#define ROWS(b, ...) rows((b), sizeof((const Line[]){ __VA_ARGS__ }) / sizeof(Line), (const Line[]){ __VA_ARGS__ })

static Value scalar(Bench *b, double v) {
        double *values = ARENA_ARRAY(&b->arena, double, STEPS);
        assert_non_null(values);
        for (size_t k = 0; k < STEPS; k++)
                values[k] = v;
        return (Value){ .type = TYPE_SCALAR, .scalar = values };
}

static Value text(const char *s) {
        return (Value){ .type = TYPE_STRING, .string = { s, strlen(s) } };
}

static void add_arg(Ask *a, Value v) {
        a->args[a->n_args] = &a->arg[a->n_args];
        a->arg[a->n_args].place = (Place){ (uint32_t)a->n_args, 0 };
        a->values[a->n_args++] = v;
}

static int evaluate(Bench *b, Ask *a, FunctionId f, Value *ret) {
        Steps steps = { 1700000000000, 60000, a->n_steps ? a->n_steps : STEPS };
        a->call.kind = EXPR_CALL;
        a->call.call = (CallExpr){ f, a->args, a->n_args };
        WholeCall c = { .call = &a->call,
                        .steps = &steps,
                        .delayed_names = a->delayed,
                        .arena = &b->arena,
                        .notes = &b->notes,
                        .error = &b->error };
        buf_reset(&b->error);
        return whole_evaluate(&c, a->values, ret);
}

/* Rows as text: {labels} v v v, with - for none. */
static void assert_rows(const Value *v, size_t n_steps, const char *wanted) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        assert_int_equal(v->type, TYPE_VECTOR);
        for (size_t i = 0; i < v->n_rows; i++) {
                labels_print(v->rows[i].labels.run, v->rows[i].labels.len, &out);
                for (size_t k = 0; k < n_steps; k++)
                        if (is_absent(v->rows[i].v[k]))
                                buf_put_str(&out, " -");
                        else if (isnan(v->rows[i].v[k]))
                                buf_put_str(&out, " nan");
                        else
                                buf_printf(&out, " %.6g", v->rows[i].v[k]);
                buf_put_char(&out, '\n');
        }
        assert_string_equal(buf_cstr(&out), wanted);
}

#define X ABSENT_

static void absent(void **state) {
        Bench *b = *state;
        Ask a = { 0 };
        Value v;
        Matcher m[] = { { MATCH_EQUAL, S("__name__"), S("up"), NULL }, { MATCH_EQUAL, S("job"), S("a"), NULL },
                        { MATCH_EQUAL, S("vm"), S("1"), NULL },        { MATCH_EQUAL, S("vm"), S("2"), NULL },
                        { MATCH_REGEX, S("x"), S("b"), NULL },         { MATCH_EQUAL, S("y"), S(""), NULL } };
        add_arg(&a, ROWS(b, { { "job", "a" }, { 1, X, X } }, { { "job", "b" }, { X, NAN, X } }));
        a.arg[0].kind = EXPR_SELECTOR;
        a.arg[0].selector = (SelectorExpr){ .matchers = m, .n_matchers = ARRAY_LEN(m) };
        assert_int_equal(evaluate(b, &a, FUNCTION_ABSENT, &v), 0);
        assert_rows(&v, STEPS, "{job=\"a\"} - - 1\n"); /* what is asked for twice is in doubt */
        a.arg[0].kind = EXPR_CALL;
        assert_int_equal(evaluate(b, &a, FUNCTION_ABSENT, &v), 0);
        assert_rows(&v, STEPS, "{} - - 1\n");
}

static void scalars_and_vectors(void **state) {
        Bench *b = *state;
        Ask a = { 0 }, c = { 0 };
        Value v;
        add_arg(&a, ROWS(b, { { "job", "a" }, { 1, X, X } }, { { "job", "b" }, { 2, 3, X } }));
        assert_int_equal(evaluate(b, &a, FUNCTION_SCALAR, &v), 0);
        assert_int_equal(v.type, TYPE_SCALAR);
        assert_double(v.scalar[0], NAN); /* two */
        assert_double(v.scalar[1], 3);
        assert_double(v.scalar[2], NAN); /* none */
        add_arg(&c, v);
        assert_int_equal(evaluate(b, &c, FUNCTION_VECTOR, &v), 0);
        assert_rows(&v, STEPS, "{} nan 3 nan\n");
}

static void sorts(void **state) {
        Bench *b = *state;
        Ask a = { .n_steps = 1 };
        Value v;
        add_arg(&a, ROWS(b, { { "a", "1" }, { 3 } }, { { "a", "2" }, { NAN } }, { { "a", "3" }, { -1 } },
                         { { "a", "4" }, { INFINITY } }, { { "a", "5" }, { 3 } }));
        assert_int_equal(evaluate(b, &a, FUNCTION_SORT, &v), 0);
        assert_rows(&v, 1, "{a=\"3\"} -1\n{a=\"1\"} 3\n{a=\"5\"} 3\n{a=\"4\"} inf\n{a=\"2\"} nan\n");
        assert_int_equal(evaluate(b, &a, FUNCTION_SORT_DESC, &v), 0);
        assert_rows(&v, 1, "{a=\"4\"} inf\n{a=\"1\"} 3\n{a=\"5\"} 3\n{a=\"3\"} -1\n{a=\"2\"} nan\n");
        assert_no_notes(b);
        a.n_steps = 2;
        assert_int_equal(evaluate(b, &a, FUNCTION_SORT, &v), 0);
        assert_note(b,
                    "PromQL warning: sort is ineffective for range queries since results are always ordered by labels");
}

static void sorts_by_label(void **state) {
        Bench *b = *state;
        Ask a = { .n_steps = 1 };
        Value v;
        add_arg(&a, ROWS(b, { { "n", "b10", "z", "1" }, { 1 } }, { { "n", "b2", "z", "2" }, { 2 } },
                         { { "n", "b002", "z", "1" }, { 3 } }, { { "z", "1" }, { 4 } },
                         { { "n", "a", "z", "9" }, { 5 } }, { { "n", "b10c", "z", "1" }, { 6 } }));
        add_arg(&a, text("n"));
        assert_int_equal(evaluate(b, &a, FUNCTION_SORT_BY_LABEL, &v), 0);
        /* b2 and b002 are different texts that neither is before: they keep to the label's order in one direction or
         * the other */
        assert_double(v.rows[0].v[0], 4);
        assert_double(v.rows[1].v[0], 5);
        assert_double(v.rows[4].v[0], 1);
        assert_double(v.rows[5].v[0], 6);
        add_arg(&a, text("z"));
        a.values[1] = text("z");
        a.values[2] = text("n");
        assert_int_equal(evaluate(b, &a, FUNCTION_SORT_BY_LABEL_DESC, &v), 0);
        assert_double(v.rows[0].v[0], 5);
        assert_double(v.rows[1].v[0], 2);
        assert_double(v.rows[2].v[0], 6);
        assert_double(v.rows[3].v[0], 1);
        assert_double(v.rows[5].v[0], 4);
}

static void replaces_labels(void **state) {
        static const struct {
                const char *name, *form, *source, *regex, *wanted;
        } CASES[] = {
                { "dst", "v-$1", "src", "(.*)-y", "x{dst=\"v-a\", src=\"a-y\"} 1\n" },
                { "dst", "${one}$2", "src", "(?P<one>.)-(.)", "x{dst=\"ay\", src=\"a-y\"} 1\n" },
                { "dst", "v", "src", "a", "x{src=\"a-y\"} 1\n" },              /* all of it must match */
                { "dst", "v", "none", ".*", "x{dst=\"v\", src=\"a-y\"} 1\n" }, /* an absent label is empty */
                { "dst", "v", "none", ".+", "x{src=\"a-y\"} 1\n" },
                { "src", "", "src", ".*", "x 1\n" }, /* an empty value takes the label out */
                { "src", "$9", "src", ".*", "x 1\n" },
                { "__name__", "y", "src", ".*", "y{src=\"a-y\"} 1\n" },
                { "dst", "$$", "src", ".*", "x{dst=\"$\", src=\"a-y\"} 1\n" },
                { "a b", "v", "src", ".*", "x{a b=\"v\", src=\"a-y\"} 1\n" }, /* names may be any UTF-8 */
        };
        Bench *b = *state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                Ask a = { .n_steps = 1 };
                Value v;
                add_arg(&a, ROWS(b, { { "__name__", "x", "src", "a-y" }, { 1 } }));
                add_arg(&a, text(CASES[i].name));
                add_arg(&a, text(CASES[i].form));
                add_arg(&a, text(CASES[i].source));
                add_arg(&a, text(CASES[i].regex));
                assert_int_equal(evaluate(b, &a, FUNCTION_LABEL_REPLACE, &v), 0);
                CLEANUP(buf_deinit) Buf plain = BUF_NULL;
                if (i != 9)
                        assert_rows(&v, 1, CASES[i].wanted);
                else
                        assert_true(span_is(labelset_get(v.rows[0].labels, S("a b")), "v"));
        }
}

static void refuses_labels(void **state) {
        static const struct {
                FunctionId f;
                const char *args[4], *why;
        } CASES[] = {
                { FUNCTION_LABEL_REPLACE, { "d", "v", "s", "(" }, "invalid regular expression in label_replace(): (" },
                { FUNCTION_LABEL_REPLACE,
                  { "", "v", "s", "a" },
                  "invalid destination label name in label_replace(): " },
                { FUNCTION_LABEL_REPLACE,
                  { "\xff", "v", "s", "a" },
                  "invalid destination label name in label_replace(): \xff" },
                { FUNCTION_LABEL_JOIN, { "", "-", "s", "t" }, "invalid destination label name in label_join(): " },
                { FUNCTION_LABEL_JOIN, { "d", "-", "s", "" }, "invalid source label name in label_join(): " },
        };
        Bench *b = *state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                Ask a = { .n_steps = 1 };
                Value v;
                add_arg(&a, ROWS(b, { { "s", "a" }, { 1 } }));
                for (size_t k = 0; k < 4; k++)
                        add_arg(&a, text(CASES[i].args[k]));
                assert_int_equal(evaluate(b, &a, CASES[i].f, &v), -EINVAL);
                assert_string_equal(buf_cstr(&b->error), CASES[i].why);
        }
        /* a value that no series may have */
        char *longer = arena_alloc(&b->arena, LABEL_VALUE_MAX + 2);
        assert_non_null(longer);
        memset(longer, 'x', LABEL_VALUE_MAX + 1);
        longer[LABEL_VALUE_MAX + 1] = '\0';
        Ask a = { .n_steps = 1 };
        Value v;
        add_arg(&a, ROWS(b, { { "s", "a" }, { 1 } }));
        add_arg(&a, text("d"));
        add_arg(&a, text(longer));
        add_arg(&a, text("s"));
        add_arg(&a, text(".*"));
        assert_int_equal(evaluate(b, &a, FUNCTION_LABEL_REPLACE, &v), -EINVAL);
        assert_string_equal(buf_cstr(&b->error), "a label's value would be longer than 4096 bytes");
}

static void joins_labels(void **state) {
        Bench *b = *state;
        Ask a = { .n_steps = 1 };
        Value v;
        add_arg(&a, ROWS(b, { { "__name__", "x", "a", "1", "b", "2" }, { 1 } }, { { "c", "3" }, { 2 } }));
        add_arg(&a, text("d"));
        add_arg(&a, text("-"));
        add_arg(&a, text("a"));
        add_arg(&a, text("none"));
        add_arg(&a, text("b"));
        assert_int_equal(evaluate(b, &a, FUNCTION_LABEL_JOIN, &v), 0);
        assert_rows(&v, 1, "x{a=\"1\", b=\"2\", d=\"1--2\"} 1\n{c=\"3\", d=\"--\"} 2\n");
        a.n_args = 3; /* of nothing: takes the label out */
        a.values[1] = text("a");
        assert_int_equal(evaluate(b, &a, FUNCTION_LABEL_JOIN, &v), 0);
        assert_rows(&v, 1, "x{b=\"2\"} 1\n{c=\"3\"} 2\n");
}

/* 10 up to 1, 10 more up to 2, none more up to +Inf; at the second step all in the last bucket, at the third one series
 * is missing */
#define BUCKETS                                                                                                        \
        { { "__name__", "h_bucket", "vm", "a", "le", "2" }, { 20, 0, X } },                                            \
                { { "__name__", "h_bucket", "vm", "a", "le", "+Inf" }, { 20, 10, 4 } }, {                              \
                { "__name__", "h_bucket", "vm", "a", "le", "1" }, {                                                    \
                        10, 0, 4                                                                                       \
                }                                                                                                      \
        }

static void classic_quantiles(void **state) {
        static const struct {
                double q;
                const char *wanted;
        } CASES[] = { { 0.25, "{vm=\"a\"} 0.5 2 0.25\n" },
                      { 0.5, "{vm=\"a\"} 1 2 0.5\n" },
                      { 0.75, "{vm=\"a\"} 1.5 2 0.75\n" },
                      { 1, "{vm=\"a\"} 2 2 1\n" },
                      { 0, "{vm=\"a\"} 0 nan 0\n" } }; /* 0 of the 0 in the first bucket */
        Bench *b = *state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                Ask a = { 0 };
                Value v;
                add_arg(&a, scalar(b, CASES[i].q));
                add_arg(&a, ROWS(b, BUCKETS));
                assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_QUANTILE, &v), 0);
                assert_rows(&v, STEPS, CASES[i].wanted);
        }
        assert_no_notes(b);
        Ask a = { .delayed = true };
        Value v;
        add_arg(&a, scalar(b, 1.5));
        add_arg(&a, ROWS(b, BUCKETS));
        assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_QUANTILE, &v), 0);
        assert_rows(&v, STEPS, "h_bucket{vm=\"a\"} inf inf inf\n");
        assert_true(v.rows[0].drop_name);
        assert_note(b, "PromQL warning: quantile value should be between 0 and 1, got 1.5");
}

static void odd_buckets(void **state) {
        Bench *b = *state;
        static const struct {
                Line lines[3];
                size_t n;
                double q;
                const char *wanted, *note;
        } CASES[] = {
                /* no +Inf; only +Inf; nothing in it */
                { { { { "le", "1" }, { 10 } }, { { "le", "2" }, { 10 } } }, 2, 0.5, "{} nan\n", NULL },
                { { { { "le", "+Inf" }, { 10 } } }, 1, 0.5, "{} nan\n", NULL },
                { { { { "le", "1" }, { 0 } }, { { "le", "+Inf" }, { 0 } } }, 2, 0.5, "{} nan\n", NULL },
                /* equal bounds, however they are written, are one */
                { { { { "le", "1" }, { 10 } }, { { "le", "1.0" }, { 10 } }, { { "le", "Inf" }, { 40 } } },
                  3,
                  0.25,
                  "{} 0.5\n",
                  NULL },
                /* below 0 there is no line from 0 */
                { { { { "le", "-1" }, { 10 } }, { { "le", "+Inf" }, { 20 } } }, 2, 0.25, "{} -1\n", NULL },
                { { { { "le", "-1" }, { 10 } }, { { "le", "1" }, { 20 } }, { { "le", "+Inf" }, { 20 } } },
                  3,
                  0.75,
                  "{} 0\n",
                  NULL },
                /* 12 to 8 is repaired to 12; a difference of rounding is not worth a note */
                { { { { "le", "1" }, { 12 } }, { { "le", "2" }, { 8 } }, { { "le", "+Inf" }, { 24 } } },
                  3,
                  0.25,
                  "{} 0.5\n",
                  "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
                  "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile), from buckets "
                  "2 to 2, with a max diff of 4, "
                  "over 1 samples from 2023-11-14T22:13:20Z to 2023-11-14T22:13:20Z" },
                { { { { "le", "1" }, { 12.000000000001 } }, { { "le", "2" }, { 12 } }, { { "le", "+Inf" }, { 24 } } },
                  3,
                  0.25,
                  "{} 0.5\n",
                  NULL },
                { { { { "le", "x" }, { 12 } }, { { "le", "2" }, { 12 } }, { { "le", "+Inf" }, { 12 } } },
                  3,
                  0.5,
                  "{} 1\n",
                  "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"x\"" },
                { { { { "__name__", "m" }, { 12 } } },
                  1,
                  0.5,
                  "",
                  "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"\" for metric name "
                  "\"m\"" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                Ask a = { .n_steps = 1 };
                Value v;
                add_arg(&a, scalar(b, CASES[i].q));
                add_arg(&a, rows(b, CASES[i].n, CASES[i].lines));
                assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_QUANTILE, &v), 0);
                assert_rows(&v, 1, CASES[i].wanted);
                if (CASES[i].note)
                        assert_note(b, CASES[i].note);
                else
                        assert_no_notes(b);
        }
}

/* A native histogram at each step, of the same name as the classic one. */
static Value both(Bench *b, const char *name) {
        Value v = ROWS(b, { { "__name__", "h" }, { X, X, X } }, { { "__name__", "h", "le", "2" }, { 4, X, 4 } },
                       { { "__name__", "h", "le", "+Inf" }, { 8, X, 8 } });
        v.rows[0].labels = labels_of(b, (const char *const[]){ "__name__", name, NULL });
        v.rows[0].h = ARENA_ARRAY(&b->arena, FHist *, STEPS);
        assert_non_null(v.rows[0].h);
        v.rows[0].h[0] = v.rows[0].h[1] = HIST(b, .count = 8, .sum = 16, .positive = { 1, 2, { 4, 4 } });
        return v;
}

static void native_quantiles(void **state) {
        Bench *b = *state;
        Ask a = { 0 };
        Value v;
        add_arg(&a, scalar(b, 0.5));
        add_arg(&a, both(b, "g"));
        assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_QUANTILE, &v), 0);
        assert_rows(&v, STEPS, "{} 2 2 -\n{} 2 - 2\n");
        assert_no_notes(b);
        /* both at once: neither */
        a.values[1] = both(b, "h");
        assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_QUANTILE, &v), 0);
        assert_rows(&v, STEPS, "{} - 2 -\n{} - - 2\n");
        assert_note(b, "PromQL warning: vector contains a mix of classic and native histograms for metric name \"h\"");
        a.values[1].rows[0].h[1]->sum = NAN;
        a.values[1].rows[0].h[1]->count = 10;
        assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_QUANTILE, &v), 0);
        assert_true(
                has_note(b, "PromQL info: input to histogram_quantile has NaN observations, result is skewed higher"));
}

static void several_quantiles(void **state) {
        Bench *b = *state;
        Ask a = { 0 };
        Value v;
        add_arg(&a, ROWS(b, BUCKETS));
        add_arg(&a, text("q"));
        add_arg(&a, scalar(b, 0.25));
        add_arg(&a, scalar(b, 1));
        a.values[3].scalar[2] = 0.5;
        assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_QUANTILES, &v), 0);
        assert_rows(&v, STEPS,
                    "{q=\"0.25\", vm=\"a\"} 0.5 2 0.25\n{q=\"1.0\", vm=\"a\"} 2 2 -\n{q=\"0.5\", vm=\"a\"} - - 0.5\n");
}

static void fractions(void **state) {
        static const double CASES[][3] = { { 0, 1, 0.5 }, { 0.5, 1.5, 0.5 },  { -INFINITY, INFINITY, 1 },
                                           { 1, 1, 0 },   { 2, INFINITY, 0 }, { NAN, 1, NAN } };
        Bench *b = *state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                Ask a = { .n_steps = 1 };
                Value v;
                add_arg(&a, scalar(b, CASES[i][0]));
                add_arg(&a, scalar(b, CASES[i][1]));
                add_arg(&a, ROWS(b, BUCKETS));
                assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_FRACTION, &v), 0);
                assert_near(v.rows[0].v[0], CASES[i][2]);
                a.values[2] = both(b, "g");
                assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_FRACTION, &v), 0);
                assert_int_equal(v.n_rows, 2);
        }
        /* native: 4 of 8 up to 2 */
        Ask a = { .n_steps = 1 };
        Value v;
        add_arg(&a, scalar(b, 0));
        add_arg(&a, scalar(b, 2));
        add_arg(&a, both(b, "g"));
        a.values[2].rows[0].h[0]->sum = NAN;
        a.values[2].rows[0].h[0]->count = 16;
        assert_int_equal(evaluate(b, &a, FUNCTION_HISTOGRAM_FRACTION, &v), 0);
        assert_near(v.rows[0].v[0], 0.25);
        assert_note(
                b,
                "PromQL info: input to histogram_fraction has NaN observations, which are excluded from all fractions");
}

/* with little memory each ends with its error, and with enough there is a result */
static void memory_ends(void **state) {
        Bench *b = *state;
        static const struct {
                FunctionId f;
                const char *strings[5];
        } CASES[] = {
                { FUNCTION_ABSENT, { NULL } },
                { FUNCTION_SCALAR, { NULL } },
                { FUNCTION_SORT, { NULL } },
                { FUNCTION_SORT_BY_LABEL, { "vm" } },
                { FUNCTION_LABEL_JOIN, { "d", "-", "vm", "le" } },
                { FUNCTION_LABEL_REPLACE, { "d", "$1", "vm", "(.*)" } },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES) + 3; i++) {
                Ask a = { 0 };
                FunctionId f = i < ARRAY_LEN(CASES)        ? CASES[i].f
                               : i == ARRAY_LEN(CASES)     ? FUNCTION_HISTOGRAM_QUANTILE
                               : i == ARRAY_LEN(CASES) + 1 ? FUNCTION_HISTOGRAM_QUANTILES
                                                           : FUNCTION_HISTOGRAM_FRACTION;
                if (f == FUNCTION_HISTOGRAM_QUANTILE || f == FUNCTION_HISTOGRAM_FRACTION)
                        add_arg(&a, scalar(b, 0.5));
                if (f == FUNCTION_HISTOGRAM_FRACTION)
                        add_arg(&a, scalar(b, 2));
                add_arg(&a, f == FUNCTION_HISTOGRAM_FRACTION ? both(b, "h") : ROWS(b, BUCKETS));
                if (f == FUNCTION_HISTOGRAM_QUANTILES) {
                        add_arg(&a, text("q"));
                        add_arg(&a, scalar(b, 0.5));
                        add_arg(&a, scalar(b, 0.9));
                }
                for (size_t k = 0; i < ARRAY_LEN(CASES) && k < 5 && CASES[i].strings[k]; k++)
                        add_arg(&a, text(CASES[i].strings[k]));
                int r = -E2BIG;
                for (size_t limit = 64; r != 0; limit += 64) {
                        assert_true(limit < 100000);
                        ArenaBudget budget = ARENA_BUDGET(limit);
                        CLEANUP(arena_deinit) Arena arena = ARENA(&budget);
                        Steps steps = { 0, 1000, STEPS };
                        Value v = { 0 };
                        a.call.kind = EXPR_CALL;
                        a.call.call = (CallExpr){ f, a.args, a.n_args };
                        WholeCall c = { .call = &a.call,
                                        .steps = &steps,
                                        .arena = &arena,
                                        .notes = &b->notes,
                                        .error = &b->error };
                        r = whole_evaluate(&c, a.values, &v);
                        assert_true(r == 0 || r == -E2BIG);
                        assert_true(r != 0 || v.n_rows || v.scalar);
                }
        }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                TEST(absent),           TEST(scalars_and_vectors), TEST(sorts),
                TEST(sorts_by_label),   TEST(replaces_labels),     TEST(refuses_labels),
                TEST(joins_labels),     TEST(classic_quantiles),   TEST(odd_buckets),
                TEST(native_quantiles), TEST(several_quantiles),   TEST(fractions),
                TEST(memory_ends),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
