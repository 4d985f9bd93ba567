/* What a query answers, taken out of Prometheus's JSON: series of points, whatever the type was. All of it lives in one
 * arena and in the JSON, which must stay. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

#include <jansson.h>

typedef struct QueryPoint {
        double time, value; /* seconds since 1970; the value of a histogram is NaN */
        const char *text;   /* the value as the server wrote it; of a histogram "count=2 sum=3" */
} QueryPoint;

typedef struct QuerySeries {
        const char *name; /* up{job="x"}; "" for a scalar and a string */
        json_t *labels;   /* borrowed; NULL for a scalar and a string */
        QueryPoint *points;
        size_t n;
} QuerySeries;

typedef struct QueryAnswer {
        ArenaBudget budget;
        Arena arena;
        bool range; /* many points a series */
        QuerySeries *series;
        size_t n;
} QueryAnswer;

/* Of the object `data`. 0; -EBADMSG for what is no answer of a query; -ENOMEM. The answer must not move. */
int query_answer_read(json_t *data, QueryAnswer *ret_answer) MUST_USE;
void query_answer_deinit(QueryAnswer *a);

/* Rows for people; a line a series, or, of a range, a line a point below the series' name. */
void query_render_table(const QueryAnswer *a, Buf *out);
/* RFC 4180 with a title: a column for each label that any series has, then time and value. */
void query_render_csv(const QueryAnswer *a, Buf *out);
/* "2026-11-25 12:00:00Z", with milliseconds where there are any. */
void query_time_text(double seconds, char out[40]);
