/* The annotations of a query as they are collected. A text is kept once, with the first place it was said for, and no
 * more than NOTES_MOST of a kind are; the others are counted. Not for two threads at once: workers have sets of their
 * own, which are merged in the order of their work, so that an answer does not depend on who was faster. */
#pragma once

#include "query/value.h"

#define NOTES_MOST 64u /* of each kind */

typedef struct Note {
        const char *text;
        uint32_t len;
        Place place; /* NOTE_NOWHERE: about the whole query */
} Note;

#define NOTE_NOWHERE ((Place){ UINT32_MAX, UINT32_MAX })

typedef struct NoteSet {
        Note notes[NOTES_MOST];
        size_t n, omitted;
} NoteSet;

struct Notes {
        Arena *arena; /* of the texts; without memory notes are lost */
        NoteSet sets[2]; /* by NoteKind */
};

void notes_init(Notes *n, Arena *a);
/* What `from` says, too: texts are copied. */
void notes_merge(Notes *n, const Notes *from);
/* The texts with their places as (line:column) of the query's text, and how many were left out; *ret_texts is the
 * arena's, NULL without memory. */
size_t notes_render(const Notes *n, NoteKind kind, Span query, Arena *a, const char *const **ret_texts);
