/* Writes the seeds of fuzz/corpus/part into the directory given: small parts with each kind of chunk, of list, of time column.
 * Run again when the layout changes:  cc -D_GNU_SOURCE -Isrc -Itables fuzz/make_part_corpus.c build/libstore_part.a ... */
#include "store/part/part.h"

#include <stdio.h>
#include <string.h>

static Span span(const char *text) {
        return (Span){ text, strlen(text) };
}

static void put_floats(PartWriter *w, uint32_t n, int64_t from, unsigned jitter) {
        int64_t times[2000];
        double values[2000];
        for (uint32_t i = 0; i < n; i++) {
                times[i] = from + i * 10000 + (jitter ? i * 7919u % jitter : 0);
                values[i] = i * 3.0 + i % 7;
        }
        (void)!part_writer_floats(w, times, values, n);
}

static void put_histograms(PartWriter *w, uint32_t n) {
        int64_t times[100];
        uint8_t bytes[2000];
        uint32_t offsets[101] = { 0 };
        for (uint32_t i = 0; i < n; i++) {
                times[i] = 10 + i * 10000;
                offsets[i + 1] = offsets[i] + i % 20;
                memset(bytes + offsets[i], (int)i, i % 20);
        }
        (void)!part_writer_histograms(w, times, bytes, offsets, n);
}

static void put_rollup(PartWriter *w, uint32_t n) {
        int64_t times[100];
        double values[ROLLUP_COLUMN_COUNT][100];
        const double *columns[ROLLUP_COLUMN_COUNT];
        for (unsigned c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                columns[c] = values[c];
        for (uint32_t i = 0; i < n; i++) {
                times[i] = (i + 1) * 300000;
                values[ROLLUP_COUNT][i] = 30;
                values[ROLLUP_LAST][i] = i * 100 + i % 3;
                values[ROLLUP_INCREASE][i] = i ? values[ROLLUP_LAST][i] - values[ROLLUP_LAST][i - 1] : 0;
                values[ROLLUP_MIN][i] = i * 100;
                values[ROLLUP_MAX][i] = i * 100 + 7;
                values[ROLLUP_SUM][i] = i * 3000 + 11;
        }
        (void)!part_writer_rollup(w, times, columns, n);
}

static void put_series(PartWriter *w, const char *metric, unsigned vm, const char *extra) {
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        char name[16];
        (void)snprintf(name, sizeof name, "vm-%02u", vm);
        Label labels[] = { { span(METRIC_NAME_LABEL), span(metric) }, { span("vm"), span(name) }, { span(extra), span("1") } };
        (void)!labels_build(labels, 3, &run);
        (void)!part_writer_series(w, (uint8_t *)run.data, run.len);
}

static void write_part(Vfs *vfs, const char *name, unsigned which) {
        PartMeta meta = { .id = which + 1, .begin_ms = 0, .end_ms = INT64_C(1) << 50 };
        PartWriter *w = NULL;
        if (part_writer_new(vfs, name, &meta, CODEC_SMALL, &w) < 0)
                return;
        for (unsigned vm = 0; vm < (which == 0 ? 80 : 4); vm++) {
                put_series(w, "metric", vm, vm % 3 == 1 ? "wone" : "xtra");
                switch (which) {
                case 0: put_floats(w, 1 + vm % 2, 5, 0); break;
                case 1: put_floats(w, 30, 5, vm % 2 ? 500 : 0), put_floats(w, 5, 500000, 3); break;
                case 2: put_histograms(w, 30); break;
                case 3: put_rollup(w, 20); break;
                default: put_floats(w, 1100, 5, 900); break;
                }
        }
        (void)!part_writer_finish(w, &meta);
        w = part_writer_free(w);
}

int main(int argc, char **argv) {
        static const char *const NAMES[] = { "labels", "chunks", "histograms", "rollups", "segments" };
        Vfs *vfs = NULL;
        if (argc != 2 || vfs_posix_new(argv[1], &vfs) < 0) {
                (void)fprintf(stderr, "usage: make_part_corpus DIRECTORY\n");
                return 2;
        }
        for (unsigned i = 0; i < ARRAY_LEN(NAMES); i++)
                write_part(vfs, NAMES[i], i);
        vfs = vfs_free(vfs);
        return 0;
}
