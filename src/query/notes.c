#include "query/notes.h"

#include <assert.h>
#include <stdarg.h>

void notes_init(Notes *n, Arena *a) {
        n->arena = a;
        for (size_t i = 0; i < ARRAY_LEN(n->sets); i++)
                n->sets[i].n = n->sets[i].omitted = 0;
}

static void add_text(Notes *n, NoteKind kind, Place place, const char *text, size_t len) {
        NoteSet *s = &n->sets[kind];
        for (size_t i = 0; i < s->n; i++)
                if (s->notes[i].len == len && memcmp(s->notes[i].text, text, len) == 0)
                        return;
        if (s->n == NOTES_MOST) {
                s->omitted++;
                return;
        }
        const char *copy = arena_copy(n->arena, text, len);
        if (copy)
                s->notes[s->n++] = (Note){ copy, (uint32_t)len, place };
}

void notes_add(Notes *n, NoteKind kind, Place place, const char *fmt, ...) {
        char text[1024]; /* names of metrics are short enough; a longer text is cut */
        va_list ap;
        va_start(ap, fmt);
        int len = vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        assert(len >= 0);
        add_text(n, kind, place, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

void notes_merge(Notes *n, const Notes *from) {
        for (size_t kind = 0; kind < ARRAY_LEN(from->sets); kind++) {
                const NoteSet *s = &from->sets[kind];
                for (size_t i = 0; i < s->n; i++)
                        add_text(n, (NoteKind)kind, s->notes[i].place, s->notes[i].text, s->notes[i].len);
                n->sets[kind].omitted += s->omitted;
        }
}
