/* Remote read: requests good and bad, and chunks read back by a reader written from Prometheus's description of them.
 */
#include "wire/remote_read.h"

#include "base/crc32c.h"
#include "base/test_proto.h"
#include "wire/snappy.h"
#include "wire/xor_chunk.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- Requests ---- */

static void put_matcher(Buf *query, unsigned type, const char *name, const char *value) {
        CLEANUP(buf_deinit) Buf m = BUF_NULL;
        p_varint(&m, 1, type);
        p_text(&m, 2, name);
        p_text(&m, 3, value);
        p_message(query, 3, &m);
}

static int parse(const Buf *request, ReadRequest *ret_r, Buf *why) {
        buf_reset(why);
        return read_request_parse((const uint8_t *)request->data, request->len, ret_r, why);
}

static void requests_are_read(void **state) {
        CLEANUP(buf_deinit) Buf request = BUF_NULL, query = BUF_NULL, why = BUF_NULL;
        CLEANUP(read_request_deinit) ReadRequest r = { 0 };
        (void)state;
        p_varint(&query, 1, 1000);
        p_varint(&query, 2, (uint64_t)INT64_C(-5));
        put_matcher(&query, 0, "__name__", "up");
        put_matcher(&query, 1, "a", "b");
        put_matcher(&query, 2, "c", "d|e");
        put_matcher(&query, 3, "f", "g.*");
        p_message(&request, 1, &query);
        p_varint(&query, 1, 7);
        p_message(&request, 1, &query);
        p_bytes(&request, 2, "\x01\x00", 2);
        assert_int_equal(parse(&request, &r, &why), 0);
        assert_int_equal(r.n, 2);
        assert_true(r.chunks && r.samples);
        const ReadQuery *q = &r.queries[0];
        assert_true(q->start_ms == 1000 && q->end_ms == -5 && q->n == 4 && r.queries[1].start_ms == 7);
        assert_int_equal(q->matchers[3].type, MATCH_NOT_REGEX);
        assert_true(matcher_matches(&q->matchers[2], (Span){ "e", 1 }) &&
                    !matcher_matches(&q->matchers[2], (Span){ "x", 1 }));
}

static void what_is_accepted_decides_the_answer(void **state) {
        CLEANUP(buf_deinit) Buf none = BUF_NULL, chunks = BUF_NULL, unknown = BUF_NULL, why = BUF_NULL;
        ReadRequest r;
        (void)state;
        assert_int_equal(parse(&none, &r, &why), 0);
        assert_true(r.samples && !r.chunks);
        p_varint(&chunks, 2, 1);
        assert_int_equal(parse(&chunks, &r, &why), 0);
        assert_true(r.chunks && !r.samples);
        p_varint(&unknown, 2, 9);
        assert_int_equal(parse(&unknown, &r, &why), 0);
        assert_true(r.samples && !r.chunks);
}

static void expect_refused(const Buf *request, int error) {
        CLEANUP(buf_deinit) Buf why = BUF_NULL;
        ReadRequest r;
        assert_int_equal(parse(request, &r, &why), error);
        assert_true(why.len > 0);
}

static void wrong_requests_are_refused(void **state) {
        CLEANUP(buf_deinit)
        Buf cut = BUF_NULL,
            type = BUF_NULL, regex = BUF_NULL, text = BUF_NULL, query = BUF_NULL, many = BUF_NULL;
        (void)state;
        buf_put(&cut, "\x0a\x05\x01", 3);
        expect_refused(&cut, -EBADMSG);
        put_matcher(&query, 4, "a", "b");
        p_message(&type, 1, &query);
        expect_refused(&type, -EBADMSG);
        put_matcher(&query, 2, "a", "(");
        p_message(&regex, 1, &query);
        expect_refused(&regex, -EBADMSG);
        put_matcher(&query, 0, "a", "\xff");
        p_message(&text, 1, &query);
        expect_refused(&text, -EBADMSG);
        for (unsigned i = 0; i <= READ_MATCHERS_MAX; i++)
                put_matcher(&query, 0, "a", "b");
        p_message(&many, 1, &query);
        expect_refused(&many, -E2BIG);
        buf_reset(&many);
        for (unsigned i = 0; i <= READ_QUERIES_MAX; i++)
                p_bytes(&many, 1, "", 0);
        expect_refused(&many, -E2BIG);
}

/* ---- Chunks ---- */

typedef struct BitsIn {
        const uint8_t *bytes;
        size_t len, pos; /* pos in bits */
} BitsIn;

static uint64_t take(BitsIn *in, unsigned n) {
        uint64_t v = 0;
        for (unsigned i = 0; i < n; i++, in->pos++) {
                assert_true(in->pos / 8 < in->len);
                v = v << 1 | (in->bytes[in->pos / 8] >> (7 - in->pos % 8) & 1);
        }
        return v;
}

static uint64_t take_varint(BitsIn *in) {
        uint64_t v = 0, byte;
        unsigned shift = 0;
        do {
                byte = take(in, 8);
                v |= (byte & 0x7f) << shift;
                shift += 7;
        } while (byte & 0x80);
        return v;
}

static int64_t take_change(BitsIn *in) {
        static const unsigned BITS[] = { 14, 17, 20, 64 };
        unsigned ones = 0;
        while (ones < 4 && take(in, 1))
                ones++;
        if (ones == 0)
                return 0;
        unsigned bits = BITS[ones - 1];
        uint64_t v = take(in, bits);
        /* The highest value of a width is positive: -(2^(n-1)) + 1 .. 2^(n-1). */
        if (bits < 64 && v > (uint64_t)1 << (bits - 1))
                v -= (uint64_t)1 << bits;
        return (int64_t)v;
}

typedef struct Window {
        unsigned leading, trailing;
} Window;

static uint64_t take_value(BitsIn *in, uint64_t before, Window *w) {
        if (!take(in, 1))
                return before;
        if (take(in, 1)) {
                w->leading = (unsigned)take(in, 5);
                unsigned length = (unsigned)take(in, 6);
                w->trailing = 64 - w->leading - (length ? length : 64);
        }
        return before ^ take(in, 64 - w->leading - w->trailing) << w->trailing;
}

static void expect_chunk(const int64_t *times, const double *values, size_t n) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        xor_chunk_write(times, values, n, &b);
        BitsIn in = { .bytes = (const uint8_t *)b.data, .len = b.len };
        Window w = { 0 };
        uint64_t step = 0, bits = 0;
        int64_t t = 0;
        assert_int_equal(take(&in, 16), n);
        for (size_t i = 0; i < n; i++) {
                if (i == 0)
                        t = unzigzag(take_varint(&in));
                else
                        step = i == 1 ? take_varint(&in) : step + (uint64_t)take_change(&in);
                t += (int64_t)(i ? step : 0);
                bits = i == 0 ? take(&in, 64) : take_value(&in, bits, &w);
                assert_int_equal(t, times[i]);
                assert_memory_equal(&bits, &values[i], sizeof bits);
        }
        assert_int_equal((in.pos + 7) / 8, b.len);
}

static void chunks_read_back(void **state) {
        int64_t times[XOR_CHUNK_SAMPLES];
        double values[XOR_CHUNK_SAMPLES];
        uint64_t seed = 7;
        (void)state;
        for (unsigned round = 0; round < 2000; round++) {
                size_t n = 1 + round % XOR_CHUNK_SAMPLES;
                int64_t t = (int64_t)(round % 3 ? INT64_C(1700000000000) : -INT64_C(1000000));
                for (size_t i = 0; i < n; i++) {
                        seed = seed * 6364136223846793005u + 1442695040888963407u;
                        t += round % 4 == 0 ? 15000 : (int64_t)(seed >> (20 + round % 40));
                        times[i] = t;
                        values[i] = round % 5 == 0   ? 42
                                    : round % 5 == 1 ? (double)i
                                                     : proto_double(seed ^ seed >> round % 50);
                }
                expect_chunk(times, values, n);
        }
}

static void changes_at_the_edges_of_their_widths(void **state) {
        static const int64_t CHANGES[] = { 0,      1,     -1,     8192,   -8191,   8193,   -8192,   65536,
                                           -65535, 65537, -65536, 524288, -524287, 524289, -524288, INT64_C(1) << 40 };
        double values[3] = { NAN, INFINITY, -0.0 };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CHANGES); i++) {
                int64_t step = INT64_C(1) << 41, times[3] = { 0, step, step + step + CHANGES[i] };
                expect_chunk(times, values, 3);
        }
}

/* As Debian's promtool writes these samples into a block. */
static void a_chunk_byte_by_byte(void **state) {
        static const int64_t TIMES[] = { 1000, 2000, 3000 };
        static const double VALUES[] = { 1, 1, 2 };
        static const uint8_t BYTES[] = { 0x00, 0x03, 0xd0, 0x0f, 0x3f, 0xf0, 0,    0,    0,
                                         0,    0,    0,    0xe8, 0x07, 0x30, 0x97, 0xff, 0xc0 };
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        (void)state;
        xor_chunk_write(TIMES, VALUES, 3, &b);
        assert_int_equal(b.len, sizeof BYTES);
        assert_memory_equal(b.data, BYTES, sizeof BYTES);
}

/* ---- Answers ---- */

static void messages_nest(void **state) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        ProtoField f, inner;
        (void)state;
        size_t outer = read_message_begin(&b, 1);
        read_put_sample(&b, 5, 2.5);
        read_put_histogram(&b, 6, (const uint8_t *)"\x18\x01", 2);
        read_message_end(&b, outer);
        ProtoReader r = PROTO_READER((const uint8_t *)b.data, b.len);
        assert_int_equal(proto_next(&r, &f), 1);
        assert_true(proto_is(&f, 1, PROTO_BYTES));
        assert_int_equal(proto_next(&r, &inner), 0);
        ProtoReader fields = PROTO_READER(f.bytes, f.len);
        assert_int_equal(proto_next(&fields, &inner), 1);
        assert_true(proto_is(&inner, 2, PROTO_BYTES) && inner.len == 11);
        assert_int_equal(proto_next(&fields, &inner), 1);
        assert_true(proto_is(&inner, 4, PROTO_BYTES));
        assert_memory_equal(inner.bytes, "\x18\x01\x78\x06", 4);
}

static void long_series_are_cut_into_chunks(void **state) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        int64_t times[250];
        double values[250];
        ProtoField f;
        unsigned chunks = 0;
        (void)state;
        for (int i = 0; i < 250; i++) {
                times[i] = i * 1000;
                values[i] = i;
        }
        read_put_chunks(&b, times, values, 250);
        ProtoReader r = PROTO_READER((const uint8_t *)b.data, b.len);
        while (proto_next(&r, &f) > 0)
                chunks += proto_is(&f, 2, PROTO_BYTES);
        assert_int_equal(chunks, 3);
}

static void frames_carry_their_checksum(void **state) {
        CLEANUP(buf_deinit) Buf series = BUF_NULL, b = BUF_NULL;
        (void)state;
        buf_put(&series, "\x0a\x00", 2);
        read_put_frame(&b, &series, 3);
        static const uint8_t MESSAGE[] = { 0x0a, 0x00, 0x10, 0x03 };
        assert_int_equal(b.len, 1 + 4 + sizeof MESSAGE);
        assert_int_equal(b.data[0], sizeof MESSAGE);
        uint32_t sum = crc32c(0, MESSAGE, sizeof MESSAGE);
        for (int i = 0; i < 4; i++)
                assert_int_equal((uint8_t)b.data[1 + i], (uint8_t)(sum >> (24 - 8 * i)));
        assert_memory_equal(b.data + 5, MESSAGE, sizeof MESSAGE);
}

static void compressed_bytes_read_back(void **state) {
        CLEANUP(buf_deinit) Buf in = BUF_NULL, packed = BUF_NULL, out = BUF_NULL;
        const char *why;
        (void)state;
        assert_int_equal(read_compress(&in, &packed), 0); /* nothing is a block as well */
        buf_deinit(&packed);
        for (int i = 0; i < 1000; i++)
                buf_put_u64(&in, (uint64_t)i);
        assert_int_equal(read_compress(&in, &packed), 0);
        assert_int_equal(snappy_block_decode((const uint8_t *)packed.data, packed.len, 1 << 20, &out, &why), 0);
        assert_int_equal(out.len, in.len);
        assert_memory_equal(out.data, in.data, in.len);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_are_read),
                cmocka_unit_test(what_is_accepted_decides_the_answer),
                cmocka_unit_test(wrong_requests_are_refused),
                cmocka_unit_test(chunks_read_back),
                cmocka_unit_test(changes_at_the_edges_of_their_widths),
                cmocka_unit_test(a_chunk_byte_by_byte),
                cmocka_unit_test(messages_nest),
                cmocka_unit_test(long_series_are_cut_into_chunks),
                cmocka_unit_test(frames_carry_their_checksum),
                cmocka_unit_test(compressed_bytes_read_back),
        };
        return cmocka_run_group_tests_name("wire_remote_read", tests, NULL, NULL);
}
