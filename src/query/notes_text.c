#include "query/notes.h"

static const char *render(const Note *note, Span query, Arena *a) {
        uint32_t line, column;
        if (note->place.begin == UINT32_MAX)
                return note->text;
        place_line_column(query, note->place.begin, &line, &column);
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        buf_put(&text, note->text, note->len);
        buf_printf(&text, " (%u:%u)", line, column);
        return buf_error(&text) ? NULL : arena_copy(a, text.data, text.len);
}

static const char *render_omitted(size_t omitted, NoteKind kind, Arena *a) {
        char text[80];
        int len = snprintf(text, sizeof text, "%zu more %s annotations omitted", omitted,
                           kind == NOTE_WARNING ? "warning" : "info");
        return arena_copy(a, text, (size_t)len);
}

size_t notes_render(const Notes *n, NoteKind kind, Span query, Arena *a, const char *const **ret_texts) {
        const NoteSet *s = &n->sets[kind];
        const char **texts = ARENA_ARRAY(a, const char *, s->n + 1);
        size_t filled = 0;
        for (size_t i = 0; texts && i < s->n; i++)
                if ((texts[filled] = render(&s->notes[i], query, a)))
                        filled++;
        if (texts && s->omitted && (texts[filled] = render_omitted(s->omitted, kind, a)))
                filled++;
        *ret_texts = texts;
        return texts ? filled : 0;
}
