/* Columns of one series know much about each other: a counter's increase is almost always the difference of its last
 * values, a gauge's minimum is close to its last value. Each column is written both by itself and beside what can be
 * derived from the columns before it in ROLLUP_ORDER, and the shorter of the two is kept; both give back every bit. */
#include "store/part/rollup.h"

#include "base/varint.h"

#include <assert.h>
#include <string.h>

static const RollupColumn ROLLUP_ORDER[ROLLUP_COLUMN_COUNT] = { ROLLUP_COUNT, ROLLUP_LAST, ROLLUP_INCREASE,
                                                                ROLLUP_MIN,   ROLLUP_MAX,  ROLLUP_SUM };

#define BIT(column) (1u << (column))

/* The columns that the base of `column` is derived from, of those in `columns`; 0: none. */
static unsigned base_of(RollupColumn column, unsigned columns) {
        unsigned all = BIT(ROLLUP_COUNT) | BIT(ROLLUP_MIN) | BIT(ROLLUP_MAX),
                 last = BIT(ROLLUP_COUNT) | BIT(ROLLUP_LAST);
        switch (column) {
        case ROLLUP_INCREASE:
        case ROLLUP_MIN: return columns & BIT(ROLLUP_LAST);
        case ROLLUP_MAX: return columns & (columns & BIT(ROLLUP_MIN) ? BIT(ROLLUP_MIN) : BIT(ROLLUP_LAST));
        case ROLLUP_SUM: return (columns & all) == all ? all : (columns & last) == last ? last : 0;
        case ROLLUP_COUNT:
        case ROLLUP_LAST:
        case ROLLUP_COLUMN_COUNT: break;
        }
        return 0;
}

/* The bits of a NaN that comes out of arithmetic depend on the machine: none may get into a base. */
static double same_everywhere(double v) {
        return v == v ? v : 0;
}

static void derive_base(RollupColumn column, unsigned from, const double *const columns[ROLLUP_COLUMN_COUNT],
                        uint32_t n, double *ret_base) {
        const double *last = columns[ROLLUP_LAST], *count = columns[ROLLUP_COUNT];
        const double *min = columns[ROLLUP_MIN], *max = columns[ROLLUP_MAX];
        for (uint32_t i = 0; i < n; i++) {
                double v;
                if (column == ROLLUP_INCREASE)
                        v = i ? last[i] - last[i - 1] : 0;
                else if (column == ROLLUP_SUM)
                        v = (from & BIT(ROLLUP_LAST) ? last[i] : (min[i] + max[i]) * 0.5) * count[i];
                else
                        v = from & BIT(ROLLUP_MIN) ? min[i] : last[i];
                ret_base[i] = same_everywhere(v);
        }
}

static unsigned columns_of(const double *const columns[ROLLUP_COLUMN_COUNT]) {
        unsigned bits = 0;
        for (unsigned c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                if (columns[c])
                        bits |= BIT(c);
        return bits;
}

static void put_varint(Buf *out, uint64_t v) {
        uint8_t bytes[VARINT_MAX];
        buf_put(out, bytes, varint_put(bytes, v));
}

/* Appends one column to `body`, its head to `heads`. `base` has room for n. */
static void encode_column(const double *const columns[ROLLUP_COLUMN_COUNT], RollupColumn c, uint32_t n,
                          CodecEffort effort, double *base, Buf *heads, Buf *body) {
        CLEANUP(buf_deinit) Buf beside = BUF_NULL;
        size_t before = body->len;
        values_encode(columns[c], n, effort, body);
        unsigned from = base_of(c, columns_of(columns));
        if (from) {
                derive_base(c, from, columns, n, base);
                values_encode_beside(columns[c], base, n, effort, &beside);
        }
        bool use = from && !buf_error(&beside) && beside.len < body->len - before;
        if (use) {
                body->len = before;
                buf_put(body, beside.data, beside.len);
        }
        put_varint(heads, (uint64_t)(body->len - before) << 1 | use);
}

void rollup_encode(const double *const columns[ROLLUP_COLUMN_COUNT], uint32_t n, CodecEffort effort, Buf *out) {
        CLEANUP(buf_deinit) Buf heads = BUF_NULL, body = BUF_NULL;
        CLEANUP_FREE double *base = calloc(n, sizeof *base);
        assert(columns_of(columns));
        for (unsigned i = 0; base && i < ROLLUP_COLUMN_COUNT; i++)
                if (columns[ROLLUP_ORDER[i]])
                        encode_column(columns, ROLLUP_ORDER[i], n, effort, base, &heads, &body);
        if (!base || buf_error(&heads) || buf_error(&body))
                out->error = !base ? -ENOMEM : buf_error(&heads) ? buf_error(&heads) : buf_error(&body);
        buf_put(out, heads.data, heads.len);
        buf_put(out, body.data, body.len);
}

/* ---- reading ---- */

typedef struct Piece {
        const uint8_t *bytes;
        size_t len;
        bool beside;
} Piece;

static int take_pieces(const uint8_t *at, const uint8_t *end, unsigned columns, Piece ret_pieces[ROLLUP_COLUMN_COUNT]) {
        size_t whole = 0;
        for (unsigned i = 0; i < ROLLUP_COLUMN_COUNT; i++) {
                uint64_t head;
                RollupColumn c = ROLLUP_ORDER[i];
                if (!(columns & BIT(c)))
                        continue;
                if (!varint_get(&at, end, &head) || head >> 1 > (size_t)(end - at))
                        return -EBADMSG;
                ret_pieces[c] = (Piece){ .len = head >> 1, .beside = head & 1 };
                if (ret_pieces[c].beside && !base_of(c, columns))
                        return -EBADMSG;
                whole += ret_pieces[c].len;
        }
        if (whole != (size_t)(end - at))
                return -EBADMSG;
        for (unsigned i = 0; i < ROLLUP_COLUMN_COUNT; i++) {
                RollupColumn c = ROLLUP_ORDER[i];
                if (!(columns & BIT(c)))
                        continue;
                ret_pieces[c].bytes = at;
                at += ret_pieces[c].len;
        }
        return 0;
}

/* The columns that have to be decoded for one of them. */
static unsigned needed(const Piece pieces[ROLLUP_COLUMN_COUNT], unsigned columns, RollupColumn column) {
        unsigned bits = BIT(column);
        for (unsigned i = ROLLUP_COLUMN_COUNT; i-- > 0;)
                if (bits & BIT(ROLLUP_ORDER[i]) && pieces[ROLLUP_ORDER[i]].beside)
                        bits |= base_of(ROLLUP_ORDER[i], columns);
        return bits;
}

int rollup_decode(const uint8_t *bytes, size_t len, uint8_t columns, uint32_t n, RollupColumn column,
                  double *ret_values) {
        Piece pieces[ROLLUP_COLUMN_COUNT] = { 0 };
        assert(columns & BIT(column));
        int r = take_pieces(bytes, bytes + len, columns, pieces);
        if (r < 0)
                return r;
        if (!pieces[column].beside)
                return values_decode(pieces[column].bytes, pieces[column].len, n, ret_values);
        unsigned bits = needed(pieces, columns, column);
        /* One row a column, and the base. */
        CLEANUP_FREE double *rows = calloc((size_t)n * (ROLLUP_COLUMN_COUNT + 1), sizeof *rows);
        if (!rows)
                return -ENOMEM;
        const double *decoded[ROLLUP_COLUMN_COUNT] = { 0 };
        double *base = rows + (size_t)n * ROLLUP_COLUMN_COUNT;
        for (unsigned i = 0; i < ROLLUP_COLUMN_COUNT && r == 0; i++) {
                RollupColumn c = ROLLUP_ORDER[i];
                if (!(bits & BIT(c)))
                        continue;
                double *row = rows + (size_t)n * c;
                if (pieces[c].beside) {
                        derive_base(c, base_of(c, columns), decoded, n, base);
                        r = values_decode_beside(pieces[c].bytes, pieces[c].len, base, n, row);
                } else {
                        r = values_decode(pieces[c].bytes, pieces[c].len, n, row);
                }
                decoded[c] = row;
        }
        if (r == 0)
                memcpy(ret_values, rows + (size_t)n * column, n * sizeof *ret_values);
        return r;
}
