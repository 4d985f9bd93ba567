/* Columns of whole numbers: layout and reader. The writer is ints_write.c.
 *
 * The idea. Counters have increments of one size for a while, gauges stay near a level for a while, and both have moments
 * in which everything is different. So the column is differenced 0, 1 or 2 times, and the residuals are cut into short
 * blocks that each say where their centre is, how wide they scatter and in which of five ways they are written. The
 * best of those, for noise of any shape, is Rice's code: u >> k in unary and k low bits. Written as usual, one after the other,
 * it has to be decoded bit by bit; here the low bits of all values come first, at a fixed stride, and then all unary parts,
 * which is then a map of bits in which the distance of neighbouring ones is what is wanted: the same size, and
 * a value costs a shift, a mask and a count of trailing zeros, without a branch that depends on it.
 *
 * Layout. All arithmetic is modulo 2^64. A column of n numbers x[0..n), x[0] = 0, is
 *
 *   directory   for each group but the first: varint bytes of the group before it,
 *               varint zigzag(x[first of this group] - x[first of the group before])
 *   groups      INTS_GROUP numbers each, the last one what is left, each a stream of bits (bits.h) that ends at a byte
 *
 * A number in a stream of bits is written in nibbles (bits_put_number): "number" below. A group of c > 1 numbers
 * (of c = 1 has no bits), whose first number the directory tells:
 *
 *   2 bits      order: how often it was differenced, 0..2
 *   number      order 2 only: zigzag(x[1] - x[0])
 *   blocks      until all residuals are there: c - 1 of them, or c - 2 of order 2
 *
 * where residual i is x[i] - x[0], x[i] - x[i-1] or x[i] - 2 x[i-1] + x[i-2]. A block:
 *
 *   3 bits      size: 0 = all that is left in the group, s = 16 << s residuals, at most what is left
 *   3 bits      kind
 *   6 bits      k, not in FLAT
 *   number      zigzag(b - (base of the block before it in the group, 0 at first) >> shift): base = b << shift
 *               where shift is k - 2 in RICE_BOTH with k > 2, 0 otherwise
 *   then by kind:
 *     0 FLAT       nothing: all residuals are the base
 *     1 PACKED     k + 1 bits each: residual - base
 *     2 RICE_ABOVE Rice's code of residual - base, all at least 0
 *     3 RICE_BOTH  Rice's code of zigzag(residual - base)
 *     4 SPARSE     number m; 6 bits k2; Rice's code, parameter k2, of m distances to the next residual that is not
 *                  the base (0: the one that follows at once); Rice's code, k, of their zigzag(residual - base) - 1
 *
 * Rice's code of m numbers u with parameter k (0..63):
 *   number      e: exceptions, of which the unary part is 0 whatever u is
 *   m * k bits  low k bits of each
 *   unary       u >> k zeros and a one, for each
 *   e times     number: index after the last exception's (the first: its index); number: (u >> k) - 1
 *
 * Reader. Walk the directory to the group, decode its blocks into residuals, sum up as often as the order says. Nothing that a
 * byte claims is believed: sizes are cut to what is left, indices and counts are checked against the block, a
 * stream that ends early reads as zeros and is found at the end of the block. Each group's stream must end in its last
 * byte: bytes that nobody wrote are -EBADMSG.
 *
 * Invariants. (1) A group can be decoded from its bytes and its first number alone. (2) No input writes more than INTS_GROUP
 * numbers or loops longer than the bits that it has, plus the numbers. */
#include "store/codec/ints_priv.h"

#include "base/varint.h"

#include <errno.h>

static uint32_t group_size(const IntsReader *r) {
        uint32_t first = r->group * INTS_GROUP;
        return r->n - first < INTS_GROUP ? r->n - first : INTS_GROUP;
}

/* Takes the directory entry of the group after the current one, whose length it has. */
static bool take_entry(const uint8_t **at, const uint8_t *end, uint64_t *ret_len, int64_t *ret_step) {
        uint64_t step;
        if (!varint_get(at, end, ret_len) || !varint_get(at, end, &step))
                return false;
        *ret_step = unzigzag(step);
        return true;
}

/* Length of the current group: the directory knows all but the last one's. */
static int find_length(IntsReader *r) {
        size_t left = (size_t)(r->bytes + r->len - r->at);
        uint64_t len = left;
        int64_t step;
        const uint8_t *at = r->next;
        if (r->group + 1 < r->groups && !take_entry(&at, r->bytes + r->len, &len, &step))
                return -EBADMSG;
        if (len > left)
                return -EBADMSG;
        r->group_len = len;
        return 0;
}

int ints_open(IntsReader *r, const uint8_t *bytes, size_t len, uint32_t n) {
        *r = (IntsReader){ .bytes = bytes, .len = len, .n = n, .next = bytes, .groups = (n + INTS_GROUP - 1) / INTS_GROUP };
        const uint8_t *at = bytes;
        for (uint32_t i = 1; i < r->groups; i++) {
                uint64_t skipped;
                int64_t step;
                if (!take_entry(&at, bytes + len, &skipped, &step))
                        return -EBADMSG;
        }
        r->at = at;
        return find_length(r);
}

int ints_skip(IntsReader *r) {
        uint64_t len;
        int64_t step;
        if (r->group + 1 >= r->groups || !take_entry(&r->next, r->bytes + r->len, &len, &step))
                return -EBADMSG;
        r->at += r->group_len;
        r->start = (int64_t)((uint64_t)r->start + (uint64_t)step);
        r->group++;
        return find_length(r);
}

/* ---- Blocks ---- */

/* The low bits of m numbers, at a fixed stride; m >= 1. */
static void get_packed(BitReader *r, unsigned width, uint32_t m, uint64_t *out) {
        uint64_t mask = low_mask(width), pos = r->pos;
        r->pos += (uint64_t)m * width;
        if (width > BITS_AT_ONCE) {
                for (uint32_t i = 0; i < m; i++, pos += width)
                        out[i] = (bits_peek(r, pos) & UINT32_MAX) | (bits_peek(r, pos + 32) & (mask >> 32)) << 32;
                return;
        }
        uint32_t i = 0;
        /* Loads without a check as long as the last of four is inside. */
        for (; i + 4 <= m && ((pos + 3 * width) >> 3) + 8 <= r->len; i += 4, pos += 4 * width) {
                uint64_t p1 = pos + width, p2 = p1 + width, p3 = p2 + width;
                out[i] = word_load(r->bytes + (pos >> 3)) >> (pos & 7) & mask;
                out[i + 1] = word_load(r->bytes + (p1 >> 3)) >> (p1 & 7) & mask;
                out[i + 2] = word_load(r->bytes + (p2 >> 3)) >> (p2 & 7) & mask;
                out[i + 3] = word_load(r->bytes + (p3 >> 3)) >> (p3 & 7) & mask;
        }
        for (; i < m; i++, pos += width)
                out[i] = bits_peek(r, pos) & mask;
}

/* Adds the unary parts, shifted by k, to m numbers. */
static int add_unary(BitReader *r, unsigned k, uint32_t m, uint64_t *out) {
        uint64_t end = (uint64_t)r->len * 8, base = r->pos, last = base - 1;
        for (uint32_t i = 0; i < m; base += BITS_AT_ONCE) {
                if (base >= end)
                        return -EBADMSG;
                uint64_t ones = bits_peek(r, base) & low_mask(BITS_AT_ONCE);
                for (; ones && i < m; ones &= ones - 1) {
                        uint64_t at = base + (unsigned)__builtin_ctzll(ones);
                        out[i++] += (at - last - 1) << k;
                        last = at;
                }
        }
        r->pos = last + 1;
        return 0;
}

static int get_rice(BitReader *r, unsigned k, uint32_t m, uint64_t *out) {
        uint64_t exceptions = bits_get_number(r);
        if (exceptions > m)
                return -EBADMSG;
        get_packed(r, k, m, out);
        int e = add_unary(r, k, m, out);
        if (e < 0)
                return e;
        uint64_t at = 0;
        for (; exceptions; exceptions--, at++) {
                uint64_t skip = bits_get_number(r);
                if (skip >= m || (at += skip) >= m)
                        return -EBADMSG;
                out[at] += (bits_get_number(r) + 1) << k;
        }
        return 0;
}

static int get_sparse(BitReader *r, unsigned k, int64_t base, uint32_t size, int64_t *out) {
        uint64_t distance[INTS_GROUP], u[INTS_GROUP];
        uint64_t m = bits_get_number(r);
        if (m > size)
                return -EBADMSG;
        unsigned k2 = (unsigned)bits_get(r, 6);
        for (uint32_t i = 0; i < size; i++)
                out[i] = base;
        if (get_rice(r, k2, (uint32_t)m, distance) < 0 || get_rice(r, k, (uint32_t)m, u) < 0)
                return -EBADMSG;
        uint64_t at = 0;
        for (uint32_t i = 0; i < m; i++, at++) {
                if (distance[i] >= size || (at += distance[i]) >= size)
                        return -EBADMSG;
                out[at] = (int64_t)((uint64_t)base + (uint64_t)unzigzag(u[i] + 1));
        }
        return 0;
}

static int get_block(BitReader *r, uint32_t left, int64_t *base, int64_t *out, uint32_t *ret_size) {
        unsigned size_code = (unsigned)bits_get(r, 3), kind = (unsigned)bits_get(r, 3);
        uint32_t size = block_size(size_code, left);
        unsigned k = kind == BLOCK_FLAT ? 0 : (unsigned)bits_get(r, 6);
        unsigned shift = base_shift(kind, k);
        uint64_t b = (uint64_t)(*base >> shift) + (uint64_t)unzigzag(bits_get_number(r));
        *base = (int64_t)(b << shift);
        *ret_size = size;
        if (bits_overrun(r))
                return -EBADMSG;
        uint64_t *u = (uint64_t *)out; /* signed and unsigned of one type may share a place */
        uint64_t from = (uint64_t)*base;
        int e = 0;
        switch (kind) {
        case BLOCK_FLAT:
                for (uint32_t i = 0; i < size; i++)
                        out[i] = *base;
                break;
        case BLOCK_PACKED:
                get_packed(r, k + 1, size, u);
                for (uint32_t i = 0; i < size; i++)
                        u[i] += from;
                break;
        case BLOCK_RICE_ABOVE:
                e = get_rice(r, k, size, u);
                for (uint32_t i = 0; e == 0 && i < size; i++)
                        u[i] += from;
                break;
        case BLOCK_RICE_BOTH:
                e = get_rice(r, k, size, u);
                for (uint32_t i = 0; e == 0 && i < size; i++)
                        u[i] = from + (uint64_t)unzigzag(u[i]);
                break;
        case BLOCK_SPARSE:
                e = get_sparse(r, k, *base, size, out);
                break;
        default:
                e = -EBADMSG;
        }
        return e < 0 || bits_overrun(r) ? -EBADMSG : 0;
}

/* x[i] = residual i + x[i - 1], from `start` on, in place. */
static void sum_up(int64_t start, uint32_t count, int64_t *x) {
        uint64_t sum = (uint64_t)start;
        for (uint32_t i = 0; i < count; i++)
                x[i] = (int64_t)(sum += (uint64_t)x[i]);
}

static void undo_order(unsigned order, uint32_t count, int64_t *x) {
        if (order == 0) {
                for (uint32_t i = 1; i < count; i++)
                        x[i] = (int64_t)((uint64_t)x[i] + (uint64_t)x[0]);
                return;
        }
        if (order == 2)
                sum_up(x[1], count - 2, x + 2);
        sum_up(x[0], count - 1, x + 1);
}

static int get_group(BitReader *r, uint32_t count, int64_t *x) {
        unsigned order = (unsigned)bits_get(r, 2);
        if (order > 2)
                return -EBADMSG;
        uint32_t done = 1;
        if (order == 2)
                x[done++] = unzigzag(bits_get_number(r));
        int64_t base = 0;
        while (done < count) {
                uint32_t size;
                if (get_block(r, count - done, &base, x + done, &size) < 0)
                        return -EBADMSG;
                done += size;
        }
        undo_order(order, count, x);
        return 0;
}

int ints_next(IntsReader *r, int64_t *out, uint32_t *ret_count) {
        uint32_t count = group_size(r);
        out[0] = r->start;
        BitReader bits = { r->at, r->group_len, 0 };
        if (count > 1 && get_group(&bits, count, out) < 0)
                return -EBADMSG;
        if ((bits.pos + 7) / 8 != r->group_len)
                return -EBADMSG;
        *ret_count = count;
        if (r->group + 1 < r->groups)
                return ints_skip(r);
        return 0;
}
