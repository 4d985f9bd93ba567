/* A small plot for a terminal: lines of braille dots (2 x 4 a cell) with an axis of values and one of times. Several
 * series have colours, or, where there are none, letters instead of dots. */
#pragma once

#include "cli/query_answer.h"

#define PLOT_SERIES_MAX 12u /* of more than that the rest is counted only */

typedef struct PlotOptions {
        size_t width, height; /* of the whole, and of the area with the lines; in columns and rows of the terminal */
        bool color;
        double start, end; /* seconds since 1970 */
        double step;       /* points further apart than this are not joined */
} PlotOptions;

void plot_render(const QueryAnswer *a, const PlotOptions *o, Buf *out);
