/* Sets of labels are runs of bytes in ascending order of names, so taking labels out is copying what lies between them:
 * nothing is decoded but lengths, and equal sets stay equal bytes. */
#include "query/value.h"

#include "base/varint.h"

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { TAG_LABEL = 0x0a, TAG_NAME = 0x0a, TAG_VALUE = 0x12 };

/* One label where it lies in its run. */
typedef struct Piece {
        const uint8_t *begin, *end;
        Span name, value;
} Piece;

static inline size_t take_length(const uint8_t **at, const uint8_t *end) {
        uint64_t v = **at;
        if (v < 0x80) {
                ++*at;
                return (size_t)v;
        }
        bool good = varint_get(at, end, &v);
        assert(good);
        return (size_t)v;
}

static inline Span take_field(const uint8_t **at, const uint8_t *end, uint8_t tag) {
        assert(*at < end && **at == tag);
        ++*at;
        size_t n = take_length(at, end);
        assert(n <= (size_t)(end - *at));
        Span s = { (const char *)*at, n };
        *at += n;
        return s;
}

static inline bool next_piece(const uint8_t **at, const uint8_t *end, Piece *ret) {
        if (*at >= end)
                return false;
        ret->begin = *at;
        Span body = take_field(at, end, TAG_LABEL);
        const uint8_t *in = (const uint8_t *)body.text;
        ret->end = in + body.len;
        ret->name = take_field(&in, ret->end, TAG_NAME);
        ret->value = take_field(&in, ret->end, TAG_VALUE);
        return true;
}

static inline int order(Span a, Span b) {
        size_t n = a.len < b.len ? a.len : b.len;
        int r = n ? memcmp(a.text, b.text, n) : 0;
        return r ? r : a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

static const Span METRIC_NAME = { METRIC_NAME_LABEL, sizeof METRIC_NAME_LABEL - 1 };

static const uint8_t *run_end(LabelSet l) {
        return l.len ? l.run + l.len : l.run;
}

Span labelset_get(LabelSet l, Span name) {
        const uint8_t *at = l.run;
        Piece p;
        while (next_piece(&at, run_end(l), &p))
                if (p.name.len == name.len && memcmp(p.name.text, name.text, name.len) == 0)
                        return p.value;
        return (Span){ "", 0 };
}

/* A run is built in room for the longest that it can become; what is left over is given back. */
typedef struct Builder {
        Arena *arena;
        uint8_t *run;
        size_t room, len;
} Builder;

static Builder builder(Arena *a, size_t room) {
        return (Builder){ .arena = a, .run = arena_alloc(a, room), .room = room };
}

static void copy_pieces(Builder *b, const uint8_t *begin, const uint8_t *end) {
        if (b->run && begin < end)
                memcpy(b->run + b->len, begin, (size_t)(end - begin));
        b->len += (size_t)(end - begin);
        assert(b->len <= b->room);
}

static LabelSet builder_end(Builder *b) {
        uint8_t *run = b->run ? arena_grow(b->arena, b->run, b->room, b->len) : NULL;
        return (LabelSet){ run, run ? (uint32_t)b->len : 0 };
}

LabelSet labelset_drop_name(Arena *a, LabelSet l) {
        return labelset_without(a, l, NULL, 0, true);
}

LabelSet labelset_keep(Arena *a, LabelSet l, const Span *names, size_t n) {
        Builder b = builder(a, l.len);
        const uint8_t *at = l.run;
        Piece p;
        for (size_t i = 0; i < n && next_piece(&at, run_end(l), &p);) {
                int r = order(p.name, names[i]);
                while (r > 0 && ++i < n)
                        r = order(p.name, names[i]);
                if (i < n && r == 0)
                        copy_pieces(&b, p.begin, p.end);
        }
        return builder_end(&b);
}

LabelSet labelset_without(Arena *a, LabelSet l, const Span *names, size_t n, bool drop_metric) {
        Builder b = builder(a, l.len);
        const uint8_t *at = l.run, *from = l.run;
        size_t i = 0;
        Piece p;
        while (next_piece(&at, run_end(l), &p)) {
                while (i < n && order(names[i], p.name) < 0)
                        i++;
                bool named = i < n && order(names[i], p.name) == 0;
                if (!named && !(drop_metric && order(p.name, METRIC_NAME) == 0))
                        continue;
                copy_pieces(&b, from, p.begin);
                from = p.end;
        }
        copy_pieces(&b, from, run_end(l));
        return builder_end(&b);
}

static size_t field_size(size_t n) {
        uint8_t room[16];
        return 1 + varint_put(room, n) + n;
}

static uint8_t *put_field(uint8_t *at, uint8_t tag, Span s) {
        *at++ = tag;
        at += varint_put(at, s.len);
        memcpy(at, s.text, s.len);
        return at + s.len;
}

static void put_label(Builder *b, Span name, Span value) {
        size_t body = field_size(name.len) + field_size(value.len);
        if (b->run) {
                uint8_t *at = b->run + b->len;
                *at++ = TAG_LABEL;
                at += varint_put(at, body);
                at = put_field(at, TAG_NAME, name);
                (void)put_field(at, TAG_VALUE, value);
        }
        b->len += field_size(body);
}

/* Everything that reads runs relies on the limits of model/labels.h, so a label too many is an error of the query. */
static bool fits(Arena *a, LabelSet l, Span name, Span value) {
        const uint8_t *at = l.run;
        size_t n = 0;
        Piece p;
        while (next_piece(&at, run_end(l), &p))
                n++;
        if (n < LABELS_MAX && (size_t)l.len + name.len + value.len + 32 <= LABEL_RUN_MAX)
                return true;
        if (!a->error)
                a->error = -EOVERFLOW;
        return false;
}

LabelSet labelset_set(Arena *a, LabelSet l, Span name, Span value) {
        if (value.len == 0)
                return labelset_without(a, l, &name, 1, false);
        if (!fits(a, l, name, value))
                return (LabelSet){ 0 };
        Builder b = builder(a, l.len + name.len + value.len + 32);
        const uint8_t *at = l.run, *from = l.run;
        Piece p;
        int r = 1;
        while (r > 0 && next_piece(&at, run_end(l), &p)) {
                r = order(name, p.name);
                if (r > 0)
                        continue;
                copy_pieces(&b, from, p.begin);
                put_label(&b, name, value);
                from = r == 0 ? p.end : p.begin;
        }
        if (r > 0) {
                copy_pieces(&b, from, run_end(l));
                from = run_end(l);
                put_label(&b, name, value);
        }
        copy_pieces(&b, from, run_end(l));
        return builder_end(&b);
}

bool labelset_equal(LabelSet a, LabelSet b) {
        return a.len == b.len && (a.len == 0 || memcmp(a.run, b.run, a.len) == 0);
}

uint64_t labelset_hash(LabelSet l) {
        return XXH3_64bits(l.run, l.len);
}
