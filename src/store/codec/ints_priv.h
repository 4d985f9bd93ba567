/* What reader and writer of the layout in ints.c agree on. */
#pragma once

#include "store/codec/bits.h"
#include "store/codec/ints.h"

enum { BLOCK_FLAT, BLOCK_PACKED, BLOCK_RICE_ABOVE, BLOCK_RICE_BOTH, BLOCK_SPARSE };

/* Residuals in a block with this size code when `left` are left. */
static inline uint32_t block_size(unsigned code, uint32_t left) {
        uint32_t size = code ? 16u << code : left;
        return size < left ? size : left;
}

/* Bits that a base does without: a centre need not be exact. */
static inline unsigned base_shift(unsigned kind, unsigned k) {
        return kind == BLOCK_RICE_BOTH && k > 2 ? k - 2 : 0;
}
