/* Functions of each value alone. Most are of floats and leave histograms out; a few are of histograms and leave floats
 * out. */
#include "query/function_priv.h"

#include <assert.h>

#define PI 3.14159265358979323846

/* ---- dates ---- */

/* A moment in UTC, in the proleptic Gregorian calendar. */
typedef struct Date {
        int64_t year;
        int month, day, weekday, day_of_year, hour, minute; /* from 1, 1, 0 (Sunday), 1, 0, 0 */
        bool leap;
} Date;

/* Seconds from the begin of year -292277022399, where all that 64 bits of seconds can say is positive, to 1970. Numbers
 * are unsigned and wrap, as Go's do, so that there is a date for any of them. */
#define EPOCH UINT64_C(9223372028715321600)
#define FIRST_YEAR INT64_C(-292277022399)

static const int DAYS_BEFORE[13] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365 };

static int days_before(int month, bool leap) { /* from 0 */
        return DAYS_BEFORE[month] + (leap && month >= 2);
}

static Date date_of(int64_t seconds) {
        uint64_t at = (uint64_t)seconds + EPOCH, days = at / 86400, rest = at % 86400;
        Date d = { .hour = (int)(rest / 3600), .minute = (int)(rest % 3600 / 60), .weekday = (int)((days + 1) % 7) };
        /* The first year is the first of 400; the last year of a century, of 4, may be longer than the others. */
        uint64_t n400 = days / 146097;
        days %= 146097;
        uint64_t n100 = days / 36524;
        n100 -= n100 >> 2;
        days -= n100 * 36524;
        uint64_t n4 = days / 1461;
        days %= 1461;
        uint64_t n1 = days / 365;
        n1 -= n1 >> 2;
        days -= n1 * 365;
        d.year = (int64_t)(n400 * 400 + n100 * 100 + n4 * 4 + n1) + FIRST_YEAR;
        d.leap = n1 == 3 && (n4 != 24 || n100 == 3);
        d.day_of_year = (int)days + 1;
        int month = (int)days / 31; /* this one or the next */
        if ((int)days >= days_before(month + 1, d.leap))
                month++;
        d.month = month + 1;
        d.day = (int)days - days_before(month, d.leap) + 1;
        return d;
}

/* A float as whole seconds: what is none is the least of all, as the processor has it. */
static int64_t whole_seconds(double v) {
        return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN;
}

static double date_part(FunctionId f, double v) {
        Date d = date_of(whole_seconds(v));
        switch (f) {
        case FUNCTION_DAY_OF_MONTH: return d.day;
        case FUNCTION_DAY_OF_WEEK: return d.weekday;
        case FUNCTION_DAY_OF_YEAR: return d.day_of_year;
        case FUNCTION_DAYS_IN_MONTH: return days_before(d.month, d.leap) - days_before(d.month - 1, d.leap);
        case FUNCTION_HOUR: return d.hour;
        case FUNCTION_MINUTE: return d.minute;
        case FUNCTION_MONTH: return d.month;
        default: assert(f == FUNCTION_YEAR); return (double)d.year;
        }
}

/* ---- floats ---- */

static double sign(double v) {
        return v < 0 ? -1 : v > 0 ? 1 : v;
}

/* With one argument at most: `x` is it. */
static double one_value(FunctionId f, double v) {
        switch (f) {
        case FUNCTION_ABS: return fabs(v);
        case FUNCTION_ACOS: return acos(v);
        case FUNCTION_ACOSH: return acosh(v);
        case FUNCTION_ASIN: return asin(v);
        case FUNCTION_ASINH: return asinh(v);
        case FUNCTION_ATAN: return atan(v);
        case FUNCTION_ATANH: return atanh(v);
        case FUNCTION_CEIL: return ceil(v);
        case FUNCTION_COS: return cos(v);
        case FUNCTION_COSH: return cosh(v);
        case FUNCTION_DEG: return v * 180 / PI;
        case FUNCTION_EXP: return exp(v);
        case FUNCTION_FLOOR: return floor(v);
        case FUNCTION_LN: return log(v);
        case FUNCTION_LOG10: return log10(v);
        case FUNCTION_LOG2: return log2(v);
        case FUNCTION_RAD: return v * PI / 180;
        case FUNCTION_SGN: return sign(v);
        case FUNCTION_SIN: return sin(v);
        case FUNCTION_SINH: return sinh(v);
        case FUNCTION_SQRT: return sqrt(v);
        case FUNCTION_TAN: return tan(v);
        case FUNCTION_TANH: return tanh(v);
        default: return date_part(f, v);
        }
}

/* The result may be a NaN of any kind but the one that means absence. */
static void map_floats(const ElementCall *c, const Row *in, double *out) {
        for (size_t k = 0; k < c->steps->n; k++)
                out[k] = is_absent(in->v[k]) ? ABSENT : one_value(c->function, in->v[k]);
}

static void round_floats(const ElementCall *c, const Row *in, double *out) {
        for (size_t k = 0; k < c->steps->n; k++) {
                double inverse = 1 / (c->n_args ? c->args[0][k] : 1);
                out[k] = is_absent(in->v[k]) ? ABSENT : floor(in->v[k] * inverse + 0.5) / inverse;
        }
}

static void clamp_floats(const ElementCall *c, const Row *in, double *out) {
        for (size_t k = 0; k < c->steps->n; k++) {
                double low = c->function == FUNCTION_CLAMP_MAX ? -INFINITY : c->args[0][k];
                double high = c->function == FUNCTION_CLAMP_MIN ? INFINITY : c->args[c->function == FUNCTION_CLAMP][k];
                if (is_absent(in->v[k]) || high < low)
                        out[k] = ABSENT;
                else
                        out[k] = function_max(low, function_min(high, in->v[k]));
        }
}

/* ---- histograms ---- */

static double of_histogram(FunctionId f, const FHist *h) {
        switch (f) {
        case FUNCTION_HISTOGRAM_AVG: return fhist_avg(h);
        case FUNCTION_HISTOGRAM_COUNT: return h->count;
        case FUNCTION_HISTOGRAM_STDDEV: return sqrt(fhist_variance(h));
        case FUNCTION_HISTOGRAM_STDVAR: return fhist_variance(h);
        default: assert(f == FUNCTION_HISTOGRAM_SUM); return h->sum;
        }
}

static void map_histograms(const ElementCall *c, const Row *in, double *out) {
        for (size_t k = 0; k < c->steps->n; k++) {
                const FHist *h = row_hist(in, k);
                out[k] = h ? of_histogram(c->function, h) : ABSENT;
        }
}

int element_evaluate(const ElementCall *c, const Row *in, Row *out) {
        switch (c->function) {
        case FUNCTION_CLAMP:
        case FUNCTION_CLAMP_MAX:
        case FUNCTION_CLAMP_MIN: clamp_floats(c, in, out->v); break;
        case FUNCTION_ROUND: round_floats(c, in, out->v); break;
        case FUNCTION_HISTOGRAM_AVG:
        case FUNCTION_HISTOGRAM_COUNT:
        case FUNCTION_HISTOGRAM_STDDEV:
        case FUNCTION_HISTOGRAM_STDVAR:
        case FUNCTION_HISTOGRAM_SUM: map_histograms(c, in, out->v); break;
        default: map_floats(c, in, out->v); break;
        }
        out->h = NULL;
        return 0;
}
