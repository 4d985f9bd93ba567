/* What the parts of function.h share. */
#pragma once

#include "query/function.h"

/* A metric's name as annotations have it: with quotes, escaped as in Go. */
#define QUOTED_MAX 600
typedef struct Quoted {
        char text[QUOTED_MAX];
} Quoted;
Quoted function_quote(Span s);
/* ` for metric name "x"`, or nothing when there is none. */
Quoted function_for_metric(Span metric);
/* A number as Go's %g. */
Quoted function_number(double v);
/* What all functions that take a quantile say of a bad one. */
void function_check_quantile(Notes *notes, Place place, double q);
/* An argument without the parentheses around it. */
const Expr *function_bare(const Expr *e);

/* Go's math.Max and Min: infinities before NaN. */
double function_max(double a, double b);
double function_min(double a, double b);

/* Ascending, NaN first. */
void function_sort(double *values, size_t n);
/* The quantile (0 to 1) of values in that order. */
double function_quantile_sorted(double q, const double *values, size_t n);

/* The notes that several functions have. */
typedef enum HistOperation { HIST_ADDITION, HIST_SUBTRACTION, HIST_AGGREGATION } HistOperation;
void note_mixed(Notes *n, Place place, Span metric);              /* floats and histograms where only one kind can be */
void note_ignored_histograms(Notes *n, Place place, Span metric); /* in a range of both */
void note_mixed_schemas(Notes *n, Place place, Span metric);      /* exponential with custom */
void note_not_counter(Notes *n, Place place, Span metric);        /* a gauge histogram */
void note_not_gauge(Notes *n, Place place, Span metric);
void note_reset_collision(Notes *n, Place place, HistOperation op);
void note_custom_mismatch(Notes *n, Place place, HistOperation op);
