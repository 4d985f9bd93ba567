/* What functions of whole vectors share. */
#pragma once

#include "query/function_priv.h"

/* Rows for a result. NULL: the arena's error. */
Row *whole_rows(const WholeCall *c, size_t n) MUST_USE;
/* A row of its own values, all absent. 0 or the arena's error. */
int whole_row_init(const WholeCall *c, Row *row) MUST_USE;
Place whole_place(const WholeCall *c, size_t arg);
/* -EINVAL, with the text for the user. */
int whole_refuse(const WholeCall *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

int whole_label_replace(const WholeCall *c, const Value *args, Value *ret_value) MUST_USE;
int whole_label_join(const WholeCall *c, const Value *args, Value *ret_value) MUST_USE;
int whole_sort_by_label(const WholeCall *c, const Value *args, Value *ret_value) MUST_USE;

int whole_histogram_quantile(const WholeCall *c, const Value *args, Value *ret_value) MUST_USE;
int whole_histogram_quantiles(const WholeCall *c, const Value *args, Value *ret_value) MUST_USE;
int whole_histogram_fraction(const WholeCall *c, const Value *args, Value *ret_value) MUST_USE;
