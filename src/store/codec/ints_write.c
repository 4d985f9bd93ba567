/* The writer of the layout in ints.c: which order a group is differenced, where a block ends and how it is written.
 *
 * A Plan is a block's way of writing with its cost in bits. FAST plans look at smallest and largest only. SMALL plans
 * take the centre from a sorted handful of residuals (a mean would be ruined by one reset), try few k around the one
 * that their spread suggests, and count each candidate's bits. */
#include "store/codec/ints_priv.h"

#include "base/varint.h"

#include <assert.h>

enum {
        ESCAPE = 24,       /* unary parts from here on are exceptions */
        ESCAPE_COST = 20,  /* bits of an exception, about, beside the value's own low bits and one */
        HEAD_COST = 16,    /* bits of a block's head, about */
        STRETCH = 16,      /* residuals that are looked at in a row to choose the order, */
        STRETCHES = 8,     /* and how often in a group */
        SAMPLES = 11,      /* residuals that are sorted to find the centre */
        BLOCK_SMALL = 3,   /* size codes: 128 residuals, */
        BLOCK_LARGE = 5,   /* and 512 */
        NUMBER_MAX = 22 * 4, /* bits of a number at most */
};

typedef struct Plan {
        uint8_t kind, k, k2;
        int64_t base;
        uint32_t odd;  /* SPARSE: residuals that are not the base */
        uint64_t cost; /* bits */
} Plan;

/* Where the residuals of a block lie, from a few of them. */
typedef struct Spread {
        int64_t median;
        uint64_t inner; /* between the quartiles */
} Spread;

static void sort_few(int64_t *v, unsigned n) {
        for (unsigned i = 1; i < n; i++) {
                int64_t x = v[i];
                unsigned j = i;
                for (; j > 0 && v[j - 1] > x; j--)
                        v[j] = v[j - 1];
                v[j] = x;
        }
}

static Spread find_spread(const int64_t *r, uint32_t n) {
        int64_t few[SAMPLES];
        unsigned m = n < SAMPLES ? n : SAMPLES;
        for (unsigned i = 0; i < m; i++)
                few[i] = r[(uint64_t)i * n / m];
        sort_few(few, m);
        return (Spread){ few[m / 2], (uint64_t)few[m - 1 - m / 4] - (uint64_t)few[m / 4] };
}

/* The mean of the residuals; of those within a few spreads of the median, when others are far away. */
static int64_t find_centre(const int64_t *r, uint32_t n, Spread s, uint64_t above, uint64_t range) {
        uint64_t reach = s.inner < UINT64_MAX / 16 ? s.inner * 2 + 1 : UINT64_MAX, sum = 0, m = 0;
        if (reach > (uint64_t)1 << 50) /* sums could wrap */
                return s.median;
        if (range / 4 <= reach) {
                uint64_t min = (uint64_t)s.median - above;
                for (uint32_t i = 0; i < n; i++)
                        sum += (uint64_t)r[i] - min;
                return (int64_t)(min + (sum + n / 2) / n);
        }
        uint64_t low = (uint64_t)s.median - reach;
        for (uint32_t i = 0; i < n; i++) {
                uint64_t up = (uint64_t)r[i] - low;
                bool inside = up <= 2 * reach;
                sum += inside ? up : 0;
                m += inside;
        }
        return (int64_t)(low + (m ? (sum + m / 2) / m : reach));
}

/* Bits of Rice's code; `ones` are all the numbers, or-ed. */
static uint64_t rice_cost(const uint64_t *u, uint32_t n, uint64_t ones, unsigned k) {
        uint64_t cost = (uint64_t)n * (k + 1);
        if (ones >> k < ESCAPE) {
                for (uint32_t i = 0; i < n; i++)
                        cost += u[i] >> k;
                return cost;
        }
        for (uint32_t i = 0; i < n; i++) {
                uint64_t q = u[i] >> k;
                cost += q < ESCAPE ? q : ESCAPE_COST + bit_length(q >> 5);
        }
        return cost;
}

/* The best k near the one given; its cost in *ret_cost. */
static unsigned rice_tune(const uint64_t *u, uint32_t n, unsigned k, uint64_t *ret_cost) {
        uint64_t ones = 0;
        for (uint32_t i = 0; i < n; i++)
                ones |= u[i];
        uint64_t cost = rice_cost(u, n, ones, k);
        bool moved_down = false;
        for (; k > 0; k--, moved_down = true) {
                uint64_t less = rice_cost(u, n, ones, k - 1);
                if (less >= cost)
                        break;
                cost = less;
        }
        for (; !moved_down && k < 63; k++) {
                uint64_t less = rice_cost(u, n, ones, k + 1);
                if (less >= cost)
                        break;
                cost = less;
        }
        *ret_cost = cost;
        return k;
}

static unsigned rice_guess(uint64_t mean) {
        unsigned k = bit_length(mean - mean / 4);
        return k > 0 ? (k < 64 ? k - 1 : 63) : 0;
}

static unsigned number_cost(uint64_t v) {
        return v < 8 ? 4 : (bit_length(v) + 2) / 3 * 4;
}

static unsigned base_cost(int64_t base, int64_t previous, unsigned shift) {
        return number_cost(zigzag((int64_t)((uint64_t)(base >> shift) - (uint64_t)(previous >> shift))));
}

static void take_better(Plan *best, const Plan *other) {
        if (other->cost < best->cost)
                *best = *other;
}

static Plan plan_packed(const int64_t *r, uint32_t n, int64_t previous, uint64_t *ret_range) {
        int64_t min = r[0], max = r[0];
        for (uint32_t i = 1; i < n; i++) {
                min = r[i] < min ? r[i] : min;
                max = r[i] > max ? r[i] : max;
        }
        *ret_range = (uint64_t)max - (uint64_t)min;
        Plan p = { .kind = BLOCK_FLAT, .base = min, .cost = 6 + base_cost(min, previous, 0) };
        if (min != max) {
                p.kind = BLOCK_PACKED;
                p.k = (uint8_t)(bit_length(*ret_range) - 1);
                p.cost += 6 + (uint64_t)n * (p.k + 1u);
        }
        return p;
}

static Plan plan_above(const int64_t *r, uint32_t n, int64_t min, Spread s, int64_t previous) {
        uint64_t u[INTS_GROUP];
        for (uint32_t i = 0; i < n; i++)
                u[i] = (uint64_t)r[i] - (uint64_t)min;
        Plan p = { .kind = BLOCK_RICE_ABOVE, .base = min };
        p.k = (uint8_t)rice_tune(u, n, rice_guess((uint64_t)s.median - (uint64_t)min), &p.cost);
        p.cost += 16 + base_cost(min, previous, 0);
        return p;
}

static Plan plan_both(const int64_t *r, uint32_t n, Spread s, int64_t centre, int64_t previous) {
        uint64_t u[INTS_GROUP];
        unsigned k = rice_guess(s.inner);
        /* A coarse centre does as well: the base is written without the bits below. */
        unsigned shift = base_shift(BLOCK_RICE_BOTH, k);
        int64_t base = (int64_t)((uint64_t)(centre >> shift) << shift);
        for (uint32_t i = 0; i < n; i++)
                u[i] = zigzag((int64_t)((uint64_t)r[i] - (uint64_t)base));
        Plan p = { .kind = BLOCK_RICE_BOTH };
        p.k = (uint8_t)rice_tune(u, n, k, &p.cost);
        shift = base_shift(BLOCK_RICE_BOTH, p.k);
        p.base = (int64_t)((uint64_t)(base >> shift) << shift);
        p.cost += 16 + base_cost(p.base, previous, shift);
        return p;
}

/* Residuals unequal to the base, and the distances between them. */
static uint32_t split_sparse(const int64_t *r, uint32_t n, int64_t base, uint64_t *distance, uint64_t *u) {
        uint32_t m = 0, last = 0;
        for (uint32_t i = 0; i < n; i++) {
                u[m] = zigzag((int64_t)((uint64_t)r[i] - (uint64_t)base)) - 1;
                distance[m] = i - last;
                bool odd = r[i] != base;
                last = odd ? i + 1 : last;
                m += odd;
        }
        return m;
}

static Plan plan_sparse(const int64_t *r, uint32_t n, int64_t base, int64_t previous) {
        uint64_t distance[INTS_GROUP], u[INTS_GROUP], cost, cost2;
        Plan p = { .kind = BLOCK_SPARSE, .base = base };
        p.odd = split_sparse(r, n, base, distance, u);
        p.k2 = (uint8_t)rice_tune(distance, p.odd, rice_guess(n / (p.odd + 1)), &cost);
        p.k = (uint8_t)rice_tune(u, p.odd, p.odd ? rice_guess(u[p.odd / 2]) : 0, &cost2);
        p.cost = 12 + base_cost(base, previous, 0) + number_cost(p.odd) + 6 + 4 + 4 + cost + cost2;
        return p;
}

static uint32_t count_equal(const int64_t *r, uint32_t n, int64_t x) {
        uint32_t m = 0;
        for (uint32_t i = 0; i < n; i++)
                m += r[i] == x;
        return m;
}

static Plan plan_small(const int64_t *r, uint32_t n, Spread s, int64_t previous) {
        uint64_t range;
        Plan best = plan_packed(r, n, previous, &range);
        if (best.kind == BLOCK_FLAT)
                return best;
        int64_t min = best.base;
        uint64_t above = (uint64_t)s.median - (uint64_t)min;
        uint32_t equal = count_equal(r, n, s.median);
        if (equal >= n / 4) {
                Plan p = plan_sparse(r, n, s.median, previous);
                take_better(&best, &p);
        }
        if (equal > n - n / 4)
                return best;
        /* The lower half of a normal distribution reaches down two of its inner spreads, that of an exponential one
         * half of one. */
        if (above / 5 * 4 <= s.inner + 3) {
                Plan p = plan_above(r, n, min, s, previous);
                take_better(&best, &p);
        }
        if (above >= s.inner / 4 * 3) {
                Plan p = plan_both(r, n, s, find_centre(r, n, s, above, range), previous);
                take_better(&best, &p);
        }
        return best;
}

/* ---- Writing ---- */

/* Works on a copy of the writer: stores of bytes could otherwise change it, for all that the compiler knows. */
static void put_packed(BitWriter *out, const uint64_t *u, uint32_t m, unsigned width) {
        BitWriter w = *out;
        uint64_t mask = low_mask(width);
        if (width > BITS_AT_ONCE)
                for (uint32_t i = 0; i < m; i++)
                        bits_put_wide(&w, u[i] & mask, width);
        else
                for (uint32_t i = 0; i < m; i++)
                        bits_put(&w, u[i] & mask, width);
        *out = w;
}

static void put_unary(BitWriter *out, const uint64_t *u, uint32_t m, unsigned k) {
        BitWriter w = *out;
        for (uint32_t i = 0; i < m; i++) {
                uint64_t q = u[i] >> k;
                q = q < ESCAPE ? q : 0;
                bits_put(&w, (uint64_t)1 << q, (unsigned)q + 1);
        }
        *out = w;
}

static void put_rice(BitWriter *w, const uint64_t *u, uint32_t m, unsigned k) {
        uint64_t exceptions = 0;
        for (uint32_t i = 0; i < m; i++)
                exceptions += u[i] >> k >= ESCAPE;
        bits_put_number(w, exceptions);
        if (k)
                put_packed(w, u, m, k);
        put_unary(w, u, m, k);
        uint32_t next = 0;
        for (uint32_t i = 0; exceptions && i < m; i++) {
                if (u[i] >> k < ESCAPE)
                        continue;
                bits_put_number(w, i - next);
                bits_put_number(w, (u[i] >> k) - 1);
                next = i + 1;
        }
}

static void put_residuals(BitWriter *w, const Plan *p, const int64_t *r, uint32_t n) {
        uint64_t u[INTS_GROUP], distance[INTS_GROUP], base = (uint64_t)p->base;
        switch (p->kind) {
        case BLOCK_PACKED:
                for (uint32_t i = 0; i < n; i++)
                        u[i] = (uint64_t)r[i] - base;
                put_packed(w, u, n, p->k + 1u);
                break;
        case BLOCK_RICE_ABOVE:
                for (uint32_t i = 0; i < n; i++)
                        u[i] = (uint64_t)r[i] - base;
                put_rice(w, u, n, p->k);
                break;
        case BLOCK_RICE_BOTH:
                for (uint32_t i = 0; i < n; i++)
                        u[i] = zigzag((int64_t)((uint64_t)r[i] - base));
                put_rice(w, u, n, p->k);
                break;
        case BLOCK_SPARSE:
                (void)split_sparse(r, n, p->base, distance, u);
                bits_put_number(w, p->odd);
                bits_put(w, p->k2, 6);
                put_rice(w, distance, p->odd, p->k2);
                put_rice(w, u, p->odd, p->k);
                break;
        default: assert(p->kind == BLOCK_FLAT);
        }
}

static void put_block(BitWriter *w, const Plan *p, unsigned size_code, int64_t *previous, const int64_t *r,
                      uint32_t n) {
        bits_put(w, size_code, 3);
        bits_put(w, p->kind, 3);
        if (p->kind != BLOCK_FLAT)
                bits_put(w, p->k, 6);
        unsigned shift = base_shift(p->kind, p->k);
        bits_put_number(w, zigzag((int64_t)((uint64_t)(p->base >> shift) - (uint64_t)(*previous >> shift))));
        *previous = p->base;
        put_residuals(w, p, r, n);
}

/* Whether one centre and one k serve both. */
static bool are_alike(Spread a, Spread b) {
        uint64_t apart =
                a.median > b.median ? (uint64_t)a.median - (uint64_t)b.median : (uint64_t)b.median - (uint64_t)a.median;
        uint64_t small = a.inner < b.inner ? a.inner : b.inner, large = a.inner < b.inner ? b.inner : a.inner;
        return apart <= small / 2 && large / 2 <= small;
}

/* Finds where the block at `done` ends: *ret_code, and its spread. Units of 128 that are alike go together. */
static uint32_t find_block(const int64_t *r, uint32_t n, uint32_t done, unsigned *ret_code, Spread *ret_spread) {
        uint32_t left = n - done, size = block_size(BLOCK_SMALL, left);
        Spread s = find_spread(r + done, size);
        unsigned code = BLOCK_SMALL;
        for (uint32_t at = size; at < left && left > size; at = size) {
                /* As many again, all of which have to be alike. */
                uint32_t more = block_size(code + 1, left);
                bool alike = code < BLOCK_LARGE;
                for (uint32_t unit; alike && at < more; at += unit) {
                        unit = block_size(BLOCK_SMALL, left - at);
                        alike = unit <= 32 || are_alike(s, find_spread(r + done + at, unit));
                }
                if (!alike)
                        break;
                code++;
                size = more;
        }
        *ret_code = size == left ? 0 : code;
        *ret_spread = s;
        return size;
}

static void put_blocks(BitWriter *w, const int64_t *r, uint32_t n, CodecEffort effort) {
        int64_t previous = 0;
        for (uint32_t done = 0, size; done < n; done += size) {
                unsigned code;
                Spread s;
                uint64_t range;
                Plan p;
                if (effort == CODEC_FAST) {
                        code = n - done <= block_size(BLOCK_SMALL, n) + 32 ? 0 : BLOCK_SMALL;
                        size = block_size(code, n - done);
                        p = plan_packed(r + done, size, previous, &range);
                } else {
                        size = find_block(r, n, done, &code, &s);
                        p = plan_small(r + done, size, s, previous);
                }
                put_block(w, &p, code, &previous, r + done, size);
        }
}

/* ---- Orders ---- */

/* Differences of n + 1 numbers. */
static void difference(const int64_t *x, uint32_t n, int64_t *out) {
        for (uint32_t i = 0; i < n; i++)
                out[i] = (int64_t)((uint64_t)x[i + 1] - (uint64_t)x[i]);
}

/* About how many bits the residuals take: of a few stretches, with a centre of their own. */
static uint64_t weigh(const int64_t *r, uint32_t n, CodecEffort effort) {
        uint32_t stretches = effort == CODEC_FAST ? 1 : STRETCHES, bits = 0;
        if (n < stretches * STRETCH)
                stretches = (n + STRETCH - 1) / STRETCH;
        for (uint32_t i = 0; i < stretches; i++) {
                uint32_t first = (uint64_t)i * n / stretches;
                uint32_t size = n - first < STRETCH ? n - first : STRETCH;
                int64_t few[3] = { r[first], r[first + size / 2], r[first + size - 1] };
                sort_few(few, 3);
                for (uint32_t k = first; k < first + size; k++)
                        bits += bit_length(zigzag((int64_t)((uint64_t)r[k] - (uint64_t)few[1])) | 1);
        }
        return bits;
}

/* Differences of order 1, unless another order is better by more than chance: a stretch in which nothing happens says
 * nothing, and a level that moves once in a while is order 1. */
static unsigned choose_order(int64_t r[3][INTS_GROUP], uint32_t count, CodecEffort effort) {
        uint64_t bits[3];
        for (unsigned o = 0; o < 3; o++)
                bits[o] = weigh(r[o], o < 2 ? count - 1 : count - 2, effort);
        uint64_t gain = bits[1] / 32 < count / 32 ? bits[1] / 32 : count / 32, enough = bits[1] - gain;
        if (bits[0] < enough && bits[0] <= bits[2])
                return 0;
        return bits[2] < enough && count > 2 ? 2 : 1;
}

static void put_group(BitWriter *w, const int64_t *x, uint32_t count, CodecEffort effort) {
        int64_t r[3][INTS_GROUP];
        for (uint32_t i = 1; i < count; i++)
                r[0][i - 1] = (int64_t)((uint64_t)x[i] - (uint64_t)x[0]);
        difference(x, count - 1, r[1]);
        difference(r[1], count - 2, r[2]);
        unsigned order = choose_order(r, count, effort);
        bits_put(w, order, 2);
        if (order == 2)
                bits_put_number(w, zigzag(r[1][0]));
        put_blocks(w, r[order], order < 2 ? count - 1 : count - 2, effort);
}

/* No plan writes more for one residual than its low bits, a unary part and an exception; a block's head is smaller than
 * what 32 residuals leave of that. */
static size_t group_room(uint32_t count) {
        return ((size_t)count * (64 + ESCAPE + 2 * NUMBER_MAX) + 1024) / 8 + BITS_SLACK;
}

/* Puts bytes in front of those that begin at `from`. */
static void put_before(Buf *out, size_t from, const uint8_t *bytes, size_t len) {
        size_t behind = out->len - from;
        if (!buf_reserve(out, len))
                return;
        memmove(out->data + from + len, out->data + from, behind);
        memcpy(out->data + from, bytes, len);
        out->len += len;
}

void ints_encode(IntsFill *fill, void *context, uint32_t n, CodecEffort effort, Buf *out) {
        uint8_t directory[CODEC_MAX / INTS_GROUP * 2 * VARINT_MAX];
        size_t from = out->len, directory_len = 0, group_at = from;
        int64_t x[INTS_GROUP], start = 0;
        assert(n >= 1 && n <= CODEC_MAX);
        for (uint32_t first = 0; first < n; first += INTS_GROUP) {
                uint32_t count = n - first < INTS_GROUP ? n - first : INTS_GROUP;
                fill(context, first, count, x);
                assert(first > 0 || x[0] == 0);
                if (first > 0) {
                        directory_len += varint_put(directory + directory_len, out->len - group_at);
                        uint64_t step = zigzag((int64_t)((uint64_t)x[0] - (uint64_t)start));
                        directory_len += varint_put(directory + directory_len, step);
                }
                start = x[0];
                group_at = out->len;
                uint8_t *room = (uint8_t *)buf_reserve(out, group_room(count));
                if (!room)
                        return;
                BitWriter w = { room, 0, 0 };
                if (count > 1)
                        put_group(&w, x, count, effort);
                bits_flush(&w);
                out->len += (size_t)(w.at - room);
        }
        if (directory_len)
                put_before(out, from, directory, directory_len);
}

void ints_encode_sized(IntsFill *fill, void *context, uint32_t n, CodecEffort effort, Buf *out) {
        size_t from = out->len;
        uint8_t size[VARINT_MAX];
        ints_encode(fill, context, n, effort, out);
        put_before(out, from, size, varint_put(size, out->len - from));
}

void ints_keep_shorter(Buf *out, size_t from, size_t second) {
        if (buf_error(out))
                return;
        size_t len = second - from, len2 = out->len - second;
        if (len2 < len)
                memmove(out->data + from, out->data + second, len2);
        out->len = from + (len2 < len ? len2 : len);
}
