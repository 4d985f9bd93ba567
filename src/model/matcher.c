#include "model/matcher.h"

#include <assert.h>

static bool has_regex(MatchType type) {
        return type == MATCH_REGEX || type == MATCH_NOT_REGEX;
}

int matcher_init(Matcher *m, MatchType type, Span name, Span value, Buf *ret_error) {
        Regex *regex = NULL;
        if (has_regex(type)) {
                int r = regex_new(value.text, value.len, ret_error, &regex);
                if (r < 0)
                        return r;
        }
        *m = (Matcher){ .type = type, .name = name, .value = value, .regex = regex };
        return 0;
}

void matcher_deinit(Matcher *m) {
        (void)regex_free(m->regex);
        *m = MATCHER_NULL;
}

static bool span_equal(Span a, Span b) {
        return a.len == b.len && (a.len == 0 || memcmp(a.text, b.text, a.len) == 0);
}

bool matcher_matches(const Matcher *m, Span value) {
        switch (m->type) {
        case MATCH_EQUAL: return span_equal(m->value, value);
        case MATCH_NOT_EQUAL: return !span_equal(m->value, value);
        case MATCH_REGEX: return regex_matches(m->regex, value.text, value.len);
        case MATCH_NOT_REGEX: return !regex_matches(m->regex, value.text, value.len);
        }
        assert(!"a type of matcher");
        return false;
}
