/* What an `eval` of a test script expects, and whether a result is that. */
#pragma once

#include "notation.h"
#include "query/query.h"

typedef enum ExpectKind {
        EXPECT_FAIL,
        EXPECT_WARN,
        EXPECT_INFO,
        EXPECT_NO_WARN,
        EXPECT_NO_INFO,
        EXPECT_ORDERED,
        EXPECT_KIND_COUNT
} ExpectKind;

typedef struct ExpectLine {
        ExpectKind kind;
        Buf message;  /* exactly this, where there is one */
        Regex *regex; /* or a part of the text matches this; with neither: anything */
} ExpectLine;

typedef struct Expectation {
        ExpectLine *lines;
        size_t n_lines, count[EXPECT_KIND_COUNT];
        NotedSeries *series; /* in the order in which they are written */
        size_t n_series;
        bool has_scalar, has_string, has_range_vector;
        double scalar;
        Buf string;
        int64_t from_ms, to_ms, step_ms; /* of the range vector, or of the range query */
        double epsilon;
} Expectation;

void expectation_deinit(Expectation *e);
/* One line below an `eval`. 0 or -EINVAL with the reason. */
int expectation_line(Expectation *e, Arena *a, Span line, Buf *ret_error) MUST_USE;
/* `fail`, ... as in `eval_fail`. */
bool expectation_modifier(Expectation *e, Span modifier);

/* Whether the result is what is expected; else why not. `range`: of a range query; otherwise `at_step` is the step of
 * the result that counts (of an instant query: 0). */
bool expectation_holds(const Expectation *e, const QueryResult *r, bool range, size_t at_step, Buf *ret_why);
