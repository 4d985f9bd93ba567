#include "store/part/part_priv.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- a directory, numbers ---- */

static char directory[] = "/tmp/test_part.XXXXXX";
static Vfs *vfs;

static int set_up(void **state) {
        (void)state;
        return mkdtemp(directory) && vfs_posix_new(directory, &vfs) == 0 ? 0 : -1;
}

static int tear_down(void **state) {
        (void)state;
        CLEANUP(buf_deinit) Buf names = BUF_NULL;
        if (vfs_list(vfs, &names) == 0)
                for (const char *at = names.data; at < names.data + names.len; at += strlen(at) + 1)
                        (void)vfs_unlink(vfs, at);
        vfs = vfs_free(vfs);
        return rmdir(directory);
}

static uint64_t random_state;
static uint32_t below(uint32_t n) {
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t)((random_state >> 33) % n);
}

static Span span(const char *text) {
        return (Span){ text, strlen(text) };
}

static void close_part(Part **p) {
        *p = part_close(*p);
}

static void free_writer(PartWriter **w) {
        *w = part_writer_free(*w);
}

static void free_cursor(PartCursor **c) {
        *c = part_cursor_free(*c);
}

/* ---- what a part should have: a model of plain arrays ---- */

#define MODEL_SERIES 400
#define MODEL_CHUNKS 3

typedef struct ModelChunk {
        ChunkKind kind;
        unsigned columns;
        uint32_t n;
        int64_t *times;
        double *values[ROLLUP_COLUMN_COUNT];
        uint8_t *bytes;
        uint32_t *offsets;
} ModelChunk;

typedef struct ModelSeries {
        Buf run;
        Label labels[LABELS_MAX];
        size_t n_labels;
        ModelChunk chunks[MODEL_CHUNKS];
        unsigned n_chunks;
} ModelSeries;

typedef struct Model {
        ModelSeries series[MODEL_SERIES];
        uint32_t n;
        uint64_t samples;
} Model;

static void model_free(Model **m) {
        for (uint32_t i = 0; *m && i < (*m)->n; i++) {
                ModelSeries *s = &(*m)->series[i];
                buf_deinit(&s->run);
                for (unsigned k = 0; k < s->n_chunks; k++) {
                        free(s->chunks[k].times);
                        for (unsigned c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                                free(s->chunks[k].values[c]);
                        free(s->chunks[k].bytes);
                        free(s->chunks[k].offsets);
                }
        }
        free(*m);
        *m = NULL;
}

static Model *model_new(void) {
        Model *m = calloc(1, sizeof *m);
        assert_non_null(m);
        return m;
}

/* A run of names and values, NULL at the end. */
static ModelSeries *add_series(Model *m, const char *const *texts) {
        assert_true(m->n < MODEL_SERIES);
        ModelSeries *s = &m->series[m->n++];
        Label labels[LABELS_MAX];
        size_t n = 0;
        for (; texts[2 * n]; n++)
                labels[n] = (Label){ span(texts[2 * n]), span(texts[2 * n + 1]) };
        assert_int_equal(labels_build(labels, n, &s->run), LABELS_OK);
        return s;
}
#define LABELS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static int order_series(const void *a, const void *b) {
        const ModelSeries *x = a, *y = b;
        return labels_compare((uint8_t *)x->run.data, x->run.len, (uint8_t *)y->run.data, y->run.len);
}

/* Sorts, leaves out what is there twice, splits. */
static void arrange(Model *m) {
        uint32_t n = 0;
        qsort(m->series, m->n, sizeof *m->series, order_series);
        for (uint32_t i = 0; i < m->n; i++)
                if (n > 0 && order_series(&m->series[n - 1], &m->series[i]) == 0)
                        buf_deinit(&m->series[i].run);
                else
                        m->series[n++] = m->series[i];
        m->n = n;
        for (uint32_t i = 0; i < n; i++)
                m->series[i].n_labels =
                        labels_split((uint8_t *)m->series[i].run.data, m->series[i].run.len, m->series[i].labels);
}

static ModelChunk *begin_chunk(Model *m, ModelSeries *s, ChunkKind kind, uint32_t n, const int64_t *times) {
        assert_true(s->n_chunks < MODEL_CHUNKS);
        ModelChunk *c = &s->chunks[s->n_chunks++];
        *c = (ModelChunk){ .kind = kind, .n = n, .times = malloc(n * sizeof *times) };
        assert_non_null(c->times);
        memcpy(c->times, times, n * sizeof *times);
        m->samples += n;
        return c;
}

static double any_double(void) {
        static const uint64_t ODD[] = { UINT64_C(0x7ff0000000000002), UINT64_C(0x7ff8000000000001),
                                        UINT64_C(0x8000000000000000), UINT64_C(1),
                                        UINT64_C(0x7ff0000000000000), UINT64_C(0xfff8000000000123) };
        uint64_t bits = (uint64_t)below(UINT32_MAX) << 32 | below(UINT32_MAX);
        double v;
        switch (below(6)) {
        case 0: memcpy(&v, &ODD[below(ARRAY_LEN(ODD))], sizeof v); return v;
        case 1: memcpy(&v, &bits, sizeof v); return v;
        case 2: return below(1000) / 100.0;
        default: return below(100000);
        }
}

static double *random_values(uint32_t n) {
        double *v = malloc(n * sizeof *v), sum = below(1000);
        unsigned how = below(4);
        assert_non_null(v);
        for (uint32_t i = 0; i < n; i++)
                v[i] = how == 0 ? any_double() : how == 1 ? 7 : (sum += below(100));
        return v;
}

static void add_floats(Model *m, ModelSeries *s, uint32_t n, const int64_t *times) {
        begin_chunk(m, s, CHUNK_FLOATS, n, times)->values[0] = random_values(n);
}

static void add_strings(Model *m, ModelSeries *s, uint32_t n, const int64_t *times, uint32_t longest) {
        ModelChunk *c = begin_chunk(m, s, CHUNK_HISTOGRAMS, n, times);
        c->offsets = calloc((size_t)n + 1, sizeof *c->offsets);
        c->bytes = malloc((size_t)n * longest + 1);
        assert_true(c->offsets && c->bytes);
        for (uint32_t i = 0; i < n; i++) {
                uint32_t len = below(longest + 1);
                for (uint32_t k = 0; k < len; k++)
                        c->bytes[c->offsets[i] + k] = (uint8_t)(k % 50 ? k : below(256));
                c->offsets[i + 1] = c->offsets[i] + len;
        }
}

static void add_rollup(Model *m, ModelSeries *s, unsigned columns, uint32_t n, const int64_t *times) {
        ModelChunk *c = begin_chunk(m, s, CHUNK_ROLLUP, n, times);
        c->columns = columns;
        for (unsigned k = 0; k < ROLLUP_COLUMN_COUNT; k++)
                if (columns >> k & 1)
                        c->values[k] = random_values(n);
        /* Like a real one, often: the codec's other way. */
        if (c->values[ROLLUP_LAST] && c->values[ROLLUP_INCREASE] && below(2))
                for (uint32_t i = 1; i < n; i++)
                        c->values[ROLLUP_INCREASE][i] = c->values[ROLLUP_LAST][i] - c->values[ROLLUP_LAST][i - 1];
        if (c->values[ROLLUP_MIN] && c->values[ROLLUP_MAX] && below(2))
                for (uint32_t i = 0; i < n; i++)
                        c->values[ROLLUP_MAX][i] = c->values[ROLLUP_MIN][i] + below(5);
}

/* n instants after `from`, irregular when asked for; the same ones for equal arguments. */
static int64_t *make_times(int64_t from, uint32_t n, unsigned jitter) {
        int64_t *t = malloc(n * sizeof *t);
        assert_non_null(t);
        for (uint32_t i = 0; i < n; i++)
                t[i] = from + (int64_t)i * 10000 + (jitter ? (int64_t)(i * 7919u % jitter) : 0) + 1;
        return t;
}

static const PartMeta META = { .store = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } },
                               .id = 12,
                               .tier = STORE_5M,
                               .begin_ms = -5,
                               .end_ms = INT64_MAX };

static void write_chunk(PartWriter *w, const ModelChunk *c) {
        int r;
        if (c->kind == CHUNK_FLOATS)
                r = part_writer_floats(w, c->times, c->values[0], c->n);
        else if (c->kind == CHUNK_HISTOGRAMS)
                r = part_writer_histograms(w, c->times, c->bytes, c->offsets, c->n);
        else
                r = part_writer_rollup(w, c->times, (const double *const *)c->values, c->n);
        assert_int_equal(r, 0);
}

static void write_model(const Model *m, const char *name, PartMeta *ret_meta) {
        CLEANUP(free_writer) PartWriter *w = NULL;
        assert_int_equal(part_writer_new(vfs, name, &META, CODEC_SMALL, &w), 0);
        for (uint32_t i = 0; i < m->n; i++) {
                const ModelSeries *s = &m->series[i];
                assert_int_equal(part_writer_series(w, (uint8_t *)s->run.data, s->run.len), 0);
                for (unsigned k = 0; k < s->n_chunks; k++)
                        write_chunk(w, &s->chunks[k]);
        }
        assert_true(part_writer_bytes(w) > 0);
        assert_int_equal(part_writer_finish(w, ret_meta), 0);
}

/* ---- comparing ---- */

/* What a comparison found: right, or that the part says it is damaged. */
typedef enum Found { RIGHT, DAMAGED } Found;

static Found found(int r) {
        assert_true(r == 0 || r == -EBADMSG);
        return r == 0 ? RIGHT : DAMAGED;
}

#define RETURN_IF_DAMAGED(expression)        \
        do {                                 \
                if ((expression) == DAMAGED) \
                        return DAMAGED;      \
        } while (0)

static Found compare_floats(const Part *p, const PartChunk *c, const ModelChunk *m, RollupColumn column, int64_t begin,
                            int64_t end) {
        CLEANUP_FREE int64_t *times = malloc(m->n * sizeof *times);
        CLEANUP_FREE double *values = malloc(m->n * sizeof *values), *alone = malloc(m->n * sizeof *alone);
        assert_true(times && values && alone);
        uint32_t n = 77, n_alone = 77, first = 0, stop;
        RETURN_IF_DAMAGED(found(part_floats(p, c, column, begin, end, times, values, &n)));
        while (first < m->n && m->times[first] <= begin)
                first++;
        for (stop = first; stop < m->n && m->times[stop] <= end;)
                stop++;
        assert_int_equal(n, stop - first);
        if (n > 0) {
                assert_memory_equal(times, m->times + first, n * sizeof *times);
                assert_memory_equal(values, m->values[column] + first, n * sizeof *values);
        }
        RETURN_IF_DAMAGED(found(part_floats(p, c, column, begin, end, NULL, alone, &n_alone)));
        assert_int_equal(n, n_alone);
        if (n > 0)
                assert_memory_equal(values, alone, n * sizeof *values);
        RETURN_IF_DAMAGED(found(part_floats(p, c, column, begin, end, times, NULL, &n_alone)));
        assert_int_equal(n, n_alone);
        return RIGHT;
}

static Found compare_strings(const Part *p, const PartChunk *c, const ModelChunk *m, int64_t begin, int64_t end) {
        CLEANUP_FREE int64_t *times = malloc(m->n * sizeof *times);
        CLEANUP_FREE uint32_t *offsets = malloc(((size_t)m->n + 1) * sizeof *offsets);
        CLEANUP(buf_deinit) Buf bytes = BUF_NULL;
        assert_true(times && offsets);
        buf_put_str(&bytes, "before");
        uint32_t n = 77, first = 0, stop;
        RETURN_IF_DAMAGED(found(part_histograms(p, c, begin, end, times, &bytes, offsets, &n)));
        while (first < m->n && m->times[first] <= begin)
                first++;
        for (stop = first; stop < m->n && m->times[stop] <= end;)
                stop++;
        assert_int_equal(n, stop - first);
        assert_int_equal(offsets[0], 6);
        assert_int_equal(bytes.len, 6 + m->offsets[stop] - m->offsets[first]);
        for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(times[i], m->times[first + i]);
                assert_int_equal(offsets[i + 1] - 6, m->offsets[first + i + 1] - m->offsets[first]);
        }
        if (bytes.len > 6)
                assert_memory_equal(bytes.data + 6, m->bytes + m->offsets[first], bytes.len - 6);
        return RIGHT;
}

static Found compare_window(const Part *p, const PartChunk *c, const ModelChunk *m, int64_t begin, int64_t end) {
        if (m->kind == CHUNK_HISTOGRAMS)
                return compare_strings(p, c, m, begin, end);
        if (m->kind == CHUNK_FLOATS)
                return compare_floats(p, c, m, 0, begin, end);
        for (unsigned k = 0; k < ROLLUP_COLUMN_COUNT; k++)
                if (m->columns >> k & 1)
                        RETURN_IF_DAMAGED(compare_floats(p, c, m, (RollupColumn)k, begin, end));
        return RIGHT;
}

static Found compare_chunk(const Part *p, const PartChunk *c, const ModelChunk *m, bool windows) {
        assert_int_equal(c->kind, m->kind);
        assert_int_equal(c->columns, m->columns);
        assert_int_equal(c->n, m->n);
        assert_int_equal(c->min_ms, m->times[0]);
        assert_int_equal(c->max_ms, m->times[m->n - 1]);
        RETURN_IF_DAMAGED(compare_window(p, c, m, INT64_MIN, INT64_MAX));
        for (unsigned i = 0; windows && i < 8; i++) {
                /* Bounds at, before and behind instants. */
                int64_t begin = m->times[below(m->n)] + (int64_t)below(3) - 1,
                        end = m->times[below(m->n)] + (int64_t)below(3) - 1;
                RETURN_IF_DAMAGED(compare_window(p, c, m, begin, end));
                RETURN_IF_DAMAGED(compare_window(p, c, m, INT64_MIN, end));
                RETURN_IF_DAMAGED(compare_window(p, c, m, begin, INT64_MAX));
        }
        return RIGHT;
}

static Found compare_series(const Part *p, uint32_t i, const ModelSeries *s, bool windows) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL, chunks = BUF_NULL;
        RETURN_IF_DAMAGED(found(part_series(p, i, &run, &chunks)));
        assert_int_equal(run.len, s->run.len);
        assert_memory_equal(run.data, s->run.data, run.len);
        assert_int_equal(chunks.len, s->n_chunks * sizeof(PartChunk));
        for (unsigned k = 0; k < s->n_chunks; k++)
                RETURN_IF_DAMAGED(compare_chunk(p, (const PartChunk *)chunks.data + k, &s->chunks[k], windows));
        return RIGHT;
}

static Found compare_cursor(const Part *p, const Model *m, unsigned step) {
        CLEANUP(free_cursor) PartCursor *c = NULL;
        assert_int_equal(part_cursor_new(p, &c), 0);
        for (uint32_t i = 0; i < m->n; i += 1 + below(step)) {
                Span run;
                const PartChunk *chunks;
                size_t n;
                RETURN_IF_DAMAGED(found(part_cursor_series(c, i, &run, &chunks, &n)));
                assert_int_equal(run.len, m->series[i].run.len);
                assert_memory_equal(run.text, m->series[i].run.data, run.len);
                assert_int_equal(n, m->series[i].n_chunks);
                for (size_t k = 0; k < n; k++)
                        assert_int_equal(chunks[k].min_ms, m->series[i].chunks[k].times[0]);
        }
        return RIGHT;
}

static bool series_matches(const ModelSeries *s, const Matcher *matchers, size_t n) {
        for (size_t i = 0; i < n; i++) {
                Span value = { "", 0 };
                for (size_t k = 0; k < s->n_labels; k++)
                        if (s->labels[k].name.len == matchers[i].name.len &&
                            memcmp(s->labels[k].name.text, matchers[i].name.text, matchers[i].name.len) == 0)
                                value = s->labels[k].value;
                if (!matcher_matches(&matchers[i], value))
                        return false;
        }
        return true;
}

static void expect_list(const Buf *list, const Buf *expected) {
        assert_int_equal(list->len, expected->len);
        if (list->len > 0)
                assert_memory_equal(list->data, expected->data, list->len);
}

static Found compare_select(const Part *p, const Model *m, const Matcher *matchers, size_t n, Buf *ret_ordinals) {
        CLEANUP(buf_deinit) Buf expected = BUF_NULL;
        buf_reset(ret_ordinals);
        RETURN_IF_DAMAGED(found(part_select(p, matchers, n, ret_ordinals)));
        for (uint32_t i = 0; i < m->n; i++)
                if (series_matches(&m->series[i], matchers, n))
                        buf_put(&expected, &i, sizeof i);
        expect_list(ret_ordinals, &expected);
        return RIGHT;
}

static int order_texts(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts texts that end with NUL, each once. */
static void sort_texts(Buf *texts) {
        const char *at[4096];
        size_t n = 0;
        for (const char *t = texts->data; t && t < texts->data + texts->len; t += strlen(t) + 1) {
                assert_true(n < ARRAY_LEN(at));
                at[n++] = t;
        }
        if (n > 0)
                qsort(at, n, sizeof *at, order_texts);
        CLEANUP(buf_deinit) Buf sorted = BUF_NULL;
        for (size_t i = 0; i < n; i++)
                if (i == 0 || strcmp(at[i - 1], at[i]) != 0)
                        buf_put(&sorted, at[i], strlen(at[i]) + 1);
        buf_reset(texts);
        buf_put(texts, sorted.data, sorted.len);
}

/* Names, or the values of one name, of the series listed (all: NULL). */
static void model_texts(const Model *m, const char *name, const Buf *ordinals, Buf *ret_texts) {
        size_t n = ordinals ? ordinals->len / sizeof(uint32_t) : m->n;
        for (size_t i = 0; i < n; i++) {
                const ModelSeries *s = &m->series[ordinals ? ((const uint32_t *)ordinals->data)[i] : i];
                for (size_t k = 0; k < s->n_labels; k++) {
                        Span text = name ? s->labels[k].value : s->labels[k].name;
                        if (name && !span_is(s->labels[k].name, name))
                                continue;
                        buf_put(ret_texts, text.text, text.len);
                        buf_put_char(ret_texts, '\0');
                }
        }
        sort_texts(ret_texts);
}

static Found compare_texts(const Part *p, const Model *m, const char *name, const Buf *ordinals) {
        CLEANUP(buf_deinit) Buf texts = BUF_NULL, expected = BUF_NULL;
        const uint32_t *list = ordinals ? (const uint32_t *)(ordinals->data ? ordinals->data : "") : NULL;
        size_t n = ordinals ? ordinals->len / sizeof *list : 0;
        RETURN_IF_DAMAGED(
                found(name ? part_label_values(p, span(name), list, n, &texts) : part_label_names(p, list, n, &texts)));
        model_texts(m, name, ordinals, &expected);
        expect_list(&texts, &expected);
        return RIGHT;
}

/* ---- models ---- */

/* All kinds of chunks, labels that come and go, shared and own instants. */
static Model *small_model(void) {
        Model *m = model_new();
        random_state = 1;
        char vm[16];
        for (unsigned i = 0; i < 12; i++) {
                (void)snprintf(vm, sizeof vm, "vm-%02u", i);
                (void)add_series(m, LABELS("__name__", "cpu_total", "host", i % 2 ? "hv1" : "hv2", "vm", vm));
                (void)add_series(m, LABELS("__name__", "memory_bytes", "vm", vm, i % 3 ? "zone" : "az", "1"));
        }
        (void)add_series(m, LABELS("__name__", "up"));
        arrange(m);
        CLEANUP_FREE int64_t *regular = make_times(0, 60, 0), *jittered = make_times(0, 60, 999),
                             *later = make_times(1000000, 9, 5);
        for (uint32_t i = 0; i < m->n; i++) {
                ModelSeries *s = &m->series[i];
                const int64_t *times = i % 5 ? regular : jittered;
                if (i % 4 == 3)
                        add_strings(m, s, 20 + i, times, 40);
                else if (i % 4 == 2)
                        add_rollup(m, s, i % 8 == 2 ? 0x3f : 1u << ROLLUP_LAST | 1u << ROLLUP_INCREASE | 1u, 60, times);
                else
                        add_floats(m, s, i % 3 ? 60 : 1, times);
                if (i % 6 == 0)
                        add_floats(m, s, 9, later);
        }
        return m;
}

/* Several pages of everything. */
static Model *large_model(void) {
        Model *m = model_new();
        random_state = 2;
        char vm[48], host[16], name[16], text[300];
        for (unsigned i = 0; i < MODEL_SERIES; i++) {
                (void)snprintf(vm, sizeof vm, "vm-%u-%s", below(150), below(5) ? "a" : "\xC3\xA4\xE8\x99\x9A");
                (void)snprintf(host, sizeof host, "hv%u", below(4));
                (void)snprintf(name, sizeof name, "metric_%u", below(5));
                memset(text, 'v', sizeof text);
                text[below(sizeof text - 1)] = (char)('a' + below(26));
                text[below(20) ? 0 : sizeof text - 1] = '\0'; /* "" is left out */
                (void)add_series(m, LABELS("__name__", name, "vm", vm, below(4) ? "host" : "node", host, "a",
                                           below(2) ? "" : "x", "long", text));
        }
        arrange(m);
        for (uint32_t i = 0; i < m->n; i++) {
                CLEANUP_FREE int64_t *times = make_times(below(100), 1 + below(30), below(3) ? 0 : 1 + below(50));
                add_floats(m, &m->series[i], 1, times);
        }
        return m;
}

/* ---- tests ---- */

static void every_kind_comes_back(void **state) {
        (void)state;
        CLEANUP(model_free) Model *m = small_model();
        CLEANUP(close_part) Part *p = NULL;
        PartMeta meta;
        PartDamage damage = { "" };
        write_model(m, "kinds.part", &meta);
        assert_int_equal(part_open(vfs, "kinds.part", &p, &damage), 0);
        assert_memory_equal(part_meta(p), &meta, sizeof meta);
        assert_int_equal(meta.series, m->n);
        assert_int_equal(meta.samples, m->samples);
        assert_true(meta.min_ms == 1 && meta.max_ms >= 1000001 && meta.tier == STORE_5M && meta.id == 12);
        for (uint32_t i = 0; i < m->n; i++)
                assert_int_equal(compare_series(p, i, &m->series[i], true), RIGHT);
        for (unsigned step = 1; step < 8; step += 3)
                assert_int_equal(compare_cursor(p, m, step), RIGHT);
        assert_int_equal(part_verify(p, &damage), 0);
        assert_true(part_memory(p) > sizeof *p && part_memory(p) < 4096);
        part_forget(p);
        assert_int_equal(compare_series(p, 0, &m->series[0], false), RIGHT);
}

static void long_columns_and_windows(void **state) {
        (void)state;
        CLEANUP(model_free) Model *m = model_new();
        CLEANUP(close_part) Part *p = NULL;
        PartMeta meta;
        PartDamage damage;
        random_state = 3;
        (void)add_series(m, LABELS("__name__", "a"));
        (void)add_series(m, LABELS("__name__", "b"));
        (void)add_series(m, LABELS("__name__", "c"));
        (void)add_series(m, LABELS("__name__", "d"));
        arrange(m);
        CLEANUP_FREE int64_t *regular = make_times(0, CODEC_MAX, 0), *jittered = make_times(0, CODEC_MAX, 900);
        add_floats(m, &m->series[0], CODEC_MAX, regular);
        add_floats(m, &m->series[1], CODEC_MAX, jittered);
        add_rollup(m, &m->series[2], 0x3f, 8640, jittered);
        add_strings(m, &m->series[3], 3000, jittered, 300);
        write_model(m, "long.part", &meta);
        assert_int_equal(part_open(vfs, "long.part", &p, &damage), 0);
        for (uint32_t i = 0; i < m->n; i++)
                assert_int_equal(compare_series(p, i, &m->series[i], true), RIGHT);
        assert_int_equal(part_verify(p, &damage), 0);
}

static void extreme_instants(void **state) {
        (void)state;
        CLEANUP(free_writer) PartWriter *w = NULL;
        CLEANUP(close_part) Part *p = NULL;
        CLEANUP(buf_deinit) Buf run = BUF_NULL, chunks = BUF_NULL;
        PartMeta meta = { .id = 1, .begin_ms = INT64_MIN, .end_ms = INT64_MAX };
        PartDamage damage;
        static const int64_t TIMES[] = { INT64_MIN + 1, -1, 0, INT64_MAX - 1, INT64_MAX };
        static const double VALUES[] = { 1, 2, 3, 4, 5 };
        Label name = { span("__name__"), span("x") };
        assert_int_equal(labels_build(&name, 1, &run), LABELS_OK);
        assert_int_equal(part_writer_new(vfs, "extreme.part", &meta, CODEC_FAST, &w), 0);
        assert_int_equal(part_writer_series(w, (uint8_t *)run.data, run.len), 0);
        assert_int_equal(part_writer_floats(w, TIMES, VALUES, 2), 0);
        assert_int_equal(part_writer_floats(w, TIMES + 2, VALUES + 2, 3), 0);
        assert_int_equal(part_writer_finish(w, &meta), 0);
        assert_int_equal(part_open(vfs, "extreme.part", &p, &damage), 0);
        assert_int_equal(part_series(p, 0, NULL, &chunks), 0);
        int64_t times[5];
        double values[5];
        uint32_t n;
        const PartChunk *c = (const PartChunk *)chunks.data;
        assert_int_equal(part_floats(p, c, 0, INT64_MIN, INT64_MAX, times, values, &n), 0);
        assert_int_equal(n, 2);
        assert_memory_equal(times, TIMES, 2 * sizeof *times);
        assert_int_equal(part_floats(p, c + 1, 0, 0, INT64_MAX - 1, times, values, &n), 0);
        assert_true(n == 1 && times[0] == INT64_MAX - 1 && values[0] == 4);
        assert_int_equal(part_floats(p, c, 0, -1, INT64_MIN, times, values, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(part_verify(p, &damage), 0);
}

static void an_empty_part(void **state) {
        (void)state;
        CLEANUP(free_writer) PartWriter *w = NULL;
        CLEANUP(close_part) Part *p = NULL;
        CLEANUP(buf_deinit) Buf run = BUF_NULL, out = BUF_NULL;
        PartMeta meta;
        PartDamage damage;
        Label name = { span("__name__"), span("x") };
        assert_int_equal(labels_build(&name, 1, &run), LABELS_OK);
        assert_int_equal(part_writer_new(vfs, "empty.part", &META, CODEC_FAST, &w), 0);
        assert_int_equal(part_writer_series(w, (uint8_t *)run.data, run.len), 0);
        assert_int_equal(part_writer_finish(w, &meta), 0);
        assert_int_equal(meta.series, 0);
        assert_int_equal(part_open(vfs, "empty.part", &p, &damage), 0);
        assert_int_equal(part_select(p, NULL, 0, &out), 0);
        assert_int_equal(part_label_names(p, NULL, 0, &out), 0);
        assert_int_equal(part_label_values(p, span("x"), NULL, 0, &out), 0);
        assert_int_equal(part_label_names(p, (const uint32_t *)"", 0, &out), 0);
        assert_int_equal(out.len, 0);
        assert_int_equal(part_verify(p, &damage), 0);
}

static void series_without_chunks_are_left_out(void **state) {
        (void)state;
        CLEANUP(model_free) Model *m = large_model(), *kept = model_new();
        CLEANUP(close_part) Part *p = NULL;
        PartMeta meta;
        PartDamage damage;
        for (uint32_t i = 0; i < m->n; i += 3) {
                ModelSeries *s = &m->series[i];
                free(s->chunks[0].times);
                free(s->chunks[0].values[0]);
                s->n_chunks = 0;
        }
        write_model(m, "left.part", &meta);
        assert_int_equal(part_open(vfs, "left.part", &p, &damage), 0);
        assert_int_equal(meta.series, m->n - (m->n + 2) / 3);
        for (uint32_t i = 0, k = 0; i < m->n; i++)
                if (i % 3)
                        assert_int_equal(compare_series(p, k++, &m->series[i], false), RIGHT);
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        assert_int_equal(part_select(p, NULL, 0, &out), 0);
        assert_int_equal(out.len, meta.series * sizeof(uint32_t));
        assert_int_equal(part_verify(p, &damage), 0);
}

/* ---- select ---- */

static void random_matcher(Matcher *m) {
        static const char *const NAMES[] = { "__name__", "vm", "host", "node", "a", "long", "absent" };
        static const char *const VALUES[] = { "",         "x",      "metric_1",
                                              "metric_4", "vm-7-a", "vm-11-\xC3\xA4\xE8\x99\x9A",
                                              "hv1",      "hv9",    "no such value" };
        static const char *const EXPRESSIONS[] = { "",         ".*",           ".+",
                                                   "x|",       "hv[12]",       "hv1|hv2|hv7",
                                                   "vm-1.*",   "vm-.*-a",      "(vm-3-a|vm-4-a)",
                                                   "metric_.", "(?i)METRIC_2", ".*\xE8\x99\x9A",
                                                   "v+",       "vm-1?.*a",     "vv.*",
                                                   "[^v].*",   "^hv3$",        "metric_1|metric_2|" };
        MatchType type = (MatchType)below(4);
        bool regex = type == MATCH_REGEX || type == MATCH_NOT_REGEX;
        const char *value = regex ? EXPRESSIONS[below(ARRAY_LEN(EXPRESSIONS))] : VALUES[below(ARRAY_LEN(VALUES))];
        assert_int_equal(matcher_init(m, type, span(NAMES[below(ARRAY_LEN(NAMES))]), span(value), NULL), 0);
}

static void selecting_is_what_matching_each_series_gives(void **state) {
        (void)state;
        CLEANUP(model_free) Model *m = large_model();
        CLEANUP(close_part) Part *p = NULL;
        CLEANUP(buf_deinit) Buf ordinals = BUF_NULL;
        PartMeta meta;
        PartDamage damage;
        write_model(m, "select.part", &meta);
        assert_int_equal(part_open(vfs, "select.part", &p, &damage), 0);
        assert_true(p->n_series_pages > 3 && p->n_label_pages > p->n_names);
        unsigned some = 0;
        for (unsigned i = 0; i < 3000; i++) {
                Matcher matchers[4];
                size_t n = below(5);
                for (size_t k = 0; k < n; k++)
                        random_matcher(&matchers[k]);
                assert_int_equal(compare_select(p, m, matchers, n, &ordinals), RIGHT);
                some += ordinals.len > 0 && ordinals.len < m->n * sizeof(uint32_t);
                if (i % 10 == 0) {
                        assert_int_equal(compare_texts(p, m, NULL, &ordinals), RIGHT);
                        assert_int_equal(compare_texts(p, m, "vm", &ordinals), RIGHT);
                        assert_int_equal(compare_texts(p, m, "host", &ordinals), RIGHT);
                }
                for (size_t k = 0; k < n; k++)
                        matcher_deinit(&matchers[k]);
        }
        assert_true(some > 300);
        assert_int_equal(compare_texts(p, m, NULL, NULL), RIGHT);
        static const char *const NAMES[] = { "__name__", "a", "host", "long", "node", "vm", "absent" };
        for (size_t i = 0; i < ARRAY_LEN(NAMES); i++)
                assert_int_equal(compare_texts(p, m, NAMES[i], NULL), RIGHT);
        for (uint32_t i = 0; i < m->n; i++)
                assert_int_equal(compare_series(p, i, &m->series[i], false), RIGHT);
        assert_int_equal(compare_cursor(p, m, 1), RIGHT);
        assert_int_equal(compare_cursor(p, m, 9), RIGHT);
        assert_int_equal(part_verify(p, &damage), 0);
}

/* Few series are left by the first matchers, and the last one's label has hundreds of values. */
static void a_few_series_are_looked_at_one_by_one(void **state) {
        (void)state;
        CLEANUP(model_free) Model *m = large_model();
        CLEANUP(close_part) Part *p = NULL;
        CLEANUP(buf_deinit) Buf ordinals = BUF_NULL;
        PartMeta meta;
        PartDamage damage;
        write_model(m, "few.part", &meta);
        assert_int_equal(part_open(vfs, "few.part", &p, &damage), 0);
        unsigned found_some = 0;
        for (unsigned i = 0; i < 150; i++) {
                char vm[16];
                Matcher matchers[2];
                (void)snprintf(vm, sizeof vm, "vm-%u-a", i);
                assert_int_equal(matcher_init(&matchers[0], MATCH_EQUAL, span("vm"), span(vm), NULL), 0);
                assert_int_equal(matcher_init(&matchers[1], i % 2 ? MATCH_REGEX : MATCH_NOT_REGEX, span("long"),
                                              span(i % 3 ? ".*[a-m].*" : "(.*[a-m].*)?"), NULL), 0);
                assert_int_equal(compare_select(p, m, matchers, 2, &ordinals), RIGHT);
                found_some += ordinals.len > 0;
                matcher_deinit(&matchers[1]);
        }
        assert_true(found_some > 30);
}

/* ---- damage ---- */

static void memory_unmap(Vfs *v, VfsMap *map) {
        (void)v;
        free((void *)map->bytes);
}

static void memory_forget(Vfs *v, const VfsMap *map) {
        (void)v;
        (void)map;
}

static const VfsOps MEMORY_OPS = { .unmap = memory_unmap, .forget = memory_forget };
static Vfs memory = { &MEMORY_OPS };

/* Opens an exact copy: a sanitizer sees one byte too many. */
static int open_copy(const Buf *file, size_t len, Part **ret_part, PartDamage *ret_damage) {
        uint8_t *bytes = malloc(len ? len : 1);
        assert_non_null(bytes);
        memcpy(bytes, file->data, len);
        return part_open_map(&memory, "copy", (VfsMap){ bytes, len, NULL }, false, ret_part, ret_damage);
}

static void read_file(const char *name, Buf *ret_file) {
        VfsMap map;
        assert_int_equal(vfs_map(vfs, name, &map), 0);
        buf_put(ret_file, map.bytes, map.len);
        vfs_unmap(vfs, &map);
}

/* Everything that can be asked: right, or damaged; and then verify says so too. */
static void ask_everything(const Part *p, const Model *m) {
        CLEANUP(buf_deinit) Buf ordinals = BUF_NULL;
        PartDamage damage = { "" };
        unsigned bad = 0;
        Matcher one = { MATCH_EQUAL, span("vm"), span("vm-03"), NULL },
                other = { MATCH_NOT_EQUAL, span("host"), span("hv1"), NULL };
        bad += compare_select(p, m, &one, 1, &ordinals) == DAMAGED;
        bad += compare_select(p, m, &other, 1, &ordinals) == DAMAGED;
        bad += compare_texts(p, m, "vm", NULL) == DAMAGED;
        bad += compare_texts(p, m, NULL, &ordinals) == DAMAGED;
        for (uint32_t i = 0; i < m->n; i++)
                bad += compare_series(p, i, &m->series[i], false) == DAMAGED;
        bad += compare_cursor(p, m, 1) == DAMAGED;
        assert_int_equal(part_verify(p, &damage), -EBADMSG);
        assert_true(bad > 0 || strstr(damage.text, "copy: "));
}

static void flipped_bytes_are_found(void **state) {
        (void)state;
        CLEANUP(model_free) Model *m = small_model();
        CLEANUP(buf_deinit) Buf file = BUF_NULL;
        PartMeta meta;
        write_model(m, "flip.part", &meta);
        read_file("flip.part", &file);
        unsigned opened = 0;
        for (size_t i = 0; i < file.len; i++) {
                CLEANUP(close_part) Part *p = NULL;
                PartDamage damage = { "" };
                char *at = &file.data[i], was = *at;
                *at = (char)(below(8) ? was ^ 1 << below(8) : ~was);
                int r = open_copy(&file, file.len, &p, &damage);
                assert_true(r == 0 || (r == -EBADMSG && strncmp(damage.text, "copy: ", 6) == 0 && !p));
                opened += r == 0;
                if (r == 0)
                        ask_everything(p, m);
                *at = was;
        }
        assert_true(opened > file.len / 2); /* most bytes are not looked at to open */
}

static void truncations_are_found(void **state) {
        (void)state;
        CLEANUP(model_free) Model *m = small_model();
        CLEANUP(buf_deinit) Buf file = BUF_NULL;
        PartMeta meta;
        write_model(m, "short.part", &meta);
        read_file("short.part", &file);
        for (size_t len = 0; len < file.len; len++) {
                CLEANUP(close_part) Part *p = NULL;
                PartDamage damage = { "" };
                assert_int_equal(open_copy(&file, len, &p, &damage), -EBADMSG);
                assert_true(strlen(damage.text) > 6);
        }
        buf_put_char(&file, '\0');
        CLEANUP(close_part) Part *longer = NULL;
        PartDamage damage;
        assert_int_equal(open_copy(&file, file.len, &longer, &damage), -EBADMSG);
}

/* A good piece at the wrong place: the CRC of each begins with where it belongs. */
static void pieces_of_other_parts_are_found(void **state) {
        (void)state;
        CLEANUP(model_free) Model *m = small_model();
        CLEANUP(buf_deinit) Buf file = BUF_NULL, twin = BUF_NULL;
        PartMeta meta, other = META;
        write_model(m, "mine.part", &meta);
        read_file("mine.part", &file);
        CLEANUP(free_writer) PartWriter *w = NULL;
        other.id++;
        assert_int_equal(part_writer_new(vfs, "twin.part", &other, CODEC_SMALL, &w), 0);
        for (uint32_t i = 0; i < m->n; i++) {
                assert_int_equal(part_writer_series(w, (uint8_t *)m->series[i].run.data, m->series[i].run.len), 0);
                for (unsigned k = 0; k < m->series[i].n_chunks; k++)
                        write_chunk(w, &m->series[i].chunks[k]);
        }
        assert_int_equal(part_writer_finish(w, &meta), 0);
        read_file("twin.part", &twin);
        assert_int_equal(twin.len, file.len);
        /* All but the header from the other one. */
        memcpy(file.data + LAYOUT_HEADER, twin.data + LAYOUT_HEADER, file.len - LAYOUT_HEADER);
        CLEANUP(close_part) Part *p = NULL;
        PartDamage damage;
        assert_int_equal(open_copy(&file, file.len, &p, &damage), -EBADMSG);
        /* Two columns of the same length change places. */
        CLEANUP(buf_deinit) Buf a = BUF_NULL, b = BUF_NULL;
        assert_int_equal(open_copy(&twin, twin.len, &p, &damage), 0);
        for (uint32_t i = 0; i < m->n; i++)
                assert_int_equal(part_series(p, i, NULL, &a), 0);
        const PartChunk *c = (const PartChunk *)a.data, *end = c + a.len / sizeof *c, *x = NULL, *y = NULL;
        for (const PartChunk *i = c; i < end; i++)
                for (const PartChunk *k = i + 1; !x && k < end; k++)
                        if (i->values_len == k->values_len &&
                            memcmp(twin.data + i->values_at, twin.data + k->values_at, i->values_len))
                                x = i, y = k;
        assert_non_null(x);
        buf_put(&b, twin.data + x->values_at, x->values_len);
        memcpy(twin.data + x->values_at, twin.data + y->values_at, x->values_len);
        memcpy(twin.data + y->values_at, b.data, x->values_len);
        CLEANUP(close_part) Part *q = NULL;
        assert_int_equal(open_copy(&twin, twin.len, &q, &damage), 0);
        assert_int_equal(part_verify(q, &damage), -EBADMSG);
}

static void other_versions_are_refused(void **state) {
        (void)state;
        CLEANUP(model_free) Model *m = small_model();
        CLEANUP(buf_deinit) Buf file = BUF_NULL;
        PartMeta meta;
        write_model(m, "version.part", &meta);
        read_file("version.part", &file);
        uint8_t *h = (uint8_t *)file.data;
        store32(h + HEADER_VERSION, 2);
        CLEANUP(close_part) Part *p = NULL;
        PartDamage damage;
        assert_int_equal(open_copy(&file, file.len, &p, &damage), -EBADMSG); /* a flipped bit is not another version */
        store32(h + HEADER_CRC, crc32c(0, h, HEADER_CRC));
        assert_int_equal(open_copy(&file, file.len, &p, &damage), -EPROTONOSUPPORT);
        assert_non_null(strstr(damage.text, "version 2"));
        assert_int_equal(part_open(vfs, "no such.part", &p, &damage), -ENOENT);
}

/* ---- the writer's disk ---- */

typedef struct FailingDisk {
        Vfs vfs;
        unsigned left; /* calls until one fails */
        bool exists;
} FailingDisk;

static int failing(Vfs *v) {
        FailingDisk *d = (FailingDisk *)v;
        return d->left-- == 0 ? -EIO : 0;
}

static int failing_open(Vfs *v, const char *name, VfsOpen how, VfsFile **ret_file) {
        (void)name;
        assert_int_equal(how, VFS_CREATE);
        int r = failing(v);
        if (r == 0) {
                ((FailingDisk *)v)->exists = true;
                *ret_file = (VfsFile *)v;
        }
        return r;
}

static void failing_close(Vfs *v, VfsFile *f) {
        assert_ptr_equal(v, f);
}

static int failing_append(Vfs *v, VfsFile *f, const void *bytes, size_t n) {
        (void)f;
        (void)bytes;
        assert_true(n > 0);
        return failing(v);
}

static int failing_sync(Vfs *v, VfsFile *f) {
        (void)f;
        return failing(v);
}

static int failing_unlink(Vfs *v, const char *name) {
        assert_string_equal(name, "failing.part");
        ((FailingDisk *)v)->exists = false;
        return 0;
}

static void a_failed_write_leaves_no_file(void **state) {
        (void)state;
        static const VfsOps OPS = { .open = failing_open, .close = failing_close, .append = failing_append,
                                    .sync = failing_sync, .unlink = failing_unlink };
        CLEANUP(model_free) Model *m = model_new();
        random_state = 5;
        (void)add_series(m, LABELS("__name__", "a"));
        (void)add_series(m, LABELS("__name__", "b"));
        arrange(m);
        CLEANUP_FREE int64_t *times = make_times(0, CODEC_MAX, 500);
        CLEANUP_FREE double *values = malloc(CODEC_MAX * sizeof *values);
        assert_non_null(values);
        for (uint32_t i = 0; i < CODEC_MAX; i++)
                values[i] = any_double();
        unsigned failures = 0;
        for (unsigned calls = 0;; calls++) {
                FailingDisk disk = { { &OPS }, calls, false };
                PartMeta meta;
                PartWriter *w = NULL;
                int r = part_writer_new(&disk.vfs, "failing.part", &META, CODEC_FAST, &w);
                for (uint32_t i = 0; r == 0 && i < m->n; i++) {
                        r = part_writer_series(w, (uint8_t *)m->series[i].run.data, m->series[i].run.len);
                        if (r == 0)
                                r = part_writer_floats(w, times, values, CODEC_MAX);
                }
                if (w && r < 0) /* it stays failed */
                        assert_int_equal(part_writer_floats(w, times, values, 1), r);
                if (r == 0)
                        r = part_writer_finish(w, &meta);
                if (w && r < 0)
                        assert_int_equal(part_writer_finish(w, &meta), r);
                w = part_writer_free(w);
                assert_true(r == 0 || r == -EIO);
                assert_int_equal(disk.exists, r == 0);
                failures += r < 0;
                if (r == 0)
                        break;
        }
        assert_true(failures >= 4);
        CLEANUP(free_writer) PartWriter *w = NULL, *again = NULL;
        assert_int_equal(part_writer_new(vfs, "there.part", &META, CODEC_FAST, &w), 0);
        assert_int_equal(part_writer_new(vfs, "there.part", &META, CODEC_FAST, &again), -EEXIST);
        w = part_writer_free(w);
        assert_int_equal(part_writer_new(vfs, "there.part", &META, CODEC_FAST, &again), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_kind_comes_back),
                cmocka_unit_test(long_columns_and_windows),
                cmocka_unit_test(extreme_instants),
                cmocka_unit_test(an_empty_part),
                cmocka_unit_test(series_without_chunks_are_left_out),
                cmocka_unit_test(selecting_is_what_matching_each_series_gives),
                cmocka_unit_test(a_few_series_are_looked_at_one_by_one),
                cmocka_unit_test(flipped_bytes_are_found),
                cmocka_unit_test(truncations_are_found),
                cmocka_unit_test(pieces_of_other_parts_are_found),
                cmocka_unit_test(other_versions_are_refused),
                cmocka_unit_test(a_failed_write_leaves_no_file),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
}
