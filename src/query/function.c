/* What functions are, and the arithmetic of operators. */
#include "base/number.h"
#include "query/function_priv.h"

#include <stdio.h>

/* ---- kinds ---- */

bool function_is_range(FunctionId f) {
        switch (f) {
        case FUNCTION_AVG_OVER_TIME:
        case FUNCTION_CHANGES:
        case FUNCTION_COUNT_OVER_TIME:
        case FUNCTION_DELTA:
        case FUNCTION_DERIV:
        case FUNCTION_DOUBLE_EXPONENTIAL_SMOOTHING:
        case FUNCTION_FIRST_OVER_TIME:
        case FUNCTION_IDELTA:
        case FUNCTION_INCREASE:
        case FUNCTION_IRATE:
        case FUNCTION_LAST_OVER_TIME:
        case FUNCTION_MAD_OVER_TIME:
        case FUNCTION_MAX_OVER_TIME:
        case FUNCTION_MIN_OVER_TIME:
        case FUNCTION_PREDICT_LINEAR:
        case FUNCTION_PRESENT_OVER_TIME:
        case FUNCTION_QUANTILE_OVER_TIME:
        case FUNCTION_RATE:
        case FUNCTION_RESETS:
        case FUNCTION_STDDEV_OVER_TIME:
        case FUNCTION_STDVAR_OVER_TIME:
        case FUNCTION_SUM_OVER_TIME:
        case FUNCTION_TS_OF_FIRST_OVER_TIME:
        case FUNCTION_TS_OF_LAST_OVER_TIME:
        case FUNCTION_TS_OF_MAX_OVER_TIME:
        case FUNCTION_TS_OF_MIN_OVER_TIME: return true;
        default: return false;
        }
}

bool function_keeps_name(FunctionId f) {
        return f == FUNCTION_LAST_OVER_TIME || f == FUNCTION_FIRST_OVER_TIME;
}

bool function_is_elementwise(FunctionId f) {
        switch (f) {
        case FUNCTION_ABS:
        case FUNCTION_ACOS:
        case FUNCTION_ACOSH:
        case FUNCTION_ASIN:
        case FUNCTION_ASINH:
        case FUNCTION_ATAN:
        case FUNCTION_ATANH:
        case FUNCTION_CEIL:
        case FUNCTION_CLAMP:
        case FUNCTION_CLAMP_MAX:
        case FUNCTION_CLAMP_MIN:
        case FUNCTION_COS:
        case FUNCTION_COSH:
        case FUNCTION_DAY_OF_MONTH:
        case FUNCTION_DAY_OF_WEEK:
        case FUNCTION_DAY_OF_YEAR:
        case FUNCTION_DAYS_IN_MONTH:
        case FUNCTION_DEG:
        case FUNCTION_EXP:
        case FUNCTION_FLOOR:
        case FUNCTION_HISTOGRAM_AVG:
        case FUNCTION_HISTOGRAM_COUNT:
        case FUNCTION_HISTOGRAM_STDDEV:
        case FUNCTION_HISTOGRAM_STDVAR:
        case FUNCTION_HISTOGRAM_SUM:
        case FUNCTION_HOUR:
        case FUNCTION_LN:
        case FUNCTION_LOG10:
        case FUNCTION_LOG2:
        case FUNCTION_MINUTE:
        case FUNCTION_MONTH:
        case FUNCTION_RAD:
        case FUNCTION_ROUND:
        case FUNCTION_SGN:
        case FUNCTION_SIN:
        case FUNCTION_SINH:
        case FUNCTION_SQRT:
        case FUNCTION_TAN:
        case FUNCTION_TANH:
        case FUNCTION_YEAR: return true;
        default: return false;
        }
}

/* ---- texts ---- */

Quoted function_quote(Span s) {
        Quoted q;
        size_t n = 0;
        q.text[n++] = '"';
        for (size_t i = 0; i < s.len && n < QUOTED_MAX - 8; i++) {
                unsigned char c = (unsigned char)s.text[i];
                if (c == '"' || c == '\\') {
                        q.text[n++] = '\\';
                        q.text[n++] = (char)c;
                } else if (c == '\n' || c == '\t' || c == '\r') {
                        q.text[n++] = '\\';
                        q.text[n++] = c == '\n' ? 'n' : c == '\t' ? 't' : 'r';
                } else if (c < 0x20 || c == 0x7f)
                        n += (size_t)snprintf(q.text + n, 8, "\\x%02x", c);
                else
                        q.text[n++] = (char)c;
        }
        q.text[n++] = '"';
        q.text[n] = '\0';
        return q;
}

Quoted function_for_metric(Span metric) {
        static const char PREFIX[] = " for metric name ";
        Quoted q = { "" };
        if (metric.len == 0)
                return q;
        Quoted name = function_quote(metric);
        size_t n = strnlen(name.text, QUOTED_MAX - sizeof PREFIX);
        memcpy(q.text, PREFIX, sizeof PREFIX - 1);
        memcpy(q.text + sizeof PREFIX - 1, name.text, n);
        q.text[sizeof PREFIX - 1 + n] = '\0';
        return q;
}

Quoted function_number(double v) {
        Quoted q;
        q.text[number_go(v, q.text)] = '\0';
        return q;
}

void function_check_quantile(Notes *notes, Place place, double q) {
        if (isnan(q) || q < 0 || q > 1)
                notes_add(notes, NOTE_WARNING, place,
                          "PromQL warning: quantile value should be between 0 and 1, got %s", function_number(q).text);
}

const Expr *function_bare(const Expr *e) {
        while (e->kind == EXPR_PAREN)
                e = e->paren;
        return e;
}

/* ---- arithmetic of floats ---- */

double function_max(double a, double b) {
        if (a == INFINITY || b == INFINITY)
                return INFINITY;
        if (isnan(a) || isnan(b))
                return NAN;
        if (a == 0 && b == 0)
                return signbit(a) ? b : a;
        return a > b ? a : b;
}

double function_min(double a, double b) {
        if (a == -INFINITY || b == -INFINITY)
                return -INFINITY;
        if (isnan(a) || isnan(b))
                return NAN;
        if (a == 0 && b == 0)
                return signbit(a) ? a : b;
        return a < b ? a : b;
}

double binary_floats(BinaryOp op, double a, double b) {
        switch (op) {
        case BINARY_ADD: return a + b;
        case BINARY_SUB: return a - b;
        case BINARY_MUL: return a * b;
        case BINARY_DIV: return a / b;
        case BINARY_MOD: return fmod(a, b);
        case BINARY_POW: return pow(a, b);
        case BINARY_ATAN2: return atan2(a, b);
        case BINARY_EQL: return a == b;
        case BINARY_NEQ: return a != b;
        case BINARY_GTR: return a > b;
        case BINARY_LSS: return a < b;
        case BINARY_GTE: return a >= b;
        case BINARY_LTE: return a <= b;
        default: return ABSENT; /* there is nothing to trim */
        }
}

/* ---- notes ---- */

static const char *operation_name(HistOperation op) {
        return op == HIST_ADDITION ? "addition" : op == HIST_SUBTRACTION ? "subtraction" : "aggregation";
}

void note_mixed(Notes *n, Place place, Span metric) {
        notes_add(n, NOTE_WARNING, place,
                  "PromQL warning: encountered a mix of histograms and floats for metric name %s",
                  function_quote(metric).text);
}

void note_ignored_histograms(Notes *n, Place place, Span metric) {
        notes_add(n, NOTE_INFO, place,
                  "PromQL info: ignored histograms in a range containing both floats and histograms for metric name %s",
                  function_quote(metric).text);
}

void note_mixed_schemas(Notes *n, Place place, Span metric) {
        notes_add(n, NOTE_WARNING, place,
                  "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for "
                  "metric name %s",
                  function_quote(metric).text);
}

void note_not_counter(Notes *n, Place place, Span metric) {
        notes_add(n, NOTE_WARNING, place, "PromQL warning: this native histogram metric is not a counter: %s",
                  function_quote(metric).text);
}

void note_not_gauge(Notes *n, Place place, Span metric) {
        notes_add(n, NOTE_WARNING, place, "PromQL warning: this native histogram metric is not a gauge: %s",
                  function_quote(metric).text);
}

void note_reset_collision(Notes *n, Place place, HistOperation op) {
        notes_add(n, NOTE_WARNING, place, "PromQL warning: conflicting counter resets during histogram %s",
                  operation_name(op));
}

void note_custom_mismatch(Notes *n, Place place, HistOperation op) {
        notes_add(n, NOTE_INFO, place, "PromQL info: mismatched custom buckets were reconciled during %s",
                  operation_name(op));
}
