#include "rw/stream.h"

#include "base/varint.h"

#include <fcntl.h>
#include <snappy-c.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC "RWSTREAM"
#define MAGIC_LEN 8
#define RAW_MAX ((size_t)256 << 20)

/* Fields of WriteRequest, TimeSeries and Sample, as protobuf keys. */
#define KEY_TIMESERIES 0x0a
#define KEY_LABEL 0x0a
#define KEY_SAMPLE 0x12
#define KEY_VALUE 0x09
#define KEY_TIME 0x10

int request_writer_open(RequestWriter *w, const char *path) {
        *w = (RequestWriter){ .file = fopen(path, "we") };
        if (!w->file)
                return -errno;
        return fwrite(MAGIC, 1, MAGIC_LEN, w->file) == MAGIC_LEN ? 0 : -EIO;
}

int request_writer_close(RequestWriter *w) {
        int r = w->file && ferror(w->file) ? -EIO : 0;
        if (w->file && fclose(w->file) != 0)
                r = -errno;
        buf_deinit(&w->raw);
        buf_deinit(&w->series);
        buf_deinit(&w->packed);
        w->file = NULL;
        return r;
}

void request_series_begin(RequestWriter *w, const char *run, size_t len) {
        buf_reset(&w->series);
        buf_put(&w->series, run, len);
}

/* A value of zero is left out, as Prometheus does. */
void request_sample(RequestWriter *w, int64_t ms, double value) {
        uint8_t *out = (uint8_t *)buf_reserve(&w->series, 2 + 9 + 1 + VARINT_MAX);
        if (!out)
                return;
        uint8_t *p = out + 2;
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (bits != 0) {
                *p++ = KEY_VALUE;
                memcpy(p, &bits, sizeof bits); /* little end first, as this machine */
                p += sizeof bits;
        }
        *p++ = KEY_TIME;
        p += varint_put(p, (uint64_t)ms);
        out[0] = KEY_SAMPLE;
        out[1] = (uint8_t)(p - out - 2);
        w->series.len += (size_t)(p - out);
        w->samples++;
}

void request_series_end(RequestWriter *w) {
        uint8_t head[1 + VARINT_MAX] = { KEY_TIMESERIES };
        buf_put(&w->raw, head, 1 + varint_put(head + 1, w->series.len));
        buf_put(&w->raw, w->series.data, w->series.len);
}

int request_end(RequestWriter *w) {
        int r = buf_error(&w->raw) ? buf_error(&w->raw) : buf_error(&w->series);
        if (r < 0 || w->raw.len == 0)
                return r;
        size_t packed_len = snappy_max_compressed_length(w->raw.len);
        buf_reset(&w->packed);
        char *packed = buf_reserve(&w->packed, packed_len);
        if (!packed)
                return -ENOMEM;
        if (snappy_compress(w->raw.data, w->raw.len, packed, &packed_len) != SNAPPY_OK)
                return -EINVAL;
        uint32_t head[2] = { (uint32_t)packed_len, w->samples };
        if (fwrite(head, sizeof head, 1, w->file) != 1 || fwrite(packed, 1, packed_len, w->file) != packed_len)
                return -EIO;
        w->requests++;
        w->total_samples += w->samples;
        w->raw_bytes += w->raw.len;
        w->wire_bytes += packed_len;
        w->samples = 0;
        buf_reset(&w->raw);
        return 0;
}

int stream_open(StreamReader *r, const char *path) {
        CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size < MAGIC_LEN)
                return -EBADMSG;
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
                return -errno;
        *r = (StreamReader){ .map = map, .len = (size_t)st.st_size, .at = MAGIC_LEN };
        return memcmp(r->map, MAGIC, MAGIC_LEN) == 0 ? 0 : -EBADMSG;
}

void stream_close(StreamReader *r) {
        if (r->map)
                (void)munmap((void *)(uintptr_t)r->map, r->len);
        *r = STREAM_READER_NULL;
}

int stream_next(StreamReader *r, StreamRequest *ret_request) {
        uint32_t head[2];
        size_t left = r->len - r->at;
        if (left == 0)
                return 0;
        if (left < sizeof head)
                return -EBADMSG;
        memcpy(head, r->map + r->at, sizeof head);
        if (head[0] > left - sizeof head)
                return -EBADMSG;
        *ret_request = (StreamRequest){ r->map + r->at + sizeof head, head[0], head[1] };
        r->at += sizeof head + head[0];
        return 1;
}

/* ---- Taking requests apart: of our own making, but checked ---- */

static bool take_field(const uint8_t **at, const uint8_t *end, uint64_t *ret_key, const uint8_t **ret_bytes, uint64_t *ret_v) {
        if (!varint_get(at, end, ret_key))
                return false;
        switch (*ret_key & 7) {
        case 0:
                return varint_get(at, end, ret_v);
        case 1:
                if (end - *at < 8)
                        return false;
                memcpy(ret_v, *at, 8);
                *at += 8;
                return true;
        case 2:
                if (!varint_get(at, end, ret_v) || (uint64_t)(end - *at) < *ret_v)
                        return false;
                *ret_bytes = *at;
                *at += *ret_v;
                return true;
        default:
                return false;
        }
}

static bool walk_sample(const uint8_t *at, const uint8_t *end, Span run, RequestSample take, void *context) {
        double value = 0;
        int64_t ms = 0;
        while (at < end) {
                uint64_t key, v;
                const uint8_t *bytes;
                if (!take_field(&at, end, &key, &bytes, &v))
                        return false;
                if (key == KEY_VALUE)
                        memcpy(&value, &v, sizeof value);
                else if (key == KEY_TIME)
                        ms = (int64_t)v;
        }
        take(context, run, ms, value);
        return true;
}

/* Labels come first, one after the other: they are the run. */
static bool walk_series(const uint8_t *at, const uint8_t *end, RequestSample take, void *context) {
        Span run = { (const char *)at, 0 };
        while (at < end) {
                uint64_t key, v;
                const uint8_t *bytes = NULL;
                if (!take_field(&at, end, &key, &bytes, &v))
                        return false;
                if (key == KEY_LABEL)
                        run.len = (size_t)((const char *)at - run.text);
                else if (key == KEY_SAMPLE && !walk_sample(bytes, bytes + v, run, take, context))
                        return false;
        }
        return true;
}

int request_walk(const char *body, size_t len, RequestSample take, void *context) {
        size_t raw_len;
        if (snappy_uncompressed_length(body, len, &raw_len) != SNAPPY_OK || raw_len > RAW_MAX)
                return -EBADMSG;
        CLEANUP_FREE char *raw = malloc(raw_len + 1);
        if (!raw)
                return -ENOMEM;
        if (snappy_uncompress(body, len, raw, &raw_len) != SNAPPY_OK)
                return -EBADMSG;
        const uint8_t *at = (const uint8_t *)raw, *end = at + raw_len;
        while (at < end) {
                uint64_t key, v;
                const uint8_t *bytes = NULL;
                if (!take_field(&at, end, &key, &bytes, &v) || (key == KEY_TIMESERIES && !walk_series(bytes, bytes + v, take, context)))
                        return -EBADMSG;
        }
        return 0;
}
