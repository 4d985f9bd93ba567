/* The pieces of a part by themselves: lists, sets, time columns, rollups, byte strings, pairs. */
#include "store/part/pairs.h"
#include "store/part/postings.h"
#include "store/part/rollup.h"
#include "store/part/strings.h"
#include "store/part/times.h"

#include "store/part/layout.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static uint64_t random_state = 1;
static uint32_t below(uint32_t n) {
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t)((random_state >> 33) % n);
}

/* An exact copy: a sanitizer sees one byte too many. */
static uint8_t *exact(const void *bytes, size_t n) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, bytes, n);
        return copy;
}

/* ---- lists and sets ---- */

static unsigned form_of(const Buf *list) {
        return (uint8_t)list->data[0] & 3;
}

/* Encodes, adds to a set, compares; also that cutting and flipping gives a set or -EBADMSG. */
static void check_list(const uint32_t *ordinals, uint32_t n, uint32_t n_series, int form) {
        CLEANUP(buf_deinit) Buf list = BUF_NULL, back = BUF_NULL;
        CLEANUP(ordinal_set_deinit) OrdinalSet set = ORDINAL_SET_NULL, none = ORDINAL_SET_NULL;
        postings_encode(ordinals, n, &list);
        if (form >= 0)
                assert_int_equal(form_of(&list), form);
        assert_int_equal(ordinal_set_init(&set, n_series), 0);
        assert_int_equal(ordinal_set_init(&none, n_series), 0);
        CLEANUP_FREE uint8_t *bytes = exact(list.data, list.len);
        assert_int_equal(postings_add(bytes, list.len, &set), 0);
        ordinal_set_list(&set, &back);
        assert_int_equal(back.len, n * sizeof *ordinals);
        assert_memory_equal(back.data, ordinals, back.len);
        assert_int_equal(ordinal_set_count(&set), n);
        assert_int_equal(postings_meet(bytes, list.len, &set), 1);
        assert_int_equal(postings_meet(bytes, list.len, &none), 0);
        ordinal_set_add(&none, ordinals[n - 1]);
        assert_int_equal(postings_meet(bytes, list.len, &none), 1);
        assert_true(ordinal_set_has(&none, ordinals[n - 1]));
        for (size_t len = 0; len < list.len; len++) {
                CLEANUP_FREE uint8_t *cut = exact(list.data, len);
                assert_int_equal(postings_add(cut, len, &set), -EBADMSG);
        }
        for (unsigned i = 0; i < 20; i++) {
                uint8_t *at = &bytes[below((uint32_t)list.len)], was = *at;
                *at ^= (uint8_t)(1 << below(8));
                int r = postings_add(bytes, list.len, &set);
                assert_true(r == 0 || r == -EBADMSG);
                r = postings_meet(bytes, list.len, &none);
                assert_true(r == 0 || r == 1 || r == -EBADMSG);
                *at = was;
        }
        /* A part with fewer series does not have the last one. */
        CLEANUP(ordinal_set_deinit) OrdinalSet small = ORDINAL_SET_NULL;
        assert_int_equal(ordinal_set_init(&small, ordinals[n - 1]), 0);
        assert_int_equal(postings_add(bytes, list.len, &small), -EBADMSG);
}

static void lists_come_back(void **state) {
        (void)state;
        uint32_t o[2000];
        check_list((const uint32_t[]){ 0 }, 1, 1, -1);
        check_list((const uint32_t[]){ UINT32_MAX - 64 }, 1, UINT32_MAX - 60, -1);
        for (uint32_t i = 0; i < 2000; i++)
                o[i] = i + 70;
        check_list(o, 2000, 3000, POSTINGS_RUNS);
        for (uint32_t i = 0; i < 2000; i++)
                o[i] = i * 200 + 7;
        check_list(o, 2000, 500000, POSTINGS_ORDINALS);
        for (uint32_t i = 0; i < 2000; i++)
                o[i] = i * 2 + 1001;
        check_list(o, 2000, 5002, POSTINGS_BITS);
        for (unsigned round = 0; round < 300; round++) {
                uint32_t n = 1 + below(500), at = below(100), gap = 1 + below(1u << below(12));
                for (uint32_t i = 0; i < n; i++, at += 1 + below(gap))
                        o[i] = at;
                check_list(o, n, o[n - 1] + 1 + below(100), -1);
        }
}

static void sets(void **state) {
        (void)state;
        for (uint32_t n = 0; n < 200; n += 1 + n / 3) {
                CLEANUP(ordinal_set_deinit) OrdinalSet a = ORDINAL_SET_NULL, b = ORDINAL_SET_NULL;
                assert_int_equal(ordinal_set_init(&a, n), 0);
                assert_int_equal(ordinal_set_init(&b, n), 0);
                assert_int_equal(ordinal_set_count(&a), 0);
                ordinal_set_complement(&a);
                assert_int_equal(ordinal_set_count(&a), n);
                ordinal_set_fill(&b);
                assert_int_equal(ordinal_set_count(&b), n);
                for (uint32_t i = 0; i < n; i += 3)
                        b.words[i / 64] &= ~(UINT64_C(1) << i % 64);
                ordinal_set_intersect(&a, &b);
                assert_int_equal(ordinal_set_count(&a), n - (n + 2) / 3);
        }
}

static void lists_that_nobody_writes(void **state) {
        (void)state;
        static const struct {
                const char *bytes;
                size_t n;
        } BAD[] = {
                { "", 0 },
                { "\x00", 1 },
                { "\x03\x00", 2 },
                { "\x07\x00", 2 },
                { "\x08\x00", 2 },
                { "\x04\x64", 2 },
                { "\x05\x00\x64", 3 },
                { "\x05\x63\x01", 3 },
                { "\x04\x00\x00", 3 },
                { "\x06\x0c\xff", 3 },
                { "\x06\x7f\x01", 3 },
                { "\x0a\x00\x01", 3 },
                { "\x06\x00", 2 },
                { "\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },
                { "\x05\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 },
        };
        for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
                CLEANUP(ordinal_set_deinit) OrdinalSet set = ORDINAL_SET_NULL;
                CLEANUP_FREE uint8_t *bytes = exact(BAD[i].bytes, BAD[i].n);
                assert_int_equal(ordinal_set_init(&set, 100), 0);
                assert_int_equal(postings_add(bytes, BAD[i].n, &set), -EBADMSG);
        }
}

/* ---- times ---- */

static void check_times_as(const int64_t *times, uint32_t n, CodecEffort effort, size_t most) {
        CLEANUP(buf_deinit) Buf column = BUF_NULL;
        CLEANUP_FREE int64_t *back = malloc(n * sizeof *back);
        assert_non_null(back);
        time_column_encode(times, n, effort, &column);
        assert_int_equal(buf_error(&column), 0);
        assert_true(column.len <= most);
        CLEANUP_FREE uint8_t *bytes = exact(column.data, column.len);
        TimeEntry e = { .min_ms = times[0], .max_ms = times[n - 1], .n = n };
        uint32_t first, got;
        assert_int_equal(time_column_window(bytes, column.len, &e, INT64_MIN, INT64_MAX, back, &first, &got), 0);
        assert_true(first == 0 && got == n);
        assert_memory_equal(back, times, n * sizeof *times);
        for (unsigned i = 0; i < 50; i++) {
                uint32_t a = below(n), b = below(n), low = 0, high = 0, first_alone, got_alone;
                int64_t begin = times[a] - (int64_t)below(2), end = times[b] - (int64_t)below(2);
                while (low < n && times[low] <= begin)
                        low++;
                for (high = low; high < n && times[high] <= end;)
                        high++;
                assert_int_equal(time_column_window(bytes, column.len, &e, begin, end, back, &first, &got), 0);
                assert_int_equal(time_column_window(bytes, column.len, &e, begin, end, NULL, &first_alone, &got_alone),
                                 0);
                assert_true(got == high - low && got_alone == got);
                assert_true(got == 0 || (first == low && first_alone == low));
                assert_memory_equal(back, times + low, got * sizeof *times);
        }
        for (unsigned i = 0; i < 200; i++) {
                uint8_t *at = &bytes[below((uint32_t)column.len)], was = *at;
                *at ^= (uint8_t)(1 << below(8));
                int r = time_column_window(bytes, column.len, &e, INT64_MIN, INT64_MAX, back, &first, &got);
                assert_true(r == -EBADMSG || r == 0);
                for (uint32_t k = 1; r == 0 && k < got; k++)
                        assert_true(back[k] > back[k - 1]);
                *at = was;
        }
        for (size_t len = 0; len < column.len && len < 100; len++)
                assert_int_equal(time_column_window(bytes, len, &e, INT64_MIN, INT64_MAX, back, &first, &got),
                                 -EBADMSG);
}

static void check_times(const int64_t *times, uint32_t n, size_t most) {
        check_times_as(times, n, CODEC_SMALL, most);
        check_times_as(times, n, CODEC_FAST, 2 * most);
}

static void time_columns_come_back(void **state) {
        (void)state;
        static int64_t t[CODEC_MAX];
        check_times((const int64_t[]){ 5 }, 1, 3);
        check_times((const int64_t[]){ INT64_MIN + 1, INT64_MAX }, 2, 12);
        check_times((const int64_t[]){ INT64_MIN + 1, 0, INT64_MAX }, 3, 40);
        for (uint32_t i = 0; i < CODEC_MAX; i++)
                t[i] = INT64_C(1760000000000) + i * 10000;
        check_times(t, CODEC_MAX, 4);
        check_times(t, 60, 4);
        for (uint32_t i = 0; i < CODEC_MAX; i++)
                t[i] += (int64_t)below(11);
        check_times(t, CODEC_MAX, CODEC_MAX);
        static const uint32_t SIZES[] = {
                2, 3, SEGMENT_INSTANTS - 1, SEGMENT_INSTANTS, SEGMENT_INSTANTS + 1, 2 * SEGMENT_INSTANTS, 8640
        };
        for (size_t i = 0; i < ARRAY_LEN(SIZES); i++)
                check_times(t, SIZES[i], 16384);
        /* Beats that are missed, in the middle of jitter: not about one line any more. */
        for (uint32_t i = 0; i < 8640; i++)
                t[i] += i > 3000 ? (int64_t)(i / 700) * 12345678 : 0;
        check_times(t, 8640, 16384);
}

static void equal_instants_are_found(void **state) {
        (void)state;
        CLEANUP(time_table_deinit) TimeTable table = { 0 };
        for (uint32_t round = 0; round < 2; round++)
                for (uint32_t i = 0; i < 40000; i++) {
                        int64_t t[2] = { i, i + 1000000 };
                        uint32_t number;
                        int r = time_table_find(&table, t, 2, 9, &number);
                        assert_int_equal(r, round && i < 32768 ? 1 : 0);
                        assert_int_equal(number, r ? i : table.n);
                        if (r == 0)
                                time_table_put(&table, (TimeEntry){ .n = 2 });
                }
        assert_true(time_table_bytes(&table) < (8u << 20));
}

/* ---- rollups ---- */

static void rollups_come_back(void **state) {
        (void)state;
        enum { N = 300 };
        static double v[ROLLUP_COLUMN_COUNT][N];
        for (unsigned columns = 1; columns < 1u << ROLLUP_COLUMN_COUNT; columns++) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                const double *given[ROLLUP_COLUMN_COUNT] = { 0 };
                for (unsigned i = 0; i < N; i++) {
                        v[ROLLUP_COUNT][i] = 30;
                        v[ROLLUP_LAST][i] = i * 1000.0 + below(7);
                        v[ROLLUP_INCREASE][i] = i ? v[ROLLUP_LAST][i] - v[ROLLUP_LAST][i - 1] : 3;
                        v[ROLLUP_MIN][i] = v[ROLLUP_LAST][i] - below(3);
                        v[ROLLUP_MAX][i] = below(50) ? v[ROLLUP_MIN][i] + below(9) : -__builtin_nan("");
                        v[ROLLUP_SUM][i] = v[ROLLUP_LAST][i] * 30 + below(100);
                }
                for (unsigned c = 0; c < ROLLUP_COLUMN_COUNT; c++)
                        given[c] = columns >> c & 1 ? v[c] : NULL;
                rollup_encode(given, N, CODEC_SMALL, &out);
                assert_int_equal(buf_error(&out), 0);
                CLEANUP_FREE uint8_t *bytes = exact(out.data, out.len);
                for (unsigned c = 0; c < ROLLUP_COLUMN_COUNT; c++) {
                        double back[N];
                        if (!given[c])
                                continue;
                        assert_int_equal(rollup_decode(bytes, out.len, (uint8_t)columns, N, (RollupColumn)c, back), 0);
                        assert_memory_equal(back, v[c], sizeof back);
                        for (unsigned i = 0; i < 20; i++) {
                                uint8_t *at = &bytes[below((uint32_t)out.len)], was = *at;
                                *at ^= (uint8_t)(1 << below(8));
                                int r = rollup_decode(bytes, out.len, (uint8_t)columns, N, (RollupColumn)c, back);
                                assert_true(r == 0 || r == -EBADMSG);
                                *at = was;
                        }
                        assert_int_equal(rollup_decode(bytes, 0, (uint8_t)columns, N, (RollupColumn)c, back), -EBADMSG);
                }
                /* An increase that is the difference costs nothing. */
                if (columns == (1u << ROLLUP_LAST | 1u << ROLLUP_INCREASE))
                        assert_true(out.len < N * 3);
        }
}

/* ---- byte strings ---- */

static void strings_come_back(void **state) {
        (void)state;
        enum { N = 3000 };
        CLEANUP(buf_deinit) Buf text = BUF_NULL, column = BUF_NULL;
        static uint32_t offsets[N + 1], back[N + 1];
        for (uint32_t i = 0; i < N; i++) {
                for (uint32_t len = below(10) ? below(60) : below(3000); len > 0; len--)
                        buf_put_char(&text, (char)(len % 20 ? len : below(256)));
                offsets[i + 1] = (uint32_t)text.len;
        }
        strings_encode((uint8_t *)text.data, offsets, N, CODEC_SMALL, &column);
        assert_int_equal(buf_error(&column), 0);
        assert_true(column.len < text.len / 4);
        CLEANUP_FREE uint8_t *bytes = exact(column.data, column.len);
        for (unsigned i = 0; i < 200; i++) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                uint32_t first = i ? below(N) : 0, count = i ? below(N - first + 1) : N;
                assert_int_equal(strings_decode(bytes, column.len, N, first, count, &out, back), 0);
                assert_int_equal(out.len, offsets[first + count] - offsets[first]);
                if (out.len > 0)
                        assert_memory_equal(out.data, text.data + offsets[first], out.len);
                for (uint32_t k = 0; k <= count; k++)
                        assert_int_equal(back[k], offsets[first + k] - offsets[first]);
        }
        for (unsigned i = 0; i < 500; i++) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                uint8_t *at = &bytes[below(i % 2 ? 30 : (uint32_t)column.len)], was = *at;
                *at ^= (uint8_t)(1 << below(8));
                int r = strings_decode(bytes, column.len, N, 0, N, &out, back);
                assert_true(r == 0 || r == -EBADMSG);
                *at = was;
        }
        for (size_t len = 0; len < column.len; len += 1 + len / 20) {
                CLEANUP(buf_deinit) Buf out = BUF_NULL;
                assert_int_equal(strings_decode(bytes, len, N, 0, N, &out, back), -EBADMSG);
        }
        CLEANUP(buf_deinit) Buf tight = BUF_WITH_LIMIT(10), large = BUF_NULL;
        assert_int_equal(strings_decode(bytes, column.len, N, 0, N, &tight, back), -EFBIG);
        CLEANUP_FREE uint8_t *zeros = calloc(STRING_MAX + 1, 1);
        strings_encode(zeros, (const uint32_t[]){ 0, STRING_MAX + 1 }, 1, CODEC_FAST, &large);
        assert_int_equal(buf_error(&large), -EFBIG);
}

/* ---- pairs ---- */

static void pairs_are_kept_once_and_sorted(void **state) {
        (void)state;
        CLEANUP(pair_table_deinit) PairTable t = { 0 };
        char name[16], value[24];
        for (unsigned round = 0; round < 2; round++)
                for (uint32_t i = 0; i < 5000; i++) {
                        uint32_t number;
                        int a = snprintf(name, sizeof name, "n%u", i % 7 * 5),
                            b = snprintf(value, sizeof value, "value-%u", i * 7919 % 5000);
                        assert_int_equal(
                                pair_table_intern(&t, (Span){ name, (size_t)a }, (Span){ value, (size_t)b }, &number),
                                0);
                        assert_int_equal(number, i);
                        assert_int_equal(t.pairs[i].uses, round + 1);
                        assert_true(span_is(pair_name(&t, i), name) && span_is(pair_value(&t, i), value));
                }
        CLEANUP_FREE uint32_t *order = calloc(t.n, sizeof *order);
        assert_non_null(order);
        assert_int_equal(pair_table_sort(&t, order), 0);
        for (uint32_t i = 1; i < t.n; i++) {
                char before[48], after[48];
                Span x = pair_name(&t, order[i - 1]), y = pair_name(&t, order[i]);
                Span v = pair_value(&t, order[i - 1]), w = pair_value(&t, order[i]);
                (void)snprintf(before, sizeof before, "%.*s\x01%.*s", (int)x.len, x.text, (int)v.len, v.text);
                (void)snprintf(after, sizeof after, "%.*s\x01%.*s", (int)y.len, y.text, (int)w.len, w.text);
                assert_true(strcmp(before, after) < 0);
        }
        assert_true(pair_table_bytes(&t) > 0);
        /* Name and value are told apart. */
        uint32_t a, b;
        assert_int_equal(pair_table_intern(&t, (Span){ "ab", 2 }, (Span){ "c", 1 }, &a), 0);
        assert_int_equal(pair_table_intern(&t, (Span){ "a", 1 }, (Span){ "bc", 2 }, &b), 0);
        assert_int_not_equal(a, b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lists_come_back),
                cmocka_unit_test(sets),
                cmocka_unit_test(lists_that_nobody_writes),
                cmocka_unit_test(time_columns_come_back),
                cmocka_unit_test(equal_instants_are_found),
                cmocka_unit_test(rollups_come_back),
                cmocka_unit_test(strings_come_back),
                cmocka_unit_test(pairs_are_kept_once_and_sorted),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
