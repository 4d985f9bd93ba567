#include "query/select.h"

void tier_plan(Exec *x, const Node *n, Selection *s) {
        s->parts[0] = (SelectionPart){ .tier = STORE_RAW, .begin_ms = s->begin_ms, .end_ms = s->end_ms };
        s->n_parts = 1;
}

bool tier_plan_equal(const Selection *a, const Selection *b) {
        return a->n_parts == b->n_parts;
}

void tier_say(Exec *x, const Selection *s) {
}

int tier_row(Exec *x, Worker *w, Node *n, size_t i, Row *row) {
        return -EINVAL;
}
