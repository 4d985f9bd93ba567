/* What the tests of functions share: an arena, notes, histograms and samples from tables. */
#pragma once

#include "query/notes.h"
#include "query/function.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define S(text) ((Span){ (text), sizeof(text) - 1 })

/* The parser's, which these tests do without. */
__attribute__((weak)) const char *binary_name(BinaryOp op);
__attribute__((weak)) const char *binary_name(BinaryOp op) {
        static const char *const NAMES[BINARY_OP_COUNT] = { "+", "-", "*",  "/",  "%",   "^",  "atan2",  "==", "!=",
                                                            ">", "<", ">=", "<=", "and", "or", "unless", "</", ">/" };
        return NAMES[op];
}

typedef struct Bench {
        ArenaBudget budget;
        Arena arena;
        Notes notes;
        Buf error;
} Bench;

static int bench_setup(void **state) {
        Bench *b = calloc(1, sizeof *b);
        assert_non_null(b);
        b->budget = ARENA_BUDGET((size_t)256 << 20);
        b->arena = ARENA(&b->budget);
        notes_init(&b->notes, &b->arena);
        *state = b;
        return 0;
}

static int bench_teardown(void **state) {
        Bench *b = *state;
        arena_deinit(&b->arena);
        buf_deinit(&b->error);
        free(b);
        return 0;
}

/* Whether exactly these notes are there, in any order; a text ends the list with NULL. */
static inline bool has_note(const Bench *b, const char *text) {
        for (int kind = 0; kind < 2; kind++)
                for (size_t i = 0; i < b->notes.sets[kind].n; i++)
                        if (strcmp(b->notes.sets[kind].notes[i].text, text) == 0)
                                return true;
        return false;
}

static inline size_t n_notes(const Bench *b) {
        return b->notes.sets[0].n + b->notes.sets[1].n;
}

#define assert_note(b, text)                                                                                           \
        do {                                                                                                           \
                if (!has_note((b), (text)))                                                                            \
                        fail_msg("no note: %s", (text));                                                               \
                assert_int_equal(n_notes(b), 1);                                                                       \
                notes_init(&(b)->notes, &(b)->arena);                                                                  \
        } while (0)
#define assert_no_notes(b) assert_int_equal(n_notes(b), 0)

static inline bool same_double(double a, double b) {
        return a == b || (isnan(a) && isnan(b) && is_absent(a) == is_absent(b));
}

#define assert_double(a, b)                                                                                            \
        do {                                                                                                           \
                double a_ = (a), b_ = (b);                                                                             \
                if (!same_double(a_, b_))                                                                              \
                        fail_msg("%.17g is not %.17g", a_, b_);                                                        \
        } while (0)
/* Up to what another order of calculation changes. */
#define assert_near(a, b)                                                                                              \
        do {                                                                                                           \
                double a_ = (a), b_ = (b);                                                                             \
                if (!same_double(a_, b_) && !(fabs(a_ - b_) <= 1e-12 * fmax(fabs(a_), fabs(b_))))                      \
                        fail_msg("%.17g is not near %.17g", a_, b_);                                                   \
        } while (0)

/* A side: counts of successive buckets from `offset` on. */
typedef struct SideOf {
        int32_t offset;
        uint32_t n;
        double counts[12];
} SideOf;

typedef struct HistOf {
        int32_t schema;
        double count, sum, zero_threshold, zero;
        SideOf positive, negative;
        FHistReset reset;
        uint32_t n_custom;
        double custom[12];
} HistOf;

static inline void side_from(Arena *a, const SideOf *in, HistogramSpan **spans, uint32_t *n_spans, double **counts,
                             uint32_t *n) {
        *spans = ARENA_ARRAY(a, HistogramSpan, 1);
        *counts = ARENA_ARRAY(a, double, in->n);
        assert_true(*spans && *counts);
        (*spans)[0] = (HistogramSpan){ in->offset, in->n };
        for (uint32_t i = 0; i < in->n; i++)
                (*counts)[i] = in->counts[i];
        *n_spans = in->n > 0;
        *n = in->n;
}

static inline FHist *hist(Bench *b, HistOf in) {
        FHist *h = ARENA_NEW(&b->arena, FHist);
        double *custom = ARENA_ARRAY(&b->arena, double, in.n_custom);
        assert_true(h && custom);
        for (uint32_t i = 0; i < in.n_custom; i++)
                custom[i] = in.custom[i];
        *h = (FHist){ .schema = in.schema,
                      .reset = in.reset,
                      .zero_threshold = in.zero_threshold,
                      .zero_count = in.zero,
                      .count = in.count,
                      .sum = in.sum,
                      .custom_bounds = custom,
                      .n_custom = in.n_custom };
        side_from(&b->arena, &in.positive, &h->positive_spans, &h->n_positive_spans, &h->positive, &h->n_positive);
        side_from(&b->arena, &in.negative, &h->negative_spans, &h->n_negative_spans, &h->negative, &h->n_negative);
        return h;
}
#define HIST(b, ...) hist((b), (HistOf){ __VA_ARGS__ })

static inline void assert_hist(const FHist *h, const char *text) {
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        assert_non_null(h);
        fhist_print(h, &out);
        assert_string_equal(buf_cstr(&out), text);
}
