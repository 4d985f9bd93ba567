/* Memory that is freed all at once: for what one query or one request makes, under a cap.
 *
 * Allocations never fail in the caller's face twice: the first one over the limit, or without memory, returns NULL and marks
 * the arena; from then on all do. What several arenas of one query take together is bounded by a shared ArenaBudget. */
#pragma once

#include "base/cleanup.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct ArenaBudget {
        size_t limit;         /* bytes that all its arenas may take */
        atomic_size_t taken, peak;
} ArenaBudget;

typedef struct ArenaBlock ArenaBlock;

typedef struct Arena {
        ArenaBudget *budget; /* borrowed */
        ArenaBlock *blocks;
        char *at, *end;
        int error;           /* 0, -E2BIG (the budget's limit) or -ENOMEM */
} Arena;

#define ARENA_BUDGET(bytes) ((ArenaBudget){ .limit = (bytes) })
#define ARENA(b) ((Arena){ .budget = (b) })

void arena_deinit(Arena *a);
/* n bytes, aligned for any type, not initialised. */
void *arena_alloc(Arena *a, size_t n) MUST_USE;
/* n elements of `size` bytes, zeroed; NULL also when the product overflows. */
void *arena_calloc(Arena *a, size_t n, size_t size) MUST_USE;
/* A copy, terminated by NUL (not counted in n). */
char *arena_copy(Arena *a, const void *bytes, size_t n) MUST_USE;
/* Makes the last allocation n bytes instead of old_n, in place where it can; else copies. */
void *arena_grow(Arena *a, void *p, size_t old_n, size_t n) MUST_USE;

#define ARENA_NEW(a, type) ((type *)arena_calloc((a), 1, sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_calloc((a), (n), sizeof(type)))
