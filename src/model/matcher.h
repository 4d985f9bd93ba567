/* A condition on one label. A label that a series does not have is "" to a matcher, as in PromQL. */
#pragma once

#include "base/regex.h"
#include "base/scan.h"

typedef enum MatchType { MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX, MATCH_NOT_REGEX } MatchType;

typedef struct Matcher {
        MatchType type;
        Span name, value; /* borrowed */
        Regex *regex;     /* of value, for the two regex types; owned */
} Matcher;

#define MATCHER_NULL ((Matcher){ 0 })

/* Borrows name and value. 0; -EINVAL for a bad regex, with the reason appended to ret_error (may be NULL); -EFBIG; -ENOMEM. */
int matcher_init(Matcher *m, MatchType type, Span name, Span value, Buf *ret_error) MUST_USE;
void matcher_deinit(Matcher *m);
bool matcher_matches(const Matcher *m, Span value);
