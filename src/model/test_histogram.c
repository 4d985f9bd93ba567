#include "model/histogram.h"

#include "base/test_proto.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void put_span(Buf *h, unsigned field, int32_t offset, uint32_t length) {
        CLEANUP(buf_deinit) Buf span = BUF_NULL;
        if (offset)
                p_varint(&span, 1, zigzag(offset));
        if (length)
                p_varint(&span, 2, length);
        p_message(h, field, &span);
}

static void put_deltas(Buf *h, unsigned field, const int64_t *deltas, size_t n) {
        CLEANUP(buf_deinit) Buf packed = BUF_NULL;
        for (size_t i = 0; i < n; i++) {
                uint8_t bytes[VARINT_MAX];
                buf_put(&packed, bytes, varint_put(bytes, zigzag(deltas[i])));
        }
        p_message(h, field, &packed);
}

/* 6 observations: 1 zero, {1,2} at indices 0 and 1, {2} at -3. */
static void put_good(Buf *h) {
        p_varint(h, 1, 6);
        p_double(h, 3, 18.4);
        p_varint(h, 4, zigzag(2));
        p_double(h, 5, 1e-128);
        p_varint(h, 6, 1);
        put_span(h, 8, -3, 1);
        put_deltas(h, 9, (int64_t[]){ 2 }, 1);
        put_span(h, 11, 0, 2);
        put_deltas(h, 12, (int64_t[]){ 1, 1 }, 2);
        p_varint(h, 14, 3);
        p_varint(h, 15, 1700000000123);
}

static Histogram *parsed(const Buf *b, int64_t *ret_time) {
        Histogram *h = malloc(sizeof *h);
        const char *why = NULL;
        assert_non_null(h);
        if (histogram_parse((const uint8_t *)b->data, b->len, h, ret_time, &why) != 0)
                fail_msg("%s", why);
        return h;
}

static void integer_histogram(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, out = BUF_NULL, again = BUF_NULL;
        int64_t time = 0, none = 1;
        put_good(&b);
        p_varint(&b, 17, 42); /* start timestamp: of no use here */
        p_varint(&b, 900, 1); /* of a later version */
        CLEANUP_FREE Histogram *h = parsed(&b, &time);
        assert_true(time == 1700000000123 && !h->is_float && h->count_int == 6 && h->zero_int == 1 && h->schema == 2);
        assert_true(h->negative.n_buckets == 1 && h->negative.spans[0].offset == -3 && h->negative.deltas[0] == 2);
        assert_true(h->positive.n_buckets == 2 && h->reset_hint == 3 && h->sum == 18.4 && !histogram_is_stale(h));
        histogram_write(h, &out);
        CLEANUP_FREE Histogram *h2 = parsed(&out, &none);
        assert_int_equal(none, 0); /* the time is not in the canonical bytes */
        histogram_write(h2, &again);
        assert_true(again.len == out.len && memcmp(again.data, out.data, out.len) == 0);
}

/* The same in another order, unpacked, with defaults spelled out, gives the same bytes. */
static void one_canonical_form(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, odd = BUF_NULL, x = BUF_NULL, y = BUF_NULL;
        int64_t time;
        put_good(&b);
        p_varint(&odd, 14, 3);
        put_span(&odd, 11, 0, 2);
        p_varint(&odd, 12, zigzag(1));
        p_varint(&odd, 12, zigzag(1));
        p_varint(&odd, 9, zigzag(2));
        put_span(&odd, 8, -3, 1);
        p_varint(&odd, 6, 1);
        p_double(&odd, 5, 1e-128);
        p_varint(&odd, 4, zigzag(2));
        p_double(&odd, 3, 18.4);
        p_varint(&odd, 1, 6);
        p_varint(&odd, 15, 0);
        CLEANUP_FREE Histogram *h = parsed(&b, &time), *g = parsed(&odd, &time);
        histogram_write(h, &x);
        histogram_write(g, &y);
        assert_true(x.len == y.len && memcmp(x.data, y.data, x.len) == 0);
}

static void float_and_custom(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL, counts = BUF_NULL, bounds = BUF_NULL, out = BUF_NULL, again = BUF_NULL;
        double c[] = { 1.5, 0, 2.5 }, limits[] = { -1, 0.5 };
        int64_t time;
        buf_put(&counts, c, sizeof c);
        buf_put(&bounds, limits, sizeof limits);
        p_double(&b, 2, 4.0);
        p_double(&b, 3, -0.0);
        p_varint(&b, 4, zigzag(-53));
        put_span(&b, 11, 0, 3);
        p_message(&b, 13, &counts);
        p_message(&b, 16, &bounds);
        CLEANUP_FREE Histogram *h = parsed(&b, &time);
        assert_true(h->is_float && h->n_custom == 2 && h->positive.counts[2] == 2.5 && h->custom_bounds[0] == -1);
        histogram_write(h, &out);
        CLEANUP_FREE Histogram *g = parsed(&out, &time);
        assert_true(signbit(g->sum) && g->is_float);
        histogram_write(g, &again);
        assert_true(again.len == out.len && memcmp(again.data, out.data, out.len) == 0);
}

static void empty_and_stale(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf none = BUF_NULL, stale = BUF_NULL, zero = BUF_NULL, out = BUF_NULL;
        uint64_t bits = UINT64_C(0x7ff0000000000002);
        double marker;
        int64_t time;
        memcpy(&marker, &bits, sizeof marker);
        buf_put_str(&none, "");
        CLEANUP_FREE Histogram *h = parsed(&(Buf){ .data = (char[]){ 0 } }, &time);
        histogram_write(h, &out);
        assert_int_equal(out.len, 0);
        p_double(&stale, 3, marker);
        CLEANUP_FREE Histogram *s = parsed(&stale, &time);
        assert_true(histogram_is_stale(s));
        histogram_write(s, &out);
        assert_memory_equal(out.data + 1, &bits, 8);
        p_double(&zero, 2, 0); /* a float histogram of nothing stays one */
        CLEANUP_FREE Histogram *z = parsed(&zero, &time);
        buf_reset(&out);
        histogram_write(z, &out);
        CLEANUP_FREE Histogram *z2 = parsed(&out, &time);
        assert_true(z2->is_float);
}

/* NaN observations are counted and in no bucket. */
static void nan_observations(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        int64_t time;
        p_varint(&b, 1, 9);
        p_double(&b, 3, NAN);
        put_span(&b, 11, 0, 1);
        put_deltas(&b, 12, (int64_t[]){ 4 }, 1);
        CLEANUP_FREE Histogram *h = parsed(&b, &time);
        assert_int_equal(h->count_int, 9);
}

static void refused(void (*make)(Buf *), const char *part) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        CLEANUP_FREE Histogram *h = malloc(sizeof *h);
        const char *why = NULL;
        int64_t time;
        make(&b);
        assert_int_equal(histogram_parse((const uint8_t *)b.data, b.len, h, &time, &why), -EBADMSG);
        if (!strstr(why, part))
                fail_msg("\"%s\", not \"%s\"", why, part);
}

static void span_overflow(Buf *b) {
        put_span(b, 11, INT32_MAX, 2);
        put_deltas(b, 12, (int64_t[]){ 0, 0 }, 2);
}
static void span_offset_wide(Buf *b) {
        CLEANUP(buf_deinit) Buf span = BUF_NULL;
        p_varint(&span, 1, zigzag(INT64_C(1) << 40));
        p_message(b, 11, &span);
}
static void span_offset_negative(Buf *b) {
        put_span(b, 11, 0, 1);
        put_span(b, 11, -1, 1);
        put_deltas(b, 12, (int64_t[]){ 0, 0 }, 2);
}
static void span_long(Buf *b) {
        put_span(b, 11, 0, UINT32_MAX);
}
static void spans_many(Buf *b) {
        for (int i = 0; i < 1001; i++)
                put_span(b, 11, 1, 0);
}
static void buckets_many(Buf *b) {
        for (int i = 0; i < 1001; i++)
                p_varint(b, 12, 0);
}
static void spans_mismatch(Buf *b) {
        put_span(b, 11, 0, 3);
        put_deltas(b, 12, (int64_t[]){ 0, 0 }, 2);
}
static void negative_count(Buf *b) {
        p_varint(b, 1, 1);
        put_span(b, 11, 0, 2);
        put_deltas(b, 12, (int64_t[]){ 1, -2 }, 2);
}
static void count_overflow(Buf *b) {
        put_span(b, 11, 0, 2);
        put_deltas(b, 12, (int64_t[]){ INT64_MAX, 1 }, 2);
}
static void sum_overflow(Buf *b) {
        put_span(b, 11, 0, 3);
        put_deltas(b, 12, (int64_t[]){ INT64_MAX, 0, 0 }, 3);
}
static void too_few(Buf *b) {
        put_good(b);
        p_varint(b, 1, 7);
}
static void too_many(Buf *b) {
        put_good(b);
        p_varint(b, 1, 5);
}
static void schema_127(Buf *b) {
        p_varint(b, 4, zigzag(127));
}
static void schema_wide(Buf *b) {
        p_varint(b, 4, zigzag(INT64_C(1) << 33));
}
static void mixed(Buf *b) {
        p_double(b, 2, 3);
        put_span(b, 11, 0, 1);
        put_deltas(b, 12, (int64_t[]){ 3 }, 1);
}
static void float_negative(Buf *b) {
        p_double(b, 2, 3);
        put_span(b, 11, 0, 1);
        p_double(b, 13, -1);
}
static void float_nan(Buf *b) {
        p_double(b, 2, NAN);
}
static void bounds_descend(Buf *b) {
        p_varint(b, 4, zigzag(-53));
        p_double(b, 16, 1);
        p_double(b, 16, 1);
}
static void bounds_infinite(Buf *b) {
        p_varint(b, 4, zigzag(-53));
        p_double(b, 16, INFINITY);
}
static void bounds_exceeded(Buf *b) {
        p_varint(b, 4, zigzag(-53));
        p_double(b, 16, 1);
        put_span(b, 11, 0, 3);
        put_deltas(b, 12, (int64_t[]){ 0, 0, 0 }, 3);
}
static void bounds_with_zero(Buf *b) {
        p_varint(b, 1, 1);
        p_varint(b, 4, zigzag(-53));
        p_varint(b, 6, 1);
}
static void bounds_exponential(Buf *b) {
        p_double(b, 16, 1);
}
static void threshold(Buf *b) {
        p_double(b, 5, -1);
}
static void cut(Buf *b) {
        put_good(b);
        b->len--;
        b->data[b->len - 1] = (char)0x80;
}
static void packed_cut(Buf *b) {
        p_bytes(b, 13, "1234567", 7);
}
static void wrong_type(Buf *b) {
        p_varint(b, 11, 1);
}
static void huge(Buf *b) {
        CLEANUP_FREE char *zeros = calloc(1, 70000);
        p_bytes(b, 99, zeros, 70000);
}

/* B17 */
static void b17_bad_histograms(void **state) {
        (void)state;
        static const struct {
                void (*make)(Buf *);
                const char *why;
        } CASES[] = {
                { span_overflow, "over 32 bits" },      { span_offset_wide, "over 32 bits" }, { span_offset_negative, "offset is negative" },
                { span_long, "longer than 1000" },      { spans_many, "1000 spans" },         { buckets_many, "1000 buckets" },
                { spans_mismatch, "another number" },   { negative_count, "negative" },       { count_overflow, "64 bits" },
                { sum_overflow, "64 bits" },            { too_few, "fewer observations" },    { too_many, "more observations" },
                { schema_127, "schema" },               { schema_wide, "schema" },            { mixed, "mixed" },
                { float_negative, "negative" },         { float_nan, "not a number" },       
                { bounds_descend, "ascend" },           { bounds_infinite, "ascend" },        { bounds_exceeded, "beyond" },
                { bounds_with_zero, "zero bucket" },    { bounds_exponential, "exponential" }, { threshold, "threshold" },
                { cut, "not a message" },               { packed_cut, "malformed" },          { wrong_type, "malformed" },
                { huge, "64 KiB" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                refused(CASES[i].make, CASES[i].why);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(integer_histogram), cmocka_unit_test(one_canonical_form), cmocka_unit_test(float_and_custom),
                cmocka_unit_test(empty_and_stale),   cmocka_unit_test(nan_observations),   cmocka_unit_test(b17_bad_histograms),
        };
        return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
