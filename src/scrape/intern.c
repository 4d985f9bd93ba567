#include "scrape/intern.h"

#include <assert.h>
#include <xxhash.h>

#define NONE UINT32_MAX

typedef struct Entry {
        char *bytes;
        uint32_t len, refs, hash;
        InternId next; /* of the same bucket, or of the free ones */
} Entry;

struct Intern {
        Entry *entries;
        size_t n, cap; /* entries in use or free */
        InternId free, *buckets;
        size_t n_buckets, count, bytes;
};

int intern_new(Intern **ret_intern) {
        CLEANUP_FREE Intern *i = calloc(1, sizeof *i);
        if (!i)
                return -ENOMEM;
        i->free = NONE;
        *ret_intern = TAKE_PTR(i);
        return 0;
}

Intern *intern_free(Intern *i) {
        if (!i)
                return NULL;
        for (size_t k = 0; k < i->n; k++)
                free(i->entries[k].bytes);
        free(i->entries);
        free(i->buckets);
        free(i);
        return NULL;
}

static int grow_buckets(Intern *i) {
        size_t n = i->n_buckets ? 2 * i->n_buckets : 1024;
        InternId *buckets = reallocarray(NULL, n, sizeof *buckets);
        if (!buckets)
                return -ENOMEM;
        memset(buckets, 0xff, n * sizeof *buckets);
        for (size_t k = 0; k < i->n; k++) {
                Entry *e = &i->entries[k];
                if (e->refs == 0)
                        continue;
                e->next = buckets[e->hash & (n - 1)];
                buckets[e->hash & (n - 1)] = (InternId)k;
        }
        free(i->buckets);
        i->buckets = buckets;
        i->n_buckets = n;
        return 0;
}

/* A free entry; not yet anybody's. */
static int take_entry(Intern *i, InternId *ret_id) {
        if (i->free != NONE) {
                *ret_id = i->free;
                i->free = i->entries[i->free].next;
                return 0;
        }
        if (i->n == i->cap) {
                size_t cap = i->cap ? 2 * i->cap : 512;
                Entry *entries = cap < NONE ? reallocarray(i->entries, cap, sizeof *entries) : NULL;
                if (!entries)
                        return -ENOMEM;
                i->entries = entries;
                i->cap = cap;
        }
        *ret_id = (InternId)i->n++;
        i->entries[*ret_id] = (Entry){ 0 };
        return 0;
}

static void give_entry(Intern *i, InternId id) {
        i->entries[id] = (Entry){ .next = i->free };
        i->free = id;
}

int intern_ref(Intern *i, const void *bytes, size_t n, InternId *ret_id) {
        uint32_t hash = (uint32_t)XXH3_64bits(bytes, n);
        InternId id;
        for (id = i->n_buckets ? i->buckets[hash & (i->n_buckets - 1)] : NONE; id != NONE; id = i->entries[id].next) {
                Entry *e = &i->entries[id];
                if (e->hash != hash || e->len != n || (n && memcmp(e->bytes, bytes, n) != 0))
                        continue;
                e->refs++;
                *ret_id = id;
                return 0;
        }
        int r = i->count >= i->n_buckets ? grow_buckets(i) : 0;
        if (r == 0)
                r = take_entry(i, &id);
        if (r < 0)
                return r;
        char *copy = malloc(n ? n : 1);
        if (!copy) {
                give_entry(i, id);
                return -ENOMEM;
        }
        memcpy(copy, bytes, n);
        InternId *bucket = &i->buckets[hash & (i->n_buckets - 1)];
        i->entries[id] = (Entry){ copy, (uint32_t)n, 1, hash, *bucket };
        *bucket = id;
        i->count++;
        i->bytes += n;
        *ret_id = id;
        return 0;
}

void intern_unref(Intern *i, InternId id) {
        assert(id < i->n && i->entries[id].refs > 0);
        Entry *e = &i->entries[id];
        if (--e->refs > 0)
                return;
        InternId *at = &i->buckets[e->hash & (i->n_buckets - 1)];
        while (*at != id)
                at = &i->entries[*at].next;
        *at = e->next;
        i->count--;
        i->bytes -= e->len;
        free(e->bytes);
        give_entry(i, id);
}

Span intern_get(const Intern *i, InternId id) {
        assert(id < i->n && i->entries[id].refs > 0);
        return (Span){ i->entries[id].bytes, i->entries[id].len };
}

size_t intern_count(const Intern *i) {
        return i->count;
}

size_t intern_memory(const Intern *i) {
        return i->bytes + i->count * 16 + i->cap * sizeof(Entry) + i->n_buckets * sizeof(InternId);
}
