/* Functions of labels: label_replace, label_join, sort_by_label. They touch no values: rows of the result share them.
 */
#include "base/escape.h"
#include "base/regex.h"
#include "query/whole_priv.h"

#include <stdlib.h>

static void regex_cleanup(Regex **r) {
        *r = regex_free(*r);
}

static bool is_metric_name(Span s) {
        return span_is(s, METRIC_NAME_LABEL);
}

static bool is_label_name(Span s) {
        return s.len > 0 && s.len <= LABEL_NAME_MAX && utf8_valid(s.text, s.len) && !memchr(s.text, '\0', s.len);
}

/* Copies of the argument's rows, whose labels may then be changed. */
static int copy_rows(const WholeCall *c, const Value *arg, Value *ret_value) {
        Row *rows = whole_rows(c, arg->n_rows);
        if (!rows)
                return c->arena->error;
        for (size_t i = 0; i < arg->n_rows; i++)
                rows[i] = arg->rows[i];
        *ret_value = (Value){ .type = TYPE_VECTOR, .rows = rows, .n_rows = arg->n_rows };
        return 0;
}

static int set_label(const WholeCall *c, Row *row, Span name, const Buf *value) {
        if (buf_error(value) == -ENOMEM)
                return -ENOMEM;
        if (buf_error(value) < 0 || value->len > LABEL_VALUE_MAX)
                return whole_refuse(c, "a label's value would be longer than %u bytes", LABEL_VALUE_MAX);
        row->labels = labelset_set(c->arena, row->labels, name, (Span){ value->len ? value->data : "", value->len });
        if (is_metric_name(name))
                row->drop_name = false;
        return row->labels.run ? 0 : c->arena->error;
}

int whole_label_replace(const WholeCall *c, const Value *args, Value *ret_value) {
        Span name = args[1].string, form = args[2].string, source = args[3].string, text = args[4].string;
        CLEANUP(regex_cleanup) Regex *regex = NULL;
        CLEANUP(buf_deinit) Buf value = BUF_WITH_LIMIT(LABEL_RUN_MAX);
        int r = regex_new(text.text, text.len, NULL, &regex);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return whole_refuse(c, "invalid regular expression in label_replace(): %.*s", (int)text.len, text.text);
        if (!is_label_name(name))
                return whole_refuse(c, "invalid destination label name in label_replace(): %.*s", (int)name.len,
                                    name.text);
        r = copy_rows(c, &args[0], ret_value);
        for (size_t i = 0; r == 0 && i < ret_value->n_rows; i++) {
                Row *row = &ret_value->rows[i];
                Span from = labelset_get(row->labels, source);
                buf_reset(&value);
                if (regex_expand(regex, from.text, from.len, form.text, form.len, &value))
                        r = set_label(c, row, name, &value);
        }
        return r;
}

int whole_label_join(const WholeCall *c, const Value *args, Value *ret_value) {
        Span name = args[1].string, between = args[2].string;
        size_t n = c->call->call.n_args;
        CLEANUP(buf_deinit) Buf value = BUF_WITH_LIMIT(LABEL_RUN_MAX);
        for (size_t i = 3; i < n; i++)
                if (!is_label_name(args[i].string))
                        return whole_refuse(c, "invalid source label name in label_join(): %.*s",
                                            (int)args[i].string.len, args[i].string.text);
        if (!is_label_name(name))
                return whole_refuse(c, "invalid destination label name in label_join(): %.*s", (int)name.len,
                                    name.text);
        int r = copy_rows(c, &args[0], ret_value);
        for (size_t k = 0; r == 0 && k < ret_value->n_rows; k++) {
                buf_reset(&value);
                for (size_t i = 3; i < n; i++) {
                        Span part = labelset_get(ret_value->rows[k].labels, args[i].string);
                        if (i > 3)
                                buf_put(&value, between.text, between.len);
                        buf_put(&value, part.text, part.len);
                }
                r = set_label(c, &ret_value->rows[k], name, &value);
        }
        return r;
}

/* ---- natural order ---- */

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* The digits of a number without the zeros before it; takes them from s. */
static Span take_digits(Span *s) {
        size_t zeros = 0, n;
        while (zeros + 1 < s->len && s->text[zeros] == '0' && is_digit(s->text[zeros + 1]))
                zeros++;
        for (n = zeros; n < s->len && is_digit(s->text[n]);)
                n++;
        Span digits = { s->text + zeros, n - zeros };
        *s = (Span){ s->text + n, s->len - n };
        return digits;
}

/* Numbers in texts by what they count: "b2" is before "b10". */
static int natural_order(Span a, Span b) {
        while (a.len && b.len) {
                if (is_digit(a.text[0]) && is_digit(b.text[0])) {
                        Span x = take_digits(&a), y = take_digits(&b);
                        if (x.len != y.len)
                                return x.len < y.len ? -1 : 1;
                        int r = memcmp(x.text, y.text, x.len);
                        if (r)
                                return r;
                        continue;
                }
                if (a.text[0] != b.text[0])
                        return (unsigned char)a.text[0] < (unsigned char)b.text[0] ? -1 : 1;
                a = (Span){ a.text + 1, a.len - 1 };
                b = (Span){ b.text + 1, b.len - 1 };
        }
        return (a.len > 0) - (b.len > 0);
}

typedef struct LabelOrder {
        const Value *names; /* TYPE_STRING */
        size_t n;
        int sign;
} LabelOrder;

static bool span_equal(Span a, Span b) {
        return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

static int compare_rows(const void *a, const void *b, void *order) {
        const LabelOrder *o = order;
        const Row *x = a, *y = b;
        for (size_t i = 0; i < o->n; i++) {
                Span v = labelset_get(x->labels, o->names[i].string), w = labelset_get(y->labels, o->names[i].string);
                if (!span_equal(v, w))
                        return o->sign * (natural_order(v, w) < 0 ? -1 : 1);
        }
        return o->sign * labels_compare(x->labels.run, x->labels.len, y->labels.run, y->labels.len);
}

int whole_sort_by_label(const WholeCall *c, const Value *args, Value *ret_value) {
        LabelOrder order = { args + 1, c->call->call.n_args - 1,
                             c->call->call.function == FUNCTION_SORT_BY_LABEL ? 1 : -1 };
        int r = copy_rows(c, &args[0], ret_value);
        if (r == 0)
                qsort_r(ret_value->rows, ret_value->n_rows, sizeof *ret_value->rows, compare_rows, &order);
        return r;
}
