#include "query/fhist_priv.h"
#include "query/test_function.h"

#include <float.h>

/* (1, 2], (2, 4], (4, 8] of schema 0 are the buckets with index 1, 2, 3 */
static FHist *simple(Bench *b) {
        return HIST(b, .count = 12, .sum = 30, .zero_threshold = 0.001, .zero = 2, .positive = { 1, 3, { 4, 0, 3 } },
                    .negative = { 0, 2, { 1, 2 } });
}

static void bounds(void **state) {
        static const struct {
                int64_t index;
                int32_t schema;
                double bound;
        } CASES[] = {
                { 0, 0, 1 },
                { 1, 0, 2 },
                { -1, 0, 0.5 },
                { 1, 1, 1.414213562373095 }, /* 2 * 0.7071067811865475 */
                { 2, 1, 2 },
                { 1, -1, 4 },
                { -1, -1, 0.25 },
                { 1, -4, 65536 },
                { 1, 3, 1.0905077326652577 },
                { 256, 8, 2 },
                { 1024, 0, DBL_MAX },
                { 1025, 0, INFINITY },
                { 64, -4, DBL_MAX },
                { 65, -4, INFINITY },
                { 1024 * 256, 8, DBL_MAX },
                { -1080, 0, 0 },
                { INT32_MAX, 0, INFINITY },
                { INT32_MIN, -4, 0 },
                { INT32_MIN, 8, 0 },
        };
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_double(fhist_bound_exponential(CASES[i].index, CASES[i].schema), CASES[i].bound);
        /* finer schemas have the bounds of the coarser ones among theirs */
        for (int32_t schema = 0; schema < 8; schema++)
                for (int64_t i = -300; i < 300; i++)
                        assert_double(fhist_bound_exponential(i, schema), fhist_bound_exponential(2 * i, schema + 1));
}

/* decoded from the store's bytes: integer ones are sums of deltas */
static void decodes(void **state) {
        Bench *b = *state;
        Histogram *in = calloc(1, sizeof *in);
        CLEANUP(buf_deinit) Buf bytes = BUF_NULL;
        FHist *h = NULL;
        assert_non_null(in);
        in->count_int = 10;
        in->sum = 12.5;
        in->zero_threshold = 0.5;
        in->zero_int = 1;
        in->positive.n_spans = 2;
        in->positive.spans[0] = (HistogramSpan){ 1, 2 };
        in->positive.spans[1] = (HistogramSpan){ 1, 1 };
        in->positive.n_buckets = 3;
        in->positive.deltas[0] = 2; /* 2, 5, 2 */
        in->positive.deltas[1] = 3;
        in->positive.deltas[2] = -3;
        in->reset_hint = 2;
        histogram_write(in, &bytes);
        assert_int_equal(fhist_decode(&b->arena, (uint8_t *)bytes.data, bytes.len, &h), 0);
        assert_hist(h, "{count:10, sum:12.5, [-0.5,0.5]:1, (1,2]:2, (2,4]:5, (8,16]:2}");
        assert_int_equal(h->reset, FHIST_RESET_NO);
        assert_int_equal(fhist_decode(&b->arena, (const uint8_t *)"\xff", 1, &h), -EBADMSG);
        buf_reset(&bytes);
        *in = (Histogram){
                .is_float = true, .count_float = 2.5, .sum = 3, .schema = -53, .n_custom = 2, .custom_bounds = { 1, 5 }
        };
        in->positive.n_spans = 1;
        in->positive.spans[0] = (HistogramSpan){ 0, 3 };
        in->positive.n_buckets = 3;
        in->positive.counts[0] = 0.5;
        in->positive.counts[1] = in->positive.counts[2] = 1;
        histogram_write(in, &bytes);
        assert_int_equal(fhist_decode(&b->arena, (uint8_t *)bytes.data, bytes.len, &h), 0);
        assert_hist(h, "{count:2.5, sum:3, [-Inf,1]:0.5, (1,5]:1, (5,+Inf]:1}");
        free(in);
}

static void prints(void **state) {
        Bench *b = *state;
        assert_hist(simple(b), "{count:12, sum:30, [-2,-1):2, [-1,-0.5):1, [-0.001,0.001]:2, (1,2]:4, (4,8]:3}");
        assert_hist(HIST(b, .count = 0), "{count:0, sum:0}");
        assert_hist(HIST(b, .count = 1e6, .sum = 1e21, .positive = { 20, 1, { 1e6 } }),
                    "{count:1e+06, sum:1e+21, (524288,1.048576e+06]:1e+06}");
}

static void json(void **state) {
        Bench *b = *state;
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        fhist_json(simple(b), &out);
        assert_string_equal(
                buf_cstr(&out),
                "{\"count\":\"12\",\"sum\":\"30\",\"buckets\":[[1,\"-2\",\"-1\",\"2\"],[1,\"-1\",\"-0.5\",\"1\"],"
                "[3,\"-0.001\",\"0.001\",\"2\"],[0,\"1\",\"2\",\"4\"],[0,\"4\",\"8\",\"3\"]]}");
        buf_reset(&out);
        fhist_json(HIST(b, .count = 1e6, .sum = NAN), &out);
        assert_string_equal(buf_cstr(&out), "{\"count\":\"1000000\",\"sum\":\"NaN\"}");
        buf_reset(&out);
        fhist_json(HIST(b, .schema = -53, .count = 3, .positive = { 0, 2, { 1, 2 } }, .n_custom = 1, .custom = { 5 }),
                   &out);
        assert_string_equal(
                buf_cstr(&out),
                "{\"count\":\"3\",\"sum\":\"0\",\"buckets\":[[3,\"-Inf\",\"5\",\"1\"],[0,\"5\",\"+Inf\",\"2\"]]}");
}

static void adds_same_layout(void **state) {
        Bench *b = *state;
        FHist *h = simple(b);
        FHistNotes notes = { 0 };
        assert_int_equal(fhist_add(&b->arena, h, simple(b), &notes), 0);
        assert_hist(h, "{count:24, sum:60, [-2,-1):4, [-1,-0.5):2, [-0.001,0.001]:4, (1,2]:8, (4,8]:6}");
        assert_int_equal(fhist_sub(&b->arena, h, simple(b), &notes), 0);
        assert_true(fhist_equal(h, simple(b)));
}

/* buckets that only one has come in at their place */
static void adds_other_buckets(void **state) {
        Bench *b = *state;
        static const struct {
                SideOf side;
                const char *text;
        } CASES[] = {
                { { 0, 1, { 7 } }, "{count:7, sum:0, (0.5,1]:7, (2,4]:1, (16,32]:2}" },
                { { 1, 1, { 7 } }, "{count:7, sum:0, (1,2]:7, (2,4]:1, (16,32]:2}" },
                { { 2, 1, { 7 } }, "{count:7, sum:0, (2,4]:8, (16,32]:2}" },
                { { 3, 1, { 7 } }, "{count:7, sum:0, (2,4]:1, (4,8]:7, (16,32]:2}" },
                { { 3, 2, { 7, 8 } }, "{count:7, sum:0, (2,4]:1, (4,8]:7, (8,16]:8, (16,32]:2}" },
                { { 6, 1, { 7 } }, "{count:7, sum:0, (2,4]:1, (16,32]:2, (32,64]:7}" },
                { { 9, 1, { 7 } }, "{count:7, sum:0, (2,4]:1, (16,32]:2, (256,512]:7}" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                FHistNotes notes = { 0 };
                FHist *h = HIST(b, .positive = { 2, 4, { 1, 0, 0, 2 } });
                assert_int_equal(fhist_add(&b->arena, h, HIST(b, .count = 7, .positive = CASES[i].side), &notes), 0);
                assert_hist(h, CASES[i].text);
                /* the same without the empty ones, whose place is a gap then */
                h = HIST(b, .positive = { 2, 4, { 1, 0, 0, 2 } });
                assert_int_equal(fhist_compact(&b->arena, h), 0);
                assert_int_equal(h->n_positive_spans, 2);
                assert_int_equal(h->n_positive, 2);
                assert_int_equal(fhist_add(&b->arena, h, HIST(b, .count = 7, .positive = CASES[i].side), &notes), 0);
                assert_hist(h, CASES[i].text);
        }
}

/* schema 1 has two buckets for each of schema 0: (1, 1.41], (1.41, 2] are (1, 2] */
static void adds_other_schema(void **state) {
        Bench *b = *state;
        for (int swap = 0; swap < 2; swap++) {
                FHistNotes notes = { 0 };
                FHist *fine = HIST(b, .schema = 1, .count = 10, .positive = { 0, 5, { 1, 2, 3, 0, 4 } },
                                   .negative = { 1, 1, { 5 } });
                FHist *coarse = HIST(b, .schema = 0, .count = 3, .positive = { 1, 1, { 3 } });
                FHist *h = swap ? coarse : fine;
                assert_int_equal(fhist_add(&b->arena, h, swap ? fine : coarse, &notes), 0);
                assert_int_equal(h->schema, 0);
                assert_hist(h, "{count:13, sum:0, [-2,-1):5, (0.5,1]:1, (1,2]:8, (2,4]:4}");
        }
}

/* the wider zero bucket takes in what is below it; one that would cut a bucket grows to its end */
static void adds_other_zero_bucket(void **state) {
        Bench *b = *state;
        static const struct {
                double threshold;
                const char *text;
        } CASES[] = {
                { 0.001, "{count:11, sum:0, [-2,-1):1, [-0.001,0.001]:3, (1,2]:3, (2,4]:4}" },
                { 0.5, "{count:11, sum:0, [-2,-1):1, [-0.5,0.5]:3, (1,2]:3, (2,4]:4}" },
                { 1, "{count:11, sum:0, [-2,-1):1, [-1,1]:3, (1,2]:3, (2,4]:4}" },
                { 1.5, "{count:11, sum:0, [-2,2]:7, (2,4]:4}" }, /* within (1, 2]: 2 + 1 + 3 + 1 */
                { 2, "{count:11, sum:0, [-2,2]:7, (2,4]:4}" },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                for (int swap = 0; swap < 2; swap++) {
                        FHistNotes notes = { 0 };
                        FHist *h = HIST(b, .count = 10, .zero_threshold = 0.001, .zero = 2,
                                        .positive = { 1, 2, { 3, 4 } }, .negative = { 1, 1, { 1 } });
                        FHist *other = HIST(b, .count = 1, .zero_threshold = CASES[i].threshold, .zero = 1);
                        FHist *to = swap ? other : h;
                        assert_int_equal(fhist_add(&b->arena, to, swap ? h : other, &notes), 0);
                        assert_hist(to, CASES[i].text);
                }
}

/* the wider zero bucket is reconciled in the finer resolution: (0.46, 0.5] is in it and is not also the bucket (0.25,
 * 1] */
static void adds_within_zero_once(void **state) {
        Bench *b = *state;
        FHistNotes notes = { 0 };
        FHist *h = HIST(b, .schema = -1, .count = 3, .zero_threshold = 0.5, .zero = 3);
        const FHist *fine = HIST(b, .schema = 3, .count = 44, .zero_threshold = 0.001, .positive = { -8, 1, { 44 } });
        assert_int_equal(fhist_add(&b->arena, h, fine, &notes), 0);
        assert_hist(h, "{count:47, sum:0, [-0.5,0.5]:47}");
        assert_false(fhist_is_reset(h, fine));
}

/* custom bounds: those that both have; without any, all is one bucket */
static void adds_custom_bounds(void **state) {
        Bench *b = *state;
        FHistNotes notes = { 0 };
        FHist *h = HIST(b, .schema = -53, .count = 10, .positive = { 0, 4, { 1, 2, 3, 4 } }, .n_custom = 3,
                        .custom = { 1, 5, 10 });
        FHist *same = fhist_copy(&b->arena, h);
        assert_int_equal(fhist_add(&b->arena, h, same, &notes), 0);
        assert_false(notes.custom_mismatch);
        assert_hist(h, "{count:20, sum:0, [-Inf,1]:2, (1,5]:4, (5,10]:6, (10,+Inf]:8}");
        FHist *other = HIST(b, .schema = -53, .count = 6, .positive = { 0, 3, { 1, 2, 3 } }, .n_custom = 2,
                            .custom = { 5, 20 });
        assert_int_equal(fhist_sub(&b->arena, h, other, &notes), 0);
        assert_true(notes.custom_mismatch);
        assert_hist(h, "{count:14, sum:0, [-Inf,5]:5, (5,+Inf]:9}"); /* 2 + 4 - 1, 6 + 8 - 2 - 3 */
        other = HIST(b, .schema = -53, .count = 1, .positive = { 0, 1, { 1 } }, .n_custom = 1, .custom = { 7 });
        assert_int_equal(fhist_add(&b->arena, h, other, &notes), 0);
        assert_hist(h, "{count:15, sum:0, [-Inf,+Inf]:15}");
        assert_int_equal(fhist_add(&b->arena, h, simple(b), &notes), -EINVAL);
        assert_true(notes.mixed_schemas);
}

/* of what is known about resets the less certain is left */
static void adds_hints(void **state) {
        Bench *b = *state;
        enum { U = FHIST_RESET_UNKNOWN, Y = FHIST_RESET_YES, N = FHIST_RESET_NO, G = FHIST_RESET_GAUGE };
        static const struct {
                int h, other, result;
                bool collision;
        } CASES[] = { { U, U, U, false }, { U, Y, U, false }, { Y, U, U, false }, { N, U, U, false },
                      { Y, Y, Y, false }, { N, N, N, false }, { Y, N, U, true },  { N, Y, U, true },
                      { G, Y, G, false }, { N, G, G, false }, { U, G, G, false }, { G, G, G, false } };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                FHistNotes notes = { 0 };
                FHist *h = HIST(b, .reset = (FHistReset)CASES[i].h);
                assert_int_equal(fhist_add(&b->arena, h, HIST(b, .reset = (FHistReset)CASES[i].other), &notes), 0);
                assert_int_equal(h->reset, CASES[i].result);
                assert_int_equal(notes.reset_collision, CASES[i].collision);
        }
}

/* 1e100 + 1 - 1e100 is 0 in floats, and 1 with what was lost */
static void sums_exactly(void **state) {
        Bench *b = *state;
        FHistNotes notes = { 0 };
        FHist *c = NULL;
        FHist *h = HIST(b, .count = 1e100, .sum = 1e100, .positive = { 0, 1, { 1e100 } });
        assert_int_equal(fhist_add_exact(&b->arena, h, &c,
                                         HIST(b, .count = 1, .sum = 1, .positive = { 0, 2, { 1, 3 } }), &notes),
                         0);
        assert_int_equal(
                fhist_add_exact(&b->arena, h, &c,
                                HIST(b, .schema = -1, .count = -1e100, .sum = -1e100, .positive = { 0, 1, { -1e100 } }),
                                &notes),
                0);
        fhist_settle(h, c);
        assert_hist(h, "{count:1, sum:1, (0.25,1]:1, (1,4]:3}");
        fhist_settle(h, NULL);
        assert_double(h->count, 1);
}

static void scales(void **state) {
        Bench *b = *state;
        FHist *h = simple(b);
        fhist_scale(h, 2);
        assert_hist(h, "{count:24, sum:60, [-2,-1):4, [-1,-0.5):2, [-0.001,0.001]:4, (1,2]:8, (4,8]:6}");
        fhist_divide(h, 4);
        assert_hist(h, "{count:6, sum:15, [-2,-1):1, [-1,-0.5):0.5, [-0.001,0.001]:1, (1,2]:2, (4,8]:1.5}");
        assert_int_equal(h->reset, FHIST_RESET_UNKNOWN);
        fhist_scale(h, -1);
        assert_int_equal(h->reset, FHIST_RESET_GAUGE);
        h = simple(b);
        fhist_divide(h, 0);
        assert_hist(h, "{count:+Inf, sum:+Inf, [-0.001,0.001]:+Inf}");
        assert_int_equal(h->n_positive + h->n_negative, 0);
}

static void compares(void **state) {
        Bench *b = *state;
        FHist *h = simple(b), *other = simple(b);
        assert_true(fhist_equal(h, other));
        other->sum = h->sum = NAN;
        assert_true(fhist_equal(h, other));
        other->sum = 1;
        assert_false(fhist_equal(h, other));
        other = simple(b);
        h->sum = other->sum;
        other->positive[0] = 5;
        assert_false(fhist_equal(h, other));
        /* an empty bucket is a bucket; how spans are cut is not looked at */
        other = simple(b);
        assert_int_equal(fhist_compact(&b->arena, other), 0);
        assert_false(fhist_equal(h, other));
        assert_int_equal(fhist_compact(&b->arena, h), 0);
        assert_true(fhist_equal(h, other));
        HistogramSpan cut[] = { { 1, 1 }, { 0, 0 }, { 1, 1 } };
        other->positive_spans = cut;
        other->n_positive_spans = 3;
        assert_true(fhist_equal(h, other));
        h->schema = 1;
        assert_false(fhist_equal(h, other));
}

static void detects_resets(void **state) {
        Bench *b = *state;
        const FHist *before =
                HIST(b, .schema = 1, .count = 10, .zero_threshold = 0.5, .zero = 1, .positive = { 3, 3, { 2, 0, 4 } });
        static const struct {
                HistOf now;
                bool reset;
        } CASES[] = {
                { { .schema = 1, .count = 10, .zero_threshold = 0.5, .zero = 1, .positive = { 3, 3, { 2, 0, 4 } } },
                  false },
                { { .schema = 1, .count = 12, .zero_threshold = 0.5, .zero = 1, .positive = { 3, 4, { 2, 1, 4, 1 } } },
                  false },
                { { .schema = 1, .count = 9, .zero_threshold = 0.5, .zero = 1, .positive = { 3, 3, { 2, 0, 4 } } },
                  true },
                { { .schema = 1, .count = 12, .zero_threshold = 0.5, .zero = 1, .positive = { 3, 3, { 1, 0, 7 } } },
                  true },
                { { .schema = 1, .count = 12, .zero_threshold = 0.5, .zero = 1, .positive = { 5, 1, { 8 } } }, true },
                { { .schema = 1, .count = 12, .zero_threshold = 0.5, .zero = 0, .positive = { 3, 3, { 2, 0, 4 } } },
                  true },
                { { .schema = 1, .count = 12, .zero_threshold = 0.5, .zero = 1 }, true },
                { { .schema = 2,
                    .count = 12,
                    .zero_threshold = 0.5,
                    .zero = 1,
                    .positive = { 5, 6, { 2, 2, 2, 2, 2, 2 } } },
                  true },
                { { .schema = 1, .count = 12, .zero_threshold = 0.25, .zero = 1, .positive = { 3, 3, { 2, 0, 4 } } },
                  true },
                { { .schema = 1, .count = 12, .zero_threshold = 2, .zero = 1, .positive = { 3, 3, { 2, 0, 4 } } },
                  false },
                { { .schema = 1, .count = 12, .zero_threshold = 2.5, .zero = 9, .positive = { 3, 3, { 2, 0, 4 } } },
                  true }, /* cuts a bucket */
                { { .schema = 1, .count = 5, .reset = FHIST_RESET_NO }, false },
                { { .schema = 1, .count = 50, .reset = FHIST_RESET_YES, .positive = { 3, 3, { 20, 0, 40 } } }, true },
                { { .schema = -53, .count = 50 }, true },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
                if (fhist_is_reset(hist(b, CASES[i].now), before) != CASES[i].reset)
                        fail_msg("case %zu", i);
        }
        /* index i of schema 1 is ceil(i / 2) of schema 0: 3 -> 2, 4 -> 2, 5 -> 3 */
        assert_false(fhist_is_reset(
                HIST(b, .count = 12, .zero_threshold = 0.5, .zero = 1, .positive = { 2, 2, { 2, 4 } }), before));
        assert_true(fhist_is_reset(
                HIST(b, .count = 12, .zero_threshold = 0.5, .zero = 1, .positive = { 2, 2, { 1, 5 } }), before));
        /* a wider zero bucket takes (2, 2.83] in: 1 + 2 */
        double edge = fhist_bound_exponential(3, 1);
        assert_false(fhist_is_reset(
                HIST(b, .schema = 1, .count = 12, .zero_threshold = edge, .zero = 3, .positive = { 4, 2, { 0, 4 } }),
                before));
        assert_true(fhist_is_reset(
                HIST(b, .schema = 1, .count = 12, .zero_threshold = edge, .zero = 2, .positive = { 4, 2, { 0, 4 } }),
                before));
}

/* other custom bounds: compared up to the bounds that both have */
static void detects_resets_of_custom(void **state) {
        Bench *b = *state;
        const FHist *before = HIST(b, .schema = -53, .count = 10, .positive = { 0, 3, { 2, 3, 5 } }, .n_custom = 2,
                                   .custom = { 1, 5 });
        assert_false(fhist_is_reset(
                HIST(b, .schema = -53, .count = 11, .positive = { 0, 2, { 5, 6 } }, .n_custom = 1, .custom = { 5 }),
                before));
        assert_true(fhist_is_reset(
                HIST(b, .schema = -53, .count = 11, .positive = { 0, 2, { 4, 7 } }, .n_custom = 1, .custom = { 5 }),
                before));
        assert_false(fhist_is_reset(
                HIST(b, .schema = -53, .count = 10, .positive = { 0, 2, { 9, 1 } }, .n_custom = 1, .custom = { 7 }),
                before));
        assert_true(fhist_is_reset(HIST(b, .schema = 0, .count = 20), before));
}

static void quantiles(void **state) {
        Bench *b = *state;
        bool nan;
        /* 4 in (1, 2], 4 in (2, 4]: logarithmic within */
        const FHist *h = HIST(b, .count = 8, .sum = 16, .positive = { 1, 2, { 4, 4 } });
        static const double CASES[][2] = {
                { 0, 1 }, { 0.25, 1.4142135623730951 }, { 0.5, 2 }, { 0.75, 2.8284271247461903 }, { 1, 4 }
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_near(fhist_quantile(h, CASES[i][0], &nan), CASES[i][1]);
        assert_double(fhist_quantile(h, -0.1, &nan), -INFINITY);
        assert_double(fhist_quantile(h, 1.1, &nan), INFINITY);
        assert_double(fhist_quantile(h, NAN, &nan), NAN);
        assert_double(fhist_quantile(HIST(b, .count = 0), 0.5, &nan), NAN);
        /* mirrored */
        h = HIST(b, .count = 8, .sum = -16, .negative = { 1, 2, { 4, 4 } });
        assert_near(fhist_quantile(h, 0.25, &nan), -2.8284271247461903);
        assert_near(fhist_quantile(h, 0.75, &nan), -1.4142135623730951);
        /* the zero bucket is linear, and ends at 0 where nothing is on that side: 2 of 4 in [0, 0.5] */
        h = HIST(b, .count = 8, .sum = 1, .zero_threshold = 0.5, .zero = 4, .positive = { 1, 1, { 4 } });
        assert_near(fhist_quantile(h, 0.25, &nan), 0.25);
        h = HIST(b, .count = 8, .sum = 1, .zero_threshold = 0.5, .zero = 4, .negative = { 1, 1, { 4 } });
        assert_near(fhist_quantile(h, 0.75, &nan), -0.25);
        h = HIST(b, .count = 4, .sum = 1, .zero_threshold = 0.5, .zero = 4);
        assert_near(fhist_quantile(h, 0.25, &nan), -0.25);
        /* custom: linear; from 0 in the first bucket, the lower bound in the last */
        h = HIST(b, .schema = -53, .count = 12, .sum = 1, .positive = { 0, 3, { 4, 4, 4 } }, .n_custom = 2,
                 .custom = { 2, 6 });
        assert_near(fhist_quantile(h, 1. / 6, &nan), 1);
        assert_near(fhist_quantile(h, 0.5, &nan), 4);
        assert_near(fhist_quantile(h, 0.9, &nan), 6);
        h = HIST(b, .schema = -53, .count = 4, .sum = 1, .positive = { 0, 2, { 3, 1 } }, .n_custom = 1,
                 .custom = { -5 });
        assert_double(fhist_quantile(h, 0.25, &nan), -5);
        /* one of four is NaN: the third quarter is the last that is a number */
        h = HIST(b, .count = 4, .sum = NAN, .positive = { 1, 1, { 3 } });
        FHistNan what;
        assert_near(fhist_quantile_nan(h, 0.75, &what), 2);
        assert_int_equal(what, FHIST_NAN_SKEW);
        assert_double(fhist_quantile_nan(h, 0.8, &what), NAN);
        assert_int_equal(what, FHIST_NAN_RESULT);
        (void)fhist_quantile(h, 0.8, &nan);
        assert_true(nan);
}

static void fractions(void **state) {
        Bench *b = *state;
        const FHist *h =
                HIST(b, .count = 12, .sum = 1, .zero_threshold = 0.5, .zero = 4, .positive = { 1, 2, { 4, 4 } });
        static const double CASES[][3] = {
                { -INFINITY, INFINITY, 1 },
                { 0, 2, 8. / 12 },
                { 1, 2, 4. / 12 },
                { 1, 1.4142135623730951, 2. / 12 },
                { 0, 0.25, 2. / 12 },
                { 2, 1, 0 },
                { 4, 9, 0 },
                { -3, -1, 0 },
                { NAN, 1, NAN },
                { 1, NAN, NAN },
                { 0.5, 1, 0 },
                { 3, 3, 0 },
                { 2.8284271247461903, INFINITY, 2. / 12 },
        };
        for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
                assert_near(fhist_fraction(h, CASES[i][0], CASES[i][1]), CASES[i][2]);
        assert_double(fhist_fraction(HIST(b, .count = 0), 0, 1), NAN);
        /* NaN is in no fraction, but in the count */
        bool nan;
        h = HIST(b, .count = 8, .sum = NAN, .positive = { 1, 1, { 4 } });
        assert_near(fhist_fraction_nan(h, -INFINITY, INFINITY, &nan), 0.5);
        assert_true(nan);
        h = HIST(b, .schema = -53, .count = 8, .sum = 1, .positive = { 0, 2, { 4, 4 } }, .n_custom = 1,
                 .custom = { 4 });
        assert_near(fhist_fraction(h, 4, INFINITY), 0.5);
        h = HIST(b, .count = 8, .sum = -16, .negative = { 1, 2, { 4, 4 } });
        assert_near(fhist_fraction(h, -2.8284271247461903, -1), 0.75);
}

static void spread(void **state) {
        Bench *b = *state;
        /* 2 at sqrt(2), 2 at sqrt(8) in the mean; mean 8 / 4 = 2: (2 * (2 - sqrt 2)^2 + 2 * (2 - sqrt 8)^2) / 4 */
        const FHist *h = HIST(b, .count = 4, .sum = 8, .positive = { 1, 2, { 2, 2 } });
        double x = 2 - sqrt(2), y = 2 - sqrt(8);
        assert_near(fhist_avg(h), 2);
        assert_near(fhist_variance(h), (2 * x * x + 2 * y * y) / 4);
        /* zero counts as 0, custom ones in the middle: 1 and 4 around 2 */
        h = HIST(b, .count = 2, .sum = 4, .zero_threshold = 0.5, .zero = 2);
        assert_near(fhist_variance(h), 4);
        h = HIST(b, .schema = -53, .count = 2, .sum = 4, .positive = { 1, 2, { 1, 1 } }, .n_custom = 3,
                 .custom = { 0, 2, 6 });
        assert_near(fhist_variance(h), (1 + 4) / 2.);
        h = HIST(b, .count = 4, .sum = -8, .negative = { 1, 2, { 2, 2 } });
        assert_near(fhist_variance(h), (2 * x * x + 2 * y * y) / 4);
}

static void trims(void **state) {
        Bench *b = *state;
        /* custom: 4 in (0, 2], 4 in (2, 6]; up to 4 half of the latter: 4 * 1 + 2 * 3 */
        const FHist *h = HIST(b, .schema = -53, .count = 8, .sum = 99, .positive = { 1, 2, { 4, 4 } }, .n_custom = 3,
                              .custom = { 0, 2, 6 });
        assert_hist(fhist_trim(&b->arena, h, 4, true), "{count:6, sum:10, (0,2]:4, (2,6]:2}");
        assert_hist(fhist_trim(&b->arena, h, 4, false), "{count:2, sum:10, (2,6]:2}"); /* 2 * 5 */
        /* nothing to take away: as it was */
        assert_hist(fhist_trim(&b->arena, h, 6, true), "{count:8, sum:99, (0,2]:4, (2,6]:4}");
        assert_hist(fhist_trim(&b->arena, h, -1, true), "{count:0, sum:0}");
        /* exponential: geometric means, sqrt(1 * 2) * 4 */
        h = HIST(b, .count = 8, .sum = 99, .positive = { 1, 2, { 4, 4 } });
        FHist *out = fhist_trim(&b->arena, h, 2, true);
        assert_double(out->count, 4);
        assert_near(out->sum, 4 * sqrt(2));
        /* zero bucket: 4 in [0, 1] where nothing is negative; 0.25 keeps 1 at 0.125 */
        h = HIST(b, .count = 5, .sum = 99, .zero_threshold = 1, .zero = 4, .positive = { 3, 1, { 1 } });
        assert_hist(fhist_trim(&b->arena, h, 0.25, true), "{count:1, sum:0.125, [-1,1]:1}");
        out = fhist_trim(&b->arena, h, 0.25, false);
        assert_double(out->zero_count, 3); /* at 0.625, and one at sqrt(32) */
        assert_near(out->sum, 3 * 0.625 + sqrt(32));
        assert_double(h->zero_count, 4);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                TEST(bounds),
                TEST(decodes),
                TEST(prints),
                TEST(json),
                TEST(adds_same_layout),
                TEST(adds_other_buckets),
                TEST(adds_other_schema),
                TEST(adds_other_zero_bucket),
                TEST(adds_within_zero_once),
                TEST(adds_custom_bounds),
                TEST(adds_hints),
                TEST(sums_exactly),
                TEST(scales),
                TEST(compares),
                TEST(detects_resets),
                TEST(detects_resets_of_custom),
                TEST(quantiles),
                TEST(fractions),
                TEST(spread),
                TEST(trims),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
