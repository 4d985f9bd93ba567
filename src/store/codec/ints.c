/* Columns of whole numbers: layout and reader. The writer is ints_write.c.
 *
 * The idea. Counters have increments of one size for a while, gauges stay near a level for a while, and both have
 * moments in which everything is different. So the column is differenced 0, 1 or 2 times, and the residuals are cut
 * into short blocks that each say where their centre is, how wide they scatter and in which of five ways they are
 * written. The best of those, for noise of any shape, is Rice's code: u >> k in unary and k low bits. Written as usual,
 * one after the other, it has to be decoded bit by bit; here the low bits of all values come first, at a fixed stride,
 * and then all unary parts, which is then a map of bits in which the distance of neighbouring ones is what is wanted:
 * the same size, and a value costs a shift, a mask and a count of trailing zeros, without a branch that depends on it.
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
 * Reader. Walk the directory to the group, decode its blocks into residuals, sum up as often as the order says. Nothing
 * that a byte claims is believed: sizes are cut to what is left, indices and counts are checked against the block, a
 * stream that ends early reads as zeros and is found at the end of the block. The stream of a group that is read to its
 * end must end in its last byte: bytes that nobody wrote are -EBADMSG.
 *
 * Only some of a group are often wanted: an hour of a day. Those behind are not looked at. Those in front must be known
 * only by their sum, which of packed numbers, and of Rice's above the base, is had without making them one by one.
 *
 * Invariants. (1) A group can be decoded from its bytes and its first number alone. (2) No input writes more than
 * INTS_GROUP numbers or loops longer than the bits that it has, plus the numbers. */
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

int ints_open_at(IntsReader *r, const uint8_t *bytes, size_t len, uint32_t n, uint32_t group) {
        *r = (IntsReader){ .bytes = bytes,
                           .len = len,
                           .n = n,
                           .next = bytes,
                           .group = group,
                           .groups = (n + INTS_GROUP - 1) / INTS_GROUP };
        const uint8_t *at = bytes, *end = bytes + len;
        uint64_t before = 0; /* bytes of the groups before */
        for (uint32_t i = 1; i < r->groups; i++) {
                uint64_t group_len;
                int64_t step;
                if (!take_entry(&at, end, &group_len, &step) || group_len > len)
                        return -EBADMSG;
                if (i > group)
                        continue;
                before += group_len;
                r->start = (int64_t)((uint64_t)r->start + (uint64_t)step);
                r->next = at;
        }
        if (before > (size_t)(end - at))
                return -EBADMSG;
        r->at = at + before;
        return find_length(r);
}

int ints_open(IntsReader *r, const uint8_t *bytes, size_t len, uint32_t n) {
        return ints_open_at(r, bytes, len, n, 0);
}

/* To the next group. */
static int skip(IntsReader *r) {
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

/* Where what a loop does depends on arguments that are constants in each call. */
#define INLINE __attribute__((always_inline)) static inline

/* Residuals to numbers: what is known of the numbers before. */
typedef struct Sum {
        unsigned order;
        uint64_t last; /* the number before; the group's first of order 0 */
        uint64_t step; /* its difference to the one before it; order 2 */
} Sum;

INLINE int64_t sum_next(Sum *s, unsigned order, uint64_t residual) {
        if (order == 0)
                return (int64_t)(s->last + residual);
        if (order == 2)
                residual = s->step += residual;
        return (int64_t)(s->last += residual);
}

/* What becomes of numbers as they are unpacked: stored as they are; or summed up with the base to numbers of order 1,
 * which are stored; or added to the sum only, because nobody wants them but those behind. */
typedef enum Unpack { UNPACK_STORE, UNPACK_SUM_UP, UNPACK_ADD } Unpack;

/* Number i of eight: out of a word that it has in common with its neighbours, as far as they fit together with skip and
 * shift. */
INLINE uint64_t field(const uint8_t *p, unsigned skip, const unsigned width, const unsigned i) {
        const unsigned together = width <= 7    ? 8
                                  : width <= 13 ? 4
                                  : width <= 25 ? 2
                                                : 1,
                       first = i / together * together * width;
        return word_load(p + (first >> 3)) >> skip >> (first & 7) >> (i % together * width) &
               (((uint64_t)1 << width) - 1);
}

/* Numbers of one width at a fixed stride: eight of them are as many bytes as the width, so that with a width known to
 * the compiler each has its byte and its shift. `skip` are bits before the first; skip, a shift and the width fit a
 * word. */
INLINE void unpack(const uint8_t *p, unsigned skip, const unsigned width, uint32_t eights, const Unpack what,
                   uint64_t base, uint64_t *sum, uint64_t *out) {
        uint64_t s = *sum;
        for (; eights; eights--, p += width) {
                const uint64_t v[8] = { field(p, skip, width, 0), field(p, skip, width, 1), field(p, skip, width, 2),
                                        field(p, skip, width, 3), field(p, skip, width, 4), field(p, skip, width, 5),
                                        field(p, skip, width, 6), field(p, skip, width, 7) };
                if (what == UNPACK_ADD) {
                        s += ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
                        continue;
                }
                for (unsigned i = 0; i < 8; i++)
                        out[i] = what == UNPACK_STORE ? v[i] : (s += v[i] + base);
                out += 8;
        }
        *sum = s;
}

#define UNPACK(w) case w: unpack(p, skip, w, eights, what, base, sum, out); return 8 * eights
#define UNPACK4(w) UNPACK(w); UNPACK(w + 1); UNPACK(w + 2); UNPACK(w + 3)
#define UNPACK8(w) UNPACK4(w); UNPACK4(w + 4)

/* Unpacks eights of numbers as far as whole words may be loaded; how many. */
INLINE uint32_t unpack_eights(const uint8_t *p, size_t len, unsigned skip, unsigned width, uint32_t m,
                              const Unpack what, uint64_t base, uint64_t *sum, uint64_t *out) {
        uint32_t eights = m / 8;
        if (len < width + 8u)
                return 0;
        uint64_t inside = (len - 8) / width;
        eights = inside < eights ? (uint32_t)inside : eights;
        switch (width) {
        UNPACK8(1);
        UNPACK8(9);
        UNPACK8(17);
        UNPACK8(25);
        UNPACK8(33);
        default: return 0;
        }
}

#undef UNPACK
#undef UNPACK4
#undef UNPACK8

/* m numbers from bit `pos` on, all of which are there. */
INLINE void unpack_all(const BitReader *r, uint64_t pos, unsigned width, uint32_t m, const Unpack what, uint64_t base,
                       uint64_t *sum, uint64_t *out) {
        uint64_t mask = low_mask(width), s;
        size_t byte = pos >> 3;
        uint32_t i = width ? unpack_eights(r->bytes + byte, r->len - byte, pos & 7, width, m, what, base, sum, out) : 0;
        s = *sum;
        for (pos += (uint64_t)i * width; i < m; i++, pos += width) {
                uint64_t v = width == 0 ? 0 : bits_peek(r, pos);
                if (width > BITS_AT_ONCE)
                        v = (v & UINT32_MAX) | bits_peek(r, pos + 32) << 32;
                v &= mask;
                if (what == UNPACK_ADD)
                        s += v;
                else
                        out[i] = what == UNPACK_STORE ? v : (s += v + base);
        }
        *sum = s;
}

static void unpack_store(const BitReader *r, uint64_t pos, unsigned width, uint32_t m, uint64_t *out) {
        uint64_t none = 0;
        unpack_all(r, pos, width, m, UNPACK_STORE, 0, &none, out);
}

static void unpack_sum_up(const BitReader *r, uint64_t pos, unsigned width, uint32_t m, uint64_t base, uint64_t *sum,
                          uint64_t *out) {
        unpack_all(r, pos, width, m, UNPACK_SUM_UP, base, sum, out);
}

static uint64_t unpack_add(const BitReader *r, uint64_t pos, unsigned width, uint32_t m) {
        uint64_t sum = 0;
        unpack_all(r, pos, width, m, UNPACK_ADD, 0, &sum, NULL);
        return sum;
}

/* Takes m numbers of a width out of the stream; where they begin. */
static int take_packed(BitReader *r, unsigned width, uint32_t m, uint64_t *ret_pos) {
        *ret_pos = r->pos;
        r->pos += (uint64_t)m * width;
        return bits_overrun(r) ? -EBADMSG : 0;
}

static int get_packed(BitReader *r, unsigned width, uint32_t m, uint64_t *out) {
        uint64_t pos;
        if (take_packed(r, width, m, &pos) < 0)
                return -EBADMSG;
        unpack_store(r, pos, width, m, out);
        return 0;
}

/* What becomes of a number in a block. */
typedef struct Use {
        bool raw;     /* the number itself is wanted, no residual */
        bool centred; /* it is zigzag around the base, not above it */
        unsigned order;
} Use;

INLINE int64_t use_number(Use use, uint64_t u, uint64_t base, Sum *sum) {
        if (use.raw)
                return (int64_t)u;
        return sum_next(sum, use.order, base + (use.centred ? (uint64_t)unzigzag(u) : u));
}

/* Numbers in `x` to what they are used for. */
INLINE void use_packed(uint32_t m, Use use, uint64_t base, Sum *sum, int64_t *x) {
        Sum s = *sum;
        for (uint32_t i = 0; i < m; i++)
                x[i] = use_number(use, (uint64_t)x[i], base, &s);
        *sum = s;
}

/* The same for low bits in `x` and unary parts in the stream. `use` is known where this is called: each has a loop of
 * its own. */
INLINE int use_rice(BitReader *r, unsigned k, uint32_t m, Use use, uint64_t base, Sum *sum, int64_t *x) {
        uint64_t end = (uint64_t)r->len * 8, word_at = r->pos, before = 0;
        int64_t *stop = x + m;
        Sum s = *sum;
        while (x < stop) {
                if (word_at >= end)
                        return -EBADMSG;
                uint64_t ones = bits_peek(r, word_at) & low_mask(BITS_AT_ONCE);
                for (; ones && x < stop; ones &= ones - 1, x++) {
                        uint64_t at = (unsigned)__builtin_ctzll(ones);
                        *x = use_number(use, (uint64_t)*x + ((at - before) << k), base, &s);
                        before = at + 1;
                }
                word_at += BITS_AT_ONCE;
                before -= BITS_AT_ONCE;
        }
        r->pos = word_at + before;
        *sum = s;
        return 0;
}

/* m numbers as they are. */
static int get_rice(BitReader *r, unsigned k, uint32_t m, int64_t *out) {
        uint64_t exceptions = bits_get_number(r), at = 0;
        if (exceptions > m || get_packed(r, k, m, (uint64_t *)out) < 0)
                return -EBADMSG;
        if (use_rice(r, k, m, (Use){ .raw = true }, 0, &(Sum){ 0 }, out) < 0)
                return -EBADMSG;
        for (; exceptions; exceptions--, at++) {
                uint64_t skip = bits_get_number(r);
                if (skip >= m || (at += skip) >= m)
                        return -EBADMSG;
                out[at] = (int64_t)((uint64_t)out[at] + ((bits_get_number(r) + 1) << k));
        }
        return 0;
}

static void use_block(uint32_t m, bool centred, uint64_t base, Sum *sum, int64_t *x) {
        switch (sum->order * 2 + centred) {
        case 0: use_packed(m, (Use){ false, false, 0 }, base, sum, x); return;
        case 1: use_packed(m, (Use){ false, true, 0 }, base, sum, x); return;
        case 2: use_packed(m, (Use){ false, false, 1 }, base, sum, x); return;
        case 3: use_packed(m, (Use){ false, true, 1 }, base, sum, x); return;
        case 4: use_packed(m, (Use){ false, false, 2 }, base, sum, x); return;
        default: use_packed(m, (Use){ false, true, 2 }, base, sum, x); return;
        }
}

/* Which residuals of a block are wanted: those before are only summed up, where that is quicker, those behind not even
 * that. */
typedef struct Want {
        uint32_t from, to;
} Want;

static int block_packed(BitReader *r, unsigned width, uint32_t m, Want want, uint64_t base, Sum *sum, int64_t *out) {
        uint64_t pos;
        uint32_t from = sum->order < 2 ? want.from : 0, n = want.to - from;
        if (take_packed(r, width, m, &pos) < 0)
                return -EBADMSG;
        if (sum->order == 1 && from)
                sum->last += unpack_add(r, pos, width, from) + from * base;
        pos += (uint64_t)from * width;
        if (sum->order == 1) {
                unpack_sum_up(r, pos, width, n, base, &sum->last, (uint64_t *)out + from);
        } else {
                unpack_store(r, pos, width, n, (uint64_t *)out + from);
                use_block(n, false, base, sum, out + from);
        }
        return 0;
}

/* Goes behind the nth one; what is in front of it in *ret_zeros. */
static int skip_ones(BitReader *r, uint32_t n, uint64_t *ret_zeros) {
        uint64_t end = (uint64_t)r->len * 8, pos = r->pos;
        uint32_t left = n;
        for (unsigned ones; left > 0; left -= ones) {
                if (pos >= end)
                        return -EBADMSG;
                uint64_t word = bits_peek(r, pos) & low_mask(BITS_AT_ONCE);
                ones = (unsigned)__builtin_popcountll(word);
                if (ones >= left) {
                        for (; left > 1; left--)
                                word &= word - 1;
                        pos += (unsigned)__builtin_ctzll(word) + 1;
                        break;
                }
                pos += BITS_AT_ONCE;
        }
        *ret_zeros = pos - r->pos - n;
        r->pos = pos;
        return 0;
}

/* Rice's code without exceptions: low bits of those that are wanted, then the unary parts. What is above the base and
 * only summed up is the sum of the low bits and the number of zeros. */
static int block_rice_plain(BitReader *r, unsigned k, uint32_t m, Want want, bool centred, uint64_t base, Sum *sum,
                            int64_t *out) {
        uint64_t pos, zeros;
        uint32_t from = sum->order == 0 || (sum->order == 1 && !centred) ? want.from : 0, n = want.to - from;
        if (take_packed(r, k, m, &pos) < 0 || (from && skip_ones(r, from, &zeros) < 0))
                return -EBADMSG;
        if (sum->order == 1 && from)
                sum->last += unpack_add(r, pos, k, from) + (zeros << k) + from * base;
        unpack_store(r, pos + (uint64_t)from * k, k, n, (uint64_t *)out + from);
        out += from;
        switch (sum->order * 2 + centred) {
        case 0: return use_rice(r, k, n, (Use){ false, false, 0 }, base, sum, out);
        case 1: return use_rice(r, k, n, (Use){ false, true, 0 }, base, sum, out);
        case 2: return use_rice(r, k, n, (Use){ false, false, 1 }, base, sum, out);
        case 3: return use_rice(r, k, n, (Use){ false, true, 1 }, base, sum, out);
        case 4: return use_rice(r, k, n, (Use){ false, false, 2 }, base, sum, out);
        default: return use_rice(r, k, n, (Use){ false, true, 2 }, base, sum, out);
        }
}

static int block_rice(BitReader *r, unsigned k, uint32_t m, Want want, bool centred, uint64_t base, Sum *sum,
                      int64_t *out) {
        BitReader ahead = *r;
        if (bits_get_number(&ahead) == 0) {
                *r = ahead;
                return block_rice_plain(r, k, m, want, centred, base, sum, out);
        }
        if (get_rice(r, k, m, out) < 0)
                return -EBADMSG;
        use_block(want.to, centred, base, sum, out);
        return 0;
}

/* `count` residuals that are the base. */
static inline void sum_flat(uint32_t count, uint64_t base, Sum *sum, int64_t *out) {
        Sum s = *sum;
        if (s.order == 0)
                for (uint32_t i = 0; i < count; i++)
                        out[i] = (int64_t)(s.last + base);
        else if (s.order == 1)
                for (uint32_t i = 0; i < count; i++)
                        out[i] = sum_next(&s, 1, base);
        else
                for (uint32_t i = 0; i < count; i++)
                        out[i] = sum_next(&s, 2, base);
        *sum = s;
}

static int block_sparse(BitReader *r, unsigned k, uint64_t base, uint32_t size, Sum *sum, int64_t *out) {
        int64_t distance[INTS_GROUP], u[INTS_GROUP];
        uint64_t m = bits_get_number(r);
        if (m > size)
                return -EBADMSG;
        unsigned k2 = (unsigned)bits_get(r, 6);
        if (get_rice(r, k2, (uint32_t)m, distance) < 0 || get_rice(r, k, (uint32_t)m, u) < 0)
                return -EBADMSG;
        uint32_t at = 0;
        for (uint32_t i = 0; i < m; i++, at++) {
                if ((uint64_t)distance[i] >= size - at)
                        return -EBADMSG;
                sum_flat((uint32_t)distance[i], base, sum, out + at);
                at += (uint32_t)distance[i];
                out[at] = sum_next(sum, sum->order, base + (uint64_t)unzigzag((uint64_t)u[i] + 1));
        }
        sum_flat(size - at, base, sum, out + at);
        return 0;
}

/* Takes a block of what is `left` of the group. `want` are the numbers that are wanted from the block's first on,
 * perhaps beyond it. */
static int get_block(BitReader *r, uint32_t left, Want want, uint64_t *base, Sum *sum, int64_t *out,
                     uint32_t *ret_size) {
        unsigned size_code = (unsigned)bits_get(r, 3), kind = (unsigned)bits_get(r, 3);
        uint32_t size = block_size(size_code, left);
        unsigned k = kind == BLOCK_FLAT ? 0 : (unsigned)bits_get(r, 6);
        unsigned shift = base_shift(kind, k);
        *base = ((uint64_t)((int64_t)*base >> shift) + (uint64_t)unzigzag(bits_get_number(r))) << shift;
        *ret_size = size;
        if (bits_overrun(r))
                return -EBADMSG;
        want.from = want.from < size ? want.from : size;
        want.to = want.to < size ? want.to : size;
        switch (kind) {
        case BLOCK_FLAT: sum_flat(size, *base, sum, out); return 0;
        case BLOCK_PACKED: return block_packed(r, k + 1, size, want, *base, sum, out);
        case BLOCK_RICE_ABOVE: return block_rice(r, k, size, want, false, *base, sum, out);
        case BLOCK_RICE_BOTH: return block_rice(r, k, size, want, true, *base, sum, out);
        case BLOCK_SPARSE: return block_sparse(r, k, *base, size, sum, out);
        default: return -EBADMSG;
        }
}

/* Numbers [from, to) of the group; the others of x may be anything. */
static int get_group(BitReader *r, uint32_t count, uint32_t from, uint32_t to, int64_t *x) {
        Sum sum = { .order = (unsigned)bits_get(r, 2), .last = (uint64_t)x[0] };
        if (sum.order > 2)
                return -EBADMSG;
        uint32_t done = 1;
        if (sum.order == 2) {
                sum.step = (uint64_t)unzigzag(bits_get_number(r));
                x[done++] = (int64_t)(sum.last += sum.step);
        }
        uint64_t base = 0;
        while (done < to) {
                uint32_t size;
                Want want = { from > done ? from - done : 0, to - done };
                if (get_block(r, count - done, want, &base, &sum, x + done, &size) < 0)
                        return -EBADMSG;
                done += size;
        }
        return bits_overrun(r) ? -EBADMSG : 0;
}

int ints_next_part(IntsReader *r, uint32_t from, uint32_t to, int64_t *out, uint32_t *ret_count) {
        uint32_t count = group_size(r);
        to = to < count ? to : count;
        out[0] = r->start;
        BitReader bits = { r->at, r->group_len, 0 };
        if (count > 1 && get_group(&bits, count, from, to, out) < 0)
                return -EBADMSG;
        if (to == count && (bits.pos + 7) / 8 != r->group_len)
                return -EBADMSG;
        *ret_count = count;
        if (r->group + 1 < r->groups)
                return skip(r);
        return 0;
}

int ints_next(IntsReader *r, int64_t *out, uint32_t *ret_count) {
        return ints_next_part(r, 0, INTS_GROUP, out, ret_count);
}
