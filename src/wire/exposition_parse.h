/* Reader of the exposition formats: Prometheus text 0.0.4 (with the quoted names that came later) and OpenMetrics 1.0.
 *
 *   ExpositionParser p;
 *   exposition_begin(&p, bytes, n, openmetrics, 1);
 *   while ((r = exposition_next(&p, &item)) > 0)
 *           ...
 *   r < 0: p.error says where and what was expected
 *   exposition_end(&p);
 *
 * Strict, as a wrong line is more likely half of one than a dialect: lines end with LF, also the last one; escapes are
 * those of the format; a family is described once. OpenMetrics also needs its "# EOF", single blanks, and no comments.
 * Samples of histograms and summaries are plain series, as in the text.
 *
 * With `lenient` set behind exposition_begin() it takes what Prometheus takes from its targets: a family described
 * again, no LF behind the last line of text, exemplars anywhere. wire/exposition_proto.h makes the same items of the
 * protobuf format. */
#pragma once

#include "base/buf.h"
#include "model/group.h"
#include "model/labels.h"

#define EXPOSITION_LINE_MAX ((size_t)1 << 20)

typedef enum ExpositionKind {
        EXPOSITION_SAMPLE,
        EXPOSITION_TYPE,
        EXPOSITION_HELP,
        EXPOSITION_UNIT,
        EXPOSITION_HISTOGRAM, /* a native one; protobuf only */
} ExpositionKind;

typedef struct ExpositionItem {
        ExpositionKind kind;
        uint32_t line;
        Span metric; /* of the three descriptions */
        MetricType type;
        const char *type_name; /* TYPE: "histogram", ...; static */
        Span text;   /* HELP, UNIT: unescaped */
        /* Of a sample: the labels as they stand there, unescaped, the metric's name among them. */
        Label labels[LABELS_MAX];
        size_t n_labels;
        double value;
        int64_t time_ms;
        bool has_time, has_exemplar;
        Span histogram; /* canonical bytes, see model/histogram.h */
        /* Of its exemplar, when it has one. */
        Label exemplar[LABELS_MAX];
        size_t n_exemplar;
        double exemplar_value;
        int64_t exemplar_ms;
        bool exemplar_has_time;
} ExpositionItem; /* texts are valid until the next call */

typedef struct ExpositionError {
        uint32_t line, column; /* from 1; the column counts bytes */
        const char *what;      /* static: "expected a value" */
        int code;              /* -EBADMSG, -ENOMEM */
} ExpositionError;

typedef struct ExpositionParser {
        const char *at, *line_begin, *line_end;
        const char *rest, *end; /* the lines to come */
        bool openmetrics, ended; /* ended: by "# EOF" */
        bool lenient;
        uint32_t line;
        Buf text;          /* unescaped parts of one line */
        uint64_t *types;   /* hashes of the families that have a TYPE: open addressing, 0 is free */
        size_t n_types, cap_types;
        ExpositionError error;
} ExpositionParser;

/* `first_line` is the number of the first line. Borrows the bytes. */
void exposition_begin(ExpositionParser *p, const char *bytes, size_t n, bool openmetrics, uint32_t first_line);
/* 1 with an item, 0 at the end, or p->error.code: -EBADMSG or -ENOMEM. */
int exposition_next(ExpositionParser *p, ExpositionItem *ret_item) MUST_USE;
void exposition_end(ExpositionParser *p);
