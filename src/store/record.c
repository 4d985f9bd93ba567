#include "store/record.h"

#include "base/varint.h"
#include "store/store_priv.h"

#include <string.h>

static void put_number(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

void record_begin(Buf *payload, uint64_t naming) {
        put_number(payload, naming);
}

void record_put_series(Buf *payload, uint32_t ref, const uint8_t *run, size_t len) {
        put_number(payload, ref);
        put_number(payload, len);
        buf_put(payload, run, len);
}

void record_put_floats(Buf *payload, uint32_t *last_ref, int64_t *last_ms, uint32_t ref, const int64_t *times,
                       const double *values, size_t n) {
        uint8_t *begin = (uint8_t *)buf_reserve(payload, 2 * VARINT_MAX + n * (VARINT_MAX + sizeof(double))),
                *at = begin;
        if (!begin)
                return;
        at += varint_put(at, zigzag((int64_t)ref - (int64_t)*last_ref));
        at += varint_put(at, n);
        int64_t before = *last_ms;
        for (size_t i = 0; i < n; i++) {
                at += varint_put(at, zigzag(times[i] - before));
                memcpy(at, &values[i], sizeof(double));
                at += sizeof(double);
                before = times[i];
        }
        *last_ref = ref;
        *last_ms = before;
        payload->len += (size_t)(at - begin);
}

void record_put_histogram(Buf *payload, uint32_t ref, int64_t time_ms, const uint8_t *bytes, size_t n) {
        put_number(payload, ref);
        put_number(payload, zigzag(time_ms));
        put_number(payload, n);
        buf_put(payload, bytes, n);
}

typedef struct Cursor {
        const uint8_t *at, *end;
} Cursor;

static bool get_ref(Cursor *c, uint32_t *ret_ref) {
        uint64_t v;
        if (!varint_get(&c->at, c->end, &v) || v >= SERIES_NONE)
                return false;
        *ret_ref = (uint32_t)v;
        return true;
}

static bool get_bytes(Cursor *c, const uint8_t **ret_bytes, size_t *ret_n) {
        uint64_t n;
        if (!varint_get(&c->at, c->end, &n) || n > (uint64_t)(c->end - c->at))
                return false;
        *ret_bytes = c->at;
        *ret_n = n;
        c->at += n;
        return true;
}

static bool time_ok(int64_t ms) {
        return ms > -TIME_MAX_MS && ms < TIME_MAX_MS;
}

static int visit_series(Cursor c, const RecordVisitor *v, void *context) {
        int r = 0;
        while (r == 0 && c.at < c.end) {
                const uint8_t *run;
                uint32_t ref;
                size_t len;
                if (!get_ref(&c, &ref) || !get_bytes(&c, &run, &len))
                        return -EBADMSG;
                r = v->series(context, ref, run, len);
        }
        return r;
}

/* One series of a RECORD_FLOATS. */
static int visit_samples(Cursor *c, uint32_t ref, int64_t *last_ms, const RecordVisitor *v, void *context) {
        uint64_t n, step;
        int r = 0;
        if (!varint_get(&c->at, c->end, &n))
                return -EBADMSG;
        for (; r == 0 && n > 0; n--) {
                double value;
                int64_t time;
                if (!varint_get(&c->at, c->end, &step) || c->end - c->at < (ptrdiff_t)sizeof value ||
                    __builtin_add_overflow(*last_ms, unzigzag(step), &time) || !time_ok(time))
                        return -EBADMSG;
                memcpy(&value, c->at, sizeof value);
                c->at += sizeof value;
                *last_ms = time;
                r = v->floats(context, ref, time, value);
        }
        return r;
}

static int visit_floats(Cursor c, const RecordVisitor *v, void *context) {
        int64_t ref = 0, last_ms = 0;
        int r = 0;
        while (r == 0 && c.at < c.end) {
                uint64_t step;
                if (!varint_get(&c.at, c.end, &step) || __builtin_add_overflow(ref, unzigzag(step), &ref) || ref < 0 ||
                    ref >= SERIES_NONE)
                        return -EBADMSG;
                r = visit_samples(&c, (uint32_t)ref, &last_ms, v, context);
        }
        return r;
}

static int visit_histograms(Cursor c, const RecordVisitor *v, void *context) {
        int r = 0;
        while (r == 0 && c.at < c.end) {
                const uint8_t *bytes;
                uint64_t time;
                uint32_t ref;
                size_t n;
                if (!get_ref(&c, &ref) || !varint_get(&c.at, c.end, &time) || !time_ok(unzigzag(time)) ||
                    !get_bytes(&c, &bytes, &n))
                        return -EBADMSG;
                r = v->histogram(context, ref, unzigzag(time), bytes, n);
        }
        return r;
}

int record_visit(uint8_t type, const uint8_t *payload, size_t n, const RecordVisitor *visitor, void *context) {
        Cursor c = { payload, payload + n };
        uint64_t naming;
        if (type == RECORD_SERIES || type == RECORD_FLOATS || type == RECORD_HISTOGRAMS) {
                if (!varint_get(&c.at, c.end, &naming))
                        return -EBADMSG;
                visitor->naming(context, naming);
        }
        switch (type) {
        case RECORD_SERIES:
                return visit_series(c, visitor, context);
        case RECORD_FLOATS:
                return visit_floats(c, visitor, context);
        case RECORD_HISTOGRAMS:
                return visit_histograms(c, visitor, context);
        case RECORD_METADATA:
                return visitor->metadata(context, payload, n);
        default:
                return -EBADMSG;
        }
}
