#include "cli/table.h"

#include "base/escape.h"

#include <assert.h>
#include <string.h>
#include <wchar.h>

/* The next character: its bytes, and the columns it takes. */
static size_t next_char(const char *s, size_t n, size_t *ret_width) {
        mbstate_t state = { 0 };
        wchar_t c;
        size_t len = mbrtowc(&c, s, n, &state);
        if (len == (size_t)-1 || len == (size_t)-2 || len == 0) {
                *ret_width = 1;
                return 1;
        }
        int width = wcwidth(c);
        *ret_width = width < 0 ? 1 : (size_t)width;
        return len;
}

size_t display_width(const char *s) {
        size_t n = strlen(s), total = 0, width;
        for (size_t at = 0; at < n; total += width)
                at += next_char(s + at, n - at, &width);
        return total;
}

void table_init(Table *t, const TableColumn *columns, size_t n) {
        assert(n > 0);
        *t = (Table){ .columns = columns, .n_columns = n };
}

void table_deinit(Table *t) {
        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i]);
        free(t->cells);
        *t = (Table){ .columns = t->columns, .n_columns = t->n_columns };
}

/* Cuts to `max` columns, the last of which is then an ellipsis. */
static void cut(char *s, size_t max) {
        static const char ELLIPSIS[] = "\xe2\x80\xa6";
        if (!max || display_width(s) <= max)
                return;
        size_t n = strlen(s), at = 0, used = 0;
        while (at < n) {
                size_t width, len = next_char(s + at, n - at, &width);
                if (used + width > max - 1)
                        break;
                used += width;
                at += len;
        }
        if (n - at >= sizeof ELLIPSIS - 1)
                memcpy(s + at, ELLIPSIS, sizeof ELLIPSIS);
        else
                s[at] = '\0';
}

static bool make_room(Table *t) {
        if (t->n_cells < t->cap)
                return true;
        size_t cap = t->cap ? t->cap * 2 : 64;
        char **cells = reallocarray(t->cells, cap, sizeof *cells);
        if (!cells)
                return false;
        t->cells = cells;
        t->cap = cap;
        return true;
}

void table_cell(Table *t, const char *s) {
        CLEANUP(buf_deinit) Buf safe = BUF_NULL;
        size_t column = t->n_cells % t->n_columns;
        escape_terminal(&safe, s, strlen(s));
        char *copy = make_room(t) ? strdup(buf_cstr(&safe)) : NULL;
        if (!copy) {
                t->failed = true;
                return;
        }
        cut(copy, t->columns[column].max);
        t->cells[t->n_cells++] = copy;
}

static size_t column_width(const Table *t, size_t column, bool titles) {
        size_t widest = titles ? display_width(t->columns[column].title) : 0;
        for (size_t i = column; i < t->n_cells; i += t->n_columns) {
                size_t w = display_width(t->cells[i]);
                widest = w > widest ? w : widest;
        }
        return widest;
}

static void put_padded(Buf *out, const char *s, size_t width, bool right, bool last) {
        size_t pad = width - display_width(s);
        if (right)
                buf_printf(out, "%*s", (int)pad, "");
        buf_put_str(out, s);
        if (last)
                buf_put_char(out, '\n');
        else
                buf_printf(out, "%*s", (int)(right ? 2 : pad + 2), "");
}

void table_print(const Table *t, bool titles, Buf *out) {
        CLEANUP_FREE size_t *width = calloc(t->n_columns, sizeof *width);
        if (!width)
                return;
        for (size_t c = 0; c < t->n_columns; c++)
                width[c] = column_width(t, c, titles);
        for (size_t c = 0; titles && c < t->n_columns; c++)
                put_padded(out, t->columns[c].title, width[c], t->columns[c].right, c + 1 == t->n_columns);
        for (size_t i = 0; i < t->n_cells; i++) {
                size_t c = i % t->n_columns;
                put_padded(out, t->cells[i], width[c], t->columns[c].right, c + 1 == t->n_columns);
        }
}
