/* 1.0 copies a series' run. 2.0 writes numbers of symbols: the texts of a segment are interned once, when a series is
 * sent from it for the first time, and each text remembers the number that it has in the message being made. */
#include "forward/encoder.h"

#include "base/varint.h"
#include "wire/snappy.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#define KEEP_BYTES ((size_t)4 << 20)

void encoder_deinit(Encoder *e) {
        buf_deinit(&e->message);
        buf_deinit(&e->series);
        buf_deinit(&e->refs);
        free(e->samples);
        *e = ENCODER_NULL;
}

/* ---- Texts of a segment ---- */

typedef struct Text {
        uint32_t at, len; /* in the view */
        uint32_t symbol;
        uint64_t stamp;
} Text;

typedef struct Texts {
        Text *texts;
        size_t n, cap;
        uint32_t *table; /* of indexes + 1 */
        size_t table_size;
        uint32_t *refs; /* for each series its number of texts and their indexes, from its tag - 1 on */
        size_t n_refs, cap_refs;
} Texts;

static void texts_free(void *user) {
        Texts *t = user;
        free(t->texts);
        free(t->table);
        free(t->refs);
        free(t);
}

static bool grow(void **list, size_t *cap, size_t need, size_t size) {
        if (need <= *cap)
                return true;
        size_t next = *cap ? *cap * 2 : 256;
        next = next < need ? need : next;
        void *more = reallocarray(*list, next, size);
        if (!more)
                return false;
        *list = more;
        *cap = next;
        return true;
}

static size_t place_of(const Texts *t, const QueueView *v, const char *text, size_t len) {
        size_t at = XXH3_64bits(text, len) & (t->table_size - 1);
        for (; t->table[at]; at = (at + 1) & (t->table_size - 1)) {
                const Text *x = &t->texts[t->table[at] - 1];
                if (x->len == len && memcmp(queue_view_bytes(v, x->at), text, len) == 0)
                        break;
        }
        return at;
}

static bool rehash(Texts *t, const QueueView *v) {
        if ((t->n + 1) * 2 <= t->table_size)
                return true;
        size_t size = t->table_size ? t->table_size * 2 : 512;
        uint32_t *table = calloc(size, sizeof *table);
        if (!table)
                return false;
        free(t->table);
        t->table = table;
        t->table_size = size;
        for (size_t i = 0; i < t->n; i++)
                table[place_of(t, v, (const char *)queue_view_bytes(v, t->texts[i].at), t->texts[i].len)] =
                        (uint32_t)i + 1;
        return true;
}

/* Index of a text that lies in the view; UINT32_MAX: no memory. */
static uint32_t intern(Texts *t, const QueueView *v, Span text) {
        if (!rehash(t, v) || !grow((void **)&t->texts, &t->cap, t->n + 1, sizeof *t->texts))
                return UINT32_MAX;
        size_t at = place_of(t, v, text.text, text.len);
        if (!t->table[at]) {
                size_t offset = (size_t)((const uint8_t *)text.text - queue_view_bytes(v, 0));
                t->texts[t->n] = (Text){ .at = (uint32_t)offset, .len = (uint32_t)text.len };
                t->table[at] = (uint32_t)++t->n;
        }
        return t->table[at] - 1;
}

static int intern_series(Texts *t, QueueView *v, QueueViewSeries *s) {
        Label labels[LABELS_MAX];
        size_t n = labels_split(queue_view_bytes(v, s->at), s->len, labels); /* the reader has checked it */
        if (!grow((void **)&t->refs, &t->cap_refs, t->n_refs + 1 + 2 * n, sizeof *t->refs))
                return -ENOMEM;
        size_t begin = t->n_refs, at = begin;
        t->refs[at++] = (uint32_t)(2 * n);
        for (size_t i = 0; i < n; i++) {
                t->refs[at++] = intern(t, v, labels[i].name);
                t->refs[at++] = intern(t, v, labels[i].value);
                if (t->refs[at - 1] == UINT32_MAX || t->refs[at - 2] == UINT32_MAX)
                        return -ENOMEM;
        }
        t->n_refs = at;
        s->tag = (uint32_t)begin + 1;
        return 0;
}

static Texts *texts_of(QueueView *v) {
        void **user = queue_view_user(v, texts_free);
        if (!*user)
                *user = calloc(1, sizeof(Texts));
        return *user;
}

/* ---- Messages ---- */

static uint32_t put_symbol(Encoder *e, const char *text, size_t len) {
        rw_put_symbol_2(&e->message, (Span){ text, len });
        return e->n_symbols++;
}

static void describe(Encoder *e, DescribedMetric *m, RwPutMetadata *ret_metadata) {
        if (m->stamp != e->stamp) {
                m->stamp = e->stamp;
                m->help_symbol = m->help_len ? put_symbol(e, m->help, m->help_len) : 0;
                m->unit_symbol = m->unit_len ? put_symbol(e, m->unit, m->unit_len) : 0;
        }
        *ret_metadata = (RwPutMetadata){ m->type, m->help_symbol, m->unit_symbol };
}

/* Exemplars' labels as numbers: their values rarely repeat, so each is a symbol of its own. */
static int number_exemplars(Encoder *e, size_t n) {
        Label labels[LABELS_MAX];
        size_t n_labels, fault_at, begin = e->refs.len;
        for (size_t i = 0; i < n; i++) {
                RwPutSample *x = &e->samples[i];
                if (x->kind != RW_PUT_EXEMPLAR || x->len == 0)
                        continue;
                /* They have no metric's name; otherwise they are what labels are. */
                LabelsFault fault = labels_parse(x->bytes, x->len, labels, &n_labels, &fault_at);
                bool good = fault == LABELS_OK || fault == LABELS_NO_METRIC_NAME;
                n_labels = good ? labels_split(x->bytes, x->len, labels) : 0;
                size_t at = e->refs.len;
                for (size_t k = 0; k < n_labels; k++) {
                        uint8_t bytes[2 * VARINT_MAX];
                        size_t len = varint_put(bytes, put_symbol(e, labels[k].name.text, labels[k].name.len));
                        len += varint_put(bytes + len, put_symbol(e, labels[k].value.text, labels[k].value.len));
                        buf_put(&e->refs, bytes, len);
                }
                x->bytes = NULL; /* once the buffer stays where it is */
                x->len = (uint32_t)(e->refs.len - at);
        }
        for (size_t i = 0; i < n && !buf_error(&e->refs); i++)
                if (e->samples[i].kind == RW_PUT_EXEMPLAR) {
                        e->samples[i].bytes = (const uint8_t *)e->refs.data + begin;
                        begin += e->samples[i].len;
                }
        return buf_error(&e->refs);
}

static int put_series_2(Encoder *e, QueueView *v, QueueViewSeries *s, size_t n, Described *described) {
        uint32_t refs[2 * LABELS_MAX];
        RwPutMetadata metadata = { METRIC_UNTYPED, 0, 0 };
        Span name;
        Texts *t = texts_of(v);
        int r = !t ? -ENOMEM : s->tag ? 0 : intern_series(t, v, s);
        if (r < 0)
                return r;
        const uint32_t *list = t->refs + s->tag - 1;
        for (uint32_t i = 0; i < list[0]; i++) {
                Text *x = &t->texts[list[i + 1]];
                if (x->stamp != e->stamp) {
                        x->stamp = e->stamp;
                        x->symbol = put_symbol(e, (const char *)queue_view_bytes(v, x->at), x->len);
                }
                refs[i] = x->symbol;
        }
        r = number_exemplars(e, n);
        if (r < 0)
                return r;
        DescribedMetric *m = NULL;
        if (described->n && labels_get(queue_view_bytes(v, s->at), s->len, METRIC_NAME_LABEL, &name))
                m = described_find(described, name);
        if (m)
                describe(e, m, &metadata);
        rw_put_series_2(&e->series, refs, list[0], e->samples, n, m ? &metadata : NULL);
        return 0;
}

static int put_series(Encoder *e, RwVersion version, QueueView *v, uint32_t series, size_t n, Described *described) {
        QueueViewSeries *s = queue_view_series(v, series);
        assert(s->len > 0);
        if (version == RW_2)
                return put_series_2(e, v, s, n, described);
        rw_put_series_1(&e->message, queue_view_bytes(v, s->at), s->len, e->samples, n);
        return 0;
}

static RwPutSample sample_of(const QueueView *v, const BatchItem *item) {
        static const RwPutKind KINDS[] = {
                [QUEUE_FLOAT] = RW_PUT_FLOAT, [QUEUE_HISTOGRAM] = RW_PUT_HISTOGRAM, [QUEUE_EXEMPLAR] = RW_PUT_EXEMPLAR
        };
        return (RwPutSample){
                .time_ms = item->time_ms,
                .value = item->value,
                .kind = KINDS[item->kind],
                .bytes = item->len ? queue_view_bytes(v, item->at) : NULL,
                .len = item->len,
        };
}

static void begin(Encoder *e, RwVersion version) {
        buf_reset(&e->message);
        buf_reset(&e->series);
        buf_reset(&e->refs);
        e->n_symbols = 0;
        e->stamp++;
        if (version == RW_2)
                (void)put_symbol(e, "", 0);
}

static int end(Encoder *e, Buf *out) {
        buf_put(&e->message, e->series.data ? e->series.data : "", e->series.len);
        int r = buf_error(&e->series);
        if (r == 0)
                r = buf_error(&e->message);
        e->raw_bytes = e->message.len;
        if (r == 0)
                r = snappy_block_encode(e->message.data ? e->message.data : "", e->message.len, out);
        if (e->message.cap > KEEP_BYTES)
                buf_deinit(&e->message);
        if (e->series.cap > KEEP_BYTES)
                buf_deinit(&e->series);
        return r;
}

/* Samples of one series that follow each other and ascend become one TimeSeries. */
int encode_batch(Encoder *e, RwVersion version, QueueView *view, const BatchItem *items, size_t n, int64_t least_ms,
                 Described *described, Buf *out, size_t *ret_left_out) {
        *ret_left_out = 0;
        if (!grow((void **)&e->samples, &e->cap_samples, n, sizeof *e->samples))
                return -ENOMEM;
        begin(e, version);
        for (size_t i = 0; i < n;) {
                uint32_t series = items[i].series;
                size_t m = 0;
                for (; i < n && items[i].series == series &&
                       (m == 0 || items[i].time_ms > e->samples[m - 1].time_ms || items[i].kind == QUEUE_EXEMPLAR);
                     i++)
                        if (items[i].time_ms >= least_ms)
                                e->samples[m++] = sample_of(view, &items[i]);
                        else
                                ++*ret_left_out;
                int r = m ? put_series(e, version, view, series, m, described) : 0;
                if (r < 0)
                        return r;
        }
        return end(e, out);
}

int encode_metadata(Encoder *e, const Described *described, size_t first, size_t n, Buf *out) {
        begin(e, RW_1);
        for (size_t i = first; i < first + n && i < described->n; i++) {
                const DescribedMetric *m = &described->metrics[i];
                rw_put_metadata_1(&e->message, (Span){ m->name, m->name_len }, m->type, (Span){ m->help, m->help_len },
                                  (Span){ m->unit, m->unit_len });
        }
        return end(e, out);
}
