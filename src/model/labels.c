/* Runs of labels are checked in two passes: one over all bytes in words of eight, which in almost every run finds plain
 * text only, and one from label to label, which then compares lengths and neighbouring names and nothing else. */
#include "model/labels.h"

#include "base/escape.h"
#include "base/varint.h"

#include <assert.h>

enum {
        TAG_LABEL = 0x0a, /* field 1 of TimeSeries */
        TAG_NAME = 0x0a,  /* fields 1 and 2 of Label */
        TAG_VALUE = 0x12,
        METRIC_NAME_LEN = sizeof METRIC_NAME_LABEL - 1,
        SHORT_LABEL_MIN = 8, /* tags and lengths of three fields, one byte of name, one of value */
};

static_assert(METRIC_NAME_LEN == sizeof(uint64_t), "is_metric_name() compares one word");

const char *labels_fault_text(LabelsFault f) {
        switch (f) {
        case LABELS_OK: return "labels are in order";
        case LABELS_MALFORMED: return "labels are not encoded as the protocol wants";
        case LABELS_TOO_MANY: return "more than 64 labels";
        case LABELS_NAME_EMPTY: return "a label name is empty";
        case LABELS_NAME_LONG: return "a label name is longer than 256 bytes";
        case LABELS_VALUE_LONG: return "a label value is longer than 4096 bytes";
        case LABELS_RUN_LONG: return "the labels of a series are longer than 65535 bytes";
        case LABELS_UNSORTED: return "label names are not sorted";
        case LABELS_DUPLICATE: return "a label name is there twice";
        case LABELS_NOT_UTF8: return "a label is not UTF-8, or has a NUL in it";
        case LABELS_NO_METRIC_NAME: return "the label __name__ is missing";
        case LABELS_VALUE_EMPTY: return "a label value is empty";
        case LABELS_FAULT_COUNT: break;
        }
        return "unknown fault of labels";
}

static int span_order(Span a, Span b) {
        size_t n = a.len < b.len ? a.len : b.len;
        int r = memcmp(a.text, b.text, n);
        if (r)
                return r;
        return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

static inline bool is_metric_name(Span name) {
        uint64_t word, wanted;
        if (name.len != METRIC_NAME_LEN)
                return false;
        memcpy(&word, name.text, sizeof word);
        memcpy(&wanted, METRIC_NAME_LABEL, sizeof wanted);
        return word == wanted;
}

/* ---- reading ---- */

/* No labels may be at no address. */
static inline const uint8_t *run_end(const uint8_t *run, size_t len) {
        return len ? run + len : run;
}

/* A length in its shortest form. */
static inline bool take_length(const uint8_t **at, const uint8_t *end, size_t *ret_n) {
        const uint8_t *p = *at;
        if (p < end && *p < 0x80) {
                *ret_n = *p;
                *at = p + 1;
                return true;
        }
        uint64_t v;
        if (!varint_get(at, end, &v) || (*at)[-1] == 0)
                return false;
        *ret_n = (size_t)v;
        return true;
}

static inline bool take_field(const uint8_t **at, const uint8_t *end, uint8_t tag, Span *ret_field) {
        size_t n;
        if (*at >= end || **at != tag)
                return false;
        ++*at;
        if (!take_length(at, end, &n) || n > (size_t)(end - *at))
                return false;
        *ret_field = (Span){ (const char *)*at, n };
        *at += n;
        return true;
}

/* The next label; false when it is not one. */
static inline bool take_label(const uint8_t **at, const uint8_t *end, Label *ret_label) {
        Span body;
        if (!take_field(at, end, TAG_LABEL, &body))
                return false;
        const uint8_t *p = (const uint8_t *)body.text, *stop = p + body.len;
        return take_field(&p, stop, TAG_NAME, &ret_label->name) && take_field(&p, stop, TAG_VALUE, &ret_label->value) &&
               p == stop;
}

/* The same for a label whose name and value have 1 to 123 bytes, as almost all have: its lengths are one byte each, and
 * no limit of a label is near. False also for those that are longer. */
static inline bool take_short_label(const uint8_t **at, const uint8_t *end, Label *ret_label) {
        const uint8_t *p = *at;
        size_t left = (size_t)(end - p), body, name, value;
        if (left < SHORT_LABEL_MIN || p[0] != TAG_LABEL || p[2] != TAG_NAME)
                return false;
        body = p[1];
        name = p[3];
        if (body >= 0x80 || body + 2 > left || name == 0 || name + 5 > body || p[4 + name] != TAG_VALUE)
                return false;
        value = p[5 + name];
        if (value != body - name - 4)
                return false;
        *ret_label = (Label){ { (const char *)p + 4, name }, { (const char *)p + 6 + name, value } };
        *at = p + 2 + body;
        return true;
}

/* Whether there is neither a byte of more than seven bits nor a NUL. Says "no" for some runs that have neither, never
 * "yes" for one that has. */
static bool is_plain(const uint8_t *bytes, size_t n) {
        const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
        uint64_t seen = 0, word;
        size_t i = 0;
        for (; i + sizeof word <= n; i += sizeof word) {
                memcpy(&word, bytes + i, sizeof word);
                seen |= word | (word - ones);
        }
        for (; i < n; i++)
                seen |= (uint64_t)(bytes[i] | (uint8_t)(bytes[i] - 1));
        return (seen & highs) == 0;
}

static bool is_text(Span s) {
        return utf8_valid(s.text, s.len) && !memchr(s.text, 0, s.len);
}

/* What is wrong with a label by itself; `plain` when its bytes were seen already. */
static inline LabelsFault check_label(const Label *l, bool plain) {
        if (l->name.len == 0)
                return LABELS_NAME_EMPTY;
        if (l->name.len > LABEL_NAME_MAX)
                return LABELS_NAME_LONG;
        if (l->value.len == 0)
                return LABELS_VALUE_EMPTY;
        if (l->value.len > LABEL_VALUE_MAX)
                return LABELS_VALUE_LONG;
        if (!plain && (!is_text(l->name) || !is_text(l->value)))
                return LABELS_NOT_UTF8;
        return LABELS_OK;
}

static inline LabelsFault check_order(const Label *before, const Label *l) {
        /* Most neighbours differ in their first byte. */
        unsigned char a = (unsigned char)before->name.text[0], b = (unsigned char)l->name.text[0];
        int r = a != b ? a - b : span_order(before->name, l->name);
        if (r < 0)
                return LABELS_OK;
        return r == 0 ? LABELS_DUPLICATE : LABELS_UNSORTED;
}

LabelsFault labels_parse(const uint8_t *run, size_t len, Label ret_labels[LABELS_MAX], size_t *ret_n, size_t *ret_at) {
        *ret_at = 0;
        if (len > LABEL_RUN_MAX)
                return LABELS_RUN_LONG;
        bool plain = is_plain(run, len), named = false;
        const uint8_t *at = run, *end = run_end(run, len);
        size_t n = 0;
        for (; at < end; n++) {
                *ret_at = n;
                if (n == LABELS_MAX)
                        return LABELS_TOO_MANY;
                Label *l = &ret_labels[n];
                LabelsFault fault = LABELS_OK;
                bool is_short = take_short_label(&at, end, l);
                if (!is_short && !take_label(&at, end, l))
                        return LABELS_MALFORMED;
                if (!is_short || !plain)
                        fault = check_label(l, plain);
                if (!fault && n > 0)
                        fault = check_order(l - 1, l);
                if (fault)
                        return fault;
                named |= is_metric_name(l->name);
        }
        if (!named) {
                *ret_at = 0;
                return LABELS_NO_METRIC_NAME;
        }
        *ret_n = n;
        return LABELS_OK;
}

size_t labels_split(const uint8_t *run, size_t len, Label ret_labels[LABELS_MAX]) {
        const uint8_t *at = run, *end = run_end(run, len);
        size_t n = 0;
        while (at < end) {
                assert(n < LABELS_MAX);
                bool good = take_short_label(&at, end, &ret_labels[n]) || take_label(&at, end, &ret_labels[n]);
                assert(good);
                n++;
        }
        return n;
}

bool labels_get(const uint8_t *run, size_t len, const char *name, Span *ret_value) {
        const uint8_t *at = run, *end = run_end(run, len);
        Span wanted = { name, strlen(name) };
        Label l;
        while (at < end) {
                bool good = take_label(&at, end, &l);
                assert(good);
                if (l.name.len == wanted.len && memcmp(l.name.text, wanted.text, wanted.len) == 0) {
                        *ret_value = l.value;
                        return true;
                }
        }
        return false;
}

/* Bytes that both begin with. */
static size_t common_prefix(const uint8_t *a, const uint8_t *b, size_t n) {
        uint64_t x, y;
        size_t i = 0;
        for (; i + sizeof x <= n; i += sizeof x) {
                memcpy(&x, a + i, sizeof x);
                memcpy(&y, b + i, sizeof y);
                if (x != y)
                        break;
        }
        while (i < n && a[i] == b[i])
                i++;
        return i;
}

int labels_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len) {
        size_t same = common_prefix(a, b, a_len < b_len ? a_len : b_len);
        if (same == a_len || same == b_len)
                return a_len == b_len ? 0 : a_len < b_len ? -1 : 1;
        /* Labels that end before the first difference are the same ones at the same places. */
        const uint8_t *a_at = a, *b_at = b, *before;
        Label x, y;
        do {
                before = a_at;
                bool good = take_short_label(&a_at, a + a_len, &x) || take_label(&a_at, a + a_len, &x);
                assert(good);
        } while ((size_t)(a_at - a) <= same);
        b_at += before - a;
        bool good = take_label(&b_at, b + b_len, &y);
        assert(good);
        int r = span_order(x.name, y.name);
        return r ? r : span_order(x.value, y.value);
}

/* ---- writing ---- */

static int label_order(const void *a, const void *b) {
        return span_order(((const Label *)a)->name, ((const Label *)b)->name);
}

static void sort_labels(Label *labels, size_t n) {
        for (size_t i = 1; i < n; i++)
                if (label_order(&labels[i - 1], &labels[i]) > 0) {
                        qsort(labels, n, sizeof *labels, label_order);
                        return;
                }
}

static size_t drop_empty(Label *labels, size_t n) {
        size_t kept = 0;
        for (size_t i = 0; i < n; i++)
                if (labels[i].value.len > 0)
                        labels[kept++] = labels[i];
        return kept;
}

static size_t length_size(size_t n) {
        size_t size = 1;
        for (; n >= 0x80; n >>= 7)
                size++;
        return size;
}

static size_t field_size(size_t n) {
        return 1 + length_size(n) + n;
}

static size_t body_size(const Label *l) {
        return field_size(l->name.len) + field_size(l->value.len);
}

static LabelsFault check_labels(const Label *labels, size_t n, size_t *ret_size) {
        if (n > LABELS_MAX)
                return LABELS_TOO_MANY;
        size_t size = 0;
        for (size_t i = 0; i < n; i++) {
                LabelsFault fault = check_label(&labels[i], false);
                if (!fault && i > 0)
                        fault = check_order(&labels[i - 1], &labels[i]);
                if (fault)
                        return fault;
                size += field_size(body_size(&labels[i]));
        }
        *ret_size = size;
        return size > LABEL_RUN_MAX ? LABELS_RUN_LONG : LABELS_OK;
}

static uint8_t *put_field(uint8_t *at, uint8_t tag, Span s) {
        *at++ = tag;
        at += varint_put(at, s.len);
        memcpy(at, s.text, s.len);
        return at + s.len;
}

LabelsFault labels_build(Label *labels, size_t n, Buf *out) {
        size_t size;
        n = drop_empty(labels, n);
        sort_labels(labels, n);
        LabelsFault fault = check_labels(labels, n, &size);
        if (fault)
                return fault;
        uint8_t *at = (uint8_t *)buf_reserve(out, size);
        if (!at)
                return LABELS_OK; /* the error is in out */
        for (size_t i = 0; i < n; i++) {
                *at++ = TAG_LABEL;
                at += varint_put(at, body_size(&labels[i]));
                at = put_field(at, TAG_NAME, labels[i].name);
                at = put_field(at, TAG_VALUE, labels[i].value);
        }
        out->len += size;
        return LABELS_OK;
}

/* ---- for people ---- */

/* Whether a name is written without quotes: letters, digits, '_', and ':' in the names of metrics. */
static bool is_bare(Span name, bool metric) {
        for (size_t i = 0; i < name.len; i++) {
                char c = name.text[i];
                bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (metric && c == ':');
                if (!letter && (i == 0 || c < '0' || c > '9'))
                        return false;
        }
        return name.len > 0;
}

static void put_quoted(Buf *out, Span s) {
        buf_put_char(out, '"');
        escape_label(out, s.text, s.len);
        buf_put_char(out, '"');
}

static void put_name(Buf *out, Span name) {
        if (is_bare(name, false))
                buf_put(out, name.text, name.len);
        else
                put_quoted(out, name);
}

void labels_print(const uint8_t *run, size_t len, Buf *out) {
        Label labels[LABELS_MAX];
        Span metric = { "", 0 };
        size_t n = labels_split(run, len, labels);
        bool named = labels_get(run, len, METRIC_NAME_LABEL, &metric), bare = named && is_bare(metric, true);
        if (bare)
                buf_put(out, metric.text, metric.len);
        if (bare && n == 1)
                return;
        const char *between = "";
        buf_put_char(out, '{');
        if (named && !bare) {
                put_quoted(out, metric);
                between = ", ";
        }
        for (size_t i = 0; i < n; i++) {
                if (is_metric_name(labels[i].name))
                        continue;
                buf_put_str(out, between);
                put_name(out, labels[i].name);
                buf_put_char(out, '=');
                put_quoted(out, labels[i].value);
                between = ", ";
        }
        buf_put_char(out, '}');
}
