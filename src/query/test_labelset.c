#include "query/labelmap.h"
#include "query/notes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#define S(text) ((Span){ (text), sizeof(text) - 1 })

static LabelSet make(Arena *a, const char *const *pairs, size_t n) {
        Label labels[LABELS_MAX];
        for (size_t i = 0; i < n; i++)
                labels[i] = (Label){ { pairs[2 * i], strlen(pairs[2 * i]) },
                                     { pairs[2 * i + 1], strlen(pairs[2 * i + 1]) } };
        CLEANUP(buf_deinit) Buf run = BUF_NULL;
        assert_int_equal(labels_build(labels, n, &run), LABELS_OK);
        return (LabelSet){ (uint8_t *)arena_copy(a, run.data, run.len), (uint32_t)run.len };
}
#define MAKE(a, ...)                                                                                                   \
        make((a), (const char *const[]){ __VA_ARGS__ },                                                                \
             sizeof((const char *const[]){ __VA_ARGS__ }) / (2 * sizeof(char *)))

static void assert_prints(LabelSet l, const char *wanted) {
        CLEANUP(buf_deinit) Buf text = BUF_NULL;
        assert_non_null(l.run);
        labels_print(l.run, l.len, &text);
        assert_string_equal(buf_cstr(&text), wanted);
}

/* labels are found by name, missing ones are empty */
static void test_get(void **state) {
        ArenaBudget budget = ARENA_BUDGET(1 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        LabelSet l = MAKE(&a, "__name__", "up", "job", "node", "vm", "a");
        assert_true(span_is(labelset_get(l, S("job")), "node"));
        assert_true(span_is(labelset_get(l, S("__name__")), "up"));
        assert_int_equal(labelset_get(l, S("jo")).len, 0);
        assert_int_equal(labelset_get((LabelSet){ 0 }, S("job")).len, 0);
}

/* keep and without take the names asked for, whatever their place */
static void test_keep_and_without(void **state) {
        ArenaBudget budget = ARENA_BUDGET(1 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        LabelSet l = MAKE(&a, "__name__", "up", "b", "2", "d", "4", "f", "6");
        assert_prints(labelset_drop_name(&a, l), "{b=\"2\", d=\"4\", f=\"6\"}");
        assert_prints(labelset_keep(&a, l, (Span[]){ S("a"), S("b"), S("c"), S("f"), S("g") }, 5),
                      "{b=\"2\", f=\"6\"}");
        assert_prints(labelset_keep(&a, l, (Span[]){ S("__name__") }, 1), "up");
        assert_prints(labelset_keep(&a, l, NULL, 0), "{}");
        assert_prints(labelset_without(&a, l, (Span[]){ S("a"), S("d"), S("e"), S("f") }, 4, true), "{b=\"2\"}");
        assert_prints(labelset_without(&a, l, (Span[]){ S("d") }, 1, false), "up{b=\"2\", f=\"6\"}");
        assert_prints(labelset_without(&a, l, (Span[]){ S("z") }, 1, false), "up{b=\"2\", d=\"4\", f=\"6\"}");
}

/* a label is set at its place: before, between, behind, instead of others; an empty value takes it out */
static void test_set(void **state) {
        ArenaBudget budget = ARENA_BUDGET(1 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        LabelSet l = MAKE(&a, "b", "2", "d", "4");
        assert_prints(labelset_set(&a, l, S("a"), S("1")), "{a=\"1\", b=\"2\", d=\"4\"}");
        assert_prints(labelset_set(&a, l, S("c"), S("3")), "{b=\"2\", c=\"3\", d=\"4\"}");
        assert_prints(labelset_set(&a, l, S("e"), S("5")), "{b=\"2\", d=\"4\", e=\"5\"}");
        assert_prints(labelset_set(&a, l, S("d"), S("x")), "{b=\"2\", d=\"x\"}");
        assert_prints(labelset_set(&a, l, S("b"), S("")), "{d=\"4\"}");
        assert_prints(labelset_set(&a, (LabelSet){ 0 }, S("b"), S("1")), "{b=\"1\"}");
}

/* what was built in another way is the same bytes, also with lengths of two bytes */
static void test_canonical(void **state) {
        ArenaBudget budget = ARENA_BUDGET(1 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        char value[301];
        memset(value, 'x', 300);
        value[300] = '\0';
        LabelSet l = MAKE(&a, "a", "1", "long", value, "z", "26");
        LabelSet m = labelset_set(&a, MAKE(&a, "a", "1", "z", "26"), S("long"), (Span){ value, 300 });
        assert_true(labelset_equal(l, m));
        assert_int_equal(labelset_hash(l), labelset_hash(m));
        assert_false(labelset_equal(l, labelset_drop_name(&a, MAKE(&a, "a", "1"))));
}

/* a set with more labels than any series may have is an error, not a crash */
static void test_too_many(void **state) {
        ArenaBudget budget = ARENA_BUDGET(1 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        LabelSet l = { 0 };
        for (unsigned i = 0; i < LABELS_MAX; i++) {
                char name[8];
                int n = snprintf(name, sizeof name, "l%02u", i);
                l = labelset_set(&a, l, (Span){ name, (size_t)n }, S("v"));
                assert_non_null(l.run);
        }
        assert_null(labelset_set(&a, l, S("one_more"), S("v")).run);
        assert_int_equal(a.error, -EOVERFLOW);
}

/* sets get numbers in the order in which they come, equal ones the same */
static void test_map(void **state) {
        ArenaBudget budget = ARENA_BUDGET(1 << 22);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        LabelMap map = LABEL_MAP(&a);
        size_t number;
        bool added;
        assert_false(labelmap_find(&map, (LabelSet){ 0 }, &number));
        for (int round = 0; round < 2; round++)
                for (size_t i = 0; i < 1000; i++) {
                        char value[16];
                        (void)snprintf(value, sizeof value, "%zu", i);
                        assert_int_equal(labelmap_put(&map, MAKE(&a, "i", value), &number, &added), 0);
                        assert_int_equal(number, i);
                        assert_int_equal(added, round == 0);
                }
        assert_true(labelmap_find(&map, MAKE(&a, "i", "500"), &number));
        assert_int_equal(number, 500);
        assert_false(labelmap_find(&map, MAKE(&a, "i", "1000"), &number));
        ArenaBudget none = ARENA_BUDGET(100);
        CLEANUP(arena_deinit) Arena b = ARENA(&none);
        LabelMap full = LABEL_MAP(&b);
        assert_int_equal(labelmap_put(&full, MAKE(&a, "i", "1"), &number, &added), -E2BIG);
}

/* a text is kept once, and not more than so many are */
static void test_notes(void **state) {
        ArenaBudget budget = ARENA_BUDGET(1 << 20);
        CLEANUP(arena_deinit) Arena a = ARENA(&budget);
        Notes *n = ARENA_NEW(&a, Notes), *other = ARENA_NEW(&a, Notes);
        notes_init(n, &a);
        notes_init(other, &a);
        notes_add(n, NOTE_INFO, (Place){ 1, 2 }, "PromQL info: %s", "one");
        notes_add(n, NOTE_INFO, (Place){ 5, 6 }, "PromQL info: %s", "one");
        notes_add(n, NOTE_WARNING, (Place){ 5, 6 }, "PromQL warning: two");
        for (unsigned i = 0; i < 100; i++)
                notes_add(other, NOTE_INFO, (Place){ 0, 1 }, "PromQL info: %u", i);
        notes_merge(n, other);
        assert_int_equal(n->sets[NOTE_INFO].n, NOTES_MOST);
        assert_int_equal(n->sets[NOTE_INFO].omitted, 37);
        assert_int_equal(n->sets[NOTE_INFO].notes[0].place.begin, 1);
        assert_int_equal(n->sets[NOTE_WARNING].n, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_get),
                cmocka_unit_test(test_keep_and_without),
                cmocka_unit_test(test_set),
                cmocka_unit_test(test_canonical),
                cmocka_unit_test(test_too_many),
                cmocka_unit_test(test_map),
                cmocka_unit_test(test_notes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
