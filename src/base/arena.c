/* Blocks in a list, the newest first; the next bytes come from it. Each block is charged to the budget before it is
 * taken, so that a query over its cap costs nothing of what others have. */
#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

struct ArenaBlock {
        ArenaBlock *next;
        size_t bytes; /* as charged */
        _Alignas(max_align_t) char data[];
};

#define BLOCK_FIRST ((size_t)4 << 10)
#define BLOCK_MOST ((size_t)1 << 20)
#define ALIGNMENT _Alignof(max_align_t)

static size_t aligned(size_t n) {
        return (n + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

static void *arena_fail(Arena *a, int error) {
        if (!a->error)
                a->error = error;
        return NULL;
}

static void note_peak(ArenaBudget *b, size_t taken) {
        size_t peak = atomic_load_explicit(&b->peak, memory_order_relaxed);
        while (taken > peak && !atomic_compare_exchange_weak_explicit(&b->peak, &peak, taken, memory_order_relaxed,
                                                                      memory_order_relaxed))
                ;
}

static bool budget_charge(ArenaBudget *b, size_t n) {
        size_t taken = atomic_load_explicit(&b->taken, memory_order_relaxed);
        do {
                if (taken > b->limit || n > b->limit - taken)
                        return false;
        } while (!atomic_compare_exchange_weak_explicit(&b->taken, &taken, taken + n, memory_order_relaxed,
                                                        memory_order_relaxed));
        note_peak(b, taken + n);
        return true;
}

static void budget_return(ArenaBudget *b, size_t n) {
        size_t before = atomic_fetch_sub_explicit(&b->taken, n, memory_order_relaxed);
        assert(before >= n);
}

void arena_deinit(Arena *a) {
        for (ArenaBlock *block = a->blocks; block;) {
                ArenaBlock *next = block->next;
                budget_return(a->budget, block->bytes);
                free(block);
                block = next;
        }
        *a = (Arena){ .budget = a->budget };
}

/* Each block doubles the last one's size, so that a query of any size takes few of them and a small one little memory.
 */
static size_t block_bytes(const Arena *a, size_t need) {
        size_t bytes = a->blocks ? a->blocks->bytes * 2 : BLOCK_FIRST;
        if (bytes > BLOCK_MOST)
                bytes = BLOCK_MOST;
        return bytes < need ? need : bytes;
}

/* A block with room for n (aligned) bytes becomes the first. */
static bool add_block(Arena *a, size_t n) {
        size_t need = sizeof(ArenaBlock) + n;
        size_t bytes = block_bytes(a, need);
        /* Near the limit a block of the usual size may not fit where what is asked for does. */
        if (!budget_charge(a->budget, bytes)) {
                bytes = need;
                if (!budget_charge(a->budget, bytes))
                        return arena_fail(a, -E2BIG);
        }
        ArenaBlock *block = malloc(bytes);
        if (!block) {
                budget_return(a->budget, bytes);
                return arena_fail(a, -ENOMEM);
        }
        block->next = a->blocks;
        block->bytes = bytes;
        a->blocks = block;
        a->at = block->data;
        a->end = (char *)block + bytes;
        return true;
}

void *arena_alloc(Arena *a, size_t n) {
        assert(a->budget);
        if (a->error)
                return NULL;
        if (n > SIZE_MAX / 2)
                return arena_fail(a, -E2BIG);
        size_t bytes = n ? aligned(n) : ALIGNMENT;
        if ((size_t)(a->end - a->at) < bytes && !add_block(a, bytes))
                return NULL;
        void *p = a->at;
        a->at += bytes;
        return p;
}

void *arena_calloc(Arena *a, size_t n, size_t size) {
        size_t bytes;
        if (__builtin_mul_overflow(n, size, &bytes))
                return arena_fail(a, -E2BIG);
        void *p = arena_alloc(a, bytes);
        return p ? memset(p, 0, bytes) : NULL;
}

char *arena_copy(Arena *a, const void *bytes, size_t n) {
        if (n == SIZE_MAX)
                return arena_fail(a, -E2BIG);
        char *p = arena_alloc(a, n + 1);
        if (!p)
                return NULL;
        if (n)
                memcpy(p, bytes, n);
        p[n] = '\0';
        return p;
}

void *arena_grow(Arena *a, void *p, size_t old_n, size_t n) {
        assert(p || old_n == 0);
        if (!p)
                return arena_alloc(a, n);
        if (a->error)
                return NULL;
        char *from = p;
        size_t old_bytes = old_n ? aligned(old_n) : ALIGNMENT;
        bool last = a->at && from + old_bytes == a->at;
        if (last && n <= SIZE_MAX / 2 && aligned(n) <= (size_t)(a->end - from)) {
                a->at = from + (n ? aligned(n) : ALIGNMENT);
                return p;
        }
        void *copy = arena_alloc(a, n);
        if (copy)
                memcpy(copy, p, old_n < n ? old_n : n);
        return copy;
}
