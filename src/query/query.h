/* The query engine: a PromQL expression over the store, evaluated in columns. Synchronous: it runs on the caller's thread (one of a
 * Pool, see rt/pool.h) and may borrow idle threads of that pool. See docs/query.md. */
#pragma once

#include "query/value.h"
#include "rt/pool.h"
#include "store/store.h"

typedef enum QueryTier { QUERY_TIER_AUTO, QUERY_TIER_RAW, QUERY_TIER_5M, QUERY_TIER_1H } QueryTier;

typedef struct QueryLimits {
        Duration timeout;       /* 30 s */
        uint64_t max_samples;   /* decoded, in all: 50,000,000 */
        uint32_t max_series;    /* selected by one selector */
        size_t max_memory;      /* bytes of the query */
        uint64_t max_points;    /* of the result: steps x series */
        uint32_t max_steps;     /* 11,000, as Prometheus */
} QueryLimits;
void query_limits_default(QueryLimits *l);

typedef struct QueryRequest {
        Span text;
        bool instant;                       /* at start_ms */
        int64_t start_ms, end_ms, step_ms;  /* step > 0 unless instant */
        int64_t lookback_ms;                /* 0: the default, 5 min */
        int64_t subquery_step_ms;           /* 0: the default, 60 s */
        QueryTier tier;
        unsigned features;                  /* PromqlFeature */
        QueryLimits limits;
        const atomic_bool *cancelled;       /* the client is gone; NULL: never */
        Pool *pool;                         /* helps; NULL: nobody does */
        bool explain;                       /* keep figures of each node for query_explain() */
} QueryRequest;

typedef enum QueryFault {
        QUERY_OK,
        QUERY_BAD_DATA,    /* 400: does not parse, or a parameter is wrong */
        QUERY_EXECUTION,   /* 422: many-to-many matching, a limit; the text names it */
        QUERY_TIMEOUT,     /* 503 */
        QUERY_CANCELLED,   /* 503 (499) */
        QUERY_INTERNAL,    /* 500 */
} QueryFault;
const char *query_fault_name(QueryFault f); /* Prometheus's errorType: "bad_data", "execution", "timeout", "canceled", "internal" */

typedef struct QueryStats {
        uint64_t samples, series, bytes_read;     /* decoded; selected */
        uint64_t peak_samples;
        size_t peak_memory;
        Duration parse, select, eval, total;
        uint64_t tier_ms[STORE_TIER_COUNT];       /* milliseconds of time read from each tier */
} QueryStats;

/* A range selector's samples: only for an instant query whose expression is a range vector. */
typedef struct MatrixRow {
        LabelSet labels;
        int64_t *times;
        double *values;
        FHist **hists; /* NULL, or one a sample; NULL entries are floats */
        size_t n;
} MatrixRow;

typedef struct QueryResult {
        QueryFault fault;
        Buf error;        /* for the user */
        ExprType type;    /* of the expression */
        Steps steps;
        Value value;      /* vector (also the rows of a range query), scalar, string; in the order in which it is to be shown */
        MatrixRow *matrix;
        size_t n_matrix;
        const char *const *warnings, *const *infos;
        size_t n_warnings, n_infos;
        QueryStats stats;
} QueryResult;

typedef struct Query Query; /* owns everything of its result */

/* Runs it. Always gives a query, whose result says what went wrong; NULL: without memory. */
Query *query_run(Store *store, const QueryRequest *request) MUST_USE;
const QueryResult *query_result(const Query *q);
Query *query_free(Query *q);
/* The plan as a tree with rows, samples, bytes and time of each node, of a query that ran with `explain`. */
void query_explain(const Query *q, Buf *out);
