/* A binary heap by due time over one array of slots, and an open-addressed table from key and lane to the
 * slot, so that a thousand entities cost nothing at a tick on which none is due. */
#include "sensor/schedule.h"

#include <assert.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct Slot {
        EntityKey key;
        Lane lane;
        Duration interval;
        MonoTime due;
        uint64_t hash;
} Slot;

struct Schedule {
        Slot *heap;
        size_t n, cap;
        uint32_t *table; /* heap index + 1; 0 = empty */
        size_t table_size;
};

int schedule_new(Schedule **ret_schedule) {
        Schedule *s = calloc(1, sizeof *s);
        if (!s)
                return -ENOMEM;
        *ret_schedule = s;
        return 0;
}

Schedule *schedule_free(Schedule *s) {
        if (!s)
                return NULL;
        free(s->heap);
        free(s->table);
        free(s);
        return NULL;
}

static uint64_t hash_of(const EntityKey *key, Lane lane) {
        return XXH3_64bits_withSeed(key->id.bytes, sizeof key->id.bytes, (uint64_t)key->kind << 8 | (uint64_t)lane);
}

static bool same(const Slot *slot, const EntityKey *key, Lane lane) {
        return slot->lane == lane && entity_key_equal(&slot->key, key);
}

/* The table's cell of a key that is there, or the empty one where it belongs. */
static size_t cell_of(const Schedule *s, uint64_t hash, const EntityKey *key, Lane lane) {
        size_t at = hash & (s->table_size - 1);
        while (s->table[at] && !same(&s->heap[s->table[at] - 1], key, lane))
                at = (at + 1) & (s->table_size - 1);
        return at;
}

static void point(Schedule *s, size_t index) {
        const Slot *slot = &s->heap[index];
        s->table[cell_of(s, slot->hash, &slot->key, slot->lane)] = (uint32_t)index + 1;
}

static void swap(Schedule *s, size_t a, size_t b) {
        size_t cell_a = cell_of(s, s->heap[a].hash, &s->heap[a].key, s->heap[a].lane);
        size_t cell_b = cell_of(s, s->heap[b].hash, &s->heap[b].key, s->heap[b].lane);
        Slot kept = s->heap[a];
        s->heap[a] = s->heap[b];
        s->heap[b] = kept;
        s->table[cell_a] = (uint32_t)b + 1;
        s->table[cell_b] = (uint32_t)a + 1;
}

static void sift(Schedule *s, size_t at) {
        while (at > 0 && s->heap[at].due.ns < s->heap[(at - 1) / 2].due.ns) {
                swap(s, at, (at - 1) / 2);
                at = (at - 1) / 2;
        }
        for (;;) {
                size_t least = at, left = 2 * at + 1, right = left + 1;
                if (left < s->n && s->heap[left].due.ns < s->heap[least].due.ns)
                        least = left;
                if (right < s->n && s->heap[right].due.ns < s->heap[least].due.ns)
                        least = right;
                if (least == at)
                        return;
                swap(s, at, least);
                at = least;
        }
}

/* The table is at most half full. */
static int grow(Schedule *s) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        Slot *heap = reallocarray(s->heap, cap, sizeof *heap);
        if (!heap)
                return -ENOMEM;
        s->heap = heap;
        uint32_t *table = calloc(cap * 2, sizeof *table);
        if (!table)
                return -ENOMEM;
        free(s->table);
        s->table = table;
        s->table_size = cap * 2;
        s->cap = cap;
        for (size_t i = 0; i < s->n; i++)
                point(s, i);
        return 0;
}

static Slot *find(const Schedule *s, const EntityKey *key, Lane lane, size_t *ret_index) {
        if (s->n == 0)
                return NULL;
        size_t cell = cell_of(s, hash_of(key, lane), key, lane);
        if (!s->table[cell])
                return NULL;
        *ret_index = s->table[cell] - 1;
        return &s->heap[*ret_index];
}

/* Empties a cell and moves up what had been pushed behind it. */
static void unpoint(Schedule *s, size_t cell) {
        size_t mask = s->table_size - 1, next = cell;
        s->table[cell] = 0;
        for (;;) {
                next = (next + 1) & mask;
                if (!s->table[next])
                        return;
                size_t home = s->heap[s->table[next] - 1].hash & mask;
                if (((next - home) & mask) >= ((next - cell) & mask)) {
                        s->table[cell] = s->table[next];
                        s->table[next] = 0;
                        cell = next;
                }
        }
}

static void take_out(Schedule *s, size_t index) {
        size_t last = s->n - 1;
        if (index != last)
                swap(s, index, last);
        unpoint(s, cell_of(s, s->heap[last].hash, &s->heap[last].key, s->heap[last].lane));
        s->n--;
        if (index != last)
                sift(s, index);
}

static int add(Schedule *s, EntityKey key, Lane lane, Duration interval, MonoTime now) {
        if (s->n == s->cap) {
                int r = grow(s);
                if (r < 0)
                        return r;
        }
        s->heap[s->n] = (Slot){ key, lane, interval, now, hash_of(&key, lane) };
        s->n++;
        point(s, s->n - 1);
        sift(s, s->n - 1);
        return 0;
}

/* The first point of the slot's grid after `now`. */
static MonoTime next_due(const Slot *slot, MonoTime now) {
        int64_t interval = slot->interval.ns, phase = (int64_t)(slot->hash % (uint64_t)interval);
        int64_t rounds = (now.ns - phase) / interval;
        int64_t due = rounds * interval + phase;
        return (MonoTime){ due > now.ns ? due : due + interval };
}

int schedule_set(Schedule *s, EntityKey key, Lane lane, Duration interval, MonoTime now) {
        assert(interval.ns >= 0);
        size_t index;
        Slot *slot = find(s, &key, lane, &index);
        if (!slot)
                return interval.ns ? add(s, key, lane, interval, now) : 0;
        if (interval.ns == 0) {
                take_out(s, index);
                return 0;
        }
        if (interval.ns == slot->interval.ns)
                return 0;
        bool shorter = interval.ns < slot->interval.ns;
        slot->interval = interval;
        slot->due = shorter ? now : next_due(slot, now);
        sift(s, index);
        return 0;
}

void schedule_remove(Schedule *s, EntityKey key) {
        for (Lane lane = 0; lane < LANE_COUNT; lane++) {
                size_t index;
                if (find(s, &key, lane, &index))
                        take_out(s, index);
        }
}

bool schedule_take(Schedule *s, MonoTime now, ScheduleItem *ret_item) {
        if (s->n == 0 || s->heap[0].due.ns > now.ns)
                return false;
        Slot *slot = &s->heap[0];
        *ret_item = (ScheduleItem){ slot->key, slot->lane, slot->due };
        slot->due = next_due(slot, now);
        sift(s, 0);
        return true;
}

void schedule_defer(Schedule *s, EntityKey key, Lane lane, MonoTime when) {
        size_t index;
        Slot *slot = find(s, &key, lane, &index);
        if (!slot)
                return;
        slot->due = when;
        sift(s, index);
}

bool schedule_next(const Schedule *s, MonoTime *ret_due) {
        if (s->n == 0)
                return false;
        *ret_due = s->heap[0].due;
        return true;
}

size_t schedule_count(const Schedule *s) {
        return s->n;
}
