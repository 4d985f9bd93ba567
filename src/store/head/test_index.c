/* The index of the head against plain loops over random labels and matchers. */
#include "store/head/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SERIES_LIMIT 3000u

typedef struct Series {
        uint8_t bytes[256];
        size_t len;
} Series;

static uint64_t next(uint64_t *state) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return *state >> 33;
}

/* Few names and values, so that they meet. */
static void random_series(uint64_t *random, Series *ret) {
        static const char *const names[] = { "__name__", "a", "b", "job", "uuid", "zone" };
        CLEANUP(buf_deinit) Buf out = BUF_NULL;
        char values[ARRAY_LEN(names)][24];
        Label labels[ARRAY_LEN(names)];
        size_t n = 0;
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                if (i > 0 && next(random) % 3 == 0)
                        continue;
                (void)snprintf(values[i], sizeof values[i], "%s%u", i % 2 ? "v" : "",
                               (unsigned)(next(random) % (i == 4 ? 400 : 9)));
                labels[n++] = (Label){ { names[i], strlen(names[i]) }, { values[i], strlen(values[i]) } };
        }
        assert_int_equal(labels_build(labels, n, &out), LABELS_OK);
        assert_true(out.len <= sizeof ret->bytes);
        memcpy(ret->bytes, out.data, out.len);
        ret->len = out.len;
}

/* Adds random series, each once; how many. */
static uint32_t fill(HeadIndex *ix, Series *all, uint32_t most, uint64_t *random) {
        uint32_t n = 0;
        for (uint32_t i = 0; i < most; i++) {
                uint32_t ref;
                random_series(random, &all[n]);
                RunHash h = index_hash(ix, all[n].bytes, all[n].len);
                uint32_t found = index_find(ix, h);
                if (found != SERIES_NONE) {
                        assert_true(found < n && all[found].len == all[n].len &&
                                    memcmp(all[found].bytes, all[n].bytes, all[n].len) == 0);
                        assert_int_equal(index_find_near(ix, h, (uint32_t)(next(random) % (n + 5))), found);
                        continue;
                }
                assert_int_equal(index_add(ix, h, all[n].bytes, all[n].len, &ref), 0);
                assert_int_equal(ref, n);
                n++;
        }
        return n;
}

static bool holds(const Matcher *m, size_t n, const Series *s) {
        for (size_t i = 0; i < n; i++) {
                char name[32];
                Span value = { "", 0 };
                (void)snprintf(name, sizeof name, "%.*s", (int)m[i].name.len, m[i].name.text);
                (void)labels_get(s->bytes, s->len, name, &value);
                if (!matcher_matches(&m[i], value))
                        return false;
        }
        return true;
}

static void test_runs(void **state) {
        (void)state;
        static Series all[SERIES_LIMIT];
        HeadIndex *ix;
        uint64_t random = 1;
        assert_int_equal(index_new(SERIES_LIMIT, &ix), 0);
        uint32_t n = fill(ix, all, SERIES_LIMIT, &random);
        assert_int_equal(index_count(ix), n);
        assert_true(n > 1500);
        for (uint32_t i = 0; i < n; i++) {
                CLEANUP(buf_deinit) Buf run = BUF_NULL;
                index_run(ix, i, &run);
                assert_int_equal(run.len, all[i].len);
                assert_memory_equal(run.data, all[i].bytes, run.len);
                assert_int_equal(index_find(ix, index_hash(ix, all[i].bytes, all[i].len)), i);
        }
        (void)index_free(ix);
}

static void test_select(void **state) {
        (void)state;
        static Series all[SERIES_LIMIT];
        static const char *const names[] = { "__name__", "a", "b", "job", "uuid", "none" };
        static const char *const values[] = { "",   "1",  "v1",     "v3",   "8",      "33", "none",
                                              ".*", ".+", "v[1-4]", "1|2|", "[0-9]+", "v.|" };
        HeadIndex *ix;
        uint64_t random = 2;
        size_t hits = 0;
        assert_int_equal(index_new(SERIES_LIMIT, &ix), 0);
        uint32_t n = fill(ix, all, SERIES_LIMIT, &random);
        for (int round = 0; round < 2000; round++) {
                CLEANUP(buf_deinit) Buf refs = BUF_NULL;
                Matcher m[3];
                size_t count = next(&random) % 4, at = 0;
                for (size_t i = 0; i < count; i++) {
                        const char *name = names[next(&random) % ARRAY_LEN(names)],
                                   *value = values[next(&random) % ARRAY_LEN(values)];
                        assert_int_equal(matcher_init(&m[i], (MatchType)(next(&random) % 4),
                                                      (Span){ name, strlen(name) }, (Span){ value, strlen(value) },
                                                      NULL),
                                         0);
                }
                assert_int_equal(index_select(ix, m, count, &refs), 0);
                const uint32_t *got = (const uint32_t *)(const void *)refs.data;
                for (uint32_t i = 0; i < n; i++)
                        if (holds(m, count, &all[i]))
                                assert_true(at < refs.len / sizeof *got && got[at++] == i);
                assert_int_equal(at, refs.len / sizeof *got);
                hits += at;
                for (size_t i = 0; i < count; i++)
                        matcher_deinit(&m[i]);
        }
        assert_true(hits > 10000);
        (void)index_free(ix);
}

static void test_sort(void **state) {
        (void)state;
        static Series all[SERIES_LIMIT];
        static uint32_t order[SERIES_LIMIT];
        HeadIndex *ix;
        uint64_t random = 3;
        assert_int_equal(index_new(SERIES_LIMIT, &ix), 0);
        uint32_t n = fill(ix, all, SERIES_LIMIT / 2, &random), pairs = index_pairs(ix);
        Series late;
        uint32_t ref;
        /* What came after the numbers were read is not looked at. */
        do
                random_series(&random, &late);
        while (index_find(ix, index_hash(ix, late.bytes, late.len)) != SERIES_NONE);
        assert_int_equal(index_add(ix, index_hash(ix, late.bytes, late.len), late.bytes, late.len, &ref), 0);
        assert_int_equal(index_sort(ix, n, pairs, order), 0);
        for (uint32_t i = 1; i < n; i++)
                assert_true(labels_compare(all[order[i - 1]].bytes, all[order[i - 1]].len, all[order[i]].bytes,
                                           all[order[i]].len) < 0);
        (void)index_free(ix);
}

static void test_names(void **state) {
        (void)state;
        static Series all[SERIES_LIMIT];
        HeadIndex *ix;
        uint64_t random = 4;
        assert_int_equal(index_new(SERIES_LIMIT, &ix), 0);
        uint32_t n = fill(ix, all, 800, &random);
        assert_int_equal(index_names(ix), 6);
        uint32_t number = index_find_name(ix, (Span){ "uuid", 4 });
        const LabelName *l;
        assert_true(number != SERIES_NONE);
        assert_int_equal(index_find_name(ix, (Span){ "uui", 3 }), SERIES_NONE);
        assert_true(span_is(index_name(ix, number, &l), "uuid"));
        uint64_t postings = 0, with = 0;
        for (uint32_t i = 0; i < l->n; i++) {
                Span value;
                const Pair *p = index_pair_at(ix, l->pairs[i], &value);
                assert_ptr_equal(p, index_pair(ix, (Span){ "uuid", 4 }, value));
                postings += p->n;
        }
        for (uint32_t i = 0; i < n; i++) {
                Span value;
                bool has = labels_get(all[i].bytes, all[i].len, "uuid", &value);
                with += has;
                assert_ptr_equal(index_pair_of(ix, i, (Span){ "uuid", 4 }),
                                 has ? index_pair(ix, (Span){ "uuid", 4 }, value) : NULL);
        }
        assert_int_equal(postings, with);
        assert_null(index_pair(ix, (Span){ "uuid", 4 }, (Span){ "", 0 }));
        assert_null(index_pair(ix, (Span){ "uuid", 4 }, (Span){ "never", 5 }));
        (void)index_free(ix);
}

static void test_full(void **state) {
        (void)state;
        static Series all[20];
        HeadIndex *ix;
        uint64_t random = 5;
        uint32_t ref;
        Series more;
        assert_int_equal(index_new(10, &ix), 0);
        uint32_t n = fill(ix, all, 10, &random);
        while (n < 10)
                n += fill(ix, all + n, 0, &random) + 10;
        do
                random_series(&random, &more);
        while (index_find(ix, index_hash(ix, more.bytes, more.len)) != SERIES_NONE);
        if (index_count(ix) == 10)
                assert_int_equal(index_add(ix, index_hash(ix, more.bytes, more.len), more.bytes, more.len, &ref),
                                 -ENOSPC);
        (void)index_free(ix);
}

static void test_churn_moves(void **state) {
        (void)state;
        static Series all[100];
        HeadIndex *ix, *other;
        uint64_t random = 6;
        uint32_t ref;
        assert_int_equal(index_new(100, &ix), 0);
        assert_int_equal(index_new(100, &other), 0);
        (void)fill(ix, all, 50, &random);
        Pair *p = index_pair_of(ix, 0, (Span){ "__name__", 8 });
        p->churn = 7;
        p->churn_hour = 9;
        assert_int_equal(index_add(other, index_hash(other, all[0].bytes, all[0].len), all[0].bytes, all[0].len, &ref),
                         0);
        index_take_churn(other, ix);
        p = index_pair_of(other, 0, (Span){ "__name__", 8 });
        assert_int_equal(p->churn, 7);
        assert_int_equal(p->churn_hour, 9);
        (void)index_free(ix);
        (void)index_free(other);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_runs), cmocka_unit_test(test_select), cmocka_unit_test(test_sort),
                cmocka_unit_test(test_names), cmocka_unit_test(test_full), cmocka_unit_test(test_churn_moves),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
