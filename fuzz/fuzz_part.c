/* Any bytes as a part: opened, selected from, read to the last sample and verified. The input is opened twice, once with checksums taken
 * as right: hardly any input would get past them. What a reader answers must be well-formed: canonical runs, ascending instants. */
#include "store/part/part_priv.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void input_unmap(Vfs *v, VfsMap *map) {
        (void)v;
        free((void *)map->bytes);
}

static void input_forget(Vfs *v, const VfsMap *map) {
        (void)v;
        (void)map;
}

static void check_error(int r) {
        assert(r == 0 || r == -EBADMSG || r == -ENOMEM || r == -EFBIG);
}

static void read_floats(const Part *p, const PartChunk *c, RollupColumn column, int64_t begin_ms, int64_t end_ms) {
        CLEANUP_FREE int64_t *times = malloc(c->n * sizeof *times);
        CLEANUP_FREE double *values = malloc(c->n * sizeof *values);
        uint32_t n = 0, alone = 0;
        assert(times && values);
        int r = part_floats(p, c, column, begin_ms, end_ms, times, values, &n);
        check_error(r);
        for (uint32_t i = 0; i < n; i++)
                assert(times[i] > begin_ms && times[i] <= end_ms && (i == 0 || times[i] > times[i - 1]));
        if (part_floats(p, c, column, begin_ms, end_ms, NULL, values, &alone) == 0 && r == 0)
                assert(alone == n);
}

static void read_strings(const Part *p, const PartChunk *c, int64_t begin_ms, int64_t end_ms) {
        CLEANUP_FREE int64_t *times = malloc(c->n * sizeof *times);
        CLEANUP_FREE uint32_t *offsets = malloc(((size_t)c->n + 1) * sizeof *offsets);
        CLEANUP(buf_deinit) Buf out = BUF_WITH_LIMIT(1 << 20);
        uint32_t n = 0;
        assert(times && offsets);
        int r = part_histograms(p, c, begin_ms, end_ms, times, &out, offsets, &n);
        check_error(r);
        if (r == 0)
                assert(offsets[0] == 0 && offsets[n] == out.len);
}

static void read_chunk(const Part *p, const PartChunk *c) {
        if (c->n > 4096) /* nothing new, and slow */
                return;
        int64_t middle = c->min_ms / 2 + c->max_ms / 2;
        if (c->kind == CHUNK_HISTOGRAMS) {
                read_strings(p, c, INT64_MIN, INT64_MAX);
                read_strings(p, c, middle, INT64_MAX);
                return;
        }
        unsigned columns = c->kind == CHUNK_ROLLUP ? c->columns : 1;
        for (unsigned k = 0; columns >> k; k++) {
                if (!(columns >> k & 1))
                        continue;
                read_floats(p, c, (RollupColumn)k, INT64_MIN, INT64_MAX);
                read_floats(p, c, (RollupColumn)k, c->min_ms, middle);
        }
}

static void read_series(const Part *p) {
        PartCursor *cursor = NULL;
        CLEANUP(buf_deinit) Buf run = BUF_NULL, chunks = BUF_NULL;
        if (part_cursor_new(p, &cursor) < 0)
                return;
        /* Series may share a page by the thousand in a file that nobody wrote. */
        for (uint32_t i = 0; i < part_meta(p)->series && i < 70; i++) {
                Span text;
                const PartChunk *c;
                size_t n;
                Label labels[LABELS_MAX];
                buf_reset(&run);
                buf_reset(&chunks);
                int r = part_series(p, i, &run, &chunks), by_cursor = part_cursor_series(cursor, i, &text, &c, &n);
                check_error(r);
                assert((r == 0) == (by_cursor == 0));
                if (r < 0)
                        continue;
                assert(text.len == run.len && (run.len == 0 || memcmp(text.text, run.data, run.len) == 0));
                (void)labels_split((uint8_t *)run.data, run.len, labels);
                for (size_t k = 0; k < n && k < 3; k++)
                        read_chunk(p, &c[k]);
        }
        cursor = part_cursor_free(cursor);
}

static void ask(const Part *p, MatchType type, Span name, const char *value) {
        CLEANUP(matcher_deinit) Matcher m = MATCHER_NULL;
        CLEANUP(buf_deinit) Buf ordinals = BUF_NULL, texts = BUF_NULL;
        if (matcher_init(&m, type, name, (Span){ value, strlen(value) }, NULL) < 0)
                return;
        int r = part_select(p, &m, 1, &ordinals);
        check_error(r);
        if (r < 0)
                return;
        const uint32_t *list = (const uint32_t *)ordinals.data;
        size_t n = ordinals.len / sizeof *list;
        for (size_t i = 0; i < n; i++)
                assert(list[i] < part_meta(p)->series && (i == 0 || list[i] > list[i - 1]));
        check_error(part_label_values(p, name, list, n, &texts));
        check_error(part_label_names(p, list, n, &texts));
}

static void read_part(const uint8_t *bytes, size_t n, bool trusting) {
        static const VfsOps OPS = { .unmap = input_unmap, .forget = input_forget };
        Vfs input = { &OPS };
        Part *p = NULL;
        PartDamage damage = { "" };
        uint8_t *copy = malloc(n ? n : 1);
        assert(copy);
        memcpy(copy, bytes, n);
        int r = part_open_map(&input, "input", (VfsMap){ copy, n, NULL }, trusting, &p, &damage);
        if (r < 0) {
                assert(r == -EBADMSG || r == -EPROTONOSUPPORT || r == -ENOMEM);
                return;
        }
        ask(p, MATCH_EQUAL, (Span){ "vm", 2 }, "vm-03");
        for (uint32_t i = 0; i < p->n_names && i < 4; i++)
                ask(p, i % 2 ? MATCH_NOT_REGEX : MATCH_REGEX, p->names[i].text, i < 2 ? "vm.*" : ".*1");
        read_series(p);
        check_error(part_verify(p, &damage));
        p = part_close(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        read_part(bytes, n, false);
        read_part(bytes, n, true);
        return 0;
}
