/* A table for a terminal: columns as wide as their widest cell in display columns (CJK characters take
 * two), cells made safe with escape_terminal(). */
#pragma once

#include "base/buf.h"

typedef struct TableColumn {
        const char *title;
        bool right;   /* numbers */
        size_t max;   /* display columns after which a cell is cut; 0 = none */
} TableColumn;

typedef struct Table {
        const TableColumn *columns;
        size_t n_columns, n_cells;
        char **cells; /* row by row, escaped */
        size_t cap;
        bool failed;
} Table;

void table_init(Table *t, const TableColumn *columns, size_t n);
void table_deinit(Table *t);
/* Cells fill rows from left to right. */
void table_cell(Table *t, const char *s);
/* Titles and rows; the last column is not padded. */
void table_print(const Table *t, bool titles, Buf *out);

/* Columns that a UTF-8 text takes on a terminal. */
size_t display_width(const char *s);
