#include "export/labels.h"

#include "base/escape.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

void label_block_deinit(LabelBlock *b) {
        buf_deinit(&b->text);
        buf_deinit(&b->refs);
}

void label_block_reset(LabelBlock *b) {
        buf_reset(&b->text);
        buf_reset(&b->refs);
}

void label_block_end(LabelBlock *b, size_t start) {
        buf_put(&b->refs, &(LabelRef){ (uint32_t)start, (uint32_t)(b->text.len - start) }, sizeof(LabelRef));
}

void label_block_drop(LabelBlock *b) {
        buf_put(&b->refs, &(LabelRef){ 0, LABEL_DROPPED }, sizeof(LabelRef));
}

static LabelRef *ref_at(const LabelBlock *b, size_t i) {
        return (LabelRef *)(void *)b->refs.data + i;
}

bool label_block_get(const LabelBlock *b, size_t i, Span *ret_labels) {
        if (i >= label_block_count(b))
                return false;
        const LabelRef *r = ref_at(b, i);
        if (r->len == LABEL_DROPPED)
                return false;
        *ret_labels = (Span){ b->text.data + r->at, r->len };
        return true;
}

int label_block_error(const LabelBlock *b) {
        return buf_error(&b->text) ? buf_error(&b->text) : buf_error(&b->refs);
}

static bool same_text(const LabelBlock *b, size_t i, size_t j) {
        Span x, y;
        return label_block_get(b, i, &x) && label_block_get(b, j, &y) && x.len == y.len &&
               memcmp(x.text, y.text, x.len) == 0;
}

/* Calls `twin(b, i, j)` for each object i that has the text of an earlier object j. */
static void find_twins(LabelBlock *b, size_t first, void (*twin)(LabelBlock *b, size_t i, size_t j, void *context),
                       void *context) {
        size_t n = label_block_count(b);
        if (n < first + 2 || label_block_error(b))
                return;
        if (n - first <= 8) {
                for (size_t i = first + 1; i < n; i++)
                        for (size_t j = first; j < i; j++)
                                if (same_text(b, i, j)) {
                                        twin(b, i, j, context);
                                        break;
                                }
                return;
        }
        size_t slots = 16;
        while (slots < 2 * (n - first))
                slots *= 2;
        CLEANUP_FREE uint32_t *table = calloc(slots, sizeof *table); /* index + 1 */
        if (!table) {
                b->refs.error = -ENOMEM;
                return;
        }
        for (size_t i = first; i < n; i++) {
                Span s;
                if (!label_block_get(b, i, &s))
                        continue;
                size_t at = XXH3_64bits(s.text, s.len) & (slots - 1);
                while (table[at] && !same_text(b, i, table[at] - 1))
                        at = (at + 1) & (slots - 1);
                if (table[at])
                        twin(b, i, table[at] - 1, context);
                else
                        table[at] = (uint32_t)i + 1;
        }
}

static void drop_twin(LabelBlock *b, size_t i, size_t j, void *context) {
        (void)j, (void)context;
        ref_at(b, i)->len = LABEL_DROPPED;
}

void label_block_dedupe(LabelBlock *b, size_t first) {
        find_twins(b, first, drop_twin, NULL);
}

static void mark_twins(LabelBlock *b, size_t i, size_t j, void *context) {
        (void)b;
        bool *shared = context;
        shared[i] = shared[j] = true;
}

/* A name that looks as if it carried "~UUID" already is marked too. So a marked name ends in its own UUID,
 * an unmarked one in none, and neither can meet another: whoever chooses names cannot forge one. */
static bool ends_in_uuid(Span s) {
        Uuid u;
        return s.len > UUID_TEXT_LEN && s.text[s.len - UUID_TEXT_LEN - 1] == '~' &&
               uuid_parse(s.text + s.len - UUID_TEXT_LEN, UUID_TEXT_LEN, &u) == 0;
}

void label_unique_names(LabelBlock *b, LatestEntity *const *entities, size_t n, EntityNameFn name_of) {
        for (size_t i = 0; i < n; i++) {
                size_t start = label_block_begin(b);
                Span name = name_of(entities[i]);
                escape_label(&b->text, name.text, name.len);
                label_block_end(b, start);
        }
        CLEANUP_FREE bool *shared = calloc(n ? n : 1, sizeof *shared);
        if (!shared) {
                b->refs.error = -ENOMEM;
                return;
        }
        find_twins(b, 0, mark_twins, shared);
        for (size_t i = 0; i < n && !label_block_error(b); i++) {
                Span s;
                if (!label_block_get(b, i, &s) || (!shared[i] && !ends_in_uuid(s)))
                        continue;
                char id[UUID_TEXT_LEN + 2] = "~";
                uuid_format(&entities[i]->key.id, id + 1);
                size_t start = b->text.len;
                if (!buf_reserve(&b->text, s.len + sizeof id))
                        return;
                /* reserve may have moved the text */
                buf_put(&b->text, b->text.data + ref_at(b, i)->at, s.len);
                buf_put_str(&b->text, id);
                *ref_at(b, i) = (LabelRef){ (uint32_t)start, (uint32_t)(b->text.len - start) };
        }
}
