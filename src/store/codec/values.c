/* Columns of doubles: layout, writer and reader.
 *
 * The idea. What monitoring measures is whole numbers, or decimal numbers with a few digits behind the point: as
 * doubles they look like noise, as m / 10^e they are small whole numbers with small differences. A column is turned
 * into such numbers whenever the division gives back every bit, with what does not fit listed apart (staleness markers,
 * mostly); otherwise its bit patterns are taken as whole numbers in the order of the doubles. The rest is ints.c.
 *
 * Layout of a value column.
 *
 *   1 byte      bits 0-2 kind, bit 3 specials follow (CONSTANT, DECIMAL, SCALED), bits 4-7 e (0 in RAW and in BITS
 *               without bit 3)
 *   specials    see below
 *   then by kind, where "number" is varint of zigzag:
 *     0 CONSTANT  number m: all values are m / 10^e
 *     1 RAW       8 bytes: all values have these bits, little end first
 *     2 LINEAR    number m, number step: value i is (m + i * step) / 10^e
 *     3 DECIMAL   number m, ints x: value i is (m + x[i]) / 10^e
 *     4 SCALED    varint g, number m, ints x: value i is (m + g * x[i]) / 10^e
 *     5 BITS      1 byte s < 64, 8 bytes o, ints x: value i has the place o + (x[i] << s)
 *     5 with bit 3: CORRECTED  number m, number c, varint bytes of x, ints x, ints y: value i has the place that
 *                 (m + x[i]) / 10^e has, plus c + y[i]
 *
 * m and x are modulo 2^64 and signed when they are made a double. The place of a double is its bits as a signed number,
 * with all bits but the sign inverted when it is negative: ascending places are ascending doubles, and every
 * pattern, NaN too, has one.
 *
 * CORRECTED is for sums of decimal numbers, which miss the decimal number that they should be by a few units in the
 * last place.
 *
 * Specials are values that m / 10^e does not give: runs of neighbours, in which the numbers below mean nothing.
 *
 *   varint      runs, at least 1
 *   1 byte      0: all are staleness markers, 1: all have the bits of the 8 bytes that follow, 2: 8 bytes for each
 *               follow the runs
 *   8 bytes     if 1
 *   each run    varint values between the run before it (or the beginning) and this one, varint its length - 1
 *   8 bytes     for each special, if 2
 *
 * A column beside another (values_decode_beside) is a value column or, with the prediction p[i] made of base[i], or,
 * when bit 3 of the first byte is set, of the difference base[i] - base[i - 1] (0 for i = 0):
 *
 *     6 NEAR      number m, ints x: value i is (p[i] + m + x[i]) / 10^e; p is made of whole numbers: base * 10^e, to
 *                 the nearest
 *     7 NEAR_BITS 8 bytes o, ints x: value i has the place that p[i] has, plus o + x[i]; p is made of doubles, and the
 *                 place of NaN is taken for 0
 *
 * Reader. Head, specials (checked whole: they lie within the column, ascending), the groups of the ints that the wanted
 * range meets, scaling, specials put in place. The column must end with the bytes.
 *
 * Invariants. (1) Whatever is written was compared bit for bit before: a value is written as m / 10^e only when that
 * division, done by this machine, gave it back; IEEE 754 says that every other machine does the same. (2) The decoder's
 * doubles are made by one conversion and one division, never by a multiplication with a reciprocal. */
#include "store/codec/codec.h"

#include "base/varint.h"
#include "store/codec/bits.h"
#include "store/codec/decimal.h"
#include "store/codec/ints.h"

#include <assert.h>

enum { KIND_CONSTANT, KIND_RAW, KIND_LINEAR, KIND_DECIMAL, KIND_SCALED, KIND_BITS, KIND_NEAR, KIND_NEAR_BITS };
enum { HEAD_KIND = 7, HEAD_SPECIALS = 8, HEAD_DIFFERENCE = 8, HEAD_CORRECTED = 8, HEAD_DIGITS = 4 };
enum { SPECIALS_STALE, SPECIALS_SAME, SPECIALS_OWN };

#define STALE_BITS 0x7ff0000000000002u

/* A double's bits as a number that ascends as the doubles do; its own inverse. */
static uint64_t place(uint64_t bits) {
        return bits ^ ((uint64_t)((int64_t)bits >> 63) & INT64_MAX);
}

static void put_varint(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

static void put_word(Buf *out, uint64_t v) {
        uint8_t bytes[8];
        word_store(bytes, v);
        buf_put(out, bytes, sizeof bytes);
}

/* ---- What a column is ---- */

/* What a look at all values found out. */
typedef struct Survey {
        unsigned digits;      /* e */
        uint32_t ordinary;    /* values that fit m / 10^e */
        uint32_t specials, runs;
        uint32_t last_special;
        bool same;            /* all specials have special_bits */
        uint64_t special_bits;
        int64_t m0, last;     /* first and last ordinary value as whole numbers */
        bool near;            /* all are ordinary and below 2^51 as whole numbers */
        bool linear;          /* and no special */
        int64_t step;
        uint64_t ones;        /* all differences to m0, or-ed */
        uint64_t odd;         /* odd part of the differences' common divisor, 0 at first */
        uint64_t inverse;     /* odd * inverse = 1 modulo 2^64 */
} Survey;

static bool fits(double v, double power) {
        return decimal_fits(v, power, decimal_round(v, power));
}

/* Fewest digits from `from` on with which v fits, or DECIMAL_MAX + 1. */
static unsigned digits_of(double v, unsigned from) {
        for (unsigned e = from; e <= DECIMAL_MAX; e++)
                if (fits(v, POWERS_OF_TEN[e]))
                        return e;
        return DECIMAL_MAX + 1;
}

/* Digits that a few values of the column need. */
static unsigned guess_digits(const double *values, uint32_t n) {
        unsigned digits = 0;
        uint32_t looks = n < 256 ? 4 : 8;
        for (uint32_t i = 0; i < looks; i++) {
                unsigned d = digits_of(values[(uint64_t)i * (n - 1) / (looks - 1)], digits);
                digits = d <= DECIMAL_MAX ? d : digits;
        }
        return digits;
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b) {
        while (b) {
                uint64_t r = a % b;
                a = b;
                b = r;
        }
        return a;
}

/* Of an odd number: each step doubles the bits that are right, of which there are five at first. */
static uint64_t inverse_of(uint64_t odd) {
        uint64_t x = (3 * odd) ^ 2;
        for (int i = 0; i < 4; i++)
                x *= 2 - odd * x;
        return x;
}

/* Takes one more difference into the common divisor. A multiple of `odd` times its inverse is the quotient, which
 * is small; anything else lands above it. */
static void take_divisor(Survey *s, int64_t difference) {
        uint64_t d = difference < 0 ? -(uint64_t)difference : (uint64_t)difference;
        if (d == 0 || (s->odd && d * s->inverse <= UINT64_MAX / s->odd))
                return;
        s->odd = greatest_divisor(d >> __builtin_ctzll(d), s->odd);
        s->inverse = inverse_of(s->odd);
}

static void take_ordinary(Survey *s, const int64_t *m, uint32_t n) {
        uint32_t i = 0;
        if (s->ordinary == 0)
                s->m0 = s->last = m[0];
        if (s->ordinary < 2 && n + s->ordinary >= 2)
                s->step = s->ordinary ? m[0] - s->m0 : m[1] - m[0];
        if (s->ordinary == 0)
                i = 1;
        for (; i < n && s->linear; i++) {
                s->linear = m[i] - s->last == s->step;
                s->last = m[i];
        }
        uint64_t ones = s->ones;
        for (i = 0; i < n; i++)
                ones |= (uint64_t)(m[i] - s->m0);
        s->ones = ones;
        for (i = 0; i < n && s->odd != 1; i++)
                take_divisor(s, m[i] - s->m0);
        s->last = m[n - 1];
        s->ordinary += n;
}

static void take_special(Survey *s, uint32_t index, double v) {
        s->runs += s->specials == 0 || s->last_special + 1 != index;
        s->same = s->specials == 0 || (s->same && s->special_bits == double_bits(v));
        s->special_bits = double_bits(v);
        s->last_special = index;
        s->specials++;
        s->linear = false;
}

static size_t specials_cost(const Survey *s) {
        return 2 * (size_t)s->runs + 8 * (s->same ? 1 : (size_t)s->specials);
}

/* The same for values that all fit and are below 2^51 as whole numbers; false, with nothing of use in m, when they are
 * not. */
static bool round_near(const double *values, uint32_t n, double power, int64_t *m) {
        uint64_t wrong = 0;
        for (uint32_t i = 0; i < n; i++) {
                double x = values[i] * power, magic = x + DECIMAL_MAGIC, whole = magic - DECIMAL_MAGIC;
                m[i] = (int64_t)(double_bits(magic) - double_bits(DECIMAL_MAGIC));
                wrong |= double_bits(whole / power) ^ double_bits(values[i]);
                wrong |= fabs(x) < DECIMAL_NEAR ? 0 : 1;
        }
        return wrong == 0;
}

static bool round_near_whole(const double *values, uint32_t n, int64_t *m) {
        uint64_t wrong = 0;
        for (uint32_t i = 0; i < n; i++) {
                double magic = values[i] + DECIMAL_MAGIC;
                m[i] = (int64_t)(double_bits(magic) - double_bits(DECIMAL_MAGIC));
                wrong |= double_bits(magic - DECIMAL_MAGIC) ^ double_bits(values[i]);
                wrong |= fabs(values[i]) < DECIMAL_NEAR ? 0 : 1;
        }
        return wrong == 0;
}

/* Whole numbers of n values; how many fit. */
static uint32_t round_all(const double *values, uint32_t n, double power, int64_t *m) {
        uint32_t fits = 0;
        for (uint32_t i = 0; i < n; i++) {
                m[i] = decimal_round(values[i], power);
                fits += decimal_fits(values[i], power, m[i]);
        }
        return fits;
}

/* Takes values one by one, some of which do not fit; false, with more digits, when these would fit with more. */
static bool take_mixed(Survey *s, const double *values, uint32_t first, uint32_t n, const int64_t *m) {
        for (uint32_t i = 0; i < n; i++) {
                if (decimal_fits(values[i], POWERS_OF_TEN[s->digits], m[i])) {
                        take_ordinary(s, m + i, 1);
                        continue;
                }
                /* A few are cheaper as specials than more digits are for all. */
                if (s->specials >= 2 + first / 128 && s->digits < DECIMAL_MAX) {
                        unsigned d = digits_of(values[i], s->digits + 1);
                        if (d <= DECIMAL_MAX) {
                                s->digits = d;
                                return false;
                        }
                }
                take_special(s, first + i, values[i]);
        }
        return true;
}

/* Looks at all values with the digits given; -1 when they are no decimal numbers, 1 when it has to be called again. */
static int survey_once(Survey *s, const double *values, uint32_t n) {
        int64_t m[256];
        double power = POWERS_OF_TEN[s->digits];
        for (uint32_t first = 0; first < n; first += 256) {
                uint32_t size = n - first < 256 ? n - first : 256;
                bool near = s->digits ? round_near(values + first, size, power, m)
                                      : round_near_whole(values + first, size, m);
                s->near &= near;
                if (near || round_all(values + first, size, power, m) == size)
                        take_ordinary(s, m, size);
                else if (!take_mixed(s, values + first, first, size, m))
                        return 1;
                if (s->specials && specials_cost(s) > 2 * (size_t)(first + size) + 16)
                        return -1;
        }
        return s->ordinary ? 0 : -1;
}

/* Whether the column is decimal, and how. */
static bool survey(Survey *s, const double *values, uint32_t n) {
        unsigned digits = guess_digits(values, n);
        int r;
        do {
                *s = (Survey){ .digits = digits, .linear = true, .near = true };
                r = survey_once(s, values, n);
                digits = s->digits;
        } while (r > 0);
        return r == 0;
}

/* ---- Writing ---- */

/* Where the numbers of a column come from, a group at a time. */
typedef struct Source {
        const double *values, *base;
        double power;
        bool near, specials, difference;
        uint64_t m0, inverse;
        unsigned shift;
        int64_t last; /* number before the group; stands for a special */
} Source;

/* Specials get numbers between their neighbours': a reader puts something else there, and nothing is smoother. */
static void bridge(const Source *s, uint32_t first, uint32_t count, int64_t *x) {
        int64_t before = s->last;
        for (uint32_t i = 0; i < count;) {
                uint32_t next = i;
                while (next < count && !fits(s->values[first + next], s->power))
                        next++;
                int64_t step =
                        next < count ? (int64_t)((uint64_t)x[next] - (uint64_t)before) / (int64_t)(next - i + 1) : 0;
                for (; i < next; i++)
                        x[i] = before = (int64_t)((uint64_t)before + (uint64_t)step);
                if (i < count)
                        before = x[i++];
        }
}

static void fill_decimal(void *context, uint32_t first, uint32_t count, int64_t *out) {
        Source *s = context;
        const double *values = s->values + first;
        double power = s->power;
        uint64_t m0 = s->m0, inverse = s->inverse;
        if (s->near)
                for (uint32_t i = 0; i < count; i++)
                        out[i] = (int64_t)((uint64_t)decimal_round_near(values[i], power) - m0);
        else
                for (uint32_t i = 0; i < count; i++)
                        out[i] = (int64_t)((uint64_t)decimal_round(values[i], power) - m0);
        if (s->shift)
                for (uint32_t i = 0; i < count; i++)
                        out[i] >>= s->shift;
        for (uint32_t i = 0; inverse != 1 && i < count; i++)
                out[i] = (int64_t)((uint64_t)out[i] * inverse);
        if (s->specials) {
                /* The column begins at its first ordinary value. */
                bridge(s, first, count, out);
                s->last = out[count - 1];
        }
}

static void fill_places(void *context, uint32_t first, uint32_t count, int64_t *out) {
        Source *s = context;
        for (uint32_t i = 0; i < count; i++)
                out[i] = (int64_t)(place(double_bits(s->values[first + i])) - s->m0) >> s->shift;
}

static void put_runs(Buf *out, const double *values, uint32_t n, double power, bool with_bits) {
        uint32_t after = 0; /* the last run */
        for (uint32_t i = 0; i < n;) {
                uint32_t run = 0;
                while (i + run < n && !fits(values[i + run], power))
                        run++;
                if (run == 0) {
                        i++;
                        continue;
                }
                if (with_bits) {
                        for (uint32_t k = 0; k < run; k++)
                                put_word(out, double_bits(values[i + k]));
                } else {
                        put_varint(out, i - after);
                        put_varint(out, run - 1);
                }
                i += run;
                after = i;
        }
}

static void put_specials(Buf *out, const Survey *s, const double *values, uint32_t n) {
        double power = POWERS_OF_TEN[s->digits];
        put_varint(out, s->runs);
        bool stale = s->same && s->special_bits == STALE_BITS;
        buf_put_char(out, (char)(stale ? SPECIALS_STALE : s->same ? SPECIALS_SAME : SPECIALS_OWN));
        if (s->same && !stale)
                put_word(out, s->special_bits);
        put_runs(out, values, n, power, false);
        if (!s->same)
                put_runs(out, values, n, power, true);
}

static void put_head(Buf *out, unsigned kind, unsigned flag, unsigned digits) {
        buf_put_char(out, (char)(kind | flag | digits << HEAD_DIGITS));
}

static void put_decimal(Buf *out, const Survey *s, const double *values, uint32_t n, CodecEffort effort) {
        unsigned shift = s->ones ? (unsigned)__builtin_ctzll(s->ones) : 0;
        uint64_t g = s->ones ? s->odd << shift : 0;
        unsigned kind = g == 0 ? KIND_CONSTANT : s->linear && n > 2 ? KIND_LINEAR : g == 1 ? KIND_DECIMAL : KIND_SCALED;
        put_head(out, kind, s->specials ? HEAD_SPECIALS : 0, s->digits);
        if (s->specials)
                put_specials(out, s, values, n);
        if (kind == KIND_SCALED)
                put_varint(out, g);
        put_varint(out, zigzag(s->m0));
        if (kind == KIND_LINEAR)
                put_varint(out, zigzag(s->step));
        if (kind != KIND_DECIMAL && kind != KIND_SCALED)
                return;
        Source source = { .values = values,
                          .power = POWERS_OF_TEN[s->digits],
                          .near = s->near,
                          .specials = s->specials > 0,
                          .m0 = (uint64_t)s->m0,
                          .inverse = s->inverse,
                          .shift = shift };
        ints_encode(fill_decimal, &source, n, effort, out);
}

static void put_places(Buf *out, const double *values, uint32_t n, CodecEffort effort) {
        uint64_t origin = place(double_bits(values[0])), ones = 0;
        for (uint32_t i = 1; i < n; i++)
                ones |= place(double_bits(values[i])) - origin;
        Source source = { .values = values, .m0 = origin, .shift = ones ? (unsigned)__builtin_ctzll(ones) : 0 };
        put_head(out, KIND_BITS, 0, 0);
        buf_put_char(out, (char)source.shift);
        put_word(out, origin);
        ints_encode(fill_places, &source, n, effort, out);
}

/* ---- Sums of decimal numbers ---- */

/* By how many places v misses the decimal number that it is near to. */
static uint64_t correction(double v, double power) {
        return place(double_bits(v)) - place(double_bits((double)decimal_round(v, power) / power));
}

/* Digits with which some values are within a few places of a decimal number, or DECIMAL_MAX + 1. With at most half of
 * the digits that a double has, this is hardly chance. */
static unsigned guess_near_digits(const double *values, uint32_t n) {
        unsigned digits = 0, max = 8;
        for (uint32_t i = 0; i < 8 && digits <= max; i++) {
                double v = values[(uint64_t)i * (n - 1) / 7];
                while (digits <= max && zigzag((int64_t)correction(v, POWERS_OF_TEN[digits])) > 256)
                        digits++;
        }
        return digits <= max ? digits : DECIMAL_MAX + 1;
}

static void fill_corrections(void *context, uint32_t first, uint32_t count, int64_t *out) {
        Source *s = context;
        for (uint32_t i = 0; i < count; i++)
                out[i] = (int64_t)(correction(s->values[first + i], s->power) - s->m0);
}

static void put_corrected(Buf *out, const double *values, uint32_t n, unsigned digits, CodecEffort effort) {
        double power = POWERS_OF_TEN[digits];
        Source source = {
                .values = values, .power = power, .m0 = (uint64_t)decimal_round(values[0], power), .inverse = 1
        };
        Source corrections = { .values = values, .power = power, .m0 = correction(values[0], power) };
        put_head(out, KIND_BITS, HEAD_CORRECTED, digits);
        put_varint(out, zigzag((int64_t)source.m0));
        put_varint(out, zigzag((int64_t)corrections.m0));
        ints_encode_sized(fill_decimal, &source, n, effort, out);
        ints_encode(fill_corrections, &corrections, n, effort, out);
}

static bool all_same_bits(const double *values, uint32_t n) {
        return memcmp(values, values + 1, (n - 1) * sizeof *values) == 0;
}

static void put_same(Buf *out, double v) {
        unsigned digits = digits_of(v, 0);
        if (digits > DECIMAL_MAX) {
                put_head(out, KIND_RAW, 0, 0);
                put_word(out, double_bits(v));
                return;
        }
        put_head(out, KIND_CONSTANT, 0, digits);
        put_varint(out, zigzag(decimal_round(v, POWERS_OF_TEN[digits])));
}

void values_encode(const double *values, uint32_t n, CodecEffort effort, Buf *out) {
        assert(n >= 1 && n <= CODEC_MAX);
        Survey s;
        if (all_same_bits(values, n)) {
                put_same(out, values[0]);
                return;
        }
        size_t from = out->len;
        bool decimal = survey(&s, values, n);
        if (decimal)
                put_decimal(out, &s, values, n, effort);
        else
                put_places(out, values, n, effort);
        /* Many digits, or many exceptions to few: perhaps it is sums. */
        bool odd = !decimal || s.digits > 9 || (!s.same && s.specials > 2);
        unsigned digits = odd && n > 2 ? guess_near_digits(values, n) : DECIMAL_MAX + 1;
        if (digits > DECIMAL_MAX)
                return;
        size_t second = out->len;
        put_corrected(out, values, n, digits, effort);
        ints_keep_shorter(out, from, second);
}

/* ---- Reading ---- */

typedef struct Specials {
        const uint8_t *runs, *runs_end; /* NULL: none */
        const uint8_t *own;  /* bits of each, or NULL */
        uint64_t bits;       /* of all, otherwise */
        uint32_t n_runs;
} Specials;

typedef struct Column {
        unsigned kind, digits;
        bool flag;
        uint64_t g, m, step;
        unsigned shift;
        Specials specials;
        const uint8_t *ints, *ints_end;
        const uint8_t *corrections; /* to the end, or NULL */
        uint64_t c;                 /* the first of them */
} Column;

static bool get_word(const uint8_t **at, const uint8_t *end, uint64_t *ret) {
        if (end - *at < 8)
                return false;
        *ret = word_load(*at);
        *at += 8;
        return true;
}

static bool get_number(const uint8_t **at, const uint8_t *end, uint64_t *ret) {
        uint64_t v;
        if (!varint_get(at, end, &v))
                return false;
        *ret = (uint64_t)unzigzag(v);
        return true;
}

/* A run's first index and length; `after` is the end of the one before it. */
static bool get_run(const uint8_t **at, const uint8_t *end, uint32_t n, uint32_t after, uint32_t *ret_first,
                    uint32_t *ret_len) {
        uint64_t skip, more;
        if (!varint_get(at, end, &skip) || !varint_get(at, end, &more) || skip >= n - after || more >= n - after - skip)
                return false;
        *ret_first = after + (uint32_t)skip;
        *ret_len = (uint32_t)more + 1;
        return true;
}

static bool get_specials(const uint8_t **at, const uint8_t *end, uint32_t n, Specials *s) {
        uint64_t runs;
        if (!varint_get(at, end, &runs) || runs < 1 || runs > n || *at == end)
                return false;
        unsigned flavour = *(*at)++;
        s->bits = STALE_BITS;
        if (flavour > SPECIALS_OWN || (flavour == SPECIALS_SAME && !get_word(at, end, &s->bits)))
                return false;
        s->runs = *at;
        s->n_runs = (uint32_t)runs;
        uint32_t after = 0, first, len;
        size_t total = 0;
        for (; runs; runs--, after = first + len, total += len)
                if (!get_run(at, end, n, after, &first, &len))
                        return false;
        s->runs_end = *at;
        if (flavour != SPECIALS_OWN)
                return true;
        s->own = *at;
        if ((size_t)(end - *at) < total * 8)
                return false;
        *at += total * 8;
        return true;
}

/* Specials of [first, first + count). */
static void put_in_place(const Specials *s, uint32_t n, uint32_t first, uint32_t count, double *values) {
        const uint8_t *at = s->runs, *end = s->runs_end, *own = s->own;
        uint32_t after = 0, run, len;
        for (uint32_t i = 0; i < s->n_runs && get_run(&at, end, n, after, &run, &len); i++, after = run + len) {
                for (uint32_t k = run; k < run + len; k++) {
                        uint64_t bits = own ? word_load(own + 8 * (size_t)(k - run)) : s->bits;
                        if (k >= first && k < first + count)
                                values[k - first] = bits_double(bits);
                }
                own = own ? own + 8 * (size_t)len : NULL;
        }
}

static bool get_corrected(const uint8_t *at, const uint8_t *end, Column *c) {
        uint64_t len;
        if (!get_number(&at, end, &c->m) || !get_number(&at, end, &c->c) || !varint_get(&at, end, &len))
                return false;
        if (len > (uint64_t)(end - at))
                return false;
        c->ints = at;
        c->ints_end = c->corrections = at + len;
        return true;
}

/* Whether what the head says is there, and that nothing follows where nothing may. */
static bool get_body(const uint8_t *at, const uint8_t *end, Column *c) {
        switch (c->kind) {
        case KIND_CONSTANT: return get_number(&at, end, &c->m) && at == end;
        case KIND_RAW: return get_word(&at, end, &c->m) && at == end;
        case KIND_LINEAR: return get_number(&at, end, &c->m) && get_number(&at, end, &c->step) && at == end;
        case KIND_SCALED:
                if (!varint_get(&at, end, &c->g))
                        return false;
                break;
        case KIND_BITS:
                if (c->flag)
                        return get_corrected(at, end, c);
                if (at == end || *at > 63)
                        return false;
                c->shift = *at++;
                break;
        default: break;
        }
        bool word = c->kind == KIND_BITS || c->kind == KIND_NEAR_BITS;
        if (word ? !get_word(&at, end, &c->m) : !get_number(&at, end, &c->m))
                return false;
        c->ints = at;
        c->ints_end = end;
        return true;
}

static int get_column(const uint8_t *bytes, size_t len, uint32_t n, Column *c) {
        const uint8_t *at = bytes, *end = bytes + len;
        if (len < 1 || n < 1 || n > CODEC_MAX)
                return -EBADMSG;
        unsigned head = *at++;
        *c = (Column){ .kind = head & HEAD_KIND, .digits = head >> HEAD_DIGITS, .flag = head & HEAD_SPECIALS, .g = 1 };
        bool may_have = c->kind == KIND_CONSTANT || c->kind == KIND_DECIMAL || c->kind == KIND_SCALED;
        bool near = c->kind == KIND_NEAR || c->kind == KIND_NEAR_BITS;
        if (c->flag && !may_have && !near && c->kind != KIND_BITS)
                return -EBADMSG;
        if (c->digits && (c->kind == KIND_RAW || (c->kind == KIND_BITS && !c->flag) || c->kind == KIND_NEAR_BITS))
                return -EBADMSG;
        if (c->flag && may_have && !get_specials(&at, end, n, &c->specials))
                return -EBADMSG;
        return get_body(at, end, c) ? 0 : -EBADMSG;
}

/* The doubles of m + x[i], when all are below 2^51: additions then do what a conversion does, and several at once.
 * Otherwise false, with nothing of use in values. */
static bool convert_near(uint64_t m, const int64_t *x, uint32_t count, double *values) {
        uint64_t magic = double_bits(DECIMAL_MAGIC), half = (uint64_t)1 << 51, beyond = 0;
        for (uint32_t i = 0; i < count; i++) {
                uint64_t sum = m + (uint64_t)x[i];
                beyond |= sum + half;
                values[i] = bits_double(sum + magic) - DECIMAL_MAGIC;
        }
        return beyond >> 52 == 0;
}

static void convert(const Column *c, int64_t *x, uint32_t count, double *values) {
        uint64_t m = c->m, g = c->g;
        if (g != 1)
                for (uint32_t i = 0; i < count; i++)
                        x[i] = (int64_t)(g * (uint64_t)x[i]);
        if (convert_near(m, x, count, values))
                return;
        for (uint32_t i = 0; i < count; i++)
                values[i] = (double)(int64_t)(m + (uint64_t)x[i]);
}

/* Changes x. */
static void scale(const Column *c, int64_t *x, uint32_t count, double *values) {
        double power = POWERS_OF_TEN[c->digits];
        if (c->kind == KIND_BITS && !c->corrections) {
                for (uint32_t i = 0; i < count; i++)
                        values[i] = bits_double(place(c->m + ((uint64_t)x[i] << c->shift)));
                return;
        }
        convert(c, x, count, values);
        if (c->digits)
                for (uint32_t i = 0; i < count; i++)
                        values[i] /= power;
}

/* Columns that are only a head. */
static void make_simple(const Column *c, uint32_t first, uint32_t count, double *values) {
        double power = POWERS_OF_TEN[c->digits];
        double v = c->kind == KIND_RAW ? bits_double(c->m) : (double)(int64_t)c->m / power;
        if (c->kind == KIND_LINEAR)
                for (uint32_t i = 0; i < count; i++)
                        values[i] = (double)(int64_t)(c->m + c->step * (first + i)) / power;
        else
                for (uint32_t i = 0; i < count; i++)
                        values[i] = v;
}

/* Values of [first, first + count), from the groups of ints that it meets. */
static int make_groups(const Column *c, uint32_t n, uint32_t first, uint32_t count, double *values) {
        IntsReader r;
        int64_t x[INTS_GROUP];
        uint32_t skip = first % INTS_GROUP, got;
        int e = ints_open_at(&r, c->ints, (size_t)(c->ints_end - c->ints), n, first / INTS_GROUP);
        while (e == 0 && count > 0) {
                e = ints_next_part(&r, skip, count < INTS_GROUP - skip ? skip + count : INTS_GROUP, x, &got);
                if (e < 0)
                        break;
                uint32_t take = got - skip < count ? got - skip : count;
                scale(c, x + skip, take, values);
                values += take;
                count -= take;
                skip = 0;
        }
        return e;
}

static int correct_groups(const Column *c, const uint8_t *end, uint32_t n, uint32_t first, uint32_t count,
                          double *values) {
        IntsReader r;
        int64_t x[INTS_GROUP];
        uint32_t skip = first % INTS_GROUP, got;
        int e = ints_open_at(&r, c->corrections, (size_t)(end - c->corrections), n, first / INTS_GROUP);
        while (e == 0 && count > 0) {
                e = ints_next_part(&r, skip, count < INTS_GROUP - skip ? skip + count : INTS_GROUP, x, &got);
                if (e < 0)
                        break;
                for (; skip < got && count > 0; skip++, count--, values++)
                        *values = bits_double(place(place(double_bits(*values)) + c->c + (uint64_t)x[skip]));
                skip = 0;
        }
        return e;
}

int values_decode_range(const uint8_t *bytes, size_t len, uint32_t n, uint32_t first, uint32_t count,
                        double *ret_values) {
        assert(first <= n && count <= n - first);
        Column c;
        int e = get_column(bytes, len, n, &c);
        if (e < 0)
                return e;
        if (c.kind == KIND_NEAR || c.kind == KIND_NEAR_BITS)
                return -EBADMSG;
        if (!c.ints)
                make_simple(&c, first, count, ret_values);
        else
                e = make_groups(&c, n, first, count, ret_values);
        if (e == 0 && c.corrections)
                e = correct_groups(&c, bytes + len, n, first, count, ret_values);
        if (e == 0 && c.specials.runs)
                put_in_place(&c.specials, n, first, count, ret_values);
        return e;
}

int values_decode(const uint8_t *bytes, size_t len, uint32_t n, double *ret_values) {
        return values_decode_range(bytes, len, n, 0, n, ret_values);
}

/* ---- Beside another column ---- */

/* What base says of value i, as a whole number or as a place. */
static uint64_t predict(const double *base, uint32_t i, bool difference, double power) {
        uint64_t p = (uint64_t)decimal_round(base[i], power);
        if (!difference)
                return p;
        return i ? p - (uint64_t)decimal_round(base[i - 1], power) : 0;
}

static uint64_t predict_place(const double *base, uint32_t i, bool difference) {
        double v = base[i];
        if (difference)
                v = i ? v - base[i - 1] : 0;
        return isnan(v) ? 0 : place(double_bits(v));
}

static void fill_near(void *context, uint32_t first, uint32_t count, int64_t *out) {
        Source *s = context;
        for (uint32_t i = 0; i < count; i++)
                out[i] = (int64_t)((uint64_t)decimal_round(s->values[first + i], s->power) -
                                   predict(s->base, first + i, s->difference, s->power) - s->m0);
}

static void fill_near_places(void *context, uint32_t first, uint32_t count, int64_t *out) {
        Source *s = context;
        for (uint32_t i = 0; i < count; i++)
                out[i] = (int64_t)(place(double_bits(s->values[first + i])) -
                                   predict_place(s->base, first + i, s->difference) - s->m0);
}

static void put_near(Source *s, unsigned digits, uint32_t n, CodecEffort effort, Buf *out) {
        s->power = POWERS_OF_TEN[digits];
        put_head(out, KIND_NEAR, s->difference ? HEAD_DIFFERENCE : 0, digits);
        s->m0 = (uint64_t)decimal_round(s->values[0], s->power) - predict(s->base, 0, s->difference, s->power);
        put_varint(out, zigzag((int64_t)s->m0));
        ints_encode(fill_near, s, n, effort, out);
}

static void put_near_places(Source *s, uint32_t n, CodecEffort effort, Buf *out) {
        put_head(out, KIND_NEAR_BITS, s->difference ? HEAD_DIFFERENCE : 0, 0);
        s->m0 = place(double_bits(s->values[0])) - predict_place(s->base, 0, s->difference);
        put_word(out, s->m0);
        ints_encode(fill_near_places, s, n, effort, out);
}

void values_encode_beside(const double *values, const double *base, uint32_t n, CodecEffort effort, Buf *out) {
        size_t from = out->len;
        values_encode(values, n, effort, out);
        if (buf_error(out) || out->len - from <= 8)
                return;
        Survey survey_of;
        bool decimal = survey(&survey_of, values, n) && survey_of.specials == 0;
        for (int difference = 0; difference < 2; difference++) {
                Source s = { .values = values, .base = base, .difference = difference };
                size_t second = out->len;
                if (decimal) {
                        put_near(&s, survey_of.digits, n, effort, out);
                        ints_keep_shorter(out, from, second);
                        second = out->len;
                }
                put_near_places(&s, n, effort, out);
                ints_keep_shorter(out, from, second);
        }
}

int values_decode_beside(const uint8_t *bytes, size_t len, const double *base, uint32_t n, double *ret_values) {
        Column c;
        int e = get_column(bytes, len, n, &c);
        if (e < 0)
                return e;
        if (c.kind != KIND_NEAR && c.kind != KIND_NEAR_BITS)
                return values_decode(bytes, len, n, ret_values);
        IntsReader r;
        e = ints_open(&r, c.ints, (size_t)(bytes + len - c.ints), n);
        double power = POWERS_OF_TEN[c.digits];
        for (uint32_t first = 0; e == 0 && first < n;) {
                int64_t x[INTS_GROUP];
                uint32_t got;
                e = ints_next(&r, x, &got);
                for (uint32_t i = first; e == 0 && i < first + got; i++) {
                        uint64_t m = c.m + (uint64_t)x[i - first];
                        if (c.kind == KIND_NEAR)
                                ret_values[i] = (double)(int64_t)(m + predict(base, i, c.flag, power)) / power;
                        else
                                ret_values[i] = bits_double(place(m + predict_place(base, i, c.flag)));
                }
                first += got;
        }
        return e;
}
