#include "wire/remote_read.h"

#include "base/crc32c.h"
#include "base/escape.h"
#include "base/protobuf.h"
#include "wire/xor_chunk.h"

#include <assert.h>
#include <snappy-c.h>

/* ---- What is asked ---- */

enum { REQUEST_QUERIES = 1, REQUEST_TYPES = 2 };
enum { TYPE_SAMPLES = 0, TYPE_CHUNKS = 1 };
enum { QUERY_START = 1, QUERY_END = 2, QUERY_MATCHERS = 3 };
enum { MATCHER_TYPE = 1, MATCHER_NAME = 2, MATCHER_VALUE = 3 };

void read_request_deinit(ReadRequest *r) {
        for (size_t i = 0; i < r->n; i++)
                for (size_t k = 0; k < r->queries[i].n; k++)
                        matcher_deinit(&r->queries[i].matchers[k]);
        free(r->queries);
        *r = (ReadRequest){ 0 };
}

static int malformed(Buf *why, const char *what) {
        buf_put_str(why, what);
        return -EBADMSG;
}

static int parse_matcher(const ProtoField *field, Matcher *ret_m, Buf *why) {
        static const MatchType TYPES[] = { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX };
        ProtoReader reader = PROTO_READER(field->bytes, field->len);
        ProtoField f;
        uint64_t type = 0;
        Span name = { "", 0 }, value = { "", 0 };
        int r;
        while ((r = proto_next(&reader, &f)) > 0) {
                if (proto_is(&f, MATCHER_TYPE, PROTO_VARINT))
                        type = f.value;
                else if (proto_is(&f, MATCHER_NAME, PROTO_BYTES))
                        name = (Span){ (const char *)f.bytes, f.len };
                else if (proto_is(&f, MATCHER_VALUE, PROTO_BYTES))
                        value = (Span){ (const char *)f.bytes, f.len };
        }
        if (r < 0 || type >= ARRAY_LEN(TYPES) || !utf8_valid(name.text, name.len) || !utf8_valid(value.text, value.len))
                return malformed(why, "a matcher is malformed");
        r = matcher_init(ret_m, TYPES[type], name, value, why);
        return r == -EINVAL ? -EBADMSG : r == -EFBIG ? -E2BIG : r;
}

static int parse_query(const ProtoField *field, ReadQuery *q, Buf *why) {
        ProtoReader reader = PROTO_READER(field->bytes, field->len);
        ProtoField f;
        int r;
        while ((r = proto_next(&reader, &f)) > 0) {
                if (proto_is(&f, QUERY_START, PROTO_VARINT))
                        q->start_ms = (int64_t)f.value;
                else if (proto_is(&f, QUERY_END, PROTO_VARINT))
                        q->end_ms = (int64_t)f.value;
                if (!proto_is(&f, QUERY_MATCHERS, PROTO_BYTES))
                        continue;
                if (q->n == READ_MATCHERS_MAX) {
                        buf_put_str(why, "over 64 matchers");
                        return -E2BIG;
                }
                r = parse_matcher(&f, &q->matchers[q->n], why);
                if (r < 0)
                        return r;
                q->n++;
        }
        return r < 0 ? malformed(why, "a query is malformed") : 0;
}

static void add_type(ReadRequest *q, uint64_t type) {
        q->samples |= type == TYPE_SAMPLES;
        q->chunks |= type == TYPE_CHUNKS;
}

static int parse_types(const ProtoField *f, ReadRequest *q, Buf *why) {
        if (f->type == PROTO_VARINT) {
                add_type(q, f->value);
                return 0;
        }
        const uint8_t *at = f->bytes, *end = f->bytes + (f->type == PROTO_BYTES ? f->len : 0);
        if (f->type != PROTO_BYTES)
                return malformed(why, "the accepted types are malformed");
        while (at < end) {
                uint64_t type;
                if (!varint_get(&at, end, &type))
                        return malformed(why, "the accepted types are malformed");
                add_type(q, type);
        }
        return 0;
}

static int parse_field(const ProtoField *f, ReadRequest *q, Buf *why) {
        if (f->number == REQUEST_TYPES)
                return parse_types(f, q, why);
        if (!proto_is(f, REQUEST_QUERIES, PROTO_BYTES))
                return 0;
        if (q->n == READ_QUERIES_MAX) {
                buf_put_str(why, "over 64 queries");
                return -E2BIG;
        }
        ReadQuery *more = reallocarray(q->queries, q->n + 1, sizeof *more);
        if (!more)
                return -ENOMEM;
        q->queries = more;
        q->queries[q->n] = (ReadQuery){ 0 };
        return parse_query(f, &q->queries[q->n++], why);
}

int read_request_parse(const uint8_t *bytes, size_t n, ReadRequest *ret_r, Buf *why) {
        CLEANUP(read_request_deinit) ReadRequest q = { 0 };
        ProtoReader reader = PROTO_READER(bytes, n);
        ProtoField f;
        int r;
        while ((r = proto_next(&reader, &f)) > 0) {
                r = parse_field(&f, &q, why);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return malformed(why, "not a ReadRequest");
        q.samples |= !q.chunks;
        *ret_r = q;
        q = (ReadRequest){ 0 };
        return 0;
}

/* ---- Answers ---- */

enum { SERIES_SAMPLES = 2, SERIES_HISTOGRAMS = 4, SERIES_CHUNKS = 2 };
enum { SAMPLE_VALUE = 1, SAMPLE_TIME = 2, HISTOGRAM_TIME = 15 };
enum { CHUNK_MIN = 1, CHUNK_MAX = 2, CHUNK_TYPE = 3, CHUNK_DATA = 4, CHUNK_XOR = 1 };
enum { FRAME_QUERY = 2 };

/* Room for the length of a message, written when it is known: a varint that is longer than it need be is read all the
 * same. */
#define LENGTH_BYTES 4u

static void put_varint(Buf *out, uint64_t v) {
        uint8_t *at = (uint8_t *)buf_reserve(out, VARINT_MAX);
        if (at)
                out->len += varint_put(at, v);
}

static void put_tag(Buf *out, unsigned field, ProtoType type) {
        put_varint(out, (uint64_t)field << 3 | (unsigned)type);
}

static void put_number(Buf *out, unsigned field, uint64_t v) {
        put_tag(out, field, PROTO_VARINT);
        put_varint(out, v);
}

size_t read_message_begin(Buf *out, unsigned field) {
        put_tag(out, field, PROTO_BYTES);
        buf_put(out, "\0\0\0\0", LENGTH_BYTES);
        return out->len;
}

void read_message_end(Buf *out, size_t begin) {
        size_t n = out->len - begin;
        if (out->error)
                return;
        assert(n < (size_t)1 << 28);
        uint8_t *at = (uint8_t *)out->data + begin - LENGTH_BYTES;
        for (unsigned i = 0; i < LENGTH_BYTES; i++, n >>= 7)
                at[i] = (uint8_t)((n & 0x7f) | (i + 1 < LENGTH_BYTES ? 0x80 : 0));
}

void read_put_labels(Buf *out, const uint8_t *run, size_t len) {
        buf_put(out, run, len);
}

void read_put_sample(Buf *out, int64_t time_ms, double value) {
        uint8_t message[2 + 8 + VARINT_MAX];
        message[0] = SAMPLE_VALUE << 3 | PROTO_FIXED64;
        memcpy(message + 1, &value, sizeof value);
        message[9] = SAMPLE_TIME << 3 | PROTO_VARINT;
        size_t n = 10 + varint_put(message + 10, (uint64_t)time_ms);
        put_tag(out, SERIES_SAMPLES, PROTO_BYTES);
        put_varint(out, n);
        buf_put(out, message, n);
}

void read_put_histogram(Buf *out, int64_t time_ms, const uint8_t *bytes, size_t n) {
        size_t begin = read_message_begin(out, SERIES_HISTOGRAMS);
        buf_put(out, bytes, n);
        put_number(out, HISTOGRAM_TIME, (uint64_t)time_ms);
        read_message_end(out, begin);
}

static void put_chunk(Buf *out, const int64_t *times, const double *values, size_t n) {
        size_t begin = read_message_begin(out, SERIES_CHUNKS);
        put_number(out, CHUNK_MIN, (uint64_t)times[0]);
        put_number(out, CHUNK_MAX, (uint64_t)times[n - 1]);
        put_number(out, CHUNK_TYPE, CHUNK_XOR);
        size_t data = read_message_begin(out, CHUNK_DATA);
        xor_chunk_write(times, values, n, out);
        read_message_end(out, data);
        read_message_end(out, begin);
}

void read_put_chunks(Buf *out, const int64_t *times, const double *values, size_t n) {
        while (n > 0) {
                size_t k = n < XOR_CHUNK_SAMPLES ? n : XOR_CHUNK_SAMPLES;
                put_chunk(out, times, values, k);
                times += k;
                values += k;
                n -= k;
        }
}

void read_put_frame(Buf *out, const Buf *series, size_t query) {
        uint8_t tail[1 + VARINT_MAX] = { FRAME_QUERY << 3 | PROTO_VARINT };
        size_t n_tail = query ? 1 + varint_put(tail + 1, query) : 0;
        uint32_t sum = crc32c(crc32c(0, series->data, series->len), tail, n_tail);
        uint8_t sum_bytes[4] = { (uint8_t)(sum >> 24), (uint8_t)(sum >> 16), (uint8_t)(sum >> 8), (uint8_t)sum };
        put_varint(out, series->len + n_tail);
        buf_put(out, sum_bytes, sizeof sum_bytes);
        buf_put(out, series->data, series->len);
        buf_put(out, tail, n_tail);
}

int read_compress(const Buf *in, Buf *ret_out) {
        size_t n = snappy_max_compressed_length(in->len);
        CLEANUP_FREE char *bytes = malloc(n ? n : 1);
        if (!bytes || snappy_compress(in->data ? in->data : "", in->len, bytes, &n) != SNAPPY_OK)
                return -ENOMEM;
        *ret_out = (Buf){ .data = TAKE_PTR(bytes), .len = n, .cap = n };
        return 0;
}
