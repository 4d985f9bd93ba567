#include "query/labelmap.h"

enum { SLOTS_FIRST = 64 };

static size_t slot_of(const LabelMap *m, LabelSet key, uint64_t hash) {
        size_t at = hash & m->mask;
        for (; m->slots[at]; at = (at + 1) & m->mask) {
                size_t number = m->slots[at] - 1;
                if (m->hashes[number] == hash && labelset_equal(m->keys[number], key))
                        break;
        }
        return at;
}

/* Twice the room, at most half of it used. */
static int grow(LabelMap *m) {
        size_t slots = m->slots ? 2 * (m->mask + 1) : SLOTS_FIRST, cap = slots / 2;
        LabelSet *keys = ARENA_ARRAY(m->arena, LabelSet, cap);
        uint64_t *hashes = ARENA_ARRAY(m->arena, uint64_t, cap);
        uint32_t *table = ARENA_ARRAY(m->arena, uint32_t, slots);
        if (!keys || !hashes || !table)
                return m->arena->error;
        if (m->n) {
                memcpy(keys, m->keys, m->n * sizeof *keys);
                memcpy(hashes, m->hashes, m->n * sizeof *hashes);
        }
        m->keys = keys;
        m->hashes = hashes;
        m->slots = table;
        m->cap = cap;
        m->mask = slots - 1;
        for (size_t i = 0; i < m->n; i++) {
                size_t at = hashes[i] & m->mask;
                while (table[at])
                        at = (at + 1) & m->mask;
                table[at] = (uint32_t)i + 1;
        }
        return 0;
}

int labelmap_put(LabelMap *m, LabelSet key, size_t *ret_number, bool *ret_added) {
        if (m->n == m->cap) {
                int r = grow(m);
                if (r < 0)
                        return r;
        }
        uint64_t hash = labelset_hash(key);
        size_t at = slot_of(m, key, hash);
        *ret_added = !m->slots[at];
        if (*ret_added) {
                m->keys[m->n] = key;
                m->hashes[m->n] = hash;
                m->slots[at] = (uint32_t)++m->n;
        }
        *ret_number = m->slots[at] - 1;
        return 0;
}

bool labelmap_find(const LabelMap *m, LabelSet key, size_t *ret_number) {
        if (m->n == 0)
                return false;
        size_t at = slot_of(m, key, labelset_hash(key));
        if (!m->slots[at])
                return false;
        *ret_number = m->slots[at] - 1;
        return true;
}
