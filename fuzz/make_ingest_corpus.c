/* Writes the seeds of fuzz/corpus/remote_write and fuzz/corpus/histogram into the directory given: requests of both versions as
 * senders make them, with every field there is. */
#include "base/test_proto.h"

#include <fcntl.h>
#include <stdio.h>

static void write_seed(const char *dir, const char *name, const Buf *b) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", dir, name);
        CLEANUP_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd < 0 || write(fd, b->data, b->len) != (ssize_t)b->len)
                abort();
}

static void put_spans(Buf *h, unsigned field) {
        CLEANUP(buf_deinit) Buf span = BUF_NULL;
        p_varint(&span, 1, zigzag(-3));
        p_varint(&span, 2, 2);
        p_message(h, field, &span);
        p_varint(&span, 1, zigzag(4));
        p_varint(&span, 2, 1);
        p_message(h, field, &span);
}

static void put_int_histogram(Buf *h) {
        p_varint(h, 1, 13);
        p_double(h, 3, 18.4);
        p_varint(h, 4, zigzag(3));
        p_double(h, 5, 1e-128);
        p_varint(h, 6, 1);
        put_spans(h, 8);
        p_bytes(h, 9, "\x04\x00\x01", 3);
        put_spans(h, 11);
        p_bytes(h, 12, "\x04\x02\x01", 3);
        p_varint(h, 14, 2);
        p_varint(h, 15, UINT64_C(1700000000000));
}

static void put_float_histogram(Buf *h) {
        double counts[] = { 1.5, 0, 2.5 }, bounds[] = { -1, 0.5 };
        CLEANUP(buf_deinit) Buf span = BUF_NULL;
        p_double(h, 2, 4);
        p_double(h, 3, 2.25);
        p_varint(h, 4, zigzag(-53));
        p_varint(&span, 2, 3);
        p_message(h, 11, &span);
        p_bytes(h, 13, counts, sizeof counts);
        p_varint(h, 15, UINT64_C(1700000000000));
        p_bytes(h, 16, bounds, sizeof bounds);
        p_varint(h, 17, UINT64_C(1600000000000));
}

static void put_v1(Buf *m) {
        CLEANUP(buf_deinit) Buf s = BUF_NULL, x = BUF_NULL;
        rw1_one(m, "up", 1, 1700000000000);
        rw1_one(m, "zero", 0, 1700000000000);
        rw_label(&s, "__name__", "h");
        rw_label(&s, "le", "");
        put_int_histogram(&x);
        p_message(&s, 4, &x);
        put_float_histogram(&x);
        p_message(&s, 4, &x);
        rw_label(&x, "trace_id", "abc");
        p_double(&x, 2, 1);
        p_message(&s, 3, &x);
        rw_label(&s, "z", "split");
        rw_sample(&s, -1, -1);
        p_message(m, 1, &s);
        p_varint(&x, 1, 1);
        p_text(&x, 2, "up");
        p_text(&x, 4, "Whether it is up.");
        p_text(&x, 5, "bool");
        p_message(m, 3, &x);
}

static void put_v2(Buf *m) {
        static const char *const SYMBOLS[] = { "", "__name__", "up", "job", "a", "Whether it is up.", "bool" };
        CLEANUP(buf_deinit) Buf s = BUF_NULL, x = BUF_NULL;
        for (size_t i = 0; i < ARRAY_LEN(SYMBOLS); i++)
                p_text(m, 4, SYMBOLS[i]);
        rw2_refs(&s, (uint32_t[]){ 1, 2, 3, 4 }, 4);
        rw_sample(&s, 1, 1700000000000);
        p_varint(&x, 1, 2);
        p_varint(&x, 3, 5);
        p_varint(&x, 4, 6);
        p_message(&s, 5, &x);
        p_message(m, 5, &s);
        p_varint(&s, 1, 1);
        p_varint(&s, 1, 4);
        put_float_histogram(&x);
        p_message(&s, 3, &x);
        p_text(&s, 4, "");
        p_message(m, 5, &s);
}

int main(int argc, char **argv) {
        CLEANUP(buf_deinit) Buf b = BUF_NULL;
        if (argc != 2)
                return 2;
        put_int_histogram(&b);
        write_seed(argv[1], "histogram_int", &b);
        buf_reset(&b);
        put_float_histogram(&b);
        write_seed(argv[1], "histogram_custom", &b);
        buf_reset(&b);
        buf_put_char(&b, 0);
        put_v1(&b);
        write_seed(argv[1], "message_v1", &b);
        buf_reset(&b);
        buf_put_char(&b, 1);
        put_v2(&b);
        write_seed(argv[1], "message_v2", &b);
        buf_reset(&b);
        buf_put(&b, "\x02\xff\xff\xff\xff\x0f", 6);
        write_seed(argv[1], "packed_4gib", &b);
        buf_reset(&b);
        buf_put(&b, "\x02\x05\x10\x0a\x03\x0a\x01" "a", 8);
        write_seed(argv[1], "packed_small", &b);
        return 0;
}
