/* Columns of instants: layout, writer and reader.
 *
 * The idea. A collector that runs every ten seconds is a few milliseconds early or late, each time independently, and
 * now and then misses a beat. So the instants are taken apart into the number of the beat, which mostly grows by one
 * and costs nothing, and the distance from it, which is as small as the jitter. A collector that waits a fixed time
 * after its work drifts instead: its instants are plain whole numbers with steady differences (ints.c).
 *
 * Layout of a time column; "number" is varint of zigzag.
 *
 *   1 byte      kind
 *   number      first instant, in milliseconds since 1970
 *   then by kind:
 *     0 STEADY  varint step: instant i is first + i * step
 *     1 PLAIN   varint unit > 0, ints x: instant i is first + unit * x[i]
 *     2 BEATS   varint step > 0, varint bytes of b, ints b, ints j: instant i is first + step * (i + b[i]) + j[i]
 *
 * All arithmetic is modulo 2^64. Reader: as it says, then every instant must be greater than the one before it.
 * The column must end with the bytes. */
#include "store/codec/codec.h"

#include "base/varint.h"
#include "store/codec/ints.h"

#include <assert.h>
#include <string.h>

enum { TIMES_STEADY, TIMES_PLAIN, TIMES_BEATS };

typedef struct Source {
        const int64_t *times;
        uint64_t step;
} Source;

static uint64_t since_first(const Source *s, uint32_t i) {
        return (uint64_t)s->times[i] - (uint64_t)s->times[0];
}

/* The beat that is nearest to instant i. */
static uint64_t beat_of(const Source *s, uint32_t i) {
        uint64_t since = since_first(s, i);
        return since / s->step + (since % s->step >= s->step - s->step / 2);
}

static void fill_plain(void *context, uint32_t first, uint32_t count, int64_t *out) {
        const Source *s = context;
        for (uint32_t i = 0; i < count; i++)
                out[i] = (int64_t)(since_first(s, first + i) / s->step);
}

static void fill_beats(void *context, uint32_t first, uint32_t count, int64_t *out) {
        for (uint32_t i = 0; i < count; i++)
                out[i] = (int64_t)(beat_of(context, first + i) - (first + i));
}

static void fill_jitter(void *context, uint32_t first, uint32_t count, int64_t *out) {
        const Source *s = context;
        for (uint32_t i = 0; i < count; i++)
                out[i] = (int64_t)(since_first(s, first + i) - s->step * beat_of(s, first + i));
}

static void put_varint(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

static void put_head(Buf *out, unsigned kind, int64_t first) {
        buf_put_char(out, (char)kind);
        put_varint(out, zigzag(first));
}

static bool is_steady(const int64_t *times, uint32_t n) {
        uint64_t step = n > 1 ? (uint64_t)times[1] - (uint64_t)times[0] : 1;
        for (uint32_t i = 2; i < n; i++)
                if ((uint64_t)times[i] - (uint64_t)times[i - 1] != step)
                        return false;
        return true;
}

/* The largest number of which all instants since the first are multiples: 1,000 of a clock that shows seconds. */
static uint64_t common_unit(const int64_t *times, uint32_t n) {
        Source s = { times, 1 };
        uint64_t unit = 0;
        for (uint32_t i = 1; i < n && unit != 1; i++) {
                uint64_t a = since_first(&s, i), b = unit;
                while (b) {
                        uint64_t rest = a % b;
                        a = b;
                        b = rest;
                }
                unit = a;
        }
        return unit;
}

/* The step that is in the middle of some of the column's, at least 1. */
static uint64_t middle_step(const int64_t *times, uint32_t n) {
        uint64_t few[63];
        uint32_t m = n - 1 < ARRAY_LEN(few) ? n - 1 : (uint32_t)ARRAY_LEN(few);
        for (uint32_t i = 0; i < m; i++) {
                uint32_t at = (uint32_t)((uint64_t)i * (n - 1) / m), k = i;
                uint64_t step = (uint64_t)times[at + 1] - (uint64_t)times[at];
                for (; k > 0 && few[k - 1] > step; k--)
                        few[k] = few[k - 1];
                few[k] = step;
        }
        return few[m / 2];
}

/* The mean step, when the column has about as many beats as the middle step makes of it. */
static uint64_t mean_step(const int64_t *times, uint32_t n, uint64_t middle) {
        Source s = { times, middle };
        uint64_t beats = beat_of(&s, n - 1);
        uint64_t mean = beats ? since_first(&s, n - 1) / beats : middle;
        return mean ? mean : 1;
}

static uint64_t round_to(uint64_t v, uint64_t unit) {
        uint64_t rounded = (v + unit / 2) / unit * unit;
        return rounded >= unit ? rounded : v;
}

static void put_beats(const int64_t *times, uint32_t n, uint64_t step, Buf *out) {
        Source s = { times, step };
        put_head(out, TIMES_BEATS, times[0]);
        put_varint(out, step);
        ints_encode_sized(fill_beats, &s, n, CODEC_SMALL, out);
        ints_encode(fill_jitter, &s, n, CODEC_SMALL, out);
}

void times_encode(const int64_t *times, uint32_t n, Buf *out) {
        assert(n >= 1 && n <= CODEC_MAX);
        if (is_steady(times, n)) {
                put_head(out, TIMES_STEADY, times[0]);
                put_varint(out, n > 1 ? (uint64_t)times[1] - (uint64_t)times[0] : 1);
                return;
        }
        size_t from = out->len;
        Source s = { times, common_unit(times, n) };
        put_head(out, TIMES_PLAIN, times[0]);
        put_varint(out, s.step);
        ints_encode(fill_plain, &s, n, CODEC_SMALL, out);
        /* People choose round intervals; a mean without its last digits is the interval that was meant. */
        uint64_t middle = middle_step(times, n), mean = mean_step(times, n, middle), tried[3] = { 0 };
        const uint64_t units[] = { 1000, 100, 1 };
        for (unsigned i = 0; i < ARRAY_LEN(units); i++) {
                tried[i] = round_to(mean, units[i]);
                if ((i > 0 && tried[i] == tried[i - 1]) || tried[i] > INT64_MAX / 2)
                        continue;
                size_t second = out->len;
                put_beats(times, n, tried[i], out);
                ints_keep_shorter(out, from, second);
        }
}

/* ---- Reading ---- */

/* Adds the column's numbers, each times `step`, to the instants. */
static int add_ints(const uint8_t *bytes, size_t len, uint32_t n, uint64_t step, int64_t *times) {
        IntsReader r;
        int e = ints_open(&r, bytes, len, n);
        for (uint32_t first = 0; e == 0 && first < n;) {
                int64_t x[INTS_GROUP];
                uint32_t got = 0;
                e = ints_next(&r, x, &got);
                for (uint32_t i = 0; e == 0 && i < got; i++)
                        times[first + i] = (int64_t)((uint64_t)times[first + i] + step * (uint64_t)x[i]);
                first += got;
        }
        return e;
}

static int read_beats(const uint8_t *at, const uint8_t *end, uint32_t n, uint64_t step, int64_t *times) {
        uint64_t len;
        if (!varint_get(&at, end, &len) || len > (uint64_t)(end - at))
                return -EBADMSG;
        int e = add_ints(at, len, n, step, times);
        at += e == 0 ? len : 0;
        return e == 0 ? add_ints(at, (size_t)(end - at), n, 1, times) : e;
}

static bool ascends(const int64_t *times, uint32_t n) {
        bool yes = true;
        for (uint32_t i = 1; i < n; i++)
                yes &= times[i] > times[i - 1];
        return yes;
}

int times_decode(const uint8_t *bytes, size_t len, uint32_t n, int64_t *ret_times) {
        const uint8_t *at = bytes + 1, *end = bytes + len;
        uint64_t first, step = 0;
        if (len < 1 || n < 1 || n > CODEC_MAX || bytes[0] > TIMES_BEATS || !varint_get(&at, end, &first))
                return -EBADMSG;
        if (!varint_get(&at, end, &step))
                return -EBADMSG;
        uint64_t t = (uint64_t)unzigzag(first), line = bytes[0] == TIMES_PLAIN ? 0 : step;
        for (uint32_t i = 0; i < n; i++)
                ret_times[i] = (int64_t)(t + line * i);
        int e = 0;
        switch (bytes[0]) {
        case TIMES_STEADY: e = at == end ? 0 : -EBADMSG; break;
        case TIMES_PLAIN: e = add_ints(at, (size_t)(end - at), n, step, ret_times); break;
        default: e = read_beats(at, end, n, step, ret_times);
        }
        return e == 0 && ascends(ret_times, n) ? 0 : -EBADMSG;
}
