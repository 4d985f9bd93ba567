/* Reader of the protobuf exposition: messages io.prometheus.client.MetricFamily, each behind its length as a varint.
 * Makes the items of wire/exposition_parse.h, so that who takes them need not know the format:
 *
 *   of a family          HELP, TYPE, UNIT where it has them
 *   of a counter, gauge  one sample
 *   of a summary         NAME{quantile="0.5"}, NAME_sum, NAME_count
 *   of a histogram       NAME_bucket{le="1.0"}, NAME_sum, NAME_count; a native one an item of the kind
 * EXPOSITION_HISTOGRAM,                        and those as well with `classic`
 *
 * Bounded as everything from outside is: no recursion, nothing allocated but one line of text and one histogram. A
 * message that is malformed, a name that is not UTF-8, or a native histogram that contradicts itself ends the reading;
 * the error's line is the number of the family. */
#pragma once

#include "wire/exposition_parse.h"

typedef struct ExpositionProto ExpositionProto;

/* Borrows the bytes. -ENOMEM. */
int exposition_proto_begin(const uint8_t *bytes, size_t n, bool classic, ExpositionProto **ret_parser) MUST_USE;
/* As exposition_next(). */
int exposition_proto_next(ExpositionProto *p, ExpositionItem *ret_item) MUST_USE;
/* Valid after an error. */
const ExpositionError *exposition_proto_error(const ExpositionProto *p);
ExpositionProto *exposition_proto_end(ExpositionProto *p);

/* A bound as Prometheus writes it in `le` and `quantile`: "1.0", "0.5", "+Inf", "1e+06". */
void exposition_put_bound(Buf *out, double v);
