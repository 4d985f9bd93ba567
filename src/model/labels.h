/* Labels: what names a series. In memory and on the wire a set of labels is one *run* of bytes:
 *
 *   for each label, by ascending name:  0x0a, varint(length of what follows), 0x0a, varint(n), name, 0x12, varint(n), value
 *
 * which is how Prometheus's remote write 1.0 sends them (field 1 of TimeSeries), so that what a sender
 * sorted is hashed and compared in place. Lengths are as short as a varint can be, names differ, no
 * name and no value is empty, both are UTF-8 without NUL. Such a run is canonical: equal sets have equal bytes.
 * The metric's name is the label "__name__". */
#pragma once

#include "base/buf.h"
#include "base/scan.h"

#include <stdint.h>

/* Limits of one series; what exceeds them is refused, naming the limit. */
#define LABELS_MAX 64u
#define LABEL_NAME_MAX 256u
#define LABEL_VALUE_MAX 4096u
#define LABEL_RUN_MAX 65535u /* bytes of a whole run */
#define METRIC_NAME_LABEL "__name__"

typedef struct Label {
        Span name, value; /* not terminated */
} Label;

typedef enum LabelsFault {
        LABELS_OK = 0,
        LABELS_MALFORMED,      /* not a run at all */
        LABELS_TOO_MANY,       /* over LABELS_MAX */
        LABELS_NAME_EMPTY,
        LABELS_NAME_LONG,
        LABELS_VALUE_LONG,
        LABELS_RUN_LONG,
        LABELS_UNSORTED,
        LABELS_DUPLICATE,
        LABELS_NOT_UTF8,       /* or with a NUL */
        LABELS_NO_METRIC_NAME,
        LABELS_VALUE_EMPTY,
        LABELS_FAULT_COUNT
} LabelsFault;

/* For a person: "label names are not sorted". */
const char *labels_fault_text(LabelsFault f);

/* Splits a run; at most LABELS_MAX labels. Checks everything above. *ret_n on LABELS_OK only; on a fault
 * *ret_at is the number of the label that is wrong. */
LabelsFault labels_parse(const uint8_t *run, size_t len, Label ret_labels[LABELS_MAX], size_t *ret_n, size_t *ret_at) MUST_USE;
/* As labels_parse for a run that was checked before (asserts that it is well-formed). Returns the number. */
size_t labels_split(const uint8_t *run, size_t len, Label ret_labels[LABELS_MAX]);
/* Appends the canonical run of `labels` to out: sorts them (in place) and leaves out those with empty values, as
 * Prometheus does. out is unchanged on a fault. */
LabelsFault labels_build(Label *labels, size_t n, Buf *out) MUST_USE;
/* Order of series: label by label, name before value, bytes as unsigned; a run that is a prefix comes first. */
int labels_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len);
/* {__name__="up",job="x"} as {up, job="x"} is shown to people: up{job="x"}. */
void labels_print(const uint8_t *run, size_t len, Buf *out);
/* Value of one label; false when it is not there. */
bool labels_get(const uint8_t *run, size_t len, const char *name, Span *ret_value);
